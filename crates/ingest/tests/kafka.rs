//! Out to Kafka and back in, over the embedded broker.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "tests are sentences, and a panic in one is its failure"
)]

#[allow(dead_code, unreachable_pub, reason = "shared with an example, which uses other parts")]
mod support;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hexwatch_contract::{Chunk, EventTime, Offsets, Partition, SystemClock, Topic};
use hexwatch_ingest::embedded::EmbeddedBroker;
use hexwatch_ingest::reader::{Grant, ReadError, Settings, Source};
use hexwatch_ingest::replay::{self, ReplayError, Speed};
use hexwatch_ingest::{Event, Outgoing, Publisher, Reader, bare};
use tokio::sync::mpsc::Receiver;

use support::{Registry, text};

const PATIENCE: Duration = Duration::from_secs(30);

fn source(topic: Topic) -> Source {
    Source { name: format!("t.{topic}").into(), topic }
}

fn settings(broker: &EmbeddedBroker, topics: &[Topic]) -> Settings {
    let mut settings = Settings::new(broker.brokers(), topics.iter().copied().map(source).collect());
    settings.lost_after = Duration::from_secs(1);
    settings
}

fn start(settings: Settings) -> (Reader, Receiver<Event>) {
    Reader::start(settings, Arc::new(Registry), Arc::new(SystemClock)).unwrap()
}

fn beat(number: usize) -> String {
    format!(r#"{{"id":"b-{number}","time":{},"device":"d-{}","heartbeat":true}}"#, time(number), number % 5)
}

fn time(number: usize) -> i64 {
    1_767_261_600_000 + i64::try_from(number).unwrap() * 1000
}

fn publish(publisher: &Publisher, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let (key, body) = (format!("d-{}", number % 5), beat(number));
        let timestamp = Some(EventTime::from_millis(time(number)));
        let row = Outgoing { timestamp, ..Outgoing::row("t.iot", &key, body.as_bytes()) };
        publisher.send(&row, PATIENCE).unwrap();
    }
    publisher.flush(PATIENCE).unwrap();
}

/// Events until `done` says so; the test fails where that takes too long.
fn events_until(receiver: &mut Receiver<Event>, mut done: impl FnMut(&Event) -> bool) -> Vec<Event> {
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

fn chunks(events: Vec<Event>) -> Vec<Chunk> {
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::Chunk(chunk) => Some(chunk),
            _ => None,
        })
        .collect()
}

/// Chunks until `count` records have been read.
fn read(receiver: &mut Receiver<Event>, count: u64) -> Vec<Chunk> {
    let mut seen = 0;
    chunks(events_until(receiver, |event| {
        if let Event::Chunk(chunk) = event {
            seen += chunk.read;
        }
        seen >= count
    }))
}

fn ids(chunks: &[Chunk]) -> Vec<String> {
    let mut ids: Vec<String> = chunks
        .iter()
        .flat_map(|chunk| (0..chunk.events.records.num_rows()).filter_map(|row| text(chunk, "id", row)))
        .collect();
    ids.sort_by_key(|id| id[2..].parse::<usize>().unwrap());
    ids
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("b-{number}")).collect()
}

#[test]
fn what_is_published_is_read_once_in_the_order_of_each_partition() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 3).unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    publish(&publisher, 0..1000);
    assert_eq!(publisher.counts().delivered, 1000);

    let (reader, mut receiver) = start(settings(&broker, &[Topic::Iot]));
    let mut ends = 0;
    let events = events_until(&mut receiver, |event| {
        ends += u32::from(matches!(event, Event::AtEnd { .. }));
        ends == 3
    });
    let Some(Event::Assigned(assigned)) = events.first() else { panic!("first came {:?}", events.first()) };
    assert_eq!(assigned.iter().map(|assignment| assignment.end - assignment.start).sum::<i64>(), 1000);
    let chunks = chunks(events);
    assert_eq!(ids(&chunks), expected(0..1000));
    for number in 0..3 {
        let mut next = 0;
        for chunk in chunks.iter().filter(|chunk| chunk.partition.partition == number) {
            assert_eq!(chunk.first_offset, next);
            next = chunk.next_offset;
        }
    }
    assert_eq!(bare::count(&broker.brokers(), &["t.iot"], PATIENCE).unwrap().records, 1000);
    let offsets: Offsets = chunks.iter().map(|chunk| (chunk.partition.clone(), chunk.next_offset)).collect();
    reader.commit_for_monitoring(&offsets).unwrap();
    reader.stop();
}

