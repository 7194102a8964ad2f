//! One engine, or a table of them, and what others try on it (consensus 6.A to 6.G; reliability A, B, D).

use std::collections::BTreeSet;

use chain_core::block::Flags;
use chain_core::certificate::{Cert, VoteKind};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, Signature};
use chain_core::id::{Epoch, Height, View};
use chain_core::lane::LaneAdvance;
use city_sim::kit::table::{Table, present};
use city_sim::kit::{Kit, ix, rank};
use city_sim::siege::BOUNDS;
use consensus::action::{Alarm, Write};
use consensus::engine::SafetyAtStart;
use consensus::event::Event;
use consensus::message::{EntryProof, HighQc, Justification, Message, Proposal, Status, Vote, VoteEcho};

/// Engine 0 of four alone at a table; validator 1 leads view 0.
fn alone() -> Table {
    Table::alone(Kit::led_by(4, 1))
}

fn propose(proposal: &Proposal) -> Message {
    Message::Propose(Box::new(proposal.clone()))
}

fn vote(table: &Table, kind: VoteKind, proposal: &Proposal, signer: u16) -> Message {
    let header = &proposal.header;
    let rank = rank(header.view.get(), header.height.get());
    Message::Vote(table.kit.vote(kind, rank, header.digest(), signer), Height::ZERO)
}

fn signed(table: &Table) -> usize {
    table.seats[0].signed(ix(0)).len()
}

fn lost() -> SafetyAtStart {
    SafetyAtStart::Lost(Refusal::new(Code::SafetyLost, "the record is missing"))
}

#[test]
fn four_engines_commit_what_their_leader_proposes() {
    let mut table = Table::new(4);
    table.connect();
    table.pass_ms(35_000);
    for me in 0..4 {
        assert!(table.committed(me) >= 1, "a heartbeat at least");
        assert!(table.seats[usize::from(me)].alarms.is_empty());
    }
}

#[test]
fn a06_nobody_votes_for_another_and_no_stranger_votes() {
    let mut table = alone();
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    let before = table.seats[0].engine.held().votes;
    // Validator 3's genuine vote over validator 2's channel.
    table.tell(2, 0, vote(&table, VoteKind::Prepare, &block, 3));
    // A stranger's, over its own channel and over a validator's.
    let mut stranger = table.kit.vote(VoteKind::Prepare, rank(0, 1), block.header.digest(), 2);
    stranger.signer = ix(9);
    table.tell(2, 0, Message::Vote(stranger, Height::ZERO));
    table.tell(9, 0, Message::Vote(stranger, Height::ZERO));
    // A vote of another epoch.
    let other = Vote {
        epoch: Epoch::new(1),
        ..table.kit.vote(VoteKind::Prepare, rank(0, 1), block.header.digest(), 2)
    };
    table.tell(2, 0, Message::Vote(other, Height::ZERO));
    assert_eq!(table.seats[0].engine.held().votes, before);
    // Its own words coming back from outside.
    let own = table.kit.vote(VoteKind::Commit, rank(0, 1), block.header.digest(), 0);
    table.tell(0, 0, Message::Vote(own, Height::ZERO));
    assert_eq!(table.seats[0].engine.held().votes, before);
}

#[test]
fn a05_a_quorum_with_one_bad_signature_is_no_quorum() {
    let mut table = alone();
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    let forged = Vote {
        signature: Signature::ZERO,
        ..table.kit.vote(VoteKind::Commit, rank(0, 1), block.header.digest(), 3)
    };
    table.tell(1, 0, vote(&table, VoteKind::Commit, &block, 1));
    table.tell(2, 0, vote(&table, VoteKind::Commit, &block, 2));
    table.tell(3, 0, Message::Vote(forged, Height::ZERO));
    assert_eq!(table.committed(0), 0);
    // The forger's genuine vote still counts afterwards.
    table.tell(3, 0, vote(&table, VoteKind::Commit, &block, 3));
    assert_eq!(table.committed(0), 1);
}

