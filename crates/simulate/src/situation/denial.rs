//! R06: denied again and again, then inside. R07: denied while somebody loiters.

use super::{Director, Hold, NEIGHBOURHOOD_M, Scene, door};
use crate::community::{Kind, Unit};
use crate::event::{Access, Body, Credential, Event, Sighting};
use crate::world::World;

/// Nobody else is denied or enters within the rule's 120 s before, and for as long after the last denial.
const AT_THE_DOOR: Hold =
    Hold { own: &[Kind::Door, Kind::AccessPoint], around: &[], metres: 0, before_s: 130, after_s: 190 };
/// R01 looks for people, so a door that is opened without a grant is not to be seen.
const UNSEEN: Hold = Hold {
    own: &[Kind::Door, Kind::AccessPoint, Kind::Camera],
    around: &[Kind::Camera],
    metres: 25,
    before_s: 130,
    after_s: 190,
};
/// No other denial and no other loitering in reach.
const ALONE: Hold = Hold {
    own: &[Kind::Door, Kind::AccessPoint, Kind::Camera],
    around: &[Kind::AccessPoint, Kind::Camera],
    metres: NEIGHBOURHOOD_M,
    before_s: 40,
    after_s: 110,
};
const REASONS: [&str; 3] = ["CredentialNotEnabled", "NotPermittedAtThisTime", "CredentialExpired"];

fn deny(world: &mut World, unit: &Unit, time: i64, reason: &'static str, who: Credential) {
    let denied = Access::denied(unit.passage.reader_in, reason, who);
    world.tell(Event::scripted(time, Body::Access(denied)));
}

fn grant(world: &mut World, unit: &Unit, time: i64, who: Credential) -> Event {
    let granted = Event::scripted(time, Body::Access(Access::granted(unit.passage.reader_in, who)));
    let opened = Access::door(&unit.passage, "door_open");
    world.tell(Event::scripted(time + 1_200, Body::Access(opened)));
    door::close(world, unit, time + 5_200, 4_000);
    granted
}

pub(super) fn then_granted(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &AT_THE_DOOR, |_, _| true) else { return false };
    for (time, reason) in (0..).zip(REASONS) {
        let who = director.player();
        deny(world, &unit, scene.after(time * 8_000), reason, who);
    }
    let who = director.player();
    enter(world, scene, &unit, scene.after(33_000), who, 2);
    true
}

/// One who mistypes is no intruder.
pub(super) fn mistyped_pin(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &AT_THE_DOOR, |_, _| true) else { return false };
    let who = director.player();
    for nth in 0..3 {
        deny(world, &unit, scene.after(nth * 6_000), "InvalidPIN", who);
    }
    enter(world, scene, &unit, scene.after(22_000), who, 4);
    true
}

fn enter(world: &mut World, scene: Scene, unit: &Unit, time: i64, who: Credential, priority: u8) {
    let reader = unit.passage.reader_in;
    let truth = scene.truth(world, &world.id(reader), reader, time, priority);
    let granted = grant(world, unit, time, who);
    world.tell(granted.completing(truth));
}

/// The door gives way after the third denial: R06, and R01 for the door.
pub(super) fn then_door_open(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &UNSEEN, |_, _| true) else { return false };
    for nth in 0..3 {
        let who = director.player();
        deny(world, &unit, scene.after(nth * 9_000), "Unauthorized", who);
    }
    let time = scene.after(30_000);
    let (reader, opened_door) = (unit.passage.reader_in, unit.passage.door);
    let repeated = scene.truth(world, &world.id(reader), reader, time, 2);
    let opened = Event::scripted(time, Body::Access(Access::door(&unit.passage, "door_open")));
    world.tell(opened.completing(repeated));
    // The row for R01 hangs on the door's closing: the door is the same, and so is the time that counts.
    let forced = scene.truth_of("R01", world, &world.id(opened_door), opened_door, time, 2);
    let closed = Access { held_ms: 8_000, ..Access::door(&unit.passage, "door_closed") };
    let closed = Event::scripted(time + 8_000, Body::Access(closed));
    world.tell(closed.completing(forced));
    true
}

/// A near miss: two denials and an entry.
pub(super) fn only_two(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    denied_at(director, world, scene, &[0, 9_000], Some(20_000))
}

/// A near miss: three denials and the entry do not fit in 120 s.
pub(super) fn too_slow(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    denied_at(director, world, scene, &[0, 50_000, 100_000], Some(126_000))
}

/// A near miss: three denials, and nobody enters while they count.
pub(super) fn without_entry(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    denied_at(director, world, scene, &[0, 7_000, 15_000], None)
}

fn denied_at(
    director: &mut Director,
    world: &mut World,
    scene: Scene,
    denials: &[i64],
    entry: Option<i64>,
) -> bool {
    let Some(unit) = director.unit(world, scene, &AT_THE_DOOR, |_, _| true) else { return false };
    for &offset in denials {
        let who = director.player();
        deny(world, &unit, scene.after(offset), "CredentialNotEnabled", who);
    }
    if let Some(offset) = entry {
        let who = director.player();
        let granted = grant(world, &unit, scene.after(offset), who);
        world.tell(granted);
    }
    true
}

fn loiter(unit: &Unit, time: i64) -> Event {
    let seen = Sighting::human(unit.passage.camera, "loitering", "entrance", 82, u32::MAX - 2);
    Event::scripted(time, Body::Camera(seen))
}

fn match_of(world: &World, scene: Scene, unit: &Unit, event: Event) -> Event {
    let reader = unit.passage.reader_in;
    let cell = world.community.devices[reader as usize].cell.to_string();
    let truth = scene.truth(world, &cell, reader, event.time, 2);
    event.completing(truth)
}

/// R07 is keyed by the denial's cell; the camera's may be a neighbour of it.
pub(super) fn then_loitering(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &ALONE, |_, _| true) else { return false };
    let who = director.player();
    deny(world, &unit, scene.at, "Unauthorized", who);
    let matched = match_of(world, scene, &unit, loiter(&unit, scene.after(12_000)));
    world.tell(matched);
    true
}

pub(super) fn loitering_first(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &ALONE, |_, _| true) else { return false };
    world.tell(loiter(&unit, scene.at));
    let denied = Access::denied(unit.passage.reader_in, "Unauthorized", director.player());
    let denied = Event::scripted(scene.after(21_000), Body::Access(denied));
    let matched = match_of(world, scene, &unit, denied);
    world.tell(matched);
    true
}

/// Raised at the match; then a resident finds the right card, and the alarm is rejected.
pub(super) fn rejected(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &ALONE, |_, _| true) else { return false };
    let who = director.player();
    deny(world, &unit, scene.at, "CredentialNotEnabled", who);
    let matched = match_of(world, scene, &unit, loiter(&unit, scene.after(15_000)));
    world.tell(matched);
    let granted = grant(world, &unit, scene.after(40_000), who);
    world.tell(granted);
    true
}
