//! A consistent view of the ledger at one executed height.

use std::collections::BTreeSet;

use ::consensus::engine::Tip;
use chain_core::block::ExecSummary;
use chain_core::checkpoint::{Published, SignedCheckpoint};
use chain_core::codec::{Wire, decode_trusted};
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, Signature};
use chain_core::execute::{LedgerRead, Outcome, ReadError};
use chain_core::id::{Epoch, Height, RecordId, TxId};
use chain_core::lane::BatchRef;
use chain_core::layout::Layout as _;
use chain_core::merkle::tile::HEIGHT;
use chain_core::merkle::{Frontier, RangeError, Subtrees, inclusion_path, node_hash};
use chain_core::proof::InclusionPath;
use chain_core::subject::IndexEntry;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Version};
use rocksdb::{DB, DBPinnableSlice, Direction, IteratorMode, ReadOptions};

use super::super::consensus::{digest, number};
use super::super::keys::List;
use super::super::{StorageError, family, keys};
use super::{Batches, LogFrontier, Outcomes, Place, read};

/// A key and its value.
type Entry = (Box<[u8]>, Box<[u8]>);

/// The ledger at one executed height. Later blocks do not show.
pub struct Snapshot<'a> {
    db: &'a DB,
    snapshot: rocksdb::Snapshot<'a>,
    height: Height,
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot(height {})", self.height)
    }
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(db: &'a DB) -> Result<Self, StorageError> {
        let snapshot = db.snapshot();
        let executed = snapshot
            .get_cf(family(db, "meta"), "executed")
            .map_err(StorageError::failed("reading the executed height"))?;
        let height = executed.map_or(Ok(0), |bytes| number(&bytes))?;
        Ok(Self { db, snapshot, height: Height::new(height) })
    }

    /// The executed height at which everything read here holds.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The chain at this height; none in a new store.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn tip(&self) -> Result<Option<Tip>, StorageError> {
        self.decoded("tips", &keys::height(self.height))
    }

    /// The chain at an earlier height, if it is among the recent ones.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn tip_at(&self, height: Height) -> Result<Option<Tip>, StorageError> {
        self.decoded("tips", &keys::height(height))
    }

    /// What executing a height gave.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn summary(&self, height: Height) -> Result<Option<ExecSummary>, StorageError> {
        self.decoded("summaries", &keys::height(height))
    }

    /// The validator set of an epoch; none for one that has not begun.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn validator_set(&self, epoch: Epoch) -> Result<Option<Committee>, StorageError> {
        self.decoded("sets", &keys::epoch(epoch))
    }

    /// The index of subjects after a block that changed it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn index_after(&self, height: Height) -> Result<Option<IndexEntry>, StorageError> {
        let found = self.bytes("indexes", &keys::height(height))?;
        let entry = found.map(|bytes| IndexEntry::from_canonical(&bytes)).transpose();
        entry.map_err(|error| StorageError::corrupt("index of subjects", error.to_string()))
    }

    /// Leaves in the record log.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn log_size(&self) -> Result<u64, StorageError> {
        Ok(self.summary(self.height)?.map_or(0, |summary| summary.log_size))
    }

    /// The right edge of the record log.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn log_frontier(&self) -> Result<Frontier, StorageError> {
        Ok(self.decoded::<LogFrontier>("meta", b"log")?.map_or_else(Frontier::default, |log| log.0))
    }

    /// The outcomes of one transaction.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn outcomes(&self, place: Place) -> Result<Vec<Outcome>, StorageError> {
        let outcomes: Option<Outcomes> = self.decoded("outcomes", &place.to_bytes())?;
        Ok(outcomes.map_or_else(Vec::new, |outcomes| outcomes.0))
    }

    /// All outcomes of a height, in order of execution.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn block_outcomes(&self, height: Height) -> Result<Vec<Outcome>, StorageError> {
        let from = keys::height(height);
        let mode = IteratorMode::From(&from, Direction::Forward);
        let mut found = Vec::new();
        for entry in self.snapshot.iterator_cf(family(self.db, "outcomes"), mode) {
            let (key, bytes) = entry.map_err(StorageError::failed("reading outcomes"))?;
            if !key.starts_with(&from) {
                break;
            }
            let outcomes: Outcomes = decode_trusted(&bytes).map_err(StorageError::decode("outcomes"))?;
            found.extend(outcomes.0);
        }
        Ok(found)
    }

    /// The batches that a height orders, in execution order.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn ordered(&self, height: Height) -> Result<Vec<BatchRef>, StorageError> {
        let batches: Option<Batches> = self.decoded("ordered", &keys::height(height))?;
        Ok(batches.map_or_else(Vec::new, |batches| batches.0))
    }

    /// Where a transaction may have been ordered. The caller compares the whole id with what stands there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn place(&self, tx: &TxId) -> Result<Option<Place>, StorageError> {
        self.bytes("txs", &keys::transaction(tx))?.map(|bytes| Place::from_bytes(&bytes)).transpose()
    }

    /// The height of the block whose digest begins like this one. The caller compares the whole digest.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn height_of(&self, digest: &Digest) -> Result<Option<Height>, StorageError> {
        let found = self.bytes("digests", &digest.as_bytes()[..16])?;
        found.map(|bytes| number(&bytes).map(Height::new)).transpose()
    }

    /// A leaf of the record log.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn leaf(&self, index: u64) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.bytes("leaves", &keys::leaf(index))?.map(|bytes| bytes.to_vec()))
    }

    /// Leaves from a position on, at most `limit`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, StorageError> {
        let key = keys::leaf(from);
        let mode = IteratorMode::From(&key, Direction::Forward);
        let mut found = Vec::new();
        for entry in self.snapshot.iterator_cf(family(self.db, "leaves"), mode).take(limit) {
            found.push(entry.map_err(StorageError::failed("reading leaves"))?.1.into_vec());
        }
        Ok(found)
    }

    /// `count` hashes of the record log from a position on (see [`super::super::log`]).
    ///
    /// # Errors
    /// When the disk refuses or a hash is missing.
    pub fn log_hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest>, StorageError> {
        let key = keys::log_hash(level, from);
        let mode = IteratorMode::From(&key, Direction::Forward);
        let mut found = Vec::new();
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        for entry in self.snapshot.iterator_cf(family(self.db, "hashes"), mode).take(wanted) {
            let (key, bytes) = entry.map_err(StorageError::failed("reading the log"))?;
            if key[0] != level {
                break;
            }
            found.push(digest(&bytes)?);
        }
        if found.len() == wanted {
            Ok(found)
        } else {
            Err(StorageError::corrupt("record log", format!("level {level} ends before {}", from + count)))
        }
    }

    /// The inclusion path of a leaf in the log of `size` leaves.
    ///
    /// # Errors
    /// When the disk refuses or the leaf is not in a log of that size.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<InclusionPath, StorageError> {
        inclusion_path(self, index, size).map_err(|error| match error {
            RangeError::Source(error) => error,
            outside @ RangeError::Outside { .. } => StorageError::corrupt("record log", outside.to_string()),
        })
    }

    /// Positions of a record's leaves, ascending, from `from` on, at most `limit`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn record_leaves(
        &self,
        record: &RecordId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StorageError> {
        let key = keys::record_leaf(record, from);
        let mode = IteratorMode::From(&key, Direction::Forward);
        let mut found = Vec::new();
        for entry in self.snapshot.iterator_cf(family(self.db, "records"), mode).take(limit) {
            let (key, _) = entry.map_err(StorageError::failed("reading a record's leaves"))?;
            if key[..32] != record.digest().as_bytes()[..] {
                break;
            }
            found.push(number(&key[32..])?);
        }
        Ok(found)
    }

    /// Records of a list from a position on: first leaf and record, at most `limit`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn list(
        &self,
        list: List<'_>,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, RecordId)>, StorageError> {
        let key = list.key(from);
        let mode = IteratorMode::From(&key, Direction::Forward);
        let mut found = Vec::new();
        for entry in self.snapshot.iterator_cf(family(self.db, "lists"), mode).take(limit) {
            let (key, record) = entry.map_err(StorageError::failed("reading a list"))?;
            if !key.starts_with(&list.prefix()) {
                break;
            }
            let leaf = number(&key[9..])?;
            found.push((
                leaf,
                if record.is_empty() { self.listed(leaf)? } else { RecordId::new(digest(&record)?) },
            ));
        }
        Ok(found)
    }

    /// The record of a leaf, from the list of all: the others hold leaves only.
    fn listed(&self, leaf: u64) -> Result<RecordId, StorageError> {
        let bytes = self.bytes("lists", &List::All.key(leaf))?;
        let record =
            bytes.ok_or_else(|| StorageError::corrupt("list", "a record that the list of all lacks"))?;
        Ok(RecordId::new(digest(&record)?))
    }

    /// The newest checkpoint that a quorum cosigned, with the height it is for.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn checkpoint(&self) -> Result<Option<(Height, Published)>, StorageError> {
        let Some(value) = self.bytes("meta", b"checkpoint")? else { return Ok(None) };
        let malformed = |error: String| StorageError::corrupt("checkpoint", error);
        let text = std::str::from_utf8(value.get(8..).unwrap_or_default())
            .map_err(|error| malformed(error.to_string()))?;
        let signed = SignedCheckpoint::parse(text).map_err(|error| malformed(error.to_string()))?;
        // A store of a version before COSE receipts has none.
        let root_signatures = self.bytes("meta", b"root_signatures")?;
        let (root_signatures, rest) = root_signatures.as_deref().unwrap_or_default().as_chunks::<64>();
        if !rest.is_empty() {
            return Err(malformed("root signatures of broken length".to_owned()));
        }
        let root_signatures = root_signatures.iter().map(|bytes| Signature::new(*bytes)).collect();
        Ok(Some((Height::new(number(&value)?), Published { signed, root_signatures })))
    }

    /// State keys among `keys` that exist; for tests and diagnostics.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn existing<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<BTreeSet<Vec<u8>>, StorageError> {
        let mut found = BTreeSet::new();
        for key in keys {
            if self.bytes("state", key)?.is_some() {
                found.insert(key.to_vec());
            }
        }
        Ok(found)
    }

    /// Every entry of a family, in the order of their keys. What is read once is not worth a place in the cache.
    pub(super) fn entries(&self, name: &'static str) -> impl Iterator<Item = Result<Entry, StorageError>> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        self.snapshot
            .iterator_cf_opt(family(self.db, name), options, IteratorMode::Start)
            .map(move |entry| entry.map_err(StorageError::failed(format!("reading {name}"))))
    }

    /// The first entry of a family.
    pub(super) fn first(&self, name: &'static str) -> Result<Option<Entry>, StorageError> {
        let mut entries = self.snapshot.iterator_cf(family(self.db, name), IteratorMode::Start);
        entries.next().transpose().map_err(StorageError::failed(format!("reading {name}")))
    }

    /// The first entry of a family at or after a key.
    pub(super) fn next(&self, name: &'static str, from: &[u8]) -> Result<Option<Entry>, StorageError> {
        self.from(name, from).next().transpose()
    }

    /// The entries of a family at or after a key, ascending.
    pub(super) fn from(
        &self,
        name: &'static str,
        from: &[u8],
    ) -> impl Iterator<Item = Result<Entry, StorageError>> {
        let mode = IteratorMode::From(from, Direction::Forward);
        self.snapshot
            .iterator_cf(family(self.db, name), mode)
            .map(move |entry| entry.map_err(StorageError::failed(format!("reading {name}"))))
    }

    /// The value of a state key at this height.
    pub(super) fn state(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.bytes("state", key)?.map(|bytes| bytes.to_vec()))
    }

    fn bytes(&self, name: &'static str, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StorageError> {
        self.snapshot
            .get_pinned_cf(family(self.db, name), key)
            .map_err(StorageError::failed(format!("reading {name}")))
    }

    fn decoded<T: Wire>(&self, name: &'static str, key: &[u8]) -> Result<Option<T>, StorageError> {
        match self.bytes(name, key)? {
            None => Ok(None),
            Some(bytes) => decode_trusted(&bytes).map(Some).map_err(StorageError::decode(name)),
        }
    }
}

impl Subtrees for Snapshot<'_> {
    type Error = StorageError;

    fn subtree(&self, level: u8, index: u64) -> Result<Digest, StorageError> {
        let within = level % HEIGHT;
        let mut row = self.log_hashes(level / HEIGHT, index << within, 1 << within)?;
        while row.len() > 1 {
            row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        Ok(row[0])
    }
}

impl LedgerRead for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.state(key).map_err(|error| ReadError(error.to_string()))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, ReadError> {
        let mode = IteratorMode::From(from, Direction::Forward);
        read::take_range(self.snapshot.iterator_cf(family(self.db, "state"), mode), to, limit)
    }
}

impl TreeReader for Snapshot<'_> {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let key = keys::tree_node(super::borsh(node_key)?);
        let bytes = self.bytes("tree", &key)?;
        Ok(bytes.map(|bytes| borsh::from_slice(&bytes)).transpose()?)
    }

    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}
