//! A broker that goes away and comes back.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hexwatch_contract::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::kafka::{Kafka, free_port};
use crate::process::{Running, path};
use crate::socket::Socket;
use crate::stand::{EVENT_TABLES, Stand, site_beside};
use crate::turn;

#[test]
fn a_broker_that_dies_and_comes_back_costs_no_record_and_no_restart() {
    let _turn = turn::alone();
    let mut kafka = Kafka::start("outage");
    let stand = Stand::on(&kafka.brokers(), "outage");
    let events = stand.simulate(&["--seed", "5", "--rate", "100", "--duration", "60s"]);
    stand.create_topics(2);
    let address = format!("127.0.0.1:{}", free_port());
    let mut running = Running::start(&mut stand.run(&site_beside(&events), &address), &address);
    let mut socket = Socket::subscribe(&address, &json!({"type": "subscribe", "channels": ["health"]}));
    let mut feed = stand
        .command_on_kafka(&["replay", "--file", path(&events)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    wait_for_feed(&mut socket, "live", Duration::from_secs(15));
    sleep(Duration::from_secs(3));
    kafka.kill();
    let told = wait_for_feed(&mut socket, "lost", Duration::from_secs(20));
    let lost_health = |message: &Value| message["type"] == "health" && message["ingest"] == "lost";
    socket.wait_for(
        "the health to say that ingest is lost",
        Duration::from_secs(20).saturating_sub(told),
        lost_health,
    );
    kafka.start_again();
    wait_for_feed(&mut socket, "live", Duration::from_secs(30));

    assert!(feed.wait().unwrap().success(), "the producer gave up");
    let text = std::fs::read_to_string(&events).unwrap();
    let sent = text.lines().count() as u64;
    // A broker that was killed may have taken a record without having said so, and then it has it twice.
    let kept = stand.records_in_kafka();
    assert!(kept >= sent, "{sent} records were sent, and the broker has {kept}");
    running.wait_for("every record to be read", Duration::from_secs(30), |running| {
        running.account().get("read").is_some_and(|read| *read >= kept)
    });
    let account = running.account();
    let parts = ["accepted", "duplicate", "late", "dead_letter"]
        .map(|outcome| account.get(outcome).copied().unwrap_or(0));
    assert_eq!(account["read"], parts.iter().sum::<u64>(), "{account:?}");
    assert_eq!(account["read"], kept, "a record was read twice or never: {account:?}");
    running.stop();
    let missing = missing_ids(&stand, &text);
    assert!(missing.is_empty(), "{} records are nowhere, such as {:?}", missing.len(), missing.first());
}

#[test]
fn a_process_that_is_to_end_while_no_broker_answers_ends_and_its_rows_are_made_again() {
    let _turn = turn::alone();
    let mut kafka = Kafka::start("gone");
    let stand = Stand::on(&kafka.brokers(), "gone");
    stand.create_topics(1);
    let site = site_beside(&stand.simulate(&["--seed", "5", "--rate", "1", "--events", "1"]));
    let address = format!("127.0.0.1:{}", free_port());
    let mut running = Running::start(&mut stand.run(&site, &address), &address);
    let mut socket = Socket::subscribe(&address, &json!({"type": "subscribe", "channels": ["alarms"]}));
    stand.replay(&press(&stand));
    let is_press = |message: &Value| message["type"] == "alarm" && message["rule"] == "R10";
    let (alarm, _) = socket.wait_for("the press", Duration::from_secs(30), is_press);

    kafka.kill();
    // What this says to Kafka waits there for a broker.
    let id = alarm["alarm_id"].as_str().unwrap();
    let (status, answer) = running.post(&format!("/api/v1/alarms/{id}/ack"), &json!({}));
    assert_eq!(status, 200, "{answer}");
    running.signal("TERM");
    let said = running.wait_for_failure(Duration::from_mins(1));
    assert!(said.contains("are made again at the next start"), "{said}");

    kafka.start_again();
    let had = stand.count_records("out.alarms");
    stand.run_to_the_end(&site);
    assert!(stand.count_records("out.alarms") > had, "what waited for a broker was not written again");
    assert_eq!(stand.count("SELECT count(*) FROM alarm_changes WHERE transition = 'ack'"), 1);
    assert_eq!(stand.count("SELECT count(*) FROM panic"), 1);
}

/// A recording of one press for help, just now.
fn press(stand: &Stand) -> PathBuf {
    let now = SystemClock.now().millis();
    let value =
        json!({"id": "p-1", "time": now, "button": "b-1", "kind": "panic", "lon": 120.15, "lat": 30.27});
    let record = json!({"topic": "panic", "key": "b-1", "timestamp": now, "value": value});
    let file = stand.file("press.ndjson");
    std::fs::write(&file, format!("{record}\n")).unwrap();
    file
}

/// Waits for a heartbeat that says `feed`, and gives how long that took.
fn wait_for_feed(socket: &mut Socket, feed: &str, limit: Duration) -> Duration {
    let begin = Instant::now();
    let is = |message: &Value| message["type"] == "heartbeat" && message["feed"] == feed;
    socket.wait_for(&format!("a heartbeat that says `{feed}`"), limit, is);
    begin.elapsed()
}

fn missing_ids(stand: &Stand, sent: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for table in EVENT_TABLES.into_iter().chain(["late_events", "dead_letters"]) {
        found.extend(stand.sql(&format!("SELECT id FROM {table}")).into_iter().map(|row| row["id"].clone()));
    }
    let records = sent.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ids = records.filter_map(|record| Some(record["value"]["id"].as_str()?.to_owned()));
    ids.filter(|id| !found.contains(id)).collect()
}
