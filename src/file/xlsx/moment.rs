//! Dates and times as Excel counts them: days since 1900, with the time of day as a fraction.

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::TimeUnit;

use chrono::{DateTime, Offset, TimeZone};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// 1900-01-01 and 9999-12-31, in days since 1970.
const FIRST_DAY: i64 = -25_567;
const LAST_DAY: i64 = 2_932_896;
/// 1900-03-01. Excel counts a 29th of February before it that never was.
const AFTER_LEAP_DAY: i64 = -25_508;
/// What Excel calls 1970-01-01.
const EPOCH: i64 = 25_569;

/// The value in milliseconds, cut, or None if that is too many.
pub(super) fn milliseconds(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(1000),
        TimeUnit::Millisecond => Some(value),
        TimeUnit::Microsecond => Some(value.div_euclid(1000)),
        TimeUnit::Nanosecond => Some(value.div_euclid(1_000_000)),
    }
}

/// The local time in `zone` of a moment, in milliseconds since 1970 there.
pub(super) fn local(millis: i64, zone: Tz) -> Option<i64> {
    let utc = DateTime::from_timestamp_millis(millis)?.naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix();
    millis.checked_add(i64::from(offset.local_minus_utc()) * 1000)
}

/// Excel's number for a moment in milliseconds since 1970, if Excel has it.
pub(super) fn serial(millis: i64) -> Option<f64> {
    let day = millis.div_euclid(DAY);
    if !(FIRST_DAY..=LAST_DAY).contains(&day) {
        return None;
    }
    let number = match day < AFTER_LEAP_DAY {
        true => day + EPOCH - 1,
        false => day + EPOCH,
    };
    Some(number as f64 + days(millis.rem_euclid(DAY)))
}

/// Excel's number for a length of time, if Excel can show it.
pub(super) fn length(millis: i64) -> Option<f64> {
    let all = 0..=(LAST_DAY + EPOCH) * DAY;
    all.contains(&millis).then(|| days(millis))
}

fn days(millis: i64) -> f64 {
    millis as f64 / DAY as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excel_counts_a_day_that_never_was() {
        let serial_of = |day: i64| serial(day * DAY);
        assert_eq!(serial_of(FIRST_DAY - 1), None);
        assert_eq!(serial_of(FIRST_DAY), Some(1.0));
        assert_eq!(serial_of(AFTER_LEAP_DAY - 1), Some(59.0));
        assert_eq!(serial_of(AFTER_LEAP_DAY), Some(61.0));
        assert_eq!(serial_of(0), Some(25_569.0));
        assert_eq!(serial_of(LAST_DAY), Some(2_958_465.0));
        assert_eq!(serial((LAST_DAY + 1) * DAY), None);
        assert_eq!(serial(-1), Some(25_568.0 + days(DAY - 1)));
    }

    #[test]
    fn finer_units_are_cut_towards_the_past() {
        assert_eq!(milliseconds(-1, TimeUnit::Nanosecond), Some(-1));
        assert_eq!(milliseconds(1_999, TimeUnit::Microsecond), Some(1));
        assert_eq!(milliseconds(i64::MAX, TimeUnit::Second), None);
    }

    #[test]
    fn local_time_follows_the_clock_of_the_zone() {
        let zone: Tz = "Europe/Berlin".parse().unwrap();
        let (winter, summer) = (1_704_067_200_000, 1_719_792_000_000);
        assert_eq!(local(winter, zone), Some(winter + 3_600_000));
        assert_eq!(local(summer, zone), Some(summer + 7_200_000));
        assert_eq!(local(i64::MAX, zone), None);
    }
}
