//! Puts devices into a quarter, until it has as many as it is to have.

use std::sync::Arc;

use super::device::{Device, Kind, Passage, Unit};
use super::plan;
use super::point::Spot;
use crate::random::Random;

/// The eight directions of the compass from north, clockwise; times 100.
const COMPASS: [(i64, i64); 8] =
    [(0, 100), (71, 71), (100, 0), (71, -71), (0, -100), (-71, -71), (-100, 0), (-71, 71)];
/// Signs of life of what hangs on a quick gateway, and on an ordinary one, in seconds. All devices of a gateway
/// report in one burst behind it, so that a dead gateway shows as one event.
const QUICK_S: u32 = 30;
const ORDINARY_S: u32 = 120;

/// A sensor that a quarter may have, in the order of need.
struct Place {
    id: String,
    kind: Kind,
    spot: Spot,
    floor: i64,
    gateway: u32,
    unit: Option<usize>,
}

/// What is being built.
#[derive(Default)]
pub(crate) struct Furnished {
    pub(crate) devices: Vec<Device>,
    pub(crate) units: Vec<Unit>,
    /// Gates and barriers with the quarter each belongs to.
    pub(crate) gates: Vec<(u32, Passage)>,
}

impl Furnished {
    fn add(&mut self, id: String, kind: Kind, spot: Spot, floor: i64) -> u32 {
        let point = spot.point();
        let index = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        let cell = super::cells::event_cell(point);
        self.devices.push(Device {
            id: Arc::from(id),
            kind,
            point,
            floor,
            footprint: None,
            heartbeat_s: None,
            links: Vec::new(),
            cell,
            risk_cell: super::cells::risk_cell(cell),
            spot,
        });
        index
    }

    fn link(&mut self, from: u32, to: u32) {
        self.devices[from as usize].links.push(to);
    }

    fn camera(&mut self, id: String, spot: Spot, floor: i64, direction: u8, reach: i64) -> u32 {
        let index = self.add(id, Kind::Camera, spot, floor);
        let (dx, dy) = COMPASS[usize::from(direction) % 8];
        let (side_x, side_y) = (-dy, dx);
        let corner = |ahead: i64, aside: i64| {
            spot.by((dx * ahead + side_x * aside) * reach / 100, (dy * ahead + side_y * aside) * reach / 100)
                .point()
        };
        let ring = vec![corner(0, 0), corner(80, -45), corner(100, 0), corner(80, 45), corner(0, 0)];
        self.devices[index as usize].footprint = Some(ring);
        index
    }

    fn passage(&mut self, name: &str, spot: Spot, floor: i64, camera: u32, readers: (bool, bool)) -> Passage {
        let (vehicles, both_ways) = readers;
        let door =
            self.add(format!("{name}-{}", if vehicles { "boom" } else { "door" }), Kind::Door, spot, floor);
        let reader_in = self.add(format!("{name}-reader"), Kind::AccessPoint, spot.by(40, 10), floor);
        let reader_out = both_ways
            .then(|| self.add(format!("{name}-reader-out"), Kind::AccessPoint, spot.by(40, -10), floor));
        for reader in [Some(reader_in), reader_out].into_iter().flatten() {
            self.link(door, reader);
            self.link(reader, door);
        }
        self.link(camera, door);
        Passage { door, reader_in, reader_out, camera, vehicles }
    }

    /// Furnishes `quarter`, whose south-western corner is `corner`, with `budget` devices.
    pub(crate) fn quarter(&mut self, quarter: u32, corner: Spot, budget: usize, random: &mut Random) {
        let goal = self.devices.len() + budget;
        let prefix = format!("q{:02}", quarter + 1);
        let mut places = Vec::new();
        let public = self.add(format!("{prefix}-gw-public"), Kind::Gateway, corner.by(24_000, 5_600), 1);
        let garage = self.add(format!("{prefix}-gw-garage"), Kind::Gateway, corner.by(23_000, 10_900), -1);
        self.gates_of(quarter, &prefix, corner);
        self.public_ground(&prefix, corner);
        self.school(&prefix, corner, quarter);
        public_places(&prefix, corner, public, garage, &mut places);
        for (slab, gateway) in self.slabs(quarter, &prefix, corner, random) {
            self.slab_places(&prefix, slab, gateway, &mut places);
        }
        places.sort_by_key(|place| (place.unit.is_some(), place.floor.abs()));
        let missing = goal.saturating_sub(self.devices.len());
        for place in places.into_iter().take(missing) {
            self.install(place, garage);
        }
    }

    fn gates_of(&mut self, quarter: u32, prefix: &str, corner: Spot) {
        for gate in &plan::GATES {
            let spot = corner.by(gate.spot.x, gate.spot.y);
            let floor = if gate.name.starts_with("ramp") { -1 } else { 1 };
            let name = format!("{prefix}-{}", gate.name);
            let camera = self.camera(format!("{name}-cam"), spot.by(30, 0), floor, 4, 18);
            let passage = self.passage(&name, spot, floor, camera, (gate.vehicles, true));
            self.gates.push((quarter, passage));
        }
    }

    fn public_ground(&mut self, prefix: &str, corner: Spot) {
        for (name, floor, (x, y), direction) in plan::PUBLIC_CAMERAS {
            self.camera(format!("{prefix}-{name}-cam"), corner.by(x * 100, y * 100), floor, direction, 32);
        }
        for (name, (x, y)) in plan::PUBLIC_BUTTONS {
            self.add(format!("{prefix}-{name}"), Kind::Panic, corner.by(x * 100, y * 100), 1);
        }
    }

