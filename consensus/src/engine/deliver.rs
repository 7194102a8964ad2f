//! Handing final blocks to execution, and getting the data of those that came without it.
//!
//! Execution may be far behind, after a loss of the ledger by the whole chain. So no more than a stretch of the
//! final blocks is here: those beyond it stay in the owner's store, and are loaded as execution goes on.

use std::collections::BTreeMap;

use chain_core::certificate::Cert;
use chain_core::crypto::Digest;
use chain_core::id::{Height, ValidatorIx};
use chain_core::lane::{BatchRef, LaneAdvance};

use super::Engine;
use super::sync::{FETCH_GRACE_MS, FETCH_MS};
use crate::action::{Action, Delivery};
use crate::event::Now;
use crate::lanes::{LANE_BATCHES_HELD_MAX, Uncovered};
use crate::message::Proposal;

/// Most final blocks here that wait for their data, for the disk or for execution; and how far the committed
/// height may be above the executed one before no more are fetched from others.
pub(super) const DELIVERIES_MAX: usize = 2_048;
/// Blocks handed over for execution that may be unexecuted.
pub const EXECUTING_MAX: u64 = 512;
/// Most final blocks loaded from the owner's store at a time, and how few must be left before the next ones are.
pub const LOAD_BLOCKS: usize = 256;
/// Final blocks that were asked of the store are asked for again after this long.
const LOAD_MS: u64 = 1_000;

/// Waiting blocks whose data one look ahead covers.
const AHEAD_BLOCKS: usize = 128;
/// Batches of one lane that one request may cover: what comes must fit into what is remembered of a lane.
const AHEAD_BATCHES: u64 = LANE_BATCHES_HELD_MAX as u64 / 2;

/// The one request for the data of final blocks that is under way in a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneFetch {
    /// Newest batch wanted.
    tip: BatchRef,
    /// First batch that was missing when it was last looked at.
    from: u64,
    /// When somebody is asked, or the next one if nothing has come.
    due_ms: u64,
    /// How many were asked.
    turn: usize,
}

impl Engine {
    /// Hands final blocks to execution as soon as their commit is durable and their data is held.
    pub(super) fn deliver(&mut self, now: Now, out: &mut Vec<Action>) {
        while let Some((durable, proposal)) = self.deliveries.front() {
            if *durable > self.persisted_seq || self.delivered.height.since(self.executed) >= EXECUTING_MAX {
                return;
            }
            let mut batches = Vec::new();
            let mut complete = true;
            for advance in &proposal.advances {
                match self.lanes.cover(advance, &self.delivered.lanes) {
                    Ok(run) => batches.extend(run.batches),
                    Err(Uncovered::Missing(_)) => complete = false,
                    // A quorum held every batch of this block, so its lanes are sound.
                    Err(Uncovered::Broken) => return,
                }
            }
            if !complete {
                self.fetch_ahead(now, out);
                return;
            }
            let Some((_, proposal)) = self.deliveries.pop_front() else { return };
            self.delivered = self.delivered.after(&proposal);
            let lanes = self.delivered.lanes.clone();
            self.lanes.prune(&lanes);
            out.push(Action::Deliver(Box::new(Delivery { header: proposal.header, batches })));
        }
        self.lane_fetches.clear();
    }

    /// Takes blocks that have just become final, as far as they go on from those that wait and there is room for
    /// them. The others are loaded from the store later.
    pub(super) fn queue_final(&mut self, durable: u64, blocks: Vec<Proposal>) {
        for proposal in blocks {
            let (height, digest) = self.last_waiting();
            let follows = proposal.header.height == height.next() && proposal.header.parent == digest;
            if follows && height < self.chain.committed().height && self.deliveries.len() < DELIVERIES_MAX {
                self.deliveries.push_back((durable, proposal));
            }
        }
    }

    /// Final blocks from the owner's store, as [`Action::LoadFinal`] asked for.
    pub(super) fn on_loaded(&mut self, blocks: Vec<Proposal>) {
        let before = self.last_waiting();
        self.queue_final(0, blocks);
        // When there were none yet, the write that holds them is under way; and what does not go on from here is asked
        // for no sooner.
        if self.last_waiting() != before {
            self.load_ms = None;
        }
    }

