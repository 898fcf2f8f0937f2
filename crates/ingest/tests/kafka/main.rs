//! Out to Kafka and back in, over the embedded broker.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "tests are sentences, and a panic in one is its failure"
)]

mod grants;
mod publishing;
mod reading;
mod records;
#[allow(dead_code, unreachable_pub, reason = "shared with an example, which uses other parts")]
#[path = "../support/mod.rs"]
mod support;
