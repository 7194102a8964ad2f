//! What comes out of the engine.

use chain_core::block::Header;
use chain_core::certificate::Cert;
use chain_core::evidence::Evidence;
use chain_core::id::{Epoch, Height, ValidatorIx, View};
use chain_core::lane::{BatchRef, SignedBatchHeader};

use crate::message::{Message, Proposal};
use crate::safety::SafetyRecord;

/// Whom a message is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peers {
    /// Every other validator.
    All,
    /// One.
    One(ValidatorIx),
}

/// One entry of a durable write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// The safety record, replacing the one before.
    Safety(Box<SafetyRecord>),
    /// A block that may be voted for or built on; kept by its digest.
    Block(Box<Proposal>),
    /// Blocks became final: the certificate, and the digest of each height it newly finalises, ascending. Nobody but
    /// the engine makes one.
    #[non_exhaustive]
    Commit {
        /// Commit certificate of the highest of them, or of the last Suffix.
        certificate: Cert,
        /// The blocks, ascending without gaps.
        blocks: Vec<Header>,
        /// When the last of them closes its epoch: the headers after it, up to the one that the certificate
        /// is over. They are no part of the ledger.
        suffixes: Vec<Header>,
    },
    /// The next batch of this node's own lane: durable before it is pushed.
    OwnBatch(SignedBatchHeader),
}

/// A numbered write. Numbers ascend by one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Persist {
    /// Its number.
    pub seq: u64,
    /// Written together or not at all.
    pub writes: Vec<Write>,
}

/// A block whose order is final and whose data is held. Nobody but the engine makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// Its header.
    pub header: Header,
    /// Every batch it orders, in execution order.
    pub batches: Vec<BatchRef>,
}

/// Something an operator must hear about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Alarm {
    /// A peer holds a vote of this validator that its safety record does not know.
    VoteEcho {
        /// Who holds it.
        peer: ValidatorIx,
    },
    /// A leader or author signed two conflicting things.
    Equivocation {
        /// Who.
        offender: ValidatorIx,
        /// What, in words.
        what: &'static str,
    },
    /// Two conflicting blocks are certified as committed; the node must stop.
    Fork {
        /// Certificate held.
        ours: Box<Cert>,
        /// Certificate that contradicts it.
        theirs: Box<Cert>,
    },
}

/// What a leader owed when it was given up for being late (M8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owed {
    /// A block above the committed one did not become final.
    Commit,
    /// A view entered by a timeout certificate has no first block.
    FirstBlock,
    /// A batch that this validator pushed or relayed to the leader is not ordered, though there was room for it.
    Batch,
    /// Nothing was proposed for longer than the heartbeat.
    Heartbeat,
    /// An execution is covered by no header.
    Execution,
}

/// Why this validator asks for the next view (docs/protocol.md, 5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Suspicion {
    /// T1: this was owed for longer than the timeout.
    Late {
        /// What.
        owed: Owed,
        /// The timeout, in milliseconds.
        timeout_ms: u64,
    },
    /// T2: the leader passed over batches that it was given, block after block.
    LeftOut {
        /// Whose lane.
        author: ValidatorIx,
        /// Sequence number of the newest of them.
        seq: u64,
        /// How long they have waited here, in milliseconds.
        waited_ms: u64,
    },
    /// T3: not a word from the leader.
    Silent,
    /// T5: the leader had been silent for long when its view began.
    Skipped,
    /// M6: the view outlived two terms.
    TermOverdue,
    /// T4: the leader signed what no leader may sign.
    Proof,
    /// T4: the leader names another result of an execution than this validator computed. One of the two is wrong; when
    /// a quorum makes the block final it is this validator, and the owner finds out when it is to execute the block.
    OtherRoot {
        /// The height executed.
        height: Height,
    },
    /// T6: f+1 others asked for it.
    Joined,
}

/// What an operator finds in the log when a leader changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// This validator asks for the next view.
    GaveUp {
        /// The view it gives up.
        view: View,
        /// Its leader.
        leader: ValidatorIx,
        /// Why.
        why: Suspicion,
    },
    /// A view has begun here.
    Entered {
        /// The view.
        view: View,
        /// Its leader.
        leader: ValidatorIx,
        /// Whether the one before was given up by a quorum; otherwise its leader handed over.
        by_timeout: bool,
    },
    /// This leader ends its term early: hardly a quorum can vote in its view.
    HandsOver {
        /// The view it ends.
        view: View,
        /// Validators that can still vote in it, this one included.
        voters: usize,
    },
    /// This leader orders an author's batches only when a quorum reports that it holds them: blocks had to wait
    /// for its data.
    OnProbation {
        /// The author.
        author: ValidatorIx,
    },
}

/// What the owner must do, in the order given.
#[derive(Clone, Debug)]
pub enum Action {
    /// Write durably; report [`crate::Event::Persisted`]. One synced write may cover many of these.
    Persist(Persist),
    /// Send; when `after` is given, not before the write with that number is durable.
    Send {
        /// To whom.
        to: Peers,
        /// What.
        message: Box<Message>,
        /// The write it depends on.
        after: Option<u64>,
    },
    /// The records announced with this token are now this batch: store it with its data (unsynced), and push
    /// it to every peer once the write is durable. [`crate::Event::BatchStored`] is not needed for it.
    Sealed {
        /// Token of the local records.
        token: u64,
        /// The signed header.
        header: SignedBatchHeader,
        /// The write it depends on.
        after: u64,
    },
    /// Get the batches of a lane from sequence `from` up to `tip`, from any of these validators, best first;
    /// store each and report [`crate::Event::BatchStored`]. Repeats are harmless.
    FetchBatches {
        /// First sequence number wanted.
        from: u64,
        /// The newest batch wanted.
        tip: BatchRef,
        /// Whom to ask.
        holders: Vec<ValidatorIx>,
    },
    /// Push this batch again to a peer that seems to lack it.
    PushBatch {
        /// To whom.
        to: Peers,
        /// Which.
        batch: BatchRef,
    },
    /// Answer one that is in an ended epoch with [`Message::Closing`] of that epoch, from the store.
    SendClosing {
        /// To whom.
        to: ValidatorIx,
        /// The epoch that ended.
        epoch: Epoch,
    },
    /// Read final blocks from the store, and report [`crate::Event::Loaded`].
    LoadFinal {
        /// First height.
        from: Height,
        /// How many, at most.
        count: usize,
    },
    /// Execute this block; deliveries ascend without gaps. After a closing block the epoch is over: the owner
    /// executes it, and starts the next epoch's engine.
    Deliver(Box<Delivery>),
    /// Two statements of one validator that contradict each other, verified; each offence once. File it in the
    /// ledger.
    Evidence(Box<Evidence>),
    /// Tell the operator.
    Alarm(Alarm),
    /// Write this into the log.
    Notice(Notice),
}
