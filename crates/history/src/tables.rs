//! The folder of tables: `DATA_DIR/tables/<name>`, one Delta table each.
//!
//! No table is partitioned. A commit's files hold a stretch of time anyway, so their statistics prune by
//! time as well as a partition of days would, while a partition column would appear in every row of
//! history and in none of the live rows of the same table.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::Schema;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::kernel::{StructField, StructType};
use deltalake::logstore::{LogStoreRef, StorageConfig, logstore_with};
use deltalake::operations::create::CreateBuilder;
use deltalake::{DeltaTable, DeltaTableError};
use object_store::ObjectStore;
use url::Url;

use crate::durability::Durability;
use crate::durable_store::DurableStore;
use crate::error::{HistoryError, Result};
use crate::storable::storable_schema;
use crate::table::Table;
use crate::table_name::COMMITS;

/// The property that holds a view's key, as JSON.
pub(crate) const KEY_PROPERTY: &str = "hexwatch.key";
/// Columns worth statistics in the log: what queries cut by.
const STATISTICS: [&str; 8] =
    ["time", "window_start", "window_end", "changed_at", "cell", "seq", "offset", "commit"];

/// All tables of a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    folder: PathBuf,
    durability: Arc<dyn Durability>,
    store: Arc<dyn ObjectStore>,
}

impl Tables {
    pub(crate) fn new(folder: PathBuf, durability: Arc<dyn Durability>) -> Self {
        let store = Arc::new(DurableStore::new(Arc::clone(&durability)));
        Self { folder, durability, store }
    }

    /// Syncs the names in the folders of table `name`: a process that died between giving a log entry its name and
    /// syncing the folder has left an entry that is counted on from now on, and that a power loss could still take.
    pub(crate) fn keep(&self, name: &str) -> Result<()> {
        let table = self.folder_of(name);
        let folders = [table.join("_delta_log"), table, self.folder.clone()];
        folders.iter().filter(|folder| folder.is_dir()).try_for_each(|folder| {
            self.durability.sync_folder(folder).map_err(HistoryError::io("syncing", folder))
        })
    }

    pub(crate) fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The tables that exist, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(HistoryError::io("listing", &self.folder)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(HistoryError::io("listing", &self.folder))?;
            if entry.path().join("_delta_log").is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        names.sort();
        Ok(names)
    }

    fn log_store(&self, name: &str) -> Result<LogStoreRef> {
        let folder = self.folder_of(name);
        let url = folder_url(&folder).ok_or_else(|| HistoryError::Io {
            action: "addressing",
            path: folder.clone(),
            source: std::io::Error::other("not an absolute path"),
        })?;
        logstore_with(self.store.clone(), &url, StorageConfig::default())
            .map_err(HistoryError::delta("addressing", name))
    }

    /// Table `name` at its newest version; `None` where there is none.
    pub(crate) async fn load(&self, name: &str) -> Result<Option<DeltaTable>> {
        if !self.folder_of(name).join("_delta_log").is_dir() {
            return Ok(None);
        }
        let mut delta = DeltaTable::new(self.log_store(name)?);
        match delta.load().await {
            Ok(()) => Ok(Some(delta)),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(error) => Err(HistoryError::delta("opening", name)(error)),
        }
    }

    pub(crate) async fn open(&self, name: &str) -> Result<Option<Table>> {
        let delta = self.load(name).await?;
        Ok(delta.map(|delta| Table::new(name, delta)))
    }

    /// Makes table `name` for rows of `schema`.
    pub(crate) async fn create(&self, name: &str, schema: &Schema, key: Option<&[String]>) -> Result<Table> {
        let schema = storable_schema(schema);
        let fields: StructType =
            schema.as_ref().try_into_kernel().map_err(|error: arrow::error::ArrowError| {
                HistoryError::Misfit { table: name.to_owned(), reason: error.to_string() }
            })?;
        let statistics: Vec<&str> =
            STATISTICS.into_iter().filter(|column| schema.field_with_name(column).is_ok()).collect();
        // Each commit removes the checkpoint before it; the list of those need not be long.
        let kept = if name == COMMITS { "interval 1 minute" } else { "interval 1 hour" };
        let mut create = CreateBuilder::new()
            .with_log_store(self.log_store(name)?)
            .with_table_name(name)
            .with_columns(fields.fields().cloned().collect::<Vec<StructField>>())
            .with_raise_if_key_not_exists(false)
            .with_configuration(
                [
                    ("delta.logRetentionDuration", "interval 1 hour"),
                    ("delta.deletedFileRetentionDuration", kept),
                ]
                .map(|(property, value)| (property.to_owned(), Some(value.to_owned()))),
            );
        if !statistics.is_empty() {
            create = create.with_configuration([(
                "delta.dataSkippingStatsColumns".to_owned(),
                Some(statistics.join(",")),
            )]);
        }
        if let Some(key) = key {
            let key = serde_json::Value::from(key).to_string();
            create = create.with_configuration([(KEY_PROPERTY.to_owned(), Some(key))]);
        }
        let delta = create.await.map_err(HistoryError::delta("creating", name))?;
        Ok(Table::new(name, delta))
    }
}

fn folder_url(folder: &Path) -> Option<Url> {
    Url::from_directory_path(folder).ok()
}
