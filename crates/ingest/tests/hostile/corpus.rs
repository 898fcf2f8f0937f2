//! Records to begin with, and what is put into them.

use std::path::Path;

use hexwatch_contract::{EventTime, Topic};
use hexwatch_ingest::{Decoder, Record};

use super::mutate::{insert, mutate};
use super::seeds::Dice;
use super::support;

/// A record as Kafka would give it.
#[derive(Clone, Debug)]
pub struct Input {
    pub key: Option<Vec<u8>>,
    pub timestamp: Option<EventTime>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Input {
    /// Gives it to `decoder` at `offset`.
    pub fn push(&self, decoder: &mut Decoder, offset: i64) {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        decoder.push(&Record {
            offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        });
    }
}

/// Names that give somebody away. What else does is known to the decoder alone; of these the tests know, too.
pub const FORBIDDEN: [&str; 9] = [
    "name",
    "phone",
    "idCard",
    "owner_phone",
    "card_no",
    "licensePlate",
    "faceFeature",
    "访客姓名",
    "车牌号",
];

/// Texts that open what they point at.
pub const ADDRESSES: [&str; 3] = [
    "https://nvr.example/1.jpg?size=2&Token=abc",
    "rtsp://admin:secret@10.0.0.1/stream",
    "data:image/jpeg;base64,/9j/4AAQSkZJRg",
];

/// Never to be found in anything that is kept.
pub const SECRET: &str = "SECRET-7f3a";

/// Put in place of other words.
const WORDS: &[&str] = &[
    "null",
    "true",
    "false",
    "nul",
    "NaN",
    "-Infinity",
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "0",
    "-0",
    "-",
    "1.",
    ".5",
    "01",
    "1e5",
    "1E+400",
    "-1e400",
    "1e-400",
    "0.1e",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "65535",
    "65536",
    "0.1000000000000000055511151231257827",
    "123456789012345678901234567890.5",
    "1767261600000",
    "1767261605001",
    "1798797600000",
    "253402300800000",
    "-62135596800001",
    "1e300",
    "\"\"",
    "\" \"",
    "\"x\"",
    "\"1\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\"",
    "\"\\u00e9\\n\\t\\/\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\u{1}\"",
    "\"测试\"",
    "\"id\"",
    "\"\\u0069d\"",
    "\"time\"",
    "\"device\"",
    "\"specversion\"",
    "\"data\"",
    "\"data_base64\"",
    "\"2026-01-01T10:00:01Z\"",
    "\"2027-01-01T10:00:01Z\"",
    "\"2026-02-30T10:00:01Z\"",
    "\"2026-01-01T10:00:60Z\"",
    "\"2026-01-01T18:00:01.5+08:00\"",
    "\"0000-01-01T00:00:00Z\"",
    "\"2026-01-01T10:00:01\"",
    "\"13800000000\"",
    "\"330106199001010000\"",
    "\"gate-north\"",
    "\"btn-hall\"",
];

/// What may be put around a value.
const BRACKETS: &[(&str, &str)] =
    &[("[", "]"), ("{\"a\":", "}"), ("[[],", "]"), ("{\"a\":0,\"b\":", "}"), ("(", ")")];

/// The records of the fixture that belong to `topic`, and some written here.
pub fn of(topic: Topic) -> Vec<Input> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hostile.ndjson");
    let read = support::read(&path).into_iter().filter(|case| case.record.topic == topic.name());
    let mut found: Vec<Input> = read
        .map(|case| Input {
            key: case.record.key.map(String::into_bytes),
            timestamp: Some(case.record.timestamp),
            value: case.record.value,
            headers: case.record.headers,
        })
        // Large ones would be all that the run is about.
        .filter(|input| input.value.as_ref().is_none_or(|value| value.len() < 2_000))
        .collect();
    assert!(found.len() > 10, "the fixture has only {} records of {topic}", found.len());
    let plain = good(topic, 0);
    let data = String::from_utf8(plain.value.clone().unwrap()).unwrap();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &data);
    for envelope in [
        format!(
            r#"{{"specversion":"1.0","id":"e","source":"//s","time":"2026-01-01T10:00:01Z","type":"t","data":{data}}}"#
        ),
        format!(r#"{{"specversion":"1.0","id":"e","source":"//s","data_base64":"{base64}"}}"#),
    ] {
        found.push(Input { value: Some(envelope.into_bytes()), ..plain.clone() });
    }
    found
}

