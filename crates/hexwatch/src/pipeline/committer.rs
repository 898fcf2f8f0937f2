//! The history's task: one commit after the other, tried again where the fault may pass.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hexwatch_contract::Classified as _;
use hexwatch_history::{Commit, Writer};
use hexwatch_ingest::Reader;
use tokio::sync::mpsc;

/// How often a commit is tried before the process gives up, and how long it waits in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// How many commits lie between two rounds of compaction: small files cost readers more than the round costs.
const MAINTAIN_EVERY: i64 = 60;

/// Commits until the engine's thread hangs up. Kafka's own offsets follow, for tools that watch lag.
pub(crate) async fn run(
    mut writer: Writer,
    mut commits: mpsc::Receiver<Commit>,
    reader: Arc<Reader>,
) -> Result<Writer> {
    while let Some(commit) = commits.recv().await {
        let number = commit_with_patience(&mut writer, &commit).await?;
        if number % MAINTAIN_EVERY == 0 {
            let compacted = writer.maintain().await.context("compacting the history's tables")?;
            tracing::debug!(?compacted, "maintained the history");
        }
        if let Err(error) = reader.commit_for_monitoring(&commit.offsets) {
            tracing::debug!(%error, "offsets were not committed for monitoring");
        }
    }
    Ok(writer)
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
