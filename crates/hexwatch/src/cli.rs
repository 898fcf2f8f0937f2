//! What one can say on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Real-time community safety: events in, risk by cell and alarms out.
#[derive(Parser, Debug)]
#[command(name = "hexwatch", version, about, propagate_version = true)]
pub(crate) struct Arguments {
    /// Settings; without it `hexwatch.toml` in the current folder, where there is one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Log what each stage does.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Everything in one process: a simulated community, an embedded broker, the engine, the console.
    #[command(after_help = "Example: hexwatch demo --port 8080 --rate 200")]
    Demo(Demo),
    /// The engine and the server on your Kafka.
    #[command(after_help = "Example: hexwatch run --brokers localhost:9092 --site site/ --data-dir data/")]
    Run(Run),
    /// Write a reproducible community's events, and the truth about them beside.
    #[command(
        after_help = "Example: hexwatch simulate --seed 7 --rate 100 --duration 10m --out events.ndjson\n\
                      writes events.ndjson, events.ndjson.truth.csv and the folder events.ndjson.site"
    )]
    Simulate(Simulate),
    /// Send recorded events to Kafka, their timestamps kept.
    #[command(
        after_help = "Example: hexwatch replay --file events.ndjson.zst --brokers localhost:9092 --speed 60"
    )]
    Replay(Replay),
    /// Ask the history.
    #[command(
        after_help = "Example: hexwatch sql \"SELECT rule, count(*) FROM alarms GROUP BY rule\" --data-dir data/"
    )]
    Sql(Sql),
    /// Check the settings, the site folder and every query file; print what is wrong, or the settings.
    #[command(after_help = "Example: hexwatch check --site site/ --queries queries/")]
    Check(Check),
    /// Make the topics that hexwatch reads and writes.
    #[command(after_help = "Example: hexwatch topics create --brokers localhost:9092 --partitions 6")]
    Topics(Topics),
    /// Read the topics as fast as librdkafka can and count; what `make bench` holds the engine against.
    #[command(hide = true)]
    BareConsumer(BareConsumer),
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// The port of the console on 127.0.0.1.
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// Events per second.
    #[arg(long, default_value_t = 100.0)]
    pub(crate) rate: f64,
    /// Which community, and which events.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where to keep the history; without it, in a folder that goes when the demo ends.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Kafka's bootstrap servers: host:port,host:port.
    #[arg(long)]
    pub(crate) brokers: Option<String>,
    /// A site folder: sites, zones, grids, devices.
    #[arg(long, value_name = "DIR")]
    pub(crate) site: Option<PathBuf>,
    /// A folder of SQL files that run beside the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub(crate) queries: Option<PathBuf>,
    /// Where the alarm log and the tables are kept.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the server listens.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// What this process does. `serve` alone takes what workers bring; `ingest` alone is a worker (see `[workers]` of the
    /// settings).
    #[arg(long, value_delimiter = ',', default_value = "ingest,serve")]
    pub(crate) role: Vec<Role>,
    /// Take the time from the records' Kafka timestamps: for recordings.
    #[arg(long)]
    pub(crate) event_clock: bool,
    /// Read to the ends the topics have at the start, close all windows, commit, account, and end.
    #[arg(long)]
    pub(crate) until_end: bool,
    /// Go on without records that cannot be read any more, because their topic was made anew or they were kept too
    /// short; what is missing is noted in the table `gaps`.
    #[arg(long)]
    pub(crate) accept_gap: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Reads Kafka and decodes.
    Ingest,
    /// Runs the engine, owns alarm log and history, and serves people.
    Serve,
}

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Which community, and which events.
    #[arg(long)]
    pub(crate) seed: u64,
    /// Events per second.
    #[arg(long)]
    pub(crate) rate: f64,
    #[command(flatten)]
    pub(crate) extent: Extent,
    /// Which situations and faults: `default`, `quiet`, `storm`, `heat`, or one rule such as `r06`.
    #[arg(long, default_value = "default")]
    pub(crate) scenario: String,
    /// When it begins; now, where it goes to Kafka, else 2026-01-05T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) start: Option<String>,
    /// How many devices.
    #[arg(long, default_value_t = 480)]
    pub(crate) devices: usize,
    #[command(flatten)]
    pub(crate) destination: Destination,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Extent {
    /// How many events.
    #[arg(long)]
    pub(crate) events: Option<u64>,
    /// How long, such as 10m.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Destination {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    pub(crate) brokers: Option<String>,
    /// A file of one record a line, as `replay` reads it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// Lines of {"topic","key","timestamp","value"}; .zst too.
    #[arg(long)]
    pub(crate) file: PathBuf,
    /// Kafka's bootstrap servers.
    #[arg(long)]
    pub(crate) brokers: String,
    /// How many times faster than it happened.
    #[arg(long, conflicts_with = "as_fast_as_possible", default_value_t = 1.0)]
    pub(crate) speed: f64,
    /// Do not wait between records.
    #[arg(long)]
    pub(crate) as_fast_as_possible: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Sql {
    /// The query.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) query: Option<String>,
    /// A file with the query: one of queries/, or your own.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// How to print the rows.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// The history's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A site folder, for the tables devices, zones, grids.
    #[arg(long, value_name = "DIR")]
    pub(crate) site: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Table,
    Csv,
    Json,
    Arrow,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// A site folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) site: Option<PathBuf>,
    /// A folder of SQL files.
    #[arg(long, value_name = "DIR")]
    pub(crate) queries: Option<PathBuf>,
    /// Print the commented defaults and end.
    #[arg(long)]
    pub(crate) defaults: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Topics {
    #[command(subcommand)]
    pub(crate) action: TopicsAction,
}

#[derive(Subcommand, Debug)]
pub(crate) enum TopicsAction {
    /// Make those that are missing; leave the others as they are.
    Create {
        /// Kafka's bootstrap servers.
        #[arg(long)]
        brokers: String,
        /// Partitions of each input topic.
        #[arg(long, default_value_t = 3)]
        partitions: i32,
        /// Copies of each partition.
        #[arg(long, default_value_t = 1)]
        replication: i32,
        /// How long the input topics keep records, such as 30d; for ever without it, as recordings need it.
        #[arg(long, value_parser = humantime::parse_duration)]
        retention: Option<Duration>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct BareConsumer {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    pub(crate) brokers: String,
    /// Which topics.
    #[arg(long, value_delimiter = ',')]
    pub(crate) topics: Vec<String>,
}
