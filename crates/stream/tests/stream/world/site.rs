//! The site: doors, cameras, sensors and buttons, and where they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use hexwatch_contract::Cell;
use hexwatch_contract::site::{Device, Place, Places};
use hexwatch_stream::Registry;
use serde_json::{Value, json};

/// Doors, cameras, sensors and buttons on a few cells next to each other.
pub(crate) struct Site;

pub(crate) fn site() -> Site {
    Site
}

/// Four res-12 cells of one parent: the first touches all the others.
fn cell(number: i64) -> (Cell, f64, f64) {
    const FIRST: u64 = 0x08c2_8000_0000_01ff;
    let sibling = FIRST | u64::try_from(number).unwrap() << 9;
    (Cell::from_index(sibling), 120.0 + number as f64 * 0.000_15, 30.0)
}

impl Places for Site {
    fn of_device(&self, device: &str) -> Option<Place> {
        let number: i64 = device.rsplit('-').next()?.parse().ok()?;
        let (cell, lon, lat) = cell(number % 4);
        Some(Place { lon, lat, floor: Some(1), cell })
    }
    fn site_of(&self, _: &str) -> Option<&str> {
        Some("s1")
    }
    fn of_coordinates(&self, _: &str, _: f64, _: f64) -> Option<Place> {
        None
    }
}

const KINDS: [(&str, usize, Option<f64>); 7] = [
    ("door", 3, None),
    ("access_point", 3, None),
    ("camera", 3, None),
    ("smoke", 3, Some(30.0)),
    ("ch4", 2, Some(20.0)),
    ("gateway", 1, Some(40.0)),
    ("panic", 2, None),
];

pub(crate) fn registry() -> Registry {
    let mut devices = Vec::new();
    for (kind, count, heartbeat) in KINDS {
        for number in 0..count {
            let id = format!("{kind}-{number}");
            let place = site().of_device(&id).unwrap();
            let links = match kind {
                "access_point" => vec![format!("door-{number}")],
                "smoke" if number < 2 => vec!["gateway-0".to_owned()],
                _ => vec![],
            };
            devices.push(Device {
                id,
                kind: kind.into(),
                site: "s1".into(),
                lon: place.lon,
                lat: place.lat,
                floor: Some(1),
                footprint: None,
                expected_heartbeat_s: heartbeat,
                in_service: true,
                links,
                source: None,
            });
        }
    }
    let tables = BTreeMap::from([("devices".to_owned(), device_table(&devices))]);
    Registry { devices, places: Arc::new(Site), tables }
}

fn device_table(devices: &[Device]) -> RecordBatch {
    let rows: Vec<Value> = devices
        .iter()
        .map(|device| {
            let place = site().of_device(&device.id).unwrap();
            json!({
                "id": device.id, "type": device.kind, "site": device.site, "lon": device.lon, "lat": device.lat,
                "floor": device.floor, "expected_heartbeat_s": device.expected_heartbeat_s,
                "in_service": device.in_service, "links": device.links, "cell": place.cell.to_i64(),
            })
        })
        .collect();
    let mut decoder = ReaderBuilder::new(hexwatch_contract::catalog::devices()).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    decoder.flush().unwrap().unwrap()
}
