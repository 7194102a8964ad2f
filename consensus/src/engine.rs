//! The engine: when to propose, what to vote for, what to fetch, when to give up on a leader.
//!
//! One file per concern: `blocks` receives proposals and votes for them, `certificates` counts votes and
//! makes blocks final, `accuse` proves what others may not do, `deliver` hands them to execution, `epoch` ends the
//! epoch, `propose` is the leader's side and `tips` its choice of batches, `view` gives up on leaders, `inclusion` on
//! those that leave a lane out, `handover` ends views early, `sync` keeps up with the others, `catchup` fetches final
//! blocks, `insight` tells operators. Every public entry point ends in `Engine::settle`, which does whatever has
//! become possible.

mod accuse;
mod blocks;
mod catchup;
mod certificates;
mod deliver;
mod epoch;
mod handover;
mod inclusion;
pub mod insight;
mod propose;
mod sync;
mod tips;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chain_core::block::{ExecSummary, Header};
use chain_core::certificate::Cert;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey, Signature};
use chain_core::epoch::ClosingProof;
use chain_core::id::{Epoch, Height, ValidatorIx, View};
use chain_core::lane::{BatchHeader, BatchRef, LaneFrontier, SignedBatchHeader};
use chain_core::merkle::Frontier;

use crate::action::{Action, Alarm, Peers, Persist, Write};
use crate::chain::Chain;
use crate::event::{Event, Now};
pub use crate::lanes::LANE_BATCHES_HELD_MAX;
use crate::lanes::Lanes;
use crate::message::{EntryProof, Message, Proposal, ViewChange, Vote};
use crate::mutant::Mutant;
use crate::params::Params;
use crate::safety::{Greeter, Safety, SafetyRecord};
use crate::signer::Signer;
use crate::verified::{Judge, Verified};
use crate::votes::VoteBook;
pub use deliver::{EXECUTING_MAX, LOAD_BLOCKS};
pub use epoch::Closing;

/// How often periodic work is looked at.
const TICK_MS: u64 = 50;
/// Most own batches that wait to be signed or ordered.
const LOCAL_BATCHES_MAX: usize = 64;
/// Summaries kept to answer for execution roots that are certified already.
const SUMMARIES_MAX: usize = 512;

/// The chain at one executed height: what building and checking the next block needs.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Tip {
    /// The height; 0 is genesis.
    pub height: Height,
    /// Digest of the block; the chain id's digest at genesis.
    pub digest: Digest,
    /// View of the block, 0 at genesis.
    pub view: View,
    /// Its time, milliseconds since 1970.
    pub time_ms: u64,
    /// Its header; none at genesis.
    pub header: Option<Header>,
    /// Newest ordered batch per lane.
    pub lanes: LaneFrontier,
    /// RFC 6962 frontier over the digests of blocks 1 to `height`.
    pub history: Frontier,
    /// The closing block that the chain ends with; Suffixes may stand between it and this height.
    pub closing: Option<Closing>,
}

impl chain_core::codec::Wire for Tip {
    const LIMIT: usize = 32 * 1024;
}

impl Tip {
    /// Genesis.
    pub fn genesis(chain_id: chain_core::id::ChainId, time_ms: u64) -> Self {
        Self {
            height: Height::ZERO,
            digest: *chain_id.digest(),
            view: View::ZERO,
            time_ms,
            header: None,
            lanes: LaneFrontier::default(),
            history: Frontier::default(),
            closing: None,
        }
    }

    /// The tip as the base of the epoch that begins after it: below every view.
    fn as_base(&self) -> Self {
        Self { view: View::ZERO, closing: None, ..self.clone() }
    }

    /// The tip after one more block.
    #[must_use]
    pub fn after(&self, proposal: &Proposal) -> Self {
        let digest = proposal.header.digest();
        let mut next = self.clone();
        next.height = proposal.header.height;
        next.digest = digest;
        next.view = proposal.header.view;
        next.time_ms = proposal.header.time_ms;
        next.header = Some(proposal.header.clone());
        for advance in &proposal.advances {
            next.lanes.advance(advance);
        }
        next.closing = Closing::after(self.closing, &proposal.header, digest);
        if next.closing.is_some() {
            // Lanes begin anew in the next epoch; nothing is ordered in this one any more.
            next.lanes = LaneFrontier::default();
        }
        next.history.push(&chain_core::merkle::leaf_hash(digest.as_bytes()));
        next
    }
}

