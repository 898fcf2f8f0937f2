//! How far window functions look: at the rows that share their partition's times, and at those of their frame.

use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{Expr, Window, WindowFrameBound, WindowFrameUnits};

use super::distances::{Var, plus};
use super::{Scope, Time, Unbounded, Walk, refuse};
use crate::hop::scalar_micros;

/// A window function looks at rows from `back` before to `ahead` after `centre`, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Around {
    centre: Var,
    back: i64,
    ahead: i64,
}

impl Walk {
    pub(super) fn window(&mut self, window: &Window) -> Result<Scope, Unbounded> {
        let input = self.visit(&window.input)?;
        let names: &[&DFSchema] = &[window.input.schema()];
        self.settle();
        let (mut columns, mut scanned) = (input.columns.clone(), input.scanned.clone());
        for expr in &window.window_expr {
            let Expr::WindowFunction(function) = expr.clone().unalias() else {
                return refuse("OVER", "a window expression of an unknown kind");
            };
            let WindowFunction { fun, params } = *function;
            let around = self.frame(fun.name(), &params, names, &input)?;
            self.settle();
            for row in &input.scanned {
                let row = Time { var: *row, least: 0, most: 0 };
                scanned.push(self.spread(false, row, &around));
            }
            let time = params.args.first().and_then(|argument| self.time_of(argument, names, &input));
            columns.push(time.map(|time| Time { var: self.spread(true, time, &around), least: 0, most: 0 }));
        }
        self.settle();
        Ok(Scope { columns, scanned })
    }

    /// `time` of another row that a window function looks at.
    fn spread(&mut self, certain: bool, time: Time, around: &[Around]) -> Var {
        let bounds: Vec<_> =
            around.iter().map(|at| (self.after(time, at.centre), self.before(time, at.centre))).collect();
        let var = self.distances.add(certain);
        for (at, (after, before)) in around.iter().zip(bounds) {
            self.distances.bound(var, at.centre, plus(after, at.ahead));
            self.distances.bound(at.centre, var, plus(before, at.back));
        }
        var
    }

    /// The times around which a window function looks: those its rows share, and that of its frame.
    fn frame(
        &mut self,
        function: &str,
        params: &WindowFunctionParams,
        names: &[&DFSchema],
        input: &Scope,
    ) -> Result<Vec<Around>, Unbounded> {
        const FRAMELESS: [&str; 9] = [
            "row_number",
            "rank",
            "dense_rank",
            "percent_rank",
            "cume_dist",
            "ntile",
            "lag",
            "lead",
            "nth_value",
        ];
        let shared =
            params.partition_by.iter().filter_map(|key| self.time_of(key, names, input)).collect::<Vec<_>>();
        let pin = |walk: &mut Self, time, back, ahead| Around {
            centre: walk.pin(time, &input.scanned),
            back,
            ahead,
        };
        let mut around: Vec<Around> = shared.into_iter().map(|time| pin(self, time, 0, 0)).collect();
        let frame = &params.window_frame;
        let bounded = match (&frame.start_bound, &frame.end_bound) {
            _ if FRAMELESS.contains(&function) || frame.units != WindowFrameUnits::Range => None,
            (start, end) => frame_micros(start, true).zip(frame_micros(end, false)),
        };
        let ordered = params.order_by.first().filter(|_| params.order_by.len() == 1);
        let ordered = ordered.filter(|sort| sort.asc).and_then(|sort| self.time_of(&sort.expr, names, input));
        if let (Some((back, ahead)), Some(time)) = (bounded, ordered) {
            around.push(pin(self, time, back, ahead));
        }
        if around.is_empty() {
            let reason = format!(
                "the window function {function} without a RANGE interval frame over event time; write \
                 `OVER (PARTITION BY ... ORDER BY time RANGE BETWEEN INTERVAL '2 minutes' PRECEDING AND CURRENT ROW)`"
            );
            return refuse("OVER", reason);
        }
        Ok(around)
    }
}

/// How far a frame reaches to one side, in microseconds; `None` where that is not an interval.
fn frame_micros(bound: &WindowFrameBound, is_start: bool) -> Option<i64> {
    match (bound, is_start) {
        (WindowFrameBound::CurrentRow, _) => Some(0),
        (WindowFrameBound::Preceding(value), true) | (WindowFrameBound::Following(value), false) => {
            scalar_micros(value)
        }
        (WindowFrameBound::Preceding(value), false) | (WindowFrameBound::Following(value), true) => {
            scalar_micros(value).map(|micros| -micros)
        }
    }
}
