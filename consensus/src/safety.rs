//! The voting rules R1, R2, R3 and R5, and the only holder of the consensus key.
//!
//! Every signature of kinds 1 to 5 and 7 comes from here, together with the record that must be durable
//! before it leaves. The rules compare against that record and against evidence that was verified; nothing
//! else in the engine can make a vote.
//!
//! The record is made once, when the consensus key is made ([`SafetyRecord::fresh`]); a node that lost it
//! follows without voting.

use serde::{Deserialize, Serialize};

use chain_core::block::{Flags, Header};
use chain_core::canonical::Writer;
use chain_core::certificate::{Cert, Rank, VoteKind};
use chain_core::codec::Wire;
use chain_core::crypto::{Digest, PublicKey, SIGNATURE_DOMAIN, Signable, Signature};
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx, View};
use chain_core::lane::{BatchHeader, SignedBatchHeader};

use crate::message::{
    EntryProof, HighQc, Justification, Proposal, TimeoutCert, ViewChange, ViewChangePreimage, Vote, VoteEcho,
};
use crate::mutant::Mutant;
use crate::signer::Signer;
use crate::verified::{Judge, Verified};

/// A block by position and digest.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Slot {
    /// View and height.
    pub rank: Rank,
    /// Digest of the header.
    pub digest: Digest,
}

impl Slot {
    /// The slot of a header.
    pub fn of(header: &Header) -> Self {
        Self { rank: Rank { view: header.view, height: header.height }, digest: header.digest() }
    }
}

/// The durable state of a validator in one epoch.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SafetyRecord {
    /// The chain; a record of another chain is refused.
    pub chain_id: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The consensus key this record belongs to.
    pub key: PublicKey,
    /// The newest PREPARE, or none in this epoch.
    pub last_prepare: Option<Slot>,
    /// Whether that block ended its view or its epoch, so that no PREPARE in its view may follow.
    pub last_ended: bool,
    /// The highest PREPARE-QC seen, with its signatures.
    pub high_qc: HighQc,
    /// The highest view asked for.
    pub vc_view: View,
    /// Proof of the newest view entered; for liveness only.
    pub entry: Option<EntryProof>,
    /// Newest batch of the own lane: sequence number and digest.
    pub lane: Option<(u64, Digest)>,
}

impl Wire for SafetyRecord {
    const LIMIT: usize = 64 * 1024;
}

impl SafetyRecord {
    /// The record of a consensus key that was just made, or that enters an epoch for the first time.
    pub fn fresh(chain_id: ChainId, epoch: Epoch, key: PublicKey, base: (Height, Digest)) -> Self {
        Self {
            chain_id,
            epoch,
            key,
            last_prepare: None,
            last_ended: false,
            high_qc: HighQc::Base { height: base.0, digest: base.1 },
            vc_view: View::ZERO,
            entry: None,
            lane: None,
        }
    }

    /// The record with which this key enters a later epoch (M4); `None` for an epoch that it has been in. To be
    /// durable before an engine of that epoch starts.
    pub fn enter(&self, epoch: Epoch, base: (Height, Digest)) -> Option<Self> {
        (epoch > self.epoch).then(|| Self::fresh(self.chain_id, epoch, self.key, base))
    }

    /// Whether a peer's memory of this validator goes beyond the record: then the record is a restored
    /// snapshot, or the key has a twin.
    pub fn is_outranked_by(&self, echo: &VoteEcho) -> bool {
        let beyond = |vote: &Vote, rank: Option<Rank>, digest: Option<Digest>| {
            let theirs = Some(vote.rank());
            // One slot, two blocks: a twin signs with this key.
            theirs > rank || (theirs == rank && Some(vote.digest) != digest)
        };
        let prepared = self.last_prepare;
        let lane = |batch: &SignedBatchHeader| match self.lane {
            None => true,
            Some((seq, digest)) => {
                batch.header.seq > seq || (batch.header.seq == seq && batch.header.digest() != digest)
            }
        };
        echo.prepare.is_some_and(|vote| {
            beyond(&vote, prepared.map(|slot| slot.rank), prepared.map(|slot| slot.digest))
        }) || echo.commit.is_some_and(|vote| beyond(&vote, self.high_qc.rank(), Some(self.high_qc.digest())))
            || echo.view_change.is_some_and(|(view, ..)| view > self.vc_view)
            || echo.lane.as_ref().is_some_and(lane)
    }
}

