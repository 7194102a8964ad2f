//! The executor thread: final blocks become ledger.
//!
//! Blocks come in ascending height. Each is executed by [`chain_core::execute::execute_block`] on top of the
//! newest state, written in one batch, and reported to the engine, which certifies the result in a later
//! header. What a crash cuts off is executed again at the next start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use chain_core::block::{ExecSummary, Flags, Header};
use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::crypto::Digest;
use chain_core::execute::{
    BlockResult, ExecState, GenesisState, LedgerRead as _, OrderedBatch, OrderedBlock, Verdict,
    execute_block, execute_recovered_block, genesis_block,
};
use chain_core::id::{Epoch, Height, TxId};
use chain_core::lane::{BatchRef, LaneFrontier};
use chain_core::leaf::Leaf;
use chain_core::merkle::Frontier;
use chain_core::state::key;
use chain_core::subject::{Index, IndexEntry};
use consensus::action::Delivery;
use consensus::engine::Tip;
use consensus::message::Proposal;

use crate::driver::batches::CheckedBatch;
use crate::driver::core::{Core, Input};
use crate::driver::hooks::{Point, hit};
use crate::storage::StorageError;
use crate::storage::consensus::Recorded;
use crate::storage::ledger::{Executed, ExecutionView, LedgerWriter, Listed, Place, SUMMARIES_AT_START};

/// Deliveries that wait for the executor.
pub(crate) const QUEUE_MAX: usize = 64;
/// A checkpoint of a block older than this is not cosigned: the node is catching up.
const COSIGN_AGE_MS: u64 = 60_000;

/// Executes blocks, one after the other.
pub(crate) struct Executor<'a> {
    core: &'a Arc<Core>,
    view: ExecutionView<'a>,
    writer: LedgerWriter<'a>,
    tip: Tip,
    state: ExecState,
    /// Summaries of recent heights, for the roots that headers certify.
    recent: VecDeque<ExecSummary>,
    /// The last base of an epoch of which a snapshot was taken, or could not be.
    snapshot: Height,
    /// Whether a record may be listed in the index of subjects whose body was gone before this node executed it: until it
    /// is listed no more, the index comes from what others recorded.
    unseen: bool,
}

impl<'a> Executor<'a> {
    /// Starts from the ledger store; a new one gets the genesis first.
    ///
    /// # Errors
    /// When the store cannot be read, belongs to another chain, or the genesis breaks a rule.
    pub(crate) fn open(core: &'a Arc<Core>, genesis: &GenesisState, time_ms: u64) -> Result<Self, Refusal> {
        let chain_id = core.chain_id();
        let ledger = &core.ledger;
        let writer = ledger.writer();
        let mut writer = writer.ok_or_else(|| internal("somebody else executes already".to_owned()))?;
        match ledger.chain().map_err(refuse)? {
            Some(chain) if chain == chain_id.digest().as_bytes() => {}
            Some(_) => {
                return Err(Refusal::new(Code::GenesisMismatch, "the ledger store is of another chain"));
            }
            None => {
                let result = genesis_block(&core.chain, genesis)?;
                let tip = Tip::genesis(chain_id, time_ms);
                let listed = listed(&result)?;
                let block = Executed {
                    tip: &tip,
                    result: &result,
                    batches: &[],
                    transactions: &[],
                    listed: &listed,
                    certified: tip.height,
                };
                writer.write(&block).map_err(refuse)?;
                ledger.set_chain(chain_id.digest().as_bytes()).map_err(refuse)?;
            }
        }
        let snapshot = ledger.snapshot().map_err(refuse)?;
        let missing =
            || Refusal::new(Code::StorageCorrupt, "the ledger store has no tip; delete it to rebuild");
        let tip = snapshot.tip().map_err(refuse)?.ok_or_else(missing)?;
        let summary = snapshot.summary(tip.height).map_err(refuse)?.ok_or_else(missing)?;
        let first = core.consensus.first().map_err(refuse)?;
        if tip.height.next() < first {
            let detail = format!(
                "the ledger is at block {}, and blocks are kept from {first} on; put a snapshot back (city-node snapshot \
                 restore), or fetch one (city-node snapshot fetch)",
                tip.height
            );
            return Err(Refusal::new(Code::BlockPruned, detail));
        }
        if let Some((height, published)) = snapshot.checkpoint().map_err(refuse)? {
            core.checkpoints.restore(height, published);
        }
        let log = ledger.log_frontier().map_err(refuse)?;
        check_log(&log, &summary)?;
        let recent = ledger.recent_summaries(&tip).map_err(refuse)?.into();
        core.note_executed(tip.height);
        let view = ledger.execution_view();
        let unseen = has_unseen(&view)?;
        Ok(Self {
            core,
            view,
            writer,
            tip,
            state: ExecState { summary, log },
            recent,
            snapshot: Height::ZERO,
            unseen,
        })
    }

