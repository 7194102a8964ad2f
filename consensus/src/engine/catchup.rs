//! Fetching final blocks: several ranges at a time, of several peers, those in doubt last (docs/protocol.md, 6).
//!
//! An answer proves itself: it ends with a commit certificate, and hash links lead from there down to the height
//! asked for. So it is judged when it comes, also when the blocks below it are still on their way; then it is held
//! until they are here. What links to the committed block is handed to [`Engine::accept`] with its certificate, as
//! every certificate is. Nothing here makes a block final.
//!
//! What a liar gains: a question or two, and [`LATE_MS`] if it keeps silent. After that it is asked only where no peer
//! is left that is trusted and prompt. One that is slow is asked when the quicker ones have enough to do. A single
//! honest one is always enough.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::block::{Header, lanes_root};
use chain_core::certificate::{Cert, VoteKind};
use chain_core::epoch::ClosingProof;
use chain_core::id::{Height, ValidatorIx};

use super::Engine;
use super::deliver::DELIVERIES_MAX;
use crate::action::{Action, Peers};
use crate::event::Now;
use crate::message::{Message, Proposal, SYNC_BLOCKS_MAX};
use crate::verified::Verified;

/// Most ranges above the committed block that are asked for or held at a time: at most so many answers are held,
/// each no larger than a message. It is also the most that one peer is asked at a time.
const RANGES_MAX: usize = 4;
/// After this long without an answer another peer is asked for the same range, too.
const LATE_MS: u64 = 300;
/// A question is given up after this long; until then its peer is asked nothing else.
const SYNC_MS: u64 = 1_000;
/// How long an answer is expected to take of a peer that gave none lately.
const UNKNOWN_MS: u64 = 50;

/// Points of doubt from which on a peer is asked only where nobody better is left.
const DOUBTFUL: u64 = 4;
/// Most points that a peer can have.
const DOUBT_MAX: u64 = 32;
/// For an answer that is not what was asked for, or not proved by its certificate.
const DOUBT_LIE: u64 = 16;
/// For no answer, and for a tip that was claimed and is taken back.
pub(super) const DOUBT_SILENCE: u64 = 4;
/// For fewer blocks than were asked for: certificates may stand so, and a peer may make others wait so.
const DOUBT_SHORT: u64 = 1;
/// A point is forgiven after this long, and for each answer that brings all that was asked for.
const FORGIVE_MS: u64 = 10_000;

/// A question that is under way.
#[derive(Clone, Copy, Debug)]
struct Question {
    peer: ValidatorIx,
    /// First height wanted.
    from: Height,
    asked_ms: u64,
    /// Its peer lied since. It is asked nothing until [`SYNC_MS`] are over.
    spoilt: bool,
}

impl Question {
    /// Whether the answer may be on its way.
    fn is_prompt(&self, now: Now) -> bool {
        !self.spoilt && now.mono_ms < self.asked_ms + LATE_MS
    }

    fn is_over(&self, now: Now) -> bool {
        now.mono_ms >= self.asked_ms + SYNC_MS
    }
}

/// What a peer's answers were like.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Points of doubt.
    points: u64,
    /// How long the last answer took, if there was one lately; a quicker one after it counts for a quarter.
    took_ms: Option<u64>,
    /// Since when points are forgiven one by one.
    since_ms: u64,
}

/// An answer that its certificate proves.
#[derive(Debug)]
struct Range {
    blocks: Vec<Proposal>,
    last: Height,
    certificate: Verified<Cert>,
    /// When the last block closes the epoch.
    closing: Option<Verified<ClosingProof>>,
}

/// What is asked for, what is held until the blocks below it come, and how far each peer is to be trusted.
#[derive(Debug, Default)]
pub(super) struct Catchup {
    /// At most [`RANGES_MAX`] for each peer.
    questions: Vec<Question>,
    /// By first height, at most [`RANGES_MAX`].
    held: BTreeMap<Height, Range>,
    /// Forgotten with the epoch.
    standings: BTreeMap<ValidatorIx, Standing>,
}

