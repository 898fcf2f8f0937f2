//! What is known of a topic's fields before its first record comes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hexwatch_contract::Topic;
use hexwatch_contract::event::{COMMON, Column, Kind, columns, entity};

use super::scan::Mark;

/// More than any topic has fields, so that one record's fields fit an array.
pub(super) const WIDTH: usize = 24;

// Where the common fields stand in `COMMON`; a test holds them against it.
pub(super) const ID: usize = 0;
pub(super) const SOURCE: usize = 1;
pub(super) const TIME: usize = 2;
pub(super) const RECORDED_TIME: usize = 3;
pub(super) const SITE: usize = 4;
pub(super) const DEVICE: usize = 5;
pub(super) const LON: usize = 6;
pub(super) const LAT: usize = 7;
pub(super) const FLOOR: usize = 8;
pub(super) const STATUS: usize = 9;

/// A set of fields, one bit each.
pub(super) type Fields = u32;

/// The one-member set.
pub(super) const fn bit(field: usize) -> Fields {
    1 << field
}

/// A topic's fields by number.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) topic: Topic,
    pub(super) columns: Vec<Column>,
    /// The names of `columns` as they stand in JSON.
    pub(super) marks: Vec<Mark>,
    /// The topic's own name for what a record speaks of; `DEVICE` for iot.
    pub(super) entity: usize,
    /// Every field that must be there by itself.
    pub(super) required: Vec<usize>,
    /// One of these must be there; empty where no such rule holds.
    pub(super) any_of: Fields,
    /// The patrol's `offline`.
    pub(super) offline: Option<usize>,
    /// Free text, which may hold what must not be stored.
    pub(super) free_text: Fields,
    /// Free text that must not hold a person's number either.
    pub(super) personal: Fields,
    /// What is said of a field's value that is refused.
    pub(super) faults: Vec<Faults>,
}

/// What is said of a field that is refused. Written once: damaged records may come by the million. The value itself
/// stays in the payload, for a message is shown in places that a payload is not.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    pub(super) missing: String,
    pub(super) wrong_type: String,
    /// It is of its type, and beyond what the field takes.
    pub(super) beyond: String,
}

impl Faults {
    fn of(column: &Column) -> Self {
        let name = column.name;
        let (wanted, beyond) = match column.kind {
            Kind::Text => ("text", String::new()),
            Kind::Member(members) => {
                let known = members.join(", ");
                ("text", format!("is not one of {known}; replay the record after an upgrade knows it"))
            }
            Kind::Bool => ("true or false", String::new()),
            Kind::Float => ("a number", String::new()),
            Kind::FloatIn(low, high) => ("a number", format!("is outside {low} to {high}")),
            Kind::IntIn(low, high) => ("a whole number", format!("is outside {low} to {high}")),
            Kind::Time => (
                "RFC 3339 with an offset, or epoch milliseconds",
                "lies outside the years 1 to 9999; send milliseconds".to_owned(),
            ),
        };
        Self {
            missing: format!("`{name}` is missing; it is required"),
            wrong_type: format!("`{name}` must be {wanted}"),
            beyond: format!("`{name}` {beyond}"),
        }
    }
}

impl Layout {
    /// The fields of `topic`'s records.
    pub(super) fn of(topic: Topic) -> &'static Self {
        static LAYOUTS: LazyLock<BTreeMap<Topic, Layout>> =
            LazyLock::new(|| Topic::ALL.into_iter().map(|topic| (topic, Layout::make(topic))).collect());
        &LAYOUTS[&topic]
    }

    fn make(topic: Topic) -> Self {
        let columns: Vec<Column> = COMMON.iter().chain(columns(topic)).copied().collect();
        let number = |name: &str| columns.iter().position(|column| column.name == name);
        let set =
            |names: &[&str]| names.iter().filter_map(|name| number(name)).fold(0, |set, n| set | bit(n));
        let required =
            columns.iter().enumerate().filter(|(_, column)| column.required).map(|(n, _)| n).collect();
        let texts = (0..columns.len()).filter(|number| columns[*number].kind == Kind::Text);
        let says: &[&str] = if topic == Topic::Iot { &["property", "state", "heartbeat"] } else { &[] };
        Self {
            topic,
            entity: number(entity(topic)).unwrap_or(DEVICE),
            required,
            any_of: set(says),
            offline: number("offline"),
            free_text: texts.fold(0, |set, number| set | bit(number)),
            personal: set(&["native_code", "credential_ref", "caller_ref", "unit_ref", "officer_ref"]),
            marks: columns.iter().map(|column| Mark::of(column.name)).collect(),
            faults: columns.iter().map(Faults::of).collect(),
            columns,
        }
    }

    pub(super) fn name(&self, field: usize) -> &'static str {
        self.columns[field].name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_common_fields_are_those_of_the_contract() {
        let named = [
            (ID, "id"),
            (SOURCE, "source"),
            (TIME, "time"),
            (RECORDED_TIME, "recorded_time"),
            (SITE, "site"),
            (DEVICE, "device"),
            (LON, "lon"),
            (LAT, "lat"),
            (FLOOR, "floor"),
            (STATUS, "status"),
        ];
        assert_eq!(named.len() + 1, COMMON.len(), "`native_code` is the only one without a number");
        for (field, name) in named {
            assert_eq!(COMMON[field].name, name);
        }
    }

    #[test]
    fn every_topic_fits_the_width() {
        for topic in Topic::ALL {
            assert!(Layout::of(topic).columns.len() <= WIDTH, "{topic} has more than {WIDTH} fields");
        }
    }
}
