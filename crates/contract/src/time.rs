//! Event time, and the clocks that tell it. [`SystemClock`] is the only place in hexwatch that reads
//! the wall clock: everything else is handed a [`Clock`], so that a replay and a test see the same time.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in event time, in whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventTime(i64);

impl EventTime {
    /// Before every other time: what a watermark stands at until something has been read.
    pub const MIN: Self = Self(i64::MIN / 4096);
    /// After every other time: what a finished input's watermark stands at.
    pub const MAX: Self = Self(i64::MAX / 4096);

    /// From epoch milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From epoch microseconds, as Arrow columns hold it; rounds down.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.div_euclid(1000))
    }

    /// Epoch milliseconds.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Epoch microseconds, the unit of every time column.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0.saturating_mul(1000)
    }

    /// Parses RFC 3339 with an offset (`2026-05-11T09:00:00.250+08:00`); `None` where it is anything else.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self(time.timestamp_millis()))
    }

    /// How far `self` lies after `earlier`; zero where it does not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The start of the pane of width `pane` that holds `self` (panes are aligned to the epoch).
    ///
    /// # Panics
    /// When `pane` is shorter than a millisecond.
    #[must_use]
    pub fn floor_to(self, pane: Duration) -> Self {
        let width = millis_of(pane);
        assert!(width > 0, "a pane is at least one millisecond wide");
        Self(self.0.div_euclid(width) * width)
    }
}

/// A duration in whole milliseconds, saturating.
#[must_use]
pub fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for EventTime {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }
}

impl Sub<Duration> for EventTime {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }
}

impl fmt::Display for EventTime {
    /// RFC 3339 in UTC with milliseconds, as every message outside shows it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = spelled(self.0) {
            return formatter.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?);
        }
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(time) => formatter.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(formatter, "{} ms since the epoch", self.0),
        }
    }
}

/// A time of the years 0 to 9999 in RFC 3339. Rows are written by the hundred thousand, with a few times each, and what a
/// calendar can do beyond this costs ten times as much.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "each is of one digit")]
pub(crate) fn spelled(millis: i64) -> Option<[u8; 24]> {
    const YEARS: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;
    if !YEARS.contains(&millis) {
        return None;
    }
    let (year, month, day) = date_of(millis.div_euclid(86_400_000));
    let of_day = millis.rem_euclid(86_400_000);
    let (seconds, part) = (of_day / 1000, of_day % 1000);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let numbers = [
        (0..4, year),
        (5..7, month),
        (8..10, day),
        (11..13, seconds / 3600),
        (14..16, seconds / 60 % 60),
        (17..19, seconds % 60),
        (20..23, part),
    ];
    for (place, mut number) in numbers {
        for digit in text[place].iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
    }
    Some(text)
}

/// Year, month and day of a day since 1970. Years are counted from March, so that a leap day ends one, and in eras of 400,
/// which all have as many days.
fn date_of(day: i64) -> (i64, i64, i64) {
    const DAYS_OF_ERA: i64 = 146_097;
    let since_march_0 = day + 719_468;
    let (era, day) = (since_march_0.div_euclid(DAYS_OF_ERA), since_march_0.rem_euclid(DAYS_OF_ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, is_next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + is_next, month, day)
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is not an RFC 3339 time with an offset")))
    }
}

/// Tells the present event time.
pub trait Clock: Send + Sync {
    /// The present, in event time.
    fn now(&self) -> EventTime;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> EventTime {
        EventTime(Utc::now().timestamp_millis())
    }
}

/// A clock that stands where it was last moved to: by a test, or by the records of a recording
/// (`--event-clock`). It never goes back.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn at(start: EventTime) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves to `time`, unless that is in the past.
    pub fn advance(&self, time: EventTime) {
        self.0.fetch_max(time.0, Ordering::AcqRel);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> EventTime {
        EventTime(self.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_utc_with_milliseconds() {
        let time = EventTime::parse_rfc3339("2026-05-11T09:00:00.25+08:00").unwrap();
        assert_eq!(time.to_string(), "2026-05-11T01:00:00.250Z");
    }

    #[test]
    fn every_time_is_shown_as_the_calendar_has_it() {
        // Steps that are no multiple of anything, from the year -1 to the year 10000.
        for millis in (-62_200_000_000_000..253_450_000_000_000).step_by(1_234_567_891) {
            let calendar = DateTime::<Utc>::from_timestamp_millis(millis).unwrap();
            let shown = calendar.to_rfc3339_opts(SecondsFormat::Millis, true);
            assert_eq!(EventTime(millis).to_string(), shown, "{millis}");
        }
        for millis in [-62_167_219_200_000, 951_782_400_000, 951_868_799_999, 253_402_300_799_999] {
            let calendar = DateTime::<Utc>::from_timestamp_millis(millis).unwrap();
            assert_eq!(EventTime(millis).to_string(), calendar.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
    }

    #[test]
    fn panes_before_the_epoch_floor_downwards() {
        let pane = Duration::from_secs(10);
        assert_eq!(EventTime::from_millis(-1).floor_to(pane).millis(), -10_000);
        assert_eq!(EventTime::from_millis(10_000).floor_to(pane).millis(), 10_000);
    }

    #[test]
    fn a_manual_clock_never_goes_back() {
        let clock = ManualClock::at(EventTime::from_millis(5));
        clock.advance(EventTime::from_millis(3));
        assert_eq!(clock.now().millis(), 5);
    }
}
