//! Everything that reads what others wrote, against 100,000 damaged texts each. What a failure prints is enough to run
//! it again: `HEXWATCH_SEED=<seed> cargo test -p hexwatch-ingest --test hostile <test>`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "tests are sentences, and a panic in one is its failure"
)]

mod corpus;
mod decoder;
mod large;
mod mutate;
mod oracle;
mod recording;
mod seeds;
#[allow(dead_code, reason = "shared with other tests, which use other parts")]
#[path = "../support/mod.rs"]
mod support;
mod verdict;
