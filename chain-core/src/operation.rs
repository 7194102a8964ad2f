//! Operations: the steps in a record's life, as members sign them.
//!
//! Everything in an operation is public and stays for ever. Reasons are therefore chosen from closed lists;
//! notes are short, screened, and refused on records about persons.

mod reason;
mod step;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::{Digest, Signature};
use crate::date::Date;
use crate::evidence::Evidence;
use crate::id::RecordId;
use crate::layout::{Layout, read_option, write_option};
use crate::record::{CODE_BYTES_MAX, Header};
pub use reason::{
    AmendReason, DisputeOutcome, Effect, EraseGround, Remedy, RepairOutcome, ReviewOutcome, RevokeReason,
};

pub use step::Step;

/// Most bytes of a note.
pub const NOTE_BYTES_MAX: usize = 512;
/// Most bytes of an annotation.
pub const ANNOTATION_BYTES_MAX: usize = 2_048;

/// One step in a record's life.
///
/// `version` is the version of the record that the signer looked at. Canonical bytes begin with the number of
/// the [`Step`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Files a new record.
    Submit(Box<Header>),
    /// Approves the content, or the pending step, that the digest names.
    Countersign {
        /// The record.
        record: RecordId,
        /// The version approved.
        version: u32,
        /// Digest of the header approved, or of the pending operation ([`Operation::digest`]).
        header_digest: Digest,
    },
    /// Refuses a submitted version, or a pending step when its digest is given.
    Reject {
        /// The record.
        record: RecordId,
        /// The version refused.
        version: u32,
        /// What is refused; must match when given.
        header_digest: Option<Digest>,
        /// Why, 1 to [`NOTE_BYTES_MAX`] bytes; for records about persons a code of `a-z0-9_`.
        reason: String,
    },
    /// Takes a submitted version back; by the clerk who filed it.
    Withdraw {
        /// The record.
        record: RecordId,
        /// The version taken back.
        version: u32,
    },
    /// Files a new version of an effective record; the old one holds until the new one is effective.
    Amend {
        /// The new version: same record, type and agency, version one higher.
        header: Box<Header>,
        /// Why.
        reason: AmendReason,
    },
    /// Ends an effective record.
    Revoke {
        /// The record.
        record: RecordId,
        /// Its effective version.
        version: u32,
        /// Why.
        reason: RevokeReason,
        /// From when.
        effect: Effect,
        /// Order or file number and the like; up to [`NOTE_BYTES_MAX`] bytes.
        #[serde(default)]
        note: String,
    },
    /// Ends publication at once.
    StopPublication {
        /// The record.
        record: RecordId,
        /// Its effective version.
        version: u32,
        /// Why, 1 to [`NOTE_BYTES_MAX`] bytes; for records about persons a code of `a-z0-9_`.
        reason: String,
    },
    /// Puts an effective record, or a member, out of effect.
    Suspend {
        /// The record.
        record: RecordId,
        /// Its effective version.
        version: u32,
        /// Last day meant, if known; a reminder, the record is resumed by hand.
        until: Option<Date>,
        /// Why, 1 to [`NOTE_BYTES_MAX`] bytes; for records about persons a code of `a-z0-9_`.
        reason: String,
    },
    /// Puts a suspended record, or member, into effect again.
    Resume {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
    },
    /// Hands in a validator's word that it is ready; by a member of its agency or of the council. It counts
    /// for [`crate::record::validator::READY_MS`].
    Ready {
        /// The validator's record.
        record: RecordId,
        /// The version of it that the validator is ready for: the effective one.
        version: u32,
        /// When the validator said so, by its own clock: milliseconds since 1970.
        time_ms: u64,
        /// Its consensus key's signature over [`crate::record::validator::Ready`].
        signature: Signature,
    },
    /// Proves an offence of a validator; alone in its transaction, by a validator's log key or a member.
    Accuse(Box<Evidence>),
    /// Orders every holder to destroy the bodies and salts of all versions; by a privacy officer, with an auditor.
    Erase {
        /// The record.
        record: RecordId,
        /// Its version: the effective one, or the first while it is submitted.
        version: u32,
        /// Why.
        ground: EraseGround,
        /// Order or file number and the like; up to [`NOTE_BYTES_MAX`] bytes.
        #[serde(default)]
        note: String,
    },
    /// Says that a validator destroyed them; by its log key, in a transaction of confirmations alone.
    ConfirmErasure {
        /// The record.
        record: RecordId,
        /// The version that the order named.
        version: u32,
        /// How many bodies it held until then.
        bodies: u32,
    },
    /// Decides the open objections to a record; by a clerk, with another supervisor than the one who approved it.
    DisputeDecide {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// What came of it.
        outcome: DisputeOutcome,
        /// What follows at once; something must where the objection is upheld.
        carries: Remedy,
        /// Why, 1 to [`NOTE_BYTES_MAX`] bytes; for records about persons a code of `a-z0-9_`.
        reasons: String,
    },
    /// Marks a record as under review or before a court; by a clerk of whatever agency.
    ReviewOpen {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// The file number of the reviewing body or court, 1 to 64 bytes.
        file_no: String,
    },
    /// Says what came of a review; by a supervisor of the agency that opened it or of the record's, on its order.
    ReviewDecide {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// What came of it.
        outcome: ReviewOutcome,
        /// What follows at once, beyond what the outcome brings.
        carries: Remedy,
        /// Number of the decision or judgment, 1 to 64 bytes.
        order_no: String,
    },
    /// Decides an application for repair; by a clerk of the record's agency, with a supervisor.
    RepairDecide {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// The application, an open `credit.repair`.
        case: RecordId,
        /// What came of it.
        outcome: RepairOutcome,
        /// Why, 1 to [`NOTE_BYTES_MAX`] bytes; for records about persons a code of `a-z0-9_`.
        reasons: String,
    },
    /// Undoes a repair that false evidence or a broken promise had brought; by a supervisor, with a legal reviewer.
    RepairUndo {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// What proves it, 1 to [`NOTE_BYTES_MAX`] bytes; for records about persons a code of `a-z0-9_`.
        reason: String,
    },
    /// Disposes of the bodies of a record that has ended; by a privacy officer.
    Seal {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
    },
    /// Holds a record back from sealing and erasure; by an auditor, on an order.
    Hold {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// Number of the order, 1 to 64 bytes.
        order_no: String,
        /// Last day of the hold.
        until: Date,
    },
    /// Ends a hold before its day; by an auditor, on an order.
    ReleaseHold {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// Number of the order, 1 to 64 bytes.
        order_no: String,
    },
    /// Adds a statement: the subject's own, through a portal or a counter, a clerk's or an auditor's.
    Annotate {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// 1 to [`ANNOTATION_BYTES_MAX`] bytes; for records about persons a code of `a-z0-9_`.
        text: String,
    },
}

