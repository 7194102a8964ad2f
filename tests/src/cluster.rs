//! Four real `city-node` processes on this machine, and more that join, made and fed through the real `city`.
//!
//! Everything listens on loopback, every wait is bounded, and dropping a [`Cluster`] kills each process it
//! started, by its own handle. [`judge`] reads what the vote recorders wrote; [`sheet`] makes spreadsheets;
//! [`clerk`] signs transactions, also wrong ones; [`council`] changes the validators; [`load`] files records while something
//! happens; [`erase`] orders bodies to be destroyed.

pub mod canary;
pub mod clerk;
pub mod clock;
mod copies;
pub mod council;
pub mod disk;
pub mod erase;
pub mod forger;
pub mod http;
pub mod judge;
pub mod load;
pub mod sheet;

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain_core::api::{NodeStatus, Why};
use chain_core::genesis::Genesis;

use judge::Line;
use serde_json::Value;

/// Longest wait for anything a healthy network does.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Ports of one cluster: ten for each validator, as `city devnet` lays them out.
const PORTS: u16 = 40;

/// A validator of a cluster.
#[derive(Debug)]
pub struct Node {
    /// Its name in the validator set.
    pub name: String,
    /// Its folder.
    pub home: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Port of its API.
    pub api_port: u16,
    /// Port for its peers.
    pub p2p_port: u16,
    child: Option<Child>,
    /// What its last process was started with.
    env: Vec<(String, String)>,
    program: PathBuf,
}

impl Node {
    fn new(name: String, home: PathBuf, config: PathBuf, api_port: u16, p2p_port: u16) -> Self {
        let program = program("city-node");
        Self { name, home, config, api_port, p2p_port, child: None, env: Vec::new(), program }
    }

    /// Base URL of its API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// Where its process writes.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("test.log")).unwrap_or_default()
    }

    /// Whether it runs, and the end of its log.
    fn last_words(&mut self) -> String {
        let state = if self.up() { "runs" } else { "does not run" };
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("{} {state}:\n{}", self.name, lines[lines.len().saturating_sub(12)..].join("\n"))
    }

    /// Where its recorder writes.
    pub fn votes(&self) -> PathBuf {
        self.home.join("votes.jsonl")
    }

    /// Every line its recorder wrote.
    pub fn recorded(&self) -> Vec<Line> {
        judge::read(&self.votes())
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Whether its process lives.
    pub fn up(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// What it says of itself, if it answers at all.
    pub fn status(&self) -> Option<NodeStatus> {
        http::get(&format!("{}/v1/status", self.url())).ok()
    }

    /// What it says of why the ledger moves or does not, if it answers at all.
    pub fn why(&self) -> Option<Why> {
        http::get(&format!("{}/v1/node/why", self.url())).ok()
    }

    /// Number of its process, if one was started and not waited for.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts its process; what it signs is recorded. `env` is for this process only.
    ///
    /// # Panics
    /// When it runs already, or the program cannot be started.
    pub fn start_with(&mut self, env: &[(&str, &str)]) {
        assert!(!self.up(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(self.home.join("test.log"));
        let log = log.expect("a log file");
        let errors = log.try_clone().expect("a log file");
        let mut command = Command::new(&self.program);
        command.arg("start").arg("--config").arg(&self.config).env("CITY_VOTE_RECORDER", self.votes());
        self.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        self.child = Some(child.expect("city-node starts"));
    }

    /// Starts its process.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Uses another program from the next start on.
    pub fn use_program(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// SIGKILL, by the process's own handle.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM: asks its process to stop.
    ///
    /// # Panics
    /// When it does not run.
    pub fn terminate(&mut self) {
        self.signal("TERM");
    }

    /// Sends its process a signal, e.g. `STOP` or `CONT`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&mut self, name: &str) {
        assert!(self.up(), "{} does not run", self.name);
        let pid = self.pid().map(|pid| pid.to_string()).unwrap_or_default();
        assert!(send(name, &pid), "SIG{name} to {pid}");
    }

    /// Waits for its process to end by itself.
    pub fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        let child = self.child.as_mut()?;
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                self.child = None;
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs another command of `city-node` on its configuration, e.g. `init` or `snapshot verify`.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run(&self, command: &str) -> Output {
        self.run_with(command, &[])
    }

    /// As [`Self::run`], with further arguments.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run_with(&self, command: &str, args: &[&Path]) -> Output {
        let mut program = Command::new(&self.program);
        program.args(command.split(' ')).arg("--config").arg(&self.config).args(args);
        program.output().expect("city-node starts")
    }

    /// Deletes the ledger store of a stopped node: it can be rebuilt.
    ///
    /// # Panics
    /// When it runs, or there is nothing to delete.
    pub fn delete_ledger(&mut self) {
        assert!(!self.up());
        std::fs::remove_dir_all(self.data().join("ledger")).expect("a ledger store");
    }

    /// Deletes everything a stopped node ever wrote, its memory of voting with it.
    ///
    /// # Panics
    /// When it runs, or there is nothing to delete.
    pub fn delete_data(&mut self) {
        assert!(!self.up());
        std::fs::remove_dir_all(self.data()).expect("a data directory");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process by its id; whether it was there.
pub fn send(signal: &str, pid: &str) -> bool {
    let sent = Command::new("kill").args([&format!("-{signal}"), pid]).status();
    sent.is_ok_and(|status| status.success())
}

/// Stops and continues a process in turns, as a starved machine does, until it is dropped.
#[derive(Debug)]
pub struct Starved {
    over: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Starved {
    /// Begins; the node must not be killed before this is dropped.
    ///
    /// # Panics
    /// When it does not run.
    pub fn of(node: &Node, stopped: Duration, running: Duration) -> Self {
        let pid = node.pid().expect("it runs").to_string();
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let task = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                send("STOP", &pid);
                std::thread::sleep(stopped);
                send("CONT", &pid);
                std::thread::sleep(running);
            }
        });
        Self { over, task: Some(task) }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            let _ = task.join();
        }
    }
}

/// A network of real processes.
#[derive(Debug)]
pub struct Cluster {
    /// The validators, in the order of their ports.
    pub nodes: Vec<Node>,
    /// Where everything stands.
    dir: tempfile::TempDir,
    /// What they agree on.
    pub genesis: Genesis,
    /// Key ring with the officers of every agency.
    pub keys: PathBuf,
    /// Clusters of one test program take turns: they would starve each other.
    _turn: MutexGuard<'static, ()>,
}

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program of this workspace, as `cargo build` left it beside the tests.
///
/// # Panics
/// When it is not there.
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this program has a path");
    let target = tests.ancestors().find(|folder| folder.join("deps").is_dir()).expect("a target folder");
    let path = target.join(name);
    assert!(path.is_file(), "{} is missing: cargo build --release --bins", path.display());
    path
}

