//! Power cuts at any moment of a history's life, the alarm log and the tables together: no alarm that was acknowledged is
//! lost, every table opens, and a replay gives the rest, each row once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hexwatch_contract::{Topic, catalog};
use tempfile::TempDir;

use crate::commit::Commit;
use crate::durability::Durability;
use crate::failpoints::NoFailpoints;
use crate::fixtures::{access, alarm, clock, commit, count, numbers, positioned, risk_rows, view, view_rows};
use crate::forgetful_disk::{Chance, ForgetfulDisk};
use crate::history::History;
use crate::table_name::TableName;

const CUTS: u64 = 50;
/// Records of a commit, and how many commits there are; every second record closes no window, every third is refused.
const PIECE: i64 = 10;
const PIECES: i64 = 6;
const ALARMS: u64 = 12;

/// What the history has said is done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Acknowledged {
    alarms: u64,
    commits: i64,
}

/// What was left when the power went, and what had been acknowledged by then.
type Left = (TempDir, Acknowledged);

/// Cuts the power at the Nth sync; what happens after is nobody's business.
#[derive(Debug)]
struct CutAt {
    disk: ForgetfulDisk,
    folder: PathBuf,
    acknowledged: Mutex<Acknowledged>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Syncs until the cut.
    until: u64,
    chance: Chance,
    left: Option<Left>,
}

impl CutAt {
    fn new(disk: ForgetfulDisk, folder: &Path, until: u64, chance: Chance) -> Arc<Self> {
        let state = Mutex::new(State { until, chance, left: None });
        Arc::new(Self { disk, folder: folder.to_owned(), acknowledged: Mutex::default(), state })
    }

    /// Before the sync has had any effect: what it is asked to keep is what the cut may tear.
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        if state.left.is_some() {
            return;
        }
        if state.until == 0 {
            let left = self.disk.power_loss_by_chance(&self.folder, &mut state.chance);
            state.left = Some((left, *self.acknowledged.lock().unwrap()));
        } else {
            state.until -= 1;
        }
    }

    fn is_cut(&self) -> bool {
        self.state.lock().unwrap().left.is_some()
    }

    fn take_left(&self) -> Option<Left> {
        self.state.lock().unwrap().left.take()
    }

    fn syncs_left(&self) -> u64 {
        self.state.lock().unwrap().until
    }

    fn note(&self, what: impl FnOnce(&mut Acknowledged)) {
        what(&mut self.acknowledged.lock().unwrap());
    }
}

impl Durability for CutAt {
    fn sync_file(&self, path: &Path, file: &File) -> io::Result<()> {
        self.pass();
        self.disk.sync_file(path, file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.pass();
        self.disk.sync_folder(folder)
    }
}

fn records(from: i64, to: i64) -> Commit {
    let (refused, kept): (Vec<i64>, Vec<i64>) = (from..to).partition(|offset| offset % 3 == 0);
    let letters = refused.iter().map(|offset| positioned(&catalog::dead_letters(), *offset..offset + 1));
    let rows = vec![
        (TableName::Events(Topic::Access), kept.iter().map(|offset| access(*offset..offset + 1)).collect()),
        (TableName::DeadLetters, letters.collect()),
        (view(), vec![view_rows(from / PIECE..to / PIECE, 10)]),
        (TableName::RiskCells, vec![risk_rows(from / PIECE..to / PIECE)]),
    ];
    commit(rows, to, 0)
}

/// A life from where `folder` stands to the end of all records, on a disk that cuts the power when it is due.
async fn live(folder: &Path, disk: &Arc<CutAt>) {
    let mut history =
        History::open_with(folder, clock(), disk.clone(), Arc::new(NoFailpoints)).await.unwrap();
    let next = history.writer.resume().offsets.into_values().next().unwrap_or(0);
    let commits = history.writer.resume().number;
    disk.note(|done| *done = Acknowledged { alarms: history.alarms.last_seq("a"), commits });
    for piece in next / PIECE..PIECES {
        if disk.is_cut() {
            return;
        }
        let due = ALARMS * u64::try_from(piece + 1).unwrap() / u64::try_from(PIECES).unwrap();
        while history.alarms.last_seq("a") < due {
            let seq = history.alarms.last_seq("a") + 1;
            history.alarms.append(&[alarm("a", seq)]).unwrap();
            disk.note(|done| done.alarms = seq);
        }
        history.writer.commit(&records(piece * PIECE, (piece + 1) * PIECE)).await.unwrap();
        disk.note(|done| done.commits += 1);
        if piece % 3 == 2 {
            history.writer.compact("access").await.unwrap();
        }
    }
}

/// How many syncs a whole life asks for.
async fn syncs() -> u64 {
    let folder = TempDir::new().unwrap();
    let disk = CutAt::new(ForgetfulDisk::default(), folder.path(), u64::MAX, Chance(0));
    live(folder.path(), &disk).await;
    u64::MAX - disk.syncs_left()
}

async fn assert_kept(left: &Path, acknowledged: Acknowledged, when: &str) {
    let opened = History::open(left, clock()).await;
    let history = opened.unwrap_or_else(|error| panic!("{when}: the history does not open: {error}"));
    let alarms = history.alarms.read_after("a", 0, 1_000).unwrap();
    assert!(alarms.len() as u64 >= acknowledged.alarms, "{when}: {} of {acknowledged:?}", alarms.len());
    assert!(alarms.iter().zip(1..).all(|(found, seq)| *found == alarm("a", seq)), "{when}: an alarm differs");
    let resume = history.writer.resume();
    assert!(resume.number >= acknowledged.commits, "{when}: commit {} of {acknowledged:?}", resume.number);
    for table in tables(left) {
        count(left, &table).await;
    }
}

/// The tables that have a first log entry, by the names that show all their rows.
fn tables(data_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("tables")) else { return Vec::new() };
    let has_log = |folder: &PathBuf| folder.join("_delta_log/00000000000000000000.json").is_file();
    let folders = entries.map(|entry| entry.unwrap().path()).filter(has_log);
    let names = folders.map(|folder| match folder.file_name().unwrap().to_str().unwrap() {
        "risk_cells" => "risk_cell_revisions".to_owned(),
        view if view.starts_with("view_") => format!("{view}_revisions"),
        name => name.to_owned(),
    });
    names.collect()
}

