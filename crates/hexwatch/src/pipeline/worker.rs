//! The engine's thread: one loop that takes what the readers and people say, lets the machine step, and executes its
//! effects in their order. It runs no query that looks at many rows: those are lent to a thread of their own, so that a
//! press for help waits for one chunk at most, whatever else there is to do.

mod lending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hexwatch::machine::{Machine, Point, RowShapes, Scores};
use hexwatch_alarm::ActionError;
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::{Account, Chunk, Clock, ManualClock, Topic};
use hexwatch_history::{AlarmLog, ToldRows};
use hexwatch_ingest::Event;
use hexwatch_server::{Live, Metrics};
use hexwatch_stream::Input;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::desk::Request;
use super::ends::Ends;
use super::health::Sources;
use super::intake::{Events, Intake};
use super::loans::{Loans, Ran};
use super::outlet::Outlet;
use super::pace::Pace;
use super::past::Past;
use super::spacing::Spacing;
use crate::crash_point::{CrashPoint, Own};

/// How long the loop sleeps at most before timers get their turn.
const TICK: Duration = Duration::from_millis(100);
/// How often it is looked how far the readers are, whether or not their events are taken.
const LOOK: Duration = Duration::from_secs(1);

/// So many rows that have waited for a commit's point are taken at once: a few milliseconds' work.
const PIECE: usize = 4_096;

/// So many others have their turn before such a piece has one: chunks of safety topics are small, and many come.
const TURNS: u32 = 8;

/// What the loop stands on. Everything is owned: no other thread touches the machine.
pub(crate) struct Worker {
    pub(crate) machine: Machine,
    pub(crate) log: Arc<AlarmLog>,
    /// Which rows of views Kafka was told of since the last commit.
    pub(crate) told_rows: ToldRows,
    pub(crate) outlet: Outlet,
    pub(crate) live: Live,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    /// Moved by the records where they are the clock.
    pub(crate) event_clock: Option<Arc<ManualClock>>,
    pub(crate) wall_clock: Arc<dyn Clock>,
    pub(crate) sources: Sources,
    pub(crate) ends: Option<Ends>,
    pub(crate) shapes: Arc<RowShapes>,
    pub(crate) spacing: Spacing,
    pub(crate) totals: BTreeMap<Topic, Account>,
    /// How many changes this process has made to alarms.
    pub(crate) alarm_changes: u64,
    /// Where the answer to the person goes whose request is being executed.
    pub(crate) answer: Option<oneshot::Sender<Result<Alarm, ActionError>>>,
    pub(crate) arrivals: Arrivals,
    pub(crate) loans: Loans,
    pub(crate) past: Past,
    pub(crate) pace: Pace,
    pub(crate) crash: CrashPoint,
    /// For holding partitions back; its events come through [`Queues`].
    pub(crate) intake: Arc<Intake>,
    pub(crate) ticked: Instant,
    pub(crate) looked: Instant,
    /// How much was done since the last piece of work that is done in pieces.
    pub(crate) turns: u32,
}

/// Where the loop's work comes from and goes to. Each queue has a bound; see `pipeline.rs` for why which.
pub(crate) struct Queues {
    pub(crate) events: Events,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) commits: mpsc::Sender<Point>,
    pub(crate) stop: CancellationToken,
}

/// What the loop has done when it ends.
pub(crate) struct Summary {
    pub(crate) totals: BTreeMap<Topic, Account>,
    pub(crate) alarm_changes: u64,
}

enum Work {
    Event(Box<Event>),
    Returned(Box<Ran>),
    Request(Request),
    Past(Box<Scores>),
    Piece,
    Tick,
    Stop,
}

impl Work {
    /// As metrics call it.
    fn name(&self) -> &'static str {
        match self {
            Self::Event(_) => "records",
            Self::Returned(_) => "queries",
            Self::Request(_) => "request",
            Self::Past(_) => "scores",
            Self::Piece => "piece",
            Self::Tick | Self::Stop => "tick",
        }
    }
}

