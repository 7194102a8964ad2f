//! f+1 validators die at once and come back one by one: nothing becomes final without a quorum, the network goes on
//! with one, and nothing that was acknowledged is lost. `city-bench outage` does the same for longer and measures.

use std::time::Duration;

use city_tests::bench::outage;
use city_tests::cluster::Cluster;

#[test]
fn a_quorum_that_was_lost_and_comes_back_goes_on_and_forgot_nothing() {
    let mut cluster = Cluster::up();
    let outage = outage(&mut cluster, Duration::from_secs(15)).expect("an outage");
    println!("{outage:?}");
    assert!(outage.before > 0 && outage.acknowledged > outage.before, "{outage:?}");
}
