//! The engine: when to propose, what to vote for, what to fetch, when to give up on a leader.

use chain_core::block::ExecSummary;
use chain_core::certificate::Cert;
use chain_core::code::Refusal;
use chain_core::crypto::{Digest, PublicKey, Signature};
use chain_core::id::{Height, ValidatorIx, View};
use chain_core::lane::{LaneFrontier, SignedBatchHeader};
use chain_core::merkle::Frontier;

use crate::action::Action;
use crate::event::{Event, Now};
use crate::message::Proposal;
use crate::params::Params;
use crate::safety::SafetyRecord;
use crate::signer::Signer;
use crate::verified::Judge;

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
    /// Newest ordered batch per lane.
    pub lanes: LaneFrontier,
    /// RFC 6962 frontier over the digests of blocks 1 to `height`.
    pub history: Frontier,
}

impl chain_core::codec::Wire for Tip {
    const LIMIT: usize = 32 * 1024;
}

impl Tip {
    /// Genesis, for `n` lanes.
    pub fn genesis(chain_id: chain_core::id::ChainId, n: usize, time_ms: u64) -> Self {
        Self {
            height: Height::ZERO,
            digest: *chain_id.digest(),
            view: View::ZERO,
            time_ms,
            lanes: LaneFrontier::empty(n),
            history: Frontier::default(),
        }
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
        for advance in &proposal.advances {
            next.lanes.advance(advance);
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
    /// Final blocks above it, ascending without gaps.
    pub committed: Vec<Proposal>,
    /// Commit certificate of the newest final block; none at genesis.
    pub certificate: Option<Cert>,
    /// Stored blocks above the final ones, in any order.
    pub blocks: Vec<Proposal>,
    /// Summaries of recent heights up to the executed one, ascending; at least the last 192 if there are.
    pub summaries: Vec<ExecSummary>,
    /// Stored batches above the executed lane frontier.
    pub batches: Vec<SignedBatchHeader>,
}

/// One validator's consensus.
#[derive(Debug)]
pub struct Engine {
    params: Params,
}

impl Engine {
    /// Starts an engine. Feed it [`Event::Tick`] at once.
    pub fn new(
        params: Params,
        judge: Judge,
        me: Option<(ValidatorIx, Box<dyn Signer>)>,
        restored: Restored,
    ) -> Self {
        let _ = (judge, me, restored);
        Self { params }
    }

    /// Handles one event.
    pub fn handle(&mut self, now: Now, event: Event, out: &mut Vec<Action>) {
        let _ = (now, event, out, &self.params);
    }

    /// Monotonic time at which [`Event::Tick`] is wanted next.
    pub fn deadline(&self) -> u64 {
        0
    }

    /// Binds a transport identity to the consensus key; `None` for an observer.
    pub fn hello(&self, network_key: PublicKey, challenge: Digest) -> Option<Signature> {
        let _ = (network_key, challenge);
        None
    }
}
