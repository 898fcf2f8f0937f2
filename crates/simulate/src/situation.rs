//! Situations played on a schedule, each with the alarm it must raise, and near misses that must raise none.

mod denial;
mod door;
mod fire;
mod gas;
mod panic;
mod silence;

pub(crate) use silence::{Silence, go_on as go_on_with_silence};

use std::collections::VecDeque;

use hexwatch_contract::EventTime;

use crate::agenda::Wake;
use crate::community::{Kind, Unit};
use crate::event::{Body, Credential, Event, Leg};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::simulation::{Extent, SimulateConfig};
use crate::truth::Truth;
use crate::world::{Span, World};

/// How far ahead a situation is planned: a gas detector must have kept quiet for longer than its slope's window.
const LEAD_MS: i64 = 330_000;
/// The first situation's time after the start.
const FIRST_MS: i64 = 15_000;
/// Further than a neighbouring cell at resolution 12 reaches.
const NEIGHBOURHOOD_M: i64 = 45;
/// Pseudonyms of those who play in situations.
const PLAYERS_FROM: u64 = 1 << 33;

/// One situation of the repertoire.
struct Plot {
    name: &'static str,
    rule: &'static str,
    /// From its time to its end, with the time its alarm needs.
    lasts_s: i64,
    play: fn(&mut Director, &mut World, Scene) -> bool,
}

/// A plot at its time.
#[derive(Clone, Copy)]
struct Scene {
    name: &'static str,
    rule: &'static str,
    at: i64,
}

/// In the order of the first round of [`Scenario::Default`]: each rule early, so that each has been seen soon.
const REPERTOIRE: [Plot; 37] = [
    plot("panic_press", "R10", 30, panic::press),
    plot("forced_and_seen", "R01", 40, door::forced_and_seen),
    plot("denied_then_granted", "R06", 60, denial::then_granted),
    plot("sensor_silent", "R17", 240, silence::sensor),
    plot("gas_alarm", "R13", 90, gas::alarm),
    plot("smoke_confirmed_by_detector", "R15", 120, fire::second_detector),
    plot("denied_while_loitering", "R07", 60, denial::then_loitering),
    plot("near_miss_two_denials", "R06", 60, denial::only_two),
    plot("opened_without_grant", "R01", 40, door::without_grant),
    plot("medical_press", "R10", 30, panic::medical),
    plot("gateway_silent", "R17", 260, silence::gateway),
    plot("mistyped_pin", "R06", 60, denial::mistyped_pin),
    plot("near_miss_test_press", "R10", 30, panic::test),
    plot("smoke_not_reset", "R15", 130, fire::not_reset),
    plot("gas_critical", "R13", 90, gas::critical),
    plot("denied_loitering_rejected", "R07", 100, denial::rejected),
    plot("near_miss_opened_after_grant", "R01", 40, door::after_grant),
    plot("duress_code", "R10", 30, panic::duress_code),
    plot("smoke_reset_in_time", "R15", 90, fire::reset_in_time),
    plot("gas_rising", "R13", 330, gas::rising),
    plot("denied_then_door_open", "R06", 60, denial::then_door_open),
    plot("near_miss_gas_spike", "R13", 60, gas::spike),
    plot("smoke_confirmed_by_button", "R15", 130, fire::button),
    plot("near_miss_flame_alone", "R15", 60, fire::flame_alone),
    plot("forced", "R01", 40, door::forced),
    plot("loitering_then_denied", "R07", 60, denial::loitering_first),
    plot("near_miss_slow_denials", "R06", 180, denial::too_slow),
    plot("silent_press", "R10", 30, panic::silent),
    plot("smoke_confirmed_by_camera", "R15", 130, fire::camera),
    plot("gas_without_value", "R13", 60, gas::without_value),
    plot("lone_sensor_silent", "R17", 600, silence::lone_sensor),
    plot("near_miss_grant_follows", "R01", 40, door::grant_follows),
    plot("duress_press", "R10", 30, panic::duress),
    plot("near_miss_gas_slow_rise", "R13", 330, gas::slow_rise),
    plot("near_miss_smoke_test", "R15", 60, fire::test),
    plot("cancelled_press", "R10", 60, panic::cancelled),
    plot("near_miss_denied_without_entry", "R06", 180, denial::without_entry),
];

