//! The ledger as the executor reads it: always the newest state, through a bounded cache.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

use chain_core::execute::{BlockResult, LedgerRead, ReadError};
use foldhash::fast::RandomState;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Version};
use rocksdb::{DB, Direction, IteratorMode};

use super::super::{family, keys};

/// Entries of one generation of a cache.
const STATE_CACHED: usize = 32 * 1024;
const NODES_CACHED: usize = 48 * 1024;

/// Reads the newest state. There is one executor, so what it reads is the state after the previous block.
#[derive(Debug)]
pub struct ExecutionView<'a> {
    db: &'a DB,
    state: RefCell<TwoGenerations<Vec<u8>, Option<Vec<u8>>>>,
    nodes: RefCell<TwoGenerations<NodeKey, Node>>,
}

impl<'a> ExecutionView<'a> {
    pub(super) fn new(db: &'a DB) -> Self {
        Self {
            db,
            state: RefCell::new(TwoGenerations::new(STATE_CACHED)),
            nodes: RefCell::new(TwoGenerations::new(NODES_CACHED)),
        }
    }

    /// Takes over what a written block changed.
    pub fn apply(&self, result: BlockResult) {
        let mut state = self.state.borrow_mut();
        for (key, value) in result.state {
            state.insert(key, value);
        }
        let mut nodes = self.nodes.borrow_mut();
        for (key, node) in result.tree.node_batch.nodes() {
            if on_paths(node) {
                nodes.insert(key.clone(), node.clone());
            }
        }
    }
}

impl LedgerRead for ExecutionView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        if let Some(known) = self.state.borrow_mut().get(key) {
            return Ok(known);
        }
        let value = state_entry(self.db, key)?;
        // What is not there is usually about to be written.
        if value.is_some() {
            self.state.borrow_mut().insert(key.to_vec(), value.clone());
        }
        Ok(value)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, ReadError> {
        let mode = IteratorMode::From(from, Direction::Forward);
        take_range(self.db.iterator_cf(family(self.db, "state"), mode), to, limit)
    }
}

impl TreeReader for ExecutionView<'_> {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        if let Some(known) = self.nodes.borrow_mut().get(node_key) {
            return Ok(Some(known));
        }
        let key = keys::tree_node(super::borsh(node_key)?);
        let bytes = self.db.get_pinned_cf(family(self.db, "tree"), &key)?;
        let node = bytes.map(|bytes| borsh::from_slice::<Node>(&bytes)).transpose()?;
        if let Some(node) = node.as_ref().filter(|node| on_paths(node)) {
            self.nodes.borrow_mut().insert(node_key.clone(), node.clone());
        }
        Ok(node)
    }

    /// Values are not kept beside the tree: the state family holds each once, under its own key.
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }

    /// Asked for only while restoring a tree, which this store does not do.
    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

/// Whether a node is passed on the way to others. A leaf is read again only when a neighbour splits it off.
fn on_paths(node: &Node) -> bool {
    matches!(node, Node::Internal(_))
}

fn state_entry(db: &DB, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    db.get_cf(family(db, "state"), key).map_err(|error| ReadError(error.to_string()))
}

pub(super) fn take_range(
    entries: impl Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>>,
    to: &[u8],
    limit: usize,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, ReadError> {
    let mut found = Vec::new();
    for entry in entries {
        if found.len() == limit {
            break;
        }
        let (key, value) = entry.map_err(|error| ReadError(error.to_string()))?;
        if &key[..] >= to {
            break;
        }
        found.push((key.into_vec(), value.into_vec()));
    }
    Ok(found)
}

/// A cache of at most two generations: when the young one is full it becomes the old one, and what was not
/// asked for since is forgotten.
#[derive(Debug)]
struct TwoGenerations<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
    size: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> TwoGenerations<K, V> {
    fn new(size: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), size }
    }

    fn get<Q: ?Sized + Eq + Hash>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.size {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_stays_within_two_generations_and_keeps_what_is_used() {
        let mut cache = TwoGenerations::new(10);
        for n in 0..1_000 {
            cache.insert(n, n);
            assert_eq!(cache.get(&0), Some(0), "hot entry lost at {n}");
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert_eq!(cache.get(&500), None);
        cache.insert(0, 7);
        assert_eq!(cache.get(&0), Some(7));
    }
}
