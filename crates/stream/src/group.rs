//! Queries that give together: the files of one rule, those that read silences, or a view alone.
//!
//! Rows wait in a group's tray until its queries run. They run in place, or lent: a [`Loan`] carries the queries and
//! their tray away, so that somebody else can run them while the engine takes more. What a group gives follows from
//! its own rows and watermarks alone, so it is the same whoever runs it, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use hexwatch_contract::{EventTime, Topic};

use crate::absence::{AbsenceSnapshot, Silences};
use crate::effects::{Effects, ViewRows};
use crate::error::StreamError;
use crate::feed::Source;
use crate::hit::hits;
use crate::query::{Query, Told};
use crate::rows::Changes;

/// The queries of a group, with the silences that they read.
#[derive(Default)]
struct Members {
    queries: Vec<Query>,
    silences: BTreeMap<Topic, Silences>,
}

/// Admitted rows on their way to a group.
#[derive(Default)]
struct Tray {
    batches: Vec<(Topic, RecordBatch)>,
    rows: usize,
}

/// So many rows are taken out of a tray although nothing may be given yet: queries keep less of them than a tray does.
const FULL_TRAY: usize = 16_384;

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
enum Errand {
    /// No more: what was given before a restart has not been read again.
    Take,
    /// To give once more what was given before it, up to this watermark, to nobody.
    Rebuild(Until),
    /// To give what is due.
    Give(Until),
}

/// A group's queries with the rows that wait for them, on loan to whoever runs them.
#[must_use = "what is lent has to come back"]
pub struct Loan {
    due: Due,
    members: Members,
    tray: Tray,
    errand: Errand,
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

    pub(crate) fn into_effects(self, groups: &mut [Group]) -> Effects {
        let Self { due, members, errand, effects } = self;
        groups[due.group].receive(members, &errand);
        effects
    }
}

impl Members {
    /// Takes the rows of `tray`, then does its errand.
    fn run(&mut self, tray: &Tray, errand: &Errand, effects: &mut Effects) -> Result<(), StreamError> {
        for (topic, records) in &tray.batches {
            self.take(*topic, records)?;
        }
        match errand {
            Errand::Take => Ok(()),
            Errand::Rebuild(until) => self.give_again(until, effects),
            Errand::Give(until) => self.give(until, effects),
        }
    }

    fn give(&mut self, until: &Until, effects: &mut Effects) -> Result<(), StreamError> {
        for query in &mut self.queries {
            let own = until.for_lateness(query.lateness);
            let told = query.advance(own, &self.silences, until.known).map_err(failed(&query.name))?;
            if let Some(changes) = told {
                tell(query, changes, effects)?;
            }
        }
        Ok(())
    }

    /// Gives what was given before a restart: nobody hears of it, but for what can still be corrected. (Of what lies
    /// further back not all rows need be there.)
    fn give_again(&mut self, until: &Until, effects: &mut Effects) -> Result<(), StreamError> {
        let mut again = Effects::default();
        self.give(until, &mut again)?;
        let from = until.merged - until.horizon;
        effects.recalled.extend(again.hits.into_iter().filter(|hit| hit.at >= from));
        Ok(())
    }

    fn take(&mut self, topic: Topic, records: &RecordBatch) -> Result<(), StreamError> {
        for query in &mut self.queries {
            query.take(topic, records).map_err(failed(&query.name))?;
        }
        if let Some(silences) = self.silences.get_mut(&topic) {
            let changed = silences.observe(records);
            for query in &mut self.queries {
                query.touch_silences(topic, &changed);
            }
        }
        Ok(())
    }

    /// Whether rows of `topic` say anything to them.
    fn listen_to(&self, topic: Topic) -> bool {
        self.silences.contains_key(&topic)
            || self.queries.iter().any(|query| query.sources.contains(&Source::Events(topic)))
    }
}

/// Queries that give together.
pub(crate) struct Group {
    /// Empty while they are lent.
    members: Members,
    is_lent: bool,
    tray: Tray,
    /// The merged watermark up to which they have given.
    given: EventTime,
    /// That watermark before a restart, while what they had given is being rebuilt.
    rebuilding_to: Option<EventTime>,
    /// Rows that came after it, and wait until that is done.
    beyond: Tray,
    /// What is known of them wherever they are.
    topics: BTreeSet<Topic>,
    is_urgent: bool,
    names: Vec<Arc<str>>,
    uncorrected: Vec<u64>,
    span: i64,
    lateness: Option<Duration>,
}

