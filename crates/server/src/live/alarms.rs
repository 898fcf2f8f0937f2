//! The latest changes of alarms in memory, and where the older ones are.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use bytes::Bytes;
use hexwatch_contract::alarm::{Alarm, AlarmId, State};
use hexwatch_contract::live::Message;
use hexwatch_contract::{Classified, Fault};
use rustc_hash::FxHashMap;

use super::handle::json;

/// How many changes of a site are kept in memory. A client further behind reads the alarm log.
const RING: usize = 8_192;
/// How many changes are handed out at once.
const BATCH: usize = 256;

/// The alarm log, read.
#[async_trait]
pub trait AlarmSource: Send + Sync {
    /// The changes of `site` with a `seq` above `seq`, in order, `limit` at most.
    async fn after(&self, site: &str, seq: u64, limit: usize) -> Result<Vec<Alarm>, SourceError>;
    /// An alarm as it stands after its latest change; `None` where there is no such alarm.
    async fn latest(&self, id: &AlarmId) -> Result<Option<Alarm>, SourceError>;
}

/// The alarm log could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("reading the alarm log: {0}; try again")]
pub struct SourceError(pub String);

impl Classified for SourceError {
    fn fault(&self) -> Fault {
        Fault::External
    }
}

/// Up to which `seq` of each site somebody has read. A site that is not listed is at 0.
pub(crate) type Cursor = BTreeMap<String, u64>;

/// What comes after a cursor.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Next {
    /// Nothing.
    Nothing,
    /// These messages, in order; the last of them has this `seq`.
    Ready { site: String, last: u64, messages: Vec<Bytes> },
    /// Changes that only the alarm log still has: those above `after`, below `before`.
    InLog { site: String, after: u64, before: u64 },
}

#[derive(Debug, Default)]
struct SiteAlarms {
    latest: u64,
    /// Contiguous, ending at `latest`.
    ring: VecDeque<Bytes>,
}

impl SiteAlarms {
    /// The `seq` of the oldest change in the ring; one past the latest where it is empty.
    fn first(&self) -> u64 {
        self.latest + 1 - self.ring.len() as u64
    }
}

/// The alarms of all sites.
#[derive(Debug, Default)]
pub(super) struct AlarmBoard {
    sites: BTreeMap<String, SiteAlarms>,
    /// Every alarm that is not over, after its latest change.
    standing: FxHashMap<AlarmId, (Alarm, Bytes)>,
}

impl AlarmBoard {
    /// What stood when the process started: the last `seq` of each site, and the alarms that are not over.
    pub(super) fn restore(&mut self, latest: BTreeMap<String, u64>, standing: Vec<Alarm>) {
        for (site, latest) in latest {
            let site = self.sites.entry(site).or_default();
            if latest > site.latest {
                *site = SiteAlarms { latest, ring: VecDeque::new() };
            }
        }
        for alarm in standing {
            let message = json(&Message::Alarm(Box::new(alarm.clone())));
            self.stand(alarm, message);
        }
    }

    /// Takes one change. Returns whether it is new: a number that was already given changes nothing.
    pub(super) fn push(&mut self, alarm: Alarm) -> bool {
        let site = self.sites.entry(alarm.site.clone()).or_default();
        if alarm.seq <= site.latest {
            return false;
        }
        if alarm.seq != site.latest + 1 {
            // The log has what is missing here; the ring must stay contiguous.
            tracing::warn!(site = alarm.site, seq = alarm.seq, latest = site.latest, "alarm numbers jumped");
            site.ring.clear();
        }
        let message = json(&Message::Alarm(Box::new(alarm.clone())));
        site.latest = alarm.seq;
        site.ring.push_back(message.clone());
        if site.ring.len() > RING {
            site.ring.pop_front();
        }
        self.stand(alarm, message);
        true
    }

    /// Whether the alarm was there before this change of it, and not held back; or is over with it.
    pub(super) fn stands(&self, change: &Alarm) -> bool {
        let before = self.standing.get(&change.alarm_id);
        change.state == State::Normal || before.is_some_and(|(alarm, _)| alarm.state != State::Suppressed)
    }

    fn stand(&mut self, alarm: Alarm, message: Bytes) {
        if alarm.state == State::Normal {
            self.standing.remove(&alarm.alarm_id);
        } else {
            self.standing.insert(alarm.alarm_id.clone(), (alarm, message));
        }
    }

