//! HELLO: what two validators prove to each other before any other byte is read.
//!
//! Both sides at once: `Hello` (protocol version, chain, epoch, a random challenge, the process), then `Answer`
//! (a signature of the consensus key over the sender's network key and the receiver's challenge, or why not),
//! then `Verdict`. The transport has proved the network key already; HELLO binds it to the validator's
//! consensus key, to one genesis and to one process: a second one with the same keys is turned away. Frames are at
//! most [`HELLO_BYTES_MAX`] bytes; the whole exchange is timed by its caller.

use std::io;
use std::time::Duration;

use chain_core::code::{Code, Refusal};
use chain_core::codec::{CodecError, Wire, decode, encode};
use chain_core::crypto::{Digest, PublicKey, Signature};
use chain_core::id::{ChainId, Epoch};
use consensus::safety::HelloPreimage;
use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncWrite};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::WRITE_TIMEOUT;
use super::wire::{read_frame, write_frame};

/// Version of everything said between validators; the first byte of a `Hello`.
pub const PROTOCOL_VERSION: u8 = 2;
/// How long a refused peer has to read why.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// Most bytes of one frame of the exchange.
pub const HELLO_BYTES_MAX: usize = 256;

/// The first frame.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hello {
    /// The chain.
    pub chain_id: ChainId,
    /// The sender's epoch.
    pub epoch: Epoch,
    /// What the receiver has to sign over.
    pub challenge: Digest,
    /// Drawn when the sender's process started: tells it from another one with the same keys.
    pub process: Digest,
}

impl Wire for Hello {
    const LIMIT: usize = HELLO_BYTES_MAX;
    const VERSION: u8 = PROTOCOL_VERSION;
}

/// The second frame.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Answer {
    /// The consensus key's signature over [`HelloPreimage`].
    Proof(Signature),
    /// The exchange ends here.
    Refused(Code),
}

impl Wire for Answer {
    const LIMIT: usize = HELLO_BYTES_MAX;
}

/// The third frame.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Verdict {
    /// The proof verified.
    Welcome,
    /// It did not.
    Refused(Code),
}

impl Wire for Verdict {
    const LIMIT: usize = HELLO_BYTES_MAX;
}

/// What one side brings to the exchange.
pub(super) struct Terms<'a> {
    pub(super) chain_id: ChainId,
    pub(super) epoch: Epoch,
    /// As the transport proved it.
    pub(super) peer_network_key: PublicKey,
    /// Of the validator with that network key.
    pub(super) peer_consensus_key: PublicKey,
    /// This node's process.
    pub(super) process: Digest,
    /// Whether a process that proved its keys may connect.
    pub(super) admit: &'a (dyn Fn(&Digest) -> Result<(), Refusal> + Send + Sync),
    /// Signs this node's own proof for a challenge.
    pub(super) sign: &'a (dyn Fn(Digest) -> BoxFuture<'static, Option<Signature>> + Send + Sync),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    /// One side refused the other.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The stream ended or broke.
    #[error("stream broke during HELLO")]
    Io(#[from] io::Error),
}

