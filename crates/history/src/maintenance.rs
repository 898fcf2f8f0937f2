//! Housekeeping: many small files into few, old log entries and files away.
//!
//! Not here yet: retention of rows by age (30 days of raw metadata, 2 years of alarms), which has to leave
//! a record of what it deleted.

use std::num::NonZeroU64;

use deltalake::DeltaTable;
use deltalake::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake::kernel::transaction::CommitProperties;

use crate::error::{HistoryError, Result};
use crate::table_name::COMMITS;
use crate::writer::Writer;

/// Files of this size are left as they are.
const TARGET_BYTES: NonZeroU64 = NonZeroU64::new(64 << 20).unwrap();
/// A table with fewer files is left alone by [`Writer::maintain`].
const FILES_WORTH_IT: usize = 64;
/// So many commits lie between two turns of a table: small files cost readers more than compacting them costs.
const ROUND: usize = 60;

/// What compacting a table did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compaction {
    /// Files that were merged.
    pub files_removed: u64,
    /// Files they were merged into.
    pub files_added: u64,
    /// Log entries that were deleted.
    pub log_entries_deleted: usize,
}

impl Writer {
    /// Merges the small files of `table`, shortens its log, and deletes what has been unused for an hour
    /// (so that a query which began before still finds its files). Rows do not change.
    pub async fn compact(&mut self, table: &str) -> Result<Compaction> {
        self.check_running()?;
        let open = self.table(table)?;
        let properties =
            CommitProperties::default().with_max_retries(0).with_cleanup_expired_logs(Some(false));
        let optimize = open
            .loaded()
            .await?
            .clone()
            .optimize()
            .with_target_size(TARGET_BYTES)
            .with_commit_properties(properties.clone());
        let (delta, merged) = optimize.await.map_err(HistoryError::delta("compacting", table))?;
        let log_entries_deleted = shorten_log(&delta, table).await?;
        let vacuum = delta.vacuum().with_commit_properties(properties);
        let (delta, _) = vacuum.await.map_err(HistoryError::delta("deleting unused files of", table))?;
        open.replace(delta);
        Ok(Compaction {
            files_removed: merged.num_files_removed,
            files_added: merged.num_files_added,
            log_entries_deleted,
        })
    }

    /// Compacts the tables whose turn it is after commit `number`, where they have gathered many files since; returns their
    /// names. To be called after each commit: the next one waits, for one table not as long as for all of them.
    pub async fn maintain(&mut self, number: i64) -> Result<Vec<String>> {
        let turn = usize::try_from(number).unwrap_or(0) % ROUND;
        let mut compacted = Vec::new();
        for table in self.table_names().into_iter().skip(turn).step_by(ROUND) {
            if self.table(&table)?.file_count() >= FILES_WORTH_IT {
                self.compact(&table).await?;
                compacted.push(table);
            }
        }
        if turn == 0 {
            // The checkpoint's table has one file for ever, and a log entry for each commit.
            let commits = self.commits().loaded().await?;
            shorten_log(commits, COMMITS).await?;
        }
        Ok(compacted)
    }
}

/// Puts a checkpoint of the table format behind which log entries older than an hour are deleted.
async fn shorten_log(delta: &DeltaTable, table: &str) -> Result<usize> {
    create_checkpoint(delta, None).await.map_err(HistoryError::delta("shortening the log of", table))?;
    cleanup_metadata(delta, None).await.map_err(HistoryError::delta("shortening the log of", table))
}
