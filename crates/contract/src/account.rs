//! The account of records: what was read is accepted, duplicate, late or a dead letter; nothing else.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Counts of one topic's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// Records taken from Kafka.
    pub read: u64,
    /// Rows kept, those with a suspect time included.
    pub accepted: u64,
    /// Rows whose (site, source, id) was seen within the correction horizon.
    pub duplicate: u64,
    /// Rows too late to correct anything; kept in `late_events`.
    pub late: u64,
    /// Records refused; kept in `dead_letters`.
    pub dead_letter: u64,
}

impl Account {
    /// Whether every record read has ended somewhere.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.read == self.accepted + self.duplicate + self.late + self.dead_letter
    }
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.dead_letter += other.dead_letter;
    }
}
