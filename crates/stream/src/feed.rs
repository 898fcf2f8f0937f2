//! Feeds: how rows reach a query. Each scan of a live plan reads a [`Slot`], which is filled before each
//! run; a [`Feed`] is what stands before it: the scan's filters and columns, so that a query keeps only
//! the rows and columns that it looks at.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use hexwatch_contract::Topic;
use rustc_hash::FxHashSet;

use crate::kept::Stored;
use crate::shard::{Shard, ShardKey, Shards};

/// The rows that a scan of a kept plan reads on its next run.
#[derive(Debug)]
pub(crate) struct Slot {
    schema: SchemaRef,
    batches: Mutex<Vec<RecordBatch>>,
}

impl Slot {
    pub(crate) fn new(schema: SchemaRef) -> Arc<Self> {
        Arc::new(Self { schema, batches: Mutex::default() })
    }

    /// Replaces what the next run reads.
    pub(crate) fn fill(&self, batches: Vec<RecordBatch>) {
        *self.batches.lock().unwrap_or_else(PoisonError::into_inner) = batches;
    }

    /// How many rows it will read.
    pub(crate) fn rows(&self) -> usize {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The leaf of a plan that reads this slot.
    pub(crate) fn leaf(self: &Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let partition = Arc::clone(self) as Arc<dyn PartitionStream>;
        let leaf =
            StreamingTableExec::try_new(Arc::clone(&self.schema), vec![partition], None, [], false, None)?;
        Ok(Arc::new(leaf))
    }
}

impl PartitionStream for Slot {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rows = futures::stream::iter(batches.into_iter().map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// What a scan reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Source {
    /// The rows of an event table.
    Events(Topic),
    /// The silences of the devices whose signs of life come in this table.
    Absence(Topic),
}

impl Source {
    /// The column that places a row in event time.
    pub(crate) fn time_column(self) -> &'static str {
        match self {
            Self::Events(_) => "time",
            Self::Absence(_) => "at",
        }
    }
}

/// A scan of a live plan.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) source: Source,
    /// Which scan of the plan it stands before.
    pub(crate) number: usize,
    pub(crate) slot: Arc<Slot>,
    pub(crate) sieve: Sieve,
}

/// Which rows of a source pass, and which of their columns.
#[derive(Clone, Debug)]
pub(crate) struct Sieve {
    time: usize,
    /// In their order in the source.
    columns: Vec<usize>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

/// Rows that passed a feed, with their times.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    times: TimestampMicrosecondArray,
    pub(crate) rows: RecordBatch,
    /// The shard of each row, where the query's rows fall apart.
    pub(crate) shards: Option<Arc<Shards>>,
    pub(crate) earliest: i64,
    pub(crate) latest: i64,
}

impl Feed {
    /// The rows of `records` (all columns of the source) that the scan lets through; `None` where there
    /// are none.
    pub(crate) fn pass(&self, records: &RecordBatch) -> Result<Option<Passed>> {
        self.sieve.pass(records, None)
    }
}

impl Sieve {
    /// Whether the same rows pass `other`, of the same source.
    pub(crate) fn passes_as(&self, other: &Self) -> bool {
        self.filter == other.filter
    }

    /// Lets the columns of `other` pass as well.
    pub(crate) fn widen(&mut self, other: &Self) {
        self.columns.extend(&other.columns);
        self.columns.sort_unstable();
        self.columns.dedup();
    }

    /// Where the columns of `other`, which it was [widened](Self::widen) to, stand among those that pass.
    pub(crate) fn places_of(&self, other: &Self) -> Vec<usize> {
        other.columns.iter().filter_map(|column| self.columns.binary_search(column).ok()).collect()
    }

    /// The rows of `records` (all columns of the source) that pass, with the shard of each by `key`; `None` where there
    /// are none.
    pub(crate) fn pass(&self, records: &RecordBatch, key: Option<&ShardKey>) -> Result<Option<Passed>> {
        let mut rows = records.project(&self.columns)?;
        let mut times = Arc::clone(records.column(self.time));
        if let Some(filter) = &self.filter {
            let wanted = filter.evaluate(records)?.into_array(records.num_rows())?;
            let wanted = wanted.as_boolean();
            if wanted.true_count() == 0 {
                return Ok(None);
            }
            rows = filter_record_batch(&rows, wanted)?;
            times = arrow::compute::filter(&times, wanted)?;
        }
        let times = times.as_primitive::<TimestampMicrosecondType>().clone();
        let shards = key.map(|key| key.of_scanned(&rows)).transpose()?;
        Ok(Passed::new(times, rows, shards.map(Shards::of)))
    }
}

impl Passed {
    fn new(times: TimestampMicrosecondArray, rows: RecordBatch, shards: Option<Shards>) -> Option<Self> {
        let earliest = arrow::compute::min(&times)?;
        let latest = arrow::compute::max(&times)?;
        Some(Self { times, rows, shards: shards.map(Arc::new), earliest, latest })
    }

