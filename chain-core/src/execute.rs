//! From an ordered block to outcomes, leaves and roots: the deterministic heart of the ledger.
//!
//! The same function runs on every validator, in the simulator and in an offline audit. It reads through
//! [`LedgerRead`] and returns everything to be written as one [`BlockResult`]; it writes nothing itself.
//! A transaction or operation that fails is an [`Outcome`] with a code, never an invalid block.

mod accuse;
mod alerts;
mod automatic;
mod certificates;
mod content;
mod days;
mod devices;
mod duty;
mod erase;
mod genesis;
mod governance;
mod index;
mod links;
mod membership;
mod overlay;
mod params;
mod procurement;
mod recovery;
mod schemas;
mod steps;
mod streams;

use std::collections::BTreeSet;
use std::rc::Rc;

use jmt::storage::{TreeReader, TreeUpdateBatch};
use serde::{Deserialize, Serialize};

use crate::block::{ExecSummary, Header};
use crate::canonical::Writer;
use crate::code::{Code, Refusal};
use crate::codec::Wire;
use crate::committee::Committee;
use crate::crypto::{Digest, PublicKey};
use crate::date::Date;
use crate::id::{ChainId, Epoch, Height, RecordId, TxId, ValidatorIx};
use crate::layout::Layout as _;
use crate::leaf::{Leaf, SealLeaf};
use crate::lifecycle::Actor;
use crate::merkle::{self, Frontier};
use crate::operation::Operation;
use crate::record::calendar::CalendarDetails;
use crate::record::governance::{AgencyDetails, BasisDetails, MemberDetails};
use crate::record::params::Params;
use crate::record::schema::SchemaDetails;
use crate::record::validator::ValidatorDetails;
use crate::recovery::RecoveryKeys;
use crate::state::{AgencyEntry, MemberEntry, key, tree};
use crate::subject::Index;
use crate::transaction::{Batch, Body, OPERATIONS_MAX, Submission, TRANSACTION_VERSION, Transaction};
use overlay::{Fail, Overlay};

pub use accuse::{frozen_lanes, offender, set_of};
pub use genesis::{genesis_block, genesis_header};
pub use membership::{FORMER_MAX, epoch, validators};
pub use params::params;
pub use recovery::{execute_recovered_block, recovery_keys};

/// Reading the ledger failed; the node stops.
#[derive(Clone, Debug, thiserror::Error)]
#[error("ledger read failed: {0}")]
pub struct ReadError(pub String);

/// A state key and its value.
pub type StateEntry = (Vec<u8>, Vec<u8>);

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
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<StateEntry>, ReadError>;
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
    /// Nodes of the state tree, and of the index of subjects, written and made stale.
    pub tree: TreeUpdateBatch,
    /// The next epoch's validators, when this block settled them: the epoch's closing block is the first whose
    /// header certifies this height. [`epoch`] reads them again after a restart.
    pub scheduled: Option<Committee>,
    /// Lanes of this epoch that this block froze: what later blocks order from them is refused.
    pub frozen: Vec<ValidatorIx>,
    /// Records whose bodies nobody may hold any longer: whoever writes this result destroys them and says so.
    pub erased: Vec<RecordId>,
}

/// An ordered block, ready to execute.
#[derive(Clone, Debug)]
pub struct OrderedBlock<'a> {
    /// The committed header; its time is the block time of every rule.
    pub header: &'a Header,
    /// Every batch it orders, in execution order.
    pub batches: Vec<OrderedBatch<'a>>,
    /// Where the index of subjects comes from.
    pub index: Index<'a>,
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
    /// Registered types, every version of each.
    pub schemas: Vec<SchemaDetails>,
    /// The calendars of working days, one a year.
    pub calendars: Vec<CalendarDetails>,
    /// The validators of epoch 0, 4 to 100; or none, for a ledger that keeps no validator set.
    pub validators: Vec<ValidatorDetails>,
    /// The agencies' keys for the day when no quorum is left; none, if the city has not set any.
    pub recovery: Option<RecoveryKeys>,
    /// The public key of the index of subjects; none, if the ledger keeps no such index.
    pub index: Option<PublicKey>,
}

