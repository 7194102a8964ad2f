//! One node: a real engine between a simulated disk and a ledger, run as the driver runs it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use chain_core::block::Flags;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, ValidatorIx};
use chain_core::lane::{BatchRef, SignedBatchHeader};
use chain_core::transaction::Submission;
use consensus::Engine;
use consensus::action::{Action, Alarm, Delivery, Notice, Peers};
use consensus::engine::{Restored, SafetyAtStart};
use consensus::event::{Event, Now};
use consensus::message::Message;

use super::byzantine::Liar;
use super::disk::Disk;
use super::ledger::{Executor, SimLedger};
use super::parcel::Parcel;
use super::roster::Member;
use super::world::{Due, World};

/// A send that waits for a write.
#[derive(Debug)]
pub(super) enum Held {
    Message { to: Peers, message: Box<Message>, after: u64 },
    Batch { header: SignedBatchHeader, after: u64 },
}

/// How a node is about to go down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doom {
    /// Power goes between a write and its sync.
    InWrite,
    /// Power goes after this many more actions, in the middle of a step.
    AfterActions(u64),
    /// The next synced write fails: the node stops.
    DiskFull,
}

/// One node. There may be two with one key.
pub(super) struct Node {
    /// Whose node it is, and which of its keys it holds.
    pub(super) member: Member,
    /// Its index in its epoch; none for one that follows.
    pub(super) me: Option<ValidatorIx>,
    /// Which of the world's epochs its engine runs in.
    pub(super) epoch: usize,
    /// What it is called in transcripts.
    pub(super) name: String,
    pub(super) engine: Option<Box<Engine>>,
    pub(super) incarnation: u32,
    pub(super) disk: Disk,
    pub(super) ledger: SimLedger,
    pub(super) held: VecDeque<Held>,
    pub(super) written_seq: u64,
    pub(super) durable_seq: u64,
    pub(super) syncing: bool,
    pub(super) executing: VecDeque<Delivery>,
    pub(super) delivered: Height,
    pub(super) doom: Option<Doom>,
    pub(super) tick_at: u64,
    pub(super) skew_ms: i64,
    pub(super) tokens: BTreeMap<u64, Vec<Submission>>,
    pub(super) liar: Option<Box<dyn Liar>>,
    /// An old copy of its stores, and of its key.
    pub(super) copy: Option<(Disk, SimLedger, Member)>,
    /// Between two engines: the record of the next epoch is being written.
    pub(super) entering: Option<Member>,
    /// Whether it has lost its safety record, and may sign nothing with this key.
    pub(super) silent: bool,
    /// Whether it is a second node with another one's key.
    pub(super) second: bool,
    /// Own batches that an ended epoch left unordered; durable.
    pub(super) carried: BTreeSet<BatchRef>,
    /// Records that wait until the engine takes them.
    pub(super) intake: VecDeque<Vec<Submission>>,
    /// Whether it has begun to run: a second node with one key begins late.
    pub(super) begun: bool,
}

impl Node {
    pub(super) fn new(
        member: Member,
        me: Option<ValidatorIx>,
        name: String,
        (disk, ledger): (Disk, SimLedger),
        skew_ms: i64,
    ) -> Self {
        Self {
            member,
            me,
            epoch: 0,
            name,
            engine: None,
            incarnation: 0,
            disk,
            ledger,
            held: VecDeque::new(),
            written_seq: 0,
            durable_seq: 0,
            syncing: false,
            executing: VecDeque::new(),
            delivered: Height::ZERO,
            doom: None,
            tick_at: 0,
            skew_ms,
            tokens: BTreeMap::new(),
            liar: None,
            copy: None,
            entering: None,
            silent: false,
            second: false,
            carried: BTreeSet::new(),
            intake: VecDeque::new(),
            begun: true,
        }
    }

    /// Forgets whatever a process holds.
    pub(super) fn stop(&mut self) {
        self.engine = None;
        self.incarnation += 1;
        self.held.clear();
        self.executing.clear();
        self.syncing = false;
        self.doom = None;
        self.entering = None;
        self.tokens.clear();
        self.intake.clear();
    }

