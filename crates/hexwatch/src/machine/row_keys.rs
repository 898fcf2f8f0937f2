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
    /// The columns that identify a row; all of them where none is named.
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

    /// The key of each row: the values of the columns that identify it, joined with `/`.
    ///
    /// # Errors
    /// Where a value cannot be shown.
    pub fn keys(&self, records: &RecordBatch) -> Result<Vec<String>> {
        if records.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let schema = records.schema();
        let named: Vec<usize> = self.key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let records = if named.is_empty() { records.clone() } else { records.project(&named)? };
        let records = presentable(&records, false)?;
        let options = FormatOptions::default();
        let parts = records.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let key_of =
            |row: usize| parts.iter().map(|part| part.value(row).to_string()).collect::<Vec<_>>().join("/");
        Ok((0..records.num_rows()).map(key_of).collect())
    }

    /// What is to be noted before `rows` are told, which are complete up to `given`.
    pub(super) fn told(&self, rows: &ViewRows, given: EventTime) -> Result<Told> {
        let mut told = Vec::new();
        for records in [&rows.records, &rows.withdrawn] {
            told.extend(self.keys(records)?.into_iter().zip(self.times(records, given)?));
        }
        Ok(Told { view: rows.view.to_string(), rows: told })
    }

    /// The result time of each row in epoch milliseconds. One that has none was given by `given`, and a restart has come to
    /// it again by then.
    fn times(&self, records: &RecordBatch, given: EventTime) -> Result<Vec<i64>> {
        let Some(column) = self.time.as_ref().and_then(|name| records.column_by_name(name)) else {
            return Ok(vec![given.millis(); records.num_rows()]);
        };
        let times = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
        let times = times.as_primitive::<TimestampMillisecondType>();
        Ok(times.iter().map(|time| time.unwrap_or(given.millis())).collect())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
    use hexwatch_stream::Output;

    use super::*;

    /// Two rows; the second has no result time.
    fn rows() -> RecordBatch {
        let doors: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![3, 4]));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(5_000_000), None]));
        RecordBatch::try_from_iter([("door", doors), ("n", counts), ("until", times)]).unwrap()
    }

    fn shape(key: &[&str], time: Option<&str>) -> RowShape {
        RowShape {
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            time: time.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn a_key_is_made_of_the_named_columns_and_of_all_where_none_is_named() {
        assert_eq!(shape(&["n", "door"], None).keys(&rows()).unwrap(), ["3/a", "4/b"]);
        let all = shape(&[], None).keys(&rows()).unwrap();
        assert!(all[0].starts_with("a/3/1970-01-01T00:00:05"), "{all:?}");
        assert!(all[1].starts_with("b/4/"), "{all:?}");
    }

    #[test]
    fn a_row_without_a_result_time_was_given_by_what_is_complete() {
        let withdrawn = RecordBatch::new_empty(rows().schema());
        let rows = ViewRows { view: "doors".into(), output: Output::Topic, records: rows(), withdrawn };
        let given = EventTime::from_millis(9_000);
        let times = |shape: RowShape| {
            let told = shape.told(&rows, given).unwrap();
            told.rows.into_iter().map(|(_, at)| at).collect::<Vec<_>>()
        };
        assert_eq!(times(shape(&["door"], Some("until"))), [5_000, 9_000]);
        assert_eq!(times(shape(&["door"], None)), [9_000, 9_000]);
    }
}
