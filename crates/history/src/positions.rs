//! Skipping the records that a table has already.

use arrow::array::{Array as _, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use hexwatch_contract::{Offsets, Partition};

use crate::error::{HistoryError, Result};

/// What the application ids of the alarms' numbers begin with, in `alarm_changes`; the site follows.
pub(crate) const SEQ_APP: &str = "seq/";
/// The application id that holds the merged watermark in a derived table's log.
pub(crate) const WATERMARK_APP: &str = "watermark";

/// The application id that holds a partition's next offset in a table's log.
pub(crate) fn position_app(partition: &Partition) -> String {
    format!("offset/{}/{}", partition.topic, partition.partition)
}

/// The partition behind an application id of [`position_app`].
pub(crate) fn partition_of(app: &str) -> Option<Partition> {
    let (topic, partition) = app.strip_prefix("offset/")?.rsplit_once('/')?;
    Some(Partition::new(topic, partition.parse().ok()?))
}

/// The rows of `batch` whose position is not below `done`, and how many were skipped. `batch` has the
/// columns `topic`, `partition` and `offset`.
pub(crate) fn skip_done(table: &str, batch: &RecordBatch, done: &Offsets) -> Result<(RecordBatch, u64)> {
    let misfit = |column: &str| HistoryError::Misfit {
        table: table.to_owned(),
        reason: format!("they lack `{column}`"),
    };
    let topics = column::<StringArray>(batch, "topic").ok_or_else(|| misfit("topic"))?;
    let partitions = column::<Int32Array>(batch, "partition").ok_or_else(|| misfit("partition"))?;
    let offsets = column::<Int64Array>(batch, "offset").ok_or_else(|| misfit("offset"))?;

    // Rows come in runs of one partition, so the last bound found is nearly always the next one too.
    let mut run: Option<(&str, i32, i64)> = None;
    let mut keep = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let (topic, partition) = (topics.value(row), partitions.value(row));
        let bound = match run {
            Some((of_topic, of_partition, bound)) if of_topic == topic && of_partition == partition => bound,
            _ => done.get(&Partition::new(topic, partition)).copied().unwrap_or(i64::MIN),
        };
        run = Some((topic, partition, bound));
        keep.push(offsets.value(row) >= bound);
    }
    let skipped = keep.iter().filter(|keep| !**keep).count() as u64;
    if skipped == 0 {
        return Ok((batch.clone(), 0));
    }
    let kept = filter_record_batch(batch, &BooleanArray::from(keep)).map_err(HistoryError::arrow(table))?;
    Ok((kept, skipped))
}

fn column<'batch, A: 'static>(batch: &'batch RecordBatch, name: &str) -> Option<&'batch A> {
    batch.column_by_name(name)?.as_any().downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_found_again_in_its_application_id() {
        for topic in ["access", "site-1.camera-alert", "a/b"] {
            let partition = Partition::new(topic, 12);
            assert_eq!(partition_of(&position_app(&partition)), Some(partition));
        }
        assert_eq!(partition_of("hexwatch"), None);
    }
}
