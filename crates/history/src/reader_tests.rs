//! What a reader sees, from this process and beside it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use futures::TryStreamExt as _;
use hexwatch_contract::Topic;
use tempfile::TempDir;

use crate::failpoints::NoFailpoints;
use crate::fixtures::{
    Unsynced, access, ack, alarm, clock, commit, count, numbers, risk_corrections, time_of, view, view_rows,
};
use crate::history::History;
use crate::order::withdrawn;
use crate::read::plain_session;
use crate::reader::Reader;
use crate::table_name::TableName;

async fn open(folder: &TempDir) -> History {
    History::open_with(folder.path(), clock(), Arc::new(Unsynced), Arc::new(NoFailpoints)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_nobody_has_written_to_is_empty_and_has_its_columns() {
    let folder = TempDir::new().unwrap();
    for table in crate::catalog::names() {
        assert_eq!(count(folder.path(), table).await, 0, "{table}");
    }
    assert_eq!(
        numbers(folder.path(), "SELECT cell FROM iot WHERE battery_pct < 20").await,
        Vec::<i64>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_tables_hold_what_was_put_there_last_and_survive_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut history = open(&folder).await;
    for rows in [3, 2] {
        let cells = Int64Array::from_iter_values(0..rows);
        let batch = RecordBatch::try_from_iter([("cell", Arc::new(cells) as ArrayRef)]).unwrap();
        history.writer.replace_reference("grid_cells", &batch).await.unwrap();
        assert_eq!(count(folder.path(), "grid_cells").await, rows);
    }
    let error = history.writer.replace_reference("access", &access(0..1)).await.unwrap_err();
    assert!(error.to_string().contains("only a reference table is replaced"), "{error}");
    drop(history);
    assert_eq!(open(&folder).await.writer.resume().report, crate::takeover::RecoveryReport::default());
    assert_eq!(count(folder.path(), "grid_cells").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_query_sees_the_newest_commit() {
    let folder = TempDir::new().unwrap();
    let mut history = open(&folder).await;
    let session = plain_session();
    history.reader.register(&session).unwrap();
    let rows = async || session.sql("SELECT id FROM access").await.unwrap().count().await.unwrap();
    assert_eq!(rows().await, 0);
    for next in 1..4 {
        let batch = access(next - 1..next);
        history
            .writer
            .commit(&commit(vec![(TableName::Events(Topic::Access), vec![batch])], next, 0))
            .await
            .unwrap();
        assert_eq!(rows().await, usize::try_from(next).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_show_their_last_change_and_views_their_last_correction() {
    let folder = TempDir::new().unwrap();
    let mut history = open(&folder).await;
    let raised = alarm("a", 1);
    history.alarms.append(&[raised.clone(), alarm("a", 2)]).unwrap();
    // Two corrections of window 1: one later in the same commit, one in the next.
    let rows = vec![(view(), vec![view_rows(1..3, 10), view_rows(1..2, 11)])];
    history.writer.commit(&commit(rows, 1, 0)).await.unwrap();
    history.alarms.append(&[ack(&raised, 3)]).unwrap();
    history.writer.commit(&commit(vec![(view(), vec![view_rows(2..3, 12)])], 2, 0)).await.unwrap();

    let folder = folder.path();
    assert_eq!(numbers(folder, "SELECT count(*) FROM alarm_changes").await, [3]);
    assert_eq!(numbers(folder, "SELECT seq FROM alarms WHERE state = 'acked'").await, [3]);
    assert_eq!(numbers(folder, "SELECT seq FROM alarms ORDER BY 1").await, [2, 3]);
    assert_eq!(numbers(folder, "SELECT n FROM view_heat ORDER BY cell").await, [11, 12]);
    assert_eq!(numbers(folder, "SELECT n FROM view_heat WHERE cell = 2").await, [12]);
    assert_eq!(numbers(folder, "SELECT n FROM view_heat_revisions ORDER BY _order").await, [10, 10, 11, 12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_risk_of_a_window_is_its_last_correction() {
    let folder = TempDir::new().unwrap();
    let mut history = open(&folder).await;
    let said = [(1..5, 0), (2..4, 1), (2..3, 2), (4..5, 3)];
    for (number, (windows, rev)) in (1..).zip(said) {
        let rows = vec![(TableName::RiskCells, vec![risk_corrections(windows, rev)])];
        history.writer.commit(&commit(rows, number, 0)).await.unwrap();
    }
    let folder = folder.path();
    assert_eq!(numbers(folder, "SELECT rev FROM risk_cells ORDER BY window_end").await, [0, 2, 1, 3]);
    assert_eq!(numbers(folder, "SELECT count(*) FROM risk_cells WHERE level = 'elevated'").await, [4]);
    assert_eq!(numbers(folder, "SELECT count(*) FROM risk_cell_revisions").await, [8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_withdrawn_is_not_shown_until_it_is_given_again() {
    let folder = TempDir::new().unwrap();
    let mut history = open(&folder).await;
    let keyless = || TableName::view("keyless", &[]);
    let gone = |windows| withdrawn(&view_rows(windows, 10)).unwrap();
    for (number, batches) in [
        (1, vec![view_rows(1..4, 10)]),
        (2, vec![gone(2..3), view_rows(4..5, 10)]),
        (3, vec![gone(3..4), view_rows(3..4, 10), gone(4..5)]),
    ] {
        let rows = vec![(view(), batches.clone()), (keyless(), batches)];
        history.writer.commit(&commit(rows, number, 0)).await.unwrap();
    }
    for name in ["view_heat", "view_keyless"] {
        let folder = folder.path();
        let sql = |what: &str| format!("SELECT {what}");
        assert_eq!(numbers(folder, &sql(&format!("cell FROM {name} ORDER BY cell"))).await, [1, 3], "{name}");
        let taken_back = sql(&format!("cell FROM {name}_revisions WHERE _withdrawn ORDER BY cell"));
        assert_eq!(numbers(folder, &taken_back).await, [2, 3, 4], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_time_is_replayed_in_order() {
    let folder = TempDir::new().unwrap();
    let mut history = open(&folder).await;
    for (from, to) in [(0, 5), (5, 10)] {
        let rows = vec![(TableName::Events(Topic::Access), vec![access(from..to)])];
        history.writer.commit(&commit(rows, to, 0)).await.unwrap();
    }
    let rows = history.reader.rows("access", time_of(3), time_of(7)).await.unwrap();
    let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    let offsets: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            let offsets = batch.column_by_name("offset").unwrap();
            offsets.as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
        })
        .collect();
    assert_eq!(offsets, [3, 4, 5, 6]);
    let error = history.reader.rows("nowhere", time_of(3), time_of(7)).await.err().unwrap();
    assert!(error.to_string().contains("there is no such table"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_has_registered_itself_comes_first() {
    let folder = TempDir::new().unwrap();
    let session = plain_session();
    let devices =
        RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    session.register_batch("devices", devices.clone()).unwrap();
    Reader::open(folder.path()).unwrap().register(&session).unwrap();
    session.register_batch("zones", devices).unwrap();
    for table in ["devices", "zones"] {
        assert_eq!(session.table(table).await.unwrap().count().await.unwrap(), 1, "{table}");
    }
    let names = session.catalog("datafusion").unwrap().schema("public").unwrap().table_names();
    assert!(names.contains(&"devices".to_owned()) && names.contains(&"alarms".to_owned()));
}
