//! Leaders that are left without a timeout: skipped before they begin (T5), or handing over before their time,
//! and how long a view may last (M6; docs/protocol.md, 5.1 and 5.3).

use chain_core::block::Header;
use chain_core::id::{Height, View};

use super::Engine;
use crate::action::{Action, Notice, Suspicion};
use crate::event::Now;
use crate::message::{EntryProof, Proposal};

/// What the rules about the ends of views remember.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// When this engine was started, and the newest view whose leader was looked at on entering.
    looked: Option<(u64, View)>,
    /// Time of the first final block of a view, milliseconds since 1970.
    first_block: Option<(View, u64)>,
}

impl Engine {
    /// T5: whoever has long been silent when its view begins is not waited for. A view that follows at once is
    /// looked at in the same step.
    pub(super) fn skip_silent_leader(&mut self, now: Now, out: &mut Vec<Action>) {
        loop {
            let (started_ms, looked) = *self.ends.looked.get_or_insert((now.mono_ms, self.view));
            if looked == self.view {
                return;
            }
            self.ends.looked = Some((started_ms, self.view));
            let leader = self.leader();
            let heard_ms = self.peers[leader.index()].heard_ms.unwrap_or(0).max(started_ms);
            let silent = Some(leader) != self.me && now.mono_ms > heard_ms + self.params.skip_ms;
            // Including this validator (M12): with four, the one that is silent leaves no more than a quorum.
            let quorum = self.judge.committee.quorum();
            if silent && self.may_vote_in_view() && self.alive(now, self.params.skip_ms) >= quorum {
                self.give_up(now, Suspicion::Skipped, out);
            }
        }
    }

    /// A leader in whose view hardly a quorum can vote any more ends its term, if one of those who cannot is there
    /// to vote in the next. At most one hand-over in a while, so that one who always complains gains little.
    pub(super) fn hand_over_early(&mut self, now: Now, out: &mut Vec<Action>) {
        let recent = matches!(self.entry.as_deref(), Some(EntryProof::TermEnd { .. }))
            && now.mono_ms < self.view_entered_ms + self.params.handover_gap_ms;
        if self.handing_over || recent || Some(self.leader()) != self.me || !self.may_vote_in_view() {
            return;
        }
        let within_ms = self.timeout_ms().max(3 * self.params.status_ms);
        let (mut away, mut live) = (0, false);
        for (ix, peer) in self.peers.iter().enumerate() {
            let gave_up = peer.view_change.as_ref().is_some_and(|one| one.new_view > self.view);
            let heard = peer.heard_ms.is_some_and(|at| at + within_ms >= now.mono_ms);
            if Some(ix) != self.me.map(|me| me.index()) && (gave_up || !heard) {
                away += 1;
                live |= gave_up && heard;
            }
        }
        let voters = self.judge.committee.size() - away;
        if live && voters <= self.judge.committee.quorum() {
            self.handing_over = true;
            out.push(Action::Notice(Notice::HandsOver { view: self.view, voters }));
        }
    }

    /// Remembers when the view's first block was made, however many follow.
    pub(super) fn note_view_age(&mut self, blocks: &[Proposal]) {
        for header in blocks.iter().map(|one| &one.header) {
            if self.ends.first_block.is_none_or(|(view, _)| view != header.view) {
                self.ends.first_block = Some((header.view, header.time_ms));
            }
        }
    }

    /// M6: a view that is older than two terms of block time without an end.
    pub(super) fn term_overdue(&self) -> bool {
        let committed = self.chain.committed();
        let Some(header) = committed.header.as_ref().filter(|one| one.view == self.view) else {
            return false;
        };
        let noted = self.ends.first_block.filter(|(view, _)| *view == self.view).map(|(_, time_ms)| time_ms);
        let stored = self
            .known_view_base()
            .and_then(|base| self.chain.committed_header(base.next()))
            .filter(|first| first.view == self.view)
            .map(|first| first.time_ms);
        let first = noted.into_iter().chain(stored).min();
        first.is_some_and(|first| header.time_ms.saturating_sub(first) > 2 * self.params.term_ms)
    }

    /// Height of the view's base, where this validator knows it.
    fn known_view_base(&self) -> Option<Height> {
        match self.entry.as_deref() {
            _ if self.view == View::ZERO => Some(self.judge.base_height),
            Some(EntryProof::Timeout(tc)) if tc.new_view == self.view => Some(tc.best.height()),
            Some(EntryProof::TermEnd { certificate, .. }) if certificate.view.next() == self.view => {
                Some(certificate.height)
            }
            _ => None,
        }
    }

    /// Whether a block is beyond the most that one view may have.
    pub(super) fn outgrows_view(&self, header: &Header) -> bool {
        let base = self.known_view_base().filter(|_| header.view == self.view);
        base.is_some_and(|base| header.height.since(base) > self.params.view_blocks_max)
    }
}
