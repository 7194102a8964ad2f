//! Steps on records that exist: countersign, reject, withdraw, revoke, suspend, resume, stop publication.

use super::content::require_role;
use super::overlay::Fail;
use super::{Call, Done, Execution, LedgerRead};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::leaf::SignedLeafHead;
use crate::operation::{NOTE_BYTES_MAX, Operation, Step};
use crate::record::body::check_note;
use crate::record::governance::Role;
use crate::record::{Lifecycle, RecordType};
use crate::state::{Flags, Needs, Pending, RecordHead, Signer, Status, VersionHead, key};

/// What a countersignature or rejection is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Target {
    /// The first version, or the one in effect.
    Current,
    /// The amendment that waits.
    Next,
    /// The step that waits.
    Pending,
}

impl<L: LedgerRead> Execution<'_, L> {
    /// Carries out one operation. Checks come before writes, so a refusal changes nothing.
    pub(super) fn step(&mut self, call: &Call<'_>) -> Result<Done, Fail> {
        match call.operation {
            Operation::Submit(header) => self.submit(call, header),
            Operation::Amend { header, .. } => self.amend(call, header),
            Operation::Countersign { record, version, header_digest } => {
                self.countersign(call, record, *version, header_digest)
            }
            Operation::Reject { record, version, header_digest, reason } => {
                self.reject(call, record, *version, header_digest.as_ref(), reason)
            }
            Operation::Withdraw { record, version } => self.withdraw(call, record, *version),
            Operation::Revoke { record, version, note, .. } => {
                self.change(call, record, *version, Step::Revoke, note)
            }
            Operation::StopPublication { record, version, reason } => {
                require_reason(reason)?;
                self.change(call, record, *version, Step::StopPublication, reason)
            }
            Operation::Suspend { record, version, reason, .. } => {
                require_reason(reason)?;
                self.change(call, record, *version, Step::Suspend, reason)
            }
            Operation::Resume { record, version } => self.change(call, record, *version, Step::Resume, ""),
            Operation::Ready { record, version, time_ms, signature } => {
                self.ready(call, record, *version, *time_ms, signature)
            }
            Operation::Erase { record, version, ground, note } => {
                self.order_erasure(call, record, *version, *ground, note)
            }
            Operation::Accuse(_) => {
                let detail = "evidence comes alone in its transaction";
                Err(Refusal::new(Code::TooManyOperations, detail).into())
            }
            Operation::ConfirmErasure { .. } => {
                let detail = "a validator confirms erasures in a transaction of nothing else";
                Err(Refusal::new(Code::TooManyOperations, detail).into())
            }
        }
    }

    pub(super) fn head(&self, record: &RecordId) -> Result<RecordHead, Fail> {
        match self.state.read(&key::record(record))? {
            Some(head) => Ok(head),
            None => Err(Refusal::new(Code::RecordNotFound, format!("record {record}")).into()),
        }
    }

    pub(super) fn put_head(&mut self, record: RecordId, head: &RecordHead) {
        self.state.put(key::record(&record), head.to_canonical());
        self.touch(record, head);
    }

    /// Appends the leaf of an accepted step.
    pub(super) fn record_step(
        &mut self,
        call: &Call<'_>,
        head: &RecordHead,
        version: u32,
        status: Status,
    ) -> Result<Done, Fail> {
        let leaf = SignedLeafHead {
            height: self.height,
            time_ms: self.time_ms,
            tx: call.tx,
            operation_index: call.index,
            author: &call.author.key,
            agency: &call.author.member.agency,
            role: call.author.member.role,
            version,
            status,
            flags: head.flags,
        };
        let record = call.operation.record();
        let leaf_index = self.append(Some(record), leaf.with_operation(call.canonical));
        Ok(Done { record, version, leaf_index, duplicate: false })
    }

    fn countersign(
        &mut self,
        call: &Call<'_>,
        record: &RecordId,
        version: u32,
        digest: &Digest,
    ) -> Result<Done, Fail> {
        let mut head = self.head(record)?;
        let target = target(&head, version, Some(digest))?;
        let need = approval(call, &head, target)?;
        let signer = Signer { key: call.author.key, role: call.author.member.role, step: Step::Countersign };
        let (needs, signers) = match target {
            Target::Pending => match &mut head.pending {
                Some(pending) => (&mut pending.needs, &mut pending.signers),
                None => return Err(bug("no pending step")),
            },
            Target::Next => match &mut head.next {
                Some(next) => (&mut next.needs, &mut next.signers),
                None => return Err(bug("no waiting version")),
            },
            Target::Current => (&mut head.current.needs, &mut head.current.signers),
        };
        *needs = needs.without(need);
        signers.push(signer);
        let met = needs.is_met();
        head.changed_at = self.height;
        if !met {
            let status = if target == Target::Pending { head.current.status } else { Status::Submitted };
            let done = self.record_step(call, &head, version, status)?;
            self.put_head(*record, &head);
            return Ok(done);
        }
        match target {
            Target::Current => {
                self.check_governance_of(record, &head, head.current.version, None)?;
                head.current.status = Status::Effective;
                self.made_effective(record, &head, None)?;
            }
            Target::Next => {
                let before = Some(head.current.version);
                self.check_governance_of(record, &head, version, before)?;
                self.take_over_next(*record, &mut head)?;
            }
            Target::Pending => {
                let step = head.pending.take().map_or(Step::Revoke, |pending| pending.step);
                self.carry_out(record, &mut head, step)?;
            }
        }
        let status = head.current.status;
        let done = self.record_step(call, &head, version, status)?;
        self.put_head(*record, &head);
        Ok(done)
    }

    fn reject(
        &mut self,
        call: &Call<'_>,
        record: &RecordId,
        version: u32,
        digest: Option<&Digest>,
        reason: &str,
    ) -> Result<Done, Fail> {
        require_reason(reason)?;
        let mut head = self.head(record)?;
        check_note(reason, head.class, NOTE_BYTES_MAX)?;
        let target = target(&head, version, digest)?;
        approval(call, &head, target)?;
        head.changed_at = self.height;
        if target == Target::Pending {
            head.pending = None;
            let status = head.current.status;
            let done = self.record_step(call, &head, version, status)?;
            self.put_head(*record, &head);
            return Ok(done);
        }
        self.end_version(call, record, head, target, Status::Rejected)
    }

    fn withdraw(&mut self, call: &Call<'_>, record: &RecordId, version: u32) -> Result<Done, Fail> {
        let mut head = self.head(record)?;
        let target = target(&head, version, None)?;
        let submitter = version_of(&head, target).and_then(|version| version.signers.first());
        if submitter.is_none_or(|submitter| submitter.key != call.author.key) {
            let detail = "only the clerk who filed it may withdraw it";
            return Err(Refusal::new(Code::RoleNotAllowed, detail).into());
        }
        head.changed_at = self.height;
        self.end_version(call, record, head, target, Status::Withdrawn)
    }

    /// Ends a submitted version that never took effect.
    fn end_version(
        &mut self,
        call: &Call<'_>,
        record: &RecordId,
        mut head: RecordHead,
        target: Target,
        status: Status,
    ) -> Result<Done, Fail> {
        let version = if target == Target::Next {
            let Some(next) = head.next.take() else {
                return Err(bug("no waiting version"));
            };
            if next.natural_key != head.current.natural_key {
                self.free_natural_key(&head, next.natural_key.as_ref());
            }
            next.version
        } else {
            head.current.status = status;
            self.free_natural_key(&head, head.current.natural_key.as_ref());
            head.current.version
        };
        let done = self.record_step(call, &head, version, status)?;
        self.put_head(*record, &head);
        Ok(done)
    }

    /// Revoke, suspend, resume, stop publication, erase: at once, or pending until others have agreed.
    pub(super) fn change(
        &mut self,
        call: &Call<'_>,
        record: &RecordId,
        version: u32,
        step: Step,
        note: &str,
    ) -> Result<Done, Fail> {
        let mut head = self.head(record)?;
        check_note(note, head.class, NOTE_BYTES_MAX)?;
        let needs = self.check_change(call, record, &head, step)?;
        if version != head.current.version {
            return Err(version_conflict(version, &head));
        }
        check_change_state(&head, step)?;
        self.check_validator_step(&head, step)?;
        let digest = Operation::digest_of(call.canonical);
        if let Some(pending) = &head.pending {
            let detail = format!("a step to {} waits for approval", pending.step);
            return Err(Refusal::new(Code::BadState, detail).into());
        }
        head.changed_at = self.height;
        if needs.is_met() {
            self.carry_out(record, &mut head, step)?;
        } else {
            let signer = Signer { key: call.author.key, role: call.author.member.role, step };
            head.pending = Some(Pending { step, digest, needs, signers: vec![signer] });
        }
        let status = head.current.status;
        let done = self.record_step(call, &head, version, status)?;
        self.put_head(*record, &head);
        Ok(done)
    }

    /// Who may begin a change, and who else must agree.
    fn check_change(
        &self,
        call: &Call<'_>,
        record: &RecordId,
        head: &RecordHead,
        step: Step,
    ) -> Result<Needs, Fail> {
        let (role, needs) = match (head.record_type.lifecycle(), step) {
            (Lifecycle::Status, Step::StopPublication | Step::Erase)
            | (Lifecycle::Append, Step::Suspend | Step::Resume | Step::StopPublication) => {
                let detail = format!("{} knows no step to {step}", head.record_type);
                return Err(Refusal::new(Code::BadState, detail).into());
            }
            // Neither may destroy alone what the other would have to answer for.
            (_, Step::Erase) => (Role::PrivacyOfficer, Needs::AUDITOR),
            (Lifecycle::Status, _) if self.is_council_matter(record, head)? => {
                (Role::CouncilMember, self.council_needs())
            }
            // Putting a key out of use must be quick; giving it back must not be one person's act.
            (Lifecycle::Status, Step::Suspend) => (Role::AgencyAdmin, Needs::NONE),
            (Lifecycle::Status, _) => (Role::AgencyAdmin, Needs::SECOND_ADMIN),
            (Lifecycle::Append, _) => (Role::Supervisor, Needs::NONE),
            (Lifecycle::Register | Lifecycle::Published, Step::Revoke) => {
                (Role::Supervisor, Needs::LEGAL_REVIEWER)
            }
            (Lifecycle::Register | Lifecycle::Published, _) => (Role::Supervisor, Needs::NONE),
        };
        if role != Role::CouncilMember {
            check_agency(call, head)?;
        }
        require_role(call, role)?;
        Ok(needs)
    }

    /// Lets a change take effect.
    fn carry_out(&mut self, record: &RecordId, head: &mut RecordHead, step: Step) -> Result<(), Fail> {
        self.check_validator_step(head, step)?;
        match step {
            Step::Revoke => {
                head.current.status = Status::Revoked;
                head.flags = head.flags.with(Flags::PUBLICATION_STOPPED);
                head.next = None;
            }
            Step::Suspend => head.current.status = Status::Suspended,
            Step::Resume => head.current.status = Status::Effective,
            Step::Erase => self.erase(record, head)?,
            _ => head.flags = head.flags.with(Flags::PUBLICATION_STOPPED),
        }
        if head.record_type.is_governance() {
            self.governance_status(record, head)?;
        }
        Ok(())
    }

    /// The waiting version takes effect and the one before it is superseded.
    pub(super) fn take_over_next(&mut self, record: RecordId, head: &mut RecordHead) -> Result<(), Fail> {
        let Some(mut next) = head.next.take() else {
            return Err(bug("no waiting version"));
        };
        next.status = Status::Effective;
        let before = std::mem::replace(&mut head.current, next);
        if before.natural_key != head.current.natural_key {
            self.free_natural_key(head, before.natural_key.as_ref());
        }
        // A step that waits was about the version that is now superseded.
        head.pending = None;
        self.made_effective(&record, head, Some(before.version))
    }

    /// What follows from a version taking effect.
    pub(super) fn made_effective(
        &mut self,
        record: &RecordId,
        head: &RecordHead,
        before: Option<u32>,
    ) -> Result<(), Fail> {
        self.plan_automatic_steps(record, &head.current);
        if head.record_type.is_governance() {
            self.govern(record, head, before)?;
        }
        Ok(())
    }
}

