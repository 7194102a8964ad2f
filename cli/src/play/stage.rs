//! One scenario on its ledger: who takes which step, and what comes of it.

mod office;
mod station;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chain_core::block::{Flags as BlockFlags, HEADER_VERSION, Header as BlockHeader};
use chain_core::build::{self, Filed};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, SecretKey, Signature};
use chain_core::date::Date;
use chain_core::execute::{OrderedBatch, OrderedBlock, Outcome, ReadError, Verdict};
use chain_core::id::{Epoch, Height, RecordId, ValidatorIx, View};
use chain_core::lane::{BatchHeader, SignedBatchHeader};
use chain_core::ledger::MemoryLedger;
use chain_core::operation::Operation;
use chain_core::read::{self, Moment, Reader};
use chain_core::record::body::parse_instant;
use chain_core::record::{Header, RecordType};
use chain_core::rules;
use chain_core::subject::Index;
use chain_core::transaction::{Batch, Body, Submission};
use serde_json::{Map, Value};

use super::cast::{self, Cast};
use super::form::{Args, Got, Step};
use station::Station;

/// How long a transaction of a scenario is valid.
const VALID_MS: u64 = 60_000;
/// When a step happens that names only its day.
const OFFICE_OPENS: &str = "T09:00:00+08:00";

/// A block that was executed, for executing it again.
#[derive(Debug)]
struct Played {
    header: BlockHeader,
    batch: Batch,
    outcomes: Vec<Outcome>,
}

/// A record of the story.
#[derive(Clone, Debug)]
struct Act {
    record: RecordId,
    record_type: RecordType,
    /// What was filed first, and with which arguments.
    filed: Filed,
    args: Map<String, Value>,
    /// The arguments of its newest version.
    newest: Map<String, Value>,
    /// The application for its repair that was filed last.
    application: Option<RecordId>,
}

/// A ledger, its clock and the story's records.
#[derive(Debug)]
pub(crate) struct Stage {
    cast: Cast,
    ledger: MemoryLedger,
    time_ms: u64,
    sent: u64,
    acts: BTreeMap<String, Act>,
    played: Vec<Played>,
    /// The story's devices, by their posts.
    stations: BTreeMap<String, Station>,
    /// Gaps that the ledger wrote.
    gaps: usize,
}

