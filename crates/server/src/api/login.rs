//! Logging in with a token, so that a browser need not keep it where scripts can read it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::reading::Body;
use crate::access::{COOKIE, Permission, Person, Refusal, check_origin};
use crate::doors::refused;
use crate::problem::Problem;
use crate::serving::Serving;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    token: String,
}

/// Who one is, and what one may do.
#[derive(Serialize)]
pub(crate) struct Me {
    #[serde(flatten)]
    person: Person,
    permissions: Vec<Permission>,
}

impl From<Person> for Me {
    fn from(person: Person) -> Self {
        let permissions = Permission::ALL.into_iter().filter(|permission| person.role.may(*permission));
        Self { permissions: permissions.collect(), person }
    }
}

pub(crate) async fn log_in(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    Body(request): Body<LoginRequest>,
) -> Result<impl IntoResponse, Problem> {
    check_origin(&headers).map_err(refused)?;
    let person = serving
        .app
        .accounts
        .of_token(&request.token)
        .ok_or_else(|| refused(Refusal::UnknownToken).field("token"))?;
    // A token that opened a login came from this server's own configuration: it is made of header-safe characters.
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", request.token);
    Ok(([(SET_COOKIE, cookie)], Json(Me::from(person))))
}

pub(crate) async fn log_out(headers: HeaderMap) -> Result<impl IntoResponse, Problem> {
    check_origin(&headers).map_err(refused)?;
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]))
}

pub(crate) async fn me(Extension(person): Extension<Person>) -> Json<Me> {
    Json(person.into())
}
