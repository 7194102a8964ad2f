//! The engine thread: everything that decides what this validator says, and when it may leave.
//!
//! One turn of the loop takes whatever has happened, lets the engine handle it, makes **one** synced write of
//! everything it asked to persist, and only then lets the messages go that depend on it. A message that
//! names a write ([`Action::Send`]) never leaves before that write is durable; see `Driver::release`.

mod accuse;
pub mod batches;
mod carried;
pub mod core;
pub(crate) mod epochs;
mod hearsay;
pub mod hooks;
mod inbox;
pub mod intake;
mod pool;
mod recorder;
mod recovery;
pub(crate) mod report;
mod sync;
mod tracker;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::id::{Height, RecordId};
use chain_core::lane::{BatchRef, SignedBatchHeader};
use chain_core::recovery::SignedRecovery;
use chain_core::transaction::payload_root;
use consensus::action::Delivery;
use consensus::message::Message;
use consensus::safety::HelloPreimage;
use consensus::{Action, Engine, Event, Now, Peers};

use crate::link::Frame;
use crate::storage::StorageError;
use crate::storage::consensus::SyncedWrite;
use crate::storage::high_water::{HighWater, Mark};
use crate::storage::ledger::Place;
use crate::why::pauses::Pauses;
pub(crate) use accuse::Accuser;
use batches::CheckedBatch;
use core::Core;
use epochs::{Epochs, closes};
use hooks::{Point, hit};
use inbox::Input;
use intake::Queued;
pub(crate) use recorder::Recorder;

/// Most batches of the own lane that are not ordered yet.
const LANE_BATCHES_MAX: usize = 64;
/// Most bytes of them.
const LANE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest wait of one turn.
const TURN_MS: u64 = 50;
/// How often the high-water file is synced and the stores are asked for background errors.
const CHECK_MS: u64 = 1_000;
/// How often what is for people only is said anew.
const INSIGHT_MS: u64 = 100;
/// How long a leader may take to hand over at shutdown.
const HAND_OVER_MS: u64 = 300;

/// A message that waits for a write.
#[derive(Debug)]
enum Held {
    Message { to: Peers, message: Box<Message>, after: u64 },
    Batch { batch: Arc<CheckedBatch>, after: u64 },
}

impl Held {
    fn after(&self) -> u64 {
        match self {
            Self::Message { after, .. } | Self::Batch { after, .. } => *after,
        }
    }
}

/// Local records between being announced to the engine and being sealed by it.
#[derive(Debug)]
struct Sealing {
    taken: Vec<Queued>,
    bytes: usize,
}

/// What the engine thread owns.
pub(crate) struct Driver {
    core: Arc<Core>,
    engine: Engine,
    epochs: Epochs,
    /// The last block of the epoch was executed: the next epoch begins with the next turn.
    epoch_ended: bool,
    /// An act for the end of this epoch that a peer showed, to be taken with the next turn.
    shown: Option<Box<SignedRecovery>>,
    /// The last act that was not taken: said once.
    refused_act: Option<RecordId>,
    high_water: Option<HighWater>,
    recorder: Recorder,
    accuser: Accuser,
    executor: SyncSender<Delivery>,

    held: VecDeque<Held>,
    durable: u64,
    /// Actions that the engine gave when it heard of the last write.
    carried: Vec<Action>,
    /// Blocks that wait for the executor: no more than [`consensus::engine::EXECUTING_MAX`].
    deliveries: VecDeque<Delivery>,
    next_token: u64,
    sealing: BTreeMap<u64, Sealing>,
    /// Own batches that are not ordered yet, with their bytes.
    lane: BTreeMap<BatchRef, usize>,
    lane_bytes: usize,
    check_at: Instant,
    pauses: Pauses,
    /// When what takes a while to look at is said again, in monotonic milliseconds.
    insight_ms: u64,
    stop_at: Option<Instant>,
}

