//! What validators say to content, whatever the client checked or did not.

use chain_core::build::{self, Filed, Filing};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::identifier;
use chain_core::record::{BasisRef, Class, Header, RecordType, Reference, Relation, SubjectKind};
use chain_core::rules;
use serde_json::{Value, json};

use crate::city::{
    City, DEDUPE_KEY, agency, chain, date, decision_body, filing, fingerprint_body, licence, licence_body,
    penalty_body, penalty_filing, penalty_with, public,
};

type Change = fn(&mut Value);

/// Each body as it comes from a client without any check of its own, and the code validators give.
#[test]
fn every_flaw_of_a_body_has_its_code() {
    let licences: &[(Change, Code)] = &[
        (|body| body["decision_no"] = json!(""), Code::MissingField),
        (|body| drop(body.as_object_mut().unwrap().remove("decision_no")), Code::MissingField),
        (|body| body["decision_no"] = json!("x".repeat(65)), Code::SizeLimit),
        (|body| body["decision_no"] = json!(7), Code::SchemaInvalid),
        (|body| body["decided_on"] = json!("2026-02-30"), Code::BadDate),
        (|body| body["decided_on"] = json!("2026/5/6"), Code::BadDate),
        (|body| body["decided_on"] = json!(20_260_506), Code::SchemaInvalid),
        (|body| body["valid_to"] = json!("2026-05-05"), Code::DateOrder),
        (|body| body["licence_class"] = json!("special"), Code::SchemaInvalid),
        (|body| body["subject"]["id"] = json!("uscc:91440300100012316M"), Code::UsccCheckChar),
        (|body| body["subject"]["id"] = json!("uscc:9144030010001231"), Code::UsccLength),
        (|body| body["subject"]["id"] = json!("uscc:11010519491231002X"), Code::NaturalPersonId),
        (|body| body["subject"]["id"] = json!("11010519491231002X"), Code::NaturalPersonId),
        (|body| body["subject"]["id"] = json!("uscc:92320199MAX0B0FC0W"), Code::PersonalDataInClear),
        (|body| body["subject"]["kind"] = json!("person"), Code::PersonalDataInClear),
        (|body| body["subject"]["name"] = json!(""), Code::MissingField),
        (|body| body["subject"]["document_no"] = json!("E12345678"), Code::UnknownField),
        (|body| body["content"][0]["text"] = json!("持证人 110105 19491231 002X"), Code::NaturalPersonId),
        (|body| body["content"][0]["text"] = json!("明湖\u{200b}"), Code::BadText),
        (|body| body["content"][0]["text"] = json!("e\u{301}"), Code::BadText),
        (|body| body["content"][0]["text"] = json!("文".repeat(1366)), Code::SizeLimit),
        (|body| body["content"] = json!([]), Code::MissingField),
        (|body| body["content"][0]["lang"] = json!("中文"), Code::SchemaInvalid),
        (|body| body["credit_score"] = json!(1), Code::ScoreForbidden),
        (|body| body["subject"]["信用等级"] = json!("A"), Code::ScoreForbidden),
        (|body| body["colour"] = json!("red"), Code::UnknownField),
        (|body| drop(body.as_object_mut().unwrap().remove("origin")), Code::MissingField),
        (|body| body["origin"]["captured"] = json!("2026-05-06 09:00"), Code::BadDate),
        (|body| body["origin"]["captured"] = json!("2026-05-06T09:02:01+08:00"), Code::DateOrder),
        (|body| body["issuer"] = json!("uscc:1"), Code::UsccLength),
        (|body| body["commitment"] = json!("00".repeat(32)), Code::ReferenceNotFound),
        (|body| body["remark"] = json!([{ "lang": "en", "text": "x".repeat(4097) }]), Code::SizeLimit),
        (|body| body["attachments"] = json!([{}]), Code::MissingField),
        (|body| body["attachments"] = Value::from(vec![json!({}); 17]), Code::SizeLimit),
    ];
    let penalties: &[(Change, Code)] = &[
        (|body| body["fine"]["minor"] = json!(-1), Code::NegativeAmount),
        (|body| body["fine"]["minor"] = json!("1234567.8"), Code::AmountBelowMinorUnit),
        (|body| body["fine"]["currency"] = json!("RMB¥"), Code::SchemaInvalid),
        (|body| body["penalty_kinds"] = json!([]), Code::MissingField),
        (|body| body["penalty_kinds"] = json!(["fine", "fine"]), Code::SchemaInvalid),
        (|body| body["penalty_kinds"] = json!(["flogging"]), Code::SchemaInvalid),
        (|body| body["severity"] = json!("high"), Code::SchemaInvalid),
        (|body| body["conduct_on"] = json!("2026-05-07"), Code::DateOrder),
        (|body| body["publish_until"] = json!("2026-05-05"), Code::DateOrder),
        (|body| body["publish_until"] = json!("2027-05-07"), Code::PublicationTooLong),
        (|body| body["decided_on"] = json!("2026-02-30"), Code::BadDate),
        (
            |body| {
                body["severity"] = json!("minor");
                body["publish_until"] = json!("2026-08-07");
            },
            Code::PublicationTooLong,
        ),
        (|body| drop(body.as_object_mut().unwrap().remove("publish_until")), Code::ExpiryRequired),
    ];
    let decisions: &[(Change, Code)] = &[
        (|body| body["ends"] = json!("2026-04-30"), Code::DateOrder),
        (|body| body["published"] = json!("2026-03-31"), Code::DateOrder),
        (|body| body["repeals"] = json!(["x"]), Code::SchemaInvalid),
        (|body| body["languages"] = json!([]), Code::MissingField),
        (|body| body["text"]["size"] = json!(-1), Code::BadNumber),
        (|body| body["uri"] = json!(""), Code::MissingField),
    ];
    let mut city = City::new();
    for (filing, body, cases) in [
        (filing(RecordType::Licence, "k"), licence_body("1"), licences),
        (penalty_filing("k"), penalty_body("1"), penalties),
        (filing(RecordType::Decision, "k"), decision_body("1"), decisions),
    ] {
        for (at, (change, want)) in cases.iter().enumerate() {
            let mut flawed = body.clone();
            change(&mut flawed);
            let filed = build::file(&filing, &flawed.to_string()).unwrap();
            let got = city.submit("A1/clerk1", filed.clone());
            assert_eq!(got, Err(*want), "{} case {at}", filing.record_type);
            if !matches!(want, Code::ReferenceNotFound) && at != 28 {
                assert_eq!(local(&filed), Err(*want), "{} case {at} locally", filing.record_type);
            }
        }
        let filed = build::file(&filing, &body.to_string()).unwrap();
        assert_eq!(local(&filed), Ok(()));
        assert!(city.submit("A1/clerk1", filed).is_ok(), "{}", filing.record_type);
    }
}

