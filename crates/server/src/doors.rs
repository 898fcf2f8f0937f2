//! Every door of the server, each with the permission it asks for: one table that makes the router, and that
//! `openapi.json` is tested against.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use crate::access::{Permission, Person, Refusal, Role, check_origin};
use crate::api::{about, alarms, cells, login, map, sql, system};
use crate::problem::Problem;
use crate::serving::Serving;
use crate::{console, headers, socket};

/// A door that outsiders rely on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Door {
    pub(crate) path: &'static str,
    pub(crate) method: &'static str,
}

/// Collects doors, so that none opens without being listed.
struct Doors {
    serving: Arc<Serving>,
    router: Router<Arc<Serving>>,
    listed: Vec<Door>,
}

impl Doors {
    /// A door for everybody who reaches the address.
    fn open(mut self, method: &Method, path: &'static str, handler: MethodRouter<Arc<Serving>>) -> Self {
        self.listed.push(Door { path, method: name_of(method) });
        self.router = self.router.route(path, handler);
        self
    }

    /// A door for those whose role has `permission`.
    fn guarded(
        self,
        method: &Method,
        path: &'static str,
        permission: Permission,
        handler: MethodRouter<Arc<Serving>>,
    ) -> Self {
        let guard = Guard { serving: Arc::clone(&self.serving), permission };
        self.open(method, path, handler.route_layer(from_fn_with_state(guard, admit)))
    }
}

fn name_of(method: &Method) -> &'static str {
    if *method == Method::POST { "post" } else { "get" }
}

/// The router, and the doors it has.
pub(crate) fn router(serving: &Arc<Serving>) -> (Router, Vec<Door>) {
    use Permission::{
        Explain, HandleAlarms, JudgeAlarms, ReadAlarms, ReadSystem, RunSql, ShelveAlarms, Watch,
    };
    let (read, write) = (Method::GET, Method::POST);
    let doors = Doors { serving: Arc::clone(serving), router: Router::new(), listed: Vec::new() }
        .open(&read, "/healthz", get(about::alive))
        .open(&read, "/readyz", get(about::ready))
        .open(&read, "/metrics", get(about::metrics))
        .open(&read, "/api/v1/openapi.json", get(about::openapi))
        .open(&read, "/api/v1/asyncapi.yaml", get(about::asyncapi))
        .open(&write, "/api/v1/login", post(login::log_in))
        .open(&write, "/api/v1/logout", post(login::log_out))
        .guarded(&read, "/api/v1/me", Watch, get(login::me))
        .guarded(&read, "/ws", Watch, get(socket::open))
        .guarded(&read, "/api/v1/map", Watch, get(map::map))
        .guarded(&read, "/api/v1/cells", Watch, get(cells::list))
        .guarded(&read, "/api/v1/cells/{cell}/explain", Explain, get(cells::explain))
        .guarded(&read, "/api/v1/alarms", ReadAlarms, get(alarms::list))
        .guarded(&read, "/api/v1/alarms/{id}", ReadAlarms, get(alarms::one))
        .guarded(&write, "/api/v1/alarms/{id}/ack", HandleAlarms, post(alarms::ack))
        .guarded(&write, "/api/v1/alarms/{id}/unack", HandleAlarms, post(alarms::unack))
        .guarded(&write, "/api/v1/alarms/{id}/comment", HandleAlarms, post(alarms::comment))
        .guarded(&write, "/api/v1/alarms/{id}/shelve", ShelveAlarms, post(alarms::shelve))
        .guarded(&write, "/api/v1/alarms/{id}/unshelve", ShelveAlarms, post(alarms::unshelve))
        .guarded(&write, "/api/v1/alarms/{id}/confirm", JudgeAlarms, post(alarms::confirm))
        .guarded(&write, "/api/v1/alarms/{id}/reject", JudgeAlarms, post(alarms::reject))
        .guarded(&write, "/api/v1/alarms/{id}/assign", JudgeAlarms, post(alarms::assign))
        .guarded(&write, "/api/v1/sql", RunSql, post(sql::run))
        .guarded(&read, "/api/v1/queries", RunSql, get(sql::queries))
        .guarded(&read, "/api/v1/catalog", RunSql, get(sql::catalog))
        .guarded(&read, "/api/v1/system", ReadSystem, get(system::system));
    let router = doors
        .router
        .fallback(console::serve)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(serving.app.limits.body_bytes))
        .with_state(Arc::clone(serving));
    (headers::layered(router), doors.listed)
}

