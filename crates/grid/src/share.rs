//! Which share of a cell lies in which grid. Cells do not nest in grids, and somebody has to answer for each.

use std::collections::BTreeMap;

use hexwatch_contract::Cell;

use crate::area::{Area, InvalidArea};

/// A grid's share of a cell. The shares of a cell sum to 1, and exactly one of them is accountable.
#[derive(Clone, PartialEq, Debug)]
pub struct GridCell {
    /// The cell.
    pub cell: Cell,
    /// The grid.
    pub grid: String,
    /// Its share of what grids cover of the cell, above 0, 1 at most.
    pub share: f64,
    /// Whether its officer answers for the cell: the largest share, and of equal ones the first name.
    pub accountable: bool,
}

/// The cells at `res` of all `grids` (name, area), in the order of cell and grid.
pub fn grid_cells<'a>(
    grids: impl IntoIterator<Item = (&'a str, &'a Area)>,
    res: u8,
) -> Result<Vec<GridCell>, InvalidArea> {
    let mut by_cell: BTreeMap<Cell, BTreeMap<&str, f64>> = BTreeMap::new();
    for (grid, area) in grids {
        for (cell, share) in area.coverage(res)? {
            *by_cell.entry(cell).or_default().entry(grid).or_default() += share;
        }
    }
    Ok(by_cell.into_iter().flat_map(|(cell, covered)| shares_of(cell, &covered)).collect())
}

fn shares_of(cell: Cell, covered: &BTreeMap<&str, f64>) -> Vec<GridCell> {
    let whole: f64 = covered.values().sum();
    let mut rows: Vec<GridCell> = covered
        .iter()
        .map(|(grid, share)| GridCell {
            cell,
            grid: (*grid).to_owned(),
            share: share / whole,
            accountable: false,
        })
        .collect();
    // Strictly larger wins, and the rows stand in the order of names.
    let largest =
        (1..rows.len()).fold(0, |best, next| if rows[next].share > rows[best].share { next } else { best });
    if let Some(row) = rows.get_mut(largest) {
        row.accountable = true;
    }
    rows
}

#[cfg(test)]
mod tests {
    use hexwatch_contract::site::Datum;
    use proptest::prelude::*;

    use super::*;

    fn rectangle(west: f64, south: f64, east: f64, north: f64) -> Area {
        let wkt = format!(
            "POLYGON (({west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}))"
        );
        Area::from_wkt(&wkt, Datum::Wgs84).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_shares_of_a_cell_sum_to_one_and_one_officer_answers(
            cut in 0.0005..0.0045_f64, overlap in 0.0..0.001_f64, west in 120.0..120.1_f64,
        ) {
            let (left, right) = (rectangle(west, 30.0, west + cut + overlap, 30.003),
                rectangle(west + cut, 30.0, west + 0.005, 30.003));
            let cells = grid_cells([("b", &right), ("a", &left)], 11).unwrap();
            let mut sums: BTreeMap<Cell, (f64, usize)> = BTreeMap::new();
            for row in &cells {
                prop_assert!(row.share > 0.0 && row.share <= 1.0);
                let sum = sums.entry(row.cell).or_default();
                sum.0 += row.share;
                sum.1 += usize::from(row.accountable);
            }
            for (cell, (sum, accountable)) in sums {
                prop_assert!((sum - 1.0).abs() < 1e-9, "{cell}: {sum}");
                prop_assert_eq!(accountable, 1);
            }
        }
    }

    #[test]
    fn of_equal_shares_the_first_name_answers() {
        let area = rectangle(120.0, 30.0, 120.002, 30.002);
        let cells = grid_cells([("south", &area), ("north", &area)], 11).unwrap();
        assert!(!cells.is_empty());
        assert!(cells.iter().all(|row| row.accountable == (row.grid == "north")));
    }
}
