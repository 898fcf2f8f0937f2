//! How many rows a second the decoder makes, and what a million of them costs.
//!
//! `cargo run --release -p hexwatch-ingest --example decode_rate [-- ROWS]`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example speaks to the terminal")]

use std::sync::Arc;
use std::time::Instant;

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

fn bodies() -> Vec<String> {
    (0..4096_u32)
        .map(|number| {
            format!(
                r#"{{"id":"gw-3-{number:08}","source":"gw-3","time":"2026-01-01T10:00:0{}.{:03}Z","site":"plum-court","device":"smoke-{:04}","lon":121.47{:02},"lat":31.2304,"floor":{},"status":"actual","property":"smoke_obscuration","result":0.{:02},"unit":"dB/m","quality":"good","state":"normal","battery_pct":{}}}"#,
                number % 2, number % 1000, number % 2000, number % 100, number % 30, number % 100, 50 + number % 50
            )
        })
        .collect()
}

/// Seconds of processor time this process has used.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15 of the whole line, in ticks of 10 ms.
    let ticks = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn main() {
    let rows: usize = std::env::args().nth(1).map_or(2_000_000, |rows| rows.parse().unwrap());
    let bodies = bodies();
    let bytes: usize = bodies.iter().map(String::len).sum();
    let mut decoder = Decoder::new(
        Partition::new("iot", 0),
        Topic::Iot,
        0,
        Tolerances::default(),
        Arc::new(NoRegistry),
        Arc::new(SystemClock),
    );
    let (started, before) = (Instant::now(), cpu_seconds());
    let (mut kept, mut refused) = (0, 0);
    for (offset, body) in (0i64..).zip(bodies.iter().cycle().take(rows)) {
        decoder.push(&Record {
            offset,
            timestamp: Some(EventTime::from_millis(NOW)),
            key: None,
            value: Some(body.as_bytes()),
            headers: &[],
        });
        if decoder.pending() == 2048
            && let Some(chunk) = decoder.finish()
        {
            kept += chunk.events.records.num_rows();
            refused += chunk.dead_letters.len();
        }
    }
    if let Some(chunk) = decoder.finish() {
        kept += chunk.events.records.num_rows();
        refused += chunk.dead_letters.len();
    }
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - before);
    println!("{kept} rows, {refused} refused, {} bytes a record", bytes / bodies.len());
    println!("{:.0} rows/s, {:.3} CPU s a million", rows as f64 / wall, cpu / rows as f64 * 1e6);
}
