//! What validators say to each other.

use serde::{Deserialize, Serialize};

use chain_core::block::{Header, SlotPreimage};
use chain_core::certificate::{Cert, Rank, VoteKind};
use chain_core::codec::Wire;
use chain_core::crypto::{Digest, Signature};
use chain_core::epoch::ClosingProof;
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx, View};
use chain_core::lane::{LaneAdvance, SignedBatchHeader};
pub use chain_core::view_change::{Claim, ViewChangePreimage};

/// Most blocks of one sync answer: each must stay provable under the answer's certificate.
pub const SYNC_BLOCKS_MAX: u64 = chain_core::proof::DESCENDANTS_MAX as u64;

/// A block as its leader proposes it. The signature makes it checkable from anybody.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Proposal {
    /// The header.
    pub header: Header,
    /// Lane advances, sorted by author.
    pub advances: Vec<LaneAdvance>,
    /// The leader's signature, kind 1.
    pub signature: Signature,
    /// For the first block of a view: why it may extend its parent. Not part of the block.
    pub justification: Option<Justification>,
}

/// Why the first block of a view may extend its parent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Justification {
    /// A timeout certificate of the view; the parent is the block of its best claim.
    Timeout(Box<TimeoutCert>),
    /// The leader of the view before ended its term with the parent.
    TermEnd(Box<Cert>),
}

/// A PREPARE or COMMIT vote.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Vote {
    /// Which.
    pub kind: VoteKind,
    /// The epoch.
    pub epoch: Epoch,
    /// View of the block.
    pub view: View,
    /// Height of the block.
    pub height: Height,
    /// Digest of the block.
    pub digest: Digest,
    /// Who votes.
    pub signer: ValidatorIx,
    /// Kind 2 or 3.
    pub signature: Signature,
}

impl Vote {
    /// View and height of the block.
    pub fn rank(&self) -> Rank {
        Rank { view: self.view, height: self.height }
    }

    /// What is signed.
    pub fn slot(&self, chain_id: ChainId) -> SlotPreimage {
        SlotPreimage {
            kind: self.kind.tag(),
            chain_id,
            epoch: self.epoch,
            view: self.view.get(),
            height: self.height,
            digest: self.digest,
        }
    }
}

/// The highest PREPARE-QC a validator knows. The base of an epoch ranks below every certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum HighQc {
    /// No certificate in this epoch yet: its base.
    Base {
        /// Height of the base.
        height: Height,
        /// Digest of the base.
        digest: Digest,
    },
    /// A PREPARE certificate.
    Qc(Cert),
}

impl HighQc {
    /// Rank; `None` is the base.
    pub fn rank(&self) -> Option<Rank> {
        match self {
            Self::Base { .. } => None,
            Self::Qc(cert) => Some(cert.rank()),
        }
    }

    /// The block it certifies.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Base { digest, .. } => *digest,
            Self::Qc(cert) => cert.digest,
        }
    }

    /// Height of the block it certifies.
    pub fn height(&self) -> Height {
        match self {
            Self::Base { height, .. } => *height,
            Self::Qc(cert) => cert.height,
        }
    }

    /// What a VIEW-CHANGE claims about it.
    pub fn claim(&self) -> Claim {
        match self {
            Self::Base { height, digest } => Claim { view: None, height: *height, digest: *digest },
            Self::Qc(cert) => Claim { view: Some(cert.view), height: cert.height, digest: cert.digest },
        }
    }
}

/// A validator gives up on all views below `new_view`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ViewChange {
    /// The epoch.
    pub epoch: Epoch,
    /// The view asked for: w.
    pub new_view: View,
    /// Its highest certificate.
    pub high_qc: HighQc,
    /// Proof that it was in view w−1; none is needed for w = 1.
    pub entry: Option<EntryProof>,
    /// Who.
    pub signer: ValidatorIx,
    /// Kind 4.
    pub signature: Signature,
}

/// Why a validator may be in a view.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum EntryProof {
    /// A quorum gave up on the view before.
    Timeout(Box<TimeoutCert>),
    /// The leader of the view before ended its term with this certified block.
    TermEnd {
        /// PREPARE certificate of the block.
        certificate: Box<Cert>,
        /// The block's header, which shows the flag.
        header: Box<Header>,
    },
    /// A quorum voted in the view.
    Certificate(Box<Cert>),
}

