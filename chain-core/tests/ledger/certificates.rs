//! Certificates and their status lists: what the chain shows of them, and what it must not show.

use chain_core::build::Filed;
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::id::RecordId;
use chain_core::operation::{Effect, EraseGround, Operation, RevokeReason};
use chain_core::record::{Class, Details, RecordType, Reference, Relation, SubjectKind};
use serde_json::{Value, json};

use crate::city::{City, agency, date};
use crate::timeline::check_replay;
use crate::town::{Table, file_of, forced, origin, state, with};

const DAY: &str = "2026-05-06T09:00:00+08:00";

fn digest(text: &str) -> Digest {
    Digest::tagged(b"test-certificate", &[text.as_bytes()])
}

fn list_body(by: &str, version: u64, valid_from: &str, previous: Option<RecordId>) -> Value {
    let mut body = json!({
        "list_id": "L-1", "issuer": agency(by).to_string(), "purpose": "revocation", "bits": 131_072,
        "encoded": digest(&format!("list {version}")).to_string(), "version": version, "valid_from": valid_from,
        "ttl_s": 3_600, "origin": origin(),
    });
    if let Some(previous) = previous {
        body["previous"] = json!(previous);
    }
    body
}

fn list_of(by: &str, body: &Value) -> Filed {
    let key = format!("{}#{}", body["list_id"], body["version"]);
    file_of(by, RecordType::StatusList, Class::P0, &key, body).unwrap()
}

fn begun(city: &mut City) -> RecordId {
    city.submit("A1/admin1", list_of("A1", &list_body("A1", 1, DAY, None))).unwrap().record
}

fn certificate_body(list: RecordId, index: u32) -> Value {
    json!({
        "certificate_type": "residence_permit", "issuer": agency("A1").to_string(), "holder_kind": "person",
        "holder": digest("holder").to_string(), "content": digest("content").to_string(), "issued_on": "2026-05-06",
        "valid_until": "2031-05-05", "status_list": list, "status_index": index, "origin": origin(),
    })
}

fn certificate(key: &str, body: &Value) -> Filed {
    let mut filed = file_of("A1", RecordType::Certificate, Class::P3, key, body).unwrap();
    filed.header.subject_kind = SubjectKind::Person;
    filed
}

fn effective(city: &mut City, key: &str, body: &Value) -> RecordId {
    let record = city.submit("A1/clerk1", certificate(key, body)).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    record
}

#[test]
fn a_certificate_takes_effect_with_a_supervisor_expires_and_can_be_revoked_and_erased() {
    let mut city = City::with(&state());
    let list = begun(&mut city);
    let record = city.submit("A1/clerk1", certificate("c1", &certificate_body(list, 7))).unwrap().record;
    assert_eq!(city.status(record), "submitted");
    assert_eq!(city.countersign("A1/clerk1", record), Err(Code::SamePerson));
    city.countersign("A1/supervisor1", record).unwrap();
    let revoked = effective(&mut city, "c2", &certificate_body(list, 8));
    let (reason, effect) = (RevokeReason::Cancelled, Effect::FromNow);
    let revoke = Operation::Revoke { record: revoked, version: 1, reason, effect, note: String::new() };
    city.send("A1/supervisor1", revoke).unwrap();
    city.countersign("A1/legal1", revoked).unwrap();
    assert_eq!(city.status(revoked), "revoked");
    // Its place stays taken: a set bit must not become another certificate's.
    let again = city.submit("A1/clerk1", certificate("c3", &certificate_body(list, 8)));
    assert_eq!(again, Err(Code::DuplicateNaturalKey));
    city.tick("2031-05-06T00:00:00+08:00");
    assert_eq!(city.status(record), "expired");
    for one in [record, revoked, list] {
        check_replay(&city, one);
    }
}

