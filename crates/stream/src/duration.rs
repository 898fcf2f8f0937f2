//! Intervals as durations. Adding an interval to a time asks the time zone's calendar for every row, or every
//! pair of a join; all our times are UTC, where days are 24 h, so a duration gives the same and is one addition.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use hexwatch_contract::event::time_type;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// `plan` with every interval of fixed length that is added to a UTC time as a duration.
pub(crate) fn with_durations(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let inputs = node.inputs();
        if inputs.is_empty() {
            return Ok(Transformed::no(node));
        }
        let (schema, names) = (merge_schema(&inputs), NamePreserver::new(&node));
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| Ok(rewritten(expr, &schema)))?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    })
    .data()
}

fn rewritten(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) = expr
    else {
        return Transformed::no(expr);
    };
    let is_time = left.get_type(schema).is_ok_and(|kind: DataType| kind == time_type());
    if let (true, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)) = (is_time, &*right)
        && let Some(micros) = micros(*interval)
    {
        let duration = Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), None);
        return Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right: Box::new(duration) }));
    }
    Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))
}

/// The length in microseconds, where it is fixed and whole.
fn micros(interval: IntervalMonthDayNano) -> Option<i64> {
    let nanos = i64::from(interval.days).checked_mul(DAY_NANOS)?.checked_add(interval.nanoseconds)?;
    (interval.months == 0 && nanos % 1000 == 0).then_some(nanos / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_has_no_fixed_length_and_a_day_has() {
        assert_eq!(micros(IntervalMonthDayNano::new(1, 0, 0)), None);
        assert_eq!(micros(IntervalMonthDayNano::new(0, 1, 5_000)), Some(86_400_000_005));
        assert_eq!(micros(IntervalMonthDayNano::new(0, 0, 5)), None, "a time has microseconds");
    }
}
