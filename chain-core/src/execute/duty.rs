//! What agencies owe by a day of the law, and the calendars that it takes to say by which.

use super::overlay::{Fail, Overlay};
use super::{Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::lifecycle;
use crate::org::OrgId;
use crate::record::calendar::CalendarDetails;
use crate::record::deadline::{DayUnit, DeadlineKind, Duty};
use crate::record::{Lifecycle, Relation};
use crate::state::{CalendarEntry, RecordHead, key};
use crate::working_days::{self, Calendars};

impl<L: LedgerRead> Calendars for Overlay<'_, L> {
    type Error = ReadError;

    fn calendar(&self, year: u32) -> Result<Option<CalendarDetails>, ReadError> {
        Ok(self.read::<CalendarEntry>(&key::calendar(year))?.and_then(CalendarEntry::in_force))
    }
}

impl<L: LedgerRead> Execution<'_, L> {
    /// Refuses a duty that begins in a year without a calendar: nobody could say when it ends. A term that
    /// runs on into such a year has a provisional end.
    pub(super) fn check_calendars(&self, duties: &[Duty]) -> Result<(), Fail> {
        for duty in duties.iter().filter(|duty| duty.deadline.unit == DayUnit::WorkingDays) {
            let (year, ..) = duty.from.ymd();
            if self.state.calendar(year)?.is_none() {
                let detail = format!(
                    "{} within {} working days from {}: no calendar of the year {year}",
                    duty.deadline.step, duty.deadline.days, duty.from
                );
                return Err(Refusal::new(Code::CalendarMissing, detail).into());
            }
        }
        Ok(())
    }

    /// Checks the calendars for the review that is about to be opened.
    pub(super) fn check_review_calendar(&mut self, head: &RecordHead) -> Result<(), Fail> {
        let Some(named) = &head.current.legal_basis else { return Ok(()) };
        let basis = self.state.basis(named)?;
        let duty = basis.and_then(|basis| lifecycle::review_duty(&basis.details, self.today));
        self.check_calendars(duty.as_slice())
    }

    /// Notes what a step made of the duties of a record, and lists them under the agency that owes them.
    pub(super) fn keep_duties(&mut self, record: &RecordId, head: &mut RecordHead) -> Result<(), ReadError> {
        let Some(named) = &head.current.legal_basis else { return Ok(()) };
        let basis = self.state.basis(named)?;
        lifecycle::keep_duties(head, basis.as_ref().map(|basis| &basis.details), self.today);
        for duty in &head.duties {
            let last = working_days::last_day(&self.state, &duty.deadline, duty.from)?.day;
            let listed = lifecycle::is_listed(head, duty, last);
            let step = duty.deadline.step;
            // Who owes it is kept apart: a decided review leaves no name in the head.
            let by = key::owed_by(record, step);
            if listed && let Some(agency) = self.owing(head, step)? {
                self.state.put(key::owed(&agency, duty.from, record, step), duty.to_canonical());
                self.state.put(by, agency.to_canonical());
            } else if let (false, Some(agency)) = (listed, self.state.read::<OrgId>(&by)?) {
                self.state.remove(key::owed(&agency, duty.from, record, step));
                self.state.remove(by);
            }
        }
        Ok(())
    }

    /// The agency that owes a step: of a case, the one whose act it is about.
    fn owing(&self, head: &RecordHead, step: DeadlineKind) -> Result<Option<OrgId>, ReadError> {
        if step == DeadlineKind::ReviewDecision {
            return Ok(head.reviewer.clone());
        }
        if head.lifecycle() != Lifecycle::Case {
            return Ok(Some(head.agency.clone()));
        }
        let about = [Relation::ObjectsTo, Relation::Repairs];
        let Some(target) = about.iter().find_map(|rel| head.current.related(*rel).next()) else {
            return Ok(None);
        };
        Ok(self.state.read::<RecordHead>(&key::record(&target))?.map(|target| target.agency))
    }
}
