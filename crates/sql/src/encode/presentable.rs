//! Columns as texts show them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use hexwatch_contract::{Cell, EventTime};
use serde_json::Value;

/// `batch` with times as RFC 3339 and cells as hex digits; with `flat`, lists and structs as JSON text.
pub fn presentable(batch: &RecordBatch, flat: bool) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let column = shown(field, column, flat)?;
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn shown(field: &Field, column: &ArrayRef, flat: bool) -> Result<ArrayRef, ArrowError> {
    match field.data_type() {
        DataType::Int64 if is_cell(field.name()) => Ok(cells(column.as_primitive::<Int64Type>())),
        DataType::Timestamp(..) => {
            let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            Ok(times(micros.as_primitive::<TimestampMicrosecondType>()))
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..)
            if flat =>
        {
            json_texts(column)
        }
        _ => Ok(column.clone()),
    }
}

fn is_cell(name: &str) -> bool {
    name == "cell" || name.ends_with("_cell")
}

fn cells(column: &Int64Array) -> ArrayRef {
    Arc::new(
        column.iter().map(|cell| cell.map(|cell| Cell::from_i64(cell).to_string())).collect::<StringArray>(),
    )
}

fn times(column: &TimestampMicrosecondArray) -> ArrayRef {
    let text = |micros: i64| EventTime::from_micros(micros).to_string();
    Arc::new(column.iter().map(|micros| micros.map(text)).collect::<StringArray>())
}

/// Each value as JSON, for formats that have no lists.
fn json_texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let field = Field::new("v", column.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column.clone()])?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(&batch)?;
    writer.finish()?;
    let bytes = writer.into_inner();
    let value = |line: &[u8]| {
        let row: Value =
            serde_json::from_slice(line).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
        Ok((!row["v"].is_null()).then(|| row["v"].to_string()))
    };
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(Arc::new(lines.map(value).collect::<Result<StringArray, ArrowError>>()?))
}
