//! The state tree: a jellyfish Merkle tree over everything below key kind 0x80.
//!
//! Version = height. A key's place is SHA-256 of tag and key; the value in the tree is SHA-256 of the state
//! value, so the tree stores 32 bytes where the ledger stores the value itself. Entries of the tree are
//! written and overwritten, never removed.

use jmt::storage::{NodeKey, StaleNodeIndex, TreeReader, TreeUpdateBatch};
use jmt::{JellyfishMerkleTree, KeyHash, RootHash, SimpleHasher};
use sha2::{Digest as _, Sha256};

use crate::crypto::Digest;
use crate::execute::ReadError;
use crate::id::Height;

/// SHA-256 as the tree uses it.
#[derive(Clone, Debug)]
pub struct TreeHasher(Sha256);

impl SimpleHasher for TreeHasher {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// A path from one key to the root, showing its value or its absence.
pub type StateProof = jmt::proof::SparseMerkleProof<TreeHasher>;

/// Where a state key stands in the tree.
pub fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(*Digest::tagged(b"cityledger/state-key/1", &[key]).as_bytes())
}

/// What the tree holds for a state value.
pub fn tree_value(value: &[u8]) -> Digest {
    Digest::tagged(b"cityledger/state-value/1", &[value])
}

fn failed(error: &dyn std::fmt::Display) -> ReadError {
    ReadError(error.to_string())
}

/// Root of the empty tree, as jmt defines it.
pub const EMPTY_ROOT: Digest = Digest::new(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");

/// What state writes put into the tree: everything that is not a derived index.
pub fn entries(writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<(KeyHash, Digest)> {
    writes
        .iter()
        .filter(|(key, _)| super::key::is_in_tree(key))
        .filter_map(|(key, value)| Some((key_hash(key), tree_value(value.as_ref()?))))
        .collect()
}

/// Writes entries as the tree of a height; gives the root and the nodes written and made stale. Without
/// entries the root stays and its node is carried over, so that every height has one.
///
/// # Errors
/// When the ledger cannot give a node.
pub fn update<R: TreeReader>(
    ledger: &R,
    height: Height,
    entries: Vec<(KeyHash, Digest)>,
) -> Result<(Digest, TreeUpdateBatch), ReadError> {
    let tree = JellyfishMerkleTree::<_, TreeHasher>::new(ledger);
    if !entries.is_empty() {
        let values = entries.into_iter().map(|(key, value)| (key, value.as_bytes().to_vec())).collect();
        let (roots, batch) =
            tree.batch_put_value_sets(vec![values], None, height.get()).map_err(|error| failed(&error))?;
        return Ok((roots.first().map_or(EMPTY_ROOT, |root| Digest::new(root.0)), batch));
    }
    let (root, mut batch) =
        tree.put_value_set(std::iter::empty(), height.get()).map_err(|error| failed(&error))?;
    // jmt copies the root node but leaves the old one behind.
    let copied = batch.node_batch.nodes().keys().next().map(|node| node.nibble_path().clone());
    if let (Some(path), Some(before)) = (copied, height.previous()) {
        let node_key = NodeKey::new(before.get(), path);
        batch.stale_node_index_batch.insert(StaleNodeIndex { stale_since_version: height.get(), node_key });
    }
    Ok((Digest::new(root.0), batch))
}

/// The proof about a key at a height whose nodes the ledger still has.
///
/// # Errors
/// When nodes or the value are missing.
pub fn prove<R: TreeReader>(ledger: &R, height: Height, key: &[u8]) -> Result<StateProof, ReadError> {
    JellyfishMerkleTree::<_, TreeHasher>::new(ledger)
        .get_with_proof(key_hash(key), height.get())
        .map(|(_, proof)| proof)
        .map_err(|error| failed(&error))
}

/// Whether a proof shows that the state with this root holds `value` under `key`.
pub fn proves_presence(proof: &StateProof, root: &Digest, key: &[u8], value: &[u8]) -> bool {
    proof.verify_existence(RootHash(*root.as_bytes()), key_hash(key), tree_value(value).as_bytes()).is_ok()
}

/// Whether a proof shows that the state with this root holds nothing under `key`.
pub fn proves_absence(proof: &StateProof, root: &Digest, key: &[u8]) -> bool {
    proof.verify_nonexistence(RootHash(*root.as_bytes()), key_hash(key)).is_ok()
}
