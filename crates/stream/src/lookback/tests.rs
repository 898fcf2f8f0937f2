#![allow(clippy::unwrap_used, reason = "a panic is the failure")]

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use arrow::json::ReaderBuilder;
use hexwatch_contract::{EventTime, catalog, event};
use hexwatch_sql::QueryFile;
use serde_json::{Value, json};

use super::*;
use crate::planner::Planner;
use crate::query::Operator;
use crate::spec::Spec;

const MINUTE: i64 = 60_000_000;

/// The files of rules, with what they keep.
fn rules(names: &[&str]) -> (Vec<LookbackQuery>, Stocks) {
    let mut queries: Vec<LookbackQuery> = names.iter().map(|name| planned(name)).collect();
    let stocks = Stocks::of(queries.iter_mut().map(|query| (query, None)));
    (queries, stocks)
}

fn planned(name: &str) -> LookbackQuery {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../queries/rules/{name}.sql"));
    planned_of(name, &std::fs::read_to_string(path).unwrap())
}

fn planned_of(name: &str, text: &str) -> LookbackQuery {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let devices = RecordBatch::new_empty(catalog::devices());
    let planner = Planner {
        runtime: std::sync::Arc::new(runtime),
        reference: BTreeMap::from([("devices".to_owned(), devices)]),
        horizon: 10 * MINUTE,
    };
    let spec = Spec::of(&QueryFile::parse(&format!("{name}.sql"), text).unwrap()).unwrap();
    match planner.plan(&spec).ok().unwrap().operator {
        Operator::Lookback(query) => *query,
        other => panic!("{name} does not look back: {other:?}"),
    }
}

fn row(topic: Topic, device: &str, minute: i64, body: &Value) -> RecordBatch {
    let mut row = json!({
        "id": format!("{device}{minute}"), "source": "", "time": minute * MINUTE / 1000, "site": "s",
        "device": device, "status": "actual", "time_quality": "good", "topic": topic.name(), "partition": 0,
        "offset": minute, "ingested_at": 0, "cell": 1,
    });
    row[event::entity(topic)] = device.into();
    row["time"] = format!("1970-01-01T00:{minute:02}:00Z").into();
    row["ingested_at"] = row["time"].clone();
    row.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let mut decoder = ReaderBuilder::new(event::schema(topic)).build_decoder().unwrap();
    decoder.serialize(&[row]).unwrap();
    decoder.flush().unwrap().unwrap()
}

fn take(query: &mut LookbackQuery, stocks: &mut Stocks, topic: Topic, records: &RecordBatch) {
    for arrival in stocks.take(topic, records).unwrap() {
        query.note(&arrival);
    }
}

/// How many rows its feeds would look at.
fn looked_at(query: &mut LookbackQuery, stocks: &Stocks) -> usize {
    for part in &mut query.parts {
        part.choose(false, &query.lanes, stocks);
    }
    let among = |part: usize| query.parts[part].among();
    query.lanes.fill(stocks, (i64::MIN / 8, i64::MAX / 8), among, |_| Ok(None)).unwrap();
    query.lanes.rows_in_slots()
}

#[test]
fn a_device_that_says_what_is_ordinary_is_not_looked_at_until_it_says_something_else() {
    let smoke = |state: &str| json!({ "property": "smoke_obscuration", "state": state, "result": 0.1 });
    let gas = |result: f64| json!({ "property": "ch4", "result": result, "unit": "%LEL" });
    let (denied, granted) = (json!({ "event": "denied" }), json!({ "event": "granted" }));
    for (name, topic, ordinary, other) in [
        ("r15_smoke", Topic::Iot, smoke("normal"), smoke("alarm")),
        ("r15_smoke_confirmed", Topic::Iot, smoke("normal"), smoke("prealarm")),
        ("r15_smoke_not_reset", Topic::Iot, smoke("normal"), smoke("alarm")),
        ("r13_gas", Topic::Iot, gas(1.0), gas(21.0)),
        ("r06_denied_then_entry", Topic::Access, granted, denied),
    ] {
        let (mut queries, mut stocks) = rules(&[name]);
        let query = &mut queries[0];
        for minute in 0..8 {
            let device = format!("d{}", minute % 4);
            take(query, &mut stocks, topic, &row(topic, &device, minute, &ordinary));
        }
        assert_eq!(looked_at(query, &stocks), 0, "{name}");
        assert!(query.dirty.take().is_empty(), "{name}: nothing can have changed");
        take(query, &mut stocks, topic, &row(topic, "d1", 9, &other));
        let (looked_at, own) = (looked_at(query, &stocks), 3 * query.lanes.scans().count());
        assert!((1..=own).contains(&looked_at), "{name}: {looked_at} rows of {own} of its own");
    }
}

