//! A block that is here while one of its ancestors is not: the ancestor is asked for as long as somebody needs
//! it. Found by simulation: four validators, one of them without its record, and a leader that had asked for
//! the ancestor once, in vain, held up the chain for ever.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::Flags;
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::Height;
use chain_core::lane::LaneAdvance;
use city_sim::kit::table::Table;
use city_sim::kit::{Kit, ix};
use consensus::action::Peers;
use consensus::event::Event;
use consensus::message::{EntryProof, HighQc, Message, Proposal};

/// A request is forgotten after this long, milliseconds.
const FORGOTTEN_MS: u64 = 6_000;

fn propose(proposal: &Proposal) -> Message {
    Message::Propose(Box::new(proposal.clone()))
}

/// To whom engine 0 sent a request for this block since the log was cleared.
fn asked_for(table: &Table, digest: &Digest) -> Vec<Peers> {
    let asks = |message: &Message| matches!(message, Message::GetProposal { digest: one } if one == digest);
    table.seats[0].sent.iter().filter(|(_, message)| asks(message)).map(|(to, _)| *to).collect()
}

/// Engine 0 holds the second block of view 0, and its request for the first one is forgotten.
fn without_the_first(kit: Kit) -> (Table, Vec<Proposal>) {
    let mut table = Table::alone(kit);
    let leader = table.kit.leader(0).get();
    let blocks = table.kit.chain(&table.kit.genesis(), 0, 2);
    table.tell(leader, 0, propose(&blocks[1]));
    // No peer is heard any more, so the view stands.
    table.pass_ms_by(FORGOTTEN_MS, |_, _, _| false);
    assert!(!asked_for(&table, &blocks[0].header.digest()).is_empty(), "it is asked for at first");
    table.seats[0].sent.clear();
    (table, blocks)
}

#[test]
fn a_leader_asks_for_the_missing_ancestor_of_what_it_must_build_on() {
    // Validator 0 leads view 1.
    let (mut table, blocks) = without_the_first(Kit::led_by(4, 3));
    // The test speaks for a quorum, whose VIEW-CHANGEs nobody at the table sent.
    table.watched = false;
    let best = HighQc::Qc(table.kit.cert_of(VoteKind::Prepare, &blocks[1].header));
    let known: Vec<_> = (1..4).map(|signer| (signer, best.clone())).collect();
    let tc = table.kit.timeout(1, &known);
    table.tell(2, 0, Message::Entry(EntryProof::Timeout(Box::new(tc))));
    table.pass_ms_by(500, |_, _, _| false);
    let missing = blocks[0].header.digest();
    assert!(!asked_for(&table, &missing).is_empty(), "it asks for the ancestor");
    table.tell(2, 0, propose(&blocks[0]));
    let first = table.seats[0].sent.iter().find_map(|(_, message)| match message {
        Message::Propose(proposal) if proposal.header.proposer == ix(0) => Some(proposal),
        _ => None,
    });
    assert_eq!(first.map(|proposal| proposal.header.parent), Some(blocks[1].header.digest()));
}

#[test]
fn a_voter_asks_for_the_missing_ancestor_when_the_leader_repeats_itself() {
    let (mut table, blocks) = without_the_first(Kit::led_by(4, 3));
    for _ in 0..2 {
        table.tell(3, 0, propose(&blocks[1]));
        table.pass_ms_by(50, |_, _, _| false);
    }
    let missing = blocks[0].header.digest();
    assert_eq!(asked_for(&table, &missing), [Peers::One(ix(3))]);
}

