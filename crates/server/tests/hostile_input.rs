//! What clients say, damaged: 100,000 messages on live sockets, and bytes that are no messages. A failure names its seed.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, reason = "a panic here is the failure")]

#[allow(dead_code, reason = "shared with other tests, which use other parts")]
#[path = "../../ingest/tests/hostile/mutate.rs"]
mod mutate;
mod running;
#[allow(dead_code, reason = "shared with other tests, which use other parts")]
#[path = "../../ingest/tests/hostile/seeds.rs"]
mod seeds;

use std::sync::Arc;
use std::time::Duration;

use hexwatch_server::Limits;
use running::{Client, Running, alarm, open, start};
use seeds::Dice;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const INPUTS: u64 = 100_000;
/// Messages of one seed.
const BLOCK: usize = 100;
/// Changes of the only site.
const LATEST: u64 = 4;
const CLIENTS: u64 = 4;

const MESSAGES: &[&str] = &[
    r#"{"type":"subscribe","channels":["alarms"],"after":0}"#,
    r#"{"type":"subscribe","channels":["alarms"],"after":3}"#,
    r#"{"type":"subscribe","channels":["alarms","cells","health"],"format":"json","after":{"demo":2}}"#,
    r#"{"type":"subscribe","channels":["alarms"],"format":"binary","after":{"demo":1,"other":9}}"#,
    r#"{"type":"subscribe","channels":["cells"],"format":"binary","after":null,"new":[1,{"a":null}]}"#,
    r#"{"channels":[],"type":"subscribe"}"#,
];

const WORDS: &[&str] = &[
    "null",
    "true",
    "[]",
    "{}",
    "\"alarms\"",
    "\"cells\"",
    "\"heat\"",
    "\"json\"",
    "\"binary\"",
    "\"type\"",
    "\"after\"",
    "\"demo\"",
    "\"\"",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e2",
    "4",
    "5",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "\"4\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"subscribe\"",
    ",",
    ":",
    "\u{0}",
    "\"after\":{\"demo\":18446744073709551615},",
    "\"after\":7,",
    "\"channels\":[\"alarms\"],",
    "{\"demo\":3}",
    "{\"demo\":null}",
    "{\"a\":1,\"a\":2}",
];

/// What a message deserves, by `asyncapi.yaml` and nothing of the server's.
#[derive(PartialEq, Eq, Debug)]
enum Deserves {
    Error,
    Hello,
    /// And these alarms, up to `resumed`.
    Alarms(Vec<u64>),
}

fn deserves(text: &str) -> Deserves {
    let Ok(message) = serde_json::from_str::<Value>(text) else { return Deserves::Error };
    let channels = message["channels"].as_array();
    let known = |channel: &Value| ["cells", "alarms", "health"].iter().any(|name| channel == name);
    let format = &message["format"];
    let after = &message["after"];
    let is_number = |value: &Value| value.as_u64().is_some();
    let is_resumable = match after {
        Value::Null => true,
        Value::Object(sites) => sites.values().all(is_number),
        other => is_number(other),
    };
    let is_format = *format == Value::Null || format == "json" || format == "binary";
    let is_subscription = message["type"] == "subscribe" && is_format && is_resumable;
    match channels {
        Some(channels) if is_subscription && channels.iter().all(known) => {
            if channels.contains(&json!("alarms")) {
                Deserves::Alarms(alarms_after(after))
            } else {
                Deserves::Hello
            }
        }
        _ => Deserves::Error,
    }
}

fn alarms_after(after: &Value) -> Vec<u64> {
    let had = match after {
        // All of them stand.
        Value::Object(sites) => sites.get("demo").and_then(Value::as_u64).unwrap_or(0),
        other => other.as_u64().unwrap_or(0),
    };
    (had.min(LATEST) + 1..=LATEST).collect()
}

