//! The parameters that the council votes: which hold in a block, and which may be voted.

use super::overlay::Fail;
use super::{Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::record::params::{NOTICE_DAYS, Params, ParamsDetails};
use crate::state::{ParamsEntry, Status, key};

/// Entries read at once when the newest one in force is looked for.
const LOOKED_AT: usize = 8;

/// The parameters that hold on a day: those of the newest record in effect that has begun, or the defaults.
///
/// # Errors
/// When the ledger cannot be read.
pub fn params<L: LedgerRead>(ledger: &L, today: Date) -> Result<Params, ReadError> {
    let (mut from, to) = (key::params(today), key::params_end());
    loop {
        let found = ledger.range(&from, &to, LOOKED_AT)?;
        for (_, value) in &found {
            let entry = ParamsEntry::from_canonical(value)
                .map_err(|error| ReadError(format!("state value of parameters: {error}")))?;
            if entry.status == Status::Effective {
                return Ok(entry.details.values);
            }
        }
        match found.into_iter().nth(LOOKED_AT - 1) {
            Some((last, _)) => from = [&last[..], &[0]].concat(),
            None => return Ok(Params::default()),
        }
    }
}

impl<L: LedgerRead> Execution<'_, L> {
    /// Reads the parameters of this block. A vote in the block itself counts from the next day on at the earliest; a
    /// revocation counts from the next block on.
    pub(super) fn load_params(&mut self) -> Result<(), ReadError> {
        self.params = params(self.state.ledger(), self.today)?;
        Ok(())
    }

    /// Refuses parameters without notice, and a second set for one day.
    pub(super) fn check_params(&self, details: &ParamsDetails) -> Result<(), Fail> {
        let earliest = self.today.add_days(NOTICE_DAYS).unwrap_or(Date::MAX);
        if details.from < earliest {
            let detail = format!("from {}, today is {}: wants {earliest} or later", details.from, self.today);
            return Err(Refusal::new(Code::TooEarly, detail).into());
        }
        let known = self.state.read::<ParamsEntry>(&key::params(details.from))?;
        if known.is_some_and(|entry| entry.status != Status::Revoked) {
            return Err(Refusal::new(Code::AlreadyExists, format!("parameters from {}", details.from)).into());
        }
        Ok(())
    }

    /// Lets parameters that the council has agreed to hold from their day on.
    pub(super) fn govern_params(&mut self, record: &RecordId, details: ParamsDetails) {
        let place = key::params(details.from);
        let entry = ParamsEntry { details, status: Status::Effective, record: *record };
        self.state.put(place, entry.to_canonical());
    }

    /// Carries a change of status over to parameters.
    pub(super) fn params_status(
        &mut self,
        record: &RecordId,
        status: Status,
        details: &ParamsDetails,
    ) -> Result<(), ReadError> {
        let place = key::params(details.from);
        let entry = self.state.read::<ParamsEntry>(&place)?;
        // The day may have got other parameters since these were revoked.
        if let Some(entry) = entry.filter(|entry| entry.record == *record) {
            self.state.put(place, ParamsEntry { status, ..entry }.to_canonical());
        }
        Ok(())
    }
}
