//! One alarm: what is published of it, where it stands, and which of the rules' findings it has taken in.

use std::collections::BTreeSet;

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{Alarm, AlarmId, ConfirmLevel, Explain, Input, RuleHit, State, Transition};
use serde_json::{Map, Value};

use crate::standing::Standing;
use crate::surroundings::Surroundings;

/// How many inputs one alarm carries; the first ones explain it.
const MAX_INPUTS: usize = 64;

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    pub(crate) alarm: Alarm,
    pub(crate) standing: Standing,
    /// The transitions that rules have made: a repeated one changes nothing.
    taken: BTreeSet<Transition>,
}

/// The note of the change that ends an alarm because what it stood on no longer holds.
pub(crate) const WITHDRAWN: &str = "withdrawn";

/// What a change says beyond its transition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) actor: Option<&'a str>,
    pub(crate) note: Option<&'a str>,
    pub(crate) shelved_until: Option<EventTime>,
}

impl Entry {
    /// An alarm that `hit` opens, before its first change is numbered.
    pub(crate) fn opened_by(hit: &RuleHit, id: AlarmId, around: Surroundings, replay: bool) -> Self {
        let mut alarm = Alarm {
            alarm_id: id,
            seq: 0,
            site: hit.site.clone(),
            rule: hit.rule.clone(),
            rule_version: hit.rule_version,
            class: hit.class,
            priority: hit.priority,
            state: Standing::default().state(),
            transition: Transition::Raise,
            actor_ref: None,
            note: None,
            assigned_to: None,
            shelved_until: None,
            raised_at: hit.at,
            changed_at: hit.at,
            emitted_at: hit.at,
            key: hit.key.clone(),
            device: hit.device.clone(),
            cell: hit.cell,
            lon: hit.lon,
            lat: hit.lat,
            area: around.area,
            grid: around.grid,
            officer_role: around.officer_role,
            inputs: hit.inputs.iter().take(MAX_INPUTS).cloned().collect(),
            measured: hit.measured.clone(),
            confirm_level: hit.confirm_level,
            drill: hit.drill,
            replay,
            incident: None,
            explain: Explain::default(),
        };
        alarm.explain = explain(&alarm);
        Self { alarm, standing: Standing::default(), taken: BTreeSet::from([Transition::Raise]) }
    }

    /// The entry whose first change in a log is `change`.
    pub(crate) fn read_from(change: &Alarm) -> Self {
        let mut entry = Self { alarm: change.clone(), standing: Standing::default(), taken: BTreeSet::new() };
        entry.taken.insert(Transition::Raise);
        entry.standing.step(
            change.transition,
            true,
            change.actor_ref.as_deref(),
            (change.changed_at, change.shelved_until),
        );
        entry
    }

    /// Takes in one more change of a log.
    pub(crate) fn fold(&mut self, change: &Alarm) {
        self.standing.step(
            change.transition,
            false,
            change.actor_ref.as_deref(),
            (change.changed_at, change.shelved_until),
        );
        if change.actor_ref.is_none() && is_made_by_rules(change.transition) {
            self.taken.insert(change.transition);
        }
        if change.note.as_deref() == Some(WITHDRAWN) {
            self.forget_raise();
        }
        self.alarm = change.clone();
    }

    /// Whether a rule's `transition` has been made before.
    pub(crate) fn has_taken(&self, transition: Transition) -> bool {
        self.taken.contains(&transition)
    }

    /// Forgets that the alarm was raised, so that a rule that finds it again raises it again.
    pub(crate) fn forget_raise(&mut self) {
        self.taken.remove(&Transition::Raise);
        self.taken.remove(&Transition::Clear);
        // What is found again ends again.
        self.taken.remove(&Transition::Return);
    }

    /// Whether nothing is left to do about the alarm.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.standing.state(), State::Normal | State::Suppressed)
    }

    /// Joins what `hit` says to the alarm: the earliest time, the highest priority, all inputs. The order in
    /// which hits are joined does not matter. Returns whether the alarm is another one now.
    pub(crate) fn join(&mut self, hit: &RuleHit) -> bool {
        let before = (self.alarm.raised_at, self.alarm.priority, self.alarm.confirm_level, self.alarm.drill);
        let alarm = &mut self.alarm;
        if hit.transition == Transition::Raise {
            alarm.raised_at = alarm.raised_at.min(hit.at);
        }
        alarm.priority = alarm.priority.min(hit.priority);
        alarm.confirm_level = alarm.confirm_level.max(hit.confirm_level);
        if hit.transition == Transition::Confirm {
            alarm.confirm_level = alarm.confirm_level.max(ConfirmLevel::Dual);
        }
        alarm.drill &= hit.drill;
        let changed = before != (alarm.raised_at, alarm.priority, alarm.confirm_level, alarm.drill);
        if changed || !self.has_taken(hit.transition) {
            self.add_content(&hit.inputs, &hit.measured);
        }
        self.taken.insert(hit.transition);
        changed
    }

    fn add_content(&mut self, inputs: &[Input], measured: &Map<String, Value>) {
        for input in inputs {
            if self.alarm.inputs.len() < MAX_INPUTS && !self.alarm.inputs.contains(input) {
                self.alarm.inputs.push(input.clone());
            }
        }
        self.alarm.measured.extend(measured.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.alarm.explain = explain(&self.alarm);
    }

    /// Makes one change, numbers it, and gives the alarm as it stands after it.
    pub(crate) fn change(
        &mut self,
        transition: Transition,
        said: &Said<'_>,
        (seq, at, now): (u64, EventTime, EventTime),
    ) -> Alarm {
        let first = self.alarm.seq == 0;
        self.standing.step(transition, first, said.actor, (at, said.shelved_until));
        let alarm = &mut self.alarm;
        alarm.seq = seq;
        alarm.transition = transition;
        alarm.state = self.standing.state();
        alarm.shelved_until = self.standing.shelved_until;
        alarm.actor_ref = said.actor.map(str::to_owned);
        alarm.note = said.note.map(str::to_owned);
        alarm.changed_at = at;
        alarm.emitted_at = now;
        alarm.clone()
    }
}

const fn is_made_by_rules(transition: Transition) -> bool {
    use Transition::{Clear, Confirm, Escalate, Raise, Reject, Return};
    matches!(transition, Raise | Escalate | Confirm | Reject | Return | Clear)
}

/// Why the alarm fired: the rule's template, filled by the place and everything that was measured.
fn explain(alarm: &Alarm) -> Explain {
    let mut arguments = alarm.measured.clone();
    arguments.insert("key".to_owned(), Value::from(alarm.key.as_str()));
    if let Some(device) = &alarm.device {
        arguments.insert("device".to_owned(), Value::from(device.as_str()));
    }
    arguments.insert("inputs".to_owned(), Value::from(alarm.inputs.len()));
    Explain { template: format!("alarm.{}", alarm.rule), arguments }
}
