//! What cameras and sensors say by themselves.

use super::Life;
use crate::agenda::Wake;
use crate::community::{Community, Kind};
use crate::event::{Access, Body, Credential, Event, Reading, Sighting};
use crate::random::scatter;
use crate::rhythm;
use crate::world::World;

/// Further than a neighbouring cell at resolution 12 reaches.
const OUT_OF_NEIGHBOURHOOD_M: i64 = 45;

pub(super) fn far_from_readers(community: &Community) -> Vec<u32> {
    let readers: Vec<_> = community
        .devices
        .iter()
        .filter(|device| device.kind == Kind::AccessPoint)
        .map(|device| device.spot)
        .collect();
    (0_u32..)
        .zip(&community.devices)
        .filter(|(_, device)| device.kind == Kind::Camera)
        .filter(|(_, camera)| {
            !readers.iter().any(|reader| reader.within(camera.spot, OUT_OF_NEIGHBOURHOOD_M))
        })
        .map(|(index, _)| index)
        .collect()
}

/// Sensors whose readings grow denser with the rate. Heat detectors keep to their own pace, so that their readings
/// never lie close enough to look like a rise.
pub(super) const fn speaks_unasked(kind: Kind) -> bool {
    matches!(kind, Kind::Smoke | Kind::Ch4 | Kind::Co | Kind::Water | Kind::Motion | Kind::Lift)
}

impl Life {
    /// A camera or a sensor speaks; another is tried where a situation has taken the first.
    pub(super) fn ambient(&mut self, world: &mut World, now: i64) {
        for _ in 0..8 {
            let told = match self.random.below(1_000) {
                0..=3 => self.patrol_report(world, now),
                4..=6 => self.loiter(world, now),
                7..=460 => self.watch(world, now),
                _ => self.sense(world, now),
            };
            if told {
                return;
            }
        }
    }

    fn watch(&mut self, world: &mut World, now: i64) -> bool {
        let Some(&camera) = self.random.pick(&self.cameras) else { return false };
        if world.is_staged(camera, now) {
            return false;
        }
        let track = self.next_track();
        let score = u8::try_from(self.random.between(55, 98)).unwrap_or(80);
        let count = u8::try_from(self.random.between(0, 6)).unwrap_or(1);
        let seen = Sighting::human(camera, "count", "area", score, track);
        let sighting = match self.random.below(20) {
            0..=9 => Sighting { count, ..seen },
            10..=14 => Sighting { kind: "line_crossed", rule: "path", ..seen },
            15..=16 => Sighting { kind: "line_crossed", rule: "lane", object: "vehicle", ..seen },
            17 => Sighting { kind: "fast_move", rule: "path", object: "bike", ..seen },
            18 => Sighting { kind: "line_crossed", rule: "lawn", object: "animal", ..seen },
            _ => Sighting { kind: "crowd_density", rule: "area", count: count + 2, ..seen },
        };
        world.tell(Event::free(now, Body::Camera(sighting)));
        true
    }

    fn loiter(&mut self, world: &mut World, now: i64) -> bool {
        let Some(&camera) = self.random.pick(&self.loitering) else { return false };
        if world.is_staged(camera, now) {
            return false;
        }
        let track = self.next_track();
        let sighting = Sighting::human(camera, "loitering", "dwell", 74, track);
        world.tell(Event::free(now, Body::Camera(sighting)));
        true
    }

    fn sense(&mut self, world: &mut World, now: i64) -> bool {
        let Some(&device) = self.random.pick(&self.sensors) else { return false };
        if world.is_staged(device, now) || world.is_silent(device, now) {
            return false;
        }
        let reading = ordinary_reading(world.kind(device), device, now);
        world.tell(Event::free(now, Body::Iot(reading)));
        true
    }

    /// One record of the benchmark's load.
    pub(super) fn load_record(&mut self, world: &mut World, now: i64) {
        let body = match self.random.below(20) {
            0..=7 => {
                let reader = self.random.pick(&self.readers).copied().unwrap_or(0);
                let number = u64::from(self.random.below(1 << 16));
                Body::Access(Access::granted(reader, Credential { number, class: "resident" }))
            }
            8..=14 => {
                let camera = self.random.pick(&self.cameras).copied().unwrap_or(0);
                let track = self.next_track();
                let score = u8::try_from(self.random.between(30, 98)).unwrap_or(80);
                Body::Camera(Sighting::human(camera, "line_crossed", "path", score, track))
            }
            _ => {
                let device = self.random.pick(&self.sensors).copied().unwrap_or(0);
                Body::Iot(ordinary_reading(world.kind(device), device, now))
            }
        };
        world.tell(Event::free(now, body));
    }

    /// A sign of life, usually with a reading. Where a situation plays only the bare sign is given, so that it ends no
    /// episode and adds no point to a slope.
    pub(super) fn heartbeat(&mut self, world: &mut World, now: i64, device: u32) {
        let Some(seconds) = world.community.devices[device as usize].heartbeat_s else { return };
        world.wake(now + i64::from(seconds) * 1_000, Wake::Heartbeat(device));
        if world.is_silent(device, now) {
            return;
        }
        let time = now + self.random.between(0, 300);
        let bare = world.is_staged(device, time) || (!self.load && self.random.below(3) == 0);
        let kind = world.kind(device);
        let reading = if bare || (kind == Kind::Gateway && !self.load) {
            Reading::heartbeat(device)
        } else {
            ordinary_reading(kind, device, time)
        };
        world.tell(Event::needed(time, Body::Iot(reading)));
    }

    /// A loose contact: wet, dry, faulty, in quick succession, then quiet for minutes. Water has no rule here, and
    /// fire and gas detectors never flap, for their faults would silence a rule.
    pub(super) fn flap(&mut self, world: &mut World, now: i64, device: u32, left: u8) {
        if !world.is_silent(device, now) {
            let state = match left % 3 {
                0 => "normal",
                1 => "fault",
                _ => "supervisory",
            };
            let wet = i32::from(left % 2) * 100;
            let reading = Reading {
                device,
                property: "water_leak",
                unit: "1",
                result: Some(wet),
                state,
                heartbeat: false,
            };
            world.tell(Event::free(now, Body::Iot(reading)));
        }
        let (pause, left) = if left == 0 {
            (self.random.between(60_000, 300_000), u8::try_from(self.random.between(5, 12)).unwrap_or(6))
        } else {
            (self.random.between(1_500, 9_000), left - 1)
        };
        world.wake(now + pause, Wake::Flap { device, left });
    }
}

/// What a sensor says when nothing is wrong: smoke and gas far below what any rule looks at.
pub(super) fn ordinary_reading(kind: Kind, device: u32, time: i64) -> Reading {
    // The same within a minute, whoever asks.
    let noise =
        i32::try_from(scatter(u64::from(device) ^ time.div_euclid(60_000).cast_unsigned() << 20) % 100);
    let noise = noise.unwrap_or(50);
    let (property, unit, result) = match kind {
        Kind::Smoke => ("smoke_obscuration", "dB/m", noise / 25),
        Kind::Ch4 => ("ch4", "%LEL", 60 + noise),
        Kind::Co => ("co", "[ppm]", 200 + noise * 4),
        Kind::Heat => ("temperature", "Cel", rhythm::temperature(device, time)),
        Kind::Water => ("water_leak", "1", 0),
        Kind::Motion => ("motion", "1", 100 * (noise % 2)),
        Kind::Lift => ("lift_state", "1", 100 * (noise % 17)),
        _ => ("power", "V", 22_000 + noise * 10),
    };
    Reading { device, property, unit, result: Some(result), state: "normal", heartbeat: false }
}
