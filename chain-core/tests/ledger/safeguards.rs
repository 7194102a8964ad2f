//! The twenty safeguards, each by its number: what every validator refuses, whatever a client checked. docs/safeguards.md
//! says where the rest of each is tested.

use std::collections::BTreeSet;

use chain_core::build::{self, Filed, Filing};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::execute::GenesisState;
use chain_core::id::RecordId;
use chain_core::operation::{DisputeOutcome, EraseGround, Operation, Remedy, RepairOutcome, ReviewOutcome};
use chain_core::record::deadline::{DayUnit, Deadline, DeadlineKind};
use chain_core::record::governance::{BasisDetails, Instrument};
use chain_core::record::registered::RegisteredType;
use chain_core::record::schema::SchemaDetails;
use chain_core::record::{BasisRef, Class, RecordType, Reference, Relation, SubjectKind};
use serde_json::{Value, json};

use crate::city::{
    self, Accepted, City, agency, agency_details, basis_details, calendars, date, filing, fingerprint_body,
    licence_body, member_details, organisation, penalty_body, public,
};

const TYPES: [RecordType; 9] = [
    RecordType::Licence,
    RecordType::Penalty,
    RecordType::Commitment,
    RecordType::ListEntry,
    RecordType::Measure,
    RecordType::Objection,
    RecordType::Repair,
    RecordType::Decision,
    RecordType::DocFingerprint,
];

/// A city with all of the credit family under one basis with terms, and with bases that allow less.
struct Case {
    city: City,
    filed: u32,
}

impl Case {
    fn new() -> Self {
        let mut genesis: GenesisState = city::genesis();
        genesis.agencies[0] = agency_details("A1", &TYPES);
        genesis.agencies[1] = agency_details("A2", &TYPES);
        genesis.members.push(member_details("A1", "privacy1"));
        genesis.calendars = calendars();
        let days = |step, days| Deadline { step, days, unit: DayUnit::WorkingDays };
        let deadlines = vec![days(DeadlineKind::ObjectionDecision, 3), days(DeadlineKind::Publication, 7)];
        let all = BasisDetails { types: TYPES.to_vec(), deadlines, ..basis_details("all") };
        let list = |id: &str, instrument| BasisDetails {
            types: vec![RecordType::ListEntry],
            instrument,
            ..basis_details(id)
        };
        genesis.bases.extend([
            all,
            list("list-by-rule", Instrument::Rule),
            list("list-by-policy", Instrument::Policy),
            BasisDetails {
                types: vec![RecordType::Measure],
                codes: vec!["tender".to_owned()],
                ..basis_details("measures")
            },
            BasisDetails { hearing: true, supervisor: true, ..basis_details("heard") },
        ]);
        Self { city: City::with(&genesis), filed: 0 }
    }

    fn filing(&mut self, record_type: RecordType, basis: &str) -> (String, RecordType, BasisRef) {
        self.filed += 1;
        (format!("k{}", self.filed), record_type, BasisRef { id: basis.to_owned(), version: 1 })
    }

