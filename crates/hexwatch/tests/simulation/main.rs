//! The pure core under simulation: the product's own machine and commit protocol over a modelled disk and modelled
//! outlets, driven by seeds. Every schedule reads a small world in pieces and out of order, dies between any two effects,
//! also while it recovers, loses what was not synced, is joined by a writer that was thought dead, and must end in
//! exactly what one straight run gives.
//!
//! `HEXWATCH_SCHEDULES` says how many (100,000 where it says nothing), `HEXWATCH_SEED` which one alone, with its trace.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is the failure of a test, and a replay is there to be read"
)]

mod chance;
mod committer;
mod disk;
mod execution;
mod flaw;
mod outcome;
mod outlets;
mod process;
mod queries;
mod schedule;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hexwatch_stream::Engine;

use flaw::Flaw;
use outcome::Outcome;
use queries::Kind;
use world::World;

/// As in the binary: a schedule is a great many small rows.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How many schedules one world sees.
const SCHEDULES_A_WORLD: u64 = 200;

/// One schedule of a fire for so many others: its rules cost as much more.
const SCHEDULES_FOR_A_FIRE: u64 = 100;

/// A schedule that broke a promise.
struct Failure {
    seed: u64,
    what: String,
}

/// One world with what a straight run of it gives, and an engine for its schedules.
struct Stage {
    world: World,
    straight: Outcome,
    engine: Option<Engine>,
    kind: Kind,
}

impl Stage {
    fn new(number: u64, kind: Kind, mut engines: impl FnMut(Kind) -> Engine) -> Self {
        let world = World::new(number, kind);
        let ended = schedule::straight(&world, engines(kind));
        let straight = ended.outcome.unwrap_or_else(|what| panic!("world {number}, without a fault: {what}"));
        let records: usize = world.logs.iter().map(world::Log::len).sum();
        assert!(ended.account.balances(), "world {number}: {:?}", ended.account);
        assert_eq!(ended.account.read, records as u64, "world {number}");
        Self { world, straight, engine: ended.engine, kind }
    }

    fn check(&mut self, seed: u64, flaw: Flaw, is_traced: bool) -> (Result<(), String>, Vec<String>) {
        let engine = self.engine.take().unwrap_or_else(|| world::engine(self.kind));
        let ended = schedule::faulty(&self.world, engine, seed, flaw, is_traced);
        self.engine = ended.engine;
        let outcome = ended
            .outcome
            .and_then(|outcome| outcome.compare(&self.straight).map_err(|stop| format!("{stop:?}")));
        (outcome, ended.trace)
    }
}

/// The usual worlds, in turn.
fn usual(world: u64) -> Kind {
    [Kind::Table, Kind::LateTopic, Kind::LateTable, Kind::Topic][usize::try_from(world % 4).unwrap()]
}

fn fire(_: u64) -> Kind {
    Kind::Fire
}

/// Runs the schedules of `seeds` on all cores until one fails. `kind_of` tells what happens in a world.
fn run(seeds: std::ops::Range<u64>, kind_of: fn(u64) -> Kind, flaw: Flaw) -> Option<Failure> {
    let (next, failed) = (AtomicU64::new(seeds.start / SCHEDULES_A_WORLD), Mutex::new(None));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut engines = Engines::default();
        while failed.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let first = number * SCHEDULES_A_WORLD;
            if first >= seeds.end {
                break;
            }
            let mut stage = Stage::new(number, kind_of(number), |kind| engines.take(kind));
            for seed in first.max(seeds.start)..(first + SCHEDULES_A_WORLD).min(seeds.end) {
                if let (Err(what), _) = stage.check(seed, flaw, false) {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.get_or_insert(Failure { seed, what });
                    return;
                }
            }
            engines.put_back(stage.kind, stage.engine);
        }
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One engine for each kind of world: planning its queries takes longer than many schedules.
#[derive(Default)]
struct Engines(std::collections::BTreeMap<Kind, Engine>);

impl Engines {
    fn take(&mut self, kind: Kind) -> Engine {
        self.0.remove(&kind).unwrap_or_else(|| world::engine(kind))
    }

    fn put_back(&mut self, kind: Kind, engine: Option<Engine>) {
        self.0.extend(engine.map(|engine| (kind, engine)));
    }
}

