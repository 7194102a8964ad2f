//! Parameters that the council votes: by its threshold, with notice, within bounds, from a day on.

use chain_core::build;
use chain_core::code::Code;
use chain_core::execute::params as in_force;
use chain_core::id::RecordId;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::record::params::{Params, ParamsDetails};
use chain_core::record::{Class, Details, Header, RecordType};
use chain_core::state::Flags;
use serde_json::json;

use crate::city::{City, DEDUPE_KEY, agency, chain, date, licence, secret, verdict};
use crate::timeline::check_replay;
use crate::town::{Table, file, forced, origin, state};

fn header(key: &str, from: &str, change: impl FnOnce(&mut Params)) -> Box<Header> {
    let mut values = Params::default();
    change(&mut values);
    let details =
        ParamsDetails { from: date(from), values, source: "resolution 7".to_owned(), doc_no: String::new() };
    let details = Details::Params(Box::new(details));
    Box::new(build::governance_header(chain().chain_id, &agency("A1"), DEDUPE_KEY, key, 1, details))
}

fn propose(
    city: &mut City,
    key: &str,
    from: &str,
    change: impl FnOnce(&mut Params),
) -> Result<RecordId, Code> {
    city.send("A1/council1", Operation::Submit(header(key, from, change))).map(|done| done.record)
}

fn vote(city: &mut City, key: &str, from: &str, change: impl FnOnce(&mut Params)) -> RecordId {
    let record = propose(city, key, from, change).unwrap();
    city.countersign("A2/council1", record).unwrap();
    record
}

fn now(city: &City) -> Params {
    let today = chain_core::date::Date::of_time(city.time_ms, chain().utc_offset_minutes);
    in_force(&city.ledger, today).unwrap()
}

fn revoke(record: RecordId) -> Operation {
    let (reason, effect) = (RevokeReason::Ended, Effect::FromNow);
    Operation::Revoke { record, version: 1, reason, effect, note: String::new() }
}

#[test]
fn parameters_hold_from_their_day_on_when_the_council_has_agreed() {
    let mut city = City::with(&state());
    assert_eq!(now(&city), Params::default());
    let record = propose(&mut city, "p1", "2026-05-13", |values| values.captured_ahead_s = 30).unwrap();
    assert_eq!(city.countersign("A1/council1", record), Err(Code::SamePerson));
    assert_eq!(city.countersign("A1/supervisor1", record), Err(Code::RoleNotAllowed));
    city.countersign("A2/council1", record).unwrap();
    city.tick("2026-05-12T23:59:59+08:00");
    assert_eq!(now(&city), Params::default());
    city.tick("2026-05-13T00:00:00+08:00");
    assert_eq!(now(&city).captured_ahead_s, 30);
    // A later set takes the place of the whole set before; when it is revoked, that one holds again.
    let later = vote(&mut city, "p2", "2026-06-01", |values| values.alert_days_max = 7);
    let last = vote(&mut city, "p3", "2026-06-02", |values| values.alert_days_max = 8);
    city.tick("2026-06-01T00:00:00+08:00");
    assert_eq!((now(&city).captured_ahead_s, now(&city).alert_days_max), (120, 7));
    city.tick("2026-06-02T00:00:00+08:00");
    assert_eq!(now(&city).alert_days_max, 8);
    for one in [last, later] {
        city.send("N/council1", revoke(one)).unwrap();
        city.countersign("A1/council1", one).unwrap();
    }
    assert_eq!((now(&city).captured_ahead_s, now(&city).alert_days_max), (30, 31));
    // Many that were revoked hide none that holds.
    for at in 0..9 {
        let day = format!("2026-07-{:02}", at + 10);
        let one = vote(&mut city, &format!("many{at}"), &day, |_| {});
        city.send("N/council1", revoke(one)).unwrap();
        city.countersign("A1/council1", one).unwrap();
    }
    city.tick("2026-08-01T00:00:00+08:00");
    assert_eq!(now(&city).captured_ahead_s, 30);
    for one in [record, later, last] {
        check_replay(&city, one);
    }
}

