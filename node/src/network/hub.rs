//! The task that owns the swarm: dials, hands connections to sessions, moves requests. It does no
//! cryptography beyond the transport's and touches no disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::codec::decode;
use chain_core::id::ValidatorIx;
use futures::StreamExt as _;
use libp2p::allow_block_list::{self, AllowedPeers, NotAllowed};
use libp2p::request_response::{self as rr, OutboundRequestId, ResponseChannel};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, ListenError, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, connection_limits, memory_connection_limits};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use super::Shared;
use super::session::{End, Session};
use super::{probe, streams, sync};
use crate::link::{SyncRequest, Unreached};

/// How often dials are considered.
const TICK: Duration = Duration::from_millis(100);
/// First pause before dialling again; doubles up to [`PAUSE_MAX`], with jitter of half of it.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause before dialling again.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Pause after HELLO was refused: such a thing is repaired by people.
const PAUSE_REFUSED: Duration = Duration::from_secs(5);
/// The same when another process has the validator's keys: it may be one whose host lost its power a moment ago.
const PAUSE_TAKEN: Duration = Duration::from_secs(1);
/// The higher index dials too once it has been without a connection for this long: the network may be open
/// in one direction only.
const FALLBACK_AFTER: Duration = Duration::from_secs(4);
/// Most sync requests of all peers served at once; more are answered by nobody, so that the peer asks another.
const SERVING_MAX: usize = 4;
/// At most one log line about strangers in this time.
const STRANGER_LOG_PAUSE: Duration = Duration::from_secs(10);

/// Everything libp2p runs for us. The allow-list comes first: what it denies reaches nothing else.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    allowed: allow_block_list::Behaviour<AllowedPeers>,
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    streams: streams::Behaviour,
    sync: sync::Behaviour,
}

impl Behaviour {
    /// For a node that talks to `peers` and nobody else.
    pub(super) fn new(peers: &[PeerId]) -> Self {
        let n = u32::try_from(peers.len()).unwrap_or(u32::MAX);
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(128))
            .with_max_pending_outgoing(Some(n + 8))
            .with_max_established_incoming(Some(2 * n))
            .with_max_established_outgoing(Some(2 * n))
            .with_max_established_per_peer(Some(2));
        let mut allowed = allow_block_list::Behaviour::<AllowedPeers>::default();
        for peer in peers {
            allowed.allow_peer(*peer);
        }
        Self {
            allowed,
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_percentage(0.9),
            streams: streams::Behaviour::default(),
            sync: sync::behaviour(),
        }
    }
}

/// What the handle asks of the hub.
pub(super) enum Command {
    /// A question to a peer; the answer's bytes go to the sender, which is dropped when there is none.
    Request { to: ValidatorIx, bytes: Vec<u8>, answer: oneshot::Sender<Vec<u8>> },
    /// The answer to a peer's question.
    Respond { channel: ResponseChannel<Vec<u8>>, bytes: Vec<u8> },
    /// Ends the task.
    Shutdown,
}

/// One validator to be connected to.
pub(super) struct Target {
    pub(super) peer_id: PeerId,
    /// Where it is dialled; nowhere when it has no address.
    pub(super) address: Option<Multiaddr>,
}

struct Dialling {
    next: Instant,
    pause: Duration,
    attempt: Option<ConnectionId>,
    sessions: usize,
    down_since: Instant,
}

/// The task's state.
pub(super) struct Hub {
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    targets: BTreeMap<ValidatorIx, Target>,
    dialling: BTreeMap<ValidatorIx, Dialling>,
    commands: mpsc::Receiver<Command>,
    to_self: mpsc::WeakSender<Command>,
    sessions: JoinSet<(ConnectionId, ValidatorIx, End)>,
    owners: BTreeMap<Id, (ConnectionId, ValidatorIx)>,
    asked: BTreeMap<OutboundRequestId, oneshot::Sender<Vec<u8>>>,
    serving: Arc<Semaphore>,
    stranger_logged: Option<Instant>,
}