    /// What the driver reads from the stores at start.
    pub(super) fn restored(
        &self,
        epoch: Epoch,
        scheduled: Option<(Height, Digest)>,
        shared: &Executor,
    ) -> Restored {
        let tables = self.disk.tables();
        let executed = self.ledger.tip().clone();
        let committed = tables.committed(&executed, epoch);
        let newest = committed.height;
        let blocks = tables
            .blocks
            .values()
            .filter(|one| one.header.height > newest)
            .map(|one| (**one).clone())
            .collect();
        let recent = tables
            .heights
            .range(..=newest)
            .rev()
            .take(256)
            .filter_map(|(_, digest)| tables.blocks.get(digest).map(|one| one.header.clone()))
            .collect::<Vec<_>>();
        let batches = tables
            .batches
            .values()
            .filter(|batch| batch.header.epoch == epoch)
            .filter(|batch| batch.header.seq >= executed.lanes.next_seq(batch.header.author))
            .map(|batch| (**batch).clone())
            .collect();
        let safety = match &tables.safety {
            Some(record) => SafetyAtStart::Present(Box::new((**record).clone())),
            None => SafetyAtStart::Lost(Refusal::new(Code::SafetyLost, "the record is gone")),
        };
        let certified = tables.certificates.range(..=newest).next_back();
        Restored {
            safety,
            committed,
            certificate: certified
                .map(|(_, one)| one.certificate.clone())
                .filter(|certificate| certificate.epoch == epoch),
            blocks,
            summaries: self.ledger.summaries(shared),
            recent: recent.into_iter().rev().collect(),
            batches,
            executed,
            scheduled,
        }
    }

    /// One line for people: where the node stands.
    pub(super) fn state(&self) -> String {
        match &self.engine {
            None => format!("{}: down", self.name),
            Some(engine) => format!(
                "{}: epoch {} as {:?} view {} committed {} executed {} voting {} lost {:?} vc_view {:?} last {:?} high {:?} engine {}{}",
                self.name,
                engine.epoch(),
                self.me,
                engine.view(),
                engine.committed().height,
                self.ledger.tip().height,
                engine.voting(),
                engine.lost(),
                engine.safety_record().map(|record| record.vc_view),
                engine.safety_record().and_then(|record| record.last_prepare),
                engine.safety_record().and_then(|record| record.high_qc.rank()),
                engine.describe(),
                self.liar.as_ref().map(|liar| format!(", lies: {liar:?}")).unwrap_or_default(),
            ),
        }
    }
}

impl World {
    /// Whether a node's process runs; between two epochs it has no engine.
    pub(super) fn up(&self, node: usize) -> bool {
        self.nodes[node].engine.is_some() || self.nodes[node].entering.is_some()
    }

    pub(super) fn clock(&self, node: usize) -> Now {
        let mono_ms = self.now_us / 1_000 + 1_000;
        let wall = i64::try_from(self.start_ms() + self.now_us / 1_000).unwrap_or(i64::MAX)
            + self.nodes[node].skew_ms;
        Now { mono_ms, wall_ms: u64::try_from(wall).unwrap_or(0) }
    }

    /// Starts a node from what its stores hold, as the driver does.
    pub(super) fn restart(&mut self, node: usize) {
        if self.up(node) || !self.nodes[node].begun {
            return;
        }
        self.note(node, "starts");
        self.replay(node);
        self.enter_epoch(node);
    }

