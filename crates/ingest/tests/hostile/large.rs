//! Records that are large, deep or many-membered: bounded work, and nobody else is harmed.

use hexwatch_contract::{Stage, Topic};
use hexwatch_ingest::Tolerances;

use super::corpus::{self, Input};
use super::support;

const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

/// What becomes of `value` between two good records, which must be as without it: its stage.
fn between_good_ones(topic: Topic, value: Vec<u8>) -> Option<Stage> {
    let large = Input { value: Some(value), ..corpus::good(topic, 1) };
    let good = [corpus::good(topic, 0), corpus::good(topic, 2)];
    let mut alone = support::decoder(topic);
    good[0].push(&mut alone, 0);
    good[1].push(&mut alone, 2);
    let mut decoder = support::decoder(topic);
    good[0].push(&mut decoder, 0);
    large.push(&mut decoder, 1);
    good[1].push(&mut decoder, 2);
    let (alone, mut chunk) = (alone.finish().unwrap(), decoder.finish().unwrap());
    assert_eq!(chunk.read, 3);
    let letter = chunk.dead_letters.pop();
    assert_eq!(chunk.events.records.num_rows(), if letter.is_some() { 2 } else { 3 });
    if letter.is_some() {
        assert_eq!(chunk.events.records, alone.events.records);
    }
    letter.map(|letter| letter.stage)
}

fn text_of(length: usize) -> String {
    let start = r#"{"id":"a","time":1767261600000,"device":"d","heartbeat":true,"x":""#;
    format!("{start}{}\"}}", "x".repeat(length - start.len() - 2))
}

#[test]
fn a_record_of_ten_megabytes_is_refused_by_size_and_harms_nobody() {
    assert_eq!(between_good_ones(Topic::Iot, text_of(TEN_MEGABYTES).into_bytes()), Some(Stage::Size));
    for filling in ["a,", "{", "[", "\"", "\\", "\u{0}", "测"] {
        let value = filling.repeat(TEN_MEGABYTES / filling.len());
        assert_eq!(between_good_ones(Topic::Iot, value.into_bytes()), Some(Stage::Size), "{filling}");
    }
}

#[test]
fn the_largest_records_that_are_read_cost_bounded_work() {
    let limit = Tolerances::default().largest_record;
    let fill = |piece: &str| piece.repeat(limit / piece.len());
    for (value, stage) in [
        (text_of(limit), None),
        (fill("a,"), Some(Stage::Decode)),
        (fill("{\"a\":"), Some(Stage::Decode)),
        (fill("["), Some(Stage::Decode)),
        (fill("\"\\"), Some(Stage::Decode)),
        (format!("[{}1]", fill("1,").split_off(8)), Some(Stage::Schema)),
        (many_members(limit), None),
        (one_key_again_and_again(limit), Some(Stage::Decode)),
    ] {
        let shown: String = value.chars().take(40).collect();
        assert_eq!(between_good_ones(Topic::Iot, value.into_bytes()), stage, "{shown}");
    }
}

fn many_members(limit: usize) -> String {
    let mut value = String::from(r#"{"id":"a","time":1767261600000,"device":"d","heartbeat":true"#);
    for number in 0.. {
        let member = format!(r#","unknown_{number}":{number}"#);
        if value.len() + member.len() + 1 > limit {
            break;
        }
        value.push_str(&member);
    }
    value + "}"
}

fn one_key_again_and_again(limit: usize) -> String {
    format!("{{{}\"a\":1}}", "\"a\":1,".repeat((limit - 8) / 6))
}

#[test]
fn text_that_nests_deeper_than_any_record_needs_is_refused() {
    for levels in [129, 1_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let value = format!(
                r#"{{"id":"a","time":1,"device":"d","heartbeat":true,"x":{}1{}}}"#,
                open.repeat(levels),
                close.repeat(levels)
            );
            assert_eq!(
                between_good_ones(Topic::Iot, value.into_bytes()),
                Some(Stage::Decode),
                "{levels} of {open}"
            );
        }
    }
}
