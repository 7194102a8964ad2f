//! Objections, reviews and repairs: what a case must be about, and what a decision must say.

use super::{Actor, require_reason};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::id::RecordId;
use crate::operation::{
    ANNOTATION_BYTES_MAX, DisputeOutcome, NOTE_BYTES_MAX, Operation, Remedy, RepairOutcome, Step,
};
use crate::record::body::check_note;
use crate::record::governance::{BasisDetails, Role, check_text};
use crate::record::{CODE_BYTES_MAX, Header, Lifecycle, RecordType, Relation};
use crate::state::{ANNOTATIONS_MAX, Act, Flags, Needs, Pending, RecordHead, Status};

/// Refuses an objection or an application for repair that the record it is about does not allow. `basis` is that of the
/// record in question, `today` the local day of the block.
pub(crate) fn check_case(
    header: &Header,
    target: &RecordHead,
    basis: Option<&BasisDetails>,
    today: Date,
) -> Result<(), Refusal> {
    let lifecycle = target.lifecycle();
    if matches!(lifecycle, Lifecycle::Status | Lifecycle::Case) {
        let detail = format!("{} cannot be about {}", header.record_type, target.record_type);
        return Err(Refusal::new(Code::ReferenceNotFound, detail));
    }
    let status = target.current.status;
    let open = match header.record_type {
        RecordType::Repair => status == Status::Effective,
        _ => super::is_live(status),
    };
    if !open {
        let detail = format!("the record it is about has status {status}");
        return Err(Refusal::new(Code::BadState, detail));
    }
    if (header.class, header.subject_kind) != (target.class, target.subject_kind) {
        let detail =
            format!("the record it is about is in class {}, about {}", target.class, target.subject_kind);
        return Err(Refusal::new(Code::ClassNotPermitted, detail));
    }
    if header.record_type == RecordType::Repair {
        check_repairable(target, basis, today)?;
    }
    Ok(())
}

/// NDRC Order 36 (2025): after the shortest publication, where the basis knows repair at all.
fn check_repairable(target: &RecordHead, basis: Option<&BasisDetails>, today: Date) -> Result<(), Refusal> {
    let Some(basis) = basis.filter(|basis| basis.repair.allowed && target.record_type.is_repairable()) else {
        let detail = format!("{} under its legal basis knows no repair", target.record_type);
        return Err(Refusal::new(Code::RepairExcluded, detail));
    };
    let current = &target.current;
    let months = basis.repair.after_months.max(basis.publication.term(current.severity).min_months);
    let counted = current.decided_on.and_then(|day| day.add_months(u32::from(months)));
    // A shortest period ends with its last day; acting is possible from the next one.
    match counted.max(current.publish_min_until) {
        Some(last) if today <= last => {
            let detail = format!("the shortest publication ends with {last}, the block is of {today}");
            Err(Refusal::new(Code::TooEarly, detail))
        }
        _ => Ok(()),
    }
}

/// Refuses to grant what was not applied for with evidence and promise.
pub(crate) fn check_repair_case(
    record: &RecordId,
    case: Option<&RecordHead>,
    outcome: RepairOutcome,
) -> Result<(), Refusal> {
    let granted = outcome == RepairOutcome::Granted;
    let Some(case) = case.filter(|case| case.current.related(Relation::Repairs).any(|one| one == *record))
    else {
        let code = if granted { Code::MissingEvidence } else { Code::ReferenceNotFound };
        return Err(Refusal::new(code, "no such application for the repair of this record"));
    };
    if case.current.status != Status::Effective {
        let detail = format!("the application has status {}, wants effective", case.current.status);
        return Err(Refusal::new(Code::BadState, detail));
    }
    let promised = case.current.related(Relation::Evidence).next().is_some();
    if granted && (case.current.attachments_root.is_none() || !promised) {
        let what = if promised { "evidence of performance" } else { "public commitment" };
        return Err(Refusal::new(Code::MissingEvidence, format!("the application has no {what}")));
    }
    Ok(())
}

