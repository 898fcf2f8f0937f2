//! Sessions: one kind for the engine's micro-batches, one for what people ask.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::functions::register_functions;
use crate::guard::BLOCKED;
use crate::near::JoinByCells;

fn config(partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_information_schema(true);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.collect_spans = true;
    // Strings stay plain, live and over history: one SQL text must give the same types over both.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    config
}

/// A session for micro-batches: one partition, because with a few thousand rows handing them from thread to
/// thread costs more than it saves. It holds the functions and no tables.
#[must_use]
pub fn batch_session() -> SessionContext {
    let mut config = config(1);
    config.options_mut().optimizer.repartition_aggregations = false;
    config.options_mut().optimizer.repartition_joins = false;
    config.options_mut().optimizer.repartition_windows = false;
    config.options_mut().optimizer.repartition_sorts = false;
    config.options_mut().optimizer.enable_round_robin_repartition = false;
    // Plans are kept and run again: a filter that a join or a sort hands down while it runs would outlive the run.
    config.options_mut().optimizer.enable_dynamic_filter_pushdown = false;
    config.options_mut().optimizer.enable_join_dynamic_filter_pushdown = false;
    config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    config.options_mut().optimizer.enable_topk_dynamic_filter_pushdown = false;
    with_functions(SessionContext::new_with_config(config))
}

/// A session for what people ask: two partitions, `memory` bytes for all its operators together, and no
/// spilling to disk. Functions that allocate outside of that limit are taken away. Run texts through
/// [`crate::Guard`], never through the session itself.
pub fn analyst_session(memory: usize) -> Result<SessionContext, DataFusionError> {
    let session = SessionContext::new_with_config_rt(config(2), bounded_runtime(memory)?);
    for name in BLOCKED {
        session.deregister_udf(name);
        session.deregister_udtf(name);
    }
    session.add_optimizer_rule(Arc::new(JoinByCells));
    Ok(with_functions(session))
}

fn bounded_runtime(memory: usize) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    RuntimeEnvBuilder::new()
        .with_memory_limit(memory, 1.0)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()
}

fn with_functions(session: SessionContext) -> SessionContext {
    register_functions(&session);
    session
}
