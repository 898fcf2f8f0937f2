//! What is read, and in which order it is taken. Each safety topic has a reader of its own, a connection and a queue
//! with it, so that nothing of what others have piled up stands before its records; all other topics share one. Where
//! the roles are split, workers read, and each queue is filled from their connections.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Result, bail};
use hexwatch_contract::site::Places;
use hexwatch_contract::{Clock, Offsets, Partition};
use hexwatch_ingest::reader::{Assignment, Mark, Progress, ReadError, Settings, Source};
use hexwatch_ingest::{Event, Reader};
use tokio::sync::mpsc::Receiver;

use super::workers::Workers;

/// A chunk of a safety topic is handed over when nothing more has come for this long,
const SAFETY_LINGER: Duration = Duration::from_millis(1);
/// or when its first record is this old.
const SAFETY_CHUNK_AGE: Duration = Duration::from_millis(5);
/// The same for all others: a chunk has a price of its own, and no life hangs on these.
const CHUNK_AGE: Duration = Duration::from_millis(50);

/// After so many events in the order of precedence, one is taken of whoever waits at the end of it: topics may be late,
/// but not for good.
const FAIR_TURN: u32 = 8;

/// Splits `sources` into those that are read apart, in the order in which `safety` names them, and all others.
pub(crate) fn lanes(sources: Vec<Source>, prefix: &str, safety: &[String]) -> Result<Vec<Vec<Source>>> {
    let mut rest = sources;
    let mut lanes = Vec::new();
    for name in safety {
        let is_named = |source: &Source| {
            *source.name == **name || source.name.strip_prefix(prefix).is_some_and(|bare| bare == name)
        };
        let (named, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_named);
        if named.is_empty() {
            bail!(
                "reading kafka.safety_topics: `{name}` is no input topic, or is named twice; name topics of `kafka.topics` or of \
                 the six inputs"
            );
        }
        lanes.push(named);
        rest = others;
    }
    lanes.push(rest);
    lanes.retain(|lane| !lane.is_empty());
    Ok(lanes)
}

/// Who reads.
pub(crate) struct Intake(Origin);

enum Origin {
    /// Readers of our own.
    Readers(Vec<Lane>),
    /// Other processes.
    Workers(Workers),
}

struct Lane {
    topics: BTreeSet<Arc<str>>,
    reader: Reader,
}

impl Lane {
    fn reads(&self, partition: &Partition) -> bool {
        self.topics.contains(&partition.topic)
    }
}

impl Intake {
    /// Starts a reader for each of `lanes`; the last one is not in a hurry. `settings` are for all of them, their
    /// sources apart.
    pub(crate) fn start(
        settings: &Settings,
        lanes: Vec<Vec<Source>>,
        places: &Arc<dyn Places>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Self, Events), ReadError> {
        let last = lanes.len().saturating_sub(1);
        let (mut started, mut receivers) = (Vec::new(), Vec::new());
        for (number, sources) in lanes.into_iter().enumerate() {
            let topics: BTreeSet<Arc<str>> = sources.iter().map(|source| Arc::clone(&source.name)).collect();
            let mut own = Settings { sources, ..of_lane(settings, number < last) };
            own.starts.retain(|partition, _| topics.contains(&partition.topic));
            own.marks.retain(|partition, _| topics.contains(&partition.topic));
            let (reader, receiver) = Reader::start(own, Arc::clone(places), Arc::clone(clock))?;
            started.push(Lane { topics, reader });
            receivers.push(receiver);
        }
        Ok((Self(Origin::Readers(started)), Events::new(receivers)))
    }

    /// Takes what `workers` read, of whose lanes `receivers` are the queues.
    pub(crate) fn of_workers(workers: Workers, receivers: Vec<Receiver<Event>>) -> (Self, Events) {
        (Self(Origin::Workers(workers)), Events::new(receivers))
    }

    /// Fetches no more of `partitions` until they are not among those of a later call.
    pub(crate) fn hold<'a>(&self, partitions: impl IntoIterator<Item = &'a Partition>) {
        let partitions: BTreeSet<&Partition> = partitions.into_iter().collect();
        match &self.0 {
            Origin::Readers(lanes) => lanes.iter().for_each(|lane| {
                lane.reader.hold(partitions.iter().copied().filter(|partition| lane.reads(partition)));
            }),
            Origin::Workers(workers) => workers.hold(partitions.into_iter().cloned().collect()),
        }
    }

    /// How far all partitions have been read, as last known: also while their events wait.
    pub(crate) fn progress(&self) -> Vec<Progress> {
        match &self.0 {
            Origin::Readers(lanes) => lanes.iter().flat_map(|lane| lane.reader.progress()).collect(),
            Origin::Workers(workers) => workers.progress(),
        }
    }

    /// The cluster's id; `None` where it gives none within `patience`.
    pub(crate) fn cluster_id(&self, patience: Duration) -> Option<String> {
        match &self.0 {
            Origin::Readers(lanes) => lanes.first().and_then(|lane| lane.reader.cluster_id(patience)),
            Origin::Workers(workers) => workers.cluster_id(patience),
        }
    }

    /// For each partition a record below its offset of `offsets`.
    pub(crate) fn marks(&self, offsets: &Offsets) -> Vec<Mark> {
        match &self.0 {
            Origin::Readers(lanes) => lanes.iter().flat_map(|lane| lane.reader.marks(offsets)).collect(),
            Origin::Workers(workers) => workers.marks(offsets),
        }
    }

    /// Commits offsets to Kafka for tools that watch lag.
    pub(crate) fn commit_for_monitoring(&self, offsets: &Offsets) -> Result<(), ReadError> {
        match &self.0 {
            Origin::Readers(lanes) => lanes.iter().try_for_each(|lane| {
                let own = offsets.iter().filter(|(partition, _)| lane.reads(partition));
                lane.reader.commit_for_monitoring(&own.map(|(name, next)| (name.clone(), *next)).collect())
            }),
            Origin::Workers(workers) => workers.commit_for_monitoring(offsets),
        }
    }
}

