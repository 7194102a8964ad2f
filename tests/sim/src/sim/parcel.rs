//! What travels between nodes, and the fingerprint of it that goes into a trace.

use std::sync::Arc;

use chain_core::codec;
use chain_core::lane::{BatchRef, SignedBatchHeader};
use consensus::message::Message;

/// What one node hands to another.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// A message of the engine.
    Message(Box<Message>),
    /// A batch of a lane; its data is known to the simulation.
    Batch(SignedBatchHeader),
    /// A request for the batches of a lane from one sequence number up to a tip.
    GetBatches {
        /// First one wanted.
        from: u64,
        /// Newest one wanted.
        tip: BatchRef,
    },
}

impl Parcel {
    /// Its place in a count: votes, proposals, batches, everything else.
    pub fn kind(&self) -> usize {
        match self {
            Self::Message(message) => match &**message {
                Message::Vote(..) => 0,
                Message::Propose(_) => 1,
                _ => 3,
            },
            Self::Batch(_) => 2,
            Self::GetBatches { .. } => 3,
        }
    }
}

/// A parcel on its way, shared by all who get it.
#[derive(Debug)]
pub struct Letter {
    /// What it holds.
    pub parcel: Parcel,
    /// Hash over its encoding.
    pub print: u64,
    /// Length of its encoding, bytes.
    pub bytes: u64,
}

impl Letter {
    /// Encodes the parcel once, for its fingerprint and length.
    pub fn new(parcel: Parcel) -> Arc<Self> {
        let encoded = match &parcel {
            Parcel::Message(message) => codec::encode(&**message),
            Parcel::Batch(batch) => codec::encode(batch),
            Parcel::GetBatches { from, tip } => {
                let mut bytes = from.to_le_bytes().to_vec();
                bytes.extend(tip.author.get().to_le_bytes());
                bytes.extend(tip.seq.to_le_bytes());
                bytes.extend(tip.digest.as_bytes());
                Ok(bytes)
            }
        };
        // What is too long to encode is nothing a network would carry; its receiver drops it.
        let encoded = encoded.unwrap_or_default();
        Arc::new(Self { print: print(&encoded), bytes: encoded.len() as u64, parcel })
    }
}

/// A hash that is quick and the same everywhere; nobody here tries to collide it.
fn print(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        hash = fold(hash, u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
    }
    for byte in chunks.remainder() {
        hash = fold(hash, u64::from(*byte));
    }
    hash
}

/// Adds a number to a hash.
pub fn fold(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}
