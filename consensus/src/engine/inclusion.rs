//! T2: no leader passes over a batch that it was given (docs/protocol.md, 5.5).

use std::collections::BTreeMap;

use chain_core::block::{Flags, Header};
use chain_core::crypto::Digest;
use chain_core::id::{ValidatorIx, View};
use chain_core::lane::{BatchRef, LaneAdvance, LaneFrontier};

use super::Engine;
use crate::action::{Action, Peers, Suspicion};
use crate::chain::Validity;
use crate::event::Now;

/// Heads of lanes that are pushed to one leader at a time.
const PUSHED_MAX: usize = 4;
/// Blocks that must have passed over a head before its leader is given up.
const PASSED_OVER: u32 = 2;
/// Batches of other lanes that a block without room for a head may not prefer to it.
const PREFERRED: u64 = 4;

/// The heads of lanes that wait in one view.
#[derive(Debug, Default)]
pub(super) struct Heads {
    view: View,
    waiting: BTreeMap<ValidatorIx, Head>,
}

/// The batch that comes next in a lane after the committed frontier.
#[derive(Debug)]
struct Head {
    batch: BatchRef,
    bytes: u32,
    records: u32,
    /// Since when it has headed its lane here while there was room for it.
    since_ms: u64,
    pushed: Option<Pushed>,
}

/// What the leader was given, and what it did since.
#[derive(Debug)]
struct Pushed {
    first_ms: u64,
    last_ms: u64,
    /// First sequence number of each lane that was not held here by then: from there on, later batches.
    reach: Vec<u64>,
    /// Final blocks that passed over the head.
    passed: u32,
}

impl Heads {
    /// Authors whose head has waited for this long.
    pub(super) fn waiting_for(&self, now: Now, wait_ms: u64) -> impl Iterator<Item = BatchRef> {
        let over = move |head: &&Head| now.mono_ms >= head.since_ms + wait_ms;
        self.waiting.values().filter(over).map(|head| head.batch)
    }
}

impl Engine {
    /// T_incl: how long the head of a lane may wait.
    fn inclusion_timeout_ms(&self) -> u64 {
        self.params.inclusion_ms.max((8 * self.latency_ms).min(self.params.inclusion_max_ms))
    }

    /// Looks at the head of every lane, and pushes to the leader those that have waited for a while. A lane with
    /// two batches for one place has no head: nobody can say which one the leader should have taken.
    pub(super) fn watch_heads(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.heads.view != self.view {
            self.heads = Heads { view: self.view, waiting: BTreeMap::new() };
        }
        // Nothing is owed while execution is behind, nor to one that is behind itself.
        let fair_ms = self.no_room_ms.max(self.behind_ms);
        let committed = &self.chain.committed().lanes;
        for author in self.judge.committee.indices() {
            let Some((batch, bytes, records)) = self.lanes.head(author, committed) else {
                self.heads.waiting.remove(&author);
                continue;
            };
            let fresh = || Head { batch, bytes, records, since_ms: now.mono_ms, pushed: None };
            let head = self.heads.waiting.entry(author).or_insert_with(fresh);
            if head.batch != batch {
                *head = fresh();
            }
            if fair_ms > head.since_ms {
                head.since_ms = fair_ms;
                if let Some(pushed) = head.pushed.as_mut() {
                    pushed.passed = 0;
                }
            }
        }
        let leader = self.leader();
        if Some(leader) == self.me || !self.may_vote_in_view() {
            return;
        }
        let due: Vec<BatchRef> = self.heads_to_push(now);
        self.note_pushed(now, &due);
        out.extend(due.into_iter().map(|batch| Action::PushBatch { to: Peers::One(leader), batch }));
    }

    /// Whether this validator has not given up on the view.
    pub(super) fn may_vote_in_view(&self) -> bool {
        self.safety.as_ref().is_some_and(|one| one.voting() && one.record().vc_view <= self.view)
    }

    fn heads_to_push(&self, now: Now) -> Vec<BatchRef> {
        let repush_ms = self.params.repush_ms;
        let pushed = self.heads.waiting.values().filter(|head| head.pushed.is_some()).count();
        let mut first: Vec<&Head> = self
            .heads
            .waiting
            .values()
            .filter(|head| head.pushed.is_none() && now.mono_ms >= head.since_ms + repush_ms)
            .collect();
        first.sort_by_key(|head| head.since_ms);
        let again = self.heads.waiting.values().filter(|head| {
            head.pushed.as_ref().is_some_and(|pushed| now.mono_ms >= pushed.last_ms + 2 * repush_ms)
        });
        let first = first.into_iter().take(PUSHED_MAX.saturating_sub(pushed));
        first.chain(again).map(|head| head.batch).collect()
    }

