//! What a silent topic costs the others: the idle timeout, and no more; and what a lagging one costs.

use std::collections::BTreeMap;
use std::time::Duration;

use hexwatch_contract::{EventTime, Partition, Topic};
use hexwatch_stream::{Effects, Engine, Input};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::laws::for_seeds;
use super::world::{self, LATENESS, Record, after, chunk, engine};

/// The engine's default.
const IDLE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(500);

/// One who speaks all the time, and one who falls silent.
struct Scene {
    speaker: Vec<Record>,
    quiet: Vec<Record>,
    end: EventTime,
}

fn scene(seed: u64) -> Scene {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let speak = |random: &mut ChaCha8Rng, topic: Topic, device: &str, until: f64, pause: f64| {
        let (mut at, mut records) = (random.random_range(0.0..1.0), Vec::new());
        while at < until {
            let body = match topic {
                Topic::Access => json!({ "event": "granted" }),
                _ => json!({ "property": "ch4", "result": 1.0 }),
            };
            records.push(Record::new(topic, device, after(at), &format!("{device}{}", records.len()), &body));
            at += random.random_range(0.1..pause);
        }
        records
    };
    let (until, stops) = (random.random_range(90.0..200.0), random.random_range(0.0..80.0));
    let pause = random.random_range(0.5..4.0);
    // In a topic of its own, or in another partition of the same.
    let topic = if seed.is_multiple_of(2) { Topic::Iot } else { Topic::Access };
    Scene {
        speaker: speak(&mut random, Topic::Access, "door-1", until, pause),
        quiet: speak(&mut random, topic, "door-2", stops, 5.0),
        end: after(until),
    }
}

/// When each window of the speaker came.
type Came = BTreeMap<String, EventTime>;

fn note(came: &mut Came, effects: &Effects, now: EventTime) {
    for rows in &effects.rows {
        let mut writer = arrow::json::ArrayWriter::new(Vec::new());
        writer.write(&rows.records).unwrap();
        writer.finish().unwrap();
        let bytes = writer.into_inner();
        let rows: Vec<Value> =
            if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes).unwrap() };
        for row in rows.iter().filter(|row| row["device"] == "door-1") {
            came.entry(row["window_end"].as_str().unwrap().to_owned()).or_insert(now);
        }
    }
}

struct Heard {
    came: Came,
    /// When the quiet one was last heard, or assigned.
    last_at: EventTime,
    /// How far its watermark had come, and when.
    quiet: Vec<(EventTime, EventTime)>,
}

impl Heard {
    fn quiet_watermark(&self) -> EventTime {
        self.quiet.last().map_or(EventTime::MIN, |(_, watermark)| *watermark)
    }

    /// When the quiet one no longer holds a window that ends at `end`.
    fn lets_pass(&self, end: EventTime) -> EventTime {
        let passed = self.quiet.iter().find(|(_, watermark)| *watermark >= end).map(|(now, _)| *now);
        passed.unwrap_or(self.last_at + IDLE)
    }
}

fn quiet_partition(scene: &Scene) -> (Partition, Topic, i32) {
    let topic = scene.quiet.first().map_or(Topic::Iot, |record| record.topic);
    // Beside the partitions of the world, so that it is nobody else's.
    (Partition::new(topic.name(), 7), topic, 7)
}

fn assigned(scene: &Scene, with_quiet: bool) -> (Engine, Partition) {
    let mut engine = engine(&super::time::counts());
    let speaks = world::partition_of(&scene.speaker[0]);
    let (quiet, topic, _) = quiet_partition(scene);
    let mut all = vec![(speaks.clone(), Topic::Access)];
    if with_quiet {
        all.push((quiet.clone(), topic));
    }
    engine.step(world::start(), Input::Assigned(all)).unwrap();
    engine.step(world::start(), Input::AtEnd(speaks)).unwrap();
    (engine, quiet)
}

fn run(scene: &Scene, with_quiet: bool, lagging: bool) -> Heard {
    let (mut engine, quiet) = assigned(scene, with_quiet);
    let (_, topic, number) = quiet_partition(scene);
    let mut heard = Heard { came: Came::new(), last_at: world::start(), quiet: Vec::new() };
    if with_quiet && !lagging {
        engine.step(world::start(), Input::AtEnd(quiet)).unwrap();
    }
    let (mut speaker, mut silent, mut now) = (0, 0, world::start());
    while now < scene.end {
        now = now + TICK;
        while scene.speaker.get(speaker).is_some_and(|record| record.time <= now) {
            let record = &scene.speaker[speaker];
            let input = Input::Chunk(chunk(
                record.topic,
                record.partition,
                i64::try_from(speaker).unwrap(),
                std::slice::from_ref(record),
            ));
            note(&mut heard.came, &engine.step(now, input).unwrap(), now);
            speaker += 1;
        }
        while with_quiet && scene.quiet.get(silent).is_some_and(|record| record.time <= now) {
            let record = &scene.quiet[silent];
            let input = Input::Chunk(chunk(
                topic,
                number,
                i64::try_from(silent).unwrap(),
                std::slice::from_ref(record),
            ));
            note(&mut heard.came, &engine.step(now, input).unwrap(), now);
            silent += 1;
            heard.last_at = now;
            heard.quiet.push((now, record.time - LATENESS));
        }
        note(&mut heard.came, &engine.step(now, Input::Tick).unwrap(), now);
    }
    heard
}

fn end_of(window: &str) -> EventTime {
    EventTime::parse_rfc3339(window).unwrap()
}

#[test]
fn a_silent_topic_delays_windows_by_the_idle_timeout_and_no_more() {
    for_seeds(100, |seed| {
        let scene = scene(seed);
        let alone = run(&scene, false, false);
        let beside = run(&scene, true, false);
        assert!(alone.came.len() > 3, "seed {seed} says nothing");
        for (window, at) in &alone.came {
            // Ticks are as fine as the clock: the time-out is noticed at the next.
            let expected = (*at).max(beside.lets_pass(end_of(window))) + TICK;
            match beside.came.get(window) {
                Some(came) => assert!(
                    *came <= expected && came.since(*at) <= IDLE + TICK,
                    "seed {seed}: {window} came at {came}, alone at {at}, expected until {expected}"
                ),
                None => assert!(expected >= scene.end, "seed {seed}: {window} never came"),
            }
            let early = beside.came.get(window).is_some_and(|came| *came < *at);
            assert!(!early, "seed {seed}: {window} came before its time");
        }
    });
}

#[test]
fn a_lagging_topic_holds_every_window_it_may_still_speak_of() {
    for_seeds(100, |seed| {
        let scene = scene(seed);
        let behind = run(&scene, true, true);
        for window in behind.came.keys() {
            assert!(
                end_of(window) <= behind.quiet_watermark(),
                "seed {seed}: {window} came though records of it may be waiting"
            );
        }
    });
}
