//! Bodies of the HTTP API, shared by the node and its clients.
//!
//! JSON everywhere; digests, keys and signatures are lower-case hexadecimal. Endpoints are listed in
//! `docs/api.md`. Errors are RFC 9457 problems with the code of the one catalogue.

mod deadline;
mod feed;
mod timeline;
mod why;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::block::Header;
use crate::certificate::Cert;
use crate::code::{Code, Refusal};
use crate::codec::Wire;
use crate::committee::{Committee, Validator};
use crate::crypto::{Digest, PublicKey, Signature};
use crate::epoch::HandOver;
use crate::evidence::Evidence;
use crate::execute::Outcome;
use crate::id::{ChainId, Epoch, Height, RecordId, TxId, View};
use crate::lane::LaneAdvance;
use crate::recovery::{Passage, RecoveryAct, SignedRecovery};
use crate::state::OffenceEntry;
use crate::subject::IndexEntry;
use crate::transaction::Batch;

pub use deadline::DeadlineView;
pub use feed::{Cursor, FEED_MAX, FeedData, FeedEvent, FeedKind};
pub use timeline::{HeadView, PublicView, StandingView, TimelineView};
pub use why::{Condition, GaveUp, ValidatorWhy, WaitingFor, Why, span};

/// An error answer (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// `urn:city-ledger:error:E0401`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The NAME, e.g. `SCHEMA_INVALID`.
    pub name: Code,
    /// The number, e.g. `E0401`.
    pub code: String,
    /// HTTP status.
    pub status: u16,
    /// What it means.
    pub title: String,
    /// The thing, the value got, the value wanted.
    pub detail: String,
    /// What to do next.
    pub hint: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl Problem {
    /// The problem of a refusal.
    pub fn new(status: u16, refusal: &Refusal) -> Self {
        let code = refusal.code;
        Self {
            kind: format!("urn:city-ledger:error:E{:04}", code.number()),
            name: code,
            code: format!("E{:04}", code.number()),
            status,
            title: code.meaning().to_owned(),
            detail: refusal.detail.clone(),
            hint: code.hint().to_owned(),
            retryable: status == 429 || status == 503 || status == 408,
        }
    }

    /// The refusal it states.
    pub fn refusal(&self) -> Refusal {
        Refusal { code: self.name, detail: self.detail.clone() }
    }
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// This node knows nothing of it.
    Unknown,
    /// In this node's queue or durable lane; it may still be lost with this node's disk.
    Accepted,
    /// Ordered by a quorum; it cannot be undone.
    Final,
    /// Final and executed here: outcomes are known.
    Executed,
}

/// Where a transaction stands; answer to submitting it and to asking for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TransactionStatus {
    /// The transaction.
    pub tx: TxId,
    /// How far it has come.
    pub stage: Stage,
    /// The block that orders it.
    pub height: Option<Height>,
    /// One per operation, once executed.
    #[serde(default)]
    pub outcomes: Vec<Outcome>,
    /// Proof that a quorum ordered it, for the client to verify.
    pub proof: Option<crate::proof::FinalityProof>,
}

/// One block.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct BlockView {
    /// Digest of the header.
    pub digest: Digest,
    /// The header.
    pub header: Header,
    /// Commit certificate of this block or of a descendant.
    pub certificate: Option<Cert>,
    /// When the certificate is over a Suffix after a closing block: the Suffixes up to the certified one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suffixes: Vec<Header>,
    /// Transactions ordered here, in order.
    pub transactions: Vec<TxId>,
}

/// A block with everything an auditor needs to check and re-execute it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RawBlock {
    /// The header.
    pub header: Header,
    /// Lane advances, under `lanes_root`.
    pub advances: Vec<LaneAdvance>,
    /// The proposer's signature, kind 1.
    pub proposer_signature: Signature,
    /// Every batch ordered here, in execution order, with the bodies still held.
    pub batches: Vec<Batch>,
    /// Outcomes, under `outcomes_root`.
    pub outcomes: Vec<Outcome>,
    /// Commit certificate of this block, where it is the one that was certified.
    pub certificate: Option<Cert>,
    /// For a closing block that a certificate over a Suffix made final: the Suffixes up to the certified one.
    pub suffixes: Vec<Header>,
    /// `exec_root` that this node computed for this height.
    pub exec_root: Digest,
    /// The index of subjects after this block, where the block changed it: under the state's root.
    pub index: Option<IndexEntry>,
}

