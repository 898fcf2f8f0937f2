//! The book against stories that can be told in a sentence.

use std::time::Duration;

use hexwatch_alarm::{Action, ActionError, Book, Settings, Surroundings};
use hexwatch_contract::alarm::{
    Alarm, AlarmId, Class, ConfirmLevel, Input, Priority, RuleHit, State, Transition,
};
use hexwatch_contract::{Cell, EventTime};
use serde_json::{Map, json};

fn at(seconds: i64) -> EventTime {
    EventTime::from_millis(seconds * 1_000)
}

fn book() -> Book {
    let around = |_: Cell| Surroundings { area: Some("East gate".into()), ..Surroundings::default() };
    Book::new(Settings::default(), around)
}

fn hit(rule: &str, key: &str, start: i64, seconds: i64, transition: Transition) -> RuleHit {
    RuleHit {
        rule: rule.into(),
        rule_version: 1,
        class: Class::Fire,
        key: key.to_owned(),
        window_start: at(start),
        at: at(seconds),
        transition,
        priority: Priority::P2,
        confirm_level: ConfirmLevel::Single,
        site: "s".to_owned(),
        device: Some(key.to_owned()),
        cell: Some(Cell::from_index(0x8c_194d_2b54_0a1f)),
        lon: None,
        lat: None,
        inputs: vec![Input {
            topic: "iot".into(),
            partition: 0,
            offset: seconds,
            id: format!("r{seconds}"),
            role: "smoke".into(),
        }],
        measured: Map::new(),
        drill: false,
    }
}

fn raise(book: &mut Book) -> Alarm {
    book.apply_hits(&[hit("R15", "smoke-1", 0, 1, Transition::Raise)], at(2)).remove(0)
}

#[test]
fn a_hit_raises_once_and_its_place_is_known() {
    let mut book = book();
    let alarm = raise(&mut book);
    assert_eq!((alarm.seq, alarm.state, alarm.transition), (1, State::Unack, Transition::Raise));
    assert_eq!((alarm.raised_at, alarm.emitted_at), (at(1), at(2)));
    assert_eq!(alarm.area.as_deref(), Some("East gate"));
    assert_eq!(alarm.explain.template, "alarm.R15");
    assert!(book.apply_hits(&[hit("R15", "smoke-1", 0, 1, Transition::Raise)], at(9)).is_empty());
    assert_eq!(book.latest_seq()["s"], 1);
}

#[test]
fn a_raise_that_comes_again_otherwise_corrects_the_alarm_and_one_that_is_the_same_is_not_told() {
    let mut book = book();
    let alarm = raise(&mut book);
    let mut corrected = hit("R15", "smoke-1", 0, 0, Transition::Raise);
    corrected.priority = Priority::P1;
    corrected.measured.insert("denials".to_owned(), json!(4));
    let change = book.apply_hits(std::slice::from_ref(&corrected), at(6)).remove(0);
    assert_eq!((&change.alarm_id, change.seq, change.state), (&alarm.alarm_id, 2, State::Unack));
    assert_eq!(
        (change.transition, change.raised_at, change.priority),
        (Transition::Raise, at(0), Priority::P1)
    );
    assert_eq!((&change.inputs, &change.measured), (&corrected.inputs, &corrected.measured));
    assert_eq!(change.explain.arguments["denials"], 4);
    assert!(book.apply_hits(&[corrected], at(7)).is_empty());
}

#[test]
fn a_correction_of_what_came_first_is_told_by_the_last_change_that_holds_and_leaves_it_to_who_has_it() {
    let mut book = book();
    let id = raise(&mut book).alarm_id;
    book.apply_hits(&[hit("R15", "smoke-1", 0, 61, Transition::Escalate)], at(62));
    book.act(&id, &Action::Ack, "op", at(63)).unwrap();
    let mut corrected = hit("R15", "smoke-1", 0, 1, Transition::Raise);
    corrected.measured.insert("denials".to_owned(), json!(4));
    let change = book.apply_hits(&[corrected], at(64)).remove(0);
    assert_eq!((change.transition, change.changed_at), (Transition::Escalate, at(61)));
    assert_eq!((change.state, change.measured["denials"].clone()), (State::Acked, json!(4)));
}

