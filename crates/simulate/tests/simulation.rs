//! Records: reproducible, in order, by the contract, and true to what was injected.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hexwatch_contract::event::{COMMON, Kind, columns, entity};
use hexwatch_contract::{EventTime, Topic};
use hexwatch_simulate::{Community, Extent, Faults, Record, Scenario, SimulateConfig, Simulation, Truth};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// 2026-01-05T00:00:00Z, a Monday morning in Hangzhou.
const START: EventTime = EventTime::from_millis(1_767_571_200_000);

fn config(seed: u64, rate: f64, extent: Extent) -> SimulateConfig {
    SimulateConfig { extent, ..SimulateConfig::endless(seed, START, rate) }
}

fn simulate(config: SimulateConfig) -> (Vec<Record>, Vec<Truth>) {
    let mut simulation = Simulation::new(Community::build(config.seed, 480), config);
    let records: Vec<Record> = simulation.by_ref().collect();
    (records, simulation.take_truth())
}

fn minutes(minutes: u64) -> Extent {
    Extent::Duration(Duration::from_secs(minutes * 60))
}

fn digest(records: &[Record]) -> String {
    let mut hash = Sha256::new();
    let mut line = Vec::new();
    for record in records {
        line.clear();
        record.write_line(&mut line);
        hash.update(&line);
    }
    let digest = hash.finalize();
    format!("{:016x}", u64::from_be_bytes(digest[..8].try_into().unwrap()))
}

fn body(record: &Record) -> Value {
    serde_json::from_slice(&record.value)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&record.value)))
}

/// `time` in epoch milliseconds, however it is written.
fn time_of(body: &Value) -> i64 {
    let time = &body["time"];
    time.as_i64().unwrap_or_else(|| EventTime::parse_rfc3339(time.as_str().unwrap()).unwrap().millis())
}

#[test]
fn a_seed_gives_the_same_bytes_everywhere() {
    let (records, _) = simulate(config(42, 100.0, Extent::Events(10_000)));
    assert_eq!(records.len(), 10_000);
    assert_eq!(digest(&records), "9e3fc0ec89a844f8");
}

#[test]
fn another_seed_gives_other_records() {
    let of = |seed| digest(&simulate(config(seed, 100.0, Extent::Events(1_000))).0);
    assert_ne!(of(1), of(2));
}

#[test]
fn records_come_in_the_order_of_their_kafka_timestamps_and_at_the_rate() {
    for rate in [20.0, 200.0, 1_000.0] {
        let (records, _) = simulate(config(5, rate, minutes(3)));
        assert!(records.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp));
        let share = records.len() as f64 / (rate * 180.0);
        assert!((0.93..1.07).contains(&share), "{} records at {rate} a second", records.len());
    }
}

#[test]
fn every_well_formed_record_keeps_to_the_contract() {
    let (records, _) = simulate(config(9, 60.0, minutes(10)));
    let mut topics = BTreeSet::new();
    for record in records.iter().filter(|record| record.well_formed) {
        let body = body(record);
        let allowed: Vec<_> = COMMON.iter().chain(columns(record.topic)).collect();
        for (name, value) in body.as_object().unwrap() {
            let column = allowed.iter().find(|column| column.name == name);
            let column = column.unwrap_or_else(|| panic!("{name} is no field of {}: {body}", record.topic));
            assert!(fits(column.kind, value), "{name} of {body}");
        }
        for column in allowed.iter().filter(|column| column.required) {
            assert!(!body[column.name].is_null(), "{} is missing in {body}", column.name);
        }
        let named = body.get(entity(record.topic)).or_else(|| body.get("device"));
        assert!(named.is_some_and(Value::is_string), "no entity in {body}");
        topics.insert(record.topic);
    }
    assert_eq!(topics.len(), Topic::ALL.len());
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.as_str().is_some_and(|text| !text.is_empty()),
        Kind::Member(members) => value.as_str().is_some_and(|word| members.contains(&word)),
        Kind::Float => value.is_number(),
        Kind::FloatIn(low, high) => value.as_f64().is_some_and(|number| (low..=high).contains(&number)),
        Kind::IntIn(low, high) => value.as_i64().is_some_and(|number| (low..=high).contains(&number)),
        Kind::Bool => value.is_boolean(),
        Kind::Time => {
            value.is_i64() || value.as_str().is_some_and(|text| EventTime::parse_rfc3339(text).is_some())
        }
    }
}

