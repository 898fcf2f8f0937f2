//! What is ordinary is left out before a query runs; that changes no row. Devices say what is ordinary for hours, and
//! now and then for a short while something else, some of it late. What was ordinary is let go of as soon as it can matter
//! no more; that changes no row either, and a restart that reads again from there gives the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use hexwatch_contract::{Partition, Topic};
use hexwatch_stream::{Checkpoint, Engine, Input};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::equality::differences;
use super::files::{self, QueryFile};
use super::laws::{any_reading, for_seeds};
use super::world::{
    self, Delivery, Outcome, Reading, Record, after, again, begin, deliveries, end, engine_correcting,
    over_history, partitions, proceed,
};

/// What is said, and how late.
struct Talk {
    hours: f64,
    records: usize,
    /// Some records come up to so many seconds late.
    most_held: u64,
    /// For how long results are corrected.
    horizon: Duration,
}

/// Conditions of many kinds on what is rare, each told at once and told on time.
fn files() -> Vec<QueryFile> {
    const QUERIES: [&str; 6] = [
        // A difference to the least of a minute.
        r#"SELECT device, id, "time" AS at, rise FROM (
             SELECT device, id, "time", result - min(result) OVER (
               PARTITION BY device ORDER BY "time" RANGE BETWEEN INTERVAL '1 minute' PRECEDING AND CURRENT ROW
             ) AS rise FROM iot WHERE property = 'ch4'
           ) WHERE rise > 8"#,
        // So many of one kind before one of another.
        r#"SELECT device, id, "time" AS at, denials FROM (
             SELECT device, id, "time", event, count(CASE WHEN event = 'denied' THEN 1 END) OVER (
               PARTITION BY device ORDER BY "time" RANGE BETWEEN INTERVAL '2 minutes' PRECEDING AND CURRENT ROW
             ) AS denials FROM access WHERE event IN ('denied', 'granted')
           ) WHERE event = 'granted' AND denials >= 2"#,
        // Something that is not followed by something else.
        r#"SELECT s.device, s.id, s."time" + INTERVAL '1 minute' AS at FROM iot s
           WHERE s.state = 'alarm' AND NOT EXISTS (
             SELECT 1 FROM iot r WHERE r.device = s.device AND r.state = 'normal'
               AND r."time" > s."time" AND r."time" <= s."time" + INTERVAL '1 minute'
           )"#,
        // Something, and beside it what may not be there.
        r#"SELECT s.device, s.id || coalesce(c.id, '') AS id, s."time" AS at, c.state AS before FROM iot s
           LEFT JOIN iot c ON c.device = s.device AND coalesce(c.state, 'none') <> 'normal'
             AND c."time" >= s."time" - INTERVAL '3 minutes' AND c."time" < s."time"
           WHERE s.state IN ('alarm', 'prealarm')"#,
        // Two tables that meet by their cell, of which a device's own rows are judged first.
        r#"WITH alarms AS (
             SELECT device, id, cell, "time", max(CASE WHEN state = 'prealarm' THEN "time" END) OVER (
               PARTITION BY device ORDER BY "time" RANGE BETWEEN INTERVAL '5 minutes' PRECEDING AND CURRENT ROW
             ) AS warned, CASE WHEN state IS NOT NULL THEN state WHEN result >= 20 THEN 'alarm' ELSE 'normal' END AS says
             FROM iot
           )
           SELECT a.device, a.id || c.id AS id, greatest(a."time", c."time") AS at, a.warned, c.kind
           FROM alarms a JOIN camera_alert c ON c.cell = a.cell
             AND c."time" BETWEEN a."time" - INTERVAL '90 seconds' AND a."time" + INTERVAL '90 seconds'
           WHERE a.says = 'alarm' AND c.score >= 0.8"#,
        // One of either.
        r#"SELECT device, id, "time" AS at, quiet FROM (
             SELECT device, id, "time", state, result, max(CASE WHEN NOT coalesce(state = 'alarm', false) THEN "time" END)
               OVER (PARTITION BY device ORDER BY "time"
                 RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND INTERVAL '1 millisecond' PRECEDING) AS quiet
             FROM iot
             UNION ALL
             SELECT device, id, "time", event AS state, NULL AS result, NULL AS quiet FROM access
           ) WHERE state BETWEEN 'alarm' AND 'b' OR state = 'door_forced' OR (quiet IS NULL AND result > 15)"#,
    ];
    let view = |emit: &'static str| {
        (0..).zip(QUERIES).map(move |(number, sql)| {
            let key = "device, id, at";
            let text = format!(
                "-- title: Rare\n-- kind: view\n-- key: {key}\n-- time: at\n-- emit: {emit}\n{sql}\n"
            );
            files::parse(&format!("views/{emit}_{number}.sql"), &text)
        })
    };
    let mut all: Vec<_> = view("immediate").chain(view("on_close")).collect();
    all.extend(files::of_folder("rules").into_iter().filter(|file| file.name != "r17_sensor_silent"));
    all
}

