//! Twins: f validators run twice under one key, through thousands of scripted partitions.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use city_sim::campaign;
use city_sim::sim::Report;
use city_sim::sim::twins::{self, Scenario, generate};
use consensus::mutant::Mutant;

/// Plays scenarios on every core until one fails: how they add up, and the failure.
fn play_all(scenarios: &[Scenario], mutant: Option<Mutant>) -> (Report, Option<(usize, String)>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    twins::play_all(scenarios, mutant, threads)
}

/// Panics with the first failing scenario, as a file that plays it again, and its transcript.
fn must_hold(scenarios: &[Scenario]) -> Report {
    let (total, failed) = play_all(scenarios, None);
    if let Some((at, violation)) = failed {
        let scenario = toml::to_string(&scenarios[at]).unwrap();
        panic!("{violation}\n{scenario}\n{}", twins::transcript(&scenarios[at], None, 40));
    }
    println!("{} scenarios: {total:?}", scenarios.len());
    assert_eq!(total.seeds, scenarios.len() as u64);
    total
}

fn count(default: usize) -> usize {
    let seeds = campaign::seeds(default as u64);
    usize::try_from(seeds.end - seeds.start).unwrap()
}

#[test]
fn every_small_scenario_of_four_holds() {
    let all = generate::enumerate(4, 2, 2);
    assert_eq!(all.len(), 520);
    let total = must_hold(&all);
    assert!(total.equivocations > 500, "{total:?}");
}

#[test]
fn sampled_scenarios_of_four_hold() {
    let total = must_hold(&generate::sample(4, count(1_000), 1));
    assert!(total.equivocations > total.seeds && total.view_changes > total.seeds, "{total:?}");
}

#[test]
fn sampled_scenarios_of_seven_hold() {
    let total = must_hold(&generate::sample(7, count(480), 2));
    assert!(total.equivocations > total.seeds && total.view_changes > total.seeds, "{total:?}");
}

/// The alarm test: with one rule removed, twins alone find it.
fn must_fail_without(mutant: Mutant, symptom: &str) {
    let (report, failed) = play_all(&generate::sample(4, 1_000, 1), Some(mutant));
    let (_, found) = failed.unwrap_or_else(|| panic!("{mutant:?} went unnoticed: {report:?}"));
    println!("{mutant:?} after {} scenarios: {found}", report.seeds);
    assert!(found.contains(symptom), "{mutant:?} was noticed as something else: {found}");
}

#[test]
fn twins_find_the_missing_vote_chain() {
    must_fail_without(Mutant::NoVoteChain, "on another branch");
}

#[test]
fn twins_find_commits_after_a_view_change() {
    must_fail_without(Mutant::CommitAfterViewChange, "after VIEW-CHANGE");
}

#[test]
fn a_scenario_plays_the_same_twice() {
    let scenarios = generate::sample(4, 3, 9);
    for scenario in &scenarios {
        assert_eq!(twins::play(scenario, None).unwrap(), twins::play(scenario, None).unwrap());
    }
}
