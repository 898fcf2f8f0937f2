//! Rows of a view as Kafka takes them.

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::json::writer::LineDelimited;
use arrow::json::{Writer, WriterBuilder};
use hexwatch_sql::encode::presentable;

/// Each row of `records` as a JSON object.
pub(crate) fn json_lines(records: &RecordBatch) -> Result<Vec<Vec<u8>>> {
    if records.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let mut writer: Writer<_, LineDelimited> =
        WriterBuilder::new().with_explicit_nulls(true).build(Vec::new());
    writer.write(&presentable(records, false)?)?;
    writer.finish()?;
    let lines = writer.into_inner();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(<[u8]>::to_vec).collect())
}
