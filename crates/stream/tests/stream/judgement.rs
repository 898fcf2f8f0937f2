//! Which rows count and which come too late: a matter of their own partition, not of how it was read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use hexwatch_contract::{Account, Chunk, EventBatch, Partition};
use hexwatch_stream::Input;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::laws::{any_partition, any_reading, for_seeds, interleaved};
use super::world::{Delivery, Reading, begin, deliveries, engine, some_happenings};

/// Per partition the offsets that counted, and those that were too late.
type Judged = BTreeMap<Partition, (Vec<i64>, Vec<i64>)>;

fn judge(judged: &mut Judged, partition: &Partition, batches: &[EventBatch], too_late: bool) {
    let place = judged.entry(partition.clone()).or_default();
    for batch in batches {
        let offsets = batch.records.column_by_name("offset").unwrap().as_primitive::<Int64Type>();
        let list = if too_late { &mut place.1 } else { &mut place.0 };
        list.extend_from_slice(offsets.values());
    }
}

fn judged(deliveries: &[Delivery], live: bool, random: &mut ChaCha8Rng) -> (Judged, Account) {
    let (mut engine, mut found, mut total) = (engine(&[]), Judged::new(), Account::default());
    begin(&mut engine, live);
    for delivery in deliveries {
        for _ in 0..random.random_range(0..3) {
            let partition = any_partition(random);
            let input = match random.random_range(0..3) {
                0 => Input::Tick,
                1 => Input::AtEnd(partition),
                _ => Input::Behind(partition),
            };
            engine.step(delivery.now, input).unwrap();
        }
        let effects = engine.step(delivery.now, Input::Chunk(delivery.chunk.clone())).unwrap();
        judge(&mut found, &delivery.chunk.partition, &effects.admitted, false);
        judge(&mut found, &delivery.chunk.partition, &effects.late, true);
        for (_, account) in effects.accounts {
            total += account;
        }
    }
    assert!(total.balances());
    (found, total)
}

#[test]
fn which_rows_count_and_which_come_too_late_depends_on_their_partition_alone() {
    let late = AtomicU64::new(0);
    for_seeds(300, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut records = some_happenings(seed, 60, 2_000.0);
        for record in &mut records {
            // A wrong clock in a partition that is idle otherwise has no time to be remembered by.
            if random.random_range(0..6) == 0 {
                record.held = Duration::from_secs(random.random_range(0..4_000));
            } else if random.random_range(0..10) == 0 {
                record.body.insert("time_quality".into(), "suspect".into());
            }
        }
        let reading = Reading { uneven: false, ..any_reading(&mut random, seed, 60_000) };
        let sent = deliveries(&records, reading);
        let (live, account) = judged(&sent, true, &mut random);
        let (backlog, _) = judged(&interleaved(&sent, &mut random), false, &mut random);
        assert_eq!(live, backlog, "seed {seed}: {reading:?}");
        // However the same records are cut into chunks.
        let (cut, _) = judged(&rechunked(&sent, &mut random), true, &mut random);
        assert_eq!(live, cut, "seed {seed}: {reading:?}");
        late.fetch_add(account.late, Ordering::Relaxed);
    });
    assert!(late.into_inner() > 100, "next to nothing came too late: the test says nothing");
}

/// The same records in other chunks.
fn rechunked(deliveries: &[Delivery], random: &mut ChaCha8Rng) -> Vec<Delivery> {
    let mut found = Vec::new();
    for delivery in deliveries {
        let chunk = &delivery.chunk;
        let mut from = 0;
        while from < chunk.identities() {
            let length = random.random_range(1..=chunk.identities() - from);
            found.push(Delivery { now: delivery.now, chunk: chunk.cut(from, length) });
            from += length;
        }
    }
    found
}

/// A chunk without dead letters, by its rows.
trait Cut {
    fn identities(&self) -> usize;
    fn cut(&self, from: usize, length: usize) -> Self;
}

impl Cut for Chunk {
    fn identities(&self) -> usize {
        self.events.identities.len()
    }

    fn cut(&self, from: usize, length: usize) -> Self {
        let first_offset = self.first_offset + i64::try_from(from).unwrap();
        Self {
            first_offset,
            next_offset: first_offset + i64::try_from(length).unwrap(),
            read: length as u64,
            events: EventBatch {
                topic: self.events.topic,
                records: self.events.records.slice(from, length),
                identities: self.events.identities[from..from + length].to_vec(),
            },
            ..self.clone()
        }
    }
}