impl Catchup {
    /// Blocks held until those below them come.
    pub(super) fn len(&self) -> usize {
        self.held.values().map(|range| range.blocks.len()).sum()
    }

    /// A peer is gone, and what it was asked is asked of another one.
    pub(super) fn on_disconnected(&mut self, peer: ValidatorIx) {
        self.questions.retain(|question| question.peer != peer);
    }

    /// Trusts a peer less.
    pub(super) fn doubt(&mut self, now: Now, peer: ValidatorIx, points: u64) {
        let standing = self.standing(now, peer);
        let points = (standing.points + points).min(DOUBT_MAX);
        self.standings.insert(peer, Standing { points, since_ms: now.mono_ms, ..standing });
    }

    fn standing(&self, now: Now, peer: ValidatorIx) -> Standing {
        let since_ms = now.mono_ms;
        let Some(known) = self.standings.get(&peer) else {
            return Standing { points: 0, took_ms: None, since_ms };
        };
        let forgiven = now.mono_ms.saturating_sub(known.since_ms) / FORGIVE_MS;
        let took_ms = known.took_ms.filter(|_| forgiven == 0);
        Standing { points: known.points.saturating_sub(forgiven), took_ms, since_ms: known.since_ms }
    }

    /// A right answer: how long it took, and whether it brought all that was asked for.
    fn note_answer(&mut self, now: Now, question: Question, whole: bool) {
        let Standing { points, took_ms: before, .. } = self.standing(now, question.peer);
        let took = now.mono_ms.saturating_sub(question.asked_ms);
        let took_ms = Some(before.map_or(took, |before| took.max((3 * before + took) / 4)));
        let points = if whole { points.saturating_sub(1) } else { points + DOUBT_SHORT };
        let standing = Standing { points: points.min(DOUBT_MAX), took_ms, since_ms: now.mono_ms };
        self.standings.insert(question.peer, standing);
    }

    /// A peer lied: what it was asked is asked of others.
    fn note_lie(&mut self, now: Now, peer: ValidatorIx) {
        self.doubt(now, peer, DOUBT_LIE);
        self.questions.iter_mut().filter(|one| one.peer == peer).for_each(|one| one.spoilt = true);
    }

    /// Takes back the questions that nobody answered.
    fn give_up(&mut self, now: Now) {
        let over = |question: &&Question| question.is_over(now) && !question.spoilt;
        let silent: BTreeSet<ValidatorIx> = self.questions.iter().filter(over).map(|one| one.peer).collect();
        silent.into_iter().for_each(|peer| self.doubt(now, peer, DOUBT_SILENCE));
        self.questions.retain(|question| !question.is_over(now));
    }

    /// Takes the question out that begins at a height, if this peer was asked it.
    fn take_question(&mut self, peer: ValidatorIx, from: Height) -> Option<Question> {
        let asked = |one: &Question| one.peer == peer && one.from == from && !one.spoilt;
        let at = self.questions.iter().position(asked)?;
        Some(self.questions.swap_remove(at))
    }

    /// Whether somebody who may still answer in time is asked for the blocks from a height on.
    fn is_asked(&self, now: Now, from: Height) -> bool {
        self.questions.iter().any(|question| question.from == from && question.is_prompt(now))
    }

    /// Whether all that a peer was asked may still be answered in time, and how much that is.
    fn load(&self, now: Now, peer: ValidatorIx) -> (bool, usize) {
        let asked = || self.questions.iter().filter(|one| one.peer == peer);
        (asked().all(|one| one.is_prompt(now)), asked().count())
    }

    /// The end of the range held that a height lies in.
    fn held_to(&self, height: Height) -> Option<Height> {
        let (_, range) = self.held.range(..=height).next_back()?;
        (range.last >= height).then_some(range.last)
    }

    /// Where the range after the one from this height begins: where one is asked for or held, or as far as one
    /// answer goes.
    fn next_from(&self, from: Height) -> Height {
        let furthest = Height::new(from.get().saturating_add(SYNC_BLOCKS_MAX));
        let held = self.held.keys().copied();
        let known = self.questions.iter().map(|question| question.from).chain(held);
        known.filter(|one| *one > from).fold(furthest, Height::min)
    }

