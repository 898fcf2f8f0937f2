//! What people ask of alarms, and the alarm log as a start reads it.

use anyhow::{Context as _, Result};
use hexwatch_alarm::{Action, ActionError};
use hexwatch_contract::alarm::{Alarm, AlarmId};
use hexwatch_history::AlarmLog;
use tokio::sync::oneshot;

/// How many changes are read from the log at once when the book is rebuilt.
const READ_AT_ONCE: usize = 10_000;

/// What a person asks, with where the answer goes.
pub(crate) struct Request {
    pub(crate) alarm: AlarmId,
    pub(crate) action: Action,
    pub(crate) actor: String,
    pub(crate) answer: oneshot::Sender<Result<Alarm, ActionError>>,
}

/// Every change in the log, site by site in the order of `seq`.
pub(crate) fn read_all(log: &AlarmLog) -> Result<Vec<Alarm>> {
    let mut changes = Vec::new();
    for site in log.last_seqs().keys() {
        let mut after = 0;
        loop {
            let some = log.read_after(site, after, READ_AT_ONCE).context("reading the alarm log")?;
            let Some(last) = some.last() else { break };
            after = last.seq;
            changes.extend(some);
        }
    }
    Ok(changes)
}
