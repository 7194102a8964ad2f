//! The seam between the driver and the network.
//!
//! The driver speaks through [`Network`]; the network delivers through [`Inbox`]. Both ends are bounded: the
//! network owns one bounded queue per peer and stream, and the inbox makes a peer that sends too much wait on
//! its own allowance, never on another's.

#[cfg(test)]
pub(crate) mod town;

use std::sync::Arc;

use chain_core::certificate::Cert;
use chain_core::codec::{CodecError, Wire, decode, encode};
use chain_core::crypto::{Digest, PublicKey, Signature};
use chain_core::id::{Epoch, Height, ValidatorIx};
use chain_core::lane::BatchRef;
use chain_core::recovery::{Passage, SignedRecovery};
use chain_core::subject::IndexEntry;
use consensus::Peers;
use consensus::message::Message;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::storage::consensus::Run;
pub use crate::why::Health;

/// Most bytes of one frame: a message or a batch, with its kind byte.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024 + 1;
/// Most bytes of batches in one sync answer.
pub const SYNC_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most batches in one sync answer.
pub const SYNC_BATCHES_MAX: usize = 256;
/// Most blocks of which one answer says how the index of subjects stood.
pub const SYNC_INDEXES_MAX: u64 = 1_024;

/// Which long-lived stream a frame travels on. Votes never wait behind data.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stream {
    /// Small and urgent: votes, view changes, certificates, status, echoes, cosignatures, health.
    Votes,
    /// Large: proposals, batches, blocks.
    Data,
}

/// One thing said to a peer outside request and response.
#[derive(Clone, Debug)]
pub enum Frame {
    /// For the peer's engine.
    Message(Arc<Message>),
    /// A batch, encoded as it is stored: shared, not copied, between peers and disk.
    Batch(Arc<[u8]>),
    /// A cosignature over a checkpoint of the record log.
    Cosignature(Arc<Cosignature>),
    /// How the sender is; for people only.
    Health(Arc<Health>),
    /// The receiver's epoch was ended by the agencies.
    Recovered(Arc<Recovered>),
}

/// How an epoch was ended after its quorum was lost, for one that is still in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Recovered {
    /// The act.
    pub recovery: SignedRecovery,
    /// Commit certificate of the block that it names, of the epoch that ended; absent where that block began the
    /// epoch.
    pub certificate: Option<Cert>,
}

impl Wire for Recovered {
    const LIMIT: usize = SignedRecovery::LIMIT + Cert::LIMIT;
}

/// One validator's signature over the checkpoint of the record log at an executed height.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cosignature {
    /// The executed height.
    pub height: Height,
    /// Leaves in the log.
    pub log_size: u64,
    /// Root of the log.
    pub log_root: Digest,
    /// Seconds since 1970 that the cosignature states.
    pub time_s: u64,
    /// By the sender's log key (C2SP cosignature/v1).
    pub signature: Signature,
    /// By the same key over the same root and time, for COSE receipts (RFC 9942).
    pub root_signature: Signature,
}

impl Wire for Cosignature {
    const LIMIT: usize = 256;
}

impl Frame {
    /// The stream it belongs on.
    pub fn stream(&self) -> Stream {
        match self {
            Self::Batch(_) | Self::Recovered(_) => Stream::Data,
            Self::Cosignature(_) | Self::Health(_) => Stream::Votes,
            Self::Message(message) => stream_of(message),
        }
    }

    /// Kind byte and content: 1 message, 2 batch, 3 cosignature, 4 health, 5 recovered.
    ///
    /// # Errors
    /// When a message is over its limit: a bug of the sender.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let (kind, content) = match self {
            Self::Message(message) => (1, encode::<Message>(message)?),
            Self::Batch(bytes) => (2, bytes.to_vec()),
            Self::Cosignature(one) => (3, encode::<Cosignature>(one)?),
            Self::Health(one) => (4, encode::<Health>(one)?),
            Self::Recovered(one) => (5, encode::<Recovered>(one)?),
        };
        let mut bytes = Vec::with_capacity(content.len() + 1);
        bytes.push(kind);
        bytes.extend_from_slice(&content);
        Ok(bytes)
    }

    /// Reads a frame. A batch stays encoded: decoding and checking it is the verify pool's work.
    ///
    /// # Errors
    /// On an unknown kind or malformed content; the connection is then not worth keeping.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let (kind, content) = bytes.split_first().ok_or(CodecError::Empty)?;
        match kind {
            1 => Ok(Self::Message(Arc::new(decode(content)?))),
            2 => Ok(Self::Batch(Arc::from(content))),
            3 => Ok(Self::Cosignature(Arc::new(decode(content)?))),
            4 => Ok(Self::Health(Arc::new(decode(content)?))),
            5 => Ok(Self::Recovered(Arc::new(decode(content)?))),
            _ => Err(CodecError::Malformed(format!("frame kind {kind}"))),
        }
    }
}

/// The stream that a message travels on.
pub fn stream_of(message: &Message) -> Stream {
    match message {
        Message::Propose(_) | Message::Blocks { .. } | Message::GetBlocks { .. } | Message::Closing(_) => {
            Stream::Data
        }
        Message::Vote(..)
        | Message::ViewChange(_)
        | Message::Entry(_)
        | Message::Certificate(_)
        | Message::Status(_)
        | Message::Echo(_)
        | Message::GetProposal { .. }
        | Message::Executed(_)
        | Message::Have { .. }
        | Message::GetCertificate => Stream::Votes,
    }
}

