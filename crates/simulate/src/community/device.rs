//! The community's devices.

use std::sync::Arc;

use hexwatch_contract::Cell;

use super::point::{Point, Spot};

/// What a device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the site folder's own words")]
pub enum Kind {
    Door,
    AccessPoint,
    Camera,
    Smoke,
    Heat,
    Ch4,
    Co,
    Water,
    Motion,
    Panic,
    Gateway,
    Lift,
}

impl Kind {
    /// The word in `devices.csv`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Door => "door",
            Self::AccessPoint => "access_point",
            Self::Camera => "camera",
            Self::Smoke => "smoke",
            Self::Heat => "heat",
            Self::Ch4 => "ch4",
            Self::Co => "co",
            Self::Water => "water",
            Self::Motion => "motion",
            Self::Panic => "panic",
            Self::Gateway => "gateway",
            Self::Lift => "lift",
        }
    }

    /// The platform that sends its records.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Door | Self::AccessPoint => "acs",
            Self::Camera => "vms",
            Self::Panic => "sos",
            _ => "iot-gw",
        }
    }
}

/// A device of the community.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its id.
    pub id: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub point: Point,
    /// On which floor; -1 is the garage.
    pub floor: i64,
    /// The ring of a camera's field of view.
    pub footprint: Option<Vec<Point>>,
    /// Seconds between its signs of life; `None`: none is expected.
    pub heartbeat_s: Option<u32>,
    /// Devices it belongs to or watches, by index.
    pub links: Vec<u32>,
    /// Its cell at resolution 12.
    pub cell: Cell,
    pub(crate) risk_cell: Cell,
    pub(crate) spot: Spot,
}

/// A way through: a door or barrier, the readers at it, and the camera above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    pub(crate) door: u32,
    pub(crate) reader_in: u32,
    /// Without one, people leave by a button (a request to exit).
    pub(crate) reader_out: Option<u32>,
    pub(crate) camera: u32,
    pub(crate) vehicles: bool,
}

/// A staircase with its flats.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) passage: Passage,
    pub(crate) button: u32,
    pub(crate) building: u32,
    pub(crate) number: u8,
    pub(crate) floors: i64,
    pub(crate) quarter: u32,
    pub(crate) spot: Spot,
    /// The smoke detectors of its staircase.
    pub(crate) smoke: Vec<u32>,
}
