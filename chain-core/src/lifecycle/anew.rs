//! What an act of recovery makes of a validator's record. Nobody signs that step on the record itself: the act's leaf
//! tells it, and so no leaf of the record does.

use crate::build::governance_header;
use crate::code::Refusal;
use crate::committee::Validator;
use crate::id::{ChainId, Height, RecordId};
use crate::org::OrgId;
use crate::record::validator::ValidatorDetails;
use crate::record::{Details, Header};
use crate::state::{RecordHead, Status, VersionHead};

/// Whether a validator's record stands for the validator of its name: it took effect once, and was not revoked since.
pub(crate) fn is_known(status: Status) -> bool {
    !matches!(status, Status::Submitted | Status::Rejected | Status::Withdrawn | Status::Revoked)
}

/// Whether a record describes a validator as an act does, so that the act changes nothing of it.
pub(crate) fn is_as_wanted(status: Status, described: &Validator, wanted: &Validator) -> bool {
    status == Status::Effective && described == wanted
}

/// The next version of a known validator's record.
///
/// # Errors
/// When the act describes no validator that a record could hold.
pub(crate) fn next_version(old: &Header, wanted: &Validator) -> Result<Header, Refusal> {
    Ok(Header { version: old.version.saturating_add(1), details: details(wanted)?.1, ..old.clone() })
}

/// The first version of a record that an act begins.
///
/// # Errors
/// As [`next_version`].
pub(crate) fn first_version(chain_id: ChainId, act: RecordId, wanted: &Validator) -> Result<Header, Refusal> {
    let (agency, details) = details(wanted)?;
    let name = format!("{act} {}", wanted.name);
    Ok(governance_header(chain_id, &agency, &[], &name, 1, details))
}

fn details(wanted: &Validator) -> Result<(OrgId, Details), Refusal> {
    let details = ValidatorDetails::unproven(wanted)?;
    Ok((details.agency.clone(), Details::Validator(Box::new(details))))
}

/// Puts a version in the place of the one in effect, and of everything that waits.
pub(crate) fn replace(head: &mut RecordHead, version: VersionHead, height: Height) {
    head.current = version;
    (head.next, head.pending, head.changed_at) = (None, None, height);
}
