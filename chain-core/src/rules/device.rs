//! Headers of the devices-and-sensors family, judged by themselves.

use crate::code::{Code, Refusal};
use crate::id::ChainId;
use crate::record::device::batch::DataPlace;
use crate::record::{Details, Header, RecordType};

/// Judges the details of a header, and that it says nothing beside them that its type does not have.
///
/// # Errors
/// The code of the first flaw.
pub(super) fn check_header(chain_id: ChainId, header: &Header) -> Result<(), Refusal> {
    match &header.details {
        Details::Device(details) => {
            check_bare(header)?;
            details.check(chain_id)
        }
        Details::DeviceKey(details) => {
            check_bare(header)?;
            check_body_is(header, false)?;
            details.check(chain_id)
        }
        Details::Batch(details) => {
            check_bare(header)?;
            check_key(header, details.idempotency())?;
            check_body_is(header, details.place_of_data == DataPlace::Inline)?;
            details.check()
        }
        Details::Gap(details) => {
            check_bare(header)?;
            check_body_is(header, false)?;
            check_key(header, details.idempotency())
        }
        _ => Ok(()),
    }
}

/// The common fields that no type of the family has.
fn check_bare(header: &Header) -> Result<(), Refusal> {
    let registration = header.record_type == RecordType::Device;
    let dates = [
        header.decided_on,
        header.conduct_on,
        header.effective_from.filter(|_| !registration),
        header.effective_to,
        header.publish_from,
        header.publish_min_until,
        header.publish_until,
        header.dispose_on,
    ];
    let bare = dates.iter().all(Option::is_none)
        && [header.subject_commit, header.natural_key.filter(|_| !registration), header.attachments_root]
            .iter()
            .all(Option::is_none)
        && header.legal_basis.as_ref().filter(|_| header.record_type.inherits_basis()).is_none()
        && header.severity.is_none()
        && !header.heard
        && header.officers.is_empty()
        && (header.refs.is_empty() || registration);
    if bare {
        return Ok(());
    }
    let detail = format!("the header of {} says in its details all that it says", header.record_type);
    Err(Refusal::new(Code::SchemaInvalid, detail))
}

fn check_key(header: &Header, wanted: crate::crypto::Digest) -> Result<(), Refusal> {
    if header.idempotency == wanted {
        return Ok(());
    }
    let detail = format!("the idempotency digest of {} follows from its details", header.record_type);
    Err(Refusal::new(Code::BadParameter, detail))
}

fn check_body_is(header: &Header, there: bool) -> Result<(), Refusal> {
    match (there, header.body_commit.is_some()) {
        (true, false) => {
            let detail = format!("{} with its data inline wants a body commitment", header.record_type);
            Err(Refusal::new(Code::BodyMissing, detail))
        }
        (false, true) => {
            let detail = format!("{} has no body here", header.record_type);
            Err(Refusal::new(Code::BodyNotAllowed, detail))
        }
        _ => Ok(()),
    }
}