/// `settings` for a lane, which is in a hurry where its topics are safety topics.
pub(crate) fn of_lane(settings: &Settings, is_safety: bool) -> Settings {
    let mut own = Settings { chunk_age: CHUNK_AGE, ..settings.clone() };
    if is_safety {
        (own.linger, own.chunk_age) = (SAFETY_LINGER, SAFETY_CHUNK_AGE);
    }
    own
}

/// What the readers say, as if one had said it.
pub(crate) struct Events {
    lanes: Vec<Heard>,
    /// Events taken since one at the end of the order had its turn.
    turns: u32,
}

/// One reader, and what it has said so far.
struct Heard {
    events: Receiver<Event>,
    /// Its first partitions, until those of all readers are known.
    assigned: Option<Vec<Assignment>>,
    is_assigned: bool,
    is_lost: bool,
}

impl Events {
    fn new(receivers: Vec<Receiver<Event>>) -> Self {
        let heard = |events| Heard { events, assigned: None, is_assigned: false, is_lost: false };
        Self { lanes: receivers.into_iter().map(heard).collect(), turns: 0 }
    }

    /// How many readers there are.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The next event of the first `open` readers, by precedence; `None`: one has ended.
    pub(crate) async fn next(&mut self, open: usize) -> Option<Event> {
        loop {
            let (number, event) = std::future::poll_fn(|context| self.poll(context, open)).await;
            if let Some(event) = self.combine(number, event?) {
                return Some(event);
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, open: usize) -> Poll<(usize, Option<Event>)> {
        let is_complete = self.is_complete();
        let order = order(open.min(self.lanes.len()), self.turns);
        for number in order {
            let lane = &mut self.lanes[number];
            // A watermark is the minimum over all partitions: no record is taken before all of them are known.
            if !is_complete && lane.is_assigned {
                continue;
            }
            if let Poll::Ready(event) = lane.events.poll_recv(context) {
                self.turns = if number + 1 == open { 0 } else { self.turns.saturating_add(1) };
                return Poll::Ready((number, event));
            }
        }
        Poll::Pending
    }

    /// Whether the first partitions of all readers are known.
    fn is_complete(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_assigned)
    }

    /// What `event` of one reader is to all of them together; `None` where it is no news.
    fn combine(&mut self, number: usize, event: Event) -> Option<Event> {
        match event {
            Event::Assigned(assigned) if !self.lanes[number].is_assigned => {
                (self.lanes[number].assigned, self.lanes[number].is_assigned) = (Some(assigned), true);
                if !self.is_complete() {
                    return None;
                }
                let all = self.lanes.iter_mut().filter_map(|lane| lane.assigned.take()).flatten();
                Some(Event::Assigned(all.collect()))
            }
            Event::BrokerLost { .. } => {
                let was_lost = self.lanes.iter().any(|lane| lane.is_lost);
                self.lanes[number].is_lost = true;
                (!was_lost).then_some(event)
            }
            Event::BrokerBack => {
                self.lanes[number].is_lost = false;
                let is_lost = self.lanes.iter().any(|lane| lane.is_lost);
                (!is_lost).then_some(event)
            }
            event => Some(event),
        }
    }
}

/// In which order `open` readers are asked: by precedence, and in every [`FAIR_TURN`]th turn from the last on.
fn order(open: usize, turns: u32) -> impl Iterator<Item = usize> {
    let is_fair_turn = turns >= FAIR_TURN;
    (0..open).map(move |number| if is_fair_turn { open - 1 - number } else { number })
}

#[cfg(test)]
mod tests {
    use hexwatch_contract::{EventTime, Topic};
    use tokio::sync::mpsc::{Sender, channel};

    use super::*;

    fn source(name: &str, topic: Topic) -> Source {
        Source { name: name.into(), topic }
    }

    fn names(lanes: &[Vec<Source>]) -> Vec<Vec<&str>> {
        lanes.iter().map(|lane| lane.iter().map(|source| &*source.name).collect()).collect()
    }

