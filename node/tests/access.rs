//! Questions about what is not public: who is answered, who is refused with which code, and what of it is in whose log
//! (docs/operate/access.md).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod common;

use chain_core::access::{Answer, DayEntries, Query, Question, SignedQuery, tree};
use chain_core::code::Code;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::date::Date;
use chain_core::execute::Verdict;
use chain_core::genesis::{AgencyEntry, Genesis};
use chain_core::id::{ChainId, RecordId};
use chain_core::record::RecordType;
use chain_core::transaction::Submission;
use city_node::config::ReaderConfig;
use city_node::driver::core::Core;
use common::{AGENCIES, City, clerk, document, filed, filing, licence, member, secret};
use serde_json::json;

/// At home at the first validator, with a vault there.
const GUEST: &str = "register:CN-T:8";
/// At home there too, and at an end.
const ENDED: &str = "register:CN-T:9";
const SKEW_MS: u64 = 5 * 60 * 1_000;

fn officer(number: usize) -> SecretKey {
    secret(40, number)
}

fn privacy_officer() -> SecretKey {
    officer(0)
}

fn of_guest() -> SecretKey {
    officer(1)
}

fn not_yet_in_office() -> SecretKey {
    officer(2)
}

fn of_ended() -> SecretKey {
    officer(3)
}

fn auditor() -> SecretKey {
    officer(4)
}

fn city() -> City {
    let mut document = document([7920, 7921, 7922, 7923]);
    let agency = |id: &str, to: Option<&str>| AgencyEntry {
        id: id.into(),
        name: format!("示例机关{id}"),
        home_validator: "v0".into(),
        to: to.map(Into::into),
        ..document.agencies[0].clone()
    };
    let others = [agency(GUEST, None), agency(ENDED, Some("2026-05-02"))];
    document.agencies.extend(others);
    document.members.extend([
        member(AGENCIES[0], "privacy_officer", "2026-01-01", &privacy_officer()),
        member(AGENCIES[0], "auditor", "2026-01-01", &auditor()),
        member(AGENCIES[0], "supervisor", "2099-01-01", &not_yet_in_office()),
        member(GUEST, "clerk", "2026-01-01", &of_guest()),
        member(ENDED, "clerk", "2026-01-01", &of_ended()),
    ]);
    let administrators = (0..4).map(|number| (if number < 2 { GUEST } else { ENDED }, officer(50 + number)));
    document
        .members
        .extend(administrators.map(|(agency, key)| member(agency, "agency_admin", "2026-01-01", &key)));
    document.legal_bases[0].permits.types.push("egov.procurement".into());
    document.legal_bases[0].permits.subject_kinds.push("none".into());
    document.agencies[0].types.push("egov.procurement".into());
    let reader = |agency: &str, types: &[&str]| ReaderConfig {
        agency: agency.into(),
        of: None,
        types: types.iter().map(|one| one.parse().unwrap()).collect(),
    };
    let readers = vec![
        reader(AGENCIES[1], &["egov.procurement", "credit.licence"]),
        reader(GUEST, &["egov.exchange_batch"]),
    ];
    let vaults = (vec![GUEST.into(), ENDED.into()], readers);
    City::of(Genesis::from_document(document).unwrap(), Some(vaults))
}

fn about(record: RecordId, nonce: u64) -> Query {
    Query {
        question: Question::Body,
        record: Some(record),
        version: None,
        day: None,
        purpose: "objection 12".to_owned(),
        time_ms: Core::wall_ms(),
        nonce: Digest::tagged(b"question", &[&nonce.to_be_bytes()]),
    }
}

/// What a validator says to a question: the answer or the code.
fn ask(city: &City, ix: usize, asked: &SignedQuery) -> Result<Answer, Code> {
    city.node(ix).access(asked).map_err(|refusal| refusal.code)
}

fn entries(city: &City, query: Query, key: &SecretKey) -> Vec<DayEntries> {
    match ask(city, 0, &query.sign(city.genesis.chain_id(), key)) {
        Ok(Answer::Entries(days)) => days,
        other => panic!("{other:?}"),
    }
}

