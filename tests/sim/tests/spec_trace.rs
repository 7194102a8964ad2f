//! The checker that holds what validators say against the specification: what it lets pass, and each thing
//! it stops.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::{Flags, Header};
use chain_core::certificate::{Rank, VoteKind};
use chain_core::id::{Epoch, Height};
use city_sim::kit::{Kit, ix};
use consensus::engine::Tip;
use consensus::message::{HighQc, Message};
use consensus::spec::trace::TraceChecker;

/// Four validators, the last of which lies, and the checker that watches them.
struct Watch {
    kit: Kit,
    trace: TraceChecker,
    tips: Vec<Tip>,
}

impl Watch {
    fn new() -> Self {
        let kit = Kit::new(4);
        let mut trace = TraceChecker::new(Epoch::ZERO, kit.base(), 4);
        trace.expect_lies(ix(3));
        let tips = vec![kit.genesis()];
        Self { kit, trace, tips }
    }

    /// A block on another (0 is the base) that its leader shows to everybody; blocks are numbered from 1.
    fn block(&mut self, parent: usize, view: u64, flags: Flags) -> usize {
        let header = self.kit.header(&self.tips[parent], view, flags);
        self.show(parent, header)
    }

    /// A rival of every block that [`Watch::block`] makes in its place.
    fn rival(&mut self, parent: usize, view: u64) -> usize {
        let mut header = self.kit.header(&self.tips[parent], view, Flags::NONE);
        header.time_ms += 7;
        self.show(parent, header)
    }

    fn show(&mut self, parent: usize, header: Header) -> usize {
        let proposal = self.kit.propose(header, None);
        self.tips.push(self.tips[parent].after(&proposal));
        self.trace.observe(ix(3), &Message::Propose(Box::new(proposal)), |_| None).unwrap();
        self.tips.len() - 1
    }

    fn slot(&self, block: usize) -> (Rank, chain_core::crypto::Digest) {
        let header = self.tips[block].header.as_ref().unwrap();
        (Rank { view: header.view, height: header.height }, header.digest())
    }

    fn say(&mut self, who: u16, message: &Message) -> Result<(), String> {
        self.trace.observe(ix(who), message, |_| None).map_err(|violation| violation.to_string())
    }

    fn vote(&mut self, kind: VoteKind, who: u16, block: usize) -> Result<(), String> {
        let (rank, digest) = self.slot(block);
        let vote = self.kit.vote(kind, rank, digest, who);
        self.say(who, &Message::Vote(vote, Height::ZERO))
    }

    fn prepare(&mut self, who: u16, block: usize) -> Result<(), String> {
        self.vote(VoteKind::Prepare, who, block)
    }

    fn commit(&mut self, who: u16, block: usize) -> Result<(), String> {
        self.vote(VoteKind::Commit, who, block)
    }

    /// VIEW-CHANGE that claims a block, or the base.
    fn leave(&mut self, who: u16, view: u64, claim: usize) -> Result<(), String> {
        let high_qc = if claim == 0 {
            self.kit.base_qc()
        } else {
            let (rank, digest) = self.slot(claim);
            HighQc::Qc(self.kit.cert(VoteKind::Prepare, rank, digest))
        };
        let message = self.kit.view_change(view, high_qc, None, who);
        self.say(who, &Message::ViewChange(Box::new(message)))
    }

    /// Two honest validators and the liar certify a block.
    fn certify(&mut self, block: usize) {
        self.prepare(0, block).unwrap();
        self.prepare(1, block).unwrap();
    }
}

fn stopped(result: Result<(), String>, rule: &str) {
    let what = result.expect_err(rule);
    assert!(what.contains(rule), "{rule}: {what}");
}

#[test]
fn an_epoch_of_legal_statements_passes() {
    let mut on = Watch::new();
    let first = on.block(0, 0, Flags::NONE);
    let second = on.block(first, 0, Flags::NONE);
    let end = on.block(second, 0, Flags::TERM_END);
    on.certify(first);
    // A gap: the newest vote speaks for what is below it.
    on.certify(end);
    on.commit(0, end).unwrap();
    on.commit(1, end).unwrap();
    // The next leader takes over from the end of the term, and one whose last vote is far below joins.
    let taken = on.block(end, 1, Flags::NONE);
    on.certify(taken);
    on.prepare(2, taken).unwrap();
    on.commit(2, taken).unwrap();
    // Said again, everything is allowed, also what would not be said now.
    on.prepare(0, first).unwrap();
    // View 2 by timeout, on the best claim; a repeated VIEW-CHANGE may claim more.
    on.leave(0, 2, end).unwrap();
    on.leave(0, 2, taken).unwrap();
    on.leave(2, 2, taken).unwrap();
    let closing = on.block(taken, 2, Flags::CLOSING);
    on.prepare(0, closing).unwrap();
    on.prepare(2, closing).unwrap();
    // The closing block is certified and not committed; a Suffix in view 3 makes it final.
    on.leave(0, 3, closing).unwrap();
    on.leave(2, 3, closing).unwrap();
    let suffix = on.block(closing, 3, Flags::SUFFIX);
    on.prepare(0, suffix).unwrap();
    on.prepare(2, suffix).unwrap();
    on.commit(0, suffix).unwrap();
    on.commit(2, suffix).unwrap();
}

