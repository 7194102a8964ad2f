//! What rests on a record ends with it: all of it, however much, a bounded number in each block.

use chain_core::build::{self, Filing};
use chain_core::code::Code;
use chain_core::execute::{CASCADE_STEPS_MAX, GenesisState};
use chain_core::id::RecordId;
use chain_core::operation::{Effect, Operation, RevokeReason};
use chain_core::record::governance::BasisDetails;
use chain_core::record::{BasisRef, RecordType};
use serde_json::{Value, json};

use crate::city::{
    City, agency_details, basis_details, filing, fingerprint_body, genesis, organisation, penalty, verdict,
};

const TYPES: [RecordType; 5] = [
    RecordType::Licence,
    RecordType::Penalty,
    RecordType::Measure,
    RecordType::Decision,
    RecordType::DocFingerprint,
];

fn city() -> City {
    let mut genesis: GenesisState = genesis();
    genesis.agencies[0] = agency_details("A1", &TYPES);
    let types = vec![RecordType::Measure];
    genesis.bases.push(BasisDetails { types, ..basis_details("measures") });
    City::with(&genesis)
}

fn measure(key: &str, base: RecordId, notice: RecordId) -> build::Filed {
    let legal_basis = Some(BasisRef { id: "measures".to_owned(), version: 1 });
    let filing = Filing { legal_basis, ..filing(RecordType::Measure, key) };
    let text: Value = json!([{ "lang": "zh-Hans", "text": "与失信行为相关" }]);
    let body = json!({
        "subject": organisation(), "measure_code": key, "direction": "restriction", "matter_code": "m",
        "from": "2026-05-06", "until": "2027-05-06", "based_on": base, "relation": text, "notice": notice,
        "origin": { "system": "permit-desk", "method": "import" },
    });
    build::file(&filing, &body.to_string()).unwrap()
}

fn ended(city: &City, records: &[RecordId]) -> usize {
    records.iter().filter(|record| city.status(**record) == "expired").count()
}

#[test]
fn what_one_block_has_no_room_for_follows_in_the_next_ones() {
    let mut city = city();
    let base = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    city.countersign("A1/clerk2", base).unwrap();
    city.countersign("A1/supervisor1", base).unwrap();
    let mut document = filing(RecordType::DocFingerprint, "notice");
    document.class = chain_core::record::Class::P0;
    let notice = build::file(&document, &fingerprint_body().to_string()).unwrap();
    let notice = city.submit("A1/clerk1", notice).unwrap().record;

    let count = 2 * CASCADE_STEPS_MAX + 10;
    let filed: Vec<_> = (0..count).map(|at| measure(&format!("M{at}"), base, notice).submit()).collect();
    let operations = filed.into_iter().map(|(operation, body, _)| (operation, body)).collect();
    let records: Vec<RecordId> =
        city.send_all("A1/clerk1", operations).into_iter().map(|got| got.unwrap().record).collect();
    let approve = |city: &City, record: RecordId| {
        let header_digest = city.head(record).current.header_digest;
        (Operation::Countersign { record, version: 1, header_digest }, None)
    };
    let operations = records.iter().map(|record| approve(&city, *record)).collect();
    assert!(city.send_all("A1/supervisor1", operations).iter().all(Result::is_ok));
    assert_eq!(ended(&city, &records), 0);

    let (reason, effect) = (RevokeReason::Unlawful, Effect::FromNow);
    let revoke = Operation::Revoke { record: base, version: 1, reason, effect, note: String::new() };
    city.send("A1/supervisor1", revoke).unwrap();
    city.countersign("A1/legal1", base).unwrap();
    for blocks in 1..=3 {
        assert_eq!(ended(&city, &records), count.min(blocks * CASCADE_STEPS_MAX), "after {blocks} blocks");
        let submission = Vec::new();
        assert!(city.block(submission).iter().all(|outcome| verdict(outcome).is_ok()));
    }

    // Nothing new comes to rest on what has ended.
    let late = measure("late", base, notice);
    assert_eq!(city.submit("A1/clerk1", late), Err(Code::BadState));
}
