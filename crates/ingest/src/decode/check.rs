//! Whether a value is of its field's kind.

use hexwatch_contract::Stage;
use hexwatch_contract::event::{Column, Kind};

use super::body::Slot;
use super::parser::Parser;
use super::refusal::{self, Refusal};
use super::rfc3339;

/// The first and last millisecond of the years that calendars, tables and people agree on.
const CALENDAR: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Whole numbers beyond it have lost digits on the way through a 64-bit float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether a time in epoch milliseconds is a date at all.
pub(super) fn is_date(millis: i64) -> bool {
    CALENDAR.contains(&millis)
}

/// The value as its column holds it: a time becomes whole milliseconds, every number of a float column a
/// float. An integer beyond its type is refused at `schema`, a measure beyond its range at `semantic`.
pub(super) fn value<'a>(column: &Column, slot: Slot<'a>, parser: &Parser) -> Result<Slot<'a>, Refusal> {
    match column.kind {
        Kind::Text => match slot {
            Slot::Text(_) | Slot::Unescaped(..) => Ok(slot),
            _ => Err(refusal::wrong_type(column.name, "text")),
        },
        Kind::Member(members) => member(column.name, members, slot, parser),
        Kind::Bool => match slot {
            Slot::True | Slot::False => Ok(slot),
            _ => Err(refusal::wrong_type(column.name, "true or false")),
        },
        Kind::Float => float(column.name, slot).map(Slot::Number),
        Kind::FloatIn(low, high) => {
            let number = float(column.name, slot)?;
            if (low..=high).contains(&number) {
                return Ok(Slot::Number(number));
            }
            let message = format!("`{}` is {number}, outside {low} to {high}", column.name);
            Err(Refusal::of_field(Stage::Semantic, "out_of_range", column.name, message))
        }
        Kind::IntIn(low, high) => {
            let number = whole(column.name, slot)?;
            if (low..=high).contains(&number) {
                return Ok(Slot::Whole(number));
            }
            // A range with a top is the range of the field's integer type; without one, a count is below zero.
            let (stage, code) = if high < i64::MAX {
                (Stage::Schema, "out_of_type")
            } else {
                (Stage::Semantic, "out_of_range")
            };
            let message = format!("`{}` is {number}, outside {low} to {high}", column.name);
            Err(Refusal::of_field(stage, code, column.name, message))
        }
        Kind::Time => time(column, slot, parser).map(Slot::Whole),
    }
}

fn member<'a>(
    name: &'static str,
    members: &'static [&'static str],
    slot: Slot<'a>,
    parser: &Parser,
) -> Result<Slot<'a>, Refusal> {
    let Some(text) = parser.text(slot) else { return Err(refusal::wrong_type(name, "text")) };
    if members.contains(&text) {
        return Ok(slot);
    }
    // The word itself stays in the payload: a message is shown in places that a payload is not.
    let message =
        format!("`{name}` is not one of {}; replay the record after an upgrade knows it", members.join(", "));
    Err(Refusal::of_field(Stage::Schema, "unknown_member", name, message))
}

fn float(name: &'static str, slot: Slot<'_>) -> Result<f64, Refusal> {
    match slot {
        Slot::Number(number) => Ok(number),
        Slot::Whole(number) => Ok(number as f64),
        _ => Err(refusal::wrong_type(name, "a number")),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the number is whole and exact, as tested before")]
fn whole(name: &'static str, slot: Slot<'_>) -> Result<i64, Refusal> {
    match slot {
        Slot::Whole(number) => Ok(number),
        Slot::Number(number) if number.fract() == 0.0 && number.abs() < EXACT => Ok(number as i64),
        _ => Err(refusal::wrong_type(name, "a whole number")),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a cast saturates, and a part of a millisecond is cut off"
)]
fn time(column: &Column, slot: Slot<'_>, parser: &Parser) -> Result<i64, Refusal> {
    let millis = match slot {
        Slot::Whole(millis) => millis,
        Slot::Number(millis) => millis as i64,
        _ => match parser.text(slot).and_then(rfc3339::parse) {
            Some(time) => time.millis(),
            None => {
                return Err(refusal::wrong_type(
                    column.name,
                    "RFC 3339 with an offset, or epoch milliseconds",
                ));
            }
        },
    };
    // The device's own time may be absurd: it is suspect then, and another counts.
    if is_date(millis) || column.name == "time" {
        return Ok(millis);
    }
    let message = format!("`{}` lies outside the years 1 to 9999; send milliseconds", column.name);
    Err(Refusal::of_field(Stage::Semantic, "out_of_range", column.name, message))
}
