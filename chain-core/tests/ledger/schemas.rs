//! Registered types: how the council registers one, and how its records live.

use chain_core::build::{self, Filed, Filing};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::execute::GenesisState;
use chain_core::id::RecordId;
use chain_core::json;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::record::governance::{AgencyDetails, BasisDetails, Instrument};
use chain_core::record::registered::RegisteredType;
use chain_core::record::schema::{Bindings, Filer, RefProperty, SchemaDetails, TypeTerms};
use chain_core::record::{
    BasisRef, Class, Details, Header, Lifecycle, RecordType, Reference, Relation, SubjectKind,
};
use chain_core::schema::DIALECT;
use chain_core::state::{EntryName, SchemaEntry};
use serde_json::{Value, json};

use crate::city::{
    Accepted, City, DEDUPE_KEY, agency, agency_details, basis_details, chain, date, filing, licence,
    organisation, public,
};
use crate::timeline::check_replay;

const FINDING: &str = "env.finding";

pub(crate) fn registered_type(key: &str) -> RecordType {
    RecordType::from_name(key).unwrap()
}

fn envelope() -> (Value, Value) {
    let origin = json!({
        "type": "object",
        "properties": {
            "system": { "type": "string", "minLength": 1, "maxLength": 64 },
            "method": { "type": "string", "enum": ["manual", "import", "device", "ai_assisted"] },
            "captured": { "type": "string", "format": "date-time" }
        },
        "required": ["system", "method"],
        "unevaluatedProperties": false
    });
    let subject = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "org-id" },
            "kind": { "type": "string", "enum": ["organisation", "individual_business", "person"] },
            "name": { "type": "string", "minLength": 1, "maxLength": 256 }
        },
        "required": ["kind", "name"],
        "unevaluatedProperties": false
    });
    (origin, subject)
}

fn schema_text(properties: &[(&str, Value)], required: &[&str]) -> String {
    let (origin, _) = envelope();
    let mut members: serde_json::Map<String, Value> =
        properties.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect();
    members.insert("origin".to_owned(), origin);
    let required: Vec<&str> = required.iter().copied().chain(["origin"]).collect();
    let schema = json!({
        "$schema": DIALECT,
        "type": "object",
        "properties": members,
        "required": required,
        "unevaluatedProperties": false
    });
    json::canonicalise(&schema.to_string()).unwrap()
}

fn text(max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max })
}

fn day() -> Value {
    json!({ "type": "string", "format": "date" })
}

/// The sample type: a finding of the environment office, with a number, about no one.
pub(crate) fn finding() -> SchemaDetails {
    let properties = [
        ("finding_no", text(64)),
        ("pollutant", json!({ "type": "string", "enum": ["pm25", "pm10", "no2"] })),
        ("value", json!({ "type": "integer", "minimum": 0, "maximum": 1_000_000 })),
        ("found_on", day()),
        ("ends_on", day()),
        ("remark", text(200)),
        ("licence", json!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64 })),
    ];
    SchemaDetails {
        key: FINDING.parse().unwrap(),
        version: 1,
        title: "Finding about a pollutant".to_owned(),
        terms: TypeTerms {
            lifecycle: Lifecycle::Register,
            officers: 0,
            supervisor: true,
            legal_review: false,
            numbered: true,
            retention_years: 7,
            filed_by: Filer::Clerk,
        },
        classes: vec![Class::P0],
        subject_kinds: vec![SubjectKind::None, SubjectKind::Thing],
        instruments: vec![Instrument::Law],
        bindings: Bindings {
            number: Some("finding_no".to_owned()),
            decided_on: Some("found_on".to_owned()),
            effective_from: Some("found_on".to_owned()),
            effective_to: Some("ends_on".to_owned()),
            issuer: None,
            officers: None,
            refs: vec![RefProperty {
                property: "licence".to_owned(),
                rel: Relation::Concerns,
                types: Vec::new(),
            }],
        },
        screened: vec!["remark".to_owned()],
        impact_assessment: None,
        from: date("2020-01-01"),
        previous_until: None,
        json_schema: schema_text(&properties, &["finding_no", "pollutant", "value", "found_on"]),
    }
}

/// A type about organisations and persons, with two officers.
pub(crate) fn visit() -> SchemaDetails {
    let (_, subject) = envelope();
    let salt = json!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64 });
    let properties =
        [("visited", day()), ("remark", text(200)), ("subject", subject), ("subject_salt", salt)];
    SchemaDetails {
        key: "commerce.visit".parse().unwrap(),
        title: "Visit of two inspectors".to_owned(),
        terms: TypeTerms { lifecycle: Lifecycle::Append, officers: 2, numbered: false, ..finding().terms },
        classes: vec![Class::P1, Class::P3],
        subject_kinds: vec![SubjectKind::Organisation, SubjectKind::IndividualBusiness, SubjectKind::Person],
        bindings: Bindings { decided_on: Some("visited".to_owned()), ..Bindings::default() },
        impact_assessment: Some(Digest::tagged(b"assessment", &[])),
        json_schema: schema_text(&properties, &["visited", "subject"]),
        ..finding()
    }
}

