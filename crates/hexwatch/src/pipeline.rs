//! The one place that sees all stages.
//!
//! Threads and queues, each with its bound:
//! - `kafka-reader` (of `ingest`) decodes and fills a queue of events: some chunks, so that a slow engine holds the
//!   reader back and the reader Kafka; each safety topic has such a thread and queue of its own, and goes first
//!   (`intake`);
//! - `engine` takes events and requests, steps, and writes the alarm log before anybody hears of an alarm;
//! - `queries` runs the queries that look at many rows, one loan at a time (`loans`), each at its own pace (`pace`), and
//!   `urgent-queries` those that a life may hang on; rows that come meanwhile wait in the engine, and are no more than
//!   the ledger holds, or some times as many while a restart lets the urgent ones go first. Some thousands of late ones
//!   among them wait for one another (`group::corrections` of `stream`);
//! - `requests` holds what people ask of alarms; a full queue makes their request wait;
//! - `commits` holds one commit; while the history is busy, or everything is brought to a commit's point, rows gather,
//!   and beyond twice a commit's size (`spacing`) the readers wait, those of safety topics last;
//! - where the roles are split there is no reader here: connections of workers fill the readers' queues (`workers`), and
//!   are not read while a queue is full;
//! - while the past of risk is read (`past`), what it has to hear waits in the machine, and counts as rows that wait for a
//!   commit;
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
mod parts;
mod past;
pub(crate) mod reading;
mod restore;
mod rows;
mod spacing;
mod worker;
mod workers;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hexwatch::machine::{Machine, Parts, State};
use hexwatch_alarm::{Book, Locate, Settings as BookSettings, Surroundings};
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::audit::Audit;
use hexwatch_contract::site::Places;
use hexwatch_contract::{Account, Cell, Clock, EventTime, ManualClock, SystemClock, Topic};
use hexwatch_grid::Site;
use hexwatch_history::{Fsync, History, Resume, ToldRows};
use hexwatch_ingest::{Brokers, Publisher};
use hexwatch_server::{About, Accounts, AppState, Limits, Live, Metrics, check_listen};
use hexwatch_stream::Checkpoint;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{ClockKind, Config};
use crate::crash_point::{CrashPoint, Own};
pub(crate) use doors::{parse as parse_query, session};

use arrivals::Arrivals;
use doors::{Door, Hand, LogSource, Outlines};
use ends::Ends;
use incarnation::Incarnation;
use intake::{Events, Intake};
use loans::Loans;
use outlet::Outlet;
use pace::Pace;
use reading::Reading;
use spacing::Spacing;
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

fn spacing_of(config: &Config) -> Spacing {
    Spacing::new(config.history.commit_interval, config.history.commit_rows, Instant::now())
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

    let parts = parts::engine(&plan, &ground, &resume, checkpoint)?;
    let topics = plan.config.kafka.publish.then(|| {
        let (brokers, prefix) = (plan.brokers.clone(), plan.config.kafka.output_prefix.clone());
        let views = parts.topic_views.clone();
        // The broker takes its time, in which the rest is made ready.
        tokio::spawn(async move { output_topics::make(&brokers, &prefix, &views).await })
    });
    let changes = desk::read_all(&history.alarms)?;
    let book = book(&plan, &ground, &changes, state.as_ref())?;
    let mut machine = Machine::new(Parts {
        engine: parts.engine,
        book,
        scoring: parts.scoring,
        shapes: Arc::clone(&parts.shapes),
        kept: plan.config.history.keep.iter().copied().collect(),
        told_until: resume.offsets.clone(),
        default_site: site_name(&ground.site),
    });
    ground.live.restore_alarms(history.alarms.last_seqs(), machine.standing());
    let told_rows = ToldRows::open(&data_dir.join("told_rows"), Arc::new(Fsync))?;
    let told = told_rows.read(state.as_ref().map_or(0, |state| state.generation))?;
    let owed = machine.begin(&changes, told, state.as_ref());
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
        shapes: parts.shapes,
        told_rows,
        spacing: spacing_of(&plan.config),
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
        turns: 0,
    };
    if let Some(topics) = topics {
        topics.await.context("the making of topics failed")?;
    }
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
    let lost = Arc::new(move |topic: &str| counting.row_unpublished(topic));
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