    /// Asks the owner for the final blocks after those that wait here, when few are left of them.
    pub(super) fn load_final(&mut self, now: Now, out: &mut Vec<Action>) {
        let (height, _) = self.last_waiting();
        let asked = self.load_ms.is_some_and(|at| now.mono_ms < at + LOAD_MS);
        if height < self.chain.committed().height && self.deliveries.len() < LOAD_BLOCKS && !asked {
            self.load_ms = Some(now.mono_ms);
            out.push(Action::LoadFinal { from: height.next(), count: LOAD_BLOCKS });
        }
    }

    /// Height and digest of the newest final block that waits here, or that was handed over.
    fn last_waiting(&self) -> (Height, Digest) {
        let delivered = (self.delivered.height, self.delivered.digest);
        let last = self.deliveries.back().map(|(_, last)| (last.header.height, last.header.digest()));
        last.unwrap_or(delivered)
    }

    /// Asks for the data of as many waiting blocks as one request may cover. One request a lane is under way:
    /// the next one follows when all of it has come, and another validator is asked when nothing more comes.
    fn fetch_ahead(&mut self, now: Now, out: &mut Vec<Action>) {
        let mut furthest: BTreeMap<ValidatorIx, (LaneAdvance, ValidatorIx)> = BTreeMap::new();
        for (_, proposal) in self.deliveries.iter().take(AHEAD_BLOCKS) {
            for advance in &proposal.advances {
                let near = advance.seq < self.delivered.lanes.next_seq(advance.author) + AHEAD_BATCHES;
                if near || !furthest.contains_key(&advance.author) {
                    furthest.insert(advance.author, (*advance, proposal.header.proposer));
                }
            }
        }
        for (author, (advance, proposer)) in furthest {
            let open = self.lane_fetches.get(&author).copied();
            let open = open.filter(|open| !self.lanes.holds(&open.tip) && self.is_ahead(&open.tip));
            if open.is_some_and(|open| now.mono_ms < open.due_ms) {
                continue;
            }
            let Err(Uncovered::Missing(gap)) = self.lanes.cover(&advance, &self.delivered.lanes) else {
                self.lane_fetches.remove(&author);
                continue;
            };
            let grace_ms = if self.deliveries.len() > 1 { 0 } else { FETCH_GRACE_MS };
            let fetch = match open {
                // One block just made final is usually waiting for something on its way.
                None => LaneFetch { tip: gap.tip, from: gap.from, due_ms: now.mono_ms + grace_ms, turn: 0 },
                Some(open) if gap.from > open.from => {
                    LaneFetch { from: gap.from, due_ms: now.mono_ms + FETCH_MS, ..open }
                }
                Some(open) => LaneFetch { tip: gap.tip, from: gap.from, ..open },
            };
            if now.mono_ms < fetch.due_ms {
                self.lane_fetches.insert(author, fetch);
                continue;
            }
            let mut holders = vec![proposer, author];
            holders.extend(self.signers_of_certificate());
            self.ask_for_batches(now, gap, holders, fetch.turn, out);
            let asked = LaneFetch { due_ms: now.mono_ms + FETCH_MS, turn: fetch.turn + 1, ..fetch };
            self.lane_fetches.insert(author, asked);
        }
    }

    /// Whether a batch is asked for by name, for a final block or another one.
    pub(super) fn wants_batch(&self, batch: &BatchRef) -> bool {
        let final_blocks = self.lane_fetches.get(&batch.author);
        final_blocks.is_some_and(|fetch| fetch.tip == *batch) || self.fetches.contains_key(&batch.digest)
    }

    /// Whether a batch is above everything delivered.
    fn is_ahead(&self, batch: &BatchRef) -> bool {
        batch.seq >= self.delivered.lanes.next_seq(batch.author)
    }

    fn signers_of_certificate(&self) -> Vec<ValidatorIx> {
        self.certificate.as_deref().map_or_else(Vec::new, |cert| self.signers_of(cert))
    }

    /// Who signed a certificate.
    pub(super) fn signers_of(&self, cert: &Cert) -> Vec<ValidatorIx> {
        let signs = |ix: &ValidatorIx| cert.signers().any(|bit| bit == ix.index());
        self.judge.committee.indices().filter(signs).collect()
    }
}
