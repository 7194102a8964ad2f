//! Sync against live commits: what other systems delivered twice, believed, or never got over, each tried on
//! ours (docs/robustness/pitfalls.md, D1 to D8).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::{self, Flags};
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Height, View};
use chain_core::lane::{LaneAdvance, SignedBatchHeader};
use city_sim::kit::table::{self, Table, present};
use city_sim::kit::town::{Town, name};
use city_sim::kit::{Kit, ix, propose};
use city_sim::siege::BOUNDS;
use consensus::action::{Action, Write};
use consensus::engine::{Restored, Tip};
use consensus::event::{Event, Now};
use consensus::message::{EntryProof, HighQc, Justification, Message, Proposal, Status, TimeoutCert};
use consensus::{Engine, Params};

fn fast(leader: u16) -> Kit {
    Kit { fast: true, ..Kit::led_by(4, leader) }
}

fn certificate(kit: &Kit, block: &Proposal) -> Message {
    Message::Certificate(Box::new(kit.cert_of(VoteKind::Commit, &block.header)))
}

/// A sync answer.
fn answer(kit: &Kit, blocks: &[Proposal]) -> Message {
    let certificate = Box::new(kit.cert_of(VoteKind::Commit, &blocks[blocks.len() - 1].header));
    Message::Blocks { blocks: blocks.to_vec(), suffixes: Vec::new(), certificate }
}

fn delivered(table: &Table) -> Vec<u64> {
    table.seats[0].delivered.iter().map(|one| one.header.height.get()).collect()
}

fn tip_after(kit: &Kit, blocks: &[Proposal]) -> Tip {
    blocks.iter().fold(kit.genesis(), |tip, block| tip.after(block))
}

/// Validators 1 to 3 give up the view before `view`, the best of them knowing this block.
fn timeout(kit: &Kit, view: u64, best: &Proposal) -> TimeoutCert {
    let qc = HighQc::Qc(kit.cert_of(VoteKind::Prepare, &best.header));
    let known = [(1, qc.clone()), (2, kit.base_qc()), (3, qc)];
    kit.timeout(view, &known)
}

fn entry(tc: &TimeoutCert) -> Message {
    Message::Entry(EntryProof::Timeout(Box::new(tc.clone())))
}

/// Every order of: proposals, COMMITs of the third block, the certificate of the fifth, two sync answers and a
/// view change.
#[test]
fn d01_whatever_comes_first_every_block_is_delivered_once() {
    let kit = fast(1);
    let blocks = kit.chain(&kit.genesis(), 0, 5);
    let groups: Vec<Vec<(u16, Message)>> = vec![
        blocks.iter().map(|block| (1, propose(block))).collect(),
        (1..4).map(|signer| (signer, kit.vote_on(VoteKind::Commit, &blocks[2].header, signer))).collect(),
        vec![(2, certificate(&kit, &blocks[4]))],
        vec![(3, answer(&kit, &blocks))],
        vec![(2, answer(&kit, &blocks[..3]))],
        vec![(2, entry(&timeout(&kit, 1, &blocks[4])))],
    ];
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..groups.len() {
        let longer = orders.into_iter().flat_map(|order| {
            let free: Vec<usize> = (0..6).filter(|at| !order.contains(at)).collect();
            free.into_iter().map(move |at| [order.clone(), vec![at]].concat())
        });
        orders = longer.collect();
    }
    assert_eq!(orders.len(), 720);
    for order in orders {
        let mut table = Table::alone(fast(1));
        for at in order.iter().chain(&[0, 1, 2, 3, 4]) {
            for (from, message) in &groups[*at] {
                table.tell(*from, 0, message.clone());
            }
        }
        assert_eq!(delivered(&table), [1, 2, 3, 4, 5], "{order:?}");
        assert!(table.seats[0].alarms.is_empty(), "{order:?}");
        // Nor does the store learn of a final block twice.
        let finals = table.seats[0].written.iter().filter_map(|write| match write {
            Write::Commit { blocks, .. } => Some(blocks.iter().map(|header| header.height.get())),
            _ => None,
        });
        assert_eq!(finals.flatten().collect::<Vec<_>>(), [1, 2, 3, 4, 5], "{order:?}");
    }
}

fn proposals(table: &Table) -> Vec<Proposal> {
    let mut own: Vec<Proposal> = Vec::new();
    for message in table.seats[0].signed(ix(0)) {
        if let Message::Propose(proposal) = message
            && !own.contains(proposal)
        {
            own.push((**proposal).clone());
        }
    }
    own
}

