//! Devices and their keys: registered by two officers, put out of use by administrators, keys followed by keys.

use chain_core::code::Code;
use chain_core::execute::LedgerRead as _;
use chain_core::layout::Layout as _;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::record::device::KeyEventKind;
use chain_core::record::governance::Role;
use chain_core::record::{Details, Reference, Relation};
use chain_core::state::{DeviceEntry, key};
use serde_json::json;

use crate::city::{City, agency, penalty_body, penalty_filing, secret};
use crate::station::{
    HOUR, Station, basis, file_registration, genesis, readings, registration, registration_body,
};

#[test]
fn a_registration_takes_a_clerk_and_a_supervisor() {
    let mut city = City::with(&genesis());
    let filed = registration("D1", 1, &registration_body("D1", "D1/key1"));
    assert_eq!(city.submit("A1/supervisor1", filed.clone()), Err(Code::RoleNotAllowed));
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    assert_eq!(city.status(record), "submitted");
    assert_eq!(city.ledger.get(&key::device(&record)).unwrap(), None, "a device before the supervisor");
    city.countersign("A1/supervisor1", record).unwrap();
    let entry =
        DeviceEntry::from_canonical(&city.ledger.get(&key::device(&record)).unwrap().unwrap()).unwrap();
    assert_eq!((entry.agency, entry.details.streams.len()), (agency("A1"), 1));
    // The number is the agency's own, the key is nobody else's.
    let mut other = registration("other", 1, &registration_body("D1", "D1/key2"));
    assert_eq!(city.submit("A1/clerk1", other), Err(Code::DuplicateNaturalKey));
    other = registration("D2", 1, &registration_body("D2", "D1/key1"));
    assert_eq!(city.submit("A1/clerk1", other), Err(Code::KeyInUse));
    other = registration("D2", 1, &registration_body("D2", "A1/clerk2"));
    assert_eq!(city.submit("A1/clerk1", other), Err(Code::KeyInUse));
}

#[test]
fn what_a_registration_says_is_judged() {
    let mut city = City::with(&genesis());
    for (pointer, value, want) in [
        ("/personal_data", json!(true), Code::PersonalDataInClear),
        ("/personal_data", json!("no"), Code::SchemaInvalid),
        (
            "/place",
            json!({ "longitude_e7": 320_603_000, "latitude_e7": 1_187_969_000, "datum": "WGS84" }),
            Code::GeoOutOfArea,
        ),
        ("/place/datum", json!("ED50"), Code::SchemaInvalid),
        ("/streams", json!([]), Code::MissingField),
        ("/streams/0/unit", json!("µg"), Code::BadParameter),
        ("/streams/0/scale", json!(13), Code::BadNumber),
        ("/streams/0/scale", json!(300), Code::BadNumber),
        ("/streams/0/period_s", json!(0), Code::BadNumber),
        ("/streams/0/min", json!(20_000), Code::BadNumber),
        ("/streams/0/batch_within_s", json!(0), Code::BadNumber),
        ("/possession", json!("00".repeat(64)), Code::BadParameter),
        ("/verified_until", json!("2026-04-30"), Code::DateOrder),
        ("/model", json!(""), Code::MissingField),
    ] {
        let mut body = registration_body("D1", "D1/key1");
        *body.pointer_mut(pointer).unwrap() = value.clone();
        let filed = file_registration("D1", 1, &body).unwrap_or_else(|_| {
            // Our client makes no header of such a body; another one might.
            let mut filed = registration("D1", 1, &registration_body("D1", "D1/key1"));
            filed.body.json = chain_core::json::canonicalise(&body.to_string()).unwrap();
            filed.header.body_commit = Some(filed.body.commitment());
            filed
        });
        assert_eq!(city.submit("A1/clerk1", filed), Err(want), "{pointer} {value}");
    }
    let mut twice = registration_body("D1", "D1/key1");
    twice["streams"] = json!([twice["streams"][0], twice["streams"][0]]);
    assert_eq!(city.submit("A1/clerk1", registration("D1", 1, &twice)), Err(Code::BadParameter));
    // The public part says what the body says.
    let mut other = registration("D1", 1, &registration_body("D1", "D1/key1"));
    let Details::Device(details) = &mut other.header.details else { panic!() };
    details.streams[0].max = None;
    assert_eq!(city.submit("A1/clerk1", other), Err(Code::HeaderMismatch));
}

