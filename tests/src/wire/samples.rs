//! One story that gives a sample of every wire type and of every variant in it.

use chain_core::api::RawBlock;
use chain_core::block::{ExecSummary, Flags, Header};
use chain_core::certificate::{Cert, VoteKind};
use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, SecretKey, Signature};
use chain_core::date::Date;
use chain_core::epoch::{ClosingProof, HandOver};
use chain_core::execute::{Outcome, Verdict};
use chain_core::genesis::ValidatorSecrets;
use chain_core::id::{Height, RecordId, TxId, View};
use chain_core::lane::{LaneAdvance, SignedBatchHeader};
use chain_core::merkle;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::org::OrgId;
use chain_core::proof::{FinalityProof, InclusionPath};
use chain_core::record::governance::{AgencyDetails, MemberDetails, NewKey, Possession, Role};
use chain_core::record::validator::{Ready, ValidatorDetails};
use chain_core::record::{
    BasisRef, Class, Details, RecordType, Reference, Relation, Severity, SubjectKind, record_id,
};
use chain_core::recovery::{RecoveryAct, SignedRecovery};
use chain_core::subject::IndexEntry;
use chain_core::transaction::{Batch, Body, Submission, TRANSACTION_VERSION, Transaction, payload_root};
use consensus::engine::Tip;
use consensus::message::{
    EntryProof, HighQc, Justification, Message, Proposal, Status, TimeoutCert, VoteEcho,
};
use consensus::safety::{SafetyRecord, Slot};

use city_sim::kit::{Kit, WALL_MS, ix, rank};