#[test]
fn an_escalation_that_is_taken_back_is_as_if_it_had_never_been() {
    let mut book = book();
    let raised = raise(&mut book);
    let mut worse = hit("R15", "smoke-1", 0, 61, Transition::Escalate);
    worse.priority = Priority::P1;
    book.apply_hits(std::slice::from_ref(&worse), at(62));
    let change = book.revise(&[worse], &[], at(63)).remove(0);
    assert_eq!(Alarm { seq: 1, emitted_at: at(2), ..change }, raised);
}

#[test]
fn a_return_that_is_taken_back_leaves_the_alarm_active() {
    let mut book = book();
    let raised = raise(&mut book);
    let back = hit("R15", "smoke-1", 0, 20, Transition::Return);
    book.apply_hits(std::slice::from_ref(&back), at(21));
    let change = book.revise(&[back], &[], at(22)).remove(0);
    assert_eq!(Alarm { seq: 1, emitted_at: at(2), ..change }, raised);
}

#[test]
fn what_is_taken_back_and_given_again_in_one_step_is_one_correction() {
    let mut book = book();
    raise(&mut book);
    let before = hit("R15", "smoke-1", 0, 1, Transition::Raise);
    let again = hit("R15", "smoke-1", 0, 0, Transition::Raise);
    let changes = book.revise(&[before], &[again], at(5));
    let told: Vec<_> = changes.iter().map(|change| (change.transition, change.raised_at)).collect();
    assert_eq!(told, [(Transition::Raise, at(0))]);
}

#[test]
fn an_ack_of_an_acked_alarm_says_who_has_it() {
    let mut book = book();
    let id = raise(&mut book).alarm_id;
    assert_eq!(book.act(&id, &Action::Ack, "op-1", at(3)).unwrap().state, State::Acked);
    let refused = book.act(&id, &Action::Ack, "op-2", at(4)).unwrap_err();
    assert_eq!(refused, ActionError::AlreadyAcked { id: id.clone(), by: "op-1".to_owned() });
    assert_eq!(book.act(&id, &Action::Unack, "op-2", at(5)).unwrap().state, State::Unack);
    assert_eq!(book.latest_seq()["s"], 3, "a refused action has no number");
}

#[test]
fn a_shelved_alarm_needs_a_reason_and_a_time_and_comes_back_by_itself() {
    let mut book = book();
    let id = raise(&mut book).alarm_id;
    let shelve = |until, reason: &str| Action::Shelve { until: at(until), reason: reason.to_owned() };
    assert!(matches!(book.act(&id, &shelve(60, " "), "op", at(3)), Err(ActionError::Missing { .. })));
    assert!(matches!(
        book.act(&id, &shelve(3, "welding"), "op", at(3)),
        Err(ActionError::ShelvedUntilThePast { .. })
    ));
    assert_eq!(book.act(&id, &shelve(60, "welding"), "op", at(3)).unwrap().state, State::Shelved);
    assert!(book.tick(at(59)).is_empty());
    let back = book.tick(at(61)).remove(0);
    assert_eq!((back.state, back.transition, back.changed_at), (State::Unack, Transition::Unshelve, at(60)));
}

#[test]
fn a_panic_ends_by_an_operator_only() {
    let mut book = book();
    let id = book.apply_hits(&[hit("R10", "btn-1", 0, 0, Transition::Raise)], at(0)).remove(0).alarm_id;
    for transition in [Transition::Return, Transition::Clear, Transition::Reject] {
        assert!(book.apply_hits(&[hit("R10", "btn-1", 0, 5, transition)], at(5)).is_empty());
    }
    assert_eq!(book.act(&id, &Action::Reject { note: None }, "op", at(9)).unwrap().state, State::Normal);
}

