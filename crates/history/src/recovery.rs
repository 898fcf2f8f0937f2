//! From whatever a crash left behind to the state of the last checkpoint: looks, asks [`Takeover`] what is to be
//! done, and does it.

use std::collections::BTreeMap;

use deltalake::protocol::SaveMode;
use hexwatch_contract::EventTime;

use crate::checkpoint::Checkpoint;
use crate::error::{HistoryError, Result};
use crate::failpoints::{Failpoints, Point, Step};
use crate::log_tail;
use crate::read;
use crate::table::{Ahead, Table, removal};
use crate::table_name::{COMMITS, Rows};
use crate::tables::Tables;
use crate::takeover::{Behind, Duty, RecoveryReport, Takeover};

/// The tables as a writer needs them, at the last checkpoint or knowingly ahead of it.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) commits: Table,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) report: RecoveryReport,
}

/// Takes the history over: fences whoever wrote it before, then brings each table to the checkpoint.
pub(crate) async fn recover(
    tables: &Tables,
    now: EventTime,
    failpoints: &dyn Failpoints,
) -> Result<Recovered> {
    let reach =
        |point: Point| failpoints.reach(&point).map_err(|source| HistoryError::Failpoint(point, source));
    reach(Point::Before(Step::TakeOver))?;
    let set_aside = log_tail::check(COMMITS, &tables.folder_of(COMMITS), None)?;
    let (mut commits, checkpoint) = take_over(tables).await?;
    // An empty commit: a writer that slept through this cannot land its checkpoint any more.
    commits.commit(Vec::new(), checkpoint.number, Vec::new(), SaveMode::Append).await?;
    reach(Point::After(Step::TakeOver))?;

    let missing = checkpoint.tables.iter().find(|(name, _)| !tables.folder_of(name).is_dir());
    if let Some((name, recorded)) = missing {
        return Err(HistoryError::Behind {
            table: name.clone(),
            recorded: *recorded,
            found: crate::error::VersionFound(None),
        });
    }
    let mut takeover = Takeover::of(checkpoint);
    takeover.report.set_aside.extend(set_aside);
    let mut open = BTreeMap::new();
    for name in tables.names()?.into_iter().filter(|name| Rows::of(name) != Rows::Commits) {
        reach(Point::Before(Step::Reopen(name.clone())))?;
        if let Some(table) = bring_back(&mut takeover, tables, &name, now).await? {
            open.insert(name.clone(), table);
        }
        reach(Point::After(Step::Reopen(name)))?;
    }
    let Takeover { checkpoint, report } = takeover;
    Ok(Recovered { checkpoint, commits, tables: open, report })
}

async fn take_over(tables: &Tables) -> Result<(Table, Checkpoint)> {
    match tables.open(COMMITS).await? {
        Some(mut commits) => {
            let checkpoint = read::checkpoint(commits.loaded().await?).await?;
            Ok((commits, checkpoint.unwrap_or_default()))
        }
        None => Ok((tables.create(COMMITS, &Checkpoint::schema(), None).await?, Checkpoint::default())),
    }
}

/// Opens `name` and brings it to where the checkpoint can go on from.
async fn bring_back(
    takeover: &mut Takeover,
    tables: &Tables,
    name: &str,
    now: EventTime,
) -> Result<Option<Table>> {
    let recorded = takeover.checkpoint.tables.get(name).copied();
    takeover.report.set_aside.extend(log_tail::check(name, &tables.folder_of(name), recorded)?);
    let Some(mut table) = tables.open(name).await? else { return Ok(None) };
    let Ahead { positions, files, merged } = table.ahead_of(recorded).await?;
    // Whoever wrote what we have found may have died, or lost its right to write, before that was on the disk.
    tables.keep(name)?;
    let behind = Behind { positions: &positions, files: files.len(), merged: merged.as_deref() };
    if takeover.judge(name, behind)? == Duty::TakeBack {
        let removals = files.into_iter().map(|file| removal(file, now.millis())).collect();
        table.commit(removals, takeover.checkpoint.number, Vec::new(), SaveMode::Append).await?;
    }
    Ok(Some(table))
}
