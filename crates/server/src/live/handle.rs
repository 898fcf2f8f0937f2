//! The handle by which the pipeline tells what happened, and by which the doors read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hexwatch_contract::alarm::{Alarm, AlarmId, Transition};
use hexwatch_contract::live::{Feed, Health, Heartbeat, Message};
use hexwatch_contract::risk::CellRisk;
use hexwatch_contract::{Cell, Clock, EventTime};
use tokio::sync::{Notify, watch};

use super::alarms::{AlarmBoard, Cursor, Next};
use super::cells::{CellBoard, Format, Since};
use super::feed::Freshness;
use crate::api::system::SystemFacts;
use crate::metrics::Metrics;

/// The live picture. Clones share it; no method waits for a client, and none blocks for longer than a copy takes.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    engine_clock: Arc<dyn Clock>,
    wall_clock: Arc<dyn Clock>,
    metrics: Metrics,
    ready: AtomicBool,
    // Short critical sections that are never held over an await, so plain mutexes do.
    cells: Mutex<CellBoard>,
    alarms: Mutex<AlarmBoard>,
    feed: Mutex<Freshness>,
    health: Mutex<Health>,
    facts: Mutex<Arc<SystemFacts>>,
    // Watches, not broadcasts: a reader is told that there is more and takes what is newest; none can fall behind.
    cells_changed: watch::Sender<u64>,
    alarms_changed: watch::Sender<u64>,
    heartbeat: watch::Sender<Bytes>,
    health_changed: watch::Sender<Bytes>,
    feed_changed: Notify,
}

impl fmt::Debug for Live {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Live").finish_non_exhaustive()
    }
}

