//! Execution inside the simulator: the real executor over a ledger in memory, fed with real records.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::block::ExecSummary;
use chain_core::crypto::{Digest, SecretKey, Signature};
use chain_core::date::Date;
use chain_core::execute::{ChainParams, GenesisState, OrderedBatch, OrderedBlock, Verdict};
use chain_core::id::{ChainId, Epoch, TxId, ValidatorIx};
use chain_core::lane::{BatchHeader, BatchRef, SignedBatchHeader};
use chain_core::ledger::MemoryLedger;
use chain_core::operation::Operation;
use chain_core::org::OrgId;
use chain_core::record::governance::{
    AgencyDetails, BasisDetails, Instrument, MemberDetails, NewKey, PublicationRules, RepairRules, Role, Term,
};
use chain_core::record::{self, BasisRef, Class, Details, Header, RecordType, SubjectKind};
use chain_core::transaction::{Batch, Body, Submission, TRANSACTION_VERSION, Transaction, payload_root};
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
    clerk: SecretKey,
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
            validators: Vec::new(),
            recovery: None,
        };
        let chain = ChainParams { chain_id, utc_offset_minutes: 480, council_threshold: 1 };
        Self {
            chain,
            genesis,
            agency,
            clerk: key(3),
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
            author: self.clerk.public(),
            valid_until_ms: if expired { time_ms - 60_000 } else { time_ms + 6 * 60 * 60 * 1000 },
            atomic: false,
            operations: vec![Operation::Submit(Box::new(header))],
        };
        Submission { signed: transaction.sign(&self.clerk), bodies: vec![Some(body)] }
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
        legal_review: false,
        expiry_required: false,
        retention_years: 0,
    }
}

/// One node's ledger store.
#[derive(Debug)]
pub struct SimLedger {
    ledger: MemoryLedger,
    tip: Tip,
    accepted: BTreeSet<TxId>,
    summaries: Vec<ExecSummary>,
    /// Operations accepted and refused so far.
    pub verdicts: (u64, u64),
    /// First transaction that took effect twice, if any.
    pub twice: Option<TxId>,
}

impl SimLedger {
    /// Genesis.
    pub fn new(payloads: &Payloads, genesis: &Tip) -> Self {
        let ledger = payloads.ledger();
        let summaries = vec![*ledger.summary()];
        Self {
            ledger,
            tip: genesis.clone(),
            accepted: BTreeSet::new(),
            summaries,
            verdicts: (0, 0),
            twice: None,
        }
    }

    /// The executed tip.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Recent summaries.
    pub fn summaries(&self) -> Vec<ExecSummary> {
        self.summaries[self.summaries.len().saturating_sub(400)..].to_vec()
    }

    /// Whether a transaction took effect here.
    pub fn holds(&self, id: &TxId) -> bool {
        self.accepted.contains(id)
    }

    /// Executes one block with the executor that validators run.
    pub fn execute(&mut self, proposal: &Proposal, batches: &[BatchRef], payloads: &Payloads) -> ExecSummary {
        let batches: Vec<Batch> = batches
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
        };
        let outcomes = self.ledger.execute(&ordered).expect("a ledger in memory can be read");
        for outcome in outcomes {
            match outcome.verdict {
                Verdict::Accepted { duplicate: false, .. } => {
                    self.verdicts.0 += 1;
                    if !self.accepted.insert(outcome.tx) {
                        self.twice = Some(outcome.tx);
                    }
                }
                Verdict::Accepted { .. } => {}
                Verdict::Refused(_) => self.verdicts.1 += 1,
            }
        }
        self.tip = self.tip.after(proposal);
        let summary = *self.ledger.summary();
        self.summaries.push(summary);
        summary
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
