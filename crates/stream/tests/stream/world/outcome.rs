//! What came out of the engine, and what the same queries give over history.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::catalog::MemTable;
use datafusion::prelude::SessionContext;
use hexwatch_contract::{Account, Topic, event};
use hexwatch_stream::Effects;
use serde_json::{Map, Value};

use super::registry;
use crate::files::{self, QueryFile};

/// What came out, folded as a reader folds it: by key, the last one counts.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) admitted: BTreeMap<Topic, Vec<RecordBatch>>,
    pub(crate) accounts: Account,
    pub(crate) late: u64,
    /// By query and key, the row.
    pub(crate) results: BTreeMap<(String, String), String>,
    pub(crate) told: usize,
}

impl Outcome {
    pub(crate) fn fold(&mut self, effects: Effects, files: &[QueryFile]) {
        for (_, account) in effects.accounts {
            self.accounts += account;
        }
        self.late += effects.late.iter().map(|batch| batch.records.num_rows() as u64).sum::<u64>();
        for batch in effects.admitted {
            self.admitted.entry(batch.topic).or_default().push(batch.records);
        }
        for hit in effects.withdrawn_hits {
            self.results.remove(&hit_row(&hit).0);
        }
        for hit in effects.hits {
            self.told += 1;
            let (key, row) = hit_row(&hit);
            self.results.insert(key, row);
        }
        for rows in effects.rows {
            let file = files.iter().find(|file| *file.name == *rows.view).unwrap();
            for (key, _) in view_rows(file, &rows.withdrawn) {
                self.results.remove(&key);
            }
            self.told += rows.records.num_rows();
            self.results.extend(view_rows(file, &rows.records));
        }
    }
}

fn hit_row(hit: &hexwatch_contract::alarm::RuleHit) -> ((String, String), String) {
    let id = format!("{}/{}/{:?}", hit.key, hit.window_start, hit.transition);
    ((format!("rule {}", hit.rule), id), serde_json::to_string(hit).unwrap())
}

/// The rows of a view by key.
fn view_rows(file: &QueryFile, rows: &RecordBatch) -> Vec<((String, String), String)> {
    let keys = &file.key;
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    let rows: Vec<Map<String, Value>> =
        if bytes.is_empty() { vec![] } else { serde_json::from_slice(&bytes).unwrap() };
    rows.into_iter()
        .map(|row| {
            let key: Vec<String> =
                keys.iter().map(|key| row.get(key).unwrap_or(&Value::Null).to_string()).collect();
            ((file.name.clone(), key.join("/")), serde_json::to_string(&row).unwrap())
        })
        .collect()
}

/// What `files` give as one batch over the rows that `outcome` admitted.
pub(crate) fn over_history(files: &[QueryFile], outcome: &Outcome) -> BTreeMap<(String, String), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let context: SessionContext = files::history_session();
        for topic in Topic::ALL {
            let schema = event::schema(topic);
            let batches = outcome.admitted.get(&topic).cloned().unwrap_or_default();
            let batch = concat_batches(&schema, &batches).unwrap();
            context
                .register_table(
                    topic.table(),
                    Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap()),
                )
                .unwrap();
        }
        for (name, table) in registry().tables {
            let table = MemTable::try_new(table.schema(), vec![vec![table]]).unwrap();
            context.register_table(name, Arc::new(table)).unwrap();
        }
        hexwatch_stream::history::register_functions(&context, &registry(), None);
        let mut results = BTreeMap::new();
        for file in files {
            if file.rule.is_some() {
                for hit in hexwatch_stream::history::hits_over_history(&context, file).await.unwrap() {
                    let (key, row) = hit_row(&hit);
                    let doubled = results.insert(key.clone(), row);
                    assert!(doubled.is_none(), "two rows of one key over history: {key:?}");
                }
            } else {
                let rows = hexwatch_stream::history::run_over_history(&context, file).await.unwrap();
                let expected = rows.num_rows();
                let rows = view_rows(file, &rows);
                let before = results.len();
                results.extend(rows);
                assert_eq!(
                    results.len() - before,
                    expected,
                    "a key comes twice over history in {}",
                    file.name
                );
            }
        }
        results
    })
}
