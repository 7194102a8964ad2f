//! The end of an epoch and the beginning of the next (docs/protocol.md, 10).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::{Flags, Header};
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, View};
use city_sim::kit::table::{Table, present};
use city_sim::kit::{Kit, ix};
use consensus::action::{Alarm, Write};
use consensus::engine::Tip;
use consensus::event::Event;
use consensus::message::{Message, VoteEcho};

/// Four validators whose execution of height 1 schedules a set of five.
fn about_to_close() -> (Table, Digest) {
    let mut table = Table::new(4);
    let next = Kit::on("kit", Epoch::new(1), 5).committee.hash();
    table.schedule = Some((Height::new(1), next));
    (table, next)
}

/// Whether a message is a COMMIT.
fn commits(message: &Message) -> bool {
    matches!(message, Message::Vote(vote, _) if vote.kind == VoteKind::Commit)
}

fn is_closed(table: &Table) -> bool {
    table.seats.iter().all(|seat| seat.engine.is_closed())
}

/// Lets the epoch close while COMMITs for the closing block and the first Suffixes are lost.
fn close_through_suffixes(lost: usize) -> Table {
    let (mut table, _) = about_to_close();
    let mut waited = 0;
    let mut ended = std::collections::BTreeSet::new();
    table.meet();
    while !is_closed(&table) {
        table.pass_ms_by(100, |_, _, message| {
            if let Message::Propose(proposal) = message
                && (proposal.header.flags.contains(Flags::CLOSING)
                    || proposal.header.flags.contains(Flags::SUFFIX))
            {
                ended.insert((proposal.header.height, proposal.header.digest()));
            }
            match message {
                Message::Vote(vote, _) if commits(message) => {
                    !ended.iter().take(lost).any(|(_, digest)| *digest == vote.digest)
                }
                _ => true,
            }
        });
        waited += 100;
        assert!(waited < 120_000, "the epoch does not close");
    }
    table
}

#[test]
fn the_first_block_that_certifies_the_scheduling_height_closes_the_epoch() {
    let (mut table, next) = about_to_close();
    table.connect();
    table.pass_ms(3_000);
    assert!(is_closed(&table));
    let closing = table.seats[0].delivered.last().unwrap().header.clone();
    assert!(closing.flags.contains(Flags::CLOSING) && closing.is_empty());
    assert_eq!(closing.next_validators_hash, next);
    assert!(closing.exec_height >= Height::new(1));
    for seat in &table.seats {
        assert_eq!(seat.delivered.last().unwrap().header, closing);
        let proof = seat.closing().unwrap();
        assert_eq!(proof.verify(table.kit.chain_id, &table.kit.committee).unwrap(), &closing);
        assert!(seat.alarms.is_empty());
        let before = seat.delivered.iter().rev().skip(1);
        assert!(
            before.map(|one| &one.header).all(
                |one| one.exec_height < Height::new(1) && one.next_validators_hash == one.validators_hash
            )
        );
    }
    // Nothing follows in this epoch.
    let sent = table.seats[0].signed(ix(0)).len();
    table.pass_ms(60_000);
    assert_eq!(table.seats[0].signed(ix(0)).len(), sent);
    assert_eq!(table.seats[0].engine.committed().height, closing.height);
}

#[test]
fn a_view_change_at_the_closing_block_makes_it_final_through_a_suffix() {
    for lost in 1..=3 {
        let table = close_through_suffixes(lost);
        let mut closings = std::collections::BTreeSet::new();
        for seat in &table.seats {
            let proof = seat.closing().unwrap();
            assert!(proof.headers.len() > 1, "{lost} lost: {:?}", proof.headers.len());
            proof.verify(table.kit.chain_id, &table.kit.committee).unwrap();
            let last = &seat.delivered.last().unwrap().header;
            assert_eq!(proof.headers[0], *last);
            closings.insert(last.digest());
            assert!(seat.alarms.is_empty(), "{:?}", seat.alarms);
            // A Suffix is never delivered and never counted among the final blocks.
            let finals = seat.written.iter().filter_map(|write| match write {
                Write::Commit { blocks, .. } => Some(blocks),
                _ => None,
            });
            assert!(finals.flatten().all(|one| !one.flags.contains(Flags::SUFFIX)));
        }
        assert_eq!(closings.len(), 1);
    }
}