impl Worker {
    /// Runs until it is stopped, a reader fails, or (with `ends`) everything has been read.
    pub(crate) fn run(mut self, runtime: &Handle, mut queues: Queues) -> Result<Summary> {
        self.tell_health();
        loop {
            if !self.machine.is_restoring() {
                self.past.begin(runtime);
            }
            let wait = self.lend_next()?;
            let work = runtime.block_on(self.next(&mut queues, wait))?;
            let (began, name) = (Instant::now(), work.name());
            let was_restoring = self.machine.is_restoring();
            match work {
                Work::Event(event) => self.take(*event)?,
                Work::Returned(ran) => self.take_back(*ran)?,
                Work::Request(request) => self.act(request)?,
                Work::Past(scores) => self.take_scores(*scores)?,
                Work::Piece => self.take_piece()?,
                Work::Tick => {}
                Work::Stop => break,
            }
            self.tick()?;
            self.outlet.push_on();
            if was_restoring {
                self.follow_rebuild();
            }
            if self.ends.as_ref().is_some_and(Ends::are_reached) {
                self.await_returned(runtime)?;
                self.await_past(runtime)?;
                self.finish()?;
                break;
            }
            self.see_to_commits(&queues.commits)?;
            self.metrics.turn_taken(name, began.elapsed());
        }
        self.await_returned(runtime)?;
        let (effects, point) = self.machine.commit(self.clock.now())?;
        self.execute(effects)?;
        if let Some(point) = point {
            queues.commits.blocking_send(point).context("the history has stopped")?;
        }
        Ok(Summary { totals: self.totals, alarm_changes: self.alarm_changes })
    }

    /// The next piece of work, or a tick after `wait`. People come first: an acknowledgement must not wait behind a
    /// backlog.
    async fn next(&mut self, queues: &mut Queues, wait: Duration) -> Result<Work> {
        let open = self.open_lanes(queues);
        Ok(tokio::select! {
            biased;
            () = queues.stop.cancelled() => Work::Stop,
            Some(request) = queues.requests.recv() => Work::Request(request),
            ran = self.loans.returned() => Work::Returned(Box::new(ran?)),
            scores = self.past.read() => Work::Past(Box::new(scores?)),
            event = queues.events.next(open) => event.map_or(Work::Stop, |event| Work::Event(Box::new(event))),
            () = std::future::ready(()), if self.has_pieces() => Work::Piece,
            () = tokio::time::sleep(wait) => Work::Tick,
        })
    }

    /// From how many of the readers, the first ones first, something is taken now. While what has waited for a commit's
    /// point is taken, rows wait for room on their way to Kafka, or much event time waits for the queries, the last one
    /// waits. While the history or the queries are busy, or everything is brought to a commit's point, rows gather: from
    /// two commits' worth on the last reader waits for them, and Kafka for the reader; each of those before has room for
    /// twice as many. What came beyond a point counts on until it is committed, so that safety topics cannot hold the
    /// next point off for longer than that.
    fn open_lanes(&self, queues: &Queues) -> usize {
        let lanes = queues.events.lanes();
        if self.machine.is_reopening() || self.is_far_ahead() || self.outlet.is_behind() {
            return lanes.saturating_sub(1);
        }
        // After a restart nothing can be committed before all has been read that has to be read again.
        let uncommitted = if self.machine.is_restoring() { 0 } else { self.machine.waiting() };
        let gathered = uncommitted.max(self.machine.untaken());
        let doublings = (gathered / self.many()).checked_ilog2().unwrap_or(0);
        lanes.saturating_sub(usize::try_from(doublings).unwrap_or(lanes))
    }

    fn take_scores(&mut self, scores: Scores) -> Result<()> {
        let effects = self.machine.give_scores(self.clock.now(), scores);
        self.execute(effects)
    }

    /// Waits for the past of risk, before everything is closed.
    fn await_past(&mut self, runtime: &Handle) -> Result<()> {
        self.past.begin(runtime);
        if !self.past.is_awaited() {
            return Ok(());
        }
        let scores = runtime.block_on(self.past.read())?;
        self.take_scores(scores)
    }

