//! The functions that hexwatch adds to SQL: H3 as the h3 extension of `DuckDB` names it, `ST_*`, and `input`.

mod cells;
mod input;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;

pub(crate) use self::cells::grid_disk;

/// Registers all functions with `session`.
pub fn register_functions(session: &SessionContext) {
    geodatafusion::register(session);
    for function in cells::functions().into_iter().chain([input::function()]) {
        session.register_udf(function);
    }
}

/// A function of whole columns whose result depends on its arguments alone.
fn function(
    name: &str,
    arguments: &[DataType],
    returns: DataType,
    body: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    let whole = move |arguments: &[ColumnarValue]| {
        let are_literals = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let result = body(&ColumnarValue::values_to_arrays(arguments)?)?;
        if are_literals {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    };
    create_udf(name, arguments.to_vec(), returns, Volatility::Immutable, Arc::new(whole))
}
