//! The binary: commands, settings, and `pipeline`, the one place that sees all stages.

mod cli;
mod command;
mod config;
mod crash_point;
mod pipeline;
mod queries;
mod site;
mod telemetry;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

/// Rows are made on one thread and freed on another, a gigabyte in some seconds, and librdkafka's messages likewise: of
/// the allocators that were measured (`benches/README.md`) this one costs the path least.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    telemetry::start(arguments.verbose);
    match command::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {}", with_causes(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, each said once: some errors quote their cause themselves.
fn with_causes(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
}

/// Says one line to the person at the terminal.
#[allow(clippy::print_stderr, reason = "the terminal is the outlet here")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}
