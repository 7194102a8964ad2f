//! Receiving proposals, judging them, and voting PREPARE (R1; docs/protocol.md, 3.2).

use chain_core::block::{self, Flags, HEADER_VERSION, Header};
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Height, ValidatorIx, View};

use super::{Engine, OwnVote, Tip};
use crate::action::{Action, Alarm, Peers, Suspicion, Write};
use crate::chain::{BLOCKS_PER_LEADER_MAX, Entry, Validity};
use crate::event::Now;
use crate::lanes::{Run, Uncovered};
use crate::message::{EntryProof, Justification, Message, Proposal};
use crate::mutant::Mutant;
use crate::safety::{Foundation, OwnedFoundation};
use crate::verified::Verified;

/// What judging a block came to.
enum Judged {
    /// R1e holds; these runs are what it orders.
    Valid(Vec<Run>),
    /// Something is still missing.
    Open,
    /// It breaks a rule that signed bytes alone prove (T4).
    Provably,
    /// It names another result of executing this height than was computed here.
    OtherRoot(Height),
    /// No vote, but it proves nothing against the leader.
    Refused,
}

impl Engine {
    pub(super) fn on_propose(
        &mut self,
        now: Now,
        from: ValidatorIx,
        proposal: Proposal,
        out: &mut Vec<Action>,
    ) {
        let header = &proposal.header;
        let committed = self.chain.committed().height;
        if header.chain_id != self.judge.chain_id
            || header.epoch != self.epoch()
            || header.height <= committed
            || Flags::from_bits(header.flags.bits()).is_none()
        {
            return;
        }
        let digest = header.digest();
        if self.chain.contains(&digest) {
            let holders = vec![from, self.leader_of(header.view)];
            self.add_justification(&digest, proposal);
            if self.chain.tip_of(&digest).is_none() {
                self.fetch_branch(now, digest, holders, Some(from), out);
            }
            return;
        }
        // What it brings along may prove its view before the block itself is looked at.
        if header.view > self.view {
            match &proposal.justification {
                Some(Justification::Timeout(tc)) => {
                    self.on_entry(now, EntryProof::Timeout(tc.clone()), out);
                }
                Some(Justification::TermEnd(cert)) => {
                    self.on_certificate(now, from, (**cert).clone(), out);
                }
                None => {}
            }
        }
        if header.view > self.view {
            self.ask_for_help(now, from, out);
        }
        // What a quorum certified may be anything; for the rest a liar's word is bounded.
        let certified = self.is_certified(&digest);
        let wanted = self.fetches.contains_key(&digest);
        let near =
            header.height.since(self.anchor()) <= 2 * self.params.window && header.view.next() >= self.view;
        if !certified && !((near || wanted) && header.view <= self.view.next()) {
            return;
        }
        // The leader's signature covers the header alone: whoever passes a block on could replace the
        // advances, and frame the leader, or the justification, and burden the store.
        if header.proposer != self.leader_of(header.view)
            || header.lanes_root != block::lanes_root(&proposal.advances)
            || !self.judge.proposal(&proposal)
        {
            return;
        }
        self.weigh_proposal(&proposal, out);
        let header = &proposal.header;
        let rank = chain_core::certificate::Rank { view: header.view, height: header.height };
        let rivals = self.chain.in_slot(rank).count();
        let full = rivals >= 2 || self.chain.proposed_by(header.proposer) >= BLOCKS_PER_LEADER_MAX;
        if full && !certified {
            return;
        }
        if rivals > 0 {
            let offender = header.proposer;
            out.push(Action::Alarm(Alarm::Equivocation {
                offender,
                what: "two blocks for one view and height",
            }));
            if header.view == self.view {
                self.give_up(now, Suspicion::Proof, out);
            }
        }
        let parent = header.parent;
        let view = header.view;
        self.fetches.remove(&digest);
        self.insert_received(now, proposal);
        if self.chain.tip_of(&parent).is_none() {
            self.fetch_block(now, parent, vec![from, self.leader_of(view)], Some(from), out);
        }
        // It may be the block to catch up with, or an ancestor of it that was missing.
        self.try_finalise(now, out);
    }

