//! Rows as JSON, CSV or an Arrow stream.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::csv;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, WriterBuilder};
use bytes::Bytes;
use hexwatch_contract::Cell;
use serde_json::{Value, json};

use super::sql::Answer;

/// RFC 3339 in UTC with milliseconds, as everywhere outside.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TableFormat {
    Json,
    Csv,
    Arrow,
}

impl TableFormat {
    pub(crate) fn of_media_type(name: &str) -> Option<Self> {
        match name {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "text/csv" => Some(Self::Csv),
            "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            _ => None,
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

pub(crate) fn write(format: TableFormat, answer: &Answer) -> Result<Bytes, ArrowError> {
    match format {
        TableFormat::Json => write_json(answer),
        TableFormat::Csv => write_csv(answer),
        TableFormat::Arrow => write_arrow(answer),
    }
}

/// `{"columns":[{"name","type"}],"rows":[{...}],"row_count":n,"truncated":false}`.
fn write_json(answer: &Answer) -> Result<Bytes, ArrowError> {
    let columns: Vec<Value> = answer
        .schema
        .fields()
        .iter()
        .map(|field| json!({"name": field.name(), "type": field.data_type().to_string()}))
        .collect();
    let mut body = br#"{"columns":"#.to_vec();
    body.extend_from_slice(Value::Array(columns).to_string().as_bytes());
    body.extend_from_slice(br#","rows":"#);
    let rows = answer.rows();
    if rows == 0 {
        body.extend_from_slice(b"[]");
    } else {
        let builder = WriterBuilder::new().with_explicit_nulls(true).with_timestamp_tz_format(TIME.into());
        let mut writer = builder.build::<_, JsonArray>(&mut body);
        for batch in &answer.batches {
            writer.write(&with_cells_in_hex(batch)?)?;
        }
        writer.finish()?;
    }
    let tail = format!(r#","row_count":{rows},"truncated":{}}}"#, answer.truncated);
    body.extend_from_slice(tail.as_bytes());
    Ok(body.into())
}

fn write_csv(answer: &Answer) -> Result<Bytes, ArrowError> {
    let mut body = Vec::new();
    let mut writer =
        csv::WriterBuilder::new().with_header(true).with_timestamp_tz_format(TIME.into()).build(&mut body);
    // Without rows the header still says what was asked for.
    writer.write(&flat(&RecordBatch::new_empty(Arc::clone(&answer.schema)))?)?;
    for batch in &answer.batches {
        writer.write(&flat(batch)?)?;
    }
    drop(writer);
    Ok(body.into())
}

fn write_arrow(answer: &Answer) -> Result<Bytes, ArrowError> {
    let mut body = Vec::new();
    let mut writer = StreamWriter::try_new(&mut body, &answer.schema)?;
    for batch in &answer.batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    drop(writer);
    Ok(body.into())
}

/// A cell is a BIGINT in tables and 15 hex digits in JSON, whose numbers are too small for it.
fn is_cell(field: &Field) -> bool {
    *field.data_type() == DataType::Int64 && (field.name() == "cell" || field.name().ends_with("_cell"))
}

fn with_cells_in_hex(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    replace(batch, is_cell, |column| {
        let cells = column.as_primitive::<Int64Type>();
        let hex: StringArray =
            cells.iter().map(|cell| cell.map(|cell| Cell::from_i64(cell).to_string())).collect();
        Ok(Arc::new(hex))
    })
}

/// CSV has no lists and structs: they become their JSON text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    replace(
        batch,
        |field| field.data_type().is_nested(),
        |column| {
            let options = arrow::util::display::FormatOptions::default();
            let formatter = arrow::util::display::ArrayFormatter::try_new(column, &options)?;
            let texts: StringArray = (0..column.len())
                .map(|row| column.is_valid(row).then(|| formatter.value(row).to_string()))
                .collect();
            Ok(Arc::new(texts))
        },
    )
}

/// `batch` with the columns that `matches` finds turned into text.
fn replace(
    batch: &RecordBatch,
    matches: impl Fn(&Field) -> bool,
    into_text: impl Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(schema.fields().len());
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if matches(field) {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(into_text(column)?);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListArray, TimestampMicrosecondArray};
    use arrow::ipc::reader::StreamReader;

    use super::*;

    fn answer() -> Answer {
        let cells: ArrayRef = Arc::new(Int64Array::from(vec![Some(0x08b2_a107_2b59_afff), None]));
        let times = TimestampMicrosecondArray::from(vec![1_000_000, 2_500_000]).with_timezone("UTC");
        let lists =
            ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), Some(2)]), None]);
        let batch = RecordBatch::try_from_iter(vec![
            ("cell", cells),
            ("time", Arc::new(times) as ArrayRef),
            ("seen", Arc::new(lists) as ArrayRef),
        ]);
        let batch = batch.unwrap();
        Answer { schema: batch.schema(), batches: vec![batch], truncated: true }
    }

    #[test]
    fn json_has_cells_in_hex_and_times_with_milliseconds() {
        let body: Value = serde_json::from_slice(&write(TableFormat::Json, &answer()).unwrap()).unwrap();
        assert_eq!(body["columns"][0], json!({"name": "cell", "type": "Int64"}));
        assert_eq!(
            body["rows"],
            json!([
                {"cell": "8b2a1072b59afff", "time": "1970-01-01T00:00:01.000Z", "seen": [1, 2]},
                {"cell": null, "time": "1970-01-01T00:00:02.500Z", "seen": null},
            ])
        );
        assert_eq!((body["row_count"].as_u64(), body["truncated"].as_bool()), (Some(2), Some(true)));
    }

    #[test]
    fn json_of_no_rows_still_names_the_columns() {
        let empty = Answer { batches: Vec::new(), ..answer() };
        let body: Value = serde_json::from_slice(&write(TableFormat::Json, &empty).unwrap()).unwrap();
        assert_eq!((body["rows"].clone(), body["columns"].as_array().unwrap().len()), (json!([]), 3));
    }

    #[test]
    fn csv_keeps_cells_as_numbers_and_writes_lists_as_text() {
        let body = write(TableFormat::Csv, &answer()).unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        let number = 0x08b2_a107_2b59_afff_i64;
        let first = format!("{number},1970-01-01T00:00:01.000Z,\"[1, 2]\"");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines, ["cell,time,seen", &first, ",1970-01-01T00:00:02.500Z,"]);
    }

    #[test]
    fn an_arrow_stream_reads_back_as_it_was() {
        let answer = answer();
        let body = write(TableFormat::Arrow, &answer).unwrap();
        let read: Vec<_> = StreamReader::try_new(&body[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, answer.batches);
    }
}
