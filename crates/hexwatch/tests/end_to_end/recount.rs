//! The recount of what was produced, by other code in another language.

use std::process::Command;
use std::time::Duration;

use crate::process::{fail, path, succeed};
use crate::python::python;
use crate::stand::{Stand, beside, site_beside};

/// The heat job as a table, beside the built-in one that goes to a topic.
const CELLS: &str = include_str!("../../../../queries/views/heat_10s.sql");

/// Writes the folder `queries` with the view that is counted again, beside the built-in ones.
pub(crate) fn write_queries(stand: &Stand) {
    let queries = stand.file("queries");
    std::fs::create_dir(&queries).unwrap();
    let as_a_table = CELLS.replace("-- output: topic\n", "");
    assert_ne!(as_a_table, CELLS, "the view goes to a topic");
    std::fs::write(queries.join("cells_10s.sql"), as_a_table).unwrap();
}

/// Fails where the history or the output topics differ from what the input topics amount to.
#[allow(clippy::print_stderr, reason = "what was compared is for whoever runs the test")]
pub(crate) fn compare(stand: &Stand, horizon: Duration) {
    eprintln!("{}", succeed(&mut command(stand, horizon)));
}

/// Fails where the recount would not notice that other records are too late by `horizon`.
pub(crate) fn differs(stand: &Stand, horizon: Duration) {
    fail(&mut command(stand, horizon));
}

fn command(stand: &Stand, horizon: Duration) -> Command {
    let events = stand.file("events.ndjson");
    let output_prefix = format!("{}out.", stand.prefix());
    let mut command = python("recount");
    command.args(["--brokers", stand.brokers(), "--input-prefix", stand.prefix()]);
    command.args(["--output-prefix", &output_prefix, "--horizon", &horizon.as_secs().to_string()]);
    command.args(["--data", path(&stand.data()), "--site", path(&site_beside(&events))]);
    command.args(["--truth", path(&beside(&events, ".truth.csv"))]);
    command
}
