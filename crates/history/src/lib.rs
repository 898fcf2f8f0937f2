//! Rows and positions in one lakehouse commit; the fsynced alarm log; the checkpoint; replay back out.
//!
//! Sole owner of the table format and of the object store.

pub mod alarm_log;
pub mod durability;
pub mod durable_store;

#[cfg(test)]
mod fixtures;

pub use alarm_log::{AlarmLog, AlarmLogError, AlarmLogRecovery};
pub use durability::{Durability, Fsync};