/// Most automatic steps of one block; the rest follow in the next ones. Readers see dates, not steps, so
/// nothing is shown too long meanwhile.
pub const AUTOMATIC_STEPS_MAX: usize = 256;
/// Most records of one block whose steps follow from steps on other records; the rest follow in the next ones.
pub const CASCADE_STEPS_MAX: usize = 256;
/// Most promises of batches that one block looks at after they ran out; the rest follow in the next ones.
pub const SILENCES_MAX: usize = 256;
/// Most alerts whose approval was due that one block looks at; the rest follow in the next ones.
pub const CONFIRMATIONS_MAX: usize = 256;
/// Most gaps in streams that one block writes; the rest follow in the next ones.
pub const GAPS_MAX: usize = 1_024;
/// Longest chain of records that rest on one another, the lowest one not counted.
pub const CASCADE_DEPTH_MAX: u8 = 4;

impl Outcome {
    /// The canonical layout under the outcomes root: transaction, position, and either record, version, leaf
    /// and duplicate flag, or the number of the code. The detail is for people and not part of it.
    pub fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.digest(self.tx.digest()).u16(self.operation);
        match &self.verdict {
            Verdict::Accepted { record, version, leaf_index, duplicate } => {
                writer.u8(1).digest(record.digest()).u32(*version).u64(*leaf_index);
                writer.u8(u8::from(*duplicate));
            }
            Verdict::Refused(refusal) => {
                writer.u8(0).u16(refusal.code.number());
            }
        }
        writer.finish()
    }
}

/// Root over the outcomes of a block, in order.
pub fn outcomes_root(outcomes: &[Outcome]) -> Digest {
    merkle::root(outcomes.iter().map(Outcome::canonical))
}

/// Executes one block on top of the ledger after the previous one.
///
/// What earlier blocks left of cascades comes first, then automatic steps, then the transactions in order. The result depends on its arguments only.
/// Bodies must have passed [`crate::rules::check_bodies`] before the block was voted for.
///
/// # Errors
/// Only when the ledger cannot be read, or when a closing block hands over to another validator set than the
/// ledger has settled, which no honest quorum certifies; whatever a member sends becomes an outcome.
pub fn execute_block<L: LedgerRead>(
    ledger: &L,
    chain: &ChainParams,
    previous: &ExecState,
    block: &OrderedBlock<'_>,
) -> Result<BlockResult, ReadError> {
    execute_ordered(Execution::new(ledger, chain, previous, block), block)
}

/// Tries a block out on top of the ledger: what its operations would come to, and nothing that could be written.
///
/// # Errors
/// Those of [`execute_block`].
pub fn try_block<L: LedgerRead>(
    ledger: &L,
    chain: &ChainParams,
    previous: &ExecState,
    block: &OrderedBlock<'_>,
) -> Result<Vec<Outcome>, ReadError> {
    execute_block(ledger, chain, previous, block).map(|result| result.outcomes)
}

fn execute_ordered<L: LedgerRead>(
    mut execution: Execution<'_, L>,
    block: &OrderedBlock<'_>,
) -> Result<BlockResult, ReadError> {
    execution.load_params()?;
    execution.continue_cascades()?;
    execution.automatic_steps()?;
    execution.continue_gaps()?;
    execution.find_silences()?;
    execution.find_unconfirmed()?;
    execution.begin_publications()?;
    execution.forget_transactions()?;
    for (batch, ordered) in (0..).zip(&block.batches) {
        let author = ordered.batch.signed.header.author;
        let frozen = execution.lane_was_frozen(author)?;
        let mut recorded = ordered.recorded.map(<[Outcome]>::iter);
        for (at, submission) in ordered.batch.submissions.iter().enumerate() {
            let before = execution.outcomes.len();
            let signature_ok = ordered.signatures_ok.get(at).copied().unwrap_or(false);
            let operations = submission.signed.transaction.operations.len().max(1);
            let recorded: Option<Vec<&Verdict>> = recorded
                .as_mut()
                .map(|outcomes| outcomes.take(operations).map(|outcome| &outcome.verdict).collect());
            if frozen {
                execution.refuse_frozen(submission, author);
            } else {
                execution.transaction(submission, signature_ok, recorded.as_deref())?;
            }
            let place = (batch, u32::try_from(at).unwrap_or(u32::MAX));
            execution.note_idle_bodies(&submission.signed.transaction.operations, place, before)?;
        }
    }
    execution.membership(block.header)?;
    execution.finish(block.header)
}

