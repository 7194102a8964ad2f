//! Records: official acts as a small public header and, for most, a removable body.
//!
//! The [`Header`] identifies no person and holds everything a state change needs, so a validator that
//! replays history after a body was erased reaches the same state. The body is canonical JSON bound to the
//! header by a salted commitment; its shapes and rules stand one file per family:
//! [`alert`], [`credit`] (licences and penalties), [`egov`] (decisions and document fingerprints), [`device`] (devices, batches of
//! readings and gaps), [`governance`] (agencies, members and legal bases), [`calendar`], [`schema`] and [`validator`]. The last
//! four have no body: their content is in the header's [`Details`]. Types without rules of their own in Rust are
//! [`registered`]: the council votes their schema.
//!
//! # Classes
//! P0 and P1 bodies are held and judged by every validator. P2 to P4 bodies never reach them; countersigners
//! attest those. Persons and individual businesses are P3 (PIPL arts. 4, 28; GB 32100 prefix 92).

pub mod access;
pub mod alert;
pub mod body;
pub mod calendar;
pub mod credit;
pub mod deadline;
pub mod device;
pub mod egov;
pub mod governance;
pub mod health;
pub mod params;
pub mod record_type;
pub mod registered;
pub mod schema;
pub mod type_file;
pub mod validator;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::{Digest, PublicKey, hmac_sha256};
use crate::date::Date;
use crate::id::{ChainId, RecordId};
use crate::layout::{Layout, closed_list, read_list, read_option, write_list, write_option};
use crate::org::OrgId;
use access::AccessRootDetails;
use alert::AlertDetails;
use calendar::CalendarDetails;
use device::batch::BatchDetails;
use device::gap::GapDetails;
use device::{DeviceDetails, KeyEventDetails};
use egov::certificate::StatusListDetails;
use egov::procurement::ProcurementDetails;
use governance::{AgencyDetails, BasisDetails, MemberDetails};
use health::CommitBatchDetails;
use params::ParamsDetails;
pub use record_type::{Lifecycle, RecordType, TypeKey};
use schema::{SchemaDetails, TypeTerms};
use validator::ValidatorDetails;

/// Most references of a header.
pub const REFERENCES_MAX: usize = 32;
/// Most officers named in a header.
pub const OFFICERS_MAX: usize = 8;
/// Most bytes of an identifier or code.
pub const CODE_BYTES_MAX: usize = 64;
/// Most bytes of a name.
pub const NAME_BYTES_MAX: usize = 256;
/// Most canonical bytes of one operation, so that its leaf stays under 65,535 (C2SP tlog-tiles).
pub const OPERATION_BYTES_MAX: usize = 32 * 1024;

closed_list!(
    /// Who may hold and see a body.
    Class as u8, "privacy class" {
        /// Public acts and facts about things.
        P0 = 0, "P0";
        /// Acts about organisations that are published for a time.
        P1 = 1, "P1";
        /// Restricted business or security data.
        P2 = 2, "P2";
        /// Persons, and organisations that are persons in practice.
        P3 = 3, "P3";
        /// Sensitive data of persons.
        P4 = 4, "P4";
    }
);

impl Class {
    /// Whether the body travels to all validators and is judged by them.
    pub const fn body_is_shared(self) -> bool {
        matches!(self, Self::P0 | Self::P1)
    }
}

closed_list!(
    /// What kind of subject a record is about.
    SubjectKind as u8, "subject kind" {
        /// No subject.
        None = 0, "none";
        /// A legal person or another organisation.
        Organisation = 1, "organisation";
        /// An individual business, a person in practice.
        IndividualBusiness = 2, "individual_business";
        /// A natural person.
        Person = 3, "person";
        /// A thing or place.
        Thing = 4, "thing";
    }
);

impl SubjectKind {
    /// Whether data about it is personal.
    pub const fn is_personal(self) -> bool {
        matches!(self, Self::IndividualBusiness | Self::Person)
    }
}

