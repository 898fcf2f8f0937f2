//! The engine's thread: one loop that takes what the reader and people say, lets the machine step, and executes its
//! effects in their order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hexwatch::machine::{Effect, Machine};
use hexwatch_alarm::ActionError;
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::{Account, Chunk, Clock, DeadLetter, ManualClock, Stage, Topic};
use hexwatch_history::{AlarmLog, Commit};
use hexwatch_ingest::{Event, Reader};
use hexwatch_server::{Live, Metrics};
use hexwatch_stream::{Input, ViewRows};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::desk::Request;
use super::ends::Ends;
use super::health::Sources;
use super::outlet::Outlet;
use super::pace::Pace;
use super::rows::keyed_json;
use crate::crash_point::{CrashPoint, Own};

/// How long the loop sleeps at most before timers get their turn.
const TICK: Duration = Duration::from_millis(100);

/// What the loop stands on. Everything is owned: no other thread touches the machine.
pub(crate) struct Worker {
    pub(crate) machine: Machine,
    pub(crate) log: Arc<AlarmLog>,
    pub(crate) outlet: Outlet,
    pub(crate) live: Live,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    /// Moved by the records where they are the clock.
    pub(crate) event_clock: Option<Arc<ManualClock>>,
    pub(crate) wall_clock: Arc<dyn Clock>,
    pub(crate) sources: Sources,
    pub(crate) ends: Option<Ends>,
    pub(crate) view_keys: BTreeMap<Arc<str>, Vec<String>>,
    pub(crate) commit_interval: Duration,
    pub(crate) commit_rows: usize,
    pub(crate) totals: BTreeMap<Topic, Account>,
    /// How many changes this process has made to alarms.
    pub(crate) alarm_changes: u64,
    /// Where the answer to the person goes whose request is being executed.
    pub(crate) answer: Option<oneshot::Sender<Result<Alarm, ActionError>>>,
    pub(crate) pace: Pace,
    pub(crate) crash: CrashPoint,
    /// For holding partitions back; its events come through [`Queues`].
    pub(crate) reader: Arc<Reader>,
}

/// Where the loop's work comes from and goes to. Each queue has a bound; see `pipeline.rs` for why which.
pub(crate) struct Queues {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) commits: mpsc::Sender<Commit>,
    pub(crate) stop: CancellationToken,
}

/// What the loop has done when it ends.
pub(crate) struct Summary {
    pub(crate) totals: BTreeMap<Topic, Account>,
    pub(crate) alarm_changes: u64,
}

enum Work {
    Event(Box<Event>),
    Request(Request),
    Tick,
    Stop,
}

impl Worker {
    /// Runs until it is stopped, the reader fails, or (with `ends`) everything has been read.
    pub(crate) fn run(mut self, runtime: &Handle, mut queues: Queues) -> Result<Summary> {
        let mut last_commit = Instant::now();
        self.tell_health();
        loop {
            let work = runtime.block_on(next(&mut queues));
            self.pace.more_waits = !queues.events.is_empty();
            let was_restoring = self.machine.is_restoring();
            match work {
                Work::Event(event) => self.take(*event)?,
                Work::Request(request) => self.act(request)?,
                Work::Tick => {}
                Work::Stop => break,
            }
            self.tick()?;
            if was_restoring {
                self.follow_rebuild();
            }
            if self.ends.as_ref().is_some_and(Ends::are_reached) {
                self.finish()?;
                break;
            }
            let is_due =
                last_commit.elapsed() >= self.commit_interval || self.machine.waiting() >= self.commit_rows;
            if is_due && self.hand_over(&queues.commits)? {
                last_commit = Instant::now();
            }
        }
        if let Some(commit) = self.commit()? {
            queues.commits.blocking_send(commit).context("the history has stopped")?;
        }
        Ok(Summary { totals: self.totals, alarm_changes: self.alarm_changes })
    }

