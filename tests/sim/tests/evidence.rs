//! Two signed statements that contradict each other become evidence, once, against whoever signed both; what
//! the honest say never does (consensus 3.15, M13; reliability A1, A2, P9).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::Flags;
use chain_core::certificate::{Rank, VoteKind};
use chain_core::crypto::{Digest, Signature};
use chain_core::evidence::{Evidence, OffenceKind};
use chain_core::id::{Height, ValidatorIx};
use city_sim::campaign;
use city_sim::kit::table::{Table, summary};
use city_sim::kit::{Kit, WALL_MS, ix, rank};
use city_sim::sim::byzantine::Lie;
use city_sim::sim::faults::Level;
use city_sim::sim::random::Random;
use city_sim::sim::{Faults, Report, World};
use consensus::Params;
use consensus::action::Write;
use consensus::event::Event;
use consensus::message::{EntryProof, HighQc, Message, Proposal, Status, Vote};

/// Engine 0 of four alone at a table; validator 1 leads view 0.
fn alone() -> Table {
    Table::alone(Kit::led_by(4, 1))
}

fn propose(proposal: &Proposal) -> Message {
    Message::Propose(Box::new(proposal.clone()))
}

fn place(proposal: &Proposal) -> Rank {
    Rank { view: proposal.header.view, height: proposal.header.height }
}

fn cast(table: &mut Table, kind: VoteKind, proposal: &Proposal, signer: u16) {
    let vote = table.kit.vote(kind, place(proposal), proposal.header.digest(), signer);
    table.tell(signer, 0, Message::Vote(vote, Height::ZERO));
}

/// What engine 0 found: each piece verified against the validators' keys.
fn found(table: &Table) -> Vec<(ValidatorIx, OffenceKind)> {
    let verified = |one: &Evidence| {
        let offence = one.verify(table.kit.chain_id, &table.kit.committee).unwrap();
        (offence.offender, offence.kind)
    };
    table.seats[0].evidence.iter().map(verified).collect()
}

/// A block like another but for its time, by the same leader.
fn twin(table: &Table, proposal: &Proposal) -> Proposal {
    let mut header = proposal.header.clone();
    header.time_ms += 1;
    table.kit.propose(header, None)
}

/// Two blocks at height 1, and one on the second.
fn fork(table: &Table) -> (Proposal, Proposal, Proposal) {
    let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    let rival = twin(table, &first);
    let above = table.kit.chain(&table.kit.genesis().after(&rival), 0, 1).remove(0);
    (first, rival, above)
}

#[test]
fn two_blocks_for_one_slot_prove_the_leader() {
    let mut table = alone();
    let (first, rival, _) = fork(&table);
    for block in [&first, &first, &rival, &first, &rival] {
        table.tell(1, 0, propose(block));
    }
    assert_eq!(found(&table), [(ix(1), OffenceKind::Proposals)]);
}

#[test]
fn the_rival_may_come_with_the_blocks_of_a_sync_answer() {
    let mut table = alone();
    let (first, rival, _) = fork(&table);
    table.tell(1, 0, propose(&rival));
    let certificate = Box::new(table.kit.cert_of(VoteKind::Commit, &first.header));
    table.tell(2, 0, Message::Blocks { blocks: vec![first], suffixes: Vec::new(), certificate });
    assert_eq!(table.committed(0), 1);
    assert_eq!(found(&table), [(ix(1), OffenceKind::Proposals)]);
}

#[test]
fn two_votes_for_one_slot_prove_the_voter() {
    for (kind, offence) in
        [(VoteKind::Prepare, OffenceKind::Prepares), (VoteKind::Commit, OffenceKind::Commits)]
    {
        let mut table = alone();
        let (first, rival, _) = fork(&table);
        for block in [&first, &rival, &first, &rival] {
            cast(&mut table, kind, block, 3);
        }
        assert_eq!(found(&table), [(ix(3), offence)]);
    }
}

