//! Operations: the steps in a record's life, as members sign them.
//!
//! Everything in an operation is public and stays for ever. Reasons are therefore chosen from closed lists;
//! notes are short, screened, and refused on records about persons.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::{Digest, Signature};
use crate::date::Date;
use crate::evidence::Evidence;
use crate::id::RecordId;
use crate::layout::{Layout, closed_list, read_option, write_option};
use crate::record::Header;

/// Most bytes of a note.
pub const NOTE_BYTES_MAX: usize = 512;

closed_list!(
    /// What a step was: operations that members sign, and steps the ledger takes by itself.
    Step as u8, "step" {
        /// First version filed.
        Submit = 1, "submit";
        /// Content or pending step approved.
        Countersign = 2, "countersign";
        /// Refused by an approver.
        Reject = 3, "reject";
        /// Taken back by the clerk before the decision.
        Withdraw = 4, "withdraw";
        /// A new version filed.
        Amend = 5, "amend";
        /// Ended by the agency.
        Revoke = 6, "revoke";
        /// Publication ended early.
        StopPublication = 7, "stop_publication";
        /// Put out of effect for a time.
        Suspend = 8, "suspend";
        /// Put into effect again.
        Resume = 9, "resume";
        /// A validator said that it is ready to take part.
        Ready = 10, "ready";
        /// A validator's offence proven.
        Accuse = 11, "accuse";
        /// Bodies destroyed on a lawful ground.
        Erase = 12, "erase";
        /// A validator said that it destroyed them.
        ConfirmErasure = 13, "confirm_erasure";
        /// Ended by its own date.
        Expire = 32, "expire";
        /// Publication ended by its own date.
        PublicationEnd = 33, "publication_end";
        /// Laid down in the genesis.
        Genesis = 34, "genesis";
        /// Agreed by the agencies after a lost quorum.
        Recover = 35, "recover";
    }
);

closed_list!(
    /// Why a version is replaced.
    AmendReason as u8, "reason to amend" {
        /// A slip of the pen.
        Clerical = 1, "clerical";
        /// An objection was upheld.
        CorrectionAfterObjection = 2, "correction_after_objection";
        /// The holder asked for it.
        ChangeOnApplication = 3, "change_on_application";
        /// A licence was renewed.
        Renewal = 4, "renewal";
        /// A court or reviewing body ordered it.
        CourtOrReviewOrder = 5, "court_or_review_order";
    }
);

closed_list!(
    /// Why a record is ended. Withdrawn, revoked and cancelled are different in law (Administrative Licensing
    /// Law arts. 8, 69, 70) and kept apart.
    RevokeReason as u8, "reason to revoke" {
        /// Lawful when granted, withdrawn for the public good (art. 8).
        Withdrawn = 1, "withdrawn";
        /// Unlawfully granted or obtained (art. 69).
        Revoked = 2, "revoked";
        /// Closed in the register because its ground fell away (art. 70).
        Cancelled = 3, "cancelled";
        /// Annulled by a court or reviewing body.
        Annulled = 4, "annulled";
        /// The act was void or unlawful (Administrative Penalty Law art. 48).
        Unlawful = 5, "unlawful";
        /// Filed by mistake; for facts: invalidated.
        FiledInError = 6, "filed_in_error";
        /// The membership or catalogue entry ended.
        Ended = 7, "ended";
        /// A key is lost or no longer in one hand.
        KeyCompromised = 8, "key_compromised";
    }
);

closed_list!(
    /// On what ground a body is destroyed (Personal Information Protection Law arts. 46 and 47, GDPR art. 17).
    EraseGround as u8, "ground to erase" {
        /// The person it is about asked for it and has a right to it.
        Request = 1, "request";
        /// The time for which it had to be kept is over.
        RetentionEnd = 2, "retention_end";
        /// It should never have been recorded.
        Unlawful = 3, "unlawful";
        /// A court ordered it.
        Court = 4, "court";
    }
);

closed_list!(
    /// From when an ending takes effect.
    Effect as u8, "effect" {
        /// As if it had never been.
        FromStart = 1, "from_start";
        /// From the day of the step.
        FromNow = 2, "from_now";
    }
);

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
            | Self::ConfirmErasure { record, .. } => *record,
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
            | Self::ConfirmErasure { version, .. } => *version,
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
            Self::StopPublication { reason, .. } => {
                writer.text(reason);
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
            _ => return Err(reader.error("not a step that members sign")),
        })
    }
}
