//! The newest entry of a table's log, looked at before the table is opened: one that is empty makes its
//! rows vanish silently, one that is torn makes the table unreadable. Our own store leaves neither; a disk
//! or another writer may.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{HistoryError, Result, VersionFound};

/// A log entry that was never acknowledged and has been moved out of the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAside {
    /// The table.
    pub table: String,
    /// The entry.
    pub version: u64,
    /// Where it is now.
    pub path: PathBuf,
}

/// Looks at the tail of the log in `folder`. An unreadable newest entry is moved out of the way where the
/// checkpoint does not count on it (`recorded` is the version it names), and refused where it does.
pub(crate) fn check(table: &str, folder: &Path, recorded: Option<u64>) -> Result<Option<SetAside>> {
    let log = folder.join("_delta_log");
    let newest = newest_entry(&log)?;
    if newest.as_ref().map(|(version, _)| *version) < recorded {
        let found = VersionFound(newest.map(|(version, _)| version));
        return Err(HistoryError::Behind { table: table.to_owned(), recorded: recorded.unwrap_or(0), found });
    }
    let Some((version, path)) = newest else { return Ok(None) };
    let bytes = fs::read(&path).map_err(HistoryError::io("reading", &path))?;
    if is_whole(&bytes) {
        return Ok(None);
    }
    if recorded.is_some_and(|recorded| version <= recorded) {
        return Err(HistoryError::Torn { table: table.to_owned(), version, path });
    }
    let aside = path.with_extension("json.torn");
    fs::rename(&path, &aside).map_err(HistoryError::io("setting aside", &path))?;
    tracing::warn!(table, version, path = %aside.display(), "set aside a torn log entry nobody counted on");
    Ok(Some(SetAside { table: table.to_owned(), version, path: aside }))
}

fn newest_entry(log: &Path) -> Result<Option<(u64, PathBuf)>> {
    let entries = match fs::read_dir(log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HistoryError::io("listing", log)(error)),
    };
    let mut newest = None;
    for entry in entries {
        let path = entry.map_err(HistoryError::io("listing", log))?.path();
        newest = newest.max(entry_version(&path).map(|version| (version, path)));
    }
    Ok(newest)
}

fn entry_version(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    if name.len() == 20 { name.parse().ok() } else { None }
}

/// Whether `bytes` are lines of JSON objects, at least one.
fn is_whole(bytes: &[u8]) -> bool {
    let mut objects =
        serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Map<_, _>>().peekable();
    objects.peek().is_some()
        && objects.all(|object: serde_json::Result<serde_json::Map<_, _>>| object.is_ok())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn table(entries: &[&str]) -> TempDir {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("_delta_log")).unwrap();
        for (version, entry) in entries.iter().enumerate() {
            fs::write(folder.path().join(format!("_delta_log/{version:020}.json")), entry).unwrap();
        }
        folder
    }

    #[test]
    fn a_whole_tail_is_left_alone() {
        let folder = table(&["{}", "{\"a\":1}\n{\"b\":2}"]);
        assert_eq!(check("t", folder.path(), Some(1)).unwrap(), None);
    }

    #[test]
    fn an_empty_or_torn_entry_behind_the_checkpoint_is_set_aside() {
        for torn in ["", "{\"a\":1}\n{\"b\"", "\0\0\0\0"] {
            let folder = table(&["{}", torn]);
            let aside = check("t", folder.path(), Some(0)).unwrap().unwrap();
            assert_eq!(aside.version, 1);
            assert!(aside.path.exists());
            assert_eq!(check("t", folder.path(), Some(0)).unwrap(), None);
        }
    }

    #[test]
    fn an_empty_or_torn_entry_the_checkpoint_counts_on_is_refused() {
        for torn in ["", "{\"a\":1}\n{\"b\""] {
            let folder = table(&["{}", torn]);
            let error = check("t", folder.path(), Some(1)).unwrap_err();
            assert!(matches!(error, HistoryError::Torn { version: 1, .. }), "{error}");
        }
    }

    #[test]
    fn a_log_that_ends_before_the_checkpoint_is_refused() {
        let folder = table(&["{}"]);
        let error = check("t", folder.path(), Some(3)).unwrap_err();
        assert!(matches!(error, HistoryError::Behind { recorded: 3, .. }), "{error}");
    }
}
