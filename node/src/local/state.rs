//! Proofs of how things stood.

use chain_core::code::{Code, Refusal};
use chain_core::id::Height;
use chain_core::leaf::{Leaf, SealLeaf};
use chain_core::receipt::TlogProof;
use chain_core::state::EntryName;
use chain_core::state::tree::{self, TreeLeaf};
use chain_core::state_proof::StateProof;

use super::{Local, corrupt, read, refuse};
use crate::storage::ledger::Snapshot;

impl Local {
    /// What stood under a name after the newest sealed block up to a height.
    pub(super) fn proved_state(&self, entry: EntryName, at: Option<Height>) -> Result<StateProof, Refusal> {
        let snapshot = self.snapshot()?;
        let asked = at.unwrap_or(snapshot.height());
        if asked > snapshot.height() {
            let detail = format!("block {asked}; the newest executed here is {}", snapshot.height());
            return Err(Refusal::new(Code::NotYetExecuted, detail));
        }
        let Some(signed) = self.core.checkpoints.newest() else {
            return Err(Refusal::new(Code::ReceiptPending, "no checkpoint has a quorum of cosignatures yet"));
        };
        let summary = snapshot.summary(asked).map_err(refuse)?;
        let summary = summary.ok_or_else(|| corrupt("ledger", format!("block {asked} has no summary")))?;
        let covered = signed.checkpoint.size;
        let index = summary.log_size.min(covered).saturating_sub(1);
        let (bytes, seal) = seal_at(&snapshot, index)?;
        // Later blocks without records may have carried the same state on, in a version that is kept longer.
        let version = match summary.state_root == seal.state_root && summary.log_size <= covered {
            true => asked,
            false => seal.height,
        };
        let oldest = snapshot.oldest_state().map_err(refuse)?;
        if version < oldest {
            let detail =
                format!("the state after block {version}; the oldest kept here is after block {oldest}");
            return Err(Refusal::new(Code::StatePruned, detail));
        }
        let key = entry.key();
        let path = tree::prove(&snapshot, version, &key).map_err(read)?;
        let place = TreeLeaf::of(&key, &[]).place;
        let value = match path.leaf.is_some_and(|leaf| leaf.place == place) {
            true => snapshot.state_at(&key, version).map_err(refuse)?,
            false => None,
        };
        let seal = TlogProof {
            extra: Some(bytes),
            index,
            hashes: snapshot.inclusion(index, covered).map_err(refuse)?.hashes,
            checkpoint: (*signed).clone(),
        };
        StateProof::new(entry, value.as_deref(), path, &seal, &self.policy_of(&snapshot, &seal.checkpoint)?)
    }
}

/// The seal that ends the leaves of a block.
fn seal_at(snapshot: &Snapshot<'_>, index: u64) -> Result<(Vec<u8>, SealLeaf), Refusal> {
    let bytes = snapshot.leaf(index).map_err(refuse)?;
    let bytes = bytes.ok_or_else(|| corrupt("record log", format!("leaf {index} is missing")))?;
    match Leaf::decode(&bytes).map_err(|error| corrupt("leaf", error))? {
        Leaf::Seal(seal) => Ok((bytes, seal)),
        Leaf::Genesis(_) => Err(Refusal::new(
            Code::NotFound,
            "no block with records up to there; the genesis says how things stood",
        )),
        _ => Err(corrupt("record log", format!("leaf {index} ends its block and is no seal"))),
    }
}
