//! A path in the state tree: from one place up to the root, showing what stands there or that nothing does.
//!
//! The tree is the binary sparse Merkle tree that jmt stores: a place has 256 bits, the first one nearest to the
//! root; a subtree with one entry is that entry's leaf, and one with none is a constant. So a path ends at a leaf with
//! the place asked for, at a leaf with another place that has the whole subtree to itself, or at an empty subtree.
//!
//! | node | hash |
//! |---|---|
//! | empty | the 32 bytes `SPARSE_MERKLE_PLACEHOLDER_HASH__` |
//! | leaf | SHA-256(`JMT::LeafNode`, place, SHA-256([`tree_value`] of the entry)) |
//! | inner | SHA-256(`JMT::IntrnalNode`, left, right) |

use borsh::BorshDeserialize;
use jmt::proof::SparseMerkleProof;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{EMPTY_ROOT, TreeHasher, key_hash, tree_value};
use crate::crypto::Digest;

/// Most hashes of a path: one for each bit of a place.
pub const SIBLINGS_MAX: usize = 256;

/// A leaf of the tree.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TreeLeaf {
    /// Its place: [`key_hash`] of the state key.
    pub place: Digest,
    /// SHA-256 of [`tree_value`] of the entry.
    pub value: Digest,
}

/// A path from a place to the root.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TreePath {
    /// Where the path ends: the only leaf there, or none.
    pub leaf: Option<TreeLeaf>,
    /// The hash beside each node on the way up, the lowest first; at most [`SIBLINGS_MAX`].
    pub siblings: Vec<Digest>,
}

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Digest::new(hasher.finalize().into())
}

fn bit(place: &Digest, at: usize) -> bool {
    place.as_bytes()[at / 8] >> (7 - at % 8) & 1 == 1
}

impl TreeLeaf {
    /// The leaf of a state entry.
    pub fn of(key: &[u8], value: &[u8]) -> Self {
        Self::at(Digest::new(key_hash(key).0), &tree_value(value))
    }

    /// The leaf at a place, of what the tree was given there.
    pub fn at(place: Digest, value: &Digest) -> Self {
        Self { place, value: sha256(&[value.as_bytes()]) }
    }

    /// Its hash.
    pub fn hash(&self) -> Digest {
        sha256(&[b"JMT::LeafNode", self.place.as_bytes(), self.value.as_bytes()])
    }
}

fn inner(left: &Digest, right: &Digest) -> Digest {
    sha256(&[b"JMT::IntrnalNode", left.as_bytes(), right.as_bytes()])
}

/// The hash of the subtree at a depth that has these leaves and no other, ascending and each once; their places agree in
/// as many first bits as the depth says.
pub fn subtree(leaves: &[TreeLeaf], depth: usize) -> Digest {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => leaf.hash(),
        _ if depth >= SIBLINGS_MAX => EMPTY_ROOT,
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|leaf| !bit(&leaf.place, depth)));
            inner(&subtree(left, depth + 1), &subtree(right, depth + 1))
        }
    }
}

impl TreePath {
    /// The root that the path leads to from the place of a state key; none when it is longer than a place has bits.
    pub fn root(&self, key: &[u8]) -> Option<Digest> {
        let start = self.leaf.as_ref().map_or(EMPTY_ROOT, TreeLeaf::hash);
        self.root_from(start, &Digest::new(key_hash(key).0))
    }

    /// The root that the siblings lead to from a node above a place.
    pub fn root_from(&self, node: Digest, place: &Digest) -> Option<Digest> {
        if self.siblings.len() > SIBLINGS_MAX {
            return None;
        }
        let depths = (0..self.siblings.len()).rev();
        Some(self.siblings.iter().zip(depths).fold(node, |hash, (sibling, depth)| {
            if bit(place, depth) { inner(sibling, &hash) } else { inner(&hash, sibling) }
        }))
    }

    /// Whether the path shows that a state with this root holds `value` under `key`.
    pub fn shows(&self, root: &Digest, key: &[u8], value: &[u8]) -> bool {
        self.leaf == Some(TreeLeaf::of(key, value)) && self.root(key) == Some(*root)
    }

    /// Whether the path shows that a state with this root holds nothing under `key`.
    pub fn shows_absence(&self, root: &Digest, key: &[u8]) -> bool {
        let place = Digest::new(key_hash(key).0);
        self.siblings.len() <= SIBLINGS_MAX
            // The leaf must have to itself the subtree in which the entry would stand.
            && self.leaf.is_none_or(|leaf| leaf.place != place && leaf.agrees(&place, self.siblings.len()))
            && self.root(key) == Some(*root)
    }
}

impl TreeLeaf {
    /// Whether its place begins with the same bits as another.
    pub fn agrees(&self, place: &Digest, bits: usize) -> bool {
        (0..bits.min(SIBLINGS_MAX)).all(|at| bit(&self.place, at) == bit(place, at))
    }
}

/// What jmt's own form of a proof is made of, as its encoding has it.
#[derive(BorshDeserialize)]
struct Proof {
    leaf: Option<[[u8; 32]; 2]>,
    siblings: Vec<Sibling>,
}

#[derive(BorshDeserialize)]
enum Sibling {
    Empty,
    Inner([[u8; 32]; 2]),
    Leaf([[u8; 32]; 2]),
}

/// The path of a proof. jmt keeps the parts of its type to itself and shows them in its encoding only.
pub(super) fn of_proof(proof: &SparseMerkleProof<TreeHasher>) -> std::io::Result<TreePath> {
    let proof = Proof::try_from_slice(&borsh::to_vec(proof)?)?;
    let leaf =
        |[place, value]: [[u8; 32]; 2]| TreeLeaf { place: Digest::new(place), value: Digest::new(value) };
    let siblings = proof.siblings.into_iter().map(|sibling| match sibling {
        Sibling::Empty => EMPTY_ROOT,
        Sibling::Inner([left, right]) => inner(&Digest::new(left), &Digest::new(right)),
        Sibling::Leaf(parts) => leaf(parts).hash(),
    });
    Ok(TreePath { leaf: proof.leaf.map(leaf), siblings: siblings.collect() })
}
