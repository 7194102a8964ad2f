//! T2: no leader passes over batches that it was given (docs/protocol.md, 5.5).

use std::collections::BTreeMap;

use chain_core::block::{Flags, Header};
use chain_core::crypto::Digest;
use chain_core::id::{ValidatorIx, View};
use chain_core::lane::{BatchRef, LaneAdvance, LaneFrontier};

use super::Engine;
use crate::action::{Action, Peers, Suspicion};
use crate::chain::Validity;
use crate::event::Now;
use crate::lanes::Run;

/// Lanes whose batches are pushed to one leader at a time.
const PUSHED_MAX: usize = 4;
/// Blocks that must have passed over a lane before its leader is given up.
const PASSED_OVER: u32 = 2;
/// Batches of other lanes that a block without room for a lane may not prefer to it.
const PREFERRED: u64 = 4;

/// What waits in the lanes during one view.
#[derive(Debug, Default)]
pub(super) struct Queues {
    view: View,
    waiting: BTreeMap<ValidatorIx, Queue>,
}

/// What was held of a lane above the committed frontier when it was looked at: it is watched until all of it is
/// ordered, and only then the lane is looked at again. So a leader that orders a lane, and always late, is noticed.
#[derive(Debug)]
struct Queue {
    batches: Vec<BatchRef>,
    /// First sequence number of each lane that was not held here by then: from there on, later batches.
    reach: Vec<u64>,
    /// Since when it has waited here while there was room for it.
    since_ms: u64,
    /// Whether blocks became final meanwhile, and whether one of them could have ordered it.
    passed_by: bool,
    slighted: bool,
    pushed: Option<Pushed>,
}

/// What the leader was given, and what it did since.
#[derive(Debug)]
struct Pushed {
    first_ms: u64,
    last_ms: u64,
    /// Final blocks that passed over it.
    passed: u32,
}

impl Queue {
    /// The newest batch; the others come before it.
    fn last(&self) -> Option<LaneAdvance> {
        let last = self.batches.last()?;
        Some(LaneAdvance { author: last.author, seq: last.seq, tip: last.digest })
    }
}

impl Queues {
    /// What has waited for this long, by author.
    pub(super) fn waiting_for(
        &self,
        now: Now,
        wait_ms: u64,
    ) -> impl Iterator<Item = (ValidatorIx, &[BatchRef])> {
        let over = move |(_, queue): &(&ValidatorIx, &Queue)| now.mono_ms >= queue.since_ms + wait_ms;
        self.waiting.iter().filter(over).map(|(author, queue)| (*author, &queue.batches[..]))
    }
}

impl Engine {
    /// T_incl: how long what a leader was given may wait.
    fn inclusion_timeout_ms(&self) -> u64 {
        self.params.inclusion_ms.max((8 * self.latency_ms).min(self.params.inclusion_max_ms))
    }

    /// Whether this validator has not given up on the view.
    pub(super) fn may_vote_in_view(&self) -> bool {
        self.safety.as_ref().is_some_and(|one| one.voting() && one.record().vc_view <= self.view)
    }

    /// Looks at every lane, and pushes to the leader what has waited for a while. What follows a place for which the
    /// author signed two batches is not watched: nobody can say which one the leader should have taken.
    pub(super) fn watch_lanes(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.queues.view != self.view {
            self.queues = Queues { view: self.view, waiting: BTreeMap::new() };
        }
        // Nothing is owed while execution is behind, nor to one that is behind itself.
        let fair_ms = self.no_room_ms.max(self.behind_ms);
        let committed = &self.chain.committed().lanes;
        let mut reach = Vec::new();
        for author in self.judge.committee.indices() {
            // A forked lane stays where it is, and nobody is to blame for that (M15).
            if self.lane_is_frozen(author) {
                self.queues.waiting.remove(&author);
                continue;
            }
            let watched = self.queues.waiting.get_mut(&author);
            if let Some(queue) = watched
                && queue.last().is_some_and(|last| self.lanes.cover(&last, committed).is_ok())
            {
                if fair_ms > queue.since_ms {
                    queue.since_ms = fair_ms;
                    if let Some(pushed) = queue.pushed.as_mut() {
                        pushed.passed = 0;
                    }
                }
                continue;
            }
            self.queues.waiting.remove(&author);
            let batches = self.lanes.undisputed(author, committed, self.params.lane_batches_max);
            if batches.is_empty() {
                continue;
            }
            if reach.is_empty() {
                reach.extend(self.judge.committee.indices().map(|one| self.lanes.reach(one, committed)));
            }
            let queue = Queue {
                batches,
                reach: reach.clone(),
                since_ms: now.mono_ms,
                passed_by: false,
                slighted: false,
                pushed: None,
            };
            self.queues.waiting.insert(author, queue);
        }
        let leader = self.leader();
        if Some(leader) != self.me && self.may_vote_in_view() {
            let due = self.lanes_to_push(now);
            self.note_pushed(now, &due);
            out.extend(due.into_iter().map(|batch| Action::PushBatch { to: Peers::One(leader), batch }));
        }
    }

