//! The nodes, the event queue, and the checks after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chain_core::code::{Code, Refusal};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, PublicKey};
use chain_core::evidence::{Evidence, Offence};
use chain_core::id::{ChainId, Epoch, Height, TxId, ValidatorIx, View};
use chain_core::lane::{BatchRef, SignedBatchHeader};
use chain_core::transaction::Submission;
use consensus::action::{Action, Alarm, Delivery, Peers};
use consensus::engine::{Restored, SafetyAtStart, Tip};
use consensus::event::{Event, Now};
use consensus::message::{Message, Proposal, SYNC_BLOCKS_MAX, Vote};
use consensus::mutant::Mutant;
use consensus::safety::SafetyRecord;
use consensus::signer::Signer as _;
use consensus::verified::Judge;
use consensus::{Engine, Params};

use super::crypto::{SimSigner, SimVerifier};
use super::disk::{Disk, Logged};
use super::faults::Faults;
use super::judge::Observer;
use super::ledger::{Payloads, SimLedger};
use super::random::Random;

/// Wall clock of the first block, milliseconds since 1970.
const EPOCH_MS: u64 = 1_780_000_000_000;

/// Something that will happen.
#[derive(Debug)]
enum Due {
    Tick { node: usize, incarnation: u64 },
    Arrive { from: usize, to: usize, parcel: Parcel },
    Synced { node: usize, incarnation: u64, entries: usize, seq: u64 },
    Executed { node: usize, incarnation: u64 },
    Connect { from: usize, to: usize },
    Submit,
    Crash,
    Restart { node: usize, wipe_ledger: bool },
    Partition,
    Heal { number: u64 },
}

/// What travels between nodes.
#[derive(Clone, Debug)]
enum Parcel {
    Message(Box<Message>),
    Batch(SignedBatchHeader),
    GetBatches { from: u64, tip: BatchRef },
}

/// A send that waits for a write.
#[derive(Debug)]
enum Held {
    Message { to: Peers, message: Box<Message>, after: u64 },
    Batch { header: SignedBatchHeader, after: u64 },
}

struct Node {
    ix: ValidatorIx,
    engine: Option<Engine>,
    incarnation: u64,
    disk: Disk,
    ledger: SimLedger,
    held: VecDeque<Held>,
    written_seq: u64,
    durable_seq: u64,
    syncing: bool,
    executing: VecDeque<Delivery>,
    delivered: Height,
    doomed: bool,
    tick_at: u64,
    skew_ms: i64,
    tokens: BTreeMap<u64, Vec<Submission>>,
}

/// How often things happened, summed over a run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Blocks made final.
    pub blocks: u64,
    /// Batches ordered.
    pub batches: u64,
    /// Views entered after a time-out, counted once per view and run.
    pub view_changes: u64,
    /// Views in all.
    pub views: u64,
    /// Crashes that lost unsynced writes.
    pub lossy_crashes: u64,
    /// Crashes in all.
    pub crashes: u64,
    /// Partitions.
    pub partitions: u64,
    /// Fetches of data or blocks that were missing.
    pub fetches: u64,
    /// Times a validator noticed two signed statements of a liar.
    pub equivocations: u64,
    /// Offences proven, counted once for each engine that proved one.
    pub evidence: u64,
    /// Ledger stores rebuilt from the consensus store.
    pub ledger_rebuilds: u64,
    /// Safety records lost; their validators follow in silence.
    pub records_lost: u64,
    /// Operations that took effect, counted on one validator.
    pub accepted: u64,
    /// Operations refused with a code, counted on one validator.
    pub refused: u64,
    /// Messages sent.
    pub messages: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// Milliseconds from healing to a marker delivered everywhere.
    pub healed_in_ms: u64,
    /// Hash over every delivered event.
    pub trace: u64,
}

impl Report {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.batches += other.batches;
        self.view_changes += other.view_changes;
        self.views += other.views;
        self.lossy_crashes += other.lossy_crashes;
        self.crashes += other.crashes;
        self.partitions += other.partitions;
        self.fetches += other.fetches;
        self.equivocations += other.equivocations;
        self.evidence += other.evidence;
        self.ledger_rebuilds += other.ledger_rebuilds;
        self.records_lost += other.records_lost;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.messages += other.messages;
        self.virtual_ms += other.virtual_ms;
        self.healed_in_ms = self.healed_in_ms.max(other.healed_in_ms);
        self.trace = self.trace.wrapping_mul(31).wrapping_add(other.trace);
    }
}

