//! The identities of rows seen within the correction horizon: what duplicates are told by.

mod table;

use std::hint::black_box;
use std::time::Duration;

use hexwatch_contract::time::millis_of;
use hexwatch_contract::{EventTime, Partition};

use table::{Marked, Table};

/// Which partitions a row may be of: one bit of sixteen. Partitions that share one are forgotten together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag(u8);

impl Tag {
    pub(crate) fn of(partition: &Partition) -> Self {
        Self(u8::try_from(partition.partition.rem_euclid(16)).unwrap_or(0))
    }

    const fn bit(self) -> u16 {
        1 << self.0
    }
}

/// A partition that others have left behind: it may still bring duplicates of rows between two times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Straggler {
    pub(crate) tag: Tag,
    /// Its watermark.
    pub(crate) watermark: EventTime,
    /// The latest time that it has shown.
    pub(crate) latest: EventTime,
}

/// Bits of an identity that make room for its tag.
const TAG_BITS: u32 = 4;

/// Identities of rows of one stretch of event time, each with its tag in the lowest bits.
#[derive(Debug)]
struct Bucket {
    /// Where it starts, in milliseconds.
    start: i64,
    /// The time of the row that came first, in milliseconds.
    first: i64,
    marked: Table,
    /// The tags that are still in it.
    tags: u16,
}

impl Bucket {
    /// Keeps what is of `tags`, and gives the room of the rest back.
    fn keep(&mut self, tags: u16) {
        if self.tags & !tags != 0 {
            self.tags &= tags;
            self.marked.keep(tags);
        }
    }
}

/// How many rows a stretch will have in the end that has `taken` of them after `elapsed` milliseconds, with `left` to come: a
/// few more than if they go on coming as they did. Twice as many where so short a time says nothing.
fn expected(taken: usize, elapsed: i64, left: i64) -> usize {
    let (elapsed, left) = (u128::try_from(elapsed).unwrap_or(0), u128::try_from(left).unwrap_or(0));
    if elapsed * 32 < left {
        return taken * 2;
    }
    let more = taken as u128 * left / elapsed.max(1);
    taken + usize::try_from(more + more / 16).unwrap_or(taken)
}

/// Identities in buckets of two correction horizons of event time. A row is a duplicate where its identity stands in the
/// bucket of its own time or in the one next to that half of it in which it lies. This depends on the rows' times alone,
/// and so comes out the same after a restart.
///
/// A bucket is forgotten when every partition of the topic has left it so far behind that its duplicates come too late
/// anyhow. An idle partition does not hold all of it back, but what it has brought itself of its last horizon stays: so
/// memory is bounded by the rows of two to four horizons, and of that much for each idle partition.
///
/// 60 of the 128 bits are kept: with ten million rows in memory a row is taken for another with a probability of
/// 1 in 10^11, and memory is what bounds this table.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Milliseconds that a bucket is wide.
    width: i64,
    /// The earliest first.
    buckets: Vec<Bucket>,
    /// The bucket that was looked into last: most rows are of the same time as the one before.
    last: usize,
}

impl Seen {
    /// Remembers for at least `horizon` of event time.
    pub(crate) fn new(horizon: Duration) -> Self {
        Self { width: millis_of(horizon).max(1).saturating_mul(2), buckets: Vec::new(), last: 0 }
    }

    /// Remembers a row of a partition of `tag`; false where it was seen before.
    pub(crate) fn insert(&mut self, identity: u128, time: EventTime, tag: Tag) -> bool {
        let marked = Marked::of(identity, tag);
        let own = self.bucket_of(time.millis());
        if self.neighbour(own, time.millis()).is_some_and(|neighbour| neighbour.marked.has(marked)) {
            return false;
        }
        let (bucket, width) = (&mut self.buckets[own], self.width);
        let (elapsed, left) = (time.millis() - bucket.first, bucket.start + width - time.millis());
        if !bucket.marked.insert(marked, |taken| expected(taken, elapsed, left)) {
            return false;
        }
        bucket.tags |= tag.bit();
        true
    }

    /// Looks for rows that will come next, and keeps nothing of it: the tables are larger than a processor's caches, and
    /// what many rows need of them comes at once where none waits for the one before it to be inserted.
    pub(crate) fn look_ahead(&self, identities: &[u128], tag: Tag) {
        let Some(bucket) = self.buckets.get(self.last) else { return };
        let found = identities.iter().map(|identity| bucket.marked.glance(Marked::of(*identity, tag)));
        black_box(found.fold(0, |all, one| all ^ one));
    }

    /// The place of the bucket of `millis`, which is made where it lacks.
    fn bucket_of(&mut self, millis: i64) -> usize {
        let width = self.width;
        let holds = |bucket: &Bucket| (bucket.start..bucket.start + width).contains(&millis);
        if !self.buckets.get(self.last).is_some_and(holds) {
            self.last = self.buckets.partition_point(|bucket| bucket.start + width <= millis);
            if !self.buckets.get(self.last).is_some_and(holds) {
                // As many rows as in the stretch before, most likely.
                let room = self.last.checked_sub(1).map_or(0, |before| self.buckets[before].marked.len());
                let start = millis.div_euclid(width) * width;
                let bucket = Bucket { start, first: millis, marked: Table::with_room(room), tags: 0 };
                self.buckets.insert(self.last, bucket);
            }
        }
        self.last
    }

