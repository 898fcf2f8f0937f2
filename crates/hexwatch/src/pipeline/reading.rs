//! How records are read, whoever reads them.

use std::fmt::Write as _;

use anyhow::Result;
use hexwatch_grid::Site;
use hexwatch_ingest::reader::{Settings, Source};
use hexwatch_ingest::{Brokers, Tolerances};

use super::intake;
use crate::config::{ClockKind, Config};

/// What is read, and in which portions.
pub(crate) struct Reading {
    /// The topics of each lane.
    pub(crate) lanes: Vec<Vec<Source>>,
    /// So many of them, the first ones, are of safety topics.
    pub(crate) safety: usize,
    /// For all lanes; from the beginning, and without sources.
    pub(crate) settings: Settings,
}

impl Reading {
    pub(crate) fn of(config: &Config, brokers: &Brokers) -> Result<Self> {
        let kafka = &config.kafka;
        let safety = safety_topics(config);
        let lanes = intake::lanes(sources(config), &kafka.input_prefix, safety)?;
        let mut settings = Settings::new(brokers.clone(), Vec::new());
        settings.group.clone_from(&kafka.group);
        settings.discover_every = kafka.discover_every;
        settings.queue = config.limits.queue_chunks;
        settings.tolerances = Tolerances {
            largest_record: config.limits.max_record_bytes,
            skew_max: config.time.skew_max,
            future_max: config.time.future_max,
        };
        Ok(Self { lanes, safety: safety.len(), settings })
    }
}

fn sources(config: &Config) -> Vec<Source> {
    let mut sources = Source::all(&config.kafka.input_prefix);
    for (topic, names) in &config.kafka.topics {
        sources.extend(names.iter().map(|name| Source { name: name.as_str().into(), topic: *topic }));
    }
    sources
}

/// Where the records are the clock nobody waits for an alarm, and one topic read ahead would move time for others.
fn safety_topics(config: &Config) -> &[String] {
    if config.time.clock == ClockKind::Event { &[] } else { &config.kafka.safety_topics }
}

/// A hash of all that decides what becomes of a record before the engine: whoever has another would hand over other rows.
pub(crate) fn fingerprint(config: &Config, site: &Site) -> String {
    let mut said = format!("{}\n", env!("CARGO_PKG_VERSION"));
    for Source { name, topic } in sources(config) {
        let _ = writeln!(said, "{name} {topic}");
    }
    let (time, limits) = (&config.time, &config.limits);
    let _ = writeln!(said, "{:?}", safety_topics(config));
    let _ = writeln!(said, "{:?} {:?} {}", time.skew_max, time.future_max, limits.max_record_bytes);
    let _ = writeln!(said, "{:?} {:?}", site.sites(), site.devices());
    hexwatch_relay::hello::fingerprint(&said)
}
