//! Which partitions there are, and where each of them starts.

use std::time::Duration;

use hexwatch_contract::{Partition, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::watch::Watch;
use super::{Assignment, Grant, Mark, ReadError, Settings, Start};

/// How long a broker may take to answer one question.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Why the partitions could not be found.
pub(super) enum Obstacle {
    /// The broker does not answer; ask again.
    Away,
    /// Asking again would not help.
    Final(ReadError),
}

impl From<KafkaError> for Obstacle {
    fn from(source: KafkaError) -> Self {
        match source.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => Self::Final(ReadError::Refused { source }),
            _ => Self::Away,
        }
    }
}

impl From<ReadError> for Obstacle {
    fn from(error: ReadError) -> Self {
        Self::Final(error)
    }
}

/// A partition to be read, and what has to stand in it.
pub(super) struct Found {
    pub(super) assignment: Assignment,
    /// A record that was read before, where the broker still has it.
    pub(super) mark: Option<Mark>,
}

/// The partitions of every source that `known` does not hold, each with its start and its end.
pub(super) fn discover(
    consumer: &BaseConsumer<Watch>,
    settings: &Settings,
    known: impl Fn(&str, i32) -> bool,
) -> Result<Vec<Found>, Obstacle> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for source in &settings.sources {
        let count = count_partitions(consumer, &source.name)?;
        if count == 0 {
            missing.push(source.name.to_string());
        } else {
            check_count(&source.name, count, settings)?;
        }
        for number in 0..count {
            if known(&source.name, number) {
                continue;
            }
            let partition = Partition::new(source.name.clone(), number);
            found.push(look_up(consumer, settings, partition, source.topic)?);
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(Obstacle::Final(ReadError::TopicsMissing { names: missing }))
    }
}

/// Where `partition` starts and ends.
fn look_up(
    consumer: &BaseConsumer<Watch>,
    settings: &Settings,
    partition: Partition,
    topic: Topic,
) -> Result<Found, Obstacle> {
    let (low, high) = consumer.fetch_watermarks(&partition.topic, partition.partition, PATIENCE)?;
    let start = start_of(&partition, settings, low, high)?;
    let mark = mark_of(&partition, settings, low, high)?;
    Ok(Found { assignment: Assignment { partition, topic, start, end: high, lease: 0 }, mark })
}

/// What `grant` grants, which from now on is where its partition starts.
pub(super) fn find_granted(
    consumer: &BaseConsumer<Watch>,
    settings: &mut Settings,
    grant: &Grant,
) -> Result<Found, Obstacle> {
    settings.cluster.clone_from(&grant.cluster);
    check_cluster(consumer, settings)?;
    settings.starts.insert(grant.partition.clone(), grant.start);
    settings.marks.remove(&grant.partition);
    settings.marks.extend(grant.mark.iter().map(|mark| (grant.partition.clone(), mark.clone())));
    let mut found = look_up(consumer, settings, grant.partition.clone(), grant.topic)?;
    found.assignment.lease = grant.lease;
    Ok(found)
}

/// That the topic still has every partition that was read before.
fn check_count(name: &str, count: i32, settings: &Settings) -> Result<(), Obstacle> {
    let is_gone = |partition: &&Partition| *partition.topic == *name && partition.partition >= count;
    match settings.starts.keys().find(is_gone) {
        Some(gone) => Err(Obstacle::Final(ReadError::PartitionGone { partition: gone.clone(), count })),
        None => Ok(()),
    }
}

/// The record that was read before and still has to stand there; `None` where the broker has deleted it by age.
fn mark_of(
    partition: &Partition,
    settings: &Settings,
    low: i64,
    high: i64,
) -> Result<Option<Mark>, Obstacle> {
    let Some(mark) = settings.marks.get(partition) else { return Ok(None) };
    if mark.offset >= high {
        let offset = mark.offset + 1;
        return Err(Obstacle::Final(ReadError::OffsetLost {
            partition: partition.clone(),
            offset,
            low,
            high,
        }));
    }
    Ok(Some(mark.clone()).filter(|mark| mark.offset >= low))
}

/// That the brokers are those whose offsets are known.
pub(super) fn check_cluster(consumer: &BaseConsumer<Watch>, settings: &Settings) -> Result<(), ReadError> {
    let Some(known) = &settings.cluster else { return Ok(()) };
    match consumer.client().fetch_cluster_id(PATIENCE) {
        Some(found) if found != *known => Err(ReadError::OtherCluster { known: known.clone(), found }),
        _ => Ok(()),
    }
}

/// How many partitions a topic has; 0 where it does not exist.
pub(super) fn count_partitions(consumer: &BaseConsumer<Watch>, name: &str) -> Result<i32, Obstacle> {
    let metadata = consumer.fetch_metadata(Some(name), PATIENCE)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(0) };
    let Some(code) = topic.error() else {
        return Ok(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX));
    };
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => Ok(0),
        code => Err(KafkaError::MetadataFetch(code).into()),
    }
}

fn start_of(partition: &Partition, settings: &Settings, low: i64, high: i64) -> Result<i64, Obstacle> {
    match settings.starts.get(partition) {
        Some(&offset) if (low..=high).contains(&offset) => Ok(offset),
        Some(&offset) => {
            let lost = ReadError::OffsetLost { partition: partition.clone(), offset, low, high };
            Err(Obstacle::Final(lost))
        }
        None => Ok(match settings.fallback {
            Start::Earliest => low,
            Start::Latest => high,
        }),
    }
}

/// Reads on from `positions`, and from nowhere else.
pub(super) fn assign<'a>(
    consumer: &BaseConsumer<Watch>,
    positions: impl IntoIterator<Item = (&'a Partition, i64)>,
) -> Result<(), ReadError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in positions {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(offset))
            .map_err(|source| ReadError::Refused { source })?;
    }
    consumer.assign(&list).map_err(|source| ReadError::Refused { source })
}

/// What the broker says of partitions from which nothing comes.
pub(super) enum Standing {
    /// There is nothing more to read, or the broker does not say.
    AtTheEnd,
    /// There are records.
    RecordsWait,
    /// The next offset is not the broker's.
    Lost(ReadError),
}

/// Asks the broker about partitions and our positions in them.
pub(super) fn ask_about<'a>(
    consumer: &BaseConsumer<Watch>,
    positions: impl IntoIterator<Item = (&'a Partition, i64)>,
) -> Standing {
    let mut standing = Standing::AtTheEnd;
    for (partition, offset) in positions {
        let Ok((low, high)) = consumer.fetch_watermarks(&partition.topic, partition.partition, PATIENCE)
        else {
            continue;
        };
        if !(low..=high).contains(&offset) {
            return Standing::Lost(ReadError::OffsetLost { partition: partition.clone(), offset, low, high });
        }
        if offset < high {
            standing = Standing::RecordsWait;
        }
    }
    standing
}
