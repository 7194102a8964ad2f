//! Lists of records by day and by the agency's own number: what is found, by whom, and which questions are none.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod common;

use chain_core::build::{file, submission};
use chain_core::code::Code;
use chain_core::crypto::SecretKey;
use chain_core::execute::Verdict;
use chain_core::genesis::Genesis;
use chain_core::id::RecordId;
use chain_core::operation::Operation;
use chain_core::record::{Class, RecordType, SubjectKind};
use city_node::driver::core::Core;
use city_node::handle::RecordFilter;
use common::{AGENCIES, City, PUBLIC, clerk, document, filing, member, secret};
use serde_json::json;

fn supervisor() -> SecretKey {
    secret(40, 0)
}

fn city() -> City {
    let mut document = document([7960, 7961, 7962, 7963]);
    document.members.push(member(AGENCIES[0], "supervisor", "2026-01-01", &supervisor()));
    City::of(Genesis::from_document(document).unwrap(), None)
}

/// Files a licence of the first agency; published from the day of its decision on, or not at all.
fn filed(city: &City, number: &str, decided: &str, published: bool) -> RecordId {
    let text = |text: &str| json!([{ "lang": "zh-Hans", "text": text }]);
    let body = json!({
        "subject": { "id": "uscc:91440300100012316L", "kind": "organisation", "name": "示例食品有限公司" },
        "decision_no": number, "decision_title": text("食品经营许可决定书"), "licence_class": "ordinary",
        "content": text("准予食品经营许可"), "decided_on": decided, "valid_from": decided, "valid_to": "2099-05-06",
        "issuer": AGENCIES[0], "data_source": AGENCIES[0],
        "origin": { "system": "permit-desk", "method": "import" },
    });
    let mut filing = filing(&city.genesis, AGENCIES[0], RecordType::Licence, number);
    (filing.class, filing.subject_kind) = (Class::P1, SubjectKind::Organisation);
    if published {
        filing.publication[0] = Some(decided.parse().unwrap());
    }
    let (operation, body, _) = file(&filing, &body.to_string()).unwrap().submit();
    done(city, &clerk(0), operation, body)
}

fn done(
    city: &City,
    key: &SecretKey,
    operation: Operation,
    body: Option<chain_core::transaction::Body>,
) -> RecordId {
    let until = Core::wall_ms() + 3_600_000;
    let signed = submission(city.genesis.chain_id(), key, until, false, vec![(operation, body)]);
    let tx = city.node(0).submit(signed).unwrap();
    let status = city.executed(0, tx);
    city.executed(PUBLIC, tx);
    match &status.outcomes[0].verdict {
        Verdict::Accepted { record, .. } => *record,
        Verdict::Refused(refusal) => panic!("{refusal}"),
    }
}

fn approved(city: &City, record: RecordId) {
    let header_digest = city.node(0).record(record).unwrap().header_digest;
    done(city, &supervisor(), Operation::Countersign { record, version: 1, header_digest }, None);
}

fn licences() -> RecordFilter {
    RecordFilter {
        agency: Some(AGENCIES[0].into()),
        record_type: Some("credit.licence".into()),
        ..RecordFilter::default()
    }
}

/// All records of a list, read in pages of one.
fn listed(city: &City, ix: usize, filter: &RecordFilter) -> Vec<RecordId> {
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = city.node(ix).records(filter, cursor.as_deref(), 1).unwrap();
        found.extend(page.items.iter().map(|view| view.record));
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return found,
        }
    }
}

#[test]
fn records_are_found_by_day_and_number_and_a_number_that_is_not_public_by_nobody_who_may_not_see_it() {
    let mut city = city();
    city.start_all();
    city.until("all vote", |city| (0..4).all(|ix| city.node(ix).status().voting));
    let hidden = filed(&city, "L-1", "2026-05-06", false);
    let waiting = filed(&city, "L-2", "2026-05-07", true);
    let shown = filed(&city, "L-3", "2026-05-08", true);
    approved(&city, hidden);
    approved(&city, shown);

    let numbered = |number: &str| RecordFilter { number: Some(number.into()), ..licences() };
    for (number, record) in [("L-1", hidden), ("L-2", waiting), ("L-3", shown)] {
        assert_eq!(listed(&city, 0, &numbered(number)), [record], "{number}");
        let public = listed(&city, PUBLIC, &numbered(number));
        assert_eq!(public, if record == shown { vec![shown] } else { Vec::new() }, "{number}");
    }
    assert_eq!(listed(&city, 0, &numbered("L-")), [], "the number as a whole");
    let of_other = RecordFilter { agency: Some(AGENCIES[1].into()), ..numbered("L-3") };
    assert_eq!(listed(&city, 0, &of_other), []);

    let days = |from: Option<&str>, to: Option<&str>| RecordFilter {
        from: from.map(|day| day.parse().unwrap()),
        to: to.map(|day| day.parse().unwrap()),
        ..licences()
    };
    for ix in [0, PUBLIC] {
        assert_eq!(listed(&city, ix, &days(None, None)), [hidden, waiting, shown]);
        assert_eq!(listed(&city, ix, &days(Some("2026-05-07"), None)), [waiting, shown]);
        assert_eq!(listed(&city, ix, &days(None, Some("2026-05-07"))), [hidden, waiting]);
        assert_eq!(listed(&city, ix, &days(Some("2026-05-07"), Some("2026-05-07"))), [waiting]);
        assert_eq!(listed(&city, ix, &days(Some("2026-05-09"), None)), []);
    }
    let effective = RecordFilter { status: Some("effective".into()), ..days(Some("2026-05-07"), None) };
    assert_eq!(listed(&city, 0, &effective), [shown]);
    // What the genesis laid down has no day.
    let agencies =
        |from| RecordFilter { record_type: Some("gov.agency".into()), from, ..RecordFilter::default() };
    assert_eq!(listed(&city, 0, &agencies(None)).len(), 4);
    assert_eq!(listed(&city, 0, &agencies(Some("2000-01-01".parse().unwrap()))), []);

    let refused = |filter: RecordFilter| city.node(0).records(&filter, None, 10).unwrap_err().code;
    assert_eq!(refused(days(Some("2026-05-08"), Some("2026-05-07"))), Code::BadParameter);
    assert_eq!(refused(RecordFilter { agency: None, ..numbered("L-1") }), Code::BadParameter);
    assert_eq!(refused(RecordFilter { record_type: None, ..numbered("L-1") }), Code::BadParameter);
}
