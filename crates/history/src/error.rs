//! What can go wrong with the tables.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;
use hexwatch_contract::{Classified, Fault, Partition};

use crate::alarm_log::AlarmLogError;
use crate::failpoints::Point;

/// The result of everything that touches tables.
pub type Result<T> = std::result::Result<T, HistoryError>;

/// What can go wrong with the tables.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The disk refused.
    #[error("{action} `{}`: {source}; check the disk and the folder's owner", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes this history.
    #[error("the history in `{}` is being written by another process; stop it, or choose another data folder", path.display())]
    Busy {
        /// The data folder.
        path: PathBuf,
    },
    /// The table format refused.
    #[error("{action} table `{table}`: {source}")]
    Delta {
        /// What was being done.
        action: &'static str,
        /// With which table.
        table: String,
        /// Why not.
        source: Box<DeltaTableError>,
    },
    /// A query over the tables failed.
    #[error("reading table `{table}`: {source}")]
    Read {
        /// Which table.
        table: String,
        /// Why not.
        source: Box<DataFusionError>,
    },
    /// Rows do not fit their table.
    #[error(
        "the rows for table `{table}` do not fit it: {reason}; give the view another name, or move the table's folder away"
    )]
    Misfit {
        /// Which table.
        table: String,
        /// What differs.
        reason: String,
    },
    /// Somebody else has committed rows to a table this writer believes to be its own.
    #[error(
        "table `{table}` was written by another writer at version {version}; this one must recover before it writes again"
    )]
    Fenced {
        /// Which table.
        table: String,
        /// At which version of the table.
        version: u64,
    },
    /// An entry of a table's log that the checkpoint names cannot be read.
    #[error("entry {version} of the log of table `{table}` is empty or torn, and the checkpoint counts on it; restore `{}` from a backup", path.display())]
    Torn {
        /// Which table.
        table: String,
        /// Which entry.
        version: u64,
        /// Its file.
        path: PathBuf,
    },
    /// A table has fewer entries than the checkpoint names.
    #[error(
        "table `{table}` stands at version {found}, the checkpoint at {recorded}; restore the table's folder from a backup"
    )]
    Behind {
        /// Which table.
        table: String,
        /// What the checkpoint names.
        recorded: u64,
        /// What is there; `None`: nothing.
        found: VersionFound,
    },
    /// Rows of an unfinished commit were merged into a larger file by somebody else.
    #[error(
        "the file `{file}` of table `{table}` belongs to an unfinished commit and was rewritten; restore the table to version {recorded}, then restart"
    )]
    Merged {
        /// Which table.
        table: String,
        /// Which file.
        file: String,
        /// The version the checkpoint names.
        recorded: u64,
    },
    /// The checkpoint's content cannot be understood.
    #[error("the checkpoint cannot be read: {0}; it was written by another version of hexwatch, or damaged")]
    Checkpoint(String),
    /// A commit would take a position back.
    #[error("a commit names {offered} as the next offset of {partition}, but {stored} is already done")]
    Backwards {
        /// Which partition.
        partition: Partition,
        /// What the checkpoint says.
        stored: i64,
        /// What the commit says.
        offered: i64,
    },
    /// An earlier commit failed half-way.
    #[error("an earlier commit failed; `recover` the history before the next")]
    Stopped,
    /// A failpoint stopped a commit.
    #[error("stopped at {0:?}: {1}")]
    Failpoint(Point, #[source] io::Error),
    /// The alarm log.
    #[error(transparent)]
    AlarmLog(#[from] AlarmLogError),
    /// Arrow refused a conversion.
    #[error("converting rows of table `{table}`: {source}")]
    Arrow {
        /// Which table.
        table: String,
        /// Why not.
        source: ArrowError,
    },
}

/// A table's version, or that there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionFound(pub Option<u64>);

impl std::fmt::Display for VersionFound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(version) => write!(formatter, "{version}"),
            None => formatter.write_str("none"),
        }
    }
}

impl HistoryError {
    pub(crate) fn delta<'a>(
        action: &'static str,
        table: &'a str,
    ) -> impl FnOnce(DeltaTableError) -> Self + use<'a> {
        move |source| Self::Delta { action, table: table.to_owned(), source: Box::new(source) }
    }

    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn read(table: &str) -> impl FnOnce(DataFusionError) -> Self + use<'_> {
        move |source| Self::Read { table: table.to_owned(), source: Box::new(source) }
    }

    pub(crate) fn arrow(table: &str) -> impl FnOnce(ArrowError) -> Self + use<'_> {
        move |source| Self::Arrow { table: table.to_owned(), source }
    }
}

impl Classified for HistoryError {
    fn fault(&self) -> Fault {
        match self {
            Self::Misfit { .. } => Fault::Input,
            Self::Backwards { .. } | Self::Arrow { .. } => Fault::Bug,
            Self::AlarmLog(error) => error.fault(),
            _ => Fault::External,
        }
    }

    fn retry(&self) -> bool {
        match self {
            Self::Io { .. }
            | Self::Delta { .. }
            | Self::Fenced { .. }
            | Self::Stopped
            | Self::Failpoint(..) => true,
            Self::AlarmLog(error) => error.retry(),
            _ => false,
        }
    }
}
