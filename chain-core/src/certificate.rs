//! Certificates: a quorum's signatures over one block. Never hashed into anything, because two honest
//! validators may hold different signer subsets for the same block.

use serde::{Deserialize, Serialize};

use crate::block::SlotPreimage;
use crate::codec::Wire;
use crate::committee::{Committee, VALIDATORS_MAX};
use crate::crypto::{Digest, Signature};
use crate::id::{ChainId, Epoch, Height, ValidatorIx, View};

/// Which vote a certificate gathers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VoteKind {
    /// "I hold this block and all its data, and it is valid."
    Prepare,
    /// "A quorum prepared it."
    Commit,
}

impl VoteKind {
    /// Its byte in signed preimages.
    pub const fn tag(self) -> u8 {
        match self {
            Self::Prepare => 2,
            Self::Commit => 3,
        }
    }
}

/// Position of a block within an epoch: view first, then height.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Rank {
    /// The view.
    pub view: View,
    /// The height.
    pub height: Height,
}

/// `q` or more votes of one kind for one block.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cert {
    /// Which vote.
    pub kind: VoteKind,
    /// The epoch whose validators signed.
    pub epoch: Epoch,
    /// View of the block.
    pub view: View,
    /// Height of the block.
    pub height: Height,
    /// Digest of the block.
    pub digest: Digest,
    /// Bit i of byte i/8 (lowest first) stands for validator i; ⌈n/8⌉ bytes.
    pub bitmap: Vec<u8>,
    /// Signatures of the set bits, in index order.
    pub signatures: Vec<Signature>,
}

impl Wire for Cert {
    const LIMIT: usize = 256 + VALIDATORS_MAX * 64;
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertError {
    /// Another epoch than the committee's.
    #[error("certificate of epoch {got}, judged by the validators of epoch {want}")]
    Epoch {
        /// Epoch found.
        got: Epoch,
        /// Epoch of the committee.
        want: Epoch,
    },
    /// Another kind of vote than asked for.
    #[error("certificate gathers {got:?} votes, wants {want:?}")]
    Kind {
        /// Kind found.
        got: VoteKind,
        /// Kind wanted.
        want: VoteKind,
    },
    /// Bitmap length is not ⌈n/8⌉.
    #[error("bitmap has {got} bytes, wants {want}")]
    BitmapLength {
        /// Bytes found.
        got: usize,
        /// Bytes wanted.
        want: usize,
    },
    /// A bit beyond the last validator.
    #[error("bitmap names validator {0}, who does not exist")]
    UnknownSigner(usize),
    /// Count of bits and of signatures differ.
    #[error("{bits} signers named, {signatures} signatures given")]
    Count {
        /// Set bits.
        bits: usize,
        /// Signatures.
        signatures: usize,
    },
    /// Too few.
    #[error("{have} signatures, needs {need}")]
    Short {
        /// Signatures found.
        have: usize,
        /// The quorum.
        need: usize,
    },
    /// One signature does not verify; the whole certificate falls with it.
    #[error("signature of {0} does not verify")]
    BadSignature(ValidatorIx),
}

impl Cert {
    /// Builds a certificate from verified votes, sorted by index.
    pub fn from_votes(
        kind: VoteKind,
        epoch: Epoch,
        rank: Rank,
        digest: Digest,
        n: usize,
        votes: impl IntoIterator<Item = (ValidatorIx, Signature)>,
    ) -> Self {
        let mut bitmap = vec![0_u8; n.div_ceil(8)];
        let mut signatures = Vec::new();
        for (signer, signature) in votes {
            bitmap[signer.index() / 8] |= 1 << (signer.index() % 8);
            signatures.push(signature);
        }
        Self { kind, epoch, view: rank.view, height: rank.height, digest, bitmap, signatures }
    }

    /// View and height.
    pub fn rank(&self) -> Rank {
        Rank { view: self.view, height: self.height }
    }

    /// The preimage that each signer signed.
    pub fn slot(&self, chain_id: ChainId) -> SlotPreimage {
        SlotPreimage {
            kind: self.kind.tag(),
            chain_id,
            epoch: self.epoch,
            view: self.view.get(),
            height: self.height,
            digest: self.digest,
        }
    }