/// The second version: one more optional property, one more value.
fn second() -> SchemaDetails {
    let mut schema: Value = serde_json::from_str(&finding().json_schema).unwrap();
    schema["properties"]["station"] = text(64);
    schema["properties"]["pollutant"]["enum"] = json!(["pm25", "pm10", "no2", "o3"]);
    SchemaDetails {
        version: 2,
        from: date("2026-06-01"),
        previous_until: Some(date("2026-06-30")),
        json_schema: json::canonicalise(&schema.to_string()).unwrap(),
        ..finding()
    }
}

fn read(details: SchemaDetails) -> RegisteredType {
    RegisteredType::new(details).unwrap()
}

fn state() -> GenesisState {
    let types = [
        RecordType::Licence,
        RecordType::Objection,
        registered_type("commerce.visit"),
        registered_type(FINDING),
    ];
    let basis = |id: &str| BasisDetails { types: types.to_vec(), ..basis_details(id) };
    let mut genesis = crate::city::genesis();
    genesis.schemas = vec![finding(), visit()];
    genesis.agencies[0].types = types.to_vec();
    genesis.bases.push(basis("air"));
    genesis.bases.push(BasisDetails { instrument: Instrument::Policy, ..basis("policy") });
    genesis
}

fn city() -> City {
    City::with(&state())
}

fn filing_of<'a>(key: &'a str, details: &SchemaDetails) -> Filing<'a> {
    Filing {
        class: details.classes[0],
        subject_kind: details.subject_kinds[0],
        legal_basis: Some(BasisRef { id: "air".to_owned(), version: 1 }),
        ..filing(registered_type(details.key.as_str()), key)
    }
}

fn finding_body(number: &str) -> Value {
    json!({
        "finding_no": number, "pollutant": "pm25", "value": 80, "found_on": "2026-05-06",
        "origin": { "system": "air", "method": "import" },
    })
}

fn filed(details: SchemaDetails, key: &str, body: &Value) -> Filed {
    build::file_registered(&filing_of(key, &details), &read(details), &body.to_string()).unwrap()
}

fn file(city: &mut City, key: &str) -> RecordId {
    city.submit("A1/clerk1", filed(finding(), key, &finding_body(key))).unwrap().record
}

fn amended(
    city: &mut City,
    details: SchemaDetails,
    key: &str,
    version: u32,
    body: &Value,
) -> Result<Accepted, Code> {
    let filing = Filing { version, ..filing_of(key, &details) };
    let filed = build::file_registered(&filing, &read(details), &body.to_string()).unwrap();
    let (operation, body, _) = filed.amend(AmendReason::Clerical);
    city.send_with("A1/clerk1", operation, body)
}

#[test]
fn what_replaces_a_record_supersedes_it_when_it_takes_effect() {
    let mut city = city();
    let licence = city.effective_licence("L");
    let first = file(&mut city, "F-1");
    city.countersign("A1/supervisor1", first).unwrap();
    let details = finding();
    let refs = [first, licence].map(|record| Reference { rel: Relation::Replaces, record }).to_vec();
    let like = Filing { refs, ..filing_of("F-2", &details) };
    let revision =
        build::file_registered(&like, &read(details.clone()), &finding_body("F-2").to_string()).unwrap();
    let second = city.submit("A1/clerk1", revision).unwrap().record;
    assert_eq!(city.status(first), "effective", "nobody has agreed yet");
    city.countersign("A1/supervisor1", second).unwrap();
    assert_eq!(["superseded", "effective"], [first, second].map(|record| city.status(record)));
    assert_eq!(city.status(licence), "effective", "of another type it takes no place");
    check_replay(&city, first);
    check_replay(&city, second);
}

