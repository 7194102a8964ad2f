//! Liveness of view changes: what made other systems stand still, each tried on ours
//! (docs/robustness/pitfalls.md, C1 to C13).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::Flags;
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Height, View};
use city_sim::kit::table::Table;
use city_sim::kit::town::Town;
use city_sim::kit::{Kit, ix, propose, rank};
use consensus::action::Peers;
use consensus::message::{EntryProof, HighQc, Message, Status, TimeoutCert};

/// Progress is back after this long, whatever happened: one longest timeout, and room to catch up.
const BACK_WITHIN_MS: u64 = 10_000;

/// A record that goes in now at each house with power is executed at all of them in time, as is everything that
/// was accepted before.
#[track_caller]
fn must_progress(town: &mut Town, what: &str) {
    let start = town.now_ms;
    let up = |town: &Town| -> Vec<u16> {
        town.everybody().filter(|house| town.houses[usize::from(*house)].engine.is_some()).collect()
    };
    let mut waiting = up(town);
    // One that has just started takes records once it votes.
    while !waiting.is_empty() && town.now_ms < start + BACK_WITHIN_MS {
        waiting.retain(|house| !town.submit(*house));
        town.pass_ms(10);
    }
    let left = (start + BACK_WITHIN_MS).saturating_sub(town.now_ms);
    let took = town.until(left, |town| up(town).iter().all(|house| town.lost_or_doubled(*house).is_none()));
    assert!(took.is_some(), "{what}: no progress\n{:#?}", town.houses);
    assert_eq!(town.violation(), None, "{what}");
}

/// Puts records in at every house that takes some.
fn submit_everywhere(town: &mut Town) {
    for house in town.everybody() {
        town.submit(house);
    }
}

fn asked(table: &Table) -> bool {
    table.seats[0].sent.iter().any(|(_, message)| matches!(message, Message::ViewChange(_)))
}

fn ask(table: &mut Table, from: u16, view: u64, entry: Option<EntryProof>) {
    let change = table.kit.view_change(view, table.kit.base_qc(), entry, from);
    table.tell(from, 0, Message::ViewChange(Box::new(change)));
}

#[test]
fn c01_an_hour_with_too_few_is_over_seconds_after_enough_are_back() {
    for n in [4, 7] {
        let mut town = Town::awake(n, 0);
        submit_everywhere(&mut town);
        town.pass_ms(500);
        let away = u16::try_from(town.kit.committee.faults()).unwrap() + 1;
        for house in 0..away {
            town.stop(house, false);
        }
        town.pass_ms(100);
        submit_everywhere(&mut town);
        let stood = town.everywhere();
        town.pass_ms(3_600_000);
        assert!(town.everywhere() <= stood + 1, "too few decided something");
        // One by one, the leader of view 0 last.
        for house in (0..away).rev() {
            town.start(house);
            must_progress(&mut town, &format!("{n} validators, {house} is back"));
            town.pass_ms(30_000);
        }
    }
}

#[test]
fn c01_an_hour_of_failed_views_is_over_seconds_after_the_last() {
    let mut town = Town::awake(4, 0);
    submit_everywhere(&mut town);
    town.only(|_, _, message| !matches!(message, Message::Propose(_)));
    town.pass_ms(1);
    submit_everywhere(&mut town);
    town.pass_ms(3_600_000);
    let failed = town.engine(0).view().get();
    assert!(failed > 400, "timeouts end at 8 s, so an hour has many views: {failed}");
    let views: Vec<u64> = (0..4).map(|house| town.engine(house).view().get()).collect();
    assert!(views.iter().all(|view| view.abs_diff(failed) <= 1), "they stay together: {views:?}");
    town.all();
    must_progress(&mut town, "views failed for an hour");
}

