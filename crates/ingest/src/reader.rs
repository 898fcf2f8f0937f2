//! Records from Kafka, decoded, as they come: a thread of its own that ends in a bounded channel.
//!
//! Partitions are assigned by us, not by a consumer group. Where one process reads, it owns all partitions, the
//! truth about offsets is the history's checkpoint, and a group would add what nobody needs here:
//! rebalances, and six seconds or more before a restarted process may read on. A group id is used all the
//! same, to commit offsets that monitoring tools can read. Where several processes read, each reads what it is
//! [granted](Reader::grant); then a [`Scout`] finds the partitions for the one that grants them.
//!
//! Nothing is ever skipped: an offset that the broker no longer has, a topic that was made anew and a
//! batch whose checksum is wrong end the reader with an error that names the place.

mod assignment;
mod client;
mod error;
mod fetch;
mod grants;
mod held;
mod lane;
mod liveness;
mod mark;
mod run;
mod scout;
mod shown;
mod survey;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hexwatch_contract::site::Places;
use hexwatch_contract::{Chunk, Clock, EventTime, Offsets, Partition, Topic};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use self::client::Client;
pub use self::error::ReadError;
pub use self::grants::Grant;
use self::grants::Grants;
use self::held::Held;
pub use self::mark::{Mark, Marks};
use self::run::{Run, Shared};
pub use self::scout::Scout;
use self::shown::Shown;
pub use self::survey::{Gap, Loss, Positions, Survey, survey};
use self::watch::Watch;
pub(crate) use self::watch::log;
use crate::{Brokers, Tolerances};

/// A Kafka topic, and what its records mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The Kafka topic's full name.
    pub name: Arc<str>,
    /// What its records are.
    pub topic: Topic,
}

impl Source {
    /// The six input topics under `prefix`.
    #[must_use]
    pub fn all(prefix: &str) -> Vec<Self> {
        Topic::ALL.map(|topic| Self { name: format!("{prefix}{topic}").into(), topic }).into()
    }
}

/// Where a partition starts that no checkpoint names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// At the first record the broker still has.
    #[default]
    Earliest,
    /// After the last.
    Latest,
}

/// What to read, and in which portions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From where.
    pub brokers: Brokers,
    /// Which topics.
    pub sources: Vec<Source>,
    /// Next offsets by the history's checkpoint.
    pub starts: Offsets,
    /// Records that were read before a restart: the same ones must stand there still.
    pub marks: BTreeMap<Partition, Mark>,
    /// The cluster that they were read from, where that is known.
    pub cluster: Option<String>,
    /// For partitions that are not among `starts`.
    pub fallback: Start,
    /// Under which name offsets are committed for monitoring.
    pub group: String,
    /// What is tolerated in a record.
    pub tolerances: Tolerances,
    /// A chunk is handed over at this many records,
    pub chunk_records: u64,
    /// or this many bytes of payload,
    pub chunk_bytes: usize,
    /// or when nothing more has come for this long,
    pub linger: Duration,
    /// or when its first record is this old, however many follow.
    pub chunk_age: Duration,
    /// Events that wait for the receiver. The bound on memory: chunks are at most `chunk_bytes` each.
    pub queue: usize,
    /// How long no broker must have answered to be called lost.
    pub lost_after: Duration,
    /// How often partitions that were added to a topic are looked for.
    pub discover_every: Duration,
    /// No partition is looked for: those are read that are [granted](Reader::grant).
    pub by_grant: bool,
}

impl Settings {
    /// A client of the brokers that nothing is assigned to.
    fn client(&self) -> Result<Client, ReadError> {
        Client::new(&self.brokers.consumer(&self.group))
    }

    /// The settings that fit most: chunks for throughput when there is a backlog, within 2 ms when there is none.
    #[must_use]
    pub fn new(brokers: Brokers, sources: Vec<Source>) -> Self {
        Self {
            brokers,
            sources,
            starts: Offsets::new(),
            marks: BTreeMap::new(),
            cluster: None,
            fallback: Start::Earliest,
            group: "hexwatch".to_owned(),
            tolerances: Tolerances::default(),
            chunk_records: 4096,
            chunk_bytes: 2 * 1024 * 1024,
            linger: Duration::from_millis(2),
            chunk_age: Duration::from_millis(20),
            queue: 16,
            lost_after: Duration::from_secs(8),
            discover_every: Duration::from_secs(30),
            by_grant: false,
        }
    }
}

/// A partition that is being read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// Which.
    pub partition: Partition,
    /// What its records mean.
    pub topic: Topic,
    /// The first offset that will be read.
    pub start: i64,
    /// The offset after the last record at the time of the assignment.
    pub end: i64,
    /// The lease of the grant; 0 where partitions are not granted.
    pub lease: u64,
}

/// How far a partition has been read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Which.
    pub partition: Partition,
    /// The next offset to read.
    pub position: i64,
    /// The offset after the last record the broker has.
    pub end: i64,
    /// No record stands between the two.
    pub at_end: bool,
}

