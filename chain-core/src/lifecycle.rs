//! The life of a record: which step may follow, who may take it, who must agree, and what it makes of the head.
//!
//! Functions of a head alone. Execution calls them and adds what the rest of the state decides: whose key is in
//! force, which names are taken. [`replay`] calls the same ones for somebody who has nothing but a record's leaves.

pub(crate) mod anew;
mod cascade;
mod case;
mod change;
pub(crate) mod confirm;
mod due;
mod duty;
pub mod replay;
mod rights;

use crate::code::{Code, Refusal};
use crate::crypto::{Digest, PublicKey};
use crate::operation::{EraseGround, Remedy, Step};
use crate::org::OrgId;
use crate::record::governance::{BasisDetails, Role};
use crate::record::schema::TypeTerms;
use crate::record::{Details, Header, Lifecycle, RecordType, Severity};
use crate::state::{Act, Flags, Needs, RecordHead, Signer, Status, VersionHead};
pub(crate) use cascade::{check_base, follows, take_linked};
pub(crate) use case::{act_of, check_act, check_case, check_repair_case, decision_needs};
pub(crate) use due::{due_days, hold_end, plan_seal, retention_end, take_due, wants_seal_plan};
pub(crate) use duty::{duties_of_filing, is_listed, keep_duties};
pub(crate) use rights::{check_rights, rights};

/// Who takes a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor<'a> {
    /// The member's key.
    pub(crate) key: PublicKey,
    /// The agency it acts for.
    pub(crate) agency: &'a OrgId,
    /// The role it acts in.
    pub(crate) role: Role,
}

impl Actor<'_> {
    /// The actor as a signer.
    pub(crate) fn sign(&self, step: Step) -> Signer {
        Signer { key: self.key, role: self.role, step }
    }

    /// Refuses an actor in another role.
    pub(crate) fn require_one_of(&self, wanted: &[Role]) -> Result<(), Refusal> {
        if wanted.contains(&self.role) {
            return Ok(());
        }
        let wanted: Vec<&str> = wanted.iter().map(|role| role.name()).collect();
        let detail = format!("role {}, wants {}", self.role, wanted.join(" or "));
        Err(Refusal::new(Code::RoleNotAllowed, detail))
    }

    /// Refuses an actor of another agency than the record's.
    pub(crate) fn require_agency(&self, head: &RecordHead) -> Result<(), Refusal> {
        if *self.agency == head.agency {
            return Ok(());
        }
        let detail =
            format!("key {} acts for {}, the record is of {}", self.key.short(), self.agency, head.agency);
        Err(Refusal::new(Code::AgencyNotCompetent, detail))
    }
}

/// What a countersignature or rejection is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// The first version, or the one in effect.
    Current,
    /// The amendment that waits.
    Next,
    /// The step that waits.
    Pending,
}

impl Target {
    /// The version, where it is one.
    pub(crate) fn version(self, head: &RecordHead) -> Option<&VersionHead> {
        match self {
            Self::Current => Some(&head.current),
            Self::Next => head.next.as_ref(),
            Self::Pending => None,
        }
    }
}

fn bug(what: &str) -> Refusal {
    Refusal::new(Code::Internal, what)
}

/// Refuses an empty reason.
pub(crate) fn require_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::new(Code::ReasonRequired, "the reason is empty"));
    }
    Ok(())
}

/// The refusal of a step on another version than the record has.
pub(crate) fn version_conflict(version: u32, head: &RecordHead) -> Refusal {
    let detail = format!("version {version}, the record has {}", head.current.version);
    Refusal::new(Code::VersionConflict, detail)
}

