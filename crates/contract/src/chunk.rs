//! What `ingest` hands to `stream`: a stretch of one partition, decoded.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::{DeadLetter, EventTime, Partition, Topic};

/// Typed rows of one partition in offset order, by [`crate::event::schema`] of their topic.
#[derive(Clone, Debug)]
pub struct EventBatch {
    /// Which topic's columns these are.
    pub topic: Topic,
    /// The rows.
    pub records: RecordBatch,
    /// For each row a hash of (site, source, id): what duplicates are told by.
    pub identities: Vec<u128>,
}

/// A contiguous stretch of one partition. Every record of `first_offset..next_offset` that the broker
/// handed out is a row of `events` or one of `dead_letters`.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Which partition.
    pub partition: Partition,
    /// The first offset of the stretch.
    pub first_offset: i64,
    /// The offset after the last.
    pub next_offset: i64,
    /// How many records were read.
    pub read: u64,
    /// The latest Kafka timestamp among them: the clock of a recording.
    pub latest_kafka_time: EventTime,
    /// The rows.
    pub events: EventBatch,
    /// The refused. Kafka's and the history's outlets share them.
    pub dead_letters: Vec<Arc<DeadLetter>>,
}
