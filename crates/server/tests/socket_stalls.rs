//! Clients of the live socket that read slowly, or not at all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic here is the failure")]

mod running;

use std::time::Duration;

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::Alarm;
use hexwatch_server::Limits;
use running::{Client, Running, alarm, open, risk, start};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

const ALARMS: &str = r#"{"type":"subscribe","channels":["alarms"],"after":0}"#;

/// An alarm that is large enough for a few of them to fill what the kernel keeps for a client.
fn large(seq: u64) -> Alarm {
    Alarm { note: Some("x".repeat(32 * 1024)), ..alarm(seq) }
}

fn seqs(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter(|message| message["type"] == "alarm").map(|m| m["seq"].as_u64().unwrap()).collect()
}

async fn wait_for_cuts(running: &Running, cuts: usize) {
    let line = format!("hexwatch_socket_cuts_total {cuts}\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !running.metrics.render().contains(&line) {
        assert!(Instant::now() < deadline, "{cuts} clients were to be cut: {}", running.metrics.render());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reads alarms until the one with the number `last` has come.
async fn read_until(mut client: Client, last: u64) -> Vec<u64> {
    let mut read = Vec::new();
    while read.last() != Some(&last) {
        let message = client.hear().await.expect("a client that reads is not cut");
        if message["type"] == "alarm" {
            read.push(message["seq"].as_u64().unwrap());
        }
    }
    read
}

#[tokio::test]
async fn of_a_hundred_clients_thirty_that_never_read_are_cut_and_seventy_lose_nothing() {
    let limits = Limits::default();
    assert!(limits.send_timeout < Duration::from_secs(5), "cut within five seconds");
    let running = start(open(), limits).await;
    let (mut stalled, mut reading) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let client = Client::subscribed(&running, ALARMS).await;
        if number % 10 < 3 {
            stalled.push(client);
        } else {
            reading.push(tokio::spawn(read_until(client, 30)));
        }
    }
    for seq in 1..=25 {
        running.change(large(seq));
    }
    wait_for_cuts(&running, 30).await;
    for seq in 26..=30 {
        running.change(large(seq));
    }
    for client in reading {
        assert_eq!(client.await.unwrap(), (1..=30).collect::<Vec<_>>());
    }
    assert!(running.metrics.render().contains("hexwatch_socket_cuts_total 30\n"), "none of the others");
}

#[tokio::test]
async fn a_slow_client_skips_to_the_newest_cells() {
    const PUBLISHED: u32 = 60;
    let running = start(open(), Limits::default()).await;
    let mut client =
        Client::subscribed(&running, r#"{"type":"subscribe","channels":["cells"],"format":"json"}"#).await;
    client.hear_until("hello").await;
    for version in 1..=PUBLISHED {
        let risks = (0..3_000).map(|index| risk(index, version * 100)).collect();
        running.live.cells(EventTime::from_millis(1_700_000_000_000), false, risks);
        sleep(Duration::from_millis(5)).await;
    }
    let mut heard = 0;
    loop {
        let message = client.hear().await.expect("it reads in time");
        heard += 1;
        if message["cells"][0]["score"] == f64::from(PUBLISHED) {
            assert_eq!(message["cells"].as_array().unwrap().len(), 3_000);
            break;
        }
    }
    assert!(heard < PUBLISHED, "{heard} messages came for {PUBLISHED} publications: they were queued");
}

#[tokio::test]
async fn a_slow_client_that_is_cut_has_every_alarm_up_to_its_end_and_resumes_behind_it() {
    let limits = Limits { send_timeout: Duration::from_millis(300), ..Limits::default() };
    let running = start(open(), limits).await;
    let mut slow = Client::subscribed(&running, ALARMS).await;
    for seq in 1..=60 {
        running.change(large(seq));
    }
    wait_for_cuts(&running, 1).await;
    let mut heard = Vec::new();
    while let Some(message) = slow.hear().await {
        heard.push(message);
    }
    let mut had = seqs(&heard);
    assert!(!had.is_empty() && had.len() < 60, "it had {} of 60", had.len());

    let after = had.last().unwrap();
    let resume = format!(r#"{{"type":"subscribe","channels":["alarms"],"after":{{"demo":{after}}}}}"#);
    let mut again = Client::subscribed(&running, &resume).await;
    had.extend(seqs(&again.hear_until("resumed").await));
    assert_eq!(had, (1..=60).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_though_all_that_trickles_would_fit_for_minutes() {
    let limits = Limits { send_timeout: Duration::from_secs(1), ..Limits::default() };
    let running = start(open(), limits).await;
    let mut stopped = Client::with_receive_buffer(&running, 4 * 1024).await;
    stopped.say(ALARMS).await;
    // More than the client's kernel takes, and a quarter of what the server's does: no message ever waits.
    running.change(large(1));
    wait_for_cuts(&running, 1).await;
    drop(stopped);
}

#[tokio::test]
async fn a_client_that_takes_a_large_message_piece_by_piece_is_not_cut() {
    const CELLS: usize = 20_000;
    let patience = Duration::from_secs(2);
    let running = start(open(), Limits { send_timeout: patience, ..Limits::default() }).await;
    let risks = (0..).take(CELLS).map(|index| risk(index, 100)).collect();
    running.live.cells(EventTime::from_millis(1_700_000_000_000), false, risks);
    let mut slow = Client::with_receive_buffer(&running, 64 * 1024).await;
    slow.say(r#"{"type":"subscribe","channels":["cells"]}"#).await;
    let (began, mut taken, mut piece) = (Instant::now(), 0, vec![0; 32 * 1024]);
    // By the bytes: until it has taken most of the message, and for longer than one that is stalled would last.
    while taken < 60 * CELLS || began.elapsed() < patience * 2 {
        taken += slow.0.get_mut().read(&mut piece).await.unwrap();
        sleep(Duration::from_millis(80)).await;
    }
    assert!(running.metrics.render().contains("hexwatch_socket_cuts_total 0\n"));
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_told_to_connect_again() {
    let limits = Limits { ping_every: Duration::from_millis(100), ..Limits::default() };
    let running = start(open(), limits).await;
    let mut silent = Client::subscribed(&running, ALARMS).await;
    wait_for_cuts(&running, 1).await;
    // By the bytes: a client that finds its pings now would answer them, to nobody.
    let mut bytes = Vec::new();
    silent.0.get_mut().read_to_end(&mut bytes).await.unwrap();
    let close = bytes.windows(4).any(|part| part[0] == 0x88 && part[2..] == 1_013_u16.to_be_bytes());
    assert!(close, "no close frame that says `try again later`");
}

#[tokio::test]
async fn catching_up_page_by_page_gives_each_change_once_and_then_says_so() {
    let running = start(open(), Limits::default()).await;
    running.had(1..=20_000);
    let mut client = Client::subscribed(&running, ALARMS).await;
    let heard = client.hear_until("resumed").await;
    assert_eq!(seqs(&heard), (1..=20_000).collect::<Vec<_>>());
    assert_eq!(heard.iter().filter(|message| message["type"] == "resumed").count(), 1);
}