    /// Starts the engine of the epoch that a node is in.
    pub(super) fn start_engine(&mut self, node: usize) {
        let one = &mut self.nodes[node];
        let start = &self.epochs[one.epoch];
        let scheduled = self.churn.scheduled(one.epoch, one.ledger.tip().height);
        let restored = one.restored(start.epoch, scheduled, &self.shared);
        one.delivered = restored.executed.height;
        one.written_seq = 0;
        one.durable_seq = 0;
        one.tick_at = 0;
        let me = one.me.map(|me| (me, start.roster.signer(me)));
        let mut engine = Engine::new(self.params.clone(), start.judge.clone(), me, restored);
        if let Some(mutant) = self.mutant {
            engine.mutate(mutant);
        }
        one.engine = Some(Box::new(engine));
        self.take_carried(node);
        self.feed(node, Event::Tick);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let wait = self.random.between(1_000, 50_000);
            self.schedule(wait, Due::Connect { from: other, to: node });
            self.schedule(wait, Due::Connect { from: node, to: other });
        }
    }

    /// Gives an engine one event and carries out what it asks for, in order.
    pub(super) fn feed(&mut self, node: usize, event: Event) {
        let now = self.clock(node);
        let Some(engine) = self.nodes[node].engine.as_deref_mut() else { return };
        let mut out = std::mem::take(&mut self.actions);
        let started = self.engine_time.is_some().then(Instant::now);
        engine.handle(now, event, &mut out);
        if let (Some(spent), Some(started)) = (self.engine_time.as_mut(), started) {
            *spent += started.elapsed();
        }
        // The engine names milliseconds; the queue counts microseconds.
        let at = (engine.deadline().saturating_sub(1_000) * 1_000).max(self.now_us + 500);
        let one = &mut self.nodes[node];
        if at < one.tick_at || one.tick_at <= self.now_us {
            one.tick_at = at;
            let incarnation = one.incarnation;
            self.schedule(at - self.now_us, Due::Tick { node, incarnation });
        }
        let incarnation = self.nodes[node].incarnation;
        for action in out.drain(..) {
            if let Some(Doom::AfterActions(left)) = &mut self.nodes[node].doom {
                if *left == 0 {
                    self.report.boundary_crashes += 1;
                    self.crash(node);
                } else {
                    *left -= 1;
                }
            }
            if self.nodes[node].incarnation != incarnation {
                break;
            }
            self.act(node, action);
        }
        self.actions = out;
        self.actions.clear();
        self.check_bounds(node);
        self.start_sync(node);
        self.file_again(node);
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Persist(persist) => {
                self.nodes[node].written_seq = persist.seq;
                self.nodes[node].disk.write(persist.writes);
            }
            Action::Send { to, message, after } => {
                if let Message::Vote(vote, _) = &*message {
                    self.observers[self.nodes[node].epoch].signed(vote);
                }
                match after {
                    Some(after) if after > self.nodes[node].durable_seq => {
                        self.nodes[node].held.push_back(Held::Message { to, message, after });
                    }
                    _ => self.send(node, to, Parcel::Message(message)),
                }
            }
            Action::Sealed { token, header, after } => {
                if let Some(submissions) = self.nodes[node].tokens.remove(&token) {
                    self.payloads.sealed(header.header.digest(), submissions);
                }
                self.clients.sealed(token, header.header.digest());
                self.nodes[node].held.push_back(Held::Batch { header, after });
            }
            Action::FetchBatches { from, tip, holders } => {
                self.report.fetches += 1;
                if let Some(holder) = holders.first() {
                    self.send(node, Peers::One(*holder), Parcel::GetBatches { from, tip });
                }
            }
            Action::PushBatch { to, batch } => {
                if let Some(header) = self.nodes[node].disk.durable().batches.get(&batch).cloned() {
                    self.send(node, to, Parcel::Batch((*header).clone()));
                }
            }
            Action::LoadFinal { from, count } => {
                let incarnation = self.nodes[node].incarnation;
                let wait = self.random.between(100, 3_000);
                self.schedule(wait, Due::Loaded { node, incarnation, from, count });
            }
            Action::Deliver(delivery) => self.deliver(node, *delivery),
            Action::Notice(Notice::Entered { view, by_timeout, .. }) => {
                if by_timeout {
                    self.views_by_timeout.insert((self.nodes[node].epoch, view));
                }
                if self.transcript.is_some() {
                    let how = if by_timeout { "after a time-out" } else { "at the end of a term" };
                    self.note(node, &format!("enters view {view} {how}"));
                }
            }
            Action::Notice(notice) => {
                if self.transcript.is_some() {
                    self.note(node, &format!("says {notice:?}"));
                }
            }
            Action::Alarm(alarm) => self.alarmed(node, &alarm),
            Action::Evidence(evidence) => self.accuses(node, &evidence),
            Action::SendClosing { to, epoch } => self.send_closing(node, to, epoch),
            #[allow(unreachable_patterns, reason = "actions that are newer than this driver")]
            other => self.fail(&format!("{other:?} is not carried out")),
        }
    }

    /// The store gives final blocks that the engine asked for.
    pub(super) fn loaded(&mut self, node: usize, incarnation: u32, from: Height, count: usize) {
        if self.nodes[node].incarnation == incarnation {
            let blocks = self.nodes[node].disk.durable().final_blocks(from).take(count);
            let blocks = blocks.map(|block| (**block).clone()).collect();
            self.feed(node, Event::Loaded(blocks));
        }
    }

    fn deliver(&mut self, node: usize, delivery: Delivery) {
        let height = delivery.header.height;
        // Each height once and in ascending order, in every life of a node.
        if height != self.nodes[node].delivered.next() {
            let name = &self.nodes[node].name;
            self.fail(&format!("{name} delivered {height} out of order"));
        }
        self.nodes[node].delivered = height;
        if let Err(what) = self.agreement.delivered(&self.nodes[node].name, &delivery.header) {
            self.fail(&what);
        }
        self.clients.delivered(node, self.now_us, &delivery.batches);
        self.report.batches += delivery.batches.len() as u64;
        self.nodes[node].executing.push_back(delivery);
        if self.nodes[node].executing.len() == 1 {
            self.schedule_execution(node);
        }
    }

    fn alarmed(&mut self, node: usize, alarm: &Alarm) {
        if self.transcript.is_some() {
            self.note(node, &format!("raises {alarm:?}"));
        }
        let one = &self.nodes[node];
        let observer = &mut self.observers[one.epoch];
        if matches!(alarm, Alarm::VoteEcho { .. }) && one.me.is_some_and(|who| observer.restored_noticed(who))
        {
            self.report.snapshots_noticed += 1;
        }
        let blames_a_liar = matches!(alarm, Alarm::Equivocation { offender, .. } if observer.lies(*offender));
        self.report.equivocations += u64::from(blames_a_liar);
        // A liar that restarts hears of the twin that it showed to others.
        if !blames_a_liar && !self.lies(node) {
            let name = &self.nodes[node].name;
            self.fail(&format!("{name} raised {alarm:?} against the honest"));
        }
    }

    fn schedule_execution(&mut self, node: usize) {
        let incarnation = self.nodes[node].incarnation;
        let wait = self.random.between(100, 3_000);
        self.schedule(wait, Due::Executed { node, incarnation });
    }

    pub(super) fn executed(&mut self, node: usize, incarnation: u32) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        let one = &mut self.nodes[node];
        let Some(delivery) = one.executing.pop_front() else { return };
        let Some(proposal) = one.disk.tables().blocks.get(&delivery.header.digest()).cloned() else {
            self.fail("a delivered block is not in the store");
            return;
        };
        let closing = delivery.header.flags.contains(Flags::CLOSING);
        if closing {
            one.carry_over();
        }
        let Some((summary, scheduled)) = self.execute(node, &proposal, &delivery.batches) else { return };
        if !self.nodes[node].executing.is_empty() {
            self.schedule_execution(node);
        }
        // What the closing block schedules is the next epoch's.
        self.feed(node, Event::Executed { summary, scheduled: scheduled.filter(|_| !closing) });
        if closing && self.nodes[node].incarnation == incarnation {
            self.begin_epoch(node);
        }
    }

    pub(super) fn start_sync(&mut self, node: usize) {
        let one = &self.nodes[node];
        if one.syncing
            || one.disk.unsynced() == 0
            || (one.held.is_empty() && one.written_seq == one.durable_seq)
        {
            return;
        }
        let (entries, seq, incarnation) = (one.disk.unsynced(), one.written_seq, one.incarnation);
        self.nodes[node].syncing = true;
        let (least, most) = self.faults.sync_us;
        let mut wait = self.random.between(least, most);
        if self.random.chance(self.faults.stall_per_mille) {
            wait += self.random.between(100_000, 2_000_000);
        }
        self.schedule(wait, Due::Synced { node, incarnation, entries, seq });
    }

    /// A synced write came back: what waited for it leaves.
    pub(super) fn synced(&mut self, node: usize, incarnation: u32, entries: usize, seq: u64) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        match self.nodes[node].doom {
            Some(Doom::InWrite) => {
                self.crash(node);
                return;
            }
            Some(Doom::DiskFull) => {
                self.report.disk_full += 1;
                self.nodes[node].disk.lose_unsynced();
                self.crash(node);
                return;
            }
            Some(Doom::AfterActions(_)) | None => {}
        }
        let one = &mut self.nodes[node];
        one.disk.sync(entries);
        one.syncing = false;
        one.durable_seq = seq;
        // As in the driver: what waited for the write goes first, then whatever the engine makes of it.
        while self.nodes[node].incarnation == incarnation {
            let held = &mut self.nodes[node].held;
            let ready = held.iter().position(|held| match held {
                Held::Message { after, .. } | Held::Batch { after, .. } => *after <= seq,
            });
            match ready.and_then(|at| held.remove(at)) {
                None => break,
                Some(Held::Message { to, message, .. }) => self.send(node, to, Parcel::Message(message)),
                Some(Held::Batch { header, .. }) => self.send(node, Peers::All, Parcel::Batch(header)),
            }
        }
        self.feed(node, Event::Persisted(seq));
    }
}
