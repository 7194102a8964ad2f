//! The feed of a running network: whoever reads it, is killed, and goes on has every event, in order, and knows the ones
//! that came twice by their ids; every node gives the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chain_core::api::Stage;
use city_tests::cluster::clerk::{Officer, officers};
use city_tests::cluster::{Cluster, http, said, wait_for};
use serde_json::Value;

/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(60);

fn file(cluster: &Cluster, clerk: &Officer, node: usize, name: &str) {
    let operations = (0..40)
        .map(|at| {
            let (operation, body, _) = clerk.filing(&format!("{name}-{at}"), &at.to_string()).submit();
            (operation, body)
        })
        .collect();
    let submission = clerk.sign(operations);
    let url = cluster.nodes[node].url();
    wait_for("the records are executed", PATIENCE, || {
        http::submit(&url, &submission).ok().filter(|status| status.stage == Stage::Executed)
    });
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    // A reader that was killed may have left half a line.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_reader_that_is_killed_misses_nothing() {
    let mut cluster = Cluster::up();
    let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
    let folder = cluster.dir().to_owned();
    let cursor = folder.join("feed.cursor").to_string_lossy().into_owned();
    let mut seen: Vec<Value> = Vec::new();
    for round in 0..4 {
        let out = folder.join(format!("events-{round}.jsonl"));
        let mut reader = cluster
            .city_command(&["feed", "--follow", "--save-cursor", &cursor])
            .stdout(File::create(&out).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for part in 0..3 {
            file(&cluster, &clerk, 1 + part % 3, &format!("{round}-{part}"));
        }
        if round == 1 {
            // The node that is read from goes; another one takes over.
            cluster.nodes[0].kill();
            file(&cluster, &clerk, 2, "without the first");
        }
        wait_for("the reader has read on", PATIENCE, || (events(&out).len() > 2 * round).then_some(()));
        reader.kill().unwrap();
        reader.wait().unwrap();
        seen.extend(events(&out));
        if round == 1 {
            cluster.nodes[0].start();
            cluster.wait_caught_up(0);
        }
    }
    cluster.wait_agreed();
    let rest = cluster.city(&["feed", "--save-cursor", &cursor]);
    assert!(rest.status.success(), "{}", said(&rest));
    seen.extend(
        String::from_utf8(rest.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()),
    );

    // By their ids the events are the whole log, and what came twice was the same.
    let mut once: BTreeMap<u64, Value> = BTreeMap::new();
    for event in seen {
        let leaf = event["data"]["leaf_index"].as_u64().unwrap();
        assert_eq!(event["id"], format!("{}:{leaf}", event["data"]["height"]));
        let before = once.entry(leaf).or_insert_with(|| event.clone());
        assert_eq!(*before, event);
    }
    let whole = cluster.city(&["feed", "--from-height", "0"]);
    let whole: Vec<Value> = String::from_utf8(whole.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(whole.len() > 13 * 40, "{} events", whole.len());
    assert_eq!(once.into_values().collect::<Vec<_>>(), whole[..]);
    let places: Vec<u64> = whole.iter().map(|event| event["data"]["leaf_index"].as_u64().unwrap()).collect();
    assert_eq!(places, (0..whole.len() as u64).collect::<Vec<_>>(), "in order, each once");

    // Every node gives the same for a cursor; one kind alone is what the filter leaves.
    let middle = whole[whole.len() / 2]["citycursor"].as_str().unwrap();
    let page = |node: usize, more: &str| -> String {
        let url = format!("{}/v1/feed?limit=50&cursor={middle}{more}", cluster.nodes[node].url());
        ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap()
    };
    let first = page(0, "");
    for node in 1..4 {
        assert_eq!(page(node, ""), first);
    }
    let blocks = cluster.city(&["feed", "--cursor", middle, "--type", "block", "--hashes"]);
    let blocks = String::from_utf8(blocks.stdout).unwrap();
    let wanted = whole[whole.len() / 2 + 1..]
        .iter()
        .filter(|event| event["type"] == "city.block.finalized.v1")
        .count();
    assert!(
        wanted > 3 && blocks.lines().count() == wanted && !blocks.contains("\"leaf\":"),
        "{wanted}: {blocks}"
    );
    let wrong = cluster.city(&["feed", "--cursor", "0000000000000000-1"]);
    assert!(!wrong.status.success() && said(&wrong).contains("GENESIS_MISMATCH"), "{}", said(&wrong));
    cluster.assert_clean();
}
