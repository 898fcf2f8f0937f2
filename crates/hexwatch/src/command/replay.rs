//! `hexwatch replay`: recorded events into Kafka, their timestamps kept.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Result, bail};
use hexwatch_ingest::Publisher;
use hexwatch_ingest::replay::{Replayed, Speed, replay};

use super::{brokers, say, settings};
use crate::cli::Replay;
use crate::tell;

/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 10_000;

pub(crate) fn run(file: Option<&Path>, arguments: &Replay) -> Result<()> {
    if !(arguments.speed.is_finite() && arguments.speed > 0.0) {
        bail!("--speed {} is no speed: give a number above 0, such as 60", arguments.speed);
    }
    let config = settings(file, Vec::new())?;
    let publisher = Publisher::new(&brokers(&config, &arguments.brokers)?)?;
    let speed = if arguments.as_fast_as_possible { Speed::Fastest } else { Speed::Times(arguments.speed) };
    let shows = std::io::stderr().is_terminal();
    let progress = |done: Replayed| {
        if shows && done.records.is_multiple_of(PROGRESS_EVERY) {
            tell(&format!("{} records, at {}", done.records, done.time));
        }
        true
    };
    let done = replay(&arguments.file, &publisher, &config.kafka.input_prefix, speed, progress)?;
    say(&format!("{} records replayed", done.records));
    Ok(())
}
