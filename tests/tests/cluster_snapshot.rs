//! What docs/operate/snapshots.md promises, with real processes: the end of an epoch leaves a snapshot at every validator,
//! all of one certified root; a lost, a damaged and a half restored ledger come back from it and execute only what came
//! after; a damaged snapshot takes the place of nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use chain_core::api::{Stage, ValidatorsView};
use chain_core::record::RecordType;
use city_tests::cluster::clerk::{Officer, officers, record_of};
use city_tests::cluster::council::Council;
use city_tests::cluster::{Cluster, Node, done, http, said, wait_for};
use serde_json::Value;

/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(120);

struct City {
    cluster: Cluster,
    council: Council,
    clerk: Officer,
    acknowledged: Vec<String>,
    started: Instant,
}

impl City {
    fn up() -> Self {
        let cluster = Cluster::up();
        let council = Council::of(&cluster);
        let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
        Self { cluster, council, clerk, acknowledged: Vec::new(), started: Instant::now() }
    }

    fn step(&self, what: &str) {
        println!("{:6.1} s  height {}: {what}", self.started.elapsed().as_secs_f64(), self.cluster.height());
    }

    /// Files records at a node until they are executed.
    fn file(&mut self, node: usize, count: usize) {
        let url = self.cluster.nodes[node].url();
        for _ in 0..count {
            let number = self.acknowledged.len();
            let submission = self.clerk.file(&format!("snapshot-{number}"), &number.to_string());
            let status = wait_for("a record is executed", PATIENCE, || {
                http::submit(&url, &submission).ok().filter(|status| status.stage == Stage::Executed)
            });
            self.acknowledged.push(record_of(&status));
        }
    }

    /// Waits until every node is in an epoch and has the snapshot of its base; gives that height.
    fn wait_snapshots(&self, epoch: u64) -> u64 {
        let view = || http::get(&format!("{}/v1/validators", self.cluster.nodes[0].url())).ok();
        let view: ValidatorsView = wait_for("the epoch", PATIENCE, || {
            view().filter(|view: &ValidatorsView| view.epoch.get() == epoch)
        });
        let base = view.base_height.get();
        for node in &self.cluster.nodes {
            let what = format!("{} in epoch {epoch} with snapshot {base}", node.name);
            wait_for(&what, PATIENCE, || {
                node.status().filter(|status| status.epoch.get() == epoch && snapshots(node).contains(&base))
            });
        }
        base
    }

    fn stop_all(&mut self) {
        for node in &mut self.cluster.nodes {
            node.terminate();
        }
        for node in &mut self.cluster.nodes {
            let ended = node.ended_within(PATIENCE).unwrap();
            assert!(ended.success(), "{}: {ended}", node.name);
        }
    }

    /// Runs `city` against one node alone.
    fn city_of(&self, node: usize, args: &[&str]) -> Output {
        let mut command = self.cluster.city_command(args);
        command.env("CITY_NODE", self.cluster.nodes[node].url()).output().unwrap()
    }
}

/// The snapshots that a node has, ascending.
fn snapshots(node: &Node) -> Vec<u64> {
    let entries = std::fs::read_dir(node.data().join("snapshots")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut heights: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
    heights.sort_unstable();
    heights
}

/// The line of a report that begins with a word.
fn line<'a>(report: &'a str, word: &str) -> &'a str {
    report.lines().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("no {word} in {report}"))
}

fn refused(output: &Output, status: i32, code: &str) {
    assert_eq!(output.status.code(), Some(status), "{}", said(output));
    assert!(said(output).contains(code), "{code}: {}", said(output));
}

/// What a stopped node remembers of its votes.
fn memory(node: &Node) -> (Value, Vec<u8>) {
    let check = done(&node.run("check"));
    (check["safety"].clone(), std::fs::read(node.data().join("high-water")).unwrap())
}

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
}

/// Changes a byte in the middle of each table of a snapshot, in copies: the ledger shares the originals.
fn damage_tables(snapshot: &Path) {
    for table in files(snapshot, ".sst") {
        let mut bytes = std::fs::read(&table).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::remove_file(&table).unwrap();
        std::fs::write(&table, bytes).unwrap();
    }
}

