//! This node's part in one epoch: who votes, whether it is one of them, and who else may connect.

use std::sync::Arc;

use chain_core::code::{Code, Refusal};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, PublicKey};
use chain_core::execute::{self, LedgerRead};
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Height, ValidatorIx};
use chain_core::recovery::{RecoveryAct, SignedRecovery};
use chain_core::state::EpochEntry;

use crate::driver::batches::BatchJudge;

/// Most nodes beside the validators of the epoch that a node stays connected with: validators that were, and
/// validators to be.
pub const GUESTS_MAX: usize = 28;

/// One epoch as this node takes part in it.
#[derive(Debug)]
pub struct Part {
    /// The validators.
    pub committee: Arc<Committee>,
    /// This validator; none for an observer.
    pub me: Option<ValidatorIx>,
    /// The block before the epoch's first: height and digest.
    pub base: (Height, Digest),
    /// The height that scheduled the next set, and that set's hash, once there is one.
    pub scheduled: Option<(Height, Digest)>,
    /// The act that ends the epoch at a block which is not executed here yet. Until it is, this node follows and signs
    /// nothing.
    pub ended_by: Option<Box<SignedRecovery>>,
    /// Checks batches of this epoch.
    pub judge: BatchJudge,
}

impl Part {
    /// The part of the holder of a consensus key.
    pub fn new(chain_id: ChainId, entry: EpochEntry, key: &PublicKey) -> Self {
        let committee = Arc::new(entry.current);
        Self {
            me: committee.index_of(key),
            base: (entry.base_height, entry.base_digest),
            scheduled: entry.scheduled.map(|one| (one.height, one.next.hash())),
            ended_by: None,
            judge: BatchJudge::new(chain_id, committee.clone()),
            committee,
        }
    }

    /// The part of the holder of a consensus key in epoch 0.
    pub fn of_genesis(genesis: &Genesis, key: &PublicKey) -> Self {
        let committee = Arc::new(genesis.committee().clone());
        let chain_id = genesis.chain_id();
        Self {
            me: committee.index_of(key),
            base: (Height::ZERO, *chain_id.digest()),
            scheduled: None,
            ended_by: None,
            judge: BatchJudge::new(chain_id, committee.clone()),
            committee,
        }
    }

    /// The part of the holder of a consensus key in the epoch that an act begins.
    pub fn recovered(act: &RecoveryAct, key: &PublicKey) -> Self {
        let committee = Arc::new(act.next.clone());
        Self {
            me: committee.index_of(key),
            base: (act.height, act.block_digest),
            scheduled: None,
            ended_by: None,
            judge: BatchJudge::new(act.chain_id, committee.clone()),
            committee,
        }
    }

    /// The part in an epoch that the agencies have ended, of a node that has not come to its last block yet: it
    /// follows, whatever key it holds.
    pub fn ended(self, recovery: SignedRecovery) -> Self {
        Self { me: None, ended_by: Some(Box::new(recovery)), ..self }
    }

    /// The epoch as the ledger has it.
    ///
    /// # Errors
    /// When the ledger cannot be read or holds no validator set.
    pub fn entry<L: LedgerRead>(ledger: &L) -> Result<EpochEntry, Refusal> {
        execute::epoch(ledger)
            .map_err(|error| Refusal::new(Code::StorageFailed, error.to_string()))?
            .ok_or_else(|| Refusal::new(Code::StorageCorrupt, "the ledger holds no validator set"))
    }
}

/// Whom a node connects with: the validators of its epoch by index, and guests after them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directory {
    /// The validators of the epoch.
    pub committee: Arc<Committee>,
    /// The others, at most [`GUESTS_MAX`].
    pub guests: Vec<Validator>,
    /// This node's own place.
    pub me: ValidatorIx,
}

impl Directory {
    /// Everybody that the ledger knows as a validator: those of the epoch first. A node that it does not know
    /// yet puts itself at the end.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn read<L: LedgerRead>(ledger: &L, part: &Part, own: &Validator) -> Result<Self, Refusal> {
        let known = execute::validators(ledger)
            .map_err(|error| Refusal::new(Code::StorageFailed, error.to_string()))?;
        let known = known.into_iter().map(|one| one.validator).collect();
        Ok(Self::new(part.committee.clone(), known, own))
    }

    /// As [`Self::read`], from a list of everybody known.
    pub fn new(committee: Arc<Committee>, known: Vec<Validator>, own: &Validator) -> Self {
        let is_member = |one: &Validator| {
            committee.validators().iter().any(|member| member.network_key == one.network_key)
        };
        let mut guests: Vec<Validator> = known.into_iter().filter(|one| !is_member(one)).collect();
        if !is_member(own) && guests.iter().all(|one| one.network_key != own.network_key) {
            guests.truncate(GUESTS_MAX - 1);
            guests.push(own.clone());
        }
        guests.truncate(GUESTS_MAX);
        let everybody = committee.validators().iter().chain(&guests);
        let place = everybody.clone().position(|one| one.network_key == own.network_key).unwrap_or(0);
        let me = ValidatorIx::new(u16::try_from(place).unwrap_or(0));
        Self { committee, guests, me }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.committee.size() + self.guests.len()
    }

    /// Whether there is nobody: never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whoever is at a place.
    pub fn get(&self, ix: ValidatorIx) -> Option<&Validator> {
        let guest = || self.guests.get(ix.index().checked_sub(self.committee.size())?);
        self.committee.get(ix).or_else(guest)
    }

    /// All places in order.
    pub fn indices(&self) -> impl Iterator<Item = ValidatorIx> + use<> {
        (0..u16::try_from(self.len()).unwrap_or(u16::MAX)).map(ValidatorIx::new)
    }

    /// Whether somebody is a guest.
    pub fn is_guest(&self, ix: ValidatorIx) -> bool {
        ix.index() >= self.committee.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{recovery_act, validator};
    use chain_core::id::Epoch;

    fn act(epoch: u64) -> RecoveryAct {
        recovery_act(epoch, (90, Digest::tagged(b"block", &[])), "two machine rooms burnt")
    }

    #[test]
    fn whoever_is_in_the_acts_set_takes_part_from_its_block_and_nobody_votes_in_an_ended_epoch() {
        let begun = act(3);
        let me = Part::recovered(&begun, &validator(2).consensus_key);
        assert_eq!((me.me, me.committee.epoch()), (Some(ValidatorIx::new(2)), Epoch::new(4)));
        assert_eq!((me.base, me.scheduled), ((begun.height, begun.block_digest), None));
        assert_eq!(Part::recovered(&begun, &validator(7).consensus_key).me, None);
        let ended = me.ended(SignedRecovery::new(act(4), Vec::new()));
        assert_eq!((ended.me, ended.committee.epoch()), (None, Epoch::new(4)));
        assert!(ended.ended_by.is_some_and(|recovery| recovery.act == act(4)));
    }
}
