//! Live = batch over history: exactly the same rows.

use std::time::Duration;

use hexwatch_stream::Input;

use super::files::{self, QueryFile};
use super::world::{self, PLAIN, Reading, deliveries, happenings, over_history, read};

fn every_file() -> Vec<QueryFile> {
    let own = files::of_folder("views").into_iter().chain(files::of_folder("rules"));
    let files: Vec<_> = own.chain(files::of_the_documentation()).collect();
    assert!(files.len() > 8, "the repository's own queries are gone");
    files
}

fn readings() -> Vec<(Reading, bool)> {
    let disorder = Duration::from_secs(9);
    vec![
        (PLAIN, false),
        (Reading { seed: 1, disorder, duplicates: 10, chunk: 4, uneven: false }, true),
        (Reading { seed: 2, disorder, duplicates: 5, chunk: 30, uneven: false }, true),
        (Reading { seed: 3, disorder, duplicates: 5, chunk: 200, uneven: false }, false),
        (Reading { seed: 4, disorder, duplicates: 5, chunk: 40, uneven: true }, false),
    ]
}

/// Where two results differ, told so that a person can see it.
pub(crate) fn differences(
    live: &std::collections::BTreeMap<(String, String), String>,
    history: &std::collections::BTreeMap<(String, String), String>,
) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = live.keys().chain(history.keys()).collect();
    let differ = keys.into_iter().filter(|key| live.get(*key) != history.get(*key));
    differ
        .take(6)
        .map(|key| format!("{key:?}\n  live    {:?}\n  history {:?}", live.get(key), history.get(key)))
        .collect()
}

#[test]
fn every_query_gives_the_same_rows_live_as_over_history() {
    let files = every_file();
    let mut spoken = std::collections::BTreeSet::new();
    for (reading, live) in readings() {
        let records = happenings(reading.seed);
        let outcome = read(&files, &deliveries(&records, reading), live);
        assert!(outcome.accounts.balances());
        assert_eq!(outcome.accounts.accepted, records.len() as u64, "{reading:?}: every record counts once");
        assert_eq!(outcome.accounts.late, 0, "{reading:?}: nothing is late within the lateness");
        let history = over_history(&files, &outcome);
        let differences = differences(&outcome.results, &history);
        assert!(differences.is_empty(), "{reading:?}:\n{}", differences.join("\n"));
        spoken.extend(history.into_keys().map(|(query, _)| query));
    }
    for file in &files {
        let (name, spoken) = (file.name.clone(), &spoken);
        assert!(
            spoken.iter().any(|query| file.rule.is_some() || *query == name),
            "{name} gave no row: the test says nothing of it"
        );
    }
}

#[test]
fn the_order_and_the_batching_of_the_records_change_no_row() {
    let files: Vec<QueryFile> = files::of_folder("views");
    let records = happenings(7);
    let plain = read(&files, &deliveries(&records, PLAIN), false).results;
    for (reading, live) in readings() {
        let other = read(&files, &deliveries(&records, reading), live).results;
        let differences = differences(&other, &plain);
        assert!(differences.is_empty(), "{reading:?} against plain:\n{}", differences.join("\n"));
    }
}

#[test]
fn going_ahead_in_a_backlog_changes_no_row_and_holds_the_checkpoint_back() {
    let files = every_file();
    let (reading, live) = readings()[1];
    let records = happenings(reading.seed);
    let deliveries = deliveries(&records, reading);
    let mut engine = world::engine(&files);
    let mut outcome = world::Outcome::default();
    world::begin(&mut engine, live);
    let mut held_back = 0;
    for (number, delivery) in deliveries.iter().enumerate() {
        let (settles, input) = (number % 11 == 10, Input::Chunk(delivery.chunk.clone()));
        let effects =
            if settles { engine.step(delivery.now, input) } else { engine.step_ahead(delivery.now, input) };
        outcome.fold(effects.unwrap(), &files);
        // A chunk of which no row counts leaves nothing to wait for.
        let is_held_back = engine.checkpoint().is_none();
        assert!(!(settles && is_held_back), "everything was given, and a restart may know it");
        held_back += usize::from(is_held_back);
    }
    assert!(held_back > deliveries.len() / 2, "a restart must find what was not given yet");
    world::end(&mut engine, &deliveries, &files, &mut outcome);
    let differences = differences(&outcome.results, &over_history(&files, &outcome));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_row_behind_the_watermark_corrects_what_was_given() {
    let files = every_file();
    let reading =
        Reading { seed: 5, disorder: Duration::from_mins(2), duplicates: 6, chunk: 25, uneven: false };
    let records = happenings(5);
    let outcome = read(&files, &deliveries(&records, reading), true);
    assert_eq!(outcome.accounts.accepted, records.len() as u64, "two minutes late is within the horizon");
    let history = over_history(&files, &outcome);
    assert!(outcome.told > history.len(), "nothing was corrected: the test says nothing");
    let differences = differences(&outcome.results, &history);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_row_beyond_the_horizon_is_kept_as_late_and_changes_nothing() {
    let files = files::of_folder("views");
    let records = happenings(6);
    let mut late = deliveries(&records, PLAIN);
    let last = late.last().unwrap().clone();
    let straggler = world::Record::new(
        hexwatch_contract::Topic::Access,
        "door-1",
        world::after(1.0),
        "straggler",
        &serde_json::json!({"event": "door_open"}),
    );
    let door = late
        .iter()
        .rev()
        .find(|delivery| delivery.chunk.partition == world::partition_of(&straggler))
        .unwrap();
    let chunk = world::chunk(
        straggler.topic,
        straggler.partition,
        door.chunk.next_offset,
        std::slice::from_ref(&straggler),
    );
    let plain = read(&files, &late, true);
    late.push(world::Delivery { now: last.now, chunk });
    let with = read(&files, &late, true);
    assert_eq!(with.late, 1);
    assert_eq!(with.accounts.late, 1);
    assert!(with.accounts.balances());
    assert_eq!(with.results, plain.results);
}