/// What the safety store held at start.
#[derive(Clone, Debug)]
pub enum SafetyAtStart {
    /// The record of this key.
    Present(Box<SafetyRecord>),
    /// Missing, damaged or older than what the node signed: it follows without voting, for this reason.
    Lost(Refusal),
}

/// Everything the stores held at start.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The safety record.
    pub safety: SafetyAtStart,
    /// The chain at the newest executed height.
    pub executed: Tip,
    /// The chain at the newest final height of the epoch, which may be far above it: the executed tip after each
    /// final block in turn ([`Tip::after`]). The engine loads those blocks in steps ([`Action::LoadFinal`]).
    pub committed: Tip,
    /// Commit certificate of the newest final block; none at genesis.
    pub certificate: Option<Cert>,
    /// Stored blocks above the final ones, in any order.
    pub blocks: Vec<Proposal>,
    /// Summaries of recent heights up to the executed one, ascending: at least the last 192 if there are, and all from
    /// the height on that the executed block's header certifies, since none may be passed over for long.
    pub summaries: Vec<ExecSummary>,
    /// Headers of final blocks up to the newest one, ascending; at least the last 256 if there are.
    pub recent: Vec<Header>,
    /// Stored batches above the executed lane frontier, and above the committed one; of each lane the first
    /// [`LANE_BATCHES_HELD_MAX`] places above either are enough.
    pub batches: Vec<SignedBatchHeader>,
    /// The height whose execution scheduled the next validator set, and that set's hash, if one did in this
    /// epoch.
    pub scheduled: Option<(Height, Digest)>,
}

/// What is known of one peer. Everything here is a hint except what certificates prove.
#[derive(Clone, Debug, Default)]
struct Peer {
    connected: bool,
    heard_ms: Option<u64>,
    /// Whether it has said where it stands.
    stands: bool,
    committed: Height,
    executed: Height,
    view: View,
    /// When an entry proof, a status or a certificate was last volunteered to it.
    helped_ms: Option<u64>,
    /// The latest ended epoch whose end it was told.
    told: Option<Epoch>,
    view_change: Option<Verified<ViewChange>>,
}

/// Something that is needed and not here: a block by its digest, or batches by their newest one's.
#[derive(Clone, Debug)]
struct Fetch {
    first_ms: u64,
    /// When it was last asked for, and how often.
    asked: Option<(u64, usize)>,
    /// For a block: who may have it. Asked again by the clock until it comes.
    block_holders: Vec<ValidatorIx>,
    /// The peer whose bare word says that it exists, if nothing better does.
    cause: Option<ValidatorIx>,
}

/// How much an engine holds of what others may make it hold. Every count has a bound that no message moves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// Blocks above the committed one.
    pub blocks: usize,
    /// Votes, over all slots.
    pub votes: usize,
    /// Open requests for blocks and batches.
    pub fetches: usize,
    /// Batch headers above the executed frontier.
    pub batches: usize,
    /// Final blocks that wait for those below them.
    pub ahead: usize,
    /// Final blocks that wait for their data, for the disk or for execution.
    pub deliveries: usize,
    /// Own votes that wait for the disk.
    pub own_votes: usize,
    /// What others said lately, to be held against them if they contradict it.
    pub statements: usize,
}

/// What this engine is waiting to do once a write is durable.
#[derive(Debug)]
struct OwnVote {
    after: u64,
    vote: Vote,
}

/// One validator's consensus.
#[derive(Debug)]
pub struct Engine {
    params: Params,
    judge: Judge,
    me: Option<ValidatorIx>,
    safety: Option<Safety>,
    /// In place of the safety module when its record is lost.
    greeter: Option<Greeter>,
    /// Why this validator cannot vote in this epoch, if so.
    lost: Option<Refusal>,
    echoed: BTreeSet<ValidatorIx>,

