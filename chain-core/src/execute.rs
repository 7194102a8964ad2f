//! From an ordered block to outcomes, leaves and roots: the deterministic heart of the ledger.
//!
//! The same function runs on every validator, in the simulator and in an offline audit. It reads through
//! [`LedgerRead`] and returns everything to be written as one [`BlockResult`]; it writes nothing itself.
//! A transaction or operation that fails is an [`Outcome`] with a code, never an invalid block.

use jmt::storage::{TreeReader, TreeUpdateBatch};
use serde::{Deserialize, Serialize};

use crate::block::{ExecSummary, Header};
use crate::code::Refusal;
use crate::codec::Wire;
use crate::id::{ChainId, RecordId, TxId};
use crate::merkle::Frontier;
use crate::record::governance::{AgencyDetails, BasisDetails, MemberDetails};
use crate::transaction::Batch;

/// Reading the ledger failed; the node stops.
#[derive(Clone, Debug, thiserror::Error)]
#[error("ledger read failed: {0}")]
pub struct ReadError(pub String);

/// The ledger as execution sees it: the state after the previous block.
///
/// [`TreeReader`] gives the nodes of the state tree; its versions are heights.
pub trait LedgerRead: TreeReader {
    /// The value of a state key.
    ///
    /// # Errors
    /// When the store cannot be read; never for "absent".
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Up to `limit` entries with `from <= key < to`, ascending.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, ReadError>;
}

/// One ordered batch with the verdict of its signature checks.
#[derive(Clone, Copy, Debug)]
pub struct OrderedBatch<'a> {
    /// The batch; its bodies may be absent when they were erased.
    pub batch: &'a Batch,
    /// Per submission: whether its author's signature verified. Checked on other threads before execution.
    pub signatures_ok: &'a [bool],
    /// Outcomes of the first execution, where bodies are gone: replay takes them from here.
    pub recorded: Option<&'a [Outcome]>,
}

/// What one operation came to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Verdict {
    /// It took effect.
    Accepted {
        /// The record it concerns.
        record: RecordId,
        /// The record's version after it.
        version: u32,
        /// Its leaf in the record log.
        leaf_index: u64,
        /// True when the same idempotency key and content were accepted before: this is that first record.
        duplicate: bool,
    },
    /// It was refused and changed nothing.
    Refused(Refusal),
}

/// The outcome of one operation of one transaction.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Outcome {
    /// The transaction.
    pub tx: TxId,
    /// Position of the operation in it.
    pub operation: u16,
    /// What it came to.
    pub verdict: Verdict,
}

impl Wire for Outcome {
    const LIMIT: usize = 4096;
}

/// One leaf appended to the record log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppendedLeaf {
    /// Canonical bytes; under 65,535 of them (C2SP tlog-tiles).
    pub bytes: Vec<u8>,
    /// The record it belongs to; `None` for a seal leaf.
    pub record: Option<RecordId>,
}

/// Everything one block does to the ledger, to be written in one atomic batch.
#[derive(Debug)]
pub struct BlockResult {
    /// Height, log size and the roots.
    pub summary: ExecSummary,
    /// One entry per operation, in order of execution.
    pub outcomes: Vec<Outcome>,
    /// Leaves appended, in order; the last is the seal leaf when there are any.
    pub leaves: Vec<AppendedLeaf>,
    /// The record log after the block.
    pub log: Frontier,
    /// State entries written (`Some`) or removed (`None`), by ascending key.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Nodes of the state tree written and made stale.
    pub tree: TreeUpdateBatch,
}

/// An ordered block, ready to execute.
#[derive(Clone, Debug)]
pub struct OrderedBlock<'a> {
    /// The committed header; its time is the block time of every rule.
    pub header: &'a Header,
    /// Every batch it orders, in execution order.
    pub batches: Vec<OrderedBatch<'a>>,
}

/// What execution needs to know of the chain; fixed by genesis.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChainParams {
    /// The chain.
    pub chain_id: ChainId,
    /// How far local time is ahead of UTC, in minutes: +480 for China.
    pub utc_offset_minutes: i16,
    /// How many council members must agree, the submitting one included; at least 1.
    pub council_threshold: u16,
}

/// Where the ledger stood after the previous block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExecState {
    /// Height, log size and roots.
    pub summary: ExecSummary,
    /// The right edge of the record log.
    pub log: Frontier,
}

/// The entries that genesis lays down, each effective from the start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GenesisState {
    /// Agencies with their first administrators.
    pub agencies: Vec<AgencyDetails>,
    /// All other members, council members among them.
    pub members: Vec<MemberDetails>,
    /// The catalogue of legal bases.
    pub bases: Vec<BasisDetails>,
}