#[test]
fn a_vote_after_the_quorum_and_one_inside_a_certificate_count_too() {
    let mut table = alone();
    let (first, rival, _) = fork(&table);
    table.tell(1, 0, propose(&first));
    cast(&mut table, VoteKind::Prepare, &rival, 2);
    // A certificate of others' making shows what 2 told them.
    let certificate = table.kit.cert_by(VoteKind::Prepare, place(&first), first.header.digest(), &[1, 2, 3]);
    table.tell(1, 0, Message::Certificate(Box::new(certificate)));
    assert_eq!(found(&table), [(ix(2), OffenceKind::Prepares)]);
    // The block is final by COMMITs of 0, 1 and 2; 3 comes late, with two.
    cast(&mut table, VoteKind::Commit, &first, 1);
    cast(&mut table, VoteKind::Commit, &first, 2);
    assert_eq!(table.committed(0), 1);
    cast(&mut table, VoteKind::Commit, &first, 3);
    cast(&mut table, VoteKind::Commit, &rival, 3);
    assert_eq!(found(&table), [(ix(2), OffenceKind::Prepares), (ix(3), OffenceKind::Commits)]);
}

#[test]
fn a_forged_vote_proves_nothing_and_hides_nothing() {
    let mut table = alone();
    let (first, rival, _) = fork(&table);
    let forged = |block: &Proposal| Vote {
        signature: Signature::ZERO,
        ..table.kit.vote(VoteKind::Prepare, place(block), block.header.digest(), 3)
    };
    let (forged_first, forged_rival) = (forged(&first), forged(&rival));
    table.tell(3, 0, Message::Vote(forged_first, Height::ZERO));
    cast(&mut table, VoteKind::Prepare, &rival, 3);
    assert_eq!(found(&table), []);
    for forged in [forged_rival, forged_first] {
        table.tell(3, 0, Message::Vote(forged, Height::ZERO));
        assert_eq!(found(&table), []);
    }
    cast(&mut table, VoteKind::Prepare, &first, 3);
    assert_eq!(found(&table), [(ix(3), OffenceKind::Prepares)]);
}

#[test]
fn prepares_on_two_branches_of_one_view_prove_the_voter_in_any_order() {
    for order in 0..6 {
        let mut table = alone();
        let (first, rival, above) = fork(&table);
        // 2 votes for `first`, then for the block on its rival.
        let vote = |table: &mut Table, block| cast(table, VoteKind::Prepare, block, 2);
        let steps: [&dyn Fn(&mut Table); 3] =
            [&|table| vote(table, &first), &|table| vote(table, &above), &|table| {
                [&rival, &above].iter().for_each(|one| table.tell(1, 0, propose(one)))
            }];
        let turns = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for step in turns[order] {
            steps[step](&mut table);
        }
        table.pass_ms(100);
        assert_eq!(found(&table), [(ix(2), OffenceKind::VoteChain)], "order {order}");
    }
}

#[test]
fn a_forged_vote_between_two_branches_hides_nothing() {
    let mut table = alone();
    let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    let rivals = table.kit.chain(&table.kit.genesis().after(&twin(&table, &first)), 0, 2);
    for block in [&twin(&table, &first), &rivals[0], &rivals[1]] {
        table.tell(1, 0, propose(block));
    }
    cast(&mut table, VoteKind::Prepare, &first, 2);
    let mut forged = table.kit.vote(VoteKind::Prepare, rank(0, 2), Digest::tagged(b"nothing", &[]), 2);
    forged.signature = Signature::ZERO;
    table.tell(2, 0, Message::Vote(forged, Height::ZERO));
    cast(&mut table, VoteKind::Prepare, &rivals[1], 2);
    assert_eq!(found(&table), [(ix(2), OffenceKind::VoteChain)]);
}

#[test]
fn prepares_with_gaps_on_one_branch_prove_nothing() {
    let mut table = alone();
    let blocks = table.kit.chain(&table.kit.genesis(), 0, 6);
    for at in [0, 2, 5] {
        cast(&mut table, VoteKind::Prepare, &blocks[at], 2);
    }
    for block in &blocks {
        table.tell(1, 0, propose(block));
    }
    // Late, and out of order.
    for at in [4, 1, 3] {
        cast(&mut table, VoteKind::Prepare, &blocks[at], 2);
    }
    table.pass_ms(200);
    assert_eq!(found(&table), []);
}

