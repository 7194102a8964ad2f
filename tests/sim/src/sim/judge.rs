//! The observer outside every process: it sees each message that leaves and each block that is delivered,
//! and remembers across crashes.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::block::{Flags, Header};
use chain_core::certificate::{Rank, VoteKind};
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, ValidatorIx, View};
use consensus::message::{EntryProof, HighQc, Justification, Message, TimeoutCert, Vote};
use consensus::safety::SafetyRecord;
use consensus::spec::trace::TraceChecker;

use super::disk::Tables;

/// What a validator may say once per slot.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Propose,
    Prepare,
    Commit,
    Batch,
}

/// Remembers everything that matters for safety.
#[derive(Debug, Default)]
pub struct Observer {
    signed: BTreeMap<(ValidatorIx, Kind, u64, u64), Digest>,
    /// Every block that was ever proposed.
    blocks: BTreeMap<Digest, Seen>,
    /// Who signed PREPARE for a block, a bit for each validator: I2 and I5.
    prepares: BTreeMap<Digest, u128>,
    /// The epoch: a safety record of another one shows nothing.
    epoch: Option<Epoch>,
    /// Votes that decide.
    quorum: usize,
    /// The base, which needs no certificate.
    base: Option<Digest>,
    /// Newest PREPARE of each validator and view: I1.
    prepared: BTreeMap<(ValidatorIx, View), (Height, Digest)>,
    /// VIEW-CHANGEs sent, with the view and height of what each claimed: I3.
    claims: BTreeMap<(ValidatorIx, View), Option<(u64, u64)>>,
    /// Validators that lie; nothing they say is held against the protocol.
    byzantine: BTreeSet<ValidatorIx>,
    /// Validators without their safety record: they follow and say nothing of their own any more.
    /// With each, the batches of its own that it had stored by then: it may still hand them out.
    silenced: BTreeMap<ValidatorIx, BTreeSet<Digest>>,
    /// Validators that run from an old copy of their store, and whether the echo has told them.
    restored: BTreeMap<ValidatorIx, bool>,
    /// Times that one of them signed against what it had signed before.
    pub double_signed: u64,
    /// The specification of each epoch: everything said must be allowed there.
    traces: BTreeMap<Epoch, TraceChecker>,
    /// First violation, in words.
    pub violation: Option<String>,
}

/// What is kept of a block.
#[derive(Clone, Copy, Debug)]
struct Seen {
    parent: Digest,
    height: Height,
    epoch: Epoch,
    view: View,
    /// The view or the epoch ends with it.
    ends: bool,
    /// The view ended below it: no honest validator may vote for it (I6).
    ended: bool,
}

impl Observer {
    /// An observer of one epoch.
    pub fn new(quorum: usize, base: Digest) -> Self {
        Self { quorum, base: Some(base), ..Self::default() }
    }

    /// An epoch begins: `n` validators on a base. Messages of epochs not named here are not held against the
    /// specification.
    pub fn expect_epoch(&mut self, epoch: Epoch, base: (Height, Digest), n: usize) {
        let mut trace = TraceChecker::new(epoch, base, n);
        self.byzantine.iter().for_each(|who| trace.expect_lies(*who));
        self.traces.insert(epoch, trace);
        self.epoch = Some(epoch);
    }

    /// Remembers a block. True when it was not known.
    fn see(&mut self, digest: Digest, header: &Header) -> bool {
        if self.blocks.contains_key(&digest) {
            return false;
        }
        let below = self.blocks.get(&header.parent);
        // The last block of the epoch before may have the same view.
        let same_view = |below: &Seen| (below.epoch, below.view) == (header.epoch, header.view);
        let ended = below.is_some_and(|below| same_view(below) && (below.ends || below.ended));
        let ends = header.flags.contains(Flags::TERM_END) || header.flags.contains(Flags::CLOSING);
        let (parent, height) = (header.parent, header.height);
        let seen = Seen { parent, height, epoch: header.epoch, view: header.view, ends, ended };
        self.blocks.insert(digest, seen);
        true
    }

    /// A validator has just signed this vote, durable or not: from now on it may be in a certificate.
    pub fn signed(&mut self, vote: &Vote) {
        if vote.kind == VoteKind::Prepare {
            *self.prepares.entry(vote.digest).or_default() |= bit(vote.signer);
        }
    }

