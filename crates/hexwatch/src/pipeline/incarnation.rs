//! Which cluster and which topics the offsets of a commit belong to, kept beside the engine's state.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use hexwatch_contract::Partition;
use hexwatch_history::Resume;
use hexwatch_ingest::reader::Mark;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The member of a commit's state that holds it.
const MEMBER: &str = "kafka";

/// What offsets belong to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Incarnation {
    /// The cluster's id, where it gives one.
    pub(crate) cluster: Option<String>,
    /// For each partition a record that was read.
    pub(crate) marks: Vec<Mark>,
}

impl Incarnation {
    /// What the last commit says; nothing where there was none, or it was one of a version that did not keep this.
    pub(crate) fn left_by(resume: &Resume) -> Result<Self> {
        resume.state.get(MEMBER).map_or_else(
            || Ok(Self::default()),
            |kept| serde_json::from_value(kept.clone()).context("reading which topics the checkpoint is of"),
        )
    }

    /// Leaves it in the state of a commit.
    pub(crate) fn leave_in(&self, state: &mut Value) -> Result<()> {
        if let Value::Object(state) = state {
            let kept = serde_json::to_value(self).context("writing which topics the checkpoint is of")?;
            state.insert(MEMBER.to_owned(), kept);
        }
        Ok(())
    }

    /// The marks by partition.
    pub(crate) fn marks_by_partition(&self) -> BTreeMap<Partition, Mark> {
        self.marks.iter().map(|mark| (mark.partition.clone(), mark.clone())).collect()
    }
}
