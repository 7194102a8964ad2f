//! Giving up on leaders and entering views (R3; docs/protocol.md, 5).

use chain_core::id::{ValidatorIx, View};
use chain_core::lane::BatchRef;

use super::Engine;
use super::insight::GaveUp;
use crate::action::{Action, Notice, Owed, Peers, Suspicion};
use crate::event::Now;
use crate::message::{EntryProof, HighQc, Message, TimeoutCert, ViewChange};
use crate::mutant::Mutant;
use crate::verified::Verified;

impl Engine {
    /// τ(k): the base doubles with every view that failed in a row, up to the cap.
    pub(super) fn timeout_ms(&self) -> u64 {
        let base =
            self.params.timeout_base_ms.max((4 * self.latency_ms).min(self.params.timeout_base_max_ms));
        base.saturating_mul(1 << self.failed_views.min(16)).min(self.params.timeout_cap_ms)
    }

    pub(super) fn on_view_change(
        &mut self,
        now: Now,
        from: ValidatorIx,
        message: ViewChange,
        out: &mut Vec<Action>,
    ) {
        if message.signer != from {
            return;
        }
        if message.new_view <= self.view {
            // M18: one that is behind is answered with proof.
            self.help(now, from, out);
            return;
        }
        let known = self.peers[from.index()].view_change.as_ref();
        let repeated = known.is_some_and(|known| {
            known.new_view > message.new_view
                || (known.new_view == message.new_view && known.high_qc.rank() >= message.high_qc.rank())
        });
        if repeated {
            return;
        }
        let Ok(verified) = self.judge.view_change(message) else { return };
        let (high_qc, entry, left) =
            (verified.high_qc.clone(), verified.entry.clone(), verified.new_view.previous());
        self.weigh_view_change(from, verified.new_view, high_qc.claim(), verified.signature, out);
        self.peers[from.index()].view_change = Some(verified);
        if let HighQc::Qc(cert) = high_qc {
            self.on_certificate(now, from, cert, out);
        }
        if let (Some(proof), Some(left)) = (entry, left)
            && left > self.view
        {
            self.on_entry(now, proof, out);
        }
        self.join_or_enter(now, out);
    }

    /// T6: f+1 others gave up on this view, so one honest validator did. And with q of them, the next view
    /// begins.
    fn join_or_enter(&mut self, now: Now, out: &mut Vec<Action>) {
        let own = self.safety.as_ref().map(|safety| safety.record().vc_view);
        let mut asked: Vec<View> = self
            .peers
            .iter()
            .filter_map(|peer| peer.view_change.as_ref().map(|one| one.new_view))
            .filter(|view| *view > self.view && own.is_none_or(|own| *view > own))
            .collect();
        asked.sort_unstable();
        if asked.len() > self.judge.committee.faults()
            && let Some(&smallest) = asked.first()
        {
            self.ask_for_view(now, smallest, Suspicion::Joined, out);
        }
        self.form_timeout_certificate(now, out);
    }

    /// T1 to T5: this view's leader will not do.
    pub(super) fn give_up(&mut self, now: Now, why: Suspicion, out: &mut Vec<Action>) {
        self.ask_for_view(now, self.view.next(), why, out);
        self.form_timeout_certificate(now, out);
    }

    fn ask_for_view(&mut self, now: Now, view: View, why: Suspicion, out: &mut Vec<Action>) {
        // One certificate at a time: only the view after the present one can be asked for.
        if view != self.view.next() {
            return;
        }
        let entry = self.entry_for_view_change();
        let Some(safety) = self.safety.as_mut() else { return };
        let Ok(message) = safety.view_change(view, entry) else { return };
        out.push(Action::Notice(Notice::GaveUp { view: self.view, leader: self.leader(), why }));
        self.pace.gave_up = Some(GaveUp { view: self.view, leader: self.leader(), why, at_ms: now.mono_ms });
        let writes = self.safety_write().into_iter().collect();
        let after = self.persist(writes, out);
        self.send(Peers::All, Message::ViewChange(Box::new(message.clone())), Some(after), out);
        self.note_own_view_change(after, message);
        self.next_resend_ms = self.next_resend_ms.min(now.mono_ms + self.params.resend_ms);
    }

