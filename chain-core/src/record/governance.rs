//! Agencies, members and legal bases: the records that say who may do what.
//!
//! They have no body. Their content is public (class P0), stands in the header's details, names posts and
//! never people, and becomes state when enough council members or administrators have agreed.

use serde::{Deserialize, Serialize};

use super::deadline::{Deadline, check_deadlines};
use super::{CODE_BYTES_MAX, Class, NAME_BYTES_MAX, RecordType, Severity, SubjectKind, read_bool};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::{Digest, PublicKey, SIGNATURE_DOMAIN, SecretKey, Signable, Signature};
use crate::date::Date;
use crate::id::ChainId;
use crate::layout::{Layout, closed_list, read_list, read_option, write_list, write_option};
use crate::org::OrgId;

/// Most administrators, areas, deadlines or types listed in one header.
pub const LIST_MAX: usize = 64;

closed_list!(
    /// What a member may do. A key has one role in one agency.
    Role as u8, "role" {
        /// Submits and amends records.
        Clerk = 1, "clerk";
        /// Countersigns, suspends, revokes and stops publication; never submits.
        Supervisor = 2, "supervisor";
        /// Countersigns where legal review is required.
        LegalReviewer = 3, "legal_reviewer";
        /// Manages the members of the agency, two administrators together.
        AgencyAdmin = 4, "agency_admin";
        /// Answers subjects; seals what has ended, and orders erasure together with an auditor.
        PrivacyOfficer = 5, "privacy_officer";
        /// Reads everything permitted; writes no records.
        Auditor = 6, "auditor";
        /// Decides with others on agencies and legal bases; on no single case.
        CouncilMember = 7, "council_member";
        /// Files objections, applications, promises and statements for subjects that have proved to it who they are.
        Portal = 8, "portal";
        /// Signs batches of its streams and events of its keys. A key has the role by the registration of its device.
        Device = 9, "device";
        /// Passes on the batches of the agency's devices, which the devices have signed.
        Gateway = 10, "gateway";
    }
);

impl Role {
    /// Whether the role is granted by the council and not by the agency's administrators: otherwise one
    /// agency could outvote the council with members of its own making.
    pub const fn is_granted_by_council(self) -> bool {
        matches!(self, Self::Auditor | Self::CouncilMember)
    }
}

/// What the holder of a key signs to show that it has the secret half.
#[derive(Clone, Copy, Debug)]
pub struct Possession {
    /// The chain the key is meant for.
    pub chain_id: ChainId,
    /// The key.
    pub key: PublicKey,
}

impl Possession {
    /// Signs with the key itself.
    pub fn prove(chain_id: ChainId, secret: &SecretKey) -> Signature {
        secret.sign(&Self { chain_id, key: secret.public() })
    }
}

impl Signable for Possession {
    /// Kind 16: domain, kind, chain, key.
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(16).digest(self.chain_id.digest()).public_key(&self.key);
        writer.finish()
    }
}

/// A key to be registered, with the proof that its holder has the secret half.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The key.
    pub key: PublicKey,
    /// The post that holds it, never a person's name; 1 to 64 bytes.
    pub label: String,
    /// The key's own signature over [`Possession`].
    pub possession: Signature,
}

impl NewKey {
    /// Checks key and label, and the proof of possession where a chain is given. A genesis gives none: its
    /// keys cannot sign the id of the chain that they make, and its parts are signed as a whole.
    ///
    /// # Errors
    /// `BAD_PARAMETER` for a weak key or a false proof; the codes of texts for the label.
    pub fn check(&self, chain_id: Option<ChainId>) -> Result<(), Refusal> {
        check_text("label", &self.label, CODE_BYTES_MAX)?;
        let refuse = |why: &str| Refusal::new(Code::BadParameter, format!("key {}: {why}", self.key.short()));
        self.key.check().map_err(|error| refuse(&error.to_string()))?;
        match chain_id {
            Some(chain_id) if !self.key.verify(&Possession { chain_id, key: self.key }, &self.possession) => {
                Err(refuse("the proof of possession does not verify"))
            }
            _ => Ok(()),
        }
    }
}

impl Layout for NewKey {
    fn write(&self, writer: &mut Writer) {
        writer.public_key(&self.key).text(&self.label).signature(&self.possession);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            key: reader.public_key()?,
            label: reader.text(CODE_BYTES_MAX)?,
            possession: reader.signature()?,
        })
    }
}

