//! Findings as far as a log of changes tells of them.
//!
//! A change holds the alarm as it stood, not what each rule had said. So each finding is given what was new with it;
//! together they say exactly what the change says. The rules give what can still be corrected again after a restart,
//! and that takes their place.

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{Alarm, AlarmId, ConfirmLevel, Transition};
use serde_json::Value;

use super::{Content, Finding, Findings, Upshot, Verdict, opens};
use crate::device::Unfit;
use crate::entry::WITHDRAWN;

impl Findings {
    /// Takes in one change of a log.
    pub(crate) fn read(&mut self, change: &Alarm) {
        if change.actor_ref.is_none() && change.note.as_deref() == Some(WITHDRAWN) {
            self.0.retain(|finding| !finding.opens());
            return;
        }
        let transition = finding_of(change);
        if let Some(transition) = transition {
            self.forget_what_denies(transition, change.changed_at);
        }
        if !self.0.iter().any(Finding::opens) && !transition.is_some_and(opens) {
            // The log begins in the middle of the alarm's life, or tells of its beginning by what follows from it.
            self.note(Transition::Raise, change);
        }
        if let Some(transition) = transition {
            self.note(transition, change);
        }
    }

    /// What the findings had come to after `change`, and `before` it. The change says it best: not all that was found is
    /// in a log.
    pub(crate) fn verdict_told_by(&self, change: &Alarm, before: &Verdict) -> Verdict {
        let judged = self.judge().verdict;
        if finding_of(change).is_none() && before.holds() == judged.holds() {
            return before.clone();
        }
        if finding_of(change).is_none() || !judged.holds() {
            return judged;
        }
        let upshot = Upshot::of(change.transition).unwrap_or(before.upshot);
        let mut taken = judged.taken;
        taken.insert(change.transition);
        let last = Some((change.transition, change.changed_at));
        Verdict { upshot, last, taken }
    }

    fn note(&mut self, transition: Transition, change: &Alarm) {
        let at = if transition == Transition::Raise { change.raised_at } else { change.changed_at };
        let mut own = content_of(change);
        for other in &mut self.0 {
            other.agree(change);
            own.inputs.retain(|input| !other.content.inputs.contains(input));
            own.measured.retain(|name, value| other.content.measured.get(name) != Some(value));
        }
        if self.was_opened_by(transition, change) {
            self.0.clear();
            own = content_of(change);
        }
        let suppressed_by = own.measured.remove("suppressed_by");
        let state = suppressed_by.as_ref().and_then(|by| by.get("state")).and_then(Value::as_str);
        let is_suppress = change.transition == Transition::Suppress;
        let is_link = change.transition == Transition::Comment;
        let link = change.incident.clone().filter(|_| is_link).map(AlarmId::from);
        self.0.push(Finding {
            transition,
            named: change.alarm_id.clone(),
            at,
            content: own,
            link,
            doubt: state.and_then(Unfit::parse).filter(|_| is_suppress),
            is_from_log: true,
        });
    }
}

impl Findings {
    /// The finding of `transition` at `at` is the last that counts: what the log has of later ones was taken back, and
    /// so was an end without which this one would be none.
    fn forget_what_denies(&mut self, transition: Transition, at: EventTime) {
        let is_earlier = |other: &Finding| {
            other.transition == Transition::Raise || (other.at, other.transition) < (at, transition)
        };
        self.0.retain(|other| other.transition != transition && is_earlier(other));
        if is_end(transition) {
            let brings_back = |finding: &&Finding| finding.opens() && finding.link.is_none();
            let active_since = self.0.iter().filter(brings_back).map(|finding| finding.at).max();
            let is_before = |other: &Finding| active_since.is_some_and(|since| other.at < since);
            self.0.retain(|other| !is_end(other.transition) || is_before(other));
        }
    }

    /// Whether what opened the alarm was told as a raise first, and is told as what it is by `change`.
    fn was_opened_by(&self, transition: Transition, change: &Alarm) -> bool {
        let [only] = self.0.as_slice() else { return false };
        let says_the_same = only.content.inputs == change.inputs && only.content.measured == change.measured;
        let opens_otherwise = opens(transition) && transition != Transition::Raise;
        opens_otherwise
            && only.transition == Transition::Raise
            && only.at == change.changed_at
            && says_the_same
    }
}

impl Finding {
    /// Says no more than `change` says.
    fn agree(&mut self, change: &Alarm) {
        if self.transition == Transition::Raise {
            self.at = change.raised_at;
            self.content.class = change.class;
            self.content.device.clone_from(&change.device);
            (self.content.cell, self.content.lon, self.content.lat) = (change.cell, change.lon, change.lat);
        }
        let content = &mut self.content;
        content.priority = content.priority.max(change.priority);
        content.confirm_level = content.confirm_level.min(change.confirm_level);
        content.drill |= change.drill;
        content.inputs.retain(|input| change.inputs.contains(input));
        content.measured.retain(|name, value| change.measured.get(name) == Some(value));
    }
}

const fn is_end(transition: Transition) -> bool {
    matches!(transition, Transition::Return | Transition::Clear | Transition::Reject)
}

/// Which finding `change` tells of; `None` where people made it, or time.
fn finding_of(change: &Alarm) -> Option<Transition> {
    use Transition::{Clear, Comment, Confirm, Escalate, Raise, Reject, Return, Suppress};
    if change.actor_ref.is_some() {
        return None;
    }
    match change.transition {
        Raise | Suppress => Some(Raise),
        Comment => Some(Confirm),
        Escalate | Confirm | Reject | Return | Clear => Some(change.transition),
        _ => None,
    }
}

fn content_of(change: &Alarm) -> Content {
    // What a person has confirmed no rule has said.
    let confirm_level = match change.confirm_level {
        ConfirmLevel::Human => ConfirmLevel::Single,
        level => level,
    };
    Content {
        class: change.class,
        priority: change.priority,
        confirm_level,
        drill: change.drill,
        device: change.device.clone(),
        cell: change.cell,
        lon: change.lon,
        lat: change.lat,
        inputs: change.inputs.clone(),
        measured: change.measured.clone(),
    }
}
