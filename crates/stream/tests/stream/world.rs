//! A small, seeded community: its records in partitions, shuffled within the lateness, some sent twice;
//! and an engine that reads them in different ways.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::json::ReaderBuilder;
use datafusion::catalog::MemTable;
use datafusion::prelude::SessionContext;
use hexwatch_contract::site::{Device, Place, Places};
use hexwatch_contract::{Account, Cell, Chunk, EventBatch, EventTime, Partition, Topic, event};
use hexwatch_stream::{Checkpoint, Effects, Engine, EngineConfig, Input, Refusal, Registry};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

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

/// Doors, cameras, sensors and buttons on a few cells next to each other.
pub(crate) struct Site;

pub(crate) fn site() -> Site {
    Site
}

/// Four res-12 cells of one parent: the first touches all the others.
fn cell(number: i64) -> (Cell, f64, f64) {
    const FIRST: u64 = 0x08c2_8000_0000_01ff;
    let sibling = FIRST | u64::try_from(number).unwrap() << 9;
    (Cell::from_index(sibling), 120.0 + number as f64 * 0.000_15, 30.0)
}

impl Places for Site {
    fn of_device(&self, device: &str) -> Option<Place> {
        let number: i64 = device.rsplit('-').next()?.parse().ok()?;
        let (cell, lon, lat) = cell(number % 4);
        Some(Place { lon, lat, floor: Some(1), cell })
    }
    fn site_of(&self, _: &str) -> Option<&str> {
        Some("s1")
    }
    fn of_coordinates(&self, _: &str, _: f64, _: f64) -> Option<Place> {
        None
    }
}

const KINDS: [(&str, usize, Option<f64>); 7] = [
    ("door", 3, None),
    ("access_point", 3, None),
    ("camera", 3, None),
    ("smoke", 3, Some(30.0)),
    ("ch4", 2, Some(20.0)),
    ("gateway", 1, Some(40.0)),
    ("panic", 2, None),
];

pub(crate) fn registry() -> Registry {
    let mut devices = Vec::new();
    for (kind, count, heartbeat) in KINDS {
        for number in 0..count {
            let id = format!("{kind}-{number}");
            let place = site().of_device(&id).unwrap();
            let links = match kind {
                "access_point" => vec![format!("door-{number}")],
                "smoke" if number < 2 => vec!["gateway-0".to_owned()],
                _ => vec![],
            };
            devices.push(Device {
                id,
                kind: kind.into(),
                site: "s1".into(),
                lon: place.lon,
                lat: place.lat,
                floor: Some(1),
                footprint: None,
                expected_heartbeat_s: heartbeat,
                in_service: true,
                links,
                source: None,
            });
        }
    }
    let tables = BTreeMap::from([("devices".to_owned(), device_table(&devices))]);
    Registry { devices, places: Arc::new(Site), tables }
}

fn device_table(devices: &[Device]) -> RecordBatch {
    let rows: Vec<Value> = devices
        .iter()
        .map(|device| {
            let place = site().of_device(&device.id).unwrap();
            json!({
                "id": device.id, "type": device.kind, "site": device.site, "lon": device.lon, "lat": device.lat,
                "floor": device.floor, "expected_heartbeat_s": device.expected_heartbeat_s,
                "in_service": device.in_service, "links": device.links, "cell": place.cell.to_i64(),
            })
        })
        .collect();
    let mut decoder = ReaderBuilder::new(hexwatch_contract::catalog::devices()).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    decoder.flush().unwrap().unwrap()
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

/// How records reach the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) seed: u64,
    /// Records are out of order by up to this; below the lateness nothing is late.
    pub(crate) disorder: Duration,
    /// One record in so many comes twice; 0 for none.
    pub(crate) duplicates: u32,
    /// Chunks of up to so many records.
    pub(crate) chunk: usize,
    /// Whether partitions are read one after another instead of as the records come.
    pub(crate) uneven: bool,
}

pub(crate) const PLAIN: Reading =
    Reading { seed: 0, disorder: Duration::ZERO, duplicates: 0, chunk: 50, uneven: false };

/// A stretch of one partition, ready to be read at `now`.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) now: EventTime,
    pub(crate) chunk: Chunk,
}

