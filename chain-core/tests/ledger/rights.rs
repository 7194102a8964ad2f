//! Who may act at all, and in whose name.

use chain_core::build::{self, Filing};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::operation::Operation;
use chain_core::record::governance::{AgencyDetails, MemberDetails};
use chain_core::record::{Class, RecordType};

use crate::city::{
    City, agency, agency_details, date, decision_body, filing, fingerprint_body, genesis, licence,
    licence_body, member_details,
};

#[test]
fn only_members_in_office_of_agencies_in_force_act() {
    let mut genesis = genesis();
    let office = |post, from: &str, to: Option<&str>| MemberDetails {
        from: date(from),
        to: to.map(date),
        ..member_details("A1", post)
    };
    genesis.members.push(office("clerk7", "2020-01-01", Some("2026-05-05")));
    genesis.members.push(office("clerk8", "2026-05-07", None));
    genesis.members.push(office("clerk9", "2026-05-06", Some("2026-05-06")));
    let types = [RecordType::Licence];
    let ended = AgencyDetails { to: Some(date("2026-01-01")), ..agency_details("X", &types) };
    genesis.agencies.push(ended);
    genesis.members.push(member_details("X", "clerk1"));
    let mut city = City::with(&genesis);
    for (post, want) in [
        ("stranger", Err(Code::UnknownAuthor)),
        ("A1/clerk7", Err(Code::MemberSuspended)),
        ("A1/clerk8", Err(Code::MemberSuspended)),
        ("X/clerk1", Err(Code::AgencySuspended)),
        ("A1/clerk9", Ok(())),
    ] {
        assert_eq!(city.submit(post, licence(post)).map(|_| ()), want, "{post}");
    }
    // The last day in office has passed at local midnight, not at midnight UTC.
    city.at("2026-05-06T23:59:59+08:00");
    assert!(city.submit("A1/clerk9", licence("last")).is_ok());
    city.at("2026-05-07T00:00:00+08:00");
    assert_eq!(city.submit("A1/clerk9", licence("late")), Err(Code::MemberSuspended));
}

#[test]
fn no_agency_writes_in_the_name_of_another() {
    let mut city = City::new();
    assert_eq!(city.submit("A2/clerk1", licence("1")), Err(Code::AgencyNotCompetent));
    // Nor hides another acting agency in the body.
    let mut body = licence_body("1");
    body["issuer"] = agency("A2").to_string().into();
    let filed = build::file(&filing(RecordType::Licence, "1"), &body.to_string()).unwrap();
    assert_eq!(city.submit("A1/clerk1", filed), Err(Code::AgencyNotCompetent));
    // Nor takes a record id that is not its own.
    let mut filed = licence("1");
    filed.header.agency = agency("A2");
    assert_eq!(city.submit("A2/clerk1", filed), Err(Code::BadParameter));
}

#[test]
fn an_agency_files_only_the_types_it_was_granted() {
    let mut city = City::new();
    let filing = Filing { agency: agency("N"), ..filing(RecordType::Licence, "1") };
    let filed = build::file(&filing, &licence_body("1").to_string()).unwrap();
    assert_eq!(city.submit("N/clerk1", filed), Err(Code::AgencyNotCompetent));
    let filing = Filing { record_type: RecordType::DocFingerprint, class: Class::P0, ..filing };
    let filing = Filing { subject_kind: chain_core::record::SubjectKind::None, ..filing };
    let filed = build::file(&filing, &fingerprint_body().to_string()).unwrap();
    assert!(city.submit("N/clerk1", filed).is_ok());
}

#[test]
fn clerks_submit_and_nobody_else() {
    let mut city = City::new();
    for post in ["supervisor1", "legal1", "admin1", "council1"] {
        let post = format!("A1/{post}");
        assert_eq!(city.submit(&post, licence("1")), Err(Code::RoleNotAllowed), "{post}");
    }
    let filed = build::file(&filing(RecordType::Decision, "1"), &decision_body("1").to_string()).unwrap();
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.status(record), "effective");
}

#[test]
fn a_step_on_a_record_that_does_not_exist_is_refused() {
    let mut city = City::new();
    let record = chain_core::id::RecordId::new(Digest::ZERO);
    for operation in [
        Operation::Resume { record, version: 1 },
        Operation::Withdraw { record, version: 1 },
        Operation::StopPublication { record, version: 1, reason: "x".to_owned() },
        Operation::Reject { record, version: 1, header_digest: None, reason: "x".to_owned() },
    ] {
        assert_eq!(city.send("A1/supervisor1", operation), Err(Code::RecordNotFound));
    }
}
