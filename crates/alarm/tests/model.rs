#![allow(clippy::unwrap_used, reason = "a panic is the failure")]
//! The book against a plain model of ISA-18.2, under any interleaving of hits, people, time and restarts.

use std::collections::BTreeMap;

use hexwatch_alarm::{Action, Book, Settings, Surroundings};
use hexwatch_contract::alarm::{Alarm, AlarmId, Class, ConfirmLevel, Priority, RuleHit, State, Transition};
use hexwatch_contract::{Cell, EventTime};
use proptest::prelude::*;
use serde_json::Map;

#[derive(Clone, Debug)]
enum Step {
    Hit { site: u8, key: u8, transition: Transition, priority: u8 },
    Act { site: u8, key: u8, action: Action },
    Tick,
}

/// What a textbook says of one alarm: is it there, does somebody have it, is it put aside, was it judged false.
#[allow(clippy::struct_excessive_bools, reason = "the plainest model there is")]
#[derive(Clone, Copy, Default)]
struct Plain {
    there: bool,
    had: bool,
    shelved: bool,
    judged_false: bool,
    taken: [bool; 4],
}

impl Plain {
    fn state(self) -> State {
        match (self.shelved, self.there, self.had) {
            (true, ..) => State::Shelved,
            (_, true, false) => State::Unack,
            (_, true, true) => State::Acked,
            (_, false, false) => State::RtnUnack,
            (_, false, true) => State::Normal,
        }
    }

    fn hit(&mut self, transition: Transition) {
        let number = match transition {
            Transition::Escalate => 0,
            Transition::Confirm => 1,
            Transition::Return => 2,
            Transition::Reject => 3,
            _ => return,
        };
        if self.taken[number] || (self.judged_false && transition != Transition::Confirm) {
            return;
        }
        if number >= 2 && !self.there {
            return;
        }
        self.taken[number] = true;
        match transition {
            Transition::Return => self.there = false,
            Transition::Reject => {
                (self.there, self.had, self.shelved, self.judged_false) = (false, true, false, true);
            }
            _ if !self.there => {
                (self.there, self.had, self.shelved, self.judged_false) = (true, false, false, false);
            }
            _ => {}
        }
    }

    fn act(&mut self, action: &Action) -> bool {
        let open = matches!(self.state(), State::Unack | State::Acked | State::RtnUnack);
        match action {
            Action::Ack if open && !self.had => self.had = true,
            Action::Unack if self.state() == State::Acked => self.had = false,
            Action::Shelve { .. } if open => self.shelved = true,
            Action::Unshelve if self.shelved => self.shelved = false,
            Action::Confirm { .. } if open => self.had = true,
            Action::Reject { .. } if open => {
                (self.there, self.had, self.judged_false) = (false, true, true);
            }
            Action::Comment { .. } | Action::Assign { .. } => {}
            _ => return false,
        }
        true
    }
}

fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

fn hit(site: u8, key: u8, transition: Transition, priority: u8, now: i64) -> RuleHit {
    RuleHit {
        rule: "R01".into(),
        rule_version: 1,
        class: Class::Access,
        key: format!("{site}-{key}"),
        window_start: at(0),
        at: at(now),
        transition,
        priority: Priority::try_from(priority).unwrap(),
        confirm_level: ConfirmLevel::Single,
        site: site.to_string(),
        device: None,
        cell: None,
        lon: None,
        lat: None,
        inputs: Vec::new(),
        measured: Map::new(),
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

fn steps() -> impl Strategy<Value = Vec<Step>> {
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

fn nowhere(_: Cell) -> Surroundings {
    Surroundings::default()
}

fn run(book: &mut Book, step: &Step, now: i64) -> Vec<Alarm> {
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

proptest! {
    #[test]
    fn the_book_does_what_the_plain_model_does(steps in steps()) {
        let mut book = Book::new(Settings::default(), nowhere);
        let mut plain: BTreeMap<AlarmId, (Plain, i64)> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            let now = i64::try_from(number).unwrap() * 200;
            let changes = run(&mut book, step, now);
            match step {
                Step::Hit { site, key, transition, priority } => {
                    let id = hit(*site, *key, *transition, *priority, now).alarm_id();
                    let opens = matches!(transition, Transition::Raise | Transition::Escalate | Transition::Confirm);
                    if opens {
                        plain.entry(id.clone()).or_insert((Plain { there: true, ..Plain::default() }, 0));
                    }
                    if let Some((alarm, _)) = plain.get_mut(&id) {
                        alarm.hit(*transition);
                    }
                }
                Step::Act { site, key, action } => {
                    let id = hit(*site, *key, Transition::Raise, 1, now).alarm_id();
                    let in_time = !matches!(action, Action::Shelve { until, .. } if *until <= at(now));
                    if let Some((alarm, until)) = plain.get_mut(&id) {
                        let done = in_time && alarm.act(action);
                        prop_assert_eq!(done, !changes.is_empty(), "{:?}", step);
                        if let (true, Action::Shelve { until: named, .. }) = (done, action) {
                            *until = named.millis();
                        }
                    }
                }
                Step::Tick => for (alarm, until) in plain.values_mut() {
                    alarm.shelved &= *until > now;
                },
            }
            for (id, (alarm, _)) in &plain {
                prop_assert_eq!(book.alarm(id).unwrap().state, alarm.state(), "after {:?}", step);
            }
        }
    }

    #[test]
    fn numbers_have_no_gaps_and_a_restart_anywhere_changes_nothing(steps in steps(), cut in 0usize..60) {
        let mut book = Book::new(Settings::default(), nowhere);
        let mut restarted: Option<Book> = None;
        let mut log: Vec<Alarm> = Vec::new();
        let mut latest: BTreeMap<String, u64> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            if number == cut {
                restarted = Some(Book::replay(Settings::default(), nowhere, &log).unwrap());
            }
            let now = i64::try_from(number).unwrap() * 200;
            let changes = run(&mut book, step, now);
            if let Some(other) = &mut restarted {
                prop_assert_eq!(&run(other, step, now), &changes);
            }
            for change in &changes {
                let seq = latest.entry(change.site.clone()).or_insert(0);
                *seq += 1;
                prop_assert_eq!(change.seq, *seq);
            }
            log.extend(changes);
        }
    }

    #[test]
    fn hits_taken_in_again_in_any_order_change_nothing(steps in steps()) {
        let mut book = Book::new(Settings::default(), nowhere);
        let mut hits = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            if let Step::Hit { site, key, transition, priority } = step {
                hits.push(hit(*site, *key, *transition, *priority, i64::try_from(number).unwrap() * 200));
            }
        }
        book.apply_hits(&hits, at(1_000_000));
        prop_assert_eq!(book.apply_hits(&hits, at(2_000_000)), Vec::new());
        hits.reverse();
        for hit in &hits {
            prop_assert_eq!(book.apply_hit(hit, at(3_000_000)), Vec::new());
        }
    }
}
