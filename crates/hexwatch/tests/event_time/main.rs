//! The laws of event time through all that decides it: the decoder judges clocks, the engine windows and rules, the book
//! alarms. A failure names its seed: `HEXWATCH_SEED=<seed> cargo test -p hexwatch --test event_time <test>`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests are sentences, and a panic in one is its failure"
)]

mod laws;
mod path;
mod restarts;
#[allow(dead_code, reason = "shared with other tests, which use other parts")]
#[path = "../../../ingest/tests/hostile/seeds.rs"]
mod seeds;
mod world;
