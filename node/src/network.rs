//! The network between validators: libp2p over TCP, Noise and Yamux, and nothing else of libp2p.
//!
//! Only validators, of this epoch or known to the ledger, get past the transport handshake; every other key is
//! refused before any protocol is negotiated. Then HELLO ([`hello`]) proves genesis and consensus key, and two
//! long-lived streams open: votes and data. Sync questions take a stream each. The validator with the lower index
//! dials; the other one too when it has waited in vain. A dead connection is noticed within six seconds and
//! replaced within ten.
//!
//! # Bounds
//! | what | bound | beyond it |
//! |---|---|---|
//! | votes waiting for one peer | 4,096 frames, 8 MiB | oldest dropped; reconnect after 5 s of that |
//! | data waiting for one peer | 1,024 frames, 24 MiB, shared between peers | the same |
//! | frame on the votes stream | 512 KiB | peer cut off, 1 s doubling to 60 s |
//! | frame on the data stream | 4 MiB, a batch 1 MiB + 1 KiB | the same |
//! | frames taken from one peer | one per stream until the inbox takes it | TCP pushes back |
//! | sync requests to one peer | 4, ten seconds each | the next waits |
//! | sync requests served | 4 of all peers together | not answered, the peer asks another |
//! | connections | 2 per peer, 128 in handshake | refused |
//! | streams of a connection | 32 | refused by Yamux |

pub mod hello;
mod hub;
mod metrics;
mod outbox;
mod peers;
mod probe;
mod session;
pub mod stranger;
mod streams;
mod sync;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::codec::{decode, encode};
use chain_core::crypto::{Digest, PublicKey, SecretKey};
use chain_core::id::{ChainId, ValidatorIx};
use consensus::Peers;
use consensus::message::Message;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, SwarmBuilder, identity, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};

use crate::epoch::Directory;
use crate::handle::Metric;
use crate::link::{Frame, Inbox, Network, NoAnswer, PeerConnection, SyncRequest, SyncResponse};
use hub::{Behaviour, Command, Hub, Target};
use metrics::Metrics;
use peers::Slot;

/// How long a sync question may take.
pub const SYNC_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for TCP, Noise and Yamux together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest time for the peer to take one piece of a frame.
const WRITE_TIMEOUT: Duration = Duration::from_secs(6);
/// Streams of one connection: three of ours, sync both ways, and some air.
const STREAMS_MAX: usize = 32;
/// Commands waiting for the hub; their senders wait.
const COMMANDS_MAX: usize = 64;

/// What the network needs to know.
pub struct NetworkConfig {
    /// Where to listen, e.g. `/ip4/0.0.0.0/tcp/7101`.
    pub listen: String,
    /// Whom to connect with, this node included, with keys and addresses.
    pub directory: Directory,
    /// Where to dial validators whose address differs from the directory's, by name.
    pub addresses: BTreeMap<String, String>,
    /// The chain.
    pub chain_id: ChainId,
    /// This host's key; the directory must hold its public half at its own place.
    pub network_key: SecretKey,
    /// This process, by a number that no other one has ([`process`]).
    pub process: Digest,
    /// Called when the network's task ends without having been told to: the process must end too, since a
    /// validator that hears nobody only looks alive.
    pub on_failure: Box<dyn FnOnce(String) + Send>,
}

/// What sessions share.
struct Shared {
    directory: Directory,
    chain_id: ChainId,
    network_key: PublicKey,
    process: Digest,
    inbox: Arc<dyn Inbox>,
    slots: Vec<Slot>,
    metrics: Metrics,
}

impl Shared {
    fn slot(&self, ix: ValidatorIx) -> &Slot {
        &self.slots[ix.index()]
    }
}

/// Draws the number of a process: a validator's keys are accepted from one process at a time.
///
/// # Errors
/// `INTERNAL` when the system has no randomness.
pub fn process() -> Result<Digest, Refusal> {
    hello::random_digest().map_err(|error| Refusal::new(Code::Internal, format!("no randomness: {error}")))
}

/// The running network.
#[derive(Clone)]
pub struct NetworkHandle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    listening: Multiaddr,
}