#[derive(Clone)]
struct Guard {
    serving: Arc<Serving>,
    permission: Permission,
}

/// Lets a request in whose person may, and tells the handler who that is.
async fn admit(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let identified =
        check_origin(request.headers()).and_then(|()| guard.serving.app.accounts.identify(request.headers()));
    match identified {
        Err(refusal) => refused(refusal).into_response(),
        Ok(person) if !person.role.may(guard.permission) => {
            not_for(&person, guard.permission).into_response()
        }
        Ok(person) => {
            request.extensions_mut().insert(person);
            next.run(request).await
        }
    }
}

pub(crate) fn refused(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::NoToken | Refusal::UnknownToken => Problem::unauthenticated(detail)
            .field("authorization")
            .fix("send `Authorization: Bearer TOKEN`, or log in with POST /api/v1/login"),
        Refusal::ForeignHost => {
            Problem::forbidden(detail).field("host").fix("use http://localhost or http://127.0.0.1")
        }
        Refusal::ForeignOrigin => {
            Problem::forbidden(detail).field("origin").fix("use the console of this server")
        }
    }
}

fn not_for(person: &Person, permission: Permission) -> Problem {
    let roles: Vec<_> = permission.roles().iter().copied().map(Role::name).collect();
    Problem::forbidden(format!("{} is logged in as {}, which may not do this", person.who, person.role))
        .field("role")
        .fix(format!("log in as one of: {}", roles.join(", ")))
}

async fn wrong_method(method: Method) -> Problem {
    Problem::method_not_allowed(format!("this address does not take {method}"))
        .field("method")
        .fix("see /api/v1/openapi.json")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::api::about::{ASYNCAPI, OPENAPI};
    use crate::serving::tests::serving;

    #[tokio::test]
    async fn the_openapi_file_describes_every_door_and_no_other() {
        let (_, listed) = router(&serving());
        let listed: BTreeSet<(String, String)> =
            listed.into_iter().map(|door| (door.path.to_owned(), door.method.to_owned())).collect();
        let file: Value = serde_json::from_str(OPENAPI).unwrap();
        let described: BTreeSet<(String, String)> = file["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| (path.clone(), method.clone()))
            })
            .collect();
        assert_eq!(listed, described);
    }

    /// The members of a schema of `openapi.json`.
    fn members(schema: &str) -> BTreeSet<String> {
        let file: Value = serde_json::from_str(OPENAPI).unwrap();
        file["components"]["schemas"][schema]["properties"].as_object().unwrap().keys().cloned().collect()
    }

    fn written(value: &impl serde::Serialize) -> BTreeSet<String> {
        serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_openapi_schemas_have_the_members_that_are_written() {
        use hexwatch_contract::live::{CellUpdate, Health};
        let alarm = crate::live::alarm_for_tests("a", 1, hexwatch_contract::alarm::State::Unack);
        assert_eq!(members("Alarm"), written(&alarm));
        let risk = crate::live::risk_for_tests(1, 10_000, 100);
        assert_eq!(members("CellRisk"), written(&risk));
        assert_eq!(members("CellUpdate"), written(&CellUpdate::from(&risk)));
        assert_eq!(members("Health"), written(&Health::default()));
        let live = serving().app.live.clone();
        assert_eq!(members("Heartbeat"), written(&live.latest_heartbeat()));
        let problem = Problem::invalid("x").field("y").fix("z");
        assert_eq!(members("Problem"), written(&problem));
    }

    #[test]
    fn the_asyncapi_file_names_every_message() {
        for name in ["subscribe", "hello", "cells", "alarm", "resumed", "heartbeat", "health", "error"] {
            assert!(ASYNCAPI.contains(&format!("type: {{ const: {name} }}")), "{name} is not described");
        }
    }
}
