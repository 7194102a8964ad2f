//! Hosts of one process meet over loopback.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain_core::code::Code;
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, PublicKey, SecretKey, Signature};
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx, View};
use chain_core::lane::BatchRef;
use consensus::Peers;
use consensus::message::{Message, Status};
use consensus::safety::HelloPreimage;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc};

use super::stranger::{Treatment, knock};
use super::test_support::secret;
use super::{NetworkConfig, NetworkHandle, start};
use crate::epoch::Directory;
use crate::link::{Frame, Inbox, Network, SyncRequest, SyncResponse, SyncedBatch};

const PATIENCE: Duration = Duration::from_secs(20);

fn ix(n: usize) -> ValidatorIx {
    ValidatorIx::new(u16::try_from(n).unwrap())
}

fn key(kind: u64, n: usize) -> SecretKey {
    secret(kind * 1_000 + n as u64)
}

fn chain(name: &str) -> ChainId {
    ChainId::new(Digest::tagged(name.as_bytes(), &[]))
}

/// Four validators on free ports.
fn committee() -> Arc<Committee> {
    let sockets: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let validators = sockets.iter().enumerate().map(|(n, socket)| Validator {
        name: format!("v{n}"),
        agency: format!("agency-{n}"),
        consensus_key: key(1, n).public(),
        network_key: key(2, n).public(),
        log_key: key(3, n).public(),
        address: format!("/ip4/127.0.0.1/tcp/{}", socket.local_addr().unwrap().port()),
        may_lead: true,
    });
    Arc::new(Committee::new(Epoch::ZERO, validators.collect()).unwrap())
}

#[derive(Debug)]
enum Heard {
    Attached,
    Up(ValidatorIx),
    Down(ValidatorIx),
    Frame(ValidatorIx, Frame),
}

struct Letterbox {
    chain_id: ChainId,
    consensus: SecretKey,
    heard: mpsc::UnboundedSender<Heard>,
    /// Permits to take frames; plenty unless a test holds them back.
    room: Semaphore,
}

impl Inbox for Letterbox {
    fn attached(&self, _: Arc<dyn Network>) {
        let _ = self.heard.send(Heard::Attached);
    }

    fn connected(&self, peer: ValidatorIx) {
        let _ = self.heard.send(Heard::Up(peer));
    }

    fn disconnected(&self, peer: ValidatorIx) {
        let _ = self.heard.send(Heard::Down(peer));
    }

    fn deliver(&self, from: ValidatorIx, frame: Frame) -> BoxFuture<'static, ()> {
        let _ = self.heard.send(Heard::Frame(from, frame));
        if self.room.try_acquire().map(|permit| permit.forget()).is_err() {
            return futures::future::pending().boxed();
        }
        async {}.boxed()
    }

    fn serve(&self, from: ValidatorIx, request: SyncRequest) -> SyncResponse {
        let SyncRequest::Batches { from: seq, .. } = request else { return SyncResponse::Nothing };
        let bytes = vec![u8::try_from(from.get()).unwrap(); usize::try_from(seq).unwrap()];
        SyncResponse::Batches(vec![SyncedBatch { bytes, recorded: None }; 3])
    }

    fn hello(&self, network_key: PublicKey, challenge: Digest) -> BoxFuture<'static, Option<Signature>> {
        let preimage = HelloPreimage { chain_id: self.chain_id, epoch: Epoch::ZERO, network_key, challenge };
        let signature = self.consensus.sign(&preimage);
        async move { Some(signature) }.boxed()
    }
}

struct Host {
    net: NetworkHandle,
    heard: mpsc::UnboundedReceiver<Heard>,
}

struct Options {
    chain_id: ChainId,
    consensus: SecretKey,
    room: usize,
    addresses: BTreeMap<String, String>,
    /// Where to listen, if not where the committee says.
    listen: Option<String>,
}

fn options(n: usize) -> Options {
    Options {
        chain_id: chain("city"),
        consensus: key(1, n),
        room: 1_000_000,
        addresses: BTreeMap::new(),
        listen: None,
    }
}

fn directory(committee: &Arc<Committee>, n: usize) -> Directory {
    Directory::new(committee.clone(), Vec::new(), &committee.validators()[n])
}

