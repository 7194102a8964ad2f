//! Changes of the validator set under every fault: one chain over all epochs, and progress after healing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use city_sim::campaign;
use city_sim::sim::churn::Change;
use city_sim::sim::epochs::Joiner;
use city_sim::sim::network::Map;
use city_sim::sim::run::Profile;
use city_sim::sim::{Faults, Plan, Report, World};
use consensus::Params;
use consensus::mutant::Mutant;

/// Virtual milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;
/// Virtual milliseconds that a test looks at a time.
const STEP_MS: u64 = 20;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Seeds of `n` validators whose set changes in every one.
fn run_all(n: u16, seeds: &[u64]) -> Report {
    let plan = Plan { profile: Profile::Churn, ..Plan::new(n, 3 * MINUTE_MS) };
    let mut total = Report::default();
    for (seed, result) in plan.run_all(seeds, threads(), true, &|_, _| {}) {
        match result {
            Ok(report) => total.add(&report),
            Err(violation) => panic!("n {n} seed {seed}: {}", plan.explain(seed, &violation)),
        }
    }
    total
}

#[test]
fn sixty_seeds_of_changing_sets_agree_and_progress_after_healing() {
    let seeds: Vec<u64> = campaign::seeds(60).collect();
    let mut total = Report::default();
    for n in 4..=7 {
        let mine: Vec<u64> = seeds.iter().copied().filter(|seed| seed % 4 == u64::from(n - 4)).collect();
        total.add(&run_all(n, &mine));
    }
    println!("{total:#?}");
    for (what, count, least) in [
        ("epochs", total.epochs, 200),
        ("closings through a Suffix", total.suffix_closings, 30),
        ("closings that schedule again", total.back_to_back, 15),
        ("joins", total.joins, 80),
        ("removals", total.removals, 60),
        ("new keys", total.rekeys, 40),
        ("batches filed again", total.filed_again, 100),
        ("ends told", total.ends_told, 100),
        ("crashes between two epochs", total.epoch_crashes, 20),
        ("lossy crashes", total.lossy_crashes, 50),
        ("ledger rebuilds", total.ledger_rebuilds, 10),
        ("lies", total.lies, 5_000),
    ] {
        let least = least * total.seeds.min(60) / 60;
        assert!(count >= least, "{count} {what} in {} seeds, wants {least}: {total:?}", total.seeds);
    }
}

#[test]
fn one_seed_of_a_changing_set_gives_one_trace() {
    let plan = Plan { profile: Profile::Churn, ..Plan::new(4, MINUTE_MS) };
    for seed in 0..3 {
        assert_eq!(plan.run(seed).unwrap(), plan.run(seed).unwrap(), "seed {seed}");
    }
}

/// A calm network under load, in which nothing happens but what a test asks for.
fn calm(seed: u64, n: u16) -> World {
    let faults = Faults { submit_every_ms: 50, ..Faults::none() };
    let mut world = World::new(seed, n, Params::default(), faults);
    world.run_ms(5_000).unwrap();
    assert!(world.height().get() > 10);
    world
}

/// Runs until so many epochs have begun. The longest time without a new height, milliseconds.
fn run_to_epoch(world: &mut World, epochs: usize) -> u64 {
    let (mut gap, mut longest, mut waited) = (0, 0, 0);
    while world.epochs() < epochs {
        let before = world.height();
        world.run_ms(STEP_MS).unwrap();
        gap = if world.height() > before { 0 } else { gap + STEP_MS };
        longest = longest.max(gap);
        waited += STEP_MS;
        assert!(waited < MINUTE_MS, "the set does not change\n{}", world.state());
    }
    longest
}

/// Runs for a span. The longest time without a new height, milliseconds.
fn longest_gap(world: &mut World, span_ms: u64) -> u64 {
    let (mut gap, mut longest) = (0, 0);
    for _ in 0..span_ms / STEP_MS {
        let before = world.height();
        world.run_ms(STEP_MS).unwrap();
        gap = if world.height() > before { 0 } else { gap + STEP_MS };
        longest = longest.max(gap);
    }
    longest
}

fn votes_in(world: &World, name: u16) -> Option<u64> {
    world.standing(name).filter(|(_, votes)| *votes).map(|(epoch, _)| epoch)
}