    /// Whether a PREPARE certificate for this block can exist: the liars may have signed anything.
    fn may_be_certified(&self, digest: &Digest) -> bool {
        let liars = self.byzantine.iter().fold(0, |bits, ix| bits | bit(*ix));
        let signed = self.prepares.get(digest).copied().unwrap_or(0) | liars;
        Some(*digest) == self.base || signed.count_ones() as usize >= self.quorum
    }

    /// From now on this validator runs from an old copy of its store: it counts among the f.
    pub fn expect_restored(&mut self, who: ValidatorIx) {
        self.traces.values_mut().for_each(|trace| trace.expect_lies(who));
        self.byzantine.insert(who);
        self.restored.insert(who, false);
    }

    /// The echo told a restored validator. True for the first time.
    pub fn restored_noticed(&mut self, who: ValidatorIx) -> bool {
        self.restored.get_mut(&who).is_some_and(|noticed| !std::mem::replace(noticed, true))
    }

    fn fail(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// How many are ill: they lie, or may sign nothing.
    pub fn ill(&self) -> usize {
        self.byzantine.len() + self.silenced.keys().filter(|who| !self.lies(**who)).count()
    }

    /// From now on this validator may lie.
    pub fn expect_lies(&mut self, who: ValidatorIx) {
        self.traces.values_mut().for_each(|trace| trace.expect_lies(who));
        self.byzantine.insert(who);
    }

    /// Whether this validator may lie.
    pub fn lies(&self, who: ValidatorIx) -> bool {
        self.byzantine.contains(&who)
    }

    /// From now on this validator may sign nothing; `durable` is what its disk holds.
    pub fn expect_silence(&mut self, who: ValidatorIx, durable: &Tables) {
        let own = durable.batches.keys().filter(|batch| batch.author == who).map(|batch| batch.digest);
        self.silenced.insert(who, own.collect());
    }

    /// Whether this validator may sign nothing.
    pub fn silent(&self, who: ValidatorIx) -> bool {
        self.silenced.contains_key(&who)
    }

    fn descends(&self, digest: Digest, ancestor: (Height, Digest)) -> bool {
        let mut at = digest;
        while let Some(seen) = self.blocks.get(&at) {
            if at == ancestor.1 {
                return true;
            }
            if seen.height <= ancestor.0 {
                return false;
            }
            at = seen.parent;
        }
        false
    }

    /// I1: an honest validator's PREPAREs of one view lie on one branch.
    fn on_one_branch(&mut self, who: ValidatorIx, rank: Rank, digest: Digest) {
        let last = self.prepared.get(&(who, rank.view)).copied();
        match last {
            Some(last) if last.0 < rank.height && !self.descends(digest, last) => {
                let at = last.0;
                self.fail(format!("{who} sent PREPARE {rank:?} on another branch than its PREPARE at {at}"));
            }
            Some(last) if last.0 > rank.height => return,
            _ => {}
        }
        self.prepared.insert((who, rank.view), (rank.height, digest));
    }

    /// I5 and I6: the first block of the view on this branch stands on something certified, and the view did
    /// not end below the block.
    fn on_sound_ground(&mut self, who: ValidatorIx, rank: Rank, digest: Digest) {
        let Some(seen) = self.blocks.get(&digest).copied() else { return };
        if seen.ended {
            self.fail(format!("{who} sent PREPARE {rank:?} above the end of its view"));
        }
        let first = self.blocks.get(&seen.parent).is_none_or(|below| below.view != seen.view);
        if first && !self.may_be_certified(&seen.parent) {
            self.fail(format!("{who} sent PREPARE {rank:?} on {}, which no quorum certified", seen.parent));
        }
    }

    /// What a validator with an old copy of its store signs against itself.
    fn count_double_sign(&mut self, who: ValidatorIx, kind: Kind, slot: (u64, u64), digest: Digest) {
        if self.restored.contains_key(&who) {
            let known = *self.signed.entry((who, kind, slot.0, slot.1)).or_insert(digest);
            self.double_signed += u64::from(known != digest);
        }
    }

    fn once(&mut self, who: ValidatorIx, kind: Kind, slot: (u64, u64), digest: Digest) {
        let known = *self.signed.entry((who, kind, slot.0, slot.1)).or_insert(digest);
        if known != digest {
            self.fail(format!("{who} signed two different {kind:?} for {slot:?}: {known} and {digest}"));
        }
    }

    /// A batch left its author.
    pub fn pushed(&mut self, who: ValidatorIx, seq: u64, digest: Digest, durable: &Tables) {
        if self.lies(who) {
            self.count_double_sign(who, Kind::Batch, (seq, 0), digest);
            return;
        }
        if let Some(stored) = self.silenced.get(&who) {
            if !stored.contains(&digest) {
                self.fail(format!("{who} pushed batch {seq} without its safety record"));
            }
            return;
        }
        self.once(who, Kind::Batch, (seq, 0), digest);
        if self.is_left(durable) {
            // It has lost its ledger and follows through an epoch that it has left: it signs nothing there, and
            // hands out what it stored.
            if durable.batches.keys().all(|batch| batch.digest != digest) {
                self.fail(format!("{who} pushed batch {seq} of an epoch that it has left"));
            }
            return;
        }
        if self.record(durable).and_then(|record| record.lane).is_none_or(|(known, _)| known < seq) {
            self.fail(format!("{who} pushed batch {seq} before its lane was durable"));
        }
    }

    /// A message left a node that is no validator of the epoch: it may hand out what others signed.
    pub fn sent_by_guest(&mut self, name: &str, message: &Message, epoch: Epoch) {
        match message {
            Message::Propose(proposal) => {
                let known = !self.see(proposal.header.digest(), &proposal.header);
                self.traces.values_mut().for_each(|trace| trace.learn(&proposal.header));
                if !known && proposal.header.epoch == epoch {
                    self.fail(format!("{name} is no validator and proposed {:?}", proposal.header));
                }
            }
            Message::Vote(..) | Message::ViewChange(_) => {
                self.fail(format!("{name} is no validator and signed {message:?}"));
            }
            _ => {}
        }
    }

    /// Whether this disk's validator is in a later epoch: it has lost its ledger and follows through this one, where it
    /// hands out what it signed before.
    fn is_left(&self, durable: &Tables) -> bool {
        let later = |epoch: Epoch| durable.safety.as_ref().is_some_and(|record| record.epoch > epoch);
        self.epoch.is_some_and(later)
    }

    /// The record of this epoch on a disk.
    fn record<'a>(&self, durable: &'a Tables) -> Option<&'a SafetyRecord> {
        durable.safety.as_deref().filter(|record| self.epoch.is_none_or(|epoch| epoch == record.epoch))
    }

    /// A message left a validator whose disk would now survive as `durable`.
    pub fn sent(&mut self, who: ValidatorIx, message: &Message, durable: &Tables) {
        self.judge(who, message, durable);
        for trace in self.traces.values_mut() {
            let held = |digest: &Digest| durable.blocks.get(digest).map(|block| &block.header);
            if let Err(violation) = trace.observe(who, message, held) {
                self.violation.get_or_insert(violation.to_string());
            }
        }
    }

    fn judge(&mut self, who: ValidatorIx, message: &Message, durable: &Tables) {
        let mut first_seen = false;
        if let Message::Propose(proposal) = message {
            let header = &proposal.header;
            first_seen = self.see(header.digest(), header);
        }
        if self.lies(who) {
            if let Message::Vote(vote, _) = message {
                let kind = if vote.kind == VoteKind::Prepare { Kind::Prepare } else { Kind::Commit };
                self.count_double_sign(who, kind, (vote.view.get(), vote.height.get()), vote.digest);
            }
            return;
        }
        if self.silent(who) {
            let signed = match message {
                // Handing out a block from before is no new signature.
                Message::Propose(proposal) => proposal.header.proposer == who && first_seen,
                Message::Vote(..) | Message::ViewChange(_) => true,
                _ => false,
            };
            if signed {
                self.fail(format!("{who} signed {message:?} without its safety record"));
            }
            return;
        }
        let record = self.record(durable);
        let prepared = record.and_then(|record| record.last_prepare).map(|slot| slot.rank);
        let high_qc = record.and_then(|record| record.high_qc.rank());
        let asked = record.map_or(View::ZERO, |record| record.vc_view);
        if let Some(view) = shown_claim(message, who)
            && asked < view
            && !self.is_left(durable)
        {
            self.fail(format!("{who} showed its VIEW-CHANGE({view}) in a certificate before it was durable"));
        }
        match message {
            Message::Propose(proposal) if proposal.header.proposer == who => {
                let header = &proposal.header;
                let rank = Rank { view: header.view, height: header.height };
                self.once(who, Kind::Propose, (rank.view.get(), rank.height.get()), header.digest());
                if prepared < Some(rank) {
                    self.fail(format!("{who} proposed {rank:?} before it was durable"));
                }
            }
            Message::Vote(vote, _) if vote.kind == VoteKind::Prepare => {
                let rank = vote.rank();
                self.once(who, Kind::Prepare, (rank.view.get(), rank.height.get()), vote.digest);
                // A block may be known only from the disk: its proposal was lost with a crash.
                let mut at = vote.digest;
                while let Some(block) = durable.blocks.get(&at) {
                    if !self.see(at, &block.header) {
                        break;
                    }
                    at = block.header.parent;
                }
                self.on_one_branch(who, rank, vote.digest);
                self.on_sound_ground(who, rank, vote.digest);
                if prepared < Some(rank) {
                    self.fail(format!("{who} sent PREPARE {rank:?} before it was durable"));
                }
                let block = durable.blocks.get(&vote.digest);
                if block.is_none() {
                    self.fail(format!("{who} sent PREPARE {rank:?} before its block was durable"));
                }
                for advance in block.iter().flat_map(|block| block.advances.iter()) {
                    let tip = advance.tip_in(vote.epoch);
                    if !durable.batches.contains_key(&tip) {
                        self.fail(format!("{who} sent PREPARE {rank:?} before its data was durable"));
                    }
                }
            }
            Message::Vote(vote, _) => {
                let rank = vote.rank();
                self.once(who, Kind::Commit, (rank.view.get(), rank.height.get()), vote.digest);
                let slot = (rank.view.get(), rank.height.get());
                let later = (who, rank.view.next())..=(who, View::new(u64::MAX));
                let forgot = self
                    .claims
                    .range(later)
                    .find(|(_, claim)| **claim < Some(slot))
                    .map(|((_, view), _)| *view);
                if let Some(view) = forgot {
                    self.fail(format!(
                        "{who} sent COMMIT {rank:?} after VIEW-CHANGE({view}) that claimed less"
                    ));
                }
                if high_qc < Some(rank) {
                    self.fail(format!("{who} sent COMMIT {rank:?} before the certificate was durable"));
                }
                if !self.may_be_certified(&vote.digest) {
                    self.fail(format!("{who} sent COMMIT {rank:?} for {} without a quorum", vote.digest));
                }
            }
            Message::ViewChange(message) => {
                if asked < message.new_view {
                    self.fail(format!("{who} sent VIEW-CHANGE({}) before it was durable", message.new_view));
                }
                // Amnesia: a claim below something this validator committed to.
                let claimed = match &message.high_qc {
                    HighQc::Base { .. } => None,
                    HighQc::Qc(cert) => Some((cert.view.get(), cert.height.get())),
                };
                // A repeated VIEW-CHANGE may claim more; the least claim is what others may build on.
                let least = self.claims.entry((who, message.new_view)).or_insert(claimed);
                *least = (*least).min(claimed);
                let low = (who, Kind::Commit, 0, 0);
                let high = (who, Kind::Commit, message.new_view.get(), 0);
                let committed =
                    self.signed.range(low..high).next_back().map(|((.., view, height), _)| (*view, *height));
                if committed > claimed {
                    self.fail(format!(
                        "{who} claimed {claimed:?} in VIEW-CHANGE({}) after COMMIT {committed:?}",
                        message.new_view
                    ));
                }
            }
            _ => {}
        }
    }
}

