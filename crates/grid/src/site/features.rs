//! The GeoJSON files of a site folder. Each feature's coordinates are in the datum of its site.

use std::collections::BTreeMap;

use hexwatch_contract::site::Datum;
use serde_json::{Value, json};

use super::{DEFAULT_SITE, FileError, Grid, SiteInfo, Zone};
use crate::area::Area;
use crate::datum::to_wgs84;

type Layers = BTreeMap<&'static str, Value>;

/// A feature with what is needed to say where it stands.
struct Feature<'a> {
    file: &'a str,
    line: u64,
    value: Value,
}

impl Feature<'_> {
    fn error(&self, field: &str, problem: impl Into<String>, fix: &str) -> FileError {
        FileError::whole(self.file, problem, fix).at(self.line).field(field)
    }

    fn text(&self, name: &str) -> Option<String> {
        match &self.value["properties"][name] {
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn required(&self, name: &str) -> Result<String, FileError> {
        self.text(name).ok_or_else(|| self.error(name, "the property is missing", "give the feature one"))
    }

    /// The site it names, else the only one there is.
    fn site(&self, sites: &[SiteInfo]) -> String {
        self.text("site").unwrap_or_else(|| only_site(sites))
    }

    fn area(&self, datum: Datum) -> Result<Area, FileError> {
        Area::from_geojson(&self.value["geometry"], datum)
            .map_err(|error| self.error("geometry", error.to_string(), "mend the geometry"))
    }
}

/// The site of whatever names none.
pub(super) fn only_site(sites: &[SiteInfo]) -> String {
    match sites {
        [only] => only.site.clone(),
        _ => DEFAULT_SITE.to_owned(),
    }
}

pub(super) fn datum_of(sites: &[SiteInfo], site: &str) -> Datum {
    sites.iter().find(|info| info.site == site).map_or(Datum::Wgs84, |info| info.datum)
}

pub(super) fn empty_collection() -> Value {
    json!({ "type": "FeatureCollection", "features": [] })
}

fn features<'a>(file: &'a str, text: Option<&str>, errors: &mut Vec<FileError>) -> Vec<Feature<'a>> {
    let Some(text) = text else { return Vec::new() };
    let text = text.trim_start_matches('\u{feff}');
    let mut value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let line = u64::try_from(error.line()).unwrap_or(0);
            errors.push(FileError::whole(file, format!("not JSON: {error}"), "mend the file").at(line));
            return Vec::new();
        }
    };
    let Some(Value::Array(features)) = value.get_mut("features").map(Value::take) else {
        errors.push(FileError::whole(file, "not a GeoJSON FeatureCollection", "give it `features`, a list"));
        return Vec::new();
    };
    let mut lines = feature_lines(text);
    features.into_iter().map(|value| Feature { file, line: lines.next().unwrap_or(1), value }).collect()
}

/// The lines on which features say that they are some.
fn feature_lines(text: &str) -> impl Iterator<Item = u64> {
    (1..).zip(text.lines()).flat_map(|(line, text)| text.match_indices("\"Feature\"").map(move |_| line))
}

