//! Alerts: filed, approved before or after the fact, updated, called off, and over by themselves (CAP 1.2).

use chain_core::build::Filed;
use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::operation::{Effect, Operation, RevokeReason};
use chain_core::record::{Class, Details, RecordType};
use chain_core::state::Flags;
use serde_json::{Value, json};

use crate::city::{City, agency, date};
use crate::timeline::check_replay;
use crate::town::{Table, file_of, forced, origin, state, with};

const START: &str = "2026-05-06T09:00:00+08:00";

fn body(by: &str, identifier: &str) -> Value {
    json!({
        "identifier": identifier,
        "sender": agency(by).to_string(),
        "sent": START,
        "status": "actual",
        "msg_type": "alert",
        "info": [{
            "lang": "zh-Hans", "category": "met", "event": "暴雨", "urgency": "expected", "severity": "severe",
            "certainty": "likely", "level": "II", "onset": "2026-05-06T12:00:00+08:00",
            "expires": "2026-05-06T20:00:00+08:00", "headline": "暴雨橙色预警",
            "description": "预计三小时内降雨量将达50毫米以上。", "instruction": "请勿前往低洼地带。",
        }],
        "areas": [{
            "desc": "示例市", "datum": "WGS84",
            "polygon": [[1187000000, 320000000], [1188000000, 320000000], [1188000000, 321000000], [1187000000, 320000000]],
        }],
        "origin": origin(),
    })
}

fn immediate(by: &str, identifier: &str) -> Value {
    with(&body(by, identifier), |body| body["info"][0]["urgency"] = json!("immediate"))
}

/// A later alert about earlier ones.
fn later(by: &str, identifier: &str, kind: &str, about: &[RecordId]) -> Value {
    with(&body(by, identifier), |body| {
        body["msg_type"] = json!(kind);
        body["references"] = json!(about);
    })
}

fn file(by: &str, body: &Value) -> Filed {
    let key = body["identifier"].as_str().unwrap();
    file_of(by, RecordType::Alert, Class::P0, key, body).unwrap()
}

fn effective(city: &mut City, by: &str, body: &Value) -> RecordId {
    let record = city.submit(&format!("{by}/clerk1"), file(by, body)).unwrap().record;
    city.countersign(&format!("{by}/supervisor1"), record).unwrap();
    record
}

fn revoke(record: RecordId) -> Operation {
    let (reason, effect) = (RevokeReason::FiledInError, Effect::FromNow);
    Operation::Revoke { record, version: 1, reason, effect, note: String::new() }
}

#[test]
fn an_alert_takes_effect_with_a_supervisor_and_ends_by_itself() {
    let mut city = City::with(&state());
    let record = city.submit("A1/clerk1", file("A1", &body("A1", "a1"))).unwrap().record;
    assert_eq!(city.status(record), "submitted");
    // The clerk who filed it cannot approve it, nor can another agency (G12).
    assert_eq!(city.countersign("A1/clerk1", record), Err(Code::SamePerson));
    assert_eq!(city.countersign("A2/supervisor1", record), Err(Code::AgencyNotCompetent));
    city.countersign("A1/supervisor1", record).unwrap();
    let head = city.head(record);
    assert_eq!((city.status(record), head.current.effective_to), ("effective", Some(date("2026-05-06"))));
    let header = file("A1", &body("A1", "a1")).header;
    let Details::Alert(details) = header.details else { panic!("details of an alert") };
    assert_eq!((details.status.name(), details.immediate), ("actual", false));
    city.tick("2026-05-06T23:59:59+08:00");
    assert_eq!(city.status(record), "effective");
    city.tick("2026-05-07T00:00:00+08:00");
    assert_eq!(city.status(record), "expired");
    check_replay(&city, record);
}