/// Content of `gov.agency`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgencyDetails {
    /// The agency; unique on the chain.
    pub id: OrgId,
    /// Its official name, 1 to 256 bytes.
    pub name: String,
    /// The types it may file, ascending; governance types are never listed.
    pub types: Vec<RecordType>,
    /// Codes of the areas it acts in (GB/T 2260 or ISO 3166-2).
    #[serde(default)]
    pub areas: Vec<String>,
    /// Its first administrators, at least two; they register all other members.
    pub admins: Vec<NewKey>,
    /// First day of membership.
    pub from: Date,
    /// Last day of membership; absent means open-ended.
    pub to: Option<Date>,
}

impl AgencyDetails {
    /// Checks content without state; see [`NewKey::check`] for the chain.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn check(&self, chain_id: Option<ChainId>) -> Result<(), Refusal> {
        check_text("name", &self.name, NAME_BYTES_MAX)?;
        check_types(&self.types)?;
        if self.areas.len() > LIST_MAX {
            return Err(too_many("areas", self.areas.len(), LIST_MAX));
        }
        for area in &self.areas {
            check_text("area", area, CODE_BYTES_MAX)?;
        }
        check_order("from", Some(self.from), "to", self.to)?;
        if !(2..=LIST_MAX).contains(&self.admins.len()) {
            let detail = format!("{} administrators, wants 2 to {LIST_MAX}", self.admins.len());
            return Err(Refusal::new(Code::OfficersRequired, detail));
        }
        for (at, admin) in self.admins.iter().enumerate() {
            if self.admins[..at].iter().any(|other| other.key == admin.key) {
                let detail = format!("administrator key {} is named twice", admin.key.short());
                return Err(Refusal::new(Code::OfficersRequired, detail));
            }
            admin.check(chain_id)?;
        }
        Ok(())
    }
}

impl Layout for AgencyDetails {
    fn write(&self, writer: &mut Writer) {
        self.id.write(writer);
        writer.text(&self.name);
        write_list(writer, &self.types);
        writer.count(self.areas.len());
        for area in &self.areas {
            writer.text(area);
        }
        write_list(writer, &self.admins);
        self.from.write(writer);
        write_option(writer, self.to.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            id: OrgId::read(reader)?,
            name: reader.text(NAME_BYTES_MAX)?,
            types: read_list(reader, LIST_MAX)?,
            areas: {
                let count = reader.count(LIST_MAX)?;
                (0..count).map(|_| reader.text(CODE_BYTES_MAX)).collect::<Result<_, _>>()?
            },
            admins: read_list(reader, LIST_MAX)?,
            from: Date::read(reader)?,
            to: read_option(reader)?,
        })
    }
}

/// Content of `gov.member`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDetails {
    /// The member's key; unique on the chain.
    pub key: NewKey,
    /// The agency it acts for.
    pub agency: OrgId,
    /// What it may do.
    pub role: Role,
    /// First day.
    pub from: Date,
    /// Last day; absent means open-ended.
    pub to: Option<Date>,
}

impl MemberDetails {
    /// Checks content without state; see [`NewKey::check`] for the chain.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn check(&self, chain_id: Option<ChainId>) -> Result<(), Refusal> {
        check_order("from", Some(self.from), "to", self.to)?;
        if self.role == Role::Device {
            let detail = "a device has its role by its registration (device.registration)";
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        self.key.check(chain_id)
    }
}

impl Layout for MemberDetails {
    fn write(&self, writer: &mut Writer) {
        self.key.write(writer);
        self.agency.write(writer);
        self.role.write(writer);
        self.from.write(writer);
        write_option(writer, self.to.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            key: NewKey::read(reader)?,
            agency: OrgId::read(reader)?,
            role: Role::read(reader)?,
            from: Date::read(reader)?,
            to: read_option(reader)?,
        })
    }
}

closed_list!(
    /// What kind of instrument a legal basis is.
    Instrument as u8, "instrument" {
        /// A law of the legislature.
        Law = 1, "law";
        /// An administrative regulation.
        Regulation = 2, "regulation";
        /// A regulation of a city or province.
        LocalRegulation = 3, "local_regulation";
        /// A rule of a ministry or a local government.
        Rule = 4, "rule";
        /// A central policy document.
        Policy = 5, "policy";
        /// A treaty or a regulation of a union of states.
        Treaty = 6, "treaty";
    }
);

/// How long records may be published, in months counted from the decision.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Shortest publication; 0 for none.
    pub min_months: u16,
    /// Longest publication; 0 forbids it, absent sets no end.
    pub max_months: Option<u16>,
}

impl Layout for Term {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.min_months).option(self.max_months, |writer, max| {
            writer.u16(max);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { min_months: reader.u16()?, max_months: reader.option(Reader::u16)? })
    }
}

