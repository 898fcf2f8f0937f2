//! Risk is of places, never of persons: no query may bring a person's reference and a risk together.

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::{QueryError, QueryProblem};

/// The tables that judge places.
const JUDGING: [&str; 2] = ["risk_cells", "forecasts"];
/// What the engine's own columns of judgement are called.
const JUDGEMENTS: [&str; 3] = ["score", "risk", "level"];
/// What the name of a person's reference ends with.
const REFERENCE: &str = "_ref";

/// Refuses `plan` where it reads a table that judges places and names a person's reference anywhere, or gives
/// out both under their own names. Whether it also joins them cannot be told from outside, so the
/// combination is refused as such.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), QueryError> {
    let (mut judges, mut reference) = (false, None);
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let table = scan.table_name.table();
            judges |= JUDGING.iter().any(|name| table.starts_with(name));
        }
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Some(name) = reference_in(part) {
                    reference.get_or_insert(name);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let outputs = || plan.schema().fields().iter().map(|field| field.name().as_str());
    let given = outputs().find(|name| name.ends_with(REFERENCE)).map(str::to_owned);
    let has_judgement = outputs().any(|name| JUDGEMENTS.contains(&name));
    match (reference.filter(|_| judges), given.filter(|_| has_judgement)) {
        (Some(name), _) | (_, Some(name)) => Err(QueryError::new(
            QueryProblem::Refused,
            format!("`{name}` stands for a person, and risk is of places: they may not come together"),
            format!("leave out `{name}`, or what judges"),
        )),
        _ => Ok(()),
    }
}

fn reference_in(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Column(column) if column.name.ends_with(REFERENCE) => Some(column.name.clone()),
        _ => None,
    }
}
