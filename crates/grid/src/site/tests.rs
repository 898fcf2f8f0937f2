use hexwatch_contract::site::Places;

use super::*;
use crate::datum::from_wgs84;

const SITES: &str = r#"{"type": "FeatureCollection", "features": [
  {"type": "Feature", "geometry": null, "properties": {"site": "lotus", "name": "Lotus", "time_zone": "Asia/Shanghai"}}
]}"#;

const ZONES: &str = r#"{"type": "FeatureCollection", "features": [
  {"type": "Feature", "properties": {"zone": "z1", "name": "All", "class": "public"}, "geometry": {"type": "Polygon",
    "coordinates": [[[120.15,30.27],[120.156,30.27],[120.156,30.276],[120.15,30.276],[120.15,30.27]]]}},
  {"type": "Feature", "properties": {"zone": "z2", "name": "Gate", "class": "gate"}, "geometry": {"type": "Polygon",
    "coordinates": [[[120.15,30.27],[120.151,30.27],[120.151,30.271],[120.15,30.271],[120.15,30.27]]]}}
]}"#;

const GRIDS: &str = r#"{"type": "FeatureCollection", "features": [
  {"type": "Feature", "properties": {"grid": "g-west", "officer_role": "officer-west"}, "geometry": {"type": "Polygon",
    "coordinates": [[[120.15,30.27],[120.153,30.27],[120.153,30.276],[120.15,30.276],[120.15,30.27]]]}},
  {"type": "Feature", "properties": {"grid": "g-east", "officer_role": "officer-east"}, "geometry": {"type": "Polygon",
    "coordinates": [[[120.153,30.27],[120.156,30.27],[120.156,30.276],[120.153,30.276],[120.153,30.27]]]}}
]}"#;

const DEVICES: &str = "\
id,type,site,lon,lat,floor,footprint,expected_heartbeat_s,in_service,links,source,maker
door-1,door,lotus,120.1505,30.2705,1,,,true,ap-1; cam-1,,acme
ap-1,access_point,lotus,120.1505,30.2705,1,,60,,,bridge,acme
cam-1,camera,,120.1555,30.2705,,\"POLYGON ((120.155 30.27, 120.156 30.27, 120.156 30.271, 120.155 30.27))\",30,false,,,
";

fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn lotus() -> Site {
    let pairs = [
        ("sites.geojson", SITES),
        ("zones.geojson", ZONES),
        ("grids.geojson", GRIDS),
        ("devices.csv", DEVICES),
    ];
    Site::parse(&files(&pairs)).unwrap()
}

