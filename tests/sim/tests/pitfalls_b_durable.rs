//! What a validator must not forget: crashes, restored snapshots, copied keys and the hand-over from sync
//! (docs/robustness/pitfalls.md, B9 to B14; the stores' own part is in `node/src/storage`).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::Flags;
use chain_core::certificate::{Rank, VoteKind};
use chain_core::crypto::Digest;
use chain_core::id::View;
use city_sim::kit::table::{Table, present};
use city_sim::kit::town::{Town, Trap};
use city_sim::kit::{Kit, ix, propose, rank};
use consensus::action::{Action, Alarm, Write};
use consensus::event::{Event, Now};
use consensus::message::{HighQc, Justification, Message, Proposal, Vote, VoteEcho};
use consensus::mutant::Mutant;
use consensus::safety::{SafetyRecord, Slot};

fn fast(leader: u16) -> Kit {
    Kit { fast: true, ..Kit::led_by(4, leader) }
}

/// The newest safety record that was written.
fn record(table: &Table) -> SafetyRecord {
    let newest = table.seats[0].written.iter().rev().find_map(|write| match write {
        Write::Safety(record) => Some((**record).clone()),
        _ => None,
    });
    newest.unwrap()
}

/// A validator that starts again from what was written, at a table where nobody remembers more.
fn again(table: &Table, kit: Kit) -> Table {
    let mut table = Table::with(kit, vec![present(record(table))]);
    // The blocks that it voted for were shown at the other table.
    table.watched = false;
    table.greet(0);
    table
}

fn votes(table: &Table, kind: VoteKind) -> Vec<Vote> {
    let signed = table.seats[0].signed(ix(0)).into_iter();
    let votes = signed.filter_map(|message| match message {
        Message::Vote(vote, _) if vote.kind == kind => Some(*vote),
        _ => None,
    });
    votes.collect()
}

fn rival(kit: &Kit, block: &Proposal) -> Proposal {
    let mut header = block.header.clone();
    header.time_ms += 1;
    kit.propose(header, None)
}

#[test]
fn b09_a_prepare_is_remembered_over_a_restart() {
    let mut table = Table::alone(fast(1));
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    let sent = votes(&table, VoteKind::Prepare);
    assert_eq!(sent.len(), 1);
    let mut table = again(&table, fast(1));
    assert_eq!(votes(&table, VoteKind::Prepare), sent, "the same vote, word for word");
    let rival = rival(&table.kit, &block);
    table.tell(1, 0, propose(&rival));
    table.pass_ms(3_000);
    let digests: Vec<Digest> = votes(&table, VoteKind::Prepare).iter().map(|vote| vote.digest).collect();
    assert!(digests.iter().all(|digest| *digest == block.header.digest()), "{digests:?}");
}

#[test]
fn b09_a_commit_is_remembered_with_its_certificate() {
    let mut table = Table::alone(fast(1));
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    let prepared = table.kit.cert_of(VoteKind::Prepare, &block.header);
    table.tell(2, 0, Message::Certificate(Box::new(prepared.clone())));
    let sent = votes(&table, VoteKind::Commit);
    assert_eq!(sent.len(), 1);
    let mut table = again(&table, fast(1));
    assert_eq!(votes(&table, VoteKind::Commit), sent);
    // Asked to give the view up, it claims what it committed to.
    for asks in [2, 3] {
        let change = table.kit.view_change(1, table.kit.base_qc(), None, asks);
        table.tell(asks, 0, Message::ViewChange(Box::new(change)));
    }
    let claimed = table.seats[0].signed(ix(0)).into_iter().find_map(|message| match message {
        Message::ViewChange(change) => Some(change.high_qc.clone()),
        _ => None,
    });
    assert_eq!(claimed, Some(HighQc::Qc(prepared)));
}

#[test]
fn b09_a_view_given_up_stays_given_up_over_a_restart() {
    let kit = || Kit { fast: true, ..Kit::led_by(7, 1) };
    let mut table = Table::alone(kit());
    for asks in 2..5 {
        let change = table.kit.view_change(1, table.kit.base_qc(), None, asks);
        table.tell(asks, 0, Message::ViewChange(Box::new(change)));
    }
    let mut table = again(&table, kit());
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    let prepared = table.kit.cert_of(VoteKind::Prepare, &block.header);
    table.tell(1, 0, Message::Certificate(Box::new(prepared)));
    assert_eq!((votes(&table, VoteKind::Prepare), votes(&table, VoteKind::Commit)), (vec![], vec![]));
    let repeated = table.seats[0].signed(ix(0)).into_iter().any(|one| matches!(one, Message::ViewChange(_)));
    assert!(repeated);
}

