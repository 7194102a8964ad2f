//! What governance records do to the state: agencies, members and legal bases come, change and go. Validators
//! do too, but only the module `membership` knows when.

use std::collections::BTreeSet;

use super::overlay::Fail;
use super::{Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::crypto::PublicKey;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::record::governance::{AgencyDetails, Role};
use crate::record::{BasisRef, Details, Header};
use crate::state::{AgencyEntry, BasisEntry, CalendarEntry, MemberEntry, RecordHead, Status, key};

impl<L: LedgerRead> Execution<'_, L> {
    /// Keeps the header of a governance record, so that it can take effect when the last approval comes.
    pub(super) fn file_governance(&mut self, header: &Header) -> Result<(), Fail> {
        if header.record_type.governs() {
            self.state.put(key::governance(&header.record, header.version), header.to_canonical());
        }
        Ok(())
    }

    pub(super) fn governance_header(&self, record: &RecordId, version: u32) -> Result<Header, ReadError> {
        self.state
            .read(&key::governance(record, version))?
            .ok_or_else(|| ReadError(format!("header of governance record {record} v{version} is gone")))
    }

    /// Whether a record of governance is the council's to change: agencies, bases, and members whose role the
    /// council grants.
    pub(super) fn is_council_matter(&self, record: &RecordId, head: &RecordHead) -> Result<bool, Fail> {
        if head.record_type.is_of_council() {
            return Ok(true);
        }
        let header = self.governance_header(record, head.current.version)?;
        Ok(matches!(&header.details, Details::Member(details) if details.role.is_granted_by_council()))
    }

    /// Checks again what may have changed since a governance record was filed.
    pub(super) fn check_governance_of(
        &mut self,
        record: &RecordId,
        head: &RecordHead,
        version: u32,
        before: Option<u32>,
    ) -> Result<(), Fail> {
        if !head.record_type.governs() {
            return Ok(());
        }
        let header = self.governance_header(record, version)?;
        self.check_governance(&header, before)
    }

    /// Names must be free, or belong to the record that is amended.
    pub(super) fn check_governance(&mut self, header: &Header, before: Option<u32>) -> Result<(), Fail> {
        if header.record_type.is_of_devices() {
            let before = match before {
                Some(version) => Some(self.governance_header(&header.record, version)?),
                None => None,
            };
            return self.check_device_record(header, before.as_ref());
        }
        if let Some(before) = before {
            self.check_same_name(header, before)?;
        }
        let exists = |what: String| Err(Fail::Refused(Refusal::new(Code::AlreadyExists, what)));
        match &header.details {
            Details::Agency(details) => {
                self.check_types_known(&details.types)?;
                if before.is_none() && self.state.agency(&details.id)?.is_some() {
                    return exists(format!("agency {}", details.id));
                }
                for admin in &details.admins {
                    let taken = self.state.member(&admin.key)?.is_some_and(|member| {
                        member.agency != details.id || member.role != Role::AgencyAdmin
                    });
                    if taken {
                        return exists(format!("a member with key {}", admin.key.short()));
                    }
                    self.check_no_validator_key(&admin.key)?;
                    self.check_no_device_key(&admin.key)?;
                }
            }
            Details::Member(details) => {
                if details.agency != header.agency && !details.role.is_granted_by_council() {
                    let detail = format!("administrators of {} add members of it alone", header.agency);
                    return Err(Refusal::new(Code::AgencyNotCompetent, detail).into());
                }
                if self.state.agency(&details.agency)?.is_none() {
                    let detail = format!("agency {}", details.agency);
                    return Err(Refusal::new(Code::UnknownAgency, detail).into());
                }
                if before.is_none() && self.state.member(&details.key.key)?.is_some() {
                    return exists(format!("a member with key {}", details.key.key.short()));
                }
                self.check_no_device_key(&details.key.key)?;
                self.check_no_validator_key(&details.key.key)?;
            }
            Details::LegalBasis(details) => {
                self.check_types_known(&details.types)?;
                let name = BasisRef { id: details.id.clone(), version: details.version };
                if self.state.basis(&name)?.is_some() {
                    return exists(format!("legal basis {} v{}", name.id, name.version));
                }
            }
            Details::Schema(details) => self.check_schema(details)?,
            Details::Params(details) => self.check_params(details)?,
            Details::Validator(details) => self.check_validator(details, before.is_none())?,
            Details::Calendar(details) => {
                let known = self.state.read::<CalendarEntry>(&key::calendar(u32::from(details.year)))?;
                if before.is_none() && known.is_some_and(|entry| entry.status != Status::Revoked) {
                    return exists(format!("a calendar of the year {}", details.year));
                }
            }
            // No names of governance stand in the others.
            _ => {}
        }
        Ok(())
    }

    fn check_same_name(&self, header: &Header, before: u32) -> Result<(), Fail> {
        let old = self.governance_header(&header.record, before)?;
        let same = match (&old.details, &header.details) {
            (Details::Agency(old), Details::Agency(new)) => old.id == new.id,
            (Details::Member(old), Details::Member(new)) => {
                old.key.key == new.key.key && old.agency == new.agency && old.role == new.role
            }
            (Details::Validator(old), Details::Validator(new)) => {
                old.name == new.name && old.agency == new.agency
            }
            (Details::Calendar(old), Details::Calendar(new)) => old.year == new.year,
            _ => false,
        };
        if same {
            return Ok(());
        }
        let detail = "an amendment keeps agency, a member's key and role, a validator's name and a calendar's year; file a new record for another";
        Err(Refusal::new(Code::NotAmendable, detail).into())
    }

    /// Lets a governance record that became effective govern.
    pub(super) fn govern(
        &mut self,
        record: &RecordId,
        head: &RecordHead,
        before: Option<u32>,
    ) -> Result<(), Fail> {
        let mut header = self.governance_header(record, head.current.version)?;
        match std::mem::take(&mut header.details) {
            Details::Agency(details) => {
                let before = match before {
                    Some(version) => Some(self.governance_header(record, version)?),
                    None => None,
                };
                self.govern_agency(record, &details, before.as_ref())?;
            }
            Details::Member(details) => {
                let entry = MemberEntry {
                    agency: details.agency,
                    role: details.role,
                    from: details.from,
                    to: details.to,
                    label: details.key.label,
                    status: Status::Effective,
                    record: *record,
                };
                self.state.put_member(&details.key.key, &entry);
            }
            Details::LegalBasis(details) => {
                let name = BasisRef { id: details.id.clone(), version: details.version };
                let entry = BasisEntry { details: *details, status: Status::Effective, record: *record };
                self.state.put_basis(&name, &entry);
            }
            Details::Validator(details) => self.govern_validator(record, head.current.version, &details)?,
            Details::Calendar(details) => {
                let year = key::calendar(u32::from(details.year));
                let entry = CalendarEntry { details: *details, status: Status::Effective, record: *record };
                self.state.put(year, entry.to_canonical());
            }
            Details::Schema(details) => self.govern_schema(&header, *details),
            Details::Params(details) => self.govern_params(record, *details),
            Details::Device(details) => self.register_device(record, head, *details)?,
            Details::DeviceKey(event) => self.change_device_key(&event)?,
            // The others govern nothing.
            _ => {}
        }
        Ok(())
    }

    fn govern_agency(
        &mut self,
        record: &RecordId,
        details: &AgencyDetails,
        before: Option<&Header>,
    ) -> Result<(), Fail> {
        self.state.put_agency(&AgencyEntry {
            id: details.id.clone(),
            name: details.name.clone(),
            types: details.types.clone(),
            from: details.from,
            to: details.to,
            status: Status::Effective,
            record: *record,
        });
        let named: BTreeSet<PublicKey> = details.admins.iter().map(|admin| admin.key).collect();
        // Administrators that came with the record and are named no longer.
        if let Some(Header { details: Details::Agency(before), .. }) = before {
            for admin in before.admins.iter().filter(|admin| !named.contains(&admin.key)) {
                if let Some(member) = self.state.member(&admin.key)?
                    && member.record == *record
                {
                    let entry = MemberEntry { status: Status::Revoked, ..(*member).clone() };
                    self.state.put_member(&admin.key, &entry);
                }
            }
        }
        for admin in &details.admins {
            // An administrator with a record of its own is governed by that record.
            let known = self.state.member(&admin.key)?;
            if known.is_some_and(|member| member.record != *record) {
                continue;
            }
            let entry = MemberEntry {
                agency: details.id.clone(),
                role: Role::AgencyAdmin,
                from: details.from,
                to: details.to,
                label: admin.label.clone(),
                status: Status::Effective,
                record: *record,
            };
            self.state.put_member(&admin.key, &entry);
        }
        Ok(())
    }

    /// Carries a change of status over to what the record governs.
    pub(super) fn governance_status(&mut self, record: &RecordId, head: &RecordHead) -> Result<(), Fail> {
        let status = head.current.status;
        let header = self.governance_header(record, head.current.version)?;
        match &header.details {
            Details::Agency(details) => {
                if let Some(entry) = self.state.agency(&details.id)? {
                    self.state.put_agency(&AgencyEntry { status, ..(*entry).clone() });
                }
            }
            Details::Member(details) => {
                if let Some(entry) = self.state.member(&details.key.key)? {
                    self.state.put_member(&details.key.key, &MemberEntry { status, ..(*entry).clone() });
                }
            }
            Details::LegalBasis(details) => {
                let name = BasisRef { id: details.id.clone(), version: details.version };
                if let Some(entry) = self.state.basis(&name)? {
                    self.state.put_basis(&name, &BasisEntry { status, ..(*entry).clone() });
                }
            }
            Details::Validator(details) => self.validator_status(record, status, details)?,
            Details::Calendar(details) => {
                let year = key::calendar(u32::from(details.year));
                let entry = self.state.read::<CalendarEntry>(&year)?;
                // A year may have got another calendar since this one was revoked.
                if let Some(entry) = entry.filter(|entry| entry.record == *record) {
                    self.state.put(year, CalendarEntry { status, ..entry }.to_canonical());
                }
            }
            Details::Schema(_) => self.schema_status(&header, status)?,
            Details::Params(details) => self.params_status(record, status, details)?,
            Details::Device(_) => self.device_status(record, status)?,
            // The others govern nothing whose status could change.
            _ => {}
        }
        Ok(())
    }
}
