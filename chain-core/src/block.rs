//! Block headers: the only thing validators vote on.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::codec::Wire;
use crate::crypto::{Digest, SIGNATURE_DOMAIN, Signable};
use crate::id::{ChainId, Epoch, Height, ValidatorIx, View};
use crate::lane::LaneAdvance;
use crate::merkle;

/// Version of the header layout.
pub const HEADER_VERSION: u16 = 1;
/// Most batches one block orders from one lane.
pub const LANE_BATCHES_MAX: u64 = 16;
/// Most bytes of transactions and bodies one block orders.
pub const BLOCK_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Most operations one block orders.
pub const BLOCK_RECORDS_MAX: u32 = 8_192;
/// Most blocks of one view.
pub const VIEW_BLOCKS_MAX: u64 = 4_096;
/// How far execution may lag behind ordering: K.
pub const EXEC_LAG_MAX: u64 = 64;
/// The execution of every multiple of this height is certified: headers certify executions with a lag and pass heights
/// over, but none of these. A snapshot of such a height can be held against a root that a quorum signed.
pub const CERTIFIED_EVERY: u64 = 64;

/// Header flags, a bit set.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Flags(u8);

impl Flags {
    /// An ordinary block.
    pub const NONE: Self = Self(0);
    /// Last block of its view: the next leader takes over from it.
    pub const TERM_END: Self = Self(1);
    /// Last block of its epoch.
    pub const CLOSING: Self = Self(2);
    /// Orders nothing: a seal after a burst, or a heartbeat.
    pub const SEAL: Self = Self(4);
    /// Validators cosign the checkpoint at this header's `exec_height`.
    pub const CHECKPOINT: Self = Self(8);
    /// Stands after a closing block of the same epoch and is no part of the ledger: a commit certificate on it
    /// makes that closing block final. Orders nothing, so [`Self::SEAL`] is set too.
    pub const SUFFIX: Self = Self(16);

    /// Every bit that has a meaning.
    const KNOWN: u8 = 31;

    /// The bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Flags from bits; `None` when an unknown bit is set or the combination has no meaning: a closing block
    /// orders nothing and ends no term, a suffix orders nothing and carries no other mark.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        let flags = Self(bits);
        let closing = flags.contains(Self::CLOSING);
        let fitting = !closing || (flags.contains(Self::SEAL) && !flags.contains(Self::TERM_END));
        let alone = !flags.contains(Self::SUFFIX) || bits == Self::SUFFIX.with(Self::SEAL).bits();
        if bits & !Self::KNOWN == 0 && fitting && alone { Some(flags) } else { None }
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a block says; its digest is what votes name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Header {
    /// Layout version.
    pub version: u16,
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The view it was proposed in; a carried-over block keeps it.
    pub view: View,
    /// Position in the chain.
    pub height: Height,
    /// Digest of the block before it.
    pub parent: Digest,
    /// Leader of the view.
    pub proposer: ValidatorIx,
    /// The proposer's clock, milliseconds since 1970; later than the parent's.
    pub time_ms: u64,
    /// See [`Flags`].
    pub flags: Flags,
    /// RFC 6962 root over the lane advances' canonical bytes, sorted by author.
    pub lanes_root: Digest,
    /// RFC 6962 root over the digests of every batch ordered here, in execution order.
    pub batches_root: Digest,
    /// Batches ordered here.
    pub n_batches: u32,
    /// Operations ordered here.
    pub n_records: u32,
    /// Bytes of transactions and bodies ordered here.
    pub n_bytes: u32,
    /// Newest height whose execution this header certifies.
    pub exec_height: Height,
    /// [`ExecSummary::root`] at that height.
    pub exec_root: Digest,
    /// RFC 6962 root over the digests of blocks 1 to height−1.
    pub history_root: Digest,
    /// Hash of the epoch's validator set.
    pub validators_hash: Digest,
    /// Hash of the next epoch's set; the same unless closing.
    pub next_validators_hash: Digest,
}

impl Header {
    /// The canonical layout that is hashed.
    pub fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(320);
        writer.u16(self.version).digest(self.chain_id.digest()).u64(self.epoch.get()).u64(self.view.get());
        writer.u64(self.height.get()).digest(&self.parent).u16(self.proposer.get()).u64(self.time_ms);
        writer.u8(self.flags.bits()).digest(&self.lanes_root).digest(&self.batches_root);
        writer.u32(self.n_batches).u32(self.n_records).u32(self.n_bytes);
        writer.u64(self.exec_height.get()).digest(&self.exec_root).digest(&self.history_root);
        writer.digest(&self.validators_hash).digest(&self.next_validators_hash);
        writer.finish()
    }

