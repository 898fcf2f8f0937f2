//! How what the rules find changes alarms.
//!
//! A finding that says something new is told as what it is: a raise, an escalation, a return. One that only corrects
//! what was known is told by the last change that still holds, made again: an alarm's last change says everything
//! about it, and is the same in whatever order and pieces the records were read. What makes no difference is not told.

use std::collections::BTreeSet;

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{Alarm, AlarmId, RuleHit, Transition};

use crate::book::Book;
use crate::device::Unfit;
use crate::entry::{Entry, Said, WITHDRAWN};
use crate::findings::{Finding, Findings, Upshot, Verdict, opens, stands_for_good};
use crate::likeness::is_like;
use crate::surroundings::Surroundings;

/// Longer than any chain of alarms that are joined one to the other.
const LONGEST_CHAIN: usize = 32;

/// The order in which hits of one step are taken in: by event time, and at the same time a raise before what
/// builds on it.
fn order(hit: &RuleHit) -> (EventTime, Transition, &str, EventTime, &str) {
    (hit.at, hit.transition, &hit.rule, hit.window_start, &hit.key)
}

/// An alarm as its findings have it now, and what they have come to.
struct Revision {
    alarm: Alarm,
    verdict: Verdict,
}

impl Book {
    /// Takes in what the rules found in one step, in the order of event time, and gives the changes. A hit that
    /// was taken in before changes nothing.
    pub fn apply_hits(&mut self, hits: &[RuleHit], now: EventTime) -> Vec<Alarm> {
        self.revise(&[], hits, now)
    }

    /// Takes in what the rules found in one step, and what they take back because a late record has shown that it does
    /// not hold; gives the changes. An alarm of which nothing is left is cleared; a press for help stays whatever
    /// comes. What builds on an alarm that is not known raises it first, so that no escalation or confirmation is
    /// lost; an end of an unknown alarm changes nothing.
    pub fn revise(&mut self, withdrawn: &[RuleHit], hits: &[RuleHit], now: EventTime) -> Vec<Alarm> {
        let mut touched = std::mem::take(&mut self.judged_anew);
        touched.extend(self.withdraw(withdrawn, hits));
        let gone: Vec<AlarmId> = touched.iter().filter(|id| self.is_gone(id)).cloned().collect();
        let mut changes: Vec<Alarm> = gone.iter().filter_map(|id| self.correct(id, now)).collect();
        let mut ordered: Vec<&RuleHit> = hits.iter().collect();
        ordered.sort_by(|one, other| order(one).cmp(&order(other)));
        let mut early = Vec::new();
        for hit in ordered {
            match self.take(hit, now, &mut touched) {
                Some(told) => changes.extend(told),
                None => early.push(hit),
            }
        }
        // An end that seems to lie before its beginning has waited for it.
        for hit in early {
            changes.extend(self.take(hit, now, &mut touched).unwrap_or_default());
        }
        while let Some(id) = touched.pop_first() {
            let corrected = self.correct(&id, now);
            if corrected.is_some() {
                touched.extend(self.index.joined_to(&id).cloned());
            }
            changes.extend(corrected);
        }
        changes
    }

    /// Knows again what the rules had found before a restart and can still correct; a log tells less of it.
    pub fn recall(&mut self, hits: &[RuleHit]) {
        for hit in hits.iter().filter(|hit| !stands_for_good(&hit.rule)) {
            let named = hit.alarm_id();
            if let Some(id) = self.find(hit, &named) {
                self.put(&id, hit, named);
            }
        }
    }

