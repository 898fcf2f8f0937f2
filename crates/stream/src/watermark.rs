//! Watermarks: how far event time has come, per partition and merged.
//!
//! A partition's watermark is `max(time) - lateness` over its rows of good clocks. The merged watermark
//! is the minimum over the assigned partitions; it decides when results are emitted. Whether a row is
//! late is decided against its own partition's watermark alone, so that idle time-outs change *when*
//! something is emitted, never *what*.

use std::collections::BTreeMap;
use std::time::Duration;

use hexwatch_contract::{EventTime, Partition, Topic};

use crate::seen::{Straggler, Tag};

/// One assigned partition's progress.
#[derive(Clone, Copy, Debug)]
struct Progress {
    topic: Topic,
    lateness: Duration,
    watermark: EventTime,
    /// Whether the partition has been read to its end; only then may it fall idle.
    at_end: bool,
    /// When a row of a good clock was last read, or the partition was assigned.
    heard_at: EventTime,
}

/// The watermarks of the assigned partitions.
#[derive(Clone, Debug)]
pub struct Watermarks {
    idle_timeout: Duration,
    partitions: BTreeMap<Partition, Progress>,
    merged: EventTime,
}

impl Watermarks {
    /// Nothing assigned, nothing known.
    #[must_use]
    pub fn new(idle_timeout: Duration) -> Self {
        Self { idle_timeout, partitions: BTreeMap::new(), merged: EventTime::MIN }
    }

    /// Takes `partition` into the minimum at `watermark`, before it has spoken: a backlog that is read
    /// unevenly must not make the slower partition's rows late.
    pub fn assign(
        &mut self,
        partition: Partition,
        topic: Topic,
        lateness: Duration,
        from: EventTime,
        now: EventTime,
    ) {
        let progress = Progress { topic, lateness, watermark: from, at_end: false, heard_at: now };
        self.partitions.insert(partition, progress);
    }

    /// Takes `partition` out of the minimum.
    pub fn revoke(&mut self, partition: &Partition) {
        self.partitions.remove(partition);
    }

    /// Whether `partition` has been read to its end. Behind its end it holds the merged watermark back,
    /// however long it is silent.
    pub fn set_at_end(&mut self, partition: &Partition, at_end: bool) {
        if let Some(progress) = self.partitions.get_mut(partition) {
            progress.at_end = at_end;
        }
    }

    /// Moves `partition` to `watermark`, never back.
    pub fn advance(&mut self, partition: &Partition, watermark: EventTime, now: EventTime) {
        if let Some(progress) = self.partitions.get_mut(partition) {
            progress.watermark = progress.watermark.max(watermark);
            progress.heard_at = now;
        }
    }

    /// The watermark of `partition` and how far it stays behind; `None` where it is not assigned.
    #[must_use]
    pub fn of(&self, partition: &Partition) -> Option<(EventTime, Duration)> {
        self.partitions.get(partition).map(|progress| (progress.watermark, progress.lateness))
    }

    /// Recomputes the merged watermark: the minimum over the assigned partitions, in which an idle one
    /// counts as `now - lateness` (so that timers go on when everything is silent). It never goes back.
    pub fn merge(&mut self, now: EventTime) -> EventTime {
        let contributions = self.partitions.values().map(|progress| {
            if self.is_idle(progress, now) {
                progress.watermark.max(now - progress.lateness)
            } else {
                progress.watermark
            }
        });
        if let Some(least) = contributions.min() {
            self.merged = self.merged.max(least);
        }
        self.merged
    }

    /// Raises the merged watermark to `watermark`, where a restart has to take up.
    pub fn resume(&mut self, watermark: EventTime) {
        self.merged = self.merged.max(watermark);
    }

    /// The merged watermark as of the last [`Watermarks::merge`].
    #[must_use]
    pub fn merged(&self) -> EventTime {
        self.merged
    }

    /// The latest event time any partition has shown; `None` before the first row.
    #[must_use]
    pub fn latest(&self) -> Option<EventTime> {
        let spoken = self.partitions.values().filter(|progress| progress.watermark > EventTime::MIN);
        spoken.map(|progress| progress.watermark + progress.lateness).max()
    }

    /// For each assigned partition the latest event time it has shown, and whether it is idle at `now`.
    pub fn progress(&self, now: EventTime) -> impl Iterator<Item = (&Partition, Option<EventTime>, bool)> {
        self.partitions.iter().map(move |(partition, progress)| {
            let latest = Some(progress.watermark).filter(|watermark| *watermark > EventTime::MIN);
            (partition, latest.map(|watermark| watermark + progress.lateness), self.is_idle(progress, now))
        })
    }