    /// Executes what is final in the consensus store and not in the ledger, as far as its data is there.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub(crate) fn replay(&mut self) -> Result<(), Refusal> {
        let start = self.tip.height;
        while let Some(proposal) = self.core.consensus.final_block(self.tip.height.next()).map_err(refuse)? {
            let newest = self.core.consensus.final_height().map_err(refuse)? == proposal.header.height;
            if proposal.header.flags.contains(Flags::CLOSING) && newest {
                // The driver first notes which of its records the epoch leaves unordered.
                break;
            }
            let Some(batches) = self.batches_of(&proposal)? else { break };
            let height = proposal.header.height;
            let index_after = if self.needs_index(&batches) {
                // Without peers yet: what this node has not recorded itself waits for the network.
                if self.core.consensus.indexed_to().map_err(refuse)? < height {
                    break;
                }
                self.core.consensus.index_after(height).map_err(refuse)?
            } else {
                None
            };
            self.execute(&proposal, batches, index_after)?;
            if self.core.stop.stopping() {
                break;
            }
            if self.tip.height.get().is_multiple_of(10_000) {
                tracing::info!(height = self.tip.height.get(), "rebuilding the ledger");
            }
        }
        if self.tip.height > start {
            tracing::info!(from = start.get(), to = self.tip.height.get(), "executed what was final already");
        }
        Ok(())
    }

    /// Runs until the driver hangs up or something fails.
    pub(crate) fn run(mut self, deliveries: &Receiver<Delivery>) {
        let result = self
            .snapshot_at_start()
            .and_then(|()| deliveries.iter().try_for_each(|delivery| self.deliver(&delivery)));
        // It may have stopped waiting for its peers because the node stops.
        let waited = |refusal: &Refusal| refusal.code == Code::NotReady && self.core.stop.stopping();
        match result {
            Err(refusal) if !waited(&refusal) => self.core.stop.fail(refusal),
            _ => drop(self.core.guard(self.core.ledger.flush())),
        }
    }

    /// Takes a snapshot if the ledger stands at the base of an epoch: the last process may have ended before it could.
    fn snapshot_at_start(&mut self) -> Result<(), Refusal> {
        let tip = (self.tip.height, self.tip.digest);
        let closed = self.tip.header.as_ref().is_some_and(|header| header.flags.contains(Flags::CLOSING));
        if closed || !self.core.consensus.acts_at(self.epoch(), tip).map_err(refuse)?.is_empty() {
            self.snapshot_base()?;
        }
        Ok(())
    }

    /// Takes the snapshot of the base of an epoch, at which the ledger stands, once. It is this thread that does it, so
    /// nothing of the next epoch can be executed meanwhile, and the engine does not wait. Genesis needs none.
    fn snapshot_base(&mut self) -> Result<(), Refusal> {
        let base = self.tip.height;
        if base == self.snapshot {
            return Ok(());
        }
        self.snapshot = base;
        self.core.snapshots.keep(&self.core.ledger, base).map_err(refuse)
    }

    /// Takes a snapshot every so many blocks. Where an epoch ends there is one anyway.
    fn snapshot_between(&mut self, header: &Header) -> Result<(), Refusal> {
        let snapshots = &self.core.snapshots;
        if !header.flags.contains(Flags::CLOSING) && snapshots.is_due(header.height) {
            snapshots.keep(&self.core.ledger, header.height).map_err(refuse)?;
        }
        Ok(())
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<(), Refusal> {
        let height = delivery.header.height;
        if height <= self.tip.height {
            return Ok(());
        }
        let digest = delivery.header.digest();
        let stored = self.core.consensus.block(height, &digest).map_err(refuse)?;
        let proposal = stored.ok_or_else(|| internal(format!("block {height} is delivered, not stored")))?;
        let mut batches = Vec::with_capacity(delivery.batches.len());
        for name in &delivery.batches {
            let batch = self.batch(name)?;
            batches.push(batch.ok_or_else(|| internal(format!("batch {name:?} is ordered, not stored")))?);
        }
        let index_after = match self.needs_index(&batches) {
            true => self.index_after(height)?,
            false => None,
        };
        let (summary, scheduled) = self.execute(&proposal, batches, index_after)?;
        let closing = delivery.header.flags.contains(Flags::CLOSING);
        self.core.inputs.push(Input::Executed { summary, scheduled, closing });
        if delivery.header.flags.contains(Flags::CHECKPOINT)
            && delivery.header.time_ms.saturating_add(COSIGN_AGE_MS) >= Core::wall_ms()
            && let Some(summary) = self.summary(delivery.header.exec_height)?
        {
            self.core.checkpoints.make(self.core, &summary);
        }
        if closing { self.snapshot_base() } else { Ok(()) }
    }

    /// Executes and writes one block. Gives the hash of the next validator set too, when it scheduled one.
    fn execute(
        &mut self,
        proposal: &Proposal,
        batches: Vec<Arc<CheckedBatch>>,
        index_after: Option<IndexEntry>,
    ) -> Result<(ExecSummary, Option<Digest>), Refusal> {
        let start = Instant::now();
        let header = &proposal.header;
        if header.height != self.tip.height.next() || header.parent != self.tip.digest {
            return Err(internal(format!("block {} does not follow {}", header.height, self.tip.height)));
        }
        self.check_certified(header)?;
        let newest = self.tip.header.as_ref().map_or(Epoch::ZERO, |newest| newest.epoch);
        if header.epoch > newest {
            // At a closing block that was just executed it is there already, but not in a replay, nor after an act.
            self.snapshot_base()?;
        }
        let ordered = batches.iter().map(|one| OrderedBatch {
            batch: &one.batch,
            signatures_ok: &one.signatures_ok,
            recorded: one.recorded.as_deref(),
        });
        let index = match &self.core.subjects {
            None => Index::None,
            Some(key) if self.needs_index(&batches) => Index::Completed(key, index_after),
            Some(key) => Index::Computed(key),
        };
        let block = OrderedBlock { header, batches: ordered.collect(), index };
        let acts = self.core.consensus.acts_between(self.epoch(), header.epoch).map_err(refuse)?;
        let result = if acts.is_empty() {
            execute_block(&self.view, &self.core.chain, &self.state, &block)
        } else {
            // Lanes begin anew, as they do after a closing block.
            self.tip.lanes = LaneFrontier::default();
            execute_recovered_block(&self.view, &self.core.chain, &self.state, &block, &acts)
        };
        let result = result.map_err(|error| Refusal::new(Code::StorageFailed, error.to_string()))?;
        self.write(proposal, &batches, &result)?;
        self.count(&result, start);
        self.core.tracker.executed(header.height, batches.iter().flat_map(|batch| &batch.ids));
        if !result.erased.is_empty() {
            self.core.erase.ring();
        }
        for &author in &result.frozen {
            self.core.inputs.push(Input::LaneFrozen { epoch: header.epoch, author });
        }
        let summary = result.summary;
        let scheduled = result.scheduled.as_ref().map(Committee::hash);
        // Another validator may connect, or be dialled at another address.
        let kind = key::validator("");
        let peers_changed = result.state.iter().any(|(key, _)| key.first() == kind.first());
        self.state = ExecState { summary, log: result.log.clone() };
        let (from, to) = key::all_unseen();
        let looked = result.state.iter().any(|(key, _)| from <= *key && *key < to);
        self.view.apply(result);
        if looked {
            self.unseen = has_unseen(&self.view)?;
        }
        self.recent.push_back(summary);
        while self.recent.len() as u64 > SUMMARIES_AT_START {
            self.recent.pop_front();
        }
        if peers_changed {
            self.core.renew_network();
        }
        self.snapshot_between(header)?;
        Ok((summary, scheduled))
    }

    /// Whether the index of subjects after a block cannot be computed here.
    fn needs_index(&self, batches: &[Arc<CheckedBatch>]) -> bool {
        self.core.subjects.is_some() && (self.unseen || batches.iter().any(|one| one.recorded.is_some()))
    }

    /// How the index of subjects stood after a block, by what this node recorded or else by what its peers say.
    fn index_after(&self, height: Height) -> Result<Option<IndexEntry>, Refusal> {
        let store = &self.core.consensus;
        if store.indexed_to().map_err(refuse)? >= height {
            return store.index_after(height).map_err(refuse);
        }
        self.core.hearsay.index_after(self.core, height)
    }

    fn write(
        &mut self,
        proposal: &Proposal,
        batches: &[Arc<CheckedBatch>],
        result: &BlockResult,
    ) -> Result<(), Refusal> {
        let height = proposal.header.height;
        let names: Vec<BatchRef> = batches.iter().map(|batch| batch.name).collect();
        let transactions: Vec<(TxId, Place)> = (0..)
            .zip(batches)
            .flat_map(|(batch, checked)| {
                (0..).zip(&checked.ids).map(move |(position, id)| (*id, Place { height, batch, position }))
            })
            .collect();
        let listed = listed(result)?;
        let tip = self.tip.after(proposal);
        hit(Point::BeforeExecuteWrite);
        let block = Executed {
            tip: &tip,
            result,
            batches: &names,
            transactions: &transactions,
            listed: &listed,
            certified: proposal.header.exec_height,
        };
        self.writer.write(&block).map_err(refuse)?;
        hit(Point::AfterExecuteWrite);
        self.tip = tip;
        self.core.note_executed(height);
        self.core.batches.remove(&names);
        Ok(())
    }

    /// The epoch after the newest executed block, if its own validators have a say in it.
    fn epoch(&self) -> Epoch {
        match &self.tip.header {
            None => Epoch::ZERO,
            Some(header) if header.flags.contains(Flags::CLOSING) => header.epoch.next(),
            Some(header) => header.epoch,
        }
    }

    fn count(&self, result: &BlockResult, start: Instant) {
        let counters = &self.core.counters;
        let refused = result.outcomes.iter().filter(|one| matches!(one.verdict, Verdict::Refused(_))).count();
        counters.blocks.fetch_add(1, Ordering::Relaxed);
        counters.operations.fetch_add(result.outcomes.len() as u64, Ordering::Relaxed);
        counters.refused.fetch_add(refused as u64, Ordering::Relaxed);
        let spent = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.execute_us.fetch_add(spent, Ordering::Relaxed);
    }

    /// A final header certifies an execution root: this node's must be the same.
    fn check_certified(&self, header: &Header) -> Result<(), Refusal> {
        let Some(summary) = self.summary(header.exec_height)? else { return Ok(()) };
        if header.exec_height == Height::ZERO || summary.root() == header.exec_root {
            return Ok(());
        }
        let detail = format!(
            "height {}: {} certified by block {}, {} computed here",
            summary.height,
            header.exec_root,
            header.height,
            summary.root()
        );
        Err(Refusal::new(Code::StateDivergence, detail))
    }

    fn summary(&self, height: Height) -> Result<Option<ExecSummary>, Refusal> {
        let near = self.recent.iter().rev().find(|summary| summary.height == height);
        match near {
            Some(summary) => Ok(Some(*summary)),
            None => self.core.ledger.snapshot().and_then(|snapshot| snapshot.summary(height)).map_err(refuse),
        }
    }

    fn batch(&self, name: &BatchRef) -> Result<Option<Arc<CheckedBatch>>, Refusal> {
        if let Some(batch) = self.core.batches.get(name) {
            return Ok(Some(batch));
        }
        match self.core.consensus.batch_bytes(name).map_err(refuse)? {
            None => Ok(None),
            Some(bytes) => {
                let recorded = self.core.consensus.recorded(name).map_err(refuse)?;
                let batch =
                    self.core.part().judge.recheck(bytes, recorded.map(|Recorded(outcomes)| outcomes))?;
                Ok(Some(Arc::new(batch)))
            }
        }
    }

    /// The batches a block orders, found backwards along each lane; none when one is not stored.
    fn batches_of(&self, proposal: &Proposal) -> Result<Option<Vec<Arc<CheckedBatch>>>, Refusal> {
        let lanes: &LaneFrontier = &self.tip.lanes;
        let mut all = Vec::new();
        for advance in &proposal.advances {
            let mut run = Vec::new();
            let mut name = advance.tip_in(proposal.header.epoch);
            loop {
                let Some(batch) = self.batch(&name)? else { return Ok(None) };
                let prev = batch.batch.signed.header.prev;
                run.push(batch);
                if name.seq <= lanes.next_seq(advance.author) {
                    break;
                }
                name = BatchRef { seq: name.seq - 1, digest: prev, ..name };
            }
            all.extend(run.into_iter().rev());
        }
        Ok(Some(all))
    }
}