    /// All rows.
    pub(crate) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// How much it is.
    pub(crate) fn stored(&self) -> Stored {
        let shards = self.shards.as_ref().map_or(0, |shards| shards.bytes());
        let bytes = self.rows.get_array_memory_size() + self.times.get_array_memory_size() + shards;
        Stored { rows: self.rows.num_rows() as u64, bytes: bytes as u64 }
    }

    /// The time of a row, in microseconds.
    pub(crate) fn time(&self, row: u32) -> i64 {
        self.times.value(row as usize)
    }

    /// The rows of all `parts`, which are not none.
    pub(crate) fn concat(parts: &[Self]) -> Result<Option<Self>> {
        let Some(first) = parts.first() else { return Ok(None) };
        let rows = concat_batches(&first.rows.schema(), parts.iter().map(|part| &part.rows))?;
        let times: Vec<&dyn Array> = parts.iter().map(|part| &part.times as &dyn Array).collect();
        let times = arrow::compute::concat(&times)?.as_primitive().clone();
        let shards: Option<Vec<&Shards>> = parts.iter().map(|part| part.shards.as_deref()).collect();
        Ok(Self::new(times, rows, shards.map(Shards::concat)))
    }

    /// The rows with `from <= time <= to`, in microseconds; `None` where there are none.
    pub(crate) fn between(&self, from: i64, to: i64) -> Result<Option<Self>> {
        if from <= self.earliest && self.latest <= to {
            return Ok(Some(self.clone()));
        }
        if to < self.earliest || self.latest < from {
            return Ok(None);
        }
        let wanted = self.are_between(from, to);
        let times = arrow::compute::filter(&self.times, &wanted)?.as_primitive().clone();
        let shards = self.shards.as_ref().map(|shards| shards.filtered(&wanted));
        Ok(Self::new(times, filter_record_batch(&self.rows, &wanted)?, shards))
    }

    /// The rows among them without their shards.
    pub(crate) fn rows_between(&self, from: i64, to: i64) -> Result<Option<RecordBatch>> {
        if from <= self.earliest && self.latest <= to {
            return Ok(Some(self.rows.clone()));
        }
        if to < self.earliest || self.latest < from {
            return Ok(None);
        }
        let wanted = self.are_between(from, to);
        Ok(if wanted.true_count() > 0 { Some(filter_record_batch(&self.rows, &wanted)?) } else { None })
    }

    fn are_between(&self, from: i64, to: i64) -> BooleanArray {
        self.times.values().iter().map(|time| Some((from..=to).contains(time))).collect()
    }

    /// The rows of the shards that are `wanted`; `None` where there are none.
    pub(crate) fn of_shards(&self, wanted: impl Fn(Shard) -> bool) -> Result<Option<Self>> {
        let Some(shards) = &self.shards else { return Ok(Some(self.clone())) };
        let wanted = shards.are(wanted);
        if wanted.true_count() == 0 {
            return Ok(None);
        }
        let times = arrow::compute::filter(&self.times, &wanted)?.as_primitive().clone();
        Ok(Self::new(times, filter_record_batch(&self.rows, &wanted)?, Some(shards.filtered(&wanted))))
    }

    /// The rows with `from <= time <= to` of the shards in `among`; `None` where there are none.
    pub(crate) fn among(&self, from: i64, to: i64, among: &FxHashSet<Shard>) -> Result<Option<RecordBatch>> {
        if to < self.earliest || self.latest < from {
            return Ok(None);
        }
        let Some(shards) = &self.shards else { return Ok(Some(self.rows.clone())) };
        let mut wanted = shards.rows_of(among);
        let times = self.times.values();
        wanted.retain(|row| (from..=to).contains(&times[*row as usize]));
        if wanted.is_empty() {
            return Ok(None);
        }
        Ok(Some(take_record_batch(&self.rows, &UInt32Array::from(wanted))?))
    }
}

/// A table of the live catalog: planning a scan of it makes a [`Feed`].
#[derive(Debug)]
pub(crate) struct LiveTable {
    source: Source,
    number: usize,
    schema: SchemaRef,
    feeds: Arc<Mutex<Vec<Feed>>>,
}

impl LiveTable {
    pub(crate) fn new(source: Source, schema: SchemaRef, feeds: Arc<Mutex<Vec<Feed>>>) -> Self {
        Self { source, number: 0, schema, feeds }
    }

    pub(crate) fn source(&self) -> Source {
        self.source
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The same table as the scan with this number reads it.
    pub(crate) fn numbered(&self, number: usize) -> Self {
        let (schema, feeds) = (Arc::clone(&self.schema), Arc::clone(&self.feeds));
        Self { source: self.source, number, schema, feeds }
    }
}

#[async_trait]
impl TableProvider for LiveTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let plain = DFSchema::try_from(Arc::clone(&self.schema))?;
        let filter = conjunction(filters.iter().cloned());
        let filter = filter.map(|filter| session.create_physical_expr(filter, &plain)).transpose()?;
        let slot = Slot::new(Arc::new(self.schema.project(&columns)?));
        let time = self.schema.index_of(self.source.time_column())?;
        let (source, number) = (self.source, self.number);
        let feed = Feed { source, number, slot: Arc::clone(&slot), sieve: Sieve { time, columns, filter } };
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).push(feed);
        slot.leaf()
    }
}
