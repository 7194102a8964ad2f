//! What a leader owes and what nobody may blame it for (M8), and how an engine gets the data it lacks.

use chain_core::block::{self, Flags};
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Height, View};
use chain_core::lane::{BatchRef, LaneAdvance, SignedBatchHeader};
use city_sim::kit::table::Table;
use city_sim::kit::{Kit, ix, rank};
use consensus::Peers;
use consensus::engine::Tip;
use consensus::event::Event;
use consensus::message::{Message, Proposal, Status};
use consensus::params::Params;

/// Time passes; the peers keep saying that they are there, and nothing else.
fn pass_among_the_living(table: &mut Table, span_ms: u64, executed: u64) {
    for _ in 0..span_ms / 100 {
        for from in 1..4 {
            let status = Status {
                epoch: table.kit.epoch,
                view: View::ZERO,
                committed: Height::ZERO,
                executed: Height::new(executed),
                certificate: None,
                high_qc: None,
                awaits_echo: false,
            };
            table.tell(from, 0, Message::Status(Box::new(status)));
        }
        table.pass_ms(100);
    }
}

fn gave_up(table: &Table) -> bool {
    table.seats[0].sent.iter().any(|(_, message)| matches!(message, Message::ViewChange(_)))
}

fn name(batch: &SignedBatchHeader) -> BatchRef {
    BatchRef::of(&batch.header)
}

/// A record of this validator's own, as its next batch.
fn file(table: &mut Table, token: u64) {
    let payload_root = Digest::tagged(b"own", &[&token.to_be_bytes()]);
    table.feed(0, Event::LocalBatch { token, payload_root, bytes: 300, count: 1 });
}

/// A quorum votes for everything that engine 0 proposed.
fn vote_for_all(table: &mut Table) {
    let proposed: Vec<Proposal> = table.seats[0]
        .sent
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Propose(proposal) => Some((**proposal).clone()),
            _ => None,
        })
        .collect();
    let committed = table.committed(0);
    for proposal in proposed.iter().filter(|one| one.header.height.get() > committed) {
        let header = &proposal.header;
        let at = rank(header.view.get(), header.height.get());
        for kind in [VoteKind::Prepare, VoteKind::Commit] {
            for signer in 1..4 {
                let vote = table.kit.vote(kind, at, header.digest(), signer);
                table.tell(signer, 0, Message::Vote(vote, Height::ZERO));
            }
        }
    }
}

#[test]
fn another_lanes_batch_is_relayed_to_the_leader_and_owed_from_then_on() {
    let mut table = Table::alone(Kit::led_by(4, 1));
    let batch = table.kit.batch(2, 0, Digest::ZERO, 1);
    table.feed(0, Event::BatchStored(batch.clone()));
    pass_among_the_living(&mut table, 10_000, 0);
    assert_eq!(table.seats[0].pushed, [(Peers::One(ix(1)), name(&batch))]);
    assert!(gave_up(&table), "a leader that ignores what it was given loses its view");
}

#[test]
fn a_leader_that_was_given_nothing_owes_nothing() {
    let mut table = Table::alone(Kit::led_by(4, 1));
    pass_among_the_living(&mut table, 10_000, 0);
    assert!(table.seats[0].pushed.is_empty() && !gave_up(&table));
}

/// While a quorum has not executed what is final, nothing more is ordered, and nobody is to blame.
#[test]
fn a_leader_orders_no_faster_than_a_quorum_executes_and_is_not_blamed_for_it() {
    let mut table = Table::alone(Kit::led_by(4, 0));
    for token in 0..40 {
        file(&mut table, token);
        table.pass_ms(20);
        vote_for_all(&mut table);
    }
    let stopped_at = table.committed(0);
    assert!((8..=12).contains(&stopped_at), "8 blocks and those in flight, not {stopped_at}");
    pass_among_the_living(&mut table, 10_000, 0);
    assert_eq!(table.committed(0), stopped_at);
    assert!(!gave_up(&table));
    pass_among_the_living(&mut table, 200, stopped_at);
    vote_for_all(&mut table);
    assert!(table.committed(0) > stopped_at, "it goes on once they have");
}

/// Whoever knows of final blocks that are still on their way blames no leader: it could not vote in the
/// view that it gave up.
#[test]
fn a_validator_that_is_behind_gives_up_on_nobody() {
    let mut table = Table::alone(Kit::led_by(4, 1));
    let far = table.kit.cert(VoteKind::Commit, rank(0, 9), Digest::tagged(b"far", &[]));
    file(&mut table, 0);
    table.tell(1, 0, Message::Certificate(Box::new(far)));
    pass_among_the_living(&mut table, 10_000, 0);
    assert!(!gave_up(&table));

    let mut table = Table::alone(Kit::led_by(4, 1));
    file(&mut table, 0);
    pass_among_the_living(&mut table, 10_000, 0);
    assert!(gave_up(&table), "the same record is owed to one that is not behind");
}