impl Wire for RawBlock {
    /// All lanes full, each batch at its limit, and the outcomes of every operation.
    const LIMIT: usize = 256 * 1024 * 1024;
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give as `cursor` to get the next page; absent on the last.
    pub next_cursor: Option<String>,
    /// Height at which the answer holds.
    pub height: Height,
}

/// A record as a reader may see it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RecordView {
    /// The record.
    pub record: RecordId,
    /// Type name, e.g. `credit.licence`.
    pub record_type: String,
    /// Acting agency in text form, e.g. `uscc:11320100MAXP23YC3L`.
    pub agency: String,
    /// Version shown.
    pub version: u32,
    /// Status name, e.g. `effective`.
    pub status: String,
    /// Flags that are set.
    pub flags: Vec<String>,
    /// Privacy class, `P0` to `P4`.
    pub class: String,
    /// Digest of the header, to be named when countersigning.
    pub header_digest: Digest,
    /// The public header.
    pub header: Value,
    /// The body, when the reader may see it and this node has it.
    pub body: Option<Value>,
    /// Whether the body stood in a block that this node does not keep: another validator has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub body_elsewhere: bool,
    /// Leaf of the version's header in the record log.
    pub leaf_index: u64,
    /// Signers so far: key and role.
    pub signers: Vec<SignerView>,
    /// Approvals still missing, e.g. `supervisor`; empty unless submitted.
    #[serde(default)]
    pub missing: Vec<String>,
    /// An amendment, or a step to revoke, suspend or resume, that waits for approvals.
    pub pending: Option<PendingView>,
    /// What is or was owed on it by a day of the law.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deadlines: Vec<DeadlineView>,
    /// Height of the last change.
    pub changed_at: Height,
    /// Height at which the answer holds.
    pub height: Height,
}

/// Something about a record that waits for approvals.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PendingView {
    /// The step, e.g. `revoke` or `amend`.
    pub operation: String,
    /// Version to name when countersigning.
    pub version: u32,
    /// Digest to name when countersigning.
    pub digest: Digest,
    /// Approvals still missing.
    pub missing: Vec<String>,
    /// Signers so far.
    pub signers: Vec<SignerView>,
}

/// Who signed a record in which role.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignerView {
    /// The member's key.
    pub key: PublicKey,
    /// The role acted in.
    pub role: String,
    /// `submit`, `countersign`, ...
    pub operation: String,
}

/// One step of a record's history.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HistoryEntry {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// Leaf in the record log.
    pub leaf_index: u64,
    /// The step, e.g. `countersign`.
    pub operation: String,
    /// Who signed it; absent for automatic steps.
    pub author: Option<PublicKey>,
    /// Version after it.
    pub version: u32,
    /// Status after it.
    pub status: String,
    /// The decoded leaf.
    pub leaf: Value,
}

/// What a node says about itself and its view of the others.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NodeStatus {
    /// Software version.
    pub version: String,
    /// The chain.
    pub chain_id: ChainId,
    /// Its name in the validator set, or `observer`.
    pub name: String,
    /// Whether it votes.
    pub voting: bool,
    /// If it does not: why.
    pub not_voting_because: Option<Refusal>,
    /// The epoch.
    pub epoch: Epoch,
    /// The view it is in.
    pub view: View,
    /// Name of the view's leader.
    pub leader: String,
    /// Newest committed height.
    pub committed: Height,
    /// Newest executed height.
    pub executed: Height,
    /// Digest of the newest committed block.
    pub committed_digest: Digest,
    /// `exec_root` at the newest executed height.
    pub exec_root: Digest,
    /// Leaves in the record log.
    pub log_size: u64,
    /// Time of the newest committed block, milliseconds since 1970.
    pub block_time_ms: u64,
    /// Transactions waiting to be ordered.
    pub queued: u64,
    /// The act of recovery that began this epoch, or that ends it as soon as its block has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryNote>,
    /// The other validators.
    pub peers: Vec<PeerStatus>,
}

/// What a node knows of one peer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PeerStatus {
    /// Name in the validator set.
    pub name: String,
    /// Whether a verified connection stands.
    pub connected: bool,
    /// Its committed height as last heard.
    pub committed: Height,
    /// Its view as last heard.
    pub view: View,
    /// Milliseconds since it was last heard.
    pub silent_ms: Option<u64>,
    /// Why the last connection attempt was refused.
    pub refused: Option<Refusal>,
}