impl Group {
    fn new(members: Members) -> Self {
        let queries = &members.queries;
        Self {
            is_lent: false,
            tray: Tray::default(),
            given: EventTime::MIN,
            rebuilding_to: None,
            beyond: Tray::default(),
            topics: Topic::ALL.into_iter().filter(|topic| members.listen_to(*topic)).collect(),
            is_urgent: queries.iter().any(|query| query.immediate && matches!(query.told, Told::Rule(_))),
            names: queries.iter().map(|query| Arc::clone(&query.name)).collect(),
            uncorrected: vec![0; queries.len()],
            span: queries.iter().map(Query::span).max().unwrap_or(0),
            lateness: queries.iter().filter_map(|query| query.lateness).max(),
            members,
        }
    }

    /// Groups of `queries`, in the order of their first ones. Those that read an absence stand together with the
    /// `silences` that they read.
    pub(crate) fn of(queries: Vec<Query>, mut silences: BTreeMap<Topic, Silences>) -> Vec<Self> {
        let silent_rules: BTreeSet<Arc<str>> =
            queries.iter().filter(|query| reads_absence(query)).filter_map(rule_of).collect();
        let bond = |query: &Query| match rule_of(query) {
            _ if reads_absence(query) => Bond::Silences,
            Some(rule) if silent_rules.contains(&rule) => Bond::Silences,
            Some(rule) => Bond::Rule(rule),
            None => Bond::View(Arc::clone(&query.name)),
        };
        let mut groups: Vec<(Bond, Members)> = Vec::new();
        for query in queries {
            let bond = bond(&query);
            match groups.iter_mut().find(|(other, _)| *other == bond) {
                Some((_, members)) => members.queries.push(query),
                None => groups.push((bond, Members { queries: vec![query], silences: BTreeMap::new() })),
            }
        }
        let with_silences = |(bond, mut members): (Bond, Members)| {
            if bond == Bond::Silences {
                members.silences = std::mem::take(&mut silences);
            }
            Self::new(members)
        };
        groups.into_iter().map(with_silences).collect()
    }

    /// The same queries before their first row. What is lent is lost.
    pub(crate) fn renewed(self) -> Self {
        let Members { queries, silences } = self.members;
        Self::new(Members {
            queries: queries.into_iter().map(Query::renewed).collect(),
            silences: silences.into_iter().map(|(topic, silences)| (topic, silences.renewed())).collect(),
        })
    }

    /// Takes up at `watermark`: what it had given is rebuilt first, without a word.
    pub(crate) fn restore(&mut self, watermark: EventTime, absences: &[AbsenceSnapshot]) {
        self.rebuilding_to = Some(watermark);
        for silences in self.members.silences.values_mut() {
            for snapshot in absences {
                silences.resume(snapshot);
            }
        }
    }

    /// Takes admitted rows: they wait until its queries run. `again`: they were taken before a restart.
    pub(crate) fn take(&mut self, topic: Topic, records: &RecordBatch, again: bool) {
        if self.topics.contains(&topic) {
            let tray = if self.is_rebuilding() && !again { &mut self.beyond } else { &mut self.tray };
            tray.rows += records.num_rows();
            tray.batches.push((topic, records.clone()));
        }
    }

    pub(crate) fn is_rebuilding(&self) -> bool {
        self.rebuilding_to.is_some()
    }

    /// Whether it has given all that `merged` and its rows allow.
    pub(crate) fn is_settled(&self, merged: EventTime) -> bool {
        !self.is_lent && !self.is_rebuilding() && self.tray.batches.is_empty() && self.given >= merged
    }

    pub(crate) fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// How many rows wait to be taken.
    pub(crate) fn waiting(&self) -> usize {
        self.tray.rows
    }

    /// As `group`, where something is due of it at the watermark `merged`. While it waits for topics that are `unread`
    /// after a restart, that is only where its tray is full.
    pub(crate) fn due(&self, group: usize, merged: EventTime, unread: &BTreeSet<Topic>) -> Option<Due> {
        let is_due = if self.is_rebuilding() {
            self.topics.is_disjoint(unread) || self.tray.rows >= FULL_TRAY
        } else {
            !self.is_settled(merged)
        };
        (is_due && !self.is_lent).then_some(Due { group, is_urgent: self.is_urgent })
    }

