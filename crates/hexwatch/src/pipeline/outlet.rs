//! What goes out to Kafka: alarms, risk cells, dead letters, views.
//!
//! Nothing is given up because Kafka is slow or away. Rows that the producer has no room for wait here, in their order,
//! and never hold the engine up: a press for help must be told meanwhile. As long as any wait, only safety topics are
//! read ([`Outlet::is_behind`]), and no commit is written, since it would say that they are done.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hexwatch_contract::DeadLetter;
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::risk::CellRisk;
use hexwatch_ingest::publish::PublishError;
use hexwatch_ingest::{Outgoing, Publisher};
use hexwatch_server::Metrics;
use serde::Serialize;

/// How long a full queue is left alone between two tries.
const PAUSE: Duration = Duration::from_millis(10);
/// Beyond so many bytes that wait, what safety topics still add is given up: it is in the alarm log and in the history.
/// Rows of views and cells go on waiting, for what makes them is not read.
const MOST_WAITING: usize = 64 * 1024 * 1024;
/// A larger payload of a dead letter does not fit the topic; its position leads to it.
const LARGEST_PAYLOAD: usize = 3 * 1024 * 1024;

/// Where rows go.
trait Sink: Send + Sync {
    /// Takes a row, or has no room for it, or never will.
    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), PublishError>;
}

impl Sink for Publisher {
    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), PublishError> {
        Publisher::send(self, outgoing, Duration::ZERO)
    }
}

/// A row that waits.
struct Row {
    topic: String,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    in_bulk: bool,
}

impl Row {
    fn of(row: &Outgoing<'_>) -> Self {
        Self {
            topic: row.topic.to_owned(),
            key: row.key.unwrap_or_default().to_vec(),
            value: row.value.map(<[u8]>::to_vec),
            in_bulk: row.in_bulk,
        }
    }

    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            topic: &self.topic,
            key: Some(&self.key),
            value: self.value.as_deref(),
            in_bulk: self.in_bulk,
            ..Outgoing::default()
        }
    }

    fn bytes(&self) -> usize {
        self.topic.len() + self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// Whether a row may be given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Worth {
    /// Its making stops while rows wait: it is never given up.
    Kept,
    /// It may come without end.
    Spared,
}

/// Rows that wait for room. Only the engine's thread adds some, so that who finds none there may send past it.
#[derive(Default)]
struct Waiting {
    rows: Mutex<VecDeque<Row>>,
    count: AtomicUsize,
    bytes: AtomicUsize,
    /// How many have ever been added.
    added: AtomicU64,
    unpublished: AtomicU64,
}

impl Waiting {
    fn rows(&self) -> MutexGuard<'_, VecDeque<Row>> {
        // Whoever panicked left plain rows behind.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes to `hexwatch.*`, or nowhere.
#[derive(Clone)]
pub(crate) struct Outlet {
    publisher: Option<Arc<Publisher>>,
    sink: Option<Arc<dyn Sink>>,
    prefix: Arc<str>,
    waiting: Arc<Waiting>,
    metrics: Metrics,
}

impl Outlet {
    /// Publishes under `prefix`; without a publisher, nothing.
    pub(crate) fn new(publisher: Option<Arc<Publisher>>, prefix: &str, metrics: Metrics) -> Self {
        let sink = publisher.clone().map(|publisher| publisher as Arc<dyn Sink>);
        Self { publisher, sink, prefix: prefix.into(), waiting: Arc::default(), metrics }
    }

    /// Whether anything is published at all.
    pub(crate) fn is_open(&self) -> bool {
        self.sink.is_some()
    }

    /// Whether rows wait.
    pub(crate) fn is_behind(&self) -> bool {
        self.rows_waiting() > 0
    }

    /// How many rows wait.
    pub(crate) fn rows_waiting(&self) -> usize {
        self.waiting.count.load(Ordering::Acquire)
    }

    /// How many rows were given up since the start.
    pub(crate) fn rows_unpublished(&self) -> u64 {
        let refused = self.publisher.as_ref().map_or(0, |publisher| publisher.counts().failed);
        self.waiting.unpublished.load(Ordering::Relaxed) + refused
    }

    /// One change of an alarm, to `alarms` and to the compacted `alarms-latest`.
    pub(crate) fn alarm(&self, alarm: &Alarm) {
        self.row("alarms", alarm.alarm_id.as_str(), alarm, Worth::Spared);
        self.row("alarms-latest", alarm.alarm_id.as_str(), alarm, Worth::Spared);
    }

    /// A cell's risk.
    pub(crate) fn risk(&self, risk: &CellRisk) {
        self.row("risk-cells", &risk.cell.to_string(), risk, Worth::Kept);
    }

