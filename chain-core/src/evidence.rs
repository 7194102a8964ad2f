//! Proof that a validator broke a rule: two things that it signed and that no honest validator signs both of.
//!
//! Everything is decided by signed bytes alone, so that every validator, and an auditor years later, comes to
//! the same verdict: no clock, no memory of who said what when. Both statements are of one chain and one
//! epoch (M13). Which statements contradict each other follows from the voting rules R1 to R3 and from the
//! lanes; docs/protocol.md, section 9, lists them.

use serde::{Deserialize, Serialize};

use crate::block::{Flags, Header, SlotPreimage};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::certificate::{Rank, VoteKind};
use crate::committee::Committee;
use crate::crypto::{Digest, PublicKey, Signable, Signature};
use crate::id::{ChainId, Epoch, Height, RecordId, ValidatorIx, View};
use crate::lane::{BatchHeader, SignedBatchHeader};
use crate::layout::{Layout, closed_list};
use crate::view_change::{Claim, ViewChangePreimage};

/// Most headers between two votes of one view that do not form a chain.
pub const PATH_MAX: usize = 64;

closed_list!(
    /// What a validator did that no honest one does.
    OffenceKind as u8, "kind of offence" {
        /// Proposed two blocks for one view and height.
        Proposals = 1, "proposal_equivocation";
        /// Sent PREPARE for two blocks of one view and height.
        Prepares = 2, "prepare_equivocation";
        /// Sent COMMIT for two blocks of one view and height.
        Commits = 3, "commit_equivocation";
        /// Sent PREPARE for two blocks of one view of which neither is an ancestor of the other (R1b).
        VoteChain = 4, "broken_vote_chain";
        /// Sent COMMIT for a block and left its view claiming less (R2, R3).
        Amnesia = 5, "amnesia";
        /// Signed two batches for one position of its lane.
        Lane = 6, "lane_equivocation";
    }
);

/// One offence. It is counted once, however many statements show it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Offence {
    /// The epoch whose validators the index counts.
    pub epoch: Epoch,
    /// Who.
    pub offender: ValidatorIx,
    /// What.
    pub kind: OffenceKind,
    /// The view of the votes or proposals, of the COMMIT for amnesia; 0 for a lane, which is frozen once.
    pub view: View,
}

impl Offence {
    /// The name of its record in the ledger: SHA-256 over epoch, index, kind and view.
    pub fn record(&self) -> RecordId {
        let mut writer = Writer::new();
        self.write(&mut writer);
        RecordId::new(Digest::tagged(b"cityledger/offence/1", &[&writer.finish()]))
    }
}

impl Layout for Offence {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.epoch.get()).u16(self.offender.get());
        self.kind.write(writer);
        writer.u64(self.view.get());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            epoch: Epoch::new(reader.u64()?),
            offender: ValidatorIx::new(reader.u16()?),
            kind: OffenceKind::read(reader)?,
            view: View::new(reader.u64()?),
        })
    }
}

/// A header with its leader's signature.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// Kind 1.
    pub signature: Signature,
}

/// A vote without what both votes of one proof share.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SignedSlot {
    /// View of the block.
    pub view: View,
    /// Height of the block.
    pub height: Height,
    /// Digest of the block.
    pub digest: Digest,
    /// Kind 2 or 3.
    pub signature: Signature,
}

impl SignedSlot {
    /// View and height.
    pub fn rank(&self) -> Rank {
        Rank { view: self.view, height: self.height }
    }

    fn preimage(&self, chain_id: ChainId, epoch: Epoch, kind: VoteKind) -> SlotPreimage {
        let (height, digest) = (self.height, self.digest);
        SlotPreimage { kind: kind.tag(), chain_id, epoch, view: self.view.get(), height, digest }
    }
}

