//! The desk: the one place where alarms change. A change is in the alarm log, synced, before anybody hears of it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use hexwatch_alarm::{Action, ActionError, Book, Locate, Settings};
use hexwatch_contract::alarm::{Alarm, AlarmId, RuleHit, State};
use hexwatch_contract::{Clock, EventBatch};
use hexwatch_history::AlarmLog;
use hexwatch_server::Live;
use tokio::sync::oneshot;

use super::device_states::device_states;
use super::outlet::Outlet;

/// How many changes are read from the log at once when the book is rebuilt.
const READ_AT_ONCE: usize = 10_000;

/// What a person asks of the desk, with where the answer goes.
pub(crate) struct Request {
    pub(crate) alarm: AlarmId,
    pub(crate) action: Action,
    pub(crate) actor: String,
    pub(crate) answer: oneshot::Sender<Result<Alarm, ActionError>>,
}

/// Book, log and everybody who has to hear.
pub(crate) struct Desk {
    book: Book,
    log: Arc<AlarmLog>,
    live: Live,
    outlet: Outlet,
    clock: Arc<dyn Clock>,
    raised: u64,
}

impl Desk {
    /// The desk as its log left it.
    pub(crate) fn open(
        settings: Settings,
        locate: impl Locate + 'static,
        log: Arc<AlarmLog>,
        live: Live,
        outlet: Outlet,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let changes = read_all(&log)?;
        let book = Book::replay(settings, locate, &changes).context("reading the alarm log")?;
        let standing = book.alarms().filter(|alarm| alarm.state != State::Normal).cloned().collect();
        live.restore_alarms(log.last_seqs(), standing);
        Ok(Self { book, log, live, outlet, clock, raised: 0 })
    }

    /// Notes what devices say of themselves, before the hits of the same step are judged.
    pub(crate) fn note_devices(&mut self, admitted: &[EventBatch]) {
        for (device, state, at) in admitted.iter().flat_map(device_states) {
            self.book.device_state(device, state, at);
        }
    }

    /// Takes in what the rules found in one step, and what of their earlier findings no longer holds.
    pub(crate) fn take(&mut self, hits: &[RuleHit], withdrawn: &[RuleHit]) -> Result<()> {
        let now = self.clock.now();
        // In this order: a finding that a late record moved is taken back and given again in the same step.
        let mut changes = self.book.withdraw_hits(withdrawn, now);
        changes.extend(self.book.apply_hits(hits, now));
        self.publish(changes)
    }

    /// Does what a person asks, and answers once it is in the log.
    pub(crate) fn act(&mut self, request: Request) -> Result<()> {
        let now = self.clock.now();
        let done = self.book.act(&request.alarm, &request.action, &request.actor, now);
        if let Ok(change) = &done {
            self.publish(vec![change.clone()])?;
        }
        // Whoever asked may have gone; the change stands either way.
        let _ = request.answer.send(done);
        Ok(())
    }

    /// Brings back what was shelved until now.
    pub(crate) fn tick(&mut self) -> Result<()> {
        let changes = self.book.tick(self.clock.now());
        self.publish(changes)
    }

    /// How many changes this process has made.
    pub(crate) fn changes(&self) -> u64 {
        self.raised
    }

    fn publish(&mut self, changes: Vec<Alarm>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.log.append(&changes).context("writing the alarm log: free the disk, then start again")?;
        self.raised += changes.len() as u64;
        for change in changes {
            self.outlet.alarm(&change);
            self.live.alarm(change);
        }
        Ok(())
    }
}

/// Every change in the log, site by site in the order of `seq`.
fn read_all(log: &AlarmLog) -> Result<Vec<Alarm>> {
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
