//! What the threads of a node share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chain_core::code::{Code, Refusal};
use chain_core::committee::{Committee, VALIDATORS_MAX};
use chain_core::crypto::{Digest, PublicKey, Signature};
use chain_core::execute::ChainParams;
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx, View};
use chain_core::lane::BatchRef;
use chain_core::recovery::RecoveryKeys;
use chain_core::subject::SubjectKey;
use consensus::Params;
use consensus::action::Owed;
use consensus::engine::insight::{GaveUp, Insight};
use consensus::message::Message;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use super::batches::BatchCache;
use super::hearsay::{self, Hearsay, Taken};
pub(crate) use super::inbox::Input;
use super::inbox::{Allowances, Inputs};
use super::intake::Intake;
use super::pool::Pool;
use super::sync::{self, Fetches};
use super::tracker::Tracker;
use crate::checkpoints::Checkpoints;
use crate::epoch::{GUESTS_MAX, Part};
use crate::eraser::Bell;
use crate::link::{Frame, Inbox, Network, PeerConnection, SyncRequest, SyncResponse, SyncedBatch};
use crate::snapshots::Snapshots;
use crate::snapshots::offer::Offers;
use crate::storage::StorageError;
use crate::storage::consensus::{ConsensusStore, Run};
use crate::storage::ledger::LedgerStore;
use crate::vault::Vaults;
use crate::why::{Watch, talk};

/// What every thread may use.
pub struct Core {
    /// The chain.
    pub chain: ChainParams,
    /// The protocol's parameters.
    pub params: Params,
    /// This node's consensus key: what makes it one of the validators of an epoch.
    pub key: PublicKey,
    /// Whose act ends an epoch that has lost its quorum, if the genesis names anybody.
    pub(crate) recovery_keys: Option<RecoveryKeys>,
    /// The key of the index of subjects, where the chain keeps one.
    pub(crate) subjects: Option<SubjectKey>,
    part: RwLock<Arc<Part>>,
    /// Raised whenever the network must be started anew: another epoch, or somebody else may connect.
    pub(crate) peers_changed: watch::Sender<u64>,
    /// Safety record, blocks, certificates, batches.
    pub consensus: ConsensusStore,
    /// What follows from them.
    pub ledger: LedgerStore,
    /// The ledger as it was when epochs began.
    pub(crate) snapshots: Snapshots,
    /// What of them is handed to nodes that join.
    pub(crate) offers: Offers,
    /// Bodies of persons' records of this node's agency.
    pub vaults: Option<Vaults>,
    /// Checkpoints and their cosignatures.
    pub checkpoints: Checkpoints,
    /// Submissions that wait for the lane.
    pub intake: Intake,
    /// Recent batches in memory.
    pub batches: BatchCache,
    pub(crate) inputs: Inputs,
    pub(crate) tracker: Tracker,
    pub(crate) fetches: Fetches,
    /// What peers say that nothing signed tells.
    pub(crate) hearsay: Hearsay,
    /// Wakes the thread that destroys bodies.
    pub(crate) erase: Bell,
    pub(crate) pool: Pool,
    pub(crate) allowances: Allowances,
    /// What is seen of every validator, for people.
    pub(crate) watch: Watch,
    network: RwLock<Option<(Epoch, Arc<dyn Network>)>>,
    talking: std::sync::Once,
    pub(crate) runtime: tokio::runtime::Handle,
    /// What the engine thread last said about itself.
    pub(crate) view: Mutex<EngineView>,
    /// Counters for `/metrics`.
    pub(crate) counters: Counters,
    pub(crate) stop: Stop,
    executed: AtomicU64,
    caught_up: AtomicBool,
    /// Zero of the monotonic clock.
    pub(crate) started: Instant,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Core(chain {}, validator {:?})", self.chain_id(), self.me())
    }
}

/// What a core is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) chain: ChainParams,
    pub(crate) params: Params,
    pub(crate) key: PublicKey,
    pub(crate) recovery_keys: Option<RecoveryKeys>,
    pub(crate) subjects: Option<SubjectKey>,
    pub(crate) part: Part,
    pub(crate) consensus: ConsensusStore,
    pub(crate) ledger: LedgerStore,
    pub(crate) snapshots: Snapshots,
    pub(crate) vaults: Option<Vaults>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) runtime: tokio::runtime::Handle,
}

