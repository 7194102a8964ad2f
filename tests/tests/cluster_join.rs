//! What docs/operate/snapshots.md promises of handing over, with real processes: a node joins with a snapshot that the
//! validators agree on while records are filed, takes part, and serves what it has; a validator lets go of old blocks, and
//! what it proved before and proves now is as good.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use chain_core::api::ValidatorsView;
use city_tests::cluster::canary::{canary, in_files};
use city_tests::cluster::council::Council;
use city_tests::cluster::load::{Load, under_load};
use city_tests::cluster::{Cluster, Node, done, erase, http, said, wait_for};
use serde_json::Value;

/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(120);
/// Blocks between two snapshots.
const EVERY: u64 = 64;
/// What a pruned node keeps, the least that it may.
const KEPT: u64 = 256;

struct Story(Instant);

impl Story {
    fn step(&self, cluster: &Cluster, what: &str) {
        println!("{:6.1} s  height {}: {what}", self.0.elapsed().as_secs_f64(), cluster.height());
    }
}

/// A network whose validators take a snapshot often.
fn town() -> Cluster {
    let mut cluster = Cluster::made();
    for node in &cluster.nodes {
        often(node);
    }
    cluster.start_all();
    cluster
}

fn often(node: &Node) {
    let text = std::fs::read_to_string(&node.config).unwrap();
    std::fs::write(&node.config, format!("{text}\n[snapshots]\nevery = {EVERY}\n")).unwrap();
}

fn reach(cluster: &Cluster, height: u64) {
    wait_for(&format!("block {height}"), PATIENCE, || (cluster.height() >= height).then_some(()));
}

fn refused(output: &Output, status: i32, code: &str) {
    assert_eq!(output.status.code(), Some(status), "{}", said(output));
    assert!(said(output).contains(code), "{code}: {}", said(output));
}

/// What the API says of a record, from this node alone.
fn record(node: &Node, id: &str) -> Value {
    http::get(&format!("{}/v1/records/{id}", node.url())).unwrap()
}

/// The problem that a path is answered with.
fn problem(node: &Node, path: &str) -> String {
    match http::get::<Value>(&format!("{}{path}", node.url())) {
        Ok(found) => panic!("{path}: {found}"),
        Err(failed) => failed.name(),
    }
}

/// `city` against one node alone.
fn city_of(cluster: &Cluster, node: usize, args: &[&str]) -> Output {
    let mut command = cluster.city_command(args);
    command.env("CITY_NODE", cluster.nodes[node].url()).output().unwrap()
}