/// Runs the exchange. `Ok` means that both sides accepted; it names the peer's process.
pub(super) async fn exchange<S>(io: &mut S, terms: &Terms<'_>) -> Result<Digest, HelloError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let challenge = random_digest()?;
    let mine = Hello { chain_id: terms.chain_id, epoch: terms.epoch, challenge, process: terms.process };
    send(io, &mine).await?;
    let theirs = match check_hello(&read_frame(io, HELLO_BYTES_MAX, || ()).await?, terms) {
        Ok(hello) => hello,
        Err(refusal) => {
            // The peer may be gone already; what counts is our own verdict.
            let _ = send(io, &Answer::Refused(refusal.code)).await;
            return Err(refusal.into());
        }
    };
    match (terms.sign)(theirs.challenge).await {
        Some(signature) => send(io, &Answer::Proof(signature)).await?,
        None => {
            let _ = send(io, &Answer::Refused(Code::PeerIdentity)).await;
            return Err(Refusal::new(Code::PeerIdentity, "this node has no consensus key to show").into());
        }
    }
    let signature = match receive::<Answer, _>(io).await? {
        Answer::Proof(signature) => signature,
        Answer::Refused(code) => return Err(refused_by_peer(code).into()),
    };
    let preimage = HelloPreimage {
        chain_id: terms.chain_id,
        epoch: theirs.epoch,
        network_key: terms.peer_network_key,
        challenge,
    };
    if !terms.peer_consensus_key.verify(&preimage, &signature) {
        let _ = send(io, &Verdict::Refused(Code::PeerIdentity)).await;
        let detail = format!("no proof by consensus key {}…", terms.peer_consensus_key.short());
        return Err(Refusal::new(Code::PeerIdentity, detail).into());
    }
    if let Err(refusal) = (terms.admit)(&theirs.process) {
        // Only this side knows why: the connection stays until the peer has read it and hung up.
        let _ = send(io, &Verdict::Refused(refusal.code)).await;
        let hung_up = async { while receive::<Verdict, _>(io).await.is_ok() {} };
        let _ = timeout(READ_TIMEOUT, hung_up).await;
        return Err(refusal.into());
    }
    send(io, &Verdict::Welcome).await?;
    match receive::<Verdict, _>(io).await? {
        Verdict::Welcome => Ok(theirs.process),
        Verdict::Refused(code) => Err(refused_by_peer(code).into()),
    }
}

fn check_hello(bytes: &[u8], terms: &Terms<'_>) -> Result<Hello, Refusal> {
    let hello: Hello = decode(bytes).map_err(|error| match error {
        CodecError::Version { got, want } => {
            Refusal::new(Code::PeerVersion, format!("peer speaks version {got}, this node {want}"))
        }
        other => Refusal::new(Code::PeerVersion, format!("no HELLO of this protocol: {other}")),
    })?;
    if hello.chain_id != terms.chain_id {
        let detail = format!("peer runs genesis {}, this node {}", hello.chain_id, terms.chain_id);
        return Err(Refusal::new(Code::PeerOtherGenesis, detail));
    }
    Ok(hello)
}

/// A peer's code is believed only if it is one that a HELLO can end with.
fn refused_by_peer(code: Code) -> Refusal {
    let code = match code {
        Code::KeyInTwoPlaces => {
            return Refusal::new(code, "it is connected with another process that has this node's keys");
        }
        Code::PeerOtherGenesis | Code::PeerVersion | Code::PeerNotAllowed => code,
        _ => Code::PeerIdentity,
    };
    Refusal::new(code, "the peer refused this node")
}

async fn send<T: Wire, S: AsyncWrite + Unpin>(io: &mut S, value: &T) -> io::Result<()> {
    let bytes = encode(value).map_err(io::Error::other)?;
    write_frame(io, &bytes, WRITE_TIMEOUT).await
}

async fn receive<T: Wire, S: AsyncRead + Unpin>(io: &mut S) -> Result<T, HelloError> {
    let bytes = read_frame(io, HELLO_BYTES_MAX, || ()).await?;
    Ok(decode(&bytes)
        .map_err(|error| Refusal::new(Code::PeerIdentity, format!("malformed HELLO: {error}")))?)
}