/// Starts to listen and to dial. Must be called inside a tokio runtime.
///
/// # Errors
/// `CONFIG_INVALID` for an address or a key that cannot be; `PORT_IN_USE`.
pub async fn start(config: NetworkConfig, inbox: Arc<dyn Inbox>) -> Result<NetworkHandle, Refusal> {
    let NetworkConfig { listen, directory, addresses, chain_id, network_key, process, on_failure } = config;
    let me = directory.me;
    let own = directory.get(me).map(|one| one.network_key);
    if own != Some(network_key.public()) {
        let detail = format!("the network key is not the one registered for validator {me}");
        return Err(Refusal::new(Code::ConfigInvalid, detail));
    }
    let targets = targets(&directory, &addresses)?;
    let peers: Vec<PeerId> = targets.values().map(|target| target.peer_id).collect();
    let mut swarm = swarm(&network_key, &peers)?;
    let listening = listen_on(&mut swarm, &listen).await?;
    tracing::info!(address = %listening, peer_id = %swarm.local_peer_id(), validator = %me, "listening for peers");

    let shared = Arc::new(Shared {
        slots: directory.indices().map(|_| Slot::default()).collect(),
        directory,
        chain_id,
        network_key: network_key.public(),
        process,
        inbox,
        metrics: Metrics::default(),
    });
    let (commands, queue) = mpsc::channel(COMMANDS_MAX);
    let hub = Hub::new(swarm, Arc::clone(&shared), targets, queue, commands.downgrade());
    let handle = NetworkHandle { shared, commands, listening };
    handle.shared.inbox.attached(Arc::new(handle.clone()));
    let task = tokio::spawn(hub.run());
    tokio::spawn(async move {
        if let Err(error) = task.await
            && !error.is_cancelled()
        {
            on_failure(format!("the network task failed: {error}"));
        }
    });
    Ok(handle)
}

impl std::fmt::Debug for NetworkHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NetworkHandle({} at {})", self.shared.directory.me, self.listening)
    }
}

impl NetworkHandle {
    /// The address listened on, with the port that was given.
    pub fn listening(&self) -> &Multiaddr {
        &self.listening
    }

    /// Counters for `/metrics`.
    pub fn metrics(&self) -> Vec<Metric> {
        self.shared.metrics.samples()
    }

    /// Closes every connection and ends the task.
    pub async fn shutdown(&self) {
        let _ = self.commands.send(Command::Shutdown).await;
        self.commands.closed().await;
    }

    fn push(&self, to: ValidatorIx, frame: &Frame, bytes: &Arc<[u8]>) {
        let Some(active) = self.shared.slots.get(to.index()).and_then(Slot::active) else { return };
        let outbox = match frame.stream() {
            crate::link::Stream::Votes => &active.votes,
            crate::link::Stream::Data => &active.data,
        };
        let status = matches!(frame, Frame::Message(message) if matches!(**message, Message::Status(_)));
        let dropped = outbox.push(Arc::clone(bytes), status, Instant::now());
        self.shared.metrics.frames_out.add(1);
        self.shared.metrics.dropped.add(dropped);
    }
}

impl Network for NetworkHandle {
    fn metrics(&self) -> Vec<Metric> {
        Self::metrics(self)
    }

    fn send(&self, to: Peers, frame: Frame) {
        let bytes: Arc<[u8]> = match frame.to_bytes() {
            Ok(bytes) => Arc::from(bytes),
            Err(error) => {
                // The engine bounds its messages; never silent, so that such a bug is found.
                tracing::error!(%error, "message over its limit not sent");
                return;
            }
        };
        match to {
            Peers::One(one) => self.push(one, &frame, &bytes),
            Peers::All => {
                let directory = &self.shared.directory;
                let everybody = directory.indices().filter(|&ix| ix != directory.me);
                // Guests follow what is certified; votes and data are the validators' own.
                everybody
                    .filter(|&ix| !directory.is_guest(ix) || is_for_guests(&frame))
                    .for_each(|ix| self.push(ix, &frame, &bytes));
            }
        }
    }

