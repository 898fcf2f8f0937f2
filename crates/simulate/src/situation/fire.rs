//! R15: smoke.

use super::{Director, Hold, NEIGHBOURHOOD_M, Scene, panic};
use crate::community::{Kind, Unit};
use crate::event::{Body, Event, Reading, Sighting};
use crate::world::World;

/// Nothing else that could confirm a fire in reach, for the rule's 180 s before and after.
const HOLD: Hold = Hold {
    own: &[Kind::Smoke, Kind::Camera, Kind::Panic],
    around: &[Kind::Smoke, Kind::Heat, Kind::Camera, Kind::Panic],
    metres: NEIGHBOURHOOD_M,
    before_s: 190,
    after_s: 310,
};

fn staircase(director: &mut Director, world: &mut World, scene: Scene, detectors: usize) -> Option<Unit> {
    director.unit(world, scene, &HOLD, |_, unit| unit.smoke.len() >= detectors)
}

fn report(device: u32, time: i64, state: &'static str) -> Event {
    let result = Some(if state == "normal" { 1 } else { 34 });
    let reading =
        Reading { device, property: "smoke_obscuration", unit: "dB/m", result, state, heartbeat: false };
    Event::scripted(time, Body::Iot(reading))
}

/// `device` smells smoke at `from` and is reset at `to`.
fn smoke(world: &mut World, scene: Scene, device: u32, (from, to): (i64, i64), priority: u8) {
    let truth = scene.truth(world, &world.id(device), device, scene.after(from), priority);
    world.tell(report(device, scene.after(from), "alarm").completing(truth));
    world.tell(report(device, scene.after(to), "normal"));
}

/// Not reset within 60 s: priority 1.
pub(super) fn not_reset(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = staircase(director, world, scene, 1) else { return false };
    smoke(world, scene, unit.smoke[0], (0, 110_000), 1);
    director.respond(world, unit.smoke[0], scene.after(60_000), "fire");
    true
}

pub(super) fn reset_in_time(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = staircase(director, world, scene, 1) else { return false };
    smoke(world, scene, unit.smoke[0], (0, 32_000), 2);
    true
}

/// A second detector of the staircase confirms the first; each has an alarm of its own, and neither is reset in time.
pub(super) fn second_detector(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = staircase(director, world, scene, 2) else { return false };
    smoke(world, scene, unit.smoke[0], (0, 105_000), 1);
    smoke(world, scene, unit.smoke[1], (20_000, 110_000), 1);
    director.respond(world, unit.smoke[0], scene.after(20_000), "fire");
    true
}

pub(super) fn camera(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = staircase(director, world, scene, 1) else { return false };
    smoke(world, scene, unit.smoke[0], (0, 45_000), 1);
    world.tell(flame(&unit, scene.after(15_000)));
    director.respond(world, unit.smoke[0], scene.after(15_000), "fire");
    true
}

/// Somebody presses the fire button: R15 is confirmed, and the press is R10.
pub(super) fn button(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = staircase(director, world, scene, 1) else { return false };
    smoke(world, scene, unit.smoke[0], (0, 48_000), 1);
    panic::tell_press(world, Scene { at: scene.after(18_000), ..scene }, unit.button, "fire_manual");
    director.respond(world, unit.smoke[0], scene.after(18_000), "fire");
    true
}

/// A near miss: a camera alone is no fire.
pub(super) fn flame_alone(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = staircase(director, world, scene, 0) else { return false };
    world.tell(flame(&unit, scene.at));
    true
}

/// A near miss: the monthly test of a detector.
pub(super) fn test(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = staircase(director, world, scene, 1) else { return false };
    world.tell(report(unit.smoke[0], scene.at, "test"));
    world.tell(report(unit.smoke[0], scene.after(25_000), "normal"));
    true
}

fn flame(unit: &Unit, time: i64) -> Event {
    let human = Sighting::human(unit.passage.camera, "flame", "entrance", 91, u32::MAX - 3);
    Event::scripted(time, Body::Camera(Sighting { object: "fire", ..human }))
}
