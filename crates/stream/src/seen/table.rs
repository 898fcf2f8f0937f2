//! A set of marked identities in one array.

use super::{TAG_BITS, Tag};

/// What is kept of an identity, with its tag in the lowest bits. Never [`FREE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Marked(u64);

impl Marked {
    #[allow(clippy::cast_possible_truncation, reason = "the low half of the hash is wanted")]
    pub(super) fn of(identity: u128, tag: Tag) -> Self {
        // One hash of 2^60 is taken for another.
        let kept = ((identity as u64) << TAG_BITS).min((FREE << TAG_BITS) - (1 << TAG_BITS));
        Self(kept | u64::from(tag.0))
    }

    /// An identity is a hash already; what is left of it beside the tag only has to be spread.
    fn hash(self) -> u64 {
        /// An odd number whose bits look like chance.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        (self.0 >> TAG_BITS).wrapping_mul(SPREAD)
    }
}

/// As many identities as a line of a processor's cache holds. They stand at its beginning, and free places follow.
type Line = [u64; 8];

/// A free place. It is not zero: memory that must be zero is got anew from the system, though there is some at hand that
/// was used before.
const FREE: u64 = u64::MAX;

/// The line of `marked` alone: whether its identity stands there, and how many do.
#[allow(clippy::needless_bitwise_bool, reason = "without a branch")]
fn search(line: &Line, marked: Marked) -> (bool, usize) {
    // All are looked at: how many there are is guessed wrong as often as not, and that takes longer.
    line.iter().fold((false, 0), |(is_there, taken), other| {
        (is_there | ((other ^ marked.0) >> TAG_BITS == 0), taken + usize::from(*other != FREE))
    })
}

/// Identities in lines. The upper bits of a hash say which line is its own; where that is full, the next one is. To look
/// for an identity and to put it in takes one line of memory as a rule, where a table with its signs apart from its
/// numbers takes two. A larger table has them in the same order, and so is filled from one end to the other.
#[derive(Debug, Default)]
pub(super) struct Table {
    lines: Vec<Line>,
    taken: usize,
}

impl Table {
    /// A table with room for so many.
    pub(super) fn with_room(most: usize) -> Self {
        Self { lines: vec![[FREE; 8]; (3 * most).div_ceil(16)], taken: 0 }
    }

    /// Two thirds of the places: then few lines are full.
    fn room(&self) -> usize {
        self.lines.len() * 16 / 3
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.lines.len() * 8
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Something of the line of `marked`: to have looked there is what it is for.
    pub(super) fn glance(&self, marked: Marked) -> u64 {
        self.lines.get(self.own_line(marked)).map_or(FREE, |line| line[0])
    }

    pub(super) fn has(&self, marked: Marked) -> bool {
        !self.lines.is_empty() && self.find(marked).is_none()
    }

    /// Puts `marked` in; false where its identity was there, whatever its tag. Where there is no room, `expected` says how
    /// many will be there in the end, given how many are.
    pub(super) fn insert(&mut self, marked: Marked, expected: impl FnOnce(usize) -> usize) -> bool {
        if self.taken >= self.room() {
            // Neither so little that it grows all the time, nor room for what may never come.
            let (least, most) = (self.taken / 4 * 5 + 8, self.taken * 4 + 8);
            self.refill(expected(self.taken).clamp(least, most), |_| true);
        }
        self.put(marked)
    }

    /// Keeps what is of `tags`, one bit each, and gives the room of the rest back.
    pub(super) fn keep(&mut self, tags: u16) {
        let is_kept = |marked: Marked| (1_u16 << (marked.0 & 0xf)) & tags != 0;
        let kept = self.all().filter(|marked| is_kept(*marked)).count();
        self.refill(kept, is_kept);
    }

    fn all(&self) -> impl Iterator<Item = Marked> {
        self.lines.iter().flatten().filter(|place| **place != FREE).map(|place| Marked(*place))
    }

    /// A table with room for `most`, and in it what of this one `is_kept`.
    fn refill(&mut self, most: usize, is_kept: impl Fn(Marked) -> bool) {
        let mut next = Self::with_room(most);
        for marked in self.all().filter(|marked| is_kept(*marked)) {
            next.put(marked);
        }
        *self = next;
    }

    fn put(&mut self, marked: Marked) -> bool {
        let Some((line, place)) = self.find(marked) else { return false };
        self.lines[line][place] = marked.0;
        self.taken += 1;
        true
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the product's upper half is below the number of lines"
    )]
    fn own_line(&self, marked: Marked) -> usize {
        ((u128::from(marked.hash()) * self.lines.len() as u128) >> u64::BITS) as usize
    }

    /// The line and the place where `marked` belongs; `None` where its identity is there. A third of all places is free.
    fn find(&self, marked: Marked) -> Option<(usize, usize)> {
        let mut number = self.own_line(marked);
        loop {
            let line = &self.lines[number];
            match search(line, marked) {
                (true, _) => return None,
                (false, taken) if taken < line.len() => return Some((number, taken)),
                _ => number = (number + 1) % self.lines.len(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn twice(taken: usize) -> usize {
        2 * taken
    }

    #[test]
    fn what_has_no_room_has_nothing() {
        let table = Table::with_room(0);
        assert!(!table.has(Marked::of(7, Tag(0))));
        assert_eq!(table.glance(Marked::of(7, Tag(0))), FREE);
    }

    #[test]
    fn every_identity_and_tag_is_one_that_can_stand_in_a_place() {
        for identity in [0, 1, u128::MAX - 1, u128::MAX] {
            for tag in 0..16 {
                let mut table = Table::default();
                assert!(table.insert(Marked::of(identity, Tag(tag)), twice));
                assert!(
                    !table.insert(Marked::of(identity, Tag(15 - tag)), twice),
                    "it came through another partition"
                );
                table.keep(1 << tag);
                assert_eq!(table.len(), 1, "{identity:x} of {tag}");
                table.keep(!(1 << tag));
                assert_eq!(table.len(), 0, "{identity:x} of {tag}");
            }
        }
    }

    #[test]
    fn the_room_that_was_asked_for_suffices() {
        for most in 1..2_000 {
            let mut table = Table::with_room(most);
            let lines = table.lines.len();
            for number in 0..most as u128 {
                assert!(table.insert(Marked::of(number, Tag(0)), twice));
            }
            assert_eq!(table.lines.len(), lines, "{most}");
        }
    }

    /// Identities of which many want the same line: those of the first kind the last one of a small table.
    fn identity() -> impl Strategy<Value = u128> {
        let of_the_last = |identity: &u128| Marked::of(*identity, Tag(0)).hash() >> 61 == 7;
        let last: Vec<u128> = (0..400).filter(of_the_last).collect();
        prop_oneof![prop::sample::select(last), 0..200_u128, any::<u128>()]
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_of_identities_to_tags_holds(
            steps in prop::collection::vec((identity(), 0..16_u8, 0..40_u8), 0..400), keep in any::<u16>(),
            expected in 0..2_000_usize,
        ) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (identity, tag, step) in steps {
                let marked = Marked::of(identity, Tag(tag));
                if step == 0 {
                    table.keep(keep);
                    model.retain(|_, tag: &mut u8| keep & (1 << *tag) != 0);
                } else {
                    let identity = marked.0 >> TAG_BITS;
                    let is_new = !model.contains_key(&identity);
                    prop_assert_eq!(table.has(marked), !is_new);
                    prop_assert_eq!(table.insert(marked, |_| expected), is_new);
                    model.entry(identity).or_insert(tag);
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(table.taken <= table.room());
            }
        }
    }
}
