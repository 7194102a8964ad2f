//! What of the ledger another node can take over: the entries that hold at one height and are the same at every validator
//! that executed the same blocks.
//!
//! Not among them: earlier versions of the state, which each node keeps as far back as it has them (`stale`, `replaced`,
//! and those nodes of the tree that `stale` names), the tips of earlier blocks, this node's own erasures (`erasures`), and
//! cosignatures of checkpoints (in `meta`).
//!
//! They are handed over in chunks, each the entries from one key on up to some number of bytes. So whoever has the same
//! entries has the same chunks, and a list of their digests ([`Manifest`]) says which they are.

use std::collections::HashSet;

use chain_core::codec::{Wire, encode};
use chain_core::crypto::Digest;
use chain_core::id::Height;
use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use super::history::{NODE, names_of};
use super::{LedgerStore, Snapshot, StorageError, family, keys, unlogged};

/// Families in the order in which they are handed over.
const PORTABLE: [&str; 15] = [
    "leaves",
    "hashes",
    "outcomes",
    "state",
    "tree",
    "records",
    "lists",
    "txs",
    "digests",
    "ordered",
    "tips",
    "summaries",
    "sets",
    "indexes",
    "meta",
];
/// What is handed over of `meta`.
const META: [&[u8]; 3] = [b"chain", b"executed", b"log"];
/// A chunk is full with the entry that brings it to so many bytes.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;
/// Most bytes of a chunk: the last entry may be long.
pub(crate) const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a chunk begins, and what it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChunkName {
    /// Which family, by its place in the order.
    family: u8,
    /// The first key that may be in it.
    from: Vec<u8>,
    /// Bytes of its encoding.
    pub bytes: u32,
    /// Digest of its family and its encoding.
    digest: Digest,
}

impl ChunkName {
    /// Whether these bytes are the chunk.
    pub fn names(&self, bytes: &[u8]) -> bool {
        self.digest == digest_of(self.family, bytes)
    }
}

/// The chunks of a snapshot.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Manifest {
    /// The height of the snapshot.
    pub height: Height,
    /// Its chunks, in order.
    pub chunks: Vec<ChunkName>,
}

impl Wire for Manifest {
    const LIMIT: usize = CHUNK_BYTES_MAX;
}

impl Manifest {
    /// What validators that have the same snapshot agree on.
    pub fn digest(bytes: &[u8]) -> Digest {
        Digest::tagged(b"cityledger/snapshot-manifest/1", &[bytes])
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()
    }
}

/// Entries of one family, ascending.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Chunk(Vec<(Vec<u8>, Vec<u8>)>);

impl Wire for Chunk {
    const LIMIT: usize = CHUNK_BYTES_MAX;
}

/// The nodes of the tree that only earlier versions of the state need.
#[derive(Debug, Default)]
pub struct Stale(HashSet<Vec<u8>>);

impl Snapshot<'_> {
    /// Which nodes of the tree are not handed over.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn stale(&self) -> Result<Stale, StorageError> {
        let mut stale = HashSet::new();
        for entry in self.entries("stale") {
            let (_, names) = entry?;
            for name in names_of(&names) {
                if let (NODE, node) = name? {
                    stale.insert(node.to_vec());
                }
            }
        }
        Ok(Stale(stale))
    }

    /// Names every chunk.
    ///
    /// # Errors
    /// When the disk refuses; when the snapshot is too large for a manifest, or an entry for a chunk.
    pub fn manifest(&self, stale: &Stale) -> Result<Manifest, StorageError> {
        let mut manifest = Manifest { height: self.height(), chunks: Vec::new() };
        for family in (0..).take(PORTABLE.len()) {
            let mut from = Vec::new();
            while let Some((bytes, next)) = self.chunk_from(stale, family, &from)? {
                let name = ChunkName {
                    family,
                    from: std::mem::replace(&mut from, next),
                    bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                    digest: digest_of(family, &bytes),
                };
                manifest.chunks.push(name);
            }
        }
        Ok(manifest)
    }

    /// Reads a chunk, encoded.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn chunk(&self, stale: &Stale, name: &ChunkName) -> Result<Vec<u8>, StorageError> {
        let found = self.chunk_from(stale, name.family, &name.from)?;
        Ok(found.map(|(bytes, _)| bytes).unwrap_or_default())
    }

    /// The chunk that begins at a key, encoded, and where the next one begins; none after the last entry.
    fn chunk_from(
        &self,
        stale: &Stale,
        family: u8,
        from: &[u8],
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        let Some(name) = PORTABLE.get(usize::from(family)) else { return Ok(None) };
        let newest = keys::height(self.height());
        let (mut chunk, mut bytes) = (Chunk::default(), 0);
        for entry in self.from(name, from) {
            let (key, value) = entry?;
            let taken = match *name {
                "tree" => !stale.0.contains(&key[..]),
                "tips" => key[..] == newest,
                "meta" => META.contains(&&key[..]),
                _ => true,
            };
            if !taken {
                continue;
            }
            bytes += key.len() + value.len();
            chunk.0.push((key.into_vec(), value.into_vec()));
            if bytes >= CHUNK_BYTES {
                break;
            }
        }
        let Some((last, _)) = chunk.0.last() else { return Ok(None) };
        let next = [&last[..], &[0]].concat();
        let encoded = encode(&chunk).map_err(StorageError::decode(format!("chunk of {name}")))?;
        Ok(Some((encoded, next)))
    }
}

impl LedgerStore {
    /// Puts the entries of a chunk into a store that is being made of chunks.
    ///
    /// # Errors
    /// When the bytes are no chunk of this name, or the disk refuses.
    pub fn put_chunk(&self, name: &ChunkName, bytes: &[u8]) -> Result<(), StorageError> {
        let malformed = |why: &str| StorageError::corrupt("chunk of a snapshot", why);
        if !name.names(bytes) {
            return Err(malformed("it is another one"));
        }
        let into = PORTABLE.get(usize::from(name.family)).ok_or_else(|| malformed("of no family"))?;
        let chunk: Chunk =
            chain_core::codec::decode(bytes).map_err(StorageError::decode("chunk of a snapshot"))?;
        let mut batch = WriteBatch::default();
        for (key, value) in &chunk.0 {
            batch.put_cf(family(&self.db, into), key, value);
        }
        self.db.write_opt(batch, &unlogged()).map_err(StorageError::failed("writing a chunk"))
    }
}

fn digest_of(family: u8, bytes: &[u8]) -> Digest {
    Digest::tagged(b"cityledger/snapshot-chunk/1", &[&[family], bytes])
}
