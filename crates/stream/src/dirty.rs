//! Which result times have to be looked at anew: few late rows must not make a query look at all that came since.

/// More ranges than this are joined, the nearest first: each is a run of its own.
const MOST: usize = 8;

/// Ranges of result times in microseconds, both ends included, in order.
#[derive(Debug)]
pub(crate) struct Dirty {
    ranges: Vec<(i64, i64)>,
    /// How far ranges lie apart at least. A run looks at its range and at what surrounds it, so that nearer ones are
    /// cheaper together.
    apart: i64,
}

impl Dirty {
    /// None yet, and none nearer than `apart`, in microseconds.
    pub(crate) fn new(apart: i64) -> Self {
        Self { ranges: Vec::new(), apart }
    }

    /// Adds the times from `from` to `to`.
    pub(crate) fn add(&mut self, from: i64, to: i64) {
        let near = |range: &(i64, i64)| range.1.saturating_add(self.apart) < from;
        let first = self.ranges.partition_point(near);
        let until = to.saturating_add(self.apart);
        let end = first + self.ranges[first..].partition_point(|range| range.0 <= until);
        let joined = self.ranges[first..end].iter().fold((from, to), hull);
        self.ranges.splice(first..end, [joined]);
        if self.ranges.len() > MOST {
            self.join_nearest();
        }
    }

    /// Takes them all.
    pub(crate) fn take(&mut self) -> Vec<(i64, i64)> {
        std::mem::take(&mut self.ranges)
    }

    fn join_nearest(&mut self) {
        let gap = |at: &usize| self.ranges[at + 1].0.saturating_sub(self.ranges[*at].1);
        if let Some(at) = (0..self.ranges.len() - 1).min_by_key(gap) {
            let next = self.ranges.remove(at + 1);
            self.ranges[at] = hull(self.ranges[at], &next);
        }
    }
}

fn hull((from, to): (i64, i64), other: &(i64, i64)) -> (i64, i64) {
    (from.min(other.0), to.max(other.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(apart: i64, ranges: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut dirty = Dirty::new(apart);
        for (from, to) in ranges {
            dirty.add(*from, *to);
        }
        dirty.take()
    }

    #[test]
    fn ranges_that_lie_apart_stay_apart_and_come_in_order() {
        assert_eq!(added(10, &[(100, 110), (0, 5), (50, 60)]), [(0, 5), (50, 60), (100, 110)]);
        assert_eq!(added(10, &[]), []);
    }

    #[test]
    fn ranges_that_meet_or_are_near_become_one() {
        assert_eq!(added(10, &[(0, 5), (15, 20)]), [(0, 20)]);
        assert_eq!(added(10, &[(0, 5), (16, 20)]), [(0, 5), (16, 20)]);
        assert_eq!(added(10, &[(0, 5), (30, 35), (60, 65), (20, 55)]), [(0, 5), (20, 65)]);
        assert_eq!(added(10, &[(20, 30), (22, 24)]), [(20, 30)]);
    }

    #[test]
    fn of_too_many_the_nearest_are_joined_and_none_is_lost() {
        let many: Vec<(i64, i64)> =
            (0..30).map(|number| (number * number * 100, number * number * 100 + 1)).collect();
        let ranges = added(10, &many);
        assert_eq!(ranges.len(), MOST);
        assert!(many.iter().all(|(from, to)| ranges.iter().any(|range| range.0 <= *from && *to <= range.1)));
        assert_eq!(ranges.last(), Some(&(29 * 29 * 100, 29 * 29 * 100 + 1)), "the farthest stays alone");
    }

    #[test]
    fn times_beyond_all_others_do_not_overflow() {
        assert_eq!(added(i64::MAX, &[(i64::MIN, 0), (5, i64::MAX)]), [(i64::MIN, i64::MAX)]);
    }
}