#[test]
fn d02_a_leaders_blocks_in_flight_are_dropped_when_sync_brings_others() {
    let kit = fast(0);
    let mut table = Table::alone(fast(0));
    table.feed(0, Event::LocalBatch { token: 1, payload_root: Digest::ZERO, bytes: 300, count: 1 });
    table.pass_ms(50);
    let in_flight = proposals(&table);
    assert!(in_flight.len() >= 2 && table.seats[0].engine.held().blocks >= 2, "{}", in_flight.len());
    // The others gave view 0 up without having seen any of it, and went on in view 1.
    let tc = kit.timeout(1, &[(1, kit.base_qc()), (2, kit.base_qc()), (3, kit.base_qc())]);
    let first =
        kit.propose(kit.header(&kit.genesis(), 1, Flags::NONE), Some(Justification::Timeout(Box::new(tc))));
    let mut theirs = vec![first];
    theirs.extend(kit.chain(&tip_after(&kit, &theirs), 1, 2));
    table.tell(2, 0, answer(&kit, &theirs));
    assert_eq!((table.committed(0), table.seats[0].engine.view()), (3, View::new(1)));
    assert_eq!(table.seats[0].engine.held().blocks, 0, "what was in flight is gone");
    assert_eq!(proposals(&table).len(), in_flight.len());
    // Its next turn: it builds on what is final, and its batch, which was never ordered, is.
    let tc = timeout(&kit, 4, &theirs[2]);
    table.tell(2, 0, entry(&tc));
    table.pass_ms(50);
    let fresh = proposals(&table).split_off(in_flight.len());
    let places: Vec<(u64, u64)> =
        fresh.iter().map(|one| (one.header.view.get(), one.header.height.get())).collect();
    assert_eq!(places, [(4, 4), (4, 5)]);
    assert_eq!(fresh[0].header.parent, theirs[2].header.digest());
    assert_eq!(fresh[1].header.n_batches, 1);
    assert!(fresh.iter().all(|one| in_flight.iter().all(|old| old.header.digest() != one.header.digest())));
}

/// How a validator came to its height.
#[derive(Clone, Copy, Debug)]
enum Past {
    /// It voted for every block and saw each become final.
    Lived,
    /// It got all blocks in one sync answer.
    Synced,
    /// As the first, and got the same blocks again by sync afterwards.
    Both,
    /// As the first, and was started again.
    Restarted,
}

/// Validator `me` of a table, brought to the end of a chain.
fn bring(table: &mut Table, me: u16, past: Past, blocks: &[Proposal]) {
    let kit = fast(3);
    table.greet(me);
    if matches!(past, Past::Lived | Past::Both | Past::Restarted) {
        for block in blocks {
            table.tell(2, me, propose(block));
            for kind in [VoteKind::Prepare, VoteKind::Commit] {
                for signer in (0..4).filter(|signer| *signer != me) {
                    table.tell(signer, me, kit.vote_on(kind, &block.header, signer));
                }
            }
        }
    }
    if matches!(past, Past::Synced | Past::Both) {
        for _ in 0..2 {
            table.tell(2, me, answer(&kit, blocks));
            table.tell(2, me, certificate(&kit, &blocks[blocks.len() - 1]));
        }
    }
    if matches!(past, Past::Restarted) {
        let seat = &mut table.seats[usize::from(me)];
        let record = seat.written.iter().rev().find_map(|write| match write {
            Write::Safety(record) => Some((**record).clone()),
            _ => None,
        });
        let last = &blocks[blocks.len() - 1].header;
        let restored = Restored {
            executed: tip_after(&kit, blocks),
            committed: tip_after(&kit, blocks),
            certificate: Some(kit.cert_of(VoteKind::Commit, last)),
            summaries: (0..=last.height.get()).map(|at| table::summary(Height::new(at))).collect(),
            recent: blocks.iter().map(|block| block.header.clone()).collect(),
            ..table::restored(&kit, present(record.unwrap()))
        };
        seat.engine = Engine::new(Params::default(), kit.judge(), Some((ix(me), kit.signer(me))), restored);
        table.feed(me, Event::Tick);
        table.greet(me);
    }
    assert_eq!(table.committed(me), blocks.len() as u64, "{past:?}");
    for from in (0..4).filter(|from| *from != me) {
        let status = Status {
            epoch: kit.epoch,
            view: View::ZERO,
            committed: Height::new(3),
            executed: Height::new(3),
            certificate: None,
            high_qc: None,
            awaits_echo: false,
        };
        table.tell(from, me, Message::Status(Box::new(status)));
    }
}

