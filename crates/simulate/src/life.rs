//! Ordinary life: people on their ways, and what cameras and sensors say by themselves.

mod ambient;
mod patrol;
mod trip;

pub(crate) use trip::Trip;

use crate::agenda::Wake;
use crate::community::{Kind, Role};
use crate::random::{Random, Share};
use crate::rhythm;
use crate::world::World;

/// Beyond this many records a second, people are seen at one door instead of on their whole way: a way takes
/// minutes, and all that are under way must fit into memory.
const WHOLE_WAYS_UP_TO: f64 = 20_000.0;

/// Ordinary life, with what it must remember of each person.
pub(crate) struct Life {
    random: Random,
    /// Whether somebody is at home.
    at_home: Vec<bool>,
    /// Until when somebody is on a way.
    busy_until: Vec<i64>,
    /// Residents without whom a way is walked: couriers, visitors, staff. Each has a fresh pseudonym.
    strangers: u64,
    whole_ways: Share,
    cameras: Vec<u32>,
    /// Cameras so far from every reader that somebody loitering there is near no denial (R07).
    loitering: Vec<u32>,
    sensors: Vec<u32>,
    readers: Vec<u32>,
    gates_by_quarter: Vec<Vec<usize>>,
    tracks: u32,
    rounds: u64,
    /// Whether only the benchmark's three topics are wanted, in full records.
    load: bool,
}

impl Life {
    pub(crate) fn new(world: &World, seed: u64, rate: f64, load: bool) -> Self {
        let community = &world.community;
        let of_kind = |wanted: fn(Kind) -> bool| -> Vec<u32> {
            (0..)
                .zip(&community.devices)
                .filter(|(_, device)| wanted(device.kind))
                .map(|(index, _)| index)
                .collect()
        };
        let mut gates_by_quarter = vec![Vec::new(); community.quarters as usize];
        for (index, (quarter, _)) in community.gates.iter().enumerate() {
            gates_by_quarter[*quarter as usize].push(index);
        }
        let people = community.people.len();
        Self {
            random: Random::new(seed, 2),
            at_home: vec![true; people],
            busy_until: vec![i64::MIN; people],
            strangers: 0,
            whole_ways: Share::of(WHOLE_WAYS_UP_TO / rate),
            cameras: of_kind(|kind| kind == Kind::Camera),
            loitering: ambient::far_from_readers(community),
            sensors: of_kind(ambient::speaks_unasked),
            readers: of_kind(|kind| kind == Kind::AccessPoint),
            gates_by_quarter,
            tracks: 0,
            rounds: 0,
            load,
        }
    }

    /// One more thing happens at `now`; at least one record comes of it, unless everything it hits is taken by
    /// situations.
    pub(crate) fn act(&mut self, world: &mut World, now: i64) {
        if self.load {
            return self.load_record(world, now);
        }
        let (hour, weekend) = rhythm::hour_of(now);
        let people = self.random.below(100) < u32::from(rhythm::PEOPLE[hour]);
        if !(people && self.set_out(world, now, hour, weekend)) {
            self.ambient(world, now);
        }
    }

    /// Somebody sets out, if one of a few picked at random is ready to.
    fn set_out(&mut self, world: &mut World, now: i64, hour: usize, weekend: bool) -> bool {
        if self.random.below(100) < 12 {
            return self.stranger_arrives(world, now);
        }
        for _ in 0..6 {
            let index = self.random.index(world.community.people.len());
            let person = world.community.people[index];
            let leaving = self.at_home[index];
            let ready = rhythm::readiness(person.role, leaving, hour, weekend);
            if self.busy_until[index] > now || self.random.below(100) >= u32::from(ready) {
                continue;
            }
            let Some(gate) = self.gate_for(world, person.unit, person.role) else { continue };
            let trip = Trip::of_resident(index, person.unit, gate, leaving);
            if self.begin(world, now, trip) {
                self.at_home[index] = !leaving;
                self.busy_until[index] = now + 300_000;
                return true;
            }
        }
        false
    }

    fn gate_for(&mut self, world: &World, unit: u32, role: Role) -> Option<u32> {
        let quarter = world.community.units[unit as usize].quarter as usize;
        let vehicles = role == Role::Driver;
        let gates = &self.gates_by_quarter[quarter];
        let (&school, others) = gates.split_last()?;
        if role == Role::Pupil && self.random.below(2) == 0 {
            return u32::try_from(school).ok();
        }
        for _ in 0..4 {
            let gate = *self.random.pick(others)?;
            if world.community.gates[gate].1.vehicles == vehicles {
                return u32::try_from(gate).ok();
            }
        }
        None
    }

    fn next_track(&mut self) -> u32 {
        self.tracks = self.tracks.wrapping_add(1);
        self.tracks
    }

    /// Goes on with what was begun.
    pub(crate) fn go_on(&mut self, world: &mut World, now: i64, wake: &Wake) {
        match wake {
            &Wake::Trip(trip) => self.continue_trip(world, now, trip),
            &Wake::Heartbeat(device) => self.heartbeat(world, now, device),
            &Wake::Flap { device, left } => self.flap(world, now, device, left),
            Wake::PatrolHour => self.patrol_hour(world, now),
            Wake::Situation | Wake::Silence(_) => {}
        }
    }
}
