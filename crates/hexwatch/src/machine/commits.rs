//! The points at which everything is committed: what leads to one, and what waits for it.

use anyhow::{Context as _, Result};
use hexwatch_contract::EventTime;
use hexwatch_history::Commit;
use hexwatch_stream::{Due, Input};

use super::effect::{Effect, tell};
use super::{Machine, State};

/// A commit whose state is not written as JSON yet. Whoever commits does that: of a hundred thousand sensors it takes some
/// fifty milliseconds, for which a press for help would wait.
#[derive(Debug)]
pub struct Point {
    commit: Commit,
    state: State,
}

impl Point {
    /// The commit as the history takes it.
    pub fn written(self) -> Result<Commit> {
        let state = serde_json::to_value(&self.state).context("writing the engine's checkpoint")?;
        Ok(Commit { state, ..self.commit })
    }
}

impl Machine {
    /// What is to be committed after these effects: the rows since the last commit, and the place in the records that
    /// they follow from. `None` while what a restart reads again is not complete. The commit may begin when all that
    /// was published so far is with Kafka, and not before: its records are never read again for an outlet's sake.
    pub fn commit(&mut self, now: EventTime) -> Result<(Vec<Effect>, Option<Point>)> {
        let mut effects = self.reopen(now, usize::MAX)?;
        effects.extend(self.step(now, Input::Tick)?);
        self.end_scoring(now, &mut effects);
        effects.extend(self.tell_of(usize::MAX)?);
        let Some((point, settled)) = self.take_commit(now) else { return Ok((effects, None)) };
        effects.extend(settled);
        Ok((effects, Some(point)))
    }

    /// Begins a commit that may take its time: what is [due](Machine::due) has to be lent and taken back, and
    /// [`Machine::closed`] has it then. Meanwhile single rows are told of, and everything else waits. Nothing is begun
    /// while what a restart reads again is not complete.
    pub fn close(&mut self, now: EventTime) {
        if !self.scoring.is_awaited() {
            self.engine.close(now);
        }
    }

    /// Whether what is `due` belongs to the commit after the one that was begun, which does not wait for it.
    #[must_use]
    pub fn is_beyond(&self, due: Due) -> bool {
        self.engine.is_beyond(due)
    }

    /// Whether a commit was begun and is not complete.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.engine.is_closing()
    }

    /// The commit that was begun, once it is complete, and what follows from about `most` of the rows that have waited for
    /// it. [`Machine::reopen`] takes the others.
    pub fn closed(&mut self, now: EventTime, most: usize) -> Result<Option<(Point, Vec<Effect>)>> {
        if !self.engine.is_closing() {
            return Ok(None);
        }
        let Some((point, mut effects)) = self.take_commit(now) else { return Ok(None) };
        effects.extend(self.reopen(now, most)?);
        Ok(Some((point, effects)))
    }

    /// What is noted of told rows in generations before this is covered, where a commit was handed over and no more than one
    /// waits while another is made.
    #[must_use]
    pub fn covered_before(&self) -> u64 {
        self.began[0]
    }

    /// Whether rows that have waited for a commit are still to be taken, before the next one may begin.
    #[must_use]
    pub fn is_reopening(&self) -> bool {
        self.engine.is_reopening()
    }

    /// Takes about `most` of the rows that have waited for a commit, complete or not.
    pub fn reopen(&mut self, now: EventTime, most: usize) -> Result<Vec<Effect>> {
        let reopened = self.engine.reopen(now, most)?;
        self.unsure.reopen();
        self.waiting_weight = 0;
        self.ledger.refuse(std::mem::take(&mut self.waiting_letters));
        self.hand_on(now, reopened)
    }

    /// The commit, where the engine is at one point, and what is settled then: that belongs to the next one.
    fn take_commit(&mut self, now: EventTime) -> Option<(Point, Vec<Effect>)> {
        if self.scoring.is_awaited() || self.is_scoring() || self.is_telling() {
            return None;
        }
        let engine = self.engine.checkpoint()?;
        let unsure = self.unsure.doubts(&mut self.book, now);
        let told = Some(self.book.latest_seq().clone());
        self.generation += 1;
        self.began = [self.began[1], self.began[2], self.generation];
        let state = State {
            engine,
            devices: self.book.device_states(),
            told,
            unsure,
            generation: self.generation,
            unconfirmed: self.unconfirmed.keys().clone(),
            has_gap: false,
        };
        let commit = self.ledger.take(&state);
        let settled = self.unsure.settle(&mut self.book, self.engine.given_until(), now);
        Some((Point { commit, state }, tell(settled)))
    }
}
