//! Leaders die and freeze in turn while records are filed: the others go on, whoever it was comes back, and nothing
//! that was acknowledged is lost. `city-bench leader-faults` does the same for longer and measures.

use city_tests::bench::{LeaderFault, strike_leaders};
use city_tests::cluster::Cluster;

#[test]
fn leaders_that_die_and_freeze_in_turn_stop_nobody_and_lose_nothing() {
    let mut cluster = Cluster::up();
    let struck = strike_leaders(&mut cluster, 16).expect("sixteen strikes");
    for fault in [LeaderFault::Killed, LeaderFault::Frozen] {
        let of: Vec<_> = struck.strikes.iter().filter(|one| one.fault == fault).collect();
        assert_eq!(of.len(), 8);
        println!(
            "{fault:?}: next blocks after {:?}",
            of.iter().map(|one| one.next_block).collect::<Vec<_>>()
        );
    }
    println!("{} records acknowledged meanwhile", struck.acknowledged);
    assert!(struck.acknowledged > 0);
}
