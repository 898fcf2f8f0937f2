//! What happened, as Prometheus reads it. Methods are named by what happened; the names of the metrics are binding.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hexwatch_contract::alarm::Priority;
use hexwatch_contract::{Account, Stage};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the latency histogram, in seconds: fine around the second that an alarm may take.
const LATENCY_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds of how long work takes, in seconds.
const RUN_BOUNDS: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The process's metrics; clones share them.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    series: Series,
}

struct Series {
    records_read: Family<ByTopic, Counter>,
    records: Family<ByOutcome, Counter>,
    dead_letters: Family<ByStage, Counter>,
    alarms: Family<ByRule, Counter>,
    watermark_age: Gauge<f64, AtomicU64>,
    consumer_lag: Family<ByPartition, Gauge>,
    alarm_latency: Histogram,
    socket_clients: Gauge,
    socket_cuts: Counter,
    audits: Counter,
    rows_waiting: Gauge,
    rows_unpublished: Family<ByTopic, Counter>,
    workers: Gauge,
    partitions_unread: Gauge,
    worker_chunks: Family<ByEnd, Counter>,
    query_runs: Family<ByQueries, Histogram>,
    kept_rows: Family<ByQueries, Gauge>,
    kept_bytes: Family<ByQueries, Gauge>,
    commit_points: Histogram,
    turns: Family<ByWork, Histogram>,
    alarms_logged: Histogram,
}

