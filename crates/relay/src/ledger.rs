//! Who reads which partition, and which of what they bring is taken: each offset once, in its order, from whoever has
//! the lease. Whoever was away and comes back with a lease that counts no more is refused.
//!
//! A bulk partition has one reader, and a new lease ends the one before. A safety partition is read by every worker,
//! and what somebody else has brought already is cut off or dropped. What nobody reads is behind its end: nobody may
//! take its silence for quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hexwatch_contract::Partition;

use crate::message::Reach;

#[cfg(test)]
mod laws;

/// A worker's connection.
pub type Member = u64;

/// Who may read a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// One worker at a time.
    Alone,
    /// All of them.
    Together,
}

/// A right to bring what stands at `start` and after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Of which partition.
    pub partition: Partition,
    /// The first offset that is wanted.
    pub start: i64,
    /// Its number; a later lease has a greater one.
    pub number: u64,
}

/// Whose lease counts no more, and which it was.
pub type Fenced = (Member, u64);

/// What becomes of a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is taken from this offset on, which is its first or a later one.
    Take {
        /// The first offset of it that is new.
        from: i64,
    },
    /// Others have brought all of it.
    AlreadyTaken,
    /// The lease it was read under does not count, or not any more.
    Fenced,
    /// What stands before it is missing; its worker has to begin anew with this lease.
    Gap(Lease),
}

/// How a partition stands to its end, where that has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which partition.
    pub partition: Partition,
    /// The offset of its end where that is reached; `None` where it is behind.
    pub at_end: Option<i64>,
}

/// What a claim brings about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claimed {
    /// The new lease.
    pub lease: Lease,
    /// Whose leases have ended with that.
    pub fenced: Vec<Fenced>,
}

/// All partitions.
#[derive(Debug)]
pub struct Ledger {
    /// The number of the last lease.
    last: u64,
    places: BTreeMap<Partition, Place>,
    /// Who wants partitions that are not known yet.
    waiting: BTreeSet<(Partition, Member)>,
    /// Partitions whose standing to their end has changed since it was last [told](Ledger::change).
    untold: BTreeSet<Partition>,
}

#[derive(Debug)]
struct Place {
    reading: Reading,
    next: i64,
    end: i64,
    is_at_end: bool,
    readers: BTreeMap<Member, Reader>,
}

#[derive(Debug)]
struct Reader {
    lease: u64,
    heard: Instant,
}

impl Place {
    /// The place, where `member` reads it by `lease`.
    fn read_by(&mut self, member: Member, lease: u64, now: Instant) -> Option<&mut Self> {
        let reader = self.readers.get_mut(&member).filter(|reader| reader.lease == lease)?;
        reader.heard = now;
        Some(self)
    }
}

impl Ledger {
    /// Nothing is known. Leases are numbered from above `last`: with the time of its start a process numbers them above
    /// all of its predecessors.
    #[must_use]
    pub fn new(last: u64) -> Self {
        Self { last, places: BTreeMap::new(), waiting: BTreeSet::new(), untold: BTreeSet::new() }
    }

    /// `partition` will be read from `start` on; its end is `end` now. Gives who has asked for it before.
    pub fn open(&mut self, partition: Partition, reading: Reading, start: i64, end: i64) -> Vec<Member> {
        let asked = |(wanted, _): &(Partition, Member)| *wanted == partition;
        let members = self.waiting.iter().filter(|one| asked(one)).map(|(_, member)| *member).collect();
        self.waiting.retain(|one| !asked(one));
        let place = Place { reading, next: start, end, is_at_end: false, readers: BTreeMap::new() };
        self.places.entry(partition).or_insert(place);
        members
    }

    /// The partitions that all read.
    pub fn shared(&self) -> impl Iterator<Item = &Partition> {
        self.places.iter().filter(|(_, place)| place.reading == Reading::Together).map(|(name, _)| name)
    }

    /// Gives `member` a lease of `partition`; `None` where the partition is not known yet, which is remembered.
    pub fn claim(&mut self, member: Member, partition: &Partition, now: Instant) -> Option<Claimed> {
        let Some(place) = self.places.get_mut(partition) else {
            self.waiting.insert((partition.clone(), member));
            return None;
        };
        let mut fenced = Vec::new();
        if place.reading == Reading::Alone {
            let others = std::mem::take(&mut place.readers).into_iter();
            fenced
                .extend(others.filter(|(other, _)| *other != member).map(|(other, own)| (other, own.lease)));
        }
        if place.readers.is_empty() {
            // Until its new reader says otherwise.
            stand(partition, place, false, &mut self.untold);
        }
        self.last += 1;
        place.readers.insert(member, Reader { lease: self.last, heard: now });
        let lease = Lease { partition: partition.clone(), start: place.next, number: self.last };
        Some(Claimed { lease, fenced })
    }

