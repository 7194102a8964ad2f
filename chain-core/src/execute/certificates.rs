//! Certificates and the lists that say whether they hold, and batches of commitments to health documents: what takes block
//! time and other records to judge.

use super::overlay::Fail;
use super::{Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::record::egov::certificate::StatusListDetails;
use crate::record::params::Params;
use crate::record::{Details, Header, Relation};
use crate::state::{Status, key};

impl<L: LedgerRead> Execution<'_, L> {
    fn status_list(&self, record: &RecordId) -> Result<Option<StatusListDetails>, ReadError> {
        Ok(match self.state.read::<Details>(&key::chained(record))? {
            Some(Details::StatusList(list)) => Some(list),
            _ => None,
        })
    }

    /// A certificate's list must be its issuer's, and named by its first version, which stands for all.
    pub(super) fn check_list_of(&self, header: &Header) -> Result<(), Fail> {
        for reference in header.refs.iter().filter(|reference| reference.rel == Relation::PartOf) {
            let refuse = |code, what: String| {
                Err(Fail::Refused(Refusal::new(code, format!("part_of {}: {what}", reference.record))))
            };
            let head = self.head(&reference.record)?;
            if head.agency != header.agency {
                return refuse(Code::AgencyNotCompetent, format!("{} keeps that list", head.agency));
            }
            match self.status_list(&reference.record)? {
                Some(StatusListDetails { version: 1, .. }) => {}
                Some(list) => {
                    let what = format!("version {} of a list; name its first version", list.version);
                    return refuse(Code::ReferenceNotFound, what);
                }
                None => return refuse(Code::ReferenceNotFound, "no status list".to_owned()),
            }
            if head.current.status != Status::Effective {
                return refuse(Code::BadState, format!("status {}, wants effective", head.current.status));
            }
        }
        Ok(())
    }

    /// Judges a version of a list against block time and the version before.
    pub(super) fn check_status_list(&self, header: &Header, list: &StatusListDetails) -> Result<(), Fail> {
        let refuse = |code, detail: String| Err(Fail::Refused(Refusal::new(code, detail)));
        if list.valid_from_ms > self.latest_capture_ms() {
            return refuse(Code::DateOrder, "valid_from lies after block time".to_owned());
        }
        // Else a list could be renewed as often as one likes under old dates.
        if self.time_ms.saturating_sub(list.valid_from_ms) > u64::from(list.ttl_s) * 1_000 {
            return refuse(Code::DateOrder, "valid_from lies more than ttl_s before block time".to_owned());
        }
        let Params { status_list_bits_min: bits, status_list_ttl_s_min: ttl_s, .. } = self.params;
        if list.previous.is_none() && list.bits < bits {
            return refuse(Code::BadNumber, format!("bits is {}, a new list has {bits} or more", list.bits));
        }
        if list.ttl_s < ttl_s {
            return refuse(Code::BadNumber, format!("ttl_s is {}, wants {ttl_s} or more", list.ttl_s));
        }
        let newest = self.state.read::<RecordId>(&key::newest_list(&header.agency, &list.list))?;
        match (newest, list.previous) {
            (None, None) => Ok(()),
            (Some(newest), None) => {
                refuse(Code::AlreadyExists, format!("the list is begun; its newest version is {newest}"))
            }
            (newest, Some(previous)) if newest != Some(previous) => {
                let newest = newest.map_or_else(|| "none".to_owned(), |record| record.to_string());
                refuse(
                    Code::VersionConflict,
                    format!("previous is {previous}, the newest version is {newest}"),
                )
            }
            (_, Some(previous)) => match self.status_list(&previous)? {
                Some(before) => Ok(list.check_follows(&before)?),
                None => refuse(Code::ReferenceNotFound, format!("previous is {previous}: no status list")),
            },
        }
    }

    /// Makes a version of a list the newest one.
    pub(super) fn keep_newest_list(&mut self, header: &Header) {
        if let Details::StatusList(list) = &header.details {
            self.state.put(key::newest_list(&header.agency, &list.list), header.record.to_canonical());
        }
    }
}
