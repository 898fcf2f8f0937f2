//! The Arrow builders of one topic. A builder is touched only by rows that have a value for it: the nulls
//! in between are caught up with at the next value, or at the end.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Array, Int64Array, Int64Builder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use hexwatch_contract::event::{COMMON, Kind, columns, schema};
use hexwatch_contract::{Cell, EventTime, Partition, Topic};

/// One column in the making, and how many rows it holds: asking the builder costs as much as a short value.
struct Column {
    builder: Builder,
    rows: usize,
}

impl Column {
    fn of(kind: Kind) -> Self {
        Self { builder: Builder::of(kind), rows: 0 }
    }

    /// Fills up with nulls to `rows`, and gives the builder, which must be given one value.
    fn next(&mut self, rows: usize) -> &mut Builder {
        if self.rows < rows {
            self.builder.append_nulls(rows - self.rows);
        }
        self.rows = rows + 1;
        &mut self.builder
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        if self.rows < rows {
            self.builder.append_nulls(rows - self.rows);
        }
        // A column that nobody fills needs no room.
        let room = if std::mem::take(&mut self.rows) > 0 { rows } else { 0 };
        self.builder.finish(room)
    }
}

/// An Arrow builder of a field's kind.
enum Builder {
    Text(StringBuilder),
    Float(Float64Builder),
    Whole(Int64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Builder {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Member(_) => Self::Text(StringBuilder::new()),
            Kind::Float | Kind::FloatIn(..) => Self::Float(Float64Builder::new()),
            Kind::IntIn(..) => Self::Whole(Int64Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Time => Self::Time(times(0)),
        }
    }

    fn append_nulls(&mut self, nulls: usize) {
        match self {
            Self::Text(builder) => builder.append_nulls(nulls),
            Self::Float(builder) => builder.append_nulls(nulls),
            Self::Whole(builder) => builder.append_nulls(nulls),
            Self::Bool(builder) => builder.append_nulls(nulls),
            Self::Time(builder) => builder.append_nulls(nulls),
        }
    }

    /// The column, and a builder with room for so many rows again: one that grows step by step copies every value.
    fn finish(&mut self, room: usize) -> ArrayRef {
        match self {
            Self::Text(builder) => {
                let next = StringBuilder::with_capacity(room, builder.values_slice().len());
                Arc::new(std::mem::replace(builder, next).finish())
            }
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

/// `text` in every row.
fn constant(text: &str, rows: usize) -> StringArray {
    let offsets = OffsetBuffer::from_repeated_length(text.len(), rows);
    StringArray::new(offsets, Buffer::from_vec(text.repeat(rows).into_bytes()), None)
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
    device_time: TimestampMicrosecondBuilder,
    suspect: Vec<bool>,
    cell: Int64Builder,
    oddity: StringBuilder,
    offset: Vec<i64>,
    identities: Vec<u128>,
}

impl Columns {
    pub(super) fn new(topic: Topic) -> Self {
        Self {
            topic,
            body: COMMON.iter().chain(columns(topic)).map(|column| Column::of(column.kind)).collect(),
            device_time: times(0),
            suspect: Vec::new(),
            cell: Int64Builder::new(),
            oddity: StringBuilder::new(),
            offset: Vec::new(),
            identities: Vec::new(),
        }
    }

    fn at(&mut self, field: usize) -> &mut Builder {
        let rows = self.offset.len();
        self.body[field].next(rows)
    }

    pub(super) fn text(&mut self, field: usize, text: &str) {
        match self.at(field) {
            Builder::Text(builder) => builder.append_value(text),
            other => other.append_nulls(1),
        }
    }

    pub(super) fn float(&mut self, field: usize, number: f64) {
        match self.at(field) {
            Builder::Float(builder) => builder.append_value(number),
            other => other.append_nulls(1),
        }
    }

    /// A whole number, or a time in epoch milliseconds, as the column is.
    pub(super) fn whole(&mut self, field: usize, number: i64) {
        match self.at(field) {
            Builder::Whole(builder) => builder.append_value(number),
            Builder::Time(builder) => builder.append_value(EventTime::from_millis(number).micros()),
            other => other.append_nulls(1),
        }
    }

    pub(super) fn bool(&mut self, field: usize, value: bool) {
        match self.at(field) {
            Builder::Bool(builder) => builder.append_value(value),
            other => other.append_nulls(1),
        }
    }

    /// Ends the row whose fields have been given.
    pub(super) fn end_row(&mut self, added: &Added<'_>) {
        self.device_time.append_option(added.device_time.map(EventTime::micros));
        self.suspect.push(added.suspect);
        self.cell.append_option(added.cell.map(Cell::to_i64));
        self.oddity.append_option((!added.oddity.is_empty()).then_some(added.oddity));
        self.offset.push(added.offset);
        self.identities.push(added.identity);
    }

    fn quality(&mut self) -> StringArray {
        let suspects = std::mem::take(&mut self.suspect);
        if !suspects.contains(&true) {
            return constant("good", suspects.len());
        }
        StringArray::from_iter_values(
            suspects.into_iter().map(|suspect| if suspect { "suspect" } else { "good" }),
        )
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
            Arc::new(self.device_time.finish()),
            Arc::new(quality),
            Arc::new(self.cell.finish()),
            Arc::new(self.oddity.finish()),
            Arc::new(constant(&partition.topic, rows)),
            Arc::new(Int32Array::from_value(partition.partition, rows)),
            Arc::new(Int64Array::from(std::mem::take(&mut self.offset))),
            Arc::new(ingested_at),
        ];
        arrays.extend(added);
        let records =
            RecordBatch::try_new(schema(self.topic), arrays).expect("every column is of the schema");
        (records, std::mem::take(&mut self.identities))
    }
}
