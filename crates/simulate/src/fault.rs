//! What goes wrong between a device and Kafka. Faults change how records arrive, never what happened: whatever
//! they do, the truth stays true.

use crate::event::{Body, Care, Event, Stamp};
use crate::random::{Random, Share};
use crate::world::World;

/// Shares of records, or of devices, that something is wrong with; 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Faults {
    /// Records that come twice, byte for byte.
    pub duplicates: f64,
    /// Records held up for 1 to 8 s: within the lateness of 10 s.
    pub late: f64,
    /// Records held up for 15 to 500 s: within the correction horizon of 10 min.
    pub very_late: f64,
    /// Records held up for 11 to 20 min: beyond it.
    pub too_late: f64,
    /// Records dated 6 s to 10 min ahead.
    pub future_dated: f64,
    /// Records added that cannot become rows.
    pub malformed: f64,
    /// Presses that are lost, seen as a gap in `press_seq`.
    pub lost_presses: f64,
    /// Doors and cameras with clocks wrong by 150 s to an hour.
    pub skewed_clocks: f64,
    /// Water detectors with a loose contact.
    pub flapping: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            duplicates: 0.004,
            late: 0.01,
            very_late: 0.002,
            too_late: 0.0005,
            future_dated: 0.0005,
            malformed: 0.0005,
            lost_presses: 0.05,
            skewed_clocks: 0.01,
            flapping: 0.04,
        }
    }
}

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            duplicates: 0.0,
            late: 0.0,
            very_late: 0.0,
            too_late: 0.0,
            future_dated: 0.0,
            malformed: 0.0,
            lost_presses: 0.0,
            skewed_clocks: 0.0,
            flapping: 0.0,
        }
    }
}

/// What happens to one record on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fate {
    /// What the record says of time.
    pub(crate) time: i64,
    pub(crate) recorded: Option<i64>,
    /// Milliseconds it is held up.
    pub(crate) delay: i64,
    /// Milliseconds after it at which it comes once more.
    pub(crate) again: Option<i64>,
}

impl Fate {
    pub(crate) const fn stamp(self) -> Stamp {
        Stamp { time: self.time, recorded: self.recorded }
    }
}

/// Decides what goes wrong.
pub(crate) struct Mishaps {
    random: Random,
    duplicates: Share,
    late: Share,
    very_late: Share,
    too_late: Share,
    future_dated: Share,
    malformed: Share,
    lost_presses: Share,
    /// Milliseconds by which a device's clock is wrong.
    skew: Vec<i32>,
    any: bool,
}

impl Mishaps {
    pub(crate) fn new(world: &mut World, seed: u64, faults: &Faults) -> Self {
        let mut random = Random::new(seed, 3);
        let skew = skew_clocks(world, Share::of(faults.skewed_clocks), &mut random);
        Self {
            random,
            duplicates: Share::of(faults.duplicates),
            late: Share::of(faults.late),
            very_late: Share::of(faults.very_late),
            too_late: Share::of(faults.too_late),
            future_dated: Share::of(faults.future_dated),
            malformed: Share::of(faults.malformed),
            lost_presses: Share::of(faults.lost_presses),
            skew,
            any: *faults != Faults::none(),
        }
    }

    /// The water detectors that flap; none of them takes part in a situation.
    pub(crate) fn flapping(&mut self, world: &mut World, faults: &Faults) -> Vec<u32> {
        let share = Share::of(faults.flapping);
        let water = (0_u32..)
            .zip(&world.community.devices)
            .filter(|(_, device)| device.kind == crate::community::Kind::Water)
            .map(|(index, _)| index);
        let flapping: Vec<u32> = water.filter(|_| self.random.happens(share)).collect();
        for &device in &flapping {
            world.unsteady[device as usize] = true;
        }
        flapping
    }

    pub(crate) fn fate(&mut self, event: &Event) -> Fate {
        let mut fate = Fate { time: event.time, recorded: None, delay: 0, again: None };
        if !self.any {
            return fate;
        }
        if self.random.happens(self.duplicates) {
            fate.again = Some(self.random.between(5, 5_000));
        }
        let skew = event.body.device().map_or(0, |device| self.skew[device as usize]);
        if skew != 0 {
            // The engine falls back on the Kafka timestamp, so a delay would tear a grant from its door.
            fate.time += i64::from(skew);
            return fate;
        }
        if event.care == Care::Scripted {
            return fate;
        }
        if self.random.happens(self.late) {
            fate.delay = self.random.between(1_000, 8_000);
        } else if event.care == Care::Free {
            self.hold_up(&mut fate);
        }
        if fate.delay == 0 && self.random.happens(self.future_dated) {
            fate.time += self.random.between(6_000, 600_000);
        }
        fate
    }

    /// A record that is held up for long says when its gateway took it; without that, the engine would hold its
    /// device's clock for wrong, and not the record for late.
    fn hold_up(&mut self, fate: &mut Fate) {
        if self.random.happens(self.very_late) {
            fate.delay = self.random.between(15_000, 500_000);
        } else if self.random.happens(self.too_late) {
            fate.delay = self.random.between(660_000, 1_200_000);
        } else {
            return;
        }
        fate.recorded = Some(fate.time + self.random.between(1, 15));
    }

    /// How far a button's `press_seq` moves on.
    pub(crate) fn press_step(&mut self) -> u32 {
        if self.random.happens(self.lost_presses) { 2 } else { 1 }
    }

    /// The value of a malformed record to be sent beside the one of `body`, if one is due. It is always an extra
    /// record: were a real one broken, a door would open without its grant.
    pub(crate) fn malformed(&mut self, body: &Body, value: &[u8]) -> Option<Vec<u8>> {
        // A press is never refused, so a broken one would be an alarm.
        if !self.random.happens(self.malformed) || matches!(body, Body::Panic { .. }) {
            return None;
        }
        let text = String::from_utf8_lossy(value);
        let rest = text.get(1..).unwrap_or_default();
        Some(match self.random.below(8) {
            0 => value[..value.len() / 2].to_vec(),
            1 => format!("{{\"site\":\"elsewhere\",{rest}").into_bytes(),
            2 => format!("{{\"status\":\"imaginary\",{rest}").into_bytes(),
            3 => text.replace("\"time\":", "\"when\":").into_bytes(),
            4 => text.replace("\"lat\":", "\"lat\":1").into_bytes(),
            5 => format!("{{\"phone\":\"00000000000\",{rest}").into_bytes(),
            6 => [b"\xff\xfe".as_slice(), value].concat(),
            _ => b"[]".to_vec(),
        })
    }
}

/// A door and its readers share a controller and its clock, so that what belongs together stays together.
fn skew_clocks(world: &mut World, share: Share, random: &mut Random) -> Vec<i32> {
    let community = world.community.clone();
    let mut skew = vec![0; community.devices.len()];
    let units = community.units.iter().map(|unit| &unit.passage);
    for passage in units.chain(community.gates.iter().map(|(_, passage)| passage)) {
        let controller = [Some(passage.door), Some(passage.reader_in), passage.reader_out];
        for group in [controller.as_slice(), &[Some(passage.camera)]] {
            if !random.happens(share) {
                continue;
            }
            let wrong = random.between(150_000, 3_600_000) * if random.below(2) == 0 { 1 } else { -1 };
            for &device in group.iter().flatten() {
                skew[device as usize] = i32::try_from(wrong).unwrap_or(0);
                world.unsteady[device as usize] = true;
            }
        }
    }
    skew
}
