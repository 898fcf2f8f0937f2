//! The engine: a pure step machine. It does no IO and reads no clock; the same inputs give the same
//! effects. It lives on a thread of its own: a step runs its queries to the end before it returns, or they are lent to
//! whoever runs them meanwhile (`settling`). What a restart has to read again stands in `restart`, how everything comes to
//! one point for a checkpoint in `point`.

mod point;
mod restart;
mod settling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use hexwatch_contract::site::{Device, Places};
use hexwatch_contract::time::millis_of;
use hexwatch_contract::{Chunk, EventTime, Partition, Topic};
use hexwatch_sql::QueryFile;

use crate::absence::Silences;
use crate::admission::{self, Admitted};
use crate::checkpoint::{Place, known};
use crate::effects::Effects;
use crate::error::{Refusal, StreamError};
use crate::feed::Source;
use crate::group::{Group, failed, tell};
use crate::planner::Planner;
use crate::query::{Grounds, Query, Told};
use crate::seen::Seen;
use crate::stocks::Stocks;
use crate::watermark::Watermarks;

use self::point::{Beyond, Stage};
use self::restart::{Pending, Restart};

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// How far a topic's watermark stays behind its latest row, where it is not [`EngineConfig::default_lateness`].
    pub lateness: BTreeMap<Topic, Duration>,
    /// The same for all other topics.
    pub default_lateness: Duration,
    /// How far behind the watermark a row still corrects, and for how long duplicates are known.
    pub correction_horizon: Duration,
    /// After how long of silence a partition that is read to its end no longer holds the watermark back.
    pub idle_timeout: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            lateness: BTreeMap::new(),
            default_lateness: Duration::from_secs(10),
            correction_horizon: Duration::from_mins(10),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// What stands at the site.
#[derive(Clone)]
pub struct Registry {
    /// The devices; those in service with an expected heartbeat are watched by `absence`.
    pub devices: Vec<Device>,
    /// Where they are.
    pub places: Arc<dyn Places>,
    /// Reference tables that queries can join, by name, such as `devices`.
    pub tables: BTreeMap<String, RecordBatch>,
}

/// What comes in.
#[derive(Debug)]
pub enum Input {
    /// Partitions that this engine reads from now on.
    Assigned(Vec<(Partition, Topic)>),
    /// Partitions that it no longer reads.
    Revoked(Vec<Partition>),
    /// Records.
    Chunk(Chunk),
    /// The partition is read to its end and may fall idle.
    AtEnd(Partition),
    /// It is behind its end, and holds the watermark however long it is silent.
    Behind(Partition),
    /// Time went by.
    Tick,
    /// There is no more: every window closes, and timers fire up to the latest event.
    Finished,
}

/// The engine.
pub struct Engine {
    config: EngineConfig,
    watermarks: Watermarks,
    seen: BTreeMap<Topic, Seen>,
    places: BTreeMap<Partition, Place>,
    /// The queries whose rows wait for nothing.
    filters: Vec<Query>,
    /// All others.
    groups: Vec<Group>,
    restart: Restart,
    finished: bool,
    /// Whether everything is brought to one point.
    stage: Stage,
    /// What came beyond that point.
    beyond: Beyond,
    /// Up to here every query has given, and that was told.
    given: EventTime,
    /// Up to here the filters have given, and that was told.
    filtered: EventTime,
    /// Before this nothing is kept; moved in steps.
    dropped: EventTime,
}

/// Results are completed in steps, and none is wider than this.
const RESULT_STEP: Duration = Duration::from_secs(1);

/// What is out of reach is dropped in steps of this width.
const DROP_STEP: Duration = Duration::from_secs(5);

