//! What is missing, and who knows it.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use super::arrays::{always, batch_of, ints, longs, maybe, schema_of, texts, times};
use crate::event::time_type;
use crate::gap::Gap;

/// The columns of `gaps`: the fields of [`Gap`].
#[must_use]
pub fn gaps() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("topic", DataType::Utf8),
            always("partition", DataType::Int32),
            always("from_offset", DataType::Int64),
            maybe("to_offset", DataType::Int64),
            always("reason", DataType::Utf8),
            always("accepted_at", time_type()),
            always("accepted_by", DataType::Utf8),
        ])
    });
    SCHEMA.clone()
}

/// One row for each gap, by [`gaps`].
#[must_use]
pub fn gap_batch(accepted: &[Gap]) -> RecordBatch {
    let rows = || accepted.iter();
    let to_offsets: ArrayRef = Arc::new(rows().map(|gap| gap.to_offset).collect::<Int64Array>());
    let columns = vec![
        texts(rows().map(|gap| &*gap.partition.topic)),
        ints(rows().map(|gap| gap.partition.partition)),
        longs(rows().map(|gap| gap.from_offset)),
        to_offsets,
        texts(rows().map(|gap| gap.reason)),
        times(rows().map(|gap| gap.accepted_at)),
        texts(rows().map(|gap| gap.accepted_by.as_str())),
    ];
    batch_of(&gaps(), columns)
}
