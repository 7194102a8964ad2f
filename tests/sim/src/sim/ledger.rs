//! Execution inside the simulator: the real executor over a ledger in memory, fed with real records.

use std::collections::BTreeMap;

use chain_core::block::ExecSummary;
use chain_core::crypto::{Digest, PublicKey, SecretKey, Signature};
use chain_core::date::Date;
use chain_core::execute::{ChainParams, GenesisState, OrderedBatch, OrderedBlock, Verdict};
use chain_core::id::{ChainId, Epoch, Height, TxId, ValidatorIx};
use chain_core::lane::{BatchHeader, BatchRef, SignedBatchHeader};
use chain_core::ledger::MemoryLedger;
use chain_core::operation::Operation;
use chain_core::org::OrgId;
use chain_core::record::governance::{
    AgencyDetails, BasisDetails, Instrument, MemberDetails, NewKey, PublicationRules, RepairRules, Role, Term,
};
use chain_core::record::{self, BasisRef, Class, Details, Header, RecordType, SubjectKind};
use chain_core::subject::Index;
use chain_core::transaction::{
    Batch, Body, SignedTransaction, Submission, TRANSACTION_VERSION, Transaction, payload_root,
};
use consensus::engine::Tip;
use consensus::message::Proposal;

use super::random::Random;

/// The agency of the simulated city.
const AGENCY: &str = "uscc:11320100MAXP23YC3L";
/// Operations of one kind of faulty submission in this many.
const FLAWED_ONE_IN: u64 = 12;

/// One batch's worth of transactions.
#[derive(Debug)]
pub struct Made {
    /// What the batch holds.
    pub submissions: Vec<Submission>,
    /// Payload root.
    pub root: Digest,
    /// Bytes claimed.
    pub bytes: u32,
    /// Operations.
    pub count: u32,
    /// The first transaction.
    pub marker: TxId,
}

/// All transactions ever made, by batch, and the member who makes them.
#[derive(Debug)]
pub struct Payloads {
    chain: ChainParams,
    genesis: GenesisState,
    agency: OrgId,
    clerk: PublicKey,
    next: u64,
    by_batch: BTreeMap<Digest, Vec<Submission>>,
    newest: Option<Submission>,
}

impl Payloads {
    /// A city with one agency, two administrators, one clerk and one legal basis.
    pub fn new(chain_id: ChainId, seed: u64) -> Self {
        let key = |number: u8| SecretKey::from_seed(*Digest::tagged(b"sim-member", &[&[number]]).as_bytes());
        let agency: OrgId = AGENCY.parse().expect("a valid code");
        let from: Date = "2020-01-01".parse().expect("a date");
        let new_key = |number: u8| NewKey {
            key: key(number).public(),
            label: format!("post {number}"),
            possession: Signature::ZERO,
        };
        let genesis = GenesisState {
            agencies: vec![AgencyDetails {
                id: agency.clone(),
                name: "Simulated agency".to_owned(),
                types: vec![RecordType::DocFingerprint],
                areas: Vec::new(),
                admins: vec![new_key(1), new_key(2)],
                from,
                to: None,
            }],
            members: vec![MemberDetails {
                key: new_key(3),
                agency: agency.clone(),
                role: Role::Clerk,
                from,
                to: None,
            }],
            bases: vec![basis(from)],
            schemas: Vec::new(),
            calendars: Vec::new(),
            validators: Vec::new(),
            recovery: None,
            index: None,
        };
        let chain = ChainParams { chain_id, utc_offset_minutes: 480, council_threshold: 1 };
        Self {
            chain,
            genesis,
            agency,
            clerk: key(3).public(),
            next: seed << 32,
            by_batch: BTreeMap::new(),
            newest: None,
        }
    }

    /// A ledger at height 0.
    fn ledger(&self) -> MemoryLedger {
        MemoryLedger::new(self.chain, &self.genesis).expect("a valid genesis").without_leaves()
    }

    /// Makes `count` transactions of one record each; now and then one that must be refused or that repeats
    /// an earlier one, as clients that retry do.
    pub fn make(&mut self, count: u64, time_ms: u64, random: &mut Random) -> Made {
        let mut submissions = Vec::new();
        for at in 0..count {
            let flawed = at > 0 && random.next_u64().is_multiple_of(FLAWED_ONE_IN);
            let submission = match (&self.newest, flawed) {
                (Some(newest), true) if random.chance(500) => newest.clone(),
                _ => self.submission(time_ms, flawed),
            };
            self.newest = Some(submission.clone());
            submissions.push(submission);
        }
        let ids: Vec<TxId> = submissions.iter().map(|one| one.signed.transaction.id()).collect();
        let records = u32::try_from(count).unwrap_or(1);
        Made { root: payload_root(&ids), bytes: 900 * records, count: records, marker: ids[0], submissions }
    }