#[test]
fn malformed_records_survive_a_recording_in_base64() {
    let faults = Faults { malformed: 0.05, ..Faults::none() };
    let (records, _) = simulate(SimulateConfig { faults, ..config(2, 100.0, Extent::Events(5_000)) });
    let malformed: Vec<_> = records.iter().filter(|record| !record.well_formed).collect();
    assert!((150..400).contains(&malformed.len()), "{} malformed", malformed.len());
    for record in malformed {
        let mut line = Vec::new();
        record.write_line(&mut line);
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert!(line["raw"].is_string() && line.get("value").is_none());
    }
}

#[test]
fn faults_come_in_the_shares_asked_for() {
    let faults =
        Faults { duplicates: 0.02, very_late: 0.02, too_late: 0.01, future_dated: 0.01, ..Faults::none() };
    let scenario = Scenario::Quiet;
    let (records, _) = simulate(SimulateConfig { faults, scenario, ..config(3, 60.0, minutes(30)) });
    let count = records.len() as f64;
    let bodies: Vec<(i64, Value)> =
        records.iter().map(|record| (record.timestamp.millis(), body(record))).collect();
    let ids: BTreeSet<&str> = bodies.iter().map(|(_, body)| body["id"].as_str().unwrap()).collect();
    let duplicates = (bodies.len() - ids.len()) as f64 / count;
    let behind = |low: i64, high: i64| {
        let within = bodies.iter().filter(|(kafka, body)| (low..high).contains(&(kafka - time_of(body))));
        within.count() as f64 / count
    };
    assert!((0.017..0.023).contains(&duplicates), "{duplicates} duplicates");
    // Only records that nothing hangs on are held up for long, and some are still on their way at the end.
    assert!((0.010..0.021).contains(&behind(14_000, 520_000)), "{} very late", behind(14_000, 520_000));
    assert!((0.003..0.011).contains(&behind(600_000, 1_300_000)), "{} too late", behind(600_000, 1_300_000));
    let future = bodies.iter().filter(|(kafka, body)| time_of(body) > kafka + 5_000).count() as f64 / count;
    assert!((0.008..0.013).contains(&future), "{future} in the future");
}

#[test]
fn records_that_are_late_by_more_than_the_skew_bound_carry_the_gateways_time() {
    let faults = Faults { very_late: 0.05, too_late: 0.02, ..Faults::none() };
    let (records, _) = simulate(SimulateConfig { faults, ..config(3, 100.0, minutes(20)) });
    for record in &records {
        let body = body(record);
        if record.timestamp.millis() - time_of(&body) > 10_000 {
            assert!(body["recorded_time"] != Value::Null, "{body}");
        }
    }
}

#[test]
fn the_default_scenario_shows_each_rule_within_ten_minutes_and_the_first_alarm_within_one() {
    let (_, truth) = simulate(config(11, 100.0, minutes(10)));
    let rules: BTreeSet<&str> = truth.iter().map(|row| row.rule).collect();
    assert_eq!(rules, BTreeSet::from(["R01", "R06", "R07", "R10", "R13", "R15", "R17"]));
    let first = truth.iter().map(|row| row.time).min().unwrap();
    assert_eq!(first, START + Duration::from_secs(15));
}

#[test]
fn over_an_hour_every_situation_is_played() {
    let (_, truth) = simulate(config(12, 40.0, minutes(60)));
    let played: BTreeSet<&str> = truth.iter().map(|row| row.situation).collect();
    assert_eq!(played.len(), 27, "{played:?}");
}

#[test]
fn each_rule_has_a_scenario_of_its_own() {
    for rule in ["R01", "R06", "R07", "R10", "R13", "R15", "R17"] {
        let scenario: Scenario = rule.to_lowercase().parse().unwrap();
        let (_, truth) = simulate(SimulateConfig { scenario, ..config(1, 30.0, minutes(15)) });
        assert!(truth.iter().any(|row| row.rule == rule), "{rule}");
    }
    assert!("r99".parse::<Scenario>().unwrap_err().to_string().contains("`r99`"));
}

