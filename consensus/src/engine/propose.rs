//! The leader's side: when to propose and what (docs/protocol.md, 3.1, 5.3 and 7).

use std::collections::BTreeMap;

use chain_core::block::{self, Flags, HEADER_VERSION, Header};
use chain_core::crypto::Digest;
use chain_core::id::{Height, ValidatorIx};
use chain_core::lane::LaneAdvance;

use super::{Engine, OwnVote, Tip};
use crate::action::{Action, Peers, Write};
use crate::chain::{Entry, Validity};
use crate::event::Now;
use crate::lanes::Run;
use crate::message::{EntryProof, HighQc, Justification, Message, Proposal};
use crate::safety::OwnedFoundation;

/// Final blocks that may wait for their execution by a quorum before a leader orders more.
const EXEC_BACKLOG_MAX: u64 = 8;

/// What the leader stands on.
struct Stand {
    tip: Tip,
    /// For the first block of the view.
    first: Option<(OwnedFoundation, Option<Justification>)>,
}

/// Lane advances of the next block and what they order.
struct Work {
    advances: Vec<LaneAdvance>,
    runs: Vec<Run>,
    bytes: u32,
    records: u32,
}

impl Engine {
    /// Proposes as many blocks as window and pacing allow.
    pub(super) fn try_propose(&mut self, now: Now, out: &mut Vec<Action>) {
        while self.propose_one(now, out) {}
    }

    fn propose_one(&mut self, now: Now, out: &mut Vec<Action>) -> bool {
        let Some(me) = self.me.filter(|me| *me == self.leader()) else { return false };
        let Some(safety) = self.safety.as_ref() else { return false };
        if !safety.voting() || safety.record().vc_view > self.view {
            return false;
        }
        let Some(stand) = self.stand(now, out) else { return false };
        let in_flight = stand.tip.height.since(self.anchor());
        if in_flight >= self.params.window {
            return false;
        }
        let work = self.work_above(now, &stand.tip);
        let Some(flags) = self.reason_to_propose(now, &stand, in_flight, &work) else { return false };
        let work = if flags.contains(Flags::SEAL) { None } else { Some(work) };
        let header = self.next_header(now, me, &stand.tip, flags, work.as_ref());
        self.issue(now, header, work, stand.first, out)
    }

    /// When the pacing interval ends, if that is what a proposal waits for.
    pub(super) fn proposal_due_ms(&self, now: Now) -> Option<u64> {
        let due = self.proposed_ms + self.params.interval_ms;
        let waiting = Some(self.leader()) == self.me && self.voting() && !self.lanes.is_empty();
        (waiting && due > now.mono_ms).then_some(due)
    }

