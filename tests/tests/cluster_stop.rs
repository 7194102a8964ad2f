//! How validators stop when they are told to, and what a second process on one directory hears.

use std::time::Duration;

use city_tests::cluster::clerk::officers;
use city_tests::cluster::{Cluster, http};

/// The longest a service manager should have to wait.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn sigterm_under_load_stops_in_time_and_loses_nothing() {
    let mut cluster = Cluster::up();
    let clerks = officers(&cluster.genesis, &cluster.keys, "clerk", 4);
    let filed: Vec<_> = (0..60)
        .map(|number| {
            let key = format!("before-{number}");
            let submission = clerks[number % clerks.len()].file(&key, &key);
            let answer = http::submit(&cluster.nodes[number % 4].url(), &submission).unwrap();
            assert!(!answer.outcomes.is_empty(), "{answer:?}");
            answer.tx
        })
        .collect();
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url()).collect();
    std::thread::scope(|scope| {
        // Filing goes on while they stop; these may be refused or cut off, not half done.
        for (lane, clerk) in clerks.iter().enumerate() {
            let url = &urls[lane % urls.len()];
            scope.spawn(move || {
                (0..200).all(|number| {
                    let key = format!("during-{lane}-{number}");
                    http::submit(url, &clerk.file(&key, &key)).is_ok()
                })
            });
        }
        std::thread::sleep(Duration::from_millis(300));
        for node in &mut cluster.nodes {
            node.terminate();
        }
        for node in &mut cluster.nodes {
            let status = node.ended_within(STOP_WITHIN);
            assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", node.name);
        }
    });
    for node in &cluster.nodes {
        let check = node.run("check");
        let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
        assert_eq!(report["votes"], true, "{}: {report}", node.name);
    }
    cluster.start_all();
    let agreed = cluster.wait_agreed();
    for node in &cluster.nodes {
        for tx in &filed {
            let held: chain_core::api::TransactionStatus =
                http::get(&format!("{}/v1/transactions/{tx}", node.url())).unwrap();
            assert!(!held.outcomes.is_empty(), "{}: {held:?}", node.name);
        }
    }
    println!("{} records from before, all there at height {}", filed.len(), agreed.committed);
    // A second process on the same directory is refused.
    let second = cluster.nodes[0].run("start");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(6), "{said}");
    assert!(said.contains("LOCK_HELD"), "{said}");
    cluster.assert_clean();
}