#[test]
fn what_cannot_wait_is_in_effect_at_once_and_marked_when_nobody_approves_it_within_the_hour() {
    let mut city = City::with(&state());
    let in_time = city.submit("A1/clerk1", file("A1", &immediate("A1", "a1"))).unwrap().record;
    let late = city.submit("A1/clerk1", file("A1", &immediate("A1", "a2"))).unwrap().record;
    let ended = city.submit("A1/clerk1", file("A1", &immediate("A1", "a3"))).unwrap().record;
    for record in [in_time, late, ended] {
        assert_eq!((city.status(record), city.head(record).flags), ("effective", Flags::NONE));
    }
    // It is in effect, so it is not rejected but revoked; nobody else may approve it.
    let reject = |record| Operation::Reject {
        record,
        version: 1,
        header_digest: Some(city_digest(&city, record)),
        reason: "wrong".to_owned(),
    };
    let mut table = Table::default();
    let (refused, bare) = (reject(ended), reject(late));
    table.refused("rejected", city.attempt(|city| city.send("A1/supervisor1", refused)), Code::BadState);
    let Operation::Reject { record, version, reason, .. } = bare else { panic!("a rejection") };
    let bare = Operation::Reject { record, version, header_digest: None, reason };
    table.refused(
        "rejected without a digest",
        city.attempt(|city| city.send("A1/supervisor1", bare)),
        Code::BadState,
    );
    table.refused(
        "approved by its clerk",
        city.attempt(|city| city.countersign("A1/clerk1", in_time)),
        Code::SamePerson,
    );
    table.refused(
        "approved by a clerk",
        city.attempt(|city| city.countersign("A1/clerk2", in_time)),
        Code::RoleNotAllowed,
    );
    let annotate = Operation::Annotate { record: in_time, version: 1, text: "call received".to_owned() };
    table.row("a statement hinders nothing", city.send("A1/clerk1", annotate), Ok(()));
    table.end(5);
    city.send("A1/supervisor1", revoke(ended)).unwrap();
    assert_eq!((city.status(ended), city.head(ended).pending), ("revoked", None));

    city.at("2026-05-06T10:00:00+08:00");
    city.countersign("A1/supervisor1", in_time).unwrap();
    assert_eq!(city.head(in_time).pending, None);
    city.tick("2026-05-06T10:00:02+08:00");
    assert_eq!(city.head(in_time).flags, Flags::NONE);
    assert_eq!(city.head(late).flags, Flags::UNCONFIRMED, "for everybody to see (G20)");
    assert_eq!(city.status(late), "effective", "a warning does not end because an officer is late");
    // The mark stays: it was late.
    city.countersign("A1/supervisor1", late).unwrap();
    assert_eq!((city.head(late).flags, city.head(late).pending), (Flags::UNCONFIRMED, None));
    for record in [in_time, late, ended] {
        check_replay(&city, record);
    }
}

fn city_digest(city: &City, record: RecordId) -> chain_core::crypto::Digest {
    city.head(record).current.header_digest
}

#[test]
fn updates_and_cancellations_end_what_they_are_about_in_the_block_in_which_they_take_effect() {
    let mut city = City::with(&state());
    let first = effective(&mut city, "A1", &body("A1", "a1"));
    let update = city.submit("A1/clerk2", file("A1", &later("A1", "a2", "update", &[first]))).unwrap().record;
    assert_eq!((city.status(first), city.status(update)), ("effective", "submitted"));
    city.countersign("A1/supervisor1", update).unwrap();
    assert_eq!((city.status(first), city.status(update)), ("superseded", "effective"));
    // CAP names the whole chain; one of it must still hold. A cancellation needs no text.
    let bare = with(&later("A1", "a3", "cancel", &[first, update]), |body| {
        let members = body.as_object_mut().unwrap();
        members.remove("info");
        members.remove("areas");
    });
    let cancel = effective(&mut city, "A1", &bare);
    assert_eq!((city.status(update), city.status(cancel)), ("superseded", "effective"));
    for record in [first, update, cancel] {
        check_replay(&city, record);
    }
    let again = city.submit("A1/clerk1", file("A1", &later("A1", "a4", "update", &[first, update])));
    assert_eq!(again, Err(Code::BadState), "nothing of it holds any more");
    // An update that cannot wait ends the earlier one when it is filed.
    let old = effective(&mut city, "A1", &body("A1", "a5"));
    let at_once = with(&later("A1", "a6", "update", &[old]), |body| {
        body["info"][0]["urgency"] = json!("immediate");
    });
    let new = city.submit("A1/clerk1", file("A1", &at_once)).unwrap().record;
    assert_eq!((city.status(old), city.status(new)), ("superseded", "effective"));
    check_replay(&city, old);
}