    chain: Chain,
    votes: VoteBook,
    lanes: Lanes,
    high_qc: Option<Verified<Cert>>,
    certificate: Option<Verified<Cert>>,
    /// A commit certificate whose block is not connected yet.
    sync_target: Option<Verified<Cert>>,
    catchup: catchup::Catchup,
    /// The height whose execution scheduled the next validator set, and that set's hash.
    scheduled: Option<(Height, Digest)>,
    /// When a guest was last told how its epoch ended.
    guest_ms: Option<u64>,
    /// Proof that the epoch ended, while its closing block is not final here.
    closing_target: Option<Verified<ClosingProof>>,
    /// Since when there has been such a certificate.
    missing_ms: Option<u64>,
    own_votes: VecDeque<OwnVote>,
    /// The own VIEW-CHANGE and the write it waits for.
    own_view_change: Option<(u64, ViewChange)>,

    view: View,
    entry: Option<Verified<EntryProof>>,
    view_entered_ms: u64,
    /// The view was entered by a timeout certificate and its first block is still owed.
    first_block_owed: bool,
    /// Views that failed in a row: k of the timeout.
    failed_views: u32,

    /// Final blocks not delivered yet, each with the write that makes its commit durable: the ledger never
    /// runs ahead of the store it is rebuilt from.
    deliveries: VecDeque<(u64, Proposal)>,
    /// When the owner was asked for the final blocks after those, while it has not answered.
    load_ms: Option<u64>,
    persisted_seq: u64,
    delivered: Tip,
    executed: Height,
    summaries: BTreeMap<Height, Digest>,
    /// Newest non-empty height executed here, and since when a quorum has executed it.
    uncovered: Option<(Height, u64)>,
    /// When the chain was last so far ahead of its execution that nothing more could be ordered.
    no_room_ms: u64,
    /// When a block was last known to be final that is not here.
    behind_ms: u64,

    head: Option<Digest>,
    proposed_ms: u64,
    checkpoint_exec: Height,
    checkpoint_ms: u64,
    handing_over: bool,

    peers: Vec<Peer>,
    pace: insight::Pace,
    local: VecDeque<(u64, Digest, u32, u32)>,
    /// Own batches not yet ordered, and when they were last pushed.
    pushed_ms: BTreeMap<u64, u64>,
    /// A batch of another lane that was relayed to the leader of a view, and when.
    relayed: Option<(View, BatchRef, u64)>,
    queues: inclusion::Queues,
    tips: tips::Tips,
    ends: handover::Ends,
    fetches: BTreeMap<Digest, Fetch>,
    /// Per lane the request for the data of final blocks.
    lane_fetches: BTreeMap<ValidatorIx, deliver::LaneFetch>,
    persist_seq: u64,
    accuser: accuse::Accuser,
    commit_ms: u64,
    block_ms: u64,
    latency_ms: u64,
    started: bool,
    next_status_ms: u64,
    next_resend_ms: u64,
    next_tick_ms: u64,
}

impl Engine {
    /// Removes one rule.
    #[cfg(feature = "mutants")]
    pub fn mutate(&mut self, mutant: Mutant) {
        self.judge.mutate(mutant);
        if let Some(safety) = self.safety.as_mut() {
            safety.mutate(mutant);
        }
    }

