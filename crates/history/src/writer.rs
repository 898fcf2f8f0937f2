//! Commits: rows and positions of all tables, then the checkpoint.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::SaveMode;
use hexwatch_contract::catalog::alarm_batch;
use hexwatch_contract::{Clock, Offsets};
use object_store::ObjectStoreExt as _;

use crate::alarm_log::AlarmLog;
use crate::checkpoint::Checkpoint;
use crate::commit::{Commit, Committed, Resume};
use crate::error::{HistoryError, Result};
use crate::failpoints::{Failpoints, Point, Step};
use crate::order::with_order;
use crate::positions::{skip_done, transactions};
use crate::recovery::{Recovered, SEQ_APP, recover};
use crate::storable::check_fit;
use crate::table::Table;
use crate::table_name::{ALARM_CHANGES, COMMITS, Rows, TableName};
use crate::tables::Tables;

/// How many files of earlier checkpoints stay, so that a torn newest one can be stepped back from and a
/// reader of the one before still finds its file.
const CHECKPOINTS_KEPT: usize = 16;
/// How many alarm changes a commit takes over per site at most.
const ALARMS_PER_COMMIT: usize = 50_000;

/// The one writer of a history.
pub struct Writer {
    tables: Tables,
    clock: Arc<dyn Clock>,
    failpoints: Arc<dyn Failpoints>,
    alarms: Arc<AlarmLog>,
    at: Recovered,
    old_checkpoints: VecDeque<String>,
    stopped: bool,
    /// Keeps other processes of this machine out for as long as this writer lives.
    _lock: Option<File>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("at", &self.at)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

/// A table's part of a commit, between its data files and its log entry.
struct Staged {
    table: String,
    actions: Vec<Action>,
    positions: Vec<Transaction>,
    rows: u64,
}

impl Writer {
    pub(crate) async fn open(
        tables: Tables,
        clock: Arc<dyn Clock>,
        failpoints: Arc<dyn Failpoints>,
        alarms: Arc<AlarmLog>,
        lock: Option<File>,
    ) -> Result<Self> {
        let at = recover(&tables, clock.now()).await?;
        Ok(Self {
            tables,
            clock,
            failpoints,
            alarms,
            at,
            old_checkpoints: VecDeque::new(),
            stopped: false,
            _lock: lock,
        })
    }

    /// Where the history stands.
    #[must_use]
    pub fn resume(&self) -> Resume {
        let checkpoint = self.at.checkpoint.clone();
        Resume {
            number: checkpoint.number,
            offsets: checkpoint.offsets,
            replay_from: checkpoint.replay_from,
            watermarks: checkpoint.watermarks,
            watermark: checkpoint.watermark,
            rule_version: checkpoint.rule_version,
            state: checkpoint.state,
            report: self.at.report.clone(),
        }
    }

    /// Whether rows of `schema` fit `table`, to be asked before a view's first rows: rows that do not fit
    /// make the whole commit fail.
    ///
    /// # Errors
    /// [`HistoryError::Misfit`] says which column differs from what the table holds since an earlier run.
    pub fn fits(&self, table: &TableName, schema: &Schema) -> Result<()> {
        match self.at.tables.get(&table.table()) {
            Some(open) => check_fit(&open.name, schema, open.schema()?.as_ref()),
            None => Ok(()),
        }
    }

    /// After a failed commit: back to the last checkpoint, without a restart. The same commit may then be
    /// handed in again; what of it is there already is skipped.
    pub async fn recover(&mut self) -> Result<Resume> {
        self.at = recover(&self.tables, self.clock.now()).await?;
        self.stopped = false;
        Ok(self.resume())
    }

    /// Makes `commit` part of the history: data files, then each table's rows and positions together, then
    /// the checkpoint. When it returns, all of it is on the disk.
    ///
    /// # Errors
    /// After any error but [`HistoryError::Backwards`] nobody knows how far it came: call
    /// [`Self::recover`] before the next commit.
    pub async fn commit(&mut self, commit: &Commit) -> Result<Committed> {
        self.check_running()?;
        self.check_positions(&commit.offsets)?;
        self.stopped = true;
        let committed = self.write(commit).await?;
        self.stopped = false;
        Ok(committed)
    }

    pub(crate) fn check_running(&self) -> Result<()> {
        if self.stopped { Err(HistoryError::Stopped) } else { Ok(()) }
    }

