//! Records that come again, in partitions that others have long left behind.

use std::time::Duration;

use hexwatch_contract::{Account, EventTime, Topic};
use hexwatch_stream::{Engine, Input};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::laws::for_seeds;
use super::world::{Delivery, LATENESS, Record, after, again, begin, chunk, engine, partitions};

/// The engine's default.
const HORIZON: Duration = Duration::from_mins(10);
const BUSY: i32 = 0;
const QUIET: i32 = 1;

/// Two partitions of one topic.
struct Scene {
    deliveries: Vec<Delivery>,
    expected: Account,
}

struct Writer {
    random: ChaCha8Rng,
    offsets: [i64; 2],
    deliveries: Vec<Delivery>,
}

impl Writer {
    fn send(&mut self, partition: i32, records: &[Record], now: EventTime) {
        let offset = &mut self.offsets[usize::try_from(partition).unwrap()];
        let chunk = chunk(Topic::Iot, partition, *offset, records);
        *offset += i64::try_from(records.len()).unwrap();
        self.deliveries.push(Delivery { now, chunk });
    }

    fn record(&self, device: &str, seconds: f64) -> Record {
        let id = format!("{device}{}", self.deliveries.len());
        Record::new(Topic::Iot, device, after(seconds), &id, &json!({ "heartbeat": true }))
    }
}

/// One partition speaks for hours; the other falls silent, and then sends again what it had sent.
fn scene(seed: u64) -> Scene {
    let random = ChaCha8Rng::seed_from_u64(seed);
    let mut writer = Writer { random, offsets: [0, 0], deliveries: Vec::new() };
    let (hours, stops) = (writer.random.random_range(1.0..6.0), writer.random.random_range(60.0..2_000.0));
    let (mut busy, mut quiet, mut sent) = (0.0, 0.0, Vec::new());
    while busy < hours * 3_600.0 {
        let record = writer.record("smoke-0", busy);
        writer.send(BUSY, &[record], after(busy));
        while quiet < stops && quiet <= busy {
            let record = writer.record("smoke-1", quiet);
            writer.send(QUIET, std::slice::from_ref(&record), after(busy));
            sent.push(record);
            quiet += writer.random.random_range(1.0..40.0);
        }
        busy += writer.random.random_range(5.0..60.0);
    }
    let count = u64::try_from(writer.deliveries.len()).unwrap();
    let floor = sent.last().unwrap().time - LATENESS - HORIZON;
    let late = u64::try_from(sent.iter().filter(|record| record.time < floor).count()).unwrap();
    let repeated = u64::try_from(sent.len()).unwrap();
    // Not all at once: what comes first may not make room for the rest.
    for (number, record) in sent.iter().enumerate() {
        let now = after(hours * 3_600.0 + f64::from(u32::try_from(number).unwrap()) * 20.0);
        writer.send(QUIET, std::slice::from_ref(record), now);
    }
    let expected = Account {
        read: count + repeated,
        accepted: count,
        duplicate: repeated - late,
        late,
        ..Account::default()
    };
    Scene { deliveries: writer.deliveries, expected }
}

fn read(engine: &mut Engine, deliveries: &[Delivery], account: &mut Account) {
    for delivery in deliveries {
        let effects = engine.step(delivery.now, Input::Chunk(delivery.chunk.clone())).unwrap();
        for (_, part) in effects.accounts {
            *account += part;
        }
        engine.step(delivery.now + Duration::from_secs(1), Input::Tick).unwrap();
    }
}

#[test]
fn a_record_counts_once_however_long_its_partition_was_silent_before_it_came_again() {
    for_seeds(60, |seed| {
        let Scene { deliveries, expected } = scene(seed);
        let (mut engine, mut account) = (engine(&[]), Account::default());
        begin(&mut engine, true);
        read(&mut engine, &deliveries, &mut account);
        assert_eq!(account, expected, "seed {seed}");
    });
}

#[test]
fn a_restart_remembers_what_an_idle_partition_has_sent() {
    for_seeds(40, |seed| {
        let Scene { deliveries, expected } = scene(seed);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let cut = random.random_range(1..deliveries.len());
        let (mut before, mut account) = (engine(&[]), Account::default());
        begin(&mut before, true);
        read(&mut before, &deliveries[..cut], &mut account);
        let checkpoint = before.checkpoint().unwrap();
        let rest = again(&deliveries, &checkpoint);
        let (known, new) = rest.split_at(rest.len() - (deliveries.len() - cut));
        let mut resumed = engine(&[]);
        resumed.restore(checkpoint);
        begin(&mut resumed, false);
        read(&mut resumed, known, &mut account);
        for (partition, _) in partitions() {
            resumed.step(deliveries[cut].now, Input::AtEnd(partition)).unwrap();
        }
        read(&mut resumed, new, &mut account);
        assert_eq!(account, expected, "seed {seed}, cut at {cut}");
    });
}
