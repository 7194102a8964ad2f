//! Proofs of finality and receipts.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use chain_core::checkpoint::SignedCheckpoint;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::{Height, RecordId, TxId};
use chain_core::lane::{BatchHeader, BatchRef};
use chain_core::leaf::Leaf;
use chain_core::merkle::{Subtrees, inclusion_path, leaf_hash, node_hash};
use chain_core::proof::{DESCENDANTS_MAX, FinalityProof, InclusionPath};
use chain_core::receipt::{LeafFacts, Receipt};
use chain_core::transaction::Batch;
use chain_core::trust::TrustPolicy;

use super::{Local, corrupt, refuse};
use crate::handle::ReceiptForm;
use crate::storage::ledger::{Place, Snapshot};

/// Batches whose trees are kept.
const TREES_MAX: usize = 256;
/// Epochs back in which the newest checkpoint may have been cosigned.
const EPOCHS_MAX: usize = 8;
/// Most leaves of a record looked through for a version.
const LEAVES_MAX: usize = 4_096;

/// The tree over a batch's transaction ids, for many proofs in a row.
#[derive(Debug)]
pub(super) struct BatchTree {
    header: BatchHeader,
    pub(super) ids: Vec<TxId>,
    levels: Levels,
}

/// Every complete subtree of a small tree.
#[derive(Debug)]
struct Levels(Vec<Vec<Digest>>);

impl Levels {
    fn new(leaves: impl Iterator<Item = Digest>) -> Self {
        let mut levels = vec![leaves.collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            levels.push(below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect());
        }
        Self(levels)
    }

    fn path(&self, index: u64) -> Option<InclusionPath> {
        inclusion_path(self, index, self.0[0].len() as u64).ok()
    }
}

impl Subtrees for Levels {
    type Error = Infallible;

    fn subtree(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
        #[expect(clippy::cast_possible_truncation, reason = "a batch has at most 2,048 transactions")]
        let hash = self.0[usize::from(level)][index as usize];
        Ok(hash)
    }
}

/// Trees of recent batches.
#[derive(Debug, Default)]
pub(super) struct Trees(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    trees: BTreeMap<BatchRef, Arc<BatchTree>>,
    order: VecDeque<BatchRef>,
}

impl Local {
    /// The tree of a batch that this node holds.
    pub(super) fn tree(&self, name: &BatchRef) -> Result<Arc<BatchTree>, Refusal> {
        let Trees(kept) = &self.trees;
        if let Some(tree) = kept.lock().unwrap_or_else(PoisonError::into_inner).trees.get(name) {
            return Ok(tree.clone());
        }
        let (header, ids) = match self.core.batches.get(name) {
            Some(batch) => (batch.batch.signed.header.clone(), batch.ids.clone()),
            None => {
                let batch = self.stored(name)?;
                let ids = batch.submissions.iter().map(|one| one.signed.transaction.id()).collect();
                (batch.signed.header, ids)
            }
        };
        let levels = Levels::new(ids.iter().map(|id: &TxId| leaf_hash(id.digest().as_bytes())));
        let tree = Arc::new(BatchTree { header, ids, levels });
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.trees.insert(*name, tree.clone()).is_none() {
            kept.order.push_back(*name);
        }
        while kept.order.len() > TREES_MAX {
            if let Some(oldest) = kept.order.pop_front() {
                kept.trees.remove(&oldest);
            }
        }
        Ok(tree)
    }

    /// A batch that this node must hold.
    pub(super) fn stored(&self, name: &BatchRef) -> Result<Batch, Refusal> {
        let found = self.core.consensus.batch(name).map_err(refuse)?;
        found.ok_or_else(|| corrupt("batch", format!("{name:?} is ordered, not stored")))
    }

    /// That a quorum ordered the transaction at a place; `names` are the batches of its block. None where the block is not
    /// kept.
    pub(super) fn finality(
        &self,
        place: Place,
        names: &[BatchRef],
    ) -> Result<Option<FinalityProof>, Refusal> {
        let store = &self.core.consensus;
        if place.height < store.first().map_err(refuse)? {
            return Ok(None);
        }
        let Some((last, certified)) = store.certified_from(place.height).map_err(refuse)? else {
            return Ok(None);
        };
        let count = usize::try_from(last.since(place.height) + 1).unwrap_or(usize::MAX);
        let length = count.saturating_add(certified.suffixes.len());
        let Some(name) = names.get(place.batch as usize).filter(|_| length <= DESCENDANTS_MAX) else {
            return Ok(None);
        };
        let tree = self.tree(name)?;
        let blocks = store.final_blocks(place.height, count).map_err(refuse)?;
        let of_block = Levels::new(names.iter().map(|name| leaf_hash(name.digest.as_bytes())));
        let (Some(in_batch), Some(in_block)) =
            (tree.levels.path(u64::from(place.position)), of_block.path(u64::from(place.batch)))
        else {
            return Ok(None);
        };
        Ok(Some(FinalityProof {
            batch: tree.header.clone(),
            in_batch,
            in_block,
            headers: blocks.into_iter().map(|block| block.header).chain(certified.suffixes).collect(),
            certificate: certified.certificate,
        }))
    }

