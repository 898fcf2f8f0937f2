#![allow(clippy::unwrap_used, reason = "a panic is the failure")]
//! Each rule against its fixture: `fixtures/rules/rXX/events.ndjson` gives exactly the hits of `expected.csv`, live
//! record by record, live out of order with duplicates, and over history.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::json::ReaderBuilder;
use datafusion::catalog::MemTable;
use hexwatch_contract::alarm::RuleHit;
use hexwatch_contract::site::{Device, Place, Places};
use hexwatch_contract::{Cell, Chunk, EventBatch, EventTime, Partition, Topic, catalog, event};
use hexwatch_sql::{QueryFile, session};
use hexwatch_stream::history::{hits_over_history, register_functions};
use hexwatch_stream::{Effects, Engine, EngineConfig, Input, Registry};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

const RULES: [&str; 7] = ["r01", "r06", "r07", "r10", "r13", "r15", "r17"];
const LATENESS: Duration = Duration::from_secs(10);
const SITE: &str = "s";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files(rule: &str) -> Vec<QueryFile> {
    let folder = root().join("queries/rules");
    let mut names: Vec<String> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with(&format!("{rule}_")));
    names.sort();
    let parse = |name: &String| {
        QueryFile::parse(&format!("rules/{name}"), &read(&format!("queries/rules/{name}"))).unwrap()
    };
    names.iter().map(parse).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// The cells at resolution 12 of places, by the SQL function that people use.
