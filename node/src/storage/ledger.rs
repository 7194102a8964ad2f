//! The ledger store: everything that follows from the ordered blocks.
//!
//! | family | key | value |
//! |---|---|---|
//! | `leaves` | position | leaf bytes |
//! | `hashes` | level, position | hash of the record log, see [`super::log`] |
//! | `outcomes` | height, batch, position | outcomes of one transaction |
//! | `state` | state key | value |
//! | `tree` | version, path | node of the state tree |
//! | `stale` | height | what it replaced: [names](history) of nodes of the state tree and of entries of the state |
//! | `replaced` | state key, height | the value that this height replaced |
//! | `records` | record, position | nothing: the leaves of a record |
//! | `lists` | list, position | record first accepted there, in the list of all; nothing in [other lists](super::keys::List) |
//! | `txs` | half a transaction id | height, batch, position |
//! | `digests` | half a block digest | height |
//! | `ordered` | height | the batches the block orders |
//! | `tips` | height | [`Tip`] of recent heights |
//! | `summaries` | height | [`ExecSummary`] |
//! | `sets` | epoch | its validator set |
//! | `indexes` | height | the index of subjects after this block, which changed it |
//! | `erasures` | record | how far its [`Erasure`] has come, until nothing of it is left to do |
//! | `meta` | name | executed height, log frontier, newest cosigned checkpoint |
//!
//! One write per executed block, without a log: all families are flushed together, and a crash loses the blocks
//! since the last flush, which are executed again.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ::consensus::engine::Tip;
use chain_core::block::ExecSummary;
use chain_core::checkpoint::Published;
use chain_core::code::Code;
use chain_core::codec::{Wire, decode_trusted};
use chain_core::execute::{BlockResult, Outcome, Verdict};
use chain_core::id::{Height, RecordId, TxId};
use chain_core::lane::BatchRef;
use chain_core::layout::Layout as _;
use chain_core::merkle::{Frontier, leaf_hash};
use chain_core::state::{EpochEntry, key};
use chain_core::transaction::OPERATIONS_MAX;
use rocksdb::{DB, Direction, FlushOptions, IteratorMode, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};

use super::consensus::{encoded, number};
use super::keys::List;
use super::{Budget, Family, Recovery, StorageError, family, healthy, keys, log, open};

mod erasures;
mod history;
mod portable;
mod read;
mod snapshot;
mod whole;

pub use erasures::Erasure;
use history::Kept;
pub use history::Retention;
pub use portable::{ChunkName, Manifest, Stale};
pub use read::ExecutionView;
pub use snapshot::Snapshot;
pub use whole::Contents;

const FAMILIES: &[Family] = &[
    Family::ordered("leaves"),
    Family::ordered("hashes"),
    Family::ordered("outcomes"),
    Family::hashed("state"),
    Family::versioned("tree"),
    Family::ordered("stale"),
    Family::scattered("replaced"),
    Family::hashes("records"),
    Family::scattered("lists"),
    Family::hashes("txs"),
    Family::hashes("digests"),
    Family::ordered("ordered"),
    Family::ordered("tips"),
    Family::ordered("summaries"),
    Family::ordered("sets"),
    Family::ordered("indexes"),
    Family::ordered("erasures"),
    Family::ordered("meta"),
];
const BUDGET: Budget = Budget {
    write_buffer: 32 * 1024 * 1024,
    write_buffers: 80 * 1024 * 1024,
    recovery: Recovery::Repetition,
    cache: 48 * 1024 * 1024,
    files: 512,
};

/// Heights whose [`Tip`] is kept.
pub const TIPS_KEPT: u64 = 64;
/// Least number of summaries handed to the engine at start.
pub const SUMMARIES_AT_START: u64 = 256;
/// Blocks after which the ledger is flushed even if they are small: what a crash may cost to execute again.
const BLOCKS_PER_FLUSH: u64 = 2_048;

/// Where a transaction was ordered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Place {
    /// The block.
    pub height: Height,
    /// Which of its batches.
    pub batch: u32,
    /// Which transaction of the batch.
    pub position: u32,
}