/// What the engine said about itself after its last turn.
#[derive(Clone, Debug, Default)]
pub struct EngineView {
    /// The view.
    pub view: View,
    /// Its leader.
    pub leader: Option<ValidatorIx>,
    /// Newest final height.
    pub committed: Height,
    /// Highest height that a quorum is known to have made final, here or elsewhere.
    pub certified: Height,
    /// How many others have said where they stand.
    pub standings: usize,
    /// Its block.
    pub digest: Option<Digest>,
    /// Its time.
    pub time_ms: u64,
    /// Whether this validator votes.
    pub voting: bool,
    /// Why it never will in this epoch, if so.
    pub lost: Option<Refusal>,
    /// Per validator: connected, committed, view, when last heard.
    pub peers: Vec<(bool, Height, View, Option<u64>)>,
    /// Batches of the own lane that are not ordered yet.
    pub lane_pending: usize,
    /// Whether the ledger holds proof that this validator forked its lane in this epoch.
    pub lane_frozen: bool,
    /// How each validator takes part, as of a moment ago.
    pub insights: Vec<Insight>,
    /// When a block last became final, in monotonic milliseconds.
    pub progressed_ms: u64,
    /// What has been owed for longest, and since when.
    pub waiting_for: Option<(Owed, u64)>,
    /// The last leader that was given up.
    pub gave_up: Option<GaveUp>,
    /// Habitual pauses of the engine, in milliseconds.
    pub habit_ms: u64,
    /// When the engine last ended a turn, in monotonic milliseconds.
    pub turned_ms: u64,
}

/// An engine that has not ended a turn for this long hangs, whatever its habit is.
const HANGS_MS: u64 = 2_000;

impl EngineView {
    /// Why this validator does not vote, if it does not.
    pub(crate) fn not_voting(&self, core: &Core) -> Option<Refusal> {
        if self.voting {
            return None;
        }
        self.lost.clone().or_else(|| core.taken()).or_else(|| {
            let part = core.part();
            let why = match (part.me, &part.ended_by) {
                (_, Some(recovery)) => format!(
                    "the agencies ended epoch {}; following to its last block, {}",
                    recovery.act.epoch, recovery.act.height
                ),
                (None, None) => "an observer does not vote".to_owned(),
                (Some(_), None) => {
                    "waiting for a quorum of peers to say what they remember of this validator".to_owned()
                }
            };
            Some(Refusal::new(Code::NotReady, why))
        })
    }

    /// Why nothing that is sent to this validator will be ordered, if so: it must not be taken in.
    ///
    /// # Errors
    /// `NOT_READY` when it never votes in this epoch, or its lane is frozen for the rest of it.
    pub(crate) fn orders(&self) -> Result<(), Refusal> {
        if let Some(lost) = &self.lost {
            return Err(Refusal::new(Code::NotReady, format!("this validator does not vote: {lost}")));
        }
        if self.lane_frozen {
            let detail = "the ledger holds proof that this validator forked its lane, so it orders nothing more \
                          before the next epoch: send to another validator";
            return Err(Refusal::new(Code::NotReady, detail));
        }
        Ok(())
    }

    /// How long the engine pauses, as a habit or at this very moment.
    pub(crate) fn pause_ms(&self, now_ms: u64) -> u64 {
        let present = now_ms.saturating_sub(self.turned_ms);
        if present >= HANGS_MS { present } else { self.habit_ms }
    }
}

/// Counters for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Synced writes of the consensus store.
    pub syncs: AtomicU64,
    /// Microseconds spent in them.
    pub sync_us: AtomicU64,
    /// Operations executed.
    pub operations: AtomicU64,
    /// Operations refused.
    pub refused: AtomicU64,
    /// Blocks executed.
    pub blocks: AtomicU64,
    /// Microseconds spent executing and writing them.
    pub execute_us: AtomicU64,
    /// Submissions queued.
    pub submitted: AtomicU64,
    /// Submissions refused because a queue was full.
    pub queue_full: AtomicU64,
    /// Batches of peers that were refused.
    pub bad_batches: AtomicU64,
    /// View changes seen.
    pub views: AtomicU64,
    /// Offences of validators that this node proved.
    pub offences: AtomicU64,
    /// Proofs of them that it filed.
    pub evidence_filed: AtomicU64,
}

/// How the node ends: once, with the reason.
#[derive(Debug)]
pub(crate) struct Stop {
    stopping: AtomicBool,
    reason: watch::Sender<Option<Result<(), Refusal>>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { stopping: AtomicBool::new(false), reason: watch::Sender::new(None) }
    }
}

