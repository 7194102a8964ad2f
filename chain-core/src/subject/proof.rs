//! Proofs that a list of an organisation's published records leaves nothing out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{IndexEntry, Listing, PREFIX_BITS, SubjectTag};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::id::{ChainId, Epoch, Height, RecordId};
use crate::layout::Layout as _;
use crate::leaf::SealLeaf;
use crate::org::OrgId;
use crate::receipt::{TlogProof, Verified};
use crate::state::key;
use crate::state::tree::{EMPTY_ROOT, TreeLeaf, TreePath, subtree};
use crate::trust::TrustPolicy;
use crate::vrf::VrfProof;

/// Name and version of the form.
pub const SCHEMA: &str = "city/v1/subject-proof";
/// Longest proof, bytes of JSON.
pub const SUBJECT_PROOF_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most records of one proof.
pub const RECORDS_MAX: usize = 65_536;

/// A record of the list.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The record.
    pub record: RecordId,
    /// The salt of its subject commitment, which shows in the log that it is about this organisation; null when the
    /// record has no such commitment.
    pub salt: Option<Digest>,
}

/// All published records of an organisation after a block, as JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectProof {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch whose validators cosigned.
    pub epoch: Epoch,
    /// The block after which the list was this.
    pub height: Height,
    /// The organisation.
    pub subject: OrgId,
    /// Its records that are published and in effect, ascending; all of them.
    pub records: Vec<Listed>,
    /// That the organisation has its tag and no other.
    pub vrf: VrfProof,
    /// From the organisation's subtree to the root of the index. Without records, the leaf is what stands where the
    /// subtree would be.
    pub path: TreePath,
    /// The index as the state has it, canonical bytes in base64.
    pub index: String,
    /// From the index to the root of the state.
    pub index_path: TreePath,
    /// The block's seal leaf with its path and checkpoint, a C2SP tlog-proof.
    pub seal: String,
}

/// What a proof showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Complete {
    /// The block after which it holds.
    pub height: Height,
    /// The index.
    pub index: IndexEntry,
    /// Who vouches for the root.
    pub vouched: Verified,
}

/// What a proof is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The organisation.
    pub subject: OrgId,
    /// Its records, in any order.
    pub records: Vec<Listed>,
    /// That it has its tag.
    pub vrf: VrfProof,
    /// The path of one of its records, or of [`SubjectTag::first_place`] when it has none.
    pub path: TreePath,
    /// The index.
    pub index: IndexEntry,
    /// From the index to the root of the state.
    pub index_path: TreePath,
    /// The seal of the block.
    pub seal: TlogProof,
}

fn malformed(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::ReceiptMalformed, detail.to_string())
}

fn invalid(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::ProofInvalid, detail.to_string())
}

