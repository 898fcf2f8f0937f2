//! Which of a view's rows with the same key is the last, and whether it still holds.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use crate::error::{HistoryError, Result};

/// The column that orders a view's rows among their corrections: the commit's number and the row's place in it.
pub(crate) const ORDER: &str = "_order";
/// The column that says of a view's row that a late record has taken it back: there is no such row any more.
pub(crate) const WITHDRAWN: &str = "_withdrawn";
/// Bits of [`ORDER`] below the commit's number.
const ORDER_BITS: u32 = 24;

/// Rows of a view as its table notes that they no longer hold: the column `_withdrawn` is true in them.
///
/// # Errors
/// Where the view has a column of that name itself.
pub fn withdrawn(rows: &RecordBatch) -> Result<RecordBatch> {
    if rows.schema().index_of(WITHDRAWN).is_ok() {
        let reason = format!("the column `{WITHDRAWN}` is the history's own");
        return Err(HistoryError::Misfit { table: "a view's".to_owned(), reason });
    }
    with_withdrawn("a view's", rows, true)
}

/// `batch` with the column [`WITHDRAWN`].
fn with_withdrawn(table: &str, batch: &RecordBatch, value: bool) -> Result<RecordBatch> {
    let fields = batch.schema().fields().iter().cloned().collect::<Vec<_>>();
    let marked = Arc::new(Field::new(WITHDRAWN, DataType::Boolean, true));
    let column = Arc::new(BooleanArray::from(vec![value; batch.num_rows()])) as ArrayRef;
    let columns = batch.columns().iter().cloned().chain([column]).collect();
    let schema = Schema::new(fields.into_iter().chain([marked]).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).map_err(HistoryError::arrow(table))
}

/// `batches` with the columns [`WITHDRAWN`], where they do not say it themselves, and [`ORDER`] behind the others.
pub(crate) fn with_order(table: &str, batches: Vec<RecordBatch>, number: i64) -> Result<Vec<RecordBatch>> {
    let mut next = number << ORDER_BITS;
    let mut ordered = Vec::with_capacity(batches.len());
    for batch in batches {
        let says_so = batch.schema().index_of(WITHDRAWN).is_ok();
        let batch = if says_so { batch } else { with_withdrawn(table, &batch, false)? };
        let rows = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
        let order = Int64Array::from_iter_values(next..next.saturating_add(rows));
        next = next.saturating_add(rows);
        // A column of an expression may be nullable in one batch and not in the next: in a table it is.
        let fields = batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .chain([Field::new(ORDER, DataType::Int64, false)])
            .collect::<Vec<_>>();
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(order));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        ordered.push(batch.map_err(HistoryError::arrow(table))?);
    }
    Ok(ordered)
}