impl Stage {
    /// A ledger with its cast and nothing else.
    pub(crate) fn new(cast: Cast) -> Result<Self, Refusal> {
        let ledger = MemoryLedger::new(cast.chain, &cast.genesis)?;
        let (acts, stations) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { cast, ledger, time_ms: 0, sent: 0, acts, played: Vec::new(), stations, gaps: 0 })
    }

    /// Takes a step; what a rule refuses is a result too.
    pub(crate) fn take(&mut self, step: &Step) -> Got {
        let leaves = self.ledger.leaves().len();
        let mut got = match self.begin(step).and_then(|()| self.act(step)) {
            Ok(duplicate) => Got { duplicate, events: self.gaps_since(leaves), ..Got::default() },
            Err(refusal) => Got { error: Some((refusal.code, refusal.detail)), ..Got::default() },
        };
        if let Some(head) = self.acts.get(&step.record).and_then(|act| self.ledger.head(&act.record)) {
            let (status, flags) = read::derived_status(&head, &head.current, self.today());
            got.status = Some(status.name().to_owned());
            got.flags = flags.names().into_iter().map(str::to_owned).collect();
            let head_of = |record: &RecordId| Ok::<_, ReadError>(self.ledger.head(record));
            if read::is_base_disputed(&head, head_of).unwrap_or(false) {
                got.flags.push(read::BASE_DISPUTED.to_owned());
            }
        }
        got
    }

    /// Sets block time.
    fn begin(&mut self, step: &Step) -> Result<(), Refusal> {
        step.check()?;
        self.time_ms = time_of(&step.at, self.time_ms)?;
        Ok(())
    }

    fn today(&self) -> Date {
        Date::of_time(self.time_ms, self.cast.chain.utc_offset_minutes)
    }

    /// One step; whether it repeated an earlier one.
    fn act(&mut self, step: &Step) -> Result<bool, Refusal> {
        let who = cast::full(&step.who);
        match step.op.as_str() {
            "query" => {
                Args::of(&step.args).finish("query")?;
                return self.query(&who, &step.record).map(|()| false);
            }
            "verify_chain" => {
                Args::of(&step.args).finish("verify_chain")?;
                return self.verify().map(|()| false);
            }
            // Nobody takes these: a block passes, and the ledger does what is due.
            op if matches!(op, "expire" | "wait" | "tick") || is_automatic(&step.who, op) => {
                Args::of(&step.args).finish(&step.op)?;
                return self.execute(Vec::new()).map(|_| false);
            }
            _ => cast::check_post(&step.who)?,
        }
        if cast::is_device(&who) {
            self.install(&who)?;
        }
        match step.op.as_str() {
            "submit" => self.submit(&who, &step.record, &step.args),
            "dispute_open" => self.open_dispute(&who, step),
            "repair_apply" => self.apply_for_repair(&who, step),
            "amend" => self.amend(&who, step),
            "dispute_decide" => self.decide_dispute(&who, step),
            _ => {
                let operation = self.operation(step)?;
                self.send(&who, vec![(operation, None)])
            }
        }
    }

    /// The record with the story's name, or an id that no record has.
    fn record(&self, label: &str) -> RecordId {
        let unknown = || RecordId::new(Digest::tagged(b"city/play/unknown/1", &[label.as_bytes()]));
        self.acts.get(label).map_or_else(unknown, |act| act.record)
    }

    fn query(&mut self, who: &str, label: &str) -> Result<(), Refusal> {
        self.execute(Vec::new())?;
        let record = self.record(label);
        let (Some(act), Some(head)) = (self.acts.get(label), self.ledger.head(&record)) else {
            return Err(Refusal::new(Code::RecordNotFound, format!("record {label}")));
        };
        let reader = match cast::agency_of(who) {
            "reader" => Reader::Public,
            _ if who.contains("auditor") => Reader::Auditor,
            // A subject is shown its own records at the agency's window.
            "portal" => Reader::Agency(head.agency.clone()),
            name => Reader::Agency(cast::agency(name)?),
        };
        let header: &Header = &act.filed.header;
        let moment = Moment { height: self.ledger.height(), today: self.today() };
        let body = Some(act.filed.body.json.as_str());
        read::record_view(&record, &head, header, body, &reader, moment).map(|_| ())
    }

    /// Signs and executes operations in a block of their own, all or none of them; whether they repeated earlier ones.
    fn send(&mut self, who: &str, operations: Vec<(Operation, Option<Body>)>) -> Result<bool, Refusal> {
        let key = self.device_key(who).unwrap_or_else(|| cast::secret(who));
        self.send_signed(&key, operations)
    }

    fn send_signed(
        &mut self,
        key: &SecretKey,
        operations: Vec<(Operation, Option<Body>)>,
    ) -> Result<bool, Refusal> {
        self.sent += 1;
        let valid_until_ms = self.time_ms + VALID_MS + self.sent;
        let chain = self.cast.chain.chain_id;
        let atomic = operations.len() > 1;
        let submission = build::submission(chain, key, valid_until_ms, atomic, operations);
        rules::check_bodies(&submission)?;
        let (mut again, mut failed) = (true, None);
        for outcome in self.execute(vec![submission])? {
            match outcome.verdict {
                Verdict::Accepted { duplicate, .. } => again &= duplicate,
                // The others of a transaction failed because one did.
                Verdict::Refused(refusal) if refusal.code == Code::AtomicFailed => {
                    failed.get_or_insert(refusal);
                }
                Verdict::Refused(refusal) => return Err(refusal),
            }
        }
        failed.map_or(Ok(again), Err)
    }

    fn execute(&mut self, submissions: Vec<Submission>) -> Result<Vec<Outcome>, Refusal> {
        let header = block_header(&self.cast, self.ledger.height().next(), self.time_ms);
        let batch = batch(&self.cast, submissions);
        let outcomes = execute(&mut self.ledger, &header, &batch, None).map_err(internal)?;
        self.played.push(Played { header, batch, outcomes: outcomes.clone() });
        Ok(outcomes)
    }

    /// Executes every block again, without the bodies that are gone, and compares what comes of it.
    fn verify(&self) -> Result<(), Refusal> {
        let mut again = MemoryLedger::new(self.cast.chain, &self.cast.genesis)?;
        for played in &self.played {
            let mut batch = played.batch.clone();
            for submission in &mut batch.submissions {
                let operations = &submission.signed.transaction.operations;
                for (operation, body) in operations.iter().zip(&mut submission.bodies) {
                    let head = self.ledger.head(&operation.record());
                    if head.is_some_and(|head| head.current.status.is_without_bodies()) {
                        *body = None;
                    }
                }
            }
            let outcomes = execute(&mut again, &played.header, &batch, Some(&played.outcomes));
            if outcomes.map_err(internal)? != played.outcomes {
                let detail = format!("block {} comes to other outcomes", played.header.height);
                return Err(Refusal::new(Code::StateMismatch, detail));
            }
        }
        if again.summary() == self.ledger.summary() {
            return Ok(());
        }
        Err(Refusal::new(Code::StateMismatch, "the blocks lead to another state"))
    }
}