impl Engine {
    /// An engine over `files`. Files that cannot run live are refused, and the others go on.
    pub fn new(
        config: EngineConfig,
        registry: &Registry,
        files: &[QueryFile],
    ) -> Result<(Self, Vec<Refusal>), StreamError> {
        let set_up = |error: std::io::Error| StreamError::SetUp(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(set_up)?;
        let horizon = millis_of(config.correction_horizon).saturating_mul(1000);
        let planner = Planner { runtime: Arc::new(runtime), reference: registry.tables.clone(), horizon };
        let (mut queries, mut refusals) = (Vec::new(), Vec::new());
        for planned in planner.plan_all(files) {
            match planned {
                Ok(query) => queries.push(query),
                Err(refusal) => refusals.push(refusal),
            }
        }
        let watched = |topic: &Topic| {
            queries.iter().any(|query: &Query| query.sources.contains(&Source::Absence(*topic)))
        };
        let silences = Topic::ALL.into_iter().filter(watched);
        let silences = silences
            .map(|topic| (topic, Silences::new(topic, &registry.devices, registry.places.as_ref())))
            .collect();
        let (filters, others) = queries.into_iter().partition(Query::waits_for_nothing);
        Ok((Self::before_any(config, filters, Group::of(others, silences)), refusals))
    }

    /// An engine before its first input.
    fn before_any(config: EngineConfig, filters: Vec<Query>, groups: Vec<Group>) -> Self {
        Self {
            watermarks: Watermarks::new(config.idle_timeout),
            seen: Topic::ALL.into_iter().map(|topic| (topic, Seen::new(config.correction_horizon))).collect(),
            places: BTreeMap::new(),
            filters,
            groups,
            restart: Restart::default(),
            finished: false,
            stage: Stage::Open,
            beyond: Beyond::default(),
            given: EventTime::MIN,
            filtered: EventTime::MIN,
            dropped: EventTime::MIN,
            config,
        }
    }

    /// This engine before its first input. What is kept is the plans of its queries: making them is nearly all that a
    /// new engine costs. What is lent must have come back.
    #[must_use]
    pub fn renewed(self) -> Self {
        let filters = self.filters.into_iter().map(Query::renewed).collect();
        let groups = self.groups.into_iter().map(Group::renewed).collect();
        Self::before_any(self.config, filters, groups)
    }

    fn accept(&mut self, now: EventTime, input: Input, effects: &mut Effects) -> Result<(), StreamError> {
        match input {
            Input::Assigned(partitions) => self.assign(partitions, now),
            Input::Revoked(partitions) => self.revoke(&partitions),
            Input::Chunk(chunk) => self.take(chunk, now, effects)?,
            Input::AtEnd(partition) => {
                self.watermarks.set_at_end(&partition, true);
                self.have_read(&partition, now, effects)?;
            }
            Input::Behind(partition) => self.watermarks.set_at_end(&partition, false),
            Input::Tick => {}
            Input::Finished => {
                self.finished = true;
                self.restart.is_unassigned = false;
                self.restart.pending.clear();
                self.unpark(now, effects)?;
            }
        }
        Ok(())
    }

    /// The merged watermark; `None` before every assigned partition has spoken or fallen idle.
    #[must_use]
    pub fn watermark(&self) -> Option<EventTime> {
        known(self.watermarks.merged())
    }

    /// Results up to here have been given, whatever query they are of.
    #[must_use]
    pub fn given_until(&self) -> EventTime {
        self.given - self.longest_wait() - RESULT_STEP
    }

    /// Whether a query that runs is of `rule`. Nothing may be lent.
    #[must_use]
    pub fn runs(&self, rule: &str) -> bool {
        let is_its = |query: &Query| matches!(&query.told, Told::Rule(its) if *its.name == *rule);
        self.filters.iter().chain(self.groups.iter().flat_map(Group::queries)).any(is_its)
    }

    /// Whether the rows of `view` only grow: one that was given stays, and never says again what it said before. Those of
    /// views that look at single rows always do.
    #[must_use]
    pub fn only_grows(&self, view: &str) -> bool {
        let queries = self.groups.iter().flat_map(Group::queries);
        queries.filter(|query| *query.name == *view).all(|query| query.only_grows)
    }

    /// For each assigned partition the latest event time it has shown, and whether it is idle at `now`.
    pub fn progress(&self, now: EventTime) -> impl Iterator<Item = (&Partition, Option<EventTime>, bool)> {
        self.watermarks.progress(now)
    }

    /// Whether the rows of the query named `name` wait for nothing: they come with the step that takes theirs.
    #[must_use]
    pub fn is_filter(&self, name: &str) -> bool {
        self.filters.iter().any(|query| *query.name == *name)
    }

    /// The queries that run, by name.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().map(|query| query.name.as_ref()).chain(self.groups.iter().flat_map(Group::names))
    }

    /// For each query the rows that came after everything they could change was settled, from a partition
    /// that had been idle for longer than the correction horizon. They are in the event tables.
    pub fn uncorrected(&self) -> impl Iterator<Item = (&str, u64)> {
        let of_filters = self.filters.iter().map(|query| (query.name.as_ref(), query.uncorrected()));
        of_filters.chain(self.groups.iter().flat_map(Group::uncorrected))
    }

    fn assign(&mut self, partitions: Vec<(Partition, Topic)>, now: EventTime) {
        self.restart.is_unassigned = false;
        for (partition, topic) in partitions {
            let resumption = self.restart.resumptions.remove(&partition);
            let watermark = resumption.as_ref().and_then(|at| at.watermark).unwrap_or(EventTime::MIN);
            let mut place = Place::new(topic);
            if let Some(at) = resumption {
                place.next_offset = Some(at.replay_from);
                if at.replay_from < at.next_offset {
                    let pending = Pending { topic, given_until: at.next_offset };
                    self.restart.pending.insert(partition.clone(), pending);
                }
            }
            self.watermarks.assign(partition.clone(), topic, self.lateness(topic), watermark, now);
            if self.stage == Stage::Closing {
                place.close(watermark);
            }
            self.places.insert(partition, place);
        }
    }

