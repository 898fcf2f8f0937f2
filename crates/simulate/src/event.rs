//! What happens, before it is a record: compact while it waits in the agenda, JSON when its time has come.

use std::sync::Arc;

use hexwatch_contract::{EventTime, Topic};

use crate::community::{Community, Kind, Point, SITE, pseudonym, write_degrees};
use crate::encode::{Object, TimeStyle};
use crate::truth::Truth;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// When, in epoch milliseconds, by a right clock.
    pub(crate) time: i64,
    pub(crate) body: Body,
    /// How faults may touch it.
    pub(crate) care: Care,
    /// The alarm that this event completes.
    pub(crate) truth: Option<Box<Truth>>,
}

/// How faults may touch an event without changing which rules it satisfies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Care {
    /// Part of a situation: only duplicates.
    Scripted,
    /// Something else is judged by its presence, such as a grant or a sign of life: never late beyond lateness.
    Needed,
    /// Nothing hangs on it.
    Free,
}

/// Whose credential was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Credential {
    pub(crate) number: u64,
    pub(crate) class: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Access(Access),
    Camera(Sighting),
    Iot(Reading),
    Panic { button: u32, kind: &'static str, press: u32 },
    Patrol(Box<Scan>),
    Dispatch(Box<Leg>),
}

#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// The reader.
    pub(crate) point: u32,
    /// The door for what a door does, else the reader.
    pub(crate) device: u32,
    pub(crate) event: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) direction: &'static str,
    pub(crate) recognition: &'static str,
    pub(crate) credential: Option<Credential>,
    /// Hundredths.
    pub(crate) match_score: u8,
    pub(crate) held_ms: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) camera: u32,
    pub(crate) kind: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) object: &'static str,
    /// Hundredths.
    pub(crate) score: u8,
    pub(crate) count: u8,
    pub(crate) track: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) device: u32,
    pub(crate) property: &'static str,
    pub(crate) unit: &'static str,
    /// Hundredths of the unit.
    pub(crate) result: Option<i32>,
    pub(crate) state: &'static str,
    /// Alive, and nothing more to say.
    pub(crate) heartbeat: bool,
}

/// What an officer reports.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) officer: u64,
    pub(crate) kind: &'static str,
    pub(crate) point: Point,
    /// Quarter, route and position of a checkpoint, from 1, and the number of the round.
    pub(crate) checkpoint: Option<(u32, u32, u32, u64)>,
    pub(crate) method: &'static str,
    pub(crate) result: &'static str,
    pub(crate) hazard: &'static str,
}

/// One leg of those who respond.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) incident: u64,
    pub(crate) agency: &'static str,
    pub(crate) step: &'static str,
    pub(crate) point: Point,
}

impl Body {
    pub(crate) const fn topic(&self) -> Topic {
        match self {
            Self::Access(_) => Topic::Access,
            Self::Camera(_) => Topic::CameraAlert,
            Self::Iot(_) => Topic::Iot,
            Self::Panic { .. } => Topic::Panic,
            Self::Patrol(_) => Topic::Patrol,
            Self::Dispatch(_) => Topic::Dispatch,
        }
    }

    /// The device that speaks; its clock stamps the record.
    pub(crate) const fn device(&self) -> Option<u32> {
        match self {
            Self::Access(access) => Some(access.point),
            Self::Camera(sighting) => Some(sighting.camera),
            Self::Iot(reading) => Some(reading.device),
            Self::Panic { button, .. } => Some(*button),
            Self::Patrol(_) | Self::Dispatch(_) => None,
        }
    }
}

/// What a record says of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// `time`: the device's clock.
    pub(crate) time: i64,
    /// `recorded_time`: the gateway's clock.
    pub(crate) recorded: Option<i64>,
}

/// Turns events into JSON and keeps the running number of their ids.
pub(crate) struct Encoder {
    community: Arc<Community>,
    /// For each device its members that never change.
    fixed: Vec<Box<[u8]>>,
    /// Part of every id, so that a later run of the same seed does not repeat the ids of an earlier one.
    run: Vec<u8>,
    serial: u64,
}

impl Encoder {
    pub(crate) fn new(community: Arc<Community>, start: EventTime) -> Self {
        let fixed = community.devices().iter().map(fixed_members).collect();
        let mut run = Vec::new();
        write_base36(&mut run, start.millis().unsigned_abs());
        Self { community, fixed, run, serial: 0 }
    }

    /// A fresh id.
    pub(crate) fn next_id(&mut self) -> Vec<u8> {
        let mut id = Vec::with_capacity(24);
        id.extend_from_slice(&self.run);
        id.push(b'-');
        write_base36(&mut id, self.serial);
        self.serial += 1;
        id
    }

    /// The Kafka key of `body`.
    pub(crate) fn key(&self, body: &Body, time: i64) -> Arc<str> {
        match (body, body.device()) {
            (_, Some(device)) => self.community.devices[device as usize].id.clone(),
            (Body::Patrol(scan), None) => Arc::from(officer_ref(&self.community, scan.officer, time)),
            (Body::Dispatch(leg), None) => Arc::from(self.incident(leg.incident)),
            _ => Arc::from(""),
        }
    }

    fn incident(&self, number: u64) -> String {
        format!("inc-{}-{number:04}", String::from_utf8_lossy(&self.run))
    }