fn internal(error: ReadError) -> Refusal {
    Refusal::new(Code::Internal, error.to_string())
}

fn chosen<T>(what: &str, name: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T, Refusal> {
    from_name(name).ok_or_else(|| Refusal::new(Code::BadParameter, format!("{what} is {name:?}")))
}

/// Whether a step is one that the ledger takes by itself when its day has come.
fn is_automatic(who: &str, op: &str) -> bool {
    matches!(who, "system" | "ledger" | "node" | "automatic" | "chain")
        && matches!(op, "seal" | "stop_publication")
}

/// Block time of a step; it never goes back.
fn time_of(at: &str, before: u64) -> Result<u64, Refusal> {
    let day_only = at.len() == 10;
    let text = if day_only { format!("{at}{OFFICE_OPENS}") } else { at.to_owned() };
    let time_ms = parse_instant(&text).ok_or_else(|| {
        Refusal::new(Code::BadDate, format!("at is {at:?}, wants YYYY-MM-DD or an RFC 3339 time with offset"))
    })?;
    if time_ms < before && !day_only {
        let detail = format!("{at} lies before the step before it");
        return Err(Refusal::new(Code::DateOrder, detail));
    }
    Ok(time_ms.max(before))
}

fn execute(
    ledger: &mut MemoryLedger,
    header: &BlockHeader,
    batch: &Batch,
    recorded: Option<&[Outcome]>,
) -> Result<Vec<Outcome>, ReadError> {
    let signatures_ok: Vec<bool> =
        batch.submissions.iter().map(|submission| submission.signed.verify_signature()).collect();
    let ordered = OrderedBatch { batch, signatures_ok: &signatures_ok, recorded };
    ledger.execute(&OrderedBlock { header, batches: vec![ordered], index: Index::None })
}

fn block_header(cast: &Cast, height: Height, time_ms: u64) -> BlockHeader {
    let zero = Digest::ZERO;
    BlockHeader {
        version: HEADER_VERSION,
        chain_id: cast.chain.chain_id,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        height,
        parent: zero,
        proposer: ValidatorIx::new(0),
        time_ms,
        flags: BlockFlags::NONE,
        lanes_root: zero,
        batches_root: zero,
        n_batches: 1,
        n_records: 0,
        n_bytes: 0,
        exec_height: Height::ZERO,
        exec_root: zero,
        history_root: zero,
        validators_hash: zero,
        next_validators_hash: zero,
    }
}

fn batch(cast: &Cast, submissions: Vec<Submission>) -> Batch {
    let header = BatchHeader {
        chain_id: cast.chain.chain_id,
        epoch: Epoch::ZERO,
        author: ValidatorIx::new(0),
        seq: 0,
        prev: Digest::ZERO,
        payload_root: Digest::ZERO,
        bytes: 0,
        count: 0,
        time_ms: 0,
    };
    Batch { signed: SignedBatchHeader { header, signature: Signature::ZERO }, submissions }
}
