//! What a node keeps on disk, and how it stops when the disk fails.
//!
//! Two RocksDB stores with different promises:
//! * the [`consensus`] store is the truth: safety record, blocks, certificates, batches with their bodies.
//!   The driver makes one synced write per loop; nothing is said that is not in it.
//! * the [`ledger`] store is derived: log, state tree, indexes, outcomes. One write per executed block, to
//!   memory: what a crash cuts off is executed again. Losing all of it costs time, never data.
//!
//! A small [`high_water`] file beside them detects a consensus store that fell back to an older state. What
//! someone able to alter each would gain is in `docs/operate/`.
//!
//! A storage error is final: RocksDB refuses writes after a background error until it is reopened, and
//! nothing read after a failed sync can be trusted. So [`StorageError`] is never retried; the node stops.

use std::path::{Path, PathBuf};

use chain_core::code::{Code, Refusal};
use chain_core::codec::CodecError;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamilyDescriptor,
    CompactOptions, DB, DBCompactionStyle, DBCompressionType, DBRecoveryMode, Options, WriteOptions,
};

pub mod consensus;
pub mod high_water;
pub mod keys;
pub mod ledger;
pub mod live;
pub mod log;
pub mod usage;

/// The disk failed or lied.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// RocksDB refused.
    #[error("{what}")]
    Failed {
        /// What was attempted, on which store.
        what: String,
        /// Why not.
        source: rocksdb::Error,
    },
    /// A file beside the stores could not be read or written.
    #[error("{what} {}", path.display())]
    File {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A store failed in the background, and takes no more writes until it is opened again.
    #[error("the {store} store recorded {count} background errors and takes no more writes")]
    Latched {
        /// Which store.
        store: String,
        /// How many.
        count: u64,
    },
    /// Whoever writes to a store left no moment in which it could be opened beside him.
    #[error(
        "the {what} was flushed or compacted each of the {tries} times that it was opened; try again when less is written"
    )]
    Restless {
        /// Which store.
        what: String,
        /// How often.
        tries: u32,
    },
    /// Bytes that this node wrote do not decode or do not match their checksum.
    #[error("{what} is corrupt: {why}")]
    Corrupt {
        /// Which entry.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl StorageError {
    /// Wraps RocksDB's error.
    pub fn failed(what: impl Into<String>) -> impl FnOnce(rocksdb::Error) -> Self {
        move |source| Self::Failed { what: what.into(), source }
    }

    /// Names a corrupt entry.
    pub fn corrupt(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), why: why.into() }
    }

    /// Wraps a decoding error of an entry this node wrote.
    pub fn decode(what: impl Into<String>) -> impl FnOnce(CodecError) -> Self {
        move |error| Self::corrupt(what, error.to_string())
    }

    /// The refusal it stands for in logs and exit codes.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Corrupt { .. } => Refusal::new(Code::StorageCorrupt, self.to_string()),
            Self::Latched { .. } | Self::Restless { .. } => {
                Refusal::new(Code::StorageFailed, self.to_string())
            }
            Self::Failed { source, .. } => {
                let code = match source.kind() {
                    rocksdb::ErrorKind::Corruption => Code::StorageCorrupt,
                    _ => Code::StorageFailed,
                };
                Refusal::new(code, format!("{self}: {source}"))
            }
            Self::File { source, .. } => Refusal::new(Code::StorageFailed, format!("{self}: {source}")),
        }
    }
}

/// How much memory and how many files one store may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Bytes of one column family's memtable.
    pub(crate) write_buffer: usize,
    /// Bytes of all memtables together: the largest are flushed beyond it.
    pub(crate) write_buffers: usize,
    /// How a write survives a crash.
    pub(crate) recovery: Recovery,
    /// Bytes of the cache of uncompressed blocks.
    pub(crate) cache: usize,
    /// Files held open.
    pub(crate) files: i32,
}

/// How a write survives a crash.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recovery {
    /// By a write-ahead log of at most so many bytes.
    Log(u64),
    /// By doing it again: what is not flushed is lost, in all families at the same write.
    Repetition,
}

/// Opens a store, creating it when the directory is new.
pub(crate) fn open(path: &Path, families: &[Family], budget: Budget) -> Result<DB, StorageError> {
    let mut options = options(budget);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    DB::open_cf_descriptors(&options, path, descriptors(families, budget))
        .map_err(StorageError::failed(format!("opening the store {}", path.display())))
}

/// Opens a store for reading alone: nothing in it changes, not even by its being opened.
pub(crate) fn open_read_only(path: &Path, families: &[Family], budget: Budget) -> Result<DB, StorageError> {
    DB::open_cf_descriptors_read_only(&options(budget), path, descriptors(families, budget), false)
        .map_err(StorageError::failed(format!("opening the store {}", path.display())))
}

/// No option here is exotic: reliability counts more than the last per cent.
fn options(budget: Budget) -> Options {
    let mut options = Options::default();
    // Up to the first record of the log that is not whole, and nothing after it. After a power cut that is the end of what
    // was synced: the file may be longer, with pages that were never written. Damage elsewhere makes a store of an
    // earlier moment, and that it fell back the high-water mark tells. To tolerate a torn tail alone is not enough:
    // RocksDB calls a last record with a page of zeros a wrong checksum, and a validator would not start again.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_open_files(budget.files);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * 1024 * 1024);
    options.set_max_manifest_file_size(16 * 1024 * 1024);
    options.set_db_write_buffer_size(budget.write_buffers);
    match budget.recovery {
        Recovery::Log(bytes) => options.set_max_total_wal_size(bytes),
        Recovery::Repetition => options.set_atomic_flush(true),
    }
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1024 * 1024);
    options
}