/// What a legal basis says about publication (NDRC Order 36 of 2025; day counts are catalogue data).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublicationRules {
    /// Whether records may be published at all.
    pub allowed: bool,
    /// Terms of minor cases.
    pub minor: Term,
    /// Terms of ordinary cases.
    pub ordinary: Term,
    /// Terms of serious cases.
    pub serious: Term,
    /// Terms of records without a severity, such as licences.
    pub unclassified: Term,
}

impl PublicationRules {
    /// The terms that apply to a severity.
    pub const fn term(&self, severity: Option<Severity>) -> Term {
        match severity {
            Some(Severity::Minor) => self.minor,
            Some(Severity::Ordinary) => self.ordinary,
            Some(Severity::Serious) => self.serious,
            None => self.unclassified,
        }
    }
}

impl Layout for PublicationRules {
    fn write(&self, writer: &mut Writer) {
        writer.u8(u8::from(self.allowed));
        for term in [self.minor, self.ordinary, self.serious, self.unclassified] {
            term.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            allowed: read_bool(reader)?,
            minor: Term::read(reader)?,
            ordinary: Term::read(reader)?,
            serious: Term::read(reader)?,
            unclassified: Term::read(reader)?,
        })
    }
}

/// Whether and when a record under this basis may be repaired.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RepairRules {
    /// Whether repair is possible at all.
    pub allowed: bool,
    /// Months from the decision after which it may be asked for.
    pub after_months: u16,
}

/// Content of `gov.legal_basis`: one version of a catalogue entry. Versions are never changed; a new one is
/// filed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BasisDetails {
    /// Id in the catalogue, 1 to 64 bytes; unique together with the version.
    pub id: String,
    /// Version, from 1.
    pub version: u32,
    /// Title, 1 to 256 bytes.
    pub title: String,
    /// Kind of instrument.
    pub instrument: Instrument,
    /// Who issued it, 1 to 256 bytes.
    pub issuer: String,
    /// Its document number, up to 64 bytes.
    #[serde(default)]
    pub doc_no: String,
    /// The articles relied on, up to 256 bytes.
    #[serde(default)]
    pub article: String,
    /// SHA-256 of the official text.
    pub text: Digest,
    /// First day in force.
    pub in_force: Date,
    /// Last day in force; absent means open-ended.
    pub ends: Option<Date>,
    /// Types of records it allows, ascending.
    pub types: Vec<RecordType>,
    /// Kinds of subjects it allows, ascending.
    pub subject_kinds: Vec<SubjectKind>,
    /// The most sensitive class it allows.
    pub max_class: Class,
    /// Publication.
    pub publication: PublicationRules,
    /// Repair.
    pub repair: RepairRules,
    /// Deadlines, each step at most once.
    #[serde(default)]
    pub deadlines: Vec<Deadline>,
    /// Whether a supervisor must countersign every record.
    #[serde(default)]
    pub supervisor: bool,
    /// Whether a legal reviewer must countersign every record.
    #[serde(default)]
    pub legal_review: bool,
    /// Whether whom a penalty is against must have been offered a hearing.
    #[serde(default)]
    pub hearing: bool,
    /// Whether records must have an end of effect.
    #[serde(default)]
    pub expiry_required: bool,
    /// Years the body is kept after the record ended; 0 means permanently.
    #[serde(default)]
    pub retention_years: u16,
    /// Codes of the lists or measures that may rest on it, ascending; empty leaves them open.
    #[serde(default)]
    pub codes: Vec<String>,
}

impl BasisDetails {
    /// Checks content without state.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn check(&self) -> Result<(), Refusal> {
        check_text("id", &self.id, CODE_BYTES_MAX)?;
        check_text("title", &self.title, NAME_BYTES_MAX)?;
        check_text("issuer", &self.issuer, NAME_BYTES_MAX)?;
        check_optional_text("doc_no", &self.doc_no, CODE_BYTES_MAX)?;
        check_optional_text("article", &self.article, NAME_BYTES_MAX)?;
        check_order("in_force", Some(self.in_force), "ends", self.ends)?;
        check_types(&self.types)?;
        if self.version == 0 {
            return Err(Refusal::new(Code::BadParameter, "version is 0, wants 1 or more"));
        }
        if self.types.is_empty() || self.subject_kinds.is_empty() {
            return Err(Refusal::new(Code::MissingField, "types and subject_kinds must not be empty"));
        }
        if self.codes.len() > LIST_MAX {
            return Err(too_many("codes", self.codes.len(), LIST_MAX));
        }
        self.codes.iter().try_for_each(|code| check_text("codes", code, CODE_BYTES_MAX))?;
        if !self.codes.is_sorted_by(|one, two| one < two) {
            return Err(Refusal::new(Code::BadParameter, "codes must be ascending without repeats"));
        }
        if !self.subject_kinds.is_sorted_by(|one, two| one < two) {
            return Err(Refusal::new(Code::BadParameter, "subject_kinds must be ascending without repeats"));
        }
        if self.deadlines.len() > LIST_MAX {
            return Err(too_many("deadlines", self.deadlines.len(), LIST_MAX));
        }
        check_deadlines(&self.deadlines)
    }
}

