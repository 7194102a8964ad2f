//! The consensus store: what this node signed, what was agreed, and the data it was agreed on.
//!
//! | family | key | value |
//! |---|---|---|
//! | `safety` | `record` | SHA-256 of the record's bytes, then the bytes |
//! | `blocks` | height, digest | proposal |
//! | `heights` | height | digest of the final block |
//! | `certs` | height | what made it final, one per commit event: [`Certified`] |
//! | `epochs` | epoch | how it ended: closing proof |
//! | `acts` | epoch | how the agencies ended it, where its quorum was lost: [`chain_core::recovery::SignedRecovery`] |
//! | `batches` | epoch, author, sequence, digest | batch with its bodies |
//! | `recorded` | as in `batches` | what came of a batch some of whose bodies are gone: [`Recorded`] |
//! | `indexes` | height | the index of subjects after this block, which changed it, see [`erased`] |
//! | `meta` | name | see [`ConsensusStore::meta`] |
//!
//! The store's log is shared by all families, so one synced write also makes every earlier unsynced batch
//! durable.

mod acts;
mod copied;
mod erased;
mod kept;
mod runs;

use std::path::Path;

use chain_core::block::{Flags, Header};
use chain_core::certificate::Cert;
use chain_core::codec::{Wire, decode_head, decode_trusted, encode};
use chain_core::crypto::Digest;
use chain_core::epoch::ClosingProof;
use chain_core::id::{Epoch, Height, ValidatorIx};
use chain_core::lane::{BatchRef, LaneFrontier, SignedBatchHeader};
use chain_core::transaction::Batch;
use consensus::Write;
use consensus::message::Proposal;
use consensus::safety::SafetyRecord;
use rocksdb::{DB, Direction, IteratorMode, WriteBatch};
use serde::{Deserialize, Serialize};

pub use erased::Recorded;
pub use kept::Pruned;
pub(crate) use runs::RUN_BYTES_MAX;
pub use runs::Run;

use super::{Budget, Family, Recovery, StorageError, family, healthy, keys, open, open_read_only, synced};

const FAMILIES: &[Family] = &[
    Family::ordered("safety"),
    Family::ordered("blocks"),
    Family::ordered("heights"),
    Family::ordered("certs"),
    Family::ordered("epochs"),
    Family::ordered("acts"),
    Family::large("batches"),
    Family::ordered("recorded"),
    Family::ordered("indexes"),
    Family::ordered("meta"),
];
const BUDGET: Budget = Budget {
    write_buffer: 16 * 1024 * 1024,
    write_buffers: 40 * 1024 * 1024,
    recovery: Recovery::Log(128 * 1024 * 1024),
    cache: 8 * 1024 * 1024,
    files: 256,
};
const RECORD: &[u8] = b"record";
const CARRIED: &str = "carried";

/// The store.
#[derive(Debug)]
pub struct ConsensusStore {
    db: DB,
}

/// What made a height final.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Certified {
    /// When the height closed its epoch: the Suffixes between it and the certified header.
    pub suffixes: Vec<Header>,
    /// Commit certificate of the last of them, or of the height itself.
    pub certificate: Cert,
}

impl Wire for Certified {
    const LIMIT: usize = ClosingProof::LIMIT;
}

/// Batches that ended epochs left unordered and this node files again: its own, or those of validators that are gone.
#[derive(Debug, Deserialize, Serialize)]
struct Carried(Vec<BatchRef>);

impl Wire for Carried {
    /// Those of a hundred lanes, twice as many of each as an author makes ahead of what is ordered.
    const LIMIT: usize = 1024 * 1024;
}

/// Entries of the next synced write.
#[derive(Default)]
pub struct SyncedWrite {
    batch: WriteBatch,
    /// The safety record in it, if any.
    pub safety: Option<SafetyRecord>,
}

impl std::fmt::Debug for SyncedWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SyncedWrite({} entries)", self.batch.len())
    }
}

impl SyncedWrite {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }
}