#[test]
fn r4_a_quorum_of_commits_and_nothing_less_makes_final() {
    let mut table = alone();
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    for signer in [1, 2] {
        table.tell(signer, 0, vote(&table, VoteKind::Commit, &block, signer));
        // Saying it again adds nothing.
        table.tell(signer, 0, vote(&table, VoteKind::Commit, &block, signer));
    }
    assert_eq!(table.committed(0), 0);
    table.tell(3, 0, vote(&table, VoteKind::Commit, &block, 3));
    assert_eq!(table.committed(0), 1);
    assert_eq!(table.seats[0].delivered.len(), 1);
}

#[test]
fn b08_one_certificate_delivers_five_blocks_in_order_and_once() {
    let mut table = alone();
    let blocks = table.kit.chain(&table.kit.genesis(), 0, 5);
    // Out of order on arrival.
    for at in [0, 2, 1, 4, 3] {
        table.tell(1, 0, propose(&blocks[at]));
    }
    assert_eq!(table.committed(0), 0);
    let cert = table.kit.cert_by(VoteKind::Commit, rank(0, 5), blocks[4].header.digest(), &[1, 2, 3]);
    for _ in 0..3 {
        table.tell(2, 0, Message::Certificate(Box::new(cert.clone())));
    }
    let lower = table.kit.cert_by(VoteKind::Commit, rank(0, 3), blocks[2].header.digest(), &[1, 2, 3]);
    table.tell(2, 0, Message::Certificate(Box::new(lower)));
    table.pass_ms(2_000);
    let heights: Vec<u64> = table.seats[0].delivered.iter().map(|one| one.header.height.get()).collect();
    assert_eq!(heights, [1, 2, 3, 4, 5]);
    assert!(table.seats[0].alarms.is_empty());
}

#[test]
fn b12_no_vote_before_a_quorum_less_one_has_echoed() {
    let kit = Kit::led_by(4, 1);
    let start = present(kit.fresh_record(0));
    let mut table = Table::with(kit, vec![start]);
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    let echo = || Message::Echo(Box::default());
    for _ in 0..3 {
        table.tell(1, 0, echo());
    }
    assert!(!table.seats[0].engine.voting(), "one peer thrice is one peer");
    assert_eq!(signed(&table), 0);
    table.tell(2, 0, echo());
    assert!(table.seats[0].engine.voting());
    assert_eq!(signed(&table), 1, "the PREPARE that had waited");
}

#[test]
fn b12_an_echo_that_was_lost_is_said_again() {
    let kit = Kit::led_by(4, 1);
    let starts = (0..4).map(|me| present(kit.fresh_record(me))).collect();
    let mut table = Table::with(kit, starts);
    table.meet();
    table.settle_by(|_, _, message| !matches!(message, Message::Echo(_)));
    let voting = |table: &Table| table.seats.iter().filter(|seat| seat.engine.voting()).count();
    assert_eq!(voting(&table), 0, "nobody heard anything");
    table.pass_ms(5_000);
    assert_eq!(voting(&table), 4);
    // Nobody waits any more, so nobody is told any more.
    let echoes = |table: &Table| {
        let sent = table.seats.iter().flat_map(|seat| &seat.sent);
        sent.filter(|(_, message)| matches!(message, Message::Echo(_))).count()
    };
    let said = echoes(&table);
    assert!(said > 12, "{said}");
    table.pass_ms(5_000);
    assert_eq!(echoes(&table), said);
    // Nor does one who says so without a pause hear it without a pause.
    for _ in 0..50 {
        let waiting = Status { awaits_echo: true, ..standing(&table, 0, None) };
        table.tell(3, 0, Message::Status(Box::new(waiting)));
    }
    assert_eq!(echoes(&table), said + 1);
}

