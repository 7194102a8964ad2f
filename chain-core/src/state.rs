//! What the state holds: keys, and the values under them.
//!
//! A state key is a kind byte and then the entry's own name. Kinds below 0x80 stand in the state tree and so
//! under the certified root; kinds from 0x80 are indexes that follow from the others and from the blocks
//! (queues of due dates, transaction ids, natural keys) and stay out of it.
//!
//! | kind | name | value |
//! |---|---|---|
//! | 0x01 | record id | [`RecordHead`] |
//! | 0x02 | agency | [`AgencyEntry`] |
//! | 0x03 | member key | [`MemberEntry`] |
//! | 0x04 | basis id, version | [`BasisEntry`] |
//! | 0x05 | record id, version | header of a governance record, pending or in force |
//! | 0x06 | validator's name | [`ValidatorEntry`] |
//! | 0x07 | nothing | [`EpochEntry`] |
//! | 0x08 | 1, consensus key, kind, epoch, view | [`OffenceEntry`] |
//! | 0x08 | 2, consensus key | [`OffenderEntry`] |
//! | 0x08 | 3, epoch, place in the set | height from which on that lane is frozen |
//! | 0x08 | 4, epoch | the validator set of this epoch, and of the one before |
//! | 0x09 | nothing | [`crate::recovery::RecoveryKeys`] |
//! | 0x0a | nothing | [`crate::subject::IndexEntry`] |
//! | 0x0b | record id | [`ErasureEntry`] |
//! | 0x0c | year | [`CalendarEntry`] |
//! | 0x0d | type key, version | [`SchemaEntry`] |
//! | 0x0e | first day, the latest one first | [`ParamsEntry`] |
//! | 0x10 | record id of a registration | [`DeviceEntry`] |
//! | 0x11 | record id of a registration, stream | [`StreamEntry`] |
//! | 0x12 | device key | [`DeviceKeyEntry`] |
//! | 0x13 | agency, day | record id of the root of the agency's log of reads on that day |
//! | 0x81 | transaction id | `valid_until_ms` |
//! | 0x82 | `valid_until_ms`, transaction id | nothing; the queue of ids to forget |
//! | 0x83 | due day, record id, step | nothing; the queue of automatic steps |
//! | 0x84 | type, agency, natural key | record id |
//! | 0x85 | nothing | time up to which transaction ids are forgotten |
//! | 0x86 | record id, version | [`crate::subject::Listing`] of a version that is or will be published |
//! | 0x87 | first day of publication, record id | nothing; the queue of records to list |
//! | 0x88 | record id | version that the index of subjects lists |
//! | 0x89 | subject tag, record id | the same |
//! | 0x8a | record id | nothing: a version may be listed whose body was erased before this ledger saw it |
//! | 0x8b | record id, [`BodyPlace`] | nothing: an operation there did nothing and brought a body for the record |
//! | 0x8c | record id, relation, record id | nothing: the second record refers to the first, and its steps may follow |
//! | 0x8d | record id | how many records lie below it in the longest chain that it rests on |
//! | 0x8e | height, record id, what happened to it | last dependant done; the queue of cascades to go on with |
//! | 0x90 | agency, day of beginning, record id, step | [`crate::record::deadline::Duty`]: what the agency owes |
//! | 0x91 | record id, step | the agency that owes it |
//! | 0x98 | time, record id of a registration, stream | nothing; the queue of promises that run out |
//! | 0x99 | height, number | a gap that a block had no room for |
//! | 0x9a | record id of a batch | record id of its device's registration, time of the last reading |
//! | 0x9b | record id | [`crate::record::Details`] that later records of its chain are held against |
//! | 0x9c | time, record id | nothing; the queue of alerts that took effect before their approval |
//! | 0x9d | agency, digest of an ocid | where the procurement stands |
//! | 0x9e | agency, digest of a status list's number | record id of its newest version |