fn cells(places: &[(f64, f64)]) -> Vec<i64> {
    if places.is_empty() {
        return Vec::new();
    }
    let rows: Vec<String> = places
        .iter()
        .enumerate()
        .map(|(number, (lon, lat))| format!("({number}, {lon:.9}, {lat:.9})"))
        .collect();
    let sql = format!(
        "SELECT h3_latlng_to_cell(lat, lon, 12) AS cell FROM (VALUES {}) AS t(n, lon, lat) ORDER BY n",
        rows.join(", ")
    );
    let batches = runtime()
        .block_on(async { session::batch_session().sql(&sql).await.unwrap().collect().await.unwrap() });
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// A record of a fixture, before it has a position.
#[derive(Clone)]
struct Record {
    topic: Topic,
    time: EventTime,
    row: Map<String, Value>,
}

fn records(rule: &str) -> Vec<Record> {
    let text = read(&format!("fixtures/rules/{rule}/events.ndjson"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let places: Vec<_> = lines
        .iter()
        .map(|line| (line["value"]["lon"].as_f64().unwrap(), line["value"]["lat"].as_f64().unwrap()))
        .collect();
    lines.iter().zip(cells(&places)).map(|(line, cell)| record(line, cell)).collect()
}

/// What `ingest` would make of a line, as far as rules look.
fn record(line: &Value, cell: i64) -> Record {
    let topic = Topic::from_name(line["topic"].as_str().unwrap()).unwrap();
    let mut row = line["value"].as_object().unwrap().clone();
    let time = row["time"].clone();
    let entity = row.get(event::entity(topic)).or(row.get("device")).unwrap().clone();
    row.entry(event::entity(topic)).or_insert(entity.clone());
    row.entry("device").or_insert(entity);
    row.entry("status").or_insert("actual".into());
    for (name, value) in [
        ("cell", cell.into()),
        ("time_quality", "good".into()),
        ("topic", topic.name().into()),
        ("ingested_at", time.clone()),
    ] {
        row.insert(name.into(), value);
    }
    Record { topic, time: EventTime::parse_rfc3339(time.as_str().unwrap()).unwrap(), row }
}

fn batch(schema: arrow::datatypes::SchemaRef, rows: &[Value]) -> RecordBatch {
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(schema))
}

/// `record` as the `offset`-th of its topic's only partition.
fn row_at(record: &Record, offset: i64) -> Value {
    let mut row = record.row.clone();
    row.insert("partition".into(), 0.into());
    row.insert("offset".into(), offset.into());
    Value::Object(row)
}

fn chunk(record: &Record, offset: i64, identity: u128) -> Chunk {
    let records = batch(event::schema(record.topic), &[row_at(record, offset)]);
    Chunk {
        partition: Partition::new(record.topic.name(), 0),
        first_offset: offset,
        next_offset: offset + 1,
        read: 1,
        latest_kafka_time: record.time,
        events: EventBatch { topic: record.topic, records, identities: vec![identity] },
        dead_letters: Vec::new(),
    }
}

struct Registered(BTreeMap<String, Place>);

impl Places for Registered {
    fn of_device(&self, device: &str) -> Option<Place> {
        self.0.get(device).copied()
    }
    fn site_of(&self, device: &str) -> Option<&str> {
        self.0.contains_key(device).then_some(SITE)
    }
    fn of_coordinates(&self, _: &str, _: f64, _: f64) -> Option<Place> {
        None
    }
}

/// The registry of a fixture; empty where it has none.
fn registry(rule: &str) -> Registry {
    let text = std::fs::read_to_string(root().join(format!("fixtures/rules/{rule}/devices.csv")))
        .unwrap_or_default();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let at = |row: &[&str]| (row[3].parse::<f64>().unwrap(), row[4].parse::<f64>().unwrap());
    let cells = cells(&rows.iter().map(|row| at(row)).collect::<Vec<_>>());
    let mut devices = Vec::new();
    let (mut places, mut table) = (BTreeMap::new(), Vec::new());
    for (row, cell) in rows.iter().zip(cells) {
        let (lon, lat) = at(row);
        let links: Vec<String> =
            row[9].split(';').filter(|link| !link.is_empty()).map(str::to_owned).collect();
        table.push(json!({
            "id": row[0], "type": row[1], "site": row[2], "lon": lon, "lat": lat, "in_service": row[8] == "true",
            "links": links, "cell": cell,
        }));
        places.insert(row[0].to_owned(), Place { lon, lat, floor: Some(1), cell: Cell::from_i64(cell) });
        devices.push(Device {
            id: row[0].into(),
            kind: row[1].into(),
            site: row[2].into(),
            lon,
            lat,
            floor: Some(1),
            footprint: None,
            expected_heartbeat_s: row[7].parse().ok(),
            in_service: row[8] == "true",
            links,
            source: None,
        });
    }
    let tables = BTreeMap::from([("devices".to_owned(), batch(catalog::devices(), &table))]);
    Registry { devices, places: Arc::new(Registered(places)), tables }
}

/// A hit as a line of `expected.csv`.
fn line(hit: &RuleHit) -> String {
    let transition = serde_json::to_value(hit.transition).unwrap();
    let (window_start, at) = (hit.window_start, hit.at);
    format!(
        "{},{},{window_start},{at},{},{}",
        hit.rule,
        hit.key,
        transition.as_str().unwrap(),
        hit.priority.get()
    )
}

fn expected(rule: &str) -> BTreeSet<String> {
    read(&format!("fixtures/rules/{rule}/expected.csv")).lines().skip(1).map(str::to_owned).collect()
}

/// What is left standing of the hits, folded by key as the last one counts.
#[derive(Default)]
struct Standing(BTreeMap<(String, EventTime, String), RuleHit>);

impl Standing {
    fn key(hit: &RuleHit) -> (String, EventTime, String) {
        (hit.key.clone(), hit.window_start, format!("{:?}", hit.transition))
    }

    fn fold(&mut self, effects: Effects) {
        for hit in effects.withdrawn_hits {
            self.0.remove(&Self::key(&hit));
        }
        for hit in effects.hits {
            self.0.insert(Self::key(&hit), hit);
        }
    }

    fn lines(&self) -> BTreeSet<String> {
        self.0.values().map(line).collect()
    }
}

/// Reads `records` in this order, each in a step of its own, and to the end.
fn live(rule: &str, records: &[(u128, &Record)]) -> Standing {
    let config = EngineConfig { default_lateness: LATENESS, ..EngineConfig::default() };
    let (mut engine, refusals) = Engine::new(config, &registry(rule), &files(rule)).unwrap();
    assert!(refusals.is_empty(), "{refusals:#?}");
    let partitions: Vec<_> =
        Topic::ALL.into_iter().map(|topic| (Partition::new(topic.name(), 0), topic)).collect();
    let first = records[0].1.time;
    engine.step(first, Input::Assigned(partitions.clone())).unwrap();
    for (partition, _) in partitions {
        engine.step(first, Input::AtEnd(partition)).unwrap();
    }
    let mut offsets: BTreeMap<Topic, i64> = BTreeMap::new();
    let mut standing = Standing::default();
    let mut now = first;
    for (identity, record) in records {
        let offset = offsets.entry(record.topic).or_default();
        now = now.max(record.time);
        standing.fold(engine.step(now, Input::Chunk(chunk(record, *offset, *identity))).unwrap());
        *offset += 1;
    }
    standing.fold(engine.step(now, Input::Finished).unwrap());
    standing
}

fn over_history(rule: &str, records: &[Record]) -> BTreeSet<String> {
    let registry = registry(rule);
    runtime().block_on(async {
        let context = session::batch_session();
        for topic in Topic::ALL {
            let rows: Vec<Value> = records
                .iter()
                .filter(|record| record.topic == topic)
                .zip(0..)
                .map(|(record, n)| row_at(record, n))
                .collect();
            let rows = batch(event::schema(topic), &rows);
            context
                .register_table(
                    topic.table(),
                    Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap()),
                )
                .unwrap();
        }
        for (name, rows) in &registry.tables {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
            context.register_table(name.as_str(), Arc::new(table)).unwrap();
        }
        register_functions(&context, &registry, None);
        let mut lines = BTreeSet::new();
        for file in files(rule) {
            for hit in hits_over_history(&context, &file).await.unwrap() {
                assert!(lines.insert(line(&hit)), "{} gives one row twice: {}", file.name, line(&hit));
            }
        }
        lines
    })
}

fn numbered(records: &[Record]) -> Vec<(u128, &Record)> {
    (0..).zip(records).collect()
}

fn assert_same(what: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let missing: Vec<_> = expected.difference(found).collect();
    let surplus: Vec<_> = found.difference(expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{what}\nmissing {missing:#?}\nsurplus {surplus:#?}");
}

#[test]
fn every_rule_finds_over_history_what_its_fixture_expects() {
    for rule in RULES {
        assert_same(rule, &over_history(rule, &records(rule)), &expected(rule));
    }
}

#[test]
fn every_rule_finds_live_what_its_fixture_expects() {
    for rule in RULES {
        let records = records(rule);
        assert_same(rule, &live(rule, &numbered(&records)).lines(), &expected(rule));
    }
}

#[test]
fn disorder_within_the_lateness_and_duplicates_change_no_hit() {
    for rule in RULES {
        let records = records(rule);
        for seed in 0..2 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut arriving: Vec<(i64, (u128, &Record))> = Vec::new();
            for numbered in numbered(&records) {
                for _ in 0..random.random_range(1..=2) {
                    arriving.push((numbered.1.time.millis() + random.random_range(0..9_900), numbered));
                }
            }
            arriving.sort_by_key(|(at, (number, _))| (*at, *number));
            let arriving: Vec<_> = arriving.into_iter().map(|(_, numbered)| numbered).collect();
            assert_same(&format!("{rule}, seed {seed}"), &live(rule, &arriving).lines(), &expected(rule));
        }
    }
}

#[test]
fn an_exercise_is_a_drill_and_only_an_exercise_is() {
    for rule in ["r01", "r06", "r07", "r10", "r13", "r15"] {
        let records = records(rule);
        let is_exercise = |hit: &RuleHit| {
            let of_input = |id: &str| records.iter().find(|record| record.row["id"] == id).unwrap();
            hit.inputs.iter().all(|input| of_input(&input.id).row["status"] == "exercise")
        };
        let standing = live(rule, &numbered(&records));
        assert!(standing.0.values().any(|hit| hit.drill), "{rule} has an exercise in its fixture");
        for hit in standing.0.values() {
            assert_eq!(hit.drill, is_exercise(hit), "{}", line(hit));
        }
    }
}
