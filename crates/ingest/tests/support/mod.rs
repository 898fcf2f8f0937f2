//! What the decoder's tests and the example beside them share: records with an expectation.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use hexwatch_contract::site::{Place, Places};
use hexwatch_contract::{Cell, Chunk, EventTime, ManualClock, Partition, Topic};
use hexwatch_ingest::replay::{self, Recorded};
use hexwatch_ingest::{Decoder, Record, Tolerances};
use serde::Deserialize;

/// A registry of one button and one gate; every other place is where the record says.
pub struct Registry;

/// Where the registered devices are.
pub const REGISTERED: Place =
    Place { lon: 121.5, lat: 31.25, floor: Some(2), cell: Cell::from_index(0x8c3_09a6_8a6b_01ff) };

impl Places for Registry {
    fn of_device(&self, device: &str) -> Option<Place> {
        matches!(device, "btn-hall" | "gate-north").then_some(REGISTERED)
    }

    fn site_of(&self, device: &str) -> Option<&str> {
        self.of_device(device).map(|_| "plum-court")
    }

    fn of_coordinates(&self, _: &str, lon: f64, lat: f64) -> Option<Place> {
        let valid = (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat);
        valid.then_some(Place { lon, lat, floor: None, cell: Cell::from_index(0x8c3_09a6_8a6b_03ff) })
    }
}

/// A decoder of partition 0 of `topic`.
pub fn decoder(topic: Topic) -> Decoder {
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(1_767_261_600_000)));
    Decoder::new(Partition::new(topic.name(), 0), topic, 0, Tolerances::default(), Arc::new(Registry), clock)
}

/// What should become of a record.
#[derive(Deserialize, Debug)]
pub struct Expect {
    /// `accepted`, `suspect`, `dead_letter` or `late`.
    pub outcome: String,
    /// The dead letter's stage.
    pub stage: Option<String>,
    /// Its code.
    pub code: Option<String>,
    /// Its field.
    pub field: Option<String>,
    /// How far others are bound by it, where it says: `both`, `outcome` or `none`.
    pub binding: Option<String>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    expect: Expect,
}

/// A recorded event with what should become of it.
pub struct Expected {
    pub line: usize,
    pub case: String,
    pub record: Recorded,
    pub expect: Expect,
}

/// Reads a file of them.
pub fn read(path: &Path) -> Vec<Expected> {
    let lines = std::io::BufRead::lines(replay::open(path).unwrap());
    lines
        .enumerate()
        .map(|(number, line)| {
            let line = line.unwrap();
            let Case { case, expect } = serde_json::from_str(&line).unwrap();
            Expected { line: number + 1, case, record: Recorded::parse(&line).unwrap(), expect }
        })
        .collect()
}

/// Decodes one record alone.
pub fn decode(record: &Recorded) -> Chunk {
    let mut decoder = decoder(Topic::from_name(&record.topic).unwrap());
    push(&mut decoder, 0, record);
    decoder.finish().unwrap()
}

/// Pushes a record into a decoder.
pub fn push(decoder: &mut Decoder, offset: i64, record: &Recorded) {
    let headers: Vec<(&str, &[u8])> =
        record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    decoder.push(&Record {
        offset,
        timestamp: Some(record.timestamp),
        key: record.key.as_deref().map(str::as_bytes),
        value: record.value.as_deref(),
        headers: &headers,
    });
}

/// The text of a column's row; `None` where it is null.
pub fn text(chunk: &Chunk, column: &str, row: usize) -> Option<String> {
    let array = chunk.events.records.column_by_name(column).unwrap().as_string::<i32>();
    (!array.is_null(row)).then(|| array.value(row).to_owned())
}

/// In how far a record became what it should; `Ok` where it did.
pub fn compare(expected: &Expected) -> Result<(), String> {
    let chunk = decode(&expected.record);
    let expect = &expected.expect;
    let outcome = match (chunk.events.records.num_rows(), chunk.dead_letters.as_slice()) {
        (1, []) if text(&chunk, "time_quality", 0).as_deref() == Some("suspect") => "suspect",
        (1, []) => "accepted",
        (0, [_]) => "dead_letter",
        (rows, letters) => return Err(format!("{rows} rows and {} dead letters", letters.len())),
    };
    let wanted = if expect.outcome == "late" { "accepted" } else { expect.outcome.as_str() };
    let letter = chunk.dead_letters.first();
    let found = letter.map_or_else(
        || outcome.to_owned(),
        |letter| {
            format!(
                "{outcome} {} {} {:?} ({})",
                letter.stage.name(),
                letter.error_code,
                letter.field,
                letter.message
            )
        },
    );
    let differs = |wanted: &Option<String>, got: Option<&str>| {
        wanted.as_deref().is_some_and(|wanted| got != Some(wanted))
    };
    let wrong = outcome != wanted
        || letter.is_some_and(|letter| {
            differs(&expect.stage, Some(letter.stage.name()))
                || differs(&expect.code, Some(&letter.error_code))
                || differs(&expect.field, letter.field.as_deref())
        });
    if wrong { Err(format!("expected {expect:?}, got {found}")) } else { Ok(()) }
}
