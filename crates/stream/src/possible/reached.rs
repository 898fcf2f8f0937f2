//! How far a window function or a join reaches back in event time, for what the next file proves with it.

use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};

use super::term::Names;
use crate::hop::scalar_micros;

/// How far back the rows lie that `function` looks at, in microseconds, where none of them is later than its own; `time`
/// is the column with the time of a row. `None` where there is no bound, or where it looks ahead.
pub(super) fn back(function: &WindowFunction, names: &Names<'_>, time: usize) -> Option<i64> {
    let WindowFunctionParams { partition_by, order_by, window_frame: frame, .. } = &function.params;
    let is_time = |expr: &Expr| matches!(expr, Expr::Column(column) if names.position(column) == Some(time));
    if partition_by.iter().any(is_time) {
        return Some(0);
    }
    let [sort] = order_by.as_slice() else { return None };
    if !is_time(&sort.expr) || !sort.asc || frame.units != WindowFrameUnits::Range || !is_framed(function) {
        return None;
    }
    let ends_in_time = match &frame.end_bound {
        WindowFrameBound::CurrentRow => true,
        WindowFrameBound::Preceding(value) => scalar_micros(value).is_some_and(|micros| micros >= 0),
        WindowFrameBound::Following(_) => false,
    };
    match &frame.start_bound {
        WindowFrameBound::CurrentRow if ends_in_time => Some(0),
        WindowFrameBound::Preceding(value) if ends_in_time => {
            scalar_micros(value).filter(|micros| *micros >= 0)
        }
        _ => None,
    }
}

/// Whether it looks at the rows of its frame and at no others.
fn is_framed(function: &WindowFunction) -> bool {
    match &function.fun {
        WindowFunctionDefinition::AggregateUDF(_) => true,
        WindowFunctionDefinition::WindowUDF(_) => matches!(function.fun.name(), "first_value" | "last_value"),
    }
}

/// By how much the time in column `own` lies behind that in column `other` at most where `condition` holds, in
/// microseconds.
pub(super) fn lag(condition: &Expr, names: &Names<'_>, own: usize, other: usize) -> Option<i64> {
    let bounds = split_conjunction(condition).into_iter().filter_map(|bound| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = bound else { return None };
        let (later, earlier) = match op {
            Operator::Gt | Operator::GtEq => (left, right),
            Operator::Lt | Operator::LtEq => (right, left),
            _ => return None,
        };
        Some(shifted(later, names, other)? - shifted(earlier, names, own)?)
    });
    bounds.min().map(|micros| micros.max(0))
}

/// By how much `expr` lies behind the time in the column `time`, in microseconds.
fn shifted(expr: &Expr, names: &Names<'_>, time: usize) -> Option<i64> {
    match expr {
        Expr::Column(column) => (names.position(column) == Some(time)).then_some(0),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let Expr::Literal(interval, _) = right.as_ref() else { return None };
            let (base, micros) = (shifted(left, names, time)?, scalar_micros(interval)?);
            match op {
                Operator::Plus => base.checked_add(micros),
                Operator::Minus => base.checked_sub(micros),
                _ => None,
            }
        }
        _ => None,
    }
}
