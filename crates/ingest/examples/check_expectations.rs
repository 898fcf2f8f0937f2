//! Reads files of records that say what should become of them, and tells where the decoder disagrees.
//!
//! `cargo run -p hexwatch-ingest --example check_expectations -- fixtures/hostile.ndjson`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example speaks to the terminal")]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared with the tests, which use more of it")]
mod support;

use std::path::Path;

fn main() {
    for path in std::env::args().skip(1) {
        let cases = support::read(Path::new(&path));
        let mut agreed = 0;
        for expected in &cases {
            match support::compare(expected) {
                Ok(()) => agreed += 1,
                Err(difference) => {
                    let binding = expected.expect.binding.as_deref().unwrap_or("both");
                    println!(
                        "{path} line {} ({}, binding {binding}): {difference}",
                        expected.line, expected.case
                    );
                }
            }
        }
        println!("{path}: {agreed} of {} agree", cases.len());
    }
}