#[test]
fn a_reader_goes_on_where_the_checkpoint_stands() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 1).unwrap();
    publish(&Publisher::new(&broker.brokers()).unwrap(), 0..100);
    let mut settings = settings(&broker, &[Topic::Iot]);
    settings.starts.insert(Partition::new("t.iot", 0), 40);
    let (_reader, mut receiver) = start(settings);
    let chunks = read(&mut receiver, 60);
    assert_eq!(chunks[0].first_offset, 40);
    assert_eq!(ids(&chunks), expected(40..100));
}

#[test]
fn a_broker_that_was_away_is_told_of_and_nothing_is_lost() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 2).unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    publish(&publisher, 0..50);
    let (_reader, mut receiver) = start(settings(&broker, &[Topic::Iot]));
    let mut seen = ids(&read(&mut receiver, 50));

    broker.go_away().unwrap();
    let went = Instant::now();
    events_until(&mut receiver, |event| matches!(event, Event::BrokerLost { .. }));
    assert!(went.elapsed() < Duration::from_secs(20));
    broker.come_back().unwrap();
    publish(&publisher, 50..120);
    let mut back = false;
    let mut count = 0;
    let events = events_until(&mut receiver, |event| {
        back |= matches!(event, Event::BrokerBack);
        if let Event::Chunk(chunk) = event {
            count += chunk.read;
        }
        back && count >= 70
    });
    seen.extend(ids(&chunks(events)));
    assert_eq!(seen, expected(0..120));
}

#[test]
fn an_offset_that_the_broker_does_not_have_is_an_error_and_never_a_reset() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 1).unwrap();
    publish(&Publisher::new(&broker.brokers()).unwrap(), 0..10);
    let mut settings = settings(&broker, &[Topic::Iot]);
    settings.starts.insert(Partition::new("t.iot", 0), 11);
    let (_reader, mut receiver) = start(settings);
    let events = events_until(&mut receiver, |event| matches!(event, Event::Failed(_)));
    let Some(Event::Failed(ReadError::OffsetLost { partition, offset, high, .. })) = events.last() else {
        panic!("ended with {:?}", events.last());
    };
    assert_eq!((partition.to_string().as_str(), *offset, *high), ("t.iot-0", 11, 10));
}

#[test]
fn a_partition_that_is_held_back_waits_and_loses_nothing_while_the_other_is_read_on() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 2).unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    publish(&publisher, 0..40);
    let (reader, mut receiver) = start(settings(&broker, &[Topic::Iot]));
    let before = read(&mut receiver, 40);
    let held = before[0].partition.clone();
    reader.hold([&held]);
    // The reader looks around every 50 ms.
    std::thread::sleep(Duration::from_millis(300));
    publish(&publisher, 40..200);
    let mut seen = before.len();
    let others = events_until(&mut receiver, |event| {
        seen += usize::from(matches!(event, Event::Chunk(_)));
        matches!(event, Event::Progress(progress)
            if progress.iter().any(|one| one.partition != held && one.at_end && one.position > 20)
                && seen > before.len())
    });
    let others = chunks(others);
    assert!(!others.is_empty() && others.iter().all(|chunk| chunk.partition != held), "it was not held back");

    reader.hold([]);
    let rest = 160 - others.iter().map(|chunk| chunk.read).sum::<u64>();
    let rest = read(&mut receiver, rest);
    assert_eq!(ids(&[before, others, rest].concat()), expected(0..200));
}

#[test]
fn how_many_records_wait_is_shown_though_nobody_takes_the_events() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 1).unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    publish(&publisher, 0..40);
    let mut settings = settings(&broker, &[Topic::Iot]);
    (settings.queue, settings.chunk_records) = (1, 10);
    let (reader, mut receiver) = start(settings);
    let waiting = |at_least: i64| {
        let started = Instant::now();
        loop {
            let lag: i64 = reader.progress().iter().map(|one| one.end - one.position).sum();
            if lag >= at_least {
                assert!(reader.progress().iter().all(|one| !one.at_end));
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{:?}", reader.progress());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // The queue has room for one event, and that is the assignment.
    waiting(30);
    publish(&publisher, 40..5_000);
    waiting(4_990);
    assert_eq!(ids(&read(&mut receiver, 5_000)), expected(0..5_000));
}

#[test]
fn a_chunk_of_a_sparse_recording_is_no_wider_than_the_record_after_an_hour() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 1).unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    let every_ten_minutes = || (0..60_000).step_by(600);
    publish(&publisher, every_ten_minutes());
    let (_reader, mut receiver) = start(settings(&broker, &[Topic::Iot]));
    let chunks = read(&mut receiver, 100);
    assert!(chunks.iter().all(|chunk| chunk.read <= 8), "{chunks:?}");
    let read = ids(&chunks);
    assert_eq!(read, every_ten_minutes().map(|number| format!("b-{number}")).collect::<Vec<_>>());
}

