//! What each command does.

mod bare_consumer;
mod check;
mod demo;
mod replay;
mod run;
mod simulate;
mod sql;
mod topics;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hexwatch_ingest::Brokers;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use toml::Value;

use crate::cli::{Arguments, Command};
use crate::config::Config;

/// How long a broker may take to answer a question about topics.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let file = arguments.config.as_deref();
    match arguments.command {
        Command::Demo(demo) => demo::run(file, &demo),
        Command::Run(run) => run::run(file, &run),
        Command::Simulate(simulate) => simulate::run(file, &simulate),
        Command::Replay(replay) => replay::run(file, &replay),
        Command::Sql(sql) => sql::run(file, &sql),
        Command::Check(check) => check::run(file, &check),
        Command::Topics(topics) => topics::run(file, &topics),
        Command::BareConsumer(bare) => bare_consumer::run(&bare),
    }
}

/// The settings with the command's flags on top.
fn settings(file: Option<&Path>, flags: Vec<(&str, Option<Value>)>) -> Result<Config> {
    let given = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    Config::load(file, std::env::vars(), given)
}

/// A path as a setting.
fn path(path: Option<&Path>) -> Option<Value> {
    path.map(|path| Value::String(path.display().to_string()))
}

/// A text as a setting.
fn text(text: Option<&str>) -> Option<Value> {
    text.map(|text| Value::String(text.to_owned()))
}

/// The brokers at `address`, with the settings' librdkafka properties.
fn brokers(config: &Config, address: &str) -> Result<Brokers> {
    Ok(Brokers::at(address).with_properties(config.kafka.properties.clone())?)
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")
}

/// A token that is cancelled when somebody ends the process: Ctrl-C, or the signal a supervisor sends.
fn stopped_by_signals() -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("ending: the last rows are being committed");
        token.cancel();
    });
    Ok(stop)
}

/// Says one line on standard output: what the user asked for.
#[allow(clippy::print_stdout, reason = "standard output is what the command is for")]
fn say(line: &str) {
    println!("{line}");
}
