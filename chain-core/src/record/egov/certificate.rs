//! `egov.certificate` and `egov.status_list`: certificates of persons and organisations, and the lists that say which of them
//! still hold (W3C Verifiable Credentials 2.0 and Bitstring Status List 1.0; GB/T 36904-2018).
//!
//! A certificate is class P3: neither holder nor content nor its place in a list stands on the chain, only commitments in a
//! body that its issuer keeps. A list is public and has at least 131,072 places, so that whoever reads it does not tell
//! which one he looks at; a new version of it comes no more often than its time to live, so that a change does not tell
//! which certificate was ended a moment ago.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::{Layout, closed_list, read_option, write_option};
use crate::org::OrgId;
use crate::record::body::{Derived, Fields, Origin, parse_instant};
use crate::record::governance::check_order;
use crate::record::{CODE_BYTES_MAX, Class, Details, Header, Reference, Relation, SubjectKind};
use crate::text::shown;

/// Fewest places of a status list (W3C Bitstring Status List 1.0, section 6.1: group privacy).
pub const LIST_BITS_MIN: u32 = 131_072;
/// Most places of a status list: 2 MiB of bits.
pub const LIST_BITS_MAX: u32 = 16_777_216;
/// Shortest time to live of a version, in seconds: five minutes.
pub const LIST_TTL_S_MIN: u32 = 300;
/// Longest time to live of a version: 31 days.
pub const LIST_TTL_S_MAX: u32 = 31 * 24 * 60 * 60;
/// The certificates of civil status, by how their type begins. They are class P4 and stand on the chain in batches alone.
const CIVIL_STATUS: &str = "civil_status";

/// Body of `egov.certificate`; kept in the issuer's vault. It names nobody.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateBody {
    /// Its type, 1 to 64 bytes, e.g. `residence_permit`.
    pub certificate_type: String,
    /// Who issues it; the header's agency.
    pub issuer: OrgId,
    /// What kind of holder it is; the header's kind of subject.
    pub holder_kind: SubjectKind,
    /// Salted commitment to the holder.
    pub holder: Digest,
    /// Salted commitment to the content, under another salt.
    pub content: Digest,
    /// When it was issued; header `decided_on` and `effective_from`.
    pub issued_on: Date,
    /// Its last day; header `effective_to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Date>,
    /// The first version of the list that says whether it holds; header reference `part_of`.
    pub status_list: RecordId,
    /// Its place there, from 0; list and place together are its number, so that no two certificates share one.
    pub status_index: u32,
    /// Where the data came from.
    pub origin: Origin,
}

pub(crate) fn judge_certificate(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let certificate_type = fields.text("certificate_type", CODE_BYTES_MAX)?;
    if certificate_type.starts_with(CIVIL_STATUS) {
        let detail = "certificates of civil status are class P4: commit them in batches";
        return Err(Refusal::new(Code::ClassNotPermitted, detail));
    }
    let issuer = fields.org("issuer")?;
    let kind: SubjectKind = fields.choice("holder_kind")?;
    if fields.digest("holder")? == fields.digest("content")? {
        return Err(Refusal::new(Code::BadParameter, "holder and content are one commitment, wants two"));
    }
    let issued_on = fields.date("issued_on")?;
    let valid_until = fields.optional_date("valid_until")?;
    check_order("issued_on", Some(issued_on), "valid_until", valid_until)?;
    let list = RecordId::new(fields.digest("status_list")?);
    let index: u32 = fields.number("status_index")?;
    if index >= LIST_BITS_MAX {
        let detail = format!("status_index is {index}, no list has more than {LIST_BITS_MAX} places");
        return Err(Refusal::new(Code::BadNumber, detail));
    }
    Ok(Derived {
        subject_kind: Some(kind),
        issuer: Some(issuer),
        number: Some(format!("{list}#{index}")),
        decided_on: Some(issued_on),
        effective_from: Some(issued_on),
        effective_to: valid_until,
        refs: vec![Reference { rel: Relation::PartOf, record: list }],
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}

/// Checks what a certificate's header says of itself: it names one list, and nothing of the holder.
///
/// # Errors
/// `PERSONAL_DATA_IN_CLEAR`, `MISSING_FIELD`.
pub(crate) fn check_certificate(header: &Header) -> Result<(), Refusal> {
    if header.subject_commit.is_some() || header.publish_from.is_some() || header.class != Class::P3 {
        let detail = "the header of a certificate commits to no holder, and a certificate is not published";
        return Err(Refusal::new(Code::PersonalDataInClear, detail));
    }
    let lists = header.refs.iter().filter(|reference| reference.rel == Relation::PartOf).count();
    if lists != 1 {
        let detail = format!("the header names {lists} status lists, wants one");
        return Err(Refusal::new(Code::MissingField, detail));
    }
    Ok(())
}

closed_list!(
    /// What a set bit means (W3C Bitstring Status List 1.0, `statusPurpose`).
    ListPurpose as u8, "purpose of a status list" {
        /// Ended for good.
        Revocation = 1, "revocation";
        /// Out of effect for a time.
        Suspension = 2, "suspension";
    }
);

/// Body of `egov.status_list`: one version of a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StatusListBody {
    /// The agency's number of the list, 1 to 64 bytes; with the version unique with the agency.
    pub list_id: String,
    /// Who keeps it; the header's agency.
    pub issuer: OrgId,
    /// What a set bit means; header details, as all that follows.
    pub purpose: ListPurpose,
    /// Its places, [`LIST_BITS_MIN`] to [`LIST_BITS_MAX`], a multiple of eight; the same in every version.
    pub bits: u32,
    /// SHA-256 of the `encodedList` as it is served.
    pub encoded: Digest,
    /// Its version, from 1 without gaps.
    pub version: u64,
    /// From when it holds, RFC 3339 with offset.
    pub valid_from: String,
    /// How many seconds a verifier may keep it, [`LIST_TTL_S_MIN`] to [`LIST_TTL_S_MAX`].
    pub ttl_s: u32,
    /// The version before it; header reference `previous_in_process`. The first version has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordId>,
    /// Where the data came from.
    pub origin: Origin,
}

/// What the header of `egov.status_list` says.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StatusListDetails {
    /// Digest of the list's number.
    pub list: Digest,
    /// What a set bit means.
    pub purpose: ListPurpose,
    /// Its places.
    pub bits: u32,
    /// SHA-256 of the list as it is served.
    pub encoded: Digest,
    /// Its version.
    pub version: u64,
    /// From when it holds, milliseconds since 1970.
    pub valid_from_ms: u64,
    /// How many seconds it may be kept.
    pub ttl_s: u32,
    /// The version before it.
    pub previous: Option<RecordId>,
}

