//! How far apart commits are. Bringing everything to the point of one has a price of its own, however few rows came since
//! the last: every query that looks at many rows has to run. Where that takes more than a quarter of the time, a commit
//! waits for more rows, up to a bound.

use std::time::{Duration, Instant};

/// A commit has at most so many times the rows that were asked for.
const MOST: usize = 8;

/// When the last commit was begun and reached its point, and how many rows the next one waits for.
pub(crate) struct Spacing {
    interval: Duration,
    rows: usize,
    times: usize,
    begun: Instant,
    reached: Instant,
}

impl Spacing {
    /// A commit each `interval`, or after so many `rows`, as long as that costs little.
    pub(crate) fn new(interval: Duration, rows: usize, now: Instant) -> Self {
        Self { interval, rows: rows.max(1), times: 1, begun: now, reached: now }
    }

    /// So many rows are a commit's.
    pub(crate) fn rows(&self) -> usize {
        self.rows.saturating_mul(self.times)
    }

    /// Whether the next one is due at `now`, of so many rows that wait for it.
    pub(crate) fn is_due(&self, waiting: usize, now: Instant) -> bool {
        now.duration_since(self.reached) >= self.interval || waiting >= self.rows()
    }

    /// Notes that one is begun at `now`.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.begun = now;
    }

    /// Notes that everything has come to its point at `now`; gives how long that took.
    pub(crate) fn reach(&mut self, now: Instant) -> Duration {
        let (took, cycle) = (now.duration_since(self.begun), now.duration_since(self.reached));
        self.reached = now;
        if took > cycle / 4 {
            self.times = (self.times * 2).min(MOST);
        } else if took < cycle / 16 {
            self.times = (self.times / 2).max(1);
        }
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    /// One commit that is begun after `open` and reaches its point after `took` more.
    fn commit(spacing: &mut Spacing, now: &mut Instant, open: Duration, took: Duration) -> usize {
        spacing.begin(*now + open);
        *now += open + took;
        assert_eq!(spacing.reach(*now), took);
        spacing.rows()
    }

    #[test]
    fn a_commit_is_due_after_its_time_or_its_rows() {
        let start = Instant::now();
        let spacing = Spacing::new(INTERVAL, 100, start);
        assert!(!spacing.is_due(99, start + INTERVAL / 2));
        assert!(spacing.is_due(100, start));
        assert!(spacing.is_due(0, start + INTERVAL));
        assert!(Spacing::new(INTERVAL, 0, start).is_due(1, start), "there is no commit of nothing");
    }

    #[test]
    fn where_its_point_takes_long_it_has_more_rows_up_to_a_bound_and_fewer_again_afterwards() {
        let start = Instant::now();
        let (mut spacing, mut now) = (Spacing::new(INTERVAL, 100, start), start);
        let (short, long) = (Duration::from_millis(100), Duration::from_secs(2));
        assert_eq!(commit(&mut spacing, &mut now, long, short), 100);
        let grown: Vec<usize> = (0..5).map(|_| commit(&mut spacing, &mut now, short, long)).collect();
        assert_eq!(grown, [200, 400, 800, 800, 800]);
        assert_eq!(
            commit(&mut spacing, &mut now, long, long / 4),
            800,
            "it costs less than a quarter of the time"
        );
        let fallen: Vec<usize> = (0..4).map(|_| commit(&mut spacing, &mut now, long, short)).collect();
        assert_eq!(fallen, [400, 200, 100, 100]);
    }
}