/// Two statements of one validator.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Evidence {
    /// Two blocks of one leader for one view and height.
    Proposals {
        /// One.
        first: Box<SignedHeader>,
        /// The other.
        second: Box<SignedHeader>,
    },
    /// Two votes of one kind for one view and height.
    Votes {
        /// Which votes.
        kind: VoteKind,
        /// The epoch.
        epoch: Epoch,
        /// Who voted.
        signer: ValidatorIx,
        /// One.
        first: SignedSlot,
        /// The other.
        second: SignedSlot,
    },
    /// Two PREPAREs of one view, and the chain of the higher block down to the height of the lower one.
    VoteChain {
        /// The epoch.
        epoch: Epoch,
        /// Who voted.
        signer: ValidatorIx,
        /// The vote at the lower height.
        lower: SignedSlot,
        /// The vote at the higher height.
        upper: SignedSlot,
        /// Headers from the upper block down to the one above the lower height, whose parent is another
        /// block than the lower vote's; 1 to [`PATH_MAX`].
        path: Vec<Header>,
    },
    /// A COMMIT, and a VIEW-CHANGE to a later view whose claim ranks below the committed block.
    Amnesia {
        /// The epoch.
        epoch: Epoch,
        /// Who signed both.
        signer: ValidatorIx,
        /// The COMMIT.
        commit: SignedSlot,
        /// The view asked for.
        new_view: View,
        /// The highest certificate it claimed to know.
        claim: Claim,
        /// Kind 4.
        signature: Signature,
    },
    /// Two batches for one position of a lane.
    Lane {
        /// One.
        first: SignedBatchHeader,
        /// The other.
        second: SignedBatchHeader,
    },
}

/// Why something proves no offence.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EvidenceError {
    /// Signed for another chain.
    #[error("a statement is of another chain")]
    Chain,
    /// Of another epoch than the validators' that judge it, or of two.
    #[error("a statement is of epoch {got}, the validators are those of epoch {want}")]
    Epoch {
        /// Epoch found.
        got: Epoch,
        /// Epoch of the validators.
        want: Epoch,
    },
    /// Nobody of the set.
    #[error("{0} is not in the validator set")]
    Stranger(ValidatorIx),
    /// Two signers.
    #[error("the statements are of {0} and {1}")]
    TwoSigners(ValidatorIx, ValidatorIx),
    /// The statements are about different places.
    #[error("the statements do not concern the same {0}")]
    Unlike(&'static str),
    /// Both say the same.
    #[error("both statements name {0}: they agree")]
    Agree(Digest),
    /// A header carries flags that no header may.
    #[error("a header carries unknown flags")]
    Flags,
    /// The headers do not lead where they must.
    #[error("the headers do not lead from the upper block to the lower height")]
    Path,
    /// The lower block is an ancestor of the upper one.
    #[error("the votes form a chain")]
    Chained,
    /// The VIEW-CHANGE forgets nothing.
    #[error("the VIEW-CHANGE claims at least the committed block, or asks for no later view")]
    Remembered,
    /// Forged.
    #[error("signature of {0} does not verify")]
    Signature(ValidatorIx),
}

impl Evidence {
    /// What it says was done, and by whom; whether it proves that, [`Evidence::verify`] says.
    pub fn offence(&self) -> Offence {
        match self {
            Self::Proposals { first, .. } => Offence {
                epoch: first.header.epoch,
                offender: first.header.proposer,
                kind: OffenceKind::Proposals,
                view: first.header.view,
            },
            Self::Votes { kind, epoch, signer, first, .. } => {
                let kind = match kind {
                    VoteKind::Prepare => OffenceKind::Prepares,
                    VoteKind::Commit => OffenceKind::Commits,
                };
                Offence { epoch: *epoch, offender: *signer, kind, view: first.view }
            }
            Self::VoteChain { epoch, signer, lower, .. } => {
                let kind = OffenceKind::VoteChain;
                Offence { epoch: *epoch, offender: *signer, kind, view: lower.view }
            }
            Self::Amnesia { epoch, signer, commit, .. } => {
                let kind = OffenceKind::Amnesia;
                Offence { epoch: *epoch, offender: *signer, kind, view: commit.view }
            }
            Self::Lane { first: SignedBatchHeader { header, .. }, .. } => Offence {
                epoch: header.epoch,
                offender: header.author,
                kind: OffenceKind::Lane,
                view: View::ZERO,
            },
        }
    }

