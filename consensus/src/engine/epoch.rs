//! The end of an epoch: closing blocks, Suffixes, and what one of an ended epoch is told
//! (docs/protocol.md, 10).
//!
//! Execution at some height schedules the next validator set. The first block whose `exec_height` reaches that
//! height closes the epoch: it orders nothing and names the next set. Nothing but a Suffix may stand on it: an
//! empty block of a later view that lets the view change make the closing block final. Suffixes are no part
//! of the ledger, and the next epoch begins at their heights.

use chain_core::block::{CERTIFIED_EVERY, Flags, Header};
use chain_core::certificate::{Cert, VoteKind};
use chain_core::crypto::Digest;
use chain_core::epoch::ClosingProof;
use chain_core::id::{Epoch, Height, ValidatorIx};

use super::{Engine, Tip};
use crate::action::{Action, Alarm};
use crate::event::Now;
use crate::message::Message;
use crate::mutant::Mutant;
use crate::verified::{Judge, Verified};

/// Least time between two answers to guests, or two proofs heard of them, whoever they are.
const GUEST_MS: u64 = 20;

/// The closing block that a chain ends with, and the set it names.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Closing {
    /// Digest of the closing block.
    pub digest: Digest,
    /// Hash of the next epoch's validator set.
    pub next_validators_hash: Digest,
}

impl Closing {
    /// What a chain that ended with `before` ends with after one more block.
    pub(super) fn after(before: Option<Self>, header: &Header, digest: Digest) -> Option<Self> {
        if header.flags.contains(Flags::CLOSING) {
            Some(Self { digest, next_validators_hash: header.next_validators_hash })
        } else if header.flags.contains(Flags::SUFFIX) {
            before
        } else {
            None
        }
    }
}

/// The part of V(B) about the end of an epoch that signed bytes alone decide (M14): on a closing block, across
/// views, stands nothing but a Suffix of a later view, and a Suffix stands on nothing else.
pub(super) fn ends_by_bytes(header: &Header, parent: &Tip, judge: &Judge) -> bool {
    let suffix = header.flags.contains(Flags::SUFFIX);
    match parent.closing.filter(|_| suffix || !judge.lost(Mutant::ClosingIsNotLast)) {
        Some(closing) => {
            let copies = parent.header.as_ref().is_some_and(|one| {
                header.exec_height == one.exec_height
                    && header.exec_root == one.exec_root
                    && header.view > one.view
            });
            suffix && copies && header.next_validators_hash == closing.next_validators_hash
        }
        None if suffix => judge.lost(Mutant::SuffixOnAnything),
        None if header.flags.contains(Flags::CLOSING) => {
            let covered = parent.header.as_ref().map_or(Height::ZERO, |one| one.exec_height);
            header.exec_height > covered && header.next_validators_hash != header.validators_hash
        }
        None => header.next_validators_hash == header.validators_hash,
    }
}

/// How far a header may certify execution whose parent certified this height: the base's own execution comes before any
/// later one, and so does that of the next multiple of [`CERTIFIED_EVERY`], so that snapshots of these heights can be held
/// against certified roots.
pub(super) fn exec_bound(covered: Height, judge: &Judge) -> Height {
    let passed = covered.get() / CERTIFIED_EVERY;
    let next = Height::new(passed.saturating_add(1).saturating_mul(CERTIFIED_EVERY));
    if covered < judge.base_height { next.min(judge.base_height) } else { next }
}

impl Engine {
    /// Whether the epoch's closing block is final: nothing is proposed, voted for or given up any more.
    pub fn is_closed(&self) -> bool {
        self.chain.committed().closing.is_some()
    }

    /// Execution said that a height schedules the next set. It does so once in an epoch.
    pub(super) fn note_scheduled(&mut self, height: Height, next: Digest) {
        self.scheduled.get_or_insert((height, next));
    }

    /// The set that a block which certifies this height must name, if it closes the epoch.
    pub(super) fn closes_at(&self, exec_height: Height) -> Option<Digest> {
        self.scheduled.filter(|(height, _)| *height <= exec_height).map(|(_, next)| next)
    }

    /// The part of V(B) that execution decides: whether the block must close the epoch, and with which set.
    /// The height it certifies was executed here.
    pub(super) fn closes_rightly(&self, header: &Header) -> bool {
        if header.flags.contains(Flags::SUFFIX) || self.judge.lost(Mutant::ClosingIsNotLast) {
            return true;
        }
        match self.closes_at(header.exec_height) {
            Some(next) => header.flags.contains(Flags::CLOSING) && header.next_validators_hash == next,
            None => !header.flags.contains(Flags::CLOSING),
        }
    }

    /// Flags and next set of the block that a leader builds on a tip, where the end of the epoch decides them.
    pub(super) fn ending(&self, tip: &Tip, exec_height: Height) -> Option<(Flags, Digest)> {
        if let Some(closing) = tip.closing.filter(|_| !self.judge.lost(Mutant::ClosingIsNotLast)) {
            return Some((Flags::SEAL.with(Flags::SUFFIX), closing.next_validators_hash));
        }
        if self.judge.lost(Mutant::SuffixOnAnything) && self.view > tip.view {
            return Some((Flags::SEAL.with(Flags::SUFFIX), self.judge.set_hash));
        }
        let closes = self.closes_at(exec_height).filter(|_| tip.closing.is_none());
        closes.map(|next| (Flags::SEAL.with(Flags::CLOSING), next))
    }

