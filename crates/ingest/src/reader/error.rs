//! Why reading ended.

use hexwatch_contract::{Classified, Fault, Partition};
use rdkafka::error::KafkaError;

/// What ends a reader, or an operation of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// librdkafka does not take the settings.
    #[error("setting up the Kafka consumer: {source}; check the Kafka properties")]
    Settings {
        /// What it said.
        source: KafkaError,
    },
    /// The operating system gives no thread.
    #[error("starting the reader's thread: {kind}")]
    Thread {
        /// What it said.
        kind: std::io::ErrorKind,
    },
    /// Input topics that do not exist.
    #[error("reading topics {}: they do not exist; create them with `hexwatch topics create`", names.join(", "))]
    TopicsMissing {
        /// Their names.
        names: Vec<String>,
    },
    /// The broker does not have the next record.
    #[error(
        "reading {partition}: the next offset is {offset}, and the broker has {low} to {high}; the topic was \
         made anew or its retention was too short. Restore it, or go on without what is lost with \
         `hexwatch run --accept-gap`, which notes the gap in the table `gaps`"
    )]
    OffsetLost {
        /// Where.
        partition: Partition,
        /// The offset that should be read next.
        offset: i64,
        /// The first offset the broker has.
        low: i64,
        /// The offset after the last.
        high: i64,
    },
    /// No broker answers somebody who does not wait.
    #[error("asking the brokers what they still have: none answers; start again when they do")]
    Silent,
    /// Another record stands where one was read before.
    #[error(
        "reading {partition}: the record at offset {offset} is not the one that was read there before; the topic was \
         made anew. Restore it, or go on with the new topic with `hexwatch run --accept-gap`, which notes the gap in \
         the table `gaps`"
    )]
    Remade {
        /// Where.
        partition: Partition,
        /// The offset of the record.
        offset: i64,
    },
    /// A partition that was read before does not exist.
    #[error(
        "reading {partition}: the topic has {count} partitions now; it was made anew. Restore it, or go on with the \
         new topic with `hexwatch run --accept-gap`, which notes the gap in the table `gaps`"
    )]
    PartitionGone {
        /// Which.
        partition: Partition,
        /// How many there are.
        count: i32,
    },
    /// The brokers are not those that were read from before.
    #[error(
        "reading from Kafka: the brokers are of cluster {found}, and what was read came from {known}; offsets of one \
         cluster mean nothing in another. Name the right brokers, or go on with `hexwatch run --accept-gap`"
    )]
    OtherCluster {
        /// The cluster of the last commit.
        known: String,
        /// The one that answers.
        found: String,
    },
    /// The broker refuses for good.
    #[error("reading from Kafka: {source}; check access rights and the topics")]
    Refused {
        /// What it said.
        source: KafkaError,
    },
    /// A checksum is wrong.
    #[error("reading from Kafka: a batch is corrupt ({source}); check the broker's disks before going on")]
    Corrupt {
        /// What librdkafka said.
        source: KafkaError,
    },
    /// The group has no place for this member.
    #[error(
        "being a member of the consumer group: {source}; check access rights, that no other worker has the same \
         `workers.name`, and that the brokers allow `workers.session_timeout`"
    )]
    Membership {
        /// What it said.
        source: KafkaError,
    },
    /// A worker has found that it cannot go on, and nobody else could.
    #[error("the worker `{worker}` has ended: {message}")]
    Worker {
        /// Which.
        worker: String,
        /// What it said.
        message: String,
    },
    /// Offsets could not be committed for monitoring.
    #[error("committing offsets for monitoring: {source}")]
    Commit {
        /// What librdkafka said.
        source: KafkaError,
    },
}

impl ReadError {
    /// Whether records are gone or are others now, which no other reader could mend.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::OffsetLost { .. } | Self::Remade { .. } | Self::PartitionGone { .. } | Self::Corrupt { .. }
        )
    }

    /// That another record stands where `mark` was.
    pub(super) fn remade(mark: super::Mark) -> Self {
        Self::Remade { partition: mark.partition, offset: mark.offset }
    }
}

impl Classified for ReadError {
    fn fault(&self) -> Fault {
        match self {
            Self::Settings { .. } | Self::TopicsMissing { .. } => Fault::Input,
            _ => Fault::External,
        }
    }

    fn retry(&self) -> bool {
        matches!(self, Self::Commit { .. } | Self::Thread { .. })
    }
}