/// Kind 7: binds the transport identity of a connection to the consensus key.
#[derive(Clone, Copy, Debug)]
pub struct HelloPreimage {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The sender's network key, as the transport proved it.
    pub network_key: PublicKey,
    /// A number of the receiver's choosing, so that a HELLO cannot be replayed.
    pub challenge: Digest,
}

impl Signable for HelloPreimage {
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(7).digest(self.chain_id.digest()).u64(self.epoch.get());
        writer.public_key(&self.network_key).digest(&self.challenge);
        writer.finish()
    }
}

/// Why a vote is withheld.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The safety record is missing, lost or not yet confirmed by the peers.
    #[error("this validator does not vote")]
    NotVoting,
    /// R1a or R2: the validator gave up on this view.
    #[error("the view was left")]
    ViewLeft,
    /// R1a: not above the newest PREPARE.
    #[error("not above the newest PREPARE")]
    NotAbove,
    /// R1b: not a descendant of the newest PREPARE in this view.
    #[error("not on the branch voted for in this view")]
    OtherBranch,
    /// R1c: the view or epoch ended below the block.
    #[error("the branch ended below the block")]
    Ended,
    /// R1d: the view's first block has no valid base.
    #[error("the view's first block is not justified")]
    NotJustified,
    /// The branch handed in is not a chain of headers.
    #[error("the branch is not connected")]
    NotConnected,
    /// R3: the view asked for is not above what was asked for or certified.
    #[error("the view asked for is not higher")]
    NotHigher,
    /// The lane would fork.
    #[error("the batch does not follow the own lane")]
    LaneFork,
}

/// Why the first block of a view may stand on its parent, verified.
#[derive(Clone, Copy, Debug)]
pub enum Foundation<'a> {
    /// View 0 on the epoch's base.
    Base,
    /// The parent ended the view before.
    TermEnd {
        /// PREPARE certificate of the parent.
        certificate: &'a Verified<Cert>,
        /// The parent.
        header: &'a Header,
    },
    /// A timeout certificate names the parent as best.
    Timeout(&'a Verified<TimeoutCert>),
    /// The parent is of the same view and certified: a quorum, so an honest validator, checked R1c and R1d
    /// for the view's first block on this branch before (invariant I5). For a validator that caught up.
    Certified {
        /// PREPARE or COMMIT certificate of the parent.
        certificate: &'a Verified<Cert>,
        /// The parent.
        header: &'a Header,
    },
}

/// What a validator without its safety record can still do with its consensus key: say who it is, so that
/// its peers let it follow. It holds no record, so it can make no vote.
pub struct Greeter {
    chain_id: ChainId,
    signer: Box<dyn Signer>,
}

impl std::fmt::Debug for Greeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greeter").finish_non_exhaustive()
    }
}

impl Greeter {
    /// Keeps the key away from everything but HELLO.
    pub fn new(judge: &Judge, signer: Box<dyn Signer>) -> Self {
        Self { chain_id: judge.chain_id, signer }
    }

    /// Proves to a peer that this transport identity speaks for the consensus key.
    pub fn hello(&self, epoch: Epoch, network_key: PublicKey, challenge: Digest) -> Signature {
        let preimage = HelloPreimage { chain_id: self.chain_id, epoch, network_key, challenge };
        self.signer.sign(&preimage)
    }
}

/// The voting rules over one durable record.
pub struct Safety {
    record: SafetyRecord,
    judge: Judge,
    me: ValidatorIx,
    signer: Box<dyn Signer>,
    voting: bool,
    #[cfg(feature = "mutants")]
    healed: Option<View>,
}

impl std::fmt::Debug for Safety {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Safety").field("me", &self.me).field("voting", &self.voting).finish_non_exhaustive()
    }
}

impl Safety {
    /// Starts from the durable record. Not voting until [`Safety::allow_voting`].
    pub fn new(record: SafetyRecord, judge: Judge, me: ValidatorIx, signer: Box<dyn Signer>) -> Self {
        Self {
            record,
            judge,
            me,
            signer,
            voting: false,
            #[cfg(feature = "mutants")]
            healed: None,
        }
    }