fn errors(pairs: &[(&str, &str)]) -> Vec<String> {
    Site::parse(&files(pairs)).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_registered_device_has_a_place_a_cell_and_a_site() {
    let site = lotus();
    let place = site.of_device("ap-1").unwrap();
    assert_eq!(place.floor, Some(1));
    assert_eq!(Some(place.cell), cell::cell_at(120.1505, 30.2705, 12));
    assert_eq!(site.site_of("cam-1"), Some("lotus"));
    assert!(!site.device("cam-1").unwrap().in_service);
    assert_eq!(site.of_device("nobody"), None);
}

#[test]
fn links_are_known_from_both_ends() {
    let site = lotus();
    assert_eq!(site.linked("door-1").collect::<Vec<_>>(), ["ap-1", "cam-1"]);
    assert_eq!(site.linked("ap-1").collect::<Vec<_>>(), ["door-1"]);
    assert_eq!(site.linked("nobody").count(), 0);
}

#[test]
fn the_smallest_zone_names_an_area() {
    let site = lotus();
    assert_eq!(site.zone_at(120.1505, 30.2705).unwrap().zone, "z2");
    assert_eq!(site.zone_at(120.155, 30.275).unwrap().zone, "z1");
    assert!(site.zone_at(10.0, 10.0).is_none());
    assert_eq!(site.area_of(cell::cell_at(120.155, 30.275, 12).unwrap()), Some("All"));
}

#[test]
fn every_cell_of_the_site_has_one_grid_that_answers() {
    let site = lotus();
    let place = site.of_device("door-1").unwrap();
    assert_eq!(site.grid_of(place.cell).unwrap().officer_role.as_deref(), Some("officer-west"));
    let cells = site.cells();
    assert!(cells.len() > 100, "{} cells", cells.len());
    for cell in site.grid_cells().iter().map(|row| row.cell) {
        assert!(site.grid_of(cell).is_some());
        let whole: f64 = site.shares_of(cell).iter().map(|share| share.share).sum();
        assert!((whole - 1.0).abs() < 1e-9);
        assert!(cells.contains(&cell));
    }
}

#[test]
fn a_site_in_gcj02_is_converted_once() {
    let (lon, lat) = from_wgs84(Datum::Gcj02, (120.1505, 30.2705));
    let sites = SITES.replace("\"name\"", "\"crs\": \"gcj02\", \"name\"");
    let devices = format!("id,type,lon,lat\nap-1,access_point,{lon},{lat}\n");
    let site = Site::parse(&files(&[("sites.geojson", &sites), ("devices.csv", &devices)])).unwrap();
    let (registered, said) =
        (site.of_device("ap-1").unwrap(), site.of_coordinates("lotus", lon, lat).unwrap());
    assert!((registered.lon - 120.1505).abs() < 1e-6 && (registered.lat - 30.2705).abs() < 1e-6);
    assert!((said.lon - registered.lon).abs() < 1e-9);
    assert!((site.of_coordinates("elsewhere", lon, lat).unwrap().lon - lon).abs() < 1e-12);
}

#[test]
fn impossible_coordinates_have_no_place() {
    let site = Site::default();
    for (lon, lat) in [(0.0, 0.0), (181.0, 1.0), (1.0, -90.5), (f64::NAN, 1.0)] {
        assert_eq!(site.of_coordinates("s", lon, lat), None);
    }
    assert!(site.of_coordinates("s", 120.0, 30.0).is_some());
}

#[test]
fn a_folder_without_files_is_an_empty_registry() {
    let site = Site::parse(&BTreeMap::new()).unwrap();
    assert!(site.devices().is_empty() && site.cells().is_empty());
    assert_eq!(site.layer("zones")["features"].as_array().unwrap().len(), 0);
}

#[test]
fn all_wrong_rows_are_named_by_file_line_and_field_at_once() {
    let text = "id,type,lon,lat,floor,expected_heartbeat_s,in_service\n\
        a,door,200,30,,,\n,door,120,30,x,,\nb,door,120,30,,-5,maybe\nb2,door,120\nc,door,120,30,,,\nc,door,120,30,,,\n";
    let found = errors(&[("devices.csv", text)]);
    for expected in [
        "devices.csv:2: `lon`: (200, 30) is not a place",
        "devices.csv:3: `id`: the field is empty",
        "devices.csv:3: `floor`: `x`",
        "devices.csv:4: `expected_heartbeat_s`: `-5`",
        "devices.csv:4: `in_service`: `maybe`",
        "devices.csv:5: the row has 3 fields",
        "devices.csv:7: `id`: `c` is already on line 6",
    ] {
        assert!(found.iter().any(|error| error.starts_with(expected)), "{expected} is not in {found:#?}");
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn a_wrong_feature_is_named_by_its_line() {
    let text = "{\"type\": \"FeatureCollection\", \"features\": [\n\
        {\"type\": \"Feature\", \"properties\": {\"zone\": \"z\"}, \"geometry\": {\"type\": \"Point\", \"coordinates\": [1, 2]}},\n\
        {\"type\": \"Feature\", \"properties\": {}, \"geometry\": null}]}";
    let found = errors(&[("zones.geojson", text), ("grids.geojson", "{"), ("devices.csv", "id,lon\n")]);
    for expected in [
        "zones.geojson:2: `geometry`: the geometry is `Point`",
        "zones.geojson:3: `zone`: the property is missing",
        "grids.geojson:1: not JSON",
        "devices.csv:1: `type`: the column is missing",
        "devices.csv:1: `lat`: the column is missing",
    ] {
        assert!(found.iter().any(|error| error.starts_with(expected)), "{expected} is not in {found:#?}");
    }
}