#[test]
fn a_quiet_day_has_no_truth_and_a_storm_is_a_flood() {
    let (_, quiet) = simulate(SimulateConfig { scenario: Scenario::Quiet, ..config(1, 50.0, minutes(10)) });
    assert!(quiet.is_empty());
    let (_, storm) = simulate(SimulateConfig { scenario: Scenario::Storm, ..config(1, 50.0, minutes(10)) });
    assert!(storm.len() > 40, "{} alarms", storm.len());
}

#[test]
fn the_load_is_three_topics_of_fifteen_fields() {
    let (records, truth) =
        simulate(SimulateConfig { scenario: Scenario::Heat, ..config(1, 1e5, Extent::Events(5_000)) });
    assert!(truth.is_empty());
    let mut bytes = 0;
    for record in &records {
        assert!([Topic::Access, Topic::CameraAlert, Topic::Iot].contains(&record.topic));
        assert_eq!(body(record).as_object().unwrap().len(), 15, "{}", body(record));
        bytes += record.value.len();
    }
    let mean = bytes / records.len();
    assert!((240..330).contains(&mean), "{mean} bytes a record");
}

#[test]
fn memory_is_flat_over_a_million_records() {
    let community = Arc::new(Community::build(1, 480));
    let mut simulation = Simulation::new(community, SimulateConfig::endless(1, START, 500.0));
    let mut most = [0_usize; 2];
    for (half, most) in most.iter_mut().enumerate() {
        for _ in 0..500_000 {
            assert!(simulation.next().is_some());
            *most = (*most).max(simulation.under_way());
        }
        assert!(*most < 20_000, "{most} under way in half {half}");
    }
    assert!(most[1] < most[0] * 3, "{most:?}");
}

/// What a rule must look at, without faults: (topic, time, body), by event time.
fn faultless(scenario: Scenario, rate: f64, extent: Extent) -> (Vec<(Topic, i64, Value)>, Vec<Truth>) {
    let (records, truth) =
        simulate(SimulateConfig { scenario, faults: Faults::none(), ..config(21, rate, extent) });
    let mut events: Vec<_> = records
        .iter()
        .map(|record| {
            let body = body(record);
            (record.topic, time_of(&body), body)
        })
        .collect();
    events.sort_by_key(|(_, time, _)| *time);
    (events, truth)
}

/// R01 by its definition: doors forced, or opened with nobody let in from 5 s before to 2 s after.
fn forced_doors(events: &[(Topic, i64, Value)]) -> Vec<(String, i64)> {
    let access: Vec<_> = events.iter().filter(|(topic, ..)| *topic == Topic::Access).collect();
    let mut admitted = BTreeMap::<&str, Vec<i64>>::new();
    for (_, time, body) in &access {
        if ["granted", "rex", "taken"].contains(&body["event"].as_str().unwrap()) {
            let door =
                body["access_point"].as_str().unwrap().trim_end_matches("-out").trim_end_matches("-reader");
            admitted.entry(door).or_default().push(*time);
        }
    }
    let mut forced = Vec::new();
    for (_, time, body) in &access {
        let event = body["event"].as_str().unwrap();
        let Some(device) = body["device"].as_str() else { continue };
        let door = device.trim_end_matches("-door").trim_end_matches("-boom");
        let excused = admitted
            .get(door)
            .is_some_and(|times| times.iter().any(|t| (time - 5_000..=time + 2_000).contains(t)));
        if event == "door_forced" || (event == "door_open" && !excused) {
            forced.push((device.to_owned(), *time));
        }
    }
    forced
}

