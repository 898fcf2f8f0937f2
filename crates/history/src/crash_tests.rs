//! A crash between any two steps of a commit, and what two writers do to each other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use hexwatch_contract::{Topic, catalog};
use tempfile::TempDir;

use crate::alarm_log::AlarmLog;
use crate::commit::Commit;
use crate::error::{HistoryError, Result};
use crate::failpoints::NoFailpoints;
use crate::fixtures::{
    Fuse, TOPIC, Unsynced, access, alarm, clock, commit, count, numbers, positioned, risk_rows, view,
    view_rows,
};
use crate::history::History;
use crate::table_name::TableName;
use crate::tables::Tables;
use crate::writer::Writer;

async fn open(data_dir: &Path) -> History {
    open_with(data_dir, -1).await
}

async fn open_with(data_dir: &Path, fuse: i64) -> History {
    try_open(data_dir, fuse).await.unwrap()
}

async fn try_open(data_dir: &Path, fuse: i64) -> Result<History> {
    let fuse = Arc::new(Fuse(AtomicI64::new(fuse)));
    History::open_with(data_dir, clock(), Arc::new(Unsynced), fuse).await
}

/// The commit of the records `from..to`, every third of them refused; the windows `from/10..to/10` close.
fn records(from: i64, to: i64) -> Commit {
    let events =
        (from..to).filter(|offset| offset % 3 != 0).map(|offset| access(offset..offset + 1)).collect();
    let refused = (from..to).filter(|offset| offset % 3 == 0);
    let refused = refused.map(|offset| positioned(&catalog::dead_letters(), offset..offset + 1)).collect();
    let rows = vec![
        (TableName::Events(Topic::Access), events),
        (TableName::DeadLetters, refused),
        (view(), vec![view_rows(from / 10..to / 10, 10)]),
        (TableName::RiskCells, vec![risk_rows(from / 10..to / 10)]),
    ];
    commit(rows, to, 0)
}

async fn assert_exact(data_dir: &Path, records: i64, alarms: i64, when: &str) {
    let refused = (records + 2) / 3;
    assert_eq!(count(data_dir, "access").await, records - refused, "access, {when}");
    assert_eq!(
        numbers(data_dir, "SELECT \"offset\" FROM access ORDER BY 1").await,
        (0..records).filter(|n| n % 3 != 0).collect::<Vec<_>>(),
        "{when}"
    );
    assert_eq!(count(data_dir, "dead_letters").await, refused, "dead_letters, {when}");
    assert_eq!(count(data_dir, "view_heat_revisions").await, records / 10, "view_heat, {when}");
    assert_eq!(count(data_dir, "risk_cell_revisions").await, records / 10, "risk_cells, {when}");
    assert_eq!(count(data_dir, "risk_cells WHERE contrib[1]['share'] = 41.25").await, records / 10, "{when}");
    assert_eq!(count(data_dir, "alarm_changes").await, alarms, "alarm_changes, {when}");
    assert_eq!(count(data_dir, "alarms").await, alarms, "alarms, {when}");
}

