//! The identities of rows seen within the correction horizon: what duplicates are told by.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use hashbrown::HashSet;
use hexwatch_contract::EventTime;
use hexwatch_contract::time::millis_of;

/// An identity is a hash already; hashing it again would only cost.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, identity: u64) {
        self.0 = identity;
    }
}

type Generation = HashSet<u64, BuildHasherDefault<Identity>>;

/// Identities by generations of one correction horizon of event time. A row is a duplicate when its
/// identity stands in the generation of its own time or in a neighbouring one, which depends on the
/// rows' times alone and so comes out the same after a restart.
///
/// Half of the 128-bit hash is kept: with ten million rows in memory a row is taken for another with a
/// probability of 1 in 10^12, and memory is what bounds this table.
#[derive(Debug)]
pub(crate) struct Seen {
    horizon_ms: i64,
    generations: BTreeMap<i64, Generation>,
}

impl Seen {
    /// Remembers for at least `horizon` of event time.
    pub(crate) fn new(horizon: Duration) -> Self {
        Self { horizon_ms: millis_of(horizon).max(1), generations: BTreeMap::new() }
    }

    /// Remembers a row; false where it was seen before.
    #[allow(clippy::cast_possible_truncation, reason = "the low half of the hash is wanted")]
    pub(crate) fn insert(&mut self, identity: u128, time: EventTime) -> bool {
        let identity = identity as u64;
        let generation = time.millis().div_euclid(self.horizon_ms);
        for neighbour in [generation - 1, generation + 1] {
            if self.generations.get(&neighbour).is_some_and(|seen| seen.contains(&identity)) {
                return false;
            }
        }
        self.generations.entry(generation).or_default().insert(identity)
    }

    /// Forgets the generations that no row behind `watermark` can reach any more.
    pub(crate) fn forget_before(&mut self, watermark: EventTime) {
        let oldest = watermark.millis().div_euclid(self.horizon_ms).saturating_sub(2);
        while let Some(entry) = self.generations.first_entry()
            && *entry.key() < oldest
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(seconds * 1000)
    }

    #[test]
    fn a_row_is_new_once_within_the_horizon() {
        let mut seen = Seen::new(Duration::from_mins(10));
        assert!(seen.insert(7, at(1_000)));
        assert!(!seen.insert(7, at(1_000)));
        assert!(!seen.insert(7, at(1_500)), "sent again with a later time");
        assert!(seen.insert(8, at(1_000)));
    }

    #[test]
    fn what_lies_before_the_horizon_is_forgotten() {
        let mut seen = Seen::new(Duration::from_mins(10));
        assert!(seen.insert(7, at(0)));
        seen.forget_before(at(10_000));
        assert!(seen.generations.is_empty());
    }
}
