//! Reads by persons, one JSON line each in `audit.ndjson` of the data folder, synced in batches.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use hexwatch_contract::audit::Audit;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// How many reads are written together at most.
const AT_ONCE: usize = 256;

/// Writes until nobody can read any more.
pub(crate) async fn run(data_dir: PathBuf, mut reads: mpsc::Receiver<Audit>) -> Result<()> {
    let path = data_dir.join("audit.ndjson");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .await
        .with_context(|| format!("opening {}", path.display()))?;
    let mut some = Vec::with_capacity(AT_ONCE);
    while reads.recv_many(&mut some, AT_ONCE).await > 0 {
        let mut lines = Vec::new();
        for read in some.drain(..) {
            serde_json::to_writer(&mut lines, &read).context("writing an audited read")?;
            lines.push(b'\n');
        }
        file.write_all(&lines).await.with_context(|| format!("writing {}", path.display()))?;
        file.sync_data().await.with_context(|| format!("syncing {}", path.display()))?;
    }
    Ok(())
}
