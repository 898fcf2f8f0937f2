//! Where records happened. Fixed devices say the same place again and again, and finding a cell costs
//! more than reading the rest of the record: each device's last answer is kept.

use std::sync::Arc;

use hexwatch_contract::site::{Place, Places};
use rustc_hash::FxHashMap;

/// Devices whose answers are kept; beyond it the memory starts anew.
const DEVICES_MAX: usize = 65_536;
/// And bytes of their names, which may be long.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// The answer to a longer name of a site is not kept.
const SITE_MAX: usize = 128;

/// What the registry says of a device, and where it last said it was.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What the device was fixed to when that was asked: another may be registered elsewhere.
    entity: Box<str>,
    pub(super) site: Option<Arc<str>>,
    pub(super) registered: Option<Place>,
    last: Option<Said>,
}

#[derive(Clone, Debug)]
struct Said {
    site: Box<str>,
    lon: u64,
    lat: u64,
    place: Option<Place>,
}

/// The registry with a memory.
pub(super) struct PlaceMemory {
    places: Arc<dyn Places>,
    numbers: FxHashMap<Box<str>, usize>,
    known: Vec<Known>,
    /// Of the names.
    bytes: usize,
}

impl PlaceMemory {
    pub(super) fn new(places: Arc<dyn Places>) -> Self {
        Self { places, numbers: FxHashMap::default(), known: Vec::new(), bytes: 0 }
    }

    /// The number under which `device`, or what it is fixed to, `entity`, is known. Good until the next call.
    pub(super) fn number(&mut self, device: &str, entity: &str) -> usize {
        if let Some(&number) = self.numbers.get(device)
            && *self.known[number].entity == *entity
        {
            return number;
        }
        if self.known.len() >= DEVICES_MAX || self.bytes >= BYTES_MAX {
            self.numbers.clear();
            self.known.clear();
            self.bytes = 0;
        }
        let site = self.places.site_of(device).or_else(|| self.places.site_of(entity));
        let registered = self.places.of_device(device).or_else(|| self.places.of_device(entity));
        self.bytes += device.len() + entity.len();
        self.known.push(Known { entity: entity.into(), site: site.map(Arc::from), registered, last: None });
        self.numbers.insert(device.into(), self.known.len() - 1);
        self.known.len() - 1
    }

    pub(super) fn known(&self, number: usize) -> &Known {
        &self.known[number]
    }

    /// The place of coordinates that a device gave in the datum of `site`.
    pub(super) fn of_coordinates(&mut self, number: usize, site: &str, lon: f64, lat: f64) -> Option<Place> {
        let known = &mut self.known[number];
        let (lon_bits, lat_bits) = (lon.to_bits(), lat.to_bits());
        if let Some(said) = &known.last
            && (said.lon, said.lat) == (lon_bits, lat_bits)
            && *said.site == *site
        {
            return said.place;
        }
        let place = self.places.of_coordinates(site, lon, lat);
        known.last =
            (site.len() <= SITE_MAX).then(|| Said { site: site.into(), lon: lon_bits, lat: lat_bits, place });
        place
    }
}
