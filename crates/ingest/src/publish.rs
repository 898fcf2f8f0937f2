//! Rows out to Kafka: idempotent, bounded, counted.

mod producer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hexwatch_contract::{Classified, EventTime, Fault};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use self::producer::Producer;
use crate::Brokers;

/// What can go wrong on the way out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishError {
    /// librdkafka does not take the settings.
    #[error("setting up the Kafka producer: {source}; check the Kafka properties")]
    Settings {
        /// What it said.
        source: KafkaError,
    },
    /// The thread that hears of deliveries cannot be started.
    #[error("starting the thread of the Kafka producer: {kind}; free memory or raise the limit on threads")]
    Thread {
        /// Why.
        kind: std::io::ErrorKind,
    },
    /// The queue has been full for as long as the caller would wait.
    #[error(
        "publishing to {topic}: the queue is still full after {waited:?}; the broker is away or too slow"
    )]
    Full {
        /// Where to.
        topic: String,
        /// For how long room was waited for.
        waited: Duration,
    },
    /// The record cannot be sent at all.
    #[error("publishing to {topic}: {source}")]
    Refused {
        /// Where to.
        topic: String,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// Not everything was taken by the broker in time.
    #[error("flushing: {left} records are still on their way after {waited:?}")]
    Unflushed {
        /// How many.
        left: usize,
        /// For how long they were waited for.
        waited: Duration,
    },
}

impl Classified for PublishError {
    fn fault(&self) -> Fault {
        match self {
            Self::Settings { .. } => Fault::Input,
            _ => Fault::External,
        }
    }

    fn retry(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Unflushed { .. })
    }
}

/// A record to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    /// The Kafka topic's full name.
    pub topic: &'a str,
    /// The partition; `None`: by the key.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` writes a tombstone.
    pub value: Option<&'a [u8]>,
    /// The Kafka timestamp; `None`: the time of writing.
    pub timestamp: Option<EventTime>,
    /// Headers.
    pub headers: &'a [(String, Vec<u8>)],
    /// Whether it may wait a moment longer for the company of many. All records of a topic say the same, or their order
    /// is lost.
    pub in_bulk: bool,
}

impl<'a> Outgoing<'a> {
    /// A JSON row under its key.
    #[must_use]
    pub fn row(topic: &'a str, key: &'a str, json: &'a [u8]) -> Self {
        Self { topic, key: Some(key.as_bytes()), value: Some(json), ..Self::default() }
    }
}

/// What became of the records so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Taken by the broker.
    pub delivered: u64,
    /// Given up, after every retry.
    pub failed: u64,
    /// On their way.
    pub in_flight: usize,
}

#[derive(Default)]
struct Tally {
    delivered: AtomicU64,
    failed: AtomicU64,
    /// Records on their way, by the side that was open when they were sent. Closing a side and waiting for it to empty
    /// waits for what was sent before, however much is sent meanwhile.
    sides: [AtomicU64; 2],
    /// The open side.
    open: AtomicUsize,
}

/// Is told the topic of each record that was given up.
pub type Lost = Arc<dyn Fn(&str) + Send + Sync>;

/// Counts deliveries, on the producer's own thread.
#[derive(Clone)]
struct Deliveries {
    tally: Arc<Tally>,
    lost: Lost,
}

impl Deliveries {
    /// Of how many records has been told what became of them.
    fn told(&self) -> u64 {
        self.tally.delivered.load(Ordering::Relaxed) + self.tally.failed.load(Ordering::Relaxed)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::reader::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    /// The side that was open when the record was sent.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, side: usize) {
        self.tally.sides[side].fetch_sub(1, Ordering::AcqRel);
        match result {
            Ok(_) => {
                self.tally.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, record)) => {
                self.tally.failed.fetch_add(1, Ordering::Relaxed);
                (self.lost)(record.topic());
                tracing::error!(%error, topic = record.topic(), "a record could not be written to Kafka");
            }
        }
    }
}

/// Writes records, in order within a partition and without doubles however often the network makes it try.
pub struct Publisher {
    producer: Producer,
    /// For what may wait for company.
    bulk: Option<Producer>,
    tally: Arc<Tally>,
}

/// How long a full queue is left alone between two tries.
const PAUSE: Duration = Duration::from_millis(2);

