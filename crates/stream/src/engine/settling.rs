//! How queries come to give what is due: all at once within a step, or group by group, lent to whoever runs them while
//! the engine takes more. Results come out the same.

use std::collections::BTreeSet;

use hexwatch_contract::{EventTime, Topic};

use super::point::Stage;
use super::{Engine, Input};
use crate::effects::Effects;
use crate::error::StreamError;
use crate::group::{Due, Group, Loan, Returned, Until};

impl Engine {
    /// Takes one input at `now`, the engine's event clock, and gives all that follows. Nothing may be lent.
    pub fn step(&mut self, now: EventTime, input: Input) -> Result<Effects, StreamError> {
        let mut effects = Effects::default();
        self.accept(now, input, &mut effects)?;
        self.settle(now, &mut effects)?;
        Ok(effects)
    }

    /// Takes one input like [`Engine::step`], and leaves what looks at many rows for later: to [`Engine::due`] and
    /// [`Engine::lend`], or to the next `step`. Filters still give at once. Results come out the same; until then there
    /// is no checkpoint.
    pub fn step_ahead(&mut self, now: EventTime, input: Input) -> Result<Effects, StreamError> {
        let mut effects = Effects::default();
        self.accept(now, input, &mut effects)?;
        self.merge(now);
        self.give_filters(&mut effects)?;
        self.tell_filtered(&mut effects);
        Ok(effects)
    }

    /// The groups of queries of which something is due at `now`, in the order in which they are told.
    pub fn due(&mut self, now: EventTime) -> Vec<Due> {
        self.merge(now);
        let (merged, unread) = (self.watermarks.merged(), self.unread());
        let groups = self.groups.iter_mut().enumerate();
        groups.filter_map(|(number, group)| group.due(number, merged, now, &unread)).collect()
    }

    /// Lends what is due. `None` where it is not there.
    pub fn lend(&mut self, due: Due) -> Option<Loan> {
        let (until, unread) = (self.until(), self.unread());
        let group = self.groups.get_mut(due.group).filter(|group| !group.is_lent())?;
        Some(group.lend(due.group, &until, &unread))
    }

    /// The names of the queries that are run together as `due`.
    #[must_use]
    pub fn names_of(&self, due: Due) -> String {
        let names = self.groups.get(due.group).into_iter().flat_map(Group::names);
        names.collect::<Vec<_>>().join(" ")
    }

    /// Takes back what was lent, and gives what it found.
    pub fn take_back(&mut self, now: EventTime, returned: Returned) -> Result<Effects, StreamError> {
        let mut effects = returned.into_effects(&mut self.groups);
        self.tell_watermark(now, &mut effects);
        Ok(effects)
    }

    /// How many rows wait for what is `due`.
    #[must_use]
    pub fn untaken_by(&self, due: Due) -> usize {
        self.groups.get(due.group).map_or(0, Group::waiting)
    }

    /// How many rows wait for a group of queries that has not taken them, at most: also those
    /// [beyond](Engine::rows_beyond) a point where it has not been.
    #[must_use]
    pub fn untaken(&self) -> usize {
        let beyond = |group: &Group| if group.has_passed() { 0 } else { self.rows_beyond() };
        self.groups.iter().map(|group| group.waiting() + beyond(group)).max().unwrap_or(0)
    }

    /// Lets every query give what the watermark allows.
    fn settle(&mut self, now: EventTime, effects: &mut Effects) -> Result<(), StreamError> {
        if self.groups.iter().any(Group::is_lent) {
            return Err(StreamError::Lent);
        }
        self.merge(now);
        self.give_filters(effects)?;
        self.tell_filtered(effects);
        let (until, unread) = (self.until(), self.unread());
        for group in &mut self.groups {
            settle_one(group, &until, &unread, effects)?;
        }
        self.tell_watermark(now, effects);
        Ok(())
    }

    pub(super) fn merge(&mut self, now: EventTime) {
        if self.stage == Stage::Open {
            self.watermarks.merge(now);
        }
    }

    /// How far results may be given. Where there is no more to come every window closes.
    fn until(&self) -> Until {
        let (merged, lateness) = (self.watermarks.merged(), self.config.default_lateness);
        let horizon = self.config.correction_horizon;
        if self.finished {
            let known = self.watermarks.latest().unwrap_or(EventTime::MIN).max(merged);
            return Until { merged, watermark: EventTime::MAX, known, lateness, horizon, held: None };
        }
        Until { merged, watermark: merged, known: merged, lateness, horizon, held: None }
    }

    /// Tells how far every query has given, where that has moved.
    fn tell_watermark(&mut self, now: EventTime, effects: &mut Effects) {
        let merged = self.watermarks.merged();
        let given = self.groups.iter().map(Group::given).min().unwrap_or(merged);
        if given > self.given {
            self.given = given;
            effects.watermark = Some(given);
            self.drop_before(now);
        }
    }
}

/// A group that has something to rebuild does so first, and gives on the way.
fn settle_one(
    group: &mut Group,
    until: &Until,
    unread: &BTreeSet<Topic>,
    effects: &mut Effects,
) -> Result<(), StreamError> {
    let is_last = until.watermark > until.merged;
    // What lies beyond a point that others are still brought to is given by those to whom it is lent, apart from the rest.
    while !group.has_passed() && group.owes(until.merged, unread) {
        group.run(until, unread, effects)?;
    }
    if is_last && !group.is_rebuilding() { group.run(until, unread, effects) } else { Ok(()) }
}
