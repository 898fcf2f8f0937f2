//! The site's registry: parsed from the texts of a site folder's files, and asked by all who place records.

mod devices;
mod error;
mod features;
mod places;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hexwatch_contract::Cell;
use hexwatch_contract::cell::{EVENT_RESOLUTION, RISK_RESOLUTION};
use hexwatch_contract::risk::GridShare;
use hexwatch_contract::site::{Datum, Device, Place};
use serde_json::Value;

pub use error::{FileError, SiteErrors};

use crate::area::Area;
use crate::cell;
use crate::share::{GridCell, grid_cells};
use features::{empty_collection, parse_grids, parse_layer, parse_sites, parse_zones};

/// The files of a site folder that [`Site::parse`] reads. None of them has to be there.
pub const FILES: [&str; 6] =
    ["sites.geojson", "zones.geojson", "grids.geojson", "buildings.geojson", "roads.geojson", "devices.csv"];

/// The site of records and files that name none, where the registry does not know better.
pub const DEFAULT_SITE: &str = "default";

/// A feature of `sites.geojson`.
#[derive(Clone, PartialEq, Debug)]
pub struct SiteInfo {
    /// Its id.
    pub site: String,
    /// Its name for people.
    pub name: String,
    /// Its IANA time zone.
    pub time_zone: String,
    /// The datum of its coordinates, in files and records.
    pub datum: Datum,
    /// Where it lies, WGS 84.
    pub area: Option<Area>,
}

/// A feature of `zones.geojson`.
#[derive(Clone, PartialEq, Debug)]
pub struct Zone {
    /// Its id.
    pub zone: String,
    /// Its name for people.
    pub name: String,
    /// What kind of zone it is.
    pub class: Option<String>,
    /// The calendar that says when it is open.
    pub calendar: Option<String>,
    /// The site.
    pub site: String,
    /// Where it lies, WGS 84.
    pub area: Area,
}

/// A feature of `grids.geojson`: the polygon a grid officer answers for.
#[derive(Clone, PartialEq, Debug)]
pub struct Grid {
    /// Its id.
    pub grid: String,
    /// Its name for people.
    pub name: String,
    /// The role of its officer.
    pub officer_role: Option<String>,
    /// The site.
    pub site: String,
    /// Where it lies, WGS 84.
    pub area: Area,
}

/// A site folder, or several sites in one. The default is an empty registry, with which everything works.
#[derive(Clone, Default, Debug)]
pub struct Site {
    sites: Vec<SiteInfo>,
    zones: Vec<Zone>,
    grids: Vec<Grid>,
    devices: Vec<Device>,
    layers: BTreeMap<&'static str, Value>,
    places: HashMap<String, (usize, Option<Place>)>,
    links: HashMap<String, BTreeSet<String>>,
    grid_cells: Vec<GridCell>,
    accountable: HashMap<Cell, usize>,
}

impl Site {
    /// The registry of a site folder, `files` being the texts of those of [`FILES`] that are there, by name.
    /// Other names are ignored.
    ///
    /// # Errors
    /// All wrong rows and features of all files, each with file, line, field and what to do.
    pub fn parse(files: &BTreeMap<String, String>) -> Result<Self, SiteErrors> {
        let mut errors = Vec::new();
        let text = |name: &str| files.get(name).map(String::as_str);
        let mut layers = BTreeMap::new();
        let sites = parse_sites(text("sites.geojson"), &mut errors);
        let zones = parse_zones(text("zones.geojson"), &sites, &mut layers, &mut errors);
        let grids = parse_grids(text("grids.geojson"), &sites, &mut layers, &mut errors);
        for (layer, file) in [("buildings", "buildings.geojson"), ("roads", "roads.geojson")] {
            parse_layer(layer, file, text(file), &sites, &mut layers, &mut errors);
        }
        let devices = devices::parse(text("devices.csv"), &sites, &mut errors);
        let mut site = Self { sites, zones, grids, devices, layers, ..Self::default() };
        site.index(&mut errors);
        if errors.is_empty() { Ok(site) } else { Err(SiteErrors(errors)) }
    }

