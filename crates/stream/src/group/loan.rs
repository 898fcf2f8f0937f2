//! A group's queries with the rows that wait for them, on loan to whoever runs them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use hexwatch_contract::{EventTime, Topic};
use hexwatch_sql::Output;

use super::{Group, failed, tell};
use crate::absence::Silences;
use crate::effects::{Effects, Rebuilt};
use crate::error::StreamError;
use crate::feed::Source;
use crate::kept::Stored;
use crate::query::{Grounds, Operator, Query, Told};
use crate::stocks::Stocks;

/// The queries of a group, with the silences that they read.
#[derive(Default)]
pub(super) struct Members {
    pub(super) queries: Vec<Query>,
    pub(super) silences: BTreeMap<Topic, Silences>,
    stocks: Stocks,
    /// How many rows the last run looked at.
    pub(super) has_looked_at: u64,
}

/// Admitted rows on their way to a group.
#[derive(Default)]
pub(super) struct Tray {
    pub(super) batches: Vec<(Topic, RecordBatch)>,
    pub(super) rows: usize,
}

impl Tray {
    pub(super) fn push(&mut self, topic: Topic, records: &RecordBatch) {
        self.rows += records.num_rows();
        self.batches.push((topic, records.clone()));
    }

    /// Adds what came later.
    pub(super) fn append(&mut self, later: Self) {
        self.rows += later.rows;
        self.batches.extend(later.batches);
    }
}

/// How far results are to be given.
#[derive(Clone, Debug)]
pub(crate) struct Until {
    /// The merged watermark that it counts as.
    pub(crate) merged: EventTime,
    /// The watermark for the queries: beyond all time where there is no more to come.
    pub(crate) watermark: EventTime,
    /// Silences are seen up to here.
    pub(crate) known: EventTime,
    /// The lateness of queries that declare none.
    pub(crate) lateness: Duration,
    /// For how long results are corrected.
    pub(crate) horizon: Duration,
    /// The time of the earliest row that waits to correct something.
    pub(crate) held: Option<EventTime>,
}

impl Until {
    /// The watermark of a query that waits `lateness` behind the latest rows instead of the usual.
    fn for_lateness(&self, lateness: Option<Duration>) -> EventTime {
        let is_moment = self.watermark < EventTime::MAX && self.watermark > EventTime::MIN;
        match lateness {
            Some(lateness) if is_moment => self.watermark + self.lateness - lateness,
            _ => self.watermark,
        }
    }

    /// The watermark that decides what is kept, where a query's own is `watermark`.
    fn for_keeping(&self, watermark: EventTime) -> EventTime {
        self.held.map_or(watermark, |held| watermark.min(held + self.horizon))
    }
}

/// A group of queries that something is due of: rows wait for them, or the watermark has moved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Due {
    /// Which group.
    pub group: usize,
    /// Whether a rule among them speaks at once, whatever the watermark.
    pub is_urgent: bool,
}

/// What a run is to do beside taking the rows.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// No more: what was given before a restart has not been read again.
    Take,
    /// To give once more what was given before it, up to this watermark, to nobody.
    Rebuild(Until),
    /// To correct what was given, by rows that came late.
    Correct(Until),
    /// To give what is due.
    Give(Until),
}

/// A group's queries with the rows that wait for them, on loan to whoever runs them.
#[must_use = "what is lent has to come back"]
pub struct Loan {
    pub(super) due: Due,
    pub(super) members: Members,
    pub(super) tray: Tray,
    pub(super) errand: Errand,
}

/// A loan after it was run.
#[must_use = "what is lent has to come back"]
pub struct Returned {
    due: Due,
    members: Members,
    errand: Errand,
    effects: Effects,
}

impl Loan {
    /// Which group this is.
    #[must_use]
    pub fn due(&self) -> Due {
        self.due
    }

    /// Runs the queries. It needs nothing of the engine, and no runtime's worker should do it.
    ///
    /// # Errors
    /// Where a query fails.
    pub fn run(mut self) -> Result<Returned, StreamError> {
        let mut effects = Effects::default();
        self.members.run(&self.tray, &self.errand, &mut effects)?;
        Ok(Returned { due: self.due, members: self.members, errand: self.errand, effects })
    }
}

impl Returned {
    /// Which group this is.
    #[must_use]
    pub fn due(&self) -> Due {
        self.due
    }

    /// How much its queries keep of what they may look back at, as of when they last dropped something.
    #[must_use]
    pub fn stored(&self) -> Stored {
        self.members.stocks.stored()
    }

    pub(crate) fn into_effects(self, groups: &mut [Group]) -> Effects {
        let Self { due, members, errand, mut effects } = self;
        let group = &mut groups[due.group];
        effects.is_beyond = group.has_passed();
        group.receive(members, &errand);
        effects
    }
}

