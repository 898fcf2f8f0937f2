//! Chance and faults, all from one seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A seeded generator.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// A number in `0..bound`; 0 for an empty range.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let wide = u64::from(self.0.next_u32()) * bound as u64;
        usize::try_from(wide >> 32).unwrap()
    }

    /// A number in `from..to`.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(usize::try_from(to - from).unwrap())).unwrap()
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Why a schedule does not go on as it was.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The process died.
    Crash,
    /// It ended because another writer was faster.
    Replaced,
    /// A promise was broken.
    Violation(String),
}

impl Stop {
    pub(crate) fn violation<T>(what: impl Into<String>) -> Result<T, Self> {
        Err(Self::Violation(what.into()))
    }
}

/// Bugs of the product come as errors.
impl<E: std::error::Error + 'static> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Violation(format!("failed with: {error}"))
    }
}

/// Decides at every boundary between two effects whether the process dies there.
pub(crate) struct Faults {
    pub(crate) chance: Chance,
    /// How many times the process still dies.
    crashes: usize,
    /// It dies at one boundary in so many.
    rarity: usize,
    /// What has happened, where somebody wants to read it.
    trace: Option<Vec<String>>,
}

impl Faults {
    pub(crate) fn new(mut chance: Chance, is_traced: bool) -> Self {
        let (crashes, rarity) = (chance.below(6), 8 << chance.below(5));
        Self { chance, crashes, rarity, trace: is_traced.then(Vec::new) }
    }

    /// Nothing dies.
    pub(crate) fn none() -> Self {
        Self { chance: Chance::new(0, 0), crashes: 0, rarity: 1, trace: None }
    }

    /// Nothing dies any more.
    pub(crate) fn cease(&mut self) {
        self.crashes = 0;
    }

    /// Between two effects.
    pub(crate) fn boundary(&mut self) -> Result<(), Stop> {
        if self.crashes > 0 && self.chance.one_in(self.rarity) {
            self.crashes -= 1;
            return Err(Stop::Crash);
        }
        Ok(())
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    pub(crate) fn into_trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }
}