/// COMMIT for a block of view 0, and a VIEW-CHANGE into view 1 that knows of no certificate.
fn forgetful(table: &Table) -> (Proposal, Message) {
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    let left = table.kit.view_change(1, table.kit.base_qc(), None, 3);
    (block, Message::ViewChange(Box::new(left)))
}

#[test]
fn leaving_a_view_below_ones_own_commit_is_amnesia() {
    let mut table = alone();
    let (block, left) = forgetful(&table);
    cast(&mut table, VoteKind::Commit, &block, 3);
    table.tell(3, 0, left.clone());
    table.tell(3, 0, left);
    assert_eq!(found(&table), [(ix(3), OffenceKind::Amnesia)]);
}

#[test]
fn committing_in_a_view_that_one_left_claiming_less_is_amnesia() {
    let mut table = alone();
    let (block, left) = forgetful(&table);
    table.tell(3, 0, left);
    cast(&mut table, VoteKind::Commit, &block, 3);
    cast(&mut table, VoteKind::Commit, &block, 3);
    assert_eq!(found(&table), [(ix(3), OffenceKind::Amnesia)]);
}

#[test]
fn what_a_timeout_certificate_claims_is_held_against_its_signers() {
    let mut table = alone();
    let (block, _) = forgetful(&table);
    cast(&mut table, VoteKind::Commit, &block, 3);
    let known = [1, 2, 3].map(|signer| (signer, table.kit.base_qc()));
    let proof = EntryProof::Timeout(Box::new(table.kit.timeout(1, &known)));
    table.tell(1, 0, Message::Entry(proof));
    assert_eq!(found(&table), [(ix(3), OffenceKind::Amnesia)]);
}

#[test]
fn leaving_a_view_with_what_one_committed_to_is_no_offence() {
    let mut table = alone();
    let (block, _) = forgetful(&table);
    cast(&mut table, VoteKind::Commit, &block, 3);
    let known = HighQc::Qc(table.kit.cert_of(VoteKind::Prepare, &block.header));
    let left = table.kit.view_change(1, known, None, 3);
    table.tell(3, 0, Message::ViewChange(Box::new(left)));
    // Nor is a COMMIT of the view that one asked for.
    let later = table.kit.vote(VoteKind::Commit, rank(1, 2), Digest::tagged(b"later", &[]), 3);
    table.tell(3, 0, Message::Vote(later, Height::ZERO));
    assert_eq!(found(&table), []);
}

#[test]
fn a_higher_claim_said_afterwards_takes_no_lower_one_back() {
    let mut table = alone();
    let (block, left) = forgetful(&table);
    table.tell(3, 0, left);
    let known = HighQc::Qc(table.kit.cert_of(VoteKind::Prepare, &block.header));
    table.tell(3, 0, Message::ViewChange(Box::new(table.kit.view_change(1, known, None, 3))));
    cast(&mut table, VoteKind::Commit, &block, 3);
    assert_eq!(found(&table), [(ix(3), OffenceKind::Amnesia)]);
}

#[test]
fn an_honest_view_change_hides_no_forgetful_one() {
    let mut table = alone();
    let (block, _) = forgetful(&table);
    cast(&mut table, VoteKind::Commit, &block, 3);
    let known = HighQc::Qc(table.kit.cert_of(VoteKind::Prepare, &block.header));
    table.tell(3, 0, Message::ViewChange(Box::new(table.kit.view_change(1, known, None, 3))));
    assert_eq!(found(&table), []);
    let entry = EntryProof::Timeout(Box::new(table.kit.timeout_on_base(1)));
    let left = table.kit.view_change(2, table.kit.base_qc(), Some(entry), 3);
    table.tell(3, 0, Message::ViewChange(Box::new(left)));
    assert_eq!(found(&table), [(ix(3), OffenceKind::Amnesia)]);
}

/// A COMMIT of the view that [`forgetful`] asks for.
fn commit_of_the_next_view(table: &Table) -> Message {
    let vote = table.kit.vote(VoteKind::Commit, rank(1, 2), Digest::tagged(b"later", &[]), 3);
    Message::Vote(vote, Height::ZERO)
}

