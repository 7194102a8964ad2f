//! Deadlines of the law: which step, how many days. The counts are data of the catalogue; the code only adds days.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::layout::{Layout, closed_list, read_option, write_option};

/// Most days of a deadline.
pub const DEADLINE_DAYS_MAX: u16 = 3_660;

closed_list!(
    /// A step with a deadline of the law.
    DeadlineKind as u8, "deadline" {
        /// Deciding on an objection.
        ObjectionDecision = 1, "objection_decision";
        /// Accepting or refusing a repair application.
        RepairAcceptance = 2, "repair_acceptance";
        /// Deciding on a repair.
        RepairDecision = 3, "repair_decision";
        /// Publishing after the decision.
        Publication = 4, "publication";
        /// Withdrawing from publication after a change.
        Withdrawal = 5, "withdrawal";
        /// Deciding on a review.
        ReviewDecision = 6, "review_decision";
    }
);

closed_list!(
    /// Which days a deadline counts.
    DayUnit as u8, "unit of days" {
        /// Days on which offices work, by the calendar of the year (Administrative Penalty Law art. 85).
        WorkingDays = 1, "working_days";
        /// Every day.
        CalendarDays = 2, "calendar_days";
    }
);

/// Days for a step; the start day is not counted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// The step.
    pub step: DeadlineKind,
    /// How many days, 1 to [`DEADLINE_DAYS_MAX`].
    pub days: u16,
    /// Which days count.
    pub unit: DayUnit,
}

impl Layout for Deadline {
    fn write(&self, writer: &mut Writer) {
        self.step.write(writer);
        writer.u16(self.days);
        self.unit.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { step: DeadlineKind::read(reader)?, days: reader.u16()?, unit: DayUnit::read(reader)? })
    }
}

/// Refuses deadlines of no or too many days, and a step that is named twice.
pub(crate) fn check_deadlines(deadlines: &[Deadline]) -> Result<(), Refusal> {
    for (at, deadline) in deadlines.iter().enumerate() {
        let Deadline { step, days, .. } = *deadline;
        if !(1..=DEADLINE_DAYS_MAX).contains(&days) {
            let detail = format!("deadline {step} of {days} days, wants 1 to {DEADLINE_DAYS_MAX}");
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        if deadlines[..at].iter().any(|other| other.step == step) {
            return Err(Refusal::new(Code::BadParameter, format!("deadline {step} is named twice")));
        }
    }
    Ok(())
}

/// A step that somebody owes, as a record's head keeps it.
///
/// Its last day is not kept: it follows from the calendars in the state, which the council may still file or correct
/// ([`crate::working_days`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Duty {
    /// The step, and how long it may take: a copy of the legal basis's term.
    pub deadline: Deadline,
    /// The day on which it began; not counted.
    pub from: Date,
    /// The day on which the step was taken, or on which it fell away.
    pub met: Option<Date>,
}

impl Layout for Duty {
    fn write(&self, writer: &mut Writer) {
        self.deadline.write(writer);
        self.from.write(writer);
        write_option(writer, self.met.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { deadline: Deadline::read(reader)?, from: Date::read(reader)?, met: read_option(reader)? })
    }
}