    fn school(&mut self, prefix: &str, corner: Spot, quarter: u32) {
        let spot = corner.by(35_000, 23_500);
        let camera = self.camera(format!("{prefix}-school-gate-cam"), spot.by(30, 0), 1, 0, 16);
        let passage = self.passage(&format!("{prefix}-school-gate"), spot, 1, camera, (false, true));
        self.gates.push((quarter, passage));
    }

    /// Builds the residential slabs; for each the units' indices and its gateway.
    fn slabs(
        &mut self,
        quarter: u32,
        prefix: &str,
        corner: Spot,
        random: &mut Random,
    ) -> Vec<(std::ops::Range<usize>, u32)> {
        let mut slabs = Vec::new();
        for (index, (x, y, floors)) in (0_u32..).zip(plan::SLABS) {
            let building = format!("{prefix}-b{:02}", index + 1);
            let spot = corner.by(x * 100, y * 100);
            let gateway = self.add(format!("{building}-gw"), Kind::Gateway, spot.by(3_100, 650), 1);
            self.add(format!("{building}-lift"), Kind::Lift, spot.by(3_000, 700), 1);
            let first = self.units.len();
            for (number, along) in (1_u8..).zip(plan::UNIT_DOORS) {
                let door = spot.by(along * 100 + random.between(-60, 60), plan::SLAB_SIZE.1 * 100);
                let name = format!("{building}-u{number}");
                let camera = self.camera(format!("{name}-cam"), door.by(20, 5), 1, 0, 14);
                let passage = self.passage(&name, door, 1, camera, (false, false));
                let button = self.add(format!("{name}-sos"), Kind::Panic, door.by(-60, -40), 1);
                let smoke = Vec::new();
                let building = quarter * 14 + index;
                self.units.push(Unit {
                    passage,
                    button,
                    building,
                    number,
                    floors,
                    quarter,
                    spot: door,
                    smoke,
                });
            }
            slabs.push((first..self.units.len(), gateway));
        }
        slabs
    }

    /// Each unit's sensors stand three metres behind its door, so close that their cells touch the door's.
    fn slab_places(
        &self,
        prefix: &str,
        units: std::ops::Range<usize>,
        gateway: u32,
        places: &mut Vec<Place>,
    ) {
        for index in units {
            let unit = &self.units[index];
            let name = format!("{prefix}-b{:02}-u{}", unit.building % 14 + 1, unit.number);
            let mut place = |kind: Kind, floor: i64, aside: i64| {
                places.push(Place {
                    id: format!("{name}-{}-{floor:02}", kind.name()),
                    kind,
                    spot: unit.spot.by(aside, -300),
                    floor,
                    gateway,
                    unit: Some(index),
                });
            };
            for floor in 1..=unit.floors {
                place(Kind::Smoke, floor, 0);
                if floor % 4 == 1 {
                    place(Kind::Ch4, floor, 90);
                }
                if floor % 6 == 2 {
                    place(Kind::Heat, floor, 120);
                }
                if floor == 3 {
                    place(Kind::Water, floor, 60);
                    place(Kind::Motion, floor, 30);
                }
            }
        }
    }

    fn install(&mut self, place: Place, garage: u32) {
        let index = self.add(place.id, place.kind, place.spot, place.floor);
        self.link(place.gateway, index);
        // Motion detectors speak when somebody moves, and only then.
        if place.kind != Kind::Motion {
            self.devices[index as usize].heartbeat_s = Some(interval(place.gateway, garage));
        }
        self.devices[place.gateway as usize].heartbeat_s = Some(interval(place.gateway, garage));
        if let (Some(unit), Kind::Smoke) = (place.unit, place.kind) {
            self.units[unit].smoke.push(index);
        }
    }
}

/// The garage's gateway and every fifth of the others are quick.
const fn interval(gateway: u32, garage: u32) -> u32 {
    if gateway == garage || gateway.is_multiple_of(5) { QUICK_S } else { ORDINARY_S }
}

fn public_places(prefix: &str, corner: Spot, public: u32, garage: u32, places: &mut Vec<Place>) {
    let mut place = |name: &str, kind: Kind, (x, y): (i64, i64), floor: i64, gateway: u32| {
        let id = format!("{prefix}-{name}-{}", kind.name());
        places.push(Place { id, kind, spot: corner.by(x * 100, y * 100), floor, gateway, unit: None });
    };
    for (nth, x) in (1..).zip([80, 130, 180, 230, 280, 330, 380]) {
        place(&format!("garage-{nth}"), Kind::Co, (x, 101), -1, garage);
        place(&format!("garage-{nth}"), Kind::Heat, (x, 113), -1, garage);
        place(&format!("garage-{nth}"), Kind::Smoke, (x, 107), -1, garage);
    }
    for (nth, x) in (1..).zip([66, 106, 146, 186, 276, 316, 356, 396]) {
        place(&format!("shop-{nth}"), Kind::Ch4, (x, 36), 1, public);
        place(&format!("shop-{nth}"), Kind::Smoke, (x, 33), 1, public);
    }
    place("gas-station", Kind::Ch4, (424, 43), 1, public);
    place("pump-room-1", Kind::Water, (31, 173), 1, public);
    place("pump-room-2", Kind::Water, (35, 174), 1, public);
    place("power-room", Kind::Smoke, (32, 185), 1, public);
    place("power-room", Kind::Heat, (33, 187), 1, public);
    place("school-1", Kind::Smoke, (360, 197), 1, public);
    place("school-2", Kind::Smoke, (390, 197), 2, public);
    place("school-kitchen", Kind::Ch4, (352, 225), 1, public);
    place("school-yard", Kind::Motion, (372, 230), 1, public);
}
