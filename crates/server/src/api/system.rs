//! The system page: what runs, what comes in, what was refused and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexwatch_contract::live::{Health, Heartbeat};
use serde::Serialize;

use crate::serving::Serving;

/// What the pipeline tells about itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SystemFacts {
    /// Views and rules, those that were refused included.
    pub queries: Vec<QueryStatus>,
    /// Records refused since the start, by reason.
    pub dead_letters: Vec<DeadLetterCount>,
    /// Rows for Kafka that its producer has no room for: while there are any, nothing but safety topics is read.
    pub rows_waiting: usize,
    /// Rows for Kafka that were given up since the start.
    pub rows_unpublished: u64,
}

/// A view or a rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct QueryStatus {
    /// Its name.
    pub name: String,
    /// `view` or `rule`.
    pub kind: String,
    /// Its title.
    pub title: String,
    /// `live` or `refused`.
    pub state: String,
    /// Why it was refused: file, line and reason.
    pub reason: Option<String>,
}

/// How many records were refused for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DeadLetterCount {
    /// The Kafka topic.
    pub topic: String,
    /// How far they came.
    pub stage: String,
    /// The code, such as `unknown_member`.
    pub error_code: String,
    /// The field that was wrong.
    pub field: Option<String>,
    /// How many.
    pub count: u64,
}

#[derive(Serialize)]
pub(crate) struct System {
    version: String,
    mode: String,
    time_zone: String,
    ready: bool,
    clients: usize,
    heartbeat: Heartbeat,
    health: Health,
    #[serde(flatten)]
    facts: SystemFacts,
}

pub(crate) async fn system(State(serving): State<Arc<Serving>>) -> Json<System> {
    let (app, about) = (&serving.app, &serving.app.about);
    Json(System {
        version: about.version.clone(),
        mode: about.mode.clone(),
        time_zone: about.time_zone.clone(),
        ready: app.live.is_ready(),
        clients: app.limits.clients.saturating_sub(serving.seats.available_permits()),
        heartbeat: app.live.latest_heartbeat(),
        health: app.live.latest_health(),
        facts: (*app.live.facts()).clone(),
    })
}