async fn assert_complete(folder: &Path, when: &str) {
    let end = PIECE * PIECES;
    let (refused, kept): (Vec<i64>, Vec<i64>) = (0..end).partition(|offset| offset % 3 == 0);
    let sorted = async |table: &str, column: &str| {
        numbers(folder, &format!("SELECT \"{column}\" FROM {table} ORDER BY 1")).await
    };
    assert_eq!(sorted("access", "offset").await, kept, "access, {when}");
    assert_eq!(sorted("dead_letters", "offset").await, refused, "dead_letters, {when}");
    assert_eq!(
        sorted("view_heat_revisions", "cell").await,
        (0..PIECES).collect::<Vec<_>>(),
        "view_heat, {when}"
    );
    assert_eq!(count(folder, "risk_cell_revisions").await, PIECES, "risk_cells, {when}");
    let alarms = i64::try_from(ALARMS).unwrap();
    assert_eq!(
        sorted("alarm_changes", "seq").await,
        (1..=alarms).collect::<Vec<_>>(),
        "alarm_changes, {when}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_power_cuts_lose_no_acknowledged_alarm_and_every_table_opens_and_goes_on() {
    let syncs = syncs().await;
    assert!(syncs > 100, "only {syncs} syncs in a whole life");
    for seed in 0..CUTS {
        let mut chance = Chance(seed);
        chance.below(2);
        // Spread over the whole life: the seed alone would leave long stretches out.
        let at = seed * syncs / CUTS + chance.below(syncs / CUTS);
        let when = format!("seed {seed}, cut at sync {at} of {syncs}");
        let folder = TempDir::new().unwrap();
        let disk = CutAt::new(ForgetfulDisk::default(), folder.path(), at, Chance(seed));
        live(folder.path(), &disk).await;
        let (left, acknowledged) = disk.take_left().unwrap_or_else(|| panic!("{when}: it was never cut"));
        // And once more, while it takes up and goes on.
        let again = chance.below(60);
        let disk = CutAt::new(ForgetfulDisk::holding(left.path()), left.path(), again, Chance(seed + 1_000));
        disk.note(|done| *done = acknowledged);
        live(left.path(), &disk).await;
        let (left, acknowledged) = disk.take_left().unwrap_or((left, acknowledged));
        let when = format!("{when}, and again at sync {again} after");
        assert_kept(left.path(), acknowledged, &when).await;
        live(left.path(), &CutAt::new(ForgetfulDisk::default(), left.path(), u64::MAX, Chance(0))).await;
        assert_complete(left.path(), &when).await;
    }
}
