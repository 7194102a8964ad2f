//! The nodes, the event queue, and virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chain_core::crypto::Digest;
use chain_core::evidence::Offence;
use chain_core::id::{ChainId, Height, ValidatorIx, View};
use consensus::Params;
use consensus::action::Action;
use consensus::event::Event;
use consensus::mutant::Mutant;

use super::agreement::Agreement;
use super::disk::Disk;
use super::epoch::EpochStart;
use super::epochs::Churn;
use super::faults::Faults;
use super::judge::Observer;
use super::ledger::{Executor, Executors, Payloads, SimLedger};
use super::nemesis::Nemesis;
use super::network::Network;
use super::node::Node;
use super::parcel::Letter;
use super::random::Random;
use super::report::Report;
use super::roster::{Keys, Roster};
use super::submit::Clients;
use super::transcript::Transcript;
use super::twins::Script;

/// Wall clock of the first block, milliseconds since 1970.
const EPOCH_MS: u64 = 1_780_000_000_000;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Due {
    Tick {
        node: usize,
        incarnation: u32,
    },
    Arrive {
        from: usize,
        to: usize,
        letter: Arc<Letter>,
    },
    /// A liar sends what it has kept back.
    Speak {
        from: usize,
        to: usize,
        letter: Arc<Letter>,
    },
    LiarIdle {
        node: usize,
    },
    Synced {
        node: usize,
        incarnation: u32,
        entries: usize,
        seq: u64,
    },
    Executed {
        node: usize,
        incarnation: u32,
    },
    Loaded {
        node: usize,
        incarnation: u32,
        from: Height,
        count: usize,
    },
    /// The record with which a node enters an epoch is durable.
    Entered {
        node: usize,
        incarnation: u32,
        entries: usize,
    },
    Connect {
        from: usize,
        to: usize,
    },
    Disconnect {
        from: usize,
        to: usize,
    },
    Submit,
    Restart {
        node: usize,
        wipe_ledger: bool,
    },
    Nemesis(Nemesis),
}

/// An entry of the queue: earliest first, and in the order of scheduling where times are equal.
struct Queued {
    at_us: u64,
    number: u64,
    due: Due,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.number).cmp(&(other.at_us, other.number))
    }
}

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides every chance.
    pub seed: u64,
    /// Validators.
    pub n: u16,
    /// Protocol parameters.
    pub params: Params,
    /// What goes wrong.
    pub faults: Faults,
    /// How signatures are made.
    pub keys: Keys,
    /// Who executes.
    pub executors: Executors,
    /// Validators that have a second node with the same key from the start, with a store of its own.
    pub twins: Vec<u16>,
    /// Which validator leads view 0; the seed decides if none is named.
    pub first_leader: Option<u16>,
}

impl Setup {
    /// Real engines under keyed-hash signatures, every block executed once. One seed in a hundred uses
    /// Ed25519, one in eight lets every node execute by itself.
    pub fn new(seed: u64, n: u16, faults: Faults) -> Self {
        Self {
            seed,
            n,
            params: Params::default(),
            faults,
            keys: if seed % 100 == 42 { Keys::Ed25519 } else { Keys::Hash },
            executors: if seed % 8 == 5 { Executors::Each } else { Executors::Shared },
            twins: Vec::new(),
            first_leader: None,
        }
    }

    /// A chain whose view 0 is led as asked.
    fn chain_id(&self) -> ChainId {
        let named = |salt: u64| {
            let parts: [&[u8]; 3] = [&self.seed.to_be_bytes(), &self.n.to_be_bytes(), &salt.to_be_bytes()];
            ChainId::new(Digest::tagged(b"sim-chain", &parts))
        };
        let fits = |id: &ChainId| match self.first_leader {
            None => true,
            Some(leader) => id.digest().prefix_u64() % u64::from(self.n) == u64::from(leader),
        };
        (0..10_000).map(named).find(fits).unwrap_or_else(|| named(0))
    }
}

/// A network of validators under faults.
pub struct World {
    pub(super) setup_n: usize,
    pub(super) seed: u64,
    pub(super) now_us: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: u64,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) nodes: Vec<Node>,
    pub(super) epochs: Vec<EpochStart>,
    pub(super) params: Params,
    pub(super) executors: Executors,
    pub(super) payloads: Payloads,
    pub(super) shared: Executor,
    pub(super) clients: Clients,
    pub(super) network: Network,
    pub(super) partition: u64,
    pub(super) agreement: Agreement,
    /// One for each epoch.
    pub(super) observers: Vec<Observer>,
    /// First violation, in words.
    pub(super) violation: Option<String>,
    pub(super) churn: Churn,
    /// Which engine proved which offence: node, its start, offence.
    pub(super) accused: BTreeSet<(usize, u32, Offence)>,
    pub(super) report: Report,
    pub(super) checks: Arc<AtomicU64>,
    pub(super) views_by_timeout: BTreeSet<(usize, View)>,
    pub(super) calm: bool,
    pub(super) transcript: Option<Transcript>,
    pub(super) mutant: Option<Mutant>,
    pub(super) script: Option<Script>,
    /// Messages and bytes sent: votes, proposals, batches, everything else.
    pub(super) kinds: [(u64, u64); 4],
    /// Time spent in engines, if it is measured.
    pub(super) engine_time: Option<Duration>,
    /// Steps of all nodes.
    pub(super) steps: u32,
    /// Reused between steps.
    pub(super) actions: Vec<Action>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World(seed {}, n {})", self.seed, self.setup_n)
    }
}

