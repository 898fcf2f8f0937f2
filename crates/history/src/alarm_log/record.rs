//! One record of the log: `length: u32 LE | crc32: u32 LE | payload`, the checksum over length and payload.
//! The payload is one JSON object a line, one line a change; what is appended together is one record, so
//! that a crash keeps all of it or nothing.

use hexwatch_contract::alarm::Alarm;

/// Bytes before the payload.
pub(super) const HEAD: usize = 8;
/// No record is larger; a length beyond it is damage.
pub(super) const PAYLOAD_MAX: usize = 64 << 20;

/// What stands at an offset of a segment.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Found<'bytes> {
    /// A whole record.
    Record {
        /// Its JSON lines.
        payload: &'bytes [u8],
        /// Where the next record begins.
        next: usize,
    },
    /// The end of what was written.
    End,
    /// Anything else.
    Broken,
}

/// The record of `alarms`; `None` where it would be too large.
pub(super) fn encode(alarms: &[Alarm]) -> Result<Option<Vec<u8>>, serde_json::Error> {
    let mut bytes = vec![0; HEAD];
    for alarm in alarms {
        serde_json::to_writer(&mut bytes, alarm)?;
        bytes.push(b'\n');
    }
    let Some(length) = u32::try_from(bytes.len() - HEAD).ok().filter(|_| bytes.len() - HEAD <= PAYLOAD_MAX)
    else {
        return Ok(None);
    };
    let checksum = checksum(length, &bytes[HEAD..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
    Ok(Some(bytes))
}

/// The changes in a record's payload.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<Alarm>, serde_json::Error> {
    payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(serde_json::from_slice).collect()
}

/// What stands at `offset` of a segment's `bytes`.
pub(super) fn at(bytes: &[u8], offset: usize) -> Found<'_> {
    let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) else { return Found::End };
    let Some((length, checksum_read)) = head(rest) else { return Found::Broken };
    let Some(payload) = usize::try_from(length).ok().and_then(|length| rest.get(HEAD..HEAD + length)) else {
        return Found::Broken;
    };
    // Every payload is lines of JSON objects; checking that first keeps the search for survivors cheap.
    if payload.first() != Some(&b'{') || payload.last() != Some(&b'\n') {
        return Found::Broken;
    }
    if checksum(length, payload) == checksum_read {
        Found::Record { payload, next: offset + HEAD + payload.len() }
    } else {
        Found::Broken
    }
}

/// Whether a whole record begins anywhere behind `offset`: then what is broken there is no torn tail but
/// damage to what was acknowledged.
pub(super) fn survives_behind(bytes: &[u8], offset: usize) -> bool {
    (offset + 1..bytes.len()).any(|offset| matches!(at(bytes, offset), Found::Record { .. }))
}

fn head(bytes: &[u8]) -> Option<(u32, u32)> {
    let length = bytes.get(..4)?.try_into().ok()?;
    let checksum = bytes.get(4..HEAD)?.try_into().ok()?;
    Some((u32::from_le_bytes(length), u32::from_le_bytes(checksum)))
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