    /// What makes a commit certificate's block final, if its chain ends with a closing block: that block, and the
    /// Suffixes after it. Otherwise the certificate's own block.
    pub(super) fn final_block_of(&self, digest: &Digest) -> Option<(Digest, Vec<Header>)> {
        if let Some(proof) = &self.closing_target
            && let Some((closing, suffixes)) = proof.headers.split_first()
            && proof.certificate.digest == *digest
        {
            let closing = closing.digest();
            return self.chain.path(&closing).map(|_| (closing, suffixes.to_vec()));
        }
        let path = self.chain.path(digest)?;
        let Some(closing) = self.chain.tip_of(digest)?.closing else { return Some((*digest, Vec::new())) };
        let after = path.iter().skip_while(|one| **one != closing.digest).skip(1);
        let suffixes = after.filter_map(|one| Some(self.chain.get(one)?.header().clone())).collect();
        Some((closing.digest, suffixes))
    }

    /// A proof that this epoch ended: the closing block and all before it are to be fetched.
    pub(super) fn on_closing(&mut self, now: Now, proof: ClosingProof, out: &mut Vec<Action>) {
        let ours = self.chain.committed().closing.map(|one| one.digest);
        let theirs = proof.headers.first().map(Header::digest);
        if self.closing_target.is_some() || ours == theirs {
            return;
        }
        let Ok(proof) = self.judge.closing(proof) else { return };
        if ours.is_some() {
            if let Some(certificate) = self.certificate.as_deref() {
                let (ours, theirs) = (certificate.clone(), proof.certificate.clone());
                out.push(Action::Alarm(Alarm::Fork { ours: Box::new(ours), theirs: Box::new(theirs) }));
            }
            return;
        }
        self.take_closing(now, proof, out);
        self.request_sync(now, out);
    }

    /// Makes a verified proof the thing to catch up with.
    pub(super) fn take_closing(&mut self, now: Now, proof: Verified<ClosingProof>, out: &mut Vec<Action>) {
        let certificate = self.judge.cert(proof.certificate.clone(), VoteKind::Commit);
        let Ok(certificate) = certificate else { return };
        self.closing_target = Some(proof);
        self.sync_target = Some(certificate);
        self.try_finalise(now, out);
    }

    /// Blocks of a peer that end with the closing block: what made it final may be a Suffix.
    pub(super) fn closing_of(
        &self,
        last: &Header,
        suffixes: &[Header],
        certificate: &Cert,
    ) -> Option<Verified<ClosingProof>> {
        if !last.flags.contains(Flags::CLOSING) {
            return None;
        }
        let headers = std::iter::once(last).chain(suffixes).cloned().collect();
        self.judge.closing(ClosingProof { headers, certificate: certificate.clone() }).ok()
    }

    /// A message of another epoch: one of an ended epoch is told how it ended (M14), and one of a later epoch
    /// makes this validator show where it stands, so that it is told. True when there is nothing more to do.
    pub(super) fn is_of_another_epoch(
        &mut self,
        now: Now,
        from: ValidatorIx,
        message: &Message,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(epoch) = message.epoch() else { return false };
        if epoch < self.epoch() {
            self.answer_ended(now, from, epoch, out);
        } else if epoch > self.epoch() {
            if let Message::Echo(echo) = message {
                self.on_later_echo(from, echo, out);
            }
            self.ask_for_help(now, from, out);
        }
        epoch != self.epoch()
    }

    /// A message of one that is no validator of this epoch: it was one, or is to be one, and follows. One that is
    /// in an ended epoch is told how that ended; and how this one ended may come from anybody, since it proves
    /// itself, and to one that is far behind all others may be guests. The rest of what guests say is for the
    /// owner's store.
    pub(super) fn on_guest(&mut self, now: Now, from: ValidatorIx, message: &Message, out: &mut Vec<Action>) {
        let ended = message.epoch().filter(|epoch| *epoch < self.epoch());
        let proof = if let Message::Closing(proof) = message { Some(proof) } else { None };
        if (ended.is_none() && proof.is_none()) || self.guest_ms.is_some_and(|at| now.mono_ms < at + GUEST_MS)
        {
            return;
        }
        self.guest_ms = Some(now.mono_ms);
        if let Some(proof) = proof {
            self.on_closing(now, (**proof).clone(), out);
        }
        out.extend(ended.map(|epoch| Action::SendClosing { to: from, epoch }));
    }

    /// One that catches up is told the end of each epoch at once; of the same one not again at once.
    fn answer_ended(&mut self, now: Now, to: ValidatorIx, epoch: Epoch, out: &mut Vec<Action>) {
        let further = self.peers[to.index()].told.is_none_or(|told| epoch > told);
        if self.may_help(now, to) || further {
            self.peers[to.index()].told = Some(epoch);
            out.push(Action::SendClosing { to, epoch });
        }
    }
}
