use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use serde_json::{Map, json};

use super::*;
use crate::alarm::{Alarm, AlarmId, Class, ConfirmLevel, Explain, Input, Priority, State, Transition};
use crate::risk::{CellRisk, Contribution, GridShare, Hundredths, Level};
use crate::{Cell, DeadLetter, EventTime, Partition, Position, Stage};

fn input(offset: i64) -> Input {
    Input { topic: "access".into(), partition: 1, offset, id: format!("a-{offset}"), role: "denied".into() }
}

fn alarm() -> Alarm {
    let at = EventTime::from_millis(1_000);
    Alarm {
        alarm_id: AlarmId::of("R06", 1, "ap-1", at),
        seq: 7,
        site: "s".into(),
        rule: "R06".into(),
        rule_version: 1,
        class: Class::Access,
        priority: Priority::P2,
        state: State::RtnUnack,
        transition: Transition::Raise,
        actor_ref: None,
        note: None,
        assigned_to: None,
        shelved_until: None,
        raised_at: at,
        changed_at: at,
        emitted_at: at,
        key: "ap-1".into(),
        device: Some("ap-1".into()),
        cell: Some(Cell::from_index(0x08c2_8308_2803_01ff)),
        lon: None,
        lat: None,
        area: None,
        grid: None,
        officer_role: None,
        inputs: vec![input(3), input(4)],
        measured: Map::from_iter([("denials".to_owned(), json!(3))]),
        confirm_level: ConfirmLevel::Single,
        drill: false,
        replay: false,
        incident: None,
        explain: Explain::default(),
    }
}

fn risk(score: Option<u32>) -> CellRisk {
    let share = Hundredths(score.unwrap_or(0));
    let part = Contribution {
        term: "access".into(),
        value: 1.5,
        weight: 2.0,
        share,
        n: 3,
        top_inputs: vec![input(1)],
    };
    CellRisk {
        cell: Cell::from_index(1),
        res: 11,
        window_start: EventTime::from_millis(0),
        window_end: EventTime::from_millis(10_000),
        watermark: EventTime::from_millis(10_000),
        score: score.map(Hundredths),
        contrib: vec![part],
        level: if score.is_some() { Level::High } else { Level::Unknown },
        coverage: 0.5,
        n_events: 3,
        grid: vec![GridShare { grid: "g".into(), share: 1.0 }],
        rev: 0,
    }
}

#[test]
fn every_listed_table_has_a_schema_without_a_name_twice() {
    for (table, _) in TABLES {
        let schema = schema(table).unwrap_or_else(|| panic!("{table} has no schema"));
        let mut names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), schema.fields().len(), "{table}");
    }
    assert!(schema("nonsense").is_none());
}

#[test]
fn an_alarm_becomes_a_row_with_its_inputs_and_its_words() {
    let batch = alarm_batch(&[alarm(), alarm()]);
    assert_eq!(batch.schema(), alarm_changes());
    let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().value(1).to_owned();
    assert_eq!(text("state"), "rtn_unack");
    assert_eq!(text("measured"), r#"{"denials":3}"#);
    let inputs = batch.column_by_name("inputs").unwrap().as_list::<i32>().value(1);
    let offsets = inputs.as_struct().column_by_name("offset").unwrap().as_primitive::<Int64Type>().clone();
    assert_eq!(offsets.values().to_vec(), [3, 4]);
}

#[test]
fn an_unknown_risk_has_no_score_and_keeps_its_parts() {
    let batch = risk_batch(&[risk(None), risk(Some(4_125))]);
    assert_eq!(batch.schema(), risk_cells());
    let score = batch.column_by_name("score").unwrap().as_primitive::<Float64Type>();
    assert!(score.is_null(0));
    assert!((score.value(1) - 41.25).abs() < f64::EPSILON);
    let parts = batch.column_by_name("contrib").unwrap().as_list::<i32>().value(1);
    assert_eq!(parts.as_struct().column_by_name("term").unwrap().as_string::<i32>().value(0), "access");
}

#[test]
fn no_rows_make_an_empty_batch() {
    assert_eq!(alarm_batch(&[]).num_rows(), 0);
    assert_eq!(risk_batch(&[]).num_rows(), 0);
    assert_eq!(DeadLetterRows::default().finish().num_rows(), 0);
    assert_eq!(audit_batch(&[]).num_rows(), 0);
}

#[test]
fn a_dead_letter_says_which_table_it_was_meant_for() {
    let letter = DeadLetter {
        position: Position { partition: Partition::new("x.camera-alert", 2), offset: 9 },
        meant_for: crate::Topic::CameraAlert,
        kafka_time: EventTime::from_millis(1),
        refused_at: EventTime::from_millis(2),
        key: None,
        id: None,
        stage: Stage::Decode,
        error_code: "not_json".into(),
        field: None,
        message: "m".into(),
        payload_sha256: crate::Sha256Sum([0xa1; 32]),
        payload: None,
    };
    let mut rows = DeadLetterRows::default();
    rows.push(&letter);
    let of_one = rows.finish();
    let full =
        DeadLetter { key: Some("k".into()), id: Some("i".into()), payload: Some("eA==".into()), ..letter };
    rows.push(&full);
    rows.push(&DeadLetter { field: Some("f".into()), ..full });
    assert_eq!((rows.len(), rows.payload_bytes()), (2, 8));
    let of_two = rows.finish();
    assert!(rows.is_empty());
    assert_eq!((of_one.num_rows(), of_two.num_rows()), (1, 2));
    assert_eq!((of_one.schema(), of_two.schema()), (dead_letters(), dead_letters()));
    let text = |batch: &arrow::array::RecordBatch, name, row| {
        let texts = batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        (!texts.is_null(row)).then(|| texts.value(row).to_owned())
    };
    assert_eq!(text(&of_one, "meant_for", 0).as_deref(), Some("camera_alert"));
    assert_eq!(text(&of_one, "payload_sha256", 0), Some("a1".repeat(32)));
    for (name, value) in [("key", "k"), ("id", "i"), ("payload", "eA==")] {
        assert_eq!(text(&of_one, name, 0), None, "{name}");
        assert_eq!(text(&of_two, name, 1).as_deref(), Some(value), "{name}");
    }
    assert_eq!(text(&of_two, "field", 0), None);
    assert_eq!(text(&of_two, "field", 1).as_deref(), Some("f"));
}

#[test]
fn a_late_row_is_kept_whole() {
    use arrow::array::new_null_array;
    use arrow::array::{
        ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    };
    let schema = crate::event::schema(crate::Topic::Iot);
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match field.data_type() {
                _ if field.is_nullable() => new_null_array(field.data_type(), 1),
                arrow::datatypes::DataType::Utf8 => Arc::new(StringArray::from(vec![field.name().as_str()])),
                arrow::datatypes::DataType::Int32 => Arc::new(Int32Array::from(vec![1])),
                arrow::datatypes::DataType::Int64 => Arc::new(Int64Array::from(vec![5])),
                other => {
                    Arc::new(TimestampMicrosecondArray::from(vec![1_000_000]).with_data_type(other.clone()))
                }
            }
        })
        .collect();
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    let late = late_batch(&rows, EventTime::from_millis(90_000)).unwrap();
    assert_eq!(late.schema(), late_events());
    let row: serde_json::Value =
        serde_json::from_str(late.column_by_name("row").unwrap().as_string::<i32>().value(0)).unwrap();
    assert_eq!(row["offset"], 5);
}
