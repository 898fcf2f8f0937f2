//! Where `--until-end` stops: the ends that the topics had at the start.

use std::collections::BTreeMap;

use hexwatch_contract::Partition;
use hexwatch_ingest::reader::Assignment;

/// Partitions, and the offset each has to be read to.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    is_assigned: bool,
    open: BTreeMap<Partition, i64>,
}

impl Ends {
    /// Partitions that are read from now on. Those that are added to a topic later do not count: they were not there
    /// at the start.
    pub(crate) fn assigned(&mut self, assignments: &[Assignment]) {
        if !self.is_assigned {
            let open = assignments.iter().filter(|one| one.start < one.end);
            self.open = open.map(|one| (one.partition.clone(), one.end)).collect();
            self.is_assigned = true;
        }
    }

    /// A partition has been read to `offset`, which was its end.
    pub(crate) fn at_end(&mut self, partition: &Partition, offset: i64) {
        if self.open.get(partition).is_some_and(|end| offset >= *end) {
            self.open.remove(partition);
        }
    }

    /// Whether everything that was there at the start has been read.
    pub(crate) fn are_reached(&self) -> bool {
        self.is_assigned && self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexwatch_contract::Topic;

    #[test]
    fn all_partitions_that_held_records_have_to_be_read_to_their_end() {
        let assignment = |partition, end| Assignment {
            partition: Partition::new("iot", partition),
            topic: Topic::Iot,
            start: 0,
            end,
            lease: 0,
        };
        let mut ends = Ends::default();
        assert!(!ends.are_reached(), "nothing is reached before the partitions are known");
        ends.assigned(&[assignment(0, 5), assignment(1, 0)]);
        ends.at_end(&Partition::new("iot", 0), 4);
        assert!(!ends.are_reached());
        ends.at_end(&Partition::new("iot", 0), 6);
        assert!(ends.are_reached());
    }
}