    fn index(&mut self, errors: &mut Vec<FileError>) {
        for (number, device) in self.devices.iter().enumerate() {
            let place = cell::cell_at(device.lon, device.lat, EVENT_RESOLUTION).map(|cell| Place {
                lon: device.lon,
                lat: device.lat,
                floor: device.floor,
                cell,
            });
            self.places.insert(device.id.clone(), (number, place));
            for other in &device.links {
                self.links.entry(device.id.clone()).or_default().insert(other.clone());
                self.links.entry(other.clone()).or_default().insert(device.id.clone());
            }
        }
        for res in [RISK_RESOLUTION, EVENT_RESOLUTION] {
            match grid_cells(self.grids.iter().map(|grid| (grid.grid.as_str(), &grid.area)), res) {
                Ok(cells) => self.index_grid_cells(cells, res),
                Err(error) => {
                    errors.push(FileError::whole("grids.geojson", error.to_string(), "draw smaller grids"));
                }
            }
        }
    }

    fn index_grid_cells(&mut self, cells: Vec<GridCell>, res: u8) {
        for row in cells.iter().filter(|row| row.accountable) {
            if let Some(number) = self.grids.iter().position(|grid| grid.grid == row.grid) {
                self.accountable.insert(row.cell, number);
            }
        }
        if res == RISK_RESOLUTION {
            self.grid_cells = cells;
        }
    }

    /// The sites.
    #[must_use]
    pub fn sites(&self) -> &[SiteInfo] {
        &self.sites
    }

    /// The zones.
    #[must_use]
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// The grids.
    #[must_use]
    pub fn grids(&self) -> &[Grid] {
        &self.grids
    }

    /// The devices, in the order of the file.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device `id`.
    #[must_use]
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.places.get(id).map(|(number, _)| &self.devices[*number])
    }

    /// The devices linked to `id`, whichever of the two names the other.
    pub fn linked(&self, id: &str) -> impl Iterator<Item = &str> {
        self.links.get(id).into_iter().flatten().map(String::as_str)
    }

    /// Which share of each cell at resolution 11 lies in which grid; shares of a cell sum to 1.
    #[must_use]
    pub fn grid_cells(&self) -> &[GridCell] {
        &self.grid_cells
    }

    /// The shares of one cell at resolution 11, as a risk row carries them.
    #[must_use]
    pub fn shares_of(&self, cell: Cell) -> Vec<GridShare> {
        let start = self.grid_cells.partition_point(|row| row.cell < cell);
        let rows = self.grid_cells[start..].iter().take_while(|row| row.cell == cell);
        rows.map(|row| GridShare { grid: row.grid.clone(), share: row.share }).collect()
    }

    /// The grid whose officer answers for `cell`, at resolution 11 or 12.
    #[must_use]
    pub fn grid_of(&self, cell: Cell) -> Option<&Grid> {
        let number = self
            .accountable
            .get(&cell)
            .or_else(|| self.accountable.get(&cell::parent(cell, RISK_RESOLUTION)?));
        number.map(|number| &self.grids[*number])
    }

    /// The zone that holds a point in degrees, WGS 84; of several the smallest.
    #[must_use]
    pub fn zone_at(&self, lon: f64, lat: f64) -> Option<&Zone> {
        let holding = self.zones.iter().filter(|zone| zone.area.contains(lon, lat));
        holding.min_by(|one, other| one.area.extent().total_cmp(&other.area.extent()))
    }

    /// The name of the zone at the centre of `cell`.
    #[must_use]
    pub fn area_of(&self, cell: Cell) -> Option<&str> {
        let (lon, lat) = cell::center(cell)?;
        self.zone_at(lon, lat).map(|zone| zone.name.as_str())
    }

    /// The cells of the site at resolution 11, in order: those that zones and grids cover, and those of devices.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let zones =
            self.zones.iter().map(|zone| &zone.area).filter_map(|area| area.coverage(RISK_RESOLUTION).ok());
        let mut cells: BTreeSet<Cell> = zones.flatten().map(|(cell, _)| cell).collect();
        cells.extend(self.grid_cells.iter().map(|row| row.cell));
        let places = self.places.values().filter_map(|(_, place)| *place);
        cells.extend(places.filter_map(|place| cell::parent(place.cell, RISK_RESOLUTION)));
        cells.into_iter().collect()
    }

    /// The map layer `zones`, `grids`, `buildings` or `roads` as a GeoJSON `FeatureCollection` in WGS 84; empty
    /// where there is no such file.
    #[must_use]
    pub fn layer(&self, name: &str) -> Value {
        self.layers.get(name).cloned().unwrap_or_else(empty_collection)
    }
}

#[cfg(test)]
mod tests;
