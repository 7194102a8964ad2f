//! Keeping up: status, echo, help for those behind, retransmission, fetching single blocks and batches
//! (docs/protocol.md, 5.4 and 6).

use std::collections::BTreeMap;

use chain_core::certificate::VoteKind;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::ValidatorIx;

use super::catchup::DOUBT_SILENCE;
use super::{Engine, Fetch};
use crate::action::{Action, Alarm, Peers};
use crate::event::Now;
use crate::lanes::Missing;
use crate::message::{EntryProof, Message, Status, Vote, VoteEcho};

/// Least time between two volunteered answers to one peer.
const HELP_MS: u64 = 100;
/// What is missing is asked for only after this long.
pub(super) const FETCH_GRACE_MS: u64 = 20;
/// A fetch that nothing asked for again is forgotten after this long.
const FETCH_FORGET_MS: u64 = 5_000;
/// A fetch is asked of the next holder after this long.
pub(super) const FETCH_MS: u64 = 300;
/// Most fetches remembered that certificates and this validator's own work call for.
const FETCHES_MAX: usize = 256;
/// Most fetches remembered that one peer's bare word calls for.
const FETCHES_CAUSED_MAX: usize = 16;
/// Own batches sent again at a time.
const RESEND_BATCHES: usize = 64;
/// A block that is final elsewhere is on its way for this long; after that it is asked for.
const SYNC_GRACE_MS: u64 = 100;

impl Engine {
    pub(super) fn on_connected(&mut self, now: Now, ix: ValidatorIx, out: &mut Vec<Action>) {
        let Some(peer) = self.peers.get_mut(ix.index()) else { return };
        peer.connected = true;
        peer.heard_ms = Some(now.mono_ms);
        self.pace.forget(ix);
        self.send_echo(ix, out);
        self.send(Peers::One(ix), self.status(), None, out);
        self.resend_votes(Peers::One(ix), out);
    }

    fn send_echo(&self, to: ValidatorIx, out: &mut Vec<Action>) {
        let echo = self.echo_for(to);
        self.send(Peers::One(to), Message::Echo(Box::new(echo)), None, out);
    }

    /// The newest things I hold that this peer signed; certificates count as memory, too.
    fn echo_for(&self, ix: ValidatorIx) -> VoteEcho {
        let from_certificates = |kind: VoteKind| {
            [self.high_qc.as_ref(), self.certificate.as_ref(), self.sync_target.as_ref()]
                .into_iter()
                .flatten()
                .filter(|cert| cert.kind == kind)
                .filter_map(|cert| {
                    let place = cert.signers().position(|bit| bit == ix.index())?;
                    Some(Vote {
                        kind,
                        epoch: cert.epoch,
                        view: cert.view,
                        height: cert.height,
                        digest: cert.digest,
                        signer: ix,
                        signature: *cert.signatures.get(place)?,
                    })
                })
                .max_by_key(Vote::rank)
        };
        let newest = |kind| {
            let heard = self.votes.newest(ix, kind);
            [heard, from_certificates(kind)].into_iter().flatten().max_by_key(Vote::rank)
        };
        let view_change = self.peers.get(ix.index()).and_then(|peer| peer.view_change.as_ref());
        VoteEcho {
            epoch: self.epoch(),
            prepare: newest(VoteKind::Prepare),
            commit: newest(VoteKind::Commit),
            view_change: view_change.map(|one| (one.new_view, one.high_qc.claim(), one.signature)),
            lane: self.lanes.newest(ix),
        }
    }

    /// M19: votes only after q−1 peers have said what they remember of this validator.
    pub(super) fn on_echo(&mut self, from: ValidatorIx, echo: &VoteEcho, out: &mut Vec<Action>) {
        let Some(me) = self.me else { return };
        let Some(safety) = self.safety.as_ref() else { return };
        let mine = |vote: &Vote| vote.signer == me && self.judge.vote(vote);
        let genuine = VoteEcho {
            epoch: echo.epoch,
            prepare: echo.prepare.filter(|vote| vote.kind == VoteKind::Prepare && mine(vote)),
            commit: echo.commit.filter(|vote| vote.kind == VoteKind::Commit && mine(vote)),
            view_change: echo
                .view_change
                .filter(|(view, claim, signature)| self.judge.claim(me, *view, *claim, signature).is_ok()),
            lane: echo.lane.clone().filter(|batch| batch.header.author == me && self.judge.batch(batch)),
        };
        if safety.record().is_outranked_by(&genuine) {
            self.on_outranked(from, "", out);
            return;
        }
        self.echoed.insert(from);
        if self.lost.is_none()
            && self.echoed.len() + 1 >= self.judge.committee.quorum()
            && let Some(safety) = self.safety.as_mut()
            && !safety.voting()
        {
            safety.allow_voting();
            self.resend_votes(Peers::All, out);
            self.repeat_view_change(out);
        }
    }