const fn plot(
    name: &'static str,
    rule: &'static str,
    lasts_s: i64,
    play: fn(&mut Director, &mut World, Scene) -> bool,
) -> Plot {
    Plot { name, rule, lasts_s, play }
}

/// Plans situations and plays them.
pub(crate) struct Director {
    random: Random,
    scenario: Scenario,
    /// What is to be played, the next in front.
    plots: VecDeque<&'static Plot>,
    /// How many are still to be played in the first round.
    first_round: usize,
    at: i64,
    end: i64,
    players: u64,
    incidents: u64,
    /// The gateway of each device.
    gateway_of: Vec<Option<u32>>,
}

impl Director {
    pub(crate) fn new(world: &mut World, config: &SimulateConfig) -> Self {
        let plots: VecDeque<&Plot> = REPERTOIRE.iter().filter(|plot| plays(config.scenario, plot)).collect();
        let start = config.start.millis();
        let mut gateway_of = vec![None; world.community.devices.len()];
        for (index, gateway) in (0_u32..).zip(&world.community.devices) {
            for &device in gateway.links.iter().filter(|_| gateway.kind == Kind::Gateway) {
                gateway_of[device as usize] = Some(index);
            }
        }
        if !plots.is_empty() {
            world.wake(start, Wake::Situation);
        }
        Self {
            random: Random::new(config.seed, 5),
            scenario: config.scenario,
            first_round: plots.len(),
            plots,
            at: start + FIRST_MS,
            end: end_of(config, world),
            players: 0,
            incidents: 0,
            gateway_of,
        }
    }

    /// Plays the next plot that still fits into the run and finds a free place, and comes back in time for the one
    /// after it. What was not played keeps its turn.
    pub(crate) fn plan(&mut self, world: &mut World, now: i64) {
        for index in 0..self.plots.len() {
            let plot = self.plots[index];
            let scene = Scene { name: plot.name, rule: plot.rule, at: self.at };
            let fits = self.at + plot.lasts_s * 1_000 <= self.end;
            if fits && (plot.play)(self, world, scene) {
                self.plots.remove(index);
                self.plots.push_back(plot);
                self.first_round = self.first_round.saturating_sub(1);
                break;
            }
        }
        self.at += self.gap();
        if self.at < self.end {
            world.wake((self.at - LEAD_MS).max(now), Wake::Situation);
        }
    }

    fn gap(&mut self) -> i64 {
        let jitter = self.random.between(-700, 700);
        jitter
            + match self.scenario {
                Scenario::Storm => 4_000,
                Scenario::Rule(_) => 20_000,
                _ if self.first_round > 0 => 15_000,
                _ => 90_000,
            }
    }

    /// Somebody new, with a credential of their own.
    fn player(&mut self) -> Credential {
        self.players += 1;
        Credential { number: PLAYERS_FROM + self.players, class: "visitor" }
    }

    /// Finds a unit that `suits`, and keeps the devices of `kinds` within `metres` of its door for a while around the
    /// scene.
    fn unit(
        &mut self,
        world: &mut World,
        scene: Scene,
        hold: &Hold,
        suits: impl Fn(&World, &Unit) -> bool,
    ) -> Option<Unit> {
        for _ in 0..200 {
            let unit = self.random.pick(&world.community.units)?.clone();
            if !suits(world, &unit) {
                continue;
            }
            let devices: Vec<u32> = (0_u32..)
                .zip(&world.community.devices)
                .filter(|(index, device)| {
                    unit.owns(*index) && hold.own.contains(&device.kind)
                        || hold.around.contains(&device.kind) && device.spot.within(unit.spot, hold.metres)
                })
                .map(|(index, _)| index)
                .collect();
            if world.claim(&devices, hold.span(scene.at)) {
                return Some(unit);
            }
        }
        None
    }

