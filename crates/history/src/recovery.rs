//! From whatever a crash left behind to the state of the last checkpoint.
//!
//! Tables of records keep what they are ahead by: their own positions say which records to skip. Derived
//! tables are taken back to the checkpoint, because a replay need not cut its results into the same rows.
//! `alarm_changes` follows the alarm log, which is never taken back.

use std::collections::BTreeMap;

use deltalake::protocol::SaveMode;
use hexwatch_contract::{EventTime, Offsets};

use crate::checkpoint::Checkpoint;
use crate::error::{HistoryError, Result};
use crate::log_tail::{self, SetAside};
use crate::positions::partition_of;
use crate::read;
use crate::table::{Ahead, Table, removal};
use crate::table_name::{ALARM_CHANGES, COMMITS, Rows};
use crate::tables::Tables;

/// What `seq` application ids begin with, in `alarm_changes`.
pub(crate) const SEQ_APP: &str = "seq/";

/// The tables as a writer needs them, at the last checkpoint or knowingly ahead of it.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) commits: Table,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) alarm_seqs: BTreeMap<String, u64>,
    pub(crate) report: RecoveryReport,
}

/// What opening had to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveryReport {
    /// Tables that hold records of an unfinished commit; they are skipped when they come again.
    pub ahead: Vec<String>,
    /// Derived tables from which files of an unfinished commit were taken back, and how many.
    pub taken_back: BTreeMap<String, usize>,
    /// Log entries that nobody counted on.
    pub set_aside: Vec<SetAside>,
}

/// Takes the history over: fences whoever wrote it before, then brings each table to the checkpoint.
pub(crate) async fn recover(tables: &Tables, now: EventTime) -> Result<Recovered> {
    let mut report = RecoveryReport::default();
    let (mut commits, checkpoint) = take_over(tables, &mut report).await?;
    // An empty commit: a writer that slept through this cannot land its checkpoint any more.
    commits.commit(Vec::new(), checkpoint.number, Vec::new(), SaveMode::Append).await?;

    let mut recovered = Recovered {
        alarm_seqs: checkpoint.alarm_seqs.clone(),
        checkpoint,
        commits,
        tables: BTreeMap::new(),
        report,
    };
    let missing = recovered.checkpoint.tables.keys().find(|name| !tables.folder_of(name).is_dir());
    if let Some(name) = missing {
        let recorded = recovered.checkpoint.tables[name];
        return Err(HistoryError::Behind {
            table: name.clone(),
            recorded,
            found: crate::error::VersionFound(None),
        });
    }
    for name in tables.names()? {
        if Rows::of(&name) != Rows::Commits {
            recovered.open(tables, name, now).await?;
        }
    }
    Ok(recovered)
}

async fn take_over(tables: &Tables, report: &mut RecoveryReport) -> Result<(Table, Checkpoint)> {
    report.set_aside.extend(log_tail::check(COMMITS, &tables.folder_of(COMMITS), None)?);
    match tables.open(COMMITS).await? {
        Some(mut commits) => {
            let checkpoint = read::checkpoint(commits.loaded().await?).await?;
            Ok((commits, checkpoint.unwrap_or_default()))
        }
        None => Ok((tables.create(COMMITS, &Checkpoint::schema(), None).await?, Checkpoint::default())),
    }
}

impl Recovered {
    async fn open(&mut self, tables: &Tables, name: String, now: EventTime) -> Result<()> {
        let recorded = self.checkpoint.tables.get(&name).copied();
        self.report.set_aside.extend(log_tail::check(&name, &tables.folder_of(&name), recorded)?);
        let Some(mut table) = tables.open(&name).await? else { return Ok(()) };
        let ahead = table.ahead_of(recorded).await?;
        match Rows::of(&name) {
            Rows::Positional => self.note_positions(&name, &ahead),
            Rows::Derived => self.take_back(&mut table, ahead, recorded, now).await?,
            Rows::AlarmChanges => self.note_seqs(&ahead),
            Rows::Reference | Rows::Commits => {}
        }
        self.tables.insert(name, table);
        Ok(())
    }

    fn note_positions(&mut self, name: &str, ahead: &Ahead) {
        let positions: Offsets =
            ahead.positions.iter().filter_map(|(app, offset)| Some((partition_of(app)?, *offset))).collect();
        if !positions.is_empty() {
            self.report.ahead.push(name.to_owned());
            self.checkpoint.ahead.entry(name.to_owned()).or_default().extend(positions);
            self.checkpoint.prune_ahead();
        }
    }

    fn note_seqs(&mut self, ahead: &Ahead) {
        let site_and_seq = |(app, seq): (&String, &i64)| {
            Some((app.strip_prefix(SEQ_APP)?.to_owned(), u64::try_from(*seq).ok()?))
        };
        let seqs: Vec<_> = ahead.positions.iter().filter_map(site_and_seq).collect();
        if !seqs.is_empty() {
            self.report.ahead.push(ALARM_CHANGES.to_owned());
            self.alarm_seqs.extend(seqs);
        }
    }

    async fn take_back(
        &mut self,
        table: &mut Table,
        ahead: Ahead,
        recorded: Option<u64>,
        now: EventTime,
    ) -> Result<()> {
        if let Some(file) = ahead.merged {
            let recorded = recorded.unwrap_or(0);
            return Err(HistoryError::Merged { table: table.name.clone(), file, recorded });
        }
        if ahead.files.is_empty() {
            return Ok(());
        }
        self.report.taken_back.insert(table.name.clone(), ahead.files.len());
        let removals = ahead.files.into_iter().map(|file| removal(file, now.millis())).collect();
        table.commit(removals, self.checkpoint.number, Vec::new(), SaveMode::Append).await
    }
}