    /// M4: what I signed in a later epoch outranks everything my record holds of this one. Which epoch that was, my
    /// signature says, and not the message around it: anybody may name a later one there.
    pub(super) fn on_later_echo(&mut self, from: ValidatorIx, echo: &VoteEcho, out: &mut Vec<Action>) {
        let Some(me) = self.me.filter(|_| self.safety.is_some() && self.lost.is_none()) else { return };
        let votes = [echo.prepare, echo.commit];
        let later = |vote: &Vote| vote.epoch > self.epoch() && self.judge.is_signed_by(me, vote);
        if votes.iter().flatten().any(later) {
            self.on_outranked(from, " of a later epoch", out);
        }
    }

    fn on_outranked(&mut self, from: ValidatorIx, of: &str, out: &mut Vec<Action>) {
        let peer = self.judge.committee.get(from).map_or("a peer", |one| one.name.as_str());
        let detail =
            format!("{peer} holds a vote{of} of this validator that its safety record does not know");
        self.lost = Some(Refusal::new(Code::SafetyLost, detail));
        out.push(Action::Alarm(Alarm::VoteEcho { peer: from }));
        if let Some(safety) = self.safety.as_mut() {
            safety.forbid_voting();
        }
    }

    fn status(&self) -> Message {
        Message::Status(Box::new(Status {
            epoch: self.epoch(),
            view: self.view,
            committed: self.chain.committed().height,
            executed: self.executed,
            certificate: self.certificate.as_deref().cloned().map(Box::new),
            high_qc: self.high_qc.as_ref().map(|cert| cert.rank()),
            awaits_echo: self.awaits_echo(),
        }))
    }

    /// Whether this validator would vote if only a quorum had said what it remembers of it.
    fn awaits_echo(&self) -> bool {
        self.lost.is_none() && self.safety.as_ref().is_some_and(|safety| !safety.voting())
    }

    pub(super) fn on_status(&mut self, now: Now, from: ValidatorIx, status: Status, out: &mut Vec<Action>) {
        if status.epoch != self.epoch() {
            return;
        }
        let peer = &mut self.peers[from.index()];
        // A height that is claimed and then taken back costs its peer its place among those that are asked first.
        if status.committed < peer.committed {
            self.catchup.doubt(now, from, DOUBT_SILENCE);
        }
        peer.stands = true;
        peer.view = status.view;
        peer.executed = peer.executed.max(status.executed);
        peer.committed = status.committed;
        // What was said on connecting may have been lost on its way.
        if status.awaits_echo && self.may_help(now, from) {
            self.send_echo(from, out);
        }
        if status.view < self.view {
            self.help(now, from, out);
        }
        if status.high_qc > self.high_qc.as_ref().map(|cert| cert.rank()) {
            self.send(Peers::One(from), Message::GetCertificate, None, out);
        }
        // A height without a certificate is a hint and moves nothing (D4).
        if let Some(cert) = status.certificate
            && cert.kind == VoteKind::Commit
            && cert.height > self.chain.committed().height
        {
            self.on_certificate(now, from, *cert, out);
        }
        self.request_sync(now, out);
    }

    /// Volunteers what one that is behind needs: the proof of my view and my commit certificate.
    pub(super) fn help(&mut self, now: Now, to: ValidatorIx, out: &mut Vec<Action>) {
        if !self.may_help(now, to) {
            return;
        }
        let certified = self.high_qc.as_ref().filter(|cert| cert.view == self.view);
        let proof = match (&self.entry, certified) {
            (Some(entry), _) => Some((**entry).clone()),
            (None, Some(cert)) => Some(EntryProof::Certificate(Box::new((**cert).clone()))),
            (None, None) => None,
        };
        if let Some(proof) = proof {
            // A timeout certificate may hold this validator's own VIEW-CHANGE, which is no word until it is durable.
            self.send(Peers::One(to), Message::Entry(proof), Some(self.persist_seq), out);
        }
        if let Some(cert) = self.certificate.as_deref() {
            self.send(Peers::One(to), Message::Certificate(Box::new(cert.clone())), None, out);
        }
    }

    /// Shows a peer of a higher view where I stand, so that it helps.
    pub(super) fn ask_for_help(&mut self, now: Now, from: ValidatorIx, out: &mut Vec<Action>) {
        if self.may_help(now, from) {
            self.send(Peers::One(from), self.status(), None, out);
        }
    }

