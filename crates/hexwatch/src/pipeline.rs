//! The one place that sees all stages.
//!
//! Threads and queues, each with its bound:
//! - `kafka-reader` (of `ingest`) decodes and fills a queue of events: some chunks, so that a slow engine holds the
//!   reader back and the reader Kafka; each safety topic has such a thread and queue of its own, and goes first
//!   (`intake`);
//! - `engine` takes events and requests, steps, and writes the alarm log before anybody hears of an alarm;
//! - `queries` runs the queries that look at many rows, one loan at a time (`loans`), each at its own pace (`pace`), and
//!   `urgent-queries` those that a life may hang on; rows that come meanwhile wait in the engine, and are no more than
//!   the ledger holds;
//! - `requests` holds what people ask of alarms; a full queue makes their request wait;
//! - `commits` holds one commit; while the history is busy, rows gather in the ledger, and beyond twice a commit's
//!   size the readers wait, those of safety topics last;
//! - where the roles are split there is no reader here: connections of workers fill the readers' queues (`workers`), and
//!   are not read while a queue is full;
//! - `audit` holds reads by persons on their way to the log; a read waits for its place there.

mod arrivals;
mod audit;
mod committer;
mod desk;
mod doors;
mod ends;
mod execution;
mod gaps;
mod health;
mod incarnation;
pub(crate) mod intake;
mod loans;
mod outlet;
mod output_topics;
mod pace;
mod past;
pub(crate) mod reading;
mod restore;
mod rows;
mod worker;
mod workers;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hexwatch::machine::{Machine, Parts, Scores, Scoring, State};
use hexwatch_alarm::{Book, Locate, Settings as BookSettings, Surroundings};
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::audit::Audit;
use hexwatch_contract::site::Places;
use hexwatch_contract::{Account, Cell, Clock, EventTime, ManualClock, Offsets, SystemClock, Topic};
use hexwatch_grid::Site;
use hexwatch_history::{Fsync, History, Resume};
use hexwatch_ingest::{Brokers, Publisher};
use hexwatch_risk::Terms;
use hexwatch_server::{About, Accounts, AppState, Limits, Live, Metrics, check_listen};
use hexwatch_sql::{Kind, Output, QueryFile};
use hexwatch_stream::{Checkpoint, Engine, EngineConfig, Registry};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{ClockKind, Config};
use crate::crash_point::{CrashPoint, Own};
use crate::queries;
pub(crate) use doors::{parse as parse_query, session};

use arrivals::Arrivals;
use doors::{Door, Hand, LogSource, Outlines};
use ends::Ends;
use health::Sources;
use incarnation::Incarnation;
use intake::{Events, Intake};
use loans::Loans;
use outlet::Outlet;
use pace::Pace;
use past::Past;
use reading::Reading;
use worker::{Queues, Summary, Worker};
use workers::{Reception, Workers};

/// Requests of people that wait for the engine.
const REQUESTS: usize = 256;
/// Audited reads that wait for the log.
const AUDITS: usize = 1_024;
/// How long the last rows may take on their way out.
const LAST_FLUSH: Duration = Duration::from_secs(30);

/// What to run.
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) brokers: Brokers,
    pub(crate) site: Site,
    pub(crate) accounts: Accounts,
    /// `live`, `demo` or `replay`.
    pub(crate) mode: &'static str,
    /// Read to the ends of the start, then end.
    pub(crate) until_end: bool,
    /// Others read; this process waits for what they bring.
    pub(crate) by_workers: bool,
    /// Who has accepted to go on without what cannot be read any more.
    pub(crate) accept_gap: Option<String>,
}

/// What a run has done.
pub(crate) struct Report {
    pub(crate) totals: BTreeMap<Topic, Account>,
    pub(crate) alarm_changes: u64,
}

/// Everything the stages share.
struct Ground {
    site: Arc<Site>,
    wall: Arc<dyn Clock>,
    engine: Arc<dyn Clock>,
    event: Option<Arc<ManualClock>>,
    live: Live,
    metrics: Metrics,
    outlet: Outlet,
}

/// Runs until `stop`, until a stage fails, or until everything has been read. Where the start fails, the engine is dropped
/// and the runtime of its queries with it, which is allowed only to a thread that may block.
pub(crate) async fn run(plan: Plan, stop: CancellationToken) -> Result<Report> {
    let mut run = pin!(run_stages(plan, stop));
    poll_fn(|context| tokio::task::block_in_place(|| run.as_mut().poll(context))).await
}

