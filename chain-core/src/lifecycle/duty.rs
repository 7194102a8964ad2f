//! What is owed on a record by a day of the law: to publish it, to decide on it.
//!
//! The day on which a duty began and its length stand in the head, copied from the legal basis that the record itself names.
//! So a replay that has nothing but the record's leaves gives the same duties; the last day is reckoned by whoever asks, from
//! the calendars in the state.

use crate::date::Date;
use crate::record::deadline::{Deadline, DeadlineKind, Duty};
use crate::record::governance::BasisDetails;
use crate::record::{Header, Lifecycle, RecordType};
use crate::state::{Flags, RecordHead, Status};

fn term(basis: &BasisDetails, step: DeadlineKind) -> Option<Deadline> {
    basis.deadlines.iter().find(|deadline| deadline.step == step).copied()
}

/// The duties that begin when a header is filed: a case waits for its decision from the day it is filed, an act for its
/// publication from the day it was decided.
pub(crate) fn duties_of_filing(header: &Header, basis: &BasisDetails, today: Date) -> Vec<Duty> {
    let steps: &[DeadlineKind] = match header.record_type {
        RecordType::Objection => &[DeadlineKind::ObjectionDecision],
        RecordType::Repair => &[DeadlineKind::RepairAcceptance, DeadlineKind::RepairDecision],
        _ => match header.lifecycle() {
            Lifecycle::Published | Lifecycle::Register if header.publish_from.is_some() => {
                &[DeadlineKind::Publication]
            }
            _ => &[],
        },
    };
    // Later versions of an act are corrections and changes of what was published.
    let steps = if header.version == 1 { steps } else { &[] };
    let from = |step| match step {
        DeadlineKind::Publication => header.decided_on.unwrap_or(today),
        _ => today,
    };
    let duty = |deadline: Deadline| Duty { deadline, from: from(deadline.step), met: None };
    steps.iter().filter_map(|step| term(basis, *step)).map(duty).collect()
}

/// The duty that begins when a review is opened.
fn review_duty(basis: &BasisDetails, today: Date) -> Option<Duty> {
    term(basis, DeadlineKind::ReviewDecision).map(|deadline| Duty { deadline, from: today, met: None })
}

/// Whether what a duty is about has not been done yet.
fn is_open(head: &RecordHead, step: DeadlineKind) -> bool {
    let status = head.current.status;
    match step {
        DeadlineKind::ObjectionDecision | DeadlineKind::RepairAcceptance | DeadlineKind::RepairDecision => {
            status == Status::Effective
        }
        DeadlineKind::Publication => status == Status::Submitted,
        // The ledger itself ends the publication in the block of the decision.
        DeadlineKind::Withdrawal => false,
        DeadlineKind::ReviewDecision => status != Status::Erased && head.flags.contains(Flags::UNDER_REVIEW),
    }
}

/// Brings the duties of a head up to what a step made of it: notes the day on which one was met, and the one that a review
/// that was opened begins. `basis` is that of the version in effect.
pub(crate) fn keep_duties(head: &mut RecordHead, basis: Option<&BasisDetails>, today: Date) {
    let mut duties = std::mem::take(&mut head.duties);
    for duty in duties.iter_mut().filter(|duty| duty.met.is_none()) {
        if !is_open(head, duty.deadline.step) {
            let published = duty.deadline.step == DeadlineKind::Publication;
            let first = head.current.publish_from.filter(|_| published);
            duty.met = Some(first.map_or(today, |first| first.max(today)));
        }
    }
    let under_review = |duty: &Duty| duty.deadline.step == DeadlineKind::ReviewDecision && duty.met.is_none();
    if is_open(head, DeadlineKind::ReviewDecision)
        && !duties.iter().any(under_review)
        && let Some(duty) = basis.and_then(|basis| review_duty(basis, today))
    {
        duties.retain(|other| other.deadline.step != DeadlineKind::ReviewDecision);
        duties.push(duty);
    }
    head.duties = duties;
}

/// Whether a duty stands in the list of what an agency owes: while nobody did it, and where an act was published late for as
/// long as it is published. `last` is its last day. A day for accepting an application is not listed: no step of the
/// ledger says that it was accepted.
pub(crate) fn is_listed(head: &RecordHead, duty: &Duty, last: Date) -> bool {
    match (duty.deadline.step, duty.met) {
        (DeadlineKind::RepairAcceptance, _) => false,
        (_, None) => true,
        (DeadlineKind::Publication, Some(met)) => {
            let shown = matches!(head.current.status, Status::Effective | Status::Suspended)
                && !head.flags.contains(Flags::PUBLICATION_STOPPED);
            shown && met > last
        }
        (_, Some(_)) => false,
    }
}
