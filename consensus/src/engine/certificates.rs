//! Counting votes, COMMIT (R2) and making blocks final (R4).

use chain_core::block::Header;
use chain_core::certificate::{Cert, VoteKind};
use chain_core::id::{Height, ValidatorIx};

use super::{Engine, OwnVote};
use crate::action::{Action, Alarm, Peers, Write};
use crate::event::Now;
use crate::message::{EntryProof, Message, Vote};
use crate::verified::Verified;

impl Engine {
    pub(super) fn on_vote(
        &mut self,
        now: Now,
        from: ValidatorIx,
        vote: Vote,
        executed: Height,
        out: &mut Vec<Action>,
    ) {
        if let Some(peer) = self.peers.get_mut(from.index()) {
            peer.executed = peer.executed.max(executed);
        }
        // The channel authenticates the sender: nobody votes for others (A6).
        if vote.signer != from || vote.epoch != self.epoch() {
            return;
        }
        self.votes.remember(vote);
        self.pace.note(now.mono_ms, &vote);
        if vote.view > self.view {
            self.ask_for_help(now, from, out);
        }
        self.weigh_vote(&vote, out);
        let committed = self.chain.committed().height;
        let near = vote.height > committed
            && vote.height.since(self.anchor()) <= 2 * self.params.window
            && vote.view <= self.view.next()
            && vote.view.next() >= self.view;
        if !near {
            return;
        }
        if !self.chain.contains(&vote.digest) {
            let holders = vec![from, self.leader_of(vote.view)];
            self.fetch_block(now, vote.digest, holders, Some(from), out);
        }
        self.count(now, vote, false, out);
    }

    pub(super) fn count(&mut self, now: Now, vote: Vote, own: bool, out: &mut Vec<Action>) {
        let counted = self.votes.add(vote, own, &self.judge);
        if counted.equivocation {
            out.push(Action::Alarm(Alarm::Equivocation {
                offender: vote.signer,
                what: "two votes for one slot",
            }));
        }
        if let Some(cert) = counted.certificate {
            self.accept(now, cert, out);
        }
    }

    pub(super) fn on_certificate(&mut self, now: Now, from: ValidatorIx, cert: Cert, out: &mut Vec<Action>) {
        // Whoever tells of a final block tells where it stands; to one that only follows it says nothing else.
        self.peers[from.index()].stands |= cert.kind == VoteKind::Commit;
        let known = match cert.kind {
            VoteKind::Prepare => self.high_qc.as_ref(),
            VoteKind::Commit => self.sync_target.as_ref().or(self.certificate.as_ref()),
        };
        let stale = match (cert.kind, known) {
            (VoteKind::Prepare, Some(known)) => known.rank() >= cert.rank(),
            (VoteKind::Commit, Some(known)) => known.height >= cert.height && known.digest == cert.digest,
            (_, None) => false,
        };
        if stale {
            return;
        }
        let kind = cert.kind;
        if let Ok(cert) = self.judge.cert(cert, kind) {
            let digest = cert.digest;
            let height = cert.height;
            // Of one formed here every vote was weighed when it came.
            self.weigh_certificate(&cert, out);
            self.accept(now, cert, out);
            if height > self.chain.committed().height && !self.chain.contains(&digest) {
                self.fetch_block(now, digest, vec![from], None, out);
            }
        }
    }

    /// A whole certificate, formed here or received, is treated the same.
    pub(super) fn accept(&mut self, now: Now, cert: Verified<Cert>, out: &mut Vec<Action>) {
        if cert.view > self.view {
            let proof = EntryProof::Certificate(Box::new((*cert).clone()));
            self.on_entry(now, proof, out);
        }
        match cert.kind {
            VoteKind::Prepare => self.on_prepared(now, &cert, out),
            VoteKind::Commit => self.on_committed(now, cert, out),
        }
    }

    /// Remembers a PREPARE certificate if it is the highest, and marks its block.
    pub(super) fn note_certificate(&mut self, cert: &Verified<Cert>) -> bool {
        if let Some(entry) = self.chain.get_mut(&cert.digest)
            && entry.certificate.is_none()
        {
            entry.certificate = Some(cert.clone());
        }
        let higher = self.high_qc.as_ref().is_none_or(|known| cert.rank() > known.rank());
        if higher {
            self.high_qc = Some(cert.clone());
        }
        higher
    }