#[allow(clippy::disallowed_methods, reason = "a test has no settings but its environment")]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn replay(seed: u64, kind_of: fn(u64) -> Kind) {
    let number = seed / SCHEDULES_A_WORLD;
    let mut stage = Stage::new(number, kind_of(number), world::engine);
    for log in &stage.world.logs {
        println!("{}", log.shown());
    }
    let (outcome, trace) = stage.check(seed, Flaw::None, true);
    for line in trace {
        println!("{line}");
    }
    if let Err(what) = outcome {
        panic!("schedule {seed}: {what}");
    }
}

#[test]
fn every_schedule_ends_in_what_one_straight_run_gives() {
    live_through(schedules(), usual, "every_schedule_ends");
}

#[test]
fn every_schedule_of_a_fire_ends_in_what_one_straight_run_gives() {
    live_through(schedules() / SCHEDULES_FOR_A_FIRE, fire, "every_schedule_of_a_fire");
}

fn schedules() -> u64 {
    number("HEXWATCH_SCHEDULES").unwrap_or(100_000)
}

fn live_through(schedules: u64, kind_of: fn(u64) -> Kind, test: &str) {
    if let Some(seed) = number("HEXWATCH_SEED") {
        return replay(seed, kind_of);
    }
    if let Some(Failure { seed, what }) = run(0..schedules, kind_of, Flaw::None) {
        panic!(
            "schedule {seed}: {what}\nreplay it with its trace: HEXWATCH_SEED={seed} \
             cargo test -p hexwatch --test simulation {test} -- --nocapture"
        );
    }
}

/// How many schedules a broken protocol may survive.
const NOTICED_WITHIN: u64 = 5_000;

fn assert_noticed(flaw: Flaw) {
    assert_noticed_from(0, usual, flaw);
}

fn assert_noticed_from(first: u64, kind_of: fn(u64) -> Kind, flaw: Flaw) {
    let failure = run(first..first + NOTICED_WITHIN, kind_of, flaw);
    let Failure { seed, what } = failure.unwrap_or_else(|| panic!("{flaw:?} was not noticed"));
    println!("{flaw:?}: schedule {seed}: {what}");
}

#[test]
fn offsets_committed_before_their_rows_are_noticed() {
    assert_noticed(Flaw::OffsetsBeforeRows);
}

#[test]
fn a_checkpoint_before_its_tables_is_noticed() {
    assert_noticed(Flaw::CheckpointBeforeTables);
}

#[test]
fn an_alarm_told_before_it_is_logged_is_noticed() {
    assert_noticed(Flaw::ToldBeforeLogged);
}

#[test]
fn an_alarm_log_that_is_not_synced_is_noticed() {
    assert_noticed(Flaw::LogNotSynced);
}

#[test]
fn data_files_that_are_not_synced_are_noticed() {
    assert_noticed(Flaw::FilesNotSynced);
}

#[test]
fn a_restart_that_rebuilds_no_memory_is_noticed() {
    assert_noticed(Flaw::MemoryNotRebuilt);
}

#[test]
fn a_zombie_that_nobody_fences_is_noticed() {
    assert_noticed(Flaw::NobodyFenced);
}

#[test]
fn a_commit_that_does_not_wait_for_kafka_is_noticed() {
    assert_noticed(Flaw::CommitBeforeDelivery);
}

#[test]
fn findings_of_a_doubted_alarm_that_no_commit_keeps_are_noticed() {
    // One in some thousands: the first of them stands here.
    assert_noticed_from(7_000, fire, Flaw::FindingsForgotten);
}

#[test]
fn late_rows_that_wait_and_that_no_commit_keeps_are_noticed() {
    assert_noticed(Flaw::CorrectionsForgotten);
}

#[test]
fn rows_that_are_told_and_not_noted_are_noticed() {
    // One in some ten thousands: the first of them stands here.
    assert_noticed_from(63_000, usual, Flaw::RowsNotNoted);
}

#[test]
fn a_restart_that_takes_nothing_back_is_noticed() {
    assert_noticed(Flaw::NothingTakenBack);
}

#[test]
fn a_generation_of_told_rows_that_is_used_twice_is_noticed() {
    // One in some hundred thousands: the first of them stands here.
    assert_noticed_from(303_000, usual, Flaw::GenerationUsedTwice);
}