#[test]
fn d03_nothing_in_a_header_depends_on_how_its_maker_or_its_judge_came_there() {
    let pasts = [Past::Lived, Past::Synced, Past::Both, Past::Restarted];
    for leader in pasts {
        for voter in pasts {
            let kit = fast(3);
            let blocks = kit.chain(&kit.genesis(), 0, 3);
            let starts = (0..2).map(|me| present(kit.fresh_record(me))).collect();
            let mut table = Table::with(kit, starts);
            // The test signs for everybody, for these two as well.
            table.watched = false;
            bring(&mut table, 0, voter, &blocks);
            bring(&mut table, 1, leader, &blocks);
            table.queue.clear();
            // Validator 3 leads view 0, validator 1 view 2.
            let tc = timeout(&table.kit, 2, &blocks[2]);
            for me in 0..2 {
                table.tell(2, me, entry(&tc));
                table.feed(me, Event::BatchStored(table.kit.batch(2, 0, Digest::ZERO, 1)));
            }
            table.pass_ms(100);
            let voted = table.seats[0].signed(ix(0)).into_iter().filter_map(|message| match message {
                Message::Vote(vote, _) if vote.kind == VoteKind::Prepare && vote.view == View::new(2) => {
                    Some(vote.height.get())
                }
                _ => None,
            });
            let voted: Vec<u64> = voted.collect();
            assert_eq!(voted.last(), Some(&5), "leader {leader:?}, voter {voter:?}: {voted:?}");
            for seat in &table.seats {
                assert_eq!(seat.alarms, [], "leader {leader:?}, voter {voter:?}");
            }
        }
    }
}

/// A block that orders this batch.
fn ordering(kit: &Kit, parent: &Tip, batch: &SignedBatchHeader) -> Proposal {
    let tip = batch.header.digest();
    let mut header = kit.header(parent, 0, Flags::NONE);
    header.flags = Flags::NONE;
    (header.n_batches, header.n_records, header.n_bytes) = (1, batch.header.count, batch.header.bytes);
    header.batches_root = block::batches_root([&tip]);
    let (author, seq) = (batch.header.author, batch.header.seq);
    kit.propose_advances(header, vec![LaneAdvance { author, seq, tip }])
}

/// A holder that answers with something of another place is asked no more in vain: the next one is.
#[test]
fn d05_an_answer_for_another_place_is_neither_taken_nor_the_end_of_asking() {
    let mut table = Table::alone(fast(1));
    let kit = fast(1);
    let first = kit.chain(&kit.genesis(), 0, 1);
    let batches = [kit.batch(2, 0, Digest::ZERO, 1), kit.batch(2, 0, Digest::ZERO, 2)];
    let block = ordering(&kit, &tip_after(&kit, &first), &batches[0]);
    table.tell(1, 0, propose(&first[0]));
    table.tell(1, 0, propose(&block));
    table.pass_ms(60);
    // Batches of other places: the same position, another lane, the next position.
    table.feed(0, Event::BatchStored(batches[1].clone()));
    table.feed(0, Event::BatchStored(kit.batch(3, 0, Digest::ZERO, 1)));
    table.feed(0, Event::BatchStored(kit.batch(2, 1, batches[1].header.digest(), 1)));
    table.pass_ms(400);
    let asked = table.seats[0].fetched.clone();
    assert!(asked.len() >= 2 && asked.iter().all(|one| one.1 == name(&batches[0])), "{asked:?}");
    assert_ne!(asked[0].2, asked[1].2, "another holder");
    let prepares = |table: &Table| {
        let signed = table.seats[0].signed(ix(0)).into_iter();
        signed.filter(|one| matches!(one, Message::Vote(vote, _) if vote.height == Height::new(2))).count()
    };
    assert_eq!(prepares(&table), 0);
    table.feed(0, Event::BatchStored(batches[0].clone()));
    assert_eq!(prepares(&table), 1);

    // Blocks: the one asked for by its digest, answered with a neighbour, a rival and a stranger.
    let mut table = Table::alone(fast(1));
    let chain = kit.chain(&kit.genesis(), 0, 3);
    let done = kit.cert_of(VoteKind::Commit, &chain[1].header);
    table.tell(2, 0, Message::Certificate(Box::new(done)));
    let mut rival = chain[1].header.clone();
    rival.time_ms += 1;
    table.tell(2, 0, propose(&chain[2]));
    table.tell(2, 0, propose(&kit.propose(rival, None)));
    table.pass_ms(1_000);
    let asked = table.seats[0].sent.iter().filter(|(_, message)| {
        matches!(message, Message::GetProposal { digest } if *digest == chain[1].header.digest())
    });
    assert!(asked.count() >= 2);
    assert_eq!(table.committed(0), 0);
    table.tell(3, 0, propose(&chain[1]));
    table.tell(3, 0, propose(&chain[0]));
    assert_eq!(table.committed(0), 2);
}