fn descriptors(families: &[Family], budget: Budget) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(budget.cache);
    let descriptors = families.iter().map(|family| {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        blocks.set_block_size(family.block_bytes);
        blocks.set_format_version(5);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // Indexes and filters in parts: a lookup takes a few KiB of them, not those of a whole file, through the
        // cache.
        blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        blocks.set_pin_top_level_index_and_filter(true);
        blocks.set_metadata_block_size(4 * 1024);
        if family.looked_up_by_hash {
            blocks.set_bloom_filter(10.0, false);
            blocks.set_partition_filters(true);
        }
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(budget.write_buffer);
        if family.looked_up_by_hash {
            options.set_memtable_prefix_bloom_ratio(0.05);
            options.set_memtable_whole_key_filtering(true);
        }
        options.set_max_write_buffer_number(3);
        // What is just written is soon rewritten: compress what stays, unless it is hashes.
        options.set_compression_type(DBCompressionType::None);
        if !family.hashes {
            options.set_bottommost_compression_type(DBCompressionType::Lz4);
        }
        // Fewer, larger compactions: a lookup by hash asks filters first.
        options.set_level_zero_file_num_compaction_trigger(6);
        options.set_level_compaction_dynamic_level_bytes(true);
        if family.scattered {
            // New keys fall everywhere, so a compaction into levels would rewrite all of a level for a few.
            options.set_compaction_style(DBCompactionStyle::Universal);
        }
        if family.large_values {
            // Written once and kept: compactions move their keys only.
            options.set_enable_blob_files(true);
            options.set_min_blob_size(BLOB_BYTES_MIN);
            options.set_blob_file_size(64 * 1024 * 1024);
            options.set_enable_blob_gc(true);
        }
        ColumnFamilyDescriptor::new(family.name, options)
    });
    descriptors.collect()
}

/// One column family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    /// Its name.
    pub(crate) name: &'static str,
    /// Bytes of an uncompressed block.
    pub(crate) block_bytes: usize,
    /// Whether absent keys are asked for often enough to pay for a filter.
    pub(crate) looked_up_by_hash: bool,
    /// Whether new keys fall between old ones.
    pub(crate) scattered: bool,
    /// Whether keys and values are mostly hashes, which do not compress.
    pub(crate) hashes: bool,
    /// Whether values of over [`BLOB_BYTES_MIN`] stand in files of their own.
    pub(crate) large_values: bool,
}

/// The oldest share of the files of large values that compactions collect, as RocksDB does by itself.
pub(crate) const BLOB_AGE_CUTOFF: &str = "0.25";
/// Smaller values stand beside their keys.
const BLOB_BYTES_MIN: u64 = 1024;

impl Family {
    /// Entries in the order of their keys.
    pub(crate) const fn ordered(name: &'static str) -> Self {
        Self {
            name,
            block_bytes: 16 * 1024,
            looked_up_by_hash: false,
            scattered: false,
            hashes: false,
            large_values: false,
        }
    }

    /// Entries under hashes.
    pub(crate) const fn hashed(name: &'static str) -> Self {
        Self { block_bytes: 4 * 1024, looked_up_by_hash: true, scattered: true, ..Self::ordered(name) }
    }

    /// Hashes under hashes.
    pub(crate) const fn hashes(name: &'static str) -> Self {
        Self { hashes: true, ..Self::hashed(name) }
    }

    /// Entries of many lists, each in its own order.
    pub(crate) const fn scattered(name: &'static str) -> Self {
        Self { scattered: true, ..Self::ordered(name) }
    }

    /// Hashes under hashes after a version.
    pub(crate) const fn versioned(name: &'static str) -> Self {
        Self { scattered: false, ..Self::hashes(name) }
    }

    /// Large values in the order of their keys.
    pub(crate) const fn large(name: &'static str) -> Self {
        Self { large_values: true, ..Self::ordered(name) }
    }
}

/// The handle of a column family that [`open`] made.
///
/// # Panics
/// When the family was not opened: a bug of this crate.
pub(crate) fn family<'a>(db: &'a DB, name: &str) -> &'a rocksdb::ColumnFamily {
    db.cf_handle(name).unwrap_or_else(|| panic!("column family {name} was not opened"))
}

/// Options of a write that must be on disk when it returns.
pub(crate) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// A compaction that writes every file it meets anew: what was deleted or replaced is in none of them afterwards. One that
/// failed says so only through [`healthy`].
pub(crate) fn rewriting() -> CompactOptions {
    let mut options = CompactOptions::default();
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    options
}

/// Whether the store still takes writes. A background error latches: every later write would fail.
///
/// # Errors
/// When a background error is recorded or the property cannot be read.
pub(crate) fn healthy(db: &DB, store: &str) -> Result<(), StorageError> {
    let errors = db
        .property_int_value("rocksdb.background-errors")
        .map_err(StorageError::failed(format!("asking the {store} store for its errors")))?;
    match errors {
        None | Some(0) => Ok(()),
        Some(count) => Err(StorageError::Latched { store: store.to_owned(), count }),
    }
}
