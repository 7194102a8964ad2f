//! Approval after the fact: an alert that cannot wait takes effect when a clerk files it, and a supervisor approves it
//! afterwards (CAP urgency `immediate`).

use super::Actor;
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::operation::Step;
use crate::record::{Details, Header};
use crate::state::{Act, Flags, Needs, Pending, RecordHead, Status};

/// The approval that a header leaves open when it takes effect; `digest` is the header's.
pub(crate) fn pending(header: &Header, digest: Digest, actor: &Actor<'_>) -> Option<Pending> {
    let Details::Alert(alert) = &header.details else { return None };
    let signers = vec![actor.sign(Step::Submit)];
    let (step, act, needs) = (Step::Confirm, Act::Plain, Needs::SUPERVISOR);
    alert.immediate.then_some(Pending { step, act, digest, needs, signers })
}

/// Whether a record is in effect whose approval is still open.
pub(super) fn is_open(head: &RecordHead) -> bool {
    head.current.status == Status::Effective
        && head.pending.as_ref().is_some_and(|pending| pending.step == Step::Confirm)
}

/// Refuses to reject what is in effect.
pub(crate) fn check_rejection(head: &RecordHead) -> Result<(), Refusal> {
    if is_open(head) {
        let detail = "it is in effect already; a supervisor who does not approve it revokes it";
        return Err(Refusal::new(Code::BadState, detail));
    }
    Ok(())
}

/// Marks a record that nobody approved in time.
pub(super) fn miss(head: &mut RecordHead) {
    head.flags = head.flags.with(Flags::UNCONFIRMED);
}
