//! Many seeds of the whole network under faults: agreement, durable-before-send, progress after healing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use city_sim::campaign;
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
