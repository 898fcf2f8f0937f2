//! Windowed aggregates by panes. Rows are folded into panes by DataFusion's partial accumulators as they
//! come; a window is the fold of its panes, so that a sliding window costs its panes, not its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_err};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use hexwatch_contract::Topic;

use crate::feed::{Feed, Slot, Source};
use crate::rows::{Changes, changes, joined, micros};
use crate::run::Run;
use crate::shape::PaneShape;

/// Rows that wait until this many are folded at once: a run has a price of its own.
const FOLD_ROWS: usize = 16_384;
/// Before every window, in microseconds.
const START: i64 = i64::MIN / 4;
/// So many partial states are finished at once, or those of one window.
const STATES_AT_ONCE: usize = 262_144;
/// Above this many partial states a pane's are merged into one.
const MERGE_STATES: usize = 8;

/// A windowed aggregate.
#[derive(Debug)]
pub(crate) struct PaneQuery {
    shape: PaneShape,
    immediate: bool,
    key: Vec<usize>,
    horizon: i64,
    feeds: Vec<(Feed, Vec<RecordBatch>)>,
    waiting_rows: usize,
    /// The earliest row not folded yet; `i64::MAX` where there is none.
    waiting_from: i64,
    fold: Run,
    merge: Run,
    finish: Run,
    /// What `merge` and `finish` read: the states of panes.
    states: Arc<Slot>,
    panes: BTreeMap<i64, Vec<RecordBatch>>,
    /// Windows that end by this time have been given.
    closed: i64,
    /// Windows that end by this time can no longer be corrected.
    frozen: i64,
    /// Rows that came too late for every window that holds them.
    pub(crate) uncorrected: u64,
}

/// How a query wants its changes told.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    /// Whether results are given before their windows are complete.
    pub(crate) immediate: bool,
    /// The columns that identify a row.
    pub(crate) key: Vec<usize>,
    /// How long after its result time a row is corrected, in microseconds.
    pub(crate) horizon: i64,
}

impl PaneQuery {
    /// Takes the physical plan of the whole query apart at its aggregate.
    pub(crate) fn new(whole: &Run, shape: PaneShape, feeds: Vec<Feed>, telling: Telling) -> Result<Self> {
        let Some(aggregate) = topmost(whole.plan()) else {
            return internal_err!("a windowed aggregate was planned without an aggregate");
        };
        let source = innermost(aggregate);
        let (keys, functions) = (source.group_expr().clone(), source.aggr_expr().to_vec());
        let (filters, input) = (source.filter_expr().to_vec(), Arc::clone(source.input()));
        let fold = AggregateExec::try_new(
            AggregateMode::Partial,
            keys.clone(),
            functions.clone(),
            filters,
            input,
            source.input_schema(),
        )?;
        let states = Slot::new(fold.schema());
        let over_states = |mode| {
            let filters = vec![None; functions.len()];
            let keys = keys.as_final();
            AggregateExec::try_new(
                mode,
                keys,
                functions.clone(),
                filters,
                states.leaf()?,
                source.input_schema(),
            )
        };
        let merge = over_states(AggregateMode::PartialReduce)?;
        let finish = replaced(whole.plan(), &(Arc::new(over_states(AggregateMode::Final)?) as _))?;
        Ok(Self {
            shape,
            immediate: telling.immediate,
            key: telling.key,
            horizon: telling.horizon,
            feeds: feeds.into_iter().map(|feed| (feed, Vec::new())).collect(),
            waiting_rows: 0,
            waiting_from: i64::MAX,
            fold: whole.of(Arc::new(fold)),
            merge: whole.of(Arc::new(merge)),
            finish: whole.of(finish),
            states,
            panes: BTreeMap::new(),
            closed: START,
            frozen: START,
            uncorrected: 0,
        })
    }

    /// The same query before its first row.
    pub(crate) fn renewed(self) -> Self {
        Self {
            feeds: self.feeds.into_iter().map(|(feed, _)| (feed, Vec::new())).collect(),
            waiting_rows: 0,
            waiting_from: i64::MAX,
            panes: BTreeMap::new(),
            closed: START,
            frozen: START,
            uncorrected: 0,
            ..self
        }
    }

