//! One engine among liars: bytes decide what its three peers say, with real signatures wherever a liar could
//! make them, and whatever numbers they like.
//!
//! The seeded test and the fuzz target `engine_handle` share [`run`]. It demands that the engine neither
//! panics, nor signs twice for one slot, nor holds more than its bounds.

use std::collections::BTreeMap;

use chain_core::block::Flags;
use chain_core::certificate::{Rank, VoteKind};
use chain_core::crypto::Digest;
use chain_core::id::{Height, ValidatorIx, View};
use chain_core::lane::LaneAdvance;
use consensus::engine::{Held, Tip};
use consensus::event::Event;
use consensus::message::{
    EntryProof, HighQc, Justification, Message, Proposal, Status, TimeoutCert, VoteEcho,
};

use crate::kit::table::Table;
use crate::kit::{Kit, ix, rank};

/// What no flood may exceed with four validators and the default window of 16. Blocks: 128 per proposer.
/// Votes: two for a slot, from each of four, in three views of 64 heights, of two kinds. Fetches: the table,
/// and 16 that each peer may cause. Batches: 512 positions of a lane, two of each. Ahead: four answers.
/// Statements: 512 votes of each kind, and four VIEW-CHANGEs, of each validator.
pub const BOUNDS: Held = Held {
    blocks: 4 * 128 + 64,
    votes: 2 * 4 * 3 * 64 * 2,
    fetches: 256 + 4 * 16 + 4,
    batches: 4 * 512 * 2,
    ahead: 4 * 128,
    deliveries: 2_048,
    own_votes: 1_024,
    statements: 4 * (2 * 512 + 4),
};

/// Numbers that break arithmetic.
const EDGES: [u64; 10] = [0, 1, 2, 31, 33, 64, 1 << 32, u64::MAX / 2, u64::MAX - 1, u64::MAX];

/// Reads choices from bytes; zero once they are used up.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    /// A number near `around`, or one from the edges.
    fn number(&mut self, around: u64) -> u64 {
        match self.byte() {
            edge @ 0..40 => EDGES[usize::from(edge) % EDGES.len()],
            more @ 40..140 => around.saturating_add(u64::from(more % 4)),
            less @ 140..200 => around.saturating_sub(u64::from(less % 3)),
            _ => around,
        }
    }

    fn chance(&mut self, of_256: u8) -> bool {
        self.byte() < of_256
    }
}

/// What the liars remember of their own inventions.
struct Liars {
    blocks: Vec<Proposal>,
    tips: Vec<Tip>,
    digests: Vec<Digest>,
}

/// Everything signed so far, by kind and slot.
type Signed = BTreeMap<(u8, u64, u64), Digest>;

/// Plays the bytes.
///
/// # Panics
/// When the engine breaks a promise.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut table = Table::alone(Kit::fast(4));
    // Three liars of four are a quorum.
    table.watched = false;
    let genesis = table.kit.genesis();
    let mut liars = Liars { blocks: Vec::new(), tips: vec![genesis], digests: Vec::new() };
    let mut signed = Signed::new();
    while !choices.0.is_empty() {
        step(&mut table, &mut choices, &mut liars);
        table.queue.clear();
        let seat = &mut table.seats[0];
        for (_, message) in seat.sent.drain(..) {
            remember(&mut signed, &mut liars, message);
        }
        seat.written.clear();
        seat.alarms.clear();
        seat.evidence.clear();
        seat.delivered.clear();
        seat.fetched.clear();
        seat.pushed.clear();
        check(seat.engine.held());
    }
}

fn check(held: Held) {
    let within = held.blocks <= BOUNDS.blocks
        && held.votes <= BOUNDS.votes
        && held.fetches <= BOUNDS.fetches
        && held.batches <= BOUNDS.batches
        && held.ahead <= BOUNDS.ahead
        && held.deliveries <= BOUNDS.deliveries
        && held.own_votes <= BOUNDS.own_votes
        && held.statements <= BOUNDS.statements;
    assert!(within, "{held:?} exceeds {BOUNDS:?}");
}

/// Notes what the engine signed: one statement per kind and slot.
fn remember(signed: &mut Signed, liars: &mut Liars, message: Message) {
    let (kind, rank, digest) = match &message {
        Message::Propose(proposal) if proposal.header.proposer == ix(0) => {
            let header = &proposal.header;
            (1, Rank { view: header.view, height: header.height }, header.digest())
        }
        Message::Vote(vote, _) => (vote.kind.tag(), vote.rank(), vote.digest),
        _ => return,
    };
    let known = *signed.entry((kind, rank.view.get(), rank.height.get())).or_insert(digest);
    assert_eq!(known, digest, "two statements of kind {kind} for {rank:?}");
    if let Message::Propose(proposal) = message
        && liars.blocks.len() < 256
    {
        liars.digests.push(proposal.header.digest());
        liars.blocks.push(*proposal);
    }
}

