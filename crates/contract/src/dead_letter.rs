//! Records that could not become rows.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::spelled;
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

impl Sha256Sum {
    pub(crate) fn hex(self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        hex
    }
}

impl fmt::Display for Sha256Sum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(std::str::from_utf8(&self.hex()).map_err(|_| fmt::Error)?)
    }
}

/// A refused record with the reason, replayable unless the stage is [`Stage::Privacy`].
#[derive(Clone, PartialEq, Debug)]
pub struct DeadLetter {
    /// Where the record stands in Kafka.
    pub position: Position,
    /// Which of the six topics it was meant for.
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

/// Beside the payload a letter is hardly ever longer than this.
const USUAL_LENGTH: usize = 640;

impl DeadLetter {
    /// Writes the letter as the topic carries it: its fields but for [`Self::meant_for`]. Damage comes by the million, so it
    /// is written by hand, and only texts that need it are searched for what JSON escapes.
    pub fn write_json(&self, json: &mut Vec<u8>) {
        let payload = self.payload.as_deref();
        json.reserve(USUAL_LENGTH + payload.map_or(0, str::len));
        let Position { partition, offset } = &self.position;
        put(json, "{\"topic\":", Some(&partition.topic));
        put_number(json, ",\"partition\":", partition.partition.into());
        put_number(json, ",\"offset\":", *offset);
        put_time(json, ",\"kafka_time\":", self.kafka_time);
        put_time(json, ",\"refused_at\":", self.refused_at);
        put(json, ",\"key\":", self.key.as_deref());
        put(json, ",\"id\":", self.id.as_deref());
        put_plain(json, ",\"stage\":", Some(self.stage.name().as_bytes()));
        put(json, ",\"error_code\":", Some(&self.error_code));
        put(json, ",\"field\":", self.field.as_deref());
        put(json, ",\"message\":", Some(&self.message));
        put_plain(json, ",\"payload_sha256\":", Some(&self.payload_sha256.hex()));
        put_plain(json, ",\"payload\":", payload.map(str::as_bytes));
        json.push(b'}');
    }
}

/// A member whose value may be any text.
fn put(json: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if value.is_none_or(is_plain) {
        return put_plain(json, name, value.map(str::as_bytes));
    }
    json.extend_from_slice(name.as_bytes());
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(json, &value);
}

/// Whether JSON escapes nothing of `text`. Every byte is looked at, because sixteen at once cost as much as one.
#[allow(clippy::needless_bitwise_bool, reason = "without branches, so that sixteen can be looked at at once")]
fn is_plain(text: &str) -> bool {
    let is_escaped = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    !text.bytes().fold(false, |is_found, byte| is_found | is_escaped(byte))
}

/// A member whose value holds nothing that JSON escapes.
fn put_plain(json: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    json.extend_from_slice(name.as_bytes());
    match value {
        Some(value) => {
            json.push(b'"');
            json.extend_from_slice(value);
            json.push(b'"');
        }
        None => json.extend_from_slice(b"null"),
    }
}

fn put_number(json: &mut Vec<u8>, name: &str, number: i64) {
    json.extend_from_slice(name.as_bytes());
    // Writing a number to memory cannot fail.
    let _ = serde_json::to_writer(json, &number);
}

fn put_time(json: &mut Vec<u8>, name: &str, time: EventTime) {
    match spelled(time.millis()) {
        Some(text) => put_plain(json, name, Some(&text)),
        None => put(json, name, Some(&time.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Partition;

    #[test]
    fn a_letter_in_json_has_every_field_whatever_is_in_it() {
        let letter = DeadLetter {
            position: Position { partition: Partition::new("a.iot", 3), offset: 41 },
            meant_for: Topic::Iot,
            kafka_time: EventTime::from_millis(0),
            refused_at: EventTime::from_millis(1_778_461_200_250),
            key: Some("\"k\\\n\u{1}门".to_owned()),
            id: Some("i".to_owned()),
            stage: Stage::Decode,
            error_code: "not_json".into(),
            field: Some("a \"field\"".to_owned().into()),
            message: "expected `\"`".into(),
            payload_sha256: Sha256Sum([0xa5; 32]),
            payload: Some("eyJ+/w==".to_owned()),
        };
        let read = |letter: &DeadLetter| {
            let mut json = Vec::new();
            letter.write_json(&mut json);
            serde_json::from_slice::<Value>(&json).unwrap()
        };
        let mut expected = json!({
            "topic": "a.iot", "partition": 3, "offset": 41, "kafka_time": "1970-01-01T00:00:00.000Z",
            "refused_at": "2026-05-11T01:00:00.250Z", "key": "\"k\\\n\u{1}门", "id": "i", "stage": "decode",
            "error_code": "not_json", "field": "a \"field\"", "message": "expected `\"`",
            "payload_sha256": "a5".repeat(32), "payload": "eyJ+/w==",
        });
        assert_eq!(read(&letter), expected);
        let early = DeadLetter { kafka_time: EventTime::MIN, ..letter.clone() };
        assert_eq!(read(&early)["kafka_time"], early.kafka_time.to_string());
        for name in ["key", "id", "field", "payload"] {
            expected[name] = Value::Null;
        }
        assert_eq!(read(&DeadLetter { key: None, id: None, field: None, payload: None, ..letter }), expected);
    }
}