    /// `member` reads `partition` no more.
    pub fn release(&mut self, member: Member, partition: &Partition, lease: u64) {
        self.waiting.remove(&(partition.clone(), member));
        let Some(place) = self.places.get_mut(partition) else { return };
        if place.readers.get(&member).is_some_and(|reader| reader.lease == lease) {
            place.readers.remove(&member);
            forsake(partition, place, &mut self.untold);
        }
    }

    /// The connection of `member` has ended.
    pub fn leave(&mut self, member: Member) {
        self.waiting.retain(|(_, other)| *other != member);
        for (partition, place) in &mut self.places {
            if place.readers.remove(&member).is_some() {
                forsake(partition, place, &mut self.untold);
            }
        }
    }

    /// What becomes of the chunk `first..next` of `partition`, which `member` has read by `lease`. What is taken counts
    /// as taken from here on.
    pub fn admit(
        &mut self,
        member: Member,
        lease: u64,
        partition: &Partition,
        (first, next): (i64, i64),
        now: Instant,
    ) -> Verdict {
        let Some(place) = self.places.get_mut(partition).and_then(|one| one.read_by(member, lease, now))
        else {
            return Verdict::Fenced;
        };
        if next <= place.next {
            return Verdict::AlreadyTaken;
        }
        if first > place.next {
            self.last += 1;
            let lease = Lease { partition: partition.clone(), start: place.next, number: self.last };
            place.readers.insert(member, Reader { lease: lease.number, heard: now });
            return Verdict::Gap(lease);
        }
        let from = std::mem::replace(&mut place.next, next);
        place.end = place.end.max(next);
        Verdict::Take { from }
    }

    /// `member` has read `partition` to its end at `offset`. It counts where all before it is taken.
    pub fn at_end(&mut self, member: Member, lease: u64, partition: &Partition, offset: i64, now: Instant) {
        let place = self.places.get_mut(partition).and_then(|place| place.read_by(member, lease, now));
        if let Some(place) = place.filter(|place| offset >= place.next) {
            place.end = place.end.max(offset);
            stand(partition, place, true, &mut self.untold);
        }
    }

    /// `member` says how far it is.
    pub fn reach(&mut self, member: Member, reaches: &[Reach], now: Instant) {
        for reach in reaches {
            let place = self.places.get_mut(&reach.partition);
            let Some(place) = place.and_then(|place| place.read_by(member, reach.lease, now)) else {
                continue;
            };
            place.end = place.end.max(reach.end);
            // Another worker may be further than this one.
            let is_news = if reach.at_end { reach.position >= place.next } else { reach.end > place.next };
            if is_news {
                stand(&reach.partition, place, reach.at_end, &mut self.untold);
            }
        }
    }

    /// Puts partitions behind whose readers have all said nothing for `limit`: they may be stopped, and more may have
    /// come.
    pub fn hush(&mut self, limit: Duration, now: Instant) {
        let is_silent = |reader: &Reader| now.saturating_duration_since(reader.heard) >= limit;
        for (partition, place) in &mut self.places {
            if place.readers.values().all(is_silent) {
                stand(partition, place, false, &mut self.untold);
            }
        }
    }

    /// The next change, of those partitions that are `wanted`, that nobody was told of. What has changed more than once
    /// meanwhile is told as it is now.
    pub fn change(&mut self, wanted: impl Fn(&Partition) -> bool) -> Option<Change> {
        let partition = self.untold.extract_if(.., |partition| wanted(partition)).next()?;
        let place = self.places.get(&partition)?;
        let at_end = place.is_at_end.then_some(place.end.max(place.next));
        Some(Change { partition, at_end })
    }

    /// For each partition the next offset that is wanted, its end as last known, and whether that is reached.
    pub fn standing(&self) -> impl Iterator<Item = (&Partition, i64, i64, bool)> {
        self.places.iter().map(|(name, place)| (name, place.next, place.end.max(place.next), place.is_at_end))
    }

    /// The partitions that nobody reads.
    pub fn unread(&self) -> impl Iterator<Item = &Partition> {
        self.places.iter().filter(|(_, place)| place.readers.is_empty()).map(|(name, _)| name)
    }

    /// The broker has records of `partition` up to before `end`.
    pub fn ends_at(&mut self, partition: &Partition, end: i64) {
        if let Some(place) = self.places.get_mut(partition) {
            place.end = place.end.max(end);
        }
    }
}

/// Whether `partition` is at its end.
fn stand(partition: &Partition, place: &mut Place, is_at_end: bool, untold: &mut BTreeSet<Partition>) {
    if place.is_at_end != is_at_end {
        place.is_at_end = is_at_end;
        untold.insert(partition.clone());
    }
}

/// One who has read `partition` does so no more.
fn forsake(partition: &Partition, place: &mut Place, untold: &mut BTreeSet<Partition>) {
    if place.readers.is_empty() {
        stand(partition, place, false, untold);
    }
}
