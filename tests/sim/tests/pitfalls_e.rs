//! Proposals, pools and parameters: what other systems lost, doubled, swallowed or panicked at, each tried on
//! ours (docs/robustness/pitfalls.md, E1 to E4 and F2; poison transactions are executed in
//! `chain-core/tests/ledger/pitfalls.rs`).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::{self, Flags};
use chain_core::certificate::VoteKind;
use chain_core::codec::{Wire as _, encode};
use chain_core::crypto::Digest;
use chain_core::id::Height;
use chain_core::lane::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, LaneAdvance, SignedBatchHeader};
use city_sim::kit::table::{self, Table, present};
use city_sim::kit::town::Town;
use city_sim::kit::{Kit, ix, propose};
use city_sim::siege::BOUNDS;
use city_sim::sim::{Faults, World};
use consensus::action::{Alarm, Write};
use consensus::engine::Tip;
use consensus::event::Event;
use consensus::message::{HighQc, Justification, Message, Proposal};
use consensus::params::ParamError;
use consensus::{Engine, Params};

fn fast(leader: u16) -> Kit {
    Kit { fast: true, ..Kit::led_by(4, leader) }
}

/// PREPAREs of engine 0 for a height.
fn prepares(table: &Table, height: u64) -> Vec<Digest> {
    let signed = table.seats[0].signed(ix(0)).into_iter();
    let votes = signed.filter_map(|message| match message {
        Message::Vote(vote, _) if vote.kind == VoteKind::Prepare && vote.height == Height::new(height) => {
            Some(vote.digest)
        }
        _ => None,
    });
    votes.collect()
}

/// A batch that says it is this large.
fn sized(kit: &Kit, author: u16, seq: u64, prev: Digest, (bytes, count): (u32, u32)) -> SignedBatchHeader {
    let mut batch = kit.batch(author, seq, prev, 1);
    (batch.header.bytes, batch.header.count) = (bytes, count);
    batch.signature = kit.sign(author, &batch.header);
    batch
}

/// A block on a tip that orders whole lanes, with the sums of what is in them.
fn ordering(kit: &Kit, parent: &Tip, view: u64, batches: &[SignedBatchHeader]) -> Proposal {
    let digests: Vec<Digest> = batches.iter().map(|batch| batch.header.digest()).collect();
    let mut header = kit.header(parent, view, Flags::NONE);
    header.flags = Flags::NONE;
    header.n_batches = u32::try_from(batches.len()).unwrap();
    header.n_records = batches.iter().fold(0, |sum: u32, one| sum.saturating_add(one.header.count));
    header.n_bytes = batches.iter().fold(0, |sum: u32, one| sum.saturating_add(one.header.bytes));
    header.batches_root = block::batches_root(&digests);
    let mut advances: Vec<LaneAdvance> = Vec::new();
    for (batch, tip) in batches.iter().zip(&digests) {
        let advance = LaneAdvance { author: batch.header.author, seq: batch.header.seq, tip: *tip };
        match advances.last_mut() {
            Some(last) if last.author == advance.author => *last = advance,
            _ => advances.push(advance),
        }
    }
    kit.propose_advances(header, advances)
}

/// Leaders fail over and over, by turns before their first block, after it, and not at all; two validators
/// lose power on the way.
#[test]
fn e01_records_are_neither_lost_nor_doubled_by_failed_proposals() {
    for n in [4, 7] {
        let mut town = Town::awake(n, 0);
        town.only(|_, to, message| match message {
            // Views 1, 4, 7... never begin; in views 2, 5, 8... one validator alone sees blocks with records; in
            // the others nobody sees every fifth of them.
            Message::Propose(proposal) => {
                match (proposal.header.view.get() % 3, proposal.header.is_empty()) {
                    (0 | 2, true) => true,
                    (2, false) => to == ix(3),
                    (0, false) => proposal.header.height.get() % 5 != 0,
                    _ => false,
                }
            }
            _ => true,
        });
        for round in 0..600_u64 {
            if round % 5 == 0 {
                for house in town.everybody() {
                    town.submit(house);
                }
            }
            match round {
                200 | 330 => town.stop(1, false),
                260 | 350 => town.start(1),
                400 => town.stop(2, true),
                430 => town.start(2),
                _ => {}
            }
            town.pass_ms(50);
        }
        let views = town.engine(0).view().get();
        assert!(views >= 6, "{n} validators: {views} views");
        let before = town.accepted.len();
        assert!(before >= 60, "{before} batches were accepted");
        town.all();
        let took =
            town.until(10_000, |town| town.everybody().all(|house| town.lost_or_doubled(house).is_none()));
        assert!(took.is_some(), "{:?} of {before}\n{:#?}", town.lost_or_doubled(0), town.houses);
        assert_eq!(town.violation(), None);
        let orders: Vec<Vec<_>> = town
            .houses
            .iter()
            .map(|house| house.executed.iter().flat_map(|one| one.batches.clone()).collect())
            .collect();
        assert!(orders.iter().all(|order| *order == orders[0]), "and in one order everywhere");
        println!("{n} validators: {before} batches over {views} views, each executed once everywhere");
    }
}