    /// The own VIEW-CHANGE waits for its write like every own vote (M3): a timeout certificate shows it to
    /// others, and one that forgot it in a crash would still COMMIT in the view it gave up.
    fn note_own_view_change(&mut self, after: u64, message: ViewChange) {
        let waits = |(_, known): &(u64, ViewChange)| {
            known.new_view == message.new_view && known.high_qc.rank() == message.high_qc.rank()
        };
        if !self.own_view_change.as_ref().is_some_and(waits) {
            self.own_view_change = Some((after, message));
        }
    }

    /// Puts the own VIEW-CHANGE beside the peers', once it is durable.
    fn count_own_view_change(&mut self) {
        let durable = |(after, _): &mut (u64, ViewChange)| *after <= self.persisted_seq;
        if let Some((_, message)) = self.own_view_change.take_if(durable)
            && let Some(me) = self.me
            && let Ok(verified) = self.judge.view_change(message)
        {
            self.peers[me.index()].view_change = Some(verified);
        }
    }

    /// A write became durable: the own VIEW-CHANGE may be the one that was missing.
    pub(super) fn on_durable_view_change(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.own_view_change.is_some() {
            self.count_own_view_change();
            self.form_timeout_certificate(now, out);
        }
    }

    /// Proof of being in the present view, where the high QC is not proof enough.
    fn entry_for_view_change(&self) -> Option<EntryProof> {
        let certified = self.high_qc.as_ref().is_some_and(|cert| cert.view == self.view);
        if self.view == View::ZERO || certified { None } else { self.entry.as_deref().cloned() }
    }

    /// Sends the newest VIEW-CHANGE again while its view has not begun.
    pub(super) fn repeat_view_change(&mut self, out: &mut Vec<Action>) {
        let entry = self.entry_for_view_change();
        let Some(safety) = self.safety.as_ref() else { return };
        if safety.record().vc_view <= self.view {
            return;
        }
        if let Some(message) = safety.repeat_view_change(entry) {
            let after = self.persist_seq;
            self.send(Peers::All, Message::ViewChange(Box::new(message.clone())), Some(after), out);
            self.note_own_view_change(after, message);
            self.count_own_view_change();
        }
    }

    fn form_timeout_certificate(&mut self, now: Now, out: &mut Vec<Action>) {
        let next = self.view.next();
        let asking: Vec<&Verified<ViewChange>> = self
            .peers
            .iter()
            .filter_map(|peer| peer.view_change.as_ref())
            .filter(|one| one.new_view == next)
            .collect();
        if asking.len() < self.judge.quorum() {
            return;
        }
        let mut claims: Vec<_> =
            asking.iter().map(|one| (one.signer, one.high_qc.claim(), one.signature)).collect();
        claims.sort_by_key(|(signer, ..)| *signer);
        let known = asking.iter().map(|one| &one.high_qc);
        let best = if self.judge.lost(Mutant::LowestBase) {
            known.min_by_key(|high_qc| high_qc.rank())
        } else {
            known.max_by_key(|high_qc| high_qc.rank())
        };
        let Some(best) = best.cloned() else { return };
        let tc = TimeoutCert { epoch: self.epoch(), new_view: next, claims, best };
        let Ok(tc) = self.judge.timeout(tc) else { return };
        let proof = EntryProof::Timeout(Box::new(tc.into_inner()));
        let after = self.persist_seq;
        self.send(Peers::All, Message::Entry(proof.clone()), Some(after), out);
        self.on_entry(now, proof, out);
    }

    /// A proof of a view, from anywhere.
    pub(super) fn on_entry(&mut self, now: Now, proof: EntryProof, out: &mut Vec<Action>) {
        let leads_to = match &proof {
            EntryProof::Timeout(tc) => tc.new_view,
            EntryProof::TermEnd { certificate, .. } => certificate.view.next(),
            EntryProof::Certificate(cert) => cert.view,
        };
        // A better proof of the same view matters to its leader only when it has none to build on.
        let same =
            leads_to == self.view && matches!(self.entry.as_deref(), Some(EntryProof::Certificate(_)) | None);
        let useful = leads_to > self.view || (same && !matches!(proof, EntryProof::Certificate(_)));
        if !useful || leads_to == View::ZERO {
            return;
        }
        let Ok((view, verified)) = self.judge.entry(proof) else { return };
        self.weigh_entry(&verified, out);
        let carried = match &*verified {
            EntryProof::Timeout(tc) => match &tc.best {
                HighQc::Qc(cert) => Some(cert.clone()),
                HighQc::Base { .. } => None,
            },
            EntryProof::TermEnd { certificate, .. } => Some((**certificate).clone()),
            EntryProof::Certificate(_) => None,
        };
        self.enter(now, view, verified, out);
        if let Some(cert) = carried {
            let from = self.leader_of(cert.view);
            self.on_certificate(now, from, cert, out);
        }
    }