fn step(table: &mut Table, choices: &mut Choices<'_>, liars: &mut Liars) {
    let from = 1 + u16::try_from(choices.below(3)).unwrap_or(0);
    match choices.below(16) {
        0 => {
            table.now_ms = table.now_ms.saturating_add([1, 20, 60, 500, 2_500, 9_000][choices.below(6)]);
            table.feed(0, Event::Tick);
        }
        1 => {
            let event = match choices.below(3) {
                0 => Event::Connected(ix(from)),
                1 => Event::Disconnected(ix(from)),
                _ => Event::Connected(ix(u16::from(choices.byte()))),
            };
            table.feed(0, event);
        }
        2 => {
            let seq = choices.number(0);
            let prev = digest(choices, liars);
            let batch = table.kit.batch(from, seq, prev, u32::from(choices.byte()));
            liars.digests.push(batch.header.digest());
            table.feed(0, Event::BatchStored(batch));
        }
        3 => {
            let payload_root = digest(choices, liars);
            let event = Event::LocalBatch { token: 1, payload_root, bytes: 1_000, count: 3 };
            table.feed(0, event);
        }
        // Sent as somebody else now and then: the channel proves who it is.
        _ => {
            let message = message(table, choices, liars, from);
            let from = if choices.chance(10) { u16::from(choices.byte()) } else { from };
            table.tell(from, 0, message);
        }
    }
}

fn digest(choices: &mut Choices<'_>, liars: &Liars) -> Digest {
    if liars.digests.is_empty() || choices.chance(60) {
        Digest::tagged(b"invented", &[&[choices.byte()]])
    } else {
        liars.digests[choices.below(liars.digests.len())]
    }
}

fn a_rank(table: &Table, choices: &mut Choices<'_>) -> Rank {
    let engine = &table.seats[0].engine;
    rank(
        choices.number(engine.view().get()),
        choices.number(engine.committed().height.get().saturating_add(1)),
    )
}

/// A block of the liars: on any tip they know, of any view, with any numbers.
fn block(table: &Table, choices: &mut Choices<'_>, liars: &mut Liars) -> Proposal {
    if !liars.blocks.is_empty() && choices.chance(60) {
        let mut known = liars.blocks[choices.below(liars.blocks.len())].clone();
        // Everything beside the header travels unsigned.
        match choices.below(4) {
            0 => known.justification = justification(table, choices, liars),
            1 => known.advances = advances(choices, liars),
            _ => {}
        }
        return known;
    }
    let kit = &table.kit;
    let tip = liars.tips[choices.below(liars.tips.len())].clone();
    let view = choices.number(table.seats[0].engine.view().get());
    let flags = [Flags::NONE, Flags::NONE, Flags::TERM_END, Flags::CHECKPOINT][choices.below(4)];
    let mut header = kit.header(&tip, view, flags);
    let mut kept = Vec::new();
    match choices.below(10) {
        0 => header.height = Height::new(choices.number(header.height.get())),
        1 => header.time_ms = choices.number(header.time_ms),
        2 => header.exec_height = Height::new(choices.number(header.exec_height.get())),
        3 => {
            kept = advances(choices, liars);
            header.flags = Flags::NONE;
            header.n_batches = u32::from(choices.byte() % 4);
        }
        4 => header.proposer = ix(u16::from(choices.byte() % 5)),
        _ => {}
    }
    let mut proposal = kit.propose_advances(header, kept);
    if proposal.header.proposer == ix(0) {
        // The one key they do not have.
        proposal.signature = kit.sign(1, &proposal.header.proposal());
    }
    proposal.justification = justification(table, choices, liars);
    if liars.blocks.len() < 256 {
        liars.digests.push(proposal.header.digest());
        // Their own tips must not overflow before the engine's do.
        if proposal.header.height.get() < 1 << 40 && proposal.advances.is_empty() {
            liars.tips.push(tip.after(&proposal));
        }
        liars.blocks.push(proposal.clone());
    }
    proposal
}

fn advances(choices: &mut Choices<'_>, liars: &Liars) -> Vec<LaneAdvance> {
    (0..choices.below(4))
        .map(|_| LaneAdvance {
            author: ix(u16::from(choices.byte() % 6)),
            seq: choices.number(0),
            tip: digest(choices, liars),
        })
        .collect()
}

fn justification(table: &Table, choices: &mut Choices<'_>, liars: &Liars) -> Option<Justification> {
    match choices.below(4) {
        0 => Some(Justification::Timeout(Box::new(timeout(table, choices, liars)))),
        1 => Some(Justification::TermEnd(Box::new(cert(table, choices, liars, VoteKind::Prepare)))),
        _ => None,
    }
}

fn known_block(choices: &mut Choices<'_>, liars: &Liars) -> Option<(Rank, Digest)> {
    let block = liars.blocks.get(choices.below(liars.blocks.len()))?;
    let header = &block.header;
    Some((Rank { view: header.view, height: header.height }, header.digest()))
}

/// A certificate by three liars, which the protocol does not survive, or one that is short.
fn cert(
    table: &Table,
    choices: &mut Choices<'_>,
    liars: &Liars,
    kind: VoteKind,
) -> chain_core::certificate::Cert {
    let (rank, digest) = known_block(choices, liars)
        .unwrap_or_else(|| (a_rank(table, choices), Digest::tagged(b"invented", &[])));
    let signers: &[u16] = if choices.chance(200) { &[1, 2, 3] } else { &[1, 3] };
    table.kit.cert_by(kind, rank, digest, signers)
}