    /// Files a body as it is: no client has checked it.
    fn file_as(
        &mut self,
        post: &str,
        record_type: RecordType,
        basis: &str,
        body: &Value,
        change: impl FnOnce(&mut Filing<'_>),
    ) -> Result<Accepted, Code> {
        let (key, record_type, basis) = self.filing(record_type, basis);
        let by = post.split_once('/').unwrap().0;
        let mut like = Filing { agency: agency(by), legal_basis: Some(basis), ..filing(record_type, &key) };
        if record_type == RecordType::Penalty {
            like.officers = vec![public("A1/clerk1"), public("A1/clerk2")];
        }
        if record_type == RecordType::DocFingerprint {
            like.class = Class::P0;
        }
        change(&mut like);
        let filed = build::file(&like, &body.to_string()).unwrap();
        self.city.submit(post, filed)
    }

    fn file(&mut self, record_type: RecordType, basis: &str, body: &Value) -> Result<Accepted, Code> {
        self.file_as("A1/clerk1", record_type, basis, body, |_| {})
    }

    fn penalty(&mut self, change: impl FnOnce(&mut Value)) -> Result<Accepted, Code> {
        let mut body = penalty_body(&format!("P{}", self.filed));
        change(&mut body);
        self.file(RecordType::Penalty, "all", &body)
    }

    fn effective_penalty(&mut self) -> RecordId {
        let record = self.penalty(|_| {}).unwrap().record;
        self.city.countersign("A1/clerk2", record).unwrap();
        self.city.countersign("A1/supervisor1", record).unwrap();
        record
    }

    fn notice(&mut self) -> RecordId {
        let mut body = fingerprint_body();
        body["sha256"] = Digest::tagged(b"notice", &[&self.filed.to_be_bytes()]).to_string().into();
        self.file(RecordType::DocFingerprint, "all", &body).unwrap().record
    }

    fn objection(&mut self, post: &str, target: RecordId) -> Result<Accepted, Code> {
        let body = json!({
            "target": target, "kind": "error", "statement": text("金额有误"), "received_on": "2026-05-06",
            "origin": origin(),
        });
        self.file_as(post, RecordType::Objection, "all", &body, |_| {})
    }

    fn flags(&self, record: RecordId) -> Vec<&'static str> {
        self.city.head(record).flags.names()
    }
}

fn text(text: &str) -> Value {
    json!([{ "lang": "zh-Hans", "text": text }])
}

fn origin() -> Value {
    json!({ "system": "counter", "method": "manual" })
}

fn measure_body(based_on: RecordId, notice: RecordId) -> Value {
    json!({
        "subject": organisation(), "measure_code": "tender", "direction": "restriction", "matter_code": "m",
        "from": "2026-05-06", "until": "2027-05-06", "based_on": based_on, "relation": text("与失信行为相关"),
        "notice": notice, "origin": origin(),
    })
}

fn list_body(code: &str, notice: RecordId, based_on: RecordId) -> Value {
    json!({
        "subject": organisation(), "list_code": code, "list_kind": "abnormal_operation",
        "grounds": text("未按规定公示年度报告"), "decision_no": code, "decided_on": "2026-05-06",
        "entry_from": "2026-05-06", "entry_until": "2027-05-06", "exit_conditions": text("补报年度报告"),
        "remedies": text("可申请行政复议"), "prior_notice": notice, "based_on": [based_on], "origin": origin(),
    })
}

fn evidence(name: &[u8]) -> Value {
    json!([{
        "sha256": Digest::tagged(b"evidence", &[name]).to_string(), "size": 10, "media_type": "application/pdf",
        "name": "proof.pdf", "class": "P1",
    }])
}

#[test]
fn every_safeguard_has_its_test() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(folder.join("../docs/safeguards.md")).unwrap();
    let sources = ["safeguards", "devices", "access", "deadlines"]
        .map(|name| std::fs::read_to_string(folder.join(format!("tests/ledger/{name}.rs"))).unwrap());
    let mut numbers = BTreeSet::new();
    let mut written: BTreeSet<&str> = sources
        .iter()
        .flat_map(|text| text.split("\nfn safeguard_").skip(1))
        .filter_map(|rest| rest.split('(').next())
        .collect();
    for row in table.lines().filter(|row| row.starts_with("| G")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let number: u8 = cells[1][1..].parse().unwrap();
        for name in cells[3].split(", ").map(|name| name.trim_matches('`')) {
            assert!(name.starts_with(&format!("g{number:02}_")), "G{number}: {name}");
            assert!(written.remove(name), "G{number}: there is no test safeguard_{name}");
        }
        numbers.insert(number);
    }
    assert_eq!(numbers, (1..=20).collect());
    assert_eq!(written, BTreeSet::new(), "tests that the table does not name");
}

