//! Kafka in, typed batches with positions out, the rest to dead letters.
//!
//! This crate alone speaks to Kafka: what reads ([`reader`], [`membership`], [`bare`]), what writes ([`publish`],
//! [`replay`]), what sets it up ([`topics`]), and the broker in the process that the demo and the tests
//! use ([`embedded`]). [`decode`] needs no Kafka: it turns the bytes of one partition's records into a
//! [`hexwatch_contract::Chunk`].

pub mod bare;
pub mod brokers;
pub mod decode;
pub mod embedded;
pub mod membership;
pub mod publish;
pub mod reader;
pub mod replay;
pub mod topics;

pub use brokers::Brokers;
pub use decode::{Decoder, Record, Tolerances};
pub use publish::{Outgoing, Publisher};
pub use reader::{Event, Reader};