#[test]
fn e03_a_block_of_exactly_the_limits_is_voted_for_and_one_more_of_anything_is_not() {
    let kit = fast(1);
    let params = Params::default();
    let (bytes, records, lanes) = (params.block_bytes_max, params.block_records_max, params.lane_batches_max);
    let first = kit.chain(&kit.genesis(), 0, 1);
    let tip = kit.genesis().after(&first[0]);
    let one = |size| vec![sized(&kit, 2, 0, Digest::ZERO, size)];
    let run = |count: u64| {
        let mut run: Vec<SignedBatchHeader> = Vec::new();
        for seq in 0..count {
            let prev = run.last().map_or(Digest::ZERO, |last| last.header.digest());
            run.push(sized(&kit, 2, seq, prev, (10, 1)));
        }
        run
    };
    let pair = |a, b| vec![sized(&kit, 2, 0, Digest::ZERO, a), sized(&kit, 3, 0, Digest::ZERO, b)];
    let rows = [
        ("the most bytes", one((bytes, 1)), true),
        ("a byte more", one((bytes + 1, 1)), false),
        ("a byte more over two lanes", pair((bytes, 1), (1, 1)), false),
        ("the most operations", one((1, records)), true),
        ("an operation more", one((1, records + 1)), false),
        ("an operation more over two lanes", pair((1, records), (1, 1)), false),
        ("sums that leave their range", pair((u32::MAX, u32::MAX), (u32::MAX, u32::MAX)), false),
        ("the most batches of a lane", run(lanes), true),
        ("a batch more", run(lanes + 1), false),
    ];
    for (what, batches, voted) in rows {
        let mut table = Table::alone(fast(1));
        table.tell(1, 0, propose(&first[0]));
        for batch in &batches {
            table.feed(0, Event::BatchStored(batch.clone()));
        }
        let block = ordering(&kit, &tip, 0, &batches);
        table.tell(1, 0, propose(&block));
        assert_eq!(prepares(&table, 2).len(), usize::from(voted), "{what}");
    }
}

/// A leader that has more than fits makes several blocks, each within the limits.
#[test]
fn e03_a_leader_proposes_nothing_that_others_would_refuse() {
    let params = Params::default();
    let mut table = Table::alone(fast(0));
    let kit = fast(0);
    let large = params.block_bytes_max / 2 + 1;
    for author in 1..4 {
        let mut prev = Digest::ZERO;
        for seq in 0..20 {
            let size = if author == 1 { (large, 1) } else { (10, params.block_records_max / 4) };
            let batch = sized(&kit, author, seq, prev, size);
            prev = batch.header.digest();
            table.feed(0, Event::BatchStored(batch));
        }
    }
    table.pass_ms(400);
    let own = table.seats[0].signed(ix(0)).into_iter().filter_map(|message| match message {
        Message::Propose(proposal) => Some(proposal.clone()),
        _ => None,
    });
    let own: Vec<_> = own.collect();
    assert!(own.iter().filter(|one| !one.header.is_empty()).count() >= 3);
    for one in own {
        let header = &one.header;
        assert!(header.n_bytes <= params.block_bytes_max && header.n_records <= params.block_records_max);
    }
}

