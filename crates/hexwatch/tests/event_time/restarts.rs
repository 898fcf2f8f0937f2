//! Processes that die and are started again: in the end every alarm, and every row of a view's table, says what it would
//! have said without.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hexwatch::machine::{Effect, Machine, Parts, Scoring, State};
use hexwatch_alarm::{Book, Settings};
use hexwatch_contract::alarm::{Alarm, AlarmId};
use hexwatch_contract::{Chunk, EventTime, Offsets, Partition, Topic};
use hexwatch_history::{Commit, TableName, ToldSince};
use hexwatch_sql::QueryFile;
use hexwatch_stream::{Engine, Input};
use serde_json::Value;

use super::path::{Log, Way, all_views, chunks, engine, keyed, nowhere, rules, sent, shown};
use super::seeds::{self, Dice};
use super::world::{Record, Site, happenings, start};

const SITE: Site = Site::Together;

/// When everything has been silent for so long that nothing is open.
fn end() -> EventTime {
    start() + Duration::from_mins(30)
}

/// What outlives a process.
#[derive(Default)]
struct Disk {
    log: Vec<Alarm>,
    commit: Option<Value>,
    /// The rows that views' tables show, by view and key.
    rows: BTreeMap<String, String>,
}

impl Disk {
    fn commit(&mut self, commit: &Commit, files: &[QueryFile]) {
        for (table, batches) in &commit.rows {
            let TableName::View { name, .. } = table else { continue };
            let file = files.iter().find(|file| *file.name == **name).unwrap();
            for batch in batches {
                let is_gone = batch.column_by_name("_withdrawn").is_some();
                for (key, row) in keyed(file, batch) {
                    if is_gone {
                        assert!(self.rows.remove(&key).is_some(), "{key} is taken back, and was never given");
                    } else {
                        self.rows.insert(key, row);
                    }
                }
            }
        }
        self.commit = Some(commit.state.clone());
    }
}

/// The process died.
struct Death;

/// One process.
struct Process<'a> {
    files: &'a [QueryFile],
    machine: Machine,
    disk: &'a mut Disk,
    /// What it has still to read of each partition, with when that comes.
    waiting: BTreeMap<Partition, VecDeque<(EventTime, Chunk)>>,
    now: &'a mut EventTime,
    dice: &'a mut Dice,
    /// How many effects it lives to execute.
    left: usize,
}

fn state_of(disk: &Disk) -> Option<State> {
    disk.commit.as_ref().and_then(|commit| State::read(1, commit).unwrap())
}

fn machine(mut engine: Engine, disk: &Disk) -> (Machine, Offsets) {
    let mut book = Book::replay(Settings::default(), nowhere, &disk.log).unwrap();
    let (state, mut starts) = (state_of(disk), Offsets::new());
    if let Some(state) = &state {
        book.resume_devices(state.devices.clone());
        starts = state.engine.replay_from();
        engine.restore(state.engine.clone());
    }
    let machine = Machine::new(Parts {
        engine,
        book,
        scoring: Scoring::default(),
        shapes: Arc::default(),
        kept: Topic::ALL.into(),
        told_until: Offsets::new(),
        default_site: "s1".to_owned(),
    });
    (machine, starts)
}