closed_list!(
    /// How grave a penalised conduct is; decides how long it may be published (NDRC Order 36 of 2025).
    Severity as u8, "severity" {
        /// Not published, or for a short time.
        Minor = 1, "minor";
        /// The usual case.
        Ordinary = 2, "ordinary";
        /// Published longest; needs legal review.
        Serious = 3, "serious";
    }
);

closed_list!(
    /// How a record relates to another one.
    Relation as u8, "relation" {
        /// Rests on it and ends with it.
        BasedOn = 1, "based_on";
        /// Is about it.
        Concerns = 2, "concerns";
        /// Is proved by it.
        Evidence = 3, "evidence";
        /// Was announced by it.
        Notice = 4, "notice";
        /// Takes its place: of a registered type of the same agency, that one is superseded.
        Replaces = 5, "replaces";
        /// Belongs to it.
        PartOf = 6, "part_of";
        /// Follows it in one procedure.
        PreviousInProcess = 7, "previous_in_process";
        /// Says that it is wrong or shown too long.
        ObjectsTo = 8, "objects_to";
        /// Asks for its repair.
        Repairs = 9, "repairs";
        /// Says why a gap in a stream came about.
        Explains = 10, "explains";
        /// Of an alert: takes its place, or calls it off.
        Updates = 11, "updates";
    }
);

impl Relation {
    /// Whether the ledger keeps it in both directions, because steps on the one record follow from steps on the other.
    pub const fn is_followed(self) -> bool {
        matches!(self, Self::BasedOn | Self::ObjectsTo | Self::Repairs | Self::Explains | Self::Updates)
    }

    /// Whether the head of a record keeps it, because later steps ask for it.
    pub const fn is_kept(self) -> bool {
        self.is_followed() || matches!(self, Self::Evidence | Self::Replaces)
    }

    /// The types that it may point to; none stands for any.
    pub const fn targets(self, of: RecordType) -> Option<&'static [RecordType]> {
        match (self, of) {
            (Self::BasedOn, RecordType::Measure | RecordType::ListEntry) => {
                Some(&[RecordType::Penalty, RecordType::ListEntry, RecordType::Measure, RecordType::Decision])
            }
            (Self::BasedOn, RecordType::Licence) => Some(&[RecordType::Commitment]),
            (Self::Concerns, RecordType::Commitment | RecordType::Penalty) => Some(&[RecordType::Licence]),
            (Self::BasedOn, _) => Some(&[]),
            // The evidence of an application is attached to it; what it points to is the promise.
            (Self::Evidence, RecordType::Repair) => Some(&[RecordType::Commitment]),
            (Self::Explains, RecordType::DocFingerprint | RecordType::Decision) => {
                Some(&[RecordType::SensorGap])
            }
            (Self::Updates, RecordType::Alert) => Some(&[RecordType::Alert]),
            (Self::Explains | Self::Updates, _) => Some(&[]),
            (Self::PreviousInProcess, RecordType::Procurement) => Some(&[RecordType::Procurement]),
            (Self::PreviousInProcess, RecordType::StatusList) => Some(&[RecordType::StatusList]),
            (Self::PartOf, RecordType::Certificate) => Some(&[RecordType::StatusList]),
            (Self::Notice, _) => Some(&[RecordType::Decision, RecordType::DocFingerprint]),
            _ => None,
        }
    }
}

/// A named relation to another record.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// How it relates.
    pub rel: Relation,
    /// To which record; it must exist.
    pub record: RecordId,
}

impl Layout for Reference {
    fn write(&self, writer: &mut Writer) {
        self.rel.write(writer);
        self.record.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { rel: Relation::read(reader)?, record: RecordId::read(reader)? })
    }
}

/// One version of an entry in the catalogue of legal bases.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BasisRef {
    /// Its id in the catalogue, 1 to 64 bytes.
    pub id: String,
    /// Its version, from 1.
    pub version: u32,
}

impl Layout for BasisRef {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.id).u32(self.version);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { id: reader.text(CODE_BYTES_MAX)?, version: reader.u32()? })
    }
}

