//! What damaged records cost the others: the decoder's throughput with one record in ten damaged, beside that without.
//!
//! `cargo run --release -p hexwatch-ingest --example damaged_rate [-- RECORDS]`
//!
//! Each kind of damage is measured by itself and then all of them mixed, in alternating runs of one process, so that what
//! else the machine does falls on both.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example speaks to the terminal")]

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
/// One in so many is damaged.
const EVERY: usize = 10;
const ROUNDS: usize = 7;

fn body(number: usize) -> String {
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

type Damage = fn(String) -> String;

/// What may be wrong with a record.
const DAMAGES: [(&str, Damage); 6] = [
    ("cut off", |text| text[..text.len() * 2 / 3].to_owned()),
    ("no JSON", |text| text.replace("\"lon\":", "\"lon\";")),
    ("a key twice", |text| text.replace("\"floor\":", "\"site\":")),
    ("a phone number", |text| text.replace("\"floor\":", "\"phone\":")),
    ("an unknown member", |text| text.replace("\"normal\"", "\"asleep\"")),
    ("out of range", |text| text.replace("31.2304", "131.2304")),
];

/// Processor seconds that this process has used.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Decodes `records` times one of `bodies`; gives the processor seconds and the dead letters.
fn decode(bodies: &[String], records: usize) -> (f64, usize) {
    let partition = Partition::new("iot", 0);
    let mut decoder = Decoder::new(
        partition,
        Topic::Iot,
        0,
        Tolerances::default(),
        Arc::new(NoRegistry),
        Arc::new(SystemClock),
    );
    let (before, mut refused) = (cpu_seconds(), 0);
    let mut hand_over = |decoder: &mut Decoder| {
        refused += decoder.finish().map_or(0, |chunk| chunk.dead_letters.len());
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
    (cpu_seconds() - before, refused)
}

fn damaged(kinds: &[Damage]) -> Vec<String> {
    let damage = |number: usize| match number % EVERY {
        0 => kinds[number / EVERY % kinds.len()](body(number)),
        _ => body(number),
    };
    (0..4_000).map(damage).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let records: usize = std::env::args().nth(1).map_or(1_000_000, |records| records.parse().unwrap());
    let clean: Vec<String> = (0..4_000).map(body).collect();
    let mut kinds: Vec<(&str, Vec<String>)> =
        DAMAGES.iter().map(|(name, damage)| (*name, damaged(&[*damage]))).collect();
    kinds.push(("all of them", damaged(&DAMAGES.map(|(_, damage)| damage))));
    for (name, bodies) in kinds {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(decode(&clean, records).0);
            let (seconds, refused) = decode(&bodies, records);
            assert_eq!(refused, records / EVERY, "{name}");
            with.push(seconds);
        }
        let (without, with) = (median(without), median(with));
        println!(
            "{name}: {:.0} records/s beside {:.0} undamaged, {:+.1} %; a damaged one costs {:.2} of a good one",
            records as f64 / with,
            records as f64 / without,
            (without / with - 1.0) * 100.0,
            1.0 + (with / without - 1.0) * EVERY as f64,
        );
    }
}
