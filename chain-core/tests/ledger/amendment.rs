//! New versions of a record.

use chain_core::build::{self, Filed, Filing};
use chain_core::code::Code;
use chain_core::operation::{AmendReason, Operation};
use chain_core::record::{Class, RecordType};
use serde_json::json;

use crate::city::{Accepted, City, decision_body, filing, fingerprint_body, licence_body};

fn version(key: &str, version: u32, number: &str, certificate: &str) -> Filed {
    let mut body = licence_body(number);
    body["certificate_no"] = json!(certificate);
    let filing = Filing { version, ..filing(RecordType::Licence, key) };
    build::file(&filing, &body.to_string()).unwrap()
}

fn amend(city: &mut City, post: &str, filed: Filed) -> Result<Accepted, Code> {
    let (operation, body, _) = filed.amend(AmendReason::Clerical);
    city.send_with(post, operation, body)
}

#[test]
fn the_old_version_holds_until_the_new_one_is_effective() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", version("1", 1, "1", "a")).unwrap().record;
    assert_eq!(amend(&mut city, "A1/clerk1", version("1", 2, "1", "b")), Err(Code::BadState));
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(amend(&mut city, "A2/clerk1", version("1", 2, "1", "b")), Err(Code::AgencyNotCompetent));
    assert_eq!(amend(&mut city, "A1/supervisor1", version("1", 2, "1", "b")), Err(Code::RoleNotAllowed));
    assert_eq!(amend(&mut city, "A1/clerk1", version("1", 3, "1", "b")), Err(Code::VersionConflict));
    let amended = amend(&mut city, "A1/clerk1", version("1", 2, "1", "b")).unwrap();
    assert_eq!((amended.version, amended.duplicate), (2, false));
    let head = city.head(record);
    assert_eq!((head.current.version, head.current.status.name()), (1, "effective"));
    // A retry is the same amendment; another one has to wait.
    assert!(amend(&mut city, "A1/clerk1", version("1", 2, "1", "b")).unwrap().duplicate);
    assert_eq!(amend(&mut city, "A1/clerk1", version("1", 2, "1", "c")), Err(Code::BadState));

    assert_eq!(city.countersign("A1/clerk1", record), Err(Code::SamePerson));
    city.countersign("A1/supervisor1", record).unwrap();
    let head = city.head(record);
    assert_eq!((head.current.version, head.current.status.name(), head.next), (2, "effective", None));
    assert!(amend(&mut city, "A1/clerk1", version("1", 2, "1", "b")).unwrap().duplicate);
    // The first submission repeated still is the first record.
    assert!(city.submit("A1/clerk1", version("1", 1, "1", "a")).unwrap().duplicate);
}

#[test]
fn a_rejected_amendment_leaves_the_record_as_it_was() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", version("1", 1, "1", "a")).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    amend(&mut city, "A1/clerk1", version("1", 2, "2", "b")).unwrap();
    // Both numbers are taken while the amendment waits.
    assert_eq!(city.submit("A1/clerk1", version("x", 1, "2", "c")), Err(Code::DuplicateNaturalKey));
    assert_eq!(city.submit("A1/clerk1", version("x", 1, "1", "c")), Err(Code::DuplicateNaturalKey));
    let reject =
        Operation::Reject { record, version: 2, header_digest: None, reason: "no ground".to_owned() };
    city.send("A1/supervisor1", reject).unwrap();
    let head = city.head(record);
    assert_eq!((head.current.version, head.current.status.name(), head.next), (1, "effective", None));
    assert_eq!(city.submit("A1/clerk1", version("x", 1, "1", "c")), Err(Code::DuplicateNaturalKey));
    assert!(city.submit("A1/clerk1", version("x", 1, "2", "c")).is_ok());
}

#[test]
fn a_corrected_number_frees_the_old_one() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", version("1", 1, "1", "a")).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    amend(&mut city, "A1/clerk1", version("1", 2, "2", "a")).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.submit("A1/clerk1", version("x", 1, "2", "c")), Err(Code::DuplicateNaturalKey));
    assert!(city.submit("A1/clerk1", version("x", 1, "1", "c")).is_ok());
}

#[test]
fn facts_are_not_amended() {
    let mut city = City::new();
    let filing = Filing { class: Class::P0, ..filing(RecordType::DocFingerprint, "1") };
    let file = |version| {
        let filing = Filing { version, ..filing.clone() };
        build::file(&filing, &fingerprint_body().to_string()).unwrap()
    };
    city.submit("A1/clerk1", file(1)).unwrap();
    assert_eq!(amend(&mut city, "A1/clerk1", file(2)), Err(Code::NotAmendable));
}

#[test]
fn an_amendment_is_of_the_same_class_and_type() {
    let mut city = City::new();
    let decision = |version| {
        let filing = Filing { version, ..filing(RecordType::Decision, "1") };
        build::file(&filing, &decision_body("1").to_string()).unwrap()
    };
    let record = city.submit("A1/clerk1", decision(1)).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    assert!(amend(&mut city, "A1/clerk1", decision(2)).is_ok());

    let record = city.submit("A1/clerk1", version("1", 1, "1", "a")).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    let mut other = version("1", 2, "1", "a");
    other.header.class = Class::P3;
    other.header.subject_kind = chain_core::record::SubjectKind::Person;
    assert_eq!(amend(&mut city, "A1/clerk1", other), Err(Code::ClassNotPermitted));
}