fn bug(what: &str) -> Fail {
    Fail::Refused(Refusal::new(Code::Internal, what))
}

fn require_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::new(Code::ReasonRequired, "the reason is empty"));
    }
    Ok(())
}

fn version_conflict(version: u32, head: &RecordHead) -> Fail {
    let detail = format!("version {version}, the record has {}", head.current.version);
    Refusal::new(Code::VersionConflict, detail).into()
}

fn version_of(head: &RecordHead, target: Target) -> Option<&VersionHead> {
    match target {
        Target::Current => Some(&head.current),
        Target::Next => head.next.as_ref(),
        Target::Pending => None,
    }
}

/// Finds what an approval or rejection is about, and that it still waits for one.
fn target(head: &RecordHead, version: u32, digest: Option<&Digest>) -> Result<Target, Fail> {
    if let (Some(pending), Some(digest)) = (&head.pending, digest)
        && pending.digest == *digest
    {
        return if version == head.current.version {
            Ok(Target::Pending)
        } else {
            Err(version_conflict(version, head))
        };
    }
    let (target, found) = match &head.next {
        Some(next) if next.version == version => (Target::Next, next),
        _ if head.current.version == version => (Target::Current, &head.current),
        _ => return Err(version_conflict(version, head)),
    };
    let stale = digest.is_some_and(|digest| *digest != found.header_digest);
    if found.status != Status::Submitted {
        // With a step pending, an approval that names another digest was meant for something else.
        if let (Some(pending), true) = (&head.pending, stale) {
            let detail = format!("the pending step to {} has digest {}", pending.step, pending.digest);
            return Err(Refusal::new(Code::StaleDigest, detail).into());
        }
        let detail = format!("status {}, wants submitted", found.status);
        return Err(Refusal::new(Code::BadState, detail).into());
    }
    if stale {
        let detail = format!("version {version} has digest {}", found.header_digest);
        return Err(Refusal::new(Code::StaleDigest, detail).into());
    }
    Ok(target)
}

