//! Seal leaves that stand in a proof: they tie the state to the record log.

use super::{TlogProof, malformed};
use crate::code::Refusal;
use crate::leaf::{Leaf, SealLeaf};

impl SealLeaf {
    /// The seal that a proof carries, not yet judged.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` when the proof carries no leaf, or another one.
    pub fn of_proof(proof: &TlogProof) -> Result<Self, Refusal> {
        let leaf = proof.extra.as_deref().ok_or_else(|| malformed("the seal carries no leaf"))?;
        match Leaf::decode(leaf) {
            Ok(Leaf::Seal(seal)) => Ok(seal),
            Ok(_) => Err(malformed("the leaf is no seal")),
            Err(error) => Err(malformed(format!("the seal: {error}"))),
        }
    }
}
