//! The history's task: one commit after the other, tried again where the fault may pass.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hexwatch_history::{Commit, Writer};
use hexwatch_ingest::Reader;
use tokio::sync::mpsc;

/// How often a commit is tried before the process gives up, and how long it waits in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Commits until the engine's thread hangs up. Kafka's own offsets follow, for tools that watch lag.
pub(crate) async fn run(mut writer: Writer, mut commits: mpsc::Receiver<Commit>, reader: Arc<Reader>) -> Result<Writer> {
    while let Some(commit) = commits.recv().await {
        commit_with_patience(&mut writer, &commit).await?;
        if let Err(error) = reader.commit_for_monitoring(&commit.offsets) {
            tracing::debug!(%error, "offsets were not committed for monitoring");
        }
    }
    Ok(writer)
}

async fn commit_with_patience(writer: &mut Writer, commit: &Commit) -> Result<()> {
    let mut tried = 0;
    loop {
        let failed = match writer.commit(commit).await {
            Ok(done) => {
                tracing::debug!(number = done.number, skipped = done.skipped, "committed");
                return Ok(());
            }
            Err(error) => error,
        };
        tried += 1;
        if tried == TRIES {
            return Err(failed).context("committing to the history");
        }
        tracing::warn!(error = %failed, tried, "a commit failed and is tried again");
        tokio::time::sleep(PAUSE * tried).await;
        writer.recover().await.context("recovering the history after a failed commit")?;
    }
}
