//! A physical plan that is kept and run again and again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use tokio::runtime::{Builder, Runtime};

/// Planned once, run over whatever its slots hold. The partitions of a `UNION ALL` run one after
/// another: a micro-batch is too small to be worth a second thread.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    /// Its own: what a plan spawns is run by whichever thread drives the runtime, and where two threads shared one, a
    /// query that a life hangs on would wait until the other's is done.
    runtime: Arc<Runtime>,
}

impl Run {
    pub(crate) fn new(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Self> {
        let runtime = Builder::new_current_thread().build()?;
        Ok(Self { plan, context, runtime: Arc::new(runtime) })
    }

    /// The same set-up for another plan of the same query.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure")]

    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    use datafusion::arrow::datatypes::DataType;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// `query`, as something to run. The parts of a `UNION ALL` below an aggregate are brought together by tasks that are
    /// spawned.
    fn planned(context: &SessionContext, query: &str) -> Run {
        let runtime = Builder::new_current_thread().build().unwrap();
        let plan = runtime
            .block_on(async { context.sql(query).await.unwrap().create_physical_plan().await.unwrap() });
        Run::new(plan, context.task_ctx()).unwrap()
    }

    #[test]
    fn a_query_is_done_while_another_one_is_stuck_on_its_thread() {
        let (stuck, is_stuck) = sync_channel::<()>(1);
        let (go, may_go) = sync_channel::<()>(1);
        let ends = Mutex::new((stuck, may_go));
        let wait = move |_: &[ColumnarValue]| {
            let (stuck, may_go) = &*ends.lock().unwrap();
            stuck.send(()).unwrap();
            may_go.recv().unwrap();
            Ok(ColumnarValue::Scalar(1_i64.into()))
        };
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        context.register_udf(create_udf(
            "wait",
            vec![],
            DataType::Int64,
            Volatility::Volatile,
            Arc::new(wait),
        ));
        let slow = planned(&context, "SELECT wait() AS one FROM (VALUES (1))");
        let numbers = "SELECT n FROM (VALUES (1), (2)) AS t(n) WHERE n";
        let urgent =
            planned(&context, &format!("SELECT sum(n) FROM ({numbers} > 0 UNION ALL {numbers} > 1)"));

        let of_slow = std::thread::spawn(move || slow.collect().map(|batches| batches.len()));
        is_stuck.recv().unwrap();
        let (done, is_done) = sync_channel(1);
        std::thread::spawn(move || done.send(urgent.collect().map(|batches| batches.len())).unwrap());
        let rows = is_done.recv_timeout(std::time::Duration::from_secs(20));
        go.send(()).unwrap();
        assert_eq!(of_slow.join().unwrap().unwrap(), 1);
        assert_eq!(rows.unwrap().unwrap(), 1, "it waited for the other");
    }
}