#[test]
fn a_record_of_a_registered_type_lives_the_life_of_its_type() {
    let mut city = city();
    let licence = city.effective_licence("L");
    let mut body = finding_body("F-1");
    body["licence"] = json!(licence);
    body["ends_on"] = json!("2026-12-31");
    let record = city.submit("A1/clerk1", filed(finding(), "F-1", &body)).unwrap().record;
    assert_eq!(city.status(record), "submitted");
    let head = city.head(record);
    assert_eq!(head.record_type.name(), FINDING);
    assert_eq!(head.current.effective_to, Some(date("2026-12-31")));
    // The number is taken, whatever the key; the same key is the same record.
    assert_eq!(city.submit("A1/clerk1", filed(finding(), "other", &body)), Err(Code::DuplicateNaturalKey));
    assert!(city.submit("A1/clerk1", filed(finding(), "F-1", &body)).unwrap().duplicate);
    assert_eq!(city.countersign("A1/clerk2", record), Err(Code::RoleNotAllowed));
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.status(record), "effective");

    body["value"] = json!(81);
    amended(&mut city, finding(), "F-1", 2, &body).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.head(record).current.version, 2);
    city.tick("2027-01-01T00:00:00+08:00");
    assert_eq!(city.status(record), "expired");
    // Seven years of the type, more than the five of the basis.
    assert_eq!(city.head(record).seal_on, Some(date("2034-01-02")));
    check_replay(&city, record);

    let other = file(&mut city, "F-2");
    city.countersign("A1/supervisor1", other).unwrap();
    let revoke = Operation::Revoke {
        record: other,
        version: 1,
        reason: RevokeReason::Unlawful,
        effect: Effect::FromNow,
        note: String::new(),
    };
    city.send("A1/supervisor1", revoke).unwrap();
    assert_eq!(city.status(other), "effective");
    city.countersign("A1/legal1", other).unwrap();
    assert_eq!(city.status(other), "revoked");
    check_replay(&city, other);
}

#[test]
fn a_fact_is_never_amended_and_wants_its_second_officer() {
    let mut city = city();
    let body = json!({ "visited": "2026-05-06", "subject": organisation(), "origin": { "system": "x", "method": "manual" } });
    let filed_with = |officers: &[&str]| {
        let officers = officers.iter().map(|post| public(post)).collect();
        let filing = Filing { officers, ..filing_of("V-1", &visit()) };
        build::file_registered(&filing, &read(visit()), &body.to_string()).unwrap()
    };
    for officers in [
        &["A1/clerk1"][..],
        &["A1/clerk2", "A1/clerk3"],
        &["A1/clerk1", "A1/supervisor1"],
        &["A1/clerk1", "A2/clerk1"],
    ] {
        assert_eq!(
            city.submit("A1/clerk1", filed_with(officers)),
            Err(Code::OfficersRequired),
            "{officers:?}"
        );
    }
    let record = city.submit("A1/clerk1", filed_with(&["A1/clerk1", "A1/clerk2"])).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.status(record), "submitted");
    assert_eq!(city.countersign("A1/clerk3", record), Err(Code::RoleNotAllowed));
    city.countersign("A1/clerk2", record).unwrap();
    assert_eq!(city.status(record), "effective");
    assert_eq!(amended(&mut city, visit(), "V-1", 2, &body), Err(Code::OfficersRequired));
    let filing = Filing {
        version: 2,
        officers: vec![public("A1/clerk1"), public("A1/clerk2")],
        ..filing_of("V-1", &visit())
    };
    let (operation, travelling, _) = build::file_registered(&filing, &read(visit()), &body.to_string())
        .unwrap()
        .amend(AmendReason::Clerical);
    assert_eq!(city.send_with("A1/clerk1", operation, travelling), Err(Code::NotAmendable));
    check_replay(&city, record);
}

#[test]
fn every_flaw_of_a_body_has_its_code_and_its_place() {
    let mut city = city();
    let mut refused = |change: &dyn Fn(&mut Value), words: &str| {
        let mut body = finding_body("F-1");
        change(&mut body);
        let (operation, travelling, _) = filed(finding(), "F-1", &body).submit();
        let refusal = city.send_all("A1/clerk1", vec![(operation, travelling)]).remove(0).expect_err(words);
        assert!(refusal.detail.contains(words), "{}", refusal.detail);
        refusal.code
    };
    type Change = &'static dyn Fn(&mut Value);
    let cases: [(Change, Code, &str); 12] = [
        (&|body| drop(body.as_object_mut().unwrap().remove("value")), Code::MissingField, "/value is absent"),
        (&|body| body["value"] = json!("80"), Code::SchemaInvalid, "/value is a text, wants a whole number"),
        (&|body| body["value"] = json!(-1), Code::BadNumber, "/value is -1, wants 0 to 1000000"),
        (
            &|body| body["pollutant"] = json!("co2"),
            Code::SchemaInvalid,
            "/pollutant is \"co2\", wants one of",
        ),
        (&|body| body["found_on"] = json!("2026-02-30"), Code::BadDate, "/found_on"),
        (&|body| body["ends_on"] = json!("2026-05-05"), Code::DateOrder, "lies before"),
        (&|body| body["colour"] = json!(1), Code::UnknownField, "/colour is not declared"),
        (&|body| body["trust_rank"] = json!(1), Code::ScoreForbidden, "/trust_rank"),
        (&|body| body["remark"] = json!("企业信用分 82"), Code::ScoreForbidden, "/remark holds a word"),
        (&|body| body["remark"] = json!("no. 11010519491231002X"), Code::NaturalPersonId, "resident number"),
        (&|body| body["remark"] = json!("x".repeat(201)), Code::SizeLimit, "/remark has 201 characters"),
        (&|body| body["licence"] = json!("00".repeat(32)), Code::ReferenceNotFound, "no such record"),
    ];
    for (change, code, words) in cases {
        assert_eq!(refused(change, words), code, "{words}");
    }
    // The origin is read as of every type: a time of capture after the block was made up.
    let captured = |body: &mut Value| body["origin"]["captured"] = json!("2026-05-06T09:05:00+08:00");
    assert_eq!(refused(&captured, "after block time"), Code::DateOrder);
    // A word that only looks like a score is none.
    let mut body = finding_body("F-1");
    body["remark"] = json!("measured while operating at full load");
    assert!(city.submit("A1/clerk1", filed(finding(), "F-1", &body)).is_ok());
}