/// A call for tenders of the first agency that is not opened yet, signed with some key.
fn tender(city: &City, release: &str, key: &SecretKey) -> Submission {
    let body = json!({
        "ocid": "ocds-213czf-000-00001",
        "release_id": release,
        "tags": ["tender"],
        "date": "2026-05-06T08:00:00+08:00",
        "title": [{ "lang": "zh-Hans", "text": "道路照明改造工程" }],
        "buyer": AGENCIES[0],
        "method": "open",
        "status": "planned",
        "package": Digest::tagged(b"package", &[release.as_bytes()]).to_string(),
        "origin": { "system": "tenders", "method": "import" },
    });
    let filing = filing(&city.genesis, AGENCIES[0], RecordType::Procurement, release);
    filed(&city.genesis, &filing, &body, key)
}

#[test]
fn what_is_restricted_to_named_agencies_is_read_by_their_officers_and_logged_with_the_agency_that_filed_it() {
    let mut city = city();
    city.start_all();
    city.until("all vote", |city| (0..4).all(|ix| city.node(ix).status().voting));

    // No officer but one who may file the record fills the agency's vault.
    let strangers = [
        (of_guest(), Code::AgencyNotCompetent),
        (secret(5, 0), Code::RoleNotAllowed),
        (not_yet_in_office(), Code::MemberSuspended),
    ];
    for (key, code) in strangers {
        assert_eq!(city.node(0).submit(tender(&city, "r1", &key)).unwrap_err().code, code);
    }
    let record = |submission: Submission| {
        let tx = city.node(0).submit(submission).unwrap();
        match city.executed(0, tx).outcomes[0].verdict {
            Verdict::Accepted { record, .. } => record,
            ref other => panic!("{other:?}"),
        }
    };
    let tender = record(tender(&city, "r1", &clerk(0)));
    let licence = record(licence(&city.genesis, 0, "L-1"));

    let chain = city.genesis.chain_id();
    let mut nonce = 0;
    let mut next = |record| {
        nonce += 1;
        about(record, nonce)
    };
    for key in [clerk(0), clerk(1)] {
        let Ok(Answer::Body { version: 1, body }) = ask(&city, 0, &next(tender).sign(chain, &key)) else {
            panic!("not answered")
        };
        assert!(body.json.contains("ocds-213czf-000-00001"));
    }
    let refused = [
        // Named, in an office that asks for no bodies.
        (next(tender), secret(5, 1), Code::RoleNotAllowed),
        // Named for the type, and the record is not in class P2.
        (next(licence), clerk(1), Code::NotOwnNode),
        // Named for bodies, not for who asked.
        (Query { question: Question::WhoAsked, ..next(tender) }, clerk(1), Code::NotOwnNode),
        // Of an agency that nobody named, and of one that is named for another type.
        (next(tender), clerk(2), Code::NotOwnNode),
        (next(tender), of_guest(), Code::AgencyNotCompetent),
    ];
    for (query, key, code) in refused {
        assert_eq!(ask(&city, 0, &query.sign(chain, &key)), Err(code));
    }

    // The agency whose record it is sees who asked, of whatever agency.
    let who = Query { question: Question::WhoAsked, ..next(tender) };
    let told = entries(&city, who, &privacy_officer());
    let told: Vec<_> =
        told[0].entries.iter().map(|one| (one.entry.asked.officer, one.entry.refused)).collect();
    let denied = Some(Code::RoleNotAllowed.number());
    assert_eq!(told, [(clerk(0).public(), None), (clerk(1).public(), None), (secret(5, 1).public(), denied)]);
}

