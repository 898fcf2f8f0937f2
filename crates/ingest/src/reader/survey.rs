//! What of a checkpoint's positions the brokers still have, asked once before reading begins by somebody who accepts
//! that something is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hexwatch_contract::{EventTime, Offsets, Partition};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;

use super::assignment::{self, Obstacle, PATIENCE};
use super::mark::print_of;
use super::watch::Watch;
use super::{Mark, ReadError};
use crate::Brokers;
use crate::decode::Record;

/// What a checkpoint counts on.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// For each partition the next offset to give.
    pub next: Offsets,
    /// For each partition where to read from.
    pub replay_from: Offsets,
    /// Records that were read.
    pub marks: Vec<Mark>,
}

/// Why records cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// The topic was deleted and made anew: all its records are others.
    TopicRemade,
    /// The broker has deleted records by age before they were read.
    Retention,
    /// The topic was made anew with fewer partitions.
    PartitionGone,
}

impl Loss {
    /// The word for tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopicRemade => "topic_remade",
            Self::Retention => "retention",
            Self::PartitionGone => "partition_gone",
        }
    }
}

/// A stretch that cannot be read, and where reading goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Where.
    pub partition: Partition,
    /// The first offset that was wanted.
    pub from: i64,
    /// The offset at which reading goes on; `None` where the partition is gone.
    pub to: Option<i64>,
    /// Why.
    pub loss: Loss,
}

impl Gap {
    /// The next offset to give, where it was `before`; `None` where the partition is gone.
    #[must_use]
    pub fn next(&self, before: Option<i64>) -> Option<i64> {
        let to = self.to?;
        match self.loss {
            // What was lost by age may have been given long ago, and was only wanted for what was open.
            Loss::Retention => Some(before.map_or(to, |before| before.max(to))),
            Loss::TopicRemade | Loss::PartitionGone => Some(to),
        }
    }
}

/// What the brokers have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// The cluster that answered, where it gives an id.
    pub cluster: Option<String>,
    /// What they do not have.
    pub gaps: Vec<Gap>,
}

/// The gaps between `positions` and what `brokers` have.
///
/// # Errors
/// Where the brokers do not answer within `patience`.
pub fn survey(brokers: &Brokers, positions: &Positions, patience: Duration) -> Result<Survey, ReadError> {
    let consumer: BaseConsumer<Watch> = brokers
        .consumer("hexwatch-survey")
        .create_with_context(Watch::default())
        .map_err(|source| ReadError::Settings { source })?;
    let until = Instant::now() + patience;
    let ranges = ranges(&consumer, positions)?;
    let remade = remade(&consumer, &positions.marks, &ranges, until)?;
    let gap = |(partition, &next): (&Partition, &i64)| {
        let (from, to, loss) = match ranges.get(partition)? {
            None => (next, None, Loss::PartitionGone),
            Some((low, high)) if remade.contains(partition) || next > *high => {
                (next, Some(*low), Loss::TopicRemade)
            }
            Some((low, _)) => {
                let from = positions.replay_from.get(partition).copied().unwrap_or(next);
                if from >= *low {
                    return None;
                }
                // What was given already was only wanted for what is open; what was not is lost for good.
                (if next < *low { next } else { from }, Some(*low), Loss::Retention)
            }
        };
        Some(Gap { partition: partition.clone(), from, to, loss })
    };
    let gaps = positions.next.iter().filter_map(gap).collect();
    Ok(Survey { cluster: consumer.client().fetch_cluster_id(PATIENCE), gaps })
}

/// The first and last offset of each partition; `None` for one that does not exist.
type Ranges = BTreeMap<Partition, Option<(i64, i64)>>;

fn ranges(consumer: &BaseConsumer<Watch>, positions: &Positions) -> Result<Ranges, ReadError> {
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    let mut ranges = Ranges::new();
    for partition in positions.next.keys() {
        let name: &str = &partition.topic;
        if !counts.contains_key(name) {
            counts.insert(name, assignment::count_partitions(consumer, name).map_err(final_error)?);
        }
        let range = if partition.partition < counts[name] {
            let range = consumer.fetch_watermarks(name, partition.partition, PATIENCE);
            Some(range.map_err(|source| ReadError::Refused { source })?)
        } else {
            None
        };
        ranges.insert(partition.clone(), range);
    }
    Ok(ranges)
}

/// Here nobody waits for brokers that are away.
fn final_error(obstacle: Obstacle) -> ReadError {
    match obstacle {
        Obstacle::Final(error) => error,
        Obstacle::Away => ReadError::Silent,
    }
}

/// The partitions in which another record stands where a mark was.
fn remade(
    consumer: &BaseConsumer<Watch>,
    marks: &[Mark],
    ranges: &Ranges,
    until: Instant,
) -> Result<Vec<Partition>, ReadError> {
    let (mut open, mut remade) = (BTreeMap::new(), Vec::new());
    for mark in marks {
        match ranges.get(&mark.partition) {
            Some(Some((_, high))) if mark.offset >= *high => remade.push(mark.partition.clone()),
            Some(Some((low, _))) if mark.offset >= *low => {
                open.insert(mark.partition.clone(), mark);
            }
            _ => {}
        }
    }
    assignment::assign(consumer, open.iter().map(|(partition, mark)| (partition, mark.offset)))?;
    while !open.is_empty() {
        if Instant::now() >= until {
            return Err(ReadError::Silent);
        }
        let message = match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => message,
            None => continue,
            Some(Err(source)) => return Err(ReadError::Refused { source }),
        };
        let partition = Partition::new(message.topic(), message.partition());
        if let Some(mark) = open.remove(&partition)
            && mark.offset == message.offset()
            && mark.print != print_of(&bare(&message))
        {
            remade.push(partition);
        }
    }
    Ok(remade)
}

/// A message as its mark sees it, which does not look at headers.
fn bare<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    Record {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().map(EventTime::from_millis),
        key: message.key(),
        value: message.payload(),
        headers: &[],
    }
}
