//! What follows from a step on another record: dependants end, are suspended and resumed with their base; a record is
//! disputed by an objection; cases are closed by the decision.

use super::{carry_out_end, is_live};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::id::RecordId;
use crate::operation::Step;
use crate::record::{Header, Lifecycle, RecordType, Relation};
use crate::state::{Flags, RecordHead, Status, VersionHead};

/// The step that dependants take when a record's status changes: they end with it, or are suspended and resumed with it.
pub(crate) fn follows(before: Status, after: Status) -> Option<Step> {
    let held = |status| matches!(status, Status::Effective | Status::Suspended);
    match (before, after) {
        (before, after) if held(before) && !held(after) => Some(Step::Expire),
        (Status::Effective, Status::Suspended) => Some(Step::Suspend),
        (Status::Suspended, Status::Effective) => Some(Step::Resume),
        _ => None,
    }
}

/// Takes a step that follows from a step on another record; false where it does not follow, or not any more.
pub(crate) fn take_linked(head: &mut RecordHead, step: Step, cause: &RecordId) -> bool {
    let status = head.current.status;
    let about = |rel| head.current.related(rel).any(|record| record == *cause);
    let fitting = match step {
        Step::Expire => {
            head.current.rests_on(cause) && matches!(status, Status::Effective | Status::Suspended)
        }
        Step::Suspend => {
            head.record_type == RecordType::Measure
                && head.current.rests_on(cause)
                && status == Status::Effective
        }
        Step::Resume => status == Status::Suspended && head.suspended_with == Some(*cause),
        Step::CloseCase => {
            head.lifecycle() == Lifecycle::Case
                && status == Status::Effective
                && (about(Relation::ObjectsTo) || about(Relation::Repairs))
        }
        Step::DisputeOpen => is_live(status) && !head.flags.contains(Flags::DISPUTED),
        Step::DisputeEnd => head.flags.contains(Flags::DISPUTED),
        Step::RepairApply => status == Status::Effective,
        Step::Explain => {
            head.record_type == RecordType::SensorGap
                && is_live(status)
                && !head.flags.contains(Flags::EXPLAINED)
        }
        Step::ExplanationEnd => head.flags.contains(Flags::EXPLAINED),
        Step::Supersede => {
            matches!(head.record_type, RecordType::Alert | RecordType::Registered(_)) && is_live(status)
        }
        _ => false,
    };
    if !fitting {
        return false;
    }
    match step {
        Step::Expire | Step::CloseCase => carry_out_end(head, Status::Expired),
        Step::Supersede => carry_out_end(head, Status::Superseded),
        Step::Suspend => {
            head.current.status = Status::Suspended;
            head.suspended_with = Some(*cause);
        }
        Step::Resume => {
            head.current.status = Status::Effective;
            head.suspended_with = None;
        }
        Step::DisputeOpen => head.flags = head.flags.with(Flags::DISPUTED),
        Step::DisputeEnd => head.flags = head.flags.without(Flags::DISPUTED),
        Step::Explain => head.flags = head.flags.with(Flags::EXPLAINED),
        Step::ExplanationEnd => head.flags = head.flags.without(Flags::EXPLAINED),
        _ => {}
    }
    true
}

/// The last day of what may rest on a version.
fn last_day(version: &VersionHead) -> Option<Date> {
    version.effective_to.or(version.publish_until)
}

/// Refuses a record that rests on one that is not in effect, begins before it or outlasts it.
pub(crate) fn check_base(header: &Header, base: &RecordHead) -> Result<(), Refusal> {
    let status = base.current.status;
    if status != Status::Effective {
        let detail = format!("it rests on a record with status {status}, wants effective");
        return Err(Refusal::new(Code::BadState, detail));
    }
    let shown = |day: Option<Date>| day.map_or_else(|| "without end".to_owned(), |day| day.to_string());
    if let (Some(from), Some(base_from)) = (header.effective_from, base.current.effective_from)
        && from < base_from
    {
        let detail = format!("it begins on {from}, what it rests on begins on {base_from}");
        return Err(Refusal::new(Code::OutlastsBase, detail));
    }
    match (last_day(&base.current), header.effective_to) {
        (Some(base_to), to) if to.is_none_or(|to| to > base_to) => {
            let detail = format!("it ends {}, what it rests on ends on {base_to}", shown(to));
            Err(Refusal::new(Code::OutlastsBase, detail))
        }
        _ => Ok(()),
    }
}
