//! The path of a record, without Kafka and without disks: decoder, engine, book.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use hexwatch_alarm::{Book, Settings, Surroundings};
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::{Account, Cell, Chunk, EventTime, ManualClock, Partition, Topic};
use hexwatch_ingest::{Decoder, Record as Raw, Tolerances};
use hexwatch_sql::QueryFile;
use hexwatch_stream::{Effects, Engine, EngineConfig, Input, Loan};
use serde_json::Value;

use super::seeds::Dice;
use super::world::{Record, Site, registry, start};

/// Two views and three rules of the repository.
pub fn some_files() -> Vec<QueryFile> {
    let names = ["r06_denied_then_entry", "r10_panic", "r15_smoke"];
    views().chain(rules().filter(|file| names.contains(&file.name.as_str()))).collect()
}

/// Two views and all rules of the repository.
pub fn all_files() -> Vec<QueryFile> {
    views().chain(rules()).collect()
}

fn views() -> impl Iterator<Item = QueryFile> {
    ["views/heat_10s.sql", "views/sensor_silence.sql"].into_iter().map(|name| file(Path::new(name)))
}

/// All rules of the repository.
pub fn rules() -> impl Iterator<Item = QueryFile> {
    all_of("rules", 10)
}

/// All views of the repository.
pub fn all_views() -> impl Iterator<Item = QueryFile> {
    all_of("views", 4)
}

fn all_of(folder: &'static str, least: usize) -> impl Iterator<Item = QueryFile> {
    let mut names: Vec<_> =
        std::fs::read_dir(queries().join(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(names.len() >= least, "the repository's own {folder} are gone");
    names.into_iter().map(move |name| file(&Path::new(folder).join(name)))
}

fn queries() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries")
}

fn file(name: &Path) -> QueryFile {
    let text = std::fs::read_to_string(queries().join(name)).unwrap();
    QueryFile::parse(&name.display().to_string(), &text).unwrap()
}

/// How records are on their way.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// They are out of order by up to this.
    pub disorder_ms: usize,
    /// Chunks of up to so many records.
    pub chunk: usize,
    /// Whether the partitions are read one after another, as a backlog may be.
    pub backlog: bool,
    /// Whether queries are run elsewhere while more is read, and come back in any order.
    pub lends: bool,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub account: Account,
    pub suspect: u64,
    /// By query and key, the row: of two of one key the later counts.
    pub rows: BTreeMap<String, String>,
    /// By id, every alarm as it stands at the end.
    pub alarms: BTreeMap<String, String>,
    /// How many changes were told.
    pub changes: usize,
}

/// Where records are live, none waits longer than this for a chunk to fill: half a second, and the reader is quicker. In a
/// partition that had been idle it would come after its window, and correct it; that is another law.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// What partitions hold, with what the broker calls it: when each record came.
pub type Log = BTreeMap<(Topic, i32), Vec<(EventTime, Record)>>;

/// Sends `records`, each to its partition.
pub fn sent(records: &[Record], disorder_ms: usize, dice: &mut Dice) -> Log {
    let mut arriving: Vec<(EventTime, Record)> = records
        .iter()
        .map(|record| {
            (record.arrived + Duration::from_millis(dice.below(disorder_ms + 1) as u64), record.clone())
        })
        .collect();
    arriving.sort_by_key(|(at, _)| *at);
    let mut log = Log::new();
    for (at, record) in arriving {
        log.entry((record.topic(), record.partition())).or_default().push((at, record));
    }
    log
}