fn check_agency(call: &Call<'_>, head: &RecordHead) -> Result<(), Refusal> {
    if call.author.member.agency == head.agency {
        return Ok(());
    }
    let detail = format!(
        "key {} acts for {}, the record is of {}",
        call.author.key.short(),
        call.author.member.agency,
        head.agency
    );
    Err(Refusal::new(Code::AgencyNotCompetent, detail))
}

/// Which missing approval the author can give.
fn approval(call: &Call<'_>, head: &RecordHead, target: Target) -> Result<Needs, Fail> {
    let (needs, signers, version) = match (target, &head.pending) {
        (Target::Pending, Some(pending)) => (pending.needs, &pending.signers, &head.current),
        (Target::Next, _) => match &head.next {
            Some(next) => (next.needs, &next.signers, next),
            None => return Err(bug("no waiting version")),
        },
        _ => (head.current.needs, &head.current.signers, &head.current),
    };
    let member = &call.author.member;
    let notary = target != Target::Pending && version.notary.as_ref() == Some(&member.agency);
    let council = member.role == Role::CouncilMember && needs.council > 0;
    let auditor = member.role == Role::Auditor && needs.contains(Needs::AUDITOR);
    if !notary && !council && !auditor {
        check_agency(call, head)?;
    }
    if signers.iter().any(|signer| signer.key == call.author.key) {
        let detail = format!("key {} signed it already", call.author.key.short());
        return Err(Refusal::new(Code::SamePerson, detail).into());
    }
    let own = member.agency == head.agency;
    let given = match member.role {
        Role::CouncilMember => Needs::council(1),
        Role::Auditor => Needs::AUDITOR,
        Role::Clerk | Role::Supervisor if notary && needs.contains(Needs::NOTARY) => Needs::NOTARY,
        Role::Supervisor if own => Needs::SUPERVISOR,
        Role::Clerk if own && version.officers.contains(&call.author.key) => Needs::SECOND_CLERK,
        Role::LegalReviewer if own => Needs::LEGAL_REVIEWER,
        Role::AgencyAdmin if own => Needs::SECOND_ADMIN,
        _ => Needs::NONE,
    };
    if given == Needs::NONE || !needs.contains(given) {
        let detail = format!("role {}, still missing: {}", member.role, needs.names().join(", "));
        return Err(Refusal::new(Code::RoleNotAllowed, detail).into());
    }
    Ok(given)
}

fn check_change_state(head: &RecordHead, step: Step) -> Result<(), Fail> {
    let status = head.current.status;
    let live = matches!(status, Status::Effective | Status::Suspended | Status::Repaired);
    let fitting = match step {
        Step::Suspend => status == Status::Effective,
        Step::Resume => status == Status::Suspended,
        Step::StopPublication => live && !head.flags.contains(Flags::PUBLICATION_STOPPED),
        Step::Erase => status != Status::Erased,
        _ => live,
    };
    if fitting {
        return Ok(());
    }
    let detail = format!("status {status}, flags {:?}: no step to {step}", head.flags.names());
    Err(Refusal::new(Code::BadState, detail).into())
}

impl RecordType {
    /// Whether only the council changes records of this type.
    pub(super) const fn is_of_council(self) -> bool {
        matches!(self, Self::Agency | Self::LegalBasis | Self::Validator)
    }
}
