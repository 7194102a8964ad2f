//! Execution inside the simulator.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::block::ExecSummary;
use chain_core::crypto::Digest;
use chain_core::id::ChainId;
use chain_core::lane::BatchRef;
use chain_core::merkle;
use consensus::engine::Tip;
use consensus::message::Proposal;

use super::random::Random;

/// One batch's worth of transactions.
#[derive(Debug)]
pub struct Made {
    /// Transaction ids.
    pub ids: Vec<Digest>,
    /// Payload root.
    pub root: Digest,
    /// Bytes claimed.
    pub bytes: u32,
    /// Operations.
    pub count: u32,
    /// The first transaction.
    pub marker: Digest,
}

/// All transactions ever made, by batch.
#[derive(Debug)]
pub struct Payloads {
    chain_id: ChainId,
    next: u64,
    by_batch: BTreeMap<Digest, Vec<Digest>>,
}

impl Payloads {
    /// None yet.
    pub fn new(chain_id: ChainId, seed: u64) -> Self {
        Self { chain_id, next: seed << 32, by_batch: BTreeMap::new() }
    }

    /// Makes some transactions.
    pub fn make(&mut self, count: u64, _time_ms: u64, _random: &mut Random) -> Made {
        let mut ids = Vec::new();
        for _ in 0..count {
            self.next += 1;
            ids.push(Digest::tagged(
                b"sim-tx",
                &[self.chain_id.digest().as_bytes(), &self.next.to_be_bytes()],
            ));
        }
        let root = merkle::root(&ids);
        let count = u32::try_from(count).unwrap_or(1);
        Made { root, bytes: 300 * count, count, marker: ids[0], ids }
    }

    /// The batch that holds these transactions was sealed under this digest.
    pub fn sealed(&mut self, batch: Digest, ids: &[Digest]) {
        self.by_batch.insert(batch, ids.to_vec());
    }
}

/// One node's ledger store.
#[derive(Debug)]
pub struct SimLedger {
    tip: Tip,
    state: Digest,
    seen: BTreeSet<Digest>,
    summaries: Vec<ExecSummary>,
}

impl SimLedger {
    /// Genesis.
    pub fn new(_payloads: &Payloads, genesis: &Tip) -> Self {
        let summary = ExecSummary {
            height: genesis.height,
            log_size: 0,
            log_root: Digest::ZERO,
            outcomes_root: Digest::ZERO,
            state_root: Digest::ZERO,
        };
        Self { tip: genesis.clone(), state: Digest::ZERO, seen: BTreeSet::new(), summaries: vec![summary] }
    }

    /// The executed tip.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Recent summaries.
    pub fn summaries(&self) -> Vec<ExecSummary> {
        self.summaries.iter().rev().take(400).rev().copied().collect()
    }

    /// Whether a transaction took effect here.
    pub fn holds(&self, id: &Digest) -> bool {
        self.seen.contains(id)
    }

    /// Executes one block.
    pub fn execute(&mut self, proposal: &Proposal, batches: &[BatchRef], payloads: &Payloads) -> ExecSummary {
        for batch in batches {
            for id in payloads.by_batch.get(&batch.digest).into_iter().flatten() {
                if self.seen.insert(*id) {
                    self.state = Digest::tagged(b"sim-state", &[self.state.as_bytes(), id.as_bytes()]);
                }
            }
        }
        self.tip = self.tip.after(proposal);
        let summary = ExecSummary {
            height: self.tip.height,
            log_size: self.seen.len() as u64,
            log_root: self.state,
            outcomes_root: Digest::ZERO,
            state_root: self.state,
        };
        self.summaries.push(summary);
        summary
    }
}
