//! RFC 6962 Merkle trees over SHA-256: leaves hash as `SHA-256(0x00 ‖ leaf)`, nodes as
//! `SHA-256(0x01 ‖ left ‖ right)`; the empty tree is `SHA-256("")`. No leaf is ever duplicated.
//!
//! [`Frontier`] appends; [`path`] makes and checks inclusion and consistency proofs from any source of
//! subtree hashes; [`tile`] is the C2SP layout in which a log is stored and served.

pub mod path;
pub mod tile;

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::crypto::Digest;
use crate::proof::InclusionPath;
pub use path::{
    RangeError, Subtrees, consistency_path, inclusion_path, range_hash, root_of, verify_consistency,
    verify_inclusion,
};

/// Hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest::tagged(&[0], &[leaf])
}

/// Hash of an inner node.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::tagged(&[1], &[left.as_bytes(), right.as_bytes()])
}

/// Root of the tree without leaves.
pub fn empty_root() -> Digest {
    Digest::tagged(&[], &[])
}

/// Root over all leaves.
pub fn root<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Digest {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(&leaf_hash(leaf.as_ref()));
    }
    frontier.root()
}

/// The right edge of a growing tree: the roots of its complete subtrees, largest first. Enough to append
/// and to know the root, in O(log n) memory.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of one leaf.
    pub fn push(&mut self, leaf: &Digest) {
        self.push_each(leaf, |_, _, _| {});
    }

    /// Appends the hash of one leaf and reports every subtree that it completes, the leaf itself first:
    /// level, index within the level, hash. A store that keeps them all answers [`Subtrees`] with one read.
    pub fn push_each(&mut self, leaf: &Digest, mut completed: impl FnMut(u8, u64, &Digest)) {
        let (mut carry, mut index, mut level) = (*leaf, self.size, 0);
        completed(level, index, &carry);
        while index & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                carry = node_hash(&left, &carry);
            }
            index >>= 1;
            level += 1;
            completed(level, index, &carry);
        }
        self.peaks.push(carry);
        self.size += 1;
    }

    /// Root of the tree so far.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => empty_root(),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// A whole tree in memory: every complete subtree, level by level. For batches, blocks and tests.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    levels: Vec<Vec<Digest>>,
    frontier: Frontier,
}

impl Tree {
    /// The tree over these leaf hashes.
    pub fn from_hashes(hashes: impl IntoIterator<Item = Digest>) -> Self {
        let mut tree = Self::default();
        for hash in hashes {
            tree.push(&hash);
        }
        tree
    }

    /// The tree over these leaves.
    pub fn from_leaves<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Self {
        Self::from_hashes(leaves.into_iter().map(|leaf| leaf_hash(leaf.as_ref())))
    }

    /// Appends the hash of one leaf.
    pub fn push(&mut self, leaf: &Digest) {
        let levels = &mut self.levels;
        self.frontier.push_each(leaf, |level, _, hash| {
            if levels.len() == usize::from(level) {
                levels.push(Vec::new());
            }
            levels[usize::from(level)].push(*hash);
        });
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root over all leaves.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// Path from a leaf to the root; `None` when there is no such leaf.
    pub fn inclusion(&self, index: u64) -> Option<InclusionPath> {
        inclusion_path(self, index, self.size()).ok()
    }

    /// Consistency proof from the first `old` leaves to the whole; `None` when it has fewer.
    pub fn consistency(&self, old: u64) -> Option<Vec<Digest>> {
        consistency_path(self, old, self.size()).ok()
    }
}

impl Subtrees for Tree {
    type Error = Infallible;

    fn subtree(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a tree in memory has fewer leaves than usize::MAX"
        )]
        Ok(self.levels[usize::from(level)][index as usize])
    }
}

#[cfg(test)]
mod tests;