    /// These heads are on their way to the leader.
    pub(super) fn note_pushed(&mut self, now: Now, batches: &[BatchRef]) {
        if batches.is_empty() {
            return;
        }
        let committed = &self.chain.committed().lanes;
        let reach: Vec<u64> =
            self.judge.committee.indices().map(|author| self.lanes.reach(author, committed)).collect();
        for batch in batches {
            let head = self.heads.waiting.get_mut(&batch.author).filter(|head| head.batch == *batch);
            let Some(head) = head else { continue };
            let fresh = Pushed { first_ms: now.mono_ms, last_ms: 0, reach: reach.clone(), passed: 0 };
            head.pushed.get_or_insert(fresh).last_ms = now.mono_ms;
        }
    }

    /// Blocks up to this one are about to become final: which heads did they pass over? Only a block counts that
    /// this validator judged itself, so one of the present leader, seen long enough after the push.
    pub(super) fn note_passed_over(&mut self, top: &Digest) {
        if self.heads.view != self.view || self.heads.waiting.values().all(|head| head.pushed.is_none()) {
            return;
        }
        let Some(path) = self.chain.path(top) else { return };
        let mut before = self.chain.committed().clone();
        for digest in path {
            let Some(entry) = self.chain.get(&digest) else { return };
            let Some(tip) = entry.tip.as_ref() else { return };
            let header = entry.header();
            let first = before.header.as_ref().is_none_or(|one| one.view < header.view);
            let own = header.view == self.view && entry.validity == Validity::Valid && entry.timely;
            if own && !first && !header.flags.contains(Flags::CLOSING) {
                let asked_ms = entry.seen_ms.saturating_sub(self.params.repush_ms);
                for head in self.heads.waiting.values_mut() {
                    let ordered = tip.lanes.next_seq(head.batch.author) > head.batch.seq;
                    let room = has_room_for(header, head, &self.params);
                    let Some(pushed) = head.pushed.as_mut() else { continue };
                    let advances = &entry.proposal.advances;
                    let preferred = preferred(advances, &before.lanes, head.batch.author, &pushed.reach);
                    if !ordered && pushed.first_ms <= asked_ms && (room || preferred >= PREFERRED) {
                        pushed.passed = pushed.passed.saturating_add(1);
                    }
                }
            }
            before = tip.clone();
        }
    }

    /// T2: a head that this leader was given at least τ ago, that has waited longer than T_incl, and that blocks
    /// with room for it, or with later batches in its place, passed over.
    pub(super) fn left_out(&self, now: Now) -> Option<Suspicion> {
        if self.heads.view != self.view {
            return None;
        }
        let (patience, tau) = (self.inclusion_timeout_ms(), self.timeout_ms());
        let heard = self.peers.get(self.leader().index()).and_then(|peer| peer.heard_ms);
        self.heads.waiting.values().find_map(|head| {
            let pushed = head.pushed.as_ref()?;
            let waited_ms = now.mono_ms.saturating_sub(head.since_ms);
            let guilty = waited_ms > patience
                && now.mono_ms >= pushed.first_ms + tau
                && heard.is_some_and(|at| at > pushed.first_ms)
                && pushed.passed >= PASSED_OVER;
            let BatchRef { author, seq, .. } = head.batch;
            guilty.then_some(Suspicion::LeftOut { author, seq, waited_ms })
        })
    }
}

/// Whether a block could have ordered the head, too.
fn has_room_for(header: &Header, head: &Head, params: &crate::params::Params) -> bool {
    header.n_bytes.saturating_add(head.bytes) <= params.block_bytes_max
        && header.n_records.saturating_add(head.records) <= params.block_records_max
        && header.height.since(header.exec_height) <= params.exec_lag_max
}

/// Batches of other lanes that a block orders though they came after the push, or though they are not the first
/// of their lane in it.
fn preferred(advances: &[LaneAdvance], before: &LaneFrontier, author: ValidatorIx, reach: &[u64]) -> u64 {
    let of_one = |advance: &LaneAdvance| {
        let first = before.next_seq(advance.author);
        let later = reach.get(advance.author.index()).copied().unwrap_or(0);
        let from = first.saturating_add(1).min(first.max(later));
        advance.seq.saturating_add(1).saturating_sub(from)
    };
    advances.iter().filter(|advance| advance.author != author).map(of_one).sum()
}
