//! An alarm as everybody sees it: over WebSocket, HTTP and Kafka it is the same object, in tables the
//! same columns. Its lifecycle (ISA-18.2) belongs to the crate `alarm`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{Cell, EventTime};

/// What kind of trouble an alarm speaks of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the plan's own words")]
pub enum Class {
    Fire,
    Gas,
    Intrusion,
    Access,
    Panic,
    Medical,
    Perimeter,
    Crowd,
    Hazard,
    Welfare,
    Patrol,
    Equipment,
    Risk,
    System,
}

/// 1 (highest) to 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// The highest.
    pub const P1: Self = Self(1);
    /// The second.
    pub const P2: Self = Self(2);
    /// The third.
    pub const P3: Self = Self(3);
    /// The lowest.
    pub const P4: Self = Self(4);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A number that is no priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is not a priority from 1 to 4")]
pub struct InvalidPriority(u8);

impl TryFrom<u8> for Priority {
    type Error = InvalidPriority;
    fn try_from(number: u8) -> Result<Self, InvalidPriority> {
        if (1..=4).contains(&number) { Ok(Self(number)) } else { Err(InvalidPriority(number)) }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// The states of ISA-18.2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Returned to normal and acknowledged.
    Normal,
    /// Active, nobody has it.
    Unack,
    /// Active, somebody has it.
    Acked,
    /// Returned to normal before anybody had it.
    RtnUnack,
    /// Put aside by a person, until a time, for a reason.
    Shelved,
    /// Held back by a rule.
    Suppressed,
    /// Its equipment is out of service.
    OutOfService,
}

/// What changed an alarm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the plan's own words")]
pub enum Transition {
    Raise,
    Ack,
    Unack,
    Comment,
    Assign,
    Clear,
    Return,
    Shelve,
    Unshelve,
    Suppress,
    Escalate,
    Confirm,
    Reject,
}

/// How sure one can be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfirmLevel {
    /// One source.
    #[default]
    Single,
    /// Two sources that do not depend on each other.
    Dual,
    /// A person has seen it.
    Human,
}

/// A record that led to an alarm or counts in a score.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The Kafka topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's own id.
    pub id: String,
    /// What it is to the alarm, such as `denied` or `entry`.
    pub role: String,
}

/// A template's name and what fills it, so that every language can say why an alarm fired.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Explain {
    /// A key of the console's messages, such as `alarm.R06`.
    pub template: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

/// Identifies an alarm: 32 hex digits of SHA-256 over rule, rule version, key and window start, so that
/// whoever computes the alarm again gets the same id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlarmId(Arc<str>);

impl AlarmId {
    /// The id of the alarm that `rule` at `version` raises for `key` in the window from `window_start`.
    #[must_use]
    pub fn of(rule: &str, version: u32, key: &str, window_start: EventTime) -> Self {
        let mut hash = Sha256::new();
        for part in [rule, &version.to_string(), key, &window_start.millis().to_string()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        let hex = digest.iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
            use fmt::Write as _;
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Self(hex.into())
    }

    /// The 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for AlarmId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for AlarmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a rule found: one row of a rule's SQL. The crate `alarm` makes an [`Alarm`] of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RuleHit {
    /// The rule, such as `R06`.
    pub rule: Arc<str>,
    /// The rule's version.
    pub rule_version: u32,
    /// The rule's class, unless the row names its own.
    pub class: Class,
    /// What the rule is keyed by: a door, a device, a cell.
    pub key: String,
    /// The start of the window or episode: with the key it makes the alarm's identity.
    pub window_start: EventTime,
    /// When the transition happened, in event time.
    pub at: EventTime,
    /// `raise`, `escalate`, `confirm`, `reject`, `return` or `clear`.
    pub transition: Transition,
    /// The priority from here on.
    pub priority: Priority,
    /// How sure one can be.
    pub confirm_level: ConfirmLevel,
    /// The site.
    pub site: String,
    /// The device at the place of the alarm.
    pub device: Option<String>,
    /// The cell at resolution 12.
    pub cell: Option<Cell>,
    /// Degrees, WGS 84.
    pub lon: Option<f64>,
    /// Degrees, WGS 84.
    pub lat: Option<f64>,
    /// The records behind it.
    pub inputs: Vec<Input>,
    /// Measured values against thresholds.
    pub measured: Map<String, Value>,
    /// Whether the inputs were an exercise.
    pub drill: bool,
}

impl RuleHit {
    /// The alarm this hit belongs to.
    #[must_use]
    pub fn alarm_id(&self) -> AlarmId {
        AlarmId::of(&self.rule, self.rule_version, &self.key, self.window_start)
    }
}

/// One change of one alarm, complete: the alarm as it stands after it. `(site, seq)` orders all changes of a site
/// without gaps.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Alarm {
    /// The alarm.
    pub alarm_id: AlarmId,
    /// The site's running number of this change, from 1, without gaps.
    pub seq: u64,
    /// The site.
    pub site: String,
    /// The rule.
    pub rule: Arc<str>,
    /// The rule's version.
    pub rule_version: u32,
    /// The class.
    pub class: Class,
    /// 1 to 4.
    pub priority: Priority,
    /// The state after this change.
    pub state: State,
    /// This change.
    pub transition: Transition,
    /// Who made it: a pseudonym; absent where the engine did.
    pub actor_ref: Option<String>,
    /// What was said with it: a comment, a reason to shelve.
    pub note: Option<String>,
    /// Who it is assigned to.
    pub assigned_to: Option<String>,
    /// Until when it is shelved.
    pub shelved_until: Option<EventTime>,
    /// When the alarm was raised, in event time.
    pub raised_at: EventTime,
    /// When this change happened, in event time.
    pub changed_at: EventTime,
    /// When this change was sent out.
    pub emitted_at: EventTime,
    /// What the rule is keyed by.
    pub key: String,
    /// The device at the place.
    pub device: Option<String>,
    /// The cell at resolution 12.
    pub cell: Option<Cell>,
    /// Degrees, WGS 84.
    pub lon: Option<f64>,
    /// Degrees, WGS 84.
    pub lat: Option<f64>,
    /// The zone's name.
    pub area: Option<String>,
    /// The grid (网格) that answers for the cell.
    pub grid: Option<String>,
    /// The role of its officer.
    pub officer_role: Option<String>,
    /// The records behind it.
    pub inputs: Vec<Input>,
    /// Measured values against thresholds.
    pub measured: Map<String, Value>,
    /// How sure one can be.
    pub confirm_level: ConfirmLevel,
    /// Whether it is an exercise.
    pub drill: bool,
    /// Whether a recording raised it; such an alarm is delivered to nobody.
    pub replay: bool,
    /// The ledger's incident.
    pub incident: Option<String>,
    /// Why it fired.
    pub explain: Explain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_id_depends_on_each_of_its_parts() {
        let start = EventTime::from_millis(1_000);
        let id = AlarmId::of("R06", 1, "ap-1", start);
        assert_eq!(id, AlarmId::of("R06", 1, "ap-1", start));
        assert_eq!(id.as_str().len(), 32);
        for other in [
            AlarmId::of("R07", 1, "ap-1", start),
            AlarmId::of("R06", 2, "ap-1", start),
            AlarmId::of("R06", 1, "ap-2", start),
            AlarmId::of("R06", 1, "ap-1", EventTime::from_millis(1_001)),
        ] {
            assert_ne!(id, other);
        }
    }
}
