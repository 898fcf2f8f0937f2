//! A story of some alarms: what holds in the end, and in which order and pieces a book may hear of it.

use std::collections::{BTreeMap, VecDeque};

use hexwatch_alarm::Book;
use hexwatch_contract::Cell;
use hexwatch_contract::alarm::{Alarm, AlarmId, RuleHit, Transition};
use proptest::prelude::*;
use serde_json::json;

use super::steps::{at, hit};

/// Something that the book hears.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Found(RuleHit),
    TakenBack(RuleHit),
    Device { number: u8, state: &'static str, at: i64 },
}

/// What holds in the end, and what was thought meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Story {
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

pub(crate) fn story() -> impl Strategy<Value = Story> {
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
    pub(crate) fn in_order(&self) -> Vec<Vec<News>> {
        let right = self.others.iter().zip(&self.wrong).filter(|(_, wrong)| !**wrong).map(|(hit, _)| hit);
        let found = self.raises.iter().chain(right).cloned().map(News::Found);
        vec![self.states.iter().cloned().chain(found).collect()]
    }

    /// The same with what was thought first, and with what was taken back, in any order. A beginning comes before what
    /// builds on it: a rule that no longer finds it finds nothing else.
    pub(crate) fn in_pieces(&self) -> Vec<Vec<News>> {
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
        let mut news: VecDeque<News> =
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

pub(crate) trait Told {
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
