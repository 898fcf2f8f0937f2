//! The process: the machine of the product, driven as the pipeline drives it, over the modelled disk and outlets.

use std::sync::Arc;

use hexwatch::machine::{Machine, Parts, Point, Scoring, State};
use hexwatch_alarm::{Action, Book, Settings, Surroundings};
use hexwatch_contract::{Account, Cell, EventTime, Offsets, Topic};
use hexwatch_history::{Commit, Resume};
use hexwatch_stream::{Engine, Input, Loan};

use super::chance::{Faults, Stop};
use super::committer::{Committer, Progress, Writer};
use super::disk::Disk;
use super::execution::execute;
use super::flaw::Flaw;
use super::outlets::Outlets;
use super::queries::shapes;
use super::world::{self, Log, World};

/// Everything outside of the process that its effects reach.
pub(crate) struct Surface<'a> {
    pub(crate) disk: &'a mut Disk,
    pub(crate) outlets: &'a mut Outlets,
    pub(crate) faults: &'a mut Faults,
    pub(crate) account: &'a mut Account,
    pub(crate) flaw: Flaw,
    pub(crate) is_endless: bool,
    pub(crate) rows_at_once: usize,
    pub(crate) now: EventTime,
}

/// How far a partition has been read.
struct Reading {
    next: usize,
    at_end: bool,
}

/// What dies in a crash.
pub(crate) struct Process {
    machine: Machine,
    readings: Vec<Reading>,
    /// Queries that are being run elsewhere.
    lent: Vec<Loan>,
    pub(crate) committer: Committer,
    queued: Option<Commit>,
}

fn bug(error: &anyhow::Error) -> Stop {
    Stop::Violation(format!("failed with: {error:#}"))
}

impl Process {
    /// Starts as the pipeline does: opens the disk, rebuilds the book, takes up where the last commit ended.
    pub(crate) fn start(
        engine: Engine,
        world: &World,
        on: &mut Surface<'_>,
    ) -> Result<Self, Box<(Engine, Stop)>> {
        match Self::open(on) {
            Ok((writer, state, book)) => Self::take_up(engine, world, on, writer, state.as_ref(), book),
            Err(stop) => Err(Box::new((engine, stop))),
        }
    }

    fn open(on: &mut Surface<'_>) -> Result<(Writer, Option<State>, Book), Stop> {
        if on.flaw != Flaw::LogNotSynced {
            on.disk.sync_log();
        }
        on.faults.boundary()?;
        let writer = Writer::open(on.disk, on.faults, on.flaw)?;
        let checkpoint = &writer.takeover.checkpoint;
        let mut kept = checkpoint.state.clone();
        if on.flaw == Flaw::FindingsForgotten {
            forget_findings(&mut kept);
        }
        if on.flaw == Flaw::CorrectionsForgotten {
            forget_corrections(&mut kept);
        }
        let state = State::read(checkpoint.number, &kept)?;
        let locate = |_: Cell| Surroundings::default();
        let mut book = Book::replay(Settings::default(), locate, on.disk.changes())?;
        if let Some(state) = &state {
            book.resume_devices(state.devices.clone());
        }
        Ok((writer, state, book))
    }

    fn take_up(
        mut engine: Engine,
        world: &World,
        on: &mut Surface<'_>,
        writer: Writer,
        state: Option<&State>,
        book: Book,
    ) -> Result<Self, Box<(Engine, Stop)>> {
        let resume = Resume::of(&writer.takeover.checkpoint, writer.takeover.report.clone());
        let mut starts = Offsets::new();
        if let Some(state) = state {
            starts = state.engine.replay_from();
            engine.restore(state.engine.clone());
        }
        if on.flaw == Flaw::MemoryNotRebuilt {
            starts.clone_from(&resume.offsets);
        }
        let start = |log: &Log| usize::try_from(starts.get(&log.partition).copied().unwrap_or(0)).unwrap();
        let machine = Machine::new(Parts {
            engine,
            book,
            scoring: Scoring::default(),
            shapes: Arc::clone(shapes()),
            kept: Topic::ALL.into(),
            told_until: resume.offsets,
            default_site: world::SITE.to_owned(),
        });
        let mut process = Self {
            machine: machine.telling_of(on.rows_at_once),
            readings: world.logs.iter().map(|log| Reading { next: start(log), at_end: false }).collect(),
            lent: Vec::new(),
            committer: Committer::new(writer),
            queued: None,
        };
        match process.begin(world, on, state) {
            Ok(()) => Ok(process),
            Err(stop) => Err(Box::new((process.into_engine(), stop))),
        }
    }

