//! Alarms: listed after a number, looked up, and acted on.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::{Extension, Json};
use hexwatch_contract::alarm::{Alarm, AlarmId};
use hexwatch_contract::{Classified, EventTime, Fault};
use serde::{Deserialize, Serialize};

use super::reading::{Body, Parameters, audit, purpose_of};
use crate::access::{Person, Role};
use crate::live::{Cursor, SourceError};
use crate::problem::Problem;
use crate::serving::Serving;

const DEFAULT_LIMIT: usize = 1_000;
const MOST: usize = 10_000;

/// What a person does to an alarm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Takes it in hand.
    Ack {
        /// What is said with it.
        note: Option<String>,
    },
    /// Gives it back.
    Unack {
        /// What is said with it.
        note: Option<String>,
    },
    /// Says something.
    Comment {
        /// What.
        note: String,
    },
    /// Puts it aside.
    Shelve {
        /// Until when.
        until: EventTime,
        /// Why.
        note: String,
    },
    /// Takes it back.
    Unshelve {
        /// What is said with it.
        note: Option<String>,
    },
    /// Has seen that it is true.
    Confirm {
        /// What is said with it.
        note: Option<String>,
    },
    /// Has seen that it is not.
    Reject {
        /// Why.
        note: String,
    },
    /// Hands it to somebody.
    Assign {
        /// To whom.
        to: String,
        /// What is said with it.
        note: Option<String>,
    },
}

/// Who does it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// The login's name, which becomes `actor_ref`.
    pub who: String,
    /// The role.
    pub role: Role,
}

/// Why an action was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ActionError {
    /// There is no such alarm.
    #[error("there is no alarm {0}")]
    NotFound(AlarmId),
    /// The alarm's state does not allow it; says who was first, where somebody was.
    #[error("{detail}")]
    Conflict {
        /// What stands in the way.
        detail: String,
    },
    /// The action itself is wrong.
    #[error("{detail}")]
    Invalid {
        /// The member of the body.
        field: String,
        /// What is wrong with it.
        detail: String,
        /// What to send instead.
        fix: String,
    },
    /// It may work later.
    #[error("{detail}")]
    Unavailable {
        /// What is missing.
        detail: String,
    },
}

impl Classified for ActionError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unavailable { .. } => Fault::External,
            _ => Fault::Input,
        }
    }
}

/// What people do to alarms; implemented by the pipeline, which owns the alarm log.
#[async_trait]
pub trait Actions: Send + Sync {
    /// Does `action` to the alarm and returns it as it stands after the change, once that is in the alarm log.
    async fn act(&self, alarm: &AlarmId, action: Action, actor: Actor) -> Result<Alarm, ActionError>;
}