    fn on_prepared(&mut self, now: Now, cert: &Verified<Cert>, out: &mut Vec<Action>) {
        if !self.note_certificate(cert) {
            return;
        }
        if let Some(safety) = self.safety.as_mut() {
            let vote = safety.commit(cert);
            if vote.is_err() && !safety.raise_high_qc(cert) {
                return;
            }
            let mut writes = self.unstored(&cert.digest);
            writes.extend(self.safety_write());
            let after = self.persist(writes, out);
            if let Ok(vote) = vote {
                self.own_votes.push_back(OwnVote { after, vote });
                self.send(Peers::All, Message::Vote(vote, self.executed), Some(after), out);
            }
        }
        self.enter_by_term_end_now(now, out);
    }

    fn on_committed(&mut self, now: Now, cert: Verified<Cert>, out: &mut Vec<Action>) {
        #[cfg(feature = "mutants")]
        if let Some(safety) = self.safety.as_mut() {
            safety.note_commit(cert.view);
        }
        if self.is_closed() {
            // Suffixes reuse heights of the next epoch; nothing of this one can become final any more.
            return;
        }
        let committed = self.chain.committed();
        if cert.height <= committed.height {
            let ours = if cert.height == committed.height {
                Some(committed.digest)
            } else {
                self.chain.committed_header(cert.height).map(Header::digest)
            };
            if let (Some(ours), Some(certificate)) = (ours, &self.certificate)
                && ours != cert.digest
            {
                out.push(Action::Alarm(Alarm::Fork {
                    ours: Box::new((**certificate).clone()),
                    theirs: Box::new(cert.into_inner()),
                }));
            }
            return;
        }
        let higher = self.sync_target.as_ref().is_none_or(|target| cert.height > target.height);
        if higher {
            self.sync_target = Some(cert);
        }
        self.try_finalise(now, out);
    }

    /// R4: the target's block and all its ancestors are final, if they are here.
    pub(super) fn try_finalise(&mut self, now: Now, out: &mut Vec<Action>) {
        let Some(cert) = self.sync_target.clone() else { return };
        // A block carried over from a lost view waited for the view change, which says nothing of the network.
        let current = cert.view == self.view;
        let seen = self.chain.get(&cert.digest).filter(|_| current).map(|entry| entry.seen_ms);
        let Some((last, suffixes)) = self.final_block_of(&cert.digest) else { return };
        self.note_passed_over(&last);
        let mut writes = self.unstored(&last);
        let Some(blocks) = self.chain.finalise(&last) else { return };
        let headers = blocks.iter().map(|proposal| proposal.header.clone()).collect();
        writes.push(Write::Commit { certificate: (*cert).clone(), blocks: headers, suffixes });
        let durable = self.persist(writes, out);
        if let Some(seen) = seen.filter(|at| *at > 0) {
            let took = now.mono_ms.saturating_sub(seen);
            // A slow average of the slower commits: up at once, down by an eighth.
            self.latency_ms = if took > self.latency_ms { took } else { (self.latency_ms * 7 + took) / 8 };
        }
        self.note_view_age(&blocks);
        self.sync_target = None;
        self.closing_target = None;
        self.certificate = Some(cert);
        self.failed_views /= 2;
        self.commit_ms = now.mono_ms;
        self.block_ms = now.mono_ms;
        for proposal in &blocks {
            if proposal.header.flags.contains(chain_core::block::Flags::CHECKPOINT) {
                self.checkpoint_exec = self.checkpoint_exec.max(proposal.header.exec_height);
            }
            if proposal.header.exec_height >= self.uncovered.map_or(Height::ZERO, |(height, _)| height) {
                self.uncovered = None;
            }
        }
        self.queue_final(durable, blocks);
        let committed = self.chain.committed().height;
        self.votes.prune(committed, self.view);
        let lanes = self.chain.committed().lanes.clone();
        if let Some(me) = self.me {
            let next = lanes.next_seq(me);
            self.pushed_ms.retain(|seq, _| *seq >= next);
        }
        self.forget_stale_blocks();
    }
}
