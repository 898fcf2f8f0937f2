//! Rows of views that Kafka was told of after the last commit. A restart reads their records again, perhaps in another order
//! between partitions and in other pieces: where a late record comes before the row that it would have taken back, the
//! view never gives that row, and never takes it back.
//!
//! What was given by the commit and told otherwise since is told again as it was then, and goes on from there. What is new
//! since stands until it is told again, or until time has passed it: then it does not hold, and is taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use hexwatch_contract::EventTime;
use hexwatch_history::Told;
use hexwatch_stream::{Output, Rebuilt, ViewRows};

use super::row_keys::RowShapes;
use super::state::State;
use super::telling::Owed;

/// The key of each row, with its result time in epoch milliseconds, by view.
pub(super) type Keys = BTreeMap<Arc<str>, BTreeMap<String, i64>>;

/// Rows that were told and not told again.
#[derive(Default)]
pub(super) struct Unconfirmed(Keys);

impl Unconfirmed {
    /// What was `told` beyond what the `last` commit covers, and what that had not seen again itself. Where records were
    /// lost for good everything stands, and so does what a query told that is no longer there.
    pub(super) fn after(told: Vec<Told>, last: Option<&State>, shapes: &RowShapes) -> Self {
        if last.is_some_and(|state| state.has_gap) {
            return Self::default();
        }
        let mut keys = last.map(|state| state.unconfirmed.clone()).unwrap_or_default();
        for Told { view, rows } in told {
            keys.entry(view.into()).or_default().extend(rows);
        }
        keys.retain(|view, _| shapes.contains_key(view));
        Self(keys)
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.0
    }

    /// Takes note of what is told now.
    pub(super) fn note(&mut self, rows: &ViewRows, shapes: &RowShapes) -> Result<()> {
        let Some(keys) = self.0.get_mut(&rows.view) else { return Ok(()) };
        let shape = shapes.get(&rows.view).cloned().unwrap_or_default();
        for records in [&rows.records, &rows.withdrawn] {
            for key in shape.keys(records)? {
                keys.remove(&key);
            }
        }
        self.0.retain(|_, keys| !keys.is_empty());
        Ok(())
    }

    /// What is to be told again of what a view had given by the commit.
    pub(super) fn rebuilt(&mut self, rebuilt: &Rebuilt, shapes: &RowShapes) -> Result<Vec<ViewRows>> {
        let Some(keys) = self.0.get_mut(&rebuilt.view) else { return Ok(Vec::new()) };
        let shape = shapes.get(&rebuilt.view).cloned().unwrap_or_default();
        let mut again = Vec::new();
        // Nothing has changed those since, whatever was told of them before.
        keys.retain(|_, at| *at >= rebuilt.from.millis());
        for records in &rebuilt.records {
            let was_told = |key: &String| Some(keys.remove(key).is_some());
            let were_told: BooleanArray = shape.keys(records)?.iter().map(was_told).collect();
            let records = filter_record_batch(records, &were_told)?;
            if records.num_rows() > 0 {
                let withdrawn = RecordBatch::new_empty(records.schema());
                let view = Arc::clone(&rebuilt.view);
                again.push(ViewRows { view, output: Output::Topic, records, withdrawn });
            }
        }
        self.0.retain(|_, keys| !keys.is_empty());
        Ok(again)
    }

    /// What does not hold, now that every query has given up to `watermark`.
    pub(super) fn passed(&mut self, watermark: EventTime) -> Vec<Owed> {
        let mut owed = Vec::new();
        for (view, keys) in &mut self.0 {
            let gone = keys.extract_if(.., |_, at| *at <= watermark.millis()).map(|(key, _)| key);
            let gone: Vec<String> = gone.collect();
            if !gone.is_empty() {
                owed.push(Owed::Gone(Arc::clone(view), gone));
            }
        }
        self.0.retain(|_, keys| !keys.is_empty());
        owed
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};

    use super::super::row_keys::RowShape;
    use super::*;

    fn at(second: i64) -> EventTime {
        EventTime::from_millis(second * 1_000)
    }

    fn shapes() -> RowShapes {
        let shape = RowShape { key: vec!["id".to_owned()], time: Some("time".to_owned()) };
        [("few".into(), shape)].into()
    }

    /// Rows that are named after their second.
    fn rows(seconds: &[i64]) -> RecordBatch {
        let ids: StringArray = seconds.iter().map(|second| Some(second.to_string())).collect();
        let times: TimestampMicrosecondArray =
            seconds.iter().map(|second| Some(at(*second).micros())).collect();
        RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("time", Arc::new(times) as _)])
            .unwrap()
    }

    fn told(seconds: &[i64]) -> Vec<Told> {
        let empty = RecordBatch::new_empty(rows(&[]).schema());
        let rows =
            ViewRows { view: "few".into(), output: Output::Topic, records: rows(seconds), withdrawn: empty };
        vec![
            shapes()["few"].told(&rows, at(100)).unwrap(),
            Told { view: "gone".to_owned(), rows: vec![("x".to_owned(), 0)] },
        ]
    }

    fn left(unconfirmed: &Unconfirmed) -> Vec<&str> {
        unconfirmed.keys().values().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }

    #[test]
    fn what_was_given_by_the_commit_is_told_again_and_what_nothing_changes_any_more_is_left_alone() {
        let mut unconfirmed = Unconfirmed::after(told(&[10, 20, 30, 40]), None, &shapes());
        assert_eq!(left(&unconfirmed), ["10", "20", "30", "40"]);
        let rebuilt = Rebuilt { view: "few".into(), from: at(20), records: vec![rows(&[10, 20, 25])] };
        let again = unconfirmed.rebuilt(&rebuilt, &shapes()).unwrap();
        assert_eq!(again.iter().map(|rows| rows.records.clone()).collect::<Vec<_>>(), [rows(&[20])]);
        assert_eq!(left(&unconfirmed), ["30", "40"]);
    }

    #[test]
    fn what_is_not_told_again_by_its_time_is_taken_back() {
        let mut unconfirmed = Unconfirmed::after(told(&[30, 40, 50]), None, &shapes());
        let empty = RecordBatch::new_empty(rows(&[]).schema());
        let given =
            ViewRows { view: "few".into(), output: Output::Topic, records: rows(&[30]), withdrawn: empty };
        unconfirmed.note(&given, &shapes()).unwrap();
        let owed = unconfirmed.passed(at(40));
        assert!(matches!(owed.as_slice(), [Owed::Gone(_, keys)] if *keys == ["40"]));
        assert_eq!(left(&unconfirmed), ["50"]);
        assert!(unconfirmed.passed(at(49)).is_empty());
    }
}