mod accuse;
mod calendar;
mod chain;
mod device;
mod erasure;
mod head;
mod membership;
mod name;
mod params;
mod schema;
pub mod tree;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::{Digest, PublicKey};
use crate::date::Date;
use crate::id::{Height, RecordId, TxId};
use crate::layout::{Layout, closed_list, read_list, read_option, write_list, write_option};
use crate::operation::Step;
use crate::org::OrgId;
use crate::record::governance::{BasisDetails, LIST_MAX, Role};
pub use accuse::{OffenceEntry, OffenderEntry, author_of_frozen_lane};
pub use calendar::CalendarEntry;
pub(crate) use chain::{ProcessEntry, StageEntry};
pub use device::{DeviceEntry, DeviceKeyEntry, StreamEntry};
pub use erasure::{BodyPlace, Confirmation, ErasureEntry};
pub use head::{
    ANNOTATIONS_MAX, Act, DUTIES_MAX, Needs, Pending, RecordHead, RegisteredHead, SIGNERS_MAX, Signer,
    VersionHead,
};
pub use membership::{EpochEntry, NAMES_MAX, ReadyEntry, Scheduled, ValidatorEntry};
pub use name::EntryName;
pub use params::ParamsEntry;
pub use schema::SchemaEntry;

use crate::record::{BasisRef, CODE_BYTES_MAX, NAME_BYTES_MAX, RecordType, Relation};

closed_list!(
    /// Where a version of a record stands; exactly one.
    Status as u8, "status" {
        /// Filed, waiting for approvals.
        Submitted = 1, "submitted";
        /// In effect.
        Effective = 2, "effective";
        /// Out of effect for a time.
        Suspended = 3, "suspended";
        /// Replaced by a later version.
        Superseded = 4, "superseded";
        /// Repaired: the conduct was put right.
        Repaired = 5, "repaired";
        /// Ended by the agency.
        Revoked = 6, "revoked";
        /// Ended by its own date.
        Expired = 7, "expired";
        /// Taken back before the decision.
        Withdrawn = 8, "withdrawn";
        /// Refused by an approver.
        Rejected = 9, "rejected";
        /// Body disposed of at the end of retention.
        Sealed = 10, "sealed";
        /// Body and salt destroyed on a lawful ground.
        Erased = 11, "erased";
    }
);

/// Marks on a record, any number of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags(u8);

impl Flags {
    /// No mark.
    pub const NONE: Self = Self(0);
    /// An objection is open.
    pub const DISPUTED: Self = Self(1);
    /// A review or court case is open.
    pub const UNDER_REVIEW: Self = Self(2);
    /// No longer shown or used.
    pub const PUBLICATION_STOPPED: Self = Self(4);
    /// May be neither sealed nor erased.
    pub const LEGAL_HOLD: Self = Self(8);
    /// Of a gap: a record of the device's agency says why it came about.
    pub const EXPLAINED: Self = Self(16);

    /// Took effect at once and was not approved in time afterwards. The mark stays.
    pub const UNCONFIRMED: Self = Self(32);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::DISPUTED, "disputed"),
        (Self::UNDER_REVIEW, "under_review"),
        (Self::PUBLICATION_STOPPED, "publication_stopped"),
        (Self::LEGAL_HOLD, "legal_hold"),
        (Self::EXPLAINED, "explained"),
        (Self::UNCONFIRMED, "unconfirmed"),
    ];

    /// The bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Flags from bits; `None` when an unknown bit is set.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits > 63 { None } else { Some(Self(bits)) }
    }

    /// Whether all marks of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The names of the marks that are set.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| *name).collect()
    }
}

impl Status {
    /// Whether the bodies of a record with this status are gone.
    pub const fn is_without_bodies(self) -> bool {
        matches!(self, Self::Sealed | Self::Erased)
    }
}

impl Serialize for Flags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.names().serialize(serializer)
        } else {
            serializer.serialize_u8(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        if !deserializer.is_human_readable() {
            return Self::from_bits(u8::deserialize(deserializer)?)
                .ok_or_else(|| D::Error::custom("unknown flag"));
        }
        Vec::<String>::deserialize(deserializer)?.iter().try_fold(Self::NONE, |flags, name| {
            let known = Self::NAMES.iter().find(|(_, known)| known == name);
            known.map(|(flag, _)| flags.with(*flag)).ok_or_else(|| D::Error::custom("unknown flag"))
        })
    }
}

impl Layout for Flags {
    fn write(&self, writer: &mut Writer) {
        writer.u8(self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Self::from_bits(reader.u8()?).ok_or_else(|| reader.error("unknown flag"))
    }
}

/// An agency as authorisation sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AgencyEntry {
    /// The agency.
    pub id: OrgId,
    /// Its official name.
    pub name: String,
    /// The types it may file, ascending.
    pub types: Vec<RecordType>,
    /// First day of membership.
    pub from: Date,
    /// Last day of membership.
    pub to: Option<Date>,
    /// Effective, suspended, revoked or expired.
    pub status: Status,
    /// The record that says so.
    pub record: RecordId,
}

