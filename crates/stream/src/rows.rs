//! Result rows as values: compared, keyed and told apart, whatever their columns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, concat_batches, filter_record_batch, interleave_record_batch, take};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hexwatch_contract::event::time_type;
use rustc_hash::FxHashSet;

use crate::shard::Shard;

/// A row's columns in a form that compares bytewise.
pub(crate) type Encoded = Box<[u8]>;

/// The rows of `batch` by the columns at `columns`.
pub(crate) fn encode(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<Encoded>, ArrowError> {
    let fields =
        columns.iter().map(|column| SortField::new(batch.column(*column).data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let arrays: Vec<ArrayRef> = columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
    if arrays.is_empty() {
        return Ok(vec![Encoded::default(); batch.num_rows()]);
    }
    let rows = converter.convert_columns(&arrays)?;
    Ok(rows.iter().map(|row| row.as_ref().into()).collect())
}

/// The rows of `batch` by all columns.
pub(crate) fn encode_all(batch: &RecordBatch) -> Result<Vec<Encoded>, ArrowError> {
    encode(batch, &(0..batch.num_columns()).collect::<Vec<_>>())
}

/// A time column in microseconds, whatever its unit.
pub(crate) fn micros(array: &ArrayRef) -> Result<TimestampMicrosecondArray, ArrowError> {
    if array.data_type() == &time_type() {
        return Ok(array.as_primitive::<TimestampMicrosecondType>().clone());
    }
    Ok(cast(array, &time_type())?.as_primitive::<TimestampMicrosecondType>().clone())
}

/// One batch of `batches`, with the members of every list in order: the order in which an aggregate
/// collected them says how the rows were batched, and nothing else.
pub(crate) fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let batch = concat_batches(schema, batches)?;
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::List(_) => Ok(Arc::new(with_sorted_members(column.as_list::<i32>())?) as ArrayRef),
        _ => Ok(Arc::clone(column)),
    });
    RecordBatch::try_new(batch.schema(), columns.collect::<Result<_, ArrowError>>()?)
}

fn with_sorted_members(lists: &ListArray) -> Result<ListArray, ArrowError> {
    let DataType::List(field) = lists.data_type() else { return Ok(lists.clone()) };
    let converter = RowConverter::new(vec![SortField::new(field.data_type().clone())])?;
    let members = converter.convert_columns(&[Arc::clone(lists.values())])?;
    let mut order: Vec<u32> = (0..u32::try_from(members.num_rows()).unwrap_or(u32::MAX)).collect();
    for range in lists.offsets().windows(2) {
        let [from, to] = [range[0], range[1]].map(|at| usize::try_from(at).unwrap_or(0));
        order[from..to].sort_by(|a, b| members.row(*a as usize).cmp(&members.row(*b as usize)));
    }
    let values = take(lists.values(), &UInt32Array::from(order), None)?;
    ListArray::try_new(Arc::clone(field), lists.offsets().clone(), values, lists.nulls().cloned())
}

/// The rows of `batch` whose time, in the column `at`, lies within `[from, to]`; those without a time do not.
pub(crate) fn within(
    batch: &RecordBatch,
    at: usize,
    (from, to): (i64, i64),
) -> Result<RecordBatch, ArrowError> {
    let times = micros(batch.column(at))?;
    let wanted = times.iter().map(|time| Some(time.is_some_and(|time| (from..=to).contains(&time))));
    filter_record_batch(batch, &wanted.collect())
}

/// What a step changed in a query's result.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Rows that are new or other than before.
    pub(crate) rows: RecordBatch,
    /// Rows given before whose key has no row any more.
    pub(crate) withdrawn: RecordBatch,
}

impl Changes {
    pub(crate) fn of(rows: RecordBatch) -> Self {
        let withdrawn = RecordBatch::new_empty(rows.schema());
        Self { rows, withdrawn }
    }

    /// Those of `parts`, which are about different rows; `None` where they are none.
    pub(crate) fn joined(parts: &[Self]) -> Result<Option<Self>, ArrowError> {
        let Some(first) = parts.first() else { return Ok(None) };
        let schema = first.rows.schema();
        let rows = concat_batches(&schema, parts.iter().map(|part| &part.rows))?;
        let withdrawn = concat_batches(&schema, parts.iter().map(|part| &part.withdrawn))?;
        Ok(Some(Self { rows, withdrawn }))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.num_rows() == 0 && self.withdrawn.num_rows() == 0
    }
}

