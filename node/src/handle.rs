//! What the HTTP API may ask of the node.
//!
//! Reads go through a snapshot of the ledger at one executed height and block on the disk: call them off the
//! async threads. Nothing here touches the engine thread except [`Node::submit`], which only queues, and
//! [`Node::say_ready`].

use std::sync::Arc;
use std::time::Duration;

use chain_core::access::{Answer, DayRoot, SignedQuery};
use chain_core::api::{
    BlockView, Cursor, DeadlineView, EvidenceView, FeedEvent, FeedKind, HistoryEntry, NodeStatus, Page,
    PassageView, RawBlock, ReadyView, RecordView, Stage, TimelineView, TransactionStatus, ValidatorsView,
    Why,
};
use chain_core::code::Refusal;
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::execute::Outcome;
use chain_core::id::{Epoch, Height, RecordId, TxId};
use chain_core::org::OrgId;
use chain_core::state::EntryName;
use chain_core::state_proof::StateProof;
use chain_core::subject::proof::SubjectProof;
use chain_core::transaction::Submission;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// The node as the API sees it; cheap to clone.
pub type NodeHandle = Arc<dyn Node>;

/// Most items of one page of a list.
pub const PAGE_MAX: usize = 500;
/// Most blocks of one page of raw blocks; also bounded by [`RAW_BYTES_MAX`].
pub const RAW_BLOCKS_MAX: usize = 64;
/// A page of raw blocks ends with the block that crosses this many encoded bytes.
pub const RAW_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Everything the API may ask.
pub trait Node: Send + Sync + 'static {
    /// Queues a submission for this node's lane and returns its transaction's id. Checks at once what needs
    /// no ledger: size, version, chain, operation count, validity against the clock, body commitments and
    /// the author's signature. Bodies of class P3 and P4 go into the vault and no further. Sending the same
    /// transaction again is safe and returns the same id.
    ///
    /// # Errors
    /// `QUEUE_FULL` when the agency's queue is full: come back after [`Node::retry_after`]. Otherwise the
    /// code of the check that failed. `NOT_READY` while the node stops.
    fn submit(&self, submission: Submission) -> Result<TxId, Refusal>;

    /// What would become of a submission if it alone stood in the next block, now: checked as [`Node::submit`] checks it,
    /// then executed on the newest state, and thrown away. Queues nothing, keeps nothing.
    ///
    /// # Errors
    /// What [`Node::submit`] refuses of a submission as a whole; `QUEUE_FULL` while as many dry runs are under way as this
    /// node makes at once: come back after [`Node::retry_after`]. What is wrong with an operation is in the answer.
    fn check(&self, submission: &Submission) -> Result<Trial, Refusal>;

    /// How long a client should wait after `QUEUE_FULL`.
    fn retry_after(&self) -> Duration;

    /// Where a transaction stands; `Unknown` when this node never saw it. Holds a finality proof from stage
    /// `Final` on, and the outcomes from `Executed` on.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn transaction(&self, tx: TxId) -> Result<TransactionStatus, Refusal>;

    /// Resolves once the transaction reaches the stage, at once if it has; dropping it is free. It does not
    /// time out: the caller does. Register the wait before reading the status to miss nothing.
    fn wait(&self, tx: TxId, stage: Stage) -> BoxFuture<'static, ()>;

    /// A record as of now, at its newest version.
    ///
    /// # Errors
    /// `RECORD_NOT_FOUND`, `NOT_DISCLOSED`.
    fn record(&self, record: RecordId) -> Result<RecordView, Refusal>;

    /// How a record held on a day, as the ledger knew it then and as it knows it now.
    ///
    /// # Errors
    /// `RECORD_NOT_FOUND`; `NOT_YET_EXECUTED` above the executed height; `NOT_FOUND` for a block below what this node
    /// keeps; `SIZE_LIMIT` for a record with more steps than an answer may go through.
    fn timeline(&self, record: RecordId, moment: AskedMoment) -> Result<TimelineView, Refusal>;

    /// Answers a question of an officer about what is not public, once it is written down in the log of reads.
    ///
    /// # Errors
    /// `NOT_OWN_NODE` unless this node keeps the vault of the officer's agency; `BAD_SIGNATURE`, `UNKNOWN_AUTHOR`,
    /// `MEMBER_SUSPENDED`, `AGENCY_SUSPENDED`, `EXPIRED`, `REPLAYED`; and, written down too, `ROLE_NOT_ALLOWED`,
    /// `RECORD_NOT_FOUND`, `AGENCY_NOT_COMPETENT`, `NOT_DISCLOSED` for what is erased.
    fn access(&self, asked: &SignedQuery) -> Result<Answer, Refusal>;

    /// What an agency's log of reads of a day comes to.
    ///
    /// # Errors
    /// `NOT_OWN_NODE` when this node does not keep its vault.
    fn access_root(&self, agency: &OrgId, day: Date) -> Result<DayRoot, Refusal>;

    /// Every step of a record's life, oldest first; the cursor is a position in the list.
    ///
    /// # Errors
    /// `RECORD_NOT_FOUND`, `BAD_PARAMETER` for a cursor that is none.
    fn history(
        &self,
        record: RecordId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<HistoryEntry>, Refusal>;

    /// Records by filter, in order of first acceptance; at most [`PAGE_MAX`]. By a number only those are found whose body the
    /// reader may see; those whose body stood in a block that this node does not keep cannot be compared and are listed too,
    /// with `body_elsewhere`.
    ///
    /// # Errors
    /// `BAD_PARAMETER` for a cursor or filter that is none; `NOT_READY` by a number, while bodies are not served.
    fn records(
        &self,
        filter: &RecordFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RecordView>, Refusal>;

    /// What an agency owes by a day of the law, or all of them: what is open, and what was published late and still is
    /// published. `overdue` leaves out what is not late. At most [`PAGE_MAX`].
    ///
    /// # Errors
    /// `BAD_PARAMETER` for a cursor that is none.
    fn deadlines(
        &self,
        agency: Option<&OrgId>,
        overdue: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadlineView>, Refusal>;

    /// The receipt of a record's newest leaf, or of the version given.
    ///
    /// # Errors
    /// `RECORD_NOT_FOUND`; `RECEIPT_PENDING` while fewer than a quorum have cosigned a covering checkpoint.
    fn receipt(&self, record: RecordId, version: Option<u32>, form: ReceiptForm) -> Result<Vec<u8>, Refusal>;

    /// What stood under a name of the state after a block, or that nothing did; at the newest block that can be proved,
    /// unless a height is given.
    ///
    /// # Errors
    /// `NOT_YET_EXECUTED` above the executed height; `STATE_PRUNED` below what this node keeps; `NOT_FOUND` before the
    /// first block with records; `RECEIPT_PENDING` while no checkpoint is cosigned.
    fn state_proof(&self, entry: EntryName, at: Option<Height>) -> Result<StateProof, Refusal>;

    /// All published records of an organisation after a block; at the newest block that can be proved, unless a height is
    /// given.
    ///
    /// # Errors
    /// As [`Node::state_proof`]; `NO_SUBJECT_INDEX`; `SIZE_LIMIT` when it has more records than a proof may.
    fn subject_proof(&self, subject: OrgId, at: Option<Height>) -> Result<SubjectProof, Refusal>;

    /// Events from a cursor on, at most so many leaves of the record log; those of other kinds are passed over.
    ///
    /// # Errors
    /// `GENESIS_MISMATCH` for a cursor of another chain; `NOT_YET_EXECUTED` for one beyond this node's log.
    fn feed(&self, query: &FeedQuery, limit: usize) -> Result<FeedPage, Refusal>;

    /// The cursor at the first leaf of a height.
    ///
    /// # Errors
    /// `NOT_YET_EXECUTED`.
    fn feed_from(&self, height: Height) -> Result<Cursor, Refusal>;

    /// One executed block.
    ///
    /// # Errors
    /// `NOT_YET_EXECUTED` above the executed height, `NOT_FOUND` below what this node keeps.
    fn block(&self, height: Height) -> Result<BlockView, Refusal>;

    /// Height of the executed block with this digest.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    fn height_of(&self, digest: Digest) -> Result<Height, Refusal>;

    /// Blocks in descending height, newest first unless a cursor says where to go on.
    ///
    /// # Errors
    /// `BAD_PARAMETER` for a cursor that is none.
    fn blocks(&self, cursor: Option<&str>, limit: usize) -> Result<Page<BlockView>, Refusal>;

    /// Whole blocks for an auditor, ascending from a height; ends early at the executed height or at
    /// [`RAW_BLOCKS_MAX`] or [`RAW_BYTES_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    fn raw_blocks(&self, from: Height, limit: usize) -> Result<Vec<RawBlock>, Refusal>;

    /// Newest executed height. Every answer carries it: this one reads memory only and never blocks.
    fn height(&self) -> Height;

    /// The validator set of the present epoch, the next one if it is settled, and everybody known.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn validators(&self) -> Result<ValidatorsView, Refusal>;

    /// The end of an epoch with the set of the next: a hand-over, or the agencies' act.
    ///
    /// # Errors
    /// `NOT_YET_EXECUTED` for an epoch that has not ended here.
    fn hand_over(&self, epoch: Epoch) -> Result<PassageView, Refusal>;

    /// This node's signed word that it can take part, when it is wanted, does not take part, and has caught up.
    /// Waits for the engine thread.
    ///
    /// # Errors
    /// `READY_NOT_NEEDED` (it takes part, or the next set is settled), `VALIDATOR_NOT_WANTED` (no record in effect
    /// names its key), `SAFETY_LOST`, `NOT_READY` (it has not caught up).
    fn say_ready(&self) -> Result<ReadyView, Refusal>;

    /// Offences of validators that the ledger holds proof of; at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// `BAD_PARAMETER` for a cursor that is none.
    fn evidence(&self, cursor: Option<&str>, limit: usize) -> Result<Page<EvidenceView>, Refusal>;

    /// What the node says about itself and its peers.
    fn status(&self) -> NodeStatus;

    /// Why the ledger moves or does not, validator by validator. Reads memory only.
    fn why(&self) -> Why;

    /// Whether the node serves reads and writes: `Err` says why not (`/readyz`).
    ///
    /// # Errors
    /// `NOT_READY` while it starts, stops or is far behind.
    fn ready(&self) -> Result<(), Refusal>;

    /// The genesis document, TOML as it was signed.
    fn genesis(&self) -> Arc<str>;

    /// The newest checkpoint with its cosignatures, C2SP text.
    ///
    /// # Errors
    /// `NOT_YET_EXECUTED` before the first one.
    fn checkpoint(&self) -> Result<String, Refusal>;

    /// A tile of the record log (C2SP tlog-tiles): `level` 0 to 5, `width` 1 to 256.
    ///
    /// # Errors
    /// `NOT_FOUND` when the log is not that large.
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, Refusal>;

    /// A bundle of leaves of the record log (`tile/entries/...`): each leaf after its big-endian u16 length.
    ///
    /// # Errors
    /// `NOT_FOUND` when the log is not that large.
    fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, Refusal>;

    /// Gauges and counters for `/metrics`.
    fn metrics(&self) -> Vec<Metric>;
}

/// What a submission would come to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Trial {
    /// The transaction.
    pub tx: TxId,
    /// Whether every operation would be accepted.
    pub passed: bool,
    /// The block after which this would hold.
    pub height: Height,
    /// One for each operation, in their order. `leaf_index` is where the leaf would stand if nothing came before it.
    pub outcomes: Vec<Outcome>,
}

/// Which records to list; every field narrows.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordFilter {
    /// Acting agency in text form, e.g. `uscc:11320100MAXP23YC3L`.
    pub agency: Option<String>,
    /// Type name, e.g. `credit.licence`.
    pub record_type: Option<String>,
    /// Status name, e.g. `effective`: as readers see it, with dates that have passed.
    pub status: Option<String>,
    /// First day of the acts wanted, in local time: the day of the decision, else the first one in effect, else that of the
    /// block of the version shown. What the genesis laid down without either has no day.
    pub from: Option<Date>,
    /// Their last day.
    pub to: Option<Date>,
    /// The agency's own number, as the body of the version shown has it; goes with agency and type.
    pub number: Option<String>,
}

/// Which moment of a record's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AskedMoment {
    /// That of a block.
    At(Height),
    /// A day, as known up to the end of another one, or of the same.
    AsOf {
        /// The day.
        day: Date,
        /// The last day whose blocks count.
        known_at: Date,
    },
}

/// Which events of the feed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FeedQuery {
    /// From here on; from the first leaf when absent.
    pub cursor: Option<Cursor>,
    /// These kinds; all when empty.
    pub kinds: Vec<FeedKind>,
    /// With the leaves themselves, or their hashes only.
    pub whole: bool,
}

/// Events, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedPage {
    /// The events.
    pub events: Vec<FeedEvent>,
    /// The leaf after the last one looked at.
    pub next: Cursor,
}

/// How a receipt is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReceiptForm {
    /// Our JSON bundle.
    Bundle,
    /// C2SP tlog-proof text.
    TlogProof,
    /// COSE messages (RFC 9942).
    Cose,
}

/// One sample of `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Name in snake case without prefix, e.g. `committed_height`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub counter: bool,
    /// Labels, e.g. `peer` = `market-regulation`.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}
