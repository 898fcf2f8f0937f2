//! What a million device ids that nobody registered leave behind, and what one busy cell does to the others.
//!
//! `cargo run --release -p hexwatch --example many_devices [-- IDS [RECORDS]]`
//!
//! The decoder and the step machine with every view, rule and risk term of the repository read, one after another: a
//! thousand devices; as many new ids as asked for; the thousand again for an hour, so that everything of the ids is out
//! of reach; and all that once more. What the process holds after the second round is what it held after the first, or
//! something grows with every id. Then nine records in ten come from one cell.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "an example speaks to the terminal"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hexwatch::machine::{Effect, Machine, Parts, RowShape, Scores, Scoring};
use hexwatch_alarm::{Book, Settings, Surroundings};
use hexwatch_contract::site::{Place, Places};
use hexwatch_contract::{Account, Cell, EventTime, ManualClock, Partition, Topic};
use hexwatch_grid::{Site, cell};
use hexwatch_ingest::{Decoder, Record, Tolerances};
use hexwatch_risk::Terms;
use hexwatch_sql::QueryFile;
use hexwatch_stream::{Engine, EngineConfig, Input, Registry};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Records of one chunk.
const CHUNK: usize = 2_000;
/// What may be left between two rounds beside what any allocator keeps.
const SLACK_MB: f64 = 64.0;

struct Map;

impl Places for Map {
    fn of_device(&self, _: &str) -> Option<Place> {
        None
    }

    fn site_of(&self, _: &str) -> Option<&str> {
        None
    }

    fn of_coordinates(&self, _: &str, lon: f64, lat: f64) -> Option<Place> {
        cell::cell_at(lon, lat, hexwatch_contract::cell::EVENT_RESOLUTION).map(|cell| Place {
            lon,
            lat,
            floor: None,
            cell,
        })
    }
}

fn queries() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries")
}

fn files(folder: &str) -> Vec<QueryFile> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(queries().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let parse = |path: &PathBuf| {
        let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
        QueryFile::parse(&name, &std::fs::read_to_string(path).unwrap()).unwrap()
    };
    paths.iter().map(parse).collect()
}

fn machine() -> Machine {
    let config = EngineConfig::default();
    let site = Arc::new(Site::default());
    let terms = Terms::parse(&std::fs::read_to_string(queries().join("risk.toml")).unwrap()).unwrap();
    let scores = Scores::new(terms, config.correction_horizon, &site).unwrap();
    let files: Vec<QueryFile> =
        files("views").into_iter().chain(files("rules")).chain(scores.queries().to_vec()).collect();
    let tables = hexwatch_sql::catalog::site_rows(&site).unwrap();
    let tables = tables.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect();
    let registry = Registry { devices: Vec::new(), places: Arc::new(Map), tables };
    let (engine, refusals) = Engine::new(config, &registry, &files).unwrap();
    assert!(refusals.is_empty(), "{refusals:?}");
    Machine::new(Parts {
        engine,
        book: Book::new(Settings { remember: Duration::from_mins(15), ..Settings::default() }, |_: Cell| {
            Surroundings::default()
        }),
        scoring: Scoring::by(scores),
        shapes: Arc::new(files.iter().map(|file| (file.name.as_str().into(), RowShape::of(file))).collect()),
        kept: Topic::ALL.into(),
        told_until: BTreeMap::new(),
        default_site: "default".to_owned(),
    })
}

/// Megabytes that this process holds.
fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

struct Run {
    machine: Machine,
    decoder: Decoder,
    now: EventTime,
    offset: i64,
    account: Account,
    alarms: u64,
}

/// Who sends, and from where.
type Sender<'a> = &'a dyn Fn(usize) -> (String, f64, f64);

impl Run {
    fn new() -> Self {
        let now = EventTime::parse_rfc3339("2026-05-11T01:00:00Z").unwrap();
        let partition = Partition::new("iot", 0);
        let mut machine = machine();
        machine.step(now, Input::Assigned(vec![(partition.clone(), Topic::Iot)])).unwrap();
        machine.step(now, Input::AtEnd(partition.clone())).unwrap();
        let clock = Arc::new(ManualClock::at(now));
        let decoder = Decoder::new(partition, Topic::Iot, 0, Tolerances::default(), Arc::new(Map), clock);
        Self { machine, decoder, now, offset: 0, account: Account::default(), alarms: 0 }
    }

