//! Many seeds of the whole network under faults: agreement, durable-before-send, progress after healing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use city_sim::campaign;
use city_sim::sim::byzantine::Lie;
use city_sim::sim::faults::Level;
use city_sim::sim::{Faults, Plan, Report, World};
use consensus::Params;
use consensus::mutant::Mutant;

/// Virtual milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs seeds on every core and adds the reports up. Panics with the first failing seed's smallest form.
fn run_all(plan: &Plan, default: u64) -> Report {
    let seeds: Vec<u64> = campaign::seeds(default).collect();
    let started = std::time::Instant::now();
    let mut total = Report::default();
    for (seed, result) in plan.run_all(&seeds, threads(), true, &|_, _| {}) {
        match result {
            Ok(report) => {
                assert!(report.blocks > 0, "seed {seed} committed no block");
                total.add(&report);
            }
            Err(violation) => panic!("seed {seed}: {}", plan.explain(seed, &violation)),
        }
    }
    let elapsed = started.elapsed();
    let speed = u128::from(total.virtual_ms) / elapsed.as_millis().max(1);
    println!("n {}: {total:#?}\n{speed} times real time, {:.1} s", plan.n, elapsed.as_secs_f64());
    total
}

#[test]
fn a_calm_network_commits_without_a_view_change() {
    let mut world = World::new(1, 4, Params::default(), Faults::none());
    world.run_ms(50_000).unwrap();
    let report = world.heal_and_progress(10_000).unwrap();
    assert!(report.blocks > 100, "{report:?}");
    assert_eq!((report.view_changes, report.fetches, report.crashes), (0, 0, 0), "{report:?}");
}

#[test]
fn one_seed_gives_one_trace() {
    for level in [Level::Calm, Level::Drawn, Level::Harsh] {
        let plan = Plan { level, ..Plan::new(4, MINUTE_MS) };
        for seed in 0..4 {
            let first = plan.run(seed).unwrap();
            assert_eq!(first, plan.run(seed).unwrap(), "{level:?} seed {seed}");
            assert_ne!(first.trace, plan.run(seed + 100).unwrap().trace, "{level:?} seed {seed}");
        }
    }
}

/// Each kind happened often: rare faults prove nothing.
fn happened_often(total: &Report, most: u64) {
    for (what, count, least) in [
        ("view changes", total.view_changes, 1_000),
        ("lossy crashes", total.lossy_crashes, 1_000),
        ("crashes between actions", total.boundary_crashes, 200),
        ("blackouts", total.blackouts, 100),
        ("failed writes", total.disk_full, 50),
        ("partitions", total.partitions, 1_000),
        ("swizzles", total.swizzles, 300),
        ("clogs", total.clogs, 5_000),
        ("messages lost", total.lost, 500_000),
        ("messages twice", total.duplicated, 200_000),
        ("fetches", total.fetches, 50_000),
        ("equivocations", total.equivocations, 500),
        ("lies", total.lies, 50_000),
        ("ledger rebuilds", total.ledger_rebuilds, 100),
        ("records lost", total.records_lost, 20),
        ("old copies put back", total.snapshots, 20),
        ("second nodes", total.twins, 20),
        ("operations accepted", total.accepted, 100_000),
        ("operations refused", total.refused, 1_000),
    ] {
        let least = least * total.seeds.min(most) / most;
        assert!(count >= least, "{count} {what} in {} seeds, wants {least}: {total:?}", total.seeds);
    }
}

#[test]
fn six_hundred_seeds_of_four_agree_and_progress_after_healing() {
    happened_often(&run_all(&Plan::new(4, 10 * MINUTE_MS), 600), 600);
}

#[test]
fn two_hundred_and_fifty_seeds_of_five_agree_and_progress_after_healing() {
    happened_often(&run_all(&Plan::new(5, 10 * MINUTE_MS), 250), 600);
}

#[test]
fn a_hundred_seeds_of_seven_agree_and_progress_after_healing() {
    let total = run_all(&Plan::new(7, 3 * MINUTE_MS), 100);
    assert!(total.view_changes > 3 * total.seeds && total.lies > 100 * total.seeds, "{total:?}");
}

#[test]
fn fifty_seeds_of_ten_agree_and_progress_after_healing() {
    let total = run_all(&Plan::new(10, 3 * MINUTE_MS), 50);
    assert!(total.view_changes > 3 * total.seeds && total.lies > 100 * total.seeds, "{total:?}");
}

/// The alarm test: with one rule removed, a seed of the very same range must fail; its one liar equivocates.
fn must_fail_without(mutant: Mutant, symptom: &str) {
    let plan = Plan { mutant: Some(mutant), ..Plan::new(4, 5 * MINUTE_MS) };
    let found = (0..600).find_map(|seed| {
        let calm = Faults::none();
        let (liars, map) = (vec![Lie::Equivocate], calm.map);
        let faults =
            Faults { liars, map, record_lost: false, snapshot: false, twin: false, ..plan.faults(seed) };
        plan.run_under(seed, &faults, plan.span_ms).err()
    });
    let found = found.unwrap_or_else(|| panic!("{mutant:?} went unnoticed in 600 seeds"));
    println!("{mutant:?}: {found}");
    assert!(found.contains(symptom), "{mutant:?} was noticed as something else: {found}");
}

#[test]
fn removing_the_vote_chain_r1b_is_noticed() {
    must_fail_without(Mutant::NoVoteChain, "on another branch");
}

#[test]
fn committing_after_a_view_change_r2_is_noticed() {
    must_fail_without(Mutant::CommitAfterViewChange, "after VIEW-CHANGE");
}

#[test]
fn sending_before_the_write_is_durable_is_noticed() {
    must_fail_without(Mutant::SendBeforeDurable, "before it was durable");
}

#[test]
fn a_failing_seed_is_told_in_its_smallest_form() {
    let plan = Plan { mutant: Some(Mutant::SendBeforeDurable), ..Plan::new(4, MINUTE_MS) };
    let violation = plan.run(3).unwrap_err();
    let small = plan.explain(3, &violation);
    assert!(small.violation.contains("before it was durable"), "{small}");
    // This mutant fails at once and needs no fault: none may be left.
    assert_eq!(small.faults.ill(), 0, "{small}");
    assert!(small.faults.crash_every_ms + small.faults.partition_every_ms == 0, "{small}");
    assert!(small.span_ms < 5_000, "{small}");
    assert!(small.transcript.contains(" -> "), "{small}");
}

#[test]
fn an_old_copy_of_the_store_is_noticed_before_it_votes() {
    for seed in 0..8 {
        let faults = Faults { snapshot: true, submit_every_ms: 100, down_ms: (100, 2_000), ..Faults::none() };
        let mut world = World::new(seed, 4, Params::default(), faults);
        world.run_ms(3 * MINUTE_MS).unwrap();
        let report = world.heal_and_progress(10_000).unwrap();
        let seen = (report.snapshots, report.snapshots_noticed, report.double_signed);
        assert_eq!(seen, (1, 1, 0), "seed {seed}: {report:?}");
    }
}
