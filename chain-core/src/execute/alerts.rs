//! Alerts: what one is held against when it is filed, what it brings to those that it updates or cancels, and whether
//! somebody approved in time what could not wait.

use super::overlay::Fail;
use super::{CONFIRMATIONS_MAX, Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::leaf::{AutomaticLeaf, Leaf};
use crate::lifecycle;
use crate::operation::Step;
use crate::record::alert::AlertDetails;
use crate::record::{Details, Header, Relation};
use crate::state::{RecordHead, Status, key};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl<L: LedgerRead> Execution<'_, L> {
    /// Judges an alert against block time and the alerts that it refers to.
    pub(super) fn check_alert(&self, header: &Header, alert: &AlertDetails) -> Result<(), Fail> {
        let refuse = |code, detail: String| Err(Fail::Refused(Refusal::new(code, detail)));
        if alert.sent_ms > self.latest_capture_ms() {
            return refuse(Code::DateOrder, "sent lies after block time".to_owned());
        }
        if let Some(expires_ms) = alert.expires_ms {
            if expires_ms <= self.time_ms {
                return refuse(Code::DateOrder, "info.expires lies before block time".to_owned());
            }
            let days = self.params.alert_days_max;
            if expires_ms.saturating_sub(alert.sent_ms) > u64::from(days) * DAY_MS {
                let detail =
                    format!("info.expires is more than {days} days after sent; update before the end");
                return refuse(Code::DateOrder, detail);
            }
            let last = Date::of_time(expires_ms, self.chain.utc_offset_minutes);
            if header.effective_to != Some(last) {
                let detail =
                    format!("info.expires falls on {last} here; write it with the city's own offset");
                return refuse(Code::HeaderMismatch, detail);
            }
        }
        let updated = || header.refs.iter().filter(|reference| reference.rel == Relation::Updates);
        let mut holding = updated().next().is_none();
        for reference in updated() {
            let record = &reference.record;
            let head = self.head(record)?;
            if head.agency != header.agency {
                let detail = format!("updates {record}: {} issued it", head.agency);
                return refuse(Code::AgencyNotCompetent, detail);
            }
            let Some(Details::Alert(earlier)) = self.state.read::<Details>(&key::chained(record))? else {
                return refuse(Code::ReferenceNotFound, format!("updates {record}: no alert"));
            };
            if earlier.status != alert.status {
                let detail =
                    format!("updates {record}: status {}, this one {}", earlier.status, alert.status);
                return refuse(Code::AlertStatusDiffers, detail);
            }
            let over = earlier.expires_ms.is_some_and(|expires_ms| expires_ms <= self.time_ms);
            holding |= head.current.status == Status::Effective && !over;
        }
        if !holding {
            return refuse(Code::BadState, "none of the alerts that it is about holds any more".to_owned());
        }
        Ok(())
    }

    /// Keeps what later records of a chain are held against.
    pub(super) fn keep_chained(&mut self, header: &Header) {
        if header.record_type.has_content_details() {
            self.state.put(key::chained(&header.record), header.details.to_canonical());
        }
        if let Details::Alert(AlertDetails { immediate: true, .. }) = &header.details {
            let due = self.time_ms + u64::from(self.params.confirm_alert_within_s) * 1_000;
            self.state.put(key::confirmation(due, &header.record), Vec::new());
        }
    }

    /// Ends the alerts whose place one takes that has just taken effect.
    pub(super) fn follow_updates(
        &mut self,
        record: &RecordId,
        before: Status,
        head: &RecordHead,
    ) -> Result<(), ReadError> {
        if before != Status::Submitted || head.current.status != Status::Effective {
            return Ok(());
        }
        for earlier in head.current.related(Relation::Updates).collect::<Vec<_>>() {
            self.linked_step(earlier, Step::Supersede, record)?;
        }
        for earlier in head.current.related(Relation::Replaces).collect::<Vec<_>>() {
            let replaced = self.state.read::<RecordHead>(&key::record(&earlier))?;
            let own = |one: &RecordHead| (&one.agency, one.record_type) == (&head.agency, head.record_type);
            if replaced.as_ref().is_some_and(own) {
                self.linked_step(earlier, Step::Supersede, record)?;
            }
        }
        Ok(())
    }

    /// Marks the alerts that nobody approved in time, oldest first.
    pub(super) fn find_unconfirmed(&mut self) -> Result<(), ReadError> {
        let (from, to) = (key::confirmations_from(0), key::confirmations_from(self.time_ms));
        for (queued, _) in self.state.ledger().range(&from, &to, CONFIRMATIONS_MAX)? {
            let parsed = key::parse_confirmation(&queued);
            self.state.remove(queued);
            let Some(record) = parsed else { continue };
            let Some(mut head) = self.state.read::<RecordHead>(&key::record(&record))? else { continue };
            let step = Step::ConfirmationMissed;
            if !lifecycle::take_due(&mut head, self.today, step) {
                continue;
            }
            head.changed_at = self.height;
            let leaf = Leaf::Automatic(AutomaticLeaf {
                height: self.height,
                time_ms: self.time_ms,
                step,
                record,
                version: head.current.version,
                status: head.current.status,
                flags: head.flags,
                due: self.today,
            });
            self.append(Some(record), leaf.to_canonical());
            self.put_head(record, &mut head)?;
        }
        Ok(())
    }
}
