//! State proofs: what the ledger held under a name after a block, or that it held nothing there.
//!
//! A [`Receipt`](crate::receipt::Receipt) shows that something was recorded; a state proof shows how things stood: that
//! a record was in force in this version, that a key was no member's, that no record has this id. It is a path in the
//! state tree ([`TreePath`]) to the root that the block's seal leaf names, and the proof that this leaf is in the record
//! log, under a checkpoint that a quorum cosigned: any client of C2SP tlog-proof verifies the second part, and
//! SHA-256 the first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::id::{ChainId, Epoch, Height};
use crate::leaf::SealLeaf;
use crate::receipt::{TlogProof, Verified};
use crate::state::EntryName;
use crate::state::tree::TreePath;
use crate::trust::TrustPolicy;

/// Name and version of the form.
pub const SCHEMA: &str = "city/v1/state-proof";
/// Longest proof, bytes of JSON.
pub const STATE_PROOF_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A state proof, as JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch whose validators cosigned.
    pub epoch: Epoch,
    /// The block after which the state was this. No later block up to the one asked for appended anything to the record
    /// log.
    pub height: Height,
    /// The entry.
    pub entry: EntryName,
    /// Its canonical bytes in base64; null when there was none.
    pub value: Option<String>,
    /// The value decoded, for readers; null when there was none.
    pub decoded: Value,
    /// From the entry's place to the root of the state.
    pub path: TreePath,
    /// The block's seal leaf with its path and checkpoint, a C2SP tlog-proof.
    pub seal: String,
}

/// What a state proof showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shown {
    /// The block after which it holds.
    pub height: Height,
    /// The root of the state after this block.
    pub state_root: Digest,
    /// Canonical bytes of the entry; none when there was none.
    pub value: Option<Vec<u8>>,
    /// Who vouches for the root.
    pub vouched: Verified,
}

fn malformed(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::ReceiptMalformed, detail.to_string())
}

impl StateProof {
    /// Builds a proof from its parts and verifies it as its reader will. `policy` must name the validators of an epoch.
    ///
    /// # Errors
    /// As [`Self::verify`]; `TRUST_MISSING` when the policy has no chain id or epoch.
    pub fn new(
        entry: EntryName,
        value: Option<&[u8]>,
        path: TreePath,
        seal: &TlogProof,
        policy: &TrustPolicy,
    ) -> Result<Self, Refusal> {
        let (Some(chain_id), Some(epoch)) = (policy.chain_id(), policy.epoch()) else {
            return Err(Refusal::new(Code::TrustMissing, "the policy names no chain or no epoch"));
        };
        let height = SealLeaf::of_proof(seal)?.height;
        let decoded = value.map_or(Ok(Value::Null), |value| entry.decode(value)).map_err(malformed)?;
        let proof = Self {
            schema: SCHEMA.to_owned(),
            chain_id,
            epoch,
            height,
            entry,
            value: value.map(|value| STANDARD.encode(value)),
            decoded,
            path,
            seal: seal.to_text(),
        };
        proof.verify(policy)?;
        Ok(proof)
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` when the text is too long, no JSON, of another form, or has unknown or missing fields.
    pub fn parse(json: &str) -> Result<Self, Refusal> {
        if json.len() > STATE_PROOF_BYTES_MAX {
            return Err(malformed(format!("{} bytes, at most {STATE_PROOF_BYTES_MAX}", json.len())));
        }
        let proof: Self = serde_json::from_str(json).map_err(malformed)?;
        proof.check_schema()?;
        Ok(proof)
    }

    /// The proof as one line of JSON.
    pub fn to_json(&self) -> String {
        #[expect(clippy::expect_used, reason = "every field of the form has a JSON form")]
        serde_json::to_string(self).expect("a state proof is JSON")
    }

    fn check_schema(&self) -> Result<(), Refusal> {
        if self.schema == SCHEMA {
            return Ok(());
        }
        Err(malformed(format!("schema {:?}, wanted {SCHEMA:?}", self.schema)))
    }

    /// Verifies the proof against whom the reader trusts; everything that it shows is compared with what is proved.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED`, `TRUST_MISSING` (the policy is for another chain or epoch), `PROOF_INVALID`,
    /// `UNKNOWN_SIGNER`, `QUORUM_NOT_MET`, `LEAF_MISMATCH` (the decoded value or the height is not the proved one).
    pub fn verify(&self, policy: &TrustPolicy) -> Result<Shown, Refusal> {
        self.check_schema()?;
        policy.check_chain(&self.chain_id, self.epoch)?;
        let seal_proof = TlogProof::parse(&self.seal)?;
        let vouched = seal_proof.verify(None, policy)?;
        let seal = SealLeaf::of_proof(&seal_proof)?;
        if seal.height != self.height {
            let detail =
                format!("the proof says block {}, its seal is of block {}", self.height, seal.height);
            return Err(Refusal::new(Code::LeafMismatch, detail));
        }
        let value = self.value.as_ref().map(|value| STANDARD.decode(value)).transpose();
        let value = value.map_err(|_| malformed("the value is no base64"))?;
        let key = self.entry.key();
        let leads = match &value {
            Some(value) => self.path.shows(&seal.state_root, &key, value),
            None => self.path.shows_absence(&seal.state_root, &key),
        };
        if !leads {
            let what = if value.is_some() { "the value of" } else { "the absence of" };
            let detail = format!("{what} {} does not lead to the root of the state", self.entry);
            return Err(Refusal::new(Code::ProofInvalid, detail));
        }
        let decoded = value.as_deref().map_or(Ok(Value::Null), |value| self.entry.decode(value));
        if decoded.map_err(malformed)? != self.decoded {
            let detail = format!("what the proof shows of {} is not what its value says", self.entry);
            return Err(Refusal::new(Code::LeafMismatch, detail));
        }
        Ok(Shown { height: self.height, state_root: seal.state_root, value, vouched })
    }
}
