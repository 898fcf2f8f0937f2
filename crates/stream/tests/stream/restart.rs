//! Straight = restored in the middle.

use std::time::Duration;

use hexwatch_contract::{EventTime, Topic};
use hexwatch_stream::{Engine, Input, Resumption};
use serde_json::json;

use super::files;
use super::world::{
    Outcome, PLAIN, Reading, Record, again, begin, chunk, deliveries, end, engine, happenings, proceed, read,
};

#[test]
fn a_restart_anywhere_gives_the_same_rows_and_counts_no_record_twice() {
    let files: Vec<_> = files::of_folder("views").into_iter().chain(files::of_folder("rules")).collect();
    for seed in 0..2 {
        let disorder = Duration::from_secs(if seed % 2 == 0 { 9 } else { 60 });
        let reading = Reading { seed, disorder, duplicates: 6, chunk: 20, uneven: false };
        let records = happenings(seed);
        let deliveries = deliveries(&records, reading);
        let straight = read(&files, &deliveries, true);

        let cut = deliveries.len() * (usize::try_from(seed).unwrap() + 2) / 5;
        let mut outcome = Outcome::default();
        let mut before = engine(&files);
        begin(&mut before, true);
        proceed(&mut before, &deliveries[..cut], &files, &mut outcome);
        let checkpoint = before.checkpoint().unwrap();
        drop(before);
        let told = outcome.told;

        let text = serde_json::to_string(&checkpoint).unwrap();
        let checkpoint = serde_json::from_str(&text).unwrap();
        let rest = again(&deliveries, &checkpoint);
        let read_again = rest.len() - (deliveries.len() - cut);
        let mut resumed = engine(&files);
        resumed.restore(checkpoint);
        begin(&mut resumed, false);
        proceed(&mut resumed, &rest[..read_again], &files, &mut outcome);
        assert!(read_again > 0 && outcome.told == told, "what was told before is told again");
        assert!(!resumed.is_restoring(), "all that was read before has been read again");
        for (partition, _) in super::world::partitions() {
            let caught_up = hexwatch_stream::Input::AtEnd(partition);
            outcome.fold(resumed.step(rest[read_again].now, caught_up).unwrap(), &files);
        }
        proceed(&mut resumed, &rest[read_again..], &files, &mut outcome);
        end(&mut resumed, &deliveries, &files, &mut outcome);

        assert_eq!(outcome.accounts, straight.accounts, "seed {seed}");
        let differences = super::equality::differences(&outcome.results, &straight.results);
        assert!(differences.is_empty(), "seed {seed}, live is the restarted:\n{}", differences.join("\n"));
    }
}

/// An engine that has partitions to read again, and where one partition of presses takes up once it has been.
fn restoring(files: &[files::QueryFile]) -> (Engine, Resumption, EventTime) {
    let deliveries = deliveries(&happenings(3), Reading { chunk: 20, ..PLAIN });
    let deliveries = &deliveries[..deliveries.len() * 2 / 3];
    let mut before = engine(files);
    begin(&mut before, true);
    proceed(&mut before, deliveries, files, &mut Outcome::default());
    let checkpoint = before.checkpoint().unwrap();
    let is_pressed =
        |place: &&Resumption| place.topic == Topic::Panic && place.replay_from < place.next_offset;
    let place = checkpoint.partitions.iter().find(is_pressed).unwrap().clone();

    let mut resumed = engine(files);
    resumed.restore(checkpoint.clone());
    begin(&mut resumed, false);
    let again = again(deliveries, &checkpoint);
    let mine: Vec<_> = again.into_iter().filter(|one| one.chunk.partition == place.partition).collect();
    let mut outcome = Outcome::default();
    proceed(&mut resumed, &mine, files, &mut outcome);
    assert!(outcome.told == 0 && resumed.is_restoring(), "others have not been read again");
    (resumed, place, deliveries.last().unwrap().now)
}

fn presses(place: &Resumption, from: i64, count: i64, time: EventTime) -> Input {
    let number = place.partition.partition;
    let press = |number_of: i64| {
        let device = ["panic-0", "panic-1"]
            .into_iter()
            .find(|device| Record::new(Topic::Panic, device, time, "", &json!({})).partition == number);
        let id = format!("press-{number_of}");
        Record::new(Topic::Panic, device.unwrap(), time, &id, &json!({"kind": "panic"}))
    };
    let records: Vec<Record> = (from..from + count).map(press).collect();
    Input::Chunk(chunk(Topic::Panic, number, place.next_offset + from, &records))
}

#[test]
fn a_press_is_told_while_the_rest_is_still_read_again_and_is_the_same_afterwards() {
    let files = files::of_folder("rules");
    let (mut engine, place, now) = restoring(&files);
    let ahead = engine.step(now, presses(&place, 0, 1, now)).unwrap();
    assert!(engine.is_restoring() && ahead.admitted.is_empty(), "a row was handed on before its time");
    assert!(engine.is_rebuilding_urgent(), "gas and smoke have not been read again");
    let [hit] = ahead.hits_ahead.as_slice() else {
        panic!("the press was told {} times", ahead.hits_ahead.len())
    };
    assert_eq!((&*hit.rule, hit.key.as_str()), ("R10", "/press-0"));

    let taken = engine.step(now, Input::Finished).unwrap();
    assert!(!engine.is_rebuilding_urgent());
    let again: Vec<_> = taken.hits.iter().filter(|other| other.key == hit.key).collect();
    assert_eq!(again, [hit], "by its id it is the same alarm");
}

#[test]
fn a_partition_that_is_far_ahead_of_what_is_read_again_is_named_to_be_held_back() {
    let files = files::of_folder("rules");
    let (mut engine, place, now) = restoring(&files);
    engine.step(now, presses(&place, 0, 10_000, now)).unwrap();
    assert_eq!(engine.overfull().count(), 0);
    engine.step(now, presses(&place, 10_000, 10_000, now)).unwrap();
    assert_eq!(engine.overfull().collect::<Vec<_>>(), [&place.partition]);
    engine.step(now, Input::Finished).unwrap();
    assert_eq!(engine.overfull().count(), 0, "what waited has been taken");
}
