//! Watermarks against a plain model that keeps everything and computes it anew.

use std::collections::BTreeMap;
use std::time::Duration;

use hexwatch_contract::{EventTime, Partition, Topic};
use hexwatch_stream::watermark::Watermarks;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::laws::for_seeds;

const IDLE: Duration = Duration::from_secs(30);

/// What a partition has been through.
#[derive(Clone)]
struct History {
    lateness: Duration,
    from: EventTime,
    rows: Vec<EventTime>,
    heard_at: EventTime,
    at_end: bool,
}

impl History {
    fn watermark(&self) -> EventTime {
        let rows = self.rows.iter().map(|time| *time - self.lateness);
        rows.chain([self.from]).max().unwrap()
    }

    fn is_idle(&self, now: EventTime) -> bool {
        self.at_end && now.since(self.heard_at) >= IDLE
    }

    /// What it allows the merged watermark to be.
    fn allows(&self, now: EventTime) -> EventTime {
        if self.is_idle(now) { self.watermark().max(now - self.lateness) } else { self.watermark() }
    }
}

fn at(seconds: i64) -> EventTime {
    EventTime::from_millis(seconds * 1000)
}

fn partition(number: usize) -> Partition {
    Partition::new("iot", i32::try_from(number).unwrap())
}

struct Run {
    random: ChaCha8Rng,
    watermarks: Watermarks,
    model: BTreeMap<Partition, History>,
    now: EventTime,
    merged: EventTime,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            watermarks: Watermarks::new(IDLE),
            model: BTreeMap::new(),
            now: at(0),
            merged: EventTime::MIN,
        }
    }

    fn step(&mut self) {
        let partition = partition(self.random.random_range(0..4));
        self.now = self.now + Duration::from_secs(self.random.random_range(0..12));
        match self.random.random_range(0..12) {
            0 | 1 => self.assign(partition),
            2 => {
                self.watermarks.revoke(&partition);
                self.model.remove(&partition);
            }
            3 | 4 => self.set_at_end(&partition, true),
            5 => self.set_at_end(&partition, false),
            _ => self.read(&partition),
        }
    }

    fn assign(&mut self, partition: Partition) {
        if self.model.contains_key(&partition) {
            return;
        }
        let from = if self.random.random_range(0..3) == 0 {
            at(self.random.random_range(-50..50))
        } else {
            EventTime::MIN
        };
        let lateness = Duration::from_secs(self.random.random_range(0..20));
        self.watermarks.assign(partition.clone(), Topic::Iot, lateness, from, self.now);
        let history = History { lateness, from, rows: Vec::new(), heard_at: self.now, at_end: false };
        self.model.insert(partition, history);
    }

    fn set_at_end(&mut self, partition: &Partition, at_end: bool) {
        self.watermarks.set_at_end(partition, at_end);
        if let Some(history) = self.model.get_mut(partition) {
            history.at_end = at_end;
        }
    }

    fn read(&mut self, partition: &Partition) {
        // Rows are of any time up to now: in a backlog they are old.
        let time = self.now - Duration::from_secs(self.random.random_range(0..120));
        let Some(history) = self.model.get_mut(partition) else { return };
        self.watermarks.advance(partition, time - history.lateness, self.now);
        history.rows.push(time);
        history.heard_at = self.now;
    }

    fn check(&mut self, seed: u64) {
        let least = self.model.values().map(|history| history.allows(self.now)).min();
        let expected = least.map_or(self.merged, |least| self.merged.max(least));
        let merged = self.watermarks.merge(self.now);
        assert_eq!(merged, expected, "seed {seed}: the minimum of those that are not idle");
        assert!(merged >= self.merged, "seed {seed}: it went back");
        for (partition, history) in &self.model {
            let own = self.watermarks.of(partition);
            assert_eq!(
                own,
                Some((history.watermark(), history.lateness)),
                "seed {seed}: its own rows alone move it"
            );
            if !history.is_idle(self.now) {
                let held = merged <= history.watermark() || merged == self.merged;
                assert!(held, "seed {seed}: {partition:?} was passed by though it is not idle");
            }
        }
        let idle: Vec<bool> = self.watermarks.progress(self.now).map(|(_, _, idle)| idle).collect();
        let expected: Vec<bool> = self.model.values().map(|history| history.is_idle(self.now)).collect();
        assert_eq!(idle, expected, "seed {seed}: idle and lagging told apart");
        self.merged = merged;
    }
}

#[test]
fn the_watermark_is_the_minimum_of_those_not_idle_and_never_goes_back() {
    for_seeds(5_000, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..80 {
            run.step();
            run.check(seed);
        }
    });
}

#[test]
fn a_partition_behind_its_end_holds_however_long_it_is_silent() {
    for_seeds(2_000, |seed| {
        let mut run = Run::new(seed);
        let lagging = Partition::new("access", 9);
        let from = at(run.random.random_range(-100..100));
        run.watermarks.assign(lagging.clone(), Topic::Access, Duration::from_secs(10), from, run.now);
        for _ in 0..60 {
            run.step();
            let merged = run.watermarks.merge(run.now + Duration::from_hours(24));
            assert!(merged <= from, "seed {seed}: {merged} is past {from}");
        }
        // It was all it waited for.
        run.model.keys().for_each(|partition| run.watermarks.revoke(partition));
        run.watermarks.set_at_end(&lagging, true);
        let merged = run.watermarks.merge(run.now + Duration::from_hours(24));
        assert_eq!(merged, run.now + Duration::from_hours(24) - Duration::from_secs(10), "seed {seed}");
    });
}
