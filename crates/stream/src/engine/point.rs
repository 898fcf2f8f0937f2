//! How everything is brought to one point, for a checkpoint. Time stands still meanwhile, and what comes in lies beyond the
//! point: it is admitted and waits, told ahead where one row is enough for that. Rules that look at more and that a life
//! may hang on take it as soon as they have been at the point themselves, and need not wait for the others. Once the point
//! is reached, what lies beyond is taken a piece at a time: a press for help waits for one piece at most.

use std::collections::VecDeque;

use hexwatch_contract::{Chunk, EventTime, Partition, Topic};

use super::Engine;
use crate::admission::Admitted;
use crate::checkpoint::{Checkpoint, Place};
use crate::effects::Effects;
use crate::error::StreamError;
use crate::group::{Due, Group};

/// Whether everything is brought to one point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Rows are taken as they come.
    Open,
    /// On its way there.
    Closing,
    /// It was there, and what came beyond is being taken.
    Reopening,
}

/// What came beyond the point, as it was admitted.
#[derive(Default)]
pub(super) struct Beyond {
    admitted: VecDeque<(Topic, Admitted)>,
    rows: usize,
}

impl Beyond {
    fn push(&mut self, topic: Topic, admitted: Admitted) {
        self.rows += rows_of(&admitted);
        self.admitted.push_back((topic, admitted));
    }

    fn pop(&mut self) -> Option<(Topic, Admitted)> {
        let (topic, admitted) = self.admitted.pop_front()?;
        self.rows -= rows_of(&admitted);
        Some((topic, admitted))
    }
}

fn rows_of(admitted: &Admitted) -> usize {
    let batches = [&admitted.rows, &admitted.too_late].into_iter().flatten();
    batches.map(|batch| batch.records.num_rows()).sum()
}

impl Engine {
    /// Begins to bring everything to one point. It is reached when [`Engine::checkpoint`] gives it; until then what is
    /// [due](Engine::due) has to be lent and taken back.
    pub fn close(&mut self, now: EventTime) {
        if self.stage != Stage::Open || self.is_restoring() {
            return;
        }
        self.merge(now);
        self.stage = Stage::Closing;
        for (partition, place) in &mut self.places {
            let watermark = self.watermarks.of(partition).map_or(EventTime::MIN, |(watermark, _)| watermark);
            place.close(watermark);
        }
        let merged = self.watermarks.merged();
        self.groups.iter_mut().for_each(|group| group.close(merged));
    }

    /// Whether [`Engine::close`] was called and [`Engine::reopen`] was not.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    /// Whether [`Engine::reopen`] was called and has not taken all that waited. There is no checkpoint before it has.
    #[must_use]
    pub fn is_reopening(&self) -> bool {
        self.stage == Stage::Reopening
    }

    /// Whether what is `due` lies beyond the point to which everything is being brought: nobody waits for it there.
    #[must_use]
    pub fn is_beyond(&self, due: Due) -> bool {
        self.groups.get(due.group).is_some_and(Group::has_passed)
    }

    /// How many rows came beyond that point: they wait until it is reached.
    #[must_use]
    pub fn rows_beyond(&self) -> usize {
        self.beyond.rows
    }

    /// Ends what [`Engine::close`] began: takes what waited, about `most` rows of it. The rest follows with the next calls,
    /// behind which new rows wait, and time stands still until then.
    pub fn reopen(&mut self, now: EventTime, most: usize) -> Result<Effects, StreamError> {
        let mut effects = Effects::default();
        if self.stage == Stage::Closing {
            self.stage = Stage::Reopening;
            self.places.values_mut().for_each(Place::reopen);
            self.groups.iter_mut().for_each(Group::reopen);
        }
        if self.stage == Stage::Reopening {
            self.take_piece(most, &mut effects)?;
            if self.beyond.admitted.is_empty() {
                self.stage = Stage::Open;
                self.unpark(now, &mut effects)?;
            }
            self.give_filters(&mut effects)?;
        }
        Ok(effects)
    }

    /// Takes chunks of what lies beyond the point until they have `most` rows. Rules that speak ahead have them.
    fn take_piece(&mut self, most: usize, effects: &mut Effects) -> Result<(), StreamError> {
        let hand = |group: &mut Group, topic, records: &_| {
            if group.speaks_ahead() { Ok(()) } else { group.take(topic, records, false) }
        };
        let mut taken = 0;
        while taken < most
            && let Some(admitted) = self.beyond.pop()
        {
            taken += rows_of(&admitted.1).max(1);
            self.feed(admitted, &hand, effects)?;
        }
        Ok(())
    }

    /// Where a restart has to take up, as of the effects returned so far, but for those that are
    /// [beyond](Effects::is_beyond). `None` while what a checkpoint covers is still being read again: that checkpoint
    /// holds; and while something is due that lies before the point.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let merged = self.watermarks.merged();
        if self.is_reopening()
            || self.is_restoring()
            || !self.groups.iter().all(|group| group.is_at_point(merged))
        {
            return None;
        }
        let resumption = |(partition, place): (&Partition, &Place)| {
            let (watermark, _) = self.watermarks.of(partition)?;
            place.resumption(partition, watermark)
        };
        Some(Checkpoint {
            watermark: self.watermark(),
            partitions: self.places.iter().filter_map(resumption).collect(),
            absences: self.groups.iter().flat_map(Group::snapshots).collect(),
            corrections: self.groups.iter().filter_map(Group::corrections).collect(),
        })
    }

    /// Takes a chunk beyond the point. Its rows count when everything goes on; which of them do is decided now.
    pub(super) fn take_beyond(
        &mut self,
        chunk: Chunk,
        now: EventTime,
        effects: &mut Effects,
    ) -> Result<(), StreamError> {
        let (topic, admitted) = self.judge(chunk, now)?;
        if let Some(rows) = &admitted.rows {
            self.tell_rows_ahead(rows.clone(), effects)?;
            for group in self.groups.iter_mut().filter(|group| group.speaks_ahead()) {
                if self.stage == Stage::Reopening {
                    group.take(topic, &rows.records, false)?;
                } else {
                    group.take_beyond(topic, &rows.records);
                }
            }
        }
        self.beyond.push(topic, admitted);
        Ok(())
    }
}
