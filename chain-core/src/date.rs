//! Local calendar dates.
//!
//! Deadlines and terms of the law run in whole local days (Administrative Penalty Law art. 85): the start
//! day is not counted, a day ends at 24:00 local time, and a month later is the same day or the last day of
//! a shorter month. A chain has one time zone, fixed by genesis as an offset from UTC, and derives the local
//! date from block time; nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::layout::Layout;

/// A day of the proleptic Gregorian calendar, 0001-01-01 to 9999-12-31.
///
/// JSON and text: `YYYY-MM-DD` (ISO 8601). Canonical bytes: a u32 count of days since 0001-01-01.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Date(u32);

/// Days from 0001-01-01 to 1970-01-01.
const EPOCH_DAY: u32 = 719_162;
/// 9999-12-31.
const DAY_MAX: u32 = 3_652_058;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Text that is no date of the calendar.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DateError {
    /// Not four digits, hyphen, two digits, hyphen, two digits.
    #[error("not of the form YYYY-MM-DD")]
    Form,
    /// The form is right, the day does not exist.
    #[error("no such day in the calendar")]
    NoSuchDay,
}

const fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn month_days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

impl Date {
    /// The first date that can be written.
    pub const MIN: Self = Self(0);
    /// The last date that can be written.
    pub const MAX: Self = Self(DAY_MAX);

    /// The date of a year (1 to 9999), month and day; `None` when there is no such day.
    pub const fn from_ymd(year: u32, month: u32, day: u32) -> Option<Self> {
        if year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > month_days(year, month) {
            return None;
        }
        // Days of the years before, counted from a year that starts in March.
        let (shifted, month_index) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400;
        let in_year = (153 * month_index + 2) / 5 + day - 1;
        // 0001-01-01 is day 306 of the March-based year 0.
        Some(Self(days + in_year - 306))
    }

    /// Year, month and day.
    pub const fn ymd(self) -> (u32, u32, u32) {
        let days = self.0 + 306;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_index + 2) / 5 + 1;
        let year = era * 400 + year_of_era;
        if month_index < 10 { (year, month_index + 3, day) } else { (year + 1, month_index - 9, day) }
    }

    /// Days since 0001-01-01.
    pub const fn day_number(self) -> u32 {
        self.0
    }

    /// The date that many days after 0001-01-01; `None` beyond 9999.
    pub const fn from_day_number(day: u32) -> Option<Self> {
        if day > DAY_MAX { None } else { Some(Self(day)) }
    }

    /// The local date at `time_ms` (milliseconds since 1970 UTC) where local time is `offset_minutes` ahead
    /// of UTC. Times beyond the calendar give its last date.
    pub fn of_time(time_ms: u64, offset_minutes: i16) -> Self {
        let local = i128::from(time_ms) + i128::from(offset_minutes) * 60_000;
        let day = local.div_euclid(i128::from(DAY_MS)) + i128::from(EPOCH_DAY);
        u32::try_from(day.max(0)).ok().and_then(Self::from_day_number).unwrap_or(Self::MAX)
    }

    /// The date `days` later; `None` beyond 9999.
    pub const fn add_days(self, days: u32) -> Option<Self> {
        match self.0.checked_add(days) {
            Some(day) => Self::from_day_number(day),
            None => None,
        }
    }

    /// The day after; stays at the last.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < DAY_MAX { Self(self.0 + 1) } else { self }
    }

    /// Whether it is a Saturday or a Sunday.
    pub const fn is_weekend(self) -> bool {
        // 0001-01-01 was a Monday.
        self.0 % 7 >= 5
    }

    /// The same day `months` later, or the last day of a shorter month; `None` beyond 9999.
    pub const fn add_months(self, months: u32) -> Option<Self> {
        let (year, month, day) = self.ymd();
        let Some(total) = (year * 12 + month - 1).checked_add(months) else {
            return None;
        };
        let (year, month) = (total / 12, total % 12 + 1);
        let last = month_days(year, month);
        Self::from_ymd(year, month, if day > last { last } else { day })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else {
            return Err(DateError::Form);
        };
        let number = |digits: &[&u8]| {
            digits.iter().try_fold(0_u32, |sum, digit| {
                digit.is_ascii_digit().then(|| sum * 10 + u32::from(**digit - b'0'))
            })
        };
        let (Some(year), Some(month), Some(day)) =
            (number(&[y1, y2, y3, y4]), number(&[m1, m2]), number(&[d1, d2]))
        else {
            return Err(DateError::Form);
        };
        Self::from_ymd(year, month, day).ok_or(DateError::NoSuchDay)
    }
}

