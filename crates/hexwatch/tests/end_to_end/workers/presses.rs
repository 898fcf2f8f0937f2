//! Presses for help, sent one after the other whatever else happens, and how long each took to be told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hexwatch_contract::EventTime;
use hexwatch_ingest::{Brokers, Outgoing, Publisher};
use serde_json::json;

use super::now;
use crate::stand::Stand;

const EVERY: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(30);
const SOURCE: &str = "workers";

/// When each press was made.
pub(super) type Pressed = BTreeMap<String, EventTime>;

/// Somebody who presses.
pub(super) struct Presses {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Pressed>,
}

impl Presses {
    pub(super) fn begin(stand: &Stand) -> Self {
        let publisher = Publisher::new(&Brokers::at(stand.brokers())).expect("a producer");
        let topic = format!("{}panic", stand.prefix());
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            // Its first record waits until a producer knows the topic; that is not ours to count.
            let test = json!({"id": "test", "source": SOURCE, "time": now().millis(), "button": "b", "kind": "test"});
            publisher.send(&Outgoing::row(&topic, "b", test.to_string().as_bytes()), PATIENCE).expect("room");
            publisher.flush(PATIENCE).expect("a producer that is ready");
            let mut pressed = Pressed::new();
            while !asked.load(Ordering::Acquire) {
                let (id, button, time) =
                    (format!("press-{}", pressed.len()), format!("button-{}", pressed.len() % 7), now());
                let press = json!({
                    "id": id, "source": SOURCE, "time": time.millis(), "button": button, "kind": "panic",
                });
                let press = press.to_string();
                let outgoing = Outgoing::row(&topic, &button, press.as_bytes());
                publisher.send(&outgoing, PATIENCE).expect("room for a press");
                pressed.insert(format!("{SOURCE}/{id}"), time);
                std::thread::sleep(EVERY);
            }
            publisher.flush(PATIENCE).expect("all presses are in Kafka");
            pressed
        });
        Self { stop, thread }
    }

    pub(super) fn end(self) -> Pressed {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the presses were sent")
    }
}

/// Prints how long presses took to become alarms that people were told of; fails where one took longer than `limit`.
#[allow(clippy::print_stderr, reason = "figures are for whoever runs the test")]
pub(super) fn report(stand: &Stand, pressed: &Pressed, limit: Duration) {
    let told = stand.sql(&format!(
        "SELECT key, date_part('epoch', emitted_at) AS at FROM alarm_changes WHERE rule = 'R10' AND transition = \
         'raise' AND key LIKE '{SOURCE}/%'"
    ));
    assert_eq!(told.len(), pressed.len(), "each press is told once");
    let of = |row: &BTreeMap<String, String>| {
        let at = pressed[&row["key"]];
        (millis_of(&row["at"]).since(at), at)
    };
    let mut waits: Vec<(Duration, EventTime)> = told.iter().map(of).collect();
    waits.sort();
    for (took, at) in waits.iter().rev().take(5) {
        eprintln!("a press at {at} was told after {} ms", took.as_millis());
    }
    let took: Vec<Duration> = waits.into_iter().map(|(took, _)| took).collect();
    let at = |share: usize| took[(took.len() - 1) * share / 1_000].as_millis();
    eprintln!(
        "{} presses while workers came and went: told after {} ms p50, {} ms p99, {} ms p99.9, {} ms at most",
        took.len(),
        at(500),
        at(990),
        at(999),
        at(1_000)
    );
    assert!(took.iter().all(|one| *one < limit), "a press took {:?}", took.last());
}

/// A time that SQL gives as seconds.
fn millis_of(seconds: &str) -> EventTime {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    let number = |text: &str| text.parse::<i64>().expect("a number");
    EventTime::from_millis(1_000 * number(whole) + number(&part))
}
