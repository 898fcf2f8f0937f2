//! What happened in one cell in one pane, small enough to keep, exact enough to add up in any order.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::Input;

/// How many inputs a contribution names.
pub(crate) const TOP: usize = 5;

/// One fresh event, in the integers that masses are added in: integer sums do not depend on the order.
const ONE: f64 = 4_294_967_296.0;

/// The events of one term in one pane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    /// The decayed number of events at the pane's end, in units of 1/[`ONE`].
    mass: u64,
    pub(crate) n: u64,
    /// The latest, which weigh most, latest first.
    top: Vec<(Reverse<EventTime>, Input)>,
}

/// The events of one cell in one pane, by term.
pub(crate) type Pane = BTreeMap<usize, Sum>;

impl Sum {
    /// Adds an event that lies `age` before the pane's end.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=2^32")]
    pub(crate) fn add(&mut self, time: EventTime, age: Duration, half_life: Duration, input: Input) {
        self.mass = self.mass.saturating_add((decay(age, half_life) * ONE).round() as u64);
        self.n += 1;
        let entry = (Reverse(time), input);
        let place = self.top.partition_point(|known| *known < entry);
        if place < TOP {
            self.top.insert(place, entry);
            self.top.truncate(TOP);
        }
    }

    /// The decayed number of events, `age` after the pane's end.
    pub(crate) fn value(&self, age: Duration, half_life: Duration) -> f64 {
        self.mass as f64 / ONE * decay(age, half_life)
    }

    /// The inputs that weigh most, heaviest first.
    pub(crate) fn top(&self) -> impl Iterator<Item = &Input> {
        self.top.iter().map(|(_, input)| input)
    }
}

/// What is left of one event after `age`.
fn decay(age: Duration, half_life: Duration) -> f64 {
    (-age.as_secs_f64() / half_life.as_secs_f64()).exp2()
}
