//! Which cell a place lies in.

use hexwatch_contract::Cell;
use hexwatch_contract::cell::{EVENT_RESOLUTION, RISK_RESOLUTION};
use hexwatch_grid::cell::{cell_at, parent};

use super::point::Point;

#[allow(clippy::expect_used, reason = "the community stands on the earth, and these resolutions exist")]
pub(crate) fn event_cell(point: Point) -> Cell {
    cell_at(point.lon(), point.lat(), EVENT_RESOLUTION).expect("a place of the community has a cell")
}

#[allow(clippy::expect_used, reason = "an event cell has a parent at the coarser risk resolution")]
pub(crate) fn risk_cell(cell: Cell) -> Cell {
    parent(cell, RISK_RESOLUTION).expect("an event cell has a parent")
}
