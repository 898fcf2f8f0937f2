//! A recording back into Kafka. Timestamps are always kept: they are the clock of those who replay.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hexwatch_contract::{Classified, EventTime, Fault};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::publish::{Outgoing, PublishError, Publisher};

/// What can go wrong while replaying.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("reading {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no record.
    #[error("reading {} line {line}: {reason}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The records cannot be written.
    #[error("replaying {} line {line}: {source}", path.display())]
    Publish {
        /// Which file.
        path: PathBuf,
        /// The line that was to be written, from 1; for what is still on its way, the last.
        line: u64,
        /// What the publisher said.
        source: Box<PublishError>,
    },
    /// The broker gave records up.
    #[error("replaying {}: {failed} records could not be written; see the log", path.display())]
    Failed {
        /// Which file.
        path: PathBuf,
        /// How many.
        failed: u64,
    },
}

impl Classified for ReplayError {
    fn fault(&self) -> Fault {
        match self {
            Self::File { .. } | Self::Line { .. } => Fault::Input,
            Self::Publish { source, .. } => source.fault(),
            Self::Failed { .. } => Fault::External,
        }
    }
}

/// How fast a recording is replayed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Speed {
    /// As fast as the broker takes it.
    Fastest,
    /// So many times as fast as it happened; 1 is real time.
    Times(f64),
}

/// How far a replay is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// Records sent.
    pub records: u64,
    /// The timestamp of the last.
    pub time: EventTime,
}

/// A line of a recording.
#[derive(Debug, PartialEq)]
pub struct Recorded {
    /// The topic without a prefix.
    pub topic: String,
    /// The key.
    pub key: Option<String>,
    /// The Kafka timestamp.
    pub timestamp: EventTime,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, by name.
    pub headers: Vec<(String, Vec<u8>)>,
}

#[derive(Deserialize)]
struct Line<'a> {
    topic: String,
    #[serde(default)]
    key: Option<String>,
    timestamp: i64,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    raw: Option<&'a RawValue>,
    #[serde(default)]
    headers: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A member that is there, null or not: null is a value too.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

impl Recorded {
    /// Reads a line; a `value` is kept byte for byte as it stands there.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line: Line<'_> = serde_json::from_str(line).map_err(|error| {
            format!("not a recorded event with topic, timestamp and value or raw: {error}")
        })?;
        let value = match (line.value, line.raw) {
            (Some(value), None) => Some(value.get().as_bytes().to_vec()),
            (None, Some(raw)) => bytes_of(raw)?,
            _ => return Err("exactly one of `value` and `raw` is needed".to_owned()),
        };
        let headers = line.headers.unwrap_or_default().into_iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name, text.into_bytes())
        });
        Ok(Self {
            topic: line.topic,
            key: line.key,
            timestamp: EventTime::from_millis(line.timestamp),
            value,
            headers: headers.collect(),
        })
    }
}

/// The bytes behind `raw`: base64, or null for a tombstone.
fn bytes_of(raw: &RawValue) -> Result<Option<Vec<u8>>, String> {
    let text: Option<String> = serde_json::from_str(raw.get())
        .map_err(|error| format!("`raw` is neither text nor null: {error}"))?;
    text.map(|text| STANDARD.decode(text).map_err(|error| format!("`raw` is not base64: {error}")))
        .transpose()
}

/// Opens a recording, packed by zstd where its name ends in `.zst`.
///
/// # Errors
/// Where the file cannot be opened.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>, ReplayError> {
    let failed = |source| ReplayError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "zst") {
        Box::new(zstd::Decoder::new(file).map_err(failed)?)
    } else {
        Box::new(file)
    };
    Ok(Box::new(BufReader::with_capacity(256 * 1024, reader)))
}

