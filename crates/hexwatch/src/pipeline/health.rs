//! Where the data comes from and whether it comes, for the system page and the socket.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use hexwatch_contract::live::{Health, Source};
use hexwatch_contract::{Account, Chunk, DeadLetter, EventTime, Partition, Topic};
use hexwatch_ingest::reader::{Assignment, Progress};
use hexwatch_server::{DeadLetterCount, QueryStatus, SystemFacts};

/// How many reasons for dead letters are counted apart; the rest is counted under the last one's topic and stage.
const MOST_REASONS: usize = 1_000;

/// What is known of the sources.
#[derive(Default)]
pub(crate) struct Sources {
    is_lost: bool,
    partitions: BTreeMap<Partition, Source>,
    accounts: BTreeMap<String, Account>,
    reasons: BTreeMap<(String, &'static str, &'static str, Option<String>), u64>,
    queries: Vec<QueryStatus>,
}

impl Sources {
    /// Sources of an engine that runs `queries`.
    pub(crate) fn new(queries: Vec<QueryStatus>) -> Self {
        Self { queries, ..Self::default() }
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

    pub(crate) fn progressed(&mut self, progress: &[Progress]) {
        for one in progress {
            if let Some(source) = self.partitions.get_mut(&one.partition) {
                source.lag = (one.end - one.position).max(0);
                let state = if one.at_end { "live" } else { "lagging" };
                state.clone_into(&mut source.state);
            }
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
        let field = (self.reasons.len() < MOST_REASONS).then(|| letter.field.clone()).flatten();
        let reason = (letter.meant_for.name().to_owned(), letter.stage.name(), letter.error_code, field);
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
        let count = |((topic, stage, code, field), count): (&(String, &str, &str, Option<String>), &u64)| {
            DeadLetterCount {
                topic: topic.clone(),
                stage: (*stage).to_owned(),
                error_code: (*code).to_owned(),
                field: field.clone(),
                count: *count,
            }
        };
        SystemFacts { queries: self.queries.clone(), dead_letters: self.reasons.iter().map(count).collect() }
    }
}
