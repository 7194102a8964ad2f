//! The record log on disk: hashes in tiles of 256, as C2SP tlog-tiles serves them.
//!
//! Level 0 holds the hash of every leaf; level `l` holds the root of every complete run of 256 hashes of
//! level `l − 1`. Nothing is ever rewritten. A proof over n leaves reads at most two runs of 256 per level and
//! recomputes the tree levels between; for a million leaves that is three levels.

use chain_core::crypto::Digest;
use chain_core::merkle::{Frontier, node_hash};
use chain_core::proof::InclusionPath;

/// Hashes in a full tile.
pub const TILE: u64 = 256;
/// Tree levels that one tile level spans.
const SPAN: u32 = 8;

/// The hashes that appending `new` leaves to a log of `size` adds: level, position, hash. `stored` reads
/// hashes that are on disk already.
///
/// # Errors
/// When `stored` fails.
pub fn grow<E>(
    size: u64,
    new: &[Digest],
    stored: impl Fn(u8, u64) -> Result<Digest, E>,
) -> Result<Vec<(u8, u64, Digest)>, E> {
    let mut added = Vec::with_capacity(new.len() + new.len() / 128);
    let (mut level, mut first, mut fresh) = (0_u8, size, new.to_vec());
    while !fresh.is_empty() {
        let end = first + fresh.len() as u64;
        let (from, to) = (first / TILE, end / TILE);
        let mut above = Vec::new();
        for tile in from..to {
            let mut frontier = Frontier::default();
            for index in tile * TILE..(tile + 1) * TILE {
                match index.checked_sub(first).and_then(|at| usize::try_from(at).ok()) {
                    Some(at) => push_node(&mut frontier, &fresh[at]),
                    None => push_node(&mut frontier, &stored(level, index)?),
                }
            }
            above.push(frontier.root());
        }
        added.extend((first..).zip(fresh).map(|(index, hash)| (level, index, hash)));
        (level, first, fresh) = (level + 1, from, above);
    }
    Ok(added)
}

fn push_node(frontier: &mut Frontier, hash: &Digest) {
    frontier.push(hash);
}

/// The hash of the complete subtree of `2^height` leaves at `index` (counted in such subtrees). `tile` reads
/// `count` hashes of a level from a position on.
///
/// # Errors
/// When `tile` fails.
fn subtree<E>(
    height: u32,
    index: u64,
    tile: &impl Fn(u8, u64, u64) -> Result<Vec<Digest>, E>,
) -> Result<Digest, E> {
    let (level, within) = (height / SPAN, height % SPAN);
    #[expect(clippy::cast_possible_truncation, reason = "a tree of u64 leaves has 64 levels")]
    let mut row = tile(level as u8, index << within, 1 << within)?;
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    Ok(row[0])
}

/// The root of leaves `[start, start + len)`, where `start` is a multiple of the subtree it heads.
fn range_root<E>(
    start: u64,
    len: u64,
    tile: &impl Fn(u8, u64, u64) -> Result<Vec<Digest>, E>,
) -> Result<Digest, E> {
    let mut at = start;
    let mut left = len;
    let mut peaks = Vec::new();
    while left > 0 {
        let height = u64::BITS - 1 - left.leading_zeros();
        peaks.push(subtree(height, at >> height, tile)?);
        at += 1 << height;
        left -= 1 << height;
    }
    let mut peaks = peaks.into_iter().rev();
    let last = peaks.next().unwrap_or_else(|| Frontier::default().root());
    Ok(peaks.fold(last, |right, left| node_hash(&left, &right)))
}

/// The inclusion path of leaf `index` in the log of `size` leaves (RFC 9162 section 2.1.3.1).
///
/// # Errors
/// When `tile` fails.
///
/// # Panics
/// When `index >= size`: a bug of the caller.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    tile: impl Fn(u8, u64, u64) -> Result<Vec<Digest>, E>,
) -> Result<InclusionPath, E> {
    assert!(index < size, "leaf {index} is not in a log of {size}");
    let mut hashes = Vec::new();
    let (mut start, mut len) = (0, size);
    while len > 1 {
        let split = 1_u64 << (u64::BITS - 1 - (len - 1).leading_zeros());
        if index - start < split {
            hashes.push(range_root(start + split, len - split, &tile)?);
            len = split;
        } else {
            hashes.push(range_root(start, split, &tile)?);
            start += split;
            len -= split;
        }
    }
    hashes.reverse();
    Ok(InclusionPath { index, size, hashes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use chain_core::merkle::{leaf_hash, verify_inclusion};

    fn leaf(index: u64) -> Digest {
        leaf_hash(&index.to_be_bytes())
    }

    #[test]
    fn a_log_grown_in_uneven_steps_proves_every_leaf() {
        let mut disk = BTreeMap::new();
        let mut frontier = Frontier::default();
        let mut size = 0;
        for step in [1, 3, 252, 255, 1, 700, 256, 512, 66_000] {
            let new: Vec<Digest> = (size..size + step).map(leaf).collect();
            let added = grow::<Infallible>(size, &new, |level, index| Ok(disk[&(level, index)])).unwrap();
            for (level, index, hash) in added {
                assert!(
                    disk.insert((level, index), hash).is_none(),
                    "hash {index} of level {level} rewritten"
                );
            }
            new.iter().for_each(|hash| frontier.push(hash));
            size += step;
            let reads = std::cell::Cell::new(0);
            for index in [0, 1, size / 3, size / 2, size.saturating_sub(2), size - 1] {
                let path = inclusion::<Infallible>(index, size, |level, from, count| {
                    reads.set(reads.get() + count);
                    Ok((from..from + count).map(|at| disk[&(level, at)]).collect())
                })
                .unwrap();
                assert!(verify_inclusion(&leaf(index), &path, &frontier.root()), "leaf {index} of {size}");
            }
            assert!(reads.get() < 6 * 256 * 4 * 2, "{} hashes read for a log of {size}", reads.get());
        }
        assert!(disk.contains_key(&(2, 0)), "the test reaches the third level");
    }
}