async fn host_with(committee: &Arc<Committee>, n: usize, options: Options) -> Host {
    let (heard, receiver) = mpsc::unbounded_channel();
    let inbox = Letterbox {
        chain_id: options.chain_id,
        consensus: options.consensus,
        heard,
        room: Semaphore::new(options.room),
    };
    let config = NetworkConfig {
        listen: options.listen.unwrap_or_else(|| committee.validators()[n].address.clone()),
        directory: directory(committee, n),
        addresses: options.addresses,
        chain_id: options.chain_id,
        network_key: key(2, n),
        process: super::process().unwrap(),
        on_failure: Box::new(|reason| panic!("{reason}")),
    };
    Host { net: start(config, Arc::new(inbox)).await.unwrap(), heard: receiver }
}

async fn host(committee: &Arc<Committee>, n: usize) -> Host {
    host_with(committee, n, options(n)).await
}

impl Host {
    async fn next(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("nothing heard in time").unwrap()
    }

    async fn up(&mut self, peer: usize) {
        loop {
            if matches!(self.next().await, Heard::Up(one) if one == ix(peer)) {
                return;
            }
        }
    }

    async fn all_up(&mut self, peers: impl IntoIterator<Item = usize>) {
        let mut missing: Vec<ValidatorIx> = peers.into_iter().map(ix).collect();
        while !missing.is_empty() {
            if let Heard::Up(peer) = self.next().await {
                missing.retain(|&one| one != peer);
            }
        }
    }

    async fn down(&mut self, peer: usize) {
        loop {
            if matches!(self.next().await, Heard::Down(one) if one == ix(peer)) {
                return;
            }
        }
    }

    async fn frame(&mut self) -> (ValidatorIx, Frame) {
        loop {
            if let Heard::Frame(from, frame) = self.next().await {
                return (from, frame);
            }
        }
    }

