//! Who approves what, and in which order.

use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::operation::{Effect, Operation, RevokeReason};
use chain_core::record::{BasisRef, RecordType};
use serde_json::json;

use crate::city::{
    City, agency, filing, fingerprint_body, licence, licence_body, penalty, penalty_filing, penalty_with,
};

#[test]
fn a_licence_becomes_effective_by_a_supervisor() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", licence("1")).unwrap().record;
    assert_eq!(city.status(record), "submitted");
    assert_eq!(city.countersign("A1/clerk1", record), Err(Code::SamePerson));
    assert_eq!(city.countersign("A1/clerk2", record), Err(Code::RoleNotAllowed));
    assert_eq!(city.countersign("A1/legal1", record), Err(Code::RoleNotAllowed));
    assert_eq!(city.countersign("A1/council1", record), Err(Code::RoleNotAllowed));
    assert_eq!(city.countersign("A2/supervisor1", record), Err(Code::AgencyNotCompetent));
    assert_eq!(city.countersign("A2/council1", record), Err(Code::AgencyNotCompetent));
    assert_eq!(city.status(record), "submitted");
    let accepted = city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!((accepted.version, accepted.duplicate), (1, false));
    assert_eq!(city.status(record), "effective");
    assert_eq!(city.countersign("A1/supervisor2", record), Err(Code::BadState));
}

#[test]
fn a_penalty_needs_the_second_officer_and_a_supervisor() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    assert_eq!(city.countersign("A1/clerk1", record), Err(Code::SamePerson));
    // A clerk who is not named as an officer.
    assert_eq!(city.countersign("A1/clerk3", record), Err(Code::RoleNotAllowed));
    city.countersign("A1/clerk2", record).unwrap();
    assert_eq!(city.status(record), "submitted");
    assert_eq!(city.countersign("A1/clerk2", record), Err(Code::SamePerson));
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.status(record), "effective");
}

#[test]
fn grave_and_heard_cases_need_legal_review() {
    for change in ["severity", "hearing"] {
        let mut city = City::new();
        let value = if change == "severity" { "serious" } else { "held" };
        let filed = penalty_with("1", |body| body[change] = json!(value));
        let record = city.submit("A1/clerk1", filed).unwrap().record;
        city.countersign("A1/supervisor1", record).unwrap();
        // The supervisor's approval is given: a second supervisor has nothing to add.
        assert_eq!(city.countersign("A1/supervisor2", record), Err(Code::RoleNotAllowed));
        city.countersign("A1/clerk2", record).unwrap();
        assert_eq!(city.status(record), "submitted", "{change}");
        city.countersign("A1/legal1", record).unwrap();
        assert_eq!(city.status(record), "effective", "{change}");
    }
}

#[test]
fn a_basis_may_ask_for_legal_review() {
    let mut city = City::new();
    let legal_basis = Some(BasisRef { id: "strict".to_owned(), version: 1 });
    let filing = chain_core::build::Filing { legal_basis, ..filing(RecordType::Licence, "1") };
    let filed = chain_core::build::file(&filing, &licence_body("1").to_string()).unwrap();
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.status(record), "submitted");
    city.countersign("A1/legal1", record).unwrap();
    assert_eq!(city.status(record), "effective");
}

#[test]
fn an_approval_names_what_it_approves() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", licence("1")).unwrap().record;
    let digest = city.head(record).current.header_digest;
    let countersign = |version, header_digest| Operation::Countersign { record, version, header_digest };
    let stale = countersign(1, Digest::ZERO);
    assert_eq!(city.send("A1/supervisor1", stale), Err(Code::StaleDigest));
    assert_eq!(city.send("A1/supervisor1", countersign(2, digest)), Err(Code::VersionConflict));
    let unknown = Operation::Countersign {
        record: chain_core::id::RecordId::new(Digest::ZERO),
        version: 1,
        header_digest: digest,
    };
    assert_eq!(city.send("A1/supervisor1", unknown), Err(Code::RecordNotFound));
    assert!(city.send("A1/supervisor1", countersign(1, digest)).is_ok());
}

