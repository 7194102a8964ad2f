//! Procurements: releases from planning to implementation, chained by ocid, with separated duties (OCDS 1.1).

use chain_core::build::Filed;
use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::operation::{Effect, Operation, RevokeReason};
use chain_core::record::egov::procurement::ReleaseTag;
use chain_core::record::{Class, Details, RecordType};
use serde_json::{Value, json};

use crate::city::{City, agency};
use crate::timeline::check_replay;
use crate::town::{Table, file, file_of, forced, origin, state, text, with};

const OCID: &str = "ocds-213czf-000-00001";
const HUAWEI: &str = "uscc:914403001922038216";

fn body(release: &str, tags: &[&str], previous: Option<RecordId>) -> Value {
    let mut body = json!({
        "ocid": OCID, "release_id": release, "tags": tags, "date": "2026-05-06T08:00:00+08:00",
        "title": text("道路照明改造工程"), "buyer": agency("A1").to_string(), "method": "open", "status": "active",
        "value": { "currency": "CNY", "minor": 100_000_000 },
        "package": chain_core::crypto::Digest::tagged(b"package", &[release.as_bytes()]).to_string(),
        "documents": [{
            "sha256": chain_core::crypto::Digest::tagged(b"document", &[]).to_string(), "size": 10,
            "media_type": "application/pdf", "name": "notice.pdf", "class": "P0",
        }],
        "origin": origin(),
    });
    if tags.iter().any(|tag| ["award", "contract", "implementation"].contains(tag)) {
        body["suppliers"] = json!([HUAWEI]);
    }
    if let Some(previous) = previous {
        body["previous"] = json!(previous);
    }
    body
}

fn release(name: &str, tags: &[&str], previous: Option<RecordId>) -> Filed {
    file(RecordType::Procurement, Class::P0, name, &body(name, tags, previous)).unwrap()
}

/// A process that has come to the contract: planning and tender by clerk 1, award and contract by clerk 2.
fn contracted(city: &mut City) -> [RecordId; 4] {
    let planning = city.submit("A1/clerk1", release("r1", &["planning"], None)).unwrap().record;
    let tender = city.submit("A1/clerk1", release("r2", &["tender"], Some(planning))).unwrap().record;
    let award = city.submit("A1/clerk2", release("r3", &["award"], Some(tender))).unwrap().record;
    city.countersign("A1/supervisor1", award).unwrap();
    let contract = city.submit("A1/clerk2", release("r4", &["contract"], Some(award))).unwrap().record;
    city.countersign("A1/supervisor1", contract).unwrap();
    [planning, tender, award, contract]
}

fn revoke(record: RecordId) -> Operation {
    let (reason, effect) = (RevokeReason::Unlawful, Effect::FromNow);
    Operation::Revoke { record, version: 1, reason, effect, note: String::new() }
}

#[test]
fn a_procurement_goes_from_planning_to_implementation_release_by_release() {
    let mut city = City::with(&state());
    let [planning, tender, award, contract] = contracted(&mut city);
    let last = city.submit("A1/clerk1", release("r5", &["implementation"], Some(contract))).unwrap().record;
    for record in [planning, tender, award, contract, last] {
        assert_eq!(city.status(record), "effective");
        check_replay(&city, record);
    }
    let header = release("r2", &["tender"], Some(planning)).header;
    let shown = serde_json::to_string(&header).unwrap();
    assert!(!shown.contains("000-00001"), "the ocid stands in the body alone: {shown}");
}

