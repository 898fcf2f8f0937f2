//! `hexwatch simulate`: a reproducible community's events into a file or into Kafka, and the truth beside.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hexwatch_contract::{Clock as _, EventTime, SystemClock};
use hexwatch_ingest::{Outgoing, Publisher};
use hexwatch_simulate::{Community, Extent, Faults, Record, SimulateConfig, Simulation, TRUTH_HEADER};

use super::{brokers, settings};
use crate::cli::Simulate;
use crate::tell;

/// When a simulation into a file begins, so that the same seed gives the same bytes on any day.
const FILE_START: &str = "2026-01-05T00:00:00Z";
/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 100_000;
/// How long the broker may keep a record waiting.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn run(file: Option<&Path>, simulate: &Simulate) -> Result<()> {
    let community = Community::build(simulate.seed, simulate.devices);
    let config = SimulateConfig {
        seed: simulate.seed,
        start: start(simulate)?,
        rate: simulate.rate,
        extent: extent(simulate)?,
        scenario: simulate.scenario.parse()?,
        faults: Faults::default(),
    };
    let beside = simulate
        .destination
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("simulation-{}", simulate.seed)));
    write_site(&community, &with_suffix(&beside, ".site"))?;
    let simulation = Simulation::new(community, config);
    match (&simulate.destination.out, &simulate.destination.brokers) {
        (Some(out), _) => play(simulation, &beside, &mut ToFile::create(out)?),
        (None, Some(address)) => {
            let settings = settings(file, Vec::new())?;
            let publisher = Publisher::new(&brokers(&settings, address)?)?;
            let prefix = settings.kafka.input_prefix;
            play(simulation, &beside, &mut ToKafka { publisher, prefix, pace: SystemClock.now() })
        }
        (None, None) => bail!("say where the events go: --out FILE or --brokers HOST:PORT"),
    }
}

fn start(simulate: &Simulate) -> Result<EventTime> {
    let text = match (&simulate.start, &simulate.destination.out) {
        (Some(text), _) => text.as_str(),
        (None, Some(_)) => FILE_START,
        (None, None) => return Ok(SystemClock.now()),
    };
    EventTime::parse_rfc3339(text)
        .with_context(|| format!("--start {text} is no RFC 3339 time; write such as {FILE_START}"))
}

fn extent(simulate: &Simulate) -> Result<Extent> {
    match (simulate.extent.events, simulate.extent.duration) {
        (Some(events), _) => Ok(Extent::Events(events)),
        (None, Some(duration)) => Ok(Extent::Duration(duration)),
        (None, None) => bail!("say how much: --events N or --duration 10m"),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn write_site(community: &Community, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for file in community.site_files() {
        let path = folder.join(file.name);
        std::fs::write(&path, file.content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Where records go.
trait Sink {
    fn take(&mut self, record: &Record) -> Result<()>;
    fn close(&mut self) -> Result<()>;
}

/// Plays to the end, and writes the truth about it as it goes.
fn play(mut simulation: Simulation, beside: &Path, sink: &mut dyn Sink) -> Result<()> {
    let truth_path = with_suffix(beside, ".truth.csv");
    let failed = || format!("writing {}", truth_path.display());
    let mut truth = BufWriter::new(File::create(&truth_path).with_context(failed)?);
    writeln!(truth, "{TRUTH_HEADER}").with_context(failed)?;
    let shows = std::io::stderr().is_terminal();
    let mut count = 0_u64;
    while let Some(record) = simulation.next() {
        sink.take(&record)?;
        count += 1;
        if shows && count.is_multiple_of(PROGRESS_EVERY) {
            tell(&format!("{count} records, at {}", record.timestamp));
        }
        for row in simulation.take_truth() {
            row.write_row(&mut truth).with_context(failed)?;
        }
    }
    for row in simulation.take_truth() {
        row.write_row(&mut truth).with_context(failed)?;
    }
    truth.flush().with_context(failed)?;
    sink.close()
}

/// A file of one record a line.
struct ToFile {
    path: PathBuf,
    file: BufWriter<File>,
    line: Vec<u8>,
}

impl ToFile {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(1 << 20, file), line: Vec::new() })
    }
}

impl Sink for ToFile {
    fn take(&mut self, record: &Record) -> Result<()> {
        self.line.clear();
        record.write_line(&mut self.line);
        self.file.write_all(&self.line).with_context(|| format!("writing {}", self.path.display()))
    }

    fn close(&mut self) -> Result<()> {
        self.file.flush().with_context(|| format!("writing {}", self.path.display()))
    }
}

/// Kafka, at the pace of the wall clock where the records lie ahead of it.
struct ToKafka {
    publisher: Publisher,
    prefix: String,
    pace: EventTime,
}

impl Sink for ToKafka {
    fn take(&mut self, record: &Record) -> Result<()> {
        if record.timestamp > self.pace {
            let now = SystemClock.now();
            std::thread::sleep(record.timestamp.since(now));
            self.pace = now.max(record.timestamp);
        }
        let topic = format!("{}{}", self.prefix, record.topic);
        let outgoing = Outgoing {
            topic: &topic,
            key: Some(record.key.as_bytes()),
            value: Some(&record.value),
            timestamp: Some(record.timestamp),
            ..Outgoing::default()
        };
        Ok(self.publisher.send(&outgoing, PATIENCE)?)
    }

    fn close(&mut self) -> Result<()> {
        Ok(self.publisher.flush(PATIENCE)?)
    }
}
