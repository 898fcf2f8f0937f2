//! From a query file to a query that runs: planned once, recognised by its shape, kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::{Result, plan_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use hexwatch_contract::{Topic, event};
use hexwatch_sql::{Kind, QueryFile, join_by_cells};
use tokio::runtime::Runtime;

use crate::absence;
use crate::duration::with_durations;
use crate::feed::{Feed, LiveTable, Source};
use crate::filter::FilterQuery;
use crate::growing::only_grows;
use crate::hop::{Hop, HopMode, Tables};
use crate::lookback::{self, LookbackQuery};
use crate::pane::{PaneQuery, Telling};
use crate::possible::Outline;
use crate::query::{Operator, Query, Told};
use crate::reach::{self, Lookback, Reach, Unbounded};
use crate::run::Run;
use crate::shape::{self, Shape};
use crate::shard::{self, ShardKey};
use crate::spec::Spec;
use crate::{error::Refusal, hit};

/// Plans query files over the live tables.
pub(crate) struct Planner {
    pub(crate) runtime: Arc<Runtime>,
    /// Reference tables, such as `devices`, by name.
    pub(crate) reference: BTreeMap<String, RecordBatch>,
    /// How long after its result time a row is corrected, in microseconds.
    pub(crate) horizon: i64,
}

/// A refusal before its file and line are known.
impl From<DataFusionError> for Unbounded {
    fn from(error: DataFusionError) -> Self {
        Self { near: "", reason: error.strip_backtrace() }
    }
}

/// A query in planning.
struct Draft {
    state: SessionState,
    feeds: Arc<Mutex<Vec<Feed>>>,
    plan: LogicalPlan,
}

