//! Reading a table's rows, outside of any session of a user.

use arrow::array::RecordBatch;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::DeltaTable;

use crate::checkpoint::Checkpoint;
use crate::error::{HistoryError, Result};
use crate::table_name::COMMITS;

/// A session whose strings are plain, so that columns come back in the types they were written in.
pub(crate) fn plain_session() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().execution.parquet.schema_force_view_types = false;
    SessionContext::new_with_config(config)
}

/// The checkpoint in `commits`; `None` before the first commit.
pub(crate) async fn checkpoint(commits: &DeltaTable) -> Result<Option<Checkpoint>> {
    let batches = all(COMMITS, commits).await?;
    batches.iter().find(|batch| batch.num_rows() > 0).map(Checkpoint::from_batch).transpose()
}

async fn all(name: &str, table: &DeltaTable) -> Result<Vec<RecordBatch>> {
    let session = plain_session();
    let provider = table.table_provider().with_session(std::sync::Arc::new(session.state()));
    let provider = provider.await.map_err(HistoryError::read(name))?;
    let rows = session.read_table(provider).map_err(HistoryError::read(name))?;
    rows.collect().await.map_err(HistoryError::read(name))
}