async fn run_stages(plan: Plan, stop: CancellationToken) -> Result<Report> {
    let listener = listen(&plan).await?;
    let ground = ground(&plan)?;
    let crash = CrashPoint::new(&plan.config.debug.crash_at);
    let data_dir = &plan.config.history.data_dir;
    let wall = Arc::clone(&ground.wall);
    let mut history = History::open_with(data_dir, wall, Arc::new(Fsync), Arc::new(crash.clone())).await?;
    if let Some(by) = &plan.accept_gap {
        gaps::accept(&mut history.writer, &plan.brokers, by, ground.wall.now()).await?;
    }
    let resume = history.writer.resume();
    let state = state_of(&resume)?;
    let checkpoint = state.as_ref().map(|state| &state.engine);
    audit::create(&plan.config.history.data_dir)?;
    let door = Door::open(&plan.config.history.data_dir, &ground.site, &plan.config.queries).await?;

    let parts = engine(&plan, &ground, &resume, checkpoint)?;
    if plan.config.kafka.publish {
        output_topics::make(&plan.brokers, &plan.config.kafka.output_prefix, &parts.topic_views).await;
    }
    let changes = desk::read_all(&history.alarms)?;
    let book = book(&plan, &ground, &changes, state.as_ref())?;
    let mut machine = Machine::new(Parts {
        engine: parts.engine,
        book,
        scoring: parts.scoring,
        view_keys: parts.view_keys.clone(),
        kept: plan.config.history.keep.iter().copied().collect(),
        told_until: resume.offsets.clone(),
        default_site: site_name(&ground.site),
    });
    ground.live.restore_alarms(history.alarms.last_seqs(), machine.standing());
    let owed = machine.begin(&changes, state.as_ref());
    drop(changes);
    crash.reach(Own::BeforeRebuild);
    let (intake, events) = read(&plan, &ground, checkpoint, Incarnation::left_by(&resume)?, &stop)?;
    let mut worker = Worker {
        machine,
        log: Arc::clone(&history.alarms),
        outlet: ground.outlet.clone(),
        live: ground.live.clone(),
        metrics: ground.metrics.clone(),
        clock: Arc::clone(&ground.engine),
        event_clock: ground.event.clone(),
        wall_clock: Arc::clone(&ground.wall),
        sources: parts.sources,
        ends: plan.until_end.then(Ends::default),
        view_keys: parts.view_keys,
        commit_interval: plan.config.history.commit_interval,
        commit_rows: plan.config.history.commit_rows,
        totals: BTreeMap::new(),
        alarm_changes: 0,
        answer: None,
        arrivals: Arrivals::default(),
        loans: Loans::start()?,
        past: parts.past,
        pace: Pace::default(),
        crash: crash.clone(),
        intake: Arc::clone(&intake),
        ticked: Instant::now(),
        looked: Instant::now(),
        committed: Instant::now(),
        closing_since: Instant::now(),
    };
    worker.execute(owed)?;

    let (requests, request_queue) = mpsc::channel(REQUESTS);
    let (commits, commit_queue) = mpsc::channel(1);
    let (audit, audit_queue) = mpsc::channel(AUDITS);
    let serving = stop.child_token();
    let alarms = LogSource::new(Arc::clone(&history.alarms));
    let app = app(&plan, &ground, alarms, door, Hand::new(requests), audit);
    let server = tokio::spawn(hexwatch_server::serve(listener, app, serving.clone()));
    let auditor = tokio::spawn(audit::run(plan.config.history.data_dir.clone(), audit_queue));
    let committer = committer::Committer {
        intake: Arc::clone(&intake),
        outlet: ground.outlet.clone(),
        crash,
        stop: stop.clone(),
    };
    let committer = tokio::spawn(committer.run(history.writer, commit_queue));
    let queues = Queues { events, requests: request_queue, commits, stop: stop.clone() };
    let summary = work(worker, queues).await;

    // The engine has hung up, so the history ends after its last commit; people may look until then.
    let history_ended = committer.await.context("the history's task failed")?;
    // What is in no commit is made again at the next start, for Kafka too, and is not waited for.
    if history_ended.is_ok()
        && let Err(error) = ground.outlet.flush(LAST_FLUSH)
    {
        tracing::error!(%error, "not everything reached Kafka; it is in the history");
    }
    serving.cancel();
    server.await.context("the server's task failed")?.context("serving")?;
    auditor.await.context("the audit's task failed")??;
    // Where both have failed, the engine did because the history was gone.
    history_ended?;
    let summary = summary?;
    Ok(Report { totals: summary.totals, alarm_changes: summary.alarm_changes })
}

/// What the server answers from.
fn app(
    plan: &Plan,
    ground: &Ground,
    alarms: LogSource,
    door: Door,
    hand: Hand,
    audit: mpsc::Sender<Audit>,
) -> AppState {
    AppState {
        live: ground.live.clone(),
        alarms: Arc::new(alarms),
        actions: Arc::new(hand),
        queries: Arc::new(door),
        geometry: Arc::new(Outlines),
        site_map: doors::site_map(&ground.site),
        accounts: plan.accounts.clone(),
        audit,
        about: About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: plan.mode.to_owned(),
            time_zone: doors::time_zone(&ground.site),
        },
        limits: Limits { clients: plan.config.server.max_clients, ..Limits::default() },
    }
}