/// A member in force, with its agency.
struct Author {
    key: PublicKey,
    member: Rc<MemberEntry>,
}

impl Author {
    fn actor(&self) -> Actor<'_> {
        Actor { key: self.key, agency: &self.member.agency, role: self.member.role }
    }
}

/// What a step knows of the operation it carries out.
struct Call<'a> {
    tx: &'a TxId,
    index: u16,
    author: &'a Author,
    operation: &'a Operation,
    canonical: &'a [u8],
    body: Option<&'a Body>,
    recorded: Option<&'a Verdict>,
}

/// What an accepted step did.
struct Done {
    record: RecordId,
    version: u32,
    leaf_index: u64,
    duplicate: bool,
}

/// One block being executed.
struct Execution<'a, L> {
    chain: &'a ChainParams,
    epoch: Epoch,
    height: Height,
    time_ms: u64,
    today: Date,
    state: Overlay<'a, L>,
    log: Frontier,
    leaves: Vec<AppendedLeaf>,
    outcomes: Vec<Outcome>,
    previous: &'a ExecSummary,
    /// Whether something changed that the next validator set depends on.
    membership_touched: bool,
    scheduled: Option<Committee>,
    frozen: Vec<ValidatorIx>,
    index: Index<'a>,
    /// Records whose place in the index may have changed.
    touched: BTreeSet<RecordId>,
    /// Records whose bodies must go.
    erased: BTreeSet<RecordId>,
    /// Records looked at because of steps on other records.
    linked: usize,
    /// Gaps found in streams.
    gaps: usize,
    /// The parameters that hold in the block.
    params: Params,
}

impl<'a, L: LedgerRead> Execution<'a, L> {
    fn new(ledger: &'a L, chain: &'a ChainParams, previous: &'a ExecState, block: &OrderedBlock<'a>) -> Self {
        let header = block.header;
        Self {
            chain,
            epoch: header.epoch,
            height: header.height,
            time_ms: header.time_ms,
            today: Date::of_time(header.time_ms, chain.utc_offset_minutes),
            state: Overlay::new(ledger),
            log: previous.log.clone(),
            leaves: Vec::new(),
            outcomes: Vec::new(),
            previous: &previous.summary,
            membership_touched: false,
            scheduled: None,
            frozen: Vec::new(),
            index: block.index,
            touched: BTreeSet::new(),
            erased: BTreeSet::new(),
            linked: 0,
            gaps: 0,
            params: Params::default(),
        }
    }

