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
struct Lines(Vec<Line>);

impl Lines {
    /// How many lines have room for so many identities.
    fn needed(most: usize) -> usize {
        (3 * most).div_ceil(16)
    }

    fn with_room(most: usize) -> Self {
        Self(vec![[FREE; 8]; Self::needed(most)])
    }

    /// Two thirds of the places: then few lines are full.
    fn room(&self) -> usize {
        self.0.len() * 16 / 3
    }

    fn places(&self) -> usize {
        self.0.len() * 8
    }

    fn glance(&self, marked: Marked) -> u64 {
        self.0.get(self.own_line(marked)).map_or(FREE, |line| line[0])
    }

    fn has(&self, marked: Marked) -> bool {
        !self.0.is_empty() && self.find(marked).is_none()
    }

    /// False where its identity is there.
    fn put(&mut self, marked: Marked) -> bool {
        let Some((line, place)) = self.find(marked) else { return false };
        self.0[line][place] = marked.0;
        true
    }

    fn all(&self) -> impl Iterator<Item = Marked> {
        marked_of(&self.0)
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the product's upper half is below the number of lines"
    )]
    fn own_line(&self, marked: Marked) -> usize {
        ((u128::from(marked.hash()) * self.0.len() as u128) >> u64::BITS) as usize
    }

    /// The line and the place where `marked` belongs; `None` where its identity is there. A third of all places is free, and
    /// while a larger table is made ready still a quarter.
    fn find(&self, marked: Marked) -> Option<(usize, usize)> {
        let mut number = self.own_line(marked);
        loop {
            let line = &self.0[number];
            match search(line, marked) {
                (true, _) => return None,
                (false, taken) if taken < line.len() => return Some((number, taken)),
                _ => number = (number + 1) % self.0.len(),
            }
        }
    }
}

fn marked_of(lines: &[Line]) -> impl Iterator<Item = Marked> {
    lines.iter().flatten().filter(|place| **place != FREE).map(|place| Marked(*place))
}

/// So many lines are moved at each insertion into a table that another one grows into.
const MOVED_AT_ONCE: usize = 8;

/// Room for more rows than this, and than a small part of what is expected, is not made ready at once. To do so for twenty
/// million takes half a second and more, for which a press for help would wait.
const AT_ONCE: usize = 65_536;
const PART_AT_ONCE: usize = 32;

/// The larger table that another one grows into: made ready a little at a time, then filled from it a little at a time. What
/// is new meanwhile is put into the other one until this is ready, and here from then on.
#[derive(Debug)]
struct Growth {
    wanted: usize,
    /// How many lines are made ready at each insertion: memory is not got faster than it has to be.
    ready_at_once: usize,
    lines: Lines,
    /// How many lines of the other one are here too. There they stay, so that what is looked for there is still found.
    moved: usize,
}

impl Growth {
    /// To room for `most`, which is ready before a quarter of the `free` places of the other one is taken.
    fn to(most: usize, free: usize) -> Self {
        let wanted = Lines::needed(most);
        let ready_at_once = wanted.div_ceil((free / 4).max(1)).max(MOVED_AT_ONCE);
        Self { wanted, ready_at_once, lines: Lines(Vec::with_capacity(wanted)), moved: 0 }
    }

    fn is_ready(&self) -> bool {
        self.lines.0.len() == self.wanted
    }

    /// Goes a little on; whether all of `from` is here.
    fn go_on(&mut self, from: &Lines) -> bool {
        if !self.is_ready() {
            let more = self.ready_at_once.min(self.wanted - self.lines.0.len());
            self.lines.0.extend(std::iter::repeat_n([FREE; 8], more));
            return false;
        }
        let until = from.0.len().min(self.moved + MOVED_AT_ONCE);
        for marked in marked_of(&from.0[self.moved..until]) {
            self.lines.put(marked);
        }
        self.moved = until;
        until == from.0.len()
    }
}

/// A set of identities, which never grows in one go where it is large.
#[derive(Debug, Default)]
pub(super) struct Table {
    lines: Lines,
    growth: Option<Growth>,
    taken: usize,
}

