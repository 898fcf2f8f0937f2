//! What the machine wants done.

use std::sync::Arc;

use hexwatch_alarm::ActionError;
use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::risk::CellRisk;
use hexwatch_contract::{Account, DeadLetter, EventTime, Topic};
use hexwatch_history::Told;
use hexwatch_stream::ViewRows;

/// What is to be done, in the order in which it is given.
#[derive(Debug)]
pub enum Effect {
    /// Append these changes to the alarm log and sync it. Nothing that follows may happen before.
    Log(Vec<Alarm>),
    /// Tell everybody of a change.
    Tell(Box<Alarm>),
    /// Write a change to Kafka once more: nobody knows whether it got there before the restart.
    Republish(Box<Alarm>),
    /// Answer the person who asked.
    Answer(Box<Result<Alarm, ActionError>>),
    /// Count and publish refused records.
    Refuse(Vec<Arc<DeadLetter>>),
    /// Count records.
    Account(Topic, Account),
    /// Note on the disk, in this generation, and sync, which rows are published next: they may have to be taken back. Nothing
    /// that follows may happen before.
    Note(u64, Told),
    /// Publish rows of a view.
    Publish(ViewRows),
    /// Take rows of this view back, by their keys: they were told before a restart, and do not hold.
    Withdraw(Arc<str>, Vec<String>),
    /// Say how far event time has come.
    Watermark(EventTime),
    /// Publish and show the risk of cells, complete up to the watermark.
    Risks(EventTime, Vec<CellRisk>),
}

/// The log first, then everybody who has to hear.
pub(super) fn tell(changes: Vec<Alarm>) -> Vec<Effect> {
    if changes.is_empty() {
        return Vec::new();
    }
    let heard = changes.clone().into_iter().map(|change| Effect::Tell(Box::new(change)));
    std::iter::once(Effect::Log(changes)).chain(heard).collect()
}