#[test]
fn a_commit_of_the_view_asked_for_hides_none_of_the_view_left() {
    let mut table = alone();
    let (block, left) = forgetful(&table);
    let later = commit_of_the_next_view(&table);
    table.tell(3, 0, later);
    cast(&mut table, VoteKind::Commit, &block, 3);
    table.tell(3, 0, left);
    assert_eq!(found(&table), [(ix(3), OffenceKind::Amnesia)]);
}

#[test]
fn a_forged_commit_hides_no_amnesia() {
    let mut table = alone();
    let (block, left) = forgetful(&table);
    cast(&mut table, VoteKind::Commit, &block, 3);
    let mut forged = table.kit.vote(VoteKind::Commit, rank(0, 2), Digest::tagged(b"nothing", &[]), 3);
    forged.signature = Signature::ZERO;
    table.tell(3, 0, Message::Vote(forged, Height::ZERO));
    table.tell(3, 0, left);
    assert_eq!(found(&table), [(ix(3), OffenceKind::Amnesia)]);
}

#[test]
fn an_engine_accuses_nobody_with_its_own_key() {
    let mut table = alone();
    for count in [1, 2] {
        table.feed(0, Event::BatchStored(table.kit.batch(0, 0, Digest::ZERO, count)));
    }
    assert_eq!(found(&table), [], "another process with its key is its operator's affair");
}

#[test]
fn what_has_left_the_windows_is_forgotten_but_for_the_newest_commit() {
    const BLOCKS: usize = 40;
    let window = Params::default().window;
    let held = |table: &Table| table.seats[0].engine.held().statements as u64;
    let mut table = alone();
    let blocks = table.kit.chain(&table.kit.genesis(), 0, BLOCKS);
    cast(&mut table, VoteKind::Commit, &blocks[0], 3);
    for block in &blocks {
        table.tell(1, 0, propose(block));
        for kind in [VoteKind::Prepare, VoteKind::Commit] {
            [1, 2].into_iter().for_each(|signer| cast(&mut table, kind, block, signer));
        }
    }
    assert_eq!(table.committed(0), BLOCKS as u64);
    table.pass_ms(Params::default().status_ms + 100);
    let kept = 2 * 2 * 2 * window + 1;
    assert_eq!(held(&table), kept, "twice the window of two kinds of two voters, and one COMMIT");
    // What is said now about what is out of the windows is not even remembered.
    cast(&mut table, VoteKind::Prepare, &blocks[0], 3);
    assert_eq!(held(&table), kept);
    // Two views on nothing of view 0 is left but everybody's newest COMMIT; what they claimed stands beside it.
    let known = HighQc::Qc(table.kit.cert_of(VoteKind::Prepare, &blocks[BLOCKS - 1].header));
    let claims = [0, 1, 2].map(|signer| (signer, known.clone()));
    for view in [1, 2] {
        let proof = EntryProof::Timeout(Box::new(table.kit.timeout(view, &claims)));
        table.tell(1, 0, Message::Entry(proof));
    }
    table.pass_ms(Params::default().status_ms + 100);
    assert_eq!(table.seats[0].engine.view().get(), 2);
    let kept = 3 + 2 * 2;
    assert_eq!(held(&table), kept, "three COMMITs, two views that two of them left");
    cast(&mut table, VoteKind::Prepare, &blocks[BLOCKS - 1], 3);
    assert_eq!(held(&table), kept);
    // The COMMIT of long ago is still held against its signer.
    let entry = EntryProof::Timeout(Box::new(table.kit.timeout(2, &claims)));
    let left = table.kit.view_change(3, table.kit.base_qc(), Some(entry), 3);
    table.tell(3, 0, Message::ViewChange(Box::new(left)));
    assert_eq!(found(&table), [(ix(3), OffenceKind::Amnesia)]);
}

#[test]
fn of_the_views_that_somebody_leaves_the_newest_are_remembered() {
    let mut table = alone();
    for view in 1..=10 {
        let entry = (view > 1).then(|| EntryProof::Timeout(Box::new(table.kit.timeout_on_base(view - 1))));
        let left = table.kit.view_change(view, table.kit.base_qc(), entry, 3);
        table.tell(3, 0, Message::ViewChange(Box::new(left)));
    }
    assert_eq!(table.seats[0].engine.held().statements, 3 * 4, "four of each of the three others");
}

