//! Where a restart takes up: for each partition the offset to read again from, with the watermark as of
//! that offset, so that the rows read again meet the same decisions.

use std::collections::{BTreeMap, VecDeque};

use hexwatch_contract::{EventTime, Offsets, Partition, Position, Topic};
use serde::{Deserialize, Serialize};

use crate::absence::AbsenceSnapshot;

/// What a restart needs beside the records; committed with the history's tables.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The merged watermark: results up to here have been given. `None` before there was one.
    pub watermark: Option<EventTime>,
    /// Each partition.
    pub partitions: Vec<Resumption>,
    /// What is longer than the stretch that is read again.
    pub absences: Vec<AbsenceSnapshot>,
    /// Late rows that some queries have not taken yet.
    #[serde(default)]
    pub corrections: Vec<Awaiting>,
}

/// Late rows that have yet to correct what queries gave.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Awaiting {
    /// The queries, which give together.
    pub queries: Vec<String>,
    /// The records of the rows: of each partition their offsets.
    pub offsets: Vec<(Partition, Vec<i64>)>,
}

impl Awaiting {
    /// The rows at `positions`, for `queries`.
    pub(crate) fn new<'a>(queries: impl Iterator<Item = &'a str>, positions: Vec<Position>) -> Self {
        let mut offsets: BTreeMap<Partition, Vec<i64>> = BTreeMap::new();
        for Position { partition, offset } in positions {
            offsets.entry(partition).or_default().push(offset);
        }
        for offsets in offsets.values_mut() {
            offsets.sort_unstable();
        }
        Self { queries: queries.map(str::to_owned).collect(), offsets: offsets.into_iter().collect() }
    }

    /// Where their records stand.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Position> {
        let of = |(partition, offsets): &(Partition, Vec<i64>)| {
            let partition = partition.clone();
            let position = move |offset: &i64| Position { partition: partition.clone(), offset: *offset };
            offsets.iter().map(position).collect::<Vec<_>>()
        };
        self.offsets.iter().flat_map(of)
    }
}

/// Where one partition takes up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Resumption {
    /// The partition.
    pub partition: Partition,
    /// Its topic.
    pub topic: Topic,
    /// The smallest offset that feeds anything still open: read again from here.
    pub replay_from: i64,
    /// The partition's watermark before that offset; `None` before it had one.
    pub watermark: Option<EventTime>,
    /// The offset after the last record whose effects have been given.
    pub next_offset: i64,
}

impl Checkpoint {
    /// Where to read each partition from.
    #[must_use]
    pub fn replay_from(&self) -> Offsets {
        self.partitions
            .iter()
            .map(|resumption| (resumption.partition.clone(), resumption.replay_from))
            .collect()
    }
}

/// A chunk that was taken, as far as a restart is concerned.
#[derive(Clone, Copy, Debug)]
struct Mark {
    first_offset: i64,
    watermark_before: EventTime,
    /// The latest time of the first chunk.
    from: EventTime,
    /// The latest time of all its chunks.
    latest: EventTime,
}

/// One partition's place in its records.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) topic: Topic,
    pub(crate) next_offset: Option<i64>,
    /// Chunks that still feed something open, oldest first.
    marks: VecDeque<Mark>,
    /// Where it stood at the point to which everything is being brought, with its watermark then.
    point: Option<(Option<i64>, EventTime)>,
}

impl Place {
    pub(crate) fn new(topic: Topic) -> Self {
        Self { topic, next_offset: None, marks: VecDeque::new(), point: None }
    }

    /// Takes note of the point to which everything is being brought: chunks that come now lie beyond it.
    pub(crate) fn close(&mut self, watermark: EventTime) {
        self.point = Some((self.next_offset, watermark));
    }

    /// Everything has been brought there.
    pub(crate) fn reopen(&mut self) {
        self.point = None;
    }

    /// Notes a chunk whose latest row is of `latest`, taken at `watermark_before`.
    pub(crate) fn note(
        &mut self,
        first_offset: i64,
        next_offset: i64,
        watermark_before: EventTime,
        latest: EventTime,
    ) {
        self.next_offset = Some(next_offset);
        // Neighbouring chunks share a mark, so that a trickle does not grow the list.
        match self.marks.back_mut() {
            Some(mark) if latest <= mark.from + MARK_WIDTH => {
                mark.latest = mark.latest.max(latest);
            }
            _ => self.marks.push_back(Mark { first_offset, watermark_before, from: latest, latest }),
        }
    }

    /// Drops chunks of which nothing from `floor` on is left.
    pub(crate) fn drop_before(&mut self, floor: EventTime) {
        while self.marks.front().is_some_and(|mark| mark.latest < floor) {
            self.marks.pop_front();
        }
    }

    /// Where to take up; `None` before the first chunk.
    pub(crate) fn resumption(&self, partition: &Partition, watermark: EventTime) -> Option<Resumption> {
        let (next_offset, watermark) = self.point.unwrap_or((self.next_offset, watermark));
        let next_offset = next_offset?;
        let (replay_from, watermark) = self
            .marks
            .front()
            .filter(|mark| mark.first_offset < next_offset)
            .map_or((next_offset, watermark), |mark| (mark.first_offset, mark.watermark_before));
        let watermark = known(watermark);
        Some(Resumption {
            partition: partition.clone(),
            topic: self.topic,
            replay_from,
            watermark,
            next_offset,
        })
    }
}

/// A watermark, unless it stands before everything.
pub(crate) fn known(watermark: EventTime) -> Option<EventTime> {
    Some(watermark).filter(|watermark| *watermark > EventTime::MIN)
}

/// Chunks whose latest times lie this close behind the first one's share its mark.
const MARK_WIDTH: std::time::Duration = std::time::Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(seconds * 1000)
    }

    #[test]
    fn a_restart_reads_from_the_first_chunk_that_feeds_something_open_at_the_watermark_it_met() {
        let partition = Partition::new("iot", 0);
        let mut place = Place::new(Topic::Iot);
        assert_eq!(place.resumption(&partition, EventTime::MIN), None);
        place.note(0, 10, EventTime::MIN, at(100));
        place.note(10, 20, at(90), at(200));
        place.note(20, 30, at(190), at(150));
        place.drop_before(at(150));
        let resumption = place.resumption(&partition, at(190)).unwrap();
        assert_eq!(
            (resumption.replay_from, resumption.watermark, resumption.next_offset),
            (10, Some(at(90)), 30)
        );
        place.drop_before(at(300));
        let resumption = place.resumption(&partition, at(190)).unwrap();
        assert_eq!((resumption.replay_from, resumption.watermark), (30, Some(at(190))));
    }
}