    /// Removes one rule.
    #[cfg(feature = "mutants")]
    pub fn mutate(&mut self, mutant: Mutant) {
        self.judge.mutate(mutant);
    }

    /// A view was seen to commit: what a validator that gave up on it must not act on.
    #[cfg(feature = "mutants")]
    pub(crate) fn note_commit(&mut self, view: View) {
        self.healed = self.healed.max(Some(view));
    }

    /// R2: whether votes in this view are over.
    fn has_left(&self, view: View) -> bool {
        #[cfg(feature = "mutants")]
        if self.judge.lost(Mutant::CommitAfterViewChange)
            || (self.judge.lost(Mutant::Healing) && self.healed == Some(view))
        {
            return false;
        }
        self.record.vc_view > view
    }

    pub(crate) fn ignores_vote_chain(&self) -> bool {
        self.judge.lost(Mutant::NoVoteChain) || self.judge.lost(Mutant::TwoVotesASlot)
    }

    /// R1a, the half about `last_prepare`.
    pub(crate) fn is_above(&self, last: Rank, rank: Rank) -> bool {
        rank > last || (self.judge.lost(Mutant::TwoVotesASlot) && rank == last)
    }

    /// The record as it is now; durable once the write that holds it is.
    pub fn record(&self) -> &SafetyRecord {
        &self.record
    }

    /// Whether votes may be made.
    pub fn voting(&self) -> bool {
        self.voting
    }

    /// The peers' echoes confirmed the record.
    pub fn allow_voting(&mut self) {
        self.voting = true;
    }

    /// The record is lost or has a twin: no vote in this epoch any more.
    pub fn forbid_voting(&mut self) {
        self.voting = false;
    }

    /// R1 and the leader's own proposal: signs the header and the PREPARE for it as one act (M17).
    ///
    /// # Errors
    /// Names the rule that forbids it.
    pub fn propose(
        &mut self,
        branch: &[&Header],
        foundation: Option<Foundation<'_>>,
    ) -> Result<(Signature, Vote), Refused> {
        let vote = self.prepare(branch, foundation)?;
        let header = branch.last().ok_or(Refused::NotConnected)?;
        Ok((self.signer.sign(&header.proposal()), vote))
    }

    /// R1: a PREPARE for the last header of `branch`.
    ///
    /// The branch is ascending and connected. It starts right above the newest PREPARE when that is of the
    /// same view; otherwise with the view's first block, whose base `foundation` justifies. The caller
    /// vouches for R1e (validity and data); `record` must be durable before the vote leaves.
    ///
    /// # Errors
    /// Names the rule that forbids it.
    pub fn prepare(
        &mut self,
        branch: &[&Header],
        foundation: Option<Foundation<'_>>,
    ) -> Result<Vote, Refused> {
        let (Some(first), Some(block)) = (branch.first(), branch.last()) else {
            return Err(Refused::NotConnected);
        };
        if !self.voting {
            return Err(Refused::NotVoting);
        }
        let slot = Slot::of(block);
        if self.record.vc_view > block.view {
            return Err(Refused::ViewLeft);
        }
        if self.record.last_prepare.is_some_and(|last| !self.is_above(last.rank, slot.rank)) {
            return Err(Refused::NotAbove);
        }
        for pair in branch.windows(2) {
            if pair[1].parent != pair[0].digest() || pair[1].height != pair[0].height.next() {
                return Err(Refused::NotConnected);
            }
            if self.ends_view(pair[0]) && pair[0].view == block.view {
                return Err(Refused::Ended);
            }
        }
        if branch.iter().any(|header| header.view != block.view) {
            return Err(Refused::NotConnected);
        }
        match self.record.last_prepare.filter(|last| last.rank.view == block.view) {
            Some(last) => self.check_same_view(last, first)?,
            None => self.check_foundation(first, foundation.ok_or(Refused::NotJustified)?)?,
        }
        self.record.last_prepare = Some(slot);
        self.record.last_ended = self.ends_view(block);
        Ok(self.vote(VoteKind::Prepare, slot))
    }

    /// R1c: whether no block of the same view may follow this one.
    fn ends_view(&self, header: &Header) -> bool {
        (header.flags.contains(Flags::TERM_END) && !self.judge.lost(Mutant::TermEndIsNotLast))
            || (header.flags.contains(Flags::CLOSING) && !self.judge.lost(Mutant::ClosingIsNotLast))
            || header.flags.contains(Flags::SUFFIX)
    }

