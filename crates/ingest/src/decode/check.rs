//! Whether a value is of its field's kind.

use hexwatch_contract::Stage;
use hexwatch_contract::event::Kind;

use super::body::Slot;
use super::layout::{Layout, TIME};
use super::parser::Parser;
use super::refusal::Refusal;
use super::rfc3339;

/// The first and last millisecond of the years that calendars, tables and people agree on.
const CALENDAR: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Whole numbers beyond it have lost digits on the way through a 64-bit float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether a time in epoch milliseconds is a date at all.
pub(super) fn is_date(millis: i64) -> bool {
    CALENDAR.contains(&millis)
}

/// What is wrong with a value.
enum Fault {
    WrongType,
    /// Not a member of the field's closed set.
    Unknown,
    /// Beyond the range of the field's integer type.
    BeyondType,
    /// Beyond what can be.
    BeyondRange,
}

/// The value as its column holds it: a time becomes whole milliseconds, every number of a float column a
/// float. An integer beyond its type is refused at `schema`, a measure beyond its range at `semantic`.
pub(super) fn value<'a>(
    layout: &'static Layout,
    field: usize,
    slot: Slot<'a>,
    parser: &Parser,
) -> Result<Slot<'a>, Refusal> {
    let read = match layout.columns[field].kind {
        Kind::Text => parser.text(slot).map(|_| slot).ok_or(Fault::WrongType),
        Kind::Member(members) => match parser.text(slot) {
            Some(text) if is_one_of(members, text) => Ok(slot),
            Some(_) => Err(Fault::Unknown),
            None => Err(Fault::WrongType),
        },
        Kind::Bool if matches!(slot, Slot::True | Slot::False) => Ok(slot),
        Kind::Bool => Err(Fault::WrongType),
        Kind::Float => float(slot).map(Slot::Number),
        Kind::FloatIn(low, high) => float(slot).and_then(|number| {
            let is_within = (low..=high).contains(&number);
            is_within.then_some(Slot::Number(number)).ok_or(Fault::BeyondRange)
        }),
        Kind::IntIn(low, high) => whole(slot).and_then(|number| {
            // A range with a top is the range of the field's integer type; without one, a count is below zero.
            let beyond = if high < i64::MAX { Fault::BeyondType } else { Fault::BeyondRange };
            (low..=high).contains(&number).then_some(Slot::Whole(number)).ok_or(beyond)
        }),
        // The device's own time may be absurd: it is suspect then, and another counts.
        Kind::Time => time(slot, parser).and_then(|millis| {
            let is_told = is_date(millis) || field == TIME;
            is_told.then_some(Slot::Whole(millis)).ok_or(Fault::BeyondRange)
        }),
    };
    read.map_err(|fault| refused(layout, field, &fault))
}

/// Whether `text` is one of `members`. The length tells nearly all of them apart, and costs no call to find out.
fn is_one_of(members: &[&str], text: &str) -> bool {
    members.iter().any(|member| {
        member.len() == text.len() && member.as_bytes().first() == text.as_bytes().first() && *member == text
    })
}

fn refused(layout: &'static Layout, field: usize, fault: &Fault) -> Refusal {
    let said = &layout.faults[field];
    let (stage, code, message) = match fault {
        Fault::WrongType => (Stage::Schema, "wrong_type", &said.wrong_type),
        Fault::Unknown => (Stage::Schema, "unknown_member", &said.beyond),
        Fault::BeyondType => (Stage::Schema, "out_of_type", &said.beyond),
        Fault::BeyondRange => (Stage::Semantic, "out_of_range", &said.beyond),
    };
    Refusal::of_field(stage, code, layout.name(field), message.as_str())
}

fn float(slot: Slot<'_>) -> Result<f64, Fault> {
    match slot {
        Slot::Number(number) => Ok(number),
        Slot::Whole(number) => Ok(number as f64),
        _ => Err(Fault::WrongType),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the number is whole and exact, as tested before")]
fn whole(slot: Slot<'_>) -> Result<i64, Fault> {
    match slot {
        Slot::Whole(number) => Ok(number),
        Slot::Number(number) if number.fract() == 0.0 && number.abs() < EXACT => Ok(number as i64),
        _ => Err(Fault::WrongType),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a cast saturates, and a part of a millisecond is cut off"
)]
fn time(slot: Slot<'_>, parser: &Parser) -> Result<i64, Fault> {
    match slot {
        Slot::Whole(millis) => Ok(millis),
        Slot::Number(millis) => Ok(millis as i64),
        _ => {
            let told = parser.text(slot).and_then(rfc3339::parse);
            told.map(hexwatch_contract::EventTime::millis).ok_or(Fault::WrongType)
        }
    }
}
