//! Where each site's changes stand, and the law of their numbers: from 1, without gaps.

use std::collections::BTreeMap;

use hexwatch_contract::alarm::Alarm;

use super::{AlarmLogError, Result};

/// A record in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    last_seq: u64,
    place: Place,
}

/// For each site its records, in the order of their numbers.
#[derive(Default, Debug)]
pub(super) struct Index {
    sites: BTreeMap<String, Vec<Entry>>,
}

impl Index {
    pub(super) fn last_seq(&self, site: &str) -> u64 {
        self.sites.get(site).and_then(|entries| entries.last()).map_or(0, |entry| entry.last_seq)
    }

    pub(super) fn last_seqs(&self) -> BTreeMap<String, u64> {
        self.sites.keys().map(|site| (site.clone(), self.last_seq(site))).collect()
    }

    /// The last numbers after `alarms`, where they follow on what is there.
    pub(super) fn check(&self, alarms: &[Alarm]) -> Result<BTreeMap<String, u64>> {
        let mut last_seqs: BTreeMap<String, u64> = BTreeMap::new();
        for alarm in alarms {
            let last = last_seqs.get(&alarm.site).copied().unwrap_or_else(|| self.last_seq(&alarm.site));
            if alarm.seq != last + 1 {
                return Err(AlarmLogError::Gap {
                    site: alarm.site.clone(),
                    expected: last + 1,
                    found: alarm.seq,
                });
            }
            last_seqs.insert(alarm.site.clone(), alarm.seq);
        }
        Ok(last_seqs)
    }

    pub(super) fn insert(&mut self, last_seqs: BTreeMap<String, u64>, place: Place) {
        for (site, last_seq) in last_seqs {
            self.sites.entry(site).or_default().push(Entry { last_seq, place });
        }
    }

    /// The records that hold changes of `site` after `seq`, oldest first; at most `limit` of them, each
    /// holding one change or more.
    pub(super) fn after(&self, site: &str, seq: u64, limit: usize) -> Vec<Place> {
        let entries = self.sites.get(site).map_or(&[][..], Vec::as_slice);
        let first = entries.partition_point(|entry| entry.last_seq <= seq);
        entries[first..].iter().take(limit).map(|entry| entry.place).collect()
    }
}
