//! Proof that a transaction is final: from its id up to a quorum's commit certificate, checkable offline.

use serde::{Deserialize, Serialize};

use crate::block::Header;
use crate::certificate::{Cert, CertError, VoteKind};
use crate::code::{Code, Refusal};
use crate::codec::Wire;
use crate::committee::Committee;
use crate::crypto::Digest;
use crate::id::{ChainId, Height, TxId};
use crate::lane::BatchHeader;
use crate::merkle;

/// Most headers from a block to the certified descendant that finalises it, both included. A validator that
/// caught up holds one certificate for each answer it was given, so an answer has at most as many blocks.
pub const DESCENDANTS_MAX: usize = 128;

/// A path in an RFC 6962 tree.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InclusionPath {
    /// Position of the leaf.
    pub index: u64,
    /// Leaves in the tree.
    pub size: u64,
    /// Sibling hashes, from the leaf up.
    pub hashes: Vec<Digest>,
}

/// That a quorum ordered a transaction at a height.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FinalityProof {
    /// Header of the batch that holds the transaction.
    pub batch: BatchHeader,
    /// The transaction id in the batch's payload root.
    pub in_batch: InclusionPath,
    /// The batch digest in the block's batches root.
    pub in_block: InclusionPath,
    /// The block's header, then its descendants up to the certified one.
    pub headers: Vec<Header>,
    /// Commit certificate of the last header.
    pub certificate: Cert,
}

impl Wire for FinalityProof {
    const LIMIT: usize = 128 * 1024;
}

impl FinalityProof {
    /// Verifies the whole chain of evidence and returns the height that orders the transaction.
    ///
    /// # Errors
    /// `PROOF_INVALID`, `CHAIN_BROKEN` or `CERTIFICATE_INVALID`, with what failed.
    pub fn verify(&self, chain_id: ChainId, committee: &Committee, tx: &TxId) -> Result<Height, Refusal> {
        self.verify_by(chain_id, tx, |certificate| certificate.verify(chain_id, committee, VoteKind::Commit))
    }

    /// As [`FinalityProof::verify`], with a judge of the caller's for the certificate: many transactions
    /// share one, and a client that remembers those it verified need not verify them again.
    ///
    /// # Errors
    /// As [`FinalityProof::verify`].
    pub fn verify_by(
        &self,
        chain_id: ChainId,
        tx: &TxId,
        judge: impl FnOnce(&Cert) -> Result<(), CertError>,
    ) -> Result<Height, Refusal> {
        let (Some(first), Some(last)) = (self.headers.first(), self.headers.last()) else {
            return Err(Refusal::new(Code::ChainBroken, "the proof holds no header"));
        };
        if self.headers.len() > DESCENDANTS_MAX {
            return Err(Refusal::new(
                Code::ChainBroken,
                format!("{} headers, at most {DESCENDANTS_MAX}", self.headers.len()),
            ));
        }
        if self.headers.iter().any(|header| header.chain_id != chain_id) || self.batch.chain_id != chain_id {
            return Err(Refusal::new(Code::ChainBroken, "a header is of another chain"));
        }
        let in_batch = merkle::leaf_hash(tx.digest().as_bytes());
        if !merkle::verify_inclusion(&in_batch, &self.in_batch, &self.batch.payload_root) {
            return Err(Refusal::new(Code::ProofInvalid, "the transaction is not in the batch"));
        }
        let in_block = merkle::leaf_hash(self.batch.digest().as_bytes());
        if self.in_block.size != u64::from(first.n_batches)
            || !merkle::verify_inclusion(&in_block, &self.in_block, &first.batches_root)
        {
            return Err(Refusal::new(Code::ProofInvalid, "the batch is not in the block"));
        }
        for pair in self.headers.windows(2) {
            if pair[1].parent != pair[0].digest() || pair[1].height != pair[0].height.next() {
                let detail = format!("block {} does not follow block {}", pair[1].height, pair[0].height);
                return Err(Refusal::new(Code::ChainBroken, detail));
            }
        }
        if self.certificate.digest != last.digest() || self.certificate.height != last.height {
            return Err(Refusal::new(Code::CertificateInvalid, "the certificate is for another block"));
        }
        judge(&self.certificate)
            .map_err(|error| Refusal::new(Code::CertificateInvalid, error.to_string()))?;
        Ok(first.height)
    }
}