type Samples<T> = Vec<(&'static str, T)>;

fn kit() -> Kit {
    Kit::on("vector-chain", chain_core::id::Epoch::new(3), 4)
}

/// Two blocks of view 0, the second of which ends the term.
fn blocks(kit: &Kit) -> [Proposal; 2] {
    let tip = kit.genesis();
    let first = kit.propose(kit.header(&tip, 0, Flags::NONE), None);
    let tip = tip.after(&first);
    let advances = vec![
        LaneAdvance { author: ix(0), seq: 0, tip: kit.batch(0, 0, Digest::ZERO, 3).header.digest() },
        LaneAdvance { author: ix(2), seq: 1, tip: Digest::tagged(b"tip", &[]) },
    ];
    let second = kit.propose_advances(kit.header(&tip, 0, Flags::TERM_END), advances);
    [first, second]
}

fn qc(kit: &Kit, kind: VoteKind) -> Cert {
    kit.cert_of(kind, &blocks(kit)[1].header)
}

/// Signers with different claims; the second is the highest.
fn timeout(kit: &Kit, new_view: u64) -> TimeoutCert {
    let best = HighQc::Qc(qc(kit, VoteKind::Prepare));
    kit.timeout(new_view, &[(0, kit.base_qc()), (1, best), (3, kit.base_qc())])
}

fn entries(kit: &Kit) -> [EntryProof; 3] {
    [
        EntryProof::Timeout(Box::new(timeout(kit, 2))),
        EntryProof::TermEnd {
            certificate: Box::new(qc(kit, VoteKind::Prepare)),
            header: Box::new(blocks(kit)[1].header.clone()),
        },
        EntryProof::Certificate(Box::new(qc(kit, VoteKind::Commit))),
    ]
}

pub(super) fn headers() -> Samples<Header> {
    let [first, second] = blocks(&kit());
    vec![("seal", first.header), ("term end", second.header)]
}

pub(super) fn summaries() -> Samples<ExecSummary> {
    let digest = |name: &[u8]| Digest::tagged(name, &[]);
    let summary = ExecSummary {
        height: Height::new(12),
        previous: digest(b"previous"),
        log_size: 345,
        log_root: digest(b"log"),
        outcomes_root: digest(b"outcomes"),
        state_root: digest(b"state"),
    };
    vec![("summary", summary)]
}

pub(super) fn committees() -> Samples<Committee> {
    vec![("four", Committee::clone(&kit().committee))]
}

pub(super) fn certs() -> Samples<Cert> {
    let kit = kit();
    let digest = Digest::tagged(b"block", &[]);
    vec![
        ("prepare", qc(&kit, VoteKind::Prepare)),
        ("commit by 0 2 3", kit.cert_by(VoteKind::Commit, rank(7, 99), digest, &[0, 2, 3])),
    ]
}

pub(super) fn batch_headers() -> Samples<SignedBatchHeader> {
    let kit = kit();
    let first = kit.batch(1, 0, Digest::ZERO, 5);
    let digest = first.header.digest();
    vec![("first of a lane", first), ("second", kit.batch(1, 1, digest, 1))]
}

pub(super) fn finality_proofs() -> Samples<FinalityProof> {
    let kit = kit();
    let [first, second] = blocks(&kit);
    let path = InclusionPath { index: 1, size: 3, hashes: vec![Digest::ZERO, merkle::empty_root()] };
    let proof = FinalityProof {
        batch: kit.batch(0, 0, Digest::ZERO, 3).header,
        in_batch: path,
        in_block: InclusionPath { index: 0, size: 1, hashes: Vec::new() },
        headers: vec![first.header, second.header],
        certificate: qc(&kit, VoteKind::Commit),
    };
    vec![("proof", proof)]
}

fn clerk() -> SecretKey {
    SecretKey::from_seed([0x41; 32])
}

fn agency() -> OrgId {
    "register:CN-T:0042".parse().expect("a valid identifier")
}

fn day(day: u32) -> Date {
    Date::from_ymd(2026, 11, day).expect("a valid date")
}

fn body() -> Body {
    Body { salt: Digest::tagged(b"salt", &[]), json: r#"{"title":"许可","value":7}"#.to_owned() }
}

fn record_header(kit: &Kit, record_type: RecordType, details: Details) -> chain_core::record::Header {
    let idempotency = Digest::tagged(b"idempotency", &[record_type.name().as_bytes()]);
    let rich = matches!(details, Details::None);
    chain_core::record::Header {
        record: record_id(kit.chain_id, &agency(), record_type, &idempotency),
        record_type,
        schema_version: 1,
        version: 1,
        idempotency,
        agency: agency(),
        legal_basis: rich.then(|| BasisRef { id: "cn-food-safety".to_owned(), version: 1 }),
        class: if rich { Class::P1 } else { Class::P0 },
        subject_kind: if rich { SubjectKind::Organisation } else { SubjectKind::None },
        body_commit: rich.then(|| body().commitment()),
        subject_commit: rich.then(|| Digest::tagged(b"subject", &[])),
        natural_key: rich.then(|| Digest::tagged(b"natural", &[])),
        decided_on: rich.then(|| day(1)),
        conduct_on: None,
        effective_from: rich.then(|| day(2)),
        effective_to: rich.then(|| day(30)),
        publish_from: rich.then(|| day(3)),
        publish_min_until: None,
        publish_until: rich.then(|| day(29)),
        dispose_on: None,
        severity: rich.then_some(Severity::Ordinary),
        heard: rich,
        officers: vec![clerk().public()],
        refs: vec![Reference { rel: Relation::BasedOn, record: RecordId::new(Digest::ZERO) }],
        attachments_root: rich.then(|| Digest::tagged(b"attachments", &[])),
        details,
    }
}

fn submission(kit: &Kit, operations: Vec<Operation>, bodies: Vec<Option<Body>>) -> Submission {
    let transaction = Transaction {
        version: TRANSACTION_VERSION,
        chain_id: kit.chain_id,
        author: clerk().public(),
        valid_until_ms: WALL_MS + 3_600_000,
        atomic: operations.len() > 2,
        operations,
    };
    Submission { signed: transaction.sign(&clerk()), bodies }
}

/// Every operation once.
fn operations(kit: &Kit) -> Vec<Operation> {
    let penalty = Box::new(record_header(kit, RecordType::Penalty, Details::None));
    let record = penalty.record;
    let reason = || "duplicate_filing".to_owned();
    vec![
        Operation::Submit(penalty.clone()),
        Operation::Countersign { record, version: 1, header_digest: penalty.digest() },
        Operation::Reject { record, version: 1, header_digest: None, reason: reason() },
        Operation::Withdraw { record, version: 1 },
        Operation::Amend { header: penalty, reason: AmendReason::Clerical },
        Operation::Revoke {
            record,
            version: 1,
            reason: RevokeReason::Withdrawn,
            effect: Effect::FromNow,
            note: "order 12".to_owned(),
        },
        Operation::StopPublication { record, version: 1, reason: reason() },
        Operation::Suspend { record, version: 1, until: Some(day(9)), reason: reason() },
        Operation::Resume { record, version: 1 },
        Operation::Ready {
            record,
            version: 1,
            time_ms: WALL_MS,
            signature: clerk().sign(&ready(kit, record)),
        },
    ]
}

fn ready(kit: &Kit, record: RecordId) -> Ready {
    let consensus_key = clerk().public();
    Ready { chain_id: kit.chain_id, epoch: kit.epoch, record, version: 1, consensus_key, time_ms: WALL_MS }
}

fn governance(kit: &Kit) -> Vec<Operation> {
    let key = NewKey {
        key: clerk().public(),
        label: "desk 1".to_owned(),
        possession: Possession::prove(kit.chain_id, &clerk()),
    };
    let member = MemberDetails {
        key: key.clone(),
        agency: agency(),
        role: Role::CouncilMember,
        from: day(1),
        to: None,
    };
    let runner = agency();
    let agency = AgencyDetails {
        id: agency(),
        name: "示例机关".to_owned(),
        types: vec![RecordType::Licence, RecordType::Penalty],
        areas: vec!["440300".to_owned()],
        admins: vec![key.clone(), key],
        from: day(1),
        to: Some(day(30)),
    };
    let [consensus, network, log] = [1, 2, 3].map(|role| city_sim::kit::secret(role, 9));
    let secrets = ValidatorSecrets { consensus: &consensus, network: &network, log: &log };
    let address = "/ip4/10.0.0.9/tcp/7101";
    let validator = ValidatorDetails::prove(kit.chain_id, "validator-9", &runner, address, secrets);
    vec![
        Operation::Submit(Box::new(record_header(
            kit,
            RecordType::Agency,
            Details::Agency(Box::new(agency)),
        ))),
        Operation::Submit(Box::new(record_header(
            kit,
            RecordType::Member,
            Details::Member(Box::new(member)),
        ))),
        Operation::Submit(Box::new(record_header(
            kit,
            RecordType::Validator,
            Details::Validator(Box::new(validator)),
        ))),
    ]
}

pub(super) fn submissions() -> Samples<Submission> {
    let kit = kit();
    let operations = operations(&kit);
    let mut bodies = vec![None; operations.len()];
    bodies[0] = Some(body());
    vec![
        ("every operation", submission(&kit, operations, bodies)),
        ("agency, member and validator", submission(&kit, governance(&kit), vec![None, None, None])),
    ]
}

pub(super) fn batches() -> Samples<Batch> {
    let kit = kit();
    let submissions: Vec<Submission> = submissions().into_iter().map(|(_, one)| one).collect();
    let ids: Vec<TxId> = submissions.iter().map(|one| one.signed.transaction.id()).collect();
    let mut header = kit.batch(0, 0, Digest::ZERO, 11).header;
    header.payload_root = payload_root(&ids);
    let signature = city_sim::kit::secret(1, 0).sign(&header);
    vec![
        ("two submissions", Batch { signed: SignedBatchHeader { header, signature }, submissions }),
        ("empty", Batch { signed: kit.batch(0, 0, Digest::ZERO, 0), submissions: Vec::new() }),
    ]
}

/// The end of an epoch whose closing block a view change found uncommitted: one Suffix, committed.
pub(super) fn closing_proofs() -> Samples<ClosingProof> {
    let kit = kit();
    let next = next_set(&kit);
    let mut closing = kit.header(&kit.genesis(), 0, Flags::CLOSING);
    closing.next_validators_hash = next.hash();
    let mut suffix = kit.header(&kit.genesis(), 1, Flags::SUFFIX);
    suffix.height = closing.height.next();
    suffix.parent = closing.digest();
    suffix.next_validators_hash = next.hash();
    let committed = |header: &Header| kit.cert_of(VoteKind::Commit, header);
    let direct = ClosingProof { certificate: committed(&closing), headers: vec![closing.clone()] };
    let through = ClosingProof { certificate: committed(&suffix), headers: vec![closing, suffix] };
    vec![("direct", direct), ("through a suffix", through)]
}

fn next_set(kit: &Kit) -> Committee {
    let mut validators = kit.committee.validators().to_vec();
    validators[3].may_lead = false;
    Committee::new(kit.epoch.next(), validators).expect("a valid set")
}

pub(super) fn hand_overs() -> Samples<HandOver> {
    let next = next_set(&kit());
    closing_proofs().into_iter().map(|(name, proof)| (name, HandOver { proof, next: next.clone() })).collect()
}

pub(super) fn recoveries() -> Samples<SignedRecovery> {
    let kit = kit();
    let mut validators = kit.committee.validators().to_vec();
    for (at, one) in validators.iter_mut().enumerate() {
        one.agency = format!("register:CN-T:{at}");
    }
    let act = RecoveryAct {
        chain_id: kit.chain_id,
        epoch: kit.epoch,
        height: Height::new(41),
        block_digest: Digest::tagged(b"last block", &[]),
        next: Committee::new(kit.epoch.next(), validators).expect("a valid set"),
        reason: "two machine rooms burnt".to_owned(),
        time_ms: WALL_MS,
    };
    let signatures = [1, 2].map(|at| act.sign(&city_sim::kit::secret(5, at))).to_vec();
    vec![("two of three", SignedRecovery::new(act, signatures))]
}

pub(super) fn outcomes() -> Samples<Outcome> {
    let tx = TxId::new(Digest::tagged(b"tx", &[]));
    let record = RecordId::new(Digest::tagged(b"record", &[]));
    let accepted = Verdict::Accepted { record, version: 2, leaf_index: 77, duplicate: false };
    let refused = Verdict::Refused(Refusal::new(Code::SchemaInvalid, "field \"decided_on\""));
    vec![
        ("accepted", Outcome { tx, operation: 0, verdict: accepted }),
        ("refused", Outcome { tx, operation: 511, verdict: refused }),
    ]
}

pub(super) fn raw_blocks() -> Samples<RawBlock> {
    let kit = kit();
    let [first, second] = blocks(&kit);
    let raw = |proposal: Proposal, certificate, batches, outcomes, index| RawBlock {
        header: proposal.header,
        advances: proposal.advances,
        proposer_signature: proposal.signature,
        batches,
        outcomes,
        certificate,
        suffixes: Vec::new(),
        exec_root: Digest::tagged(b"exec", &[]),
        index,
    };
    let root = Digest::tagged(b"index", &[]);
    let index = IndexEntry { key: city_sim::kit::secret(1, 0).public(), changes: 7, root };
    let batches = batches().into_iter().map(|(_, one)| one).collect();
    let outcomes = outcomes().into_iter().map(|(_, one)| one).collect();
    vec![
        ("empty", raw(first, None, Vec::new(), Vec::new(), None)),
        ("full", raw(second, Some(qc(&kit, VoteKind::Commit)), batches, outcomes, Some(index))),
    ]
}

pub(super) fn proposals() -> Samples<Proposal> {
    let kit = kit();
    let [first, second] = blocks(&kit);
    let tip = kit.genesis().after(&first).after(&second);
    let certificate = Box::new(qc(&kit, VoteKind::Prepare));
    let by_term_end =
        kit.propose(kit.header(&tip, 1, Flags::NONE), Some(Justification::TermEnd(certificate)));
    let timeout = Box::new(timeout(&kit, 2));
    let by_timeout =
        kit.propose(kit.header(&tip, 2, Flags::CHECKPOINT), Some(Justification::Timeout(timeout)));
    vec![
        ("first", first),
        ("with advances", second),
        ("after a term end", by_term_end),
        ("after a timeout", by_timeout),
    ]
}

pub(super) fn safety_records() -> Samples<SafetyRecord> {
    let kit = kit();
    let fresh = kit.fresh_record(2);
    let [_, second] = blocks(&kit);
    let used = SafetyRecord {
        last_prepare: Some(Slot::of(&second.header)),
        high_qc: HighQc::Qc(qc(&kit, VoteKind::Prepare)),
        vc_view: View::new(3),
        entry: Some(entries(&kit)[0].clone()),
        lane: Some((5, Digest::tagged(b"lane", &[]))),
        ..fresh
    };
    vec![("fresh", fresh), ("used", used)]
}

pub(super) fn tips() -> Samples<Tip> {
    let kit = kit();
    let [first, second] = blocks(&kit);
    let tip = kit.genesis();
    vec![("genesis", tip.clone()), ("height 2", tip.after(&first).after(&second))]
}

pub(super) fn messages() -> Samples<Message> {
    let kit = kit();
    let [first, second] = blocks(&kit);
    let digest = second.header.digest();
    let vote = |kind| kit.vote(kind, rank(0, 2), digest, 3);
    let prepare_qc = qc(&kit, VoteKind::Prepare);
    let commit_qc = qc(&kit, VoteKind::Commit);
    let [by_timeout, by_term_end, by_certificate] = entries(&kit);
    let high = HighQc::Qc(prepare_qc.clone());
    let status = Status {
        epoch: kit.epoch,
        view: View::new(2),
        committed: Height::new(2),
        executed: Height::new(1),
        certificate: Some(Box::new(commit_qc.clone())),
        high_qc: Some(rank(0, 2)),
        awaits_echo: false,
    };
    let hint = Status { certificate: None, high_qc: None, awaits_echo: true, ..status };
    let (_, claim, signature) = kit.claim(3, high.claim(), 1);
    let echo = VoteEcho {
        epoch: kit.epoch,
        prepare: Some(vote(VoteKind::Prepare)),
        commit: Some(vote(VoteKind::Commit)),
        view_change: Some((View::new(3), claim, signature)),
        lane: Some(kit.batch(3, 0, Digest::ZERO, 2)),
    };
    let view_change = |new_view, high_qc, entry| {
        Message::ViewChange(Box::new(kit.view_change(new_view, high_qc, entry, 2)))
    };
    let proposal = |at: usize| Message::Propose(Box::new(proposals()[at].1.clone()));
    vec![
        ("propose", proposal(1)),
        ("propose after a term end", proposal(2)),
        ("propose after a timeout", proposal(3)),
        ("prepare", Message::Vote(vote(VoteKind::Prepare), Height::new(1))),
        ("commit", Message::Vote(vote(VoteKind::Commit), Height::new(2))),
        ("view change on the base", view_change(1, kit.base_qc(), None)),
        ("view change proved by its certificate", view_change(1, high.clone(), None)),
        ("view change after a timeout", view_change(3, high.clone(), Some(by_timeout.clone()))),
        ("view change after a term end", view_change(2, high, Some(by_term_end.clone()))),
        ("entry by timeout", Message::Entry(by_timeout)),
        ("entry by term end", Message::Entry(by_term_end)),
        ("entry by certificate", Message::Entry(by_certificate)),
        ("certificate", Message::Certificate(Box::new(prepare_qc))),
        ("status", Message::Status(Box::new(status))),
        ("status without proof", Message::Status(Box::new(hint))),
        ("executed", Message::Executed(Height::new(41))),
        ("echo", Message::Echo(Box::new(echo))),
        ("echo of one who remembers nothing", Message::Echo(Box::default())),
        ("get proposal", Message::GetProposal { digest }),
        ("get certificate", Message::GetCertificate),
        ("get blocks", Message::GetBlocks { from: Height::new(1) }),
        (
            "blocks",
            Message::Blocks {
                blocks: vec![first, second],
                suffixes: Vec::new(),
                certificate: Box::new(commit_qc),
            },
        ),
        ("have", Message::Have { lanes: vec![(ix(0), 0), (ix(1), 7), (ix(3), u64::MAX)] }),
        (
            "no signature",
            Message::Vote(
                consensus::message::Vote { signature: Signature::ZERO, ..vote(VoteKind::Prepare) },
                Height::ZERO,
            ),
        ),
    ]
}
