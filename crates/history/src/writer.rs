//! Commits: rows and positions of all tables, then the checkpoint.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::SaveMode;
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::{Clock, Partition};
use object_store::ObjectStoreExt as _;

use crate::alarm_log::AlarmLog;
use crate::commit::{Commit, Committed, Resume};
use crate::error::{HistoryError, Result};
use crate::failpoints::{Failpoints, Point, Step};
use crate::plan::{Part, Plan};
use crate::recovery::{Recovered, recover};
use crate::storable::check_fit;
use crate::table::Table;
use crate::table_name::{COMMITS, Rows, TableName};
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

impl Writer {
    pub(crate) async fn open(
        tables: Tables,
        clock: Arc<dyn Clock>,
        failpoints: Arc<dyn Failpoints>,
        alarms: Arc<AlarmLog>,
        lock: Option<File>,
    ) -> Result<Self> {
        let at = recover(&tables, clock.now(), &*failpoints).await?;
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
        Resume::of(&self.at.checkpoint, self.at.report.clone())
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
    ///
    /// # Errors
    /// [`HistoryError::Fenced`] where another writer has taken the history over since: to take it back would be a
    /// zombie's doing.
    pub async fn recover(&mut self) -> Result<Resume> {
        self.at.commits.check_newest().await?;
        self.at = recover(&self.tables, self.clock.now(), &*self.failpoints).await?;
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
        self.at.checkpoint.check_forwards(&commit.offsets)?;
        self.stopped = true;
        let committed = self.write(commit).await?;
        self.stopped = false;
        Ok(committed)
    }

    /// Commits `commit`, which gives up what cannot be read any more of `partitions`: its offsets there may lie below
    /// what is done, because they count another topic's records.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub async fn accept_gaps(&mut self, partitions: &[Partition], commit: &Commit) -> Result<Committed> {
        self.check_running()?;
        self.at.checkpoint.forget(partitions);
        self.commit(commit).await
    }

    pub(crate) fn check_running(&self) -> Result<()> {
        if self.stopped { Err(HistoryError::Stopped) } else { Ok(()) }
    }

    async fn write(&mut self, commit: &Commit) -> Result<Committed> {
        let changes = self.changes_not_copied()?;
        let plan = Plan::of(&self.at.checkpoint, commit, &changes)?;
        let mut files: BTreeMap<String, Vec<Action>> = BTreeMap::new();
        let mut removed = Vec::new();
        for step in plan.steps() {
            self.reach(Point::Before(step.clone()))?;
            match &step {
                Step::DataFiles(table) => {
                    let Some(part) = plan.part(table) else { continue };
                    files.insert(table.clone(), self.stage(part).await?);
                }
                Step::Table(table) => {
                    let Some(part) = plan.part(table) else { continue };
                    let files = files.remove(table).unwrap_or_default();
                    self.commit_table(part, files, plan.number()).await?;
                }
                Step::Checkpoint => removed = self.write_checkpoint(&plan).await?,
                // The other steps are none of a commit's.
                _ => {}
            }
            self.reach(Point::After(step))?;
        }
        self.drop_old_checkpoints(removed).await;
        Ok(plan.committed())
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

    /// The changes that the alarm log has and `alarm_changes` lacks.
    fn changes_not_copied(&self) -> Result<Vec<Alarm>> {
        let mut changes = Vec::new();
        for site in self.alarms.last_seqs().into_keys() {
            let copied = self.at.checkpoint.alarm_seqs.get(&site).copied().unwrap_or(0);
            changes.extend(self.alarms.read_after(&site, copied, ALARMS_PER_COMMIT)?);
        }
        Ok(changes)
    }

    /// Writes a part's rows to data files, which no table names yet.
    async fn stage(&mut self, part: &Part) -> Result<Vec<Action>> {
        let schema = part.batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        self.create_lacking(&part.table, &schema, part.key.as_deref()).await?;
        self.table(&part.table)?.stage(&part.batches).await
    }

    async fn commit_table(&mut self, part: &Part, files: Vec<Action>, number: i64) -> Result<()> {
        let positions = part.positions.iter();
        let positions = positions.map(|(app, at)| Transaction::new(app.clone(), *at)).collect();
        self.table(&part.table)?.commit(files, number, positions, SaveMode::Append).await
    }

    /// Puts the plan's checkpoint in the place of the last one; returns the removal of that one's file.
    async fn write_checkpoint(&mut self, plan: &Plan) -> Result<Vec<Action>> {
        let versions = self.at.tables.iter().map(|(name, table)| (name.clone(), table.version()));
        let checkpoint = plan.checkpoint(versions.collect());
        let now = self.clock.now();
        let batch = checkpoint.to_batch(now)?;
        self.at.commits.check_newest().await?;
        let removed = self.at.commits.remove_all(now.millis()).await?;
        let mut actions = self.at.commits.stage(&[batch]).await?;
        actions.extend(removed.iter().cloned());
        self.at.commits.commit(actions, checkpoint.number, Vec::new(), SaveMode::Overwrite).await?;
        self.at.checkpoint = checkpoint;
        Ok(removed)
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