/// Fails at point `fuse` of opening anew, an append and the second commit; says whether it got so far.
async fn crash_at(data_dir: &Path, fuse: i64) -> bool {
    {
        let mut history = open(data_dir).await;
        history.alarms.append(&[alarm("a", 1)]).unwrap();
        history.writer.commit(&records(0, 20)).await.unwrap();
    }
    let Ok(mut history) = try_open(data_dir, fuse).await else { return true };
    if history.alarms.append(&[alarm("a", 2), alarm("a", 3)]).is_err() {
        return true;
    }
    history.writer.commit(&records(20, 50)).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_at_any_step_a_replay_in_other_pieces_gives_every_row_once() {
    for fuse in 0.. {
        let folder = TempDir::new().unwrap();
        let crashed = crash_at(folder.path(), fuse).await;
        let when = format!("crashed at point {fuse}");

        let mut history = open(folder.path()).await;
        // The hits come again, and what is in the log already is not appended once more.
        let logged = history.alarms.last_seq("a");
        assert!(logged == 1 || logged == 3, "{when}: half of an append is there");
        if logged == 1 {
            history.alarms.append(&[alarm("a", 2), alarm("a", 3)]).unwrap();
        }
        let resume = history.writer.resume();
        let next = resume.offsets.values().next().copied().unwrap();
        assert!(next == 20 || next == 50, "{when}: {next}");
        assert_eq!(resume.replay_from.values().next(), Some(&0), "{when}");
        assert_eq!(resume.state["next"], next, "{when}");
        // All records come again; the engine holds derived rows back up to where it resumes.
        for piece in [20, 30, 40, 50, 60] {
            let mut again = records(0, piece);
            again.rows.truncate(2);
            let windows = (piece / 10 - 1).max(next / 10)..(piece / 10).max(next / 10);
            again.rows.push((view(), vec![view_rows(windows.clone(), 10)]));
            again.rows.push((TableName::RiskCells, vec![risk_rows(windows)]));
            if piece >= next {
                history.writer.commit(&again).await.unwrap();
                // And another crash in between must not forget what is skipped.
                drop(history);
                history = open(folder.path()).await;
            }
        }
        assert_exact(folder.path(), 60, 3, &when).await;
        if !crashed {
            assert!(
                fuse == 38,
                "opening, an append and a commit of five tables have more points than {fuse}"
            );
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_handed_in_again_after_recovering_without_a_restart() {
    // The first points are those of taking over an empty folder and of the append.
    for fuse in [1, 5, 9, 13, 16].map(|point| point + 6) {
        let folder = TempDir::new().unwrap();
        let mut history = open_with(folder.path(), fuse).await;
        history.alarms.append(&[alarm("a", 1), alarm("a", 2), alarm("a", 3)]).unwrap();
        assert!(history.writer.commit(&records(0, 50)).await.is_err());
        let error = history.writer.commit(&records(0, 50)).await.unwrap_err();
        assert!(matches!(error, HistoryError::Stopped), "{error}");

        let resume = history.writer.recover().await.unwrap();
        assert_eq!(resume.number, 0);
        history.writer.commit(&records(0, 50)).await.unwrap();
        assert_exact(folder.path(), 50, 3, &format!("failed at point {fuse}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_at_the_door() {
    let folder = TempDir::new().unwrap();
    let _first = open(folder.path()).await;
    let error = History::open(folder.path(), clock()).await.unwrap_err();
    assert!(matches!(error, HistoryError::Busy { .. }), "{error}");
}

/// A writer that the lock does not know of, as on a file system without locks.
async fn unlocked(data_dir: &Path) -> Writer {
    let alarms = AlarmLog::open(&data_dir.join("alarm-log"), Arc::new(Unsynced)).unwrap().0;
    let tables = Tables::new(data_dir.join("tables"), Arc::new(Unsynced));
    Writer::open(tables, clock(), Arc::new(NoFailpoints), Arc::new(alarms), None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_replaced_in_its_sleep_cannot_commit() {
    let folder = TempDir::new().unwrap();
    let mut zombie = unlocked(folder.path()).await;
    zombie.commit(&records(0, 20)).await.unwrap();
    let mut owner = unlocked(folder.path()).await;
    owner.commit(&records(20, 40)).await.unwrap();

    let error = zombie.commit(&records(20, 30)).await.unwrap_err();
    assert!(matches!(error, HistoryError::Fenced { .. }), "{error}");
    owner.commit(&records(40, 50)).await.unwrap();
    assert_exact(folder.path(), 50, 0, "with a zombie").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_zombie_got_in_are_neither_counted_twice_nor_lost() {
    let folder = TempDir::new().unwrap();
    let mut zombie = unlocked(folder.path()).await;
    zombie.commit(&records(0, 20)).await.unwrap();
    // It wakes after the owner has taken over, and before the owner has written: its tables go through,
    // its checkpoint does not.
    let mut owner = unlocked(folder.path()).await;
    let error = zombie.commit(&records(20, 30)).await.unwrap_err();
    assert!(matches!(&error, HistoryError::Fenced { table, .. } if table == "commits"), "{error}");

    let error = owner.commit(&records(20, 50)).await.unwrap_err();
    assert!(matches!(error, HistoryError::Fenced { .. }), "{error}");
    let resume = owner.recover().await.unwrap();
    assert_eq!(resume.offsets.values().next(), Some(&20));
    owner.commit(&records(20, 50)).await.unwrap();
    assert_exact(folder.path(), 50, 0, "after a zombie").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_changes_no_row_and_a_writer_goes_on_behind_it() {
    let folder = TempDir::new().unwrap();
    let mut history = open(folder.path()).await;
    for from in (0..50).step_by(10) {
        history.writer.commit(&records(from, from + 10)).await.unwrap();
    }
    let compaction = history.writer.compact("access").await.unwrap();
    assert_eq!((compaction.files_removed, compaction.files_added), (5, 1));
    assert_exact(folder.path(), 50, 0, "compacted").await;
    drop(history);

    let mut history = open(folder.path()).await;
    assert_eq!(history.writer.resume().report, crate::takeover::RecoveryReport::default());
    history.writer.compact("view_heat").await.unwrap();
    let few_files = history.writer.maintain(60).await.unwrap();
    assert!(few_files.is_empty(), "{few_files:?} were compacted");
    // As the pipeline does: in a task of its own.
    let commit = tokio::spawn(async move { history.writer.commit(&records(50, 60)).await });
    commit.await.unwrap().unwrap();
    assert_exact(folder.path(), 60, 0, "reopened").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_small_files_each_table_is_compacted_when_its_turn_comes() {
    let folder = TempDir::new().unwrap();
    let mut history = open(folder.path()).await;
    for from in (0..640).step_by(10) {
        history.writer.commit(&records(from, from + 10)).await.unwrap();
    }
    let mut compacted = Vec::new();
    for number in 64..64 + 60 {
        let now = history.writer.maintain(number).await.unwrap();
        assert!(now.len() <= 1, "{now:?} at once");
        compacted.extend(now);
    }
    compacted.sort();
    assert_eq!(compacted, ["access", "dead_letters", "risk_cells", "view_heat"]);
    assert_exact(folder.path(), 640, 0, "compacted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_never_taken_back() {
    let folder = TempDir::new().unwrap();
    let mut history = open(folder.path()).await;
    history.writer.commit(&records(0, 20)).await.unwrap();
    let error = history.writer.commit(&commit(Vec::new(), 10, 0)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("a commit names 10 as the next offset of {TOPIC}-0, but 20 is already done")
    );
    history.writer.commit(&records(20, 30)).await.unwrap();
    assert_exact(folder.path(), 30, 0, "after a refusal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_their_table_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let mut history = open(folder.path()).await;
    history.writer.commit(&records(0, 20)).await.unwrap();
    let error =
        history.writer.commit(&commit(vec![(view(), vec![access(20..21)])], 21, 0)).await.unwrap_err();
    assert!(error.to_string().contains("`view_heat` do not fit it: the table has no column"), "{error}");
    history.writer.recover().await.unwrap();
    history.writer.commit(&records(20, 30)).await.unwrap();
    assert_exact(folder.path(), 30, 0, "after a misfit").await;
}