    fn check_positions(&self, offsets: &Offsets) -> Result<()> {
        for (partition, stored) in &self.at.checkpoint.offsets {
            match offsets.get(partition) {
                Some(offered) if offered < stored => {
                    let (stored, offered) = (*stored, *offered);
                    return Err(HistoryError::Backwards { partition: partition.clone(), stored, offered });
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn write(&mut self, commit: &Commit) -> Result<Committed> {
        let number = self.at.checkpoint.number + 1;
        let mut committed = Committed { number, ..Committed::default() };
        // A partition that this commit does not name stays where the last one left it.
        let mut offsets = self.at.checkpoint.offsets.clone();
        offsets.extend(commit.offsets.clone());

        let mut staged = self.stage_rows(commit, &offsets, &mut committed).await?;
        let mut alarm_seqs = self.at.alarm_seqs.clone();
        staged.extend(self.stage_alarms(&mut alarm_seqs).await?);
        for staged in staged {
            let step = Step::Table(staged.table.clone());
            self.reach(Point::Before(step.clone()))?;
            *committed.rows.entry(staged.table.clone()).or_default() += staged.rows;
            let table = self.table(&staged.table)?;
            table.commit(staged.actions, number, staged.positions, SaveMode::Append).await?;
            self.reach(Point::After(step))?;
        }
        self.write_checkpoint(commit, offsets, alarm_seqs).await?;
        Ok(committed)
    }

    /// Puts `rows` in the place of all rows of `table`, one of the site's reference tables (`devices`, `zones`,
    /// `grids`, `grid_cells`, `checkpoints`), so that whoever reads the folder needs no site folder beside it.
    pub async fn replace_reference(&mut self, table: &str, rows: &RecordBatch) -> Result<()> {
        self.check_running()?;
        if Rows::of(table) != Rows::Reference {
            let reason = "only a reference table is replaced".to_owned();
            return Err(HistoryError::Misfit { table: table.to_owned(), reason });
        }
        self.create_lacking(table, &rows.schema(), None).await?;
        let number = self.at.checkpoint.number;
        let now = self.clock.now().millis();
        let table = self.table(table)?;
        let mut actions = table.remove_all(now).await?;
        actions.extend(table.stage(std::slice::from_ref(rows)).await?);
        table.commit(actions, number, Vec::new(), SaveMode::Overwrite).await
    }

    async fn create_lacking(&mut self, table: &str, schema: &Schema, key: Option<&[String]>) -> Result<()> {
        if !self.at.tables.contains_key(table) {
            let created = self.tables.create(table, schema, key).await?;
            self.at.tables.insert(table.to_owned(), created);
        }
        Ok(())
    }

    /// Writes the data files of each table that has rows which are not there yet.
    async fn stage_rows(
        &mut self,
        commit: &Commit,
        offsets: &Offsets,
        committed: &mut Committed,
    ) -> Result<Vec<Staged>> {
        let mut by_table: BTreeMap<&TableName, Vec<RecordBatch>> = BTreeMap::new();
        for (name, batches) in &commit.rows {
            let positional = Rows::of(&name.table()) == Rows::Positional;
            for batch in batches {
                let (batch, skipped) = if positional {
                    skip_done(&name.table(), batch, &self.at.checkpoint.done(&name.table()))?
                } else {
                    (batch.clone(), 0)
                };
                committed.skipped += skipped;
                if batch.num_rows() > 0 {
                    by_table.entry(name).or_default().push(batch);
                }
            }
        }
        let number = self.at.checkpoint.number + 1;
        let mut staged = Vec::new();
        for (name, mut batches) in by_table {
            let table = name.table();
            let positions = if Rows::of(&table) == Rows::Positional {
                // Never below what the table has already, or a crash would write those records again.
                let mut positions = self.at.checkpoint.done(&table);
                for (partition, offset) in offsets {
                    let position = positions.entry(partition.clone()).or_insert(*offset);
                    *position = (*position).max(*offset);
                }
                transactions(&positions)
            } else {
                vec![Transaction::new("watermark", commit.watermark.millis())]
            };
            if name.key().is_some() {
                batches = with_order(&table, batches, number)?;
            }
            let key = name.key();
            staged.push(self.stage(&table, &batches, key, positions).await?);
        }
        Ok(staged)
    }

    /// Writes the changes that the alarm log has and `alarm_changes` lacks; moves `seqs` behind them.
    async fn stage_alarms(&mut self, seqs: &mut BTreeMap<String, u64>) -> Result<Option<Staged>> {
        let mut changes = Vec::new();
        for site in self.alarms.last_seqs().into_keys() {
            let seq = seqs.entry(site.clone()).or_default();
            let missing = self.alarms.read_after(&site, *seq, ALARMS_PER_COMMIT)?;
            *seq = missing.last().map_or(*seq, |alarm| alarm.seq);
            changes.extend(missing);
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let positions = seqs
            .iter()
            .map(|(site, seq)| {
                Transaction::new(format!("{SEQ_APP}{site}"), i64::try_from(*seq).unwrap_or(i64::MAX))
            })
            .collect();
        let batch = alarm_batch(&changes);
        self.stage(ALARM_CHANGES, &[batch], None, positions).await.map(Some)
    }

    async fn stage(
        &mut self,
        table: &str,
        batches: &[RecordBatch],
        key: Option<&[String]>,
        positions: Vec<Transaction>,
    ) -> Result<Staged> {
        let step = Step::DataFiles(table.to_owned());
        self.reach(Point::Before(step.clone()))?;
        let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        self.create_lacking(table, &schema, key).await?;
        let actions = self.table(table)?.stage(batches).await?;
        self.reach(Point::After(step))?;
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        Ok(Staged { table: table.to_owned(), actions, positions, rows })
    }

    async fn write_checkpoint(
        &mut self,
        commit: &Commit,
        offsets: Offsets,
        alarm_seqs: BTreeMap<String, u64>,
    ) -> Result<()> {
        let mut checkpoint = Checkpoint {
            number: self.at.checkpoint.number + 1,
            offsets,
            replay_from: commit.replay_from.clone(),
            watermarks: commit.watermarks.clone(),
            watermark: commit.watermark,
            rule_version: commit.rule_version.clone(),
            state: commit.state.clone(),
            tables: self.at.tables.iter().map(|(name, table)| (name.clone(), table.version())).collect(),
            alarm_seqs: alarm_seqs.clone(),
            ahead: self.at.checkpoint.ahead.clone(),
        };
        checkpoint.prune_ahead();
        self.reach(Point::Before(Step::Checkpoint))?;
        let batch = checkpoint.to_batch(self.clock.now())?;
        self.at.commits.check_newest().await?;
        let removed = self.at.commits.remove_all(self.clock.now().millis()).await?;
        let mut actions = self.at.commits.stage(&[batch]).await?;
        actions.extend(removed.iter().cloned());
        self.at.commits.commit(actions, checkpoint.number, Vec::new(), SaveMode::Overwrite).await?;
        self.at.checkpoint = checkpoint;
        self.at.alarm_seqs = alarm_seqs;
        self.reach(Point::After(Step::Checkpoint))?;
        self.drop_old_checkpoints(removed).await;
        Ok(())
    }

    /// Deletes the files of checkpoints that nobody can need; one that stays behind is only a small file.
    async fn drop_old_checkpoints(&mut self, removed: Vec<Action>) {
        self.old_checkpoints.extend(removed.into_iter().filter_map(|action| match action {
            Action::Remove(file) => Some(file.path),
            _ => None,
        }));
        while self.old_checkpoints.len() > CHECKPOINTS_KEPT {
            let Some(path) = self.old_checkpoints.pop_front() else { break };
            let store = self.at.commits.object_store();
            if let Err(error) = store.delete(&object_store::path::Path::from(path.as_str())).await {
                tracing::debug!(table = COMMITS, path, %error, "an old checkpoint's file stays behind");
            }
        }
    }

    pub(crate) fn table(&mut self, name: &str) -> Result<&mut Table> {
        self.at.tables.get_mut(name).ok_or_else(|| HistoryError::Behind {
            table: name.to_owned(),
            recorded: 0,
            found: crate::error::VersionFound(None),
        })
    }

    pub(crate) fn commits(&mut self) -> &mut Table {
        &mut self.at.commits
    }

    pub(crate) fn table_names(&self) -> Vec<String> {
        self.at.tables.keys().cloned().collect()
    }

    fn reach(&self, point: Point) -> Result<()> {
        self.failpoints.reach(&point).map_err(|source| HistoryError::Failpoint(point, source))
    }
}
