//! What librdkafka tells of itself: statistics once a second, errors, log lines. They are handed over
//! from within `poll`, on the reader's own thread.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use serde::Deserialize;

/// Keeps the last statistics until they are taken.
#[derive(Default)]
pub(super) struct Watch {
    latest: Mutex<Option<Statistics>>,
}

/// The few figures of librdkafka's statistics that are used.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, BrokerFigures>,
    #[serde(default)]
    topics: HashMap<String, TopicFigures>,
}

#[derive(Clone, Debug, Deserialize)]
struct BrokerFigures {
    /// Below zero for connections that only lead to the cluster and carry no records.
    nodeid: i32,
    state: String,
    /// Requests that wait for an answer.
    waitresp_cnt: i64,
    /// Microseconds since something was received, -1 before.
    rxidle: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct TopicFigures {
    #[serde(default)]
    partitions: HashMap<String, PartitionFigures>,
}

/// What is known of a partition's end; negative where nothing is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct PartitionFigures {
    /// The offset after the last record.
    pub(super) hi_offset: i64,
    /// The offset at which a fetch last met the end.
    pub(super) eof_offset: i64,
}

/// A broker that has left a request unanswered for this long is not called alive; fetches are answered
/// within 100 ms, with data or without.
const SILENT_MICROS: i64 = 3_000_000;

impl Statistics {
    /// Whether any broker answers. A connection with nothing to say counts as one that would: back-pressure
    /// stops the fetching, and is no fault of the broker.
    pub(super) fn any_broker_answers(&self) -> bool {
        // The connection that led to the cluster stays open, idle, whatever becomes of the brokers.
        let any_known = self.brokers.values().any(|broker| broker.nodeid >= 0);
        let mut brokers = self.brokers.values().filter(|broker| broker.nodeid >= 0 || !any_known);
        brokers.any(|broker| {
            let stuck = broker.waitresp_cnt > 0 && broker.rxidle > SILENT_MICROS;
            matches!(broker.state.as_str(), "UP" | "UPDATE") && !stuck
        })
    }

    pub(super) fn partition(&self, topic: &str, partition: i32) -> Option<PartitionFigures> {
        self.topics.get(topic)?.partitions.get(&partition.to_string()).copied()
    }
}

impl Watch {
    /// The statistics that came since the last call.
    pub(super) fn take(&self) -> Option<Statistics> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(statistics) => {
                *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(statistics);
            }
            Err(error) => tracing::warn!(%error, "librdkafka's statistics could not be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Watch {}

/// Hands a log line of librdkafka on.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "librdkafka"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(brokers: &str) -> bool {
        let statistics: Statistics = serde_json::from_str(&format!("{{\"brokers\":{{{brokers}}}}}")).unwrap();
        statistics.any_broker_answers()
    }

    #[test]
    fn a_broker_that_leaves_a_fetch_unanswered_does_not_answer() {
        let idle_way_in = r#""b":{"nodeid":-1,"state":"UP","waitresp_cnt":0,"rxidle":90000000}"#;
        let leader = |state: &str, waiting: u8, silent: u64| {
            format!(
                r#"{idle_way_in},"1":{{"nodeid":1,"state":"{state}","waitresp_cnt":{waiting},"rxidle":{silent}}}"#
            )
        };
        assert!(answers(idle_way_in));
        assert!(answers(&leader("UP", 1, 90_000)));
        assert!(answers(&leader("UP", 0, 60_000_000)), "idle because of back-pressure");
        assert!(!answers(&leader("UP", 1, 4_000_000)), "stuck");
        assert!(!answers(&leader("APIVERSION_QUERY", 1, 0)), "connected, and silent since");
        assert!(!answers(""));
    }
}