#[test]
fn f01_adding_a_validator_halts_nothing() {
    for seed in 0..4 {
        let mut world = calm(seed, 4);
        let member = world.new_member();
        world.order(vec![Change::Add(member)], Joiner::Prompt);
        let gap = run_to_epoch(&mut world, 2).max(longest_gap(&mut world, 10_000));
        println!("seed {seed}: {gap} ms");
        assert!(gap <= 500, "seed {seed}: nothing for {gap} ms");
        assert_eq!(votes_in(&world, member.name), Some(1), "it votes\n{}", world.state());
        world.heal_and_progress(10_000).unwrap();
    }
}

#[test]
fn f01_a_dead_joiner_halts_nothing() {
    for seed in 0..4 {
        let mut world = calm(seed, 4);
        let member = world.new_member();
        world.order(vec![Change::Add(member)], Joiner::Dead);
        // When it is its turn to lead, the others must lose patience first.
        let gap = run_to_epoch(&mut world, 2).max(longest_gap(&mut world, 2 * MINUTE_MS));
        println!("seed {seed}: {gap} ms");
        assert!(gap <= 5_000, "seed {seed}: nothing for {gap} ms");
        assert_eq!(world.standing(member.name), None);
        world.heal_and_progress(10_000).unwrap();
        assert_eq!(votes_in(&world, member.name), Some(1), "it votes\n{}", world.state());
    }
}

#[test]
fn f01_a_joiner_that_must_fetch_everything_halts_nothing() {
    for (seed, later_ms) in [(0, 5_000), (1, 20_000), (2, 40_000)] {
        let mut world = calm(seed, 4);
        world.run_ms(MINUTE_MS).unwrap();
        let member = world.new_member();
        world.order(vec![Change::Add(member)], Joiner::Late(later_ms));
        let gap = run_to_epoch(&mut world, 2).max(longest_gap(&mut world, later_ms - 1_000));
        assert_eq!(world.standing(member.name), None);
        let gap = gap.max(longest_gap(&mut world, 30_000));
        println!("seed {seed}: {gap} ms");
        assert!(gap <= 5_000, "seed {seed}: nothing for {gap} ms");
        assert_eq!(votes_in(&world, member.name), Some(1), "it votes\n{}", world.state());
        world.heal_and_progress(10_000).unwrap();
    }
}

#[test]
fn f01_a_joiner_behind_bad_links_halts_nothing() {
    for seed in 0..4 {
        let mut world = calm(seed, 4);
        let member = world.new_member();
        world.order(vec![Change::Add(member)], Joiner::Prompt);
        let mut gap = run_to_epoch(&mut world, 2);
        // Two seconds of links, four seconds without, again and again.
        for _ in 0..10 {
            world.isolate(member.name, true);
            gap = gap.max(longest_gap(&mut world, 4_000));
            world.isolate(member.name, false);
            gap = gap.max(longest_gap(&mut world, 2_000));
        }
        println!("seed {seed}: {gap} ms");
        assert!(gap <= 5_000, "seed {seed}: nothing for {gap} ms");
        world.heal_and_progress(10_000).unwrap();
        assert_eq!(votes_in(&world, member.name), Some(1), "it votes\n{}", world.state());
    }
}

#[test]
fn f01_a_leader_that_leaves_halts_nothing() {
    for seed in 0..4 {
        let mut world = calm(seed, 5);
        let leader = world.leader().unwrap();
        world.order(vec![Change::Remove(leader)], Joiner::Prompt);
        let gap = run_to_epoch(&mut world, 2).max(longest_gap(&mut world, 10_000));
        println!("seed {seed}: {gap} ms");
        assert!(gap <= 500, "seed {seed}: nothing for {gap} ms");
        assert_eq!(world.standing(leader), Some((1, false)), "it follows\n{}", world.state());
        assert_eq!(world.roster().members.len(), 4);
        world.heal_and_progress(10_000).unwrap();
    }
}

#[test]
fn f01_two_changes_back_to_back_halt_nothing() {
    for seed in 0..4 {
        let mut world = calm(seed, 4);
        let (first, second) = (world.new_member(), world.new_member());
        world.order(vec![Change::Add(first)], Joiner::Prompt);
        world.order(vec![Change::Add(second), Change::Rekey(0)], Joiner::Prompt);
        world.order_at_closing();
        let gap = run_to_epoch(&mut world, 3).max(longest_gap(&mut world, 10_000));
        println!("seed {seed}: {gap} ms");
        assert!(gap <= 2_000, "seed {seed}: nothing for {gap} ms");
        assert_eq!(world.report().back_to_back, 1);
        for name in [0, first.name, second.name] {
            assert_eq!(votes_in(&world, name), Some(2), "v{name} votes\n{}", world.state());
        }
        world.heal_and_progress(10_000).unwrap();
    }
}

