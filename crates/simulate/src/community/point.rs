//! Places in metres within the community, and in degrees on the earth.

use std::fmt;

/// The community's south-western corner, degrees WGS 84 in units of 1e-7.
const ORIGIN: Point = Point { lon_e7: 1_201_483_000, lat_e7: 302_689_000 };
/// Centimetres in a degree of longitude and of latitude at 30.27 degrees north.
const CM_PER_DEGREE: (i64, i64) = (9_619_000, 11_085_900);
/// The community is turned by eight degrees, as real ones are: cosine and sine, in 1e-4.
const TURN: (i64, i64) = (9_903, 1_392);

/// A place on the earth: degrees WGS 84 in units of 1e-7, so that it is written and compared exactly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// Degrees of longitude times 1e7.
    pub lon_e7: i64,
    /// Degrees of latitude times 1e7.
    pub lat_e7: i64,
}

impl Point {
    /// Degrees of longitude.
    #[must_use]
    pub fn lon(self) -> f64 {
        self.lon_e7 as f64 / 1e7
    }

    /// Degrees of latitude.
    #[must_use]
    pub fn lat(self) -> f64 {
        self.lat_e7 as f64 / 1e7
    }
}

/// Writes `lon<separator>lat`, seven digits after the point.
pub(crate) fn write_degrees(out: &mut impl fmt::Write, point: Point, separator: char) {
    let degrees = |e7: i64| (e7 / 10_000_000, e7 % 10_000_000);
    let ((lon, lon_rest), (lat, lat_rest)) = (degrees(point.lon_e7), degrees(point.lat_e7));
    let _ = write!(out, "{lon}.{lon_rest:07}{separator}{lat}.{lat_rest:07}");
}

/// A place within the community: centimetres east and north of its corner, before the turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot {
    pub(crate) x: i64,
    pub(crate) y: i64,
}

impl Spot {
    /// Metres east and north.
    pub(crate) const fn metres(x: i64, y: i64) -> Self {
        Self { x: x * 100, y: y * 100 }
    }

    /// Moved by centimetres.
    pub(crate) const fn by(self, x: i64, y: i64) -> Self {
        Self { x: self.x + x, y: self.y + y }
    }

    pub(crate) const fn point(self) -> Point {
        let (cos, sin) = TURN;
        let east = (self.x * cos - self.y * sin) / 10_000;
        let north = (self.x * sin + self.y * cos) / 10_000;
        Point {
            lon_e7: ORIGIN.lon_e7 + east * 10_000_000 / CM_PER_DEGREE.0,
            lat_e7: ORIGIN.lat_e7 + north * 10_000_000 / CM_PER_DEGREE.1,
        }
    }

    /// Whether `other` lies within `metres`.
    pub(crate) const fn within(self, other: Self, metres: i64) -> bool {
        let (x, y, reach) = (self.x - other.x, self.y - other.y, metres * 100);
        x * x + y * y <= reach * reach
    }

    /// Metres on foot: along x, then along y, as paths between slabs go.
    pub(crate) const fn walk_to(self, other: Self) -> i64 {
        ((self.x - other.x).abs() + (self.y - other.y).abs()) / 100
    }
}

/// A rectangle in metres: its south-western corner, width and depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) corner: Spot,
    pub(crate) width: i64,
    pub(crate) depth: i64,
}

impl Area {
    pub(crate) const fn metres(x: i64, y: i64, width: i64, depth: i64) -> Self {
        Self { corner: Spot::metres(x, y), width: width * 100, depth: depth * 100 }
    }

    /// Its corners, counter-clockwise, the first again at the end.
    pub(crate) fn ring(self) -> Vec<Point> {
        let (w, d) = (self.width, self.depth);
        [(0, 0), (w, 0), (w, d), (0, d), (0, 0)].map(|(x, y)| self.corner.by(x, y).point()).to_vec()
    }

    /// The same with its corners cut: a pond.
    pub(crate) fn octagon(self) -> Vec<Point> {
        let (w, d, cut) = (self.width, self.depth, self.depth.min(self.width) / 3);
        [
            (cut, 0),
            (w - cut, 0),
            (w, cut),
            (w, d - cut),
            (w - cut, d),
            (cut, d),
            (0, d - cut),
            (0, cut),
            (cut, 0),
        ]
        .map(|(x, y)| self.corner.by(x, y).point())
        .to_vec()
    }

    pub(crate) const fn shifted(self, by: Spot) -> Self {
        Self { corner: self.corner.by(by.x, by.y), ..self }
    }
}