#[test]
fn so_many_offences_of_one_validator_are_told_and_no_more() {
    const VIEWS: u64 = 40;
    let mut table = alone();
    for view in 1..=VIEWS {
        let proof = EntryProof::Timeout(Box::new(table.kit.timeout_on_base(view)));
        table.tell(1, 0, Message::Entry(proof));
        for kind in [VoteKind::Prepare, VoteKind::Commit] {
            for name in [b"one", b"two"] {
                let vote = table.kit.vote(kind, rank(view, 1), Digest::tagged(name, &[]), 3);
                table.tell(3, 0, Message::Vote(vote, Height::ZERO));
            }
        }
    }
    assert_eq!(found(&table).len(), 64, "of {}", 2 * VIEWS);
}

#[test]
fn two_batches_for_one_position_prove_the_author() {
    let mut table = alone();
    let [one, other, third] = [1, 2, 3].map(|count| table.kit.batch(2, 0, Digest::ZERO, count));
    for batch in [&one, &one, &other, &third, &one] {
        table.feed(0, Event::BatchStored(batch.clone()));
    }
    let next = table.kit.batch(2, 1, one.header.digest(), 1);
    table.feed(0, Event::BatchStored(next));
    assert_eq!(found(&table), [(ix(2), OffenceKind::Lane)]);
}

#[test]
fn one_liar_can_make_an_engine_say_only_so_much() {
    let mut table = alone();
    // Two votes of each kind for each slot of the windows: one offence for each kind and view, whatever it does.
    for kind in [VoteKind::Prepare, VoteKind::Commit] {
        for (view, height) in (0..4).flat_map(|view| (1..40).map(move |height| (view, height))) {
            for name in [b"one", b"two"] {
                let vote = table.kit.vote(kind, rank(view, height), Digest::tagged(name, &[]), 3);
                table.tell(3, 0, Message::Vote(vote, Height::ZERO));
            }
        }
    }
    let views = |kind| found(&table).iter().filter(|(_, one)| *one == kind).count();
    assert_eq!((views(OffenceKind::Prepares), views(OffenceKind::Commits)), (2, 2), "views 0 and 1");
    let held = table.seats[0].engine.held().statements;
    assert_eq!(held, 2 * 2 * 32, "two kinds, two views, twice the window of heights");
}

/// Lets the others at the table certify and commit whatever engine 0 proposed last.
fn agree(table: &mut Table) {
    let last = table.seats[0].sent.iter().rev().find_map(|(_, message)| match message {
        Message::Propose(proposal) => Some((**proposal).clone()),
        _ => None,
    });
    let last = last.unwrap();
    for kind in [VoteKind::Prepare, VoteKind::Commit] {
        for signer in [1, 2] {
            cast(table, kind, &last, signer);
        }
    }
    assert_eq!(table.committed(0), last.header.height.get());
}

fn ordered_lanes(table: &Table) -> Vec<ValidatorIx> {
    let proposals = table.seats[0].sent.iter().filter_map(|(_, message)| match message {
        Message::Propose(proposal) => Some(&proposal.advances),
        _ => None,
    });
    proposals.flatten().map(|advance| advance.author).collect()
}

#[test]
fn m15_a_leader_advances_no_frozen_lane() {
    let mut table = Table::alone(Kit::led_by(4, 0));
    table.pass_ms(50);
    agree(&mut table);
    table.feed(0, Event::LaneFrozen(ix(2)));
    for author in [2, 3] {
        table.feed(0, Event::BatchStored(table.kit.batch(author, 0, Digest::ZERO, 1)));
    }
    table.pass_ms(50);
    assert_eq!(ordered_lanes(&table), [ix(3)]);
    assert!(table.seats[0].engine.lane_is_frozen(ix(2)) && !table.seats[0].engine.lane_is_frozen(ix(3)));
}