#[test]
fn award_and_contract_wait_for_a_supervisor_and_nobody_does_two_duties() {
    let mut city = City::with(&state());
    let planning = city.submit("A1/clerk1", release("r1", &["planning"], None)).unwrap().record;
    let tender = city.submit("A1/clerk1", release("r2", &["tender"], Some(planning))).unwrap().record;
    let mut table = Table::default();
    let award = |city: &mut City, post: &str| city.submit(post, release("r3", &["award"], Some(tender)));
    table.refused(
        "G12: the clerk of the tender awards",
        city.attempt(|city| award(city, "A1/clerk1")),
        Code::SamePerson,
    );
    let both = release("r0", &["tender", "award"], Some(tender));
    table.refused(
        "tender and award in one release",
        city.attempt(|city| city.submit("A1/clerk2", both)),
        Code::SamePerson,
    );
    let filed = award(&mut city, "A1/clerk2").unwrap().record;
    assert_eq!(city.status(filed), "submitted");
    table.refused(
        "G12: its clerk approves it",
        city.attempt(|city| city.countersign("A1/clerk2", filed)),
        Code::SamePerson,
    );
    table.refused(
        "another clerk approves it",
        city.attempt(|city| city.countersign("A1/clerk1", filed)),
        Code::RoleNotAllowed,
    );
    let early = release("r4", &["contract"], Some(tender));
    table.refused(
        "a contract on an award that waits",
        city.attempt(|city| city.submit("A1/clerk2", early)),
        Code::ReleaseOrder,
    );
    city.countersign("A1/supervisor1", filed).unwrap();
    let contract = city.submit("A1/clerk2", release("r4", &["contract"], Some(filed))).unwrap().record;
    assert_eq!(city.status(contract), "submitted");
    city.countersign("A1/supervisor1", contract).unwrap();
    let accept = || release("r5", &["implementation"], Some(contract));
    table.refused(
        "who signed accepts",
        city.attempt(|city| city.submit("A1/clerk2", accept())),
        Code::SamePerson,
    );
    table.row("another one accepts", city.submit("A1/clerk3", accept()), Ok(()));
    table.end(7);
}

#[test]
fn releases_follow_one_another_without_a_fork_in_the_order_of_the_stages() {
    let mut city = City::with(&state());
    let mut table = Table::default();
    let submit = |city: &mut City, filed: Filed| city.submit("A1/clerk3", filed);
    for tag in ReleaseTag::ALL.iter().filter(|tag| tag.wants().is_some()) {
        let mut first = body(tag.name(), &[tag.name()], None);
        if *tag == ReleaseTag::TenderCancellation {
            first["status"] = json!("cancelled");
        }
        let filed = file(RecordType::Procurement, Class::P0, tag.name(), &first).unwrap();
        table.refused(tag.name(), city.attempt(|city| submit(city, filed)), Code::ReleaseOrder);
    }
    let [_, tender, award, contract] = contracted(&mut city);
    table.refused(
        "no previous",
        city.attempt(|city| submit(city, release("x1", &["tenderUpdate"], None))),
        Code::ReleaseOrder,
    );
    let fork = release("x2", &["awardUpdate"], Some(award));
    table.refused("a fork", city.attempt(|city| submit(city, fork)), Code::ReleaseOrder);
    let old = with(&body("x3", &["contractUpdate"], Some(contract)), |body| {
        body["date"] = json!("2026-05-06T07:59:59+08:00");
    });
    let old = file(RecordType::Procurement, Class::P0, "x3", &old).unwrap();
    table.refused("dated before the last one", city.attempt(|city| submit(city, old)), Code::DateOrder);
    let future = with(&body("x4", &["contractUpdate"], Some(contract)), |body| {
        body["date"] = json!("2026-05-06T09:02:01+08:00");
    });
    let future = file(RecordType::Procurement, Class::P0, "x4", &future).unwrap();
    table.refused("dated after block time", city.attempt(|city| submit(city, future)), Code::DateOrder);
    let licence = city.effective_licence("1");
    let other = release("x5", &["contractUpdate"], Some(licence));
    table.refused("after another type", city.attempt(|city| submit(city, other)), Code::ReferenceNotFound);
    // Two releases wait for approval after the same one: the second to be approved is overtaken.
    let one = submit(&mut city, release("y1", &["contractAmendment"], Some(contract))).unwrap().record;
    let two = submit(&mut city, release("y2", &["contractAmendment"], Some(contract))).unwrap().record;
    city.countersign("A1/supervisor1", one).unwrap();
    table.refused(
        "overtaken",
        city.attempt(|city| city.countersign("A1/supervisor1", two)),
        Code::ReleaseOrder,
    );
    // What rests on an invalidated contract stops there.
    city.send("A1/supervisor1", revoke(contract)).unwrap();
    let after = release("z1", &["implementation"], Some(one));
    table.refused("after an invalid contract", city.attempt(|city| submit(city, after)), Code::ReleaseOrder);
    // The same number is another process with another buyer.
    let theirs =
        with(&body("r1", &["planning"], None), |body| body["buyer"] = json!(agency("A2").to_string()));
    let theirs = file_of("A2", RecordType::Procurement, Class::P0, "r1", &theirs).unwrap();
    table.row("another buyer's", city.submit("A2/clerk1", theirs), Ok(()));
    let number = file(RecordType::Procurement, Class::P0, "again", &body("y1", &["awardUpdate"], Some(one)));
    table.refused(
        "a number twice",
        city.attempt(|city| submit(city, number.unwrap())),
        Code::DuplicateNaturalKey,
    );
    let unused = city.head(tender);
    assert_eq!(unused.current.status.name(), "effective");
    table.end(ReleaseTag::ALL.len() - 2 + 9);
}

