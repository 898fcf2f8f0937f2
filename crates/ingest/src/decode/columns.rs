//! The Arrow builders of one topic. A builder is touched only by rows that have a value for it: the nulls
//! in between are caught up with at the next value, or at the end.

mod texts;

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanBuilder, Float64Builder, Int32Array, Int64Array, Int64Builder, RecordBatch,
    StringArray, TimestampMicrosecondArray, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::DataType;
use hexwatch_contract::event::{COMMON, Kind, columns, schema, time_type};
use hexwatch_contract::{Cell, EventTime, Partition, Topic};

use texts::{Repeated, Texts};

/// One column in the making, and how many rows it holds: asking the builder costs as much as a short value.
struct Column {
    builder: Builder,
    rows: usize,
    /// A column without a value, from a chunk in which there was none.
    nulls: Option<ArrayRef>,
}

impl Column {
    fn of(kind: Kind) -> Self {
        Self { builder: Builder::of(kind), rows: 0, nulls: None }
    }

    /// Fills up with nulls to `rows`, and gives the builder, which must be given one value.
    fn next(&mut self, rows: usize) -> &mut Builder {
        if self.rows < rows {
            self.builder.append_nulls(rows - self.rows);
        }
        self.rows = rows + 1;
        &mut self.builder
    }

    fn text(&mut self, row: usize, text: &str) {
        match self.next(row) {
            Builder::Text(texts) => texts.append_value(text),
            other => other.append_nulls(1),
        }
    }

    /// A whole number, or a time in epoch milliseconds, as the column is.
    fn whole(&mut self, row: usize, number: i64) {
        match self.next(row) {
            Builder::Whole(builder) => builder.append_value(number),
            Builder::Time(builder) => builder.append_value(EventTime::from_millis(number).micros()),
            other => other.append_nulls(1),
        }
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        if self.rows == 0 {
            return self.nulls(rows);
        }
        if self.rows < rows {
            self.builder.append_nulls(rows - self.rows);
        }
        self.rows = 0;
        self.builder.finish(rows)
    }

    /// So many rows without a value; most fields of a topic are for few devices, and need no column of their own.
    fn nulls(&mut self, rows: usize) -> ArrayRef {
        let nulls = self.nulls.take().filter(|nulls| nulls.len() >= rows);
        let nulls = nulls.unwrap_or_else(|| new_null_array(&self.builder.data_type(), rows));
        self.nulls.insert(nulls).slice(0, rows)
    }
}

/// An Arrow builder of a field's kind.
enum Builder {
    Text(Texts),
    Float(Float64Builder),
    Whole(Int64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Builder {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Member(_) => Self::Text(Texts::default()),
            Kind::Float | Kind::FloatIn(..) => Self::Float(Float64Builder::new()),
            Kind::IntIn(..) => Self::Whole(Int64Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Time => Self::Time(times(0)),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Text(_) => DataType::Utf8,
            Self::Float(_) => DataType::Float64,
            Self::Whole(_) => DataType::Int64,
            Self::Bool(_) => DataType::Boolean,
            Self::Time(_) => time_type(),
        }
    }

    fn append_nulls(&mut self, nulls: usize) {
        match self {
            Self::Text(texts) => texts.append_nulls(nulls),
            Self::Float(builder) => builder.append_nulls(nulls),
            Self::Whole(builder) => builder.append_nulls(nulls),
            Self::Bool(builder) => builder.append_nulls(nulls),
            Self::Time(builder) => builder.append_nulls(nulls),
        }
    }

    /// The column, and a builder with room for so many rows again: one that grows step by step copies every value.
    fn finish(&mut self, room: usize) -> ArrayRef {
        match self {
            Self::Text(texts) => texts.finish(room),
            Self::Float(builder) => {
                let next = Float64Builder::with_capacity(room);
                Arc::new(std::mem::replace(builder, next).finish())
            }
            Self::Whole(builder) => {
                let next = Int64Builder::with_capacity(room);
                Arc::new(std::mem::replace(builder, next).finish())
            }
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => {
                let next = times(room);
                Arc::new(std::mem::replace(builder, next).finish())
            }
        }
    }
}

fn times(rows: usize) -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")
}