#[test]
fn a_header_says_what_its_type_says() {
    let mut city = city();
    let mut refused = |change: &dyn Fn(&mut Header)| {
        let Filed { mut header, body } = filed(finding(), "F-1", &finding_body("F-1"));
        change(&mut header);
        city.submit("A1/clerk1", Filed { header, body }).unwrap_err()
    };
    let terms = finding().terms;
    type Change = Box<dyn Fn(&mut Header)>;
    let cases: Vec<(Change, Code)> = vec![
        (
            Box::new(move |h| h.details = Details::Registered(TypeTerms { supervisor: false, ..terms })),
            Code::HeaderMismatch,
        ),
        (
            Box::new(move |h| h.details = Details::Registered(TypeTerms { retention_years: 1, ..terms })),
            Code::HeaderMismatch,
        ),
        (
            Box::new(move |h| {
                h.details = Details::Registered(TypeTerms { lifecycle: Lifecycle::Status, ..terms })
            }),
            Code::BadParameter,
        ),
        (Box::new(|h| h.details = Details::None), Code::SchemaInvalid),
        (Box::new(|h| h.schema_version = 0), Code::UnsupportedVersion),
        (Box::new(|h| h.schema_version = 2), Code::SchemaNotInForce),
        (Box::new(|h| h.schema_version = 65), Code::UnsupportedVersion),
        (Box::new(|h| h.class = Class::P1), Code::ClassNotPermitted),
        (Box::new(|h| h.subject_kind = SubjectKind::Organisation), Code::SubjectKindNotPermitted),
        (Box::new(|h| h.legal_basis = None), Code::LegalBasisMissing),
        (
            Box::new(|h| h.legal_basis = Some(BasisRef { id: "policy".to_owned(), version: 1 })),
            Code::TypeNotPermittedByBasis,
        ),
        (
            Box::new(|h| h.legal_basis = Some(BasisRef { id: "food-safety".to_owned(), version: 1 })),
            Code::TypeNotPermittedByBasis,
        ),
        (Box::new(|h| h.natural_key = None), Code::MissingField),
        (Box::new(|h| h.decided_on = Some(Date::MIN)), Code::HeaderMismatch),
        (Box::new(|h| h.effective_to = Some(Date::MAX)), Code::HeaderMismatch),
        (Box::new(|h| h.record = licence("x").header.record), Code::BadParameter),
    ];
    for (at, (change, code)) in cases.iter().enumerate() {
        assert_eq!(refused(change.as_ref()), *code, "case {at}");
    }
    // Another agency was never given the type.
    let filing = Filing { agency: agency("A2"), ..filing_of("F-1", &finding()) };
    let filed = build::file_registered(&filing, &read(finding()), &finding_body("F-1").to_string()).unwrap();
    assert_eq!(city.submit("A2/clerk1", filed), Err(Code::AgencyNotCompetent));
}

