//! Real processes over real sockets: how they stop, and that a crash between a write and a word never makes a
//! validator contradict itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chain_core::genesis::{Genesis, KeyRole};
use chain_core::keyfile::development_plaintext;
use chain_core::transaction::Submission;
use city_node::datadir::marker_of;
use city_node::driver::hooks::Point;
use common::{licence, secret};
use serde_json::Value;

struct Net {
    dir: tempfile::TempDir,
    genesis: Genesis,
    api: [u16; 4],
    nodes: Vec<Option<Child>>,
    filed: usize,
}

fn free_ports() -> [u16; 4] {
    let held: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    std::array::from_fn(|ix| held[ix].local_addr().unwrap().port())
}

impl Net {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (p2p, api) = (free_ports(), free_ports());
        let genesis = common::genesis(p2p);
        std::fs::write(dir.path().join("genesis.toml"), genesis.to_toml()).unwrap();
        let net = Self { dir, genesis, api, nodes: (0..4).map(|_| None).collect(), filed: 0 };
        for ix in 0..4 {
            for (kind, role) in [(1, KeyRole::Consensus), (2, KeyRole::Network), (3, KeyRole::Log)] {
                let path = net.path(&format!("v{ix}-{}.pem", role.text()));
                std::fs::write(&path, development_plaintext(&secret(kind, ix), role).as_str()).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            }
            let marker = marker_of(&net.path(&format!("v{ix}-consensus.pem")));
            std::fs::write(marker, format!("{}\n", secret(1, ix).public())).unwrap();
            let config = format!(
                "genesis = \"genesis.toml\"\ndata_dir = \"v{ix}\"\n[keys]\nconsensus = \"v{ix}-consensus.pem\"\n\
                 network = \"v{ix}-network.pem\"\nlog = \"v{ix}-log.pem\"\n[p2p]\nlisten = \"/ip4/127.0.0.1/tcp/{}\"\n\
                 [api]\nlisten = \"127.0.0.1:{}\"\n",
                p2p[ix], api[ix]
            );
            std::fs::write(net.config(ix), config).unwrap();
            assert!(net.command("init", ix).output().unwrap().status.success());
        }
        net
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self, ix: usize) -> PathBuf {
        self.path(&format!("v{ix}.toml"))
    }

    fn command(&self, what: &str, ix: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
        command.arg(what).arg("--config").arg(self.config(ix));
        command
    }

    fn start(&mut self, ix: usize, crash_at: Option<&str>) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(&format!("v{ix}.log")))
            .unwrap();
        let mut command = self.command("start", ix);
        command
            .stderr(log)
            .stdout(Stdio::null())
            .env("CITY_VOTE_RECORDER", self.path(&format!("v{ix}.votes")));
        if let Some(crash_at) = crash_at {
            command.env("CITY_CRASH_AT", crash_at);
        }
        self.nodes[ix] = Some(command.spawn().unwrap());
    }

    /// One HTTP exchange; none while nobody answers.
    fn http(&self, ix: usize, request: &str, body: &[u8]) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.api[ix])).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let head = format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split_whitespace().nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    fn status(&self, ix: usize) -> Option<Value> {
        self.http(ix, "GET /v1/status", b"").map(|(_, body)| body)
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > Duration::from_secs(30) {
                let all: Vec<_> = (0..4).map(|ix| self.status(ix)).collect();
                let logs: Vec<String> = (0..4)
                    .map(|ix| {
                        let log =
                            std::fs::read_to_string(self.path(&format!("v{ix}.log"))).unwrap_or_default();
                        log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
                    })
                    .collect();
                panic!("{what}: {all:#?}\n{}", logs.join("\n\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_voting(&self, ix: usize) {
        self.until("votes", || self.status(ix).is_some_and(|status| status["voting"] == true));
    }

    /// Files one licence at a validator; true when it was taken.
    fn file(&mut self, ix: usize) -> bool {
        self.filed += 1;
        let submission: Submission = licence(&self.genesis, ix, &format!("P-{}", self.filed));
        let body = serde_json::to_vec(&submission).unwrap();
        self.http(ix, "POST /v1/transactions", &body).is_some_and(|(status, _)| status < 300)
    }

    fn committed(&self, ix: usize) -> u64 {
        self.status(ix).and_then(|status| status["committed"].as_u64()).unwrap_or(0)
    }

    /// Everything a validator signed, as the recorder saw it: one digest for each place.
    fn judge(&self, ix: usize) -> usize {
        let text = std::fs::read_to_string(self.path(&format!("v{ix}.votes"))).unwrap();
        let mut said: BTreeMap<String, Value> = BTreeMap::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            // A view change is repeated with a higher certificate; what it may not do is fall back.
            if line["kind"] == "view_change" {
                continue;
            }
            let place = format!(
                "{} {} {} {} {}",
                line["kind"], line["epoch"], line["view"], line["height"], line["seq"]
            );
            let before = said.entry(place.clone()).or_insert_with(|| line["digest"].clone());
            assert_eq!(*before, line["digest"], "v{ix} said two things: {place}");
        }
        said.len()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

impl Net {
    fn kill(&mut self, ix: usize) {
        if let Some(mut node) = self.nodes[ix].take() {
            node.kill().unwrap();
            node.wait().unwrap();
        }
    }

    /// The validator that leads, as another one sees it.
    fn leader(&self, asked: usize) -> Option<usize> {
        let leader = self.status(asked)?["leader"].clone();
        (0..4).find(|ix| leader == format!("v{ix}"))
    }

    /// Arms one validator, files records until it dies at the point in its role, and brings it back.
    fn crash(&mut self, victim: usize, point: Point, role: &str) {
        // A view change is rare: the first one counts.
        let count = if point == Point::BeforeViewChange { 1 } else { 4 };
        let what = format!("{}:{count}:{role}", point.name());
        let helper = (victim + 1) % 4;
        self.kill(victim);
        self.start(victim, Some(&what));
        let (start, mut moved) = (Instant::now(), Instant::now());
        let mut child = self.nodes[victim].take().unwrap();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{what} is not reached");
            // Filing at both makes the victim seal batches and vote.
            self.file(victim);
            self.file(helper);
            // Leadership moves on when the leader dies: towards the victim, or for a view change.
            let pass_on = role == "leader" || point == Point::BeforeViewChange;
            if pass_on && moved.elapsed() > Duration::from_secs(2) {
                if let Some(leader) = self.leader(helper).filter(|leader| *leader != victim) {
                    self.kill(leader);
                    std::thread::sleep(Duration::from_millis(1_500));
                    self.start(leader, None);
                }
                moved = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let log = std::fs::read_to_string(self.path(&format!("v{victim}.log"))).unwrap();
        let tail: Vec<&str> = log.lines().rev().take(6).collect();
        assert_eq!(status.signal(), Some(6), "{what}: {status} {tail:#?}");
        self.start(victim, None);
        (0..4).for_each(|ix| self.until_voting(ix));
        let before = self.committed(helper);
        self.file(helper);
        self.until("progress", || self.committed(helper) > before && self.committed(victim) > before);
        assert!((0..4).all(|ix| self.judge(ix) > 0), "{what}");
    }

    fn crash_everywhere(role: &str, points: impl Iterator<Item = Point>) {
        let mut net = Self::new();
        (0..4).for_each(|ix| net.start(ix, None));
        (0..4).for_each(|ix| net.until_voting(ix));
        for (turn, point) in points.enumerate() {
            net.crash(turn % 4, point, role);
        }
    }
}

#[test]
#[ignore = "takes minutes; `make campaign` runs it until it is quick enough for every change"]
fn a_leader_that_crashes_between_write_and_word_contradicts_nothing() {
    Net::crash_everywhere("leader", Point::ALL.into_iter().filter(|point| *point != Point::BeforeViewChange));
}

#[test]
#[ignore = "takes minutes; `make campaign` runs it until it is quick enough for every change"]
fn a_follower_that_crashes_between_write_and_word_contradicts_nothing() {
    Net::crash_everywhere("follower", Point::ALL.into_iter().filter(|point| *point != Point::BeforeProposal));
}

#[test]
#[ignore = "takes minutes; `make campaign` runs it until it is quick enough for every change"]
fn sigterm_under_load_stops_within_ten_seconds_and_loses_nothing() {
    let mut net = Net::new();
    (0..4).for_each(|ix| net.start(ix, None));
    (0..4).for_each(|ix| net.until_voting(ix));
    for _ in 0..50 {
        assert!(net.file(0));
    }
    net.until("filed records are final", || {
        net.status(1).is_some_and(|status| status["log_size"].as_u64() > Some(60))
    });
    for ix in 0..4 {
        let child = net.nodes[ix].as_mut().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").arg("-TERM").arg(pid).status().unwrap().success());
    }
    for ix in 0..4 {
        let start = Instant::now();
        let status = net.nodes[ix].take().unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(0), "v{ix}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    let output = net.command("check", 2).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["votes"], true, "{report}");
    let log = std::fs::read_to_string(net.path("v2.log")).unwrap();
    assert!(!log.contains("panic"), "{log}");
    (0..4).for_each(|ix| net.start(ix, None));
    net.until_voting(0);
    assert!(net.status(0).unwrap()["log_size"].as_u64() > Some(60));
    // A second process on the same directory is refused.
    let second = net.command("start", 0).output().unwrap();
    assert_eq!(second.status.code(), Some(6), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(String::from_utf8_lossy(&second.stderr).contains("LOCK_HELD"));
}