    /// While what was open is rebuilt, partitions that are far ahead of the others are held back: their chunks wait in
    /// memory.
    fn follow_rebuild(&self) {
        self.reader.hold(self.machine.overfull());
        self.crash.reach(if self.machine.is_restoring() { Own::Rebuilding } else { Own::AfterRebuild });
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Assigned(assignments) => {
                for assignment in &assignments {
                    self.metrics.topic_assigned(assignment.topic.name());
                }
                self.sources.assigned(&assignments);
                if let Some(ends) = &mut self.ends {
                    ends.assigned(&assignments);
                }
                let partitions = assignments.into_iter().map(|one| (one.partition, one.topic)).collect();
                self.step(Input::Assigned(partitions))?;
                self.live.ready();
            }
            Event::Revoked(partitions) => self.step(Input::Revoked(partitions))?,
            Event::Chunk(chunk) => self.take_chunk(chunk)?,
            Event::AtEnd { partition, offset } => {
                if let Some(ends) = &mut self.ends {
                    ends.at_end(&partition, offset);
                }
                self.step(Input::AtEnd(partition))?;
            }
            Event::Progress(progress) => {
                for behind in progress.iter().filter(|one| !one.at_end) {
                    self.step(Input::Behind(behind.partition.clone()))?;
                }
                self.sources.progressed(&progress);
                self.tell_health();
            }
            Event::BrokerLost { since } => {
                tracing::warn!(%since, "no broker answers");
                self.sources.broker_lost();
                self.live.broker_lost();
                self.tell_health();
            }
            Event::BrokerBack => {
                tracing::info!("a broker answers again");
                self.sources.broker_back();
                self.live.broker_back();
                self.tell_health();
            }
            Event::Failed(error) => bail!(error),
        }
        Ok(())
    }

    fn take_chunk(&mut self, chunk: Chunk) -> Result<()> {
        self.live.data_read();
        self.sources.read(&chunk);
        if let Some(clock) = &self.event_clock {
            clock.advance(chunk.latest_kafka_time);
        }
        let refused = self.machine.refuse(self.clock.now(), &chunk);
        self.execute(refused)?;
        let in_kafka_since = chunk.latest_kafka_time;
        let alarms = self.alarm_changes;
        self.step(Input::Chunk(chunk))?;
        if self.alarm_changes > alarms && self.event_clock.is_none() {
            self.metrics.alarm_pushed(self.wall_clock.now().since(in_kafka_since));
        }
        Ok(())
    }

    fn act(&mut self, request: Request) -> Result<()> {
        let Request { alarm, action, actor, answer } = request;
        self.answer = Some(answer);
        let effects = self.machine.act(self.clock.now(), &alarm, &action, &actor);
        self.execute(effects)
    }

    fn tick(&mut self) -> Result<()> {
        let effects = self.machine.tick(self.clock.now());
        self.execute(effects)?;
        self.step(Input::Tick)
    }

    /// Lets the machine take `input`: to the end, or, in a backlog, ahead of what looks at many rows.
    fn step(&mut self, input: Input) -> Result<()> {
        let now = self.clock.now();
        let effects = if self.pace.may_wait() {
            self.machine.step_ahead(now, input)?
        } else {
            let began = Instant::now();
            let effects = self.machine.step(now, input)?;
            self.pace.settled(began);
            effects
        };
        self.execute(effects)
    }

    /// Executes `effects` in their order, each to its end before the next begins.
    pub(crate) fn execute(&mut self, effects: Vec<Effect>) -> Result<()> {
        effects.into_iter().try_for_each(|effect| self.execute_one(effect))
    }

    fn execute_one(&mut self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Log(changes) => {
                self.log
                    .append(&changes)
                    .context("writing the alarm log: free the disk, then start again")?;
                self.alarm_changes += changes.len() as u64;
            }
            Effect::Tell(change) => {
                // Sockets first: Kafka's queue may be full, and then it waits.
                self.live.alarm((*change).clone());
                self.outlet.alarm(&change);
            }
            Effect::Republish(change) => self.outlet.alarm(&change),
            Effect::Answer(done) => {
                if let Some(answer) = self.answer.take() {
                    // Whoever asked may have gone; the change stands either way.
                    let _ = answer.send(*done);
                }
            }
            Effect::Refuse(letter) => self.refuse(&letter),
            Effect::Account(topic, account) => {
                *self.totals.entry(topic).or_default() += account;
                self.metrics.records_accounted(topic.name(), &account);
                self.sources.accounted(topic, &account);
            }
            Effect::Publish(rows) => self.publish(&rows)?,
            Effect::Watermark(watermark) => self.live.watermark_advanced(watermark),
            Effect::Risks(watermark, risks) => {
                for risk in &risks {
                    self.outlet.risk(risk);
                }
                self.live.cells(watermark, false, risks);
            }
        }
        Ok(())
    }

    /// Counts and publishes a refused record.
    fn refuse(&mut self, letter: &DeadLetter) {
        self.metrics.records_refused(letter.meant_for.name(), letter.stage, 1);
        self.sources.refused(letter);
        // A payload refused for privacy is not in the letter; its reason may be told.
        debug_assert!(letter.stage != Stage::Privacy || letter.payload.is_none());
        self.outlet.dead_letter(letter);
    }

    fn publish(&self, rows: &ViewRows) -> Result<()> {
        if !self.outlet.is_open() {
            return Ok(());
        }
        let key = self.view_keys.get(&rows.view).map(Vec::as_slice).unwrap_or_default();
        let gone = keyed_json(&rows.withdrawn, key)?;
        for (key, _) in gone {
            self.outlet.withdraw(&rows.view, &key);
        }
        for (key, json) in keyed_json(&rows.records, key)? {
            self.outlet.view(&rows.view, &key, &json);
        }
        Ok(())
    }

    /// Everything has been read: closes every window and fires the timers that are due.
    fn finish(&mut self) -> Result<()> {
        let effects = self.machine.finish(self.clock.now())?;
        self.execute(effects)
    }

    /// Hands the rows since the last commit to the history. While it is busy they wait here, until there are twice as
    /// many as a commit should hold: then the engine waits for the history, and Kafka for the engine.
    fn hand_over(&mut self, commits: &mpsc::Sender<Commit>) -> Result<bool> {
        let is_full = self.machine.waiting() >= 2 * self.commit_rows;
        if commits.capacity() == 0 && !is_full {
            return Ok(false);
        }
        let Some(commit) = self.commit()? else { return Ok(false) };
        commits.blocking_send(commit).context("the history has stopped")?;
        Ok(true)
    }

    fn commit(&mut self) -> Result<Option<Commit>> {
        self.pace.more_waits = false;
        let began = Instant::now();
        let (effects, commit) = self.machine.commit(self.clock.now())?;
        self.pace.settled(began);
        self.execute(effects)?;
        Ok(commit)
    }

    fn tell_health(&self) {
        self.live.health(self.sources.health(self.machine.silent()));
        self.live.system(self.sources.facts());
    }
}

/// The next piece of work. People come first: an acknowledgement must not wait behind a backlog.
async fn next(queues: &mut Queues) -> Work {
    tokio::select! {
        biased;
        () = queues.stop.cancelled() => Work::Stop,
        Some(request) = queues.requests.recv() => Work::Request(request),
        event = queues.events.recv() => event.map_or(Work::Stop, |event| Work::Event(Box::new(event))),
        () = tokio::time::sleep(TICK) => Work::Tick,
    }
}
