//! Frozen bytes: what is hashed, signed, stored or sent must never change by accident.
//!
//! Each vector is one hexadecimal text file under `chain-core/vectors/`. With `CITY_VECTORS=write` in the
//! environment the files are written anew; review the difference like code.

use std::path::PathBuf;

use chain_core::access::{Entry, Query, Question};
use chain_core::canonical::Writer;
use chain_core::code::{Code, Refusal};
use chain_core::codec::{self, Wire};
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, Signable as _, Signature};
use chain_core::evidence::Evidence;
use chain_core::execute::{Outcome, Verdict};
use chain_core::genesis::{KeyRole, ValidatorSecrets};
use chain_core::id::{Epoch, Height, RecordId, TxId};
use chain_core::json;
use chain_core::layout::Layout;
use chain_core::leaf::{
    AutomaticLeaf, ErasureLeaf, EvidenceLeaf, GenesisLeaf, Leaf, LinkedLeaf, RecoveryLeaf, SealLeaf,
    SignedLeaf,
};
use chain_core::operation::{
    AmendReason, DisputeOutcome, Effect, EraseGround, Operation, Remedy, RepairOutcome, ReviewOutcome,
    RevokeReason, Step,
};
use chain_core::org::OrgId;
use chain_core::record::access::AccessRootDetails;
use chain_core::record::alert::{AlertDetails, AlertKind, AlertStatus};
use chain_core::record::deadline::{DayUnit, Deadline, DeadlineKind, Duty};
use chain_core::record::egov::certificate::{ListPurpose, StatusListDetails};
use chain_core::record::egov::procurement::{ProcurementDetails, ReleaseTag, process_of};
use chain_core::record::governance::{BasisDetails, Possession, Role};
use chain_core::record::health::{CommitBatchDetails, SizeClass};
use chain_core::record::params::{Params, ParamsDetails};
use chain_core::record::validator::{Ready, ValidatorDetails, ValidatorPossession};
use chain_core::record::{
    BasisRef, Class, Details, Header, RecordType, Reference, Relation, Severity, SubjectKind,
};
use chain_core::recovery::{RecoveryAct, RecoveryKey, RecoveryKeys, SignedRecovery};
use chain_core::state::{
    Act, AgencyEntry, BasisEntry, CalendarEntry, Confirmation, EpochEntry, ErasureEntry, Flags, MemberEntry,
    Needs, OffenceEntry, OffenderEntry, ParamsEntry, Pending, ReadyEntry, RecordHead, RegisteredHead,
    Scheduled, SchemaEntry, Signer, Status, ValidatorEntry, VersionHead,
};
use chain_core::transaction::{Body, Submission, Transaction};
use proptest::prelude::*;

use crate::accuse::hand;
use crate::city::{
    agency, agency_details, basis_details, calendars, chain, date, member_details, new_key, public, secret,
};

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
        out.push('\n');
    }
    out
}

pub(crate) fn compare(name: &str, bytes: &[u8], failures: &mut Vec<String>) {
    let path = vectors().join(format!("{name}.hex"));
    let got = hex(bytes);
    if std::env::var("CITY_VECTORS").is_ok_and(|value| value == "write") {
        std::fs::write(&path, got).unwrap();
        return;
    }
    if std::fs::read_to_string(&path).ok().as_deref() != Some(got.as_str()) {
        failures.push(name.to_owned());
    }
}

fn digest(name: &str) -> Digest {
    Digest::tagged(b"vector", &[name.as_bytes()])
}

fn record() -> RecordId {
    RecordId::new(digest("record"))
}

/// A header with every field filled.
fn full_header() -> Header {
    Header {
        record: record(),
        record_type: RecordType::Penalty,
        schema_version: 1,
        version: 2,
        idempotency: digest("idempotency"),
        agency: agency("A1"),
        legal_basis: Some(BasisRef { id: "food-safety".to_owned(), version: 3 }),
        class: Class::P1,
        subject_kind: SubjectKind::Organisation,
        body_commit: Some(digest("body")),
        subject_commit: Some(digest("subject")),
        natural_key: Some(digest("natural")),
        decided_on: Some(date("2026-05-06")),
        conduct_on: Some(date("2026-03-01")),
        effective_from: Some(date("2026-05-06")),
        effective_to: Some(date("2027-05-06")),
        publish_from: Some(date("2026-05-07")),
        publish_min_until: Some(date("2026-08-06")),
        publish_until: Some(date("2027-05-06")),
        dispose_on: Some(date("2032-05-06")),
        severity: Some(Severity::Ordinary),
        heard: true,
        officers: vec![public("A1/clerk1"), public("A1/clerk2")],
        refs: vec![Reference { rel: Relation::Concerns, record: record() }],
        attachments_root: Some(digest("attachments")),
        details: Details::Notary(agency("N")),
    }
}

