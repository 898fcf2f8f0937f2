//! Bytes to rows. Which fields a record may carry, and of which kind, is read from the tables of
//! [`hexwatch_contract::event`]; here is only how. A record becomes exactly one row or one dead letter,
//! whatever its bytes are, and touches no other.
//!
//! The order of the verdicts is fixed, so that a record with several flaws has one outcome: size,
//! decode, privacy, schema, semantic. Privacy comes before everything that would keep the payload.

mod body;
mod check;
mod clock;
mod cloud_event;
mod columns;
mod digits;
mod identity;
mod json;
mod layout;
mod letter;
mod parser;
mod place;
mod privacy;
mod refusal;
mod rfc3339;
mod row;
mod scan;

use std::sync::Arc;
use std::time::Duration;

use hexwatch_contract::site::Places;
use hexwatch_contract::{Chunk, Clock, DeadLetter, EventBatch, EventTime, Partition, Position, Topic};

use self::columns::Columns;
use self::refusal::Refusal;
use self::row::Rows;

/// What is tolerated, and how far.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tolerances {
    /// Larger payloads are dead letters at `size`.
    pub largest_record: usize,
    /// A device clock that is off by more than this is suspect.
    pub skew_max: Duration,
    /// A device clock that is ahead by more than this is suspect.
    pub future_max: Duration,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self {
            largest_record: 1024 * 1024,
            skew_max: Duration::from_mins(2),
            future_max: Duration::from_secs(5),
        }
    }
}

/// One Kafka record, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its Kafka timestamp; `None` where the broker gave none.
    pub timestamp: Option<EventTime>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers; those without a value are left out.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Decodes the records of one partition, in offset order, into chunks.
pub struct Decoder {
    partition: Partition,
    topic: Topic,
    tolerances: Tolerances,
    clock: Arc<dyn Clock>,
    rows: Rows,
    columns: Columns,
    dead_letters: Vec<Arc<DeadLetter>>,
    /// When the first of them was refused: the clock is not asked for each.
    refused_at: Option<EventTime>,
    first_offset: i64,
    next_offset: i64,
    read: u64,
    latest_kafka_time: EventTime,
    bytes: usize,
}

impl Decoder {
    /// A decoder of `partition`, which carries records of `topic`; the first chunk starts at
    /// `first_offset`.
    #[must_use]
    pub fn new(
        partition: Partition,
        topic: Topic,
        first_offset: i64,
        tolerances: Tolerances,
        places: Arc<dyn Places>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            rows: Rows::new(topic, tolerances, places),
            columns: Columns::new(topic),
            partition,
            topic,
            tolerances,
            clock,
            dead_letters: Vec::new(),
            refused_at: None,
            first_offset,
            next_offset: first_offset,
            read: 0,
            latest_kafka_time: EventTime::MIN,
            bytes: 0,
        }
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The offset after the last record that was pushed.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Records pushed since the last chunk.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.read
    }

    /// Payload bytes pushed since the last chunk.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one record in: it becomes a row or a dead letter of the next chunk.
    pub fn push(&mut self, record: &Record<'_>) {
        self.read += 1;
        self.bytes += record.value.map_or(0, <[u8]>::len);
        self.next_offset = record.offset + 1;
        self.latest_kafka_time = self.latest_kafka_time.max(record.timestamp.unwrap_or(EventTime::MIN));
        if let Err(refusal) = self.row(record) {
            self.refuse(record, refusal);
        }
    }

    fn row(&mut self, record: &Record<'_>) -> Result<(), Refusal> {
        let value = record.value.ok_or_else(refusal::tombstone)?;
        if value.len() > self.tolerances.largest_record {
            return Err(refusal::too_large(value.len(), self.tolerances.largest_record));
        }
        let kafka_time = record.timestamp.unwrap_or_else(|| self.clock.now());
        let at = row::At { partition: &self.partition, kafka_time, record };
        self.rows.read(value, &at, &mut self.columns)
    }

    fn refuse(&mut self, record: &Record<'_>, refusal: Refusal) {
        let refused_at = *self.refused_at.get_or_insert_with(|| self.clock.now());
        let position = Position { partition: self.partition.clone(), offset: record.offset };
        self.dead_letters.push(letter::write(position, self.topic, record, refused_at, refusal));
    }

    /// Hands over what was pushed since the last call; `None` where nothing was.
    pub fn finish(&mut self) -> Option<Chunk> {
        if self.read == 0 {
            return None;
        }
        let (records, identities) = self.columns.finish(&self.partition, self.clock.now());
        let chunk = Chunk {
            partition: self.partition.clone(),
            first_offset: self.first_offset,
            next_offset: self.next_offset,
            read: self.read,
            latest_kafka_time: std::mem::replace(&mut self.latest_kafka_time, EventTime::MIN),
            events: EventBatch { topic: self.topic, records, identities },
            dead_letters: std::mem::take(&mut self.dead_letters),
        };
        self.first_offset = self.next_offset;
        self.refused_at = None;
        self.read = 0;
        self.bytes = 0;
        Some(chunk)
    }
}
