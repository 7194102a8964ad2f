//! Invented scenarios; what they expect stands in the description of the domain.

use serde_json::{Value, json};

use super::Stage;
use crate::play::cast::Cast;
use crate::play::form::{Got, Scenario};

/// What the steps of a scenario come to.
fn played(scenario: &Scenario) -> Vec<Got> {
    let mut stage = Stage::new(Cast::of(scenario).unwrap()).unwrap();
    scenario.steps.iter().map(|step| stage.take(step)).collect()
}

/// Plays a file and lists the steps that come to something else than it expects.
fn differences(text: &str) -> Vec<String> {
    let scenarios: Vec<Scenario> = serde_json::from_str(text).unwrap();
    let mut found = Vec::new();
    for scenario in &scenarios {
        for (number, (step, got)) in (1..).zip(scenario.steps.iter().zip(played(scenario))) {
            if !step.expect.is_met(&got) {
                let detail = got.error.as_ref().map_or("", |(_, detail)| detail.as_str()).to_owned();
                found.push(format!(
                    "{}/{number} {}: wants {}, got {} {detail}",
                    scenario.name,
                    step.op,
                    step.expect.shown(),
                    got.shown(),
                ));
            }
        }
    }
    found
}

#[test]
fn our_own_scenarios_come_to_what_they_expect() {
    assert_eq!(differences(include_str!("../../../tests/scenarios/lives.json")), Vec::<String>::new());
}

#[test]
fn the_scenarios_of_the_domain_come_to_what_they_expect() {
    let Some(folder) = std::env::var_os("CITY_TEST_DATA") else {
        println!("skipped: the_scenarios_of_the_domain_come_to_what_they_expect: CITY_TEST_DATA is unset");
        return;
    };
    let file = std::path::Path::new(&folder).join("lifecycle/scenarios.json");
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(differences(&text), Vec::<String>::new());
}

/// One scenario of agencies A1 to A3, with steps as rows: day, who, op, record, arguments, expectation.
fn scenario(rows: &[(&str, &str, &str, &str, Value, Value)]) -> String {
    let step = |(at, who, op, record, args, expect): &(&str, &str, &str, &str, Value, Value)| {
        json!({
            "at": at, "who": who, "op": op, "record": record, "args": args, "expect": expect,
        })
    };
    let steps: Vec<Value> = rows.iter().map(step).collect();
    let agencies = json!({ "A1": "market regulation", "A2": "environment", "A3": "registry office" });
    json!([{ "name": "invented", "agencies": agencies, "steps": steps }]).to_string()
}

fn refused(code: &str) -> Value {
    json!({ "ok": false, "error": code })
}

fn fine(status: &str) -> Value {
    json!({ "ok": true, "status": status })
}

/// A day on which nothing else is special.
const DAY: &str = "2026-05-06";

#[test]
fn every_type_of_the_domain_can_be_filed_by_whom_it_names() {
    let filed = |who: &'static str, record_type: &'static str, status: &str| {
        (DAY, who, "submit", record_type, json!({ "type": record_type }), fine(status))
    };
    let rows = [
        filed("A1/clerk1", "credit.licence", "submitted"),
        filed("A1/clerk1", "credit.penalty", "submitted"),
        filed("subject", "credit.commitment", "effective"),
        filed("A1/admin1", "egov.status_list", "effective"),
        filed("A1/clerk1", "egov.certificate", "submitted"),
        filed("A3/clerk1", "egov.property_event", "submitted"),
        filed("A1/clerk1", "egov.procurement", "effective"),
        filed("A1/clerk1", "egov.decision", "submitted"),
        filed("A1/clerk1", "egov.doc_fingerprint", "effective"),
        filed("A1/clerk1", "security.alert", "submitted"),
        filed("A1/gateway1", "health.commit_batch", "effective"),
        filed("A1/gateway1", "audit.access_root", "effective"),
        filed("A3/clerk1", "device.registration", "submitted"),
        filed("A2/device7", "sensor.batch", "effective"),
        filed("council1", "gov.agency", "submitted"),
        filed("A1/admin1", "gov.member", "submitted"),
        filed("council1", "gov.legal_basis", "submitted"),
        filed("council1", "gov.schema", "submitted"),
        filed("council1", "gov.calendar", "submitted"),
        filed("council1", "gov.params", "submitted"),
        filed("A1/clerk1", "egov.service_request", "effective"),
        filed("A1/clerk1", "egov.building_permit", "submitted"),
        filed("A1/clerk1", "egov.inspection", "submitted"),
        filed("A1/gateway1", "egov.exchange_batch", "effective"),
        filed("A2/clerk1", "env.finding", "submitted"),
        filed("A1/clerk1", "transport.feed", "effective"),
        filed("A1/clerk1", "transport.works", "submitted"),
        filed("A1/clerk1", "planning.plan", "submitted"),
        filed("A1/clerk1", "energy.charging_site", "submitted"),
        filed("A1/clerk1", "commerce.registration", "effective"),
        filed("A1/clerk1", "commerce.food_inspection", "submitted"),
        filed("A1/clerk1", "security.camera_register", "submitted"),
        filed("A1/clerk1", "health.aggregate", "submitted"),
        filed("A1/clerk1", "device.check", "effective"),
        filed("A1/clerk1", "ai.model", "submitted"),
        filed("A1/clerk1", "ai.advisory", "effective"),
        filed("A1/clerk1", "ai.decision_trace", "submitted"),
        filed("A1/clerk1", "kpi.value", "submitted"),
        filed("A1/clerk1", "export.manifest", "effective"),
    ];
    assert_eq!(differences(&scenario(&rows)), Vec::<String>::new());
}