    fn revoke(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.watermarks.revoke(partition);
            self.places.remove(partition);
            self.forget(partition);
        }
    }

    fn lateness(&self, topic: Topic) -> Duration {
        self.config.lateness.get(&topic).copied().unwrap_or(self.config.default_lateness)
    }

    fn admit(&mut self, chunk: Chunk, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        let admitted = self.judge(chunk, now)?;
        self.feed(admitted, &|group, topic, records| group.take(topic, records, false), effects)
    }

    /// Decides which rows of a chunk count.
    fn judge(&mut self, chunk: Chunk, now: EventTime) -> Result<(Topic, Admitted), StreamError> {
        let (partition, topic) = (chunk.partition.clone(), chunk.events.topic);
        let (first_offset, next_offset) = (chunk.first_offset, chunk.next_offset);
        let (Some((watermark, lateness)), Some(place)) =
            (self.watermarks.of(&partition), self.places.get_mut(&partition))
        else {
            return Err(StreamError::Unassigned { partition, first_offset });
        };
        if let Some(expected) = place.next_offset.filter(|expected| first_offset < *expected) {
            return Err(StreamError::Repeated { partition, first_offset, next_offset: expected });
        }
        let seen = self.seen.entry(topic).or_insert_with(|| Seen::new(self.config.correction_horizon));
        let admitted = admission::sort(chunk, watermark, lateness, self.config.correction_horizon, seen)?;
        place.note(first_offset, next_offset, watermark, admitted.latest);
        if admitted.heard {
            self.watermarks.advance(&partition, admitted.watermark, now);
        }
        Ok((topic, admitted))
    }

    /// Hands admitted rows to the queries, to the groups of them by `hand`.
    fn feed(
        &mut self,
        (topic, admitted): (Topic, Admitted),
        hand: &dyn Fn(&mut Group, Topic, &RecordBatch) -> Result<(), StreamError>,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        effects.accounts.push((topic, admitted.account));
        effects.late.extend(admitted.too_late);
        let Some(rows) = admitted.rows else { return Ok(()) };
        for query in &mut self.filters {
            query.take(topic, &rows.records).map_err(failed(&query.name))?;
        }
        for group in &mut self.groups {
            hand(group, topic, &rows.records)?;
        }
        effects.admitted.push(rows);
        Ok(())
    }

    /// Lets the queries whose rows wait for nothing give them.
    fn give_filters(&mut self, effects: &mut Effects) -> Result<(), StreamError> {
        let (stocks, silences) = (Stocks::default(), BTreeMap::new());
        let grounds = Grounds { stocks: &stocks, silences: &silences, known: EventTime::MIN, held: None };
        for query in &mut self.filters {
            let told = query.advance(EventTime::MIN, grounds).map_err(failed(&query.name))?;
            if let Some(changes) = told {
                tell(query, changes, effects)?;
            }
        }
        Ok(())
    }

    /// Tells how far the filters have given, where that has moved.
    fn tell_filtered(&mut self, effects: &mut Effects) {
        let merged = self.watermarks.merged();
        if merged > self.filtered {
            self.filtered = merged;
            effects.filtered = Some(merged);
        }
    }

    /// Drops what no row can reach any more.
    fn drop_before(&mut self, now: EventTime) {
        let merged = self.given;
        if merged < self.dropped + DROP_STEP {
            return;
        }
        self.dropped = merged;
        for (topic, seen) in &mut self.seen {
            let stragglers = self.watermarks.stragglers(*topic, now);
            seen.forget_before(self.watermarks.least_of(*topic, now), &stragglers);
        }
        let horizon = self.config.correction_horizon;
        let floors = Topic::ALL.map(|topic| (topic, self.floor(topic)));
        // A group that goes on beyond a point may let go of what a restart there needs.
        if self.stage != Stage::Closing {
            for (partition, place) in &mut self.places {
                let own = self.watermarks.of(partition).map_or(merged, |(watermark, _)| watermark) - horizon;
                let floor =
                    floors.iter().find(|(topic, _)| *topic == place.topic).map_or(merged, |(_, at)| *at);
                place.drop_before(floor.min(own));
            }
        }
        let reach = floors.into_iter().map(|(_, floor)| floor).min().unwrap_or(merged);
        self.groups.iter_mut().for_each(|group| group.drop_before(reach.micros()));
    }

    /// Rows of `topic` before this are needed by no query.
    fn floor(&self, topic: Topic) -> EventTime {
        let horizon = self.config.correction_horizon;
        let listening = self.groups.iter().filter(|group| group.listens_to(topic));
        let floors = listening.map(|group| {
            let wait = group.lateness().unwrap_or_default().saturating_sub(self.config.default_lateness);
            group.floor(topic, self.given - wait, horizon)
        });
        floors.min().unwrap_or(self.given - horizon)
    }

    /// By how much the slowest query's watermark lies behind the merged one.
    fn longest_wait(&self) -> Duration {
        let waits = self.groups.iter().filter_map(Group::lateness);
        waits.max().unwrap_or_default().saturating_sub(self.config.default_lateness)
    }
}
