//! Receipts: what a clerk keeps and anybody can check, offline and without our software.
//!
//! A receipt holds the leaf (the record's public header with its position), its path in the record log, and
//! a checkpoint cosigned by a quorum of validators. Three forms: [`Receipt`] is the JSON bundle with body and
//! decoded leaf, [`TlogProof`] the C2SP text and [`CoseReceipt`] the COSE messages (RFC 9942) that other people's
//! tools read. The bundle holds what the other two are made of.
//!
//! What a leaf *means* is the record rules' business: they decode it into [`LeafFacts`], and
//! [`Receipt::verify`] compares those with what the bundle shows.

mod cose;
mod explain;
mod seal;
mod tlog_proof;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use cose::{COSE_BYTES_MAX, CoseReceipt};
pub use explain::Step;
pub use tlog_proof::{PROOF_BYTES_MAX, TlogProof};

use crate::checkpoint::{Published, SignedCheckpoint};
use crate::code::{Code, Refusal};
use crate::cose::RootSignature;
use crate::crypto::{Digest, Signature};
use crate::id::{ChainId, Epoch, RecordId};
use crate::merkle::{leaf_hash, path::PATH_MAX, tile::ENTRY_MAX, verify_inclusion};
use crate::proof::InclusionPath;
use crate::transaction::Body;
use crate::trust::{Cosigner, TrustPolicy};

/// Name and version of the bundle's form.
pub const SCHEMA: &str = "city/v1/receipt";
/// Longest bundle, bytes of JSON.
pub const RECEIPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The JSON bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch whose validators cosigned.
    pub epoch: Epoch,
    /// The record.
    pub record: RecordId,
    /// Its version.
    pub version: u32,
    /// The leaf, in base64: canonical bytes of one accepted operation's header with its position.
    pub leaf: String,
    /// The leaf decoded, for readers; compared with the leaf by the record rules.
    pub decoded: Value,
    /// Body and salt, for those entitled to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// Path of the leaf in the record log.
    pub inclusion: InclusionPath,
    /// The cosigned checkpoint, a C2SP signed note.
    pub checkpoint: String,
    /// Names of the validators that cosigned it, in the order of the committee.
    pub validators: Vec<String>,
    /// Their signatures over the root for COSE (RFC 9942), in the same order, each of the second of its cosignature.
    /// Empty in receipts of nodes that did not make them yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub root_signatures: Vec<Signature>,
}

/// What the record rules read out of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafFacts {
    /// The record.
    pub record: RecordId,
    /// Its version.
    pub version: u32,
    /// The leaf decoded.
    pub decoded: Value,
    /// Commitment to the body, when the operation has one.
    pub body_commit: Option<Digest>,
}

/// How much of a receipt's content was compared with its leaf.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// Nothing: only that the leaf is in the log.
    NotChecked,
    /// Record, version and decoded leaf; the receipt holds no body.
    Leaf,
    /// Those, and the body against its commitment.
    LeafAndBody,
}

/// What a receipt proved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// Hash of the leaf.
    pub leaf_hash: Digest,
    /// Its position in the record log.
    pub index: u64,
    /// Leaves in the log at the checkpoint.
    pub size: u64,
    /// Root of the log at the checkpoint.
    pub root: Digest,
    /// Validators whose cosignatures held, at least a quorum.
    pub cosigners: Vec<Cosigner>,
    /// What else was compared.
    pub content: Content,
}

impl Verified {
    /// Median of the cosigners' clocks, seconds since 1970: at most f of them lie.
    pub fn time_s(&self) -> u64 {
        let mut times: Vec<u64> = self.cosigners.iter().map(|cosigner| cosigner.time_s).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(0)
    }
}

fn malformed(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::ReceiptMalformed, detail.to_string())
}