    fn errand(&self, until: &Until, unread: &BTreeSet<Topic>) -> Errand {
        match self.rebuilding_to {
            None => Errand::Give(until.clone()),
            Some(_) if !self.topics.is_disjoint(unread) => Errand::Take,
            Some(merged) => {
                Errand::Rebuild(Until { merged, watermark: merged, known: merged, ..until.clone() })
            }
        }
    }

    /// Runs its queries in place.
    pub(crate) fn run(
        &mut self,
        until: &Until,
        unread: &BTreeSet<Topic>,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        let errand = self.errand(until, unread);
        self.members.run(&std::mem::take(&mut self.tray), &errand, effects)?;
        self.note(&errand);
        Ok(())
    }

    /// Lends its queries, as `group`.
    pub(crate) fn lend(&mut self, group: usize, until: &Until, unread: &BTreeSet<Topic>) -> Loan {
        self.is_lent = true;
        Loan {
            due: Due { group, is_urgent: self.is_urgent },
            errand: self.errand(until, unread),
            members: std::mem::take(&mut self.members),
            tray: std::mem::take(&mut self.tray),
        }
    }

    fn receive(&mut self, members: Members, errand: &Errand) {
        self.members = members;
        self.is_lent = false;
        self.note(errand);
    }

    /// Notes that an errand is done.
    fn note(&mut self, errand: &Errand) {
        match errand {
            Errand::Take => {}
            Errand::Rebuild(until) => {
                self.given = until.merged;
                self.rebuilding_to = None;
                // Nothing came meanwhile that was given before: its topics had been read.
                self.tray = std::mem::take(&mut self.beyond);
            }
            Errand::Give(until) => self.given = self.given.max(until.merged),
        }
        self.uncorrected = self.members.queries.iter().map(Query::uncorrected).collect();
    }

    pub(crate) fn given(&self) -> EventTime {
        self.given
    }

    /// Its queries, unless they are lent.
    pub(crate) fn queries(&self) -> impl Iterator<Item = &Query> {
        self.members.queries.iter()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// For each query the rows that came too late for it, as of its last run.
    pub(crate) fn uncorrected(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names().zip(self.uncorrected.iter().copied())
    }

    pub(crate) fn listens_to(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }

    /// How far the rows behind one result can lie apart, in microseconds.
    pub(crate) fn span(&self) -> i64 {
        self.span
    }

    /// The longest that one of its queries waits behind the latest rows, where one declares it.
    pub(crate) fn lateness(&self) -> Option<Duration> {
        self.lateness
    }

    pub(crate) fn snapshots(&self) -> impl Iterator<Item = AbsenceSnapshot> {
        self.members.silences.values().map(Silences::snapshot)
    }

    /// Drops silences before `floor`, in microseconds.
    pub(crate) fn drop_before(&mut self, floor: i64) {
        for silences in self.members.silences.values_mut() {
            silences.drop_before(floor);
        }
    }
}

/// What keeps queries together.
#[derive(PartialEq, Eq)]
enum Bond {
    Silences,
    Rule(Arc<str>),
    View(Arc<str>),
}

fn rule_of(query: &Query) -> Option<Arc<str>> {
    match &query.told {
        Told::Rule(rule) => Some(Arc::clone(&rule.name)),
        Told::View(_) => None,
    }
}

fn reads_absence(query: &Query) -> bool {
    query.sources.iter().any(|source| matches!(source, Source::Absence(_)))
}

pub(crate) fn failed(query: &Arc<str>) -> impl Fn(DataFusionError) -> StreamError {
    let query = query.to_string();
    move |source| StreamError::Query { query: query.clone(), source }
}

/// Adds what `query` gave to `effects`.
pub(crate) fn tell(query: &Query, changes: Changes, effects: &mut Effects) -> Result<(), StreamError> {
    match &query.told {
        Told::Rule(rule) => {
            effects.hits.extend(hits(rule, &changes.rows)?);
            effects.withdrawn_hits.extend(hits(rule, &changes.withdrawn)?);
        }
        Told::View(output) => effects.rows.push(ViewRows {
            view: Arc::clone(&query.name),
            output: *output,
            records: changes.rows,
            withdrawn: changes.withdrawn,
        }),
    }
    Ok(())
}