pub(super) fn random_digest() -> io::Result<Digest> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(Digest::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{duplex, secret};
    use super::*;
    use chain_core::crypto::SecretKey;
    use futures::FutureExt as _;

    struct Side {
        chain: ChainId,
        consensus: u64,
        network: u64,
        /// Whether it admits the other side's process.
        admits: bool,
    }

    async fn run(
        side: Side,
        peer_consensus: PublicKey,
        peer_network: PublicKey,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Result<Digest, HelloError> {
        let key: std::sync::Arc<SecretKey> = std::sync::Arc::new(secret(side.consensus));
        let network_key = secret(side.network).public();
        let chain_id = side.chain;
        let sign = move |challenge| {
            let preimage = HelloPreimage { chain_id, epoch: Epoch::ZERO, network_key, challenge };
            let signature = key.sign(&preimage);
            async move { Some(signature) }.boxed()
        };
        let terms = Terms {
            chain_id,
            epoch: Epoch::ZERO,
            peer_network_key: peer_network,
            peer_consensus_key: peer_consensus,
            process: Digest::tagged(b"process", &[&side.network.to_be_bytes()]),
            admit: &|_| if side.admits { Ok(()) } else { Err(Refusal::new(Code::KeyInTwoPlaces, "taken")) },
            sign: &sign,
        };
        exchange(io, &terms).await
    }

    fn chain(name: &str) -> ChainId {
        ChainId::new(Digest::tagged(name.as_bytes(), &[]))
    }

    fn code(result: Result<Digest, HelloError>) -> Option<Code> {
        match result {
            Ok(_) => None,
            Err(HelloError::Refused(refusal)) => Some(refusal.code),
            Err(HelloError::Io(error)) => panic!("{error}"),
        }
    }

    async fn meet(a: Side, b: Side, a_expects: u64, b_expects: u64) -> (Option<Code>, Option<Code>) {
        let (mut left, mut right) = duplex();
        let (a_net, b_net) = (secret(a.network).public(), secret(b.network).public());
        let (a_key, b_key) = (secret(a_expects).public(), secret(b_expects).public());
        let (a, b) = futures::join!(run(a, a_key, b_net, &mut left), run(b, b_key, a_net, &mut right));
        (code(a), code(b))
    }

    #[tokio::test]
    async fn two_validators_of_one_genesis_accept_each_other() {
        let a = Side { admits: true, chain: chain("one"), consensus: 1, network: 11 };
        let b = Side { admits: true, chain: chain("one"), consensus: 2, network: 12 };
        assert_eq!(meet(a, b, 2, 1).await, (None, None));
    }

    #[tokio::test]
    async fn a_second_process_is_refused_and_told_why() {
        let a = Side { admits: false, chain: chain("one"), consensus: 1, network: 11 };
        let b = Side { admits: true, chain: chain("one"), consensus: 2, network: 12 };
        let want = Some(Code::KeyInTwoPlaces);
        assert_eq!(meet(a, b, 2, 1).await, (want, want));
    }

    #[tokio::test]
    async fn another_genesis_is_named_on_both_sides() {
        let a = Side { admits: true, chain: chain("one"), consensus: 1, network: 11 };
        let b = Side { admits: true, chain: chain("two"), consensus: 2, network: 12 };
        let want = Some(Code::PeerOtherGenesis);
        assert_eq!(meet(a, b, 2, 1).await, (want, want));
    }

    #[tokio::test]
    async fn a_wrong_consensus_key_is_refused_on_both_sides() {
        let a = Side { admits: true, chain: chain("one"), consensus: 1, network: 11 };
        let b = Side { admits: true, chain: chain("one"), consensus: 9, network: 12 };
        let want = Some(Code::PeerIdentity);
        assert_eq!(meet(a, b, 2, 1).await, (want, want));
    }

    #[tokio::test]
    async fn another_version_is_refused() {
        let (mut left, mut right) = duplex();
        let old = async {
            let mut bytes = encode(&Hello {
                chain_id: chain("one"),
                epoch: Epoch::ZERO,
                challenge: Digest::ZERO,
                process: Digest::ZERO,
            })
            .unwrap();
            bytes[0] = 9;
            write_frame(&mut right, &bytes, WRITE_TIMEOUT).await.unwrap();
            read_frame(&mut right, HELLO_BYTES_MAX, || ()).await.unwrap();
            receive::<Answer, _>(&mut right).await.unwrap()
        };
        let side = Side { admits: true, chain: chain("one"), consensus: 1, network: 11 };
        let new = run(side, secret(2).public(), secret(12).public(), &mut left);
        let (new, old) = futures::join!(new, old);
        assert_eq!(code(new), Some(Code::PeerVersion));
        assert_eq!(old, Answer::Refused(Code::PeerVersion));
    }
}
