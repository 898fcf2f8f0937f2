//! A few devices, each in a cell of its own, and what they send.

use std::sync::Arc;
use std::time::Duration;

use hexwatch_contract::site::{Device, Place, Places};
use hexwatch_contract::{Cell, EventTime, Topic};
use hexwatch_stream::Registry;
use serde_json::{Map, Value, json};

use super::seeds::Dice;

/// How long the world goes on.
const SECONDS: usize = 150;

/// Where its time begins.
pub fn start() -> EventTime {
    EventTime::parse_rfc3339("2026-05-11T01:00:00Z").unwrap()
}

pub const DEVICES: [(&str, Topic); 7] = [
    ("ap-0", Topic::Access),
    ("ap-1", Topic::Access),
    ("cam-2", Topic::CameraAlert),
    ("smoke-3", Topic::Iot),
    ("gas-4", Topic::Iot),
    ("btn-5", Topic::Panic),
    ("smoke-6", Topic::Iot),
];

/// What a device says, and when.
#[derive(Clone, Debug)]
pub struct Record {
    pub device: usize,
    /// When it happened.
    pub time: EventTime,
    /// What the device's clock said then.
    pub said: EventTime,
    /// When Kafka had it.
    pub arrived: EventTime,
    body: Map<String, Value>,
}

impl Record {
    pub fn topic(&self) -> Topic {
        DEVICES[self.device].1
    }

    /// A topic has two partitions; a device is always in the same.
    pub fn partition(&self) -> i32 {
        i32::try_from(self.device % 2).unwrap()
    }

    pub fn value(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        let said = self.said.millis();
        let time = if said % 2 == 0 { json!(said) } else { json!(self.said.to_string()) };
        body.insert("time".into(), time);
        Value::Object(body).to_string().into_bytes()
    }
}

/// What happens, in order of event time. Records are on their way for less than a second.
pub fn happenings(dice: &mut Dice, count: usize) -> Vec<Record> {
    let mut found: Vec<Record> = (0..count).map(|number| happening(dice, number)).collect();
    found.sort_by_key(|record| record.time);
    found
}

fn happening(dice: &mut Dice, number: usize) -> Record {
    let device = dice.below(DEVICES.len());
    let (name, topic) = DEVICES[device];
    let own = match topic {
        Topic::Access => {
            json!({"access_point": name, "event": dice.pick(&["granted", "denied", "denied", "rex", "door_open"]), "reason": "InvalidPIN", "credential_ref": dice.pick(&["r1", "r1", "r2"])})
        }
        Topic::CameraAlert => {
            json!({"camera": name, "kind": dice.pick(&["loitering", "loitering", "flame"]), "object_class": "human", "score": 0.9})
        }
        Topic::Panic => json!({"button": name, "kind": dice.pick(&["panic", "test", "fire_manual"])}),
        _ if name.starts_with("gas") => {
            json!({"device": name, "property": "ch4", "result": dice.below(150), "unit": "%LEL"})
        }
        _ => {
            json!({"device": name, "property": "smoke_obscuration", "state": dice.pick(&["normal", "normal", "normal", "prealarm", "alarm", "alarm", "fault", "test"])})
        }
    };
    let mut body = own.as_object().unwrap().clone();
    body.insert("id".into(), format!("e{number}").into());
    let time = start() + Duration::from_millis(dice.below(SECONDS * 1000) as u64);
    Record { device, time, said: time, arrived: time + Duration::from_millis(dice.below(900) as u64), body }
}

/// Where the devices are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Site {
    /// In cells apart from each other.
    Apart,
    /// In cells next to each other.
    Together,
}

impl Site {
    fn cell(self, device: usize) -> Cell {
        const FIRST: u64 = 0x08c2_8000_0000_01ff;
        // The last digit but one, another parent at resolution 11; or the last.
        let digit = if self == Self::Apart { 12 } else { 9 };
        Cell::from_index(FIRST | ((device as u64) << digit))
    }
}

impl Places for Site {
    fn of_device(&self, device: &str) -> Option<Place> {
        let number = DEVICES.iter().position(|(name, _)| *name == device)?;
        Some(Place { lon: 120.0, lat: 30.0, floor: None, cell: self.cell(number) })
    }

    fn site_of(&self, _: &str) -> Option<&str> {
        Some("s1")
    }

    /// None of them says so itself.
    fn of_coordinates(&self, _: &str, _: f64, _: f64) -> Option<Place> {
        None
    }
}

pub fn registry(site: Site) -> Registry {
    let device = |(id, topic): &(&str, Topic)| Device {
        id: (*id).to_owned(),
        kind: id.split('-').next().unwrap().to_owned(),
        site: "s1".to_owned(),
        lon: 120.0,
        lat: 30.0,
        floor: None,
        footprint: None,
        expected_heartbeat_s: (*topic == Topic::Iot).then_some(10.0),
        in_service: true,
        links: Vec::new(),
        source: None,
    };
    let map = hexwatch_sql::catalog::site_rows(&hexwatch_grid::Site::default()).unwrap();
    let tables = map.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect();
    Registry { devices: DEVICES.iter().map(device).collect(), places: Arc::new(site), tables }
}
