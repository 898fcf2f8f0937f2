//! `input(topic, "partition", "offset", id, role)`: a record as rules name it behind an alarm.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ScalarUDF;
use hexwatch_contract::catalog::input_type;

pub(super) fn function() -> ScalarUDF {
    // A partition may be written as a literal, which is an Int64, or come from a table as an Int32.
    let arguments = [DataType::Utf8, DataType::Int64, DataType::Int64, DataType::Utf8, DataType::Utf8];
    super::function("input", &arguments, input_type(), |columns| {
        let DataType::Struct(fields) = input_type() else {
            return internal_err!("an input is a struct");
        };
        let columns: Vec<ArrayRef> = columns
            .iter()
            .zip(&fields)
            .map(|(column, field)| cast(column, field.data_type()))
            .collect::<Result<_, _>>()?;
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    })
}
