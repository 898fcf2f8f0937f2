//! The laws of event time, over many seeds of a small community: what may not change a result does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hexwatch_contract::{Partition, Topic};
use hexwatch_stream::{Engine, Input};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::files::{self, QueryFile};
use super::world::{
    self, Delivery, Outcome, PLAIN, Reading, Record, after, begin, deliveries, end, engine, partitions,
    proceed, some_happenings,
};

/// Windows, a join, silences, a rule that looks back, and one that speaks at once.
fn some_files() -> Vec<QueryFile> {
    let names = ["heat_10s", "camera_access_join", "sensor_silence", "r06_denied_then_entry", "r10_panic"];
    let all = files::of_folder("views").into_iter().chain(files::of_folder("rules"));
    let some: Vec<_> = all.filter(|file| names.contains(&file.name.as_str())).collect();
    assert_eq!(some.len(), names.len());
    some
}

/// Runs `law` for each seed below `seeds`, on all processors. What fails names its seed.
pub(crate) fn for_seeds(seeds: u64, law: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    law(seed);
                }
            });
        }
    });
}

/// Reads to the end, and goes on until everything has been silent for long: how far time has come then is the same
/// however the records came.
fn read(files: &[QueryFile], deliveries: &[Delivery], live: bool) -> Outcome {
    let (mut engine, mut outcome) = (engine(files), Outcome::default());
    begin(&mut engine, live);
    proceed(&mut engine, deliveries, files, &mut outcome);
    settle(&mut engine, deliveries, files, &mut outcome);
    outcome
}

pub(crate) fn settle(
    engine: &mut Engine,
    deliveries: &[Delivery],
    files: &[QueryFile],
    outcome: &mut Outcome,
) {
    for (partition, _) in partitions() {
        outcome.fold(engine.step(after(1_000.0), Input::AtEnd(partition)).unwrap(), files);
    }
    outcome.fold(engine.step(after(1_500.0), Input::Tick).unwrap(), files);
    end(engine, deliveries, files, outcome);
}

/// Results without the offsets of the records they stand on, which a shuffle moves.
fn wherever_it_stood(outcome: &Outcome) -> BTreeMap<(String, String), String> {
    let without = |row: &String| {
        let mut row: Value = serde_json::from_str(row).unwrap();
        if let Some(inputs) = row.get_mut("inputs").and_then(Value::as_array_mut) {
            for input in inputs.iter_mut() {
                input.as_object_mut().unwrap().remove("offset");
            }
            // They stand in the order of their positions.
            inputs.sort_by_key(Value::to_string);
        }
        row.to_string()
    };
    outcome.results.iter().map(|(key, row)| (key.clone(), without(row))).collect()
}

fn assert_same(
    seed: u64,
    what: &str,
    found: &BTreeMap<(String, String), String>,
    expected: &BTreeMap<(String, String), String>,
) {
    let differences = super::equality::differences(found, expected);
    assert!(
        differences.is_empty(),
        "seed {seed}: {what} (live), and without (history):\n{}",
        differences.join("\n")
    );
}

pub(crate) fn any_reading(random: &mut ChaCha8Rng, seed: u64, most_disorder_ms: u64) -> Reading {
    Reading {
        seed,
        disorder: Duration::from_millis(random.random_range(0..=most_disorder_ms)),
        duplicates: random.random_range(0..8),
        chunk: [1, 3, 10, 40, 1_000][random.random_range(0..5)],
        uneven: random.random_range(0..3) == 0,
    }
}

#[test]
fn any_shuffle_within_the_lateness_and_any_batching_give_the_same_rows_and_hits() {
    let files = some_files();
    for_seeds(100, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let records = some_happenings(seed, 150, 150.0);
        let plain = read(&files, &deliveries(&records, PLAIN), true);
        assert!(plain.results.len() > 15, "seed {seed} says nothing");
        let reading = any_reading(&mut random, seed, 9_900);
        let shuffled = read(&files, &deliveries(&records, reading), !reading.uneven);
        assert_eq!(
            (shuffled.accounts.accepted, shuffled.accounts.late),
            (150, 0),
            "seed {seed}: {reading:?}"
        );
        let what = format!("{reading:?}");
        assert_same(seed, &what, &wherever_it_stood(&shuffled), &wherever_it_stood(&plain));
    });
}

