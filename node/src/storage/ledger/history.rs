//! Earlier versions of the state, as far back as they are kept: for proofs of how things stood.
//!
//! Every height names in `stale` what it replaced: nodes of the state tree, which only versions before it need, and
//! entries of the state, whose old values stand in `replaced`. When the names go, so does what they name, and with it
//! the versions before. A value that appeared where none was is not named: the tree says since when it is there.
//!
//! One name is its kind (0 a node, 1 an entry), its length in two big-endian bytes, and the key.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use chain_core::execute::BlockResult;
use chain_core::id::{Height, RecordId};
use chain_core::state::key;
use rocksdb::{DB, Direction, IteratorMode, WriteBatch};

use super::super::consensus::number;
use super::super::{StorageError, family, keys};
use super::{LedgerStore, Snapshot, borsh};

/// How much of the past is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Heights before the newest certified one whose state can be read.
    pub heights: u64,
    /// Replaced nodes and values kept for them at most: full blocks keep fewer heights. Some 350 bytes each.
    pub replaced: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { heights: 8_192, replaced: 200_000 }
    }
}

/// Names dropped with one block: those of one more height wait for the next.
const DROPPED_PER_BLOCK: u64 = 20_000;

pub(super) const NODE: u8 = 0;
const ENTRY: u8 = 1;

/// What is kept.
#[derive(Debug)]
pub(super) struct Kept {
    retention: Retention,
    /// Where the names begin. What was deleted before would have to be passed over.
    from: AtomicU64,
    /// How many there are.
    pub(super) names: AtomicU64,
}

impl Kept {
    /// Counts what a store keeps.
    pub(super) fn of(db: &DB, retention: Retention) -> Result<Self, StorageError> {
        let mut count = 0;
        for entry in db.iterator_cf(family(db, "stale"), IteratorMode::Start) {
            let (_, names) = entry.map_err(StorageError::failed("reading what was replaced"))?;
            for name in names_of(&names) {
                name?;
                count += 1;
            }
        }
        Ok(Self { retention, from: AtomicU64::new(0), names: AtomicU64::new(count) })
    }
}