#[test]
fn b12_a_waiting_validator_gives_up_on_no_leader() {
    let kit = Kit::led_by(4, 1);
    let start = present(kit.fresh_record(0));
    let mut table = Table::with(kit, vec![start]);
    table.tell(1, 0, Message::Echo(Box::default()));
    table.pass_ms(60_000);
    assert_eq!(signed(&table), 0);
}

#[test]
fn b12_an_echo_that_outranks_the_record_ends_voting_for_good_and_says_why() {
    let mut table = alone();
    assert!(table.seats[0].engine.voting());
    let remembered = table.kit.vote(VoteKind::Prepare, rank(0, 7), Digest::tagged(b"forgotten", &[]), 0);
    let echo = VoteEcho { prepare: Some(remembered), ..VoteEcho::default() };
    table.tell(2, 0, Message::Echo(Box::new(echo)));
    let engine = &table.seats[0].engine;
    assert!(!engine.voting());
    let refusal = engine.lost().expect("a reason");
    assert_eq!(refusal.code, Code::SafetyLost);
    assert!(refusal.detail.contains("validator-2"), "{}", refusal.detail);
    assert_eq!(table.seats[0].alarms, [Alarm::VoteEcho { peer: ix(2) }]);
    let before = signed(&table);
    // Neither further echoes nor time nor proposals bring it back.
    table.greet(0);
    let blocks = table.kit.chain(&table.kit.genesis(), 0, 3);
    for block in &blocks {
        table.tell(1, 0, propose(block));
    }
    let qc = table.kit.cert_by(VoteKind::Prepare, rank(0, 3), blocks[2].header.digest(), &[1, 2, 3]);
    table.tell(1, 0, Message::Certificate(Box::new(qc)));
    table.pass_ms(60_000);
    assert!(!table.seats[0].engine.voting());
    assert_eq!(signed(&table), before, "it has not signed anything since");
    let commit = table.kit.cert_by(VoteKind::Commit, rank(0, 3), blocks[2].header.digest(), &[1, 2, 3]);
    table.tell(1, 0, Message::Certificate(Box::new(commit)));
    assert_eq!(table.committed(0), 3, "but it follows");
}

#[test]
fn b12_votes_that_came_too_late_to_count_are_remembered_for_the_echo() {
    let mut table = alone();
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    let (kinds, digest) = ([VoteKind::Prepare, VoteKind::Commit], block.header.digest());
    for kind in kinds {
        let cert = table.kit.cert_by(kind, rank(0, 1), digest, &[0, 1, 2]);
        table.tell(1, 0, Message::Certificate(Box::new(cert)));
    }
    assert_eq!(table.committed(0), 1);
    for kind in kinds {
        table.tell(3, 0, vote(&table, kind, &block, 3));
    }
    table.queue.clear();
    table.feed(0, Event::Connected(ix(3)));
    let echo = table.queue.iter().find_map(|(.., message)| match message {
        Message::Echo(echo) => Some(echo),
        _ => None,
    });
    let echo = echo.expect("an echo for the one that connects");
    assert_eq!(echo.prepare, Some(table.kit.vote(VoteKind::Prepare, rank(0, 1), digest, 3)));
    assert_eq!(echo.commit, Some(table.kit.vote(VoteKind::Commit, rank(0, 1), digest, 3)));
}