    /// The block to build on: the newest own block of the view, or the view's justified base.
    fn stand(&mut self, now: Now, out: &mut Vec<Action>) -> Option<Stand> {
        let view = self.view;
        let last = self.safety.as_ref()?.record().last_prepare.filter(|last| last.rank.view == view);
        if let Some(last) = last {
            // M17: what I prepared in my own view is what I proposed last.
            let tip = self.chain.tip_of(&last.digest)?.clone();
            let ended = tip.closing.is_some() || tip.header.as_ref().is_some_and(|one| self.stays_ended(one));
            let long = tip.height.since(self.view_base()) >= self.params.view_blocks_max;
            return (!ended && !long).then_some(Stand { tip, first: None });
        }
        let committed = self.chain.committed().clone();
        if committed.view == view && committed.height > self.judge.base_height {
            // My own earlier blocks of this view were committed and my memory of voting is gone: never build.
            return None;
        }
        match self.entry.as_deref().cloned() {
            _ if view.get() == 0 => {
                let tip = self.chain.tip_of(&self.judge.base_digest)?.clone();
                Some(Stand { tip, first: Some((OwnedFoundation::Base, None)) })
            }
            Some(EntryProof::Timeout(tc)) if tc.new_view == view => {
                let digest = tc.best.digest();
                let Some(tip) = self.chain.tip_of(&digest).cloned() else {
                    let holders = match &tc.best {
                        HighQc::Qc(cert) => self.signers_of(cert),
                        HighQc::Base { .. } => Vec::new(),
                    };
                    self.fetch_branch(now, digest, holders, None, out);
                    return None;
                };
                let justification = Justification::Timeout(tc.clone());
                let verified = self.judge.timeout(*tc).ok()?;
                Some(Stand {
                    tip,
                    first: Some((OwnedFoundation::Timeout(Box::new(verified)), Some(justification))),
                })
            }
            Some(EntryProof::TermEnd { certificate, header }) if certificate.view.next() == view => {
                let Some(tip) = self.chain.tip_of(&certificate.digest).cloned() else {
                    let holders = self.signers_of(&certificate);
                    self.fetch_branch(now, certificate.digest, holders, None, out);
                    return None;
                };
                let justification = Justification::TermEnd(certificate.clone());
                let verified =
                    self.judge.cert(*certificate, chain_core::certificate::VoteKind::Prepare).ok()?;
                Some(Stand {
                    tip,
                    first: Some((OwnedFoundation::TermEnd(verified, header), Some(justification))),
                })
            }
            _ => None,
        }
    }

    /// Height of the view's base.
    fn view_base(&self) -> Height {
        match self.entry.as_deref() {
            Some(EntryProof::Timeout(tc)) if tc.new_view == self.view => tc.best.height(),
            Some(EntryProof::TermEnd { certificate, .. }) if certificate.view.next() == self.view => {
                certificate.height
            }
            _ => self.judge.base_height,
        }
    }

    /// One batch of each lane first, then as many of each as fit.
    fn work_above(&self, now: Now, tip: &Tip) -> Work {
        let mut work = Work { advances: Vec::new(), runs: Vec::new(), bytes: 0, records: 0 };
        let mut chosen: BTreeMap<ValidatorIx, (LaneAdvance, Run)> = BTreeMap::new();
        let order = self.order_of_lanes(tip);
        for most in [1, self.params.lane_batches_max] {
            for author in &order {
                let mine = chosen.get(author).map_or((0, 0), |(_, run)| (run.bytes, run.records));
                let bytes = self.params.block_bytes_max - work.bytes + mine.0;
                let records = self.params.block_records_max - work.records + mine.1;
                let batches = self.batches_allowed(now, *author, &tip.lanes).min(most);
                let longest = self.lanes.longest(*author, &tip.lanes, batches, bytes, records);
                if let Some((advance, run)) = longest {
                    work.bytes = work.bytes - mine.0 + run.bytes;
                    work.records = work.records - mine.1 + run.records;
                    chosen.insert(*author, (advance, run));
                }
            }
        }
        (work.advances, work.runs) = chosen.into_values().unzip();
        work
    }

    /// Flags of the next block, or `None` when there is nothing to propose now.
    fn reason_to_propose(&self, now: Now, stand: &Stand, in_flight: u64, work: &Work) -> Option<Flags> {
        let tip = &stand.tip;
        let term_over = now.mono_ms >= self.view_entered_ms + self.params.term_ms
            || tip.height.since(self.view_base()) + 1 >= self.params.view_blocks_max
            || self.handing_over;
        let has_work = !work.advances.is_empty();
        let first = stand.first.is_some();
        let seal = self.seal_due(tip);
        let heartbeat = now.mono_ms >= self.block_ms + self.params.heartbeat_ms && in_flight == 0;
        let base_open = first && tip.height > self.chain.committed().height;
        // The very first block shows everybody that the network lives.
        let opening = tip.height == self.judge.base_height;
        // The end of the epoch waits for nothing.
        if let Some((ending, _)) = self.ending(tip, self.exec_for(tip).0) {
            return Some(ending);
        }
        let wanted = opening || has_work || seal || heartbeat || self.first_block_owed || self.handing_over;
        if first {
            // The first block of a view is empty (M2); it also commits an uncommitted base (M11).
            let handover = base_open && now.mono_ms >= self.view_entered_ms + self.params.interval_ms;
            return (wanted || handover).then(|| self.empty_flags(now, tip, term_over && self.handing_over));
        }
        if has_work {
            let room = self.has_room(tip);
            let empty_in_flight = tip.header.as_ref().is_some_and(Header::is_empty);
            let paced = in_flight == 0
                || empty_in_flight
                || work.bytes >= self.params.target_bytes
                || now.mono_ms >= self.proposed_ms + self.params.interval_ms;
            if room && paced {
                let flags = if term_over { Flags::TERM_END } else { Flags::NONE };
                return Some(self.with_checkpoint(now, tip, flags));
            }
            if room {
                return None;
            }
        }
        let idle = in_flight == 0;
        (idle && (seal || heartbeat || self.handing_over)).then(|| self.empty_flags(now, tip, term_over))
    }