/// The view that a timeout certificate in this message has a validator ask for.
fn shown_claim(message: &Message, who: ValidatorIx) -> Option<View> {
    let proof = match message {
        Message::Entry(proof) => Some(proof),
        Message::ViewChange(message) => message.entry.as_ref(),
        Message::Propose(proposal) => match proposal.justification.as_ref()? {
            Justification::Timeout(certificate) => return claim_in(certificate, who),
            _ => None,
        },
        _ => None,
    };
    match proof? {
        EntryProof::Timeout(certificate) => claim_in(certificate, who),
        EntryProof::TermEnd { .. } | EntryProof::Certificate(_) => None,
    }
}

fn claim_in(certificate: &TimeoutCert, who: ValidatorIx) -> Option<View> {
    certificate.claims.iter().any(|(signer, ..)| *signer == who).then_some(certificate.new_view)
}

fn bit(ix: ValidatorIx) -> u128 {
    1u128.checked_shl(ix.get().into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chain_core::crypto::Signature;
    use chain_core::id::Epoch;
    use consensus::message::Proposal;

    use super::*;
    use crate::kit::{Kit, ix};

    /// Four validators, of which the first three always vote.
    struct Court {
        kit: Kit,
        observer: Observer,
        disk: Tables,
    }

    impl Court {
        fn new() -> Self {
            let kit = Kit::fast(4);
            let observer = Observer::new(3, kit.base().1);
            Self { kit, observer, disk: Tables::default() }
        }

        fn vote(&self, kind: VoteKind, header: &Header, signer: u16) -> Vote {
            Vote {
                kind,
                epoch: Epoch::ZERO,
                view: header.view,
                height: header.height,
                digest: header.digest(),
                signer: ix(signer),
                signature: Signature::ZERO,
            }
        }

        /// These validators sign and send a vote, everything durable.
        fn send(&mut self, kind: VoteKind, proposal: &Proposal, signers: &[u16]) -> Option<String> {
            let header = &proposal.header;
            let rank = Rank { view: header.view, height: header.height };
            for signer in signers {
                let mut record = self.kit.fresh_record(*signer);
                record.last_prepare = Some(consensus::safety::Slot { rank, digest: header.digest() });
                record.high_qc = HighQc::Qc(self.kit.cert_of(VoteKind::Prepare, header));
                self.disk.safety = Some(record.into());
                self.disk.blocks.insert(header.digest(), proposal.clone().into());
                let vote = self.vote(kind, header, *signer);
                self.observer.signed(&vote);
                self.observer.sent(ix(*signer), &Message::Vote(vote, Height::ZERO), &self.disk);
            }
            self.observer.violation.take()
        }
    }

    #[test]
    fn i2_a_commit_needs_a_quorum_of_prepares_somewhere() {
        let mut court = Court::new();
        let block = court.kit.chain(&court.kit.genesis(), 0, 1).remove(0);
        assert_eq!(court.send(VoteKind::Prepare, &block, &[0, 1]), None);
        let violation = court.send(VoteKind::Commit, &block, &[0]).unwrap();
        assert!(violation.contains("without a quorum"), "{violation}");
        // With a liar, two are enough.
        court.observer.expect_lies(ix(3));
        assert_eq!(court.send(VoteKind::Commit, &block, &[1]), None);
    }

    #[test]
    fn i5_the_first_block_of_a_view_stands_on_something_certified() {
        let mut court = Court::new();
        let genesis = court.kit.genesis();
        let base = court.kit.chain(&genesis, 0, 1).remove(0);
        let next = court.kit.chain(&genesis.after(&base), 1, 1).remove(0);
        assert_eq!(court.send(VoteKind::Prepare, &base, &[0, 1]), None);
        let violation = court.send(VoteKind::Prepare, &next, &[0]).unwrap();
        assert!(violation.contains("which no quorum certified"), "{violation}");
        assert_eq!(court.send(VoteKind::Prepare, &base, &[2]), None);
        assert_eq!(court.send(VoteKind::Prepare, &next, &[1]), None);
    }

    #[test]
    fn i6_nobody_votes_above_the_end_of_a_view() {
        let mut court = Court::new();
        let genesis = court.kit.genesis();
        let last = court.kit.propose(court.kit.header(&genesis, 0, Flags::TERM_END), None);
        let above = court.kit.chain(&genesis.after(&last), 0, 2);
        assert_eq!(court.send(VoteKind::Prepare, &last, &[0, 1, 2]), None);
        for block in &above {
            let violation = court.send(VoteKind::Prepare, block, &[0]).unwrap();
            assert!(violation.contains("above the end of its view"), "{violation}");
        }
        let next_view = court.kit.chain(&genesis.after(&last), 1, 1).remove(0);
        assert_eq!(court.send(VoteKind::Prepare, &next_view, &[0]), None);
    }

    #[test]
    fn one_that_is_no_validator_hands_out_what_others_proposed_and_signs_nothing() {
        let mut court = Court::new();
        let block = court.kit.chain(&court.kit.genesis(), 0, 1).remove(0);
        let propose = |proposal: &Proposal| Message::Propose(Box::new(proposal.clone()));
        assert_eq!(court.send(VoteKind::Prepare, &block, &[0]), None);
        court.observer.sent(block.header.proposer, &propose(&block), &court.disk);
        assert_eq!(court.observer.violation.take(), None);
        court.observer.sent_by_guest("v9", &propose(&block), Epoch::ZERO);
        assert_eq!(court.observer.violation.take(), None);
        let mut other = court.kit.header(&court.kit.genesis(), 0, Flags::NONE);
        other.time_ms += 1;
        let vote = court.vote(VoteKind::Prepare, &block.header, 1);
        for message in [propose(&court.kit.propose(other, None)), Message::Vote(vote, Height::ZERO)] {
            court.observer.sent_by_guest("v9", &message, Epoch::ZERO);
            let violation = court.observer.violation.take().unwrap();
            assert!(violation.starts_with("v9 is no validator"), "{violation}");
        }
    }

    #[test]
    fn a_record_of_another_epoch_shows_nothing() {
        let mut court = Court::new();
        court.observer.expect_epoch(Epoch::ZERO, court.kit.base(), 4);
        let batch = court.kit.batch(1, 0, Digest::ZERO, 1);
        let digest = batch.header.digest();
        let mut record = court.kit.fresh_record(1);
        record.lane = Some((0, digest));
        court.disk.safety = Some(record.clone().into());
        court.observer.pushed(ix(1), 0, digest, &court.disk);
        assert_eq!(court.observer.violation.take(), None);
        // In a later epoch it may hand out what it stored, and nothing else.
        record.epoch = Epoch::new(1);
        court.disk.safety = Some(record.into());
        court.observer.pushed(ix(1), 0, digest, &court.disk);
        let violation = court.observer.violation.take().unwrap();
        assert!(violation.contains("an epoch that it has left"), "{violation}");
        court.disk.batches.insert(chain_core::lane::BatchRef::of(&batch.header), batch.into());
        court.observer.pushed(ix(1), 0, digest, &court.disk);
        assert_eq!(court.observer.violation.take(), None);
    }

    #[test]
    fn one_that_has_left_an_epoch_may_show_what_it_asked_for_there() {
        let mut court = Court::new();
        court.observer.epoch = Some(Epoch::ZERO);
        let proof = EntryProof::Timeout(Box::new(court.kit.timeout_on_base(1)));
        let mut record = court.kit.fresh_record(0);
        court.disk.safety = Some(record.clone().into());
        court.observer.sent(ix(0), &Message::Entry(proof.clone()), &court.disk);
        let violation = court.observer.violation.take().unwrap();
        assert!(violation.contains("VIEW-CHANGE(1) in a certificate before it was durable"), "{violation}");
        record.epoch = Epoch::new(1);
        court.disk.safety = Some(record.into());
        court.observer.sent(ix(0), &Message::Entry(proof), &court.disk);
        assert_eq!(court.observer.violation.take(), None);
    }

    #[test]
    fn what_a_restored_validator_signs_against_itself_is_counted() {
        let mut court = Court::new();
        let genesis = court.kit.genesis();
        let first = court.kit.chain(&genesis, 0, 1).remove(0);
        let mut other = court.kit.header(&genesis, 0, Flags::NONE);
        other.time_ms += 1;
        let other = court.kit.propose(other, None);
        assert_eq!(court.send(VoteKind::Prepare, &first, &[1]), None);
        court.observer.expect_restored(ix(1));
        assert_eq!(court.send(VoteKind::Prepare, &first, &[1]), None);
        assert_eq!(court.observer.double_signed, 0);
        assert_eq!(court.send(VoteKind::Prepare, &other, &[1]), None, "it counts among the f");
        assert_eq!(court.observer.double_signed, 1);
        assert!(court.observer.restored_noticed(ix(1)) && !court.observer.restored_noticed(ix(1)));
    }
}