    /// What is to be pushed now: at first when it has waited for a while, unless all blocks meanwhile were full.
    fn lanes_to_push(&self, now: Now) -> Vec<BatchRef> {
        let repush_ms = self.params.repush_ms;
        let queues = || self.queues.waiting.values();
        let mut first: Vec<&Queue> = queues()
            .filter(|queue| queue.pushed.is_none() && now.mono_ms >= queue.since_ms + repush_ms)
            .filter(|queue| queue.slighted || !queue.passed_by)
            .collect();
        first.sort_by_key(|queue| queue.since_ms);
        let pushed = queues().filter(|queue| queue.pushed.is_some()).count();
        let again = queues().filter(|queue| {
            queue.pushed.as_ref().is_some_and(|pushed| now.mono_ms >= pushed.last_ms + 2 * repush_ms)
        });
        let committed = &self.chain.committed().lanes;
        let open = |batch: &BatchRef| batch.seq >= committed.next_seq(batch.author);
        let first = first.into_iter().take(PUSHED_MAX.saturating_sub(pushed));
        first.chain(again).flat_map(|queue| queue.batches.iter().copied()).filter(open).collect()
    }

    /// These batches are on their way to the leader.
    pub(super) fn note_pushed(&mut self, now: Now, batches: &[BatchRef]) {
        if batches.is_empty() {
            return;
        }
        let committed = &self.chain.committed().lanes;
        for queue in self.queues.waiting.values_mut() {
            // With the last one go those before it.
            if queue.batches.last().is_some_and(|last| batches.contains(last))
                && queue
                    .batches
                    .iter()
                    .all(|one| batches.contains(one) || one.seq < committed.next_seq(one.author))
            {
                let fresh = Pushed { first_ms: now.mono_ms, last_ms: 0, passed: 0 };
                queue.pushed.get_or_insert(fresh).last_ms = now.mono_ms;
            }
        }
    }

    /// Blocks up to this one are about to become final: which lanes did they pass over? Only a block counts that
    /// this validator judged itself, so one of the present leader, seen long enough after the push.
    pub(super) fn note_passed_over(&mut self, top: &Digest) {
        if self.queues.view != self.view || self.queues.waiting.is_empty() {
            return;
        }
        let Some(path) = self.chain.path(top) else { return };
        let mut before = self.chain.committed().clone();
        for digest in path {
            let Some(entry) = self.chain.get(&digest) else { return };
            let Some(tip) = entry.tip.as_ref() else { return };
            let header = entry.header();
            let first = before.header.as_ref().is_none_or(|one| one.view < header.view);
            let judged = header.view == self.view && entry.validity == Validity::Valid && !entry.late;
            let asked_ms = entry.seen_ms.saturating_sub(self.params.repush_ms);
            for (author, queue) in &mut self.queues.waiting {
                let Some(last) = queue.last() else { continue };
                let Ok(rest) = self.lanes.cover(&last, &tip.lanes) else { continue };
                queue.passed_by = true;
                if !judged || first || header.flags.contains(Flags::CLOSING) {
                    continue;
                }
                let taken = tip.lanes.next_seq(*author) - before.lanes.next_seq(*author);
                let room = has_room_for(header, &rest, taken, &self.params);
                let preferred = preferred(&entry.proposal.advances, &before.lanes, *author, &queue.reach);
                if room || (taken == 0 && preferred >= PREFERRED) {
                    queue.slighted = true;
                    if let Some(pushed) = queue.pushed.as_mut().filter(|pushed| pushed.first_ms <= asked_ms) {
                        pushed.passed = pushed.passed.saturating_add(1);
                    }
                }
            }
            before = tip.clone();
        }
    }

    /// T2: batches that this leader was given at least τ ago, that have waited longer than T_incl, and that blocks
    /// with room for them, or with others' in their place, passed over.
    pub(super) fn left_out(&self, now: Now) -> Option<Suspicion> {
        if self.queues.view != self.view {
            return None;
        }
        let (patience, tau) = (self.inclusion_timeout_ms(), self.timeout_ms());
        let heard = self.peers.get(self.leader().index()).and_then(|peer| peer.heard_ms);
        self.queues.waiting.values().find_map(|queue| {
            let pushed = queue.pushed.as_ref()?;
            let waited_ms = now.mono_ms.saturating_sub(queue.since_ms);
            let guilty = waited_ms > patience
                && now.mono_ms >= pushed.first_ms + tau
                && heard.is_some_and(|at| at > pushed.first_ms)
                && pushed.passed >= PASSED_OVER;
            let LaneAdvance { author, seq, .. } = queue.last()?;
            guilty.then_some(Suspicion::LeftOut { author, seq, waited_ms })
        })
    }
}

/// Whether a block that took some batches of a lane could have ordered the rest, too.
fn has_room_for(header: &Header, rest: &Run, taken: u64, params: &crate::params::Params) -> bool {
    header.n_bytes.saturating_add(rest.bytes) <= params.block_bytes_max
        && header.n_records.saturating_add(rest.records) <= params.block_records_max
        && taken + rest.batches.len() as u64 <= params.lane_batches_max
        && header.height.since(header.exec_height) <= params.exec_lag_max
}

/// Batches of other lanes that a block orders though they came later, or though they are not the first
/// of their lane in it.
fn preferred(advances: &[LaneAdvance], before: &LaneFrontier, author: ValidatorIx, reach: &[u64]) -> u64 {
    let of_one = |advance: &LaneAdvance| {
        let first = before.next_seq(advance.author);
        let later = reach.get(advance.author.index()).copied().unwrap_or(u64::MAX);
        let from = first.saturating_add(1).min(first.max(later));
        advance.seq.saturating_add(1).saturating_sub(from)
    };
    advances.iter().filter(|advance| advance.author != author).map(of_one).sum()
}
