//! Arrow types as the table format can hold them: it has no unsigned integers, no views of strings, no
//! dictionaries, and one resolution of time.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use hexwatch_contract::event::time_type;

use crate::error::{HistoryError, Result};

/// `schema` with each type replaced by one that a table can hold, and metadata dropped.
pub(crate) fn storable_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(storable_field).collect::<Vec<_>>()))
}

fn storable_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), storable(field.data_type()), field.is_nullable()))
}

fn storable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 | DataType::Duration(_) => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Date64 | DataType::Timestamp(..) => time_type(),
        DataType::Dictionary(_, value) => storable(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => {
            DataType::List(storable_field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(storable_field).collect::<Fields>()),
        other => other.clone(),
    }
}

/// The columns of `batch` in the order and types of `schema`. A column that lacks is null; one that
/// `schema` lacks is refused, because its values would vanish.
pub(crate) fn conform(table: &str, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let misfit = |reason: String| HistoryError::Misfit { table: table.to_owned(), reason };
    let given = batch.schema();
    if let Some(extra) = given.fields().iter().find(|field| schema.field_with_name(field.name()).is_err()) {
        return Err(misfit(format!("the table has no column `{}`", extra.name())));
    }
    let column = |field: &FieldRef| -> Result<ArrayRef> {
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => cast(column, field.data_type()).map_err(HistoryError::arrow(table)),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
            None => Err(misfit(format!("they lack the column `{}`", field.name()))),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema.clone(), columns).map_err(HistoryError::arrow(table))
}
