//! Workers that read and decode for this process, as a source of the same events that readers of our own would give.
//!
//! Each worker keeps a connection for each lane, so that nothing of what others have piled up stands before a press for
//! help on its way here either. A chunk is judged by the ledger and put into its lane's queue in one breath: what was
//! judged first is taken first. Where a queue is full its connections are not read, and the worker waits.
//!
//! All that is done here is done on threads of its own: a press for help must not wait until the history has compacted
//! its tables, which keeps the threads busy that it shares with the server.

mod connection;
mod desk;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hexwatch_contract::{Clock, Offsets, Partition, Topic};
use hexwatch_ingest::Event;
use hexwatch_ingest::reader::{Assignment, Mark, Marks, Progress, ReadError, Scout, Settings, Source};
use hexwatch_relay::{Reading, Secret};
use hexwatch_server::Metrics;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::desk::Desk;

/// After how long of silence of its workers a partition may not be taken for quiet any more. They say how far they are
/// once a second, and a partition falls idle after `time.idle_timeout`.
const SILENCE: Duration = Duration::from_secs(3);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Threads that take in what workers bring.
const THREADS: usize = 2;

/// How workers are received.
pub(crate) struct Reception {
    pub(crate) listener: TcpListener,
    pub(crate) secret: Secret,
    /// Of how records are read.
    pub(crate) fingerprint: String,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

/// The handle: what the pipeline asks of its source.
pub(crate) struct Workers {
    desk: Arc<Desk>,
    scout: Arc<Scout>,
    /// Taken when it ends.
    runtime: Option<Runtime>,
    stop: CancellationToken,
}

impl Workers {
    /// Receives workers that read `lanes`, of which the first `safety` are read by each of them.
    pub(crate) fn receive(
        settings: &Settings,
        lanes: &[Vec<Source>],
        safety: usize,
        clock: &Arc<dyn Clock>,
        reception: Reception,
    ) -> Result<(Self, Vec<Receiver<Event>>), ReadError> {
        let runtime = runtime().map_err(|error| ReadError::Thread { kind: error.kind() })?;
        // What is begun from here on runs there.
        let own = runtime.enter();
        let stop = reception.stop.child_token();
        let (senders, receivers): (Vec<_>, Vec<_>) =
            lanes.iter().map(|_| mpsc::channel(settings.queue)).unzip();
        let sources: Vec<Source> = lanes.iter().flatten().cloned().collect();
        let settings = Settings { sources, ..settings.clone() };
        let marks = Marks::of(settings.marks.values().cloned());
        let (scout, found) = Scout::start(settings, Arc::clone(clock))?;
        let started = u64::try_from(clock.now().millis()).unwrap_or(0);
        let topics = lanes.iter().map(|lane| lane.iter().map(|source| Arc::clone(&source.name)).collect());
        let desk = Arc::new(Desk::new(desk::Parts {
            lanes: topics.zip(senders).enumerate().map(|(number, (topics, queue))| desk::Lane {
                topics,
                queue,
                reading: if number < safety { Reading::Together } else { Reading::Alone },
            }),
            kinds: lanes.iter().flatten().map(|source| (Arc::clone(&source.name), source.topic)).collect(),
            marks,
            metrics: reception.metrics.clone(),
            started,
        }));
        let scout = Arc::new(scout);
        let following = follow_scout(Arc::clone(&desk), Arc::clone(&scout), found);
        tokio::spawn(stop.clone().run_until_cancelled_owned(following));
        tokio::spawn(
            stop.clone().run_until_cancelled_owned(look_around(Arc::clone(&desk), Arc::clone(&scout))),
        );
        for number in 0..desk.lanes().len() {
            tokio::spawn(stop.clone().run_until_cancelled_owned(tell(Arc::clone(&desk), number)));
        }
        tokio::spawn(connection::accept(Arc::clone(&desk), reception, stop.clone()));
        drop(own);
        Ok((Self { desk, scout, runtime: Some(runtime), stop }, receivers))
    }

    pub(crate) fn hold(&self, partitions: BTreeSet<Partition>) {
        self.desk.hold(partitions);
    }

    pub(crate) fn progress(&self) -> Vec<Progress> {
        self.desk.progress()
    }

    pub(crate) fn marks(&self, offsets: &Offsets) -> Vec<Mark> {
        self.desk.marks().below(offsets)
    }

    pub(crate) fn cluster_id(&self, patience: Duration) -> Option<String> {
        self.scout.cluster_id(patience)
    }

    pub(crate) fn commit_for_monitoring(&self, offsets: &Offsets) -> Result<(), ReadError> {
        self.scout.commit_for_monitoring(offsets)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            // Somebody may be waiting for us who must not wait for a thread.
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("workers")
        .enable_all()
        .build()
}

/// Where workers come in.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("listening for workers on {address}: choose another `workers.listen`"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes up the partitions that are found, and what becomes of the brokers.
async fn follow_scout(desk: Arc<Desk>, scout: Arc<Scout>, mut found: Receiver<Event>) {
    let mut is_first = true;
    while let Some(event) = found.recv().await {
        let is_taken = match event {
            Event::Assigned(assignments) => {
                // Partitions are known, so the client knows its cluster, and nothing is waited for.
                let cluster = scout.cluster_id(Duration::ZERO);
                take_up(&desk, assignments, cluster.as_deref(), std::mem::take(&mut is_first)).await
            }
            // What is told of the brokers is told once, whatever is read of them.
            event => desk.lanes()[0].queue.send(event).await.is_ok(),
        };
        if !is_taken {
            return;
        }
    }
}

/// Each lane hears of its own partitions, at first also where there are none: nothing is taken before all lanes are
/// known.
async fn take_up(desk: &Desk, assignments: Vec<Assignment>, cluster: Option<&str>, is_first: bool) -> bool {
    let mut by_lane: BTreeMap<usize, Vec<Assignment>> = BTreeMap::new();
    if is_first {
        by_lane.extend((0..desk.lanes().len()).map(|lane| (lane, Vec::new())));
    }
    for assignment in assignments {
        if let Some(lane) = desk.lane_of(&assignment.partition) {
            by_lane.entry(lane).or_default().push(assignment);
        }
    }
    for (lane, own) in by_lane {
        if desk.lanes()[lane].queue.send(Event::Assigned(own.clone())).await.is_err() {
            return false;
        }
        desk.open(lane, own, cluster.map(str::to_owned), Instant::now());
    }
    true
}

async fn look_around(desk: Arc<Desk>, scout: Arc<Scout>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        desk.hush(SILENCE, Instant::now());
        let (unread, scout) = (desk.unread(), Arc::clone(&scout));
        if !unread.is_empty() {
            let asked = tokio::task::spawn_blocking(move || scout.ends(&unread)).await;
            // What could not be asked now is asked at the next look.
            desk.ends_at(&asked.unwrap_or_default());
        }
    }
}

/// Tells the engine which partitions of a lane are at their end, and which are behind.
async fn tell(desk: Arc<Desk>, lane: usize) {
    let queue: &Sender<Event> = &desk.lanes()[lane].queue;
    loop {
        desk.changed(lane).await;
        loop {
            let Ok(room) = queue.reserve().await else { return };
            if !desk.tell_change(lane, room) {
                break;
            }
        }
    }
}

/// What each topic's records are.
pub(crate) type Kinds = BTreeMap<Arc<str>, Topic>;
