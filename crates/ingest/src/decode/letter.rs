//! The dead letter of a refused record.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hexwatch_contract::{DeadLetter, EventTime, Position, Stage, Topic};
use sha2::{Digest, Sha256};

use super::Record;
use super::privacy;
use super::refusal::Refusal;

pub(super) fn write(
    position: Position,
    meant_for: Topic,
    record: &Record<'_>,
    refused_at: EventTime,
    refusal: Refusal,
) -> DeadLetter {
    let verdict = refusal.into_verdict();
    let value = record.value.unwrap_or_default();
    let mut payload_sha256 = String::with_capacity(64);
    for byte in Sha256::digest(value) {
        // Writing into a string cannot fail.
        let _ = write!(payload_sha256, "{byte:02x}");
    }
    DeadLetter {
        position,
        meant_for,
        kafka_time: record.timestamp.unwrap_or(refused_at),
        refused_at,
        key: record.key.and_then(|key| std::str::from_utf8(key).ok()).map(str::to_owned),
        id: verdict.id,
        stage: verdict.stage,
        error_code: verdict.code,
        field: verdict.field.map(std::borrow::Cow::into_owned),
        message: verdict.message,
        payload_sha256,
        payload: kept_payload(verdict.stage, record),
    }
}

/// A record that was read to its end is known to be clean; of one that was not, the payload is kept only
/// where nothing in it looks forbidden. Its position still leads to it.
fn kept_payload(stage: Stage, record: &Record<'_>) -> Option<String> {
    let value = record.value?;
    let withheld = match stage {
        Stage::Privacy => true,
        Stage::Size | Stage::Decode => privacy::may_name_forbidden(value),
        Stage::Schema | Stage::Semantic => false,
    };
    (!withheld).then(|| STANDARD.encode(value))
}