#[test]
fn another_record_at_the_offset_of_a_mark_is_an_error_and_the_same_one_is_not() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 1).unwrap();
    publish(&Publisher::new(&broker.brokers()).unwrap(), 0..100);
    let partition = Partition::new("t.iot", 0);
    let (reader, mut receiver) = start(settings(&broker, &[Topic::Iot]));
    read(&mut receiver, 100);
    let marks = reader.marks(&[(partition.clone(), 100)].into());
    assert!(marks.len() == 1 && marks[0].offset < 100, "{marks:?}");
    reader.stop();

    let mut settings = settings(&broker, &[Topic::Iot]);
    settings.starts.insert(partition.clone(), 100);
    settings.marks.insert(partition.clone(), marks[0].clone());
    let (reader, mut receiver) = start(settings.clone());
    events_until(&mut receiver, |event| matches!(event, Event::Progress(progress) if progress[0].at_end));
    reader.stop();

    settings.marks.get_mut(&partition).unwrap().print = "another".to_owned();
    let (_reader, mut receiver) = start(settings);
    let events = events_until(&mut receiver, |event| matches!(event, Event::Failed(_)));
    let Some(Event::Failed(ReadError::Remade { offset, .. })) = events.last() else {
        panic!("ended with {:?}", events.last());
    };
    assert_eq!(*offset, marks[0].offset);
}

#[test]
fn topics_that_do_not_exist_are_named_together() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 1).unwrap();
    let (_reader, mut receiver) = start(settings(&broker, &[Topic::Iot, Topic::Panic, Topic::Patrol]));
    let events = events_until(&mut receiver, |event| matches!(event, Event::Failed(_)));
    let Some(Event::Failed(ReadError::TopicsMissing { names })) = events.last() else {
        panic!("ended with {:?}", events.last());
    };
    assert_eq!(names, &["t.panic", "t.patrol"]);
}

#[test]
fn a_recording_is_replayed_with_its_timestamps_bytes_and_headers() {
    let broker = EmbeddedBroker::start().unwrap();
    for topic in [Topic::Access, Topic::Iot] {
        broker.create_topic(&source(topic).name, 1).unwrap();
    }
    let mut file = tempfile::NamedTempFile::with_suffix(".ndjson").unwrap();
    let lines = [
        r#"{"topic":"iot","key":"d","timestamp":1463000000000,"value":{"id":"b-0","time":1463000000000,"device":"d","heartbeat":true}}"#,
        r#"{"topic":"iot","key":"d","timestamp":1463000001000,"raw":null}"#,
        r#"{"topic":"access","key":"p","timestamp":1463000002000,"value":{"device":"p","event":"rex"},"headers":{"ce_specversion":"1.0","ce_id":"b-1","ce_time":"2016-05-11T20:53:22Z"},"note":1}"#,
    ];
    writeln!(file, "{}", lines.join("\n")).unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    let replayed = replay::replay(file.path(), &publisher, "t.", Speed::Fastest, |_| true).unwrap();
    assert_eq!((replayed.records, replayed.time.millis()), (3, 1_463_000_002_000));

    let (_reader, mut receiver) = start(settings(&broker, &[Topic::Access, Topic::Iot]));
    let chunks = read(&mut receiver, 3);
    assert_eq!(ids(&chunks), ["b-0", "b-1"]);
    // In 2016 by the record and by Kafka alike: no clock is suspect in a replay that keeps its timestamps.
    assert!(
        chunks.iter().filter_map(|chunk| text(chunk, "time_quality", 0)).all(|quality| quality == "good")
    );
    let letters: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.dead_letters).collect();
    assert_eq!(letters.len(), 1);
    assert_eq!((&*letters[0].error_code, letters[0].kafka_time.millis()), ("tombstone", 1_463_000_001_000));
}

