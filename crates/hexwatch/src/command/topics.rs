//! `hexwatch topics create`.

use std::path::Path;

use anyhow::Result;
use hexwatch_ingest::topics::{Plan, create};

use super::{PATIENCE, brokers, runtime, say, settings};
use crate::cli::{Topics, TopicsAction};

pub(crate) fn run(file: Option<&Path>, topics: &Topics) -> Result<()> {
    let TopicsAction::Create { brokers: address, partitions, replication, retention } = &topics.action;
    let config = settings(file, Vec::new())?;
    let mut plans = Plan::inputs(&config.kafka.input_prefix, *partitions, *replication);
    for plan in &mut plans {
        plan.retention = *retention;
    }
    plans.extend(Plan::outputs(&config.kafka.output_prefix, *partitions, *replication));
    let created = runtime()?.block_on(create(&brokers(&config, address)?, &plans, PATIENCE))?;
    if created.is_empty() {
        say("all topics are there already");
    }
    for name in created {
        say(&format!("created {name}"));
    }
    Ok(())
}
