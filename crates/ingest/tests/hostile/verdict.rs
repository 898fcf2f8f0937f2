//! What must have become of a record, by what the plain reader says of it.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use hexwatch_contract::event::{Column, Kind, columns, entity};
use hexwatch_contract::{DeadLetter, EventTime, Stage, Topic};

use super::corpus::{ADDRESSES, Input, SECRET};
use super::oracle::{self, Json};

/// A row of a batch, or a dead letter.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    Row(&'a RecordBatch, usize),
    Letter(&'a DeadLetter),
}

/// Whether `outcome` is what `input` deserves; a sentence where it is not.
pub fn check(topic: Topic, input: &Input, outcome: Outcome<'_>) -> Result<(), String> {
    let json = input.value.as_deref().and_then(oracle::read);
    if let Outcome::Letter(letter) = outcome {
        keeps_nothing_forbidden(letter, json.as_ref())?;
    }
    let forgives = topic == Topic::Panic;
    let Some(json) = json else { return expect_stage(outcome, &[Stage::Decode], "it is not one JSON value") };
    if !forgives && json.has_duplicate_key() {
        return expect_stage(outcome, &[Stage::Decode], "a key is there twice");
    }
    let Json::Object(members) = &json else {
        return expect_stage(outcome, &[Stage::Schema, Stage::Privacy], "it is no object");
    };
    if forgives {
        let named =
            input.key.as_deref().is_some_and(|key| !key.is_empty() && std::str::from_utf8(key).is_ok());
        if named && !members.is_empty() && matches!(outcome, Outcome::Letter(_)) {
            return Err("a press with a key was refused".into());
        }
    } else if json.has_forbidden_key() || json.has_address() {
        return expect_stage(outcome, &[Stage::Privacy], "it carries what must not be stored");
    }
    let plain = input.headers.is_empty() && !json.is_like_an_envelope();
    match outcome {
        Outcome::Letter(letter) if plain => is_to_the_point(topic, letter, &json),
        Outcome::Row(rows, row) if plain && !json.has_duplicate_key() => {
            says_the_same(topic, rows, row, &json)
        }
        Outcome::Row(..) | Outcome::Letter(_) => Ok(()),
    }
}

fn expect_stage(outcome: Outcome<'_>, stages: &[Stage], why: &str) -> Result<(), String> {
    match outcome {
        Outcome::Letter(letter) if stages.contains(&letter.stage) => Ok(()),
        Outcome::Letter(letter) => {
            Err(format!("{why}, and was refused at {}: {}", letter.stage.name(), letter.message))
        }
        Outcome::Row(..) => Err(format!("{why}, and became a row")),
    }
}

fn keeps_nothing_forbidden(letter: &DeadLetter, json: Option<&Json>) -> Result<(), String> {
    let forbidden = json.is_some_and(|json| json.has_forbidden_key() || json.has_address());
    if letter.payload.is_some() && (letter.stage == Stage::Privacy || forbidden) {
        return Err(format!("refused at {} with its payload: {}", letter.stage.name(), letter.message));
    }
    let said = [Some(&*letter.message), letter.id.as_deref(), letter.field.as_deref()];
    let opens = |text: &str| ADDRESSES.iter().any(|address| text.contains(address));
    if forbidden && (letter.message.contains(SECRET) || said.into_iter().flatten().any(opens)) {
        return Err("the dead letter tells what its payload must not".into());
    }
    Ok(())
}

/// Whether the field that a refusal names is one that it can be said of.
fn is_to_the_point(topic: Topic, letter: &DeadLetter, json: &Json) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{} of {:?}, but {why}", letter.error_code, letter.field));
    let Some(column) = letter.field.as_deref().and_then(|name| oracle::field(topic, name)) else {
        return Ok(());
    };
    let value = json.get(column.name);
    // What a press cannot use of its fields is as good as absent.
    let unusable = topic == Topic::Panic && !oracle::is_of_type(column.kind, value);
    let absent =
        *value == Json::Null || *value == Json::Text(String::new()) || unusable || json.may_have_address();
    match &*letter.error_code {
        "missing_field" if !absent => wrong("it is there"),
        "wrong_type" if oracle::is_of_type(column.kind, value) => wrong("it is of its type"),
        "unknown_member" => match (column.kind, value.text()) {
            (Kind::Member(members), Some(text)) if !members.contains(&text) => Ok(()),
            _ => wrong("it is known"),
        },
        _ if letter.stage == Stage::Decode => wrong("it is JSON without a key twice"),
        _ => Ok(()),
    }
}

/// Whether the row's columns hold what the record's members say.
fn says_the_same(topic: Topic, rows: &RecordBatch, row: usize, json: &Json) -> Result<(), String> {
    for name in ["id", "source", "site", "device", "native_code", "status"] {
        let column = oracle::field(topic, name).unwrap();
        same(topic, column, rows, row, json)?;
    }
    columns(topic).iter().try_for_each(|column| same(topic, column, rows, row, json))
}

fn same(topic: Topic, column: &Column, rows: &RecordBatch, row: usize, json: &Json) -> Result<(), String> {
    let (array, value) = (rows.column_by_name(column.name).unwrap(), json.get(column.name));
    let filled =
        matches!(column.name, "id" | "source" | "site" | "device" | "status") || column.name == entity(topic);
    let given = *value != Json::Null && *value != Json::Text(String::new());
    // A press keeps what can be used of it and stored, and fills in its kind.
    let is_usable = || match (column.kind, value.text()) {
        (Kind::Member(members), text) => text.is_some_and(|text| members.contains(&text)),
        _ => oracle::is_of_type(column.kind, value),
    };
    let forgiven = topic == Topic::Panic
        && (array.is_null(row) || column.name == "kind" || json.may_have_address() || !is_usable());
    if forgiven || (filled && !given) {
        return Ok(());
    }
    if array.is_null(row) || *value == Json::Null {
        let both = array.is_null(row) && *value == Json::Null;
        return if both {
            Ok(())
        } else {
            Err(format!("`{}` is {value:?}, and in the row null or not", column.name))
        };
    }
    let equal = match (column.kind, value) {
        (Kind::Text | Kind::Member(_), Json::Text(text)) => array.as_string::<i32>().value(row) == text,
        (Kind::Bool, Json::Bool(value)) => array.as_boolean().value(row) == *value,
        (Kind::Float | Kind::FloatIn(..), Json::Number(number)) => {
            close(array.as_primitive::<Float64Type>().value(row), *number)
        }
        (Kind::Float | Kind::FloatIn(..), Json::Whole(number)) => {
            close(array.as_primitive::<Float64Type>().value(row), *number as f64)
        }
        (Kind::IntIn(..), Json::Whole(number)) => array.as_primitive::<Int64Type>().value(row) == *number,
        (Kind::IntIn(..), Json::Number(number)) => {
            close(array.as_primitive::<Int64Type>().value(row) as f64, *number)
        }
        (Kind::Time, value) => time(value).is_some_and(|time| {
            array.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1000) == time.millis()
        }),
        _ => false,
    };
    if equal { Ok(()) } else { Err(format!("`{}` is {value:?}, and in the row something else", column.name)) }
}

#[allow(clippy::cast_possible_truncation, reason = "a part of a millisecond is cut off")]
fn time(value: &Json) -> Option<EventTime> {
    match value {
        Json::Whole(millis) => Some(EventTime::from_millis(*millis)),
        Json::Number(millis) => Some(EventTime::from_millis(*millis as i64)),
        Json::Text(text) => EventTime::parse_rfc3339(text),
        _ => None,
    }
}

/// Two readers may round the last digit differently.
fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= other.abs() * 1e-15
}
