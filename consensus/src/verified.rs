//! Evidence that was checked: holding a [`Verified`] value is the proof that it verified.

use std::ops::Deref;
use std::sync::Arc;

use chain_core::block::{Flags, Header};
use chain_core::certificate::{Cert, CertError, VoteKind};
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, Signature};
use chain_core::epoch::ClosingProof;
use chain_core::evidence::{Evidence, EvidenceError, Offence};
use chain_core::id::{ChainId, Height, ValidatorIx, View};
use chain_core::lane::SignedBatchHeader;

use crate::message::{Claim, EntryProof, HighQc, TimeoutCert, ViewChange, ViewChangePreimage, Vote};
use crate::mutant::Mutant;
use crate::signer::Verifier;

/// A value whose signatures verified. Only this module makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Verified<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Why a proof is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// A certificate does not verify.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// It does not show the end of the epoch.
    #[error(transparent)]
    Closing(#[from] chain_core::epoch::EpochError),
    /// It is of another epoch.
    #[error("proof of another epoch")]
    Epoch,
    /// It speaks of another base than this epoch's.
    #[error("proof names another base of the epoch")]
    Base,
    /// It proves another view than needed.
    #[error("proof does not lead into the view")]
    View,
    /// A signature does not verify.
    #[error("signature of {0} does not verify")]
    Signature(ValidatorIx),
    /// Signers are unsorted, repeated or too few.
    #[error("signers are unsorted, repeated or too few")]
    Signers,
    /// The best certificate is not the highest claimed.
    #[error("best certificate is not the highest claimed")]
    NotBest,
    /// The header lacks the flag or is not the certified one.
    #[error("header does not show the end of the term")]
    NoTermEnd,
    /// Not the validator's to say.
    #[error("signer is not in the validator set")]
    Stranger,
}

/// Everything needed to judge signed evidence of one epoch.
#[derive(Clone)]
pub struct Judge {
    /// The chain.
    pub chain_id: ChainId,
    /// The validator set.
    pub committee: Arc<Committee>,
    /// Height of the epoch's base.
    pub base_height: Height,
    /// Digest of the epoch's base.
    pub base_digest: Digest,
    /// Hash of the validator set, as headers carry it.
    pub set_hash: Digest,
    verifier: Arc<dyn Verifier>,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Judge(epoch {})", self.committee.epoch())
    }
}