#[test]
fn neither_holder_nor_place_of_a_certificate_stands_on_the_chain() {
    let mut city = City::with(&state());
    let list = begun(&mut city);
    let leaves = city.ledger.leaves().len();
    let filed = certificate("c1", &certificate_body(list, 54_321));
    let (holder, content) = (digest("holder"), digest("content"));
    // G11: what identifies a person travels in no leaf, not even as a commitment that two certificates share.
    let (operation, travelling, kept) = filed.clone().submit();
    assert!(travelling.is_none() && kept.is_some(), "the body stays with the issuer");
    city.send("A1/clerk1", operation).unwrap();
    for leaf in &city.ledger.leaves()[leaves..] {
        let held = |needle: &[u8]| leaf.bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!held(holder.as_bytes()) && !held(content.as_bytes()) && !held(&54_321_u32.to_be_bytes()));
    }
    // Two certificates of one holder have nothing in common but their list.
    let other = certificate("c2", &certificate_body(list, 54_322)).header;
    assert_eq!((filed.header.subject_commit, other.subject_commit), (None, None));
    assert_ne!(filed.header.natural_key, other.natural_key);
    assert_ne!(filed.header.body_commit, other.body_commit);
}

#[test]
fn whatever_a_certificates_header_must_not_say_is_refused() {
    let mut city = City::with(&state());
    let list = begun(&mut city);
    let theirs = city.submit("A2/admin1", list_of("A2", &list_body("A2", 1, DAY, None))).unwrap().record;
    let second = list_body("A1", 2, "2026-05-06T10:00:00+08:00", Some(list));
    city.at("2026-05-06T10:00:00+08:00");
    let second = city.submit("A1/admin1", list_of("A1", &second)).unwrap().record;
    let ended = with(&list_body("A1", 1, DAY, None), |body| body["list_id"] = json!("L-2"));
    let ended = city.submit("A1/admin1", list_of("A1", &ended)).unwrap().record;
    let (reason, effect) = (RevokeReason::FiledInError, Effect::FromNow);
    let revoke = Operation::Revoke { record: ended, version: 1, reason, effect, note: String::new() };
    city.send("A1/supervisor1", revoke).unwrap();
    let licence = city.effective_licence("1");
    let mut table = Table::default();
    let good = |list: RecordId| certificate("c1", &certificate_body(list, 1));
    for (what, list, code) in [
        ("a list of another agency", theirs, Code::AgencyNotCompetent),
        ("a later version of the list", second, Code::ReferenceNotFound),
        ("a list that was invalidated", ended, Code::BadState),
        ("no list", licence, Code::ReferenceNotFound),
    ] {
        table.refused(what, city.attempt(|city| city.submit("A1/clerk1", good(list))), code);
    }
    type Change = fn(&mut chain_core::record::Header);
    let rows: &[(&str, Change, Code)] = &[
        ("a commitment to the holder", |h| h.subject_commit = Some(Digest::ZERO), Code::PersonalDataInClear),
        ("published", |h| h.publish_from = h.decided_on, Code::PersonalDataInClear),
        ("no list named", |h| h.refs.clear(), Code::MissingField),
        (
            "two lists named",
            |h| h.refs.push(Reference { rel: Relation::PartOf, record: h.record }),
            Code::MissingField,
        ),
        ("no number", |h| h.natural_key = None, Code::MissingField),
        ("class P0", |h| h.class = Class::P0, Code::PersonalDataInClear),
        ("class P4", |h| h.class = Class::P4, Code::ClassNotPermitted),
        ("about a thing", |h| h.subject_kind = SubjectKind::Thing, Code::SubjectKindNotPermitted),
        ("G1: no legal basis", |h| h.legal_basis = None, Code::LegalBasisMissing),
        (
            "details of a list",
            |h| h.details = list_of("A1", &list_body("A1", 1, DAY, None)).header.details,
            Code::RoleNotAllowed,
        ),
    ];
    for (what, change, code) in rows {
        let mut filed = good(list);
        change(&mut filed.header);
        table.refused(what, city.attempt(|city| city.submit("A1/clerk1", filed)), *code);
    }
    table.refused(
        "by an administrator",
        city.attempt(|city| city.submit("A1/admin1", good(list))),
        Code::RoleNotAllowed,
    );
    let mut organisation = good(list);
    organisation.header.subject_kind = SubjectKind::Organisation;
    table.row("of an organisation, as hidden", city.submit("A1/clerk1", organisation), Ok(()));
    table.end(rows.len() + 6);
}

