//! Named points at which a test can make the history fail, as a crash would.

use std::fmt;
use std::io;

/// One step of an append, a commit or an opening.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// Alarms are appended to their log: written and synced.
    AlarmLog,
    /// Of that the sync alone: before it the bytes are in the file, and nobody may rely on them.
    AlarmLogSync,
    /// A table's data files are written; nobody names them yet.
    DataFiles(String),
    /// A table's rows and positions are committed.
    Table(String),
    /// The checkpoint is committed: from here on the commit counts.
    Checkpoint,
    /// Opening fences whoever wrote before.
    TakeOver,
    /// Opening brings a table to the checkpoint.
    Reopen(String),
}

impl Step {
    /// The name, without the table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AlarmLog => "alarm-log",
            Self::AlarmLogSync => "alarm-log-sync",
            Self::DataFiles(_) => "data-files",
            Self::Table(_) => "table",
            Self::Checkpoint => "checkpoint",
            Self::TakeOver => "take-over",
            Self::Reopen(_) => "reopen",
        }
    }
}

/// Just before or just after a step.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Point {
    /// The step is about to begin.
    Before(Step),
    /// The step is done.
    After(Step),
}

impl Point {
    /// Every name that [`Point`] shows.
    pub const NAMES: [&'static str; 14] = [
        "before-alarm-log",
        "before-alarm-log-sync",
        "after-alarm-log-sync",
        "after-alarm-log",
        "before-data-files",
        "after-data-files",
        "before-table",
        "after-table",
        "before-checkpoint",
        "after-checkpoint",
        "before-take-over",
        "after-take-over",
        "before-reopen",
        "after-reopen",
    ];
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(step) => write!(formatter, "before-{}", step.name()),
            Self::After(step) => write!(formatter, "after-{}", step.name()),
        }
    }
}

/// Decides at each point whether the history goes on.
pub trait Failpoints: fmt::Debug + Send + Sync {
    /// An error stops the history here.
    fn reach(&self, point: &Point) -> io::Result<()>;
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFailpoints;

impl Failpoints for NoFailpoints {
    fn reach(&self, _point: &Point) -> io::Result<()> {
        Ok(())
    }
}
