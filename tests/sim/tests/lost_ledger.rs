//! A validator that starts with a lost ledger: everything final is executed again, in bounded steps, and nothing
//! that perhaps nobody else stored is forgotten (docs/protocol.md, 6).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::Flags;
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height};
use chain_core::lane::{BatchRef, LaneAdvance};
use city_sim::kit::table::{present, restored, summary};
use city_sim::kit::{Kit, WALL_MS, ix};
use consensus::action::{Action, Peers};
use consensus::engine::{EXECUTING_MAX, LANE_BATCHES_HELD_MAX, Restored, Tip};
use consensus::event::{Event, Now};
use consensus::message::{Message, VoteEcho};
use consensus::{Engine, Params};

/// A ledger that was lost: every final block waits for execution, and only a stretch of them is ever in memory.
#[test]
fn a_lost_ledger_is_executed_again_in_bounded_steps() {
    let kit = Kit::fast(4);
    let blocks = kit.chain(&kit.genesis(), 0, 5_000);
    let tip = blocks.iter().fold(kit.genesis(), |tip: Tip, block| tip.after(block));
    let start = Restored {
        committed: tip,
        certificate: Some(kit.cert_of(VoteKind::Commit, &blocks[4_999].header)),
        recent: blocks[4_000..].iter().map(|block| block.header.clone()).collect(),
        ..restored(&kit, present(kit.fresh_record(0)))
    };
    let mut engine = Engine::new(Params::default(), kit.judge(), Some((ix(0), kit.signer(0))), start);
    let (mut delivered, mut executed, mut loads, mut most) = (0, 0, 0, 0);
    let mut events = vec![Event::Tick];
    for at in 0..20_000 {
        let now = Now { mono_ms: 1_000 + at, wall_ms: WALL_MS + at };
        let mut out = Vec::new();
        events.drain(..).for_each(|event| engine.handle(now, event, &mut out));
        for action in out {
            match action {
                Action::LoadFinal { from, count } => {
                    loads += 1;
                    let from = usize::try_from(from.get() - 1).unwrap();
                    let end = (from + count).min(blocks.len());
                    // Now and then the store gives nothing yet, and what it gives comes twice.
                    let some = if loads % 7 == 3 { Vec::new() } else { blocks[from..end].to_vec() };
                    events.extend([Event::Loaded(some.clone()), Event::Loaded(some)]);
                }
                Action::Deliver(delivery) => {
                    delivered += 1;
                    assert_eq!(delivery.header.height.get(), delivered);
                }
                _ => {}
            }
        }
        let held = engine.held();
        most = most.max(held.deliveries);
        assert!(held.deliveries <= 512, "{held:?}");
        assert!(delivered - executed <= EXECUTING_MAX, "{delivered} delivered, {executed} executed");
        assert_eq!(engine.committed().height, Height::new(5_000));
        if executed < delivered {
            executed += 1;
            events.push(Event::Executed { summary: summary(Height::new(executed)), scheduled: None });
        } else {
            events.push(Event::Tick);
        }
        if executed == 5_000 {
            println!("{loads} loads, at most {most} blocks held");
            return;
        }
    }
    panic!("executed {executed} of 5000, {delivered} delivered");
}

/// Own batches that no block has ordered count from the newest final block, not from the executed one: they are kept
/// and pushed again however far execution is behind.
#[test]
fn own_unordered_batches_are_kept_however_far_execution_is_behind() {
    let kit = Kit::fast(4);
    let ordered = LANE_BATCHES_HELD_MAX as u64 + 100;
    let block = kit.chain(&kit.genesis(), 0, 1).remove(0);
    let before = kit.batch(0, ordered - 1, Digest::ZERO, 1);
    let mut committed = kit.genesis().after(&block);
    committed.lanes.advance(&LaneAdvance { author: ix(0), seq: ordered - 1, tip: before.header.digest() });
    let mut own = vec![before];
    for seq in ordered..ordered + 3 {
        let prev = own[own.len() - 1].header.digest();
        own.push(kit.batch(0, seq, prev, 1));
    }
    let own = own.split_off(1);
    let mut record = kit.fresh_record(0);
    record.lane = own.last().map(|batch| (batch.header.seq, batch.header.digest()));
    let start = Restored {
        committed,
        certificate: Some(kit.cert_of(VoteKind::Commit, &block.header)),
        recent: vec![block.header.clone()],
        batches: own.clone(),
        ..restored(&kit, present(record))
    };
    let mut engine = Engine::new(Params::default(), kit.judge(), Some((ix(0), kit.signer(0))), start);
    assert_eq!(engine.held().batches, own.len());
    let mut pushed = Vec::new();
    for at in 0..100 {
        let now = Now { mono_ms: 1_000 + 50 * at, wall_ms: WALL_MS + 50 * at };
        let mut out = Vec::new();
        for from in 1..4 {
            let echo = VoteEcho { epoch: Epoch::ZERO, ..VoteEcho::default() };
            let message = Box::new(Message::Echo(Box::new(echo)));
            engine.handle(now, Event::Message { from: ix(from), message }, &mut out);
        }
        engine.handle(now, Event::Tick, &mut out);
        pushed.extend(out.into_iter().filter_map(|action| match action {
            Action::PushBatch { to: Peers::All, batch } => Some(batch),
            _ => None,
        }));
    }
    let names: Vec<BatchRef> = own.iter().map(|batch| BatchRef::of(&batch.header)).collect();
    assert_eq!(pushed.get(..names.len()), Some(&names[..]));
}

/// What is executed again was certified before: no leader owes it once more, so none is given up for it.
#[test]
fn an_execution_that_is_certified_already_is_owed_by_nobody() {
    let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
    let mut header = kit.header(&kit.genesis(), 0, Flags::NONE);
    (header.n_batches, header.n_records) = (1, 1);
    let first = kit.propose(header, None);
    let tip = kit.genesis().after(&first);
    let mut header = kit.header(&tip, 0, Flags::NONE);
    (header.exec_height, header.exec_root) = (Height::new(1), summary(Height::new(1)).root());
    let second = kit.propose(header, None);
    let start = Restored {
        committed: tip.after(&second),
        certificate: Some(kit.cert_of(VoteKind::Commit, &second.header)),
        recent: vec![first.header, second.header],
        ..restored(&kit, present(kit.fresh_record(0)))
    };
    let mut engine = Engine::new(Params::default(), kit.judge(), Some((ix(0), kit.signer(0))), start);
    let mut gave_up = false;
    for at in 0..200 {
        let now = Now { mono_ms: 1_000 + 100 * at, wall_ms: WALL_MS + 100 * at };
        let mut out = Vec::new();
        for from in (1..4).map(ix) {
            let echo = VoteEcho { epoch: Epoch::ZERO, ..VoteEcho::default() };
            for message in [Message::Echo(Box::new(echo)), Message::Executed(Height::new(2))] {
                engine.handle(now, Event::Message { from, message: Box::new(message) }, &mut out);
            }
        }
        if let Some(height) = [0, 10].iter().position(|one| *one == at) {
            let summary = summary(Height::new(height as u64 + 1));
            engine.handle(now, Event::Executed { summary, scheduled: None }, &mut out);
        }
        engine.handle(now, Event::Tick, &mut out);
        let asks = |message: &Message| matches!(message, Message::ViewChange(_));
        gave_up |= out.iter().any(|one| matches!(one, Action::Send { message, .. } if asks(message)));
    }
    assert!(engine.voting() && !gave_up);
}