#[test]
fn c02_one_more_than_the_liars_there_may_be_take_everybody_along() {
    for (n, liars) in [(4, 1), (5, 1), (7, 2), (10, 3), (100, 33)] {
        let mut table = Table::alone(Kit { fast: true, ..Kit::led_by(n, 1) });
        for from in 2..2 + liars {
            ask(&mut table, from, 1, None);
        }
        table.pass_ms(100);
        assert!(!asked(&table), "{liars} of {n} may all be lying");
        ask(&mut table, 2 + liars, 1, None);
        assert!(asked(&table), "one of {} of {n} is honest", liars + 1);
    }
}

/// The leader's words reach one of three, so two grow suspicious of its silence: not enough to change the view,
/// unless the third goes with them though it hears the leader well.
#[test]
fn c02_a_validator_that_is_content_goes_with_those_that_are_not() {
    let mut town = Town::awake(4, 0);
    town.only(|from, to, _| !(from == ix(0) && (to == ix(1) || to == ix(2))));
    let took = town.until(8_000, |town| (1..4).all(|house| town.engine(house).view() == View::new(1)));
    assert!(took.is_some(), "{:#?}", town.houses);
    submit_everywhere(&mut town);
    town.all();
    must_progress(&mut town, "two were suspicious");
}

/// Everything that validator 3 can say about a far view without proof.
fn claims(kit: &Kit, far: u64, committed: u64, round: u64) -> Vec<Message> {
    let lone: Vec<_> = vec![(3, kit.base_qc()); 3];
    let digest = Digest::tagged(b"far", &[&round.to_be_bytes()]);
    let mut header = kit.header(&kit.genesis(), far, Flags::NONE);
    (header.height, header.time_ms) = (Height::new(committed + 3 + round % 8), header.time_ms + round);
    let circular = EntryProof::Timeout(Box::new(kit.timeout(far - 1, &lone)));
    let certified = HighQc::Qc(kit.cert_by(VoteKind::Prepare, rank(far - 1, 9), digest, &[3]));
    let slot = rank(far, committed + 3);
    vec![
        Message::Status(Box::new(Status {
            epoch: kit.epoch,
            view: View::new(far),
            committed: Height::new(far),
            executed: Height::new(far),
            certificate: None,
            high_qc: Some(rank(far - 1, 9)),
            awaits_echo: false,
        })),
        Message::Vote(kit.vote(VoteKind::Prepare, slot, digest, 3), Height::ZERO),
        Message::Vote(kit.vote(VoteKind::Commit, slot, digest, 3), Height::ZERO),
        propose(&kit.propose(header, None)),
        Message::ViewChange(Box::new(kit.view_change(far, kit.base_qc(), None, 3))),
        Message::ViewChange(Box::new(kit.view_change(far, kit.base_qc(), Some(circular.clone()), 3))),
        Message::ViewChange(Box::new(kit.view_change(far, certified, None, 3))),
        Message::Entry(circular),
    ]
}

/// Validator 3 says in every way that it is in view 10,000, without any proof.
#[test]
fn c03_one_that_claims_to_be_in_view_10_000_changes_nothing_for_the_others() {
    let mut town = Town::awake(4, 0);
    town.stop(3, false);
    let far = (10_000..).find(|view| town.kit.leader(*view) == ix(3)).unwrap();
    let start = town.committed(0);
    for round in 0..40_u64 {
        for message in claims(&town.kit, far, town.committed(0), round) {
            town.say(3, &message);
        }
        for house in 0..3 {
            town.submit(house);
        }
        town.pass_ms(3);
        let held = town.engine(1).held();
        assert!(held.blocks <= 2 && held.votes <= 16 && held.fetches <= 16, "{held:?}");
        town.pass_ms(97);
    }
    town.pass_ms(500);
    for house in 0..3 {
        assert_eq!(town.engine(house).view(), View::ZERO);
        assert!(town.committed(house) >= start + 30, "{:#?}", town.houses);
        let held = town.engine(house).held();
        assert!(held.blocks == 0 && held.votes <= 4 && held.fetches <= 16, "{held:?}");
        assert_eq!(town.lost_or_doubled(house), None);
    }
    // The real one comes back and is one of them again.
    town.start(3);
    must_progress(&mut town, "after the claims");
}

