//! One law a test.

use std::collections::BTreeMap;
use std::time::Duration;

use hexwatch_contract::Topic;
use hexwatch_contract::site::Places;

use super::path::{Outcome, Way, all_files, some_files, travel};
use super::seeds::{self, Dice};
use super::world::{DEVICES, Record, Site, happenings};

const PLAIN: Way = Way { disorder_ms: 0, chunk: 10, backlog: false, lends: false };
const COUNT: usize = 120;

fn any_way(dice: &mut Dice) -> Way {
    Way {
        // Together with the way to the broker and the wait for a chunk below the lateness of 10 s.
        disorder_ms: dice.below(8_500),
        chunk: [1, 5, 30, 500][dice.below(4)],
        backlog: dice.one_in(3),
        lends: dice.one_in(3),
    }
}

fn assert_same(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>, what: &str) {
    for key in found.keys().chain(expected.keys()) {
        assert_eq!(found.get(key), expected.get(key), "{what}: {key}");
    }
}

#[test]
fn any_shuffle_within_the_lateness_and_any_batching_give_the_same_windows_and_alarms() {
    let files = all_files();
    seeds::run(30, |seed| {
        let mut dice = Dice::new(seed);
        let records = happenings(&mut dice, COUNT);
        let site = if dice.one_in(2) { Site::Apart } else { Site::Together };
        let plain = travel(&files, site, &records, PLAIN, &mut dice);
        assert!(plain.rows.len() > 12 && plain.alarms.len() > 2, "seed {seed} says nothing");
        let way = any_way(&mut dice);
        let other = travel(&files, site, &records, way, &mut dice);
        assert_eq!(other.account, plain.account);
        assert_same(&other.rows, &plain.rows, "rows");
        assert_same(&other.alarms, &plain.alarms, "alarms");
    });
}

#[test]
fn what_comes_late_corrects_alarms_until_they_are_as_if_it_had_come_in_time() {
    let files = all_files();
    let told = std::sync::atomic::AtomicUsize::new(0);
    seeds::run(20, |seed| {
        let mut dice = Dice::new(seed);
        let records = happenings(&mut dice, COUNT);
        let plain = travel(&files, Site::Together, &records, PLAIN, &mut dice);
        let late = Way { disorder_ms: 100_000, ..any_way(&mut dice) };
        let other = travel(&files, Site::Together, &records, late, &mut dice);
        assert_eq!(other.account, plain.account);
        assert_same(&other.rows, &plain.rows, "rows");
        assert_same(&other.alarms, &plain.alarms, "alarms");
        told.fetch_add(other.changes.saturating_sub(plain.changes), std::sync::atomic::Ordering::Relaxed);
    });
    assert!(told.into_inner() > 20, "next to nothing was corrected: the test says nothing");
}

/// What does not speak of `device`, nor of its cell.
fn of_others(rows: &BTreeMap<String, String>, device: usize) -> BTreeMap<String, String> {
    let name = format!("\"{}\"", DEVICES[device].0);
    let cell = Site::Apart.of_device(DEVICES[device].0).unwrap().cell.to_i64();
    // The heat view speaks of the cell above; its index differs from the cell's in digits that are the same for all.
    let above = parent(cell).to_string();
    let others = rows.iter().filter(|(_, row)| !row.contains(&name) && !row.contains(&above));
    others.map(|(key, row)| (key.clone(), row.clone())).collect()
}

/// The cell at resolution 11 above one at 12.
fn parent(cell: i64) -> i64 {
    (cell & !(0xf << 52)) | (11 << 52) | (0b111 << 9)
}

fn changes_nobody_else(plain: &Outcome, with: &Outcome, device: usize, wrong: u64) {
    assert_eq!(with.account, plain.account, "each record counts, once, and none is late");
    assert_eq!(
        (plain.suspect, with.suspect),
        (0, wrong),
        "those that cannot be believed are kept and marked"
    );
    let (found, expected) = (of_others(&with.rows, device), of_others(&plain.rows, device));
    assert!(
        expected.len() > 20 && expected.len() < plain.rows.len(),
        "{} of {} rows are others'",
        expected.len(),
        plain.rows.len()
    );
    assert_same(&found, &expected, "rows");
    assert_same(&of_others(&with.alarms, device), &of_others(&plain.alarms, device), "alarms");
}

#[test]
fn one_event_dated_a_year_ahead_is_kept_as_suspect_and_changes_no_other_row() {
    let files = some_files();
    seeds::run(30, |seed| {
        let mut dice = Dice::new(seed);
        let records = happenings(&mut dice, COUNT);
        let plain = travel(&files, Site::Apart, &records, PLAIN, &mut dice);
        let mut with = records.clone();
        let place = dice.below(with.len());
        let record = &mut with[place];
        let year = Duration::from_hours(365 * 24);
        record.said = if dice.one_in(4) { record.said - year } else { record.said + year };
        let device = record.device;
        let way = any_way(&mut dice);
        changes_nobody_else(&plain, &travel(&files, Site::Apart, &with, way, &mut dice), device, 1);
    });
}

#[test]
fn a_device_with_a_wrong_clock_changes_no_other_row() {
    const WRONG_BY_S: [i64; 6] = [-31_536_000, -3_600, -125, 10, 600, 31_536_000];
    let files = some_files();
    seeds::run(30, |seed| {
        let mut dice = Dice::new(seed);
        let records = happenings(&mut dice, COUNT);
        let plain = travel(&files, Site::Apart, &records, PLAIN, &mut dice);
        let (device, by) = (dice.below(DEVICES.len()), WRONG_BY_S[dice.below(WRONG_BY_S.len())]);
        let mut with = records.clone();
        let mut wrong = 0;
        for record in with.iter_mut().filter(|record| record.device == device) {
            record.said = off(record, by);
            wrong += 1;
        }
        let way = any_way(&mut dice);
        changes_nobody_else(&plain, &travel(&files, Site::Apart, &with, way, &mut dice), device, wrong);
    });
}

fn off(record: &Record, by_seconds: i64) -> hexwatch_contract::EventTime {
    let by = Duration::from_secs(by_seconds.unsigned_abs());
    if by_seconds < 0 { record.said - by } else { record.said + by }
}

#[test]
fn a_press_by_a_button_with_a_wrong_clock_is_an_alarm_all_the_same() {
    let files = some_files();
    seeds::run(8, |seed| {
        let mut dice = Dice::new(seed);
        let mut records = happenings(&mut dice, COUNT);
        let presses =
            |outcome: &Outcome| outcome.alarms.values().filter(|alarm| alarm.contains("\"R10\"")).count();
        let before = presses(&travel(&files, Site::Apart, &records, PLAIN, &mut dice));
        for record in records.iter_mut().filter(|record| record.topic() == Topic::Panic) {
            record.said = record.said + Duration::from_hours(365 * 24);
        }
        assert!(before > 0, "nobody pressed");
        assert_eq!(presses(&travel(&files, Site::Apart, &records, PLAIN, &mut dice)), before);
    });
}