impl Hub {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        shared: Arc<Shared>,
        targets: BTreeMap<ValidatorIx, Target>,
        commands: mpsc::Receiver<Command>,
        to_self: mpsc::WeakSender<Command>,
    ) -> Self {
        let now = Instant::now();
        let fresh = || Dialling { next: now, pause: PAUSE_MIN, attempt: None, sessions: 0, down_since: now };
        Self {
            dialling: targets.keys().map(|&ix| (ix, fresh())).collect(),
            swarm,
            shared,
            targets,
            commands,
            to_self,
            sessions: JoinSet::new(),
            owners: BTreeMap::new(),
            asked: BTreeMap::new(),
            serving: Arc::new(Semaphore::new(SERVING_MAX)),
            stranger_logged: None,
        }
    }

    /// Runs until told to end.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown) | None => break,
                    Some(Command::Request { to, bytes, answer }) => self.on_request(to, bytes, answer),
                    Some(Command::Respond { channel, bytes }) => {
                        // A peer that went away needs no answer.
                        let _ = self.swarm.behaviour_mut().sync.send_response(channel, bytes);
                    }
                },
                Some(ended) = self.sessions.join_next_with_id() => self.on_session_end(ended),
                _ = tick.tick() => self.dial(Instant::now()),
            }
        }
        self.sessions.shutdown().await;
    }

    fn peer(&self, peer_id: &PeerId) -> Option<ValidatorIx> {
        self.targets.iter().find(|(_, target)| target.peer_id == *peer_id).map(|(&ix, _)| ix)
    }

    fn dial(&mut self, now: Instant) {
        for (&ix, target) in &self.targets {
            let (Some(state), Some(address)) = (self.dialling.get_mut(&ix), &target.address) else {
                continue;
            };
            let slot = self.shared.slot(ix);
            let mine =
                self.shared.directory.me < ix || now.duration_since(state.down_since) >= FALLBACK_AFTER;
            let busy = state.attempt.is_some() || state.sessions > 0;
            if busy || !mine || now < state.next || slot.cut(now) {
                continue;
            }
            let options = DialOpts::peer_id(target.peer_id)
                .addresses(vec![address.clone()])
                .condition(PeerCondition::NotDialing)
                .allocate_new_port()
                .build();
            let attempt = options.connection_id();
            state.next = now + jitter(state.pause);
            state.pause = (state.pause * 2).min(PAUSE_MAX);
            match self.swarm.dial(options) {
                Ok(()) => state.attempt = Some(attempt),
                Err(error) => tracing::debug!(peer = %ix, %error, "cannot dial"),
            }
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connection(peer_id, connection_id, endpoint.is_dialer());
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_error(connection_id, peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, peer_id, error, .. } => {
                self.on_incoming_error(&send_back_addr, peer_id, &error);
            }
            SwarmEvent::ListenerError { error, .. } => {
                // Out of file descriptors, most likely: nobody can connect until that passes.
                tracing::error!(%error, "cannot accept connections");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.on_sync(event),
            _ => {}
        }
    }

    fn on_connection(&mut self, peer_id: PeerId, connection: ConnectionId, dialer: bool) {
        let ends = self.swarm.behaviour_mut().streams.take(connection);
        let (Some(peer), Some(ends)) = (self.peer(&peer_id), ends) else {
            self.swarm.close_connection(connection);
            return;
        };
        if self.shared.slot(peer).cut(Instant::now()) {
            self.end_attempt(peer, connection);
            self.swarm.close_connection(connection);
            return;
        }
        self.end_attempt(peer, connection);
        if let Some(state) = self.dialling.get_mut(&peer) {
            state.sessions += 1;
        }
        let session = Session { shared: Arc::clone(&self.shared), peer, dialer, ends };
        let task = self.sessions.spawn(async move { (connection, peer, session.run().await) });
        self.owners.insert(task.id(), (connection, peer));
    }

    fn end_attempt(&mut self, peer: ValidatorIx, connection: ConnectionId) {
        if let Some(state) = self.dialling.get_mut(&peer)
            && state.attempt == Some(connection)
        {
            state.attempt = None;
        }
    }

    fn on_session_end(&mut self, ended: Result<(Id, (ConnectionId, ValidatorIx, End)), JoinError>) {
        let (connection, peer, end) = match ended {
            Ok((id, done)) => {
                self.owners.remove(&id);
                done
            }
            Err(error) => {
                // A bug of ours, perhaps provoked by the peer: that connection ends, the node goes on.
                tracing::error!(%error, "a connection's task failed");
                let Some((connection, peer)) = self.owners.remove(&error.id()) else { return };
                (connection, peer, End::Malformed("task failed".into()))
            }
        };
        self.swarm.close_connection(connection);
        let now = Instant::now();
        let mut pause = jitter(PAUSE_MIN);
        match end {
            End::Refused(refusal) => {
                pause =
                    jitter(if refusal.code == Code::KeyInTwoPlaces { PAUSE_TAKEN } else { PAUSE_REFUSED });
                self.note_refusal(peer, refusal);
            }
            End::Malformed(reason) => {
                self.shared.metrics.malformed.add(1);
                let cut = self.shared.slot(peer).fault(now);
                tracing::warn!(%peer, reason, cut_s = cut.as_secs(), "peer misbehaved; cut off");
            }
            End::Slow => {
                self.shared.metrics.slow.add(1);
                tracing::warn!(%peer, "peer takes frames too slowly; connecting again");
            }
            End::Silent => {
                self.shared.slot(peer).unreach(Unreached::Mute);
                tracing::info!(%peer, "peer fell silent; connecting again");
            }
            End::Broken(reason) => {
                self.shared.slot(peer).unreach(Unreached::Broken);
                tracing::info!(%peer, reason, "connection ended");
            }
            End::Replaced => tracing::debug!(%peer, "connection replaced"),
        }
        if let Some(state) = self.dialling.get_mut(&peer) {
            state.sessions = state.sessions.saturating_sub(1);
            state.pause = PAUSE_MIN;
            state.next = now + pause;
            state.down_since = now;
        }
    }

    fn note_refusal(&self, peer: ValidatorIx, refusal: Refusal) {
        self.shared.metrics.refused.add(1);
        let text = refusal.to_string();
        let name = self.shared.directory.get(peer).map_or("?", |one| one.name.as_str());
        if self.shared.slot(peer).refuse(refusal) {
            tracing::warn!(%peer, name, refusal = text, "no connection with validator");
        }
        if self.shared.slot(peer).twin_is_news(Instant::now()) {
            tracing::error!(code = %Code::KeyInTwoPlaces, %peer, name, "a second process has the keys of a validator; it is refused");
        }
    }

    fn on_dial_error(&mut self, connection: ConnectionId, peer_id: Option<PeerId>, error: &DialError) {
        let Some(peer) = peer_id.and_then(|peer_id| self.peer(&peer_id)) else { return };
        self.end_attempt(peer, connection);
        tracing::debug!(%peer, %error, "dial failed");
        match error {
            DialError::Transport(_) if probe::closed(error) => {
                self.shared.slot(peer).unreach(Unreached::Closed);
            }
            DialError::Transport(_) => self.probe(peer),
            _ => {}
        }
        if let DialError::WrongPeerId { obtained, .. } = error {
            let detail = format!("another host answers at its address: {obtained}");
            self.note_refusal(peer, Refusal::new(Code::PeerIdentity, detail));
        }
    }

    /// Finds out whether the host of a peer that could not be dialled is there at all.
    fn probe(&self, peer: ValidatorIx) {
        let address =
            self.targets.get(&peer).and_then(|target| super::socket_address(target.address.as_ref()?));
        let Some(address) = address.filter(|_| self.shared.slot(peer).may_probe()) else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let how = probe::probe(address).await;
            shared.slot(peer).probed(how);
        });
    }

    fn on_incoming_error(&mut self, from: &Multiaddr, peer_id: Option<PeerId>, error: &ListenError) {
        let ListenError::Denied { cause } = error else {
            tracing::debug!(%from, %error, "incoming connection failed");
            return;
        };
        if cause.downcast_ref::<NotAllowed>().is_none() {
            tracing::debug!(%from, %error, "incoming connection over a limit");
            return;
        }
        self.shared.metrics.strangers.add(1);
        let now = Instant::now();
        if self.stranger_logged.is_none_or(|last| now.duration_since(last) >= STRANGER_LOG_PAUSE) {
            self.stranger_logged = Some(now);
            let peer = peer_id.map(|one| one.to_string()).unwrap_or_default();
            let total = self.shared.metrics.strangers.read();
            tracing::warn!(code = %Code::PeerNotAllowed, %from, peer, total, "stranger refused");
        }
    }

    fn on_request(&mut self, to: ValidatorIx, bytes: Vec<u8>, answer: oneshot::Sender<Vec<u8>>) {
        let connected = self.shared.slot(to).status().0;
        let Some(target) = self.targets.get(&to).filter(|_| connected) else { return };
        let id = self.swarm.behaviour_mut().sync.send_request(&target.peer_id, bytes);
        self.shared.metrics.requests_out.add(1);
        self.asked.insert(id, answer);
    }

    fn on_sync(&mut self, event: rr::Event<Vec<u8>, Vec<u8>>) {
        match event {
            rr::Event::Message { message: rr::Message::Response { request_id, response }, .. } => {
                if let Some(answer) = self.asked.remove(&request_id) {
                    // Nobody waits any more when the asker timed out.
                    let _ = answer.send(response);
                }
            }
            rr::Event::OutboundFailure { request_id, error, .. } => {
                tracing::debug!(%error, "sync request failed");
                self.asked.remove(&request_id);
            }
            rr::Event::Message { peer, message: rr::Message::Request { request, channel, .. }, .. } => {
                self.serve(peer, &request, channel);
            }
            rr::Event::InboundFailure { .. } | rr::Event::ResponseSent { .. } => {}
        }
    }

    /// Answers from the store on a blocking thread. Dropping the channel tells the peer to ask another.
    fn serve(&self, peer_id: PeerId, request: &[u8], channel: ResponseChannel<Vec<u8>>) {
        self.shared.metrics.requests_in.add(1);
        let Some(from) = self.peer(&peer_id).filter(|&ix| self.shared.slot(ix).status().0) else { return };
        let Ok(request) = decode::<SyncRequest>(request) else {
            self.shared.metrics.malformed.add(1);
            let cut = self.shared.slot(from).fault(Instant::now());
            tracing::warn!(peer = %from, cut_s = cut.as_secs(), "malformed sync request; cut off");
            if let Some(active) = self.shared.slot(from).active() {
                active.stop.notify_one();
            }
            return;
        };
        let Ok(permit) = Arc::clone(&self.serving).try_acquire_owned() else { return };
        let (inbox, to_self) = (Arc::clone(&self.shared.inbox), self.to_self.clone());
        tokio::spawn(async move {
            let answer =
                tokio::task::spawn_blocking(move || chain_core::codec::encode(&inbox.serve(from, request)));
            if let (Ok(Ok(bytes)), Some(to_self)) = (answer.await, to_self.upgrade()) {
                let _ = to_self.send(Command::Respond { channel, bytes }).await;
            }
            drop(permit);
        });
    }
}

/// Between half of a duration and all of it.
fn jitter(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the pause is merely regular.
    let _ = getrandom::fill(&mut random);
    pause / 2 + pause.mul_f64(f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX) / 2.0)
}
