//! Runs the community: an iterator of records in the order of their Kafka timestamps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hexwatch_contract::EventTime;
use hexwatch_contract::time::millis_of;

use crate::agenda::{Item, Wake};
use crate::community::Community;
use crate::event::{Body, Encoder, Event};
use crate::fault::{Faults, Mishaps};
use crate::life::Life;
use crate::random::Random;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::situation::{Director, go_on_with_silence};
use crate::truth::Truth;
use crate::world::World;

/// How many rows of truth wait for [`Simulation::take_truth`]; of an endless run that nobody asks, the oldest go.
const TRUTH_BOUND: usize = 65_536;

/// How long a simulation runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// For ever.
    Endless,
    /// So many records.
    Events(u64),
    /// So long by Kafka timestamps.
    Duration(Duration),
}

/// What is to be simulated.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SimulateConfig {
    /// Which events.
    pub seed: u64,
    /// When they begin.
    pub start: EventTime,
    /// Records a second, mean. Below what the devices' signs of life need (some 5 a second with 480 devices) it is
    /// those alone.
    pub rate: f64,
    /// How long.
    pub extent: Extent,
    /// What is played.
    pub scenario: Scenario,
    /// What goes wrong; nothing does in [`Scenario::Heat`].
    pub faults: Faults,
}

impl SimulateConfig {
    /// The default scenario with its usual faults, at `rate` records a second, for ever.
    #[must_use]
    pub fn endless(seed: u64, start: EventTime, rate: f64) -> Self {
        let (extent, scenario, faults) = (Extent::Endless, Scenario::Default, Faults::default());
        Self { seed, start, rate, extent, scenario, faults }
    }
}

/// A running community. Its memory does not grow with time: it holds what is under way, and nothing of the past.
pub struct Simulation {
    world: World,
    life: Life,
    director: Director,
    mishaps: Mishaps,
    encoder: Encoder,
    config: SimulateConfig,
    press: Vec<u32>,
    truth: VecDeque<Truth>,
    emitted: u64,
}

impl Simulation {
    /// Starts a simulation of `community`.
    #[must_use]
    pub fn new(community: impl Into<Arc<Community>>, config: SimulateConfig) -> Self {
        let community = community.into();
        let heat = config.scenario == Scenario::Heat;
        let rate = if config.rate.is_finite() { config.rate.clamp(0.001, 1e9) } else { 1.0 };
        let faults = if heat { Faults::none() } else { config.faults };
        let config = SimulateConfig { rate, faults, ..config };
        let mut world = World::new(community.clone(), config.seed);
        let mut mishaps = Mishaps::new(&mut world, config.seed, &faults);
        let flapping = mishaps.flapping(&mut world, &faults);
        let start = config.start.millis();
        begin_signs_of_life(&mut world, config.seed, start);
        for device in flapping {
            world.wake(start + 3_000, Wake::Flap { device, left: 0 });
        }
        if !heat {
            world.wake(start, Wake::PatrolHour);
        }
        let life = Life::new(&world, config.seed, rate, heat);
        let director = Director::new(&mut world, &config);
        let press = vec![0; community.devices.len()];
        let encoder = Encoder::new(community, config.start);
        Self { world, life, director, mishaps, encoder, config, press, truth: VecDeque::new(), emitted: 0 }
    }

    /// The truth about situations completed since the last call, in the order of their completion. Priorities are
    /// those the alarms end with.
    pub fn take_truth(&mut self) -> Vec<Truth> {
        self.truth.drain(..).collect()
    }