/// A header with nothing that may be absent.
fn bare_header(details: Details) -> Header {
    let header = chain_core::build::governance_header(
        chain().chain_id,
        &"lei:2138001CY61HDFJ5ZA27".parse::<OrgId>().unwrap(),
        b"dedupe",
        "key",
        1,
        details,
    );
    Header { record_type: RecordType::DocFingerprint, ..header }
}

fn operations() -> Vec<(&'static str, Operation)> {
    let (record, version) = (record(), 7);
    vec![
        ("submit", Operation::Submit(Box::new(full_header()))),
        ("submit_bare", Operation::Submit(Box::new(bare_header(Details::None)))),
        ("countersign", Operation::Countersign { record, version, header_digest: digest("header") }),
        (
            "reject",
            Operation::Reject {
                record,
                version,
                header_digest: Some(digest("header")),
                reason: "金额有误".to_owned(),
            },
        ),
        ("withdraw", Operation::Withdraw { record, version }),
        (
            "amend",
            Operation::Amend { header: Box::new(full_header()), reason: AmendReason::CourtOrReviewOrder },
        ),
        (
            "revoke",
            Operation::Revoke {
                record,
                version,
                reason: RevokeReason::Cancelled,
                effect: Effect::FromStart,
                note: "file 1".to_owned(),
            },
        ),
        (
            "stop_publication",
            Operation::StopPublication { record, version, reason: "court_order".to_owned() },
        ),
        (
            "suspend",
            Operation::Suspend {
                record,
                version,
                until: Some(date("2026-12-31")),
                reason: "review".to_owned(),
            },
        ),
        ("resume", Operation::Resume { record, version }),
        (
            "ready",
            Operation::Ready {
                record,
                version,
                time_ms: 1_778_029_200_002,
                signature: secret("v1/consensus").sign(&ready()),
            },
        ),
        (
            "erase",
            Operation::Erase { record, version, ground: EraseGround::Court, note: "file 7/2026".to_owned() },
        ),
        ("confirm_erasure", Operation::ConfirmErasure { record, version, bodies: 2 }),
        (
            "dispute_decide",
            Operation::DisputeDecide {
                record,
                version,
                outcome: DisputeOutcome::Upheld,
                carries: Remedy::Amend,
                reasons: "found".to_owned(),
            },
        ),
        ("review_open", Operation::ReviewOpen { record, version, file_no: "行初1号".to_owned() }),
        (
            "review_decide",
            Operation::ReviewDecide {
                record,
                version,
                outcome: ReviewOutcome::Annulled,
                carries: Remedy::None,
                order_no: "行初1号".to_owned(),
            },
        ),
        (
            "repair_decide",
            Operation::RepairDecide {
                record,
                version,
                case: record,
                outcome: RepairOutcome::Granted,
                reasons: "put right".to_owned(),
            },
        ),
        ("repair_undo", Operation::RepairUndo { record, version, reason: "false".to_owned() }),
        ("seal", Operation::Seal { record, version }),
        (
            "hold",
            Operation::Hold { record, version, order_no: "order 1".to_owned(), until: date("2026-12-31") },
        ),
        ("release_hold", Operation::ReleaseHold { record, version, order_no: "order 2".to_owned() }),
        ("annotate", Operation::Annotate { record, version, text: "不同意".to_owned() }),
    ]
}

fn validator_details(name: &str) -> ValidatorDetails {
    let key = |role: &str| secret(&format!("{name}/{role}"));
    let (consensus, network, log) = (key("consensus"), key("network"), key("log"));
    let secrets = ValidatorSecrets { consensus: &consensus, network: &network, log: &log };
    ValidatorDetails::prove(chain().chain_id, name, &agency("A1"), "/ip4/10.0.0.1/tcp/7101", secrets)
}

fn ready() -> Ready {
    Ready {
        chain_id: chain().chain_id,
        epoch: Epoch::new(3),
        record: record(),
        version: 7,
        consensus_key: public("v1/consensus"),
        time_ms: 1_778_029_200_002,
    }
}