#[test]
fn scans_that_let_the_same_rows_through_share_them() {
    let smoke = ["r15_smoke", "r15_smoke_confirmed", "r15_smoke_not_reset"];
    for (names, count) in
        [(&smoke[..1], 1), (&smoke[1..2], 4), (&smoke[..], 4), (&["r07_denied_loitering"][..], 7)]
    {
        let (queries, stocks) = rules(names);
        let scans: usize = queries.iter().map(|query| query.lanes.scans().count()).sum();
        assert_eq!(stocks.count(), count, "{names:?}: {scans} scans");
    }
}

#[test]
fn what_was_said_while_all_was_ordinary_is_kept_for_as_long_as_it_can_matter() {
    let smoke = |state: &str| json!({ "property": "smoke_obscuration", "state": state, "result": 0.1 });
    let gas = |result: f64| json!({ "property": "ch4", "result": result, "unit": "%LEL" });
    for (names, ordinary, other, minutes, all) in [
        // A rise of one minute, and a quiet report of the five before an alarm.
        (
            &["r15_smoke", "r15_smoke_confirmed", "r15_smoke_not_reset"][..],
            smoke("normal"),
            smoke("alarm"),
            6,
            60,
        ),
        // A slope of five minutes, compared with those of five more, and where its run began in four.
        (&["r13_gas"][..], gas(1.0), gas(21.0), 14, 40),
    ] {
        let (mut queries, mut stocks) = rules(names);
        for minute in 0..60 {
            for device in ["calm", "rare"] {
                let body = if (device, minute) == ("rare", 20) { &other } else { &ordinary };
                for arrival in stocks.take(Topic::Iot, &row(Topic::Iot, device, minute, body)).unwrap() {
                    for query in &mut queries {
                        query.note(&arrival);
                    }
                }
            }
        }
        let (silences, known) = (BTreeMap::new(), EventTime::MIN);
        for query in &mut queries {
            query
                .advance(60 * MINUTE, Grounds { stocks: &stocks, silences: &silences, known, held: None })
                .unwrap();
            for part in query.parts().iter().filter(|part| part.reads_stock(0)) {
                assert_eq!(part.lasting(), minutes * MINUTE, "{names:?}");
            }
        }
        let parts: Vec<_> = queries.iter().flat_map(LookbackQuery::parts).collect();
        stocks.drop_before(|_| 60 * MINUTE, &parts).unwrap();
        let kept = stocks.get(0).rows(0, 60 * MINUTE, None).unwrap();
        let of = |device: &str| {
            let devices = kept.iter().map(|rows| rows.column_by_name("device").unwrap().as_string::<i32>());
            devices.flatten().filter(|own| *own == Some(device)).count()
        };
        assert_eq!(of("rare"), all, "{names:?}: whatever may hang on what was rare");
        // Of ten minutes everything is corrected, and rows are let go of by the batch.
        let needed = usize::try_from(10 + minutes).unwrap();
        assert!((needed..needed + 10).contains(&of("calm")), "{names:?}: {}", of("calm"));
    }
}

#[test]
fn of_a_window_that_looks_ahead_nothing_is_let_go_of() {
    let text = r#"-- title: Quiet before an alarm
-- kind: view
-- key: device, at
-- time: at
-- lookback: 10m
SELECT device, "time" AS at, alarm FROM (
  SELECT device, "time", state, max(CASE WHEN state = 'alarm' THEN "time" END) OVER (
PARTITION BY device ORDER BY "time" RANGE BETWEEN CURRENT ROW AND INTERVAL '2 minutes' FOLLOWING
  ) AS alarm FROM iot
) WHERE state = 'normal' AND alarm IS NOT NULL
"#;
    let mut query = planned_of("ahead", text);
    let mut stocks = Stocks::of(std::iter::once((&mut query, None)));
    take(&mut query, &mut stocks, Topic::Iot, &row(Topic::Iot, "d", 1, &json!({ "state": "normal" })));
    assert_eq!(looked_at(&mut query, &stocks), 0, "nothing is possible yet");
    assert_eq!(query.parts()[0].lasting(), crate::possible::FAR);
}