#[test]
fn m15_a_voter_looks_at_the_header_only() {
    let mut table = alone();
    let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    let batch = table.kit.batch(2, 0, Digest::ZERO, 1);
    table.feed(0, Event::BatchStored(batch.clone()));
    table.feed(0, Event::LaneFrozen(ix(2)));
    let mut header = table.kit.header(&table.kit.genesis().after(&first), 0, Flags::NONE);
    let digest = batch.header.digest();
    header.flags = Flags::NONE;
    (header.n_batches, header.n_records, header.n_bytes) = (1, 1, batch.header.bytes);
    header.batches_root = chain_core::block::batches_root([&digest]);
    let advance = chain_core::lane::LaneAdvance { author: ix(2), seq: 0, tip: digest };
    let block = table.kit.propose_advances(header, vec![advance]);
    table.tell(1, 0, propose(&first));
    table.tell(1, 0, propose(&block));
    let voted = |message: &&Message| matches!(message, Message::Vote(vote, _) if vote.digest == block.header.digest());
    assert_eq!(table.seats[0].signed(ix(0)).iter().filter(|one| voted(one)).count(), 1);
}

/// Whether engine 0 gives up on a leader that orders nothing of a lane for eight seconds; the lane may be frozen after some
/// tenths of a second.
fn blames_for_the_lane(author: u16, frozen: Option<u64>) -> bool {
    let mut table = alone();
    let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&first));
    for signer in [1, 2] {
        cast(&mut table, VoteKind::Prepare, &first, signer);
        cast(&mut table, VoteKind::Commit, &first, signer);
    }
    if author == 0 {
        let (payload_root, bytes, count) = (Digest::ZERO, 300, 1);
        table.feed(0, Event::LocalBatch { token: 1, payload_root, bytes, count });
    } else {
        table.feed(0, Event::BatchStored(table.kit.batch(author, 0, Digest::ZERO, 1)));
    }
    for tenth in 0..80 {
        if frozen == Some(tenth) {
            table.feed(0, Event::LaneFrozen(ix(author)));
        }
        table.pass_ms(100);
        for peer in 1..4 {
            let committed = Height::new(1);
            let status = Status {
                epoch: table.kit.epoch,
                view: table.seats[0].engine.view(),
                committed,
                executed: committed,
                certificate: None,
                high_qc: None,
                awaits_echo: false,
            };
            table.tell(peer, 0, Message::Status(Box::new(status)));
        }
    }
    let left = |message: &&Message| matches!(message, Message::ViewChange(_));
    table.seats[0].signed(ix(0)).iter().any(left)
}

#[test]
fn m08_m15_nothing_of_a_frozen_lane_is_owed() {
    for author in [0, 3] {
        assert!(blames_for_the_lane(author, None), "lane {author} is owed");
        for tenth in 0..4 {
            let blames = blames_for_the_lane(author, Some(tenth));
            assert!(!blames, "lane {author} is frozen, {tenth} tenths of a second after it was filled");
        }
    }
}

/// Whether engine 0 gives up on a leader that orders lane 2 block after block and passes lane 3 by.
fn blames_for_passing_by(frozen: bool) -> bool {
    let mut table = alone();
    let first = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    let mut tip = table.kit.genesis().after(&first);
    let agree_on = |table: &mut Table, block: &Proposal| {
        table.tell(1, 0, propose(block));
        for kind in [VoteKind::Prepare, VoteKind::Commit] {
            [1, 2].into_iter().for_each(|signer| cast(table, kind, block, signer));
        }
        assert_eq!(table.committed(0), block.header.height.get());
    };
    agree_on(&mut table, &first);
    table.feed(0, Event::BatchStored(table.kit.batch(3, 0, Digest::ZERO, 1)));
    if frozen {
        table.feed(0, Event::LaneFrozen(ix(3)));
    }
    let gave_up = |table: &Table| {
        table.seats[0].signed(ix(0)).iter().any(|message| matches!(message, Message::ViewChange(_)))
    };
    let mut prev = Digest::ZERO;
    for seq in 0..20 {
        if gave_up(&table) {
            return true;
        }
        let batch = table.kit.batch(2, seq, prev, 1);
        prev = batch.header.digest();
        table.feed(0, Event::BatchStored(batch.clone()));
        let mut header = table.kit.header(&tip, 0, Flags::NONE);
        header.flags = Flags::NONE;
        header.time_ms = WALL_MS + table.now_ms;
        (header.n_batches, header.n_records, header.n_bytes) = (1, 1, batch.header.bytes);
        header.batches_root = chain_core::block::batches_root([&prev]);
        (header.exec_height, header.exec_root) = (tip.height, summary(tip.height).root());
        let advance = chain_core::lane::LaneAdvance { author: ix(2), seq, tip: prev };
        let block = table.kit.propose_advances(header, vec![advance]);
        agree_on(&mut table, &block);
        tip = tip.after(&block);
        for peer in 1..4 {
            table.tell(peer, 0, Message::Executed(tip.height));
        }
        table.pass_ms(400);
    }
    gave_up(&table)
}

