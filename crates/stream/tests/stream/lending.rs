//! Queries that are lent while rows come: whoever runs them, and when, they give what steps give.

use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use hexwatch_contract::alarm::RuleHit;
use hexwatch_contract::{EventTime, Topic};
use hexwatch_stream::{Due, Effects, Engine, Input, Loan, StreamError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::files::{self, QueryFile};
use super::laws::{any_reading, for_seeds, interleaved, read_live, settle};
use super::world::{
    self, Delivery, Outcome, PLAIN, Reading, Record, again, begin, chunk, deliveries, end, engine,
    happenings, partitions, proceed, read, some_happenings,
};

/// Every shape, a rule of several files, and one over silences.
fn some_files() -> Vec<QueryFile> {
    let names = ["heat_10s", "sensor_silence", "r06_", "r10_panic", "r13_", "r15_", "r17_"];
    let all = files::of_folder("views").into_iter().chain(files::of_folder("rules"));
    let some: Vec<_> = all.filter(|file| names.iter().any(|name| file.name.starts_with(name))).collect();
    assert_eq!(some.len(), names.len() + 2);
    some
}

/// An engine whose queries are away now and then.
struct Lending<'a> {
    engine: Engine,
    files: &'a [QueryFile],
    outcome: Outcome,
    lent: Vec<Loan>,
    random: ChaCha8Rng,
}

impl Lending<'_> {
    fn fold(&mut self, effects: Result<Effects, StreamError>) {
        self.outcome.fold(effects.unwrap(), self.files);
    }

    fn take(&mut self, delivery: &Delivery) {
        let taken = self.engine.step_ahead(delivery.now, Input::Chunk(delivery.chunk.clone()));
        self.fold(taken);
        for _ in 0..self.random.random_range(0..4) {
            match self.random.random_range(0..8) {
                0..=3 => self.lend(delivery.now),
                4..=6 => self.take_back(delivery.now),
                // As for a commit: more comes while everything is on its way there.
                _ => self.engine.close(delivery.now),
            }
            if self.random.random_range(0..3) == 0 {
                self.go_on(delivery.now);
            }
        }
    }

    /// Goes on where everything has come to one point.
    fn go_on(&mut self, now: EventTime) {
        let is_there = self.engine.is_closing() && self.engine.checkpoint().is_some();
        if is_there || self.engine.is_reopening() {
            let most = self.random.random_range(1..60);
            let reopened = self.engine.reopen(now, most);
            self.fold(reopened);
        }
    }

    fn lend(&mut self, now: EventTime) {
        let due = self.engine.due(now);
        if !due.is_empty() {
            let chosen = due[self.random.random_range(0..due.len())];
            self.lent.extend(self.engine.lend(chosen));
        }
    }

    fn take_back(&mut self, now: EventTime) {
        if self.lent.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.lent.len());
        let returned = self.lent.swap_remove(at).run().unwrap();
        let effects = self.engine.take_back(now, returned);
        self.fold(effects);
    }

    fn take_all_back(&mut self, now: EventTime) {
        loop {
            while !self.lent.is_empty() {
                self.take_back(now);
            }
            self.go_on(now);
            if !self.engine.is_closing() && !self.engine.is_reopening() && self.lent.is_empty() {
                break;
            }
            self.lend(now);
        }
    }
}

/// Reads `deliveries`, in any order between partitions, with queries lent.
fn read_lending(files: &[QueryFile], deliveries: &[Delivery], mut random: ChaCha8Rng) -> Outcome {
    let sent = interleaved(deliveries, &mut random);
    let mut lending =
        Lending { engine: engine(files), files, outcome: Outcome::default(), lent: Vec::new(), random };
    begin(&mut lending.engine, false);
    for delivery in &sent {
        lending.take(delivery);
    }
    lending.take_all_back(sent[0].now);
    settle(&mut lending.engine, deliveries, files, &mut lending.outcome);
    lending.outcome
}

#[test]
fn lent_queries_give_what_steps_give_whatever_comes_meanwhile() {
    let files = some_files();
    for_seeds(60, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let records = some_happenings(seed, 150, 150.0);
        // Up to a minute of disorder: many rows come late and correct what was given.
        let reading = Reading { uneven: false, ..any_reading(&mut random, seed, 60_000) };
        let sent = deliveries(&records, reading);
        let live = read_live(&files, &sent, &mut random);
        let lent = read_lending(&files, &sent, random);
        assert_eq!(lent.accounts, live.accounts, "seed {seed}");
        assert!(live.results.len() > 15, "seed {seed} says nothing");
        let differences = super::equality::differences(&lent.results, &live.results);
        assert!(differences.is_empty(), "seed {seed}: {reading:?}\n{}", differences.join("\n"));
    });
}