    fn submission(&mut self, time_ms: u64, expired: bool) -> Submission {
        self.next += 1;
        let number = self.next.to_be_bytes();
        let sha256 = Digest::tagged(b"sim-document", &[&number]);
        let json = format!(
            concat!(
                r#"{{"custody":[{{"lang":"en","text":"desk"}}],"media_type":"application/pdf","origin":{{"method":"manual","system":"sim"}},"#,
                r#""purpose":"archive","sha256":"{}","size":4096}}"#
            ),
            sha256
        );
        let body = Body { salt: Digest::tagged(b"sim-salt", &[&number]), json };
        let idempotency = Digest::tagged(b"sim-idempotency", &[&number]);
        let record_type = RecordType::DocFingerprint;
        let header = Header {
            record: record::record_id(self.chain.chain_id, &self.agency, record_type, &idempotency),
            record_type,
            schema_version: 1,
            version: 1,
            idempotency,
            agency: self.agency.clone(),
            legal_basis: Some(BasisRef { id: "sim-basis".to_owned(), version: 1 }),
            class: Class::P0,
            subject_kind: SubjectKind::None,
            body_commit: Some(body.commitment()),
            subject_commit: None,
            natural_key: None,
            decided_on: None,
            conduct_on: None,
            effective_from: None,
            effective_to: None,
            publish_from: None,
            publish_min_until: None,
            publish_until: None,
            dispose_on: None,
            severity: None,
            heard: false,
            officers: Vec::new(),
            refs: Vec::new(),
            attachments_root: None,
            details: Details::None,
        };
        let transaction = Transaction {
            version: TRANSACTION_VERSION,
            chain_id: self.chain.chain_id,
            author: self.clerk,
            valid_until_ms: if expired { time_ms - 60_000 } else { time_ms + 6 * 60 * 60 * 1000 },
            atomic: false,
            operations: vec![Operation::Submit(Box::new(header))],
        };
        // Validators verify signatures before execution; here `signatures_ok` says that they did.
        let signed = SignedTransaction { transaction, signature: Signature::ZERO };
        Submission { signed, bodies: vec![Some(body)] }
    }

    /// What a batch held, as a batch of its own again.
    pub fn again(submissions: Vec<Submission>) -> Option<Made> {
        let ids: Vec<TxId> = submissions.iter().map(|one| one.signed.transaction.id()).collect();
        let records = u32::try_from(ids.len()).unwrap_or(1);
        let marker = *ids.first()?;
        Some(Made { root: payload_root(&ids), bytes: 900 * records, count: records, marker, submissions })
    }

    /// What a batch holds.
    pub fn of_batch(&self, batch: &Digest) -> &[Submission] {
        self.by_batch.get(batch).map_or(&[], Vec::as_slice)
    }

    /// The batch that holds these submissions was sealed under this digest.
    pub fn sealed(&mut self, batch: Digest, submissions: Vec<Submission>) {
        self.by_batch.insert(batch, submissions);
    }
}

fn basis(from: Date) -> BasisDetails {
    let open = Term { min_months: 0, max_months: None };
    BasisDetails {
        id: "sim-basis".to_owned(),
        version: 1,
        title: "Simulated law".to_owned(),
        instrument: Instrument::Law,
        issuer: "Simulated assembly".to_owned(),
        doc_no: String::new(),
        article: String::new(),
        text: Digest::tagged(b"sim-law", &[]),
        in_force: from,
        ends: None,
        types: vec![RecordType::DocFingerprint],
        subject_kinds: SubjectKind::ALL.to_vec(),
        max_class: Class::P3,
        publication: PublicationRules {
            allowed: true,
            minor: open,
            ordinary: open,
            serious: open,
            unclassified: open,
        },
        repair: RepairRules { allowed: false, after_months: 0 },
        deadlines: Vec::new(),
        supervisor: false,
        legal_review: false,
        hearing: false,
        expiry_required: false,
        retention_years: 0,
        codes: Vec::new(),
    }
}

/// An executor over a ledger in memory, and what came of every block.
#[derive(Debug)]
pub struct Executor {
    ledger: MemoryLedger,
    /// Summary of each height, genesis first.
    summaries: Vec<ExecSummary>,
    /// What was executed at each height above genesis: the block, and the batches it ordered.
    blocks: Vec<(Digest, Vec<BatchRef>)>,
    /// The height at which each transaction took effect.
    accepted: BTreeMap<TxId, u64>,
    verdicts: (u64, u64),
    twice: Option<TxId>,
}

impl Executor {
    /// Genesis.
    pub fn new(payloads: &Payloads) -> Self {
        let ledger = payloads.ledger();
        Self {
            summaries: vec![*ledger.summary()],
            ledger,
            blocks: Vec::new(),
            accepted: BTreeMap::new(),
            verdicts: (0, 0),
            twice: None,
        }
    }

