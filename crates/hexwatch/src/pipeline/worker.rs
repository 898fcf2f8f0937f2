//! The engine's thread: one loop that takes what the reader and people say, lets the engine step, and hands its effects
//! on. Alarms go first: they wait for no table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hexwatch_contract::alarm::RuleHit;
use hexwatch_contract::{Account, Chunk, Clock, DeadLetter, EventTime, ManualClock, Offsets, Stage, Topic};
use hexwatch_history::Commit;
use hexwatch_ingest::Event;
use hexwatch_server::{Live, Metrics};
use hexwatch_stream::{Effects, Engine, Input, Output, ViewRows};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Request};
use super::ends::Ends;
use super::health::Sources;
use super::ledger::Ledger;
use super::outlet::Outlet;
use super::pace::Pace;
use super::rows::keyed_json;
use super::scores::Scores;

/// How long the loop sleeps at most before timers get their turn.
const TICK: Duration = Duration::from_millis(100);

/// What the loop stands on. Everything is owned: no other thread touches the engine.
pub(crate) struct Worker {
    pub(crate) engine: Engine,
    pub(crate) desk: Desk,
    pub(crate) scores: Option<Scores>,
    pub(crate) ledger: Ledger,
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
    /// Dead letters below these offsets were told before a restart.
    pub(crate) told_until: Offsets,
    pub(crate) commit_interval: Duration,
    pub(crate) commit_rows: usize,
    pub(crate) default_site: String,
    pub(crate) totals: BTreeMap<Topic, Account>,
    pub(crate) pace: Pace,
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
            match work {
                Work::Event(event) => self.take(*event)?,
                Work::Request(request) => self.desk.act(request)?,
                Work::Tick => {}
                Work::Stop => break,
            }
            self.tick()?;
            if self.ends.as_ref().is_some_and(Ends::are_reached) {
                self.finish()?;
                break;
            }
            let is_due =
                last_commit.elapsed() >= self.commit_interval || self.ledger.len() >= self.commit_rows;
            if is_due && self.hand_over(&queues.commits)? {
                last_commit = Instant::now();
            }
        }
        if let Some(commit) = self.commit()? {
            queues.commits.blocking_send(commit).context("the history has stopped")?;
        }
        Ok(Summary { totals: self.totals, alarm_changes: self.desk.changes() })
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
        let told_until = self.told_until.get(&chunk.partition).copied().unwrap_or(i64::MIN);
        let letters: Vec<DeadLetter> = chunk
            .dead_letters
            .iter()
            .filter(|letter| letter.position.offset >= told_until)
            .cloned()
            .collect();
        self.refuse(letters)?;
        let in_kafka_since = chunk.latest_kafka_time;
        let alarms = self.desk.changes();
        self.step(Input::Chunk(chunk))?;
        if self.desk.changes() > alarms && self.event_clock.is_none() {
            self.metrics.alarm_pushed(self.wall_clock.now().since(in_kafka_since));
        }
        Ok(())
    }

    /// Keeps, counts and publishes refused records. A press for help among them is an alarm of its own.
    fn refuse(&mut self, letters: Vec<DeadLetter>) -> Result<()> {
        let presses: Vec<RuleHit> = letters
            .iter()
            .filter_map(|letter| hexwatch_alarm::unreadable_press(letter, &self.default_site))
            .collect();
        self.desk.take(&presses, &[])?;
        for letter in &letters {
            self.metrics.records_refused(letter.meant_for.name(), letter.stage, 1);
            self.sources.refused(letter);
            // A payload refused for privacy is not in the letter; its reason may be told.
            debug_assert!(letter.stage != Stage::Privacy || letter.payload.is_none());
            self.outlet.dead_letter(letter);
        }
        self.ledger.refuse(letters);
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        self.desk.tick()?;
        self.step(Input::Tick)
    }

    /// Lets the engine take `input`: to the end, or, in a backlog, ahead of what looks at many rows.
    fn step(&mut self, input: Input) -> Result<()> {
        if self.pace.may_wait() {
            let effects = self.engine.step_ahead(self.clock.now(), input)?;
            return self.hand_on(effects);
        }
        let began = Instant::now();
        let effects = self.engine.step(self.clock.now(), input)?;
        self.pace.settled(began);
        self.hand_on(effects)
    }

    fn hand_on(&mut self, effects: Effects) -> Result<()> {
        self.desk.note_devices(&effects.admitted);
        self.desk.take(&effects.hits, &effects.withdrawn_hits)?;
        for (topic, account) in &effects.accounts {
            *self.totals.entry(*topic).or_default() += *account;
            self.metrics.records_accounted(topic.name(), account);
            self.sources.accounted(*topic, account);
        }
        for rows in &effects.rows {
            self.hand_on_rows(rows)?;
        }
        if let Some(scores) = &mut self.scores {
            for batch in &effects.admitted {
                scores.hear(&batch.records);
            }
        }
        if let Some(watermark) = effects.watermark {
            self.live.watermark_advanced(watermark);
            self.score(watermark);
        }
        self.ledger.late(&effects.late, self.engine.watermark().unwrap_or(EventTime::MIN))?;
        self.ledger.admit(effects.admitted);
        Ok(())
    }

    fn hand_on_rows(&mut self, rows: &ViewRows) -> Result<()> {
        if let Some(scores) = self.scores.as_mut().filter(|scores| scores.feeds(&rows.view)) {
            scores.take(&rows.view, &rows.records);
            return Ok(());
        }
        match rows.output {
            Output::Table => self.ledger.view(rows),
            Output::Topic => self.publish(rows)?,
            Output::None => {}
        }
        Ok(())
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

    fn score(&mut self, watermark: EventTime) {
        let Some(scores) = &mut self.scores else { return };
        let risks = scores.advance(watermark);
        if risks.is_empty() {
            return;
        }
        for risk in &risks {
            self.outlet.risk(risk);
        }
        self.ledger.risks(&risks);
        self.live.cells(watermark.min(self.clock.now()), false, risks);
    }

    /// Everything has been read: closes every window and fires the timers that are due.
    fn finish(&mut self) -> Result<()> {
        self.step(Input::Finished)?;
        self.score(EventTime::MAX);
        Ok(())
    }

    /// Hands the rows since the last commit to the history. While it is busy they wait here, until there are twice as
    /// many as a commit should hold: then the engine waits for the history, and Kafka for the engine.
    fn hand_over(&mut self, commits: &mpsc::Sender<Commit>) -> Result<bool> {
        let is_full = self.ledger.len() >= 2 * self.commit_rows;
        if commits.capacity() == 0 && !is_full {
            return Ok(false);
        }
        let Some(commit) = self.commit()? else { return Ok(false) };
        commits.blocking_send(commit).context("the history has stopped")?;
        Ok(true)
    }

    fn commit(&mut self) -> Result<Option<Commit>> {
        self.pace.more_waits = false;
        self.step(Input::Tick)?;
        self.engine.checkpoint().map(|checkpoint| self.ledger.take(&checkpoint)).transpose()
    }

    fn tell_health(&self) {
        let silent = self.scores.as_ref().map_or(0, Scores::silent);
        self.live.health(self.sources.health(silent));
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