    /// Reads what [`Header::canonical`] wrote.
    ///
    /// # Errors
    /// When bytes are missing or a flag is unknown.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            version: reader.u16()?,
            chain_id: ChainId::new(reader.digest()?),
            epoch: Epoch::new(reader.u64()?),
            view: View::new(reader.u64()?),
            height: Height::new(reader.u64()?),
            parent: reader.digest()?,
            proposer: ValidatorIx::new(reader.u16()?),
            time_ms: reader.u64()?,
            flags: Flags::from_bits(reader.u8()?).ok_or_else(|| reader.error("unknown flags"))?,
            lanes_root: reader.digest()?,
            batches_root: reader.digest()?,
            n_batches: reader.u32()?,
            n_records: reader.u32()?,
            n_bytes: reader.u32()?,
            exec_height: Height::new(reader.u64()?),
            exec_root: reader.digest()?,
            history_root: reader.digest()?,
            validators_hash: reader.digest()?,
            next_validators_hash: reader.digest()?,
        })
    }

    /// SHA-256 over the canonical layout.
    pub fn digest(&self) -> Digest {
        Digest::tagged(b"CL/hdr/1", &[&self.canonical()])
    }

    /// Orders nothing.
    pub fn is_empty(&self) -> bool {
        self.n_batches == 0
    }

    /// What the leader signs: kind 1 over this header's position and digest.
    pub fn proposal(&self) -> SlotPreimage {
        SlotPreimage {
            kind: 1,
            chain_id: self.chain_id,
            epoch: self.epoch,
            view: self.view.get(),
            height: self.height,
            digest: self.digest(),
        }
    }
}

impl Wire for Header {
    const LIMIT: usize = 1024;
}

/// The 102 bytes that proposals and votes sign.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SlotPreimage {
    /// 1 PROPOSE, 2 PREPARE, 3 COMMIT, 4 VIEW-CHANGE (which appends eight bytes).
    pub kind: u8,
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The view; `u64::MAX` is reserved for the base of an epoch.
    pub view: u64,
    /// The height.
    pub height: Height,
    /// The block.
    pub digest: Digest,
}

impl Signable for SlotPreimage {
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(128);
        writer.raw(SIGNATURE_DOMAIN).u8(self.kind).digest(self.chain_id.digest()).u64(self.epoch.get());
        writer.u64(self.view).u64(self.height.get()).digest(&self.digest);
        writer.finish()
    }
}

/// Root over lane advances.
pub fn lanes_root(advances: &[LaneAdvance]) -> Digest {
    merkle::root(advances.iter().map(LaneAdvance::canonical))
}

/// Root over batch digests in execution order.
pub fn batches_root<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Digest {
    merkle::root(digests)
}

/// What execution of one height gave, on top of all heights below; its root stands in a later header.
///
/// A header may pass over heights, so each summary names the root of the one before: the root that a quorum signs
/// covers the outcomes of every height up to its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExecSummary {
    /// The executed height.
    pub height: Height,
    /// [`ExecSummary::root`] of the height below; zeros at height 0.
    pub previous: Digest,
    /// Leaves in the record log after it.
    pub log_size: u64,
    /// Root of the record log after it.
    pub log_root: Digest,
    /// Root over this height's outcomes.
    pub outcomes_root: Digest,
    /// Root of the state tree after it.
    pub state_root: Digest,
}

impl ExecSummary {
    /// `exec_root`: SHA-256 over tag, height, the root before, log size and the three roots.
    pub fn root(&self) -> Digest {
        let mut writer = Writer::with_capacity(144);
        writer.u64(self.height.get()).digest(&self.previous).u64(self.log_size);
        writer.digest(&self.log_root).digest(&self.outcomes_root).digest(&self.state_root);
        Digest::tagged(b"CL/exec/2", &[&writer.finish()])
    }
}

impl Wire for ExecSummary {
    const LIMIT: usize = 256;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_refuse_unknown_bits_and_combinations_without_meaning() {
        // Term end 1, closing 2, seal 4, checkpoint 8, suffix 16.
        let valid = [0, 1, 4, 5, 6, 8, 9, 12, 13, 14, 20];
        for bits in 0..=u8::MAX {
            let flags = Flags::from_bits(bits);
            assert_eq!(flags.map(Flags::bits), valid.contains(&bits).then_some(bits), "bits {bits}");
        }
    }

    #[test]
    fn a_slot_preimage_has_102_bytes() {
        let slot = SlotPreimage {
            kind: 2,
            chain_id: ChainId::new(Digest::ZERO),
            epoch: Epoch::ZERO,
            view: 1,
            height: Height::new(2),
            digest: Digest::ZERO,
        };
        assert_eq!(slot.preimage().len(), 102);
    }
}
