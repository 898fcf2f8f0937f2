//! SQL over history. What a query may do is decided behind [`QueryDoor`]; this is the door itself.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use hexwatch_contract::{Classified, Fault};
use serde::{Deserialize, Serialize};

use super::reading::{audit, purpose_of, raw_body, unreadable};
use super::table::{self, TableFormat};
use crate::access::Person;
use crate::problem::Problem;
use crate::serving::Serving;

/// SQL over history; implemented by the binary over the crates `sql` and `history`.
#[async_trait]
pub trait QueryDoor: Send + Sync {
    /// Runs one SELECT and returns `limit` rows at most.
    async fn query(&self, sql: &str, limit: usize) -> Result<Answer, QueryError>;
    /// The saved analysis queries.
    async fn saved(&self) -> Vec<SavedQuery>;
    /// The tables and their columns.
    async fn catalog(&self) -> Result<Vec<CatalogTable>, QueryError>;
}

/// Rows.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Their columns, also where there are no rows.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether the limit cut rows off.
    pub truncated: bool,
}

impl Answer {
    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Why a query gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no query, or one that is not allowed.
    #[error("{detail}")]
    Refused {
        /// What is wrong with it, with the position where that is known.
        detail: String,
        /// What to write instead.
        fix: String,
    },
    /// It ran into its deadline.
    #[error("{detail}")]
    Timeout {
        /// Which.
        detail: String,
    },
    /// It may work later.
    #[error("{detail}")]
    Unavailable {
        /// What is missing.
        detail: String,
    },
}

impl Classified for QueryError {
    fn fault(&self) -> Fault {
        match self {
            Self::Refused { .. } | Self::Timeout { .. } => Fault::Input,
            Self::Unavailable { .. } => Fault::External,
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let detail = error.to_string();
        match error {
            QueryError::Refused { fix, .. } => Self::invalid(detail).field("sql").fix(fix),
            QueryError::Timeout { .. } => Self::timeout(detail).field("sql").fix("narrow the times it reads"),
            QueryError::Unavailable { .. } => Self::unavailable(detail).fix("try again"),
        }
    }
}

/// A query of `queries/analysis`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SavedQuery {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its text, header included.
    pub sql: String,
}

/// A table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CatalogTable {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<CatalogColumn>,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CatalogColumn {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it may be null.
    pub nullable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlRequest {
    sql: String,
    limit: Option<usize>,
    purpose: Option<String>,
}

pub(crate) async fn run(
    State(serving): State<Arc<Serving>>,
    Extension(person): Extension<Person>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let format = wanted(&headers)?;
    let asked = read_request(&headers, &raw_body(request, &serving).await?)?;
    let limits = serving.app.limits;
    let limit = asked.limit.unwrap_or(limits.default_rows);
    if limit == 0 || limit > limits.most_rows {
        let fix = format!("give a number from 1 to {}", limits.most_rows);
        return Err(Problem::invalid(format!("`limit` is {limit}")).field("limit").fix(fix));
    }
    let purpose = asked.purpose.or_else(|| purpose_of(&headers));
    let answer = match serving.app.queries.query(&asked.sql, limit).await {
        Ok(answer) => answer,
        Err(error) => {
            audit(&serving, &person, purpose, asked.sql, 0).await?;
            return Err(error.into());
        }
    };
    audit(&serving, &person, purpose, asked.sql, answer.rows()).await?;
    let body = table::write(format, &answer).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::bug(format!("writing the answer as {}: {error}", format.content_type()))
    })?;
    let told = [
        ("x-hexwatch-rows", answer.rows().to_string()),
        ("x-hexwatch-truncated", answer.truncated.to_string()),
    ];
    Ok(([(CONTENT_TYPE, format.content_type())], told, body).into_response())
}

/// JSON says `{"sql": ...}`; anything else is the SQL itself.
fn read_request(headers: &HeaderMap, body: &[u8]) -> Result<SqlRequest, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let request = if kind.starts_with("application/json") {
        serde_json::from_slice(body).map_err(|error| unreadable(&error))?
    } else {
        let sql = std::str::from_utf8(body).map_err(|error| {
            Problem::invalid(format!("the body is not UTF-8: {error}"))
                .field("body")
                .fix("send text in UTF-8")
        })?;
        SqlRequest { sql: sql.to_owned(), limit: None, purpose: None }
    };
    if request.sql.trim().is_empty() {
        return Err(Problem::invalid("there is no query").field("sql").fix("send a SELECT"));
    }
    Ok(request)
}

/// The first format of `Accept` that is known; JSON where nothing is asked for.
fn wanted(headers: &HeaderMap) -> Result<TableFormat, Problem> {
    let Some(accept) = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()) else {
        return Ok(TableFormat::Json);
    };
    let asked = accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    asked.into_iter().find_map(TableFormat::of_media_type).ok_or_else(|| {
        Problem::not_acceptable(format!("no format of `{accept}` is known"))
            .field("accept")
            .fix("ask for application/json, text/csv or application/vnd.apache.arrow.stream")
    })
}

pub(crate) async fn queries(State(serving): State<Arc<Serving>>) -> Json<Vec<SavedQuery>> {
    Json(serving.app.queries.saved().await)
}

pub(crate) async fn catalog(State(serving): State<Arc<Serving>>) -> Result<Json<Vec<CatalogTable>>, Problem> {
    Ok(Json(serving.app.queries.catalog().await?))
}