#[test]
fn nobody_votes_a_safeguard_below_its_floor_or_without_notice() {
    type Change = fn(&mut Params);
    let rows: &[(&str, Change)] = &[
        ("records dated ahead", |v| v.captured_ahead_s = 121),
        ("transactions that nobody can send in time", |v| v.transaction_validity_s = 3_599),
        ("transactions longer than digests are kept", |v| v.transaction_validity_s = 604_801),
        ("bodies without room for grounds", |v| v.body_bytes_max = 8_191),
        ("bodies that a block has no room for", |v| v.body_bytes_max = 16_385),
        ("alerts approved after more than an hour", |v| v.confirm_alert_within_s = 3_601),
        ("alerts that nobody can approve in time", |v| v.confirm_alert_within_s = 59),
        ("alerts without end", |v| v.alert_days_max = 32),
        ("no alerts", |v| v.alert_days_max = 0),
        ("lists that tell who is looked up", |v| v.status_list_bits_min = 131_071),
        ("lists that tell who was ended", |v| v.status_list_ttl_s_min = 299),
    ];
    let mut city = City::with(&state());
    let mut table = Table::default();
    for (what, change) in rows {
        table.refused(
            what,
            city.attempt(|city| propose(city, what, "2026-06-01", change)),
            Code::BeyondBounds,
        );
    }
    table.refused(
        "six days' notice",
        city.attempt(|city| propose(city, "n", "2026-05-12", |_| {})),
        Code::TooEarly,
    );
    for (post, code) in [
        ("A1/clerk1", Code::RoleNotAllowed),
        ("A1/admin1", Code::RoleNotAllowed),
        ("A2/council1", Code::AgencyNotCompetent),
    ] {
        table.refused(
            post,
            city.attempt(|city| city.send(post, Operation::Submit(header("r", "2026-06-01", |_| {})))),
            code,
        );
    }
    let waiting = propose(&mut city, "w", "2026-05-13", |_| {}).unwrap();
    let taken = vote(&mut city, "t", "2026-06-01", |_| {});
    table.refused(
        "a day twice",
        city.attempt(|city| propose(city, "u", "2026-06-01", |_| {})),
        Code::AlreadyExists,
    );
    let mut changed = header("t", "2026-07-01", |_| {});
    changed.version = 2;
    let amend = Operation::Amend { header: changed, reason: AmendReason::Clerical };
    table.refused("amended", city.attempt(|city| city.send("A1/council1", amend)), Code::NotAmendable);
    let mut bare = header("b", "2026-07-01", |_| {});
    bare.decided_on = Some(date("2026-05-06"));
    table.refused(
        "more than details",
        city.attempt(|city| city.send("A1/council1", Operation::Submit(bare))),
        Code::SchemaInvalid,
    );
    let mut unsourced = header("s", "2026-07-01", |_| {});
    let Details::Params(details) = &mut unsourced.details else { panic!("parameters") };
    details.source.clear();
    table.refused(
        "no resolution",
        city.attempt(|city| city.send("A1/council1", Operation::Submit(unsourced))),
        Code::MissingField,
    );
    // Who agrees late agrees to another day than was announced.
    city.at("2026-05-07T09:00:00+08:00");
    table.refused(
        "agreed too late",
        city.attempt(|city| city.countersign("A2/council1", waiting)),
        Code::TooEarly,
    );
    city.send("A1/council1", revoke(taken)).unwrap();
    city.countersign("A2/council1", taken).unwrap();
    table.row("the day of a revoked set", propose(&mut city, "v", "2026-06-01", |_| {}), Ok(()));
    table.end(rows.len() + 10);
}

