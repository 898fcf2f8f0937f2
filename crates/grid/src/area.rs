//! A polygon or several on the earth, WGS 84: read from GeoJSON or WKT, and covered with cells.

use std::fmt::Write as _;

use geo::{
    Area as _, BooleanOps as _, BoundingRect as _, Contains as _, LineString, MultiPolygon, Point, Polygon,
};
use h3o::geom::{ContainmentMode, TilerBuilder};
use hexwatch_contract::Cell;
use serde_json::Value;

use crate::cell::{CELLS_MAX, resolution_at, wrap};
use crate::datum;
use crate::outline;

/// One or more polygons, in degrees.
#[derive(Clone, PartialEq, Debug)]
pub struct Area(MultiPolygon);

/// Why a geometry is no area.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidArea {
    /// Neither a polygon nor several.
    #[error("the geometry is `{0}`; write a Polygon or a MultiPolygon")]
    Kind(String),
    /// A position that is not two numbers.
    #[error("a position is not a pair of numbers; write [lon, lat]")]
    Position,
    /// A ring with too few positions, or outside the range of degrees.
    #[error("a ring needs four positions or more, the last like the first, within -180..180 and -90..90")]
    Ring,
    /// More cells than anybody can look at.
    #[error(
        "the area holds more than {CELLS_MAX} cells at resolution {0}; split it, or take a coarser resolution"
    )]
    TooLarge(u8),
    /// A resolution that there is not.
    #[error("{0} is not a resolution from 0 to 15")]
    Resolution(u8),
}

impl Area {
    /// From a GeoJSON geometry in `datum`.
    pub fn from_geojson(
        geometry: &Value,
        datum: hexwatch_contract::site::Datum,
    ) -> Result<Self, InvalidArea> {
        let kind = geometry["type"].as_str().unwrap_or("absent");
        let coordinates = &geometry["coordinates"];
        let polygons = match kind {
            "Polygon" => vec![rings_of(coordinates, datum)?],
            "MultiPolygon" => {
                items(coordinates)?.iter().map(|part| rings_of(part, datum)).collect::<Result<_, _>>()?
            }
            other => return Err(InvalidArea::Kind(other.to_owned())),
        };
        Self::new(polygons)
    }

    /// From a WKT `POLYGON` or `MULTIPOLYGON` in `datum`.
    pub fn from_wkt(text: &str, datum: hexwatch_contract::site::Datum) -> Result<Self, InvalidArea> {
        let start = text.find('(').unwrap_or(text.len());
        let kind = text[..start].trim().to_ascii_uppercase();
        let depth = match kind.as_str() {
            "POLYGON" => 2,
            "MULTIPOLYGON" => 3,
            _ => return Err(InvalidArea::Kind(kind.chars().take(40).collect())),
        };
        Self::new(wkt_polygons(&text[start..], depth, datum)?)
    }

    fn new(polygons: Vec<Polygon>) -> Result<Self, InvalidArea> {
        let is_ring = |ring: &LineString| {
            ring.0.len() >= 4
                && ring.is_closed()
                && ring.0.iter().all(|at| (-180.0..=180.0).contains(&at.x) && (-90.0..=90.0).contains(&at.y))
        };
        let all_rings =
            polygons.iter().flat_map(|polygon| [polygon.exterior()].into_iter().chain(polygon.interiors()));
        if polygons.is_empty() || !all_rings.into_iter().all(is_ring) {
            return Err(InvalidArea::Ring);
        }
        Ok(Self(MultiPolygon(polygons)))
    }

    /// Whether a point in degrees lies inside.
    #[must_use]
    pub fn contains(&self, lon: f64, lat: f64) -> bool {
        self.0.contains(&Point::new(lon, lat))
    }

    /// Its size in square degrees: good for comparing areas of one place, and for nothing else.
    #[must_use]
    pub fn extent(&self) -> f64 {
        self.0.unsigned_area()
    }

    /// The cells at `res` that it touches, each with the share of the cell's own area that it covers,
    /// in the order of the cells. A cell that it only touches at its edge is left out.
    pub fn coverage(&self, res: u8) -> Result<Vec<(Cell, f64)>, InvalidArea> {
        let mut cells = self.cells(res, ContainmentMode::Covers)?;
        cells.retain(|(_, share)| *share > 0.0);
        Ok(cells)
    }

    /// The cells at `res` whose centre lies inside, in the order of the cells.
    pub fn cells_within(&self, res: u8) -> Result<Vec<Cell>, InvalidArea> {
        Ok(self.tile(res, ContainmentMode::ContainsCentroid)?.into_iter().map(|(cell, _)| cell).collect())
    }