/// What devices say: most of it is ordinary, and what is not comes in bursts.
fn happenings(seed: u64, talk: &Talk) -> Vec<Record> {
    let seconds = talk.hours * 3_600.0;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let bursts: Vec<f64> = (0..5).map(|_| random.random_range(0.0..seconds)).collect();
    let mut records = Vec::new();
    for number in 0..talk.records {
        let is_rare = random.random_range(0..4) == 0;
        let seconds = if is_rare {
            bursts[random.random_range(0..bursts.len())] + random.random_range(0.0..150.0)
        } else {
            random.random_range(0.0..seconds)
        };
        let (topic, device, body) = said(&mut random, is_rare);
        let mut record = Record::new(topic, &device, after(seconds), &format!("e{number}"), &body);
        if random.random_range(0..12) == 0 {
            record.held = Duration::from_secs(random.random_range(0..talk.most_held));
        }
        records.push(record);
    }
    records.sort_by_key(|record| record.time);
    records
}

fn said(random: &mut ChaCha8Rng, is_rare: bool) -> (Topic, String, Value) {
    let number = random.random_range(0..3);
    let one = |random: &mut ChaCha8Rng, words: &[&'static str]| words[random.random_range(0..words.len())];
    match random.random_range(0..5) {
        0 => {
            let state =
                if is_rare { one(random, &["alarm", "prealarm", "normal", "fault"]) } else { "normal" };
            let body = json!({ "property": "smoke_obscuration", "state": state, "result": 0.1 });
            (Topic::Iot, format!("smoke-{number}"), body)
        }
        1 => {
            let most = if is_rare { 300 } else { 20 };
            let result = f64::from(random.random_range(0..most)) / 10.0;
            let body = json!({ "property": "ch4", "result": result, "unit": "%LEL" });
            (Topic::Iot, format!("ch4-{}", number % 2), body)
        }
        2 | 3 => {
            let event = if is_rare {
                one(random, &["denied", "denied", "granted", "door_forced"])
            } else {
                "granted"
            };
            let body = json!({ "event": event, "reason": "InvalidPIN", "credential_ref": "r1" });
            (Topic::Access, format!("access_point-{number}"), body)
        }
        _ => {
            let score = if is_rare { 0.9 } else { 0.3 };
            let kind = one(random, &["loitering", "smoke", "flame"]);
            let body = json!({ "kind": kind, "object_class": "human", "score": score, "count": 1 });
            (Topic::CameraAlert, format!("camera-{number}"), body)
        }
    }
}

/// A slope is a sum that rows enter and leave: how it is rounded hangs on how many have.
fn without_slopes(results: &BTreeMap<(String, String), String>) -> BTreeMap<(String, String), String> {
    let without = |row: &String| {
        let mut row: Value = serde_json::from_str(row).unwrap();
        if let Some(measured) = row.get_mut("measured").and_then(Value::as_object_mut) {
            measured.remove("slope");
        }
        row.to_string()
    };
    results.iter().map(|(key, row)| (key.clone(), without(row))).collect()
}

/// Reads the deliveries, with a restart before each of `cuts`.
fn lived(files: &[QueryFile], deliveries: &[Delivery], horizon: Duration, cuts: &[usize]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut engine = started(files, deliveries, horizon, None);
    let mut rest = deliveries.to_vec();
    for cut in cuts {
        let ahead = deliveries.len() - cut;
        proceed(&mut engine, &rest[..rest.len() - ahead], files, &mut outcome);
        let checkpoint = engine.checkpoint().unwrap();
        rest = again(deliveries, &checkpoint);
        engine = started(files, deliveries, horizon, Some(checkpoint));
        let told = outcome.told;
        proceed(&mut engine, &rest.drain(..rest.len() - ahead).collect::<Vec<_>>(), files, &mut outcome);
        assert_eq!(outcome.told, told, "what was told before is told again");
    }
    proceed(&mut engine, &rest, files, &mut outcome);
    end(&mut engine, deliveries, files, &mut outcome);
    outcome
}

fn started(
    files: &[QueryFile],
    deliveries: &[Delivery],
    horizon: Duration,
    checkpoint: Option<Checkpoint>,
) -> Engine {
    let mut engine = engine_correcting(files, horizon);
    if let Some(checkpoint) = checkpoint {
        engine.restore(checkpoint);
    }
    begin(&mut engine, false);
    // Those that say nothing must not hold the others.
    let speaks = |silent: &Partition| deliveries.iter().any(|one| one.chunk.partition == *silent);
    for (silent, _) in partitions().into_iter().filter(|(partition, _)| !speaks(partition)) {
        engine.step(world::start(), Input::AtEnd(silent)).unwrap();
    }
    engine
}

/// Whatever the seed, what is told is what there is to tell; returns which queries had something.
fn all_is_told(files: &[QueryFile], seeds: u64, talk: &Talk) -> BTreeSet<String> {
    let spoken = Mutex::new(BTreeSet::new());
    for_seeds(seeds, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let records = happenings(seed, talk);
        let reading = Reading { uneven: false, ..any_reading(&mut random, seed, 9_900) };
        let deliveries = deliveries(&records, reading);
        let mut cuts = [0, 0].map(|_| random.random_range(1..deliveries.len()));
        cuts.sort_unstable();
        let outcome = lived(files, &deliveries, talk.horizon, &cuts[..random.random_range(0..=2)]);
        assert_eq!(outcome.accounts.accepted, records.len() as u64, "seed {seed}: {reading:?}");
        let history = over_history(files, &outcome);
        let differences = differences(&without_slopes(&outcome.results), &without_slopes(&history));
        assert!(differences.is_empty(), "seed {seed}, {reading:?}:\n{}", differences.join("\n"));
        spoken.lock().unwrap().extend(history.into_keys().map(|(query, _)| query));
    });
    spoken.into_inner().unwrap()
}

#[test]
fn what_is_rare_is_found_among_what_is_ordinary_as_it_is_over_history() {
    let files = files();
    let talk = Talk { hours: 3.0, records: 400, most_held: 500, horizon: Duration::from_mins(10) };
    let spoken = all_is_told(&files, 8, &talk);
    for file in files.iter().filter(|file| file.rule.is_none()) {
        assert!(spoken.contains(&file.name), "{} gave no row: the test says nothing of it", file.name);
    }
}

#[test]
fn what_is_rare_and_late_is_found_where_what_was_ordinary_is_hardly_kept() {
    let talk = Talk { hours: 1.0, records: 700, most_held: 30, horizon: Duration::from_secs(30) };
    let spoken = all_is_told(&files(), 8, &talk);
    assert!(["rule R13", "rule R15"].iter().all(|rule| spoken.contains(*rule)), "{spoken:?}");
}
