//! The store as a whole: making a copy of it, and reading and hashing everything in a copy.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use chain_core::block::ExecSummary;
use chain_core::codec::decode_trusted;
use chain_core::crypto::Digest;
use chain_core::execute::outcomes_root;
use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout as _;
use chain_core::merkle::tile::HEIGHT;
use chain_core::merkle::{Frontier, leaf_hash};
use chain_core::state::{key, tree};
use chain_core::subject::{IndexEntry, Listing};
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Version};
use rocksdb::checkpoint::Checkpoint;

use super::super::live::{Copied, Source, copy};
use super::super::usage::{FamilyUsage, usage};
use super::super::{StorageError, family, keys, open_read_only, rewriting};
use super::{BUDGET, FAMILIES, Kept, LedgerStore, Retention, Snapshot};

/// Families whose every entry is hashed anew, or compared with what was.
const HASHED: [&str; 5] = ["leaves", "hashes", "state", "summaries", "outcomes"];
/// Nibbles by which the entries of the state are parted, so that only one part of their tree is in memory at a time.
const PART_NIBBLES: usize = 2;

/// Everything that a ledger holds at one height, read and hashed anew.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The roots that follow from the entries themselves.
    pub summary: ExecSummary,
    /// The record log after its last leaf.
    pub log: Frontier,
    /// Entries of the state that stand under its root.
    pub entries: u64,
    /// Nodes of the stored state tree at this height, and of the index of subjects, each with the hash that its parent
    /// names.
    pub nodes: u64,
    /// Records that the index of subjects lists; none where the chain keeps no index.
    pub listed: Option<u64>,
    /// Stored hashes of the record log, each the one that its leaves give.
    pub hashes: u64,
    /// Outcomes of all heights, each height's under its execution root, and that under the next.
    pub outcomes: u64,
    /// Entries under no root, which were read for the disk's checksums alone.
    pub unrooted: u64,
}

/// What the executions of all heights came to, read anew.
struct Executions {
    /// The execution root below the newest height.
    previous: Digest,
    /// Over the outcomes of the newest height.
    outcomes_root: Digest,
    /// Outcomes of all heights.
    outcomes: u64,
}

impl LedgerStore {
    /// Opens a store for reading alone.
    ///
    /// # Errors
    /// When it is not there or cannot be opened.
    pub fn open_read_only(path: &Path) -> Result<Self, StorageError> {
        let db = open_read_only(path, FAMILIES, BUDGET)?;
        Ok(Self { kept: Kept::of(&db, Retention::default())?, db, writing: AtomicBool::new(false) })
    }

    /// What each family takes on the disk.
    ///
    /// # Errors
    /// When the store cannot say.
    pub fn usage(&self) -> Result<Vec<FamilyUsage>, StorageError> {
        usage(&self.db, FAMILIES)
    }

    /// Writes every file of the store anew: what was deleted or replaced takes no room any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn compact(&self) -> Result<(), StorageError> {
        self.flush_families(true)?;
        for one in FAMILIES {
            let handle = family(&self.db, one.name);
            self.db.compact_range_cf_opt(handle, None::<&[u8]>, None::<&[u8]>, &rewriting());
        }
        self.healthy()
    }

    /// Makes a copy of the store as it stands, in a folder that does not exist yet. What is in memory is flushed first,
    /// files that never change are linked, the others copied.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn copy_to(&self, path: &Path) -> Result<(), StorageError> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(path))
            .map_err(StorageError::failed("copying the ledger store"))
    }

    /// Copies the store of a node, which may run, as it was when it was flushed last: it keeps no log of what came after,
    /// and that is executed again.
    ///
    /// # Errors
    /// As [`copy`].
    pub(crate) fn copy(path: &Path, to: &Path, scratch: &Path) -> Result<Copied, StorageError> {
        let source =
            Source { name: "ledger", path, scratch, families: FAMILIES, without: &[], budget: BUDGET };
        copy(&source, to)
    }
}

