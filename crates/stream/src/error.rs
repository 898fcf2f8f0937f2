//! What can go wrong: a query that is refused, and a step that fails.

use std::fmt;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use hexwatch_contract::{Account, Classified, Fault, Partition};

/// A query file that does not run live, with the place and the reason. The others go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is not supported, and what to write instead.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

impl std::error::Error for Refusal {}

impl Classified for Refusal {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A chunk of a partition that is not assigned.
    #[error(
        "taking a chunk of {partition} from offset {first_offset}: the partition is not assigned; drop the chunk"
    )]
    Unassigned {
        /// The partition.
        partition: Partition,
        /// Where the chunk begins.
        first_offset: i64,
    },
    /// A chunk whose offsets do not follow on.
    #[error(
        "taking a chunk of {partition} from offset {first_offset}: offsets up to {next_offset} were taken before"
    )]
    Repeated {
        /// The partition.
        partition: Partition,
        /// Where the chunk begins.
        first_offset: i64,
        /// Where it should begin.
        next_offset: i64,
    },
    /// A chunk whose records do not add up.
    #[error("taking a chunk of {partition} from offset {first_offset}: {account:?} does not balance")]
    Unbalanced {
        /// The partition.
        partition: Partition,
        /// Where the chunk begins.
        first_offset: i64,
        /// Its account.
        account: Account,
    },
    /// A batch without a column that every event table has.
    #[error(
        "taking a chunk of {partition} from offset {first_offset}: column `{column}` is missing or of another type"
    )]
    Column {
        /// The partition.
        partition: Partition,
        /// Where the chunk begins.
        first_offset: i64,
        /// The column.
        column: &'static str,
    },
    /// A step to the end while queries are lent.
    #[error("taking a step: queries are lent; take them back first")]
    Lent,
    /// A query that cannot run.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A query that failed while running.
    #[error("running query {query}: {source}; mend or remove the file")]
    Query {
        /// The query's name.
        query: String,
        /// Why.
        source: DataFusionError,
    },
    /// A rule whose row says what no alarm can be.
    #[error("reading a row of rule {rule}: {column} is {value}")]
    Hit {
        /// The rule.
        rule: String,
        /// The column.
        column: &'static str,
        /// What it held.
        value: String,
    },
    /// Arrow refused a batch.
    #[error("handling a batch: {0}")]
    Arrow(#[from] ArrowError),
    /// The engine could not be set up.
    #[error("setting up the engine: {0}")]
    SetUp(String),
}

impl Classified for StreamError {
    fn fault(&self) -> Fault {
        match self {
            Self::Refused(_) | Self::Query { .. } | Self::Hit { .. } => Fault::Input,
            _ => Fault::Bug,
        }
    }
}
