//! What follows from dates alone: expiry, end of publication, end of a hold, end of retention.

use super::{carry_out_end, confirm, is_live};
use crate::date::Date;
use crate::operation::Step;
use crate::record::{Lifecycle, RecordType};
use crate::state::{Flags, RecordHead, Status, VersionHead};

/// When a version's automatic steps are due: a date's last day is lived through, the step comes after it.
pub(crate) fn due_days(version: &VersionHead) -> [Option<(Date, Step)>; 2] {
    [
        version.effective_to.map(|last| (last.next(), Step::Expire)),
        version.publish_from.and(version.publish_until).map(|last| (last.next(), Step::PublicationEnd)),
    ]
}

/// When a hold ends by itself.
pub(crate) fn hold_end(head: &RecordHead) -> Option<(Date, Step)> {
    head.hold_until.map(|last| (last.next(), Step::HoldEnd))
}

/// What the end of retention brings: a record without an end of its own expires first, and is sealed then.
pub(crate) fn retention_end(head: &RecordHead) -> Option<(Date, Step)> {
    let step = if is_live(head.current.status) { Step::Expire } else { Step::RetentionEnd };
    head.seal_on.map(|day| (day, step))
}

/// Takes a step that follows from a date; false where it does not follow, or not any more.
pub(crate) fn take_due(head: &mut RecordHead, due: Date, step: Step) -> bool {
    let planned = match step {
        Step::HoldEnd => hold_end(head) == Some((due, step)),
        Step::RetentionEnd => head.seal_on == Some(due),
        // Due at a time, which the head does not keep.
        Step::ConfirmationMissed => confirm::is_open(head),
        Step::Expire if retention_end(head) == Some((due, step)) => true,
        _ => due_days(&head.current).into_iter().flatten().any(|plan| plan == (due, step)),
    };
    let has = |flag| head.flags.contains(flag);
    let fitting = match step {
        Step::HoldEnd => has(Flags::LEGAL_HOLD),
        // A legal hold comes first; when it ends, the step is planned again.
        Step::RetentionEnd => is_sealable(head.current.status) && !has(Flags::LEGAL_HOLD),
        Step::ConfirmationMissed => !has(Flags::UNCONFIRMED),
        Step::PublicationEnd => is_live(head.current.status) && !has(Flags::PUBLICATION_STOPPED),
        _ => is_live(head.current.status),
    };
    if !planned || !fitting {
        return false;
    }
    match step {
        Step::HoldEnd => end_hold(head),
        Step::RetentionEnd => seal(head),
        Step::Expire => carry_out_end(head, Status::Expired),
        Step::ConfirmationMissed => confirm::miss(head),
        _ => head.flags = head.flags.with(Flags::PUBLICATION_STOPPED),
    }
    true
}

/// Whether the bodies of a record with this status may be disposed of at the end of retention.
pub(super) fn is_sealable(status: Status) -> bool {
    matches!(
        status,
        Status::Expired
            | Status::Repaired
            | Status::Revoked
            | Status::Withdrawn
            | Status::Rejected
            | Status::Superseded
    )
}

pub(super) fn seal(head: &mut RecordHead) {
    head.current.status = Status::Sealed;
    head.flags = head.flags.with(Flags::PUBLICATION_STOPPED);
    head.next = None;
    head.pending = None;
    head.seal_on = None;
}

pub(super) fn end_hold(head: &mut RecordHead) {
    head.flags = head.flags.without(Flags::LEGAL_HOLD);
    head.hold_until = None;
}

/// The day on which the bodies of a version that ended are disposed of: what its header says, or as long after the end as
/// its legal basis says; none where they are kept for good.
fn keep_until(version: &VersionHead, ended: Date, retention_years: u16) -> Option<Date> {
    match (version.dispose_on, retention_years) {
        (Some(day), _) => Some(day.max(ended.next())),
        (None, 0) => None,
        (None, years) => ended.add_months(u32::from(years) * 12).map(Date::next),
    }
}

/// Whether a record in effect has no end of its own: published acts without one, and promises. A licence holds until it is
/// ended; the others are kept as long after their publication, or else their decision, as their legal basis says.
fn is_endless(head: &RecordHead) -> bool {
    let kept_for_a_time = match head.record_type {
        RecordType::Licence => false,
        RecordType::Commitment => true,
        _ => head.lifecycle() == Lifecycle::Published,
    };
    kept_for_a_time
        && head.current.effective_to.is_none()
        && matches!(head.current.status, Status::Effective | Status::Suspended)
}

/// Whether the end of retention is to be planned, or planned again.
pub(crate) fn wants_seal_plan(head: &RecordHead, before: Status) -> bool {
    let has_ended = head.current.status != before && is_sealable(head.current.status);
    has_ended || (is_endless(head) && head.seal_on.is_none())
}

/// Notes when the bodies of a record are to go: that has just ended, or that has no end of its own.
pub(crate) fn plan_seal(head: &mut RecordHead, before: Status, today: Date, retention_years: u16) {
    if !wants_seal_plan(head, before) {
        return;
    }
    let years = head.registered.map_or(retention_years, |one| one.terms.retention(retention_years));
    let version = &head.current;
    if matches!(head.record_type, RecordType::ListEntry | RecordType::Measure) {
        // What burdens for a time is not kept after it.
        head.seal_on = Some(version.effective_to.unwrap_or(today).max(today).next());
        return;
    }
    if is_live(version.status) {
        let published = version.publish_from.and(version.publish_until);
        let from = published.or(version.decided_on).or(version.effective_from).unwrap_or(today);
        head.seal_on = keep_until(version, from, years);
    } else if head.seal_on.is_none_or(|day| day > today) {
        // Otherwise it ended because its retention did.
        head.seal_on = keep_until(version, today, years);
    }
}