#[test]
fn what_is_about_persons_stays_in_the_vault_and_can_be_erased() {
    let mut genesis = state();
    let privacy = chain_core::record::governance::MemberDetails {
        role: chain_core::record::governance::Role::PrivacyOfficer,
        ..crate::city::member_details("A1", "privacy1")
    };
    genesis.members.push(privacy);
    let mut city = City::with(&genesis);
    let person = json!({ "kind": "person", "name": "x" });
    let body = json!({ "visited": "2026-05-06", "subject": person, "origin": { "system": "x", "method": "manual" } });
    let filed_as = |class, subject_kind| {
        let officers = vec![public("A1/clerk1"), public("A1/clerk2")];
        let filing = Filing { class, subject_kind, officers, ..filing_of("V-1", &visit()) };
        build::file_registered(&filing, &read(visit()), &body.to_string()).unwrap()
    };
    assert_eq!(
        city.submit("A1/clerk1", filed_as(Class::P1, SubjectKind::Person)),
        Err(Code::PersonalDataInClear)
    );
    // What is about an organisation is not hidden.
    assert_eq!(
        city.submit("A1/clerk1", filed_as(Class::P3, SubjectKind::Organisation)),
        Err(Code::ClassNotPermitted)
    );
    // No validator sees the body, so the header alone is held against the type.
    let Filed { mut header, .. } = filed_as(Class::P3, SubjectKind::Person);
    header.details = Details::Registered(TypeTerms { supervisor: false, ..visit().terms });
    assert_eq!(city.send("A1/clerk1", Operation::Submit(Box::new(header))), Err(Code::HeaderMismatch));
    let (operation, travelling, kept) = filed_as(Class::P3, SubjectKind::Person).submit();
    assert!(travelling.is_none() && kept.is_some());
    let record = city.send("A1/clerk1", operation).unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.status(record), "effective");
    // The agency's own client judges what the validators never see.
    assert!(read(visit()).judge(Class::P3, &kept.unwrap().json).is_ok());
    let erase = Operation::Erase {
        record,
        version: 1,
        ground: chain_core::operation::EraseGround::Request,
        note: String::new(),
    };
    city.send("A1/privacy1", erase).unwrap();
    city.countersign("N/auditor1", record).unwrap();
    assert_eq!(city.status(record), "erased");
    check_replay(&city, record);
}

fn propose(details: SchemaDetails) -> Operation {
    propose_as("A1", details)
}

/// The proposal of a member of an agency.
fn propose_as(by: &str, details: SchemaDetails) -> Operation {
    let key = details.name();
    let details = Details::Schema(Box::new(details));
    let header = build::governance_header(chain().chain_id, &agency(by), DEDUPE_KEY, &key, 1, details);
    Operation::Submit(Box::new(header))
}

/// The council of three agencies, two of which must agree.
fn vote(city: &mut City, details: SchemaDetails) -> Result<RecordId, Code> {
    let record = city.send("A1/council1", propose(details))?.record;
    city.countersign("A2/council1", record)?;
    Ok(record)
}

#[test]
fn the_council_registers_a_type_and_an_agency_may_then_file_it() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", filed(finding(), "F-1", &finding_body("F-1")));
    assert_eq!(record, Err(Code::AgencyNotCompetent));
    let with_finding = AgencyDetails {
        admins: [1, 2].map(|at| crate::governance::proven(&format!("A9/admin{at}"))).to_vec(),
        ..agency_details("A9", &[registered_type(FINDING)])
    };
    let add_agency = |key: &str| {
        let details = Details::Agency(Box::new(with_finding.clone()));
        Operation::Submit(Box::new(build::governance_header(
            chain().chain_id,
            &agency("A1"),
            DEDUPE_KEY,
            key,
            1,
            details,
        )))
    };
    let add_basis = |key: &str| {
        let basis = BasisDetails { types: vec![registered_type(FINDING)], ..basis_details("air") };
        let details = Details::LegalBasis(Box::new(basis));
        Operation::Submit(Box::new(build::governance_header(
            chain().chain_id,
            &agency("A1"),
            DEDUPE_KEY,
            key,
            1,
            details,
        )))
    };
    // Neither may name a type that nobody knows.
    assert_eq!(city.send("A1/council1", add_agency("a")), Err(Code::SchemaNotInForce));
    assert_eq!(city.send("A1/council1", add_basis("b")), Err(Code::SchemaNotInForce));

    for post in ["A1/clerk1", "A1/supervisor1", "A1/admin1"] {
        assert_eq!(city.send(post, propose(finding())), Err(Code::RoleNotAllowed), "{post}");
    }
    let proposed = city.send("A1/council1", propose(finding())).unwrap().record;
    assert_eq!(city.send("A1/council1", add_basis("b")), Err(Code::SchemaNotInForce));
    assert_eq!(city.countersign("A1/council1", proposed), Err(Code::SamePerson));
    city.countersign("A2/council1", proposed).unwrap();
    // A version is never changed; the next one is filed.
    let Operation::Submit(mut header) = propose(finding()) else { panic!("no submission") };
    header.version = 2;
    let amend = Operation::Amend { header, reason: AmendReason::Clerical };
    assert_eq!(city.send("A1/council1", amend), Err(Code::NotAmendable));
    let name: EntryName = "schema:env.finding@1".parse().unwrap();
    let entry = chain_core::execute::LedgerRead::get(&city.ledger, &name.key()).unwrap().unwrap();
    assert_eq!(name.decode(&entry).unwrap()["details"]["key"], FINDING);

    assert!(city.send("A1/council1", add_agency("a")).is_ok());
    let basis = city.send("A1/council1", add_basis("b")).unwrap().record;
    city.countersign("A2/council1", basis).unwrap();
    check_replay(&city, proposed);
}