/// A network of validators under faults.
pub struct World {
    n: usize,
    seed: u64,
    now_us: u64,
    queue: BTreeMap<(u64, u64), Due>,
    queued: u64,
    random: Random,
    faults: Faults,
    nodes: Vec<Node>,
    judge: Judge,
    chain_id: ChainId,
    params: Params,
    genesis: Tip,
    payloads: Payloads,
    blocked: BTreeSet<(usize, usize)>,
    partition: u64,
    /// Blocks of liars and the twins they showed to others.
    twins: BTreeMap<Digest, Digest>,
    observer: Observer,
    /// Which engine proved which offence: node, its start, offence.
    accused: BTreeSet<(usize, u64, Offence)>,
    report: Report,
    views_by_timeout: BTreeSet<View>,
    calm: bool,
    transcript: Option<Vec<String>>,
    mutant: Option<Mutant>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World(seed {}, n {})", self.seed, self.n)
    }
}

impl World {
    /// Makes a network of `n` validators whose faults and chances the seed decides.
    pub fn new(seed: u64, n: u16, params: Params, faults: Faults) -> Self {
        let chain_id = ChainId::new(Digest::tagged(b"sim-chain", &[&seed.to_be_bytes(), &n.to_be_bytes()]));
        let validators = (0..n).map(sim_validator).collect();
        let committee = Arc::new(Committee::new(Epoch::ZERO, validators).expect("a valid committee"));
        let verifier = Arc::new(SimVerifier::new(n));
        let judge = Judge::new(chain_id, committee.clone(), (Height::ZERO, *chain_id.digest()), verifier);
        let genesis = Tip::genesis(chain_id, EPOCH_MS);
        let payloads = Payloads::new(chain_id, seed);
        let mut random = Random::new(seed);
        let nodes = (0..n)
            .map(|ix| {
                let key = committee.validators()[usize::from(ix)].consensus_key;
                let record =
                    SafetyRecord::fresh(chain_id, Epoch::ZERO, key, (Height::ZERO, *chain_id.digest()));
                let skew = i64::try_from(random.between(0, 2 * faults.skew_ms)).unwrap_or(0);
                Node {
                    ix: ValidatorIx::new(ix),
                    engine: None,
                    incarnation: 0,
                    disk: Disk::new(record),
                    ledger: SimLedger::new(&payloads, &genesis),
                    held: VecDeque::new(),
                    written_seq: 0,
                    durable_seq: 0,
                    syncing: false,
                    executing: VecDeque::new(),
                    delivered: Height::ZERO,
                    doomed: false,
                    tick_at: 0,
                    skew_ms: skew - i64::try_from(faults.skew_ms).unwrap_or(0),
                    tokens: BTreeMap::new(),
                }
            })
            .collect();
        let mut world = Self {
            n: usize::from(n),
            seed,
            now_us: 0,
            queue: BTreeMap::new(),
            queued: 0,
            random,
            faults,
            nodes,
            judge,
            chain_id,
            params,
            genesis,
            payloads,
            blocked: BTreeSet::new(),
            partition: 0,
            twins: BTreeMap::new(),
            observer: Observer::default(),
            accused: BTreeSet::new(),
            report: Report::default(),
            views_by_timeout: BTreeSet::new(),
            calm: false,
            transcript: None,
            mutant: None,
        };
        for ix in 0..world.faults.equivocators.min(world.judge.committee.faults()) {
            world.observer.expect_lies(world.nodes[ix].ix);
        }
        for node in 0..world.n {
            let at = world.random.between(0, 400_000);
            world.schedule(at, Due::Restart { node, wipe_ledger: false });
        }
        world.schedule(500_000, Due::Submit);
        world.schedule_fault(Due::Crash, world.faults.crash_every_ms);
        world.schedule_fault(Due::Partition, world.faults.partition_every_ms);
        world
    }

    /// Removes one rule from every engine that starts from now on.
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    /// Keeps a readable line for every step from now on.
    pub fn keep_transcript(&mut self) {
        self.transcript = Some(Vec::new());
    }

