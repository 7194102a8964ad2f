//! Records about whole days.

use super::overlay::Fail;
use super::{Execution, LedgerRead};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::record::access::AccessRootDetails;
use crate::record::{Details, Header};
use crate::state::{Status, key};

impl<L: LedgerRead> Execution<'_, L> {
    /// Refuses what is said of a whole day before that day is over.
    pub(super) fn check_day_is_over(&self, day: Date) -> Result<(), Fail> {
        if day >= self.today {
            let detail = format!("day is {day}, today is {}: wants a day that is over", self.today);
            return Err(Refusal::new(Code::DateOrder, detail).into());
        }
        Ok(())
    }

    /// An agency's log of reads has one root a day; another may follow once that was invalidated, and both stay in the log.
    pub(super) fn check_access_root(&self, header: &Header, root: &AccessRootDetails) -> Result<(), Fail> {
        self.check_day_is_over(root.day)?;
        let filed = self.state.read::<RecordId>(&key::access_root(&header.agency, root.day))?;
        let Some(filed) = filed else { return Ok(()) };
        if self.head(&filed)?.current.status == Status::Effective {
            let detail = format!("record {filed} is the root of {}", root.day);
            return Err(Refusal::new(Code::DuplicateNaturalKey, detail).into());
        }
        Ok(())
    }

    /// Remembers which record is the root of a day.
    pub(super) fn keep_access_root(&mut self, header: &Header) {
        if let Details::AccessRoot(root) = &header.details {
            self.state.put(key::access_root(&header.agency, root.day), header.record.to_canonical());
        }
    }
}
