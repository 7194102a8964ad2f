//! Proofs of how things stood.

use chain_core::checkpoint::SignedCheckpoint;
use chain_core::code::{Code, Refusal};
use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout;
use chain_core::leaf::{Leaf, SealLeaf};
use chain_core::org::OrgId;
use chain_core::receipt::TlogProof;
use chain_core::state::tree::{self, TreeLeaf};
use chain_core::state::{EntryName, key};
use chain_core::state_proof::StateProof;
use chain_core::subject::proof::{Listed, Parts, RECORDS_MAX, SubjectProof};
use chain_core::subject::{IndexEntry, Listing};

use super::{Local, corrupt, read, refuse};
use crate::storage::ledger::Snapshot;

/// A state that can be proved: its version in the trees, and the seal of the block that made it.
struct Sealed {
    version: Height,
    seal: TlogProof,
}

impl Local {
    /// What stood under a name after the newest sealed block up to a height.
    pub(super) fn proved_state(&self, entry: EntryName, at: Option<Height>) -> Result<StateProof, Refusal> {
        let snapshot = self.snapshot()?;
        let Sealed { version, seal } = self.sealed(&snapshot, at)?;
        let key = entry.key();
        let path = tree::prove(&snapshot, version, &key).map_err(read)?;
        let place = TreeLeaf::of(&key, &[]).place;
        let value = match path.leaf.is_some_and(|leaf| leaf.place == place) {
            true => snapshot.state_at(&key, version).map_err(refuse)?,
            false => None,
        };
        StateProof::new(entry, value.as_deref(), path, &seal, &self.policy_of(&snapshot, &seal.checkpoint)?)
    }

    /// All that was published about an organisation after the newest sealed block up to a height.
    pub(super) fn proved_subject(&self, subject: OrgId, at: Option<Height>) -> Result<SubjectProof, Refusal> {
        let Some(index_key) = &self.core.subjects else {
            return Err(Refusal::new(Code::NoSubjectIndex, format!("asked about {subject}")));
        };
        let snapshot = self.snapshot()?;
        let Sealed { version, seal } = self.sealed(&snapshot, at)?;
        let index: IndexEntry = stood(&snapshot, &key::index(), version)?
            .ok_or_else(|| corrupt("ledger", "its state has no index of subjects"))?;
        let tag = index_key.tag(&subject);
        let prefix = key::all_listed_under(&tag);
        let names = snapshot.keys_ever(&prefix, prefix.len() + 32, RECORDS_MAX + 1).map_err(refuse)?;
        if names.len() > RECORDS_MAX {
            let detail = format!("over {RECORDS_MAX} records about {subject}");
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        let mut records = Vec::new();
        let mut path = None;
        for name in names {
            let record = RecordId::from_canonical(&name[prefix.len()..])
                .map_err(|error| corrupt("listed record", error))?;
            let Some(listed) = stood::<u32>(&snapshot, &name, version)? else { continue };
            let Some(listing) = stood::<Listing>(&snapshot, &key::listing(&record, listed), version)? else {
                continue;
            };
            // What appeared later is not in the index of that time.
            let place = listing.place(&record);
            let found = tree::prove_index(&snapshot, index.changes, &place).map_err(read)?;
            if found.leaf == Some(listing.leaf(&record)) {
                records.push(Listed { record, salt: listing.salt() });
                path = Some(found);
            }
        }
        let path = match path {
            Some(path) => path,
            None => tree::prove_index(&snapshot, index.changes, &tag.first_place()).map_err(read)?,
        };
        let policy = self.policy_of(&snapshot, &seal.checkpoint)?;
        let parts = Parts {
            vrf: index_key.prove(&subject),
            subject,
            records,
            path,
            index,
            index_path: tree::prove(&snapshot, version, &key::index()).map_err(read)?,
            seal,
        };
        SubjectProof::new(parts, &policy).map_err(|refusal| match refusal.code {
            // The only reason for a list of another time to be short.
            Code::ProofInvalid if version < snapshot.height() => {
                let detail = format!("the list after block {version}: a record on it was erased since");
                // Without a wish for that block the next checkpoint answers.
                let code = if at.is_some() { Code::StatePruned } else { Code::ReceiptPending };
                Refusal::new(code, detail)
            }
            _ => refusal,
        })
    }

    /// The newest state up to a height whose block is sealed under a checkpoint.
    fn sealed(&self, snapshot: &Snapshot<'_>, at: Option<Height>) -> Result<Sealed, Refusal> {
        let asked = at.unwrap_or(snapshot.height());
        if asked > snapshot.height() {
            let detail = format!("block {asked}; the newest executed here is {}", snapshot.height());
            return Err(Refusal::new(Code::NotYetExecuted, detail));
        }
        let Some(published) = self.core.checkpoints.newest() else {
            return Err(Refusal::new(Code::ReceiptPending, "no checkpoint has a quorum of cosignatures yet"));
        };
        let signed = &published.signed;
        let summary = snapshot.summary(asked).map_err(refuse)?;
        let summary = summary.ok_or_else(|| corrupt("ledger", format!("block {asked} has no summary")))?;
        let index = summary.log_size.min(signed.checkpoint.size).saturating_sub(1);
        let (seal, leaf) = sealed_by(snapshot, index, signed)?;
        // Later blocks without records may have carried the same state on, in a version that is kept longer.
        let version =
            match summary.state_root == leaf.state_root && summary.log_size <= signed.checkpoint.size {
                true => asked,
                false => leaf.height,
            };
        let oldest = snapshot.oldest_state().map_err(refuse)?;
        if version < oldest {
            let detail =
                format!("the state after block {version}; the oldest kept here is after block {oldest}");
            return Err(Refusal::new(Code::StatePruned, detail));
        }
        Ok(Sealed { version, seal })
    }
}

/// What stood under a state key after a height, if anything did then or later.
fn stood<T: Layout>(snapshot: &Snapshot<'_>, key: &[u8], height: Height) -> Result<Option<T>, Refusal> {
    let value = snapshot.state_at(key, height).map_err(refuse)?;
    let value = value.map(|value| T::from_canonical(&value)).transpose();
    value.map_err(|error| corrupt("state value", error))
}

/// The seal that ends the leaves of a block, with its path under a checkpoint.
fn sealed_by(
    snapshot: &Snapshot<'_>,
    index: u64,
    signed: &SignedCheckpoint,
) -> Result<(TlogProof, SealLeaf), Refusal> {
    let bytes = snapshot.leaf(index).map_err(refuse)?;
    let bytes = bytes.ok_or_else(|| corrupt("record log", format!("leaf {index} is missing")))?;
    let seal = match Leaf::decode(&bytes).map_err(|error| corrupt("leaf", error))? {
        Leaf::Seal(seal) => seal,
        Leaf::Genesis(_) => {
            let detail = "no block with records up to there; the genesis says how things stood";
            return Err(Refusal::new(Code::NotFound, detail));
        }
        _ => return Err(corrupt("record log", format!("leaf {index} ends its block and is no seal"))),
    };
    let hashes = snapshot.inclusion(index, signed.checkpoint.size).map_err(refuse)?.hashes;
    Ok((TlogProof { extra: Some(bytes), index, hashes, checkpoint: signed.clone() }, seal))
}