#[test]
fn a_restart_that_is_rebuilt_by_lent_queries_says_nothing_twice_and_loses_nothing() {
    let files = some_files();
    for seed in 0..2 {
        // Small chunks: one that is older than what is corrected counts or not, whatever is lent.
        let reading = Reading { seed, disorder: Duration::from_secs(30), duplicates: 6, chunk: 10, ..PLAIN };
        let deliveries = deliveries(&happenings(seed), reading);
        let straight = read(&files, &deliveries, true);
        let cut = deliveries.len() * 2 / 5;
        let mut before = engine(&files);
        let mut outcome = Outcome::default();
        begin(&mut before, true);
        proceed(&mut before, &deliveries[..cut], &files, &mut outcome);
        let (checkpoint, told) = (before.checkpoint().unwrap(), outcome.told);

        let rest = again(&deliveries, &checkpoint);
        let read_again = rest.len() - (deliveries.len() - cut);
        let mut resumed = engine(&files);
        resumed.restore(checkpoint);
        begin(&mut resumed, false);
        let random = ChaCha8Rng::seed_from_u64(seed);
        let mut lending = Lending { engine: resumed, files: &files, outcome, lent: Vec::new(), random };
        for delivery in &rest[..read_again] {
            lending.take(delivery);
        }
        for (partition, _) in partitions() {
            let caught_up = lending.engine.step_ahead(rest[read_again].now, Input::AtEnd(partition));
            lending.fold(caught_up);
        }
        assert!(read_again > 0);
        while lending.engine.is_restoring() {
            lending.lend(rest[read_again].now);
            lending.take_back(rest[read_again].now);
        }
        assert_eq!(lending.outcome.told, told, "what was told before is told again");
        for delivery in &rest[read_again..] {
            lending.take(delivery);
        }
        lending.take_all_back(rest[read_again].now);
        end(&mut lending.engine, &deliveries, &files, &mut lending.outcome);
        assert_eq!(lending.outcome.accounts, straight.accounts, "seed {seed}");
        let differences = super::equality::differences(&lending.outcome.results, &straight.results);
        assert!(differences.is_empty(), "seed {seed}:\n{}", differences.join("\n"));
    }
}

fn a_press(offset: i64, now: EventTime) -> Input {
    let id = format!("pressed-{offset}");
    let press = Record::new(Topic::Panic, "panic-0", now, &id, &json!({"kind": "panic"}));
    Input::Chunk(chunk(Topic::Panic, press.partition, offset, &[press]))
}

#[test]
fn a_press_is_told_while_everything_is_brought_to_one_point_and_belongs_behind_it() {
    let (files, now) = (some_files(), world::after(1.0));
    let mut engine = engine(&files);
    begin(&mut engine, true);
    engine.close(now);
    let told = engine.step_ahead(now, a_press(0, now)).unwrap();
    let [hit] = told.hits_ahead.as_slice() else {
        panic!("the press was told {} times", told.hits_ahead.len())
    };
    assert!(told.admitted.is_empty() && told.accounts.is_empty(), "its row counts later");
    let checkpoint = engine.checkpoint().unwrap();
    assert!(checkpoint.partitions.is_empty(), "{checkpoint:?}");

    let taken = engine.reopen(now, usize::MAX).unwrap();
    assert_eq!(taken.admitted.len(), 1);
    assert_eq!(taken.hits, std::slice::from_ref(hit), "by its id it is the same alarm");
    assert!(!engine.is_closing() && engine.checkpoint().is_none(), "a window waits for the row");
}

fn gas(offset: i64, now: EventTime) -> Input {
    let body = json!({ "property": "ch4", "result": 25.0, "unit": "%LEL" });
    let gas = Record::new(Topic::Iot, "ch4-0", now, "gas", &body);
    Input::Chunk(chunk(Topic::Iot, gas.partition, offset, &[gas]))
}

/// Lends what is due and `wanted`, and takes it back: the rules' hits, and whether all of them lay beyond the point.
fn run(engine: &mut Engine, now: EventTime, wanted: impl Fn(&Engine, Due) -> bool) -> (Vec<RuleHit>, bool) {
    let (mut hits, mut is_beyond) = (Vec::new(), true);
    for due in engine.due(now) {
        if wanted(engine, due) {
            let returned = engine.lend(due).unwrap().run().unwrap();
            let effects = engine.take_back(now, returned).unwrap();
            is_beyond &= effects.is_beyond;
            hits.extend(effects.hits);
        }
    }
    (hits, is_beyond)
}

