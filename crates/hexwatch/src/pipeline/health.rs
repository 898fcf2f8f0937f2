//! Where the data comes from and whether it comes, for the system page and the socket.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use arrow::array::AsArray as _;
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use hexwatch_contract::live::{Health, Source};
use hexwatch_contract::{Account, Chunk, DeadLetter, EventTime, Partition, Stage, Topic};
use hexwatch_ingest::reader::{Assignment, Progress};
use hexwatch_server::{DeadLetterCount, QueryStatus, SystemFacts};

use super::outlet::Outlet;

/// How many reasons for dead letters are counted apart; the rest is counted without its field.
const MOST_REASONS: usize = 1_000;
/// A longer name is no field's, but a record's own text.
const LONGEST_FIELD: usize = 64;

/// A partition lags where records that waited so many looks ago wait still; one on its way is no backlog.
const LOOKS: usize = 5;

/// Why records were refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Reason {
    topic: Topic,
    stage: Stage,
    error_code: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
}

/// What is known of the sources.
pub(crate) struct Sources {
    is_lost: bool,
    partitions: BTreeMap<Partition, Source>,
    /// Where each partition ended at the last looks.
    ends: BTreeMap<Partition, VecDeque<i64>>,
    accounts: BTreeMap<String, Account>,
    reasons: BTreeMap<Reason, u64>,
    queries: Vec<QueryStatus>,
    outlet: Outlet,
}

impl Sources {
    /// Sources of an engine that runs `queries` and publishes to `outlet`.
    pub(crate) fn new(queries: Vec<QueryStatus>, outlet: Outlet) -> Self {
        Self {
            is_lost: false,
            partitions: BTreeMap::new(),
            ends: BTreeMap::new(),
            accounts: BTreeMap::new(),
            reasons: BTreeMap::new(),
            queries,
            outlet,
        }
    }

    pub(crate) fn assigned(&mut self, assignments: &[Assignment]) {
        for one in assignments {
            let source = Source {
                topic: one.partition.topic.to_string(),
                partition: one.partition.partition,
                lag: one.end - one.start,
                last_time: None,
                state: "live".to_owned(),
            };
            self.partitions.insert(one.partition.clone(), source);
        }
    }

    pub(crate) fn read(&mut self, chunk: &Chunk) {
        let Some(source) = self.partitions.get_mut(&chunk.partition) else { return };
        let times = chunk.events.records["time"].as_primitive::<TimestampMicrosecondType>();
        source.last_time = source.last_time.max(max(times).map(EventTime::from_micros));
    }

    /// Takes in a look at how far the partitions have been read; one is taken each second.
    pub(crate) fn progressed(&mut self, progress: &[Progress]) {
        for one in progress {
            let Some(source) = self.partitions.get_mut(&one.partition) else { continue };
            source.lag = (one.end - one.position).max(0);
            let ends = self.ends.entry(one.partition.clone()).or_default();
            let waited = if ends.len() == LOOKS { ends.pop_front() } else { None };
            ends.push_back(one.end);
            let is_behind = !one.at_end && waited.is_some_and(|end| one.position < end);
            let state = if is_behind { "lagging" } else { "live" };
            state.clone_into(&mut source.state);
        }
    }

    pub(crate) fn broker_lost(&mut self) {
        self.is_lost = true;
    }

    pub(crate) fn broker_back(&mut self) {
        self.is_lost = false;
    }

    pub(crate) fn accounted(&mut self, topic: Topic, account: &Account) {
        *self.accounts.entry(topic.name().to_owned()).or_default() += *account;
    }

