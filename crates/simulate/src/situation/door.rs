//! R01: doors that open without anybody having been let in.

use super::{Director, Hold, Scene};
use crate::community::{Kind, Unit};
use crate::event::{Access, Body, Event, Sighting};
use crate::world::World;

/// Cameras that may look at the door's cell keep quiet, so that nobody is seen there by accident.
const HOLD: Hold = Hold {
    own: &[Kind::Door, Kind::AccessPoint, Kind::Camera],
    around: &[Kind::Camera],
    metres: 25,
    before_s: 25,
    after_s: 45,
};

pub(super) fn forced(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &HOLD, |_, _| true) else { return false };
    break_in(world, scene, &unit, "door_forced", 2);
    true
}

pub(super) fn without_grant(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &HOLD, |_, _| true) else { return false };
    break_in(world, scene, &unit, "door_open", 2);
    true
}

/// The camera above the door sees somebody in the door's own cell.
pub(super) fn forced_and_seen(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &HOLD, camera_in_cell) else { return false };
    break_in(world, scene, &unit, "door_forced", 1);
    let seen = Sighting::human(unit.passage.camera, "intrusion", "entrance", 87, u32::MAX - 1);
    world.tell(Event::scripted(scene.after(6_000), Body::Camera(seen)));
    true
}

pub(super) fn camera_in_cell(world: &World, unit: &Unit) -> bool {
    let devices = &world.community.devices;
    devices[unit.passage.camera as usize].cell == devices[unit.passage.door as usize].cell
        && devices[unit.passage.reader_in as usize].cell == devices[unit.passage.door as usize].cell
}

fn break_in(world: &mut World, scene: Scene, unit: &Unit, event: &'static str, priority: u8) {
    let door = unit.passage.door;
    let truth = scene.truth(world, &world.id(door), door, scene.at, priority);
    let opened = Event::scripted(scene.at, Body::Access(Access::door(&unit.passage, event)));
    world.tell(opened.completing(truth));
    close(world, unit, scene.after(9_000), 9_000);
}

pub(super) fn close(world: &mut World, unit: &Unit, time: i64, held_ms: u32) {
    let closed = Access { held_ms, ..Access::door(&unit.passage, "door_closed") };
    world.tell(Event::scripted(time, Body::Access(closed)));
}

/// A near miss: the door opens just within the 5 s after its grant.
pub(super) fn after_grant(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    granted_at(director, world, scene, -4_200)
}

/// A near miss: the grant arrives 1.5 s after the door has opened.
pub(super) fn grant_follows(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    granted_at(director, world, scene, 1_500)
}

fn granted_at(director: &mut Director, world: &mut World, scene: Scene, offset: i64) -> bool {
    let Some(unit) = director.unit(world, scene, &HOLD, |_, _| true) else { return false };
    let granted = Access::granted(unit.passage.reader_in, director.player());
    world.tell(Event::scripted(scene.after(offset), Body::Access(granted)));
    world.tell(Event::scripted(scene.at, Body::Access(Access::door(&unit.passage, "door_open"))));
    close(world, &unit, scene.after(6_000), 6_000);
    true
}