#[test]
fn one_that_missed_the_end_is_told_and_fetches_it() {
    for lost in [0, 2] {
        let (mut table, _) = about_to_close();
        if lost > 0 {
            table = close_through_suffixes(lost);
        } else {
            table.connect();
            table.pass_ms(3_000);
        }
        assert!(is_closed(&table));
        let proof = table.seats[0].closing().unwrap();
        let blocks: Vec<_> = table.seats[0]
            .delivered
            .iter()
            .map(|one| table.seats[0].block(&one.header.digest()).unwrap().clone())
            .collect();
        // A fifth engine of the same set, that knows nothing: validator 3 after losing its memory of the epoch.
        let kit = Kit::new(4);
        let mut late = Table::alone(kit);
        late.tell(1, 0, Message::Closing(Box::new(proof.clone())));
        let asks = |table: &Table| {
            table.queue.iter().any(|(_, _, message)| matches!(message, Message::GetBlocks { .. }))
        };
        assert!(asks(&late), "it asks for the blocks");
        let answer = |suffixes: Vec<Header>| Message::Blocks {
            blocks: blocks.clone(),
            suffixes,
            certificate: Box::new(proof.certificate.clone()),
        };
        if lost > 0 {
            // Without the Suffixes the certificate is over an unknown block, and with a gap in them, too.
            late.tell(1, 0, answer(Vec::new()));
            assert!(!late.seats[0].engine.is_closed());
            late.tell(1, 0, answer(proof.headers[2..].to_vec()));
            assert!(!late.seats[0].engine.is_closed());
        }
        late.tell(1, 0, answer(proof.headers[1..].to_vec()));
        assert!(late.seats[0].engine.is_closed());
        assert_eq!(late.seats[0].closing(), Some(proof));
    }
}

/// Five validators who have executed the closing block of four, and know nothing of each other yet.
fn next_epoch() -> (Table, Tip) {
    let old = close_through_suffixes(1);
    let closing = old.seats[0].engine.committed().clone();
    let kit = old.kit.after(5, &closing);
    let starts = (0..5)
        .map(|me| {
            let record = old.kit.fresh_record(me);
            present(record.enter(Epoch::new(1), kit.base()).unwrap())
        })
        .collect();
    (Table::with(kit, starts), closing)
}

#[test]
fn the_next_epoch_begins_on_the_closing_block_with_the_new_set() {
    let (mut table, closing) = next_epoch();
    table.connect();
    table.pass_ms(5_000);
    for seat in &table.seats {
        let first = &seat.delivered[0].header;
        // The height of a Suffix of the epoch before.
        assert_eq!(first.height, closing.height.next());
        assert_eq!((first.epoch, first.view), (Epoch::new(1), View::ZERO));
        assert_eq!(first.parent, closing.digest);
        assert!(seat.engine.voting() && seat.alarms.is_empty());
    }
}

/// The leader opens the epoch before it knows what the others have executed. Whether records follow at once, so that a
/// quorum has executed more when it next names a height, or nothing at all: the closing block comes first, and soon.
#[test]
fn a_leader_certifies_the_execution_of_the_base_first() {
    for filed in [false, true] {
        let (mut table, closing) = next_epoch();
        let leader = table.kit.leader(0).get();
        table.meet();
        if filed {
            let batch = table.kit.batch((leader + 1) % 5, 0, Digest::ZERO, 1);
            (0..5).for_each(|me| table.feed(me, Event::BatchStored(batch.clone())));
        }
        table.pass_ms_by(5_000, |_, _, message| !matches!(message, Message::Status(_)));
        let before = closing.header.as_ref().unwrap().exec_height;
        for seat in &table.seats {
            let certified = seat.delivered.iter().map(|one| one.header.exec_height);
            let certified: Vec<Height> = certified.skip_while(|height| *height == before).collect();
            assert_eq!(certified.first(), Some(&closing.height), "{filed}");
            assert_eq!(
                seat.delivered[0].header.exec_height, before,
                "it knew nothing when it opened the epoch"
            );
            assert_eq!(seat.engine.view(), View::ZERO, "{filed}");
            assert_eq!(certified.len() > 1, filed, "{certified:?}");
        }
    }
}

