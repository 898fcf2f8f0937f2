//! The tables of the SQL catalog beside the six of [`crate::event`], and the rows that hexwatch itself writes
//! to them. The schemas hold only types that the history can store: no unsigned integers, one kind of time.

mod alarms;
mod arrays;
mod gaps;
mod ledger;
mod records;
mod reference;
mod risk_cells;

use arrow::datatypes::SchemaRef;

pub use alarms::{alarm_batch, alarm_changes};
pub use arrays::{input_type, inputs_type};
pub use gaps::{gap_batch, gaps};
pub use ledger::{access_audit, audit_batch, incidents, receipts};
pub use records::{DeadLetterRows, dead_letters, late_batch, late_events};
pub use reference::{checkpoints, devices, grid_cells, grids, zones};
pub use risk_cells::{forecasts, risk_batch, risk_cells};

use crate::{Topic, event};

/// Every table of the catalog with one line for people, in the order they are listed.
pub const TABLES: &[(&str, &str)] = &[
    ("access", "doors, gates and readers"),
    ("camera_alert", "camera analytics; metadata, never video"),
    ("iot", "sensors: smoke, gas, heat, water, power"),
    ("panic", "one-key alarms"),
    ("patrol", "patrols, inspections, hazard reports"),
    ("dispatch", "receipts and legs of the agencies that respond"),
    ("risk_cells", "the risk of a cell in a window, with what it is made of"),
    ("forecasts", "expected counts of a cell, with the model that said so"),
    ("alarms", "each alarm as it stands now"),
    ("alarm_changes", "every change of every alarm, in the order of seq"),
    ("incidents", "the ledger, append-only"),
    ("receipts", "what was delivered to whom"),
    ("dead_letters", "records that could not become rows"),
    ("late_events", "rows too late to correct anything"),
    ("devices", "what stands where"),
    ("zones", "areas with a class and a calendar"),
    ("grids", "the polygons that grid officers answer for"),
    ("grid_cells", "which share of a cell lies in which grid"),
    ("checkpoints", "where patrols scan"),
    ("access_audit", "what persons have read"),
    ("gaps", "records that could not be read, and who accepted it"),
];

/// The schema of a table of the catalog; `None` where there is no such table.
#[must_use]
pub fn schema(table: &str) -> Option<SchemaRef> {
    let schema = match table {
        "risk_cells" => risk_cells(),
        "forecasts" => forecasts(),
        "alarms" | "alarm_changes" => alarm_changes(),
        "incidents" => incidents(),
        "receipts" => receipts(),
        "dead_letters" => dead_letters(),
        "late_events" => late_events(),
        "devices" => devices(),
        "zones" => zones(),
        "grids" => grids(),
        "grid_cells" => grid_cells(),
        "checkpoints" => checkpoints(),
        "access_audit" => access_audit(),
        "gaps" => gaps(),
        _ => event::schema(Topic::from_table(table)?),
    };
    Some(schema)
}

#[cfg(test)]
mod tests;
