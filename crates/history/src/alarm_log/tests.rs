use tempfile::TempDir;

use super::*;
use crate::durability::Fsync;
use crate::fixtures::alarm;

/// Without syncing: what these tests cut and flip is in the page cache anyway.
fn open(folder: &Path) -> (AlarmLog, AlarmLogRecovery) {
    AlarmLog::open(folder, Arc::new(Failing::default())).unwrap()
}

fn first_segment(folder: &Path) -> PathBuf {
    folder.join("00000000000000000001.log")
}

#[test]
fn what_was_appended_is_read_back_after_reopening() {
    let folder = TempDir::new().unwrap();
    let changes: Vec<Alarm> = (1..=5).map(|seq| alarm("a", seq)).collect();
    {
        let (log, recovery) = open(folder.path());
        assert_eq!(recovery, AlarmLogRecovery::default());
        log.append(&changes[..2]).unwrap();
        log.append(&[alarm("b", 1), changes[2].clone()]).unwrap();
        log.append(&changes[3..]).unwrap();
    }
    let (log, recovery) = open(folder.path());
    assert_eq!(recovery, AlarmLogRecovery { changes: 6, torn_bytes: 0 });
    assert_eq!(log.read_after("a", 0, 100).unwrap(), changes);
    assert_eq!(log.read_after("a", 2, 100).unwrap(), changes[2..]);
    assert_eq!(log.read_after("a", 1, 2).unwrap(), changes[1..3]);
    assert_eq!(log.read_after("a", 5, 100).unwrap(), []);
    assert_eq!(log.read_after("b", 0, 100).unwrap(), [alarm("b", 1)]);
    assert_eq!(log.last_seqs(), [("a".to_owned(), 5), ("b".to_owned(), 1)].into());
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_nothing_before_it_is_lost() {
    let folder = TempDir::new().unwrap();
    let path = first_segment(folder.path());
    open(folder.path()).0.append(&[alarm("a", 1), alarm("a", 2)]).unwrap();
    let kept = fs::read(&path).unwrap().len();
    open(folder.path()).0.append(&[alarm("a", 3)]).unwrap();
    let whole = fs::read(&path).unwrap();

    for length in kept..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (log, recovery) = open(folder.path());
        assert_eq!(recovery, AlarmLogRecovery { changes: 2, torn_bytes: (length - kept) as u64 }, "{length}");
        log.append(&[alarm("a", 3)]).unwrap();
        drop(log);
        assert_eq!(fs::read(&path).unwrap(), whole, "appending goes on where the tail was cut at {length}");
    }
}

#[test]
fn a_first_segment_torn_at_any_byte_is_begun_anew() {
    let folder = TempDir::new().unwrap();
    let path = first_segment(folder.path());
    open(folder.path()).0.append(&[alarm("a", 1)]).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (log, recovery) = open(folder.path());
        assert_eq!(recovery.changes, 0, "{length}");
        log.append(&[alarm("a", 1)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "{length}");
    }
}

#[test]
fn a_tail_of_zeros_is_cut() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).0.append(&[alarm("a", 1)]).unwrap();
    let mut file = OpenOptions::new().append(true).open(first_segment(folder.path())).unwrap();
    file.write_all(&[0; 4096]).unwrap();
    assert_eq!(open(folder.path()).1, AlarmLogRecovery { changes: 1, torn_bytes: 4096 });
}

#[test]
fn a_flipped_byte_before_an_acknowledged_record_is_refused_not_cut() {
    let folder = TempDir::new().unwrap();
    let path = first_segment(folder.path());
    let (log, _) = open(folder.path());
    log.append(&[alarm("a", 1)]).unwrap();
    let first = fs::read(&path).unwrap().len();
    log.append(&[alarm("a", 2)]).unwrap();
    drop(log);
    let whole = fs::read(&path).unwrap();
    for damaged in 0..first {
        let mut bytes = whole.clone();
        bytes[damaged] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let error = AlarmLog::open(folder.path(), Arc::new(Fsync)).unwrap_err();
        assert!(matches!(error, AlarmLogError::Damaged { .. }), "byte {damaged}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "a refused segment is left as it is");
    }
}

#[test]
fn a_gap_and_a_repeated_number_are_refused_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let (log, _) = open(folder.path());
    log.append(&[alarm("a", 1)]).unwrap();
    for wrong in
        [[alarm("a", 3)].as_slice(), &[alarm("a", 1)], &[alarm("a", 2), alarm("a", 2)], &[alarm("b", 2)]]
    {
        assert!(matches!(log.append(wrong).unwrap_err(), AlarmLogError::Gap { .. }));
    }
    log.append(&[alarm("a", 2)]).unwrap();
    assert_eq!(open(folder.path()).1.changes, 2);
}

#[test]
fn segments_follow_each_other_and_a_missing_one_is_refused() {
    let folder = TempDir::new().unwrap();
    let (log, _) = AlarmLog::open_with(folder.path(), Arc::new(Fsync), 1).unwrap();
    for seq in 1..=4 {
        log.append(&[alarm("a", seq)]).unwrap();
    }
    drop(log);
    let (log, recovery) = open(folder.path());
    assert_eq!(recovery.changes, 4);
    assert_eq!(log.read_after("a", 1, 2).unwrap(), [alarm("a", 2), alarm("a", 3)]);
    drop(log);

    fs::remove_file(folder.path().join("00000000000000000002.log")).unwrap();
    let error = AlarmLog::open(folder.path(), Arc::new(Fsync)).unwrap_err();
    assert!(error.to_string().contains("00000000000000000002.log"), "{error}");
}

/// Syncs until it is told to fail.
#[derive(Debug, Default)]
struct Failing(std::sync::atomic::AtomicBool);

impl Durability for Failing {
    fn sync_file(&self, _path: &Path, _file: &File) -> io::Result<()> {
        if self.0.load(std::sync::atomic::Ordering::SeqCst) { Err(io::Error::other("no")) } else { Ok(()) }
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_append_that_failed_is_tried_again_and_written_once() {
    for acknowledged in [0, 1] {
        let folder = TempDir::new().unwrap();
        let disk = Arc::new(Failing::default());
        let (log, _) = AlarmLog::open(folder.path(), disk.clone()).unwrap();
        let changes: Vec<Alarm> = (1..=3).map(|seq| alarm("a", seq)).collect();
        log.append(&changes[..acknowledged]).unwrap();

        disk.0.store(true, std::sync::atomic::Ordering::SeqCst);
        for _ in 0..2 {
            let error = log.append(&changes[acknowledged..2]).unwrap_err();
            assert!(matches!(error, AlarmLogError::Io { .. }) && error.retry(), "{error}");
            assert_eq!(log.last_seq("a"), acknowledged as u64, "what was not acknowledged is not shown");
        }
        disk.0.store(false, std::sync::atomic::Ordering::SeqCst);
        log.append(&changes[acknowledged..2]).unwrap();
        log.append(&changes[2..]).unwrap();
        assert_eq!(log.read_after("a", 0, 100).unwrap(), changes);
        drop(log);
        let (log, recovery) = open(folder.path());
        assert_eq!(recovery, AlarmLogRecovery { changes: 3, torn_bytes: 0 });
        assert_eq!(log.read_after("a", 0, 100).unwrap(), changes);
    }
}