#[test]
fn what_a_device_in_test_gives_rise_to_is_suppressed_and_logged_but_never_a_press() {
    let mut book = book();
    book.device_state("smoke-1", "test", at(0));
    book.device_state("btn-1", "fault", at(0));
    let held_back = raise(&mut book);
    assert_eq!((held_back.state, held_back.transition), (State::Suppressed, Transition::Suppress));
    assert_eq!(held_back.measured["suppressed_by"], json!({ "device": "smoke-1", "state": "test" }));
    let press = book.apply_hits(&[hit("R10", "btn-1", 0, 5, Transition::Raise)], at(5)).remove(0);
    assert_eq!(press.state, State::Unack);
}

#[test]
fn a_faulty_device_never_yields_an_all_clear() {
    let mut book = book();
    raise(&mut book);
    book.device_state("smoke-1", "fault", at(5));
    assert!(book.apply_hits(&[hit("R15", "smoke-1", 0, 6, Transition::Return)], at(6)).is_empty());
    book.device_state("smoke-1", "normal", at(7));
    let returned = book.apply_hits(&[hit("R15", "smoke-1", 0, 7, Transition::Return)], at(7)).remove(0);
    assert_eq!(returned.state, State::RtnUnack);
}

#[test]
fn a_state_that_comes_late_judges_alarms_that_were_told_already() {
    let mut book = book();
    let raised = raise(&mut book);
    book.device_state("smoke-1", "test", at(0));
    let held_back = book.apply_hits(&[], at(3)).remove(0);
    assert_eq!((held_back.state, held_back.transition), (State::Suppressed, Transition::Suppress));
    book.device_state("smoke-1", "normal", at(1));
    let back = book.apply_hits(&[], at(4)).remove(0);
    assert_eq!(Alarm { seq: 1, emitted_at: at(2), ..back }, raised);

    book.act(&raised.alarm_id, &Action::Ack, "op", at(5)).unwrap();
    book.device_state("smoke-1", "fault", at(1));
    let doubted = book.apply_hits(&[], at(6)).remove(0);
    assert_eq!(doubted.state, State::Acked, "what somebody has is not put out of sight");
}

#[test]
fn a_confirmation_escalates_the_earliest_alarm_and_links_the_others() {
    let mut book = book();
    let first = raise(&mut book).alarm_id;
    let mut confirm = hit("R15", "smoke-1", 0, 30, Transition::Confirm);
    confirm.priority = Priority::P1;
    let mut link = hit("R15", "smoke-2", 29, 30, Transition::Confirm);
    link.measured.insert("linked_key".to_owned(), json!("smoke-1"));
    link.measured.insert("linked_start".to_owned(), json!(0));
    let hits = [link, confirm, hit("R15", "smoke-2", 29, 30, Transition::Raise)];
    let changes = book.apply_hits(&hits, at(31));
    let told: Vec<_> = changes.iter().map(|change| (change.key.as_str(), change.transition)).collect();
    assert_eq!(
        told,
        [("smoke-2", Transition::Raise), ("smoke-1", Transition::Confirm), ("smoke-2", Transition::Comment)]
    );
    let confirmed = book.alarm(&first).unwrap();
    assert_eq!((confirmed.priority, confirmed.confirm_level), (Priority::P1, ConfirmLevel::Dual));
    let second = book.alarm(&AlarmId::of("R15", 1, "smoke-2", at(29))).unwrap();
    assert_eq!((second.priority, second.incident.as_deref()), (Priority::P2, Some(first.as_str())));
    assert!(book.apply_hits(&hits, at(40)).is_empty());
}

#[test]
fn alarms_that_are_joined_in_a_chain_have_one_incident_whichever_link_is_known_first() {
    let link = |key: &str, start: i64, to: &str, to_start: i64| {
        let mut link = hit("R15", key, start, start + 1, Transition::Confirm);
        link.measured.insert("linked_key".to_owned(), json!(to));
        link.measured.insert("linked_start".to_owned(), json!(to_start * 1_000));
        link
    };
    let first = AlarmId::of("R15", 1, "smoke-1", at(0));
    let links = [link("smoke-2", 10, "smoke-1", 0), link("smoke-3", 20, "smoke-2", 10)];
    for order in [[0, 1], [1, 0]] {
        let mut book = book();
        let raises = [("smoke-1", 0), ("smoke-2", 10), ("smoke-3", 20)]
            .map(|(key, start)| hit("R15", key, start, start, Transition::Raise));
        book.apply_hits(&raises, at(30));
        for link in order {
            book.apply_hits(std::slice::from_ref(&links[link]), at(31));
        }
        for link in &links {
            let alarm = book.alarm(&link.alarm_id()).unwrap();
            assert_eq!(alarm.incident.as_deref(), Some(first.as_str()), "{} with {order:?}", alarm.key);
        }
    }
}

