//! Quorums and certificates: what other systems got wrong about them, each tried on ours
//! (docs/robustness/pitfalls.md, A1 to A10).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;

use chain_core::block::Flags;
use chain_core::certificate::VoteKind;
use chain_core::crypto::{Digest, Signature};
use chain_core::id::{Height, View};
use chain_core::lane::LaneAdvance;
use city_sim::kit::table::{Table, present};
use city_sim::kit::{Kit, ix, propose, rank};
use city_sim::sim::faults::Level;
use city_sim::sim::random::Random;
use city_sim::sim::{Faults, World};
use consensus::Params;
use consensus::action::Alarm;
use consensus::event::Event;
use consensus::message::{
    EntryProof, HighQc, Justification, Message, Proposal, Status, ViewChange, VoteEcho,
};

/// Engine 0 of four alone at a table; validator 1 leads view 0.
fn alone() -> Table {
    Table::alone(Kit::led_by(4, 1))
}

fn first_block(table: &Table) -> Proposal {
    table.kit.chain(&table.kit.genesis(), 0, 1).remove(0)
}

/// COMMITs that engine 0 sent.
fn commits(table: &Table) -> usize {
    let signed = table.seats[0].signed(ix(0)).into_iter();
    signed
        .filter(|message| matches!(message, Message::Vote(vote, _) if vote.kind == VoteKind::Commit))
        .count()
}

#[test]
fn a01_quorums_of_every_size_share_an_honest_validator_and_are_reachable() {
    for n in 4..=100_u16 {
        let committee = Kit::fast(n).committee;
        let (n, q, f) = (usize::from(n), committee.quorum(), committee.faults());
        assert_eq!(f, (n - 1) / 3, "n = {n}");
        assert!(2 * q > n + f, "two quorums of {q} among {n} may share {f} liars and nobody else");
        assert!(q <= n - f, "{f} of {n} stop a quorum of {q}");
        assert!(2 * (q - 1) <= n + f, "a quorum of {q} among {n} is larger than it need be");
    }
}

/// A lying leader and all the liars that the size allows show each half of the honest another block, and
/// vote for both. With one vote fewer in a quorum, both halves of 5, 8 and 11 would commit.
#[test]
fn a01_a_leader_with_two_faces_cannot_split_a_network_of_any_size() {
    for n in [5, 6, 8, 9, 11] {
        let kit = Kit { fast: true, ..Kit::led_by(n, n - 1) };
        let honest = n - u16::try_from(kit.committee.faults()).unwrap();
        let starts = (0..honest).map(|me| present(kit.fresh_record(me))).collect();
        let mut table = Table::with(kit, starts);
        table.connect();
        let one = first_block(&table);
        let mut header = one.header.clone();
        header.time_ms += 1;
        let faces = [table.kit.propose(header, None), one];
        for me in 0..honest {
            let shown = &faces[usize::from(me % 2)];
            table.tell(n - 1, me, propose(shown));
            for liar in honest..n {
                for kind in [VoteKind::Prepare, VoteKind::Commit] {
                    let vote = table.kit.vote_on(kind, &shown.header, liar);
                    table.tell(liar, me, vote);
                }
            }
        }
        table.settle_by(|from, to, _| from.get() % 2 == to.get() % 2);
        let first = |table: &Table| -> BTreeSet<Digest> {
            let blocks = table.seats.iter().filter_map(|seat| seat.delivered.first());
            blocks.map(|one| one.header.digest()).collect()
        };
        assert!(first(&table).len() <= 1, "{n} validators are split");
        // The halves meet again: the honest go on without the liars.
        table.pass_ms(20_000);
        assert_eq!(first(&table).len(), 1, "{n} validators are split or stuck");
        assert!((0..honest).all(|me| table.committed(me) >= 1), "somebody of {n} is stuck");
    }
}

#[test]
fn a01_networks_of_5_6_8_and_9_validators_agree_under_faults() {
    for n in [5, 6, 8, 9] {
        for seed in 0..2 {
            let faults =
                Faults::draw(Level::Harsh, n, Some(usize::from((n - 1) / 3)), &mut Random::new(seed));
            let mut world = World::new(seed, n, Params::default(), faults);
            world.run_ms(40_000).unwrap();
            let report = world.heal_and_progress(10_000).unwrap();
            assert!(report.blocks > 3, "{n} validators: {report:?}");
        }
    }
}

#[test]
fn a02_a_vote_heard_twice_counts_once() {
    let mut table = alone();
    let block = first_block(&table);
    table.tell(1, 0, propose(&block));
    for _ in 0..5 {
        for signer in [1, 2] {
            let vote = table.kit.vote_on(VoteKind::Commit, &block.header, signer);
            table.tell(signer, 0, vote);
        }
    }
    // Nor in a certificate that names it twice over.
    let mut cert = table.kit.cert_by(VoteKind::Commit, rank(0, 1), block.header.digest(), &[1, 2]);
    cert.signatures.push(cert.signatures[1]);
    for bits in [0b0110_0000, 0b0110_0001, 0b1110_0000, 0b0000_0110, 0b0000_0111, 0b0000_1110] {
        let mut doubled = cert.clone();
        doubled.bitmap = vec![bits];
        table.tell(2, 0, Message::Certificate(Box::new(doubled)));
    }
    assert_eq!(table.committed(0), 0);
    let third = table.kit.vote_on(VoteKind::Commit, &block.header, 3);
    table.tell(3, 0, third);
    assert_eq!(table.committed(0), 1);
}

