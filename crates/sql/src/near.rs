//! Joins of what is near in the grid. `h3_grid_distance(a.cell, b.cell) <= k` asks every pair of rows; who looks up the
//! few cells within `k` steps of `a.cell` asks neighbours only. Such joins are turned into that, and the distance is
//! asked as before, of the pairs that are left.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::common::{Column, JoinType, Result, ScalarValue, UnnestOptions};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, ident, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::functions::grid_disk;

/// The column of the cells around a row of the left side, while it is joined.
const NEAR: &str = "__near";
/// Around more steps than this there are so many cells that pairs are not fewer: 37 are around 3.
const MOST_STEPS: i64 = 3;

/// `plan` with its joins of what is near made by cell. It gives the same rows, in whatever order.
///
/// # Errors
/// Where a join cannot be put together again.
pub fn join_by_cells(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up(by_cells).data()
}

/// The same as a rule of an optimizer.
#[derive(Debug)]
pub(crate) struct JoinByCells;

impl OptimizerRule for JoinByCells {
    fn name(&self) -> &'static str {
        "join_by_cells"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        by_cells(plan)
    }
}

fn by_cells(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = plan else { return Ok(Transformed::no(plan)) };
    let Some(near) = Near::of(&join) else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
    let columns: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
    let left = around(&join.left, &near)?;
    let mut on = join.on;
    on.push((ident(NEAR), near.right));
    let join = Join::try_new(
        Arc::new(left),
        join.right,
        on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(join)).project(columns)?.build().map(Transformed::yes)
}

/// `left` once for each cell around its rows.
fn around(left: &Arc<LogicalPlan>, near: &Near) -> Result<LogicalPlan> {
    let disk = ScalarFunction::new_udf(Arc::new(grid_disk()), vec![near.left.clone(), lit(near.steps)]);
    let columns = left.schema().columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(Arc::clone(left))
        .project(columns.chain([Expr::ScalarFunction(disk).alias(NEAR)]))?
        .unnest_column_with_options(Column::from_name(NEAR), UnnestOptions::new().with_preserve_nulls(false))?
        .build()
}

/// That two cells, one of each side, are within so many steps of each other.
struct Near {
    left: Expr,
    right: Expr,
    steps: i64,
}

impl Near {
    fn of(join: &Join) -> Option<Self> {
        let is_taken = |side: &LogicalPlan| side.schema().has_column_with_unqualified_name(NEAR);
        if join.join_type != JoinType::Inner || is_taken(&join.left) || is_taken(&join.right) {
            return None;
        }
        split_conjunction(join.filter.as_ref()?).into_iter().find_map(|condition| Self::said(condition, join))
    }

    /// What `condition` says, if it is that.
    fn said(condition: &Expr, join: &Join) -> Option<Self> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
        let (distance, op, limit) = match (&**left, &**right) {
            (Expr::ScalarFunction(distance), Expr::Literal(limit, _)) => (distance, *op, limit),
            (Expr::Literal(limit, _), Expr::ScalarFunction(distance)) => (distance, op.swap()?, limit),
            _ => return None,
        };
        let ScalarValue::Int64(Some(limit)) = limit else { return None };
        let steps = match op {
            Operator::LtEq => *limit,
            Operator::Lt => limit.checked_sub(1)?,
            _ => return None,
        };
        if distance.func.name() != "h3_grid_distance" || !(0..=MOST_STEPS).contains(&steps) {
            return None;
        }
        let [one, other] = distance.args.as_slice() else { return None };
        let is_of = |expr: &Expr, side: &LogicalPlan| {
            let columns = expr.column_refs();
            !columns.is_empty() && columns.into_iter().all(|column| side.schema().has_column(column))
        };
        let sides = [(one, other), (other, one)];
        let (left, right) =
            sides.into_iter().find(|(left, right)| is_of(left, &join.left) && is_of(right, &join.right))?;
        Some(Self { left: left.clone(), right: right.clone(), steps })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure")]

    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::session::{analyst_session, batch_session};

    const ROWS: &str = "CREATE TABLE doors AS SELECT row_number() OVER () AS door, cell, \
        row_number() OVER () % 2 AS site FROM (SELECT unnest(h3_grid_disk(626740000000004095, 3)) AS cell \
        UNION ALL SELECT NULL UNION ALL SELECT 5)";

