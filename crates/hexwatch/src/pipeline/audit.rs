//! Reads by persons, one JSON line each in `audit.ndjson` of the data folder, synced in batches.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use datafusion::prelude::{JsonReadOptions, SessionContext};
use hexwatch_contract::audit::Audit;
use hexwatch_contract::catalog::access_audit;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// The table that shows it.
const TABLE: &str = "access_audit";
/// How many reads are written together at most.
const AT_ONCE: usize = 256;

/// The file below the data folder.
const FILE: &str = "audit.ndjson";

/// Makes sure that there is a file, so that a query finds the table from the start.
pub(crate) fn create(data_dir: &Path) -> Result<()> {
    let path = data_dir.join(FILE);
    let made = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    made.map(drop).with_context(|| format!("creating {}", path.display()))
}

/// Makes the reads below `data_dir` known to `session` as the table `access_audit`; it stays empty where nobody has
/// read yet.
pub(crate) async fn register(session: &SessionContext, data_dir: &Path) -> Result<()> {
    let path = data_dir.join(FILE);
    let Some(path) = path.to_str().filter(|_| path.exists()) else { return Ok(()) };
    let schema = access_audit();
    let options = JsonReadOptions::default().schema(&schema).file_extension(".ndjson");
    session.deregister_table(TABLE)?;
    session.register_json(TABLE, path, options).await.context("reading the audit")
}

/// Writes until nobody can read any more.
pub(crate) async fn run(data_dir: PathBuf, mut reads: mpsc::Receiver<Audit>) -> Result<()> {
    let path = data_dir.join(FILE);
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
