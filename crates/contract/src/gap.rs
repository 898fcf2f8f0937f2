//! Records that could not be read any more, and that somebody has accepted to go on without.

use crate::{EventTime, Partition};

/// A stretch of one partition. A row of the table `gaps`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Where.
    pub partition: Partition,
    /// The first offset that would have been read.
    pub from_offset: i64,
    /// The offset at which reading went on, perhaps in another topic of the same name; `None` where the partition does
    /// not exist any more.
    pub to_offset: Option<i64>,
    /// Why it cannot be read: `topic_remade`, `retention` or `partition_gone`.
    pub reason: &'static str,
    /// When it was accepted.
    pub accepted_at: EventTime,
    /// By which login of the machine.
    pub accepted_by: String,
}
