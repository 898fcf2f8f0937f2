//! The lines of a recording.

use hexwatch_ingest::replay::Recorded;

use super::mutate::mutate;
use super::oracle::{self, Json};
use super::seeds::{self, Dice};

const INPUTS: u64 = 100_000;
const BLOCK: u64 = 1_000;

const LINES: [&str; 5] = [
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
    seeds::run(INPUTS / BLOCK, |seed| {
        let mut dice = Dice::new(seed);
        for _ in 0..BLOCK {
            let line = mutate(&mut dice, dice_line(seed).as_bytes(), WORDS, &[("[", "]"), ("{\"a\":", "}")]);
            // Lines of a file that are not text are refused by whoever reads the file.
            if let Ok(line) = String::from_utf8(line) {
                check(&line);
            }
        }
    });
}

fn dice_line(seed: u64) -> &'static str {
    LINES[usize::try_from(seed).unwrap() % LINES.len()]
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