impl Receipt {
    /// Builds a bundle from its parts. `policy` must name the validators of `epoch`; the receipt is verified
    /// as its reader will verify it.
    ///
    /// # Errors
    /// As [`Self::verify`]; `TRUST_MISSING` when the policy has no chain id or epoch.
    pub fn new(
        leaf: &[u8],
        facts: LeafFacts,
        body: Option<Body>,
        inclusion: InclusionPath,
        published: &Published,
        policy: &TrustPolicy,
    ) -> Result<Self, Refusal> {
        let (Some(chain_id), Some(epoch)) = (policy.chain_id(), policy.epoch()) else {
            return Err(Refusal::new(Code::TrustMissing, "the policy names no chain or no epoch"));
        };
        let cosigners = policy.verify(&published.signed)?;
        let receipt = Self {
            schema: SCHEMA.to_owned(),
            chain_id,
            epoch,
            record: facts.record,
            version: facts.version,
            leaf: STANDARD.encode(leaf),
            decoded: facts.decoded.clone(),
            body,
            inclusion,
            checkpoint: published.signed.to_text(),
            validators: cosigners.into_iter().map(|cosigner| cosigner.name).collect(),
            root_signatures: published.root_signatures.clone(),
        };
        receipt.verify(policy, Some(&facts))?;
        Ok(receipt)
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` when the text is too long, no JSON, or has unknown or missing fields.
    pub fn parse(json: &str) -> Result<Self, Refusal> {
        if json.len() > RECEIPT_BYTES_MAX {
            return Err(malformed(format!("{} bytes, at most {RECEIPT_BYTES_MAX}", json.len())));
        }
        let receipt: Self = serde_json::from_str(json).map_err(malformed)?;
        if receipt.schema != SCHEMA {
            return Err(malformed(format!("schema {:?}, wanted {SCHEMA:?}", receipt.schema)));
        }
        Ok(receipt)
    }

    /// The bundle as one line of JSON.
    pub fn to_json(&self) -> String {
        #[expect(clippy::expect_used, reason = "every field of the form has a JSON form")]
        serde_json::to_string(self).expect("a receipt is JSON")
    }

    /// The leaf's bytes, to be decoded by the record rules.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` when it is no base64 or longer than a leaf may be.
    pub fn leaf_bytes(&self) -> Result<Vec<u8>, Refusal> {
        let leaf = STANDARD.decode(&self.leaf).map_err(|_| malformed("the leaf is no base64"))?;
        if leaf.len() > ENTRY_MAX {
            return Err(malformed(format!("leaf of {} bytes, at most {ENTRY_MAX}", leaf.len())));
        }
        Ok(leaf)
    }

    /// The checkpoint with its signature lines, not yet judged.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` when it is no note.
    pub fn signed_checkpoint(&self) -> Result<SignedCheckpoint, Refusal> {
        SignedCheckpoint::parse(&self.checkpoint).map_err(malformed)
    }

    /// The same proof as C2SP text, with the leaf as extra data.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` when leaf or checkpoint do not parse.
    pub fn tlog_proof(&self) -> Result<TlogProof, Refusal> {
        Ok(TlogProof {
            extra: Some(self.leaf_bytes()?),
            index: self.inclusion.index,
            hashes: self.inclusion.hashes.clone(),
            checkpoint: self.signed_checkpoint()?,
        })
    }

    /// Verifies the receipt against whom the reader trusts.
    ///
    /// With `facts`, everything the bundle shows is compared with the leaf, the body included; without them
    /// the result says only that this leaf is in the log ([`Content::NotChecked`]).
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED`, `TRUST_MISSING` (the policy is for another epoch), `PROOF_INVALID`,
    /// `UNKNOWN_SIGNER`, `QUORUM_NOT_MET`, `LEAF_MISMATCH`.
    pub fn verify(&self, policy: &TrustPolicy, facts: Option<&LeafFacts>) -> Result<Verified, Refusal> {
        if self.schema != SCHEMA {
            return Err(malformed(format!("schema {:?}, wanted {SCHEMA:?}", self.schema)));
        }
        policy.check_chain(&self.chain_id, self.epoch)?;
        let leaf = self.leaf_bytes()?;
        let checkpoint = self.signed_checkpoint()?;
        if self.inclusion.size != checkpoint.checkpoint.size {
            let detail = format!(
                "the path is for {} leaves, the checkpoint has {}",
                self.inclusion.size, checkpoint.checkpoint.size
            );
            return Err(Refusal::new(Code::ProofInvalid, detail));
        }
        let mut verified = prove(&leaf, &self.inclusion, &checkpoint, policy)?;
        if !verified.cosigners.iter().map(|one| &one.name).eq(&self.validators) {
            let names: Vec<&str> = verified.cosigners.iter().map(|one| one.name.as_str()).collect();
            let detail = format!(
                "the receipt names {} as cosigners, signed have {}",
                self.validators.join(", "),
                names.join(", ")
            );
            return Err(malformed(detail));
        }
        if !self.root_signatures.is_empty() {
            policy.verify_roots(&checkpoint.checkpoint, &self.roots(&verified.cosigners, policy)?)?;
        }
        if let Some(facts) = facts {
            verified.content = self.check_content(facts)?;
        }
        Ok(verified)
    }

    /// The same proof in COSE: for each of the validators its own message.
    ///
    /// # Errors
    /// As [`Self::verify`]; `RECEIPT_MALFORMED` when the bundle has no signatures for COSE.
    pub fn cose(&self, policy: &TrustPolicy) -> Result<CoseReceipt, Refusal> {
        let verified = self.verify(policy, None)?;
        if self.root_signatures.is_empty() {
            return Err(malformed("it was made without signatures for COSE; get it again from a node"));
        }
        Ok(CoseReceipt {
            leaf: self.leaf_bytes()?,
            path: self.inclusion.clone(),
            origin: self.signed_checkpoint()?.checkpoint.origin,
            signatures: self.roots(&verified.cosigners, policy)?,
        })
    }

    /// The signatures for COSE with what the cosignatures beside them say of their signers.
    fn roots(&self, cosigners: &[Cosigner], policy: &TrustPolicy) -> Result<Vec<RootSignature>, Refusal> {
        if cosigners.len() != self.root_signatures.len() {
            let (have, want) = (self.root_signatures.len(), cosigners.len());
            return Err(malformed(format!("{have} root signatures of {want} validators")));
        }
        let of = |(one, signature): (&Cosigner, &Signature)| {
            let key = policy.witnesses().find(|key| key.name == one.name);
            let key_id = key.ok_or_else(|| malformed(format!("{} has no key", one.name)))?.key_id();
            Ok(RootSignature {
                cosigner: one.name.clone(),
                key_id,
                time_s: one.time_s,
                signature: *signature,
            })
        };
        cosigners.iter().zip(&self.root_signatures).map(of).collect()
    }

    fn check_content(&self, facts: &LeafFacts) -> Result<Content, Refusal> {
        let differs =
            |what: &str| Refusal::new(Code::LeafMismatch, format!("{what} is not what the leaf says"));
        if self.record != facts.record {
            return Err(differs("the record id"));
        }
        if self.version != facts.version {
            return Err(differs("the version"));
        }
        if self.decoded != facts.decoded {
            return Err(differs("the decoded leaf"));
        }
        match (&self.body, facts.body_commit) {
            (None, _) => Ok(Content::Leaf),
            (Some(body), Some(commitment)) if body.commitment() == commitment => Ok(Content::LeafAndBody),
            (Some(_), _) => Err(differs("the body")),
        }
    }
}

/// The proof itself: leaf to root, root to quorum.
fn prove(
    leaf: &[u8],
    path: &InclusionPath,
    signed: &SignedCheckpoint,
    policy: &TrustPolicy,
) -> Result<Verified, Refusal> {
    let leaf_hash = leaf_hash(leaf);
    let checkpoint = &signed.checkpoint;
    if path.hashes.len() > PATH_MAX || !verify_inclusion(&leaf_hash, path, &checkpoint.root) {
        let detail = format!("leaf {} does not lead to the root of {} leaves", path.index, checkpoint.size);
        return Err(Refusal::new(Code::ProofInvalid, detail));
    }
    let cosigners = policy.verify(signed)?;
    Ok(Verified {
        leaf_hash,
        index: path.index,
        size: checkpoint.size,
        root: checkpoint.root,
        cosigners,
        content: Content::NotChecked,
    })
}

#[cfg(test)]
mod tests;