#[test]
fn r1_is_held_against_every_prepare() {
    let mut on = Watch::new();
    let first = on.block(0, 0, Flags::NONE);
    let rival = on.rival(0, 0);
    let above = on.block(rival, 0, Flags::NONE);
    on.prepare(0, first).unwrap();
    stopped(on.prepare(0, rival), "R1a: PREPARE not above");
    stopped(on.prepare(0, above), "R1b");
    on.prepare(1, rival).unwrap();
    on.leave(1, 1, 0).unwrap();
    stopped(on.prepare(1, above), "R1a: PREPARE in a view that was left");
    let early = on.block(0, 1, Flags::NONE);
    stopped(on.prepare(2, early), "R1d");
    on.leave(2, 1, 0).unwrap();
    on.prepare(2, early).unwrap();
    // A liar is held to nothing, and its word alone certifies nothing.
    on.prepare(3, above).unwrap();
    stopped(on.commit(2, early), "R2: COMMIT without");
}

#[test]
fn r1c_and_the_end_of_an_epoch_are_held_against_every_prepare() {
    for (flag, rule) in
        [(Flags::TERM_END, "R1c: PREPARE above the end"), (Flags::CLOSING, "R1c: PREPARE above a closing")]
    {
        let mut on = Watch::new();
        let end = on.block(0, 0, flag);
        let after = on.block(end, 0, Flags::NONE);
        stopped(on.prepare(0, after), rule);
    }
    // In a later view an ordinary block above a closing one is no better.
    let mut on = Watch::new();
    let closing = on.block(0, 0, Flags::CLOSING);
    on.certify(closing);
    on.leave(0, 1, closing).unwrap();
    on.leave(1, 1, closing).unwrap();
    let ordinary = on.block(closing, 1, Flags::NONE);
    stopped(on.prepare(0, ordinary), "V: ");
}

#[test]
fn the_base_of_a_view_outranks_every_claim() {
    let mut on = Watch::new();
    let first = on.block(0, 0, Flags::NONE);
    on.certify(first);
    on.leave(0, 1, first).unwrap();
    on.leave(1, 1, first).unwrap();
    let low = on.block(0, 1, Flags::NONE);
    stopped(on.prepare(2, low), "R1d");
    let high = on.block(first, 1, Flags::NONE);
    on.prepare(2, high).unwrap();
    // A term that did not end hands nothing over.
    on.certify(high);
    let stolen = on.block(high, 2, Flags::NONE);
    stopped(on.prepare(2, stolen), "R1d");
}

#[test]
fn r2_r3_and_r5_are_held_against_commits_and_view_changes() {
    let mut on = Watch::new();
    let first = on.block(0, 0, Flags::NONE);
    let second = on.block(first, 0, Flags::NONE);
    stopped(on.commit(0, first), "R2: COMMIT without");
    stopped(on.leave(0, 1, first), "R3: VIEW-CHANGE claims what has no certificate");
    on.certify(first);
    on.certify(second);
    on.commit(0, second).unwrap();
    stopped(on.leave(0, 1, first), "R5");
    stopped(on.leave(0, 1, 0), "R5");
    on.leave(1, 2, first).unwrap();
    stopped(on.commit(1, second), "R2: COMMIT in a view that was left");
    stopped(on.leave(1, 1, second), "R3: VIEW-CHANGE to a view that is not above the last");
    stopped(on.leave(2, 0, second), "R3: ");
    let unseen = on.kit.vote(VoteKind::Commit, city_sim::kit::rank(0, 9), *on.kit.chain_id.digest(), 2);
    stopped(on.say(2, &Message::Vote(unseen, Height::ZERO)), "R2: COMMIT without");
    let (_, digest) = on.slot(second);
    let shifted = on.kit.vote(VoteKind::Prepare, city_sim::kit::rank(0, 9), digest, 2);
    stopped(on.say(2, &Message::Vote(shifted, Height::ZERO)), "another rank");
}
