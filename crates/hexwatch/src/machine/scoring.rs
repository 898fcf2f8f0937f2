//! Where rows go that risk is scored of: to the scorer, or, while its past is still read from the history, to what it has
//! to hear then. No alarm waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use hexwatch_contract::EventTime;
use hexwatch_contract::risk::CellRisk;
use hexwatch_stream::Engine;

use super::scores::Scores;

/// The scorer, if risk is scored at all.
#[derive(Default)]
pub struct Scoring {
    stage: Stage,
    /// The queries whose rows feed it.
    queries: BTreeSet<String>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Never,
    Ready(Box<Scores>),
    Awaited(Waiting),
}

/// What has come since for a scorer that is awaited, in its order.
#[derive(Default)]
struct Waiting {
    heard: Vec<Heard>,
    /// How many rows that are.
    rows: usize,
    /// How far that is complete.
    complete: Option<EventTime>,
}

enum Heard {
    Rows(Arc<str>, RecordBatch),
    Life(RecordBatch),
}

impl Waiting {
    fn push(&mut self, heard: Heard) {
        let (Heard::Rows(_, rows) | Heard::Life(rows)) = &heard;
        self.rows += rows.num_rows();
        self.heard.push(heard);
    }
}

impl Scoring {
    /// By `scores`, which know their past.
    #[must_use]
    pub fn by(scores: Scores) -> Self {
        Self { queries: names(&scores), stage: Stage::Ready(Box::new(scores)) }
    }

    /// By `scores`, once they know their past: see [`Machine::give_scores`](super::Machine::give_scores).
    #[must_use]
    pub fn awaiting(scores: &Scores) -> Self {
        Self { queries: names(scores), stage: Stage::Awaited(Waiting::default()) }
    }

    /// Whether a term of risk waits for more than its own rows in `engine`.
    pub(super) fn waits_for_more(&self, engine: &Engine) -> bool {
        self.queries.iter().any(|query| !engine.is_filter(query))
    }

    /// Whether rows of `view` are for it alone.
    pub(super) fn feeds(&self, view: &str) -> bool {
        self.queries.contains(view)
    }

    /// How many rows wait for it.
    pub(super) fn waiting(&self) -> usize {
        match &self.stage {
            Stage::Awaited(waiting) => waiting.rows,
            Stage::Never | Stage::Ready(_) => 0,
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.stage, Stage::Awaited(_))
    }

    /// How many registered sensors are silent.
    pub(super) fn silent(&self) -> usize {
        match &self.stage {
            Stage::Ready(scores) => scores.silent(),
            Stage::Never | Stage::Awaited(_) => 0,
        }
    }

    /// Takes rows of the query `view`.
    pub(super) fn take(&mut self, view: &Arc<str>, rows: &RecordBatch) {
        match &mut self.stage {
            Stage::Never => {}
            Stage::Ready(scores) => scores.take(view, rows),
            Stage::Awaited(waiting) => waiting.push(Heard::Rows(Arc::clone(view), rows.clone())),
        }
    }

    /// Takes the signs of life in rows of any topic.
    pub(super) fn hear(&mut self, records: &RecordBatch) {
        match &mut self.stage {
            Stage::Never => {}
            Stage::Ready(scores) => scores.hear(records),
            Stage::Awaited(waiting) => waiting.push(Heard::Life(records.clone())),
        }
    }

    /// Closes windows up to `watermark`.
    pub(super) fn advance(&mut self, watermark: EventTime) -> Vec<CellRisk> {
        match &mut self.stage {
            Stage::Never => Vec::new(),
            Stage::Ready(scores) => scores.advance(watermark),
            Stage::Awaited(waiting) => {
                waiting.complete = waiting.complete.max(Some(watermark));
                Vec::new()
            }
        }
    }

    /// Goes on with `scores`, which know their past. Gives how far they are to be closed.
    pub(super) fn give(&mut self, mut scores: Scores) -> Option<EventTime> {
        let Stage::Awaited(waiting) = std::mem::take(&mut self.stage) else { return None };
        for heard in waiting.heard {
            match heard {
                Heard::Rows(view, rows) => scores.take(&view, &rows),
                Heard::Life(records) => scores.hear(&records),
            }
        }
        self.stage = Stage::Ready(Box::new(scores));
        waiting.complete
    }
}

fn names(scores: &Scores) -> BTreeSet<String> {
    scores.queries().iter().map(|query| query.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure")]

    use std::time::Duration;

    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use hexwatch_grid::Site;
    use hexwatch_risk::Terms;

    use super::*;

    fn scores() -> Scores {
        let terms = Terms::parse(include_str!("../../../../queries/risk.toml")).unwrap();
        Scores::new(terms, Duration::from_mins(10), &Arc::new(Site::default())).unwrap()
    }

    fn press(second: i64) -> RecordBatch {
        let cell = hexwatch_grid::cell::cell_at(120.15, 30.27, 11).unwrap();
        let time = TimestampMicrosecondArray::from(vec![second * 1_000_000]).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 6] = [
            ("cell", Arc::new(Int64Array::from(vec![cell.to_i64()]))),
            ("time", Arc::new(time)),
            ("topic", Arc::new(StringArray::from(vec!["panic"]))),
            ("partition", Arc::new(Int32Array::from(vec![0]))),
            ("offset", Arc::new(Int64Array::from(vec![second]))),
            ("id", Arc::new(StringArray::from(vec![format!("p{second}")]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn hear(scoring: &mut Scoring) -> Vec<CellRisk> {
        let view: Arc<str> = Arc::from("risk_panic");
        assert!(scoring.feeds(&view));
        scoring.take(&view, &press(5));
        scoring.take(&view, &press(25));
        scoring.advance(EventTime::from_millis(40_000))
    }

    #[test]
    fn scores_that_come_late_say_what_they_would_have_said() {
        let mut ready = Scoring::by(scores());
        let said = hear(&mut ready);
        assert!(said.iter().any(|risk| risk.score.is_some() && risk.n_events == 2), "{said:?}");

        let late = scores();
        let mut awaited = Scoring::awaiting(&late);
        assert!(hear(&mut awaited).is_empty());
        assert_eq!((awaited.is_awaited(), awaited.waiting()), (true, 2));
        let complete = awaited.give(late).unwrap();
        assert_eq!(awaited.advance(complete), said);
        assert_eq!((awaited.is_awaited(), awaited.waiting()), (false, 0));
    }

    #[test]
    fn where_no_risk_is_scored_nothing_waits() {
        let mut never = Scoring::default();
        never.hear(&press(5));
        assert_eq!((never.waiting(), never.is_awaited()), (0, false));
        assert!(never.advance(EventTime::MAX).is_empty());
    }
}
