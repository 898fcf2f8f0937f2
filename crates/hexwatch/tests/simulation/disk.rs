//! A disk that forgets what was not synced: the alarm log, and tables of entries that appear as a whole or not at all.
//! It stands in for the file system and the table format; what is written, and when, the product decides.

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use hexwatch_contract::alarm::Alarm;
use hexwatch_history::{Checkpoint, Told, ToldSince};

use super::chance::Chance;

/// The table of checkpoints.
pub(crate) const COMMITS: &str = "commits";

/// One append to the alarm log.
struct Appended {
    changes: Vec<Alarm>,
    is_synced: bool,
}

/// Rows of a view that Kafka is about to be told of.
struct Noted {
    generation: u64,
    told: Told,
    is_synced: bool,
}

/// One entry of a table's log.
#[derive(Default)]
pub(crate) struct Entry {
    /// The commit it belongs to; `None` for the creation.
    pub(crate) number: Option<i64>,
    pub(crate) positions: Vec<(String, i64)>,
    pub(crate) added: Option<u64>,
    pub(crate) removed: Vec<u64>,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) is_synced: bool,
}

/// What lies behind the checkpoint in a table.
#[derive(Default)]
pub(crate) struct Ahead {
    pub(crate) positions: HashMap<String, i64>,
    pub(crate) files: Vec<u64>,
}

/// Another writer was faster.
pub(crate) struct Fenced;

#[derive(Default)]
pub(crate) struct Disk {
    log: Vec<Appended>,
    noted: Vec<Noted>,
    tables: BTreeMap<String, Vec<Entry>>,
    files: BTreeMap<u64, (Vec<RecordBatch>, bool)>,
    last_file: u64,
}

impl Disk {
    pub(crate) fn append(&mut self, changes: Vec<Alarm>) {
        self.log.push(Appended { changes, is_synced: false });
    }

    pub(crate) fn sync_log(&mut self) {
        self.log.iter_mut().for_each(|appended| appended.is_synced = true);
    }

    pub(crate) fn note(&mut self, generation: u64, told: Told) {
        self.noted.push(Noted { generation, told, is_synced: false });
    }

    pub(crate) fn sync_noted(&mut self) {
        self.noted.iter_mut().for_each(|noted| noted.is_synced = true);
    }

    /// What was noted in `generation` and later.
    pub(crate) fn noted(&self, generation: u64) -> ToldSince {
        let noted = || self.noted.iter().filter(|noted| noted.generation >= generation);
        let next = noted().map(|noted| noted.generation + 1).fold(generation, u64::max);
        ToldSince { rows: noted().map(|noted| noted.told.clone()).collect(), next }
    }

    pub(crate) fn forget_noted_before(&mut self, generation: u64) {
        self.noted.retain(|noted| noted.generation >= generation);
    }

    /// Every change in the alarm log.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &Alarm> {
        self.log.iter().flat_map(|appended| &appended.changes)
    }

    pub(crate) fn write_file(&mut self, batches: Vec<RecordBatch>) -> u64 {
        self.last_file += 1;
        self.files.insert(self.last_file, (batches, false));
        self.last_file
    }

    pub(crate) fn sync_file(&mut self, file: u64) {
        if let Some((_, is_synced)) = self.files.get_mut(&file) {
            *is_synced = true;
        }
    }

    pub(crate) fn tables(&self) -> Vec<String> {
        self.tables.keys().filter(|name| *name != COMMITS).cloned().collect()
    }

    pub(crate) fn version(&self, table: &str) -> Option<u64> {
        self.tables.get(table).map(|entries| entries.len() as u64 - 1)
    }

    /// Makes `table`, where it lacks; returns its version.
    pub(crate) fn create(&mut self, table: &str) -> u64 {
        let entries = self.tables.entry(table.to_owned()).or_insert_with(|| vec![Entry::default()]);
        entries.len() as u64 - 1
    }

    /// Puts `entry` behind version `known`. The creation of a table is nobody's commit; every other entry is one of a
    /// writer of ours.
    pub(crate) fn commit(&mut self, table: &str, known: u64, entry: Entry) -> Result<u64, Fenced> {
        let entries = self.tables.get_mut(table).ok_or(Fenced)?;
        if entries.len() as u64 != known + 1 {
            return Err(Fenced);
        }
        entries.push(entry);
        Ok(known + 1)
    }

    pub(crate) fn sync_table(&mut self, table: &str) {
        self.tables.get_mut(table).into_iter().flatten().for_each(|entry| entry.is_synced = true);
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.tables.get(COMMITS)?.iter().rev().find_map(|entry| entry.checkpoint.clone())
    }

    pub(crate) fn ahead_of(&self, table: &str, recorded: Option<u64>) -> Ahead {
        let mut ahead = Ahead::default();
        let first = recorded.map_or(0, |version| version + 1);
        for entry in self.tables[table].iter().skip(usize::try_from(first).unwrap()) {
            if entry.number.is_some() {
                ahead.positions.extend(entry.positions.iter().cloned());
                ahead.files.extend(entry.added);
            }
            ahead.files.retain(|file| !entry.removed.contains(file));
        }
        ahead
    }

    /// The power fails: what was not synced is gone, or is not, as it happens.
    pub(crate) fn lose_power(&mut self, chance: &mut Chance) {
        while self.log.last().is_some_and(|last| !last.is_synced) && !chance.one_in(3) {
            self.log.pop();
        }
        self.noted.retain(|noted| noted.is_synced || chance.one_in(3));
        for entries in self.tables.values_mut() {
            while entries.last().is_some_and(|last| !last.is_synced) && !chance.one_in(3) {
                entries.pop();
            }
        }
        self.tables.retain(|_, entries| !entries.is_empty());
        self.files.retain(|_, (_, is_synced)| *is_synced || chance.one_in(3));
        // What came through is on the disk for good.
        self.files.values_mut().for_each(|(_, is_synced)| *is_synced = true);
        self.sync_log();
        self.sync_noted();
        self.tables.values_mut().flatten().for_each(|entry| entry.is_synced = true);
    }

    /// The rows of `table` as a reader sees them; an error names a file that is gone.
    pub(crate) fn rows(&self, table: &str) -> Result<Vec<RecordBatch>, u64> {
        let Some(entries) = self.tables.get(table) else { return Ok(Vec::new()) };
        let removed: Vec<u64> = entries.iter().flat_map(|entry| entry.removed.clone()).collect();
        let files = entries.iter().filter_map(|entry| entry.added).filter(|file| !removed.contains(file));
        let rows = files.map(|file| self.files.get(&file).map(|(rows, _)| rows.clone()).ok_or(file));
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}
