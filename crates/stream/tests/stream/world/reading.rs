//! How records reach the engine: in partitions and chunks, shuffled, some of them twice, and again after a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::json::ReaderBuilder;
use hexwatch_contract::{Chunk, EventBatch, EventTime, Partition, Topic, event};
use hexwatch_stream::Checkpoint;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{Record, start};

/// How records reach the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) seed: u64,
    /// Records are out of order by up to this; below the lateness nothing is late.
    pub(crate) disorder: Duration,
    /// One record in so many comes twice; 0 for none.
    pub(crate) duplicates: u32,
    /// Chunks of up to so many records.
    pub(crate) chunk: usize,
    /// Whether partitions are read one after another instead of as the records come.
    pub(crate) uneven: bool,
}

pub(crate) const PLAIN: Reading =
    Reading { seed: 0, disorder: Duration::ZERO, duplicates: 0, chunk: 50, uneven: false };

/// A stretch of one partition, ready to be read at `now`.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) now: EventTime,
    pub(crate) chunk: Chunk,
}

/// The records in partitions and chunks, in the order in which they are read.
pub(crate) fn deliveries(records: &[Record], reading: Reading) -> Vec<Delivery> {
    let mut random = ChaCha8Rng::seed_from_u64(reading.seed);
    let mut arriving: Vec<(i64, Record)> = Vec::new();
    let delay = |random: &mut ChaCha8Rng| {
        let most = i64::try_from(reading.disorder.as_millis()).unwrap();
        if most == 0 { 0 } else { random.random_range(0..most) }
    };
    for record in records {
        let sent = record.time + record.held;
        arriving.push((sent.millis() + delay(&mut random), record.clone()));
        if reading.duplicates > 0 && random.random_range(0..reading.duplicates) == 0 {
            arriving.push((sent.millis() + delay(&mut random) + 1, record.clone()));
        }
    }
    arriving.sort_by_key(|(at, _)| *at);
    let mut partitions: BTreeMap<(Topic, i32), Vec<(i64, Record)>> = BTreeMap::new();
    for (at, record) in arriving {
        partitions.entry((record.topic, record.partition)).or_default().push((at, record));
    }
    let mut found = Vec::new();
    for ((topic, number), records) in partitions {
        let mut offset = 0;
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let (now, next) = rest.split_at(random.random_range(1..=reading.chunk).min(rest.len()));
            found.push(Delivery {
                now: EventTime::from_millis(now.last().unwrap().0 + 1),
                chunk: chunk(
                    topic,
                    number,
                    offset,
                    &now.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>(),
                ),
            });
            offset += i64::try_from(now.len()).unwrap();
            rest = next;
        }
    }
    if reading.uneven {
        let end = found.iter().map(|delivery| delivery.now).max().unwrap_or_else(start);
        let mut order: Vec<Partition> =
            found.iter().map(|delivery| delivery.chunk.partition.clone()).collect();
        order.dedup();
        order.shuffle(&mut random);
        found.sort_by_key(|delivery| {
            order.iter().position(|partition| *partition == delivery.chunk.partition)
        });
        for delivery in &mut found {
            delivery.now = end;
        }
    } else {
        found.sort_by_key(|delivery| delivery.now);
    }
    found
}

/// A chunk of `records` from `offset` on.
pub(crate) fn chunk(topic: Topic, number: i32, offset: i64, records: &[Record]) -> Chunk {
    let rows: Vec<Value> = records
        .iter()
        .zip(offset..)
        .map(|(record, offset)| {
            let mut row = record.body.clone();
            row.insert("partition".into(), number.into());
            row.insert("offset".into(), offset.into());
            Value::Object(row)
        })
        .collect();
    let mut decoder = ReaderBuilder::new(event::schema(topic)).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    let identities = records.iter().map(Record::identity).collect();
    let batch = decoder.flush().unwrap().unwrap();
    Chunk {
        partition: Partition::new(topic.name(), number),
        first_offset: offset,
        next_offset: offset + i64::try_from(records.len()).unwrap(),
        read: records.len() as u64,
        latest_kafka_time: EventTime::MIN,
        events: EventBatch { topic, records: batch, identities },
        dead_letters: vec![],
    }
}

/// A restart from `checkpoint`: the deliveries from its offsets on, cut where it says.
pub(crate) fn again(deliveries: &[Delivery], checkpoint: &Checkpoint) -> Vec<Delivery> {
    let from = checkpoint.replay_from();
    let kept = deliveries.iter().filter(|delivery| {
        from.get(&delivery.chunk.partition).is_none_or(|from| delivery.chunk.first_offset >= *from)
    });
    kept.cloned().collect()
}
