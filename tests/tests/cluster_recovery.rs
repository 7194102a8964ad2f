//! The drill of docs/operate/recovery.md: two of four validators are gone for good, the agencies' act carries the chain
//! on with two fresh machines, nothing that was acknowledged is lost, and an auditor walks over the act.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain_core::api::{NodeStatus, PassageView, Stage, TransactionStatus};
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::genesis::KeyRole;
use chain_core::id::{ChainId, Epoch, Height};
use chain_core::keyfile::{self, Passphrase};
use chain_core::record::RecordType;
use chain_core::recovery::{RecoveryAct, SignedRecovery};
use city_tests::cluster::clerk::{Officer, officers, record_of};
use city_tests::cluster::{Cluster, done, http, said, wait_for};
use serde_json::Value;

/// Longest wait for a step of the drill.
const PATIENCE: Duration = Duration::from_secs(120);
const REASON: &str = "two machine rooms burnt";

/// A cluster, and what was acknowledged in it.
struct City {
    cluster: Cluster,
    clerk: Officer,
    filed: u64,
    acknowledged: Vec<String>,
    started: Instant,
}

impl City {
    fn up() -> Self {
        let cluster = Cluster::up();
        let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
        Self { cluster, clerk, filed: 0, acknowledged: Vec::new(), started: Instant::now() }
    }

    fn step(&self, what: &str) {
        println!("{:6.1} s  height {}: {what}", self.started.elapsed().as_secs_f64(), self.cluster.height());
    }

    /// Files records at a node until they are executed, through `attempts` refusals for want of a quorum.
    fn file(&mut self, node: usize, count: u64) {
        let url = self.cluster.nodes[node].url();
        for _ in 0..count {
            let submission = self.clerk.file(&format!("recovery-{}", self.filed), &self.filed.to_string());
            self.filed += 1;
            let status = wait_for("a record is executed", PATIENCE, || {
                http::submit(&url, &submission).ok().filter(|status| status.stage == Stage::Executed)
            });
            self.acknowledged.push(record_of(&status));
        }
    }

    /// Files records that a node acknowledges and nobody can order; gives their transactions.
    fn file_in_vain(&mut self, node: usize, count: u64) -> Vec<String> {
        let url = self.cluster.nodes[node].url();
        let accepted = (0..count).map(|_| {
            let submission = self.clerk.file(&format!("recovery-{}", self.filed), &self.filed.to_string());
            self.filed += 1;
            let status = http::submit_until(&url, &submission, "accepted");
            let status = status.unwrap_or_else(|failed| panic!("accepted: {}", failed.name()));
            assert_eq!(status.stage, Stage::Accepted);
            status.tx.to_string()
        });
        let accepted = accepted.collect();
        // In the lane, which is durable, and no longer in the queue.
        wait_for("the records are in the lane", PATIENCE, || {
            self.cluster.nodes[node].status().filter(|status| status.queued == 0)
        });
        std::thread::sleep(Duration::from_millis(500));
        accepted
    }

    /// Waits until a node stands in an epoch.
    fn wait_epoch(&self, node: usize, epoch: u64) -> NodeStatus {
        let node = &self.cluster.nodes[node];
        let what = format!("{} in epoch {epoch}", node.name);
        wait_for(&what, PATIENCE, || node.status().filter(|status| status.epoch.get() == epoch))
    }

    fn recovery(&self, args: &[&str]) -> std::process::Output {
        self.cluster.city(&[&["recovery"], args, &["-o", "json", "--timeout", "20s"]].concat())
    }

    /// A key of the ring under the passphrase of the ring.
    fn safe(&self, name: &str) -> SecretKey {
        let ring = &self.cluster.keys;
        let passphrase = Passphrase::new(std::fs::read_to_string(ring.join("passphrase")).unwrap()).unwrap();
        let text = std::fs::read_to_string(ring.join(format!("{name}.pem"))).unwrap();
        keyfile::decrypt(&text, KeyRole::Recovery, Some(&passphrase)).unwrap().secret
    }