#[test]
fn b12_forged_memories_frighten_nobody() {
    let mut table = alone();
    let kit = &table.kit;
    let digest = Digest::tagged(b"forged", &[]);
    let mut forged = kit.vote(VoteKind::Prepare, rank(0, 7), digest, 0);
    forged.signature = Signature::ZERO;
    let others = kit.vote(VoteKind::Commit, rank(0, 7), digest, 3);
    // A PREPARE shown as a COMMIT, another's vote, another's batch, a false VIEW-CHANGE.
    let relabelled = Vote { kind: VoteKind::Commit, ..kit.vote(VoteKind::Prepare, rank(0, 7), digest, 0) };
    let (_, claim, signature) = kit.claim(5, kit.base_qc().claim(), 3);
    let echoes = [
        VoteEcho { prepare: Some(forged), ..VoteEcho::default() },
        VoteEcho { commit: Some(others), ..VoteEcho::default() },
        VoteEcho { commit: Some(relabelled), ..VoteEcho::default() },
        VoteEcho { lane: Some(kit.batch(3, 9, Digest::ZERO, 1)), ..VoteEcho::default() },
        VoteEcho { view_change: Some((View::new(5), claim, signature)), ..VoteEcho::default() },
    ];
    for echo in echoes {
        table.tell(3, 0, Message::Echo(Box::new(echo)));
        assert!(table.seats[0].engine.voting());
    }
    assert!(table.seats[0].alarms.is_empty());
}

#[test]
fn a_validator_without_its_record_follows_and_signs_nothing() {
    let kit = Kit::led_by(4, 0);
    let starts = (0..4).map(|me| if me == 3 { lost() } else { present(kit.fresh_record(me)) }).collect();
    let mut table = Table::with(kit, starts);
    table.connect();
    // Long enough for it to be asked to lead, and for everybody to give up on it.
    table.pass_ms(400_000);
    let heights: BTreeSet<u64> = (0..4).map(|me| table.committed(me)).collect();
    assert!(heights.iter().min().unwrap() > &5, "the network goes on: {heights:?}");
    assert!(heights.len() == 1 || heights.iter().max().unwrap() - heights.iter().min().unwrap() <= 1);
    let seat = &table.seats[3];
    assert_eq!(seat.signed(ix(3)), Vec::<&Message>::new());
    assert!(!seat.engine.voting());
    assert_eq!(seat.engine.lost().map(|refusal| refusal.code), Some(Code::SafetyLost));
    assert!(!seat.written.iter().any(|write| matches!(write, Write::Safety(_) | Write::OwnBatch(_))));
    let led: BTreeSet<u16> =
        (0..table.seats[0].engine.view().get()).map(|view| table.kit.leader(view).get()).collect();
    assert!(led.contains(&3), "its turn came: {led:?}");
    let network = table.kit.committee.get(ix(3)).unwrap().network_key;
    assert!(seat.engine.hello(Epoch::ZERO, network, Digest::ZERO).is_some(), "it can still say who it is");
    // Nor does it seal batches.
    table.feed(3, Event::LocalBatch { token: 1, payload_root: Digest::ZERO, bytes: 10, count: 1 });
    assert!(!table.seats[3].written.iter().any(|write| matches!(write, Write::OwnBatch(_))));
}

#[test]
fn two_votes_for_one_slot_are_noticed_once() {
    let mut table = alone();
    for (kind, height) in [(VoteKind::Prepare, 1), (VoteKind::Commit, 1), (VoteKind::Prepare, 4)] {
        for twin in 0..10_u8 {
            let digest = Digest::tagged(b"twin", &[&[twin]]);
            table.tell(2, 0, Message::Vote(table.kit.vote(kind, rank(0, height), digest, 2), Height::ZERO));
        }
    }
    let told = Alarm::Equivocation { offender: ix(2), what: "two votes for one slot" };
    assert_eq!(table.seats[0].alarms, vec![told; 3]);
    assert_eq!(table.seats[0].engine.held().votes, 6, "two of each slot are kept");
}

#[test]
fn a_forged_second_vote_accuses_nobody() {
    let mut table = alone();
    let genuine = table.kit.vote(VoteKind::Prepare, rank(0, 1), Digest::tagged(b"a", &[]), 2);
    let forged = Vote { digest: Digest::tagged(b"b", &[]), ..genuine };
    for (first, second) in [(genuine, forged), (forged, genuine)] {
        let mut table = alone();
        table.tell(2, 0, Message::Vote(first, Height::ZERO));
        table.tell(2, 0, Message::Vote(second, Height::ZERO));
        assert!(table.seats[0].alarms.is_empty());
        assert_eq!(table.seats[0].engine.held().votes, 1);
    }
    table.queue.clear();
}