    /// The bucket beside that half of the bucket at `own` in which `millis` lies.
    fn neighbour(&self, own: usize, millis: i64) -> Option<&Bucket> {
        let start = self.buckets[own].start;
        let (place, begins) = if millis - start < self.width / 2 {
            (own.checked_sub(1)?, start - self.width)
        } else {
            (own + 1, start + self.width)
        };
        self.buckets.get(place).filter(|bucket| bucket.start == begins)
    }

    /// Forgets what no row behind `watermark` can be a duplicate of, but for what `stragglers` have brought.
    pub(crate) fn forget_before(&mut self, watermark: EventTime, stragglers: &[Straggler]) {
        let width = self.width;
        let start_of = |time: EventTime| time.millis().div_euclid(width).saturating_mul(width);
        let oldest = |watermark| start_of(watermark).saturating_sub(width);
        let first = oldest(watermark);
        self.buckets.retain_mut(|bucket| {
            if bucket.start >= first {
                return true;
            }
            let may_repeat =
                |one: &&Straggler| (oldest(one.watermark)..=start_of(one.latest)).contains(&bucket.start);
            bucket.keep(stragglers.iter().filter(may_repeat).fold(0, |tags, one| tags | one.tag.bit()));
            bucket.tags != 0
        });
        self.last = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Duration = Duration::from_mins(10);
    const TAG: Tag = Tag(3);

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(seconds * 1000)
    }

    /// Spread like a hash.
    fn identity(row: i64) -> u128 {
        u128::from(row.unsigned_abs().wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn rows(seen: &Seen) -> usize {
        seen.buckets.iter().map(|bucket| bucket.marked.len()).sum()
    }

    #[test]
    fn a_row_is_new_once_within_the_horizon() {
        let mut seen = Seen::new(HORIZON);
        assert!(seen.insert(7, at(1_000), TAG));
        assert!(!seen.insert(7, at(1_000), TAG));
        assert!(!seen.insert(7, at(1_000), Tag(4)), "it came through another partition");
        assert!(!seen.insert(7, at(1_500), TAG), "sent again with a later time");
        assert!(seen.insert(8, at(1_000), TAG));
    }

    #[test]
    fn a_row_that_comes_again_within_the_horizon_is_known_on_either_side_of_it() {
        for first in (0..2_400).step_by(60) {
            for away in (-600..=600).step_by(60) {
                let mut seen = Seen::new(HORIZON);
                assert!(seen.insert(7, at(first), TAG));
                assert!(!seen.insert(7, at(first + away), TAG), "{first} s and {away} s from it");
            }
        }
    }

    #[test]
    fn rows_that_come_steadily_are_given_little_more_room_than_they_take() {
        let mut seen = Seen::new(HORIZON);
        for row in 0..120_000_i64 {
            assert!(seen.insert(identity(row), EventTime::from_millis(row * 10), TAG));
        }
        let [bucket] = seen.buckets.as_slice() else { panic!("they lie in one stretch of 20 minutes") };
        let places = bucket.marked.places();
        assert!(places < 120_000 * 3 / 2 * 6 / 5, "{places} places");
    }

    #[test]
    fn what_lies_before_the_horizon_is_forgotten() {
        let mut seen = Seen::new(HORIZON);
        assert!(seen.insert(7, at(0), TAG));
        seen.forget_before(at(10_000), &[]);
        assert_eq!(rows(&seen), 0);
    }

    #[test]
    fn whatever_is_forgotten_no_row_that_still_counts_is_a_duplicate_of() {
        for first in (0..2_400).step_by(100) {
            for watermark in (0..6_000).step_by(100) {
                let mut seen = Seen::new(HORIZON);
                seen.insert(7, at(first), TAG);
                seen.forget_before(at(watermark), &[]);
                let counts = first >= watermark - 600;
                assert!(!counts || !seen.insert(7, at(first), TAG), "{first} s at {watermark} s");
            }
        }
    }

    #[test]
    fn an_idle_partition_is_remembered_for_as_long_as_it_is_idle_and_nothing_else_is() {
        let mut seen = Seen::new(HORIZON);
        let (busy, idle) = (Tag(1), Tag(2));
        for second in 0..100_000_i64 {
            let number = u128::try_from(second).unwrap();
            assert!(seen.insert(number << 8, at(second), busy));
            if second < 3_000 {
                assert!(seen.insert(number << 8 | 1, at(second), idle));
            }
        }
        let straggler = Straggler { tag: idle, watermark: at(2_990), latest: at(3_000) };
        seen.forget_before(at(99_990), &[straggler]);
        for second in 2_390..3_000_i64 {
            let number = u128::try_from(second).unwrap();
            assert!(!seen.insert(number << 8 | 1, at(second), idle), "{second} s counts twice");
        }
        // Three buckets of the idle one, and of the busy one what is within reach.
        assert!(rows(&seen) <= 3_000 + 4 * 600, "{} rows are remembered", rows(&seen));
        seen.forget_before(at(99_990), &[]);
        assert!(rows(&seen) <= 4 * 600, "{} rows are remembered", rows(&seen));
    }

    #[test]
    fn a_million_identities_are_not_all_remembered() {
        let mut seen = Seen::new(HORIZON);
        for number in 0..1_000_000_i64 {
            let time = EventTime::from_millis(number * 100);
            assert!(seen.insert(u128::try_from(number).unwrap() << 8, time, TAG));
            if number % 1_000 == 0 {
                seen.forget_before(time, &[]);
            }
        }
        let most = 4 * 600 * 10;
        assert!(rows(&seen) <= most, "{} rows are remembered, {most} are within reach", rows(&seen));
    }
}
