//! A small, seeded community: its records in partitions, shuffled within the lateness, some sent twice;
//! and an engine that reads them in different ways.

mod outcome;
mod reading;
mod site;

use std::time::Duration;

use hexwatch_contract::site::Places as _;
use hexwatch_contract::{EventTime, Partition, Topic, event};
use hexwatch_stream::{Engine, EngineConfig, Input, Refusal};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

pub(crate) use self::outcome::{Outcome, over_history};
pub(crate) use self::reading::{Delivery, PLAIN, Reading, again, chunk, deliveries};
pub(crate) use self::site::{registry, site};
use super::files::QueryFile;

pub(crate) const LATENESS: Duration = Duration::from_secs(10);
const PARTITIONS: i32 = 2;
const MINUTES: i64 = 14;

/// Where the world's time begins: a minute's start.
pub(crate) fn start() -> EventTime {
    EventTime::parse_rfc3339("2026-05-11T01:00:00Z").unwrap()
}

pub(crate) fn after(seconds: f64) -> EventTime {
    #[allow(clippy::cast_possible_truncation)]
    EventTime::from_millis(start().millis() + (seconds * 1000.0) as i64)
}

/// A record before it has a position.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) time: EventTime,
    pub(crate) body: Map<String, Value>,
    /// How long it is on its way beside what the reading's disorder adds.
    pub(crate) held: Duration,
}

impl Record {
    pub(crate) fn new(topic: Topic, device: &str, time: EventTime, id: &str, body: &Value) -> Self {
        let place = site().of_device(device);
        let mut row = json!({
            "id": id, "source": "", "time": time.to_string(), "site": "s1", "device": device, "status": "actual",
            "time_quality": "good", "topic": topic.name(), "ingested_at": time.to_string(),
        });
        if let Some(place) = place {
            row["cell"] = place.cell.to_i64().into();
            row["lon"] = place.lon.into();
            row["lat"] = place.lat.into();
        }
        row[event::entity(topic)] = device.into();
        let mut row = row.as_object().unwrap().clone();
        row.extend(body.as_object().unwrap().clone());
        let partition = device.bytes().map(i32::from).sum::<i32>() % PARTITIONS;
        Self { topic, partition, time, body: row, held: Duration::ZERO }
    }

    fn identity(&self) -> u128 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hash = DefaultHasher::new();
        self.body["id"].as_str().unwrap().hash(&mut hash);
        u128::from(hash.finish())
    }
}

/// What happens at the site, in order of event time.
pub(crate) fn happenings(seed: u64) -> Vec<Record> {
    some_happenings(seed, 1_500, (MINUTES * 60) as f64)
}

/// `count` of them within the first `seconds`.
pub(crate) fn some_happenings(seed: u64, count: usize, seconds: f64) -> Vec<Record> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut records = Vec::new();
    for _ in 0..count {
        let id = format!("e{}", records.len());
        records.push(happening(&mut random, &id, seconds));
    }
    records.sort_by_key(|record| record.time);
    records
}