impl Process<'_> {
    fn live(&mut self) -> Result<(), Death> {
        let changes = self.disk.log.clone();
        let owed = self.machine.begin(&changes, ToldSince::default(), state_of(self.disk).as_ref());
        self.execute(owed)?;
        self.step(Input::Assigned(super::path::partitions()))?;
        while !self.waiting.is_empty() {
            self.read()?;
            if self.dice.one_in(12) {
                self.commit()?;
            }
        }
        *self.now = end();
        for (partition, _) in super::path::partitions() {
            self.step(Input::AtEnd(partition))?;
        }
        for _ in 0..3 {
            *self.now = *self.now + Duration::from_mins(1);
            self.step(Input::Tick)?;
            self.commit()?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Death> {
        let at = self.dice.below(self.waiting.len());
        let (partition, chunks) = self.waiting.iter_mut().nth(at).unwrap();
        let partition = partition.clone();
        let Some((at, chunk)) = chunks.pop_front() else {
            self.waiting.remove(&partition);
            return if self.dice.one_in(2) { self.step(Input::AtEnd(partition)) } else { Ok(()) };
        };
        *self.now = (*self.now).max(at);
        if self.dice.one_in(3) {
            let effects = self.machine.step_ahead(*self.now, Input::Chunk(chunk)).unwrap();
            return self.execute(effects);
        }
        self.step(Input::Chunk(chunk))
    }

    fn step(&mut self, input: Input) -> Result<(), Death> {
        let effects = self.machine.step(*self.now, input).unwrap();
        self.execute(effects)
    }

    fn commit(&mut self) -> Result<(), Death> {
        let (effects, commit) = self.machine.commit(*self.now).unwrap();
        self.execute(effects)?;
        if let Some(commit) = commit {
            self.disk.commit(&commit.written().unwrap(), self.files);
        }
        Ok(())
    }

    fn execute(&mut self, effects: Vec<Effect>) -> Result<(), Death> {
        for effect in effects {
            self.left = self.left.checked_sub(1).ok_or(Death)?;
            if let Effect::Log(changes) = effect {
                self.disk.log.extend(changes);
            }
        }
        Ok(())
    }
}

/// Reads `log` by processes of which the first die, at chance. Returns every alarm as it stands in the end, and every row
/// of a table.
fn lived(files: &[QueryFile], log: &Log, deaths: usize, dice: &mut Dice) -> BTreeMap<String, String> {
    let (mut disk, mut now) = (Disk::default(), start());
    let mut planned = engine(files, SITE);
    for life in 0..=deaths {
        let left = if life < deaths { dice.below(1_500) } else { usize::MAX };
        let (machine, starts) = machine(planned.renewed(), &disk);
        let chunk = [1, 5, 30, 500][dice.below(4)];
        let way = Way { disorder_ms: 0, chunk, backlog: true, lends: false };
        let mut waiting = BTreeMap::new();
        for ((topic, number), records) in log {
            let partition = Partition::new(topic.name(), *number);
            let from = usize::try_from(starts.get(&partition).copied().unwrap_or(0)).unwrap();
            let chunks = chunks((*topic, *number), (records, from), SITE, way, dice);
            waiting.insert(partition, chunks.into());
        }
        let (disk, now) = (&mut disk, &mut now);
        let mut process = Process { files, machine, disk, waiting, now, dice, left };
        let has_died = process.live().is_err();
        planned = process.machine.into_engine();
        if !has_died {
            break;
        }
    }
    let last: BTreeMap<&AlarmId, &Alarm> = disk.log.iter().map(|change| (&change.alarm_id, change)).collect();
    last.into_values().filter_map(shown).chain(disk.rows).collect()
}

fn log_of(dice: &mut Dice) -> Log {
    let records: Vec<Record> = happenings(dice, 120);
    let disorder = [0, 8_000, 60_000][dice.below(3)];
    sent(&records, disorder, dice)
}

#[test]
fn alarms_and_tables_say_in_the_end_what_they_would_have_said_had_no_process_died() {
    let files: Vec<QueryFile> = rules().chain(all_views()).collect();
    seeds::run(40, |seed| {
        let mut dice = Dice::new(seed);
        let log = log_of(&mut dice);
        let straight = lived(&files, &log, 0, &mut dice);
        assert!(straight.len() > 30, "seed {seed} says nothing");
        let deaths = 1 + dice.below(3);
        let after_deaths = lived(&files, &log, deaths, &mut dice);
        for id in straight.keys().chain(after_deaths.keys()) {
            assert_eq!(after_deaths.get(id), straight.get(id), "after {deaths} deaths");
        }
    });
}
