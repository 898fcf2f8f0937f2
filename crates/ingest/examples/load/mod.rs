//! What the examples that measure the decoder share: records, a decoder of them, and the processor time it takes.

#![allow(unreachable_pub, reason = "shared by the examples")]

use std::sync::Arc;

use hexwatch_contract::site::{Place, Places};
use hexwatch_contract::{Cell, EventTime, Partition, SystemClock, Topic};
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
    let mut decoder = Decoder::new(
        Partition::new("iot", 0),
        Topic::Iot,
        0,
        Tolerances::default(),
        Arc::new(NoRegistry),
        Arc::new(SystemClock),
    );
    let (began, mut sum) = (cpu_seconds(), Decoded::default());
    let mut hand_over = |decoder: &mut Decoder| {
        if let Some(chunk) = decoder.finish() {
            sum.rows += chunk.events.records.num_rows();
            sum.refused += chunk.dead_letters.len();
        }
    };
    for (offset, body) in (0i64..).zip(bodies.iter().cycle().take(records)) {
        decoder.push(&Record {
            offset,
            timestamp: Some(EventTime::from_millis(NOW)),
            key: Some(b"smoke"),
            value: Some(body.as_bytes()),
            headers: &[],
        });
        if decoder.pending() == 2048 {
            hand_over(&mut decoder);
        }
    }
    hand_over(&mut decoder);
    Decoded { seconds: cpu_seconds() - began, ..sum }
}

/// Processor seconds that this process has used.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}
