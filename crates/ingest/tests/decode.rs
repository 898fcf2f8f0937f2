//! The decoder against hostile records, alone and among good ones.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "tests are sentences, and a panic in one is its failure"
)]

#[allow(dead_code, unreachable_pub, reason = "shared with an example, which uses other parts")]
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use hexwatch_contract::{Chunk, EventTime, Stage, Topic};
use hexwatch_ingest::replay::Recorded;
use proptest::prelude::*;

use support::{REGISTERED, decode, decoder, push, text};

const NOW: i64 = 1_767_261_600_000;

fn record(topic: Topic, body: &str) -> Recorded {
    Recorded {
        topic: topic.name().to_owned(),
        key: Some("key-1".to_owned()),
        timestamp: EventTime::from_millis(NOW),
        value: Some(body.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

fn only_row(topic: Topic, body: &str) -> Chunk {
    let chunk = decode(&record(topic, body));
    assert_eq!(chunk.dead_letters, [], "{body}");
    assert_eq!(chunk.events.records.num_rows(), 1);
    chunk
}

fn time(chunk: &Chunk, column: &str) -> Option<i64> {
    let array =
        chunk.events.records.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>();
    (!array.is_null(0)).then(|| array.value(0) / 1000)
}

#[test]
fn every_hostile_record_ends_where_it_should() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hostile.ndjson");
    let cases = support::read(&path);
    assert!(cases.len() > 150, "the fixture has shrunk to {} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            support::compare(case).err().map(|error| format!("line {} {}: {error}", case.line, case.case))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_record_of_one_byte_too_many_is_refused_by_size() {
    let limit = hexwatch_ingest::Tolerances::default().largest_record;
    let body = |length: usize| {
        let start = r#"{"id":"a","time":1767261600000,"device":"d","heartbeat":true,"x":""#;
        format!("{start}{}\"}}", "x".repeat(length - start.len() - 2))
    };
    assert_eq!(decode(&record(Topic::Iot, &body(limit))).events.records.num_rows(), 1);
    let chunk = decode(&record(Topic::Iot, &body(limit + 1)));
    assert_eq!(chunk.dead_letters[0].stage, Stage::Size);
}

#[test]
fn a_private_record_leaves_no_payload_behind() {
    let body = r#"{"id":"a","time":1767261600000,"device":"d","heartbeat":true,"phone":"13800000000"}"#;
    let letter = &decode(&record(Topic::Iot, body)).dead_letters[0];
    assert_eq!((letter.stage, &letter.payload), (Stage::Privacy, &None));

    let sum = "67376adac2efe2c6ef21023b4d9411fa172fa31e0d679e997c3d5e84e678ecc8";
    assert_eq!(letter.payload_sha256.to_string(), sum);
    let cut = &decode(&record(Topic::Iot, &body[..body.len() - 2])).dead_letters[0];
    assert_eq!((cut.stage, &cut.payload), (Stage::Decode, &None));
}

/// All that a dead letter says beside its payload.
fn said(letter: &hexwatch_contract::DeadLetter) -> String {
    format!("{:?} {:?} {}", letter.id, letter.field, letter.message)
}

#[test]
fn a_reason_never_tells_what_a_record_holds() {
    let number = "13800000000";
    for body in [
        r#"{"id":"a","time":1,"device":"d","heartbeat":true,"13800000000":1,"13800000000":2}"#,
        r#"{"id":"a","time":1,"device":"d","heartbeat":true,"x":{"张13800000000":1,"张13800000000":2}}"#,
        r#"{"id":"a","time":1,"device":"d","property":"ch4","state_bits":13800000000}"#,
        r#"{"id":"a","time":1,"device":"d","property":"ch4","battery_pct":13800000000}"#,
        r#"{"id":"a","time":1,"device":"d","property":"ch4","state":"13800000000"}"#,
        r#"{"specversion":"1.0","id":13800000000,"data":{"id":"a"}}"#,
        r#"{"id":"a","time":1,"device":"d" 13800000000}"#,
    ] {
        let letter = &decode(&record(Topic::Iot, body)).dead_letters[0];
        assert!(!said(letter).contains(number), "{body}: {}", said(letter));
    }
}

#[test]
fn an_address_that_opens_is_kept_nowhere_whatever_the_record_is() {
    for body in [
        r#""rtsp://admin:secret@10.0.0.1/stream""#,
        r#"["rtsp://admin:secret@10.0.0.1/stream"]"#,
        r#""rtsp:\/\/admin:secret@10.0.0.1\/stream""#,
        r#"{"id":"a","time":1,"device":"d","heartbeat":true,"site":"a","site":"rtsp://admin:secret@10.0.0.1/"}"#,
    ] {
        let letter = &decode(&record(Topic::Iot, body)).dead_letters[0];
        assert_eq!(letter.payload, None, "{body}: {}", letter.message);
        assert!(!said(letter).contains("secret"), "{body}: {}", said(letter));
    }
}

#[test]
fn a_forbidden_name_written_in_escapes_is_found_in_a_record_that_is_cut_off() {
    let body = r#"{"id":"a","time":1,"device":"d","ph\u006fne":"no number"#;
    let letter = &decode(&record(Topic::Iot, body)).dead_letters[0];
    assert_eq!((letter.stage, &letter.payload), (Stage::Decode, &None));
}

#[test]
fn a_refused_record_keeps_its_payload_and_its_id() {
    let chunk = decode(&record(Topic::Access, r#"{"id":"a-1","time":1,"device":"d","event":"waved"}"#));
    let letter = &chunk.dead_letters[0];
    assert_eq!(letter.id.as_deref(), Some("a-1"));
    assert_eq!(letter.key.as_deref(), Some("key-1"));
    assert!(letter.payload.is_some());
}

#[test]
fn the_entity_and_the_device_fill_each_other() {
    let chunk =
        only_row(Topic::Access, r#"{"id":"a","time":1767261600000,"access_point":"p","event":"granted"}"#);
    assert_eq!(text(&chunk, "device", 0).as_deref(), Some("p"));
    let chunk = only_row(Topic::CameraAlert, r#"{"id":"a","time":1767261600000,"device":"c","kind":"fall"}"#);
    assert_eq!(text(&chunk, "camera", 0).as_deref(), Some("c"));
    let both = r#"{"id":"a","time":1767261600000,"device":"reader","access_point":"p","event":"granted"}"#;
    let chunk = only_row(Topic::Access, both);
    assert_eq!(text(&chunk, "device", 0).as_deref(), Some("reader"));
    assert_eq!(text(&chunk, "access_point", 0).as_deref(), Some("p"));
}

#[test]
fn a_registered_device_lends_its_place_and_site() {
    let chunk =
        only_row(Topic::Access, r#"{"id":"a","time":1767261600000,"device":"gate-north","event":"rex"}"#);
    let records = &chunk.events.records;
    let lon = records.column_by_name("lon").unwrap().as_primitive::<Float64Type>().value(0);
    let cell = records.column_by_name("cell").unwrap().as_primitive::<Int64Type>().value(0);
    let floor = records.column_by_name("floor").unwrap().as_primitive::<Int64Type>().value(0);
    assert_eq!((lon, cell, floor), (REGISTERED.lon, REGISTERED.cell.to_i64(), 2));
    assert_eq!(text(&chunk, "site", 0).as_deref(), Some("plum-court"));
    let chunk = only_row(Topic::Access, r#"{"id":"a","time":1767261600000,"device":"other","event":"rex"}"#);
    assert_eq!(text(&chunk, "site", 0).as_deref(), Some("default"));
    assert!(chunk.events.records.column_by_name("cell").unwrap().is_null(0));
}

#[test]
fn a_suspect_row_keeps_what_the_device_said() {
    let chunk = only_row(Topic::Iot, r#"{"id":"a","time":1767265200000,"device":"d","heartbeat":true}"#);
    assert_eq!(time(&chunk, "time"), Some(NOW));
    assert_eq!(time(&chunk, "device_time"), Some(NOW + 3_600_000));
    assert_eq!(text(&chunk, "time_quality", 0).as_deref(), Some("suspect"));
    let chunk =
        only_row(Topic::Iot, r#"{"id":"a","time":18446744073709551615,"device":"d","heartbeat":true}"#);
    assert_eq!((time(&chunk, "time"), time(&chunk, "device_time")), (Some(NOW), None));
}

#[test]
fn a_press_is_forgiven_and_the_oddities_are_noted() {
    let body =
        r#"{"time":"soon","device":"btn-hall","kind":"sos","press_seq":"x","lon":0,"lat":0,"name":"x"}"#;
    let chunk = only_row(Topic::Panic, body);
    assert_eq!(text(&chunk, "kind", 0).as_deref(), Some("panic"));
    assert_eq!(text(&chunk, "id", 0).as_deref(), Some("panic-0@0"));
    assert_eq!(time(&chunk, "time"), Some(NOW));
    let lon = chunk.events.records.column_by_name("lon").unwrap().as_primitive::<Float64Type>().value(0);
    assert!((lon - REGISTERED.lon).abs() < 1e-9, "at longitude {lon}");
    let oddity = text(&chunk, "oddity", 0).unwrap();
    let noted: BTreeSet<&str> = oddity.split(';').collect();
    let expected = [
        "name:forbidden_field",
        "time:wrong_type",
        "kind:unknown_member",
        "press_seq:wrong_type",
        "id:missing_field",
        "lon_lat:null_island",
    ];
    assert_eq!(noted, expected.into_iter().collect());
}

#[test]
fn a_press_may_be_known_by_its_key_alone() {
    let chunk = only_row(Topic::Panic, r#"{"battery":"low"}"#);
    assert_eq!(text(&chunk, "button", 0).as_deref(), Some("key-1"));
    assert_eq!(text(&chunk, "device", 0).as_deref(), Some("key-1"));
}

#[test]
fn cloud_event_headers_win_over_the_body() {
    let mut event = record(Topic::Iot, r#"{"id":"b","source":"c","time":5,"device":"d","heartbeat":true}"#);
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "h"),
        ("ce_source", "//s"),
        ("ce_time", "2026-01-01T10:00:00Z"),
    ];
    event.headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into();
    let chunk = decode(&event);
    assert_eq!(text(&chunk, "id", 0).as_deref(), Some("h"));
    assert_eq!(text(&chunk, "source", 0).as_deref(), Some("//s"));
    assert_eq!(text(&chunk, "time_quality", 0).as_deref(), Some("good"));
}

#[test]
fn copies_have_one_identity_and_other_sources_another() {
    let body = |source: &str, state: &str| {
        format!(r#"{{"id":"a","source":"{source}","time":1767261600000,"device":"d","state":"{state}"}}"#)
    };
    let identity = |body: &str| only_row(Topic::Iot, body).events.identities[0];
    assert_eq!(identity(&body("x", "alarm")), identity(&body("x", "normal")));
    assert_ne!(identity(&body("x", "alarm")), identity(&body("y", "alarm")));
    let elsewhere = format!("{},\"site\":\"s\"}}", body("x", "alarm").trim_end_matches('}'));
    assert_ne!(identity(&body("x", "alarm")), identity(&elsewhere));
}

#[test]
fn chunks_follow_each_other_without_a_gap() {
    let mut decoder = decoder(Topic::Iot);
    let body = r#"{"id":"a","time":1767261600000,"device":"d","heartbeat":true}"#;
    assert!(decoder.finish().is_none());
    push(&mut decoder, 3, &record(Topic::Iot, body));
    let first = decoder.finish().unwrap();
    push(&mut decoder, 9, &record(Topic::Iot, "x"));
    let second = decoder.finish().unwrap();
    assert_eq!((first.first_offset, first.next_offset), (0, 4));
    assert_eq!((second.first_offset, second.next_offset, second.read), (4, 10, 1));
}

fn good(number: usize) -> String {
    format!(
        r#"{{"id":"g-{number}","source":"s","time":{NOW},"device":"d-{}","lon":121.4,"lat":31.2,"property":"ch4","result":{number}.5,"unit":"%LEL"}}"#,
        number % 3
    )
}

/// A good record, damaged: cut, with bytes changed, or not a record at all.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let cut =
        (0..400_usize, 0..120_usize).prop_map(|(number, keep)| good(number).into_bytes()[..keep].to_vec());
    let changed = (0..400_usize, proptest::collection::vec((0..120_usize, any::<u8>()), 1..4)).prop_map(
        |(number, changes)| {
            let mut bytes = good(number).into_bytes();
            for (place, byte) in changes {
                let place = place % bytes.len();
                bytes[place] = byte;
            }
            bytes
        },
    );
    prop_oneof![cut, changed, proptest::collection::vec(any::<u8>(), 0..64)]
}

proptest! {
    #[test]
    fn a_bad_record_never_takes_its_neighbours_with_it(
        records in proptest::collection::vec(prop_oneof![(0..400_usize).prop_map(Ok), damaged().prop_map(Err)], 1..40)
    ) {
        let mut decoder = decoder(Topic::Iot);
        for (offset, entry) in (0i64..).zip(&records) {
            let value = match entry {
                Ok(number) => good(*number).into_bytes(),
                Err(bytes) => bytes.clone(),
            };
            push(&mut decoder, offset, &Recorded { value: Some(value), ..record(Topic::Iot, "") });
        }
        let chunk = decoder.finish().unwrap();
        let rows = &chunk.events.records;
        let offsets = rows.column_by_name("offset").unwrap().as_primitive::<Int64Type>();
        let results = rows.column_by_name("result").unwrap().as_primitive::<Float64Type>();
        prop_assert_eq!(rows.num_rows() + chunk.dead_letters.len(), records.len());
        prop_assert_eq!(chunk.events.identities.len(), rows.num_rows());
        let mut seen: Vec<i64> = offsets.values().to_vec();
        seen.extend(chunk.dead_letters.iter().map(|letter| letter.position.offset));
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..i64::try_from(records.len()).unwrap()).collect::<Vec<_>>());
        for (offset, entry) in (0i64..).zip(&records) {
            let Ok(number) = entry else { continue };
            let row = offsets.values().iter().position(|at| *at == offset);
            prop_assert!(row.is_some(), "the good record at {} was refused", offset);
            let row = row.unwrap();
            prop_assert!((results.value(row) - *number as f64 - 0.5).abs() < 1e-9);
            prop_assert_eq!(text(&chunk, "id", row), Some(format!("g-{number}")));
        }
    }

    #[test]
    fn any_bytes_on_any_topic_become_one_row_or_one_dead_letter(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), topic in 0..6_usize
    ) {
        let topic = Topic::ALL[topic];
        let chunk = decode(&Recorded { value: Some(bytes), ..record(topic, "") });
        prop_assert_eq!(chunk.events.records.num_rows() + chunk.dead_letters.len(), 1);
    }
}