/// The records in partitions and chunks, in the order in which they are read.
pub(crate) fn deliveries(records: &[Record], reading: Reading) -> Vec<Delivery> {
    let mut random = ChaCha8Rng::seed_from_u64(reading.seed);
    let mut arriving: Vec<(i64, Record)> = Vec::new();
    let delay = |random: &mut ChaCha8Rng| {
        let most = i64::try_from(reading.disorder.as_millis()).unwrap();
        if most == 0 { 0 } else { random.random_range(0..most) }
    };
    for record in records {
        let sent = record.time + record.held;
        arriving.push((sent.millis() + delay(&mut random), record.clone()));
        if reading.duplicates > 0 && random.random_range(0..reading.duplicates) == 0 {
            arriving.push((sent.millis() + delay(&mut random) + 1, record.clone()));
        }
    }
    arriving.sort_by_key(|(at, _)| *at);
    let mut partitions: BTreeMap<(Topic, i32), Vec<(i64, Record)>> = BTreeMap::new();
    for (at, record) in arriving {
        partitions.entry((record.topic, record.partition)).or_default().push((at, record));
    }
    let mut found = Vec::new();
    for ((topic, number), records) in partitions {
        let mut offset = 0;
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let (now, next) = rest.split_at(random.random_range(1..=reading.chunk).min(rest.len()));
            found.push(Delivery {
                now: EventTime::from_millis(now.last().unwrap().0 + 1),
                chunk: chunk(
                    topic,
                    number,
                    offset,
                    &now.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>(),
                ),
            });
            offset += i64::try_from(now.len()).unwrap();
            rest = next;
        }
    }
    if reading.uneven {
        let end = found.iter().map(|delivery| delivery.now).max().unwrap_or_else(start);
        let mut order: Vec<Partition> =
            found.iter().map(|delivery| delivery.chunk.partition.clone()).collect();
        order.dedup();
        order.shuffle(&mut random);
        found.sort_by_key(|delivery| {
            order.iter().position(|partition| *partition == delivery.chunk.partition)
        });
        for delivery in &mut found {
            delivery.now = end;
        }
    } else {
        found.sort_by_key(|delivery| delivery.now);
    }
    found
}

/// A chunk of `records` from `offset` on.
pub(crate) fn chunk(topic: Topic, number: i32, offset: i64, records: &[Record]) -> Chunk {
    let rows: Vec<Value> = records
        .iter()
        .zip(offset..)
        .map(|(record, offset)| {
            let mut row = record.body.clone();
            row.insert("partition".into(), number.into());
            row.insert("offset".into(), offset.into());
            Value::Object(row)
        })
        .collect();
    let mut decoder = ReaderBuilder::new(event::schema(topic)).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    let identities = records.iter().map(Record::identity).collect();
    let batch = decoder.flush().unwrap().unwrap();
    Chunk {
        partition: Partition::new(topic.name(), number),
        first_offset: offset,
        next_offset: offset + i64::try_from(records.len()).unwrap(),
        read: records.len() as u64,
        latest_kafka_time: EventTime::MIN,
        events: EventBatch { topic, records: batch, identities },
        dead_letters: vec![],
    }
}

pub(crate) fn partition_of(record: &Record) -> Partition {
    Partition::new(record.topic.name(), record.partition)
}

pub(crate) fn partitions() -> Vec<(Partition, Topic)> {
    let of = |topic: Topic| (0..PARTITIONS).map(move |number| (Partition::new(topic.name(), number), topic));
    Topic::ALL.into_iter().flat_map(of).collect()
}

/// What came out, folded as a reader folds it: by key, the last one counts.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) admitted: BTreeMap<Topic, Vec<RecordBatch>>,
    pub(crate) accounts: Account,
    pub(crate) late: u64,
    /// By query and key, the row.
    pub(crate) results: BTreeMap<(String, String), String>,
    pub(crate) told: usize,
}