#[test]
fn a_schema_out_of_force_takes_no_records_and_judges_those_it_has() {
    let mut city = city();
    let old = file(&mut city, "F-1");
    city.countersign("A1/supervisor1", old).unwrap();
    let name: EntryName = "schema:env.finding@1".parse().unwrap();
    let entry = chain_core::execute::LedgerRead::get(&city.ledger, &name.key()).unwrap().unwrap();
    let schema = <SchemaEntry as chain_core::layout::Layout>::from_canonical(&entry).unwrap().record;
    let suspend =
        Operation::Suspend { record: schema, version: 1, until: None, reason: "under revision".to_owned() };
    assert_eq!(city.send("A1/supervisor1", suspend.clone()), Err(Code::RoleNotAllowed));
    city.send("A1/council1", suspend).unwrap();
    city.countersign("A2/council1", schema).unwrap();
    let new = || filed(finding(), "F-2", &finding_body("F-2"));
    assert_eq!(city.submit("A1/clerk1", new()), Err(Code::SchemaNotInForce));
    let mut body = finding_body("F-1");
    body["value"] = json!(82);
    amended(&mut city, finding(), "F-1", 2, &body).unwrap();
    city.countersign("A1/supervisor1", old).unwrap();
    let resume = Operation::Resume { record: schema, version: 1 };
    city.send("A1/council1", resume).unwrap();
    city.countersign("A2/council1", schema).unwrap();
    assert!(city.submit("A1/clerk1", new()).is_ok());
    check_replay(&city, schema);
    check_replay(&city, old);
}

#[test]
fn a_second_version_follows_and_both_are_taken_during_the_change_over() {
    let mut city = city();
    let old = file(&mut city, "F-1");
    city.countersign("A1/supervisor1", old).unwrap();
    let mut ozone = finding_body("F-2");
    ozone["pollutant"] = json!("o3");
    assert_eq!(city.submit("A1/clerk1", filed(second(), "F-2", &ozone)), Err(Code::SchemaNotInForce));
    vote(&mut city, second()).unwrap();
    // Not before its first day.
    assert_eq!(city.submit("A1/clerk1", filed(second(), "F-2", &ozone)), Err(Code::SchemaNotInForce));
    assert!(city.submit("A1/clerk1", filed(finding(), "F-3", &finding_body("F-3"))).is_ok());
    city.at("2026-06-30T23:00:00+08:00");
    assert!(city.submit("A1/clerk1", filed(second(), "F-2", &ozone)).is_ok());
    // A record is judged by the version that it names: the first one knows no ozone.
    assert_eq!(city.submit("A1/clerk1", filed(finding(), "F-4", &ozone)), Err(Code::SchemaInvalid));
    assert!(city.submit("A1/clerk1", filed(finding(), "F-4", &finding_body("F-4"))).is_ok());
    city.at("2026-07-01T00:30:00+08:00");
    assert_eq!(
        city.submit("A1/clerk1", filed(finding(), "F-5", &finding_body("F-5"))),
        Err(Code::SchemaNotInForce)
    );
    assert!(city.submit("A1/clerk1", filed(second(), "F-5", &finding_body("F-5"))).is_ok());

    // What was filed under the first version is corrected under it for ever, or moves on to the second.
    let mut body = finding_body("F-1");
    body["value"] = json!(82);
    amended(&mut city, finding(), "F-1", 2, &body).unwrap();
    city.countersign("A1/supervisor1", old).unwrap();
    body["station"] = json!("S1");
    assert_eq!(amended(&mut city, finding(), "F-1", 3, &body), Err(Code::UnknownField));
    amended(&mut city, second(), "F-1", 3, &body).unwrap();
    city.countersign("A1/supervisor1", old).unwrap();
    assert_eq!(city.head(old).current.version, 3);
    check_replay(&city, old);
}

#[test]
fn of_two_rival_versions_the_one_that_is_agreed_first_is_the_version() {
    let mut city = city();
    let rival = SchemaDetails { title: "A rival".to_owned(), ..second() };
    let one = city.send("A1/council1", propose(second())).unwrap().record;
    let other = city.send("A2/council1", propose_as("A2", rival)).unwrap().record;
    assert_ne!(one, other);
    city.countersign("A1/council1", other).unwrap();
    assert_eq!(city.status(other), "effective");
    // Whoever agrees to the slower one is told, and it waits for good: it may be taken back, never take effect.
    assert_eq!(city.countersign("A2/council1", one), Err(Code::AlreadyExists));
    assert_eq!(city.status(one), "submitted");
    city.send("A1/council1", Operation::Withdraw { record: one, version: 1 }).unwrap();
    let name: EntryName = "schema:env.finding@2".parse().unwrap();
    let entry = chain_core::execute::LedgerRead::get(&city.ledger, &name.key()).unwrap().unwrap();
    assert_eq!(name.decode(&entry).unwrap()["details"]["title"], "A rival");
    // Proposed again, it is refused at once.
    let again = SchemaDetails { title: "Once more".to_owned(), ..second() };
    assert_eq!(city.send("N/council1", propose_as("N", again)), Err(Code::AlreadyExists));
    check_replay(&city, one);
    check_replay(&city, other);
}

