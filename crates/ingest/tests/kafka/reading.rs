//! What a reader of whole topics reads, from where, and what it tells.

use std::time::{Duration, Instant};

use hexwatch_contract::{Offsets, Partition, Topic};
use hexwatch_ingest::embedded::EmbeddedBroker;
use hexwatch_ingest::reader::ReadError;
use hexwatch_ingest::{Event, Publisher, bare};

use crate::records::{PATIENCE, chunks, events_until, expected, ids, publish, read, settings, start};

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
fn a_partition_that_was_read_to_its_end_before_it_is_held_back_loses_nothing() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t.iot", 1).unwrap();
    let publisher = Publisher::new(&broker.brokers()).unwrap();
    publish(&publisher, 0..20);
    let (reader, mut receiver) = start(settings(&broker, &[Topic::Iot]));
    let mut seen = read(&mut receiver, 20);
    // By then the broker has answered once more, that there is nothing more. The reader looks around every 50 ms.
    let a_while = Duration::from_millis(500);
    for (from, is_met) in [(20, true), (40, false)] {
        std::thread::sleep(a_while);
        reader.hold([&Partition::new("t.iot", 0)]);
        std::thread::sleep(a_while);
        if is_met {
            publish(&publisher, from..from + 20);
        }
        reader.hold([]);
        std::thread::sleep(a_while);
        if !is_met {
            publish(&publisher, from..from + 20);
        }
        seen.extend(read(&mut receiver, 20));
    }
    assert_eq!(ids(&seen), expected(0..60));
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