    pub(crate) fn encode(&self, id: &[u8], body: &Body, stamp: Stamp) -> Vec<u8> {
        let mut object = Object::with_id(id);
        let style = match body {
            Body::Access(_) | Body::Patrol(_) => TimeStyle::China,
            Body::Camera(_) | Body::Iot(_) => TimeStyle::Millis,
            Body::Panic { .. } | Body::Dispatch(_) => TimeStyle::Utc,
        };
        if let Body::Access(access) = body {
            object.members(&self.fixed[access.device as usize]);
        } else if let Some(device) = body.device() {
            object.members(&self.fixed[device as usize]);
        }
        object.time("time", EventTime::from_millis(stamp.time), style);
        if let Some(recorded) = stamp.recorded {
            object.time("recorded_time", EventTime::from_millis(recorded), style);
        }
        match body {
            Body::Access(access) => self.access(&mut object, access, stamp.time),
            Body::Camera(sighting) => camera(&mut object, sighting),
            Body::Iot(reading) => iot(&mut object, reading),
            Body::Panic { kind, press, .. } => {
                object.word("kind", kind);
                object.integer("press_seq", i64::from(*press));
            }
            Body::Patrol(scan) => self.patrol(&mut object, scan, stamp.time),
            Body::Dispatch(leg) => self.dispatch(&mut object, leg, stamp.time),
        }
        object.finish()
    }

    fn access(&self, object: &mut Object, access: &Access, time: i64) {
        if access.device != access.point {
            object.word("access_point", &self.community.devices[access.point as usize].id);
        }
        object.word("event", access.event);
        object.word("reason", access.reason);
        object.word("direction", access.direction);
        object.word("recognition", access.recognition);
        if let Some(credential) = access.credential {
            object.hash("credential_ref", 16, pseudonym(self.community.seed, credential.number, time));
            object.word("credential_class", credential.class);
            if credential.class == "visitor" {
                let from = time.div_euclid(3_600_000) * 3_600_000;
                object.time("visit_from", EventTime::from_millis(from), TimeStyle::China);
                object.time("visit_until", EventTime::from_millis(from + 4 * 3_600_000), TimeStyle::China);
            }
        }
        if access.match_score > 0 {
            object.decimal("match_score", i64::from(access.match_score), 2);
        }
        if access.held_ms > 0 {
            object.integer("held_ms", i64::from(access.held_ms));
        }
    }

    fn patrol(&self, object: &mut Object, scan: &Scan, time: i64) {
        object.word("source", "patrol-app");
        object.word("site", SITE);
        object.word("officer_ref", &officer_ref(&self.community, scan.officer, time));
        object.members(&degrees(scan.point));
        object.word("kind", scan.kind);
        if let Some((quarter, route, position, round)) = scan.checkpoint {
            let route = format!("q{quarter:02}-route-{route}");
            object.word("route", &route);
            object.word("round", &format!("{route}-{round}"));
            object.word("checkpoint", &format!("{route}-c{position}"));
        }
        object.word("method", scan.method);
        object.word("result", scan.result);
        object.word("hazard_class", scan.hazard);
    }

    fn dispatch(&self, object: &mut Object, leg: &Leg, time: i64) {
        object.word("source", "dispatch-desk");
        object.word("site", SITE);
        object.word("incident", &self.incident(leg.incident));
        object.members(&degrees(leg.point));
        object.word("agency", leg.agency);
        object.word("unit_ref", &format!("{}-{}", leg.agency, leg.incident % 5 + 1));
        object.word("leg", leg.step);
        object.time("at", EventTime::from_millis(time), TimeStyle::Utc);
        object.flag("manual", false);
    }
}

fn camera(object: &mut Object, sighting: &Sighting) {
    object.word("kind", sighting.kind);
    object.word("rule", sighting.rule);
    object.word("phase", "pulse");
    object.hash("track", 8, crate::random::scatter(u64::from(sighting.track)));
    object.word("object_class", sighting.object);
    object.decimal("score", i64::from(sighting.score), 2);
    object.integer("count", i64::from(sighting.count));
}

fn iot(object: &mut Object, reading: &Reading) {
    object.word("property", reading.property);
    if let Some(result) = reading.result {
        object.decimal("result", i64::from(result), 2);
        object.word("unit", reading.unit);
        object.word("quality", "good");
    }
    object.word("state", reading.state);
    let health = crate::random::scatter(u64::from(reading.device));
    object.integer("battery_pct", i64::try_from(62 + health % 38).unwrap_or(80));
    object.integer("rssi_dbm", -i64::try_from(48 + (health >> 32) % 35).unwrap_or(60));
    if reading.heartbeat {
        object.flag("heartbeat", true);
    }
}

fn officer_ref(community: &Community, officer: u64, time: i64) -> String {
    format!("o{:016x}", pseudonym(community.seed, officer | 1 << 48, time))
}

fn degrees(point: Point) -> Vec<u8> {
    let mut members = String::from(",\"lon\":");
    write_degrees(&mut members, point, '#');
    members.replace('#', ",\"lat\":").into_bytes()
}

fn fixed_members(device: &crate::community::Device) -> Box<[u8]> {
    let entity = match device.kind {
        Kind::Camera => "camera",
        Kind::Panic => "button",
        Kind::AccessPoint => "access_point",
        _ => "device",
    };
    let place = String::from_utf8_lossy(&degrees(device.point)).into_owned();
    format!(
        ",\"source\":\"{}\",\"site\":\"{SITE}\",\"{entity}\":\"{}\"{place},\"floor\":{}",
        device.kind.source(),
        device.id,
        device.floor
    )
    .into_bytes()
    .into_boxed_slice()
}

fn write_base36(out: &mut Vec<u8>, mut number: u64) {
    let first = out.len();
    loop {
        out.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    out[first..].reverse();
}
