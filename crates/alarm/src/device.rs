//! Which devices are not to be believed, and since when.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use hexwatch_contract::EventTime;
use serde::{Deserialize, Serialize};

/// Why a device's inputs are held back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unfit {
    Fault,
    Test,
    Disabled,
}

impl Unfit {
    /// Reads an `iot` row's `state`; `None` for the states of a device that works.
    pub(crate) fn parse(state: &str) -> Option<Self> {
        match state {
            "fault" => Some(Self::Fault),
            "test" => Some(Self::Test),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }

    /// The word of the `iot` topic.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Test => "test",
            Self::Disabled => "disabled",
        }
    }

    /// Whether `rule` holds back what such a device gives rise to. A press for help is never held back; that a
    /// faulty device falls silent is news, that a disabled one does is not.
    pub(crate) fn holds_back(self, rule: &str) -> bool {
        match rule {
            "R10" => false,
            "R17" => self != Self::Fault,
            _ => true,
        }
    }
}

/// How many reports of a device's state are remembered: enough for rows that come late, few enough to bound memory. What
/// says the same as the one before is forgotten first, the oldest first.
const REMEMBERED: usize = 16;

/// How many devices are remembered: more than any site has, few enough to bound memory where somebody invents them.
const DEVICES_MAX: usize = 131_072;

/// A device's recent states, by event time, so that the order of arrival does not matter. They are few, and each comes
/// after those before it as a rule: a list takes it at its end.
#[derive(Debug, Default)]
struct States(Vec<(EventTime, Option<Unfit>)>);

/// The recent states of every device.
#[derive(Debug, Default)]
pub(crate) struct Devices(HashMap<String, States>);

/// What is known of the devices that were not to be believed: the records that say so may lie longer ago than a restart
/// reads again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceStates(BTreeMap<String, BTreeMap<EventTime, Option<Unfit>>>);

impl States {
    /// How many were said by `at`, then included.
    fn until(&self, at: EventTime) -> usize {
        self.0.partition_point(|(said_at, _)| *said_at <= at)
    }

    fn at(&self, at: EventTime) -> Option<Unfit> {
        self.until(at).checked_sub(1).and_then(|place| self.0[place].1)
    }

    fn is_doubted(&self) -> bool {
        self.0.iter().any(|(_, unfit)| unfit.is_some())
    }

    /// As [`Devices::note`].
    fn note(&mut self, state: &str, at: EventTime) -> Option<Range<EventTime>> {
        let (place, before) = (self.until(at), self.at(at));
        let mut said = Unfit::parse(state);
        match place.checked_sub(1).filter(|last| self.0[*last].0 == at) {
            Some(last) => {
                // Of two states at one instant the one that gives cause for doubt counts, whichever comes first.
                said = said.max(before);
                self.0[last].1 = said;
            }
            None => self.0.insert(place, (at, said)),
        }
        if self.0.len() > REMEMBERED && self.forget_one() == at || said == before {
            return None;
        }
        let until = self.0.get(self.until(at)).map_or(EventTime::MAX, |(next, _)| *next);
        Some(at..until)
    }

    /// Forgets the oldest report that says nothing new, or else the oldest; returns of when it was.
    fn forget_one(&mut self) -> EventTime {
        let idle = self.0.windows(2).position(|pair| pair[0].1 == pair[1].1);
        self.0.remove(idle.map_or(0, |before| before + 1)).0
    }
}

impl Devices {
    /// Notes that `device` said `state` at `at`. Returns the time for which it is judged otherwise now than before.
    pub(crate) fn note(&mut self, device: &str, state: &str, at: EventTime) -> Option<Range<EventTime>> {
        if let Some(states) = self.0.get_mut(device) {
            return states.note(state, at);
        }
        if self.0.len() >= DEVICES_MAX {
            self.make_room();
        }
        self.0.entry(device.to_owned()).or_default().note(state, at)
    }

    /// Forgets the devices that have always worked, which are as good as unknown; where that is not enough, those that
    /// were heard longest ago. Of a forgotten device an alarm is raised rather than held back.
    fn make_room(&mut self) {
        self.0.retain(|_, states| states.is_doubted());
        if self.0.len() > DEVICES_MAX / 2 {
            let last = |states: &States| states.0.last().map(|(at, _)| *at);
            let mut heard: Vec<Option<EventTime>> = self.0.values().map(last).collect();
            let middle = heard.len() / 2;
            let median = *heard.select_nth_unstable(middle).1;
            self.0.retain(|_, states| last(states) > median);
        }
    }