/// A record of a device with a wrong clock, of which ingest was told nothing better.
fn liar(random: &mut ChaCha8Rng, number: usize) -> Record {
    const AWAY: [f64; 7] = [-31_536_000.0, -86_400.0, -700.0, -60.0, 60.0, 3_600.0, 31_536_000.0];
    let (topic, body) = match random.random_range(0..4) {
        0 => (Topic::Access, json!({ "event": "denied" })),
        1 => (Topic::CameraAlert, json!({ "kind": "loitering", "object_class": "human", "score": 0.9 })),
        2 => (Topic::Iot, json!({ "property": "ch4", "result": 1.0 })),
        _ => (Topic::Panic, json!({ "kind": "panic" })),
    };
    let arrives = random.random_range(0.0..150.0);
    let mut record = Record::new(topic, "liar-x", after(arrives), &format!("liar{number}"), &body);
    record.partition = random.random_range(0..2);
    let said = after(arrives + AWAY[random.random_range(0..AWAY.len())]);
    record.body.insert("time".into(), said.to_string().into());
    record.body.insert("time_quality".into(), "suspect".into());
    record
}

fn of_others(outcome: &Outcome) -> BTreeMap<(String, String), String> {
    let rows = wherever_it_stood(outcome).into_iter();
    rows.filter(|((_, key), row)| !key.contains("liar") && !row.contains("liar")).collect()
}

#[test]
fn rows_of_a_wrong_clock_change_no_row_of_others() {
    let files = some_files();
    for_seeds(100, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let records = some_happenings(seed, 120, 150.0);
        let reading = Reading { duplicates: 0, ..any_reading(&mut random, seed, 9_900) };
        let plain = read(&files, &deliveries(&records, Reading { seed, ..PLAIN }), true);
        let mut with = records.clone();
        let liars: usize = random.random_range(1..6);
        for number in 0..liars {
            let liar = liar(&mut random, number);
            with.insert(with.partition_point(|record| record.time < liar.time), liar);
        }
        let outcome = read(&files, &deliveries(&with, reading), !reading.uneven);
        assert_eq!(
            outcome.accounts.accepted + outcome.accounts.late,
            120 + liars as u64,
            "seed {seed}: nobody is lost"
        );
        assert!(outcome.accounts.accepted >= 120, "seed {seed}: a liar made others late");
        assert_same(seed, "with liars", &of_others(&outcome), &of_others(&plain));
    });
}

/// The deliveries with those of each partition in their order, and the partitions in any.
pub(crate) fn interleaved(deliveries: &[Delivery], random: &mut ChaCha8Rng) -> Vec<Delivery> {
    let mut waiting: BTreeMap<Partition, Vec<Delivery>> = BTreeMap::new();
    for delivery in deliveries.iter().rev() {
        waiting.entry(delivery.chunk.partition.clone()).or_default().push(delivery.clone());
    }
    let now = deliveries.iter().map(|delivery| delivery.now).max().unwrap();
    let mut found = Vec::new();
    while !waiting.is_empty() {
        let mut keys: Vec<Partition> = waiting.keys().cloned().collect();
        keys.shuffle(random);
        let queue = waiting.get_mut(&keys[0]).unwrap();
        // Some partitions run far ahead of the others.
        for _ in 0..random.random_range(1..8) {
            found.extend(queue.pop().map(|delivery| Delivery { now, ..delivery }));
        }
        if queue.is_empty() {
            waiting.remove(&keys[0]);
        }
    }
    found
}

/// Reads as the world turns: every second time goes by, and a partition falls behind or catches up.
pub(crate) fn read_live(files: &[QueryFile], deliveries: &[Delivery], random: &mut ChaCha8Rng) -> Outcome {
    let (mut engine, mut outcome) = (engine(files), Outcome::default());
    begin(&mut engine, true);
    let mut now = world::start();
    for delivery in deliveries {
        while now < delivery.now {
            let input = match random.random_range(0..20) {
                0 => Input::Behind(any_partition(random)),
                1 => Input::AtEnd(any_partition(random)),
                _ => Input::Tick,
            };
            outcome.fold(engine.step(now, input).unwrap(), files);
            now = now + Duration::from_secs(3);
        }
        outcome.fold(engine.step(delivery.now, Input::Chunk(delivery.chunk.clone())).unwrap(), files);
    }
    settle(&mut engine, deliveries, files, &mut outcome);
    outcome
}

