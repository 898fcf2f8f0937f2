//! `hexwatch bare-consumer`: what `make bench` holds the engine against.

use anyhow::Result;
use hexwatch_ingest::{Brokers, bare};

use super::{PATIENCE, say};
use crate::cli::BareConsumer;

pub(crate) fn run(arguments: &BareConsumer) -> Result<()> {
    let topics: Vec<&str> = arguments.topics.iter().map(String::as_str).collect();
    let counted = bare::count(&Brokers::at(arguments.brokers.as_str()), &topics, PATIENCE)?;
    say(&format!("{} records, {} bytes, offsets sum to {}", counted.records, counted.bytes, counted.offsets));
    Ok(())
}