#[test]
fn b09_a_leader_remembers_its_proposal_and_an_author_its_batch() {
    let mut table = Table::alone(fast(0));
    table.feed(0, Event::LocalBatch { token: 1, payload_root: Digest::ZERO, bytes: 300, count: 1 });
    table.pass_ms(100);
    let own = |table: &Table| -> Vec<(u64, Digest)> {
        let proposals = table.seats[0].signed(ix(0)).into_iter().filter_map(|message| match message {
            Message::Propose(proposal) => Some((proposal.header.height.get(), proposal.header.digest())),
            _ => None,
        });
        proposals.collect()
    };
    let sealed = |table: &Table| -> Vec<u64> {
        let batches = table.seats[0].written.iter().filter_map(|write| match write {
            Write::OwnBatch(batch) => Some(batch.header.seq),
            _ => None,
        });
        batches.collect()
    };
    let before = own(&table);
    assert!(before.len() >= 2 && sealed(&table) == [0]);
    // What makes each durable stands beside it in the same write.
    let written = &table.seats[0].written;
    for (at, write) in written.iter().enumerate() {
        match (write, at.checked_sub(1).map(|before| &written[before]), written.get(at + 1)) {
            (Write::OwnBatch(batch), Some(Write::Safety(record)), _) => {
                assert_eq!(record.lane, Some((batch.header.seq, batch.header.digest())));
            }
            (Write::Block(own), _, Some(Write::Safety(record))) => {
                assert_eq!(record.last_prepare, Some(Slot::of(&own.header)));
            }
            (Write::OwnBatch(_) | Write::Block(_), ..) => panic!("without its record: {write:?}"),
            _ => {}
        }
    }
    // The blocks are gone with a damaged store, the record is not: it does not propose their heights again.
    let mut table = again(&table, fast(0));
    table.feed(0, Event::LocalBatch { token: 2, payload_root: Digest::ZERO, bytes: 600, count: 2 });
    table.pass_ms(3_000);
    assert_eq!(sealed(&table), [1]);
    let twice =
        own(&table).into_iter().filter(|one| before.iter().any(|old| old.0 == one.0 && old.1 != one.1));
    assert_eq!(twice.collect::<Vec<_>>(), []);
}

/// Records from everybody, a leader that falls silent, and records again. `house` dies where the trap is and
/// comes back; in the end everybody executes everything.
fn day(house: u16, trap: Option<Trap>, mutant: Option<Mutant>) -> Result<u64, String> {
    let mut town = Town::new(4, 0);
    town.watch(house);
    if let Some(trap) = trap {
        town.lay(trap);
    }
    if let Some(mutant) = mutant {
        town.mutate(mutant);
    }
    town.start_all();
    for at in 0..200_u64 {
        match at {
            12 | 14 | 150 => {
                (0..4).for_each(|house| {
                    town.submit(house);
                });
            }
            16 => {
                town.cut.insert(0);
            }
            140 => town.mend(),
            _ => {}
        }
        town.pass_ms(10);
        // Back after a while; long enough for the others to notice.
        if at % 30 == 29 {
            town.start(house);
        }
    }
    let steps = town.steps;
    let took = town.until(10_000, |town| (0..4).all(|house| town.lost_or_doubled(house).is_none()));
    match town.violation() {
        Some(violation) => Err(violation.to_owned()),
        None if took.is_none() => Err(format!("no progress\n{:#?}", town.houses)),
        None => Ok(steps),
    }
}

#[test]
fn b10_a_validator_may_die_at_any_step_and_says_nothing_twice() {
    for house in [0, 1] {
        let steps = day(house, None, None).unwrap();
        assert!(steps > 40, "{steps}");
        for step in 1..=steps {
            for keeps in [false, true] {
                let trap = Trap { house, step, keeps };
                if let Err(what) = day(house, Some(trap), None) {
                    panic!("{trap:?} of {steps}: {what}");
                }
            }
        }
        println!("validator {house}: {steps} steps, died at each with its unsynced writes and without");
    }
}

#[test]
fn b10_a_message_that_does_not_wait_for_its_write_is_noticed() {
    let noticed = day(1, None, Some(Mutant::SendBeforeDurable)).unwrap_err();
    assert!(noticed.contains("before it was durable"), "{noticed}");
}

