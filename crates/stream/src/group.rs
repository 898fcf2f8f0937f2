//! Queries that give together: the files of one rule, those that read silences, or a view alone.
//!
//! Rows wait in a group's tray until its queries run. They run in place, or lent: a [`Loan`] carries the queries and
//! their tray away, so that somebody else can run them while the engine takes more. What a group gives follows from
//! its own rows and watermarks alone, so it is the same whoever runs it, and when.

mod bond;
mod corrections;
mod loan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use hexwatch_contract::{EventTime, Topic};

use self::bond::Bond;
use self::corrections::Corrections;
use crate::absence::{AbsenceSnapshot, Silences};
use crate::checkpoint::{Awaiting, Checkpoint};
use crate::effects::{Effects, ViewRows};
use crate::error::StreamError;
use crate::hit::hits;
use crate::query::{Query, Told};
use crate::rows::Changes;

pub(crate) use self::loan::Until;
pub use self::loan::{Due, Loan, Returned};
use self::loan::{Errand, Members, Tray};

/// So many rows are taken out of a tray although nothing may be given yet: queries keep less of them than a tray does.
const FULL_TRAY: usize = 16_384;

/// Where a group is while everything is brought to one point.
enum Point {
    /// That is not going on.
    Open,
    /// On its way there: up to this watermark, and to the rows that came before.
    Awaited(EventTime),
    /// Beyond it: it was there, and takes what has come since.
    Passed,
}

/// Queries that give together.
pub(crate) struct Group {
    /// Empty while they are lent.
    members: Members,
    is_lent: bool,
    tray: Tray,
    /// Late rows, which wait until correcting something is worth it.
    corrections: Corrections,
    /// The merged watermark up to which they have given.
    given: EventTime,
    /// That watermark before a restart, while what they had given is being rebuilt.
    rebuilding_to: Option<EventTime>,
    point: Point,
    /// Rows that came after that watermark or beyond that point, and wait until it is reached.
    beyond: Tray,
    /// What is known of them wherever they are.
    topics: BTreeSet<Topic>,
    is_urgent: bool,
    speaks_ahead: bool,
    names: Vec<Arc<str>>,
    uncorrected: Vec<u64>,
    span: i64,
    /// The earliest row that it keeps of each topic, as of its last run; `None` where it needs more of the past than rows
    /// that it keeps.
    earliest: Option<BTreeMap<Topic, EventTime>>,
    lateness: Option<Duration>,
}

impl Group {
    fn new(members: Members) -> Self {
        let queries = &members.queries;
        let is_rule = |query: &Query| matches!(query.told, Told::Rule(_));
        let looks_back = members.silences.is_empty() && queries.iter().all(Query::looks_back);
        let span = queries.iter().map(Query::span).max().unwrap_or(0);
        let lateness = queries.iter().filter_map(|query| query.lateness).max();
        // A query that speaks at once looks at a late row's own shard alone.
        let may_wait = looks_back && queries.iter().all(|query| !query.immediate);
        let wait = lateness.unwrap_or_default().as_micros().try_into().unwrap_or(i64::MAX);
        let is_urgent = queries.iter().any(|query| query.immediate && is_rule(query));
        Self {
            is_lent: false,
            point: Point::Open,
            tray: Tray::default(),
            corrections: Corrections::new(may_wait.then_some(span.saturating_add(wait))),
            given: EventTime::MIN,
            rebuilding_to: None,
            beyond: Tray::default(),
            topics: Topic::ALL.into_iter().filter(|topic| members.listen_to(*topic)).collect(),
            is_urgent,
            // The rows of views and silences are a checkpoint's own, hits are not: alarms have a log.
            speaks_ahead: is_urgent && members.silences.is_empty() && queries.iter().all(is_rule),
            names: queries.iter().map(|query| Arc::clone(&query.name)).collect(),
            uncorrected: vec![0; queries.len()],
            span,
            earliest: looks_back.then(BTreeMap::new),
            lateness,
            members,
        }
    }

    /// Groups of `queries`, in the order of their first ones. Those that read an absence stand together with the
    /// `silences` that they read.
    pub(crate) fn of(queries: Vec<Query>, mut silences: BTreeMap<Topic, Silences>) -> Vec<Self> {
        let with_silences = |(bond, queries): (Bond, Vec<Query>)| {
            let silences =
                if bond == Bond::Silences { std::mem::take(&mut silences) } else { BTreeMap::new() };
            Self::new(Members::new(queries, silences))
        };
        bond::together(queries).into_iter().map(with_silences).collect()
    }