impl Place {
    /// Its key: height, batch, position.
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.height.get().to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch.to_be_bytes());
        bytes[12..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StorageError> {
        let bytes: &[u8; 16] =
            bytes.try_into().map_err(|_| StorageError::corrupt("transaction place", "has not 16 bytes"))?;
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Ok(Self { height: Height::new(number(bytes)?), batch: word(8), position: word(12) })
    }
}

/// A record that appears in the lists from this block on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// Its first leaf.
    pub leaf: u64,
    /// The record.
    pub record: RecordId,
    /// Acting agency in text form.
    pub agency: String,
    /// Type name.
    pub record_type: String,
}

/// Everything one executed block adds.
#[derive(Debug)]
pub struct Executed<'a> {
    /// The chain after the block.
    pub tip: &'a Tip,
    /// What execution gave.
    pub result: &'a BlockResult,
    /// The batches ordered, in execution order.
    pub batches: &'a [BatchRef],
    /// Every transaction and its place.
    pub transactions: &'a [(TxId, Place)],
    /// Records first accepted here.
    pub listed: &'a [Listed],
    /// The newest height whose execution is certified: some of the versions of the state before it are kept.
    pub certified: Height,
}

#[derive(Deserialize, Serialize)]
struct Outcomes(Vec<Outcome>);

impl Wire for Outcomes {
    const LIMIT: usize = OPERATIONS_MAX * Outcome::LIMIT;
}

#[derive(Deserialize, Serialize)]
struct Batches(Vec<BatchRef>);

impl Wire for Batches {
    const LIMIT: usize = 256 * 1024;
}

#[derive(Deserialize, Serialize)]
struct LogFrontier(Frontier);

impl Wire for LogFrontier {
    const LIMIT: usize = 4 * 1024;
}

/// The store.
#[derive(Debug)]
pub struct LedgerStore {
    db: DB,
    /// Which versions of the state are kept besides the newest.
    kept: Kept,
    /// Whether there is a [`LedgerWriter`].
    writing: AtomicBool,
}

/// What adds executed blocks to the store. There is never more than one: whoever holds it is the only one that
/// executes.
#[derive(Debug)]
pub struct LedgerWriter<'a>(&'a LedgerStore);

impl LedgerWriter<'_> {
    /// Writes everything one executed block adds, at once.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, block: &Executed<'_>) -> Result<(), StorageError> {
        self.0.write(block)
    }
}

impl Drop for LedgerWriter<'_> {
    fn drop(&mut self) {
        self.0.writing.store(false, Ordering::Release);
    }
}

