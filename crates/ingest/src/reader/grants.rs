//! What somebody else has said is to be read, and from where.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hexwatch_contract::{Partition, Topic};

use super::Mark;

/// A partition to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Which.
    pub partition: Partition,
    /// What its records mean.
    pub topic: Topic,
    /// The first offset to hand over.
    pub start: i64,
    /// A record before it that must stand there still.
    pub mark: Option<Mark>,
    /// The cluster it is of, where that is known.
    pub cluster: Option<String>,
    /// By which lease; told with the assignment, so that nobody takes what was read by another for its own.
    pub lease: u64,
}

/// The grants that hold; the reader's thread follows them at its next look around.
#[derive(Debug, Default)]
pub(super) struct Grants(Mutex<BTreeMap<Partition, Grant>>);

impl Grants {
    /// In place of an earlier one of the same partition.
    pub(super) fn give(&self, grant: Grant) {
        self.lock().insert(grant.partition.clone(), grant);
    }

    /// Ends the grant of `partition`, where it is of `lease` or an earlier one.
    pub(super) fn end(&self, partition: &Partition, lease: u64) {
        let mut all = self.lock();
        if all.get(partition).is_some_and(|grant| grant.lease <= lease) {
            all.remove(partition);
        }
    }

    pub(super) fn lease_of(&self, partition: &Partition) -> Option<u64> {
        self.lock().get(partition).map(|grant| grant.lease)
    }

    /// Those that `is_followed` does not know.
    pub(super) fn unless(&self, is_followed: impl Fn(&Grant) -> bool) -> Vec<Grant> {
        self.lock().values().filter(|grant| !is_followed(grant)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, Grant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
