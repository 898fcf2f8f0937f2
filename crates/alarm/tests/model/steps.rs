//! What may happen to a book, in any order: hits of rules, what people do, time.

use hexwatch_alarm::{Action, Book, Surroundings};
use hexwatch_contract::alarm::{Alarm, Class, ConfirmLevel, Input, Priority, RuleHit, Transition};
use hexwatch_contract::{Cell, EventTime};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// What happens to the book.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Hit { site: u8, key: u8, transition: Transition, priority: u8 },
    Act { site: u8, key: u8, action: Action },
    Tick,
}

pub(crate) fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

pub(crate) fn hit(site: u8, key: u8, transition: Transition, priority: u8, now: i64) -> RuleHit {
    RuleHit {
        rule: "R01".into(),
        rule_version: 1,
        class: Class::Access,
        key: format!("{site}-{key}"),
        window_start: at(0),
        // A beginning lies before all that builds on it, however it is corrected.
        at: at(if transition == Transition::Raise { 0 } else { now }),
        transition,
        priority: Priority::try_from(priority).unwrap(),
        confirm_level: ConfirmLevel::Single,
        site: site.to_string(),
        device: None,
        cell: None,
        lon: None,
        lat: None,
        inputs: vec![Input {
            topic: "access".into(),
            partition: 0,
            offset: now,
            id: format!("e{}", now / 400),
            role: "seen".into(),
        }],
        measured: Map::from_iter([("at".to_owned(), Value::from(now))]),
        drill: false,
    }
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Ack),
        Just(Action::Unack),
        Just(Action::Comment { text: "seen".into() }),
        (1i64..8).prop_map(|until| Action::Shelve { until: at(until * 1_000), reason: "works".into() }),
        Just(Action::Unshelve),
        Just(Action::Confirm { note: None }),
        Just(Action::Reject { note: None }),
        Just(Action::Assign { to: "property".into() }),
    ]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let transitions = prop::sample::select(vec![
        Transition::Raise,
        Transition::Raise,
        Transition::Escalate,
        Transition::Confirm,
        Transition::Return,
        Transition::Reject,
    ]);
    let step = prop_oneof![
        4 => (0u8..2, 0u8..2, transitions, 1u8..=4)
            .prop_map(|(site, key, transition, priority)| Step::Hit { site, key, transition, priority }),
        4 => (0u8..2, 0u8..2, actions()).prop_map(|(site, key, action)| Step::Act { site, key, action }),
        1 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 1..60)
}

pub(crate) fn nowhere(_: Cell) -> Surroundings {
    Surroundings::default()
}

pub(crate) fn run(book: &mut Book, step: &Step, now: i64) -> Vec<Alarm> {
    match step {
        Step::Hit { site, key, transition, priority } => {
            book.apply_hits(&[hit(*site, *key, *transition, *priority, now)], at(now))
        }
        Step::Act { site, key, action } => {
            let id = hit(*site, *key, Transition::Raise, 1, now).alarm_id();
            book.act(&id, action, "op", at(now)).into_iter().collect()
        }
        Step::Tick => book.tick(at(now)),
    }
}
