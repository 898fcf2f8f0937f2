//! One partition on its way.

use std::time::{Duration, Instant};

use hexwatch_contract::{Chunk, EventTime, Partition};

use super::mark::{self, Mark};
use super::watch::PartitionFigures;
use super::{Event, Progress};
use crate::decode::{Decoder, Record};

/// A chunk is not wider than this: in a recording of months a few records may span days, and what follows from a chunk
/// is all in memory at once.
const WIDEST: Duration = Duration::from_hours(1);

/// A partition's records between `poll` and the channel.
pub(super) struct Lane {
    decoder: Decoder,
    /// When the first record of the chunk in the making came.
    oldest: Option<Instant>,
    /// The Kafka timestamps of that record and of the last one.
    span: Option<(EventTime, EventTime)>,
    end: i64,
    told_end: Option<i64>,
    /// The end that a fetch had met by the last statistics, and our position then.
    met_end: Option<(i64, i64)>,
    /// Nothing is handed out between this position and this end.
    quiet: Option<(i64, i64)>,
    /// Our position, where the last statistics put the end before it.
    beyond_end: Option<i64>,
    /// Our position when it was last asked whether the partition stands still.
    stood_at: Option<i64>,
    /// What was read before a restart and has not been seen again yet.
    unproved: Option<Mark>,
    /// The offset of the last record of a chunk, and its bytes.
    last: (i64, Vec<u8>),
    /// By which lease it is read.
    lease: u64,
}

impl Lane {
    pub(super) fn new(decoder: Decoder, end: i64, unproved: Option<Mark>, lease: u64) -> Self {
        Self {
            decoder,
            oldest: None,
            span: None,
            end,
            told_end: None,
            met_end: None,
            quiet: None,
            beyond_end: None,
            stood_at: None,
            unproved,
            last: (-1, Vec::new()),
            lease,
        }
    }

    pub(super) fn partition(&self) -> &Partition {
        self.decoder.partition()
    }

    pub(super) fn lease(&self) -> u64 {
        self.lease
    }

    pub(super) fn next_offset(&self) -> i64 {
        self.decoder.next_offset()
    }

    /// Where to read from: the mark of an earlier start is read again, though nothing is made of it.
    pub(super) fn read_from(&self) -> i64 {
        let next = self.next_offset();
        self.unproved.as_ref().map_or(next, |mark| mark.offset.min(next))
    }

    /// Looks at a record for what it proves about the topic, before anything is made of it.
    ///
    /// # Errors
    /// The mark at whose offset another record stands now.
    pub(super) fn prove(&mut self, record: &Record<'_>) -> Result<(), Mark> {
        let Some(mark) = self.unproved.take_if(|mark| record.offset >= mark.offset) else { return Ok(()) };
        if record.offset > mark.offset {
            // Only a compacted topic loses single records.
            tracing::warn!(partition = %mark.partition, offset = mark.offset, "the record of the last commit is gone");
        } else if mark::print_of(record) != mark.print {
            return Err(mark);
        }
        Ok(())
    }

    pub(super) fn carries(&self, topic: &[u8], partition: i32) -> bool {
        let own = self.decoder.partition();
        own.partition == partition && own.topic.as_bytes() == topic
    }

    /// Whether records wait that came before `limit`.
    pub(super) fn is_older_than(&self, limit: Instant) -> bool {
        self.oldest.is_some_and(|oldest| oldest < limit)
    }

    /// How many records wait.
    pub(super) fn pending(&self) -> u64 {
        self.decoder.pending()
    }

    /// Whether the chunk in the making should get no more records than the `most`, or bytes.
    pub(super) fn is_full(&self, most_records: u64, most_bytes: usize) -> bool {
        self.decoder.pending() >= most_records
            || self.decoder.pending_bytes() >= most_bytes
            || self.span.is_some_and(|(first, last)| last.since(first) > WIDEST)
    }

    pub(super) fn take(&mut self, record: &Record<'_>) {
        self.decoder.push(record);
        if self.oldest.is_none() {
            self.oldest = Some(Instant::now());
        }
        if let Some(at) = record.timestamp {
            self.span = Some((self.span.map_or(at, |(first, _)| first), at));
        }
    }

    /// Keeps what the mark of `record`, which was taken last, is made of. It has to be told before the record is given
    /// back and before the chunk is finished: not of every record, for the whole of it is copied.
    pub(super) fn remember(&mut self, record: &Record<'_>) {
        self.last.0 = record.offset;
        mark::write_bytes(record, &mut self.last.1);
    }

    /// The chunk in the making, with a mark of its last record.
    pub(super) fn finish(&mut self) -> Option<(Chunk, Mark)> {
        (self.oldest, self.span) = (None, None);
        let chunk = self.decoder.finish()?;
        let (offset, bytes) = &self.last;
        let mark = Mark { partition: chunk.partition.clone(), offset: *offset, print: mark::print(bytes) };
        Some((chunk, mark))
    }

    /// Takes in what the broker says of the end. Whether there is reason to doubt that the records we have read are the
    /// broker's still: the end stands before our position. It may only be an old figure, and the broker has to be asked.
    pub(super) fn observe(&mut self, figures: PartitionFigures) -> bool {
        let (position, end) = (self.next_offset(), figures.hi_offset);
        if end < 0 {
            return false;
        }
        if end < position {
            return self.beyond_end.replace(position) == Some(position);
        }
        self.beyond_end = None;
        self.end = end;
        // Control records at the end are never handed out: where a fetch has met the end, and nothing has
        // come of it since the last statistics, nothing stands in between.
        let met = (figures.eof_offset >= end).then_some((end, position));
        if met.is_some() && met == self.met_end {
            self.quiet = Some((position, end));
        }
        self.met_end = met;
        false
    }

    /// The offset of the end, where it is reached.
    fn reached(&self) -> Option<i64> {
        let position = self.next_offset();
        if self.oldest.is_some() {
            None
        } else if position >= self.end {
            Some(position)
        } else {
            self.quiet.filter(|quiet| *quiet == (position, self.end)).map(|(_, end)| end)
        }
    }

    /// Whether nothing was read since the last call, and that is not known to be because of control records.
    pub(super) fn stands_still(&mut self) -> bool {
        let position = self.next_offset();
        self.stood_at.replace(position) == Some(position)
            && self.quiet.is_none_or(|quiet| quiet.0 != position)
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            partition: self.partition().clone(),
            position: self.next_offset(),
            end: self.end.max(self.next_offset()),
            at_end: self.reached().is_some(),
        }
    }

    /// That the end was reached, once for each end.
    pub(super) fn tell_end(&mut self) -> Option<Event> {
        let offset = self.reached()?;
        if self.told_end.replace(offset) == Some(offset) {
            return None;
        }
        Some(Event::AtEnd { partition: self.partition().clone(), offset })
    }
}