    /// The last lines of the transcript.
    pub fn transcript(&self, lines: usize) -> String {
        let all = self.transcript.as_deref().unwrap_or_default();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn schedule(&mut self, in_us: u64, due: Due) {
        self.queued += 1;
        self.queue.insert((self.now_us + in_us, self.queued), due);
    }

    fn schedule_fault(&mut self, due: Due, mean_ms: u64) {
        if mean_ms > 0 && !self.calm {
            let wait = self.random.between(mean_ms / 4, mean_ms * 7 / 4) * 1_000;
            self.schedule(wait, due);
        }
    }

    fn clock(&self, node: usize) -> Now {
        let mono_ms = self.now_us / 1_000 + 1_000;
        let wall =
            i64::try_from(EPOCH_MS + self.now_us / 1_000).unwrap_or(i64::MAX) + self.nodes[node].skew_ms;
        Now { mono_ms, wall_ms: u64::try_from(wall).unwrap_or(0) }
    }

    /// Runs for a span of virtual time under faults.
    ///
    /// # Errors
    /// The first violation, in words.
    pub fn run_ms(&mut self, span_ms: u64) -> Result<(), String> {
        let end = self.now_us + span_ms * 1_000;
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > end {
                break;
            }
            let due = entry.remove();
            self.now_us = at;
            self.step(due);
            if let Some(violation) = &self.observer.violation {
                return Err(format!(
                    "seed {} n {} at {} ms: {violation}",
                    self.seed,
                    self.n,
                    self.now_us / 1_000
                ));
            }
        }
        self.now_us = end;
        Ok(())
    }

    /// Ends every fault, brings everybody back, and demands that a new record is delivered everywhere
    /// within `within_ms`.
    ///
    /// # Errors
    /// A violation, or that progress did not return.
    pub fn heal_and_progress(&mut self, within_ms: u64) -> Result<Report, String> {
        self.calm = true;
        self.blocked.clear();
        self.faults.loss_per_mille = 0;
        self.faults.duplicate_per_mille = 0;
        for node in 0..self.n {
            self.nodes[node].doomed = false;
            if self.nodes[node].engine.is_none() {
                self.restart(node, false);
            }
        }
        for from in 0..self.n {
            for to in 0..self.n {
                if from != to {
                    self.schedule(1_000, Due::Connect { from, to });
                }
            }
        }
        let start = self.now_us;
        // A marker goes in at every node as soon as it takes one; each must come out everywhere.
        let mut markers: Vec<Option<TxId>> = vec![None; self.n];
        loop {
            for (node, marker) in markers.iter_mut().enumerate() {
                *marker = marker.or_else(|| self.submit_at(node));
            }
            // Nothing is owed by liars, nor by one that may not sign, but that one must follow.
            let owed = |(node, marker): (usize, &Option<TxId>)| {
                let who = self.nodes[node].ix;
                self.observer.silent(who)
                    || self.observer.lies(who)
                    || marker.is_some_and(|tx| self.nodes.iter().all(|node| node.ledger.holds(&tx)))
            };
            if markers.iter().enumerate().all(owed) {
                break;
            }
            if self.now_us >= start + within_ms * 1_000 {
                let state: Vec<String> = self.nodes.iter().map(Node::state).collect();
                return Err(format!(
                    "seed {} n {}: no progress {within_ms} ms after healing\n{}",
                    self.seed,
                    self.n,
                    state.join("\n")
                ));
            }
            self.run_ms(20)?;
        }
        self.report.healed_in_ms = (self.now_us - start) / 1_000;
        self.report.virtual_ms = self.now_us / 1_000;
        (self.report.accepted, self.report.refused) = self.nodes[0].ledger.verdicts;
        self.report.blocks = self.observer.height().get();
        self.report.views = self
            .nodes
            .iter()
            .filter_map(|node| node.engine.as_ref())
            .map(|one| one.view().get())
            .max()
            .unwrap_or(0);
        self.report.view_changes = self.views_by_timeout.len() as u64;
        Ok(self.report)
    }

