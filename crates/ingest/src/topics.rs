//! Topics: made for recordings and for results, and described.

use std::time::Duration;

use hexwatch_contract::{Classified, Fault, Topic};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::Brokers;

/// What can go wrong with topics.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TopicError {
    /// The broker cannot be asked.
    #[error("asking {bootstrap} for its topics: {source}; is a broker running there?")]
    Ask {
        /// Where.
        bootstrap: String,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// A topic cannot be made.
    #[error("creating topic {name}: {code}")]
    Create {
        /// Which.
        name: String,
        /// What the broker said.
        code: RDKafkaErrorCode,
    },
}

impl Classified for TopicError {
    fn fault(&self) -> Fault {
        Fault::External
    }
}

/// A topic as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Its full name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many copies.
    pub replication: i32,
    /// Only the last record of a key is kept.
    pub compacted: bool,
    /// The largest record in bytes.
    pub largest_record: u32,
    /// How long records are kept by their timestamps; `None`: for ever, as recordings need it.
    pub retention: Option<Duration>,
}

/// Records of 1 MiB must come in to be refused by size; the broker's default of 1 MB would refuse them itself.
const LARGEST_INPUT: u32 = 2 * 1024 * 1024;

/// A dead letter carries such a record in base64.
const LARGEST_OUTPUT: u32 = 4 * 1024 * 1024;

impl Plan {
    /// The six input topics under `prefix`.
    #[must_use]
    pub fn inputs(prefix: &str, partitions: i32, replication: i32) -> Vec<Self> {
        let plan = |topic: Topic| Self {
            name: format!("{prefix}{topic}"),
            partitions,
            replication,
            compacted: false,
            largest_record: LARGEST_INPUT,
            retention: None,
        };
        Topic::ALL.map(plan).into()
    }

    /// The output topics under `prefix` (`hexwatch.` by default).
    #[must_use]
    pub fn outputs(prefix: &str, partitions: i32, replication: i32) -> Vec<Self> {
        let outputs = [
            ("alarms", false),
            ("alarms-latest", true),
            ("risk-cells", true),
            ("incidents", false),
            ("dead-letter", false),
        ];
        let plan = |(name, compacted)| Self::output(prefix, name, partitions, replication, compacted);
        outputs.map(plan).into()
    }

    /// One output topic, such as `view.heat_10s`.
    #[must_use]
    pub fn output(prefix: &str, name: &str, partitions: i32, replication: i32, compacted: bool) -> Self {
        let name = format!("{prefix}{name}");
        Self { name, partitions, replication, compacted, largest_record: LARGEST_OUTPUT, retention: None }
    }
}

/// A topic as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// Its full name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: usize,
}

fn admin(brokers: &Brokers) -> Result<AdminClient<DefaultClientContext>, TopicError> {
    brokers
        .admin()
        .create()
        .map_err(|source| TopicError::Ask { bootstrap: brokers.bootstrap().to_owned(), source })
}

/// Makes the topics that are not there yet, and returns their names; those that are there stay as they are.
///
/// # Errors
/// Where the broker does not answer within `patience`, or refuses one.
pub async fn create(
    brokers: &Brokers,
    plans: &[Plan],
    patience: Duration,
) -> Result<Vec<String>, TopicError> {
    let admin = admin(brokers)?;
    let largest: Vec<String> = plans.iter().map(|plan| plan.largest_record.to_string()).collect();
    let retention =
        |plan: &Plan| plan.retention.map_or_else(|| "-1".to_owned(), |kept| kept.as_millis().to_string());
    let retentions: Vec<String> = plans.iter().map(retention).collect();
    let wanted: Vec<NewTopic<'_>> = plans
        .iter()
        .zip(largest.iter().zip(&retentions))
        .map(|(plan, (largest, retention))| {
            let cleanup = if plan.compacted { "compact" } else { "delete" };
            NewTopic::new(&plan.name, plan.partitions, TopicReplication::Fixed(plan.replication))
                .set("cleanup.policy", cleanup)
                // Recordings keep their old timestamps; by the default the broker would delete them in minutes.
                .set("retention.ms", retention)
                .set("message.timestamp.type", "CreateTime")
                .set("max.message.bytes", largest)
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(patience)).operation_timeout(Some(patience));
    let results = admin
        .create_topics(&wanted, &options)
        .await
        .map_err(|source| TopicError::Ask { bootstrap: brokers.bootstrap().to_owned(), source })?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(TopicError::Create { name, code }),
        }
    }
    Ok(created)
}

/// Every topic of the brokers, in the order of their names.
///
/// # Errors
/// Where no broker answers within `patience`.
pub fn describe(brokers: &Brokers, patience: Duration) -> Result<Vec<Described>, TopicError> {
    let metadata = admin(brokers)?
        .inner()
        .fetch_metadata(None, patience)
        .map_err(|source| TopicError::Ask { bootstrap: brokers.bootstrap().to_owned(), source })?;
    let describe = |topic: &rdkafka::metadata::MetadataTopic| Described {
        name: topic.name().to_owned(),
        partitions: topic.partitions().len(),
    };
    let mut topics: Vec<Described> = metadata.topics().iter().map(describe).collect();
    topics.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_up_by_key_is_compacted() {
        let compacted: Vec<String> = Plan::outputs("hexwatch.", 1, 1)
            .into_iter()
            .filter(|plan| plan.compacted)
            .map(|plan| plan.name)
            .collect();
        assert_eq!(compacted, ["hexwatch.alarms-latest", "hexwatch.risk-cells"]);
    }
}