#[test]
fn whatever_a_flaw_is_the_validators_name_it() {
    type Change = fn(&mut Value);
    let rows: &[(&str, Change, Code)] = &[
        ("a blank in the number", |b| b["identifier"] = json!("a 1"), Code::SchemaInvalid),
        ("too long a number", |b| b["identifier"] = json!("x".repeat(129)), Code::SizeLimit),
        ("another sender", |b| b["sender"] = json!(agency("A2").to_string()), Code::AgencyNotCompetent),
        ("sent without offset", |b| b["sent"] = json!("2026-05-06T09:00:00"), Code::BadDate),
        ("not sent", |b| _ = b.as_object_mut().unwrap().remove("sent"), Code::MissingField),
        ("a draft", |b| b["status"] = json!("draft"), Code::SchemaInvalid),
        ("an acknowledgement", |b| b["msg_type"] = json!("ack"), Code::SchemaInvalid),
        ("no text", |b| b["info"] = json!([]), Code::MissingField),
        ("nine languages", |b| b["info"] = json!(vec![b["info"][0].clone(); 9]), Code::SizeLimit),
        ("a language twice", |b| b["info"] = json!(vec![b["info"][0].clone(); 2]), Code::SchemaInvalid),
        ("no language tag", |b| b["info"][0]["lang"] = json!("中文"), Code::SchemaInvalid),
        (
            "a translation that is another alert",
            |b| {
                let english = with(&b["info"][0], |info| {
                    info["lang"] = json!("en");
                    info["level"] = json!("I");
                });
                b["info"].as_array_mut().unwrap().push(english);
            },
            Code::SchemaInvalid,
        ),
        ("no kind", |b| b["info"][0]["category"] = json!("rain"), Code::SchemaInvalid),
        ("no level", |b| _ = b["info"][0].as_object_mut().unwrap().remove("level"), Code::MissingField),
        (
            "no measures",
            |b| _ = b["info"][0].as_object_mut().unwrap().remove("instruction"),
            Code::MissingField,
        ),
        ("no end", |b| _ = b["info"][0].as_object_mut().unwrap().remove("expires"), Code::ExpiryRequired),
        (
            "over before it begins",
            |b| b["info"][0]["onset"] = json!("2026-05-06T20:00:00+08:00"),
            Code::DateOrder,
        ),
        (
            "effective after its end",
            |b| b["info"][0]["effective"] = json!("2026-05-07T09:00:00+08:00"),
            Code::DateOrder,
        ),
        ("no area", |b| _ = b.as_object_mut().unwrap().remove("areas"), Code::MissingField),
        ("seventeen areas", |b| b["areas"] = json!(vec![b["areas"][0].clone(); 17]), Code::SizeLimit),
        ("an open ring", |b| _ = b["areas"][0]["polygon"].as_array_mut().unwrap().pop(), Code::SchemaInvalid),
        (
            "coordinates in degrees",
            |b| b["areas"][0]["polygon"] = json!([["118.7", "32.0"]]),
            Code::SchemaInvalid,
        ),
        (
            "latitude first",
            |b| b["areas"][0]["polygon"] = json!([[320_000_000, 1_187_000_000]]),
            Code::BadNumber,
        ),
        (
            "points without a datum",
            |b| _ = b["areas"][0].as_object_mut().unwrap().remove("datum"),
            Code::MissingField,
        ),
        ("an unknown member", |b| b["scope"] = json!("Public"), Code::UnknownField),
        (
            "a person's number",
            |b| b["info"][0]["description"] = json!("11010519491231002X"),
            Code::NaturalPersonId,
        ),
        ("another status than the header's", |b| b["status"] = json!("test"), Code::HeaderMismatch),
        (
            "another urgency than the header's",
            |b| b["info"][0]["urgency"] = json!("immediate"),
            Code::HeaderMismatch,
        ),
    ];
    let mut city = City::with(&state());
    let good = body("A1", "a1");
    let mut table = Table::default();
    for (what, change, code) in rows {
        let filed = forced(file("A1", &good), &with(&good, change));
        table.refused(what, city.attempt(|city| city.submit("A1/clerk1", filed)), *code);
    }
    table.row("the alert itself", city.submit("A1/clerk1", file("A1", &good)), Ok(()));
    table.end(rows.len() + 1);
}

