//! Which partitions are read, and from where: found, assigned, held back, and fetched anew where they stand still.

use std::time::{Duration, Instant};

use hexwatch_contract::Partition;

use super::super::assignment::{self, Found, Obstacle, Standing};
use super::super::lane::Lane;
use super::super::{Event, ReadError};
use super::{End, Run};
use crate::decode::Decoder;

impl Run {
    pub(super) fn find_partitions(&mut self) -> Result<(), End> {
        loop {
            match assignment::discover(&self.consumer, &self.settings, |_, _| false) {
                Ok(found) => {
                    assignment::check_cluster(&self.consumer, &self.settings)?;
                    return self.assign(found);
                }
                Err(Obstacle::Final(error)) => return Err(error.into()),
                Err(Obstacle::Away) => {
                    self.observe_broker(false)?;
                    self.check_stop()?;
                    // Nothing is assigned: this serves librdkafka's callbacks and is a pause.
                    drop(self.consumer.poll(Duration::from_millis(200)));
                }
            }
        }
    }

    pub(super) fn assign(&mut self, found: Vec<Found>) -> Result<(), End> {
        self.observe_broker(true)?;
        if found.is_empty() {
            return Ok(());
        }
        let mut assignments = Vec::with_capacity(found.len());
        for Found { assignment, mark } in found {
            let decoder = Decoder::new(
                assignment.partition.clone(),
                assignment.topic,
                assignment.start,
                self.settings.tolerances,
                self.places.clone(),
                self.clock.clone(),
            );
            self.lanes.push(Lane::new(decoder, assignment.end, mark, assignment.lease));
            assignments.push(assignment);
        }
        self.assign_all()?;
        self.send(Event::Assigned(assignments))?;
        self.tell_ends()
    }

    /// Holds partitions back, and lets them go, as asked.
    pub(super) fn hold_back(&mut self) -> Result<(), End> {
        let held = self.shared.held.apply(&self.consumer, &mut self.held);
        held.map_err(|source| ReadError::Refused { source }.into())
    }

    /// Assigns all partitions at our positions; what is held back has to be held back anew.
    pub(super) fn assign_all(&mut self) -> Result<(), End> {
        self.lead_all();
        assignment::assign(&self.consumer, positions(&self.lanes))?;
        self.assigned = Instant::now();
        self.held.clear();
        self.hold_back()
    }

    /// Leads the records of all partitions to our queue. Where a partition was assigned before, librdkafka ends that when
    /// it gets round to stopping the last fetch, which may be after the new assignment; what it fetches from then on waits
    /// in the partition's own queue until it is led here again.
    pub(super) fn lead_all(&self) {
        self.lanes.iter().for_each(|lane| self.queue.lead(lane.partition()));
    }

    pub(super) fn find_added_partitions(&mut self) -> Result<(), End> {
        let known =
            |topic: &str, partition| self.lanes.iter().any(|lane| lane.carries(topic.as_bytes(), partition));
        match assignment::discover(&self.consumer, &self.settings, known) {
            Ok(found) if found.is_empty() => self.wake_standing(),
            Ok(found) => {
                self.hand_over(|_| true)?;
                self.assign(found)
            }
            // Whether the broker is away, the statistics tell.
            Err(Obstacle::Away) => Ok(()),
            Err(Obstacle::Final(error)) => Err(error.into()),
        }
    }

    /// Asks the broker itself about partitions that have stood still for a whole round of discovery: a source
    /// must not stop in silence, whatever state librdkafka believes it to be in.
    pub(super) fn wake_standing(&mut self) -> Result<(), End> {
        if self.waited.take() {
            return Ok(());
        }
        let standing: Vec<bool> = self.lanes.iter_mut().map(Lane::stands_still).collect();
        let held = &self.held;
        let of_standing = positions(&self.lanes)
            .zip(standing)
            .filter(|((name, _), stands)| *stands && !held.contains(*name));
        match assignment::ask_about(&self.consumer, of_standing.map(|(position, _)| position)) {
            Standing::Lost(error) => Err(error.into()),
            Standing::AtTheEnd => Ok(()),
            Standing::RecordsWait => {
                tracing::warn!("partitions with records stood still; they are fetched anew");
                self.hand_over(|_| true)?;
                self.assign_all()
            }
        }
    }
}

pub(super) fn positions(lanes: &[Lane]) -> impl Iterator<Item = (&Partition, i64)> {
    lanes.iter().map(|lane| (lane.partition(), lane.read_from()))
}
