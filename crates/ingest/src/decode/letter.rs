//! The dead letter of a refused record.

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
        payload_sha256: hex(&Sha256::digest(value)),
        payload: kept_payload(verdict.stage, verdict.private, record),
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// A record that was read to its end is known to be clean; of one that was not, the payload is kept only
/// where nothing in it looks forbidden. Its position still leads to it.
fn kept_payload(stage: Stage, private: bool, record: &Record<'_>) -> Option<String> {
    let value = record.value?;
    let withheld = match stage {
        Stage::Privacy => true,
        Stage::Size | Stage::Decode => privacy::may_name_forbidden(value),
        Stage::Schema | Stage::Semantic => false,
    };
    (!withheld && !private).then(|| STANDARD.encode(value))
}
