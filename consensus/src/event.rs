//! What goes into the engine.

use chain_core::block::ExecSummary;
use chain_core::crypto::Digest;
use chain_core::id::ValidatorIx;
use chain_core::lane::SignedBatchHeader;

use crate::message::{Message, Proposal};

/// The two clocks an event is stamped with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// Monotonic milliseconds since some start: decides timeouts.
    pub mono_ms: u64,
    /// Wall clock, milliseconds since 1970: decides block time.
    pub wall_ms: u64,
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The deadline that [`crate::Engine::deadline`] named has passed, or the engine was just started.
    Tick,
    /// A message arrived on the authenticated channel of a validator.
    Message {
        /// Who sent it, as the channel proves.
        from: ValidatorIx,
        /// What it says.
        message: Box<Message>,
    },
    /// A verified connection to a validator stands.
    Connected(ValidatorIx),
    /// It is gone.
    Disconnected(ValidatorIx),
    /// The write with this number, and all before it, are durable.
    Persisted(u64),
    /// This node executed the next delivered block.
    Executed {
        /// Height and roots.
        summary: ExecSummary,
        /// Hash of the next epoch's validator set, when this height scheduled it.
        scheduled: Option<Digest>,
    },
    /// A batch of any lane, checked against its header and its author's signature, is stored (not
    /// necessarily durable: the next synced write makes it so).
    BatchStored(SignedBatchHeader),
    /// Records of this node's own clients are ready to become the next batch of its lane. Only while
    /// [`crate::Engine::accepts_local`]; the owner keeps them otherwise.
    LocalBatch {
        /// Names the batch in the answer, [`crate::Action::Sealed`].
        token: u64,
        /// RFC 6962 root over the transaction ids.
        payload_root: Digest,
        /// Encoded bytes of transactions and bodies.
        bytes: u32,
        /// Operations in all transactions.
        count: u32,
    },
    /// The final blocks that [`crate::Action::LoadFinal`] asked for, ascending without gaps; those that the store
    /// holds durably, so perhaps fewer, or none.
    Loaded(Vec<Proposal>),
    /// The ledger holds proof that this validator's lane forked in this epoch: after the block that accepted it,
    /// and once more at each start.
    LaneFrozen(ValidatorIx),
    /// The node is about to stop: a leader hands over if it can.
    Shutdown,
}
