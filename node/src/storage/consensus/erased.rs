//! What is kept in place of bodies that are gone: what their operations came to, and the index of subjects.
//!
//! Execution needs a body once. Whoever executes a block again without it, after losing the ledger or on joining, goes by
//! what is recorded here; see `docs/adr/0012-bodies-that-are-gone.md`.

use std::collections::BTreeSet;

use chain_core::codec::Wire;
use chain_core::execute::Outcome;
use chain_core::id::Height;
use chain_core::lane::{BATCH_RECORDS_MAX, BatchRef};
use chain_core::layout::Layout as _;
use chain_core::subject::IndexEntry;
use rocksdb::FlushOptions;
use serde::{Deserialize, Serialize};

use super::super::rewriting;
use super::{ConsensusStore, FAMILIES, StorageError, SyncedWrite, encoded, family, keys, number};

const INDEXED: &str = "indexed";

/// What the operations of a batch came to, in order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Recorded(pub Vec<Outcome>);

impl Wire for Recorded {
    const LIMIT: usize = BATCH_RECORDS_MAX as usize * Outcome::LIMIT;
}

impl ConsensusStore {
    /// Adds a batch some of whose bodies are gone, in place of the one that has them, with what it came to.
    ///
    /// # Errors
    /// When the outcomes have no encoding.
    pub fn add_stripped(
        &self,
        write: &mut SyncedWrite,
        name: &BatchRef,
        bytes: &[u8],
        recorded: &Recorded,
    ) -> Result<(), StorageError> {
        self.add_batch(write, name, bytes);
        let value = encoded("recorded outcomes", recorded)?;
        write.batch.put_cf(family(&self.db, "recorded"), keys::batch(name), value);
        Ok(())
    }

    /// What a batch came to, if bodies of it are gone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn recorded(&self, name: &BatchRef) -> Result<Option<Recorded>, StorageError> {
        self.decoded("recorded", &keys::batch(name))
    }

    /// Whether bodies of a batch are gone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn is_stripped(&self, name: &BatchRef) -> Result<bool, StorageError> {
        let found = self.db.get_pinned_cf(family(&self.db, "recorded"), keys::batch(name));
        Ok(found.map_err(StorageError::failed("reading recorded outcomes"))?.is_some())
    }

    /// The height up to which it is recorded how the index of subjects stood.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn indexed_to(&self) -> Result<Height, StorageError> {
        self.meta(INDEXED)?.map_or(Ok(Height::ZERO), |bytes| number(&bytes).map(Height::new))
    }

    /// Adds how the index of subjects stood after blocks that changed it, up to a height.
    pub fn add_indexes(&self, write: &mut SyncedWrite, entries: &[(Height, IndexEntry)], to: Height) {
        let indexes = family(&self.db, "indexes");
        for (height, entry) in entries {
            write.batch.put_cf(indexes, keys::height(*height), entry.to_canonical());
        }
        write.batch.put_cf(family(&self.db, "meta"), INDEXED, keys::height(to));
    }

    /// How the index of subjects stood after a block not above [`Self::indexed_to`]; none when that did not change it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn index_after(&self, height: Height) -> Result<Option<IndexEntry>, StorageError> {
        let found = self.bytes("indexes", &keys::height(height))?;
        let entry = found.map(|bytes| IndexEntry::from_canonical(&bytes)).transpose();
        entry.map_err(|error| StorageError::corrupt("index of subjects", error.to_string()))
    }

    /// Makes sure that nothing of what batches held before is left in any file: writes out what is in memory, so that the
    /// logs go, and writes anew the files in which the batches stand.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn scrub(&self, batches: &BTreeSet<BatchRef>) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(()) };
        self.flush_families()?;
        let handle = family(&self.db, "batches");
        let (first, last) = (keys::batch(first), keys::batch(last));
        self.collecting("batches", || {
            self.db.compact_range_cf_opt(handle, Some(first), Some(last), &rewriting());
        })?;
        self.healthy()
    }

    /// Writes out what is in memory, all families at one write.
    pub(super) fn flush_families(&self) -> Result<(), StorageError> {
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        let all: Vec<_> = FAMILIES.iter().map(|one| family(&self.db, one.name)).collect();
        self.db
            .flush_cfs_opt(&all.iter().collect::<Vec<_>>(), &flush)
            .map_err(StorageError::failed("flushing the consensus store"))
    }

    /// Compacts a family. Values in files of their own stay until those files are collected: here all that the compaction
    /// meets are.
    pub(super) fn collecting(&self, name: &str, compact: impl FnOnce()) -> Result<(), StorageError> {
        let collect = |cutoff: &str| {
            self.db
                .set_options_cf(family(&self.db, name), &[("blob_garbage_collection_age_cutoff", cutoff)])
                .map_err(StorageError::failed("setting the collection of old values"))
        };
        collect("1.0")?;
        compact();
        collect(super::super::BLOB_AGE_CUTOFF)
    }
}
