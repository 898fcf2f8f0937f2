//! The tables of the SQL catalog that hexwatch itself writes, beside the six of [`crate::event`].

mod alarms;
mod records;
mod reference;
mod risk_cells;

pub use alarms::{alarm_batch, alarm_changes};
pub use records::{dead_letter_batch, dead_letters, late_events};
pub use reference::{devices, grid_cells, grids, zones};
pub use risk_cells::{risk_batch, risk_cells};
