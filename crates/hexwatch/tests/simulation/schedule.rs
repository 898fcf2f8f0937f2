//! A schedule: a world is lived through while everything goes wrong that may, then in peace to its end.

use std::time::Duration;

use hexwatch::machine::ROWS_AT_ONCE;
use hexwatch_contract::{Account, EventTime};
use hexwatch_stream::Engine;

use super::chance::{Chance, Faults, Stop};
use super::committer::{Committer, Progress};
use super::disk::Disk;
use super::flaw::Flaw;
use super::outcome::Outcome;
use super::outlets::Outlets;
use super::process::{Process, Surface};
use super::world::World;

/// More steps than any schedule takes: one that takes more hangs.
const MOST_STEPS: usize = 4_000;

/// How long after the last record something may still go wrong.
const LAST_FAULT: Duration = Duration::from_mins(1);

/// One run.
struct Run<'w> {
    world: &'w World,
    disk: Disk,
    outlets: Outlets,
    faults: Faults,
    account: Account,
    flaw: Flaw,
    now: EventTime,
    /// Time stands still here.
    latest: EventTime,
    /// The engine while no process has it.
    engine: Option<Engine>,
    process: Option<Process>,
    /// A committer whose process was thought dead.
    zombie: Option<Committer>,
    /// How long a pause of the process may be, in milliseconds.
    longest_pause: i64,
    /// Whether nobody hears where a partition ends, as where records come without a break.
    is_endless: bool,
    /// Whether every partition is read as far as it has come: what is late then is late by what was given, too.
    keeps_up: bool,
    /// How many rows of views are told before anything else may happen.
    rows_at_once: usize,
}

/// What became of a run; the engine can be used again.
pub(crate) struct Ended {
    pub(crate) outcome: Result<Outcome, String>,
    pub(crate) account: Account,
    pub(crate) engine: Option<Engine>,
    pub(crate) trace: Vec<String>,
}

/// Reads `world` as it comes, without a fault.
pub(crate) fn straight(world: &World, engine: Engine) -> Ended {
    let mut run = Run::new(world, engine, Faults::none(), Flaw::None);
    let outcome = run.live_in_peace();
    run.end(outcome)
}

/// Lives through `world` as `seed` decides.
pub(crate) fn faulty(world: &World, engine: Engine, seed: u64, flaw: Flaw, is_traced: bool) -> Ended {
    let faults = Faults::new(Chance::new(seed, 1 << 32), is_traced);
    let mut run = Run::new(world, engine, faults, flaw);
    run.longest_pause = [1_000, 8_000, 70_000][run.faults.chance.below(3)];
    run.is_endless = seed % 4 == 3;
    run.keeps_up = seed % 4 == 1;
    run.rows_at_once = if seed % 5 < 3 { 1 } else { ROWS_AT_ONCE };
    // What falls idle after the last fault must have the time for it.
    run.latest = world.last + LAST_FAULT;
    let outcome = run.live_through_faults();
    run.end(outcome)
}

impl<'w> Run<'w> {
    fn new(world: &'w World, engine: Engine, faults: Faults, flaw: Flaw) -> Self {
        Self {
            world,
            disk: Disk::default(),
            outlets: Outlets::default(),
            faults,
            account: Account::default(),
            flaw,
            now: world.start,
            latest: world.end,
            engine: Some(engine),
            process: None,
            zombie: None,
            longest_pause: 0,
            is_endless: false,
            keeps_up: false,
            rows_at_once: ROWS_AT_ONCE,
        }
    }

    fn end(mut self, outcome: Result<(), Stop>) -> Ended {
        let outcome = outcome.and_then(|()| Outcome::of(&self.disk, &self.outlets));
        let engine = self.engine.take().or_else(|| self.process.take().map(Process::into_engine));
        let outcome = outcome.map_err(|stop| match stop {
            Stop::Violation(what) => what,
            Stop::Crash => "crashed in peace".to_owned(),
            Stop::Replaced => "replaced in peace".to_owned(),
        });
        Ended { outcome, account: self.account, engine, trace: self.faults.into_trace() }
    }

