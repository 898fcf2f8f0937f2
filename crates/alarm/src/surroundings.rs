//! What the site's map knows about the place of an alarm.

use hexwatch_contract::Cell;

/// Whose ground a cell is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Surroundings {
    /// The zone's name.
    pub area: Option<String>,
    /// The grid (网格) that answers for the cell.
    pub grid: Option<String>,
    /// The role of its officer.
    pub officer_role: Option<String>,
}

/// Tells a cell's surroundings; any closure of that shape does.
pub trait Locate: Send + Sync {
    /// The surroundings of `cell`, at resolution 12; empty where the map says nothing.
    fn surroundings(&self, cell: Cell) -> Surroundings;
}

impl<F: Fn(Cell) -> Surroundings + Send + Sync> Locate for F {
    fn surroundings(&self, cell: Cell) -> Surroundings {
        self(cell)
    }
}
