//! The path of a record, without Kafka and without disks: decoder, engine, book.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use hexwatch_alarm::{Book, Settings, Surroundings};
use hexwatch_contract::{Account, Cell, Chunk, EventTime, ManualClock, Partition, Topic};
use hexwatch_ingest::{Decoder, Record as Raw, Tolerances};
use hexwatch_sql::{Emit, QueryFile};
use hexwatch_stream::{Effects, Engine, EngineConfig, Input};
use serde_json::Value;

use super::seeds::Dice;
use super::world::{Record, Site, registry, start};

/// Two views and three rules of the repository.
pub fn files() -> Vec<QueryFile> {
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries");
    let names = [
        "views/heat_10s",
        "views/sensor_silence",
        "rules/r06_denied_then_entry",
        "rules/r10_panic",
        "rules/r15_smoke",
    ];
    let read = |name: &&str| {
        let text = std::fs::read_to_string(queries.join(format!("{name}.sql"))).unwrap();
        QueryFile::parse(&format!("{name}.sql"), &text).unwrap()
    };
    names.iter().map(read).collect()
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
}

/// Where records are live, none waits longer than this for a chunk to fill: half a second, and the reader is quicker. In a
/// partition that had been idle it would come after its window, and correct it; that is another law.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// One partition's records with what the broker calls them.
type Log = BTreeMap<(Topic, i32), Vec<(EventTime, Record)>>;

fn sent(records: &[Record], way: Way, dice: &mut Dice) -> Log {
    let mut arriving: Vec<(EventTime, Record)> = records
        .iter()
        .map(|record| {
            (record.arrived + Duration::from_millis(dice.below(way.disorder_ms + 1) as u64), record.clone())
        })
        .collect();
    arriving.sort_by_key(|(at, _)| *at);
    let mut log = Log::new();
    for (at, record) in arriving {
        log.entry((record.topic(), record.partition())).or_default().push((at, record));
    }
    log
}

/// The chunks in which a partition is read, each with when.
fn chunks(
    topic: Topic,
    number: i32,
    records: &[(EventTime, Record)],
    way: Way,
    dice: &mut Dice,
) -> Vec<(EventTime, Chunk)> {
    let clock = Arc::new(ManualClock::at(start()));
    let partition = Partition::new(topic.name(), number);
    let mut decoder = Decoder::new(partition, topic, 0, Tolerances::default(), Arc::new(Site), clock);
    let (mut found, mut length) = (Vec::new(), 1 + dice.below(way.chunk));
    let mut pending: Option<(EventTime, EventTime)> = None;
    for (offset, (at, record)) in (0..).zip(records) {
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

/// Sends `records` on their `way`.
pub fn travel(files: &[QueryFile], records: &[Record], way: Way, dice: &mut Dice) -> Outcome {
    let (mut engine, refusals) = Engine::new(EngineConfig::default(), &registry(), files).unwrap();
    assert!(refusals.is_empty(), "{refusals:?}");
    let log = sent(records, way, dice);
    let mut read: Vec<(EventTime, Chunk)> = log
        .iter()
        .flat_map(|((topic, number), records)| chunks(*topic, *number, records, way, dice))
        .collect();
    if !way.backlog {
        read.sort_by_key(|(at, _)| *at);
    }
    let partitions: Vec<(Partition, Topic)> = Topic::ALL
        .iter()
        .flat_map(|topic| (0..2).map(|number| (Partition::new(topic.name(), number), *topic)))
        .collect();
    let mut seen = Seen { files, book: book(), outcome: Outcome::default() };
    engine.step(start(), Input::Assigned(partitions.clone())).unwrap();
    if !way.backlog {
        for (partition, _) in &partitions {
            engine.step(start(), Input::AtEnd(partition.clone())).unwrap();
        }
    }
    for (at, chunk) in read {
        seen.take(engine.step(at, Input::Chunk(chunk)).unwrap());
    }
    let end = start() + Duration::from_mins(20);
    for (partition, _) in partitions {
        seen.take(engine.step(end, Input::AtEnd(partition)).unwrap());
    }
    seen.take(engine.step(end + Duration::from_mins(1), Input::Tick).unwrap());
    seen.take(engine.step(end + Duration::from_mins(1), Input::Finished).unwrap());
    seen.told()
}

fn book() -> Book {
    Book::new(Settings::default(), |_: Cell| Surroundings::default())
}

struct Seen<'a> {
    files: &'a [QueryFile],
    book: Book,
    outcome: Outcome,
}

impl Seen<'_> {
    fn take(&mut self, effects: Effects) {
        for (_, account) in effects.accounts {
            self.outcome.account += account;
        }
        for batch in effects.admitted.iter().chain(&effects.late) {
            let quality = batch.records.column_by_name("time_quality").unwrap().as_string::<i32>();
            self.outcome.suspect +=
                quality.iter().filter(|quality| *quality == Some("suspect")).count() as u64;
        }
        // Nothing but event time may tell in an alarm, so the wall clock stands still.
        self.book.withdraw_hits(&effects.withdrawn_hits, start());
        self.book.apply_hits(&effects.hits, start());
        for rows in effects.rows {
            let file = self.files.iter().find(|file| *file.name == *rows.view).unwrap();
            for (key, _) in keyed(file, &rows.withdrawn) {
                self.outcome.rows.remove(&key);
            }
            self.outcome.rows.extend(keyed(file, &rows.records));
        }
    }

    fn told(mut self) -> Outcome {
        for alarm in self.book.alarms() {
            let is_immediate = self.files.iter().any(|file| {
                file.emit == Emit::Immediate
                    && file.rule.as_ref().is_some_and(|rule| *rule.rule == *alarm.rule)
            });
            let row = serde_json::to_value(alarm).unwrap();
            let told = if is_immediate { final_state(&row) } else { Some(without_place_in_time(row)) };
            self.outcome.alarms.extend(told.map(|row| (alarm.alarm_id.to_string(), row.to_string())));
        }
        self.outcome
    }
}

/// An alarm without what says in which order sites heard of it, and where its records stood.
fn without_place_in_time(mut row: Value) -> Value {
    let members = row.as_object_mut().unwrap();
    for name in ["seq", "emitted_at"] {
        assert!(members.remove(name).is_some(), "an alarm has no {name}");
    }
    let inputs = members["inputs"].as_array_mut().unwrap();
    for input in inputs.iter_mut() {
        input.as_object_mut().unwrap().remove("offset");
    }
    // They stand in the order of their positions, which a shuffle moves.
    inputs.sort_by_key(Value::to_string);
    row
}

/// What does not wait for the watermark is raised on what is known by then, and corrected: it is compared by how it
/// stands in the end. What was taken back is as if it had never been.
fn final_state(row: &Value) -> Option<Value> {
    if row["note"] == "withdrawn" && row["state"] == "normal" {
        return None;
    }
    let kept = [
        "rule",
        "class",
        "key",
        "site",
        "device",
        "cell",
        "state",
        "priority",
        "raised_at",
        "confirm_level",
        "drill",
    ];
    Some(kept.into_iter().map(|name| (name, row[name].clone())).collect())
}

fn keyed(file: &QueryFile, rows: &RecordBatch) -> Vec<(String, String)> {
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