    pub(crate) fn refused(&mut self, letter: &DeadLetter) {
        let is_told = |field: &&Cow<'_, str>| field.len() <= LONGEST_FIELD;
        let field = letter.field.as_ref().filter(is_told).cloned();
        let (topic, stage, error_code) = (letter.meant_for, letter.stage, letter.error_code.clone());
        let mut reason = Reason { topic, stage, error_code, field };
        if self.reasons.len() >= MOST_REASONS && !self.reasons.contains_key(&reason) {
            reason.field = None;
        }
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// What is known now; `silent` registered sensors have not been heard in time.
    pub(crate) fn health(&self, silent: usize) -> Health {
        let lost = |source: &Source| Source { state: "lost".to_owned(), ..source.clone() };
        let sources = self.partitions.values();
        Health {
            ingest: if self.is_lost { "lost" } else { "live" }.to_owned(),
            sources: sources.map(|source| if self.is_lost { lost(source) } else { source.clone() }).collect(),
            silent_devices: silent as u64,
            accounts: self.accounts.clone(),
        }
    }

    pub(crate) fn facts(&self) -> SystemFacts {
        let count = |(reason, count): (&Reason, &u64)| DeadLetterCount {
            topic: reason.topic.name().to_owned(),
            stage: reason.stage.name().to_owned(),
            error_code: reason.error_code.clone().into_owned(),
            field: reason.field.as_deref().map(str::to_owned),
            count: *count,
        };
        SystemFacts {
            queries: self.queries.clone(),
            dead_letters: self.reasons.iter().map(count).collect(),
            rows_waiting: self.outlet.rows_waiting(),
            rows_unpublished: self.outlet.rows_unpublished(),
        }
    }
}

#[cfg(test)]
mod tests {
    use hexwatch_contract::Position;
    use hexwatch_server::Metrics;

    use super::*;

    fn letter(field: String) -> DeadLetter {
        DeadLetter {
            position: Position { partition: Partition::new("iot", 0), offset: 7 },
            meant_for: Topic::Iot,
            kafka_time: EventTime::from_millis(0),
            refused_at: EventTime::from_millis(0),
            key: None,
            id: None,
            stage: Stage::Decode,
            error_code: "duplicate_key".into(),
            field: Some(field.into()),
            message: "".into(),
            payload_sha256: hexwatch_contract::Sha256Sum::default(),
            payload: None,
        }
    }

    #[test]
    fn a_partition_lags_where_records_have_waited_for_seconds_and_not_because_one_is_on_its_way() {
        let mut sources = Sources::new(Vec::new(), Outlet::new(None, "", Metrics::new()));
        let partition = Partition::new("iot", 0);
        sources.assigned(&[Assignment {
            partition: partition.clone(),
            topic: Topic::Iot,
            start: 0,
            end: 0,
            lease: 0,
        }]);
        let mut look = |position: i64, end: i64| {
            sources.progressed(&[Progress {
                partition: partition.clone(),
                position,
                end,
                at_end: position == end,
            }]);
            let health = sources.health(0);
            (health.sources[0].state.clone(), health.sources[0].lag)
        };
        let live = |lag: i64| ("live".to_owned(), lag);
        for second in 0..20 {
            assert_eq!(look(1_000 * second, 1_000 * second + 900), live(900), "it keeps up");
        }
        for second in 0..5 {
            assert_eq!(look(19_950, 21_000 + second).0, "live", "after {second} s");
        }
        assert_eq!(look(19_950, 22_000), ("lagging".to_owned(), 2_050));
        assert_eq!(look(22_000, 22_000), live(0));
    }

    #[test]
    fn reasons_are_counted_apart_up_to_a_bound_and_no_letter_is_left_out() {
        let mut sources = Sources::new(Vec::new(), Outlet::new(None, "", Metrics::new()));
        for number in 0..3_000 {
            sources.refused(&letter(format!("key_{number}")));
            sources.refused(&letter("key_0".to_owned()));
            sources.refused(&letter("x".repeat(100_000)));
        }
        let counts = sources.facts().dead_letters;
        assert!(counts.len() <= MOST_REASONS + 1, "{} reasons", counts.len());
        assert_eq!(counts.iter().map(|count| count.count).sum::<u64>(), 9_000);
        let of = |field: Option<&str>| counts.iter().find(|count| count.field.as_deref() == field).unwrap();
        assert_eq!(of(Some("key_0")).count, 3_001);
        assert!(of(None).count >= 3_000);
        assert!(
            counts.iter().filter_map(|count| count.field.as_ref()).all(|field| field.len() <= LONGEST_FIELD)
        );
    }
}
