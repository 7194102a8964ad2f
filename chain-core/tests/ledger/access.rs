//! Roots of the log of reads (safeguard G17): one for each agency and day that is over.

use chain_core::access;
use chain_core::build::Filed;
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::merkle;
use chain_core::operation::{Effect, Operation, RevokeReason};
use chain_core::record::access::AccessRootDetails;
use chain_core::record::{Class, Details, RecordType};
use serde_json::{Value, json};

use crate::city::{City, agency, date};
use crate::timeline::check_replay;
use crate::town::{Table, file_of, forced, origin, state, with};

fn digest() -> Digest {
    Digest::tagged(b"test-access", &[])
}

fn body(by: &str, day: &str, queries: u32) -> Value {
    let root = if queries == 0 { merkle::empty_root() } else { digest() };
    json!({
        "agency": agency(by).to_string(), "day": day, "queries": queries, "root": root.to_string(), "origin": origin(),
    })
}

fn root_of(by: &str, key: &str, body: &Value) -> Filed {
    file_of(by, RecordType::AccessRoot, Class::P0, key, body).unwrap()
}

fn root(key: &str, day: &str, queries: u32) -> Filed {
    root_of("A1", key, &body("A1", day, queries))
}

#[test]
fn safeguard_g17_a_day_has_one_root_and_a_day_without_a_query_has_one_too() {
    let mut city = City::with(&state());
    let first = city.submit("A1/gateway1", root("k1", "2026-05-05", 7)).unwrap().record;
    assert_eq!(city.status(first), "effective");
    check_replay(&city, first);
    let details = AccessRootDetails { day: date("2026-05-05"), queries: 7, root: digest() };
    assert_eq!(root("k1", "2026-05-05", 7).header.details, Details::AccessRoot(details));
    // Another day, another agency.
    city.submit("A1/gateway1", root("k2", "2026-05-04", 0)).unwrap();
    city.submit("A2/gateway1", root_of("A2", "k1", &body("A2", "2026-05-05", 7))).unwrap();
    let again = |city: &mut City, key: &str| city.submit("A1/gateway1", root(key, "2026-05-05", 6));
    assert_eq!(city.attempt(|city| again(city, "k3")), Err(Code::DuplicateNaturalKey));
    // One that was wrong gives way, and stays in the log.
    let (reason, effect) = (RevokeReason::FiledInError, Effect::FromNow);
    let revoke = Operation::Revoke { record: first, version: 1, reason, effect, note: String::new() };
    city.send("A1/supervisor1", revoke).unwrap();
    let second = again(&mut city, "k3").unwrap().record;
    assert_eq!((city.status(first), city.status(second)), ("revoked", "effective"));
    assert_eq!(city.attempt(|city| again(city, "k4")), Err(Code::DuplicateNaturalKey));
}

#[test]
fn what_is_no_root_of_a_day_is_refused() {
    let mut city = City::with(&state());
    let mut table = Table::default();
    type Change = fn(&mut chain_core::record::Header);
    let rows: &[(&str, Change, Code)] = &[
        ("class P1", |h| h.class = Class::P1, Code::ClassNotPermitted),
        ("no details", |h| h.details = Details::None, Code::RoleNotAllowed),
        (
            "entries under the root of nothing",
            |h| {
                let root = merkle::empty_root();
                h.details =
                    Details::AccessRoot(AccessRootDetails { day: date("2026-05-05"), queries: 1, root });
            },
            Code::BadParameter,
        ),
        (
            "a root over no entries",
            |h| {
                let root = digest();
                h.details =
                    Details::AccessRoot(AccessRootDetails { day: date("2026-05-05"), queries: 0, root });
            },
            Code::BadParameter,
        ),
        ("G1: no legal basis", |h| h.legal_basis = None, Code::LegalBasisMissing),
        ("no body", |h| h.body_commit = None, Code::BodyMissing),
    ];
    for (what, change, code) in rows {
        let mut filed = root("k1", "2026-05-05", 7);
        change(&mut filed.header);
        table.refused(what, city.attempt(|city| city.submit("A1/gateway1", filed)), *code);
    }
    let today = city.attempt(|city| city.submit("A1/gateway1", root("k1", "2026-05-06", 7)));
    table.refused("a day that is not over", today, Code::DateOrder);
    for post in ["A1/clerk1", "A1/supervisor1", "A1/admin1"] {
        let filed = city.attempt(|city| city.submit(post, root("k1", "2026-05-05", 7)));
        table.refused(post, filed, Code::RoleNotAllowed);
    }
    table.end(rows.len() + 4);
}

#[test]
fn a_roots_body_says_what_its_header_says() {
    type Change = fn(&mut Value);
    let rows: &[(&str, Change, Code)] = &[
        ("another day", |b| b["day"] = json!("2026-05-04"), Code::HeaderMismatch),
        ("another count", |b| b["queries"] = json!(8), Code::HeaderMismatch),
        ("more than can be counted", |b| b["queries"] = json!(4_294_967_296_u64), Code::BadNumber),
        ("another root", |b| b["root"] = json!(Digest::ZERO.to_string()), Code::HeaderMismatch),
        ("another agency", |b| b["agency"] = json!(agency("A2").to_string()), Code::AgencyNotCompetent),
        ("who asked", |b| b["officers"] = json!([]), Code::UnknownField),
    ];
    let mut table = Table::default();
    let good = body("A1", "2026-05-05", 7);
    for (what, change, code) in rows {
        let bad = forced(root("k1", "2026-05-05", 7), &with(&good, change));
        let got = chain_core::rules::check_body(&bad.header, &bad.body).map_err(|refusal| refusal.code);
        table.refused(what, got, *code);
    }
    table.end(rows.len());
    assert_eq!(access::tree(&[]).root(), merkle::empty_root());
}
