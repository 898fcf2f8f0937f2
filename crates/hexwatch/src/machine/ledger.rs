//! What the next commit will hold: rows of all tables since the last one, with the engine's place in its records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use hexwatch_contract::catalog::{DeadLetterRows, late_batch, risk_batch};
use hexwatch_contract::risk::CellRisk;
use hexwatch_contract::{DeadLetter, EventBatch, EventTime, Topic};
use hexwatch_history::{Commit, TableName};
use hexwatch_stream::ViewRows;
use serde_json::Value;

use super::row_keys::RowShapes;
use super::state::State;

/// So much of a payload counts as a row: about as much as a row of an event takes.
const BYTES_OF_A_ROW: usize = 256;

/// So many refused records are rows of one batch, or so many bytes of what they carried.
const LETTERS_AT_ONCE: usize = 4_096;
const PAYLOADS_AT_ONCE: usize = 4 * 1024 * 1024;

/// For how many rows the payload of `letter` counts.
pub(super) fn weight_of(letter: &DeadLetter) -> usize {
    letter.payload.as_ref().map_or(0, |payload| payload.len() / BYTES_OF_A_ROW)
}

/// Rows on their way to history.
pub(super) struct Ledger {
    rows: BTreeMap<TableName, Vec<RecordBatch>>,
    count: usize,
    letters: DeadLetterRows,
    /// What their payloads count for.
    weight: usize,
    shapes: Arc<RowShapes>,
    kept: BTreeSet<Topic>,
    rule_version: String,
}

impl Ledger {
    /// An empty ledger. `shapes` tell what identifies a row of each query; the records of `kept` topics
    /// become rows, of others only their positions are kept.
    pub(super) fn new(shapes: Arc<RowShapes>, kept: BTreeSet<Topic>) -> Self {
        // A name for the set of queries that makes derived rows.
        let rule_version = shapes.keys().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
        Self {
            rows: BTreeMap::new(),
            count: 0,
            letters: DeadLetterRows::default(),
            weight: 0,
            shapes,
            kept,
            rule_version,
        }
    }

    /// How many rows wait. Payloads of refused records count by their size: they may be a thousand times as large as a
    /// row is.
    pub(super) fn len(&self) -> usize {
        self.count + self.letters.len() + self.weight
    }

    pub(super) fn admit(&mut self, events: Vec<EventBatch>) {
        for batch in events {
            if self.kept.contains(&batch.topic) {
                self.add(TableName::Events(batch.topic), batch.records);
            }
        }
    }

    /// Keeps rows that came too late; the merged watermark stood at `watermark` then.
    pub(super) fn late(&mut self, late: &[EventBatch], watermark: EventTime) -> Result<()> {
        for batch in late {
            let rows = late_batch(&batch.records, watermark).context("writing late rows")?;
            self.add(TableName::LateEvents, rows);
        }
        Ok(())
    }

    pub(super) fn refuse(&mut self, letters: impl IntoIterator<Item = Arc<DeadLetter>>) {
        for letter in letters {
            self.weight += weight_of(&letter);
            self.letters.push(&letter);
            if self.letters.len() >= LETTERS_AT_ONCE || self.letters.payload_bytes() >= PAYLOADS_AT_ONCE {
                self.lay_down_letters();
            }
        }
    }

    fn lay_down_letters(&mut self) {
        let rows = self.letters.finish();
        self.add(TableName::DeadLetters, rows);
    }

    pub(super) fn risks(&mut self, risks: &[CellRisk]) {
        if !risks.is_empty() {
            self.add(TableName::RiskCells, risk_batch(risks));
        }
    }

    /// Keeps rows of a view, and that others no longer hold.
    pub(super) fn view(&mut self, rows: &ViewRows) -> Result<()> {
        let key = self.shapes.get(&rows.view).map(|shape| shape.key.as_slice()).unwrap_or_default();
        let table = TableName::view(&rows.view, key);
        if rows.withdrawn.num_rows() > 0 {
            let gone = hexwatch_history::withdrawn(&rows.withdrawn);
            let gone = gone.with_context(|| format!("taking rows of view {} back", rows.view))?;
            self.add(table.clone(), gone);
        }
        self.add(table, rows.records.clone());
        Ok(())
    }

    fn add(&mut self, table: TableName, records: RecordBatch) {
        if records.num_rows() > 0 {
            self.count += records.num_rows();
            self.rows.entry(table).or_default().push(records);
        }
    }

    /// Takes everything for one commit, which stands at `state`; that itself is left out.
    pub(super) fn take(&mut self, state: &State) -> Commit {
        self.lay_down_letters();
        (self.count, self.weight) = (0, 0);
        let checkpoint = &state.engine;
        let partitions = || checkpoint.partitions.iter();
        Commit {
            rows: std::mem::take(&mut self.rows).into_iter().collect(),
            offsets: partitions().map(|place| (place.partition.clone(), place.next_offset)).collect(),
            replay_from: checkpoint.replay_from(),
            watermarks: partitions()
                .filter_map(|place| Some((place.partition.clone(), place.watermark?)))
                .collect(),
            watermark: checkpoint.watermark.unwrap_or(EventTime::MIN),
            rule_version: self.rule_version.clone(),
            state: Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use arrow::datatypes::Int64Type;
    use hexwatch_contract::{Partition, Position, Sha256Sum, Stage};

    use super::*;

    fn letter(offset: i64, payload: usize) -> Arc<DeadLetter> {
        Arc::new(DeadLetter {
            position: Position { partition: Partition::new("iot", 0), offset },
            meant_for: Topic::Iot,
            kafka_time: EventTime::from_millis(0),
            refused_at: EventTime::from_millis(0),
            key: None,
            id: None,
            stage: Stage::Decode,
            error_code: "not_json".into(),
            field: None,
            message: "".into(),
            payload_sha256: Sha256Sum::default(),
            payload: Some("x".repeat(payload)),
        })
    }

    #[test]
    fn letters_are_rows_in_their_order_and_no_batch_of_them_is_large() {
        const LARGE: usize = 1024 * 1024;
        let small = 2 * LETTERS_AT_ONCE + 1;
        let lengths = std::iter::repeat_n(8, small).chain(std::iter::repeat_n(LARGE, 10));
        let mut ledger = Ledger::new(Arc::default(), BTreeSet::new());
        ledger.refuse((0..).zip(lengths).map(|(offset, length)| letter(offset, length)));
        assert_eq!(ledger.len(), small + 10 + 10 * LARGE / BYTES_OF_A_ROW);
        ledger.lay_down_letters();
        let batches = &ledger.rows[&TableName::DeadLetters];
        let offsets = batches.iter().flat_map(|rows| rows["offset"].as_primitive::<Int64Type>().values());
        assert!(offsets.copied().eq(0..i64::try_from(small + 10).unwrap()));
        for rows in batches {
            let payloads = rows["payload"].as_string::<i32>().iter().flatten().map(str::len).sum::<usize>();
            assert!(rows.num_rows() <= LETTERS_AT_ONCE && payloads < PAYLOADS_AT_ONCE + LARGE, "{payloads}");
        }
    }
}
