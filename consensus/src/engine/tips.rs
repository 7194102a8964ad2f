//! How far a leader's block advances each lane: fair shares, and probation for authors whose data is not where it
//! should be (docs/protocol.md, 2.1).

use std::collections::BTreeMap;

use chain_core::id::{ValidatorIx, View};
use chain_core::lane::{BatchRef, LaneFrontier};

use super::{Engine, Tip};
use crate::action::{Action, Notice, Peers};
use crate::chain::Validity;
use crate::event::Now;
use crate::message::{Message, Proposal};

/// Shortest and longest that a block waits for data before its absence is worth a word, milliseconds; between the
/// two, twice the delay of the network.
const WAIT_MS: (u64, u64) = (20, 200);
/// Reports that an author's data is missing count together within this long.
const LACKING_MS: u64 = 2_000;
/// What waits in a lane is reported after this many times as long: ordered it should be after twice.
const REPORT_AFTER: u64 = 3;
/// What waits in a lane on probation is passed on by the leader after this long.
const PASS_ON_MS: u64 = 100;

/// What a leader knows of who holds what, and what a voter has told it.
#[derive(Debug, Default)]
pub(super) struct Tips {
    /// As a leader: of each author and peer, the first sequence number that the peer does not hold.
    have: BTreeMap<(ValidatorIx, ValidatorIx), u64>,
    /// As a leader: when a peer last lacked an author's data that a block waited for.
    lacking_ms: BTreeMap<(ValidatorIx, ValidatorIx), u64>,
    /// As a leader: authors on probation, and until when.
    probation_ms: BTreeMap<ValidatorIx, u64>,
    /// As a leader: when what waits in a lane on probation was last passed on, up to which batch.
    passed_on: BTreeMap<ValidatorIx, (BatchRef, u64)>,
    /// As a leader: when a peer's last report was taken.
    heard_ms: BTreeMap<ValidatorIx, u64>,
    /// As a leader: height at which a lane was last advanced.
    served: BTreeMap<ValidatorIx, u64>,
    /// As a voter: what the leader of a view was told of each lane, and whether a block lacked its data.
    told: BTreeMap<(ValidatorIx, bool), u64>,
    told_view: View,
    /// As a voter: when the leader was told, and when all will be told again.
    told_ms: u64,
    forget_ms: u64,
}

impl Engine {
    /// The order in which lanes are served: first those that have waited longest for their turn, so that a full
    /// block starves nobody.
    pub(super) fn order_of_lanes(&self, tip: &Tip) -> Vec<ValidatorIx> {
        let n = self.judge.committee.size();
        let start = usize::try_from(tip.height.get() % n as u64).unwrap_or(0);
        let mut order: Vec<_> = self.judge.committee.indices().collect();
        order.rotate_left(start);
        order.retain(|author| !self.lane_is_frozen(*author));
        order.sort_by_key(|author| self.tips.served.get(author).copied());
        order
    }

    /// An own proposal served these lanes.
    pub(super) fn note_served(&mut self, proposal: &Proposal) {
        let height = proposal.header.height.get();
        self.tips.served.extend(proposal.advances.iter().map(|advance| (advance.author, height)));
    }

    /// How many batches of a lane the next block may order: as many as are held here, but of an author on
    /// probation only those that a quorum holds by its own account.
    pub(super) fn batches_allowed(&self, now: Now, author: ValidatorIx, frontier: &LaneFrontier) -> u64 {
        let most = self.params.lane_batches_max;
        if !self.on_probation(now, author) {
            return most;
        }
        most.min(self.held_by_quorum(author, frontier).saturating_sub(frontier.next_seq(author)))
    }

    fn on_probation(&self, now: Now, author: ValidatorIx) -> bool {
        Some(author) != self.me
            && self.tips.probation_ms.get(&author).is_some_and(|until| now.mono_ms < *until)
    }

    /// First sequence number of a lane that no quorum holds by its own account.
    fn held_by_quorum(&self, author: ValidatorIx, frontier: &LaneFrontier) -> u64 {
        let mut held: Vec<u64> = self
            .judge
            .committee
            .indices()
            .map(|peer| {
                if Some(peer) == self.me {
                    self.lanes.reach(author, frontier)
                } else {
                    self.tips.have.get(&(author, peer)).copied().unwrap_or(0)
                }
            })
            .collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.get(self.judge.committee.quorum() - 1).copied().unwrap_or(0)
    }

    /// How long the absence of a block's data is nobody's fault: about twice the delay of the network.
    fn data_wait_ms(&self) -> u64 {
        self.latency_ms.clamp(WAIT_MS.0, WAIT_MS.1)
    }

