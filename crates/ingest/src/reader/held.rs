//! Partitions that are held back on request, while the others are read on.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use hexwatch_contract::Partition;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::watch::Watch;

/// What is asked for; the reader's thread does it at its next look around.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<BTreeSet<Partition>>);

impl Held {
    pub(super) fn want(&self, partitions: BTreeSet<Partition>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = partitions;
    }

    /// Holds back what is asked for and not among `held`, and lets go what is and is not; `held` is what is asked for
    /// then.
    pub(super) fn apply(
        &self,
        consumer: &BaseConsumer<Watch>,
        held: &mut BTreeSet<Partition>,
    ) -> Result<(), KafkaError> {
        let wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if wanted == *held {
            return Ok(());
        }
        let (more, fewer) = (list(wanted.difference(held)), list(held.difference(&wanted)));
        if more.count() > 0 {
            consumer.pause(&more)?;
        }
        if fewer.count() > 0 {
            consumer.resume(&fewer)?;
        }
        *held = wanted;
        Ok(())
    }
}

fn list<'a>(partitions: impl Iterator<Item = &'a Partition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}
