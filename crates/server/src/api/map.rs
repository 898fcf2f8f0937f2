//! What the site looks like: its own layers, and the outlines of its cells.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexwatch_contract::Cell;
use serde::Serialize;
use serde_json::{Value, json};

use crate::serving::Serving;

/// The outlines of cells; implemented by the pipeline over the crate `grid`.
pub trait Geometry: Send + Sync {
    /// The corners of `cell` as `[lon, lat]` in degrees, the first repeated at the end; empty where it is no cell.
    fn ring(&self, cell: Cell) -> Vec<[f64; 2]>;
}

/// The site's own layers, WGS 84 throughout. Each layer is a GeoJSON `FeatureCollection`.
#[derive(Clone, Debug, Serialize)]
pub struct SiteMap {
    /// The site.
    pub site: SiteSummary,
    /// Zones, by class.
    pub zones: Value,
    /// The grids that officers answer for.
    pub grids: Value,
    /// Buildings.
    pub buildings: Value,
    /// Roads.
    pub roads: Value,
    /// Where devices stand.
    pub devices: Vec<MapDevice>,
    /// The cells of the site at resolution 11. Cells that events have reached outside of it are added.
    #[serde(skip)]
    pub cells: Vec<Cell>,
}

impl Default for SiteMap {
    fn default() -> Self {
        let empty = || json!({"type": "FeatureCollection", "features": []});
        Self {
            site: SiteSummary::default(),
            zones: empty(),
            grids: empty(),
            buildings: empty(),
            roads: empty(),
            devices: Vec::new(),
            cells: Vec::new(),
        }
    }
}

/// A site in a line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SiteSummary {
    /// Its name.
    pub name: String,
    /// Its IANA time zone.
    pub time_zone: String,
    /// West, south, east, north in degrees; `None` where the site has no extent of its own.
    pub bbox: Option<[f64; 4]>,
}

/// A device's place.
#[derive(Clone, Debug, Serialize)]
pub struct MapDevice {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Degrees.
    pub lon: f64,
    /// Degrees.
    pub lat: f64,
    /// The floor.
    pub floor: Option<i64>,
}

#[derive(Serialize)]
struct Outline {
    cell: Cell,
    ring: Vec<[f64; 2]>,
}

#[derive(Serialize)]
struct Map<'a> {
    #[serde(flatten)]
    site_map: &'a SiteMap,
    cells: Vec<Outline>,
}

pub(crate) async fn map(State(serving): State<Arc<Serving>>) -> Json<Value> {
    let app = &serving.app;
    let known = app.live.known_cells();
    let cells: BTreeSet<Cell> = app.site_map.cells.iter().copied().chain(known).collect();
    let outlines = cells.into_iter().map(|cell| Outline { cell, ring: app.geometry.ring(cell) });
    let map = Map { site_map: &app.site_map, cells: outlines.filter(|o| o.ring.len() > 3).collect() };
    // Plain data: serialising it cannot fail.
    Json(serde_json::to_value(map).unwrap_or_default())
}