/// The verdict of the same rules on the client's side.
fn local(filed: &Filed) -> Result<(), Code> {
    let basis = crate::city::basis_details("food-safety");
    rules::check_submission(
        chain().chain_id,
        &filed.header,
        Some(&filed.body),
        Some(&basis),
        date("2026-05-06"),
    )
    .map_err(|refusal| refusal.code)
}

#[test]
fn no_refusal_repeats_a_persons_number() {
    let mut city = City::new();
    for place in ["decision_no", "certificate_no"] {
        let mut body = licence_body("1");
        body[place] = json!("no. 11010519491231002X");
        let filed = build::file(&filing(RecordType::Licence, "1"), &body.to_string()).unwrap();
        let (operation, body, _) = filed.submit();
        let refusal = city.send_all("A1/clerk1", vec![(operation, body)]).remove(0).unwrap_err();
        assert_eq!(refusal.code, Code::NaturalPersonId);
        assert!(!identifier::contains_resident_number(&refusal.detail), "{place}");
        assert!(!refusal.detail.contains("1949"), "{place}");
    }
}

#[test]
fn body_and_header_are_bound_and_agree() {
    type Change = fn(&mut Header);
    let changes: &[(Change, Code)] = &[
        (|header| header.body_commit = Some(Digest::ZERO), Code::BodyCommitment),
        (|header| header.body_commit = None, Code::BodyMissing),
        (|header| header.decided_on = Some(date("2026-05-05")), Code::HeaderMismatch),
        (|header| header.decided_on = None, Code::HeaderMismatch),
        (|header| header.conduct_on = None, Code::HeaderMismatch),
        (|header| header.effective_from = Some(date("2026-05-07")), Code::HeaderMismatch),
        (|header| header.effective_to = Some(date("2027-05-05")), Code::HeaderMismatch),
        (|header| header.publish_until = Some(date("2026-12-31")), Code::HeaderMismatch),
        (|header| header.publish_from = None, Code::HeaderMismatch),
        (|header| header.severity = Some(chain_core::record::Severity::Serious), Code::HeaderMismatch),
        (|header| header.heard = true, Code::HeaderMismatch),
        (|header| header.subject_commit = Some(Digest::ZERO), Code::HeaderMismatch),
        (|header| header.attachments_root = Some(Digest::ZERO), Code::HeaderMismatch),
        (|header| header.natural_key = None, Code::MissingField),
        (|header| header.legal_basis = None, Code::LegalBasisMissing),
        (|header| header.schema_version = 2, Code::UnsupportedVersion),
        (|header| header.version = 2, Code::VersionConflict),
        (|header| header.record = chain_core::id::RecordId::new(Digest::ZERO), Code::BadParameter),
        (|header| header.idempotency = Digest::ZERO, Code::BadParameter),
        (|header| header.class = Class::P0, Code::ClassNotPermitted),
        (|header| header.class = Class::P2, Code::ClassNotPermitted),
        (|header| header.class = Class::P3, Code::ClassNotPermitted),
        (|header| header.subject_kind = SubjectKind::Person, Code::PersonalDataInClear),
        (|header| header.subject_kind = SubjectKind::None, Code::SubjectKindNotPermitted),
        (|header| header.details = chain_core::record::Details::Notary(agency("N")), Code::SchemaInvalid),
        (|header| header.dispose_on = Some(date("2027-05-05")), Code::DateOrder),
        (
            |header| {
                let record = header.record;
                header.refs = vec![Reference { rel: Relation::Evidence, record }];
            },
            Code::ReferenceNotFound,
        ),
    ];
    let mut city = City::new();
    for (at, (change, want)) in changes.iter().enumerate() {
        let mut filed = crate::city::penalty("1");
        change(&mut filed.header);
        assert_eq!(city.submit("A1/clerk1", filed), Err(*want), "case {at}");
    }
}