impl SubjectProof {
    /// Builds a proof and verifies it as its reader will. `policy` must name the validators of an epoch.
    ///
    /// # Errors
    /// As [`Self::verify`]; `TRUST_MISSING` when the policy has no chain id or epoch.
    pub fn new(parts: Parts, policy: &TrustPolicy) -> Result<Self, Refusal> {
        let (Some(chain_id), Some(epoch)) = (policy.chain_id(), policy.epoch()) else {
            return Err(Refusal::new(Code::TrustMissing, "the policy names no chain or no epoch"));
        };
        let Parts { subject, mut records, vrf, mut path, index, index_path, seal } = parts;
        records.sort_unstable();
        if !records.is_empty() {
            path.leaf = None;
        }
        if records.len() > 1 {
            // Below the subtree's own root, the path of one record goes through the others.
            path.siblings.drain(..path.siblings.len().saturating_sub(PREFIX_BITS));
        }
        let proof = Self {
            schema: SCHEMA.to_owned(),
            chain_id,
            epoch,
            height: SealLeaf::of_proof(&seal)?.height,
            subject,
            records,
            vrf,
            path,
            index: STANDARD.encode(index.to_canonical()),
            index_path,
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
        if json.len() > SUBJECT_PROOF_BYTES_MAX {
            return Err(malformed(format!("{} bytes, at most {SUBJECT_PROOF_BYTES_MAX}", json.len())));
        }
        let proof: Self = serde_json::from_str(json).map_err(malformed)?;
        proof.check_form()?;
        Ok(proof)
    }

    /// The proof as one line of JSON.
    pub fn to_json(&self) -> String {
        #[expect(clippy::expect_used, reason = "every field of the form has a JSON form")]
        serde_json::to_string(self).expect("a subject proof is JSON")
    }

    fn check_form(&self) -> Result<(), Refusal> {
        if self.schema != SCHEMA {
            return Err(malformed(format!("schema {:?}, wanted {SCHEMA:?}", self.schema)));
        }
        if self.records.len() > RECORDS_MAX {
            return Err(malformed(format!("{} records, at most {RECORDS_MAX}", self.records.len())));
        }
        if self.records.windows(2).any(|pair| pair[0].record >= pair[1].record) {
            return Err(malformed("the records are not in order, each once"));
        }
        Ok(())
    }

    /// Verifies that the list is complete, against whom the reader trusts.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED`, `TRUST_MISSING` (the policy is for another epoch), `PROOF_INVALID` (another tag, a record
    /// too few or too many, another root), `UNKNOWN_SIGNER`, `QUORUM_NOT_MET`, `LEAF_MISMATCH` (another height).
    pub fn verify(&self, policy: &TrustPolicy) -> Result<Complete, Refusal> {
        self.check_form()?;
        policy.check_chain(&self.chain_id, self.epoch)?;
        let seal = TlogProof::parse(&self.seal)?;
        let vouched = seal.verify(None, policy)?;
        let seal = SealLeaf::of_proof(&seal)?;
        if seal.height != self.height {
            let detail =
                format!("the proof says block {}, its seal is of block {}", self.height, seal.height);
            return Err(Refusal::new(Code::LeafMismatch, detail));
        }
        let value = STANDARD.decode(&self.index).map_err(|_| malformed("the index is no base64"))?;
        if !self.index_path.shows(&seal.state_root, &key::index(), &value) {
            return Err(invalid("the index does not lead to the root of the state"));
        }
        let index = IndexEntry::from_canonical(&value).map_err(malformed)?;
        let tag = SubjectTag::proved(&self.vrf, &index.key, self.chain_id, &self.subject)
            .ok_or_else(|| invalid(format!("the tag is not shown to be that of {}", self.subject)))?;
        if self.root_of(tag)? != index.root {
            let detail = format!(
                "{} records are not all that {} has: they do not lead to the root of the index",
                self.records.len(),
                self.subject
            );
            return Err(invalid(detail));
        }
        Ok(Complete { height: self.height, index, vouched })
    }

    /// The root of an index in which the organisation has exactly these records.
    fn root_of(&self, tag: SubjectTag) -> Result<Digest, Refusal> {
        let depth = self.path.siblings.len();
        let mut leaves: Vec<TreeLeaf> =
            self.records.iter().map(|one| Listing::new(tag, one.salt).leaf(&one.record)).collect();
        leaves.sort_unstable_by_key(|leaf| leaf.place);
        let place = tag.first_place();
        let node = match (&leaves[..], &self.path.leaf) {
            _ if depth > PREFIX_BITS => {
                return Err(invalid("the path begins inside the organisation's subtree"));
            }
            ([], None) => EMPTY_ROOT,
            ([], Some(other)) if other.agrees(&place, depth) && !other.agrees(&place, PREFIX_BITS) => {
                other.hash()
            }
            ([_], None) => subtree(&leaves, depth),
            ([_, _, ..], None) if depth == PREFIX_BITS => subtree(&leaves, depth),
            _ => return Err(invalid("the path does not begin where the organisation's records do")),
        };
        self.path.root_from(node, &place).ok_or_else(|| invalid("the path is too long"))
    }
}