fn entries(table: &Table, view: u64) -> usize {
    let sent = table.seats[0].sent.iter().filter(|(to, message)| {
        *to == Peers::All
            && matches!(message, Message::Entry(EntryProof::Timeout(tc)) if tc.new_view == View::new(view))
    });
    sent.count()
}

/// With four validators f+1 = q-1: joining, forming the certificate and entering are one step.
#[test]
fn c05_a_view_is_announced_and_opened_once() {
    for leads in [false, true] {
        let mut table = Table::alone(Kit { fast: true, ..Kit::led_by(4, if leads { 3 } else { 1 }) });
        let known: Vec<_> = (1..4).map(|signer| (signer, table.kit.base_qc())).collect();
        let theirs = table.kit.timeout(1, &known);
        for from in [1, 2] {
            ask(&mut table, from, 1, None);
        }
        assert_eq!(table.seats[0].engine.view(), View::new(1));
        // The last one comes late, each says it again, and others have formed their own certificate.
        for from in [3, 1, 2, 3] {
            ask(&mut table, from, 1, None);
            table.tell(from, 0, Message::Entry(EntryProof::Timeout(Box::new(theirs.clone()))));
        }
        table.pass_ms(300);
        assert_eq!(entries(&table, 1), 1, "leads: {leads}");
        let mut opened: Vec<(u64, Digest)> = Vec::new();
        for message in table.seats[0].signed(ix(0)) {
            if let Message::Propose(proposal) = message {
                opened.push((proposal.header.height.get(), proposal.header.digest()));
            }
        }
        assert_eq!(opened.len(), usize::from(leads), "{opened:?}");
    }
}

#[test]
fn c06_claims_to_far_views_are_neither_kept_nor_in_the_way_of_proven_ones() {
    let mut table = Table::alone(Kit { fast: true, ..Kit::led_by(7, 1) });
    let before = table.seats[0].engine.held();
    for view in (3..2_000).chain([u64::MAX]) {
        for from in 2..7 {
            ask(&mut table, from, view, None);
        }
    }
    table.queue.clear();
    assert_eq!(table.seats[0].engine.held(), before);
    assert!(!asked(&table) && table.seats[0].engine.view() == View::ZERO);
    // What the same validators say about the next view counts, though they have spoken of higher ones.
    for from in 2..5 {
        ask(&mut table, from, 1, None);
    }
    assert!(asked(&table), "f+1 asked for view 1");
    // One that proves view 8 takes this one there at once, and its own request for view 9 is kept.
    let known: Vec<_> = (2..7).map(|signer| (signer, table.kit.base_qc())).collect();
    let proof = EntryProof::Timeout(Box::new(table.kit.timeout(8, &known)));
    ask(&mut table, 6, 9, Some(proof.clone()));
    assert_eq!(table.seats[0].engine.view(), View::new(8));
    for from in 2..5 {
        ask(&mut table, from, 9, Some(proof.clone()));
    }
    assert_eq!(table.seats[0].engine.view(), View::new(9), "with its own, five of seven");
}

/// Blocks of no view arrive: every view fails, with nothing certified in any of them.
fn failing(n: u16) -> Town {
    let mut town = Town::awake(n, 0);
    submit_everywhere(&mut town);
    town.only(|_, _, message| !matches!(message, Message::Propose(_)));
    town.pass_ms(1);
    submit_everywhere(&mut town);
    town
}

