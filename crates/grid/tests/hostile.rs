//! The files of a site folder, damaged: read, or every wrong place named. A failure names its seed:
//! `HEXWATCH_SEED=<seed> cargo test -p hexwatch-grid --test hostile <test>`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests are sentences, and a panic in one is its failure"
)]

#[path = "../../ingest/tests/hostile/mutate.rs"]
mod mutate;
#[allow(dead_code, reason = "shared with other tests, which use other parts")]
#[path = "../../ingest/tests/hostile/seeds.rs"]
mod seeds;

use std::collections::BTreeMap;

use hexwatch_grid::Site;
use mutate::Damage;

const INPUTS: u64 = 100_000;

const DEVICES: &str = "\
id,type,site,lon,lat,floor,footprint,expected_heartbeat_s,in_service,links,source,maker
door-1,door,lotus,120.1505,30.2705,1,,,true,ap-1; cam-1,,acme
ap-1,access_point,lotus,120.1505,30.2705,1,,60,,,bridge,acme
cam-1,camera,,120.1555,30.2705,,\"POLYGON ((120.155 30.27, 120.156 30.27, 120.156 30.271, 120.155 30.27))\",30,false,,,
";

const ZONES: &str = r#"{"type": "FeatureCollection", "features": [
  {"type": "Feature", "properties": {"zone": "z1", "name": "All", "class": "public", "site": "lotus"}, "geometry": {"type": "Polygon",
    "coordinates": [[[120.15,30.27],[120.156,30.27],[120.156,30.276],[120.15,30.276],[120.15,30.27]]]}},
  {"type": "Feature", "properties": {"zone": "z2", "name": "Gate"}, "geometry": {"type": "MultiPolygon",
    "coordinates": [[[[120.15,30.27],[120.151,30.27],[120.151,30.271],[120.15,30.27]]]]}}
]}"#;

const GRIDS: &str = r#"{"type": "FeatureCollection", "features": [
  {"type": "Feature", "properties": {"grid": "g", "officer_role": "o"}, "geometry": {"type": "Polygon",
    "coordinates": [[[120.15,30.27],[120.1505,30.27],[120.1505,30.2705],[120.15,30.27]]]}}
]}"#;

const WORDS: &[&str] = &[
    ",",
    "\"",
    "\"\"",
    "\n",
    "\r",
    ";",
    "0",
    "-0",
    "90",
    "-180",
    "180.0000001",
    "1e400",
    "-1e308",
    "NaN",
    "inf",
    "-inf",
    "1e-320",
    "99999999999999999999",
    "null",
    "[]",
    "{}",
    "[0,0]",
    "[1e9,1e9]",
    "[120.15,30.27]",
    "[null,1]",
    "\"x\"",
    "POLYGON",
    "MULTIPOLYGON",
    "((",
    "))",
    "EMPTY",
    "POLYGON((0 0,0 0,0 0,0 0))",
    "true",
    "maybe",
    "door-1",
    "测",
    "lon",
    "lat",
    "id",
    "type",
    "\"Point\"",
    "\"type\"",
    "\"coordinates\":[],",
    "\"geometry\":null,",
    "\"datum\":\"gcj02\",",
    "\u{feff}",
];

const BRACKETS: &[(&str, &str)] = &[("[", "]"), ("(", ")"), ("\"", "\""), ("{\"a\":", "}")];

fn read(file: &str, text: &str) {
    let files = BTreeMap::from([(file.to_owned(), text.to_owned())]);
    match Site::parse(&files) {
        Err(errors) => {
            assert!(!errors.0.is_empty(), "refused without a reason: {text}");
            let lines = text.lines().count() as u64 + 1;
            for error in &errors.0 {
                assert!(
                    !error.problem.is_empty() && !error.fix.is_empty() && error.file == file,
                    "{error} in {text}"
                );
                assert!(
                    error.line.is_none_or(|line| (1..=lines).contains(&line)),
                    "{error} of {lines} lines in {text}"
                );
            }
        }
        Ok(site) => {
            for device in site.devices() {
                let place = (-180.0..=180.0).contains(&device.lon) && (-90.0..=90.0).contains(&device.lat);
                assert!(place && !device.id.is_empty(), "{device:?} in {text}");
                let heartbeat = device.expected_heartbeat_s.unwrap_or(1.0);
                assert!(heartbeat > 0.0 && heartbeat.is_finite(), "{device:?} in {text}");
                assert_eq!(site.device(&device.id).map(|found| &found.id), Some(&device.id));
            }
            let _ = site.zone_at(120.1505, 30.2705);
        }
    }
}

fn damage(inputs: u64, file: &'static str, texts: &'static [&'static str]) {
    Damage { inputs, block: 500, texts, words: WORDS, brackets: BRACKETS }
        .each(|| (), |(), text| read(file, text));
}

#[test]
fn a_device_file_is_read_or_every_wrong_row_is_named() {
    damage(INPUTS, "devices.csv", &[DEVICES]);
}

#[test]
fn a_zone_file_is_read_or_every_wrong_feature_is_named() {
    damage(INPUTS, "zones.geojson", &[ZONES]);
}

#[test]
fn a_grid_file_is_covered_with_cells_or_refused() {
    damage(2_000, "grids.geojson", &[GRIDS]);
}