    /// Starts an engine from what the stores held. Feed it [`Event::Tick`] at once.
    ///
    /// `me` is `None` for an observer. A validator votes only after q−1 peers have echoed what they
    /// remember of it and none of that outranks its record.
    pub fn new(
        params: Params,
        judge: Judge,
        me: Option<(ValidatorIx, Box<dyn Signer>)>,
        restored: Restored,
    ) -> Self {
        let (n, epoch) = (judge.committee.size(), judge.committee.epoch());
        let at_base = restored.executed.height == judge.base_height;
        let executed = if at_base { restored.executed.as_base() } else { restored.executed };
        let committed =
            if restored.committed.height == executed.height { executed.clone() } else { restored.committed };
        // The epoch begins with the base's execution owed, empty as the block is: it is what a snapshot is held against.
        let covered = committed.header.as_ref().filter(|_| at_base).map(|header| header.exec_height);
        let uncovered = covered.filter(|covered| *covered < executed.height).map(|_| (executed.height, 0));
        let mut chain = Chain::new(committed);
        chain.set_recent(restored.recent);
        let summaries: BTreeMap<Height, Digest> =
            restored.summaries.iter().map(|summary| (summary.height, summary.root())).collect();
        let (ix, safety, greeter, lost) = match (me, restored.safety) {
            (None, _) => (None, None, None, None),
            (Some((ix, signer)), SafetyAtStart::Present(record)) if record.epoch != epoch => {
                let detail = format!("the safety record is of epoch {}, this is epoch {epoch}", record.epoch);
                let refusal = Refusal::new(Code::SafetyLost, detail);
                (Some(ix), None, Some(Greeter::new(&judge, signer)), Some(refusal))
            }
            (Some((ix, signer)), SafetyAtStart::Present(record)) => {
                (Some(ix), Some(Safety::new(*record, judge.clone(), ix, signer)), None, None)
            }
            (Some((ix, signer)), SafetyAtStart::Lost(refusal)) => {
                (Some(ix), None, Some(Greeter::new(&judge, signer)), Some(refusal))
            }
        };
        let mut lanes = Lanes::new(epoch);
        for batch in restored.batches.into_iter().filter(|batch| batch.header.epoch == epoch) {
            // What is above the final blocks counts from there: a ledger that is far behind, because it was lost,
            // must not cost this validator the batches that perhaps nobody else stored.
            let BatchHeader { author, seq, .. } = batch.header;
            let unordered = seq >= chain.committed().lanes.next_seq(author);
            lanes.add(batch, if unordered { &chain.committed().lanes } else { &executed.lanes }, false);
        }
        let mut engine = Self {
            params,
            me: ix,
            safety,
            greeter,
            lost,
            echoed: BTreeSet::new(),
            chain,
            votes: VoteBook::default(),
            lanes,
            high_qc: None,
            certificate: None,
            sync_target: None,
            catchup: catchup::Catchup::default(),
            scheduled: restored.scheduled,
            guest_ms: None,
            closing_target: None,
            missing_ms: None,
            own_votes: VecDeque::new(),
            own_view_change: None,
            view: View::ZERO,
            entry: None,
            view_entered_ms: 0,
            first_block_owed: false,
            failed_views: 0,
            deliveries: VecDeque::new(),
            load_ms: None,
            persisted_seq: 0,
            executed: executed.height,
            delivered: executed,
            summaries,
            uncovered,
            no_room_ms: 0,
            behind_ms: 0,
            head: None,
            proposed_ms: 0,
            checkpoint_exec: Height::ZERO,
            checkpoint_ms: 0,
            handing_over: false,
            peers: vec![Peer::default(); n],
            pace: insight::Pace::new(n, judge.committee.faults()),
            local: VecDeque::new(),
            pushed_ms: BTreeMap::new(),
            relayed: None,
            queues: inclusion::Queues::default(),
            tips: tips::Tips::default(),
            ends: handover::Ends::default(),
            fetches: BTreeMap::new(),
            lane_fetches: BTreeMap::new(),
            persist_seq: 0,
            accuser: accuse::Accuser::default(),
            commit_ms: 0,
            block_ms: 0,
            latency_ms: 0,
            started: false,
            next_status_ms: 0,
            next_resend_ms: 0,
            next_tick_ms: 0,
            judge,
        };
        engine.restore(restored.certificate, restored.blocks);
        engine
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.judge.committee.epoch()
    }

    /// The view this validator is in.
    pub fn view(&self) -> View {
        self.view
    }

    /// Leader of the view.
    pub fn leader(&self) -> ValidatorIx {
        self.leader_of(self.view)
    }

    fn leader_of(&self, view: View) -> ValidatorIx {
        self.judge.committee.leader(&self.judge.base_digest, view)
    }

    /// Newest final height.
    pub fn committed(&self) -> &Tip {
        self.chain.committed()
    }

    /// Highest height that a quorum is known to have made final, here or elsewhere.
    pub fn certified(&self) -> Height {
        let target = self.sync_target.as_ref().map_or(Height::ZERO, |certificate| certificate.height);
        self.committed().height.max(target)
    }

    /// Commit certificate of the newest final block.
    pub fn certificate(&self) -> Option<&Cert> {
        self.certificate.as_deref()
    }

    /// Whether this validator votes now.
    pub fn voting(&self) -> bool {
        self.safety.as_ref().is_some_and(Safety::voting)
    }

    /// Whether [`Event::LocalBatch`] may be given now: this validator may sign batches, and few of its
    /// own wait to be ordered.
    pub fn accepts_local(&self) -> bool {
        self.voting()
            && !self.is_closed()
            && !self.own_lane_is_frozen()
            && self.local.len() + self.pushed_ms.len() < LOCAL_BATCHES_MAX
    }

