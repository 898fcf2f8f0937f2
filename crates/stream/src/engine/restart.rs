//! What was given before a restart is read again in silence, so that what was open is open again: topic by topic, and
//! each group of queries as soon as its topics are. What lies beyond waits for the rest of its topic only, and is told
//! ahead of its turn where one row is enough for that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hexwatch_contract::{Chunk, EventBatch, EventTime, Partition, Topic};

use super::Engine;
use super::point::Stage;
use crate::admission;
use crate::checkpoint::{Checkpoint, Resumption};
use crate::effects::Effects;
use crate::error::StreamError;
use crate::feed::Source;
use crate::group::{Group, failed};
use crate::query::Query;
use crate::seen::Seen;

/// What remains to be read again after a restart.
#[derive(Default)]
pub(super) struct Restart {
    /// Where partitions take up when they are assigned.
    pub(super) resumptions: BTreeMap<Partition, Resumption>,
    /// Whether the partitions are not known yet: before that nothing can be complete.
    pub(super) is_unassigned: bool,
    /// Partitions that have not reached the offset up to which effects were given.
    pub(super) pending: BTreeMap<Partition, Pending>,
    /// What came in beyond it meanwhile.
    parked: VecDeque<Chunk>,
    /// The watermarks of partitions with chunks among them, behind those chunks.
    ahead: BTreeMap<Partition, EventTime>,
    /// How many rows beyond it each partition has brought so far: none of them can be committed yet.
    beyond: BTreeMap<Partition, u64>,
}

/// A partition that is being read again.
pub(super) struct Pending {
    pub(super) topic: Topic,
    pub(super) given_until: i64,
}

impl Restart {
    /// Whether everything of `topic` has been read again that was given before.
    fn has_read(&self, topic: Topic) -> bool {
        !self.is_unassigned && self.pending.values().all(|pending| pending.topic != topic)
    }
}

/// So many rows of a partition may wait while others are read again; whoever reads is asked to hold it back then.
const WAITING_ROWS: u64 = 20_000;

impl Engine {
    /// Takes up at `checkpoint`. Each partition it names is to be read from [`Checkpoint::replay_from`];
    /// what was given before is rebuilt in silence and not given again.
    pub fn restore(&mut self, checkpoint: Checkpoint) {
        let watermark = checkpoint.watermark.unwrap_or(EventTime::MIN);
        for group in &mut self.groups {
            group.restore(watermark, &checkpoint);
        }
        // No further than was given: a partition that held the watermark back then may be idle by now.
        self.watermarks.resume(watermark);
        self.restart.is_unassigned = true;
        let resumptions = checkpoint.partitions.into_iter();
        self.restart.resumptions =
            resumptions.map(|resumption| (resumption.partition.clone(), resumption)).collect();
    }

    /// Whether what a checkpoint covers is still being read again.
    #[must_use]
    pub fn is_restoring(&self) -> bool {
        let Restart { is_unassigned, pending, .. } = &self.restart;
        *is_unassigned || !pending.is_empty() || self.groups.iter().any(Group::is_rebuilding)
    }

    /// Whether rules that a life may hang on are still being rebuilt after a restart: until then they say nothing.
    #[must_use]
    pub fn is_rebuilding_urgent(&self) -> bool {
        self.groups.iter().any(|group| group.is_urgent() && group.is_rebuilding())
    }

    /// Partitions of which so many rows wait for what others have to read again that no more should be read now.
    pub fn overfull(&self) -> impl Iterator<Item = &Partition> {
        let waiting = if self.is_restoring() { Some(&self.restart.beyond) } else { None };
        let waiting = waiting.into_iter().flatten();
        waiting.filter(|(_, rows)| **rows >= WAITING_ROWS).map(|(partition, _)| partition)
    }

    /// The topics of which something remains to be read again.
    pub(super) fn unread(&self) -> BTreeSet<Topic> {
        Topic::ALL.into_iter().filter(|topic| !self.restart.has_read(*topic)).collect()
    }