/// A question to one peer, answered from its store.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SyncRequest {
    /// The batches of a lane from a sequence number up to a tip, following the tip's hash links.
    Batches {
        /// First sequence number wanted.
        from: u64,
        /// Newest batch wanted.
        tip: BatchRef,
    },
    /// How the index of subjects stood after blocks that changed it.
    Indexes {
        /// First block.
        from: Height,
        /// Last block, at most [`SYNC_INDEXES_MAX`] after it.
        to: Height,
    },
    /// The newest snapshot of the ledger that a quorum certified.
    Snapshot,
    /// Which chunks a snapshot has.
    Manifest {
        /// Its height.
        height: Height,
    },
    /// A chunk of a snapshot.
    Chunk {
        /// The snapshot's height.
        height: Height,
        /// Which one of its manifest.
        index: u32,
    },
    /// How epochs ended, from one on.
    Passages {
        /// The first of them.
        from: Epoch,
    },
    /// Final blocks from a height on, with what made the last of them final.
    Blocks {
        /// The first of them.
        from: Height,
    },
}

impl Wire for SyncRequest {
    const LIMIT: usize = 128;
}

/// A batch as a peer stores it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SyncedBatch {
    /// The batch, encoded by itself.
    pub bytes: Vec<u8>,
    /// What its operations came to, encoded by itself: where bodies of it are gone.
    pub recorded: Option<Vec<u8>>,
}

/// The answer to a question.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum SyncResponse {
    /// The peer has nothing of it.
    #[default]
    Nothing,
    /// Batches, ascending from the first wanted; possibly fewer than asked for, within [`SYNC_BYTES_MAX`] and
    /// [`SYNC_BATCHES_MAX`].
    Batches(Vec<SyncedBatch>),
    /// The index of subjects after each of the blocks that changed it.
    Indexes(Vec<(Height, IndexEntry)>),
    /// The peer has a snapshot, and reads it through before it can offer it. Ask again.
    Preparing,
    /// The peer has this snapshot.
    Snapshot(Offer),
    /// A manifest, or a chunk, encoded by itself.
    Bytes(Vec<u8>),
    /// How epochs ended, in order.
    Passages(Vec<Passage>),
    /// Final blocks.
    Blocks(Box<Run>),
}

/// A snapshot of the ledger that a peer has.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Offer {
    /// Its height.
    pub height: Height,
    /// Digest of its manifest.
    pub manifest: Digest,
}

impl Wire for SyncResponse {
    const LIMIT: usize = SYNC_BYTES_MAX + 2 * 1024 * 1024;
}

/// The peer did not answer: not connected, timed out or talked nonsense. Ask another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the peer gave no answer")]
pub struct NoAnswer;

/// What the driver asks of the network. Calls never block: a full queue to a peer drops its oldest frame
/// (the engine repeats what matters), and a peer that stays full is reconnected.
pub trait Network: Send + Sync + 'static {
    /// Sends one frame to one peer or to all.
    fn send(&self, to: Peers, frame: Frame);

    /// Asks one peer; resolves within the network's request timeout.
    fn request(
        &self,
        to: ValidatorIx,
        request: SyncRequest,
    ) -> BoxFuture<'static, Result<SyncResponse, NoAnswer>>;

    /// What is known of the connection to each validator: connected, and the last refusal if any.
    fn peers(&self) -> Vec<PeerConnection>;

    /// Its gauges and counters.
    fn metrics(&self) -> Vec<crate::handle::Metric> {
        Vec::new()
    }
}

/// The state of the connection to one validator.
#[derive(Clone, Debug)]
pub struct PeerConnection {
    /// Which validator.
    pub validator: ValidatorIx,
    /// Whether a verified connection stands.
    pub connected: bool,
    /// Why the last attempt was refused.
    pub refused: Option<chain_core::code::Refusal>,
    /// Why the last attempt did not come as far as being refused.
    pub unreached: Option<Unreached>,
    /// Whether a second process with its keys asked for a connection lately, while this one stood.
    pub twin: bool,
}

/// How an attempt to connect failed before anybody could refuse it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unreached {
    /// The host says that nothing listens at the address.
    Closed,
    /// The address does not answer.
    NoAnswer,
    /// The address takes connections, and nothing is said on them.
    Mute,
    /// The connection broke before it was of any use.
    Broken,
}

/// Where the network delivers. Cheap to clone behind its `Arc`.
///
/// `deliver` waits while the peer's allowance is used up, so that reading from its stream stops and TCP
/// pushes back; other peers are not affected.
pub trait Inbox: Send + Sync + 'static {
    /// The network by which to answer what comes in here. Called once and before everything else: whoever is told of a
    /// connection greets the peer once, and a greeting that finds no network is lost for as long as the connection stands.
    fn attached(&self, network: Arc<dyn Network>);

    /// A verified connection stands (HELLO checked both ways). Called once per connection, after the last
    /// `disconnected` of the same peer.
    fn connected(&self, peer: ValidatorIx);

    /// It is gone.
    fn disconnected(&self, peer: ValidatorIx);

    /// A frame came in on a peer's verified connection.
    fn deliver(&self, from: ValidatorIx, frame: Frame) -> BoxFuture<'static, ()>;

    /// Answers a peer's question from the store. Blocks on the disk: call it off the async threads.
    fn serve(&self, from: ValidatorIx, request: SyncRequest) -> SyncResponse;

    /// Signs the binding of this node's network key to its consensus key (kind 7) for a peer's challenge;
    /// `None` for an observer, which has no consensus key.
    fn hello(&self, network_key: PublicKey, challenge: Digest) -> BoxFuture<'static, Option<Signature>>;
}
