//! Logs: to standard error, at `info`, or as `HEXWATCH_LOG` says.

use tracing_subscriber::EnvFilter;

/// Starts logging; `verbose` shows what each stage does.
pub(crate) fn start(verbose: bool) {
    let default = if verbose { "info,hexwatch=debug" } else { "warn,hexwatch=info" };
    let filter = EnvFilter::try_from_env("HEXWATCH_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let outlet =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start (in a test) keeps the first outlet.
    let _ = outlet.try_init();
}
