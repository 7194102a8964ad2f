//! Acts of recovery: which epochs the agencies ended.

use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height};
use chain_core::recovery::SignedRecovery;

use super::{ConsensusStore, StorageError, encoded, family, keys, synced};

impl ConsensusStore {
    /// The act that this node has taken for the end of an epoch. It takes effect where the block that it names is
    /// the newest final one of that epoch.
    ///
    /// # Errors
    /// When the disk refuses or the act does not decode.
    pub fn act(&self, epoch: Epoch) -> Result<Option<SignedRecovery>, StorageError> {
        self.decoded("acts", &keys::epoch(epoch))
    }

    /// Keeps an act, in place of an earlier one for the same epoch; synced.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_act(&self, recovery: &SignedRecovery) -> Result<(), StorageError> {
        let bytes = encoded("act of recovery", recovery)?;
        self.db
            .put_cf_opt(family(&self.db, "acts"), keys::epoch(recovery.act.epoch), bytes, &synced())
            .map_err(StorageError::failed("writing an act of recovery"))
    }

    /// The acts that end an epoch, and perhaps those after it, at one block: more than one where an epoch was ended
    /// before it had a block of its own.
    ///
    /// # Errors
    /// As [`Self::act`].
    pub fn acts_at(
        &self,
        epoch: Epoch,
        (height, digest): (Height, Digest),
    ) -> Result<Vec<SignedRecovery>, StorageError> {
        let (mut acts, mut epoch) = (Vec::new(), epoch);
        while let Some(found) = self.act(epoch)? {
            if (found.act.height, found.act.block_digest) != (height, digest) {
                break;
            }
            epoch = found.act.next.epoch();
            acts.push(found);
        }
        Ok(acts)
    }

    /// The acts that lead from one epoch to a later one.
    ///
    /// # Errors
    /// As [`Self::act`]; `STORAGE_CORRUPT` when one is missing.
    pub fn acts_between(&self, from: Epoch, to: Epoch) -> Result<Vec<SignedRecovery>, StorageError> {
        let (mut acts, mut epoch) = (Vec::new(), from);
        while epoch < to {
            let Some(found) = self.act(epoch)? else {
                let what = format!("end of epoch {epoch}");
                return Err(StorageError::corrupt(what, "neither a closing block nor an act is stored"));
            };
            epoch = found.act.next.epoch();
            acts.push(found);
        }
        Ok(acts)
    }
}
