//! `count`, `min` and `max` over a RANGE frame of event time, in one pass over a partition.
//!
//! A query that looks back spends most of its run on such frames, and the engine of queries bounds each of them anew for
//! every row. These are the same functions for plans that run live: what they give is the same, row by row.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, Int64Array, TimestampMicrosecondArray, UInt64Array,
    make_comparator,
};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field, FieldRef, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
    WindowUDF, WindowUDFImpl,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    Count,
    Min,
    Max,
}

/// One of them over the frame that reaches from `start` to `end`, in microseconds from a row's own time; its arguments
/// are the argument of the function and the time.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Framed {
    what: What,
    start: i64,
    end: i64,
    signature: Signature,
}

/// Puts one of these functions in the place of `function`, where it is the same. Its order must be one of event time.
pub(crate) fn in_one_pass(function: &mut WindowFunction) -> bool {
    let Some(framed) = Framed::of(function) else { return false };
    let params = &mut function.params;
    params.args.push(params.order_by[0].expr.clone());
    function.fun = WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::from(framed)));
    true
}

impl Framed {
    fn of(function: &WindowFunction) -> Option<Self> {
        let WindowFunctionDefinition::AggregateUDF(aggregate) = &function.fun else { return None };
        let what = match aggregate.name() {
            "count" => What::Count,
            "min" => What::Min,
            "max" => What::Max,
            _ => return None,
        };
        let (params, frame) = (&function.params, &function.params.window_frame);
        let is_plain = !params.distinct && params.filter.is_none() && params.null_treatment.is_none();
        let is_by_time = matches!(params.order_by.as_slice(), [only] if only.asc);
        if !is_plain || !is_by_time || params.args.len() != 1 || frame.units != WindowFrameUnits::Range {
            return None;
        }
        let (start, end) = (offset(&frame.start_bound)?, offset(&frame.end_bound)?);
        Some(Self { what, start, end, signature: Signature::any(2, Volatility::Immutable) })
    }
}

/// How far a bound lies from a row's own time, in microseconds.
fn offset(bound: &WindowFrameBound) -> Option<i64> {
    match bound {
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Preceding(ScalarValue::DurationMicrosecond(Some(micros))) => micros.checked_neg(),
        WindowFrameBound::Following(ScalarValue::DurationMicrosecond(Some(micros))) => Some(*micros),
        _ => None,
    }
}

impl WindowUDFImpl for Framed {
    fn name(&self) -> &'static str {
        match self.what {
            What::Count => "count_in_frame",
            What::Min => "min_in_frame",
            What::Max => "max_in_frame",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let Self { what, start, end, .. } = *self;
        Ok(Box::new(Pass { what, start, end }))
    }

    fn field(&self, given: WindowUDFFieldArgs) -> Result<FieldRef> {
        let field = match (self.what, given.input_fields().first()) {
            (What::Count, _) => Field::new(given.name(), DataType::Int64, false),
            (_, Some(argument)) => Field::new(given.name(), argument.data_type().clone(), true),
            (_, None) => return internal_err!("{} without an argument", self.name()),
        };
        Ok(Arc::new(field))
    }
}

#[derive(Debug)]
struct Pass {
    what: What,
    start: i64,
    end: i64,
}

impl PartitionEvaluator for Pass {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [argument, time] = values else {
            return internal_err!("a frame of time has an argument and a time, not {} values", values.len());
        };
        let frames = self.frames(time.as_primitive::<TimestampMicrosecondType>(), rows);
        match self.what {
            What::Count => Ok(Arc::new(counted(argument, &frames))),
            What::Min => extreme(argument, &frames, Ordering::Less),
            What::Max => extreme(argument, &frames, Ordering::Greater),
        }
    }
}

impl Pass {
    /// The rows of each row's frame; neither their starts nor their ends go back. Rows without a time are each other's
    /// frame.
    fn frames(&self, times: &TimestampMicrosecondArray, rows: usize) -> Vec<Range<usize>> {
        let first = (0..rows).find(|row| times.is_valid(*row)).unwrap_or(rows);
        let end = first + (rows - times.null_count());
        let mut frames = vec![0..first; first];
        let (mut from, mut to) = (first, first);
        for row in first..end {
            let (least, most) =
                (times.value(row).saturating_add(self.start), times.value(row).saturating_add(self.end));
            while from < end && times.value(from) < least {
                from += 1;
            }
            while to < end && times.value(to) <= most {
                to += 1;
            }
            frames.push(from..to.max(from));
        }
        frames.resize(rows, end..rows);
        frames
    }
}

fn counted(argument: &ArrayRef, frames: &[Range<usize>]) -> Int64Array {
    let mut count = 0;
    let mut before = vec![0];
    before.extend((0..argument.len()).map(|row| {
        count += i64::from(argument.is_valid(row));
        count
    }));
    frames.iter().map(|frame| before[frame.end] - before[frame.start]).collect()
}