    /// While what was open is rebuilt, partitions that are far ahead of the others are held back: their chunks wait in
    /// memory.
    fn follow_rebuild(&self) {
        self.intake.hold(self.machine.overfull());
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
        self.arrivals.note(&chunk);
        if let Some(clock) = &self.event_clock {
            clock.advance(chunk.latest_kafka_time);
        }
        let refused = self.machine.refuse(self.clock.now(), &chunk);
        self.execute(refused)?;
        self.step(Input::Chunk(chunk))
    }

    fn act(&mut self, request: Request) -> Result<()> {
        let Request { alarm, action, actor, answer } = request;
        self.answer = Some(answer);
        let effects = self.machine.act(self.clock.now(), &alarm, &action, &actor);
        self.execute(effects)
    }

    /// Lets time and the alarms' own timers have their turn, a few times a second.
    fn tick(&mut self) -> Result<()> {
        if self.ticked.elapsed() < TICK {
            return Ok(());
        }
        self.ticked = Instant::now();
        if self.looked.elapsed() >= LOOK {
            self.looked = self.ticked;
            self.sources.progressed(&self.intake.progress());
            self.tell_health();
        }
        let effects = self.machine.tick(self.clock.now());
        self.execute(effects)?;
        self.step(Input::Tick)
    }

    /// Lets the machine take `input`. What looks at many rows follows as [lent](Worker::lend_next).
    fn step(&mut self, input: Input) -> Result<()> {
        let effects = self.machine.step_ahead(self.clock.now(), input)?;
        self.execute(effects)
    }

    /// Everything has been read: closes every window and fires the timers that are due.
    fn finish(&mut self) -> Result<()> {
        let effects = self.machine.finish(self.clock.now())?;
        self.execute(effects)
    }

    /// Begins a commit when its time has come and the history has room for it, and hands it over when it is complete. Scores
    /// come before it, and what has waited for it comes after it, a piece at a time: when nothing else is to be done, or
    /// others have had their turns.
    fn see_to_commits(&mut self, commits: &mpsc::Sender<Point>) -> Result<()> {
        let is_due = || self.spacing.is_due(self.machine.waiting(), Instant::now());
        if self.has_pieces() {
            self.turns += 1;
            return if self.turns >= TURNS { self.take_piece() } else { Ok(()) };
        }
        if !self.machine.is_closing() && commits.capacity() > 0 && is_due() {
            self.spacing.begin(Instant::now());
            self.machine.close(self.clock.now());
        }
        if let Some((point, effects)) = self.machine.closed(self.clock.now(), PIECE)? {
            self.metrics.commit_point_reached(self.spacing.reach(Instant::now()));
            commits.blocking_send(point).context("the history has stopped")?;
            self.told_rows.forget_before(self.machine.covered_before())?;
            self.execute(effects)?;
        }
        Ok(())
    }

    /// Whether there is work that is done a piece at a time: scoring, telling Kafka of rows, or taking what has waited for
    /// a commit's point.
    fn has_pieces(&self) -> bool {
        self.machine.is_scoring() || self.may_tell() || self.machine.is_reopening()
    }

    /// Rows wait for room in the machine, but not those that a commit was begun with: rules that do not speak ahead wait
    /// for its point, and must not wait for Kafka.
    fn may_tell(&self) -> bool {
        self.machine.is_telling() && (self.machine.is_closing() || !self.outlet.is_behind())
    }

    fn take_piece(&mut self) -> Result<()> {
        self.turns = 0;
        let now = self.clock.now();
        let effects = if self.machine.is_scoring() {
            self.machine.score_on(now)
        } else if self.may_tell() {
            self.machine.tell_on()?
        } else {
            self.machine.reopen(now, PIECE)?
        };
        self.execute(effects)
    }

    fn tell_health(&self) {
        self.live.health(self.sources.health(self.machine.silent()));
        self.live.system(self.sources.facts());
    }
}