impl Outcome {
    pub(crate) fn fold(&mut self, effects: Effects, files: &[QueryFile]) {
        for (_, account) in effects.accounts {
            self.accounts += account;
        }
        self.late += effects.late.iter().map(|batch| batch.records.num_rows() as u64).sum::<u64>();
        for batch in effects.admitted {
            self.admitted.entry(batch.topic).or_default().push(batch.records);
        }
        for hit in effects.withdrawn_hits {
            self.results.remove(&hit_row(&hit).0);
        }
        for hit in effects.hits {
            self.told += 1;
            let (key, row) = hit_row(&hit);
            self.results.insert(key, row);
        }
        for rows in effects.rows {
            let file = files.iter().find(|file| *file.name == *rows.view).unwrap();
            for (key, _) in view_rows(file, &rows.withdrawn) {
                self.results.remove(&key);
            }
            self.told += rows.records.num_rows();
            self.results.extend(view_rows(file, &rows.records));
        }
    }
}

fn hit_row(hit: &hexwatch_contract::alarm::RuleHit) -> ((String, String), String) {
    let id = format!("{}/{}/{:?}", hit.key, hit.window_start, hit.transition);
    ((format!("rule {}", hit.rule), id), serde_json::to_string(hit).unwrap())
}

/// The rows of a view by key.
pub(crate) fn view_rows(file: &QueryFile, rows: &RecordBatch) -> Vec<((String, String), String)> {
    let keys = &file.key;
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    let rows: Vec<Map<String, Value>> =
        if bytes.is_empty() { vec![] } else { serde_json::from_slice(&bytes).unwrap() };
    rows.into_iter()
        .map(|row| {
            let key: Vec<String> =
                keys.iter().map(|key| row.get(key).unwrap_or(&Value::Null).to_string()).collect();
            ((file.name.clone(), key.join("/")), serde_json::to_string(&row).unwrap())
        })
        .collect()
}

pub(crate) fn engine(files: &[QueryFile]) -> Engine {
    let (engine, refusals) = try_engine(files);
    assert!(refusals.is_empty(), "{refusals:#?}");
    engine
}

pub(crate) fn try_engine(files: &[QueryFile]) -> (Engine, Vec<Refusal>) {
    let config = EngineConfig { default_lateness: LATENESS, ..EngineConfig::default() };
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

/// What `files` give as one batch over the rows that `outcome` admitted.
pub(crate) fn over_history(files: &[QueryFile], outcome: &Outcome) -> BTreeMap<(String, String), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let context: SessionContext = super::files::history_session();
        for topic in Topic::ALL {
            let schema = event::schema(topic);
            let batches = outcome.admitted.get(&topic).cloned().unwrap_or_default();
            let batch = concat_batches(&schema, &batches).unwrap();
            context
                .register_table(
                    topic.table(),
                    Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap()),
                )
                .unwrap();
        }
        for (name, table) in registry().tables {
            let table = MemTable::try_new(table.schema(), vec![vec![table]]).unwrap();
            context.register_table(name, Arc::new(table)).unwrap();
        }
        hexwatch_stream::history::register_functions(&context, &registry(), None);
        let mut results = BTreeMap::new();
        for file in files {
            if file.rule.is_some() {
                for hit in hexwatch_stream::history::hits_over_history(&context, file).await.unwrap() {
                    let (key, row) = hit_row(&hit);
                    let doubled = results.insert(key.clone(), row);
                    assert!(doubled.is_none(), "two rows of one key over history: {key:?}");
                }
            } else {
                let rows = hexwatch_stream::history::run_over_history(&context, file).await.unwrap();
                let expected = rows.num_rows();
                let rows = view_rows(file, &rows);
                let before = results.len();
                results.extend(rows);
                assert_eq!(
                    results.len() - before,
                    expected,
                    "a key comes twice over history in {}",
                    file.name
                );
            }
        }
        results
    })
}

/// A restart from `checkpoint`: the deliveries from its offsets on, cut where it says.
pub(crate) fn again(deliveries: &[Delivery], checkpoint: &Checkpoint) -> Vec<Delivery> {
    let from = checkpoint.replay_from();
    let kept = deliveries.iter().filter(|delivery| {
        from.get(&delivery.chunk.partition).is_none_or(|from| delivery.chunk.first_offset >= *from)
    });
    kept.cloned().collect()
}
