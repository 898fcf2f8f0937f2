//! How everything is brought to one point, for a checkpoint. Time stands still meanwhile, and what comes in lies beyond the
//! point: it is admitted and waits, told ahead where one row is enough for that. Rules that look at more and that a life
//! may hang on take it as soon as they have been at the point themselves, and need not wait for the others.

use hexwatch_contract::{Chunk, EventTime, Partition};

use super::Engine;
use crate::checkpoint::{Checkpoint, Place};
use crate::effects::Effects;
use crate::error::StreamError;
use crate::group::{Due, Group};

impl Engine {
    /// Begins to bring everything to one point. It is reached when [`Engine::checkpoint`] gives it; until then what is
    /// [due](Engine::due) has to be lent and taken back.
    pub fn close(&mut self, now: EventTime) {
        if self.closing || self.is_restoring() {
            return;
        }
        self.merge(now);
        self.closing = true;
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
        self.closing
    }

    /// Whether what is `due` lies beyond the point to which everything is being brought: nobody waits for it there.
    #[must_use]
    pub fn is_beyond(&self, due: Due) -> bool {
        self.groups.get(due.group).is_some_and(Group::has_passed)
    }

    /// Ends what [`Engine::close`] began: takes what waited.
    pub fn reopen(&mut self, now: EventTime) -> Result<Effects, StreamError> {
        let mut effects = Effects::default();
        if std::mem::take(&mut self.closing) {
            self.places.values_mut().for_each(Place::reopen);
            self.groups.iter_mut().for_each(Group::reopen);
            for admitted in std::mem::take(&mut self.beyond) {
                let hand = |group: &mut Group, topic, records: &_| {
                    if !group.speaks_ahead() {
                        group.take(topic, records, false);
                    }
                };
                self.feed(admitted, &hand, &mut effects)?;
            }
            self.unpark(now, &mut effects)?;
            self.give_filters(&mut effects)?;
        }
        Ok(effects)
    }

    /// Where a restart has to take up, as of the effects returned so far, but for those that are
    /// [beyond](Effects::is_beyond). `None` while what a checkpoint covers is still being read again: that checkpoint
    /// holds; and while something is due that lies before the point.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let merged = self.watermarks.merged();
        if self.is_restoring() || !self.groups.iter().all(|group| group.is_at_point(merged)) {
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
                group.take_beyond(topic, &rows.records);
            }
        }
        self.beyond.push_back((topic, admitted));
        Ok(())
    }
}