/// What was gathered, and room for as much again.
fn taken<T>(gathered: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(gathered.len());
    std::mem::replace(gathered, room)
}

/// What the engine adds to a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added<'a> {
    pub(super) device_time: Option<EventTime>,
    pub(super) suspect: bool,
    pub(super) cell: Option<Cell>,
    pub(super) oddity: &'a str,
    pub(super) offset: i64,
    pub(super) identity: u128,
}

/// The rows of one chunk in the making.
pub(super) struct Columns {
    topic: Topic,
    body: Vec<Column>,
    device_time: Column,
    suspect: Vec<bool>,
    good: Repeated,
    cell: Column,
    oddity: Column,
    /// The name of the Kafka topic.
    topic_name: Repeated,
    offset: Vec<i64>,
    identities: Vec<u128>,
}

impl Columns {
    pub(super) fn new(topic: Topic) -> Self {
        Self {
            topic,
            body: COMMON.iter().chain(columns(topic)).map(|column| Column::of(column.kind)).collect(),
            device_time: Column::of(Kind::Time),
            suspect: Vec::new(),
            good: Repeated::default(),
            cell: Column::of(Kind::IntIn(i64::MIN, i64::MAX)),
            oddity: Column::of(Kind::Text),
            topic_name: Repeated::default(),
            offset: Vec::new(),
            identities: Vec::new(),
        }
    }

    pub(super) fn text(&mut self, field: usize, text: &str) {
        self.body[field].text(self.offset.len(), text);
    }

    pub(super) fn float(&mut self, field: usize, number: f64) {
        match self.body[field].next(self.offset.len()) {
            Builder::Float(builder) => builder.append_value(number),
            other => other.append_nulls(1),
        }
    }

    /// A whole number, or a time in epoch milliseconds, as the column is.
    pub(super) fn whole(&mut self, field: usize, number: i64) {
        self.body[field].whole(self.offset.len(), number);
    }

    pub(super) fn bool(&mut self, field: usize, value: bool) {
        match self.body[field].next(self.offset.len()) {
            Builder::Bool(builder) => builder.append_value(value),
            other => other.append_nulls(1),
        }
    }

    /// Ends the row whose fields have been given.
    pub(super) fn end_row(&mut self, added: &Added<'_>) {
        let row = self.offset.len();
        if let Some(time) = added.device_time {
            self.device_time.whole(row, time.millis());
        }
        if let Some(cell) = added.cell {
            self.cell.whole(row, cell.to_i64());
        }
        if !added.oddity.is_empty() {
            self.oddity.text(row, added.oddity);
        }
        self.suspect.push(added.suspect);
        self.offset.push(added.offset);
        self.identities.push(added.identity);
    }

    fn quality(&mut self) -> ArrayRef {
        let suspects = taken(&mut self.suspect);
        if !suspects.contains(&true) {
            return self.good.array("good", suspects.len());
        }
        let words = suspects.into_iter().map(|suspect| if suspect { "suspect" } else { "good" });
        Arc::new(StringArray::from_iter_values(words))
    }

    /// The rows so far with their identities; empty where there are none.
    #[allow(clippy::expect_used, reason = "the builders are made from the schema they are held against")]
    pub(super) fn finish(
        &mut self,
        partition: &Partition,
        ingested_at: EventTime,
    ) -> (RecordBatch, Vec<u128>) {
        let rows = self.offset.len();
        let mut arrays: Vec<ArrayRef> = self.body.iter_mut().map(|column| column.finish(rows)).collect();
        let quality = self.quality();
        let ingested_at =
            TimestampMicrosecondArray::from_value(ingested_at.micros(), rows).with_timezone("UTC");
        let added: [ArrayRef; 8] = [
            self.device_time.finish(rows),
            quality,
            self.cell.finish(rows),
            self.oddity.finish(rows),
            self.topic_name.array(&partition.topic, rows),
            Arc::new(Int32Array::from_value(partition.partition, rows)),
            Arc::new(Int64Array::from(taken(&mut self.offset))),
            Arc::new(ingested_at),
        ];
        arrays.extend(added);
        let records =
            RecordBatch::try_new(schema(self.topic), arrays).expect("every column is of the schema");
        (records, taken(&mut self.identities))
    }
}
