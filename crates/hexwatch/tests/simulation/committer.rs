//! The history's task on the modelled disk: it executes what the product's plan and takeover decide, one step at a time,
//! so that the engine goes on and everything may die in between.

use std::collections::{BTreeMap, VecDeque};

use hexwatch_contract::alarm::Alarm;
use hexwatch_history::{Behind, Commit, Duty, Plan, Step, Takeover};

use super::chance::{Faults, Stop};
use super::disk::{Ahead, COMMITS, Disk, Entry};
use super::flaw::Flaw;
use super::outlets::Outlets;

/// How often a commit is tried, as in the pipeline.
const TRIES: usize = 5;

/// What a writer knows of the tables.
pub(crate) struct Writer {
    pub(crate) takeover: Takeover,
    versions: BTreeMap<String, u64>,
    commits: u64,
}

/// What became of a step.
pub(crate) enum Progress {
    /// It went on, or had nothing to do.
    Fine,
    /// Another writer has taken over.
    Replaced,
}

impl Writer {
    /// Takes the history over, as `recovery` does.
    pub(crate) fn open(disk: &mut Disk, faults: &mut Faults, flaw: Flaw) -> Result<Self, Stop> {
        let commits = disk.create(COMMITS);
        faults.boundary()?;
        let mut writer = Self {
            takeover: Takeover::of(disk.checkpoint().unwrap_or_default()),
            versions: BTreeMap::new(),
            commits,
        };
        let number = Some(writer.takeover.checkpoint.number);
        let fence = Entry { number, ..Entry::default() };
        let Ok(version) = disk.commit(COMMITS, commits, fence) else {
            return Stop::violation("the fence itself was refused");
        };
        writer.commits = version;
        faults.boundary()?;
        disk.sync_table(COMMITS);
        let recorded = writer.takeover.checkpoint.tables.clone();
        if let Some(lost) = recorded.iter().find(|(table, at)| disk.version(table) < Some(**at)) {
            return Stop::violation(format!("the checkpoint counts on version {} of {}", lost.1, lost.0));
        }
        for table in disk.tables() {
            faults.boundary()?;
            writer.bring_back(&table, recorded.get(&table).copied(), disk, faults, flaw)?;
        }
        faults.note(|| format!("  opened at commit {:?}, {:?}", number, writer.takeover.report));
        Ok(writer)
    }

    fn bring_back(
        &mut self,
        table: &str,
        recorded: Option<u64>,
        disk: &mut Disk,
        faults: &mut Faults,
        flaw: Flaw,
    ) -> Result<(), Stop> {
        let Ahead { positions, files } = disk.ahead_of(table, recorded);
        disk.sync_table(table);
        let behind = Behind { positions: &positions, files: files.len(), merged: None };
        let duty = self.takeover.judge(table, behind)?;
        let known = disk.version(table).unwrap_or(0);
        self.versions.insert(table.to_owned(), known);
        if duty == Duty::TakeBack && flaw != Flaw::NothingTakenBack {
            let number = Some(self.takeover.checkpoint.number);
            let entry = Entry { number, removed: files, ..Entry::default() };
            self.commit(table, entry, disk, faults, flaw)?;
        }
        Ok(())
    }

    /// Commits `entry` behind the version that this writer knows; false where another was faster.
    fn commit(
        &mut self,
        table: &str,
        entry: Entry,
        disk: &mut Disk,
        faults: &mut Faults,
        flaw: Flaw,
    ) -> Result<bool, Stop> {
        let known =
            if table == COMMITS { &mut self.commits } else { self.versions.entry(table.into()).or_default() };
        if flaw == Flaw::NobodyFenced {
            *known = disk.version(table).unwrap_or(0);
        }
        let Ok(version) = disk.commit(table, *known, entry) else { return Ok(false) };
        *known = version;
        faults.boundary()?;
        disk.sync_table(table);
        Ok(true)
    }
}

/// One commit on its way.
struct Work {
    commit: Commit,
    mark: u64,
    plan: Option<Plan>,
    moves: VecDeque<Move>,
    files: BTreeMap<String, u64>,
    tries: usize,
}

/// What is done next.
#[derive(Clone, Debug)]
enum Move {
    /// As the plan says.
    Step(Step),
    /// A flaw: the positions of a table alone.
    Note(String),
}

/// The committer: a writer, and what it is at.
pub(crate) struct Committer {
    pub(crate) writer: Writer,
    work: Option<Work>,
}