/// Two blocks of a sync answer trade their data: each header still commits to its own.
#[test]
fn d05_data_of_one_block_is_not_taken_for_that_of_another() {
    let kit = fast(1);
    let first = kit.chain(&kit.genesis(), 0, 1);
    let one = kit.batch(2, 0, Digest::ZERO, 1);
    let two = kit.batch(2, 1, one.header.digest(), 1);
    let a = ordering(&kit, &tip_after(&kit, &first), &one);
    let b = ordering(&kit, &tip_after(&kit, &first).after(&a), &two);
    let good = [first[0].clone(), a.clone(), b.clone()];
    let mut traded = good.clone();
    (traded[1].advances, traded[2].advances) = (b.advances, a.advances);
    let mut table = Table::alone(fast(1));
    table.tell(2, 0, answer(&kit, &traded));
    assert_eq!(table.committed(0), 0);
    table.tell(3, 0, answer(&kit, &good));
    assert_eq!(table.committed(0), 3);
}

/// House 3 misses more than five sync answers cover; the whole town is restarted before and during its sync.
#[test]
fn d07_sync_goes_on_after_the_whole_network_was_restarted() {
    let mut town = Town::awake(4, 0);
    town.cut.insert(3);
    while town.committed(0) < 700 {
        town.submit(u16::try_from(town.now_ms / 20 % 3).unwrap());
        town.pass_ms(20);
    }
    assert!(town.committed(3) < 5);
    let mut half_way = 0;
    for at_ms in [9, 11] {
        town.stop_all();
        town.pass_ms(500);
        town.start_all();
        town.mend();
        town.pass_ms(at_ms);
        half_way += u32::from((100..700).contains(&town.committed(3)));
    }
    assert!(half_way > 0, "cut short while it syncs");
    town.stop_all();
    town.pass_ms(500);
    town.start_all();
    let took = town.until(10_000, |town| (0..4).all(|house| town.lost_or_doubled(house).is_none()));
    assert!(took.is_some(), "{:#?}", town.houses);
    // And one whose ledger is gone executes everything again, while the others go on.
    town.stop(1, false);
    town.wipe_ledger(1);
    town.start(1);
    town.submit(0);
    let took = town.until(10_000, |town| (0..4).all(|house| town.lost_or_doubled(house).is_none()));
    assert!(took.is_some(), "{:#?}", town.houses);
    assert_eq!(town.violation(), None);
    assert!(
        town.houses
            .iter()
            .all(|house| house.engine.as_ref().is_some_and(|one| one.held().deliveries <= BOUNDS.deliveries))
    );
}

#[test]
fn d08_a_leader_delivers_its_own_decision_at_its_start_and_waits_for_nothing_new() {
    let kit = fast(0);
    let first = kit.chain(&kit.genesis(), 0, 1);
    let batch = kit.batch(2, 0, Digest::ZERO, 1);
    let block = ordering(&kit, &tip_after(&kit, &first), &batch);
    for held in [true, false] {
        let finals = [first[0].clone(), block.clone()];
        let restored = Restored {
            committed: tip_after(&kit, &finals),
            certificate: Some(kit.cert_of(VoteKind::Commit, &block.header)),
            batches: if held { vec![batch.clone()] } else { Vec::new() },
            ..table::restored(&kit, present(kit.fresh_record(0)))
        };
        let mut engine = Engine::new(Params::default(), kit.judge(), Some((ix(0), kit.signer(0))), restored);
        let mut out = Vec::new();
        // Nobody has said a word to it yet.
        for at in 0..10 {
            let now = Now { mono_ms: 1_000 + 50 * at, wall_ms: city_sim::kit::WALL_MS + 1_000 + 50 * at };
            engine.handle(now, Event::Tick, &mut out);
            if out.iter().any(|action| matches!(action, Action::LoadFinal { .. })) {
                out.clear();
                engine.handle(now, Event::Loaded(finals.to_vec()), &mut out);
            }
        }
        let count = |want: &dyn Fn(&Action) -> bool| out.iter().filter(|action| want(action)).count();
        let delivered = count(&|action| matches!(action, Action::Deliver(_)));
        let fetches = count(&|action| matches!(action, Action::FetchBatches { .. }));
        assert_eq!((delivered, fetches > 0), (if held { 2 } else { 1 }, !held));
    }
}

/// The leader loses power after its decision is durable and before it has executed it; no record follows.
#[test]
fn d08_a_decision_made_just_before_a_power_cut_is_executed_after_it() {
    let mut cut_in_between = 0;
    for at_ms in 0..40 {
        let mut town = Town::awake(4, 0);
        assert!(town.submit(0));
        town.pass_ms(at_ms);
        let engine = town.engine(0);
        let final_there = engine.committed().height.get();
        let executed = town.houses[0].executed.len() as u64;
        cut_in_between += u32::from(executed < final_there);
        town.stop(0, false);
        town.pass_ms(300);
        town.start(0);
        let took = town.until(3_000, |town| {
            town.houses[0].executed.len() as u64 >= final_there && town.lost_or_doubled(0).is_none()
        });
        assert!(took.is_some(), "cut at {at_ms} ms\n{:#?}", town.houses);
    }
    assert!(cut_in_between > 0, "the moment that matters was met");
}
