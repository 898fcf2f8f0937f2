//! Rows that come minutes late wait for one another before what was given is corrected, and a restart knows of them.

use std::time::Duration;

use hexwatch_contract::{EventTime, Partition, Topic};
use hexwatch_stream::{Checkpoint, Effects, Engine, Input, StreamError};
use serde_json::json;

use super::equality::differences;
use super::files::{self, QueryFile};
use super::world::{
    Delivery, Outcome, Reading, Record, after, again, begin, chunk, deliveries, end, engine, happenings,
    partitions, read,
};

/// Queries that wait for the watermark: one that falls apart, two that do so by halves, one over what is not there.
fn some_files() -> Vec<QueryFile> {
    let names = ["camera_access_join", "r01_door_forced"];
    let own = files::of_folder("views").into_iter().chain(files::of_folder("rules"));
    let own = own.filter(|file| names.contains(&file.name.as_str()));
    let files: Vec<_> = own.chain(files::of_the_documentation().into_iter().skip(1)).collect();
    assert_eq!(files.len(), 4);
    files
}

struct Reader<'a> {
    files: &'a [QueryFile],
    engine: Engine,
    outcome: Outcome,
}

impl<'a> Reader<'a> {
    fn new(files: &'a [QueryFile]) -> Self {
        Self { files, engine: engine(files), outcome: Outcome::default() }
    }

    fn fold(&mut self, effects: Result<Effects, StreamError>) {
        self.outcome.fold(effects.unwrap(), self.files);
    }

    fn take(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let taken = self.engine.step_ahead(delivery.now, Input::Chunk(delivery.chunk.clone()));
            self.fold(taken);
            self.run_due(delivery.now);
        }
    }

    /// Runs once what is due; returns how much that was.
    fn run_due(&mut self, now: EventTime) -> usize {
        let due = self.engine.due(now);
        for due in &due {
            let returned = self.engine.lend(*due).unwrap().run().unwrap();
            let taken = self.engine.take_back(now, returned);
            self.fold(taken);
        }
        due.len()
    }

    /// A checkpoint, as it is kept.
    fn checkpoint(&mut self, now: EventTime) -> Checkpoint {
        self.engine.close(now);
        while self.engine.checkpoint().is_none() {
            assert!(self.run_due(now) > 0, "something is missing, and nothing is due");
        }
        let text = serde_json::to_string(&self.engine.checkpoint().unwrap()).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn waiting(checkpoint: &Checkpoint) -> usize {
    let offsets = checkpoint.corrections.iter().flat_map(|awaiting| &awaiting.offsets);
    offsets.map(|(_, offsets)| offsets.len()).sum()
}

#[test]
fn a_restart_while_late_rows_wait_tells_nothing_twice_and_loses_no_correction() {
    let files = some_files();
    let mut waited = 0;
    for seed in 0..6 {
        let disorder = Duration::from_mins(4);
        let deliveries =
            deliveries(&happenings(seed), Reading { seed, disorder, duplicates: 6, chunk: 5, uneven: false });
        let straight = read(&files, &deliveries, true);
        let cut = deliveries.len() * (usize::try_from(seed).unwrap() + 3) / 10;
        let mut reader = Reader::new(&files);
        begin(&mut reader.engine, true);
        reader.take(&deliveries[..cut]);
        let checkpoint = reader.checkpoint(deliveries[cut - 1].now);
        waited += waiting(&checkpoint);

        let rest = again(&deliveries, &checkpoint);
        let (read_again, beyond) = rest.split_at(rest.len() - (deliveries.len() - cut));
        let mut resumed = Reader { outcome: reader.outcome, ..Reader::new(&files) };
        let told = resumed.outcome.told;
        let as_before = checkpoint.corrections.clone();
        resumed.engine.restore(checkpoint);
        begin(&mut resumed.engine, false);
        let now = deliveries[cut - 1].now;
        for delivery in read_again {
            let taken = resumed.engine.step_ahead(delivery.now, Input::Chunk(delivery.chunk.clone()));
            resumed.fold(taken);
        }
        while resumed.engine.is_restoring() {
            assert!(resumed.run_due(now) > 0, "seed {seed}: something is missing, and nothing is due");
        }
        assert_eq!(resumed.outcome.told, told, "seed {seed}: what was told before is told again");
        for (partition, _) in partitions() {
            let caught_up = resumed.engine.step_ahead(now, Input::AtEnd(partition));
            resumed.fold(caught_up);
        }
        let wait_again = resumed.checkpoint(now).corrections;
        assert_eq!(wait_again, as_before, "seed {seed}");
        let reopened = resumed.engine.reopen(now, usize::MAX);
        resumed.fold(reopened);
        resumed.take(beyond);
        end(&mut resumed.engine, &deliveries, &files, &mut resumed.outcome);
        assert_eq!(resumed.outcome.accounts, straight.accounts, "seed {seed}");
        let differences = differences(&resumed.outcome.results, &straight.results);
        assert!(differences.is_empty(), "seed {seed}:\n{}", differences.join("\n"));
    }
    assert!(waited > 20, "hardly anything waited: the test says nothing");
}

fn said(offset: i64, topic: Topic, device: &str, time: EventTime, body: &serde_json::Value) -> Input {
    let record = Record::new(topic, device, time, &format!("{device}-{offset}"), body);
    Input::Chunk(chunk(topic, record.partition, offset, &[record]))
}

#[test]
fn a_late_row_corrects_what_was_given_though_nothing_comes_after_it() {
    let files = some_files();
    let (opened, later) = (after(100.0), after(400.0));
    let mut reader = Reader::new(&files);
    begin(&mut reader.engine, true);
    let open = json!({ "event": "door_open" });
    let first = said(0, Topic::Access, "door-0", opened, &open);
    let second = said(1, Topic::Access, "door-0", later, &open);
    for (now, input) in [(opened, first), (later, second)] {
        let taken = reader.engine.step_ahead(now, input);
        reader.fold(taken);
        while reader.run_due(now) > 0 {}
    }
    // All other partitions are idle.
    let now = later + Duration::from_mins(1);
    while reader.run_due(now) > 0 {}
    let held_open = |outcome: &Outcome| outcome.results.keys().any(|(query, _)| query == "rule R02");
    assert!(held_open(&reader.outcome), "{:?}", reader.outcome.results);

    let closed =
        said(2, Topic::Access, "door-0", opened + Duration::from_secs(5), &json!({ "event": "door_closed" }));
    let taken = reader.engine.step_ahead(now, closed);
    reader.fold(taken);
    assert_eq!(reader.run_due(now), 0, "it waits for others");
    let checkpoint = reader.checkpoint(now);
    let place = vec![(
        Partition::new("access", Record::new(Topic::Access, "door-0", now, "", &open).partition),
        vec![2],
    )];
    assert!(checkpoint.corrections.iter().all(|awaiting| awaiting.offsets == place), "{checkpoint:?}");
    let reopened = reader.engine.reopen(now, usize::MAX);
    reader.fold(reopened);
    let soon = now + Duration::from_secs(6);
    assert!(reader.run_due(soon) > 0);
    let raised: Vec<_> = reader.outcome.results.keys().filter(|(query, _)| query == "rule R02").collect();
    assert!(raised.iter().all(|(_, key)| !key.contains(&opened.to_string())), "{raised:?}");
    assert_eq!(waiting(&reader.checkpoint(soon)), 0);
}