#[test]
fn c09_a_restart_finds_the_view_it_was_in() {
    let mut town = failing(4);
    assert!(
        town.until(20_000, |town| (0..4).all(|house| town.engine(house).view() >= View::new(4))).is_some()
    );
    town.pass_ms(20);
    for house in 0..4 {
        let before = town.engine(house).view();
        town.stop(house, false);
        town.start(house);
        assert_eq!(town.engine(house).view(), before, "from its own store alone");
        town.pass_ms(50);
    }
    town.all();
    must_progress(&mut town, "each was restarted in turn");
}

#[test]
fn c09_half_the_validators_restart_with_empty_ledgers() {
    for n in [4, 6] {
        let mut town = failing(n);
        town.pass_ms(5_000);
        for house in 0..n / 2 {
            town.stop(house, false);
            town.wipe_ledger(house);
        }
        town.pass_ms(1_000);
        for house in 0..n / 2 {
            town.start(house);
        }
        town.all();
        must_progress(&mut town, "half restarted without ledgers");
        let heights: Vec<u64> = town.everybody().map(|house| town.committed(house)).collect();
        assert!(heights.iter().all(|height| height.abs_diff(heights[0]) <= 1), "{heights:?}");
    }
}

/// The proof of the newest view may be in no block at all, so it must be on the disk of its own right: that
/// is what decides where the leaders of the failed views are away.
#[test]
fn c12_all_lose_power_in_the_second_failed_view_in_a_row() {
    let cases: [(u16, &[u16], u64); 5] =
        [(4, &[], 2), (4, &[], 3), (7, &[], 2), (7, &[1, 2], 2), (10, &[1, 2, 3], 3)];
    for (n, away, failed) in cases {
        for later_ms in [0, 5, 300, 900] {
            let mut town = failing(n);
            for house in away {
                town.stop(*house, false);
            }
            let here: Vec<u16> = town.everybody().filter(|house| !away.contains(house)).collect();
            let reached = town.until(30_000, |town| {
                here.iter().all(|house| town.engine(*house).view() >= View::new(failed))
            });
            assert!(reached.is_some());
            town.pass_ms(later_ms);
            town.stop_all();
            town.pass_ms(5_000);
            here.iter().for_each(|house| town.start(*house));
            town.pass_ms(50);
            town.all();
            must_progress(
                &mut town,
                &format!("{n} validators without {away:?}, {failed} views, {later_ms} ms later"),
            );
        }
    }
}

#[test]
fn c13_all_lose_power_at_once_at_any_moment_of_work() {
    for n in [4, 7] {
        for at_ms in 0..40 {
            let mut town = Town::awake(n, 0);
            for _ in 0..3 {
                submit_everywhere(&mut town);
                town.pass_ms(17);
            }
            submit_everywhere(&mut town);
            town.pass_ms(at_ms);
            town.stop_all();
            town.pass_ms(3_000);
            town.start_all();
            town.pass_ms(50);
            must_progress(&mut town, &format!("{n} validators, power went at {at_ms} ms"));
        }
    }
}

/// A quorum certificate of timeouts is not believed for its number: each claim in it is checked.
#[test]
fn c03_a_timeout_certificate_into_a_far_view_needs_its_quorum() {
    let mut table = Table::alone(Kit { fast: true, ..Kit::led_by(4, 1) });
    let kit = &table.kit;
    let known: Vec<_> = (1..4).map(|signer| (signer, kit.base_qc())).collect();
    let sound = kit.timeout(10_000, &known);
    let forged = TimeoutCert { new_view: View::new(10_001), ..sound.clone() };
    let short = TimeoutCert { claims: sound.claims[1..].to_vec(), ..sound.clone() };
    for lie in [forged, short] {
        table.tell(3, 0, Message::Entry(EntryProof::Timeout(Box::new(lie))));
        assert_eq!(table.seats[0].engine.view(), View::ZERO);
    }
    table.tell(3, 0, Message::Entry(EntryProof::Timeout(Box::new(sound))));
    assert_eq!(table.seats[0].engine.view(), View::new(10_000), "three of four have been there");
}