    /// An act, changed and then properly signed by two recovery keys.
    fn forged(&self, act: &RecoveryAct, safes: &[String], change: impl Fn(&mut RecoveryAct)) -> PathBuf {
        let mut act = act.clone();
        change(&mut act);
        let signatures = safes.iter().map(|name| act.sign(&self.safe(name))).collect();
        let path = self.cluster.dir().join("forged.json");
        std::fs::write(&path, SignedRecovery::new(act, signatures).to_json()).unwrap();
        path
    }

    /// A survivor takes a snapshot of the act's block with its start. No quorum has certified it before the new epoch
    /// runs, and so it takes the place of a ledger only if somebody says so.
    fn snapshot_before_the_new_epoch(&mut self, node: usize, base: u64) {
        let node = &mut self.cluster.nodes[node];
        let path = node.data().join("snapshots").join(base.to_string());
        assert!(!path.exists(), "nothing had ended before");
        node.start();
        wait_for("a snapshot of the act's block", PATIENCE, || path.exists().then_some(()));
        node.kill();
        let verified = node.run("snapshot verify");
        assert_eq!(verified.status.code(), Some(7), "{}", said(&verified));
        assert!(said(&verified).contains("NOT CERTIFIED YET"), "{}", said(&verified));
        let refused = node.run("snapshot restore");
        assert_eq!(refused.status.code(), Some(7), "{}", said(&refused));
        assert!(said(&refused).contains("nothing was changed"), "{}", said(&refused));
        let aside = node.data().join("ledger-set-aside-1");
        assert!(!aside.exists(), "nothing was changed");
        let restored = node.run_with("snapshot restore", &[Path::new("--uncertified")]);
        assert!(restored.status.success() && aside.exists(), "{}", said(&restored));
    }

