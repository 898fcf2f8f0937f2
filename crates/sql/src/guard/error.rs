//! Why a query gave no answer, for people.

use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use hexwatch_contract::{Classified, Fault};

/// What kind of trouble it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryProblem {
    /// It is no SQL.
    Syntax,
    /// It is SQL that is not allowed here.
    Refused,
    /// It is too long or too deep.
    TooComplex,
    /// It names what there is not, or mixes types.
    Meaning,
    /// It did not finish in time.
    Deadline,
    /// It needs more memory than a query may have.
    Memory,
    /// It failed while running.
    Failed,
    /// The engine failed it.
    Bug,
}

/// Why a query gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}{}", at(self.line, self.column))]
pub struct QueryError {
    /// What kind of trouble it is.
    pub problem: QueryProblem,
    /// One sentence.
    pub message: String,
    /// The line, from 1, where it is known.
    pub line: Option<u64>,
    /// The column, from 1, where it is known.
    pub column: Option<u64>,
    /// What to do.
    pub fix: String,
}

fn at(line: Option<u64>, column: Option<u64>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
        (Some(line), None) => format!(" (line {line})"),
        _ => String::new(),
    }
}

impl QueryError {
    pub(super) fn new(problem: QueryProblem, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem, message: message.into(), line: None, column: None, fix: fix.into() }
    }

    pub(super) fn located(mut self, line: u64, column: u64) -> Self {
        // Line 0 stands for an unknown place.
        (self.line, self.column) = if line == 0 { (None, None) } else { (Some(line), Some(column)) };
        self
    }

    /// A syntax error without a place is one at the end of the text.
    pub(super) fn within(self, sql: &str) -> Self {
        if self.problem != QueryProblem::Syntax || self.line.is_some() {
            return self;
        }
        let lines = sql.lines().count().max(1) as u64;
        let column = sql.lines().last().map_or(0, |line| line.chars().count()) as u64 + 1;
        self.located(lines, column)
    }

    pub(super) fn deadline(deadline: Duration) -> Self {
        let message = format!("the query did not finish within {} s", deadline.as_secs_f64());
        Self::new(
            QueryProblem::Deadline,
            message,
            "narrow the times it reads, or ask for fewer columns and joins",
        )
    }

    pub(super) fn crashed() -> Self {
        Self::new(
            QueryProblem::Bug,
            "the engine stumbled over the query",
            "report the query, and write it otherwise",
        )
    }
}

impl Classified for QueryError {
    fn fault(&self) -> Fault {
        match self.problem {
            QueryProblem::Bug => Fault::Bug,
            _ => Fault::Input,
        }
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        let place = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| span.start);
        let root = match error.find_root() {
            DataFusionError::Collection(errors) => errors.first().map_or(&error, DataFusionError::find_root),
            root => root,
        };
        let said = words_of(root);
        let (problem, fix) = kind_of(root);
        let query_error = Self::new(problem, first_line(&said), fix);
        match place {
            Some(place) => query_error.located(place.line, place.column),
            None => match said_place(&said) {
                Some((line, column)) => query_error.located(line, column),
                None => query_error,
            },
        }
    }
}

fn kind_of(root: &DataFusionError) -> (QueryProblem, &'static str) {
    match root {
        DataFusionError::SQL(..) => (QueryProblem::Syntax, "mend the SQL at the place named"),
        DataFusionError::Plan(text) if text.contains("not supported") || text.contains("not allowed") => {
            (QueryProblem::Refused, "write a SELECT")
        }
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) | DataFusionError::Diagnostic(..) => {
            (QueryProblem::Meaning, "SHOW TABLES and DESCRIBE tell the names and types")
        }
        DataFusionError::NotImplemented(_) => (QueryProblem::Refused, "write it another way"),
        DataFusionError::ResourcesExhausted(_) => {
            (QueryProblem::Memory, "group or filter earlier, or read a shorter time")
        }
        DataFusionError::Internal(_) => (QueryProblem::Bug, "report the query, and write it otherwise"),
        _ => (QueryProblem::Failed, "look at the values it computes with"),
    }
}

/// What the engine says, without the names of its types.
fn words_of(root: &DataFusionError) -> String {
    match root {
        DataFusionError::SQL(parser, _) => match parser.as_ref() {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => "the query is nested too deep".to_owned(),
        },
        other => other.strip_backtrace(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("the query failed").trim().to_owned()
}

/// The place that the parser puts into its words: `at Line: 1, Column: 8`.
fn said_place(text: &str) -> Option<(u64, u64)> {
    let number_after = |label: &str| {
        let rest = text.split(label).nth(1)?.trim_start();
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some((number_after("Line:")?, number_after("Column:")?))
}
