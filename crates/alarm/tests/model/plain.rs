//! The plain model: what a textbook says of one alarm, with none of the book's means.

use std::collections::BTreeMap;

use hexwatch_alarm::Action;
use hexwatch_contract::alarm::{State, Transition};

/// What a textbook says of one alarm: what was found of it and when, does somebody have it, is it put aside, was it
/// judged false.
#[allow(clippy::struct_excessive_bools, reason = "the plainest model there is")]
#[derive(Clone, Default)]
pub(crate) struct Plain {
    found: BTreeMap<Transition, i64>,
    /// What that had come to when people heard of it.
    told: (bool, bool, bool),
    there: bool,
    had: bool,
    /// Whether nobody has it but a rule's judgement.
    had_by_a_rule: bool,
    pub(crate) shelved: bool,
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
    pub(crate) fn state(&self) -> State {
        match (self.shelved, self.there, self.had) {
            (true, ..) => State::Shelved,
            (_, true, false) => State::Unack,
            (_, true, true) => State::Acked,
            (_, false, false) => State::RtnUnack,
            (_, false, true) => State::Normal,
        }
    }

    pub(crate) fn hit(&mut self, transition: Transition, at: i64) {
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

    pub(crate) fn act(&mut self, action: &Action) -> bool {
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