#[test]
fn a_tender_that_is_called_off_ends_the_process_and_an_award_that_is_taken_back_does_not() {
    let mut city = City::with(&state());
    let [.., award, contract] = contracted(&mut city);
    let back =
        with(&body("b1", &["awardCancellation"], Some(contract)), |body| body["status"] = json!("cancelled"));
    let back = file(RecordType::Procurement, Class::P0, "b1", &back).unwrap();
    let back = city.submit("A1/clerk2", back).unwrap().record;
    city.countersign("A1/supervisor1", back).unwrap();
    let mut table = Table::default();
    let next = release("b2", &["contractUpdate"], Some(back));
    table.refused(
        "a contract without its award",
        city.attempt(|city| city.submit("A1/clerk2", next)),
        Code::ReleaseOrder,
    );
    let again = city.submit("A1/clerk3", release("b3", &["award"], Some(back))).unwrap().record;
    city.countersign("A1/supervisor1", again).unwrap();
    assert_eq!((city.status(award), city.status(again)), ("effective", "effective"));

    let mut city = City::with(&state());
    let tender = city.submit("A1/clerk1", release("r1", &["tender"], None)).unwrap().record;
    let off = with(&body("r2", &["tenderCancellation"], Some(tender)), |body| {
        body["status"] = json!("unsuccessful")
    });
    let off = file(RecordType::Procurement, Class::P0, "r2", &off).unwrap();
    let off = city.submit("A1/clerk1", off).unwrap().record;
    let after = release("r3", &["award"], Some(off));
    table.refused("after the end", city.attempt(|city| city.submit("A1/clerk2", after)), Code::BadState);
    table.end(2);
}

#[test]
fn a_release_is_secret_before_the_opening_and_public_from_the_award_on() {
    let mut city = City::with(&state());
    let mut table = Table::default();
    let secret = |name: &str, tags: &[&str], previous: Option<RecordId>| {
        file(RecordType::Procurement, Class::P2, name, &body(name, tags, previous)).unwrap()
    };
    let planning = city.submit("A1/clerk1", secret("r1", &["planning"], None)).unwrap().record;
    let tender = city.submit("A1/clerk1", secret("r2", &["tender"], Some(planning))).unwrap().record;
    for tags in [&["award"][..], &["contract"], &["implementation"], &["award", "contract"]] {
        let got = city.attempt(|city| city.submit("A1/clerk2", secret("r3", tags, Some(tender))));
        table.refused(&tags.join(" "), got, Code::ClassNotPermitted);
    }
    let award = city.submit("A1/clerk2", release("r3", &["award"], Some(tender)));
    table.row("a public award after a secret tender", award, Ok(()));
    // Of a secret release validators see the header alone.
    let mut bent = secret("r4", &["tenderUpdate"], Some(tender));
    bent.header.refs.clear();
    let got = city.attempt(|city| city.submit("A1/clerk1", bent));
    table.refused("details name another release", got, Code::HeaderMismatch);
    for tags in [vec![], vec![ReleaseTag::TenderUpdate; 2]] {
        let mut bent = secret("r4", &["tenderUpdate"], Some(tender));
        let Details::Procurement(details) = &mut bent.header.details else { panic!("details of a release") };
        details.tags = tags;
        let got = city.attempt(|city| city.submit("A1/clerk1", bent));
        table.refused("tags that are none, or twice one", got, Code::BadParameter);
    }
    let mut unnumbered = secret("r4", &["tenderUpdate"], Some(tender));
    unnumbered.header.natural_key = None;
    let got = city.attempt(|city| city.submit("A1/clerk1", unnumbered));
    table.refused("no number", got, Code::MissingField);
    table.end(9);
}