    /// R1b, and R1c for the newest PREPARE itself.
    fn check_same_view(&self, last: Slot, first: &Header) -> Result<(), Refused> {
        if self.ignores_vote_chain() {
            return Ok(());
        }
        if first.parent != last.digest || first.height != last.rank.height.next() {
            Err(Refused::OtherBranch)
        } else if self.record.last_ended {
            Err(Refused::Ended)
        } else {
            Ok(())
        }
    }

    /// R1d.
    fn check_foundation(&self, first: &Header, foundation: Foundation<'_>) -> Result<(), Refused> {
        let sound = match foundation {
            Foundation::Base => first.view == View::ZERO && first.parent == self.judge.base_digest,
            Foundation::TermEnd { certificate, header } => {
                certificate.kind == VoteKind::Prepare
                    && certificate.digest == header.digest()
                    && self.judge.ends_term(header)
                    && header.view.next() == first.view
                    && first.parent == certificate.digest
            }
            Foundation::Timeout(tc) => tc.new_view == first.view && first.parent == tc.best.digest(),
            Foundation::Certified { certificate, header } => {
                certificate.digest == header.digest()
                    && header.view == first.view
                    && first.parent == certificate.digest
                    && header.epoch == first.epoch
                    && !self.ends_view(header)
            }
        };
        if sound { Ok(()) } else { Err(Refused::NotJustified) }
    }

    /// R5: raises the high QC if this certificate outranks it. True when the record changed.
    pub fn raise_high_qc(&mut self, cert: &Verified<Cert>) -> bool {
        let higher = cert.kind == VoteKind::Prepare && Some(cert.rank()) > self.record.high_qc.rank();
        if higher {
            self.record.high_qc = HighQc::Qc((**cert).clone());
        }
        higher
    }

    /// R2: a COMMIT for the block of a PREPARE-QC. The record, with the certificate's signatures, must be
    /// durable before the vote leaves.
    ///
    /// # Errors
    /// Names the rule that forbids it.
    pub fn commit(&mut self, cert: &Verified<Cert>) -> Result<Vote, Refused> {
        if !self.voting {
            return Err(Refused::NotVoting);
        }
        if self.has_left(cert.view) {
            return Err(Refused::ViewLeft);
        }
        if cert.kind != VoteKind::Prepare {
            return Err(Refused::NotJustified);
        }
        self.raise_high_qc(cert);
        Ok(self.vote(VoteKind::Commit, Slot { rank: cert.rank(), digest: cert.digest }))
    }

    /// R3: a VIEW-CHANGE. The record must be durable before it leaves.
    ///
    /// # Errors
    /// Names the rule that forbids it.
    pub fn view_change(&mut self, new_view: View, entry: Option<EntryProof>) -> Result<ViewChange, Refused> {
        if !self.voting {
            return Err(Refused::NotVoting);
        }
        let certified = self.record.high_qc.rank().map(|rank| rank.view);
        if new_view <= self.record.vc_view || Some(new_view) <= certified {
            return Err(Refused::NotHigher);
        }
        self.record.vc_view = new_view;
        Ok(self.signed_view_change(entry))
    }

    /// The newest VIEW-CHANGE again, with the high QC as it is now claimed for the same view. Only valid
    /// because `high_qc` cannot have been COMMITted below `vc_view` since (R2).
    pub fn repeat_view_change(&self, entry: Option<EntryProof>) -> Option<ViewChange> {
        let certified = self.record.high_qc.rank().map(|rank| rank.view);
        let open = self.record.vc_view > View::ZERO && certified < Some(self.record.vc_view);
        (self.voting && open).then(|| self.signed_view_change(entry))
    }

    fn signed_view_change(&self, entry: Option<EntryProof>) -> ViewChange {
        let forgets = self.judge.lost(Mutant::ForgetfulViewChange);
        let high_qc = if forgets { self.judge.base() } else { self.record.high_qc.clone() };
        let preimage = ViewChangePreimage {
            chain_id: self.judge.chain_id,
            epoch: self.record.epoch,
            new_view: self.record.vc_view,
            claim: high_qc.claim(),
        };
        ViewChange {
            epoch: self.record.epoch,
            new_view: self.record.vc_view,
            high_qc,
            entry,
            signer: self.me,
            signature: self.signer.sign(&preimage),
        }
    }

