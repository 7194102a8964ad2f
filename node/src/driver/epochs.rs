//! From one epoch's engine to the next: what is kept, what is made anew, and what must be durable first.
//!
//! Between two epochs this is where the consensus key waits; each epoch's safety module gets a copy of its own.

use std::sync::Arc;

use chain_core::block::Flags;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{SecretKey, Signature};
use chain_core::id::{Epoch, Height, TxId};
use chain_core::lane::{BatchRef, LaneFrontier, SignedBatchHeader};
use chain_core::record::validator::Ready;
use consensus::action::Write;
use consensus::engine::{LANE_BATCHES_HELD_MAX, LOAD_BLOCKS, Restored, SafetyAtStart, Tip};
use consensus::signer::{CommitteeKeys, Signer};
use consensus::verified::Judge;
use consensus::{Engine, Params};

use super::batches::payload_bytes;
use super::carried::Carried;
use super::core::Core;
use super::intake::Queued;
use crate::epoch::Part;
use crate::storage::StorageError;
use crate::storage::consensus::SyncedWrite;
use crate::storage::high_water::{HighWater, Mark};
use crate::storage::ledger::Snapshot;

/// Headers handed to the engine at start.
const RECENT_HEADERS: u64 = 256;
/// Most batches of one lane that an epoch can leave unordered: an honest author makes no more before some are ordered.
const LEFT_MAX: usize = 2 * super::LANE_BATCHES_MAX;
/// Most bytes of batches of validators that are gone which this node files in their stead.
const OTHERS_BYTES_MAX: usize = 64 * 1024 * 1024;

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
        if let Some(recovery) = &part.ended_by {
            let detail = format!("the agencies ended epoch {} at block {}", ready.epoch, recovery.act.height);
            return Err(Refusal::new(Code::ReadyNotNeeded, detail));
        }
        if part.me.is_some() || part.committee.epoch() != ready.epoch {
            let detail = format!("epoch {} has begun, this is for {}", part.committee.epoch(), ready.epoch);
            return Err(Refusal::new(Code::ReadyNotNeeded, detail));
        }
        Ok(self.key.sign(ready))
    }

    /// The part of this node in the epoch that its ledger has reached, or in the one that acts of recovery begin
    /// where it stands.
    ///
    /// # Errors
    /// When the stores cannot be read; `RECOVERY_OTHER_BLOCK` when a quorum made another block final here than the
    /// act names.
    pub(crate) fn part(&self) -> Result<Part, Refusal> {
        let core = &self.core;
        let snapshot = core.ledger.snapshot().map_err(refuse)?;
        let tip = self.tip(&snapshot)?;
        let part = Part::new(core.chain_id(), Part::entry(&snapshot)?, &core.key);
        let acts =
            core.consensus.acts_at(part.committee.epoch(), (tip.height, tip.digest)).map_err(refuse)?;
        let part = acts.last().map_or(part, |last| Part::recovered(&last.act, &core.key));
        let Some(open) = core.consensus.act(part.committee.epoch()).map_err(refuse)? else { return Ok(part) };
        if open.act.height <= tip.height {
            let (named, block) = (open.act.height, open.act.block_digest);
            let detail =
                format!("the act names block {named} {block}, final here is {} {}", tip.height, tip.digest);
            return Err(Refusal::new(Code::RecoveryOtherBlock, detail));
        }
        Ok(part.ended(open))
    }

    fn tip(&self, snapshot: &Snapshot<'_>) -> Result<Tip, Refusal> {
        let tip = snapshot.tip().map_err(refuse)?;
        tip.ok_or_else(|| Refusal::new(Code::StorageCorrupt, "the ledger store has no tip"))
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
        let mut tip = self.tip(&core.ledger.snapshot().map_err(refuse)?)?;
        if tip.height == part.base.0 {
            // Lanes begin anew with the epoch, also after a block that did not close the one before.
            tip.lanes = LaneFrontier::default();
        }
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
        // Where the chain as it is kept begins, the block before is there for what follows it.
        let begins = store.first().map_err(refuse)?.get().saturating_sub(1).max(1);
        let first = newest.get().saturating_sub(RECENT_HEADERS - 1).max(begins);
        let count = usize::try_from((newest.get() + 1).saturating_sub(first)).unwrap_or(0);
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
            summaries: self.core.ledger.recent_summaries(&executed).map_err(refuse)?,
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
    /// When the stores refuse.
    pub(crate) fn carry_over(&self, left: impl IntoIterator<Item = BatchRef>) -> Result<(), Refusal> {
        let snapshot = self.core.ledger.snapshot().map_err(refuse)?;
        let is_ordered = |id: &TxId| snapshot.place(id).map(|place| place.is_some());
        Carried::new(&self.core.consensus, &is_ordered).keep(left).map_err(refuse)
    }

    /// The same for epochs that acts of recovery end where this node stands, which no closing block announces; and for
    /// what it holds of the validators that the acts leave out, whose clients have nobody else to remember it. To be
    /// called before anything of the epoch that follows is written; repeated, it comes to the same.
    ///
    /// # Errors
    /// When the stores cannot be read or refuse.
    pub(crate) fn carry_over_recovered(&self) -> Result<(), Refusal> {
        let core = &self.core;
        let snapshot = core.ledger.snapshot().map_err(refuse)?;
        let (tip, entry) = (self.tip(&snapshot)?, Part::entry(&snapshot)?);
        let acts = core.consensus.acts_at(entry.current.epoch(), (tip.height, tip.digest)).map_err(refuse)?;
        let Some(last) = acts.last() else { return Ok(()) };
        let mut names = Vec::new();
        let mut room = OTHERS_BYTES_MAX;
        let ended = std::iter::once(&entry.current).chain(acts.iter().map(|one| &one.act.next));
        for committee in ended.take(acts.len()) {
            let epoch = committee.epoch();
            for (author, validator) in committee.indices().zip(committee.validators()) {
                let mine = validator.consensus_key == core.key;
                if !mine && last.act.next.index_of(&validator.consensus_key).is_some() {
                    continue;
                }
                let ordered = if epoch == entry.current.epoch() { tip.lanes.next_seq(author) } else { 0 };
                let lane = (epoch, author);
                let left = core.consensus.lane_headers(lane, ordered, u64::MAX, LEFT_MAX).map_err(refuse)?;
                for header in left.iter().map(|one| &one.header) {
                    room = room.saturating_sub(if mine { 0 } else { header.bytes as usize });
                    if mine || room > 0 {
                        names.push(BatchRef::of(header));
                    }
                }
            }
        }
        self.carry_over(names)
    }

    /// The records that an earlier epoch left unordered and that no block has ordered since.
    ///
    /// # Errors
    /// When the stores cannot be read.
    pub(crate) fn carried(&self) -> Result<Vec<Queued>, Refusal> {
        let epoch = self.core.committee().epoch();
        let snapshot = self.core.ledger.snapshot().map_err(refuse)?;
        let is_ordered = |id: &TxId| snapshot.place(id).map(|place| place.is_some());
        let waiting = Carried::new(&self.core.consensus, &is_ordered).waiting(epoch).map_err(refuse)?;
        let queued = waiting.into_iter().map(|(id, submission)| {
            let bytes = payload_bytes(&submission)?;
            Ok(Queued { submission, id, bytes, at_ms: self.core.mono_ms() })
        });
        queued.collect()
    }
}

/// Whether a delivered block ends its epoch.
pub(crate) fn closes(header: &chain_core::block::Header) -> bool {
    header.flags.contains(Flags::CLOSING)
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
