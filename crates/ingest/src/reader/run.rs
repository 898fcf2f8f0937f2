//! The reader's thread: poll, decode, hand over.

mod grants;
mod standing;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hexwatch_contract::site::Places;
use hexwatch_contract::{Chunk, Clock, Partition};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::assignment::{self, Standing};
use super::client::Client;
use super::fetch::{Batch, Message, Queue};
use super::held::Held;
use super::lane::Lane;
use super::liveness::{Change, Liveness};
use super::mark::{Mark, Marks};
use super::{Event, Grants, Progress, ReadError, Settings, Shown};

use self::standing::positions;

/// How long the fetching may be waited for where nothing is pending; also how fast a stop is seen.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// How often a full queue is tried again, and how often it is shown meanwhile how many records wait.
const ROOM_WAIT: Duration = Duration::from_millis(1);
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// How long a broker may take to say where a partition ends, while others want to be asked about.
const SHOW_PATIENCE: Duration = Duration::from_millis(500);

/// How often what is not about records is seen to, at least.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// For how long after an assignment the partitions are led to the queue at every look around.
const LEAD_AGAIN: Duration = Duration::from_secs(2);

/// Why the loop ended.
enum End {
    /// The receiver is gone, or the handle asked for it.
    Asked,
    Failed(ReadError),
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

/// What the thread shares with its handle and with whoever takes the events.
pub(super) struct Shared {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) events: Sender<Event>,
    pub(super) marks: Arc<Marks>,
    pub(super) held: Arc<Held>,
    pub(super) shown: Arc<Shown>,
    pub(super) grants: Arc<Grants>,
}

/// All that the thread owns.
pub(super) struct Run {
    settings: Settings,
    consumer: Client,
    /// Where records come; all else comes through the consumer itself.
    queue: Arc<Queue>,
    shared: Shared,
    places: Arc<dyn Places>,
    clock: Arc<dyn Clock>,
    liveness: Liveness,
    lanes: Vec<Lane>,
    /// Partitions that nothing is fetched of.
    held: BTreeSet<Partition>,
    discovered: Instant,
    assigned: Instant,
    /// Whether a lane may hold records that were not handed over.
    pending: bool,
    /// Whether the queue was full since the last discovery: then it is our own doing if a partition stands still.
    waited: Cell<bool>,
}

impl Run {
    pub(super) fn new(
        settings: Settings,
        consumer: Client,
        shared: Shared,
        places: Arc<dyn Places>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let now = Instant::now();
        let liveness = Liveness::new(settings.lost_after, now, clock.now());
        Self {
            settings,
            queue: Arc::new(Queue::of(consumer.clone())),
            consumer,
            shared,
            places,
            clock,
            liveness,
            lanes: Vec::new(),
            held: BTreeSet::new(),
            discovered: now,
            assigned: now,
            pending: false,
            waited: Cell::new(false),
        }
    }

    /// Reads until asked to stop, or until going on would be wrong.
    pub(super) fn read_to_the_end(mut self) {
        if let Err(End::Failed(error)) = self.read() {
            tracing::error!(%error, "the reader has ended");
            // Where nobody receives any more, nobody needs to know.
            let _ = self.shared.events.blocking_send(Event::Failed(error));
        }
    }

    fn read(&mut self) -> Result<(), End> {
        if !self.settings.by_grant {
            self.find_partitions()?;
        }
        // The borrow of a message must not hold the rest of us.
        let queue = self.queue.clone();
        let mut batch = Batch::default();
        let mut looked = Instant::now();
        loop {
            queue.fill(&mut batch, if self.pending { self.settings.linger } else { IDLE_WAIT });
            if batch.is_empty() {
                self.hand_over(|_| true)?;
                self.pending = false;
            }
            self.take_all(&batch)?;
            let now = Instant::now();
            if self.pending
                && let Some(limit) = now.checked_sub(self.settings.chunk_age)
            {
                self.hand_over(|lane| lane.is_older_than(limit))?;
            }
            if now.saturating_duration_since(looked) >= LOOK_AROUND {
                looked = now;
                self.serve_client()?;
                self.look_around()?;
            }
        }
    }

    /// Lets librdkafka tell what is no record: its statistics, its logs and errors of the client.
    fn serve_client(&self) -> Result<(), End> {
        let consumer = self.consumer.clone();
        while let Some(told) = consumer.poll(Duration::ZERO) {
            // Records of a partition are led to the queue before it is assigned.
            told.map(drop).or_else(|error| self.judge(error))?;
        }
        Ok(())
    }

