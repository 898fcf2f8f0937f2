//! What a start makes of what it finds, decided table by table: pure, and executed by `recovery`.
//!
//! Tables of records keep what they are ahead by: their own positions say which records to skip. Derived
//! tables are taken back to the checkpoint, because a replay need not cut its results into the same rows.
//! `alarm_changes` follows the alarm log, which is never taken back.

use std::collections::{BTreeMap, HashMap};

use hexwatch_contract::Offsets;

use crate::checkpoint::Checkpoint;
use crate::error::{HistoryError, Result};
use crate::log_tail::SetAside;
use crate::positions::{SEQ_APP, partition_of};
use crate::table_name::{ALARM_CHANGES, Rows};

/// What opening had to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveryReport {
    /// Tables that hold records of an unfinished commit; they are skipped when they come again.
    pub ahead: Vec<String>,
    /// Derived tables from which files of an unfinished commit were taken back, and how many.
    pub taken_back: BTreeMap<String, usize>,
    /// Log entries that nobody counted on.
    pub set_aside: Vec<SetAside>,
}

/// What a table's log holds behind the version that the checkpoint names.
#[derive(Clone, Copy, Debug)]
pub struct Behind<'a> {
    /// The positions of those commits, the newest of each.
    pub positions: &'a HashMap<String, i64>,
    /// How many of the files that they added are still in the table.
    pub files: usize,
    /// A file they added that somebody else has rewritten.
    pub merged: Option<&'a str>,
}

/// What is to be done with a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Duty {
    /// It stays as it is.
    Leave,
    /// The files behind the checkpoint are taken out again.
    TakeBack,
}

/// The last checkpoint, and what is knowingly ahead of it.
#[derive(Clone, Debug)]
pub struct Takeover {
    /// The checkpoint to go on from.
    pub checkpoint: Checkpoint,
    /// What was found and done.
    pub report: RecoveryReport,
}

impl Takeover {
    /// From `checkpoint`, before any table was looked at.
    #[must_use]
    pub fn of(checkpoint: Checkpoint) -> Self {
        Self { checkpoint, report: RecoveryReport::default() }
    }

    /// Decides on `table`.
    ///
    /// # Errors
    /// [`HistoryError::Merged`] where it cannot be taken back any more.
    pub fn judge(&mut self, table: &str, behind: Behind<'_>) -> Result<Duty> {
        match Rows::of(table) {
            Rows::Positional => self.note_positions(table, behind.positions),
            Rows::AlarmChanges => self.note_seqs(behind.positions),
            Rows::Derived => return self.judge_derived(table, behind),
            Rows::Reference | Rows::Commits => {}
        }
        Ok(Duty::Leave)
    }

    fn note_positions(&mut self, table: &str, positions: &HashMap<String, i64>) {
        let positions: Offsets =
            positions.iter().filter_map(|(app, offset)| Some((partition_of(app)?, *offset))).collect();
        if !positions.is_empty() {
            self.report.ahead.push(table.to_owned());
            self.checkpoint.ahead.entry(table.to_owned()).or_default().extend(positions);
            self.checkpoint.prune_ahead();
        }
    }

    fn note_seqs(&mut self, positions: &HashMap<String, i64>) {
        let site_and_seq = |(app, seq): (&String, &i64)| {
            Some((app.strip_prefix(SEQ_APP)?.to_owned(), u64::try_from(*seq).ok()?))
        };
        let seqs: Vec<_> = positions.iter().filter_map(site_and_seq).collect();
        if !seqs.is_empty() {
            self.report.ahead.push(ALARM_CHANGES.to_owned());
            self.checkpoint.alarm_seqs.extend(seqs);
        }
    }

    fn judge_derived(&mut self, table: &str, behind: Behind<'_>) -> Result<Duty> {
        if let Some(file) = behind.merged {
            let recorded = self.checkpoint.tables.get(table).copied().unwrap_or(0);
            return Err(HistoryError::Merged { table: table.to_owned(), file: file.to_owned(), recorded });
        }
        if behind.files == 0 {
            return Ok(Duty::Leave);
        }
        self.report.taken_back.insert(table.to_owned(), behind.files);
        Ok(Duty::TakeBack)
    }
}
