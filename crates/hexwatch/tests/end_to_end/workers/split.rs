//! The processes: one that serves, and workers.

use std::process::Command;

use super::{PATIENCE, WATERMARK_AGE};
use crate::kafka::free_port;
use crate::process::{Running, path};
use crate::stand::{Stand, site_beside};

/// The process that serves.
pub(super) struct Serving {
    running: Running,
    command: Command,
    address: String,
}

fn run(stand: &Stand, role: &str) -> Command {
    let mut command = stand.command_on_kafka(&["run", "--role", role]);
    let events = stand.file("events.ndjson");
    if events.exists() {
        command.args(["--site", path(&site_beside(&events))]);
    }
    command
}

/// `hexwatch run --role serve`.
pub(super) fn serving(stand: &Stand) -> Command {
    let mut command = run(stand, "serve");
    command.args(["--data-dir", path(&stand.data())]);
    command
}

/// `hexwatch run --role ingest`, stopped before its Nth chunk of what the group has given it.
pub(super) fn worker(stand: &Stand, name: &str, freeze_at: u64) -> Command {
    let mut command = run(stand, "ingest");
    command.env("HEXWATCH__WORKERS__NAME", name);
    command.env("HEXWATCH__DEBUG__FREEZE_AT", freeze_at.to_string());
    command
}

impl Serving {
    pub(super) fn start(stand: &Stand) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = serving(stand);
        command.args(["--listen", &address]);
        if stand.file("queries").exists() {
            command.args(["--queries", path(&stand.file("queries"))]);
        }
        Self { running: Running::start(&mut command, &address), command, address }
    }

    /// Kills it and starts it again, while workers go on looking for it.
    pub(super) fn kill_and_start_again(&mut self) {
        self.running.kill();
        self.running = Running::start(&mut self.command, &self.address);
    }

    fn wait_for(&mut self, what: &str, holds: impl FnMut(&Running) -> bool) {
        self.running.wait_for(what, PATIENCE, holds);
    }

    /// Waits until every partition has a worker.
    pub(super) fn wait_until_all_is_read(&mut self) {
        self.wait_for("a worker for each partition", |running| {
            running.metric("hexwatch_worker_connections ") > 0
                && running.metric("hexwatch_partitions_unread ") == 0
        });
    }

    /// How many leases of what the group shares out `worker` has been given.
    pub(super) fn leases_of(&self, worker: &str) -> usize {
        leases_in(&self.running.said(), worker)
    }

    /// Waits until `worker` has more of them than `had`.
    pub(super) fn wait_for_lease_of(&mut self, worker: &str, had: usize) {
        let what = format!("a lease for {worker}");
        self.running.wait_for_words(&what, PATIENCE, |said| leases_in(said, worker) > had);
    }

    /// How often another has got what `worker` read.
    pub(super) fn fences_of(&self, worker: &str) -> usize {
        fences_in(&self.running.said(), worker)
    }

    /// Waits until that was more often than `had`.
    pub(super) fn wait_for_fence_of(&mut self, worker: &str, had: usize) {
        let what = format!("somebody in the place of {worker}");
        self.running.wait_for_words(&what, PATIENCE, |said| fences_in(said, worker) > had);
    }

    /// How many chunks of leases that count no more were refused.
    pub(super) fn refused(&self) -> u64 {
        refused_by(&self.running)
    }

    pub(super) fn wait_until_refused(&mut self, chunks: u64) {
        self.wait_for("a chunk to be refused", |running| refused_by(running) >= chunks);
    }

    /// Waits until the watermark is where it is when nobody holds it back: a partition that changed hands counts again.
    pub(super) fn wait_until_windows_close(&mut self) {
        self.wait_for("the watermark to follow the clock", |running| {
            running.metric("hexwatch_watermark_age_seconds ") < WATERMARK_AGE.as_secs()
        });
    }

    /// Waits until no record waits to be read.
    pub(super) fn wait_until_nothing_waits(&mut self) {
        self.wait_for("all records to be read", |running| running.metric("hexwatch_consumer_lag{") == 0);
    }

    pub(super) fn stop(&mut self) {
        self.running.stop();
    }
}

fn refused_by(running: &Running) -> u64 {
    running.metric("hexwatch_worker_chunks_total{outcome=\"fenced\"}")
}

/// What was said of `worker` with the words `what`.
fn lines<'a>(said: &'a str, what: &'a str, worker: &'a str) -> impl Iterator<Item = &'a str> {
    said.lines().filter(move |line| line.contains(what) && line.contains(worker))
}

fn fences_in(said: &str, worker: &str) -> usize {
    lines(said, "another worker reads a partition now", worker).count()
}

fn leases_in(said: &str, worker: &str) -> usize {
    let is_safety = |line: &&str| line.contains("workers.panic-") || line.contains("workers.iot-");
    lines(said, "a partition was leased", worker).filter(|line| !is_safety(line)).count()
}

/// A worker.
pub(super) struct Worker {
    running: Running,
}

impl Worker {
    pub(super) fn start(stand: &Stand, name: &str, freeze_at: u64) -> Self {
        Self { running: Running::spawn(&mut worker(stand, name, freeze_at), "") }
    }

    /// Ends it as a supervisor does.
    pub(super) fn leave(&mut self) {
        self.running.stop();
    }

    pub(super) fn kill(&mut self) {
        self.running.kill();
    }

    pub(super) fn wait_until_it_is_stopped(&mut self) {
        self.running.wait_for("the worker to stop itself", PATIENCE, Running::is_stopped);
    }

    pub(super) fn wake(&self) {
        self.running.signal("CONT");
    }
}
