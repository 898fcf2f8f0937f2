//! Short ways to make fields and columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use serde::Serialize;
use serde_json::Value;

use crate::alarm::Input;
use crate::event::time_type;
use crate::{Cell, EventTime};

/// A column that is never null.
pub(super) fn always(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

/// A column that may be null.
pub(super) fn maybe(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

pub(super) fn schema_of(fields: impl IntoIterator<Item = Field>) -> SchemaRef {
    Arc::new(Schema::new(fields.into_iter().collect::<Vec<_>>()))
}

/// Columns in the order and types of `schema`; that they fit is a matter of this module alone.
pub(super) fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::from(StructArray::new(schema.fields().clone(), columns, None))
}

pub(super) fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    maybe_texts(values.map(Some))
}

pub(super) fn maybe_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    // Collected first: texts may be long, and a builder without the room for all of them copies them again and again.
    let values: Vec<_> = values.collect();
    let bytes = values.iter().flatten().map(|text| text.len()).sum();
    let mut builder = StringBuilder::with_capacity(values.len(), bytes);
    builder.extend(values);
    Arc::new(builder.finish())
}

/// Members of closed sets, by the word that stands for them in JSON.
pub(super) fn words<T: Serialize>(values: impl Iterator<Item = T>) -> ArrayRef {
    let word = |value: T| match serde_json::to_value(value) {
        Ok(Value::String(word)) => Some(word),
        _ => None,
    };
    Arc::new(values.map(word).collect::<StringArray>())
}

/// Values whose shape belongs to nobody, as JSON text.
pub(super) fn json<T: Serialize>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(values.map(|value| serde_json::to_string(&value).ok()).collect::<StringArray>())
}

/// Whole numbers; one that is too large for a table stands at the largest.
pub(super) fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX))))
}

pub(super) fn longs(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub(super) fn ints(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

pub(super) fn floats(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

pub(super) fn maybe_floats(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

pub(super) fn booleans(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from(values.collect::<Vec<_>>()))
}

pub(super) fn maybe_cells(values: impl Iterator<Item = Option<Cell>>) -> ArrayRef {
    Arc::new(values.map(|cell| cell.map(Cell::to_i64)).collect::<Int64Array>())
}

pub(super) fn times(values: impl Iterator<Item = EventTime>) -> ArrayRef {
    maybe_times(values.map(Some))
}

pub(super) fn maybe_times(values: impl Iterator<Item = Option<EventTime>>) -> ArrayRef {
    let micros: TimestampMicrosecondArray = values.map(|time| time.map(EventTime::micros)).collect();
    Arc::new(micros.with_data_type(time_type()))
}

/// A list of structs with `fields`.
pub(super) fn list_type(fields: Fields) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Struct(fields), true)))
}

/// A column of lists: `lengths` says how many of the flat `columns`' rows belong to each.
pub(super) fn lists(
    fields: &Fields,
    lengths: impl Iterator<Item = usize>,
    columns: Vec<ArrayRef>,
) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
    let items = StructArray::new(fields.clone(), columns, None);
    Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), Arc::new(items), None))
}

fn input_fields() -> Fields {
    Fields::from(vec![
        maybe("topic", DataType::Utf8),
        maybe("partition", DataType::Int32),
        maybe("offset", DataType::Int64),
        maybe("id", DataType::Utf8),
        maybe("role", DataType::Utf8),
    ])
}

/// The type of one [`Input`]: a struct of topic, partition, offset, id and role.
#[must_use]
pub fn input_type() -> DataType {
    DataType::Struct(input_fields())
}

/// The type of a column of inputs.
#[must_use]
pub fn inputs_type() -> DataType {
    list_type(input_fields())
}

/// A column of inputs; `rows` begins them anew each time.
pub(super) fn inputs<'a, I: Iterator<Item = &'a [Input]>>(rows: impl Fn() -> I) -> ArrayRef {
    let flat = || rows().flatten();
    let columns = vec![
        texts(flat().map(|input| input.topic.as_str())),
        ints(flat().map(|input| input.partition)),
        longs(flat().map(|input| input.offset)),
        texts(flat().map(|input| input.id.as_str())),
        texts(flat().map(|input| input.role.as_str())),
    ];
    lists(&input_fields(), rows().map(<[Input]>::len), columns)
}