    /// Whether a block's justification, if it has one, proves that its view may stand on its parent. What
    /// the parent's own header must show is judged with the block.
    fn is_justified(&self, proposal: &Proposal) -> bool {
        let header = &proposal.header;
        match &proposal.justification {
            None => true,
            Some(Justification::Timeout(tc)) => {
                tc.new_view == header.view
                    && tc.best.digest() == header.parent
                    && self.judge.timeout((**tc).clone()).is_ok()
            }
            Some(Justification::TermEnd(cert)) => {
                cert.view.next() == header.view
                    && cert.digest == header.parent
                    && self.judge.cert((**cert).clone(), VoteKind::Prepare).is_ok()
            }
        }
    }

    /// Adds a block from a peer, without a justification that justifies nothing.
    pub(super) fn insert_received(&mut self, now: Now, mut proposal: Proposal) {
        if !self.is_justified(&proposal) {
            proposal.justification = None;
        }
        self.insert_block(now, proposal, false);
    }

    /// A known block came again: it may bring the justification that an earlier sender had left out.
    fn add_justification(&mut self, digest: &Digest, proposal: Proposal) {
        let lacks = |entry: &Entry| {
            entry.proposal.justification.is_none()
                && entry.foundation.is_none()
                && entry.validity == Validity::Open
        };
        if proposal.justification.is_some()
            && self.chain.get(digest).is_some_and(lacks)
            && self.is_justified(&proposal)
            && let Some(entry) = self.chain.get_mut(digest)
        {
            entry.proposal.justification = proposal.justification;
        }
    }

    /// Adds a block whose signature, or a certificate over it, verified.
    pub(super) fn insert_block(&mut self, now: Now, proposal: Proposal, stored: bool) {
        let header = &proposal.header;
        let digest = header.digest();
        if self.chain.contains(&digest) || header.height <= self.chain.committed().height {
            return;
        }
        self.remember_header(digest, header);
        let k = self.failed_views.min(16);
        let behind = self.params.clock_behind_ms.saturating_mul(1 << k);
        let late = header.time_ms.saturating_add(behind) < now.wall_ms;
        let parent = self.parent_header(header).cloned();
        let on_base = header.height == self.judge.base_height.next();
        let first = on_base || parent.as_ref().is_some_and(|one| one.view < header.view);
        let foundation =
            if first { OwnedFoundation::of(&proposal, parent.as_ref(), &self.judge) } else { None };
        if foundation.is_some() && header.view == self.view {
            self.first_block_owed = false;
        }
        let certificate = self.high_qc.clone().filter(|cert| cert.digest == digest);
        self.chain.insert(Entry {
            proposal,
            digest,
            tip: None,
            foundation,
            validity: Validity::Open,
            late: late && !stored,
            certificate,
            runs: None,
            stored,
            seen_ms: now.mono_ms,
        });
    }

    /// Header of a block's parent, above or below the committed tip.
    pub(super) fn parent_header(&self, header: &Header) -> Option<&Header> {
        if let Some(entry) = self.chain.get(&header.parent) {
            return Some(entry.header());
        }
        let below = self.chain.committed_header(header.height.previous()?)?;
        (below.digest() == header.parent).then_some(below)
    }

    /// Windows are anchored at the committed height or the base of the view, whichever is higher (M2).
    pub(super) fn anchor(&self) -> Height {
        let base = match self.entry.as_deref() {
            Some(EntryProof::Timeout(tc)) if tc.new_view == self.view => tc.best.height(),
            Some(EntryProof::TermEnd { certificate, .. }) if certificate.view.next() == self.view => {
                certificate.height
            }
            _ => Height::ZERO,
        };
        base.max(self.chain.committed().height)
    }

    /// Votes PREPARE for the highest block of the view that R1 allows.
    pub(super) fn try_vote(&mut self, now: Now, out: &mut Vec<Action>) {
        let limit = self.anchor().get().saturating_add(2 * self.params.window);
        let candidates: Vec<Digest> = self
            .chain
            .entries()
            .filter(|entry| entry.header().view == self.view && entry.header().height.get() <= limit)
            .filter(|entry| entry.tip.is_some())
            .map(|entry| entry.digest)
            .collect();
        let mut best = None;
        for digest in candidates {
            match self.judge_block(now, &digest, out) {
                Judged::Valid(runs) => {
                    if let Some(entry) = self.chain.get_mut(&digest) {
                        entry.validity = Validity::Valid;
                        entry.runs = Some(runs);
                    }
                    best = Some(digest);
                }
                Judged::Open => {}
                judged @ (Judged::Refused | Judged::Provably | Judged::OtherRoot(_)) => {
                    let Some(entry) = self.chain.get_mut(&digest) else { continue };
                    let blamed = entry.validity == Validity::Open
                        && entry.header().view == self.view
                        && entry.certificate.is_none();
                    entry.validity = Validity::Invalid;
                    match judged {
                        Judged::OtherRoot(height) if blamed => {
                            self.give_up(now, Suspicion::OtherRoot { height }, out);
                        }
                        _ if blamed => self.on_invalid(now, &digest, out),
                        _ => {}
                    }
                }
            }
        }
        if let Some(digest) = best {
            self.vote_prepare(now, &digest, out);
        }
    }