impl Stop {
    /// Stops because something failed; the first reason counts.
    pub(crate) fn fail(&self, refusal: Refusal) {
        self.stopping.store(true, Ordering::SeqCst);
        self.reason.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                tracing::error!(code = refusal.code.name(), detail = refusal.detail, "the node stops");
                *reason = Some(Err(refusal));
            }
            first
        });
    }

    /// The engine thread has ended as it was asked to.
    pub(crate) fn done(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.reason.send_if_modified(|reason| {
            let first = reason.is_none();
            reason.get_or_insert(Ok(()));
            first
        });
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Resolves when the node has ended, with the reason.
    pub(crate) async fn ended(&self) -> Result<(), Refusal> {
        let mut reason = self.reason.subscribe();
        loop {
            if let Some(reason) = reason.borrow_and_update().clone() {
                return reason;
            }
            if reason.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Core {
    /// Puts a core together and starts its pool.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub(crate) fn new(parts: Parts) -> std::io::Result<Self> {
        let Parts {
            chain,
            params,
            key,
            recovery_keys,
            subjects,
            part,
            consensus,
            ledger,
            snapshots,
            vaults,
            checkpoints,
            runtime,
        } = parts;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            chain,
            params,
            key,
            recovery_keys,
            subjects,
            part: RwLock::new(Arc::new(part)),
            peers_changed: watch::Sender::new(0),
            consensus,
            ledger,
            snapshots,
            offers: Offers::default(),
            vaults,
            checkpoints,
            intake: Intake::default(),
            batches: BatchCache::default(),
            inputs: Inputs::default(),
            tracker: Tracker::default(),
            fetches: Fetches::default(),
            hearsay: Hearsay::default(),
            erase: Bell::default(),
            pool: Pool::start(threads)?,
            allowances: Allowances::new(VALIDATORS_MAX + GUESTS_MAX),
            watch: Watch::new(VALIDATORS_MAX + GUESTS_MAX),
            network: RwLock::default(),
            talking: std::sync::Once::new(),
            runtime,
            view: Mutex::default(),
            counters: Counters::default(),
            stop: Stop::default(),
            executed: AtomicU64::new(0),
            caught_up: AtomicBool::new(false),
            started: Instant::now(),
        })
    }

    /// The chain's id.
    pub fn chain_id(&self) -> ChainId {
        self.chain.chain_id
    }

    /// This node's part in the epoch that it is in.
    pub fn part(&self) -> Arc<Part> {
        self.part.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The validators of the epoch.
    pub fn committee(&self) -> Arc<Committee> {
        self.part().committee.clone()
    }

    /// This validator; none for an observer.
    pub fn me(&self) -> Option<ValidatorIx> {
        self.part().me
    }

    /// Enters an epoch: everything that reads the set reads the new one from here on.
    pub(crate) fn enter(&self, part: Part) {
        *self.part.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(part);
        self.watch.begin_epoch();
        self.hearsay.begin_epoch();
        self.renew_network();
    }

    /// Asks for a network that knows who may connect now.
    pub(crate) fn renew_network(&self) {
        self.peers_changed.send_modify(|changes| *changes += 1);
    }

    /// Monotonic milliseconds since the node started.
    pub fn mono_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Wall clock, milliseconds since 1970.
    pub fn wall_ms() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        #[cfg(feature = "test-faults")]
        let ms = ms.saturating_add_signed(crate::why::clock_error_ms());
        ms
    }

    /// The network, once it runs; none while it is that of another epoch, in which others have the indices.
    pub(crate) fn network(&self) -> Option<Arc<dyn Network>> {
        let attached = self.network.read().unwrap_or_else(PoisonError::into_inner).clone();
        let epoch = self.committee().epoch();
        attached.filter(|(of, _)| *of == epoch).map(|(_, network)| network)
    }

    /// Why this process may not vote, if some of its peers are connected with another one that has its keys.
    pub(crate) fn taken(&self) -> Option<Refusal> {
        let taken = |peer: &PeerConnection| {
            let refusal = peer.refused.as_ref().filter(|_| !peer.connected && peer.unreached.is_none());
            refusal.is_some_and(|refusal| refusal.code == Code::KeyInTwoPlaces)
        };
        let count = self.network()?.peers().iter().filter(|peer| taken(peer)).count();
        let detail =
            || format!("another process has its keys, and {count} of its peers are connected with that one");
        (count > 0).then(|| Refusal::new(Code::KeyInTwoPlaces, detail()))
    }

    /// Attaches the network of an epoch, in place of the one before. With the first one this node begins to tell its
    /// peers how it is.
    pub(crate) fn attach(self: &Arc<Self>, network: Arc<dyn Network>, epoch: Epoch) {
        *self.network.write().unwrap_or_else(PoisonError::into_inner) = Some((epoch, network));
        self.talking.call_once(|| {
            self.runtime.spawn(talk(Arc::downgrade(self)));
        });
    }

    /// Newest executed height.
    pub fn executed(&self) -> Height {
        Height::new(self.executed.load(Ordering::Acquire))
    }

    pub(crate) fn note_executed(&self, height: Height) {
        self.executed.store(height.get(), Ordering::Release);
    }

    /// Whether this node has executed, since it started, what was final at a quorum of validators by then. Before that it
    /// serves no body: what was ordered while it was away may have been its erasure.
    ///
    /// # Errors
    /// `NOT_READY`.
    pub(crate) fn check_caught_up(&self) -> Result<(), Refusal> {
        if self.caught_up.load(Ordering::Acquire) {
            return Ok(());
        }
        let (view, part, executed) = (self.engine_view(), self.part(), self.executed());
        // One that only follows hears of final blocks from whoever tells everybody, and of nothing else.
        let needed = if part.me.is_some() { part.committee.quorum() - 1 } else { 1 };
        if view.standings < needed || executed < view.certified {
            let detail = format!(
                "bodies are served once this node has caught up, as they may have been erased while it was away: \
                 block {executed} of {} executed, {} of {needed} validators have said where they stand",
                view.certified, view.standings
            );
            return Err(Refusal::new(Code::NotReady, detail));
        }
        self.caught_up.store(true, Ordering::Release);
        Ok(())
    }

    /// A copy of what the engine last said.
    pub fn engine_view(&self) -> EngineView {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Passes a storage error on: the node stops.
    pub(crate) fn guard<T>(&self, result: Result<T, StorageError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.stop.fail(error.refusal());
                None
            }
        }
    }

    /// Checks a batch that a peer gave on the pool, stores it and tells the engine; none when it is refused.
    pub(crate) async fn take_batch(self: &Arc<Self>, from: ValidatorIx, batch: SyncedBatch) -> Option<Taken> {
        let (reply, answer) = oneshot::channel();
        let core = self.clone();
        self.pool.run(move || {
            let taken = match batch.recorded {
                None => core.judge_batch(Arc::from(batch.bytes)).map(Taken::Stored),
                Some(_) => core.judged(hearsay::judge(&core, from, batch)),
            };
            let _ = reply.send(taken);
        });
        answer.await.ok().flatten()
    }

    fn judge_batch(&self, bytes: Arc<[u8]>) -> Option<BatchRef> {
        match self.judged(self.part().judge.check(bytes)) {
            None => None,
            Some(checked) => {
                let checked = Arc::new(checked);
                let name = checked.name;
                // What was erased here does not come back.
                let stripped = self.guard(self.consensus.is_stripped(&name))?;
                if !stripped && self.batches.get(&name).is_none() {
                    self.guard(self.consensus.put_batch(&name, &checked.bytes))?;
                    self.batches.insert(checked.clone());
                }
                self.inputs.push(Input::BatchStored(checked.batch.signed.clone()));
                Some(name)
            }
        }
    }

    /// Counts and logs a peer's batch that is refused.
    fn judged<T>(&self, judged: Result<T, Refusal>) -> Option<T> {
        match judged {
            Ok(judged) => Some(judged),
            Err(refusal) => {
                self.counters.bad_batches.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(code = refusal.code.name(), detail = refusal.detail, "batch refused");
                None
            }
        }
    }

    fn answer_blocks(
        self: &Arc<Self>,
        to: ValidatorIx,
        from: Height,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) {
        let core = self.clone();
        self.pool.run(move || {
            let _permit = permit;
            if let Some(Some(run)) = core.guard(core.consensus.run_from(from))
                && let Some(network) = core.network()
            {
                let Run { blocks, suffixes, certificate } = run;
                let message = Message::Blocks { blocks, suffixes, certificate: Box::new(certificate) };
                network.send(consensus::Peers::One(to), Frame::Message(Arc::new(message)));
            }
        });
    }
}