fn high_qc(table: &Table, choices: &mut Choices<'_>, liars: &Liars) -> HighQc {
    if choices.chance(100) {
        HighQc::Qc(cert(table, choices, liars, VoteKind::Prepare))
    } else {
        table.kit.base_qc()
    }
}

fn timeout(table: &Table, choices: &mut Choices<'_>, liars: &Liars) -> TimeoutCert {
    let view = choices.number(table.seats[0].engine.view().get().saturating_add(1));
    let known: Vec<_> = (1..4).map(|signer| (signer, high_qc(table, choices, liars))).collect();
    table.kit.timeout(view, &known)
}

fn entry(table: &Table, choices: &mut Choices<'_>, liars: &Liars) -> EntryProof {
    match choices.below(3) {
        0 => EntryProof::Timeout(Box::new(timeout(table, choices, liars))),
        1 => EntryProof::Certificate(Box::new(cert(table, choices, liars, VoteKind::Commit))),
        _ => {
            let certificate = Box::new(cert(table, choices, liars, VoteKind::Prepare));
            let kept = liars.blocks.iter().find(|one| one.header.digest() == certificate.digest);
            let header = kept.map_or_else(
                || table.kit.header(&liars.tips[0], 0, Flags::TERM_END),
                |one| one.header.clone(),
            );
            EntryProof::TermEnd { certificate, header: Box::new(header) }
        }
    }
}

fn message(table: &Table, choices: &mut Choices<'_>, liars: &mut Liars, from: u16) -> Message {
    match choices.below(14) {
        0 | 1 => Message::Propose(Box::new(block(table, choices, liars))),
        2..=4 => {
            let kind = [VoteKind::Prepare, VoteKind::Commit][choices.below(2)];
            let (rank, digest) = match known_block(choices, liars) {
                Some(known) if choices.chance(180) => known,
                _ => (a_rank(table, choices), digest(choices, liars)),
            };
            let mut vote = table.kit.vote(kind, rank, digest, from);
            if choices.chance(10) {
                vote.signer = ValidatorIx::new(u16::from(choices.byte()));
            }
            Message::Vote(vote, Height::new(choices.number(0)))
        }
        5 | 6 => {
            let view = choices.number(table.seats[0].engine.view().get().saturating_add(1));
            let high_qc = high_qc(table, choices, liars);
            let entry = choices.chance(120).then(|| entry(table, choices, liars));
            Message::ViewChange(Box::new(table.kit.view_change(view, high_qc, entry, from)))
        }
        7 => Message::Entry(entry(table, choices, liars)),
        8 => {
            let kind = [VoteKind::Prepare, VoteKind::Commit][choices.below(2)];
            Message::Certificate(Box::new(cert(table, choices, liars, kind)))
        }
        9 => Message::Status(Box::new(Status {
            epoch: table.kit.epoch,
            view: View::new(choices.number(1)),
            committed: Height::new(choices.number(5)),
            executed: Height::new(choices.number(5)),
            certificate: choices.chance(80).then(|| Box::new(cert(table, choices, liars, VoteKind::Commit))),
            high_qc: choices.chance(80).then(|| a_rank(table, choices)),
            awaits_echo: choices.chance(40),
        })),
        10 => Message::Executed(Height::new(choices.number(1))),
        11 => Message::Echo(Box::new(VoteEcho {
            epoch: table.kit.epoch,
            // Only the engine's own signatures would count; the liars have none to show.
            prepare: choices
                .chance(100)
                .then(|| table.kit.vote(VoteKind::Prepare, a_rank(table, choices), Digest::ZERO, from)),
            commit: None,
            view_change: None,
            lane: choices.chance(100).then(|| table.kit.batch(from, choices.number(0), Digest::ZERO, 1)),
        })),
        12 => match choices.below(4) {
            3 => {
                let lanes = (0..choices.below(9))
                    .map(|_| (ValidatorIx::new(u16::from(choices.byte() % 6)), choices.number(2)));
                Message::Have { lanes: lanes.collect() }
            }
            0 => Message::GetProposal { digest: digest(choices, liars) },
            1 => Message::GetCertificate,
            _ => Message::GetBlocks { from: Height::new(choices.number(1)) },
        },
        _ => {
            let view = table.seats[0].engine.view().get();
            let tip = liars.tips[choices.below(liars.tips.len())].clone();
            let blocks = table.kit.chain(&tip, view, choices.below(140));
            let certificate = match blocks.last() {
                Some(last) if choices.chance(40) => {
                    let header = &last.header;
                    let rank = Rank { view: header.view, height: header.height };
                    table.kit.cert_by(VoteKind::Commit, rank, header.digest(), &[1, 2, 3])
                }
                _ => cert(table, choices, liars, VoteKind::Commit),
            };
            Message::Blocks { blocks, suffixes: Vec::new(), certificate: Box::new(certificate) }
        }
    }
}
