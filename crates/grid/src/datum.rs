//! WGS 84, and the two datums of published Chinese maps. GCJ-02 shifts a point by some hundred metres with a
//! formula that is known and has no closed inverse; BD-09 shifts it once more.

use std::f64::consts::PI;

use hexwatch_contract::site::Datum;

/// The semi-major axis of the Krasovsky ellipsoid, metres.
const AXIS: f64 = 6_378_245.0;
/// Its first eccentricity, squared.
const ECCENTRICITY_SQUARED: f64 = 0.006_693_421_622_965_943;
/// Baidu's frequency.
const BAIDU: f64 = PI * 3000.0 / 180.0;
/// The inverse converges by a factor of thousands each turn; three are exact, the rest is margin.
const TURNS: usize = 6;

/// A point in degrees: (lon, lat).
pub type Point = (f64, f64);

/// A point of `datum` in WGS 84.
#[must_use]
pub fn to_wgs84(datum: Datum, point: Point) -> Point {
    match datum {
        Datum::Wgs84 => point,
        Datum::Gcj02 => invert(gcj02_of_wgs84, point),
        Datum::Bd09 => invert(gcj02_of_wgs84, invert(bd09_of_gcj02, point)),
    }
}

/// A point of WGS 84 in `datum`.
#[must_use]
pub fn from_wgs84(datum: Datum, point: Point) -> Point {
    match datum {
        Datum::Wgs84 => point,
        Datum::Gcj02 => gcj02_of_wgs84(point),
        Datum::Bd09 => bd09_of_gcj02(gcj02_of_wgs84(point)),
    }
}

/// The point that `forward` maps to `target`, by repeated correction.
fn invert(forward: impl Fn(Point) -> Point, target: Point) -> Point {
    let mut guess = target;
    for _ in 0..TURNS {
        let reached = forward(guess);
        guess = (guess.0 + target.0 - reached.0, guess.1 + target.1 - reached.1);
    }
    guess
}

/// The rectangle within which the shift is applied.
fn is_shifted((lon, lat): Point) -> bool {
    (72.004..=137.8347).contains(&lon) && (0.8293..=55.8271).contains(&lat)
}

fn gcj02_of_wgs84((lon, lat): Point) -> Point {
    if !is_shifted((lon, lat)) {
        return (lon, lat);
    }
    let (x, y) = (lon - 105.0, lat - 35.0);
    let radians = lat.to_radians();
    let flattening = 1.0 - ECCENTRICITY_SQUARED * radians.sin().powi(2);
    let meridian = AXIS * (1.0 - ECCENTRICITY_SQUARED) / (flattening * flattening.sqrt());
    let parallel = AXIS / flattening.sqrt() * radians.cos();
    (lon + (shift_east(x, y) / parallel).to_degrees(), lat + (shift_north(x, y) / meridian).to_degrees())
}

/// Two thirds of a sum of sines, the shape of every wave in the shift.
fn waves(sines: [(f64, f64); 2]) -> f64 {
    sines.iter().map(|(height, angle)| height * angle.sin()).sum::<f64>() * 2.0 / 3.0
}

/// Metres to the north.
fn shift_north(x: f64, y: f64) -> f64 {
    -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + waves([(20.0, 6.0 * x * PI), (20.0, 2.0 * x * PI)])
        + waves([(20.0, y * PI), (40.0, y / 3.0 * PI)])
        + waves([(160.0, y / 12.0 * PI), (320.0, y * PI / 30.0)])
}

/// Metres to the east.
fn shift_east(x: f64, y: f64) -> f64 {
    300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + waves([(20.0, 6.0 * x * PI), (20.0, 2.0 * x * PI)])
        + waves([(20.0, x * PI), (40.0, x / 3.0 * PI)])
        + waves([(150.0, x / 12.0 * PI), (300.0, x / 30.0 * PI)])
}

fn bd09_of_gcj02((lon, lat): Point) -> Point {
    let radius = lon.hypot(lat) + 0.000_02 * (lat * BAIDU).sin();
    let angle = lat.atan2(lon) + 0.000_003 * (lon * BAIDU).cos();
    (radius * angle.cos() + 0.0065, radius * angle.sin() + 0.006)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Metres between two near points.
    fn metres(one: Point, other: Point) -> f64 {
        let east = (one.0 - other.0) * 111_320.0 * one.1.to_radians().cos();
        east.hypot((one.1 - other.1) * 110_574.0)
    }

    #[test]
    fn the_shift_is_the_published_one() {
        // Tian'anmen, as the open implementations of the formula give it.
        let (lon, lat) = from_wgs84(Datum::Gcj02, (116.404, 39.915));
        assert!((lon - 116.410_244_499).abs() < 1e-6 && (lat - 39.916_404_281).abs() < 1e-6, "{lon} {lat}");
        let (lon, lat) = bd09_of_gcj02((116.404, 39.915));
        assert!((lon - 116.410_369_497).abs() < 1e-6 && (lat - 39.921_336_993).abs() < 1e-6, "{lon} {lat}");
    }

    #[test]
    fn outside_of_china_nothing_moves() {
        assert_eq!(from_wgs84(Datum::Gcj02, (-75.3, 40.1)), (-75.3, 40.1));
    }

    proptest! {
        #[test]
        fn there_and_back_is_less_than_a_metre(lon in 73.0..137.0_f64, lat in 2.0..55.0_f64) {
            for datum in [Datum::Wgs84, Datum::Gcj02, Datum::Bd09] {
                let back = to_wgs84(datum, from_wgs84(datum, (lon, lat)));
                prop_assert!(metres(back, (lon, lat)) < 1.0, "{datum:?} {back:?}");
            }
        }
    }
}