#[test]
fn two_blocks_for_one_slot_are_noticed_and_end_the_view() {
    let mut table = alone();
    let kit = &table.kit;
    let one = kit.propose(kit.header(&kit.genesis(), 0, Flags::NONE), None);
    let mut header = one.header.clone();
    header.time_ms += 1;
    let two = kit.propose(header, None);
    table.tell(1, 0, propose(&one));
    table.tell(1, 0, propose(&two));
    let told = Alarm::Equivocation { offender: ix(1), what: "two blocks for one view and height" };
    assert_eq!(table.seats[0].alarms, [told]);
    let left = table.seats[0].signed(ix(0)).into_iter().any(|one| matches!(one, Message::ViewChange(_)));
    assert!(left, "the view's leader will not do");
    let prepares: Vec<Digest> = table.seats[0]
        .signed(ix(0))
        .into_iter()
        .filter_map(|message| match message {
            Message::Vote(vote, _) => Some(vote.digest),
            _ => None,
        })
        .collect();
    assert_eq!(prepares, [one.header.digest()], "and got one PREPARE, for the first");
}

#[test]
fn two_batches_for_one_place_of_a_lane_are_noticed_once() {
    let mut table = alone();
    for count in 1..6 {
        table.feed(0, Event::BatchStored(table.kit.batch(2, 0, Digest::ZERO, count)));
    }
    let told = Alarm::Equivocation { offender: ix(2), what: "two batches for one position of its lane" };
    assert_eq!(table.seats[0].alarms, [told]);
    assert_eq!(table.seats[0].engine.held().batches, 2);
}

#[test]
fn conflicting_commit_certificates_are_a_fork() {
    let mut table = alone();
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    let ours = table.kit.cert_by(VoteKind::Commit, rank(0, 1), block.header.digest(), &[1, 2, 3]);
    table.tell(1, 0, Message::Certificate(Box::new(ours)));
    assert_eq!(table.committed(0), 1);
    let theirs = table.kit.cert_by(VoteKind::Commit, rank(0, 1), Digest::tagged(b"other", &[]), &[1, 2, 3]);
    table.tell(2, 0, Message::Certificate(Box::new(theirs)));
    assert!(matches!(table.seats[0].alarms[..], [Alarm::Fork { .. }]), "{:?}", table.seats[0].alarms);
}

#[test]
fn g01_floods_of_far_votes_leave_nothing_behind() {
    let mut table = alone();
    for height in [0, 34, 100, 1 << 40, u64::MAX - 1, u64::MAX] {
        for view in [0, 2, 3, 1_000, u64::MAX - 1, u64::MAX] {
            for kind in [VoteKind::Prepare, VoteKind::Commit] {
                let digest = Digest::tagged(b"far", &[&height.to_be_bytes()]);
                let vote = table.kit.vote(kind, rank(view, height), digest, 2);
                table.tell(2, 0, Message::Vote(vote, Height::new(height)));
            }
        }
    }
    let held = table.seats[0].engine.held();
    assert_eq!((held.votes, held.fetches), (0, 0));
}

/// Signatures are a keyed hash here: tens of thousands of messages.
fn flooded() -> Table {
    let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
    Table::alone(kit)
}

