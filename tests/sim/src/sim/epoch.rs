//! What a node needs to start an engine in an epoch: who takes part, and what the epoch stands on.
//!
//! A world begins with one of these, for genesis. A change of the validator set (see [`super::churn`]) adds
//! the next one: [`EpochStart::after`] with the closing block as its base. A node is then rebuilt for it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chain_core::crypto::Digest;
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx};
use consensus::engine::Tip;
use consensus::safety::SafetyRecord;
use consensus::verified::Judge;

use super::roster::{Member, Roster};

/// The beginning of one epoch.
#[derive(Clone, Debug)]
pub struct EpochStart {
    /// Its number.
    pub epoch: Epoch,
    /// Who takes part.
    pub roster: Roster,
    /// Judges its evidence.
    pub judge: Judge,
    /// The chain at its base: genesis, or the closing block before it, with lanes of their own.
    pub base: Tip,
}

impl EpochStart {
    /// The first epoch, on genesis.
    pub fn genesis(chain_id: ChainId, roster: Roster, time_ms: u64, checks: &Arc<AtomicU64>) -> Self {
        let base = Tip::genesis(chain_id, time_ms);
        let judge = roster.judge(chain_id, Epoch::ZERO, (Height::ZERO, base.digest), checks);
        Self { epoch: Epoch::ZERO, roster, judge, base }
    }

    /// The epoch after this one, on its closing block.
    #[must_use]
    pub fn after(&self, roster: Roster, closing: Tip, checks: &Arc<AtomicU64>) -> Self {
        let epoch = Epoch::new(self.epoch.get() + 1);
        let judge = roster.judge(self.judge.chain_id, epoch, (closing.height, closing.digest), checks);
        Self { epoch, roster, judge, base: closing }
    }

    /// The base as certificates name it.
    pub fn base_of(&self) -> (Height, Digest) {
        (self.base.height, self.base.digest)
    }

    /// A member's index in this epoch, if it takes part under its present key.
    pub fn index_of(&self, member: Member) -> Option<ValidatorIx> {
        let place = self.roster.members.iter().position(|one| *one == member)?;
        u16::try_from(place).ok().map(ValidatorIx::new)
    }

    /// The record that a member enters the epoch with.
    pub fn fresh_record(&self, ix: ValidatorIx) -> SafetyRecord {
        let key = self.judge.committee.validators()[ix.index()].consensus_key;
        SafetyRecord::fresh(self.judge.chain_id, self.epoch, key, self.base_of())
    }
}