impl LedgerStore {
    /// Opens the store, creating it when the directory is new: it can be rebuilt.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Self::keeping(path, Retention::default())
    }

    /// Opens the store as [`Self::open`] does, with another share of the past.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn keeping(path: &Path, retention: Retention) -> Result<Self, StorageError> {
        let db = open(path, FAMILIES, BUDGET)?;
        Ok(Self { kept: Kept::of(&db, retention)?, db, writing: AtomicBool::new(false) })
    }

    /// A consistent view of the newest executed height.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, StorageError> {
        Snapshot::new(&self.db)
    }

    /// The newest state, for the executor.
    pub fn execution_view(&self) -> ExecutionView<'_> {
        ExecutionView::new(&self.db)
    }

    /// The record log after the newest executed block.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn log_frontier(&self) -> Result<Frontier, StorageError> {
        self.snapshot()?.log_frontier()
    }

    /// The one that adds executed blocks; none while there is another.
    pub fn writer(&self) -> Option<LedgerWriter<'_>> {
        let taken = self.writing.swap(true, Ordering::Acquire);
        (!taken).then(|| LedgerWriter(self))
    }

    fn write(&self, block: &Executed<'_>) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        self.put_log(&mut batch, block)?;
        self.put_history(&mut batch, block.result)?;
        self.put_state(&mut batch, block.result)?;
        self.prune(&mut batch, block.certified)?;
        self.put_indexes(&mut batch, block)?;
        self.put_heights(&mut batch, block)?;
        self.put_erasures(&mut batch, &block.result.erased);
        self.db.write_opt(batch, &unlogged()).map_err(StorageError::failed("writing an executed block"))?;
        if block.tip.height.get().is_multiple_of(BLOCKS_PER_FLUSH) {
            self.flush_families(false)?;
        }
        Ok(())
    }

    /// Makes everything written so far durable, at one write in all families.
    fn flush_families(&self, wait: bool) -> Result<(), StorageError> {
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        let all: Vec<_> = FAMILIES.iter().map(|one| family(&self.db, one.name)).collect();
        self.db
            .flush_cfs_opt(&all.iter().collect::<Vec<_>>(), &options)
            .map_err(StorageError::failed("flushing the ledger store"))
    }

    fn put_log(&self, batch: &mut WriteBatch, block: &Executed<'_>) -> Result<(), StorageError> {
        let leaves = family(&self.db, "leaves");
        let records = family(&self.db, "records");
        let hashes = family(&self.db, "hashes");
        let result = block.result;
        let first = result.summary.log_size - result.leaves.len() as u64;
        let mut new = Vec::with_capacity(result.leaves.len());
        for (index, leaf) in (first..).zip(&result.leaves) {
            batch.put_cf(leaves, keys::leaf(index), &leaf.bytes);
            if let Some(record) = &leaf.record {
                batch.put_cf(records, keys::record_leaf(record, index), []);
            }
            new.push(leaf_hash(&leaf.bytes));
        }
        let stored = |level: u8, index: u64| {
            let bytes = self
                .db
                .get_cf(hashes, keys::log_hash(level, index))
                .map_err(StorageError::failed("reading the log"))?;
            super::consensus::digest(
                &bytes.ok_or_else(|| StorageError::corrupt("record log", "a hash is missing"))?,
            )
        };
        for (level, index, hash) in log::grow(first, &new, stored)? {
            batch.put_cf(hashes, keys::log_hash(level, index), hash.as_bytes());
        }
        let frontier = encoded("log frontier", &LogFrontier(result.log.clone()))?;
        batch.put_cf(family(&self.db, "meta"), "log", frontier);
        Ok(())
    }

    fn put_state(&self, batch: &mut WriteBatch, result: &BlockResult) -> Result<(), StorageError> {
        let state = family(&self.db, "state");
        for (key, value) in &result.state {
            match value {
                Some(value) => batch.put_cf(state, key, value),
                None => batch.delete_cf(state, key),
            }
        }
        let epoch = key::epoch();
        if let Some((_, Some(epoch))) = result.state.iter().find(|(key, _)| *key == epoch) {
            let entry = EpochEntry::from_canonical(epoch)
                .map_err(|error| StorageError::corrupt("state value of the epoch", error.to_string()))?;
            let set = encoded("validator set", &entry.current)?;
            batch.put_cf(family(&self.db, "sets"), keys::epoch(entry.current.epoch()), set);
        }
        let index = key::index();
        if let Some((_, Some(entry))) = result.state.iter().find(|(key, _)| *key == index) {
            batch.put_cf(family(&self.db, "indexes"), keys::height(result.summary.height), entry);
        }
        let tree = family(&self.db, "tree");
        for (key, node) in result.tree.node_batch.nodes() {
            batch.put_cf(tree, keys::tree_node(borsh(key)?), borsh(node)?);
        }
        Ok(())
    }

    fn put_indexes(&self, batch: &mut WriteBatch, block: &Executed<'_>) -> Result<(), StorageError> {
        let txs = family(&self.db, "txs");
        let by_place = family(&self.db, "outcomes");
        let mut outcomes = block.result.outcomes.iter().peekable();
        for (tx, place) in block.transactions {
            let mut own: Vec<Outcome> = Vec::new();
            while let Some(outcome) = outcomes.next_if(|next| {
                next.tx == *tx && own.last().is_none_or(|last| last.operation < next.operation)
            }) {
                own.push(outcome.clone());
            }
            // A replay is refused whole; the transaction stands where it was ordered first.
            let replay = |one: &Outcome| matches!(&one.verdict, Verdict::Refused(refusal) if refusal.code == Code::Replayed);
            if !own.first().is_some_and(replay) {
                batch.put_cf(txs, keys::transaction(tx), place.to_bytes());
            }
            batch.put_cf(by_place, place.to_bytes(), encoded("outcomes", &Outcomes(own))?);
        }
        let lists = family(&self.db, "lists");
        for one in block.listed {
            batch.put_cf(lists, List::All.key(one.leaf), one.record.digest().as_bytes());
            for list in [List::Agency(&one.agency), List::Type(&one.record_type)] {
                batch.put_cf(lists, list.key(one.leaf), []);
            }
        }
        Ok(())
    }

    fn put_heights(&self, batch: &mut WriteBatch, block: &Executed<'_>) -> Result<(), StorageError> {
        let height = block.tip.height;
        let key = keys::height(height);
        if !block.batches.is_empty() {
            let ordered = encoded("ordered batches", &Batches(block.batches.to_vec()))?;
            batch.put_cf(family(&self.db, "ordered"), key, ordered);
        }
        let half = &block.tip.digest.as_bytes()[..16];
        batch.put_cf(family(&self.db, "digests"), half, key);
        let tips = family(&self.db, "tips");
        batch.put_cf(tips, key, encoded("tip", block.tip)?);
        if let Some(old) = height.get().checked_sub(TIPS_KEPT) {
            batch.delete_cf(tips, keys::height(Height::new(old)));
        }
        batch.put_cf(family(&self.db, "summaries"), key, encoded("summary", &block.result.summary)?);
        batch.put_cf(family(&self.db, "meta"), "executed", key);
        Ok(())
    }

    /// Keeps the newest checkpoint that a quorum cosigned.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_checkpoint(&self, height: Height, published: &Published) -> Result<(), StorageError> {
        let meta = family(&self.db, "meta");
        let text = published.signed.to_text();
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, "checkpoint", [&keys::height(height)[..], text.as_bytes()].concat());
        let signatures = published.root_signatures.iter().flat_map(|one| *one.as_bytes()).collect::<Vec<_>>();
        batch.put_cf(meta, "root_signatures", signatures);
        self.db.write_opt(batch, &unlogged()).map_err(StorageError::failed("writing a checkpoint"))
    }

    /// The summaries the engine wants at start, ascending: recent ones, and all from the height on that the executed
    /// block certifies.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn recent_summaries(&self, executed: &Tip) -> Result<Vec<ExecSummary>, StorageError> {
        let recent = Height::new(executed.height.get().saturating_sub(SUMMARIES_AT_START - 1));
        let covered = executed.header.as_ref().map_or(Height::ZERO, |header| header.exec_height);
        let from = keys::height(recent.min(covered));
        let mode = IteratorMode::From(&from, Direction::Forward);
        let mut summaries = Vec::new();
        for entry in self.db.iterator_cf(family(&self.db, "summaries"), mode) {
            let (_, bytes) = entry.map_err(StorageError::failed("reading summaries"))?;
            summaries.push(decode_trusted(&bytes).map_err(StorageError::decode("summary"))?);
        }
        Ok(summaries)
    }

    /// Changes an entry behind the ledger's back.
    #[cfg(test)]
    pub(crate) fn put_raw(&self, name: &str, key: &[u8], value: Option<&[u8]>) {
        let handle = family(&self.db, name);
        let done = match value {
            Some(value) => self.db.put_cf_opt(handle, key, value, &unlogged()),
            None => self.db.delete_cf_opt(handle, key, &unlogged()),
        };
        assert_eq!(done, Ok(()));
    }

    /// The chain id the store was made for, or none when it is new.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn chain(&self) -> Result<Option<Vec<u8>>, StorageError> {
        self.db
            .get_cf(family(&self.db, "meta"), "chain")
            .map_err(StorageError::failed("reading the ledger's chain"))
    }

    /// Binds a new store to its chain.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_chain(&self, chain: &[u8]) -> Result<(), StorageError> {
        self.db
            .put_cf_opt(family(&self.db, "meta"), "chain", chain, &unlogged())
            .map_err(StorageError::failed("writing the ledger's chain"))?;
        self.flush_families(true)
    }

    /// Whether the store still takes writes.
    ///
    /// # Errors
    /// When it recorded a background error.
    pub fn healthy(&self) -> Result<(), StorageError> {
        healthy(&self.db, "ledger")
    }

    /// Makes what is written durable, so that the next start repeats nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.flush_families(true)
    }
}

/// Options of a write that is repeated after a crash. Keys of one family come mostly in ascending order.
fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options.set_memtable_insert_hint_per_batch(true);
    options
}

fn borsh<T: borsh::BorshSerialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    borsh::to_vec(value).map_err(|error| StorageError::corrupt("state tree", error.to_string()))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