#[test]
fn safeguard_g01_a_record_names_a_basis_that_allows_it() {
    let mut case = Case::new();
    let licence = licence_body("L");
    let mut with = |basis: &str, change: fn(&mut Filing<'_>)| {
        case.file_as("A1/clerk1", RecordType::Licence, basis, &licence, change).map(|_| ())
    };
    assert_eq!(with("all", |filing| filing.legal_basis = None), Err(Code::LegalBasisMissing));
    assert_eq!(with("no-such-law", |_| {}), Err(Code::LegalBasisMissing));
    assert_eq!(with("penalties-only", |_| {}), Err(Code::TypeNotPermittedByBasis));
    assert_eq!(with("new-law", |_| {}), Err(Code::LegalBasisNotInForce));
    assert_eq!(with("all", |_| {}), Ok(()));
}

#[test]
fn safeguard_g02_the_law_at_the_time_of_the_conduct_decides() {
    let mut case = Case::new();
    case.city.at("2026-08-01T09:00:00+08:00");
    let on = |conduct: &str| {
        let mut body = penalty_body(conduct);
        body["conduct_on"] = conduct.into();
        (body["decided_on"], body["publish_from"]) = ("2026-07-30".into(), "2026-07-30".into());
        body
    };
    assert_eq!(case.file(RecordType::Penalty, "new-law", &on("2026-06-30")), Err(Code::LegalBasisNotInForce));
    assert!(case.file(RecordType::Penalty, "new-law", &on("2026-07-01")).is_ok());
}

#[test]
fn safeguard_g03_what_burdens_ends_and_no_later_than_the_basis_allows() {
    let mut case = Case::new();
    let endless = |body: &mut Value| drop(body.as_object_mut().unwrap().remove("publish_until"));
    assert_eq!(case.penalty(endless), Err(Code::ExpiryRequired));
    assert_eq!(
        case.penalty(|body| body["publish_until"] = "2027-05-07".into()),
        Err(Code::PublicationTooLong)
    );
    let minor = |until: &'static str| {
        move |body: &mut Value| {
            (body["severity"], body["publish_until"]) = ("minor".into(), until.into());
        }
    };
    assert_eq!(case.penalty(minor("2026-08-07")), Err(Code::PublicationTooLong));
    assert!(case.penalty(minor("2026-08-06")).is_ok());
    // A warning alone is not published at all.
    let warned = |body: &mut Value| body["penalty_kinds"] = json!(["warning"]);
    assert_eq!(case.penalty(warned), Err(Code::PublicationTooLong));
    // Lists and measures without an end are refused.
    let base = case.effective_penalty();
    let notice = case.notice();
    for (record_type, mut body, end) in [
        (RecordType::ListEntry, list_body("a", notice, base), "entry_until"),
        (RecordType::Measure, measure_body(base, notice), "until"),
    ] {
        body.as_object_mut().unwrap().remove(end);
        assert_eq!(case.file(record_type, "all", &body), Err(Code::ExpiryRequired), "{record_type}");
    }
}

/// A penalty has an end of its own or not: it is kept for the years of its basis after its publication, and no longer.
#[test]
fn safeguard_g03_a_published_act_is_sealed_when_its_retention_ends() {
    let mut case = Case::new();
    let published = case.effective_penalty();
    let unpublished = case.penalty(|body| {
        body.as_object_mut().unwrap().retain(|name, _| !name.starts_with("publish_"));
    });
    let unpublished = unpublished.unwrap().record;
    case.city.countersign("A1/clerk2", unpublished).unwrap();
    case.city.countersign("A1/supervisor1", unpublished).unwrap();
    for (record, last) in [(unpublished, "2031-05-06"), (published, "2032-05-06")] {
        case.city.tick(&format!("{last}T23:59:59+08:00"));
        assert_eq!(case.city.status(record), "effective", "{last} is not over");
        let next = date(last).next();
        case.city.tick(&format!("{next}T00:00:00+08:00"));
        case.city.tick(&format!("{next}T00:00:01+08:00"));
        assert_eq!(case.city.status(record), "sealed");
    }
}

#[test]
fn safeguard_g04_publication_stops_by_itself() {
    let mut case = Case::new();
    let record = case.effective_penalty();
    case.city.tick("2027-05-06T23:59:59+08:00");
    assert!(case.flags(record).is_empty());
    case.city.tick("2027-05-07T00:00:00+08:00");
    assert_eq!((case.city.status(record), case.flags(record)), ("effective", vec!["publication_stopped"]));
}

