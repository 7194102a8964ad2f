//! What the ledger remembers of a record, of its versions and of steps that wait.

use serde::Serialize;

use super::{Flags, Status};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::{Digest, PublicKey};
use crate::date::Date;
use crate::id::{Height, RecordId};
use crate::layout::{Layout, read_list, read_option, write_list, write_option};
use crate::operation::{Remedy, RepairOutcome, ReviewOutcome, Step};
use crate::org::OrgId;
use crate::record::deadline::Duty;
use crate::record::governance::Role;
use crate::record::record_type::lifecycle_of;
use crate::record::schema::TypeTerms;
use crate::record::{
    BasisRef, Class, Header, Lifecycle, OFFICERS_MAX, REFERENCES_MAX, RecordType, Reference, Relation,
    Severity, SubjectKind,
};

/// Which approvals are still missing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Needs {
    /// Bit set of the roles below.
    roles: u8,
    /// Council members.
    pub council: u16,
}

impl Needs {
    /// Nothing is missing.
    pub const NONE: Self = Self { roles: 0, council: 0 };
    /// A supervisor of the agency.
    pub const SUPERVISOR: Self = Self { roles: 1, council: 0 };
    /// The second clerk named in the header.
    pub const SECOND_CLERK: Self = Self { roles: 2, council: 0 };
    /// A legal reviewer of the agency.
    pub const LEGAL_REVIEWER: Self = Self { roles: 4, council: 0 };
    /// A clerk or supervisor of the agency named as notary.
    pub const NOTARY: Self = Self { roles: 8, council: 0 };
    /// A second administrator of the agency.
    pub const SECOND_ADMIN: Self = Self { roles: 16, council: 0 };
    /// An auditor, of whatever agency.
    pub const AUDITOR: Self = Self { roles: 32, council: 0 };

    /// So many council members.
    pub const fn council(members: u16) -> Self {
        Self { roles: 0, council: members }
    }

    /// Whether nothing is missing.
    pub const fn is_met(self) -> bool {
        self.roles == 0 && self.council == 0
    }

    /// Whether the roles of `other` are all among the missing.
    pub const fn contains(self, other: Self) -> bool {
        self.roles & other.roles == other.roles && self.council >= other.council
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self { roles: self.roles | other.roles, council: self.council.saturating_add(other.council) }
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self { roles: self.roles & !other.roles, council: self.council.saturating_sub(other.council) }
    }

    /// Names of what is missing, e.g. `supervisor`; council members with their number.
    pub fn names(self) -> Vec<String> {
        let roles = [
            (Self::SECOND_CLERK, "second_clerk"),
            (Self::SUPERVISOR, "supervisor"),
            (Self::LEGAL_REVIEWER, "legal_reviewer"),
            (Self::NOTARY, "notary"),
            (Self::SECOND_ADMIN, "second_admin"),
            (Self::AUDITOR, "auditor"),
        ];
        let mut names: Vec<String> = roles
            .iter()
            .filter(|(need, _)| self.roles & need.roles != 0)
            .map(|(_, name)| (*name).to_owned())
            .collect();
        if self.council > 0 {
            names.push(format!("council_member x{}", self.council));
        }
        names
    }
}

impl Serialize for Needs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

impl Layout for Needs {
    fn write(&self, writer: &mut Writer) {
        writer.u8(self.roles).u16(self.council);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let roles = reader.u8()?;
        if roles > 63 {
            return Err(reader.error("unknown approval"));
        }
        Ok(Self { roles, council: reader.u16()? })
    }
}

/// Who signed a version, or a pending step, in which role.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Signer {
    /// The member's key.
    pub key: PublicKey,
    /// The role acted in.
    pub role: Role,
    /// The step signed.
    pub step: Step,
}

impl Layout for Signer {
    fn write(&self, writer: &mut Writer) {
        writer.public_key(&self.key);
        self.role.write(writer);
        self.step.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { key: reader.public_key()?, role: Role::read(reader)?, step: Step::read(reader)? })
    }
}

/// Most statements added to one record.
pub const ANNOTATIONS_MAX: u8 = 16;
/// Most duties noted of one record: one of each kind.
pub const DUTIES_MAX: usize = 8;
/// Most signers of one version: more than any rule asks for.
pub const SIGNERS_MAX: usize = 256;

/// What the ledger remembers of one version.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct VersionHead {
    /// The version.
    pub version: u32,
    /// Where it stands.
    pub status: Status,
    /// Digest of its header.
    pub header_digest: Digest,
    /// Commitment to its body.
    pub body_commit: Option<Digest>,
    /// Leaf of its header in the record log.
    pub leaf_index: u64,
    /// Approvals still missing while it is submitted.
    pub needs: Needs,
    /// Who signed it so far, in order.
    pub signers: Vec<Signer>,
    /// Officers named in the header.
    pub officers: Vec<PublicKey>,
    /// The agency that countersigns as notary.
    pub notary: Option<OrgId>,
    /// The agency's own number, hashed.
    pub natural_key: Option<Digest>,
    /// The legal basis it names.
    pub legal_basis: Option<BasisRef>,
    /// When it was decided.
    pub decided_on: Option<Date>,
    /// First day of effect.
    pub effective_from: Option<Date>,
    /// Last day of effect.
    pub effective_to: Option<Date>,
    /// First day of publication.
    pub publish_from: Option<Date>,
    /// Last day of the shortest publication.
    pub publish_min_until: Option<Date>,
    /// Last day of publication.
    pub publish_until: Option<Date>,
    /// First day on which its body may be disposed of.
    pub dispose_on: Option<Date>,
    /// How grave.
    pub severity: Option<Severity>,
    /// Relations that steps follow, and evidence.
    pub refs: Vec<Reference>,
    /// Root of its attachments.
    pub attachments_root: Option<Digest>,
}