#[test]
fn f01_a_view_change_at_the_closing_block_ends_the_epoch_all_the_same() {
    let mut suffixes = 0;
    for seed in 0..12 {
        let faults = Faults { submit_every_ms: 50, closing_cut_per_mille: 1_000, ..Faults::none() };
        let mut world = World::new(seed, 4, Params::default(), faults);
        world.run_ms(5_000).unwrap();
        let member = world.new_member();
        world.order(vec![Change::Add(member)], Joiner::Prompt);
        run_to_epoch(&mut world, 2);
        world.run_ms(20_000).unwrap();
        suffixes += world.heal_and_progress(10_000).unwrap().suffix_closings;
        assert_eq!(votes_in(&world, member.name), Some(1), "it votes\n{}", world.state());
    }
    println!("{suffixes} of 12 through a Suffix");
    assert!(suffixes >= 3, "{suffixes}");
}

#[test]
fn f03_closing_block_above_a_full_window() {
    let params = Params { window: 8, ..Params::default() };
    let (mut full, mut suffixes) = (0, 0);
    for seed in 0..16 {
        let faults = Faults {
            map: Map::Intercontinental,
            submit_every_ms: 4,
            closing_cut_per_mille: 1_000,
            ..Faults::none()
        };
        let mut world = World::new(seed, 4, params.clone(), faults);
        world.run_ms(10_000).unwrap();
        let member = world.new_member();
        world.order(vec![Change::Add(member)], Joiner::Prompt);
        run_to_epoch(&mut world, 2);
        let report = world.heal_and_progress(20_000).unwrap();
        full += u64::from(report.deepest_closing >= params.window);
        suffixes += report.suffix_closings;
    }
    println!("{full} of 16 at the end of a full window, {suffixes} of 16 through a Suffix");
    assert!(full >= 3 && suffixes >= 1, "{full} full, {suffixes} through a Suffix");
}

#[test]
fn f04_votes_of_the_old_epoch_are_gone_and_its_end_is_served() {
    for seed in 0..4 {
        let mut world = calm(seed, 4);
        let leader = world.leader().unwrap();
        let late = (leader + 1) % 4;
        world.isolate(late, true);
        // Everybody else gets another place or another key, twice.
        let (first, second) = (world.new_member(), world.new_member());
        world.order(vec![Change::Replace((late + 1) % 4, first)], Joiner::Prompt);
        run_to_epoch(&mut world, 2);
        world.run_ms(5_000).unwrap();
        world.order(vec![Change::Replace((late + 2) % 4, second)], Joiner::Prompt);
        run_to_epoch(&mut world, 3);
        world.run_ms(30_000).unwrap();
        assert_eq!(world.standing(late).map(|(epoch, _)| epoch), Some(0), "{}", world.state());
        let told = world.report().ends_told;
        // Its votes and VIEW-CHANGEs of epoch 0 reach nobody who would count them; it is told of both ends.
        world.isolate(late, false);
        world.run_ms(15_000).unwrap();
        assert_eq!(votes_in(&world, late), Some(2), "{}", world.state());
        assert!(world.report().ends_told >= told + 2, "{:?}", world.report());
        world.heal_and_progress(10_000).unwrap();
    }
}

/// The alarm test: with one rule removed, a seed of the very same range must fail.
fn must_fail_without(mutant: Mutant, symptom: &str) {
    let plan = Plan { mutant: Some(mutant), profile: Profile::Churn, ..Plan::new(4, 3 * MINUTE_MS) };
    let seeds: Vec<u64> = (0..60).collect();
    let results = plan.run_all(&seeds, threads(), true, &|_, _| {});
    let found = results.iter().find_map(|(_, result)| result.as_ref().err());
    let found = found.unwrap_or_else(|| panic!("{mutant:?} went unnoticed in {} seeds", results.len()));
    println!("{mutant:?}: {found}");
    assert!(found.contains(symptom), "{mutant:?} was noticed as something else: {found}");
}

#[test]
fn a_block_on_a_closing_block_is_noticed() {
    must_fail_without(Mutant::ClosingIsNotLast, "closing ancestor");
}

#[test]
fn a_suffix_without_a_closing_block_is_noticed() {
    must_fail_without(Mutant::SuffixOnAnything, "closing ancestor");
}