    /// Reads `count` records, spread over `span` of event time.
    fn read(&mut self, what: &str, count: usize, span: Duration, sender: Sender<'_>) -> f64 {
        let (started, before) = (Instant::now(), self.account.read);
        let pause = span / u32::try_from(count).unwrap();
        for number in 0..count {
            self.now = self.now + pause;
            let (device, lon, lat) = sender(number);
            // One in a hundred is out of order, so that what is remembered of devices is not nothing.
            let state = if number % 100 == 0 { "fault" } else { "normal" };
            let time = self.now.millis();
            let body = format!(
                r#"{{"id":"e{}","source":"gw","time":{time},"device":"{device}","lon":{lon},"lat":{lat},"property":"ch4","result":2.5,"unit":"%LEL","state":"{state}"}}"#,
                self.offset
            );
            let value = Some(body.as_bytes());
            self.decoder.push(&Record {
                offset: self.offset,
                timestamp: Some(self.now),
                key: None,
                value,
                headers: &[],
            });
            self.offset += 1;
            if self.offset % i64::try_from(CHUNK).unwrap() == 0 {
                self.hand_over();
            }
        }
        self.hand_over();
        let held = resident_mb();
        let rate = (self.account.read - before) as f64 / started.elapsed().as_secs_f64();
        println!("{what}: {held:.0} MB held, {rate:.0} records/s, {} alarm changes so far", self.alarms);
        held
    }

    fn hand_over(&mut self) {
        let Some(chunk) = self.decoder.finish() else { return };
        let effects = self.machine.step_ahead(self.now, Input::Chunk(chunk)).unwrap();
        self.note(&effects);
        let (effects, _) = self.machine.commit(self.now).unwrap();
        self.note(&effects);
        let effects = self.machine.tick(self.now);
        self.note(&effects);
    }

    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Account(_, account) => self.account += *account,
                Effect::Log(changes) => self.alarms += changes.len() as u64,
                _ => {}
            }
        }
    }
}

fn place(number: usize) -> (f64, f64) {
    (121.47 + (number % 40) as f64 * 0.0004, 31.23 + (number / 40 % 25) as f64 * 0.0004)
}

fn known(number: usize) -> (String, f64, f64) {
    let (lon, lat) = place(number % 1_000);
    (format!("gas-{}", number % 1_000), lon, lat)
}

fn main() {
    let argument = |number: usize, default: usize| {
        std::env::args().nth(number).map_or(default, |text| text.parse().unwrap())
    };
    let (ids, records) = (argument(1, 1_000_000), argument(2, 100_000));
    let mut path = Run::new();
    path.read("a thousand devices", records, Duration::from_mins(10), &known);
    let mut after = Vec::new();
    for round in 0..2 {
        let new = |number: usize| {
            let (lon, lat) = place(number);
            (format!("nobody-{round}-{number:09}"), lon, lat)
        };
        path.read(&format!("{ids} new ids"), ids, Duration::from_mins(10), &new);
        after.push(path.read("the thousand for an hour", records, Duration::from_hours(1), &known));
    }
    let busy = |number: usize| {
        if number.is_multiple_of(10) {
            known(number / 10)
        } else {
            (format!("gas-{}", number % 40), 121.47, 31.23)
        }
    };
    path.read("nine in ten from one cell", 2 * records, Duration::from_mins(10), &busy);
    assert!(
        path.account.balances() && path.account.late == 0 && path.account.dead_letter == 0,
        "{:?}",
        path.account
    );
    let grown = after[1] - after[0];
    println!(
        "grown from the first round to the second: {grown:.0} MB, {:.0} bytes an id",
        grown * 1_048_576.0 / ids as f64
    );
    assert!(grown < SLACK_MB, "something grows with every id");
}
