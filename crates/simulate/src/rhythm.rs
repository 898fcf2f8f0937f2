//! The hours of a day in Hangzhou.

use crate::community::Role;

/// China has one zone and no summer time.
const ZONE_MS: i64 = 8 * 3_600_000;

/// Local hour and whether it is a weekend.
pub(crate) const fn hour_of(millis: i64) -> (usize, bool) {
    let local = millis + ZONE_MS;
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "in 0..24")]
    let hour = (local.rem_euclid(86_400_000) / 3_600_000) as usize;
    // 1970-01-01 was a Thursday.
    let weekday = (local.div_euclid(86_400_000) + 3).rem_euclid(7);
    (hour, weekday >= 5)
}

/// Of a hundred things that happen in an hour, how many are people on their ways; the rest are what cameras and
/// sensors say by themselves. The total stays at the rate asked for, day and night.
pub(crate) const PEOPLE: [u8; 24] =
    [6, 4, 3, 3, 4, 10, 28, 42, 40, 28, 25, 30, 34, 28, 25, 28, 34, 42, 44, 40, 34, 26, 18, 10];

/// How readily (of 100) somebody of `role` who is at home leaves in this hour, or comes home who is out.
pub(crate) const fn readiness(role: Role, leaving: bool, hour: usize, weekend: bool) -> u8 {
    let curve: [u8; 24] = match (role, leaving) {
        (Role::Worker | Role::Driver, true) if !weekend => {
            [1, 1, 1, 1, 2, 10, 45, 95, 80, 30, 10, 12, 14, 10, 8, 8, 8, 8, 14, 16, 12, 6, 3, 1]
        }
        (Role::Worker | Role::Driver, false) if !weekend => {
            [20, 8, 4, 4, 4, 4, 4, 5, 6, 8, 10, 22, 25, 14, 12, 14, 30, 70, 95, 85, 60, 60, 50, 35]
        }
        (Role::Pupil, true) if !weekend => {
            [0, 0, 0, 0, 0, 0, 15, 95, 70, 5, 3, 4, 6, 8, 3, 3, 5, 15, 12, 8, 4, 1, 0, 0]
        }
        (Role::Pupil, false) if !weekend => {
            [9, 9, 9, 9, 9, 9, 2, 2, 2, 2, 2, 10, 12, 4, 4, 40, 95, 80, 50, 40, 40, 40, 30, 10]
        }
        (Role::Senior, true) => {
            [0, 0, 0, 1, 4, 30, 60, 55, 50, 45, 30, 10, 5, 8, 25, 35, 30, 20, 30, 35, 12, 3, 1, 0]
        }
        (Role::Senior, false) => {
            [9, 9, 9, 9, 9, 9, 20, 40, 45, 50, 60, 70, 50, 40, 35, 40, 50, 60, 40, 40, 70, 80, 60, 20]
        }
        (_, true) => [2, 1, 1, 1, 1, 3, 8, 15, 30, 45, 40, 25, 20, 30, 35, 30, 25, 20, 25, 30, 18, 10, 5, 3],
        (_, false) => {
            [25, 15, 9, 9, 9, 9, 9, 9, 10, 15, 25, 40, 40, 30, 25, 30, 40, 50, 45, 40, 50, 60, 55, 40]
        }
    };
    curve[hour]
}

/// Tenths of a degree Celsius indoors at each full hour.
const INDOORS: [i64; 24] = [
    182, 180, 178, 177, 176, 177, 180, 186, 193, 201, 209, 215, 220, 223, 224, 222, 218, 213, 208, 203, 198,
    193, 189, 185,
];

/// Hundredths of a degree Celsius at `device`: a function of the minute and without noise, so that no two readings,
/// however close, show a rise that a heat detector would act on.
pub(crate) fn temperature(device: u32, millis: i64) -> i32 {
    let minute = (millis + ZONE_MS).div_euclid(60_000).rem_euclid(1_440);
    let hour = usize::try_from(minute / 60).unwrap_or(0);
    let (now, next) = (INDOORS[hour], INDOORS[(hour + 1) % 24]);
    let tenths = now + (next - now) * (minute % 60) / 60 + i64::from(device % 17);
    i32::try_from(tenths * 10).unwrap_or(2_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_begins_at_midnight_in_hangzhou() {
        // 2026-01-05T00:00:00Z is a Monday, 08:00 in Hangzhou.
        assert_eq!(hour_of(1_767_571_200_000), (8, false));
        assert_eq!(hour_of(1_767_571_200_000 - 86_400_000), (8, true));
    }

    #[test]
    fn the_temperature_moves_by_a_tenth_a_minute_at_most() {
        for minute in 0..1_440 {
            let (now, next) = (temperature(4, minute * 60_000), temperature(4, (minute + 1) * 60_000));
            assert!((next - now).abs() <= 10, "{now} to {next} at minute {minute}");
        }
    }
}