    /// Whether something may be volunteered to a peer now; if so, not again at once.
    pub(super) fn may_help(&mut self, now: Now, to: ValidatorIx) -> bool {
        let peer = &mut self.peers[to.index()];
        let may = peer.helped_ms.is_none_or(|at| now.mono_ms >= at + HELP_MS);
        if may {
            peer.helped_ms = Some(now.mono_ms);
        }
        may
    }

    pub(super) fn on_get_proposal(&mut self, from: ValidatorIx, digest: &Digest, out: &mut Vec<Action>) {
        if let Some(entry) = self.chain.get(digest) {
            let message = Message::Propose(Box::new(entry.proposal.clone()));
            self.send(Peers::One(from), message, Some(self.persist_seq), out);
        }
    }

    pub(super) fn on_get_certificate(&mut self, from: ValidatorIx, out: &mut Vec<Action>) {
        if let Some(cert) = self.high_qc.as_deref() {
            self.send(Peers::One(from), Message::Certificate(Box::new(cert.clone())), None, out);
        }
    }

    /// Whether this may be asked for now, and how often it was before. Nothing is asked for at once: most
    /// of what is missing is on its way.
    fn may_fetch(&mut self, now: Now, digest: Digest, cause: Option<ValidatorIx>) -> Option<usize> {
        // A peer that names blocks of its own invention uses up its own share, nobody else's.
        let most = if cause.is_some() { FETCHES_CAUSED_MAX } else { FETCHES_MAX };
        let open = |fetches: &BTreeMap<Digest, Fetch>| {
            fetches.values().filter(|fetch| fetch.cause == cause).count() >= most
        };
        if !self.fetches.contains_key(&digest) && open(&self.fetches) {
            self.fetches.retain(|_, fetch| now.mono_ms < fetch.first_ms + FETCH_FORGET_MS);
            if open(&self.fetches) {
                return None;
            }
        }
        let fresh = Fetch { first_ms: now.mono_ms, asked: None, block_holders: Vec::new(), cause };
        let fetch = self.fetches.entry(digest).or_insert(fresh);
        let (due, turn) = match fetch.asked {
            None => (fetch.first_ms + FETCH_GRACE_MS, 0),
            Some((at, turn)) => (at + FETCH_MS, turn + 1),
        };
        if now.mono_ms < due {
            return None;
        }
        fetch.asked = Some((now.mono_ms, turn));
        Some(turn)
    }

    /// Asks for one block by its digest, of these validators in turn, until it comes or stops mattering.
    pub(super) fn fetch_block(
        &mut self,
        now: Now,
        digest: Digest,
        holders: Vec<ValidatorIx>,
        cause: Option<ValidatorIx>,
        out: &mut Vec<Action>,
    ) {
        if self.chain.contains(&digest) || digest == self.chain.committed().digest {
            return;
        }
        let turn = self.may_fetch(now, digest, cause);
        let Some(fetch) = self.fetches.get_mut(&digest) else { return };
        for holder in holders {
            if Some(holder) != self.me && !fetch.block_holders.contains(&holder) {
                fetch.block_holders.push(holder);
            }
        }
        if let Some(turn) = turn
            && let Some(holder) = fetch.block_holders.get(turn % fetch.block_holders.len().max(1)).copied()
        {
            self.send(Peers::One(holder), Message::GetProposal { digest }, None, out);
        }
    }

    /// Asks for whatever keeps a block from the committed chain: the block itself, or the newest of its
    /// ancestors that is not here. An ancestor asked for when the block came may have been forgotten since.
    pub(super) fn fetch_branch(
        &mut self,
        now: Now,
        digest: Digest,
        holders: Vec<ValidatorIx>,
        cause: Option<ValidatorIx>,
        out: &mut Vec<Action>,
    ) {
        let mut at = digest;
        while let Some(entry) = self.chain.get(&at) {
            at = entry.header().parent;
        }
        self.fetch_block(now, at, holders, cause, out);
    }

    fn retry_fetches(&mut self, now: Now, out: &mut Vec<Action>) {
        self.fetches.retain(|_, fetch| now.mono_ms < fetch.first_ms + FETCH_FORGET_MS);
        let blocks: Vec<Digest> = self
            .fetches
            .iter()
            .filter(|(_, fetch)| !fetch.block_holders.is_empty())
            .map(|(digest, _)| *digest)
            .collect();
        for digest in blocks {
            if self.chain.contains(&digest) {
                self.fetches.remove(&digest);
            } else {
                self.fetch_block(now, digest, Vec::new(), None, out);
            }
        }
    }