/// R06 by its definition, told once for the same denials.
fn repeated_denials(events: &[(Topic, i64, Value)]) -> Vec<(String, i64)> {
    let mut denials = BTreeMap::<&str, Vec<i64>>::new();
    let mut told = BTreeMap::<&str, i64>::new();
    let mut raised = Vec::new();
    for (_, time, body) in events.iter().filter(|(topic, ..)| *topic == Topic::Access) {
        let point = body["access_point"].as_str().unwrap();
        match body["event"].as_str().unwrap() {
            "denied" => denials.entry(point).or_default().push(*time),
            "granted" | "door_open" => {
                let times = denials.get(point).map_or(&[][..], Vec::as_slice);
                let recent: Vec<_> = times.iter().filter(|&&denied| denied >= time - 120_000).collect();
                if let (3.., Some(&&last)) = (recent.len(), recent.last())
                    && told.insert(point, last) != Some(last)
                {
                    raised.push((point.to_owned(), *time));
                }
            }
            _ => {}
        }
    }
    raised
}

fn truth_of(truth: &[Truth], rule: &str) -> Vec<(String, i64)> {
    let rows = truth.iter().filter(|row| row.rule == rule);
    let mut rows: Vec<_> = rows.map(|row| (row.key.clone(), row.time.millis())).collect();
    rows.sort_by_key(|(_, time)| *time);
    rows
}

#[test]
fn doors_are_forced_where_the_truth_says_so_and_nowhere_else() {
    for (scenario, rate) in
        [(Scenario::Default, 100.0), (Scenario::Quiet, 500.0), (Scenario::Rule("R06"), 50.0)]
    {
        let (events, truth) = faultless(scenario, rate, minutes(8));
        assert_eq!(forced_doors(&events), truth_of(&truth, "R01"), "{scenario:?}");
    }
}

#[test]
fn denials_repeat_where_the_truth_says_so_and_nowhere_else() {
    for (scenario, rate) in
        [(Scenario::Default, 100.0), (Scenario::Quiet, 500.0), (Scenario::Rule("R06"), 50.0)]
    {
        let (events, truth) = faultless(scenario, rate, minutes(10));
        assert_eq!(repeated_denials(&events), truth_of(&truth, "R06"), "{scenario:?}");
    }
}

#[test]
fn sensors_are_silent_where_the_truth_says_so_and_nowhere_else() {
    let (events, truth) = faultless(Scenario::Default, 40.0, minutes(30));
    let community = Community::build(21, 480);
    let end = START.millis() + 30 * 60_000;
    let mut heard = BTreeMap::<&str, Vec<i64>>::new();
    for (_, time, body) in events.iter().filter(|(topic, ..)| *topic == Topic::Iot) {
        heard.entry(body["device"].as_str().unwrap()).or_default().push(*time);
    }
    let mut silent = BTreeSet::<(&str, i64)>::new();
    for device in community.devices() {
        let Some(seconds) = device.heartbeat_s else { continue };
        let patience = (i64::from(seconds) * 3_000).max(90_000);
        let mut last = START.millis();
        for time in heard.get(&*device.id).into_iter().flatten().copied().chain([end]) {
            if time - last > patience {
                silent.insert((&device.id, last + patience));
            }
            last = time;
        }
    }
    let keys = truth_of(&truth, "R17");
    assert!(keys.len() >= 3, "{keys:?}");
    for (key, time) in &keys {
        assert!(silent.contains(&(key.as_str(), *time)), "{key} at {time} is not in {silent:?}");
        let lead = community.devices().iter().find(|device| &*device.id == key).unwrap();
        let behind: BTreeSet<_> =
            lead.links.iter().map(|&link| &*community.devices()[link as usize].id).collect();
        silent.retain(|(id, told)| {
            !(*id == key || behind.contains(id)) || !(0..30_000).contains(&(told - time))
        });
    }
    assert!(silent.is_empty(), "silent without a reason: {silent:?}");
}

#[test]
fn ordinary_gas_and_smoke_stay_far_below_every_limit() {
    let (events, _) = faultless(Scenario::Quiet, 500.0, minutes(2));
    for (topic, _, body) in &events {
        assert!(*topic != Topic::Panic, "{body}");
        if *topic == Topic::Iot {
            assert!(body.get("state").is_none_or(|state| state == "normal"), "{body}");
            let limit = match body["property"].as_str() {
                Some("ch4") => 3.0,
                Some("co") => 50.0,
                Some("temperature") => 40.0,
                _ => continue,
            };
            assert!(body["result"].as_f64().unwrap() < limit, "{body}");
        }
    }
}
