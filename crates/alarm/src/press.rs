//! A press for help that could not be read is still somebody's press (R33, the panic case).

use hexwatch_contract::alarm::{Class, ConfirmLevel, Input, Priority, RuleHit, Transition};
use hexwatch_contract::{DeadLetter, Topic};
use serde_json::{Map, Value};

/// The hit of R33 for a record on `panic` that became a dead letter, at priority 2 and keyed by the record's
/// Kafka key, since the key names the button. `None` for other topics and for tombstones, which are no press.
/// `site` is the site that answers for presses whose own site cannot be read.
#[must_use]
pub fn unreadable_press(letter: &DeadLetter, site: &str) -> Option<RuleHit> {
    // By the code, not by the payload: that may be withheld, and a press it is all the same.
    if letter.meant_for != Topic::Panic || letter.error_code == "tombstone" {
        return None;
    }
    let mut measured = Map::new();
    measured.insert("error_code".to_owned(), Value::from(&*letter.error_code));
    measured.insert("field".to_owned(), letter.field.clone().map_or(Value::Null, Value::from));
    Some(RuleHit {
        rule: "R33".into(),
        rule_version: 1,
        class: Class::System,
        key: letter.key.clone().unwrap_or_else(|| letter.position.to_string()),
        window_start: letter.kafka_time,
        at: letter.kafka_time,
        transition: Transition::Raise,
        priority: Priority::P2,
        confirm_level: ConfirmLevel::Single,
        site: site.to_owned(),
        device: letter.key.clone(),
        cell: None,
        lon: None,
        lat: None,
        inputs: vec![Input {
            topic: letter.position.partition.topic.to_string(),
            partition: letter.position.partition.partition,
            offset: letter.position.offset,
            id: letter.id.clone().unwrap_or_default(),
            role: "unreadable_press".to_owned(),
        }],
        measured,
        drill: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexwatch_contract::{EventTime, Partition, Position, Stage};

    fn letter(meant_for: Topic, error_code: &'static str) -> DeadLetter {
        DeadLetter {
            position: Position { partition: Partition::new("panic", 0), offset: 7 },
            meant_for,
            kafka_time: EventTime::from_millis(1_000),
            refused_at: EventTime::from_millis(1_001),
            key: Some("btn-1".to_owned()),
            id: None,
            stage: Stage::Decode,
            error_code: error_code.into(),
            field: None,
            message: "".into(),
            payload_sha256: hexwatch_contract::Sha256Sum::default(),
            payload: None,
        }
    }

    #[test]
    fn bytes_on_panic_that_are_no_object_raise_r33_at_priority_2_with_the_key() {
        let hit = unreadable_press(&letter(Topic::Panic, "not_json"), "s").unwrap();
        assert_eq!((&*hit.rule, hit.priority, hit.key.as_str()), ("R33", Priority::P2, "btn-1"));
    }

    #[test]
    fn tombstones_and_other_topics_are_no_press() {
        assert_eq!(unreadable_press(&letter(Topic::Panic, "tombstone"), "s"), None);
        assert_eq!(unreadable_press(&letter(Topic::Iot, "not_json"), "s"), None);
    }
}
