//! R10: presses and duress codes.

use super::{Director, Hold, Scene};
use crate::community::Kind;
use crate::event::{Access, Body, Event};
use crate::world::{Span, World};

/// A press is keyed by its record's source and id; the id follows when the record is made.
const PRESS_SOURCE: &str = "sos";
const CODE_SOURCE: &str = "acs";
const AT_THE_DOOR: Hold =
    Hold { own: &[Kind::Door, Kind::AccessPoint], around: &[], metres: 0, before_s: 20, after_s: 40 };

pub(super) fn press(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    pressed(director, world, scene, "panic", Some("police"))
}

pub(super) fn medical(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    pressed(director, world, scene, "medical", Some("medical"))
}

pub(super) fn silent(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    pressed(director, world, scene, "silent", Some("police"))
}

pub(super) fn duress(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    pressed(director, world, scene, "duress", Some("police"))
}

/// A near miss: the monthly test of a button.
pub(super) fn test(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(button) = button(director, world, scene) else { return false };
    world.tell(press_of(button, "test", scene.at));
    true
}

/// A cancel deletes nothing: the press is an alarm, the cancel none.
pub(super) fn cancelled(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(button) = button(director, world, scene) else { return false };
    tell_press(world, scene, button, "panic");
    world.tell(press_of(button, "cancel", scene.after(11_000)));
    true
}

/// Somebody enters under threat, with the second code.
pub(super) fn duress_code(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(unit) = director.unit(world, scene, &AT_THE_DOOR, |_, _| true) else { return false };
    let reader = unit.passage.reader_in;
    let truth = scene.truth(world, CODE_SOURCE, reader, scene.at, 1);
    let code = Access { recognition: "pin", ..Access::at(reader, "duress") };
    let code = Access { credential: Some(director.player()), ..code };
    world.tell(Event::scripted(scene.at, Body::Access(code)).completing(truth));
    director.respond(world, reader, scene.at, "police");
    true
}

fn pressed(
    director: &mut Director,
    world: &mut World,
    scene: Scene,
    kind: &'static str,
    agency: Option<&'static str>,
) -> bool {
    let Some(button) = button(director, world, scene) else { return false };
    tell_press(world, scene, button, kind);
    if let Some(agency) = agency {
        director.respond(world, button, scene.at, agency);
    }
    true
}

/// Presses `button`, and says that this is an alarm.
pub(super) fn tell_press(world: &mut World, scene: Scene, button: u32, kind: &'static str) {
    let truth = scene.truth_of("R10", world, PRESS_SOURCE, button, scene.at, 1);
    world.tell(press_of(button, kind, scene.at).completing(truth));
}

fn press_of(button: u32, kind: &'static str, time: i64) -> Event {
    Event::scripted(time, Body::Panic { button, kind, press: 0 })
}

fn button(director: &mut Director, world: &mut World, scene: Scene) -> Option<u32> {
    let span = Span { from: scene.after(-5_000), to: scene.after(60_000) };
    director.device(
        world,
        span,
        |_, world, device| world.kind(device) == Kind::Panic,
        |_, _, device| vec![device],
    )
}