/// Every field of the record against a memory one below, equal, equal but for the block, and one above.
#[test]
fn b12_the_echo_is_judged_to_the_exact_number() {
    let kit = fast(1);
    let block = |name: &str| Digest::tagged(name.as_bytes(), &[]);
    let mut record = kit.fresh_record(0);
    record.last_prepare = Some(Slot { rank: rank(2, 5), digest: block("prepared") });
    record.high_qc = HighQc::Qc(kit.cert(VoteKind::Prepare, rank(2, 4), block("certified")));
    record.vc_view = View::new(3);
    let lane = kit.batch(0, 7, Digest::ZERO, 1);
    record.lane = Some((7, lane.header.digest()));
    let prepare = |rank: Rank, name| VoteEcho {
        prepare: Some(kit.vote(VoteKind::Prepare, rank, block(name), 0)),
        ..VoteEcho::default()
    };
    let commit = |rank: Rank, name| VoteEcho {
        commit: Some(kit.vote(VoteKind::Commit, rank, block(name), 0)),
        ..VoteEcho::default()
    };
    let asked = |view| {
        let (_, claim, signature) = kit.claim(view, kit.base_qc().claim(), 0);
        VoteEcho { view_change: Some((View::new(view), claim, signature)), ..VoteEcho::default() }
    };
    let batch =
        |seq, count| VoteEcho { lane: Some(kit.batch(0, seq, Digest::ZERO, count)), ..VoteEcho::default() };
    let rows = [
        ("PREPARE, a height below", prepare(rank(2, 4), "x"), false),
        ("PREPARE, equal", prepare(rank(2, 5), "prepared"), false),
        ("PREPARE, equal but another block", prepare(rank(2, 5), "x"), true),
        ("PREPARE, a height above", prepare(rank(2, 6), "x"), true),
        ("PREPARE, a view below and far higher", prepare(rank(1, 99), "x"), false),
        ("PREPARE, a view above and lower", prepare(rank(3, 1), "x"), true),
        ("COMMIT, a height below", commit(rank(2, 3), "x"), false),
        ("COMMIT, equal", commit(rank(2, 4), "certified"), false),
        ("COMMIT, equal but another block", commit(rank(2, 4), "x"), true),
        ("COMMIT, a height above", commit(rank(2, 5), "x"), true),
        ("COMMIT, a view below and far higher", commit(rank(1, 99), "x"), false),
        ("COMMIT, a view above and lower", commit(rank(3, 1), "x"), true),
        ("VIEW-CHANGE, below", asked(2), false),
        ("VIEW-CHANGE, equal", asked(3), false),
        ("VIEW-CHANGE, above", asked(4), true),
        ("batch, below", batch(6, 9), false),
        ("batch, equal", batch(7, 1), false),
        ("batch, equal but another", batch(7, 2), true),
        ("batch, above", batch(8, 1), true),
    ];
    for (what, echo, outranks) in rows {
        assert_eq!(record.is_outranked_by(&echo), outranks, "{what}");
        // And so for the engine, whoever of the peers remembers, first or last.
        for rememberer in [1, 3] {
            let mut table = Table::with(fast(1), vec![present(record.clone())]);
            table.watched = false;
            for from in 1..4 {
                let memory = if from == rememberer { echo.clone() } else { VoteEcho::default() };
                table.tell(from, 0, Message::Echo(Box::new(memory)));
            }
            let seat = &table.seats[0];
            assert_eq!((seat.engine.voting(), seat.engine.lost().is_some()), (!outranks, outranks), "{what}");
            let told = seat.alarms == [Alarm::VoteEcho { peer: ix(rememberer) }];
            assert_eq!(told, outranks, "{what}");
        }
    }
}

/// A validator voted on one branch of a lying leader, and learns by sync that the other one is final.
#[test]
fn b13_sync_hands_over_without_a_second_vote() {
    let mut table = Table::alone(fast(1));
    let kit = fast(1);
    let common = kit.chain(&kit.genesis(), 0, 1);
    let tip = kit.genesis().after(&common[0]);
    let mine = kit.chain(&tip, 0, 1).remove(0);
    let mut theirs = vec![common[0].clone(), rival(&kit, &mine)];
    let tip = tip.after(&theirs[1]);
    theirs.extend(kit.chain(&tip, 0, 2));
    table.tell(1, 0, propose(&common[0]));
    table.tell(1, 0, propose(&mine));
    let before = record(&table).last_prepare;
    assert_eq!(before, Some(Slot::of(&mine.header)));
    let answer = Message::Blocks {
        blocks: theirs[..3].to_vec(),
        suffixes: Vec::new(),
        certificate: Box::new(kit.cert_of(VoteKind::Commit, &theirs[2].header)),
    };
    for _ in 0..2 {
        table.tell(2, 0, answer.clone());
    }
    assert_eq!(table.committed(0), 3);
    // The next block of the same view: every one of its ancestors is final, and yet it is on another branch.
    table.tell(1, 0, propose(&theirs[3]));
    table.tell(2, 0, propose(&theirs[1]));
    table.pass_ms(1_500);
    let own: Vec<(u64, Digest)> =
        votes(&table, VoteKind::Prepare).iter().map(|vote| (vote.height.get(), vote.digest)).collect();
    let allowed = [&common[0], &mine].map(|block| (block.header.height.get(), block.header.digest()));
    assert!(own.iter().all(|vote| allowed.contains(vote)), "{own:?}");
    assert_eq!(record(&table).last_prepare, before, "sync does not edit the record");
    // The next view is common ground again.
    let qc = HighQc::Qc(kit.cert_of(VoteKind::Prepare, &theirs[2].header));
    let known: Vec<_> = (1..4).map(|signer| (signer, qc.clone())).collect();
    let tc = kit.timeout(1, &known);
    let header = kit.header(&tip.after(&theirs[2]), 1, Flags::NONE);
    let first = kit.propose(header, Some(Justification::Timeout(Box::new(tc))));
    table.tell(2, 0, propose(&first));
    assert_eq!(votes(&table, VoteKind::Prepare).last().map(|vote| vote.digest), Some(first.header.digest()));
}

