#![allow(clippy::unwrap_used, reason = "a panic is the failure")]
//! The book against a plain model of ISA-18.2, under any interleaving of hits, people, time and restarts; and the law
//! that what it says in the end does not tell in which order and pieces it heard of it.

use std::collections::BTreeMap;

use hexwatch_alarm::{Action, Book, Settings, Surroundings};
use hexwatch_contract::alarm::{
    Alarm, AlarmId, Class, ConfirmLevel, Input, Priority, RuleHit, State, Transition,
};
use hexwatch_contract::{Cell, EventTime};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[derive(Clone, Debug)]
enum Step {
    Hit { site: u8, key: u8, transition: Transition, priority: u8 },
    Act { site: u8, key: u8, action: Action },
    Tick,
}

/// What a textbook says of one alarm: what was found of it and when, does somebody have it, is it put aside, was it
/// judged false.
#[allow(clippy::struct_excessive_bools, reason = "the plainest model there is")]
#[derive(Clone, Default)]
struct Plain {
    found: BTreeMap<Transition, i64>,
    /// What that had come to when people heard of it.
    told: (bool, bool, bool),
    there: bool,
    had: bool,
    /// Whether nobody has it but a rule's judgement.
    had_by_a_rule: bool,
    shelved: bool,
    judged_false: bool,
}

/// Whether it is there, whether a rule has rejected it, and whether it is confirmed, by all that was found, in the order
/// of time.
fn read(found: &BTreeMap<Transition, i64>) -> (bool, bool, bool) {
    let mut ordered: Vec<(i64, Transition)> =
        found.iter().map(|(transition, at)| (*at, *transition)).collect();
    ordered.sort_unstable();
    let opens =
        |transition| matches!(transition, Transition::Raise | Transition::Escalate | Transition::Confirm);
    let first = ordered.iter().find(|(_, transition)| opens(*transition));
    let began = found.get(&Transition::Raise).or(first.map(|(at, _)| at)).copied();
    let (mut there, mut rejected, mut confirmed) = (began.is_some(), false, false);
    for (at, transition) in ordered {
        match transition {
            _ if began.is_none_or(|began| at < began) => {}
            Transition::Escalate if rejected => {}
            Transition::Escalate => there = true,
            Transition::Confirm => (there, rejected, confirmed) = (true, false, true),
            Transition::Return if there => there = false,
            Transition::Reject if there => (there, rejected) = (false, true),
            _ => {}
        }
    }
    (there, rejected, confirmed)
}

impl Plain {
    fn state(&self) -> State {
        match (self.shelved, self.there, self.had) {
            (true, ..) => State::Shelved,
            (_, true, false) => State::Unack,
            (_, true, true) => State::Acked,
            (_, false, false) => State::RtnUnack,
            (_, false, true) => State::Normal,
        }
    }

