//! Which record stands at an offset. A topic that is deleted and made anew counts from zero again, and may have grown
//! past where we were: then our next offset is a number that means another record. The topic's own id is out of reach
//! of this client, so a record that was read is remembered by what it says, and looked at again at the next start.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hexwatch_contract::{EventTime, Offsets, Partition};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::decode::Record;

/// A record that was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Where it stands.
    #[serde(flatten)]
    pub partition: Partition,
    /// At which offset.
    pub offset: i64,
    /// A hash of its timestamp, key and value.
    pub print: String,
}

/// Bytes of a hash that are kept.
const PRINT_BYTES: usize = 16;

/// The bytes that identify a record, written over the ones before.
pub(super) fn write_bytes(record: &Record<'_>, bytes: &mut Vec<u8>) {
    let length = |part: Option<&[u8]>| part.map_or(-1, |part| i64::try_from(part.len()).unwrap_or(i64::MAX));
    bytes.clear();
    bytes.extend_from_slice(&record.timestamp.map_or(-1, EventTime::millis).to_le_bytes());
    bytes.extend_from_slice(&length(record.key).to_le_bytes());
    bytes.extend_from_slice(record.key.unwrap_or_default());
    bytes.extend_from_slice(&length(record.value).to_le_bytes());
    bytes.extend_from_slice(record.value.unwrap_or_default());
}

/// The hash of a record's bytes.
pub(super) fn print(bytes: &[u8]) -> String {
    let mut print = String::with_capacity(2 * PRINT_BYTES);
    for byte in Sha256::digest(bytes).iter().take(PRINT_BYTES) {
        let _ = write!(print, "{byte:02x}");
    }
    print
}

/// The hash of `record`.
pub(super) fn print_of(record: &Record<'_>) -> String {
    let mut bytes = Vec::new();
    write_bytes(record, &mut bytes);
    print(&bytes)
}

/// The marks since the last commit: any that lies below a committed offset tells its topic as well as another, so a
/// few suffice however long a commit takes.
#[derive(Debug, Default)]
pub struct Marks(Mutex<BTreeMap<Partition, VecDeque<Mark>>>);

/// How many marks of a partition are kept; of more, every second goes.
const KEPT: usize = 64;

impl Marks {
    /// Begins with what the last commit left.
    #[must_use]
    pub fn of(marks: impl IntoIterator<Item = Mark>) -> Self {
        let all = Self::default();
        marks.into_iter().for_each(|mark| all.note(mark));
        all
    }

    /// A record was read.
    pub fn note(&self, mark: Mark) {
        let mut all = self.lock();
        let marks = all.entry(mark.partition.clone()).or_default();
        marks.push_back(mark);
        if marks.len() > KEPT {
            let mut number = 0;
            marks.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// For each partition the last mark below its offset; those before it are forgotten.
    pub fn below(&self, offsets: &Offsets) -> Vec<Mark> {
        let mut found = Vec::new();
        for (partition, marks) in self.lock().iter_mut() {
            let Some(next) = offsets.get(partition) else { continue };
            while marks.get(1).is_some_and(|later| later.offset < *next) {
                marks.pop_front();
            }
            found.extend(marks.front().filter(|mark| mark.offset < *next).cloned());
        }
        found
    }

    /// The last mark of `partition` below `next`; nothing is forgotten.
    #[must_use]
    pub fn last_below(&self, partition: &Partition, next: i64) -> Option<Mark> {
        let all = self.lock();
        all.get(partition)?.iter().rev().find(|mark| mark.offset < next).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, VecDeque<Mark>>> {
        // A panic elsewhere leaves whole marks behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(offset: i64) -> Mark {
        Mark { partition: Partition::new("iot", 0), offset, print: format!("{offset:x}") }
    }

    #[test]
    fn the_last_mark_below_a_committed_offset_is_given_again_until_a_later_one_is() {
        let marks = Marks::of([mark(4)]);
        let below = |next: i64| marks.below(&[(Partition::new("iot", 0), next)].into());
        assert_eq!(below(4), []);
        assert_eq!(below(5), [mark(4)]);
        for offset in [9, 19, 29] {
            marks.note(mark(offset));
        }
        assert_eq!(below(20), [mark(19)]);
        assert_eq!(below(25), [mark(19)]);
        assert_eq!(marks.last_below(&Partition::new("iot", 0), 29), Some(mark(19)), "it is kept");
        assert_eq!(below(30), [mark(29)]);
    }

    #[test]
    fn a_commit_that_takes_long_costs_no_memory_and_still_finds_a_mark() {
        let marks = Marks::of([]);
        for offset in 0..10_000 {
            marks.note(mark(offset));
        }
        assert!(marks.lock().values().all(|kept| kept.len() <= KEPT));
        let found = marks.below(&[(Partition::new("iot", 0), 5_000)].into());
        assert!(found.len() == 1 && found[0].offset < 5_000, "{found:?}");
    }
}
