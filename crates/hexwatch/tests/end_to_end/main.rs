//! The built binary against a real Kafka: what goes in at one end comes out at the other, whatever happens between.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic here is the failure")]

mod accounts;
mod broker_outage;
mod crashes;
mod demo;
mod gaps;
mod kafka;
mod kills;
mod other_reader;
mod process;
mod python;
mod recount;
mod socket;
mod stand;
mod told_rows;
mod truth;
mod turn;
mod user_queries;
mod workers;
mod wrong_use;
