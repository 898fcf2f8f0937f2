//! The live socket, over a real connection.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic here is the failure")]

mod running;

use std::time::Duration;

use futures::StreamExt;
use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::Alarm;
use hexwatch_server::Limits;
use running::{Client, Running, alarm, get, logins, open, risk, start};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const ALARMS: &str = r#"{"type":"subscribe","channels":["alarms"],"after":0}"#;

fn kinds(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

fn seqs(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter(|message| message["type"] == "alarm").map(|m| m["seq"].as_u64().unwrap()).collect()
}

fn cells(running: &Running, scores: impl Iterator<Item = (u64, u32)>) {
    let risks = scores.map(|(index, score)| risk(index, score)).collect();
    running.live.cells(EventTime::from_millis(1_700_000_000_000), false, risks);
}

#[tokio::test]
async fn resuming_after_a_number_gives_each_change_once_and_in_order() {
    let running = start(open(), Limits::default()).await;
    running.had(1..=1_000);
    for seq in 1_001..=1_200 {
        running.change(alarm(seq));
    }
    let mut client =
        Client::subscribed(&running, r#"{"type":"subscribe","channels":["alarms"],"after":{"demo":17}}"#)
            .await;
    let heard = client.hear_until("resumed").await;
    assert_eq!(heard[0]["type"], "hello");
    assert_eq!(seqs(&heard), (18..=1_200).collect::<Vec<_>>());
    assert_eq!(heard.last().unwrap()["latest_seq"]["demo"], 1_200);

    for seq in 1_201..=1_205 {
        running.change(alarm(seq));
    }
    for seq in 1_201..=1_205 {
        assert_eq!(client.hear().await.unwrap()["seq"], seq);
    }
}

#[tokio::test]
async fn without_a_number_the_alarms_that_stand_come_first() {
    let running = start(open(), Limits::default()).await;
    running.change(alarm(1));
    running.change(Alarm { state: hexwatch_contract::alarm::State::Normal, seq: 2, ..alarm(1) });
    running.change(alarm(3));
    let mut client = Client::subscribed(&running, r#"{"type":"subscribe","channels":["alarms"]}"#).await;
    let heard = client.hear_until("resumed").await;
    assert_eq!(seqs(&heard), [3]);
    assert_eq!(heard.last().unwrap()["latest_seq"]["demo"], 3);
    running.change(alarm(4));
    assert_eq!(client.hear().await.unwrap()["seq"], 4);
}

#[tokio::test]
async fn a_subscriber_hears_who_speaks_then_all_cells_then_what_changes() {
    let running = start(open(), Limits::default()).await;
    cells(&running, (0..5_000).map(|index| (index, 100)));
    let all = r#"{"type":"subscribe","channels":["cells","alarms","health"],"format":"json","after":0}"#;
    let mut client = Client::subscribed(&running, all).await;
    let heard = client.hear_until("resumed").await;
    assert_eq!(kinds(&heard), ["hello", "cells", "resumed"]);
    assert_eq!(heard[0]["time_zone"], "Asia/Shanghai");
    assert_eq!(heard[1]["full"], true);
    assert_eq!(heard[1]["cells"].as_array().unwrap().len(), 5_000, "a snapshot is one message");
    assert_eq!(heard[1], get(&running, "/api/v1/cells").await.json());

    cells(&running, [(7, 4_125)].into_iter());
    let delta = client.hear().await.unwrap();
    assert_eq!((&delta["full"], delta["cells"].as_array().unwrap().len()), (&Value::Bool(false), 1));
    assert_eq!(delta["cells"][0]["score"], 41.25);
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_while_the_others_get_everything() {
    let limits = Limits { send_timeout: Duration::from_millis(300), ..Limits::default() };
    let running = start(open(), limits).await;
    // It stays connected, and its kernel buffers fill up.
    let stalled = Client::subscribed(&running, ALARMS).await;
    let mut reading = Client::subscribed(&running, ALARMS).await;
    reading.hear_until("resumed").await;

    let note = "x".repeat(64 * 1024);
    for seq in 1..=500 {
        running.change(Alarm { note: Some(note.clone()), ..alarm(seq) });
    }
    for seq in 1..=500 {
        assert_eq!(reading.hear().await.unwrap()["seq"], seq);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while !running.metrics.render().contains("hexwatch_socket_cuts_total 1") {
        assert!(Instant::now() < deadline, "the client that never reads is still there");
        sleep(Duration::from_millis(20)).await;
    }
    running.change(alarm(501));
    assert_eq!(reading.hear().await.unwrap()["seq"], 501);
    drop(stalled);
}

#[tokio::test]
async fn a_message_that_is_not_understood_is_answered_and_the_socket_stays_open() {
    let running = start(open(), Limits::default()).await;
    let mut client = Client::subscribed(&running, r#"{"type":"subscribe","channels":["heat"]}"#).await;
    let error = client.hear().await.unwrap();
    assert_eq!(error["type"], "error");
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.starts_with("`channels` ") && detail.contains("\"cells\""), "{detail}");
    client.say(ALARMS).await;
    assert_eq!(kinds(&client.hear_until("resumed").await), ["hello", "resumed"]);
}

#[tokio::test]
async fn cells_come_as_binary_frames_to_whoever_asks() {
    let running = start(open(), Limits::default()).await;
    cells(&running, (0..3_000).map(|index| (index, 4_125)));
    let mut client =
        Client::subscribed(&running, r#"{"type":"subscribe","channels":["cells"],"format":"binary"}"#).await;
    let frame = loop {
        if let Message::Binary(frame) = client.0.next().await.unwrap().unwrap() {
            break frame;
        }
    };
    assert_eq!(frame.len(), 16 + 3_000 * 16);
    assert_eq!(frame[..2], [1, 1]);
    assert_eq!(frame[16..24], risk(0, 0).cell.index().to_le_bytes());
    assert_eq!(frame[24..26], 4_125_u16.to_le_bytes());
}

#[tokio::test]
async fn a_heartbeat_comes_within_a_second_and_says_at_once_that_data_came() {
    let running = start(open(), Limits::default()).await;
    let mut client = Client::connect(&running).await;
    let mut beats = Vec::new();
    let mut next = async || {
        let message = timeout(Duration::from_secs(1), client.0.next()).await.expect("a heartbeat in time");
        serde_json::from_str::<Value>(message.unwrap().unwrap().to_text().unwrap_or("{}")).unwrap_or_default()
    };
    while beats.len() < 3 {
        let message = next().await;
        if message["type"] == "heartbeat" {
            beats.push(message);
        }
    }
    assert_eq!(beats[2]["feed"], "delayed", "nothing was read yet");
    running.live.data_read();
    assert_eq!(next().await["feed"], "live");
}

#[tokio::test]
async fn asking_for_the_metrics_tells_the_sockets_nothing() {
    let running = start(open(), Limits::default()).await;
    let mut client = Client::subscribed(&running, ALARMS).await;
    client.hear_until("resumed").await;
    for _ in 0..50 {
        assert_eq!(get(&running, "/metrics").await.status, 200);
    }
    running.change(alarm(1));
    let mut beats = 0;
    loop {
        let message = client.0.next().await.unwrap().unwrap();
        match serde_json::from_slice::<Value>(&message.into_data()).unwrap()["type"].as_str() {
            Some("heartbeat") => beats += 1,
            Some("alarm") => break,
            _ => {}
        }
    }
    assert!(beats < 25, "{beats} heartbeats came while the metrics were read 50 times");
}

#[tokio::test]
async fn a_socket_beyond_the_limit_is_refused_until_one_leaves() {
    let running = start(open(), Limits { clients: 1, ..Limits::default() }).await;
    let first = Client::connect(&running).await;
    let url = format!("ws://{}/ws", running.address);
    let refused = tokio_tungstenite::connect_async(&url).await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(5);
    while tokio_tungstenite::connect_async(&url).await.is_err() {
        assert!(Instant::now() < deadline, "the seat is never free again");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_closes_the_socket() {
    let running = start(open(), Limits::default()).await;
    let mut client = Client::subscribed(&running, &"x".repeat(17 * 1024)).await;
    while let Some(message) = timeout(Duration::from_secs(5), client.0.next()).await.expect("the socket ends")
    {
        if message.is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn a_subscription_is_audited_before_anything_of_it_is_sent() {
    let mut running = start(logins(), Limits::default()).await;
    running.had(1..=30);
    let mut request = format!("ws://{}/ws", running.address).into_client_request().unwrap();
    request.headers_mut().insert("authorization", "Bearer operator".parse().unwrap());
    request.headers_mut().insert("x-purpose", "night shift".parse().unwrap());
    let mut client = Client(tokio_tungstenite::connect_async(request).await.unwrap().0);
    client.say(r#"{"type":"subscribe","channels":["alarms","cells"],"after":21}"#).await;
    assert_eq!(seqs(&client.hear_until("resumed").await).len(), 9);

    let read = running.audits.try_recv().unwrap();
    assert_eq!((read.who.as_str(), read.role.as_str()), ("operator", "operator"));
    assert_eq!(read.purpose.as_deref(), Some("night shift"));
    assert_eq!((read.what.as_str(), read.rows), ("/ws cells,alarms after demo:21", 9));

    running.audits.close();
    client.say(ALARMS).await;
    let close = loop {
        match client.0.next().await.unwrap().unwrap() {
            Message::Close(frame) => break frame.unwrap(),
            Message::Text(text) => assert!(text.contains("heartbeat"), "handed out unaudited: {text}"),
            _ => {}
        }
    };
    assert_eq!(u16::from(close.code), 1013);
}

#[tokio::test]
async fn a_socket_needs_a_login_where_there_are_logins() {
    let running = start(logins(), Limits::default()).await;
    let refused = tokio_tungstenite::connect_async(format!("ws://{}/ws", running.address)).await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
}

#[tokio::test]
async fn a_server_that_ends_says_so_and_returns() {
    let mut running = start(open(), Limits::default()).await;
    let mut client = Client::subscribed(&running, ALARMS).await;
    client.hear_until("resumed").await;
    running.shutdown.cancel();
    let close = loop {
        if let Message::Close(frame) = client.0.next().await.unwrap().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!(u16::from(close.code), 1001);
    timeout(Duration::from_secs(10), &mut running.served).await.expect("it returns").unwrap().unwrap();
}