    /// Tells the leader what is held of lanes that wait: because the leader may want to know before it orders them,
    /// or because a block of its does not get this validator's vote for want of their data.
    pub(super) fn report_holdings(&mut self, now: Now, out: &mut Vec<Action>) {
        let leader = self.leader();
        if Some(leader) == self.me || now.mono_ms < self.tips.told_ms + self.params.have_ms {
            return;
        }
        if now.mono_ms >= self.tips.forget_ms || self.tips.told_view != self.view {
            self.tips.told_view = self.view;
            self.tips.forget_ms = now.mono_ms + self.params.resend_ms;
            self.tips.told.clear();
        }
        let wait_ms = self.data_wait_ms();
        let committed = &self.chain.committed().lanes;
        let stuck = self
            .chain
            .entries()
            .filter(|entry| entry.header().view == self.view && entry.validity == Validity::Open)
            .filter(|entry| entry.tip.is_some() && now.mono_ms >= entry.seen_ms + wait_ms)
            .flat_map(|entry| entry.proposal.advances.iter())
            .map(|advance| (advance.author, Some(advance.seq)));
        let waiting = self.queues.waiting_for(now, REPORT_AFTER * wait_ms).map(|(author, _)| (author, None));
        let mut lanes: BTreeMap<ValidatorIx, u64> = BTreeMap::new();
        for (author, wanted) in stuck.chain(waiting) {
            let reach = self.lanes.reach(author, committed);
            let told = self.tips.told.get(&(author, wanted.is_some()));
            if wanted.is_none_or(|seq| reach <= seq) && told != Some(&reach) {
                self.tips.told.insert((author, wanted.is_some()), reach);
                lanes.insert(author, reach);
            }
        }
        if lanes.is_empty() {
            return;
        }
        self.tips.told_ms = now.mono_ms;
        let message = Message::Have { lanes: lanes.into_iter().collect() };
        self.send(Peers::One(leader), message, None, out);
    }

    /// A peer says what it holds. Nothing of it is proved: lies of f validators can neither put an author on
    /// probation nor make a quorum of holders without an honest one.
    pub(super) fn on_have(
        &mut self,
        now: Now,
        from: ValidatorIx,
        lanes: &[(ValidatorIx, u64)],
        out: &mut Vec<Action>,
    ) {
        let n = self.judge.committee.size();
        let sound = lanes.len() <= n
            && lanes.is_sorted_by(|a, b| a.0 < b.0)
            && lanes.iter().all(|(author, _)| author.index() < n);
        let early = |at: &u64| now.mono_ms < at + self.params.have_ms / 2;
        if Some(self.leader()) != self.me || !sound || self.tips.heard_ms.get(&from).is_some_and(early) {
            return;
        }
        self.tips.heard_ms.insert(from, now.mono_ms);
        let wait_ms = self.data_wait_ms();
        for (author, next) in lanes.iter().copied() {
            self.tips.have.insert((author, from), next);
            let waits = self.chain.entries().any(|entry| {
                entry.header().view == self.view
                    && now.mono_ms >= entry.seen_ms + wait_ms
                    && entry.proposal.advances.iter().any(|one| one.author == author && one.seq >= next)
            });
            if waits && Some(author) != self.me {
                self.note_lacking(now, author, from, out);
            }
        }
    }

    /// More than f lack an author's data, so an honest one does.
    fn note_lacking(&mut self, now: Now, author: ValidatorIx, from: ValidatorIx, out: &mut Vec<Action>) {
        self.tips.lacking_ms.insert((author, from), now.mono_ms);
        let all = (author, ValidatorIx::new(0))..=(author, ValidatorIx::new(u16::MAX));
        let recent = |at: &u64| at + LACKING_MS >= now.mono_ms;
        let lacking = self.tips.lacking_ms.range(all).filter(|(_, at)| recent(at)).count();
        if lacking > self.judge.committee.faults() {
            if !self.on_probation(now, author) {
                out.push(Action::Notice(Notice::OnProbation { author }));
            }
            self.tips.probation_ms.insert(author, now.mono_ms + self.params.probation_ms);
        }
    }

    /// What an author on probation showed to some only, the leader shows to all: they report it then, and nobody
    /// who relayed it to the leader waits in vain.
    pub(super) fn pass_on_probation(&mut self, now: Now, out: &mut Vec<Action>) {
        if Some(self.leader()) != self.me {
            return;
        }
        let committed = &self.chain.committed().lanes;
        let mut due: Vec<BatchRef> = Vec::new();
        for (author, batches) in self.queues.waiting_for(now, PASS_ON_MS) {
            let Some(last) = batches.last().filter(|_| self.on_probation(now, author)) else { continue };
            let known = self.held_by_quorum(author, committed);
            let before = self.tips.passed_on.get(&author).filter(|(batch, _)| batch == last);
            if known <= last.seq && before.is_none_or(|(_, at)| now.mono_ms >= at + self.params.repush_ms) {
                self.tips.passed_on.insert(author, (*last, now.mono_ms));
                due.extend(batches.iter().filter(|batch| batch.seq >= known));
            }
        }
        out.extend(due.into_iter().map(|batch| Action::PushBatch { to: Peers::All, batch }));
    }
}
