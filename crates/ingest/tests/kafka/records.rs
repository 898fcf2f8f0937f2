//! Numbered records, on their way into a topic and out of a reader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hexwatch_contract::{Chunk, EventTime, SystemClock, Topic};
use hexwatch_ingest::embedded::EmbeddedBroker;
use hexwatch_ingest::reader::{Settings, Source};
use hexwatch_ingest::{Event, Outgoing, Publisher, Reader};
use tokio::sync::mpsc::Receiver;

use crate::support::{Registry, text};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn source(topic: Topic) -> Source {
    Source { name: format!("t.{topic}").into(), topic }
}

pub(crate) fn settings(broker: &EmbeddedBroker, topics: &[Topic]) -> Settings {
    let mut settings = Settings::new(broker.brokers(), topics.iter().copied().map(source).collect());
    settings.lost_after = Duration::from_secs(1);
    settings
}

pub(crate) fn start(settings: Settings) -> (Reader, Receiver<Event>) {
    Reader::start(settings, Arc::new(Registry), Arc::new(SystemClock)).unwrap()
}

pub(crate) fn beat(number: usize) -> String {
    format!(r#"{{"id":"b-{number}","time":{},"device":"d-{}","heartbeat":true}}"#, time(number), number % 5)
}

pub(crate) fn time(number: usize) -> i64 {
    1_767_261_600_000 + i64::try_from(number).unwrap() * 1000
}

pub(crate) fn publish(publisher: &Publisher, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let (key, body) = (format!("d-{}", number % 5), beat(number));
        let timestamp = Some(EventTime::from_millis(time(number)));
        let row = Outgoing { timestamp, ..Outgoing::row("t.iot", &key, body.as_bytes()) };
        publisher.send(&row, PATIENCE).unwrap();
    }
    publisher.flush(PATIENCE).unwrap();
}

/// Events until `done` says so; the test fails where that takes too long.
pub(crate) fn events_until(
    receiver: &mut Receiver<Event>,
    mut done: impl FnMut(&Event) -> bool,
) -> Vec<Event> {
    let started = Instant::now();
    let mut events = Vec::new();
    while started.elapsed() < PATIENCE {
        let Ok(event) = receiver.try_recv() else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        events.push(event);
        if events.last().is_some_and(&mut done) {
            return events;
        }
    }
    panic!("nothing more came; so far: {events:?}");
}

pub(crate) fn chunks(events: Vec<Event>) -> Vec<Chunk> {
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::Chunk(chunk) => Some(chunk),
            _ => None,
        })
        .collect()
}

/// Chunks until `count` records have been read.
pub(crate) fn read(receiver: &mut Receiver<Event>, count: u64) -> Vec<Chunk> {
    let mut seen = 0;
    chunks(events_until(receiver, |event| {
        if let Event::Chunk(chunk) = event {
            seen += chunk.read;
        }
        seen >= count
    }))
}

pub(crate) fn ids(chunks: &[Chunk]) -> Vec<String> {
    let mut ids: Vec<String> = chunks
        .iter()
        .flat_map(|chunk| (0..chunk.events.records.num_rows()).filter_map(|row| text(chunk, "id", row)))
        .collect();
    ids.sort_by_key(|id| id[2..].parse::<usize>().unwrap());
    ids
}

pub(crate) fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("b-{number}")).collect()
}