impl VersionHead {
    /// The records that it relates to in one way.
    pub fn related(&self, rel: Relation) -> impl Iterator<Item = RecordId> + '_ {
        self.refs.iter().filter(move |reference| reference.rel == rel).map(|reference| reference.record)
    }

    /// Whether it rests on a record.
    pub fn rests_on(&self, record: &RecordId) -> bool {
        self.related(Relation::BasedOn).any(|base| base == *record)
    }
}

impl Layout for VersionHead {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.version);
        self.status.write(writer);
        writer.digest(&self.header_digest);
        write_option(writer, self.body_commit.as_ref());
        writer.u64(self.leaf_index);
        self.needs.write(writer);
        write_list(writer, &self.signers);
        write_list(writer, &self.officers);
        write_option(writer, self.notary.as_ref());
        write_option(writer, self.natural_key.as_ref());
        write_option(writer, self.legal_basis.as_ref());
        for date in [&self.decided_on, &self.effective_from, &self.effective_to] {
            write_option(writer, date.as_ref());
        }
        for date in [&self.publish_from, &self.publish_min_until, &self.publish_until, &self.dispose_on] {
            write_option(writer, date.as_ref());
        }
        write_option(writer, self.severity.as_ref());
        write_list(writer, &self.refs);
        write_option(writer, self.attachments_root.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            version: reader.u32()?,
            status: Status::read(reader)?,
            header_digest: reader.digest()?,
            body_commit: read_option(reader)?,
            leaf_index: reader.u64()?,
            needs: Needs::read(reader)?,
            signers: read_list(reader, SIGNERS_MAX)?,
            officers: read_list(reader, OFFICERS_MAX)?,
            notary: read_option(reader)?,
            natural_key: read_option(reader)?,
            legal_basis: read_option(reader)?,
            decided_on: read_option(reader)?,
            effective_from: read_option(reader)?,
            effective_to: read_option(reader)?,
            publish_from: read_option(reader)?,
            publish_min_until: read_option(reader)?,
            publish_until: read_option(reader)?,
            dispose_on: read_option(reader)?,
            severity: read_option(reader)?,
            refs: read_list(reader, REFERENCES_MAX)?,
            attachments_root: read_option(reader)?,
        })
    }
}

/// What a step does beyond what its name says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Nothing.
    #[default]
    Plain,
    /// What a decision on objections brings.
    Dispute(Remedy),
    /// What a review brings, and whether publication ends with it.
    Review(ReviewOutcome, Remedy),
    /// What came of an application for repair.
    Repair(RecordId, RepairOutcome),
    /// The last day of a hold.
    Hold(Date),
}

impl Act {
    /// What it brings at once.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::Dispute(remedy) => remedy,
            Self::Review(outcome, Remedy::None) if outcome.ends_act() => Remedy::Revoke,
            Self::Review(outcome, Remedy::None) if outcome.ends_publication() => Remedy::StopPublication,
            Self::Review(_, remedy) => remedy,
            Self::Plain | Self::Repair(..) | Self::Hold(_) => Remedy::None,
        }
    }
}

impl Layout for Act {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Plain => {
                writer.u8(0);
            }
            Self::Dispute(remedy) => remedy.write(writer.u8(1)),
            Self::Review(outcome, remedy) => {
                outcome.write(writer.u8(2));
                remedy.write(writer);
            }
            Self::Repair(case, outcome) => {
                case.write(writer.u8(3));
                outcome.write(writer);
            }
            Self::Hold(until) => until.write(writer.u8(4)),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(match reader.u8()? {
            0 => Self::Plain,
            1 => Self::Dispute(Remedy::read(reader)?),
            2 => Self::Review(ReviewOutcome::read(reader)?, Remedy::read(reader)?),
            3 => Self::Repair(RecordId::read(reader)?, RepairOutcome::read(reader)?),
            4 => Self::Hold(Date::read(reader)?),
            _ => return Err(reader.error("unknown act")),
        })
    }
}

/// A step that waits for more approvals: revoke, suspend, resume, erase, a decision on an objection or a repair.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Pending {
    /// The step.
    pub step: Step,
    /// What it does beyond its name.
    pub act: Act,
    /// Digest of its operation; what approvals name.
    pub digest: Digest,
    /// Approvals still missing.
    pub needs: Needs,
    /// Who signed it so far, in order.
    pub signers: Vec<Signer>,
}