impl ConsensusStore {
    /// Opens the store, creating it when the directory is new.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Ok(Self { db: open(path, FAMILIES, BUDGET)? })
    }

    /// Opens the store for reading alone: whoever only looks must not be able to change what this node signed.
    ///
    /// # Errors
    /// When it is not there or cannot be opened.
    pub fn open_read_only(path: &Path) -> Result<Self, StorageError> {
        Ok(Self { db: open_read_only(path, FAMILIES, BUDGET)? })
    }

    /// The safety record, if there is one.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` when it does not match its checksum.
    pub fn safety(&self) -> Result<Option<SafetyRecord>, StorageError> {
        let Some(bytes) = self.bytes("safety", RECORD)? else {
            return Ok(None);
        };
        let (checksum, record) = bytes
            .split_at_checked(Digest::LEN)
            .ok_or_else(|| StorageError::corrupt("safety record", "too short"))?;
        if Digest::tagged(b"", &[record]).as_bytes() != checksum {
            return Err(StorageError::corrupt("safety record", "checksum does not match"));
        }
        decode_trusted(record).map(Some).map_err(StorageError::decode("safety record"))
    }

    /// Adds one of the engine's writes.
    ///
    /// # Errors
    /// When a value has no encoding or a final block was never stored.
    pub fn add(&self, write: &mut SyncedWrite, entry: &Write) -> Result<(), StorageError> {
        match entry {
            Write::Safety(record) => {
                let bytes = encoded("safety record", &**record)?;
                let checksum = Digest::tagged(b"", &[&bytes]);
                let value = [checksum.as_bytes(), &bytes[..]].concat();
                write.batch.put_cf(family(&self.db, "safety"), RECORD, value);
                write.safety = Some((**record).clone());
            }
            Write::Block(proposal) => {
                let key = keys::block(proposal.header.height, &proposal.header.digest());
                write.batch.put_cf(family(&self.db, "blocks"), key, encoded("block", &**proposal)?);
            }
            Write::Commit { certificate, blocks, suffixes, .. } => {
                self.add_commit(write, certificate, blocks, suffixes)?;
            }
            // The batch itself comes with the data, in `add_batch` of the same write.
            Write::OwnBatch(_) => {}
        }
        Ok(())
    }

    /// Blocks became final: the one place where this is written.
    fn add_commit(
        &self,
        write: &mut SyncedWrite,
        certificate: &Cert,
        blocks: &[Header],
        suffixes: &[Header],
    ) -> Result<(), StorageError> {
        let Some(last) = blocks.last() else { return Ok(()) };
        let heights = family(&self.db, "heights");
        for header in blocks {
            let digest = header.digest();
            write.batch.put_cf(heights, keys::height(header.height), digest.as_bytes());
            self.drop_siblings(write, header.height, &digest)?;
        }
        let certified = Certified { suffixes: suffixes.to_vec(), certificate: certificate.clone() };
        let key = keys::height(last.height);
        write.batch.put_cf(family(&self.db, "certs"), key, encoded("certificate", &certified)?);
        if last.flags.contains(Flags::CLOSING) {
            let headers = std::iter::once(last).chain(suffixes).cloned().collect();
            let proof = ClosingProof { headers, certificate: certificate.clone() };
            let key = keys::epoch(last.epoch);
            write.batch.put_cf(family(&self.db, "epochs"), key, encoded("closing proof", &proof)?);
        }
        Ok(())
    }

    /// Blocks of the same height that lost are of no use once one is final.
    fn drop_siblings(
        &self,
        write: &mut SyncedWrite,
        height: Height,
        keep: &Digest,
    ) -> Result<(), StorageError> {
        let blocks = family(&self.db, "blocks");
        let keep = keys::block(height, keep);
        let from = keys::height(height);
        for entry in self.db.iterator_cf(blocks, IteratorMode::From(&from, Direction::Forward)) {
            let (key, _) = entry.map_err(StorageError::failed("reading blocks of one height"))?;
            if !key.starts_with(&from) {
                break;
            }
            if key[..] != keep {
                write.batch.delete_cf(blocks, key);
            }
        }
        Ok(())
    }

    /// Adds a batch that must be durable together with the rest.
    pub fn add_batch(&self, write: &mut SyncedWrite, batch: &BatchRef, bytes: &[u8]) {
        write.batch.put_cf(family(&self.db, "batches"), keys::batch(batch), bytes);
    }

    /// Writes everything, synced.
    ///
    /// # Errors
    /// When the disk refuses: nothing may be said on the strength of it, and the node stops.
    pub fn commit(&self, write: SyncedWrite) -> Result<(), StorageError> {
        self.db
            .write_opt(write.batch, &synced())
            .map_err(StorageError::failed("synced write to the consensus store"))
    }

    /// Stores a batch, unsynced: the next synced write makes it durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_batch(&self, batch: &BatchRef, bytes: &[u8]) -> Result<(), StorageError> {
        self.db
            .put_cf(family(&self.db, "batches"), keys::batch(batch), bytes)
            .map_err(StorageError::failed("writing a batch"))
    }

    /// A batch as it was stored.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn batch_bytes(&self, batch: &BatchRef) -> Result<Option<Vec<u8>>, StorageError> {
        self.bytes("batches", &keys::batch(batch))
    }

    /// Whether a batch is stored.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn has_batch(&self, batch: &BatchRef) -> Result<bool, StorageError> {
        let key = keys::batch(batch);
        let found = self.db.get_pinned_cf(family(&self.db, "batches"), key);
        Ok(found.map_err(StorageError::failed("reading a batch"))?.is_some())
    }

    /// Encoded batches of a lane, each with what was recorded of it where bodies are gone, from one sequence number to another, ascending, within both limits; at least
    /// one if there is any.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn lane(
        &self,
        (epoch, author): (Epoch, ValidatorIx),
        from: u64,
        to: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<(Vec<u8>, Option<Vec<u8>>)>, StorageError> {
        let (first, last) = (keys::lane(epoch, author, from), keys::lane(epoch, author, to));
        let mode = IteratorMode::From(&first, Direction::Forward);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for entry in self.db.iterator_cf(family(&self.db, "batches"), mode) {
            let (key, batch) = entry.map_err(StorageError::failed("reading a lane"))?;
            bytes += batch.len();
            let full = found.len() == count_max || (bytes > bytes_max && !found.is_empty());
            if key[..keys::LANE_BYTES] > last[..] || full {
                break;
            }
            let recorded = self.bytes("recorded", &key)?;
            bytes += recorded.as_ref().map_or(0, Vec::len);
            found.push((batch.into_vec(), recorded));
        }
        Ok(found)
    }

    /// A batch, decoded.
    ///
    /// # Errors
    /// When the disk refuses or the stored bytes are no batch.
    pub fn batch(&self, batch: &BatchRef) -> Result<Option<Batch>, StorageError> {
        self.decoded("batches", &keys::batch(batch))
    }

    /// A block by position and digest.
    ///
    /// # Errors
    /// When the disk refuses or the stored bytes are no block.
    pub fn block(&self, height: Height, digest: &Digest) -> Result<Option<Proposal>, StorageError> {
        self.decoded("blocks", &keys::block(height, digest))
    }

    /// The digest of the final block at a height.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn final_digest(&self, height: Height) -> Result<Option<Digest>, StorageError> {
        let Some(bytes) = self.bytes("heights", &keys::height(height))? else {
            return Ok(None);
        };
        digest(&bytes).map(Some)
    }

    /// The final block at a height.
    ///
    /// # Errors
    /// When the disk refuses, or the height is final but its block is missing.
    pub fn final_block(&self, height: Height) -> Result<Option<Proposal>, StorageError> {
        let Some(digest) = self.final_digest(height)? else {
            return Ok(None);
        };
        match self.block(height, &digest)? {
            Some(block) => Ok(Some(block)),
            None => Err(StorageError::corrupt(format!("block {height}"), "final, but not stored")),
        }
    }

    /// The highest final height; zero at genesis.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn final_height(&self) -> Result<Height, StorageError> {
        let last = self.db.iterator_cf(family(&self.db, "heights"), IteratorMode::End).next();
        match last.transpose().map_err(StorageError::failed("reading the final height"))? {
            None => Ok(Height::ZERO),
            Some((key, _)) => number(&key).map(Height::new),
        }
    }

    /// Final blocks from a height on, ascending, at most `limit`.
    ///
    /// # Errors
    /// When the disk refuses or a block is missing.
    pub fn final_blocks(&self, from: Height, limit: usize) -> Result<Vec<Proposal>, StorageError> {
        let mut blocks = Vec::new();
        let mut height = from;
        while blocks.len() < limit {
            let Some(block) = self.final_block(height)? else {
                break;
            };
            blocks.push(block);
            height = height.next();
        }
        Ok(blocks)
    }

    /// The lowest height at or above the given one that a commit certificate names as the newest it makes final,
    /// and that certificate: it finalises the given height.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn certified_from(&self, height: Height) -> Result<Option<(Height, Certified)>, StorageError> {
        self.certified(height, Direction::Forward)
    }

    /// As [`Self::certified_from`], the highest at or below a height.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn certified_to(&self, height: Height) -> Result<Option<(Height, Certified)>, StorageError> {
        self.certified(height, Direction::Reverse)
    }

    fn certified(
        &self,
        height: Height,
        direction: Direction,
    ) -> Result<Option<(Height, Certified)>, StorageError> {
        let key = keys::height(height);
        let mode = IteratorMode::From(&key, direction);
        let found = self.db.iterator_cf(family(&self.db, "certs"), mode).next();
        match found.transpose().map_err(StorageError::failed("reading a certificate"))? {
            None => Ok(None),
            Some((key, bytes)) => {
                let certified = decode_trusted(&bytes).map_err(StorageError::decode("certificate"))?;
                Ok(Some((Height::new(number(&key)?), certified)))
            }
        }
    }

    /// How an epoch ended; none while it has not.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn closing(&self, epoch: Epoch) -> Result<Option<ClosingProof>, StorageError> {
        self.decoded("epochs", &keys::epoch(epoch))
    }

    /// Stored blocks above a height, whatever became of them.
    ///
    /// # Errors
    /// When the disk refuses or a block does not decode.
    pub fn blocks_above(&self, height: Height) -> Result<Vec<Proposal>, StorageError> {
        let from = keys::height(height.next());
        let mode = IteratorMode::From(&from, Direction::Forward);
        let mut blocks = Vec::new();
        for entry in self.db.iterator_cf(family(&self.db, "blocks"), mode) {
            let (_, bytes) = entry.map_err(StorageError::failed("reading blocks"))?;
            blocks.push(decode_trusted(&bytes).map_err(StorageError::decode("block"))?);
        }
        Ok(blocks)
    }

    /// Headers of the stored batches of an epoch's `n` lanes in the first `places` above a frontier, by lane and
    /// sequence; no more than twice as many of a lane, should its author have signed rivals.
    ///
    /// # Errors
    /// When the disk refuses or a batch does not decode.
    pub fn batches_above(
        &self,
        epoch: Epoch,
        frontier: &LaneFrontier,
        n: usize,
        places: usize,
    ) -> Result<Vec<SignedBatchHeader>, StorageError> {
        let mut headers = Vec::new();
        for author in (0..n).filter_map(|ix| u16::try_from(ix).ok()).map(ValidatorIx::new) {
            let from = frontier.next_seq(author);
            let to = from.saturating_add(places as u64 - 1);
            headers.extend(self.lane_headers((epoch, author), from, to, 2 * places)?);
        }
        Ok(headers)
    }

    /// Headers of the stored batches of a lane from one sequence number to another, ascending, at most `limit`.
    ///
    /// # Errors
    /// When the disk refuses or a batch does not begin with a header.
    pub fn lane_headers(
        &self,
        (epoch, author): (Epoch, ValidatorIx),
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<SignedBatchHeader>, StorageError> {
        let (first, last) = (keys::lane(epoch, author, from), keys::lane(epoch, author, to));
        let mode = IteratorMode::From(&first, Direction::Forward);
        let mut headers = Vec::new();
        for entry in self.db.iterator_cf(family(&self.db, "batches"), mode).take(limit) {
            let (key, bytes) = entry.map_err(StorageError::failed("reading batches"))?;
            if key[..keys::LANE_BYTES] > last[..] {
                break;
            }
            headers.push(decode_head::<Batch, _>(&bytes).map_err(StorageError::decode("batch"))?);
        }
        Ok(headers)
    }

    /// Keeps the names of batches that ended epochs left unordered, in place of those kept before; synced.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_carried(&self, names: &[BatchRef]) -> Result<(), StorageError> {
        self.set_meta(CARRIED, &encoded("names of batches", &Carried(names.to_vec()))?)
    }

    /// The names that [`Self::set_carried`] kept.
    ///
    /// # Errors
    /// When the disk refuses or the value does not decode.
    pub fn carried(&self) -> Result<Vec<BatchRef>, StorageError> {
        let Some(bytes) = self.meta(CARRIED)? else { return Ok(Vec::new()) };
        let Carried(names) = decode_trusted(&bytes).map_err(StorageError::decode("names of batches"))?;
        Ok(names)
    }

    /// A small named value: `chain` is the chain id, `format` the layout's version.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.bytes("meta", name.as_bytes())
    }

    /// Sets a small named value, synced.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_meta(&self, name: &str, value: &[u8]) -> Result<(), StorageError> {
        self.db
            .put_cf_opt(family(&self.db, "meta"), name, value, &synced())
            .map_err(StorageError::failed(format!("writing {name} of the consensus store")))
    }

    /// Whether the store still takes writes.
    ///
    /// # Errors
    /// When it recorded a background error.
    pub fn healthy(&self) -> Result<(), StorageError> {
        healthy(&self.db, "consensus")
    }

    /// Reads every entry of every family for the disk's checksums; gives how many there are.
    ///
    /// # Errors
    /// Where a checksum fails: RocksDB names file and byte.
    pub fn read_all(&self) -> Result<u64, StorageError> {
        let mut entries = 0;
        for one in FAMILIES {
            for entry in self.db.iterator_cf(family(&self.db, one.name), IteratorMode::Start) {
                entry.map_err(StorageError::failed(format!("reading all {}", one.name)))?;
                entries += 1;
            }
        }
        Ok(entries)
    }

    /// Writes what is in memory to disk, so that the next start is quick.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.db.flush_wal(true).map_err(StorageError::failed("flushing the consensus store"))
    }

    fn bytes(&self, name: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.db.get_cf(family(&self.db, name), key).map_err(StorageError::failed(format!("reading {name}")))
    }

    fn decoded<T: Wire>(&self, name: &'static str, key: &[u8]) -> Result<Option<T>, StorageError> {
        let pinned = self
            .db
            .get_pinned_cf(family(&self.db, name), key)
            .map_err(StorageError::failed(format!("reading {name}")))?;
        match pinned {
            None => Ok(None),
            Some(bytes) => decode_trusted(&bytes).map(Some).map_err(StorageError::decode(name)),
        }
    }
}

pub(crate) fn encoded<T: Wire>(what: &str, value: &T) -> Result<Vec<u8>, StorageError> {
    encode(value).map_err(StorageError::decode(what))
}

pub(crate) fn number(bytes: &[u8]) -> Result<u64, StorageError> {
    let word = bytes.first_chunk::<8>().ok_or_else(|| StorageError::corrupt("number", "too short"))?;
    Ok(u64::from_be_bytes(*word))
}

pub(crate) fn digest(bytes: &[u8]) -> Result<Digest, StorageError> {
    let bytes: [u8; 32] =
        bytes.try_into().map_err(|_| StorageError::corrupt("digest", "has not 32 bytes"))?;
    Ok(Digest::new(bytes))
}

#[cfg(test)]
#[path = "consensus_tests.rs"]
pub(crate) mod tests;
