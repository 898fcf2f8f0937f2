//! The same text over history, as one batch: `hop` and `absence` over stored tables.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProviderList, MemTable, Session, TableFunctionArgs, TableFunctionImpl, TableProvider,
};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use hexwatch_contract::alarm::RuleHit;
use hexwatch_contract::{EventTime, Topic};
use hexwatch_sql::QueryFile;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::absence::{self, Silences};
use crate::engine::Registry;
use crate::error::StreamError;
use crate::hit;
use crate::hop::{Hop, HopMode, Tables};
use crate::query::Told;
use crate::rows::joined;
use crate::spec::Spec;

/// Registers `hop` and `absence` over the tables of `context`. Silences are known up to `until`, or up to
/// the latest event of a good clock in the event tables.
pub fn register_functions(context: &SessionContext, registry: &Registry, until: Option<EventTime>) {
    let options = context.copied_config();
    let names = &options.options().catalog;
    let tables: Arc<dyn Tables> = Arc::new(StoredTables {
        catalogs: Arc::clone(context.state_ref().read().catalog_list()),
        catalog: names.default_catalog.clone(),
        schema: names.default_schema.clone(),
    });
    context.register_udtf("hop", Arc::new(Hop { tables: Arc::clone(&tables), mode: HopMode::Windows }));
    context.register_udtf("absence", Arc::new(StoredAbsence { tables, registry: registry.clone(), until }));
}

/// The rows that `file` gives over the tables of `context`, on which [`register_functions`] was called.
pub async fn run_over_history(
    context: &SessionContext,
    file: &QueryFile,
) -> Result<RecordBatch, StreamError> {
    let spec = Spec::of(file)?;
    let failed = |source| StreamError::Query { query: spec.name.to_string(), source };
    let plan = spec.logical_plan(&context.state()).await.map_err(failed)?;
    let rows = context.execute_logical_plan(plan).await.map_err(failed)?;
    let schema: SchemaRef = Arc::clone(rows.schema().inner());
    let batches = rows.collect().await.map_err(failed)?;
    let rows = joined(&schema, &batches)?;
    // A row without a result time is none, live as over history.
    let Some(at) = spec.time.as_deref().and_then(|time| rows.column_by_name(time)) else { return Ok(rows) };
    Ok(filter_record_batch(&rows, &is_not_null(at)?)?)
}

/// The hits that the rule in `file` gives over the tables of `context`; none where the file is no rule.
pub async fn hits_over_history(
    context: &SessionContext,
    file: &QueryFile,
) -> Result<Vec<RuleHit>, StreamError> {
    let rows = run_over_history(context, file).await?;
    match Spec::of(file)?.told {
        Told::Rule(rule) => hit::hits(&rule, &rows),
        Told::View(_) => Ok(Vec::new()),
    }
}

#[derive(Debug)]
struct StoredTables {
    catalogs: Arc<dyn CatalogProviderList>,
    catalog: String,
    schema: String,
}

impl Tables for StoredTables {
    fn table(&self, name: &str) -> Result<Arc<dyn TableProvider>> {
        let schema = self.catalogs.catalog(&self.catalog).and_then(|catalog| catalog.schema(&self.schema));
        match schema.as_ref().map(|schema| found(schema.table(name))) {
            Some(Some(Ok(Some(table)))) => Ok(table),
            Some(Some(Err(error))) => Err(error),
            Some(None) => {
                plan_err!("`{name}` has to be read first, which a runtime of one thread cannot wait for")
            }
            _ => plan_err!("there is no table `{name}`"),
        }
    }
}

/// Waits for a table: a table function is planned in one go, and what is stored has to be opened first. On a runtime
/// of one thread, where waiting would stop everything, only what is ready at once is found.
fn found<T>(table: impl Future<Output = T>) -> Option<T> {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            Some(tokio::task::block_in_place(|| handle.block_on(table)))
        }
        _ => table.now_or_never(),
    }
}

#[derive(Clone)]
struct StoredAbsence {
    tables: Arc<dyn Tables>,
    registry: Registry,
    until: Option<EventTime>,
}

impl std::fmt::Debug for StoredAbsence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StoredAbsence").field("until", &self.until).finish_non_exhaustive()
    }
}

impl TableFunctionImpl for StoredAbsence {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let topic = absence::topic_argument(args.exprs())?;
        Ok(Arc::new(AbsenceTable { stored: self.clone(), topic }))
    }
}

/// `absence(topic)`, worked out from the stored rows when it is scanned.
#[derive(Debug)]
struct AbsenceTable {
    stored: StoredAbsence,
    topic: Topic,
}

impl AbsenceTable {
    async fn rows(&self, session: &dyn Session) -> Result<RecordBatch> {
        let mut silences =
            Silences::new(self.topic, &self.stored.registry.devices, self.stored.registry.places.as_ref());
        for batch in self.columns(session, self.topic, &["time", "device"]).await? {
            silences.observe(&batch);
        }
        let until = match self.stored.until {
            Some(until) => until,
            None => self.latest(session).await?,
        };
        Ok(silences.between(i64::MIN, until.micros())?)
    }

    /// The latest event of a good clock.
    async fn latest(&self, session: &dyn Session) -> Result<EventTime> {
        let mut latest = EventTime::MIN;
        for topic in Topic::ALL {
            if self.stored.tables.table(topic.table()).is_err() {
                continue;
            }
            for batch in self.columns(session, topic, &["time", "time_quality"]).await? {
                let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
                let quality = batch.column(1).as_string::<i32>();
                let good = (0..times.len())
                    .filter(|row| quality.value(*row) != "suspect")
                    .map(|row| times.value(row));
                latest = good.map(EventTime::from_micros).fold(latest, EventTime::max);
            }
        }
        Ok(latest)
    }

    /// The columns `names` of a stored table, in that order.
    async fn columns(&self, session: &dyn Session, topic: Topic, names: &[&str]) -> Result<Vec<RecordBatch>> {
        let table = self.stored.tables.table(topic.table())?;
        let schema = table.schema();
        let columns = names.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let plan = table.scan(session, Some(&columns), &[], None).await?;
        collect(plan, session.task_ctx()).await
    }
}

#[async_trait]
impl TableProvider for AbsenceTable {
    fn schema(&self) -> SchemaRef {
        absence::schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows(session).await?;
        MemTable::try_new(absence::schema(), vec![vec![rows]])?
            .scan(session, projection, filters, limit)
            .await
    }
}