/// Starts a node; gives the height from which on it executed what was final.
fn executed_from(node: &mut Node) -> u64 {
    let before = node.log().len();
    node.start();
    wait_for("what was final is executed", PATIENCE, || {
        let log = node.log();
        let mut lines = log[before..].lines();
        let line = lines.find(|line| line.contains("executed what was final already"))?;
        serde_json::from_str::<Value>(line).ok()?["from"].as_u64()
    })
}

#[test]
fn a_lost_ledger_comes_back_from_a_snapshot_that_a_quorum_certified() {
    let mut city = City::up();
    let [a, b, c, d] = [0, 1, 2, 3];
    for node in [a, b, c, d] {
        city.file(node, 5);
    }
    assert!(city.cluster.nodes.iter().all(|node| snapshots(node).is_empty()), "genesis needs none");

    // A fifth validator joins, and with that the first epoch ends.
    let e = city.cluster.join("harbour", "harbour");
    let port = city.cluster.nodes[e].p2p_port;
    let proof = city.council.prove(&city.cluster, ("harbour", "harbour"), port, None);
    city.council.decide(&city.cluster, &["add", &proof]);
    city.cluster.nodes[e].start();
    city.council.ready(&city.cluster, &city.cluster.nodes[e]);
    let base = city.wait_snapshots(1);
    city.cluster.wait_one_voting(e);
    for node in [a, b, c, d, e] {
        city.file(node, 2);
    }
    let taken: Vec<u64> = city.cluster.nodes.iter().filter_map(time_taken).collect();
    city.step(&format!("five snapshots of block {base}, taken in {taken:?} ms"));
    for command in ["snapshot list", "snapshot verify", "snapshot restore"] {
        refused(&city.cluster.nodes[a].run(command), 6, "LOCK_HELD");
    }

    // Everywhere the same root, and a quorum's word for it.
    city.cluster.wait_agreed();
    city.stop_all();
    let mut roots = Vec::new();
    for node in &city.cluster.nodes {
        assert!(said(&node.run("snapshot list")).contains(&format!("snapshot {base}: ")), "{}", node.name);
        let report = node.run("snapshot verify");
        assert!(report.status.success(), "{}: {}", node.name, said(&report));
        let report = said(&report);
        assert!(line(&report, "certified by block").contains("of 5 validators of epoch 1"), "{report}");
        roots.push((line(&report, "snapshot").to_owned(), line(&report, "root").to_owned()));
        println!("        {}: {}", node.name, line(&report, "checked in"));
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "{roots:?}");
    city.step("all verified, one root");

    // One has lost its ledger; what it signed is remembered elsewhere, and stays as it is.
    let nodes = &mut city.cluster.nodes;
    refused(&nodes[a].run_with("snapshot restore", &[Path::new("5")]), 1, "NOT_FOUND");
    let remembered = memory(&nodes[a]);
    nodes[a].delete_ledger();
    let restored = nodes[a].run("snapshot restore");
    assert!(
        restored.status.success() && said(&restored).contains("no ledger was there"),
        "{}",
        said(&restored)
    );
    assert_eq!(memory(&nodes[a]), remembered);

    // Another one's does not open any more.
    for manifest in files(&nodes[b].data().join("ledger"), "CURRENT") {
        std::fs::write(manifest, "MANIFEST-999999\n").unwrap();
    }
    nodes[b].start();
    let ended = nodes[b].ended_within(PATIENCE).unwrap();
    assert_eq!(ended.code(), Some(4), "a damaged ledger is a storage error");
    let restored = nodes[b].run_with("snapshot restore", &[Path::new(&base.to_string())]);
    assert!(
        restored.status.success() && said(&restored).contains("ledger-set-aside-1"),
        "{}",
        said(&restored)
    );

    // A third one's restoring was cut off when the old ledger was set aside and the new one not in its place; so was
    // the taking of another snapshot.
    let data = nodes[c].data();
    let restored = nodes[c].run("snapshot restore");
    assert!(restored.status.success(), "{}", said(&restored));
    std::fs::create_dir(data.join("restored")).unwrap();
    std::fs::rename(data.join("ledger"), data.join("restored/ledger")).unwrap();
    std::fs::create_dir(data.join("snapshots/taking-999")).unwrap();

    // The snapshot of the fourth is damaged itself, and takes the place of nothing.
    damage_tables(&nodes[d].data().join(format!("snapshots/{base}")));
    for command in ["snapshot verify", "snapshot restore"] {
        refused(&nodes[d].run(command), 4, "STORAGE_CORRUPT");
    }
    assert!(!nodes[d].data().join("ledger-set-aside-1").exists());

    // The first stays down while the others go on. Each executes only what came after the snapshot.
    nodes[d].start();
    nodes[e].start();
    for at in [b, c] {
        assert_eq!(executed_from(&mut nodes[at]), base, "{}", nodes[at].name);
    }
    assert!(nodes[c].log().contains("it is complete now"));
    assert!(!data.join("snapshots/taking-999").exists() && !data.join("restored").exists());
    for at in [b, c, d, e] {
        city.cluster.wait_one_voting(at);
        city.file(at, 2);
    }
    assert_eq!(executed_from(&mut city.cluster.nodes[a]), base);
    city.cluster.wait_caught_up(a);
    city.step("three ledgers are back, and executed only what came after the snapshot");

    // The next epoch, and the restored ones take part as before.
    let leaves = city.cluster.nodes[d].name.clone();
    city.council.decide(&city.cluster, &["remove", &leaves]);
    let next = city.wait_snapshots(2);
    for at in [a, b, c] {
        city.file(at, 2);
    }
    city.cluster.wait_agreed();
    for node in &city.cluster.nodes {
        assert_eq!(snapshots(node), [base, next], "{}", node.name);
        let found = http::listed(&node.url(), RecordType::DocFingerprint);
        for record in &city.acknowledged {
            assert_eq!(found.get(record), Some(&1), "{}: record {record}", node.name);
        }
    }
    city.cluster.assert_clean();

    // Old records and new ones are proved by a restored ledger, and an auditor finds nothing.
    for step in [&["trust", "init"][..], &["trust", "update"], &["trust", "export", "--out", "epoch.policy"]]
    {
        let trust = city.city_of(a, step);
        assert!(trust.status.success(), "{step:?}: {}", said(&trust));
    }
    for record in [&city.acknowledged[0], city.acknowledged.last().unwrap()] {
        let got = city.city_of(a, &["receipt", "get", record, "--out", "one.json", "--timeout", "100s"]);
        assert!(got.status.success(), "{}", said(&got));
        let with_policy = &["receipt", "verify", "one.json", "--trust", "epoch.policy"][..];
        for args in [with_policy, &["receipt", "verify", "one.json"]] {
            let verified = city.city_of(a, args);
            assert!(verified.status.success(), "{}", said(&verified));
        }
        std::fs::remove_file(city.cluster.dir().join("one.json")).unwrap();
    }
    let audit = city.city_of(a, &["audit", "chain", "-o", "json", "--no-memory", "--timeout", "100s"]);
    let report = done(&audit);
    let item = report.get("item").unwrap_or(&report);
    assert_eq!((&item["verdict"], &item["epoch"]), (&"PASS".into(), &2.into()), "{report}");
    city.step("audited");

    // A ledger that is executed anew from genesis leaves the same snapshots on its way.
    let node = &mut city.cluster.nodes[a];
    node.kill();
    node.delete_ledger();
    std::fs::remove_dir_all(node.data().join("snapshots")).unwrap();
    assert_eq!(executed_from(node), 0);
    wait_for("the snapshots are there again", PATIENCE, || (snapshots(node) == [base, next]).then_some(()));
    node.kill();
    for height in [base, next] {
        let report = node.run_with("snapshot verify", &[Path::new(&height.to_string())]);
        assert!(report.status.success(), "{}", said(&report));
        assert!(height != base || line(&said(&report), "root") == roots[0].1, "{}", said(&report));
    }
    city.step("executed anew");
}

/// How long the last snapshot of a node took, by its log.
fn time_taken(node: &Node) -> Option<u64> {
    let log = node.log();
    let line = log.lines().rfind(|line| line.contains("took a snapshot of the ledger"))?;
    serde_json::from_str::<Value>(line).ok()?["ms"].as_u64()
}
