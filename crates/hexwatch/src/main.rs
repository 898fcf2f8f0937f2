//! The binary: commands, settings, and `pipeline`, the one place that sees all stages.

mod cli;
mod command;
mod config;
mod pipeline;
mod queries;
mod site;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

/// Millions of short-lived rows a second: the system allocator costs a measurable share of that path.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    telemetry::start(arguments.verbose);
    match command::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says one line to the person at the terminal.
#[allow(clippy::print_stderr, reason = "the terminal is the outlet here")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}
