//! The dry run against real validators: every operation is told by its number what the next block would say of it, no flaw
//! hides another, and nothing of it stays.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::build::{Filing, file, file_registered};
use chain_core::code::Code;
use chain_core::codec::encode;
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::execute::{Outcome, Verdict};
use chain_core::operation::Operation;
use chain_core::record::registered::RegisteredType;
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use chain_core::transaction::{Body, Submission};
use city_tests::acts;
use city_tests::cluster::{Cluster, PATIENCE, http, wait_for};
use city_tests::officer::{Officer, now_ms, officers};
use serde_json::{Value, json};

type Filed = (Operation, Option<Body>);

/// Two clerks of an agency that may file licences, penalties and requests.
fn clerks(cluster: &Cluster) -> Vec<Officer> {
    let document = cluster.genesis.document();
    let able = |types: &[String]| {
        ["credit.penalty", "egov.service_request"].iter().all(|name| types.iter().any(|one| one == name))
    };
    let agency = &document.agencies.iter().find(|one| able(&one.types)).unwrap().id;
    let found = officers(&cluster.genesis, &cluster.keys, "clerk", |found, of| {
        found.len() < 2 && of.to_string() == *agency
    });
    let found = found.unwrap();
    assert_eq!(found.len(), 2, "clerks of {agency}");
    found
}

fn filing<'a>(clerk: &Officer, key: &'a str, record_type: RecordType, basis: &str) -> Filing<'a> {
    Filing {
        chain_id: clerk.chain_id,
        agency: clerk.agency.clone(),
        dedupe_key: b"test-dedupe-key",
        idempotency_key: key,
        record_type,
        version: 1,
        class: Class::P1,
        subject_kind: SubjectKind::Organisation,
        legal_basis: Some(BasisRef { id: basis.to_owned(), version: 1 }),
        salt: Digest::tagged(b"test-salt", &[key.as_bytes()]),
        officers: Vec::new(),
        refs: Vec::new(),
        publication: [None; 3],
        dispose_on: None,
    }
}

fn licence(clerk: &Officer, key: &str, number: &str, basis: &str, today: Date) -> Filed {
    let body = acts::licence(number, &clerk.agency, today).to_string();
    let (operation, body, _) = file(&filing(clerk, key, RecordType::Licence, basis), &body).unwrap().submit();
    (operation, body)
}

fn penalty(both: &[Officer], key: &str, today: Date, change: impl FnOnce(&mut Value)) -> Filed {
    let mut body = acts::penalty(key, &both[0].agency, today);
    change(&mut body);
    let filing = filing(&both[0], key, RecordType::Penalty, "cn-administrative-penalty");
    let filing = Filing { officers: both.iter().map(|one| one.key.public()).collect(), ..filing };
    let (operation, body, _) = file(&filing, &body.to_string()).unwrap().submit();
    (operation, body)
}

/// A request with a member that its schema does not know.
fn request(cluster: &Cluster, clerk: &Officer, key: &str) -> Filed {
    let document = cluster.genesis.document();
    let schema = document.registered_types.iter().find(|one| one.key.as_str() == "egov.service_request");
    let registered = RegisteredType::new(schema.unwrap().clone()).unwrap();
    let body = json!({
        "request_id": key, "service_code": "street-light", "status": "open", "stage": "received",
        "agency": clerk.agency, "opened_on": "2026-05-06", "requested": "2026-05-06T09:00:00+08:00",
        "updated": "2026-05-06T09:10:00+08:00",
        "place": { "lat_e4": 320_600, "lon_e4": 1_187_900, "datum": "CGCS2000" },
        "summary": [{ "lang": "zh-Hans", "text": "路灯不亮" }],
        "description": Digest::tagged(b"what the caller said", &[]),
        "origin": { "system": "office", "method": "manual" }, "caller": "x",
    });
    let filing = Filing {
        class: Class::P0,
        subject_kind: SubjectKind::None,
        ..filing(clerk, key, registered.record_type(), "cn-business-environment")
    };
    let (operation, body, _) = file_registered(&filing, &registered, &body.to_string()).unwrap().submit();
    (operation, body)
}

/// What the node answers to a dry run; it must be an answer.
fn tried(url: &str, submission: &Submission) -> (bool, Vec<Outcome>) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let request =
        agent.post(format!("{url}/v1/records:dry-run")).header("content-type", "application/octet-stream");
    let mut answer = request.send(&encode(submission).unwrap()[..]).unwrap();
    let status = answer.status();
    let text = answer.body_mut().read_to_string().unwrap();
    assert!(status.is_success(), "{status}: {text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["tx"], json!(submission.signed.transaction.id()));
    (answer["passed"].as_bool().unwrap(), serde_json::from_value(answer["outcomes"].clone()).unwrap())
}