#[test]
fn safeguard_g05_a_granted_repair_ends_what_rests_on_the_record_in_the_same_block() {
    let mut case = Case::new();
    let base = case.effective_penalty();
    let notice = case.notice();
    let mut dependants = Vec::new();
    for (record_type, body) in [
        (RecordType::Measure, measure_body(base, notice)),
        (RecordType::ListEntry, list_body("a", notice, base)),
    ] {
        let record = case.file(record_type, "all", &body).unwrap().record;
        if record_type == RecordType::ListEntry {
            case.city.countersign("A1/legal1", record).unwrap();
        }
        case.city.countersign("A1/supervisor1", record).unwrap();
        dependants.push(record);
    }
    case.city.tick("2026-08-20T09:00:00+08:00");
    let promise = json!({
        "subject": organisation(), "kind": "repair", "matter_code": "m", "text": text("不再违法"),
        "made_on": "2026-08-20", "verification": "pending", "origin": origin(),
    });
    let promise = case.file(RecordType::Commitment, "all", &promise).unwrap().record;
    let application = |name: &[u8]| {
        json!({
            "target": base, "commitment": promise, "evidence": evidence(name), "received_on": "2026-08-20",
            "origin": origin(),
        })
    };
    let first = case.file(RecordType::Repair, "all", &application(b"1")).unwrap().record;
    let second = case.file(RecordType::Repair, "all", &application(b"2")).unwrap().record;
    let (outcome, reasons) = (RepairOutcome::Granted, "performed".to_owned());
    let grant = Operation::RepairDecide { record: base, version: 1, case: first, outcome, reasons };
    case.city.send("A1/clerk1", grant).unwrap();
    assert_eq!(dependants.iter().map(|one| case.city.status(*one)).collect::<Vec<_>>(), ["effective"; 2]);
    let height = case.city.ledger.height();
    case.city.countersign("A1/supervisor2", base).unwrap();
    assert_eq!(case.city.ledger.height().get(), height.get() + 1, "one block");
    assert_eq!(case.city.status(base), "repaired");
    assert_eq!(dependants.iter().map(|one| case.city.status(*one)).collect::<Vec<_>>(), ["expired"; 2]);
    // Nobody waits for an answer that can never come.
    assert_eq!([first, second].map(|one| case.city.status(one)), ["expired"; 2]);
}

#[test]
fn safeguard_g06_a_list_rests_on_law_and_an_entry_on_grounds_and_a_notice() {
    let mut case = Case::new();
    let (base, notice) = (case.effective_penalty(), case.notice());
    let body = list_body("a", notice, base);
    assert_eq!(case.file(RecordType::ListEntry, "list-by-rule", &body), Err(Code::TypeNotPermittedByBasis));
    for (gone, code) in [
        ("prior_notice", Code::MissingNotice),
        ("based_on", Code::MissingEvidence),
        ("grounds", Code::MissingField),
        ("exit_conditions", Code::MissingField),
        ("remedies", Code::MissingField),
    ] {
        let mut body = body.clone();
        body.as_object_mut().unwrap().remove(gone);
        assert_eq!(case.file(RecordType::ListEntry, "list-by-policy", &body), Err(code), "{gone}");
    }
    assert!(case.file(RecordType::ListEntry, "list-by-policy", &body).is_ok());
    // A notice that nobody has approved yet was not given.
    let waiting = case.file_as("A1/clerk1", RecordType::Decision, "all", &city::decision_body("9"), |_| {});
    let early = list_body("b", waiting.unwrap().record, base);
    assert_eq!(case.file(RecordType::ListEntry, "list-by-policy", &early), Err(Code::ReferenceNotFound));
}

