//! The HTTP doors, over real connections.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic here is the failure")]

mod running;

use std::sync::PoisonError;
use std::time::Duration;

use hexwatch_contract::{Account, EventTime, Stage};
use hexwatch_server::{Action, Limits, Permission, Role};
use running::{Response, Running, alarm, ask, get, logins, open, risk, start};

/// Checks that `response` is a whole problem, and that it names `field`.
fn assert_problem(response: &Response, status: u16, field: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.headers["content-type"], "application/problem+json");
    let problem = response.json();
    assert!(problem["type"].as_str().unwrap().starts_with("urn:hexwatch:problem:"), "{problem}");
    assert_eq!(problem["status"], status);
    for member in ["title", "detail", "fix"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {problem}");
    }
    assert_eq!(problem["field"], field, "{problem}");
}

async fn sql(running: &Running, token: &str, accept: &str, text: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("accept", accept), ("content-type", "text/plain")];
    ask(running, "POST", "/api/v1/sql", &headers, text).await
}

#[tokio::test]
async fn what_is_wrong_comes_back_as_a_problem_with_field_and_fix() {
    let running = start(open(), Limits::default()).await;
    assert_problem(&get(&running, "/nowhere").await, 404, "path");
    assert_problem(&get(&running, "/api/v1/sql").await, 405, "method");
    assert_problem(&get(&running, "/api/v1/cells/zzz/explain").await, 400, "cell");
    assert_problem(&get(&running, "/api/v1/cells/8b2a1072b59afff/explain").await, 404, "cell");
    assert_problem(&get(&running, "/api/v1/alarms?limit=0").await, 400, "limit");
    assert_problem(&get(&running, "/api/v1/alarms?after=x").await, 400, "after");
    assert_problem(&get(&running, "/api/v1/alarms/none").await, 404, "id");
    assert_problem(&get(&running, "/ws").await, 400, "upgrade");
    assert_problem(&get(&running, "/readyz").await, 503, "state");
    let json = [("content-type", "application/json")];
    assert_problem(&ask(&running, "POST", "/api/v1/sql", &json, "{}").await, 400, "sql");
    assert_problem(&ask(&running, "POST", "/api/v1/sql", &json, r#"{"sql":"","x":1}"#).await, 400, "x");
    assert_problem(&ask(&running, "POST", "/api/v1/sql", &json, r#"{"sql":"DROP"}"#).await, 400, "sql");
    let xml = [("accept", "text/xml")];
    assert_problem(&ask(&running, "POST", "/api/v1/sql", &xml, "SELECT 1").await, 406, "accept");
    let large = "x".repeat(300 * 1024);
    assert_problem(&ask(&running, "POST", "/api/v1/sql", &[], &large).await, 413, "body");
}

#[tokio::test]
async fn the_table_of_permissions_is_what_the_doors_do() {
    let mut running = start(logins(), Limits::default()).await;
    for role in Role::ALL {
        let answer = sql(&running, role.name(), "application/json", "SELECT 1").await;
        if role.may(Permission::RunSql) {
            assert_eq!(answer.status, 200, "{role}: {}", answer.text());
            assert_eq!(running.audits.recv().await.unwrap().role, role.name());
        } else {
            assert_problem(&answer, 403, "role");
        }
        let bearer = format!("Bearer {}", role.name());
        let acked = ask(&running, "POST", "/api/v1/alarms/none/ack", &[("authorization", &bearer)], "").await;
        assert_eq!(acked.status, if role.may(Permission::HandleAlarms) { 404 } else { 403 }, "{role}");
    }
    assert_problem(&get(&running, "/api/v1/cells").await, 401, "authorization");
    assert_problem(&sql(&running, "wrong", "*/*", "SELECT 1").await, 401, "authorization");
}

#[tokio::test]
async fn a_login_sets_a_cookie_that_opens_the_doors() {
    let running = start(logins(), Limits::default()).await;
    let answer = ask(&running, "POST", "/api/v1/login", &[], r#"{"token":"analyst"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["role"], "analyst");
    let cookie = &answer.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let me = ask(&running, "GET", "/api/v1/me", &[("cookie", cookie)], "").await.json();
    assert_eq!(me["who"], "analyst");
    assert!(me["permissions"].as_array().unwrap().contains(&"run_sql".into()), "{me}");
    assert_problem(&ask(&running, "POST", "/api/v1/login", &[], r#"{"token":"no"}"#).await, 401, "token");
}

#[tokio::test]
async fn a_page_of_another_origin_can_do_nothing() {
    let running = start(open(), Limits::default()).await;
    running.change(alarm(1));
    let foreign = [("origin", "http://evil.example")];
    assert_problem(&ask(&running, "POST", "/api/v1/alarms/alarm-1/ack", &foreign, "").await, 403, "origin");
    assert!(running.log.acted.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
}

#[tokio::test]
async fn every_read_by_a_person_is_audited_and_what_cannot_be_is_not_answered() {
    let mut running = start(logins(), Limits::default()).await;
    running.change(alarm(1));
    running.live.cells(EventTime::from_millis(1_700_000_000_000), false, vec![risk(0, 4_125)]);
    let cell = risk(0, 0).cell;

    sql(&running, "analyst", "text/csv", "SELECT 1").await;
    let query = running.audits.recv().await.unwrap();
    assert_eq!((query.who.as_str(), query.what.as_str(), query.rows), ("analyst", "SELECT 1", 3));
    sql(&running, "analyst", "text/csv", "DROP TABLE alarms").await;
    assert_eq!(running.audits.recv().await.unwrap().rows, 0, "a refused query is audited too");

    let headers = [("authorization", "Bearer operator"), ("x-purpose", "shift change")];
    let explained = ask(&running, "GET", &format!("/api/v1/cells/{cell}/explain"), &headers, "").await.json();
    assert_eq!((&explained["score"], &explained["contrib"][0]["share"]), (&41.25.into(), &41.25.into()));
    let explain = running.audits.recv().await.unwrap();
    assert_eq!((explain.purpose.as_deref(), explain.rows), (Some("shift change"), 1));

    ask(&running, "GET", "/api/v1/alarms?after=0", &headers, "").await;
    let list = running.audits.recv().await.unwrap();
    assert_eq!((list.what.as_str(), list.rows), ("/api/v1/alarms?after=0", 1));

    running.audits.close();
    assert_eq!(sql(&running, "analyst", "text/csv", "SELECT 1").await.status, 503);
}

#[tokio::test]
async fn alarms_are_listed_after_a_number_and_without_one_as_they_stand() {
    let running = start(open(), Limits::default()).await;
    running.had(1..=4);
    running.change(alarm(5));
    let page = get(&running, "/api/v1/alarms?after=1&limit=3").await.json();
    let seqs: Vec<_> =
        page["alarms"].as_array().unwrap().iter().map(|a| a["seq"].as_u64().unwrap()).collect();
    assert_eq!((seqs, &page["more"], &page["latest_seq"]["demo"]), (vec![2, 3, 4], &true.into(), &5.into()));
    let standing = get(&running, "/api/v1/alarms").await.json();
    assert_eq!(standing["alarms"].as_array().unwrap().len(), 1);
    assert_eq!(
        get(&running, "/api/v1/alarms?after=0&site=elsewhere").await.json()["alarms"],
        serde_json::json!([])
    );
    assert_eq!(get(&running, "/api/v1/alarms/alarm-2").await.json()["seq"], 2);
}

#[tokio::test]
async fn actions_reach_the_pipeline_with_who_and_what() {
    let running = start(logins(), Limits::default()).await;
    running.change(alarm(1));
    let liaison = [("authorization", "Bearer police_liaison")];
    let acked = ask(&running, "POST", "/api/v1/alarms/alarm-1/ack", &liaison, r#"{"note":"on our way"}"#)
        .await
        .json();
    assert_eq!((&acked["state"], &acked["actor_ref"]), (&"acked".into(), &"police_liaison".into()));
    let (_, action, actor) = running.log.acted.lock().unwrap()[0].clone();
    assert_eq!((action, actor.role), (Action::Ack { note: Some("on our way".into()) }, Role::PoliceLiaison));

    let shelve = "/api/v1/alarms/alarm-1/shelve";
    assert_problem(&ask(&running, "POST", shelve, &liaison, "{}").await, 400, "until");
    let no_reason = r#"{"until":"2026-11-24T08:00:00Z","note":" "}"#;
    assert_problem(&ask(&running, "POST", shelve, &liaison, no_reason).await, 400, "note");
    let taken = ask(&running, "POST", "/api/v1/alarms/taken/ack", &liaison, "").await;
    assert_problem(&taken, 409, "state");
    assert!(taken.json()["detail"].as_str().unwrap().contains("olaf"), "both see who");
}

#[tokio::test]
async fn a_query_is_answered_in_the_format_that_is_accepted() {
    let running = start(logins(), Limits::default()).await;
    let json = sql(&running, "admin", "application/json", "SELECT 1").await;
    assert_eq!(json.json()["rows"], serde_json::json!([{"n": 1}, {"n": 2}, {"n": 3}]));
    let csv = sql(&running, "admin", "text/csv", "SELECT 1").await;
    assert_eq!((csv.text().as_str(), csv.headers["x-hexwatch-rows"].as_str()), ("n\n1\n2\n3\n", "3"));
    let stream = sql(&running, "admin", "application/vnd.apache.arrow.stream, */*", "SELECT 1").await;
    let mut read = arrow::ipc::reader::StreamReader::try_new(&stream.body[..], None).unwrap();
    assert_eq!(read.next().unwrap().unwrap().num_rows(), 3);
    let headers = [("authorization", "Bearer admin"), ("content-type", "application/json")];
    let cut = ask(&running, "POST", "/api/v1/sql", &headers, r#"{"sql":"SELECT 1","limit":2}"#).await.json();
    assert_eq!((&cut["row_count"], &cut["truncated"]), (&2.into(), &true.into()));
    assert_eq!(
        ask(&running, "GET", "/api/v1/queries", &headers, "").await.json()[0]["name"],
        "busiest_cells"
    );
    assert_eq!(ask(&running, "GET", "/api/v1/catalog", &headers, "").await.json()[0]["name"], "alarms");
}

#[tokio::test]
async fn the_map_has_the_outline_of_every_cell_that_is_known() {
    let running = start(open(), Limits::default()).await;
    running.live.cells(EventTime::from_millis(1_700_000_000_000), false, vec![risk(0, 1), risk(1, 2)]);
    let map = get(&running, "/api/v1/map").await.json();
    assert_eq!(map["cells"].as_array().unwrap().len(), 2);
    assert_eq!(map["cells"][0]["ring"][1], serde_json::json!([0.0, 1.0]));
    assert_eq!(map["zones"]["type"], "FeatureCollection");
}

#[tokio::test]
async fn metrics_and_readiness_tell_what_the_pipeline_told() {
    let running = start(open(), Limits::default()).await;
    assert_eq!(get(&running, "/healthz").await.status, 200);
    running.live.ready();
    assert_eq!(get(&running, "/readyz").await.status, 200);
    let account = Account { read: 4, accepted: 2, duplicate: 1, late: 0, dead_letter: 1 };
    running.metrics.records_accounted("iot", &account);
    running.metrics.records_refused("iot", Stage::Decode, 1);
    running.metrics.alarm_pushed(Duration::from_millis(30));
    running.live.watermark_advanced(EventTime::from_millis(1_700_000_000_000) - Duration::from_secs(10));
    running.change(alarm(1));
    let metrics = get(&running, "/metrics").await;
    assert!(metrics.headers["content-type"].starts_with("application/openmetrics-text"));
    for line in [
        "hexwatch_records_read_total{topic=\"iot\"} 4",
        "hexwatch_records_total{topic=\"iot\",outcome=\"duplicate\"} 1",
        "hexwatch_dead_letters_total{topic=\"iot\",stage=\"decode\"} 1",
        "hexwatch_alarms_total{rule=\"R06\",priority=\"2\"} 1",
        "hexwatch_watermark_age_seconds 10.0",
        "hexwatch_alarm_latency_seconds_count 1",
    ] {
        assert!(metrics.text().lines().any(|given| given == line), "`{line}` in\n{}", metrics.text());
    }
    assert_eq!(get(&running, "/api/v1/system").await.json()["ready"], true);
}

#[tokio::test]
async fn answers_keep_browsers_to_this_host_and_are_compressed() {
    let running = start(open(), Limits::default()).await;
    let answer = ask(&running, "GET", "/api/v1/openapi.json", &[("accept-encoding", "gzip")], "").await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
    let policy = &answer.headers["content-security-policy"];
    assert!(policy.contains("default-src 'self'") && policy.contains("worker-src 'self' blob:"), "{policy}");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let page = get(&running, "/wall").await;
    assert!(page.status == 200 || page.text().contains("make console"), "{}", page.text());
}
