//! Recordings and rows on their way out.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use hexwatch_contract::Topic;
use hexwatch_ingest::embedded::EmbeddedBroker;
use hexwatch_ingest::replay::{self, ReplayError, Speed};
use hexwatch_ingest::{Outgoing, Publisher};

use crate::records::{beat, ids, read, settings, source, start};
use crate::support::text;

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
fn what_goes_in_bulk_keeps_its_order_and_is_waited_for_with_the_rest() {
    let broker = EmbeddedBroker::start().unwrap();
    let topics = [Topic::Access, Topic::Iot];
    for topic in topics {
        broker.create_topic(&source(topic).name, 1).unwrap();
    }
    let publisher = Publisher::lasting(&broker.brokers(), Arc::new(|topic| panic!("{topic}"))).unwrap();
    for number in 0..300 {
        for topic in topics {
            let (name, body) = (source(topic).name, beat(number));
            let row = Outgoing::row(&name, "d", body.as_bytes());
            let row = Outgoing { in_bulk: topic == Topic::Iot, ..row };
            publisher.send(&row, Duration::from_secs(20)).unwrap();
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(publisher.settle(Duration::from_secs(20))).unwrap();
    assert_eq!((publisher.counts().delivered, publisher.counts().failed), (600, 0));

    let (_reader, mut receiver) = start(settings(&broker, &[Topic::Iot]));
    let expected: Vec<_> = (0..300).map(|number| format!("b-{number}")).collect();
    assert_eq!(ids(&read(&mut receiver, 300)), expected);
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
