//! Inclusion and consistency proofs (RFC 9162 sections 2.1.3 and 2.1.4, the trees of RFC 6962).

use super::{empty_root, node_hash};
use crate::crypto::Digest;
use crate::proof::InclusionPath;

/// Longest path of any tree: one hash per bit of its size.
pub const PATH_MAX: usize = 64;

/// A source of subtree hashes: memory, or a node's stored tiles.
pub trait Subtrees {
    /// Why the source cannot answer.
    type Error;

    /// Hash over the 2^level leaves from index·2^level on. Asked only for subtrees whose every leaf lies
    /// below the tree size that the caller named.
    ///
    /// # Errors
    /// When the hash cannot be read.
    fn subtree(&self, level: u8, index: u64) -> Result<Digest, Self::Error>;
}

/// Why a path cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RangeError<E> {
    /// The leaf or the smaller tree is not inside the tree.
    #[error("position {position} is not in a tree of {size} leaves")]
    Outside {
        /// Leaf index or size of the smaller tree.
        position: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The source failed.
    #[error("subtree hash cannot be read")]
    Source(E),
}

/// Hash over the leaves from `begin` to before `end`. `begin` is a multiple of the smallest power of two
/// that is not less than the range, as in every range that RFC 6962 splits off.
///
/// Reads at most one subtree per bit of the range. The empty range hashes as the empty tree.
///
/// # Errors
/// When the source fails.
pub fn range_hash<S: Subtrees>(source: &S, begin: u64, end: u64) -> Result<Digest, S::Error> {
    let mut left = Vec::new();
    let mut at = begin;
    while at < end {
        let level = (end - at).ilog2();
        #[expect(clippy::cast_possible_truncation, reason = "ilog2 of a u64 is below 64")]
        left.push(source.subtree(level as u8, at >> level)?);
        at += 1 << level;
    }
    let mut hashes = left.into_iter().rev();
    Ok(match hashes.next() {
        None => empty_root(),
        Some(last) => hashes.fold(last, |right, left| node_hash(&left, &right)),
    })
}

/// Leaves of the left half of a range: the largest power of two smaller than its length (at least 2).
fn left_half(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// Path from leaf `index` to the root of the first `size` leaves, leaf's sibling first.
/// O(log n) reads.
///
/// # Errors
/// When the leaf is not below `size`, or the source fails.
pub fn inclusion_path<S: Subtrees>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<InclusionPath, RangeError<S::Error>> {
    if index >= size {
        return Err(RangeError::Outside { position: index, size });
    }
    let (mut begin, mut end) = (0, size);
    let mut hashes = Vec::new();
    while end - begin > 1 {
        let middle = begin + left_half(end - begin);
        let sibling = if index < middle { (middle, end) } else { (begin, middle) };
        hashes.push(range_hash(source, sibling.0, sibling.1).map_err(RangeError::Source)?);
        if index < middle { end = middle } else { begin = middle }
    }
    hashes.reverse();
    Ok(InclusionPath { index, size, hashes })
}

/// Proof that the first `new` leaves begin with the first `old`: the node hashes of RFC 9162 section
/// 2.1.4.1, empty when `old` is 0 or equals `new`. O(log n) reads.
///
/// # Errors
/// When `old` exceeds `new`, or the source fails.
pub fn consistency_path<S: Subtrees>(
    source: &S,
    old: u64,
    new: u64,
) -> Result<Vec<Digest>, RangeError<S::Error>> {
    if old > new {
        return Err(RangeError::Outside { position: old, size: new });
    }
    let mut hashes = Vec::new();
    if old == 0 {
        return Ok(hashes);
    }
    let (mut begin, mut end) = (0, new);
    while old < end {
        let middle = begin + left_half(end - begin);
        let sibling = if old <= middle { (middle, end) } else { (begin, middle) };
        hashes.push(range_hash(source, sibling.0, sibling.1).map_err(RangeError::Source)?);
        if old <= middle { end = middle } else { begin = middle }
    }
    // A verifier knows the old root: it needs this hash only when the split left the old tree's left edge.
    if begin > 0 {
        hashes.push(range_hash(source, begin, end).map_err(RangeError::Source)?);
    }
    hashes.reverse();
    Ok(hashes)
}

/// Whether a path leads from a leaf hash to the root (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(leaf: &Digest, path: &InclusionPath, root: &Digest) -> bool {
    root_of(leaf, path) == Some(*root)
}

/// The root that a path leads to from a leaf's hash; `None` when the path has another shape than its index and its
/// size give.
pub fn root_of(leaf: &Digest, path: &InclusionPath) -> Option<Digest> {
    if path.index >= path.size {
        return None;
    }
    let (mut at, mut last, mut hash) = (path.index, path.size - 1, *leaf);
    for sibling in &path.hashes {
        if last == 0 {
            return None;
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
    (last == 0).then_some(hash)
}

/// Whether a tree of `new` leaves with `new_root` begins with the tree of `old` leaves with `old_root`
/// (RFC 9162 section 2.1.4.2; the empty tree is consistent with every tree, by an empty proof).
pub fn verify_consistency(old: u64, old_root: &Digest, new: u64, new_root: &Digest, path: &[Digest]) -> bool {
    if old > new || path.len() > PATH_MAX {
        return false;
    }
    if old == 0 {
        return path.is_empty() && *old_root == empty_root() && (new > 0 || old_root == new_root);
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    // A power of two is itself a node of the new tree, and the proof leaves it out.
    let mut steps = old.is_power_of_two().then_some(old_root).into_iter().chain(path);
    let Some(first) = steps.next() else {
        return false;
    };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}