    /// Indices of the set bits, in order; also bits that name nobody.
    pub fn signers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.bitmap.len() * 8).filter(|&bit| self.bitmap[bit / 8] & (1 << (bit % 8)) != 0)
    }

    /// Everything but the signatures: epoch, bitmap length, padding, counts and quorum.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn check_shape(&self, committee: &Committee) -> Result<(), CertError> {
        if self.epoch != committee.epoch() {
            return Err(CertError::Epoch { got: self.epoch, want: committee.epoch() });
        }
        let want = committee.size().div_ceil(8);
        if self.bitmap.len() != want {
            return Err(CertError::BitmapLength { got: self.bitmap.len(), want });
        }
        if let Some(bit) = self.signers().find(|&bit| bit >= committee.size()) {
            return Err(CertError::UnknownSigner(bit));
        }
        let bits = self.signers().count();
        if bits != self.signatures.len() {
            return Err(CertError::Count { bits, signatures: self.signatures.len() });
        }
        if bits < committee.quorum() {
            return Err(CertError::Short { have: bits, need: committee.quorum() });
        }
        Ok(())
    }

    /// Verifies the certificate against the committee of its epoch.
    ///
    /// # Errors
    /// Names the first flaw; one bad signature condemns the certificate.
    pub fn verify(&self, chain_id: ChainId, committee: &Committee, want: VoteKind) -> Result<(), CertError> {
        self.verify_by(chain_id, committee, want, |signer, slot, signature| {
            committee.get(signer).is_some_and(|one| one.consensus_key.verify(slot, signature))
        })
    }

    /// As [`Cert::verify`], with a verifier of the caller's: keys decoded before, or a simulator's.
    ///
    /// # Errors
    /// Names the first flaw; one bad signature condemns the certificate.
    pub fn verify_by(
        &self,
        chain_id: ChainId,
        committee: &Committee,
        want: VoteKind,
        verify: impl Fn(ValidatorIx, &SlotPreimage, &Signature) -> bool,
    ) -> Result<(), CertError> {
        if self.kind != want {
            return Err(CertError::Kind { got: self.kind, want });
        }
        self.check_shape(committee)?;
        let slot = self.slot(chain_id);
        for (bit, signature) in self.signers().zip(&self.signatures) {
            #[expect(clippy::cast_possible_truncation, reason = "check_shape bounded it by n")]
            let signer = ValidatorIx::new(bit as u16);
            if !verify(signer, &slot, signature) {
                return Err(CertError::BadSignature(signer));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committee::test_support::{committee, secret};

    const CHAIN: ChainId = ChainId::new(Digest::ZERO);

    fn cert(n: usize, signers: &[usize]) -> Cert {
        let rank = Rank { view: View::new(3), height: Height::new(9) };
        let mut cert =
            Cert::from_votes(VoteKind::Commit, Epoch::ZERO, rank, Digest::tagged(b"block", &[]), n, []);
        let slot = cert.slot(CHAIN);
        for &signer in signers {
            cert.bitmap[signer / 8] |= 1 << (signer % 8);
            cert.signatures.push(secret(1, signer).sign(&slot));
        }
        cert
    }

    fn verdict(n: usize, cert: &Cert) -> Result<(), CertError> {
        cert.verify(CHAIN, &committee(n), VoteKind::Commit)
    }

    #[test]
    fn a_quorum_is_enough_and_one_fewer_is_not() {
        for (n, quorum) in [(4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (10, 7)] {
            let signers: Vec<usize> = (0..quorum).collect();
            assert_eq!(verdict(n, &cert(n, &signers)), Ok(()), "n={n}");
            let short = CertError::Short { have: quorum - 1, need: quorum };
            assert_eq!(verdict(n, &cert(n, &signers[1..])), Err(short), "n={n}");
        }
    }

    #[test]
    fn a02_a_duplicate_signer_counts_once() {
        let mut twice = cert(4, &[0, 1]);
        twice.signatures.push(twice.signatures[1]);
        assert_eq!(verdict(4, &twice), Err(CertError::Count { bits: 2, signatures: 3 }));
    }

    #[test]
    fn a03_a_signer_out_of_range_is_an_error() {
        let mut stranger = cert(4, &[0, 1, 2]);
        stranger.bitmap[0] |= 1 << 6;
        stranger.signatures.push(Signature::ZERO);
        assert_eq!(verdict(4, &stranger), Err(CertError::UnknownSigner(6)));
    }

    #[test]
    fn a04_the_bitmap_has_exactly_the_committees_length() {
        let mut long = cert(4, &[0, 1, 2]);
        long.bitmap.push(0);
        assert_eq!(verdict(4, &long), Err(CertError::BitmapLength { got: 2, want: 1 }));
        let mut none = cert(4, &[0, 1, 2]);
        none.bitmap.clear();
        assert_eq!(verdict(4, &none), Err(CertError::BitmapLength { got: 0, want: 1 }));
        let mut extra_bit = cert(4, &[0, 1, 2]);
        extra_bit.bitmap[0] |= 1 << 3;
        assert_eq!(verdict(4, &extra_bit), Err(CertError::Count { bits: 4, signatures: 3 }));
    }

    #[test]
    fn a05_a_quorum_padded_with_a_bad_signature_is_refused_whole() {
        let mut padded = cert(4, &[0, 1, 2, 3]);
        padded.signatures[3] = Signature::ZERO;
        assert_eq!(verdict(4, &padded), Err(CertError::BadSignature(ValidatorIx::new(3))));
    }

    #[test]
    fn a06_a_signature_counts_for_its_own_signer_only() {
        let mut swapped = cert(4, &[0, 1, 2]);
        swapped.signatures.swap(0, 1);
        assert_eq!(verdict(4, &swapped), Err(CertError::BadSignature(ValidatorIx::new(0))));
    }

    #[test]
    fn a08_a_certificate_names_its_block_kind_epoch_and_chain() {
        let good = cert(4, &[0, 1, 2]);
        let bad = Err(CertError::BadSignature(ValidatorIx::new(0)));
        assert_eq!(verdict(4, &Cert { digest: Digest::ZERO, ..good.clone() }), bad);
        assert_eq!(verdict(4, &Cert { view: View::new(4), ..good.clone() }), bad);
        assert_eq!(verdict(4, &Cert { height: Height::new(8), ..good.clone() }), bad);
        let epoch = CertError::Epoch { got: Epoch::new(1), want: Epoch::ZERO };
        assert_eq!(verdict(4, &Cert { epoch: Epoch::new(1), ..good.clone() }), Err(epoch));
        let other = ChainId::new(Digest::tagged(b"other", &[]));
        assert_eq!(good.verify(other, &committee(4), VoteKind::Commit), bad);
        let kind = CertError::Kind { got: VoteKind::Commit, want: VoteKind::Prepare };
        assert_eq!(good.verify(CHAIN, &committee(4), VoteKind::Prepare), Err(kind));
        // Relabelled as the other kind, the signatures no longer hold.
        let relabelled = Cert { kind: VoteKind::Prepare, ..good };
        assert_eq!(relabelled.verify(CHAIN, &committee(4), VoteKind::Prepare), bad);
    }
}