#[test]
fn a_version_that_does_not_follow_is_refused() {
    let mut city = city();
    let third = || SchemaDetails {
        version: 3,
        from: date("2026-07-01"),
        previous_until: Some(date("2026-07-31")),
        ..second()
    };
    let changed = |change: &dyn Fn(&mut SchemaDetails)| {
        let mut details = second();
        change(&mut details);
        details
    };
    let schema = |change: &dyn Fn(&mut Value)| {
        let mut schema: Value = serde_json::from_str(&second().json_schema).unwrap();
        change(&mut schema);
        SchemaDetails { json_schema: json::canonicalise(&schema.to_string()).unwrap(), ..second() }
    };
    for (details, code) in [
        (third(), Code::VersionConflict),
        (SchemaDetails { from: date("2026-06-01"), ..finding() }, Code::AlreadyExists),
        (changed(&|one| one.previous_until = None), Code::MissingField),
        (changed(&|one| one.previous_until = Some(date("2026-05-30"))), Code::BadParameter),
        (changed(&|one| one.terms.supervisor = false), Code::SchemaIncompatible),
        (changed(&|one| one.classes = vec![Class::P0, Class::P1]), Code::SchemaIncompatible),
        (changed(&|one| one.subject_kinds = vec![SubjectKind::None]), Code::SchemaIncompatible),
        (changed(&|one| one.bindings.effective_to = None), Code::SchemaIncompatible),
        (changed(&|one| one.screened.clear()), Code::SchemaIncompatible),
        (
            schema(&|one| drop(one["properties"].as_object_mut().unwrap().remove("remark"))),
            Code::BadParameter,
        ),
        (schema(&|one| one["properties"]["value"]["maximum"] = json!(9)), Code::SchemaIncompatible),
        (
            schema(&|one| one["properties"]["pollutant"]["enum"] = json!(["o3", "pm25", "pm10", "no2"])),
            Code::SchemaIncompatible,
        ),
        (
            schema(&|one| one["required"].as_array_mut().unwrap().push(json!("station"))),
            Code::SchemaIncompatible,
        ),
        (schema(&|one| one["properties"]["credit_score"] = text(9)), Code::ScoreForbidden),
        (schema(&|one| one["oneOf"] = json!([])), Code::SchemaUnsupported),
    ] {
        let name = details.name();
        assert_eq!(city.send("A1/council1", propose(details)), Err(code), "{name}");
    }
    // What may change: title, retention, kinds of instruments, more screening.
    let gentle = changed(&|one| {
        one.title = "Finding".to_owned();
        one.terms.retention_years = 0;
        one.instruments.clear();
        one.screened.push("pollutant".to_owned());
    });
    // Two proposals of one version: whichever gets the council first.
    let late = city.send("A2/council1", {
        let header = build::governance_header(
            chain().chain_id,
            &agency("A2"),
            DEDUPE_KEY,
            "x",
            1,
            Details::Schema(Box::new(second())),
        );
        Operation::Submit(Box::new(header))
    });
    let late = late.unwrap().record;
    vote(&mut city, gentle).unwrap();
    assert_eq!(city.countersign("N/council1", late), Err(Code::AlreadyExists));
    // The change-over to the second version lasts until the end of June: no third one before it is over.
    let screened = vec!["remark".to_owned(), "pollutant".to_owned()];
    let third = SchemaDetails { screened, ..third() };
    let early = SchemaDetails { from: date("2026-06-30"), ..third.clone() };
    assert_eq!(city.send("A1/council1", propose(early)), Err(Code::DateOrder));
    vote(&mut city, third).unwrap();
}