impl Snapshot<'_> {
    /// Reads every entry of every family for the disk's checksums; gives how many there are.
    ///
    /// # Errors
    /// Where a checksum fails: RocksDB names file and byte.
    pub fn read_all(&self) -> Result<u64, StorageError> {
        let mut entries = 0;
        for one in FAMILIES {
            for entry in self.entries(one.name) {
                entry?;
                entries += 1;
            }
        }
        Ok(entries)
    }

    /// Reads everything and computes every root from the entries themselves. `state_root` is the one that the stored tree
    /// should have.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` where a leaf is missing, or a hash or a node of a tree is not the one that follows from what is
    /// below it; where a summary does not follow the one before, or outcomes are not those of their height.
    pub fn recompute(&self, state_root: &Digest) -> Result<Contents, StorageError> {
        let (log, hashes) = self.recompute_log()?;
        let top = NodeKey::new(self.height().get(), std::iter::empty().collect());
        let mut nodes = self.walk_tree(top, state_root)?;
        let (state_root, entries, derived) = self.recompute_state()?;
        let index = self.recompute_index()?;
        if let Some((_, walked)) = index {
            nodes += walked;
        }
        let executed = self.recompute_executions()?;
        let mut unrooted = derived;
        for family in FAMILIES.iter().filter(|family| !HASHED.contains(&family.name)) {
            for entry in self.entries(family.name) {
                entry?;
                unrooted += 1;
            }
        }
        let summary = ExecSummary {
            height: self.height(),
            previous: executed.previous,
            log_size: log.size(),
            log_root: log.root(),
            outcomes_root: executed.outcomes_root,
            state_root,
        };
        Ok(Contents {
            summary,
            log,
            entries,
            nodes,
            listed: index.map(|(listed, _)| listed),
            hashes,
            outcomes: executed.outcomes,
            unrooted,
        })
    }

    /// The record log from its leaves. The hashes that are stored beside them, from which receipts are made, must be the
    /// same.
    fn recompute_log(&self) -> Result<(Frontier, u64), StorageError> {
        let mut log = Frontier::default();
        let mut stored = self.entries("hashes");
        let mut expect = |level: u8, index: u64, hash: &Digest| match stored.next().transpose()? {
            Some((key, found))
                if key[..] == keys::log_hash(level, index) && found[..] == hash.as_bytes()[..] =>
            {
                Ok(())
            }
            _ => {
                let why =
                    format!("the hash of level {level}, position {index} does not follow from the leaves");
                Err(StorageError::corrupt("record log", why))
            }
        };
        let mut above = BTreeMap::new();
        for entry in self.entries("leaves") {
            let (key, leaf) = entry?;
            let index = log.size();
            if key[..] != keys::leaf(index) {
                return Err(StorageError::corrupt("record log", format!("leaf {index} is missing")));
            }
            let hash = leaf_hash(&leaf);
            expect(0, index, &hash)?;
            log.push_each(&hash, |level, index, hash| {
                if level > 0 && level % HEIGHT == 0 {
                    above.insert((level / HEIGHT, index), *hash);
                }
            });
        }
        for ((level, index), hash) in &above {
            expect(*level, *index, hash)?;
        }
        if stored.next().is_some() {
            return Err(StorageError::corrupt(
                "record log",
                "there are hashes of more leaves than there are",
            ));
        }
        Ok((log.clone(), log.size() + above.len() as u64))
    }

    /// The root of the state from its entries, as if all of them were written to an empty tree; how many entries of it
    /// stand in the tree, and how many in none.
    fn recompute_state(&self) -> Result<(Digest, u64, u64), StorageError> {
        let mut parts: Vec<Vec<tree::TreeWrite>> = vec![Vec::new(); 1 << (4 * PART_NIBBLES)];
        let (mut entries, mut derived) = (0, 0);
        for entry in self.entries("state") {
            let (key, value) = entry?;
            if key::is_in_tree(&key) {
                let place = tree::key_hash(&key);
                parts[usize::from(place.0[0])].push((place, Some(tree::tree_value(&value))));
                entries += 1;
            } else {
                derived += 1;
            }
        }
        let mut upper = Upper::default();
        let mut root = tree::EMPTY_ROOT;
        for (version, part) in (0..).zip(parts.into_iter().filter(|part| !part.is_empty())) {
            let (after, batch) = tree::update(&upper, Height::new(version), part)
                .map_err(|error| StorageError::corrupt("state", error.to_string()))?;
            root = after;
            upper.take(batch.node_batch.nodes());
        }
        Ok((root, entries, derived))
    }

    /// Holds the index of subjects against what the ledger itself remembers of listed records, and its stored nodes
    /// against its root; gives the number of both.
    fn recompute_index(&self) -> Result<Option<(u64, u64)>, StorageError> {
        let corrupt =
            |error: &dyn std::fmt::Display| StorageError::corrupt("index of subjects", error.to_string());
        let Some(entry) = self.state(&key::index())? else { return Ok(None) };
        let entry = IndexEntry::from_canonical(&entry).map_err(|error| corrupt(&error))?;
        let mut leaves = Vec::new();
        let (from, to) = key::all_listed();
        for found in self.from("state", &from) {
            let (name, version) = found?;
            if name[..] >= to[..] {
                break;
            }
            let record = RecordId::from_canonical(&name[1..]).map_err(|error| corrupt(&error))?;
            let version = u32::from_canonical(&version).map_err(|error| corrupt(&error))?;
            let listing = self.state(&key::listing(&record, version))?;
            let listing = listing.ok_or_else(|| corrupt(&format!("record {record} is listed for nobody")))?;
            let listing = Listing::from_canonical(&listing).map_err(|error| corrupt(&error))?;
            if self.state(&key::listed_under(&listing.tag(), &record))?.is_none() {
                return Err(corrupt(&format!("record {record} is not among those of its subject")));
            }
            leaves.push(listing.leaf(&record));
        }
        leaves.sort_unstable_by_key(|leaf| leaf.place);
        if tree::subtree(&leaves, 0) != entry.root {
            return Err(corrupt(&"its root does not follow from the records it lists"));
        }
        let walked = match tree::index_root(entry.changes) {
            Some(top) => self.walk_tree(top, &entry.root)?,
            None => 0,
        };
        Ok(Some((leaves.len() as u64, walked)))
    }

    /// Holds the outcomes of every height against its summary, and every summary against the one before: the newest one's
    /// root then covers them all.
    fn recompute_executions(&self) -> Result<Executions, StorageError> {
        let corrupt = |height: Height, why: String| {
            StorageError::corrupt("executions", format!("height {height}: {why}"))
        };
        let mut all = Executions { previous: Digest::ZERO, outcomes_root: Digest::ZERO, outcomes: 0 };
        let (mut root, mut next) = (Digest::ZERO, Height::ZERO);
        for entry in self.entries("summaries") {
            let (key, bytes) = entry?;
            let summary: ExecSummary = decode_trusted(&bytes).map_err(StorageError::decode("summary"))?;
            if key[..] != keys::height(next) || summary.height != next {
                return Err(corrupt(next, "no summary of it, or one of another height".to_owned()));
            }
            if summary.previous != root {
                let why = format!("it was executed on root {}, below it is {root}", summary.previous);
                return Err(corrupt(next, why));
            }
            let outcomes = self.block_outcomes(next)?;
            let got = outcomes_root(&outcomes);
            if got != summary.outcomes_root {
                let want = summary.outcomes_root;
                return Err(corrupt(next, format!("its outcomes give root {got}, the summary says {want}")));
            }
            all.previous = root;
            all.outcomes_root = got;
            all.outcomes += outcomes.len() as u64;
            (root, next) = (summary.root(), next.next());
        }
        if next != self.height().next() {
            return Err(corrupt(next, "it has no summary".to_owned()));
        }
        Ok(all)
    }

    /// Walks a stored tree from its root down to every leaf; gives the number of its nodes. The next block is executed on
    /// these nodes.
    fn walk_tree(&self, top: NodeKey, root: &Digest) -> Result<u64, StorageError> {
        let mut walked = 0;
        // Each with what stands above it: its hash, and how many leaves are below it.
        let mut open = vec![(top, *root, None)];
        while let Some((node_key, hash, leaves)) = open.pop() {
            let corrupt = |why: String| {
                StorageError::corrupt("state tree", format!("node {:?}: {why}", node_key.nibble_path()))
            };
            let node = self.get_node_option(&node_key).map_err(|error| corrupt(error.to_string()))?;
            let (got, below) = match &node {
                None => return Err(corrupt("missing".to_owned())),
                Some(Node::Null) => (tree::EMPTY_ROOT, 0),
                Some(Node::Leaf(leaf)) => (Digest::new(leaf.hash::<tree::TreeHasher>()), 1),
                Some(Node::Internal(inner)) => {
                    let mut below = 0_usize;
                    for (nibble, child) in inner.children_sorted() {
                        let path = node_key.nibble_path().nibbles().chain(std::iter::once(nibble)).collect();
                        let child_key = NodeKey::new(child.version, path);
                        open.push((child_key, Digest::new(child.hash), Some(child.leaf_count())));
                        below = below.saturating_add(child.leaf_count());
                    }
                    if below != inner.leaf_count() {
                        return Err(corrupt(format!("{} leaves, below it are {below}", inner.leaf_count())));
                    }
                    (Digest::new(inner.hash::<tree::TreeHasher>()), below)
                }
            };
            if got != hash || leaves.is_some_and(|leaves| leaves != below) {
                let why = format!("its hash is {got}, with {below} leaves; what stands above it says {hash}");
                return Err(corrupt(why));
            }
            walked += 1;
        }
        Ok(walked)
    }
}

/// The upper nodes of a state tree that grows part by part: what the entries of one part have in common with those of
/// another. Nodes further down are read by nobody once their part is written.
#[derive(Debug, Default)]
struct Upper(BTreeMap<NodeKey, Node>);

impl Upper {
    fn take(&mut self, nodes: &BTreeMap<NodeKey, Node>) {
        let upper = nodes.iter().filter(|(key, _)| key.nibble_path().num_nibbles() <= PART_NIBBLES);
        self.0.extend(upper.map(|(key, node)| (key.clone(), node.clone())));
    }
}

impl TreeReader for Upper {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.0.get(node_key).cloned())
    }

    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}
