//! Sliding windows: `hop(table, slide, size)` is the table with `window_start` and `window_end` for every
//! window that holds the row, `[window_start, window_end)`, aligned to the epoch.
//!
//! Over history, and in live queries that need every window's rows, a row comes once for each of its
//! windows. Where the engine assembles windows from panes it comes once, marked with its pane.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListArray, TimestampMicrosecondArray, TimestampMicrosecondBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, TimestampMicrosecondType};
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, col, lit,
};
use hexwatch_contract::event::time_type;

/// The marker of a pane's start, where windows are assembled from panes.
pub(crate) const HOP_START: &str = "hop_window_start";
/// The marker of the end of a window whose start is not known yet.
pub(crate) const HOP_END: &str = "hop_window_end";
/// The starts of all windows that hold a time.
pub(crate) const HOP_STARTS: &str = "hop_window_starts";

/// A windowing of event time: windows of `size` that begin every `slide`, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Windowing {
    pub(crate) slide: i64,
    pub(crate) size: i64,
}

impl Windowing {
    pub(crate) fn tumbling(size: i64) -> Self {
        Self { slide: size, size }
    }

    /// The width of a pane: the widest slice that every window is made of.
    pub(crate) fn pane(self) -> i64 {
        let (mut a, mut b) = (self.slide, self.size);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    /// The start of the pane that holds `time`.
    pub(crate) fn pane_of(self, time: i64) -> i64 {
        time.div_euclid(self.pane()) * self.pane()
    }

    /// The starts of the windows that hold the pane at `pane`, earliest first.
    pub(crate) fn windows_of(self, pane: i64) -> impl Iterator<Item = i64> {
        let last = pane.div_euclid(self.slide) * self.slide;
        let reach = (self.size - self.pane() - (pane - last)).max(-1);
        let count = if reach < 0 { 0 } else { reach / self.slide + 1 };
        (0..count).rev().map(move |back| last - back * self.slide)
    }
}

/// Which rows `hop` gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum HopMode {
    /// A row for each window that holds it.
    Windows,
    /// A row once, marked with its pane.
    Panes,
}

/// Finds the table that a table function names.
pub(crate) trait Tables: Debug + Send + Sync {
    /// The table, or a message that says what it could be.
    fn table(&self, name: &str) -> Result<Arc<dyn TableProvider>>;
}

/// The table function `hop`.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) mode: HopMode,
}

impl TableFunctionImpl for Hop {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let [table, slide, size] = args.exprs() else {
            return plan_err!(
                "hop takes a table, the slide and the size: hop(iot, INTERVAL '10 seconds', INTERVAL '5 minutes')"
            );
        };
        let name = table_name(table)?;
        let windowing = Windowing { slide: interval_micros(slide)?, size: interval_micros(size)? };
        if windowing.slide <= 0 || windowing.size < windowing.slide {
            return plan_err!("hop takes a slide above zero and a size of at least the slide");
        }
        let table = self.tables.table(&name)?;
        let columns: Vec<Expr> =
            table.schema().fields().iter().map(|field| col(quoted(field.name()))).collect();
        let scan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
        let marker = |name: &'static str| {
            let udf = Arc::new(ScalarUDF::from(WindowUdf::new(name)));
            udf.call(vec![col("time"), lit(windowing.slide), lit(windowing.size)])
        };
        let plan = match self.mode {
            HopMode::Panes => {
                let ends = [marker(HOP_START).alias("window_start"), marker(HOP_END).alias("window_end")];
                scan.project(columns.into_iter().chain(ends))?
            }
            HopMode::Windows => {
                let size = ScalarValue::new_interval_mdn(0, 0, windowing.size * 1000);
                let end = (col("window_start") + lit(size)).alias("window_end");
                let starts = [marker(HOP_STARTS).alias("window_start")];
                let ends = [col("window_start"), end];
                scan.project(columns.clone().into_iter().chain(starts))?
                    .unnest_column("window_start")?
                    .project(columns.into_iter().chain(ends))?
            }
        };
        Ok(Arc::new(ViewTable::new(plan.build()?, None)))
    }
}

fn quoted(name: &str) -> datafusion::common::Column {
    datafusion::common::Column::new_unqualified(name)
}