    fn cells(&self, res: u8, mode: ContainmentMode) -> Result<Vec<(Cell, f64)>, InvalidArea> {
        let tiled = self.tile(res, mode)?;
        let share = |cell: Cell| {
            let outline = outline::polygon(cell);
            let whole = outline.unsigned_area();
            if whole > 0.0 {
                (self.0.intersection(&outline).unsigned_area() / whole).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        Ok(tiled.into_iter().map(|(cell, inside)| (cell, if inside { 1.0 } else { share(cell) })).collect())
    }

    /// Cells, and whether one polygon alone holds them whole. Each polygon is tiled by itself: a small one
    /// inside a single cell is overlooked beside a large one.
    fn tile(&self, res: u8, mode: ContainmentMode) -> Result<Vec<(Cell, bool)>, InvalidArea> {
        let resolution = resolution_at(res).ok_or(InvalidArea::Resolution(res))?;
        let mut cells = Vec::new();
        for polygon in &self.0 {
            let mut tiler = TilerBuilder::new(resolution).containment_mode(mode).build();
            tiler.add(polygon.clone()).map_err(|_| InvalidArea::Ring)?;
            if tiler.coverage_size_hint() as u64 > CELLS_MAX {
                return Err(InvalidArea::TooLarge(res));
            }
            cells.extend(
                tiler.into_annotated_coverage().map(|found| (wrap(found.cell), found.is_fully_contained)),
            );
        }
        cells.sort_unstable_by_key(|(cell, inside)| (*cell, !inside));
        cells.dedup_by_key(|(cell, _)| *cell);
        Ok(cells)
    }

    /// The smallest rectangle around it: west, south, east, north in degrees.
    #[must_use]
    pub fn bounds(&self) -> Option<[f64; 4]> {
        let bounds = self.0.bounding_rect()?;
        Some([bounds.min().x, bounds.min().y, bounds.max().x, bounds.max().y])
    }

    /// As WKT.
    #[must_use]
    pub fn to_wkt(&self) -> String {
        let ring = |ring: &LineString| {
            let mut text = String::from("(");
            for (number, at) in ring.0.iter().enumerate() {
                let _ = write!(text, "{}{} {}", if number == 0 { "" } else { ", " }, at.x, at.y);
            }
            text + ")"
        };
        let polygon = |polygon: &Polygon| {
            let rings: Vec<_> =
                [polygon.exterior()].into_iter().chain(polygon.interiors()).map(ring).collect();
            format!("({})", rings.join(", "))
        };
        match self.0.0.as_slice() {
            [single] => format!("POLYGON {}", polygon(single)),
            several => {
                format!("MULTIPOLYGON ({})", several.iter().map(polygon).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn items(value: &Value) -> Result<&[Value], InvalidArea> {
    value.as_array().map(Vec::as_slice).ok_or(InvalidArea::Ring)
}

fn rings_of(rings: &Value, datum: hexwatch_contract::site::Datum) -> Result<Polygon, InvalidArea> {
    let position = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([lon, lat, ..]) => Some(datum::to_wgs84(datum, (lon.as_f64()?, lat.as_f64()?))),
        _ => None,
    };
    let ring = |value: &Value| -> Result<LineString, InvalidArea> {
        let positions = items(value)?.iter().map(|at| position(at).ok_or(InvalidArea::Position));
        Ok(LineString::from(positions.collect::<Result<Vec<_>, _>>()?))
    };
    polygon_of(items(rings)?.iter().map(ring).collect::<Result<_, _>>()?)
}

fn polygon_of(mut rings: Vec<LineString>) -> Result<Polygon, InvalidArea> {
    if rings.is_empty() {
        return Err(InvalidArea::Ring);
    }
    // `Polygon::new` would close an open ring in silence; whoever forgot the last corner shall hear of it.
    if rings.iter().any(|ring| !ring.is_closed()) {
        return Err(InvalidArea::Ring);
    }
    let exterior = rings.remove(0);
    Ok(Polygon::new(exterior, rings))
}

/// The polygons of `((x y, ...), (...))` at `depth` 2, of `(((x y, ...)), ...)` at 3.
fn wkt_polygons(
    text: &str,
    depth: usize,
    datum: hexwatch_contract::site::Datum,
) -> Result<Vec<Polygon>, InvalidArea> {
    let (mut level, mut ring, mut rings, mut polygons) = (0, String::new(), Vec::new(), Vec::new());
    for character in text.chars() {
        match character {
            '(' => level += 1,
            ')' if level == depth => {
                rings.push(wkt_ring(&ring, datum)?);
                ring.clear();
                level -= 1;
            }
            ')' if level == 0 => return Err(InvalidArea::Ring),
            ')' => {
                if level == depth - 1 {
                    polygons.push(polygon_of(std::mem::take(&mut rings))?);
                }
                level -= 1;
            }
            other if level == depth => ring.push(other),
            ',' => {}
            other if other.is_whitespace() => {}
            _ => return Err(InvalidArea::Position),
        }
        if level > depth {
            return Err(InvalidArea::Ring);
        }
    }
    if level == 0 { Ok(polygons) } else { Err(InvalidArea::Ring) }
}

fn wkt_ring(text: &str, datum: hexwatch_contract::site::Datum) -> Result<LineString, InvalidArea> {
    let position = |text: &str| {
        let mut numbers = text.split_whitespace().map(str::parse::<f64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(lon)), Some(Ok(lat))) => Ok(datum::to_wgs84(datum, (lon, lat))),
            _ => Err(InvalidArea::Position),
        }
    };
    Ok(LineString::from(text.split(',').map(position).collect::<Result<Vec<_>, _>>()?))
}

#[cfg(test)]
mod tests {
    use hexwatch_contract::site::Datum;
    use serde_json::json;

    use super::*;
    use crate::cell::{cell_at, parse};

    const SQUARE: &str = "POLYGON ((120.15 30.27, 120.16 30.27, 120.16 30.28, 120.15 30.28, 120.15 30.27))";

    fn square() -> Area {
        Area::from_wkt(SQUARE, Datum::Wgs84).unwrap()
    }

    #[test]
    fn wkt_and_geojson_say_the_same_area() {
        let ring =
            json!([[120.15, 30.27], [120.16, 30.27], [120.16, 30.28], [120.15, 30.28], [120.15, 30.27]]);
        let polygon =
            Area::from_geojson(&json!({"type": "Polygon", "coordinates": [ring]}), Datum::Wgs84).unwrap();
        assert_eq!(polygon, square());
        assert_eq!(Area::from_wkt(&polygon.to_wkt(), Datum::Wgs84).unwrap(), polygon);
    }

    #[test]
    fn broken_polygons_are_refused_and_not_repaired() {
        for text in [
            "",
            "POINT (1 2)",
            "POLYGON",
            "POLYGON ((1 2, 3 4, 1 2))",
            "POLYGON ((1 2, 3 4, 5 6, 7 8))",
            "POLYGON ((a b))",
            "POLYGON (((0 0, 1 0, 1 1, 0 0)))",
            "POLYGON ((0 0, 1 0, 1 1, 0 0)",
            "POLYGON ))((",
            "POLYGON ((0 0, 400 0, 1 1, 0 0))",
        ] {
            assert!(Area::from_wkt(text, Datum::Wgs84).is_err(), "{text}");
        }
    }

    #[test]
    fn the_shares_of_a_coverage_add_up_to_the_area() {
        let area = square();
        let covered: f64 = area
            .coverage(11)
            .unwrap()
            .into_iter()
            .map(|(cell, share)| share * outline::polygon(cell).unsigned_area())
            .sum();
        assert!((covered / area.extent() - 1.0).abs() < 1e-6, "{covered} of {}", area.extent());
    }

    #[test]
    fn an_area_inside_one_cell_is_covered_by_that_cell() {
        let tiny = "POLYGON ((120.155 30.274, 120.15501 30.274, 120.15501 30.27401, 120.155 30.274))";
        let coverage = Area::from_wkt(tiny, Datum::Wgs84).unwrap().coverage(9).unwrap();
        assert_eq!(coverage.len(), 1);
        assert_eq!(Some(coverage[0].0), cell_at(120.155, 30.274, 9));
        assert!(coverage[0].1 > 0.0 && coverage[0].1 < 0.01);
    }

    #[test]
    fn cells_within_have_their_centre_inside() {
        let area = square();
        for cell in area.cells_within(10).unwrap() {
            let (lon, lat) = crate::cell::center(cell).unwrap();
            assert!(area.contains(lon, lat));
        }
        assert_eq!(area.cells_within(16), Err(InvalidArea::Resolution(16)));
        assert!(parse("8c2a1072b59ffff").is_none_or(|cell| !area.cells_within(10).unwrap().contains(&cell)));
    }
}
