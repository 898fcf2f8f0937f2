//! Ways through the community: out of a house, along the paths, through a gate, and back.

use super::Life;
use crate::agenda::Wake;
use crate::community::Passage;
use crate::event::{Access, Body, Credential, Event, Sighting};
use crate::world::World;

/// Somebody on a way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trip {
    credential: Credential,
    unit: u32,
    gate: u32,
    leaving: bool,
    stage: Stage,
    /// Whether this stranger leaves again once the errand is done.
    errand: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    First,
    UnderWay,
    Last,
}

/// Pseudonyms of strangers are counted apart from those of residents.
const STRANGERS_FROM: u64 = 1 << 32;

impl Trip {
    pub(super) fn of_resident(person: usize, unit: u32, gate: u32, leaving: bool) -> Self {
        let credential = Credential { number: person as u64, class: "resident" };
        Self { credential, unit, gate, leaving, stage: Stage::First, errand: false }
    }
}

impl Life {
    /// A courier, visitor or somebody of the staff comes in, and leaves minutes later.
    pub(super) fn stranger_arrives(&mut self, world: &mut World, now: i64) -> bool {
        let class = match self.random.below(10) {
            0..=1 => "staff",
            2..=3 => "contractor",
            _ => "visitor",
        };
        let unit = self.random.index(world.community.units.len());
        let unit = u32::try_from(unit).unwrap_or(0);
        let Some(gate) = self.gate_for(world, unit, crate::community::Role::Worker) else { return false };
        self.strangers += 1;
        let credential = Credential { number: STRANGERS_FROM + self.strangers, class };
        let trip = Trip { credential, unit, gate, leaving: false, stage: Stage::First, errand: true };
        self.begin(world, now, trip)
    }

    /// The first stage; false where a situation keeps the door.
    pub(super) fn begin(&mut self, world: &mut World, now: i64, trip: Trip) -> bool {
        let at_house = trip.leaving;
        if !self.pass(world, now, trip, at_house) {
            return false;
        }
        if self.random.happens(self.whole_ways) {
            let walk = self.half_way(world, &trip);
            world.wake(now + walk, Wake::Trip(Trip { stage: Stage::UnderWay, ..trip }));
        }
        true
    }

    pub(super) fn continue_trip(&mut self, world: &mut World, now: i64, trip: Trip) {
        match trip.stage {
            Stage::First => {
                self.begin(world, now, trip);
            }
            Stage::UnderWay => {
                self.seen_under_way(world, now, &trip);
                let walk = self.half_way(world, &trip);
                world.wake(now + walk, Wake::Trip(Trip { stage: Stage::Last, ..trip }));
            }
            Stage::Last => {
                self.pass(world, now, trip, !trip.leaving);
                if trip.errand && !trip.leaving {
                    let stay = self.random.between(120_000, 400_000);
                    let back = Trip { leaving: true, stage: Stage::First, errand: false, ..trip };
                    world.wake(now + stay, Wake::Trip(back));
                }
            }
        }
    }

    /// Milliseconds for half the way at about 1.3 metres a second.
    fn half_way(&mut self, world: &World, trip: &Trip) -> i64 {
        let community = &world.community;
        let gate = community.gates[trip.gate as usize].1.door;
        let metres = community.units[trip.unit as usize].spot.walk_to(community.devices[gate as usize].spot);
        5_000 + metres * self.random.between(330, 430)
    }

    fn seen_under_way(&mut self, world: &mut World, now: i64, trip: &Trip) {
        let Some(&camera) = self.random.pick(&self.cameras) else { return };
        let track = self.next_track();
        let vehicle = world.community.gates[trip.gate as usize].1.vehicles;
        self.sight(world, now, camera, vehicle, if trip.leaving { "outbound" } else { "inbound" }, track);
    }

    /// Through the house's door or the gate: a grant or a request to exit, the door opens within 5 s of it (R01) and
    /// closes within 10 s, and a camera sees it. Now and then a first try is denied.
    fn pass(&mut self, world: &mut World, now: i64, trip: Trip, at_house: bool) -> bool {
        let passage = if at_house {
            world.community.units[trip.unit as usize].passage
        } else {
            world.community.gates[trip.gate as usize].1
        };
        let mut readers =
            [Some(passage.door), Some(passage.reader_in), passage.reader_out].into_iter().flatten();
        if readers.any(|device| world.is_staged(device, now)) {
            return false;
        }
        let reader = if trip.leaving { passage.reader_out } else { Some(passage.reader_in) };
        let mut granted_at = now;
        if let Some(reader) = reader
            && self.random.below(100) < 2
            && world.may_deny(reader, now)
        {
            let denied = Access {
                match_score: 41,
                recognition: "face",
                ..Access::denied(reader, "Other", trip.credential)
            };
            world.tell(Event::free(now, Body::Access(denied)));
            granted_at += self.random.between(3_000, 6_000);
        }
        self.cycle(world, granted_at, &trip, &passage, reader);
        true
    }

    fn cycle(&mut self, world: &mut World, now: i64, trip: &Trip, passage: &Passage, reader: Option<u32>) {
        let direction = if trip.leaving { "out" } else { "in" };
        let admitted = match reader {
            Some(reader) => self.admitted(reader, trip, passage.vehicles),
            None => Access { recognition: "rex", ..Access::at(passage.reader_in, "rex") },
        };
        let point = admitted.point;
        world.tell(Event::needed(now, Body::Access(Access { direction, ..admitted })));
        let opened = now + self.random.between(700, 2_500);
        let held = self.random.between(2_500, 6_000);
        let door = |event, held_ms| Body::Access(Access { point, held_ms, ..Access::door(passage, event) });
        world.tell(Event::needed(opened, door("door_open", 0)));
        let held_ms = u32::try_from(held).unwrap_or(0);
        world.tell(Event::free(opened + held, door("door_closed", held_ms)));
        let track = self.next_track();
        self.sight(world, opened + 600, passage.camera, passage.vehicles, direction, track);
    }

    fn admitted(&mut self, reader: u32, trip: &Trip, vehicles: bool) -> Access {
        let granted = Access::granted(reader, trip.credential);
        let score = u8::try_from(self.random.between(82, 99)).unwrap_or(90);
        match (vehicles, trip.credential.class) {
            (true, _) => Access { recognition: "license_plate", match_score: score, ..granted },
            (false, "visitor") => Access { recognition: "pin", match_score: 0, ..granted },
            (false, "resident") if self.random.below(3) > 0 => Access { match_score: score, ..granted },
            (false, _) => Access { recognition: "card", match_score: 0, ..granted },
        }
    }

    pub(super) fn sight(
        &mut self,
        world: &mut World,
        time: i64,
        camera: u32,
        vehicle: bool,
        rule: &'static str,
        track: u32,
    ) {
        if world.is_staged(camera, time) {
            return;
        }
        let score = u8::try_from(self.random.between(66, 98)).unwrap_or(80);
        let human = Sighting::human(camera, "line_crossed", rule, score, track);
        let object = if vehicle { "vehicle" } else { "human" };
        world.tell(Event::free(time, Body::Camera(Sighting { object, ..human })));
    }
}
