//! The live picture: what the pipeline tells, kept so that any number of clients can read it at their own pace.
//!
//! A message is serialised once, whoever reads it. Nothing is queued for a client: it remembers up to where it has
//! read, and is woken when there is more.

mod alarms;
mod cells;
mod feed;
mod frame;
mod handle;

pub use alarms::{AlarmSource, SourceError};
pub use handle::Live;

pub(crate) use alarms::{Cursor, Next};
pub(crate) use cells::Format;

#[cfg(test)]
pub(crate) use cells::tests::risk as risk_for_tests;
#[cfg(test)]
pub(crate) use handle::tests::alarm as alarm_for_tests;