    #[test]
    fn safety_topics_are_read_apart_in_their_order_by_either_name() {
        let sources = || {
            vec![source("in.iot", Topic::Iot), source("in.panic", Topic::Panic), source("smoke", Topic::Iot)]
        };
        let split = |safety: &[&str]| {
            let safety: Vec<String> = safety.iter().map(|name| (*name).to_owned()).collect();
            lanes(sources(), "in.", &safety)
        };
        let found = split(&["panic", "smoke"]).unwrap();
        assert_eq!(names(&found), [vec!["in.panic"], vec!["smoke"], vec!["in.iot"]]);
        assert_eq!(names(&split(&[]).unwrap()), [vec!["in.iot", "in.panic", "smoke"]]);
        assert_eq!(split(&["in.iot", "panic", "smoke"]).unwrap().len(), 3, "nothing is left for the last");
        for wrong in [&["fire"][..], &["panic", "panic"]] {
            let error = split(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong[0]), "{error}");
        }
    }

    fn assignment(name: &str) -> Assignment {
        Assignment { partition: Partition::new(name, 0), topic: Topic::Iot, start: 0, end: 0, lease: 0 }
    }

    fn two() -> (Sender<Event>, Sender<Event>, Events) {
        let ((first, one), (second, other)) = (channel(64), channel(64));
        (first, second, Events::new(vec![one, other]))
    }

    fn at_end(name: &str, offset: i64) -> Event {
        Event::AtEnd { partition: Partition::new(name, 0), offset }
    }

    fn offset(event: Option<Event>) -> i64 {
        match event {
            Some(Event::AtEnd { offset, .. }) => offset,
            other => panic!("{other:?}"),
        }
    }

    /// Both readers have said which partitions they read.
    async fn assigned() -> (Sender<Event>, Sender<Event>, Events) {
        let (first, second, mut events) = two();
        first.send(Event::Assigned(vec![assignment("panic")])).await.unwrap();
        first.send(at_end("panic", 1)).await.unwrap();
        second.send(Event::Assigned(vec![assignment("iot")])).await.unwrap();
        let Some(Event::Assigned(all)) = events.next(2).await else { panic!("nothing was assigned") };
        assert_eq!(all, [assignment("panic"), assignment("iot")]);
        assert_eq!(offset(events.next(2).await), 1);
        (first, second, events)
    }

    #[tokio::test]
    async fn no_record_is_taken_before_the_partitions_of_all_readers_are_known() {
        let (first, _second, mut events) = assigned().await;
        // Partitions that are added later are news of their own.
        first.send(Event::Assigned(vec![assignment("more")])).await.unwrap();
        assert!(
            matches!(events.next(2).await, Some(Event::Assigned(added)) if added == [assignment("more")])
        );
    }

    #[tokio::test]
    async fn the_first_reader_goes_first_and_the_last_one_is_never_left_out() {
        let (first, second, mut events) = assigned().await;
        let third = {
            let (sender, receiver) = channel(64);
            events.lanes.push(Heard { events: receiver, assigned: None, is_assigned: true, is_lost: false });
            sender
        };
        for number in 0..20 {
            second.send(at_end("iot", 100 + number)).await.unwrap();
            third.send(at_end("access", 200 + number)).await.unwrap();
        }
        first.send(at_end("panic", 7)).await.unwrap();
        assert_eq!(offset(events.next(3).await), 7);
        let mut taken = Vec::new();
        for _ in 0..16 {
            taken.push(offset(events.next(3).await) / 100);
        }
        assert!(taken.iter().filter(|lane| **lane == 2).count() >= 1, "{taken:?}");
        assert!(taken.iter().filter(|lane| **lane == 1).count() >= 12, "{taken:?}");
        for _ in 0..3 {
            assert_eq!(offset(events.next(2).await) / 100, 1, "the last one is not asked");
        }
    }

    #[tokio::test]
    async fn a_broker_that_all_readers_lose_is_lost_once_and_back_once() {
        let (first, second, mut events) = assigned().await;
        let lost = || Event::BrokerLost { since: EventTime::MIN };
        first.send(lost()).await.unwrap();
        assert!(matches!(events.next(2).await, Some(Event::BrokerLost { .. })));
        second.send(lost()).await.unwrap();
        second.send(at_end("iot", 2)).await.unwrap();
        assert_eq!(offset(events.next(2).await), 2, "it was told before");
        first.send(Event::BrokerBack).await.unwrap();
        first.send(at_end("panic", 3)).await.unwrap();
        assert_eq!(offset(events.next(2).await), 3, "the other has not come back");
        second.send(Event::BrokerBack).await.unwrap();
        assert!(matches!(events.next(2).await, Some(Event::BrokerBack)));
    }

    #[tokio::test]
    async fn a_reader_that_ends_ends_all() {
        let (first, _second, mut events) = assigned().await;
        drop(first);
        assert!(events.next(2).await.is_none());
    }
}
