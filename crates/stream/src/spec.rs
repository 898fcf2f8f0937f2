//! What a query file asks for, as the engine needs it.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use hexwatch_contract::time::millis_of;
use hexwatch_sql::{Emit, QueryFile, QueryFileError};

use crate::error::Refusal;
use crate::hit::{self, Rule};
use crate::query::Told;
use crate::reach::Unbounded;

/// A query file that runs live.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) file: String,
    /// The whole file, header included: its lines are what refusals point at.
    pub(crate) text: String,
    /// The same with the parameters filled in.
    pub(crate) sql: String,
    pub(crate) name: Arc<str>,
    pub(crate) told: Told,
    pub(crate) key: Vec<String>,
    pub(crate) time: Option<String>,
    pub(crate) immediate: bool,
    pub(crate) lateness: Option<Duration>,
    /// Microseconds.
    pub(crate) lookback: Option<i64>,
}

impl Spec {
    /// What `file` asks for.
    pub(crate) fn of(file: &QueryFile) -> Result<Self, Refusal> {
        let told = match &file.rule {
            Some(rule) => {
                Told::Rule(Rule { name: rule.rule.as_str().into(), version: rule.version, class: rule.class })
            }
            None => Told::View(file.output),
        };
        Ok(Self {
            file: file.file.clone(),
            text: file.text.clone(),
            sql: file.sql().map_err(refused)?,
            name: file.name.as_str().into(),
            told,
            key: file.key.clone(),
            time: file.time.clone(),
            immediate: file.emit == Emit::Immediate,
            lateness: file.lateness,
            lookback: file.lookback.map(|lookback| millis_of(lookback).saturating_mul(1000)),
        })
    }

    /// The plan as written.
    pub(crate) async fn logical_plan(&self, state: &SessionState) -> Result<LogicalPlan> {
        state.create_logical_plan(&self.sql).await
    }

    /// A refusal that points at the first line with `near` (`time:` and the like: in the header), or else
    /// at the first line of the SQL.
    pub(crate) fn refuse(&self, near: &str, reason: String) -> Refusal {
        let is_header = near.ends_with(':');
        let near = near.to_lowercase();
        let lines = || self.text.lines().enumerate();
        let found = lines().find(|(_, line)| {
            !near.is_empty()
                && line.trim_start().starts_with("--") == is_header
                && line.to_lowercase().contains(&near)
        });
        let found = found.or_else(|| {
            lines().find(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
        });
        Refusal { file: self.file.clone(), line: found.map_or(1, |(index, _)| index + 1), reason }
    }

    /// The columns that identify a result row: a rule's are fixed, a view's are declared; without a
    /// declaration every column counts.
    pub(crate) fn key_in(&self, schema: &Schema) -> Result<Vec<usize>, Unbounded> {
        let names: Vec<&str> = match &self.told {
            Told::Rule(_) => hit::KEY.to_vec(),
            Told::View(_) => self.key.iter().map(String::as_str).collect(),
        };
        if names.is_empty() {
            return Ok((0..schema.fields().len()).collect());
        }
        let find = |name: &&str| {
            let missing = || Unbounded {
                near: "key:",
                reason: format!("the key column `{name}` is not in the result"),
            };
            schema.index_of(name).map_err(|_| missing())
        };
        names.iter().map(find).collect()
    }
}

fn refused(error: QueryFileError) -> Refusal {
    let reason = format!("`{}`: {}; {}", error.field, error.problem, error.fix);
    Refusal { file: error.file, line: error.line, reason }
}