/// The name in `hop(iot, ...)` or `hop('iot', ...)`.
pub(crate) fn table_name(argument: &Expr) -> Result<String> {
    match argument {
        Expr::Column(column) => Ok(column.name.clone()),
        Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) => {
            Ok(name.clone())
        }
        other => plan_err!("`{other}` is not a table's name"),
    }
}

/// A literal interval without months, in microseconds.
pub(crate) fn interval_micros(argument: &Expr) -> Result<i64> {
    match argument {
        Expr::Literal(value, _) => scalar_micros(value),
        _ => None,
    }
    .map_or_else(|| plan_err!("`{argument}` is not an interval of days, hours, minutes or seconds"), Ok)
}

/// A scalar interval or duration without months, in microseconds.
pub(crate) fn scalar_micros(value: &ScalarValue) -> Option<i64> {
    const DAY: i64 = 86_400_000_000;
    match value {
        ScalarValue::IntervalMonthDayNano(Some(value)) if value.months == 0 => {
            Some(i64::from(value.days) * DAY + value.nanoseconds / 1000)
        }
        ScalarValue::IntervalDayTime(Some(value)) => {
            Some(i64::from(value.days) * DAY + i64::from(value.milliseconds) * 1000)
        }
        ScalarValue::DurationSecond(Some(value)) => Some(value * 1_000_000),
        ScalarValue::DurationMillisecond(Some(value)) => Some(value * 1000),
        ScalarValue::DurationMicrosecond(Some(value)) => Some(*value),
        ScalarValue::DurationNanosecond(Some(value)) => Some(value / 1000),
        _ => None,
    }
}

/// `HOP_START`, `HOP_END` and `HOP_STARTS` of a time, a slide and a size. They are made by [`Hop`] alone
/// and registered nowhere, so no query can name them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowUdf {
    name: &'static str,
    signature: Signature,
}

impl WindowUdf {
    pub(crate) fn new(name: &'static str) -> Self {
        let arguments = vec![time_type(), DataType::Int64, DataType::Int64];
        Self { name, signature: Signature::exact(arguments, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WindowUdf {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.name == HOP_STARTS { DataType::new_list(time_type(), true) } else { time_type() })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [times, slide, size] = args.args.as_slice() else {
            return exec_err!("{} takes three arguments", self.name);
        };
        let times = times.to_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let number = |value: &ColumnarValue| {
            if let ColumnarValue::Scalar(ScalarValue::Int64(Some(number))) = value {
                return Ok(*number);
            }
            exec_err!("{} takes literal widths", self.name)
        };
        let windowing = Windowing { slide: number(slide)?, size: number(size)? };
        let array: ArrayRef = if self.name == HOP_STARTS {
            Arc::new(window_starts(times, windowing)?)
        } else {
            let panes: TimestampMicrosecondArray = times.unary(|time| windowing.pane_of(time));
            Arc::new(panes.with_timezone("UTC"))
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn window_starts(times: &TimestampMicrosecondArray, windowing: Windowing) -> Result<ListArray> {
    let mut starts = TimestampMicrosecondBuilder::new();
    let mut lengths = Vec::with_capacity(times.len());
    for time in times.values() {
        let before = starts.values_slice().len();
        starts.extend(windowing.windows_of(windowing.pane_of(*time)).map(Some));
        lengths.push(starts.values_slice().len() - before);
    }
    let starts = starts.finish().with_timezone("UTC");
    let item = Arc::new(Field::new_list_field(time_type(), true));
    Ok(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(starts), None)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tumbling_window_is_one_pane() {
        let windowing = Windowing::tumbling(10);
        assert_eq!(windowing.pane(), 10);
        assert_eq!(windowing.windows_of(20).collect::<Vec<_>>(), [20]);
    }

    proptest! {
        #[test]
        fn a_row_lies_in_one_pane_and_in_every_window_around_it(
            slide in 1..40_i64, more in 0..200_i64, time in -5_000..5_000_i64
        ) {
            let windowing = Windowing { slide, size: slide + more };
            let pane = windowing.pane_of(time);
            prop_assert!(pane <= time && time < pane + windowing.pane());
            let found: Vec<_> = windowing.windows_of(pane).collect();
            let around: Vec<_> = (time - windowing.size + 1..=time).filter(|start| start % slide == 0).collect();
            prop_assert_eq!(&found, &around);
            for start in found {
                prop_assert!(start <= pane && pane + windowing.pane() <= start + windowing.size);
            }
        }
    }
}
