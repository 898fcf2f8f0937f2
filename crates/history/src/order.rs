//! Which of a view's rows with the same key is the last.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use crate::error::{HistoryError, Result};

/// The column that orders a view's rows among their corrections: the commit's number and the row's place in it.
pub(crate) const ORDER: &str = "_order";
/// Bits of [`ORDER`] below the commit's number.
const ORDER_BITS: u32 = 24;

/// `batches` with the column [`ORDER`] behind the others.
pub(crate) fn with_order(table: &str, batches: Vec<RecordBatch>, number: i64) -> Result<Vec<RecordBatch>> {
    let mut next = number << ORDER_BITS;
    let mut ordered = Vec::with_capacity(batches.len());
    for batch in batches {
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
