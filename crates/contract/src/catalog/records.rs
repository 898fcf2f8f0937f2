//! Records that did not become rows, and rows that came too late.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayBuilder as _, ArrayRef, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;

use super::arrays::{always, batch_of, maybe, schema_of, texts, times};
use crate::event::time_type;
use crate::{DeadLetter, EventTime, Position};

/// The columns of `dead_letters`: the fields of [`DeadLetter`]; `meant_for` is the name of the event table.
#[must_use]
pub fn dead_letters() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("topic", DataType::Utf8),
            always("partition", DataType::Int32),
            always("offset", DataType::Int64),
            always("meant_for", DataType::Utf8),
            always("kafka_time", time_type()),
            always("refused_at", time_type()),
            maybe("key", DataType::Utf8),
            maybe("id", DataType::Utf8),
            always("stage", DataType::Utf8),
            always("error_code", DataType::Utf8),
            maybe("field", DataType::Utf8),
            always("message", DataType::Utf8),
            always("payload_sha256", DataType::Utf8),
            maybe("payload", DataType::Utf8),
        ])
    });
    SCHEMA.clone()
}

/// Rows of [`dead_letters`] in the making. Letters come by the hundred thousand where a source is broken: each is read
/// once, while it is at hand, and may go then.
#[derive(Debug)]
pub struct DeadLetterRows {
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    meant_for: StringBuilder,
    kafka_time: TimestampMicrosecondBuilder,
    refused_at: TimestampMicrosecondBuilder,
    key: StringBuilder,
    id: StringBuilder,
    stage: StringBuilder,
    error_code: StringBuilder,
    field: StringBuilder,
    message: StringBuilder,
    payload_sha256: StringBuilder,
    payload: StringBuilder,
}

impl Default for DeadLetterRows {
    fn default() -> Self {
        Self {
            topic: StringBuilder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            meant_for: StringBuilder::new(),
            kafka_time: TimestampMicrosecondBuilder::new().with_data_type(time_type()),
            refused_at: TimestampMicrosecondBuilder::new().with_data_type(time_type()),
            key: StringBuilder::new(),
            id: StringBuilder::new(),
            stage: StringBuilder::new(),
            error_code: StringBuilder::new(),
            field: StringBuilder::new(),
            message: StringBuilder::new(),
            payload_sha256: StringBuilder::new(),
            payload: StringBuilder::new(),
        }
    }
}

impl DeadLetterRows {
    /// Adds the row of `letter`.
    pub fn push(&mut self, letter: &DeadLetter) {
        let Position { partition, offset } = &letter.position;
        self.topic.append_value(&partition.topic);
        self.partition.append_value(partition.partition);
        self.offset.append_value(*offset);
        self.meant_for.append_value(letter.meant_for.table());
        self.kafka_time.append_value(letter.kafka_time.micros());
        self.refused_at.append_value(letter.refused_at.micros());
        self.key.append_option(letter.key.as_deref());
        self.id.append_option(letter.id.as_deref());
        self.stage.append_value(letter.stage.name());
        self.error_code.append_value(&letter.error_code);
        self.field.append_option(letter.field.as_deref());
        self.message.append_value(&letter.message);
        // Digits are text.
        self.payload_sha256.append_value(str::from_utf8(&letter.payload_sha256.hex()).unwrap_or_default());
        self.payload.append_option(letter.payload.as_deref());
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offset.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of payloads they hold.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload.values_slice().len()
    }

    /// Takes the rows so far.
    pub fn finish(&mut self) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            texts_of(&mut self.topic),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            texts_of(&mut self.meant_for),
            Arc::new(self.kafka_time.finish()),
            Arc::new(self.refused_at.finish()),
            texts_of(&mut self.key),
            texts_of(&mut self.id),
            texts_of(&mut self.stage),
            texts_of(&mut self.error_code),
            texts_of(&mut self.field),
            texts_of(&mut self.message),
            texts_of(&mut self.payload_sha256),
            texts_of(&mut self.payload),
        ];
        batch_of(&dead_letters(), columns)
    }
}

/// The column, and a builder with room for as much again: one that grows step by step copies every text.
fn texts_of(builder: &mut StringBuilder) -> ArrayRef {
    let next = StringBuilder::with_capacity(builder.len(), builder.values_slice().len());
    Arc::new(std::mem::replace(builder, next).finish())
}

/// What every event table has, as far as `late_events` shows it by itself.
const SHOWN: [&str; 9] =
    ["topic", "partition", "offset", "ingested_at", "site", "source", "id", "time", "device"];

/// The columns of `late_events`: where the row stands in Kafka, what it is about, the watermark of its
/// partition that it was behind, and the whole row as JSON text.
#[must_use]
pub fn late_events() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("topic", DataType::Utf8),
            always("partition", DataType::Int32),
            always("offset", DataType::Int64),
            always("ingested_at", time_type()),
            always("site", DataType::Utf8),
            always("source", DataType::Utf8),
            always("id", DataType::Utf8),
            always("time", time_type()),
            maybe("device", DataType::Utf8),
            maybe("cell", DataType::Int64),
            always("watermark", time_type()),
            always("row", DataType::Utf8),
        ])
    });
    SCHEMA.clone()
}

/// One row of [`late_events`] for each of `rows`, which are by [`crate::event::schema`] of one topic and were
/// behind `watermark`.
pub fn late_batch(rows: &RecordBatch, watermark: EventTime) -> Result<RecordBatch, ArrowError> {
    let column = |name: &&str| {
        let column = rows.column_by_name(name).cloned();
        column.ok_or_else(|| ArrowError::SchemaError(format!("a late row lacks the column `{name}`")))
    };
    let mut columns = SHOWN.iter().chain(&["cell"]).map(column).collect::<Result<Vec<ArrayRef>, _>>()?;
    columns.push(times((0..rows.num_rows()).map(|_| watermark)));
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let lines =
        String::from_utf8(writer.into_inner()).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    columns.push(texts(lines.lines()));
    RecordBatch::try_new(late_events(), columns)
}