    async fn refused(&self, peer: usize) -> Code {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let peers = self.net.peers();
            let status = peers.iter().find(|one| one.validator == ix(peer)).unwrap();
            if let Some(refusal) = &status.refused {
                assert!(!status.connected);
                return refusal.code;
            }
            assert!(Instant::now() < deadline, "no refusal in time");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for a counter: the task that counts comes after the inbox has heard.
    async fn counted(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(name) < 1.0 {
            assert!(Instant::now() < deadline, "{name} stayed 0");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn metric(&self, name: &str) -> f64 {
        self.net.metrics().iter().find(|one| one.name == name).unwrap().value
    }
}

fn status(committed: u64) -> Frame {
    Frame::Message(Arc::new(Message::Status(Box::new(Status {
        epoch: Epoch::ZERO,
        view: View::ZERO,
        committed: Height::new(committed),
        executed: Height::ZERO,
        certificate: None,
        high_qc: None,
        awaits_echo: false,
    }))))
}

fn committed(frame: &Frame) -> u64 {
    match frame {
        Frame::Message(message) => match &**message {
            Message::Status(status) => status.committed.get(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_has_its_network_before_it_hears_of_anybody() {
    let committee = committee();
    let mut hosts = Vec::new();
    for n in 0..4 {
        hosts.push(host(&committee, n).await);
    }
    for (n, host) in hosts.iter_mut().enumerate() {
        assert!(matches!(host.next().await, Heard::Attached), "host {n}");
        host.all_up((0..4).filter(|other| *other != n)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hosts_exchange_votes_batches_and_sync() {
    let committee = committee();
    let mut hosts = [host(&committee, 0).await, host(&committee, 1).await, host(&committee, 2).await];
    for (n, host) in hosts.iter_mut().enumerate() {
        host.all_up((0..3).filter(|&peer| peer != n)).await;
    }
    hosts[0].net.send(Peers::All, status(7));
    let batch: Arc<[u8]> = (0..1_000_000_u32).map(|n| n.to_be_bytes()[3]).collect::<Vec<u8>>().into();
    for host in &mut hosts[1..] {
        let (from, frame) = host.frame().await;
        assert_eq!((from, committed(&frame)), (ix(0), 7));
        host.net.send(Peers::One(ix(0)), Frame::Batch(Arc::clone(&batch)));
    }
    for _ in 1..3 {
        let (_, frame) = hosts[0].frame().await;
        assert!(matches!(frame, Frame::Batch(bytes) if bytes == batch));
    }

    let tip = BatchRef { epoch: Epoch::ZERO, author: ix(1), seq: 9, digest: Digest::ZERO };
    for size in [0_u64, 3, 1_000_000] {
        let answer = hosts[2].net.request(ix(1), SyncRequest::Batches { from: size, tip }).await.unwrap();
        let bytes = vec![2; usize::try_from(size).unwrap()];
        assert_eq!(answer, SyncResponse::Batches(vec![SyncedBatch { bytes, recorded: None }; 3]));
    }
    assert!(
        hosts[2].net.request(ix(3), SyncRequest::Batches { from: 1, tip }).await.is_err(),
        "not connected"
    );
    let connected: Vec<bool> = hosts[0].net.peers().iter().map(|one| one.connected).collect();
    assert_eq!(connected, [true, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused_before_any_protocol_and_counted() {
    let committee = committee();
    let host = host(&committee, 0).await;
    let treatment = knock(host.net.listening().clone(), PATIENCE).await;
    assert_eq!(treatment, Treatment::RefusedBeforeProtocols);
    host.counted("peer_strangers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_genesis_is_refused_with_its_code_on_both_sides() {
    let committee = committee();
    let one = host(&committee, 0).await;
    let other = host_with(&committee, 1, Options { chain_id: chain("village"), ..options(1) }).await;
    assert_eq!(one.refused(1).await, Code::PeerOtherGenesis);
    assert_eq!(other.refused(0).await, Code::PeerOtherGenesis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_consensus_key_is_refused_on_both_sides() {
    let committee = committee();
    let one = host(&committee, 0).await;
    let other = host_with(&committee, 1, Options { consensus: key(9, 1), ..options(1) }).await;
    assert_eq!(one.refused(1).await, Code::PeerIdentity);
    assert_eq!(other.refused(0).await, Code::PeerIdentity);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_batch_ends_the_connection_and_cuts_the_peer_off() {
    let committee = committee();
    let (mut zero, mut one) = (host(&committee, 0).await, host(&committee, 1).await);
    zero.up(1).await;
    one.up(0).await;
    zero.net.send(Peers::All, Frame::Batch(vec![0; 2 * 1024 * 1024].into()));
    one.down(0).await;
    one.counted("peer_malformed").await;
    zero.up(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_comes_back_is_connected_again() {
    let committee = committee();
    let (mut zero, one) = (host(&committee, 0).await, host(&committee, 1).await);
    zero.up(1).await;
    for round in 0..3 {
        one_is_gone(&mut zero, if round == 0 { Some(&one) } else { None }).await;
        let mut again = host(&committee, 1).await;
        let since = Instant::now();
        zero.up(1).await;
        again.up(0).await;
        assert!(since.elapsed() < Duration::from_secs(10));
        again.net.send(Peers::One(ix(0)), status(round));
        assert_eq!(committed(&zero.frame().await.1), round);
        again.net.shutdown().await;
    }
}

async fn one_is_gone(zero: &mut Host, first: Option<&Host>) {
    if let Some(first) = first {
        first.net.shutdown().await;
    }
    zero.down(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_higher_index_dials_when_the_lower_cannot() {
    let committee = committee();
    let dead = BTreeMap::from([(committee.validators()[1].name.clone(), "/ip4/127.0.0.1/tcp/9".to_owned())]);
    let mut zero = host_with(&committee, 0, Options { addresses: dead, ..options(0) }).await;
    let mut one = host(&committee, 1).await;
    zero.up(1).await;
    one.up(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_with_the_same_keys_is_kept_out_until_the_first_is_gone() {
    let committee = committee();
    let mut zero = host(&committee, 0).await;
    let mut first = host(&committee, 1).await;
    zero.up(1).await;
    first.up(0).await;
    let elsewhere = Options { listen: Some("/ip4/127.0.0.1/tcp/0".to_owned()), ..options(1) };
    let mut second = host_with(&committee, 1, elsewhere).await;
    let since = Instant::now();
    loop {
        let told = second.net.peers().into_iter().find(|one| one.validator == ix(0)).unwrap();
        let seen = zero.net.peers().into_iter().find(|one| one.validator == ix(1)).unwrap();
        assert!(!told.connected && seen.connected);
        if seen.twin && told.refused.is_some_and(|refusal| refusal.code == Code::KeyInTwoPlaces) {
            break;
        }
        assert!(since.elapsed() < 3 * PATIENCE, "nobody notices two processes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    first.net.shutdown().await;
    zero.down(1).await;
    second.up(0).await;
    zero.up(1).await;
    let seen = zero.net.peers().into_iter().find(|one| one.validator == ix(1)).unwrap();
    assert!(!seen.twin, "one is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named() {
    let committee = committee();
    let _first = host(&committee, 0).await;
    let (heard, _receiver) = mpsc::unbounded_channel();
    let inbox = Letterbox { chain_id: chain("city"), consensus: key(1, 0), heard, room: Semaphore::new(1) };
    let config = NetworkConfig {
        listen: committee.validators()[0].address.clone(),
        directory: directory(&committee, 0),
        addresses: BTreeMap::new(),
        chain_id: chain("city"),
        network_key: key(2, 0),
        process: super::process().unwrap(),
        on_failure: Box::new(|_| ()),
    };
    let refusal = start(config, Arc::new(inbox)).await.err().unwrap();
    assert_eq!(refusal.code, Code::PortInUse);
}

/// The slow host takes one frame and no more. The sender's queue fills, drops, and the connection is made
/// anew; a third host hears everything meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_reconnected_and_delays_nobody() {
    let committee = committee();
    let mut zero = host(&committee, 0).await;
    let mut slow = host_with(&committee, 1, Options { room: 1, ..options(1) }).await;
    let mut quick = host(&committee, 2).await;
    slow.up(0).await;
    quick.up(0).await;
    zero.all_up([1, 2]).await;
    let batch: Arc<[u8]> = vec![7; 1024 * 1024].into();
    let began = Instant::now();
    while zero.metric("peer_slow") < 1.0 {
        assert!(began.elapsed() < Duration::from_secs(40), "never judged slow");
        zero.net.send(Peers::All, Frame::Batch(Arc::clone(&batch)));
        let (from, _) = quick.frame().await;
        assert_eq!(from, ix(0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    zero.down(1).await;
    zero.up(1).await;
}

/// A proxy that can swallow everything while keeping the connections open, as a cut cable does.
async fn proxy(to: String, frozen: tokio::sync::watch::Receiver<bool>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = tokio::net::TcpStream::connect(&to).await else { continue };
            let (near, far) = (near.into_split(), far.into_split());
            // A connection made while frozen stays dead; one made before dies when the freeze begins.
            tokio::spawn(forward(near.0, far.1, frozen.clone()));
            tokio::spawn(forward(far.0, near.1, frozen.clone()));
        }
    });
    format!("/ip4/127.0.0.1/tcp/{port}")
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut frozen: tokio::sync::watch::Receiver<bool>,
) {
    let cut = async { frozen.wait_for(|&frozen| frozen).await.is_ok() };
    tokio::select! {
        _ = tokio::io::copy(&mut from, &mut to) => return,
        _ = cut => {}
    }
    // Both sockets stay open and mute.
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_are_noticed_and_healed_within_ten_seconds() {
    let committee = committee();
    let (freeze, frozen) = tokio::sync::watch::channel(false);
    let port = committee.validators()[1].address.rsplit('/').next().unwrap().to_owned();
    let detour = proxy(format!("127.0.0.1:{port}"), frozen).await;
    let addresses = BTreeMap::from([(committee.validators()[1].name.clone(), detour)]);
    let mut zero = host_with(&committee, 0, Options { addresses, ..options(0) }).await;
    let mut one = host(&committee, 1).await;
    zero.up(1).await;
    one.up(0).await;
    freeze.send(true).unwrap();
    let since = Instant::now();
    zero.down(1).await;
    one.down(0).await;
    freeze.send(false).unwrap();
    zero.up(1).await;
    one.up(0).await;
    assert!(since.elapsed() < Duration::from_secs(14), "{:?}", since.elapsed());
    zero.net.send(Peers::All, status(3));
    assert_eq!(committed(&one.frame().await.1), 3);
}