    fn enter(&mut self, now: Now, view: View, proof: Verified<EntryProof>, out: &mut Vec<Action>) {
        let advanced = view > self.view;
        let by_timeout = matches!(*proof, EntryProof::Timeout(_));
        if let Some(safety) = self.safety.as_mut() {
            safety.remember_entry(&proof);
            let writes = self.safety_write().into_iter().collect();
            self.persist(writes, out);
        }
        self.entry = Some(proof);
        if !advanced {
            return;
        }
        self.view = view;
        out.push(Action::Notice(Notice::Entered { view, leader: self.leader(), by_timeout }));
        self.view_entered_ms = now.mono_ms;
        self.first_block_owed = by_timeout;
        self.failed_views = if by_timeout { (self.failed_views + 1).min(16) } else { self.failed_views };
        self.head = None;
        self.handing_over = false;
        self.votes.prune(self.chain.committed().height, view);
        self.forget_stale_blocks();
        self.enter_by_term_end_now(now, out);
    }

    /// At start: the highest certificate may show the end of a term.
    pub(super) fn enter_by_term_end(&mut self) {
        if let Some((view, proof)) = self.term_end_proof() {
            self.view = view;
            self.entry = Some(proof);
        }
    }

    /// A certified block that ends its term begins the next view, without raising `vc_view`, so that the
    /// trailing COMMITs of the old one still go out.
    pub(super) fn enter_by_term_end_now(&mut self, now: Now, out: &mut Vec<Action>) {
        if let Some((view, proof)) = self.term_end_proof() {
            self.enter(now, view, proof, out);
        }
    }

    fn term_end_proof(&self) -> Option<(View, Verified<EntryProof>)> {
        let cert = self.high_qc.as_ref().filter(|cert| cert.view >= self.view)?;
        let header = self.chain.get(&cert.digest).map(|entry| entry.header()).or_else(|| {
            self.chain.committed_header(cert.height).filter(|header| header.digest() == cert.digest)
        })?;
        if !self.judge.ends_term(header) {
            return None;
        }
        let proof =
            EntryProof::TermEnd { certificate: Box::new((**cert).clone()), header: Box::new(header.clone()) };
        self.judge.entry(proof).ok()
    }

    /// T1 to T3: is progress owed and late, a lane left out, or the leader silent?
    pub(super) fn check_timeouts(&mut self, now: Now, out: &mut Vec<Action>) {
        if !self.voting() {
            return;
        }
        let tau = self.timeout_ms();
        // Alone, giving up helps nobody and costs this validator its votes in the view.
        let quorum = self.judge.committee.quorum();
        if self.alive(now, tau.max(3 * self.params.status_ms)) < quorum {
            return;
        }
        self.note_room(now);
        self.watch_lanes(now, out);
        self.relay_held(now, tau, out);
        self.report_holdings(now, out);
        self.pass_on_probation(now, out);
        let since = self.view_entered_ms.max(self.commit_ms).max(self.behind_ms);
        let late = self
            .owed_since(now)
            .map(|(at, owed)| (at.max(since), owed, self.patience_ms(owed)))
            .find(|(at, _, patience)| now.mono_ms >= at + patience)
            .map(|(_, owed, timeout_ms)| Suspicion::Late { owed, timeout_ms });
        let leader = self.leader();
        let heard = self.peers[leader.index()].heard_ms.unwrap_or(0).max(self.view_entered_ms);
        let silent = Some(leader) != self.me && now.mono_ms >= heard + self.params.silence_ms;
        let why = late
            .or_else(|| self.left_out(now))
            .or_else(|| silent.then_some(Suspicion::Silent))
            .or_else(|| self.term_overdue().then_some(Suspicion::TermOverdue));
        if let Some(why) = why {
            self.give_up(now, why, out);
        }
    }

