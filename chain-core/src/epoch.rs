//! From one validator set to the next: what proves that an epoch ended, and who votes after it.
//!
//! An epoch ends with a closing block. A commit certificate on it, or on a suffix block below it, makes it
//! final; its header names the hash of the next set. Whoever knows the first set can therefore walk to any
//! later one with nothing but these proofs: see [`verify_chain`].

use serde::{Deserialize, Serialize};

use crate::block::{Flags, HEADER_VERSION, Header, SlotPreimage, VIEW_BLOCKS_MAX};
use crate::certificate::{Cert, CertError, VoteKind};
use crate::codec::Wire;
use crate::committee::Committee;
use crate::crypto::{Digest, Signature};
use crate::id::{ChainId, Epoch, Height, ValidatorIx};

/// Most headers of a closing proof: one suffix for every view that prepared one and committed none.
#[expect(clippy::cast_possible_truncation, reason = "4,096")]
pub const CLOSING_HEADERS_MAX: usize = VIEW_BLOCKS_MAX as usize;

/// Proof that a closing block is final.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClosingProof {
    /// The closing block's header, then the suffixes below it down to the certified one; at most
    /// [`CLOSING_HEADERS_MAX`].
    pub headers: Vec<Header>,
    /// COMMIT votes for the last of them.
    pub certificate: Cert,
}

impl Wire for ClosingProof {
    const LIMIT: usize = CLOSING_HEADERS_MAX * 512 + Cert::LIMIT;
}

/// Why something does not prove who votes in an epoch.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EpochError {
    /// No header, or more than allowed.
    #[error("closing proof of {0} headers, wants 1 to {CLOSING_HEADERS_MAX}")]
    Count(usize),
    /// A header of another chain or of an unknown layout.
    #[error("header at height {0} is of another chain or layout")]
    Foreign(Height),
    /// A header of another epoch than the set that judges it.
    #[error("header at height {height} is of epoch {got}, judged by the validators of epoch {want}")]
    Epoch {
        /// Height of the header.
        height: Height,
        /// Its epoch.
        got: Epoch,
        /// Epoch of the set.
        want: Epoch,
    },
    /// A header that names another validator set for its epoch.
    #[error("header at height {0} names another validator set")]
    Set(Height),
    /// The first header does not close its epoch.
    #[error("header at height {0} does not close its epoch")]
    NotClosing(Height),
    /// A later header is no suffix.
    #[error("header at height {0} is no suffix")]
    NotSuffix(Height),
    /// A header does not follow from the one before it.
    #[error("header at height {0} does not follow from the one before it")]
    Broken(Height),
    /// The certificate is over another block.
    #[error("the certificate is over another block than the one at height {0}")]
    OtherBlock(Height),
    /// The certificate does not verify.
    #[error("the certificate of the epoch's end does not verify")]
    Certificate(#[from] CertError),
    /// The set handed over is not of the next epoch.
    #[error("the set handed over is of epoch {got}, wants {want}")]
    NextEpoch {
        /// Epoch found.
        got: Epoch,
        /// The epoch after the one that ended.
        want: Epoch,
    },
    /// The set handed over is not the one that the closing block names.
    #[error("the set handed over has hash {got}, the closing block names {want}")]
    NextSet {
        /// Hash of the set.
        got: Digest,
        /// Hash in the closing block.
        want: Digest,
    },
}