#[test]
fn a_certificates_body_is_judged_by_who_holds_it() {
    let list = RecordId::new(Digest::ZERO);
    type Change = fn(&mut Value);
    let rows: &[(&str, Change, Code)] = &[
        ("civil status", |b| b["certificate_type"] = json!("civil_status.marriage"), Code::ClassNotPermitted),
        ("holder and content alike", |b| b["content"] = b["holder"].clone(), Code::BadParameter),
        ("no holder", |b| _ = b.as_object_mut().unwrap().remove("holder"), Code::MissingField),
        ("a holder in clear", |b| b["holder"] = json!("Li Hua"), Code::SchemaInvalid),
        ("a name beside", |b| b["name"] = json!("Li Hua"), Code::UnknownField),
        ("over before it begins", |b| b["valid_until"] = json!("2026-05-05"), Code::DateOrder),
        ("a place that no list has", |b| b["status_index"] = json!(16_777_216), Code::BadNumber),
        ("a place below the first", |b| b["status_index"] = json!(-1), Code::BadNumber),
        ("a person's number", |b| b["certificate_type"] = json!("11010519491231002X"), Code::NaturalPersonId),
    ];
    let mut table = Table::default();
    let good = certificate_body(list, 1);
    for (what, change, code) in rows {
        let bad = forced(certificate("c1", &good), &with(&good, change));
        let got = chain_core::rules::check_body(&bad.header, &bad.body).map_err(|refusal| refusal.code);
        table.refused(what, got, *code);
    }
    let filed = certificate("c1", &good);
    let (chain_id, today) = (crate::city::chain().chain_id, date("2026-05-06"));
    let got = chain_core::rules::check_submission(chain_id, &filed.header, Some(&filed.body), None, today);
    table.row("the certificate itself", got.map_err(|refusal| refusal.code), Ok(()));
    table.end(rows.len() + 1);
}

#[test]
fn a_list_is_long_enough_that_nobody_tells_who_is_looked_up() {
    type Change = fn(&mut Value);
    let rows: &[(&str, Change, Code)] = &[
        ("a bit too short", |b| b["bits"] = json!(131_064), Code::BadNumber),
        ("not whole bytes", |b| b["bits"] = json!(131_073), Code::BadNumber),
        ("too long", |b| b["bits"] = json!(16_777_224), Code::BadNumber),
        ("renewed too often", |b| b["ttl_s"] = json!(299), Code::BadNumber),
        ("kept too long", |b| b["ttl_s"] = json!(31 * 86_400 + 1), Code::BadNumber),
        ("version 0", |b| b["version"] = json!(0), Code::BadParameter),
        ("a second version of nothing", |b| b["version"] = json!(2), Code::BadParameter),
        ("no purpose", |b| b["purpose"] = json!("score"), Code::SchemaInvalid),
        ("no digest", |b| b["encoded"] = json!("H4sIAAAA"), Code::SchemaInvalid),
        ("without offset", |b| b["valid_from"] = json!("2026-05-06T09:00:00"), Code::BadDate),
        ("of another agency", |b| b["issuer"] = json!(agency("A2").to_string()), Code::AgencyNotCompetent),
        ("a member that tells who", |b| b["holders"] = json!([]), Code::UnknownField),
    ];
    let mut city = City::with(&state());
    let good = list_body("A1", 1, DAY, None);
    let mut table = Table::default();
    for (what, change, code) in rows {
        let bad = with(&good, change);
        // Where the flaw stands in the header too, the header is what is judged first.
        let filed = file_of("A1", RecordType::StatusList, Class::P0, "flaw", &bad)
            .unwrap_or_else(|_| forced(list_of("A1", &good), &bad));
        table.refused(what, city.attempt(|city| city.submit("A1/admin1", filed)), *code);
    }
    for post in ["A1/clerk1", "A1/supervisor1", "A1/council1"] {
        table.refused(
            post,
            city.attempt(|city| city.submit(post, list_of("A1", &good))),
            Code::RoleNotAllowed,
        );
    }
    let mut bent = list_of("A1", &good);
    let Details::StatusList(details) = &mut bent.header.details else { panic!("details of a list") };
    details.encoded = Digest::ZERO;
    table.refused(
        "a header of another list",
        city.attempt(|city| city.submit("A1/admin1", bent)),
        Code::HeaderMismatch,
    );
    table.row("the list itself", city.submit("A1/admin1", list_of("A1", &good)), Ok(()));
    table.end(rows.len() + 5);
}

