//! Named points of a commit at which a test can make it fail, as a crash would.

use std::fmt;
use std::io;

/// One step of a commit.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// A table's data files are written; nobody names them yet.
    DataFiles(String),
    /// A table's rows and positions are committed.
    Table(String),
    /// The checkpoint is committed: from here on the commit counts.
    Checkpoint,
}

/// Just before or just after a step.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Point {
    /// The step is about to begin.
    Before(Step),
    /// The step is done.
    After(Step),
}

/// Decides at each point whether the commit goes on.
pub trait Failpoints: fmt::Debug + Send + Sync {
    /// An error stops the commit here.
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