    fn step(&mut self, due: Due) {
        match due {
            Due::Tick { node, incarnation } => {
                if self.nodes[node].incarnation == incarnation && self.nodes[node].tick_at <= self.now_us {
                    self.feed(node, Event::Tick);
                }
            }
            Due::Arrive { from, to, parcel } => self.arrive(from, to, parcel),
            Due::Synced { node, incarnation, entries, seq } => self.synced(node, incarnation, entries, seq),
            Due::Executed { node, incarnation } => self.executed(node, incarnation),
            Due::Connect { from, to } => {
                if self.up(from) && self.up(to) && !self.blocked.contains(&(from, to)) {
                    self.feed(to, Event::Connected(self.nodes[from].ix));
                }
            }
            Due::Submit => {
                if !self.calm {
                    let node = self.random.index(self.n);
                    self.submit_at(node);
                }
                let mean = self.faults.submit_every_ms;
                let wait = self.random.between(mean / 4, mean * 7 / 4) * 1_000;
                self.schedule(wait, Due::Submit);
            }
            Due::Crash => self.crash_some(),
            Due::Restart { node, wipe_ledger } => self.restart(node, wipe_ledger),
            Due::Partition => self.split(),
            Due::Heal { number } => {
                if number == self.partition {
                    self.blocked.clear();
                }
            }
        }
    }

    fn up(&self, node: usize) -> bool {
        self.nodes[node].engine.is_some()
    }

    /// A client hands a transaction to a node.
    fn submit_at(&mut self, node: usize) -> Option<TxId> {
        if !self.nodes[node].engine.as_ref().is_some_and(Engine::accepts_local) {
            return None;
        }
        let time_ms = EPOCH_MS + self.now_us / 1_000;
        let count = if self.calm { 1 } else { self.random.between(1, 4) };
        let batch = self.payloads.make(count, time_ms, &mut self.random);
        let token = self.queued;
        let marker = batch.marker;
        self.nodes[node].tokens.insert(token, batch.submissions);
        let event =
            Event::LocalBatch { token, payload_root: batch.root, bytes: batch.bytes, count: batch.count };
        self.feed(node, event);
        Some(marker)
    }

