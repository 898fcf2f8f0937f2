//! The site's registry: what stands where, and who answers for it. Read from a site folder by the crate
//! `grid` (parsing) and the binary (files).

use serde::{Deserialize, Serialize};

use crate::Cell;

/// The datum of a site's coordinates; converted to WGS 84 once, when a record or file is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datum {
    /// WGS 84.
    #[default]
    Wgs84,
    /// The Chinese national datum for published maps.
    Gcj02,
    /// Baidu's.
    Bd09,
}

/// A device of the registry (`devices.csv`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Its id, as records name it.
    pub id: String,
    /// `door`, `access_point`, `camera`, `smoke`, `heat`, `ch4`, `gateway`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// The site.
    pub site: String,
    /// Degrees, WGS 84.
    pub lon: f64,
    /// Degrees, WGS 84.
    pub lat: f64,
    /// The floor.
    pub floor: Option<i64>,
    /// A camera's field of view, WKT polygon.
    pub footprint: Option<String>,
    /// Seconds between signs of life; `None`: none is expected.
    pub expected_heartbeat_s: Option<f64>,
    /// Whether it is in service.
    pub in_service: bool,
    /// Devices it belongs to or watches.
    pub links: Vec<String>,
    /// The source its records name, where they name one.
    pub source: Option<String>,
}

/// A place found for a record.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place {
    /// Degrees, WGS 84.
    pub lon: f64,
    /// Degrees, WGS 84.
    pub lat: f64,
    /// The floor.
    pub floor: Option<i64>,
    /// At [`crate::cell::EVENT_RESOLUTION`].
    pub cell: Cell,
}

/// Finds places for records; implemented by the crate `grid` over a site folder.
pub trait Places: Send + Sync {
    /// Where the registry says `device` is, with its cell; `None` where it is not registered.
    fn of_device(&self, device: &str) -> Option<Place>;
    /// Which site the registry says `device` belongs to.
    fn site_of(&self, device: &str) -> Option<&str>;
    /// The place of a record's own coordinates, given in the datum of `site`; `None` outside the valid range.
    fn of_coordinates(&self, site: &str, lon: f64, lat: f64) -> Option<Place>;
}