#[test]
fn whatever_a_flaw_is_the_validators_name_it() {
    type Change = fn(&mut Value);
    let rows: &[(&str, Change, Code)] = &[
        ("no ocid", |b| b["ocid"] = json!("213czf-1"), Code::SchemaInvalid),
        ("a prefix of five", |b| b["ocid"] = json!("ocds-213cz-1"), Code::SchemaInvalid),
        ("another process than the header's", |b| b["ocid"] = json!("ocds-213czf-2"), Code::HeaderMismatch),
        ("no tag", |b| b["tags"] = json!([]), Code::MissingField),
        ("a tag twice", |b| b["tags"] = json!(["award", "award"]), Code::SchemaInvalid),
        ("a compiled record", |b| b["tags"] = json!(["compiled"]), Code::SchemaInvalid),
        (
            "nine tags",
            |b| b["tags"] = json!(ReleaseTag::ALL.iter().take(9).collect::<Vec<_>>()),
            Code::SizeLimit,
        ),
        ("another tag than the header's", |b| b["tags"] = json!(["contract"]), Code::HeaderMismatch),
        ("a date without offset", |b| b["date"] = json!("2026-05-06"), Code::BadDate),
        ("another buyer", |b| b["buyer"] = json!(agency("A2").to_string()), Code::AgencyNotCompetent),
        ("no method", |b| b["method"] = json!("auction"), Code::SchemaInvalid),
        ("an award without value", |b| _ = b.as_object_mut().unwrap().remove("value"), Code::MissingField),
        ("an amount without currency", |b| b["value"] = json!({ "minor": 1 }), Code::MissingField),
        ("an award to nobody", |b| b["suppliers"] = json!([]), Code::MissingField),
        ("a supplier twice", |b| b["suppliers"] = json!([HUAWEI, HUAWEI]), Code::SchemaInvalid),
        (
            "G11: a sole trader",
            |b| b["suppliers"] = json!(["uscc:92320199MAX0B0FC0W"]),
            Code::PersonalDataInClear,
        ),
        ("bidders before the award", |b| b["tags"] = json!(["tender"]), Code::BadParameter),
        (
            "called off and active",
            |b| b["tags"] = json!(["awardUpdate", "tenderCancellation"]),
            Code::BadParameter,
        ),
        (
            "G11: a point of contact",
            |b| b["contactPoint"] = json!({ "name": "x", "email": "x@example.org" }),
            Code::UnknownField,
        ),
        (
            "other documents than the header's",
            |b| b["documents"][0]["size"] = json!(11),
            Code::HeaderMismatch,
        ),
        ("no package", |b| _ = b.as_object_mut().unwrap().remove("package"), Code::MissingField),
    ];
    let mut city = City::with(&state());
    let tender = city.submit("A1/clerk1", release("r1", &["tender"], None)).unwrap().record;
    let good = body("r2", &["award"], Some(tender));
    let mut table = Table::default();
    for (what, change, code) in rows {
        let filed = forced(release("r2", &["award"], Some(tender)), &with(&good, change));
        table.refused(what, city.attempt(|city| city.submit("A1/clerk2", filed)), *code);
    }
    table.row(
        "the release itself",
        city.submit("A1/clerk2", release("r2", &["award"], Some(tender))),
        Ok(()),
    );
    table.end(rows.len() + 1);
}
