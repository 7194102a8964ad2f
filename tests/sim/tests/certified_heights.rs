//! Headers pass over no multiple of 64 when they certify executions, however far execution is ahead of them
//! (docs/protocol.md, M16).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::{CERTIFIED_EVERY, Flags, Header};
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, View};
use city_sim::kit::table::{present, restored, summary};
use city_sim::kit::{Kit, WALL_MS, ix};
use consensus::action::Action;
use consensus::engine::{Restored, Tip};
use consensus::event::{Event, Now};
use consensus::message::{Message, Status, VoteEcho};
use consensus::{Engine, Params};

/// Blocks that nothing certifies the execution of: more than an engine remembers roots of certified ones.
const BLOCKS: u64 = 700;

/// Validator 0 of four, alone with the test, at the start of an epoch: everything up to its base is executed, and the headers
/// certify the genesis only.
struct Desk {
    kit: Kit,
    engine: Engine,
    at_ms: u64,
    /// What it sent and the test did not take yet.
    sent: Vec<Message>,
}

impl Desk {
    /// One that leads the first view, or does not.
    fn new(leads: bool) -> Self {
        let old = Kit::fast(4);
        let blocks = old.chain(&old.genesis(), 0, usize::try_from(BLOCKS).unwrap() - 1);
        let tip = blocks.iter().fold(old.genesis(), |tip: Tip, block| tip.after(block));
        let closing = old.propose(old.header(&tip, 0, Flags::SEAL.with(Flags::CLOSING)), None);
        let tip = tip.after(&closing);
        let kit = (0..100_u8)
            .map(|salt| old.after(4, &Tip { digest: Digest::tagged(&[salt], &[]), ..tip.clone() }))
            .find(|kit| (kit.leader(0) == ix(0)) == leads)
            .unwrap();
        let start = Restored {
            summaries: (0..=BLOCKS).map(|height| summary(Height::new(height))).collect(),
            ..restored(&kit, present(kit.fresh_record(0)))
        };
        let engine = Engine::new(Params::default(), kit.judge(), Some((ix(0), kit.signer(0))), start);
        let mut desk = Self { kit, engine, at_ms: 1_000, sent: Vec::new() };
        for from in 1..4 {
            desk.give(Event::Connected(ix(from)));
            let echo = VoteEcho { epoch: Epoch::new(1), ..VoteEcho::default() };
            desk.hear(from, Message::Echo(Box::new(echo)));
        }
        desk
    }

    /// Gives the engine an event. Every write succeeds, and what is delivered is executed at once.
    fn give(&mut self, event: Event) {
        let now = Now { mono_ms: self.at_ms, wall_ms: WALL_MS + self.at_ms };
        let mut events = vec![event];
        while !events.is_empty() {
            let mut out = Vec::new();
            events.drain(..).for_each(|event| self.engine.handle(now, event, &mut out));
            for action in out {
                match action {
                    Action::Persist(persist) => events.push(Event::Persisted(persist.seq)),
                    Action::Send { message, .. } => self.sent.push(*message),
                    Action::Deliver(delivery) => {
                        let summary = summary(delivery.header.height);
                        events.push(Event::Executed { summary, scheduled: None });
                    }
                    _ => {}
                }
            }
        }
    }

    fn hear(&mut self, from: u16, message: Message) {
        self.give(Event::Message { from: ix(from), message: Box::new(message) });
    }

    fn pass_ms(&mut self, span_ms: u64) {
        self.at_ms += span_ms;
        self.give(Event::Tick);
    }

    /// The first block that it proposed and the test did not take yet.
    fn proposed(&mut self) -> Option<Header> {
        let at = self.sent.iter().position(|one| matches!(one, Message::Propose(_)))?;
        match self.sent.remove(at) {
            Message::Propose(proposal) => Some(proposal.header),
            _ => None,
        }
    }

    fn gave_up(&self) -> bool {
        self.sent.iter().any(|message| matches!(message, Message::ViewChange(_)))
    }

    /// Whether the engine prepares a block of the leader that certifies this height.
    fn prepares(&mut self, exec_height: u64) -> bool {
        let mut header = self.kit.header(&self.kit.genesis(), 0, Flags::SEAL);
        header.time_ms = WALL_MS + self.at_ms;
        header.exec_height = Height::new(exec_height);
        header.exec_root = summary(header.exec_height).root();
        let digest = header.digest();
        let leader = header.proposer.get();
        let proposal = self.kit.propose(header, None);
        self.hear(leader, Message::Propose(Box::new(proposal)));
        self.pass_ms(50);
        self.sent.iter().any(|one| matches!(one, Message::Vote(vote, _) if vote.digest == digest))
    }
}

#[test]
fn a_leader_names_every_multiple_however_far_execution_is_ahead() {
    let mut desk = Desk::new(true);
    let mut certified: Vec<u64> = Vec::new();
    for turn in 0..400 {
        desk.pass_ms(100);
        if turn % 10 == 0 {
            for from in 1..4 {
                let height = desk.engine.committed().height;
                desk.hear(from, Message::Executed(height));
            }
        }
        while let Some(header) = desk.proposed() {
            certified.push(header.exec_height.get());
            for kind in [VoteKind::Prepare, VoteKind::Commit] {
                for signer in 1..4 {
                    let vote = desk.kit.vote_on(kind, &header, signer);
                    desk.hear(signer, vote);
                }
            }
        }
    }
    certified.dedup();
    let multiples: Vec<u64> = (0..=BLOCKS / CERTIFIED_EVERY).map(|turn| turn * CERTIFIED_EVERY).collect();
    assert_eq!(certified.get(..multiples.len()), Some(&multiples[..]), "{certified:?}");
    assert!(certified.last().is_some_and(|last| *last >= BLOCKS), "{certified:?}");
}

#[test]
fn a_header_that_passes_over_a_multiple_gets_no_vote() {
    for (exec_height, prepared) in
        [(0, true), (1, true), (CERTIFIED_EVERY, true), (CERTIFIED_EVERY + 1, false), (BLOCKS, false)]
    {
        assert_eq!(Desk::new(false).prepares(exec_height), prepared, "{exec_height}");
    }
}

#[test]
fn a_leader_that_stops_certifying_loses_its_view_however_far_its_next_header_may_go() {
    let mut desk = Desk::new(false);
    // A quorum has executed everything; the leader is there and proposes nothing.
    for _ in 0..80 {
        for from in 1..4 {
            let status = Status {
                epoch: Epoch::new(1),
                view: View::ZERO,
                committed: Height::new(BLOCKS),
                executed: Height::new(BLOCKS),
                certificate: None,
                high_qc: None,
                awaits_echo: false,
            };
            desk.hear(from, Message::Status(Box::new(status)));
        }
        desk.pass_ms(100);
    }
    assert!(desk.gave_up());
}

#[test]
fn a_leader_is_not_blamed_for_what_no_quorum_has_executed() {
    let mut desk = Desk::new(false);
    for _ in 0..80 {
        for from in 1..4 {
            desk.hear(from, Message::Executed(Height::ZERO));
        }
        desk.pass_ms(100);
    }
    assert!(!desk.gave_up());
}
