//! A physical plan that is kept and run again and again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use tokio::runtime::Runtime;

/// Planned once, run over whatever its slots hold. The partitions of a `UNION ALL` run one after
/// another: a micro-batch is too small to be worth a second thread.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    runtime: Arc<Runtime>,
}

impl Run {
    pub(crate) fn new(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        runtime: Arc<Runtime>,
    ) -> Self {
        Self { plan, context, runtime }
    }

    /// The same set-up for another plan.
    pub(crate) fn of(&self, plan: Arc<dyn ExecutionPlan>) -> Self {
        Self { plan, context: Arc::clone(&self.context), runtime: Arc::clone(&self.runtime) }
    }

    pub(crate) fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    /// All rows the plan gives over what its slots hold now; batches without rows are left out.
    pub(crate) fn collect(&self) -> Result<Vec<RecordBatch>> {
        let plan = reset_plan_states(Arc::clone(&self.plan))?;
        self.runtime.block_on(async {
            let mut batches = Vec::new();
            for partition in 0..plan.output_partitioning().partition_count() {
                let mut stream = plan.execute(partition, Arc::clone(&self.context))?;
                while let Some(batch) = stream.try_next().await? {
                    if batch.num_rows() > 0 {
                        batches.push(batch);
                    }
                }
            }
            Ok(batches)
        })
    }
}
