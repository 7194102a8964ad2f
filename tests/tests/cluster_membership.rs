//! Validators come, go, are replaced and change keys while records are being filed: four epochs in processes that
//! run on, no acknowledged record is lost or there twice, and an auditor follows every hand-over.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain_core::api::{Stage, ValidatorsView};
use chain_core::execute::Verdict;
use chain_core::record::RecordType;
use city_tests::cluster::clerk::{Officer, officers};
use city_tests::cluster::council::Council;
use city_tests::cluster::{Cluster, done, http, judge, said, wait_for};
use city_tests::skip;

/// Longest wait for a step of the membership: several commands, a node that catches up, an end of an epoch.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client that never stops filing, through two nodes in turn, and keeps what was acknowledged.
struct Client {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Client {
    fn start(officer: Officer, urls: Vec<String>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = {
            let (stop, done) = (stop.clone(), done.clone());
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                let mut attempt = 0;
                for number in 0.. {
                    let submission = officer.file(&format!("membership-{number}"), &number.to_string());
                    // The same transaction, until a node says what came of it: sent twice it is ordered once.
                    loop {
                        let url = &urls[attempt % urls.len()];
                        attempt += 1;
                        if let Ok(status) = http::submit(url, &submission)
                            && status.stage == Stage::Executed
                        {
                            match &status.outcomes[0].verdict {
                                Verdict::Accepted { record, .. } => acknowledged.push(record.to_string()),
                                Verdict::Refused(refusal) => panic!("record {number}: {refusal}"),
                            }
                            done.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        if stop.load(Ordering::Relaxed) {
                            return acknowledged;
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    if stop.load(Ordering::Relaxed) {
                        return acknowledged;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                acknowledged
            })
        };
        Self { stop, done, thread: Some(thread) }
    }

    /// Waits until filing goes on.
    fn goes_on(&self, after: &str) {
        let before = self.done.load(Ordering::Relaxed);
        let what = format!("records filed after {after}");
        wait_for(&what, PATIENCE, || (self.done.load(Ordering::Relaxed) >= before + 3).then_some(()));
    }

    fn finish(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A cluster with its council.
struct City {
    cluster: Cluster,
    council: Council,
    started: Instant,
}

impl City {
    fn up() -> Self {
        let cluster = Cluster::up();
        let council = Council::of(&cluster);
        Self { cluster, council, started: Instant::now() }
    }

    fn step(&self, what: &str) {
        println!("{:6.1} s  height {}: {what}", self.started.elapsed().as_secs_f64(), self.cluster.height());
    }

    fn validator(&self, args: &[&str]) -> Output {
        self.council.validator(&self.cluster, args)
    }

    /// Proposes a change and has the council approve it.
    fn decide(&self, propose: &[&str]) {
        self.council.decide(&self.cluster, propose);
    }

    /// Writes the proof of a validator's keys.
    fn prove(&self, name: &str, keys: &str, p2p_port: u16) -> String {
        self.council.prove(&self.cluster, (name, keys), p2p_port, None)
    }

    fn view(&self, node: usize) -> ValidatorsView {
        http::get(&format!("{}/v1/validators", self.cluster.nodes[node].url())).unwrap()
    }

    /// Waits until every running node is in an epoch, with these members.
    fn wait_epoch(&self, epoch: u64, names: &[&str]) {
        for (at, node) in self.cluster.nodes.iter().enumerate() {
            let what = format!("{} in epoch {epoch}", node.name);
            let status =
                wait_for(&what, PATIENCE, || node.status().filter(|status| status.epoch.get() >= epoch));
            assert_eq!(status.epoch.get(), epoch, "{}", node.name);
            let view = self.view(at);
            let members: BTreeSet<&str> =
                view.committee.validators().iter().map(|one| one.name.as_str()).collect();
            assert_eq!(members, names.iter().copied().collect(), "{}", node.name);
        }
        self.step(&format!("epoch {epoch} with {}", names.join(", ")));
    }

    /// Waits until a node has said that it is ready and the ledger has taken its word.
    fn ready(&self, node: usize) {
        self.council.ready(&self.cluster, &self.cluster.nodes[node]);
    }
}

/// The chain with its five sets is replayed by a script that shares no code with us.
fn replayed(city: &City) {
    let path = |name: &str| city.cluster.dir().join(name).to_string_lossy().into_owned();
    let export = |what: &str, out: &str| {
        done(&city.cluster.city(&["export", what, "--out", out, "--timeout", "100s", "-o", "json"]));
    };
    export("chain", &path("chain.ndjson"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/chain.py");
    let chain_id = city.cluster.genesis.chain_id().to_string();
    // The mirror grows with the checkpoints, which are a little behind the blocks.
    let said = wait_for("a mirror that has all of the chain", PATIENCE, || {
        export("tiles", &path("mirror"));
        let mut python = Command::new("python3");
        python.arg("-B").arg(&script).args([&chain_id, &path("chain.ndjson"), &path("mirror")]);
        let Ok(run) = python.output() else { return Some(None) };
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        (!said.contains("or the mirror is older")).then_some(Some(said))
    });
    let Some(said) = said else {
        return skip("cluster_membership::replayed", "python3 is not installed");
    };
    println!("{said}");
    assert!(said.starts_with("holds: ") && said.contains("in 5 epochs"), "{said}");
}

#[test]
fn validators_come_go_and_change_keys_while_records_are_filed() {
    let mut city = City::up();
    let genesis: Vec<String> = city.cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| genesis[at].as_str());
    let clerk = officers(&city.cluster.genesis, &city.cluster.keys, "clerk", 1).remove(0);
    let client = Client::start(clerk, vec![city.cluster.nodes[0].url(), city.cluster.nodes[1].url()]);
    client.goes_on("the start");
    city.wait_epoch(0, &[a, b, c, d]);

    // Nobody speaks for itself who takes part, and nobody of whom the council knows nothing.
    let word = city.validator(&["ready", a, "--from", &city.cluster.nodes[0].url()]);
    assert!(said(&word).contains("READY_NOT_NEEDED"), "{}", said(&word));

    // A fifth one joins.
    let e = city.cluster.join("harbour", "harbour");
    let proof = city.prove("harbour", "harbour", city.cluster.nodes[e].p2p_port);
    city.decide(&["add", &proof]);
    city.step("harbour is wanted");
    client.goes_on("a proposal");
    city.wait_epoch_of_running(0);
    city.cluster.nodes[e].start();
    city.ready(e);
    city.wait_epoch(1, &[a, b, c, d, "harbour"]);
    city.cluster.wait_one_voting(e);
    client.goes_on("harbour joined");

    // Four of five votes decide: without another one, its vote is needed.
    city.cluster.nodes[3].kill();
    city.step("the fourth is dead");
    client.goes_on("the fourth died");
    let voted = city.cluster.nodes[e].recorded();
    assert!(voted.iter().any(|line| line.epoch == 1 && line.kind == "commit"), "harbour votes");
    city.cluster.nodes[3].start();
    city.cluster.wait_caught_up(3);
    city.step("the fourth is back");

    // The fourth leaves and follows.
    city.decide(&["remove", d]);
    city.wait_epoch(2, &[a, b, c, "harbour"]);
    let follows = |city: &City, node: usize| {
        let height = city.cluster.height();
        let node = &city.cluster.nodes[node];
        let what = format!("{} follows to {height}", node.name);
        wait_for(&what, PATIENCE, || {
            node.status().filter(|status| status.executed.get() >= height && !status.voting)
        });
    };
    client.goes_on("the fourth left");
    follows(&city, 3);
    city.step("the fourth follows without a vote");
    city.cluster.nodes[3].kill();
    city.cluster.nodes[3].start();
    follows(&city, 3);
    let url = city.cluster.nodes[3].url();
    let record = http::listed(&url, RecordType::DocFingerprint).pop_first().unwrap().0;
    wait_for("a body from the fourth", PATIENCE, || {
        let view: serde_json::Value = http::get(&format!("{url}/v1/records/{record}")).ok()?;
        (!view["body"].is_null()).then_some(())
    });
    city.step("the fourth serves bodies, too");

    // No fewer than four.
    let too_few = city.validator(&["propose", "remove", c, "--key", city.council.first()]);
    assert!(said(&too_few).contains("VALIDATOR_SET_SIZE"), "{}", said(&too_few));

    // The third is replaced: it goes once its successor is ready.
    let f = city.cluster.join("archive", "archive");
    let proof = city.prove("archive", "archive", city.cluster.nodes[f].p2p_port);
    city.decide(&["add", &proof]);
    city.decide(&["remove", c]);
    city.cluster.nodes[f].start();
    city.ready(f);
    city.wait_epoch(3, &[a, b, "harbour", "archive"]);
    city.cluster.wait_one_voting(f);
    client.goes_on("the third was replaced");
    follows(&city, 2);

    // The second goes on under new keys in a new process.
    let old_key =
        city.cluster.genesis.committee().validators().iter().find(|one| one.name == b).unwrap().consensus_key;
    let new = city.cluster.join(b, "second-2");
    let proof = city.prove_for(b, "second-2", city.cluster.nodes[new].p2p_port);
    city.decide(&["replace-key", &proof]);
    city.cluster.nodes[new].start();
    city.ready(new);
    wait_for("the second's new node votes", PATIENCE, || {
        city.cluster.nodes[new].status().filter(|status| status.voting && status.epoch.get() == 4)
    });
    // The old process has no part in the set any more, whatever it knows of that.
    let old_votes = city.cluster.nodes[1].votes();
    let old = city.cluster.nodes.remove(1);
    let double = judge::double(&old.recorded());
    assert_eq!(double, None, "the second's old node");
    assert!(
        judge::read(&old_votes).iter().all(|line| line.epoch < 4),
        "the old key does not vote in epoch 4"
    );
    drop(old);
    city.wait_epoch(4, &[a, b, "harbour", "archive"]);
    let new = new - 1;
    let view = city.view(0);
    let keys = |key| view.committee.validators().iter().any(|one| one.consensus_key == key);
    assert!(!keys(old_key), "the old consensus key is in no set");
    client.goes_on("the second changed keys");
    assert!(city.cluster.nodes[new].recorded().iter().any(|line| line.epoch == 4), "the new key votes");
    let word = city.validator(&["ready", b, "--from", &city.cluster.nodes[new].url()]);
    assert!(said(&word).contains("READY_NOT_NEEDED"), "{}", said(&word));

    // A restart finds the epoch again.
    city.cluster.nodes[0].kill();
    city.cluster.nodes[0].start();
    city.cluster.wait_one_voting(0);

    let acknowledged = client.finish();
    let agreed = city.cluster.wait_agreed();
    city.step(&format!("{} records acknowledged", acknowledged.len()));
    let wanted: BTreeSet<&String> = acknowledged.iter().collect();
    assert_eq!(wanted.len(), acknowledged.len(), "two filings share a record");
    assert!(acknowledged.len() > 20, "{} records", acknowledged.len());
    for (at, node) in city.cluster.nodes.iter().enumerate() {
        let found = http::listed(&node.url(), RecordType::DocFingerprint);
        for record in &wanted {
            assert_eq!(found.get(*record), Some(&1), "{}: record {record}", node.name);
        }
        let view = city.view(at);
        assert_eq!(view.epoch.get(), 4, "{}", node.name);
        assert!(view.scheduled.is_none(), "{}: {view:?}", node.name);
        assert!(view.known.iter().all(|one| one.offences == 0), "{}: {view:?}", node.name);
    }
    println!(
        "{} records, each once on each of {} nodes, at height {}",
        wanted.len(),
        city.cluster.nodes.len(),
        agreed.committed
    );
    city.cluster.assert_clean();

    // An auditor walks from the genesis through every set; a clerk's receipt of the newest epoch is good.
    let audit = city.cluster.city(&["audit", "chain", "-o", "json", "--no-memory", "--timeout", "100s"]);
    let report = done(&audit);
    let item = report.get("item").unwrap_or(&report);
    assert_eq!((&item["verdict"], &item["epoch"]), (&"PASS".into(), &4.into()), "{report}");
    replayed(&city);
    let last = acknowledged.last().unwrap();
    let receipt = city.cluster.city(&["receipt", "get", last, "--out", "last.json", "--timeout", "100s"]);
    assert!(receipt.status.success(), "{}", said(&receipt));
    for step in [&["trust", "init"][..], &["trust", "update"], &["trust", "export", "--out", "epoch.policy"]]
    {
        let trust = city.cluster.city(step);
        assert!(trust.status.success(), "{step:?}: {}", said(&trust));
    }
    let stored = city.cluster.city(&["receipt", "verify", "last.json"]);
    assert!(stored.status.success(), "{}", said(&stored));
    let verified = city.cluster.city(&["receipt", "verify", "last.json", "--trust", "epoch.policy"]);
    assert!(verified.status.success(), "{}", said(&verified));
    city.step("audited");

    // What each of them holds is whole, through every epoch.
    for node in &mut city.cluster.nodes {
        node.kill();
        let checked = node.run("fsck");
        assert!(checked.status.success() && said(&checked).contains("of epoch 4"), "{}", said(&checked));
    }
}

impl City {
    /// Waits until every running node is still in an epoch.
    fn wait_epoch_of_running(&self, epoch: u64) {
        assert!(self.cluster.statuses().iter().all(|status| status.epoch.get() == epoch));
    }

    /// The proof of new keys of a validator of the genesis, for its own agency.
    fn prove_for(&self, name: &str, keys: &str, p2p_port: u16) -> String {
        let set = self.cluster.genesis.committee().validators();
        let agency = set.iter().find(|one| one.name == name).unwrap().agency.clone();
        self.council.prove(&self.cluster, (name, keys), p2p_port, Some(&agency))
    }
}