/// Content that must stand in the header because state changes read headers only.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Details {
    /// Nothing beyond the common fields.
    #[default]
    None,
    /// Of `gov.agency`.
    Agency(Box<AgencyDetails>),
    /// Of `gov.member`.
    Member(Box<MemberDetails>),
    /// Of `gov.legal_basis`.
    LegalBasis(Box<BasisDetails>),
    /// Of `egov.doc_fingerprint`: the agency that must countersign as notary.
    Notary(OrgId),
    /// Of `gov.validator`.
    Validator(Box<ValidatorDetails>),
    /// Of `gov.calendar`.
    Calendar(Box<CalendarDetails>),
    /// Of `device.registration`.
    Device(Box<DeviceDetails>),
    /// Of `device.key_event`.
    DeviceKey(Box<KeyEventDetails>),
    /// Of `sensor.batch`.
    Batch(Box<BatchDetails>),
    /// Of `sensor.gap`.
    Gap(Box<GapDetails>),
    /// Of `gov.schema`.
    Schema(Box<SchemaDetails>),
    /// Of a record of a registered type: the terms of its type.
    Registered(TypeTerms),
    /// Of `security.alert`.
    Alert(AlertDetails),
    /// Of `egov.procurement`.
    Procurement(Box<ProcurementDetails>),
    /// Of `health.commit_batch`.
    CommitBatch(CommitBatchDetails),
    /// Of `egov.status_list`.
    StatusList(StatusListDetails),
    /// Of `gov.params`.
    Params(Box<ParamsDetails>),
    /// Of `audit.access_root`.
    AccessRoot(AccessRootDetails),
}

impl Layout for Details {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::None => {
                writer.u8(0);
            }
            Self::Agency(details) => details.write(writer.u8(1)),
            Self::Member(details) => details.write(writer.u8(2)),
            Self::LegalBasis(details) => details.write(writer.u8(3)),
            Self::Notary(org) => org.write(writer.u8(4)),
            Self::Validator(details) => details.write(writer.u8(5)),
            Self::Calendar(details) => details.write(writer.u8(6)),
            Self::Schema(details) => details.write(writer.u8(7)),
            Self::Registered(terms) => terms.write(writer.u8(8)),
            Self::Params(details) => details.write(writer.u8(9)),
            Self::Device(details) => details.write(writer.u8(16)),
            Self::DeviceKey(details) => details.write(writer.u8(17)),
            Self::Batch(details) => details.write(writer.u8(18)),
            Self::Gap(details) => details.write(writer.u8(19)),
            Self::Alert(details) => details.write(writer.u8(20)),
            Self::Procurement(details) => details.write(writer.u8(21)),
            Self::CommitBatch(details) => details.write(writer.u8(22)),
            Self::StatusList(details) => details.write(writer.u8(23)),
            Self::AccessRoot(details) => details.write(writer.u8(24)),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        match reader.u8()? {
            0 => Ok(Self::None),
            1 => AgencyDetails::read(reader).map(|details| Self::Agency(Box::new(details))),
            2 => MemberDetails::read(reader).map(|details| Self::Member(Box::new(details))),
            3 => BasisDetails::read(reader).map(|details| Self::LegalBasis(Box::new(details))),
            4 => OrgId::read(reader).map(Self::Notary),
            5 => ValidatorDetails::read(reader).map(|details| Self::Validator(Box::new(details))),
            6 => CalendarDetails::read(reader).map(|details| Self::Calendar(Box::new(details))),
            7 => SchemaDetails::read(reader).map(|details| Self::Schema(Box::new(details))),
            8 => TypeTerms::read(reader).map(Self::Registered),
            9 => ParamsDetails::read(reader).map(|details| Self::Params(Box::new(details))),
            16 => DeviceDetails::read(reader).map(|details| Self::Device(Box::new(details))),
            17 => KeyEventDetails::read(reader).map(|details| Self::DeviceKey(Box::new(details))),
            18 => BatchDetails::read(reader).map(|details| Self::Batch(Box::new(details))),
            19 => GapDetails::read(reader).map(|details| Self::Gap(Box::new(details))),
            20 => AlertDetails::read(reader).map(Self::Alert),
            21 => ProcurementDetails::read(reader).map(|details| Self::Procurement(Box::new(details))),
            22 => CommitBatchDetails::read(reader).map(Self::CommitBatch),
            23 => StatusListDetails::read(reader).map(Self::StatusList),
            24 => AccessRootDetails::read(reader).map(Self::AccessRoot),
            _ => Err(reader.error("unknown details")),
        }
    }
}

