//! Which rows of views Kafka was told of since the last commit. Their keys are on the disk before anybody hears of them:
//! a restart reads the records behind them again, perhaps in other pieces and with late ones among them, and has to take back
//! what it does not find.
//!
//! A file for each generation, which a commit ends: lines of JSON, synced. A line that was torn by a crash was told to
//! nobody, for an append returns only after its sync.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexwatch_contract::{Classified, Fault};
use serde::{Deserialize, Serialize};

use crate::durability::{Durability, create_folders};

/// What can go wrong with them.
#[derive(Debug, thiserror::Error)]
pub enum ToldRowsError {
    /// The disk refused.
    #[error("{action} `{}`, where it is noted which rows Kafka was told of: {source}; check the disk, then restart", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line that was synced cannot be read.
    #[error("line {line} of `{}`, where it is noted which rows Kafka was told of, is damaged: {source}; restore the file from a backup, or remove it: rows told since the last commit may then stay that no longer hold", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Classified for ToldRowsError {
    fn fault(&self) -> Fault {
        Fault::External
    }

    fn retry(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

type Result<T> = std::result::Result<T, ToldRowsError>;

/// Rows of one view that were told at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Told {
    /// The view's name.
    pub view: String,
    /// The key of each row, and its result time in epoch milliseconds.
    pub rows: Vec<(String, i64)>,
}

/// What was told since a commit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToldSince {
    /// The rows, in the order in which they were noted.
    pub rows: Vec<Told>,
    /// The first generation in which none is noted, and none after it. What is told from now on belongs there: a generation
    /// that a dead process noted rows in may be of a commit that was never written, and they are none of its like.
    pub next: u64,
}

/// The files.
#[derive(Debug)]
pub struct ToldRows {
    folder: PathBuf,
    durability: Arc<dyn Durability>,
    open: Option<(u64, File)>,
}

impl ToldRows {
    /// Opens them in `folder`, creating it where it lacks.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn open(folder: &Path, durability: Arc<dyn Durability>) -> Result<Self> {
        create_folders(folder, &*durability).map_err(io_error("creating", folder))?;
        Ok(Self { folder: folder.to_owned(), durability, open: None })
    }

    /// Everything that was told in generation `from` and later.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn read(&self, from: u64) -> Result<ToldSince> {
        let mut since = ToldSince { rows: Vec::new(), next: from };
        for generation in self.generations()?.into_iter().filter(|generation| *generation >= from) {
            since.next = generation + 1;
            let path = self.path(generation);
            let bytes = fs::read(&path).map_err(io_error("reading", &path))?;
            for (line, number) in whole(&bytes).split(|byte| *byte == b'\n').zip(1..) {
                if !line.is_empty() {
                    let damaged =
                        |source| ToldRowsError::Damaged { path: path.clone(), line: number, source };
                    since.rows.push(serde_json::from_slice(line).map_err(damaged)?);
                }
            }
        }
        Ok(since)
    }

    /// Notes `told` in `generation`, and returns when it is on the disk.
    ///
    /// # Errors
    /// Where the disk refuses. Nothing more may be told then.
    pub fn append(&mut self, generation: u64, told: &Told) -> Result<()> {
        let path = self.path(generation);
        let mut line = serde_json::to_vec(told).map_err(|source| ToldRowsError::Damaged {
            path: path.clone(),
            line: 0,
            source,
        })?;
        line.push(b'\n');
        let mut file = match self.open.take() {
            Some((open, file)) if open == generation => file,
            _ => self.begin(&path)?,
        };
        file.write_all(&line).map_err(io_error("writing", &path))?;
        self.durability.sync_file(&path, &file).map_err(io_error("syncing", &path))?;
        self.open = Some((generation, file));
        Ok(())
    }

    /// Drops the generations before `generation`: a commit holds what follows from them.
    ///
    /// # Errors
    /// Where a file cannot be removed.
    pub fn forget_before(&mut self, generation: u64) -> Result<()> {
        for old in self.generations()?.into_iter().filter(|old| *old < generation) {
            let path = self.path(old);
            fs::remove_file(&path).map_err(io_error("removing", &path))?;
        }
        Ok(())
    }

    /// Opens a file behind its last whole line.
    fn begin(&self, path: &Path) -> Result<File> {
        let is_new = !path.exists();
        let options = OpenOptions::new().create(true).append(true).read(true).open(path);
        let file = options.map_err(io_error("opening", path))?;
        if is_new {
            self.durability.sync_folder(&self.folder).map_err(io_error("syncing", &self.folder))?;
        } else {
            let bytes = fs::read(path).map_err(io_error("reading", path))?;
            file.set_len(whole(&bytes).len() as u64).map_err(io_error("cutting the torn end of", path))?;
        }
        Ok(file)
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("{generation:020}.jsonl"))
    }

    fn generations(&self) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io_error("listing", &self.folder))? {
            let name = entry.map_err(io_error("listing", &self.folder))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".jsonl")?.parse::<u64>().ok());
            found.extend(number);
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// The lines that end.
fn whole(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &bytes[..end]
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToldRowsError {
    let path = path.to_owned();
    move |source| ToldRowsError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durability::Fsync;
    use crate::forgetful_disk::ForgetfulDisk;

    fn told(key: &str) -> Told {
        Told { view: "few".to_owned(), rows: vec![(key.to_owned(), 1_000)] }
    }

    fn since(keys: &[&str], next: u64) -> ToldSince {
        ToldSince { rows: keys.iter().copied().map(told).collect(), next }
    }

    #[test]
    fn what_was_told_since_a_commit_is_read_again_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = || ToldRows::open(folder.path(), Arc::new(Fsync)).unwrap();
        let mut rows = open();
        for (generation, key) in [(0, "a"), (1, "b"), (1, "c"), (2, "d")] {
            rows.append(generation, &told(key)).unwrap();
        }
        let path = rows.path(2);
        let torn = [fs::read(&path).unwrap().as_slice(), br#"{"view":"few","ro"#].concat();
        fs::write(&path, torn).unwrap();
        let mut rows = open();
        assert_eq!(rows.read(1).unwrap(), since(&["b", "c", "d"], 3));
        assert_eq!(rows.read(7).unwrap(), since(&[], 7));
        rows.append(2, &told("e")).unwrap();
        rows.forget_before(2).unwrap();
        assert_eq!(rows.read(0).unwrap(), since(&["d", "e"], 3));
    }

    #[test]
    fn a_damaged_line_is_refused_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let rows = ToldRows::open(folder.path(), Arc::new(Fsync)).unwrap();
        fs::write(rows.path(3), "{\"view\":\"few\",\"rows\":[]}\nnonsense\n").unwrap();
        let error = rows.read(0).unwrap_err().to_string();
        assert!(error.starts_with("line 2 of `") && error.contains("is damaged"), "{error}");
    }

    #[test]
    fn what_was_told_survives_a_power_loss() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(ForgetfulDisk::holding(folder.path()));
        let mut rows = ToldRows::open(&folder.path().join("told_rows"), disk.clone()).unwrap();
        rows.append(7, &told("a")).unwrap();
        rows.append(7, &told("b")).unwrap();
        let after = disk.power_loss(folder.path());
        let rows = ToldRows::open(&after.path().join("told_rows"), Arc::new(Fsync)).unwrap();
        assert_eq!(rows.read(0).unwrap(), since(&["a", "b"], 8));
    }
}
