//! A power loss, which `kill -9` cannot show: whatever was not synced is gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hexwatch_contract::Topic;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use tempfile::TempDir;

use crate::commit::Commit;
use crate::durability::Durability;
use crate::durable_store::DurableStore;
use crate::error::HistoryError;
use crate::failpoints::{Failpoints, NoFailpoints, Point};
use crate::fixtures::{Unsynced, access, alarm, clock, commit, count, view, view_rows};
use crate::forgetful_disk::ForgetfulDisk;
use crate::history::History;
use crate::table_name::TableName;

fn records(from: i64, to: i64) -> Commit {
    let rows = vec![
        (TableName::Events(Topic::Access), vec![access(from..to)]),
        (view(), vec![view_rows(from / 10..to / 10, 10)]),
    ];
    commit(rows, to, from)
}

async fn open(folder: &Path, disk: &Arc<ForgetfulDisk>, failpoints: Arc<dyn Failpoints>) -> History {
    History::open_with(folder, clock(), disk.clone(), failpoints).await.unwrap()
}

async fn counts(folder: &Path) -> [i64; 3] {
    [
        count(folder, "access").await,
        count(folder, "view_heat_revisions").await,
        count(folder, "alarm_changes").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_and_the_alarm_log_have_acknowledged_survives_a_power_loss() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(ForgetfulDisk::default());
    let mut history = open(folder.path(), &disk, Arc::new(NoFailpoints)).await;
    for step in 0..3_i64 {
        history.alarms.append(&[alarm("a", u64::try_from(step).unwrap() + 1)]).unwrap();
        let left = disk.power_loss(folder.path());
        let reopened = History::open(left.path(), clock()).await.unwrap();
        assert_eq!(reopened.alarm_log.changes, u64::try_from(step).unwrap() + 1);

        history.writer.commit(&records(step * 10, step * 10 + 10)).await.unwrap();
        let left = disk.power_loss(folder.path());
        let reopened = History::open(left.path(), clock()).await.unwrap();
        assert_eq!(reopened.writer.resume().number, step + 1);
        assert_eq!(reopened.writer.resume().report, crate::takeover::RecoveryReport::default());
        assert_eq!(counts(left.path()).await, [step * 10 + 10, step + 1, step + 1]);
    }
}

/// Pulls the plug at each point of a commit, and keeps what is left.
#[derive(Debug)]
struct Plug {
    disk: Arc<ForgetfulDisk>,
    folder: PathBuf,
    left: Mutex<Vec<(String, TempDir)>>,
}

impl Failpoints for Plug {
    fn reach(&self, point: &Point) -> io::Result<()> {
        self.left.lock().unwrap().push((format!("{point:?}"), self.disk.power_loss(&self.folder)));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_loss_within_a_commit_leaves_a_history_that_goes_on_exactly() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(ForgetfulDisk::default());
    open(folder.path(), &disk, Arc::new(NoFailpoints)).await.writer.commit(&records(0, 20)).await.unwrap();
    let plug =
        Arc::new(Plug { disk: disk.clone(), folder: folder.path().to_owned(), left: Mutex::default() });
    let mut history = open(folder.path(), &disk, plug.clone()).await;
    history.alarms.append(&[alarm("a", 1)]).unwrap();
    history.writer.commit(&records(20, 40)).await.unwrap();

    let left = std::mem::take(&mut *plug.left.lock().unwrap());
    assert_eq!(left.len(), 6 + 4 + 14, "taking over two tables, an append, three tables and a checkpoint");
    for (point, left) in left {
        let mut history = History::open(left.path(), clock()).await.unwrap();
        if history.alarms.last_seq("a") == 0 {
            assert!(
                point.contains("TakeOver")
                    || point.contains("Reopen")
                    || point.starts_with("Before(AlarmLog"),
                "{point}"
            );
            history.alarms.append(&[alarm("a", 1)]).unwrap();
        }
        let next = history.writer.resume().offsets.into_values().next().unwrap();
        if next == 20 {
            history.writer.commit(&records(20, 40)).await.unwrap();
        }
        assert_eq!(counts(left.path()).await, [40, 4, 1], "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forgetful_disk_does_forget_what_nobody_synced() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(ForgetfulDisk::default());
    open(folder.path(), &disk, Arc::new(NoFailpoints)).await.writer.commit(&records(0, 10)).await.unwrap();
    let history =
        History::open_with(folder.path(), clock(), Arc::new(Unsynced), Arc::new(NoFailpoints)).await;
    history.unwrap().writer.commit(&records(10, 20)).await.unwrap();
    let left = disk.power_loss(folder.path());
    assert_eq!(counts(folder.path()).await, [20, 2, 0]);
    assert_eq!(counts(left.path()).await, [10, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_way_a_file_comes_by_its_name_it_is_kept() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(ForgetfulDisk::default());
    disk.sync_folder(folder.path()).unwrap();
    let store = DurableStore::new(disk.clone());
    let at = |name: &str| object_store::path::Path::from_absolute_path(folder.path().join(name)).unwrap();
    let bytes = |text: &'static str| PutPayload::from_static(text.as_bytes());

    store.put(&at("new/put"), bytes("put")).await.unwrap();
    store.put(&at("new/put"), bytes("put again")).await.unwrap();
    let create = PutOptions::from(PutMode::Create);
    store.put_opts(&at("created"), bytes("created"), create.clone()).await.unwrap();
    let error = store.put_opts(&at("created"), bytes("other"), create).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    store.copy(&at("created"), &at("copied")).await.unwrap();
    store.put(&at("old"), bytes("renamed")).await.unwrap();
    store.rename(&at("old"), &at("renamed")).await.unwrap();
    let mut upload = store.put_multipart(&at("parts/whole")).await.unwrap();
    upload.put_part(bytes("two ")).await.unwrap();
    upload.put_part(bytes("parts")).await.unwrap();
    upload.complete().await.unwrap();

    let left = disk.power_loss(folder.path());
    let read = |name: &str| fs::read_to_string(left.path().join(name)).unwrap();
    assert_eq!(read("new/put"), "put again");
    assert_eq!(read("created"), "created");
    assert_eq!(read("copied"), "created");
    assert_eq!(read("renamed"), "renamed");
    assert_eq!(read("parts/whole"), "two parts");
    assert!(!fs::exists(left.path().join("old")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_log_entry_is_refused_where_the_checkpoint_counts_on_it_and_else_set_aside() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(ForgetfulDisk::default());
    open(folder.path(), &disk, Arc::new(NoFailpoints)).await.writer.commit(&records(0, 20)).await.unwrap();
    let log = folder.path().join("tables/access/_delta_log");
    let entry = |version: u64| log.join(format!("{version:020}.json"));

    fs::write(entry(2), "{\"add\":").unwrap();
    let mut history = open(folder.path(), &disk, Arc::new(NoFailpoints)).await;
    let set_aside = history.writer.resume().report.set_aside;
    assert_eq!(
        set_aside.iter().map(|aside| (aside.table.as_str(), aside.version)).collect::<Vec<_>>(),
        [("access", 2)]
    );
    history.writer.commit(&records(20, 30)).await.unwrap();
    assert_eq!(counts(folder.path()).await, [30, 3, 0]);
    drop(history);

    fs::write(entry(2), "").unwrap();
    let error = History::open(folder.path(), clock()).await.unwrap_err();
    assert!(matches!(&error, HistoryError::Torn { table, version: 2, .. } if table == "access"), "{error}");
}