    /// Whether another block with records may follow: execution keeps up, and the header can say so.
    fn has_room(&self, tip: &Tip) -> bool {
        let certified = self.exec_for(tip).0;
        self.keeps_up(tip) && tip.height.next().since(certified) <= self.params.exec_lag_max
    }

    /// Whether a quorum executes as fast as blocks become final. The validity rule only stops a chain that has run away; a
    /// leader slows down long before, so that what is final is soon executed.
    pub(super) fn keeps_up(&self, tip: &Tip) -> bool {
        let executed = self.executed_by_quorum(tip);
        tip.height.next().since(executed) <= self.params.exec_lag_max
            && self.chain.committed().height.since(executed) <= EXEC_BACKLOG_MAX
    }

    fn empty_flags(&self, now: Now, tip: &Tip, term_over: bool) -> Flags {
        let flags = if term_over { Flags::SEAL.with(Flags::TERM_END) } else { Flags::SEAL };
        self.with_checkpoint(now, tip, flags)
    }

    fn with_checkpoint(&self, now: Now, tip: &Tip, flags: Flags) -> Flags {
        let fresh = self.exec_for(tip).0 > self.checkpoint_exec;
        let due = now.mono_ms >= self.checkpoint_ms + self.params.checkpoint_ms;
        if fresh && (due || flags.contains(Flags::SEAL)) { flags.with(Flags::CHECKPOINT) } else { flags }
    }

    /// A burst has ended and its last execution is not certified yet.
    fn seal_due(&self, tip: &Tip) -> bool {
        let Some((height, _)) = self.uncovered else { return false };
        let covered = tip.header.as_ref().map(|one| one.exec_height);
        let next = height.min(super::epoch::exec_bound(covered.unwrap_or(height), &self.judge));
        covered.is_none_or(|covered| covered < height) && self.exec_for(tip).0 >= next
    }

    /// The height that a quorum has executed: the q-th largest executed height heard of, and never one that is not
    /// executed here, but at least what the parent certifies.
    pub(super) fn executed_by_quorum(&self, tip: &Tip) -> Height {
        let mut heights: Vec<Height> = self
            .peers
            .iter()
            .enumerate()
            .map(
                |(ix, peer)| {
                    if Some(ix) == self.me.map(|me| me.index()) { self.executed } else { peer.executed }
                },
            )
            .collect();
        let q = self.judge.committee.quorum();
        let (_, agreed, _) = heights.select_nth_unstable_by(q - 1, |a, b| b.cmp(a));
        (*agreed).min(self.executed).min(tip.height).max(certified_by(tip))
    }

