//! What is wrong with a site folder, all of it at once.

use std::fmt;

use hexwatch_contract::{Classified, Fault};

/// A wrong place in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileError {
    /// The file's name.
    pub file: String,
    /// The line, from 1; absent where the whole file is meant.
    pub line: Option<u64>,
    /// The column or property.
    pub field: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl FileError {
    pub(super) fn whole(file: &str, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, field: None, problem: problem.into(), fix: fix.into() }
    }

    pub(super) fn at(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    pub(super) fn field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if let Some(field) = &self.field {
            write!(formatter, ": `{field}`")?;
        }
        write!(formatter, ": {}; {}", self.problem, self.fix)
    }
}

/// Everything that is wrong, in the order of the files.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct SiteErrors(pub Vec<FileError>);

impl fmt::Display for SiteErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            write!(formatter, "{}{error}", if number == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl Classified for SiteErrors {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}