    /// T4: the leader signed something that breaks a rule.
    fn on_invalid(&mut self, now: Now, digest: &Digest, out: &mut Vec<Action>) {
        let Some(entry) = self.chain.get(digest) else { return };
        let Some(parent) = self.chain.tip_of(&entry.header().parent) else { return };
        let provable = !self.follows_by_bytes(&entry.proposal, parent);
        if provable {
            self.give_up(now, Suspicion::Proof, out);
        }
    }

    fn vote_prepare(&mut self, now: Now, digest: &Digest, out: &mut Vec<Action>) {
        let Some(entry) = self.chain.get(digest) else { return };
        let rank = entry.rank();
        let Some(safety) = self.safety.as_ref() else { return };
        let last = safety.record().last_prepare;
        if !safety.voting()
            || safety.record().vc_view > rank.view
            || last.is_some_and(|last| !safety.is_above(last.rank, rank))
        {
            return;
        }
        let Some((branch, foundation)) = self.branch_to(digest) else { return };
        let headers: Vec<&Header> = branch.iter().collect();
        let Some(safety) = self.safety.as_mut() else { return };
        let Ok(vote) = safety.prepare(&headers, foundation.as_ref().map(Ground::borrow)) else { return };
        let mut writes = self.unstored(digest);
        writes.extend(self.safety_write());
        let after = self.persist(writes, out);
        self.own_votes.push_back(OwnVote { after, vote });
        self.send(Peers::All, Message::Vote(vote, self.executed), Some(after), out);
        let _ = now;
    }