#[test]
fn safeguard_g07_a_measure_is_on_the_list_related_noticed_and_no_longer_than_its_base() {
    let mut case = Case::new();
    let (base, notice) = (case.effective_penalty(), case.notice());
    let body = measure_body(base, notice);
    let mut flawed = |change: fn(&mut Value)| {
        let mut body = body.clone();
        change(&mut body);
        case.file(RecordType::Measure, "measures", &body).map(|_| ())
    };
    let without =
        |name: &'static str| move |body: &mut Value| drop(body.as_object_mut().unwrap().remove(name));
    assert_eq!(flawed(|body| body["measure_code"] = "public-shaming".into()), Err(Code::NotInCatalogue));
    assert_eq!(flawed(|body| body["until"] = "2027-05-07".into()), Err(Code::OutlastsBase));
    assert_eq!(flawed(|body| body["from"] = "2026-05-05".into()), Err(Code::OutlastsBase));
    assert_eq!(flawed(|body| body["relation"] = json!([])), Err(Code::MissingField));
    let mut body = body.clone();
    without("notice")(&mut body);
    assert_eq!(case.file(RecordType::Measure, "measures", &body), Err(Code::MissingNotice));
    assert!(case.file(RecordType::Measure, "measures", &measure_body(base, notice)).is_ok());
}

#[test]
fn safeguard_g08_an_objection_marks_at_once_and_another_supervisor_decides() {
    let mut case = Case::new();
    let record = case.effective_penalty();
    let objection = case.objection("A2/clerk1", record).unwrap().record;
    assert_eq!(case.flags(record), ["disputed"]);
    let duty = case.city.head(objection).duties[0];
    assert_eq!((duty.deadline.days, duty.deadline.unit), (3, DayUnit::WorkingDays));
    let (outcome, carries) = (DisputeOutcome::Undetermined, Remedy::None);
    let silent = Operation::DisputeDecide { record, version: 1, outcome, carries, reasons: String::new() };
    assert_eq!(case.city.send("A1/clerk1", silent), Err(Code::ReasonRequired));
    let reasons = "cannot be settled".to_owned();
    let decide = Operation::DisputeDecide { record, version: 1, outcome, carries, reasons };
    case.city.send("A1/clerk1", decide).unwrap();
    assert_eq!(case.city.countersign("A1/supervisor1", record), Err(Code::SamePerson), "it was his own act");
    case.city.countersign("A1/supervisor2", record).unwrap();
    assert!(case.flags(record).is_empty());
}

/// A type about organisations and persons with one property more.
fn with_property(name: &str) -> Result<RegisteredType, chain_core::code::Refusal> {
    let details: SchemaDetails = crate::schemas::visit();
    let mut schema: Value = serde_json::from_str(&details.json_schema).unwrap();
    schema["properties"][name] = json!({ "type": "string", "maxLength": 10 });
    let json_schema = chain_core::json::canonicalise(&schema.to_string()).unwrap();
    RegisteredType::new(SchemaDetails { json_schema, ..details })
}

#[test]
fn safeguard_g09_no_type_has_a_score_of_its_subject() {
    for name in
        ["credit_score", "trust_rating", "rank", "risk_level", "bonus_points", "pingfen", "xinyong_dengji"]
    {
        assert_eq!(with_property(name).unwrap_err().code, Code::ScoreForbidden, "{name}");
    }
    for name in ["operating_hours", "generating_plant_no", "remark2"] {
        assert!(with_property(name).is_ok(), "{name}");
    }
    // Neither does a core type, in whatever language.
    let mut case = Case::new();
    for name in ["score", "信用等级", "评分", "积分", "paiming"] {
        let flawed = |body: &mut Value| body[name] = "A".into();
        assert_eq!(case.penalty(flawed), Err(Code::ScoreForbidden), "{name}");
    }
}

#[test]
fn safeguard_g10_persons_are_neither_rewarded_nor_listed() {
    let mut case = Case::new();
    let (base, notice) = (case.effective_penalty(), case.notice());
    for (record_type, mut body) in [
        (RecordType::ListEntry, list_body("a", notice, base)),
        (RecordType::Measure, measure_body(base, notice)),
    ] {
        body["subject"] = json!({ "kind": "person", "name": "甲某" });
        let got = case.file_as("A1/clerk1", record_type, "all", &body, |filing| {
            (filing.class, filing.subject_kind) = (Class::P3, SubjectKind::Person);
        });
        assert_eq!(got, Err(Code::SubjectKindNotPermitted), "{record_type}");
    }
}