#[test]
fn what_the_ledger_knows_is_held_against_an_alert() {
    let mut city = City::with(&state());
    let mut table = Table::default();
    let changed = |change: &dyn Fn(&mut Value)| file("A1", &with(&body("A1", "x"), |body| change(body)));
    let dated = |sent: &'static str, expires: &'static str| {
        changed(&move |body| {
            body["sent"] = json!(sent);
            body["info"][0]["expires"] = json!(expires);
            body["info"][0].as_object_mut().unwrap().remove("onset");
        })
    };
    let mut submit = |city: &mut City, what: &str, filed: Filed, want: Result<(), Code>| {
        let got = match want {
            Ok(()) => city.submit("A1/clerk1", filed),
            Err(_) => city.attempt(|city| city.submit("A1/clerk1", filed)),
        };
        table.row(what, got, want);
    };
    let order = Err(Code::DateOrder);
    submit(
        &mut city,
        "sent in the future",
        dated("2026-05-06T09:02:01+08:00", "2026-05-06T20:00:00+08:00"),
        order,
    );
    submit(&mut city, "over already", dated("2026-05-06T08:00:00+08:00", "2026-05-06T09:00:00+08:00"), order);
    submit(&mut city, "over before it was sent", dated(START, "2026-05-06T08:59:59+08:00"), order);
    submit(&mut city, "longer than 31 days", dated(START, "2026-06-06T09:00:01+08:00"), order);
    let elsewhere = dated(START, "2026-05-06T20:00:00Z");
    submit(&mut city, "a day of another zone", elsewhere, Err(Code::HeaderMismatch));
    let mut no_end = changed(&|_| {});
    no_end.header.effective_to = None;
    submit(&mut city, "a header without end", no_end, Err(Code::HeaderMismatch));
    let mut wrong = changed(&|_| {});
    wrong.header.details = Details::None;
    submit(&mut city, "a header without details", wrong, Err(Code::SchemaInvalid));
    let mut unnumbered = changed(&|_| {});
    unnumbered.header.natural_key = None;
    submit(&mut city, "a header without number", unnumbered, Err(Code::MissingField));
    let own = effective(&mut city, "A1", &body("A1", "a1"));
    let theirs = effective(&mut city, "A2", &body("A2", "a1"));
    let drill =
        effective(&mut city, "A1", &with(&body("A1", "d1"), |body| body["status"] = json!("exercise")));
    let alone =
        with(&later("A1", "u0", "cancel", &[own]), |body| body["info"][0]["urgency"] = json!("immediate"));
    let mut bent = file("A1", &alone);
    let Details::Alert(details) = &mut bent.header.details else { panic!("details of an alert") };
    details.immediate = true;
    submit(&mut city, "G12: called off by one officer", bent, Err(Code::BadParameter));
    submit(&mut city, "a cancellation that is in a hurry", file("A1", &alone), Ok(()));
    assert_eq!(city.status(own), "effective", "it waits for a supervisor");
    let licence = city.effective_licence("1");
    let about = |kind: &str, about: &[RecordId]| file("A1", &later("A1", "u1", kind, about));
    submit(&mut city, "an update of nothing", about("update", &[]), Err(Code::MissingField));
    submit(&mut city, "a cancellation of nothing", about("cancel", &[]), Err(Code::MissingField));
    submit(&mut city, "a first alert about another", about("alert", &[own]), Err(Code::BadParameter));
    submit(&mut city, "of another sender", about("update", &[theirs]), Err(Code::AgencyNotCompetent));
    // A test alert can never be shown as actual, nor call an actual one off.
    submit(&mut city, "actual after an exercise", about("update", &[drill]), Err(Code::AlertStatusDiffers));
    let cancel = with(&later("A1", "u2", "cancel", &[own]), |body| body["status"] = json!("test"));
    submit(&mut city, "a test calls off an actual one", file("A1", &cancel), Err(Code::AlertStatusDiffers));
    submit(&mut city, "about no alert", about("update", &[licence]), Err(Code::ReferenceNotFound));
    submit(&mut city, "the number again", file("A1", &with(&body("A1", "a1"), |_| {})), Ok(()));
    let filed = file_of("A1", RecordType::Alert, Class::P0, "other key", &body("A1", "a1")).unwrap();
    submit(&mut city, "the number under another key", filed, Err(Code::DuplicateNaturalKey));
    let hidden = file_of("A1", RecordType::Alert, Class::P2, "hidden", &body("A1", "h1")).unwrap();
    submit(&mut city, "an alert that nobody sees", hidden, Err(Code::ClassNotPermitted));
    table.end(20);

    let mut table = Table::default();
    let filed = || file("A1", &body("A1", "r1"));
    for (post, code) in [
        ("A1/supervisor1", Code::RoleNotAllowed),
        ("A1/council1", Code::RoleNotAllowed),
        ("A2/clerk1", Code::AgencyNotCompetent),
    ] {
        table.refused(post, city.attempt(|city| city.submit(post, filed())), code);
    }
    let (operation, body, _) = filed().amend(chain_core::operation::AmendReason::Clerical);
    table.refused(
        "amended",
        city.attempt(|city| city.send_with("A1/clerk1", operation, body)),
        Code::RecordNotFound,
    );
    // G1: the legal basis must allow alerts.
    let mut other = filed();
    other.header.legal_basis =
        Some(chain_core::record::BasisRef { id: "food-safety".to_owned(), version: 1 });
    table.refused("G1", city.attempt(|city| city.submit("A1/clerk1", other)), Code::TypeNotPermittedByBasis);
    let mut none = filed();
    none.header.legal_basis = None;
    table.refused("no basis", city.attempt(|city| city.submit("A1/clerk1", none)), Code::LegalBasisMissing);
    city.tick("2026-05-06T20:00:01+08:00");
    let over = with(&later("A1", "u3", "update", &[own]), |body| {
        body["info"][0]["expires"] = json!("2026-05-06T23:00:00+08:00");
    });
    table.refused(
        "of one that is over",
        city.attempt(|city| city.submit("A1/clerk1", file("A1", &over))),
        Code::BadState,
    );
    table.end(7);
}