pub(crate) fn any_partition(random: &mut ChaCha8Rng) -> Partition {
    let all = partitions();
    all[random.random_range(0..all.len())].0.clone()
}

/// Reads as fast as it can, going ahead now and then.
fn read_backlog(files: &[QueryFile], deliveries: &[Delivery], random: &mut ChaCha8Rng) -> Outcome {
    let (mut engine, mut outcome) = (engine(files), Outcome::default());
    begin(&mut engine, false);
    for delivery in interleaved(deliveries, random) {
        let input = Input::Chunk(delivery.chunk);
        let step: fn(&mut Engine, _, _) -> _ =
            if random.random_range(0..2) == 0 { Engine::step } else { Engine::step_ahead };
        outcome.fold(step(&mut engine, delivery.now, input).unwrap(), files);
    }
    settle(&mut engine, deliveries, files, &mut outcome);
    outcome
}

/// Records that come again so late that nothing can be corrected: from before everything, 11 min and more on the way,
/// each behind another record of its partition.
fn stragglers(records: &[Record], random: &mut ChaCha8Rng) -> Vec<Record> {
    let count = random.random_range(0..4);
    let mut found = Vec::new();
    for number in 0..count {
        let before = &records[random.random_range(0..records.len() / 2)];
        let time = after(-700.0 - random.random_range(0.0..500.0));
        let mut straggler = before.clone();
        straggler.time = time;
        straggler.body.insert("time".into(), time.to_string().into());
        straggler.body.insert("id".into(), format!("straggler{number}").into());
        straggler.held = before.time.since(time) + Duration::from_mins(3);
        found.push(straggler);
    }
    found
}

#[test]
fn a_backlog_read_unevenly_gives_exactly_what_the_live_run_gave() {
    let files = some_files();
    for_seeds(80, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut records = some_happenings(seed, 120, 150.0);
        let late = stragglers(&records, &mut random);
        let count = late.len() as u64;
        let plain = read(&files, &deliveries(&records, PLAIN), true);
        records.extend(late);
        // Up to two minutes of disorder: many rows come late and correct what was given.
        let reading = Reading { uneven: false, ..any_reading(&mut random, seed, 120_000) };
        let sent = deliveries(&records, reading);
        let live = read_live(&files, &sent, &mut random);
        let backlog = read_backlog(&files, &sent, &mut random);
        assert_eq!(backlog.accounts, live.accounts, "seed {seed}");
        assert_eq!(backlog.results, live.results, "seed {seed}: {reading:?}");
        assert_eq!(live.late, live.accounts.late, "seed {seed}: what is too late is kept");
        assert!(live.accounts.late >= count, "seed {seed}: {count} stragglers, {:?}", live.accounts);
        assert_eq!(live.accounts.accepted, 120, "seed {seed}");
        // Late rows corrected all that was given early, and those that came too late changed nothing.
        assert_same(seed, "late and too late", &wherever_it_stood(&live), &wherever_it_stood(&plain));
    });
}

#[test]
fn every_row_is_in_the_window_of_its_own_time_however_it_came() {
    let counts = super::time::counts();
    for_seeds(150, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let records = some_happenings(seed, 100, 120.0);
        let reading = any_reading(&mut random, seed, 100_000);
        let outcome = read(&counts, &deliveries(&records, reading), !reading.uneven);
        let mut expected: BTreeMap<(String, i64), u64> = BTreeMap::new();
        for record in records.iter().filter(|record| record.topic == Topic::Access) {
            let device = record.body["device"].as_str().unwrap().to_owned();
            *expected.entry((device, record.time.millis().div_euclid(10_000))).or_default() += 1;
        }
        let found: BTreeSet<String> = outcome.results.values().cloned().collect();
        assert_eq!(found.len(), expected.len(), "seed {seed}: {reading:?}");
        for ((device, window), events) in expected {
            let start = hexwatch_contract::EventTime::from_millis(window * 10_000).to_string();
            let start = &start[..19];
            let has = |row: &String| {
                let row: Value = serde_json::from_str(row).unwrap();
                row["device"] == *device
                    && row["events"] == events
                    && row["window_start"].as_str().unwrap().starts_with(start)
            };
            assert!(found.iter().any(has), "seed {seed}: {events} of {device} from {start} in {found:?}");
        }
    });
}