#[test]
fn safeguard_g11_no_persons_identifier_stands_on_the_chain_and_records_are_not_linked() {
    const NUMBER: &str = "11010519491231002X";
    let mut case = Case::new();
    let body = |number: &str| {
        let mut body = licence_body(number);
        body["subject"] = json!({
            "kind": "person", "name": "甲某", "document_kind": "resident_identity_card", "document_no": NUMBER,
        });
        body["subject_salt"] = Digest::tagged(b"salt", &[number.as_bytes()]).to_string().into();
        body
    };
    let personal = |filing: &mut Filing<'_>| {
        (filing.class, filing.subject_kind) = (Class::P3, SubjectKind::Person);
        filing.salt = Digest::tagged(b"salt", &[filing.idempotency_key.as_bytes()]);
    };
    let records = ["1", "2"].map(|number| {
        let filed = case.file_as("A1/clerk1", RecordType::Licence, "all", &body(number), personal);
        filed.unwrap().record
    });
    let commitments: BTreeSet<_> = records.map(|record| case.city.head(record).current.body_commit).into();
    assert_eq!(commitments.len(), 2);
    for leaf in case.city.ledger.leaves() {
        let text = String::from_utf8_lossy(&leaf.bytes);
        assert!(!text.contains(NUMBER) && !text.contains("甲某"));
    }
    // In clear a person is refused wherever it stands.
    let in_clear = |change: fn(&mut Value)| {
        let mut body = licence_body("3");
        change(&mut body);
        body
    };
    for (flawed, code) in [
        (in_clear(|body| body["subject"]["kind"] = "person".into()), Code::PersonalDataInClear),
        (
            in_clear(|body| body["subject"]["id"] = "uscc:92320199MAX0B0FC0W".into()),
            Code::PersonalDataInClear,
        ),
        (
            in_clear(|body| body["content"][0]["text"] = format!("持证人{NUMBER}").into()),
            Code::NaturalPersonId,
        ),
    ] {
        assert_eq!(case.file(RecordType::Licence, "all", &flawed), Err(code));
    }
}

#[test]
fn safeguard_g12_two_officers_and_nobody_approves_what_he_filed() {
    let mut case = Case::new();
    let body = penalty_body("P");
    let with = |case: &mut Case, officers: &[&str]| {
        let officers: Vec<_> = officers.iter().map(|post| public(post)).collect();
        let change = |filing: &mut Filing<'_>| filing.officers = officers;
        case.file_as("A1/clerk1", RecordType::Penalty, "all", &body, change)
    };
    for officers in [
        &["A1/clerk1"][..],
        &["A1/clerk1", "A1/clerk1"],
        &["A1/clerk1", "A2/clerk2"],
        &["A1/clerk2", "A1/clerk3"],
        &["A1/clerk1", "A1/supervisor1"],
    ] {
        assert_eq!(with(&mut case, officers), Err(Code::OfficersRequired), "{officers:?}");
    }
    let record = with(&mut case, &["A1/clerk1", "A1/clerk2"]).unwrap().record;
    assert_eq!(case.city.countersign("A1/clerk1", record), Err(Code::SamePerson));
    case.city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(case.city.status(record), "submitted", "the second officer is missing");
    case.city.countersign("A1/clerk2", record).unwrap();
    assert_eq!(case.city.status(record), "effective");
    // A basis may ask for a hearing.
    let mut unheard = penalty_body("Q");
    assert_eq!(case.file(RecordType::Penalty, "heard", &unheard), Err(Code::HearingRequired));
    unheard["hearing"] = "waived".into();
    assert!(case.file(RecordType::Penalty, "heard", &unheard).is_ok());
}

