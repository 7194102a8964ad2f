//! One scenario on its ledger: who takes which step, and what comes of it.

mod station;

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
use chain_core::operation::{
    AmendReason, DisputeOutcome, Effect, EraseGround, Operation, Remedy, RepairOutcome, ReviewOutcome,
    RevokeReason,
};
use chain_core::read::{self, Moment, Reader};
use chain_core::record::body::parse_instant;
use chain_core::record::{Header, Lifecycle, RecordType};
use chain_core::rules;
use chain_core::subject::Index;
use chain_core::transaction::{Batch, Body, Submission};
use serde_json::{Map, Value};

use super::cast::{self, Cast};
use super::form::{Got, Step};
use station::Station;

use super::paper::{Links, Sheet, property_named};

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
    /// What was filed last, and with which arguments.
    filed: Filed,
    args: Map<String, Value>,
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
        let (before, leaves) = (self.time_ms, self.ledger.leaves().len());
        let duplicate = match time_of(&step.at, before).and_then(|time_ms| {
            self.time_ms = time_ms;
            self.act(step)
        }) {
            Ok(duplicate) => duplicate,
            Err(refusal) => {
                return Got { error: Some((refusal.code, refusal.detail)), ..Got::default() };
            }
        };
        let mut got = Got { duplicate, events: self.gaps_since(leaves), ..Got::default() };
        if let Some(head) = self.acts.get(&step.record).and_then(|act| self.ledger.head(&act.record)) {
            let (status, flags) = read::derived_status(&head, &head.current, self.today());
            got.status = Some(status.name().to_owned());
            got.flags = flags.names().into_iter().map(str::to_owned).collect();
        }
        got
    }

    fn today(&self) -> Date {
        Date::of_time(self.time_ms, self.cast.chain.utc_offset_minutes)
    }

    /// One step; whether it repeated an earlier one.
    fn act(&mut self, step: &Step) -> Result<bool, Refusal> {
        let who = cast::full(&step.who);
        match step.op.as_str() {
            "submit" => self.submit(&who, &step.record, &step.args),
            "dispute_open" => self.open_dispute(&who, step),
            "repair_apply" => self.apply_for_repair(&who, step),
            "amend" => self.amend(&who, step),
            "query" => self.query(&who, &step.record).map(|()| false),
            "verify_chain" => self.verify().map(|()| false),
            // Nobody takes these: a block passes, and the ledger does what is due.
            "expire" | "wait" | "tick" => self.execute(Vec::new()).map(|_| false),
            _ => {
                let operation = self.operation(step)?;
                self.send(&who, operation, None)
            }
        }
    }

    fn submit(&mut self, who: &str, label: &str, args: &Map<String, Value>) -> Result<bool, Refusal> {
        if let Some(act) = self.acts.get(label)
            && act.args == *args
        {
            let (operation, body, _) = act.filed.clone().submit();
            return self.send(who, operation, body);
        }
        let named = args.get("type").and_then(Value::as_str).unwrap_or_default();
        let record_type = match RecordType::from_name(named) {
            Some(found) => found,
            None if property_named(named).is_some() => RecordType::Licence,
            None => return Err(Refusal::new(Code::UnknownType, format!("type {named:?}"))),
        };
        match record_type {
            RecordType::SensorBatch => return self.send_batch(who, label, args),
            RecordType::DeviceKey => return self.send_key_event(who, label, args),
            _ => {}
        }
        let filed = self.draw_up(who, label, record_type, 1, args)?;
        let (operation, body, kept) = filed.clone().submit();
        if let Some(kept) = &kept {
            // No validator sees it: whoever files it judges it.
            rules::check_header_form(self.cast.chain.chain_id, &filed.header)?;
            rules::check_body(&filed.header, kept)?;
        }
        let record = filed.header.record;
        let duplicate = self.send(who, operation, body)?;
        let act = Act { record, record_type, filed, args: args.clone(), application: None };
        self.acts.insert(label.to_owned(), act);
        if record_type == RecordType::Device {
            self.keep_station(record, label, args);
        }
        Ok(duplicate)
    }

    /// Header and body of a record, as the office of whoever files it draws them up.
    fn draw_up(
        &mut self,
        who: &str,
        label: &str,
        record_type: RecordType,
        version: u32,
        args: &Map<String, Value>,
    ) -> Result<Filed, Refusal> {
        let links = self.links(who, args)?;
        let target = links.target.and_then(|target| self.ledger.head(&target));
        let basis = args.get("legal_basis").and_then(Value::as_str);
        let day = self.today();
        let sheet = Sheet {
            chain_id: self.cast.chain.chain_id,
            agency: cast::agency(cast::agency_of(who))?,
            record_type,
            label,
            version,
            args,
            day,
            legal_basis: self.cast.basis(basis, record_type),
            officers: officers(who, record_type, args),
            target: target.map(|head| (head.class, head.subject_kind)),
            links,
        };
        sheet.file()
    }

    /// The records that arguments name. What a story mentions without telling how it was filed (a notice, a promise) is
    /// filed here; what a record is about or rests on must be there, and is not.
    fn links(&mut self, who: &str, args: &Map<String, Value>) -> Result<Links, Refusal> {
        let names = |name: &str| -> Vec<String> {
            match args.get(name) {
                Some(Value::String(text)) => vec![text.clone()],
                Some(Value::Array(list)) => {
                    list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
                }
                _ => Vec::new(),
            }
        };
        let one = |name: &str| names(name).into_iter().next();
        let mut links = Links {
            target: one("target").map(|label| self.record(&label)),
            based_on: names("based_on").iter().map(|label| self.record(label)).collect(),
            explains: one("explains").map(|label| self.record(&label)),
            prior: one("prior").or_else(|| one("previous")).map(|label| self.record(&label)),
            ..Links::default()
        };
        if let Some(label) = one("notice").or_else(|| one("prior_notice")) {
            links.notice = Some(self.supporting(who, &label, RecordType::DocFingerprint)?);
        }
        if let Some(label) = one("commitment") {
            links.commitment = Some(self.supporting(who, &label, RecordType::Commitment)?);
        }
        Ok(links)
    }

    /// The record with the story's name, or an id that no record has.
    fn record(&self, label: &str) -> RecordId {
        let unknown = || RecordId::new(Digest::tagged(b"city/play/unknown/1", &[label.as_bytes()]));
        self.acts.get(label).map_or_else(unknown, |act| act.record)
    }

    fn supporting(&mut self, who: &str, label: &str, record_type: RecordType) -> Result<RecordId, Refusal> {
        if let Some(act) = self.acts.get(label) {
            return Ok(act.record);
        }
        // A clerk's office files what its supervisors rely on.
        let portal = record_type.lifecycle() == Some(Lifecycle::Case);
        let clerk = if portal { who.to_owned() } else { format!("{}/clerk1", cast::agency_of(who)) };
        let args = Map::from_iter([("type".to_owned(), Value::from(record_type.name()))]);
        self.submit(&clerk, label, &args)?;
        Ok(self.record(label))
    }

    fn open_dispute(&mut self, who: &str, step: &Step) -> Result<bool, Refusal> {
        let named = step.args.get("objection").and_then(Value::as_str);
        let mut args = step.args.clone();
        args.insert("type".to_owned(), Value::from(RecordType::Objection.name()));
        args.insert("target".to_owned(), Value::from(step.record.as_str()));
        if let Some(act) = named.and_then(|label| self.acts.get(label)) {
            let (operation, body, _) = act.filed.clone().submit();
            return self.send(who, operation, body);
        }
        let label = named.map_or_else(|| format!("{}/objection {}", step.record, self.sent), str::to_owned);
        self.submit(who, &label, &args)
    }

    fn apply_for_repair(&mut self, who: &str, step: &Step) -> Result<bool, Refusal> {
        let mut args = step.args.clone();
        args.insert("type".to_owned(), Value::from(RecordType::Repair.name()));
        args.insert("target".to_owned(), Value::from(step.record.as_str()));
        let label = format!("{}/repair {}", step.record, self.sent);
        let duplicate = self.submit(who, &label, &args)?;
        let application = self.record(&label);
        if let Some(act) = self.acts.get_mut(&step.record) {
            act.application = Some(application);
        }
        Ok(duplicate)
    }

    fn amend(&mut self, who: &str, step: &Step) -> Result<bool, Refusal> {
        let Some(act) = self.acts.get(&step.record).cloned() else {
            return Err(Refusal::new(Code::RecordNotFound, format!("record {}", step.record)));
        };
        let mut args = act.args.clone();
        args.extend(step.args.clone());
        let version = self.ledger.head(&act.record).map_or(1, |head| head.current.version) + 1;
        let owner = format!("{}/{}", cast::agency_of(who), "clerk1");
        let filer = if cast::agency(cast::agency_of(who))? == act.filed.header.agency { who } else { &owner };
        let mut filed = self.draw_up(filer, &step.record, act.record_type, version, &args)?;
        filed.header.record = act.record;
        filed.header.idempotency = act.filed.header.idempotency;
        filed.header.agency = act.filed.header.agency;
        let reason = named(step, "reason").and_then(AmendReason::from_name).unwrap_or(AmendReason::Clerical);
        let (operation, body, _) = filed.amend(reason);
        self.send(who, operation, body)
    }

    /// The operation of a step on a record that is there.
    fn operation(&self, step: &Step) -> Result<Operation, Refusal> {
        let record = self.record(&step.record);
        let head = self.ledger.head(&record);
        let version = head.as_ref().map_or(1, |head| head.current.version);
        let words = |name: &str| named(step, name).unwrap_or("sample").to_owned();
        let class_is_shared = head.as_ref().is_none_or(|head| head.class.body_is_shared());
        // Of records about persons, reasons are codes.
        let reason = || if class_is_shared { words("reason") } else { "sample".to_owned() };
        let carries = match named(step, "carries") {
            Some(name) => chosen("carries", name, Remedy::from_name)?,
            None => Remedy::None,
        };
        Ok(match step.op.as_str() {
            "countersign" | "reject" => {
                let (version, digest) = match head.as_ref().map(|head| (head, &head.pending, &head.next)) {
                    Some((head, Some(pending), _)) => (head.current.version, pending.digest),
                    Some((_, None, Some(next))) => (next.version, next.header_digest),
                    Some((head, None, None)) => (version, head.current.header_digest),
                    None => (version, Digest::ZERO),
                };
                if step.op == "countersign" {
                    Operation::Countersign { record, version, header_digest: digest }
                } else {
                    let reason = reason();
                    Operation::Reject { record, version, header_digest: Some(digest), reason }
                }
            }
            "withdraw" => Operation::Withdraw { record, version },
            "revoke" | "invalidate" => Operation::Revoke {
                record,
                version,
                reason: RevokeReason::Revoked,
                effect: named(step, "effect").and_then(Effect::from_name).unwrap_or(Effect::FromNow),
                note: String::new(),
            },
            "stop_publication" => Operation::StopPublication { record, version, reason: reason() },
            "suspend" => {
                let until = named(step, "until").and_then(|text| text.parse().ok());
                Operation::Suspend { record, version, until, reason: reason() }
            }
            "resume" => Operation::Resume { record, version },
            "dispute_decide" => Operation::DisputeDecide {
                record,
                version,
                outcome: dispute_outcome(step)?,
                carries,
                reasons: reason(),
            },
            "review_open" => Operation::ReviewOpen { record, version, file_no: words("file_no") },
            "review_decide" => Operation::ReviewDecide {
                record,
                version,
                outcome: chosen(
                    "outcome",
                    named(step, "outcome").unwrap_or("upheld"),
                    ReviewOutcome::from_name,
                )?,
                carries,
                order_no: words("order_no"),
            },
            "repair_decide" => Operation::RepairDecide {
                record,
                version,
                case: self
                    .acts
                    .get(&step.record)
                    .and_then(|act| act.application)
                    .unwrap_or_else(|| self.record("no application")),
                outcome: chosen(
                    "outcome",
                    named(step, "outcome").unwrap_or("granted"),
                    RepairOutcome::from_name,
                )?,
                reasons: reason(),
            },
            "repair_undo" => Operation::RepairUndo { record, version, reason: reason() },
            "seal" => Operation::Seal { record, version },
            "erase" => Operation::Erase { record, version, ground: erase_ground(step), note: String::new() },
            "hold" => Operation::Hold {
                record,
                version,
                order_no: words("order_no"),
                until: match named(step, "until") {
                    Some(text) => text.parse().map_err(|_| {
                        Refusal::new(Code::BadDate, format!("until is {text:?}, wants YYYY-MM-DD"))
                    })?,
                    None => self.today().add_months(12).unwrap_or(Date::MAX),
                },
            },
            "release_hold" => Operation::ReleaseHold { record, version, order_no: words("order_no") },
            "annotate" => {
                let bytes = step.args.get("bytes").and_then(Value::as_u64);
                let text = match bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
                    Some(bytes) => "x".repeat(bytes),
                    None if class_is_shared => words("text"),
                    None => "sample".to_owned(),
                };
                Operation::Annotate { record, version, text }
            }
            other => return Err(Refusal::new(Code::BadParameter, format!("no step is called {other:?}"))),
        })
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

    /// Signs and executes one operation in a block of its own; whether it repeated an earlier one.
    fn send(&mut self, who: &str, operation: Operation, body: Option<Body>) -> Result<bool, Refusal> {
        self.send_signed(&cast::secret(who), operation, body)
    }

    fn send_signed(
        &mut self,
        key: &SecretKey,
        operation: Operation,
        body: Option<Body>,
    ) -> Result<bool, Refusal> {
        self.sent += 1;
        let valid_until_ms = self.time_ms + VALID_MS + self.sent;
        let chain = self.cast.chain.chain_id;
        let operations = vec![(operation, body)];
        let submission = build::submission(chain, key, valid_until_ms, false, operations);
        rules::check_bodies(&submission)?;
        let outcomes = self.execute(vec![submission])?;
        match outcomes.first().map(|outcome| &outcome.verdict) {
            Some(Verdict::Accepted { duplicate, .. }) => Ok(*duplicate),
            Some(Verdict::Refused(refusal)) => Err(refusal.clone()),
            None => Err(Refusal::new(Code::Internal, "a block without an outcome")),
        }
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

fn named<'a>(step: &'a Step, name: &str) -> Option<&'a str> {
    step.args.get(name).and_then(Value::as_str)
}

