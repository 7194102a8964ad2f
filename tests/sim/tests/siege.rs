//! One engine among liars, under seeded sieges: no panic, no second signature for a slot, no bound exceeded
//! (reliability A14, B16, D4; consensus 6.G1). The fuzz target `engine_handle` plays the same game.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use city_sim::campaign;
use city_sim::siege;
use city_sim::sim::random::Random;

#[test]
fn g02_an_engine_among_liars_keeps_its_promises() {
    for seed in campaign::seeds(1_500) {
        let mut random = Random::new(seed);
        let len = usize::try_from(random.between(50, 4_000)).unwrap();
        let bytes: Vec<u8> = (0..len).map(|_| random.next_u64().to_le_bytes()[0]).collect();
        if std::panic::catch_unwind(|| siege::run(&bytes)).is_err() {
            panic!("siege of seed {seed} broke a promise");
        }
    }
}