/// What a grave case was reviewed for is not shed by amending it to an ordinary one.
#[test]
fn safeguard_g12_an_amendment_keeps_the_legal_review() {
    let mut case = Case::new();
    let like = |version| {
        let officers = vec![public("A1/clerk1"), public("A1/clerk2")];
        Filing { officers, version, ..filing(RecordType::Penalty, "grave") }
    };
    let mut body = penalty_body("G");
    body["severity"] = "serious".into();
    let filed = build::file(&like(1), &body.to_string()).unwrap();
    let record = case.city.submit("A1/clerk1", filed).unwrap().record;
    for post in ["A1/clerk2", "A1/supervisor1", "A1/legal1"] {
        case.city.countersign(post, record).unwrap();
    }
    body["severity"] = "ordinary".into();
    let filed: Filed = build::file(&like(2), &body.to_string()).unwrap();
    let (operation, travelling, _) = filed.amend(chain_core::operation::AmendReason::Clerical);
    case.city.send_with("A1/clerk1", operation, travelling).unwrap();
    let next = case.city.head(record).next.unwrap();
    assert!(next.needs.names().iter().any(|role| role == "legal_reviewer"), "{:?}", next.needs.names());
}

#[test]
fn safeguard_g13_what_a_review_annuls_leaves_publication_with_it() {
    let mut case = Case::new();
    for (outcome, carries, status) in [
        (ReviewOutcome::Annulled, Remedy::Revoke, "revoked"),
        (ReviewOutcome::Unlawful, Remedy::None, "effective"),
    ] {
        let record = case.effective_penalty();
        let order_no = "file 1".to_owned();
        case.city.send("A2/clerk1", Operation::ReviewOpen { record, version: 1, file_no: order_no }).unwrap();
        assert_eq!(case.flags(record), ["under_review"]);
        let order_no = "file 1".to_owned();
        let decide = Operation::ReviewDecide { record, version: 1, outcome, carries, order_no };
        case.city.send("A2/supervisor1", decide).unwrap();
        assert_eq!((case.city.status(record), case.flags(record)), (status, vec!["publication_stopped"]));
    }
}

#[test]
fn safeguard_g15_advice_is_about_streams_and_never_about_a_persons_record() {
    let registered = crate::catalogue::file("ai.advisory").check().unwrap();
    let mut genesis = city::genesis();
    let record_type = registered.record_type();
    genesis.schemas = vec![registered.details().clone()];
    let types = vec![RecordType::Licence, record_type];
    genesis.agencies[0].types = types.clone();
    genesis.bases.push(BasisDetails { types, ..basis_details("advice") });
    let mut city = City::with(&genesis);
    let [licence, other] = ["1", "2"].map(|key| city.effective_licence(key));
    let body = json!({
        "model": licence, "target": other, "opened_on": "2026-05-06", "inputs": [licence], "params": "k=5",
        "finding": "spike", "from": "2026-05-05T08:00:00+08:00", "to": "2026-05-05T09:00:00+08:00",
        "strength": { "digits": 71, "scale": 1 }, "advisory": true, "origin": origin(),
    });
    let legal_basis = Some(BasisRef { id: "advice".to_owned(), version: 1 });
    let like = Filing {
        class: Class::P0,
        subject_kind: SubjectKind::Thing,
        legal_basis,
        ..filing(record_type, "a")
    };
    let filed = build::file_registered(&like, &registered, &body.to_string()).unwrap();
    assert_eq!(city.submit("A1/clerk1", filed), Err(Code::ReferenceNotFound));
}

#[test]
fn safeguard_g16_small_counts_are_left_out() {
    let file = crate::catalogue::file("health.aggregate");
    let registered = file.check().unwrap();
    let mut body = Value::Object(file.examples.accepted[0].body.clone());
    let judge = |body: &Value| {
        let text = chain_core::json::canonicalise(&body.to_string()).unwrap();
        registered.judge(Class::P0, &text).map(|_| ()).map_err(|refusal| refusal.code)
    };
    body["groups"][0]["count"] = 10.into();
    assert_eq!(judge(&body), Ok(()));
    body["groups"][0]["count"] = 9.into();
    assert_eq!(judge(&body), Err(Code::BadNumber));
    body["threshold"] = 9.into();
    assert_eq!(judge(&body), Err(Code::BadNumber));
}

