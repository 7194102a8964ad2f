//! Whether a key was a member's in that role, then: from the log's own word on members and agencies.

use std::cell::RefCell;
use std::collections::BTreeMap;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::PublicKey;
use chain_core::execute::ChainParams;
use chain_core::id::RecordId;
use chain_core::layout::Layout;
use chain_core::leaf::{Leaf, SignedLeaf};
use chain_core::lifecycle::replay::{Bases, Life, Moment};
use chain_core::org::OrgId;
use chain_core::record::governance::{BasisDetails, Role};
use chain_core::record::{BasisRef, Details, Header};
use chain_core::state::{AgencyEntry, BasisEntry, DeviceKeyEntry, EntryName, MemberEntry, Status};

use super::judge::Trail;
use super::source::{Source, wrong};
use crate::commands::auditor::audit::verify::Stopped;

/// A record's leaves, each with its place.
pub(super) type Leaves = Vec<(u64, Leaf)>;

/// The records that give rights, as far as they were asked for.
pub(super) struct Rights<'a, S> {
    trail: &'a Trail<'a, S>,
    chain: ChainParams,
    members: RefCell<BTreeMap<PublicKey, RecordId>>,
    agencies: RefCell<BTreeMap<String, RecordId>>,
    lives: RefCell<BTreeMap<RecordId, Leaves>>,
}

impl<'a, S: Source> Rights<'a, S> {
    pub(super) fn new(trail: &'a Trail<'a, S>, chain: ChainParams) -> Self {
        let (members, agencies, lives) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { trail, chain, members, agencies, lives }
    }

    /// That the signer of a step was in office in that role, and its agency in force; says by which records.
    pub(super) fn check(&self, place: u64, moment: Moment, leaf: &SignedLeaf) -> Result<String, Stopped> {
        let SignedLeaf { author, agency, role, .. } = leaf;
        let refuse = |code, why: String| {
            wrong(Some(moment.height), code, format!("leaf {place}: key {}: {why}", author.short()))
        };
        let named = match role {
            Role::Device => self.device(author, moment)?,
            _ => self.member(author)?,
        };
        let member = named.ok_or_else(|| refuse(Code::UnknownAuthor, "is no member's".to_owned()))?;
        let held = self.held(&member, place)?;
        let (own, from, to) = match &held {
            None => {
                return Err(refuse(Code::UnknownAuthor, format!("record {member} made it a member later")));
            }
            Some((header, status)) => {
                if *status != Status::Effective {
                    return Err(refuse(Code::MemberSuspended, format!("record {member} was {status}")));
                }
                office(header, author).ok_or_else(|| {
                    refuse(Code::UnknownAuthor, format!("record {member} did not name it then"))
                })?
            }
        };
        if own != (agency, *role) {
            let detail = format!("acts as {role} of {agency}, record {member} says {} of {}", own.1, own.0);
            return Err(refuse(Code::RoleNotAllowed, detail));
        }
        if moment.day < from || to.is_some_and(|to| moment.day > to) {
            return Err(refuse(Code::MemberSuspended, format!("not in office on {}", moment.day)));
        }
        self.check_agency(place, moment, agency, leaf)?;
        Ok(format!("{role} of {agency} by record {member}"))
    }

    fn check_agency(
        &self,
        place: u64,
        moment: Moment,
        agency: &OrgId,
        leaf: &SignedLeaf,
    ) -> Result<(), Stopped> {
        let refuse = |why: String| {
            wrong(Some(moment.height), Code::AgencySuspended, format!("leaf {place}: agency {agency} {why}"))
        };
        let record = self.agency(agency)?.ok_or_else(|| refuse("is not in the ledger".to_owned()))?;
        let Some((header, status)) = self.held(&record, place)? else {
            return Err(refuse("came later".to_owned()));
        };
        let Details::Agency(details) = &header.details else {
            return Err(refuse(format!("is none by record {record}")));
        };
        if status != Status::Effective
            || moment.day < details.from
            || details.to.is_some_and(|to| moment.day > to)
        {
            return Err(refuse(format!("was {status} and no member on {}", moment.day)));
        }
        match leaf.operation.header() {
            Some(filed)
                if !filed.record_type.is_governance() && !details.types.contains(&filed.record_type) =>
            {
                let detail = format!("leaf {place}: agency {agency} may not file {}", filed.record_type);
                Err(wrong(Some(moment.height), Code::AgencyNotCompetent, detail))
            }
            _ => Ok(()),
        }
    }

