//! Admission: which rows of a chunk count, once, and which come too late.

use std::time::Duration;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use hexwatch_contract::{Account, Chunk, EventBatch, EventTime};

use crate::error::StreamError;
use crate::seen::{Seen, Tag};

/// What becomes of a row, by its own partition's watermark alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Not behind the watermark.
    OnTime,
    /// Behind it within the correction horizon: corrects what was emitted.
    Late,
    /// Further behind: kept in `late_events`.
    TooLate,
}

/// Decides on a row of `time`.
#[must_use]
pub fn admit(time: EventTime, watermark: EventTime, correction_horizon: Duration) -> Admission {
    if time >= watermark {
        Admission::OnTime
    } else if time >= watermark - correction_horizon {
        Admission::Late
    } else {
        Admission::TooLate
    }
}

/// So many rows are looked for at once.
const LOOKED_AHEAD: usize = 128;

/// A chunk after admission.
pub(crate) struct Admitted {
    /// Rows that count; `None` where there are none.
    pub(crate) rows: Option<EventBatch>,
    /// Rows too late; `None` where there are none.
    pub(crate) too_late: Option<EventBatch>,
    /// What the chunk adds to the topic's account.
    pub(crate) account: Account,
    /// The partition's watermark after the chunk.
    pub(crate) watermark: EventTime,
    /// Whether a row of a good clock was among them: a sign that the partition is not idle.
    pub(crate) heard: bool,
    /// The latest event time in the chunk, admitted or not.
    pub(crate) latest: EventTime,
}

/// Sorts the rows of `chunk`, whose partition stands at `watermark`, in offset order. Lateness comes
/// before duplicates: what is too late is late even if it was seen before, so that a restart that has
/// forgotten it decides the same.
pub(crate) fn sort(
    chunk: Chunk,
    mut watermark: EventTime,
    lateness: Duration,
    correction_horizon: Duration,
    seen: &mut Seen,
) -> Result<Admitted, StreamError> {
    let records = &chunk.events.records;
    let times = column::<TimestampMicrosecondType>(records, &chunk, "time")?;
    let suspects = suspects(records, &chunk)?;
    let rows = records.num_rows();
    let (mut kept, mut late) = (Mask::new(rows), Mask::new(rows));
    let mut account =
        Account { read: chunk.read, dead_letter: chunk.dead_letters.len() as u64, ..Account::default() };
    let (mut heard, mut latest) = (false, EventTime::MIN);
    let tag = Tag::of(&chunk.partition);
    for (row, &micros) in times.iter().enumerate() {
        let time = EventTime::from_micros(micros);
        latest = latest.max(time);
        if row.is_multiple_of(LOOKED_AHEAD) {
            let next = &chunk.events.identities[row..];
            seen.look_ahead(&next[..next.len().min(LOOKED_AHEAD)], tag);
        }
        if admit(time, watermark, correction_horizon) == Admission::TooLate {
            account.late += 1;
            late.set(row);
        } else if seen.insert(chunk.events.identities[row], time, tag) {
            account.accepted += 1;
            kept.set(row);
        } else {
            account.duplicate += 1;
        }
        if !suspects(row) {
            heard = true;
            watermark = watermark.max(time - lateness);
        }
    }
    if !account.balances() {
        return Err(StreamError::Unbalanced {
            partition: chunk.partition,
            first_offset: chunk.first_offset,
            account,
        });
    }
    Ok(Admitted {
        rows: kept.apply(&chunk.events)?,
        too_late: late.apply(&chunk.events)?,
        account,
        watermark,
        heard,
        latest,
    })
}

fn missing(chunk: &Chunk, column: &'static str) -> StreamError {
    StreamError::Column { partition: chunk.partition.clone(), first_offset: chunk.first_offset, column }
}

fn column<'batch, T: arrow::datatypes::ArrowPrimitiveType>(
    records: &'batch RecordBatch,
    chunk: &Chunk,
    name: &'static str,
) -> Result<&'batch [T::Native], StreamError> {
    let array = records.column_by_name(name).and_then(|array| array.as_primitive_opt::<T>());
    array.map(|array| array.values().as_ref()).ok_or_else(|| missing(chunk, name))
}

fn suspects<'batch>(
    records: &'batch RecordBatch,
    chunk: &Chunk,
) -> Result<impl Fn(usize) -> bool + use<'batch>, StreamError> {
    let quality = records.column_by_name("time_quality").and_then(|array| array.as_string_opt::<i32>());
    let quality = quality.ok_or_else(|| missing(chunk, "time_quality"))?;
    Ok(move |row| quality.value(row) == "suspect")
}

/// Which rows of a batch are wanted.
struct Mask {
    wanted: Vec<bool>,
    count: usize,
}

impl Mask {
    fn new(rows: usize) -> Self {
        Self { wanted: vec![false; rows], count: 0 }
    }

    fn set(&mut self, row: usize) {
        self.wanted[row] = true;
        self.count += 1;
    }

    /// The wanted rows; the batch itself, uncopied, where all are.
    fn apply(self, events: &EventBatch) -> Result<Option<EventBatch>, StreamError> {
        if self.count == 0 {
            return Ok(None);
        }
        if self.count == self.wanted.len() {
            return Ok(Some(events.clone()));
        }
        let identities = events.identities.iter().zip(&self.wanted).filter(|(_, wanted)| **wanted);
        let identities = identities.map(|(identity, _)| *identity).collect();
        let records = filter_record_batch(&events.records, &BooleanArray::from(self.wanted))?;
        Ok(Some(EventBatch { topic: events.topic, records, identities }))
    }
}

/// Splits `chunk` at `offset`: what lies before it, and the rest.
pub(crate) fn split(chunk: Chunk, offset: i64) -> Result<(Chunk, Chunk), StreamError> {
    let offsets = column::<arrow::datatypes::Int64Type>(&chunk.events.records, &chunk, "offset")?;
    let cut = offsets.partition_point(|at| *at < offset);
    let (rows, read) = (chunk.events.records.num_rows(), chunk.read);
    let (earlier, later): (Vec<_>, Vec<_>) =
        chunk.dead_letters.into_iter().partition(|letter| letter.position.offset < offset);
    let part = |first_offset, next_offset, from: usize, length: usize, dead_letters: Vec<_>| Chunk {
        partition: chunk.partition.clone(),
        first_offset,
        next_offset,
        read: (length + dead_letters.len()) as u64,
        latest_kafka_time: chunk.latest_kafka_time,
        events: EventBatch {
            topic: chunk.events.topic,
            records: chunk.events.records.slice(from, length),
            identities: chunk.events.identities[from..from + length].to_vec(),
        },
        dead_letters,
    };
    let before = part(chunk.first_offset, offset, 0, cut, earlier);
    let after = part(offset, chunk.next_offset, cut, rows - cut, later);
    debug_assert_eq!(before.read + after.read, read);
    Ok((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(seconds * 1000)
    }

    #[test]
    fn a_row_is_late_behind_the_watermark_and_too_late_behind_the_horizon() {
        let horizon = Duration::from_mins(10);
        assert_eq!(admit(at(1_000), at(1_000), horizon), Admission::OnTime);
        assert_eq!(admit(at(999), at(1_000), horizon), Admission::Late);
        assert_eq!(admit(at(400), at(1_000), horizon), Admission::Late);
        assert_eq!(admit(at(399), at(1_000), horizon), Admission::TooLate);
        assert_eq!(admit(at(399), EventTime::MIN, horizon), Admission::OnTime);
    }
}
