//! Intervals as durations. Adding an interval to a time asks the time zone's calendar for every row, or every
//! pair of a join; all our times are UTC, where days are 24 h, so a duration gives the same and is one addition.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, WindowFrameBound, WindowFrameUnits,
};
use hexwatch_contract::event::time_type;

use crate::frames::in_one_pass;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// `plan` with every interval of fixed length that is added to a UTC time, or bounds a frame over one, as a duration.
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
    match expr {
        Expr::BinaryExpr(sum) => added(sum, schema),
        Expr::WindowFunction(function) => framed(function, schema),
        other => Transformed::no(other),
    }
}

fn added(sum: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    let BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right } = sum else {
        return Transformed::no(Expr::BinaryExpr(sum));
    };
    if let Expr::Literal(interval, _) = &*right
        && is_time(&left, schema)
        && let Some(duration) = duration(interval)
    {
        let right = Box::new(Expr::Literal(duration, None));
        return Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }));
    }
    Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))
}

/// A frame is bounded anew for every row, but for functions that look at all of them in one pass.
fn framed(mut function: Box<WindowFunction>, schema: &DFSchema) -> Transformed<Expr> {
    let params = &mut function.params;
    let by_time = matches!(params.order_by.as_slice(), [only] if is_time(&only.expr, schema));
    if !by_time || params.window_frame.units != WindowFrameUnits::Range {
        return Transformed::no(Expr::WindowFunction(function));
    }
    for bound in [&mut params.window_frame.start_bound, &mut params.window_frame.end_bound] {
        if let WindowFrameBound::Preceding(interval) | WindowFrameBound::Following(interval) = bound
            && let Some(duration) = duration(interval)
        {
            *interval = duration;
        }
    }
    in_one_pass(&mut function);
    Transformed::yes(Expr::WindowFunction(function))
}

fn is_time(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|kind| kind == time_type())
}

fn duration(interval: &ScalarValue) -> Option<ScalarValue> {
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = interval else { return None };
    micros(*interval).map(|micros| ScalarValue::DurationMicrosecond(Some(micros)))
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
