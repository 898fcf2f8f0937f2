//! Reading and nothing else: what the engine's cost is measured against, with the same consumer settings.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::Brokers;

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Records.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// The sum of the offsets, so that the reading cannot be left out by a clever compiler.
    pub offsets: i64,
}

/// Reads `topics` from their first records to the ends they have at the start.
///
/// # Errors
/// Where the broker does not answer, or nothing has come for `patience`.
pub fn count(brokers: &Brokers, topics: &[&str], patience: Duration) -> Result<Counted, KafkaError> {
    let mut config = brokers.consumer("hexwatch-bare");
    // Statistics are the engine's cost, not the reading's.
    let consumer: BaseConsumer = config.set("statistics.interval.ms", "0").create()?;
    let mut list = TopicPartitionList::new();
    let mut left = 0;
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), patience)?;
        let partitions = metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
        for partition in partitions {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), patience)?;
            list.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
            left += high - low;
        }
    }
    consumer.assign(&list)?;
    let mut counted = Counted::default();
    let mut heard = Instant::now();
    while left > 0 {
        match consumer.poll(Duration::ZERO).or_else(|| consumer.poll(Duration::from_millis(100))) {
            Some(Ok(message)) => {
                counted.records += 1;
                counted.bytes += message.payload().map_or(0, |value| value.len() as u64);
                counted.offsets = counted.offsets.wrapping_add(message.offset());
                left -= 1;
                if counted.records.is_multiple_of(4096) {
                    heard = Instant::now();
                }
            }
            Some(Err(error)) => return Err(error),
            None if heard.elapsed() > patience => return Err(KafkaError::NoMessageReceived),
            None => {}
        }
    }
    Ok(counted)
}
