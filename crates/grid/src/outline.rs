//! The outlines of cells, for maps and for SQL.

use std::fmt::Write as _;

use geo::{LineString, Polygon};
use hexwatch_contract::Cell;
use serde_json::{Value, json};

use crate::cell::index;

/// The corners of `cell` as `[lon, lat]` in degrees, the first repeated at the end; empty where it is no cell.
#[must_use]
pub fn ring(cell: Cell) -> Vec<[f64; 2]> {
    let Some(index) = index(cell) else { return Vec::new() };
    let boundary = index.boundary();
    boundary.iter().chain(boundary.first()).map(|corner| [corner.lng(), corner.lat()]).collect()
}

/// `cell` as a WKT polygon; `None` where it is no cell.
#[must_use]
pub fn wkt(cell: Cell) -> Option<String> {
    let ring = ring(cell);
    if ring.is_empty() {
        return None;
    }
    let mut text = String::from("POLYGON ((");
    for (number, [lon, lat]) in ring.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        // Six decimals are 11 cm, as DuckDB's h3 extension writes them.
        let _ = write!(text, "{comma}{lon:.6} {lat:.6}");
    }
    text.push_str("))");
    Some(text)
}

/// `cells` as a GeoJSON `FeatureCollection` of polygons with the property `cell`; what is no cell is left out.
#[must_use]
pub fn geojson(cells: &[Cell]) -> Value {
    let features = cells.iter().filter_map(|cell| {
        let ring = ring(*cell);
        (!ring.is_empty()).then(|| {
            json!({
                "type": "Feature",
                "properties": { "cell": cell },
                "geometry": { "type": "Polygon", "coordinates": [ring] },
            })
        })
    });
    json!({ "type": "FeatureCollection", "features": features.collect::<Vec<_>>() })
}

pub(crate) fn polygon(cell: Cell) -> Polygon {
    let corners: Vec<(f64, f64)> = ring(cell).into_iter().map(|[lon, lat]| (lon, lat)).collect();
    Polygon::new(LineString::from(corners), Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::cell_at;

    #[test]
    fn an_outline_is_closed_and_goes_by_lon_and_lat() {
        let cell = cell_at(120.1551, 30.2741, 11).unwrap();
        let ring = ring(cell);
        assert_eq!(ring.len(), 7);
        assert_eq!(ring.first(), ring.last());
        assert!(ring.iter().all(|[lon, lat]| (lon - 120.155).abs() < 0.01 && (lat - 30.274).abs() < 0.01));
        assert!(wkt(cell).unwrap().starts_with("POLYGON ((120.15"));
        assert_eq!(geojson(&[cell, Cell::from_index(1)])["features"].as_array().unwrap().len(), 1);
    }
}
