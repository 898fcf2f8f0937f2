//! Cells: all of them as they stand, and why one has its score.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use hexwatch_contract::Cell;
use hexwatch_contract::risk::CellRisk;

use super::reading::{audit, purpose_of};
use crate::access::Person;
use crate::live::Format;
use crate::problem::Problem;
use crate::serving::Serving;

/// Before the first cell there is no watermark to name.
const NONE_YET: &[u8] = br#"{"type":"cells","watermark":null,"full":true,"cells":[]}"#;

/// The same message that the socket starts with.
pub(crate) async fn list(State(serving): State<Arc<Serving>>) -> impl IntoResponse {
    let all = serving.app.live.cells_since(0, Format::Json);
    let message = all.map_or_else(|| bytes::Bytes::from_static(NONE_YET), |all| all.message);
    ([(CONTENT_TYPE, "application/json")], message)
}

pub(crate) async fn explain(
    State(serving): State<Arc<Serving>>,
    Extension(person): Extension<Person>,
    Path(cell): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<CellRisk>, Problem> {
    let index = u64::from_str_radix(&cell, 16).map_err(|_| {
        Problem::invalid(format!("`{cell}` is not a cell"))
            .field("cell")
            .fix("give its H3 index in 15 hex digits, such as 8b2a1072b59afff")
    })?;
    let risk = serving.app.live.risk(Cell::from_index(index));
    let rows = usize::from(risk.is_some());
    audit(&serving, &person, purpose_of(&headers), uri.path().to_owned(), rows).await?;
    risk.map(Json).ok_or_else(|| {
        Problem::not_found(format!("cell {cell} has no risk at present"))
            .field("cell")
            .fix("GET /api/v1/cells lists the cells that have one; they are of resolution 11")
    })
}
