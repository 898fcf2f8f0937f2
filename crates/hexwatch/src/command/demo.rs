//! `hexwatch demo`: everything in one process on an embedded broker.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hexwatch_contract::{Clock as _, SystemClock, Topic};
use hexwatch_ingest::embedded::EmbeddedBroker;
use hexwatch_ingest::{Outgoing, Publisher};
use hexwatch_server::{Accounts, Role};
use hexwatch_simulate::{Community, SimulateConfig, Simulation};
use tokio_util::sync::CancellationToken;
use toml::Value;

use super::{path, runtime, say, settings, stopped_by_signals};
use crate::cli::Demo;
use crate::config::Config;
use crate::pipeline::{self, Plan};
use crate::site;

/// How many devices the demo's community has.
const DEVICES: usize = 480;
/// How long the community has lived when the demo starts: enough for the first windows to be over, so that whoever
/// opens the wall sees it move at once.
const LIVED: Duration = Duration::from_secs(40);
/// Partitions of each topic of the embedded broker: enough to show that they are merged.
const PARTITIONS: i32 = 2;
/// How long the producer waits for the embedded broker before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(file: Option<&Path>, demo: &Demo) -> Result<()> {
    let folder = DataFolder::of(demo)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, demo.port));
    let flags = vec![
        ("history.data_dir", path(Some(&folder.path))),
        ("server.listen", Some(Value::String(address.to_string()))),
        // Topics that are silent in a small community would hold the first windows back, and somebody is watching.
        ("time.idle_timeout", Some(Value::String("1s".to_owned()))),
        // The embedded broker forgets what is old; what goes out would only crowd out what comes in.
        ("kafka.publish", Some(Value::Boolean(false))),
    ];
    let config = settings(file, flags)?;
    let community = Arc::new(Community::build(demo.seed, DEVICES));
    let files = community.site_files().into_iter().map(|file| (file.name.to_owned(), file.content));
    let site = site::parse(files)?;
    let devices = site.devices().len();
    runtime()?.block_on(async {
        let stop = stopped_by_signals()?;
        let broker = start_broker(&config)?;
        let plan = Plan {
            brokers: broker.brokers(),
            site,
            accounts: Accounts::new(Vec::new()).open_as(Role::Operator),
            mode: "demo",
            until_end: false,
            by_workers: false,
            // Its broker forgets everything when the demo ends.
            accept_gap: Some("demo".to_owned()),
            config,
        };
        let publisher = Publisher::new(&broker.brokers())?;
        let start = SystemClock.now() - LIVED;
        let simulation = Simulation::new(community, SimulateConfig::endless(demo.seed, start, demo.rate));
        let feed = start_feed(simulation, publisher, stop.clone())?;
        tell(address, devices);
        let ran = pipeline::run(plan, stop.clone()).await;
        stop.cancel();
        feed.join().map_err(|_| anyhow::anyhow!("the simulated community's thread panicked"))??;
        ran.map(|_| ())
    })
}

fn tell(address: SocketAddr, devices: usize) {
    say(&format!("hexwatch demo: a simulated community of {devices} devices"));
    say(&format!("  wall      http://{address}/wall"));
    say(&format!("  alarms    http://{address}/alarms"));
    say(&format!("  system    http://{address}/system"));
    say("Whoever is at this machine is an operator; nobody has to log in. End with Ctrl-C.");
}

fn start_broker(config: &Config) -> Result<EmbeddedBroker> {
    let broker = EmbeddedBroker::start()?;
    for topic in Topic::ALL {
        broker.create_topic(&format!("{}{topic}", config.kafka.input_prefix), PARTITIONS)?;
    }
    Ok(broker)
}

type Feed = std::thread::JoinHandle<Result<()>>;

/// Plays the community into the broker at the pace of the wall clock.
fn start_feed(simulation: Simulation, publisher: Publisher, stop: CancellationToken) -> Result<Feed> {
    std::thread::Builder::new()
        .name("community".to_owned())
        .spawn(move || feed(simulation, &publisher, &stop))
        .context("starting the simulated community")
}

fn feed(simulation: Simulation, publisher: &Publisher, stop: &CancellationToken) -> Result<()> {
    for record in simulation {
        let ahead = record.timestamp.since(SystemClock.now());
        if !ahead.is_zero() {
            std::thread::sleep(ahead);
        }
        if stop.is_cancelled() {
            break;
        }
        let outgoing = Outgoing {
            topic: record.topic.name(),
            key: Some(record.key.as_bytes()),
            value: Some(&record.value),
            timestamp: Some(record.timestamp),
            ..Outgoing::default()
        };
        publisher.send(&outgoing, PATIENCE)?;
    }
    Ok(())
}

/// Where the demo keeps its history: a named folder stays, one of its own goes with it.
struct DataFolder {
    path: PathBuf,
    is_own: bool,
}

impl DataFolder {
    fn of(demo: &Demo) -> Result<Self> {
        if let Some(path) = &demo.data_dir {
            return Ok(Self { path: path.clone(), is_own: false });
        }
        let path = std::env::temp_dir().join(format!("hexwatch-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path, is_own: true })
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.is_own {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
