//! Rows that came so late that they change nothing but what was given long ago. To give that anew a query looks at all that
//! lies about them, at a high rate again at all that may still be corrected. So they wait for one another: until the group has
//! looked at twice as much for all else as the last ones took, or nothing else is due. What was given is then corrected a
//! little later, at no more than half as much again.
//!
//! What is corrected at once lies within a stretch of time: a run over all that may still be corrected would keep everybody
//! else waiting for many seconds.
//!
//! They wait outside of the queries, as if they had not come yet. A checkpoint names them, and they wait again after a
//! restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use hexwatch_contract::{EventTime, Partition, Position, Topic};

use super::loan::Tray;
use crate::rows::micros;

/// They wait for so long at least,
const WAIT: Duration = Duration::from_secs(1);
/// and where nothing else is due, so that none wait for ever.
const LONG_WAIT: Duration = Duration::from_secs(5);
/// More than this do not wait: a checkpoint names each.
const MOST: usize = 8_192;
/// So many times what the last ones took is looked at for all else before the next ones are taken.
const SHARE: u64 = 2;
/// A stretch is so many times as wide as rows about a late one matter: of what a run looks at, a third lies about it.
const WIDTH: i64 = 4;

/// Rows of one stretch of time.
#[derive(Default)]
struct Stretch {
    tray: Tray,
    /// The time of the earliest, in microseconds.
    earliest: Option<i64>,
}

/// The late rows of a group.
pub(super) struct Corrections {
    /// How far behind what was given rows lie, in microseconds; `None` where the group needs each as it comes.
    distance: Option<i64>,
    /// By the number of their stretch.
    waiting: BTreeMap<i64, Stretch>,
    /// Since when they have waited.
    since: Option<EventTime>,
    are_due: bool,
    /// Whether the last run was one of corrections: many late rows must not keep all else waiting.
    have_had_turn: bool,
    /// How many rows were looked at for the last ones, and since then for all else.
    price: u64,
    afforded: u64,
    /// Those that waited when a checkpoint was taken, and were not read again yet.
    awaited: BTreeSet<Position>,
}

impl Corrections {
    /// For a group whose rows come late at such a `distance` behind what was given, in microseconds.
    pub(super) fn new(distance: Option<i64>) -> Self {
        Self {
            distance,
            waiting: BTreeMap::new(),
            since: None,
            are_due: false,
            have_had_turn: false,
            price: 0,
            afforded: 0,
            awaited: BTreeSet::new(),
        }
    }

    /// Takes what of `records` comes late for a group that has given up to `given`; returns the others, if any.
    pub(super) fn sort_out(
        &mut self,
        topic: Topic,
        records: &RecordBatch,
        given: EventTime,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let Some(distance) = self.distance else { return Ok(Some(records.clone())) };
        let from = given.micros().saturating_sub(distance);
        let times = times_of(records)?;
        if times.values().iter().all(|time| *time >= from) {
            return Ok(Some(records.clone()));
        }
        self.keep(topic, records, &times.values().iter().map(|time| Some(*time < from)).collect())
    }

    /// Takes what of `records`, which are read again after a restart, waited before it; returns the others, if any.
    pub(super) fn take_again(
        &mut self,
        topic: Topic,
        records: &RecordBatch,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        if self.awaited.is_empty() {
            return Ok(Some(records.clone()));
        }
        let awaited = &mut self.awaited;
        let late = positions(records).map(|position| Some(awaited.remove(&position))).collect();
        self.keep(topic, records, &late)
    }

    fn keep(
        &mut self,
        topic: Topic,
        records: &RecordBatch,
        are_late: &BooleanArray,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        if are_late.true_count() > 0 {
            self.lay_by(topic, &filter_record_batch(records, are_late)?)?;
        }
        let others = filter_record_batch(records, &not(are_late)?)?;
        Ok(Some(others).filter(|others| others.num_rows() > 0))
    }