/// The set of an epoch, in which the second validator may not lead.
fn set(epoch: u64) -> Committee {
    let mut validators = ["v1", "v2", "v3", "v4"].map(|name| validator_details(name).validator());
    validators[1].may_lead = false;
    Committee::new(Epoch::new(epoch), validators.to_vec()).unwrap()
}

fn epoch_entry() -> EpochEntry {
    EpochEntry {
        current: set(3),
        base_height: Height::new(257),
        base_digest: digest("closing block"),
        scheduled: Some(Scheduled { height: Height::new(300), next: set(4) }),
        names: ["v1", "v2", "v3", "v4"].map(str::to_owned).to_vec(),
        changes: 9,
    }
}

/// An act signed by two of three recovery keys.
fn recovery() -> SignedRecovery {
    let act = RecoveryAct {
        chain_id: chain().chain_id,
        epoch: Epoch::new(3),
        height: Height::new(257),
        block_digest: digest("last block"),
        next: set(4),
        reason: "两处机房被毁".to_owned(),
        time_ms: 1_778_029_200_000,
    };
    let signatures = ["A1/safe", "N/safe"].map(|safe| act.sign(&secret(safe))).to_vec();
    SignedRecovery::new(act, signatures)
}

fn recovery_keys() -> RecoveryKeys {
    let key = |name: &str| RecoveryKey {
        name: format!("safe-{}", name.to_lowercase()),
        agency: agency(name),
        key: public(&format!("{name}/safe")),
    };
    RecoveryKeys::new(2, ["A1", "A2", "N"].map(key).to_vec()).unwrap()
}

fn leaves() -> Vec<(&'static str, Leaf)> {
    let flags = Flags::PUBLICATION_STOPPED.with(Flags::DISPUTED);
    vec![
        (
            "signed",
            Leaf::Signed(Box::new(SignedLeaf {
                height: Height::new(258),
                time_ms: 1_778_029_200_000,
                tx: TxId::new(digest("tx")),
                operation_index: 3,
                author: public("A1/clerk1"),
                agency: agency("A1"),
                role: Role::Clerk,
                version: 2,
                status: Status::Submitted,
                flags,
                operation: Operation::Submit(Box::new(full_header())),
            })),
        ),
        (
            "automatic",
            Leaf::Automatic(AutomaticLeaf {
                height: Height::new(259),
                time_ms: 1_778_029_200_001,
                step: Step::Expire,
                record: record(),
                version: 2,
                status: Status::Expired,
                flags,
                due: date("2027-05-07"),
            }),
        ),
        (
            "seal",
            Leaf::Seal(SealLeaf {
                height: Height::new(260),
                header_digest: digest("block"),
                state_root: digest("state"),
                epoch: Epoch::new(1),
            }),
        ),
        (
            "genesis",
            Leaf::Genesis(Box::new(GenesisLeaf {
                header: bare_header(Details::Member(Box::new(member_details("A1", "clerk1")))),
            })),
        ),
        (
            "recovery",
            Leaf::Recovery(Box::new(RecoveryLeaf {
                height: Height::new(258),
                time_ms: 1_778_029_200_003,
                recovery: recovery(),
            })),
        ),
        (
            "erasure",
            Leaf::Erasure(Box::new(ErasureLeaf {
                height: Height::new(259),
                time_ms: 1_778_029_200_004,
                tx: TxId::new(digest("tx")),
                operation_index: 3,
                author: public("v1/log"),
                validator: "v1".to_owned(),
                record: record(),
                version: 2,
                bodies: 2,
            })),
        ),
        (
            "linked",
            Leaf::Linked(LinkedLeaf {
                height: Height::new(260),
                time_ms: 1_778_029_200_005,
                step: Step::Expire,
                record: record(),
                version: 1,
                status: Status::Expired,
                flags: Flags::PUBLICATION_STOPPED,
                cause: RecordId::new(digest("base")),
            }),
        ),
    ]
}

/// One proof of each kind, by validator 2 of the test city, with its offence's name.
fn evidence() -> Vec<(&'static str, Evidence)> {
    hand(2).every_kind().into_iter().map(|(kind, evidence)| (kind.name(), evidence)).collect()
}

fn evidence_leaf(evidence: Evidence) -> Leaf {
    Leaf::Evidence(Box::new(EvidenceLeaf {
        height: Height::new(261),
        time_ms: 1_778_029_200_002,
        tx: TxId::new(digest("tx")),
        author: public("v0/log"),
        offender: public("v2/consensus"),
        evidence,
    }))
}

