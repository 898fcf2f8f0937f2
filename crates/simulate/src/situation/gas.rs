//! R13: combustible gas.

use super::{Director, LEAD_MS, Scene};
use crate::community::Kind;
use crate::event::{Body, Event, Reading};
use crate::world::{Span, World};

/// Milliseconds between the readings of a detector that has smelt something.
const EVERY_MS: i64 = 5_000;

/// At or above 10 %LEL for 10 s.
pub(super) fn alarm(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    play(
        director,
        world,
        scene,
        &[150, 400, 800, 1_100, 1_200, 1_250, 1_180, 900, 500, 200, 100],
        Some((5, 1)),
    )
}

/// One reading at or above 20 %LEL is enough.
pub(super) fn critical(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    play(director, world, scene, &[180, 900, 2_430, 2_600, 1_800, 800, 200, 100], Some((2, 1)))
}

/// 0.9 %LEL a minute, from above 3: told once it has risen for 3 min since the fifth reading.
pub(super) fn rising(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let values = ramp(320, 900, 48);
    play(director, world, scene, &values, Some((40, 2)))
}

/// A near miss: a single reading above 10 %LEL.
pub(super) fn spike(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    play(director, world, scene, &[120, 1_140, 240, 150, 120], None)
}

/// A near miss: 0.3 %LEL a minute.
pub(super) fn slow_rise(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let values = ramp(320, 300, 50);
    play(director, world, scene, &values, None)
}

/// The detector says `alarm` and gives no value.
pub(super) fn without_value(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let Some(device) = detector(director, world, scene, 60_000) else { return false };
    let truth = scene.truth(world, &world.id(device), device, scene.at, 1);
    let says_so =
        |state| Reading { device, property: "ch4", unit: "", result: None, state, heartbeat: false };
    world.tell(Event::scripted(scene.at, Body::Iot(says_so("alarm"))).completing(truth));
    world.tell(Event::scripted(scene.after(40_000), Body::Iot(says_so("normal"))));
    true
}

/// Hundredths of %LEL: from `first` by `per_minute` a minute, for so many readings; then somebody opens a window.
fn ramp(first: i32, per_minute: i32, readings: i32) -> Vec<i32> {
    (0..readings).map(|nth| first + per_minute * nth / 10 * 5 / 6 / 10).chain([150, 100]).collect()
}

/// Plays `values` (hundredths of %LEL); `raise` says which of them completes the alarm, and its priority.
fn play(
    director: &mut Director,
    world: &mut World,
    scene: Scene,
    values: &[i32],
    raise: Option<(usize, u8)>,
) -> bool {
    let lasts = EVERY_MS * i64::try_from(values.len()).unwrap_or(0);
    let Some(device) = detector(director, world, scene, lasts) else { return false };
    for (nth, (index, &value)) in (0_i64..).zip(values.iter().enumerate()) {
        let time = scene.after(nth * EVERY_MS);
        let state = if value >= 1_000 { "alarm" } else { "normal" };
        let reading =
            Reading { device, property: "ch4", unit: "%LEL", result: Some(value), state, heartbeat: false };
        let truth = raise
            .filter(|&(completes, _)| completes == index)
            .map(|(_, priority)| Box::new(scene.truth(world, &world.id(device), device, time, priority)));
        world.tell(Event { truth, ..Event::scripted(time, Body::Iot(reading)) });
    }
    true
}

/// A detector that has given no value for longer than its slope looks back, and gives none for as long after.
fn detector(director: &mut Director, world: &mut World, scene: Scene, lasts: i64) -> Option<u32> {
    let span = Span { from: scene.after(-LEAD_MS), to: scene.after(lasts + LEAD_MS) };
    director.device(
        world,
        span,
        |_, world, device| world.kind(device) == Kind::Ch4,
        |_, _, device| vec![device],
    )
}