    /// Why it does not vote and will not in this epoch, if so.
    pub fn lost(&self) -> Option<&Refusal> {
        self.lost.as_ref()
    }

    /// The safety record as it is now, durable or about to be.
    pub fn safety_record(&self) -> Option<&SafetyRecord> {
        self.safety.as_ref().map(Safety::record)
    }

    /// What is known of a peer: connected, committed height, view, and when it was last heard.
    pub fn peer(&self, ix: ValidatorIx) -> Option<(bool, Height, View, Option<u64>)> {
        self.peers.get(ix.index()).map(|peer| (peer.connected, peer.committed, peer.view, peer.heard_ms))
    }

    /// How many others have said where they stand, with the certificate of it, since this engine was made.
    pub fn standings(&self) -> usize {
        self.peers.iter().filter(|peer| peer.stands).count()
    }

    /// How much is held on behalf of others.
    pub fn held(&self) -> Held {
        Held {
            blocks: self.chain.len(),
            votes: self.votes.len(),
            fetches: self.fetches.len() + self.lane_fetches.len(),
            batches: self.lanes.len(),
            ahead: self.catchup.len(),
            deliveries: self.deliveries.len(),
            own_votes: self.own_votes.len(),
            statements: self.accuser.len(),
        }
    }

    /// One line for people: what this engine is waiting for.
    pub fn describe(&self) -> String {
        format!(
            "leader {} tau {} ms, {} blocks above committed, sync target {:?}, {} deliveries waiting, first block owed {}, entry {}",
            self.leader(),
            self.timeout_ms(),
            self.chain.len(),
            self.sync_target.as_ref().map(|cert| cert.height),
            self.deliveries.len(),
            self.first_block_owed,
            match self.entry.as_deref() {
                None => "none",
                Some(EntryProof::Timeout(_)) => "timeout",
                Some(EntryProof::TermEnd { .. }) => "term end",
                Some(EntryProof::Certificate(_)) => "certificate",
            },
        )
    }

    /// Monotonic time at which [`Event::Tick`] is wanted next.
    pub fn deadline(&self) -> u64 {
        self.next_tick_ms
    }

    /// Binds a transport identity to the consensus key, in an epoch that the sender names; `None` for one that
    /// does not hold it.
    pub fn hello(&self, epoch: Epoch, network_key: PublicKey, challenge: Digest) -> Option<Signature> {
        match (&self.safety, &self.greeter) {
            (Some(safety), _) => Some(safety.hello(epoch, network_key, challenge)),
            (None, Some(greeter)) => Some(greeter.hello(epoch, network_key, challenge)),
            (None, None) => None,
        }
    }

    /// Handles one event.
    pub fn handle(&mut self, now: Now, event: Event, out: &mut Vec<Action>) {
        if !self.started {
            self.start(now);
        }
        match event {
            Event::Tick => {}
            Event::Message { from, message } => {
                if Some(from) == self.me {
                    return;
                }
                if from.index() >= self.peers.len() {
                    self.on_guest(now, from, &message, out);
                    return;
                }
                self.peers[from.index()].heard_ms = Some(now.mono_ms);
                self.on_message(now, from, *message, out);
            }
            Event::Connected(ix) => self.on_connected(now, ix, out),
            Event::Disconnected(ix) => {
                if let Some(peer) = self.peers.get_mut(ix.index()) {
                    peer.connected = false;
                }
                self.catchup.on_disconnected(ix);
            }
            Event::Persisted(seq) => self.on_persisted(now, seq, out),
            Event::Executed { summary, scheduled } => self.on_executed(now, &summary, scheduled, out),
            Event::BatchStored(batch) => self.on_batch(&batch, out),
            Event::LocalBatch { token, payload_root, bytes, count } => {
                if self.local.len() < LOCAL_BATCHES_MAX {
                    self.local.push_back((token, payload_root, bytes, count));
                }
            }
            Event::Loaded(blocks) => self.on_loaded(blocks),
            Event::LaneFrozen(author) => self.on_lane_frozen(author),
            Event::Shutdown => self.handing_over = true,
        }
        self.settle(now, out);
    }

