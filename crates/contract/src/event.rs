//! The columns of the six event tables: one declarative list a topic, from which the decoder, the
//! Arrow schemas and the SQL catalog follow. Source of the fields: the customer's plan, section 2.

mod access;
mod camera_alert;
mod dispatch;
mod iot;
mod panic;
mod patrol;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::Topic;

/// What a field of a record's body may hold.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// One of a closed set of words; another is a dead letter at `schema`.
    Member(&'static [&'static str]),
    /// A finite number.
    Float,
    /// A finite number within bounds, both included; outside is a dead letter at `semantic`.
    FloatIn(f64, f64),
    /// A whole number within bounds, both included. Below a count's zero is a dead letter at `semantic`;
    /// beyond a bound that is its integer type's (such as 65,535) at `schema`.
    IntIn(i64, i64),
    /// True or false.
    Bool,
    /// RFC 3339, or epoch milliseconds.
    Time,
}

/// One field of a record's body, and the column it becomes.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The name, in JSON and in SQL.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Whether a record without it is a dead letter at `schema`. The entity (see [`entity`]) may be
    /// given by either of its names.
    pub required: bool,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: false }
}

const fn required(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: true }
}

/// Whole numbers of any size.
const INT: Kind = Kind::IntIn(i64::MIN, i64::MAX);
/// Whole numbers from zero.
const COUNT: Kind = Kind::IntIn(0, i64::MAX);
/// A share or a score.
const SHARE: Kind = Kind::FloatIn(0.0, 1.0);

/// The fields every topic shares, in table order.
pub const COMMON: &[Column] = &[
    required("id", Kind::Text),
    column("source", Kind::Text),
    required("time", Kind::Time),
    column("recorded_time", Kind::Time),
    column("site", Kind::Text),
    column("device", Kind::Text),
    column("lon", Kind::FloatIn(-180.0, 180.0)),
    column("lat", Kind::FloatIn(-90.0, 90.0)),
    column("floor", INT),
    column("status", Kind::Member(&["actual", "exercise", "test", "system"])),
    column("native_code", Kind::Text),
];

/// The fields of `topic` beyond [`COMMON`], in table order.
#[must_use]
pub const fn columns(topic: Topic) -> &'static [Column] {
    match topic {
        Topic::Access => access::COLUMNS,
        Topic::CameraAlert => camera_alert::COLUMNS,
        Topic::Iot => iot::COLUMNS,
        Topic::Panic => panic::COLUMNS,
        Topic::Patrol => patrol::COLUMNS,
        Topic::Dispatch => dispatch::COLUMNS,
    }
}

/// The topic's own name for the thing a record speaks of. `device` and this are aliases: whichever a
/// record gives fills both columns, and a record with neither is a dead letter at `schema`.
#[must_use]
pub const fn entity(topic: Topic) -> &'static str {
    match topic {
        Topic::Access => "access_point",
        Topic::CameraAlert => "camera",
        Topic::Iot => "device",
        Topic::Panic => "button",
        Topic::Patrol => "officer_ref",
        Topic::Dispatch => "incident",
    }
}

/// The type of every time column.
#[must_use]
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Member(_) => DataType::Utf8,
        Kind::Float | Kind::FloatIn(..) => DataType::Float64,
        Kind::IntIn(..) => DataType::Int64,
        Kind::Bool => DataType::Boolean,
        Kind::Time => time_type(),
    }
}

/// The Arrow schema of `topic`'s table: [`COMMON`], [`columns`], then what the engine adds:
///
/// - `device_time`: what the device's clock said; `time` is the recorded or Kafka time where that is suspect;
/// - `time_quality`: `good` or `suspect`;
/// - `cell`: H3 at [`crate::cell::EVENT_RESOLUTION`], null where the place is unknown;
/// - `oddity`: what was forgiven (panic only; null elsewhere), codes separated by `;`;
/// - `topic`, `partition`, `offset`: the record's position; `ingested_at`: when it was read.
#[must_use]
pub fn schema(topic: Topic) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; 6]> =
        LazyLock::new(|| Topic::ALL.map(|topic| Arc::new(build(topic))));
    SCHEMAS[topic as usize].clone()
}

fn build(topic: Topic) -> Schema {
    let body = COMMON.iter().chain(columns(topic)).map(|column| {
        let nullable = !matches!(column.name, "id" | "time" | "site" | "status" | "source");
        Field::new(column.name, data_type(column.kind), nullable)
    });
    let engine = [
        Field::new("device_time", time_type(), true),
        Field::new("time_quality", DataType::Utf8, false),
        Field::new("cell", DataType::Int64, true),
        Field::new("oddity", DataType::Utf8, true),
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("ingested_at", time_type(), false),
    ];
    Schema::new(body.chain(engine).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_its_entity_as_a_column_and_no_name_twice() {
        for topic in Topic::ALL {
            let schema = schema(topic);
            assert!(schema.field_with_name(entity(topic)).is_ok(), "{topic} lacks its entity");
            let mut names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), schema.fields().len(), "{topic} names a column twice");
        }
    }
}
