//! Results for people and programs. In texts a time is RFC 3339 in UTC with milliseconds, and a cell (a column
//! named `cell` or ending in `_cell`) its 15 hex digits; in Arrow both stay as they are.

mod presentable;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::ArrayWriter;
use arrow::json::writer::{JsonArray, WriterBuilder};
use arrow::util::pretty::pretty_format_batches;

pub use presentable::presentable;

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For a terminal; held back until the last row.
    Table,
    /// With a header row; lists and structs as JSON.
    Csv,
    /// A list of objects, nulls included.
    Json,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// A word that is no format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no format `{0}`; write table, csv, json or arrow")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "table" => Ok(Self::Table),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "arrow" => Ok(Self::Arrow),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// Writes batches of one schema as they come.
pub struct Encoder<W: Write> {
    schema: SchemaRef,
    sink: Sink<W>,
}

enum Sink<W: Write> {
    Table { batches: Vec<RecordBatch>, writer: W },
    Csv(Box<csv::Writer<W>>),
    Json(ArrayWriter<W>),
    Arrow(StreamWriter<W>),
}

impl<W: Write> Encoder<W> {
    /// Begins a result of `schema`; what it writes may already go to `writer`.
    pub fn new(format: Format, schema: &SchemaRef, writer: W) -> Result<Self, ArrowError> {
        let sink = match format {
            Format::Table => Sink::Table { batches: Vec::new(), writer },
            Format::Csv => Sink::Csv(Box::new(csv::WriterBuilder::new().with_header(true).build(writer))),
            Format::Json => {
                Sink::Json(WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(writer))
            }
            Format::Arrow => Sink::Arrow(StreamWriter::try_new(writer, schema)?),
        };
        let mut encoder = Self { schema: schema.clone(), sink };
        // A result without rows still has a header.
        encoder.write(&RecordBatch::new_empty(schema.clone()))?;
        Ok(encoder)
    }

    /// Writes rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match &mut self.sink {
            Sink::Table { batches, .. } => batches.push(presentable(batch, true)?),
            Sink::Csv(writer) => writer.write(&presentable(batch, true)?)?,
            Sink::Json(writer) => writer.write(&presentable(batch, false)?)?,
            Sink::Arrow(writer) if batch.num_rows() > 0 => writer.write(batch)?,
            Sink::Arrow(_) => {}
        }
        Ok(())
    }

    /// Writes what is left and hands the writer back.
    pub fn finish(self) -> Result<W, ArrowError> {
        match self.sink {
            Sink::Table { batches, mut writer } => {
                writeln!(writer, "{}", pretty_format_batches(&batches)?)?;
                Ok(writer)
            }
            Sink::Csv(writer) => Ok(writer.into_inner()),
            Sink::Json(mut writer) => {
                writer.finish()?;
                Ok(writer.into_inner())
            }
            Sink::Arrow(writer) => writer.into_inner(),
        }
    }

    /// The columns of the result.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

/// A whole result at once.
pub fn encode(format: Format, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut encoder = Encoder::new(format, schema, Vec::new())?;
    for batch in batches {
        encoder.write(batch)?;
    }
    encoder.finish()
}
