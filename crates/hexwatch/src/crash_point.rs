//! Named points at which the process kills itself, so that a test can kill it where it would hurt most.

use std::fmt;
use std::io;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hexwatch_history::{Failpoints, Point};
use serde::Deserialize;

/// Points that the history does not know of.
const OWN: [&str; 5] = [
    Own::BeforeKafkaCommit.name(),
    Own::AfterKafkaCommit.name(),
    Own::BeforeRebuild.name(),
    Own::Rebuilding.name(),
    Own::AfterRebuild.name(),
];

/// A point outside of the history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Own {
    /// A commit of the history is done, Kafka's own offsets do not follow yet.
    BeforeKafkaCommit,
    /// They were handed to the client.
    AfterKafkaCommit,
    /// The history is open, nothing has been read.
    BeforeRebuild,
    /// A stretch of records was read again in silence.
    Rebuilding,
    /// What was open is open again.
    AfterRebuild,
}

impl Own {
    const fn name(self) -> &'static str {
        match self {
            Self::BeforeKafkaCommit => "before-kafka-commit",
            Self::AfterKafkaCommit => "after-kafka-commit",
            Self::BeforeRebuild => "before-rebuild",
            Self::Rebuilding => "rebuilding",
            Self::AfterRebuild => "after-rebuild",
        }
    }
}

/// Where the process dies: a point's name, and how often it is reached before. Nowhere by default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct CrashAt(Option<(String, u64)>);

/// A point that does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UnknownPoint {
    given: String,
}

impl fmt::Display for UnknownPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = points().map(|point| format!("`{point}`")).collect::<Vec<_>>().join(", ");
        let Self { given } = self;
        write!(
            formatter,
            "`{given}` is no point to die at; they are {names}, each with `:N` for the Nth time"
        )
    }
}

fn points() -> impl Iterator<Item = &'static str> {
    Point::NAMES.into_iter().chain(OWN)
}

impl FromStr for CrashAt {
    type Err = UnknownPoint;

    fn from_str(given: &str) -> Result<Self, UnknownPoint> {
        if given.is_empty() {
            return Ok(Self::default());
        }
        let unknown = || UnknownPoint { given: given.to_owned() };
        let (name, nth) = given.split_once(':').unwrap_or((given, "1"));
        let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(unknown)?;
        let name = points().find(|point| *point == name).ok_or_else(unknown)?;
        Ok(Self(Some((name.to_owned(), nth))))
    }
}

impl TryFrom<String> for CrashAt {
    type Error = UnknownPoint;

    fn try_from(given: String) -> Result<Self, UnknownPoint> {
        given.parse()
    }
}

/// Counts how often the point is reached, and kills the process when it is due. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct CrashPoint {
    name: Option<Arc<str>>,
    left: Arc<AtomicU64>,
}

impl CrashPoint {
    pub(crate) fn new(at: &CrashAt) -> Self {
        let (name, nth) =
            at.0.as_ref().map_or((None, 0), |(name, nth)| (Some(Arc::from(name.as_str())), *nth));
        Self { name, left: Arc::new(AtomicU64::new(nth)) }
    }

    pub(crate) fn reach(&self, point: Own) {
        self.reach_named(&point.name());
    }

    fn reach_named(&self, point: &dyn fmt::Display) {
        let Some(name) = &self.name else { return };
        if point.to_string() == **name && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            die();
        }
    }
}

impl Failpoints for CrashPoint {
    fn reach(&self, point: &Point) -> io::Result<()> {
        self.reach_named(point);
        Ok(())
    }
}

/// As `kill -9` does: nothing is flushed, nothing is said. The calling thread goes no further.
fn die() -> ! {
    let own = std::process::id().to_string();
    let killed = Command::new("kill").args(["-9", &own]).status();
    // Only a system without `kill` comes here; what is asked for is a death without a last word all the same.
    tracing::error!(?killed, "the process could not kill itself and aborts");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_the_time_it_counts_and_another_is_refused_with_those_that_exist() {
        assert_eq!("".parse(), Ok(CrashAt(None)));
        assert_eq!("before-table".parse(), Ok(CrashAt(Some(("before-table".to_owned(), 1)))));
        assert_eq!("rebuilding:3".parse(), Ok(CrashAt(Some(("rebuilding".to_owned(), 3)))));
        for wrong in ["before", "before-table:0", "before-table:x", "before-table/access"] {
            let refusal = wrong.parse::<CrashAt>().unwrap_err().to_string();
            assert!(refusal.contains("`after-checkpoint`") && refusal.contains(wrong), "{refusal}");
        }
    }

    #[test]
    fn every_point_of_the_history_can_be_named() {
        use hexwatch_history::Step;
        let table = || "access".to_owned();
        let steps = [
            Step::AlarmLog,
            Step::AlarmLogSync,
            Step::DataFiles(table()),
            Step::Table(table()),
            Step::Checkpoint,
            Step::TakeOver,
            Step::Reopen(table()),
        ];
        for step in steps {
            for point in [Point::Before(step.clone()), Point::After(step)] {
                assert!(Point::NAMES.contains(&point.to_string().as_str()), "{point}");
            }
        }
    }
}
