//! Repair, deadlines and calendars in a genesis: what the law says in days.

use serde::{Deserialize, Serialize};

use super::check::{LIST_MAX, invalid, text};
use super::document::{LegalBasisEntry, list, texts};
use super::state::field;
use crate::canonical::Writer;
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::record::calendar::CalendarDetails;
use crate::record::deadline::{self, Deadline};
use crate::record::governance::RepairRules;

/// Most calendars of a genesis.
pub const CALENDARS_MAX: usize = 200;

/// Repair under a legal basis.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// Months from the decision after which it may be asked for; the shortest publication counts too, if it is longer.
    pub after_months: u16,
}

/// Days that the law gives for a step; the day on which they begin is not counted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeadlineEntry {
    /// The step, e.g. `objection_decision`.
    pub step: String,
    /// How many days.
    pub days: u16,
    /// Which days count: `working_days` or `calendar_days`.
    pub unit: String,
}

/// The holidays and make-up working days of a year.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarEntry {
    /// The year.
    pub year: u16,
    /// Days off, `YYYY-MM-DD`; those that fall on a weekend may be named too.
    pub holidays: Vec<String>,
    /// Saturdays and Sundays on which offices work.
    #[serde(default)]
    pub work_days: Vec<String>,
    /// The notice that says so.
    pub source: String,
    /// Number of the notice; may be empty.
    #[serde(default)]
    pub doc_no: String,
    /// SHA-256 of its text, in hexadecimal.
    pub text_hash: Digest,
}

/// Writes what is hashed of it: at the end, under names, and only where there is any, so that a genesis without keeps its
/// id.
pub(super) fn write(writer: &mut Writer, bases: &[LegalBasisEntry], calendars: &[CalendarEntry]) {
    let with_terms: Vec<&LegalBasisEntry> =
        bases.iter().filter(|basis| basis.repair.is_some() || !basis.deadlines.is_empty()).collect();
    if !with_terms.is_empty() {
        writer.text("legal_terms");
        list(writer, &with_terms, |basis, writer| {
            writer.text(&basis.id).u32(basis.version).option(basis.repair, |writer, repair| {
                writer.u16(repair.after_months);
            });
            list(writer, &basis.deadlines, |deadline, writer| {
                writer.text(&deadline.step).u16(deadline.days).text(&deadline.unit);
            });
        });
    }
    if !calendars.is_empty() {
        writer.text("calendars");
        list(writer, calendars, |calendar, writer| {
            writer.u16(calendar.year);
            texts(writer, &calendar.holidays);
            texts(writer, &calendar.work_days);
            writer.text(&calendar.source).text(&calendar.doc_no).digest(&calendar.text_hash);
        });
    }
}

/// Form of the deadlines of a legal basis; what they mean, the record rules judge.
pub(super) fn check_deadlines(basis: &LegalBasisEntry, key: &impl Fn(&str) -> String) -> Result<(), Refusal> {
    if basis.deadlines.len() > LIST_MAX {
        let got = format!("{} entries", basis.deadlines.len());
        return Err(invalid(&key("deadlines"), got, format!("at most {LIST_MAX}")));
    }
    for deadline in &basis.deadlines {
        text(&key("deadlines.step"), &deadline.step, 1)?;
        text(&key("deadlines.unit"), &deadline.unit, 1)?;
    }
    Ok(())
}

/// Form of the calendars; what they mean, the record rules judge.
pub(super) fn check_calendars(calendars: &[CalendarEntry]) -> Result<(), Refusal> {
    if calendars.len() > CALENDARS_MAX {
        let got = format!("{} entries", calendars.len());
        return Err(invalid("calendar", got, format!("at most {CALENDARS_MAX}")));
    }
    for calendar in calendars {
        let key = |field: &str| format!("calendar {}.{field}", calendar.year);
        text(&key("source"), &calendar.source, 1)?;
        text(&key("doc_no"), &calendar.doc_no, 0)?;
    }
    match calendars.windows(2).find(|pair| pair[0].year == pair[1].year) {
        Some(pair) => Err(invalid("calendar.year", format!("{} twice", pair[0].year), "one entry per year")),
        None => Ok(()),
    }
}

impl LegalBasisEntry {
    /// Whether and when repair is possible, as the record rules have it.
    pub(super) fn repair_rules(&self) -> RepairRules {
        RepairRules {
            allowed: self.repair.is_some(),
            after_months: self.repair.map_or(0, |repair| repair.after_months),
        }
    }

    /// The deadlines, as the record rules have them.
    pub(super) fn deadline_rules(&self, named: &str) -> Result<Vec<Deadline>, Refusal> {
        let rule = |one: &DeadlineEntry| {
            Ok(Deadline {
                step: field(named, "deadlines.step", &one.step)?,
                days: one.days,
                unit: field(named, "deadlines.unit", &one.unit)?,
            })
        };
        let deadlines: Vec<Deadline> = self.deadlines.iter().map(rule).collect::<Result<_, Refusal>>()?;
        deadline::check_deadlines(&deadlines)
            .map_err(|error| Refusal::new(Code::GenesisInvalid, format!("{named}: {error}")))?;
        Ok(deadlines)
    }
}

impl CalendarEntry {
    /// The calendar, as the record rules have it.
    ///
    /// # Errors
    /// `GENESIS_INVALID`, naming the year and the flaw.
    pub fn details(&self) -> Result<CalendarDetails, Refusal> {
        let named = format!("calendar {}", self.year);
        let days = |name: &str, texts: &[String]| {
            texts.iter().map(|day| field(&named, name, day)).collect::<Result<Vec<_>, Refusal>>()
        };
        let details = CalendarDetails {
            year: self.year,
            holidays: days("holidays", &self.holidays)?,
            work_days: days("work_days", &self.work_days)?,
            source: self.source.clone(),
            doc_no: self.doc_no.clone(),
            text: self.text_hash,
        };
        details.check().map_err(|error| Refusal::new(Code::GenesisInvalid, format!("{named}: {error}")))?;
        Ok(details)
    }
}
