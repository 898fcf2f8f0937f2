//! Where an alarm stands in the state machine of ISA-18.2, without the alarm's content.

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{State, Transition};

use crate::findings::{Upshot, Verdict};

/// The facts the state follows from: what the rules' findings have come to, and what people have done since.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Standing {
    /// Whether what the rule looks for is still there.
    pub(crate) active: bool,
    /// Who has it.
    pub(crate) acked_by: Option<String>,
    /// Until when it is put aside.
    pub(crate) shelved_until: Option<EventTime>,
    /// Whether a rule holds it back.
    pub(crate) suppressed: bool,
    /// Whether a person has judged it no alarm at all, and then nothing but a confirmation brings it back.
    pub(crate) is_judged_false: bool,
}

/// Stands for the person who has an alarm that the engine itself has ended.
const ENGINE: &str = "";

impl Standing {
    /// The state that follows from the facts.
    pub(crate) const fn state(&self) -> State {
        if self.suppressed {
            return State::Suppressed;
        }
        if self.shelved_until.is_some() {
            return State::Shelved;
        }
        match (self.active, self.acked_by.is_some()) {
            (true, false) => State::Unack,
            (true, true) => State::Acked,
            (false, false) => State::RtnUnack,
            (false, true) => State::Normal,
        }
    }

    /// What the facts are after a person, or time, has made one change.
    pub(crate) fn step(
        &mut self,
        transition: Transition,
        actor: Option<&str>,
        shelved_until: Option<EventTime>,
    ) {
        match transition {
            Transition::Ack => self.acked_by = Some(actor.unwrap_or(ENGINE).to_owned()),
            Transition::Confirm => {
                self.acked_by.get_or_insert_with(|| actor.unwrap_or(ENGINE).to_owned());
            }
            Transition::Unack => self.acked_by = None,
            Transition::Reject => {
                self.end(actor);
                self.is_judged_false = true;
            }
            Transition::Shelve => self.shelved_until = shelved_until,
            Transition::Unshelve => self.shelved_until = None,
            _ => {}
        }
    }

    /// What the facts are when the findings have come to `after` instead of `before`. `is_confirmed_anew`: a second
    /// source has confirmed the alarm only now.
    pub(crate) fn turn(&mut self, before: &Verdict, after: &Verdict, is_confirmed_anew: bool) {
        let (was, is) = (before.upshot, after.upshot);
        match (was, is) {
            (_, Upshot::Nothing) => return self.end(None),
            (Upshot::Nothing, _) => *self = Self { active: is.is_active(), ..Self::default() },
            _ if is.is_active() => {
                let is_worse = !was.is_active() && !self.is_judged_false;
                if is_worse || is_confirmed_anew {
                    self.reactivate();
                }
            }
            _ => self.active = false,
        }
        if is == Upshot::Rejected && was != is {
            self.end(None);
        } else if was == Upshot::Rejected
            && is == Upshot::Returned
            && self.acked_by.as_deref() == Some(ENGINE)
        {
            self.acked_by = None;
        }
        // What somebody has is not put out of sight.
        let may_go = was != is && self.acked_by.is_none() && self.shelved_until.is_none();
        self.suppressed = is == Upshot::HeldBack && (self.suppressed || may_go);
    }

    /// What the facts are after a change that a log holds: `transition` led to `state`, and nobody made it but the
    /// engine.
    pub(crate) fn follow(&mut self, transition: Transition, state: State) {
        match (state, transition) {
            (_, Transition::Clear | Transition::Reject) => self.end(None),
            (State::Unack, _) if !self.active => self.reactivate(),
            (State::Acked | State::Suppressed, _) => self.active = true,
            (State::RtnUnack | State::Normal, _) | (_, Transition::Return) => self.active = false,
            _ => {}
        }
        self.suppressed = state == State::Suppressed;
        match state {
            State::Unack | State::RtnUnack => (self.acked_by, self.is_judged_false) = (None, false),
            State::Acked | State::Normal => {
                self.acked_by.get_or_insert_with(|| ENGINE.to_owned());
            }
            _ => {}
        }
    }

    /// A returned alarm that grows worse is active again, and nobody has it; one that is still active stays with
    /// whoever has it.
    fn reactivate(&mut self) {
        if !self.active {
            *self = Self { active: true, ..Self::default() };
        }
    }

    fn end(&mut self, actor: Option<&str>) {
        (self.active, self.suppressed, self.shelved_until) = (false, false, None);
        self.acked_by.get_or_insert_with(|| actor.unwrap_or(ENGINE).to_owned());
    }
}
