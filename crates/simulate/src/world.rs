//! The state that people, situations and faults share.

use std::sync::Arc;

use crate::agenda::{Agenda, Item, Wake};
use crate::community::{Community, Kind, Passage};
use crate::event::{Access, Body, Care, Credential, Event, Reading, Sighting};
use crate::random::Random;
use crate::truth::Truth;

/// A span of time in epoch milliseconds, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    const NEVER: Self = Self { from: i64::MAX, to: i64::MIN };

    pub(crate) const fn holds(self, time: i64) -> bool {
        self.from <= time && time <= self.to
    }
}

pub(crate) struct World {
    pub(crate) community: Arc<Community>,
    pub(crate) agenda: Agenda,
    /// The present.
    pub(crate) now: i64,
    /// Where a situation plays, and where the next one will: ordinary life keeps away, and so do others.
    stage: Vec<[Span; 2]>,
    /// When a device says nothing at all.
    silence: Vec<Span>,
    /// The last sign of life that reached Kafka, by event time.
    pub(crate) last_seen: Vec<i64>,
    /// The last two denials at each reader.
    denials: Vec<[i64; 2]>,
    /// Devices whose clocks are wrong or that flap take no part in situations.
    pub(crate) unsteady: Vec<bool>,
    /// How many records have been made, those still on their way included.
    pub(crate) produced: u64,
    network: Random,
}

impl World {
    pub(crate) fn new(community: Arc<Community>, seed: u64) -> Self {
        let count = community.devices().len();
        Self {
            agenda: Agenda::default(),
            now: i64::MIN,
            stage: vec![[Span::NEVER; 2]; count],
            silence: vec![Span::NEVER; count],
            last_seen: vec![i64::MIN; count],
            denials: vec![[i64::MIN / 2; 2]; count],
            unsteady: vec![false; count],
            produced: 0,
            network: Random::new(seed, 1),
            community,
        }
    }

    /// Puts `event` on its way to Kafka; the network takes 20 to 250 ms.
    pub(crate) fn tell(&mut self, event: Event) {
        let due = event.time + self.network.between(20, 250);
        self.produced += 1;
        self.agenda.add(due, Item::Event(event));
    }

    pub(crate) fn wake(&mut self, at: i64, wake: Wake) {
        self.agenda.add(at, Item::Wake(wake));
    }

    pub(crate) fn is_staged(&self, device: u32, time: i64) -> bool {
        self.stage[device as usize].iter().any(|span| span.holds(time))
    }

    pub(crate) fn is_silent(&self, device: u32, time: i64) -> bool {
        self.silence[device as usize].holds(time)
    }

    pub(crate) fn hush(&mut self, device: u32, span: Span) {
        self.silence[device as usize] = span;
    }

    /// Reserves `devices` for a situation during `span`, unless another situation has one of them then.
    pub(crate) fn claim(&mut self, devices: &[u32], span: Span) -> bool {
        let free = devices.iter().all(|&device| {
            let [earlier, later] = self.stage[device as usize];
            !self.unsteady[device as usize] && earlier.to < self.now && later.to < span.from
        });
        if free {
            for &device in devices {
                let [_, later] = self.stage[device as usize];
                self.stage[device as usize] = [later, span];
            }
        }
        free
    }

    /// Whether ordinary life may deny somebody here now: of any three denials at a reader the first and the last are
    /// at least 150 s apart, so that R06 (three within 120 s) never holds by accident.
    pub(crate) fn may_deny(&mut self, reader: u32, time: i64) -> bool {
        let [before_last, last] = self.denials[reader as usize];
        let allowed = time - before_last >= 150_000;
        if allowed {
            self.denials[reader as usize] = [last, time];
        }
        allowed
    }

    pub(crate) fn kind(&self, device: u32) -> Kind {
        self.community.devices[device as usize].kind
    }
}

/// How long a reader that lets somebody in keeps its door unlocked.
const UNLOCKED_MS: u32 = 3_000;

impl Access {
    /// What the reader of a passage says.
    pub(crate) fn at(point: u32, event: &'static str) -> Self {
        Self {
            point,
            device: point,
            event,
            reason: "",
            direction: "in",
            recognition: "face",
            credential: None,
            match_score: 0,
            held_ms: 0,
        }
    }

    pub(crate) fn granted(point: u32, credential: Credential) -> Self {
        Self {
            credential: Some(credential),
            match_score: 93,
            held_ms: UNLOCKED_MS,
            ..Self::at(point, "granted")
        }
    }

    pub(crate) fn denied(point: u32, reason: &'static str, credential: Credential) -> Self {
        let recognition = if reason == "InvalidPIN" { "pin" } else { "card" };
        Self { reason, recognition, credential: Some(credential), ..Self::at(point, "denied") }
    }

    /// What the door of `passage` says.
    pub(crate) fn door(passage: &Passage, event: &'static str) -> Self {
        Self { device: passage.door, direction: "", recognition: "", ..Self::at(passage.reader_in, event) }
    }
}

impl Sighting {
    pub(crate) const fn human(
        camera: u32,
        kind: &'static str,
        rule: &'static str,
        score: u8,
        track: u32,
    ) -> Self {
        Self { camera, kind, rule, object: "human", score, count: 1, track }
    }
}

impl Reading {
    pub(crate) const fn heartbeat(device: u32) -> Self {
        Self { device, property: "", unit: "", result: None, state: "", heartbeat: true }
    }
}

impl Event {
    pub(crate) fn needed(time: i64, body: Body) -> Self {
        Self { time, body, care: Care::Needed, truth: None }
    }

    pub(crate) fn free(time: i64, body: Body) -> Self {
        Self { time, body, care: Care::Free, truth: None }
    }

    /// This event completes an alarm.
    pub(crate) fn completing(self, truth: Truth) -> Self {
        Self { truth: Some(Box::new(truth)), ..self }
    }

    pub(crate) fn scripted(time: i64, body: Body) -> Self {
        Self { time, body, care: Care::Scripted, truth: None }
    }
}