/// Runs the engine on a thread of its own: a step runs queries to their end, and would hold up a runtime's worker.
async fn work(worker: Worker, queues: Queues) -> Result<Summary> {
    let runtime = tokio::runtime::Handle::current();
    let thread: JoinHandle<Result<Summary>> = tokio::task::spawn_blocking(move || {
        let name = std::thread::Builder::new().name("engine".to_owned());
        let thread =
            name.spawn(move || worker.run(&runtime, queues)).context("starting the engine's thread")?;
        thread
            .join()
            .map_err(|_| anyhow!("the engine's thread panicked; what it had acknowledged is kept"))?
    });
    thread.await.context("the engine's task failed")?
}

async fn listen(plan: &Plan) -> Result<TcpListener> {
    let address = plan.config.server.listen;
    check_listen(address, false, &plan.accounts)?;
    TcpListener::bind(address).await.with_context(|| {
        format!("listening on {address}: is another hexwatch running? choose another with --listen")
    })
}

fn ground(plan: &Plan) -> Result<Ground> {
    let wall: Arc<dyn Clock> = Arc::new(SystemClock);
    let event =
        (plan.config.time.clock == ClockKind::Event).then(|| Arc::new(ManualClock::at(EventTime::MIN)));
    let engine: Arc<dyn Clock> = match &event {
        Some(clock) => Arc::<ManualClock>::clone(clock),
        None => Arc::clone(&wall),
    };
    let metrics = Metrics::new();
    let live = Live::new(Arc::clone(&engine), Arc::clone(&wall), metrics.clone());
    let counting = metrics.clone();
    let lost = Box::new(move |topic: &str| counting.row_unpublished(topic));
    let publisher = if plan.config.kafka.publish {
        Some(Arc::new(Publisher::lasting(&plan.brokers, lost)?))
    } else {
        None
    };
    let outlet = Outlet::new(publisher, &plan.config.kafka.output_prefix, metrics.clone());
    Ok(Ground { site: Arc::new(plan.site.clone()), wall, engine, event, live, metrics, outlet })
}

/// What the last commit left; `None` in a new data folder.
fn state_of(resume: &Resume) -> Result<Option<State>> {
    State::read(resume.number, &resume.state)
        .context("reading the checkpoint: it was written by another version; start from an empty data folder")
}

/// The engine, and what belongs to its queries.
struct EngineParts {
    engine: Engine,
    scoring: Scoring,
    past: Past,
    sources: Sources,
    /// The columns that identify a row of each query.
    view_keys: BTreeMap<Arc<str>, Vec<String>>,
    /// The views whose rows go to a topic.
    topic_views: Vec<String>,
}

/// The engine with every query that can run, taken up where the last commit left it.
fn engine(
    plan: &Plan,
    ground: &Ground,
    resume: &Resume,
    checkpoint: Option<&Checkpoint>,
) -> Result<EngineParts> {
    let settings = &plan.config;
    let terms: Option<Terms> =
        if settings.queries.risk { Some(queries::terms(&settings.queries.dir)?) } else { None };
    let scores =
        terms.map(|terms| Scores::new(terms, settings.time.correction_horizon, &ground.site)).transpose()?;
    let (files, mut statuses) = parse(queries::live(&settings.queries)?, settings);
    let risk_queries = scores.as_ref().map(|scores| scores.queries().to_vec()).unwrap_or_default();
    let all: Vec<QueryFile> = files.iter().cloned().chain(risk_queries).collect();
    let registry = registry(&ground.site)?;
    // The engine plans its queries on a runtime of its own, which must not begin within this one.
    let built = tokio::task::block_in_place(|| Engine::new(engine_config(settings), &registry, &all));
    let (mut engine, refusals) = built?;
    for refusal in refusals {
        tracing::warn!("{refusal}");
        statuses.push(queries::refused(&refusal.file, refusal.to_string()));
    }
    let refused: Vec<String> = statuses.iter().map(|status| status.name.clone()).collect();
    statuses.extend(files.iter().filter(|file| !refused.contains(&file.name)).map(doors::status));
    if let Some(checkpoint) = checkpoint {
        engine.restore(checkpoint.clone());
    }
    if let Some(scores) = &scores {
        ground.live.keep_cells(scores.own_cells(), scores.corrected_for());
    }
    let watermark = checkpoint.and_then(|checkpoint| checkpoint.watermark);
    let (scoring, past) = scoring(plan, ground, scores, watermark, &resume.offsets);
    let goes_to_a_topic = |file: &&QueryFile| file.kind == Kind::View && file.output == Output::Topic;
    Ok(EngineParts {
        engine,
        scoring,
        past,
        sources: Sources::new(statuses, ground.outlet.clone()),
        view_keys: all.iter().map(|file| (Arc::from(file.name.as_str()), file.key.clone())).collect(),
        topic_views: all.iter().filter(goes_to_a_topic).map(|file| file.name.clone()).collect(),
    })
}

