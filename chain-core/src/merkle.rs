//! RFC 6962 Merkle trees over SHA-256: leaves hash as `SHA-256(0x00 ‖ leaf)`, nodes as
//! `SHA-256(0x01 ‖ left ‖ right)`; the empty tree is `SHA-256("")`. No leaf is ever duplicated.

use serde::{Deserialize, Serialize};

use crate::crypto::Digest;

/// Hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest::tagged(&[0], &[leaf])
}

/// Hash of an inner node.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::tagged(&[1], &[left.as_bytes(), right.as_bytes()])
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
        let mut carry = *leaf;
        let mut level = self.size;
        while level & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                carry = node_hash(&left, &carry);
            }
            level >>= 1;
        }
        self.peaks.push(carry);
        self.size += 1;
    }

    /// Root of the tree so far.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Digest::tagged(&[], &[]),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// Whether a path leads from a leaf hash to the root (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(leaf: &Digest, path: &crate::proof::InclusionPath, root: &Digest) -> bool {
    if path.index >= path.size {
        return false;
    }
    let (mut at, mut last, mut hash) = (path.index, path.size - 1, *leaf);
    for sibling in &path.hashes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}
