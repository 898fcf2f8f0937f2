//! The checkpoint: the last commit, and the only row of the table `commits`. What it says is done, is done;
//! whatever stands behind it in any table belongs to a commit that never ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hexwatch_contract::event::time_type;
use hexwatch_contract::{EventTime, Offsets, Partition};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{HistoryError, Result};
use crate::table_name::COMMITS;

/// The times a timestamp column can show; the ends of event time lie outside.
const SHOWN: std::ops::Range<i64> = -62_135_596_800_000..253_402_300_800_000;

/// What a commit leaves for the next start.
#[derive(Clone, PartialEq, Debug)]
pub struct Checkpoint {
    /// The commit's number, from 1; 0 before the first.
    pub number: i64,
    /// For each partition the first offset whose rows are not in history.
    pub offsets: Offsets,
    /// For each partition the offset to read from in order to rebuild what was open.
    pub replay_from: Offsets,
    /// For each partition its watermark.
    pub watermarks: BTreeMap<Partition, EventTime>,
    /// The merged watermark.
    pub watermark: EventTime,
    /// The set of rules and views that made the derived rows.
    pub rule_version: String,
    /// What the engine left.
    pub state: Value,
    /// For each table the version that this commit ends at.
    pub tables: BTreeMap<String, u64>,
    /// For each site the last change that `alarm_changes` holds.
    pub alarm_seqs: BTreeMap<String, u64>,
    /// Tables of records that hold more than `offsets` says, left by a commit that never ended.
    pub ahead: BTreeMap<String, Offsets>,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            number: 0,
            offsets: Offsets::new(),
            replay_from: Offsets::new(),
            watermarks: BTreeMap::new(),
            watermark: EventTime::MIN,
            rule_version: String::new(),
            state: Value::Null,
            tables: BTreeMap::new(),
            alarm_seqs: BTreeMap::new(),
            ahead: BTreeMap::new(),
        }
    }
}

/// A number for each partition, as JSON can hold it.
#[derive(Serialize, Deserialize)]
struct PerPartition {
    #[serde(flatten)]
    partition: Partition,
    value: i64,
}

impl Checkpoint {
    /// The columns of `commits`; maps and state are JSON, times in it epoch milliseconds.
    pub(crate) fn schema() -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        Arc::new(Schema::new(vec![
            Field::new("commit", DataType::Int64, false),
            Field::new("committed_at", time_type(), false),
            Field::new("watermark", time_type(), true),
            Field::new("watermark_ms", DataType::Int64, false),
            text("rule_version"),
            text("offsets"),
            text("replay_from"),
            text("watermarks"),
            text("tables"),
            text("alarm_seqs"),
            text("ahead"),
            text("state"),
        ]))
    }

    pub(crate) fn to_batch(&self, committed_at: EventTime) -> Result<RecordBatch> {
        let time = |time: Option<EventTime>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(vec![time.map(EventTime::micros)]).with_timezone("UTC"))
        };
        let number = |number: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![number])) };
        let text = |text: String| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let watermarks = self.watermarks.iter().map(|(partition, time)| (partition, time.millis()));
        let shown = Some(self.watermark).filter(|watermark| SHOWN.contains(&watermark.millis()));
        let columns = vec![
            number(self.number),
            time(Some(committed_at)),
            time(shown),
            number(self.watermark.millis()),
            text(self.rule_version.clone()),
            text(per_partition(self.offsets.iter().map(|(partition, offset)| (partition, *offset)))?),
            text(per_partition(self.replay_from.iter().map(|(partition, offset)| (partition, *offset)))?),
            text(per_partition(watermarks)?),
            text(json(&self.tables)?),
            text(json(&self.alarm_seqs)?),
            text(self.ahead_json()?),
            text(json(&self.state)?),
        ];
        RecordBatch::try_new(Self::schema(), columns).map_err(HistoryError::arrow(COMMITS))
    }

    /// From the only row of `commits`.
    pub(crate) fn from_batch(batch: &RecordBatch) -> Result<Self> {
        let watermarks = partitions(text(batch, "watermarks")?)?;
        Ok(Self {
            number: number(batch, "commit")?,
            offsets: partitions(text(batch, "offsets")?)?.collect(),
            replay_from: partitions(text(batch, "replay_from")?)?.collect(),
            watermarks: watermarks
                .map(|(partition, time)| (partition, EventTime::from_millis(time)))
                .collect(),
            watermark: EventTime::from_millis(number(batch, "watermark_ms")?),
            rule_version: text(batch, "rule_version")?.to_owned(),
            state: parsed("state", text(batch, "state")?)?,
            tables: parsed("tables", text(batch, "tables")?)?,
            alarm_seqs: parsed("alarm_seqs", text(batch, "alarm_seqs")?)?,
            ahead: Self::ahead_of_json(text(batch, "ahead")?)?,
        })
    }

    fn ahead_json(&self) -> Result<String> {
        let values = |offsets: &Offsets| -> Vec<PerPartition> {
            let value = |(partition, value): (&Partition, &i64)| PerPartition {
                partition: partition.clone(),
                value: *value,
            };
            offsets.iter().map(value).collect()
        };
        json(&self.ahead.iter().map(|(table, offsets)| (table, values(offsets))).collect::<BTreeMap<_, _>>())
    }

    fn ahead_of_json(text: &str) -> Result<BTreeMap<String, Offsets>> {
        let tables: BTreeMap<String, Vec<PerPartition>> = parsed("ahead", text)?;
        let offsets = |values: Vec<PerPartition>| {
            values.into_iter().map(|value| (value.partition, value.value)).collect()
        };
        Ok(tables.into_iter().map(|(table, values)| (table, offsets(values))).collect())
    }

    /// Refuses `offsets` that would take a position back.
    ///
    /// # Errors
    /// [`HistoryError::Backwards`] names the partition.
    pub fn check_forwards(&self, offsets: &Offsets) -> Result<()> {
        let mut back = self.offsets.iter().filter_map(|(partition, stored)| {
            let offered = offsets.get(partition).filter(|offered| *offered < stored)?;
            Some((partition, *stored, *offered))
        });
        match back.next() {
            Some((partition, stored, offered)) => {
                Err(HistoryError::Backwards { partition: partition.clone(), stored, offered })
            }
            None => Ok(()),
        }
    }

    /// For each partition the offset below which `table` has its records.
    pub(crate) fn done(&self, table: &str) -> Offsets {
        let mut done = self.offsets.clone();
        for (partition, offset) in self.ahead.get(table).into_iter().flatten() {
            let bound = done.entry(partition.clone()).or_insert(*offset);
            *bound = (*bound).max(*offset);
        }
        done
    }

    /// Forgets how far `partitions` are done: their offsets have lost their meaning.
    pub(crate) fn forget(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.offsets.remove(partition);
            self.ahead.values_mut().for_each(|offsets| {
                offsets.remove(partition);
            });
        }
    }

    /// Forgets where tables were ahead of what `offsets` has reached since.
    pub(crate) fn prune_ahead(&mut self) {
        for offsets in self.ahead.values_mut() {
            offsets
                .retain(|partition, offset| self.offsets.get(partition).is_none_or(|done| *done < *offset));
        }
        self.ahead.retain(|_, offsets| !offsets.is_empty());
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| HistoryError::Checkpoint(error.to_string()))
}