    /// Refused records. They may be every record that comes, so that what they have in common is made once.
    pub(crate) fn dead_letters(&self, letters: &[Arc<DeadLetter>]) {
        let Some(sink) = &self.sink else { return };
        let (topic, mut json) = (self.topic("dead-letter"), Vec::new());
        for letter in letters {
            json.clear();
            if letter.payload.as_ref().is_some_and(|payload| payload.len() > LARGEST_PAYLOAD) {
                DeadLetter { payload: None, ..DeadLetter::clone(letter) }.write_json(&mut json);
            } else {
                letter.write_json(&mut json);
            }
            let key = letter.key.as_deref().unwrap_or_default();
            let row = Outgoing { in_bulk: true, ..Outgoing::row(&topic, key, &json) };
            self.send_or_keep(sink.as_ref(), &row, Worth::Spared);
        }
    }

    /// One row of a view as JSON, under its key.
    pub(crate) fn view(&self, view: &str, key: &str, json: &[u8]) {
        self.send(&format!("view.{view}"), key, Some(json), Worth::Kept);
    }

    /// A view's row is gone: a tombstone under its key.
    pub(crate) fn withdraw(&self, view: &str, key: &str) {
        self.send(&format!("view.{view}"), key, None, Worth::Kept);
    }

    /// Hands on what waits, as far as there is room.
    pub(crate) fn push_on(&self) {
        let Some(sink) = self.sink.as_ref().filter(|_| self.is_behind()) else { return };
        let mut rows = self.waiting.rows();
        while let Some(row) = rows.front() {
            match sink.send(&row.outgoing()) {
                Err(PublishError::Full { .. }) => break,
                Err(error) => self.give_up(&row.topic, &error),
                Ok(()) => {}
            }
            self.waiting.bytes.fetch_sub(row.bytes(), Ordering::Relaxed);
            rows.pop_front();
        }
        self.waiting.count.store(rows.len(), Ordering::Release);
        self.metrics.rows_waiting(rows.len());
    }

    /// Waits until what was sent before this call is with the broker.
    pub(crate) async fn settle(&self, patience: Duration) -> Result<(), PublishError> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let (began, added) = (Instant::now(), self.waiting.added.load(Ordering::Acquire));
        while self.left() < added {
            if began.elapsed() >= patience {
                return Err(PublishError::Unflushed { left: self.rows_waiting(), waited: patience });
            }
            tokio::time::sleep(PAUSE).await;
            self.push_on();
        }
        publisher.settle(patience.saturating_sub(began.elapsed())).await
    }

    /// Waits until everything is with the broker.
    pub(crate) fn flush(&self, patience: Duration) -> Result<(), PublishError> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let began = Instant::now();
        self.push_on();
        while self.is_behind() {
            if began.elapsed() >= patience {
                return Err(PublishError::Unflushed { left: self.rows_waiting(), waited: patience });
            }
            std::thread::sleep(PAUSE);
            self.push_on();
        }
        publisher.flush(patience.saturating_sub(began.elapsed()))
    }

    /// How many of the rows that ever waited do no longer.
    fn left(&self) -> u64 {
        // Both under the lock: they are changed together.
        let rows = self.waiting.rows();
        self.waiting.added.load(Ordering::Acquire) - rows.len() as u64
    }

    fn row(&self, topic: &str, key: &str, row: &impl Serialize, worth: Worth) {
        if self.sink.is_none() {
            return;
        }
        match serde_json::to_vec(row) {
            Ok(json) => self.send(topic, key, Some(&json), worth),
            Err(error) => tracing::error!(topic, key, %error, "a row cannot be written as JSON"),
        }
    }

    fn send(&self, topic: &str, key: &str, value: Option<&[u8]>, worth: Worth) {
        let Some(sink) = &self.sink else { return };
        let topic = self.topic(topic);
        let row = Outgoing { topic: &topic, key: Some(key.as_bytes()), value, ..Outgoing::default() };
        self.send_or_keep(sink.as_ref(), &row, worth);
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn send_or_keep(&self, sink: &dyn Sink, row: &Outgoing<'_>, worth: Worth) {
        // Behind those that wait: the last row of a key counts.
        if !self.is_behind() {
            match sink.send(row) {
                Ok(()) => return,
                Err(PublishError::Full { .. }) => {}
                Err(error) => return self.give_up(row.topic, &error),
            }
        }
        self.keep(Row::of(row), worth);
    }

    fn keep(&self, row: Row, worth: Worth) {
        if worth == Worth::Spared && self.waiting.bytes.load(Ordering::Relaxed) >= MOST_WAITING {
            return self.give_up(&row.topic, &"too much waits for Kafka");
        }
        self.waiting.bytes.fetch_add(row.bytes(), Ordering::Relaxed);
        let mut rows = self.waiting.rows();
        rows.push_back(row);
        self.waiting.added.fetch_add(1, Ordering::AcqRel);
        self.waiting.count.store(rows.len(), Ordering::Release);
        self.metrics.rows_waiting(rows.len());
    }

    fn give_up(&self, topic: &str, why: &dyn std::fmt::Display) {
        self.waiting.unpublished.fetch_add(1, Ordering::Relaxed);
        self.metrics.row_unpublished(topic);
        tracing::error!(topic, %why, "a row was not published");
    }
}

