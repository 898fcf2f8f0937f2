//! One table: its data files, and commits of which each carries rows and positions together.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::parquet::basic::{Compression, Encoding};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference, TransactionError};
use deltalake::kernel::{Action, Add, Remove, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter as _, RecordBatchWriter};
use deltalake::{DeltaTable, DeltaTableError};

use crate::error::{HistoryError, Result};
use crate::storable::conform;

/// The application id that marks every commit of a hexwatch writer; its version is the commit's number.
pub(crate) const COMMIT_APP: &str = "hexwatch";
/// How often a commit is tried again after somebody else's housekeeping.
const ATTEMPTS: usize = 5;

/// A table that is open for writing.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) delta: DeltaTable,
}

/// What a writer has committed to a table behind a version.
#[derive(Default, Debug)]
pub(crate) struct Ahead {
    /// The positions of those commits, the newest of each.
    pub(crate) positions: HashMap<String, i64>,
    /// The files they added that are still in the table.
    pub(crate) files: Vec<Add>,
    /// A file they added that somebody else has rewritten.
    pub(crate) merged: Option<String>,
}

impl Table {
    pub(crate) fn version(&self) -> u64 {
        self.delta.version().unwrap_or(0)
    }

    fn failed<'a>(&'a self, action: &'static str) -> impl FnOnce(DeltaTableError) -> HistoryError + use<'a> {
        HistoryError::delta(action, &self.name)
    }

    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        let writer =
            RecordBatchWriter::for_table(&self.delta).map_err(self.failed("reading the schema of"))?;
        Ok(writer.arrow_schema())
    }

    /// Writes `batches` to new data files, which nobody names until they are committed.
    pub(crate) async fn stage(&self, batches: &[RecordBatch]) -> Result<Vec<Action>> {
        let mut writer = RecordBatchWriter::for_table(&self.delta).map_err(self.failed("writing to"))?;
        let schema = writer.arrow_schema();
        writer = writer.with_writer_properties(writer_properties(&schema));
        for batch in batches {
            let batch = conform(&self.name, batch, &schema)?;
            writer.write(batch).await.map_err(self.failed("writing to"))?;
        }
        let files = writer.flush().await.map_err(self.failed("writing to"))?;
        Ok(files.into_iter().map(Action::Add).collect())
    }

    /// Commits `actions` as commit `number` with `positions`. Housekeeping of others in between is let
    /// through; a commit of another hexwatch writer is not.
    pub(crate) async fn commit(
        &mut self,
        actions: Vec<Action>,
        number: i64,
        positions: Vec<Transaction>,
        mode: SaveMode,
    ) -> Result<()> {
        let mut transactions = vec![Transaction::new(COMMIT_APP, number)];
        transactions.extend(positions);
        for _ in 0..ATTEMPTS {
            let properties = CommitProperties::default()
                .with_max_retries(0)
                .with_application_transactions(transactions.clone())
                .with_cleanup_expired_logs(Some(false));
            let operation = DeltaOperation::Write { mode, partition_by: None, predicate: None };
            let snapshot = self.delta.snapshot().map_err(self.failed("committing to"))?;
            let commit = CommitBuilder::from(properties)
                .with_actions(actions.clone())
                .build(Some(snapshot as &dyn TableReference), self.delta.log_store(), operation)
                .await;
            match commit {
                Ok(committed) => {
                    self.delta.state = Some(committed.snapshot());
                    return Ok(());
                }
                Err(error) if is_conflict(&error) => self.catch_up().await?,
                Err(error) => return Err(self.failed("committing to")(error)),
            }
        }
        Err(HistoryError::Fenced { table: self.name.clone(), version: self.version() })
    }

    /// Moves to the newest version, unless a hexwatch writer has written it.
    async fn catch_up(&mut self) -> Result<()> {
        let known = self.version();
        self.delta.update_state().await.map_err(HistoryError::delta("reloading", &self.name))?;
        for version in known + 1..=self.version() {
            if own_number(&self.entry(version).await?).is_some() {
                return Err(HistoryError::Fenced { table: self.name.clone(), version });
            }
        }
        Ok(())
    }

    /// The actions of log entry `version`; none where it was cleaned up.
    async fn entry(&self, version: u64) -> Result<Vec<Action>> {
        let log = self.delta.log_store();
        let bytes = log.read_commit_entry(version).await.map_err(self.failed("reading the log of"))?;
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        deltalake::logstore::get_actions(version, &bytes).map_err(self.failed("reading the log of"))
    }

    /// What hexwatch writers have committed behind version `recorded`; `None`: since the table was made.
    pub(crate) async fn ahead_of(&self, recorded: Option<u64>) -> Result<Ahead> {
        let mut ahead = Ahead::default();
        for version in recorded.map_or(0, |version| version + 1)..=self.version() {
            let actions = self.entry(version).await?;
            let own = own_number(&actions).is_some();
            for action in actions {
                match action {
                    Action::Txn(position) if own => {
                        ahead.positions.insert(position.app_id, position.version);
                    }
                    Action::Add(file) if own && file.data_change => ahead.files.push(file),
                    Action::Remove(file) => ahead.remove(&file),
                    _ => {}
                }
            }
        }
        Ok(ahead)
    }

    /// How many files the table has.
    pub(crate) fn file_count(&self) -> Result<usize> {
        Ok(self.delta.snapshot().map_err(self.failed("reading"))?.log_data().iter().count())
    }

    /// The removal of every file the table has.
    pub(crate) fn remove_all(&self) -> Result<Vec<Action>> {
        let snapshot = self.delta.snapshot().map_err(self.failed("reading"))?;
        Ok(snapshot.log_data().iter().map(|file| Action::Remove(file.remove_action(true))).collect())
    }
}

impl Ahead {
    fn remove(&mut self, removed: &Remove) {
        let before = self.files.len();
        self.files.retain(|file| file.path != removed.path);
        if self.files.len() < before && !removed.data_change {
            self.merged = Some(removed.path.clone());
        }
    }
}

/// The number of the hexwatch commit that `actions` are, where they are one.
fn own_number(actions: &[Action]) -> Option<i64> {
    actions.iter().find_map(|action| match action {
        Action::Txn(transaction) if transaction.app_id == COMMIT_APP => Some(transaction.version),
        _ => None,
    })
}

fn is_conflict(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => {
            matches!(source, TransactionError::MaxCommitAttempts(_) | TransactionError::CommitConflict(_))
        }
        _ => false,
    }
}

/// How columns of `schema` are laid down. A dictionary is built for nothing where nearly every value is
/// new: there times and numbers go down as differences, and ids as they are.
fn writer_properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        match (field.name().as_str(), field.data_type()) {
            ("id" | "payload" | "payload_sha256" | "row", _) => {
                properties = properties.set_column_dictionary_enabled(column, false);
            }
            ("offset" | "seq" | "_order", _) | (_, DataType::Timestamp(..)) => {
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            }
            _ => {}
        }
    }
    properties.build()
}

/// The action that takes `file` out of its table again.
pub(crate) fn removal(file: Add, at_millis: i64) -> Action {
    Action::Remove(Remove {
        path: file.path,
        data_change: true,
        deletion_timestamp: Some(at_millis),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values),
        size: Some(file.size),
        tags: file.tags,
        deletion_vector: file.deletion_vector,
        base_row_id: file.base_row_id,
        default_row_commit_version: file.default_row_commit_version,
    })
}
