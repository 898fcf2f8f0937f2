//! Records that did not become rows, and rows that came too late.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;

use super::arrays::{always, batch_of, ints, longs, maybe, maybe_texts, schema_of, sums, texts, times};
use crate::event::time_type;
use crate::{DeadLetter, EventTime};

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

/// One row for each dead letter, by [`dead_letters`].
#[must_use]
pub fn dead_letter_batch(letters: &[Arc<DeadLetter>]) -> RecordBatch {
    let rows = || letters.iter();
    let columns = vec![
        texts(rows().map(|letter| &*letter.position.partition.topic)),
        ints(rows().map(|letter| letter.position.partition.partition)),
        longs(rows().map(|letter| letter.position.offset)),
        texts(rows().map(|letter| letter.meant_for.table())),
        times(rows().map(|letter| letter.kafka_time)),
        times(rows().map(|letter| letter.refused_at)),
        maybe_texts(rows().map(|letter| letter.key.as_deref())),
        maybe_texts(rows().map(|letter| letter.id.as_deref())),
        texts(rows().map(|letter| letter.stage.name())),
        texts(rows().map(|letter| &*letter.error_code)),
        maybe_texts(rows().map(|letter| letter.field.as_deref())),
        texts(rows().map(|letter| &*letter.message)),
        sums(rows().map(|letter| letter.payload_sha256)),
        maybe_texts(rows().map(|letter| letter.payload.as_deref())),
    ];
    batch_of(&dead_letters(), columns)
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
