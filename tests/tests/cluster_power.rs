//! All validators die at once while records are filed, by SIGKILL and by a power cut that takes with it whatever was not
//! synced. Nothing that was acknowledged is lost, nobody signs twice, and all of them vote again.
//!
//! `CITY_CYCLES` sets how often: a few in every run, many in a campaign (docs/robustness-record.md).

use std::time::{Duration, Instant};

use city_tests::cluster::disk::Disk;
use city_tests::cluster::load::{Load, assert_kept, under_load};
use city_tests::cluster::{Cluster, PATIENCE, wait_for};
use city_tests::skip;

/// Records that are acknowledged between one death and the next.
const BETWEEN: usize = 20;
/// Deaths between two looks at every record.
const LOOK_EVERY: usize = 25;

fn cycles(usual: usize) -> usize {
    std::env::var("CITY_CYCLES").ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(usual)
}

/// How long after the wanted records a death comes: at any moment of a block's life, another one each time.
fn moment(cycle: usize) -> Duration {
    Duration::from_millis((cycle as u64 * 37) % 400)
}

fn die_and_return(cluster: &mut Cluster, load: &Load, cycles: usize, die: impl Fn(&mut Cluster)) {
    let mut slowest = Duration::ZERO;
    for cycle in 1..=cycles {
        let seen = load.count();
        wait_for("acknowledged records", PATIENCE, || (load.count() >= seen + BETWEEN).then_some(()));
        std::thread::sleep(moment(cycle));
        die(cluster);
        let acknowledged = load.acknowledged();
        let start = Instant::now();
        cluster.start_all();
        slowest = slowest.max(start.elapsed());
        if cycle.is_multiple_of(LOOK_EVERY) {
            assert_there(cluster, &acknowledged);
            cluster.assert_clean();
            println!(
                "cycle {cycle}: {} acknowledged, all there; slowest return {slowest:?}",
                acknowledged.len()
            );
        }
    }
}

/// Each of the records stands on each validator, whatever else is being filed.
fn assert_there(cluster: &Cluster, acknowledged: &[String]) {
    for node in &cluster.nodes {
        wait_for("every acknowledged record", PATIENCE, || {
            let found = city_tests::cluster::http::listed(
                &node.url(),
                chain_core::record::RecordType::DocFingerprint,
            );
            acknowledged.iter().all(|record| found.get(record) == Some(&1)).then_some(())
        });
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_all_are_killed_at_once() {
    let count = cycles(5);
    let mut cluster = Cluster::up();
    let ((), acknowledged) = under_load(&mut cluster, |cluster, load| {
        die_and_return(cluster, load, count, Cluster::kill_all);
    });
    assert_kept(&cluster, &acknowledged);
    cluster.assert_clean();
    println!("{count} deaths of all four, {} acknowledged records, all there", acknowledged.len());
}

#[test]
fn nothing_acknowledged_is_lost_when_all_lose_power_at_once() {
    let count = cycles(5);
    let mut cluster = Cluster::made();
    let disk = match Disk::make(cluster.dir(), 2_048) {
        Ok(disk) => disk,
        Err(why) => {
            return skip("cluster_power::nothing_acknowledged_is_lost_when_all_lose_power_at_once", &why);
        }
    };
    for node in &mut cluster.nodes {
        disk.take(node);
    }
    cluster.start_all();
    let ((), acknowledged) = under_load(&mut cluster, |cluster, load| {
        die_and_return(cluster, load, count, |cluster| {
            disk.lose_power();
            cluster.kill_all();
            disk.restart();
        });
    });
    assert_kept(&cluster, &acknowledged);
    cluster.assert_clean();
    println!("{count} power cuts of all four, {} acknowledged records, all there", acknowledged.len());
    // The processes hold files on the disk.
    cluster.kill_all();
}
