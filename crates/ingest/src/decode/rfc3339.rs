//! Times as devices write them, read without an allocation. The common spelling is read by hand, since a
//! time is in every record; every other goes to chrono by way of [`EventTime`]. A property test holds the
//! two against each other.

use hexwatch_contract::EventTime;

/// Reads RFC 3339; `None` where `text` is anything else.
pub(super) fn parse(text: &str) -> Option<EventTime> {
    common(text.as_bytes()).or_else(|| EventTime::parse_rfc3339(text))
}

/// `2026-05-11T09:00:00`, up to three places of a second, then `Z` or `+08:00`; `None` where the text is
/// not of this form or a part is out of its range.
fn common(text: &[u8]) -> Option<EventTime> {
    let (head, rest) = text.split_at_checked(19)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = *head else {
        return None;
    };
    let year = pair(y1, y2)? * 100 + pair(y3, y4)?;
    let (month, day) = (pair(m1, m2)?, pair(d1, d2)?);
    let (hour, minute, second) = (pair(h1, h2)?, pair(n1, n2)?, pair(s1, s2)?);
    if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (milli, rest) = fraction(rest)?;
    let offset = offset_minutes(rest)?;
    let minutes = (days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - offset;
    Some(EventTime::from_millis((minutes * 60 + second) * 1000 + milli))
}

fn digit(letter: u8) -> Option<i64> {
    letter.is_ascii_digit().then(|| i64::from(letter - b'0'))
}

fn pair(tens: u8, ones: u8) -> Option<i64> {
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    match *text {
        [b'.', a, b, c, ref rest @ ..] if c.is_ascii_digit() => Some((pair(a, b)? * 10 + digit(c)?, rest)),
        [b'.', a, b, ref rest @ ..] if b.is_ascii_digit() => Some((pair(a, b)? * 10, rest)),
        [b'.', a, ref rest @ ..] => Some((digit(a)? * 100, rest)),
        _ => Some((0, text)),
    }
}

fn offset_minutes(text: &[u8]) -> Option<i64> {
    match *text {
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (pair(h1, h2)?, pair(m1, m2)?);
            let offset = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
            Some(if sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; years are counted from March, so that the
/// leap day is the last of its year.
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_that_rfc_3339_allows_are_read() {
        for text in ["2026-05-11t01:05:12z", "2026-05-11T01:05:13.123456789Z", "2026-05-11T01:05:15-00:00"] {
            assert!(parse(text).is_some(), "`{text}`");
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        let texts = [
            "2026-05-11T01:05:18",
            "2026-05-11",
            "2026-02-30T01:00:00Z",
            "2026-05-11T24:00:00Z",
            "2026-05-11T01:05:27+25:00",
            "yesterday",
            "",
            "1778461511000",
            "2026-05-11T01:05:18.Z",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "`{text}`");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_chrono(
            year in 0..=9999_i64, month in 0..=13_i64, day in 0..=32_i64, hour in 0..=24_i64, minute in 0..=60_i64,
            second in 0..=59_i64, places in 0..=4_usize, digits in 0..10_000_u32, offset in -24..=24_i64,
        ) {
            let fraction = if places == 0 { String::new() } else { format!(".{:.*}", places, format!("{digits:04}")) };
            let zone = match offset {
                0 => "Z".to_owned(),
                _ => format!("{}{:02}:30", if offset < 0 { '-' } else { '+' }, offset.abs()),
            };
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            let expected = EventTime::parse_rfc3339(&text);
            if let Some(time) = common(text.as_bytes()) {
                prop_assert_eq!(Some(time), expected, "{}", text);
            }
            prop_assert_eq!(parse(&text), expected, "{}", text);
        }
    }
}