    fn transaction(
        &mut self,
        submission: &Submission,
        signature_ok: bool,
        recorded: Option<&[&Verdict]>,
    ) -> Result<(), ReadError> {
        let transaction = &submission.signed.transaction;
        let canonical: Vec<Vec<u8>> = transaction.operations.iter().map(Operation::canonical).collect();
        let tx = transaction.id_with(canonical.iter());
        if let Some(evidence) = accuse::accusation(transaction) {
            return self.accusation(transaction, &tx, signature_ok, evidence);
        }
        if erase::is_confirmation(transaction) {
            return self.confirmations(transaction, &tx, signature_ok);
        }
        let by = |execution: &mut Self| execution.author(&transaction.author);
        let author = match self.admit_by(transaction, &tx, signature_ok, by) {
            Ok(author) => author,
            Err(Fail::Read(error)) => return Err(error),
            Err(Fail::Refused(refusal)) => {
                // A transaction without operations still gets an answer.
                let count = canonical.len().max(1);
                self.report(&tx, (0..count).map(|_| Err(refusal.clone())).collect());
                return Ok(());
            }
        };
        let leaves = self.leaves.len();
        let log = transaction.atomic.then(|| self.log.clone());
        if transaction.atomic {
            self.state.begin();
        }
        let mut verdicts = Vec::with_capacity(canonical.len());
        for (at, (operation, canonical)) in transaction.operations.iter().zip(&canonical).enumerate() {
            let call = Call {
                tx: &tx,
                index: u16::try_from(at).unwrap_or(u16::MAX),
                author: &author,
                operation,
                canonical,
                body: submission.bodies.get(at).and_then(Option::as_ref),
                recorded: recorded.and_then(|recorded| recorded.get(at).copied()),
            };
            verdicts.push(match self.step(&call) {
                Ok(done) => Ok(done),
                Err(Fail::Refused(refusal)) => Err(refusal),
                Err(Fail::Read(error)) => return Err(error),
            });
        }
        if let Some(log) = log {
            let failed = verdicts.iter().position(Result::is_err);
            match failed {
                None => self.state.commit(),
                Some(first) => {
                    self.state.rollback();
                    self.leaves.truncate(leaves);
                    self.log = log;
                    for verdict in verdicts.iter_mut().filter(|verdict| verdict.is_ok()) {
                        let detail = format!("operation {first} was refused");
                        *verdict = Err(Refusal::new(Code::AtomicFailed, detail));
                    }
                }
            }
        }
        self.report(&tx, verdicts);
        Ok(())
    }

    fn report(&mut self, tx: &TxId, verdicts: Vec<Result<Done, Refusal>>) {
        for (at, verdict) in verdicts.into_iter().enumerate() {
            let verdict = match verdict {
                Ok(done) => Verdict::Accepted {
                    record: done.record,
                    version: done.version,
                    leaf_index: done.leaf_index,
                    duplicate: done.duplicate,
                },
                Err(refusal) => Verdict::Refused(refusal),
            };
            let operation = u16::try_from(at).unwrap_or(u16::MAX);
            self.outcomes.push(Outcome { tx: *tx, operation, verdict });
        }
    }

    /// Checks a transaction as a whole, with what must hold of its author, and remembers its id.
    fn admit_by<A>(
        &mut self,
        transaction: &Transaction,
        tx: &TxId,
        signature_ok: bool,
        author: impl FnOnce(&mut Self) -> Result<A, Fail>,
    ) -> Result<A, Fail> {
        let refuse = |code, detail: String| Err(Fail::Refused(Refusal::new(code, detail)));
        if transaction.version != TRANSACTION_VERSION {
            let detail = format!("transaction version {}, wants {TRANSACTION_VERSION}", transaction.version);
            return refuse(Code::UnsupportedVersion, detail);
        }
        if transaction.chain_id != self.chain.chain_id {
            return refuse(Code::WrongChain, format!("signed for chain {}", transaction.chain_id));
        }
        match transaction.operations.len() {
            0 => return refuse(Code::NoOperations, "no operation".to_owned()),
            count if count > OPERATIONS_MAX => {
                let detail = format!("{count} operations, at most {OPERATIONS_MAX}");
                return refuse(Code::TooManyOperations, detail);
            }
            _ => {}
        }
        let author = author(self)?;
        if !signature_ok {
            return refuse(Code::BadSignature, format!("signature of key {}", transaction.author.short()));
        }
        if transaction.valid_until_ms < self.time_ms {
            let detail = format!("valid until {}, block time {}", transaction.valid_until_ms, self.time_ms);
            return refuse(Code::Expired, detail);
        }
        let validity_ms = u64::from(self.params.transaction_validity_s) * 1_000;
        if transaction.valid_until_ms - self.time_ms > validity_ms {
            let ahead = transaction.valid_until_ms - self.time_ms;
            return refuse(
                Code::ValidityTooLong,
                format!("valid for {ahead} ms, at most {validity_ms} from block time"),
            );
        }
        let remembered = key::transaction(tx);
        if self.state.get(&remembered)?.is_some() {
            return refuse(Code::Replayed, format!("transaction {tx}"));
        }
        self.state.put(remembered, transaction.valid_until_ms.to_be_bytes().to_vec());
        self.state.put(key::forget(transaction.valid_until_ms, tx), Vec::new());
        Ok(author)
    }

