//! An H3 cell as a plain value. Its geometry belongs to the crate `grid`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The resolution of the cell in event tables and alarms.
pub const EVENT_RESOLUTION: u8 = 12;
/// The resolution of `risk_cells`.
pub const RISK_RESOLUTION: u8 = 11;
/// The finest resolution that leaves the control room.
pub const PUBLIC_RESOLUTION: u8 = 9;

/// An H3 cell index. A BIGINT in tables (H3 never sets the top bit), 15 hex digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(u64);

impl Cell {
    /// Wraps an index that the crate `grid` has made or checked.
    #[must_use]
    pub const fn from_index(index: u64) -> Self {
        Self(index)
    }

    /// The index.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.0
    }

    /// The index as a table holds it.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// From a table's column.
    #[must_use]
    pub const fn from_i64(index: i64) -> Self {
        Self(index.cast_unsigned())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:015x}", self.0)
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cell({:015x})", self.0)
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| de::Error::custom(format!("`{text}` is not a cell in 15 hex digits")))
    }
}
