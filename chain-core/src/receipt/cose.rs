//! A receipt in COSE (RFC 9942): the leaf, and for each validator a receipt message over the root it leads to.
//!
//! One CBOR array of two: the leaf's bytes, and the messages as the header parameter `receipts` (394) carries them,
//! an array of byte strings. Each message is complete by itself and wants nothing but its signer's public key; a
//! reader who wants a quorum counts them.

use coset::cbor::Value;

use super::{Content, Verified, malformed};
use crate::checkpoint::{Checkpoint, LINES_MAX};
use crate::code::{Code, Refusal};
use crate::cose::{ReadReceipt, RootSignature, RootStatement, decoded, encoded};
use crate::merkle::path::{PATH_MAX, root_of};
use crate::merkle::{leaf_hash, tile::ENTRY_MAX};
use crate::proof::InclusionPath;
use crate::trust::TrustPolicy;

/// Longest file, bytes: a leaf, and for every validator its signature, its header and the path.
pub const COSE_BYTES_MAX: usize = 1024 * 1024;

/// A leaf under the root that validators signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CoseReceipt {
    /// The leaf.
    pub leaf: Vec<u8>,
    /// Its path.
    pub path: InclusionPath,
    /// Origin of the log.
    pub origin: String,
    /// At least one, in the order of the messages.
    pub signatures: Vec<RootSignature>,
}

impl CoseReceipt {
    /// The file's bytes.
    ///
    /// # Errors
    /// `PROOF_INVALID` when the path does not fit its own index and size.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Refusal> {
        let messages = self.messages()?.into_iter().map(Value::Bytes).collect();
        let file = Value::Array(vec![Value::Bytes(self.leaf.clone()), Value::Array(messages)]);
        encoded(&file).map_err(malformed)
    }

    /// The messages, each a tagged `COSE_Sign1` without payload.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn messages(&self) -> Result<Vec<Vec<u8>>, Refusal> {
        let checkpoint = self.checkpoint()?;
        let message = |one: &RootSignature| {
            let RootSignature { cosigner, key_id, time_s, signature } = one;
            let statement =
                RootStatement { checkpoint: &checkpoint, cosigner, key_id: *key_id, time_s: *time_s };
            statement.receipt(&self.path, signature).map_err(malformed)
        };
        self.signatures.iter().map(message).collect()
    }

    /// Reads a file in its one spelling.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED`, naming the flaw; `PROOF_INVALID` when a path does not fit its index and size.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > COSE_BYTES_MAX {
            return Err(malformed(format!("{} bytes, at most {COSE_BYTES_MAX}", bytes.len())));
        }
        let file = decoded(bytes).map_err(malformed)?;
        let parts = file.as_array().map(Vec::as_slice);
        let Some([Value::Bytes(leaf), Value::Array(messages)]) = parts else {
            return Err(malformed("not an array of a leaf and its receipts"));
        };
        if leaf.len() > ENTRY_MAX {
            return Err(malformed(format!("leaf of {} bytes, at most {ENTRY_MAX}", leaf.len())));
        }
        if messages.is_empty() || messages.len() > LINES_MAX {
            return Err(malformed(format!("{} receipts, wanted 1 to {LINES_MAX}", messages.len())));
        }
        let mut read = None::<Self>;
        for (at, message) in (1..).zip(messages) {
            let bytes = message.as_bytes().ok_or_else(|| malformed(format!("receipt {at} is no bytes")))?;
            let one =
                ReadReceipt::parse(bytes).map_err(|error| malformed(format!("receipt {at}: {error}")))?;
            let ReadReceipt { origin, path, by } = one;
            match &mut read {
                None => read = Some(Self { leaf: leaf.clone(), path, origin, signatures: vec![by] }),
                Some(read) if (&read.path, &read.origin) == (&path, &origin) => read.signatures.push(by),
                Some(_) => return Err(malformed(format!("receipt {at} is about another log or path"))),
            }
        }
        let read = read.ok_or_else(|| malformed("no receipts"))?;
        if read.to_bytes()? != bytes {
            return Err(malformed("not the deterministic encoding of what it says"));
        }
        Ok(read)
    }

    /// Verifies that the leaf is in the log, under a root that a quorum signed.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` (a signer twice), `PROOF_INVALID`, `UNKNOWN_SIGNER`, `QUORUM_NOT_MET`.
    pub fn verify(&self, policy: &TrustPolicy) -> Result<Verified, Refusal> {
        let checkpoint = self.checkpoint()?;
        let cosigners = policy.verify_roots(&checkpoint, &self.signatures)?;
        Ok(Verified {
            leaf_hash: leaf_hash(&self.leaf),
            index: self.path.index,
            size: checkpoint.size,
            root: checkpoint.root,
            cosigners,
            content: Content::NotChecked,
        })
    }

    /// The checkpoint that leaf and path lead to.
    fn checkpoint(&self) -> Result<Checkpoint, Refusal> {
        let InclusionPath { index, size, ref hashes } = self.path;
        let root = (hashes.len() <= PATH_MAX).then(|| root_of(&leaf_hash(&self.leaf), &self.path)).flatten();
        match root {
            Some(root) => Ok(Checkpoint { origin: self.origin.clone(), size, root }),
            None => {
                let detail = format!("{} hashes are no path of leaf {index} of {size}", hashes.len());
                Err(Refusal::new(Code::ProofInvalid, detail))
            }
        }
    }
}