/// The `city-node` of tests, as `.ci/mutant-node` leaves it beside the real one: it can be told to misbehave,
/// and does so only when it is.
pub fn mutant() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CITY_NODE_MUTANT_BIN") {
        return Some(path.into());
    }
    let path = program("city-node").with_file_name("mutant").join("city-node");
    path.is_file().then_some(path)
}

/// Ports that are free now; no two clusters of this process get the same ones.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Below the ports that the system hands out to clients.
    let start = u16::try_from(std::process::id() % 250).unwrap_or(0) * PORTS;
    for _ in 0..400 {
        let base = 20_000 + start.wrapping_add(NEXT.fetch_add(PORTS, Ordering::Relaxed)) % 12_000;
        if (base..base + PORTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("no {PORTS} free ports in a row");
}

/// Waits until something holds.
///
/// # Panics
/// When it does not in time; `what` says what was waited for.
pub fn wait_for<T>(what: &str, patience: Duration, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s in vain: {what}", patience.as_secs());
        std::thread::sleep(Duration::from_millis(25));
    }
}

impl Cluster {
    /// The sample city as `city devnet up` makes it, taken over by the test: four validators that have
    /// committed their first block.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn up() -> Self {
        let mut cluster = Self::made();
        cluster.start_all();
        cluster
    }

    /// The same, not started.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn made() -> Self {
        Self::made_with(&[])
    }

    /// The same, by programs with something more in their environment.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn made_with(env: &[(&str, &str)]) -> Self {
        let turn = turn();
        let dir = tempfile::tempdir().expect("a folder for tests");
        let root = dir.path().join("net");
        let base = free_ports().to_string();
        run_city(
            dir.path(),
            &["devnet", "up", "--base-port", &base, "--dir", path(&root)],
            env,
            Stdio::null(),
        );
        run_city(dir.path(), &["devnet", "down", "--dir", path(&root)], env, Stdio::null());
        let list = std::fs::read_to_string(root.join("devnet.toml")).expect("a list of validators");
        let list: toml::Table = toml::from_str(&list).expect("a list of validators");
        let mut nodes = Vec::new();
        for entry in list["validator"].as_array().expect("validators") {
            let port = |name: &str| u16::try_from(entry[name].as_integer().unwrap_or(0)).unwrap_or(0);
            let home = root.join(format!("v{}", entry["number"]));
            let config = home.join("node.toml");
            let name = entry["name"].as_str().unwrap_or_default().to_owned();
            nodes.push(Node::new(name, home, config, port("api_port"), port("p2p_port")));
        }
        let genesis = std::fs::read_to_string(root.join("genesis.toml")).expect("a genesis");
        let genesis = Genesis::parse(&genesis).expect("a genesis");
        Self { nodes, genesis, keys: root.join("keys"), dir, _turn: turn }
    }

    /// A network whose parts a test made itself.
    pub fn of(
        dir: tempfile::TempDir,
        nodes: Vec<(String, PathBuf, u16)>,
        genesis: Genesis,
        keys: PathBuf,
    ) -> Self {
        let nodes = nodes
            .into_iter()
            .map(|(name, home, port)| {
                let config = home.join("node.toml");
                Node::new(name, home, config, port, port + 1)
            })
            .collect();
        Self { nodes, genesis, keys, dir, _turn: turn() }
    }

    /// First of forty free ports.
    pub fn free_ports() -> u16 {
        free_ports()
    }

    /// Makes the node of a validator that is to join, or to go on under new keys: keys in the ring under a name of
    /// their own, a folder, a configuration with the same genesis, and a data directory. Not started; gives its
    /// position.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn join(&mut self, name: &str, keys: &str) -> usize {
        let at = self.joiner(name, keys);
        let made = self.nodes[at].run("init");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        at
    }

    /// The same, without a data directory.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn joiner(&mut self, name: &str, keys: &str) -> usize {
        let made = self.city(&["key", "new", keys, "--kind", "validator"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let ring = self.keys.clone();
        let home = ring.with_file_name(keys);
        std::fs::create_dir(&home).expect("a folder for the node");
        let api = free_ports();
        let text = format!(
            "genesis = {genesis:?}\n\
             data_dir = \"data\"\n\
             [keys]\n\
             consensus = {consensus:?}\n\
             network = {network:?}\n\
             log = {log:?}\n\
             subjects = {subjects:?}\n\
             passphrase_file = {passphrase:?}\n\
             [p2p]\n\
             listen = \"/ip4/127.0.0.1/tcp/{p2p}\"\n\
             [api]\n\
             listen = \"127.0.0.1:{api}\"\n\
             reader = \"auditor\"\n",
            genesis = self.genesis_file(),
            consensus = ring.join(format!("{keys}-consensus.pem")),
            network = ring.join(format!("{keys}-network.pem")),
            log = ring.join(format!("{keys}-log.pem")),
            subjects = ring.join("subjects.pem"),
            passphrase = ring.join("passphrase"),
            p2p = api + 1,
        );
        let config = home.join("node.toml");
        std::fs::write(&config, text).expect("a configuration");
        self.nodes.push(Node::new(name.to_owned(), home, config, api, api + 1));
        self.nodes.len() - 1
    }

    /// Folder that goes away with the cluster.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The genesis file.
    pub fn genesis_file(&self) -> PathBuf {
        self.keys.with_file_name("genesis.toml")
    }

    /// Starts every validator that does not run, and waits until all vote and stand at one height.
    ///
    /// # Panics
    /// When they do not.
    pub fn start_all(&mut self) {
        for node in &mut self.nodes {
            if !node.up() {
                node.start();
            }
        }
        self.wait_voting();
    }

    /// Kills every validator.
    pub fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// Waits until every validator votes and has every connection.
    ///
    /// # Panics
    /// When one does not.
    pub fn wait_voting(&mut self) {
        for at in 0..self.nodes.len() {
            self.wait_one_voting(at);
        }
    }

    /// Waits until one validator votes.
    ///
    /// # Panics
    /// When it does not, with its last words.
    pub fn wait_one_voting(&mut self, at: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let node = &mut self.nodes[at];
            if node.status().is_some_and(|status| status.voting) {
                return;
            }
            if !node.up() || Instant::now() >= deadline {
                let (name, status) = (node.name.clone(), node.status());
                let words: Vec<String> = self.nodes.iter_mut().map(Node::last_words).collect();
                panic!("{name} does not vote; status {status:?}; last words:\n{}", words.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// Waits until one validator votes and stands where the others stood a moment before: until then, the
    /// death of another would be one too many.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_caught_up(&mut self, at: usize) {
        self.wait_one_voting(at);
        let height = self.height();
        let node = &self.nodes[at];
        let deadline = Instant::now() + PATIENCE;
        while node.status().is_none_or(|status| status.committed.get() < height) {
            if Instant::now() >= deadline {
                let (name, statuses) = (node.name.clone(), self.statuses());
                let words = self.nodes[at].last_words();
                panic!("{name} does not catch up to {height}: {words}\n{statuses:#?}");
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// What every running validator says of itself.
    pub fn statuses(&self) -> Vec<NodeStatus> {
        self.nodes.iter().filter_map(Node::status).collect()
    }

    /// Highest committed height that anybody reports.
    pub fn height(&self) -> u64 {
        self.statuses().iter().map(|status| status.committed.get()).max().unwrap_or(0)
    }

    /// Position of the leader, as most of those who vote see it.
    pub fn leader(&self) -> Option<usize> {
        let names: Vec<String> =
            self.statuses().into_iter().filter(|status| status.voting).map(|status| status.leader).collect();
        let best = names.iter().max_by_key(|name| names.iter().filter(|other| other == name).count())?;
        self.nodes.iter().position(|node| node.name == **best)
    }

    /// Waits until all four stand at one height with one digest, and executed it.
    ///
    /// # Panics
    /// When they do not.
    pub fn wait_agreed(&self) -> NodeStatus {
        let count = self.nodes.len();
        wait_for("all validators at one height", PATIENCE, || {
            let all = self.statuses();
            let first = all.first()?;
            let same = all.len() == count
                && all.iter().all(|one| {
                    (one.committed, one.committed_digest, one.executed, one.exec_root)
                        == (first.committed, first.committed_digest, first.committed, first.exec_root)
                });
            same.then(|| first.clone())
        })
    }

    /// Runs `city` against this network.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn city(&self, args: &[&str]) -> Output {
        self.city_command(args).output().expect("city starts")
    }

    /// `city` against this network, to be started by the caller.
    pub fn city_command(&self, args: &[&str]) -> Command {
        let urls: Vec<String> = self.nodes.iter().map(Node::url).collect();
        let mut command = Command::new(program("city"));
        command
            .args(["--no-input"])
            .args(args)
            .env("CITY_CONFIG", self.dir().join("contexts.toml"))
            .env("CITY_NODE", urls.join(","))
            .env("CITY_GENESIS", self.genesis_file())
            .env("CITY_KEYS", &self.keys)
            .env("HOME", self.dir())
            .current_dir(self.dir())
            .stdin(Stdio::null());
        command
    }

    /// No process of this network ever panicked, and no two of its signatures contradict each other.
    ///
    /// # Panics
    /// When one did or they do.
    pub fn assert_clean(&self) {
        for node in &self.nodes {
            let log = node.log();
            if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
                panic!("{} panicked: {line}", node.name);
            }
        }
        for node in &self.nodes {
            if let Some(double) = judge::double(&node.recorded()) {
                panic!("{} signed twice: {double}", node.name);
            }
        }
    }
}

/// What a command said, on either stream.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The result of a command that succeeded; null where it is no JSON.
///
/// # Panics
/// When it failed.
pub fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Runs `city` for the making of a network.
///
/// # Panics
/// When it fails.
pub fn run_city(dir: &Path, args: &[&str], env: &[(&str, &str)], stdin: Stdio) -> Output {
    let output = Command::new(program("city"))
        .args(["--no-input"])
        .args(args)
        .env("CITY_CONFIG", dir.join("contexts.toml"))
        .env("HOME", dir)
        .envs(env.iter().copied())
        .current_dir(dir)
        .stdin(stdin)
        .output()
        .expect("city starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "city {}: {said}", args.join(" "));
    output
}
