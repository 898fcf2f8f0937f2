//! Alarms that were told after the last commit. A restart reads their records again, perhaps in another order between
//! partitions and in other pieces: where a late record comes before the result that it would have corrected, the rule
//! never finds what it found before, and never takes it back; where two such records come at once, it neither takes back
//! nor finds again what it had taken back and found again in between.
//!
//! So the findings behind those changes count as not made, and what was told of them is left to stand until everything
//! has been read again that the dead process can have read: then what was not found again does not hold, and what holds
//! is told.
//!
//! The same goes for what was told of records beyond the point of a commit while others were still on their way there: the
//! commit names those alarms, for a restart reads these records again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hexwatch_alarm::{Book, Findings, stands_for_good};
use hexwatch_contract::alarm::{Alarm, AlarmId, RuleHit, Transition};
use hexwatch_contract::{EventTime, Partition};
use hexwatch_stream::Input;
use serde::{Deserialize, Serialize};

use super::state::State;

/// What is not sure of one alarm.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Doubt {
    /// The last change of its site that is sure.
    sure_until: u64,
    /// The latest event time of those that are not.
    at: EventTime,
    /// What the rules had found of it by the last commit that it was carried through. The records behind that are not
    /// read again, so it is sure, whatever the changes in the log say.
    #[serde(default)]
    found: Option<Findings>,
}

/// Alarms of which the rules have not found again what was told.
#[derive(Default)]
pub(super) struct Unsure {
    doubts: BTreeMap<AlarmId, Doubt>,
    /// Partitions that have not been read to their ends since the start: there may be records in them that were read
    /// before it.
    awaited: BTreeSet<Partition>,
    /// Whether it is known which partitions there are.
    is_assigned: bool,
    /// Whether a commit was taken since none is awaited.
    is_all_read: bool,
    /// What was told beyond the point of the commit that is being made.
    beyond: BTreeMap<AlarmId, Doubt>,
    /// What had been found by that point of alarms that were in doubt then.
    found_before: BTreeMap<AlarmId, Findings>,
}

impl Unsure {
    /// Doubts what the log's `changes` tell beyond what the `last` commit covers, and what that was unsure of itself.
    /// `runs` tells which rules there are: what another one found stands, and so does everything where records were lost
    /// for good.
    pub(super) fn after(changes: &[Alarm], last: Option<&State>, runs: impl Fn(&str) -> bool) -> Self {
        let mut unsure = Self::default();
        if last.is_some_and(|state| state.has_gap) {
            return unsure;
        }
        unsure.doubts.extend(last.iter().flat_map(|state| state.unsure.clone()));
        unsure.awaited.extend(
            last.iter().flat_map(|state| &state.engine.partitions).map(|place| place.partition.clone()),
        );
        let is_covered = |change: &Alarm| last.is_some_and(|state| state.has_told(&change.site, change.seq));
        let is_theirs = |change: &Alarm| is_found(change) && runs(&change.rule);
        for change in changes.iter().filter(|change| is_theirs(change) && !is_covered(change)) {
            let fresh = Doubt { sure_until: change.seq - 1, at: change.changed_at, found: None };
            let doubt = unsure.doubts.entry(change.alarm_id.clone()).or_insert(fresh);
            doubt.at = doubt.at.max(change.changed_at);
        }
        unsure
    }

    /// Makes `book` doubt what is not sure among `changes`.
    pub(super) fn unsettle(&self, book: &mut Book, changes: &[Alarm]) {
        let mut sure: BTreeMap<&AlarmId, Vec<&Alarm>> =
            self.doubts.keys().map(|id| (id, Vec::new())).collect();
        for change in changes {
            let Some(doubt) = self.doubts.get(&change.alarm_id) else { continue };
            if change.seq <= doubt.sure_until
                && let Some(sure) = sure.get_mut(&change.alarm_id)
            {
                sure.push(change);
            }
        }
        for (id, sure) in sure {
            match self.doubts.get(id).and_then(|doubt| doubt.found.clone()) {
                Some(found) => book.unsettle_but_for(id, found),
                None => book.unsettle(id, sure.into_iter()),
            }
        }
    }

