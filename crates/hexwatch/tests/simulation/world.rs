//! A world small enough to be lived through a hundred thousand times: two sensors and two buttons, a partition each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use hexwatch_contract::site::{Device, Place, Places};
use hexwatch_contract::{
    Cell, Chunk, DeadLetter, EventBatch, EventTime, Partition, Position, Stage, Topic, catalog, event,
};
use hexwatch_stream::{Engine, EngineConfig, Registry};
use serde_json::{Value, json};

use super::chance::Chance;
use super::queries::{Kind, files};

pub(crate) const SITE: &str = "s1";
const LATENESS: i64 = 5_000;
const HORIZON_MS: i64 = 60_000;
/// How far behind the watermark a record still counts.
const HORIZON: Duration = Duration::from_millis(HORIZON_MS.unsigned_abs());
/// How long records come for.
const SPAN: i64 = 170_000;
/// How long after the last record the world is looked at: longer than every timer.
const REST: i64 = 200_000;
/// The devices, one for each partition of its topic.
const DEVICES: [(Topic, i32, &str, &str, Option<f64>); 4] = [
    (Topic::Iot, 0, "smoke-0", "smoke", Some(20.0)),
    (Topic::Iot, 1, "ch4-1", "ch4", Some(40.0)),
    (Topic::Panic, 0, "panic-0", "panic", None),
    (Topic::Panic, 1, "panic-1", "panic", None),
];

/// An engine over [`files`].
pub(crate) fn engine(kind: Kind) -> Engine {
    let config = EngineConfig {
        lateness: BTreeMap::from([(Topic::Panic, Duration::from_secs(2))]),
        default_lateness: Duration::from_millis(LATENESS.unsigned_abs()),
        correction_horizon: HORIZON,
        idle_timeout: Duration::from_secs(10),
    };
    let registry = Registry {
        devices: DEVICES.iter().map(device).collect(),
        places: Arc::new(Map),
        tables: BTreeMap::from([("devices".to_owned(), RecordBatch::new_empty(catalog::devices()))]),
    };
    let (engine, refusals) = Engine::new(config, &registry, &files(kind)).unwrap();
    assert!(refusals.is_empty(), "{refusals:?}");
    engine
}

fn device((_, _, id, kind, heartbeat): &(Topic, i32, &str, &str, Option<f64>)) -> Device {
    Device {
        id: (*id).to_owned(),
        kind: (*kind).to_owned(),
        site: SITE.to_owned(),
        lon: 120.0,
        lat: 30.0,
        floor: None,
        footprint: None,
        expected_heartbeat_s: *heartbeat,
        in_service: true,
        links: Vec::new(),
        source: None,
    }
}

/// Two cells: one for even numbers, one for odd.
struct Map;

fn cell_of(device: &str) -> Cell {
    const FIRST: u64 = 0x08c2_8000_0000_01ff;
    Cell::from_index(FIRST | u64::from(device.ends_with('1')) << 9)
}

impl Places for Map {
    fn of_device(&self, device: &str) -> Option<Place> {
        Some(Place { lon: 120.0, lat: 30.0, floor: None, cell: cell_of(device) })
    }
    fn site_of(&self, _: &str) -> Option<&str> {
        Some(SITE)
    }
    fn of_coordinates(&self, _: &str, _: f64, _: f64) -> Option<Place> {
        None
    }
}

/// A record before it is a row.
#[derive(Clone)]
struct Record {
    produced: i64,
    time: i64,
    /// `None`: it is refused.
    body: Option<Value>,
    id: String,
}

/// What one partition holds, for good.
pub(crate) struct Log {
    pub(crate) partition: Partition,
    pub(crate) topic: Topic,
    /// When each record came, in milliseconds.
    produced: Vec<i64>,
    /// For each offset how many rows lie before it.
    rows_before: Vec<usize>,
    rows: EventBatch,
    letters: Vec<Arc<DeadLetter>>,
}

