//! What a query file asks for, as the engine needs it.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;

use crate::error::Refusal;
use crate::hit::{self, Rule};
use crate::query::{Output, Told};
use crate::query_file::QueryFile;
use crate::reach::Unbounded;

/// A query file that runs live.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) file: String,
    /// The whole file, header included: its lines are what refusals point at.
    pub(crate) text: String,
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
        let get = |name: &str| file.header.get(name).cloned();
        let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".sql").to_owned();
        let told = match get("rule") {
            Some(rule) => Told::Rule(Rule {
                name: rule.into(),
                version: get("version").and_then(|v| v.parse().ok()).unwrap_or(1),
                class: serde_json::from_value(serde_json::Value::String(get("class").unwrap_or_default())).unwrap_or(hexwatch_contract::alarm::Class::System),
            }),
            None => Told::View(match get("output").as_deref() { Some("topic") => Output::Topic, Some("none") => Output::None, _ => Output::Table }),
        };
        let mut sql = file.text.clone();
        for (name, value) in &file.params {
            sql = sql.replace(&format!("${name}"), value);
        }
        let seconds = |text: String| -> Option<u64> {
            let (n, unit) = text.split_at(text.len() - 1);
            Some(n.parse::<u64>().ok()? * if unit == "m" { 60 } else { 1 })
        };
        Ok(Self {
            file: file.path.clone(),
            text: file.text.clone(),
            sql,
            name: get("name").unwrap_or(stem).into(),
            told,
            key: get("key").map(|k| k.split(',').map(|k| k.trim().to_owned()).collect()).unwrap_or_default(),
            time: get("time"),
            immediate: get("emit").as_deref() == Some("immediate"),
            lateness: get("lateness").and_then(seconds).map(Duration::from_secs),
            lookback: get("lookback").and_then(seconds).map(|s| s as i64 * 1_000_000),
        })
    }

    /// The plan as written, with the parameters filled in.
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
            !near.is_empty() && line.trim_start().starts_with("--") == is_header && line.to_lowercase().contains(&near)
        });
        let found = found.or_else(|| lines().find(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with("--")));
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
            let missing = || Unbounded { near: "key:", reason: format!("the key column `{name}` is not in the result") };
            schema.index_of(name).map_err(|_| missing())
        };
        names.iter().map(find).collect()
    }
}
