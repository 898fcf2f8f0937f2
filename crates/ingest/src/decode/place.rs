//! Where records happened. Fixed devices say the same place again and again, and finding a cell costs
//! more than reading the rest of the record: each device's last answer is kept.

use std::sync::Arc;

use hexwatch_contract::site::{Place, Places};
use rustc_hash::FxHashMap;

/// Devices whose answers are kept; beyond it the memory starts anew.
const DEVICES_MAX: usize = 65_536;
/// And bytes of their names, which may be long.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Sites that are kept, and the longest of their names: answers for others are not.
const SITES_MAX: usize = 4_096;
const SITE_MAX: usize = 128;

/// What the registry says of a device, and where it last said it was.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What the device was fixed to when that was asked, where it was not itself: another may be registered elsewhere.
    entity: Option<Box<str>>,
    pub(super) site: Option<Arc<str>>,
    pub(super) registered: Option<Place>,
    last: Option<Said>,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    /// The number of the site.
    site: usize,
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
    /// Numbers of sites, and that of the last one. What devices said is held against numbers: a name beside each device
    /// would be far away in memory.
    sites: FxHashMap<Box<str>, usize>,
    last_site: (String, usize),
}

impl Known {
    fn is_fixed_to(&self, device: &str, entity: &str) -> bool {
        self.entity.as_deref().unwrap_or(device) == entity
    }
}

impl PlaceMemory {
    pub(super) fn new(places: Arc<dyn Places>) -> Self {
        Self {
            places,
            numbers: FxHashMap::default(),
            known: Vec::new(),
            bytes: 0,
            sites: FxHashMap::from_iter([(Box::default(), 0)]),
            last_site: (String::new(), 0),
        }
    }

    /// The number under which `device`, or what it is fixed to, `entity`, is known. Good until the next call.
    pub(super) fn number(&mut self, device: &str, entity: &str) -> usize {
        if let Some(&number) = self.numbers.get(device)
            && self.known[number].is_fixed_to(device, entity)
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
        let entity = (entity != device).then(|| entity.into());
        self.known.push(Known { entity, site: site.map(Arc::from), registered, last: None });
        self.numbers.insert(device.into(), self.known.len() - 1);
        self.known.len() - 1
    }

    pub(super) fn known(&self, number: usize) -> &Known {
        &self.known[number]
    }

    /// The place of coordinates that a device gave in the datum of `site`.
    pub(super) fn of_coordinates(&mut self, number: usize, site: &str, lon: f64, lat: f64) -> Option<Place> {
        let site_number = self.site_number(site);
        let known = &mut self.known[number];
        let (lon_bits, lat_bits) = (lon.to_bits(), lat.to_bits());
        if let Some(said) = &known.last
            && (said.lon, said.lat) == (lon_bits, lat_bits)
            && Some(said.site) == site_number
        {
            return said.place;
        }
        let place = self.places.of_coordinates(site, lon, lat);
        known.last = site_number.map(|site| Said { site, lon: lon_bits, lat: lat_bits, place });
        place
    }

    /// The number of `site`, which is given where it has none; `None` where there is no room for it.
    fn site_number(&mut self, site: &str) -> Option<usize> {
        if self.last_site.0 != site {
            let number = self.sites.get(site).copied().unwrap_or(self.sites.len());
            if number == self.sites.len() {
                if site.len() > SITE_MAX || self.sites.len() >= SITES_MAX {
                    return None;
                }
                self.sites.insert(site.into(), number);
            }
            site.clone_into(&mut self.last_site.0);
            self.last_site.1 = number;
        }
        Some(self.last_site.1)
    }
}