/// The records of a world.
pub(crate) struct World {
    pub(crate) logs: Vec<Log>,
    pub(crate) start: EventTime,
    /// When everything has come.
    pub(crate) last: EventTime,
    /// When every window has closed and every timer has fired.
    pub(crate) end: EventTime,
}

impl World {
    pub(crate) fn new(number: u64, kind: Kind) -> Self {
        let start = EventTime::parse_rfc3339("2026-05-11T01:00:00Z").unwrap();
        let logs = (0..).zip(DEVICES).map(|(stream, (topic, number_of, device, ..))| {
            let mut chance = Chance::new(number, stream);
            let records = records(kind, device, topic, start.millis(), &mut chance);
            Log::new(topic, number_of, device, &records)
        });
        let after = |millis| EventTime::from_millis(start.millis() + millis);
        Self { logs: logs.collect(), start, last: after(SPAN), end: after(SPAN + REST) }
    }
}

/// What one device sends, in the order in which it arrives.
fn records(kind: Kind, device: &str, topic: Topic, start: i64, chance: &mut Chance) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let (mut now, mut latest) = (start + chance.between(0, 15_000), i64::MIN);
    while now < start + SPAN {
        let id = format!("{device}-{}", records.len());
        // However long the partition was silent: what is not too late by its own records counts once.
        let recent = &records[records.len().saturating_sub(12)..];
        let record = if chance.one_in(6) && !recent.is_empty() {
            Record { produced: now, ..recent[chance.below(recent.len())].clone() }
        } else if chance.one_in(12) {
            Record { produced: now, time: now, body: None, id }
        } else {
            let delay = delay(chance);
            let delay = if latest == i64::MIN { delay.min(LATENESS) } else { delay };
            // Too late for its own partition, whatever happened elsewhere.
            let time = if delay > HORIZON_MS { latest - delay } else { now - delay };
            Record { produced: now, time, body: Some(body(kind, topic, chance)), id }
        };
        if record.body.is_some() && record.time <= now {
            latest = latest.max(record.time);
        }
        records.push(record);
        let is_gone = topic == Topic::Iot && chance.one_in(10);
        now += if is_gone { chance.between(95_000, 130_000) } else { gap(topic, chance) };
    }
    records
}

fn gap(topic: Topic, chance: &mut Chance) -> i64 {
    if topic == Topic::Iot { chance.between(3_000, 30_000) } else { chance.between(5_000, 60_000) }
}

/// What a record says.
fn body(kind: Kind, topic: Topic, chance: &mut Chance) -> Value {
    if kind == Kind::Fire && topic == Topic::Iot {
        let state = ["alarm", "alarm", "normal", "normal", "fault"][chance.below(5)];
        return json!({ "property": "smoke_obscuration", "state": state });
    }
    if topic == Topic::Panic {
        let button = if kind == Kind::Fire { "fire_manual" } else { "panic" };
        let kind = [button, "panic", "medical", "test"][chance.below(4)];
        return json!({ "kind": kind });
    }
    match chance.below(8) {
        0 => json!({ "state": "fault" }),
        1 => json!({ "state": "normal" }),
        2 | 3 => json!({ "property": "ch4", "result": 25.0 }),
        _ => json!({ "heartbeat": true }),
    }
}

fn delay(chance: &mut Chance) -> i64 {
    match chance.below(20) {
        0..=10 => 0,
        11..=15 => chance.between(0, LATENESS),
        16..=18 => chance.between(LATENESS, 35_000),
        _ => chance.between(HORIZON_MS + 2 * LATENESS, HORIZON_MS + 30_000),
    }
}