/// Four validators of epoch 1, on a closing block at height 1 that certifies the genesis; validator 0 leads or does not.
fn on_the_first_block(leads: bool) -> Kit {
    let old = Kit::new(4);
    let closing = old.propose(old.header(&old.genesis(), 0, Flags::SEAL.with(Flags::CLOSING)), None);
    let closing = old.genesis().after(&closing);
    (0..100_u8)
        .map(|salt| old.after(4, &Tip { digest: Digest::tagged(&[salt], &[]), ..closing.clone() }))
        .find(|kit| (kit.leader(0) == ix(0)) == leads)
        .unwrap()
}

/// It heard of no execution but one above the base.
#[test]
fn a_leader_names_the_base_though_all_have_executed_more() {
    let mut table = Table::alone(on_the_first_block(true));
    let proposed = |table: &Table| -> Vec<Header> {
        let sent = table.seats[0].sent.iter().filter_map(|(_, message)| match message {
            Message::Propose(proposal) => Some(proposal.header.clone()),
            _ => None,
        });
        sent.collect()
    };
    table.pass_ms_by(50, |_, _, _| false);
    let first = proposed(&table).remove(0);
    assert_eq!(first.exec_height, Height::ZERO);
    for kind in [VoteKind::Prepare, VoteKind::Commit] {
        (1..4).for_each(|signer| table.tell(signer, 0, table.kit.vote_on(kind, &first, signer)));
    }
    assert_eq!(table.committed(0), 2);
    (1..4).for_each(|from| table.tell(from, 0, Message::Executed(Height::new(2))));
    table.pass_ms_by(200, |_, _, _| false);
    let next = proposed(&table).into_iter().find(|header| header.height > first.height);
    assert_eq!(next.map(|header| header.exec_height), Some(Height::new(1)));
}

#[test]
fn the_execution_of_the_base_is_certified_before_any_later_one() {
    for (exec_height, voted) in [(0, true), (1, true), (2, false)] {
        let (mut table, kit) = (Table::alone(on_the_first_block(false)), on_the_first_block(false));
        let leader = kit.leader(0).get();
        let first = kit.chain(&kit.genesis(), 0, 1).remove(0);
        table.tell(leader, 0, Message::Propose(Box::new(first.clone())));
        let commit = kit.cert_of(VoteKind::Commit, &first.header);
        table.tell(leader, 0, Message::Certificate(Box::new(commit)));
        assert_eq!(table.committed(0), 2);
        let mut header = kit.header(&kit.genesis().after(&first), 0, Flags::SEAL);
        header.exec_height = Height::new(exec_height);
        if exec_height > 0 {
            header.exec_root = city_sim::kit::table::summary(Height::new(exec_height)).root();
        }
        let digest = header.digest();
        table.tell(leader, 0, Message::Propose(Box::new(kit.propose(header, None))));
        let votes = |message: &&&Message| matches!(message, Message::Vote(vote, _) if vote.digest == digest);
        assert_eq!(table.seats[0].signed(ix(0)).iter().any(|one| votes(&one)), voted, "{exec_height}");
    }
}

#[test]
fn a_message_of_an_ended_epoch_is_answered_with_how_it_ended() {
    let (mut old, _) = about_to_close();
    old.connect();
    old.pass_ms(3_000);
    let kit = old.kit.after(5, old.seats[0].engine.committed());
    let record = old.kit.fresh_record(0).enter(Epoch::new(1), kit.base()).unwrap();
    let mut table = Table::with(kit, vec![present(record)]);
    let status = old.seats[1]
        .sent
        .iter()
        .rev()
        .find_map(|(_, message)| matches!(message, Message::Status(_)).then(|| message.clone()))
        .unwrap();
    table.queue.clear();
    table.seats[0].closings.push(old.seats[0].closing().unwrap());
    table.tell(1, 0, status.clone());
    table.tell(1, 0, status);
    let told: Vec<_> =
        table.queue.iter().filter(|(_, _, message)| matches!(message, Message::Closing(_))).collect();
    assert_eq!(told.len(), 1, "told once, not for each message");
}

