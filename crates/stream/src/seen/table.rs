//! A set of marked identities in one array.

use super::{TAG_BITS, Tag};

/// What is kept of an identity, with its tag in the lowest bits. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Marked(u64);

impl Marked {
    #[allow(clippy::cast_possible_truncation, reason = "the low half of the hash is wanted")]
    pub(super) fn of(identity: u128, tag: Tag) -> Self {
        // One hash of 2^60 is taken for another.
        let kept = ((identity as u64) << TAG_BITS).max(1 << TAG_BITS);
        Self(kept | u64::from(tag.0))
    }

    /// An identity is a hash already; what is left of it beside the tag only has to be spread.
    fn hash(self) -> u64 {
        /// An odd number whose bits look like chance.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        (self.0 >> TAG_BITS).wrapping_mul(SPREAD)
    }
}

/// No identity stands in a place that holds this.
const FREE: u64 = 0;
/// Places of the smallest table, as a power of two.
const SMALLEST: u32 = 4;

/// Identities at the places that the upper bits of their hashes name, or behind them where others were first. To look for
/// one and to put it in touches one line of memory as a rule, and rows are as many as there are lines of a cache: a table
/// with its signs apart from its numbers touches two. A larger table has them in the same order, and is filled from one
/// end to the other.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// None, or a power of two.
    places: Vec<u64>,
    taken: usize,
}

impl Table {
    /// A table with room for so many.
    pub(super) fn with_room(most: usize) -> Self {
        let places = if most == 0 { 0 } else { (most + most / 3 + 1).next_power_of_two().max(1 << SMALLEST) };
        Self { places: vec![FREE; places], taken: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// What stands at the place of `marked`: to have looked there is what it is for.
    pub(super) fn at_place_of(&self, marked: Marked) -> u64 {
        self.places.get(self.place_of(marked)).copied().unwrap_or(FREE)
    }

    pub(super) fn has(&self, marked: Marked) -> bool {
        !self.places.is_empty() && self.places[self.find(marked)] != FREE
    }

    /// Puts `marked` in; false where its identity was there, whatever its tag.
    pub(super) fn insert(&mut self, marked: Marked) -> bool {
        if self.taken >= self.places.len() / 4 * 3 {
            self.refill(self.taken + 1, |_| true);
        }
        let place = self.find(marked);
        let is_new = self.places[place] == FREE;
        if is_new {
            self.places[place] = marked.0;
            self.taken += 1;
        }
        is_new
    }

    /// Keeps what is of `tags`, one bit each, and gives the room of the rest back.
    pub(super) fn keep(&mut self, tags: u16) {
        let is_kept = |marked: Marked| (1_u16 << (marked.0 & 0xf)) & tags != 0;
        let kept = self.all().filter(|marked| is_kept(*marked)).count();
        self.refill(kept, is_kept);
    }

    fn all(&self) -> impl Iterator<Item = Marked> {
        self.places.iter().filter(|place| **place != FREE).map(|place| Marked(*place))
    }

    /// A table with room for `most`, and in it what of this one `is_kept`.
    fn refill(&mut self, most: usize, is_kept: impl Fn(Marked) -> bool) {
        let mut next = Self::with_room(most);
        for marked in self.all().filter(|marked| is_kept(*marked)) {
            let place = next.find(marked);
            next.places[place] = marked.0;
            next.taken += 1;
        }
        *self = next;
    }

    /// Where `marked` would stand if nothing did.
    fn place_of(&self, marked: Marked) -> usize {
        let bits = self.places.len().trailing_zeros();
        usize::try_from(marked.hash().unbounded_shr(u64::BITS - bits)).unwrap_or(0)
    }

    /// The place of `marked`, or the free one where it belongs. There are places, and a quarter of them is free.
    fn find(&self, marked: Marked) -> usize {
        let mut place = self.place_of(marked);
        loop {
            let other = self.places[place];
            if other == FREE || (other ^ marked.0) >> TAG_BITS == 0 {
                return place;
            }
            place = (place + 1) & (self.places.len() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_room_has_nothing() {
        let table = Table::with_room(0);
        assert!(!table.has(Marked::of(7, Tag(0))));
        assert_eq!(table.at_place_of(Marked::of(7, Tag(0))), FREE);
    }

    #[test]
    fn an_identity_of_zeros_is_known_like_any_other() {
        let mut table = Table::default();
        assert!(table.insert(Marked::of(0, Tag(0))));
        assert!(!table.insert(Marked::of(0, Tag(5))));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn room_that_was_asked_for_suffices_and_is_not_twice_what_is_needed() {
        for most in 1..2_000 {
            let mut table = Table::with_room(most);
            let places = table.places.len();
            for number in 0..most as u128 {
                assert!(table.insert(Marked::of(number, Tag(0))));
            }
            assert_eq!(table.places.len(), places, "{most}");
            assert!(places == 16 || most * 3 > places, "{places} places for {most}");
        }
    }

    /// Identities of which many want the same place: those of the first kind have the last place of a small table.
    fn identity() -> impl Strategy<Value = u128> {
        prop_oneof![
            (0..40_u128).prop_filter("of the last places", |identity| {
                Marked::of(*identity, Tag(0)).hash() >> 62 == 3
            }),
            0..200_u128,
            any::<u128>(),
        ]
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_of_identities_to_tags_holds(
            steps in prop::collection::vec((identity(), 0..16_u8, 0..40_u8), 0..400), keep in any::<u16>(),
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
                    prop_assert_eq!(table.insert(marked), is_new);
                    model.entry(identity).or_insert(tag);
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(table.taken <= table.places.len() / 4 * 3);
            }
        }
    }
}