/// Which roles file a record.
pub fn roles_to_file(header: &Header) -> &'static [Role] {
    match &header.details {
        Details::Agency(_)
        | Details::LegalBasis(_)
        | Details::Validator(_)
        | Details::Calendar(_)
        | Details::Schema(_)
        | Details::Params(_) => &[Role::CouncilMember],
        Details::Member(details) if details.role.is_granted_by_council() => &[Role::CouncilMember],
        Details::Member(_) => &[Role::AgencyAdmin],
        Details::DeviceKey(_) => &[Role::Clerk, Role::Device],
        Details::Batch(_) => &[Role::Device, Role::Gateway],
        Details::CommitBatch(_) | Details::AccessRoot(_) => &[Role::Gateway],
        Details::StatusList(_) => &[Role::AgencyAdmin],
        // The ledger writes them itself.
        Details::Gap(_) => &[],
        // A subject comes to the counter of whatever agency, or through a portal.
        Details::None if header.lifecycle() == Lifecycle::Case => &[Role::Clerk, Role::Portal],
        // What a service filed, a person goes on with.
        Details::Registered(terms) if header.version == 1 => terms.filed_by.roles(),
        Details::None
        | Details::Notary(_)
        | Details::Device(_)
        | Details::Registered(_)
        | Details::Alert(_)
        | Details::Procurement(_) => &[Role::Clerk],
    }
}

/// Refuses whoever files for another agency or in another role. Whoever filed a validator's record or a calendar, the
/// whole council may propose to change it: its own agency may have no member left who can.
pub(crate) fn check_filer(actor: &Actor<'_>, header: &Header, step: Step) -> Result<(), Refusal> {
    let shared =
        matches!(header.record_type, RecordType::Validator | RecordType::Calendar) && step == Step::Amend;
    if *actor.agency != header.agency && !shared {
        let detail =
            format!("key {} acts for {}, not for {}", actor.key.short(), actor.agency, header.agency);
        return Err(Refusal::new(Code::AgencyNotCompetent, detail));
    }
    actor.require_one_of(roles_to_file(header))
}

/// Refuses an act of several officers that its submitting clerk had no part in (Administrative Penalty Law art. 42).
pub(crate) fn check_own_officer(actor: &Actor<'_>, header: &Header) -> Result<(), Refusal> {
    if header.officers_min() > 0 && !header.officers.contains(&actor.key) {
        let detail = "the submitting clerk is not among the officers";
        return Err(Refusal::new(Code::OfficersRequired, detail));
    }
    Ok(())
}

/// Refuses a first version that does not say so.
pub(crate) fn check_first(header: &Header) -> Result<(), Refusal> {
    if header.version != 1 {
        let detail = format!("version {}, wants 1 for a new record", header.version);
        return Err(Refusal::new(Code::VersionConflict, detail));
    }
    Ok(())
}

/// Refuses a new version that cannot follow on the head.
pub(crate) fn check_amendment(head: &RecordHead, header: &Header) -> Result<(), Refusal> {
    let fixed = matches!(header.lifecycle(), Lifecycle::Append)
        || matches!(header.record_type, RecordType::LegalBasis | RecordType::Schema | RecordType::Params)
        || header.record_type.case_relation().is_some();
    if fixed {
        return Err(Refusal::new(Code::NotAmendable, format!("type {}", header.record_type)));
    }
    if header.version != head.current.version.saturating_add(1) {
        let detail = format!("version {}, the record has {}", header.version, head.current.version);
        return Err(Refusal::new(Code::VersionConflict, detail));
    }
    if !matches!(head.current.status, Status::Effective | Status::Suspended) {
        let detail = format!("status {}, an amendment wants effective or suspended", head.current.status);
        return Err(Refusal::new(Code::BadState, detail));
    }
    if head.next.is_some() {
        let detail = format!("version {} waits for approval already", header.version);
        return Err(Refusal::new(Code::BadState, detail));
    }
    if (header.class, header.subject_kind) != (head.class, head.subject_kind) {
        let detail = format!("the record is about {} in class {}", head.subject_kind, head.class);
        return Err(Refusal::new(Code::ClassNotPermitted, detail));
    }
    Ok(())
}

/// The approvals that a governance record needs; `council` is what the council's agreement takes.
pub(crate) fn governance_needs(header: &Header, council: Needs) -> Needs {
    match &header.details {
        Details::Member(details) if !details.role.is_granted_by_council() => Needs::SECOND_ADMIN,
        _ => council,
    }
}

