#![allow(clippy::unwrap_used, reason = "a panic is the failure")]
//! The book against a plain model of ISA-18.2, under any interleaving of hits, people, time and restarts; and the law
//! that what it says in the end does not tell in which order and pieces it heard of it.

mod plain;
mod steps;
mod story;

use std::collections::BTreeMap;

use hexwatch_alarm::{Action, Book, Settings};
use hexwatch_contract::alarm::{Alarm, AlarmId, RuleHit, Transition};
use proptest::prelude::*;

use self::plain::Plain;
use self::steps::{Step, at, hit, nowhere, run, steps};
use self::story::{Told as _, story};

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
                        plain.entry(id.clone()).or_default();
                    }
                    if let Some((alarm, _)) = plain.get_mut(&id) {
                        alarm.hit(*transition, if *transition == Transition::Raise { 0 } else { now });
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
        // What the rules would give again after a restart: of each finding what was given last.
        let mut hold: BTreeMap<(AlarmId, Transition), RuleHit> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            if number == cut {
                let mut again = Book::replay(Settings::default(), nowhere, &log).unwrap();
                again.recall(&hold.values().cloned().collect::<Vec<_>>());
                restarted = Some(again);
            }
            let now = i64::try_from(number).unwrap() * 200;
            let changes = run(&mut book, step, now);
            if let Step::Hit { site, key, transition, priority } = step {
                let hit = hit(*site, *key, *transition, *priority, now);
                let is_known = book.alarm(&hit.alarm_id()).is_some();
                hold.extend(is_known.then(|| ((hit.alarm_id(), *transition), hit)));
            }
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
        for alarm in Book::replay(Settings::default(), nowhere, &log).unwrap().alarms() {
            prop_assert_eq!(Some(alarm), book.alarm(&alarm.alarm_id));
        }
    }

    #[test]
    fn hits_taken_in_again_change_nothing(steps in steps()) {
        let mut book = Book::new(Settings::default(), nowhere);
        let mut hits: BTreeMap<(AlarmId, Transition), RuleHit> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            if let Step::Hit { site, key, transition, priority } = step {
                let hit = hit(*site, *key, *transition, *priority, i64::try_from(number).unwrap() * 200);
                hits.insert((hit.alarm_id(), *transition), hit);
            }
        }
        let mut hits: Vec<RuleHit> = hits.into_values().collect();
        book.apply_hits(&hits, at(1_000_000));
        // An end that comes before its beginning ends nothing, and does so when it comes again.
        book.apply_hits(&hits, at(1_000_000));
        prop_assert_eq!(book.apply_hits(&hits, at(2_000_000)), Vec::new());
        hits.reverse();
        for hit in &hits {
            prop_assert_eq!(book.apply_hits(std::slice::from_ref(hit), at(3_000_000)), Vec::new());
        }
    }

    #[test]
    fn the_same_findings_leave_the_same_alarms_in_whatever_order_and_pieces_they_come(story in story()) {
        let at_once = Book::new(Settings::default(), nowhere).told(&story.in_order());
        let in_pieces = Book::new(Settings::default(), nowhere).told(&story.in_pieces());
        prop_assert_eq!(in_pieces, at_once);
    }
}