    /// Finds a device that `suits` and keeps it, and those `with` it.
    fn device(
        &mut self,
        world: &mut World,
        span: Span,
        suits: impl Fn(&Self, &World, u32) -> bool,
        with: impl Fn(&Self, &World, u32) -> Vec<u32>,
    ) -> Option<u32> {
        let count = world.community.devices.len();
        for _ in 0..count.max(2_000) {
            let device = u32::try_from(self.random.index(count)).ok()?;
            if suits(self, world, device) && world.claim(&with(self, world, device), span) {
                return Some(device);
            }
        }
        None
    }

    /// Those who respond, within the times that the plan asks for.
    fn respond(&mut self, world: &mut World, device: u32, alarmed_at: i64, agency: &'static str) {
        self.incidents += 1;
        let incident = self.incidents;
        let point = world.community.devices[device as usize].point;
        let on_the_road = alarmed_at + self.random.between(45_000, 100_000);
        let arrived = on_the_road + self.random.between(90_000, 180_000);
        for (time, step) in [
            (alarmed_at + 5_000, "received"),
            (alarmed_at + 8_000, "created"),
            (alarmed_at + 14_000, "assigned"),
            (alarmed_at + self.random.between(18_000, 28_000), "acknowledged"),
            (on_the_road, "enroute"),
            (arrived, "arrived"),
            (arrived + self.random.between(300_000, 900_000), "cleared"),
            (arrived + 960_000, "feedback"),
        ] {
            world
                .tell(Event::scripted(time, Body::Dispatch(Box::new(Leg { incident, agency, step, point }))));
        }
    }
}

/// Which devices a situation keeps, and for how long before and after its time.
struct Hold {
    /// Kinds of the unit's own devices.
    own: &'static [Kind],
    /// Kinds of all devices within `metres`.
    around: &'static [Kind],
    metres: i64,
    before_s: i64,
    after_s: i64,
}

impl Hold {
    const fn span(&self, at: i64) -> Span {
        Span { from: at - self.before_s * 1_000, to: at + self.after_s * 1_000 }
    }
}

impl Unit {
    fn owns(&self, device: u32) -> bool {
        let passage = &self.passage;
        [passage.door, passage.reader_in, passage.camera, self.button].contains(&device)
            || self.smoke.contains(&device)
    }
}

impl Scene {
    /// The alarm that `device` must raise at `time`.
    fn truth(self, world: &World, key: &str, device: u32, time: i64, priority: u8) -> Truth {
        self.truth_of(self.rule, world, key, device, time, priority)
    }

    fn truth_of(
        self,
        rule: &'static str,
        world: &World,
        key: &str,
        device: u32,
        time: i64,
        priority: u8,
    ) -> Truth {
        let at = &world.community.devices[device as usize];
        Truth {
            situation: self.name,
            rule,
            key: key.to_owned(),
            device: at.id.to_string(),
            cell: at.cell,
            time: EventTime::from_millis(time),
            priority,
        }
    }

    /// Milliseconds after the scene's time.
    const fn after(self, millis: i64) -> i64 {
        self.at + millis
    }
}

impl World {
    fn id(&self, device: u32) -> String {
        self.community.devices[device as usize].id.to_string()
    }
}

fn plays(scenario: Scenario, plot: &Plot) -> bool {
    match scenario {
        Scenario::Default => true,
        Scenario::Quiet | Scenario::Heat => false,
        Scenario::Storm => plot.rule != "R17" && plot.lasts_s < 200 && !plot.name.starts_with("near_miss"),
        Scenario::Rule(rule) => plot.rule == rule,
    }
}

/// When the run ends, guessed from below where it is counted in records: a situation that would be cut short is not
/// begun, so that each row of truth holds.
fn end_of(config: &SimulateConfig, world: &World) -> i64 {
    let start = config.start.millis();
    match config.extent {
        Extent::Endless => i64::MAX,
        Extent::Duration(duration) => start.saturating_add(hexwatch_contract::time::millis_of(duration)),
        Extent::Events(events) => {
            let hearts = world.community.devices.iter().filter_map(|device| device.heartbeat_s);
            let of_hearts: f64 = hearts.map(|seconds| 1.0 / f64::from(seconds)).sum();
            #[allow(clippy::cast_possible_truncation, reason = "saturates")]
            let length = (events as f64 * 950.0 / config.rate.max(of_hearts * 1.1)) as i64;
            start.saturating_add(length)
        }
    }
}
