//! The tables as DataFusion sees them: from this process while it writes, or from any other.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::{Column, JoinType, NullEquality, ScalarValue};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{SessionContext, col, ident, lit};
use deltalake::DeltaTable;
use hexwatch_contract::EventTime;
use tokio::sync::Mutex;

use crate::catalog::{self, Latest};
use crate::durability::Fsync;
use crate::error::{HistoryError, Result};
use crate::order::{ORDER, WITHDRAWN};
use crate::read::plain_session;
use crate::tables::{KEY_PROPERTY, Tables};

/// Reads a history, its newest commits included. Needs no lock: a commit is seen whole or not at all.
#[derive(Clone)]
pub struct Reader {
    tables: Tables,
    /// Loaded tables, so that a query only reads what was committed since the last one.
    loaded: Arc<Mutex<HashMap<String, DeltaTable>>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reader").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl Reader {
    /// Reads the history in `data_dir`; a folder without one is a history without rows.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let data_dir = std::path::absolute(data_dir).map_err(HistoryError::io("addressing", data_dir))?;
        Ok(Self::over(Tables::new(data_dir.join("tables"), Arc::new(Fsync))))
    }

    pub(crate) fn over(tables: Tables) -> Self {
        Self { tables, loaded: Arc::default() }
    }

    /// Makes all tables of the catalog known to `session`, in its default schema, behind what is registered
    /// there already. Each query sees the newest commit as it begins. A table nobody has written to is
    /// empty; `alarms`, `risk_cells` and `view_*` show the last row of each key, where it was not withdrawn, and the
    /// rows before them stand in `alarm_changes`, `risk_cell_revisions` and `view_*_revisions`.
    pub fn register(&self, session: &SessionContext) -> Result<()> {
        let options = session.copied_config().options().catalog.clone();
        let refused = |reason: String| HistoryError::Read {
            table: options.default_schema.clone(),
            source: Box::new(DataFusionError::Plan(reason)),
        };
        let catalog = session
            .catalog(&options.default_catalog)
            .ok_or_else(|| refused(format!("the session has no catalog `{}`", options.default_catalog)))?;
        let registered =
            catalog.schema(&options.default_schema).unwrap_or_else(|| Arc::new(MemorySchemaProvider::new()));
        let schema = HistorySchema { reader: self.clone(), registered, session: Arc::new(session.state()) };
        catalog
            .register_schema(&options.default_schema, Arc::new(schema))
            .map_err(HistoryError::read(&options.default_schema))?;
        Ok(())
    }

    /// The rows of `table` (a name of the SQL catalog) whose time lies in `[from, to)`, in its order.
    pub async fn rows(
        &self,
        table: &str,
        from: EventTime,
        to: EventTime,
    ) -> Result<SendableRecordBatchStream> {
        let session = plain_session();
        let provider =
            self.provider(table, &Arc::new(session.state())).await.map_err(HistoryError::read(table))?;
        let provider = provider.ok_or_else(|| HistoryError::Misfit {
            table: table.to_owned(),
            reason: "there is no such table".to_owned(),
        })?;
        let time = catalog::time_column(&provider.schema()).ok_or_else(|| HistoryError::Misfit {
            table: table.to_owned(),
            reason: "it has no column of time".to_owned(),
        })?;
        let at =
            |time: EventTime| lit(ScalarValue::TimestampMicrosecond(Some(time.micros()), Some("UTC".into())));
        let rows = session
            .read_table(provider)
            .and_then(|rows| rows.filter(ident(time).gt_eq(at(from)).and(ident(time).lt(at(to)))))
            .and_then(|rows| rows.sort(vec![ident(time).sort(true, false)]))
            .map_err(HistoryError::read(table))?;
        rows.execute_stream().await.map_err(HistoryError::read(table))
    }

    /// The names of all tables: those of the catalog, written or not, and the views that were written.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = catalog::names().map(str::to_owned).collect();
        for written in self.tables.names().unwrap_or_default() {
            if written.starts_with(crate::table_name::VIEW_PREFIX) {
                names.push(catalog::revisions_of(&written));
            }
            names.push(written);
        }
        names.sort();
        names.dedup();
        names
    }

    async fn provider(
        &self,
        name: &str,
        session: &Arc<SessionState>,
    ) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Some(latest) = catalog::latest(name) else {
            return self.written(catalog::folder_of(name), session).await;
        };
        let Some(delta) = self.load(&latest.folder).await? else {
            return Ok(catalog::schema(&latest.folder).map(|schema| empty(&schema)));
        };
        let latest = with_key(latest, &delta)?;
        let raw = delta.table_provider().with_session(session.clone()).await?;
        latest_rows(&latest, raw).map(Some)
    }

    async fn written(
        &self,
        folder: &str,
        session: &Arc<SessionState>,
    ) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        match self.load(folder).await? {
            Some(delta) => delta.table_provider().with_session(session.clone()).await.map(Some),
            None => Ok(catalog::schema(folder).map(|schema| empty(&schema))),
        }
    }

    /// The table in `folder` at its newest version.
    async fn load(&self, folder: &str) -> DataFusionResult<Option<DeltaTable>> {
        let mut loaded = self.loaded.lock().await;
        if let Some(table) = loaded.get_mut(folder)
            && table.update_state().await.is_ok()
        {
            return Ok(Some(table.clone()));
        }
        loaded.remove(folder);
        let table =
            self.tables.load(folder).await.map_err(|error| DataFusionError::External(error.into()))?;
        loaded.extend(table.clone().map(|table| (folder.to_owned(), table)));
        Ok(table)
    }
}

