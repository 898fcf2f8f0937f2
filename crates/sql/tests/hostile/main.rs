//! What people write, against damage: the guard, what it lets through, and the headers of query files. A failure names
//! its seed: `HEXWATCH_SEED=<seed> cargo test -p hexwatch-sql --test hostile <test>`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests are sentences, and a panic in one is its failure"
)]

mod depth;
mod door;
mod files;
mod guard;
#[path = "../../../ingest/tests/hostile/mutate.rs"]
mod mutate;
#[allow(dead_code, reason = "shared with other tests, which use other parts")]
#[path = "../../../ingest/tests/hostile/seeds.rs"]
mod seeds;