#[test]
fn a_broken_line_of_a_recording_is_named() {
    let broker = EmbeddedBroker::start().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{{\"topic\":\"iot\",\"timestamp\":1,\"raw\":null}}\n\n{{\"topic\":\"iot\"}}\n").unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    let error = replay::replay(file.path(), &publisher, "t.", Speed::Fastest, |_| true).unwrap_err();
    assert!(matches!(error, ReplayError::Line { line: 3, .. }), "{error}");
    assert!(error.to_string().contains(&*file.path().to_string_lossy()));
}

#[test]
fn a_full_queue_is_felt_by_the_caller() {
    // Nobody listens on this address, so that nothing ever leaves the queue.
    let unreachable = hexwatch_ingest::Brokers::at("127.0.0.1:1")
        .with_properties([("queue.buffering.max.messages".to_owned(), "2".to_owned())])
        .unwrap();
    let publisher = Publisher::new(&unreachable).unwrap();
    let row = Outgoing::row("t.iot", "d", b"{}");
    let wait = Duration::from_millis(20);
    let results: Vec<_> = (0..3).map(|_| publisher.send(&row, wait)).collect();
    assert!(results[0].is_ok() && results[1].is_ok());
    assert!(results[2].as_ref().is_err_and(hexwatch_contract::Classified::retry), "{results:?}");
}

fn grant(partition: i32, start: i64, lease: u64) -> Grant {
    let partition = Partition::new("t.iot", partition);
    Grant { partition, topic: Topic::Iot, start, mark: None, cluster: None, lease }
}

fn publish_to(publisher: &Publisher, partition: i32, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let body = beat(number);
        let row = Outgoing { partition: Some(partition), ..Outgoing::row("t.iot", "d-1", body.as_bytes()) };
        publisher.send(&row, PATIENCE).unwrap();
    }
    publisher.flush(PATIENCE).unwrap();
}

/// What of the partition was handed over until `count` records of it were.
fn read_of(receiver: &mut Receiver<Event>, partition: i32, count: u64) -> Vec<Event> {
    let mut seen = 0;
    events_until(receiver, |event| {
        if let Event::Chunk(chunk) = event
            && chunk.partition.partition == partition
        {
            seen += chunk.read;
        }
        seen >= count
    })
}

#[test]
fn a_reader_by_grant_reads_what_is_granted_from_where_it_is_granted_and_the_rest_goes_on() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 2).unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    publish_to(&publisher, 0, 0..100);
    publish_to(&publisher, 1, 0..50);
    // Partitions that stand still are not looked after within this test.
    let settings = Settings { by_grant: true, discover_every: 10 * PATIENCE, ..settings(&broker, &[]) };
    let (reader, mut receiver) = start(settings);

    reader.grant(grant(0, 40, 7));
    let events = read_of(&mut receiver, 0, 60);
    assert!(
        matches!(&events[0], Event::Assigned(all) if all.len() == 1 && all[0].lease == 7 && all[0].start == 40)
    );
    assert_eq!(ids(&chunks(events)), expected(40..100));

    // Another comes beside it, and then it is granted anew from further back: nothing of the old grant follows.
    reader.grant(grant(1, 0, 8));
    assert_eq!(ids(&chunks(read_of(&mut receiver, 1, 50))), expected(0..50));
    publish_to(&publisher, 0, 100..110);
    assert_eq!(ids(&chunks(read_of(&mut receiver, 0, 10))), expected(100..110));
    reader.grant(grant(0, 90, 9));
    let events = read_of(&mut receiver, 0, 20);
    let told = events.iter().filter(|event| matches!(event, Event::Assigned(_) | Event::Revoked(_)));
    let told: Vec<_> = told.collect();
    assert!(matches!(told[..], [Event::Revoked(_), Event::Assigned(all)] if all[0].lease == 9), "{told:?}");
    assert_eq!(ids(&chunks(events)), expected(90..110));

    // One that is taken away is read no more, and the other goes on.
    assert_eq!(reader.lease_of(&Partition::new("t.iot", 0)), Some(9));
    reader.end_grant(&Partition::new("t.iot", 0), 8);
    assert_eq!(reader.lease_of(&Partition::new("t.iot", 0)), Some(9), "that is an earlier one");
    reader.end_grant(&Partition::new("t.iot", 0), 9);
    events_until(&mut receiver, |event| matches!(event, Event::Revoked(_)));
    publish_to(&publisher, 0, 110..120);
    publish_to(&publisher, 1, 50..60);
    let chunks = chunks(read_of(&mut receiver, 1, 10));
    assert!(chunks.iter().all(|chunk| chunk.partition.partition == 1));
    assert_eq!(ids(&chunks), expected(50..60));
    reader.stop();
}

#[test]
fn a_grant_of_another_cluster_is_refused_before_anything_is_read() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 1).unwrap();
    publish_to(&Publisher::new(&broker.brokers()).unwrap(), 0, 0..10);
    let settings = Settings { by_grant: true, ..settings(&broker, &[]) };
    let (reader, mut receiver) = start(settings);
    reader.grant(Grant { cluster: Some("another".to_owned()), ..grant(0, 0, 1) });
    let events = events_until(&mut receiver, |event| matches!(event, Event::Failed(_)));
    assert!(
        matches!(events.last(), Some(Event::Failed(ReadError::OtherCluster { known, .. })) if known == "another")
    );
    assert!(chunks(events).is_empty());
    reader.stop();
}