    /// Holds a range; the highest gives way when there are too many.
    fn hold(&mut self, first: Height, range: Range) {
        self.held.insert(first, range);
        while self.held.len() > RANGES_MAX {
            self.held.pop_last();
        }
    }

    /// The next range that reaches above this height and leaves no gap to it.
    fn take_next(&mut self, committed: Height) -> Option<Range> {
        self.held.retain(|_, range| range.last > committed);
        let first = self.held.first_entry().filter(|range| *range.key() <= committed.next())?;
        Some(first.remove())
    }
}

impl Engine {
    /// Asks for the next final blocks that are not here, nor asked for: the range above the committed block, and
    /// when the gap is longer than one answer, the next ones of other peers at the same time.
    pub(super) fn request_sync(&mut self, now: Now, out: &mut Vec<Action>) {
        self.catchup.give_up(now);
        let Some(last) = self.sync_end().filter(|_| !self.is_backlogged()) else { return };
        let mut from = self.chain.committed().height.next();
        for _ in 0..RANGES_MAX {
            if from > last {
                return;
            }
            if let Some(held) = self.catchup.held_to(from) {
                from = held.next();
                continue;
            }
            if !self.catchup.is_asked(now, from) {
                let Some(peer) = self.holder(now, from) else { return };
                let question = Question { peer, from, asked_ms: now.mono_ms, spoilt: false };
                self.catchup.questions.push(question);
                self.send(Peers::One(peer), Message::GetBlocks { from }, None, out);
            }
            from = self.catchup.next_from(from);
        }
    }

    /// The last height to catch up with: what lies above a closing block is no part of the ledger.
    fn sync_end(&self) -> Option<Height> {
        let target = self.sync_target.as_ref()?.height;
        let closing = self.closing_target.as_ref().and_then(|proof| proof.headers.first());
        Some(closing.map_or(target, |header| header.height))
    }

    /// Whether so much waits for execution that no more final blocks are fetched.
    fn is_backlogged(&self) -> bool {
        self.chain.committed().height.since(self.executed) > DELIVERIES_MAX as u64
    }

    /// Whom to ask for the blocks from a height on: of those that should have them, the one that is likely to
    /// answer first.
    fn holder(&self, now: Now, from: Height) -> Option<ValidatorIx> {
        let n = self.judge.committee.size();
        let me = self.me.map_or(0, ValidatorIx::index);
        let holds = |ix: &ValidatorIx| {
            let signed =
                self.sync_target.as_ref().is_some_and(|one| one.signers().any(|bit| bit == ix.index()));
            Some(*ix) != self.me && (signed || self.peers[ix.index()].committed >= from)
        };
        // It may be long gone.
        let silent = |ix: ValidatorIx| {
            let heard = self.peers[ix.index()].heard_ms;
            heard.is_none_or(|at| now.mono_ms > at + 3 * self.params.status_ms)
        };
        let good = |ix: ValidatorIx| {
            !silent(ix) && self.catchup.load(now, ix).0 && self.catchup.standing(now, ix).points < DOUBTFUL
        };
        let holders = || self.judge.committee.indices().filter(holds);
        let nobody_good = !holders().any(good);
        let may_be_asked = |ix: &ValidatorIx| {
            let (prompt, load) = self.catchup.load(now, *ix);
            prompt && if good(*ix) { load < RANGES_MAX } else { load == 0 && nobody_good }
        };
        holders().filter(may_be_asked).min_by_key(|ix| {
            let Standing { points, took_ms, .. } = self.catchup.standing(now, *ix);
            let took_ms = took_ms.unwrap_or(UNKNOWN_MS) + 1;
            let cost = took_ms * (self.catchup.load(now, *ix).1 as u64 + 1) * (points + 1);
            // Validators that are behind together ask different peers first.
            (silent(*ix), cost, (ix.index() + n - me) % n)
        })
    }