impl Judge {
    /// A judge for the epoch of `committee` that starts after the base block.
    pub fn new(
        chain_id: ChainId,
        committee: Arc<Committee>,
        base: (Height, Digest),
        verifier: Arc<dyn Verifier>,
    ) -> Self {
        let set_hash = committee.hash();
        Self {
            chain_id,
            committee,
            base_height: base.0,
            base_digest: base.1,
            set_hash,
            verifier,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Removes one rule.
    #[cfg(feature = "mutants")]
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    /// Whether a test removed this rule.
    #[cfg(feature = "mutants")]
    pub(crate) fn lost(&self, rule: Mutant) -> bool {
        self.mutant == Some(rule)
    }

    /// Whether a test removed this rule.
    #[cfg(not(feature = "mutants"))]
    #[allow(clippy::unused_self, reason = "one shape with and without mutants")]
    pub(crate) const fn lost(&self, _: Mutant) -> bool {
        false
    }

    /// Votes that make a certificate.
    pub(crate) fn quorum(&self) -> usize {
        if self.lost(Mutant::SmallQuorum) { 2 * self.committee.faults() + 1 } else { self.committee.quorum() }
    }

    /// The high QC of a validator that knows no certificate yet.
    pub fn base(&self) -> HighQc {
        HighQc::Base { height: self.base_height, digest: self.base_digest }
    }

    /// Whether a leader's proposal carries its signature.
    pub fn proposal(&self, proposal: &crate::message::Proposal) -> bool {
        let header = &proposal.header;
        self.verifier.verify(header.proposer, &header.proposal(), &proposal.signature)
    }

    /// Whether a vote carries its signer's signature.
    pub fn vote(&self, vote: &Vote) -> bool {
        vote.epoch == self.committee.epoch()
            && self.verifier.verify(vote.signer, &vote.slot(self.chain_id), &vote.signature)
    }

    /// Whether a vote, of whatever epoch, carries the signature of the key that this validator has here.
    pub fn is_signed_by(&self, validator: ValidatorIx, vote: &Vote) -> bool {
        self.verifier.verify(validator, &vote.slot(self.chain_id), &vote.signature)
    }

    /// Checks how this epoch ended.
    ///
    /// # Errors
    /// Names the flaw.
    pub fn closing(&self, proof: ClosingProof) -> Result<Verified<ClosingProof>, ProofError> {
        proof.verify_by(self.chain_id, &self.committee, |signer, slot, signature| {
            self.verifier.verify(signer, slot, signature)
        })?;
        Ok(Verified(proof))
    }

    /// Whether a batch header carries its author's signature.
    pub fn batch(&self, batch: &SignedBatchHeader) -> bool {
        batch.header.chain_id == self.chain_id
            && batch.header.epoch == self.committee.epoch()
            && self.verifier.verify(batch.header.author, &batch.header, &batch.signature)
    }

    /// Checks that evidence proves an offence of this epoch.
    ///
    /// # Errors
    /// Names the flaw.
    pub fn evidence(&self, evidence: &Evidence) -> Result<Offence, EvidenceError> {
        evidence.verify_by(self.chain_id, &self.committee, |signer, value, signature| {
            self.verifier.verify(signer, value, signature)
        })
    }

    /// Checks a certificate of the wanted kind.
    ///
    /// # Errors
    /// Names the flaw.
    pub fn cert(&self, cert: Cert, want: VoteKind) -> Result<Verified<Cert>, ProofError> {
        let done = cert.verify_by(self.chain_id, &self.committee, want, |signer, slot, signature| {
            self.verifier.verify(signer, slot, signature)
        });
        match done {
            Err(CertError::Short { have, .. }) if self.lost(Mutant::SmallQuorum) && have >= self.quorum() => {
            }
            done => done?,
        }
        Ok(Verified(cert))
    }

    /// Makes a certificate of votes that were each verified by [`Judge::vote`].
    ///
    /// # Panics
    /// When there are fewer than a quorum: a bug of the caller.
    pub(crate) fn cert_of_verified_votes(
        &self,
        vote: &Vote,
        votes: impl IntoIterator<Item = (ValidatorIx, Signature)>,
    ) -> Verified<Cert> {
        let n = self.committee.size();
        let cert = Cert::from_votes(vote.kind, vote.epoch, vote.rank(), vote.digest, n, votes);
        assert!(cert.signatures.len() >= self.quorum(), "a certificate needs a quorum");
        Verified(cert)
    }

    /// Whether a block ends its term.
    pub(crate) fn ends_term(&self, header: &Header) -> bool {
        header.flags.contains(Flags::TERM_END) || self.lost(Mutant::TermEndWithoutFlag)
    }

    /// Checks a high QC.
    ///
    /// # Errors
    /// Names the flaw.
    pub fn high_qc(&self, high_qc: HighQc) -> Result<Verified<HighQc>, ProofError> {
        match high_qc {
            HighQc::Base { height, digest } if (height, digest) != (self.base_height, self.base_digest) => {
                Err(ProofError::Base)
            }
            HighQc::Qc(cert) => Ok(Verified(HighQc::Qc(self.cert(cert, VoteKind::Prepare)?.0))),
            base @ HighQc::Base { .. } => Ok(Verified(base)),
        }
    }

    /// Checks the signature over a VIEW-CHANGE's claim.
    ///
    /// # Errors
    /// Names the flaw.
    pub fn claim(
        &self,
        signer: ValidatorIx,
        new_view: View,
        claim: Claim,
        signature: &Signature,
    ) -> Result<(), ProofError> {
        if signer.index() >= self.committee.size() {
            return Err(ProofError::Stranger);
        }
        if claim.view.is_some_and(|view| view >= new_view) {
            return Err(ProofError::View);
        }
        if claim.view.is_none() && (claim.height, claim.digest) != (self.base_height, self.base_digest) {
            return Err(ProofError::Base);
        }
        let epoch = self.committee.epoch();
        let preimage = ViewChangePreimage { chain_id: self.chain_id, epoch, new_view, claim };
        if self.verifier.verify(signer, &preimage, signature) {
            Ok(())
        } else {
            Err(ProofError::Signature(signer))
        }
    }

    /// Checks a timeout certificate: a quorum of distinct signers, each signature over its own claim, and
    /// `best` equal to the highest claim and itself valid.
    ///
    /// # Errors
    /// Names the flaw.
    pub fn timeout(&self, tc: TimeoutCert) -> Result<Verified<TimeoutCert>, ProofError> {
        if tc.epoch != self.committee.epoch() {
            return Err(ProofError::Epoch);
        }
        if tc.claims.len() < self.quorum() || !tc.claims.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(ProofError::Signers);
        }
        let highest = tc.claims.iter().map(|(_, claim, _)| *claim).max_by_key(Claim::rank);
        if !self.lost(Mutant::LowestBase) && highest != Some(tc.best.claim()) {
            return Err(ProofError::NotBest);
        }
        for (signer, claim, signature) in &tc.claims {
            self.claim(*signer, tc.new_view, *claim, signature)?;
        }
        self.high_qc(tc.best.clone())?;
        Ok(Verified(tc))
    }

    /// Checks that a proof leads into `view`, or into a later one.
    ///
    /// # Errors
    /// Names the flaw.
    pub fn entry(&self, proof: EntryProof) -> Result<(View, Verified<EntryProof>), ProofError> {
        match proof {
            EntryProof::Timeout(tc) => {
                let tc = self.timeout(*tc)?;
                Ok((tc.new_view, Verified(EntryProof::Timeout(Box::new(tc.0)))))
            }
            EntryProof::TermEnd { certificate, header } => {
                if header.digest() != certificate.digest
                    || header.view != certificate.view
                    || !self.ends_term(&header)
                {
                    return Err(ProofError::NoTermEnd);
                }
                let certificate = Box::new(self.cert(*certificate, VoteKind::Prepare)?.0);
                Ok((certificate.view.next(), Verified(EntryProof::TermEnd { certificate, header })))
            }
            EntryProof::Certificate(cert) => {
                let kind = cert.kind;
                let cert = self.cert(*cert, kind)?;
                Ok((cert.view, Verified(EntryProof::Certificate(Box::new(cert.0)))))
            }
        }
    }

    /// Checks a VIEW-CHANGE(w): its signature, its high QC below w, and that its sender was in view w−1.
    ///
    /// # Errors
    /// Names the flaw.
    pub fn view_change(&self, message: ViewChange) -> Result<Verified<ViewChange>, ProofError> {
        let Some(left) = message.new_view.previous() else {
            return Err(ProofError::View);
        };
        if message.epoch != self.committee.epoch() {
            return Err(ProofError::Epoch);
        }
        let claim = message.high_qc.claim();
        self.claim(message.signer, message.new_view, claim, &message.signature)?;
        self.high_qc(message.high_qc.clone())?;
        let proven = left == View::ZERO || claim.view == Some(left);
        if !proven {
            let proof = message.entry.clone().ok_or(ProofError::View)?;
            let (into, _) = self.entry(proof)?;
            if into != left {
                return Err(ProofError::View);
            }
        }
        Ok(Verified(message))
    }
}