#[test]
fn versions_of_a_list_follow_one_another_no_more_often_than_they_are_kept() {
    let mut city = City::with(&state());
    let first = begun(&mut city);
    let mut table = Table::default();
    let submit = |city: &mut City, body: &Value| city.submit("A1/admin1", list_of("A1", body));
    let at = "2026-05-06T10:00:00+08:00";
    let next = || list_body("A1", 2, at, Some(first));
    let other_key =
        file_of("A1", RecordType::StatusList, Class::P0, "k", &list_body("A1", 1, DAY, None)).unwrap();
    table.refused(
        "the version again",
        city.attempt(|city| city.submit("A1/admin1", other_key)),
        Code::AlreadyExists,
    );
    table.refused("before its time", city.attempt(|city| submit(city, &next())), Code::DateOrder);
    city.at(at);
    let early = with(&next(), |b| b["valid_from"] = json!("2026-05-06T09:59:59+08:00"));
    table.refused("sooner than kept", city.attempt(|city| submit(city, &early)), Code::TooEarly);
    let old = with(&next(), |b| b["valid_from"] = json!("2026-05-06T08:59:59+08:00"));
    table.refused("under an old date", city.attempt(|city| submit(city, &old)), Code::DateOrder);
    for (what, name, value) in
        [("another purpose", "purpose", json!("suspension")), ("another size", "bits", json!(262_144))]
    {
        table.refused(
            what,
            city.attempt(|city| submit(city, &with(&next(), |b| b[name] = value))),
            Code::NotAmendable,
        );
    }
    table.refused(
        "a gap",
        city.attempt(|city| submit(city, &with(&next(), |b| b["version"] = json!(3)))),
        Code::VersionConflict,
    );
    let licence = city.effective_licence("1");
    let stray = with(&next(), |b| b["previous"] = json!(licence));
    table.refused("after no list", city.attempt(|city| submit(city, &stray)), Code::ReferenceNotFound);
    let mut bent = list_of("A1", &next());
    bent.header.refs.clear();
    table.refused(
        "details name another version",
        city.attempt(|city| city.submit("A1/admin1", bent)),
        Code::HeaderMismatch,
    );
    let second = submit(&mut city, &next()).unwrap().record;
    city.at("2026-05-06T11:00:00+08:00");
    let fork = list_body("A1", 2, "2026-05-06T11:00:00+08:00", Some(first));
    let mut fork = file_of("A1", RecordType::StatusList, Class::P0, "fork", &fork).unwrap();
    // The number is the agency's own word; that there is no fork must not hang on it.
    fork.header.natural_key = Some(Digest::ZERO);
    table.refused("a fork", city.attempt(|city| city.submit("A1/admin1", fork)), Code::VersionConflict);
    let third = list_body("A1", 3, "2026-05-06T11:00:00+08:00", Some(second));
    table.row("the third", submit(&mut city, &third), Ok(()));
    table.end(11);
    assert_eq!(city.status(first), "effective", "what it said then stays what it said");
}

// Batches of commitments to health documents.

fn batch_body(day: &str) -> Value {
    json!({
        "root": digest("root").to_string(), "size_class": "<=64", "reporter": agency("A1").to_string(), "day": day,
        "origin": origin(),
    })
}

fn batch(key: &str, day: &str) -> Filed {
    file_of("A1", RecordType::CommitBatch, Class::P4, key, &batch_body(day)).unwrap()
}