impl ClosingProof {
    /// Verifies the proof against the committee of its epoch; gives the closing block's header.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn verify(&self, chain_id: ChainId, committee: &Committee) -> Result<&Header, EpochError> {
        self.verify_by(chain_id, committee, |signer, slot, signature| {
            committee.get(signer).is_some_and(|one| one.consensus_key.verify(slot, signature))
        })
    }

    /// As [`ClosingProof::verify`], with a verifier of the caller's: keys decoded before, or a simulator's.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn verify_by(
        &self,
        chain_id: ChainId,
        committee: &Committee,
        verify: impl Fn(ValidatorIx, &SlotPreimage, &Signature) -> bool,
    ) -> Result<&Header, EpochError> {
        let (closing, last) = self.check_headers(chain_id, committee)?;
        let certificate = &self.certificate;
        let slot = (certificate.epoch, certificate.view, certificate.height, certificate.digest);
        if slot != (last.epoch, last.view, last.height, last.digest()) {
            return Err(EpochError::OtherBlock(last.height));
        }
        certificate.verify_by(chain_id, committee, VoteKind::Commit, verify)?;
        Ok(closing)
    }

    /// The closing block's header, unverified.
    pub fn closing(&self) -> Option<&Header> {
        self.headers.first()
    }

    /// Everything but the certificate; gives the first and the last header.
    fn check_headers(
        &self,
        chain_id: ChainId,
        committee: &Committee,
    ) -> Result<(&Header, &Header), EpochError> {
        let count = EpochError::Count(self.headers.len());
        if self.headers.len() > CLOSING_HEADERS_MAX {
            return Err(count);
        }
        let (Some(closing), Some(last)) = (self.headers.first(), self.headers.last()) else {
            return Err(count);
        };
        let set = committee.hash();
        for header in &self.headers {
            let height = header.height;
            if header.version != HEADER_VERSION || header.chain_id != chain_id {
                return Err(EpochError::Foreign(height));
            }
            if header.epoch != committee.epoch() {
                return Err(EpochError::Epoch { height, got: header.epoch, want: committee.epoch() });
            }
            if header.validators_hash != set {
                return Err(EpochError::Set(height));
            }
        }
        let is = |header: &Header, flag: Flags| {
            Flags::from_bits(header.flags.bits()).is_some_and(|flags| flags.contains(flag))
        };
        if !is(closing, Flags::CLOSING) {
            return Err(EpochError::NotClosing(closing.height));
        }
        for (parent, header) in self.headers.iter().zip(self.headers.iter().skip(1)) {
            if !is(header, Flags::SUFFIX) {
                return Err(EpochError::NotSuffix(header.height));
            }
            // Nothing follows a closing block or a suffix in its own view.
            let follows = header.height.since(parent.height) == 1
                && header.parent == parent.digest()
                && header.view > parent.view
                && header.next_validators_hash == closing.next_validators_hash;
            if !follows {
                return Err(EpochError::Broken(header.height));
            }
        }
        Ok((closing, last))
    }
}

/// The end of one epoch together with the set of the next: what an auditor or a newcomer needs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HandOver {
    /// That the epoch ended, and which set its closing block names.
    pub proof: ClosingProof,
    /// That set.
    pub next: Committee,
}

impl Wire for HandOver {
    const LIMIT: usize = ClosingProof::LIMIT + Committee::LIMIT;
}

impl HandOver {
    /// Verifies the hand-over against the committee of the ended epoch; gives the next one.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn verify(&self, chain_id: ChainId, committee: &Committee) -> Result<&Committee, EpochError> {
        self.check_next(self.proof.verify(chain_id, committee)?)
    }

    /// As [`HandOver::verify`], with a verifier of the caller's: keys decoded before, or a simulator's.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn verify_by(
        &self,
        chain_id: ChainId,
        committee: &Committee,
        verify: impl Fn(ValidatorIx, &SlotPreimage, &Signature) -> bool,
    ) -> Result<&Committee, EpochError> {
        self.check_next(self.proof.verify_by(chain_id, committee, verify)?)
    }

    fn check_next(&self, closing: &Header) -> Result<&Committee, EpochError> {
        let (got, want) = (self.next.epoch(), closing.epoch.next());
        if got != want {
            return Err(EpochError::NextEpoch { got, want });
        }
        let (got, want) = (self.next.hash(), closing.next_validators_hash);
        if got != want {
            return Err(EpochError::NextSet { got, want });
        }
        Ok(&self.next)
    }
}

/// Walks from the first validator set to that of the epoch after the last hand-over.
///
/// # Errors
/// At the first hand-over that does not follow from the set before it, with its flaw.
pub fn verify_chain(
    chain_id: ChainId,
    genesis: &Committee,
    hand_overs: &[HandOver],
) -> Result<Committee, EpochError> {
    let mut committee = genesis;
    for hand_over in hand_overs {
        committee = hand_over.verify(chain_id, committee)?;
    }
    Ok(committee.clone())
}

#[cfg(test)]
mod tests;