impl Operation {
    /// The canonical layout that transactions hash and leaves carry.
    pub fn canonical(&self) -> Vec<u8> {
        self.to_canonical()
    }

    /// What a countersignature names when it approves this step instead of a header.
    pub fn digest(&self) -> Digest {
        Self::digest_of(&self.canonical())
    }

    /// The digest of an operation given as its canonical bytes.
    pub fn digest_of(canonical: &[u8]) -> Digest {
        Digest::tagged(b"cityledger/operation/1", &[canonical])
    }

    /// The record it concerns.
    pub fn record(&self) -> RecordId {
        match self {
            Self::Submit(header) | Self::Amend { header, .. } => header.record,
            Self::Countersign { record, .. }
            | Self::Reject { record, .. }
            | Self::Withdraw { record, .. }
            | Self::Revoke { record, .. }
            | Self::StopPublication { record, .. }
            | Self::Suspend { record, .. }
            | Self::Resume { record, .. }
            | Self::Ready { record, .. }
            | Self::Erase { record, .. }
            | Self::ConfirmErasure { record, .. }
            | Self::DisputeDecide { record, .. }
            | Self::ReviewOpen { record, .. }
            | Self::ReviewDecide { record, .. }
            | Self::RepairDecide { record, .. }
            | Self::RepairUndo { record, .. }
            | Self::Seal { record, .. }
            | Self::Hold { record, .. }
            | Self::ReleaseHold { record, .. }
            | Self::Annotate { record, .. } => *record,
            Self::Accuse(evidence) => evidence.offence().record(),
        }
    }