#[test]
fn g01_floods_of_near_votes_fill_a_share_and_leave_the_others_theirs() {
    let mut table = flooded();
    for round in 0..20_000_u64 {
        let digest = Digest::tagged(b"invented", &[&round.to_be_bytes()]);
        let kind = if round % 2 == 0 { VoteKind::Prepare } else { VoteKind::Commit };
        let vote = table.kit.vote(kind, rank(round / 33 % 2, 1 + round % 33), digest, 3);
        table.tell(3, 0, Message::Vote(vote, Height::ZERO));
        table.queue.clear();
    }
    let held = table.seats[0].engine.held();
    assert!(held.votes <= BOUNDS.votes / 4, "{held:?}");
    assert!(held.fetches <= 16, "{held:?}");
    // The honest ones are still heard, and still can make it ask for a block.
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    table.tell(1, 0, vote(&table, VoteKind::Commit, &block, 1));
    table.tell(2, 0, vote(&table, VoteKind::Commit, &block, 2));
    let own = table.seats[0].signed(ix(0)).len();
    assert!(own >= 1, "it voted");
    for signer in [1, 2] {
        table.tell(signer, 0, vote(&table, VoteKind::Prepare, &block, signer));
    }
    assert_eq!(table.committed(0), 1, "a liar's flood does not silence a quorum");
}

