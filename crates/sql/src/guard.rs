//! The one guard for what people write, whichever door it comes through: reads only, one statement, of
//! bounded length, depth, rows and time, and no judgement of persons.
//!
//! A deadline ends a query that yields. A join does not always: the binary runs people's queries where the
//! process can be ended.

mod error;
mod expansion;
mod privacy;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

pub use error::{QueryError, QueryProblem};
pub use text::BLOCKED;

/// What a query may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Words and signs, spaces and comments not counted.
    pub tokens: usize,
    /// Parentheses, brackets and CASEs within each other.
    pub depth: usize,
    /// Operators: a chain of them is as deep for a planner as parentheses are.
    pub operators: usize,
    /// Joins, tables of a FROM, and parts of UNION, EXCEPT and INTERSECT.
    pub parts: usize,
    /// Queries, each name of a WITH replaced by what it stands for.
    pub expansion: usize,
    /// Rows of the answer; more are cut off, and the answer says so.
    pub rows: usize,
    /// From the text to the last row.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            tokens: 8_000,
            depth: 32,
            operators: 400,
            parts: 32,
            expansion: 1_000,
            rows: 10_000,
            deadline: Duration::from_secs(30),
        }
    }
}

/// Rows.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Their columns, also where there are no rows.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether the limit cut rows off.
    pub truncated: bool,
}

/// Stands before a session of [`crate::analyst_session`].
#[derive(Clone, Copy, Default, Debug)]
pub struct Guard {
    /// What a query may cost.
    pub limits: Limits,
}

impl Guard {
    /// A guard with `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Looks at the text alone, before any parser that goes in circles does.
    pub fn check(&self, sql: &str) -> Result<(), QueryError> {
        text::check(sql, &self.limits)
    }

    /// The plan of `sql`, which reads and does nothing else. For doors that run plans by themselves.
    pub async fn plan(&self, session: &SessionContext, sql: &str) -> Result<LogicalPlan, QueryError> {
        self.check(sql)?;
        let plan = session.state().create_logical_plan(sql).await;
        let plan = plan.map_err(|error| QueryError::from(error).within(sql))?;
        reads_only().verify_plan(&plan)?;
        privacy::check(&plan)?;
        Ok(plan)
    }

    /// Runs `sql` to its end, or to the limits.
    pub async fn run(&self, session: &SessionContext, sql: &str) -> Result<Answer, QueryError> {
        self.check(sql)?;
        let until = Instant::now() + self.limits.deadline;
        let (guard, session, sql) = (*self, session.clone(), sql.to_owned());
        // In a task of its own: a query that computes for long without a pause holds up nobody's answer.
        let task = SpawnedTask::spawn(async move {
            let stream = guard.stream(&session, &sql).await?;
            collect(stream, guard.limits.rows).await
        });
        match timeout_at(until, task.join()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(QueryError::crashed()),
            Err(_) => Err(QueryError::deadline(self.limits.deadline)),
        }
    }

    /// Begins `sql`; the caller counts rows and minds the deadline.
    pub async fn stream(
        &self,
        session: &SessionContext,
        sql: &str,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let plan = self.plan(session, sql).await?;
        let state = session.state();
        let physical = state.create_physical_plan(&plan).await?;
        Ok(execute_stream(physical, session.task_ctx())?)
    }
}

fn reads_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// The rows of `stream`, `limit` of them at most.
async fn collect(mut stream: SendableRecordBatchStream, limit: usize) -> Result<Answer, QueryError> {
    let schema = stream.schema();
    let (mut batches, mut left, mut truncated) = (Vec::new(), limit, false);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        if batch.num_rows() > left {
            truncated = true;
            batches.push(batch.slice(0, left));
            break;
        }
        left -= batch.num_rows();
        batches.push(batch);
    }
    Ok(Answer { schema, batches, truncated })
}