/// What a driver starts from.
pub(crate) struct Start {
    pub(crate) core: Arc<Core>,
    pub(crate) engine: Engine,
    pub(crate) epochs: Epochs,
    pub(crate) high_water: Option<HighWater>,
    pub(crate) recorder: Recorder,
    pub(crate) accuser: Accuser,
    pub(crate) executor: SyncSender<Delivery>,
    /// Own batches in the store that are not ordered yet.
    pub(crate) pending: Vec<SignedBatchHeader>,
}

impl Driver {
    pub(crate) fn new(start: Start) -> Self {
        let Start { core, engine, epochs, high_water, recorder, accuser, executor, pending } = start;
        let mut driver = Self {
            core,
            engine,
            epochs,
            epoch_ended: false,
            shown: None,
            refused_act: None,
            high_water,
            recorder,
            accuser,
            executor,
            held: VecDeque::new(),
            durable: 0,
            carried: Vec::new(),
            deliveries: VecDeque::new(),
            next_token: 0,
            sealing: BTreeMap::new(),
            lane: BTreeMap::new(),
            lane_bytes: 0,
            check_at: Instant::now(),
            pauses: Pauses::default(),
            insight_ms: 0,
            stop_at: None,
        };
        driver.take_lane(&pending);
        driver
    }

    /// Own batches of the epoch that are not ordered yet.
    fn take_lane(&mut self, pending: &[SignedBatchHeader]) {
        let me = self.core.me();
        for header in pending.iter().map(|signed| &signed.header).filter(|one| Some(one.author) == me) {
            self.lane.insert(BatchRef::of(header), header.bytes as usize);
            self.lane_bytes += header.bytes as usize;
        }
    }

    /// Runs until the node stops.
    pub(crate) fn run(mut self) {
        match self.turns() {
            Ok(()) => self.core.stop.done(),
            Err(refusal) => self.core.stop.fail(refusal),
        }
    }