impl Planner {
    /// Makes all of `files` run that can, in their order. Planning is most of what a start costs, and somebody may wait
    /// for its end to be heard: all cores do it.
    pub(crate) fn plan_all(&self, files: &[QueryFile]) -> Vec<Result<Query, Refusal>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
        let next = AtomicUsize::new(0);
        let plan_some = || {
            let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            let files = numbers.map_while(|number| Some((number, files.get(number)?)));
            files.map(|(number, file)| (number, self.plan_file(file))).collect::<Vec<_>>()
        };
        let mut planned = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(plan_some)).collect();
            let mut planned = plan_some();
            for other in others {
                planned.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            planned
        });
        planned.sort_by_key(|(number, _)| *number);
        planned.into_iter().map(|(_, planned)| planned).collect()
    }

    fn plan_file(&self, file: &QueryFile) -> Result<Query, Refusal> {
        let spec = Spec::of(file)?;
        match file.kind {
            Kind::View | Kind::Rule => self.plan(&spec),
            Kind::Analysis => Err(spec.refuse("kind:", "an analysis runs over history, not live".into())),
        }
    }

    /// Makes `spec` run, or says why it cannot.
    pub(crate) fn plan(&self, spec: &Spec) -> Result<Query, Refusal> {
        self.try_plan(spec).map_err(|refusal| spec.refuse(refusal.near, refusal.reason))
    }

    fn try_plan(&self, spec: &Spec) -> Result<Query, Unbounded> {
        let mut draft = self.draft(spec, HopMode::Panes)?;
        let mut shape = shape::classify(&draft.plan)?;
        // Without windows that hop both ways of planning are the same.
        if !matches!(shape, Shape::Panes(_)) && spec.sql.to_lowercase().contains("hop") {
            draft = self.draft(spec, HopMode::Windows)?;
            shape = shape::classify(&draft.plan)?;
        }
        let schema = Arc::clone(draft.plan.schema().inner());
        if let Told::Rule(_) = spec.told
            && let Some(complaint) = hit::complaint(&schema)
        {
            return Err(Unbounded { near: "SELECT", reason: complaint });
        }
        let key = spec.key_in(&schema)?;
        let reach = if shape == Shape::Lookback { Self::reach(spec, &draft.plan)? } else { Reach::default() };
        let only_grows = only_grows(&draft.plan);
        let (shard_key, outline) = (ShardKey::of(&draft.plan), Outline::of(&draft.plan));
        let parts = shard::parts(&draft.plan, shard_key.as_ref());
        if shape == Shape::Lookback {
            draft.plan = join_by_cells(with_durations(draft.plan)?)?;
        }
        let physical = self
            .runtime
            .block_on(draft.state.query_planner().create_physical_plan(&draft.plan, &draft.state))?;
        let run = Run::new(physical, draft.state.task_ctx())?;
        let mut feeds = std::mem::take(&mut *draft.feeds.lock().unwrap_or_else(PoisonError::into_inner));
        feeds.sort_by_key(|feed| feed.number);
        let telling = Telling { immediate: spec.immediate, key, horizon: self.horizon };
        let waits = feeds.iter().any(|feed| matches!(feed.source, Source::Absence(_)));
        if waits && spec.immediate {
            let reason = "an absence waits for its timer; write `emit: on_close`".into();
            return Err(Unbounded { near: "emit:", reason });
        }
        let sources = feeds.iter().map(|feed| feed.source).collect();
        let operator = match shape {
            Shape::Filter => Operator::Filter(FilterQuery::new(run, feeds)),
            Shape::Panes(shape) => Operator::Panes(Box::new(PaneQuery::new(&run, shape, feeds, telling)?)),
            Shape::Lookback => {
                let at = schema
                    .index_of(spec.time.as_deref().unwrap_or_default())
                    .map_err(DataFusionError::from)?;
                let plan = lookback::Plan { run, outline, feeds, parts, shard_key, telling, reach, at };
                Operator::Lookback(Box::new(LookbackQuery::new(plan)))
            }
        };
        Ok(Query {
            name: spec.name.clone(),
            told: spec.told.clone(),
            lateness: spec.lateness,
            immediate: spec.immediate,
            only_grows,
            sources,
            operator,
        })
    }

    /// How far `plan` looks: as far as can be proved, or back as far as the file declares where that is more.
    fn reach(spec: &Spec, plan: &LogicalPlan) -> Result<Reach, Unbounded> {
        let Some(time) = &spec.time else {
            let reason =
                "which column is the result time? declare it in the header as `time: <column>`".into();
            return Err(Unbounded { near: "SELECT", reason });
        };
        match (reach::lookback(plan, time)?, spec.lookback) {
            (Lookback::Within(proved), None) if proved.ahead > 0 => Err(Unbounded {
                near: "time:",
                reason: format!(
                    "a row may look {} past its own result time `{time}`; make the result time the last moment \
                     the row depends on, such as `greatest(a.time, b.time)`, or declare `lookback`",
                    shape::seconds(proved.ahead)
                ),
            }),
            (Lookback::Within(proved), declared) => {
                Ok(Reach { back: proved.back.max(declared.unwrap_or(0)), ..proved })
            }
            (Lookback::Unbounded(_), Some(back)) => Ok(Reach { back, ahead: 0 }),
            (Lookback::Unbounded(reason), None) => Err(Unbounded { near: "JOIN", reason: reason.into() }),
        }
    }

    fn draft(&self, spec: &Spec, mode: HopMode) -> Result<Draft, Unbounded> {
        let feeds = Arc::new(Mutex::new(Vec::new()));
        let context = self.session(&feeds, mode)?;
        let state = context.state();
        let written = self.runtime.block_on(spec.logical_plan(&state))?;
        shape::refuse_as_written(&written)?;
        let plan = shape::numbered(state.optimize(&written)?)?;
        Ok(Draft { state, feeds, plan })
    }

    /// A session over the live tables, with one partition and nothing that keeps state between runs.
    fn session(&self, feeds: &Arc<Mutex<Vec<Feed>>>, mode: HopMode) -> Result<SessionContext> {
        let context = live_session();
        let mut tables: BTreeMap<String, Arc<dyn TableProvider>> = BTreeMap::new();
        for topic in Topic::ALL {
            let table = LiveTable::new(Source::Events(topic), event::schema(topic), Arc::clone(feeds));
            tables.insert(topic.table().into(), Arc::new(table));
        }
        for (name, rows) in &self.reference {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?;
            tables.insert(name.clone(), Arc::new(table));
        }
        for (name, table) in &tables {
            context.register_table(name.as_str(), Arc::clone(table))?;
        }
        context.register_udtf("hop", Arc::new(Hop { tables: Arc::new(LiveTables(tables)), mode }));
        context.register_udtf("absence", Arc::new(LiveAbsence(Arc::clone(feeds))));
        Ok(context)
    }
}

#[derive(Debug)]
struct LiveTables(BTreeMap<String, Arc<dyn TableProvider>>);

impl Tables for LiveTables {
    fn table(&self, name: &str) -> Result<Arc<dyn TableProvider>> {
        if let (Some(_), Some(table)) = (Topic::from_table(name), self.0.get(name)) {
            return Ok(Arc::clone(table));
        }
        plan_err!("hop takes an event table, and `{name}` is none")
    }
}

/// The table function `absence` over the live silences.
#[derive(Debug)]
struct LiveAbsence(Arc<Mutex<Vec<Feed>>>);

impl datafusion::catalog::TableFunctionImpl for LiveAbsence {
    fn call_with_args(&self, args: datafusion::catalog::TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let topic = absence::topic_argument(args.exprs())?;
        Ok(Arc::new(LiveTable::new(Source::Absence(topic), absence::schema(), Arc::clone(&self.0))))
    }
}

/// The session for micro-batches, without the filters that a join hands to a scan while it runs: in a plan
/// that is kept they would outlive the run.
fn live_session() -> SessionContext {
    let session = hexwatch_sql::batch_session();
    let mut config = session.copied_config();
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_round_robin_repartition = false;
    let state = SessionStateBuilder::new_from_existing(session.state()).with_config(config).build();
    SessionContext::new_with_state(state)
}