    /// The version it names.
    pub fn version(&self) -> u32 {
        match self {
            Self::Submit(header) | Self::Amend { header, .. } => header.version,
            Self::Countersign { version, .. }
            | Self::Reject { version, .. }
            | Self::Withdraw { version, .. }
            | Self::Revoke { version, .. }
            | Self::StopPublication { version, .. }
            | Self::Suspend { version, .. }
            | Self::Resume { version, .. }
            | Self::Ready { version, .. }
            | Self::Erase { version, .. }
            | Self::ConfirmErasure { version, .. }
            | Self::DisputeDecide { version, .. }
            | Self::ReviewOpen { version, .. }
            | Self::ReviewDecide { version, .. }
            | Self::RepairDecide { version, .. }
            | Self::RepairUndo { version, .. }
            | Self::Seal { version, .. }
            | Self::Hold { version, .. }
            | Self::ReleaseHold { version, .. }
            | Self::Annotate { version, .. } => *version,
            Self::Accuse(_) => 1,
        }
    }

    /// The header it files, if it files one.
    pub fn header(&self) -> Option<&Header> {
        match self {
            Self::Submit(header) | Self::Amend { header, .. } => Some(header),
            _ => None,
        }
    }

    /// What step it is.
    pub fn step(&self) -> Step {
        match self {
            Self::Submit(_) => Step::Submit,
            Self::Countersign { .. } => Step::Countersign,
            Self::Reject { .. } => Step::Reject,
            Self::Withdraw { .. } => Step::Withdraw,
            Self::Amend { .. } => Step::Amend,
            Self::Revoke { .. } => Step::Revoke,
            Self::StopPublication { .. } => Step::StopPublication,
            Self::Suspend { .. } => Step::Suspend,
            Self::Resume { .. } => Step::Resume,
            Self::Ready { .. } => Step::Ready,
            Self::Accuse(_) => Step::Accuse,
            Self::Erase { .. } => Step::Erase,
            Self::ConfirmErasure { .. } => Step::ConfirmErasure,
            Self::DisputeDecide { .. } => Step::DisputeDecide,
            Self::ReviewOpen { .. } => Step::ReviewOpen,
            Self::ReviewDecide { .. } => Step::ReviewDecide,
            Self::RepairDecide { .. } => Step::RepairDecide,
            Self::RepairUndo { .. } => Step::RepairUndo,
            Self::Seal { .. } => Step::Seal,
            Self::Hold { .. } => Step::Hold,
            Self::ReleaseHold { .. } => Step::ReleaseHold,
            Self::Annotate { .. } => Step::Annotate,
        }
    }

    /// The commitment of the body that must travel with it to every validator: of P0 and P1 headers.
    pub fn shared_body_commit(&self) -> Option<Digest> {
        self.header().filter(|header| header.class.body_is_shared()).and_then(|header| header.body_commit)
    }
}

