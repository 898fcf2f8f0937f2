//! Whether the sensors of a cell were heard in time.

use std::collections::BTreeMap;
use std::time::Duration;

use hexwatch_contract::{Cell, EventTime};

/// A sensor is silent after this many missed signs of life, but not before [`LEAST`] (R17).
const MISSED: u32 = 3;
const LEAST: Duration = Duration::from_secs(90);

/// An in-service sensor that is expected to be heard.
#[derive(Clone, Debug)]
pub(crate) struct Sensor {
    pub(crate) cell: Cell,
    /// How long it may be silent.
    pub(crate) patience: Duration,
    /// The last sign of life in each pane, by the pane's start.
    heard: BTreeMap<EventTime, EventTime>,
}

impl Sensor {
    pub(crate) fn new(cell: Cell, expected: Duration) -> Self {
        Self { cell, patience: (expected * MISSED).max(LEAST), heard: BTreeMap::new() }
    }

    /// Notes a sign of life; returns whether it tells anything new.
    pub(crate) fn hear(&mut self, pane: EventTime, time: EventTime) -> bool {
        let last = self.heard.entry(pane).or_insert(EventTime::MIN);
        let is_later = *last < time;
        *last = time.max(*last);
        is_later
    }

    /// Whether it had been heard in time, as seen from `end`, the end of a pane.
    pub(crate) fn is_heard_at(&self, end: EventTime) -> bool {
        self.heard.range(..end).next_back().is_some_and(|(_, last)| end.since(*last) < self.patience)
    }

    /// Forgets what no window after `before` can ask for.
    pub(crate) fn forget(&mut self, before: EventTime) {
        let keep = self.heard.split_off(&(before - self.patience));
        let last = self.heard.pop_last();
        self.heard = keep;
        if self.heard.is_empty() {
            self.heard.extend(last);
        }
    }
}