    /// Gives a stopped node an act; what it said.
    fn give(&self, node: usize, act: &Path) -> (bool, String) {
        let output = self.cluster.nodes[node].run_with("recover", &[act]);
        (output.status.success(), said(&output))
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The fields of one thing that a command printed.
fn item(output: &Value) -> &Value {
    output.get("item").unwrap_or(output)
}

#[test]
fn the_agencies_act_carries_the_chain_on_after_two_of_four_are_gone() {
    let mut city = City::up();
    let [a, b, c, d] = [0, 1, 2, 3];
    let names: Vec<String> = city.cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let safes: Vec<String> = [a, b, c].iter().map(|at| format!("safe-{}", names[*at])).collect();
    for node in [a, b, c, d] {
        city.file(node, 5);
    }
    let before = city.cluster.wait_agreed();
    city.step("twenty records filed by four validators");

    // Two are gone for good, and what the third one knew survives in an attic. The fourth one had acknowledged records
    // that one survivor holds and nobody has ordered.
    city.cluster.nodes[c].kill();
    city.file(a, 2);
    let attic = city.cluster.dir().join("attic");
    copy_folder(&city.cluster.nodes[c].data(), &attic);
    city.cluster.nodes[b].kill();
    let mut vain = city.file_in_vain(d, 3);
    vain.extend(city.file_in_vain(a, 3));
    city.cluster.nodes[d].kill();
    for lost in [c, d] {
        city.cluster.nodes[lost].delete_data();
    }
    city.cluster.nodes[b].start();
    wait_for("the survivors stand at one height", PATIENCE, || {
        let [one, two] = [a, b].map(|at| city.cluster.nodes[at].status());
        let (one, two) = (one?, two?);
        (one.committed == two.committed && two.executed == two.committed).then_some(())
    });
    wait_for("a node counts who is left", PATIENCE, || {
        city.cluster.nodes[a].why().filter(|why| !why.progress && why.verdict.contains("3 are needed"))
    });
    let stands = city.cluster.nodes[b].status().unwrap();
    city.step("six records acknowledged, and no quorum to order them");

    // Two fresh machines, and the act.
    let agencies: Vec<String> =
        city.cluster.genesis.document().agencies.iter().map(|agency| agency.id.clone()).collect();
    let fresh: Vec<usize> = ["harbour", "archive"].iter().map(|name| city.cluster.join(name, name)).collect();
    for (&at, agency) in fresh.iter().zip(&agencies) {
        let node = &city.cluster.nodes[at];
        let (file, address) =
            (format!("{}.json", node.name), format!("/ip4/127.0.0.1/tcp/{}", node.p2p_port));
        let prove =
            ["validator", "prove", &node.name, "--agency", agency, "--address", &address, "--out", &file];
        done(&city.cluster.city(&prove));
    }
    let (keep_a, keep_b) = (names[a].clone(), names[b].clone());
    let drafted = city.recovery(&[
        "draft",
        "--keep",
        &keep_a,
        "--keep",
        &keep_b,
        "--add",
        "harbour.json",
        "--add",
        "archive.json",
        "--reason",
        REASON,
        "--out",
        "act.json",
    ]);
    let drafted = done(&drafted);
    assert_eq!(item(&drafted)["height"], stands.committed.get(), "{drafted}");
    let path = city.cluster.dir().join("act.json");
    let act = SignedRecovery::parse(&std::fs::read_to_string(&path).unwrap()).unwrap().act;
    assert_eq!((act.height, act.block_digest), (stands.committed, stands.committed_digest));
    assert!(act.height >= before.committed);

    // Nobody signs by accident, or with a key that is none of these.
    let unsigned = city.recovery(&["verify", "act.json"]);
    assert_eq!(unsigned.status.code(), Some(11), "{}", said(&unsigned));
    assert!(said(&unsigned).contains("RECOVERY_SHORT"), "{}", said(&unsigned));
    let unasked = city.recovery(&["sign", "act.json", "--key", &safes[0]]);
    assert!(said(&unasked).contains("nobody can be asked"), "{}", said(&unasked));
    let stranger = format!("{}-log", names[a]);
    let stranger = city.recovery(&["sign", "act.json", "--key", &stranger, "--yes"]);
    assert!(said(&stranger).contains("is no recovery key of chain"), "{}", said(&stranger));
    let signed = city.recovery(&["sign", "act.json", "--key", &safes[0], "--yes"]);
    let heard = said(&signed);
    for words in ["It ends epoch 0 at block", REASON, "harbour", "Read this aloud", "1 more of 3 keys"] {
        assert!(heard.contains(words), "{words}: {heard}");
    }
    city.step("one agency signed");

    // A running node takes nothing; a stopped one takes no act that does not bind or does not fit.
    let (_, while_running) = city.give(a, &path);
    assert!(while_running.contains("LOCK_HELD"), "{while_running}");
    let below = act.height.previous().unwrap();
    let below_digest: Value =
        http::get(&format!("{}/v1/blocks/{below}", city.cluster.nodes[a].url())).unwrap();
    let below_digest: Digest = serde_json::from_value(below_digest["digest"].clone()).unwrap();
    for node in [a, b] {
        city.cluster.nodes[node].kill();
    }
    let (_, short) = city.give(a, &path);
    assert!(short.contains("RECOVERY_SHORT"), "{short}");
    let set = |epoch: u64| Committee::new(Epoch::new(epoch), act.next.validators().to_vec()).unwrap();
    type Change = Box<dyn Fn(&mut RecoveryAct)>;
    let later = set(2);
    let wrong: [(&str, &str, Change); 4] = [
        ("another chain", "GENESIS_MISMATCH", Box::new(|act| act.chain_id = ChainId::new(Digest::ZERO))),
        (
            "an epoch that has not begun",
            "RECOVERY_WRONG_EPOCH",
            Box::new(move |act| (act.epoch, act.next) = (Epoch::new(1), later.clone())),
        ),
        (
            "a block below the newest final one",
            "RECOVERY_BELOW_FINAL",
            Box::new(move |act| (act.height, act.block_digest) = (below, below_digest)),
        ),
        ("another block", "RECOVERY_OTHER_BLOCK", Box::new(|act| act.block_digest = Digest::ZERO)),
    ];
    for (what, code, change) in wrong {
        let (taken, words) = city.give(a, &city.forged(&act, &safes[..2], change));
        assert!(!taken && words.contains(code), "{what}: {words}");
    }
    let tampered = std::fs::read_to_string(&path).unwrap().replace(REASON, "one machine room burnt");
    let other = city.cluster.dir().join("tampered.json");
    std::fs::write(&other, tampered).unwrap();
    let (_, words) = city.give(a, &other);
    assert!(words.contains("RECOVERY_INVALID"), "{words}");
    let second = city.recovery(&["sign", "tampered.json", "--key", &safes[2], "--yes"]);
    assert!(!second.status.success() && said(&second).contains("RECOVERY_INVALID"), "{}", said(&second));

    // The second signature binds. The survivors and one fresh machine take the file; the other one is told by its peers.
    done(&city.recovery(&["sign", "act.json", "--key", &safes[2], "--yes"]));
    let verified = done(&city.recovery(&["verify", "act.json"]));
    assert_eq!(item(&verified)["binding"], true, "{verified}");
    for node in [a, b] {
        let (taken, words) = city.give(node, &path);
        assert!(taken && words.contains("epoch 1 begins with the next start"), "{words}");
        let check = said(&city.cluster.nodes[node].run("check"));
        assert!(check.contains("\"epoch\": 1"), "{check}");
    }
    let (taken, words) = city.give(fresh[0], &path);
    assert!(taken && words.contains("this node stands at block 0 of epoch 0"), "{words}");
    city.step("the act is taken");
    city.snapshot_before_the_new_epoch(a, act.height.get());
    let down = Instant::now();
    for node in [a, b, fresh[0], fresh[1]] {
        city.cluster.nodes[node].start();
    }
    for node in [a, b, fresh[0], fresh[1]] {
        city.wait_epoch(node, 1);
        city.cluster.wait_one_voting(node);
    }
    println!("        four validators vote {:.1} s after their start", down.elapsed().as_secs_f64());
    for tx in &vain {
        let url = format!("{}/v1/transactions/{tx}", city.cluster.nodes[a].url());
        let executed = wait_for("an acknowledged record is executed", PATIENCE, || {
            http::get::<TransactionStatus>(&url).ok().filter(|status| status.stage == Stage::Executed)
        });
        city.acknowledged.push(record_of(&executed));
    }
    city.step("the six records are ordered");

    // A restart finds the epoch again, and lanes that begin anew in it: two of the four authors have filed nothing yet.
    city.cluster.nodes[b].kill();
    city.cluster.nodes[b].start();
    city.cluster.wait_one_voting(b);
    for node in [a, b, fresh[0], fresh[1]] {
        city.file(node, 3);
    }

    // The third comes back with all that it knew, and the fourth with nothing: both learn of the act from their peers,
    // and neither has a say any more.
    copy_folder(&attic, &city.cluster.nodes[c].data());
    let again = city.cluster.nodes[d].run("init");
    assert!(again.status.success(), "{}", said(&again));
    for node in [c, d] {
        city.cluster.nodes[node].start();
    }
    for node in [c, d] {
        let status = city.wait_epoch(node, 1);
        assert!(!status.voting && status.name == "observer", "{status:?}");
    }
    city.file(a, 3);
    city.step("both lost validators follow without a vote");

    let agreed = city.cluster.wait_agreed();
    let wanted: BTreeSet<&String> = city.acknowledged.iter().collect();
    assert_eq!(wanted.len() as u64, city.filed, "every record has an id of its own");
    for node in &city.cluster.nodes {
        let found = http::listed(&node.url(), RecordType::DocFingerprint);
        for record in &wanted {
            assert_eq!(found.get(*record), Some(&1), "{}: record {record}", node.name);
        }
        let snapshot = node.data().join("snapshots").join(act.height.to_string());
        assert!(snapshot.exists(), "{}: whoever learned of the act, and when", node.name);
        let status = node.status().unwrap();
        assert_eq!(status.epoch.get(), 1, "{}", node.name);
        let note = status.recovery.unwrap();
        assert_eq!((note.height, note.in_effect, note.reason.as_str()), (act.height, true, REASON));
        let passage: PassageView = http::get(&format!("{}/v1/epochs/0/handover", node.url())).unwrap();
        assert!(
            matches!(passage, PassageView::Recovery { recovery } if recovery.act == act),
            "{}",
            node.name
        );
    }
    println!(
        "        {} records, each once on each of six nodes, at height {}",
        wanted.len(),
        agreed.committed
    );

    // Nobody signed twice, and nobody who took the act signed anything in the old epoch afterwards.
    city.cluster.assert_clean();
    for node in &city.cluster.nodes {
        let lines = node.recorded();
        let first_new = lines.iter().position(|line| line.epoch == 1).unwrap_or(lines.len());
        assert!(lines[first_new..].iter().all(|line| line.epoch == 1), "{} signed in epoch 0", node.name);
    }

    // What people see of it.
    let why = said(&city.cluster.city(&["node", "why"]));
    assert!(why.contains(&format!("the agencies ended epoch 0 at block {}", act.height)), "{why}");
    let audit = city.cluster.city(&["audit", "chain", "-o", "json", "--no-memory", "--timeout", "100s"]);
    let report = done(&audit);
    let audited = item(&report);
    assert_eq!((&audited["verdict"], &audited["epoch"]), (&"PASS".into(), &1.into()), "{report}");
    let recovery = &audited["recoveries"][0];
    assert_eq!(recovery["reason"], REASON, "{report}");
    assert_eq!(recovery["signed_by"].as_array().map(Vec::len), Some(2), "{report}");
    let plain = said(&city.cluster.city(&["audit", "chain", "--no-memory", "--timeout", "100s"]));
    assert!(plain.contains(&format!("the agencies ended epoch 0 at block {}", act.height)), "{plain}");
    let last = city.acknowledged.last().unwrap().clone();
    let receipt = city.cluster.city(&["receipt", "get", &last, "--out", "last.json", "--timeout", "100s"]);
    assert!(receipt.status.success(), "{}", said(&receipt));
    let trust = city.cluster.city(&["trust", "export", "--out", "epoch.policy"]);
    assert!(trust.status.success(), "{}", said(&trust));
    let verified = city.cluster.city(&["receipt", "verify", "last.json", "--trust", "epoch.policy"]);
    assert!(verified.status.success(), "{}", said(&verified));
    // Without the store the validators of the new epoch are unknown; with it, the act itself proves them, offline.
    let offline = |args: &[&str]| {
        city.cluster.city_command(args).env("CITY_NODE", "http://127.0.0.1:9").output().unwrap()
    };
    let unknown = offline(&["receipt", "verify", "last.json"]);
    assert!(
        said(&unknown).contains("TRUST_MISSING") && said(&unknown).contains("city trust"),
        "{}",
        said(&unknown)
    );
    for step in [["trust", "init"], ["trust", "update"]] {
        let done = city.cluster.city(&step);
        assert!(done.status.success(), "{step:?}: {}", said(&done));
    }
    let shown = done(&offline(&["trust", "show", "-o", "json"]));
    assert_eq!(shown["items"][1]["begun_by"], "recovery", "{shown}");
    let verified = offline(&["receipt", "verify", "last.json"]);
    assert!(verified.status.success(), "{}", said(&verified));
    assert!(act.height > Height::ZERO);
    city.step("audited");
}