#[test]
fn a_guest_of_an_ended_epoch_is_told_too_and_its_votes_count_for_nothing() {
    let (mut old, _) = about_to_close();
    old.connect();
    old.pass_ms(3_000);
    let kit = old.kit.after(5, old.seats[0].engine.committed());
    let record = old.kit.fresh_record(0).enter(Epoch::new(1), kit.base()).unwrap();
    let vote = |epoch: &Kit| epoch.vote(VoteKind::Prepare, city_sim::kit::rank(0, 9), Digest::ZERO, 1);
    let (earlier, present) = (vote(&old.kit), vote(&kit));
    let mut table = Table::with(kit, vec![city_sim::kit::table::present(record)]);
    table.seats[0].closings.push(old.seats[0].closing().unwrap());
    table.queue.clear();
    table.tell(7, 0, Message::Vote(present, Height::ZERO));
    assert!(table.queue.is_empty(), "{:?}", table.queue);
    for _ in 0..3 {
        table.tell(7, 0, Message::Vote(earlier, Height::ZERO));
    }
    let told: Vec<_> = table.queue.iter().map(|(_, to, _)| *to).collect();
    assert_eq!(told, [ix(7)], "once, not for each message");
}

/// Found by simulation: one that was twenty epochs behind waited a second in each of them, since most of those who
/// could tell it how an epoch ended were validators of later ones only.
#[test]
fn the_end_of_an_epoch_may_be_told_by_a_guest() {
    let (mut old, _) = about_to_close();
    old.connect();
    old.pass_ms(3_000);
    let proof = old.seats[0].closing().unwrap();
    let mut table = Table::alone(old.kit);
    let mut forged = proof.clone();
    forged.headers[0].time_ms += 1;
    table.tell(7, 0, Message::Closing(Box::new(forged)));
    table.pass_ms_by(100, |_, _, _| false);
    let asks = |table: &Table| {
        table.seats[0].sent.iter().any(|(_, message)| matches!(message, Message::GetBlocks { .. }))
    };
    assert!(!asks(&table), "a forged one moves nothing");
    table.tell(7, 0, Message::Closing(Box::new(proof)));
    assert!(asks(&table), "what it proves is fetched");
}

#[test]
fn a_record_enters_an_epoch_once_and_only_forward() {
    let kit = Kit::new(4);
    let record = kit.fresh_record(0);
    let base = (Height::new(9), Digest::tagged(b"base", &[]));
    assert!(record.enter(Epoch::ZERO, base).is_none());
    let entered = record.enter(Epoch::new(2), base).unwrap();
    assert_eq!((entered.epoch, entered.key), (Epoch::new(2), record.key));
    assert!(entered.enter(Epoch::new(1), base).is_none());
    // A record of another epoch votes for nothing.
    let table = Table::with(kit, vec![present(entered)]);
    assert!(table.seats[0].engine.lost().is_some_and(|refusal| refusal.detail.contains("epoch")));
    assert!(!table.seats[0].engine.voting());
}

#[test]
fn a_vote_of_mine_in_a_later_epoch_ends_my_voting() {
    let kit = Kit::new(4);
    let later = Kit::on("kit", Epoch::new(1), 4);
    let vote = |signer| later.vote(VoteKind::Prepare, city_sim::kit::rank(0, 4), Digest::ZERO, signer);
    let echo = |signer| VoteEcho { epoch: Epoch::new(1), prepare: Some(vote(signer)), ..VoteEcho::default() };
    let mut table = Table::alone(kit);
    // What another signed is nothing to me, nor is what I signed in this epoch, whatever epoch a peer says it is in.
    let present = table.kit.vote(VoteKind::Commit, city_sim::kit::rank(0, 4), Digest::ZERO, 0);
    let framed = VoteEcho { epoch: Epoch::new(1), commit: Some(present), ..VoteEcho::default() };
    for harmless in [echo(2), framed] {
        table.tell(1, 0, Message::Echo(Box::new(harmless)));
        assert!(table.seats[0].engine.voting());
    }
    table.tell(1, 0, Message::Echo(Box::new(echo(0))));
    assert!(!table.seats[0].engine.voting());
    assert_eq!(table.seats[0].alarms, [Alarm::VoteEcho { peer: ix(1) }]);
}

