//! The names of the SQL catalog, and the folders behind them.

use arrow::datatypes::{DataType, Schema, SchemaRef};
use hexwatch_contract::catalog;

use crate::checkpoint::Checkpoint;
use crate::order::ORDER;
use crate::storable::storable_schema;
use crate::table_name::{ALARM_CHANGES, COMMITS, RISK_CELLS, VIEW_PREFIX};

const RISK_REVISIONS: &str = "risk_cell_revisions";
const REVISIONS_SUFFIX: &str = "_revisions";

/// The tables that are there before anything is written.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    catalog::TABLES.iter().map(|(name, _)| *name).chain([RISK_REVISIONS, COMMITS])
}

/// A table that shows the last row of each key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Latest {
    /// The folder of all rows.
    pub(crate) folder: String,
    /// The columns that identify a row among its corrections; empty: the table's own property says.
    pub(crate) key: Vec<String>,
    /// The largest is the last.
    pub(crate) order: &'static str,
    /// The order of a row that nothing came before, where all keys begin with the same one.
    pub(crate) first: Option<i64>,
}

/// How `name` shows the last row of each key; `None` where it shows all rows.
pub(crate) fn latest(name: &str) -> Option<Latest> {
    let latest = |folder: &str, key: &[&str], order, first| {
        let key = key.iter().map(|column| (*column).to_owned()).collect();
        Some(Latest { folder: folder.to_owned(), key, order, first })
    };
    match name {
        "alarms" => latest(ALARM_CHANGES, &["alarm_id"], "seq", None),
        RISK_CELLS => latest(RISK_CELLS, &["cell", "window_end"], "rev", Some(0)),
        _ if name.starts_with(VIEW_PREFIX) && !name.ends_with(REVISIONS_SUFFIX) => {
            latest(name, &[], ORDER, None)
        }
        _ => None,
    }
}

/// The folder of the table that shows all rows under `name`.
pub(crate) fn folder_of(name: &str) -> &str {
    match name {
        RISK_REVISIONS => RISK_CELLS,
        _ if name.starts_with(VIEW_PREFIX) => name.strip_suffix(REVISIONS_SUFFIX).unwrap_or(name),
        _ => name,
    }
}

/// The name that shows all rows of the view's table `name`.
pub(crate) fn revisions_of(name: &str) -> String {
    format!("{name}{REVISIONS_SUFFIX}")
}

/// The columns of the table in `folder`, where they are known before it is written.
pub(crate) fn schema(folder: &str) -> Option<SchemaRef> {
    let schema = if folder == COMMITS { Checkpoint::schema() } else { catalog::schema(folder)? };
    Some(storable_schema(&schema))
}

/// The column by which rows are replayed.
pub(crate) fn time_column(schema: &Schema) -> Option<&'static str> {
    const TIMES: [&str; 8] = [
        "time",
        "changed_at",
        "window_end",
        "at",
        "refused_at",
        "committed_at",
        "accepted_at",
        "window_start",
    ];
    TIMES.into_iter().find(|name| {
        schema.field_with_name(name).is_ok_and(|field| matches!(field.data_type(), DataType::Timestamp(..)))
    })
}