impl AgencyEntry {
    /// Whether it may act on a day.
    pub fn is_in_force(&self, today: Date) -> bool {
        self.status == Status::Effective && self.from <= today && self.to.is_none_or(|to| today <= to)
    }
}

impl Layout for AgencyEntry {
    fn write(&self, writer: &mut Writer) {
        self.id.write(writer);
        writer.text(&self.name);
        write_list(writer, &self.types);
        self.from.write(writer);
        write_option(writer, self.to.as_ref());
        self.status.write(writer);
        self.record.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            id: OrgId::read(reader)?,
            name: reader.text(NAME_BYTES_MAX)?,
            types: read_list(reader, LIST_MAX)?,
            from: Date::read(reader)?,
            to: read_option(reader)?,
            status: Status::read(reader)?,
            record: RecordId::read(reader)?,
        })
    }
}

/// A member as authorisation sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MemberEntry {
    /// The agency it acts for.
    pub agency: OrgId,
    /// What it may do.
    pub role: Role,
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Option<Date>,
    /// The post.
    pub label: String,
    /// Effective, suspended, revoked or expired.
    pub status: Status,
    /// The record that says so: of the member, or of the agency it came with.
    pub record: RecordId,
}

impl MemberEntry {
    /// Refuses a member that may not act on a day.
    ///
    /// # Errors
    /// `MEMBER_SUSPENDED`.
    pub fn check_in_office(&self, member: &PublicKey, today: Date) -> Result<(), Refusal> {
        let refuse = |why: String| {
            Err(Refusal::new(Code::MemberSuspended, format!("member {}: {why}", member.short())))
        };
        if self.status != Status::Effective {
            return refuse(format!("status {}", self.status));
        }
        if today < self.from || self.to.is_some_and(|to| today > to) {
            return refuse(format!("not in office on {today}"));
        }
        Ok(())
    }
}

impl Layout for MemberEntry {
    fn write(&self, writer: &mut Writer) {
        self.agency.write(writer);
        self.role.write(writer);
        self.from.write(writer);
        write_option(writer, self.to.as_ref());
        writer.text(&self.label);
        self.status.write(writer);
        self.record.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            agency: OrgId::read(reader)?,
            role: Role::read(reader)?,
            from: Date::read(reader)?,
            to: read_option(reader)?,
            label: reader.text(CODE_BYTES_MAX)?,
            status: Status::read(reader)?,
            record: RecordId::read(reader)?,
        })
    }
}

/// A version of a legal basis as rules see it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BasisEntry {
    /// Its content.
    pub details: BasisDetails,
    /// Effective, suspended, revoked or expired.
    pub status: Status,
    /// The record that says so.
    pub record: RecordId,
}

impl Layout for BasisEntry {
    fn write(&self, writer: &mut Writer) {
        self.details.write(writer);
        self.status.write(writer);
        self.record.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            details: BasisDetails::read(reader)?,
            status: Status::read(reader)?,
            record: RecordId::read(reader)?,
        })
    }
}

/// State keys.
pub mod key {
    use super::{
        BasisRef, BodyPlace, Date, Digest, Height, Layout, OrgId, PublicKey, RecordId, RecordType, Relation,
        Step, TxId, Writer,
    };
    use crate::subject::SubjectTag;

    pub use super::accuse::key::*;
    pub use super::calendar::key::*;
    pub use super::chain::key::*;
    pub use super::device::key::*;
    pub use super::params::key::*;
    pub use super::schema::key::*;

    /// Kinds from here on are derived indexes and stay out of the state tree.
    pub const DERIVED: u8 = 0x80;