    fn turns(&mut self) -> Result<(), Refusal> {
        let mut inputs = Vec::new();
        let mut actions = Vec::new();
        self.core.intake.put_back(self.epochs.carried()?);
        self.tell_frozen_lanes(&mut actions)?;
        self.engine.handle(self.now(), Event::Tick, &mut actions);
        loop {
            self.carry_out(&mut actions)?;
            self.deliver()?;
            self.publish();
            if self.core.stop.stopping() {
                return Ok(());
            }
            if self.epoch_ended {
                self.begin_epoch(&mut actions)?;
            }
            self.take_shown(&mut actions)?;
            if self.stop_at.is_some_and(|at| Instant::now() >= at) {
                return self.finish();
            }
            // What the engine asked for when it heard of the write comes before anything it asks for now:
            // a later record must never be overwritten by an earlier one.
            actions.append(&mut self.carried);
            let until = if actions.is_empty() { self.wake_at() } else { Instant::now() };
            self.core.inputs.drain(until, &mut inputs);
            for input in inputs.drain(..) {
                self.take(input, &mut actions);
            }
            self.announce(&mut actions);
            let now = self.now();
            if now.mono_ms >= self.engine.deadline() {
                self.engine.handle(now, Event::Tick, &mut actions);
            }
            if Instant::now() >= self.check_at {
                self.check()?;
            }
        }
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.core.mono_ms(), wall_ms: Core::wall_ms() }
    }

    /// When the next turn must come even if nothing happens.
    fn wake_at(&self) -> Instant {
        let now = self.core.mono_ms();
        let mut at = self.engine.deadline().min(now + TURN_MS);
        if self.may_seal()
            && let Some(due) = self.core.intake.due_ms(self.lane_idle())
        {
            at = at.min(due);
        }
        if !self.deliveries.is_empty() {
            at = at.min(now + 1);
        }
        Instant::now() + Duration::from_millis(at.saturating_sub(now))
    }

    fn take(&mut self, input: Input, actions: &mut Vec<Action>) {
        let now = self.now();
        let event = match input {
            // An index of an earlier epoch is somebody else's in this one.
            Input::Message { epoch, .. }
            | Input::Connected { epoch, .. }
            | Input::Disconnected { epoch, .. }
            | Input::Recovered { epoch, .. }
                if epoch != self.engine.epoch() =>
            {
                return;
            }
            Input::Message { from, message, permit, .. } => {
                drop(permit);
                if !self.hears(&message) {
                    return;
                }
                Event::Message { from, message }
            }
            Input::Connected { peer, .. } => Event::Connected(peer),
            Input::Disconnected { peer, .. } => Event::Disconnected(peer),
            Input::BatchStored(header) if header.header.epoch != self.engine.epoch() => return,
            Input::BatchStored(header) => Event::BatchStored(header),
            Input::Loaded { epoch, .. } if epoch != self.engine.epoch() => return,
            Input::Loaded { blocks, .. } => Event::Loaded(blocks),
            Input::LaneFrozen { epoch, .. } if epoch != self.engine.epoch() => return,
            Input::LaneFrozen { author, .. } => Event::LaneFrozen(author),
            Input::Recovered { from, shown, .. } => {
                self.on_recovered(from, *shown, actions);
                return;
            }
            Input::Executed { summary, scheduled, closing } => {
                let recovered = self.ended_by().is_some_and(|act| act.height == summary.height);
                self.epoch_ended |= closing || recovered;
                // A set that an earlier block settled is none of the epoch that an act began on top of it.
                let of_this = !closing && summary.height > self.core.part().base.0;
                Event::Executed { summary, scheduled: scheduled.filter(|_| of_this) }
            }
            Input::Hello { epoch, network_key, challenge, reply } => {
                let signature = self.engine.hello(epoch, network_key, challenge).unwrap_or_else(|| {
                    // An observer: it may be heard, it may not vote.
                    let chain_id = self.core.chain_id();
                    self.epochs.key().sign(&HelloPreimage { chain_id, epoch, network_key, challenge })
                });
                let _ = reply.send(Some(signature));
                return;
            }
            Input::Ready { ready, reply } => {
                let _ = reply.send(self.epochs.say_ready(&ready));
                return;
            }
            Input::Wake => return,
            Input::Shutdown => {
                self.stop_at.get_or_insert(Instant::now() + Duration::from_millis(HAND_OVER_MS));
                Event::Shutdown
            }
        };
        self.engine.handle(now, event, actions);
    }

    fn lane_idle(&self) -> bool {
        self.lane.is_empty() && self.sealing.is_empty()
    }

    fn may_seal(&self) -> bool {
        let sealing: usize = self.sealing.values().map(|one| one.bytes).sum();
        self.engine.voting()
            && self.lane.len() + self.sealing.len() < LANE_BATCHES_MAX
            && self.lane_bytes + sealing < LANE_BYTES_MAX
    }

    /// Announces local records as the next batches of the own lane, as far as they are due and it has room.
    fn announce(&mut self, actions: &mut Vec<Action>) {
        let part = self.core.part();
        if part.me.is_none() && part.ended_by.is_none() {
            self.turn_away();
        }
        while self.may_seal()
            && self.core.intake.due_ms(self.lane_idle()).is_some_and(|due| due <= self.core.mono_ms())
        {
            let taken = self.core.intake.take();
            if taken.is_empty() {
                return;
            }
            let ids: Vec<_> = taken.iter().map(|one| one.id).collect();
            let bytes: u32 = taken.iter().map(|one| one.bytes).sum();
            let operations: usize =
                taken.iter().map(|one| one.submission.signed.transaction.operations.len()).sum();
            let count = u32::try_from(operations).unwrap_or(u32::MAX);
            let token = self.next_token;
            self.next_token += 1;
            self.sealing.insert(token, Sealing { taken, bytes: bytes as usize });
            let event = Event::LocalBatch { token, payload_root: payload_root(&ids), bytes, count };
            let now = self.now();
            self.engine.handle(now, event, actions);
        }
    }

    /// An observer has no lane: what still waits here is forgotten, so that its sender asks another node.
    fn turn_away(&self) {
        loop {
            let taken = self.core.intake.take();
            if taken.is_empty() {
                return;
            }
            tracing::warn!(
                transactions = taken.len(),
                "not ordered before this node left the set; turned away"
            );
            taken.iter().for_each(|one| self.core.tracker.forget(&one.id));
        }
    }

    /// Carries out one turn's actions: one synced write for all of them, then what depends on it.
    fn carry_out(&mut self, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let mut write = SyncedWrite::default();
        let mut highest = self.durable;
        for action in actions.drain(..) {
            match action {
                Action::Persist(persist) => {
                    assert!(persist.seq > highest, "write {} after write {highest}", persist.seq);
                    highest = persist.seq;
                    for entry in &persist.writes {
                        self.core.consensus.add(&mut write, entry).map_err(refuse)?;
                    }
                }
                Action::Send { to, message, after } => match after {
                    Some(after) if after > self.durable && !hold_is_off() => {
                        self.held.push_back(Held::Message { to, message, after });
                    }
                    _ => self.send(to, message)?,
                },
                Action::Sealed { token, header, after } => self.sealed(token, header, after, &mut write)?,
                Action::FetchBatches { from, tip, holders } => sync::fetch(&self.core, from, tip, holders),
                Action::PushBatch { to, batch } => self.push_again(to, &batch)?,
                Action::LoadFinal { from, count } => {
                    sync::load_final(&self.core, self.engine.epoch(), from, count);
                }
                Action::Deliver(delivery) => self.take_delivery(*delivery)?,
                Action::Evidence(evidence) => self.accuse(evidence),
                Action::SendClosing { to, epoch } => self.send_closing(to, epoch)?,
                Action::Alarm(alarm) => report::alarm(&self.core.committee(), &alarm)?,
                Action::Notice(notice) => report::notice(&self.core.committee(), notice),
            }
        }
        if highest > self.durable {
            self.write(write, highest)?;
            self.release()?;
        }
        Ok(())
    }

    /// The one synced write of a turn.
    fn write(&mut self, write: SyncedWrite, seq: u64) -> Result<(), Refusal> {
        let mark = write.safety.as_ref().map(Mark::of);
        hit(Point::BeforeWrite);
        if !write.is_empty() {
            let start = Instant::now();
            self.core.consensus.commit(write).map_err(refuse)?;
            let spent = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.core.counters.syncs.fetch_add(1, Ordering::Relaxed);
            self.core.counters.sync_us.fetch_add(spent, Ordering::Relaxed);
        }
        hit(Point::AfterWrite);
        if let (Some(file), Some(mark)) = (self.high_water.as_mut(), mark) {
            file.raise(mark).map_err(refuse)?;
        }
        self.durable = seq;
        let now = self.now();
        self.engine.handle(now, Event::Persisted(seq), &mut self.carried);
        Ok(())
    }

    /// Lets go what waited for the write that is durable now.
    fn release(&mut self) -> Result<(), Refusal> {
        let mut kept = VecDeque::new();
        for held in std::mem::take(&mut self.held) {
            if held.after() > self.durable {
                kept.push_back(held);
                continue;
            }
            match held {
                Held::Message { to, message, .. } => self.send(to, message)?,
                Held::Batch { batch, .. } => self.push(Peers::All, &batch)?,
            }
        }
        self.held = kept;
        hit(Point::AfterSends);
        Ok(())
    }

    fn send(&mut self, to: Peers, message: Box<Message>) -> Result<(), Refusal> {
        match &*message {
            Message::Propose(_) => hit(Point::BeforeProposal),
            Message::Vote(vote, _) => hit(match vote.kind {
                chain_core::certificate::VoteKind::Prepare => Point::BeforePrepare,
                chain_core::certificate::VoteKind::Commit => Point::BeforeCommit,
            }),
            Message::ViewChange(_) => hit(Point::BeforeViewChange),
            _ => {}
        }
        self.recorder.message(&message).map_err(unrecorded)?;
        if let Some(network) = self.core.network() {
            network.send(to, Frame::Message(Arc::from(message)));
        }
        Ok(())
    }

    fn push(&mut self, to: Peers, batch: &CheckedBatch) -> Result<(), Refusal> {
        hit(Point::BeforeBatch);
        self.recorder.batch(&batch.batch.signed).map_err(unrecorded)?;
        if let Some(network) = self.core.network() {
            network.send(to, Frame::Batch(batch.bytes.clone()));
        }
        Ok(())
    }

    /// Pushes a stored batch again. Only durable ones: an own batch that is still held goes out anyway.
    fn push_again(&mut self, to: Peers, name: &BatchRef) -> Result<(), Refusal> {
        let waits = |held: &Held| matches!(held, Held::Batch { batch, .. } if batch.name == *name);
        if self.held.iter().any(waits) {
            return Ok(());
        }
        let bytes = match self.core.batches.get(name) {
            Some(batch) => Some(batch.bytes.clone()),
            None => self.core.consensus.batch_bytes(name).map_err(refuse)?.map(Arc::from),
        };
        if let (Some(bytes), Some(network)) = (bytes, self.core.network()) {
            network.send(to, Frame::Batch(bytes));
        }
        Ok(())
    }

    /// The engine signed a batch of local records: it becomes durable with this turn's write.
    fn sealed(
        &mut self,
        token: u64,
        header: SignedBatchHeader,
        after: u64,
        write: &mut SyncedWrite,
    ) -> Result<(), Refusal> {
        let sealing = self.sealing.remove(&token).ok_or_else(|| {
            Refusal::new(Code::Internal, format!("the engine sealed unknown records {token}"))
        })?;
        let submissions = sealing.taken.into_iter().map(|one| one.submission).collect();
        let batch = Arc::new(self.core.part().judge.seal(header, submissions)?);
        self.core.consensus.add_batch(write, &batch.name, &batch.bytes);
        self.core.batches.insert(batch.clone());
        self.lane.insert(batch.name, sealing.bytes);
        self.lane_bytes += sealing.bytes;
        self.held.push_back(Held::Batch { batch, after });
        Ok(())
    }

    /// A final block is to be executed. What its epoch leaves unordered, if it ends with it, is kept before that.
    fn take_delivery(&mut self, delivery: Delivery) -> Result<(), Refusal> {
        let height = delivery.header.height;
        let last = self.deliveries.back().map(|last| last.header.height.next());
        assert!(last.is_none_or(|next| next == height), "block {height} is delivered out of order");
        self.delivered(height, &delivery.batches);
        if closes(&delivery.header) {
            self.epochs.carry_over(self.lane.keys().copied())?;
        }
        self.deliveries.push_back(delivery);
        Ok(())
    }

    /// Hands final blocks to the executor, as many as it takes.
    fn deliver(&mut self) -> Result<(), Refusal> {
        while let Some(delivery) = self.deliveries.pop_front() {
            use std::sync::mpsc::TrySendError;
            hit(Point::BeforeDeliver);
            match self.executor.try_send(delivery) {
                Ok(()) => {}
                Err(TrySendError::Full(delivery)) => {
                    self.deliveries.push_front(delivery);
                    return Ok(());
                }
                // The executor has stopped and said why.
                Err(TrySendError::Disconnected(_)) => {
                    return Err(Refusal::new(Code::Internal, "the executor is gone"));
                }
            }
        }
        Ok(())
    }

    fn delivered(&mut self, height: Height, names: &[BatchRef]) {
        self.core.tracker.order(height, names);
        for (batch, name) in (0..).zip(names) {
            if let Some(bytes) = self.lane.remove(name) {
                self.lane_bytes -= bytes;
            }
            if let Some(checked) = self.core.batches.get(name) {
                let places = (0..).map(|position| Place { height, batch, position });
                self.core.tracker.finalise(checked.ids.iter().copied().zip(places));
            }
        }
    }

    /// Starts the engine of the epoch that the ledger has reached, with whatever of this node's records the last one
    /// left unordered.
    fn begin_epoch(&mut self, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        self.epoch_ended = false;
        let part = self.epochs.part()?;
        self.epochs.carry_over_recovered()?;
        let safety = self.epochs.record(&part, self.high_water.as_mut())?;
        let (engine, pending) = self.epochs.engine(&part, safety)?;
        tracing::info!(
            epoch = part.committee.epoch().get(),
            validators = part.committee.size(),
            base = part.base.0.get(),
            member = part.me.is_some(),
            ended_at = part.ended_by.as_ref().map(|recovery| recovery.act.height.get()),
            "a new epoch begins"
        );
        self.recorder.begin_epoch(part.me);
        self.core.enter(part);
        self.core.checkpoints.begin_epoch();
        self.engine = engine;
        self.held.clear();
        self.carried.clear();
        self.deliveries.clear();
        self.durable = 0;
        self.lane.clear();
        self.lane_bytes = 0;
        self.take_lane(&pending);
        // What was taken for a batch that the last epoch did not sign any more, then what it signed.
        for sealing in std::mem::take(&mut self.sealing).into_values() {
            self.core.intake.put_back(sealing.taken);
        }
        self.core.intake.put_back(self.epochs.carried()?);
        let now = self.now();
        self.engine.handle(now, Event::Tick, actions);
        Ok(())
    }

    /// What must be looked at now and then.
    fn check(&mut self) -> Result<(), Refusal> {
        self.check_at = Instant::now() + Duration::from_millis(CHECK_MS);
        if let Some(file) = &self.high_water {
            file.sync().map_err(refuse)?;
        }
        self.file_evidence()?;
        self.core.consensus.healthy().map_err(refuse)?;
        self.core.ledger.healthy().map_err(refuse)
    }

    /// Leaves everything durable.
    fn finish(&mut self) -> Result<(), Refusal> {
        if let Some(file) = &self.high_water {
            file.sync().map_err(refuse)?;
        }
        self.core.consensus.flush().map_err(refuse)
    }

    /// Says where the engine stands, for status and metrics.
    fn publish(&mut self) {
        let now = self.now();
        self.pauses.turn(now.mono_ms);
        let fresh = now.mono_ms >= self.insight_ms;
        if fresh {
            self.insight_ms = now.mono_ms + INSIGHT_MS;
        }
        let committed = self.engine.committed();
        let part = self.core.part();
        hooks::note_leading(Some(self.engine.leader()) == part.me);
        let mut view = self.core.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.view != self.engine.view() {
            self.core.counters.views.fetch_add(1, Ordering::Relaxed);
        }
        view.view = self.engine.view();
        view.leader = Some(self.engine.leader());
        view.committed = committed.height;
        view.certified = self.engine.certified();
        view.standings = self.engine.standings();
        view.digest = Some(committed.digest);
        view.time_ms = committed.time_ms;
        view.voting = self.engine.voting();
        view.lost = self.engine.lost().cloned();
        let committee = &part.committee;
        view.peers = committee.indices().map(|ix| self.engine.peer(ix).unwrap_or_default()).collect();
        view.lane_pending = self.lane.len();
        view.lane_frozen = part.me.is_some_and(|me| self.engine.lane_is_frozen(me));
        view.turned_ms = now.mono_ms;
        if fresh {
            view.insights =
                committee.indices().map(|ix| self.engine.insight(ix).unwrap_or_default()).collect();
            view.progressed_ms = self.engine.progressed_ms();
            view.waiting_for = self.engine.waiting_for(now);
            view.gave_up = self.engine.gave_up();
            view.habit_ms = self.pauses.habit_ms();
        }
        drop(view);
        // From the moment on that it is so, not from the first question on: others may be away by then.
        self.core.check_caught_up().ok();
    }
}

/// Whether a test build was told to let messages go before what they depend on is durable. The recorder's
/// judge must notice.
fn hold_is_off() -> bool {
    #[cfg(feature = "mutant-send-before-durable")]
    return std::env::var_os("CITY_MUTANT_SEND_BEFORE_DURABLE").is_some();
    #[cfg(not(feature = "mutant-send-before-durable"))]
    false
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

fn unrecorded(error: std::io::Error) -> Refusal {
    Refusal::new(Code::StorageFailed, format!("the vote recorder does not take a line: {error}"))
}
