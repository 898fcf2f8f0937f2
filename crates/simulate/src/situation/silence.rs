//! R17: sensors that say nothing any more.

use super::{Director, Scene};
use crate::agenda::Wake;
use crate::community::{Community, Kind};
use crate::truth::Truth;
use crate::world::{Span, World};

/// Silence is told after three intervals, and never before 90 s.
const INTERVALS: i64 = 3;
const LEAST_MS: i64 = 90_000;
/// How long a gateway's burst takes; a gateway falls silent between two bursts.
const BURST_MS: i64 = 9_000;
/// Longer than a record takes to reach Kafka.
const IN_FLIGHT_MS: i64 = 1_000;

/// Devices that fall silent together.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    situation: &'static str,
    /// Whose alarm it is: the device, or its gateway.
    lead: u32,
    devices: Vec<u32>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Fall,
    Count,
    Tell { deadline: i64 },
}

pub(super) fn sensor(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let quick = |director: &Director, world: &World, device: u32| {
        is_watched_sensor(director, world, device)
            && interval_ms(&world.community, device) * INTERVALS <= LEAST_MS
    };
    begin(director, world, scene, quick)
}

/// The only sensor of its kind in its cell at resolution 11: priority 2.
pub(super) fn lone_sensor(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let lone = |director: &Director, world: &World, device: u32| {
        is_watched_sensor(director, world, device) && is_alone(&world.community, device)
    };
    begin(director, world, scene, lone)
}

/// A gateway dies, and with it all that hangs on it: one alarm.
pub(super) fn gateway(director: &mut Director, world: &mut World, scene: Scene) -> bool {
    let quick = |_: &Director, world: &World, device: u32| {
        let gateway = &world.community.devices[device as usize];
        gateway.kind == Kind::Gateway && gateway.heartbeat_s == Some(30) && gateway.links.len() > 1
    };
    let span = Span { from: scene.after(-70_000), to: scene.after(300_000) };
    let with = |_: &Director, world: &World, device: u32| {
        let links = world.community.devices[device as usize].links.iter().copied();
        links.chain([device]).collect::<Vec<_>>()
    };
    let Some(lead) = director.device(world, span, quick, with) else { return false };
    let devices = with(director, world, lead);
    world.wake(
        scene.at,
        Wake::Silence(Box::new(Silence { situation: scene.name, lead, devices, step: Step::Fall })),
    );
    true
}

fn begin(
    director: &mut Director,
    world: &mut World,
    scene: Scene,
    suits: impl Fn(&Director, &World, u32) -> bool,
) -> bool {
    // The gateway is kept too, for two sensors of one gateway that fall silent together would be its alarm.
    let span = Span { from: scene.after(-40_000), to: scene.after(560_000) };
    let with = |director: &Director, _: &World, device: u32| {
        director.gateway_of[device as usize].into_iter().chain([device]).collect::<Vec<_>>()
    };
    let Some(lead) = director.device(world, span, suits, with) else { return false };
    let devices = vec![lead];
    world.wake(
        scene.at,
        Wake::Silence(Box::new(Silence { situation: scene.name, lead, devices, step: Step::Fall })),
    );
    true
}

fn is_watched_sensor(director: &Director, world: &World, device: u32) -> bool {
    director.gateway_of[device as usize].is_some()
        && world.community.devices[device as usize].heartbeat_s.is_some()
}

fn interval_ms(community: &Community, device: u32) -> i64 {
    i64::from(community.devices[device as usize].heartbeat_s.unwrap_or(0)) * 1_000
}

fn is_alone(community: &Community, device: u32) -> bool {
    let this = &community.devices[device as usize];
    community
        .devices
        .iter()
        .filter(|other| other.kind == this.kind && other.risk_cell == this.risk_cell)
        .count()
        == 1
}

/// Goes on with a silence; the truth once it has lasted long enough.
pub(crate) fn go_on(world: &mut World, now: i64, silence: Silence) -> Option<Truth> {
    match silence.step {
        Step::Fall => fall(world, now, silence),
        Step::Count => count(world, silence),
        Step::Tell { deadline } => return Some(tell(world, &silence, deadline)),
    }
    None
}

/// Waits until each device that has an interval has been heard, and the gateway's burst is over.
fn fall(world: &mut World, now: i64, silence: Silence) {
    let watched = silence.devices.iter().filter(|&&device| interval_ms(&world.community, device) > 0);
    let heard = watched.map(|&device| world.last_seen[device as usize]);
    let (first, last) =
        heard.fold((i64::MAX, i64::MIN), |(first, last), seen| (first.min(seen), last.max(seen)));
    let lead_seen = world.last_seen[silence.lead as usize];
    let in_burst = silence.devices.len() > 1 && now < lead_seen.max(last).saturating_add(BURST_MS);
    if first == i64::MIN || in_burst {
        world.wake(now + 2_000, Wake::Silence(Box::new(silence)));
        return;
    }
    for &device in &silence.devices {
        world.hush(device, Span { from: now, to: i64::MAX });
    }
    world.wake(now + IN_FLIGHT_MS, Wake::Silence(Box::new(Silence { step: Step::Count, ..silence })));
}

/// Now that nothing is in flight, the last signs of life are known; the devices come back half a minute after the alarm.
fn count(world: &mut World, silence: Silence) {
    let deadline_of = |world: &World, device: u32| {
        let patience = (interval_ms(&world.community, device) * INTERVALS).max(LEAST_MS);
        world.last_seen[device as usize] + patience
    };
    let watched = silence.devices.iter().filter(|&&device| interval_ms(&world.community, device) > 0);
    let deadlines: Vec<i64> = watched.map(|&device| deadline_of(world, device)).collect();
    let first = deadlines.iter().copied().min().unwrap_or(i64::MAX);
    let last = deadlines.iter().copied().max().unwrap_or(first);
    for &device in &silence.devices {
        world.hush(device, Span { from: i64::MIN, to: last + 45_000 });
    }
    world.wake(first, Wake::Silence(Box::new(Silence { step: Step::Tell { deadline: first }, ..silence })));
}

fn tell(world: &World, silence: &Silence, deadline: i64) -> Truth {
    let scene = Scene { name: silence.situation, rule: "R17", at: deadline };
    let watched = silence.devices.iter().filter(|&&device| interval_ms(&world.community, device) > 0);
    let alone = watched.clone().any(|&device| is_alone(&world.community, device));
    let priority = if alone { 2 } else { 3 };
    let lead = &world.community.devices[silence.lead as usize];
    Truth {
        situation: scene.name,
        rule: scene.rule,
        key: lead.id.to_string(),
        device: lead.id.to_string(),
        cell: lead.cell,
        time: hexwatch_contract::EventTime::from_millis(deadline),
        priority,
    }
}