/// A record of `topic` that is as it should be; `number` tells it from others.
pub fn good(topic: Topic, number: usize) -> Input {
    let own = match topic {
        Topic::Access => r#""access_point":"door-1","event":"granted","held_ms":1200,"match_score":0.25"#,
        Topic::CameraAlert => r#""camera":"cam-1","kind":"loitering","score":0.75,"count":2"#,
        Topic::Iot => r#""device":"gas-1","property":"ch4","result":3.5,"heartbeat":true,"state_bits":7"#,
        Topic::Panic => r#""button":"btn-1","kind":"panic","press_seq":9"#,
        Topic::Patrol => r#""officer_ref":"o-1","kind":"checkpoint","offline":false,"accuracy_m":2.5"#,
        Topic::Dispatch => r#""incident":"inc-1","leg":"arrived","manual":true,"at":1767261600500"#,
    };
    let body = format!(
        r#"{{"id":"g-{number}","source":"s","time":"2026-01-01T10:00:00.{:03}Z","lon":121.4,"lat":31.2,{own}}}"#,
        number % 1000
    );
    Input {
        key: Some(b"key-1".to_vec()),
        timestamp: Some(EventTime::from_millis(1_767_261_600_000)),
        value: Some(body.into_bytes()),
        headers: Vec::new(),
    }
}

/// One of `corpus` with something wrong with it, or with several things.
pub fn hostile(dice: &mut Dice, corpus: &[Input]) -> Input {
    let mut input = corpus[dice.below(corpus.len())].clone();
    if let Some(value) = &mut input.value {
        if dice.one_in(3) {
            insert_member(dice, value);
        }
        if !dice.one_in(4) {
            *value = mutate(dice, value, WORDS, BRACKETS);
        }
    }
    match dice.below(24) {
        0 => input.value = None,
        1 => input.key = None,
        2 => input.key = Some(b"\xff\xfe".to_vec()),
        3 => input.key = Some(Vec::new()),
        4 => input.timestamp = None,
        5..=7 => add_header(dice, &mut input),
        _ => {}
    }
    input
}

fn insert_member(dice: &mut Dice, value: &mut Vec<u8>) {
    let opened: Vec<usize> = (0..value.len()).filter(|at| value[*at] == b'{').collect();
    let Some(&brace) = opened.get(dice.below(opened.len())) else { return };
    let secret =
        if dice.one_in(2) { format!("\"{SECRET}\"") } else { format!("{{\"deep\":[1,\"{SECRET}\"]}}") };
    let address = format!("\"{}\"", dice.pick(&ADDRESSES));
    let fields = ["id", "device", "lon", "floor", "status", "heartbeat", "kind", "event", "leg"];
    let (key, text) = match dice.below(6) {
        0..=2 => (dice.pick(&FORBIDDEN).to_owned(), secret),
        3 => (dice.pick(&fields).to_owned(), address),
        4 => (dice.pick(&fields).to_owned(), "\"x\"".to_owned()),
        _ => (format!("unknown_{}", dice.below(40)), if dice.one_in(2) { address } else { secret }),
    };
    let rest = value[brace + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
    let comma = if rest == Some(&b'}') { "" } else { "," };
    insert(value, brace + 1, format!("\"{key}\":{text}{comma}").as_bytes());
}

fn add_header(dice: &mut Dice, input: &mut Input) {
    let headers: [(&str, &[u8]); 10] = [
        ("ce_specversion", b"1.0"),
        ("ce_specversion", b"0.3"),
        ("ce_id", b"from-header"),
        ("ce_id", b"\xff"),
        ("ce_source", b"//s"),
        ("ce_time", b"2026-01-01T10:00:02Z"),
        ("ce_time", b"tomorrow"),
        ("ce_phone", b"1"),
        ("content-type", b"application/cloudevents+json; charset=utf-8"),
        ("traceparent", b"00-1"),
    ];
    for _ in 0..=dice.below(3) {
        let (name, value) = headers[dice.below(headers.len())];
        input.headers.push((name.to_owned(), value.to_vec()));
    }
}