#[test]
fn e03_many_proposals_for_one_height_and_for_many_fill_a_share_and_break_nothing() {
    let mut table = Table::alone(fast(1));
    let kit = fast(1);
    let parent = kit.genesis();
    for round in 0..2_000_u64 {
        let mut header = kit.header(&parent, 0, Flags::NONE);
        header.time_ms += round;
        if round >= 1_000 {
            (header.height, header.parent) =
                (Height::new(2 + round % 40), Digest::tagged(b"p", &[&round.to_be_bytes()]));
        }
        table.tell(1, 0, propose(&kit.propose(header, None)));
        table.queue.clear();
    }
    let held = table.seats[0].engine.held();
    assert!(held.blocks <= 128 && held.fetches <= BOUNDS.fetches, "{held:?}");
    assert_eq!(
        prepares(&table, 1).iter().collect::<std::collections::BTreeSet<_>>().len(),
        1,
        "one got a vote"
    );
    let told =
        table.seats[0].alarms.iter().filter(|alarm| matches!(alarm, Alarm::Equivocation { .. })).count();
    assert!(told <= 40, "{told} alarms");
    // What cannot be said within the limit of a frame is not sent, and not kept.
    let mut heavy = kit.chain(&parent, 0, 1).remove(0);
    heavy.advances = vec![LaneAdvance { author: ix(2), seq: 0, tip: Digest::ZERO }; 4_000];
    assert!(heavy.advances.len() * 42 > Proposal::LIMIT && encode(&heavy).is_err());
}

/// An engine whose build knows a lower limit than the blocks of the others use.
fn stricter(kit: &Kit, record: consensus::safety::SafetyRecord, blocks: Vec<Proposal>) -> Engine {
    let strict = Params { block_records_max: 2_048, ..Params::default() };
    strict.check().unwrap();
    let restored = consensus::engine::Restored { blocks, ..table::restored(kit, present(record)) };
    Engine::new(strict, kit.judge(), Some((ix(0), kit.signer(0))), restored)
}

/// A validator voted for a block; its next build would not. What was said stays said, what a quorum decided is
/// followed, and the next block is judged for itself.
#[test]
fn e04_a_validator_whose_rules_changed_follows_what_a_quorum_decided() {
    let kit = fast(1);
    let first = kit.chain(&kit.genesis(), 0, 1);
    let tip = kit.genesis().after(&first[0]);
    let batch = sized(&kit, 2, 0, Digest::ZERO, (10, 3_000));
    let block = ordering(&kit, &tip, 0, std::slice::from_ref(&batch));
    let mut table = Table::alone(fast(1));
    table.tell(1, 0, propose(&first[0]));
    table.feed(0, Event::BatchStored(batch.clone()));
    table.tell(1, 0, propose(&block));
    let before = prepares(&table, 2);
    assert_eq!(before, [block.header.digest()]);
    let record = table.seats[0].written.iter().rev().find_map(|write| match write {
        Write::Safety(record) => Some((**record).clone()),
        _ => None,
    });
    // The new build starts.
    table.seats[0].engine = stricter(&kit, record.unwrap(), vec![first[0].clone(), block.clone()]);
    table.seats[0].sent.clear();
    table.feed(0, Event::Tick);
    table.feed(0, Event::BatchStored(batch));
    table.greet(0);
    assert_eq!(prepares(&table, 2), before, "the same vote again, and no other");
    let prepared = kit.cert_of(VoteKind::Prepare, &block.header);
    table.tell(2, 0, Message::Certificate(Box::new(prepared)));
    let commits = table.seats[0].signed(ix(0)).into_iter();
    let commits =
        commits.filter(|one| matches!(one, Message::Vote(vote, _) if vote.kind == VoteKind::Commit));
    assert_eq!(commits.count(), 1, "a quorum found it valid");
    let next = kit.chain(&tip.after(&block), 0, 1).remove(0);
    table.tell(1, 0, propose(&next));
    assert_eq!(prepares(&table, 3), [next.header.digest()], "certified ancestors are not judged again");
    let done = kit.cert_of(VoteKind::Commit, &next.header);
    table.tell(2, 0, Message::Certificate(Box::new(done)));
    assert_eq!(table.seats[0].delivered.len(), 3, "all of it is executed");
    assert!(table.seats[0].alarms.is_empty());
}