    /// The member with a key, when it and its agency are in force.
    fn author(&mut self, author: &PublicKey) -> Result<Author, Fail> {
        let Some(member) = self.state.member(author)? else {
            if let Some(device) = self.device_author(author)? {
                return self.in_agency(device);
            }
            return Err(Refusal::new(Code::UnknownAuthor, format!("key {}", author.short())).into());
        };
        member.check_in_office(author, self.today)?;
        self.in_agency(Author { key: *author, member })
    }

    /// Refuses an author whose agency is not in force.
    fn in_agency(&mut self, author: Author) -> Result<Author, Fail> {
        let agency = self.state.agency(&author.member.agency)?;
        let in_force = agency.as_ref().is_some_and(|agency| self.agency_is_in_force(agency));
        if !in_force {
            let detail = format!("agency {}", author.member.agency);
            return Err(Refusal::new(Code::AgencySuspended, detail).into());
        }
        Ok(author)
    }

    fn agency_is_in_force(&self, agency: &AgencyEntry) -> bool {
        agency.is_in_force(self.today)
    }

    /// The latest time that a record may say it was captured or sent at.
    fn latest_capture_ms(&self) -> u64 {
        self.time_ms.saturating_add(u64::from(self.params.captured_ahead_s) * 1_000)
    }

    /// Appends a leaf; gives its index.
    fn append(&mut self, record: Option<RecordId>, bytes: Vec<u8>) -> u64 {
        let index = self.log.size();
        self.log.push(&merkle::leaf_hash(&bytes));
        self.leaves.push(AppendedLeaf { bytes, record });
        index
    }

    fn finish(mut self, header: &Header) -> Result<BlockResult, ReadError> {
        let index = self.settle_index()?;
        let erased = self.take_erased()?;
        let state = self.state.take_writes();
        let entries = tree::entries(&state);
        let unchanged = entries.is_empty();
        // Whatever changes what can be shown is sealed: a publication that begins and an epoch are no steps in a record's
        // life, and leave no other leaf.
        let sealed = !self.leaves.is_empty() || index.is_some() || !unchanged;
        let (state_root, mut tree) = tree::update(self.state.ledger(), self.height, entries)?;
        if let Some(index) = index {
            tree.node_batch.extend(index.node_batch.nodes().clone(), index.node_batch.values().clone());
            tree.stale_node_index_batch.extend(index.stale_node_index_batch);
        }
        if unchanged && state_root != self.previous.state_root {
            return Err(ReadError(format!(
                "the state tree below height {} is not the ledger's",
                self.height
            )));
        }
        if sealed {
            let seal = SealLeaf {
                height: self.height,
                header_digest: header.digest(),
                state_root,
                epoch: header.epoch,
            };
            self.append(None, Leaf::Seal(seal).to_canonical());
        }
        let log_root = if self.leaves.is_empty() { self.previous.log_root } else { self.log.root() };
        let summary = ExecSummary {
            height: self.height,
            previous: self.previous.root(),
            log_size: self.log.size(),
            log_root,
            outcomes_root: outcomes_root(&self.outcomes),
            state_root,
        };
        Ok(BlockResult {
            summary,
            outcomes: self.outcomes,
            leaves: self.leaves,
            log: self.log,
            state,
            tree,
            scheduled: self.scheduled,
            frozen: self.frozen,
            erased,
        })
    }
}
