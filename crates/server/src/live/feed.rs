//! How fresh the data is, by the wall clock: an event clock stands still when its records do.

use std::time::Duration;

use hexwatch_contract::EventTime;
use hexwatch_contract::live::Feed;

const DELAYED_AFTER: Duration = Duration::from_secs(3);
const LOST_AFTER: Duration = Duration::from_secs(10);

/// What is known of the feed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freshness {
    started: EventTime,
    last_read: Option<EventTime>,
    broker_away: bool,
    pub(super) watermark: Option<EventTime>,
}

impl Freshness {
    pub(super) const fn since(started: EventTime) -> Self {
        Self { started, last_read: None, broker_away: false, watermark: None }
    }

    pub(super) const fn data_read(&mut self, at: EventTime) {
        self.last_read = Some(at);
        self.broker_away = false;
    }

    pub(super) const fn broker_lost(&mut self) {
        self.broker_away = true;
    }

    pub(super) const fn broker_back(&mut self) {
        self.broker_away = false;
    }

    pub(super) fn watermark_advanced(&mut self, watermark: EventTime) {
        self.watermark = self.watermark.max(Some(watermark));
    }

    /// Seconds since the last record was read.
    pub(super) fn age_s(&self, now: EventTime) -> Option<f64> {
        self.last_read.map(|read| now.since(read).as_secs_f64())
    }

    /// What that means. Before the first record nothing is live yet.
    pub(super) fn feed(&self, now: EventTime) -> Feed {
        let age = now.since(self.last_read.unwrap_or(self.started));
        if self.broker_away || age >= LOST_AFTER {
            Feed::Lost
        } else if self.last_read.is_none() || age >= DELAYED_AFTER {
            Feed::Delayed
        } else {
            Feed::Live
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_delayed_after_three_seconds_and_lost_after_ten() {
        let at = EventTime::from_millis;
        let mut fresh = Freshness::since(at(0));
        assert_eq!(fresh.feed(at(0)), Feed::Delayed, "nothing was read yet");
        fresh.data_read(at(1_000));
        assert_eq!(fresh.feed(at(3_999)), Feed::Live);
        assert_eq!(fresh.feed(at(4_000)), Feed::Delayed);
        assert_eq!(fresh.feed(at(11_000)), Feed::Lost);
        fresh.data_read(at(12_000));
        assert_eq!(fresh.feed(at(12_000)), Feed::Live);
    }

    #[test]
    fn a_broker_that_is_away_is_lost_at_once() {
        let at = EventTime::from_millis;
        let mut fresh = Freshness::since(at(0));
        fresh.data_read(at(1_000));
        fresh.broker_lost();
        assert_eq!(fresh.feed(at(1_001)), Feed::Lost);
        fresh.broker_back();
        assert_eq!(fresh.feed(at(1_002)), Feed::Live);
    }
}