fn chosen<T>(what: &str, name: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T, Refusal> {
    from_name(name).ok_or_else(|| Refusal::new(Code::BadParameter, format!("{what} is {name:?}")))
}

/// The outcomes that the form of an objection knows come down to three.
fn dispute_outcome(step: &Step) -> Result<DisputeOutcome, Refusal> {
    match named(step, "outcome").unwrap_or("upheld") {
        "corrected" | "supplemented" | "publication_stopped" | "removed" => Ok(DisputeOutcome::Upheld),
        name => chosen("outcome", name, DisputeOutcome::from_name),
    }
}

fn erase_ground(step: &Step) -> EraseGround {
    let words = named(step, "ground").unwrap_or("request");
    let speaks = |word: &str| words.contains(word);
    match () {
        () if speaks("retention") => EraseGround::RetentionEnd,
        () if speaks("unlawful") => EraseGround::Unlawful,
        () if speaks("court") => EraseGround::Court,
        () => EraseGround::Request,
    }
}

/// Officers of a penalty: those named, else whoever files it and a colleague.
fn officers(
    who: &str,
    record_type: RecordType,
    args: &Map<String, Value>,
) -> Vec<chain_core::crypto::PublicKey> {
    if record_type != RecordType::Penalty {
        return Vec::new();
    }
    if let Some(Value::Array(named)) = args.get("officers") {
        return named.iter().filter_map(Value::as_str).map(cast::public).collect();
    }
    let agency = cast::agency_of(who);
    let colleague = if who.ends_with("/clerk2") { "clerk1" } else { "clerk2" };
    vec![cast::public(who), cast::public(&format!("{agency}/{colleague}"))]
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
