//! Finds the partitions and watches the brokers for a process that leaves the reading to others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hexwatch_contract::{Clock, Offsets, Partition};
use rdkafka::consumer::Consumer;
use tokio::sync::mpsc::{self, Sender};

use super::assignment::{self, Found, Obstacle};
use super::client::Client;
use super::liveness::{Change, Liveness};
use super::{Event, ReadError, Settings, commit};

/// Events that wait for the receiver.
const QUEUE: usize = 16;
/// How often a broker is asked whether it is there, and how long it may take to answer.
const ASK_EVERY: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked whether the process ends.
const PAUSE: Duration = Duration::from_millis(100);

/// The scout's handle. Dropping it, or the receiver of its events, ends its work.
pub struct Scout {
    consumer: Client,
    stop: Arc<AtomicBool>,
}

impl Scout {
    /// Starts to look. Of a [`super::Reader`]'s events come those that are not about records.
    ///
    /// # Errors
    /// Where the settings cannot be used at all.
    pub fn start(
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, mpsc::Receiver<Event>), ReadError> {
        let (consumer, stop) = (settings.client()?, Arc::new(AtomicBool::new(false)));
        let (events, receiver) = mpsc::channel(QUEUE);
        let liveness = Liveness::new(settings.lost_after, Instant::now(), clock.now());
        let known = BTreeSet::new();
        let rounds = Rounds {
            settings,
            consumer: consumer.clone(),
            stop: stop.clone(),
            events,
            clock,
            liveness,
            known,
        };
        std::thread::Builder::new()
            .name("kafka-scout".to_owned())
            .spawn(move || rounds.make())
            .map_err(|source| ReadError::Thread { kind: source.kind() })?;
        Ok((Self { consumer, stop }, receiver))
    }

    /// As [`super::Reader::commit_for_monitoring`].
    ///
    /// # Errors
    /// Where the request could not be made.
    pub fn commit_for_monitoring(&self, offsets: &Offsets) -> Result<(), ReadError> {
        commit(&self.consumer, offsets)
    }

    /// As [`super::Reader::cluster_id`].
    #[must_use]
    pub fn cluster_id(&self, patience: Duration) -> Option<String> {
        self.consumer.client().fetch_cluster_id(patience)
    }

    /// Where `partitions` end, as far as the brokers say so in time.
    #[must_use]
    pub fn ends(&self, partitions: &[Partition]) -> Offsets {
        let mut ends = Offsets::new();
        for partition in partitions {
            let asked = self.consumer.fetch_watermarks(&partition.topic, partition.partition, ANSWER_WITHIN);
            // Whoever does not answer for one has no answer for the others either.
            let Ok((_, end)) = asked else { break };
            ends.insert(partition.clone(), end);
        }
        ends
    }
}

impl Drop for Scout {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// All that the thread owns.
struct Rounds {
    settings: Settings,
    consumer: Client,
    stop: Arc<AtomicBool>,
    events: Sender<Event>,
    clock: Arc<dyn Clock>,
    liveness: Liveness,
    known: BTreeSet<Partition>,
}

impl Rounds {
    fn make(mut self) {
        if let Err(error) = self.look() {
            tracing::error!(%error, "the scout has ended");
            self.send(Event::Failed(error));
        }
    }

    fn look(&mut self) -> Result<(), ReadError> {
        let mut discovered: Option<Instant> = None;
        let mut asked = Instant::now();
        while !self.stop.load(Ordering::Acquire) && !self.events.is_closed() {
            // Nothing is assigned: this serves the client's own messages.
            drop(self.consumer.poll(PAUSE));
            let is_due = discovered.is_none_or(|last| {
                !self.liveness.is_lost() && last.elapsed() >= self.settings.discover_every
            });
            if is_due && self.discover(discovered.is_none())? {
                discovered = Some(Instant::now());
            }
            if asked.elapsed() >= ASK_EVERY {
                asked = Instant::now();
                let answers = self.answers();
                self.observe(answers);
            }
        }
        Ok(())
    }

    /// Looks for partitions that are not known; gives whether a broker has answered.
    fn discover(&mut self, is_first: bool) -> Result<bool, ReadError> {
        let known = |topic: &str, number| self.known.contains(&Partition::new(topic, number));
        let found = match assignment::discover(&self.consumer, &self.settings, known) {
            Ok(found) => found,
            Err(Obstacle::Away) => return Ok(false),
            Err(Obstacle::Final(error)) => return Err(error),
        };
        if is_first {
            assignment::check_cluster(&self.consumer, &self.settings)?;
        } else if found.is_empty() {
            return Ok(true);
        }
        let assignments: Vec<_> = found.into_iter().map(|Found { assignment, .. }| assignment).collect();
        self.known.extend(assignments.iter().map(|one| one.partition.clone()));
        self.send(Event::Assigned(assignments));
        Ok(true)
    }

    /// Whether a broker answers a question about one topic: all that there are may be many.
    fn answers(&self) -> bool {
        let topic = self.settings.sources.first().map(|source| &*source.name);
        self.consumer.fetch_metadata(topic, ANSWER_WITHIN).is_ok()
    }

    fn observe(&mut self, answers: bool) {
        match self.liveness.observe(answers, Instant::now(), self.clock.now()) {
            Some(Change::Lost { since }) => self.send(Event::BrokerLost { since }),
            Some(Change::Back) => self.send(Event::BrokerBack),
            None => {}
        }
    }

    fn send(&self, event: Event) {
        // Where nobody receives any more, the next look ends the work.
        let _ = self.events.blocking_send(event);
    }
}
