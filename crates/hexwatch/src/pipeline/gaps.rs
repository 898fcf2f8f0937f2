//! Going on behind records that cannot be read any more, because somebody has said so.

use std::time::Duration;

use anyhow::{Context as _, Result};
use hexwatch::machine::State;
use hexwatch_contract::catalog::gap_batch;
use hexwatch_contract::gap::Gap;
use hexwatch_contract::{EventTime, Partition};
use hexwatch_history::{Commit, Resume, TableName, Writer};
use hexwatch_ingest::Brokers;
use hexwatch_ingest::reader::{self, Positions, Survey};

use super::incarnation::Incarnation;
use super::state_of;

/// How long the brokers may take to say what they have.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the brokers what they still have of the last commit's positions, and commits the gaps as `by` accepts them.
pub(crate) async fn accept(writer: &mut Writer, brokers: &Brokers, by: &str, now: EventTime) -> Result<()> {
    let resume = writer.resume();
    let Some(state) = state_of(&resume)? else { return Ok(()) };
    let known = Incarnation::left_by(&resume)?;
    let positions = Positions {
        next: resume.offsets.clone(),
        replay_from: state.engine.replay_from(),
        marks: known.marks.clone(),
    };
    let survey = tokio::task::block_in_place(|| reader::survey(brokers, &positions, PATIENCE))?;
    if survey.gaps.is_empty() && survey.cluster == known.cluster {
        return Ok(());
    }
    let partitions: Vec<Partition> = survey.gaps.iter().map(|gap| gap.partition.clone()).collect();
    let commit = commit(&resume, state, known, &survey, by, now)?;
    writer.accept_gaps(&partitions, &commit).await.context("writing the accepted gaps")?;
    for gap in survey.gaps {
        let reason = gap.loss.name();
        tracing::warn!(partition = %gap.partition, from = gap.from, to = gap.to, reason, by, "a gap was accepted");
    }
    Ok(())
}

/// The last commit once more, with the gaps and without what they make meaningless.
fn commit(
    resume: &Resume,
    mut state: State,
    mut known: Incarnation,
    survey: &Survey,
    by: &str,
    now: EventTime,
) -> Result<Commit> {
    let accepted = survey.gaps.iter().map(|gap| Gap {
        partition: gap.partition.clone(),
        from_offset: gap.from,
        to_offset: gap.to,
        reason: gap.loss.name(),
        accepted_at: now,
        accepted_by: by.to_owned(),
    });
    let accepted: Vec<Gap> = accepted.collect();
    let mut offsets = resume.offsets.clone();
    let mut watermarks = resume.watermarks.clone();
    for gap in &survey.gaps {
        let Some(next) = gap.next(resume.offsets.get(&gap.partition).copied()) else {
            offsets.remove(&gap.partition);
            watermarks.remove(&gap.partition);
            state.engine.partitions.retain(|place| place.partition != gap.partition);
            continue;
        };
        offsets.insert(gap.partition.clone(), next);
        for place in state.engine.partitions.iter_mut().filter(|place| place.partition == gap.partition) {
            // What was open counts without the records that cannot be read again; what is too late stays too late.
            place.replay_from = gap.to.unwrap_or(next);
            place.next_offset = next;
            place.watermark = watermarks.get(&gap.partition).copied();
        }
    }
    state.has_gap = true;
    known.cluster.clone_from(&survey.cluster);
    known.marks.retain(|mark| survey.gaps.iter().all(|gap| gap.partition != mark.partition));
    let replay_from = state.engine.replay_from();
    let mut state = serde_json::to_value(state).context("writing the engine's checkpoint")?;
    known.leave_in(&mut state)?;
    let rows =
        if accepted.is_empty() { Vec::new() } else { vec![(TableName::Gaps, vec![gap_batch(&accepted)])] };
    Ok(Commit {
        rows,
        offsets,
        replay_from,
        watermarks,
        watermark: resume.watermark,
        rule_version: resume.rule_version.clone(),
        state,
    })
}