#[test]
fn a_batch_of_commitments_tells_root_size_class_and_day() {
    let mut city = City::with(&state());
    let filed = batch("b1", "2026-05-05");
    let (operation, travelling, kept) = filed.submit();
    assert!(travelling.is_none() && kept.is_some(), "the body stays with the reporter");
    let record = city.send("A1/gateway1", operation).unwrap().record;
    assert_eq!(city.status(record), "effective");
    check_replay(&city, record);
    let mut table = Table::default();
    type Change = fn(&mut chain_core::record::Header);
    let rows: &[(&str, Change, Code)] = &[
        ("a date", |h| h.decided_on = Some(Date::MIN), Code::PersonalDataInClear),
        ("a first day", |h| h.effective_from = Some(Date::MIN), Code::PersonalDataInClear),
        ("a last day", |h| h.effective_to = Some(Date::MAX), Code::PersonalDataInClear),
        ("a publication", |h| h.publish_from = Some(Date::MIN), Code::PersonalDataInClear),
        ("a commitment to a subject", |h| h.subject_commit = Some(Digest::ZERO), Code::PersonalDataInClear),
        ("a number", |h| h.natural_key = Some(Digest::ZERO), Code::PersonalDataInClear),
        ("attachments", |h| h.attachments_root = Some(Digest::ZERO), Code::PersonalDataInClear),
        (
            "a reference",
            |h| h.refs.push(Reference { rel: Relation::Concerns, record: h.record }),
            Code::PersonalDataInClear,
        ),
        ("an officer", |h| h.officers.push(crate::city::public("A1/clerk1")), Code::PersonalDataInClear),
        ("about a person", |h| h.subject_kind = SubjectKind::Person, Code::SubjectKindNotPermitted),
        ("class P3", |h| h.class = Class::P3, Code::ClassNotPermitted),
        ("class P0", |h| h.class = Class::P0, Code::ClassNotPermitted),
        ("no details", |h| h.details = Details::None, Code::RoleNotAllowed),
        ("G1: no legal basis", |h| h.legal_basis = None, Code::LegalBasisMissing),
        (
            "G1: a basis of other types",
            |h| {
                h.legal_basis =
                    Some(chain_core::record::BasisRef { id: "food-safety".to_owned(), version: 1 })
            },
            Code::TypeNotPermittedByBasis,
        ),
    ];
    for (what, change, code) in rows {
        let mut filed = batch("b2", "2026-05-05");
        change(&mut filed.header);
        table.refused(what, city.attempt(|city| city.submit("A1/gateway1", filed)), *code);
    }
    table.refused(
        "a day that is not over",
        city.attempt(|city| city.submit("A1/gateway1", batch("b3", "2026-05-06"))),
        Code::DateOrder,
    );
    for post in ["A1/clerk1", "A1/supervisor1", "A1/admin1"] {
        table.refused(
            post,
            city.attempt(|city| city.submit(post, batch("b4", "2026-05-05"))),
            Code::RoleNotAllowed,
        );
    }
    table.end(rows.len() + 4);
}

#[test]
fn a_batchs_body_holds_neither_person_nor_exact_count() {
    type Change = fn(&mut Value);
    let rows: &[(&str, Change, Code)] = &[
        ("G16: an exact count", |b| b["size_class"] = json!("17"), Code::SchemaInvalid),
        ("G16: a count beside", |b| b["count"] = json!(3), Code::UnknownField),
        ("a patient", |b| b["subject"] = json!({ "name": "x", "kind": "person" }), Code::UnknownField),
        ("a person's number", |b| b["root"] = json!("11010519491231002X"), Code::NaturalPersonId),
        ("no root", |b| b["root"] = json!("x"), Code::SchemaInvalid),
        ("an hour", |b| b["day"] = json!("2026-05-05T09:00:00+08:00"), Code::BadDate),
        ("another day than the header's", |b| b["day"] = json!("2026-05-04"), Code::HeaderMismatch),
        ("another reporter", |b| b["reporter"] = json!(agency("A2").to_string()), Code::AgencyNotCompetent),
    ];
    let mut table = Table::default();
    for (what, change, code) in rows {
        let bad = forced(batch("b1", "2026-05-05"), &with(&batch_body("2026-05-05"), change));
        let got = chain_core::rules::check_body(&bad.header, &bad.body).map_err(|refusal| refusal.code);
        table.refused(what, got, *code);
    }
    table.end(rows.len());
}

#[test]
fn the_bodies_of_certificates_and_batches_can_be_destroyed() {
    let mut genesis = state();
    genesis.members.push(chain_core::record::governance::MemberDetails {
        role: chain_core::record::governance::Role::PrivacyOfficer,
        ..crate::city::member_details("A1", "privacy1")
    });
    let mut city = City::with(&genesis);
    let list = begun(&mut city);
    let record = effective(&mut city, "c1", &certificate_body(list, 1));
    let erase = |ground| Operation::Erase { record, version: 1, ground, note: "case_7".to_owned() };
    city.send("A1/privacy1", erase(EraseGround::Request)).unwrap();
    city.countersign("N/auditor1", record).unwrap();
    assert_eq!(city.status(record), "erased");
    check_replay(&city, record);
}