/// What `make` makes of each feature; the refused and those that repeat an id are among `errors`.
fn parse_all<T>(
    features: &[Feature<'_>],
    id_name: &str,
    id: impl Fn(&T) -> &str,
    errors: &mut Vec<FileError>,
    make: impl Fn(&Feature<'_>) -> Result<T, FileError>,
) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for feature in features {
        match make(feature) {
            Ok(one) if kept.iter().any(|other| id(other) == id(&one)) => {
                errors.push(feature.error(
                    id_name,
                    format!("`{}` is there twice", id(&one)),
                    "keep one of them",
                ));
            }
            Ok(one) => kept.push(one),
            Err(error) => errors.push(error),
        }
    }
    kept
}

pub(super) fn parse_sites(text: Option<&str>, errors: &mut Vec<FileError>) -> Vec<SiteInfo> {
    let features = features("sites.geojson", text, errors);
    parse_all(
        &features,
        "site",
        |info: &SiteInfo| &info.site,
        errors,
        |feature| {
            let site = feature.required("site")?;
            let datum =
                match feature.text("crs").map(|crs| crs.to_ascii_lowercase().replace('-', "")).as_deref() {
                    None | Some("wgs84" | "epsg:4326") => Datum::Wgs84,
                    Some("gcj02") => Datum::Gcj02,
                    Some("bd09") => Datum::Bd09,
                    Some(other) => {
                        let problem = format!("`{other}` is not a known datum");
                        return Err(feature.error("crs", problem, "write wgs84, gcj02 or bd09"));
                    }
                };
            let area = if feature.value["geometry"].is_object()
                && feature.value["geometry"]["type"].as_str().is_some_and(|kind| kind.ends_with("Polygon"))
            {
                Some(feature.area(datum)?)
            } else {
                None
            };
            let name = feature.text("name").unwrap_or_else(|| site.clone());
            let time_zone = feature.text("time_zone").unwrap_or_else(|| "UTC".to_owned());
            Ok(SiteInfo { site, name, time_zone, datum, area })
        },
    )
}

pub(super) fn parse_zones(
    text: Option<&str>,
    sites: &[SiteInfo],
    layers: &mut Layers,
    errors: &mut Vec<FileError>,
) -> Vec<Zone> {
    let features = features("zones.geojson", text, errors);
    layers.insert("zones", collection(&features, sites));
    parse_all(
        &features,
        "zone",
        |zone: &Zone| &zone.zone,
        errors,
        |feature| {
            let (zone, site) = (feature.required("zone")?, feature.site(sites));
            let name = feature.text("name").unwrap_or_else(|| zone.clone());
            let area = feature.area(datum_of(sites, &site))?;
            Ok(Zone {
                zone,
                name,
                class: feature.text("class"),
                calendar: feature.text("calendar"),
                site,
                area,
            })
        },
    )
}

pub(super) fn parse_grids(
    text: Option<&str>,
    sites: &[SiteInfo],
    layers: &mut Layers,
    errors: &mut Vec<FileError>,
) -> Vec<Grid> {
    let features = features("grids.geojson", text, errors);
    layers.insert("grids", collection(&features, sites));
    parse_all(
        &features,
        "grid",
        |grid: &Grid| &grid.grid,
        errors,
        |feature| {
            let (grid, site) = (feature.required("grid")?, feature.site(sites));
            let name = feature.text("name").unwrap_or_else(|| grid.clone());
            let area = feature.area(datum_of(sites, &site))?;
            Ok(Grid { grid, name, officer_role: feature.text("officer_role"), site, area })
        },
    )
}

/// A layer that is shown and not understood.
pub(super) fn parse_layer(
    layer: &'static str,
    file: &str,
    text: Option<&str>,
    sites: &[SiteInfo],
    layers: &mut Layers,
    errors: &mut Vec<FileError>,
) {
    let features = features(file, text, errors);
    layers.insert(layer, collection(&features, sites));
}

fn collection(features: &[Feature<'_>], sites: &[SiteInfo]) -> Value {
    let converted = features.iter().map(|feature| {
        let mut value = feature.value.clone();
        let datum = datum_of(sites, &feature.site(sites));
        if datum != Datum::Wgs84 {
            convert(&mut value["geometry"]["coordinates"], datum);
        }
        value
    });
    json!({ "type": "FeatureCollection", "features": converted.collect::<Vec<_>>() })
}

/// Converts every position in nested lists of them.
fn convert(coordinates: &mut Value, datum: Datum) {
    let Value::Array(items) = coordinates else { return };
    let position = items.first().and_then(Value::as_f64).zip(items.get(1).and_then(Value::as_f64));
    match position {
        Some(point) => {
            let (lon, lat) = to_wgs84(datum, point);
            items[0] = lon.into();
            items[1] = lat.into();
        }
        None => items.iter_mut().for_each(|item| convert(item, datum)),
    }
}