/// `q` VIEW-CHANGEs for one view.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TimeoutCert {
    /// The epoch.
    pub epoch: Epoch,
    /// The view entered: w.
    pub new_view: View,
    /// Who claimed what, ascending by signer.
    pub claims: Vec<(ValidatorIx, Claim, Signature)>,
    /// The highest certificate claimed.
    pub best: HighQc,
}

/// Where a validator stands; sent once a second and on every connection.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// Newest committed height.
    pub committed: Height,
    /// Newest executed height: a hint for leaders.
    pub executed: Height,
    /// Proof of the committed height; a claim without it is a hint only.
    pub certificate: Option<Box<Cert>>,
    /// Rank of its high QC.
    pub high_qc: Option<Rank>,
    /// Whether it still waits for what a quorum remembers of it (M19), and is to be told again.
    pub awaits_echo: bool,
}

/// On every new connection, and again to whoever says that it waits for it: the newest votes I hold of the one I greet, so that it notices a lost memory.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct VoteEcho {
    /// The epoch that the sender is in.
    pub epoch: Epoch,
    /// Newest PREPARE of the peer.
    pub prepare: Option<Vote>,
    /// Newest COMMIT of the peer.
    pub commit: Option<Vote>,
    /// Newest VIEW-CHANGE of the peer: view, claim, signature.
    pub view_change: Option<(View, Claim, Signature)>,
    /// Newest batch header of the peer's lane.
    pub lane: Option<SignedBatchHeader>,
}

/// Everything the engine sends and receives.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Message {
    /// PRE-PREPARE.
    Propose(Box<Proposal>),
    /// PREPARE or COMMIT, with the voter's executed height as a hint.
    Vote(Vote, Height),
    /// A validator gives up on a view.
    ViewChange(Box<ViewChange>),
    /// Proof of the sender's view, for one that is behind.
    Entry(EntryProof),
    /// A whole certificate, PREPARE or COMMIT.
    Certificate(Box<Cert>),
    /// Where the sender stands.
    Status(Box<Status>),
    /// To the leader after executing a block with records: the executed height, so that it can certify it.
    Executed(Height),
    /// What the sender remembers of the receiver.
    Echo(Box<VoteEcho>),
    /// Ask for one uncommitted block by its digest.
    GetProposal {
        /// Digest of its header.
        digest: Digest,
    },
    /// Ask for the highest PREPARE certificate.
    GetCertificate,
    /// Ask for committed blocks from a height on. Answered by the owner from its store.
    GetBlocks {
        /// First height wanted.
        from: Height,
    },
    /// Committed blocks, ascending without gaps from the height asked for, and the commit certificate of
    /// the last.
    Blocks {
        /// The blocks.
        blocks: Vec<Proposal>,
        /// When the last of them closes its epoch: the Suffixes after it, up to the certified one.
        suffixes: Vec<Header>,
        /// Commit certificate of the last.
        certificate: Box<Cert>,
    },
    /// The receiver's epoch ended, and so it ended.
    Closing(Box<ClosingProof>),
    /// To the leader: of these lanes, ascending by author, every batch below this sequence number is held here
    /// above the committed frontier. Unsigned and a hint; at most one entry for each validator.
    Have {
        /// Author, and the first sequence number of its lane that is not held.
        lanes: Vec<(ValidatorIx, u64)>,
    },
}

impl Message {
    /// The epoch it speaks of, where it names one. Answers are judged by the one who asked.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Propose(proposal) => Some(proposal.header.epoch),
            Self::Vote(vote, _) => Some(vote.epoch),
            Self::ViewChange(message) => Some(message.epoch),
            Self::Entry(EntryProof::Timeout(tc)) => Some(tc.epoch),
            Self::Entry(EntryProof::TermEnd { certificate, .. } | EntryProof::Certificate(certificate))
            | Self::Certificate(certificate) => Some(certificate.epoch),
            Self::Status(status) => Some(status.epoch),
            Self::Echo(echo) => Some(echo.epoch),
            Self::Executed(_)
            | Self::GetProposal { .. }
            | Self::GetCertificate
            | Self::GetBlocks { .. }
            | Self::Blocks { .. }
            | Self::Closing(_)
            | Self::Have { .. } => None,
        }
    }
}

impl Wire for Message {
    const LIMIT: usize = 4 * 1024 * 1024;
}

impl Wire for Proposal {
    const LIMIT: usize = 64 * 1024;
}