impl Publisher {
    /// A publisher for `brokers`. It connects when it first has something to write.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub fn new(brokers: &Brokers) -> Result<Self, PublishError> {
        Self::with(&brokers.producer(), None, Arc::new(|_| {}))
    }

    /// A publisher that never gives a record up because the broker is away: for rows that cannot be made again once
    /// their positions are committed. What no broker takes, whenever it is asked, `lost` hears of. Records that go
    /// [in bulk](Outgoing::in_bulk) have a connection of their own.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub fn lasting(brokers: &Brokers, lost: Lost) -> Result<Self, PublishError> {
        let (mut config, mut bulk) = (brokers.producer(), brokers.bulk_producer());
        for config in [&mut config, &mut bulk] {
            config.set("message.timeout.ms", "0");
        }
        Self::with(&config, Some(&bulk), lost)
    }

    fn with(config: &ClientConfig, bulk: Option<&ClientConfig>, lost: Lost) -> Result<Self, PublishError> {
        let deliveries = Deliveries { tally: Arc::default(), lost };
        let producer = |config: &ClientConfig| Producer::new(config, deliveries.clone());
        let (bulk, producer) = (bulk.map(producer).transpose()?, producer(config)?);
        Ok(Self { producer, bulk, tally: deliveries.tally })
    }

    fn producers(&self) -> impl Iterator<Item = &Producer> {
        std::iter::once(&self.producer).chain(&self.bulk)
    }

    /// Puts a record into the queue. Where the queue is full, waits for room for at most `patience`: the
    /// caller feels the broker's slowness, and decides.
    ///
    /// # Errors
    /// Where there was no room in time, or the record is one that no broker takes.
    pub fn send(&self, outgoing: &Outgoing<'_>, patience: Duration) -> Result<(), PublishError> {
        let side = self.tally.open.load(Ordering::Acquire);
        // Before it is sent: it may be delivered before `send` returns.
        self.tally.sides[side].fetch_add(1, Ordering::AcqRel);
        self.enqueue(outgoing, side, patience).inspect_err(|_| {
            self.tally.sides[side].fetch_sub(1, Ordering::AcqRel);
        })
    }

    fn enqueue(&self, outgoing: &Outgoing<'_>, side: usize, patience: Duration) -> Result<(), PublishError> {
        let mut full_since = None;
        let producer = self.bulk.as_ref().filter(|_| outgoing.in_bulk).unwrap_or(&self.producer);
        let mut record = record_of(outgoing, side);
        loop {
            let (error, unsent) = match producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(PublishError::Refused { topic: outgoing.topic.to_owned(), source: error });
            }
            // The clock is asked only where there is no room: rows come by the hundred thousand.
            if full_since.get_or_insert_with(Instant::now).elapsed() >= patience {
                return Err(PublishError::Full { topic: outgoing.topic.to_owned(), waited: patience });
            }
            std::thread::sleep(PAUSE);
            record = unsent;
        }
    }

    /// Waits until everything in the queue is written or given up.
    ///
    /// # Errors
    /// Where that takes longer than `patience`.
    pub fn flush(&self, patience: Duration) -> Result<(), PublishError> {
        let started = Instant::now();
        for producer in self.producers() {
            // Whatever goes wrong in between, what is left in flight is the answer.
            let _ = producer.flush(patience.saturating_sub(started.elapsed()));
        }
        match self.counts().in_flight {
            0 => Ok(()),
            left => Err(PublishError::Unflushed { left, waited: patience }),
        }
    }

    /// Waits until the broker has taken, or refused for good, everything that was sent before this call; what others
    /// send meanwhile is not waited for. One call at a time.
    ///
    /// # Errors
    /// Where that takes longer than `patience`; what is left is waited for by the next call.
    pub async fn settle(&self, patience: Duration) -> Result<(), PublishError> {
        let started = Instant::now();
        let open = self.tally.open.load(Ordering::Acquire);
        // Left over from a call that gave up: both sides have to be empty before one of them is open again.
        self.emptied(1 - open, started, patience).await?;
        self.tally.open.store(1 - open, Ordering::Release);
        self.emptied(open, started, patience).await
    }

    async fn emptied(&self, side: usize, started: Instant, patience: Duration) -> Result<(), PublishError> {
        loop {
            let left = self.tally.sides[side].load(Ordering::Acquire);
            if left == 0 {
                return Ok(());
            }
            if started.elapsed() >= patience {
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                return Err(PublishError::Unflushed { left, waited: patience });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What became of the records so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            delivered: self.tally.delivered.load(Ordering::Relaxed),
            failed: self.tally.failed.load(Ordering::Relaxed),
            in_flight: self.producers().map(in_flight).sum(),
        }
    }
}

fn in_flight(producer: &Producer) -> usize {
    usize::try_from(producer.in_flight_count()).unwrap_or(0)
}

fn record_of<'a>(outgoing: &Outgoing<'a>, side: usize) -> BaseRecord<'a, [u8], [u8], usize> {
    let mut record = BaseRecord::with_opaque_to(outgoing.topic, side);
    record.partition = outgoing.partition;
    record.key = outgoing.key;
    record.payload = outgoing.value;
    record.timestamp = outgoing.timestamp.map(EventTime::millis);
    if !outgoing.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(outgoing.headers.len());
        let headers = outgoing
            .headers
            .iter()
            .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        record.headers = Some(headers);
    }
    record
}