    /// What a reader at `cursor` gets next, a site at a time.
    pub(super) fn next(&self, cursor: &Cursor) -> Next {
        for (name, site) in &self.sites {
            let read = cursor.get(name).copied().unwrap_or(0);
            if read >= site.latest {
                continue;
            }
            let (name, first) = (name.clone(), site.first());
            if read + 1 < first {
                return Next::InLog { site: name, after: read, before: first };
            }
            let skipped = usize::try_from(read + 1 - first).unwrap_or(usize::MAX);
            let messages: Vec<Bytes> = site.ring.iter().skip(skipped).take(BATCH).cloned().collect();
            return Next::Ready { site: name, last: read + messages.len() as u64, messages };
        }
        Next::Nothing
    }

    /// Every alarm that is not over, in the order of (site, seq).
    pub(super) fn standing(&self) -> Vec<(&Alarm, &Bytes)> {
        let mut all: Vec<_> = self.standing.values().map(|(alarm, message)| (alarm, message)).collect();
        all.sort_unstable_by(|(a, _), (b, _)| (&a.site, a.seq).cmp(&(&b.site, b.seq)));
        all
    }

    pub(super) fn find(&self, id: &AlarmId) -> Option<&Alarm> {
        self.standing.get(id).map(|(alarm, _)| alarm)
    }

    pub(super) fn latest_seq(&self) -> Cursor {
        self.sites.iter().map(|(name, site)| (name.clone(), site.latest)).collect()
    }

    /// Alarms that nobody has acknowledged, by priority, `"1"` to `"4"`; those that returned to normal unseen count.
    pub(super) fn unacknowledged(&self) -> BTreeMap<String, u64> {
        let mut counts: BTreeMap<String, u64> = (1..=4).map(|priority| (priority.to_string(), 0)).collect();
        for (alarm, _) in self.standing.values() {
            if matches!(alarm.state, State::Unack | State::RtnUnack) {
                *counts.entry(alarm.priority.get().to_string()).or_default() += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::handle::tests::alarm;

    #[test]
    fn a_number_that_was_already_given_changes_nothing() {
        let mut board = AlarmBoard::default();
        assert!(board.push(alarm("a", 1, State::Unack)));
        assert!(!board.push(alarm("a", 1, State::Normal)));
        assert_eq!(board.standing().len(), 1);
    }

    #[test]
    fn a_reader_gets_each_change_once_and_in_order() {
        let mut board = AlarmBoard::default();
        for seq in 1..=600 {
            board.push(alarm("a", seq, State::Unack));
        }
        let (mut cursor, mut read) = (Cursor::from([("a".to_owned(), 10)]), Vec::new());
        while let Next::Ready { site, last, messages } = board.next(&cursor) {
            for message in messages {
                let message: serde_json::Value = serde_json::from_slice(&message).unwrap();
                read.push(message["seq"].as_u64().unwrap());
            }
            cursor.insert(site, last);
        }
        assert_eq!(read, (11..=600).collect::<Vec<_>>());
        assert_eq!(board.next(&cursor), Next::Nothing);
    }

    #[test]
    fn what_the_ring_no_longer_has_is_in_the_log() {
        let mut board = AlarmBoard::default();
        board.restore(BTreeMap::from([("a".to_owned(), 500)]), vec![alarm("a", 480, State::Acked)]);
        board.push(alarm("a", 501, State::Unack));
        let next = board.next(&Cursor::from([("a".to_owned(), 7)]));
        assert_eq!(next, Next::InLog { site: "a".into(), after: 7, before: 501 });
        let Next::Ready { last, .. } = board.next(&Cursor::from([("a".to_owned(), 500)])) else { panic!() };
        assert_eq!(last, 501);
    }

    #[test]
    fn an_alarm_that_is_over_no_longer_stands_and_one_returned_unseen_still_wants_an_ack() {
        let mut board = AlarmBoard::default();
        board.push(alarm("a", 1, State::Unack));
        board.push(Alarm { alarm_id: "other".to_owned().into(), ..alarm("a", 2, State::RtnUnack) });
        assert_eq!(board.unacknowledged()["2"], 2);
        board.push(alarm("a", 3, State::Normal));
        assert_eq!(board.unacknowledged()["2"], 1);
        assert_eq!(board.standing().len(), 1);
    }
}