#[test]
fn g01_floods_of_proposals_fill_a_share_and_leave_the_others_theirs() {
    let mut table = flooded();
    let genesis = table.kit.genesis();
    let mut views = (0..40).filter(|view| table.kit.leader(*view) == ix(3));
    let near: Vec<u64> = views.by_ref().take(8).collect();
    for round in 0..5_000_u64 {
        let view = near[usize::try_from(round % 8).unwrap()];
        let mut header = table.kit.header(&genesis, view, Flags::NONE);
        header.height = Height::new(1 + round % 70);
        header.time_ms += round;
        let proposal = table.kit.propose(header, None);
        // First as a rumour, so that it is asked for.
        table.tell(3, 0, vote(&table, VoteKind::Prepare, &proposal, 3));
        table.tell(3, 0, propose(&proposal));
        table.queue.clear();
    }
    let held = table.seats[0].engine.held();
    assert!(held.blocks <= 128, "{held:?}");
    let block = table.kit.chain(&genesis, 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    assert!(
        table.seats[0].block(&block.header.digest()).is_some(),
        "the leader's block is taken and voted for"
    );
}

#[test]
fn g01_floods_of_view_changes_keep_one_each() {
    let mut table = flooded();
    for view in (2..3_000).chain([u64::MAX - 1, u64::MAX]) {
        let message = table.kit.view_change(view, table.kit.base_qc(), None, 3);
        table.tell(3, 0, Message::ViewChange(Box::new(message)));
        table.queue.clear();
    }
    assert_eq!(table.seats[0].engine.view(), View::ZERO);
    assert!(table.seats[0].signed(ix(0)).is_empty(), "one liar moves nobody");
}

#[test]
fn g01_floods_of_batches_keep_a_window_of_each_lane() {
    let mut table = flooded();
    let mut prev = Digest::ZERO;
    for seq in 0..3_000 {
        let batch = table.kit.batch(2, seq, prev, 1);
        prev = batch.header.digest();
        table.feed(0, Event::BatchStored(batch));
        table.feed(0, Event::BatchStored(table.kit.batch(3, u64::MAX - seq, Digest::ZERO, 1)));
        table.queue.clear();
    }
    assert_eq!(table.seats[0].engine.held().batches, 512);
}

fn standing(table: &Table, committed: u64, certificate: Option<Cert>) -> Status {
    Status {
        epoch: table.kit.epoch,
        view: View::ZERO,
        committed: Height::new(committed),
        executed: Height::new(committed),
        certificate: certificate.map(Box::new),
        high_qc: None,
        awaits_echo: false,
    }
}

fn status(table: &Table, committed: u64, certificate: Option<Cert>) -> Message {
    Message::Status(Box::new(standing(table, committed, certificate)))
}

fn asked_for_blocks(table: &Table) -> usize {
    table.seats[0].sent.iter().filter(|(_, message)| matches!(message, Message::GetBlocks { .. })).count()
}

#[test]
fn d04_a_height_without_its_certificate_moves_nothing() {
    let mut table = alone();
    for height in [1, 1_000_000, u64::MAX] {
        for from in 1..4 {
            table.tell(from, 0, status(&table, height, None));
        }
    }
    let short = table.kit.cert_by(VoteKind::Commit, rank(0, 9), Digest::tagged(b"x", &[]), &[1, 2]);
    table.tell(1, 0, status(&table, 9, Some(short)));
    let prepare = table.kit.cert_by(VoteKind::Prepare, rank(0, 9), Digest::tagged(b"x", &[]), &[1, 2, 3]);
    table.tell(1, 0, status(&table, 9, Some(prepare)));
    table.pass_ms(3_000);
    assert_eq!(asked_for_blocks(&table), 0);
    assert_eq!(table.committed(0), 0);
    // One with the certificate does, and a later lower claim does not stop it.
    let blocks = table.kit.chain(&table.kit.genesis(), 0, 9);
    let cert = table.kit.cert_by(VoteKind::Commit, rank(0, 9), blocks[8].header.digest(), &[1, 2, 3]);
    table.tell(2, 0, status(&table, 9, Some(cert.clone())));
    assert_eq!(asked_for_blocks(&table), 1);
    table.tell(2, 0, status(&table, 1, None));
    table.tell(3, 0, Message::Blocks { blocks, suffixes: Vec::new(), certificate: Box::new(cert) });
    assert_eq!(table.committed(0), 9);
}

#[test]
fn d06_sync_answers_that_are_not_exactly_right_are_refused_whole() {
    let kit = Kit::led_by(4, 1);
    let good = kit.chain(&kit.genesis(), 0, 6);
    let cert = kit.cert_by(VoteKind::Commit, rank(0, 6), good[5].header.digest(), &[1, 2, 3]);
    let long = kit.chain(&kit.genesis(), 0, 129);
    let long_cert = kit.cert_by(VoteKind::Commit, rank(0, 129), long[128].header.digest(), &[1, 2, 3]);
    let change = |edit: &dyn Fn(&mut Vec<Proposal>)| {
        let mut blocks = good.clone();
        edit(&mut blocks);
        blocks
    };
    let forged = Cert { signatures: vec![Signature::ZERO; 3], ..cert.clone() };
    let short = kit.cert_by(VoteKind::Commit, rank(0, 6), good[5].header.digest(), &[1, 2]);
    let prepare = kit.cert_by(VoteKind::Prepare, rank(0, 6), good[5].header.digest(), &[1, 2, 3]);
    let other = kit.cert_by(VoteKind::Commit, rank(0, 6), Digest::tagged(b"other", &[]), &[1, 2, 3]);
    let lane = LaneAdvance { author: ix(2), seq: 0, tip: Digest::ZERO };
    let rows: Vec<(&str, Vec<Proposal>, Cert)> = vec![
        ("nothing", Vec::new(), cert.clone()),
        ("a gap", change(&|blocks| drop(blocks.remove(2))), cert.clone()),
        ("the first missing", change(&|blocks| drop(blocks.remove(0))), cert.clone()),
        ("the last missing", change(&|blocks| drop(blocks.pop())), cert.clone()),
        ("wrong order", change(&|blocks| blocks.swap(1, 2)), cert.clone()),
        ("one twice", change(&|blocks| blocks.insert(1, blocks[1].clone())), cert.clone()),
        ("a block altered", change(&|blocks| blocks[3].header.time_ms += 1), cert.clone()),
        ("advances altered", change(&|blocks| blocks[3].advances.push(lane)), cert.clone()),
        (
            "a leader's signature altered",
            change(&|blocks| blocks[3].signature = Signature::ZERO),
            cert.clone(),
        ),
        ("a forged certificate", good.clone(), forged),
        ("a short certificate", good.clone(), short),
        ("a PREPARE certificate", good.clone(), prepare),
        ("another block's certificate", good.clone(), other),
        ("too many", long, long_cert),
    ];
    for (what, blocks, certificate) in rows {
        let mut table = alone();
        table.tell(
            2,
            0,
            Message::Blocks { blocks, suffixes: Vec::new(), certificate: Box::new(certificate) },
        );
        assert_eq!(table.committed(0), 0, "{what}");
        assert!(
            !table.seats[0].written.iter().any(|one| matches!(one, Write::Block(_))),
            "{what} was stored"
        );
        // The right answer is still taken afterwards.
        let right = Message::Blocks {
            blocks: good.clone(),
            suffixes: Vec::new(),
            certificate: Box::new(cert.clone()),
        };
        table.tell(3, 0, right);
        assert_eq!(table.committed(0), 6, "after: {what}");
    }
}

#[test]
fn a_relayed_proposal_with_other_advances_frames_nobody() {
    let mut table = alone();
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    let mut framed = block.clone();
    framed.advances.push(LaneAdvance { author: ix(1), seq: u64::MAX, tip: Digest::ZERO });
    table.tell(3, 0, propose(&framed));
    assert_eq!(signed(&table), 0, "neither a vote nor a VIEW-CHANGE");
    table.tell(1, 0, propose(&block));
    assert_eq!(signed(&table), 1, "the genuine one gets its PREPARE");
}

#[test]
fn a_relayed_proposal_carries_no_ballast_into_the_store() {
    let mut table = alone();
    let blocks = table.kit.chain(&table.kit.genesis(), 0, 2);
    let mut ballast = table.kit.timeout_on_base(1);
    ballast.claims = vec![ballast.claims[0]; 2_000];
    for block in &blocks {
        let mut heavy = block.clone();
        heavy.justification = Some(Justification::Timeout(Box::new(ballast.clone())));
        table.tell(3, 0, propose(&heavy));
    }
    for write in &table.seats[0].written {
        if let Write::Block(stored) = write {
            assert_eq!(stored.justification, None);
            assert!(chain_core::codec::encode::<Proposal>(stored).is_ok());
        }
    }
    assert!(signed(&table) >= 1);
}

#[test]
fn a_first_block_robbed_of_its_justification_gets_it_back_from_its_leader() {
    let mut table = alone();
    let tc =
        table.kit.timeout(1, &[(1, table.kit.base_qc()), (2, table.kit.base_qc()), (3, table.kit.base_qc())]);
    table.tell(1, 0, Message::Entry(EntryProof::Timeout(Box::new(tc.clone()))));
    assert_eq!(table.seats[0].engine.view(), View::new(1));
    let header = table.kit.header(&table.kit.genesis(), 1, Flags::NONE);
    let whole = table.kit.propose(header, Some(Justification::Timeout(Box::new(tc))));
    let robbed = Proposal { justification: None, ..whole.clone() };
    table.tell(3, 0, propose(&robbed));
    assert_eq!(signed(&table), 0);
    table.tell(2, 0, propose(&whole));
    assert_eq!(signed(&table), 1, "PREPARE");
}

#[test]
fn a10_numbers_at_the_end_of_their_range_do_no_harm() {
    let mut table = alone();
    let genesis = table.kit.genesis();
    for view in [u64::MAX - 1, u64::MAX] {
        table.tell(1, 0, propose(&table.kit.propose(table.kit.header(&genesis, view, Flags::NONE), None)));
    }
    let mut header = table.kit.header(&genesis, 0, Flags::NONE);
    header.flags = Flags::NONE;
    header.n_batches = 1;
    let advances = vec![LaneAdvance { author: ix(2), seq: u64::MAX, tip: Digest::ZERO }];
    table.tell(1, 0, propose(&table.kit.propose_advances(header, advances)));
    let high = HighQc::Qc(table.kit.cert_by(VoteKind::Prepare, rank(u64::MAX, 1), Digest::ZERO, &[1, 2]));
    let message = table.kit.view_change(u64::MAX, high, None, 3);
    table.tell(3, 0, Message::ViewChange(Box::new(message)));
    table.pass_ms(100);
    assert_eq!(table.committed(0), 0);
}