    fn live_in_peace(&mut self) -> Result<(), Stop> {
        self.start_again()?;
        while self.now < self.world.last {
            self.wait(5_000);
            self.with(Process::notice)?;
            self.read_all()?;
        }
        self.converge()
    }

    fn live_through_faults(&mut self) -> Result<(), Stop> {
        for _ in 0..MOST_STEPS {
            if self.now >= self.world.last && self.faults.chance.one_in(8) {
                break;
            }
            match self.do_something() {
                Err(Stop::Crash | Stop::Replaced) => self.die(),
                done => done?,
            }
        }
        self.faults.cease();
        (self.zombie, self.latest, self.is_endless) = (None, self.world.end, false);
        if self.process.is_none() {
            self.start_again()?;
        }
        match self.finish_commit() {
            // A zombie was faster before there was peace. There is none any more, and no second time.
            Err(Stop::Replaced) => {
                self.die();
                self.zombie = None;
                self.start_again()?;
            }
            done => done?,
        }
        // What waits for a commit has been read, and is to count as heard now.
        self.with(|process, _, on| process.tick(on))?;
        self.converge()
    }

    /// Lets the commit that is under way come to its end.
    fn finish_commit(&mut self) -> Result<(), Stop> {
        for _ in 0..MOST_STEPS {
            if !self.process.as_ref().is_some_and(Process::is_committing) {
                break;
            }
            self.outlets.deliver_all();
            self.with(|process, _, on| process.proceed(on))?;
        }
        Ok(())
    }

    /// One thing that may happen.
    fn do_something(&mut self) -> Result<(), Stop> {
        if self.process.is_none() {
            return self.start_again();
        }
        if self.faults.chance.one_in(2) {
            let pause = self.faults.chance.between(0, 12_000);
            self.wait(pause);
            self.with(Process::notice)?;
        }
        self.let_the_zombie_wake()?;
        for _ in 0..self.faults.chance.below(4) {
            self.with(|process, _, on| process.proceed(on))?;
        }
        if self.faults.chance.one_in(3) {
            let some = self.faults.chance.below(6);
            self.outlets.deliver(some);
        }
        match self.faults.chance.below(20) {
            0 => self.with(|process, _, on| process.tick(on)),
            1 => self.with(|process, _, on| process.act(on)),
            2 | 3 if !self.keeps_up => self.with(|process, _, on| process.commit(on)),
            2..=4 => self.with(|process, _, on| process.close(on)),
            5 | 6 => self.with(|process, _, on| {
                process.lend(on);
                Ok(())
            }),
            7 | 8 => self.with(|process, _, on| process.take_back(on)),
            9 => self.with(|process, _, on| process.lend_all(on)),
            _ => self.read_some(),
        }
    }

    fn read_some(&mut self) -> Result<(), Stop> {
        if self.keeps_up {
            return self.read_what_came();
        }
        let at = self.faults.chance.below(self.world.logs.len());
        let most = 1 + self.faults.chance.below(6);
        let ahead = !self.faults.chance.one_in(3);
        self.with(|process, world, on| process.read(world, at, most, ahead, on))
    }

    /// Reads every partition as far as it has come, and has it looked at apart.
    fn read_what_came(&mut self) -> Result<(), Stop> {
        self.with(|process, world, on| {
            process.notice(world, on)?;
            (0..world.logs.len()).try_for_each(|at| process.read(world, at, usize::MAX / 2, true, on))?;
            process.lend_all(on)
        })
    }

    fn wait(&mut self, millis: i64) {
        self.now = EventTime::from_millis(self.now.millis() + millis).min(self.latest);
    }