#[test]
fn an_amendment_keeps_key_and_terms() {
    let mut station = Station::new();
    let mut amend = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut body = registration_body("D1", "D1/key1");
        change(&mut body);
        let (operation, body, _) = registration("D1", 2, &body).amend(AmendReason::ChangeOnApplication);
        station.city.send_with("A1/clerk1", operation, body).map(|accepted| accepted.version)
    };
    assert_eq!(amend(&|body| body["streams"][0]["scale"] = json!(0)), Err(Code::NotAmendable));
    assert_eq!(amend(&|body| *body = registration_body("D1", "D1/key2")), Err(Code::NotAmendable));
    assert_eq!(amend(&|body| body["verified_until"] = json!("2027-10-31")), Ok(2));
    let device = station.device;
    station.city.countersign("A1/supervisor1", device).unwrap();
    station.hour(1).unwrap();
}

#[test]
fn administrators_put_a_device_out_of_use() {
    let mut station = Station::new();
    station.hour(1).unwrap();
    let record = station.device;
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "moved".to_owned() };
    assert_eq!(station.city.send("A1/clerk1", suspend.clone()), Err(Code::RoleNotAllowed));
    station.city.send("A1/admin1", suspend).unwrap();
    assert_eq!(station.hour(2), Err(Code::DeviceNotInForce));
    // Through the gateway no less.
    let sealed = station.seal(&readings("2026-05-06T02:00:00Z", &HOUR));
    assert_eq!(station.send("2026-05-06T03:00:00Z", "A1/gateway1", sealed), Err(Code::DeviceNotInForce));
    station.city.send("A1/admin1", Operation::Resume { record, version: 1 }).unwrap();
    station.city.countersign("A1/admin2", record).unwrap();
    station.hour(3).unwrap();
    let revoke = Operation::Revoke {
        record,
        version: 1,
        reason: RevokeReason::Ended,
        effect: Effect::FromNow,
        note: String::new(),
    };
    station.city.send("A1/admin1", revoke).unwrap();
    station.city.countersign("A1/admin2", record).unwrap();
    assert_eq!(station.hour(4), Err(Code::DeviceNotInForce));
}

#[test]
fn a_device_does_nothing_but_its_own() {
    let mut station = Station::new();
    let mut filed = registration("D2", 1, &registration_body("D2", "D2/key1"));
    assert_eq!(station.city.submit("D1/key1", filed.clone()), Err(Code::RoleNotAllowed));
    let second = station.city.submit("A1/clerk1", filed.clone()).unwrap().record;
    station.city.countersign("A1/supervisor1", second).unwrap();
    let sealed = station.seal(&readings("2026-05-06T01:00:00Z", &HOUR));
    assert_eq!(station.send("2026-05-06T02:00:00Z", "D2/key1", sealed), Err(Code::RoleNotAllowed));
    filed.header.details = Details::None;
    // The role comes with the registration alone.
    let mut member = crate::city::member_details("A1", "clerk7");
    member.role = Role::Device;
    assert_eq!(member.check(None).unwrap_err().code, Code::BadParameter);
    // A device's key is not a member's either.
    let mut details = crate::city::member_details("A1", "clerk7");
    details.key = crate::city::new_key("D1/key1");
    let chain = crate::city::chain().chain_id;
    details.key.possession = chain_core::record::governance::Possession::prove(chain, &secret("D1/key1"));
    let details = Details::Member(Box::new(details));
    let header = chain_core::build::governance_header(chain, &agency("A1"), b"k", "m", 1, details);
    let submit = Operation::Submit(Box::new(header));
    assert_eq!(station.city.send("A1/admin1", submit), Err(Code::KeyInUse));
}

#[test]
fn the_old_key_lets_a_new_one_follow() {
    let mut station = Station::new();
    station.hour(1).unwrap();
    let wrong = station.key_event(
        KeyEventKind::Rotate,
        Some("D1/key2"),
        "2026-05-06T03:00:00Z",
        Some(&secret("D2/key1")),
    );
    assert_eq!(station.city.send("D1/key1", wrong), Err(Code::BadSignature));
    let event =
        station.key_event(KeyEventKind::Rotate, Some("D1/key2"), "2026-05-06T03:00:00Z", Some(&station.key));
    station.city.send("D1/key1", event).unwrap();
    // Until then the old key counts, and the new one does not.
    let sealed = station.seal(&readings("2026-05-06T02:00:00Z", &HOUR));
    assert_eq!(station.send("2026-05-06T02:59:59Z", "D1/key2", sealed.clone()), Err(Code::KeyRetired));
    station.send("2026-05-06T02:59:59Z", "D1/key1", sealed).unwrap();
    let sealed = station.seal(&readings("2026-05-06T03:00:00Z", &HOUR));
    assert_eq!(station.send("2026-05-06T04:00:00Z", "D1/key1", sealed.clone()), Err(Code::KeyRetired));
    assert_eq!(station.send("2026-05-06T04:00:00Z", "A1/gateway1", sealed), Err(Code::KeyRetired));
    station.key = secret("D1/key2");
    let sealed = station.seal(&readings("2026-05-06T03:00:00Z", &HOUR));
    station.send("2026-05-06T04:00:00Z", "D1/key2", sealed).unwrap();
}

