//! Every row type, identifier, Arrow schema and clock that crosses a border between stages.
//!
//! This crate does no IO and has no `async fn`. The stages of the path (`ingest`, `stream`, `risk`,
//! `alarm`, `history`, `server`) never import each other; what they hand on is defined here.

pub mod account;
pub mod alarm;
pub mod audit;
pub mod catalog;
pub mod cell;
pub mod chunk;
pub mod dead_letter;
pub mod event;
pub mod fault;
pub mod gap;
pub mod live;
pub mod position;
pub mod risk;
pub mod site;
pub mod time;
pub mod topic;

pub use account::Account;
pub use cell::Cell;
pub use chunk::{Chunk, EventBatch};
pub use dead_letter::{DeadLetter, Sha256Sum, Stage};
pub use fault::{Classified, Fault};
pub use position::{Offsets, Partition, Position};
pub use time::{Clock, EventTime, ManualClock, SystemClock};
pub use topic::Topic;