#[test]
fn a_fact_is_effective_at_once_unless_a_notary_is_named() {
    let mut city = City::new();
    let filing = chain_core::build::Filing {
        class: chain_core::record::Class::P0,
        ..filing(RecordType::DocFingerprint, "1")
    };
    let filed = chain_core::build::file(&filing, &fingerprint_body().to_string()).unwrap();
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    assert_eq!(city.status(record), "effective");

    let mut body = fingerprint_body();
    body["notary"] = json!(agency("N").to_string());
    let filing = chain_core::build::Filing { idempotency_key: "2", ..filing };
    let filed = chain_core::build::file(&filing, &body.to_string()).unwrap();
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    assert_eq!(city.status(record), "submitted");
    assert_eq!(city.countersign("A1/supervisor1", record), Err(Code::RoleNotAllowed));
    assert_eq!(city.countersign("A2/supervisor1", record), Err(Code::AgencyNotCompetent));
    city.countersign("N/clerk1", record).unwrap();
    assert_eq!(city.status(record), "effective");
}

#[test]
fn an_approver_may_reject_and_the_number_is_free_again() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", licence("1")).unwrap().record;
    let reject = |reason: &str| Operation::Reject {
        record,
        version: 1,
        header_digest: None,
        reason: reason.to_owned(),
    };
    assert_eq!(city.send("A1/supervisor1", reject("")), Err(Code::ReasonRequired));
    assert_eq!(city.send("A1/clerk1", reject("no")), Err(Code::SamePerson));
    assert_eq!(city.send("A1/clerk2", reject("no")), Err(Code::RoleNotAllowed));
    assert_eq!(city.send("A2/supervisor1", reject("no")), Err(Code::AgencyNotCompetent));
    let stale =
        Operation::Reject { record, version: 1, header_digest: Some(Digest::ZERO), reason: "no".to_owned() };
    assert_eq!(city.send("A1/supervisor1", stale), Err(Code::StaleDigest));
    city.send("A1/supervisor1", reject("the address is wrong")).unwrap();
    assert_eq!(city.status(record), "rejected");
    assert_eq!(city.countersign("A1/supervisor2", record), Err(Code::BadState));
    // Filed again under a new key with the same decision number.
    let again =
        chain_core::build::file(&filing(RecordType::Licence, "1-corrected"), &licence_body("1").to_string());
    assert!(city.submit("A1/clerk1", again.unwrap()).is_ok());
}

#[test]
fn the_filing_clerk_alone_withdraws_and_only_before_the_decision() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", licence("1")).unwrap().record;
    let withdraw = Operation::Withdraw { record, version: 1 };
    assert_eq!(city.send("A1/clerk2", withdraw.clone()), Err(Code::RoleNotAllowed));
    assert_eq!(city.send("A1/supervisor1", withdraw.clone()), Err(Code::RoleNotAllowed));
    city.send("A1/clerk1", withdraw.clone()).unwrap();
    assert_eq!(city.status(record), "withdrawn");
    assert_eq!(city.send("A1/clerk1", withdraw), Err(Code::BadState));

    let effective = city.effective_licence("2");
    let late = Operation::Withdraw { record: effective, version: 1 };
    assert_eq!(city.send("A1/clerk1", late), Err(Code::BadState));
}

fn revoke(record: chain_core::id::RecordId) -> Operation {
    Operation::Revoke {
        record,
        version: 1,
        reason: RevokeReason::Revoked,
        effect: Effect::FromNow,
        note: "file 12/2026".to_owned(),
    }
}

#[test]
fn revoking_takes_a_supervisor_and_a_legal_reviewer() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    assert_eq!(city.send("A1/clerk1", revoke(record)), Err(Code::RoleNotAllowed));
    assert_eq!(city.send("A1/legal1", revoke(record)), Err(Code::RoleNotAllowed));
    assert_eq!(city.send("A2/supervisor1", revoke(record)), Err(Code::AgencyNotCompetent));
    city.send("A1/supervisor1", revoke(record)).unwrap();
    assert_eq!(city.status(record), "effective");
    assert_eq!(city.send("A1/supervisor2", revoke(record)), Err(Code::BadState));
    assert_eq!(city.countersign("A1/supervisor2", record), Err(Code::RoleNotAllowed));
    // The header's digest is not what waits for approval.
    let head = city.head(record);
    let old = Operation::Countersign { record, version: 1, header_digest: head.current.header_digest };
    assert_eq!(city.send("A1/legal1", old), Err(Code::BadState));
    let stale = Operation::Countersign { record, version: 1, header_digest: Digest::ZERO };
    assert_eq!(city.send("A1/legal1", stale), Err(Code::StaleDigest));
    city.countersign("A1/legal1", record).unwrap();
    let head = city.head(record);
    assert_eq!(head.current.status.name(), "revoked");
    assert_eq!(head.flags.names(), ["publication_stopped"]);
    assert_eq!(city.send("A1/supervisor1", revoke(record)), Err(Code::BadState));
}

