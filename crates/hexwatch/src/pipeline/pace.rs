//! When the engine runs the queries that look at many rows. Each run has a price of its own, whatever came since the
//! last; in a backlog it is paid for many chunks at once, so that a backlog is caught up with.

use std::time::{Duration, Instant};

/// How long rows wait for such a run at least, where more rows wait behind them. An alarm may wait this long too.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells whether the engine may go ahead.
pub(crate) struct Pace {
    /// Whether events wait in the queue.
    pub(crate) more_waits: bool,
    last: Instant,
    took: Duration,
}

impl Pace {
    /// As after a run that took no time.
    pub(crate) fn new() -> Self {
        Self { more_waits: false, last: Instant::now(), took: Duration::ZERO }
    }

    /// Whether more waits, and the last run is not longer ago than it took: so at most half of the time goes into runs.
    pub(crate) fn may_wait(&self) -> bool {
        self.more_waits && self.last.elapsed() < self.took.max(PAUSE)
    }

    /// Notes a run that began at `began` and ends now.
    pub(crate) fn settled(&mut self, began: Instant) {
        self.last = Instant::now();
        self.took = self.last.duration_since(began);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_where_nothing_waits_behind() {
        let mut pace = Pace::new();
        assert!(!pace.may_wait());
        pace.more_waits = true;
        assert!(pace.may_wait());
    }

    #[test]
    fn a_long_run_is_followed_by_a_pause_as_long() {
        let mut pace = Pace::new();
        pace.more_waits = true;
        let long = Duration::from_secs(10);
        pace.settled(Instant::now().checked_sub(long).unwrap());
        assert!(pace.took >= long && pace.may_wait());
    }
}
