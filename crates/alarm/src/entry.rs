//! One alarm: what is published of it, where it stands, and what the rules have found of it.

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{Alarm, AlarmId, ConfirmLevel, Explain, RuleHit, State, Transition};
use serde_json::{Map, Value};

use crate::findings::{Content, Findings, Verdict};
use crate::standing::Standing;
use crate::surroundings::Surroundings;

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    /// As it was told last.
    pub(crate) alarm: Alarm,
    pub(crate) standing: Standing,
    pub(crate) findings: Findings,
    /// What the findings had come to then.
    pub(crate) told: Verdict,
    /// Whether a person has confirmed it.
    pub(crate) is_confirmed: bool,
    /// Whether findings that were told before a restart may still come again: until then they are missed by nobody.
    pub(crate) is_unsettled: bool,
}

/// The note of the change that ends an alarm because what it stood on no longer holds.
pub(crate) const WITHDRAWN: &str = "withdrawn";

/// What a person's change says beyond its transition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) actor: Option<&'a str>,
    pub(crate) note: Option<&'a str>,
    pub(crate) shelved_until: Option<EventTime>,
}

impl Entry {
    /// An alarm that `hit` opens, before anything was found of it and before its first change is numbered.
    pub(crate) fn opened_by(hit: &RuleHit, id: AlarmId, replay: bool) -> Self {
        let standing = Standing::default();
        let alarm = Alarm {
            alarm_id: id,
            seq: 0,
            site: hit.site.clone(),
            rule: hit.rule.clone(),
            rule_version: hit.rule_version,
            class: hit.class,
            priority: hit.priority,
            state: standing.state(),
            transition: Transition::Raise,
            actor_ref: None,
            note: None,
            assigned_to: None,
            shelved_until: None,
            raised_at: hit.at,
            changed_at: hit.at,
            emitted_at: hit.at,
            key: hit.key.clone(),
            device: None,
            cell: None,
            lon: None,
            lat: None,
            area: None,
            grid: None,
            officer_role: None,
            inputs: Vec::new(),
            measured: Map::new(),
            confirm_level: hit.confirm_level,
            drill: hit.drill,
            replay,
            incident: None,
            explain: Explain::default(),
        };
        Self::untold(alarm, standing)
    }

    fn untold(alarm: Alarm, standing: Standing) -> Self {
        Self {
            alarm,
            standing,
            findings: Findings::default(),
            told: Verdict::default(),
            is_confirmed: false,
            is_unsettled: false,
        }
    }

    /// The entry whose first change in a log is `change`.
    pub(crate) fn read_from(change: &Alarm) -> Self {
        let mut standing =
            Standing { active: true, shelved_until: change.shelved_until, ..Standing::default() };
        // The log may begin in the middle of the alarm's life.
        standing.follow(Transition::Raise, change.state);
        let mut entry = Self::untold(change.clone(), standing);
        entry.fold(change);
        entry
    }

    /// Takes in one more change of a log.
    pub(crate) fn fold(&mut self, change: &Alarm) {
        let actor = change.actor_ref.as_deref();
        if actor.is_some() || change.transition == Transition::Unshelve {
            self.standing.step(change.transition, actor, change.shelved_until);
            self.is_confirmed |= change.transition == Transition::Confirm;
        } else {
            self.standing.follow(change.transition, change.state);
        }
        self.findings.read(change);
        self.told = self.findings.verdict_told_by(change, &self.told);
        self.alarm = change.clone();
    }

    /// Whether people are to hear that the findings have come to `verdict`. Of an alarm that a person has judged false
    /// they hear no more, unless a second source confirms it or nothing is left of it.
    pub(crate) fn may_tell(&self, verdict: &Verdict) -> bool {
        !self.standing.is_judged_false || !verdict.holds() || self.is_confirmed_anew(verdict)
    }

    /// Whether a second source has confirmed the alarm since it was told last.
    pub(crate) fn is_confirmed_anew(&self, verdict: &Verdict) -> bool {
        verdict.taken.contains(&Transition::Confirm) && !self.told.taken.contains(&Transition::Confirm)
    }

    /// Whether nothing is left to do about the alarm.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.standing.state(), State::Normal | State::Suppressed)
    }

    /// The alarm with `content`, as of its last change.
    pub(crate) fn restated(&self, raised_at: EventTime, content: Content, around: Surroundings) -> Alarm {
        let human = if self.is_confirmed { ConfirmLevel::Human } else { ConfirmLevel::Single };
        let mut alarm = Alarm {
            class: content.class,
            priority: content.priority,
            raised_at,
            device: content.device,
            cell: content.cell,
            lon: content.lon,
            lat: content.lat,
            area: around.area,
            grid: around.grid,
            officer_role: around.officer_role,
            inputs: content.inputs,
            measured: content.measured,
            confirm_level: content.confirm_level.max(human),
            drill: content.drill,
            ..self.alarm.clone()
        };
        alarm.explain = explain(&alarm);
        alarm
    }

    /// Numbers a change that the facts have been brought to, and gives the alarm as it stands after it.
    pub(crate) fn change(
        &mut self,
        transition: Transition,
        said: &Said<'_>,
        (seq, at, now): (u64, EventTime, EventTime),
    ) -> Alarm {
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