    /// Judges it by the validators of its epoch.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn verify(&self, chain_id: ChainId, committee: &Committee) -> Result<Offence, EvidenceError> {
        self.verify_by(chain_id, committee, |signer, value, signature| {
            committee.get(signer).is_some_and(|one| one.consensus_key.verify(value, signature))
        })
    }

    /// Judges the statements by the key that the ledger names as the offender's: for an auditor, whom the
    /// validators of the epoch need not concern.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn verify_by_key(&self, chain_id: ChainId, key: &PublicKey) -> Result<Offence, EvidenceError> {
        self.judge(chain_id, |_, value, signature| key.verify(value, signature))
    }

    /// As [`Evidence::verify`], with a verifier of the caller's: keys decoded before, or a simulator's.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn verify_by(
        &self,
        chain_id: ChainId,
        committee: &Committee,
        verify: impl Fn(ValidatorIx, &dyn Signable, &Signature) -> bool,
    ) -> Result<Offence, EvidenceError> {
        let offence = self.offence();
        let want = committee.epoch();
        if offence.epoch != want {
            return Err(EvidenceError::Epoch { got: offence.epoch, want });
        }
        if committee.get(offence.offender).is_none() {
            return Err(EvidenceError::Stranger(offence.offender));
        }
        self.judge(chain_id, verify)
    }

    fn judge(
        &self,
        chain_id: ChainId,
        verify: impl Fn(ValidatorIx, &dyn Signable, &Signature) -> bool,
    ) -> Result<Offence, EvidenceError> {
        let offence = self.offence();
        self.contradicts(chain_id, offence.epoch)?;
        let sound = |value: &dyn Signable, signature| verify(offence.offender, value, signature);
        let signed = match self {
            Self::Proposals { first, second } => {
                [first, second].iter().all(|one| sound(&one.header.proposal(), &one.signature))
            }
            Self::Votes { kind, epoch, first, second, .. } => [first, second]
                .iter()
                .all(|one| sound(&one.preimage(chain_id, *epoch, *kind), &one.signature)),
            Self::VoteChain { epoch, lower, upper, .. } => [lower, upper]
                .iter()
                .all(|one| sound(&one.preimage(chain_id, *epoch, VoteKind::Prepare), &one.signature)),
            Self::Amnesia { epoch, commit, new_view, claim, signature, .. } => {
                let left = ViewChangePreimage { chain_id, epoch: *epoch, new_view: *new_view, claim: *claim };
                sound(&commit.preimage(chain_id, *epoch, VoteKind::Commit), &commit.signature)
                    && sound(&left, signature)
            }
            Self::Lane { first, second } => {
                [first, second].iter().all(|one| sound(&one.header, &one.signature))
            }
        };
        if signed { Ok(offence) } else { Err(EvidenceError::Signature(offence.offender)) }
    }

    /// Whether no honest validator of one epoch says both; signatures apart.
    fn contradicts(&self, chain_id: ChainId, epoch: Epoch) -> Result<(), EvidenceError> {
        match self {
            Self::Proposals { first, second } => {
                let (one, other) = (&first.header, &second.header);
                of_one_epoch([(one.chain_id, one.epoch), (other.chain_id, other.epoch)], chain_id, epoch)?;
                if one.proposer != other.proposer {
                    return Err(EvidenceError::TwoSigners(one.proposer, other.proposer));
                }
                check_flags([one, other])?;
                rivals((one.view, one.height), (other.view, other.height), "view and height")?;
                differ(one.digest(), other.digest())
            }
            Self::Votes { first, second, .. } => {
                rivals(first.rank(), second.rank(), "view and height")?;
                differ(first.digest, second.digest)
            }
            Self::VoteChain { lower, upper, path, .. } => {
                rivals(lower.view, upper.view, "view")?;
                of_one_epoch(path.iter().map(|one| (one.chain_id, one.epoch)), chain_id, epoch)?;
                check_flags(path)?;
                leads_past(lower, upper, path)
            }
            Self::Amnesia { commit, new_view, claim, .. } => {
                let genuine = claim.view.is_none_or(|view| view < *new_view);
                let forgets = commit.view < *new_view && claim.rank() < Some(commit.rank());
                if genuine && forgets { Ok(()) } else { Err(EvidenceError::Remembered) }
            }
            Self::Lane { first: SignedBatchHeader { header: one, .. }, second } => {
                let other = &second.header;
                of_one_epoch([(one.chain_id, one.epoch), (other.chain_id, other.epoch)], chain_id, epoch)?;
                if one.author != other.author {
                    return Err(EvidenceError::TwoSigners(one.author, other.author));
                }
                rivals(one.seq, other.seq, "position of the lane")?;
                differ(one.digest(), other.digest())
            }
        }
    }
}

fn of_one_epoch(
    statements: impl IntoIterator<Item = (ChainId, Epoch)>,
    chain_id: ChainId,
    want: Epoch,
) -> Result<(), EvidenceError> {
    for (chain, got) in statements {
        if chain != chain_id {
            return Err(EvidenceError::Chain);
        }
        if got != want {
            return Err(EvidenceError::Epoch { got, want });
        }
    }
    Ok(())
}

/// Headers in a record must be readable again.
fn check_flags<'a>(headers: impl IntoIterator<Item = &'a Header>) -> Result<(), EvidenceError> {
    let known = |header: &Header| Flags::from_bits(header.flags.bits()).is_some();
    if headers.into_iter().all(known) { Ok(()) } else { Err(EvidenceError::Flags) }
}

