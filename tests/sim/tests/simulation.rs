//! Many seeds of the whole network under faults: agreement, durable-before-send, progress after healing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::sync::atomic::{AtomicU64, Ordering};

use city_sim::campaign;
use city_sim::sim::random::Random;
use city_sim::sim::{Faults, Report, World};
use consensus::Params;
use consensus::mutant::Mutant;

/// Virtual minutes of one seed.
const MINUTES: u64 = 5;
/// Progress must be back this long after healing.
const HEALED_WITHIN_MS: u64 = 10_000;

/// Validators of a seed.
fn size(seed: u64) -> u16 {
    [4, 5, 7][(seed % 3) as usize]
}

fn world(seed: u64) -> World {
    let mut random = Random::new(seed ^ 0xfa17);
    let faults = Faults::drawn(&mut random);
    World::new(seed, size(seed), Params::default(), faults)
}

fn run(mut world: World) -> Result<Report, String> {
    world.run_ms(MINUTES * 60_000)?;
    world.heal_and_progress(HEALED_WITHIN_MS)
}

/// Runs seeds on every core and adds the reports up. Panics with the first failing seed's transcript.
fn run_all(first: u64, count: u64) -> Report {
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let reports: Vec<Vec<(u64, Result<Report, String>)>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + count {
                            return done;
                        }
                        done.push((seed, run(world(seed))));
                    }
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a seed panicked")).collect()
    });
    let mut reports: Vec<_> = reports.into_iter().flatten().collect();
    reports.sort_by_key(|(seed, _)| *seed);
    let mut total = Report::default();
    for (seed, result) in reports {
        match result {
            Ok(report) => {
                assert!(report.blocks > 0, "seed {seed} committed no block");
                total.add(&report);
            }
            Err(violation) => {
                let mut again = world(seed);
                again.keep_transcript();
                let _ = again.run_ms(MINUTES * 60_000);
                panic!("{violation}\nlast steps of seed {seed}:\n{}", again.transcript(60));
            }
        }
    }
    total
}

#[test]
fn a_calm_network_commits_without_a_view_change() {
    let mut world = World::new(1, 4, Params::default(), Faults::none());
    world.run_ms(50_000).unwrap();
    let report = world.heal_and_progress(HEALED_WITHIN_MS).unwrap();
    assert!(report.blocks > 100, "{report:?}");
    assert_eq!((report.view_changes, report.fetches, report.crashes), (0, 0, 0), "{report:?}");
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..6 {
        let trace = || {
            let mut world = world(seed);
            world.run_ms(60_000).unwrap();
            world.heal_and_progress(HEALED_WITHIN_MS).unwrap()
        };
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}

#[test]
fn three_hundred_seeds_agree_and_progress_after_healing() {
    let seeds = campaign::seeds(300);
    let (first, count) = (seeds.start, seeds.end - seeds.start);
    let started = std::time::Instant::now();
    let total = run_all(first, count);
    let speed = u128::from(total.virtual_ms) / started.elapsed().as_millis().max(1);
    println!("seeds {first}..{}: {total:#?}\n{speed} times real time", first + count);
    if count >= 300 {
        // Rare faults prove nothing: each kind happened often.
        assert!(total.view_changes > 1_000, "{total:?}");
        assert!(total.lossy_crashes > 1_000, "{total:?}");
        assert!(total.partitions > 1_000, "{total:?}");
        assert!(total.fetches > 1_000, "{total:?}");
        assert!(total.equivocations > 100, "{total:?}");
        assert!(total.ledger_rebuilds > 100, "{total:?}");
        assert!(total.records_lost > 20, "{total:?}");
        assert!(total.accepted > 100_000 && total.refused > 1_000, "{total:?}");
    }
}

/// The alarm test: with one rule removed, a seed of the very same range must fail.
fn must_fail_without(mutant: Mutant, symptom: &str) {
    let found = (0..300).find_map(|seed| {
        let mut world = world(seed);
        world.mutate(mutant);
        run(world).err()
    });
    let found = found.unwrap_or_else(|| panic!("{mutant:?} went unnoticed in 300 seeds"));
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