    fn hit(&mut self, transition: Transition, at: i64) {
        self.found.insert(transition, at);
        let (before, after) = (self.told, read(&self.found));
        let is_confirmed = after.2 && !before.2;
        if self.judged_false && !is_confirmed {
            return;
        }
        self.told = after;
        if after.0 && ((!before.0 && !self.judged_false) || is_confirmed) {
            if !self.there {
                (self.there, self.had, self.shelved, self.judged_false) = (true, false, false, false);
            }
        } else if after.1 && !before.1 {
            self.had_by_a_rule = !self.had;
            (self.there, self.had, self.shelved) = (false, true, false);
        } else if !after.0 {
            self.there = false;
            if before.1 && !after.1 && self.had_by_a_rule {
                self.had = false;
            }
        }
        self.had_by_a_rule &= self.had;
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

/// Something that the book hears.
#[derive(Clone, Debug)]
enum News {
    Found(RuleHit),
    TakenBack(RuleHit),
    Device { number: u8, state: &'static str, at: i64 },
}

/// What holds in the end, and what was thought meanwhile.
#[derive(Clone, Debug)]
struct Story {
    raises: Vec<RuleHit>,
    others: Vec<RuleHit>,
    states: Vec<News>,
    /// For each of the above a rank among all news.
    order: Vec<u32>,
    /// For each finding the number of one whose content it had at first, where it was corrected.
    at_first: Vec<Option<usize>>,
    /// Of the others, those that do not hold.
    wrong: Vec<bool>,
    pieces: Vec<usize>,
}

const ALARMS: u8 = 3;

fn finding(alarm: u8, transition: Transition, seed: u32) -> RuleHit {
    let now = i64::from(seed % 50) * 200;
    let priority = u8::try_from(seed % 4).unwrap() + 1;
    let mut hit = hit(0, alarm, transition, priority, now);
    hit.at = at(now + if transition == Transition::Raise { 0 } else { 10_000 });
    hit.device = Some(format!("d{alarm}"));
    hit.drill = seed.is_multiple_of(3);
    hit.cell = Some(Cell::from_index(0x8c_194d_2b54_0a1f - u64::from(seed % 2) * 0x200));
    hit.measured.insert(format!("m{}", seed % 5), json!(seed));
    if transition == Transition::Confirm && seed.is_multiple_of(2) && alarm > 0 {
        hit.measured.insert("linked_key".to_owned(), json!(format!("0-{}", alarm - 1)));
        hit.measured.insert("linked_start".to_owned(), json!(0));
    }
    hit
}

fn story() -> impl Strategy<Value = Story> {
    let transitions = [
        Transition::Escalate,
        Transition::Confirm,
        Transition::Return,
        Transition::Reject,
        Transition::Clear,
    ];
    let states = ["normal", "fault", "test", "disabled"];
    let device = (0..ALARMS, 0usize..4, 0i64..20_000).prop_map(move |(number, state, at)| News::Device {
        number,
        state: states[state],
        at,
    });
    let others = usize::from(ALARMS) * transitions.len();
    let findings = usize::from(ALARMS) + others;
    let all = findings + 4;
    (
        prop::collection::vec(0u32..1_000, usize::from(ALARMS)),
        prop::collection::vec(prop::option::of(0u32..1_000), others),
        prop::collection::vec(device, 0..4),
        prop::collection::vec(any::<u32>(), 2 * all),
        prop::collection::vec(prop::option::of(0..findings), findings),
        prop::collection::vec(prop::bool::weighted(0.2), others),
        prop::collection::vec(1usize..5, 40),
    )
        .prop_map(move |(raises, others, states, order, at_first, wrong, pieces)| {
            let raises = (0..ALARMS).zip(raises).map(|(alarm, seed)| finding(alarm, Transition::Raise, seed));
            let each = (0..ALARMS).flat_map(|alarm| transitions.map(|transition| (alarm, transition)));
            let others = each
                .zip(others)
                .filter_map(|((alarm, transition), seed)| Some(finding(alarm, transition, seed?)));
            let (raises, others) = (raises.collect(), others.collect());
            Story { raises, others, states, order, at_first, wrong, pieces }
        })
}

impl Story {
    /// All that holds, in one piece.
    fn in_order(&self) -> Vec<Vec<News>> {
        let right = self.others.iter().zip(&self.wrong).filter(|(_, wrong)| !**wrong).map(|(hit, _)| hit);
        let found = self.raises.iter().chain(right).cloned().map(News::Found);
        vec![self.states.iter().cloned().chain(found).collect()]
    }

    /// The same with what was thought first, and with what was taken back, in any order. A beginning comes before what
    /// builds on it: a rule that no longer finds it finds nothing else.
    fn in_pieces(&self) -> Vec<Vec<News>> {
        let mut ranks = self.order.iter().copied();
        let mut rank = || ranks.next().unwrap_or(0);
        let (mut first, mut later): (Vec<News>, Vec<(u32, News)>) = (Vec::new(), Vec::new());
        let all: Vec<&RuleHit> = self.raises.iter().chain(&self.others).collect();
        for (number, hit) in self.raises.iter().enumerate() {
            match self.before(number, &all) {
                Some(before) => {
                    first.push(News::Found(before));
                    later.push((rank(), News::Found(hit.clone())));
                }
                None => first.push(News::Found(hit.clone())),
            }
        }
        for (number, hit) in self.others.iter().enumerate() {
            let (one, other) = (rank(), rank());
            let (early, late) = (one.min(other), one.max(other));
            let first = self.before(self.raises.len() + number, &all).unwrap_or_else(|| hit.clone());
            later.push((early, News::Found(first)));
            let last = if self.wrong[number] { News::TakenBack } else { News::Found };
            later.push((late, last(hit.clone())));
        }
        later.extend(self.states.iter().cloned().map(|state| (rank(), state)));
        later.sort_by_key(|(rank, _)| *rank);
        let mut news: std::collections::VecDeque<News> =
            first.into_iter().chain(later.into_iter().map(|(_, news)| news)).collect();
        let mut pieces = Vec::new();
        for length in self.pieces.iter().copied().chain(std::iter::repeat(1)) {
            if news.is_empty() {
                break;
            }
            pieces.push(news.drain(..length.min(news.len())).collect());
        }
        pieces
    }

    /// A finding as it was first given: with another's content.
    fn before(&self, number: usize, all: &[&RuleHit]) -> Option<RuleHit> {
        let other = all.get((*self.at_first.get(number)?)?)?;
        let own = all[number];
        let measured = if other.measured.contains_key("linked_key") {
            own.measured.clone()
        } else {
            other.measured.clone()
        };
        Some(RuleHit {
            key: own.key.clone(),
            device: own.device.clone(),
            transition: own.transition,
            measured,
            ..(*other).clone()
        })
    }
}

trait Told {
    fn told(self, pieces: &[Vec<News>]) -> BTreeMap<AlarmId, Alarm>;
}

impl Told for Book {
    /// Every alarm in the end, without what says when it was told.
    fn told(mut self, pieces: &[Vec<News>]) -> BTreeMap<AlarmId, Alarm> {
        for piece in pieces {
            let (mut found, mut taken_back): (Vec<RuleHit>, Vec<RuleHit>) = (Vec::new(), Vec::new());
            for news in piece {
                match news {
                    News::Found(hit) => {
                        // Within one step a finding is given once, as it holds.
                        found.retain(|other| (&other.key, other.transition) != (&hit.key, hit.transition));
                        found.push(hit.clone());
                    }
                    News::TakenBack(hit) => {
                        found.retain(|other| (&other.key, other.transition) != (&hit.key, hit.transition));
                        taken_back.push(hit.clone());
                    }
                    News::Device { number, state, at: millis } => {
                        self.device_state(&format!("d{number}"), state, at(*millis));
                    }
                }
            }
            self.revise(&taken_back, &found, at(1_000_000));
        }
        let alarms = self
            .alarms()
            .map(|alarm| (alarm.alarm_id.clone(), Alarm { seq: 0, emitted_at: at(0), ..alarm.clone() }));
        alarms.collect()
    }
}