/// The approvals that any other record needs: those of its type, those that its legal basis asks for, and of an amendment
/// the legal review that the version before had.
pub(crate) fn content_needs(header: &Header, basis: &BasisDetails, before: Option<&RecordHead>) -> Needs {
    let reviewed =
        |head: &RecordHead| head.current.signers.iter().any(|signer| signer.role == Role::LegalReviewer);
    let of = |wanted: bool, needs| if wanted { needs } else { Needs::NONE };
    // A case is decided with approvals of its own.
    let asked = match header.lifecycle() {
        Lifecycle::Case => Needs::NONE,
        _ => of(basis.supervisor && !waits_for_nobody(header), Needs::SUPERVISOR)
            .with(of(basis.legal_review || before.is_some_and(reviewed), Needs::LEGAL_REVIEWER)),
    };
    needs_of_type(header).with(asked)
}

/// Whether records of this kind cannot wait for a supervisor: no clerk files them, or they are approved afterwards.
fn waits_for_nobody(header: &Header) -> bool {
    let immediate = matches!(&header.details, Details::Alert(alert) if alert.immediate);
    immediate || !roles_to_file(header).contains(&Role::Clerk)
}

/// The approvals that a type asks for.
fn needs_of_type(header: &Header) -> Needs {
    match header.record_type {
        RecordType::Licence
        | RecordType::Decision
        | RecordType::Measure
        | RecordType::PropertyEvent
        | RecordType::Certificate
        | RecordType::Device => Needs::SUPERVISOR,
        // What the old key has signed needs nobody's leave.
        RecordType::DeviceKey => match &header.details {
            Details::DeviceKey(event) if event.proof.is_some() => Needs::NONE,
            _ => Needs::SUPERVISOR,
        },
        // What cannot wait is approved afterwards: see [`confirm::pending`].
        RecordType::Alert => match &header.details {
            Details::Alert(alert) if alert.immediate => Needs::NONE,
            _ => Needs::SUPERVISOR,
        },
        RecordType::Procurement => match &header.details {
            Details::Procurement(release) if release.is_decision() => Needs::SUPERVISOR,
            _ => Needs::NONE,
        },
        RecordType::ListEntry => Needs::LEGAL_REVIEWER.with(Needs::SUPERVISOR),
        // Whoever promises, objects or applies needs nobody's leave; that a promise was kept or broken is a finding.
        RecordType::Commitment if header.version > 1 || header.decided_on.is_some() => Needs::SUPERVISOR,
        RecordType::Commitment | RecordType::Objection | RecordType::Repair => Needs::NONE,
        RecordType::Penalty => {
            let needs = Needs::SECOND_CLERK.with(Needs::SUPERVISOR);
            // Administrative Penalty Law art. 58: legal review of grave or heard cases.
            let grave = header.severity == Some(Severity::Serious) || header.heard;
            if grave { needs.with(Needs::LEGAL_REVIEWER) } else { needs }
        }
        RecordType::DocFingerprint => match header.details {
            Details::Notary(_) => Needs::NOTARY,
            _ => Needs::NONE,
        },
        RecordType::Registered(_) => header.terms().map_or(Needs::NONE, type_needs),
        RecordType::Agency
        | RecordType::Member
        | RecordType::LegalBasis
        | RecordType::Validator
        | RecordType::Calendar
        | RecordType::Schema
        | RecordType::Params
        | RecordType::SensorBatch
        | RecordType::SensorGap
        | RecordType::CommitBatch
        | RecordType::StatusList
        | RecordType::AccessRoot => Needs::NONE,
    }
}

/// The approvals that a registered type asks for.
fn type_needs(terms: &TypeTerms) -> Needs {
    let of = |wanted: bool, needs| if wanted { needs } else { Needs::NONE };
    of(terms.officers > 0, Needs::SECOND_CLERK)
        .with(of(terms.supervisor, Needs::SUPERVISOR))
        .with(of(terms.legal_review, Needs::LEGAL_REVIEWER))
}

/// A version that is in force without anybody's signature on the record.
pub(crate) fn in_force(header: &Header, leaf_index: u64) -> VersionHead {
    filed(header, header.digest(), leaf_index, Needs::NONE, None)
}