/// Every place of a message that holds a certificate or a vote, holding one of the other kind.
#[test]
fn a07_what_is_inside_a_message_of_the_wrong_kind_moves_nothing() {
    let mut table = alone();
    let kit = &table.kit;
    let blocks = kit.chain(&kit.genesis(), 0, 2);
    let last = &blocks[1].header;
    let ended = kit.propose(kit.header(&kit.genesis(), 0, Flags::TERM_END), None);
    let commit = kit.cert_by(VoteKind::Commit, rank(0, 2), last.digest(), &[1, 2, 3]);
    let prepare = kit.cert_by(VoteKind::Prepare, rank(0, 2), last.digest(), &[1, 2, 3]);
    let end_commit = kit.cert_by(VoteKind::Commit, rank(0, 1), ended.header.digest(), &[1, 2, 3]);
    let on_end = kit.header(&kit.genesis().after(&ended), 1, Flags::NONE);
    let claimed: Vec<_> = (1..4).map(|signer| (signer, HighQc::Qc(commit.clone()))).collect();
    let timeout = kit.timeout(1, &claimed);
    let mut relabelled = prepare.clone();
    relabelled.kind = VoteKind::Commit;
    let status = |certificate| {
        Message::Status(Box::new(Status {
            epoch: kit.epoch,
            view: View::ZERO,
            committed: Height::new(2),
            executed: Height::ZERO,
            certificate: Some(Box::new(certificate)),
            high_qc: None,
            awaits_echo: false,
        }))
    };
    let boxed = |cert: &chain_core::certificate::Cert| Box::new(cert.clone());
    let own = |kind| Some(kit.vote(kind, rank(0, 9), Digest::tagged(b"never", &[]), 0));
    let rows = [
        ("a PREPARE certificate in a sync answer", {
            Message::Blocks { blocks: blocks.clone(), suffixes: Vec::new(), certificate: boxed(&prepare) }
        }),
        ("a PREPARE certificate in a status", status(prepare)),
        ("a PREPARE certificate that calls itself a COMMIT", Message::Certificate(boxed(&relabelled))),
        ("a COMMIT certificate as the claim of a VIEW-CHANGE", {
            let change: ViewChange = kit.view_change(1, HighQc::Qc(commit.clone()), None, 2);
            Message::ViewChange(Box::new(change))
        }),
        ("COMMIT certificates as claims of a timeout certificate", {
            Message::Entry(EntryProof::Timeout(Box::new(timeout.clone())))
        }),
        ("the same as a justification", {
            let header = kit.header(&kit.genesis(), 1, Flags::NONE);
            propose(&kit.propose(header, Some(Justification::Timeout(Box::new(timeout)))))
        }),
        ("a COMMIT certificate as the end of a term", {
            let (certificate, header) = (boxed(&end_commit), Box::new(ended.header));
            Message::Entry(EntryProof::TermEnd { certificate, header })
        }),
        ("the same as a justification", {
            propose(&kit.propose(on_end, Some(Justification::TermEnd(boxed(&end_commit)))))
        }),
        ("a COMMIT where an echo holds a PREPARE", {
            Message::Echo(Box::new(VoteEcho { prepare: own(VoteKind::Commit), ..VoteEcho::default() }))
        }),
        ("a PREPARE where an echo holds a COMMIT", {
            Message::Echo(Box::new(VoteEcho { commit: own(VoteKind::Prepare), ..VoteEcho::default() }))
        }),
    ];
    for (what, message) in rows {
        table.tell(2, 0, message);
        let seat = &table.seats[0];
        assert_eq!((seat.engine.view(), table.committed(0)), (View::ZERO, 0), "{what}");
        assert_eq!(seat.signed(ix(0)), Vec::<&Message>::new(), "{what}");
        assert!(seat.alarms.is_empty() && seat.engine.voting(), "{what}");
    }
    // The genuine article still does its work.
    for block in &blocks {
        table.tell(1, 0, propose(block));
    }
    table.tell(2, 0, Message::Certificate(Box::new(commit)));
    assert_eq!(table.committed(0), 2);
}

