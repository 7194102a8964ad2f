//! From one epoch's engine to the next: what is kept, what is made anew, and what must be durable first.
//!
//! Between two epochs this is where the consensus key waits; each epoch's safety module gets a copy of its own.

use std::sync::Arc;

use chain_core::block::Flags;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{SecretKey, Signature};
use chain_core::id::{Epoch, Height};
use chain_core::lane::{BatchRef, SignedBatchHeader};
use chain_core::record::validator::Ready;
use consensus::action::Write;
use consensus::engine::{LANE_BATCHES_HELD_MAX, LOAD_BLOCKS, Restored, SafetyAtStart, Tip};
use consensus::signer::{CommitteeKeys, Signer};
use consensus::verified::Judge;
use consensus::{Engine, Params};

use super::batches::payload_bytes;
use super::core::Core;
use super::intake::Queued;
use crate::epoch::Part;
use crate::storage::StorageError;
use crate::storage::consensus::SyncedWrite;
use crate::storage::high_water::{HighWater, Mark};

/// Headers handed to the engine at start.
const RECENT_HEADERS: u64 = 256;

/// What makes engines.
pub(crate) struct Epochs {
    core: Arc<Core>,
    params: Params,
    key: SecretKey,
    /// Why this key votes in no epoch any more, if so: its safety record is gone.
    lost: Option<Refusal>,
}

impl Epochs {
    pub(crate) fn new(core: Arc<Core>, params: Params, key: SecretKey, lost: Option<Refusal>) -> Self {
        Self { core, params, key, lost }
    }