    /// The newest PREPARE again: Ed25519 is deterministic, so this is the same vote.
    pub fn repeat_prepare(&self) -> Option<Vote> {
        let slot = self.record.last_prepare.filter(|_| self.voting)?;
        Some(self.vote(VoteKind::Prepare, slot))
    }

    /// The COMMIT of the high QC again, unless its view was given up since.
    pub fn repeat_commit(&self) -> Option<Vote> {
        let HighQc::Qc(cert) = &self.record.high_qc else { return None };
        let allowed = self.voting && self.record.vc_view <= cert.view;
        allowed.then(|| self.vote(VoteKind::Commit, Slot { rank: cert.rank(), digest: cert.digest }))
    }

    /// Remembers the proof of the newest view entered.
    pub fn remember_entry(&mut self, entry: &Verified<EntryProof>) {
        self.record.entry = Some((**entry).clone());
    }

    /// Signs the next batch of the own lane. The record must be durable before the batch is pushed.
    ///
    /// # Errors
    /// When the lane would fork or this validator does not vote.
    pub fn seal(&mut self, header: BatchHeader) -> Result<SignedBatchHeader, Refused> {
        if !self.voting {
            return Err(Refused::NotVoting);
        }
        let (seq, prev) = self.record.lane.map_or((0, Digest::ZERO), |(seq, digest)| (seq + 1, digest));
        if header.author != self.me
            || header.seq != seq
            || header.prev != prev
            || header.epoch != self.record.epoch
        {
            return Err(Refused::LaneFork);
        }
        self.record.lane = Some((seq, header.digest()));
        let signature = self.signer.sign(&header);
        Ok(SignedBatchHeader { header, signature })
    }

    /// Proves to a peer that this transport identity speaks for the consensus key.
    pub fn hello(&self, epoch: Epoch, network_key: PublicKey, challenge: Digest) -> Signature {
        let preimage = HelloPreimage { chain_id: self.judge.chain_id, epoch, network_key, challenge };
        self.signer.sign(&preimage)
    }

    fn vote(&self, kind: VoteKind, slot: Slot) -> Vote {
        let Slot { rank, digest } = slot;
        let mut vote = Vote {
            kind,
            epoch: self.record.epoch,
            view: rank.view,
            height: rank.height,
            digest,
            signer: self.me,
            signature: Signature::ZERO,
        };
        vote.signature = self.signer.sign(&vote.slot(self.judge.chain_id));
        vote
    }
}

/// The foundation that a proposal's own justification claims, verified.
#[derive(Clone, Debug)]
pub(crate) enum OwnedFoundation {
    /// View 0 on the base.
    Base,
    /// The parent ended the view before.
    TermEnd(Verified<Cert>, Box<Header>),
    /// Timeout certificate.
    Timeout(Box<Verified<TimeoutCert>>),
}

impl OwnedFoundation {
    pub(crate) fn borrow(&self) -> Foundation<'_> {
        match self {
            Self::Base => Foundation::Base,
            Self::TermEnd(certificate, header) => Foundation::TermEnd { certificate, header },
            Self::Timeout(tc) => Foundation::Timeout(tc),
        }
    }

    /// Verifies what a first block brings along. `parent` is its parent's header, if known.
    pub(crate) fn of(proposal: &Proposal, parent: Option<&Header>, judge: &Judge) -> Option<Self> {
        match &proposal.justification {
            None if proposal.header.view == View::ZERO => Some(Self::Base),
            None => None,
            Some(Justification::Timeout(tc)) => {
                let tc = judge.timeout((**tc).clone()).ok()?;
                (tc.new_view == proposal.header.view && tc.best.digest() == proposal.header.parent)
                    .then(|| Self::Timeout(Box::new(tc)))
            }
            Some(Justification::TermEnd(cert)) => {
                let parent = parent?;
                let sound = parent.digest() == cert.digest
                    && cert.digest == proposal.header.parent
                    && judge.ends_term(parent)
                    && parent.view.next() == proposal.header.view;
                let cert = judge.cert((**cert).clone(), VoteKind::Prepare).ok()?;
                sound.then(|| Self::TermEnd(cert, Box::new(parent.clone())))
            }
        }
    }
}