/// Found by simulation: an author that signs three batches for one place of its lane shows two of them to one
/// validator and the third to the others, who order it.
#[test]
fn a_batch_that_was_ordered_is_taken_though_two_rivals_of_it_came_first() {
    let mut table = Table::alone(Kit::led_by(4, 1));
    let [first, second, third] = [1, 2, 3].map(|count| table.kit.batch(3, 0, Digest::ZERO, count));
    for rival in [&first, &second] {
        table.feed(0, Event::BatchStored(rival.clone()));
    }
    // One that nothing asks for is not kept beside them.
    let held = table.seats[0].engine.held().batches;
    table.feed(0, Event::BatchStored(third.clone()));
    assert_eq!(table.seats[0].engine.held().batches, held);
    let tip = third.header.digest();
    let mut header = table.kit.header(&table.kit.genesis(), 0, Flags::NONE);
    (header.n_batches, header.n_records, header.n_bytes) = (1, third.header.count, third.header.bytes);
    header.batches_root = chain_core::block::batches_root([&tip]);
    let block = table.kit.propose_advances(header, vec![LaneAdvance { author: ix(3), seq: 0, tip }]);
    table.tell(1, 0, propose(&block));
    let rank = city_sim::kit::rank(0, 1);
    for kind in [VoteKind::Prepare, VoteKind::Commit] {
        for signer in 1..4 {
            let vote = table.kit.vote(kind, rank, block.header.digest(), signer);
            table.tell(signer, 0, Message::Vote(vote, Height::ZERO));
        }
    }
    assert_eq!(table.seats[0].engine.committed().height, Height::new(1));
    assert!(table.seats[0].delivered.is_empty(), "its data is not here");
    table.pass_ms_by(500, |_, _, _| false);
    assert!(table.seats[0].fetched.iter().any(|(_, wanted, _)| wanted.digest == tip), "it is asked for");
    table.feed(0, Event::BatchStored(third));
    let delivered: Vec<_> = table.seats[0].delivered.iter().flat_map(|one| &one.batches).collect();
    assert_eq!(delivered.iter().map(|one| one.digest).collect::<Vec<_>>(), [tip]);
}

/// The leader that froze is the first that should have the data of its block: it is asked once, not every third time.
#[test]
fn whoever_was_not_heard_lately_is_asked_for_batches_last() {
    let mut table = Table::alone(Kit::led_by(4, 1));
    let batch = table.kit.batch(3, 0, Digest::ZERO, 1);
    let tip = batch.header.digest();
    // The first block of a view orders nothing.
    let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&first));
    let mut header = table.kit.header(&table.kit.genesis().after(&first), 0, Flags::NONE);
    header.flags = Flags::NONE;
    (header.n_batches, header.n_records, header.n_bytes) = (1, batch.header.count, batch.header.bytes);
    header.batches_root = chain_core::block::batches_root([&tip]);
    let block = table.kit.propose_advances(header, vec![LaneAdvance { author: ix(3), seq: 0, tip }]);
    table.tell(1, 0, propose(&block));
    for _ in 0..30 {
        table.pass_ms_by(100, |_, _, _| false);
        for heard in [2, 3] {
            table.tell(heard, 0, Message::Executed(Height::ZERO));
        }
    }
    let asked: Vec<u16> = table.seats[0].fetched.iter().map(|(.., holder)| holder.get()).collect();
    assert!(asked.len() > 6, "{asked:?}");
    assert_eq!(asked[0], 1, "its proposer, at first");
    assert!(asked[1..].iter().all(|holder| *holder != 1), "{asked:?}");
    assert!([2, 3].iter().all(|holder| asked.contains(holder)), "{asked:?}");
}

/// Found by simulation: a liar that signs every batch twice is the first to be asked for each, and answers with the other
/// one. A validator that executes an epoch anew asked it for a hundred of them, one after the other.
#[test]
fn an_author_that_signed_two_batches_for_one_place_is_asked_last() {
    let mut table = Table::alone(Kit::led_by(4, 1));
    let [here, rival] = [1, 2].map(|count| table.kit.batch(3, 0, Digest::ZERO, count));
    let next = table.kit.batch(3, 1, here.header.digest(), 1);
    let tip = next.header.digest();
    table.feed(0, Event::BatchStored(here));
    let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&first));
    let mut header = table.kit.header(&table.kit.genesis().after(&first), 0, Flags::NONE);
    header.flags = Flags::NONE;
    (header.n_batches, header.n_records, header.n_bytes) = (2, 2, 600);
    header.batches_root = chain_core::block::batches_root([&next.header.prev, &tip]);
    let block = table.kit.propose_advances(header, vec![LaneAdvance { author: ix(3), seq: 1, tip }]);
    table.tell(1, 0, propose(&block));
    let asked = |table: &mut Table| -> Vec<u16> {
        table.seats[0].fetched.clear();
        for _ in 0..30 {
            table.pass_ms_by(100, |_, _, _| false);
            (1..4).for_each(|from| table.tell(from, 0, Message::Executed(Height::ZERO)));
        }
        table.seats[0].fetched.iter().map(|(.., holder)| holder.get()).collect()
    };
    let before = asked(&mut table);
    assert!([1, 2, 3].iter().all(|holder| before.contains(holder)), "{before:?}");
    table.feed(0, Event::BatchStored(rival));
    let after = asked(&mut table);
    assert!([1, 2].iter().all(|holder| after.contains(holder)) && !after.contains(&3), "{after:?}");
}
