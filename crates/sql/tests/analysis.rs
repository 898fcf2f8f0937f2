//! Every query of `queries/analysis` over a few hand-made rows (`fixtures/analysis/rows`), with the result it
//! has to have (`fixtures/analysis/expected`). Set `HEXWATCH_BLESS=1` to write the results anew, and read them.

#![allow(clippy::unwrap_used, reason = "a panic is the failure")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use datafusion::prelude::SessionContext;
use hexwatch_contract::catalog;
use hexwatch_grid::cell;
use hexwatch_sql::catalog::{register_missing, register_rows};
use hexwatch_sql::encode::encode;
use hexwatch_sql::{Format, Guard, Kind, QueryFile, QuerySet, analyst_session};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn queries() -> Vec<QueryFile> {
    let files = files(&root().join("queries/analysis"), "sql");
    let set = QuerySet::read(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    assert!(set.refused.is_empty(), "{:#?}", set.refused);
    set.files
}

/// The schema with everything optional: a hand-made row says only what matters to a query.
fn relaxed(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| Field::clone(field).with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A row as JSON, its cell given in hex digits or as `[lon, lat]`.
fn row(line: &str, res: u8) -> Value {
    let mut row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    let cell = match &row["cell"] {
        Value::Array(at) => cell::cell_at(at[0].as_f64().unwrap(), at[1].as_f64().unwrap(), res),
        Value::String(text) => cell::parse(text),
        _ => None,
    };
    if let Some(cell) = cell {
        row["cell"] = cell.to_i64().into();
    }
    row
}

fn batch(text: &str, schema: &SchemaRef, res: u8) -> RecordBatch {
    let rows: Vec<Value> = text.lines().filter(|line| !line.is_empty()).map(|line| row(line, res)).collect();
    let mut decoder = ReaderBuilder::new(schema.clone()).with_strict_mode(true).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    decoder.flush().unwrap().unwrap()
}

fn session() -> SessionContext {
    let session = analyst_session(64 << 20).unwrap();
    for (path, text) in files(&root().join("fixtures/analysis/rows"), "ndjson") {
        let name = Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
        let schema = relaxed(&catalog::schema(&name).unwrap_or_else(|| panic!("there is no table {name}")));
        let res = if name == "risk_cells" { 11 } else { 12 };
        let rows = batch(&text, &schema, res);
        register_rows(&session, &name, schema, vec![rows]).unwrap();
    }
    register_missing(&session).unwrap();
    session
}

#[tokio::test]
async fn every_analysis_says_what_its_rows_say() {
    let session = session();
    let queries = queries();
    assert!(queries.len() >= 10, "only {} queries", queries.len());
    for query in &queries {
        assert_eq!((query.kind, query.title.is_some()), (Kind::Analysis, true), "{}", query.file);
        let answer = Guard::default().run(&session, &query.sql().unwrap()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}; {}", query.file, error.fix));
        let said = String::from_utf8(encode(Format::Csv, &answer.schema, &answer.batches).unwrap()).unwrap();
        let golden = root().join("fixtures/analysis/expected").join(format!("{}.csv", query.name));
        if option_env!("HEXWATCH_BLESS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        let expected =
            fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
        assert_eq!(said, expected, "{}", query.file);
        assert!(said.lines().count() > 1, "{} has no rows to show what it does", query.file);
    }
}

#[tokio::test]
async fn no_analysis_pairs_a_person_with_a_judgement() {
    let session = session();
    for query in queries() {
        let plan = Guard::default().plan(&session, &query.sql().unwrap()).await.unwrap();
        let columns: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let refers = columns.iter().any(|name| name.ends_with("_ref"));
        let judges = columns.iter().any(|name| ["score", "risk", "level"].contains(&name.as_str()));
        assert!(!(refers && judges), "{}: {columns:?}", query.file);
    }
}

#[tokio::test]
async fn every_analysis_runs_over_a_young_history() {
    let session = analyst_session(64 << 20).unwrap();
    register_missing(&session).unwrap();
    for query in queries() {
        let answer = Guard::default().run(&session, &query.sql().unwrap()).await;
        assert!(answer.is_ok(), "{}: {answer:?}", query.file);
    }
}

#[test]
fn every_expected_result_belongs_to_a_query() {
    let names: BTreeSet<String> = queries().into_iter().map(|query| query.name).collect();
    for (path, _) in files(&root().join("fixtures/analysis/expected"), "csv") {
        let name = Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(names.contains(&name), "{path} belongs to no query");
    }
}
