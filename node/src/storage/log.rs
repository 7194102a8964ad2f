//! The record log on disk: hashes in tiles of 256, as C2SP tlog-tiles serves them.
//!
//! Level 0 holds the hash of every leaf; level `l` holds the root of every complete run of 256 hashes of
//! level `l − 1`. Nothing is ever rewritten. A proof over n leaves reads at most two runs of 256 per level and
//! recomputes the tree levels between; for a million leaves that is three levels.

use chain_core::crypto::Digest;
use chain_core::merkle::Frontier;
use chain_core::merkle::tile::WIDTH;

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
        let (from, to) = (first / WIDTH, end / WIDTH);
        let mut above = Vec::new();
        for tile in from..to {
            let mut frontier = Frontier::default();
            for index in tile * WIDTH..(tile + 1) * WIDTH {
                match index.checked_sub(first).and_then(|at| usize::try_from(at).ok()) {
                    Some(at) => frontier.push(&fresh[at]),
                    None => frontier.push(&stored(level, index)?),
                }
            }
            above.push(frontier.root());
        }
        added.extend((first..).zip(fresh).map(|(index, hash)| (level, index, hash)));
        (level, first, fresh) = (level + 1, from, above);
    }
    Ok(added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use chain_core::merkle::{Subtrees, inclusion_path, leaf_hash, node_hash, verify_inclusion};

    struct OnDisk<'a>(&'a BTreeMap<(u8, u64), Digest>);

    impl Subtrees for OnDisk<'_> {
        type Error = Infallible;

        fn subtree(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
            let (first, count) = (index << (level % 8), 1_u64 << (level % 8));
            let mut row: Vec<Digest> = (first..first + count).map(|at| self.0[&(level / 8, at)]).collect();
            while row.len() > 1 {
                row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            }
            Ok(row[0])
        }
    }

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
            for index in [0, size.min(2) - 1, size / 3, size / 2, size.saturating_sub(2), size - 1] {
                let path = inclusion_path(&OnDisk(&disk), index, size).unwrap();
                assert!(verify_inclusion(&leaf(index), &path, &frontier.root()), "leaf {index} of {size}");
            }
        }
        assert!(disk.contains_key(&(2, 0)), "the test reaches the third level");
    }
}
