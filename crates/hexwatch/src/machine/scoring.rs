//! Where rows go that risk is scored of: to the scorer, or to what it has to hear later: while its past is still read from
//! the history, and while it closes windows. Sixty thousand cells took up to a second for that, so that it is done a piece
//! at a time: no alarm waits for it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use hexwatch_contract::EventTime;
use hexwatch_contract::risk::CellRisk;
use hexwatch_risk::Closed;
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
    /// It closes windows up to this watermark.
    Closing(Box<Scores>, EventTime, Waiting),
    /// It is not there yet; up to this watermark all has come.
    Awaited(Waiting, Option<EventTime>),
}

/// So many rows take about as long to hear as a window to close.
const ROWS_A_WINDOW: usize = 16;

/// What has come since for a scorer that is not ready, in its order.
#[derive(Default)]
struct Waiting {
    heard: VecDeque<Heard>,
    /// How many rows that are.
    rows: usize,
}

enum Heard {
    Rows(Arc<str>, RecordBatch),
    Life(RecordBatch),
    /// All up to a watermark.
    Complete(EventTime),
}

impl Heard {
    fn rows(&self) -> usize {
        match self {
            Self::Rows(_, rows) | Self::Life(rows) => rows.num_rows(),
            Self::Complete(_) => 0,
        }
    }
}

impl Waiting {
    fn push(&mut self, heard: Heard) {
        self.rows += heard.rows();
        self.heard.push_back(heard);
    }

    /// Lets `scores` hear what came up to the next watermark, which it returns, or up to the end.
    fn tell(&mut self, scores: &mut Scores) -> Option<EventTime> {
        while let Some(heard) = self.heard.pop_front() {
            self.rows -= heard.rows();
            match heard {
                Heard::Rows(view, rows) => scores.take(&view, &rows),
                Heard::Life(records) => scores.hear(&records),
                Heard::Complete(watermark) => return Some(watermark),
            }
        }
        None
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
        Self { queries: names(scores), stage: Stage::Awaited(Waiting::default(), None) }
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
            Stage::Awaited(waiting, _) | Stage::Closing(_, _, waiting) => waiting.rows,
            Stage::Never | Stage::Ready(_) => 0,
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.stage, Stage::Awaited(..))
    }

    /// Whether windows are still to be closed: see [`Scoring::go_on`].
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing(..))
    }

    /// How many registered sensors are silent.
    pub(super) fn silent(&self) -> usize {
        match &self.stage {
            Stage::Ready(scores) | Stage::Closing(scores, ..) => scores.silent(),
            Stage::Never | Stage::Awaited(..) => 0,
        }
    }

    /// Takes rows of the query `view`.
    pub(super) fn take(&mut self, view: &Arc<str>, rows: &RecordBatch) {
        match &mut self.stage {
            Stage::Never => {}
            Stage::Ready(scores) => scores.take(view, rows),
            Stage::Awaited(waiting, _) | Stage::Closing(_, _, waiting) => {
                waiting.push(Heard::Rows(Arc::clone(view), rows.clone()));
            }
        }
    }

    /// Takes the signs of life in rows of any topic.
    pub(super) fn hear(&mut self, records: &RecordBatch) {
        match &mut self.stage {
            Stage::Never => {}
            Stage::Ready(scores) => scores.hear(records),
            Stage::Awaited(waiting, _) | Stage::Closing(_, _, waiting) => {
                waiting.push(Heard::Life(records.clone()));
            }
        }
    }

    /// Begins to close windows up to `watermark`, for [`Scoring::go_on`] to do.
    pub(super) fn advance(&mut self, watermark: EventTime) {
        self.stage = match std::mem::take(&mut self.stage) {
            Stage::Never => Stage::Never,
            Stage::Ready(scores) => Stage::Closing(scores, watermark, Waiting::default()),
            Stage::Closing(scores, until, mut waiting) => {
                waiting.push(Heard::Complete(watermark));
                Stage::Closing(scores, until, waiting)
            }
            Stage::Awaited(waiting, complete) => Stage::Awaited(waiting, complete.max(Some(watermark))),
        };
    }

    /// Closes about `most` windows of cells. Gives what cells have to say, each time with how far that is complete.
    pub(super) fn go_on(&mut self, most: usize) -> Vec<(EventTime, Vec<CellRisk>)> {
        let (mut said, mut budget) = (Vec::new(), most);
        while let Stage::Closing(scores, until, waiting) = &mut self.stage
            && budget > 0
        {
            let Closed { rows, complete, is_all } = scores.advance_by(*until, &mut budget);
            said.push((complete, rows));
            if is_all {
                let waited = waiting.rows;
                let next = waiting.tell(scores);
                budget = budget.saturating_sub((waited - waiting.rows) / ROWS_A_WINDOW);
                match next {
                    Some(watermark) => *until = watermark,
                    None => self.be_ready(),
                }
            }
        }
        said
    }

    fn be_ready(&mut self) {
        if let Stage::Closing(scores, ..) = std::mem::take(&mut self.stage) {
            self.stage = Stage::Ready(scores);
        }
    }

    /// Goes on with `scores`, which know their past.
    pub(super) fn give(&mut self, mut scores: Scores) {
        let Stage::Awaited(mut waiting, until) = std::mem::take(&mut self.stage) else { return };
        waiting.tell(&mut scores);
        self.stage = match until {
            Some(until) => Stage::Closing(Box::new(scores), until, Waiting::default()),
            None => Stage::Ready(Box::new(scores)),
        };
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
        scoring.advance(EventTime::from_millis(40_000));
        said(scoring, usize::MAX)
    }

    /// All that is said, `most` windows at a time.
    fn said(scoring: &mut Scoring, most: usize) -> Vec<CellRisk> {
        let mut said = Vec::new();
        while scoring.is_closing() {
            said.extend(scoring.go_on(most).into_iter().flat_map(|(_, risks)| risks));
        }
        said
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
        awaited.give(late);
        assert_eq!(self::said(&mut awaited, usize::MAX), said);
        assert_eq!((awaited.is_awaited(), awaited.waiting()), (false, 0));
    }

    #[test]
    fn what_comes_while_windows_are_closed_is_heard_behind_them_and_in_its_order() {
        let view: Arc<str> = Arc::from("risk_panic");
        let run = |most: usize| {
            let (mut scoring, mut said) = (Scoring::by(scores()), Vec::new());
            for second in [5, 25, 12, 47, 3, 90] {
                scoring.take(&view, &press(second));
                scoring.advance(EventTime::from_millis(second * 1_000));
                said.extend(scoring.go_on(most));
            }
            let waited = scoring.waiting();
            while scoring.is_closing() {
                said.extend(scoring.go_on(most));
            }
            assert_eq!(scoring.waiting(), 0);
            let complete: Vec<EventTime> = said.iter().map(|(complete, _)| *complete).collect();
            assert_eq!(complete.last(), Some(&EventTime::from_millis(90_000)));
            (said.into_iter().flat_map(|(_, risks)| risks).collect::<Vec<_>>(), waited)
        };
        let (at_once, none) = run(usize::MAX);
        let (in_pieces, some) = run(1);
        assert_eq!(in_pieces, at_once);
        assert!(none == 0 && some > 0, "{none} and {some} rows waited");
    }

    #[test]
    fn where_no_risk_is_scored_nothing_waits() {
        let mut never = Scoring::default();
        never.hear(&press(5));
        assert_eq!((never.waiting(), never.is_awaited()), (0, false));
        never.advance(EventTime::MAX);
        assert!(!never.is_closing() && never.go_on(1).is_empty());
    }
}