#[cfg(test)]
mod tests {
    use hexwatch_contract::{EventTime, Partition, Position, Sha256Sum, Stage, Topic};

    use super::*;

    /// A producer with room for so many rows.
    #[derive(Default)]
    struct Room {
        left: AtomicUsize,
        taken: Mutex<Vec<String>>,
    }

    impl Sink for Room {
        fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), PublishError> {
            if outgoing.topic.ends_with("view.refused") {
                return Err(PublishError::Unflushed { left: 0, waited: Duration::ZERO });
            }
            let full = || PublishError::Full { topic: outgoing.topic.to_owned(), waited: Duration::ZERO };
            let left = self.left.load(Ordering::Relaxed).checked_sub(1).ok_or_else(full)?;
            self.left.store(left, Ordering::Relaxed);
            let is_letter = outgoing.topic.ends_with("dead-letter");
            assert_eq!(
                outgoing.in_bulk, is_letter,
                "all rows of a topic go the same way: {}",
                outgoing.topic
            );
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or(b"gone").to_vec()).unwrap();
            self.taken.lock().unwrap().push(format!("{}={}", text(outgoing.key), text(outgoing.value)));
            Ok(())
        }
    }

    fn outlet(room: usize) -> (Outlet, Arc<Room>) {
        let sink = Arc::new(Room { left: AtomicUsize::new(room), ..Room::default() });
        let outlet = Outlet::new(None, "x.", Metrics::new());
        (Outlet { sink: Some(sink.clone()), ..outlet }, sink)
    }

    fn letter(payload: usize) -> DeadLetter {
        DeadLetter {
            position: Position { partition: Partition::new("iot", 0), offset: 7 },
            meant_for: Topic::Iot,
            kafka_time: EventTime::from_millis(0),
            refused_at: EventTime::from_millis(0),
            key: None,
            id: None,
            stage: Stage::Size,
            error_code: "too_large".into(),
            field: None,
            message: "".into(),
            payload_sha256: Sha256Sum::default(),
            payload: Some("x".repeat(payload)),
        }
    }

    #[test]
    fn rows_wait_in_their_order_while_there_is_no_room_and_none_is_lost() {
        let (outlet, room) = outlet(1);
        outlet.view("v", "a", b"1");
        assert!(!outlet.is_behind());
        outlet.view("v", "a", b"2");
        outlet.withdraw("v", "b");
        room.left.store(1, Ordering::Relaxed);
        outlet.view("v", "a", b"3");
        assert_eq!(outlet.rows_waiting(), 3, "whoever comes later waits behind the others");
        outlet.push_on();
        assert_eq!((outlet.rows_waiting(), outlet.left()), (2, 1));
        room.left.store(9, Ordering::Relaxed);
        outlet.push_on();
        assert!(!outlet.is_behind());
        assert_eq!(*room.taken.lock().unwrap(), ["a=1", "a=2", "b=gone", "a=3"]);
        assert_eq!((outlet.rows_unpublished(), outlet.waiting.bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn what_nobody_ever_takes_is_counted_and_holds_nothing_up() {
        let (outlet, room) = outlet(0);
        outlet.view("v", "a", b"1");
        outlet.view("refused", "a", b"2");
        outlet.view("v", "a", b"3");
        room.left.store(9, Ordering::Relaxed);
        outlet.push_on();
        assert_eq!(*room.taken.lock().unwrap(), ["a=1", "a=3"]);
        assert_eq!(outlet.rows_unpublished(), 1);
        let counted = "hexwatch_rows_unpublished_total{topic=\"x.view.refused\"} 1";
        assert!(outlet.metrics.render().contains(counted), "{}", outlet.metrics.render());
    }

    #[test]
    fn beyond_a_bound_letters_are_given_up_and_views_are_not() {
        let (outlet, _) = outlet(0);
        for _ in 0..100 {
            outlet.dead_letters(&[letter(1024 * 1024).into()]);
        }
        outlet.view("v", "a", b"1");
        let waits = outlet.waiting.bytes.load(Ordering::Relaxed);
        assert!((MOST_WAITING..MOST_WAITING + 2 * 1024 * 1024).contains(&waits), "{waits} bytes wait");
        assert_eq!(outlet.rows_unpublished() + outlet.rows_waiting() as u64, 101);
        assert_eq!(outlet.waiting.rows().back().map(|row| row.topic.clone()), Some("x.view.v".to_owned()));
    }

    #[test]
    fn a_payload_that_does_not_fit_the_topic_stays_out_of_it() {
        let (outlet, room) = outlet(1);
        outlet.dead_letters(&[letter(LARGEST_PAYLOAD + 1).into(), letter(10).into()]);
        room.left.store(9, Ordering::Relaxed);
        outlet.push_on();
        let taken = room.taken.lock().unwrap();
        assert!(taken[0].contains("\"payload\":null") && taken[0].contains("too_large"), "{}", taken[0]);
        assert!(taken[1].contains("xxxxxxxxxx"), "{}", taken[1]);
    }
}
