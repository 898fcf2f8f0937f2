//! Officers on their rounds, and what they report.

use super::Life;
use crate::agenda::Wake;
use crate::community::{Community, Spot};
use crate::event::{Body, Event, Scan};
use crate::rhythm;
use crate::world::World;

impl Life {
    /// Begins the rounds that the plan has for this hour; in every other hour one route of a quarter is walked unplanned,
    /// as officers do.
    pub(super) fn patrol_hour(&mut self, world: &mut World, now: i64) {
        let hour_ms = 3_600_000;
        world.wake((now.div_euclid(hour_ms) + 1) * hour_ms, Wake::PatrolHour);
        let (hour, _) = rhythm::hour_of(now);
        for quarter in 0..world.community.quarters {
            let due: Vec<usize> = (0..Community::routes().len())
                .filter(|&route| {
                    Community::routes()[route].slots.iter().any(|&slot| usize::from(slot) == hour)
                })
                .collect();
            let routes = if due.is_empty() { vec![hour % Community::routes().len()] } else { due };
            for route in routes {
                let start = now + self.random.between(12_000, 120_000);
                self.round(world, start, quarter, route);
            }
        }
    }

    fn round(&mut self, world: &mut World, start: i64, quarter: u32, route: usize) {
        self.rounds += 1;
        let corner = world.community.corner(quarter);
        let officer = u64::from(quarter) * 2 + route as u64;
        let (mut time, mut before) = (start, None::<Spot>);
        for (position, &(x, y)) in (1_u32..).zip(Community::routes()[route].stops) {
            let spot = corner.by(x * 100, y * 100);
            // Slower than 2.5 m/s, so that no round is implausible (R23).
            time += before.map_or(0, |before| before.walk_to(spot) * self.random.between(750, 1_000)) + 8_000;
            before = Some(spot);
            let checkpoint =
                Some((quarter + 1, u32::try_from(route).unwrap_or(0) + 1, position, self.rounds));
            let method = if position % 4 == 0 { "qr" } else { "nfc" };
            let result = if self.random.below(40) == 0 { "defect" } else { "ok" };
            let point = spot.point();
            let scan = Scan { officer, kind: "checkpoint", point, checkpoint, method, result, hazard: "" };
            world.tell(Event::needed(time, Body::Patrol(Box::new(scan))));
        }
    }

    /// A complaint, a hazard or an inspection's result.
    pub(super) fn patrol_report(&mut self, world: &mut World, now: i64) -> bool {
        let unit = self.random.index(world.community.units.len());
        let place = &world.community.units[unit];
        let (kind, result, hazard) = match self.random.below(10) {
            0..=4 => ("complaint", "", ["noise", "parking", "rubbish", "pets"][self.random.index(4)]),
            5..=7 => (
                "hazard_report",
                "",
                ["ebike_charging", "blocked_stairs", "loose_facade"][self.random.index(3)],
            ),
            _ => ("inspection", if self.random.below(8) == 0 { "defect" } else { "ok" }, ""),
        };
        let officer = u64::from(place.quarter) * 2;
        let point = place.spot.point();
        let scan = Scan { officer, kind, point, checkpoint: None, method: "manual", result, hazard };
        world.tell(Event::free(now, Body::Patrol(Box::new(scan))));
        true
    }
}