fn happening(random: &mut ChaCha8Rng, id: &str, span: f64) -> Record {
    let seconds = random.random_range(0.0..span);
    let number = random.random_range(0..3);
    let score = f64::from(random.random_range(50..100_u8)) / 100.0;
    let pick = |random: &mut ChaCha8Rng, words: &[&'static str]| words[random.random_range(0..words.len())];
    let (topic, device, body) = match random.random_range(0..12) {
        0..=3 => {
            let kind = pick(random, &["access_point", "door"]);
            let event = match kind {
                "door" => pick(random, &["door_open", "door_closed", "door_closed", "door_forced"]),
                _ => pick(random, &["granted", "denied", "denied", "rex", "door_open"]),
            };
            let reference = format!("r{}", random.random_range(0..3));
            let body = json!({ "event": event, "reason": "InvalidPIN", "credential_ref": reference });
            (Topic::Access, format!("{kind}-{number}"), body)
        }
        4..=6 => {
            let kind = pick(random, &["loitering", "line_crossed", "flame", "smoke", "count"]);
            let class = pick(random, &["human", "human", "vehicle", "fire"]);
            let body =
                json!({ "kind": kind, "phase": "start", "object_class": class, "score": score, "count": 1 });
            (Topic::CameraAlert, format!("camera-{number}"), body)
        }
        7 | 8 => {
            let result = f64::from(random.random_range(0..300_u16)) / 10.0;
            let body = json!({ "property": "ch4", "result": result, "unit": "%LEL", "quality": "good" });
            (Topic::Iot, format!("ch4-{}", number % 2), body)
        }
        9 => {
            let state = pick(random, &["normal", "normal", "prealarm", "alarm"]);
            (
                Topic::Iot,
                format!("smoke-{number}"),
                json!({ "property": "smoke_obscuration", "state": state }),
            )
        }
        10 => (
            Topic::Panic,
            format!("panic-{}", number % 2),
            json!({ "kind": pick(random, &["panic", "test", "fire_manual"]) }),
        ),
        _ => {
            (Topic::Patrol, format!("officer-{number}"), json!({ "kind": "checkpoint", "checkpoint": "c1" }))
        }
    };
    Record::new(topic, &device, after(seconds), id, &body)
}

pub(crate) fn partition_of(record: &Record) -> Partition {
    Partition::new(record.topic.name(), record.partition)
}

pub(crate) fn partitions() -> Vec<(Partition, Topic)> {
    let of = |topic: Topic| (0..PARTITIONS).map(move |number| (Partition::new(topic.name(), number), topic));
    Topic::ALL.into_iter().flat_map(of).collect()
}

pub(crate) fn engine(files: &[QueryFile]) -> Engine {
    engine_correcting(files, EngineConfig::default().correction_horizon)
}

/// An engine that corrects for as long as `correction_horizon`.
pub(crate) fn engine_correcting(files: &[QueryFile], correction_horizon: Duration) -> Engine {
    let (engine, refusals) = planned(files, correction_horizon);
    assert!(refusals.is_empty(), "{refusals:#?}");
    engine
}

pub(crate) fn try_engine(files: &[QueryFile]) -> (Engine, Vec<Refusal>) {
    planned(files, EngineConfig::default().correction_horizon)
}

fn planned(files: &[QueryFile], correction_horizon: Duration) -> (Engine, Vec<Refusal>) {
    let config = EngineConfig { default_lateness: LATENESS, correction_horizon, ..EngineConfig::default() };
    Engine::new(config, &registry(), files).unwrap()
}

/// Reads `deliveries` to the end.
pub(crate) fn read(files: &[QueryFile], deliveries: &[Delivery], live: bool) -> Outcome {
    let mut engine = engine(files);
    let mut outcome = Outcome::default();
    begin(&mut engine, live);
    proceed(&mut engine, deliveries, files, &mut outcome);
    end(&mut engine, deliveries, files, &mut outcome);
    outcome
}

/// Assigns all partitions; `live`, they are at their ends and may fall idle.
pub(crate) fn begin(engine: &mut Engine, live: bool) {
    engine.step(start(), Input::Assigned(partitions())).unwrap();
    for (partition, _) in partitions() {
        let input = if live { Input::AtEnd(partition) } else { Input::Behind(partition) };
        engine.step(start(), input).unwrap();
    }
}

pub(crate) fn proceed(
    engine: &mut Engine,
    deliveries: &[Delivery],
    files: &[QueryFile],
    outcome: &mut Outcome,
) {
    for delivery in deliveries {
        outcome.fold(engine.step(delivery.now, Input::Chunk(delivery.chunk.clone())).unwrap(), files);
    }
}

pub(crate) fn end(engine: &mut Engine, deliveries: &[Delivery], files: &[QueryFile], outcome: &mut Outcome) {
    let now = deliveries.iter().map(|delivery| delivery.now).max().unwrap();
    outcome.fold(engine.step(now, Input::Finished).unwrap(), files);
}
