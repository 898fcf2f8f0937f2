//! Where in Kafka a record stands.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A partition of a Kafka topic, by the topic's full name (prefix included).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// The Kafka topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl Partition {
    /// Partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// One record's place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The partition that holds the record.
    #[serde(flatten)]
    pub partition: Partition,
    /// The record's offset there.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.partition, self.offset)
    }
}

/// For each partition the next offset to read.
pub type Offsets = BTreeMap<Partition, i64>;