    /// No leader can order more than a quorum executes, nor certify what a quorum has not executed: neither
    /// is owed while execution is behind, and the clock starts when it has caught up. How far one header may
    /// go beyond its parent's certified height excuses nobody: the next header is owed then.
    fn note_room(&mut self, now: Now) {
        let tip = self.chain.committed();
        let executed = self.executed_by_quorum(tip);
        if !self.keeps_up(tip) {
            self.no_room_ms = now.mono_ms;
        }
        // What is final elsewhere and still on its way here is nothing to blame a leader for, and one that
        // gave the view up could not vote in it after catching up.
        if self.sync_target.is_some() {
            self.behind_ms = now.mono_ms;
        }
        if let Some((height, at)) = self.uncovered.as_mut()
            && executed < *height
        {
            *at = now.mono_ms;
        }
    }

    /// M8: what others' lanes hold is owed from when it was relayed to this leader, so that nobody can frame it
    /// by keeping a batch from it. It is relayed when nothing has become final for a while.
    fn relay_held(&mut self, now: Now, tau: u64, out: &mut Vec<Action>) {
        let quiet = self.commit_ms.max(self.view_entered_ms).max(self.no_room_ms).max(self.behind_ms);
        let committed = &self.chain.committed().lanes;
        let waits = |batch: &BatchRef| batch.seq >= committed.next_seq(batch.author);
        let relayed = self.relayed.is_some_and(|(view, batch, _)| view == self.view && waits(&batch));
        let leader = self.leader();
        if relayed || Some(leader) == self.me || now.mono_ms < quiet + tau / 4 {
            return;
        }
        let (bytes, records) = (self.params.block_bytes_max, self.params.block_records_max);
        let heads: Vec<BatchRef> = self
            .judge
            .committee
            .indices()
            .filter(|author| Some(*author) != self.me && !self.lane_is_frozen(*author))
            .filter_map(|author| self.lanes.longest(author, committed, 1, bytes, records))
            .map(|(advance, _)| advance.tip_in(self.epoch()))
            .collect();
        self.relayed = heads.first().map(|head| (self.view, *head, now.mono_ms));
        self.note_pushed(now, &heads);
        for batch in heads {
            out.push(Action::PushBatch { to: Peers::One(leader), batch });
        }
    }

    /// Since when progress has been owed (M8), and what: an uncommitted block, a view without its first block, an
    /// own batch that was pushed or another's that was relayed and not ordered while there was room for it, an
    /// overdue heartbeat, and an execution by a quorum that no header covers.
    pub(super) fn owed_since(&self, now: Now) -> impl Iterator<Item = (u64, Owed)> {
        let block = self.chain.entries().filter(|entry| entry.tip.is_some()).map(|entry| entry.seen_ms).min();
        let first = self.first_block_owed.then_some(self.view_entered_ms);
        let pushed = self.pushed_ms.values().copied().min().filter(|_| !self.own_lane_is_frozen());
        let relayed = self.relayed.and_then(|(view, batch, at)| {
            let waits = batch.seq >= self.chain.committed().lanes.next_seq(batch.author);
            (view == self.view && waits).then_some(at)
        });
        let batch = pushed.into_iter().chain(relayed).min().map(|at| at.max(self.no_room_ms));
        let quiet = self.block_ms + self.params.heartbeat_ms + self.params.timeout_base_ms;
        let heartbeat = (now.mono_ms >= quiet).then_some(quiet);
        let uncovered = self.uncovered.map(|(_, at)| at);
        let candidates = [
            (block, Owed::Commit),
            (first, Owed::FirstBlock),
            (batch, Owed::Batch),
            (heartbeat, Owed::Heartbeat),
            (uncovered, Owed::Execution),
        ];
        candidates.into_iter().filter_map(|(at, owed)| at.map(|at| (at, owed)))
    }

    /// How long after it fell due something owed may be missing before the leader is given up. Nobody waits for
    /// the certificate of an execution as for the order of a record, and a leader learns of executions only as
    /// fast as it is told, so a moment of full processors must not cost a validator its votes in the view.
    fn patience_ms(&self, owed: Owed) -> u64 {
        let tau = self.timeout_ms();
        if owed == Owed::Execution { tau.max(self.params.timeout_base_max_ms) } else { tau }
    }
}
