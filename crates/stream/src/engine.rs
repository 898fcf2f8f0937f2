//! The engine: a pure step machine. It does no IO and reads no clock; the same inputs give the same
//! effects. It lives on a thread of its own: a step runs its queries to the end before it returns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use hexwatch_contract::site::{Device, Places};
use hexwatch_contract::time::millis_of;
use hexwatch_contract::{Chunk, EventTime, Partition, Topic};
use hexwatch_sql::{Kind, QueryFile};

use crate::absence::Silences;
use crate::admission::{self, Admitted};
use crate::checkpoint::{Checkpoint, Place, Resumption, known};
use crate::effects::{Effects, ViewRows};
use crate::error::{Refusal, StreamError};
use crate::feed::Source;
use crate::hit::hits;
use crate::planner::Planner;
use crate::query::{Query, Told};
use crate::rows::Changes;
use crate::seen::Seen;
use crate::spec::Spec;
use crate::watermark::Watermarks;

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
    silences: BTreeMap<Topic, Silences>,
    queries: Vec<Query>,
    restart: Restart,
    finished: bool,
    /// Whether rows were admitted of which not every query has given what they change.
    unsettled: bool,
    /// Before this nothing is kept; moved in steps.
    dropped: EventTime,
}

/// What remains to be read again after a restart.
#[derive(Default)]
struct Restart {
    /// Where partitions take up when they are assigned.
    resumptions: BTreeMap<Partition, Resumption>,
    /// The merged watermark to reach, while what was given before is rebuilt in silence.
    rebuilding_to: Option<EventTime>,
    /// Whether the partitions are known: before that nothing can be complete.
    assigned: bool,
    /// Partitions that have not reached the offset up to which effects were given.
    pending: BTreeMap<Partition, i64>,
    /// What came in beyond it meanwhile.
    parked: VecDeque<Chunk>,
    /// The watermarks of partitions with chunks among them, behind those chunks.
    ahead: BTreeMap<Partition, EventTime>,
}