fn empty(schema: &SchemaRef) -> Arc<dyn TableProvider> {
    Arc::new(EmptyTable::new(schema.clone()))
}

/// A view's key is kept with its table, because its query file need not be there any more.
fn with_key(mut latest: Latest, delta: &DeltaTable) -> DataFusionResult<Latest> {
    if latest.key.is_empty() {
        let properties = delta.snapshot()?.metadata().configuration();
        let key = properties.get(KEY_PROPERTY).map_or("[]", String::as_str);
        latest.key = serde_json::from_str(key).map_err(|error| DataFusionError::External(error.into()))?;
    }
    Ok(latest)
}

/// The last row of each key of `raw` that still holds, without the columns that say so.
fn latest_rows(latest: &Latest, raw: Arc<dyn TableProvider>) -> DataFusionResult<Arc<dyn TableProvider>> {
    let schema = raw.schema();
    let is_shown = |name: &str| name != ORDER && name != WITHDRAWN;
    let shown: Vec<&str> =
        schema.fields().iter().map(|field| field.name().as_str()).filter(|name| is_shown(name)).collect();
    let says_what_is_gone = schema.field_with_name(WITHDRAWN).is_ok();
    let scan = LogicalPlanBuilder::scan(latest.folder.as_str(), provider_as_source(raw), None)?;
    let rows = match (latest.key.is_empty(), says_what_is_gone, latest.first) {
        (false, false, Some(first)) => not_revised(latest, first, &scan.build()?)?,
        (true, true, _) => not_gone(&scan.build()?, &shown, &schema)?,
        (true, false, _) => scan,
        (false, ..) => {
            let key: Vec<Expr> = latest.key.iter().map(ident).collect();
            let columns = schema.fields().iter().map(|field| ident(field.name())).collect();
            let newest = ident(latest.order).sort(false, false);
            let order = key.iter().map(|column| column.clone().sort(true, false)).chain([newest]).collect();
            let rows = scan.distinct_on(key, columns, Some(order))?;
            if says_what_is_gone { rows.filter(ident(WITHDRAWN).is_not_true())? } else { rows }
        }
    };
    let shown: Vec<Expr> = shown.into_iter().map(ident).collect();
    Ok(Arc::new(ViewTable::new(rows.project(shown)?.build()?, None)))
}

/// The rows of `scan` that no later one of their key corrects. Few rows are corrections, those beyond `first`, and only
/// they have to be in memory, however many rows there are.
fn not_revised(latest: &Latest, first: i64, scan: &LogicalPlan) -> DataFusionResult<LogicalPlanBuilder> {
    let corrects = ident(latest.order).gt(lit(first));
    let later = LogicalPlanBuilder::from(scan.clone()).filter(corrects)?.alias("later")?;
    let rows = LogicalPlanBuilder::from(scan.clone()).alias("rows")?.build()?;
    let columns =
        |side: &str| latest.key.iter().map(|name| Column::new(Some(side.to_owned()), name)).collect();
    let (of_later, of_rows): (Vec<Column>, Vec<Column>) = (columns("later"), columns("rows"));
    let is_later = col(format!("later.{}", latest.order)).gt(col(format!("rows.{}", latest.order)));
    let equal = NullEquality::NullEqualsNothing;
    later.join_detailed(rows, JoinType::RightAnti, (of_later, of_rows), Some(is_later), equal)
}

/// The rows of `scan`, a view without a key, that were not withdrawn after they were given: a row is the same as
/// another where all columns are.
fn not_gone(scan: &LogicalPlan, shown: &[&str], schema: &SchemaRef) -> DataFusionResult<LogicalPlanBuilder> {
    let given = LogicalPlanBuilder::from(scan.clone()).filter(ident(WITHDRAWN).is_not_true())?;
    let is_nested =
        |name: &&str| schema.field_with_name(name).is_ok_and(|field| field.data_type().is_nested());
    if shown.iter().any(is_nested) {
        // Lists cannot be joined on: whoever wants such rows withdrawn declares a key.
        return Ok(given);
    }
    let given = given.alias("given")?;
    let gone =
        LogicalPlanBuilder::from(scan.clone()).filter(ident(WITHDRAWN).is_true())?.alias("gone")?.build()?;
    let columns = |side: &str| -> Vec<Column> {
        shown.iter().map(|name| Column::new(Some(side.to_owned()), *name)).collect()
    };
    let is_later = col(format!("gone.{ORDER}")).gt(col(format!("given.{ORDER}")));
    given.join_detailed(
        gone,
        JoinType::LeftAnti,
        (columns("given"), columns("gone")),
        Some(is_later),
        NullEquality::NullEqualsNull,
    )
}

/// A session's default schema with the history behind it.
struct HistorySchema {
    reader: Reader,
    registered: Arc<dyn SchemaProvider>,
    session: Arc<SessionState>,
}

impl fmt::Debug for HistorySchema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HistorySchema").field("reader", &self.reader).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for HistorySchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.registered.table_names();
        names.extend(self.reader.names());
        names.sort();
        names.dedup();
        names
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        match self.registered.table(name).await? {
            Some(table) => Ok(Some(table)),
            None => self.reader.provider(name, &self.session).await,
        }
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        self.registered.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        self.registered.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.registered.table_exist(name) || self.reader.names().iter().any(|known| known == name)
    }
}