/// Takes a list of names apart.
pub(super) fn names_of(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), StorageError>> {
    let cut = || StorageError::corrupt("replaced entries", "the last name is cut short");
    std::iter::from_fn(move || {
        let (&kind, rest) = bytes.split_first()?;
        bytes = &[];
        let Some((length, rest)) = rest.split_first_chunk::<2>() else { return Some(Err(cut())) };
        let Some((name, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            return Some(Err(cut()));
        };
        bytes = rest;
        Some(Ok((kind, name)))
    })
}

fn links_one_of(key: &[u8], records: &[RecordId]) -> bool {
    !records.is_empty()
        && key::links(key).is_some_and(|linked| records.iter().any(|one| one.digest().as_bytes() == linked))
}

fn add_name(names: &mut Vec<u8>, kind: u8, key: &[u8]) -> Result<(), StorageError> {
    let length = u16::try_from(key.len())
        .map_err(|_| StorageError::corrupt("state", format!("a key of {} bytes", key.len())))?;
    names.push(kind);
    names.extend_from_slice(&length.to_be_bytes());
    names.extend_from_slice(key);
    Ok(())
}

impl LedgerStore {
    /// Keeps what a block replaces. The store holds the state before it.
    pub(super) fn put_history(
        &self,
        batch: &mut WriteBatch,
        result: &BlockResult,
    ) -> Result<(), StorageError> {
        let (state, replaced) = (family(&self.db, "state"), family(&self.db, "replaced"));
        let height = result.summary.height;
        let (mut names, mut count) = (Vec::new(), 0);
        for index in &result.tree.stale_node_index_batch {
            add_name(&mut names, NODE, &keys::tree_node(borsh(&index.node_key)?))?;
            count += 1;
        }
        for (key, _) in result.state.iter().filter(|(key, _)| key::has_history(key)) {
            if links_one_of(key, &result.erased) {
                // What links an erased record with its organisation has no past either.
                self.forget_history(batch, key)?;
                continue;
            }
            let before = self.db.get_pinned_cf(state, key).map_err(StorageError::failed("reading state"))?;
            if let Some(before) = before {
                batch.put_cf(replaced, keys::replaced(key, height), before);
                add_name(&mut names, ENTRY, key)?;
                count += 1;
            }
        }
        if !names.is_empty() {
            batch.put_cf(family(&self.db, "stale"), keys::height(height), names);
        }
        self.kept.names.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Drops every value that a state key had.
    fn forget_history(&self, batch: &mut WriteBatch, key: &[u8]) -> Result<(), StorageError> {
        let replaced = family(&self.db, "replaced");
        let prefix = keys::replaced_of(key);
        for entry in self.db.iterator_cf(replaced, IteratorMode::From(&prefix, Direction::Forward)) {
            let (found, _) = entry.map_err(StorageError::failed("reading what was replaced"))?;
            if !found.starts_with(&prefix) {
                break;
            }
            batch.delete_cf(replaced, found);
        }
        Ok(())
    }

    /// Drops what only versions too far before the newest certified one needed. Open snapshots keep it.
    pub(super) fn prune(&self, batch: &mut WriteBatch, certified: Height) -> Result<(), StorageError> {
        let (tree, stale) = (family(&self.db, "tree"), family(&self.db, "stale"));
        let replaced = family(&self.db, "replaced");
        let mut dropped = 0;
        let from = keys::height(Height::new(self.kept.from.load(Ordering::Relaxed)));
        for entry in self.db.iterator_cf(stale, IteratorMode::From(&from, Direction::Forward)) {
            let (key, names) = entry.map_err(StorageError::failed("reading what was replaced"))?;
            let height = number(&key)?;
            let Some(past) = certified.get().checked_sub(height) else { break };
            let many = self.kept.names.load(Ordering::Relaxed) > self.kept.retention.replaced;
            if !(many || past >= self.kept.retention.heights) || dropped > DROPPED_PER_BLOCK {
                break;
            }
            let mut count = 0;
            for name in names_of(&names) {
                match name? {
                    (NODE, node) => batch.delete_cf(tree, node),
                    (_, key) => batch.delete_cf(replaced, keys::replaced(key, Height::new(height))),
                }
                count += 1;
            }
            batch.delete_cf(stale, &key);
            dropped += count;
            self.kept.names.fetch_sub(count, Ordering::Relaxed);
            self.kept.from.store(height + 1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Snapshot<'_> {
    /// The earliest height whose state can still be read and proved.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn oldest_state(&self) -> Result<Height, StorageError> {
        let first = self.first("stale")?.map(|(key, _)| number(&key)).transpose()?;
        Ok(first.map_or(self.height(), |first| Height::new(first.saturating_sub(1))))
    }

    /// What stood under a state key after a height, which must not be before [`Self::oldest_state`]. Where nothing
    /// stood then, this may be what appeared there later: the tree of that height knows.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn state_at(&self, key: &[u8], height: Height) -> Result<Option<Vec<u8>>, StorageError> {
        let prefix = keys::replaced_of(key);
        let after = keys::replaced(key, Height::new(height.get().saturating_add(1)));
        match self.next("replaced", &after)? {
            Some((found, value)) if found.starts_with(&prefix) => Ok(Some(value.into_vec())),
            _ => self.state(key),
        }
    }

    /// State keys of one length with a common beginning under which something stands now or stood after
    /// [`Self::oldest_state`], ascending, at most `limit`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keys_ever(
        &self,
        prefix: &[u8],
        length: usize,
        limit: usize,
    ) -> Result<BTreeSet<Vec<u8>>, StorageError> {
        let mut found = BTreeSet::new();
        for entry in self.from("state", prefix).take(limit) {
            let (key, _) = entry?;
            if !key.starts_with(prefix) {
                break;
            }
            found.insert(key.into_vec());
        }
        let start = [&keys::replaced_of_length(length)[..], prefix].concat();
        let whole = start.len() - prefix.len() + length;
        for entry in self.from("replaced", &start).take(limit) {
            let (key, _) = entry?;
            if !key.starts_with(&start) {
                break;
            }
            found.extend(key.get(start.len() - prefix.len()..whole).map(<[u8]>::to_vec));
        }
        Ok(found)
    }
}