/// So many rows of a partition may wait while others are read again; whoever reads is asked to hold it back then.
const PARKED_ROWS: u64 = 20_000;

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
        for file in files {
            let query = Spec::of(file).and_then(|spec| match file.kind {
                Kind::View | Kind::Rule => planner.plan(&spec),
                Kind::Analysis => Err(spec.refuse("kind:", "an analysis runs over history, not live".into())),
            });
            match query {
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
        Ok((Self::before_any(config, silences, queries), refusals))
    }

    /// An engine before its first input.
    fn before_any(config: EngineConfig, silences: BTreeMap<Topic, Silences>, queries: Vec<Query>) -> Self {
        Self {
            watermarks: Watermarks::new(config.idle_timeout),
            seen: Topic::ALL.into_iter().map(|topic| (topic, Seen::new(config.correction_horizon))).collect(),
            places: BTreeMap::new(),
            silences,
            queries,
            restart: Restart::default(),
            finished: false,
            unsettled: false,
            dropped: EventTime::MIN,
            config,
        }
    }

    /// This engine before its first input. What is kept is the plans of its queries: making them is nearly all that a
    /// new engine costs.
    #[must_use]
    pub fn renewed(self) -> Self {
        let silences = self.silences.into_iter().map(|(topic, silences)| (topic, silences.renewed()));
        let queries = self.queries.into_iter().map(Query::renewed).collect();
        Self::before_any(self.config, silences.collect(), queries)
    }

    /// Takes up at `checkpoint`. Each partition it names is to be read from [`Checkpoint::replay_from`];
    /// what was given before is rebuilt in silence and not given again.
    pub fn restore(&mut self, checkpoint: Checkpoint) {
        for snapshot in &checkpoint.absences {
            for silences in self.silences.values_mut() {
                silences.resume(snapshot);
            }
        }
        self.restart.rebuilding_to = Some(checkpoint.watermark.unwrap_or(EventTime::MIN));
        let resumptions = checkpoint.partitions.into_iter();
        self.restart.resumptions =
            resumptions.map(|resumption| (resumption.partition.clone(), resumption)).collect();
    }

    /// Takes one input at `now`, the engine's event clock.
    pub fn step(&mut self, now: EventTime, input: Input) -> Result<Effects, StreamError> {
        let mut effects = Effects::default();
        self.accept(now, input, &mut effects)?;
        self.advance(now, &mut effects)?;
        Ok(effects)
    }

    /// Takes one input like [`Engine::step`], where more waits behind it: what looks at many rows is left to the
    /// next `step`, which looks once for all of them. Filters still give at once. Results come out the same,
    /// later; until then there is no checkpoint.
    pub fn step_ahead(&mut self, now: EventTime, input: Input) -> Result<Effects, StreamError> {
        let mut effects = Effects::default();
        self.accept(now, input, &mut effects)?;
        if self.finished || self.is_restoring() {
            self.advance(now, &mut effects)?;
        } else {
            self.unsettled = true;
            self.give_filters(&mut effects)?;
        }
        Ok(effects)
    }

    fn accept(&mut self, now: EventTime, input: Input, effects: &mut Effects) -> Result<(), StreamError> {
        match input {
            Input::Assigned(partitions) => self.assign(partitions, now),
            Input::Revoked(partitions) => self.revoke(&partitions),
            Input::Chunk(chunk) => self.take(chunk, now, effects)?,
            Input::AtEnd(partition) => {
                self.watermarks.set_at_end(&partition, true);
                self.restart.pending.remove(&partition);
            }
            Input::Behind(partition) => self.watermarks.set_at_end(&partition, false),
            Input::Tick => {}
            Input::Finished => {
                self.finished = true;
                self.restart.pending.clear();
            }
        }
        Ok(())
    }

    /// Where a restart has to take up, as of the effects returned so far. `None` while what a checkpoint
    /// covers is still being read again: that checkpoint holds; and after [`Engine::step_ahead`].
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        if self.is_restoring() || self.unsettled {
            return None;
        }
        let resumption = |(partition, place): (&Partition, &Place)| {
            let (watermark, _) = self.watermarks.of(partition)?;
            place.resumption(partition, watermark)
        };
        Some(Checkpoint {
            watermark: self.watermark(),
            partitions: self.places.iter().filter_map(resumption).collect(),
            absences: self.silences.values().map(Silences::snapshot).collect(),
        })
    }

    /// Whether what a checkpoint covers is still being read again.
    #[must_use]
    pub fn is_restoring(&self) -> bool {
        self.restart.rebuilding_to.is_some()
    }

    /// The merged watermark; `None` before every assigned partition has spoken or fallen idle.
    #[must_use]
    pub fn watermark(&self) -> Option<EventTime> {
        known(self.watermarks.merged())
    }

    /// For each assigned partition the latest event time it has shown, and whether it is idle at `now`.
    pub fn progress(&self, now: EventTime) -> impl Iterator<Item = (&Partition, Option<EventTime>, bool)> {
        self.watermarks.progress(now)
    }

    /// The queries that run, by name.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.queries.iter().map(|query| query.name.as_ref())
    }

    /// For each query the rows that came after everything they could change was settled, from a partition
    /// that had been idle for longer than the correction horizon. They are in the event tables.
    pub fn uncorrected(&self) -> impl Iterator<Item = (&str, u64)> {
        self.queries.iter().map(|query| (query.name.as_ref(), query.uncorrected()))
    }

    fn assign(&mut self, partitions: Vec<(Partition, Topic)>, now: EventTime) {
        self.restart.assigned = true;
        for (partition, topic) in partitions {
            let resumption = self.restart.resumptions.remove(&partition);
            let watermark = resumption.as_ref().and_then(|at| at.watermark).unwrap_or(EventTime::MIN);
            let mut place = Place::new(topic);
            if let Some(at) = resumption {
                place.next_offset = Some(at.replay_from);
                if at.replay_from < at.next_offset {
                    self.restart.pending.insert(partition.clone(), at.next_offset);
                }
            }
            self.watermarks.assign(partition.clone(), topic, self.lateness(topic), watermark, now);
            self.places.insert(partition, place);
        }
    }

    fn revoke(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.watermarks.revoke(partition);
            self.places.remove(partition);
            self.restart.pending.remove(partition);
        }
        self.restart.parked.retain(|chunk| !partitions.contains(&chunk.partition));
    }

    fn lateness(&self, topic: Topic) -> Duration {
        self.config.lateness.get(&topic).copied().unwrap_or(self.config.default_lateness)
    }

    /// Takes a chunk. What was given before a restart is taken in silence; while it is being rebuilt, what
    /// lies beyond it waits.
    fn take(&mut self, chunk: Chunk, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        let Some(&given_until) = self.restart.pending.get(&chunk.partition) else {
            return self.take_new(chunk, now, effects);
        };
        if chunk.next_offset >= given_until {
            self.restart.pending.remove(&chunk.partition);
        }
        if chunk.next_offset <= given_until {
            return self.admit(chunk, now, &mut Effects::default());
        }
        let (again, beyond) = admission::split(chunk, given_until)?;
        self.admit(again, now, &mut Effects::default())?;
        self.take_new(beyond, now, effects)
    }

    fn take_new(&mut self, chunk: Chunk, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        if self.is_restoring() {
            self.tell_ahead(&chunk, effects)?;
            self.restart.parked.push_back(chunk);
            return Ok(());
        }
        self.admit(chunk, now, effects)
    }

    /// Lets the rules that look at single rows tell of a chunk that waits: a press for help waits for no rebuilding.
    /// They find the same again when the chunk is taken, and by its id it is the same alarm.
    fn tell_ahead(&mut self, chunk: &Chunk, effects: &mut Effects) -> Result<(), StreamError> {
        let topic = chunk.events.topic;
        let tells =
            |query: &Query| query.is_rule_of_single_rows() && query.sources.contains(&Source::Events(topic));
        let Some((watermark, lateness)) = self.watermarks.of(&chunk.partition) else { return Ok(()) };
        // What was taken again in silence is not to be told.
        self.give_filters(&mut Effects::default())?;
        let horizon = self.config.correction_horizon;
        let ahead = self.restart.ahead.entry(chunk.partition.clone()).or_insert(watermark);
        let sorted = admission::sort(chunk.clone(), *ahead, lateness, horizon, &mut Seen::new(horizon))?;
        *ahead = sorted.watermark;
        let Some(rows) = sorted.rows else { return Ok(()) };
        for query in self.queries.iter_mut().filter(|query| tells(query)) {
            query.take(topic, &rows.records).map_err(failed(&query.name))?;
        }
        effects.waiting.push(rows);
        self.give_filters(effects)
    }

    /// Partitions of which so many rows wait for what others have to read again that no more should be read now.
    pub fn overfull(&self) -> impl Iterator<Item = &Partition> {
        let mut waiting: BTreeMap<&Partition, u64> = BTreeMap::new();
        for chunk in &self.restart.parked {
            *waiting.entry(&chunk.partition).or_default() += chunk.read;
        }
        waiting.into_iter().filter(|(_, rows)| *rows >= PARKED_ROWS).map(|(partition, _)| partition)
    }

    fn admit(&mut self, chunk: Chunk, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
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
        self.feed(topic, admitted, effects)
    }

    fn feed(&mut self, topic: Topic, admitted: Admitted, effects: &mut Effects) -> Result<(), StreamError> {
        effects.accounts.push((topic, admitted.account));
        effects.late.extend(admitted.too_late);
        let Some(rows) = admitted.rows else { return Ok(()) };
        for query in &mut self.queries {
            query.take(topic, &rows.records).map_err(failed(&query.name))?;
        }
        if let Some(silences) = self.silences.get_mut(&topic) {
            let changed = silences.observe(&rows.records);
            for query in &mut self.queries {
                query.touch_silences(topic, &changed);
            }
        }
        effects.admitted.push(rows);
        Ok(())
    }

    /// Lets every query give what the watermark allows.
    fn advance(&mut self, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        self.unsettled = false;
        let before = if self.is_restoring() { EventTime::MIN } else { self.watermarks.merged() };
        let mut watermark = self.watermarks.merge(now);
        if self.is_restoring() {
            // Nothing is told before everything is read again, so the queries run once, at the end.
            if !self.finished && (!self.restart.assigned || !self.restart.pending.is_empty()) {
                return Ok(());
            }
            self.take_up(now, effects)?;
            watermark = self.watermarks.merge(now);
        }
        if self.finished {
            watermark = EventTime::MAX;
        }
        self.give(watermark, effects)?;
        effects.watermark = Some(self.watermarks.merged()).filter(|merged| *merged > before);
        self.drop_before(now);
        Ok(())
    }

    /// Ends a restart: settles what the checkpoint had settled, then takes what waited.
    fn take_up(&mut self, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        let Some(watermark) = self.restart.rebuilding_to.take() else { return Ok(()) };
        self.watermarks.resume(watermark);
        // No further than was given: a partition that held the watermark back then may be idle by now.
        self.give(watermark, &mut Effects::default())?;
        self.restart.ahead.clear();
        for chunk in std::mem::take(&mut self.restart.parked) {
            self.admit(chunk, now, effects)?;
        }
        Ok(())
    }

    /// Lets the queries whose rows wait for nothing give them.
    fn give_filters(&mut self, effects: &mut Effects) -> Result<(), StreamError> {
        for query in self.queries.iter_mut().filter(|query| query.waits_for_nothing()) {
            let told =
                query.advance(EventTime::MIN, &self.silences, EventTime::MIN).map_err(failed(&query.name))?;
            if let Some(changes) = told {
                tell(query, changes, effects)?;
            }
        }
        Ok(())
    }

    fn give(&mut self, watermark: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        let seen_until = if watermark == EventTime::MAX {
            self.watermarks.latest().unwrap_or(EventTime::MIN).max(self.watermarks.merged())
        } else {
            watermark
        };
        for query in &mut self.queries {
            let own = own_watermark(watermark, query.lateness, self.config.default_lateness);
            let told = query.advance(own, &self.silences, seen_until).map_err(failed(&query.name))?;
            if let Some(changes) = told {
                tell(query, changes, effects)?;
            }
        }
        Ok(())
    }

    /// Drops what no row can reach any more.
    fn drop_before(&mut self, now: EventTime) {
        let merged = self.watermarks.merged();
        if merged < self.dropped + DROP_STEP {
            return;
        }
        self.dropped = merged;
        for (topic, seen) in &mut self.seen {
            seen.forget_before(self.watermarks.least_of(*topic, now));
        }
        let horizon = self.config.correction_horizon;
        let span = self.queries.iter().map(Query::span).max().unwrap_or(0);
        let span = Duration::from_micros(u64::try_from(span).unwrap_or(0)) + self.longest_wait();
        let reach = merged - horizon - span;
        for (partition, place) in &mut self.places {
            let own = self.watermarks.of(partition).map_or(merged, |(watermark, _)| watermark - horizon);
            place.drop_before(reach.min(own));
        }
        for silences in self.silences.values_mut() {
            silences.drop_before(reach.micros());
        }
    }

    /// By how much the slowest query's watermark lies behind the merged one.
    fn longest_wait(&self) -> Duration {
        let waits = self.queries.iter().filter_map(|query| query.lateness);
        waits.max().unwrap_or_default().saturating_sub(self.config.default_lateness)
    }
}

/// The watermark of a query that waits `lateness` behind the latest rows instead of `default`.
fn own_watermark(merged: EventTime, lateness: Option<Duration>, default: Duration) -> EventTime {
    match lateness {
        Some(lateness) if merged < EventTime::MAX && merged > EventTime::MIN => merged + default - lateness,
        _ => merged,
    }
}

fn failed(query: &Arc<str>) -> impl Fn(datafusion::error::DataFusionError) -> StreamError {
    let query = query.to_string();
    move |source| StreamError::Query { query: query.clone(), source }
}

fn tell(query: &Query, changes: Changes, effects: &mut Effects) -> Result<(), StreamError> {
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