impl Series {
    fn new() -> Self {
        Self {
            records_read: Family::default(),
            records: Family::default(),
            dead_letters: Family::default(),
            alarms: Family::default(),
            watermark_age: Gauge::default(),
            consumer_lag: Family::default(),
            alarm_latency: Histogram::new(LATENCY_BOUNDS),
            socket_clients: Gauge::default(),
            socket_cuts: Counter::default(),
            audits: Counter::default(),
            rows_waiting: Gauge::default(),
            rows_unpublished: Family::default(),
            workers: Gauge::default(),
            partitions_unread: Gauge::default(),
            worker_chunks: Family::default(),
            query_runs: Family::new_with_constructor(|| Histogram::new(RUN_BOUNDS)),
            kept_rows: Family::default(),
            kept_bytes: Family::default(),
            commit_points: Histogram::new(RUN_BOUNDS),
            turns: Family::new_with_constructor(|| Histogram::new(RUN_BOUNDS)),
            alarms_logged: Histogram::new(RUN_BOUNDS),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByTopic {
    topic: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByOutcome {
    topic: String,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByEnd {
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByStage {
    topic: String,
    stage: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByRule {
    rule: String,
    priority: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByQueries {
    queries: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByWork {
    work: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByPartition {
    topic: String,
    partition: i32,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let series = Series::new();
        let mut registry = Registry::with_prefix("hexwatch");
        // The encoder puts `_total` behind a counter's name.
        registry.register("records_read", "Records taken from Kafka", series.records_read.clone());
        registry.register(
            "records",
            "Records by where they ended; the four sum to read",
            series.records.clone(),
        );
        registry.register("dead_letters", "Records refused, by stage", series.dead_letters.clone());
        registry.register("alarms", "Alarms raised", series.alarms.clone());
        registry.register(
            "watermark_age_seconds",
            "How far the merged watermark lies behind the engine's clock",
            series.watermark_age.clone(),
        );
        registry.register(
            "consumer_lag",
            "Records between the position and the end of the partition",
            series.consumer_lag.clone(),
        );
        registry.register(
            "alarm_latency_seconds",
            "From the record in Kafka to the sockets",
            series.alarm_latency.clone(),
        );
        registry.register("socket_clients", "Live sockets that are open", series.socket_clients.clone());
        registry.register(
            "socket_cuts",
            "Live sockets cut because they took nothing",
            series.socket_cuts.clone(),
        );
        registry.register(
            "rows_waiting",
            "Rows for Kafka that its producer has no room for",
            series.rows_waiting.clone(),
        );
        registry.register(
            "rows_unpublished",
            "Rows for Kafka that were given up; they are in the history or in the alarm log",
            series.rows_unpublished.clone(),
        );
        registry.register("worker_connections", "Connections of workers", series.workers.clone());
        registry.register(
            "partitions_unread",
            "Partitions that no worker reads at present",
            series.partitions_unread.clone(),
        );
        registry.register(
            "worker_chunks",
            "Chunks that workers handed over, by what became of them; fenced: of a lease that counts no more",
            series.worker_chunks.clone(),
        );
        registry.register(
            "query_run_seconds",
            "How long queries that run together take for one run",
            series.query_runs.clone(),
        );
        registry.register(
            "kept_rows",
            "Rows that queries which run together keep to look back at",
            series.kept_rows.clone(),
        );
        registry.register("kept_bytes", "The memory that those rows take", series.kept_bytes.clone());
        registry.register(
            "commit_point_seconds",
            "How long it takes until every query has come to the point that a commit stands at",
            series.commit_points.clone(),
        );
        registry.register(
            "engine_turn_seconds",
            "How long the engine takes for one piece of work: a press for help waits for one of them",
            series.turns.clone(),
        );
        registry.register(
            "alarm_log_seconds",
            "How long it takes until a change of an alarm is on the disk",
            series.alarms_logged.clone(),
        );
        registry.register("audits", "Reads by persons that were audited", series.audits.clone());
        Self { shared: Arc::new(Shared { registry, series }) }
    }

    fn series(&self) -> &Series {
        &self.shared.series
    }

    /// A topic will be read: its counters show, at zero, before its first record.
    pub fn topic_assigned(&self, topic: &str) {
        self.records_accounted(topic, &Account::default());
        for stage in Stage::ALL {
            self.records_refused(topic, stage, 0);
        }
    }

    /// `account` more records of `topic` have been read and have ended somewhere.
    pub fn records_accounted(&self, topic: &str, account: &Account) {
        let series = self.series();
        series.records_read.get_or_create(&ByTopic { topic: topic.into() }).inc_by(account.read);
        let outcomes = [
            ("accepted", account.accepted),
            ("duplicate", account.duplicate),
            ("late", account.late),
            ("dead_letter", account.dead_letter),
        ];
        for (outcome, count) in outcomes {
            series.records.get_or_create(&ByOutcome { topic: topic.into(), outcome }).inc_by(count);
        }
    }

    /// `count` more records of `topic` were refused at `stage`. They are dead letters in the account as well.
    pub fn records_refused(&self, topic: &str, stage: Stage, count: u64) {
        let labels = ByStage { topic: topic.into(), stage: stage.name() };
        self.series().dead_letters.get_or_create(&labels).inc_by(count);
    }

    /// A rule has raised an alarm.
    pub(crate) fn alarm_raised(&self, rule: &str, priority: Priority) {
        let labels = ByRule { rule: rule.into(), priority: priority.get() };
        self.series().alarms.get_or_create(&labels).inc();
    }

    /// An alarm reached the sockets `latency` after its last record stood in Kafka.
    pub fn alarm_pushed(&self, latency: Duration) {
        self.series().alarm_latency.observe(latency.as_secs_f64());
    }

    /// The watermark lies `age` behind the engine's clock.
    pub(crate) fn watermark_aged(&self, age: Duration) {
        self.series().watermark_age.set(age.as_secs_f64());
    }

    /// `lag` records of a partition are still to be read.
    pub(crate) fn lag_measured(&self, topic: &str, partition: i32, lag: i64) {
        self.series().consumer_lag.get_or_create(&ByPartition { topic: topic.into(), partition }).set(lag);
    }

    /// So many rows wait for room on their way to Kafka.
    pub fn rows_waiting(&self, rows: usize) {
        self.series().rows_waiting.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// A row for an output topic was given up.
    pub fn row_unpublished(&self, topic: &str) {
        self.series().rows_unpublished.get_or_create(&ByTopic { topic: topic.into() }).inc();
    }

    /// A worker handed over a chunk, of which became `outcome`.
    pub fn worker_chunk(&self, outcome: &'static str) {
        self.series().worker_chunks.get_or_create(&ByEnd { outcome }).inc();
    }

    /// So many connections of workers are open, and so many partitions nobody reads.
    pub fn workers_counted(&self, connections: usize, unread: usize) {
        let whole = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.series().workers.set(whole(connections));
        self.series().partitions_unread.set(whole(unread));
    }

    /// The queries named `queries`, which run together, ran for so long.
    pub fn queries_ran(&self, queries: &str, seconds: Duration) {
        let labels = ByQueries { queries: queries.into() };
        self.series().query_runs.get_or_create(&labels).observe(seconds.as_secs_f64());
    }

    /// The queries named `queries`, which run together, keep so many rows of so many bytes.
    pub fn rows_kept(&self, queries: &str, rows: u64, bytes: u64) {
        let labels = ByQueries { queries: queries.into() };
        let whole = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.series().kept_rows.get_or_create(&labels).set(whole(rows));
        self.series().kept_bytes.get_or_create(&labels).set(whole(bytes));
    }

    /// So long after a commit was begun every query had come to the point that it stands at.
    pub fn commit_point_reached(&self, after: Duration) {
        self.series().commit_points.observe(after.as_secs_f64());
    }

    /// The engine's thread took so long for one piece of `work`.
    pub fn turn_taken(&self, work: &'static str, took: Duration) {
        self.series().turns.get_or_create(&ByWork { work }).observe(took.as_secs_f64());
    }

    /// Changes of alarms were on the disk after so long.
    pub fn alarms_logged(&self, took: Duration) {
        self.series().alarms_logged.observe(took.as_secs_f64());
    }

    pub(crate) fn socket_opened(&self) {
        self.series().socket_clients.inc();
    }

    pub(crate) fn socket_closed(&self) {
        self.series().socket_clients.dec();
    }

    pub(crate) fn socket_cut(&self) {
        self.series().socket_cuts.inc();
    }

    pub(crate) fn read_audited(&self) {
        self.series().audits.inc();
    }

    /// All metrics in the `OpenMetrics` text format, which Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut text, &self.shared.registry);
        text
    }
}
