//! What stands behind the server's doors: the alarm log, the engine's desk, SQL over history, the map.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use async_trait::async_trait;
use datafusion::prelude::SessionContext;
use hexwatch_alarm::{Action as BookAction, ActionError as BookError};
use hexwatch_contract::alarm::{Alarm, AlarmId};
use hexwatch_contract::{Cell, EventTime};
use hexwatch_grid::{Site, outline};
use hexwatch_history::{AlarmLog, Reader as HistoryReader};
use hexwatch_server::{
    Action, ActionError, Actions, Actor, AlarmSource, Answer, CatalogColumn, CatalogTable, Geometry,
    MapDevice, QueryDoor, QueryError, QueryStatus, SavedQuery, SiteMap, SiteSummary, SourceError,
};
use hexwatch_sql::{Guard, Kind, Limits, QueryFile, QueryProblem, analyst_session, catalog};
use hexwatch_stream::Registry;
use tokio::sync::{mpsc, oneshot};

use super::audit;
use super::desk::Request;
use crate::config::Queries;
use crate::queries;

/// Memory for all operators of people's queries to the server together.
pub(crate) const SERVER_QUERY_MEMORY: usize = 512 * 1024 * 1024;

/// The alarm log as the server reads it.
pub(crate) struct LogSource(Arc<AlarmLog>);

impl LogSource {
    pub(crate) fn new(log: Arc<AlarmLog>) -> Self {
        Self(log)
    }
}

#[async_trait]
impl AlarmSource for LogSource {
    async fn after(&self, site: &str, seq: u64, limit: usize) -> Result<Vec<Alarm>, SourceError> {
        let (log, site) = (Arc::clone(&self.0), site.to_owned());
        let read = move || log.read_after(&site, seq, limit).map_err(|error| SourceError(error.to_string()));
        tokio::task::spawn_blocking(read).await.map_err(|error| SourceError(error.to_string()))?
    }

    async fn latest(&self, id: &AlarmId) -> Result<Option<Alarm>, SourceError> {
        for site in self.0.last_seqs().into_keys() {
            let changes = self.after(&site, 0, usize::MAX).await?;
            if let Some(alarm) = changes.into_iter().rev().find(|change| change.alarm_id == *id) {
                return Ok(Some(alarm));
            }
        }
        Ok(None)
    }
}

/// People's hand on the desk: a request goes to the engine's thread, which alone changes alarms.
pub(crate) struct Hand(mpsc::Sender<Request>);

impl Hand {
    pub(crate) fn new(requests: mpsc::Sender<Request>) -> Self {
        Self(requests)
    }
}

#[async_trait]
impl Actions for Hand {
    async fn act(&self, alarm: &AlarmId, action: Action, actor: Actor) -> Result<Alarm, ActionError> {
        let gone = || ActionError::Unavailable {
            detail: "the engine is stopping; try again in a moment".to_owned(),
        };
        let (answer, answered) = oneshot::channel();
        let request = Request { alarm: alarm.clone(), action: book_action(action), actor: actor.who, answer };
        self.0.send(request).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(refusal)
    }
}

fn book_action(action: Action) -> BookAction {
    match action {
        Action::Ack { .. } => BookAction::Ack,
        Action::Unack { .. } => BookAction::Unack,
        Action::Comment { note } => BookAction::Comment { text: note },
        Action::Shelve { until, note } => BookAction::Shelve { until, reason: note },
        Action::Unshelve { .. } => BookAction::Unshelve,
        Action::Confirm { note } => BookAction::Confirm { note },
        Action::Reject { note } => BookAction::Reject { note: Some(note) },
        Action::Assign { to, .. } => BookAction::Assign { to },
    }
}

fn refusal(error: BookError) -> ActionError {
    let detail = error.to_string();
    match error {
        BookError::Unknown { id } => ActionError::NotFound(id),
        BookError::AlreadyAcked { .. } | BookError::NotPossible { .. } => ActionError::Conflict { detail },
        BookError::ShelvedUntilThePast { .. } => {
            ActionError::Invalid { field: "until".to_owned(), detail, fix: "name a later time".to_owned() }
        }
        BookError::Missing { what, .. } => {
            ActionError::Invalid { field: what.to_owned(), detail, fix: format!("send `{what}`") }
        }
    }
}

/// A session over all tables of the history and the site, with `hop` and `absence`. Its queries get `memory` bytes
/// together.
pub(crate) async fn session(data_dir: &Path, site: &Arc<Site>, memory: usize) -> Result<SessionContext> {
    let session = analyst_session(memory)?;
    HistoryReader::open(data_dir)?.register(&session)?;
    catalog::register_site(&session, site)?;
    catalog::register_missing(&session)?;
    audit::register(&session, data_dir).await?;
    let registry = Registry {
        devices: site.devices().to_vec(),
        places: Arc::<Site>::clone(site),
        tables: BTreeMap::new(),
    };
    hexwatch_stream::register_functions(&session, &registry, None::<EventTime>);
    Ok(session)
}

