//! Which leases a worker asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hexwatch_contract::Partition;

/// A claim that was not answered is made again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// The claims that were made, and when they may be made again.
#[derive(Debug)]
pub(super) struct Claims {
    /// How long the group may take to tell a member that it is none any more.
    session_timeout: Duration,
    not_before: BTreeMap<Partition, Instant>,
}

impl Claims {
    pub(super) fn new(session_timeout: Duration) -> Self {
        Self { session_timeout, not_before: BTreeMap::new() }
    }

    /// What to ask for now: what the group has given, and nobody has leased to us.
    pub(super) fn due(
        &mut self,
        owned: &BTreeSet<Partition>,
        is_leased: impl Fn(&Partition) -> bool,
        now: Instant,
    ) -> Vec<Partition> {
        // What the group has taken away and given again is asked for at once.
        self.not_before.retain(|partition, _| owned.contains(partition));
        let may_ask = |partition: &&Partition| {
            !is_leased(partition) && self.not_before.get(partition).is_none_or(|limit| *limit <= now)
        };
        let due: Vec<Partition> = owned.iter().filter(may_ask).cloned().collect();
        self.not_before.extend(due.iter().map(|partition| (partition.clone(), now + AGAIN)));
        due
    }

    /// Another worker has the lease. Either the group has given the partition away and has not told us yet, or the other
    /// does not know that it is none of the group any more; by then it does.
    pub(super) fn fenced(&mut self, partition: &Partition, now: Instant) {
        self.not_before.insert(partition.clone(), now + self.session_timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_group_has_given_is_asked_for_until_it_is_leased() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let owned: BTreeSet<Partition> = [Partition::new("access", 0), Partition::new("access", 1)].into();
        let first = |partition: &Partition| partition.partition == 0;
        let mut claims = Claims::new(10 * second);
        assert_eq!(claims.due(&owned, first, now), [Partition::new("access", 1)]);
        assert!(claims.due(&owned, first, now + second).is_empty(), "it may be on its way");
        assert_eq!(claims.due(&owned, first, now + AGAIN), [Partition::new("access", 1)]);
    }

    #[test]
    fn whoever_was_fenced_waits_until_the_group_has_had_the_time_to_say_whose_it_is() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let access = Partition::new("access", 0);
        let owned: BTreeSet<Partition> = [access.clone()].into();
        let mut claims = Claims::new(10 * second);
        claims.fenced(&access, now);
        assert!(claims.due(&owned, |_| false, now + 9 * second).is_empty());
        assert_eq!(claims.due(&owned, |_| false, now + 10 * second), std::slice::from_ref(&access));
        claims.fenced(&access, now);
        assert!(claims.due(&BTreeSet::new(), |_| false, now).is_empty());
        assert_eq!(claims.due(&owned, |_| false, now), [access], "the group has given it anew");
    }
}
