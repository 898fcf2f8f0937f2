//! What is wrong with a query file.

use hexwatch_contract::{Classified, Fault};

/// A wrong line of a query file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file}:{line}: `{field}`: {problem}; {fix}")]
pub struct QueryFileError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The header's key, or the parameter.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl Classified for QueryFileError {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}