    /// Runs `what` on the process, with everything that it reaches.
    fn with(
        &mut self,
        what: impl FnOnce(&mut Process, &World, &mut Surface<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut surface = Surface {
            disk: &mut self.disk,
            outlets: &mut self.outlets,
            faults: &mut self.faults,
            account: &mut self.account,
            flaw: self.flaw,
            is_endless: self.is_endless,
            rows_at_once: self.rows_at_once,
            now: self.now,
        };
        what(process, self.world, &mut surface)
    }

    fn start_again(&mut self) -> Result<(), Stop> {
        let Some(engine) = self.engine.take() else { return Stop::violation("the engine is gone") };
        self.faults.note(|| format!("start at {}", self.now));
        let mut surface = Surface {
            disk: &mut self.disk,
            outlets: &mut self.outlets,
            faults: &mut self.faults,
            account: &mut self.account,
            flaw: self.flaw,
            is_endless: self.is_endless,
            rows_at_once: self.rows_at_once,
            now: self.now,
        };
        match Process::start(engine.renewed(), self.world, &mut surface) {
            Ok(process) => {
                self.process = Some(process);
                Ok(())
            }
            Err(failed) => {
                let (engine, stop) = *failed;
                self.engine = Some(engine);
                Err(stop)
            }
        }
    }

    /// The process dies: killed, so that the disk still has what it wrote, or with the power gone. Sometimes its
    /// committer was only asleep.
    fn die(&mut self) {
        let is_power_lost = self.faults.chance.one_in(2);
        self.faults.note(|| format!("crash, power lost: {is_power_lost}"));
        self.outlets.die(&mut self.faults.chance);
        if let Some(process) = self.process.take() {
            let (engine, committer) = process.take_apart();
            self.engine = Some(engine);
            let sleeps = committer.is_writing() && self.faults.chance.one_in(3);
            self.zombie = sleeps.then_some(committer).or(self.zombie.take());
        }
        if is_power_lost {
            self.zombie = None;
            self.disk.lose_power(&mut self.faults.chance);
        }
        let pause = self.faults.chance.between(0, self.longest_pause);
        self.wait(pause);
    }

    fn let_the_zombie_wake(&mut self) -> Result<(), Stop> {
        let Some(mut zombie) = self.zombie.take_if(|_| self.faults.chance.one_in(4)) else { return Ok(()) };
        self.faults.note(|| "the zombie wakes".to_owned());
        match zombie.proceed(&mut self.disk, &mut self.outlets, &mut self.faults, self.flaw) {
            Ok(Progress::Fine) if !zombie.is_idle() => self.zombie = Some(zombie),
            Ok(Progress::Fine | Progress::Replaced) | Err(Stop::Crash | Stop::Replaced) => {}
            Err(violation) => return Err(violation),
        }
        Ok(())
    }

    /// Reads what there is.
    fn read_all(&mut self) -> Result<(), Stop> {
        for at in 0..self.world.logs.len() {
            self.with(|process, world, on| {
                while !process.is_at_end(at) {
                    process.read(world, at, usize::MAX / 2, false, on)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Without faults, to where everything has come, closed and been committed.
    fn converge(&mut self) -> Result<(), Stop> {
        for _ in 0..MOST_STEPS {
            let process = self.process.as_ref();
            if self.now == self.world.end && process.is_some_and(|process| process.has_read_all(self.world)) {
                return self.settle();
            }
            self.wait(40_000);
            self.with(Process::notice)?;
            self.read_all()?;
        }
        Stop::violation("it never comes to an end")
    }

    fn settle(&mut self) -> Result<(), Stop> {
        self.with(|process, _, on| process.tick(on))?;
        // What a commit settles belongs to the one after it.
        for commits_after in [true, true, false] {
            for _ in 0..MOST_STEPS {
                self.outlets.deliver_all();
                if self.process.as_ref().is_some_and(Process::is_settled) {
                    break;
                }
                self.with(|process, _, on| process.proceed(on))?;
            }
            if commits_after {
                self.with(|process, _, on| process.commit(on))?;
            }
        }
        if self.process.as_ref().is_some_and(Process::is_settled) {
            Ok(())
        } else {
            Stop::violation("a commit never comes to an end")
        }
    }
}
