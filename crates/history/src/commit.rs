//! What a commit adds, what it did, and what a start finds.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use hexwatch_contract::{EventTime, Offsets, Partition};
use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::table_name::TableName;
use crate::takeover::RecoveryReport;

/// What one commit adds. It may be handed in again, unchanged, after it failed and the writer recovered.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The rows of each table; a table may come more than once. Alarms are not among them: `alarm_changes`
    /// follows the alarm log by itself.
    pub rows: Vec<(TableName, Vec<RecordBatch>)>,
    /// For each partition the offset after the last record whose rows are in this or an earlier commit.
    pub offsets: Offsets,
    /// For each partition the smallest offset that feeds anything still open: where a restart reads from.
    pub replay_from: Offsets,
    /// For each partition its own watermark.
    pub watermarks: BTreeMap<Partition, EventTime>,
    /// The merged watermark up to which derived rows are complete.
    pub watermark: EventTime,
    /// A name for the set of rules and views that made the derived rows.
    pub rule_version: String,
    /// Whatever the engine wants back at the next start.
    pub state: Value,
}

/// What a commit did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// The commit's number.
    pub number: i64,
    /// For each table how many rows were added.
    pub rows: BTreeMap<String, u64>,
    /// How many rows were skipped because their table has them already.
    pub skipped: u64,
}

/// What the last checkpoint says, and what had to be done to stand there.
#[derive(Clone, PartialEq, Debug)]
pub struct Resume {
    /// The number of the last commit; 0: there is none.
    pub number: i64,
    /// For each partition the first offset whose rows are not in history. Derived rows that follow from
    /// records below it and from `watermark` are in history too: the engine holds them back while it
    /// rebuilds.
    pub offsets: Offsets,
    /// For each partition the offset to read from in order to rebuild what was open.
    pub replay_from: Offsets,
    /// For each partition its watermark.
    pub watermarks: BTreeMap<Partition, EventTime>,
    /// The merged watermark.
    pub watermark: EventTime,
    /// The set of rules and views that made the derived rows.
    pub rule_version: String,
    /// What the engine left.
    pub state: Value,
    /// What opening had to do.
    pub report: RecoveryReport,
}

impl Resume {
    /// As `checkpoint` says, after what `report` says.
    #[must_use]
    pub fn of(checkpoint: &Checkpoint, report: RecoveryReport) -> Self {
        let Checkpoint { number, offsets, replay_from, watermarks, watermark, .. } = checkpoint.clone();
        Self {
            number,
            offsets,
            replay_from,
            watermarks,
            watermark,
            rule_version: checkpoint.rule_version.clone(),
            state: checkpoint.state.clone(),
            report,
        }
    }
}