#[test]
fn a08_a_certificate_makes_final_the_block_it_names_and_no_other() {
    let mut table = alone();
    let here = first_block(&table);
    let mut header = here.header.clone();
    header.time_ms += 1;
    let elsewhere = table.kit.propose(header, None);
    table.tell(1, 0, propose(&here));
    let digest = elsewhere.header.digest();
    let prepare = table.kit.cert_by(VoteKind::Prepare, rank(0, 1), digest, &[1, 2, 3]);
    let commit = table.kit.cert_by(VoteKind::Commit, rank(0, 1), digest, &[1, 2, 3]);
    table.tell(2, 0, Message::Certificate(Box::new(prepare)));
    table.tell(2, 0, Message::Certificate(Box::new(commit)));
    assert_eq!(table.committed(0), 0, "the block at hand is another one");
    table.pass_ms(1_000);
    let asked = |(_, message): &(_, Message)| matches!(message, Message::GetProposal { digest: one } if *one == digest);
    assert!(table.seats[0].sent.iter().any(asked), "it asks for the one that was certified");
    table.tell(2, 0, propose(&elsewhere));
    assert_eq!(table.committed(0), 1);
    assert_eq!(table.seats[0].delivered[0].header, elsewhere.header);
}

#[test]
fn a09_a_leaders_proposal_and_its_prepare_are_one_vote() {
    let mut table = alone();
    let block = first_block(&table);
    table.tell(1, 0, propose(&block));
    let two = table.kit.vote_on(VoteKind::Prepare, &block.header, 2);
    table.tell(2, 0, two);
    assert_eq!(commits(&table), 0, "a proposal, the own PREPARE and one more are no quorum");
    for _ in 0..2 {
        table.tell(1, 0, propose(&block));
    }
    assert_eq!(commits(&table), 0);
    let leaders = table.kit.vote_on(VoteKind::Prepare, &block.header, 1);
    table.tell(1, 0, leaders);
    assert_eq!(commits(&table), 1);
    assert_eq!(table.committed(0), 0);
}

/// Heights, views, sequence numbers and counts at the end of their range, in every message that has them.
#[test]
fn a10_numbers_at_the_end_of_their_range_break_no_sum() {
    let mut table = alone();
    let genesis = table.kit.genesis();
    for edge in [0, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let kit = &table.kit;
        let digest = Digest::tagged(b"edge", &[&edge.to_be_bytes()]);
        let far = kit.cert_by(VoteKind::Prepare, rank(edge, edge), digest, &[1, 2, 3]);
        let status = Status {
            epoch: kit.epoch,
            view: View::new(edge),
            committed: Height::new(edge),
            executed: Height::new(edge),
            certificate: None,
            high_qc: Some(rank(edge, edge)),
            awaits_echo: false,
        };
        let proposal = |view: u64, height: u64| {
            let mut header = kit.header(&genesis, view, Flags::NONE);
            (header.height, header.exec_height, header.time_ms) =
                (Height::new(height), Height::new(edge), edge);
            header.flags = Flags::NONE;
            (header.n_batches, header.n_records, header.n_bytes) = (u32::MAX, u32::MAX, u32::MAX);
            let advances = vec![LaneAdvance { author: ix(2), seq: edge, tip: Digest::ZERO }];
            propose(&kit.propose_advances(header, advances))
        };
        let messages = [
            Message::Status(Box::new(status)),
            Message::Executed(Height::new(edge)),
            Message::GetBlocks { from: Height::new(edge) },
            proposal(edge, edge),
            proposal(edge, 1),
            proposal(0, edge),
            proposal(0, 1),
            Message::Vote(kit.vote(VoteKind::Prepare, rank(edge, edge), digest, 2), Height::new(edge)),
            Message::Vote(kit.vote(VoteKind::Commit, rank(0, edge), digest, 2), Height::new(edge)),
            Message::Vote(kit.vote(VoteKind::Commit, rank(edge, 1), digest, 2), Height::new(edge)),
            Message::ViewChange(Box::new(kit.view_change(edge, HighQc::Qc(far.clone()), None, 2))),
            Message::Entry(EntryProof::Timeout(Box::new(kit.timeout_on_base(edge)))),
            Message::Echo(Box::new(VoteEcho {
                lane: Some(kit.batch(3, edge, Digest::ZERO, 1)),
                ..VoteEcho::default()
            })),
        ];
        let mut heavy = kit.batch(2, edge, Digest::ZERO, 0);
        (heavy.header.bytes, heavy.header.count, heavy.header.time_ms) = (u32::MAX, u32::MAX, u64::MAX);
        heavy.signature = kit.sign(2, &heavy.header);
        for message in messages {
            // Of one that leads and of one that does not.
            table.tell(2, 0, message.clone());
            table.tell(1, 0, message);
        }
        table.feed(0, Event::BatchStored(heavy));
        table.pass_ms(200);
        assert_eq!(table.committed(0), 0, "{edge}");
        assert!(!matches!(table.seats[0].alarms[..], [.., Alarm::Fork { .. }]), "{edge}");
    }
    // A certificate of the last view there is, which three of four must have lied for, ends nothing either.
    let last = table.kit.cert_by(VoteKind::Prepare, rank(u64::MAX, u64::MAX), Digest::ZERO, &[1, 2, 3]);
    table.tell(2, 0, Message::Certificate(Box::new(last)));
    table.pass_ms(20_000);
    assert_eq!(table.committed(0), 0);
    assert_ne!(table.kit.sign(0, &table.kit.header(&genesis, 0, Flags::NONE).proposal()), Signature::ZERO);
}