/// The value in each frame than which none is `wanted`, by the order of values; nulls are passed over.
fn extreme(argument: &ArrayRef, frames: &[Range<usize>], wanted: Ordering) -> Result<ArrayRef> {
    let compare: DynComparator = make_comparator(argument, argument, SortOptions::default())?;
    // Rows of the frame, each better than all that come after it.
    let mut best: VecDeque<usize> = VecDeque::new();
    let mut seen = 0;
    let found = frames.iter().map(|frame| {
        for row in seen..frame.end {
            if argument.is_valid(row) {
                while best.back().is_some_and(|last| compare(row, *last) == wanted) {
                    best.pop_back();
                }
                best.push_back(row);
            }
        }
        seen = seen.max(frame.end);
        while best.front().is_some_and(|row| *row < frame.start) {
            best.pop_front();
        }
        best.front().filter(|row| **row < frame.end).map(|row| *row as u64)
    });
    let found: UInt64Array = found.collect();
    Ok(take(argument, &found, None)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure")]

    use arrow::array::{Float64Array, RecordBatch, StringArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::Schema;
    use datafusion::logical_expr::LogicalPlan;
    use datafusion::prelude::SessionContext;
    use hexwatch_contract::event::time_type;
    use proptest::prelude::*;

    use super::*;
    use crate::duration::with_durations;

    type Row = (u8, Option<u8>, Option<u8>);

    /// Times have ties and gaps, and stand in whatever order they come.
    fn table(rows: &[Row]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("device", DataType::Utf8, false),
            Field::new("time", time_type(), true),
            Field::new("number", DataType::Float64, true),
            Field::new("text", DataType::Utf8, true),
        ]);
        let times = rows.iter().map(|row| row.1.map(|time| i64::from(time) * 500_000));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(format!("d{}", row.0 % 3))).collect::<StringArray>()),
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            Arc::new(
                rows.iter()
                    .map(|row| row.2.map(|value| f64::from(value % 7) - 3.0))
                    .collect::<Float64Array>(),
            ),
            Arc::new(
                rows.iter().map(|row| row.2.map(|value| format!("t{}", value % 11))).collect::<StringArray>(),
            ),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    async fn rows_of(session: &SessionContext, plan: &LogicalPlan) -> Vec<String> {
        let state = session.state();
        let physical = state.query_planner().create_physical_plan(plan, &state).await.unwrap();
        let batches = datafusion::physical_plan::collect(physical, state.task_ctx()).await.unwrap();
        let whole = concat_batches(plan.schema().inner(), &batches).unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&[whole]).unwrap().to_string();
        let mut lines: Vec<String> = text.lines().skip(3).map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    }

    async fn compare(rows: &[Row], start: &str, end: &str) {
        let session = hexwatch_sql::batch_session();
        session.register_batch("rows", table(rows)).unwrap();
        let over = format!("OVER (PARTITION BY device ORDER BY \"time\" RANGE BETWEEN {start} AND {end})");
        let sql = format!(
            "SELECT device, \"time\", number, text, count(*) {over}, count(text) {over}, max(number) {over}, \
             min(text) {over}, max(CASE WHEN number > 0 THEN \"time\" END) {over}, min(\"time\") {over} FROM rows"
        );
        let plan = session.sql(&sql).await.unwrap().into_optimized_plan().unwrap();
        let ours = with_durations(plan.clone()).unwrap();
        assert_eq!(format!("{ours:?}").matches("Framed {").count(), 6, "{ours:?}");
        assert_eq!(rows_of(&session, &ours).await, rows_of(&session, &plan).await, "{start} to {end}");
    }

    const FRAMES: [(&str, &str); 6] = [
        ("INTERVAL '5 seconds' PRECEDING", "INTERVAL '2 seconds' FOLLOWING"),
        ("INTERVAL '30 seconds' PRECEDING", "INTERVAL '1 millisecond' PRECEDING"),
        ("INTERVAL '3 seconds' PRECEDING", "CURRENT ROW"),
        ("CURRENT ROW", "CURRENT ROW"),
        ("CURRENT ROW", "INTERVAL '1 second' FOLLOWING"),
        ("INTERVAL '1 second' FOLLOWING", "INTERVAL '4 seconds' FOLLOWING"),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn it_gives_what_the_engine_of_queries_gives(
            rows in prop::collection::vec(
                (any::<u8>(), prop::option::weighted(0.9, 0_u8..80), prop::option::weighted(0.8, any::<u8>())), 0..60),
            frame in 0..FRAMES.len(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(compare(&rows, FRAMES[frame].0, FRAMES[frame].1));
        }
    }

    #[tokio::test]
    async fn what_is_not_the_same_is_left_alone() {
        let session = hexwatch_sql::batch_session();
        session.register_batch("rows", table(&[(0, Some(1), Some(1)), (0, Some(2), None)])).unwrap();
        for (function, order) in [
            ("count(DISTINCT text)", "\"time\" RANGE BETWEEN INTERVAL '1 second' PRECEDING AND CURRENT ROW"),
            (
                "count(text) FILTER (WHERE number > 0)",
                "\"time\" RANGE BETWEEN INTERVAL '1 second' PRECEDING AND CURRENT ROW",
            ),
            ("avg(number)", "\"time\" RANGE BETWEEN INTERVAL '1 second' PRECEDING AND CURRENT ROW"),
            ("count(text)", "\"time\" DESC RANGE BETWEEN INTERVAL '1 second' PRECEDING AND CURRENT ROW"),
            ("count(text)", "\"time\" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"),
            ("count(text)", "\"time\" RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"),
        ] {
            let sql = format!("SELECT \"time\", {function} OVER (ORDER BY {order}) FROM rows");
            let plan = session.sql(&sql).await.unwrap().into_optimized_plan().unwrap();
            let ours = with_durations(plan.clone()).unwrap();
            assert!(!format!("{ours:?}").contains("Framed {"), "{sql}");
            assert_eq!(rows_of(&session, &ours).await, rows_of(&session, &plan).await, "{sql}");
        }
    }
}
