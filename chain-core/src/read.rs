//! What a reader sees of a record.
//!
//! Nothing is stored for readers: status, flags and disclosure follow from head, dates and block time at the
//! moment of asking. A publication that ends on a day is shown to 24:00 local time of that day, whether or
//! not a block has come since (publication stops by itself).

mod base;
mod deadline;

use serde_json::Value;

use crate::api::{HistoryEntry, PendingView, RecordView, SignerView};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::execute::ChainParams;
use crate::id::{Height, RecordId};
use crate::leaf::Leaf;
use crate::operation::Step;
use crate::org::OrgId;
use crate::record::{Class, Header, RecordType};
use crate::state::{Flags, RecordHead, Signer, Status, VersionHead};

pub use base::{BASE_DISPUTED, is_base_disputed};
pub use deadline::deadline_view;

/// Who is asking.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reader {
    /// Anybody.
    Public,
    /// An officer of an agency.
    Agency(OrgId),
    /// An auditor.
    Auditor,
}

/// When is asked: block time and height of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Height at which the answer holds.
    pub height: Height,
    /// Local date of the block at that height.
    pub today: Date,
}

impl Moment {
    /// The moment of a block.
    pub fn new(chain: &ChainParams, height: Height, time_ms: u64) -> Self {
        Self { height, today: Date::of_time(time_ms, chain.utc_offset_minutes) }
    }
}

/// Status and flags as they hold on a day: dates that have passed count even before a block wrote the step.
pub fn derived_status(head: &RecordHead, version: &VersionHead, today: Date) -> (Status, Flags) {
    let live = matches!(version.status, Status::Effective | Status::Suspended | Status::Repaired);
    let (mut status, mut flags) = (version.status, head.flags);
    if live && version.effective_to.is_some_and(|last| today > last) {
        status = Status::Expired;
        flags = flags.with(Flags::PUBLICATION_STOPPED);
    }
    let published = version.publish_from.is_some();
    if live && published && version.publish_until.is_some_and(|last| today > last) {
        flags = flags.with(Flags::PUBLICATION_STOPPED);
    }
    if head.hold_until.is_some_and(|last| today > last) {
        flags = flags.without(Flags::LEGAL_HOLD);
    }
    (status, flags)
}

/// Whether a reader may see the record and its body.
pub fn is_disclosed(head: &RecordHead, version: &VersionHead, reader: &Reader, today: Date) -> bool {
    is_disclosed_by_office(head, version, reader) || publicity(head, version, today).is_shown()
}

/// Whether a reader may see the record whether or not the public may.
fn is_disclosed_by_office(head: &RecordHead, version: &VersionHead, reader: &Reader) -> bool {
    match reader {
        Reader::Auditor => true,
        Reader::Agency(agency) => *agency == head.agency || version.notary.as_ref() == Some(agency),
        Reader::Public => false,
    }
}

/// Whether a reader who may see the record may see its body too.
pub fn is_body_disclosed(head: &RecordHead, version: &VersionHead, reader: &Reader, today: Date) -> bool {
    is_disclosed(head, version, reader, today)
        && (is_disclosed_by_office(head, version, reader)
            || publicity(head, version, today) != Publicity::EndShown)
}

/// Whether the public may see a record on a day, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Publicity {
    /// It governs the chain itself, in the open.
    Governance,
    /// A public act that is or was in effect, or a record in effect and in publication.
    Shown,
    /// A measure that was published and has ended: whoever applies it must learn that. Its header is seen, its body not.
    EndShown,
    /// Nobody but those whom the law names may see records of this class.
    Class(Class),
    /// Not in effect yet or any more, or its body is gone.
    Status(Status),
    /// It was filed without a publication.
    Unpublished,
    /// Its publication begins on this day.
    Begins(Date),
    /// Its publication ended with this day.
    Ended(Date),
    /// Its publication was stopped before its end.
    Stopped,
}

impl Publicity {
    /// Whether it is seen.
    pub const fn is_shown(self) -> bool {
        matches!(self, Self::Governance | Self::Shown | Self::EndShown)
    }

    /// The reason in a sentence's part.
    pub fn why(self) -> String {
        match self {
            Self::Governance => "it governs the ledger itself and is always public".to_owned(),
            Self::Shown => "it was public".to_owned(),
            Self::EndShown => "that it had ended was public".to_owned(),
            Self::Class(class) => {
                format!("records of class {class} are shown only to those whom the law names")
            }
            Self::Status(status) => format!("its status was {status}"),
            Self::Unpublished => "it was filed without a publication".to_owned(),
            Self::Begins(day) => format!("its publication begins on {day}"),
            Self::Ended(day) => format!("its publication ended with {day}"),
            Self::Stopped => "its publication was stopped".to_owned(),
        }
    }
}

