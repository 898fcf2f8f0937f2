//! Whether the server lives and is ready, its metrics, and what describes it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::problem::Problem;
use crate::serving::Serving;

pub(crate) const OPENAPI: &str = include_str!("../../openapi.json");
pub(crate) const ASYNCAPI: &str = include_str!("../../asyncapi.yaml");

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(serving): State<Arc<Serving>>) -> Result<&'static str, Problem> {
    if serving.app.live.is_ready() {
        return Ok("ready\n");
    }
    let detail = "the engine is still restoring its state";
    Err(Problem::unavailable(detail).field("state").fix("ask again in a second"))
}

pub(crate) async fn metrics(State(serving): State<Arc<Serving>>) -> impl IntoResponse {
    // Measures the watermark's age at the moment of asking.
    serving.app.live.measure();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], serving.app.live.metrics().render())
}

pub(crate) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

pub(crate) async fn asyncapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/yaml")], ASYNCAPI)
}