#[test]
fn a_block_that_ends_the_epoch_wrongly_gets_no_vote() {
    let next = Kit::on("kit", Epoch::new(1), 5).committee.hash();
    // What the leader proposes as block 2 after block 1 was final and executed, and whether it gets a vote.
    type Edit = fn(&mut Header, Digest);
    let closing = Flags::SEAL.with(Flags::CLOSING);
    let cases: [(&str, Edit, bool); 6] = [
        ("the right closing block", |header, next| header.next_validators_hash = next, true),
        ("another set", |header, _| header.next_validators_hash = Digest::tagged(b"other", &[]), false),
        ("the present set", |_, _| (), false),
        ("no closing block", |header, _| header.flags = Flags::SEAL, false),
        (
            "a suffix of nothing",
            |header, next| {
                header.flags = Flags::SEAL.with(Flags::SUFFIX);
                header.next_validators_hash = next;
            },
            false,
        ),
        (
            "an open block that names the next set",
            |header, next| {
                header.flags = Flags::SEAL;
                header.next_validators_hash = next;
            },
            false,
        ),
    ];
    for (name, edit, voted) in cases {
        let kit = Kit::led_by(4, 1);
        let mut table = Table::alone(kit);
        table.schedule = Some((Height::new(1), next));
        let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
        table.tell(1, 0, Message::Propose(Box::new(first.clone())));
        let commit = table.kit.cert_of(VoteKind::Commit, &first.header);
        table.tell(1, 0, Message::Certificate(Box::new(commit)));
        assert_eq!(table.committed(0), 1);
        let tip = table.kit.genesis().after(&first);
        let mut header = table.kit.header(&tip, 0, closing);
        header.exec_height = Height::new(1);
        header.exec_root = city_sim::kit::table::summary(Height::new(1)).root();
        edit(&mut header, next);
        let digest = header.digest();
        table.tell(1, 0, Message::Propose(Box::new(table.kit.propose(header, None))));
        let has = table.seats[0]
            .signed(ix(0))
            .iter()
            .any(|message| matches!(message, Message::Vote(vote, _) if vote.digest == digest));
        assert_eq!(has, voted, "{name}");
    }
}

#[test]
fn nothing_but_a_suffix_of_a_later_view_stands_on_a_closing_block() {
    let next = Kit::on("kit", Epoch::new(1), 5).committee.hash();
    let kit = Kit::led_by(4, 1);
    let mut table = Table::alone(kit);
    table.schedule = Some((Height::new(1), next));
    let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, Message::Propose(Box::new(first.clone())));
    let commit = table.kit.cert_of(VoteKind::Commit, &first.header);
    table.tell(1, 0, Message::Certificate(Box::new(commit)));
    let tip = table.kit.genesis().after(&first);
    let mut header = table.kit.header(&tip, 0, Flags::SEAL.with(Flags::CLOSING));
    header.exec_height = Height::new(1);
    header.exec_root = city_sim::kit::table::summary(Height::new(1)).root();
    header.next_validators_hash = next;
    let closing = table.kit.propose(header, None);
    let tip = tip.after(&closing);
    table.tell(1, 0, Message::Propose(Box::new(closing)));
    // In its own view nothing may follow, not even a Suffix.
    for flags in [Flags::SEAL, Flags::SEAL.with(Flags::SUFFIX)] {
        let mut header = table.kit.header(&tip, 0, flags);
        header.next_validators_hash = next;
        let child = table.kit.propose(header, None);
        table.tell(1, 0, Message::Propose(Box::new(child.clone())));
        let voted = table.seats[0]
            .signed(ix(0))
            .iter()
            .any(|message| matches!(message, Message::Vote(vote, _) if vote.digest == child.header.digest()));
        assert!(!voted);
    }
    assert_eq!(table.committed(0), 1);
    assert!(!table.seats[0].engine.is_closed());
    table.feed(0, Event::Tick);
}
