//! Deadlines as they stand on a day: nothing of it is stored, so a calendar that is filed or corrected counts at once.

use crate::api::DeadlineView;
use crate::date::Date;
use crate::id::RecordId;
use crate::org::OrgId;
use crate::record::deadline::Duty;
use crate::working_days::{Calendars, last_day, working_days_between};

/// One duty on a record, on a day. `agency` is who owes it, where the answer says so.
///
/// # Errors
/// When a calendar cannot be read.
pub fn deadline_view<C: Calendars>(
    agency: Option<&OrgId>,
    record: &RecordId,
    duty: &Duty,
    calendars: &C,
    today: Date,
) -> Result<DeadlineView, C::Error> {
    let last = last_day(calendars, &duty.deadline, duty.from)?;
    let until = duty.met.unwrap_or(today);
    Ok(DeadlineView {
        agency: agency.map(ToString::to_string),
        record: *record,
        step: duty.deadline.step.name().to_owned(),
        from: duty.from,
        days: duty.deadline.days,
        unit: duty.deadline.unit.name().to_owned(),
        due_on: last.day,
        provisional: last.provisional,
        met_on: duty.met,
        overdue: until > last.day,
        working_days_late: working_days_between(calendars, last.day, until)?,
    })
}