/// How long the broker may be away before a replay gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Replays `path` into the topics it names, under `prefix`. `progress` is called after every thousandth
/// record and after the last; it returns whether to go on.
///
/// # Errors
/// At the first line that is no record, and where the broker does not take them. What was sent before that
/// stays sent.
pub fn replay(
    path: &Path,
    publisher: &Publisher,
    prefix: &str,
    speed: Speed,
    mut progress: impl FnMut(Replayed) -> bool,
) -> Result<Replayed, ReplayError> {
    let failed_before = publisher.counts().failed;
    let mut number = 0;
    let sent = send_all(path, publisher, prefix, speed, &mut progress, &mut number);
    // After a bad line too: what stands before it is on its way, and has to arrive.
    let flushed = publisher.flush(PATIENCE);
    let done = sent?;
    flushed.map_err(|source| ReplayError::Publish {
        path: path.to_owned(),
        line: number,
        source: Box::new(source),
    })?;
    progress(done);
    match publisher.counts().failed - failed_before {
        0 => Ok(done),
        failed => Err(ReplayError::Failed { path: path.to_owned(), failed }),
    }
}

/// Sends line by line; `number` is the last line that was looked at.
fn send_all(
    path: &Path,
    publisher: &Publisher,
    prefix: &str,
    speed: Speed,
    progress: &mut impl FnMut(Replayed) -> bool,
    number: &mut u64,
) -> Result<Replayed, ReplayError> {
    let mut pace = Pace::new(speed);
    let mut done = Replayed { records: 0, time: EventTime::MIN };
    for line in open(path)?.lines() {
        *number += 1;
        let line = line.map_err(|source| ReplayError::File { path: path.to_owned(), source })?;
        if line.trim().is_empty() {
            continue;
        }
        let recorded = Recorded::parse(&line).map_err(|reason| ReplayError::Line {
            path: path.to_owned(),
            line: *number,
            reason,
        })?;
        pace.wait_for(recorded.timestamp);
        send(publisher, prefix, &recorded).map_err(|source| ReplayError::Publish {
            path: path.to_owned(),
            line: *number,
            source: Box::new(source),
        })?;
        done = Replayed { records: done.records + 1, time: recorded.timestamp };
        if done.records.is_multiple_of(1000) && !progress(done) {
            break;
        }
    }
    Ok(done)
}

fn send(publisher: &Publisher, prefix: &str, recorded: &Recorded) -> Result<(), PublishError> {
    let topic = format!("{prefix}{}", recorded.topic);
    let outgoing = Outgoing {
        topic: &topic,
        partition: None,
        key: recorded.key.as_deref().map(str::as_bytes),
        value: recorded.value.as_deref(),
        timestamp: Some(recorded.timestamp),
        headers: &recorded.headers,
        in_bulk: false,
    };
    publisher.send(&outgoing, PATIENCE)
}

/// Holds records back until their time.
struct Pace {
    speed: Speed,
    start: Option<(Instant, EventTime)>,
}

impl Pace {
    fn new(speed: Speed) -> Self {
        Self { speed, start: None }
    }

    fn wait_for(&mut self, time: EventTime) {
        let Speed::Times(times) = self.speed else { return };
        let (started, first) = *self.start.get_or_insert_with(|| (Instant::now(), time));
        let due = time.since(first).div_f64(times.max(f64::MIN_POSITIVE));
        let wait = due.saturating_sub(started.elapsed());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_byte_for_byte() {
        let line = r#"{"topic":"iot","key":"d","timestamp":5,"value":{"b": 1.0,"a":2},"other":1}"#;
        let recorded = Recorded::parse(line).unwrap();
        assert_eq!(recorded.value.as_deref(), Some(br#"{"b": 1.0,"a":2}"#.as_slice()));
        assert_eq!(recorded.timestamp.millis(), 5);
    }

    #[test]
    fn raw_bytes_and_tombstones_are_told_apart() {
        let raw = Recorded::parse(r#"{"topic":"iot","timestamp":5,"raw":"/w=="}"#).unwrap();
        assert_eq!(raw.value.as_deref(), Some([255].as_slice()));
        let tombstone = Recorded::parse(r#"{"topic":"iot","key":"d","timestamp":5,"raw":null}"#).unwrap();
        assert_eq!(tombstone.value, None);
        assert!(Recorded::parse(r#"{"topic":"iot","timestamp":5}"#).is_err());
    }

    #[test]
    fn headers_are_bytes() {
        let line = r#"{"topic":"iot","timestamp":5,"value":{},"headers":{"ce_id":"1"}}"#;
        assert_eq!(Recorded::parse(line).unwrap().headers, [("ce_id".to_owned(), b"1".to_vec())]);
    }
}