impl StatusListDetails {
    /// Checks what the header says of itself.
    ///
    /// # Errors
    /// `BAD_NUMBER`, `BAD_PARAMETER`, `HEADER_MISMATCH`.
    pub fn check(&self, header: &Header) -> Result<(), Refusal> {
        let bad = |detail: String| Err(Refusal::new(Code::BadNumber, detail));
        if !(LIST_BITS_MIN..=LIST_BITS_MAX).contains(&self.bits) || !self.bits.is_multiple_of(8) {
            return bad(format!(
                "bits is {}, wants {LIST_BITS_MIN} to {LIST_BITS_MAX}, a multiple of 8: in a short list a reader \
                 shows whose place he looks at",
                self.bits
            ));
        }
        if !(LIST_TTL_S_MIN..=LIST_TTL_S_MAX).contains(&self.ttl_s) {
            return bad(format!("ttl_s is {}, wants {LIST_TTL_S_MIN} to {LIST_TTL_S_MAX}", self.ttl_s));
        }
        if self.version == 0 || (self.version == 1) != self.previous.is_none() {
            let detail =
                format!("version {} of a list; the first one is 1 and names none before", self.version);
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        let named = |reference: &&Reference| reference.rel == Relation::PreviousInProcess;
        if !header.refs.iter().filter(named).map(|reference| reference.record).eq(self.previous) {
            let detail = "previous of the details is the header's reference previous_in_process";
            return Err(Refusal::new(Code::HeaderMismatch, detail));
        }
        Ok(())
    }

    /// Refuses a version that does not follow on the one before.
    ///
    /// # Errors
    /// `NOT_AMENDABLE`, `VERSION_CONFLICT`, `TOO_EARLY`.
    pub fn check_follows(&self, before: &Self) -> Result<(), Refusal> {
        let same = (self.list, self.purpose, self.bits) == (before.list, before.purpose, before.bits);
        if !same {
            let detail = "a version keeps number, purpose and size of its list; begin another list";
            return Err(Refusal::new(Code::NotAmendable, detail));
        }
        if before.version.checked_add(1) != Some(self.version) {
            let detail = format!("version {}, the one before is {}", self.version, before.version);
            return Err(Refusal::new(Code::VersionConflict, detail));
        }
        let earliest = before.valid_from_ms.saturating_add(u64::from(before.ttl_s) * 1_000);
        if self.valid_from_ms < earliest {
            let detail = format!(
                "valid_from lies {} s after the version before, wants its ttl_s of {}: changes of a period come \
                 together",
                self.valid_from_ms.saturating_sub(before.valid_from_ms) / 1_000,
                before.ttl_s
            );
            return Err(Refusal::new(Code::TooEarly, detail));
        }
        Ok(())
    }
}

impl Layout for StatusListDetails {
    fn write(&self, writer: &mut Writer) {
        writer.digest(&self.list);
        self.purpose.write(writer);
        writer.u32(self.bits).digest(&self.encoded).u64(self.version).u64(self.valid_from_ms).u32(self.ttl_s);
        write_option(writer, self.previous.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            list: reader.digest()?,
            purpose: ListPurpose::read(reader)?,
            bits: reader.u32()?,
            encoded: reader.digest()?,
            version: reader.u64()?,
            valid_from_ms: reader.u64()?,
            ttl_s: reader.u32()?,
            previous: read_option(reader)?,
        })
    }
}

pub(crate) fn judge_status_list(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let list_id = fields.text("list_id", CODE_BYTES_MAX)?;
    let issuer = fields.org("issuer")?;
    let purpose = fields.choice("purpose")?;
    let (bits, encoded, version) =
        (fields.number("bits")?, fields.digest("encoded")?, fields.count("version")?);
    let valid_from = fields.text("valid_from", CODE_BYTES_MAX)?;
    let valid_from_ms = parse_instant(valid_from).ok_or_else(|| {
        let detail = format!("valid_from is {}, wants an RFC 3339 time with offset", shown(valid_from));
        Refusal::new(Code::BadDate, detail)
    })?;
    let details = StatusListDetails {
        list: Digest::tagged(b"cityledger/status-list/1", &[list_id.as_bytes()]),
        purpose,
        bits,
        encoded,
        version,
        valid_from_ms,
        ttl_s: fields.number("ttl_s")?,
        previous: fields.optional_digest("previous")?.map(RecordId::new),
    };
    Ok(Derived {
        subject_kind: Some(SubjectKind::None),
        issuer: Some(issuer),
        number: Some(format!("{list_id}#{version}")),
        refs: details
            .previous
            .map(|record| Reference { rel: Relation::PreviousInProcess, record })
            .into_iter()
            .collect(),
        details: Details::StatusList(details),
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