/// Chunks of records `from` an offset on, each with when it is read.
pub fn chunks(
    (topic, number): (Topic, i32),
    (records, from): (&[(EventTime, Record)], usize),
    site: Site,
    way: Way,
    dice: &mut Dice,
) -> Vec<(EventTime, Chunk)> {
    let clock = Arc::new(ManualClock::at(start()));
    let (partition, first) = (Partition::new(topic.name(), number), i64::try_from(from).unwrap());
    let mut decoder = Decoder::new(partition, topic, first, Tolerances::default(), Arc::new(site), clock);
    let (mut found, mut length) = (Vec::new(), 1 + dice.below(way.chunk));
    let mut pending: Option<(EventTime, EventTime)> = None;
    for (offset, (at, record)) in (first..).zip(&records[from..]) {
        let waits = |(first, _): (EventTime, EventTime)| !way.backlog && at.since(first) > LONGEST_WAIT;
        if let Some(times) = pending.filter(|times| waits(*times) || decoder.pending() >= length as u64) {
            found.push((times.1, decoder.finish().unwrap()));
            (pending, length) = (None, 1 + dice.below(way.chunk));
        }
        let value = record.value();
        // The broker's time is when the record was sent: how long it took is what disorder is.
        decoder.push(&Raw {
            offset,
            timestamp: Some(record.arrived),
            key: None,
            value: Some(&value),
            headers: &[],
        });
        pending = Some((pending.map_or(*at, |(first, _)| first), *at));
    }
    found.extend(pending.map(|(_, last)| (last, decoder.finish().unwrap())));
    found
}

/// The partitions of all topics.
pub fn partitions() -> Vec<(Partition, Topic)> {
    let of = |topic: &Topic| {
        let topic = *topic;
        (0..2).map(move |number| (Partition::new(topic.name(), number), topic))
    };
    Topic::ALL.iter().flat_map(of).collect()
}

/// An engine over `files`.
pub fn engine(files: &[QueryFile], site: Site) -> Engine {
    let (engine, refusals) = Engine::new(EngineConfig::default(), &registry(site), files).unwrap();
    assert!(refusals.is_empty(), "{refusals:?}");
    engine
}

/// Sends `records` on their `way`.
pub fn travel(files: &[QueryFile], site: Site, records: &[Record], way: Way, dice: &mut Dice) -> Outcome {
    let log = sent(records, way.disorder_ms, dice);
    let mut read: Vec<(EventTime, Chunk)> = log
        .iter()
        .flat_map(|(partition, records)| chunks(*partition, (records, 0), site, way, dice))
        .collect();
    if !way.backlog {
        read.sort_by_key(|(at, _)| *at);
    }
    let mut reading = Reading::new(files, site);
    reading.step(start(), Input::Assigned(partitions()));
    if !way.backlog {
        for (partition, _) in partitions() {
            reading.step(start(), Input::AtEnd(partition));
        }
    }
    for (at, chunk) in read {
        if way.lends {
            reading.step_ahead(at, Input::Chunk(chunk));
            reading.lend_and_take_back(at, dice);
        } else {
            reading.step(at, Input::Chunk(chunk));
        }
    }
    reading.take_all_back();
    let end = start() + Duration::from_mins(20);
    for (partition, _) in partitions() {
        reading.step(end, Input::AtEnd(partition));
    }
    reading.step(end + Duration::from_mins(1), Input::Tick);
    reading.step(end + Duration::from_mins(1), Input::Finished);
    reading.told()
}

/// A book that nobody has written in.
pub fn book() -> Book {
    Book::new(Settings::default(), nowhere)
}

/// There is no map.
pub fn nowhere(_: Cell) -> Surroundings {
    Surroundings::default()
}

struct Reading<'a> {
    files: &'a [QueryFile],
    engine: Engine,
    lent: Vec<Loan>,
    book: Book,
    outcome: Outcome,
}

impl<'a> Reading<'a> {
    fn new(files: &'a [QueryFile], site: Site) -> Self {
        let engine = engine(files, site);
        Self { files, engine, lent: Vec::new(), book: book(), outcome: Outcome::default() }
    }

    fn step(&mut self, now: EventTime, input: Input) {
        let effects = self.engine.step(now, input).unwrap();
        self.take(effects);
    }

    fn step_ahead(&mut self, now: EventTime, input: Input) {
        let effects = self.engine.step_ahead(now, input).unwrap();
        self.take(effects);
    }

