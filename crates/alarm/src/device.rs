//! Which devices are not to be believed, and since when.

use std::collections::{BTreeMap, HashMap};

use hexwatch_contract::EventTime;

/// Why a device's inputs are held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unfit {
    Fault,
    Test,
    Disabled,
}

impl Unfit {
    /// Reads an `iot` row's `state`; `None` for the states of a device that works.
    fn parse(state: &str) -> Option<Self> {
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

/// How many reports of a device's state are remembered: enough for rows that come late, few enough to bound memory.
const REMEMBERED: usize = 16;

/// The recent states of every device, by event time, so that the order of arrival does not matter.
#[derive(Debug, Default)]
pub(crate) struct Devices(HashMap<String, BTreeMap<EventTime, Option<Unfit>>>);

impl Devices {
    /// Notes that `device` said `state` at `at`.
    pub(crate) fn note(&mut self, device: &str, state: &str, at: EventTime) {
        if !self.0.contains_key(device) {
            self.0.insert(device.to_owned(), BTreeMap::new());
        }
        let Some(states) = self.0.get_mut(device) else { return };
        states.insert(at, Unfit::parse(state));
        if states.len() > REMEMBERED {
            states.pop_first();
        }
    }

    /// Why `device` was not to be believed at `at`; `None` where it was.
    pub(crate) fn unfit_at(&self, device: &str, at: EventTime) -> Option<Unfit> {
        self.0.get(device)?.range(..=at).next_back().and_then(|(_, unfit)| *unfit)
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
    fn memory_of_a_flapping_device_is_bounded() {
        let mut devices = Devices::default();
        for step in 0..1_000 {
            devices.note("smoke-1", if step % 2 == 0 { "fault" } else { "normal" }, at(step));
        }
        assert_eq!(devices.0["smoke-1"].len(), REMEMBERED);
    }
}