    /// The record that makes a key a member's.
    pub(super) fn member(&self, key: &PublicKey) -> Result<Option<RecordId>, Stopped> {
        if let Some(known) = self.members.borrow().get(key) {
            return Ok(Some(*known));
        }
        let found = self.trail.entry::<MemberEntry>(&EntryName::Member(*key))?.map(|entry| entry.record);
        if let Some(record) = found {
            self.members.borrow_mut().insert(*key, record);
        }
        Ok(found)
    }

    /// The registration of the device that had a key in force then.
    fn device(&self, key: &PublicKey, moment: Moment) -> Result<Option<RecordId>, Stopped> {
        let found = self.trail.entry::<DeviceKeyEntry>(&EntryName::DeviceKey(*key))?;
        Ok(found.filter(|entry| entry.is_in_force(moment.time_ms)).map(|entry| entry.device))
    }

    fn agency(&self, agency: &OrgId) -> Result<Option<RecordId>, Stopped> {
        let name = agency.to_string();
        if let Some(known) = self.agencies.borrow().get(&name) {
            return Ok(Some(*known));
        }
        let found =
            self.trail.entry::<AgencyEntry>(&EntryName::Agency(agency.clone()))?.map(|entry| entry.record);
        if let Some(record) = found {
            self.agencies.borrow_mut().insert(name, record);
        }
        Ok(found)
    }

    /// What a governance record said before a leaf: the header in effect and its status; none before its first leaf.
    pub(super) fn held(&self, record: &RecordId, place: u64) -> Result<Option<(Header, Status)>, Stopped> {
        if !self.lives.borrow().contains_key(record) {
            let leaves = self.trail.leaves(record)?;
            // All of it must lead to what the state holds of it, so that nothing that still counts was left out.
            let life = self.replay(record, &leaves, u64::MAX)?;
            self.trail.check_head(record, &life)?;
            self.lives.borrow_mut().insert(*record, leaves);
        }
        let lives = self.lives.borrow();
        let life = self.replay(record, lives.get(record).map_or(&[][..], Vec::as_slice), place)?;
        let Some(head) = life.head() else { return Ok(None) };
        let current = life.versions().iter().rev().find(|one| one.header.version == head.current.version);
        Ok(current.map(|one| (one.header.clone(), head.current.status)))
    }

    fn replay(&self, record: &RecordId, leaves: &[(u64, Leaf)], before: u64) -> Result<Life, Stopped> {
        let mut life = Life::new(self.chain, *record);
        for (index, leaf) in leaves.iter().take_while(|(index, _)| *index < before) {
            life.take(*index, leaf, self)
                .map_err(|refusal| self.trail.illegal(*index, leaf.moment().0, &refusal))?;
        }
        Ok(life)
    }
}

impl<S: Source> Bases for Rights<'_, S> {
    fn basis(&self, basis: &BasisRef) -> Result<Option<BasisDetails>, Refusal> {
        let entry = self.trail.entry::<BasisEntry>(&EntryName::Basis(basis.clone()));
        entry.map(|entry| entry.map(|entry| entry.details)).map_err(|stopped| match stopped {
            Stopped::Found(finding, _) => finding.refusal,
            Stopped::Failed(error) => error.refusal,
        })
    }
}

/// The office that a record gives a key: agency, role, first and last day.
fn office<'h>(
    header: &'h Header,
    key: &PublicKey,
) -> Option<((&'h OrgId, Role), chain_core::date::Date, Option<chain_core::date::Date>)> {
    match &header.details {
        Details::Member(details) if details.key.key == *key => {
            Some(((&details.agency, details.role), details.from, details.to))
        }
        // Administrators that came with their agency.
        Details::Agency(details) if details.admins.iter().any(|admin| admin.key == *key) => {
            Some(((&details.id, Role::AgencyAdmin), details.from, details.to))
        }
        // Which of its keys counted then, the state says.
        Details::Device(_) => Some(((&header.agency, Role::Device), chain_core::date::Date::MIN, None)),
        _ => None,
    }
}

/// A value of the state, decoded.
pub(super) fn decoded<T: Layout>(entry: &EntryName, value: &[u8]) -> Result<T, Stopped> {
    T::from_canonical(value).map_err(|error| wrong(None, Code::ReceiptMalformed, format!("{entry}: {error}")))
}
