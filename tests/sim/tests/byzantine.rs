//! Each way to lie, alone, by as many as the protocol tolerates: the others agree, and go on.

use chain_core::committee::faults;
use city_sim::sim::byzantine::Lie;
use city_sim::sim::network::Map;
use city_sim::sim::{Faults, World};
use consensus::Params;

/// Virtual milliseconds of one run.
const SPAN_MS: u64 = 90_000;

fn survive(lie: Lie, least_lies: u64) {
    let mut lies = 0;
    for (n, seed, map) in [(4, 1, Map::Metro), (7, 2, Map::National), (10, 3, Map::Metro)] {
        let liars = vec![lie; faults(usize::from(n))];
        let f = liars.len() as u64;
        let setup = Faults { map, liars, loss_per_mille: 10, ..Faults::none() };
        let mut world = World::new(seed, n, Params::default(), setup);
        let report = world
            .run_ms(SPAN_MS)
            .and_then(|()| world.heal_and_progress(10_000 + 10_000 * f))
            .unwrap_or_else(|violation| panic!("{lie:?}: {violation}"));
        println!("{lie:?} n {n}: {report:?}");
        lies += report.lies;
        assert!(report.blocks > 50, "{lie:?} n {n}: {report:?}");
    }
    assert!(lies >= least_lies, "{lie:?} told {lies} lies");
}

#[test]
fn equivocation_is_noticed_and_survived() {
    // Its lies are other contents for some, counted where they are noticed.
    survive(Lie::Equivocate, 0);
    let setup = Faults { liars: vec![Lie::Equivocate], ..Faults::none() };
    let mut world = World::new(5, 4, Params::default(), setup);
    let report = world.run_ms(SPAN_MS).map(|()| world.report());
    assert!(report.as_ref().is_ok_and(|report| report.equivocations > 10), "{report:?}");
}

#[test]
fn withholding_is_survived() {
    survive(Lie::Withhold, 1_000);
}

#[test]
fn speaking_to_a_quorum_alone_is_survived() {
    survive(Lie::Select, 5_000);
}

#[test]
fn old_messages_are_survived() {
    survive(Lie::Stale, 300);
}

#[test]
fn garbage_is_survived() {
    survive(Lie::Garbage, 200);
}

#[test]
fn slow_leaders_are_survived() {
    survive(Lie::Slow, 300);
}

#[test]
fn false_claims_are_survived() {
    survive(Lie::Claims, 100);
}

#[test]
fn lying_sync_peers_are_survived() {
    survive(Lie::Sync, 0);
    // Somebody must have asked for blocks while they answered.
    let setup = Faults {
        liars: vec![Lie::Sync, Lie::Sync],
        crash_every_ms: 8_000,
        down_ms: (1_000, 8_000),
        loss_per_mille: 50,
        ..Faults::none()
    };
    let mut crashes = 0;
    for seed in 6..12 {
        let mut world = World::new(seed, 7, Params::default(), setup.clone());
        let report = world.run_ms(SPAN_MS).and_then(|()| world.heal_and_progress(30_000));
        assert!(report.as_ref().is_ok_and(|report| report.fetches > 50), "{report:?}");
        crashes += report.map_or(0, |report| report.crashes);
    }
    assert!(crashes > 6, "{crashes}");
}