impl Committer {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer, work: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.work.is_none()
    }

    /// Whether it is between the steps of a commit.
    pub(crate) fn is_writing(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.plan.is_some())
    }

    /// Begins on `commit`.
    pub(crate) fn begin(&mut self, commit: Commit, outlets: &Outlets) {
        let mark = outlets.mark();
        let (moves, files) = (VecDeque::new(), BTreeMap::new());
        self.work = Some(Work { commit, mark, plan: None, moves, files, tries: 0 });
    }

    /// Does one step.
    pub(crate) fn proceed(
        &mut self,
        disk: &mut Disk,
        outlets: &mut Outlets,
        faults: &mut Faults,
        flaw: Flaw,
    ) -> Result<Progress, Stop> {
        let Some(mut work) = self.work.take() else { return Ok(Progress::Fine) };
        if work.plan.is_none() {
            if outlets.has_delivered(work.mark) || flaw == Flaw::CommitBeforeDelivery {
                self.plan(&mut work, disk, flaw)?;
            } else {
                outlets.deliver(1 + faults.chance.below(8));
            }
            self.work = Some(work);
            return Ok(Progress::Fine);
        }
        let Some(next) = work.moves.pop_front() else {
            return Ok(Progress::Fine);
        };
        faults.boundary()?;
        faults.note(|| format!("  commit {}: {next:?}", work.plan.as_ref().map_or(0, Plan::number)));
        if !self.execute(&mut work, next, disk, faults, flaw)? {
            return self.try_again(work, disk, faults, flaw);
        }
        if !work.moves.is_empty() {
            self.work = Some(work);
        }
        Ok(Progress::Fine)
    }

    fn plan(&self, work: &mut Work, disk: &Disk, flaw: Flaw) -> Result<(), Stop> {
        let checkpoint = &self.writer.takeover.checkpoint;
        checkpoint.check_forwards(&work.commit.offsets)?;
        let copied =
            |change: &&Alarm| checkpoint.alarm_seqs.get(&change.site).is_some_and(|seq| change.seq <= *seq);
        let changes: Vec<Alarm> = disk.changes().filter(|change| !copied(change)).cloned().collect();
        let plan = Plan::of(checkpoint, &work.commit, &changes)?;
        work.moves = moves(&plan, flaw);
        work.plan = Some(plan);
        Ok(())
    }

    /// Executes `next`; false where another writer was faster.
    fn execute(
        &mut self,
        work: &mut Work,
        next: Move,
        disk: &mut Disk,
        faults: &mut Faults,
        flaw: Flaw,
    ) -> Result<bool, Stop> {
        let Some(plan) = &work.plan else { return Ok(true) };
        let number = Some(plan.number());
        let positions = |table: &str| plan.part(table).map(|part| part.positions.clone()).unwrap_or_default();
        match next {
            Move::Note(table) => {
                if !self.create(&table, disk) {
                    return Ok(false);
                }
                let entry = Entry { number, positions: positions(&table), ..Entry::default() };
                self.writer.commit(&table, entry, disk, faults, flaw)
            }
            Move::Step(Step::DataFiles(table)) => {
                if !self.create(&table, disk) {
                    return Ok(false);
                }
                let batches = plan.part(&table).map(|part| part.batches.clone()).unwrap_or_default();
                let file = disk.write_file(batches);
                faults.boundary()?;
                if flaw != Flaw::FilesNotSynced {
                    disk.sync_file(file);
                }
                work.files.insert(table, file);
                Ok(true)
            }
            Move::Step(Step::Table(table)) => {
                let added = work.files.remove(&table);
                let entry = Entry { number, positions: positions(&table), added, ..Entry::default() };
                self.writer.commit(&table, entry, disk, faults, flaw)
            }
            Move::Step(Step::Checkpoint) => {
                let checkpoint = plan.checkpoint(self.writer.versions.clone());
                let entry = Entry { number, checkpoint: Some(checkpoint.clone()), ..Entry::default() };
                let is_mine = self.writer.commit(COMMITS, entry, disk, faults, flaw)?;
                if is_mine {
                    self.writer.takeover.checkpoint = checkpoint;
                }
                Ok(is_mine)
            }
            Move::Step(other) => Stop::violation(format!("{other:?} is no step of a commit")),
        }
    }

    /// Makes `table` where it lacks; false where another writer has made it meanwhile.
    fn create(&mut self, table: &str, disk: &mut Disk) -> bool {
        if self.writer.versions.contains_key(table) {
            return true;
        }
        let is_mine = disk.version(table).is_none();
        self.writer.versions.insert(table.to_owned(), disk.create(table));
        disk.sync_table(table);
        is_mine
    }

    /// Recovers and tries the same commit again, unless another writer has taken over.
    fn try_again(
        &mut self,
        mut work: Work,
        disk: &mut Disk,
        faults: &mut Faults,
        flaw: Flaw,
    ) -> Result<Progress, Stop> {
        work.tries += 1;
        faults.note(|| "  another writer was faster".to_owned());
        if disk.version(COMMITS) != Some(self.writer.commits) || work.tries == TRIES {
            return Ok(Progress::Replaced);
        }
        self.writer = Writer::open(disk, faults, flaw)?;
        (work.plan, work.moves, work.files) = (None, VecDeque::new(), BTreeMap::new());
        self.work = Some(work);
        Ok(Progress::Fine)
    }
}

/// The plan's steps, in their order unless the flaw says otherwise.
fn moves(plan: &Plan, flaw: Flaw) -> VecDeque<Move> {
    let mut steps = plan.steps();
    if flaw == Flaw::CheckpointBeforeTables {
        steps.sort_by_key(|step| matches!(step, Step::Table(_)));
    }
    let notes = steps.iter().filter_map(|step| match step {
        Step::Table(table) if flaw == Flaw::OffsetsBeforeRows => Some(Move::Note(table.clone())),
        _ => None,
    });
    let notes: Vec<Move> = notes.collect();
    notes.into_iter().chain(steps.into_iter().map(Move::Step)).collect()
}