    /// Lays rows by that came late, each with those of its stretch.
    fn lay_by(&mut self, topic: Topic, late: &RecordBatch) -> Result<(), ArrowError> {
        let times = times_of(late)?;
        let width = self.distance.unwrap_or(1).saturating_mul(WIDTH).max(1);
        let numbers: Vec<i64> = times.values().iter().map(|time| time.div_euclid(width)).collect();
        for number in numbers.iter().copied().collect::<BTreeSet<_>>() {
            let own: BooleanArray = numbers.iter().map(|other| Some(*other == number)).collect();
            let stretch = self.waiting.entry(number).or_default();
            let earliest = times.values().iter().zip(&numbers).filter(|(_, other)| **other == number);
            let earliest = earliest.map(|(time, _)| *time).min();
            stretch.earliest = stretch.earliest.into_iter().chain(earliest).min();
            stretch.tray.push(topic, &filter_record_batch(late, &own)?);
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The time of the earliest that waits: what it needs must be kept.
    pub(super) fn earliest(&self) -> Option<EventTime> {
        let first = self.waiting.values().next()?;
        first.earliest.map(EventTime::from_micros)
    }

    /// Decides at `now` whether they are due, where `nothing_else` of the group is.
    pub(super) fn weigh(&mut self, now: EventTime, nothing_else: bool) -> bool {
        if self.is_empty() {
            return false;
        }
        let waited = now.since(*self.since.get_or_insert(now));
        let are_worth_it = self.rows() > MOST
            || (waited >= WAIT && self.afforded >= self.price.saturating_mul(SHARE))
            || (waited >= LONG_WAIT && nothing_else);
        self.are_due = are_worth_it && (nothing_else || !self.have_had_turn);
        self.are_due
    }

    /// Whether they were found to be due.
    pub(super) fn are_due(&self) -> bool {
        self.are_due
    }

    /// Takes all of them.
    pub(super) fn take(&mut self) -> Tray {
        let mut all = Tray::default();
        while !self.is_empty() {
            all.append(self.take_stretch());
        }
        all
    }

    /// Takes those of the earliest stretch. The others wait on, as long as they do.
    pub(super) fn take_stretch(&mut self) -> Tray {
        let first = self.waiting.pop_first().map(|(_, stretch)| stretch.tray);
        self.are_due = false;
        self.since = self.since.filter(|_| !self.is_empty());
        first.unwrap_or_default()
    }

    /// Notes that a run has looked at so many rows, for corrections or for all else.
    pub(super) fn note(&mut self, looked_at: u64, corrects: bool) {
        self.have_had_turn = corrects;
        if corrects {
            (self.price, self.afforded) = (looked_at, 0);
        } else {
            self.afforded = self.afforded.saturating_add(looked_at);
        }
    }

    /// Where those stand that wait.
    pub(super) fn positions(&self) -> Vec<Position> {
        let waiting = self.waiting.values().flat_map(|stretch| &stretch.tray.batches);
        let waiting = waiting.flat_map(|(_, records)| positions(records));
        waiting.chain(self.awaited.iter().cloned()).collect()
    }

    /// How many wait.
    pub(super) fn rows(&self) -> usize {
        self.waiting.values().map(|stretch| stretch.tray.rows).sum()
    }

    /// Takes up where those at `awaited` waited.
    pub(super) fn restore(&mut self, awaited: BTreeSet<Position>) {
        self.awaited = awaited;
    }

    /// Notes that all has been read again that could be: what is missing was deleted.
    pub(super) fn have_been_read(&mut self) {
        self.awaited.clear();
    }
}

/// When the records of event tables happened.
fn times_of(records: &RecordBatch) -> Result<TimestampMicrosecondArray, ArrowError> {
    let times = records.column_by_name("time");
    micros(times.ok_or_else(|| ArrowError::SchemaError("records of events have no `time`".to_owned()))?)
}

/// Where the records stand that rows came from.
fn positions(records: &RecordBatch) -> impl Iterator<Item = Position> {
    let column = |name| records.column_by_name(name).map(Arc::clone);
    let (topics, partitions, offsets) = (column("topic"), column("partition"), column("offset"));
    (0..records.num_rows()).filter_map(move |row| {
        let topic = topics.as_ref()?.as_string::<i32>().value(row);
        let partition = partitions.as_ref()?.as_primitive::<Int32Type>().value(row);
        let offset = offsets.as_ref()?.as_primitive::<Int64Type>().value(row);
        Some(Position { partition: Partition::new(topic, partition), offset })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure")]

    use arrow::array::{Int64Array, StringArray};
    use hexwatch_contract::event::time_type;

    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(seconds * 1_000)
    }

    fn rows(seconds: &[i64]) -> RecordBatch {
        let times =
            TimestampMicrosecondArray::from_iter_values(seconds.iter().map(|second| at(*second).micros()));
        let times = arrow::compute::cast(&times, &time_type()).unwrap();
        let count = seconds.len();
        let partitions = arrow::array::Int32Array::from(vec![3; count]);
        RecordBatch::try_from_iter([
            ("time", times),
            ("topic", Arc::new(StringArray::from(vec!["iot"; count])) as _),
            ("partition", Arc::new(partitions) as _),
            ("offset", Arc::new(Int64Array::from(seconds.to_vec())) as _),
        ])
        .unwrap()
    }

    /// For a group that has given 1,000 s and looks back 100 s.
    fn sorted(corrections: &mut Corrections, seconds: &[i64]) -> usize {
        let others = corrections.sort_out(Topic::Iot, &rows(seconds), at(1_000)).unwrap();
        others.map_or(0, |others| others.num_rows())
    }

    fn corrections() -> Corrections {
        Corrections::new(Some(100_000_000))
    }

    #[test]
    fn only_rows_out_of_reach_of_what_is_still_to_be_given_wait() {
        let mut corrections = corrections();
        assert_eq!(sorted(&mut corrections, &[900, 1_100, 999]), 3);
        assert!(corrections.is_empty());
        assert_eq!(sorted(&mut corrections, &[899, 950, 700]), 1);
        assert_eq!(corrections.earliest(), Some(at(700)));
        let mut each = Corrections::new(None);
        assert_eq!(sorted(&mut each, &[1]), 1);
        assert_eq!(corrections.take().rows, 2);
        assert_eq!((corrections.is_empty(), corrections.earliest()), (true, None));
    }

    #[test]
    fn they_wait_until_twice_as_much_was_looked_at_as_the_last_ones_took_or_nothing_else_is_due() {
        let mut corrections = corrections();
        sorted(&mut corrections, &[700]);
        assert!(!corrections.weigh(at(0), true) && !corrections.are_due());
        assert!(corrections.weigh(at(1), false), "nothing is known of the price");
        corrections.take();
        corrections.note(50_000, true);
        sorted(&mut corrections, &[700]);
        corrections.note(90_000, false);
        assert!(!corrections.weigh(at(10), false) && !corrections.weigh(at(14), true));
        assert!(corrections.weigh(at(15), true) && !corrections.weigh(at(15), false));
        corrections.note(10_000, false);
        assert!(corrections.weigh(at(15), false));
    }

    #[test]
    fn too_many_do_not_wait() {
        let mut corrections = corrections();
        sorted(&mut corrections, &vec![700; MOST]);
        assert!(!corrections.weigh(at(0), false));
        sorted(&mut corrections, &[700]);
        assert!(corrections.weigh(at(0), false));
        corrections.note(0, true);
        assert!(!corrections.weigh(at(0), false), "all else has its turn first");
        corrections.note(0, false);
        assert!(corrections.weigh(at(0), false));
    }

    #[test]
    fn those_of_one_stretch_of_time_are_taken_at_once_and_the_others_wait_on() {
        // Stretches of 400 s.
        let mut corrections = corrections();
        sorted(&mut corrections, &[810, 30, 799, 20, 410]);
        assert!(corrections.weigh(at(2_000), false) || corrections.weigh(at(2_001), false));
        for (seconds, left, earliest) in [([20, 30], 3, Some(at(410))), ([410, 799], 1, Some(at(810)))] {
            let taken = corrections.take_stretch();
            let rows = taken.batches.iter().map(|(_, records)| records.num_rows()).sum::<usize>();
            assert_eq!((rows, taken.rows), (seconds.len(), seconds.len()));
            assert_eq!((corrections.rows(), corrections.earliest()), (left, earliest));
            assert!(!corrections.are_due(), "whether the others are is to be weighed");
        }
        assert!(corrections.weigh(at(2_010), true), "they have waited since the first came");
        assert_eq!(corrections.take().rows, 1);
        assert!(corrections.is_empty() && !corrections.weigh(at(2_020), true));
    }

    #[test]
    fn after_a_restart_those_wait_again_that_waited() {
        let mut corrections = corrections();
        sorted(&mut corrections, &[500, 600, 990]);
        let mut restored = self::corrections();
        restored.restore(corrections.positions().into_iter().collect());
        assert_eq!(
            restored.positions(),
            corrections.positions(),
            "they are not forgotten before they are read"
        );
        let others = restored.take_again(Topic::Iot, &rows(&[400, 500, 990])).unwrap().unwrap();
        assert_eq!((others.num_rows(), restored.rows(), restored.awaited.len()), (2, 1, 1));
        restored.take_again(Topic::Iot, &rows(&[600])).unwrap();
        assert_eq!(restored.positions(), corrections.positions());
    }
}