/// A penalty of A1 in effect, then other rows.
fn after_a_penalty(
    rows: &[(&'static str, &'static str, &'static str, &'static str, Value, Value)],
) -> String {
    let penalty = json!({ "type": "credit.penalty", "officers": ["A1/clerk1", "A1/clerk2"] });
    let mut all = vec![
        (DAY, "A1/clerk1", "submit", "P1", penalty, fine("submitted")),
        (DAY, "A1/clerk2", "countersign", "P1", json!({}), fine("submitted")),
        (DAY, "A1/supervisor1", "countersign", "P1", json!({}), fine("effective")),
    ];
    all.extend_from_slice(rows);
    scenario(&all)
}

#[test]
fn what_a_basis_does_not_allow_is_refused() {
    let licence = |basis: Value, more: &[(&str, Value)]| {
        let mut args = json!({ "type": "credit.licence", "legal_basis": basis });
        more.iter().for_each(|(name, value)| args[*name] = value.clone());
        args
    };
    let person = [("subject", json!("person commitment"))];
    let row = |record, args, expect| (DAY, "A1/clerk1", "submit", record, args, expect);
    let text = scenario(&[
        row("L1", licence(Value::Null, &[]), refused("LEGAL_BASIS_MISSING")),
        row("L1", licence(json!(""), &[]), refused("LEGAL_BASIS_MISSING")),
        row(
            "L2",
            licence(json!("basis that allows organisations only"), &person),
            refused("SUBJECT_KIND_NOT_PERMITTED"),
        ),
        row(
            "L3",
            licence(json!("organisations, no persons"), &person),
            refused("SUBJECT_KIND_NOT_PERMITTED"),
        ),
        row("L4", licence(json!("basis that allows organisations only"), &[]), fine("submitted")),
        row("L5", licence(json!("no longer in force"), &[]), refused("LEGAL_BASIS_NOT_IN_FORCE")),
        row("L6", licence(json!("in force until 2026-05-05"), &[]), refused("LEGAL_BASIS_NOT_IN_FORCE")),
        row("L7", licence(json!("in force from 2026-05-07"), &[]), refused("LEGAL_BASIS_NOT_IN_FORCE")),
        row("L8", licence(json!("not yet in force"), &[]), refused("LEGAL_BASIS_NOT_IN_FORCE")),
        row("L9", licence(json!("in force until 2026-05-06"), &[]), fine("submitted")),
        row("L10", licence(json!("measures only"), &[]), refused("TYPE_NOT_PERMITTED_BY_BASIS")),
        row("L12", licence(json!("Personal Information Protection Law"), &[]), fine("submitted")),
        row("L13", licence(json!("persons only"), &[]), refused("SUBJECT_KIND_NOT_PERMITTED")),
        row("L11", licence(json!("basis with an end date"), &[]), refused("EXPIRY_REQUIRED")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn identifiers_are_checked_and_numbers_of_persons_kept_out() {
    let row = |record, subject: &str, expect| {
        let args = json!({ "type": "credit.licence", "subject": subject });
        (DAY, "A1/clerk1", "submit", record, args, expect)
    };
    let text = scenario(&[
        row("L1", "914403001922038216", fine("submitted")),
        row("L2", "914403001922038217", refused("USCC_CHECK_CHAR")),
        row("L3", "91440300192203821", refused("USCC_LENGTH")),
        row("L4", "9144030071526726xg", refused("USCC_CASE")),
        row("L5", "91350100M000100Y4Z", refused("USCC_CHARSET")),
        row("L6", " 914403001922038216", refused("USCC_WHITESPACE")),
        row("L7", "11010519491231002X", refused("NATURAL_PERSON_ID")),
        row("L10", "organisation 914403001922038217", refused("USCC_CHECK_CHAR")),
        row("L11", "resident number 11010519491231002X", refused("NATURAL_PERSON_ID")),
        row("L8", "person commitment", fine("submitted")),
        row("L9", "resident number in clear", refused("PERSONAL_DATA_IN_CLEAR")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn days_that_a_step_says_stand() {
    let penalty = json!({
        "type": "credit.penalty", "decided_on": "2026-01-05", "officers": ["A1/clerk1", "A1/clerk2"],
    });
    let text = scenario(&[
        (DAY, "A1/clerk1", "submit", "P1", penalty, fine("submitted")),
        (DAY, "A1/clerk2", "countersign", "P1", json!({}), fine("submitted")),
        (DAY, "A1/supervisor1", "countersign", "P1", json!({}), fine("effective")),
        // Three months count from the decision, not from the filing.
        (
            DAY,
            "subject",
            "repair_apply",
            "P1",
            json!({ "evidence": "E1", "commitment": "K1" }),
            fine("effective"),
        ),
        ("2027-01-06", "reader", "query", "P1", json!({}), refused("NOT_DISCLOSED")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn a_batch_that_does_not_fit_its_device_or_data_is_refused() {
    let batch = |who, record, more: Value, expect| {
        let mut args = json!({ "type": "sensor.batch" });
        let Value::Object(members) = more else { return (DAY, who, "submit", record, args, expect) };
        members.into_iter().for_each(|(name, value)| args[name.as_str()] = value);
        (DAY, who, "submit", record, args, expect)
    };
    let text = scenario(&[
        batch("A2/device7", "S0", json!({ "stream": "other" }), refused("STREAM_NOT_DECLARED")),
        batch("A2/device7", "S1", json!({ "root": "wrong" }), refused("BATCH_DATA")),
        batch("A2/device7", "S2", json!({ "count": 3 }), refused("BATCH_DATA")),
        batch("A2/device7 with a revoked key", "S3", json!({}), refused("KEY_RETIRED")),
        batch("A2/device7", "S4", json!({ "scale": 3 }), refused("STREAM_NOT_DECLARED")),
        batch("A2/device7", "S5", json!({ "colour": "red" }), refused("UNKNOWN_FIELD")),
        batch("A2/device7", "S6", json!({}), fine("effective")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn what_no_step_reads_is_an_error() {
    let licence = |more: &str| json!({ "type": "credit.licence", more: 1 });
    let text = after_a_penalty(&[
        (DAY, "A1/clerk1", "submit", "L1", licence("colour"), refused("UNKNOWN_FIELD")),
        (DAY, "A1/clerk1", "submit", "L2", licence("score"), refused("SCORE_FORBIDDEN")),
        (DAY, "A1/supervisor1", "suspend", "P1", json!({ "colour": 1 }), refused("UNKNOWN_FIELD")),
        (DAY, "A1/supervisor1", "suspend", "P1", json!({ "until": "soon" }), refused("BAD_DATE")),
        (DAY, "reader", "query", "P1", json!({ "colour": 1 }), refused("UNKNOWN_FIELD")),
        (DAY, "A1/supervisor1", "suspend", "P1", json!({ "reason": "" }), refused("REASON_REQUIRED")),
        (DAY, "A1/supervisor1", "suspend", "P1", json!({ "reason": null }), refused("REASON_REQUIRED")),
        (
            DAY,
            "A1/clerk1",
            "submit",
            "D1",
            json!({ "type": "egov.decision", "bytes": 20000 }),
            refused("SIZE_LIMIT"),
        ),
        (
            DAY,
            "A1/clerk1",
            "submit",
            "D2",
            json!({ "type": "health.aggregate", "bytes": 20000 }),
            refused("SIZE_LIMIT"),
        ),
        (
            DAY,
            "A1/clerk1",
            "submit",
            "D3",
            json!({ "type": "egov.decision", "bytes": 4000 }),
            fine("submitted"),
        ),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn a_flawed_step_fails_alone() {
    let licence = json!({ "type": "credit.licence" });
    let text = json!([{ "name": "flawed", "agencies": { "A1": "x", "the office": "y" }, "steps": [
        { "at": DAY, "op": "submit", "record": "L1", "args": licence, "expect": refused("MISSING_FIELD") },
        { "at": DAY, "who": "the office/clerk1", "op": "submit", "record": "L1", "args": licence,
          "expect": refused("BAD_IDENTIFIER") },
        { "at": DAY, "who": 7, "op": "submit", "record": "L1", "args": licence, "expect": refused("SCHEMA_INVALID") },
        { "at": DAY, "who": "A1/clerk1", "op": "submit", "record": "L1", "args": [], "expect": refused("SCHEMA_INVALID") },
        { "who": "A1/clerk1", "op": "submit", "record": "L1", "args": licence, "expect": refused("MISSING_FIELD") },
        { "at": DAY, "who": "A1/baker1", "op": "submit", "record": "L1", "args": licence,
          "expect": refused("BAD_PARAMETER") },
        { "at": DAY, "who": "A1/clerk1", "op": "submit", "record": "L1", "args": licence, "expect": fine("submitted") },
    ] }]);
    assert_eq!(differences(&text.to_string()), Vec::<String>::new());
    let unread =
        json!([{ "name": "odd", "steps": [{ "at": DAY, "op": "wait", "expect": { "colour": 1 } }] }]);
    assert_eq!(differences(&unread.to_string()).len(), 1);
}

#[test]
fn an_application_that_was_submitted_is_decided_on() {
    let repair = json!({ "type": "credit.repair", "target": "P1", "evidence": "E1", "commitment": "K1" });
    let text = after_a_penalty(&[
        ("2026-08-07", "subject", "submit", "RP1", repair, fine("effective")),
        (
            "2026-08-10",
            "A1/clerk1",
            "repair_decide",
            "P1",
            json!({ "outcome": "granted" }),
            fine("effective"),
        ),
        ("2026-08-11", "A1/supervisor1", "countersign", "P1", json!({}), fine("repaired")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
    let bare = json!({ "type": "credit.repair", "target": "P1" });
    let text = after_a_penalty(&[
        ("2026-08-07", "A1/clerk1", "repair_decide", "P1", json!({}), refused("MISSING_EVIDENCE")),
        ("2026-08-07", "subject", "submit", "RP1", bare, fine("effective")),
        ("2026-08-10", "A1/clerk1", "repair_decide", "P1", json!({}), refused("MISSING_EVIDENCE")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn an_objection_marks_what_rests_on_its_record_and_carries_its_remedy() {
    let measure =
        json!({ "type": "credit.measure", "based_on": "P1", "until": "2027-05-06", "notice": "N1" });
    let flagged = |status: &str, flags: &[&str]| json!({ "ok": true, "status": status, "flags": flags });
    let decide = |carries: &str, more: &[(&str, Value)]| {
        let mut args = json!({ "outcome": "upheld", "carries": carries });
        more.iter().for_each(|(name, value)| args[*name] = value.clone());
        args
    };
    let text = after_a_penalty(&[
        (DAY, "A1/clerk1", "submit", "M1", measure, fine("submitted")),
        (DAY, "A1/supervisor1", "countersign", "M1", json!({}), flagged("effective", &[])),
        (DAY, "subject", "dispute_open", "P1", json!({ "objection": "nowhere" }), refused("REF_NOT_FOUND")),
        (DAY, "subject", "dispute_open", "P1", json!({}), flagged("effective", &["disputed"])),
        (DAY, "auditor", "query", "M1", json!({}), flagged("effective", &["base_disputed"])),
        (DAY, "A1/clerk1", "dispute_decide", "P1", decide("stop", &[]), flagged("effective", &["disputed"])),
        (DAY, "A1/supervisor1", "countersign", "P1", json!({}), refused("SAME_PERSON")),
        (
            DAY,
            "A1/supervisor2",
            "countersign",
            "P1",
            json!({}),
            flagged("effective", &["publication_stopped"]),
        ),
        (DAY, "auditor", "query", "M1", json!({}), flagged("effective", &[])),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
    let fine_of = [("content", json!("警告"))];
    let text = after_a_penalty(&[
        (DAY, "subject", "dispute_open", "P1", json!({}), flagged("effective", &["disputed"])),
        (
            DAY,
            "A1/clerk1",
            "dispute_decide",
            "P1",
            decide("amend", &fine_of),
            flagged("effective", &["disputed"]),
        ),
        (DAY, "A1/clerk2", "countersign", "P1", json!({}), flagged("effective", &["disputed"])),
        (DAY, "A1/supervisor2", "countersign", "P1", json!({}), flagged("effective", &[])),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn whoever_signs_no_records_has_no_role() {
    let licence = json!({ "type": "credit.licence" });
    let text = after_a_penalty(&[
        (DAY, "reader", "submit", "L1", licence.clone(), refused("ROLE_NOT_ALLOWED")),
        (DAY, "A2/validator1", "submit", "L1", licence.clone(), refused("ROLE_NOT_ALLOWED")),
        (DAY, "A2/device7", "submit", "L1", licence.clone(), refused("ROLE_NOT_ALLOWED")),
        (DAY, "A1/device7", "suspend", "P1", json!({}), refused("ROLE_NOT_ALLOWED")),
        (DAY, "A1/supervisor1", "submit", "L1", licence, refused("ROLE_NOT_ALLOWED")),
        (DAY, "A1/clerk1", "submit", "S1", json!({ "type": "sensor.batch" }), refused("ROLE_NOT_ALLOWED")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn facts_are_invalidated_and_everything_else_is_revoked() {
    let text = after_a_penalty(&[
        (DAY, "A1/supervisor1", "invalidate", "P1", json!({}), refused("BAD_STATE")),
        (DAY, "A2/device7", "submit", "S1", json!({ "type": "sensor.batch" }), fine("effective")),
        (DAY, "A2/supervisor1", "revoke", "S1", json!({}), refused("BAD_STATE")),
        (DAY, "A2/supervisor1", "invalidate", "S1", json!({ "reason": "wrong site" }), fine("revoked")),
        (DAY, "A1/supervisor1", "revoke", "P1", json!({ "effect": "from_start" }), fine("effective")),
        (DAY, "A1/legal1", "countersign", "P1", json!({}), fine("revoked")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
}

#[test]
fn a_narrower_code_is_what_the_table_of_transitions_means_and_success_is_not() {
    let decision = json!({ "type": "egov.doc_fingerprint" });
    let text = after_a_penalty(&[
        // Another agency's supervisor; the amendment of a fact.
        (DAY, "A2/supervisor1", "suspend", "P1", json!({}), refused("ROLE_NOT_ALLOWED")),
        (DAY, "A2/supervisor1", "suspend", "P1", json!({}), refused("AGENCY_NOT_COMPETENT")),
        (DAY, "A1/clerk1", "submit", "F1", decision, fine("effective")),
        (DAY, "A1/clerk1", "amend", "F1", json!({}), refused("BAD_STATE")),
        (DAY, "A1/clerk1", "amend", "F1", json!({}), refused("NOT_AMENDABLE")),
    ]);
    assert_eq!(differences(&text), Vec::<String>::new());
    let text = after_a_penalty(&[
        (DAY, "A1/clerk1", "suspend", "P1", json!({}), refused("AGENCY_NOT_COMPETENT")),
        (DAY, "A1/supervisor1", "suspend", "P1", json!({}), json!({ "error": "ROLE_NOT_ALLOWED" })),
    ]);
    assert_eq!(differences(&text).len(), 2);
}

#[test]
fn the_council_rules_and_chains_of_records_hold() {
    assert_eq!(differences(include_str!("tests/chains.json")), Vec::<String>::new());
}

#[test]
fn offices_and_devices_act_as_the_domain_says() {
    assert_eq!(differences(include_str!("tests/offices.json")), Vec::<String>::new());
}

#[test]
fn decisions_and_members_of_bodies_are_what_the_step_says() {
    assert_eq!(differences(include_str!("tests/decisions.json")), Vec::<String>::new());
}
