//! Partitions that come and go as somebody else says.

use hexwatch_contract::Partition;

use super::super::Event;
use super::super::assignment::{self, Obstacle};
use super::super::lane::Lane;
use super::{End, Run};

impl Run {
    /// Reads what is granted, and no more. A partition that is granted anew is let go of first and taken up at the next
    /// look around: what was fetched of it under the last grant must not be taken for the first of this one.
    pub(super) fn follow_grants(&mut self) -> Result<(), End> {
        if !self.settings.by_grant {
            return Ok(());
        }
        let grants = self.shared.grants.clone();
        let is_granted = |lane: &Lane| grants.lease_of(lane.partition()) == Some(lane.lease());
        if !self.lanes.iter().all(is_granted) {
            self.hand_over(|lane| !is_granted(lane))?;
            let ended: Vec<Lane> = self.lanes.extract_if(.., |lane| !is_granted(lane)).collect();
            self.assign_all()?;
            return self.send(Event::Revoked(ended.iter().map(|lane| lane.partition().clone()).collect()));
        }
        let is_read = |partition: &Partition| self.lanes.iter().any(|lane| lane.partition() == partition);
        let mut found = Vec::new();
        for grant in grants.unless(|grant| is_read(&grant.partition)) {
            match assignment::find_granted(&self.consumer, &mut self.settings, &grant) {
                Ok(one) => found.push(one),
                // Whether the broker is away, the statistics tell; it is asked again at the next look around.
                Err(Obstacle::Away) => break,
                Err(Obstacle::Final(error)) => return Err(error.into()),
            }
        }
        if found.is_empty() { Ok(()) } else { self.assign(found) }
    }
}