/// What a submission came to. On a busy machine the answer may come before it is executed; it is safe to send it again.
fn executed(url: &str, submission: &Submission) -> Vec<Outcome> {
    wait_for("a submission is executed", PATIENCE, || {
        Some(http::submit(url, submission).unwrap().outcomes).filter(|outcomes| !outcomes.is_empty())
    })
}

/// The number of each operation, and the code of its refusal; none where it is accepted.
fn codes(outcomes: &[Outcome]) -> Vec<(u16, Option<Code>)> {
    let code = |verdict: &Verdict| match verdict {
        Verdict::Accepted { .. } => None,
        Verdict::Refused(refusal) => Some(refusal.code),
    };
    outcomes.iter().map(|one| (one.operation, code(&one.verdict))).collect()
}

#[test]
fn a_dry_run_says_of_every_operation_what_the_next_block_would_and_leaves_nothing() {
    let cluster = Cluster::up();
    let both = clerks(&cluster);
    let clerk = &both[0];
    let url = cluster.nodes[0].url();
    let today = Date::of_time(cluster.wait_agreed().block_time_ms, 480);
    let sign = |operations: &[Filed]| clerk.sign_until(now_ms() + 3_600_000, operations.to_vec());
    let basis = "cn-administrative-licensing";

    let first = sign(&[licence(clerk, "first", "L-1", basis, today)]);
    assert_eq!(codes(&executed(&url, &first)), [(0, None)]);

    let mut operations = vec![
        licence(clerk, "good", "L-2", basis, today),
        // Two content rules that only the validators judged so far: of the body, and of the body under its legal basis.
        penalty(&both, "no facts", today, |body| drop(body.as_object_mut().unwrap().remove("facts"))),
        penalty(&both, "too long", today, |body| body["publish_until"] = json!(today.add_months(24))),
        // The same number in another record, in the ledger and in the submission itself.
        licence(clerk, "second", "L-1", basis, today),
        licence(clerk, "third", "L-2", basis, today),
        licence(clerk, "unfounded", "L-3", "no-such-law", today),
        licence(clerk, "swapped", "L-4", basis, today),
        request(&cluster, clerk, "SR-1"),
        penalty(&both, "good penalty", today, |_| {}),
    ];
    operations[6].1 = operations[0].1.clone();
    let wanted = [
        None,
        Some(Code::MissingField),
        Some(Code::PublicationTooLong),
        Some(Code::DuplicateNaturalKey),
        Some(Code::DuplicateNaturalKey),
        Some(Code::LegalBasisMissing),
        Some(Code::BodyCommitment),
        Some(Code::UnknownField),
        None,
    ];
    let wanted: Vec<(u16, Option<Code>)> = (0..).zip(wanted).collect();
    let before = cluster.wait_agreed();
    let whole = sign(&operations);
    for _ in 0..2 {
        let (passed, outcomes) = tried(&url, &whole);
        assert!(!passed);
        assert_eq!(codes(&outcomes), wanted, "{outcomes:?}");
    }

    // Nothing of it is in the ledger, waits, or holds a number.
    let after = cluster.wait_agreed();
    assert_eq!((after.log_size, after.queued), (before.log_size, 0));
    let record = operations[0].0.header().unwrap().record;
    let looked_up = http::get::<Value>(&format!("{url}/v1/records/{record}"));
    assert_eq!(looked_up.unwrap_err().name(), Code::RecordNotFound.name());

    // Operations that stand or fall together: each keeps its own flaw, the others fall with them.
    let mut atomic = whole.signed.transaction.clone();
    atomic.atomic = true;
    let atomic = Submission { signed: atomic.sign(&clerk.key), bodies: whole.bodies.clone() };
    let fallen = wanted.iter().map(|&(at, code)| (at, code.or(Some(Code::AtomicFailed))));
    assert_eq!(codes(&tried(&url, &atomic).1), fallen.collect::<Vec<_>>());

    // The submission itself is not taken in for the operations that this node judges, and says for which.
    let Err(http::Failed::Problem(problem)) = http::submit(&url, &whole) else { panic!("it was taken in") };
    assert_eq!(problem.name, Code::UnknownField);
    assert!(problem.detail.starts_with("operation 7: "), "{}", problem.detail);

    // Without them, the validators say what the dry run says.
    operations.drain(6..8);
    let rest = sign(&operations);
    let (passed, foretold) = tried(&url, &rest);
    assert!(!passed);
    let came = executed(&url, &rest);
    assert_eq!(codes(&came), codes(&foretold));
    assert_eq!(codes(&came).iter().filter(|(_, code)| code.is_none()).count(), 2);
    // Once it is done, it would come to nothing.
    let replayed = tried(&url, &rest).1;
    assert!(codes(&replayed).iter().all(|(_, code)| *code == Some(Code::Replayed)), "{replayed:?}");

    let (passed, outcomes) = tried(&url, &sign(&[licence(clerk, "last", "L-9", basis, today)]));
    assert!(passed, "{outcomes:?}");
    cluster.assert_clean();
}