    /// How far a window reaches back from its end, in microseconds.
    pub(crate) fn span(&self) -> i64 {
        self.shape.windowing.size
    }

    /// Takes admitted rows.
    pub(crate) fn take(&mut self, topic: Topic, records: &RecordBatch) -> Result<()> {
        for (feed, waiting) in &mut self.feeds {
            if feed.source != Source::Events(topic) {
                continue;
            }
            if let Some(passed) = feed.pass(records)? {
                self.waiting_rows += passed.rows().num_rows();
                self.waiting_from = self.waiting_from.min(passed.earliest);
                waiting.push(passed.rows().clone());
            }
        }
        Ok(())
    }

    /// Gives what `watermark` completes, and what late rows correct.
    pub(crate) fn advance(&mut self, watermark: i64) -> Result<Option<Changes>> {
        let closes = !self.immediate && self.last_end(watermark) > self.last_end(self.closed);
        if !closes && !self.must_fold() {
            return Ok(None);
        }
        let folded = self.fold()?;
        let open = if self.immediate { i64::MAX } else { self.closed };
        let touched: BTreeSet<i64> =
            folded.keys().flat_map(|pane| self.shape.windowing.windows_of(*pane)).collect();
        let touched: Vec<i64> = touched
            .into_iter()
            .filter(|start| (self.frozen + 1..=open).contains(&self.end(*start)))
            .collect();
        let before = self.windows(&touched)?;
        self.keep(folded)?;
        let mut told = changes(&before, &self.windows(&touched)?, &self.key)?;
        if closes {
            let complete = self.complete(watermark);
            let rows = self.windows(&complete)?;
            told.rows = arrow::compute::concat_batches(&rows.schema(), [&told.rows, &rows])?;
        }
        self.closed = self.closed.max(watermark);
        self.freeze(watermark);
        Ok((!told.is_empty()).then_some(told))
    }

    /// Whether waiting rows must be folded although no window closes: they are many, somebody waits for
    /// them, or they correct a window that has been given.
    fn must_fold(&self) -> bool {
        let windowing = self.shape.windowing;
        let first = || windowing.windows_of(windowing.pane_of(self.waiting_from)).next();
        self.waiting_rows >= FOLD_ROWS
            || (self.waiting_rows > 0
                && (self.immediate || first().is_some_and(|start| self.end(start) <= self.closed)))
    }

    fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.shape.windowing.size)
    }

    /// The end of the last window that ends by `time`.
    fn last_end(&self, time: i64) -> i64 {
        let windowing = self.shape.windowing;
        time.saturating_sub(windowing.size).div_euclid(windowing.slide)
    }

    /// Folds the waiting rows into states, by pane.
    fn fold(&mut self) -> Result<BTreeMap<i64, Vec<RecordBatch>>> {
        if self.waiting_rows == 0 {
            return Ok(BTreeMap::new());
        }
        for (feed, waiting) in &mut self.feeds {
            feed.slot.fill(std::mem::take(waiting));
        }
        (self.waiting_rows, self.waiting_from) = (0, i64::MAX);
        let states = self.fold.collect()?;
        for (feed, _) in &self.feeds {
            feed.slot.fill(Vec::new());
        }
        let mut folded: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
        for batch in states {
            for (pane, states) in self.by_pane(&batch)? {
                folded.entry(pane).or_default().push(states);
            }
        }
        Ok(folded)
    }

    fn by_pane(&self, states: &RecordBatch) -> Result<Vec<(i64, RecordBatch)>> {
        let Some(column) = self.shape.start.or(self.shape.end) else { return Ok(Vec::new()) };
        let panes = micros(states.column(column))?;
        let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, pane) in (0_u32..).zip(panes.values()) {
            rows.entry(*pane).or_default().push(row);
        }
        if let (1, Some((pane, _))) = (rows.len(), rows.first_key_value()) {
            return Ok(vec![(*pane, states.clone())]);
        }
        rows.into_iter()
            .map(|(pane, rows)| Ok((pane, take_record_batch(states, &UInt32Array::from(rows))?)))
            .collect()
    }

    /// Adds states to their panes.
    fn keep(&mut self, folded: BTreeMap<i64, Vec<RecordBatch>>) -> Result<()> {
        for (pane, states) in folded {
            let last = self.shape.windowing.windows_of(pane).last();
            if last.is_none_or(|start| self.end(start) <= self.frozen) {
                self.uncorrected += states.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
                continue;
            }
            let kept = self.panes.entry(pane).or_default();
            kept.extend(states);
            if kept.len() > MERGE_STATES {
                self.states.fill(std::mem::take(kept));
                *kept = self.merge.collect()?;
            }
        }
        Ok(())
    }

    /// The windows that hold rows and end within what `watermark` adds, earliest first.
    fn complete(&self, watermark: i64) -> Vec<i64> {
        let first = self.closed.saturating_sub(self.shape.windowing.size);
        let panes = self.panes.range(first..).take_while(|(pane, _)| **pane <= watermark);
        let starts: BTreeSet<i64> =
            panes.flat_map(|(pane, _)| self.shape.windowing.windows_of(*pane)).collect();
        starts.into_iter().filter(|start| (self.closed + 1..=watermark).contains(&self.end(*start))).collect()
    }

    /// The rows of the windows from `starts`. Where so many close at once that all their groups together would take much
    /// memory they are finished some at a time: no group belongs to two of them.
    fn windows(&self, starts: &[i64]) -> Result<RecordBatch> {
        let (mut rows, mut states, mut count) = (Vec::new(), Vec::new(), 0);
        for (nth, &start) in starts.iter().enumerate() {
            for batch in self.panes.range(start..self.end(start)).flat_map(|(_, pane)| pane) {
                count += batch.num_rows();
                states.push(if self.shape.sliding { self.of_window(batch, start)? } else { batch.clone() });
            }
            if count >= STATES_AT_ONCE || (nth + 1 == starts.len() && count > 0) {
                self.states.fill(std::mem::take(&mut states));
                let finished = self.finish.collect();
                self.states.fill(Vec::new());
                rows.extend(finished?);
                count = 0;
            }
        }
        Ok(joined(&self.finish.plan().schema(), &rows)?)
    }

    /// A pane's states as those of the window from `start`.
    fn of_window(&self, states: &RecordBatch, start: i64) -> Result<RecordBatch> {
        let schema: SchemaRef = states.schema();
        let mut columns = states.columns().to_vec();
        for (key, time) in [(self.shape.start, start), (self.shape.end, self.end(start))] {
            if let Some(key) = key {
                let times: ArrayRef =
                    Arc::new(TimestampMicrosecondArray::from_value(time, states.num_rows()));
                columns[key] = cast(&times, schema.field(key).data_type())?;
            }
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// Drops panes that no row can reach any more.
    fn freeze(&mut self, watermark: i64) {
        self.frozen = self.frozen.max(watermark.saturating_sub(self.horizon));
        while let Some(entry) = self.panes.first_entry() {
            let last = self.shape.windowing.windows_of(*entry.key()).last();
            if last.is_some_and(|start| start.saturating_add(self.shape.windowing.size) > self.frozen) {
                break;
            }
            entry.remove();
        }
    }
}

fn topmost(plan: &Arc<dyn ExecutionPlan>) -> Option<&AggregateExec> {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return Some(aggregate);
    }
    let children = plan.children();
    let [only] = children[..] else { return None };
    topmost(only)
}

/// The aggregate that reads raw rows: below a final one, where the plan has two.
fn innermost(aggregate: &AggregateExec) -> &AggregateExec {
    match aggregate.mode() {
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            topmost(aggregate.input()).unwrap_or(aggregate)
        }
        _ => aggregate,
    }
}

/// `plan` with its topmost aggregate replaced.
fn replaced(plan: &Arc<dyn ExecutionPlan>, with: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.downcast_ref::<AggregateExec>().is_some() {
        debug_assert_eq!(with.output_partitioning().partition_count(), 1);
        return Ok(Arc::clone(with));
    }
    let children =
        plan.children().into_iter().map(|child| replaced(child, with)).collect::<Result<Vec<_>>>()?;
    Arc::clone(plan)
        .replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}
