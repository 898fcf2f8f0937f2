//! What the examples share: records, a decoder of them, and the processor time it takes.

#![allow(unreachable_pub, dead_code, reason = "shared by the examples, of which none takes all")]

use std::fs::DirEntry;
use std::sync::Arc;

use hexwatch_contract::site::{Place, Places};
use hexwatch_contract::{Cell, DeadLetter, EventTime, Partition, SystemClock, Topic};
use hexwatch_ingest::{Decoder, Record, Tolerances};

/// A registry that knows nothing: every place comes from the records, and is looked up once a device.
struct NoRegistry;

impl Places for NoRegistry {
    fn of_device(&self, _: &str) -> Option<Place> {
        None
    }

    fn site_of(&self, _: &str) -> Option<&str> {
        None
    }

    fn of_coordinates(&self, _: &str, lon: f64, lat: f64) -> Option<Place> {
        Some(Place { lon, lat, floor: None, cell: Cell::from_index(0x8c3_09a6_8a6b_03ff) })
    }
}

const NOW: i64 = 1_767_261_600_000;

/// A record as it should be.
pub fn body(number: usize) -> String {
    format!(
        r#"{{"id":"gw-3-{number:08}","source":"gw-3","time":"2026-01-01T10:00:0{}.{:03}Z","site":"plum-court","device":"smoke-{:04}","lon":121.47{:02},"lat":31.2304,"floor":{},"status":"actual","property":"smoke_obscuration","result":0.{:02},"unit":"dB/m","quality":"good","state":"normal","battery_pct":{}}}"#,
        number % 2,
        number % 1000,
        number % 2000,
        number % 100,
        number % 30,
        number % 100,
        50 + number % 50
    )
}

/// Makes a record wrong.
pub type Damage = fn(String) -> String;

/// What may be wrong with a record.
pub const DAMAGES: [(&str, Damage); 6] = [
    ("cut off", |text| text[..text.len() * 2 / 3].to_owned()),
    ("no JSON", |text| text.replace("\"lon\":", "\"lon\";")),
    ("a key twice", |text| text.replace("\"floor\":", "\"site\":")),
    ("a phone number", |text| text.replace("\"floor\":", "\"phone\":")),
    ("an unknown member", |text| text.replace("\"normal\"", "\"asleep\"")),
    ("out of range", |text| text.replace("31.2304", "131.2304")),
];

/// What became of some records.
#[derive(Clone, Copy, Default)]
pub struct Decoded {
    /// Processor seconds.
    pub seconds: f64,
    pub rows: usize,
    pub refused: usize,
}

/// Decodes `records` times one of `bodies`.
pub fn decode(bodies: &[String], records: usize) -> Decoded {
    let mut decoder = decoder();
    let (began, mut sum) = (cpu_seconds(), Decoded::default());
    let mut hand_over = |decoder: &mut Decoder| {
        if let Some(chunk) = decoder.finish() {
            sum.rows += chunk.events.records.num_rows();
            sum.refused += chunk.dead_letters.len();
        }
    };
    for (offset, body) in (0i64..).zip(bodies.iter().cycle().take(records)) {
        decoder.push(&record(offset, body));
        if decoder.pending() == 2048 {
            hand_over(&mut decoder);
        }
    }
    hand_over(&mut decoder);
    Decoded { seconds: cpu_seconds() - began, ..sum }
}

/// The dead letters of `bodies`, of which none can be a row, as their topic carries them.
pub fn letters(bodies: &[String]) -> Vec<Vec<u8>> {
    let mut decoder = decoder();
    for (offset, body) in (0i64..).zip(bodies) {
        decoder.push(&record(offset, body));
    }
    let letters = decoder.finish().map(|chunk| chunk.dead_letters).unwrap_or_default();
    assert_eq!(letters.len(), bodies.len(), "a damaged record became a row");
    let json = |letter: &Arc<DeadLetter>| {
        let mut json = Vec::new();
        letter.write_json(&mut json);
        json
    };
    letters.iter().map(json).collect()
}

fn decoder() -> Decoder {
    Decoder::new(
        Partition::new("iot", 0),
        Topic::Iot,
        0,
        Tolerances::default(),
        Arc::new(NoRegistry),
        Arc::new(SystemClock),
    )
}

fn record(offset: i64, body: &str) -> Record<'_> {
    Record {
        offset,
        timestamp: Some(EventTime::from_millis(NOW)),
        key: Some(b"smoke"),
        value: Some(body.as_bytes()),
        headers: &[],
    }
}

/// Processor seconds that the threads of this process have used, as long as none ends.
pub fn cpu_seconds() -> f64 {
    let of_thread = |thread: std::io::Result<DirEntry>| {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
    };
    std::fs::read_dir("/proc/self/task").unwrap().map(of_thread).sum()
}