    fn on_message(&mut self, now: Now, from: ValidatorIx, message: Message, out: &mut Vec<Action>) {
        if self.is_of_another_epoch(now, from, &message, out) {
            return;
        }
        match message {
            Message::Propose(proposal) => self.on_propose(now, from, *proposal, out),
            Message::Vote(vote, executed) => self.on_vote(now, from, vote, executed, out),
            Message::ViewChange(view_change) => self.on_view_change(now, from, *view_change, out),
            Message::Entry(proof) => self.on_entry(now, proof, out),
            Message::Certificate(cert) => self.on_certificate(now, from, *cert, out),
            Message::Status(status) => self.on_status(now, from, *status, out),
            Message::Executed(height) => {
                let peer = &mut self.peers[from.index()];
                peer.executed = peer.executed.max(height);
            }
            Message::Echo(echo) => self.on_echo(from, &echo, out),
            Message::GetProposal { digest } => self.on_get_proposal(from, &digest, out),
            Message::GetCertificate => self.on_get_certificate(from, out),
            Message::Blocks { blocks, suffixes, certificate } => {
                self.on_blocks(now, from, blocks, &suffixes, *certificate, out);
            }
            Message::Closing(proof) => self.on_closing(now, *proof, out),
            Message::Have { lanes } => self.on_have(now, from, &lanes, out),
            // The owner answers from its store.
            Message::GetBlocks { .. } => {}
        }
    }

    /// Does whatever has become possible, then sets the next deadline.
    fn settle(&mut self, now: Now, out: &mut Vec<Action>) {
        self.seal_local(now, out);
        if !self.is_closed() {
            self.skip_silent_leader(now, out);
            self.try_vote(now, out);
            self.try_propose(now, out);
        }
        self.deliver(now, out);
        self.load_final(now, out);
        if now.mono_ms >= self.next_tick_ms {
            self.next_tick_ms = now.mono_ms + TICK_MS;
            self.periodic(now, out);
        }
        if let Some(at) = self.proposal_due_ms(now) {
            self.next_tick_ms = self.next_tick_ms.min(at.max(now.mono_ms + 1));
        }
    }

    fn start(&mut self, now: Now) {
        self.started = true;
        self.view_entered_ms = now.mono_ms;
        self.commit_ms = now.mono_ms;
        self.block_ms = now.mono_ms;
        self.checkpoint_ms = now.mono_ms;
        self.next_status_ms = now.mono_ms;
        self.next_resend_ms = now.mono_ms + self.params.resend_ms;
        self.next_tick_ms = now.mono_ms;
    }

    /// Rebuilds the volatile state from what the stores held (docs/protocol.md, 6).
    fn restore(&mut self, certificate: Option<Cert>, blocks: Vec<Proposal>) {
        use chain_core::certificate::VoteKind;
        let now = Now { mono_ms: 0, wall_ms: 0 };
        if let Some(cert) = certificate.and_then(|cert| self.judge.cert(cert, VoteKind::Commit).ok()) {
            self.view = cert.view;
            self.certificate = Some(cert);
        }
        let mut blocks = blocks;
        blocks.sort_by_key(|proposal| proposal.header.height);
        for proposal in blocks {
            if proposal.header.epoch == self.epoch() && self.judge.proposal(&proposal) {
                self.insert_block(now, proposal, true);
            }
        }
        let Some(record) = self.safety.as_ref().map(|safety| safety.record().clone()) else {
            return;
        };
        if let crate::message::HighQc::Qc(cert) = record.high_qc
            && let Ok(cert) = self.judge.cert(cert, VoteKind::Prepare)
        {
            self.view = self.view.max(cert.view);
            self.note_certificate(&cert);
        }
        if let Some((view, proof)) = record.entry.and_then(|proof| self.judge.entry(proof).ok()) {
            self.view = self.view.max(view);
            if view == self.view {
                self.entry = Some(proof);
            }
        }
        self.enter_by_term_end();
    }

    fn persist(&mut self, writes: Vec<Write>, out: &mut Vec<Action>) -> u64 {
        self.persist_seq += 1;
        out.push(Action::Persist(Persist { seq: self.persist_seq, writes }));
        self.persist_seq
    }

