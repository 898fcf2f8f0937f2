//! Runs over many seeds. A failure names its seed, and `HEXWATCH_SEED=<seed>` runs that one alone.

#![allow(clippy::print_stderr, reason = "a failing seed has to be seen")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Random numbers by `SplitMix64`: small, and the same everywhere and for ever.
pub struct Dice(u64);

impl Dice {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    #[allow(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    /// Whether one in `many` happened.
    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// One of `things`.
    pub fn pick<'a, T: ?Sized>(&mut self, things: &[&'a T]) -> &'a T {
        things[self.below(things.len())]
    }

    /// Puts `things` into any order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }
}

/// The most that one seed may take. Far more than any needs: what hangs is named here, instead of by a run that never
/// ends.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs `case` for the seeds from 0 to `seeds`, on all processors.
pub fn run(seeds: u64, case: impl Fn(u64) + Sync) {
    #[allow(clippy::disallowed_methods, reason = "a seed is no setting")]
    let wanted = std::env::var("HEXWATCH_SEED");
    if let Ok(seed) = wanted {
        return case(seed.parse().expect("HEXWATCH_SEED is a number"));
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed, done) = (AtomicU64::new(0), Mutex::new(None), AtomicU64::new(0));
    let running: Vec<Mutex<Option<(u64, Instant)>>> = (0..workers).map(|_| Mutex::new(None)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for place in &running {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    *place.lock().unwrap() = Some((seed, Instant::now()));
                    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| case(seed))) {
                        stop.store(true, Ordering::Relaxed);
                        failed.lock().unwrap().get_or_insert((seed, cause));
                    }
                    *place.lock().unwrap() = None;
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        watch(&running, &done);
    });
    if let Some((seed, cause)) = failed.into_inner().unwrap() {
        eprintln!("seed {seed} fails; HEXWATCH_SEED={seed} runs it alone");
        resume_unwind(cause);
    }
}

/// Waits for the workers, and ends the process where one of them hangs: a thread cannot be taken back.
fn watch(running: &[Mutex<Option<(u64, Instant)>>], done: &AtomicU64) {
    while done.load(Ordering::Relaxed) < running.len() as u64 {
        std::thread::sleep(Duration::from_millis(5));
        for place in running {
            if let Some((seed, since)) = *place.lock().unwrap()
                && since.elapsed() > PATIENCE
            {
                eprintln!("seed {seed} hangs; HEXWATCH_SEED={seed} runs it alone");
                std::process::exit(101);
            }
        }
    }
}