impl Layout for BasisDetails {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.id).u32(self.version).text(&self.title);
        self.instrument.write(writer);
        writer.text(&self.issuer).text(&self.doc_no).text(&self.article).digest(&self.text);
        self.in_force.write(writer);
        write_option(writer, self.ends.as_ref());
        write_list(writer, &self.types);
        write_list(writer, &self.subject_kinds);
        self.max_class.write(writer);
        self.publication.write(writer);
        writer.u8(u8::from(self.repair.allowed)).u16(self.repair.after_months);
        write_list(writer, &self.deadlines);
        for flag in [self.supervisor, self.legal_review, self.hearing, self.expiry_required] {
            writer.u8(u8::from(flag));
        }
        writer.u16(self.retention_years);
        writer.count(self.codes.len());
        for code in &self.codes {
            writer.text(code);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            id: reader.text(CODE_BYTES_MAX)?,
            version: reader.u32()?,
            title: reader.text(NAME_BYTES_MAX)?,
            instrument: Instrument::read(reader)?,
            issuer: reader.text(NAME_BYTES_MAX)?,
            doc_no: reader.text(CODE_BYTES_MAX)?,
            article: reader.text(NAME_BYTES_MAX)?,
            text: reader.digest()?,
            in_force: Date::read(reader)?,
            ends: read_option(reader)?,
            types: read_list(reader, LIST_MAX)?,
            subject_kinds: read_list(reader, LIST_MAX)?,
            max_class: Class::read(reader)?,
            publication: PublicationRules::read(reader)?,
            repair: RepairRules { allowed: read_bool(reader)?, after_months: reader.u16()? },
            deadlines: read_list(reader, LIST_MAX)?,
            supervisor: read_bool(reader)?,
            legal_review: read_bool(reader)?,
            hearing: read_bool(reader)?,
            expiry_required: read_bool(reader)?,
            retention_years: reader.u16()?,
            codes: {
                let count = reader.count(LIST_MAX)?;
                (0..count).map(|_| reader.text(CODE_BYTES_MAX)).collect::<Result<_, _>>()?
            },
        })
    }
}

fn check_types(types: &[RecordType]) -> Result<(), Refusal> {
    if types.len() > LIST_MAX {
        return Err(too_many("types", types.len(), LIST_MAX));
    }
    if types.iter().any(|one| one.is_governance()) || !types.is_sorted_by(|one, two| one < two) {
        let detail = "types must be ascending without repeats and hold no governance type";
        return Err(Refusal::new(Code::BadParameter, detail));
    }
    Ok(())
}

fn too_many(what: &str, got: usize, limit: usize) -> Refusal {
    Refusal::new(Code::SizeLimit, format!("{got} {what}, at most {limit}"))
}

/// Refuses a required public text that is empty, too long, holds bad characters or a person's number.
pub(crate) fn check_text(what: &str, text: &str, limit: usize) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::new(Code::MissingField, format!("{what} is empty")));
    }
    check_optional_text(what, text, limit)
}

/// Refuses a public text that is too long, holds bad characters or a person's number.
pub(crate) fn check_optional_text(what: &str, text: &str, limit: usize) -> Result<(), Refusal> {
    if text.len() > limit {
        return Err(Refusal::new(
            Code::SizeLimit,
            format!("{what} has {} bytes, at most {limit}", text.len()),
        ));
    }
    if crate::text::is_bad(text) {
        return Err(Refusal::new(Code::BadText, format!("{what} holds characters that are not allowed")));
    }
    if crate::identifier::contains_resident_number(text) {
        return Err(Refusal::new(Code::NaturalPersonId, format!("{what} holds a resident number")));
    }
    Ok(())
}

/// Refuses two dates in the wrong order.
pub(crate) fn check_order(
    first: &str,
    earlier: Option<Date>,
    second: &str,
    later: Option<Date>,
) -> Result<(), Refusal> {
    match (earlier, later) {
        (Some(earlier), Some(later)) if later < earlier => {
            Err(Refusal::new(Code::DateOrder, format!("{second} {later} lies before {first} {earlier}")))
        }
        _ => Ok(()),
    }
}
