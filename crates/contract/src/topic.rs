//! The six input topics.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An input topic by its meaning. The Kafka topic may carry a prefix; see [`crate::Partition`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Doors, gates and readers.
    Access,
    /// Camera analytics; metadata, never video.
    CameraAlert,
    /// Sensors: smoke, gas, heat, water, power.
    Iot,
    /// One-key alarms.
    Panic,
    /// Patrols, inspections, hazard reports.
    Patrol,
    /// Receipts and legs of the agencies that respond.
    Dispatch,
}

impl Topic {
    /// All topics, in the order of the catalog.
    pub const ALL: [Self; 6] =
        [Self::Access, Self::CameraAlert, Self::Iot, Self::Panic, Self::Patrol, Self::Dispatch];

    /// The Kafka topic's name without a prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::CameraAlert => "camera-alert",
            Self::Iot => "iot",
            Self::Panic => "panic",
            Self::Patrol => "patrol",
            Self::Dispatch => "dispatch",
        }
    }

    /// The SQL table's name.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::CameraAlert => "camera_alert",
            other => other.name(),
        }
    }

    /// The topic of a Kafka topic's name, after its prefix is taken off.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// The topic behind a SQL table.
    #[must_use]
    pub fn from_table(table: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.table() == table)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