#[test]
fn a_question_is_answered_or_refused_by_its_code_and_stands_in_the_log_of_its_agency() {
    let mut city = city();
    city.start_all();
    city.until("all vote", |city| (0..4).all(|ix| city.node(ix).status().voting));
    let submission = licence(&city.genesis, 0, "L-1");
    let tx = city.node(0).submit(submission).unwrap();
    let Verdict::Accepted { record, .. } = city.executed(0, tx).outcomes[0].verdict else {
        panic!("refused")
    };
    let chain = city.genesis.chain_id();
    let mut nonce = 0;
    let mut next = || {
        nonce += 1;
        about(record, nonce)
    };

    let asked = next().sign(chain, &clerk(0));
    let Ok(Answer::Body { version: 1, body }) = ask(&city, 0, &asked) else { panic!("not answered") };
    assert!(body.json.contains("L-1"));
    let refused = |asked: &SignedQuery| ask(&city, 0, asked).expect_err("a refusal");

    // Before it is known that an officer asks, nothing is written down.
    let strangers = [
        (next().sign(ChainId::new(Digest::ZERO), &clerk(0)), Code::BadSignature),
        (SignedQuery { officer: clerk(1).public(), ..next().sign(chain, &clerk(0)) }, Code::BadSignature),
        (next().sign(chain, &officer(99)), Code::UnknownAuthor),
        (next().sign(chain, &not_yet_in_office()), Code::MemberSuspended),
        (next().sign(chain, &of_ended()), Code::AgencySuspended),
        // The vault of this officer's agency is not here.
        (next().sign(chain, &clerk(1)), Code::NotOwnNode),
        (Query { purpose: " ".to_owned(), ..next() }.sign(chain, &clerk(0)), Code::MissingField),
        (Query { record: None, ..next() }.sign(chain, &clerk(0)), Code::BadParameter),
        (
            Query { time_ms: Core::wall_ms() - SKEW_MS - 1_000, ..next() }.sign(chain, &clerk(0)),
            Code::Expired,
        ),
        (
            Query { time_ms: Core::wall_ms() + SKEW_MS + 60_000, ..next() }.sign(chain, &clerk(0)),
            Code::Expired,
        ),
        (asked, Code::Replayed),
    ];
    for (asked, code) in &strangers {
        assert_eq!(refused(asked), *code);
    }
    assert_eq!(ask(&city, 1, &next().sign(chain, &clerk(1))), Err(Code::NotOwnNode), "no vault at all");

    // What officers of the agency are refused is written down with its code.
    let nobody = RecordId::new(Digest::tagged(b"nobody", &[]));
    let officers = [
        (next().sign(chain, &secret(5, 0)), Code::RoleNotAllowed),
        (Query { version: Some(2), ..next() }.sign(chain, &clerk(0)), Code::RecordNotFound),
        (Query { record: Some(nobody), ..next() }.sign(chain, &clerk(0)), Code::RecordNotFound),
    ];
    for (asked, code) in &officers {
        assert_eq!(refused(asked), *code);
    }
    // An officer of another agency at home here learns nothing, and has an entry in that agency's log.
    assert_eq!(refused(&next().sign(chain, &of_guest())), Code::AgencyNotCompetent);

    let who = |query: Query| Query { question: Question::WhoAsked, ..query };
    let told = entries(&city, who(next()), &privacy_officer());
    assert_eq!(told.len(), 1);
    let codes = |days: &[DayEntries]| -> Vec<Option<u16>> {
        days.iter().flat_map(|day| &day.entries).map(|one| one.entry.refused).collect()
    };
    let about_it = [None, Some(Code::RoleNotAllowed.number()), Some(Code::RecordNotFound.number())];
    assert_eq!(codes(&told), about_it, "and nothing about another record, or of another agency");
    let today = Date::of_time(Core::wall_ms(), city.genesis.document().utc_offset_minutes);
    let day = |query: Query| Query { question: Question::Day, record: None, day: Some(today), ..query };
    let whole = entries(&city, day(next()), &auditor());
    let about_all = [&about_it[..], &about_it[2..], &[None]].concat();
    assert_eq!(codes(&whole), about_all);
    let log: Vec<_> = whole[0].entries.iter().map(|one| one.entry.clone()).collect();
    assert_eq!((whole[0].root.queries, whole[0].root.root), (5, tree(&log).root()));

    // The roots of two agencies' days are two, and the asking of the auditor above is in the one.
    let queries =
        |agency: &str| city.node(0).access_root(&agency.parse().unwrap(), today).map(|root| root.queries);
    assert_eq!(queries(AGENCIES[0]).unwrap(), 6);
    assert_eq!(queries(GUEST).unwrap(), 1);
    assert_eq!(queries(ENDED).unwrap(), 0);
    assert_eq!(queries(AGENCIES[1]).unwrap_err().code, Code::NotOwnNode);

    // After a restart each log goes on, and what was answered is known.
    city.stop(0);
    city.start(0);
    city.until("it votes", |city| city.node(0).status().voting);
    assert_eq!(ask(&city, 0, &officers[0].0), Err(Code::Replayed));
    assert_eq!(entries(&city, who(next()), &privacy_officer())[0].entries.len(), 4);
}