/// A version as it is filed: effective if nobody else must agree.
pub(crate) fn filed(
    header: &Header,
    header_digest: Digest,
    leaf_index: u64,
    needs: Needs,
    signer: Option<Signer>,
) -> VersionHead {
    VersionHead {
        version: header.version,
        status: if needs.is_met() { Status::Effective } else { Status::Submitted },
        header_digest,
        body_commit: header.body_commit,
        leaf_index,
        needs,
        signers: signer.into_iter().collect(),
        officers: header.officers.clone(),
        notary: match &header.details {
            Details::Notary(notary) => Some(notary.clone()),
            _ => None,
        },
        natural_key: header.natural_key,
        legal_basis: header.legal_basis.clone(),
        decided_on: header.decided_on,
        effective_from: header.effective_from,
        effective_to: header.effective_to,
        publish_from: header.publish_from,
        publish_min_until: header.publish_min_until,
        publish_until: header.publish_until,
        dispose_on: header.dispose_on,
        severity: header.severity,
        refs: header.refs.iter().filter(|reference| reference.rel.is_kept()).copied().collect(),
        attachments_root: header.attachments_root,
    }
}

/// Finds what an approval or rejection is about, and that it still waits for one.
pub(crate) fn target(head: &RecordHead, version: u32, digest: Option<&Digest>) -> Result<Target, Refusal> {
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
            return Err(Refusal::new(Code::StaleDigest, detail));
        }
        let detail = format!("status {}, wants submitted", found.status);
        return Err(Refusal::new(Code::BadState, detail));
    }
    if stale {
        let detail = format!("version {version} has digest {}", found.header_digest);
        return Err(Refusal::new(Code::StaleDigest, detail));
    }
    Ok(target)
}

/// Which missing approval the actor can give.
pub(crate) fn approval(actor: &Actor<'_>, head: &RecordHead, target: Target) -> Result<Needs, Refusal> {
    let (needs, signers, version) = match (target, &head.pending) {
        (Target::Pending, Some(pending)) => {
            // A version that takes effect with the decision is approved with it, by its own officers.
            let version = match (pending.act.remedy(), &head.next) {
                (Remedy::Amend, Some(next)) => next,
                _ => &head.current,
            };
            case::check_other_supervisor(actor, head, pending)?;
            (pending.needs, &pending.signers, version)
        }
        (Target::Next, _) => match &head.next {
            Some(next) => (next.needs, &next.signers, next),
            None => return Err(bug("no waiting version")),
        },
        _ => (head.current.needs, &head.current.signers, &head.current),
    };
    let notary = target != Target::Pending && version.notary.as_ref() == Some(actor.agency);
    let council = actor.role == Role::CouncilMember && needs.council > 0;
    let auditor = actor.role == Role::Auditor && needs.contains(Needs::AUDITOR);
    if !notary && !council && !auditor {
        actor.require_agency(head)?;
    }
    if signers.iter().any(|signer| signer.key == actor.key) {
        let detail = format!("key {} signed it already", actor.key.short());
        return Err(Refusal::new(Code::SamePerson, detail));
    }
    let own = *actor.agency == head.agency;
    let given = match actor.role {
        Role::CouncilMember => Needs::council(1),
        Role::Auditor => Needs::AUDITOR,
        Role::Clerk | Role::Supervisor if notary && needs.contains(Needs::NOTARY) => Needs::NOTARY,
        Role::Supervisor if own => Needs::SUPERVISOR,
        Role::Clerk if own && version.officers.contains(&actor.key) => Needs::SECOND_CLERK,
        Role::LegalReviewer if own => Needs::LEGAL_REVIEWER,
        Role::AgencyAdmin if own => Needs::SECOND_ADMIN,
        _ => Needs::NONE,
    };
    if given == Needs::NONE || !needs.contains(given) {
        let detail = format!("role {}, still missing: {}", actor.role, needs.names().join(", "));
        return Err(Refusal::new(Code::RoleNotAllowed, detail));
    }
    Ok(given)
}