    fn begin(&mut self, world: &World, on: &mut Surface<'_>, state: Option<&State>) -> Result<(), Stop> {
        on.outlets.compare(on.disk.changes())?;
        let changes: Vec<_> = on.disk.changes().cloned().collect();
        let generation = state.map_or(0, |state| state.generation);
        let mut told = on.disk.noted(generation);
        if on.flaw == Flaw::GenerationUsedTwice {
            told.next = generation;
        }
        execute(self.machine.begin(&changes, told, state), on)?;
        let partitions = world.logs.iter().map(|log| (log.partition.clone(), log.topic)).collect();
        self.step(Input::Assigned(partitions), false, on)
    }

    pub(crate) fn into_engine(self) -> Engine {
        self.take_apart().0
    }

    /// Lets the machine take `input` and do all that follows, or leave it for later.
    fn step(&mut self, input: Input, ahead: bool, on: &mut Surface<'_>) -> Result<(), Stop> {
        if !ahead {
            self.take_all_back(on)?;
            if self.machine.is_closing() {
                let settled = self.machine.step(on.now, Input::Tick).map_err(|error| bug(&error))?;
                execute(settled, on)?;
                self.tell_all(on)?;
                self.end_close(on)?;
            }
            while self.machine.is_reopening() {
                self.reopen(on)?;
            }
            self.tell_all(on)?;
        }
        let stepped =
            if ahead { self.machine.step_ahead(on.now, input) } else { self.machine.step(on.now, input) };
        execute(stepped.map_err(|error| bug(&error))?, on)
    }

    /// What a crash leaves: the plans of the engine, and a committer that may only be asleep.
    pub(crate) fn take_apart(mut self) -> (Engine, Committer) {
        for loan in self.lent {
            // Nobody hears of what they find: only their plans are of use.
            let returned = loan.run().unwrap();
            let _ = self.machine.take_back(EventTime::MIN, returned);
        }
        (self.machine.into_engine(), self.committer)
    }

    /// Lends queries of which something is due.
    pub(crate) fn lend(&mut self, on: &mut Surface<'_>) {
        let due = self.machine.due(on.now);
        let Some(chosen) = due.get(on.faults.chance.below(due.len())) else { return };
        on.faults.note(|| format!("lend {chosen:?}"));
        self.lent.extend(self.machine.lend(*chosen));
    }

    /// Lends all of which something is due and takes it back, as often as anything is.
    pub(crate) fn lend_all(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        loop {
            let due = self.machine.due(on.now);
            on.faults.note(|| format!("lend {due:?}"));
            self.lent.extend(due.into_iter().filter_map(|due| self.machine.lend(due)));
            if self.lent.is_empty() {
                return Ok(());
            }
            self.take_all_back(on)?;
        }
    }

    /// Takes back some of what is lent, after it was run.
    pub(crate) fn take_back(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        if self.lent.is_empty() {
            return Ok(());
        }
        let loan = self.lent.swap_remove(on.faults.chance.below(self.lent.len()));
        on.faults.note(|| format!("take back {:?}", loan.due()));
        let effects = self.machine.take_back(on.now, loan.run()?).map_err(|error| bug(&error))?;
        execute(effects, on)?;
        self.end_close(on)
    }

    fn take_all_back(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        while !self.lent.is_empty() {
            self.take_back(on)?;
        }
        Ok(())
    }

    /// Begins a commit that takes its time.
    pub(crate) fn close(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        if self.queued.is_none() {
            on.faults.note(|| "close".to_owned());
            self.machine.close(on.now);
        }
        self.end_close(on)
    }

    /// Hands the commit over that was begun, where it is complete, and takes what has waited for it, a chunk at a time;
    /// tells of a row where that is what it waits for.
    fn end_close(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        if self.machine.is_reopening() {
            return self.reopen(on);
        }
        if self.queued.is_some() {
            return self.tell(on);
        }
        let closed = self.machine.closed(on.now, 1).map_err(|error| bug(&error))?;
        let Some((point, effects)) = closed else { return self.tell(on) };
        on.faults.note(|| "closed".to_owned());
        self.queued = Some(point.written().map_err(|error| bug(&error))?);
        on.disk.forget_noted_before(self.machine.covered_before());
        execute(effects, on)
    }

    /// Tells Kafka of a row, where any waits.
    fn tell(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        if !self.machine.is_telling() {
            return Ok(());
        }
        let effects = self.machine.tell_on().map_err(|error| bug(&error))?;
        execute(effects, on)
    }

