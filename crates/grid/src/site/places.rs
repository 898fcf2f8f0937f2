//! Places for records.

use hexwatch_contract::cell::EVENT_RESOLUTION;
use hexwatch_contract::site::{Place, Places};

use super::Site;
use super::features::datum_of;
use crate::cell::{cell_at, is_place};
use crate::datum::to_wgs84;

impl Places for Site {
    fn of_device(&self, device: &str) -> Option<Place> {
        self.places.get(device)?.1
    }

    fn site_of(&self, device: &str) -> Option<&str> {
        self.device(device).map(|device| device.site.as_str())
    }

    fn of_coordinates(&self, site: &str, lon: f64, lat: f64) -> Option<Place> {
        if !is_place(lon, lat) {
            return None;
        }
        let (lon, lat) = to_wgs84(datum_of(&self.sites, site), (lon, lat));
        let cell = cell_at(lon, lat, EVENT_RESOLUTION)?;
        Some(Place { lon, lat, floor: None, cell })
    }
}
