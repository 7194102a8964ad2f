//! What agencies owe by a day of the law, and the marks of a record that other entries of the state decide.

use chain_core::api::{DeadlineView, Page};
use chain_core::code::Refusal;
use chain_core::date::Date;
use chain_core::execute::LedgerRead as _;
use chain_core::id::RecordId;
use chain_core::layout::Layout as _;
use chain_core::org::OrgId;
use chain_core::read::{BASE_DISPUTED, Moment, deadline_view, is_base_disputed};
use chain_core::record::calendar::CalendarDetails;
use chain_core::record::deadline::Duty;
use chain_core::state::{CalendarEntry, RecordHead, key};
use chain_core::working_days::Calendars;

use super::cursor::{bytes_of, hex};
use super::{Local, corrupt, read, refuse};
use crate::handle::PAGE_MAX;
use crate::storage::ledger::Snapshot;

/// Entries looked at for one page of the list that filters: the page may then be short, and goes on.
const SCAN_MAX: usize = 5_000;

/// The calendars at one height.
struct InForce<'a, 's>(&'a Snapshot<'s>);

impl Calendars for InForce<'_, '_> {
    type Error = Refusal;

    fn calendar(&self, year: u32) -> Result<Option<CalendarDetails>, Refusal> {
        let found = self.0.get(&key::calendar(year)).map_err(read)?;
        let entry = found.map(|bytes| CalendarEntry::from_canonical(&bytes)).transpose();
        Ok(entry.map_err(|error| corrupt("calendar", error))?.and_then(CalendarEntry::in_force))
    }
}

impl Local {
    /// A page of what an agency owes, or all of them: those in the order in which the terms began.
    pub(super) fn deadline_page(
        &self,
        agency: Option<&OrgId>,
        overdue: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadlineView>, Refusal> {
        let snapshot = self.snapshot()?;
        let today = self.today(&snapshot)?;
        let (first, last) = key::all_owed();
        let (first, last) = match agency {
            None => (first, last),
            Some(agency) => {
                let first = key::all_owed_by(agency);
                let last = [&first[..], &[0xff; 38]].concat();
                (first, last)
            }
        };
        let from = match cursor {
            None => first,
            Some(text) => [vec![first[0]], bytes_of(text)?].concat().max(first),
        };
        let limit = limit.clamp(1, PAGE_MAX);
        // Only the filter leaves entries out.
        let looked_at = if overdue { SCAN_MAX } else { limit };
        // A cursor of another list may name a place behind this one.
        let entries = match from < last {
            true => snapshot.range(&from, &last, looked_at + 1).map_err(read)?,
            false => Vec::new(),
        };
        let (mut items, mut next) = (Vec::new(), None);
        for (at, (owed, value)) in entries.iter().enumerate() {
            if items.len() == limit || at == looked_at {
                next = Some(hex(&owed[1..]));
                break;
            }
            let parsed = key::parse_owed(owed).ok_or_else(|| corrupt("list of deadlines", "a bad key"))?;
            let duty = Duty::from_canonical(value).map_err(|error| corrupt("deadline", error))?;
            let view = deadline_view(Some(&parsed.0), &parsed.1, &duty, &InForce(&snapshot), today)?;
            if view.overdue || !overdue {
                items.push(view);
            }
        }
        Ok(Page { items, next_cursor: next, height: snapshot.height() })
    }

    /// What is or was owed on one record.
    pub(super) fn deadlines_of(
        &self,
        snapshot: &Snapshot<'_>,
        record: &RecordId,
        head: &RecordHead,
        today: Date,
    ) -> Result<Vec<DeadlineView>, Refusal> {
        let view = |duty| deadline_view(None, record, duty, &InForce(snapshot), today);
        head.duties.iter().map(view).collect()
    }

    /// The marks that the head itself does not have.
    pub(super) fn derived_marks(
        &self,
        snapshot: &Snapshot<'_>,
        head: &RecordHead,
    ) -> Result<Option<String>, Refusal> {
        let disputed = is_base_disputed(head, |record| self.head(snapshot, record))?;
        Ok(disputed.then(|| BASE_DISPUTED.to_owned()))
    }

    /// The local day of the newest block.
    pub(super) fn today(&self, snapshot: &Snapshot<'_>) -> Result<Date, Refusal> {
        let time_ms = snapshot.tip().map_err(refuse)?.map_or(0, |tip| tip.time_ms);
        Ok(Moment::new(&self.core.chain, snapshot.height(), time_ms).today)
    }
}
