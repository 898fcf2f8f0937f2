//! A cell's risk as everybody sees it. The models belong to the crate `risk`.

use serde::{Deserialize, Serialize, Serializer};

use crate::alarm::Input;
use crate::{Cell, EventTime};

/// A score or a share of one, in integer hundredths (0 to 10,000), so that shares sum exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hundredths(pub u32);

impl Serialize for Hundredths {
    /// As a decimal number with two places, such as `41.25`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 100.0)
    }
}

impl<'de> Deserialize<'de> for Hundredths {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score is within 0..=100")]
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Ok(Self((number.clamp(0.0, 100.0) * 100.0).round() as u32))
    }
}

/// What a score means. `Unknown` is not low: its sensors are silent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the plan's own words")]
pub enum Level {
    Unknown,
    Low,
    Elevated,
    High,
    Critical,
}

/// One term's part in a score.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Contribution {
    /// The term's name in `queries/risk.toml`.
    pub term: String,
    /// The decayed sum of its events.
    pub value: f64,
    /// Its weight.
    pub weight: f64,
    /// Its part of the score; all parts sum exactly to it.
    pub share: Hundredths,
    /// How many events count.
    pub n: u64,
    /// The events that weigh most, heaviest first, five at most.
    pub top_inputs: Vec<Input>,
}

/// A grid's share of a cell.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GridShare {
    /// The grid.
    pub grid: String,
    /// Its share of the cell's area, 0 to 1; a cell's shares sum to 1.
    pub share: f64,
}

/// The risk of a cell in one window; one row of `risk_cells`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CellRisk {
    /// The cell.
    pub cell: Cell,
    /// Its resolution (11).
    pub res: u8,
    /// The window's start, included.
    pub window_start: EventTime,
    /// The window's end, not included.
    pub window_end: EventTime,
    /// The watermark that closed it.
    pub watermark: EventTime,
    /// 0 to 100; `None` where the level is unknown.
    pub score: Option<Hundredths>,
    /// What it is made of.
    pub contrib: Vec<Contribution>,
    /// What it means.
    pub level: Level,
    /// Share of the cell's in-service sensors that were heard in time, 0 to 1; 1 where none is expected.
    pub coverage: f64,
    /// How many events count.
    pub n_events: u64,
    /// Which grids the cell lies in.
    pub grid: Vec<GridShare>,
    /// 0 at first, one more with each correction of the same window.
    pub rev: u32,
}
