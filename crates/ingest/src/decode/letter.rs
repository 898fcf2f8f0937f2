//! The dead letter of a refused record.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hexwatch_contract::{DeadLetter, EventTime, Position, Sha256Sum, Stage, Topic};
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
) -> Arc<DeadLetter> {
    let verdict = refusal.into_verdict();
    let value = record.value.unwrap_or_default();
    Arc::new(DeadLetter {
        position,
        meant_for,
        kafka_time: record.timestamp.unwrap_or(refused_at),
        refused_at,
        key: record.key.and_then(|key| std::str::from_utf8(key).ok()).map(str::to_owned),
        id: verdict.id,
        stage: verdict.stage,
        error_code: verdict.code.into(),
        field: verdict.field,
        message: verdict.message,
        payload_sha256: Sha256Sum(Sha256::digest(value).into()),
        payload: kept_payload(verdict.stage, verdict.private, record),
    })
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