#[test]
fn gas_is_told_while_others_are_on_their_way_to_one_point_and_found_again_by_a_restart_there() {
    let (files, now) = (some_files(), world::after(1.0));
    let mut engine = engine(&files);
    begin(&mut engine, true);
    engine.step_ahead(now, a_press(0, now)).unwrap();
    engine.close(now);
    run(&mut engine, now, |_, due| due.is_urgent);
    engine.step_ahead(now, gas(0, now)).unwrap();
    assert!(engine.checkpoint().is_none(), "others have not taken the press");
    let (hits, is_beyond) = run(&mut engine, now, Engine::is_beyond);
    let [hit] = hits.as_slice() else { panic!("the gas was told {} times", hits.len()) };
    assert_eq!((&*hit.rule, is_beyond), ("R13", true));

    run(&mut engine, now, |engine, due| !engine.is_beyond(due));
    let checkpoint = engine.checkpoint().unwrap();
    let places = &checkpoint.partitions;
    assert!(places.iter().all(|place| place.topic == Topic::Panic && place.next_offset == 1), "{places:?}");
    let mut resumed = world::engine(&files);
    resumed.restore(checkpoint);
    begin(&mut resumed, false);
    resumed.step(now, a_press(0, now)).unwrap();
    let again = resumed.step(now, gas(0, now)).unwrap();
    assert_eq!(again.hits.iter().filter(|hit| &*hit.rule == "R13").collect::<Vec<_>>(), [hit]);

    let taken = engine.reopen(now, usize::MAX).unwrap();
    assert_eq!((taken.admitted.len(), taken.accounts.len()), (1, 1), "its row counts once");
    let (hits, is_beyond) = run(&mut engine, now, |_, _| true);
    assert!(hits.is_empty() && !is_beyond, "it is told once: {hits:?}");
    assert!(engine.checkpoint().is_some_and(|point| point.partitions.len() == 2));
}

#[test]
fn what_makes_a_duplicate_beyond_the_point_one_is_read_again_by_a_restart_there() {
    // One that looks back far would keep everything anyway.
    let files: Vec<_> =
        files::of_folder("views").into_iter().filter(|file| file.name == "heat_10s").collect();
    let (early, late, later) = (world::after(1.0), world::after(1_200.0), world::after(1_260.0));
    let mut engine = engine(&files);
    begin(&mut engine, true);
    engine.step(early, gas(0, early)).unwrap();
    // Others go on, and its partition is idle.
    engine.step(late, a_press(0, late)).unwrap();
    engine.step_ahead(later, a_press(1, later)).unwrap();
    engine.close(later);
    let record = |time, id| Record::new(Topic::Iot, "ch4-0", time, id, &json!({ "property": "ch4" }));
    let beyond = [record(early, "gas"), record(later, "next")];
    let partition = beyond[0].partition;
    engine.step_ahead(later, Input::Chunk(chunk(Topic::Iot, partition, 1, &beyond))).unwrap();
    while engine.checkpoint().is_none() {
        run(&mut engine, later, |engine, due| !engine.is_beyond(due));
    }

    let checkpoint = engine.checkpoint().unwrap();
    let place = checkpoint.partitions.iter().find(|place| place.topic == Topic::Iot).unwrap();
    assert_eq!((place.replay_from, place.next_offset), (0, 1));
    let taken = engine.reopen(later, usize::MAX).unwrap();
    assert_eq!(taken.accounts.iter().map(|(_, account)| account.duplicate).sum::<u64>(), 1);
}

#[test]
fn what_lies_beyond_a_point_is_taken_a_piece_at_a_time_and_what_comes_meanwhile_behind_it() {
    let (files, now) = (some_files(), world::after(1.0));
    let mut engine = engine(&files);
    begin(&mut engine, true);
    engine.close(now);
    for offset in 0..3 {
        engine.step_ahead(now, a_press(offset, now)).unwrap();
    }
    assert_eq!(engine.rows_beyond(), 3);
    assert_eq!(engine.reopen(now, 2).unwrap().admitted.len(), 2);
    assert!(engine.is_reopening() && !engine.is_closing() && engine.checkpoint().is_none());
    let told = engine.step_ahead(now, a_press(3, now)).unwrap();
    assert_eq!((told.hits_ahead.len(), told.admitted.len()), (1, 0), "it is told, and waits for the others");
    engine.close(now);
    assert!(!engine.is_closing(), "nothing is closed before all is taken");
    let offsets: Vec<i64> = (0..2)
        .flat_map(|_| engine.reopen(now, 1).unwrap().admitted)
        .map(|rows| rows.records.column_by_name("offset").unwrap().as_primitive::<Int64Type>().value(0))
        .collect();
    assert_eq!(offsets, [2, 3]);
    assert!(!engine.is_reopening() && engine.rows_beyond() == 0);
    engine.step(now, Input::Tick).unwrap();
    assert_eq!(engine.checkpoint().unwrap().partitions[0].next_offset, 4);
}

#[test]
fn a_press_is_told_while_all_queries_are_away_and_a_step_to_the_end_waits_for_them() {
    let (files, now) = (some_files(), world::after(1.0));
    let mut engine = engine(&files);
    begin(&mut engine, true);
    engine.step_ahead(now, a_press(0, now)).unwrap();
    let lent: Vec<Loan> = engine.due(now).into_iter().filter_map(|due| engine.lend(due)).collect();
    assert!(!lent.is_empty() && engine.due(now).is_empty(), "nobody is lent twice");
    let told = engine.step_ahead(now, a_press(1, now)).unwrap();
    assert_eq!(told.accounts.len(), 1, "it counts at once");
    assert!(matches!(engine.step(now, Input::Tick), Err(StreamError::Lent)));
    for loan in lent {
        engine.take_back(now, loan.run().unwrap()).unwrap();
    }
    engine.step(now, Input::Tick).unwrap();
    assert!(engine.checkpoint().is_some());
}