impl Members {
    pub(super) fn new(mut queries: Vec<Query>, silences: BTreeMap<Topic, Silences>) -> Self {
        let lookbacks = queries.iter_mut().filter_map(|query| match &mut query.operator {
            Operator::Lookback(lookback) => Some((lookback.as_mut(), query.lateness)),
            Operator::Filter(_) | Operator::Panes(_) => None,
        });
        let stocks = Stocks::of(lookbacks);
        Self { queries, silences, stocks, has_looked_at: 0 }
    }

    /// The same before the first row.
    pub(super) fn renewed(self) -> Self {
        Self {
            queries: self.queries.into_iter().map(Query::renewed).collect(),
            silences: self
                .silences
                .into_iter()
                .map(|(topic, silences)| (topic, silences.renewed()))
                .collect(),
            stocks: self.stocks.renewed(),
            has_looked_at: 0,
        }
    }

    /// Takes the rows of `tray`, then does its errand. Each query tells once: what a run gives it does not take back.
    pub(super) fn run(
        &mut self,
        tray: &Tray,
        errand: &Errand,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        let before = self.looked_at();
        for (topic, records) in &tray.batches {
            self.take(*topic, records)?;
        }
        match errand {
            Errand::Take => {}
            Errand::Rebuild(until) => self.give_again(until, effects)?,
            Errand::Correct(until) => self.correct(until, effects)?,
            Errand::Give(until) => self.give(until, effects)?,
        }
        self.has_looked_at = self.looked_at() - before;
        Ok(())
    }

    fn looked_at(&self) -> u64 {
        self.queries.iter().map(Query::looked_at).sum()
    }

    /// Gives anew what the rows change that came, and nothing beyond what was given.
    fn correct(&mut self, until: &Until, effects: &mut Effects) -> Result<(), StreamError> {
        let (stocks, silences) = (&self.stocks, &self.silences);
        let grounds = Grounds { stocks, silences, known: until.known, held: until.held };
        for query in &mut self.queries {
            let told = query.correct(grounds).map_err(failed(&query.name))?;
            if let Some(changes) = told {
                tell(query, changes, effects)?;
            }
        }
        Ok(())
    }

    /// What errors say that belong to no single query.
    fn first_name(&self) -> Arc<str> {
        self.queries.first().map(|query| Arc::clone(&query.name)).unwrap_or_default()
    }

    fn give(&mut self, until: &Until, effects: &mut Effects) -> Result<(), StreamError> {
        let (stocks, silences) = (&self.stocks, &self.silences);
        let grounds = Grounds { stocks, silences, known: until.known, held: until.held };
        for query in &mut self.queries {
            let own = until.for_lateness(query.lateness);
            let told = query.advance(own, grounds).map_err(failed(&query.name))?;
            if let Some(changes) = told {
                tell(query, changes, effects)?;
            }
        }
        let watermark = |lateness| until.for_keeping(until.for_lateness(lateness)).micros();
        let first = self.first_name();
        let parts: Vec<_> = self.queries.iter().flat_map(Query::parts).collect();
        self.stocks.drop_before(watermark, &parts).map_err(failed(&first))
    }

    /// Gives what was given before a restart: nobody hears of it, but for what can still be corrected. (Of what lies
    /// further back not all rows need be there.)
    fn give_again(&mut self, until: &Until, effects: &mut Effects) -> Result<(), StreamError> {
        let mut again = Effects::default();
        self.give(until, &mut again)?;
        let from = until.for_keeping(until.merged) - until.horizon;
        effects.recalled.extend(again.hits.into_iter().filter(|hit| hit.at >= from));
        let to_topics = self.queries.iter().filter(|query| matches!(query.told, Told::View(Output::Topic)));
        effects.rebuilt.extend(to_topics.map(|query| {
            let own = again.rows.iter().filter(|rows| rows.view == query.name);
            let records = own.map(|rows| rows.records.clone()).collect();
            Rebuilt { view: Arc::clone(&query.name), from, records }
        }));
        Ok(())
    }

    fn take(&mut self, topic: Topic, records: &RecordBatch) -> Result<(), StreamError> {
        for query in &mut self.queries {
            query.take(topic, records).map_err(failed(&query.name))?;
        }
        let first = self.first_name();
        for arrival in self.stocks.take(topic, records).map_err(failed(&first))? {
            self.queries.iter_mut().for_each(|query| query.note(&arrival));
        }
        if let Some(silences) = self.silences.get_mut(&topic) {
            let changed = silences.observe(records);
            for query in &mut self.queries {
                query.touch_silences(topic, &changed);
            }
        }
        Ok(())
    }

    /// The time of the earliest row of `topic` that is kept.
    pub(super) fn earliest(&self, topic: Topic) -> Option<EventTime> {
        self.stocks.earliest(topic).map(EventTime::from_micros)
    }

    /// Whether rows of `topic` say anything to them.
    pub(super) fn listen_to(&self, topic: Topic) -> bool {
        self.silences.contains_key(&topic)
            || self.queries.iter().any(|query| query.sources.contains(&Source::Events(topic)))
    }
}