/// The public part of one version of a record.
///
/// It names no person, and no organisation but the acting agency, except in class P0. Dates are local days.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The record; must be [`record_id`] of chain, agency, type and idempotency digest.
    pub record: RecordId,
    /// Its type.
    pub record_type: RecordType,
    /// Version of the type's rules: 1, or that of the schema of a registered type.
    pub schema_version: u16,
    /// Version of the record, from 1.
    pub version: u32,
    /// [`idempotency_digest`] of the client's key: the same key names the same record.
    pub idempotency: Digest,
    /// The agency that acts.
    pub agency: OrgId,
    /// The legal basis; required but for governance types.
    pub legal_basis: Option<BasisRef>,
    /// Privacy class.
    pub class: Class,
    /// What kind of subject it is about.
    pub subject_kind: SubjectKind,
    /// Commitment to the body; see [`crate::transaction::Body::commitment`].
    pub body_commit: Option<Digest>,
    /// [`subject_commit`] under a salt of the record's own.
    pub subject_commit: Option<Digest>,
    /// [`natural_key`] of the agency's own number.
    pub natural_key: Option<Digest>,
    /// When the act was decided, adopted or issued.
    pub decided_on: Option<Date>,
    /// When the conduct took place; the legal basis must have been in force then.
    pub conduct_on: Option<Date>,
    /// First day it has effect.
    pub effective_from: Option<Date>,
    /// Last day it has effect; absent means open-ended.
    pub effective_to: Option<Date>,
    /// First day of publication; absent means not published.
    pub publish_from: Option<Date>,
    /// Last day of the shortest publication.
    pub publish_min_until: Option<Date>,
    /// Last day of publication, to 24:00 local time.
    pub publish_until: Option<Date>,
    /// When the body may be disposed of.
    pub dispose_on: Option<Date>,
    /// For penalties.
    pub severity: Option<Severity>,
    /// Whether a hearing was held: legal review is then required (Administrative Penalty Law art. 58).
    #[serde(default)]
    pub heard: bool,
    /// Keys of the officers who acted, at most [`OFFICERS_MAX`]; the submitting clerk is one of them.
    #[serde(default)]
    pub officers: Vec<PublicKey>,
    /// Relations to other records, at most [`REFERENCES_MAX`].
    #[serde(default)]
    pub refs: Vec<Reference>,
    /// [`body::attachments_root`] of the attachments listed in the body.
    pub attachments_root: Option<Digest>,
    /// Content that state changes need.
    #[serde(default)]
    pub details: Details,
}

impl Header {
    /// What approvals name: SHA-256 over the canonical header.
    pub fn digest(&self) -> Digest {
        Self::digest_of(&self.to_canonical())
    }

    /// The digest of a header given as its canonical bytes.
    pub fn digest_of(canonical: &[u8]) -> Digest {
        Digest::tagged(b"cityledger/header/1", &[canonical])
    }

    /// The terms of its type, where that is a registered one.
    pub const fn terms(&self) -> Option<&TypeTerms> {
        match &self.details {
            Details::Registered(terms) => Some(terms),
            _ => None,
        }
    }

    /// The life that the record leads.
    pub fn lifecycle(&self) -> Lifecycle {
        record_type::lifecycle_of(self.record_type, self.terms())
    }

    /// How many officers it must name at least (Administrative Penalty Law art. 42).
    pub fn officers_min(&self) -> usize {
        match self.record_type {
            RecordType::Penalty => 2,
            _ => self.terms().map_or(0, |terms| usize::from(terms.officers)),
        }
    }
}

