//! One table: its data files, and commits of which each carries rows and positions together.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::basic::{Compression, Encoding};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use deltalake::checkpoints::create_checkpoint;
use deltalake::kernel::transaction::{CommitData, TransactionError};
use deltalake::kernel::{Action, Add, Remove, Transaction};
use deltalake::logstore::CommitOrBytes;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter as _, RecordBatchWriter};
use deltalake::{DeltaTable, DeltaTableError};
use object_store::ObjectStore;

use crate::error::{HistoryError, Result};
use crate::storable::conform;

/// The application id that marks every commit of a hexwatch writer; its version is the commit's number.
pub(crate) const COMMIT_APP: &str = "hexwatch";
/// How often a commit is tried again after somebody else's housekeeping.
const ATTEMPTS: usize = 5;

/// Every so many versions the table format's own checkpoint is written, so that a reader need not replay more.
const VERSIONS_PER_CHECKPOINT: u64 = 100;

/// A table that is open for writing.
///
/// Committing needs neither the list of files nor the log so far, only the next version's number: loading
/// them for each commit would make commits slower with each commit. So the snapshot may be behind `version`.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    delta: DeltaTable,
    version: u64,
    /// How many files the table has.
    files: usize,
    /// The only files of the table, after a commit that replaced all others.
    only: Option<Vec<Add>>,
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
    /// `delta`, just loaded.
    pub(crate) fn new(name: &str, delta: DeltaTable) -> Self {
        let mut table = Self { name: name.to_owned(), delta, version: 0, files: 0, only: None };
        table.note_loaded();
        table
    }

    fn note_loaded(&mut self) {
        self.version = self.delta.version().unwrap_or(0);
        self.files = self.delta.snapshot().map_or(0, |snapshot| snapshot.log_data().iter().count());
        self.only = None;
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn file_count(&self) -> usize {
        self.files
    }

    pub(crate) fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.delta.object_store()
    }

    /// The table at its newest version.
    pub(crate) async fn loaded(&mut self) -> Result<&DeltaTable> {
        if self.delta.version() != Some(self.version) {
            self.delta.update_state().await.map_err(HistoryError::delta("reloading", &self.name))?;
        }
        Ok(&self.delta)
    }

    /// After housekeeping of our own has made `delta` of it.
    pub(crate) fn replace(&mut self, delta: DeltaTable) {
        self.delta = delta;
        self.note_loaded();
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
    #[allow(
        clippy::default_trait_access,
        reason = "the id's type is of a crate that we do not name otherwise"
    )]
    pub(crate) async fn commit(
        &mut self,
        actions: Vec<Action>,
        number: i64,
        positions: Vec<Transaction>,
        mode: SaveMode,
    ) -> Result<()> {
        let mut transactions = vec![Transaction::new(COMMIT_APP, number)];
        transactions.extend(positions);
        let operation = DeltaOperation::Write { mode, partition_by: None, predicate: None };
        let entry = CommitData::new(actions, operation, HashMap::new(), transactions);
        let bytes = entry.get_bytes().map_err(|error| self.failed("committing to")(error.into()))?;
        for _ in 0..ATTEMPTS {
            let log = self.delta.log_store();
            let entry_bytes = CommitOrBytes::LogBytes(bytes.clone());
            match log.write_commit_entry(self.version + 1, entry_bytes, Default::default()).await {
                Ok(()) => return self.note_committed(entry.actions, mode).await,
                Err(TransactionError::VersionAlreadyExists(_)) => self.catch_up().await?,
                Err(error) => return Err(self.failed("committing to")(error.into())),
            }
        }
        Err(HistoryError::Fenced { table: self.name.clone(), version: self.version })
    }

    async fn note_committed(&mut self, actions: Vec<Action>, mode: SaveMode) -> Result<()> {
        self.version += 1;
        let removed = actions.iter().filter(|action| matches!(action, Action::Remove(_))).count();
        let added: Vec<Add> = actions.into_iter().filter_map(added_file).collect();
        self.files = (self.files + added.len()).saturating_sub(removed);
        self.only = (mode == SaveMode::Overwrite).then_some(added);
        if self.version.is_multiple_of(VERSIONS_PER_CHECKPOINT) {
            let checkpoint = create_checkpoint(self.loaded().await?, None).await;
            checkpoint.map_err(self.failed("shortening the log of"))?;
        }
        Ok(())
    }

    /// Refuses where another hexwatch writer has committed behind what this one knows. A commit finds out by
    /// itself, unless the other has cleaned the log up in between.
    pub(crate) async fn check_newest(&mut self) -> Result<()> {
        match self.delta.log_store().get_latest_version(self.version).await {
            Ok(version) if version == self.version => Ok(()),
            Ok(_) => self.catch_up().await,
            Err(_) => Err(HistoryError::Fenced { table: self.name.clone(), version: self.version + 1 }),
        }
    }

    /// Moves to the newest version, unless a hexwatch writer has written it.
    async fn catch_up(&mut self) -> Result<()> {
        let known = self.version;
        self.delta.update_state().await.map_err(HistoryError::delta("reloading", &self.name))?;
        self.note_loaded();
        for version in known + 1..=self.version {
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
        for version in recorded.map_or(0, |version| version + 1)..=self.version {
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

    /// The removal of every file the table has.
    pub(crate) async fn remove_all(&mut self, at_millis: i64) -> Result<Vec<Action>> {
        if let Some(only) = &self.only {
            return Ok(only.iter().map(|file| removal(file.clone(), at_millis)).collect());
        }
        self.loaded().await?;
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

fn added_file(action: Action) -> Option<Add> {
    match action {
        Action::Add(file) => Some(file),
        _ => None,
    }
}

/// How columns of `schema` are laid down. A dictionary is built for nothing where nearly every value is
/// new: there times and numbers go down as differences, and ids as they are. The least and the greatest value
/// of a file are kept where they lead a query past files: of times, of places in Kafka and on the map.
fn writer_properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::None);
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        if leads_past_files(field) {
            properties = properties.set_column_statistics_enabled(column.clone(), EnabledStatistics::Chunk);
        }
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

fn leads_past_files(field: &Field) -> bool {
    const NAMES: [&str; 5] = ["cell", "partition", "offset", "seq", "_order"];
    matches!(field.data_type(), DataType::Timestamp(..)) || NAMES.contains(&field.name().as_str())
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