impl Table {
    /// A table that will have room for so many.
    pub(super) fn with_room(most: usize) -> Self {
        let lines = Lines::with_room(most.min(AT_ONCE.max(most / PART_AT_ONCE)));
        let growth = (most > AT_ONCE).then(|| Growth::to(most, lines.places()));
        Self { lines, growth, taken: 0 }
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.lines.places()
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Something of the lines of `marked`: to have looked there is what it is for.
    pub(super) fn glance(&self, marked: Marked) -> u64 {
        self.lines.glance(marked) ^ self.larger().map_or(0, |larger| larger.glance(marked))
    }

    pub(super) fn has(&self, marked: Marked) -> bool {
        self.lines.has(marked) || self.larger().is_some_and(|larger| larger.has(marked))
    }

    /// The larger table that has what is new, where there is one.
    fn larger(&self) -> Option<&Lines> {
        self.growth.as_ref().filter(|growth| growth.is_ready()).map(|growth| &growth.lines)
    }

    /// Puts `marked` in; false where its identity was there, whatever its tag. Where there is no room, `expected` says how
    /// many will be there in the end, given how many are.
    pub(super) fn insert(&mut self, marked: Marked, expected: impl FnOnce(usize) -> usize) -> bool {
        if self.growth.is_some() {
            self.grow_on();
        } else if self.taken >= self.lines.room() {
            self.grow(expected(self.taken));
        }
        let is_new = match &mut self.growth {
            Some(growth) if growth.is_ready() => !self.lines.has(marked) && growth.lines.put(marked),
            _ => self.lines.put(marked),
        };
        self.taken += usize::from(is_new);
        is_new
    }

    /// Begins to grow, or grows where that is soon done.
    fn grow(&mut self, expected: usize) {
        // Neither so little that it grows all the time, nor room for what may never come.
        let (least, most) = (self.taken / 4 * 5 + 8, self.taken * 4 + 8);
        let room = expected.clamp(least, most);
        if room <= AT_ONCE {
            self.refill(room, |_| true);
        } else {
            self.growth = Some(Growth::to(room, self.lines.places() - self.taken));
        }
    }

    fn grow_on(&mut self) {
        if let Some(growth) = self.growth.take_if(|growth| growth.go_on(&self.lines)) {
            self.lines = growth.lines;
        }
    }

    /// Keeps what is of `tags`, one bit each, and gives the room of the rest back.
    pub(super) fn keep(&mut self, tags: u16) {
        // Nothing is in it yet.
        self.growth.take_if(|growth| !growth.is_ready());
        while self.growth.is_some() {
            self.grow_on();
        }
        let is_kept = |marked: Marked| (1_u16 << (marked.0 & 0xf)) & tags != 0;
        let kept = self.lines.all().filter(|marked| is_kept(*marked)).count();
        self.refill(kept, is_kept);
    }

    /// A table with room for `most`, and in it what of this one `is_kept`.
    fn refill(&mut self, most: usize, is_kept: impl Fn(Marked) -> bool) {
        let mut next = Lines::with_room(most);
        self.taken = 0;
        for marked in self.lines.all().filter(|marked| is_kept(*marked)) {
            next.put(marked);
            self.taken += 1;
        }
        self.lines = next;
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
            let places = table.places();
            for number in 0..most as u128 {
                assert!(table.insert(Marked::of(number, Tag(0)), twice));
            }
            assert_eq!(table.places(), places, "{most}");
        }
    }

    /// What of growing has been done: lines made ready, lines moved.
    fn grown(table: &Table) -> (usize, usize) {
        table.growth.as_ref().map_or((0, 0), |growth| (growth.lines.0.len(), growth.moved))
    }

    #[test]
    fn a_large_table_grows_a_little_at_each_insertion_and_loses_nothing() {
        const ROWS: u128 = 600_000;
        let marked = |number: u128| Marked::of(number * 0x9e37_79b9_7f4a_7c15, Tag(5));
        let mut table = Table::with_room(AT_ONCE + 1);
        let (mut growths, mut spread, mut places) = (0, 0, table.places());
        for number in 0..ROWS {
            let before = grown(&table);
            assert!(table.insert(marked(number), twice), "{number} is new");
            let after = grown(&table);
            if let Some(growth) = &table.growth {
                assert!(after.0 <= before.0 + growth.ready_at_once && after.1 <= before.1 + MOVED_AT_ONCE);
                assert!(growth.ready_at_once <= 64, "more than a page");
                spread += 1;
            }
            assert!(
                table.taken < table.lines.places() * 4 / 5 || grown(&table).1 > 0,
                "too full at {number}"
            );
            growths += usize::from(std::mem::replace(&mut places, table.places()) != table.places());
            // One of before, one of while it grew, the last one.
            for known in [0, number / 2, number] {
                assert!(
                    table.has(marked(known)) && !table.insert(marked(known), twice),
                    "{known} at {number}"
                );
            }
            assert!(!table.has(marked(ROWS + number)));
        }
        assert!(growths >= 4 && spread > 1_000, "{growths} growths, {spread} insertions meanwhile");
        assert_eq!(table.len(), 600_000);
        table.growth = Some(Growth::to(2_000_000, 100_000));
        table.keep(1 << 5);
        assert_eq!((table.len(), table.lines.all().count()), (600_000, 600_000));
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
                let free = table.places() - table.lines.all().count();
                if step == 0 {
                    table.keep(keep);
                    model.retain(|_, tag: &mut u8| keep & (1 << *tag) != 0);
                } else if step < 4 && free >= 4 && table.growth.is_none() {
                    // As if it were large.
                    table.growth = Some(Growth::to(table.len() * 5 / 4 + 8 + expected, free));
                } else {
                    let identity = marked.0 >> TAG_BITS;
                    let is_new = !model.contains_key(&identity);
                    prop_assert_eq!(table.has(marked), !is_new);
                    prop_assert_eq!(table.insert(marked, |_| expected), is_new);
                    model.entry(identity).or_insert(tag);
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(table.growth.is_some() || table.taken <= table.lines.room());
                prop_assert!(model.iter().all(|(identity, tag)| table.has(Marked(identity << TAG_BITS | u64::from(*tag)))));
            }
        }
    }
}