    /// The consensus key, for a HELLO of a node that has no safety module.
    pub(crate) fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Says that this node can take part, in the epoch that it is in.
    ///
    /// # Errors
    /// `SAFETY_LOST` when it must never vote under this key again; `READY_NOT_NEEDED` when another epoch has begun.
    pub(crate) fn say_ready(&self, ready: &Ready) -> Result<Signature, Refusal> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        let part = self.core.part();
        if part.me.is_some() || part.committee.epoch() != ready.epoch {
            let detail = format!("epoch {} has begun, this is for {}", part.committee.epoch(), ready.epoch);
            return Err(Refusal::new(Code::ReadyNotNeeded, detail));
        }
        Ok(self.key.sign(ready))
    }

    /// The part of this node in the epoch that its ledger has reached.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn part(&self) -> Result<Part, Refusal> {
        let snapshot = self.core.ledger.snapshot().map_err(refuse)?;
        Part::read(&snapshot, self.core.chain_id(), &self.core.key)
    }

    /// The safety record of an epoch: the stored one, or a fresh one that is durable when this returns, for a
    /// key that has signed in earlier epochs only (M4).
    ///
    /// # Errors
    /// When the store refuses.
    pub(crate) fn record(
        &self,
        part: &Part,
        high_water: Option<&mut HighWater>,
    ) -> Result<SafetyAtStart, Refusal> {
        if let Some(lost) = &self.lost {
            return Ok(SafetyAtStart::Lost(lost.clone()));
        }
        let stored = self.core.consensus.safety().map_err(refuse)?;
        let Some(stored) = stored else {
            let lost = Refusal::new(Code::SafetyLost, "the consensus store holds no safety record");
            return Ok(SafetyAtStart::Lost(lost));
        };
        // An observer signs nothing, and leaves the record as its last epoch left it.
        let entered = part.me.and_then(|_| stored.enter(part.committee.epoch(), part.base));
        let Some(record) = entered else { return Ok(SafetyAtStart::Present(Box::new(stored))) };
        let mut write = SyncedWrite::default();
        let entry = Write::Safety(Box::new(record.clone()));
        self.core.consensus.add(&mut write, &entry).map_err(refuse)?;
        self.core.consensus.commit(write).map_err(refuse)?;
        if let Some(file) = high_water {
            file.raise(Mark::of(&record)).map_err(refuse)?;
            file.sync().map_err(refuse)?;
        }
        Ok(SafetyAtStart::Present(Box::new(record)))
    }

    /// The engine of an epoch, and this node's own batches in it that are not ordered yet.
    ///
    /// # Errors
    /// When the stores cannot be read.
    pub(crate) fn engine(
        &self,
        part: &Part,
        safety: SafetyAtStart,
    ) -> Result<(Engine, Vec<SignedBatchHeader>), Refusal> {
        let core = &self.core;
        let tip = core.ledger.snapshot().and_then(|snapshot| snapshot.tip()).map_err(refuse)?;
        let tip = tip.ok_or_else(|| Refusal::new(Code::StorageCorrupt, "the ledger store has no tip"))?;
        let restored = self.restore(part, safety, tip)?;
        let pending = restored.batches.clone();
        let verifier = Arc::new(CommitteeKeys::new(&part.committee));
        let judge = Judge::new(core.chain_id(), part.committee.clone(), part.base, verifier);
        let signer = || -> Box<dyn Signer> { Box::new(SecretKey::from_seed(*self.key.seed())) };
        let me = part.me.map(|me| (me, signer()));
        Ok((Engine::new(self.params.clone(), judge, me, restored), pending))
    }

    /// What the engine wants to know of the stores.
    fn restore(&self, part: &Part, safety: SafetyAtStart, executed: Tip) -> Result<Restored, Refusal> {
        let store = &self.core.consensus;
        let epoch = part.committee.epoch();
        let committed = self.committed(executed.clone(), epoch)?;
        let newest = committed.height;
        let first = newest.get().saturating_sub(RECENT_HEADERS - 1).max(1);
        let count = usize::try_from(newest.get() + 1 - first).unwrap_or(0);
        let recent = store.final_blocks(Height::new(first), count).map_err(refuse)?;
        let n = part.committee.size();
        let mut batches = Vec::new();
        for frontier in [&executed.lanes, &committed.lanes] {
            batches.extend(store.batches_above(epoch, frontier, n, LANE_BATCHES_HELD_MAX).map_err(refuse)?);
        }
        batches.sort_by_key(|batch| BatchRef::of(&batch.header));
        batches.dedup();
        let certified = store.certified_to(newest).map_err(refuse)?;
        Ok(Restored {
            safety,
            certificate: certified.map(|(_, one)| one.certificate).filter(|cert| cert.epoch == epoch),
            blocks: store.blocks_above(newest).map_err(refuse)?,
            summaries: self.core.ledger.recent_summaries(executed.height).map_err(refuse)?,
            recent: recent.into_iter().map(|block| block.header).collect(),
            batches,
            scheduled: part.scheduled,
            committed,
            executed,
        })
    }

    /// The chain at the newest final height of an epoch, above the executed one. The blocks between, which are as
    /// many as execution lacks, pass through memory a few at a time.
    fn committed(&self, executed: Tip, epoch: Epoch) -> Result<Tip, Refusal> {
        let mut tip = executed;
        loop {
            let blocks = self.core.consensus.final_blocks(tip.height.next(), LOAD_BLOCKS).map_err(refuse)?;
            // Later epochs wait until this one is executed to its end.
            let of_epoch = blocks.iter().take_while(|block| block.header.epoch == epoch);
            let before = tip.height;
            tip = of_epoch.fold(tip, |tip, block| tip.after(block));
            if tip.height.since(before) < LOAD_BLOCKS as u64 {
                return Ok(tip);
            }
        }
    }

    /// Keeps the names of this node's own batches that the epoch will not order any more, before its closing
    /// block is executed: their records are filed again in the next epoch.
    ///
    /// # Errors
    /// When the store refuses.
    pub(crate) fn carry_over<'a>(&self, names: impl Iterator<Item = &'a BatchRef>) -> Result<(), Refusal> {
        let names: Vec<BatchRef> = names.copied().collect();
        self.core.consensus.set_carried(&names).map_err(refuse)
    }

    /// The records that an earlier epoch left unordered and that no block has ordered since.
    ///
    /// # Errors
    /// When the stores cannot be read.
    pub(crate) fn carried(&self) -> Result<Vec<Queued>, Refusal> {
        let epoch = self.core.committee().epoch();
        let snapshot = self.core.ledger.snapshot().map_err(refuse)?;
        let mut left = Vec::new();
        for name in self.core.consensus.carried().map_err(refuse)? {
            let batch = self.core.consensus.batch(&name).map_err(refuse)?.filter(|_| name.epoch < epoch);
            for submission in batch.into_iter().flat_map(|batch| batch.submissions) {
                let id = submission.signed.transaction.id();
                if snapshot.place(&id).map_err(refuse)?.is_some() {
                    continue;
                }
                let bytes = payload_bytes(&submission)?;
                left.push(Queued { submission, id, bytes, at_ms: self.core.mono_ms() });
            }
        }
        Ok(left)
    }
}

/// Whether a delivered block ends its epoch.
pub(crate) fn closes(header: &chain_core::block::Header) -> bool {
    header.flags.contains(Flags::CLOSING)
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
