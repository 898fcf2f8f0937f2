//! Where a client's alarms start: what it is sent before it hears of new ones.

use bytes::Bytes;

use super::subscribe::{After, Subscription};
use crate::live::{Cursor, Live};

/// What a subscription begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Start {
    /// The alarms that are not over, where the client knows none.
    pub(super) standing: Vec<Bytes>,
    /// The numbers behind which the client reads on.
    pub(super) read: Cursor,
    /// How many changes it is sent until it has them all.
    pub(super) owed: usize,
    /// What is asked for, in one line.
    pub(super) what: String,
}

impl Start {
    pub(super) fn of(live: &Live, subscription: &Subscription) -> Self {
        let mut channels = Vec::new();
        for (wanted, name) in
            [(subscription.cells, "cells"), (subscription.alarms, "alarms"), (subscription.health, "health")]
        {
            channels.extend(wanted.then_some(name));
        }
        let channels = format!("/ws {}", channels.join(","));
        if !subscription.alarms {
            return Self { standing: Vec::new(), read: Cursor::new(), owed: 0, what: channels };
        }
        if subscription.after == After::Standing {
            let (standing, read) = live.standing_messages();
            let owed = standing.len();
            return Self { standing, read, owed, what: format!("{channels} that stand") };
        }
        let latest = live.latest_seq();
        let read = read_before(&latest, &subscription.after);
        let behind = latest.iter().map(|(site, last)| last - read.get(site).unwrap_or(&0));
        let owed = usize::try_from(behind.sum::<u64>()).unwrap_or(usize::MAX);
        // Only sites that exist: a client may name as many others as its message holds.
        let numbers: Vec<String> =
            latest.keys().map(|site| format!("{site}:{}", read.get(site).unwrap_or(&0))).collect();
        let what = format!("{channels} after {}", numbers.join(" "));
        Self { standing: Vec::new(), read, owed, what }
    }
}

/// Up to where the client has read, by its own word. A number that was never given is another log's: the client sees
/// that in `resumed`, and hears what is new.
fn read_before(latest: &Cursor, after: &After) -> Cursor {
    let within = |site: &String, seq: u64| (site.clone(), latest.get(site).map_or(0, |last| seq.min(*last)));
    match after {
        After::Standing => latest.clone(),
        After::All(seq) => latest.keys().map(|site| within(site, *seq)).collect(),
        After::Each(cursor) => cursor.iter().map(|(site, seq)| within(site, *seq)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use hexwatch_contract::alarm::State;
    use hexwatch_contract::{EventTime, ManualClock};

    use super::*;
    use crate::live::{Format, alarm_for_tests};
    use crate::metrics::Metrics;

    fn live() -> Live {
        let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
        let live = Live::new(clock.clone(), clock, Metrics::new());
        let latest = BTreeMap::from([("north".to_owned(), 9), ("south".to_owned(), 4)]);
        live.restore_alarms(latest, vec![alarm_for_tests("north", 7, State::Unack)]);
        live
    }

    fn subscription(after: After) -> Subscription {
        Subscription { cells: true, alarms: true, health: false, format: Format::Json, after }
    }

    #[test]
    fn what_a_client_is_owed_is_known_before_it_is_sent() {
        let each = After::Each(Cursor::from([("north".to_owned(), 7), ("elsewhere".to_owned(), 3)]));
        for (after, owed, what) in [
            (After::Standing, 1, "/ws cells,alarms that stand"),
            (After::All(5), 4, "/ws cells,alarms after north:5 south:4"),
            (each, 6, "/ws cells,alarms after north:7 south:0"),
        ] {
            let start = Start::of(&live(), &subscription(after.clone()));
            assert_eq!((start.owed, start.what.as_str()), (owed, what), "{after:?}");
        }
    }

    #[test]
    fn whoever_asks_for_no_alarms_is_owed_none() {
        let cells = Subscription { alarms: false, ..subscription(After::All(0)) };
        let start = Start::of(&live(), &cells);
        assert_eq!((start.owed, start.what.as_str()), (0, "/ws cells"));
    }
}