    /// How many items wait for their time.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.world.agenda.len()
    }

    /// When the next thing of ordinary life happens: late enough that all records so far keep to the rate.
    fn next_of_life(&self) -> i64 {
        #[allow(clippy::cast_possible_truncation, reason = "a time within the run")]
        let offset = (self.world.produced as f64 * 1_000.0 / self.config.rate) as i64;
        self.config.start.millis() + offset
    }

    fn ended(&self, due: i64) -> bool {
        match self.config.extent {
            Extent::Endless => false,
            Extent::Events(events) => self.emitted >= events,
            Extent::Duration(duration) => {
                due >= self.config.start.millis().saturating_add(millis_of(duration))
            }
        }
    }

    /// A record is due: it goes out, or is held up by a mishap.
    fn send(&mut self, due: i64, mut event: Event) -> Option<Record> {
        if let Body::Panic { button, press, .. } = &mut event.body {
            let count = &mut self.press[*button as usize];
            *count += self.mishaps.press_step();
            *press = *count;
        }
        let fate = self.mishaps.fate(&event);
        let id = self.encoder.next_id();
        let Event { time, body, truth, .. } = event;
        let value = self.encoder.encode(&id, &body, fate.stamp());
        if let Some(truth) = truth {
            self.complete(*truth, &id);
        }
        if let Body::Iot(reading) = &body {
            let seen = &mut self.world.last_seen[reading.device as usize];
            *seen = (*seen).max(time);
        }
        let (topic, key) = (body.topic(), self.encoder.key(&body, fate.time));
        if let Some(value) = self.mishaps.malformed(&body, &value) {
            self.later(
                due + 40,
                Record { topic, key: key.clone(), timestamp: at(due + 40), value, well_formed: false },
            );
        }
        let record = Record { topic, key, timestamp: at(due + fate.delay), value, well_formed: true };
        if let Some(after) = fate.again {
            let again = due + fate.delay + after;
            self.later(again, Record { timestamp: at(again), ..record.clone() });
        }
        if fate.delay > 0 {
            self.world.agenda.add(due + fate.delay, Item::Ready(Box::new(record)));
            return None;
        }
        Some(record)
    }

    fn later(&mut self, due: i64, record: Record) {
        self.world.produced += 1;
        self.world.agenda.add(due, Item::Ready(Box::new(record)));
    }

    /// A press or a duress code is an alarm of its own (R10), keyed by the record's source and id.
    fn complete(&mut self, mut truth: Truth, id: &[u8]) {
        if truth.rule == "R10" {
            truth.key.push('/');
            truth.key.push_str(&String::from_utf8_lossy(id));
        }
        if self.truth.len() == TRUTH_BOUND {
            self.truth.pop_front();
        }
        self.truth.push_back(truth);
    }

    fn go_on(&mut self, now: i64, wake: Wake) {
        self.world.now = now;
        match wake {
            Wake::Situation => self.director.plan(&mut self.world, now),
            Wake::Silence(silence) => {
                if let Some(truth) = go_on_with_silence(&mut self.world, now, *silence) {
                    self.complete(truth, b"");
                }
            }
            wake => self.life.go_on(&mut self.world, now, &wake),
        }
    }
}

impl Iterator for Simulation {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let of_life = self.next_of_life();
            let planned = self.world.agenda.next_due().unwrap_or(i64::MAX);
            if self.ended(of_life.min(planned)) {
                return None;
            }
            if of_life < planned {
                let before = self.world.produced;
                self.life.act(&mut self.world, of_life);
                // Time goes on even where situations have taken every place that chance hit.
                self.world.produced = self.world.produced.max(before + 1);
                continue;
            }
            let record = match self.world.agenda.take()? {
                (due, Item::Event(event)) => self.send(due, event),
                (_, Item::Ready(record)) => Some(*record),
                (due, Item::Wake(wake)) => {
                    self.go_on(due, wake);
                    None
                }
            };
            if let Some(record) = record {
                self.emitted += 1;
                return Some(record);
            }
        }
    }
}

const fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

/// Each gateway begins somewhere in its first interval, and what hangs on it follows within 8 s.
fn begin_signs_of_life(world: &mut World, seed: u64, start: i64) {
    let mut random = Random::new(seed, 4);
    let community = world.community.clone();
    for (index, gateway) in (0_u32..).zip(&community.devices) {
        if gateway.kind != crate::community::Kind::Gateway {
            continue;
        }
        let Some(seconds) = gateway.heartbeat_s else { continue };
        let phase = start + random.between(0, i64::from(seconds) * 1_000);
        world.wake(phase, Wake::Heartbeat(index));
        for &sensor in &gateway.links {
            world.wake(phase + random.between(200, 8_000), Wake::Heartbeat(sensor));
        }
    }
}
