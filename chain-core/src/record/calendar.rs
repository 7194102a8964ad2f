//! `gov.calendar`: the holidays and make-up working days of one year, as the yearly notice of the State Council names them.

use serde::{Deserialize, Serialize};

use super::governance::{check_optional_text, check_text};
use super::{CODE_BYTES_MAX, NAME_BYTES_MAX};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::layout::{Layout, read_list, write_list};

/// Most holidays, and most make-up working days, of one calendar: it leaves more than a hundred working days.
pub const CALENDAR_DAYS_MAX: usize = 128;

/// Content of `gov.calendar`. The chain has one zone, and one calendar for each year.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarDetails {
    /// The year, 1 to 9999; unique on the chain.
    pub year: u16,
    /// Days off, ascending; those that fall on a weekend may be named too.
    pub holidays: Vec<Date>,
    /// Saturdays and Sundays on which offices work, ascending.
    pub work_days: Vec<Date>,
    /// The notice that says so, 1 to 256 bytes.
    pub source: String,
    /// Its document number, up to 64 bytes.
    #[serde(default)]
    pub doc_no: String,
    /// SHA-256 of its text.
    pub text: Digest,
}

impl CalendarDetails {
    /// Checks content without state.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn check(&self) -> Result<(), Refusal> {
        check_text("source", &self.source, NAME_BYTES_MAX)?;
        check_optional_text("doc_no", &self.doc_no, CODE_BYTES_MAX)?;
        let bad = |detail: String| Err(Refusal::new(Code::BadParameter, detail));
        if !(1..=9999).contains(&self.year) {
            return bad(format!("year {}, wants 1 to 9999", self.year));
        }
        for (what, days) in [("holidays", &self.holidays), ("work_days", &self.work_days)] {
            if days.len() > CALENDAR_DAYS_MAX {
                let detail = format!("{} {what}, at most {CALENDAR_DAYS_MAX}", days.len());
                return Err(Refusal::new(Code::SizeLimit, detail));
            }
            if !days.is_sorted_by(|one, two| one < two) {
                return bad(format!("{what} must be ascending without repeats"));
            }
            if let Some(day) = days.iter().find(|day| day.ymd().0 != u32::from(self.year)) {
                return bad(format!("{what}: {day} is not of the year {}", self.year));
            }
        }
        match self.work_days.iter().find(|day| !day.is_weekend() || self.holidays.contains(day)) {
            Some(day) if day.is_weekend() => bad(format!("{day} is both a holiday and a working day")),
            Some(day) => bad(format!("work_days: {day} is no Saturday or Sunday")),
            None => Ok(()),
        }
    }

    /// Whether offices work on a day of this year.
    pub fn is_working_day(&self, day: Date) -> bool {
        if day.is_weekend() {
            self.work_days.binary_search(&day).is_ok()
        } else {
            self.holidays.binary_search(&day).is_err()
        }
    }
}

impl Layout for CalendarDetails {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.year);
        write_list(writer, &self.holidays);
        write_list(writer, &self.work_days);
        writer.text(&self.source).text(&self.doc_no).digest(&self.text);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            year: reader.u16()?,
            holidays: read_list(reader, CALENDAR_DAYS_MAX)?,
            work_days: read_list(reader, CALENDAR_DAYS_MAX)?,
            source: reader.text(NAME_BYTES_MAX)?,
            doc_no: reader.text(CODE_BYTES_MAX)?,
            text: reader.digest()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(texts: &[&str]) -> Vec<Date> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_calendar_names_days_of_its_own_year_each_once() {
        let sample = CalendarDetails {
            year: 2026,
            holidays: dates(&["2026-01-01", "2026-01-02", "2026-01-03"]),
            work_days: dates(&["2026-01-04"]),
            source: "notice".to_owned(),
            doc_no: String::new(),
            text: Digest::ZERO,
        };
        assert_eq!(sample.check(), Ok(()));
        let many = (0..=128).map(|day| Date::from_ymd(2026, 1, 1).unwrap().add_days(day).unwrap()).collect();
        type Change = fn(&mut CalendarDetails);
        let changes: &[(Change, Code)] = &[
            (|one| one.source.clear(), Code::MissingField),
            (|one| one.year = 0, Code::BadParameter),
            (|one| one.year = 2027, Code::BadParameter),
            (|one| one.holidays.reverse(), Code::BadParameter),
            (|one| one.holidays[1] = one.holidays[0], Code::BadParameter),
            // A Monday needs no notice to be a working day.
            (|one| one.work_days = dates(&["2026-01-05"]), Code::BadParameter),
            (|one| one.work_days = dates(&["2026-01-03"]), Code::BadParameter),
        ];
        for (at, (change, code)) in changes.iter().enumerate() {
            let mut one = sample.clone();
            change(&mut one);
            assert_eq!(one.check().unwrap_err().code, *code, "case {at}");
        }
        let one = CalendarDetails { holidays: many, work_days: Vec::new(), ..sample };
        assert_eq!(one.check().unwrap_err().code, Code::SizeLimit);
    }
}
