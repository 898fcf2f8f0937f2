//! What is still to come, by the time it reaches Kafka.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::event::Event;
use crate::life::Trip;
use crate::record::Record;
use crate::situation::Silence;

/// What comes up at its time.
#[derive(Debug)]
pub(crate) enum Item {
    /// Something that happened reaches Kafka.
    Event(Event),
    /// A finished record: a duplicate, one that was held up, a malformed one.
    Ready(Box<Record>),
    /// Something goes on.
    Wake(Wake),
}

/// What goes on at a time.
#[derive(Clone, Debug)]
pub(crate) enum Wake {
    /// A device's next sign of life.
    Heartbeat(u32),
    /// Somebody comes to the next stage of a way.
    Trip(Trip),
    /// A flapping device toggles; how many toggles are left in this spell.
    Flap { device: u32, left: u8 },
    /// The hour strikes for patrols.
    PatrolHour,
    /// The next situation is to be planned.
    Situation,
    /// Devices fall silent.
    Silence(Box<Silence>),
}

struct Pending {
    due: i64,
    /// Ties are broken by the order of planning, so that runs do not differ.
    order: u64,
    item: Item,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// The agenda; its size is bounded by the rate times the few minutes that a way through the community takes.
#[derive(Default)]
pub(crate) struct Agenda {
    pending: BinaryHeap<Reverse<Pending>>,
    order: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, due: i64, item: Item) {
        self.order += 1;
        self.pending.push(Reverse(Pending { due, order: self.order, item }));
    }

    /// When the next item comes up.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.pending.peek().map(|Reverse(pending)| pending.due)
    }

    pub(crate) fn take(&mut self) -> Option<(i64, Item)> {
        self.pending.pop().map(|Reverse(pending)| (pending.due, pending.item))
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }
}
