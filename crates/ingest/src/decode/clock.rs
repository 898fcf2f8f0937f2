//! Whether a device's clock can be believed, and which time counts where it cannot.

use hexwatch_contract::EventTime;

use super::Tolerances;

/// The times a record carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// By the device.
    pub(super) device: EventTime,
    /// By the gateway.
    pub(super) recorded: Option<EventTime>,
    /// By the broker, or by the bridge that produced the record.
    pub(super) kafka: EventTime,
    /// The record was kept back by a device that had no network, so that its age says nothing.
    pub(super) offline: bool,
}

/// The time that counts, and whether it is another than the device's because that one is suspect.
pub(super) fn judge(told: Told, tolerances: &Tolerances) -> (EventTime, bool) {
    // A gateway that is ahead of the broker is itself wrong: its time must not move the watermark either.
    let reference = match told.recorded {
        Some(recorded) if recorded <= told.kafka + tolerances.future_max => recorded,
        _ => told.kafka,
    };
    let ahead = told.device.since(reference) > tolerances.future_max;
    let behind = !told.offline && reference.since(told.device) > tolerances.skew_max;
    if ahead || behind { (reference, true) } else { (told.device, false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KAFKA: i64 = 1_778_461_200_000;

    fn told(device_s: i64) -> Told {
        Told { device: at(device_s), recorded: None, kafka: at(0), offline: false }
    }

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(KAFKA + seconds * 1000)
    }

    #[test]
    fn the_bounds_themselves_are_believed() {
        for seconds in [-120, 0, 5] {
            assert_eq!(judge(told(seconds), &Tolerances::default()), (at(seconds), false));
        }
    }

    #[test]
    fn beyond_the_bounds_the_kafka_time_counts() {
        for seconds in [-121, 6, 86_400] {
            assert_eq!(judge(told(seconds), &Tolerances::default()), (at(0), true));
        }
    }

    #[test]
    fn a_gateway_in_step_with_the_broker_is_the_reference() {
        let told = Told { recorded: Some(at(-1)), ..told(-7200) };
        assert_eq!(judge(told, &Tolerances::default()), (at(-1), true));
    }

    #[test]
    fn a_gateway_that_is_ahead_moves_nothing() {
        let told = Told { recorded: Some(at(7200)), ..told(0) };
        assert_eq!(judge(told, &Tolerances::default()), (at(0), false));
    }

    #[test]
    fn an_offline_scan_may_be_old_but_not_from_the_future() {
        let old = Told { offline: true, ..told(-3600) };
        assert_eq!(judge(old, &Tolerances::default()), (at(-3600), false));
        let early = Told { offline: true, ..told(3600) };
        assert_eq!(judge(early, &Tolerances::default()), (at(0), true));
    }
}
