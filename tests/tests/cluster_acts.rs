//! `city audit history` against real validators: an act is found by its agency's own number, of a core type and of a registered
//! one, and by its day.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::date::Date;
use city_tests::acts;
use city_tests::cluster::{Cluster, done, said};
use serde_json::{Value, json};

/// Files a draft as a clerk does; gives the record.
fn filed(cluster: &Cluster, name: &str, draft: &Value) -> String {
    let path = cluster.dir().join(format!("{name}.json"));
    std::fs::write(&path, draft.to_string()).unwrap();
    let output = cluster.city(&["record", "submit", path.to_str().unwrap(), "-o", "json"]);
    done(&output)["items"][0]["record"].as_str().unwrap().to_owned()
}

#[test]
fn acts_are_found_by_number_and_by_day() {
    let cluster = Cluster::up();
    let document = cluster.genesis.document();
    let able = |types: &[String]| {
        ["credit.licence", "egov.service_request"].iter().all(|name| types.iter().any(|one| one == name))
    };
    let agency = &document.agencies.iter().find(|one| able(&one.types)).unwrap().id;
    let today = Date::of_time(cluster.wait_agreed().block_time_ms, 480);
    let licence = |number: &str| {
        json!({
            "type": "credit.licence", "agency": agency, "legal_basis": "cn-administrative-licensing",
            "body": acts::licence(number, &agency.parse().unwrap(), today),
        })
    };
    let request = |number: &str| {
        let body = json!({
            "request_id": number, "service_code": "street-light", "status": "open", "stage": "received",
            "agency": agency, "opened_on": "2026-05-06", "requested": "2026-05-06T09:00:00+08:00",
            "updated": "2026-05-06T09:10:00+08:00",
            "place": { "lat_e4": 320_600, "lon_e4": 1_187_900, "datum": "CGCS2000" },
            "summary": [{ "lang": "zh-Hans", "text": "路灯不亮" }],
            "description": Digest::tagged(b"what the caller said", &[]),
            "origin": { "system": "office", "method": "manual" },
        });
        let basis = "cn-business-environment";
        json!({ "type": "egov.service_request", "agency": agency, "legal_basis": basis, "body": body })
    };
    let licences = ["L-1", "L-2"].map(|number| filed(&cluster, number, &licence(number)));
    let requests = ["SR-1", "SR-2"].map(|number| filed(&cluster, number, &request(number)));
    cluster.wait_agreed();

    let history = |more: &[&str]| {
        let output = cluster.city(&[&["audit", "history", "--agency", agency, "-o", "json"], more].concat());
        let items = done(&output)["items"].clone();
        let records =
            items.as_array().unwrap().iter().map(|item| item["record"].as_str().unwrap().to_owned());
        records.collect::<Vec<_>>()
    };
    let numbered = |name: &str, number: &str| history(&["--type", name, "--number", number]);
    assert_eq!(numbered("credit.licence", "L-2"), [licences[1].clone()]);
    assert_eq!(numbered("egov.service_request", "SR-1"), [requests[0].clone()]);
    assert!(numbered("credit.licence", "SR-1").is_empty());
    let (day, next) = (today.to_string(), today.next().to_string());
    assert_eq!(history(&["--type", "credit.licence", "--from", &day, "--to", &day]), licences);
    assert!(history(&["--type", "credit.licence", "--from", &next]).is_empty());

    let alone = cluster.city(&["audit", "history", "--number", "L-1"]);
    assert!(!alone.status.success() && said(&alone).contains(Code::BadParameter.name()), "{}", said(&alone));
    cluster.assert_clean();
}