#[test]
fn a_pending_revocation_may_be_rejected() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    city.send("A1/supervisor1", revoke(record)).unwrap();
    let digest = city.head(record).pending.unwrap().digest;
    let reject = Operation::Reject {
        record,
        version: 1,
        header_digest: Some(digest),
        reason: "no ground in law".to_owned(),
    };
    assert_eq!(city.send("A1/clerk1", reject.clone()), Err(Code::RoleNotAllowed));
    city.send("A1/legal1", reject).unwrap();
    let head = city.head(record);
    assert_eq!((head.current.status.name(), head.pending), ("effective", None));
}

#[test]
fn a_fact_is_invalidated_by_a_supervisor() {
    let mut city = City::new();
    let filing = chain_core::build::Filing {
        class: chain_core::record::Class::P0,
        ..filing(RecordType::DocFingerprint, "1")
    };
    let filed = chain_core::build::file(&filing, &fingerprint_body().to_string()).unwrap();
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    city.send("A1/supervisor1", revoke(record)).unwrap();
    assert_eq!(city.status(record), "revoked");
    let stop = Operation::StopPublication { record, version: 1, reason: "x".to_owned() };
    assert_eq!(city.send("A1/supervisor1", stop), Err(Code::BadState));
}

#[test]
fn suspend_resume_and_stop_follow_the_table_of_transitions() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "court order".to_owned() };
    let resume = Operation::Resume { record, version: 1 };
    let stop = Operation::StopPublication { record, version: 1, reason: "court order".to_owned() };
    for operation in [&suspend, &resume, &stop] {
        assert_eq!(city.send("A1/supervisor1", operation.clone()), Err(Code::BadState), "{operation:?}");
    }
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.send("A1/clerk1", suspend.clone()), Err(Code::RoleNotAllowed));
    city.send("A1/supervisor1", suspend.clone()).unwrap();
    assert_eq!(city.status(record), "suspended");
    assert_eq!(city.send("A1/supervisor1", suspend), Err(Code::BadState));
    city.send("A1/supervisor1", resume.clone()).unwrap();
    assert_eq!(city.status(record), "effective");
    assert_eq!(city.send("A1/supervisor1", resume), Err(Code::BadState));
    city.send("A1/supervisor1", stop.clone()).unwrap();
    assert_eq!(city.head(record).flags.names(), ["publication_stopped"]);
    assert_eq!(city.send("A1/supervisor1", stop), Err(Code::BadState));
}

#[test]
fn officers_of_a_penalty_are_clerks_of_the_agency() {
    use crate::city::{penalty_body, public};
    let mut city = City::new();
    for (officers, want) in [
        (vec![], Code::OfficersRequired),
        (vec![public("A1/clerk1")], Code::OfficersRequired),
        (vec![public("A1/clerk1"), public("A1/clerk1")], Code::OfficersRequired),
        (vec![public("A1/clerk2"), public("A1/clerk3")], Code::OfficersRequired),
        (vec![public("A1/clerk1"), public("A1/supervisor1")], Code::OfficersRequired),
        (vec![public("A1/clerk1"), public("A2/clerk1")], Code::OfficersRequired),
        (vec![public("A1/clerk1"), public("nobody")], Code::OfficersRequired),
    ] {
        let filing = chain_core::build::Filing { officers, ..penalty_filing("1") };
        let filed = chain_core::build::file(&filing, &penalty_body("1").to_string()).unwrap();
        assert_eq!(city.submit("A1/clerk1", filed), Err(want));
    }
}
