//! Rows of a view as Kafka takes them: a key and a JSON object.

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::json::writer::LineDelimited;
use arrow::json::{Writer, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use hexwatch_sql::encode::presentable;

/// Each row of `records` as (key, JSON). The key joins the values of the `key` columns with `/`.
pub(crate) fn keyed_json(records: &RecordBatch, key: &[String]) -> Result<Vec<(String, Vec<u8>)>> {
    if records.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let records = &presentable(records, false)?;
    let mut writer: Writer<_, LineDelimited> =
        WriterBuilder::new().with_explicit_nulls(true).build(Vec::new());
    writer.write(records)?;
    writer.finish()?;
    let lines = writer.into_inner();
    let options = FormatOptions::default();
    let columns = key.iter().filter_map(|name| records.column_by_name(name));
    let parts = columns.map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let key_of =
        |row: usize| parts.iter().map(|part| part.value(row).to_string()).collect::<Vec<_>>().join("/");
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.enumerate().map(|(row, line)| (key_of(row), line.to_vec())).collect())
}
