//! Lanes: each validator's hash chain of batches, pushed to everybody ahead of ordering.
//!
//! A block does not carry data; it advances lane tips. Bodies of operations travel beside the transactions
//! of a batch and enter no hash of it, so that deleting one later changes nothing that was signed.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::codec::Wire;
use crate::committee::VALIDATORS_MAX;
use crate::crypto::{Digest, SIGNATURE_DOMAIN, Signable, Signature};
use crate::id::{ChainId, Epoch, ValidatorIx};

/// Most bytes of a batch, transactions and bodies together.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Most operations of a batch.
pub const BATCH_RECORDS_MAX: u32 = 2_048;

/// What the author of a lane signs for one batch.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BatchHeader {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch; lanes restart at sequence 0 in each.
    pub epoch: Epoch,
    /// Whose lane.
    pub author: ValidatorIx,
    /// Position in the lane, from 0.
    pub seq: u64,
    /// Digest of the batch before it in the lane; zero for the first.
    pub prev: Digest,
    /// Merkle root over the transaction ids, in order.
    pub payload_root: Digest,
    /// Encoded bytes of transactions and bodies.
    pub bytes: u32,
    /// Operations in all transactions.
    pub count: u32,
    /// The author's clock when it sealed the batch, milliseconds since 1970; information only.
    pub time_ms: u64,
}

impl BatchHeader {
    /// The canonical layout that is hashed.
    pub fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(136);
        writer.digest(self.chain_id.digest()).u64(self.epoch.get()).u16(self.author.get()).u64(self.seq);
        writer.digest(&self.prev).digest(&self.payload_root);
        writer.u32(self.bytes).u32(self.count).u64(self.time_ms);
        writer.finish()
    }

    /// Reads what [`BatchHeader::canonical`] wrote.
    ///
    /// # Errors
    /// When bytes are missing.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            chain_id: ChainId::new(reader.digest()?),
            epoch: Epoch::new(reader.u64()?),
            author: ValidatorIx::new(reader.u16()?),
            seq: reader.u64()?,
            prev: reader.digest()?,
            payload_root: reader.digest()?,
            bytes: reader.u32()?,
            count: reader.u32()?,
            time_ms: reader.u64()?,
        })
    }

    /// What lane advances and blocks name: SHA-256 over the canonical header.
    pub fn digest(&self) -> Digest {
        Digest::tagged(b"CL/batch/1", &[&self.canonical()])
    }
}

impl Signable for BatchHeader {
    /// Kind 5: domain, kind, chain, epoch, author, seq, digest.
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(5).digest(self.chain_id.digest()).u64(self.epoch.get());
        writer.u16(self.author.get()).u64(self.seq).digest(&self.digest());
        writer.finish()
    }
}

/// A batch header with its author's signature.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignedBatchHeader {
    /// The header.
    pub header: BatchHeader,
    /// The author's consensus-key signature over it.
    pub signature: Signature,
}

impl Wire for SignedBatchHeader {
    const LIMIT: usize = 512;
}

/// Names one batch.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct BatchRef {
    /// The epoch: lanes begin anew in each.
    pub epoch: Epoch,
    /// Whose lane.
    pub author: ValidatorIx,
    /// Position in the lane.
    pub seq: u64,
    /// Digest of its header.
    pub digest: Digest,
}

impl BatchRef {
    /// The name of a batch.
    pub fn of(header: &BatchHeader) -> Self {
        Self { epoch: header.epoch, author: header.author, seq: header.seq, digest: header.digest() }
    }
}

/// Orders everything in a lane up to and including `tip`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct LaneAdvance {
    /// Whose lane.
    pub author: ValidatorIx,
    /// The new tip's position.
    pub seq: u64,
    /// The new tip's digest.
    pub tip: Digest,
}

impl LaneAdvance {
    /// The name of the new tip's batch.
    pub fn tip_in(&self, epoch: Epoch) -> BatchRef {
        BatchRef { epoch, author: self.author, seq: self.seq, digest: self.tip }
    }

    /// Canonical 42 bytes: author, sequence, tip.
    pub fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(42);
        writer.u16(self.author.get()).u64(self.seq).digest(&self.tip);
        writer.finish()
    }
}

/// Where each lane stands after some block: the newest ordered batch per author of the epoch. A function of the
/// chain; the default is the start of an epoch, nothing ordered yet. Holds entries up to the highest author
/// that had a batch ordered, so that it does not depend on the size of the set.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LaneFrontier(Vec<Option<(u64, Digest)>>);

impl LaneFrontier {
    /// Newest ordered `(seq, digest)` of an author's lane.
    pub fn tip(&self, author: ValidatorIx) -> Option<(u64, Digest)> {
        self.0.get(author.index()).copied().flatten()
    }

    /// Sequence number that the next ordered batch of this lane has.
    pub fn next_seq(&self, author: ValidatorIx) -> u64 {
        self.tip(author).map_or(0, |(seq, _)| seq.saturating_add(1))
    }

    /// Moves a lane's tip. Authors that no set can have are ignored: block validity refuses them before.
    pub fn advance(&mut self, advance: &LaneAdvance) {
        let index = advance.author.index();
        if index >= VALIDATORS_MAX {
            return;
        }
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        self.0[index] = Some((advance.seq, advance.tip));
    }
}
