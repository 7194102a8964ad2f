//! Taking an act of recovery: whether the agencies' act may end the epoch that this node is in.
//!
//! An act is kept in the consensus store before anything follows from it. From then on this node makes no vote
//! and no batch in the epoch that it ends, whatever becomes of the process: see [`crate::epoch::Part`]. It takes effect
//! where the block that it names is the newest final one: at once, or when that block has come.
//! `docs/operate/recovery.md` is the drill, `docs/adr/0008-way-out-of-a-lost-quorum.md` the reason.

use chain_core::block::Flags;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::{ChainId, Epoch, Height};
use chain_core::recovery::{RecoveryAct, RecoveryKeys, SignedRecovery};
use consensus::message::Message;

use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;

/// Where a node stands when it is given an act.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch in force after the newest final block, and after the acts that ended others at that block.
    pub epoch: Epoch,
    /// The newest final block: height and digest.
    pub newest: (Height, Digest),
}

/// When an act takes effect at a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// At once: the block that it names is the newest final one.
    AtOnce,
    /// When that block has become final here.
    Later,
}

impl Standing {
    /// Reads it from the store of final blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(store: &ConsensusStore, chain_id: ChainId) -> Result<Self, StorageError> {
        let height = store.final_height()?;
        let (epoch, digest) = match store.final_block(height)? {
            None => (Epoch::ZERO, *chain_id.digest()),
            Some(block) if block.header.flags.contains(Flags::CLOSING) => {
                (block.header.epoch.next(), block.header.digest())
            }
            Some(block) => (block.header.epoch, block.header.digest()),
        };
        let acts = store.acts_at(epoch, (height, digest))?;
        let epoch = acts.last().map_or(epoch, |last| last.act.next.epoch());
        Ok(Self { chain_id, epoch, newest: (height, digest) })
    }

    /// Whether this node may take an act, and when it takes effect. `known` is the act that it has taken for the same
    /// epoch, if any; another one takes its place as long as that has not taken effect.
    ///
    /// # Errors
    /// `RECOVERY_UNKNOWN` for a chain without recovery keys; `GENESIS_MISMATCH`, `RECOVERY_INVALID`, `RECOVERY_SHORT`
    /// for an act that binds nobody; `RECOVERY_WRONG_EPOCH`, `RECOVERY_BELOW_FINAL`, `RECOVERY_OTHER_BLOCK`,
    /// `RECOVERY_TAKEN` for one that does not fit what is final here.
    pub fn judge(
        &self,
        recovery: &SignedRecovery,
        keys: Option<&RecoveryKeys>,
        known: Option<&SignedRecovery>,
    ) -> Result<Effect, Refusal> {
        let act = &recovery.act;
        let keys = keys.ok_or_else(|| Refusal::new(Code::RecoveryUnknown, "no section [recovery]"))?;
        recovery.verify(self.chain_id, act.epoch, keys).map_err(|error| error.refusal())?;
        let (height, digest) = self.newest;
        let named = act.height;
        if act.epoch < self.epoch {
            return match known {
                Some(known) if known.act == *act => Ok(Effect::AtOnce),
                Some(known) => {
                    let detail = format!("epoch {} was ended by act {}", act.epoch, known.act.record());
                    Err(Refusal::new(Code::RecoveryTaken, detail))
                }
                None => Err(wrong_epoch(act, self.epoch)),
            };
        }
        if named < height {
            let detail = format!("the act names block {named}, final here is {height}");
            return Err(Refusal::new(Code::RecoveryBelowFinal, detail));
        }
        if named > height {
            return Ok(Effect::Later);
        }
        if act.block_digest != digest {
            let detail = format!("block {named}: {} in the act, {digest} here", act.block_digest);
            return Err(Refusal::new(Code::RecoveryOtherBlock, detail));
        }
        if act.epoch != self.epoch {
            return Err(wrong_epoch(act, self.epoch));
        }
        Ok(Effect::AtOnce)
    }
}

fn wrong_epoch(act: &RecoveryAct, in_force: Epoch) -> Refusal {
    Refusal::new(
        Code::RecoveryEpoch,
        format!("the act ends epoch {}, in force here is {in_force}", act.epoch),
    )
}

/// Whether the engine of a node that follows an ended epoch to the block of the act may hear a message. Nothing
/// that leads past that block is of use any more, and whoever still votes in the epoch is not listened to.
pub(crate) fn may_hear(message: &Message, act: &RecoveryAct) -> bool {
    match message {
        Message::Propose(_)
        | Message::Vote(..)
        | Message::ViewChange(_)
        | Message::Entry(_)
        | Message::Closing(_) => false,
        Message::Blocks { certificate, .. } | Message::Certificate(certificate) => {
            certificate.height <= act.height
        }
        Message::Status(status) => {
            status.certificate.as_ref().is_none_or(|certificate| certificate.height <= act.height)
        }
        Message::Executed(_)
        | Message::Echo(_)
        | Message::GetProposal { .. }
        | Message::GetCertificate
        | Message::GetBlocks { .. }
        | Message::Have { .. } => true,
    }
}

#[cfg(test)]
mod tests;