    /// Final blocks from a peer's store. What was not asked for is taken only if it goes on from the committed
    /// block; what is older than that was overtaken, and costs nothing.
    pub(super) fn on_blocks(
        &mut self,
        now: Now,
        from: ValidatorIx,
        blocks: Vec<Proposal>,
        suffixes: &[Header],
        certificate: Cert,
        out: &mut Vec<Action>,
    ) {
        if blocks.first().is_some_and(|first| first.header.epoch != self.epoch()) {
            // Its epoch ended there. How, it tells by itself.
            return;
        }
        if self.is_backlogged() {
            return;
        }
        let committed = self.chain.committed().height;
        let (first, last) = (blocks.first(), blocks.last());
        let question = first.and_then(|first| self.catchup.take_question(from, first.header.height));
        if last.is_some_and(|last| last.header.height <= committed)
            || (question.is_none() && first.is_some_and(|first| first.header.height > committed.next()))
        {
            self.request_sync(now, out);
            return;
        }
        match (first.map(|first| first.header.height), self.judge_range(blocks, suffixes, certificate)) {
            (Some(first), Some(range)) => {
                if let Some(question) = question {
                    let furthest = Height::new(first.get().saturating_add(SYNC_BLOCKS_MAX - 1));
                    let whole = self.sync_end().is_none_or(|end| range.last >= end.min(furthest));
                    self.catchup.note_answer(now, question, whole);
                }
                self.catchup.hold(first, range);
                self.link_ranges(now, out);
            }
            _ => {
                // Nothing more is asked of it for a while.
                let asked_ms = question.map_or(now.mono_ms, |one| one.asked_ms);
                let spoilt = Question { peer: from, from: committed, asked_ms, spoilt: true };
                self.catchup.note_lie(now, from);
                self.catchup.questions.extend(question.map(|_| spoilt));
            }
        }
        self.request_sync(now, out);
    }

    /// D6: an answer is in order, without gaps, not longer than allowed, and proved by its certificate from its
    /// last block down to its first; or nothing of it is taken.
    fn judge_range(&self, blocks: Vec<Proposal>, suffixes: &[Header], certificate: Cert) -> Option<Range> {
        let last = blocks.last()?.header.clone();
        if blocks.len() as u64 > SYNC_BLOCKS_MAX {
            return None;
        }
        let closing = self.closing_of(&last, suffixes, &certificate);
        let certified =
            last.digest() == certificate.digest && last.height == certificate.height && suffixes.is_empty();
        if !certified && closing.is_none() {
            return None;
        }
        let linked = blocks.windows(2).all(|pair| {
            pair[1].header.parent == pair[0].header.digest()
                && pair[1].header.height == pair[0].header.height.next()
        });
        let covered = blocks.iter().all(|one| one.header.lanes_root == lanes_root(&one.advances));
        if !linked || !covered {
            return None;
        }
        let certificate = self.judge.cert(certificate, VoteKind::Commit).ok()?;
        // The certificate covers every header by its hash links, but not the leaders' signatures, which are
        // kept and handed on.
        let signed = blocks.iter().all(|one| self.judge.proposal(one));
        signed.then_some(Range { last: last.height, blocks, certificate, closing })
    }

    /// Hands over the ranges that go on from the committed block, one after the other.
    fn link_ranges(&mut self, now: Now, out: &mut Vec<Action>) {
        while let Some(range) = self.catchup.take_next(self.chain.committed().height) {
            let committed = self.chain.committed();
            let Range { mut blocks, certificate, closing, .. } = range;
            blocks.retain(|one| one.header.height > committed.height);
            if blocks.first().is_none_or(|first| first.header.parent != committed.digest) {
                continue;
            }
            // A rival in the tree is no ancestor of the certified block.
            for proposal in blocks {
                self.weigh_proposal(&proposal, out);
                self.insert_received(now, proposal);
            }
            if let Some(closing) = closing {
                self.take_closing(now, closing, out);
                return;
            }
            let targets = (self.sync_target.take(), self.closing_target.take());
            self.weigh_certificate(&certificate, out);
            self.accept(now, certificate, out);
            if let (Some(target), closing) = targets
                && target.height > self.chain.committed().height
            {
                (self.sync_target, self.closing_target) = (Some(target), closing);
            }
        }
    }
}
