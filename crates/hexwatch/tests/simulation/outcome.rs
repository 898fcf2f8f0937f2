//! What is left in the end, and whether it is what one straight run leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{Alarm, AlarmId, Priority, State};

use super::chance::Stop;
use super::disk::Disk;
use super::outlets::{Key, Outlets, view_rows};
use super::queries::VIEWS;

/// The tables of records.
const POSITIONAL: [&str; 4] = ["iot", "panic", "dead_letters", "late_events"];
/// The note of an alarm that a late record has taken back.
const WITHDRAWN: &str = "withdrawn";

type Position = (String, i32, i64);

/// What an alarm says in the end, but for what people have done: its rule and key, inputs and measurements.
type Said = (String, EventTime, Priority, Standing);

/// Where an alarm stands, but for what people have done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Active,
    Ended,
    Suppressed,
}

/// What does not depend on when and in which pieces the records were read.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    rows: BTreeMap<&'static str, BTreeSet<Position>>,
    /// Each view's last row for each key, from its table or its topic.
    views: BTreeMap<Key, i64>,
    alarms: BTreeMap<AlarmId, Said>,
}

impl Outcome {
    /// Reads everything, and checks what must hold whatever happened.
    pub(crate) fn of(disk: &Disk, outlets: &Outlets) -> Result<Self, Stop> {
        let mut rows = BTreeMap::new();
        for table in POSITIONAL {
            rows.insert(table, positions(table, &read(disk, table)?)?);
        }
        let mut views = outlets.views.clone();
        for view in VIEWS {
            views.extend(last_rows(view, &read(disk, &format!("view_{view}"))?)?);
        }
        let log: Vec<&Alarm> = disk.changes().collect();
        check_log(&log, &read(disk, "alarm_changes")?, outlets)?;
        Ok(Self { rows, views, alarms: standing(&log) })
    }

    /// The first difference, told so that a person can see it.
    pub(crate) fn compare(&self, straight: &Self) -> Result<(), Stop> {
        for (table, rows) in &straight.rows {
            let (lost, extra): (Vec<_>, Vec<_>) =
                (rows.difference(&self.rows[table]).collect(), self.rows[table].difference(rows).collect());
            if !lost.is_empty() || !extra.is_empty() {
                return Stop::violation(format!("{table} lacks {lost:?}, and has {extra:?} too much"));
            }
        }
        same("view row", &self.views, &straight.views)?;
        same("alarm", &self.alarms, &straight.alarms)
    }
}

fn same<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    given: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
) -> Result<(), Stop> {
    let keys: BTreeSet<&K> = given.keys().chain(wanted.keys()).collect();
    match keys.into_iter().find(|key| given.get(key) != wanted.get(key)) {
        Some(key) => Stop::violation(format!(
            "{what} {key:?} is {:?}, in a straight run {:?}",
            given.get(key),
            wanted.get(key)
        )),
        None => Ok(()),
    }
}

fn read(disk: &Disk, table: &str) -> Result<Vec<RecordBatch>, Stop> {
    disk.rows(table).or_else(|file| Stop::violation(format!("{table} names file {file}, which is gone")))
}

fn positions(table: &str, batches: &[RecordBatch]) -> Result<BTreeSet<Position>, Stop> {
    let mut found = BTreeSet::new();
    for batch in batches {
        let topics = batch["topic"].as_string::<i32>();
        let partitions = batch["partition"].as_primitive::<Int32Type>();
        let offsets = batch["offset"].as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let position = (topics.value(row).to_owned(), partitions.value(row), offsets.value(row));
            if !found.insert(position.clone()) {
                return Stop::violation(format!("{table} has {position:?} twice"));
            }
        }
    }
    Ok(found)
}

/// The last of each key's rows, by their order, where it was not withdrawn. A row comes again only where it has changed.
fn last_rows(view: &str, batches: &[RecordBatch]) -> Result<BTreeMap<Key, i64>, Stop> {
    let (view, mut rows) = (Arc::from(view), Vec::new());
    for batch in batches {
        let order = batch["_order"].as_primitive::<Int64Type>();
        let gone = batch["_withdrawn"].as_boolean();
        let ordered = order.values().iter().zip(gone.values());
        rows.extend(
            view_rows(&view, batch).into_iter().zip(ordered).map(|(row, (order, gone))| (*order, row, gone)),
        );
    }
    rows.sort_unstable();
    let mut last = BTreeMap::new();
    for (_, (key, events), is_gone) in rows {
        let before = if is_gone { last.remove(&key) } else { last.insert(key.clone(), events) };
        if (is_gone && before.is_none()) || (!is_gone && before == Some(events)) {
            return Stop::violation(format!("view row {key:?} is said twice"));
        }
    }
    Ok(last)
}

/// The numbers have no gap, and everybody has the same changes.
fn check_log(log: &[&Alarm], copied: &[RecordBatch], outlets: &Outlets) -> Result<(), Stop> {
    if let Some((expected, change)) = (1..).zip(log).find(|(expected, change)| *expected != change.seq) {
        return Stop::violation(format!("change {} follows where {expected} is due", change.seq));
    }
    let mut seqs: Vec<i64> =
        copied.iter().flat_map(|batch| batch["seq"].as_primitive::<Int64Type>().values().to_vec()).collect();
    seqs.sort_unstable();
    if !seqs.iter().copied().eq((1..).take(log.len())) {
        return Stop::violation(format!("alarm_changes has {seqs:?} of {} changes", log.len()));
    }
    match log.iter().find(|change| outlets.alarms.get(&change.seq) != Some(change)) {
        Some(change) => Stop::violation(format!("the topic of alarms lacks change {}", change.seq)),
        None => Ok(()),
    }
}

/// How each alarm stands that the records give rise to. One that was raised on what a late record then took back is none
/// of them: whether somebody had looked before that record came is chance.
fn standing(log: &[&Alarm]) -> BTreeMap<AlarmId, Said> {
    let last: BTreeMap<&AlarmId, &&Alarm> = log.iter().map(|change| (&change.alarm_id, change)).collect();
    let stands = |alarm: &Alarm| match alarm.state {
        // What somebody has is not put out of sight.
        _ if alarm.measured.contains_key("suppressed_by") => Standing::Suppressed,
        State::Unack | State::Acked => Standing::Active,
        _ => Standing::Ended,
    };
    let holds = last.into_iter().filter(|(_, alarm)| alarm.note.as_deref() != Some(WITHDRAWN));
    holds
        .map(|(id, alarm)| {
            let inputs = alarm.inputs.iter().map(|input| format!("{input:?}")).collect::<Vec<_>>().join(", ");
            let what = format!("{} {} {inputs} {:?}", alarm.rule, alarm.key, alarm.measured);
            (id.clone(), (what, alarm.raised_at, alarm.priority, stands(alarm)))
        })
        .collect()
}
