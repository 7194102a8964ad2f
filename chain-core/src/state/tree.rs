//! The state tree: a jellyfish Merkle tree over everything below key kind 0x80.
//!
//! Version = height. A key's place is SHA-256 of tag and key; the value in the tree is SHA-256 of the state
//! value, so the tree stores 32 bytes where the ledger stores the value itself. The tree holds exactly what the
//! state holds: an entry that is removed there is removed here, and the root depends on the entries alone, not on
//! the way they came about.

mod path;

use jmt::storage::{LeafNode, Node, NodeKey, StaleNodeIndex, TreeReader, TreeUpdateBatch};
use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, SimpleHasher, Version};
use sha2::{Digest as _, Sha256};

use crate::crypto::Digest;
use crate::execute::ReadError;
use crate::id::Height;
pub use path::{SIBLINGS_MAX, TreeLeaf, TreePath, subtree};

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

/// One change of the tree: a place and its new value, or none where the entry goes.
pub type TreeWrite = (KeyHash, Option<Digest>);

/// What state writes change in the tree: everything that is not a derived index.
pub fn entries(writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<TreeWrite> {
    writes
        .iter()
        .filter(|(key, _)| super::key::is_in_tree(key))
        .map(|(key, value)| (key_hash(key), value.as_deref().map(tree_value)))
        .collect()
}

/// Changes the tree of the height before into the tree of a height; gives the root and the nodes written and made
/// stale. Without a change the root stays and its node is carried over, so that every height has one.
///
/// # Errors
/// When the ledger cannot give a node.
pub fn update<R: TreeReader>(
    ledger: &R,
    height: Height,
    entries: Vec<TreeWrite>,
) -> Result<(Digest, TreeUpdateBatch), ReadError> {
    let one_by_one = entries.is_empty();
    let (root, mut batch) = write(ledger, height.get(), entries, one_by_one)?;
    if let Some(before) = height.previous()
        && batch.stale_node_index_batch.is_empty()
    {
        // jmt copies the root node where nothing changed, but leaves the old one behind.
        let node_key = root_key(before);
        batch.stale_node_index_batch.insert(StaleNodeIndex { stale_since_version: height.get(), node_key });
    }
    Ok((root, batch))
}

/// Where the root node of the tree of a height stands.
pub fn root_key(height: Height) -> NodeKey {
    NodeKey::new(height.get(), std::iter::empty().collect())
}

/// The versions of the index of subjects begin here; no height comes this far.
const INDEX_VERSIONS: u64 = 1 << 63;

/// The root node of the index of subjects after so many changes; none before the first.
pub fn index_root(changes: u64) -> Option<NodeKey> {
    let last = changes.checked_sub(1)?;
    Some(NodeKey::new(INDEX_VERSIONS.saturating_add(last), std::iter::empty().collect()))
}

/// Changes the index of subjects once more, after `changes` changes; its nodes stand among those of the state tree.
/// Without entries the root is carried over to the next version.
///
/// # Errors
/// When the ledger cannot give a node.
pub fn update_index<R: TreeReader>(
    ledger: &R,
    changes: u64,
    entries: Vec<TreeWrite>,
) -> Result<(Digest, TreeUpdateBatch), ReadError> {
    let one_by_one = changes == 0 || entries.is_empty();
    write(ledger, INDEX_VERSIONS.saturating_add(changes), entries, one_by_one)
}

fn write<R: TreeReader>(
    ledger: &R,
    version: u64,
    entries: Vec<TreeWrite>,
    one_by_one: bool,
) -> Result<(Digest, TreeUpdateBatch), ReadError> {
    let tree = JellyfishMerkleTree::<_, TreeHasher>::new(ledger);
    let value = |digest: Digest| digest.as_bytes().to_vec();
    if one_by_one || entries.iter().any(|(_, value)| value.is_none()) {
        // Each with all the nodes above it: the only way that knows removals, and trees without a version before.
        let entries = entries.into_iter().map(|(key, digest)| (key, digest.map(value)));
        let (root, batch) = tree.put_value_set(entries, version).map_err(|error| failed(&error))?;
        return Ok((Digest::new(root.0), batch));
    }
    let values = entries.into_iter().filter_map(|(key, digest)| Some((key, value(digest?)))).collect();
    let (roots, batch) =
        tree.batch_put_value_sets(vec![values], None, version).map_err(|error| failed(&error))?;
    let root = roots.into_iter().next().ok_or_else(|| ReadError("the tree gave no root".to_owned()))?;
    Ok((Digest::new(root.0), batch))
}

/// The path of a key in the tree of a height whose nodes the ledger still has.
///
/// # Errors
/// When nodes are missing.
pub fn prove<R: TreeReader>(ledger: &R, height: Height, key: &[u8]) -> Result<TreePath, ReadError> {
    path_to(ledger, height.get(), key_hash(key))
}

/// The path of a place in the index of subjects after so many changes.
///
/// # Errors
/// When nodes are missing.
pub fn prove_index<R: TreeReader>(ledger: &R, changes: u64, place: &Digest) -> Result<TreePath, ReadError> {
    match index_root(changes) {
        None => Ok(TreePath { leaf: None, siblings: Vec::new() }),
        Some(root) => path_to(ledger, root.version(), KeyHash(*place.as_bytes())),
    }
}

fn path_to<R: TreeReader>(ledger: &R, version: u64, place: KeyHash) -> Result<TreePath, ReadError> {
    JellyfishMerkleTree::<_, TreeHasher>::new(&Nodes(ledger))
        .get_with_proof(place, version)
        .and_then(|(_, proof)| Ok(path::of_proof(&proof)?))
        .map_err(|error| failed(&error))
}

/// A tree's nodes alone. jmt wants to give the value beside the proof; the ledger keeps it under its own key.
struct Nodes<'a, R>(&'a R);

impl<R: TreeReader> TreeReader for Nodes<'_, R> {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        self.0.get_node_option(node_key)
    }

    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(Some(OwnedValue::new()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}