#[test]
fn a_type_is_refused_for_what_stands_beside_its_schema() {
    type Change = &'static dyn Fn(&mut SchemaDetails);
    let refused = |sample: SchemaDetails, change: Change| {
        let mut details = sample;
        change(&mut details);
        RegisteredType::new(details).map(|_| ()).map_err(|refusal| refusal.code)
    };
    assert_eq!(refused(finding(), &|_| {}), Ok(()));
    assert_eq!(refused(visit(), &|_| {}), Ok(()));
    let of_things: &[(Change, Code)] = &[
        (&|one| one.title.clear(), Code::MissingField),
        (&|one| one.version = 0, Code::BadParameter),
        (&|one| one.version = 65, Code::BadParameter),
        (&|one| one.previous_until = Some(date("2026-01-01")), Code::BadParameter),
        (&|one| one.terms.lifecycle = Lifecycle::Status, Code::BadParameter),
        (&|one| one.terms.officers = 1, Code::BadParameter),
        (&|one| one.terms.officers = 9, Code::BadParameter),
        (&|one| one.terms.retention_years = 201, Code::BadParameter),
        (&|one| one.terms.numbered = false, Code::BadParameter),
        (&|one| one.classes.clear(), Code::MissingField),
        (&|one| one.classes = vec![Class::P1, Class::P0], Code::BadParameter),
        (&|one| one.classes = vec![Class::P0, Class::P4], Code::ClassNotPermitted),
        (&|one| one.subject_kinds.clear(), Code::MissingField),
        (&|one| one.subject_kinds.reverse(), Code::BadParameter),
        // About somebody, and nobody in the body.
        (&|one| one.subject_kinds = vec![SubjectKind::Organisation], Code::BadParameter),
        (&|one| one.subject_kinds = vec![SubjectKind::None, SubjectKind::Organisation], Code::BadParameter),
        (&|one| one.bindings.number = None, Code::MissingField),
        (&|one| one.bindings.number = Some("nothing".to_owned()), Code::BadParameter),
        (&|one| one.bindings.number = Some("remark".to_owned()), Code::BadParameter),
        (&|one| one.bindings.decided_on = None, Code::MissingField),
        (&|one| one.bindings.decided_on = Some("pollutant".to_owned()), Code::BadParameter),
        (&|one| one.bindings.decided_on = Some("ends_on".to_owned()), Code::BadParameter),
        (&|one| one.bindings.effective_from = None, Code::MissingField),
        (&|one| one.bindings.effective_to = Some("value".to_owned()), Code::BadParameter),
        (&|one| one.bindings.issuer = Some("licence".to_owned()), Code::BadParameter),
        (&|one| one.bindings.refs[0].rel = Relation::BasedOn, Code::BadParameter),
        (&|one| one.bindings.refs[0].rel = Relation::ObjectsTo, Code::BadParameter),
        (&|one| one.bindings.refs[0].property = "value".to_owned(), Code::BadParameter),
        (&|one| one.screened.push("nothing".to_owned()), Code::BadParameter),
        (&|one| one.screened = vec!["remark".to_owned(); 33], Code::SizeLimit),
        (&|one| one.json_schema = "{}".to_owned(), Code::SchemaUnsupported),
        (
            &|one| one.json_schema = one.json_schema.replace("\"origin\"", "\"source\""),
            Code::JsonNotCanonical,
        ),
        (&|one| one.json_schema = one.json_schema.replace(",\"origin\"]", "]"), Code::BadParameter),
        (&|one| one.terms.lifecycle = Lifecycle::Append, Code::BadParameter),
    ];
    for (at, (change, code)) in of_things.iter().enumerate() {
        assert_eq!(refused(finding(), *change), Err(*code), "case {at}");
    }
    let of_persons: &[(Change, Code)] = &[
        // Persons want P3, and P3 an assessment (PIPL art. 55).
        (&|one| one.classes = vec![Class::P1], Code::ClassNotPermitted),
        (&|one| one.impact_assessment = None, Code::MissingField),
        (&|one| one.subject_kinds = vec![SubjectKind::Thing], Code::BadParameter),
        (&|one| one.json_schema = one.json_schema.replace(",\"subject\",", ","), Code::BadParameter),
    ];
    for (at, (change, code)) in of_persons.iter().enumerate() {
        assert_eq!(refused(visit(), *change), Err(*code), "case {at}");
    }
}

#[test]
fn a_schema_in_the_state_reads_back_and_a_reference_stands_in_the_header() {
    let entry = SchemaEntry {
        details: visit(),
        status: chain_core::state::Status::Effective,
        record: licence("1").header.record,
    };
    let bytes = chain_core::layout::Layout::to_canonical(&entry);
    assert_eq!(<SchemaEntry as chain_core::layout::Layout>::from_canonical(&bytes), Ok(entry));
    let text = serde_json::to_string(&visit()).unwrap();
    assert_eq!(serde_json::from_str::<SchemaDetails>(&text).unwrap(), visit());
    let record = licence("1").header.record;
    let mut body = finding_body("F-1");
    body["licence"] = json!(record);
    let header = filed(finding(), "F-1", &body).header;
    assert_eq!(header.refs, [Reference { rel: Relation::Concerns, record }]);
    // A header that hides it says something else than its body.
    let mut city = city();
    let licence = city.effective_licence("L");
    body["licence"] = json!(licence);
    let Filed { mut header, body } = filed(finding(), "F-1", &body);
    header.refs.clear();
    assert_eq!(city.submit("A1/clerk1", Filed { header, body }), Err(Code::HeaderMismatch));
}