    /// The same queries before their first row. What is lent is lost.
    pub(crate) fn renewed(self) -> Self {
        Self::new(self.members.renewed())
    }

    /// Takes up at `checkpoint`, which was taken at `watermark`: what it had given is rebuilt first, without a word.
    pub(crate) fn restore(&mut self, watermark: EventTime, checkpoint: &Checkpoint) {
        self.rebuilding_to = Some(watermark);
        for silences in self.members.silences.values_mut() {
            for snapshot in &checkpoint.absences {
                silences.resume(snapshot);
            }
        }
        let own = |awaiting: &&Awaiting| self.names().eq(awaiting.queries.iter().map(String::as_str));
        let awaiting = checkpoint.corrections.iter().filter(own).flat_map(Awaiting::positions);
        self.corrections.restore(awaiting.collect());
    }

    /// The late rows that it has not taken.
    pub(crate) fn corrections(&self) -> Option<Awaiting> {
        let positions = self.corrections.positions();
        (!positions.is_empty()).then(|| Awaiting::new(self.names(), positions))
    }

    /// Takes admitted rows: they wait until its queries run. `again`: they were taken before a restart.
    pub(crate) fn take(
        &mut self,
        topic: Topic,
        records: &RecordBatch,
        again: bool,
    ) -> Result<(), StreamError> {
        if !self.topics.contains(&topic) {
            return Ok(());
        }
        if self.is_rebuilding() && !again {
            self.beyond.push(topic, records);
            return Ok(());
        }
        let on_time = if again {
            self.corrections.take_again(topic, records)
        } else {
            self.corrections.sort_out(topic, records, self.given)
        };
        let first = self.names.first().cloned().unwrap_or_default();
        if let Some(records) = on_time.map_err(|error| failed(&first)(error.into()))? {
            self.tray.push(topic, &records);
        }
        Ok(())
    }

    /// Takes admitted rows that lie beyond the point to which everything is being brought.
    pub(crate) fn take_beyond(&mut self, topic: Topic, records: &RecordBatch) {
        if self.topics.contains(&topic) {
            let tray = if self.has_passed() { &mut self.tray } else { &mut self.beyond };
            tray.push(topic, records);
        }
    }

    /// Begins to bring it to a point at the watermark `merged`.
    pub(crate) fn close(&mut self, merged: EventTime) {
        self.point = Point::Awaited(merged);
        self.pass();
    }

    /// Ends that, whether it is there or not.
    pub(crate) fn reopen(&mut self) {
        self.point = Point::Open;
        let beyond = std::mem::take(&mut self.beyond);
        self.tray.append(beyond);
    }

    /// Goes on beyond the point once it is there, where it may.
    fn pass(&mut self) {
        let Point::Awaited(merged) = self.point else { return };
        if self.speaks_ahead && self.is_settled(merged) {
            self.point = Point::Passed;
            self.tray = std::mem::take(&mut self.beyond);
        }
    }

    /// Whether it has been at the point to which everything is being brought, and takes what lies beyond.
    pub(crate) fn has_passed(&self) -> bool {
        matches!(self.point, Point::Passed)
    }

    /// Whether it is at one point with others that have given all that `merged` and the rows before allow.
    pub(crate) fn is_at_point(&self, merged: EventTime) -> bool {
        self.has_passed() || self.is_settled(merged)
    }

    /// Whether it takes rows beyond the point to which everything is being brought before all others are there: a life
    /// may hang on what it says.
    pub(crate) fn speaks_ahead(&self) -> bool {
        self.speaks_ahead
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.is_urgent
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
        self.tray.rows + self.corrections.rows()
    }

    /// As `group`, where something is due of it at `now` and the watermark `merged`. While it waits for topics that are
    /// `unread` after a restart, that is only where its tray is full.
    pub(crate) fn due(
        &mut self,
        group: usize,
        merged: EventTime,
        now: EventTime,
        unread: &BTreeSet<Topic>,
    ) -> Option<Due> {
        if self.is_lent {
            return None;
        }
        let is_due = self.has_more(merged, unread);
        let may_correct = !self.is_rebuilding() && matches!(self.point, Point::Open);
        let corrects = may_correct && self.corrections.weigh(now, !is_due);
        (is_due || corrects).then_some(Due { group, is_urgent: self.is_urgent })
    }