impl Layout for Operation {
    fn write(&self, writer: &mut Writer) {
        self.step().write(writer);
        match self {
            Self::Submit(header) => header.write(writer),
            Self::Amend { header, reason } => {
                reason.write(writer);
                header.write(writer);
            }
            Self::Accuse(evidence) => evidence.write(writer),
            _ => {
                self.record().write(writer);
                writer.u32(self.version());
            }
        }
        match self {
            Self::Submit(_)
            | Self::Amend { .. }
            | Self::Withdraw { .. }
            | Self::Resume { .. }
            | Self::Seal { .. }
            | Self::Accuse(_) => {}
            Self::Countersign { header_digest, .. } => header_digest.write(writer),
            Self::Reject { header_digest, reason, .. } => {
                write_option(writer, header_digest.as_ref());
                writer.text(reason);
            }
            Self::Revoke { reason, effect, note, .. } => {
                reason.write(writer);
                effect.write(writer);
                writer.text(note);
            }
            Self::StopPublication { reason: text, .. }
            | Self::RepairUndo { reason: text, .. }
            | Self::ReviewOpen { file_no: text, .. }
            | Self::ReleaseHold { order_no: text, .. }
            | Self::Annotate { text, .. } => {
                writer.text(text);
            }
            Self::DisputeDecide { outcome, carries, reasons, .. } => {
                outcome.write(writer);
                carries.write(writer);
                writer.text(reasons);
            }
            Self::ReviewDecide { outcome, carries, order_no, .. } => {
                outcome.write(writer);
                carries.write(writer);
                writer.text(order_no);
            }
            Self::RepairDecide { case, outcome, reasons, .. } => {
                case.write(writer);
                outcome.write(writer);
                writer.text(reasons);
            }
            Self::Hold { order_no, until, .. } => {
                writer.text(order_no);
                until.write(writer);
            }
            Self::Suspend { until, reason, .. } => {
                write_option(writer, until.as_ref());
                writer.text(reason);
            }
            Self::Ready { time_ms, signature, .. } => {
                writer.u64(*time_ms).signature(signature);
            }
            Self::Erase { ground, note, .. } => {
                ground.write(writer);
                writer.text(note);
            }
            Self::ConfirmErasure { bodies, .. } => {
                writer.u32(*bodies);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let step = Step::read(reader)?;
        match step {
            Step::Submit => return Header::read(reader).map(|header| Self::Submit(Box::new(header))),
            Step::Amend => {
                let reason = AmendReason::read(reader)?;
                return Ok(Self::Amend { reason, header: Box::new(Header::read(reader)?) });
            }
            Step::Accuse => {
                return Evidence::read(reader).map(|evidence| Self::Accuse(Box::new(evidence)));
            }
            _ => {}
        }
        let (record, version) = (RecordId::read(reader)?, reader.u32()?);
        Ok(match step {
            Step::Countersign => Self::Countersign { record, version, header_digest: reader.digest()? },
            Step::Reject => Self::Reject {
                record,
                version,
                header_digest: read_option(reader)?,
                reason: reader.text(NOTE_BYTES_MAX)?,
            },
            Step::Withdraw => Self::Withdraw { record, version },
            Step::Revoke => Self::Revoke {
                record,
                version,
                reason: RevokeReason::read(reader)?,
                effect: Effect::read(reader)?,
                note: reader.text(NOTE_BYTES_MAX)?,
            },
            Step::StopPublication => {
                Self::StopPublication { record, version, reason: reader.text(NOTE_BYTES_MAX)? }
            }
            Step::Suspend => Self::Suspend {
                record,
                version,
                until: read_option(reader)?,
                reason: reader.text(NOTE_BYTES_MAX)?,
            },
            Step::Resume => Self::Resume { record, version },
            Step::Ready => {
                Self::Ready { record, version, time_ms: reader.u64()?, signature: reader.signature()? }
            }
            Step::Erase => Self::Erase {
                record,
                version,
                ground: EraseGround::read(reader)?,
                note: reader.text(NOTE_BYTES_MAX)?,
            },
            Step::ConfirmErasure => Self::ConfirmErasure { record, version, bodies: reader.u32()? },
            Step::DisputeDecide => Self::DisputeDecide {
                record,
                version,
                outcome: DisputeOutcome::read(reader)?,
                carries: Remedy::read(reader)?,
                reasons: reader.text(NOTE_BYTES_MAX)?,
            },
            Step::ReviewOpen => Self::ReviewOpen { record, version, file_no: reader.text(CODE_BYTES_MAX)? },
            Step::ReviewDecide => Self::ReviewDecide {
                record,
                version,
                outcome: ReviewOutcome::read(reader)?,
                carries: Remedy::read(reader)?,
                order_no: reader.text(CODE_BYTES_MAX)?,
            },
            Step::RepairDecide => Self::RepairDecide {
                record,
                version,
                case: RecordId::read(reader)?,
                outcome: RepairOutcome::read(reader)?,
                reasons: reader.text(NOTE_BYTES_MAX)?,
            },
            Step::RepairUndo => Self::RepairUndo { record, version, reason: reader.text(NOTE_BYTES_MAX)? },
            Step::Seal => Self::Seal { record, version },
            Step::Hold => Self::Hold {
                record,
                version,
                order_no: reader.text(CODE_BYTES_MAX)?,
                until: Date::read(reader)?,
            },
            Step::ReleaseHold => {
                Self::ReleaseHold { record, version, order_no: reader.text(CODE_BYTES_MAX)? }
            }
            Step::Annotate => Self::Annotate { record, version, text: reader.text(ANNOTATION_BYTES_MAX)? },
            _ => return Err(reader.error("not a step that members sign")),
        })
    }
}