/// What the public may see of a version on a day.
pub fn publicity(head: &RecordHead, version: &VersionHead, today: Date) -> Publicity {
    if head.record_type.is_governance() {
        return Publicity::Governance;
    }
    if !head.class.body_is_shared() {
        return Publicity::Class(head.class);
    }
    let (status, flags) = derived_status(head, version, today);
    let never_in_effect = matches!(
        status,
        Status::Submitted | Status::Withdrawn | Status::Rejected | Status::Sealed | Status::Erased
    );
    if never_in_effect {
        return Publicity::Status(status);
    }
    match version.publish_from {
        Some(from) if from > today => return Publicity::Begins(from),
        None if head.class == Class::P1 => return Publicity::Unpublished,
        _ => {}
    }
    match matches!(status, Status::Effective | Status::Suspended) {
        true if flags.contains(Flags::PUBLICATION_STOPPED) => match version.publish_until {
            Some(last) if today > last => Publicity::Ended(last),
            _ => Publicity::Stopped,
        },
        true => Publicity::Shown,
        // Public acts stay readable after they ended; their status says so.
        false if head.class == Class::P0 => Publicity::Shown,
        false if head.record_type == RecordType::Measure => Publicity::EndShown,
        false => Publicity::Status(status),
    }
}

/// A record as a reader sees it. `header` is that of the version shown, `body` its body where this node has
/// it; an amendment that waits is shown in `pending`. What takes other entries of the state, its deadlines and
/// whether its base is disputed, the caller adds: [`deadline_view`], [`is_base_disputed`].
///
/// # Errors
/// `NOT_DISCLOSED`.
pub fn record_view(
    record: &RecordId,
    head: &RecordHead,
    header: &Header,
    body: Option<&str>,
    reader: &Reader,
    moment: Moment,
) -> Result<RecordView, Refusal> {
    let version = head.next.as_ref().filter(|next| next.version == header.version).unwrap_or(&head.current);
    if !is_disclosed(head, version, reader, moment.today) {
        return Err(Refusal::new(Code::NotDisclosed, format!("record {record}")));
    }
    let (status, flags) = derived_status(head, version, moment.today);
    let body = body.filter(|_| is_body_disclosed(head, version, reader, moment.today));
    Ok(RecordView {
        record: *record,
        record_type: head.record_type.name().to_owned(),
        agency: head.agency.to_string(),
        version: version.version,
        status: status.name().to_owned(),
        flags: flags.names().into_iter().map(str::to_owned).collect(),
        class: head.class.name().to_owned(),
        header_digest: version.header_digest,
        header: serde_json::to_value(header).unwrap_or(Value::Null),
        body: body.and_then(|body| serde_json::from_str(body).ok()),
        body_elsewhere: false,
        leaf_index: version.leaf_index,
        signers: signers(&version.signers),
        missing: version.needs.names(),
        pending: pending(head),
        deadlines: Vec::new(),
        changed_at: head.changed_at,
        height: moment.height,
    })
}

fn pending(head: &RecordHead) -> Option<PendingView> {
    if let Some(step) = &head.pending {
        return Some(PendingView {
            operation: step.step.name().to_owned(),
            version: head.current.version,
            digest: step.digest,
            missing: step.needs.names(),
            signers: signers(&step.signers),
        });
    }
    head.next.as_ref().map(|next| PendingView {
        operation: Step::Amend.name().to_owned(),
        version: next.version,
        digest: next.header_digest,
        missing: next.needs.names(),
        signers: signers(&next.signers),
    })
}

fn signers(signers: &[Signer]) -> Vec<SignerView> {
    let view = |signer: &Signer| SignerView {
        key: signer.key,
        role: signer.role.name().to_owned(),
        operation: signer.step.name().to_owned(),
    };
    signers.iter().map(view).collect()
}

/// One step of a history, from its leaf. A seal is no step of a record.
pub fn history_entry(leaf: &Leaf, leaf_index: u64) -> Option<HistoryEntry> {
    let entry = |height, time_ms, operation: Step, author, version, status: Status| HistoryEntry {
        height,
        time_ms,
        leaf_index,
        operation: operation.name().to_owned(),
        author,
        version,
        status: status.name().to_owned(),
        leaf: leaf.to_json(),
    };
    match leaf {
        Leaf::Signed(step) => Some(entry(
            step.height,
            step.time_ms,
            step.operation.step(),
            Some(step.author),
            step.version,
            step.status,
        )),
        Leaf::Automatic(step) => {
            Some(entry(step.height, step.time_ms, step.step, None, step.version, step.status))
        }
        Leaf::Linked(step) => {
            Some(entry(step.height, step.time_ms, step.step, None, step.version, step.status))
        }
        Leaf::Found(found) => Some(entry(
            found.height,
            found.time_ms,
            Step::Found,
            None,
            found.header.version,
            Status::Effective,
        )),
        Leaf::Genesis(_) => Some(entry(Height::ZERO, 0, Step::Genesis, None, 1, Status::Effective)),
        Leaf::Evidence(step) => {
            Some(entry(step.height, step.time_ms, Step::Accuse, Some(step.author), 1, Status::Effective))
        }
        Leaf::Recovery(act) => {
            Some(entry(act.height, act.time_ms, Step::Recover, None, 1, Status::Effective))
        }
        Leaf::Erasure(word) => Some(entry(
            word.height,
            word.time_ms,
            Step::ConfirmErasure,
            Some(word.author),
            word.version,
            Status::Erased,
        )),
        Leaf::Seal(_) => None,
    }
}