    /// The execution height and root to certify (M16): what a quorum has executed, as far as a header may go beyond its
    /// parent's.
    pub(super) fn exec_for(&self, tip: &Tip) -> (Height, Option<Digest>) {
        let parent = certified_by(tip);
        let unchanged = || (parent, tip.header.as_ref().map(|one| one.exec_root));
        if tip.closing.is_some() {
            // A Suffix certifies nothing new.
            return unchanged();
        }
        let height = self.executed_by_quorum(tip).min(super::epoch::exec_bound(parent, &self.judge));
        match self.summaries.get(&height) {
            Some(root) => (height, Some(*root)),
            None => unchanged(),
        }
    }

    fn next_header(&self, now: Now, me: ValidatorIx, tip: &Tip, flags: Flags, work: Option<&Work>) -> Header {
        let (exec_height, exec_root) = self.exec_for(tip);
        let exec_root =
            exec_root.or_else(|| self.summaries.get(&exec_height).copied()).unwrap_or(Digest::ZERO);
        let set = self.judge.set_hash;
        let next = self.ending(tip, exec_height).map_or(set, |(_, next)| next);
        let digests = || {
            work.iter()
                .flat_map(|work| work.runs.iter())
                .flat_map(|run| run.batches.iter().map(|one| &one.digest))
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 16 batches of 100 lanes")]
        let n_batches = digests().count() as u32;
        Header {
            version: HEADER_VERSION,
            chain_id: self.judge.chain_id,
            epoch: self.epoch(),
            view: self.view,
            height: tip.height.next(),
            parent: tip.digest,
            proposer: me,
            time_ms: now.wall_ms.max(tip.time_ms.saturating_add(1)),
            flags,
            lanes_root: block::lanes_root(work.map_or(&[][..], |work| &work.advances)),
            batches_root: block::batches_root(digests()),
            n_batches,
            n_records: work.map_or(0, |work| work.records),
            n_bytes: work.map_or(0, |work| work.bytes),
            exec_height,
            exec_root,
            history_root: tip.history.root(),
            validators_hash: set,
            next_validators_hash: next,
        }
    }

    /// Signs and sends a block and the PREPARE for it as one durable act (M17).
    fn issue(
        &mut self,
        now: Now,
        header: Header,
        work: Option<Work>,
        first: Option<(OwnedFoundation, Option<Justification>)>,
        out: &mut Vec<Action>,
    ) -> bool {
        let digest = header.digest();
        let (foundation, justification) = first.unzip();
        let (advances, runs) = work.map(|work| (work.advances, work.runs)).unwrap_or_default();
        let borrowed = foundation.as_ref().map(OwnedFoundation::borrow);
        let Some(safety) = self.safety.as_mut() else { return false };
        let Ok((signature, vote)) = safety.propose(&[&header], borrowed) else { return false };
        let checkpoint = header.flags.contains(Flags::CHECKPOINT).then_some(header.exec_height);
        let parent = header.parent;
        let proposal = Proposal { header, advances, signature, justification: justification.flatten() };
        self.note_served(&proposal);
        self.chain.insert(Entry {
            proposal: proposal.clone(),
            digest,
            tip: None,
            foundation,
            validity: Validity::Valid,
            late: false,
            certificate: None,
            runs: Some(runs),
            stored: true,
            seen_ms: now.mono_ms,
        });
        let mut writes = self.unstored(&parent);
        writes.push(Write::Block(Box::new(proposal.clone())));
        writes.extend(self.safety_write());
        let after = self.persist(writes, out);
        self.send(Peers::All, Message::Propose(Box::new(proposal)), Some(after), out);
        self.send(Peers::All, Message::Vote(vote, self.executed), Some(after), out);
        self.own_votes.push_back(OwnVote { after, vote });
        self.head = Some(digest);
        self.proposed_ms = now.mono_ms;
        self.first_block_owed = false;
        if let Some(exec) = checkpoint {
            self.checkpoint_exec = exec;
            self.checkpoint_ms = now.mono_ms;
        }
        true
    }
}

/// The height whose execution a block certifies.
fn certified_by(tip: &Tip) -> Height {
    tip.header.as_ref().map_or(Height::ZERO, |header| header.exec_height)
}