/// A message as it goes out. Serialising plain data into memory cannot fail; if it ever did, an empty object is a
/// message that every client ignores.
pub(super) fn json(message: &Message) -> Bytes {
    serde_json::to_vec(message).map_or_else(|_| Bytes::from_static(b"{}"), Bytes::from)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A reader that panicked left plain data behind; the picture must go on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the pipeline tells.
impl Live {
    /// An empty picture. `engine_clock` tells event time, as rules see it; `wall_clock` tells how old data is.
    #[must_use]
    pub fn new(engine_clock: Arc<dyn Clock>, wall_clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let started = wall_clock.now();
        let live = Self {
            shared: Arc::new(Shared {
                engine_clock,
                wall_clock,
                metrics,
                ready: AtomicBool::new(false),
                cells: Mutex::new(CellBoard::new()),
                alarms: Mutex::new(AlarmBoard::default()),
                feed: Mutex::new(Freshness::since(started)),
                health: Mutex::new(Health::default()),
                facts: Mutex::new(Arc::new(SystemFacts::default())),
                cells_changed: watch::Sender::new(0),
                alarms_changed: watch::Sender::new(0),
                heartbeat: watch::Sender::new(Bytes::new()),
                health_changed: watch::Sender::new(Bytes::new()),
                feed_changed: Notify::new(),
            }),
        };
        live.beat();
        live
    }

    /// `/readyz` says yes from here on: state is restored, partitions are assigned.
    pub fn ready(&self) {
        self.shared.ready.store(true, Ordering::Release);
    }

    /// Only the cells of `own` are kept for good; every other one leaves the picture `others_for` after it was last said
    /// to be calm. That must be longer than a row can come late, or a correction of the past would pass for the present.
    pub fn keep_cells(&self, own: impl IntoIterator<Item = Cell>, others_for: Duration) {
        lock(&self.shared.cells).keep(own.into_iter().collect(), others_for);
    }

    /// New risks of cells, up to `watermark`. `full`: cells that are not among them are gone.
    pub fn cells(&self, watermark: EventTime, full: bool, risks: Vec<CellRisk>) {
        if let Some(version) = lock(&self.shared.cells).publish(watermark, full, risks) {
            self.shared.cells_changed.send_replace(version);
        }
    }

    /// What stood when the process started: the last `seq` of each site in the alarm log, and the alarms that are not
    /// over (state other than `normal`), each as after its latest change. Call it before the first
    /// [`alarm`](Self::alarm).
    pub fn restore_alarms(&self, latest_seq: BTreeMap<String, u64>, standing: Vec<Alarm>) {
        lock(&self.shared.alarms).restore(latest_seq, standing);
        self.shared.alarms_changed.send_modify(|count| *count += 1);
    }

    /// One change of an alarm, already in the alarm log. Changes of a site come in the order of `seq`; one that was
    /// already told changes nothing.
    pub fn alarm(&self, alarm: Alarm) {
        let mut alarms = lock(&self.shared.alarms);
        // What corrects a raise is told as one, and is the same alarm.
        let is_raised = alarm.transition == Transition::Raise && !alarms.stands(&alarm);
        let raised = is_raised.then(|| (Arc::clone(&alarm.rule), alarm.priority));
        if !alarms.push(alarm) {
            return;
        }
        drop(alarms);
        if let Some((rule, priority)) = raised {
            self.shared.metrics.alarm_raised(&rule, priority);
        }
        self.shared.alarms_changed.send_modify(|count| *count += 1);
    }

    /// Records were read just now.
    pub fn data_read(&self) {
        self.feed(Freshness::data_read);
    }

    /// The broker does not answer.
    pub fn broker_lost(&self) {
        self.feed(|feed, _| feed.broker_lost());
    }

    /// The broker answers again.
    pub fn broker_back(&self) {
        self.feed(|feed, _| feed.broker_back());
    }

    /// The merged watermark stands at `watermark`.
    pub fn watermark_advanced(&self, watermark: EventTime) {
        lock(&self.shared.feed).watermark_advanced(watermark);
    }

    /// Where the data comes from, whenever that changes and every ten seconds.
    pub fn health(&self, health: Health) {
        for source in &health.sources {
            self.shared.metrics.lag_measured(&source.topic, source.partition, source.lag);
        }
        let message = json(&Message::Health(health.clone()));
        *lock(&self.shared.health) = health;
        self.shared.health_changed.send_replace(message);
    }

    /// Rules, views and dead letters, for the system page; the newest counts.
    pub fn system(&self, facts: SystemFacts) {
        *lock(&self.shared.facts) = Arc::new(facts);
    }

    /// Changes the feed, and has a heartbeat sent at once where its state turned.
    fn feed(&self, change: impl FnOnce(&mut Freshness, EventTime)) {
        let now = self.shared.wall_clock.now();
        let turned = {
            let mut feed = lock(&self.shared.feed);
            let before = feed.feed(now);
            change(&mut feed, now);
            before != feed.feed(now)
        };
        if turned {
            self.shared.feed_changed.notify_one();
        }
    }
}

/// What the doors read.
impl Live {
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    pub(crate) fn cells_since(&self, version: u64, format: Format) -> Option<Since> {
        lock(&self.shared.cells).since(version, format)
    }

    pub(crate) fn risk(&self, cell: Cell) -> Option<CellRisk> {
        lock(&self.shared.cells).risk(cell)
    }

    pub(crate) fn known_cells(&self) -> Vec<Cell> {
        lock(&self.shared.cells).known()
    }

    pub(crate) fn alarms_next(&self, cursor: &Cursor) -> Next {
        lock(&self.shared.alarms).next(cursor)
    }

    /// The messages of all alarms that are not over, and the numbers they are complete up to.
    pub(crate) fn standing_messages(&self) -> (Vec<Bytes>, Cursor) {
        let alarms = lock(&self.shared.alarms);
        let messages = alarms.standing().into_iter().map(|(_, message)| message.clone()).collect();
        (messages, alarms.latest_seq())
    }

    pub(crate) fn standing_alarms(&self) -> Vec<Alarm> {
        lock(&self.shared.alarms).standing().into_iter().map(|(alarm, _)| alarm.clone()).collect()
    }

    pub(crate) fn find_alarm(&self, id: &AlarmId) -> Option<Alarm> {
        lock(&self.shared.alarms).find(id).cloned()
    }

    pub(crate) fn latest_seq(&self) -> Cursor {
        lock(&self.shared.alarms).latest_seq()
    }

    pub(crate) fn facts(&self) -> Arc<SystemFacts> {
        Arc::clone(&lock(&self.shared.facts))
    }

    pub(crate) fn latest_health(&self) -> Health {
        lock(&self.shared.health).clone()
    }

    pub(crate) fn wall_now(&self) -> EventTime {
        self.shared.wall_clock.now()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn latest_heartbeat(&self) -> Heartbeat {
        let feed = *lock(&self.shared.feed);
        let wall = self.shared.wall_clock.now();
        let alarms = lock(&self.shared.alarms);
        Heartbeat {
            now: self.shared.engine_clock.now(),
            watermark: feed.watermark,
            data_age_s: feed.age_s(wall),
            feed: feed.feed(wall),
            unack: alarms.unacknowledged(),
            latest_seq: alarms.latest_seq(),
        }
    }

    /// Measures the age of the watermark, for the metrics.
    pub(crate) fn measure(&self) {
        let watermark = lock(&self.shared.feed).watermark;
        if let Some(watermark) = watermark {
            self.shared.metrics.watermark_aged(self.shared.engine_clock.now().since(watermark));
        }
    }

    /// Sends a heartbeat to everybody; the age of the watermark is measured with it.
    pub(crate) fn beat(&self) -> Feed {
        self.measure();
        let heartbeat = self.latest_heartbeat();
        let feed = heartbeat.feed;
        self.shared.heartbeat.send_replace(json(&Message::Heartbeat(heartbeat)));
        feed
    }

    /// Waits until the state of the feed turned.
    pub(crate) async fn feed_turned(&self) {
        self.shared.feed_changed.notified().await;
    }

    pub(crate) fn watch_cells(&self) -> watch::Receiver<u64> {
        self.shared.cells_changed.subscribe()
    }

    pub(crate) fn watch_alarms(&self) -> watch::Receiver<u64> {
        self.shared.alarms_changed.subscribe()
    }

    pub(crate) fn watch_heartbeat(&self) -> watch::Receiver<Bytes> {
        self.shared.heartbeat.subscribe()
    }

    pub(crate) fn watch_health(&self) -> watch::Receiver<Bytes> {
        self.shared.health_changed.subscribe()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use hexwatch_contract::ManualClock;
    use hexwatch_contract::alarm::{Class, ConfirmLevel, Explain, Priority, State};

    use super::*;

    pub(crate) fn alarm(site: &str, seq: u64, state: State) -> Alarm {
        let at = EventTime::from_millis(1_000);
        Alarm {
            alarm_id: AlarmId::of("R06", 1, "ap-1", at),
            seq,
            site: site.into(),
            rule: "R06".into(),
            rule_version: 1,
            class: Class::Access,
            priority: Priority::P2,
            state,
            transition: Transition::Raise,
            actor_ref: None,
            note: None,
            assigned_to: None,
            shelved_until: None,
            raised_at: at,
            changed_at: at,
            emitted_at: at,
            key: "ap-1".into(),
            device: None,
            cell: None,
            lon: None,
            lat: None,
            area: None,
            grid: None,
            officer_role: None,
            inputs: Vec::new(),
            measured: serde_json::Map::new(),
            confirm_level: ConfirmLevel::Single,
            drill: false,
            replay: false,
            incident: None,
            explain: Explain::default(),
        }
    }

    #[test]
    fn a_heartbeat_tells_the_age_of_the_data_by_the_wall_clock_and_the_time_by_the_engines() {
        let engine = Arc::new(ManualClock::at(EventTime::from_millis(500)));
        let wall = Arc::new(ManualClock::at(EventTime::from_millis(100_000)));
        let live = Live::new(engine, wall.clone(), Metrics::new());
        live.data_read();
        wall.advance(EventTime::from_millis(100_000) + Duration::from_secs(4));
        let heartbeat = live.latest_heartbeat();
        assert_eq!(heartbeat.now, EventTime::from_millis(500));
        assert_eq!(heartbeat.data_age_s, Some(4.0));
        assert_eq!(heartbeat.feed, Feed::Delayed);
        assert_eq!(heartbeat.unack["1"], 0);
    }

    #[test]
    fn a_raise_is_counted_once_however_often_it_is_corrected() {
        let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
        let metrics = Metrics::new();
        let live = Live::new(clock.clone(), clock, metrics.clone());
        live.alarm(alarm("a", 1, State::Unack));
        live.alarm(alarm("a", 1, State::Unack));
        live.alarm(alarm("a", 2, State::Acked));
        let text = metrics.render();
        assert!(text.contains("hexwatch_alarms_total{rule=\"R06\",priority=\"2\"} 1"), "{text}");
    }
}