    fn safety_write(&self) -> Option<Write> {
        self.safety.as_ref().map(|safety| Write::Safety(Box::new(safety.record().clone())))
    }

    fn send(&self, to: Peers, message: Message, after: Option<u64>, out: &mut Vec<Action>) {
        let after = after.filter(|_| !self.judge.lost(Mutant::SendBeforeDurable));
        out.push(Action::Send { to, message: Box::new(message), after });
    }

    /// Own votes count when persisted, never at signing (M3).
    fn on_persisted(&mut self, now: Now, seq: u64, out: &mut Vec<Action>) {
        self.persisted_seq = self.persisted_seq.max(seq);
        while self.own_votes.front().is_some_and(|own| own.after <= seq) {
            if let Some(own) = self.own_votes.pop_front() {
                self.pace.note(now.mono_ms, &own.vote);
                self.count(now, own.vote, true, out);
            }
        }
        self.on_durable_view_change(now, out);
    }

    fn on_executed(
        &mut self,
        now: Now,
        summary: &ExecSummary,
        scheduled: Option<Digest>,
        out: &mut Vec<Action>,
    ) {
        self.executed = self.executed.max(summary.height);
        self.summaries.insert(summary.height, summary.root());
        // What is not certified yet will be asked for, however far execution went ahead of that.
        let covered = self.chain.committed().header.as_ref().map_or(Height::ZERO, |one| one.exec_height);
        while self.summaries.len() > SUMMARIES_MAX
            && self.summaries.first_key_value().is_some_and(|(height, _)| *height < covered)
        {
            self.summaries.pop_first();
        }
        let empty = self.chain.committed_header(summary.height).is_none_or(Header::is_empty);
        if let Some(next) = scheduled {
            self.note_scheduled(summary.height, next);
        }
        // What schedules the end of the epoch is to be certified soon, also when the block itself is empty. What is
        // executed again after a loss may long be certified.
        let covered = self.chain.committed().header.as_ref().map(|header| header.exec_height);
        if (!empty || scheduled.is_some()) && covered < Some(summary.height) {
            self.uncovered = Some((summary.height, now.mono_ms));
            let leader = self.leader();
            if Some(leader) != self.me {
                self.send(Peers::One(leader), Message::Executed(self.executed), None, out);
            }
        }
    }

    fn on_batch(&mut self, batch: &SignedBatchHeader, out: &mut Vec<Action>) {
        let wanted = self.wants_batch(&BatchRef::of(&batch.header));
        if let Some(rival) = self.lanes.add(batch.clone(), &self.delivered.lanes, wanted) {
            let offender = batch.header.author;
            self.weigh_batch(rival, batch.clone(), out);
            out.push(Action::Alarm(Alarm::Equivocation {
                offender,
                what: "two batches for one position of its lane",
            }));
        }
    }

    /// Turns local records into the next batches of the own lane.
    fn seal_local(&mut self, now: Now, out: &mut Vec<Action>) {
        let Some(me) = self.me else {
            self.local.clear();
            return;
        };
        if !self.voting() || self.is_closed() || self.own_lane_is_frozen() {
            return;
        }
        while let Some((token, payload_root, bytes, count)) = self.local.pop_front() {
            let Some(safety) = self.safety.as_mut() else { return };
            let (seq, prev) =
                safety.record().lane.map_or((0, Digest::ZERO), |(seq, digest)| (seq + 1, digest));
            let header = BatchHeader {
                chain_id: self.judge.chain_id,
                epoch: self.judge.committee.epoch(),
                author: me,
                seq,
                prev,
                payload_root,
                bytes,
                count,
                time_ms: now.wall_ms,
            };
            let Ok(signed) = safety.seal(header) else { return };
            let writes = self.safety_write().into_iter().chain([Write::OwnBatch(signed.clone())]).collect();
            let after = self.persist(writes, out);
            self.on_batch(&signed, out);
            self.pushed_ms.insert(seq, now.mono_ms);
            out.push(Action::Sealed { token, header: signed, after });
        }
    }

    /// Validators heard within a span, this one included.
    fn alive(&self, now: Now, within_ms: u64) -> usize {
        let heard = |peer: &&Peer| peer.heard_ms.is_some_and(|at| at + within_ms >= now.mono_ms);
        usize::from(self.me.is_some()) + self.peers.iter().filter(heard).count()
    }
}