    fn take_all(&mut self, batch: &Batch) -> Result<(), End> {
        let mut last: Option<(usize, Message<'_>)> = None;
        for message in batch.iter() {
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    self.judge(error)?;
                    continue;
                }
            };
            // A fetch brings many of one partition.
            let near = last.filter(|(_, last)| last.is_of_partition_of(message)).map(|(number, _)| number);
            // A record of a partition that was never assigned cannot be; it would be read again if it were ours.
            let Some(number) = near.or_else(|| self.lane_of(message)) else { continue };
            if let Some((before, last)) = last.filter(|(before, _)| *before != number) {
                self.lanes[before].remember(&last.record(&[]));
            }
            if self.take(number, message)? {
                last = Some((number, message));
            }
        }
        if let Some((number, last)) = last {
            self.lanes[number].remember(&last.record(&[]));
        }
        Ok(())
    }

    fn lane_of(&self, message: Message<'_>) -> Option<usize> {
        let (topic, partition) = (message.topic(), message.partition());
        self.lanes.iter().position(|lane| lane.carries(topic, partition))
    }

    /// Lets the lane of that number take a record. False where it has it: it was left over in the local queue from before
    /// partitions were assigned anew.
    fn take(&mut self, number: usize, message: Message<'_>) -> Result<bool, End> {
        let lane = &mut self.lanes[number];
        let headers = message.headers();
        let record = message.record(&headers);
        lane.prove(&record).map_err(ReadError::remade)?;
        if record.offset < lane.next_offset() {
            return Ok(false);
        }
        lane.take(&record);
        self.pending = true;
        if lane.is_full(self.settings.chunk_records, self.settings.chunk_bytes) {
            lane.remember(&record);
            let finished = lane.finish();
            self.send_chunk(finished)?;
        }
        Ok(true)
    }

    /// Hands over the chunks in the making of the lanes that are `due`.
    fn hand_over(&mut self, due: impl Fn(&Lane) -> bool) -> Result<(), End> {
        for number in 0..self.lanes.len() {
            let lane = &mut self.lanes[number];
            if lane.pending() > 0 && due(lane) {
                let finished = lane.finish();
                self.send_chunk(finished)?;
            }
        }
        self.tell_ends()
    }

    fn send_chunk(&self, finished: Option<(Chunk, Mark)>) -> Result<(), End> {
        let Some((chunk, mark)) = finished else { return Ok(()) };
        // Before the chunk: whoever commits it finds the mark.
        self.shared.marks.note(mark);
        self.send(Event::Chunk(chunk))
    }

    fn tell_ends(&mut self) -> Result<(), End> {
        for number in 0..self.lanes.len() {
            if let Some(event) = self.lanes[number].tell_end() {
                self.send(event)?;
            }
        }
        Ok(())
    }

    /// What is not for every record: a stop, statistics, partitions that were added.
    fn look_around(&mut self) -> Result<(), End> {
        self.check_stop()?;
        if self.assigned.elapsed() < LEAD_AGAIN {
            self.lead_all();
        }
        self.follow_grants()?;
        self.hold_back()?;
        if let Some(statistics) = self.consumer.context().take() {
            self.observe_broker(statistics.any_broker_answers())?;
            self.lead_all();
            for lane in &mut self.lanes {
                let partition = lane.partition();
                let Some(figures) = statistics.partition(&partition.topic, partition.partition) else {
                    continue;
                };
                if lane.observe(figures)
                    && let Standing::Lost(error) =
                        assignment::ask_about(&self.consumer, [(lane.partition(), lane.next_offset())])
                {
                    return Err(error.into());
                }
            }
            self.tell_ends()?;
            let progress: Vec<Progress> = self.lanes.iter().map(Lane::progress).collect();
            self.shared.shown.show(progress.clone());
            self.send(Event::Progress(progress))?;
        }
        if self.discovered.elapsed() >= self.settings.discover_every && !self.liveness.is_lost() {
            self.discovered = Instant::now();
            if self.settings.by_grant {
                self.wake_standing()?;
            } else {
                self.find_added_partitions()?;
            }
        }
        Ok(())
    }

    fn observe_broker(&mut self, answers: bool) -> Result<(), End> {
        match self.liveness.observe(answers, Instant::now(), self.clock.now()) {
            Some(Change::Lost { since }) => {
                tracing::warn!(%since, "no Kafka broker answers; reading goes on when one does");
                self.send(Event::BrokerLost { since })
            }
            Some(Change::Back) => {
                tracing::info!("a Kafka broker answers again");
                self.send(Event::BrokerBack)
            }
            None => Ok(()),
        }
    }

    /// librdkafka mends what can be mended by itself; here is what cannot.
    fn judge(&self, error: KafkaError) -> Result<(), End> {
        let code = error.rdkafka_error_code();
        let ended = match code {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                match assignment::ask_about(&self.consumer, positions(&self.lanes)) {
                    Standing::Lost(error) => error,
                    _ => ReadError::Refused { source: error },
                }
            }
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::Fatal,
            ) => ReadError::Refused { source: error },
            Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage) => {
                ReadError::Corrupt { source: error }
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                ReadError::Refused { source: error }
            }
            _ => {
                tracing::debug!(%error, "kafka; librdkafka tries again");
                return Ok(());
            }
        };
        Err(ended.into())
    }

    fn check_stop(&self) -> Result<(), End> {
        let Shared { stop, events, .. } = &self.shared;
        if stop.load(Ordering::Acquire) || events.is_closed() { Err(End::Asked) } else { Ok(()) }
    }

    /// Waits where the queue is full: librdkafka's own queue is bounded, so that a slow engine slows the
    /// fetching, not the machine. How many records wait meanwhile is shown all the same.
    fn send(&self, mut event: Event) -> Result<(), End> {
        let mut shown = Instant::now();
        loop {
            event = match self.shared.events.try_send(event) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(End::Asked),
                Err(TrySendError::Full(event)) => event,
            };
            self.waited.set(true);
            self.check_stop()?;
            if shown.elapsed() >= SHOW_EVERY {
                self.show_waiting();
                shown = Instant::now();
            }
            std::thread::sleep(ROOM_WAIT);
        }
    }

    /// Asks the brokers where the partitions end. While nothing is fetched the client's own figures stand still.
    fn show_waiting(&self) {
        // Where one question goes unanswered, the others are not waited for.
        let mut answers = true;
        let progress = self.lanes.iter().map(|lane| {
            let known = lane.progress();
            let Partition { topic, partition } = &known.partition;
            let asked =
                answers.then(|| self.consumer.fetch_watermarks(topic, *partition, SHOW_PATIENCE).ok());
            let Some(Some((_, end))) = asked else {
                answers = false;
                return known;
            };
            let end = end.max(known.position);
            Progress { end, at_end: known.at_end && end == known.position, ..known }
        });
        self.shared.shown.show(progress.collect());
    }
}
