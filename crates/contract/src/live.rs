//! What the live socket says. JSON text; described for outsiders in `crates/server/asyncapi.yaml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alarm::Alarm;
use crate::risk::{CellRisk, Hundredths, Level};
use crate::{Cell, EventTime};

/// A message from the server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message {
    /// The first message after `subscribe`.
    Hello(Hello),
    /// Cells that changed, or all of them.
    Cells(Cells),
    /// One change of one alarm.
    Alarm(Box<Alarm>),
    /// The list of alarm changes sent before this point is complete up to these numbers.
    Resumed {
        /// The last `seq` a site has given.
        latest_seq: BTreeMap<String, u64>,
    },
    /// At least every second.
    Heartbeat(Heartbeat),
    /// Sources and their lag, when they change and every ten seconds.
    Health(Health),
    /// What the client said was not understood; the socket stays open.
    Error {
        /// One sentence with the field and the fix.
        detail: String,
    },
}

/// Who is speaking.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The version of hexwatch.
    pub version: String,
    /// `live`, `demo` or `replay`.
    pub mode: String,
    /// The site's IANA time zone.
    pub time_zone: String,
}

/// Cells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cells {
    /// The event time up to which these hold.
    pub watermark: EventTime,
    /// Whether cells that are not listed are gone.
    pub full: bool,
    /// The cells.
    pub cells: Vec<CellUpdate>,
}

/// A cell as the map needs it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CellUpdate {
    /// The cell, at resolution 11.
    pub cell: Cell,
    /// 0 to 100, null where unknown.
    pub score: Option<Hundredths>,
    /// What it means.
    pub level: Level,
    /// Share of its sensors heard.
    pub coverage: f64,
    /// Events that count.
    pub n_events: u64,
}

impl From<&CellRisk> for CellUpdate {
    fn from(risk: &CellRisk) -> Self {
        Self {
            cell: risk.cell,
            score: risk.score,
            level: risk.level,
            coverage: risk.coverage,
            n_events: risk.n_events,
        }
    }
}

/// How fresh the data is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feed {
    /// Data is coming.
    Live,
    /// None for 3 s.
    Delayed,
    /// None for 10 s, or the broker is away.
    Lost,
}

/// A sign of life with what the common bar shows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The engine's clock.
    pub now: EventTime,
    /// The merged watermark; null before the first record.
    pub watermark: Option<EventTime>,
    /// Seconds since the last record was read; null before the first.
    pub data_age_s: Option<f64>,
    /// What that means.
    pub feed: Feed,
    /// Active unacknowledged alarms by priority, `"1"` to `"4"`.
    pub unack: BTreeMap<String, u64>,
    /// The last `seq` of each site.
    pub latest_seq: BTreeMap<String, u64>,
}

/// One source partition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The Kafka topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Records between the position and the end.
    pub lag: i64,
    /// The latest event time read.
    pub last_time: Option<EventTime>,
    /// `live`, `idle`, `lagging` or `lost`.
    pub state: String,
}

/// Where the data comes from, and whether it comes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Health {
    /// Whether the broker answers.
    pub ingest: String,
    /// Each partition.
    pub sources: Vec<Source>,
    /// Registered devices whose expected sign of life is overdue.
    pub silent_devices: u64,
    /// Since the start: records read, accepted, duplicate, late, dead letters, by topic.
    pub accounts: BTreeMap<String, crate::Account>,
}