#[test]
fn a_body_that_should_travel_and_does_not_is_missed() {
    let mut city = City::new();
    let (operation, body, _) = licence("1").submit();
    assert_eq!(city.send("A1/clerk1", operation.clone()), Err(Code::BodyMissing));
    let submission = city.sign("A1/clerk1", vec![(operation.clone(), None)]);
    assert_eq!(rules::check_bodies(&submission).unwrap_err().code, Code::BodyMissing);
    let submission = city.sign("A1/clerk1", vec![(operation.clone(), body.clone())]);
    assert_eq!(rules::check_bodies(&submission), Ok(()));
    let mut other = body.unwrap();
    other.salt = Digest::ZERO;
    let submission = city.sign("A1/clerk1", vec![(operation, Some(other.clone()))]);
    assert_eq!(rules::check_bodies(&submission).unwrap_err().code, Code::BodyCommitment);
    let record = submission.signed.transaction.operations[0].record();
    let withdraw = chain_core::operation::Operation::Withdraw { record, version: 1 };
    let submission = city.sign("A1/clerk1", vec![(withdraw, Some(other))]);
    assert_eq!(rules::check_bodies(&submission).unwrap_err().code, Code::BodyNotAllowed);
}

/// A person's licence: the body stays in the agency's vault, the header decides what it can.
fn personal(key: &str, number: &str) -> Filed {
    let mut body = licence_body(number);
    body["subject"] = json!({
        "kind": "person", "name": "甲某", "document_kind": "resident_identity_card",
        "document_no": "11010519491231002X",
    });
    let filing =
        Filing { class: Class::P3, subject_kind: SubjectKind::Person, ..filing(RecordType::Licence, key) };
    build::file(&filing, &body.to_string()).unwrap()
}