#[test]
fn every_parameter_is_what_blocks_are_judged_by() {
    let mut city = City::with(&state());
    vote(&mut city, "p", "2026-05-13", |values| {
        *values = Params {
            transaction_validity_s: 3_600,
            captured_ahead_s: 10,
            body_bytes_max: 8_192,
            confirm_alert_within_s: 60,
            alert_days_max: 1,
            status_list_bits_min: 262_144,
            status_list_ttl_s_min: 600,
        };
    });
    let alert = |number: &str, sent: &str, expires: &str| {
        let body = json!({
            "identifier": number, "sender": agency("A1").to_string(), "sent": sent, "status": "test",
            "msg_type": "alert",
            "info": [{
                "lang": "en", "category": "other", "event": "test", "urgency": "immediate", "severity": "minor",
                "certainty": "unknown", "expires": expires, "headline": "test", "description": "test",
            }],
            "areas": [{ "desc": "city" }], "origin": origin(),
        });
        file(RecordType::Alert, Class::P0, number, &body).unwrap()
    };
    let list = |number: &str, bits: u32, ttl_s: u32, valid_from: &str| {
        let body = json!({
            "list_id": number, "issuer": agency("A1").to_string(), "purpose": "revocation", "bits": bits,
            "encoded": chain_core::crypto::Digest::ZERO.to_string(), "version": 1, "valid_from": valid_from,
            "ttl_s": ttl_s, "origin": origin(),
        });
        file(RecordType::StatusList, Class::P0, number, &body).unwrap()
    };
    let long = |key: &str, chars: usize| {
        let filed = licence(key);
        let mut body: serde_json::Value = serde_json::from_str(&filed.body.json).unwrap();
        let texts = ["zh-Hans", "en", "fr"].map(|lang| json!({ "lang": lang, "text": "x".repeat(chars) }));
        body["content"] = json!(texts);
        forced(filed, &body)
    };
    let mut table = Table::default();
    for (day, strict) in [("2026-05-12", false), ("2026-05-13", true)] {
        let at = |time: &str| format!("{day}T{time}+08:00");
        let want = |code: Code| if strict { Err(code) } else { Ok(()) };
        let key = |name: &str| format!("{name}{day}");
        city.at(&at("09:00:00"));
        let ahead = alert(&key("a"), &at("09:00:11"), &at("20:00:00"));
        table.row("sent ahead", city.submit("A1/clerk1", ahead), want(Code::DateOrder));
        let expires = if strict { "2026-05-14T09:00:01+08:00" } else { "2026-05-13T09:00:01+08:00" };
        let lasting = alert(&key("b"), &at("09:00:00"), expires);
        table.row("longer than a day", city.submit("A1/clerk1", lasting), want(Code::DateOrder));
        let short = list(&key("c"), 131_072, 600, &at("09:00:00"));
        table.row("a list of the old size", city.submit("A1/admin1", short), want(Code::BadNumber));
        let often = list(&key("d"), 262_144, 599, &at("09:00:00"));
        table.row("renewed as before", city.submit("A1/admin1", often), want(Code::BadNumber));
        table.row("a long body", city.submit("A1/clerk1", long(&key("e"), 3_000)), want(Code::SizeLimit));
        let (operation, body, _) = licence(&key("f")).submit();
        let until = city.time_ms + 3_600_001;
        let operations = vec![(operation, body)];
        let submission = build::submission(chain().chain_id, &secret("A1/clerk1"), until, false, operations);
        let got = verdict(&city.block(vec![submission])[0]).map_err(|refusal| refusal.code);
        table.row("valid for longer than an hour", got, want(Code::ValidityTooLong));
        let waiting = alert(&key("g"), &at("09:00:00"), &at("20:00:00"));
        let waiting = city.submit("A1/clerk1", waiting).unwrap().record;
        city.tick(&at("09:01:01"));
        let late = city.head(waiting).flags == Flags::UNCONFIRMED;
        table.row(
            "approved within a minute",
            if late { Err(Code::TooEarly) } else { Ok(()) },
            want(Code::TooEarly),
        );
    }
    table.end(14);
}
