//! Requests, read: bodies and parameters whose faults become problems, and the audit of what was handed out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use hexwatch_contract::audit::Audit;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::access::Person;
use crate::problem::Problem;
use crate::serving::Serving;

/// How long a read waits for the audit to take it.
const AUDIT_PATIENCE: Duration = Duration::from_secs(2);

/// A JSON body; an empty one is `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Serving>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, serving: &Arc<Serving>) -> Result<Self, Problem> {
        let bytes = raw_body(request, serving).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| unreadable(&error))
    }
}

/// The bytes of a body, within the limit.
pub(crate) async fn raw_body(request: Request, serving: &Arc<Serving>) -> Result<Bytes, Problem> {
    let most = serving.app.limits.body_bytes;
    Bytes::from_request(request, serving).await.map_err(|rejection| body_problem(&rejection, most))
}

fn body_problem(rejection: &BytesRejection, most: usize) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("the body is larger than {most} bytes");
        return Problem::too_large(detail).field("body").fix("send a smaller one");
    }
    Problem::invalid(format!("reading the body: {rejection}")).field("body").fix("send it again")
}

/// The problem of a JSON text that is not what was expected.
pub(crate) fn unreadable(error: &serde_json::Error) -> Problem {
    let detail = error.to_string();
    // serde names the member it missed or does not know between backticks.
    let member = detail.split('`').nth(1).filter(|_| detail.contains("field"));
    let field = member.unwrap_or("body").to_owned();
    Problem::invalid(format!("reading the body as JSON: {detail}"))
        .field(field)
        .fix("send a JSON object as /api/v1/openapi.json describes it")
}

/// Query parameters.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(parameters)| Self(parameters)).map_err(|rejection| {
            let detail = std::error::Error::source(&rejection)
                .map_or_else(|| rejection.to_string(), ToString::to_string);
            let field = detail.split([':', '`']).next().unwrap_or_default().trim().to_owned();
            Problem::invalid(format!("reading the parameters: {detail}"))
                .field(if field.contains(' ') { "query".into() } else { field })
                .fix("see /api/v1/openapi.json for the parameters")
        })
    }
}

/// The reader's own words for what the read is for: the header `x-purpose`.
pub(crate) fn purpose_of(headers: &HeaderMap) -> Option<String> {
    headers.get("x-purpose").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Tells the audit that `person` reads `what`. The answer waits for it: what cannot be audited is not handed out.
pub(crate) async fn audit(
    serving: &Serving,
    person: &Person,
    purpose: Option<String>,
    what: String,
    rows: usize,
) -> Result<(), Problem> {
    let record = Audit {
        at: serving.app.live.wall_now(),
        who: person.who.clone(),
        role: person.role.name().to_owned(),
        purpose,
        what,
        rows: rows as u64,
    };
    match timeout(AUDIT_PATIENCE, serving.app.audit.send(record)).await {
        Ok(Ok(())) => {
            serving.app.live.metrics().read_audited();
            Ok(())
        }
        _ => {
            Err(Problem::unavailable("the audit takes no more records, so nothing can be read")
                .fix("try again"))
        }
    }
}