    fn execute(&mut self, proposal: &Proposal, names: &[BatchRef], payloads: &Payloads) {
        let height = proposal.header.height.get();
        let batches: Vec<Batch> = names
            .iter()
            .filter_map(|name| payloads.by_batch.get(&name.digest))
            .map(|submissions| Batch { signed: unused_header(payloads), submissions: submissions.clone() })
            .collect();
        // The simulator makes every signature itself; validators verify them before execution.
        let verdicts = vec![true; batches.iter().map(|one| one.submissions.len()).max().unwrap_or(0)];
        let ordered = OrderedBlock {
            header: &proposal.header,
            batches: batches
                .iter()
                .map(|batch| OrderedBatch {
                    batch,
                    signatures_ok: &verdicts[..batch.submissions.len()],
                    recorded: None,
                })
                .collect(),
            index: Index::None,
        };
        let outcomes = self.ledger.execute(&ordered).expect("a ledger in memory can be read");
        for outcome in outcomes {
            match outcome.verdict {
                Verdict::Accepted { duplicate: false, .. } => {
                    self.verdicts.0 += 1;
                    if self.accepted.insert(outcome.tx, height).is_some() {
                        self.twice = Some(outcome.tx);
                    }
                }
                Verdict::Accepted { .. } => {}
                Verdict::Refused(_) => self.verdicts.1 += 1,
            }
        }
        self.blocks.push((proposal.header.digest(), names.to_vec()));
        self.summaries.push(*self.ledger.summary());
    }
}

/// Who executes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Executors {
    /// Every node by itself: slow, and proves that execution is deterministic.
    Each,
    /// Each block once; every node is then held to have executed the same block with the same batches.
    Shared,
}

/// One node's ledger store.
#[derive(Debug)]
pub struct SimLedger {
    own: Option<Box<Executor>>,
    tip: Tip,
}

impl SimLedger {
    /// Genesis.
    pub fn new(executors: Executors, payloads: &Payloads, genesis: &Tip) -> Self {
        let own = (executors == Executors::Each).then(|| Box::new(Executor::new(payloads)));
        Self { own, tip: genesis.clone() }
    }

    /// The executed tip.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// An old copy of the store; `None` where the copy would have to be executed again.
    pub fn copy(&self) -> Option<Self> {
        self.own.is_none().then(|| Self { own: None, tip: self.tip.clone() })
    }

    fn place(height: Height) -> usize {
        usize::try_from(height.get()).unwrap_or(usize::MAX)
    }

    fn executor<'a>(&'a self, shared: &'a Executor) -> &'a Executor {
        self.own.as_deref().unwrap_or(shared)
    }

    /// Recent summaries, and all from the height on that the executed block certifies.
    pub fn summaries(&self, shared: &Executor) -> Vec<ExecSummary> {
        let all = &self.executor(shared).summaries[..=Self::place(self.tip.height)];
        let covered = self.tip.header.as_ref().map_or(Height::ZERO, |header| header.exec_height);
        all[all.len().saturating_sub(400).min(Self::place(covered))..].to_vec()
    }

    /// Whether a transaction took effect here.
    pub fn holds(&self, id: &TxId, shared: &Executor) -> bool {
        self.executor(shared).accepted.get(id).is_some_and(|height| *height <= self.tip.height.get())
    }

    /// Operations accepted and refused so far.
    pub fn verdicts(&self, shared: &Executor) -> (u64, u64) {
        self.executor(shared).verdicts
    }

    /// Executes one block with the executor that validators run.
    ///
    /// # Errors
    /// In words, when the block or its batches differ from what another node executed at that height, or a
    /// transaction took effect twice.
    pub fn execute(
        &mut self,
        proposal: &Proposal,
        batches: &[BatchRef],
        payloads: &Payloads,
        shared: &mut Executor,
    ) -> Result<ExecSummary, String> {
        let height = proposal.header.height;
        let executor = self.own.as_deref_mut().unwrap_or(shared);
        if executor.blocks.len() < Self::place(height) {
            executor.execute(proposal, batches, payloads);
        }
        let (digest, names) = &executor.blocks[Self::place(height) - 1];
        if *digest != proposal.header.digest() || names != batches {
            return Err(format!(
                "executed another block or other batches at height {height} than the others"
            ));
        }
        if let Some(tx) = executor.twice {
            return Err(format!("let {tx} take effect twice"));
        }
        self.tip = self.tip.after(proposal);
        Ok(executor.summaries[Self::place(height)])
    }
}

/// Execution reads a batch's submissions only; who signed the batch was settled before.
fn unused_header(payloads: &Payloads) -> SignedBatchHeader {
    SignedBatchHeader {
        header: BatchHeader {
            chain_id: payloads.chain.chain_id,
            epoch: Epoch::ZERO,
            author: ValidatorIx::new(0),
            seq: 0,
            prev: Digest::ZERO,
            payload_root: Digest::ZERO,
            bytes: 0,
            count: 0,
            time_ms: 0,
        },
        signature: Signature::ZERO,
    }
}