impl Layout for Header {
    fn write(&self, writer: &mut Writer) {
        self.record.write(writer);
        self.record_type.write(writer);
        writer.u16(self.schema_version).u32(self.version).digest(&self.idempotency);
        self.agency.write(writer);
        write_option(writer, self.legal_basis.as_ref());
        self.class.write(writer);
        self.subject_kind.write(writer);
        for digest in [&self.body_commit, &self.subject_commit, &self.natural_key] {
            write_option(writer, digest.as_ref());
        }
        for date in [&self.decided_on, &self.conduct_on, &self.effective_from, &self.effective_to] {
            write_option(writer, date.as_ref());
        }
        for date in [&self.publish_from, &self.publish_min_until, &self.publish_until, &self.dispose_on] {
            write_option(writer, date.as_ref());
        }
        write_option(writer, self.severity.as_ref());
        writer.u8(u8::from(self.heard));
        write_list(writer, &self.officers);
        write_list(writer, &self.refs);
        write_option(writer, self.attachments_root.as_ref());
        self.details.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            record: RecordId::read(reader)?,
            record_type: RecordType::read(reader)?,
            schema_version: reader.u16()?,
            version: reader.u32()?,
            idempotency: reader.digest()?,
            agency: OrgId::read(reader)?,
            legal_basis: read_option(reader)?,
            class: Class::read(reader)?,
            subject_kind: SubjectKind::read(reader)?,
            body_commit: read_option(reader)?,
            subject_commit: read_option(reader)?,
            natural_key: read_option(reader)?,
            decided_on: read_option(reader)?,
            conduct_on: read_option(reader)?,
            effective_from: read_option(reader)?,
            effective_to: read_option(reader)?,
            publish_from: read_option(reader)?,
            publish_min_until: read_option(reader)?,
            publish_until: read_option(reader)?,
            dispose_on: read_option(reader)?,
            severity: read_option(reader)?,
            heard: read_bool(reader)?,
            officers: read_list(reader, OFFICERS_MAX)?,
            refs: read_list(reader, REFERENCES_MAX)?,
            attachments_root: read_option(reader)?,
            details: Details::read(reader)?,
        })
    }
}

/// Reads a byte that is 0 or 1.
pub(crate) fn read_bool(reader: &mut Reader<'_>) -> Result<bool, CanonicalError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.error("flag is neither 0 nor 1")),
    }
}

/// The id of a record: SHA-256 over tag, chain, agency, type and idempotency digest. Anybody can check it
/// from the header; the same idempotency key gives the same record.
pub fn record_id(chain: ChainId, agency: &OrgId, record_type: RecordType, idempotency: &Digest) -> RecordId {
    let mut writer = Writer::new();
    writer.digest(chain.digest());
    agency.write(&mut writer);
    record_type.write(&mut writer);
    writer.digest(idempotency);
    RecordId::new(Digest::tagged(b"cityledger/record/1", &[&writer.finish()]))
}

/// HMAC of a client's idempotency key under the agency's dedupe key: outsiders cannot guess spreadsheet rows
/// or case numbers from it.
pub fn idempotency_digest(dedupe_key: &[u8], record_type: RecordType, key: &str) -> Digest {
    hmac_sha256(dedupe_key, &[b"cityledger/idempotency/1", &record_type.to_canonical(), key.as_bytes()])
}

/// HMAC of the agency's own number (decision or document number) under its dedupe key. Validators compare it
/// for equality only.
pub fn natural_key(dedupe_key: &[u8], record_type: RecordType, number: &str) -> Digest {
    hmac_sha256(dedupe_key, &[b"cityledger/natural-key/1", &record_type.to_canonical(), number.as_bytes()])
}

/// Commitment to a subject under a salt that only this record has, so that two records about one subject
/// cannot be linked from the chain.
pub fn subject_commit(salt: &Digest, subject: &OrgId) -> Digest {
    let scheme = subject.scheme().number().to_be_bytes();
    let len = (subject.value().len() as u64).to_be_bytes();
    Digest::tagged(b"cityledger/subject/1", &[salt.as_bytes(), &scheme, &len, subject.value().as_bytes()])
}