    fn request(
        &self,
        to: ValidatorIx,
        request: SyncRequest,
    ) -> BoxFuture<'static, Result<SyncResponse, NoAnswer>> {
        let Some(slot) = self.shared.slots.get(to.index()) else { return async { Err(NoAnswer) }.boxed() };
        let (permits, commands) = (Arc::clone(&slot.requests), self.commands.clone());
        let ask = async move {
            let _permit = permits.acquire_owned().await.map_err(|_| NoAnswer)?;
            let bytes = encode(&request).map_err(|_| NoAnswer)?;
            let (answer, answered) = oneshot::channel();
            commands.send(Command::Request { to, bytes, answer }).await.map_err(|_| NoAnswer)?;
            let bytes = answered.await.map_err(|_| NoAnswer)?;
            decode(&bytes).map_err(|_| NoAnswer)
        };
        async { tokio::time::timeout(SYNC_TIMEOUT, ask).await.map_err(|_| NoAnswer)? }.boxed()
    }

    fn peers(&self) -> Vec<PeerConnection> {
        let directory = &self.shared.directory;
        let others = directory.committee.indices().filter(|&ix| ix != directory.me);
        others
            .map(|validator| {
                let slot = self.shared.slot(validator);
                let (connected, refused) = slot.status();
                let twin = slot.twin(Instant::now());
                PeerConnection { validator, connected, refused, unreached: slot.unreached(), twin }
            })
            .collect()
    }
}

/// The libp2p identity of a network key.
///
/// # Errors
/// `CONFIG_INVALID` when the key is no curve point.
pub fn peer_id(key: &PublicKey) -> Result<PeerId, Refusal> {
    let key = identity::ed25519::PublicKey::try_from_bytes(key.as_bytes()).map_err(|error| {
        Refusal::new(Code::ConfigInvalid, format!("network key {}…: {error}", key.short()))
    })?;
    Ok(identity::PublicKey::from(key).to_peer_id())
}

/// Where to dial everybody else. A guest whose address is of no use connects by itself, or not at all.
fn targets(
    directory: &Directory,
    addresses: &BTreeMap<String, String>,
) -> Result<BTreeMap<ValidatorIx, Target>, Refusal> {
    let mut targets = BTreeMap::new();
    for ix in directory.indices().filter(|&ix| ix != directory.me) {
        let Some(validator) = directory.get(ix) else { continue };
        let address = match parse_address(addresses.get(&validator.name).unwrap_or(&validator.address)) {
            Ok(address) => Some(address),
            Err(_) if directory.is_guest(ix) => None,
            Err(refusal) => return Err(refusal),
        };
        targets.insert(ix, Target { peer_id: peer_id(&validator.network_key)?, address });
    }
    Ok(targets)
}

/// Whether a frame for everybody is for guests too.
fn is_for_guests(frame: &Frame) -> bool {
    matches!(frame, Frame::Message(message)
        if matches!(**message, Message::Status(_) | Message::Certificate(_) | Message::Entry(_)))
}

fn parse_address(text: &str) -> Result<Multiaddr, Refusal> {
    let invalid = |why: String| Refusal::new(Code::ConfigInvalid, format!("address {text:?}: {why}"));
    let address: Multiaddr = text.parse().map_err(|error| invalid(format!("{error}")))?;
    socket_address(&address).ok_or_else(|| invalid("wants /ip4/<address>/tcp/<port> or /ip6/…".into()))?;
    Ok(address)
}

/// The TCP address that a peer is dialled at.
fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

fn swarm(key: &SecretKey, peers: &[PeerId]) -> Result<Swarm<Behaviour>, Refusal> {
    let internal = |error: String| Refusal::new(Code::Internal, error);
    let mut seed = key.seed();
    let keypair =
        identity::Keypair::ed25519_from_bytes(&mut seed[..]).map_err(|error| internal(error.to_string()))?;
    let multiplexer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        config
    };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, multiplexer)
        .map_err(|error| internal(error.to_string()))?
        .with_behaviour(|_| Behaviour::new(peers))
        .map_err(|error| internal(error.to_string()))?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::from_secs(365 * 24 * 60 * 60))
                .with_max_negotiating_inbound_streams(16)
        })
        .with_connection_timeout(CONNECT_TIMEOUT)
        .build();
    Ok(swarm)
}

async fn listen_on(swarm: &mut Swarm<Behaviour>, listen: &str) -> Result<Multiaddr, Refusal> {
    let address = parse_address(listen)?;
    let in_use = |error: String| Refusal::new(Code::PortInUse, format!("cannot listen on {listen}: {error}"));
    if let Some(socket) = socket_address(&address) {
        // libp2p listens with SO_REUSEPORT, which would let two nodes share a port unnoticed.
        TcpListener::bind(socket).map_err(|error| in_use(error.to_string()))?;
    }
    swarm.listen_on(address).map_err(|error| in_use(error.to_string()))?;
    let listening = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => return Ok(address),
                SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                    return Err(in_use(error.to_string()));
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(CONNECT_TIMEOUT, listening)
        .await
        .map_err(|_| in_use("no listener in time".into()))?
}