/// The changes from `before` to `after`, rows being the same thing when they agree in `key`.
pub(crate) fn changes(
    before: &RecordBatch,
    after: &RecordBatch,
    key: &[usize],
) -> Result<Changes, ArrowError> {
    let old: BTreeSet<Encoded> = encode_all(before)?.into_iter().collect();
    let keys: BTreeSet<Encoded> = encode(after, key)?.into_iter().collect();
    let fresh = encode_all(after)?.iter().map(|row| !old.contains(row)).collect::<Vec<_>>();
    let gone = encode(before, key)?.iter().map(|row| !keys.contains(row)).collect::<Vec<_>>();
    let select = |batch, wanted: Vec<bool>| filter_record_batch(batch, &wanted.into());
    Ok(Changes { rows: select(after, fresh)?, withdrawn: select(before, gone)? })
}

/// What a query has given, by result time, for as long as it can be corrected.
#[derive(Debug, Default)]
pub(crate) struct Emitted {
    rows: BTreeMap<(i64, Encoded), Given>,
}

#[derive(Debug)]
struct Given {
    key: Encoded,
    /// The rows that were given with it, and which of them it is.
    batch: Arc<RecordBatch>,
    row: usize,
    shard: Shard,
}

/// The rows of `given` in one batch.
fn gathered(given: &[Given], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if given.is_empty() {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    }
    let batches: Vec<&RecordBatch> = given.iter().map(|one| &*one.batch).collect();
    let places: Vec<(usize, usize)> = given.iter().enumerate().map(|(batch, one)| (batch, one.row)).collect();
    interleave_record_batch(&batches, &places)
}

/// What was given for result times within `[from, to]`.
fn between(from: i64, to: i64) -> std::ops::Range<(i64, Encoded)> {
    (from, Encoded::default())..(to.saturating_add(1), Encoded::default())
}

impl Emitted {
    /// Makes `fresh` what holds for result times within `ranges`, which lie apart, and returns what that changes.
    /// `at` is the column of the result time, which every row has there. Of the `shards` of each fresh row those that were
    /// looked at may be given: it holds for them alone.
    pub(crate) fn replace(
        &mut self,
        fresh: &RecordBatch,
        at: usize,
        key: &[usize],
        ranges: &[(i64, i64)],
        (shards, among): (Option<&[Shard]>, Option<&FxHashSet<Shard>>),
    ) -> Result<Changes, ArrowError> {
        let was_looked_at = |shard: &Shard| among.is_none_or(|touched| touched.contains(shard));
        let times = micros(fresh.column(at))?;
        let (encoded, keys) = (encode_all(fresh)?, encode(fresh, key)?);
        let mut now = BTreeMap::new();
        for (row, (encoded, key)) in encoded.into_iter().zip(keys).enumerate() {
            now.insert((times.value(row), encoded), (key, row));
        }
        let keys: BTreeSet<&Encoded> = now.values().map(|(key, _)| key).collect();
        let gone: Vec<_> = ranges
            .iter()
            .flat_map(|(from, to)| self.rows.range(between(*from, *to)))
            .filter(|(id, given)| was_looked_at(&given.shard) && !now.contains_key(id))
            .map(|(id, _)| id.clone())
            .collect();
        let gone: Vec<Given> = gone.into_iter().filter_map(|id| self.rows.remove(&id)).collect();
        let withdrawn: Vec<Given> = gone.into_iter().filter(|given| !keys.contains(&given.key)).collect();
        now.retain(|id, _| !self.rows.contains_key(id));
        let rows = if now.is_empty() {
            RecordBatch::new_empty(fresh.schema())
        } else {
            let places: Vec<(usize, usize)> = now.values().map(|(_, row)| (0, *row)).collect();
            interleave_record_batch(&[fresh], &places)?
        };
        // What was looked at and given before must not stay in memory for the sake of what is new.
        let batch = Arc::new(rows.clone());
        for (place, (id, (key, row))) in now.into_iter().enumerate() {
            let shard = shards.map_or(0, |shards| shards[row]);
            self.rows.insert(id, Given { key, batch: Arc::clone(&batch), row: place, shard });
        }
        Ok(Changes { rows, withdrawn: gathered(&withdrawn, &fresh.schema())? })
    }

    /// Whether anything was given for result times within `[from, to]`.
    pub(crate) fn any(&self, from: i64, to: i64) -> bool {
        self.rows.range(between(from, to)).next().is_some()
    }

    /// Forgets what can no longer be corrected.
    pub(crate) fn drop_before(&mut self, floor: i64) {
        self.rows = self.rows.split_off(&(floor, Encoded::default()));
    }
}
