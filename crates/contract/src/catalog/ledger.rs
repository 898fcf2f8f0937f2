//! What people did, and what was delivered to them: `incidents`, `receipts`, `access_audit`.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use super::arrays::{always, batch_of, counts, maybe, maybe_texts, schema_of, texts, times};
use crate::audit::Audit;
use crate::event::time_type;

/// The columns of `incidents`: one row for each entry of the ledger, never changed. `op` is `open`, `merge`,
/// `link_alarm`, `classify`, `note`, `sop_step`, `assign`, `resolve`, `close`, `reopen` or `review`.
#[must_use]
pub fn incidents() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("incident", DataType::Utf8),
            always("site", DataType::Utf8),
            always("at", time_type()),
            always("op", DataType::Utf8),
            maybe("class", DataType::Utf8),
            maybe("alarm_id", DataType::Utf8),
            maybe("occurred_at", time_type()),
            maybe("cell", DataType::Int64),
            maybe("cause", DataType::Utf8),
            maybe("outcome", DataType::Utf8),
            maybe("note", DataType::Utf8),
            maybe("opened_at", time_type()),
            maybe("resolved_at", time_type()),
            maybe("closed_at", time_type()),
            maybe("actor_ref", DataType::Utf8),
            maybe("confirmed", DataType::Boolean),
            maybe("review_due_at", time_type()),
        ])
    });
    SCHEMA.clone()
}

/// The columns of `receipts`: when change `seq` of an alarm was delivered to `destination` and read there.
#[must_use]
pub fn receipts() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("destination", DataType::Utf8),
            always("site", DataType::Utf8),
            always("alarm_id", DataType::Utf8),
            always("seq", DataType::Int64),
            maybe("delivered", time_type()),
            maybe("read", time_type()),
        ])
    });
    SCHEMA.clone()
}

/// The columns of `access_audit`: the fields of [`Audit`].
#[must_use]
pub fn access_audit() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("at", time_type()),
            always("who", DataType::Utf8),
            always("role", DataType::Utf8),
            maybe("purpose", DataType::Utf8),
            always("what", DataType::Utf8),
            always("rows", DataType::Int64),
        ])
    });
    SCHEMA.clone()
}

/// One row for each read, by [`access_audit`].
#[must_use]
pub fn audit_batch(reads: &[Audit]) -> RecordBatch {
    let rows = || reads.iter();
    let columns = vec![
        times(rows().map(|read| read.at)),
        texts(rows().map(|read| read.who.as_str())),
        texts(rows().map(|read| read.role.as_str())),
        maybe_texts(rows().map(|read| read.purpose.as_deref())),
        texts(rows().map(|read| read.what.as_str())),
        counts(rows().map(|read| read.rows)),
    ];
    batch_of(&access_audit(), columns)
}