    /// How far back duplicates of `topic` can still be on time: the least watermark of its partitions,
    /// where one that is idle counts by the merged watermark.
    pub(crate) fn least_of(&self, topic: Topic, now: EventTime) -> EventTime {
        let partitions = self.partitions.values().filter(|progress| progress.topic == topic);
        let own = |progress: &Progress| {
            if self.is_idle(progress, now) { progress.watermark.max(self.merged) } else { progress.watermark }
        };
        partitions.map(own).min().unwrap_or(self.merged)
    }

    /// The idle partitions of `topic` that have spoken: whatever the others have shown since, duplicates of what they
    /// brought last are on time when they come. (One of which nothing but wrong clocks was heard has no time of its
    /// own, and is not among them.)
    pub(crate) fn stragglers(&self, topic: Topic, now: EventTime) -> Vec<Straggler> {
        let left_behind = self.partitions.iter().filter(|(_, progress)| {
            progress.topic == topic && progress.watermark > EventTime::MIN && self.is_idle(progress, now)
        });
        let straggler = |(partition, progress): (&Partition, &Progress)| Straggler {
            tag: Tag::of(partition),
            watermark: progress.watermark,
            latest: progress.watermark + progress.lateness,
        };
        left_behind.map(straggler).collect()
    }

    fn is_idle(&self, progress: &Progress, now: EventTime) -> bool {
        progress.at_end && now.since(progress.heard_at) >= self.idle_timeout
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LATENESS: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(30);

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(seconds * 1000)
    }

    fn partition(number: i32) -> Partition {
        Partition::new("iot", number)
    }

    fn two_assigned() -> Watermarks {
        let mut watermarks = Watermarks::new(IDLE);
        for number in 0..2 {
            watermarks.assign(partition(number), Topic::Iot, LATENESS, EventTime::MIN, at(0));
        }
        watermarks
    }

    #[test]
    fn an_assigned_partition_holds_the_minimum_before_it_has_spoken() {
        let mut watermarks = two_assigned();
        watermarks.advance(&partition(0), at(100), at(0));
        assert_eq!(watermarks.merge(at(500)), EventTime::MIN);
        watermarks.advance(&partition(1), at(40), at(0));
        assert_eq!(watermarks.merge(at(500)), at(40));
    }

    #[test]
    fn a_lagging_partition_holds_however_long_it_is_silent() {
        let mut watermarks = two_assigned();
        watermarks.advance(&partition(0), at(100), at(0));
        watermarks.set_at_end(&partition(0), true);
        assert_eq!(watermarks.merge(at(100_000)), EventTime::MIN);
    }

    #[test]
    fn an_idle_partition_counts_as_now_minus_lateness() {
        let mut watermarks = two_assigned();
        watermarks.set_at_end(&partition(1), true);
        watermarks.advance(&partition(0), at(25), at(29));
        assert_eq!(watermarks.merge(at(29)), EventTime::MIN, "not idle before the time-out");
        assert_eq!(watermarks.merge(at(30)), at(20));
        watermarks.set_at_end(&partition(0), true);
        assert_eq!(watermarks.merge(at(200)), at(190), "timers go on when everything is silent");
    }

    #[test]
    fn a_revoked_partition_no_longer_holds() {
        let mut watermarks = two_assigned();
        watermarks.advance(&partition(0), at(100), at(0));
        watermarks.revoke(&partition(1));
        assert_eq!(watermarks.merge(at(0)), at(100));
    }

    proptest! {
        #[test]
        fn the_merged_watermark_never_goes_back(steps in proptest::collection::vec((0..3, 0..3_i32, 0..500_i64), 1..80)) {
            let mut watermarks = two_assigned();
            let (mut now, mut last) = (0, EventTime::MIN);
            for (what, number, seconds) in steps {
                now += seconds / 10;
                match what {
                    0 => watermarks.advance(&partition(number), at(seconds), at(now)),
                    1 => watermarks.set_at_end(&partition(number), seconds % 2 == 0),
                    _ => watermarks.assign(partition(number), Topic::Iot, LATENESS, EventTime::MIN, at(now)),
                }
                let merged = watermarks.merge(at(now));
                prop_assert!(merged >= last);
                last = merged;
            }
        }
    }
}