/// All that left it since is a batch, and the batch is final: nobody holds it any more, and it is remembered.
#[test]
fn b14_a_batch_that_was_ordered_since_betrays_a_restored_snapshot() {
    let mut town = Town::awake(4, 0);
    let snapshot = town.houses[3].disk.clone();
    town.only(|from, _, message| from != ix(3) || !matches!(message, Message::Vote(..)));
    assert!(town.submit(3));
    town.pass_ms(400);
    town.stop(3, true);
    town.houses[3].disk = snapshot;
    town.wipe_ledger(3);
    town.all();
    town.start(3);
    town.pass_ms(200);
    let engine = town.engine(3);
    assert!(!engine.voting() && engine.lost().is_some());
}

#[test]
fn b14_a_restored_snapshot_of_a_machine_never_votes() {
    let mut town = Town::awake(4, 0);
    let snapshot = town.houses[3].disk.clone();
    for round in 0..8 {
        assert!(town.submit(round % 4));
        town.pass_ms(40);
    }
    town.stop(3, true);
    town.houses[3].disk = snapshot;
    town.wipe_ledger(3);
    town.start(3);
    town.pass_ms(200);
    let engine = town.engine(3);
    assert!(!engine.voting() && engine.lost().is_some());
    assert!(town.houses[3].alarms.iter().any(|alarm| matches!(alarm, Alarm::VoteEcho { .. })));
    for round in 0..8 {
        assert!(town.submit(round % 3) && !town.submit(3));
        town.pass_ms(40);
    }
    town.pass_ms(2_000);
    assert!(!town.engine(3).voting());
    assert!(town.committed(3) > 8 && town.committed(3) == town.committed(0), "it follows");
    assert_eq!(town.violation(), None, "and has signed nothing");
}

/// A second machine is started with a copy of the key and the data, while the first goes on.
#[test]
fn b14_one_key_on_two_machines_is_noticed_by_the_second_at_its_start() {
    let mut town = Town::awake(4, 0);
    let copy = town.houses[3].disk.durable().clone();
    for round in 0..6 {
        assert!(town.submit(round % 4));
        town.pass_ms(40);
    }
    let signer = town.kit.signer(3);
    let restored = city_sim::kit::town::restored(&copy, &town.kit.genesis());
    let mut second = consensus::Engine::new(
        consensus::Params::default(),
        town.kit.judge(),
        Some((ix(3), signer)),
        restored,
    );
    let now = Now { mono_ms: town.now_ms, wall_ms: city_sim::kit::WALL_MS + town.now_ms };
    let mut out = Vec::new();
    second.handle(now, Event::Tick, &mut out);
    for peer in 0..3 {
        let mut said = Vec::new();
        let engine = town.houses[peer].engine.as_mut().unwrap();
        engine.handle(now, Event::Connected(ix(3)), &mut said);
        for action in said {
            if let Action::Send { message, .. } = action {
                let from = ix(u16::try_from(peer).unwrap());
                second.handle(now, Event::Message { from, message }, &mut out);
            }
        }
    }
    let signed = |action: &Action| match action {
        Action::Send { message, .. } => matches!(**message, Message::Vote(..) | Message::ViewChange(_)),
        Action::Sealed { .. } => true,
        _ => false,
    };
    assert!(!second.voting() && second.lost().is_some());
    assert!(!out.iter().any(signed));
    // The first is none the worse for it.
    assert!(town.engine(3).voting());
    assert!(town.submit(3));
    assert!(town.until(2_000, |town| (0..4).all(|house| town.lost_or_doubled(house).is_none())).is_some());
    assert_eq!(town.violation(), None);
}