#[test]
fn t02_m15_a_leader_may_pass_a_frozen_lane_by() {
    assert!(blames_for_passing_by(false), "an honest lane is owed its turn");
    assert!(!blames_for_passing_by(true), "a frozen one is not");
}

#[test]
fn m15_the_owner_of_a_frozen_lane_takes_no_records() {
    let mut table = alone();
    let local = |token| Event::LocalBatch { token, payload_root: Digest::ZERO, bytes: 300, count: 1 };
    let sealed =
        |table: &Table| table.seats[0].written.iter().filter(|one| matches!(one, Write::OwnBatch(_))).count();
    assert!(table.seats[0].engine.accepts_local());
    table.feed(0, local(1));
    assert_eq!(sealed(&table), 1);
    table.feed(0, Event::LaneFrozen(ix(0)));
    assert!(!table.seats[0].engine.accepts_local());
    table.feed(0, local(2));
    assert_eq!(sealed(&table), 1, "nor does it seal what was handed to it all the same");
}

#[test]
fn m15_a_frozen_lane_of_ones_own_is_pushed_no_more() {
    let pushes = |frozen: bool| {
        let mut table = alone();
        let (payload_root, bytes, count) = (Digest::ZERO, 300, 1);
        table.feed(0, Event::LocalBatch { token: 1, payload_root, bytes, count });
        if frozen {
            table.feed(0, Event::LaneFrozen(ix(0)));
        }
        table.pass_ms(3 * Params::default().resend_ms);
        table.seats[0].pushed.iter().filter(|(_, batch)| batch.author == ix(0)).count()
    };
    assert!(pushes(false) > 0);
    assert_eq!(pushes(true), 0);
}

/// Runs a seed; any accusation of the honest, unproven or repeated, is a violation.
fn run(seed: u64, equivocators: usize) -> (Report, Vec<OffenceKind>) {
    let n = [4, 5, 7][(seed % 3) as usize];
    let drawn = Faults::draw(Level::Drawn, n, Some(0), &mut Random::new(seed ^ 0xe71d));
    let faults = Faults {
        record_lost: false,
        snapshot: false,
        twin: false,
        liars: vec![Lie::Equivocate; equivocators],
        ..drawn
    };
    let mut world = World::new(seed, n, Params::default(), faults);
    world.run_ms(60_000).unwrap();
    let report = world.heal_and_progress(20_000).unwrap();
    (report, world.offences().iter().map(|offence| offence.kind).collect())
}

#[test]
fn honest_validators_under_every_fault_prove_nothing_against_each_other() {
    let (mut blocks, mut view_changes, mut crashes) = (0, 0, 0);
    for seed in campaign::seeds(50) {
        let (report, offences) = run(seed, 0);
        assert_eq!((report.evidence, offences.len()), (0, 0), "seed {seed}: {offences:?}");
        blocks += report.blocks;
        view_changes += report.view_changes;
        crashes += report.crashes;
    }
    println!("{blocks} blocks, {view_changes} view changes, {crashes} crashes: no evidence");
}

#[test]
fn liars_are_proven_and_nobody_else_is() {
    let seeds = campaign::seeds(40);
    let (mut proven, mut runs, mut noticed) = (0, 0, 0);
    let mut kinds = std::collections::BTreeMap::<OffenceKind, u64>::new();
    for seed in seeds.clone() {
        let (report, offences) = run(seed, 1);
        noticed += u64::from(report.equivocations > 0);
        runs += u64::from(report.equivocations > 0 && !offences.is_empty());
        proven += report.evidence;
        for kind in offences {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    println!("{proven} proofs in {runs} of {noticed} runs with a liar noticed: {kinds:?}");
    assert_eq!(runs, noticed, "whoever was noticed was proven");
    assert!(noticed * 2 > seeds.end - seeds.start, "most liars get to lie");
}
