//! A data folder, opened.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

use hexwatch_contract::Clock;

use crate::alarm_log::{AlarmLog, AlarmLogRecovery};
use crate::durability::{Durability, Fsync, create_folders};
use crate::error::{HistoryError, Result};
use crate::failpoints::{Failpoints, NoFailpoints};
use crate::reader::Reader;
use crate::tables::Tables;
use crate::writer::Writer;

/// A data folder opened for writing: `tables/<name>` (one Delta table each), `alarm-log/`, and `history.lock`,
/// which keeps a second process of this machine out.
#[derive(Debug)]
pub struct History {
    /// Commits rows and positions.
    pub writer: Writer,
    /// Takes alarms before anybody hears of them. Shared with the server.
    pub alarms: Arc<AlarmLog>,
    /// What the alarm log held, and what was torn off it.
    pub alarm_log: AlarmLogRecovery,
    /// Reads all tables. Cheap to clone.
    pub reader: Reader,
}

impl History {
    /// Opens `data_dir`, creating it where it lacks, and brings each table to the last checkpoint;
    /// [`Writer::resume`] says where that is.
    ///
    /// # Errors
    /// [`HistoryError::Busy`] where another process writes here; [`HistoryError::Torn`] and
    /// [`HistoryError::Behind`] where what was acknowledged is damaged.
    pub async fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_with(data_dir, clock, Arc::new(Fsync), Arc::new(NoFailpoints)).await
    }

    /// As [`Self::open`], on a disk and with failpoints of a test's own.
    pub async fn open_with(
        data_dir: &Path,
        clock: Arc<dyn Clock>,
        durability: Arc<dyn Durability>,
        failpoints: Arc<dyn Failpoints>,
    ) -> Result<Self> {
        let data_dir = std::path::absolute(data_dir).map_err(HistoryError::io("addressing", data_dir))?;
        create_folders(&data_dir, &*durability).map_err(HistoryError::io("creating", &data_dir))?;
        let lock = lock(&data_dir)?;
        let (alarms, alarm_log) = AlarmLog::open(&data_dir.join("alarm-log"), durability.clone())?;
        let alarms = Arc::new(alarms.with_failpoints(failpoints.clone()));
        let tables = Tables::new(data_dir.join("tables"), durability);
        let writer = Writer::open(tables.clone(), clock, failpoints, alarms.clone(), Some(lock)).await?;
        Ok(Self { writer, alarms, alarm_log, reader: Reader::over(tables) })
    }
}

fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("history.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(HistoryError::io("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HistoryError::Busy { path: data_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(HistoryError::io("locking", &path)(source)),
    }
}