/// The same block met for the first time by the new build: no vote, but no dead end either.
#[test]
fn e04_a_block_that_only_others_find_valid_costs_one_vote_and_no_view_after() {
    let kit = fast(1);
    let first = kit.chain(&kit.genesis(), 0, 1);
    let tip = kit.genesis().after(&first[0]);
    let batch = sized(&kit, 2, 0, Digest::ZERO, (10, 3_000));
    let block = ordering(&kit, &tip, 0, std::slice::from_ref(&batch));
    let mut table = Table::alone(fast(1));
    table.seats[0].engine = stricter(&kit, kit.fresh_record(0), Vec::new());
    table.feed(0, Event::Tick);
    table.greet(0);
    table.tell(1, 0, propose(&first[0]));
    table.feed(0, Event::BatchStored(batch));
    table.tell(1, 0, propose(&block));
    assert_eq!(prepares(&table, 2), [], "not by its own rules");
    let done = kit.cert_of(VoteKind::Commit, &block.header);
    table.tell(2, 0, Message::Certificate(Box::new(done)));
    assert_eq!(table.seats[0].delivered.len(), 2);
    let qc = HighQc::Qc(kit.cert_of(VoteKind::Prepare, &block.header));
    let known: Vec<_> = (1..4).map(|signer| (signer, qc.clone())).collect();
    let tc = kit.timeout(1, &known);
    let header = kit.header(&tip.after(&block), 1, Flags::NONE);
    let opening = kit.propose(header, Some(Justification::Timeout(Box::new(tc))));
    table.tell(2, 0, propose(&opening));
    assert_eq!(prepares(&table, 3), [opening.header.digest()]);
}

/// Every parameter of a genesis at both ends of what is allowed, alone; what lies beyond is refused by name.
#[test]
fn f02_every_parameter_runs_at_both_its_ends_and_is_refused_beyond() {
    type Set = fn(&mut Params, u64);
    let rows: [(&str, u64, u64, Set); 19] = [
        ("timeout_base_ms", 50, 2_000, |one, to| {
            one.timeout_base_ms = to;
            one.timeout_base_max_ms = one.timeout_base_max_ms.max(to).min(2_000);
        }),
        ("timeout_base_max_ms", 500, 2_000, |one, to| one.timeout_base_max_ms = to),
        ("timeout_cap_ms", 2_000, 8_000, |one, to| one.timeout_cap_ms = to),
        ("resend_ms", 50, 2_000, |one, to| one.resend_ms = to),
        ("silence_ms", 500, 60_000, |one, to| one.silence_ms = to),
        ("window", 1, 64, |one, to| one.window = to),
        ("exec_lag_max", 16, 64, |one, to| one.exec_lag_max = to),
        ("view_blocks_max", 64, 4_096, |one, to| one.view_blocks_max = to),
        ("lane_batches_max", 1, 16, |one, to| one.lane_batches_max = to),
        ("block_bytes_max", BATCH_BYTES_MAX as u64, 4 * 1024 * 1024, |one, to| {
            one.block_bytes_max = u32::try_from(to).unwrap_or(u32::MAX)
        }),
        ("block_records_max", BATCH_RECORDS_MAX.into(), 8_192, |one, to| {
            one.block_records_max = u32::try_from(to).unwrap_or(u32::MAX)
        }),
        ("interval_ms", 0, 1_000, |one, to| one.interval_ms = to),
        ("heartbeat_ms", 1_000, 600_000, |one, to| one.heartbeat_ms = to),
        ("term_ms", 1_000, 3_600_000, |one, to| one.term_ms = to),
        ("target_bytes", 1, 4 * 1024 * 1024, |one, to| {
            one.target_bytes = u32::try_from(to).unwrap_or(u32::MAX)
        }),
        ("checkpoint_ms", 200, 1_000, |one, to| one.checkpoint_ms = to),
        ("clock_ahead_ms", 50, 60_000, |one, to| one.clock_ahead_ms = to),
        ("clock_behind_ms", 500, 600_000, |one, to| one.clock_behind_ms = to),
        ("status_ms", 50, 5_000, |one, to| one.status_ms = to),
    ];
    for (name, least, most, set) in rows {
        for value in [least, most] {
            let mut params = Params::default();
            set(&mut params, value);
            assert_eq!(params.check(), Ok(()), "{name} = {value}");
            let mut world = World::new(9, 4, params, Faults::none());
            world.run_ms(20_000).unwrap_or_else(|what| panic!("{name} = {value}: {what}"));
            let report =
                world.heal_and_progress(15_000).unwrap_or_else(|what| panic!("{name} = {value}: {what}"));
            assert!(report.blocks > 10, "{name} = {value}: {report:?}");
        }
        for beyond in [least.checked_sub(1), most.checked_add(1), Some(u64::MAX)].into_iter().flatten() {
            let mut params = Params::default();
            set(&mut params, beyond);
            assert!(
                matches!(params.check(), Err(ParamError { name: one, .. }) if one == name),
                "{name} = {beyond}"
            );
        }
    }
}