    fn of<T: Layout>(kind: u8, name: &T) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(kind);
        name.write(&mut writer);
        writer.finish()
    }

    /// Whether an entry stands in the state tree.
    pub fn is_in_tree(key: &[u8]) -> bool {
        key.first().is_some_and(|&kind| kind < DERIVED)
    }

    /// Of a [`super::RecordHead`].
    pub fn record(record: &RecordId) -> Vec<u8> {
        of(0x01, record)
    }

    /// Of an [`super::AgencyEntry`].
    pub fn agency(agency: &OrgId) -> Vec<u8> {
        of(0x02, agency)
    }

    /// Of a [`super::MemberEntry`].
    pub fn member(member: &PublicKey) -> Vec<u8> {
        of(0x03, member)
    }

    /// Of a [`super::BasisEntry`].
    pub fn basis(basis: &BasisRef) -> Vec<u8> {
        of(0x04, basis)
    }

    /// Of the header of a governance record.
    pub fn governance(record: &RecordId, version: u32) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(0x05).digest(record.digest()).u32(version);
        writer.finish()
    }

    /// Of a [`super::ValidatorEntry`].
    pub fn validator(name: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(0x06).text(name);
        writer.finish()
    }

    /// Of the [`super::EpochEntry`].
    pub fn epoch() -> Vec<u8> {
        vec![0x07]
    }

    /// Of the [`crate::recovery::RecoveryKeys`].
    pub fn recovery() -> Vec<u8> {
        vec![0x09]
    }

    /// Of the [`crate::subject::IndexEntry`].
    pub fn index() -> Vec<u8> {
        vec![0x0a]
    }

    /// Of an [`super::ErasureEntry`].
    pub fn erasure(record: &RecordId) -> Vec<u8> {
        of(0x0b, record)
    }

    /// Of a record of which a version may be listed whose body this ledger never saw.
    pub fn unseen(record: &RecordId) -> Vec<u8> {
        of(0x8a, record)
    }

    /// First and last possible key of every such record.
    pub fn all_unseen() -> (Vec<u8>, Vec<u8>) {
        (vec![0x8a], vec![0x8b])
    }

    /// Of a body for a record that an operation without effect brought.
    pub fn idle_body(record: &RecordId, place: &BodyPlace) -> Vec<u8> {
        let mut writer = Writer::with_capacity(56);
        writer.u8(0x8b).digest(record.digest());
        place.write(&mut writer);
        writer.finish()
    }

    /// First and last possible key of every such body of a record.
    pub fn idle_bodies(record: &RecordId) -> (Vec<u8>, Vec<u8>) {
        (of(0x8b, record), [&of(0x8b, record)[..], &[0xff; 19]].concat())
    }

    /// Where the body of such a key stands.
    pub fn parse_idle_body(key: &[u8]) -> Option<BodyPlace> {
        BodyPlace::from_canonical(key.get(33..)?).ok()
    }

    /// Of a [`crate::subject::Listing`].
    pub fn listing(record: &RecordId, version: u32) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(0x86).digest(record.digest()).u32(version);
        writer.finish()
    }

    /// In the queue of records to list.
    pub fn to_list(day: Date, record: &RecordId) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(0x87).u32(day.day_number()).digest(record.digest());
        writer.finish()
    }

    /// First key of the queue of records to list on or after a day.
    pub fn to_list_from(day: Date) -> Vec<u8> {
        let mut writer = Writer::with_capacity(8);
        writer.u8(0x87).u32(day.day_number());
        writer.finish()
    }

    /// Of the version that the index lists.
    pub fn listed(record: &RecordId) -> Vec<u8> {
        of(0x88, record)
    }

    /// Of the version of a record that the index lists under a subject's tag.
    pub fn listed_under(tag: &SubjectTag, record: &RecordId) -> Vec<u8> {
        [&all_listed_under(tag)[..], record.digest().as_bytes()].concat()
    }

    /// What all keys of a subject's listed records begin with.
    pub fn all_listed_under(tag: &SubjectTag) -> Vec<u8> {
        let mut writer = Writer::with_capacity(72);
        writer.u8(0x89).digest(tag.digest());
        writer.finish()
    }

    /// Whether earlier values of an entry are of use: for proofs of how things stood.
    pub fn has_history(key: &[u8]) -> bool {
        key.first().is_some_and(|&kind| kind < DERIVED || matches!(kind, 0x86 | 0x89))
    }

    /// The record of an entry of the index of subjects that links it with its organisation.
    pub fn links(key: &[u8]) -> Option<&[u8]> {
        match key.first() {
            Some(0x86) => key.get(1..33),
            Some(0x89) => key.get(33..65),
            _ => None,
        }
    }

    /// First and last possible keys of all entries that link records with their organisations.
    pub fn all_links() -> [(Vec<u8>, Vec<u8>); 2] {
        [(vec![0x86], vec![0x87]), (vec![0x89], vec![0x8a])]
    }

    /// First and last possible key of every record that the index lists.
    pub fn all_listed() -> (Vec<u8>, Vec<u8>) {
        (vec![0x88], vec![0x89])
    }

    /// First and last possible key of every validator, revoked ones included.
    pub fn all_validators() -> (Vec<u8>, Vec<u8>) {
        (vec![0x06], vec![0x07])
    }

    /// Of a transaction that is still valid.
    pub fn transaction(tx: &TxId) -> Vec<u8> {
        of(0x81, tx)
    }

    /// In the queue of transaction ids to forget.
    pub fn forget(valid_until_ms: u64, tx: &TxId) -> Vec<u8> {
        let mut writer = Writer::with_capacity(72);
        writer.u8(0x82).u64(valid_until_ms).digest(tx.digest());
        writer.finish()
    }

    /// First key of the queue of ids to forget with `valid_until_ms` at or after a time.
    pub fn forget_from(valid_until_ms: u64) -> Vec<u8> {
        let mut writer = Writer::with_capacity(72);
        writer.u8(0x82).u64(valid_until_ms);
        writer.finish()
    }

    /// In the queue of automatic steps.
    pub fn due(day: Date, record: &RecordId, step: Step) -> Vec<u8> {
        let mut writer = Writer::with_capacity(72);
        writer.u8(0x83).u32(day.day_number()).digest(record.digest()).u8(step.number());
        writer.finish()
    }

    /// First key of the queue of automatic steps due on or after a day.
    pub fn due_from(day: Date) -> Vec<u8> {
        let mut writer = Writer::with_capacity(72);
        writer.u8(0x83).u32(day.day_number());
        writer.finish()
    }

    /// Of a record that refers to another one whose steps it follows.
    pub fn dependant(base: &RecordId, rel: Relation, record: &RecordId) -> Vec<u8> {
        [&dependants_after(base, rel, None)[..], record.digest().as_bytes()].concat()
    }

    /// What all keys of records that so refer to one begin with, or the key right after one of them.
    pub fn dependants_after(base: &RecordId, rel: Relation, after: Option<&RecordId>) -> Vec<u8> {
        let mut writer = Writer::with_capacity(72);
        writer.u8(0x8c).digest(base.digest()).u8(rel.number());
        if let Some(after) = after {
            writer.digest(after.digest()).u8(0);
        }
        writer.finish()
    }

    /// The key after those of all records that so refer to one.
    pub fn dependants_end(base: &RecordId, rel: Relation) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(0x8c).digest(base.digest()).u8(rel.number().saturating_add(1));
        writer.finish()
    }

    /// The referring record of such a key.
    pub fn parse_dependant(key: &[u8]) -> Option<RecordId> {
        RecordId::from_canonical(key.get(34..)?).ok()
    }

    /// Of how many records lie below one.
    pub fn base_depth(record: &RecordId) -> Vec<u8> {
        of(0x8d, record)
    }

    /// In the queue of cascades.
    pub fn cascade(height: Height, record: &RecordId, step: Step) -> Vec<u8> {
        let mut writer = Writer::with_capacity(48);
        writer.u8(0x8e).u64(height.get()).digest(record.digest()).u8(step.number());
        writer.finish()
    }

    /// First and last possible key of the queue of cascades.
    pub fn all_cascades() -> (Vec<u8>, Vec<u8>) {
        (vec![0x8e], vec![0x8f])
    }

    /// The record of such a key, and what happened to it.
    pub fn parse_cascade(key: &[u8]) -> Option<(RecordId, Step)> {
        let mut reader = crate::canonical::Reader::new(key.get(9..)?);
        Some((RecordId::read(&mut reader).ok()?, Step::read(&mut reader).ok()?))
    }

    /// Of the record with an agency's own number.
    pub fn natural(record_type: RecordType, agency: &OrgId, natural_key: &Digest) -> Vec<u8> {
        let mut writer = Writer::with_capacity(72);
        record_type.write(writer.u8(0x84));
        agency.write(&mut writer);
        writer.digest(natural_key);
        writer.finish()
    }

    /// Of the time up to which transaction ids are forgotten; spares the scan over what was removed.
    pub fn forget_cursor() -> Vec<u8> {
        vec![0x85]
    }

    /// First and last possible key of every record head, for walks over all records.
    pub fn all_records() -> (Vec<u8>, Vec<u8>) {
        (vec![0x01], vec![0x02])
    }

    /// First and last possible key of every agency.
    pub fn all_agencies() -> (Vec<u8>, Vec<u8>) {
        (vec![0x02], vec![0x03])
    }

    /// First and last possible key of every member.
    pub fn all_members() -> (Vec<u8>, Vec<u8>) {
        (vec![0x03], vec![0x04])
    }

    /// First and last possible key of every legal basis.
    pub fn all_bases() -> (Vec<u8>, Vec<u8>) {
        (vec![0x04], vec![0x05])
    }
}
