//! What is said on a connection. A header in JSON, then for a chunk its identities and its rows as an Arrow stream.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use hexwatch_contract::{
    Chunk, DeadLetter, EventBatch, EventTime, Partition, Position, Sha256Sum, Stage, Topic, event,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hello::Hello;

#[cfg(test)]
pub(crate) mod tests;

/// What a worker says.
#[derive(Clone, Debug)]
pub enum Report {
    /// Anything but records.
    Note(Note),
    /// Records.
    Chunk(Box<Handed>),
}

/// A chunk, and in whose name it is handed over.
#[derive(Clone, Debug)]
pub struct Handed {
    /// By which lease.
    pub lease: u64,
    /// A record of it that can be recognised; the relay does not look inside.
    pub mark: Option<Value>,
    /// The records.
    pub chunk: Chunk,
}

/// What a worker says beside records.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Who it is; first.
    Hello(Hello),
    /// The group has given it these partitions, and it asks for a lease of each.
    Claim(Vec<Partition>),
    /// It reads the partition no more.
    Release {
        /// Which.
        partition: Partition,
        /// By which lease it did.
        lease: u64,
    },
    /// It has read the partition to its end.
    AtEnd {
        /// Which.
        partition: Partition,
        /// By which lease.
        lease: u64,
        /// The offset of the end.
        offset: i64,
    },
    /// How far it is, about once a second.
    Reach(Vec<Reach>),
    /// It cannot go on.
    Failed {
        /// Whether that is because records are gone, so that no other worker could.
        is_loss: bool,
        /// What happened.
        message: String,
    },
}

/// How far a worker is with a partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reach {
    /// Which.
    pub partition: Partition,
    /// By which lease.
    pub lease: u64,
    /// The next offset to read.
    pub position: i64,
    /// The offset after the last record the broker has.
    pub end: i64,
    /// No record stands between the two.
    pub at_end: bool,
}

/// What the serving process says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// It is let in.
    Welcome,
    /// It is not.
    Refused(String),
    /// What to read, and from where.
    Grant(Grant),
    /// What to read no more: somebody else has the lease.
    Fenced {
        /// Which.
        partition: Partition,
        /// The lease that counts no more.
        lease: u64,
    },
    /// Nothing; said every two seconds, so that silence means that the process or the way to it is gone.
    Alive,
    /// Fetch no more of these until they are not among those of a later order.
    Hold(Vec<Partition>),
}

/// A lease of a partition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Which.
    pub partition: Partition,
    /// What its records are.
    pub topic: Topic,
    /// The first offset that is wanted.
    pub start: i64,
    /// The number of the lease.
    pub lease: u64,
    /// A record before `start` that has to stand there still.
    pub mark: Option<Value>,
    /// The cluster that is meant, where that is known.
    pub cluster: Option<String>,
}

/// Why bytes are no message, or a message cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The header is wrong.
    #[error("the header of a message: {0}")]
    Header(#[from] serde_json::Error),
    /// The rows are wrong.
    #[error("the rows of a chunk: {0}")]
    Rows(#[from] ArrowError),
    /// What is said of a chunk and what it holds differ.
    #[error("a chunk of {partition}: {what}")]
    Chunk {
        /// Of which partition.
        partition: Partition,
        /// What is wrong.
        what: &'static str,
    },
    /// The rows contradict themselves.
    #[error("the rows of a chunk cannot be")]
    Impossible,
    /// It ends too early.
    #[error("a message ends within its {0}")]
    Short(&'static str),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Header {
    Note(Note),
    Chunk(Head),
}

/// What stands before a chunk's rows.
#[derive(Serialize, Deserialize)]
struct Head {
    lease: u64,
    mark: Option<Value>,
    partition: Partition,
    topic: Topic,
    first_offset: i64,
    next_offset: i64,
    latest_kafka_millis: i64,
    rows: usize,
    letters: Vec<Letter>,
}

/// A dead letter.
#[derive(Serialize, Deserialize)]
struct Letter {
    offset: i64,
    kafka_millis: i64,
    refused_millis: i64,
    key: Option<String>,
    id: Option<String>,
    stage: Stage,
    error_code: String,
    field: Option<String>,
    message: String,
    payload_sha256: [u8; 32],
    payload: Option<String>,
}

impl Report {
    /// The bytes of a frame.
    ///
    /// # Errors
    /// Where rows cannot be written, which a batch of our own schemas never is.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        match self {
            Self::Note(note) => with_header(&Header::Note(note.clone())),
            Self::Chunk(handed) => {
                let mut bytes = with_header(&Header::Chunk(Head::of(handed)))?;
                let EventBatch { records, identities, .. } = &handed.chunk.events;
                for identity in identities {
                    bytes.extend(identity.to_le_bytes());
                }
                let mut writer = StreamWriter::try_new(bytes, &records.schema())?;
                writer.write(records)?;
                Ok(writer.into_inner()?)
            }
        }
    }

    /// What the bytes of a frame say.
    ///
    /// # Errors
    /// Where they say nothing, or what cannot be.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (header, body) = split_header(bytes)?;
        match serde_json::from_slice(header)? {
            Header::Note(note) => Ok(Self::Note(note)),
            Header::Chunk(head) => Ok(Self::Chunk(Box::new(head.join(body)?))),
        }
    }
}