fn per_partition<'a>(values: impl Iterator<Item = (&'a Partition, i64)>) -> Result<String> {
    let values = values.map(|(partition, value)| PerPartition { partition: partition.clone(), value });
    json(&values.collect::<Vec<_>>())
}

fn parsed<'text, T: Deserialize<'text>>(column: &str, text: &'text str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| HistoryError::Checkpoint(format!("column `{column}`: {error}")))
}

fn partitions(text: &str) -> Result<impl Iterator<Item = (Partition, i64)> + use<>> {
    let values: Vec<PerPartition> = parsed("offsets", text)?;
    Ok(values.into_iter().map(|value| (value.partition, value.value)))
}

fn text<'batch>(batch: &'batch RecordBatch, column: &str) -> Result<&'batch str> {
    let array = batch.column_by_name(column).and_then(|array| array.as_any().downcast_ref::<StringArray>());
    array
        .filter(|array| array.len() == 1)
        .map(|array| array.value(0))
        .ok_or_else(|| HistoryError::Checkpoint(format!("it lacks the column `{column}`")))
}

fn number(batch: &RecordBatch, column: &str) -> Result<i64> {
    let array = batch.column_by_name(column).and_then(|array| array.as_any().downcast_ref::<Int64Array>());
    array
        .filter(|array| array.len() == 1)
        .map(|array| array.value(0))
        .ok_or_else(|| HistoryError::Checkpoint(format!("it lacks the column `{column}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_back_as_it_was_written_even_at_the_ends_of_event_time() {
        for watermark in [EventTime::MIN, EventTime::from_millis(1_700_000_000_123), EventTime::MAX] {
            let partition = Partition::new("site-1.access", 3);
            let checkpoint = Checkpoint {
                number: 7,
                offsets: [(partition.clone(), 12)].into(),
                ahead: [("iot".to_owned(), [(partition.clone(), 14)].into())].into(),
                replay_from: [(partition.clone(), 3)].into(),
                watermarks: [(partition, watermark)].into(),
                watermark,
                rule_version: "r1".to_owned(),
                state: serde_json::json!({"open": [1, 2]}),
                tables: [("access".to_owned(), 4)].into(),
                alarm_seqs: [("a".to_owned(), 9)].into(),
            };
            let batch = checkpoint.to_batch(EventTime::from_millis(5)).unwrap();
            assert_eq!(Checkpoint::from_batch(&batch).unwrap(), checkpoint);
        }
    }
}