fn rivals<T: PartialEq>(one: T, other: T, place: &'static str) -> Result<(), EvidenceError> {
    if one == other { Ok(()) } else { Err(EvidenceError::Unlike(place)) }
}

fn differ(one: Digest, other: Digest) -> Result<(), EvidenceError> {
    if one == other { Err(EvidenceError::Agree(one)) } else { Ok(()) }
}

/// The headers lead from the upper block down to the lower height, and to another block there.
fn leads_past(lower: &SignedSlot, upper: &SignedSlot, path: &[Header]) -> Result<(), EvidenceError> {
    let span = upper.height.since(lower.height);
    if span == 0 || span > PATH_MAX as u64 || path.len() as u64 != span {
        return Err(EvidenceError::Path);
    }
    let (mut height, mut digest) = (upper.height, upper.digest);
    for header in path {
        if header.height != height || header.digest() != digest {
            return Err(EvidenceError::Path);
        }
        digest = header.parent;
        height = height.previous().ok_or(EvidenceError::Path)?;
    }
    if digest == lower.digest { Err(EvidenceError::Chained) } else { Ok(()) }
}

impl Layout for SignedHeader {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.header.canonical()).signature(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { header: Header::read(reader)?, signature: reader.signature()? })
    }
}

impl Layout for SignedBatchHeader {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.header.canonical()).signature(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { header: BatchHeader::read(reader)?, signature: reader.signature()? })
    }
}

impl Layout for SignedSlot {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.view.get()).u64(self.height.get()).digest(&self.digest).signature(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            view: View::new(reader.u64()?),
            height: Height::new(reader.u64()?),
            digest: reader.digest()?,
            signature: reader.signature()?,
        })
    }
}

impl Layout for Evidence {
    /// The number of the offence, then the statements.
    fn write(&self, writer: &mut Writer) {
        self.offence().kind.write(writer);
        match self {
            Self::Proposals { first, second } => {
                first.write(writer);
                second.write(writer);
            }
            Self::Votes { epoch, signer, first, second, .. } => {
                writer.u64(epoch.get()).u16(signer.get());
                first.write(writer);
                second.write(writer);
            }
            Self::VoteChain { epoch, signer, lower, upper, path } => {
                writer.u64(epoch.get()).u16(signer.get());
                lower.write(writer);
                upper.write(writer);
                writer.count(path.len());
                for header in path {
                    writer.raw(&header.canonical());
                }
            }
            Self::Amnesia { epoch, signer, commit, new_view, claim, signature } => {
                writer.u64(epoch.get()).u16(signer.get());
                commit.write(writer);
                writer.u64(new_view.get()).u64(claim.view.map_or(u64::MAX, View::get));
                writer.u64(claim.height.get()).digest(&claim.digest).signature(signature);
            }
            Self::Lane { first, second } => {
                first.write(writer);
                second.write(writer);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let kind = OffenceKind::read(reader)?;
        Ok(match kind {
            OffenceKind::Proposals => Self::Proposals {
                first: Box::new(SignedHeader::read(reader)?),
                second: Box::new(SignedHeader::read(reader)?),
            },
            OffenceKind::Prepares | OffenceKind::Commits => Self::Votes {
                kind: if kind == OffenceKind::Prepares { VoteKind::Prepare } else { VoteKind::Commit },
                epoch: Epoch::new(reader.u64()?),
                signer: ValidatorIx::new(reader.u16()?),
                first: SignedSlot::read(reader)?,
                second: SignedSlot::read(reader)?,
            },
            OffenceKind::VoteChain => Self::VoteChain {
                epoch: Epoch::new(reader.u64()?),
                signer: ValidatorIx::new(reader.u16()?),
                lower: SignedSlot::read(reader)?,
                upper: SignedSlot::read(reader)?,
                path: {
                    let count = reader.count(PATH_MAX)?;
                    (0..count).map(|_| Header::read(reader)).collect::<Result<_, _>>()?
                },
            },
            OffenceKind::Amnesia => Self::Amnesia {
                epoch: Epoch::new(reader.u64()?),
                signer: ValidatorIx::new(reader.u16()?),
                commit: SignedSlot::read(reader)?,
                new_view: View::new(reader.u64()?),
                claim: Claim {
                    view: Some(reader.u64()?).filter(|view| *view != u64::MAX).map(View::new),
                    height: Height::new(reader.u64()?),
                    digest: reader.digest()?,
                },
                signature: reader.signature()?,
            },
            OffenceKind::Lane => Self::Lane {
                first: SignedBatchHeader::read(reader)?,
                second: SignedBatchHeader::read(reader)?,
            },
        })
    }
}