impl World {
    /// Makes a network of `n` validators whose faults and chances the seed decides.
    pub fn new(seed: u64, n: u16, params: Params, faults: Faults) -> Self {
        Self::of(Setup { params, ..Setup::new(seed, n, faults) })
    }

    /// Makes a network from all its parts.
    pub fn of(setup: Setup) -> Self {
        let chain_id = setup.chain_id();
        let Setup { seed, n, params, faults, keys, executors, twins, .. } = setup;
        let checks = Arc::new(AtomicU64::new(0));
        let start = EpochStart::genesis(chain_id, Roster::first(n, keys), EPOCH_MS, &checks);
        let payloads = Payloads::new(chain_id, seed);
        let mut random = Random::fork(seed, b"world");
        let f = start.judge.committee.faults();
        let mut nodes: Vec<Node> = Vec::new();
        let late =
            faults.twin.then(|| u16::try_from(random.index(usize::from(n) - faults.liars.len().min(f))));
        let late = late.and_then(Result::ok);
        for (place, ix) in (0..n).chain(twins.iter().copied()).chain(late).enumerate() {
            let skew = i64::try_from(random.between(0, 2 * faults.skew_ms)).unwrap_or(0)
                - i64::try_from(faults.skew_ms).unwrap_or(0);
            let second = place >= usize::from(n);
            let name = if second { format!("v{ix}'") } else { format!("v{ix}") };
            let ix = ValidatorIx::new(ix);
            let disk = Disk::new(start.fresh_record(ix));
            let ledger = SimLedger::new(executors, &payloads, &start.base);
            let member = start.roster.members[ix.index()];
            let mut node = Node::new(member, Some(ix), name, (disk, ledger), skew);
            node.second = second;
            nodes.push(node);
        }
        let mut observer = Observer::new(start.judge.committee.quorum(), start.base.digest);
        observer.expect_epoch(start.epoch, start.base_of(), usize::from(n));
        for ix in &twins {
            observer.expect_lies(ValidatorIx::new(*ix));
        }
        let seats = nodes.len();
        if late.is_some() {
            nodes[seats - 1].begun = false;
        }
        let mut world = Self {
            setup_n: usize::from(n),
            seed,
            now_us: 0,
            queue: BinaryHeap::new(),
            queued: 0,
            network: Network::new(seats, &faults, Random::fork(seed, b"network")),
            clients: Clients::new(Random::fork(seed, b"clients")),
            shared: Executor::new(&payloads),
            random,
            faults,
            nodes,
            epochs: vec![start],
            params,
            executors,
            payloads,
            partition: 0,
            agreement: Agreement::default(),
            observers: vec![observer],
            violation: None,
            churn: Churn::new(seed, n),
            accused: BTreeSet::new(),
            report: Report { seeds: 1, ..Report::default() },
            checks,
            views_by_timeout: BTreeSet::new(),
            calm: false,
            transcript: None,
            mutant: None,
            script: None,
            kinds: [(0, 0); 4],
            engine_time: None,
            steps: 0,
            actions: Vec::new(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let liars: Vec<_> = self.faults.liars.iter().take(self.f()).copied().collect();
        for (back, lie) in liars.into_iter().enumerate() {
            let node = self.setup_n - 1 - back;
            self.nodes[node].liar = Some(lie.liar());
            self.observers[0].expect_lies(ValidatorIx::new(u16::try_from(node).unwrap_or(0)));
            self.schedule(250_000, Due::LiarIdle { node });
        }
        for node in 0..self.nodes.len() {
            let at = self.random.between(0, 400_000);
            self.schedule(at, Due::Restart { node, wipe_ledger: false });
        }
        self.schedule(500_000, Due::Submit);
        self.begin_nemeses();
    }

    /// How many may be Byzantine in the newest epoch.
    pub(super) fn f(&self) -> usize {
        self.epochs.last().map_or(0, |start| start.judge.committee.faults())
    }

    pub(super) fn start_ms(&self) -> u64 {
        EPOCH_MS
    }

    /// Removes one rule from every engine that starts from now on.
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    pub(super) fn schedule(&mut self, in_us: u64, due: Due) {
        self.schedule_at(self.now_us + in_us, due);
    }

    pub(super) fn schedule_at(&mut self, at_us: u64, due: Due) {
        self.queued += 1;
        self.queue.push(Reverse(Queued { at_us, number: self.queued, due }));
    }

    /// A number that nothing else in this run has.
    pub(super) fn unique(&mut self) -> u64 {
        self.queued += 1;
        self.queued
    }

    /// Runs for a span of virtual time under faults.
    ///
    /// # Errors
    /// The first violation, in words.
    pub fn run_ms(&mut self, span_ms: u64) -> Result<(), String> {
        let end = self.now_us + span_ms * 1_000;
        while self.queue.peek().is_some_and(|Reverse(next)| next.at_us <= end) {
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.now_us = next.at_us;
            if let Some(script) = self.script.as_mut() {
                script.now_us = next.at_us;
            }
            self.step(next.due);
            let seen = self.observers.iter().find_map(|one| one.violation.as_ref());
            if let Some(violation) = self.violation.as_ref().or(seen) {
                return Err(format!(
                    "seed {} n {} at {} ms: {violation}",
                    self.seed,
                    self.setup_n,
                    self.now_us / 1_000
                ));
            }
        }
        self.now_us = end;
        Ok(())
    }

    fn step(&mut self, due: Due) {
        match due {
            Due::Tick { node, incarnation } => {
                if self.nodes[node].incarnation == incarnation && self.nodes[node].tick_at <= self.now_us {
                    self.feed(node, Event::Tick);
                }
            }
            Due::Arrive { from, to, letter } => self.arrive(from, to, &letter),
            Due::Speak { from, to, letter } => self.post(from, to, letter),
            Due::LiarIdle { node } => self.liar_idle(node),
            Due::Synced { node, incarnation, entries, seq } => self.synced(node, incarnation, entries, seq),
            Due::Executed { node, incarnation } => self.executed(node, incarnation),
            Due::Loaded { node, incarnation, from, count } => self.loaded(node, incarnation, from, count),
            Due::Entered { node, incarnation, entries } => self.entered(node, incarnation, entries),
            Due::Connect { from, to } => {
                if self.up(from) && self.up(to) && !self.network.is_cut(from, to) {
                    self.feed(to, Event::Connected(self.place(self.nodes[to].epoch, from)));
                }
            }
            Due::Disconnect { from, to } => {
                if !self.up(from) && self.up(to) {
                    self.feed(to, Event::Disconnected(self.place(self.nodes[to].epoch, from)));
                }
            }
            Due::Submit => self.submit(),
            Due::Restart { node, wipe_ledger } => self.come_back(node, wipe_ledger),
            Due::Nemesis(nemesis) => self.strike(nemesis),
        }
    }

    /// What was counted so far.
    pub fn report(&self) -> Report {
        let mut report = self.report;
        report.virtual_ms = self.now_us / 1_000;
        (report.accepted, report.refused) = self.nodes[0].ledger.verdicts(&self.shared);
        report.blocks = self.agreement.height().get();
        let views = self.nodes.iter().filter_map(|node| node.engine.as_ref()).map(|one| one.view().get());
        report.views = views.max().unwrap_or(0);
        report.view_changes = self.views_by_timeout.len() as u64;
        report.double_signed = self.observers.iter().map(|one| one.double_signed).sum();
        report.epochs = self.epochs.len() as u64;
        report.lost = self.network.lost;
        report.duplicated = self.network.duplicated;
        report.checks = self.checks.load(Ordering::Relaxed);
        report
    }

    /// The chain this world runs.
    pub fn chain_id(&self) -> ChainId {
        self.epochs[0].judge.chain_id
    }

    /// What clients measured.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What clients measure, and where they submit.
    pub fn clients_mut(&mut self) -> &mut Clients {
        &mut self.clients
    }

    /// Measures the time spent in engines from now on.
    pub fn time_engines(&mut self) {
        self.engine_time = Some(Duration::ZERO);
    }

    /// Time spent in engines, if it is measured: by the wall clock of this machine, and no part of a trace.
    pub fn engine_time(&self) -> Option<Duration> {
        self.engine_time
    }

    /// Newest height that anybody delivered.
    pub fn height(&self) -> Height {
        self.agreement.height()
    }

    /// Where every node stands, a line each.
    pub fn state(&self) -> String {
        self.nodes.iter().map(Node::state).collect::<Vec<_>>().join("\n")
    }

    /// Keeps a readable line for every step from now on.
    pub fn keep_transcript(&mut self) {
        self.transcript = Some(Transcript::default());
    }

    /// The lines of the transcript that concern a violation, and the last ones.
    pub fn transcript(&self, violation: &str, last: usize) -> String {
        self.transcript.as_ref().map_or_else(String::new, |lines| lines.about(violation, last))
    }

    /// Puts a line about a node into the transcript.
    pub(super) fn note(&mut self, node: usize, what: &str) {
        if let Some(transcript) = self.transcript.as_mut() {
            transcript.note(self.now_us, format!("{} {what}", self.nodes[node].name));
        }
    }

    /// Puts a line about the network into the transcript.
    pub(super) fn note_network(&mut self, what: impl FnOnce() -> String) {
        if let Some(transcript) = self.transcript.as_mut() {
            transcript.note(self.now_us, what());
        }
    }
}
