//! Cells by h3o's verbs. `None` answers a value that is no cell, or a resolution that does not fit.

use h3o::{CellIndex, LatLng, Resolution};
use hexwatch_contract::Cell;

/// How many cells a single answer may hold: a careless resolution asks for billions.
pub const CELLS_MAX: u64 = 1_000_000;

pub(crate) fn index(cell: Cell) -> Option<CellIndex> {
    CellIndex::try_from(cell.index()).ok()
}

pub(crate) fn wrap(index: CellIndex) -> Cell {
    Cell::from_index(index.into())
}

pub(crate) fn resolution_at(res: u8) -> Option<Resolution> {
    Resolution::try_from(res).ok()
}

/// Whether `lon` and `lat`, degrees, are a place: within range, finite, and not the (0, 0) of a device that
/// does not know where it is.
#[must_use]
pub fn is_place(lon: f64, lat: f64) -> bool {
    (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat) && (lon, lat) != (0.0, 0.0)
}

/// The cell at resolution `res` that holds a point in degrees.
#[must_use]
pub fn cell_at(lon: f64, lat: f64, res: u8) -> Option<Cell> {
    if !(-180.0..=180.0).contains(&lon) || !(-90.0..=90.0).contains(&lat) {
        return None;
    }
    Some(wrap(LatLng::new(lat, lon).ok()?.to_cell(resolution_at(res)?)))
}

/// `index` as a cell, if it is one.
#[must_use]
pub fn checked(index: i64) -> Option<Cell> {
    let cell = Cell::from_i64(index);
    self::index(cell).map(|_| cell)
}

/// A cell from its hex digits.
#[must_use]
pub fn parse(text: &str) -> Option<Cell> {
    let cell = Cell::from_index(u64::from_str_radix(text, 16).ok()?);
    index(cell).map(|_| cell)
}

/// The resolution of `cell`.
#[must_use]
pub fn resolution(cell: Cell) -> Option<u8> {
    index(cell).map(|index| index.resolution().into())
}

/// The centre of `cell` as (lon, lat) in degrees.
#[must_use]
pub fn center(cell: Cell) -> Option<(f64, f64)> {
    let center = LatLng::from(index(cell)?);
    Some((center.lng(), center.lat()))
}

/// The cell at the coarser resolution `res` that `cell` belongs to; itself at its own.
#[must_use]
pub fn parent(cell: Cell, res: u8) -> Option<Cell> {
    index(cell)?.parent(resolution_at(res)?).map(wrap)
}

/// The cells at the finer resolution `res` that belong to `cell`; `None` also for more than [`CELLS_MAX`].
#[must_use]
pub fn children(cell: Cell, res: u8) -> Option<Vec<Cell>> {
    let (index, res) = (index(cell)?, resolution_at(res)?);
    if res < index.resolution() || index.children_count(res) > CELLS_MAX {
        return None;
    }
    Some(index.children(res).map(wrap).collect())
}

/// All cells within `k` steps of `cell`, itself included; `None` also for more than [`CELLS_MAX`].
#[must_use]
pub fn disk(cell: Cell, k: u32) -> Option<Vec<Cell>> {
    let k = u64::from(k);
    if k.checked_mul(k + 1).is_none_or(|half| 3 * half + 1 > CELLS_MAX) {
        return None;
    }
    let mut cells: Vec<Cell> = index(cell)?.grid_disk_safe(u32::try_from(k).ok()?).map(wrap).collect();
    cells.sort_unstable();
    Some(cells)
}

/// How many steps `to` is away from `from`; `None` where that cannot be said (other resolution, too far).
#[must_use]
pub fn distance(from: Cell, to: Cell) -> Option<i64> {
    if from == to {
        return index(from).map(|_| 0);
    }
    index(from)?.grid_distance(index(to)?).ok().map(i64::from)
}

/// Whether both are the same cell, or neighbours.
#[must_use]
pub fn are_same_or_neighbours(one: Cell, other: Cell) -> bool {
    one == other
        || matches!((index(one), index(other)), (Some(a), Some(b)) if a.is_neighbor_with(b) == Ok(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LON: f64 = 120.1551;
    const LAT: f64 = 30.2741;

    #[test]
    fn a_point_lies_in_the_parent_of_its_cell() {
        let fine = cell_at(LON, LAT, 12).unwrap();
        assert_eq!(resolution(fine), Some(12));
        let coarse = parent(fine, 11).unwrap();
        assert!(children(coarse, 12).unwrap().contains(&fine));
        assert_eq!(children(coarse, 12).unwrap().len(), 7);
    }

    #[test]
    fn known_cells_are_found_as_h3_names_them() {
        assert_eq!(
            cell_at(-122.418_307_270_836, 37.775_205_944_792, 9).unwrap().to_string(),
            "8928308280fffff"
        );
        assert_eq!(parse("8928308280fffff").unwrap().to_string(), "8928308280fffff");
        assert_eq!(parse("zz"), None);
        assert_eq!(parse("1"), None);
    }

    #[test]
    fn a_disk_holds_the_cell_and_its_six_neighbours() {
        let cell = cell_at(LON, LAT, 12).unwrap();
        let disk = disk(cell, 1).unwrap();
        assert_eq!(disk.len(), 7);
        for other in disk {
            assert!(are_same_or_neighbours(cell, other));
            assert!(distance(cell, other).unwrap() <= 1);
        }
        assert!(super::disk(cell, 100_000).is_none());
    }

    #[test]
    fn nonsense_is_answered_with_none() {
        assert_eq!(cell_at(f64::NAN, LAT, 12), None);
        assert_eq!(cell_at(LON, 91.0, 12), None);
        assert_eq!(cell_at(LON, LAT, 16), None);
        assert_eq!(checked(-1), None);
        assert_eq!(parent(Cell::from_index(7), 3), None);
        assert_eq!(children(cell_at(LON, LAT, 1).unwrap(), 15), None);
        assert!(!is_place(0.0, 0.0));
    }
}
