//! The lines of a recording.

use hexwatch_ingest::replay::Recorded;

use super::mutate::Damage;
use super::oracle::{self, Json};

const LINES: &[&str] = &[
    r#"{"topic":"iot","key":"d","timestamp":1767261600000,"value":{"id":"a","b": 1.0,"a":2},"other":[1]}"#,
    r#"{"topic":"iot","timestamp":5,"raw":"eyJhIjoxfQ=="}"#,
    r#"{"topic":"panic","key":null,"timestamp":5,"raw":null}"#,
    r#"{"topic":"access","timestamp":5,"value":null,"headers":{"ce_id":"1","ce_specversion":1.0}}"#,
    r#"{"headers":{},"value":"text","timestamp":-5,"key":"\u00e9","topic":""}"#,
];

const WORDS: &[&str] = &[
    "null",
    "\"raw\"",
    "\"value\"",
    "\"timestamp\"",
    "\"headers\"",
    "\"key\"",
    "\"topic\"",
    "{}",
    "[]",
    "1e5",
    "9223372036854775808",
    "\"/w==\"",
    "\"/w=\"",
    "\"\\ud83d\"",
    "\"\\u0041\"",
    "\"raw\":null,",
    "\"value\":1,",
    "0.5",
    "true",
    ",",
    ":",
];

#[test]
fn a_line_is_read_as_it_stands_or_refused_with_a_reason() {
    let brackets = &[("[", "]"), ("{\"a\":", "}")];
    let damage = Damage { inputs: 100_000, block: 1_000, texts: LINES, words: WORDS, brackets };
    damage.each(|| (), |(), line| check(line));
}

fn check(line: &str) {
    match Recorded::parse(line) {
        Err(reason) => assert!(!reason.is_empty(), "{line}"),
        Ok(recorded) => {
            // A value is handed on as it stands, with depths and letters in it that the plain reader does not take.
            let Some(json) = oracle::read(line.as_bytes()) else { return };
            assert_eq!(json.get("topic").text(), Some(recorded.topic.as_str()), "{line}");
            assert_eq!(*json.get("timestamp"), Json::Whole(recorded.timestamp.millis()), "{line}");
            if let (Json::Null, Some(value)) = (json.get("raw"), &recorded.value) {
                let value = oracle::read(value).unwrap_or_else(|| panic!("the value is no JSON: {line}"));
                assert_eq!(value, *json.get("value"), "{line}");
            }
        }
    }
}
