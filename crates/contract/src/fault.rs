//! Whose fault an error is, so that one table can map errors to HTTP, the socket and SQLSTATE.

/// Who has to act on an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// What was handed in: a request, a query, a file.
    Input,
    /// Something outside this process: the broker, the disk, the network.
    External,
    /// hexwatch itself.
    Bug,
}

/// What every error of hexwatch can answer.
pub trait Classified {
    /// Whose fault it is.
    fn fault(&self) -> Fault;
    /// Whether the same call may succeed later, unchanged.
    fn retry(&self) -> bool {
        self.fault() == Fault::External
    }
}
