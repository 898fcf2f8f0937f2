//! What a start needs beside the records, as a commit of the history keeps it.

use std::collections::BTreeMap;

use hexwatch_alarm::DeviceStates;
use hexwatch_contract::alarm::AlarmId;
use hexwatch_stream::Checkpoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::unconfirmed::Keys;
use super::unsure::Doubt;

/// Written with each commit, in JSON.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct State {
    /// Where the engine takes up.
    #[serde(flatten)]
    pub engine: Checkpoint,
    /// What devices had said of themselves: longer ago, perhaps, than records are read again.
    #[serde(default)]
    pub devices: DeviceStates,
    /// For each site the last change that Kafka has for certain. A version that did not keep it counts as having told
    /// everything.
    #[serde(default)]
    pub told: Option<BTreeMap<String, u64>>,
    /// Alarms that were told before a restart and that the rules have not found again since as they were told.
    #[serde(default)]
    pub unsure: BTreeMap<AlarmId, Doubt>,
    /// Rows that views told Kafka of in this generation and later are not covered.
    #[serde(default)]
    pub generation: u64,
    /// Rows that were told before a restart and not again since: for each view their keys, with their result times in
    /// epoch milliseconds.
    #[serde(default)]
    pub(super) unconfirmed: Keys,
    /// Whether records are lost behind this commit, and somebody has accepted that: what they gave rise to cannot be
    /// found again.
    #[serde(default)]
    pub has_gap: bool,
}

impl State {
    /// From the state of the last commit; `None` before there was one.
    ///
    /// # Errors
    /// Where it is not one of ours.
    pub fn read(number: i64, state: &Value) -> serde_json::Result<Option<Self>> {
        if number == 0 || state.is_null() { Ok(None) } else { Self::deserialize(state).map(Some) }
    }

    /// Whether Kafka has change `seq` of `site`.
    pub(super) fn has_told(&self, site: &str, seq: u64) -> bool {
        self.told.as_ref().is_none_or(|told| told.get(site).is_some_and(|last| seq <= *last))
    }
}