#[test]
fn what_builds_on_an_alarm_finds_it_though_it_came_first_and_another_was_open_there() {
    let mut book = book();
    let earlier = raise(&mut book);
    let worse = hit("R15", "smoke-1", 500, 561, Transition::Escalate);
    let told = book.apply_hits(std::slice::from_ref(&worse), at(562)).remove(0);
    assert_eq!(told.alarm_id, earlier.alarm_id, "an episode may be longer than a rule looks back");
    let changes = book.apply_hits(&[hit("R15", "smoke-1", 500, 501, Transition::Raise)], at(563));
    let told: Vec<_> = changes.iter().map(|change| (&change.alarm_id, change.transition)).collect();
    let id = worse.alarm_id();
    let expected =
        [(&id, Transition::Raise), (&id, Transition::Escalate), (&earlier.alarm_id, Transition::Raise)];
    assert_eq!(told, expected);
}

#[test]
fn a_confirmation_brings_back_what_had_returned() {
    let mut book = book();
    let id = raise(&mut book).alarm_id;
    book.act(&id, &Action::Ack, "op", at(3)).unwrap();
    book.apply_hits(&[hit("R15", "smoke-1", 0, 20, Transition::Return)], at(20));
    assert_eq!(book.alarm(&id).unwrap().state, State::Normal);
    let back = book.apply_hits(&[hit("R15", "smoke-1", 0, 90, Transition::Confirm)], at(90)).remove(0);
    assert_eq!(back.state, State::Unack);
}

#[test]
fn an_end_whose_episode_is_longer_than_the_rule_looks_back_finds_its_alarm() {
    let mut book = book();
    let id = raise(&mut book).alarm_id;
    let late =
        book.apply_hits(&[hit("R15", "smoke-1", 7_000, 7_200, Transition::Return)], at(7_200)).remove(0);
    assert_eq!((late.alarm_id, late.state), (id, State::RtnUnack));
}

#[test]
fn a_rejected_alarm_does_not_escalate_any_more() {
    let mut book = book();
    let id = raise(&mut book).alarm_id;
    book.act(&id, &Action::Reject { note: Some("burnt toast".into()) }, "op", at(20)).unwrap();
    assert!(book.apply_hits(&[hit("R15", "smoke-1", 0, 61, Transition::Escalate)], at(61)).is_empty());
}

#[test]
fn an_alarm_that_is_over_is_forgotten_in_time_and_an_open_one_is_not() {
    let settings = Settings { remember: Duration::from_secs(100), ..Settings::default() };
    let mut book = Book::new(settings, |_: Cell| Surroundings::default());
    let id = raise(&mut book).alarm_id;
    book.tick(at(1_000));
    assert!(book.alarm(&id).is_some());
    book.act(&id, &Action::Reject { note: None }, "op", at(1_000)).unwrap();
    book.tick(at(1_099));
    assert!(book.alarm(&id).is_some());
    book.tick(at(1_101));
    assert!(book.alarm(&id).is_none());
}

#[test]
fn a_raise_that_is_taken_back_clears_its_alarm_and_may_come_again() {
    let mut book = book();
    let hit = hit("R01", "door-1", 0, 1, Transition::Raise);
    let raised = book.apply_hits(std::slice::from_ref(&hit), at(2)).remove(0);
    let cleared = book.revise(std::slice::from_ref(&hit), &[], at(3)).remove(0);
    assert_eq!((cleared.state, cleared.transition), (State::Normal, Transition::Clear));
    assert!(book.revise(std::slice::from_ref(&hit), &[], at(4)).is_empty());
    let nowhere = |_: Cell| Surroundings::default();
    let mut restarted = Book::replay(Settings::default(), nowhere, [&raised, &cleared]).unwrap();
    for book in [&mut book, &mut restarted] {
        let again = book.apply_hits(std::slice::from_ref(&hit), at(5)).remove(0);
        assert_eq!((again.state, again.seq, &again.alarm_id), (State::Unack, 3, &raised.alarm_id));
        assert!(book.apply_hits(std::slice::from_ref(&hit), at(6)).is_empty());
    }
}

