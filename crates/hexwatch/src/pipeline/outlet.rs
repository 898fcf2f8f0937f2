//! What goes out to Kafka: alarms, risk cells, dead letters, views.

use std::sync::Arc;
use std::time::Duration;

use hexwatch_contract::DeadLetter;
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::risk::CellRisk;
use hexwatch_ingest::publish::PublishError;
use hexwatch_ingest::{Outgoing, Publisher};
use serde::Serialize;

/// How long the engine waits for room in the producer's queue before it counts a row as not published. History has
/// it either way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Publishes to `hexwatch.*`, or nowhere.
#[derive(Clone)]
pub(crate) struct Outlet {
    publisher: Option<Arc<Publisher>>,
    prefix: Arc<str>,
}

impl Outlet {
    /// Publishes under `prefix`; without a publisher, nothing.
    pub(crate) fn new(publisher: Option<Arc<Publisher>>, prefix: &str) -> Self {
        Self { publisher, prefix: prefix.into() }
    }

    /// Whether anything is published at all.
    pub(crate) fn is_open(&self) -> bool {
        self.publisher.is_some()
    }

    /// One change of an alarm, to `alarms` and to the compacted `alarms-latest`.
    pub(crate) fn alarm(&self, alarm: &Alarm) {
        self.row("alarms", alarm.alarm_id.as_str(), alarm);
        self.row("alarms-latest", alarm.alarm_id.as_str(), alarm);
    }

    /// A cell's risk.
    pub(crate) fn risk(&self, risk: &CellRisk) {
        self.row("risk-cells", &risk.cell.to_string(), risk);
    }

    /// A refused record.
    pub(crate) fn dead_letter(&self, letter: &DeadLetter) {
        self.row("dead-letter", letter.key.as_deref().unwrap_or_default(), letter);
    }

    /// One row of a view as JSON, under its key.
    pub(crate) fn view(&self, view: &str, key: &str, json: &[u8]) {
        self.send(&format!("view.{view}"), key, Some(json));
    }

    /// A view's row is gone: a tombstone under its key.
    pub(crate) fn withdraw(&self, view: &str, key: &str) {
        self.send(&format!("view.{view}"), key, None);
    }

    /// Waits until what was sent before this call is with the broker.
    pub(crate) async fn settle(&self, patience: Duration) -> Result<(), PublishError> {
        match &self.publisher {
            Some(publisher) => publisher.settle(patience).await,
            None => Ok(()),
        }
    }

    /// Waits until everything is with the broker.
    pub(crate) fn flush(&self, patience: Duration) -> Result<(), PublishError> {
        self.publisher.as_ref().map_or(Ok(()), |publisher| publisher.flush(patience))
    }

    fn row(&self, topic: &str, key: &str, row: &impl Serialize) {
        if self.publisher.is_none() {
            return;
        }
        match serde_json::to_vec(row) {
            Ok(json) => self.send(topic, key, Some(&json)),
            Err(error) => tracing::error!(topic, key, %error, "a row cannot be written as JSON"),
        }
    }

    fn send(&self, topic: &str, key: &str, value: Option<&[u8]>) {
        let Some(publisher) = &self.publisher else { return };
        let topic = format!("{}{topic}", self.prefix);
        let outgoing = Outgoing { topic: &topic, key: Some(key.as_bytes()), value, ..Outgoing::default() };
        if let Err(error) = publisher.send(&outgoing, PATIENCE) {
            tracing::error!(topic, key, %error, "a row was not published; it is in the history");
        }
    }
}
