//! Where an alarm stands in the state machine of ISA-18.2, without the alarm's content.

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{State, Transition};

/// The facts the state follows from. [`Standing::step`] is the only thing that changes them, live and when a
/// log is folded, so that both ways end in the same state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Standing {
    /// Whether what the rule looks for is still there.
    pub(crate) active: bool,
    /// When it came back after it had returned; what a rule found before that belongs to the time before.
    pub(crate) active_again_since: Option<EventTime>,
    /// Who has it.
    pub(crate) acked_by: Option<String>,
    /// Until when it is put aside.
    pub(crate) shelved_until: Option<EventTime>,
    /// Whether a rule holds it back.
    pub(crate) suppressed: bool,
    /// What ended it: a reject, and then nothing but a confirmation brings it back, or a clear, because what it
    /// stood on was taken back.
    ended_by: Option<Transition>,
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

    /// Whether it was judged no alarm at all.
    pub(crate) fn is_rejected(&self) -> bool {
        self.ended_by == Some(Transition::Reject)
    }

    /// What the facts are after one change. `first` tells the change that opened the alarm from a correction of
    /// it; `actor` is the person who made the change at `at`, `None` where the engine did.
    pub(crate) fn step(
        &mut self,
        transition: Transition,
        first: bool,
        actor: Option<&str>,
        (at, shelved_until): (EventTime, Option<EventTime>),
    ) {
        if first {
            self.active = true;
            self.suppressed = transition == Transition::Suppress;
            return;
        }
        match (transition, actor) {
            (Transition::Ack, _) => self.acked_by = Some(actor.unwrap_or(ENGINE).to_owned()),
            (Transition::Confirm, Some(person)) => {
                self.acked_by.get_or_insert_with(|| person.to_owned());
            }
            (Transition::Escalate | Transition::Confirm, _) => self.reactivate(at),
            (Transition::Unack, _) => self.acked_by = None,
            (Transition::Return, _) => self.active = false,
            (Transition::Clear | Transition::Reject, _) => self.end(transition, actor),
            (Transition::Shelve, _) => self.shelved_until = shelved_until,
            (Transition::Unshelve, _) => self.shelved_until = None,
            (Transition::Suppress, _) => self.suppressed = true,
            // A raise of an alarm that was taken back brings it back; of one that returned it corrects the past.
            (Transition::Raise, _) if self.ended_by == Some(Transition::Clear) => self.reactivate(at),
            (Transition::Raise | Transition::Comment | Transition::Assign, _) => {}
        }
    }

    /// A returned alarm that grows worse is active again, and nobody has it; one that is still active stays with
    /// whoever has it.
    fn reactivate(&mut self, at: EventTime) {
        if !self.active {
            *self = Self { active: true, active_again_since: Some(at), ..Self::default() };
        }
    }

    fn end(&mut self, transition: Transition, actor: Option<&str>) {
        self.active = false;
        self.ended_by = Some(transition);
        self.shelved_until = None;
        self.acked_by.get_or_insert_with(|| actor.unwrap_or(ENGINE).to_owned());
    }
}