    pub(super) fn fetch_batches(
        &mut self,
        now: Now,
        gap: Missing,
        holders: Vec<ValidatorIx>,
        out: &mut Vec<Action>,
    ) {
        if let Some(turn) = self.may_fetch(now, gap.tip.digest, None) {
            self.ask_for_batches(now, gap, holders, turn, out);
        }
    }

    /// Names whom to ask: these validators first, then the others, each turn beginning with the next one. Those that
    /// were not heard for as long as an answer may take come last: what is missing after a view change is often held
    /// by the leader that was given up, too, and it would be asked in vain. Before them comes an author that signed
    /// two batches for one place: it may answer with the other one, place by place.
    pub(super) fn ask_for_batches(
        &self,
        now: Now,
        gap: Missing,
        holders: Vec<ValidatorIx>,
        turn: usize,
        out: &mut Vec<Action>,
    ) {
        let mut ordered: Vec<ValidatorIx> = Vec::new();
        for holder in holders.into_iter().chain(self.judge.committee.indices()) {
            if Some(holder) != self.me && !ordered.contains(&holder) {
                ordered.push(holder);
            }
        }
        let len = ordered.len().max(1);
        ordered.rotate_left(turn % len);
        let disputed = Some(gap.tip.author).filter(|author| self.lanes.is_disputed(*author));
        ordered.sort_by_key(|holder| {
            let heard_ms = self.peers.get(holder.index()).and_then(|peer| peer.heard_ms);
            let silent = heard_ms.is_none_or(|at| now.mono_ms > at + FETCH_MS);
            (silent, disputed == Some(*holder))
        });
        out.push(Action::FetchBatches { from: gap.from, tip: gap.tip, holders: ordered });
    }

    /// Own newest votes again: votes are cumulative along the chain, so the newest suffice (3.4).
    pub(super) fn resend_votes(&self, to: Peers, out: &mut Vec<Action>) {
        let Some(safety) = self.safety.as_ref() else { return };
        let after = Some(self.persist_seq);
        let committed = self.chain.committed().height;
        if let Some(vote) = safety.repeat_prepare().filter(|vote| vote.height > committed) {
            self.send(to, Message::Vote(vote, self.executed), after, out);
        }
        if let Some(vote) = safety.repeat_commit().filter(|vote| vote.height > committed) {
            self.send(to, Message::Vote(vote, self.executed), after, out);
        }
    }

    /// Whatever happens by the clock.
    pub(super) fn periodic(&mut self, now: Now, out: &mut Vec<Action>) {
        if !self.is_closed() {
            self.hand_over_early(now, out);
            self.check_timeouts(now, out);
        }
        self.retry_fetches(now, out);
        self.missing_ms = self.sync_target.as_ref().and(self.missing_ms.or(Some(now.mono_ms)));
        if self.missing_ms.is_some_and(|at| now.mono_ms >= at + SYNC_GRACE_MS) {
            self.request_sync(now, out);
        }
        self.review_statements(out);
        if now.mono_ms >= self.next_status_ms {
            self.next_status_ms = now.mono_ms + self.params.status_ms;
            self.forget_statements();
            self.send(Peers::All, self.status(), None, out);
            self.request_sync(now, out);
        }
        if now.mono_ms >= self.next_resend_ms {
            self.next_resend_ms = now.mono_ms + self.params.resend_ms;
            self.resend(now, out);
        }
    }

    /// What may have been lost on the way goes out again while nothing commits.
    fn resend(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.is_closed() {
            return;
        }
        self.repeat_view_change(out);
        let stuck = now.mono_ms >= self.commit_ms + self.params.resend_ms;
        if stuck && self.chain.len() > 0 {
            self.resend_votes(Peers::All, out);
            if Some(self.leader()) == self.me && self.voting() {
                let mine: Vec<Message> = self
                    .chain
                    .entries()
                    .filter(|entry| entry.header().view == self.view)
                    .map(|entry| Message::Propose(Box::new(entry.proposal.clone())))
                    .collect();
                for message in mine {
                    self.send(Peers::All, message, Some(self.persist_seq), out);
                }
            }
        }
        let Some(me) = self.me.filter(|me| !self.lane_is_frozen(*me)) else { return };
        // The oldest ones first: without them the later ones cannot be ordered.
        let pending = self.lanes.pending(me, &self.chain.committed().lanes);
        for batch in pending.into_iter().take(RESEND_BATCHES) {
            let pushed = self.pushed_ms.entry(batch.seq).or_insert(now.mono_ms);
            if now.mono_ms >= *pushed + self.params.resend_ms {
                out.push(Action::PushBatch { to: Peers::All, batch });
            }
        }
    }
}
