//! The sessions queries are planned in: the one set-up of the crate `sql`, for live runs with one
//! partition and without what does not survive a plan that is kept.

use datafusion::common::Result;
use datafusion::prelude::{SessionConfig, SessionContext};

/// For live runs.
pub(crate) fn live() -> Result<SessionContext> {
    let mut config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
    let options = config.options_mut();
    // A filter that a join hands to a scan while it runs would outlive the run.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_round_robin_repartition = false;
    Ok(SessionContext::new_with_config(config))
}