impl Serialize for Date {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u32(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            Self::from_day_number(u32::deserialize(deserializer)?)
                .ok_or_else(|| serde::de::Error::custom("date beyond 9999-12-31"))
        }
    }
}

impl Layout for Date {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let day = reader.u32()?;
        Self::from_day_number(day).ok_or_else(|| reader.error("date beyond 9999-12-31"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn every_day_number_is_one_date_and_back() {
        let (mut year, mut month, mut day) = (1, 1, 1);
        for number in 0..=DAY_MAX {
            let date = Date::from_day_number(number).unwrap();
            assert_eq!(date.ymd(), (year, month, day), "day {number}");
            assert_eq!(Date::from_ymd(year, month, day), Some(date));
            day += 1;
            if day > month_days(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!(Date::MAX.to_string(), "9999-12-31");
        assert_eq!(date("1970-01-01").day_number(), EPOCH_DAY);
    }

    #[test]
    fn weekends_are_saturdays_and_sundays() {
        for (day, weekend) in [
            ("1970-01-01", false),
            ("2026-11-27", false),
            ("2026-11-28", true),
            ("2026-11-29", true),
            ("2026-11-30", false),
        ] {
            assert_eq!(date(day).is_weekend(), weekend, "{day}");
        }
    }

    #[test]
    fn only_days_of_the_calendar_in_one_form_are_read() {
        for text in ["2026-02-30", "2026-13-01", "2026-00-10", "2026-04-31", "2025-02-29", "0000-01-01"] {
            assert_eq!(text.parse::<Date>(), Err(DateError::NoSuchDay), "{text}");
        }
        for text in ["2026-2-3", "20260203", "2026/02/03", "", "2026-02-03T00", "２026-02-03", "-026-01-01"]
        {
            assert_eq!(text.parse::<Date>(), Err(DateError::Form), "{text}");
        }
        assert_eq!(date("2024-02-29").to_string(), "2024-02-29");
    }

    #[test]
    fn months_end_on_the_last_day_of_a_shorter_month() {
        for (from, months, to) in [
            ("2025-11-30", 3, "2026-02-28"),
            ("2026-05-06", 12, "2027-05-06"),
            ("2024-02-29", 12, "2025-02-28"),
            ("2026-09-14", 36, "2029-09-14"),
            ("2026-01-31", 1, "2026-02-28"),
            ("2026-12-31", 2, "2027-02-28"),
        ] {
            assert_eq!(date(from).add_months(months), Some(date(to)), "{from} + {months}");
        }
        assert_eq!(Date::MAX.add_months(1), None);
        assert_eq!(Date::MAX.add_months(u32::MAX), None);
        assert_eq!(Date::MAX.add_days(1), None);
        assert_eq!(date("2026-12-31").add_days(1), Some(date("2027-01-01")));
    }

    #[test]
    fn a_local_day_begins_at_local_midnight() {
        // 2027-05-06T16:00:00Z is 2027-05-07T00:00:00+08:00.
        let midnight = 1_809_619_200_000;
        assert_eq!(Date::of_time(midnight, 480), date("2027-05-07"));
        assert_eq!(Date::of_time(midnight - 1, 480), date("2027-05-06"));
        assert_eq!(Date::of_time(0, -60), date("1969-12-31"));
        assert_eq!(Date::of_time(u64::MAX, 0), Date::MAX);
    }
}
