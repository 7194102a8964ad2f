//! What other ledgers let a member's content do to them (docs/robustness/pitfalls.md, E2 and F2): stop the
//! chain, or make its nodes panic.

use chain_core::build;
use chain_core::crypto::{Digest, Signature};
use chain_core::date::Date;
use chain_core::execute::Verdict;
use chain_core::id::{ChainId, RecordId};
use chain_core::operation::{AmendReason, Operation};
use chain_core::record::governance::{
    AgencyDetails, BasisDetails, MemberDetails, PublicationRules, RepairRules, Term,
};
use chain_core::record::{BasisRef, Details, RecordType};
use chain_core::transaction::{Body, OPERATIONS_MAX, Submission, Transaction};
use serde_json::Value;

use crate::city::{
    City, DEDUPE_KEY, agency, agency_details, basis_details, chain, filing, licence, licence_body,
    member_details, penalty_body, secret, verdict,
};

/// Transactions that a clerk, a stranger or a broken client could send, each wrong in its own way.
fn poisons(city: &mut City) -> Vec<(&'static str, Submission)> {
    let record = RecordId::new(Digest::ZERO);
    let sound = |city: &mut City, key: &str| {
        let (operation, body, _) = licence(key).submit();
        city.sign("A1/clerk1", vec![(operation, body)])
    };
    let resigned = |submission: Submission, change: &dyn Fn(&mut Transaction)| {
        let mut transaction = submission.signed.transaction;
        change(&mut transaction);
        Submission { signed: transaction.sign(&secret("A1/clerk1")), bodies: submission.bodies }
    };
    let mut rows = Vec::new();
    let mut unsigned = sound(city, "p1");
    unsigned.signed.signature = Signature::ZERO;
    rows.push(("no signature", unsigned));
    let elsewhere = ChainId::new(Digest::tagged(b"elsewhere", &[]));
    rows.push(("of another chain", resigned(sound(city, "p2"), &|tx| tx.chain_id = elsewhere)));
    rows.push(("long expired", resigned(sound(city, "p3"), &|tx| tx.valid_until_ms = 0)));
    rows.push(("valid for ever", resigned(sound(city, "p4"), &|tx| tx.valid_until_ms = u64::MAX)));
    rows.push(("no operations", resigned(sound(city, "p5"), &|tx| tx.operations.clear())));
    rows.push(("of a stranger", {
        let (operation, body, _) = licence("p6").submit();
        let until = city.time_ms + 60_000;
        build::submission(chain().chain_id, &secret("nobody/clerk9"), until, true, vec![(operation, body)])
    }));
    rows.push(("too many operations", {
        let withdraw = Operation::Withdraw { record, version: u32::MAX };
        city.sign("A1/clerk1", vec![(withdraw, None); OPERATIONS_MAX + 1])
    }));
    rows.push(("steps on what does not exist", {
        let steps = [
            Operation::Withdraw { record, version: 0 },
            Operation::Countersign { record, version: u32::MAX, header_digest: Digest::ZERO },
        ];
        city.sign("A1/supervisor1", steps.map(|step| (step, None)).to_vec())
    }));
    let with_body = |json: &str| {
        let (operation, _, _) = licence("p9").submit();
        let body = Body { salt: Digest::ZERO, json: json.to_owned() };
        (operation, Some(body))
    };
    for (what, json) in [
        ("an empty body", ""),
        ("a body that is no text of JSON", "\u{0}\u{7f}{{{{"),
        ("a body of nested brackets", &"[".repeat(8_000)),
        ("a body of one huge number", &"9".repeat(8_000)),
        ("a body with half an escape", r#"{"a":"\ud800"}"#),
        ("a body that is too large", &format!(r#"{{"a":"{}"}}"#, "x".repeat(60_000))),
    ] {
        rows.push((what, city.sign("A1/clerk1", vec![with_body(json)])));
    }
    let mut bodies = sound(city, "p10");
    bodies.bodies = vec![None; 500];
    rows.push(("more bodies than operations", bodies));
    let mut none = sound(city, "p11");
    none.bodies.clear();
    rows.push(("no bodies at all", none));
    rows
}

#[test]
fn e02_a_poison_transaction_is_an_outcome_and_the_chain_goes_on() {
    let mut city = City::new();
    let mut again = City::new();
    let rows = poisons(&mut city);
    for (at, (what, poison)) in rows.iter().enumerate() {
        // Between two sound ones of the same batch, and once more in the next block.
        let sound = |city: &mut City, key: String| {
            let (operation, body, _) = licence(&key).submit();
            city.sign("A1/clerk1", vec![(operation, body)])
        };
        let before = sound(&mut city, format!("before-{at}"));
        let after = sound(&mut city, format!("after-{at}"));
        let block = vec![before, poison.clone(), after];
        let outcomes = city.block(block.clone());
        let accepted =
            |outcome: &&chain_core::execute::Outcome| matches!(outcome.verdict, Verdict::Accepted { .. });
        assert_eq!(outcomes.iter().filter(accepted).count(), 2, "{what}");
        assert!(outcomes.len() >= 3, "{what} has an answer");
        assert!(verdict(&outcomes[1]).is_err(), "{what}");
        // Another validator comes to the same, and so does one that executes it a second time.
        again.time_ms = city.time_ms;
        assert_eq!(again.block(block), outcomes, "{what}");
        assert_eq!(again.ledger.summary(), city.ledger.summary(), "{what}");
        let repeated = city.block(vec![poison.clone()]);
        assert!(repeated.iter().all(|outcome| verdict(outcome).is_err()), "{what}");
        again.block(vec![poison.clone()]);
    }
}

/// A basis with these numbers, which a council may have voted for by mistake.
fn extreme(id: &str, change: impl FnOnce(&mut BasisDetails)) -> BasisDetails {
    let mut details = basis_details(id);
    change(&mut details);
    details
}

fn under(basis: &BasisDetails, record_type: RecordType, key: &str, body: &Value) -> Option<build::Filed> {
    let legal_basis = Some(BasisRef { id: basis.id.clone(), version: basis.version });
    build::file(&build::Filing { legal_basis, ..filing(record_type, key) }, &body.to_string()).ok()
}

#[test]
fn f02_no_parameter_that_governance_can_set_makes_a_node_panic() {
    let term = |min_months, max_months| Term { min_months, max_months };
    let bases = [
        extreme("months", |one| {
            let most = term(u16::MAX, Some(u16::MAX));
            one.publication = PublicationRules {
                allowed: true,
                minor: most,
                ordinary: most,
                serious: most,
                unclassified: most,
            };
            one.repair = RepairRules { allowed: true, after_months: u16::MAX };
            one.retention_years = u16::MAX;
        }),
        extreme("nothing", |one| {
            let least = term(0, Some(0));
            one.publication = PublicationRules {
                allowed: true,
                minor: least,
                ordinary: least,
                serious: least,
                unclassified: least,
            };
            one.retention_years = 0;
        }),
        extreme("crossed", |one| one.publication.unclassified = term(u16::MAX, Some(0))),
        extreme("version", |one| one.version = u32::MAX),
        extreme("no-version", |one| one.version = 0),
        extreme("never", |one| one.in_force = Date::MAX),
        extreme("always", |one| (one.in_force, one.ends) = (Date::MIN, Some(Date::MAX))),
        extreme("backwards", |one| (one.in_force, one.ends) = (Date::MAX, Some(Date::MIN))),
        extreme("", |_| ()),
        extreme(&"x".repeat(5_000), |one| one.title = "法".repeat(5_000)),
    ];
    let mut city = City::new();
    let mut tried = 0;
    for (at, basis) in bases.iter().enumerate() {
        let header = build::governance_header(
            chain().chain_id,
            &agency("A1"),
            DEDUPE_KEY,
            &format!("basis-{at}"),
            1,
            Details::LegalBasis(Box::new(basis.clone())),
        );
        // Refused with a code or taken: either is fine.
        if let Ok(done) = city.send("A1/council1", Operation::Submit(Box::new(header))) {
            city.countersign("A2/council1", done.record).unwrap();
        }
        for (record_type, body) in [
            (RecordType::Licence, licence_body(&format!("L-{at}"))),
            (RecordType::Penalty, penalty_body(&format!("P-{at}"))),
        ] {
            if let Some(filed) = under(basis, record_type, &format!("{record_type:?}-{at}"), &body) {
                tried += 1;
                if let Ok(done) = city.submit("A1/clerk1", filed) {
                    let _ = city.countersign("A1/supervisor1", done.record);
                    let _ = city.countersign("A1/clerk2", done.record);
                }
            }
        }
    }
    assert!(tried >= 10, "{tried}");
    let agencies = [
        AgencyDetails { from: Date::MAX, to: Some(Date::MIN), ..agency_details("X", &[RecordType::Licence]) },
        AgencyDetails { types: Vec::new(), areas: Vec::new(), ..agency_details("X", &[]) },
        AgencyDetails { admins: Vec::new(), ..agency_details("X", &[RecordType::Licence]) },
        AgencyDetails { name: "x".repeat(60_000), ..agency_details("X", &[RecordType::Licence]) },
        AgencyDetails {
            areas: vec!["320100".to_owned(); 5_000],
            ..agency_details("X", &[RecordType::Licence])
        },
    ];
    for (at, details) in agencies.into_iter().enumerate() {
        let details = Details::Agency(Box::new(details));
        let key = format!("agency-{at}");
        let header = build::governance_header(chain().chain_id, &agency("A1"), DEDUPE_KEY, &key, 1, details);
        let mut amended = header.clone();
        amended.version = u32::MAX;
        let amend = Operation::Amend { header: Box::new(amended), reason: AmendReason::Clerical };
        let _ = city.send("A1/council1", Operation::Submit(Box::new(header)));
        assert!(city.send("A1/council1", amend).is_err());
    }
    for (at, (from, to)) in [(Date::MAX, None), (Date::MIN, Some(Date::MIN)), (Date::MAX, Some(Date::MIN))]
        .into_iter()
        .enumerate()
    {
        let details = Details::Member(Box::new(MemberDetails {
            from,
            to,
            ..member_details("A1", &format!("clerk{}", 7 + at))
        }));
        let key = format!("member-{at}");
        let header = build::governance_header(chain().chain_id, &agency("A1"), DEDUPE_KEY, &key, 1, details);
        let _ = city.send("A1/admin1", Operation::Submit(Box::new(header)));
    }
    // All of it ends by the calendar, up to its last day, and an ordinary record is none the worse for it.
    for day in ["2026-12-31", "2027-03-01", "2031-01-01", "2099-12-31", "9999-12-31"] {
        city.tick(day);
    }
    city.time_ms = u64::MAX / 2;
    city.block(Vec::new());
    city.at("2026-05-07");
    assert_eq!(city.submit("A1/clerk1", licence("ordinary")).map(|done| done.duplicate), Ok(false));
}