/// The way in of one network: what it says is dropped once the node has entered another epoch, in which other
/// validators have its indices.
#[derive(Clone, Debug)]
pub struct CoreInbox {
    core: Arc<Core>,
    epoch: Epoch,
}

impl CoreInbox {
    /// For a network of an epoch.
    pub fn new(core: Arc<Core>, epoch: Epoch) -> Self {
        Self { core, epoch }
    }

    fn is_current(&self) -> bool {
        self.core.committee().epoch() == self.epoch
    }
}

impl Inbox for CoreInbox {
    fn attached(&self, network: Arc<dyn Network>) {
        self.core.attach(network, self.epoch);
    }

    fn connected(&self, peer: ValidatorIx) {
        self.core.inputs.push(Input::Connected { epoch: self.epoch, peer });
        self.core.checkpoints.greet(&self.core, peer);
        self.core.watch.connected(&self.core, peer);
    }

    fn disconnected(&self, peer: ValidatorIx) {
        self.core.inputs.push(Input::Disconnected { epoch: self.epoch, peer });
    }

    fn deliver(&self, from: ValidatorIx, frame: Frame) -> BoxFuture<'static, ()> {
        let (core, epoch) = (self.core.clone(), self.epoch);
        if !self.is_current() {
            return async {}.boxed();
        }
        async move {
            let Some(permit) = core.allowances.admit(from, &frame).await else { return };
            match frame {
                Frame::Message(message) => match *message {
                    Message::GetBlocks { from: height } => core.answer_blocks(from, height, permit),
                    _ => {
                        let message = Box::new(Arc::unwrap_or_clone(message));
                        core.inputs.push(Input::Message { epoch, from, message, permit });
                    }
                },
                Frame::Batch(bytes) => {
                    let job = core.clone();
                    core.pool.run(move || {
                        let _permit = permit;
                        job.judge_batch(bytes);
                    });
                }
                Frame::Cosignature(cosignature) => {
                    let job = core.clone();
                    core.pool.run(move || {
                        let _permit = permit;
                        job.checkpoints.take(&job, from, &cosignature);
                    });
                }
                Frame::Recovered(shown) => {
                    let job = core.clone();
                    core.pool.run(move || {
                        let _permit = permit;
                        job.judge_recovered(epoch, from, &shown);
                    });
                }
                Frame::Health(health) => core.watch.take(&core, from, &health),
            }
        }
        .boxed()
    }

    fn serve(&self, _: ValidatorIx, request: SyncRequest) -> SyncResponse {
        let answer = match request {
            SyncRequest::Batches { from, tip } => sync::answer(&self.core.consensus, from, &tip),
            SyncRequest::Indexes { from, to } => hearsay::answer(&self.core, from, to),
            SyncRequest::Passages { from } => sync::passages(&self.core, from),
            SyncRequest::Blocks { from } => self
                .core
                .consensus
                .run_from(from)
                .map(|run| run.map_or(SyncResponse::Nothing, |run| SyncResponse::Blocks(Box::new(run)))),
            SyncRequest::Snapshot | SyncRequest::Manifest { .. } | SyncRequest::Chunk { .. } => {
                // A snapshot that cannot be read is no reason to stop: nothing else rests on it.
                let Core { offers, snapshots, consensus, .. } = &*self.core;
                return offers.answer(snapshots, consensus, &request);
            }
        };
        self.core.guard(answer).unwrap_or_default()
    }

    fn hello(&self, network_key: PublicKey, challenge: Digest) -> BoxFuture<'static, Option<Signature>> {
        let (reply, answer) = oneshot::channel();
        self.core.inputs.push(Input::Hello { epoch: self.epoch, network_key, challenge, reply });
        async move { answer.await.ok().flatten() }.boxed()
    }
}

/// Refuses work while the node stops.
///
/// # Errors
/// `NOT_READY`.
pub(crate) fn running(core: &Core) -> Result<(), Refusal> {
    if core.stop.stopping() { Err(Refusal::new(Code::NotReady, "the node is stopping")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_whose_lane_is_frozen_takes_nothing_in() {
        let mut view = EngineView::default();
        assert_eq!(view.orders(), Ok(()));
        view.lane_frozen = true;
        let refusal = view.orders().unwrap_err();
        assert_eq!(refusal.code, Code::NotReady);
        assert!(refusal.detail.contains("send to another validator"), "{refusal}");
        view.lost = Some(Refusal::new(Code::SafetyLost, "the record is gone"));
        assert!(view.orders().unwrap_err().detail.contains("the record is gone"));
    }
}
