//! The history's task: one commit after the other, tried again where the fault may pass.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hexwatch::machine::Point;
use hexwatch_contract::Classified as _;
use hexwatch_history::{Commit, Writer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::incarnation::Incarnation;
use super::intake::Intake;
use super::outlet::Outlet;
use crate::crash_point::{CrashPoint, Own};

/// How often a commit is tried before the process gives up, and how long it waits in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// How long rows may be on their way to Kafka before that is told; a process that is ending gives up then.
const ON_THEIR_WAY: Duration = Duration::from_secs(20);

/// What a commit needs beside the history.
pub(crate) struct Committer {
    pub(crate) intake: Arc<Intake>,
    pub(crate) outlet: Outlet,
    pub(crate) crash: CrashPoint,
    /// The process is to end.
    pub(crate) stop: CancellationToken,
}

impl Committer {
    /// Commits until the engine's thread hangs up. Kafka's own offsets follow, for tools that watch lag.
    pub(crate) async fn run(self, mut writer: Writer, mut points: mpsc::Receiver<Point>) -> Result<Writer> {
        while let Some(point) = points.recv().await {
            let mut commit = tokio::task::spawn_blocking(|| point.written())
                .await
                .context("the writing of a checkpoint failed")??;
            self.settle(&points).await?;
            self.incarnation(&commit).leave_in(&mut commit.state)?;
            let number = commit_with_patience(&mut writer, &commit).await?;
            let compacted = writer.maintain(number).await.context("compacting the history's tables")?;
            if !compacted.is_empty() {
                tracing::debug!(?compacted, "maintained the history");
            }
            self.crash.reach(Own::BeforeKafkaCommit);
            if let Err(error) = self.intake.commit_for_monitoring(&commit.offsets) {
                tracing::debug!(%error, "offsets were not committed for monitoring");
            }
            self.crash.reach(Own::AfterKafkaCommit);
        }
        Ok(writer)
    }

    /// What the commit's offsets belong to. By the first commit the client knows its cluster.
    fn incarnation(&self, commit: &Commit) -> Incarnation {
        let cluster = self.intake.cluster_id(Duration::from_millis(100));
        Incarnation { cluster, marks: self.intake.marks(&commit.offsets) }
    }

    /// Waits until Kafka has what was published before the commit was made: once the commit is written, nobody makes
    /// those rows again.
    async fn settle(&self, points: &mpsc::Receiver<Point>) -> Result<()> {
        while let Err(error) = self.outlet.settle(ON_THEIR_WAY).await {
            // The engine may wait for room to hand over its last commit, so that it has not hung up.
            if points.is_closed() || self.stop.is_cancelled() {
                return Err(error).context(
                    "publishing the last rows: they are not committed, and are made again at the next start",
                );
            }
            tracing::warn!(%error, "a commit waits until Kafka has taken what belongs to it");
        }
        Ok(())
    }
}

async fn commit_with_patience(writer: &mut Writer, commit: &Commit) -> Result<i64> {
    let mut tried = 0;
    loop {
        let failed = match writer.commit(commit).await {
            Ok(done) => {
                tracing::debug!(number = done.number, skipped = done.skipped, "committed");
                return Ok(done.number);
            }
            Err(error) => error,
        };
        tried += 1;
        if tried == TRIES || !failed.retry() {
            return Err(failed).context("committing to the history");
        }
        tracing::warn!(error = %failed, tried, "a commit failed and is tried again");
        tokio::time::sleep(PAUSE * tried).await;
        writer.recover().await.context("recovering the history after a failed commit")?;
    }
}
