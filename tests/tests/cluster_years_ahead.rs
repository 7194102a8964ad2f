//! Ten years later: validators whose clocks stand ten years ahead go on with the chain, and what was proved before is good.

use std::time::Duration;

use chain_core::api::Stage;
use city_tests::cluster::clerk::{Officer, now_ms, officers, record_of};
use city_tests::cluster::{Cluster, clock, http, said, wait_for};
use city_tests::skip;

/// Ten years of 365 days.
const YEARS_S: i64 = 10 * 365 * 24 * 60 * 60;
const YEARS_MS: u64 = YEARS_S.unsigned_abs() * 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Files a record at a node by a clock that is so far ahead; gives its id.
fn file(cluster: &Cluster, node: usize, clerk: &Officer, name: &str, ahead_ms: u64) -> String {
    let (operation, body, _) = clerk.filing(name, name).submit();
    let submission = clerk.sign_until(now_ms() + ahead_ms + 30 * 60 * 1000, vec![(operation, body)]);
    let status = wait_for("a record is executed", PATIENCE, || {
        let status = http::submit(&cluster.nodes[node].url(), &submission).ok()?;
        (status.stage == Stage::Executed).then_some(status)
    });
    record_of(&status)
}

/// Gets the receipt of a record and verifies it offline.
fn receipt(cluster: &Cluster, record: &str, file: &str) {
    let got = cluster.city(&["receipt", "get", record, "--out", file, "--timeout", "60s"]);
    assert!(got.status.success(), "{}", said(&got));
    verify(cluster, file);
}

fn verify(cluster: &Cluster, file: &str) {
    let verified = cluster.city(&["receipt", "verify", file]);
    assert!(verified.status.success(), "{file}: {}", said(&verified));
}

#[test]
fn blocks_go_on_ten_years_later_and_old_receipts_verify() {
    let mut cluster = Cluster::up();
    let library = match clock::shifted(cluster.dir(), YEARS_S) {
        Ok(library) => library,
        Err(why) => return skip("cluster_years_ahead", &why),
    };
    // Officials whose appointment is over by then could sign nothing: these have none that ends.
    let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
    let before = file(&cluster, 0, &clerk, "today", 0);
    let trust = cluster.city(&["trust", "init"]);
    assert!(trust.status.success(), "{}", said(&trust));
    receipt(&cluster, &before, "today.json");
    let standing = cluster.wait_agreed();
    for node in &mut cluster.nodes {
        node.terminate();
    }
    for node in &mut cluster.nodes {
        assert!(node.ended_within(PATIENCE).unwrap().success(), "{}", node.name);
    }

    // The monotonic clock, by which timeouts run, is left alone.
    let env = [("LD_PRELOAD", library.to_str().unwrap_or_default())];
    for node in &mut cluster.nodes {
        node.start_with(&env);
    }
    cluster.wait_voting();
    let after: Vec<String> =
        (0..4).map(|at| file(&cluster, at, &clerk, &format!("in ten years {at}"), YEARS_MS)).collect();
    let agreed = cluster.wait_agreed();
    let passed = agreed.block_time_ms - standing.block_time_ms;
    assert!(passed >= YEARS_MS, "{passed} ms of block time");
    assert!(agreed.committed.get() > standing.committed.get() + 4, "{agreed:?}");
    verify(&cluster, "today.json");
    receipt(&cluster, &before, "today-then.json");
    receipt(&cluster, &after[3], "then.json");
    let audit = cluster.city(&["audit", "chain", "--no-memory", "--timeout", "100s"]);
    assert!(audit.status.success(), "{}", said(&audit));
    for node in &mut cluster.nodes {
        node.kill();
        let checked = node.run("fsck");
        assert!(checked.status.success(), "{}", said(&checked));
    }
    cluster.assert_clean();
    println!("{passed} ms of block time passed, height {}", agreed.committed);
}