/// The validator set of the present epoch, what comes after it, and everybody the ledger knows.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ValidatorsView {
    /// The epoch.
    pub epoch: Epoch,
    /// The block before its first one.
    pub base_height: Height,
    /// The set in force.
    pub committee: Committee,
    /// Faults tolerated.
    pub faults: usize,
    /// Votes needed.
    pub quorum: usize,
    /// The next set, once it is settled: the epoch is about to end then.
    pub scheduled: Option<ScheduledView>,
    /// Every validator that the ledger knows, by name: wanted, suspended, taking part, and those that left last.
    pub known: Vec<ValidatorView>,
    /// Those of the set against whom the ledger holds proof of an offence; none of them leads a later epoch.
    #[serde(default)]
    pub offenders: Vec<OffenderView>,
    /// Height at which the answer holds.
    pub height: Height,
}

/// The set of the next epoch.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ScheduledView {
    /// The height whose execution settled it.
    pub height: Height,
    /// The set.
    pub next: Committee,
}

/// One validator as governance wants it, and what has become of that.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ValidatorView {
    /// Name, agency, keys and address in the version in effect.
    pub validator: Validator,
    /// Status name: `effective` is wanted in the set, `suspended` kept out of it, `revoked` gone.
    pub status: String,
    /// The record that says so.
    pub record: RecordId,
    /// The version in effect.
    pub version: u32,
    /// Whether it takes part in this epoch, under these keys.
    pub in_set: bool,
    /// Whether it will take part in the next one, under these keys; absent while that is not settled.
    pub in_next: Option<bool>,
    /// Until when its word that it is ready counts, milliseconds since 1970 of block time; absent when it has not
    /// given it for this version in this epoch.
    pub ready_until_ms: Option<u64>,
    /// Offences proved against its consensus key: with one it leads no later epoch.
    pub offences: u64,
}

/// A node's word that its validator can take part, to be filed as [`crate::operation::Operation::Ready`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReadyView {
    /// Name of the validator.
    pub name: String,
    /// The agency that runs it.
    pub agency: String,
    /// Its record.
    pub record: RecordId,
    /// The version it is ready for.
    pub version: u32,
    /// The epoch in which it says so; in another it counts for nothing.
    pub epoch: Epoch,
    /// When it said so, milliseconds since 1970.
    pub time_ms: u64,
    /// The key that signed.
    pub consensus_key: PublicKey,
    /// The signature over [`crate::record::validator::Ready`].
    pub signature: Signature,
}

/// An act of recovery in a few words; the whole of it is at `GET /v1/epochs/{epoch}/handover`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecoveryNote {
    /// The epoch that the agencies ended.
    pub epoch: Epoch,
    /// Its last block.
    pub height: Height,
    /// Under which record id the act is found in the record log.
    pub act: RecordId,
    /// What happened, in the agencies' words.
    pub reason: String,
    /// When the act was drawn up, milliseconds since 1970.
    pub time_ms: u64,
    /// Whether it is in effect at this node; otherwise the node follows to the act's block first.
    pub in_effect: bool,
}

impl RecoveryNote {
    /// What an act comes to.
    pub fn of(act: &RecoveryAct, in_effect: bool) -> Self {
        Self {
            epoch: act.epoch,
            height: act.height,
            act: act.record(),
            reason: act.reason.clone(),
            time_ms: act.time_ms,
            in_effect,
        }
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        let Self { epoch, height, act, reason, .. } = self;
        let rest = if self.in_effect { "" } else { "; this node follows to that block without a vote" };
        format!("the agencies ended epoch {epoch} at block {height} by act {act}: {reason}{rest}")
    }
}

/// How an epoch gave way to the next, as the API tells it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PassageView {
    /// Its own validators closed it.
    HandOver(Box<HandOver>),
    /// The agencies ended it after its quorum was lost.
    Recovery {
        /// The act with its signatures.
        recovery: Box<SignedRecovery>,
    },
}

impl From<PassageView> for Passage {
    fn from(view: PassageView) -> Self {
        match view {
            PassageView::HandOver(hand_over) => Self::HandOver(*hand_over),
            PassageView::Recovery { recovery } => Self::Recovery(*recovery),
        }
    }
}

/// A validator that broke a rule.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OffenderView {
    /// Its name in the set.
    pub name: String,
    /// Offences proven with its consensus key.
    pub offences: u64,
    /// Block that accepted the first proof.
    pub since: Height,
    /// Whether its lane is frozen for the rest of the epoch.
    pub lane_frozen: bool,
}

/// An offence, and the two statements that prove it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EvidenceView {
    /// What the ledger keeps of it.
    #[serde(flatten)]
    pub entry: OffenceEntry,
    /// The statements; the offender's key verifies them.
    pub evidence: Evidence,
}