#[test]
fn a_key_event_without_the_old_key_takes_a_supervisor() {
    let mut station = Station::new();
    station.hour(1).unwrap();
    let proven =
        station.key_event(KeyEventKind::Compromised, None, "2026-05-06T02:00:00Z", Some(&station.key));
    assert_eq!(station.city.send("A1/clerk1", proven), Err(Code::BadParameter));
    let event = station.key_event(KeyEventKind::Compromised, Some("D1/key2"), "2026-05-06T09:00:00Z", None);
    let record = station.city.send("A1/clerk1", event).unwrap().record;
    assert_eq!(station.city.status(record), "submitted");
    station.hour(2).unwrap();
    station.city.countersign("A1/supervisor1", record).unwrap();
    // At once, whatever day it names.
    assert_eq!(station.hour(3), Err(Code::KeyRetired));
    station.key = secret("D1/key2");
    let sealed = station.seal(&readings("2026-05-06T03:00:00Z", &HOUR));
    station.send("2026-05-06T04:00:00Z", "D1/key2", sealed).unwrap();
    let none = station.key_event(KeyEventKind::Rotate, None, "2026-05-06T05:00:00Z", None);
    assert_eq!(station.city.send("A1/clerk1", none), Err(Code::BadParameter));
    // Of another agency nobody has a say.
    let event = station.key_event(KeyEventKind::Revoke, None, "2026-05-06T05:00:00Z", None);
    assert_eq!(station.city.send("A2/clerk1", event), Err(Code::AgencyNotCompetent));
}

#[test]
fn safeguard_g14_automatic_readings_are_evidence_within_verification_and_after_review() {
    let mut station = Station::new();
    let batch = station.hour(1).unwrap().record;
    let review = {
        let mut filing = crate::city::filing(chain_core::record::RecordType::DocFingerprint, "review");
        filing.class = chain_core::record::Class::P0;
        filing.legal_basis = basis("metrology");
        let body = crate::city::fingerprint_body().to_string();
        station.city.submit("A1/clerk1", chain_core::build::file(&filing, &body).unwrap()).unwrap().record
    };
    let penalty = |number: &str, refs: &[chain_core::id::RecordId]| {
        let mut filing = penalty_filing(number);
        filing.legal_basis = basis("metrology");
        filing.refs = refs.iter().map(|&record| Reference { rel: Relation::Evidence, record }).collect();
        chain_core::build::file(&filing, &penalty_body(number).to_string()).unwrap()
    };
    assert_eq!(station.city.submit("A1/clerk1", penalty("1", &[batch])), Err(Code::ReviewMissing));
    station.city.submit("A1/clerk1", penalty("2", &[batch, review])).unwrap();
    // The verification of the device ends on 31 October.
    let sealed = station.seal(&readings("2026-11-01T01:00:00Z", &HOUR));
    let late = station.send("2026-11-01T02:00:00Z", "D1/key1", sealed).unwrap().record;
    assert_eq!(station.city.submit("A1/clerk1", penalty("3", &[late, review])), Err(Code::DeviceUnverified));
    // What stands between the penalty and the readings does not help: a document that rests on them.
    let mut through = crate::city::filing(chain_core::record::RecordType::DocFingerprint, "report");
    through.class = chain_core::record::Class::P0;
    through.legal_basis = basis("metrology");
    through.refs = vec![Reference { rel: Relation::Evidence, record: late }];
    let mut body = crate::city::fingerprint_body();
    body["size"] = 4_097.into();
    let report = chain_core::build::file(&through, &body.to_string()).unwrap();
    let report = station.city.submit("A1/clerk1", report).unwrap().record;
    assert_eq!(
        station.city.submit("A1/clerk1", penalty("4", &[report, review])),
        Err(Code::DeviceUnverified)
    );
}