/// Batches of these lanes in turn, and as many final blocks with one each after the opening one.
fn in_turn(kit: &Kit, authors: &[u16], count: usize) -> (Vec<SignedBatchHeader>, Vec<Proposal>) {
    let mut tip = kit.genesis();
    let opening = kit.propose(kit.header(&tip, 0, Flags::NONE), None);
    tip = tip.after(&opening);
    let (mut batches, mut blocks) = (Vec::<SignedBatchHeader>::new(), vec![opening]);
    for at in 0..count {
        let before = at.checked_sub(authors.len()).map(|at| &batches[at].header);
        let (seq, prev) = before.map_or((0, Digest::ZERO), |one| (one.seq + 1, one.digest()));
        let batch = kit.batch(authors[at % authors.len()], seq, prev, 1);
        let block = ordering(kit, &tip, &batch);
        tip = tip.after(&block);
        batches.push(batch);
        blocks.push(block);
    }
    (batches, blocks)
}

/// The block that orders one batch.
fn ordering(kit: &Kit, parent: &Tip, batch: &SignedBatchHeader) -> Proposal {
    let tip = batch.header.digest();
    let mut header = kit.header(parent, 0, Flags::NONE);
    header.flags = Flags::NONE;
    (header.n_batches, header.n_records, header.n_bytes) = (1, batch.header.count, batch.header.bytes);
    header.batches_root = block::batches_root([&tip]);
    kit.propose_advances(
        header,
        vec![LaneAdvance { author: batch.header.author, seq: batch.header.seq, tip }],
    )
}

/// Gives engine 0 final blocks as sync answers do.
fn sync(table: &mut Table, blocks: &[Proposal]) {
    for part in blocks.chunks(128) {
        let last = &part[part.len() - 1].header;
        let certificate = table.kit.cert_of(VoteKind::Commit, last);
        let message = Message::Blocks {
            blocks: part.to_vec(),
            suffixes: Vec::new(),
            certificate: Box::new(certificate),
        };
        table.tell(1, 0, message);
    }
}

/// Nobody waits for the certificate of an execution as for a record: a leader that is short of time keeps its view
/// for a while longer, and loses it in the end.
#[test]
fn the_cover_of_an_execution_is_owed_with_more_patience_than_a_block() {
    let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
    let params = Params::default();
    let (batches, blocks) = in_turn(&kit, &[2], 1);
    let mut table = Table::alone(kit);
    table.feed(0, Event::BatchStored(batches[0].clone()));
    sync(&mut table, &blocks);
    assert_eq!(table.seats[0].delivered.len(), 2, "the opening block and one with a record, both executed");
    pass_among_the_living(&mut table, params.timeout_base_max_ms - 100, 2);
    assert!(params.timeout_base_ms < params.timeout_base_max_ms - 100 && !gave_up(&table));
    pass_among_the_living(&mut table, 1_000, 2);
    assert!(gave_up(&table), "a leader that never covers it loses its view");
}

#[test]
fn the_data_of_final_blocks_is_fetched_with_one_request_a_lane() {
    let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
    let (batches, blocks) = in_turn(&kit, &[2], 300);
    let mut table = Table::alone(kit);
    sync(&mut table, &blocks);
    assert_eq!(table.committed(0), 301);
    assert_eq!(table.seats[0].delivered.len(), 1, "the opening block has no data");
    let asked = |table: &Table| table.seats[0].fetched.clone();
    // The first answer had 127 blocks with data; one request covers them, however often it looks.
    let first = asked(&table);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((first[0].0, first[0].1), (0, name(&batches[126])));
    for batch in &batches[..100] {
        table.feed(0, Event::BatchStored(batch.clone()));
    }
    assert_eq!(table.seats[0].delivered.len(), 101);
    assert_eq!(asked(&table).len(), 1, "each one that came would have been another request");
    for batch in &batches[100..127] {
        table.feed(0, Event::BatchStored(batch.clone()));
    }
    let second = asked(&table);
    assert_eq!(second.len(), 2, "all has come: the next run");
    assert_eq!((second[1].0, second[1].1), (127, name(&batches[254])));
    // Nothing comes: another validator is asked, and not too often.
    table.pass_ms(1_000);
    let later = asked(&table);
    assert!((4..=6).contains(&later.len()), "{later:?}");
    assert!(later[2..].iter().all(|one| one.1 == second[1].1));
    assert_ne!(later[2].2, second[1].2);
    // What came meanwhile is not asked for again.
    for batch in &batches[127..200] {
        table.feed(0, Event::BatchStored(batch.clone()));
    }
    table.pass_ms(1_000);
    let last = asked(&table);
    assert_eq!(last[last.len() - 1].0, 200);
    for batch in &batches[200..] {
        table.feed(0, Event::BatchStored(batch.clone()));
    }
    assert_eq!(table.seats[0].delivered.len(), 301);
    assert_eq!(table.seats[0].engine.held().fetches, 0, "nothing stays open");
}

#[test]
fn what_one_lane_holds_already_is_not_fetched_again_while_another_lags() {
    let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
    let (batches, blocks) = in_turn(&kit, &[2, 3], 120);
    let mut table = Table::alone(kit);
    for batch in batches[..60].iter().filter(|one| one.header.author == ix(2)) {
        table.feed(0, Event::BatchStored(batch.clone()));
    }
    sync(&mut table, &blocks);
    let asked: Vec<_> = table.seats[0].fetched.iter().map(|one| (one.1.author, one.0, one.1.seq)).collect();
    assert_eq!(asked, [(ix(2), 30, 59), (ix(3), 0, 59)]);
}