/// Gives an approval; whether it was the last one missing.
pub(crate) fn approve(
    head: &mut RecordHead,
    target: Target,
    given: Needs,
    signer: Signer,
) -> Result<bool, Refusal> {
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
    *needs = needs.without(given);
    signers.push(signer);
    Ok(needs.is_met())
}

/// Finds what whoever filed it may take back: a version that waits, or a case that is open.
pub(crate) fn withdrawal_target(head: &RecordHead, version: u32) -> Result<Target, Refusal> {
    let open = head.lifecycle() == Lifecycle::Case && head.current.status == Status::Effective;
    if open && head.next.is_none() && version == head.current.version {
        return Ok(Target::Current);
    }
    target(head, version, None)
}

/// Refuses whoever takes a version back without having filed it.
pub(crate) fn check_withdrawal(actor: &Actor<'_>, head: &RecordHead, target: Target) -> Result<(), Refusal> {
    let submitter = target.version(head).and_then(|version| version.signers.first());
    if submitter.is_none_or(|submitter| submitter.key != actor.key) {
        let detail = "only the clerk who filed it may withdraw it";
        return Err(Refusal::new(Code::RoleNotAllowed, detail));
    }
    Ok(())
}

/// Ends a submitted version that never took effect; gives its number, and the agency's own number that becomes free.
pub(crate) fn end_version(
    head: &mut RecordHead,
    target: Target,
    status: Status,
) -> Result<(u32, Option<Digest>), Refusal> {
    if target == Target::Next {
        let next = head.next.take().ok_or_else(|| bug("no waiting version"))?;
        let freed = next.natural_key.filter(|natural| head.current.natural_key != Some(*natural));
        return Ok((next.version, freed));
    }
    head.current.status = status;
    Ok((head.current.version, head.current.natural_key))
}

/// The waiting version takes effect; gives the one that it supersedes.
pub(crate) fn take_over(head: &mut RecordHead) -> Result<VersionHead, Refusal> {
    let mut next = head.next.take().ok_or_else(|| bug("no waiting version"))?;
    next.status = Status::Effective;
    // A step that waits was about the version that is now superseded.
    head.pending = None;
    head.seal_on = None;
    Ok(std::mem::replace(&mut head.current, next))
}

/// Refuses a change that the head's status or flags do not allow.
pub(crate) fn check_change_state(head: &RecordHead, step: Step) -> Result<(), Refusal> {
    let status = head.current.status;
    let live = is_live(status);
    let has = |flag| head.flags.contains(flag);
    let fitting = match step {
        Step::Suspend | Step::RepairDecide => status == Status::Effective,
        Step::Resume => status == Status::Suspended,
        Step::RepairUndo => status == Status::Repaired,
        Step::StopPublication => live && !has(Flags::PUBLICATION_STOPPED),
        Step::DisputeDecide => live && has(Flags::DISPUTED),
        Step::ReviewOpen => status != Status::Erased && !has(Flags::UNDER_REVIEW),
        Step::ReviewDecide => status != Status::Erased && has(Flags::UNDER_REVIEW),
        Step::Seal => due::is_sealable(status),
        Step::Hold => status != Status::Erased && !has(Flags::LEGAL_HOLD),
        Step::ReleaseHold => has(Flags::LEGAL_HOLD),
        Step::Erase | Step::Annotate => status != Status::Erased,
        _ => live,
    };
    if fitting {
        return Ok(());
    }
    let detail = format!("status {status}, flags {:?}: no step to {step}", head.flags.names());
    Err(Refusal::new(Code::BadState, detail))
}

/// Refuses a change while another one waits for approval.
pub(crate) fn check_nothing_pending(head: &RecordHead, step: Step) -> Result<(), Refusal> {
    match &head.pending {
        // What was in effect before anybody approved it can be ended at once.
        Some(pending) if pending.step == Step::Confirm && step == Step::Revoke => Ok(()),
        Some(pending) => {
            let detail = format!("a step to {} waits for approval", pending.step);
            Err(Refusal::new(Code::BadState, detail))
        }
        None => Ok(()),
    }
}

