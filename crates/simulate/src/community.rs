//! The place: an invented residential community in Hangzhou, built the same from the same seed and size.

mod cells;
mod device;
mod furnish;
mod plan;
mod point;
mod site_files;

use std::ops::Range;

pub use device::{Device, Kind};
pub(crate) use device::{Passage, Unit};
pub(crate) use plan::Route;
pub use point::Point;
pub(crate) use point::{Spot, write_degrees};
pub use site_files::SiteFile;

use crate::random::{Random, scatter};
use furnish::Furnished;

/// The site's id, in records and files.
pub const SITE: &str = "hubin";
/// Fewer devices than these do not make a community.
pub const LEAST_DEVICES: usize = 400;
/// About how many devices a quarter has at most.
const DEVICES_A_QUARTER: usize = 640;

/// A flat and those who live there.
#[derive(Clone, Debug)]
pub(crate) struct Household {
    pub(crate) unit: u32,
    pub(crate) floor: i64,
    pub(crate) people: Range<u32>,
}

/// How somebody's days go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Worker,
    Driver,
    Pupil,
    Senior,
}

/// Somebody who lives here. The credential is a pseudonym made of the number when it is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) unit: u32,
    pub(crate) role: Role,
}

/// A community: what stands where, and who lives there.
#[derive(Clone, Debug)]
pub struct Community {
    pub(crate) seed: u64,
    pub(crate) devices: Vec<Device>,
    pub(crate) units: Vec<Unit>,
    pub(crate) gates: Vec<(u32, Passage)>,
    pub(crate) households: Vec<Household>,
    pub(crate) people: Vec<Person>,
    pub(crate) columns: u32,
    pub(crate) quarters: u32,
}

impl Community {
    /// Builds the community of `seed` with `size` devices, 400 at least; each 640 devices or fewer are a quarter
    /// of about 17 hectares.
    #[must_use]
    pub fn build(seed: u64, size: usize) -> Self {
        let size = size.max(LEAST_DEVICES);
        let mut random = Random::new(seed, 0);
        let quarters = size.div_ceil(DEVICES_A_QUARTER);
        let count = u32::try_from(quarters).unwrap_or(u32::MAX);
        let columns = count.isqrt().max(1);
        let mut furnished = Furnished::default();
        for (index, quarter) in (0..count).enumerate() {
            let budget = size * (index + 1) / quarters - size * index / quarters;
            furnished.quarter(quarter, corner(columns, quarter), budget, &mut random);
        }
        let Furnished { devices, units, gates } = furnished;
        let (households, people) = settle(&units, &mut random);
        Self { seed, devices, units, gates, households, people, columns, quarters: count }
    }

    /// All devices; a link is an index into these.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The files of the site folder.
    #[must_use]
    pub fn site_files(&self) -> Vec<SiteFile> {
        site_files::all(self)
    }

    pub(crate) fn corner(&self, quarter: u32) -> Spot {
        corner(self.columns, quarter)
    }

    pub(crate) fn routes() -> &'static [Route] {
        &plan::ROUTES
    }
}

fn corner(columns: u32, quarter: u32) -> Spot {
    let (column, row) = (i64::from(quarter % columns), i64::from(quarter / columns));
    Spot { x: plan::PITCH.x * column, y: plan::PITCH.y * row }
}

fn settle(units: &[Unit], random: &mut Random) -> (Vec<Household>, Vec<Person>) {
    let (mut households, mut people) = (Vec::new(), Vec::<Person>::new());
    for (index, unit) in (0_u32..).zip(units) {
        for flat in 0..unit.floors * 2 {
            let first = u32::try_from(people.len()).unwrap_or(u32::MAX);
            let roles: &[Role] = match random.below(10) {
                0..=1 => &[Role::Senior, Role::Senior],
                2 => &[Role::Senior],
                3..=5 => &[Role::Worker, Role::Driver, Role::Pupil],
                6..=7 => &[Role::Worker, Role::Worker],
                8 => &[Role::Worker, Role::Driver, Role::Pupil, Role::Senior],
                _ => &[Role::Worker],
            };
            people.extend(roles.iter().map(|&role| Person { unit: index, role }));
            let end = u32::try_from(people.len()).unwrap_or(u32::MAX);
            households.push(Household { unit: index, floor: flat / 2 + 1, people: first..end });
        }
    }
    (households, people)
}

/// The keyed hash that stands for a credential; rotated every 30 days.
pub(crate) const fn pseudonym(seed: u64, number: u64, millis: i64) -> u64 {
    let epoch = millis.div_euclid(30 * 86_400_000).cast_unsigned();
    scatter(scatter(seed ^ 0x6865_7877_6174_6368) ^ scatter(number) ^ epoch.rotate_left(40))
}
