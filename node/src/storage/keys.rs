//! Keys of the stores. Numbers are big-endian, so that the order of bytes is the order of numbers and new
//! entries are appended: ascending inserts cost a third of random ones.

use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, RecordId, TxId, ValidatorIx};
use chain_core::lane::BatchRef;

/// A height.
pub fn height(height: Height) -> [u8; 8] {
    height.get().to_be_bytes()
}

/// A block: height, then digest, so that the blocks above a height are one range.
pub fn block(height: Height, digest: &Digest) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&height.get().to_be_bytes());
    key[8..].copy_from_slice(digest.as_bytes());
    key
}

/// Bytes of a place in a lane.
pub const LANE_BYTES: usize = 18;

/// A batch: its place in its lane, then its digest.
pub fn batch(batch: &BatchRef) -> [u8; LANE_BYTES + 32] {
    let mut key = [0; LANE_BYTES + 32];
    key[..LANE_BYTES].copy_from_slice(&lane(batch.epoch, batch.author, batch.seq));
    key[LANE_BYTES..].copy_from_slice(batch.digest.as_bytes());
    key
}

/// A place in a lane: epoch, author, sequence number.
pub fn lane(epoch: Epoch, author: ValidatorIx, seq: u64) -> [u8; LANE_BYTES] {
    let mut key = [0; LANE_BYTES];
    key[..8].copy_from_slice(&epoch.get().to_be_bytes());
    key[8..10].copy_from_slice(&author.get().to_be_bytes());
    key[10..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// An epoch.
pub fn epoch(epoch: Epoch) -> [u8; 8] {
    epoch.get().to_be_bytes()
}

/// A leaf of the record log, by position.
pub fn leaf(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// A hash of the record log: tile level (eight tree levels each), then position in the level.
pub fn log_hash(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// One leaf of a record's history.
pub fn record_leaf(record: &RecordId, leaf: u64) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(record.digest().as_bytes());
    key[32..].copy_from_slice(&leaf.to_be_bytes());
    key
}

/// Where a transaction stands. Half of its digest: a reader compares the whole one with what it finds.
pub fn transaction(tx: &TxId) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&tx.digest().as_bytes()[..16]);
    key
}

/// Which list an entry of the listing belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum List<'a> {
    /// Every record.
    All,
    /// Records of an agency, by its text form.
    Agency(&'a str),
    /// Records of a type, by its name.
    Type(&'a str),
}

impl List<'_> {
    /// What all keys of the list start with.
    pub fn prefix(self) -> [u8; 9] {
        let (tag, digest) = match self {
            Self::All => (0, Digest::ZERO),
            Self::Agency(text) => (1, Digest::tagged(b"list/agency", &[text.as_bytes()])),
            Self::Type(name) => (2, Digest::tagged(b"list/type", &[name.as_bytes()])),
        };
        let mut key = [tag; 9];
        key[1..].copy_from_slice(&digest.as_bytes()[..8]);
        key
    }

    /// The entry of the record whose first leaf is `leaf`.
    pub fn key(self, leaf: u64) -> [u8; 17] {
        let mut key = [0; 17];
        key[..9].copy_from_slice(&self.prefix());
        key[9..].copy_from_slice(&leaf.to_be_bytes());
        key
    }
}

/// A node of the state tree: version first, then the path. `borsh` is the tree's own encoding with a
/// little-endian version in front; turning those eight bytes round makes keys ascend with the height.
pub fn tree_node(mut borsh: Vec<u8>) -> Vec<u8> {
    if let Some(version) = borsh.first_chunk_mut::<8>() {
        version.reverse();
    }
    borsh
}

/// What all values that a state key had earlier start with. Its length comes first, so that no key is the beginning of
/// another.
pub fn replaced_of(state_key: &[u8]) -> Vec<u8> {
    [&replaced_of_length(state_key.len()), state_key].concat()
}

/// What all earlier values of state keys of a length start with.
pub fn replaced_of_length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// The value of a state key that a height replaced.
pub fn replaced(state_key: &[u8], by: Height) -> Vec<u8> {
    [&replaced_of(state_key)[..], &height(by)].concat()
}
