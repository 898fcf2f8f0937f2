//! Chance, the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded generator. Each concern has a stream of its own, so that switching faults off leaves people's lives
/// as they were.
#[derive(Clone, Debug)]
pub(crate) struct Random(ChaCha8Rng);

/// A probability in units of 2^-32: compared as an integer, so that no rounding differs between machines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share(u64);

impl Share {
    /// From a share of 1; what lies outside 0..=1 is brought inside.
    pub(crate) fn of(share: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=2^32")]
        Self((share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64)
    }
}

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// A number in `0..bound`; 0 for an empty range.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.0.next_u32()) * u64::from(bound);
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    /// An index into something of length `len`.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u32::try_from(high - low + 1).unwrap_or(u32::MAX);
        low + i64::from(self.below(width))
    }

    pub(crate) fn happens(&mut self, share: Share) -> bool {
        u64::from(self.0.next_u32()) < share.0
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        if choices.is_empty() { None } else { choices.get(self.index(choices.len())) }
    }
}

/// Scatters a number into another, without state: for pseudonyms and for what a minute's reading is.
pub(crate) const fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