impl Log {
    fn new(topic: Topic, number: i32, device: &str, records: &[Record]) -> Self {
        let partition = Partition::new(topic.name(), number);
        let (mut rows, mut identities, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows_before = vec![0];
        for (record, offset) in records.iter().zip(0..) {
            if let Some(body) = &record.body {
                rows.push(row(topic, number, device, offset, record, body));
                identities.push(identity(&record.id));
            } else {
                letters.push(Arc::new(letter(&partition, topic, device, offset, record.produced)));
            }
            rows_before.push(rows.len());
        }
        let mut decoder = ReaderBuilder::new(event::schema(topic)).build_decoder().unwrap();
        decoder.serialize(&rows).unwrap();
        let records_of = decoder.flush().unwrap();
        let batch = records_of.unwrap_or_else(|| RecordBatch::new_empty(event::schema(topic)));
        Self {
            partition,
            topic,
            produced: records.iter().map(|record| record.produced).collect(),
            rows_before,
            rows: EventBatch { topic, records: batch, identities },
            letters,
        }
    }

    /// The offset behind the last record that has come by `now`.
    pub(crate) fn end(&self, now: EventTime) -> usize {
        self.produced.partition_point(|produced| *produced <= now.millis())
    }

    pub(crate) fn len(&self) -> usize {
        self.produced.len()
    }

    /// The records, to be read by a person.
    pub(crate) fn shown(&self) -> String {
        let wanted = ["offset", "id", "time", "kind", "state", "result"];
        let columns = wanted.iter().filter_map(|name| self.rows.records.schema().index_of(name).ok());
        let rows = self.rows.records.project(&columns.collect::<Vec<_>>()).unwrap();
        let rows = arrow::util::pretty::pretty_format_batches(&[rows]).unwrap();
        let produced = self.produced.iter().map(|millis| EventTime::from_millis(*millis).to_string());
        format!("{}\n{rows}\nproduced {}", self.partition, produced.collect::<Vec<_>>().join(" "))
    }

    /// The records of `from..to`.
    pub(crate) fn chunk(&self, from: usize, to: usize) -> Chunk {
        let (first_row, rows) = (self.rows_before[from], self.rows_before[to] - self.rows_before[from]);
        let at = |offset: usize| i64::try_from(offset).unwrap();
        let within = |letter: &&Arc<DeadLetter>| (at(from)..at(to)).contains(&letter.position.offset);
        Chunk {
            partition: self.partition.clone(),
            first_offset: at(from),
            next_offset: at(to),
            read: (to - from) as u64,
            latest_kafka_time: EventTime::from_millis(self.produced[to - 1]),
            events: EventBatch {
                topic: self.topic,
                records: self.rows.records.slice(first_row, rows),
                identities: self.rows.identities[first_row..first_row + rows].to_vec(),
            },
            dead_letters: self.letters.iter().filter(within).cloned().collect(),
        }
    }
}

fn row(topic: Topic, number: i32, device: &str, offset: i64, record: &Record, body: &Value) -> Value {
    let time = EventTime::from_millis(record.time).to_string();
    let mut row = json!({
        "id": record.id, "source": "", "time": time, "site": SITE, "device": device, "status": "actual",
        "cell": cell_of(device).to_i64(), "time_quality": "good", "topic": topic.name(), "partition": number,
        "offset": offset, "ingested_at": EventTime::from_millis(record.produced).to_string(),
    });
    row[event::entity(topic)] = device.into();
    let members = body.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(members);
    row
}

fn identity(id: &str) -> u128 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hash = DefaultHasher::new();
    id.hash(&mut hash);
    u128::from(hash.finish())
}

fn letter(partition: &Partition, topic: Topic, device: &str, offset: i64, produced: i64) -> DeadLetter {
    let time = EventTime::from_millis(produced);
    DeadLetter {
        position: Position { partition: partition.clone(), offset },
        meant_for: topic,
        kafka_time: time,
        refused_at: time,
        key: Some(device.to_owned()),
        id: None,
        stage: Stage::Decode,
        error_code: "not_an_object".into(),
        field: None,
        message: "".into(),
        payload_sha256: hexwatch_contract::Sha256Sum::default(),
        payload: Some("Zm9v".to_owned()),
    }
}
