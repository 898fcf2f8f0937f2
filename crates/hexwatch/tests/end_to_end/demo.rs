//! The demo, from the start of the process to what the wall and an operator see.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kafka::free_port;
use crate::process::{Running, hexwatch};
use crate::socket::Socket;
use crate::turn;

#[test]
fn the_demo_moves_within_15_s_alarms_within_60_s_and_an_ack_reaches_everybody() {
    let _turn = turn::alone();
    let port = free_port().to_string();
    let address = format!("127.0.0.1:{port}");
    // It is killed in the end, and then nobody clears away the folder that it makes for itself.
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let running = Running::start(hexwatch(&["demo", "--port", &port]).env("TMPDIR", folder.path()), &address);
    let subscribe = json!({"type": "subscribe", "channels": ["cells", "alarms"], "after": 0});
    let mut socket = Socket::subscribe(&address, &subscribe);
    let within = |seconds: u64| Duration::from_secs(seconds).saturating_sub(begin.elapsed());
    let changes = |message: &Value| {
        message["type"] == "cells" && message["full"] == false && message["cells"] != json!([])
    };
    let (_, mut alarms) = socket.wait_for("cells that change", within(15), changes);
    if alarms.is_empty() {
        alarms.push(socket.wait_for("a first alarm", within(60), |message| message["type"] == "alarm").0);
    }
    let first = &alarms[0];
    assert_eq!((&first["transition"], &first["seq"]), (&json!("raise"), &json!(1)), "{first}");

    let (id, site) = (first["alarm_id"].as_str().unwrap(), first["site"].as_str().unwrap());
    let (status, acked) = running.post(&format!("/api/v1/alarms/{id}/ack"), &json!({"note": "on my way"}));
    assert_eq!(status, 200, "{acked}");
    let acked: Value = serde_json::from_str(&acked).unwrap();
    let is_ack = |message: &Value| message["alarm_id"] == id && message["transition"] == "ack";
    let (told, between) = socket.wait_for("the ack", Duration::from_secs(5), is_ack);
    assert_eq!(told["seq"], acked["seq"]);
    assert_eq!(told["state"], "acked");
    // Rules may speak between the alarm and the ack; whatever does has the numbers between.
    assert_eq!(told["seq"].as_u64().unwrap(), (alarms.len() + between.len() + 1) as u64);
    drop(socket);

    // While nobody listens, three more changes happen.
    for note in ["one", "two", "three"] {
        let (status, body) = running.post(&format!("/api/v1/alarms/{id}/comment"), &json!({"note": note}));
        assert_eq!(status, 200, "{body}");
    }
    assert_resumed_without_gap(&running, &address, site, told["seq"].as_u64().unwrap());
}

fn assert_resumed_without_gap(running: &Running, address: &str, site: &str, after: u64) {
    let subscribe = json!({"type": "subscribe", "channels": ["alarms"], "after": {site: after}});
    let mut socket = Socket::subscribe(address, &subscribe);
    let is_resumed = |message: &Value| message["type"] == "resumed";
    let (resumed, missed) = socket.wait_for("what was missed", Duration::from_secs(10), is_resumed);
    let latest = resumed["latest_seq"][site].as_u64().unwrap();
    let numbers: Vec<u64> = missed.iter().map(|change| change["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (after + 1..=latest).collect::<Vec<u64>>());
    assert!(missed.len() >= 3, "three comments were made: {missed:?}");
    let (status, page) = running.get(&format!("/api/v1/alarms?site={site}&after={after}")).unwrap();
    assert_eq!(status, 200, "{page}");
    let page: Value = serde_json::from_str(&page).unwrap();
    let by_http: Vec<u64> =
        page["alarms"].as_array().unwrap().iter().map(|change| change["seq"].as_u64().unwrap()).collect();
    assert_eq!(by_http[..numbers.len()], numbers, "the socket and HTTP tell the same");
}
