//! When queries that look at many rows are run. A run has a price of its own, whatever came since the last; so each
//! group of them rests after a run, and looks once at all that has come meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hexwatch_stream::Due;

/// How long a group rests at least where a life may hang on what it says,
const URGENT_REST: Duration = Duration::from_millis(50);
/// and where none does.
const REST: Duration = Duration::from_millis(200);

/// When each group ran last.
#[derive(Default)]
pub(crate) struct Pace {
    ran: BTreeMap<usize, Ran>,
}

#[derive(Clone, Copy)]
struct Ran {
    began: Instant,
    ended: Instant,
}

impl Pace {
    /// Which of those that are due goes next, if any may at `now`: a group rests for three times as long as it ran, the
    /// urgent for a quarter as long. The urgent go first, then whoever has waited longest. Who is in a `hurry` does not
    /// rest.
    pub(crate) fn choose(&self, due: &[Due], now: Instant, hurry: impl Fn(Due) -> bool) -> Option<Due> {
        let rested = due.iter().filter(|due| hurry(**due) || self.ready_at(**due).is_none_or(|at| at <= now));
        rested.min_by_key(|due| (!due.is_urgent, self.ran.get(&due.group).map(|ran| ran.ended))).copied()
    }

    /// How long until the next of those that are due may go.
    pub(crate) fn wait(&self, due: &[Due], now: Instant) -> Option<Duration> {
        let waits = due.iter().map(|due| match self.ready_at(*due) {
            Some(at) => at.saturating_duration_since(now),
            None => Duration::ZERO,
        });
        waits.min()
    }

    /// Notes a run of `due` that begins at `now`.
    pub(crate) fn began(&mut self, due: Due, now: Instant) {
        self.ran.insert(due.group, Ran { began: now, ended: now });
    }

    /// Notes that it has ended at `now`.
    pub(crate) fn ended(&mut self, due: Due, now: Instant) {
        if let Some(ran) = self.ran.get_mut(&due.group) {
            ran.ended = now;
        }
    }

    fn ready_at(&self, due: Due) -> Option<Instant> {
        let ran = self.ran.get(&due.group)?;
        let took = ran.ended.duration_since(ran.began);
        let rest = if due.is_urgent { URGENT_REST.max(took / 4) } else { REST.max(took * 3) };
        Some(ran.ended + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URGENT: Due = Due { group: 3, is_urgent: true };
    const VIEW: Due = Due { group: 0, is_urgent: false };
    const OTHER: Due = Due { group: 1, is_urgent: false };

    fn nobody(_: Due) -> bool {
        false
    }

    fn ran(pace: &mut Pace, due: Due, at: Instant, millis: u64) -> Instant {
        pace.began(due, at);
        let ended = at + Duration::from_millis(millis);
        pace.ended(due, ended);
        ended
    }

    #[test]
    fn the_urgent_go_first_then_whoever_has_waited_longest() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.choose(&[VIEW, OTHER, URGENT], start, nobody), Some(URGENT));
        let now = ran(&mut pace, VIEW, start, 1);
        assert_eq!(pace.choose(&[VIEW, OTHER], now, nobody), Some(OTHER), "it has never run");
        let now = ran(&mut pace, OTHER, now, 1) + Duration::from_secs(1);
        assert_eq!(pace.choose(&[VIEW, OTHER], now, nobody), Some(VIEW));
        assert_eq!(pace.choose(&[], now, nobody), None);
    }

    #[test]
    fn a_group_rests_for_longer_than_it_ran_and_not_in_a_hurry() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let now = ran(&mut pace, VIEW, start, 10_000);
        let soon = now + Duration::from_millis(29_999);
        assert_eq!(pace.choose(&[VIEW], soon, nobody), None);
        assert_eq!(pace.wait(&[VIEW], soon), Some(Duration::from_millis(1)));
        assert_eq!(pace.choose(&[VIEW, OTHER], soon, |due| due == VIEW), Some(OTHER), "it has never run");
        assert_eq!(pace.choose(&[VIEW], soon, |due| due == VIEW), Some(VIEW));
        assert_eq!(pace.choose(&[VIEW], soon, |due| due == OTHER), None, "somebody else is in a hurry");
        assert_eq!(pace.choose(&[VIEW], now + Duration::from_secs(30), nobody), Some(VIEW));
        let now = ran(&mut pace, URGENT, now, 400);
        assert_eq!(pace.wait(&[URGENT], now), Some(Duration::from_millis(100)), "a life may hang on it");
    }

    #[test]
    fn a_short_run_is_followed_by_a_rest_that_is_shorter_for_the_urgent() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let now = ran(&mut pace, VIEW, start, 1).max(ran(&mut pace, URGENT, start, 1));
        assert_eq!(pace.wait(&[VIEW, URGENT], now), Some(URGENT_REST));
        assert_eq!(pace.wait(&[VIEW], now), Some(REST));
        assert_eq!(pace.choose(&[VIEW, URGENT], now + URGENT_REST, nobody), Some(URGENT));
        assert_eq!(pace.wait(&[], now), None);
    }
}
