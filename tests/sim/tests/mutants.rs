//! The alarm test of the tests: the engine loses one rule at a time, and each loss is noticed.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::Flags;
use chain_core::certificate::VoteKind;
use chain_core::id::{Epoch, Height};
use city_sim::kit::Kit;
use city_sim::kit::table::Table;
use city_sim::sim::faults::Level;
use city_sim::sim::random::Random;
use city_sim::sim::{Faults, World};
use consensus::Params;
use consensus::message::{Message, Vote};
use consensus::mutant::Mutant;
use consensus::safety::{Foundation, Refused};
use consensus::spec::trace::TraceChecker;

/// Seeds within which the simulator must notice.
const SEEDS: u64 = 300;

/// What the ordinary simulation makes of a network of such engines.
fn simulate(mutant: Mutant, n: u16, seed: u64) -> Result<(), String> {
    let faults = Faults::draw(Level::Drawn, n, None, &mut Random::new(seed ^ 0xfa17));
    let mut world = World::new(seed, n, Params::default(), faults);
    world.mutate(mutant);
    world.run_ms(5 * 60_000)?;
    world.heal_and_progress(10_000).map(|_| ())
}

fn noticed_by_the_simulator(mutant: Mutant, sizes: &[u16], symptoms: &[&str]) {
    let found = (0..SEEDS).find_map(|seed| {
        let n = sizes[usize::try_from(seed).unwrap() % sizes.len()];
        simulate(mutant, n, seed).err().map(|what| (seed, what))
    });
    let (seed, what) = found.unwrap_or_else(|| panic!("{mutant:?} went unnoticed in {SEEDS} seeds"));
    println!("{mutant:?}, seed {seed}: {what}");
    assert!(
        symptoms.iter().any(|one| what.contains(one)),
        "{mutant:?} was noticed as something else: {what}"
    );
}

/// Honest engines give up on a leader that shows two blocks for a slot before they would vote twice (T4), so this
/// rule is lost where it stands: in the safety module alone.
#[test]
fn two_votes_for_a_slot_r1a() {
    let kit = Kit::new(4);
    let first = kit.header(&kit.genesis(), 0, Flags::NONE);
    let mut rival = kit.header(&kit.genesis(), 0, Flags::NONE);
    rival.time_ms += 1;
    for lost in [false, true] {
        let mut trace = TraceChecker::new(kit.epoch, kit.base(), 4);
        [&first, &rival].into_iter().for_each(|header| trace.learn(header));
        let mut safety = kit.safety(1);
        if lost {
            safety.mutate(Mutant::TwoVotesASlot);
        }
        let mut say = |vote: Vote| trace.observe(vote.signer, &Message::Vote(vote, Height::ZERO), |_| None);
        say(safety.prepare(&[&first], Some(Foundation::Base)).unwrap()).unwrap();
        let again = safety.prepare(&[&rival], Some(Foundation::Base)).map(&mut say);
        match again {
            Err(refused) => assert!(!lost && refused == Refused::NotAbove, "{refused}"),
            Ok(said) => {
                let what = said.unwrap_err().to_string();
                println!("{:?}: {what}", Mutant::TwoVotesASlot);
                assert!(lost && what.contains("R1a"), "{what}");
            }
        }
    }
}

#[test]
fn a_view_that_goes_on_after_its_end_r1c() {
    noticed_by_the_simulator(Mutant::TermEndIsNotLast, &[4, 5, 7], &["R1c", "above the end of its view"]);
}

#[test]
fn a_term_that_ends_anywhere_r1d() {
    noticed_by_the_simulator(Mutant::TermEndWithoutFlag, &[4, 5, 7], &["R1d"]);
}

#[test]
fn a_view_on_the_lowest_claim_r1d() {
    noticed_by_the_simulator(Mutant::LowestBase, &[4, 5, 7], &["R1d", "others"]);
}

#[test]
fn a_commit_in_a_view_seen_to_go_on_r2() {
    noticed_by_the_simulator(Mutant::Healing, &[4, 5, 7], &["R2", "after VIEW-CHANGE"]);
}

#[test]
fn a_view_change_that_forgets_r5() {
    noticed_by_the_simulator(Mutant::ForgetfulViewChange, &[4, 5, 7], &["R5", "after COMMIT"]);
}

#[test]
fn a_quorum_of_2f_plus_1() {
    for n in [5, 6, 8] {
        noticed_by_the_simulator(
            Mutant::SmallQuorum,
            &[n],
            &["certificate", "certified", "without a quorum"],
        );
    }
}

/// Engines that have lost a rule come to the end of an epoch, whose closing block is certified and not
/// committed before its view is left.
fn end_an_epoch(mutant: Option<Mutant>) -> Vec<String> {
    let mut table = Table::new(4);
    let next = Kit::on("kit", Epoch::new(1), 5).committee.hash();
    // One that takes any block for a closing one is not given any.
    table.schedule = (mutant != Some(Mutant::SuffixOnAnything)).then_some((Height::new(1), next));
    table.expects_violations = true;
    for seat in &mut table.seats {
        mutant.into_iter().for_each(|mutant| seat.engine.mutate(mutant));
    }
    table.meet();
    for _ in 0..1_000 {
        table.pass_ms_by(100, |_, _, message| {
            !matches!(message, Message::Vote(vote, _) if vote.kind == VoteKind::Commit && vote.height > Height::new(1))
        });
        if !table.violations.is_empty() {
            break;
        }
    }
    table.violations
}

#[test]
fn another_block_on_a_closing_one_m14() {
    let violations = end_an_epoch(Some(Mutant::ClosingIsNotLast));
    println!("{violations:#?}");
    assert!(violations[0].contains("V: "), "{violations:?}");
}

#[test]
fn a_suffix_on_an_ordinary_block_m14() {
    let violations = end_an_epoch(Some(Mutant::SuffixOnAnything));
    println!("{violations:#?}");
    assert!(violations[0].contains("V: "), "{violations:?}");
}

#[test]
fn with_all_rules_the_same_end_is_in_order() {
    assert_eq!(end_an_epoch(None), Vec::<String>::new());
}