    /// Takes a chunk. What was given before a restart is taken in silence; while others of its topic do so, what
    /// lies beyond it waits.
    pub(super) fn take(
        &mut self,
        chunk: Chunk,
        now: EventTime,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        let Some(&Pending { given_until, .. }) = self.restart.pending.get(&chunk.partition) else {
            return self.take_new(chunk, now, effects);
        };
        if chunk.next_offset < given_until {
            return self.admit_again(chunk, now, effects);
        }
        let partition = chunk.partition.clone();
        if chunk.next_offset == given_until {
            self.admit_again(chunk, now, effects)?;
            return self.have_read(&partition, now, effects);
        }
        let (again, beyond) = admission::split(chunk, given_until)?;
        self.admit_again(again, now, effects)?;
        self.have_read(&partition, now, effects)?;
        self.take_new(beyond, now, effects)
    }

    /// Notes that `partition` has been read again; what waits of its topic is taken when it was the last.
    pub(super) fn have_read(
        &mut self,
        partition: &Partition,
        now: EventTime,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        if self.restart.pending.remove(partition).is_some() {
            self.unpark(now, effects)?;
        }
        Ok(())
    }

    fn take_new(&mut self, chunk: Chunk, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        if self.is_restoring() {
            *self.restart.beyond.entry(chunk.partition.clone()).or_default() += chunk.read;
        }
        // Another partition of its topic may have the same record, and have had it first.
        if !self.restart.has_read(chunk.events.topic) {
            self.tell_ahead(&chunk, effects)?;
            self.restart.parked.push_back(chunk);
            return Ok(());
        }
        if self.stage == Stage::Open {
            self.admit(chunk, now, effects)
        } else {
            self.take_beyond(chunk, now, effects)
        }
    }

    /// Takes a chunk that was taken before: nobody hears of it again.
    fn admit_again(
        &mut self,
        chunk: Chunk,
        now: EventTime,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        let mut silence = Effects::default();
        let admitted = self.judge(chunk, now)?;
        self.feed(admitted, &|group, topic, records| group.take(topic, records, true), &mut silence)?;
        self.give_filters(&mut silence)?;
        effects.recalled.extend(silence.hits);
        effects.known.extend(silence.admitted);
        Ok(())
    }

    /// Lets the rules that look at single rows tell of a chunk that waits: a press for help waits for nothing.
    /// They find the same again when the chunk is taken, and by its id it is the same alarm.
    fn tell_ahead(&mut self, chunk: &Chunk, effects: &mut Effects) -> Result<(), StreamError> {
        let Some((watermark, lateness)) = self.watermarks.of(&chunk.partition) else { return Ok(()) };
        let horizon = self.config.correction_horizon;
        let ahead = self.restart.ahead.entry(chunk.partition.clone()).or_insert(watermark);
        let sorted = admission::sort(chunk.clone(), *ahead, lateness, horizon, &mut Seen::new(horizon))?;
        *ahead = sorted.watermark;
        let Some(rows) = sorted.rows else { return Ok(()) };
        self.tell_rows_ahead(rows, effects)
    }

    /// The same of rows.
    pub(super) fn tell_rows_ahead(
        &mut self,
        rows: EventBatch,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        let topic = rows.topic;
        let tells =
            |query: &Query| query.is_rule_of_single_rows() && query.sources.contains(&Source::Events(topic));
        for query in self.filters.iter_mut().filter(|query| tells(query)) {
            query.take(topic, &rows.records).map_err(failed(&query.name))?;
        }
        effects.known.push(rows);
        let mut ahead = Effects::default();
        self.give_filters(&mut ahead)?;
        effects.hits_ahead.append(&mut ahead.hits);
        effects.extend(ahead);
        Ok(())
    }

    /// Takes what has waited, but for what still has to.
    pub(super) fn unpark(&mut self, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        if self.stage != Stage::Open {
            return Ok(());
        }
        let unread = self.unread();
        let (waits, taken): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.restart.parked)
            .into_iter()
            .partition(|chunk| unread.contains(&chunk.events.topic));
        self.restart.parked = waits;
        for chunk in taken {
            self.restart.ahead.remove(&chunk.partition);
            self.admit(chunk, now, effects)?;
        }
        Ok(())
    }

    /// Forgets what was read of a partition that is no longer assigned.
    pub(super) fn forget(&mut self, partition: &Partition) {
        self.restart.pending.remove(partition);
        self.restart.parked.retain(|chunk| chunk.partition != *partition);
    }
}
