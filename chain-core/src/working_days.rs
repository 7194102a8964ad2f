//! Reckoning in working days: the last day of a deadline, and how many working days lie between two days.
//!
//! Offices work from Monday to Friday but for the holidays of the year, and on its make-up working days. The list of a year
//! appears late in the year before; days of a year without one are reckoned as if it had no holidays, and what was reckoned
//! so is *provisional* until the council files that year's `gov.calendar`.
//!
//! All days are local days of the chain's one zone ([`Date::of_time`]); a last day ends at 24:00. The start day is not
//! counted (Administrative Penalty Law art. 85).

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::date::Date;
use crate::record::calendar::CalendarDetails;
use crate::record::deadline::{DayUnit, Deadline};

/// Where calendars come from.
pub trait Calendars {
    /// Why one could not be read.
    type Error;

    /// The calendar of a year that is in force; none where there is none.
    ///
    /// # Errors
    /// When it cannot be read; never for "absent".
    fn calendar(&self, year: u32) -> Result<Option<CalendarDetails>, Self::Error>;
}

impl Calendars for BTreeMap<u32, CalendarDetails> {
    type Error = Infallible;

    fn calendar(&self, year: u32) -> Result<Option<CalendarDetails>, Infallible> {
        Ok(self.get(&year).cloned())
    }
}

/// The last day of a deadline.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LastDay {
    /// The day; it counts to 24:00.
    pub day: Date,
    /// Whether a calendar is still missing that could move it.
    pub provisional: bool,
}

/// Looks days up, one year's calendar at a time.
struct Days<'c, C> {
    calendars: &'c C,
    year: Option<(u32, Option<CalendarDetails>)>,
    provisional: bool,
}

impl<C: Calendars> Days<'_, C> {
    fn is_working_day(&mut self, day: Date) -> Result<bool, C::Error> {
        let (year, ..) = day.ymd();
        if self.year.as_ref().is_none_or(|(known, _)| *known != year) {
            self.year = Some((year, self.calendars.calendar(year)?));
        }
        Ok(match &self.year {
            Some((_, Some(calendar))) => calendar.is_working_day(day),
            _ => {
                self.provisional = true;
                !day.is_weekend()
            }
        })
    }
}

/// The `count`th working day after `start`; the last day of the calendar where it lies beyond.
///
/// # Errors
/// When a calendar cannot be read.
pub fn add_working_days<C: Calendars>(calendars: &C, start: Date, count: u16) -> Result<LastDay, C::Error> {
    let mut days = Days { calendars, year: None, provisional: false };
    let (mut day, mut left) = (start, count);
    while left > 0 && day < Date::MAX {
        day = day.next();
        if days.is_working_day(day)? {
            left -= 1;
        }
    }
    Ok(LastDay { day, provisional: days.provisional })
}

/// How many working days lie after `start` up to and including `end`; 0 where `end` is not later.
///
/// # Errors
/// When a calendar cannot be read.
pub fn working_days_between<C: Calendars>(calendars: &C, start: Date, end: Date) -> Result<u32, C::Error> {
    let mut days = Days { calendars, year: None, provisional: false };
    let (mut day, mut count) = (start, 0);
    while day < end {
        day = day.next();
        count += u32::from(days.is_working_day(day)?);
    }
    Ok(count)
}

/// The last day of a deadline that began on a day.
///
/// # Errors
/// When a calendar cannot be read.
pub fn last_day<C: Calendars>(calendars: &C, deadline: &Deadline, start: Date) -> Result<LastDay, C::Error> {
    match deadline.unit {
        DayUnit::WorkingDays => add_working_days(calendars, start, deadline.days),
        DayUnit::CalendarDays => {
            let day = start.add_days(u32::from(deadline.days)).unwrap_or(Date::MAX);
            Ok(LastDay { day, provisional: false })
        }
    }
}