/// Who scores risk, and the past that the last commit at `watermark` left of it, with all records below `done`.
fn scoring(
    plan: &Plan,
    ground: &Ground,
    scores: Option<Scores>,
    watermark: Option<EventTime>,
    done: &Offsets,
) -> (Scoring, Past) {
    let Some(mut scores) = scores else { return (Scoring::default(), Past::default()) };
    let Some(watermark) = watermark else { return (Scoring::by(scores), Past::default()) };
    let scoring = Scoring::awaiting(&scores);
    let (folder, site, done) = (plan.config.history.data_dir.clone(), Arc::clone(&ground.site), done.clone());
    let past = async move {
        let session = doors::session(&folder, &site, doors::SERVER_QUERY_MEMORY).await?;
        restore::restore_scores(&mut scores, &session, watermark, &done).await?;
        Ok(scores)
    };
    (scoring, Past::of(past))
}

/// Parses files; those whose header is wrong are told of, and the others go on.
fn parse(texts: Vec<queries::Text>, config: &Config) -> (Vec<QueryFile>, Vec<hexwatch_server::QueryStatus>) {
    let (mut files, mut refused) = (Vec::new(), Vec::new());
    for (path, text) in texts {
        match doors::parse(&path, &text, &config.queries.parameters) {
            Ok(file) => files.push(file),
            Err(error) => {
                tracing::warn!("{error}");
                refused.push(queries::refused(&path, error.to_string()));
            }
        }
    }
    (files, refused)
}

fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig {
        lateness: config.time.lateness_by_topic.clone(),
        default_lateness: config.time.lateness,
        correction_horizon: config.time.correction_horizon,
        idle_timeout: config.time.idle_timeout,
    }
}

fn registry(site: &Arc<Site>) -> Result<Registry> {
    let tables = hexwatch_sql::catalog::site_rows(site)?;
    Ok(Registry {
        devices: site.devices().to_vec(),
        places: Arc::<Site>::clone(site),
        tables: tables.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect(),
    })
}

/// The book as its log and the last commit left it.
fn book(plan: &Plan, ground: &Ground, changes: &[Alarm], state: Option<&State>) -> Result<Book> {
    let settings = BookSettings { replay: plan.mode == "replay", ..BookSettings::default() };
    let site = Arc::clone(&ground.site);
    let mut book = Book::replay(settings, surroundings(site), changes).context("reading the alarm log")?;
    if let Some(state) = state {
        book.resume_devices(state.devices.clone());
    }
    Ok(book)
}

fn surroundings(site: Arc<Site>) -> impl Locate + 'static {
    move |cell: Cell| {
        let grid = site.grid_of(cell);
        Surroundings {
            area: site.area_of(cell).map(str::to_owned),
            grid: grid.map(|grid| grid.grid.clone()),
            officer_role: grid.and_then(|grid| grid.officer_role.clone()),
        }
    }
}

fn read(
    plan: &Plan,
    ground: &Ground,
    checkpoint: Option<&Checkpoint>,
    incarnation: Incarnation,
    stop: &CancellationToken,
) -> Result<(Arc<Intake>, Events)> {
    let Reading { lanes, safety, mut settings } = Reading::of(&plan.config, &plan.brokers)?;
    settings.starts = checkpoint.map(Checkpoint::replay_from).unwrap_or_default();
    settings.marks = incarnation.marks_by_partition();
    settings.cluster = incarnation.cluster;
    let (intake, events) = if plan.by_workers {
        let reception = Reception {
            listener: workers::listen(plan.config.workers.listen)?,
            secret: plan.config.workers.secret(),
            fingerprint: reading::fingerprint(&plan.config, &ground.site),
            metrics: ground.metrics.clone(),
            stop: stop.clone(),
        };
        let (workers, receivers) = Workers::receive(&settings, &lanes, safety, &ground.wall, reception)?;
        Intake::of_workers(workers, receivers)
    } else {
        let places: Arc<dyn Places> = Arc::<Site>::clone(&ground.site);
        Intake::start(&settings, lanes, &places, &ground.wall)?
    };
    Ok((Arc::new(intake), events))
}

/// The site that answers for what names none.
fn site_name(site: &Site) -> String {
    match site.sites() {
        [only] => only.site.clone(),
        _ => hexwatch_grid::site::DEFAULT_SITE.to_owned(),
    }
}
