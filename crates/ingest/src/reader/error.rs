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
         made anew or its retention was too short. Restore it, or start from an empty data directory"
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
    /// Offsets could not be committed for monitoring.
    #[error("committing offsets for monitoring: {source}")]
    Commit {
        /// What librdkafka said.
        source: KafkaError,
    },
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