/// The number after a word in what a command said.
fn number_after(said: &str, word: &str) -> u64 {
    let rest = &said[said.find(word).unwrap_or_else(|| panic!("no {word:?} in {said}")) + word.len()..];
    rest.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn a_node_joins_with_a_snapshot_and_another_lets_go_of_old_blocks() {
    let story = Story(Instant::now());
    let mut cluster = town();
    let council = Council::of(&cluster);
    let clerk = erase::officer_of(&cluster, "clerk", None);
    let canaries = erase::file(&cluster, &clerk, &["erased".to_owned(), "kept".to_owned()]);
    let ((), acknowledged) = under_load(&mut cluster, |cluster, load| {
        joins(&story, cluster, &council, load);
        reach(cluster, KEPT + 2 * EVERY);
    });
    let old = &acknowledged[0];
    cluster.wait_agreed();
    story.step(&cluster, &format!("{} records acknowledged", acknowledged.len()));
    serves_what_it_has(&cluster, 4, old, acknowledged.last().unwrap());
    story.step(&cluster, "the fifth serves");
    let privacy = erase::officer_of(&cluster, "privacy_officer", Some(&clerk));
    erase::order(&cluster, &privacy, &erase::officer_of(&cluster, "auditor", None), &canaries[..1]);
    let names: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    erase::wait_confirmed(&cluster, canaries[0], &names.iter().map(String::as_str).collect::<Vec<_>>());
    story.step(&cluster, "a body from before the fifth joined is erased");
    has_the_rest_afterwards(&story, &mut cluster, 4, old);
    let receipt = city_of(&cluster, 0, &["receipt", "get", old, "--out", "old.json", "--timeout", "100s"]);
    assert!(receipt.status.success(), "{}", said(&receipt));
    lets_go(&story, &mut cluster, old);
    loses_the_ledger(&story, &mut cluster);
    cluster.assert_clean();
    for node in &mut cluster.nodes {
        node.kill();
        let checked = node.run("fsck");
        assert!(checked.status.success() && said(&checked).contains("WHOLE"), "{}", said(&checked));
    }
}

/// The fifth validator joins, with everything that may go wrong before.
fn joins(story: &Story, cluster: &mut Cluster, council: &Council, load: &Load) {
    reach(cluster, 2 * EVERY);
    let at = cluster.join("harbour", "harbour");
    often(&cluster.nodes[at]);
    // Nobody speaks with a node of which the ledger knows nothing.
    let unknown = fetch_within(&cluster.nodes[at], "5");
    refused(&unknown, 1, "UNREACHABLE");
    story.step(cluster, "a stranger is given nothing");
    let proof = council.prove(cluster, ("harbour", "harbour"), cluster.nodes[at].p2p_port, None);
    council.decide(cluster, &["add", &proof]);

    // Cut off anywhere, it begins anew.
    for ms in [50, 400, 900] {
        let node = &cluster.nodes[at];
        let mut command = Command::new(city_tests::cluster::program("city-node"));
        command.args(["snapshot", "fetch", "--config"]).arg(&node.config);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let before = load.count();
    let fetched = fetch(&cluster.nodes[at]);
    let text = said(&fetched);
    if text.contains("ALREADY_INITIALISED") {
        // The last one that was cut off was done by then.
        story.step(cluster, "joined before it was killed");
    } else {
        assert!(fetched.status.success(), "{text}");
        println!("{text}");
        assert!(
            text.contains("certified by block") && text.contains("joined: the ledger is at block"),
            "{text}"
        );
        assert!(number_after(&text, "joined: the ledger is at block") >= EVERY, "{text}");
        assert!(!text.contains("NOT ASKED AGAIN"), "{text}");
    }
    story.step(cluster, "the snapshot is there");
    cluster.nodes[at].start();
    council.ready(cluster, &cluster.nodes[at]);
    let view = || http::get(&format!("{}/v1/validators", cluster.nodes[0].url())).ok();
    wait_for("five validators", PATIENCE, || view().filter(|view: &ValidatorsView| view.epoch.get() == 1));
    cluster.wait_one_voting(at);
    let height = cluster.height();
    cluster.nodes[3].kill();
    // Four of five decide: now its vote is needed.
    reach(cluster, height + 5);
    cluster.nodes[3].start();
    cluster.wait_caught_up(3);
    assert!(load.count() > before, "filing goes on");
    story.step(cluster, "the fifth votes, and its vote counted");
    let busy = fetch(&cluster.nodes[at]);
    refused(&busy, 6, "LOCK_HELD");
}

fn fetch(node: &Node) -> Output {
    fetch_within(node, "60")
}

fn fetch_within(node: &Node, seconds: &str) -> Output {
    let mut command = Command::new(city_tests::cluster::program("city-node"));
    command.args(["snapshot", "fetch", "--patience", seconds, "--config"]).arg(&node.config).output().unwrap()
}

/// A node without the first blocks says so, and proves what it can.
fn serves_what_it_has(cluster: &Cluster, at: usize, old: &str, new: &str) {
    let node = &cluster.nodes[at];
    assert_eq!(problem(node, "/v1/blocks/1"), "BLOCK_PRUNED");
    assert_eq!(problem(node, "/v1/blocks/1/raw"), "BLOCK_PRUNED");
    let page: Value = http::get(&format!("{}/v1/blocks?limit=500", node.url())).unwrap();
    let lowest = page["items"].as_array().unwrap().last().unwrap()["header"]["height"].as_u64().unwrap();
    assert!(lowest > EVERY, "{lowest}");
    let view = record(node, old);
    assert!(view["body"].is_null() && view["body_elsewhere"] == true, "{view}");
    let whole = record(&cluster.nodes[0], old);
    assert!(!whole["body"].is_null() && whole.get("body_elsewhere").is_none(), "{whole}");
    assert_eq!(view["header_digest"], whole["header_digest"]);
    assert!(!record(node, new)["body"].is_null(), "{new}");
    let history =
        |node: &Node| -> Value { http::get(&format!("{}/v1/records/{old}/history", node.url())).unwrap() };
    assert_eq!(history(node)["items"], history(&cluster.nodes[0])["items"]);
    // The receipt of a record from before it joined is as good as any.
    let file = format!("old-{at}.json");
    let receipt = city_of(cluster, at, &["receipt", "get", old, "--out", &file, "--timeout", "100s"]);
    assert!(receipt.status.success(), "{}", said(&receipt));
    verified(cluster, &file);
}

/// Old blocks come from the others, when that is wanted.
fn has_the_rest_afterwards(story: &Story, cluster: &mut Cluster, at: usize, old: &str) {
    refused(&cluster.nodes[at].run("storage refill"), 6, "LOCK_HELD");
    cluster.nodes[at].terminate();
    cluster.nodes[at].ended_within(PATIENCE).unwrap();
    let refill = |cluster: &Cluster, from: u64| {
        let mut command = Command::new(city_tests::cluster::program("city-node"));
        command.args(["storage", "refill", "--from", &from.to_string(), "--config"]);
        command.arg(&cluster.nodes[at].config);
        command
    };
    let held = |cluster: &Cluster| {
        let found = in_files(&cluster.nodes[at].data());
        ["erased", "kept"].map(|name| found.contains(&canary(name)))
    };
    assert_eq!(held(cluster), [false, false], "what was filed before it joined");
    // In parts, also cut off anywhere: it keeps what came and goes on.
    let mut child = refill(cluster, 1).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    child.kill().unwrap();
    child.wait().unwrap();
    let whole = cluster.nodes[at].run("fsck");
    assert!(whole.status.success(), "{}", said(&whole));
    for from in [EVERY, 1] {
        let part = refill(cluster, from).output().unwrap();
        let text = said(&part);
        let came = text.contains(&format!("blocks {from} to ")) || text.contains("nothing is missing");
        assert!(part.status.success() && came, "{text}");
        print!("{text}");
        let whole = cluster.nodes[at].run("fsck");
        assert!(whole.status.success(), "{}", said(&whole));
    }
    let again = cluster.nodes[at].run("storage refill");
    assert!(said(&again).contains("nothing is missing: kept from block 1 on"), "{}", said(&again));
    let whole = cluster.nodes[at].run("fsck");
    assert!(whole.status.success() && !said(&whole).contains("kept from block"), "{}", said(&whole));
    assert_eq!(held(cluster), [false, true], "what is erased does not come back");
    cluster.nodes[at].start();
    cluster.wait_caught_up(at);
    let view = record(&cluster.nodes[at], old);
    assert_eq!(view["body"], record(&cluster.nodes[0], old)["body"], "{view}");
    let audit = city_of(cluster, at, &["audit", "chain", "--no-memory", "--timeout", "100s"]);
    assert!(audit.status.success(), "{}", said(&audit));
    story.step(cluster, "the fifth has every block");
}

/// A receipt verifies offline, with what the genesis and the hand-overs prove.
fn verified(cluster: &Cluster, file: &str) {
    for step in [&["trust", "init"][..], &["trust", "update"], &["receipt", "verify", file]] {
        let output = cluster.city(step);
        assert!(output.status.success() || step[1] == "init", "{step:?}: {}", said(&output));
    }
}

/// The first validator lets go of old blocks: its disk has room again, and what it proved stays proved.
fn lets_go(story: &Story, cluster: &mut Cluster, old: &str) {
    let running = cluster.nodes[0].run("storage usage");
    assert!(running.status.success() && said(&running).contains("consensus:"), "{}", said(&running));
    refused(&cluster.nodes[0].run("storage compact"), 6, "LOCK_HELD");
    cluster.nodes[0].kill();
    let keep = |kept: &str| {
        let mut command = Command::new(city_tests::cluster::program("city-node"));
        command.args(["storage", "prune", "--keep", kept, "--config"]).arg(&cluster.nodes[0].config);
        command.output().unwrap()
    };
    refused(&keep("255"), 2, "255");
    let pruned = keep(&KEPT.to_string());
    let text = said(&pruned);
    assert!(pruned.status.success(), "{text}");
    println!("{text}");
    let first = number_after(&text, "kept from");
    assert!(first > 1 && number_after(&text, "pruned: blocks") == 1, "{text}");
    let usage = done(&cluster.nodes[0].run("storage usage --json"));
    assert_eq!(usage["first_block"], first);
    assert!(number_after(&text, "freed") > 1_000_000, "{text}");
    assert!(said(&keep(&KEPT.to_string())).contains("nothing to prune"), "a second time");
    let read = cluster.nodes[0].run("storage verify");
    assert!(read.status.success() && said(&read).contains("every checksum is right"), "{}", said(&read));
    let compacted = cluster.nodes[0].run("storage compact");
    assert!(compacted.status.success() && said(&compacted).contains("freed"), "{}", said(&compacted));
    let whole = cluster.nodes[0].run("fsck");
    let kept = format!("kept from block {first} on");
    assert!(whole.status.success() && said(&whole).contains(&kept), "{}", said(&whole));

    cluster.nodes[0].start();
    cluster.wait_caught_up(0);
    verified(cluster, "old.json");
    serves_after_pruning(cluster, old, first);
    story.step(cluster, &format!("the first keeps from block {first} on"));
}

fn serves_after_pruning(cluster: &Cluster, old: &str, first: u64) {
    let node = &cluster.nodes[0];
    assert_eq!(problem(node, &format!("/v1/blocks/{}", first - 1)), "BLOCK_PRUNED");
    let block: Value = http::get(&format!("{}/v1/blocks/{first}", node.url())).unwrap();
    assert_eq!(block["header"]["height"], first);
    let view = record(node, old);
    assert!(view["body"].is_null() && view["body_elsewhere"] == true, "{view}");
    let receipt = city_of(cluster, 0, &["receipt", "get", old, "--out", "pruned.json", "--timeout", "100s"]);
    assert!(receipt.status.success(), "{}", said(&receipt));
    verified(cluster, "pruned.json");
    // The whole chain is to be had from another one.
    let audit = city_of(cluster, 0, &["audit", "chain", "--no-memory", "--timeout", "100s"]);
    assert!(!audit.status.success() && said(&audit).contains("BLOCK_PRUNED"), "{}", said(&audit));
    let audit = city_of(cluster, 1, &["audit", "chain", "--no-memory", "--timeout", "100s"]);
    assert!(audit.status.success(), "{}", said(&audit));
}

/// A pruned validator that loses its ledger says what is missing, and comes back with a snapshot: its own, or another's.
fn loses_the_ledger(story: &Story, cluster: &mut Cluster) {
    cluster.nodes[0].terminate();
    cluster.nodes[0].ended_within(PATIENCE).unwrap();
    cluster.nodes[0].delete_ledger();
    cluster.nodes[0].start();
    let ended = cluster.nodes[0].ended_within(PATIENCE).unwrap();
    assert_eq!(ended.code(), Some(4), "{}", cluster.nodes[0].log());
    assert!(cluster.nodes[0].log().contains("put a snapshot back"), "{}", cluster.nodes[0].log());
    let restored = cluster.nodes[0].run("snapshot restore");
    assert!(restored.status.success(), "{}", said(&restored));
    cluster.nodes[0].start();
    cluster.wait_caught_up(0);
    story.step(cluster, "the first is back with its own snapshot");

    cluster.nodes[0].terminate();
    cluster.nodes[0].ended_within(PATIENCE).unwrap();
    cluster.nodes[0].delete_ledger();
    std::fs::remove_dir_all(cluster.nodes[0].data().join("snapshots")).unwrap();
    let fetched = fetch(&cluster.nodes[0]);
    assert!(fetched.status.success(), "{}", said(&fetched));
    cluster.nodes[0].start();
    // It votes as before: the memory of what it signed was not touched.
    cluster.wait_caught_up(0);
    cluster.wait_agreed();
    story.step(cluster, "and with the others'");
}
