//! `hexwatch run --role ingest`: reads Kafka and decodes, for the process that serves.
//!
//! A worker keeps nothing and decides nothing. The consumer group says which partitions are its own, the serving
//! process leases them to it and says where each begins, and takes each chunk or refuses it. Safety topics it reads
//! whole, as every worker does. It has a connection and a reader for each lane, and both go together: where a connection
//! is lost, what was read and not taken is forgotten, and read again by whoever has the next lease.

mod claims;
mod freeze;
mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use hexwatch_contract::site::Places;
use hexwatch_contract::{Clock, SystemClock};
use hexwatch_grid::Site;
use hexwatch_ingest::Brokers;
use hexwatch_ingest::membership::{self, Membership, Owned};
use hexwatch_ingest::reader::Settings;
use hexwatch_relay::{Hello, hello};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::freeze::Freeze;
use crate::config::Config;
use crate::pipeline::intake;
use crate::pipeline::reading::{self, Reading};

/// How long the serving process may take to answer, and how long a worker waits before it tries again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(300);
/// A connection that lasted this long was one; that it is gone is news.
const STEADY: Duration = Duration::from_secs(3);

/// One kind of topics, and all that a session about them needs.
struct Lane {
    /// Where the serving process is.
    address: String,
    hello: Hello,
    settings: Settings,
    /// What the group has given to this worker; `None` where all workers read everything.
    owned: Option<watch::Receiver<Owned>>,
    session_timeout: Duration,
    places: Arc<dyn Places>,
    clock: Arc<dyn Clock>,
    freeze: Arc<Freeze>,
}

/// Why a session has ended.
enum Ended {
    /// The connection is gone; there may be another.
    Lost(Error),
    /// Another would end in the same way.
    ForGood(Error),
}

/// Works until `stop`, or until going on is of no use.
pub(crate) async fn run(
    config: &Config,
    brokers: &Brokers,
    site: Site,
    stop: CancellationToken,
) -> Result<()> {
    if config.workers.name.is_empty() {
        bail!("working as nobody: give each worker a name of its own in `workers.name`");
    }
    let reading = Reading::of(config, brokers)?;
    // The membership lasts as long as the worker, whatever becomes of its connections.
    let (_membership, owned) = join(config, brokers, &reading)?.unzip();
    let fingerprint = reading::fingerprint(config, &site);
    let places: Arc<dyn Places> = Arc::new(site);
    let freeze = Arc::new(Freeze::new(config.debug.freeze_at));
    let mut lanes = JoinSet::new();
    for number in 0..reading.lanes.len() {
        let is_safety = number < reading.safety;
        let lane = Lane {
            address: config.workers.serve.clone(),
            hello: Hello {
                version: hello::VERSION,
                program: env!("CARGO_PKG_VERSION").to_owned(),
                worker: config.workers.name.clone(),
                lane: number,
                fingerprint: fingerprint.clone(),
                secret: config.workers.secret.clone(),
            },
            settings: Settings { by_grant: true, ..intake::of_lane(&reading.settings, is_safety) },
            owned: owned.clone().filter(|_| !is_safety),
            session_timeout: config.workers.session_timeout,
            places: Arc::clone(&places),
            clock: Arc::new(SystemClock),
            freeze: Arc::clone(&freeze),
        };
        lanes.spawn(stop.clone().run_until_cancelled_owned(lane.keep()));
    }
    while let Some(ended) = lanes.join_next().await {
        // A lane ends by itself only where going on is of no use.
        if let Some(error) = ended.context("the task of a lane failed")? {
            return Err(error);
        }
    }
    Ok(())
}

/// Joins the group that shares out what is no safety topic; `None` where there is nothing to share out.
fn join(
    config: &Config,
    brokers: &Brokers,
    reading: &Reading,
) -> Result<Option<(Membership, watch::Receiver<Owned>)>> {
    let shared_out = reading.lanes.iter().skip(reading.safety).flatten();
    let settings = membership::Settings {
        brokers: brokers.clone(),
        group: config.workers.group.clone(),
        name: config.workers.name.clone(),
        topics: shared_out.map(|source| Arc::clone(&source.name)).collect(),
        session_timeout: config.workers.session_timeout,
        discover_every: config.kafka.discover_every,
    };
    if settings.topics.is_empty() { Ok(None) } else { Ok(Some(Membership::join(&settings)?)) }
}

impl Lane {
    /// Keeps a connection to the serving process, whenever that is there. Gives why that is of no use any more.
    async fn keep(mut self) -> Error {
        let mut is_missed = false;
        loop {
            let ended = match self.connect().await {
                Ok(stream) => {
                    let began = Instant::now();
                    let ended = session::run(&mut self, stream).await;
                    is_missed &= began.elapsed() < STEADY;
                    ended
                }
                Err(error) => Ended::Lost(error),
            };
            match ended {
                Ended::ForGood(error) => return error,
                // Told once, however long it takes.
                Ended::Lost(error) if !is_missed => {
                    let lane = self.hello.lane;
                    tracing::warn!(lane, "the serving process is away: {error:#}; trying again");
                    is_missed = true;
                }
                Ended::Lost(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let connecting = tokio::time::timeout(ANSWERED_WITHIN, TcpStream::connect(&self.address));
        let stream = connecting.await.map_err(|_| anyhow!("it does not answer")).and_then(|done| Ok(done?));
        let stream = stream.with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