    fn feed(&mut self, node: usize, event: Event) {
        let now = self.clock(node);
        let Some(mut engine) = self.nodes[node].engine.take() else { return };
        let mut out = Vec::new();
        let view = engine.view();
        engine.handle(now, event, &mut out);
        if engine.view() > view {
            let timed_out = engine
                .safety_record()
                .and_then(|record| record.entry.as_ref())
                .is_some_and(|entry| matches!(entry, consensus::message::EntryProof::Timeout(_)));
            if timed_out {
                self.views_by_timeout.insert(engine.view());
            }
        }
        // The engine names milliseconds; the queue counts microseconds.
        let at = (engine.deadline().saturating_sub(1_000) * 1_000).max(self.now_us + 500);
        if at < self.nodes[node].tick_at || self.nodes[node].tick_at <= self.now_us {
            self.nodes[node].tick_at = at;
            let incarnation = self.nodes[node].incarnation;
            self.schedule(at - self.now_us, Due::Tick { node, incarnation });
        }
        self.nodes[node].engine = Some(engine);
        for action in out {
            self.act(node, action);
        }
        self.start_sync(node);
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Persist(persist) => {
                self.nodes[node].written_seq = persist.seq;
                self.nodes[node].disk.write(Logged::Engine(persist.writes));
            }
            Action::Send { to, message, after } => match after {
                Some(after) if after > self.nodes[node].durable_seq => {
                    self.nodes[node].held.push_back(Held::Message { to, message, after });
                }
                _ => self.send(node, to, Parcel::Message(message)),
            },
            Action::Sealed { token, header, after } => {
                if let Some(submissions) = self.nodes[node].tokens.remove(&token) {
                    self.payloads.sealed(header.header.digest(), submissions);
                }
                self.nodes[node].held.push_back(Held::Batch { header, after });
            }
            Action::FetchBatches { from, tip, holders } => {
                self.report.fetches += 1;
                if let Some(holder) = holders.first() {
                    self.post(node, holder.index(), Parcel::GetBatches { from, tip });
                }
            }
            Action::PushBatch { to, batch } => {
                if let Some(header) = self.nodes[node].disk.durable().batches.get(&batch).cloned() {
                    self.send(node, to, Parcel::Batch(header));
                }
            }
            Action::Deliver(delivery) => {
                let who = self.nodes[node].ix;
                let height = delivery.header.height;
                if height != self.nodes[node].delivered.next() {
                    self.observer.violation.get_or_insert(format!("{who} delivered {height} out of order"));
                }
                self.nodes[node].delivered = height;
                self.observer.delivered(who, height, delivery.header.digest());
                self.report.batches += delivery.batches.len() as u64;
                self.nodes[node].executing.push_back(*delivery);
                if self.nodes[node].executing.len() == 1 {
                    self.schedule_execution(node);
                }
            }
            Action::Notice(_) | Action::SendClosing { .. } => {}
            Action::Evidence(evidence) => self.on_evidence(node, &evidence),
            Action::Alarm(alarm) => {
                let blames_a_liar =
                    matches!(alarm, Alarm::Equivocation { offender, .. } if self.observer.lies(offender));
                self.report.equivocations += u64::from(blames_a_liar);
                let who = self.nodes[node].ix;
                // A liar that restarts hears of the twin that it showed to others.
                if !blames_a_liar && !self.observer.lies(who) {
                    self.observer
                        .violation
                        .get_or_insert(format!("{who} raised {alarm:?} against the honest"));
                }
            }
        }
    }

    /// Evidence must hold for others, name liars only, and come once from each engine.
    fn on_evidence(&mut self, node: usize, evidence: &Evidence) {
        let (who, incarnation) = (self.nodes[node].ix, self.nodes[node].incarnation);
        let offence = evidence.offence();
        self.report.evidence += 1;
        let found = match self.judge.evidence(evidence) {
            Ok(offence) if !self.observer.lies(offence.offender) => Some("the honest".to_owned()),
            Ok(_) if !self.accused.insert((node, incarnation, offence)) => Some("one twice".to_owned()),
            Ok(_) => None,
            Err(error) => Some(format!("somebody without proof: {error}")),
        };
        if let Some(found) = found {
            self.observer.violation.get_or_insert(format!("{who} accused {found}: {offence:?}"));
        }
    }

    /// The offences that some engine proved.
    pub fn offences(&self) -> BTreeSet<Offence> {
        self.accused.iter().map(|(.., offence)| *offence).collect()
    }

    fn schedule_execution(&mut self, node: usize) {
        let incarnation = self.nodes[node].incarnation;
        let wait = self.random.between(100, 3_000);
        self.schedule(wait, Due::Executed { node, incarnation });
    }

    fn executed(&mut self, node: usize, incarnation: u64) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        let Some(delivery) = self.nodes[node].executing.pop_front() else { return };
        let proposal = self.nodes[node].disk.tables().blocks.get(&delivery.header.digest()).cloned();
        let Some(proposal) = proposal else {
            self.observer.violation.get_or_insert("a delivered block is not in the store".to_owned());
            return;
        };
        let summary = self.nodes[node].ledger.execute(&proposal, &delivery.batches, &self.payloads);
        let who = self.nodes[node].ix;
        self.observer.executed(who, summary.height, summary.root());
        if let Some(tx) = self.nodes[node].ledger.twice {
            self.observer.violation.get_or_insert(format!("{who} let {tx} take effect twice"));
        }
        if !self.nodes[node].executing.is_empty() {
            self.schedule_execution(node);
        }
        self.feed(node, Event::Executed { summary, scheduled: None });
    }

    fn start_sync(&mut self, node: usize) {
        let one = &self.nodes[node];
        if one.syncing
            || one.disk.unsynced() == 0
            || (one.held.is_empty() && one.written_seq == one.durable_seq)
        {
            return;
        }
        let (entries, seq, incarnation) = (one.disk.unsynced(), one.written_seq, one.incarnation);
        self.nodes[node].syncing = true;
        let wait = self.random.between(self.faults.sync_us.0, self.faults.sync_us.1);
        self.schedule(wait, Due::Synced { node, incarnation, entries, seq });
    }

    fn synced(&mut self, node: usize, incarnation: u64, entries: usize, seq: u64) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        if self.nodes[node].doomed {
            // The power goes between the write and its sync.
            self.crash(node);
            return;
        }
        self.nodes[node].disk.sync(entries);
        self.nodes[node].syncing = false;
        self.nodes[node].durable_seq = seq;
        self.feed(node, Event::Persisted(seq));
        let mut ready = Vec::new();
        self.nodes[node].held.retain_mut(|held| {
            let after = match held {
                Held::Message { after, .. } | Held::Batch { after, .. } => *after,
            };
            if after > seq {
                return true;
            }
            ready.push(match held {
                Held::Message { to, message, .. } => (*to, Parcel::Message(message.clone())),
                Held::Batch { header, .. } => (Peers::All, Parcel::Batch(header.clone())),
            });
            false
        });
        for (to, parcel) in ready {
            self.send(node, to, parcel);
        }
        self.start_sync(node);
    }

    fn send(&mut self, node: usize, to: Peers, parcel: Parcel) {
        let who = self.nodes[node].ix;
        match &parcel {
            Parcel::Message(message) => self.observer.sent(who, message, self.nodes[node].disk.durable()),
            Parcel::Batch(batch) if batch.header.author == who => {
                let (seq, digest) = (batch.header.seq, batch.header.digest());
                self.observer.pushed(who, seq, digest, self.nodes[node].disk.durable());
            }
            _ => {}
        }
        match to {
            Peers::One(ix) => self.post(node, ix.index(), parcel),
            Peers::All if self.observer.lies(who) => self.send_two_faced(node, parcel),
            Peers::All => {
                for other in (0..self.n).filter(|other| *other != node) {
                    self.post(node, other, parcel.clone());
                }
            }
        }
    }

    /// A liar shows half of the others another block for the same slot, and votes for both.
    fn send_two_faced(&mut self, node: usize, parcel: Parcel) {
        let ix = self.nodes[node].ix;
        let signer = SimSigner::new(ix);
        let twin = match &parcel {
            Parcel::Message(message) => match &**message {
                Message::Propose(proposal) if proposal.header.proposer == ix => {
                    let mut twin = (**proposal).clone();
                    twin.header.time_ms += 1;
                    twin.signature = signer.sign(&twin.header.proposal());
                    self.twins.insert(proposal.header.digest(), twin.header.digest());
                    Some(Message::Propose(Box::new(twin)))
                }
                Message::Vote(vote, executed) => self.twins.get(&vote.digest).map(|twin| {
                    let mut vote = Vote { digest: *twin, ..*vote };
                    vote.signature = signer.sign(&vote.slot(self.chain_id));
                    Message::Vote(vote, *executed)
                }),
                _ => None,
            },
            _ => None,
        };
        let twin = twin.map(|message| Parcel::Message(Box::new(message)));
        if let Some(Parcel::Message(message)) = &twin {
            self.observer.sent(ix, message, self.nodes[node].disk.durable());
        }
        for other in (0..self.n).filter(|other| *other != node) {
            match &twin {
                Some(twin) if (other + self.n - node) % self.n > self.n / 2 => {
                    self.post(node, other, twin.clone())
                }
                _ => self.post(node, other, parcel.clone()),
            }
        }
    }

    fn post(&mut self, from: usize, to: usize, parcel: Parcel) {
        self.report.messages += 1;
        if matches!(&parcel, Parcel::Message(message) if matches!(**message, Message::GetProposal { .. } | Message::GetBlocks { .. }))
        {
            self.report.fetches += 1;
        }
        if self.blocked.contains(&(from, to)) || self.random.chance(self.faults.loss_per_mille) {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(self.faults.duplicate_per_mille));
        for _ in 0..copies {
            let delay = self.random.between(self.faults.delay_us.0, self.faults.delay_us.1);
            self.schedule(delay, Due::Arrive { from, to, parcel: parcel.clone() });
        }
    }

    fn arrive(&mut self, from: usize, to: usize, parcel: Parcel) {
        if !self.up(to) {
            return;
        }
        self.report.trace = self.report.trace.wrapping_mul(0x0100_0000_01b3)
            ^ (self.now_us << 8 | (from as u64) << 4 | to as u64);
        if let Some(lines) = self.transcript.as_mut() {
            let text = format!("{parcel:?}");
            let text: String = text.chars().take(240).collect();
            lines.push(format!("{:>9} v{from}->v{to} {text}", self.now_us));
        }
        match parcel {
            Parcel::Message(message) => {
                if let Message::GetBlocks { from: first } = *message {
                    self.serve_blocks(to, from, first);
                    return;
                }
                let from = self.nodes[from].ix;
                self.feed(to, Event::Message { from, message });
            }
            Parcel::Batch(header) => {
                self.nodes[to].disk.write(Logged::Batch(header.clone()));
                self.feed(to, Event::BatchStored(header));
            }
            Parcel::GetBatches { from: first, tip } => self.serve_batches(to, from, first, tip),
        }
    }

    /// The sync server: final blocks from the store, ending at a certified height.
    fn serve_blocks(&mut self, node: usize, to: usize, first: Height) {
        let tables = self.nodes[node].disk.tables();
        let last_wanted = Height::new(first.get() + SYNC_BLOCKS_MAX - 1);
        let Some((last, (suffixes, certificate))) = tables
            .certificates
            .range(first..=last_wanted)
            .next_back()
            .or_else(|| tables.certificates.range(first..).next())
        else {
            return;
        };
        let blocks: Option<Vec<Proposal>> = (first.get()..=last.get())
            .map(|height| {
                tables.heights.get(&Height::new(height)).and_then(|digest| tables.blocks.get(digest)).cloned()
            })
            .collect();
        if let Some(blocks) = blocks {
            let suffixes = suffixes.clone();
            let message = Message::Blocks { blocks, suffixes, certificate: Box::new(certificate.clone()) };
            self.post(node, to, Parcel::Message(Box::new(message)));
        }
    }

    fn serve_batches(&mut self, node: usize, to: usize, first: u64, tip: BatchRef) {
        let mut found = Vec::new();
        let mut at = tip;
        while let Some(header) = self.nodes[node].disk.durable().batches.get(&at).cloned() {
            let prev = header.header.prev;
            found.push(header);
            if at.seq == first || at.seq == 0 {
                break;
            }
            at = BatchRef { seq: at.seq - 1, digest: prev, ..at };
        }
        for header in found.into_iter().rev() {
            self.post(node, to, Parcel::Batch(header));
        }
    }

    fn crash_some(&mut self) {
        if self.calm {
            return;
        }
        if self.random.chance(self.faults.blackout_per_mille) {
            for node in 0..self.n {
                self.crash(node);
            }
        } else {
            // Three in four strike between a write and its sync, the moment that matters.
            let in_write = self.random.chance(750);
            let faults = self.judge.committee.faults();
            let ill = |node: &usize| !self.up(*node) || self.observer.silent(self.nodes[*node].ix);
            let down = (0..self.n).filter(ill).count();
            let node = self.random.index(self.n);
            // Now and then one more than the protocol tolerates: it must stop, and resume.
            if down < faults || self.random.chance(100) {
                if in_write && self.up(node) {
                    self.nodes[node].doomed = true;
                } else {
                    self.crash(node);
                }
            }
        }
        self.schedule_fault(Due::Crash, self.faults.crash_every_ms);
    }

    fn crash(&mut self, node: usize) {
        if !self.up(node) {
            return;
        }
        let lost = self.nodes[node].disk.crash(&mut self.random);
        self.report.crashes += 1;
        self.report.lossy_crashes += u64::from(lost > 0);
        let one = &mut self.nodes[node];
        one.engine = None;
        one.incarnation += 1;
        one.held.clear();
        one.executing.clear();
        one.syncing = false;
        one.doomed = false;
        one.tokens.clear();
        let wait = self.random.between(self.faults.down_ms.0, self.faults.down_ms.1) * 1_000;
        let wipe_ledger = self.random.chance(self.faults.ledger_loss_per_mille);
        self.schedule(wait, Due::Restart { node, wipe_ledger });
    }

    /// Starts a node from what its stores hold, as the driver does.
    fn restart(&mut self, node: usize, wipe_ledger: bool) {
        if self.up(node) {
            return;
        }
        if wipe_ledger {
            self.nodes[node].ledger = SimLedger::new(&self.payloads, &self.genesis);
            self.report.ledger_rebuilds += 1;
        }
        if self.faults.record_lost && self.report.crashes > 0 && self.report.records_lost == 0 {
            self.nodes[node].disk.lose_safety();
            self.observer.expect_silence(self.nodes[node].ix, self.nodes[node].disk.durable());
            self.report.records_lost += 1;
        }
        let one = &mut self.nodes[node];
        let tables = one.disk.tables();
        let executed = one.ledger.tip().clone();
        let above = tables.heights.range(executed.height.next()..);
        let committed: Vec<Proposal> =
            above.filter_map(|(_, digest)| tables.blocks.get(digest).cloned()).collect();
        let newest = committed.last().map_or(executed.height, |proposal| proposal.header.height);
        let blocks = tables.blocks.values().filter(|one| one.header.height > newest).cloned().collect();
        let recent = tables
            .heights
            .range(..=executed.height)
            .rev()
            .take(256)
            .filter_map(|(_, digest)| tables.blocks.get(digest).map(|one| one.header.clone()))
            .collect::<Vec<_>>();
        let batches = tables
            .batches
            .values()
            .filter(|batch| batch.header.seq >= executed.lanes.next_seq(batch.header.author))
            .cloned()
            .collect();
        let safety = match &tables.safety {
            Some(record) => SafetyAtStart::Present(Box::new(record.clone())),
            None => SafetyAtStart::Lost(Refusal::new(Code::SafetyLost, "the record is gone")),
        };
        let restored = Restored {
            safety,
            executed: executed.clone(),
            committed,
            certificate: tables.certificates.last_key_value().map(|(_, (_, cert))| cert.clone()),
            blocks,
            summaries: one.ledger.summaries(),
            recent: recent.into_iter().rev().collect(),
            batches,
            scheduled: None,
        };
        one.delivered = executed.height;
        one.written_seq = 0;
        one.durable_seq = 0;
        one.tick_at = 0;
        let signer = Box::new(SimSigner::new(one.ix));
        let mut engine =
            Engine::new(self.params.clone(), self.judge.clone(), Some((one.ix, signer)), restored);
        if let Some(mutant) = self.mutant {
            engine.mutate(mutant);
        }
        one.engine = Some(engine);
        self.feed(node, Event::Tick);
        for other in (0..self.n).filter(|other| *other != node) {
            let wait = self.random.between(1_000, 50_000);
            self.schedule(wait, Due::Connect { from: other, to: node });
            self.schedule(wait, Due::Connect { from: node, to: other });
        }
    }

    /// Cuts the network: halves, one away, or one-way links.
    fn split(&mut self) {
        if self.calm {
            return;
        }
        self.report.partitions += 1;
        self.blocked.clear();
        match self.random.index(3) {
            0 => {
                let cut = self.random.between(1, self.n as u64 - 1);
                let side: Vec<bool> = (0..self.n).map(|node| (node as u64) < cut).collect();
                let turn = self.random.index(self.n);
                for a in 0..self.n {
                    for b in 0..self.n {
                        if side[(a + turn) % self.n] != side[(b + turn) % self.n] {
                            self.blocked.insert((a, b));
                        }
                    }
                }
            }
            1 => {
                let away = self.random.index(self.n);
                for other in 0..self.n {
                    self.blocked.insert((away, other));
                    self.blocked.insert((other, away));
                }
            }
            _ => {
                for _ in 0..self.n {
                    let (a, b) = (self.random.index(self.n), self.random.index(self.n));
                    self.blocked.insert((a, b));
                }
            }
        }
        self.partition += 1;
        let number = self.partition;
        let wait = self.random.between(self.faults.partition_ms.0, self.faults.partition_ms.1) * 1_000;
        self.schedule(wait, Due::Heal { number });
        self.schedule_fault(Due::Partition, self.faults.partition_every_ms);
    }

    /// The chain this world runs.
    pub fn chain_id(&self) -> ChainId {
        self.chain_id
    }
}

impl Node {
    fn state(&self) -> String {
        match &self.engine {
            None => format!("{}: down", self.ix),
            Some(engine) => format!(
                "{}: view {} committed {} executed {} voting {} lost {:?} vc_view {:?} last {:?} high {:?} engine {}",
                self.ix,
                engine.view(),
                engine.committed().height,
                self.ledger.tip().height,
                engine.voting(),
                engine.lost(),
                engine.safety_record().map(|record| record.vc_view),
                engine.safety_record().and_then(|record| record.last_prepare),
                engine.safety_record().and_then(|record| record.high_qc.rank()),
                engine.describe(),
            ),
        }
    }
}

fn sim_validator(ix: u16) -> Validator {
    let key =
        |kind: u8| PublicKey::new(*Digest::tagged(b"sim-public", &[&[kind], &ix.to_be_bytes()]).as_bytes());
    Validator {
        name: format!("v{ix}"),
        agency: format!("agency-{ix}"),
        consensus_key: key(1),
        network_key: key(2),
        log_key: key(3),
        address: format!("/ip4/127.0.0.1/tcp/{}", 7000 + ix),
        may_lead: true,
    }
}