    async fn tables(session: &SessionContext) {
        let middle = "h3_latlng_to_cell(30.2742, 120.155, 11)";
        session.sql(&ROWS.replace("626740000000004095", middle)).await.unwrap().collect().await.unwrap();
        let others = "CREATE TABLE cameras AS SELECT door AS camera, cell, site FROM doors";
        session.sql(others).await.unwrap().collect().await.unwrap();
    }

    fn joins_by_cell(plan: &LogicalPlan) -> bool {
        plan.display_indent().to_string().contains(NEAR)
    }

    /// The rows of `sql` in order, planned with the joins turned and without.
    async fn both_ways(session: &SessionContext, sql: &str) -> (String, String) {
        let plan = session.sql(sql).await.unwrap().into_optimized_plan().unwrap();
        let turned = join_by_cells(plan.clone()).unwrap();
        assert!(joins_by_cell(&turned) && !joins_by_cell(&plan), "{}", turned.display_indent());
        assert_eq!(plan.schema(), turned.schema());
        let mut texts = Vec::new();
        for plan in [plan, turned] {
            let rows = session.execute_logical_plan(plan).await.unwrap();
            let columns =
                rows.schema().columns().into_iter().map(|column| Expr::Column(column).sort(true, true));
            let sorted = rows.clone().sort(columns.collect()).unwrap().collect().await.unwrap();
            texts.push(pretty_format_batches(&sorted).unwrap().to_string());
        }
        (texts.remove(0), texts.remove(0))
    }

    #[tokio::test]
    async fn a_join_of_what_is_near_gives_the_same_rows_by_cell() {
        let session = batch_session();
        tables(&session).await;
        for (condition, count) in [
            ("h3_grid_distance(d.cell, c.cell) <= 1", 37 + 2 * 90),
            ("h3_grid_distance(c.cell, d.cell) < 2 AND d.door <> c.camera", 2 * 90),
            ("1 >= h3_grid_distance(d.cell, c.cell)", 37 + 2 * 90),
            ("h3_grid_distance(h3_cell_to_parent(d.cell, 10), h3_cell_to_parent(c.cell, 10)) <= 0", 0),
        ] {
            let sql = format!("SELECT * FROM doors d JOIN cameras c ON {condition}");
            let (as_written, by_cell) = both_ways(&session, &sql).await;
            assert_eq!(as_written, by_cell, "{condition}");
            if count > 0 {
                assert_eq!(by_cell.lines().count() - 4, count, "{condition}");
            }
            let of_a_site = format!("{sql} AND c.site = d.site WHERE d.door > 3");
            let (as_written, by_cell) = both_ways(&session, &of_a_site).await;
            assert_eq!(as_written, by_cell, "{of_a_site}");
        }
    }

    #[tokio::test]
    async fn other_joins_stay_as_they_are() {
        let session = batch_session();
        tables(&session).await;
        for join in [
            "doors d LEFT JOIN cameras c ON h3_grid_distance(d.cell, c.cell) <= 1",
            "doors d JOIN cameras c ON h3_grid_distance(d.cell, c.cell) <= 4",
            "doors d JOIN cameras c ON h3_grid_distance(d.cell, c.cell) >= 1",
            "doors d JOIN cameras c ON c.site = d.site AND h3_grid_distance(d.cell + c.cell, c.cell) <= 1",
            "doors d JOIN cameras c ON c.site = d.site OR h3_grid_distance(d.cell, c.cell) <= 1",
        ] {
            let sql = format!("SELECT * FROM {join}");
            let plan = session.sql(&sql).await.unwrap().into_optimized_plan().unwrap();
            assert!(!joins_by_cell(&join_by_cells(plan).unwrap()), "{join}");
        }
    }

    #[tokio::test]
    async fn what_people_ask_is_joined_by_cell_once() {
        let session = analyst_session(64 * 1024 * 1024).unwrap();
        tables(&session).await;
        let sql = "SELECT count(*) FROM doors d JOIN cameras c ON h3_grid_distance(d.cell, c.cell) <= 1";
        let plan = session.sql(sql).await.unwrap().into_optimized_plan().unwrap();
        let text = plan.display_indent().to_string();
        assert_eq!(text.matches("Unnest").count(), 1, "{text}");
        let rows = session.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
        assert!(pretty_format_batches(&rows).unwrap().to_string().contains(&(37 + 2 * 90).to_string()));
    }
}