#[test]
fn persons_rows_leave_only_a_commitment() {
    let mut city = City::new();
    let filed = personal("1", "示许〔2026〕1000号");
    assert_eq!(local(&filed), Ok(()));
    let (operation, travelling, kept) = filed.clone().submit();
    assert_eq!(travelling, None);
    let body = kept.unwrap();
    assert_eq!(filed.header.body_commit, Some(body.commitment()));
    assert!(city.send("A1/clerk1", operation.clone()).is_ok());
    let submission = city.sign("A1/clerk1", vec![(operation, Some(body))]);
    assert_eq!(rules::check_bodies(&submission).unwrap_err().code, Code::BodyNotAllowed);
    for leaf in city.ledger.leaves() {
        assert!(!String::from_utf8_lossy(&leaf.bytes).contains("11010519491231002X"));
        assert!(!String::from_utf8_lossy(&leaf.bytes).contains("甲某"));
    }
    // The number elsewhere than in its one place is refused even in the vault, before anything is sent.
    let mut flawed = licence_body("2");
    flawed["subject"] = json!({ "kind": "person", "name": "11010519491231002X" });
    let filing =
        Filing { class: Class::P3, subject_kind: SubjectKind::Person, ..filing(RecordType::Licence, "2") };
    let filed = build::file(&filing, &flawed.to_string()).unwrap();
    assert_eq!(local(&filed), Err(Code::NaturalPersonId));
}

#[test]
fn headers_of_persons_are_judged_too() {
    let mut city = City::new();
    let mut change = |key: &str, change: fn(&mut Header)| {
        let mut filed = personal(key, key);
        change(&mut filed.header);
        city.submit("A1/clerk1", filed).map(|_| ())
    };
    assert_eq!(change("a", |header| header.legal_basis = None), Err(Code::LegalBasisMissing));
    assert_eq!(change("b", |header| header.decided_on = None), Err(Code::MissingField));
    assert_eq!(change("c", |header| header.effective_to = Some(date("2026-05-05"))), Err(Code::DateOrder));
    let only_organisations = |header: &mut Header| header.legal_basis = basis_ref("organisations-only");
    assert_eq!(change("d", only_organisations), Err(Code::SubjectKindNotPermitted));
    let public_only = |header: &mut Header| header.legal_basis = basis_ref("public-only");
    assert_eq!(change("f", public_only), Err(Code::ClassNotPermitted));
    assert_eq!(change("e", |_| {}), Ok(()));
}

fn basis_ref(id: &str) -> Option<BasisRef> {
    Some(BasisRef { id: id.to_owned(), version: 1 })
}

#[test]
fn a_basis_must_allow_what_rests_on_it() {
    let mut city = City::new();
    let mut with_basis = |id: &str, change: fn(&mut Value)| {
        let mut filing = filing(RecordType::Licence, id);
        filing.legal_basis = basis_ref(id);
        let mut body = licence_body(id);
        change(&mut body);
        let filed = build::file(&filing, &body.to_string()).unwrap();
        city.submit("A1/clerk1", filed).map(|_| ())
    };
    assert_eq!(with_basis("penalties-only", |_| {}), Err(Code::TypeNotPermittedByBasis));
    assert_eq!(with_basis("unknown", |_| {}), Err(Code::LegalBasisMissing));
    assert_eq!(with_basis("new-law", |_| {}), Err(Code::LegalBasisNotInForce));
    assert_eq!(with_basis("new-law", |body| body["decided_on"] = json!("2026-07-01")), Ok(()));
    assert_eq!(with_basis("food-safety", |_| {}), Ok(()));
    let open_ended = |body: &mut Value| drop(body.as_object_mut().unwrap().remove("valid_to"));
    assert_eq!(with_basis("strict", open_ended), Err(Code::ExpiryRequired));
    assert_eq!(with_basis("strict", |_| {}), Ok(()));
}

#[test]
fn the_law_at_the_time_of_the_conduct_decides() {
    let mut city = City::new();
    let mut with_conduct = |key: &str, conduct: &str| {
        let filing = Filing { legal_basis: basis_ref("new-law"), ..penalty_filing(key) };
        let mut body = penalty_body(key);
        body["conduct_on"] = json!(conduct);
        body["decided_on"] = json!("2026-08-01");
        body["publish_from"] = json!("2026-08-01");
        let filed = build::file(&filing, &body.to_string()).unwrap();
        city.submit("A1/clerk1", filed).map(|_| ())
    };
    assert_eq!(with_conduct("1", "2026-06-30"), Err(Code::LegalBasisNotInForce));
    assert_eq!(with_conduct("2", "2026-07-01"), Ok(()));
}

