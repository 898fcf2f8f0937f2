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
    /// How far that is complete.
    complete: Option<EventTime>,
}

enum Heard {
    Rows(Arc<str>, RecordBatch),
    Life(RecordBatch),
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
            Stage::Awaited(waiting) => waiting.heard.push(Heard::Rows(Arc::clone(view), rows.clone())),
        }
    }

    /// Takes the signs of life in rows of any topic.
    pub(super) fn hear(&mut self, records: &RecordBatch) {
        match &mut self.stage {
            Stage::Never => {}
            Stage::Ready(scores) => scores.hear(records),
            Stage::Awaited(waiting) => waiting.heard.push(Heard::Life(records.clone())),
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
