//! A reader that reads what it is granted.

use hexwatch_contract::{Partition, Topic};
use hexwatch_ingest::embedded::EmbeddedBroker;
use hexwatch_ingest::reader::{Grant, ReadError, Settings};
use hexwatch_ingest::{Event, Outgoing, Publisher};
use tokio::sync::mpsc::Receiver;

use crate::records::{PATIENCE, beat, chunks, events_until, expected, ids, settings, start};

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
