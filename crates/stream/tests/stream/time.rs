//! Clocks, silence and backlogs: what moves the watermark, and what does not.

use std::time::Duration;

use hexwatch_contract::{Partition, Topic};
use hexwatch_stream::Input;
use serde_json::json;

use super::files::{self, QueryFile};
use super::world::{
    self, Outcome, PLAIN, Reading, Record, after, begin, chunk, deliveries, engine, happenings, read, start,
};

pub(crate) fn counts() -> Vec<QueryFile> {
    vec![files::parse(
        "counts.sql",
        "-- kind: view\n-- key: device, window_start\n-- time: window_end\n\
         SELECT device, date_bin(INTERVAL '10 seconds', \"time\") AS window_start, \
         date_bin(INTERVAL '10 seconds', \"time\") + INTERVAL '10 seconds' AS window_end, count(*) AS events \
         FROM access GROUP BY device, date_bin(INTERVAL '10 seconds', \"time\")",
    )]
}

fn opening(device: &str, seconds: f64, id: &str) -> Record {
    Record::new(Topic::Access, device, after(seconds), id, &json!({ "event": "door_open" }))
}

#[test]
fn one_event_a_year_ahead_changes_nothing_for_others() {
    let files: Vec<_> = files::of_folder("views");
    let records = happenings(11);
    let reading = Reading { seed: 11, disorder: Duration::from_secs(9), ..PLAIN };
    let plain = read(&files, &deliveries(&records, reading), true);
    // Its clock and its gateway's lie alike: not even the time that ingest falls back on is any good.
    let mut liar =
        Record::new(Topic::Patrol, "officer-x", after(60.0), "liar", &json!({ "kind": "checkpoint" }));
    liar.body.insert("time".into(), after(365.0 * 86_400.0).to_string().into());
    liar.body.insert("time_quality".into(), "suspect".into());
    let mut with = records.clone();
    with.insert(with.partition_point(|record| record.time < liar.time), liar);
    let outcome = read(&files, &deliveries(&with, reading), true);
    assert_eq!((outcome.accounts.accepted, outcome.accounts.late), (plain.accounts.accepted + 1, 0));
    assert_eq!(outcome.results, plain.results);
}

#[test]
fn a_silent_partition_delays_windows_by_the_idle_timeout_and_no_more() {
    let files = counts();
    let mut engine = engine(&files);
    let mut outcome = Outcome::default();
    begin(&mut engine, true);
    let records: Vec<Record> =
        (0..40).map(|second| opening("door-1", f64::from(second), &second.to_string())).collect();
    let (partition, number) = (world::partition_of(&records[0]), records[0].partition);
    for (offset, record) in (0..).zip(&records) {
        let input = Input::Chunk(chunk(Topic::Access, number, offset, std::slice::from_ref(record)));
        outcome.fold(engine.step(record.time, input).unwrap(), &files);
    }
    assert_eq!(
        outcome.results.len(),
        2,
        "the other partitions have been silent for 30 s: door-1 leads, 10 s behind"
    );
    let silent = partition.clone();
    engine.step(after(40.0), Input::Behind(Partition::new("access", 1 - silent.partition))).unwrap();
    let before = engine.watermark();
    outcome.fold(engine.step(after(500.0), Input::Tick).unwrap(), &files);
    assert_eq!(engine.watermark(), before, "a partition with a backlog holds, however long it is silent");
    let caught_up = Input::AtEnd(Partition::new("access", 1 - silent.partition));
    outcome.fold(engine.step(after(600.0), caught_up).unwrap(), &files);
    assert_eq!(outcome.results.len(), 4, "when all are silent the clock closes the windows");
}

#[test]
fn a_timer_fires_while_everything_is_silent() {
    let files: Vec<_> =
        files::of_folder("views").into_iter().filter(|file| file.name == "sensor_silence").collect();
    let mut engine = engine(&files);
    let mut outcome = Outcome::default();
    begin(&mut engine, true);
    let alive = Record::new(Topic::Iot, "smoke-0", start(), "alive", &json!({ "heartbeat": true }));
    let input = Input::Chunk(chunk(Topic::Iot, alive.partition, 0, std::slice::from_ref(&alive)));
    outcome.fold(engine.step(start(), input).unwrap(), &files);
    for second in 1..100 {
        outcome.fold(engine.step(after(f64::from(second)), Input::Tick).unwrap(), &files);
    }
    assert!(outcome.results.is_empty(), "90 s of silence are over at 90 s, and the watermark is 10 s behind");
    outcome.fold(engine.step(after(101.0), Input::Tick).unwrap(), &files);
    assert!(outcome.results.values().any(|row| row.contains("smoke-0") && row.contains("silent")));
}

#[test]
fn a_backlog_read_unevenly_loses_nothing() {
    let files = counts();
    let records = happenings(12);
    let even = read(&files, &deliveries(&records, PLAIN), false);
    let uneven = read(&files, &deliveries(&records, Reading { seed: 12, uneven: true, ..PLAIN }), false);
    assert_eq!(uneven.accounts.late, 0);
    assert_eq!(uneven.results, even.results);
}