    /// For the next commit: what is still in doubt, and what was found of it. What is known now as it was told is not.
    pub(super) fn doubts(&mut self, book: &mut Book, now: EventTime) -> BTreeMap<AlarmId, Doubt> {
        self.doubts.retain(|id, _| {
            let is_found_again = book.is_as_told(id);
            if is_found_again {
                let change = book.settle(id, now);
                debug_assert!(change.is_none(), "nothing is to be told of what is as it was told");
            }
            !is_found_again
        });
        for (id, doubt) in &mut self.doubts {
            doubt.found = book.findings(id).cloned();
        }
        let mut doubts = self.doubts.clone();
        for (id, beyond) in &self.beyond {
            let doubt = doubts.entry(id.clone()).or_insert_with(|| beyond.clone());
            doubt.at = doubt.at.max(beyond.at);
            doubt.found.clone_from(&beyond.found);
        }
        doubts
    }

    /// Notes what was found so far of alarms that `hits` may change, which are beyond the point of the commit that is
    /// being made; gives their rules.
    pub(super) fn before_beyond<'a>(
        &mut self,
        book: &Book,
        hits: impl Iterator<Item = &'a RuleHit>,
    ) -> BTreeSet<Arc<str>> {
        let rules: BTreeSet<Arc<str>> = hits.map(|hit| Arc::clone(&hit.rule)).collect();
        for id in self.doubts.keys() {
            let is_theirs = book.alarm(id).is_some_and(|alarm| rules.contains(&alarm.rule));
            if is_theirs
                && !self.found_before.contains_key(id)
                && let Some(found) = book.findings(id)
            {
                self.found_before.insert(id.clone(), found.clone());
            }
        }
        rules
    }

    /// Doubts, for the commit that is being made, what was told of such hits of `rules`.
    pub(super) fn found_beyond(&mut self, rules: &BTreeSet<Arc<str>>, changes: &[Alarm]) {
        for change in changes.iter().filter(|change| rules.contains(&change.rule) && is_found(change)) {
            let found = self.found_before.get(&change.alarm_id).cloned();
            let fresh = Doubt { sure_until: change.seq - 1, at: change.changed_at, found };
            let doubt = self.beyond.entry(change.alarm_id.clone()).or_insert(fresh);
            doubt.at = doubt.at.max(change.changed_at);
        }
    }

    /// The commit has been made, or will have what lay beyond its point.
    pub(super) fn reopen(&mut self) {
        self.beyond.clear();
        self.found_before.clear();
    }

    /// Notes how far the partitions are read.
    pub(super) fn note(&mut self, input: &Input) {
        match input {
            // Those that are there at the start come all at once; those that are added later nobody has read before.
            Input::Assigned(partitions) if !self.is_assigned => {
                self.is_assigned = true;
                self.awaited.extend(partitions.iter().map(|(partition, _)| partition.clone()));
            }
            Input::AtEnd(partition) => {
                self.awaited.remove(partition);
            }
            Input::Finished => self.awaited.clear(),
            _ => {}
        }
    }

    /// Settles what nothing is awaited for any more. To be called with each commit: results up to `given_until` have
    /// been given then, and everything that was read before the commit before has been taken in.
    pub(super) fn settle(&mut self, book: &mut Book, given_until: EventTime, now: EventTime) -> Vec<Alarm> {
        // What is read to its end may wait for a commit that is being made: the next one has it.
        if !std::mem::replace(&mut self.is_all_read, self.is_assigned && self.awaited.is_empty()) {
            return Vec::new();
        }
        self.settle_until(book, given_until, now)
    }

    /// Settles all that is in doubt: there is no more to come.
    pub(super) fn finish(&mut self, book: &mut Book, now: EventTime) -> Vec<Alarm> {
        self.settle_until(book, EventTime::MAX, now)
    }

    fn settle_until(&mut self, book: &mut Book, until: EventTime, now: EventTime) -> Vec<Alarm> {
        let (over, others) =
            std::mem::take(&mut self.doubts).into_iter().partition(|(_, doubt)| doubt.at <= until);
        self.doubts = others;
        let over: BTreeMap<AlarmId, Doubt> = over;
        over.keys().filter_map(|id| book.settle(id, now)).collect()
    }
}

