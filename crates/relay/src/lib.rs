//! Decoded records on their way between processes: from workers, which read Kafka and decode, to the one process that
//! serves.
//!
//! [`ledger`] decides, without IO, which chunk of which worker is taken, so that each offset is taken once and in its
//! order whatever a worker does. [`frame`] and [`message`] bring what both sides say over a connection, and [`hello`]
//! says who may.

pub mod cut;
pub mod frame;
pub mod hello;
pub mod ledger;
pub mod message;

pub use cut::cut;
pub use frame::FrameError;
pub use hello::{Hello, Secret};
pub use ledger::{Change, Claimed, Lease, Ledger, Member, Reading, Verdict};
pub use message::{Grant, Handed, MessageError, Note, Order, Reach, Report};