impl From<ActionError> for Problem {
    fn from(error: ActionError) -> Self {
        let detail = error.to_string();
        match error {
            ActionError::NotFound(_) => {
                Self::not_found(detail).field("id").fix("GET /api/v1/alarms lists alarms")
            }
            ActionError::Conflict { .. } => {
                Self::conflict(detail).field("state").fix("look at the alarm again")
            }
            ActionError::Invalid { field, fix, .. } => Self::invalid(detail).field(field).fix(fix),
            ActionError::Unavailable { .. } => Self::unavailable(detail).fix("try again"),
        }
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Self {
        Self::unavailable(error.to_string()).fix("try again")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListRequest {
    after: Option<u64>,
    site: Option<String>,
    limit: Option<usize>,
}

/// Changes of alarms.
#[derive(Serialize)]
pub(crate) struct AlarmList {
    alarms: Vec<Alarm>,
    /// The last number of each site.
    latest_seq: Cursor,
    /// Whether there is more after these.
    more: bool,
}

/// Without `after`: the alarms that are not over, each after its latest change. With it: every change with a higher
/// number, site by site.
pub(crate) async fn list(
    State(serving): State<Arc<Serving>>,
    Extension(person): Extension<Person>,
    Parameters(request): Parameters<ListRequest>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<AlarmList>, Problem> {
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 || limit > MOST {
        let detail = format!("`limit` is {limit}");
        return Err(Problem::invalid(detail).field("limit").fix(format!("give a number from 1 to {MOST}")));
    }
    let live = &serving.app.live;
    let mut latest_seq = live.latest_seq();
    if let Some(site) = &request.site {
        latest_seq.retain(|known, _| known == site);
    }
    let mut alarms = match request.after {
        Some(after) => changes_after(&serving, &latest_seq, after, limit + 1).await?,
        None => {
            live.standing_alarms().into_iter().filter(|alarm| latest_seq.contains_key(&alarm.site)).collect()
        }
    };
    let more = alarms.len() > limit;
    alarms.truncate(limit);
    let what = uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string);
    audit(&serving, &person, purpose_of(&headers), what, alarms.len()).await?;
    Ok(Json(AlarmList { alarms, latest_seq, more }))
}

async fn changes_after(
    serving: &Serving,
    latest: &Cursor,
    after: u64,
    limit: usize,
) -> Result<Vec<Alarm>, SourceError> {
    let mut alarms = Vec::new();
    for (site, latest) in latest {
        if *latest > after && alarms.len() < limit {
            alarms.extend(serving.app.alarms.after(site, after, limit - alarms.len()).await?);
        }
    }
    Ok(alarms)
}

pub(crate) async fn one(
    State(serving): State<Arc<Serving>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Alarm>, Problem> {
    let id = AlarmId::from(id);
    let alarm = match serving.app.live.find_alarm(&id) {
        Some(alarm) => Some(alarm),
        None => serving.app.alarms.latest(&id).await?,
    };
    let rows = usize::from(alarm.is_some());
    audit(&serving, &person, purpose_of(&headers), uri.path().to_owned(), rows).await?;
    alarm.map(Json).ok_or_else(|| ActionError::NotFound(id).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Noted {
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shelving {
    until: EventTime,
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assignment {
    to: String,
    note: Option<String>,
}

type Acted = Result<Json<Alarm>, Problem>;

async fn act(serving: &Serving, person: Person, id: String, action: Action) -> Acted {
    let actor = Actor { who: person.who, role: person.role };
    Ok(Json(serving.app.actions.act(&AlarmId::from(id), action, actor).await?))
}

/// A text that must say something.
fn said(note: String) -> Result<String, Problem> {
    if note.trim().is_empty() {
        return Err(Problem::invalid("`note` is empty").field("note").fix("say something in it"));
    }
    Ok(note)
}

/// One handler for each action: who, which alarm, and the body read as what the action takes.
macro_rules! actions {
    ($($handler:ident: $body:ty, |$request:ident| $action:expr;)+) => {$(
        pub(crate) async fn $handler(
            State(serving): State<Arc<Serving>>,
            Extension(person): Extension<Person>,
            Path(id): Path<String>,
            Body($request): Body<$body>,
        ) -> Acted {
            act(&serving, person, id, $action).await
        }
    )+};
}

actions! {
    ack: Noted, |request| Action::Ack { note: request.note };
    unack: Noted, |request| Action::Unack { note: request.note };
    comment: Said, |request| Action::Comment { note: said(request.note)? };
    shelve: Shelving, |request| Action::Shelve { until: request.until, note: said(request.note)? };
    unshelve: Noted, |request| Action::Unshelve { note: request.note };
    confirm: Noted, |request| Action::Confirm { note: request.note };
    reject: Said, |request| Action::Reject { note: said(request.note)? };
    assign: Assignment, |request| Action::Assign { to: said_to(request.to)?, note: request.note };
}

fn said_to(to: String) -> Result<String, Problem> {
    if to.trim().is_empty() {
        return Err(Problem::invalid("`to` is empty").field("to").fix("name a login or an officer's role"));
    }
    Ok(to)
}