#[test]
fn an_alarm_that_returned_before_its_raise_was_taken_back_waits_for_nobody() {
    let mut book = book();
    let raise = hit("R15", "smoke-1", 0, 1, Transition::Raise);
    let back = hit("R15", "smoke-1", 0, 2, Transition::Return);
    book.apply_hits(&[raise.clone(), back.clone()], at(3));
    assert_eq!(book.alarm(&raise.alarm_id()).unwrap().state, State::RtnUnack);
    book.revise(std::slice::from_ref(&raise), &[], at(4));
    assert_eq!(book.alarm(&raise.alarm_id()).unwrap().state, State::Normal);
    book.apply_hits(&[raise.clone(), back], at(5));
    assert_eq!(book.alarm(&raise.alarm_id()).unwrap().state, State::RtnUnack, "found again, it ends again");
}

#[test]
fn what_a_restart_does_not_find_again_is_cleared_once_that_is_sure_and_not_before() {
    let mut book = book();
    let told = raise(&mut book);
    book.unsettle(&told.alarm_id, std::iter::empty());
    assert!(book.apply_hits(&[], at(3)).is_empty() && !book.is_as_told(&told.alarm_id));
    let cleared = book.settle(&told.alarm_id, at(4)).unwrap();
    assert_eq!((cleared.transition, cleared.state), (Transition::Clear, State::Normal));
}

#[test]
fn what_a_restart_finds_again_is_not_told_again() {
    let mut book = book();
    let told = raise(&mut book);
    book.unsettle(&told.alarm_id, std::iter::empty());
    assert!(book.apply_hits(&[hit("R15", "smoke-1", 0, 1, Transition::Raise)], at(3)).is_empty());
    assert!(book.is_as_told(&told.alarm_id));
    assert_eq!(book.settle(&told.alarm_id, at(4)), None);
}

#[test]
fn an_alarm_that_was_cleared_just_before_a_restart_is_raised_again_where_it_holds_after_all() {
    let mut book = book();
    let raised = raise(&mut book);
    book.revise(&[hit("R15", "smoke-1", 0, 1, Transition::Raise)], &[], at(3));
    book.unsettle(&raised.alarm_id, [&raised].into_iter());
    assert!(book.apply_hits(&[], at(4)).is_empty());
    let again = book.settle(&raised.alarm_id, at(5)).unwrap();
    assert_eq!(Alarm { seq: 1, emitted_at: at(2), ..again }, raised);
}

#[test]
fn what_may_be_found_again_after_a_restart_keeps_an_alarm_urgent_until_it_is_sure_that_it_is_not() {
    let mut book = book();
    let raised = raise(&mut book);
    let mut escalation = hit("R15", "smoke-1", 0, 61, Transition::Escalate);
    escalation.priority = Priority::P1;
    book.apply_hits(std::slice::from_ref(&escalation), at(62));
    book.unsettle(&raised.alarm_id, [&raised].into_iter());
    let back = book.apply_hits(&[hit("R15", "smoke-1", 0, 90, Transition::Return)], at(91)).remove(0);
    assert_eq!((back.state, back.priority), (State::RtnUnack, Priority::P1));
    let settled = book.settle(&raised.alarm_id, at(92)).unwrap();
    assert_eq!((settled.transition, settled.priority), (Transition::Return, Priority::P2));
}

#[test]
fn a_log_with_a_gap_is_refused() {
    let mut book = book();
    let first = raise(&mut book);
    let mut third = book.act(&first.alarm_id, &Action::Ack, "op", at(3)).unwrap();
    third.seq = 3;
    let replayed = Book::replay(Settings::default(), |_: Cell| Surroundings::default(), [&first, &third]);
    assert!(replayed.is_err_and(|error| error.to_string().contains("from change 1 to 3")));
}
