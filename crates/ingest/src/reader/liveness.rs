//! Whether a broker answers, told when it changes.

use std::time::{Duration, Instant};

use hexwatch_contract::EventTime;

/// A change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Lost { since: EventTime },
    Back,
}

/// Remembers when a broker last answered.
#[derive(Debug)]
pub(super) struct Liveness {
    lost_after: Duration,
    answered: (Instant, EventTime),
    lost: bool,
}

impl Liveness {
    pub(super) fn new(lost_after: Duration, now: Instant, time: EventTime) -> Self {
        Self { lost_after, answered: (now, time), lost: false }
    }

    /// Takes in whether a broker answers at `now`, which event time calls `time`.
    pub(super) fn observe(&mut self, answers: bool, now: Instant, time: EventTime) -> Option<Change> {
        if answers {
            self.answered = (now, time);
            return std::mem::take(&mut self.lost).then_some(Change::Back);
        }
        let (last, since) = self.answered;
        if self.lost || now.saturating_duration_since(last) < self.lost_after {
            return None;
        }
        self.lost = true;
        Some(Change::Lost { since })
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_lost_once_and_back_once() {
        let start = Instant::now();
        let at = |seconds: u64| {
            (
                start + Duration::from_secs(seconds),
                EventTime::from_millis(i64::try_from(seconds).unwrap() * 1000),
            )
        };
        let (now, time) = at(0);
        let mut liveness = Liveness::new(Duration::from_secs(8), now, time);
        let mut observe = |answers, seconds| {
            let (now, time) = at(seconds);
            liveness.observe(answers, now, time)
        };
        assert_eq!(observe(true, 2), None);
        assert_eq!(observe(false, 9), None);
        assert_eq!(observe(false, 10), Some(Change::Lost { since: EventTime::from_millis(2000) }));
        assert_eq!(observe(false, 11), None);
        assert_eq!(observe(true, 12), Some(Change::Back));
        assert_eq!(observe(true, 13), None);
    }
}
