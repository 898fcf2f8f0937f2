//! What names a row of a view outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use hexwatch_contract::EventTime;
use hexwatch_history::Told;
use hexwatch_sql::QueryFile;
use hexwatch_sql::encode::presentable;
use hexwatch_stream::ViewRows;

/// What is known of the rows of a query.
#[derive(Clone, Debug, Default)]
pub struct RowShape {
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// The column of its result time.
    pub time: Option<String>,
}

/// The shapes of the rows of all queries, by name.
pub type RowShapes = BTreeMap<Arc<str>, RowShape>;

impl RowShape {
    /// As a query's header says.
    #[must_use]
    pub fn of(file: &QueryFile) -> Self {
        Self { key: file.key.clone(), time: file.time.clone() }
    }

    /// The key of each row: the values of the key columns, joined with `/`.
    ///
    /// # Errors
    /// Where a value cannot be shown.
    pub fn keys(&self, records: &RecordBatch) -> Result<Vec<String>> {
        if records.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let schema = records.schema();
        let columns: Vec<usize> = self.key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let records = presentable(&records.project(&columns)?, false)?;
        let options = FormatOptions::default();
        let parts = records.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let key_of =
            |row: usize| parts.iter().map(|part| part.value(row).to_string()).collect::<Vec<_>>().join("/");
        Ok((0..records.num_rows()).map(key_of).collect())
    }

    /// What is to be noted before `rows` are told.
    ///
    /// # Errors
    /// Where a key cannot be shown, or a time is none.
    pub fn told(&self, rows: &ViewRows) -> Result<Told> {
        let mut told = Vec::new();
        for records in [&rows.records, &rows.withdrawn] {
            told.extend(self.keys(records)?.into_iter().zip(self.times(records)?));
        }
        Ok(Told { view: rows.view.to_string(), rows: told })
    }

    /// The result time of each row in epoch milliseconds; the end of time where it has none.
    ///
    /// # Errors
    /// Where the column is no time.
    fn times(&self, records: &RecordBatch) -> Result<Vec<i64>> {
        let none = || vec![EventTime::MAX.millis(); records.num_rows()];
        let Some(column) = self.time.as_ref().and_then(|name| records.column_by_name(name)) else {
            return Ok(none());
        };
        let times = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
        let times = times.as_primitive::<TimestampMillisecondType>();
        Ok(times.iter().map(|time| time.unwrap_or(EventTime::MAX.millis())).collect())
    }
}