    /// Doubts what was found of `id` but for what `sure`, its first changes in the log, tell: a restart reads the
    /// records behind the others again, and may find something else. Until it is [settled](Book::settle), nobody hears
    /// of what is missed.
    pub fn unsettle<'a>(&mut self, id: &AlarmId, sure: impl Iterator<Item = &'a Alarm>) {
        let mut findings = Findings::default();
        sure.for_each(|change| findings.read(change));
        self.unsettle_but_for(id, findings);
    }

    /// The same, where `sure` is what was [found](Book::findings) of it by then.
    pub fn unsettle_but_for(&mut self, id: &AlarmId, sure: Findings) {
        let Some(entry) = self.alarms.get_mut(id) else { return };
        for finding in sure.iter() {
            self.index.note_finding(finding, id);
        }
        entry.is_unsettled = true;
        entry.findings = sure;
    }

    /// What the rules have found of `id`, as far as it holds.
    #[must_use]
    pub fn findings(&self, id: &AlarmId) -> Option<&Findings> {
        self.alarms.get(id).map(|entry| &entry.findings)
    }

    /// Whether what is known of `id` is what was told of it.
    #[must_use]
    pub fn is_as_told(&self, id: &AlarmId) -> bool {
        self.revision(id).is_none_or(|revision| !self.differs(id, &revision))
    }

    /// Ends the doubt about `id`: everything has been read again, and what was not found again does not hold.
    pub fn settle(&mut self, id: &AlarmId, now: EventTime) -> Option<Alarm> {
        self.alarms.get_mut(id)?.is_unsettled = false;
        self.correct(id, now)
    }

    /// Removes the findings that are taken back and not given again in the same step.
    fn withdraw(&mut self, withdrawn: &[RuleHit], hits: &[RuleHit]) -> BTreeSet<AlarmId> {
        let mut touched = BTreeSet::new();
        if withdrawn.is_empty() {
            return touched;
        }
        let given: BTreeSet<(AlarmId, Transition)> =
            hits.iter().map(|hit| (hit.alarm_id(), hit.transition)).collect();
        for hit in withdrawn.iter().filter(|hit| !stands_for_good(&hit.rule)) {
            let named = hit.alarm_id();
            let id = self.index.alias_of(&named).unwrap_or(&named).clone();
            if given.contains(&(named.clone(), hit.transition)) {
                continue;
            }
            if let Some(entry) = self.alarms.get_mut(&id) {
                entry.findings.take_back(hit.transition, &named);
                touched.extend(self.index.joined_to(&id).cloned());
                touched.insert(id);
            }
        }
        touched
    }

    /// Whether nothing is left of what `id` stood on.
    fn is_gone(&self, id: &AlarmId) -> bool {
        self.alarms.get(id).is_some_and(|entry| entry.told.holds() && !entry.findings.judge().verdict.holds())
    }

    /// Takes in one hit: tells of it where it is news, and else notes which alarm may have to be corrected. `None` where it
    /// ends what is not known.
    fn take(&mut self, hit: &RuleHit, now: EventTime, touched: &mut BTreeSet<AlarmId>) -> Option<Vec<Alarm>> {
        let named = hit.alarm_id();
        let Some(id) = self.find(hit, &named) else {
            return opens(hit.transition).then(|| self.open(hit, &named, now, touched));
        };
        if stands_for_good(&hit.rule) {
            return Some(Vec::new());
        }
        self.put(&id, hit, named.clone());
        let entry = self.alarms.get(&id)?;
        let judgement = entry.findings.judge();
        let is_last = judgement.ends_with(hit.transition, &named);
        let is_known = judgement.verdict.last.is_none_or(|(told_as, _)| entry.told.taken.contains(&told_as));
        if is_last && !is_known && entry.may_tell(&judgement.verdict) {
            touched.extend(self.index.joined_to(&id).cloned());
            return Some(self.tell(&id, now).into_iter().collect());
        }
        touched.insert(id);
        Some(Vec::new())
    }

    /// The alarm that `hit` speaks of: the one with its id, or, for what builds on an alarm, the latest one of
    /// the same rule and key that is still active. (An episode may be longer than a rule looks back, and then
    /// the rule no longer knows when it started.)
    fn find(&self, hit: &RuleHit, named: &AlarmId) -> Option<AlarmId> {
        if self.alarms.contains_key(named) {
            return Some(named.clone());
        }
        if hit.transition == Transition::Raise {
            return None;
        }
        if let Some(id) = self.index.alias_of(named) {
            return Some(id.clone());
        }
        let is_active = |id: &&AlarmId| self.alarms.get(*id).is_some_and(|entry| entry.standing.active);
        self.index.at_the_place_of(hit).find(is_active).cloned()
    }

    /// Puts `hit`, which names `named`, among the findings of `id`.
    fn put(&mut self, id: &AlarmId, hit: &RuleHit, named: AlarmId) {
        let doubt = self.unfit(hit);
        let Some(entry) = self.alarms.get_mut(id) else { return };
        let finding = Finding { doubt, ..Finding::of(hit, named) };
        self.index.note_finding(&finding, id);
        entry.findings.put(finding);
    }

    /// Why the device of `hit` was not to be believed then.
    fn unfit(&self, hit: &RuleHit) -> Option<Unfit> {
        let unfit = self.devices.unfit_at(hit.device.as_deref()?, hit.at)?;
        unfit.holds_back(&hit.rule).then_some(unfit)
    }

    fn open(
        &mut self,
        hit: &RuleHit,
        id: &AlarmId,
        now: EventTime,
        touched: &mut BTreeSet<AlarmId>,
    ) -> Vec<Alarm> {
        self.insert(Entry::opened_by(hit, id.clone(), self.settings.replay));
        // What builds on it may have come before it, and stayed with another alarm meanwhile.
        if let Some(other) = self.index.remove_alias(id) {
            self.adopt(id, &other);
            touched.extend([other, id.clone()]);
        }
        self.put(id, hit, id.clone());
        let mut changes: Vec<Alarm> = self.tell_of_opening(id, hit, now).into_iter().collect();
        let last = self.alarms.get(id).and_then(|entry| entry.told.last);
        if last.is_some_and(|(last, _)| !matches!(last, Transition::Raise | Transition::Suppress)) {
            changes.extend(self.tell(id, now));
        }
        changes
    }

    /// Gives `id` what rules had found for it while another alarm stood for it.
    fn adopt(&mut self, id: &AlarmId, other: &AlarmId) {
        let Some(entry) = self.alarms.get_mut(other) else { return };
        let findings = entry.findings.remove_named(id);
        if let Some(entry) = self.alarms.get_mut(id) {
            for finding in findings {
                entry.findings.put(finding);
            }
        }
    }

    /// The first change of an alarm, whatever opened it.
    fn tell_of_opening(&mut self, id: &AlarmId, hit: &RuleHit, now: EventTime) -> Option<Alarm> {
        let revision = self.revision(id)?;
        let transition = if revision.verdict.upshot == Upshot::HeldBack {
            Transition::Suppress
        } else {
            Transition::Raise
        };
        self.restate(id, revision)?;
        self.number(id, transition, &Said::default(), (hit.at, now))
    }

    /// Tells how an alarm stands where that is not what was told of it.
    fn correct(&mut self, id: &AlarmId, now: EventTime) -> Option<Alarm> {
        let revision = self.revision(id)?;
        let differs = self.differs(id, &revision);
        let entry = self.alarms.get_mut(id)?;
        if entry.is_unsettled || !entry.may_tell(&revision.verdict) {
            return None;
        }
        if !differs {
            entry.told = revision.verdict;
            return None;
        }
        self.tell(id, now)
    }

    /// Tells how an alarm stands, by the last change that its findings make.
    fn tell(&mut self, id: &AlarmId, now: EventTime) -> Option<Alarm> {
        let revision = self.revision(id)?;
        let last = revision.verdict.last;
        let raised_at = revision.alarm.raised_at;
        self.restate(id, revision)?;
        if let Some((transition, at)) = last {
            self.number(id, transition, &Said::default(), (at, now))
        } else {
            let said = Said { note: Some(WITHDRAWN), ..Said::default() };
            self.number(id, Transition::Clear, &said, (raised_at, now))
        }
    }

    /// Makes `revision` what is known of `id`.
    fn restate(&mut self, id: &AlarmId, revision: Revision) -> Option<()> {
        let entry = self.alarms.get_mut(id)?;
        let before = entry.alarm.raised_at;
        let is_confirmed_anew = entry.is_confirmed_anew(&revision.verdict);
        entry.standing.turn(&entry.told, &revision.verdict, is_confirmed_anew);
        entry.told = revision.verdict;
        let before_it = std::mem::replace(&mut entry.alarm, revision.alarm);
        if entry.is_unsettled {
            // What has not been found again may have been what made it urgent.
            entry.alarm.priority = entry.alarm.priority.min(before_it.priority);
        }
        self.index.move_raise(&entry.alarm, before);
        Some(())
    }

    fn revision(&self, id: &AlarmId) -> Option<Revision> {
        let entry = self.alarms.get(id)?;
        let judgement = entry.findings.judge();
        let alarm = match judgement.content() {
            Some((raised_at, content)) => {
                let around =
                    content.cell.map_or_else(Surroundings::default, |cell| self.locate.surroundings(cell));
                let incident = self.incident_of(id, LONGEST_CHAIN);
                Alarm { incident, ..entry.restated(raised_at, content, around) }
            }
            None => entry.alarm.clone(),
        };
        Some(Revision { alarm, verdict: judgement.verdict })
    }

    fn differs(&self, id: &AlarmId, revision: &Revision) -> bool {
        let of = |verdict: &Verdict| (verdict.upshot, verdict.last);
        self.alarms.get(id).is_some_and(|entry| {
            of(&entry.told) != of(&revision.verdict) || !is_like(&entry.alarm, &revision.alarm)
        })
    }

    /// The alarm that `id` is confirmed with: itself, or the earliest of those it is joined to.
    fn incident_of(&self, id: &AlarmId, longest: usize) -> Option<String> {
        let judgement = self.alarms.get(id)?.findings.judge();
        if judgement.is_confirmed() {
            return Some(id.to_string());
        }
        let earlier = judgement.link()?;
        let beyond = if longest > 0 { self.incident_of(earlier, longest - 1) } else { None };
        beyond.or_else(|| Some(earlier.to_string()))
    }
}
