//! Many seeds of the whole network under faults.

use city_tests::sim::random::Random;
use city_tests::sim::{Faults, Report, World};
use consensus::Params;

fn run(seed: u64, n: u16, minutes: u64) -> Result<Report, String> {
    let mut random = Random::new(seed ^ 0xfa17);
    let faults = Faults::drawn(&mut random);
    let mut world = World::new(seed, n, Params::default(), faults);
    world.run_ms(minutes * 60_000)?;
    world.heal_and_progress(10_000)
}

#[test]
fn calm_network_commits() {
    let mut world = World::new(1, 4, Params::default(), Faults::none());
    world.run_ms(60_000).unwrap();
    let report = world.heal_and_progress(10_000).unwrap();
    println!("{report:?}");
    assert!(report.blocks > 50);
}

#[test]
fn seeds() {
    let range: u64 = std::env::var("SEEDS").ok().and_then(|x| x.parse().ok()).unwrap_or(10);
    let start = std::time::Instant::now();
    let mut total = Report::default();
    let mut failed = 0;
    let first: u64 = std::env::var("FIRST").ok().and_then(|x| x.parse().ok()).unwrap_or(0);
    for seed in first..first + range {
        match run(seed, [4, 5, 7][seed as usize % 3], 5) {
            Ok(report) => total.add(&report),
            Err(error) => {
                failed += 1;
                println!("{error}");
            }
        }
    }
    println!(
        "{total:?} failed {failed} speed x{}",
        total.virtual_ms as u128 / start.elapsed().as_millis().max(1)
    );
    assert_eq!(failed, 0);
}