    /// What a restart needs. A device that has always worked is as good as unknown.
    pub(crate) fn snapshot(&self) -> DeviceStates {
        let doubted = self.0.iter().filter(|(_, states)| states.is_doubted());
        let copied =
            |(device, states): (&String, &States)| (device.clone(), states.0.iter().copied().collect());
        DeviceStates(doubted.map(copied).collect())
    }

    /// Takes up where `snapshot` was made.
    pub(crate) fn resume(&mut self, snapshot: DeviceStates) {
        let states = snapshot.0.into_iter();
        self.0.extend(states.map(|(device, states)| (device, States(states.into_iter().collect()))));
    }

    /// Why `device` was not to be believed at `at`; `None` where it was.
    pub(crate) fn unfit_at(&self, device: &str, at: EventTime) -> Option<Unfit> {
        self.0.get(device)?.at(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> EventTime {
        EventTime::from_millis(millis)
    }

    #[test]
    fn a_state_counts_from_its_own_time_whenever_it_arrives() {
        let mut devices = Devices::default();
        devices.note("smoke-1", "normal", at(30));
        devices.note("smoke-1", "fault", at(10));
        assert_eq!(devices.unfit_at("smoke-1", at(9)), None);
        assert_eq!(devices.unfit_at("smoke-1", at(10)), Some(Unfit::Fault));
        assert_eq!(devices.unfit_at("smoke-1", at(29)), Some(Unfit::Fault));
        assert_eq!(devices.unfit_at("smoke-1", at(30)), None);
    }

    #[test]
    fn a_state_says_for_which_time_it_changes_the_judgement() {
        let mut devices = Devices::default();
        assert_eq!(devices.note("smoke-1", "normal", at(30)), None);
        assert_eq!(devices.note("smoke-1", "fault", at(10)), Some(at(10)..at(30)));
        assert_eq!(devices.note("smoke-1", "fault", at(20)), None);
        assert_eq!(devices.note("smoke-1", "normal", at(20)), None, "at one instant the doubt counts");
        assert_eq!(devices.note("smoke-1", "normal", at(25)), Some(at(25)..at(30)));
        assert_eq!(devices.note("smoke-1", "test", at(40)), Some(at(40)..EventTime::MAX));
    }

    #[test]
    fn what_was_said_of_a_device_outlives_a_restart() {
        let mut devices = Devices::default();
        devices.note("smoke-1", "fault", at(10));
        devices.note("smoke-2", "normal", at(10));
        let kept = serde_json::to_string(&devices.snapshot()).unwrap();
        assert!(!kept.contains("smoke-2"), "{kept}");
        let mut again = Devices::default();
        again.resume(serde_json::from_str(&kept).unwrap());
        assert_eq!(again.unfit_at("smoke-1", at(20)), Some(Unfit::Fault));
    }

    #[test]
    fn a_million_devices_are_not_all_remembered_and_the_latest_doubts_are() {
        let mut devices = Devices::default();
        for number in 0..1_000_000 {
            devices.note(&format!("sound-{number}"), "normal", at(number));
            if number % 4 == 0 {
                devices.note(&format!("broken-{number}"), "fault", at(number));
            }
        }
        assert!(devices.0.len() <= DEVICES_MAX, "{} are remembered", devices.0.len());
        assert_eq!(devices.unfit_at("broken-999996", at(1_000_000)), Some(Unfit::Fault));
    }

    #[test]
    fn a_doubt_is_remembered_through_many_reports_that_change_nothing() {
        let mut devices = Devices::default();
        devices.note("smoke-1", "fault", at(10));
        for step in 20..1_000 {
            devices.note("smoke-1", if step < 500 { "normal" } else { "alarm" }, at(step));
        }
        devices.note("smoke-1", "normal", at(15));
        assert_eq!(devices.0["smoke-1"].0.len(), REMEMBERED);
        assert_eq!(devices.unfit_at("smoke-1", at(14)), Some(Unfit::Fault));
        assert_eq!(devices.unfit_at("smoke-1", at(15)), None);
    }

    #[test]
    fn memory_of_a_flapping_device_is_bounded() {
        let mut devices = Devices::default();
        for step in 0..1_000 {
            devices.note("smoke-1", if step % 2 == 0 { "fault" } else { "normal" }, at(step));
        }
        assert_eq!(devices.0["smoke-1"].0.len(), REMEMBERED);
    }
}