    fn lend_and_take_back(&mut self, now: EventTime, dice: &mut Dice) {
        for due in self.engine.due(now) {
            if dice.one_in(2) {
                self.lent.extend(self.engine.lend(due));
            }
        }
        while !self.lent.is_empty() && !dice.one_in(3) {
            let loan = self.lent.swap_remove(dice.below(self.lent.len()));
            self.take_back(now, loan);
        }
    }

    fn take_all_back(&mut self) {
        while let Some(loan) = self.lent.pop() {
            self.take_back(start(), loan);
        }
    }

    fn take_back(&mut self, now: EventTime, loan: Loan) {
        let effects = self.engine.take_back(now, loan.run().unwrap()).unwrap();
        self.take(effects);
    }

    fn take(&mut self, effects: Effects) {
        for (_, account) in effects.accounts {
            self.outcome.account += account;
        }
        for batch in effects.admitted.iter().chain(&effects.late) {
            let quality = batch.records.column_by_name("time_quality").unwrap().as_string::<i32>();
            self.outcome.suspect +=
                quality.iter().filter(|quality| *quality == Some("suspect")).count() as u64;
            for (device, state, at) in states(&batch.records) {
                self.book.device_state(&device, &state, at);
            }
        }
        // Nothing but event time may tell in an alarm, so the wall clock stands still.
        let changes = self.book.revise(&effects.withdrawn_hits, &effects.hits, start());
        self.outcome.changes += changes.len();
        for rows in effects.rows {
            let file = self.files.iter().find(|file| *file.name == *rows.view).unwrap();
            for (key, _) in keyed(file, &rows.withdrawn) {
                self.outcome.rows.remove(&key);
            }
            self.outcome.rows.extend(keyed(file, &rows.records));
        }
    }

    fn told(mut self) -> Outcome {
        self.outcome.alarms = self.book.alarms().filter_map(shown).collect();
        for alarm in self.outcome.alarms.values_mut() {
            *alarm = wherever_it_stood(alarm);
        }
        self.outcome
    }
}

/// What devices say of themselves in rows of `iot`.
fn states(records: &RecordBatch) -> Vec<(String, String, EventTime)> {
    let Some(states) = records.column_by_name("state") else { return Vec::new() };
    let (states, devices) = (states.as_string::<i32>(), records["device"].as_string::<i32>());
    let times = records["time"].as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    let said = states.iter().zip(devices).zip(times.values());
    said.filter_map(|((state, device), time)| {
        Some((device?.to_owned(), state?.to_owned(), EventTime::from_micros(*time)))
    })
    .collect()
}

/// An alarm by its id, with everything that is published of it but when it was told. One that was taken back is as if it
/// had never been.
pub fn shown(alarm: &Alarm) -> Option<(String, String)> {
    let mut row = serde_json::to_value(alarm).unwrap();
    if row["note"] == "withdrawn" {
        assert_eq!(row["state"], "normal");
        return None;
    }
    let members = row.as_object_mut().unwrap();
    for name in ["seq", "emitted_at"] {
        assert!(members.remove(name).is_some(), "an alarm has no {name}");
    }
    Some((alarm.alarm_id.to_string(), row.to_string()))
}

/// An alarm without where its records stood: a shuffle moves them.
fn wherever_it_stood(alarm: &str) -> String {
    let mut row: Value = serde_json::from_str(alarm).unwrap();
    let inputs = row["inputs"].as_array_mut().unwrap();
    for input in inputs.iter_mut() {
        input.as_object_mut().unwrap().remove("offset");
    }
    // They stand in the order of their positions.
    inputs.sort_by_key(Value::to_string);
    row.to_string()
}

/// Rows of `file` by its name and their key.
pub fn keyed(file: &QueryFile, rows: &RecordBatch) -> Vec<(String, String)> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    let rows: Vec<Value> =
        if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes).unwrap() };
    let key = |row: &Value| {
        let parts: Vec<String> = file.key.iter().map(|name| row[name].to_string()).collect();
        format!("{} {}", file.name, parts.join("/"))
    };
    rows.iter().map(|row| (key(row), row.to_string())).collect()
}
