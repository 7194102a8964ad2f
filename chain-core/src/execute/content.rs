//! Filing content: submit and amend.

use super::index::Subject;
use super::overlay::Fail;
use super::{Call, Done, Execution, LedgerRead, Verdict};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::operation::{Operation, Step};
use crate::record::governance::Role;
use crate::record::{Details, Header, Lifecycle, OPERATION_BYTES_MAX, RecordType, SubjectKind};
use crate::rules;
use crate::state::{Needs, RecordHead, Signer, Status, VersionHead, key};

impl<L: LedgerRead> Execution<'_, L> {
    pub(super) fn submit(&mut self, call: &Call<'_>, header: &Header) -> Result<Done, Fail> {
        // After the number of the step, an operation to submit is its header.
        let digest = Header::digest_of(call.canonical.get(1..).unwrap_or_default());
        self.check_filing(call, header)?;
        if header.version != 1 {
            let detail = format!("version {}, wants 1 for a new record", header.version);
            return Err(Refusal::new(Code::VersionConflict, detail).into());
        }
        let head_key = key::record(&header.record);
        if let Some(head) = self.state.read::<RecordHead>(&head_key)? {
            return repeated(header, &head, digest).map_err(Fail::from);
        }
        let (needs, subject) = self.check_content(call, header)?;
        self.take_natural_key(header)?;
        if header.record_type.is_governance() {
            self.check_governance(header, None)?;
        }
        let status = if needs.is_met() { Status::Effective } else { Status::Submitted };
        let version = self.version_head(call, header, digest, needs, status);
        let head = RecordHead::first(header, version, self.height);
        let done = self.record_step(call, &head, header.version, status)?;
        self.file_governance(header)?;
        self.keep_listing(header, subject);
        if status == Status::Effective {
            self.made_effective(&header.record, &head, None)?;
        }
        self.put_head(header.record, &head);
        Ok(done)
    }

    pub(super) fn amend(&mut self, call: &Call<'_>, header: &Header) -> Result<Done, Fail> {
        // After the numbers of step and reason comes the header.
        let digest = Header::digest_of(call.canonical.get(2..).unwrap_or_default());
        self.check_filing(call, header)?;
        let mut head = self.head(&header.record)?;
        if let Some(version) =
            head.next.iter().chain([&head.current]).find(|version| version.header_digest == digest)
        {
            return Ok(duplicate(header, version.version, version.leaf_index));
        }
        let fixed = matches!(header.record_type.lifecycle(), Lifecycle::Append)
            || header.record_type == RecordType::LegalBasis;
        if fixed {
            return Err(Refusal::new(Code::NotAmendable, format!("type {}", header.record_type)).into());
        }
        if header.version != head.current.version.saturating_add(1) {
            let detail = format!("version {}, the record has {}", header.version, head.current.version);
            return Err(Refusal::new(Code::VersionConflict, detail).into());
        }
        if !matches!(head.current.status, Status::Effective | Status::Suspended) {
            let detail = format!("status {}, an amendment wants effective or suspended", head.current.status);
            return Err(Refusal::new(Code::BadState, detail).into());
        }
        if head.next.is_some() {
            let detail = format!("version {} waits for approval already", header.version);
            return Err(Refusal::new(Code::BadState, detail).into());
        }
        if (header.class, header.subject_kind) != (head.class, head.subject_kind) {
            let detail = format!("the record is about {} in class {}", head.subject_kind, head.class);
            return Err(Refusal::new(Code::ClassNotPermitted, detail).into());
        }
        let (needs, subject) = self.check_content(call, header)?;
        if header.natural_key != head.current.natural_key {
            self.take_natural_key(header)?;
        }
        if header.record_type.is_governance() {
            self.check_governance(header, Some(head.current.version))?;
        }
        let status = if needs.is_met() { Status::Effective } else { Status::Submitted };
        head.next = Some(self.version_head(call, header, digest, needs, status));
        head.changed_at = self.height;
        let done = self.record_step(call, &head, header.version, status)?;
        self.file_governance(header)?;
        self.keep_listing(header, subject);
        if status == Status::Effective {
            self.take_over_next(header.record, &mut head)?;
        }
        self.put_head(header.record, &head);
        Ok(done)
    }

    /// Form, size and rights: everything that stands before looking at the record.
    fn check_filing(&mut self, call: &Call<'_>, header: &Header) -> Result<(), Fail> {
        if call.canonical.len() > OPERATION_BYTES_MAX {
            let detail =
                format!("operation of {} bytes, at most {OPERATION_BYTES_MAX}", call.canonical.len());
            return Err(Refusal::new(Code::SizeLimit, detail).into());
        }
        let wanted = match &header.details {
            Details::Agency(_) | Details::LegalBasis(_) | Details::Validator(_) => Role::CouncilMember,
            Details::Member(details) if details.role.is_granted_by_council() => Role::CouncilMember,
            Details::Member(_) => Role::AgencyAdmin,
            Details::None | Details::Notary(_) => Role::Clerk,
        };
        let author = call.author;
        // Whoever filed a validator's record, the whole council may propose to change it: its own agency may
        // have no member left who can.
        let shared = header.record_type == RecordType::Validator && call.operation.step() == Step::Amend;
        if author.member.agency != header.agency && !shared {
            let detail = format!(
                "key {} acts for {}, not for {}",
                author.key.short(),
                author.member.agency,
                header.agency
            );
            return Err(Refusal::new(Code::AgencyNotCompetent, detail).into());
        }
        require_role(call, wanted)?;
        if !header.record_type.is_governance() {
            let agency = self.state.agency(&header.agency)?;
            if !agency.is_some_and(|agency| agency.types.contains(&header.record_type)) {
                let detail = format!("{} may not file {}", header.agency, header.record_type);
                return Err(Refusal::new(Code::AgencyNotCompetent, detail).into());
            }
        }
        rules::check_header_form(self.chain.chain_id, header)?;
        Ok(())
    }

    /// Body, header, basis, officers and references; gives the approvals that the record needs, and whom it is about.
    fn check_content(&mut self, call: &Call<'_>, header: &Header) -> Result<(Needs, Option<Subject>), Fail> {
        if let Details::Member(details) = &header.details {
            let council = details.role.is_granted_by_council();
            return Ok((if council { self.council_needs() } else { Needs::SECOND_ADMIN }, None));
        }
        if header.record_type.is_governance() {
            return Ok((self.council_needs(), None));
        }
        let subject = self.check_shared_body(call, header)?;
        rules::check_header_content(header)?;
        let needs = self.check_legal_basis(header)?;
        self.check_officers(call, header)?;
        for reference in &header.refs {
            let target = self.state.read::<RecordHead>(&key::record(&reference.record))?;
            let standing = target
                .is_some_and(|target| !matches!(target.current.status, Status::Rejected | Status::Withdrawn));
            if !standing {
                let detail = format!("{} {}", reference.rel, reference.record);
                return Err(Refusal::new(Code::ReferenceNotFound, detail).into());
            }
        }
        Ok((needs, subject))
    }

    /// Judges a body of class P0 or P1 once, and gives the organisation it is about; where it was erased, the first
    /// outcome decides.
    fn check_shared_body(&self, call: &Call<'_>, header: &Header) -> Result<Option<Subject>, Fail> {
        if !header.class.body_is_shared() {
            return Ok(None);
        }
        match (call.body, call.recorded) {
            (Some(body), _) => {
                let derived = rules::check_body(header, body)?;
                let latest = self.time_ms.saturating_add(rules::CAPTURED_AHEAD_MS_MAX);
                if derived.captured_ms.is_some_and(|captured| captured > latest) {
                    let detail = "origin.captured lies after block time".to_owned();
                    return Err(Refusal::new(Code::DateOrder, detail).into());
                }
                let organisation =
                    derived.subject.filter(|_| header.subject_kind == SubjectKind::Organisation);
                let salt = derived.subject_salt;
                Ok(organisation.map(|organisation| Subject { organisation, salt }))
            }
            (None, Some(Verdict::Accepted { .. })) => Ok(None),
            (None, Some(Verdict::Refused(refusal))) => Err(refusal.clone().into()),
            (None, None) => Err(Refusal::new(Code::BodyMissing, "the body is absent").into()),
        }
    }

    fn check_legal_basis(&mut self, header: &Header) -> Result<Needs, Fail> {
        let Some(named) = &header.legal_basis else {
            return Err(rules::missing_basis().into());
        };
        let Some(basis) = self.state.basis(named)? else {
            let shown = crate::text::shown(&named.id);
            let detail = format!("the catalogue has no {shown} v{}", named.version);
            return Err(Refusal::new(Code::LegalBasisMissing, detail).into());
        };
        if !matches!(basis.status, Status::Effective | Status::Expired) {
            let detail = format!("legal basis {} v{}: status {}", named.id, named.version, basis.status);
            return Err(Refusal::new(Code::LegalBasisNotInForce, detail).into());
        }
        rules::check_basis(header, &basis.details, self.today)?;
        let mut needs = needs_of(header);
        if basis.details.legal_review {
            needs = needs.with(Needs::LEGAL_REVIEWER);
        }
        Ok(needs)
    }

    /// Officers of a penalty are clerks of the agency, the submitting one among them
    /// (Administrative Penalty Law art. 42).
    fn check_officers(&mut self, call: &Call<'_>, header: &Header) -> Result<(), Fail> {
        if header.record_type != RecordType::Penalty {
            return Ok(());
        }
        let refuse = |detail: String| Err(Fail::Refused(Refusal::new(Code::OfficersRequired, detail)));
        if !header.officers.contains(&call.author.key) {
            return refuse("the submitting clerk is not among the officers".to_owned());
        }
        for officer in &header.officers {
            let member = self.state.member(officer)?;
            let fitting = member.is_some_and(|member| {
                member.agency == header.agency
                    && member.role == Role::Clerk
                    && self.check_member(officer, &member).is_ok()
            });
            if !fitting {
                return refuse(format!("officer {} is no clerk of the agency in office", officer.short()));
            }
        }
        Ok(())
    }

    /// Reserves the agency's own number for a record.
    fn take_natural_key(&mut self, header: &Header) -> Result<(), Fail> {
        let Some(natural) = &header.natural_key else {
            return Ok(());
        };
        let natural_key = key::natural(header.record_type, &header.agency, natural);
        if let Some(first) = self.state.get(&natural_key)?
            && first != header.record.digest().as_bytes()
        {
            let first = <[u8; 32]>::try_from(first.as_slice()).map_or(Digest::ZERO, Digest::new);
            return Err(Refusal::new(Code::DuplicateNaturalKey, format!("record {first} has it")).into());
        }
        self.state.put(natural_key, header.record.digest().as_bytes().to_vec());
        Ok(())
    }

    /// Frees the number of a version that will never be effective.
    pub(super) fn free_natural_key(&mut self, head: &RecordHead, natural: Option<&Digest>) {
        if let Some(natural) = natural {
            self.state.remove(key::natural(head.record_type, &head.agency, natural));
        }
    }

    pub(super) fn council_needs(&self) -> Needs {
        Needs::council(self.chain.council_threshold.saturating_sub(1))
    }

    fn version_head(
        &self,
        call: &Call<'_>,
        header: &Header,
        header_digest: Digest,
        needs: Needs,
        status: Status,
    ) -> VersionHead {
        let step = if matches!(call.operation, Operation::Amend { .. }) { Step::Amend } else { Step::Submit };
        VersionHead {
            version: header.version,
            status,
            header_digest,
            body_commit: header.body_commit,
            leaf_index: self.log.size(),
            needs,
            signers: vec![Signer { key: call.author.key, role: call.author.member.role, step }],
            officers: header.officers.clone(),
            notary: match &header.details {
                Details::Notary(notary) => Some(notary.clone()),
                _ => None,
            },
            natural_key: header.natural_key,
            legal_basis: header.legal_basis.clone(),
            effective_to: header.effective_to,
            publish_from: header.publish_from,
            publish_until: header.publish_until,
        }
    }
}

