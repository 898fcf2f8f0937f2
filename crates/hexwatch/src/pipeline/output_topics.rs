//! The topics that this run writes to: a view that a user dropped into a folder must not need anybody to make its
//! topic first.

use std::time::Duration;

use hexwatch_ingest::Brokers;
use hexwatch_ingest::topics::{Plan, create};

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The broker's own defaults for partitions and copies.
const DEFAULT: i32 = -1;

/// Makes those that are missing, under `prefix`. Where that is not allowed or the broker is away, the run goes on: what
/// cannot be published is in the history.
pub(crate) async fn make(brokers: &Brokers, prefix: &str, views: &[String]) {
    let mut plans = Plan::outputs(prefix, DEFAULT, DEFAULT);
    plans.extend(
        views.iter().map(|view| Plan::output(prefix, &format!("view.{view}"), DEFAULT, DEFAULT, true)),
    );
    match create(brokers, &plans, PATIENCE).await {
        Ok(made) => {
            for topic in made {
                tracing::info!(topic, "made the output topic");
            }
        }
        Err(error) => {
            tracing::warn!(%error, "output topics could not be made; make them with `hexwatch topics create`");
        }
    }
}