/// What a step does beyond what its name says.
pub(crate) fn act_of(operation: &Operation) -> Act {
    match operation {
        Operation::DisputeDecide { carries, .. } => Act::Dispute(*carries),
        Operation::ReviewDecide { outcome, carries, .. } => Act::Review(*outcome, *carries),
        Operation::RepairDecide { case, outcome, .. } => Act::Repair(*case, *outcome),
        Operation::Hold { until, .. } => Act::Hold(*until),
        _ => Act::Plain,
    }
}

/// Refuses a step that does not say what it must, or says too much of a record about persons.
pub(crate) fn check_act(operation: &Operation, head: &RecordHead, today: Date) -> Result<(), Refusal> {
    match operation {
        Operation::Revoke { note, .. } | Operation::Erase { note, .. } => {
            check_note(note, head.class, NOTE_BYTES_MAX)
        }
        Operation::StopPublication { reason, .. }
        | Operation::Suspend { reason, .. }
        | Operation::RepairUndo { reason, .. }
        | Operation::RepairDecide { reasons: reason, .. } => {
            require_reason(reason)?;
            check_note(reason, head.class, NOTE_BYTES_MAX)
        }
        Operation::DisputeDecide { outcome, carries, reasons, .. } => {
            require_reason(reasons)?;
            check_note(reasons, head.class, NOTE_BYTES_MAX)?;
            let upheld = *outcome == DisputeOutcome::Upheld;
            if upheld == (*carries == Remedy::None) {
                let wanted = if upheld { "amend, revoke or stop_publication" } else { "none" };
                let detail = format!("outcome {outcome} carries {carries}, wants {wanted}");
                return Err(Refusal::new(Code::BadParameter, detail));
            }
            check_version_waits(head, *carries)
        }
        Operation::ReviewDecide { carries, order_no, .. } => {
            check_text("order_no", order_no, CODE_BYTES_MAX)?;
            check_version_waits(head, *carries)
        }
        Operation::ReviewOpen { file_no: number, .. } | Operation::ReleaseHold { order_no: number, .. } => {
            check_text("order or file number", number, CODE_BYTES_MAX)
        }
        Operation::Hold { order_no, until, .. } => {
            check_text("order_no", order_no, CODE_BYTES_MAX)?;
            if *until < today {
                let detail = format!("the hold would end on {until}, the block is of {today}");
                return Err(Refusal::new(Code::DateOrder, detail));
            }
            Ok(())
        }
        Operation::Annotate { text, .. } => {
            require_reason(text)?;
            check_note(text, head.class, ANNOTATION_BYTES_MAX)?;
            if head.annotations >= ANNOTATIONS_MAX {
                let detail = format!("{} statements, at most {ANNOTATIONS_MAX}", head.annotations);
                return Err(Refusal::new(Code::SizeLimit, detail));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_version_waits(head: &RecordHead, carries: Remedy) -> Result<(), Refusal> {
    if carries == Remedy::Amend && head.next.is_none() {
        return Err(Refusal::new(Code::BadState, "no corrected version waits that the decision could carry"));
    }
    Ok(())
}

/// The approvals that a decision takes beside those of its step: those of the version that takes effect with it.
pub(crate) fn decision_needs(head: &RecordHead, act: Act, needs: Needs) -> Needs {
    match (act.remedy(), &head.next) {
        (Remedy::Amend, Some(next)) => needs.with(next.needs),
        _ => needs,
    }
}

/// Refuses a supervisor who approved what the objection is about (Shenzhen credit regulation art. 51).
pub(super) fn check_other_supervisor(
    actor: &Actor<'_>,
    head: &RecordHead,
    pending: &Pending,
) -> Result<(), Refusal> {
    let approved = head.current.signers.iter().any(|signer| signer.key == actor.key);
    if pending.step == Step::DisputeDecide && actor.role == Role::Supervisor && approved {
        let detail = format!("key {} approved what the objection is about", actor.key.short());
        return Err(Refusal::new(Code::SamePerson, detail));
    }
    Ok(())
}

/// What a decision on an application makes of a head.
pub(super) fn repair(head: &mut RecordHead, act: Act) {
    if let Act::Repair(_, RepairOutcome::Granted) = act {
        head.current.status = Status::Repaired;
        head.flags = head.flags.with(Flags::PUBLICATION_STOPPED);
    }
}