/// What a change that everybody has agreed to makes of a head; `by` is the agency of whoever agreed last. A version that
/// a decision brings into effect is the caller's to take over, before.
pub(crate) fn carry_out(head: &mut RecordHead, step: Step, act: Act, by: &OrgId) {
    match step {
        Step::Revoke => revoke(head),
        Step::Suspend => head.current.status = Status::Suspended,
        Step::Resume => {
            head.current.status = Status::Effective;
            head.suspended_with = None;
        }
        Step::Erase => {
            head.next = None;
            head.current.status = Status::Erased;
            head.flags = head.flags.with(Flags::PUBLICATION_STOPPED);
            head.seal_on = None;
        }
        Step::Seal => due::seal(head),
        Step::DisputeDecide => {
            head.flags = head.flags.without(Flags::DISPUTED);
            apply(head, act.remedy());
        }
        Step::ReviewOpen => {
            head.flags = head.flags.with(Flags::UNDER_REVIEW);
            head.reviewer = Some(by.clone());
        }
        Step::ReviewDecide => {
            head.flags = head.flags.without(Flags::UNDER_REVIEW);
            head.reviewer = None;
            apply(head, act.remedy());
        }
        Step::RepairDecide => case::repair(head, act),
        Step::RepairUndo => {
            head.current.status = Status::Effective;
            head.flags = head.flags.without(Flags::PUBLICATION_STOPPED);
            head.seal_on = None;
        }
        Step::Hold => {
            head.flags = head.flags.with(Flags::LEGAL_HOLD);
            head.hold_until = if let Act::Hold(until) = act { Some(until) } else { None };
        }
        Step::ReleaseHold => due::end_hold(head),
        Step::Annotate => head.annotations = head.annotations.saturating_add(1),
        Step::Confirm => {}
        _ => head.flags = head.flags.with(Flags::PUBLICATION_STOPPED),
    }
}

/// Ends a version that was in effect.
fn carry_out_end(head: &mut RecordHead, status: Status) {
    head.current.status = status;
    head.pending = None;
    head.suspended_with = None;
    head.flags = head.flags.with(Flags::PUBLICATION_STOPPED);
}

fn revoke(head: &mut RecordHead) {
    carry_out_end(head, Status::Revoked);
    head.next = None;
}

/// What a decision does to a record beside clearing its mark; where it ended already, nothing is left to revoke.
fn apply(head: &mut RecordHead, remedy: Remedy) {
    match remedy {
        Remedy::Revoke if is_live(head.current.status) => revoke(head),
        Remedy::Revoke | Remedy::StopPublication => {
            head.flags = head.flags.with(Flags::PUBLICATION_STOPPED);
        }
        Remedy::Amend | Remedy::None => {}
    }
}

/// Refuses to seal or erase under a legal hold.
pub(crate) fn check_hold(head: &RecordHead) -> Result<(), Refusal> {
    if head.flags.contains(Flags::LEGAL_HOLD) {
        return Err(Refusal::new(Code::LegalHold, "a legal hold comes before sealing and erasure"));
    }
    Ok(())
}

/// Refuses a ground that is none for the record as it stands.
pub(crate) fn check_ground(head: &RecordHead, ground: EraseGround) -> Result<(), Refusal> {
    check_hold(head)?;
    match ground {
        EraseGround::RetentionEnd if head.current.status != Status::Sealed => {
            let detail = format!("status {}, wants sealed: it is still to be kept", head.current.status);
            Err(Refusal::new(Code::TooEarly, detail))
        }
        EraseGround::Request if !head.subject_kind.is_personal() => {
            let detail = format!("a record about {} is nobody's personal data", head.subject_kind);
            Err(Refusal::new(Code::SubjectKindNotPermitted, detail))
        }
        _ => Ok(()),
    }
}

/// Whether a version with this status has taken effect and has not ended.
pub(crate) fn is_live(status: Status) -> bool {
    matches!(status, Status::Effective | Status::Suspended | Status::Repaired)
}

impl RecordType {
    /// Whether only the council changes records of this type.
    pub(crate) const fn is_of_council(self) -> bool {
        matches!(
            self,
            Self::Agency | Self::LegalBasis | Self::Validator | Self::Calendar | Self::Schema | Self::Params
        )
    }
}