impl Layout for Pending {
    fn write(&self, writer: &mut Writer) {
        self.step.write(writer);
        self.act.write(writer);
        writer.digest(&self.digest);
        self.needs.write(writer);
        write_list(writer, &self.signers);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            step: Step::read(reader)?,
            act: Act::read(reader)?,
            digest: reader.digest()?,
            needs: Needs::read(reader)?,
            signers: read_list(reader, SIGNERS_MAX)?,
        })
    }
}

/// What the ledger remembers of the type of a record, where that is a registered one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct RegisteredHead {
    /// The version of the schema that its first version was filed under; amendments may keep it for ever.
    pub schema_version: u16,
    /// The terms of the type.
    pub terms: TypeTerms,
}

impl Layout for RegisteredHead {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.schema_version);
        self.terms.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { schema_version: reader.u16()?, terms: TypeTerms::read(reader)? })
    }
}

/// What the ledger remembers of a record; the value that state proofs are about.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RecordHead {
    /// Its type.
    pub record_type: RecordType,
    /// The agency that acts.
    pub agency: OrgId,
    /// Privacy class.
    pub class: Class,
    /// Kind of subject.
    pub subject_kind: SubjectKind,
    /// Header digest of version 1: what makes a repeated submission the same.
    pub first_digest: Digest,
    /// Leaf of version 1.
    pub first_leaf: u64,
    /// Marks.
    pub flags: Flags,
    /// The version that counts: effective, or the first one until it is.
    pub current: VersionHead,
    /// An amendment that waits for approvals.
    pub next: Option<VersionHead>,
    /// A step that waits for approvals.
    pub pending: Option<Pending>,
    /// Last day of the legal hold.
    pub hold_until: Option<Date>,
    /// The day on which its bodies are disposed of, once it has ended.
    pub seal_on: Option<Date>,
    /// The agency that opened the review.
    pub reviewer: Option<OrgId>,
    /// The base that it was suspended with.
    pub suspended_with: Option<RecordId>,
    /// How many statements were added, at most [`ANNOTATIONS_MAX`].
    pub annotations: u8,
    /// What is or was owed on the record by a day of the law, in order of kind.
    pub duties: Vec<Duty>,
    /// Height of the last change.
    pub changed_at: Height,
    /// Under which version of its type it was filed, and that type's terms; of a registered type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered: Option<RegisteredHead>,
}

impl Layout for RecordHead {
    fn write(&self, writer: &mut Writer) {
        self.record_type.write(writer);
        self.agency.write(writer);
        self.class.write(writer);
        self.subject_kind.write(writer);
        writer.digest(&self.first_digest).u64(self.first_leaf);
        self.flags.write(writer);
        self.current.write(writer);
        write_option(writer, self.next.as_ref());
        write_option(writer, self.pending.as_ref());
        write_option(writer, self.hold_until.as_ref());
        write_option(writer, self.seal_on.as_ref());
        write_option(writer, self.reviewer.as_ref());
        write_option(writer, self.suspended_with.as_ref());
        writer.u8(self.annotations);
        write_list(writer, &self.duties);
        writer.u64(self.changed_at.get());
        // Whether it is there follows from the type.
        if let Some(registered) = &self.registered {
            registered.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let record_type = RecordType::read(reader)?;
        Ok(Self {
            record_type,
            agency: OrgId::read(reader)?,
            class: Class::read(reader)?,
            subject_kind: SubjectKind::read(reader)?,
            first_digest: reader.digest()?,
            first_leaf: reader.u64()?,
            flags: Flags::read(reader)?,
            current: VersionHead::read(reader)?,
            next: read_option(reader)?,
            pending: read_option(reader)?,
            hold_until: read_option(reader)?,
            seal_on: read_option(reader)?,
            reviewer: read_option(reader)?,
            suspended_with: read_option(reader)?,
            annotations: reader.u8()?,
            duties: read_list(reader, DUTIES_MAX)?,
            changed_at: Height::new(reader.u64()?),
            registered: match record_type {
                RecordType::Registered(_) => Some(RegisteredHead::read(reader)?),
                _ => None,
            },
        })
    }
}

impl RecordHead {
    /// The head of a new record from its first header.
    pub fn first(header: &Header, version: VersionHead, changed_at: Height) -> Self {
        Self {
            record_type: header.record_type,
            agency: header.agency.clone(),
            class: header.class,
            subject_kind: header.subject_kind,
            first_digest: version.header_digest,
            first_leaf: version.leaf_index,
            flags: Flags::NONE,
            current: version,
            next: None,
            pending: None,
            hold_until: None,
            seal_on: None,
            reviewer: None,
            suspended_with: None,
            annotations: 0,
            duties: Vec::new(),
            changed_at,
            registered: header
                .terms()
                .map(|terms| RegisteredHead { schema_version: header.schema_version, terms: *terms }),
        }
    }

    /// The life that the record leads.
    pub fn lifecycle(&self) -> Lifecycle {
        lifecycle_of(self.record_type, self.registered.as_ref().map(|registered| &registered.terms))
    }
}
