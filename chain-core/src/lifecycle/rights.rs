//! Who may begin a change, and who else must agree.

use super::Actor;
use crate::code::{Code, Refusal};
use crate::operation::Step;
use crate::record::Lifecycle;
use crate::record::governance::Role;
use crate::state::{Needs, RecordHead};

/// Whose members may begin a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whose {
    /// The record's agency's.
    Own,
    /// The record's agency's, and those of the agency that opened the review.
    OwnOrReviewer,
    /// Any agency's.
    Any,
}

/// Who may begin a change, and who else must agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    roles: &'static [Role],
    whose: Whose,
    /// The approvals that it takes.
    pub(crate) needs: Needs,
}

/// The rights of a step; `council` is what the council's agreement takes where the record is the council's matter.
pub(crate) fn rights(head: &RecordHead, step: Step, council: Option<Needs>) -> Result<Rights, Refusal> {
    let own = |roles, needs| Rights { roles, whose: Whose::Own, needs };
    let any = |roles| Rights { roles, whose: Whose::Any, needs: Needs::NONE };
    let lifecycle = head.lifecycle();
    Ok(match (lifecycle, step) {
        (Lifecycle::Status, step) if !matches!(step, Step::Revoke | Step::Suspend | Step::Resume) => {
            return Err(unknown(head, step));
        }
        (Lifecycle::Append, Step::Suspend | Step::Resume | Step::StopPublication)
        | (Lifecycle::Case, Step::Suspend | Step::Resume | Step::StopPublication | Step::Revoke) => {
            return Err(unknown(head, step));
        }
        // Neither may destroy alone what the other would have to answer for.
        (_, Step::Erase) => own(&[Role::PrivacyOfficer], Needs::AUDITOR),
        (_, Step::Seal) => own(&[Role::PrivacyOfficer], Needs::NONE),
        (_, Step::Hold | Step::ReleaseHold) => any(&[Role::Auditor]),
        (_, Step::Annotate) => any(&[Role::Portal, Role::Clerk, Role::Auditor]),
        (_, Step::ReviewOpen) => any(&[Role::Clerk]),
        (_, Step::ReviewDecide) => {
            Rights { roles: &[Role::Supervisor], whose: Whose::OwnOrReviewer, needs: Needs::NONE }
        }
        (_, Step::DisputeDecide | Step::RepairDecide) => own(&[Role::Clerk], Needs::SUPERVISOR),
        (_, Step::RepairUndo) => own(&[Role::Supervisor], Needs::LEGAL_REVIEWER),
        (Lifecycle::Status, step) => match (council, step) {
            (Some(needs), _) => Rights { roles: &[Role::CouncilMember], whose: Whose::Any, needs },
            // Putting a key out of use must be quick; giving it back must not be one person's act.
            (None, Step::Suspend) => own(&[Role::AgencyAdmin], Needs::NONE),
            (None, _) => own(&[Role::AgencyAdmin], Needs::SECOND_ADMIN),
        },
        (Lifecycle::Register | Lifecycle::Published, Step::Revoke) => {
            own(&[Role::Supervisor], Needs::LEGAL_REVIEWER)
        }
        (Lifecycle::Append | Lifecycle::Register | Lifecycle::Published | Lifecycle::Case, _) => {
            own(&[Role::Supervisor], Needs::NONE)
        }
    })
}

fn unknown(head: &RecordHead, step: Step) -> Refusal {
    Refusal::new(Code::BadState, format!("{} knows no step to {step}", head.record_type))
}

/// Refuses whoever may not begin a change.
pub(crate) fn check_rights(actor: &Actor<'_>, head: &RecordHead, rights: &Rights) -> Result<(), Refusal> {
    match rights.whose {
        Whose::Any => {}
        Whose::OwnOrReviewer if head.reviewer.as_ref() == Some(actor.agency) => {}
        Whose::Own | Whose::OwnOrReviewer => actor.require_agency(head)?,
    }
    actor.require_one_of(rights.roles)
}
