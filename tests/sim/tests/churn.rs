//! Changes of the validator set under every fault: one chain over all epochs, and progress after healing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use city_sim::campaign;
use city_sim::sim::run::Profile;
use city_sim::sim::{Plan, Report};

/// Virtual milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;

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
}
