//! Query files: a SQL text under a header of comment lines, the same for live windows and for history.

mod error;
mod header;
mod params;
mod set;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use hexwatch_contract::alarm::Class;

pub use error::QueryFileError;
pub use params::{Param, ParamValue};
pub use set::QuerySet;

/// What a query is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Results that are kept, and shown or sent out.
    View,
    /// Findings that become alarms.
    Rule,
    /// A saved question over history.
    Analysis,
}

/// Where a view's rows go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// To the topic `hexwatch.view.<name>`.
    Topic,
    /// To its table.
    Table,
    /// Nowhere.
    None,
}

/// When a live query is evaluated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Emit {
    /// When the watermark reaches a row's result time.
    OnClose,
    /// As soon as a record arrives; corrected later.
    Immediate,
}

/// What a rule's header says beyond a view's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleHeader {
    /// The rule, such as `R06`.
    pub rule: String,
    /// Its version; with the rule part of every alarm's id.
    pub version: u32,
    /// The class of its alarms, unless a row names its own.
    pub class: Class,
}

/// A parsed query file.
#[derive(Clone, PartialEq, Debug)]
pub struct QueryFile {
    /// The file as it was named when it was read; errors name it.
    pub file: String,
    /// The whole text.
    pub text: String,
    /// Its name; the file's stem where the header says none.
    pub name: String,
    /// What it is for; by the folder where the header says nothing.
    pub kind: Kind,
    /// One line for people.
    pub title: Option<String>,
    /// Where its rows go.
    pub output: Output,
    /// The columns that identify a result row.
    pub key: Vec<String>,
    /// The column of the result time.
    pub time: Option<String>,
    /// How late its rows may be, where it says so itself.
    pub lateness: Option<Duration>,
    /// When it is evaluated.
    pub emit: Emit,
    /// How far before its result time a row may look.
    pub lookback: Option<Duration>,
    /// Its parameters, in the order of the header.
    pub params: Vec<Param>,
    /// For a rule.
    pub rule: Option<RuleHeader>,
}

impl QueryFile {
    /// Reads `text`, the content of `file`.
    ///
    /// # Errors
    /// Everything that is wrong with the header, each with file, line, field and what to do.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<QueryFileError>> {
        header::parse(file, text)
    }

    /// The SQL with every parameter filled in by its default. Lines and their numbers stay as in the file.
    pub fn sql(&self) -> Result<String, QueryFileError> {
        self.sql_with(&BTreeMap::new())
    }

    /// The SQL with parameters filled in, those of `overrides` (by name) in place of the defaults. An override
    /// has to be of the default's type; an interval may also be written as `45s`, `10 min`, `2h`.
    pub fn sql_with(&self, overrides: &BTreeMap<String, String>) -> Result<String, QueryFileError> {
        params::substitute(self, overrides)
    }

    pub(crate) fn error(
        &self,
        line: usize,
        field: &str,
        problem: impl Into<String>,
        fix: &str,
    ) -> QueryFileError {
        QueryFileError {
            file: self.file.clone(),
            line,
            field: field.to_owned(),
            problem: problem.into(),
            fix: fix.to_owned(),
        }
    }
}