async fn running() -> Running {
    let running = start(open(), Limits::default()).await;
    for seq in 1..=LATEST {
        running.change(alarm(seq));
    }
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_gets_the_answer_it_deserves_and_the_socket_stays_open() {
    let running = Arc::new(running().await);
    let clients = (0..CLIENTS).map(|number| {
        let running = Arc::clone(&running);
        tokio::spawn(async move {
            let mut client = Client::connect(&running).await;
            let blocks = INPUTS / BLOCK as u64;
            for seed in (0..blocks).filter(|seed| seed % CLIENTS == number) {
                exchange(&mut client, seed).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

async fn exchange(client: &mut Client, seed: u64) {
    let mut dice = Dice::new(seed);
    let messages: Vec<String> = (0..BLOCK).map(|_| damaged(&mut dice)).collect();
    for message in &messages {
        client.say(message).await;
        check_answer(client, seed, message).await;
    }
}

fn damaged(dice: &mut Dice) -> String {
    let message = dice.pick(MESSAGES).as_bytes();
    let bytes = mutate::mutate(dice, message, WORDS, &[("[", "]"), ("{\"demo\":", "}")]);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // What is too large ends the socket; that has a test of its own.
    if text.len() > Limits::default().socket_message_bytes { String::new() } else { text }
}

async fn check_answer(client: &mut Client, seed: u64, message: &str) {
    let (deserved, first) = (deserves(message), told(client).await);
    let kind = first["type"].as_str().unwrap().to_owned();
    let expected = if deserved == Deserves::Error { "error" } else { "hello" };
    assert_eq!(kind, expected, "seed {seed}: {message:?} got {first}");
    let Deserves::Alarms(expected) = deserved else { return };
    let mut alarms = Vec::new();
    loop {
        let next = told(client).await;
        match next["type"].as_str().unwrap() {
            "alarm" => alarms.push(next["seq"].as_u64().unwrap()),
            "resumed" => break,
            other => panic!("seed {seed}: {message:?} got {other} among alarms: {next}"),
        }
    }
    assert_eq!(alarms, expected, "seed {seed}: {message:?}");
}

/// The next message that answers something.
async fn told(client: &mut Client) -> Value {
    loop {
        let message = client.hear().await.expect("the socket stays open");
        if message["type"] != "cells" && message["type"] != "health" {
            return message;
        }
    }
}

/// One frame of RFC 6455, or something like one.
fn frame(dice: &mut Dice) -> Vec<u8> {
    let payload: Vec<u8> = match dice.below(3) {
        0 => dice.pick(MESSAGES).as_bytes().to_vec(),
        1 => (0..dice.below(300)).map(|_| u8::try_from(dice.below(256)).unwrap()).collect(),
        _ => vec![b'['; 20_000],
    };
    let masked = if dice.one_in(6) { 0 } else { 0x80 };
    let mut bytes = vec![u8::try_from(dice.below(256)).unwrap() & if dice.one_in(3) { 0xff } else { 0x8f }];
    let length = if dice.one_in(5) { dice.next() } else { payload.len() as u64 };
    match length {
        0..126 => bytes.push(masked | u8::try_from(length).unwrap()),
        126..65_536 => {
            bytes.push(masked | 0x7e);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_messages_end_their_own_socket_and_no_other() {
    let running = running().await;
    let mut listening =
        Client::subscribed(&running, r#"{"type":"subscribe","channels":["alarms"],"after":4}"#).await;
    listening.hear_until("resumed").await;
    for seed in 0..1_000 {
        let mut dice = Dice::new(seed);
        let mut stream = opened(&running).await;
        for _ in 0..=dice.below(4) {
            // The server may have hung up at the frame before.
            let _ = stream.write_all(&frame(&mut dice)).await;
        }
        if dice.one_in(2) {
            continue;
        }
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "seed {seed}: the server holds on to a client that has gone");
    }
    running.change(alarm(LATEST + 1));
    assert_eq!(listening.hear().await.unwrap()["seq"], LATEST + 1);
}

/// A connection whose handshake is done.
async fn opened(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        running.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}