/// SQL over history for the server.
pub(crate) struct Door {
    session: SessionContext,
    saved: Vec<SavedQuery>,
}

impl Door {
    pub(crate) async fn open(data_dir: &Path, site: &Arc<Site>, settings: &Queries) -> Result<Self> {
        let mut saved = Vec::new();
        for (path, text) in queries::built_in("analysis") {
            let file = parse(&path, &text, &settings.parameters)?;
            let title = file.title.clone().unwrap_or_else(|| file.name.clone());
            saved.push(SavedQuery { name: file.name.clone(), title, sql: file.sql()? });
        }
        Ok(Self { session: session(data_dir, site, SERVER_QUERY_MEMORY).await?, saved })
    }
}

#[async_trait]
impl QueryDoor for Door {
    async fn query(&self, sql: &str, limit: usize) -> Result<Answer, QueryError> {
        let guard = Guard::new(Limits { rows: limit, ..Limits::default() });
        let answer = guard.run(&self.session, sql).await.map_err(|error| {
            let detail = error.to_string();
            match error.problem {
                QueryProblem::Deadline => QueryError::Timeout { detail },
                QueryProblem::Memory | QueryProblem::Bug => QueryError::Unavailable { detail },
                _ => QueryError::Refused { detail, fix: error.fix },
            }
        })?;
        Ok(Answer { schema: answer.schema, batches: answer.batches, truncated: answer.truncated })
    }

    async fn saved(&self) -> Vec<SavedQuery> {
        self.saved.clone()
    }

    async fn catalog(&self) -> Result<Vec<CatalogTable>, QueryError> {
        let unavailable =
            |error: &dyn std::fmt::Display| QueryError::Unavailable { detail: error.to_string() };
        let schema = self.session.catalog("datafusion").and_then(|catalog| catalog.schema("public"));
        let schema = schema.ok_or_else(|| unavailable(&"the catalog is not there"))?;
        let mut tables = Vec::new();
        for name in schema.table_names() {
            let Some(table) = schema.table(&name).await.map_err(|error| unavailable(&error))? else {
                continue;
            };
            let columns = table.schema();
            let columns = columns.fields().iter().map(|field| CatalogColumn {
                name: field.name().clone(),
                data_type: field.data_type().to_string(),
                nullable: field.is_nullable(),
            });
            tables.push(CatalogTable { name, columns: columns.collect() });
        }
        tables.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(tables)
    }
}

/// The outlines of cells for the map.
pub(crate) struct Outlines;

impl Geometry for Outlines {
    fn ring(&self, cell: Cell) -> Vec<[f64; 2]> {
        outline::ring(cell)
    }
}

/// What the site looks like.
pub(crate) fn site_map(site: &Site) -> SiteMap {
    let device = |device: &hexwatch_contract::site::Device| MapDevice {
        id: device.id.clone(),
        kind: device.kind.clone(),
        lon: device.lon,
        lat: device.lat,
        floor: device.floor,
    };
    let first = site.sites().first();
    SiteMap {
        site: SiteSummary {
            name: first.map(|info| info.name.clone()).unwrap_or_default(),
            time_zone: time_zone(site),
            bbox: first.and_then(|info| info.area.as_ref()).and_then(hexwatch_grid::Area::bounds),
        },
        zones: site.layer("zones"),
        grids: site.layer("grids"),
        buildings: site.layer("buildings"),
        roads: site.layer("roads"),
        devices: site.devices().iter().map(device).collect(),
        cells: site.cells(),
    }
}

/// The time zone people see; UTC where no site says one.
pub(crate) fn time_zone(site: &Site) -> String {
    site.sites().first().map_or_else(|| "UTC".to_owned(), |info| info.time_zone.clone())
}

/// Reads a query file with the settings' parameters filled in: a key is `RULE.parameter` or `name.parameter`.
pub(crate) fn parse(path: &str, text: &str, parameters: &BTreeMap<String, String>) -> Result<QueryFile> {
    let all = |errors: Vec<hexwatch_sql::QueryFileError>| {
        anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let file = QueryFile::parse(path, text).map_err(all)?;
    let owners = [Some(file.name.clone()), file.rule.as_ref().map(|rule| rule.rule.clone())];
    let mut overrides = BTreeMap::new();
    for owner in owners.into_iter().flatten() {
        let own = parameters
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&format!("{owner}."))?, value)));
        overrides.extend(own.map(|(name, value)| (name.to_owned(), value.clone())));
    }
    if overrides.is_empty() {
        return Ok(file);
    }
    let sql = file.sql_with(&overrides)?;
    Ok(QueryFile { text: sql, params: Vec::new(), ..file })
}

/// A query that runs, for the system page.
pub(crate) fn status(file: &QueryFile) -> QueryStatus {
    QueryStatus {
        name: file.name.clone(),
        kind: if file.kind == Kind::Rule { "rule" } else { "view" }.to_owned(),
        title: file.title.clone().unwrap_or_default(),
        state: "live".to_owned(),
        reason: None,
    }
}