fn head() -> RecordHead {
    let signer = Signer { key: public("A1/clerk1"), role: Role::Clerk, step: Step::Submit };
    let version = VersionHead {
        version: 1,
        status: Status::Effective,
        header_digest: digest("header"),
        body_commit: Some(digest("body")),
        leaf_index: 12,
        needs: Needs::SECOND_CLERK.with(Needs::SUPERVISOR),
        signers: vec![signer],
        officers: vec![public("A1/clerk1"), public("A1/clerk2")],
        notary: Some(agency("N")),
        natural_key: Some(digest("natural")),
        legal_basis: Some(BasisRef { id: "food-safety".to_owned(), version: 1 }),
        decided_on: Some(date("2026-05-06")),
        effective_from: Some(date("2026-05-06")),
        effective_to: Some(date("2027-05-06")),
        publish_from: Some(date("2026-05-06")),
        publish_min_until: Some(date("2026-08-06")),
        publish_until: Some(date("2027-05-06")),
        dispose_on: Some(date("2032-05-06")),
        severity: Some(Severity::Ordinary),
        refs: vec![Reference { rel: Relation::BasedOn, record: record() }],
        attachments_root: Some(digest("attachments")),
    };
    let pending = Pending {
        step: Step::RepairDecide,
        act: Act::Repair(record(), RepairOutcome::Granted),
        digest: digest("operation"),
        needs: Needs::council(2),
        signers: vec![signer],
    };
    RecordHead {
        record_type: RecordType::Penalty,
        agency: agency("A1"),
        class: Class::P1,
        subject_kind: SubjectKind::Organisation,
        first_digest: digest("first"),
        first_leaf: 11,
        flags: Flags::LEGAL_HOLD,
        next: Some(VersionHead { version: 2, status: Status::Submitted, ..version.clone() }),
        current: version,
        pending: Some(pending),
        hold_until: Some(date("2026-12-31")),
        seal_on: Some(date("2032-05-07")),
        reviewer: Some(agency("A2")),
        suspended_with: Some(record()),
        annotations: 3,
        duties: vec![Duty {
            deadline: Deadline { step: DeadlineKind::Publication, days: 7, unit: DayUnit::WorkingDays },
            from: date("2026-05-06"),
            met: Some(date("2026-05-07")),
        }],
        changed_at: Height::new(9),
        registered: None,
    }
}

fn params_details() -> ParamsDetails {
    let values = Params { captured_ahead_s: 60, ..Params::default() };
    let source = "resolution 7 of the council".to_owned();
    ParamsDetails { from: date("2027-01-01"), values, source, doc_no: "2026-7".to_owned() }
}

