//! Rows and positions in one lakehouse commit; the fsynced alarm log; the checkpoint; replay back out.
//!
//! Sole owner of the table format and of the object store. The history is the checkpoint: a commit writes
//! data files, then each table's rows together with the positions they came from, then the checkpoint; what
//! stands behind the last checkpoint is skipped or taken back when the folder is opened again. Kafka's own
//! group offsets say nothing here.

mod alarm_log;
mod catalog;
mod checkpoint;
mod commit;
mod durability;
mod durable_store;
mod error;
mod failpoints;
mod history;
mod log_tail;
mod maintenance;
mod order;
mod plan;
mod positions;
mod read;
mod reader;
mod recovery;
mod storable;
mod table;
mod table_name;
mod tables;
mod takeover;
mod told_rows;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod forgetful_disk;
#[cfg(test)]
mod power_cut_tests;
#[cfg(test)]
mod power_loss_tests;
#[cfg(test)]
mod reader_tests;

pub use alarm_log::{AlarmLog, AlarmLogError, AlarmLogRecovery};
pub use checkpoint::Checkpoint;
pub use commit::{Commit, Committed, Resume};
pub use durability::{Durability, Fsync};
pub use durable_store::DurableStore;
pub use error::{HistoryError, Result, VersionFound};
pub use failpoints::{Failpoints, NoFailpoints, Point, Step};
pub use history::History;
pub use log_tail::SetAside;
pub use maintenance::Compaction;
pub use order::withdrawn;
pub use plan::{Part, Plan};
pub use reader::Reader;
pub use table_name::TableName;
pub use takeover::{Behind, Duty, RecoveryReport, Takeover};
pub use told_rows::{Told, ToldRows, ToldRowsError, ToldSince};
pub use writer::Writer;
