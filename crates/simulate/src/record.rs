//! A record as Kafka takes it, and as a file holds it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hexwatch_contract::{EventTime, Topic};

use crate::encode::write_integer;

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it goes.
    pub topic: Topic,
    /// The entity whose order matters.
    pub key: Arc<str>,
    /// The Kafka timestamp.
    pub timestamp: EventTime,
    /// JSON in UTF-8, unless the record is malformed.
    pub value: Vec<u8>,
    /// Whether `value` is one JSON object with distinct keys.
    pub well_formed: bool,
}

impl Record {
    /// Appends the record as one line of a recording, the way `hexwatch replay` reads it: the value as it is, or
    /// in base64 as `raw` where it would not survive being parsed.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"topic\":\"");
        out.extend_from_slice(self.topic.name().as_bytes());
        out.extend_from_slice(b"\",\"key\":\"");
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(b"\",\"timestamp\":");
        write_integer(out, self.timestamp.millis());
        if self.well_formed {
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(&self.value);
            out.extend_from_slice(b"}\n");
        } else {
            out.extend_from_slice(b",\"raw\":\"");
            out.extend_from_slice(STANDARD.encode(&self.value).as_bytes());
            out.extend_from_slice(b"\"}\n");
        }
    }
}