/// Details of the types whose records are held against others, and of parameters.
fn chained_details() -> [(&'static str, Details); 6] {
    let alert = AlertDetails {
        status: AlertStatus::Exercise,
        kind: AlertKind::Update,
        immediate: true,
        sent_ms: 1_778_029_200_002,
        expires_ms: Some(1_778_065_200_000),
    };
    let release = ProcurementDetails {
        process: process_of("ocds-213czf-000-00001"),
        tags: vec![ReleaseTag::Award, ReleaseTag::Contract],
        date_ms: 1_778_029_200_002,
        previous: Some(record()),
    };
    let batch =
        CommitBatchDetails { root: digest("root"), size_class: SizeClass::UpTo256, day: date("2026-05-05") };
    let list = StatusListDetails {
        list: digest("list"),
        purpose: ListPurpose::Suspension,
        bits: 131_072,
        encoded: digest("encoded"),
        version: 2,
        valid_from_ms: 1_778_029_200_000,
        ttl_s: 3_600,
        previous: Some(record()),
    };
    [
        ("alert", Details::Alert(alert)),
        ("procurement", Details::Procurement(Box::new(release))),
        ("commit_batch", Details::CommitBatch(batch)),
        ("status_list", Details::StatusList(list)),
        ("params", Details::Params(Box::new(params_details()))),
        (
            "access_root",
            Details::AccessRoot(AccessRootDetails {
                day: date("2026-05-05"),
                queries: 7,
                root: digest("root"),
            }),
        ),
    ]
}

fn access_entry() -> Entry {
    let query = Query {
        question: Question::Body,
        record: Some(record()),
        version: Some(2),
        day: None,
        purpose: "objection 12".to_owned(),
        time_ms: 1_778_029_200_001,
        nonce: digest("nonce"),
    };
    Entry {
        time_ms: 1_778_029_200_002,
        role: Role::Supervisor,
        refused: Some(Code::RecordNotFound.number()),
        asked: query.sign(chain().chain_id, &secret("A1/clerk1")),
    }
}

fn submission() -> Submission {
    submission_of(operations().into_iter().map(|(_, operation)| operation).collect())
}

fn submission_of(operations: Vec<Operation>) -> Submission {
    let mut bodies = vec![None; operations.len()];
    bodies[0] = Some(Body { salt: digest("salt"), json: "{\"a\":1}".to_owned() });
    let transaction = Transaction {
        version: 1,
        chain_id: chain().chain_id,
        author: public("A1/clerk1"),
        valid_until_ms: 1_778_029_260_000,
        atomic: true,
        operations,
    };
    Submission { signed: transaction.sign(&secret("A1/clerk1")), bodies }
}

fn outcomes() -> [(&'static str, Outcome); 2] {
    let outcome = |verdict| Outcome { tx: TxId::new(digest("tx")), operation: 5, verdict };
    [
        (
            "accepted",
            outcome(Verdict::Accepted { record: record(), version: 1, leaf_index: 99, duplicate: true }),
        ),
        ("refused", outcome(Verdict::Refused(Refusal::new(Code::UsccCheckChar, "got x")))),
    ]
}

pub(crate) fn canonical<T: Layout + PartialEq + std::fmt::Debug>(
    name: &str,
    value: &T,
    failures: &mut Vec<String>,
) {
    let bytes = value.to_canonical();
    assert_eq!(T::from_canonical(&bytes).as_ref(), Ok(value), "{name} reads back");
    for cut in 0..bytes.len() {
        assert!(T::from_canonical(&bytes[..cut]).is_err(), "{name} cut at {cut}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(T::from_canonical(&longer).is_err(), "{name} with a byte more");
    compare(name, &bytes, failures);
}

#[test]
fn bytes_are_frozen_and_read_back() {
    let mut failures = Vec::new();
    for (name, operation) in operations() {
        canonical(&format!("operation_{name}"), &operation, &mut failures);
    }
    for (name, leaf) in leaves() {
        canonical(&format!("leaf_{name}"), &leaf, &mut failures);
    }
    for (name, evidence) in evidence() {
        canonical(&format!("evidence_{name}"), &evidence, &mut failures);
    }
    let (_, amnesia) = evidence().remove(4);
    let entry = OffenceEntry {
        offence: amnesia.offence(),
        key: public("v2/consensus"),
        name: "v2".to_owned(),
        record: amnesia.offence().record(),
        height: Height::new(261),
        time_ms: 1_778_029_200_002,
        leaf_index: 40,
        accuser: public("v0/log"),
    };
    canonical("state_offence", &entry, &mut failures);
    canonical("state_offender", &OffenderEntry { offences: 3, since: Height::new(261) }, &mut failures);
    canonical("operation_accuse", &Operation::Accuse(Box::new(amnesia.clone())), &mut failures);
    canonical("leaf_evidence", &evidence_leaf(amnesia), &mut failures);
    canonical("header_full", &full_header(), &mut failures);
    let agency_record = Details::Agency(Box::new(agency_details("A1", &[RecordType::Licence])));
    canonical("details_agency", &agency_record, &mut failures);
    let member = Details::Member(Box::new(member_details("A1", "clerk1")));
    canonical("details_member", &member, &mut failures);
    let basis = Details::LegalBasis(Box::new(BasisDetails {
        deadlines: vec![Deadline {
            step: DeadlineKind::ReviewDecision,
            days: 60,
            unit: DayUnit::CalendarDays,
        }],
        ..basis_details("food-safety")
    }));
    canonical("details_legal_basis", &basis, &mut failures);
    let calendar = calendars().remove(2);
    canonical("details_calendar", &Details::Calendar(Box::new(calendar.clone())), &mut failures);
    let calendar = CalendarEntry { details: calendar, status: Status::Effective, record: record() };
    canonical("state_calendar", &calendar, &mut failures);
    canonical("state_record_head", &head(), &mut failures);
    for (name, details) in chained_details() {
        canonical(&format!("details_{name}"), &details, &mut failures);
    }
    let entry = ParamsEntry { details: params_details(), status: Status::Effective, record: record() };
    canonical("state_params", &entry, &mut failures);
    let schema = crate::schemas::finding();
    canonical("details_schema", &Details::Schema(Box::new(schema.clone())), &mut failures);
    let registered = RegisteredHead { schema_version: 3, terms: schema.terms };
    let registered = RecordHead {
        record_type: RecordType::Registered(schema.key),
        registered: Some(registered),
        ..head()
    };
    canonical("state_record_head_registered", &registered, &mut failures);
    let registered = Header {
        record_type: RecordType::Registered(schema.key),
        schema_version: 3,
        details: Details::Registered(schema.terms),
        ..full_header()
    };
    canonical("header_registered", &registered, &mut failures);
    wire(
        "submission_registered_wire",
        &submission_of(vec![Operation::Submit(Box::new(registered))]),
        &mut failures,
    );
    let filed = Header {
        record_type: RecordType::Schema,
        details: Details::Schema(Box::new(schema.clone())),
        ..full_header()
    };
    let filed = submission_of(vec![Operation::Submit(Box::new(filed))]);
    wire("submission_schema_wire", &filed, &mut failures);
    let schema = SchemaEntry { details: schema, status: Status::Effective, record: record() };
    canonical("state_schema", &schema, &mut failures);
    let erasure = ErasureEntry {
        height: Height::new(258),
        leaf_index: 41,
        version: 2,
        awaited: vec!["v0".to_owned(), "v3".to_owned()],
        confirmed: vec![Confirmation { validator: "v1".to_owned(), bodies: 2, leaf_index: 44 }],
    };
    canonical("state_erasure", &erasure, &mut failures);
    let agency_entry = AgencyEntry {
        id: agency("A1"),
        name: "示例市市场监督管理局".to_owned(),
        types: vec![RecordType::Licence, RecordType::Penalty],
        from: date("2020-01-01"),
        to: Some(date("2030-12-31")),
        status: Status::Effective,
        record: record(),
    };
    canonical("state_agency", &agency_entry, &mut failures);
    let member_entry = MemberEntry {
        agency: agency("A1"),
        role: Role::Supervisor,
        from: date("2020-01-01"),
        to: None,
        label: "supervisor 1".to_owned(),
        status: Status::Suspended,
        record: record(),
    };
    canonical("state_member", &member_entry, &mut failures);
    let basis_entry =
        BasisEntry { details: basis_details("food-safety"), status: Status::Effective, record: record() };
    canonical("state_basis", &basis_entry, &mut failures);
    let validator = Details::Validator(Box::new(validator_details("v1")));
    canonical("details_validator", &validator, &mut failures);
    let validator_entry = ValidatorEntry {
        validator: validator_details("v1").validator(),
        status: Status::Effective,
        record: record(),
        version: 7,
        order: 5,
        ready: Some(ReadyEntry { epoch: Epoch::new(3), time_ms: 1_778_029_200_002 }),
    };
    canonical("state_validator", &validator_entry, &mut failures);
    canonical("state_epoch", &epoch_entry(), &mut failures);
    canonical("access_entry", &access_entry(), &mut failures);
    canonical("state_recovery", &recovery_keys(), &mut failures);
    compare("recovery_preimage", &recovery().act.preimage(), &mut failures);
    compare("ready_preimage", &ready().preimage(), &mut failures);
    let owner = agency("A1");
    let possession = ValidatorPossession {
        chain_id: chain().chain_id,
        name: "v1",
        agency: &owner,
        role: KeyRole::Network,
        key: public("v1/network"),
    };
    compare("validator_possession_preimage", &possession.preimage(), &mut failures);
    compare("validators_hash", set(3).hash().as_bytes(), &mut failures);
    for (name, outcome) in outcomes() {
        compare(&format!("outcome_{name}_canonical"), &outcome.canonical(), &mut failures);
        wire(&format!("outcome_{name}_wire"), &outcome, &mut failures);
    }
    wire("submission_wire", &submission(), &mut failures);
    let mut names = Writer::new();
    let transaction = submission().signed.transaction;
    names.digest(transaction.id().digest()).digest(&full_header().digest());
    names.digest(&operations()[6].1.digest()).signature(&submission().signed.signature);
    let possession = Possession::prove(chain().chain_id, &secret("A1/clerk1"));
    names.signature(&possession).signature(&Signature::ZERO);
    compare("digests_and_signatures", &names.finish(), &mut failures);
    assert!(failures.is_empty(), "changed or missing vectors: {failures:?}");
}

proptest! {
    /// Whatever a damaged disk or a hostile peer makes of the bytes: no panic, and nothing reads as a value
    /// that would be written differently.
    #[test]
    fn damaged_bytes_never_panic_nor_read_as_something_else(
        leaf in 0..5_usize, operation in 0..11_usize, at in 0..600_usize, flip in 1..=255_u8, cut in 0..600_usize,
    ) {
        let damage = |mut bytes: Vec<u8>| {
            let at = at % bytes.len();
            bytes[at] ^= flip;
            bytes.truncate(bytes.len() - cut.saturating_sub(400) % bytes.len());
            bytes
        };
        let bytes = damage(leaves()[leaf].1.to_canonical());
        if let Ok(read) = Leaf::decode(&bytes) {
            prop_assert_eq!(read.to_canonical(), bytes);
        }
        let bytes = damage(operations()[operation].1.to_canonical());
        if let Ok(read) = Operation::from_canonical(&bytes) {
            prop_assert_eq!(read.to_canonical(), bytes);
        }
        let bytes = damage(evidence()[operation % 6].1.to_canonical());
        if let Ok(read) = Evidence::from_canonical(&bytes) {
            prop_assert_eq!(read.to_canonical(), bytes);
        }
        let bytes = damage(head().to_canonical());
        if let Ok(read) = RecordHead::from_canonical(&bytes) {
            prop_assert_eq!(read.to_canonical(), bytes);
        }
        let bytes = damage(epoch_entry().to_canonical());
        if let Ok(read) = EpochEntry::from_canonical(&bytes) {
            prop_assert_eq!(read.to_canonical(), bytes);
        }
        let bytes = damage(codec::encode(&submission()).unwrap());
        if let Ok(read) = codec::decode::<Submission>(&bytes) {
            prop_assert_eq!(codec::encode(&read).unwrap(), bytes);
        }
    }
}

fn wire<T: Wire + PartialEq + std::fmt::Debug>(name: &str, value: &T, failures: &mut Vec<String>) {
    let bytes = codec::encode(value).unwrap();
    assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value), "{name} decodes");
    compare(name, &bytes, failures);
}

#[test]
fn json_forms_read_back() {
    for (name, operation) in operations() {
        let text = serde_json::to_string(&operation).unwrap();
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), operation, "{name}");
        let odd = text.replacen("\"version\":", "\"colour\":1,\"version\":", 1);
        assert!(serde_json::from_str::<Operation>(&odd).is_err(), "{name} with an unknown field");
    }
    for (name, leaf) in leaves() {
        let text = serde_json::to_string(&leaf).unwrap();
        assert_eq!(serde_json::from_str::<Leaf>(&text).unwrap(), leaf, "{name}");
    }
    for (name, evidence) in evidence() {
        let operation = Operation::Accuse(Box::new(evidence.clone()));
        let text = serde_json::to_string(&operation).unwrap();
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), operation, "{name}");
        let leaf = evidence_leaf(evidence);
        let text = serde_json::to_string(&leaf).unwrap();
        assert_eq!(serde_json::from_str::<Leaf>(&text).unwrap(), leaf, "{name}");
    }
    let text = serde_json::to_string(&submission()).unwrap();
    assert_eq!(serde_json::from_str::<Submission>(&text).unwrap(), submission());
    let _ = new_key("A1/clerk1");
}

/// The texts of the encoding set: what is refused, and where each member comes in canonical order.
#[test]
fn json_texts_are_judged_as_listed() {
    let cases: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(vectors().join("json_texts.json")).unwrap()).unwrap();
    for case in cases.as_array().unwrap() {
        let [name, text, expect] = ["name", "text", "expect"].map(|field| case[field].as_str().unwrap());
        if expect.starts_with("refuse") {
            assert!(json::parse(text).is_err(), "{name}");
        } else if let Some(want) = expect.strip_prefix("canonical bytes are ") {
            assert_eq!(json::canonicalise(text).as_deref(), Ok(want), "{name}");
        } else {
            assert!(expect.starts_with("the first name sorts first"), "{name}: unknown expectation");
            let plain = text.replace("\\ud83d\\ude00", "😀").replace("\\ufb33", "\u{fb33}");
            assert_eq!(json::canonicalise(text).as_deref(), Ok(plain.as_str()), "{name}");
        }
    }
}
