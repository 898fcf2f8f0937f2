//! Records that could not become rows.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::{EventTime, Position, Topic};

/// How far a refused record came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Larger than the limit.
    Size,
    /// Not one JSON object in UTF-8 with distinct keys.
    Decode,
    /// Carries what must never be stored; kept without its payload.
    Privacy,
    /// A field is missing, of the wrong type, or outside its closed set.
    Schema,
    /// Well-formed and impossible.
    Semantic,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 5] = [Self::Size, Self::Decode, Self::Privacy, Self::Schema, Self::Semantic];

    /// The name used in metrics, tables and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Decode => "decode",
            Self::Privacy => "privacy",
            Self::Schema => "schema",
            Self::Semantic => "semantic",
        }
    }
}

/// A SHA-256 sum; text and JSON show it in hex.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sha256Sum(pub [u8; 32]);

impl fmt::Display for Sha256Sum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        formatter.pad(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Sha256Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A refused record with the reason, replayable unless the stage is [`Stage::Privacy`].
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DeadLetter {
    /// Where the record stands in Kafka.
    #[serde(flatten)]
    pub position: Position,
    /// Which of the six topics it was meant for.
    #[serde(skip)]
    pub meant_for: Topic,
    /// The record's Kafka timestamp.
    pub kafka_time: EventTime,
    /// When it was refused.
    pub refused_at: EventTime,
    /// The record's Kafka key, where it is text.
    pub key: Option<String>,
    /// The record's own `id`, where it could be read.
    pub id: Option<String>,
    /// Where it failed.
    pub stage: Stage,
    /// A stable, documented code such as `unknown_member`.
    pub error_code: Cow<'static, str>,
    /// The field that was wrong.
    pub field: Option<Cow<'static, str>>,
    /// One sentence: what was wrong, and what to do.
    pub message: Cow<'static, str>,
    /// SHA-256 of the payload.
    pub payload_sha256: Sha256Sum,
    /// The payload in base64; absent at stage `privacy`, and for tombstones.
    pub payload: Option<String>,
}
