//! Alarms that were told after the last commit. A restart reads their records again, perhaps in another order between
//! partitions: where a late record comes before the result that it would have corrected, the rule never finds what it
//! found before, and never takes it back.

use std::collections::BTreeSet;
use std::time::Duration;

use hexwatch_alarm::Book;
use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{Alarm, AlarmId, RuleHit, Transition};

use super::state::State;

/// Rules whose alarms stand whatever comes: presses for help, readable and not.
const FOR_GOOD: [&str; 2] = ["R10", "R33"];

/// Alarms that no rule has found again yet.
#[derive(Default)]
pub(super) struct Unsure(BTreeSet<AlarmId>);

impl Unsure {
    /// Those among the log's `changes` that the `last` commit does not cover, and those that it was unsure of itself.
    pub(super) fn after(changes: &[Alarm], last: Option<&State>) -> Self {
        let is_covered = |change: &Alarm| last.is_some_and(|state| state.has_told(&change.site, change.seq));
        let is_found = |change: &Alarm| {
            matches!(change.transition, Transition::Raise | Transition::Suppress)
                && change.actor_ref.is_none()
                && !FOR_GOOD.contains(&&*change.rule)
        };
        let fresh = changes.iter().filter(|change| is_found(change) && !is_covered(change));
        let before = last.map(|state| state.unsure.clone()).unwrap_or_default();
        Self(fresh.map(|change| change.alarm_id.clone()).chain(before).collect())
    }

    /// For the next commit.
    pub(super) fn ids(&self) -> BTreeSet<AlarmId> {
        self.0.clone()
    }

    /// Notes what the rules have found.
    pub(super) fn found(&mut self, hits: &[RuleHit]) {
        if self.0.is_empty() {
            return;
        }
        for hit in hits.iter().filter(|hit| hit.transition == Transition::Raise) {
            self.0.remove(&hit.alarm_id());
        }
    }

    /// Takes those back that nothing can bring any more: no record is admitted so far behind `watermark`.
    pub(super) fn take_back(
        &mut self,
        book: &mut Book,
        horizon: Duration,
        watermark: EventTime,
        now: EventTime,
    ) -> Vec<Alarm> {
        let raised_at = |id: &AlarmId| book.alarm(id).map_or(EventTime::MIN, |alarm| alarm.raised_at);
        let over: Vec<AlarmId> =
            self.0.iter().filter(|id| raised_at(id) + horizon < watermark).cloned().collect();
        let changes = over.iter().filter_map(|id| book.take_back(id, now)).collect();
        self.0.retain(|id| !over.contains(id));
        changes
    }
}