/// The approvals that a type asks for by itself.
fn needs_of(header: &Header) -> Needs {
    match header.record_type {
        RecordType::Licence | RecordType::Decision => Needs::SUPERVISOR,
        RecordType::Penalty => {
            let needs = Needs::SECOND_CLERK.with(Needs::SUPERVISOR);
            // Administrative Penalty Law art. 58: legal review of grave or heard cases.
            let grave = header.severity == Some(crate::record::Severity::Serious) || header.heard;
            if grave { needs.with(Needs::LEGAL_REVIEWER) } else { needs }
        }
        RecordType::DocFingerprint => match header.details {
            Details::Notary(_) => Needs::NOTARY,
            _ => Needs::NONE,
        },
        RecordType::Agency | RecordType::Member | RecordType::LegalBasis | RecordType::Validator => {
            Needs::NONE
        }
    }
}

/// Refuses an author in another role.
pub(super) fn require_role(call: &Call<'_>, wanted: Role) -> Result<(), Refusal> {
    let role = call.author.member.role;
    if role == wanted {
        return Ok(());
    }
    Err(Refusal::new(Code::RoleNotAllowed, format!("role {role}, wants {wanted}")))
}

fn repeated(header: &Header, head: &RecordHead, digest: Digest) -> Result<Done, Refusal> {
    if head.first_digest == digest {
        return Ok(duplicate(header, 1, head.first_leaf));
    }
    let detail = format!("record {} was filed with other content", header.record);
    Err(Refusal::new(Code::IdempotencyConflict, detail))
}

fn duplicate(header: &Header, version: u32, leaf_index: u64) -> Done {
    Done { record: header.record, version, leaf_index, duplicate: true }
}
