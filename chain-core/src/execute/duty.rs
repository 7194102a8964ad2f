//! What agencies owe by a day of the law, reckoned with the calendars that there are. Where one is missing the last day is
//! provisional ([`crate::working_days`]); nothing is refused for it.

use super::overlay::Overlay;
use super::{Execution, LedgerRead, ReadError};
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::lifecycle;
use crate::org::OrgId;
use crate::record::calendar::CalendarDetails;
use crate::record::deadline::DeadlineKind;
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