#[test]
fn a_penalty_may_stay_unpublished() {
    let mut city = City::new();
    let filed = penalty_with("1", |body| {
        body["severity"] = json!("minor");
        body["penalty_kinds"] = json!(["warning"]);
        for date in ["publish_from", "publish_until"] {
            body.as_object_mut().unwrap().remove(date);
        }
    });
    assert!(city.submit("A1/clerk1", filed).is_ok());
}

#[test]
fn the_same_key_is_the_same_record_or_a_conflict() {
    let mut city = City::new();
    let first = city.submit("A1/clerk1", licence("1")).unwrap();
    let again = city.submit("A1/clerk1", licence("1")).unwrap();
    assert_eq!((again.record, again.leaf_index), (first.record, first.leaf_index));
    assert!(again.duplicate && !first.duplicate);
    // Another clerk of the agency retries; later the record moves on.
    assert!(city.submit("A1/clerk2", licence("1")).unwrap().duplicate);
    city.countersign("A1/supervisor1", first.record).unwrap();
    assert!(city.submit("A1/clerk1", licence("1")).unwrap().duplicate);

    let other = build::file(&filing(RecordType::Licence, "1"), &licence_body("2").to_string()).unwrap();
    assert_eq!(city.submit("A1/clerk1", other), Err(Code::IdempotencyConflict));
}

#[test]
fn a_decision_number_counts_once_per_agency_and_type() {
    let mut city = City::new();
    city.submit("A1/clerk1", licence("1")).unwrap();
    let second =
        |record_type, key, body: Value| build::file(&filing(record_type, key), &body.to_string()).unwrap();
    let same_number = second(RecordType::Licence, "2", licence_body("1"));
    assert_eq!(city.submit("A1/clerk1", same_number), Err(Code::DuplicateNaturalKey));
    assert!(city.submit("A1/clerk1", second(RecordType::Decision, "1", decision_body("1"))).is_ok());
    let mut body = licence_body("1");
    body["issuer"] = agency("A2").to_string().into();
    let filing = Filing { agency: agency("A2"), ..filing(RecordType::Licence, "1") };
    assert!(city.submit("A2/clerk1", build::file(&filing, &body.to_string()).unwrap()).is_ok());
}

#[test]
fn a_subject_commitment_is_the_bodys_under_its_salt() {
    let mut city = City::new();
    let salt = Digest::tagged(b"subject-salt", &[]);
    let mut body = licence_body("1");
    body["subject_salt"] = json!(salt.to_string());
    let filed = build::file(&filing(RecordType::Licence, "1"), &body.to_string()).unwrap();
    let subject = "uscc:91440300100012316L".parse().unwrap();
    assert_eq!(filed.header.subject_commit, Some(chain_core::record::subject_commit(&salt, &subject)));
    let mut hidden = filed.clone();
    hidden.header.subject_commit = None;
    assert_eq!(city.submit("A1/clerk1", hidden), Err(Code::HeaderMismatch));
    assert!(city.submit("A1/clerk1", filed).is_ok());
}

#[test]
fn keys_and_numbers_in_headers_are_not_guessable() {
    let filed = licence("1");
    let guess = chain_core::record::natural_key(b"", RecordType::Licence, "1");
    assert_ne!(filed.header.natural_key, Some(guess));
    let own = chain_core::record::natural_key(DEDUPE_KEY, RecordType::Licence, "1");
    assert_eq!(filed.header.natural_key, Some(own));
    let _ = (public("A1/clerk1"), fingerprint_body());
}

#[test]
fn a_body_of_more_than_16_kib_is_refused() {
    let mut city = City::new();
    let mut body = licence_body("1");
    let texts = ["zh-Hans", "en", "fr", "de"].map(|lang| json!({ "lang": lang, "text": "x".repeat(4_000) }));
    body["content"] = json!(texts);
    let filed = build::file(&filing(RecordType::Licence, "1"), &body.to_string()).unwrap();
    assert_eq!(city.submit("A1/clerk1", filed), Err(Code::SizeLimit));
}

#[test]
fn an_operation_stays_small_enough_for_a_leaf() {
    let mut city = City::new();
    let mut filed = licence("1");
    filed.header.legal_basis = basis_ref(&"x".repeat(32 * 1024));
    assert_eq!(city.submit("A1/clerk1", filed), Err(Code::SizeLimit));
}
