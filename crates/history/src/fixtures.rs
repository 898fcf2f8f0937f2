//! What the tests of this crate are made of.

use std::sync::Arc;

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{Alarm, AlarmId, Class, ConfirmLevel, Explain, Priority, State, Transition};

/// Change number `seq` of `site`: the first change of an alarm of its own.
pub(crate) fn alarm(site: &str, seq: u64) -> Alarm {
    let at = EventTime::from_millis(1_700_000_000_000 + i64::try_from(seq).unwrap() * 1_000);
    Alarm {
        alarm_id: AlarmId::of("R10", 1, &format!("{site}-{seq}"), at),
        seq,
        site: site.to_owned(),
        rule: Arc::from("R10"),
        rule_version: 1,
        class: Class::Panic,
        priority: Priority::P1,
        state: State::Unack,
        transition: Transition::Raise,
        actor_ref: None,
        note: Some("a note\nof two lines".to_owned()),
        assigned_to: None,
        shelved_until: None,
        raised_at: at,
        changed_at: at,
        emitted_at: at,
        key: "button-1".to_owned(),
        device: Some("button-1".to_owned()),
        cell: None,
        lon: Some(121.5),
        lat: Some(31.2),
        area: None,
        grid: None,
        officer_role: None,
        inputs: Vec::new(),
        measured: serde_json::Map::new(),
        confirm_level: ConfirmLevel::Single,
        drill: false,
        replay: false,
        incident: None,
        explain: Explain::default(),
    }
}

/// Change number `seq` of `site`: an acknowledgement of `raised`.
pub(crate) fn ack(raised: &Alarm, seq: u64) -> Alarm {
    Alarm { seq, state: State::Acked, transition: Transition::Ack, ..raised.clone() }
}