impl Order {
    /// The bytes of a frame.
    ///
    /// # Errors
    /// Never, for what this crate makes.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// What the bytes of a frame say.
    ///
    /// # Errors
    /// Where they say nothing.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// The length of the header, then the header.
fn with_header(header: &Header) -> Result<Vec<u8>, MessageError> {
    let header = serde_json::to_vec(header)?;
    let length = u32::try_from(header.len()).map_err(|_| MessageError::Short("header"))?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(header);
    Ok(bytes)
}

fn split_header(bytes: &[u8]) -> Result<(&[u8], &[u8]), MessageError> {
    let short = || MessageError::Short("header");
    let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| short())?;
    rest.split_at_checked(length).ok_or_else(short)
}

impl Head {
    fn of(handed: &Handed) -> Self {
        let chunk = &handed.chunk;
        Self {
            lease: handed.lease,
            mark: handed.mark.clone(),
            partition: chunk.partition.clone(),
            topic: chunk.events.topic,
            first_offset: chunk.first_offset,
            next_offset: chunk.next_offset,
            latest_kafka_millis: chunk.latest_kafka_time.millis(),
            rows: chunk.events.identities.len(),
            letters: chunk.dead_letters.iter().map(|letter| Letter::of(letter)).collect(),
        }
    }

    fn join(self, body: &[u8]) -> Result<Handed, MessageError> {
        let length = self.rows.checked_mul(size_of::<u128>()).ok_or(MessageError::Short("identities"))?;
        let (identities, rows) = body.split_at_checked(length).ok_or(MessageError::Short("identities"))?;
        let (identities, _) = identities.as_chunks();
        let identities: Vec<u128> = identities.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect();
        let records = read_rows(rows)?;
        self.check(&records)?;
        let (partition, topic) = (self.partition, self.topic);
        let read = (identities.len() + self.letters.len()) as u64;
        let letter = |letter: Letter| Arc::new(letter.join(&partition, topic));
        let dead_letters = self.letters.into_iter().map(letter).collect();
        let chunk = Chunk {
            first_offset: self.first_offset,
            next_offset: self.next_offset,
            read,
            latest_kafka_time: EventTime::from_millis(self.latest_kafka_millis),
            events: EventBatch { topic, records, identities },
            dead_letters,
            partition,
        };
        Ok(Handed { lease: self.lease, mark: self.mark, chunk })
    }

    /// That the rows are what the head says: whoever cuts a chunk, or counts it, relies on that.
    fn check(&self, records: &RecordBatch) -> Result<(), MessageError> {
        let wrong = |what| MessageError::Chunk { partition: self.partition.clone(), what };
        if self.first_offset >= self.next_offset || self.first_offset < 0 {
            return Err(wrong("its offsets are no stretch"));
        }
        if records.schema() != event::schema(self.topic) {
            return Err(wrong("its columns are not its topic's"));
        }
        if records.num_rows() != self.rows {
            return Err(wrong("it has another number of rows than of identities"));
        }
        let stretch = self.first_offset..self.next_offset;
        let offsets = records["offset"].as_primitive::<Int64Type>().values();
        let is_ordered = offsets.is_sorted_by(|one, next| one < next);
        let letters = self.letters.iter().map(|letter| letter.offset);
        if !is_ordered || !offsets.iter().copied().chain(letters).all(|offset| stretch.contains(&offset)) {
            return Err(wrong("its records do not stand in its stretch"));
        }
        Ok(())
    }
}

/// The one batch of an Arrow stream. Arrow's decoder takes no more memory than there are bytes (its reader takes what a
/// stream claims), but it panics where lengths within a stream contradict each other: what another process sends must
/// not come further than to an error.
fn read_rows(bytes: &[u8]) -> Result<RecordBatch, MessageError> {
    let read = || {
        let mut bytes = Buffer::from(bytes);
        StreamDecoder::new().decode(&mut bytes)?.ok_or(MessageError::Short("rows"))
    };
    std::panic::catch_unwind(read).unwrap_or(Err(MessageError::Impossible))
}

impl Letter {
    fn of(letter: &DeadLetter) -> Self {
        Self {
            offset: letter.position.offset,
            kafka_millis: letter.kafka_time.millis(),
            refused_millis: letter.refused_at.millis(),
            key: letter.key.clone(),
            id: letter.id.clone(),
            stage: letter.stage,
            error_code: letter.error_code.clone().into_owned(),
            field: letter.field.clone().map(Cow::into_owned),
            message: letter.message.clone().into_owned(),
            payload_sha256: letter.payload_sha256.0,
            payload: letter.payload.clone(),
        }
    }

    fn join(self, partition: &Partition, meant_for: Topic) -> DeadLetter {
        DeadLetter {
            position: Position { partition: partition.clone(), offset: self.offset },
            meant_for,
            kafka_time: EventTime::from_millis(self.kafka_millis),
            refused_at: EventTime::from_millis(self.refused_millis),
            key: self.key,
            id: self.id,
            stage: self.stage,
            error_code: self.error_code.into(),
            field: self.field.map(Into::into),
            message: self.message.into(),
            payload_sha256: Sha256Sum(self.payload_sha256),
            payload: self.payload,
        }
    }
}
