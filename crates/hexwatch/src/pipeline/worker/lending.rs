//! Which queries are lent to those who run them, and when.

use std::time::{Duration, Instant};

use anyhow::Result;
use hexwatch_stream::Due;
use tokio::runtime::Handle;

use super::{TICK, Worker};
use crate::pipeline::loans::Ran;

/// So much event time is taken at most before what follows from it is told: of months that are read in seconds, all
/// that follows would be in memory at once.
const STRETCH: Duration = Duration::from_hours(6);

/// So many commits' rows are many for a group of queries that waits until those are rebuilt that a life may hang on.
const REBUILD_COMMITS: usize = 6;

impl Worker {
    /// So many rows are many for a group of queries to have to take: as many as a commit has, and more after a restart,
    /// when others go first. Each row is there once, in whatever number of groups it waits.
    pub(super) fn many(&self) -> usize {
        let commits = if self.machine.is_restoring() { REBUILD_COMMITS } else { 1 };
        self.spacing.rows().saturating_mul(commits)
    }

    /// Whether so much event time was taken that what follows from it has to be told first.
    pub(super) fn is_far_ahead(&self) -> bool {
        self.machine.ahead() > STRETCH
    }

    /// Lends the queries whose turn it is; gives how long until somebody else's may be.
    pub(super) fn lend_next(&mut self) -> Result<Duration> {
        if !self.loans.is_free(true) && !self.loans.is_free(false) {
            return Ok(TICK);
        }
        let due = self.machine.due(self.clock.now());
        let (urgent, others): (Vec<Due>, Vec<Due>) = due.into_iter().partition(|due| due.is_urgent);
        Ok(self.lend_one(true, &urgent)?.min(self.lend_one(false, &others)?))
    }

    /// Lends one of `due`, which are all urgent or none, to those who run them; gives how long until the next may be.
    fn lend_one(&mut self, urgent: bool, due: &[Due]) -> Result<Duration> {
        if !self.loans.is_free(urgent) {
            return Ok(TICK);
        }
        let now = Instant::now();
        let many = self.many();
        // A restart's first seconds belong to what a life may hang on, as long as the others' rows have room.
        let goes_first =
            self.machine.is_rebuilding_urgent() || (self.machine.is_restoring() && !self.loans.is_free(true));
        let may_go = |due: &&Due| due.is_urgent || !goes_first || self.machine.untaken_by(**due) >= many;
        let due: Vec<Due> = due.iter().filter(may_go).copied().collect();
        let are_all_hurried = self.machine.is_restoring() || self.is_far_ahead();
        // From twice as many rows on reading waits for whoever has them to take: it does not rest until then.
        let is_hurried = |due| are_all_hurried || self.machine.untaken_by(due) >= many;
        if let Some(chosen) = self.choose(&due, now, is_hurried)
            && let Some(loan) = self.machine.lend(chosen)
        {
            self.pace.began(chosen, now);
            self.loans.give(loan)?;
            return Ok(TICK);
        }
        Ok(self.pace.wait(&due, now).map_or(TICK, |wait| wait.min(TICK)))
    }

    /// Which of `due` goes next: first those for whom a commit waits, who do not rest.
    fn choose(&self, due: &[Due], now: Instant, is_hurried: impl Fn(Due) -> bool) -> Option<Due> {
        let is_awaited = |due: &&Due| self.machine.is_closing() && !self.machine.is_beyond(**due);
        let awaited: Vec<Due> = due.iter().filter(is_awaited).copied().collect();
        self.pace.choose(&awaited, now, |_| true).or_else(|| self.pace.choose(due, now, is_hurried))
    }

    /// Takes back what was lent, and what it found.
    pub(super) fn take_back(&mut self, Ran { returned, took }: Ran) -> Result<()> {
        let (names, stored) = (self.machine.names_of(returned.due()), returned.stored());
        self.metrics.queries_ran(&names, took);
        self.metrics.rows_kept(&names, stored.rows, stored.bytes);
        self.pace.ended(returned.due(), Instant::now());
        let effects = self.machine.take_back(self.clock.now(), returned)?;
        self.execute(effects)
    }

    /// Waits for what is lent, before everything is done in place.
    pub(super) fn await_returned(&mut self, runtime: &Handle) -> Result<()> {
        while self.loans.is_any_out() {
            let ran = runtime.block_on(self.loans.returned())?;
            self.take_back(ran)?;
        }
        Ok(())
    }
}