    /// Whether there is anything that it has not given or taken, however late.
    pub(crate) fn owes(&self, merged: EventTime, unread: &BTreeSet<Topic>) -> bool {
        let is_late = !self.is_rebuilding() && !self.corrections.is_empty();
        !self.is_lent && (is_late || self.has_more(merged, unread))
    }

    fn has_more(&self, merged: EventTime, unread: &BTreeSet<Topic>) -> bool {
        if self.is_rebuilding() {
            self.topics.is_disjoint(unread) || self.tray.rows >= FULL_TRAY
        } else {
            !self.is_settled(merged)
        }
    }

    fn errand(&self, until: &Until, unread: &BTreeSet<Topic>, corrects: bool) -> Errand {
        let until = Until { held: self.corrections.earliest(), ..until.clone() };
        match self.rebuilding_to {
            None if corrects => Errand::Correct(until),
            None => Errand::Give(until),
            Some(_) if !self.topics.is_disjoint(unread) => Errand::Take,
            Some(merged) => Errand::Rebuild(Until { merged, watermark: merged, known: merged, ..until }),
        }
    }

    /// Runs its queries in place. What came late is corrected along with all else, as each query tells once.
    pub(crate) fn run(
        &mut self,
        until: &Until,
        unread: &BTreeSet<Topic>,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        let mut tray = if self.is_rebuilding() { Tray::default() } else { self.corrections.take() };
        tray.append(std::mem::take(&mut self.tray));
        let errand = self.errand(until, unread, false);
        self.members.run(&tray, &errand, effects)?;
        self.note(&errand);
        Ok(())
    }

    /// Lends its queries, as `group`.
    pub(crate) fn lend(&mut self, group: usize, until: &Until, unread: &BTreeSet<Topic>) -> Loan {
        let corrects = self.corrections.are_due();
        let tray = if corrects { self.corrections.take_stretch() } else { std::mem::take(&mut self.tray) };
        let (due, errand) = (Due { group, is_urgent: self.is_urgent }, self.errand(until, unread, corrects));
        self.is_lent = true;
        Loan { due, errand, members: std::mem::take(&mut self.members), tray }
    }

    fn receive(&mut self, members: Members, errand: &Errand) {
        self.members = members;
        self.is_lent = false;
        self.note(errand);
    }

    /// Notes that an errand is done.
    fn note(&mut self, errand: &Errand) {
        match errand {
            Errand::Take | Errand::Correct(_) => {}
            Errand::Rebuild(until) => {
                self.given = until.merged;
                self.rebuilding_to = None;
                self.corrections.have_been_read();
                // Nothing came meanwhile that was given before: its topics had been read.
                self.tray = std::mem::take(&mut self.beyond);
            }
            Errand::Give(until) => self.given = self.given.max(until.merged),
        }
        self.corrections.note(self.members.has_looked_at, matches!(errand, Errand::Correct(_)));
        self.uncorrected = self.members.queries.iter().map(Query::uncorrected).collect();
        if let Some(earliest) = &mut self.earliest {
            let found = |topic: &Topic| Some((*topic, self.members.earliest(*topic)?));
            *earliest = self.topics.iter().filter_map(found).collect();
        }
        self.pass();
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

    /// The longest that one of its queries waits behind the latest rows, where one declares it.
    pub(crate) fn lateness(&self) -> Option<Duration> {
        self.lateness
    }

    /// What it needs of `topic` to give again what may still be corrected, where its watermark counts as `watermark` and
    /// results are corrected for `horizon`: rows before this are not.
    pub(crate) fn floor(&self, topic: Topic, watermark: EventTime, horizon: Duration) -> EventTime {
        let span = Duration::from_micros(u64::try_from(self.span).unwrap_or(0));
        let open = (watermark - horizon).min(self.corrections.earliest().unwrap_or(EventTime::MAX));
        let looked_back_to = open - span;
        let Some(earliest) = &self.earliest else { return looked_back_to };
        earliest.get(&topic).map_or(open, |earliest| open.min(*earliest)).max(looked_back_to)
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