    /// Writes for a block and its ancestors above the committed one that no write holds yet.
    pub(super) fn unstored(&mut self, digest: &Digest) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut at = *digest;
        while let Some(entry) = self.chain.get_mut(&at) {
            if !entry.stored {
                entry.stored = true;
                writes.push(Write::Block(Box::new(entry.proposal.clone())));
            }
            at = entry.proposal.header.parent;
        }
        writes.reverse();
        writes
    }

    /// The branch that R1 wants to see for a vote, ascending, and what its first block stands on.
    pub(super) fn branch_to(&self, digest: &Digest) -> Option<(Vec<Header>, Option<Ground>)> {
        let entry = self.chain.get(digest)?;
        let view = entry.header().view;
        let last = self.safety.as_ref()?.record().last_prepare.filter(|last| last.rank.view == view);
        let mut branch = vec![entry.header().clone()];
        loop {
            let first = branch.last()?;
            if let Some(last) = last {
                if first.parent == last.digest {
                    branch.reverse();
                    return Some((branch, None));
                }
                if first.height <= last.rank.height {
                    if self.safety.as_ref()?.ignores_vote_chain() {
                        return Some((vec![entry.header().clone()], None));
                    }
                    return None;
                }
            } else if let Some(ground) = self.ground_of(first) {
                branch.reverse();
                return Some((branch, Some(ground)));
            }
            let parent = self.parent_header(first)?.clone();
            if parent.epoch != first.epoch
                || parent.view != view
                || branch.len() as u64 > self.params.view_blocks_max
            {
                return None;
            }
            branch.push(parent);
        }
    }

    /// What justifies a branch that starts with this header.
    fn ground_of(&self, first: &Header) -> Option<Ground> {
        let own =
            self.chain.in_slot(chain_core::certificate::Rank { view: first.view, height: first.height });
        for entry in own {
            if entry.header() == first
                && let Some(foundation) = &entry.foundation
            {
                return Some(Ground::Own(foundation.clone()));
            }
        }
        let certified = [self.high_qc.as_ref(), self.certificate.as_ref()]
            .into_iter()
            .flatten()
            .find(|cert| cert.digest == first.parent && cert.view == first.view)
            .cloned()
            .or_else(|| self.chain.get(&first.parent)?.certificate.clone())?;
        let header = self.parent_header(first)?.clone();
        (header.view == first.view).then(|| Ground::Certified(certified, Box::new(header)))
    }

    /// R1e for one block whose parent's chain is known.
    fn judge_block(&mut self, now: Now, digest: &Digest, out: &mut Vec<Action>) -> Judged {
        let Some(entry) = self.chain.get(digest) else { return Judged::Open };
        match entry.validity {
            Validity::Valid => return Judged::Valid(entry.runs.clone().unwrap_or_default()),
            Validity::Invalid => return Judged::Refused,
            Validity::Open => {}
        }
        let header = entry.header().clone();
        let Some(parent) = self.chain.tip_of(&header.parent).cloned() else { return Judged::Open };
        // M1: every ancestor above the newest certified one must hold too.
        let parent_holds = parent.digest == self.chain.committed().digest
            || self.chain.get(&header.parent).is_some_and(|one| {
                one.validity == Validity::Valid
                    || one.certificate.is_some()
                    || self.is_certified(&header.parent)
            });
        if !parent_holds {
            return Judged::Open;
        }
        if !self.follows_by_bytes(&entry.proposal, &parent) {
            return Judged::Provably;
        }
        if entry.late || self.outgrows_view(&header) {
            return Judged::Refused;
        }
        // One that is too early will be in time: a clock that is slow by a little more than is borne must not
        // cost its owner's vote for good, nor the chain its last quorum.
        if !entry.stored && header.time_ms > now.wall_ms.saturating_add(self.params.clock_ahead_ms) {
            return Judged::Open;
        }
        if self.starts_view(&header, &parent) && entry.foundation.is_none() {
            // The parent may have been unknown when the block came; its justification is judged again now.
            let proposal = entry.proposal.clone();
            if proposal.justification.is_none() && header.view != View::ZERO {
                return Judged::Open;
            }
            let foundation = OwnedFoundation::of(&proposal, parent.header.as_ref(), &self.judge);
            if foundation.is_none() {
                return Judged::Refused;
            }
            self.first_block_owed = false;
            if let Some(entry) = self.chain.get_mut(digest) {
                entry.foundation = foundation;
            }
        }
        let parent_exec = parent.header.as_ref().map_or(Height::ZERO, |one| one.exec_height);
        if header.exec_height > parent_exec || parent.header.is_none() {
            match self.summaries.get(&header.exec_height) {
                None => return Judged::Open,
                Some(root) if *root != header.exec_root => return Judged::OtherRoot(header.exec_height),
                Some(_) => {}
            }
            if !self.closes_rightly(&header) {
                return Judged::Refused;
            }
        }
        self.judge_data(now, digest, &parent, out)
    }

    /// Whether a quorum certified a block or a descendant of it: the highest certificate, the one to catch
    /// up with, or the base of the view.
    fn is_certified(&self, digest: &Digest) -> bool {
        let certified = [self.high_qc.as_ref(), self.sync_target.as_ref()];
        let base = match self.entry.as_deref() {
            Some(EntryProof::Timeout(tc)) => Some(tc.best.digest()),
            _ => None,
        };
        let certified = certified.into_iter().flatten().map(|cert| cert.digest);
        certified.chain(base).any(|top| self.chain.descends(&top, digest))
    }

    /// The data rule: every batch from the parent's lane frontier to each tip is held, and sums match.
    fn judge_data(&mut self, now: Now, digest: &Digest, parent: &Tip, out: &mut Vec<Action>) -> Judged {
        let Some(entry) = self.chain.get(digest) else { return Judged::Open };
        let (header, advances) = (entry.header().clone(), entry.proposal.advances.clone());
        let proposer = header.proposer;
        let rank = entry.rank();
        let mut runs = Vec::with_capacity(advances.len());
        let mut missing = Vec::new();
        for advance in &advances {
            match self.lanes.cover(advance, &parent.lanes) {
                Ok(run) => runs.push(run),
                Err(Uncovered::Missing(gap)) => missing.push((advance.author, gap)),
                Err(Uncovered::Broken) => return Judged::Refused,
            }
        }
        if !missing.is_empty() {
            for (author, gap) in missing {
                let mut holders = vec![proposer, author];
                holders.extend(self.votes.voters(rank, *digest));
                self.fetch_batches(now, gap, holders, out);
            }
            return Judged::Open;
        }
        let batches: Vec<&Digest> =
            runs.iter().flat_map(|run| run.batches.iter().map(|one| &one.digest)).collect();
        let records = runs.iter().fold(0_u32, |sum, run| sum.saturating_add(run.records));
        let bytes = runs.iter().fold(0_u32, |sum, run| sum.saturating_add(run.bytes));
        let matches = header.n_batches as usize == batches.len()
            && header.n_records == records
            && header.n_bytes == bytes
            && header.batches_root == block::batches_root(batches);
        if matches { Judged::Valid(runs) } else { Judged::Refused }
    }

    /// The part of V(B) that signed bytes alone decide.
    pub(super) fn follows_by_bytes(&self, proposal: &Proposal, parent: &Tip) -> bool {
        let header = &proposal.header;
        let set = self.judge.set_hash;
        let position = header.version == HEADER_VERSION
            && header.parent == parent.digest
            && header.height == parent.height.next()
            && header.view >= parent.view
            && header.proposer == self.leader_of(header.view)
            && header.time_ms > parent.time_ms
            && header.validators_hash == set
            && header.history_root == parent.history.root();
        let first = self.starts_view(header, parent);
        let ended = !first && parent.header.as_ref().is_some_and(|one| self.stays_ended(one));
        if !position || ended || !super::epoch::ends_by_bytes(header, parent, &self.judge) {
            return false;
        }
        let (exec_before, root_before) =
            parent.header.as_ref().map_or((Height::ZERO, None), |one| (one.exec_height, Some(one.exec_root)));
        let exec = header.exec_height >= exec_before
            && header.exec_height <= super::epoch::exec_bound(exec_before, &self.judge)
            && header.exec_height < header.height
            && (header.exec_height > exec_before || root_before.is_none_or(|root| root == header.exec_root));
        let lag = header.is_empty() || header.height.since(header.exec_height) <= self.params.exec_lag_max;
        let flagged = header.is_empty() == header.flags.contains(Flags::SEAL);
        exec && lag && flagged && (!first || header.is_empty()) && self.advances_by_bytes(proposal, parent)
    }

    /// R1c: whether the view is over with this block.
    pub(super) fn stays_ended(&self, header: &Header) -> bool {
        header.flags.contains(Flags::TERM_END) && !self.judge.lost(Mutant::TermEndIsNotLast)
    }

    fn advances_by_bytes(&self, proposal: &Proposal, parent: &Tip) -> bool {
        let (header, advances) = (&proposal.header, &proposal.advances);
        let sorted = advances.is_sorted_by(|a, b| a.author < b.author);
        let within = advances.iter().all(|advance| {
            let next = parent.lanes.next_seq(advance.author);
            advance.author.index() < self.judge.committee.size()
                && advance.seq >= next
                && advance.seq - next < self.params.lane_batches_max
        });
        let counted = advances.iter().fold(0_u64, |sum, one| {
            let batches = one.seq.saturating_add(1).saturating_sub(parent.lanes.next_seq(one.author));
            sum.saturating_add(batches)
        });
        sorted
            && within
            && u64::from(header.n_batches) == counted
            && header.n_bytes <= self.params.block_bytes_max
            && header.n_records <= self.params.block_records_max
            && header.lanes_root == block::lanes_root(advances)
    }

    /// Whether a block is the first of its view on its branch.
    pub(super) fn starts_view(&self, header: &Header, parent: &Tip) -> bool {
        parent.height == self.judge.base_height || parent.view < header.view
    }

    /// Blocks of views that nobody can vote in any more and that nothing certifies.
    pub(super) fn forget_stale_blocks(&mut self) {
        let view = self.view;
        let stale: Vec<Digest> = self
            .chain
            .entries()
            .filter(|entry| entry.header().view.next() < view && entry.certificate.is_none())
            .map(|entry| entry.digest)
            .collect();
        for digest in stale {
            if !self.is_certified(&digest) {
                self.chain.remove(&digest);
            }
        }
    }
}

/// What a branch stands on, owned.
pub(super) enum Ground {
    /// The first block's own justification.
    Own(OwnedFoundation),
    /// A certificate of its parent, of the same view.
    Certified(Verified<chain_core::certificate::Cert>, Box<Header>),
}

impl Ground {
    pub(super) fn borrow(&self) -> Foundation<'_> {
        match self {
            Self::Own(foundation) => foundation.borrow(),
            Self::Certified(certificate, header) => Foundation::Certified { certificate, header },
        }
    }
}
