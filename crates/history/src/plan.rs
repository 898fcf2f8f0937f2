//! What a commit does, decided before anything is written: which rows are new to which table, what each table notes
//! in the same entry, and in which order all of it goes to the disk. The [`Writer`](crate::Writer) only executes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use hexwatch_contract::Offsets;
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::catalog::alarm_batch;

use crate::checkpoint::Checkpoint;
use crate::commit::{Commit, Committed};
use crate::error::Result;
use crate::failpoints::Step;
use crate::order::with_order;
use crate::positions::{SEQ_APP, WATERMARK_APP, position_app, skip_done};
use crate::table_name::{ALARM_CHANGES, Rows, TableName};

/// One table's part of a commit.
#[derive(Clone, Debug)]
pub struct Part {
    /// The table.
    pub table: String,
    /// The columns that identify a row, should a view's table have to be made first.
    pub key: Option<Arc<[String]>>,
    /// The rows that are new to it.
    pub batches: Vec<RecordBatch>,
    /// What its log notes in the entry that adds them: application ids, and where each stands then.
    pub positions: Vec<(String, i64)>,
}

impl Part {
    /// How many rows it adds.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }
}

/// A whole commit.
#[derive(Clone, Debug)]
pub struct Plan {
    parts: BTreeMap<String, Part>,
    skipped: u64,
    next: Checkpoint,
}

impl Plan {
    /// What `commit` comes to on top of `at`. `changes` are those of the alarm log that `alarm_changes` lacks.
    pub fn of(at: &Checkpoint, commit: &Commit, changes: &[Alarm]) -> Result<Self> {
        let mut plan = Self { parts: BTreeMap::new(), skipped: 0, next: next(at, commit, changes) };
        for (name, batches) in &commit.rows {
            for batch in batches {
                plan.add(at, name, batch)?;
            }
        }
        let number = plan.next.number;
        for part in plan.parts.values_mut() {
            part.positions = positions(at, part, &plan.next.offsets, commit);
            if part.key.is_some() {
                part.batches = with_order(&part.table, std::mem::take(&mut part.batches), number)?;
            }
        }
        plan.copy(changes);
        Ok(plan)
    }

    fn add(&mut self, at: &Checkpoint, name: &TableName, batch: &RecordBatch) -> Result<()> {
        let table = name.table();
        let (batch, skipped) = if Rows::of(&table) == Rows::Positional {
            skip_done(&table, batch, &at.done(&table))?
        } else {
            (batch.clone(), 0)
        };
        self.skipped += skipped;
        if batch.num_rows() > 0 {
            let key = name.key().map(Into::into);
            let part = Part { table: table.clone(), key, batches: Vec::new(), positions: Vec::new() };
            self.parts.entry(table).or_insert(part).batches.push(batch);
        }
        Ok(())
    }

    /// The copy of the alarm log goes on by what it lacks.
    fn copy(&mut self, changes: &[Alarm]) {
        if changes.is_empty() {
            return;
        }
        let seqs = self.next.alarm_seqs.iter();
        let positions =
            seqs.map(|(site, seq)| (format!("{SEQ_APP}{site}"), i64::try_from(*seq).unwrap_or(i64::MAX)));
        let part = Part {
            table: ALARM_CHANGES.to_owned(),
            key: None,
            batches: vec![alarm_batch(changes)],
            positions: positions.collect(),
        };
        self.parts.insert(ALARM_CHANGES.to_owned(), part);
    }

    /// The commit's number.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.next.number
    }

    /// Everything there is to do, in the order that a crash at any point forgives: first data files, which count for
    /// nothing until a table names them; then each table's rows and positions, which the table itself knows to skip
    /// or take back; the checkpoint last.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let tables = || self.parts.keys().cloned();
        tables().map(Step::DataFiles).chain(tables().map(Step::Table)).chain([Step::Checkpoint]).collect()
    }

    /// The part of `table`.
    #[must_use]
    pub fn part(&self, table: &str) -> Option<&Part> {
        self.parts.get(table)
    }

    /// The checkpoint that ends the commit, once `tables` says at which version each table stands after it.
    #[must_use]
    pub fn checkpoint(&self, tables: BTreeMap<String, u64>) -> Checkpoint {
        Checkpoint { tables, ..self.next.clone() }
    }

    pub(crate) fn committed(&self) -> Committed {
        Committed {
            number: self.next.number,
            rows: self.parts.values().map(|part| (part.table.clone(), part.rows())).collect(),
            skipped: self.skipped,
        }
    }
}

/// The checkpoint after `commit`, but for the tables' versions.
fn next(at: &Checkpoint, commit: &Commit, changes: &[Alarm]) -> Checkpoint {
    // A partition that this commit does not name stays where the last one left it.
    let mut offsets = at.offsets.clone();
    offsets.extend(commit.offsets.clone());
    let mut alarm_seqs = at.alarm_seqs.clone();
    for change in changes {
        let seq = alarm_seqs.entry(change.site.clone()).or_default();
        *seq = change.seq.max(*seq);
    }
    let mut next = Checkpoint {
        number: at.number + 1,
        offsets,
        replay_from: commit.replay_from.clone(),
        watermarks: commit.watermarks.clone(),
        watermark: commit.watermark,
        rule_version: commit.rule_version.clone(),
        state: commit.state.clone(),
        tables: BTreeMap::new(),
        alarm_seqs,
        ahead: at.ahead.clone(),
    };
    next.prune_ahead();
    next
}

fn positions(at: &Checkpoint, part: &Part, offsets: &Offsets, commit: &Commit) -> Vec<(String, i64)> {
    if Rows::of(&part.table) != Rows::Positional {
        return vec![(WATERMARK_APP.to_owned(), commit.watermark.millis())];
    }
    // Never below what the table has already, or a crash would write those records again.
    let mut positions = at.done(&part.table);
    for (partition, offset) in offsets {
        let position = positions.entry(partition.clone()).or_insert(*offset);
        *position = (*position).max(*offset);
    }
    positions.iter().map(|(partition, offset)| (position_app(partition), *offset)).collect()
}