/// What the reader tells, in the order of its happening.
#[derive(Clone, Debug)]
pub enum Event {
    /// Partitions that will be read from now on; before the first of their chunks.
    Assigned(Vec<Assignment>),
    /// Partitions that are no longer read.
    Revoked(Vec<Partition>),
    /// Records.
    Chunk(Chunk),
    /// A partition has been read to its end; told again whenever that becomes true again.
    AtEnd {
        /// Which.
        partition: Partition,
        /// The offset of its end.
        offset: i64,
    },
    /// All partitions, about once a second.
    Progress(Vec<Progress>),
    /// No broker answers.
    BrokerLost {
        /// When one last did.
        since: EventTime,
    },
    /// A broker answers again; nothing was skipped.
    BrokerBack,
    /// The last event: reading ended, because going on would skip records or cannot succeed.
    Failed(ReadError),
}

/// The reader's handle. Dropping it, or the receiver of its events, ends the reading.
pub struct Reader {
    consumer: Client,
    marks: Arc<Marks>,
    held: Arc<Held>,
    shown: Arc<Shown>,
    grants: Arc<Grants>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Reader {
    /// Starts to read. Brokers that are away are waited for and told of by [`Event::BrokerLost`].
    ///
    /// # Errors
    /// Where the settings cannot be used at all.
    pub fn start(
        settings: Settings,
        places: Arc<dyn Places>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, mpsc::Receiver<Event>), ReadError> {
        let consumer = settings.client()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (events, receiver) = mpsc::channel(settings.queue);
        let marks = Arc::new(Marks::of(settings.marks.values().cloned()));
        let (held, shown) = (Arc::new(Held::default()), Arc::new(Shown::default()));
        let grants = Arc::new(Grants::default());
        let shared = Shared {
            stop: stop.clone(),
            events,
            marks: marks.clone(),
            held: held.clone(),
            shown: shown.clone(),
            grants: grants.clone(),
        };
        let run = Run::new(settings, consumer.clone(), shared, places, clock);
        let thread = std::thread::Builder::new()
            .name("kafka-reader".to_owned())
            .spawn(move || run.read_to_the_end())
            .map_err(|source| ReadError::Thread { kind: source.kind() })?;
        Ok((Self { consumer, marks, held, shown, grants, stop, thread: Some(thread) }, receiver))
    }

    /// Commits offsets to Kafka for tools that watch lag. Nothing is ever read back from there, so a
    /// failure costs a figure, not a record.
    ///
    /// # Errors
    /// Where the request could not be made; whether the broker took it is not waited for.
    pub fn commit_for_monitoring(&self, offsets: &Offsets) -> Result<(), ReadError> {
        commit(&self.consumer, offsets)
    }

    /// For each partition a record below its offset of `offsets`, to be committed with them and looked for at the next
    /// start.
    #[must_use]
    pub fn marks(&self, offsets: &Offsets) -> Vec<Mark> {
        self.marks.below(offsets)
    }

    /// A record of `partition` below `next` that was read, if possible the last; nothing is forgotten.
    #[must_use]
    pub fn mark(&self, partition: &Partition, next: i64) -> Option<Mark> {
        self.marks.last_below(partition, next)
    }

    /// Reads a partition from where `grant` says, in place of what was granted of it before. For readers
    /// [by grant](Settings::by_grant).
    pub fn grant(&self, grant: Grant) {
        self.grants.give(grant);
    }

    /// Reads `partition` no more, where it is read by `lease` or an earlier one. What was read may still come, then
    /// [`Event::Revoked`].
    pub fn end_grant(&self, partition: &Partition, lease: u64) {
        self.grants.end(partition, lease);
    }

    /// The lease by which `partition` is to be read.
    #[must_use]
    pub fn lease_of(&self, partition: &Partition) -> Option<u64> {
        self.grants.lease_of(partition)
    }

    /// How far the partitions have been read, as last known: also while nobody takes the events.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.shown.last()
    }

    /// Fetches no more of `partitions` until they are not among those of a later call: whoever takes the chunks has more
    /// of them than can be used now. Some that were fetched already may still come.
    pub fn hold<'a>(&self, partitions: impl IntoIterator<Item = &'a Partition>) {
        self.held.want(partitions.into_iter().cloned().collect());
    }

    /// The cluster's id, to tell a broker from another that took its address; `None` where it gives none
    /// within `patience`.
    #[must_use]
    pub fn cluster_id(&self, patience: Duration) -> Option<String> {
        self.consumer.client().fetch_cluster_id(patience)
    }

    /// Ends the reading and waits for the thread. Records that were read and not handed over are read
    /// again by the next reader.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been printed there; stopping has succeeded either way.
            let _ = thread.join();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Commits `offsets` for tools that watch lag.
fn commit(consumer: &BaseConsumer<Watch>, offsets: &Offsets) -> Result<(), ReadError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))
            .map_err(|source| ReadError::Commit { source })?;
    }
    if list.count() == 0 {
        return Ok(());
    }
    consumer.commit(&list, CommitMode::Async).map_err(|source| ReadError::Commit { source })
}
