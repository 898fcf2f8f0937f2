//! JSON written straight into bytes. Everything is an integer or a word, so nothing depends on how a machine
//! prints floating point, and a record costs well under a microsecond.

use hexwatch_contract::EventTime;

/// The members of one JSON object, being written.
pub(crate) struct Object(Vec<u8>);

impl Object {
    /// Begins with `"id":"<id>"`.
    pub(crate) fn with_id(id: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(384);
        bytes.extend_from_slice(b"{\"id\":\"");
        bytes.extend_from_slice(id);
        bytes.push(b'"');
        Self(bytes)
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Members written beforehand, each with its comma in front.
    pub(crate) fn members(&mut self, members: &[u8]) {
        self.0.extend_from_slice(members);
    }

    /// A word that needs no escape; none is written for an empty one.
    pub(crate) fn word(&mut self, name: &str, word: &str) {
        if !word.is_empty() {
            self.name(name);
            self.0.push(b'"');
            self.0.extend_from_slice(word.as_bytes());
            self.0.push(b'"');
        }
    }

    pub(crate) fn integer(&mut self, name: &str, number: i64) {
        self.name(name);
        write_integer(&mut self.0, number);
    }

    /// `number` in units of 10^-digits.
    pub(crate) fn decimal(&mut self, name: &str, number: i64, digits: u32) {
        self.name(name);
        write_decimal(&mut self.0, number, digits);
    }

    pub(crate) fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.0.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    /// `hash` as hexadecimal digits, so many of its last ones.
    pub(crate) fn hash(&mut self, name: &str, digits: u32, hash: u64) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.name(name);
        self.0.push(b'"');
        for shift in (0..digits).rev() {
            self.0.push(DIGITS[((hash >> (shift * 4)) & 15) as usize]);
        }
        self.0.push(b'"');
    }

    pub(crate) fn time(&mut self, name: &str, time: EventTime, style: TimeStyle) {
        self.name(name);
        match style {
            TimeStyle::Millis => write_integer(&mut self.0, time.millis()),
            TimeStyle::Utc => self.quoted_time(time.millis(), "Z"),
            TimeStyle::China => self.quoted_time(time.millis() + 8 * 3_600_000, "+08:00"),
        }
    }

    fn quoted_time(&mut self, millis: i64, zone: &str) {
        self.0.push(b'"');
        write_time(&mut self.0, millis, zone);
        self.0.push(b'"');
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// How a platform writes time: every bridge has its own way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimeStyle {
    Millis,
    Utc,
    China,
}

pub(crate) fn write_integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    write_natural(out, number.unsigned_abs(), 1);
}

/// At least `width` digits.
fn write_natural(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while number > 0 {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    out.extend_from_slice(&digits[start.min(digits.len() - width)..]);
}

fn write_decimal(out: &mut Vec<u8>, number: i64, digits: u32) {
    if number < 0 {
        out.push(b'-');
    }
    let unit = 10_u64.pow(digits);
    let magnitude = number.unsigned_abs();
    write_natural(out, magnitude / unit, 1);
    out.push(b'.');
    write_natural(out, magnitude % unit, digits as usize);
}

fn write_time(out: &mut Vec<u8>, millis: i64, zone: &str) {
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000).unsigned_abs());
    let (year, month, day) = date_of(days);
    for (number, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (of_day / 3_600_000, 2, b':'),
        (of_day / 60_000 % 60, 2, b':'),
        (of_day / 1_000 % 60, 2, b'.'),
    ] {
        write_natural(out, number, width);
        out.push(after);
    }
    write_natural(out, of_day % 1_000, 3);
    out.extend_from_slice(zone.as_bytes());
}

/// The Gregorian date of a day counted from 1970-01-01. Counts in eras of 400 years from a year that begins in
/// March, so that the leap day is the last of its year.
fn date_of(days: i64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year.unsigned_abs(), month.unsigned_abs(), day.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_contract_writes_them() {
        for millis in [0, 951_782_399_999, 951_782_400_000, 1_767_571_200_123, 4_102_444_799_999] {
            let mut out = Vec::new();
            write_time(&mut out, millis, "Z");
            assert_eq!(String::from_utf8(out).unwrap(), EventTime::from_millis(millis).to_string());
        }
    }

    #[test]
    fn decimals_keep_their_zeros_and_their_sign() {
        let mut out = Vec::new();
        for (number, digits) in [(5, 2), (-5, 2), (-1_250, 2), (0, 1), (98, 1)] {
            write_decimal(&mut out, number, digits);
            out.push(b' ');
        }
        assert_eq!(out, b"0.05 -0.05 -12.50 0.0 9.8 ");
    }

    #[test]
    fn whole_numbers_reach_their_ends() {
        let mut out = Vec::new();
        write_integer(&mut out, 0);
        write_integer(&mut out, i64::MIN);
        assert_eq!(out, b"0-9223372036854775808");
    }
}