/// Whether a rule's finding stands behind `change`, which may turn out not to hold.
fn is_found(change: &Alarm) -> bool {
    change.actor_ref.is_none() && change.transition != Transition::Unshelve && !stands_for_good(&change.rule)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure")]

    use hexwatch_alarm::{Settings, Surroundings};
    use hexwatch_contract::Cell;
    use hexwatch_contract::alarm::{Class, ConfirmLevel, Input as Record, Priority, RuleHit};
    use hexwatch_stream::Checkpoint;
    use serde_json::Map;

    use super::*;

    fn at(second: i64) -> EventTime {
        EventTime::from_millis(second * 1_000)
    }

    fn hit(transition: Transition, priority: Priority, second: i64) -> RuleHit {
        RuleHit {
            rule: "R15".into(),
            rule_version: 1,
            class: Class::Fire,
            key: "smoke-1".to_owned(),
            window_start: at(0),
            at: at(second),
            transition,
            priority,
            confirm_level: ConfirmLevel::Single,
            site: "s".to_owned(),
            device: None,
            cell: None,
            lon: None,
            lat: None,
            inputs: vec![Record {
                topic: "iot".into(),
                partition: 0,
                offset: second,
                id: format!("r{second}"),
                role: "smoke".into(),
            }],
            measured: Map::new(),
            drill: false,
        }
    }

    /// A process that takes up after `log`, where the last commit had the changes up to `told`.
    fn restarted(log: &[Alarm], told: u64, doubts: BTreeMap<AlarmId, Doubt>) -> (Book, Unsure) {
        let around = |_: Cell| Surroundings::default();
        let mut book = Book::replay(Settings::default(), around, log).unwrap();
        let engine = Checkpoint {
            watermark: None,
            partitions: Vec::new(),
            absences: Vec::new(),
            corrections: Vec::new(),
        };
        let told = Some(BTreeMap::from([("s".to_owned(), told)]));
        let last = State {
            engine,
            devices: book.device_states(),
            told,
            unsure: doubts,
            generation: 0,
            unconfirmed: BTreeMap::new(),
            has_gap: false,
        };
        let unsure = Unsure::after(log, Some(&last), |_| true);
        unsure.unsettle(&mut book, log);
        (book, unsure)
    }

    #[test]
    fn what_is_found_again_after_a_restart_outlives_the_next_one() {
        let escalation = hit(Transition::Escalate, Priority::P1, 61);
        let (mut book, _) = restarted(&[], 0, BTreeMap::new());
        let mut log = book.apply_hits(&[hit(Transition::Raise, Priority::P2, 1)], at(2));
        log.extend(book.apply_hits(std::slice::from_ref(&escalation), at(62)));

        // The raise alone was committed. What follows comes in another order this time.
        let (mut book, mut unsure) = restarted(&log, 1, BTreeMap::new());
        log.extend(book.apply_hits(&[hit(Transition::Return, Priority::P2, 90)], at(91)));
        assert_eq!(log[2].priority, Priority::P1, "an escalation that may still be found again stands");
        assert!(book.apply_hits(std::slice::from_ref(&escalation), at(92)).is_empty());
        let doubts = unsure.doubts(&mut book, at(93));
        assert_eq!(doubts.len(), 1, "the return was told without the escalation's record");

        // All of that is committed, and never read again.
        let (mut book, mut unsure) = restarted(&log, 3, doubts);
        let last = unsure.finish(&mut book, at(200)).remove(0);
        assert_eq!((last.transition, last.priority), (Transition::Return, Priority::P1));
        assert_eq!(last.inputs.len(), 3);
        assert!(unsure.doubts(&mut book, at(201)).is_empty());
    }

    #[test]
    fn what_was_told_beyond_the_point_of_a_commit_is_in_doubt_after_a_restart_there() {
        let (mut book, mut unsure) = restarted(&[], 0, BTreeMap::new());
        let mut log = book.apply_hits(&[hit(Transition::Raise, Priority::P2, 1)], at(2));
        let escalation = [hit(Transition::Escalate, Priority::P1, 61)];
        let rules = unsure.before_beyond(&book, escalation.iter());
        let told = book.apply_hits(&escalation, at(62));
        unsure.found_beyond(&rules, &told);
        log.extend(told);
        let doubts = unsure.doubts(&mut book, at(63));
        assert_eq!(doubts.len(), 1, "the commit does not have the escalation's record");
        unsure.reopen();
        assert!(unsure.doubts(&mut book, at(64)).is_empty(), "the next one has");

        // The restart does not find the escalation again, although the commit was made after it was told.
        let (mut book, mut unsure) = restarted(&log, 2, doubts.clone());
        let last = unsure.finish(&mut book, at(200)).remove(0);
        assert_eq!((last.priority, last.inputs.len()), (Priority::P2, 1));
        let (mut book, mut unsure) = restarted(&log, 2, doubts);
        assert!(book.apply_hits(&escalation, at(92)).is_empty(), "or finds it again");
        assert!(unsure.finish(&mut book, at(200)).is_empty());
    }
}