#[test]
fn safeguard_g18_a_legal_hold_comes_before_sealing_and_erasure() {
    let mut case = Case::new();
    let record = case.effective_penalty();
    let hold = |order_no: &str, until: &str| Operation::Hold {
        record,
        version: 1,
        order_no: order_no.to_owned(),
        until: date(until),
    };
    assert_eq!(case.city.send("N/auditor1", hold("", "2033-01-01")), Err(Code::MissingField));
    assert!(case.city.send("N/auditor1", hold("order 1", "2020-01-01")).is_err(), "an end in the past");
    assert_eq!(case.city.send("A1/supervisor1", hold("order 1", "2033-01-01")), Err(Code::RoleNotAllowed));
    case.city.send("N/auditor1", hold("order 1", "2033-01-01")).unwrap();
    let (ground, note) = (EraseGround::Unlawful, "file 7".to_owned());
    let erase = Operation::Erase { record, version: 1, ground, note };
    assert_eq!(case.city.send("A1/privacy1", erase), Err(Code::LegalHold));
    // Retention ends under the hold: the record expires, and its body stays until the hold ends.
    case.city.tick("2032-05-08T00:00:00+08:00");
    case.city.tick("2032-05-09T00:00:00+08:00");
    assert_eq!(case.city.status(record), "expired");
    case.city.tick("2033-01-02T00:00:00+08:00");
    case.city.tick("2033-01-02T00:00:01+08:00");
    assert_eq!((case.city.status(record), case.flags(record)), ("sealed", vec!["publication_stopped"]));
}

#[test]
fn safeguard_g19_an_agency_is_a_subject_too() {
    let mut case = Case::new();
    let promise = |verification: &str, found_on: Option<&str>| {
        let mut body = json!({
            "subject": { "id": agency("A2").to_string(), "kind": "organisation", "name": "Agency A2" },
            "kind": "voluntary", "matter_code": "m", "text": text("三个工作日内答复"), "made_on": "2026-05-06",
            "verify_by": "2026-06-01", "verification": verification, "origin": origin(),
        });
        if let Some(day) = found_on {
            body["found_on"] = day.into();
        }
        body
    };
    // Nobody says alone, and without a day, that a promise was broken.
    assert_eq!(case.file(RecordType::Commitment, "all", &promise("broken", None)), Err(Code::MissingField));
    let found = case.file(RecordType::Commitment, "all", &promise("broken", Some("2026-05-06"))).unwrap();
    assert_eq!(case.city.status(found.record), "submitted");
    case.city.countersign("A1/supervisor1", found.record).unwrap();
    assert_eq!(case.city.status(found.record), "effective");
    case.city.tick("2026-05-07T00:00:00+08:00");
    assert_eq!(case.city.status(found.record), "expired", "what was found closes the case");
}

#[test]
fn a_promise_that_something_rests_on_is_not_taken_back() {
    let mut case = Case::new();
    let body = json!({
        "subject": organisation(), "kind": "licence", "matter_code": "m", "text": text("材料真实"),
        "made_on": "2026-05-06", "verification": "pending", "origin": origin(),
    });
    let promise = case.file(RecordType::Commitment, "all", &body).unwrap().record;
    let free = case.file(RecordType::Commitment, "all", &body).unwrap().record;
    let mut licence = licence_body("L");
    licence["commitment"] = promise.to_string().into();
    let rests = |filing: &mut Filing<'_>| {
        filing.refs = vec![Reference { rel: Relation::BasedOn, record: promise }];
    };
    let licence = case.file_as("A1/clerk1", RecordType::Licence, "all", &licence, rests).unwrap().record;
    case.city.countersign("A1/supervisor1", licence).unwrap();
    let withdraw = |record| Operation::Withdraw { record, version: 1 };
    assert_eq!(case.city.send("A1/clerk1", withdraw(promise)), Err(Code::BadState));
    assert_eq!(case.city.status(licence), "effective");
    case.city.send("A1/clerk1", withdraw(free)).unwrap();
    assert_eq!(case.city.status(free), "withdrawn");
}