    /// The receipt of a record's newest leaf, or of the leaf that filed a version.
    pub(super) fn receipt_of(
        &self,
        record: &RecordId,
        version: Option<u32>,
        form: ReceiptForm,
    ) -> Result<Vec<u8>, Refusal> {
        let snapshot = self.snapshot()?;
        let (index, bytes, leaf) = self.leaf_for(&snapshot, record, version)?;
        let pending = |size: u64| {
            let detail =
                format!("leaf {index} is not under a cosigned checkpoint yet; the newest covers {size}");
            Refusal::new(Code::ReceiptPending, detail)
        };
        let published = self.core.checkpoints.newest().ok_or_else(|| pending(0))?;
        let signed = &published.signed;
        let size = signed.checkpoint.size;
        if size <= index {
            return Err(pending(size));
        }
        let facts = LeafFacts {
            record: *record,
            version: leaf.version().unwrap_or(0),
            decoded: leaf.to_json(),
            body_commit: leaf.header().and_then(|header| header.body_commit),
        };
        let body = self.receipt_body(&snapshot, record, facts.version, &leaf)?;
        let path = snapshot.inclusion(index, size).map_err(refuse)?;
        let policy = self.policy_of(&snapshot, signed)?;
        let receipt = Receipt::new(&bytes, facts, body, path, &published, &policy)?;
        match form {
            ReceiptForm::Bundle => Ok(receipt.to_json().into_bytes()),
            ReceiptForm::TlogProof => Ok(receipt.tlog_proof()?.to_text().into_bytes()),
            ReceiptForm::Cose => receipt.cose(&policy)?.to_bytes(),
        }
    }

    /// The validators that cosigned a checkpoint: mostly those of this epoch, else those of one not long ago.
    pub(super) fn policy_of(
        &self,
        snapshot: &Snapshot<'_>,
        signed: &SignedCheckpoint,
    ) -> Result<TrustPolicy, Refusal> {
        let mut epoch = Some(self.core.committee().epoch());
        let mut newest = None;
        for _ in 0..EPOCHS_MAX {
            let Some(at) = epoch else { break };
            if let Some(set) = snapshot.validator_set(at).map_err(refuse)? {
                let policy = TrustPolicy::from_committee(&self.network, self.core.chain_id(), &set);
                if policy.verify(signed).is_ok() {
                    return Ok(policy);
                }
                newest.get_or_insert(policy);
            }
            epoch = at.previous();
        }
        newest.ok_or_else(|| corrupt("ledger", "it holds no validator set"))
    }

    fn leaf_for(
        &self,
        snapshot: &Snapshot<'_>,
        record: &RecordId,
        version: Option<u32>,
    ) -> Result<(u64, Vec<u8>, Leaf), Refusal> {
        let leaves = snapshot.record_leaves(record, 0, LEAVES_MAX).map_err(refuse)?;
        for index in leaves.into_iter().rev() {
            let bytes = snapshot.leaf(index).map_err(refuse)?;
            let bytes = bytes.ok_or_else(|| corrupt("record log", format!("leaf {index} is missing")))?;
            let leaf = Leaf::decode(&bytes).map_err(|error| corrupt("leaf", error))?;
            let filed = leaf.header().map(|header| header.version);
            if version.is_none_or(|wanted| filed == Some(wanted)) {
                return Ok((index, bytes, leaf));
            }
        }
        Err(super::records::not_found(record))
    }

    /// Height of the block with a digest.
    pub(super) fn height_of_block(&self, digest: &Digest) -> Result<Height, Refusal> {
        let snapshot = self.snapshot()?;
        let height = snapshot.height_of(digest).map_err(refuse)?;
        let found = match height {
            Some(height) => self.core.consensus.final_digest(height).map_err(refuse)? == Some(*digest),
            None => false,
        };
        height.filter(|_| found).ok_or_else(|| Refusal::new(Code::NotFound, format!("block {digest}")))
    }
}