    fn tell_all(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        while self.machine.is_telling() {
            self.tell(on)?;
        }
        Ok(())
    }

    fn reopen(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        let effects = self.machine.reopen(on.now, 1).map_err(|error| bug(&error))?;
        execute(effects, on)
    }

    /// Tells the machine which partitions have grown since they were read to their end.
    pub(crate) fn notice(&mut self, world: &World, on: &mut Surface<'_>) -> Result<(), Stop> {
        for (at, log) in world.logs.iter().enumerate() {
            if self.readings[at].at_end && self.readings[at].next < log.end(on.now) {
                self.readings[at].at_end = false;
                self.step(Input::Behind(log.partition.clone()), true, on)?;
            }
        }
        Ok(())
    }

    /// Reads at most `most` records of partition `at`, or finds its end. `ahead`: the queries are lent, later.
    pub(crate) fn read(
        &mut self,
        world: &World,
        at: usize,
        most: usize,
        ahead: bool,
        on: &mut Surface<'_>,
    ) -> Result<(), Stop> {
        let log = &world.logs[at];
        let (from, end) = (self.readings[at].next, log.end(on.now));
        if from >= end && on.is_endless {
            return Ok(());
        }
        if from >= end {
            if std::mem::replace(&mut self.readings[at].at_end, true) {
                return Ok(());
            }
            return self.step(Input::AtEnd(log.partition.clone()), ahead, on);
        }
        let to = end.min(from + most);
        self.readings[at].next = to;
        on.faults.note(|| format!("read {} {from}..{to} at {}", log.partition, on.now));
        let chunk = log.chunk(from, to);
        execute(self.machine.refuse(on.now, &chunk), on)?;
        self.step(Input::Chunk(chunk), ahead, on)
    }

    /// Whether partition `at` has been read to its end and said so.
    pub(crate) fn is_at_end(&self, at: usize) -> bool {
        self.readings[at].at_end
    }

    /// Whether every partition has been read to its last record.
    pub(crate) fn has_read_all(&self, world: &World) -> bool {
        self.readings
            .iter()
            .zip(&world.logs)
            .all(|(reading, log)| reading.at_end && reading.next == log.len())
    }

    pub(crate) fn tick(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        execute(self.machine.tick(on.now), on)?;
        self.step(Input::Tick, false, on)
    }

    /// A person acts on an alarm that was heard of.
    pub(crate) fn act(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        let Some(alarm) = on.outlets.any_heard(&mut on.faults.chance).map(|change| change.alarm_id.clone())
        else {
            return Ok(());
        };
        let action = if on.faults.chance.one_in(3) { Action::Unack } else { Action::Ack };
        execute(self.machine.act(on.now, &alarm, &action, "p1"), on)
    }

    /// Hands a commit over, where there is room for one.
    pub(crate) fn commit(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        self.take_all_back(on)?;
        if self.queued.is_some() {
            return Ok(());
        }
        let (effects, point) = self.machine.commit(on.now).map_err(|error| bug(&error))?;
        execute(effects, on)?;
        if point.is_some() {
            on.disk.forget_noted_before(self.machine.covered_before());
        }
        self.queued = point.map(Point::written).transpose().map_err(|error| bug(&error))?;
        Ok(())
    }

    /// Whether nothing waits for the history.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_committing() && !self.machine.is_restoring()
    }

    /// Whether a commit is under way.
    pub(crate) fn is_committing(&self) -> bool {
        self.queued.is_some() || !self.committer.is_idle()
    }

    /// Lets the committer do one step. A process whose committer fails ends.
    pub(crate) fn proceed(&mut self, on: &mut Surface<'_>) -> Result<(), Stop> {
        if self.committer.is_idle()
            && let Some(commit) = self.queued.take()
        {
            self.committer.begin(commit, on.outlets);
        }
        match self.committer.proceed(on.disk, on.outlets, on.faults, on.flaw)? {
            Progress::Fine => Ok(()),
            Progress::Replaced => Err(Stop::Replaced),
        }
    }
}

/// Takes out of what a commit kept what was found of alarms in doubt.
fn forget_findings(state: &mut serde_json::Value) {
    let doubts = state.get_mut("unsure").and_then(serde_json::Value::as_object_mut);
    for doubt in doubts.into_iter().flat_map(|doubts| doubts.values_mut()) {
        doubt["found"].take();
    }
}

/// Takes out of what a commit kept the late rows that wait to correct what was given.
fn forget_corrections(state: &mut serde_json::Value) {
    state.as_object_mut().and_then(|state| state.remove("corrections"));
}