/// Records that were filed for the first time, for the lists.
fn listed(result: &BlockResult) -> Result<Vec<Listed>, Refusal> {
    let first = result.summary.log_size - result.leaves.len() as u64;
    let mut listed = Vec::new();
    for (leaf, appended) in (first..).zip(&result.leaves) {
        if appended.record.is_none() {
            continue;
        }
        let decoded = Leaf::decode(&appended.bytes)
            .map_err(|error| internal(format!("leaf {leaf} does not decode: {error}")))?;
        if let Some(header) = decoded.header().filter(|header| header.version == 1) {
            listed.push(Listed {
                leaf,
                record: header.record,
                agency: header.agency.to_string(),
                record_type: header.record_type.name().to_owned(),
            });
        }
    }
    Ok(listed)
}

fn has_unseen(view: &ExecutionView<'_>) -> Result<bool, Refusal> {
    let (from, to) = key::all_unseen();
    let found = view.range(&from, &to, 1);
    Ok(!found.map_err(|error| Refusal::new(Code::StorageFailed, error.to_string()))?.is_empty())
}

fn check_log(log: &Frontier, summary: &ExecSummary) -> Result<(), Refusal> {
    if log.size() == summary.log_size && log.root() == summary.log_root {
        Ok(())
    } else {
        let detail = format!("the record log at height {} does not match its root", summary.height);
        Err(Refusal::new(Code::StorageCorrupt, detail))
    }
}

fn internal(detail: String) -> Refusal {
    Refusal::new(Code::Internal, detail)
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
