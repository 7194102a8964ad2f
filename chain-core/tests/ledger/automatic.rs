//! What happens by itself when a day has passed.

use chain_core::execute::AUTOMATIC_STEPS_MAX;
use chain_core::leaf::Leaf;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason, Step};
use chain_core::record::RecordType;
use serde_json::json;

use crate::city::{City, filing, licence, licence_body, penalty};

fn automatic(city: &City) -> Vec<(Step, String)> {
    city.ledger
        .leaves()
        .iter()
        .filter_map(|leaf| match Leaf::decode(&leaf.bytes).unwrap() {
            Leaf::Automatic(step) => Some((step.step, step.due.to_string())),
            _ => None,
        })
        .collect()
}

#[test]
fn publication_ends_at_local_midnight_after_its_last_day() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    city.tick("2027-05-06T23:59:59+08:00");
    assert!(city.head(record).flags.names().is_empty());
    city.tick("2027-05-07T00:00:00+08:00");
    let head = city.head(record);
    assert_eq!((head.current.status.name(), head.flags.names()), ("effective", vec!["publication_stopped"]));
    assert_eq!(automatic(&city), [(Step::PublicationEnd, "2027-05-07".to_owned())]);
    city.tick("2027-05-08");
    assert_eq!(automatic(&city).len(), 1);
}

#[test]
fn a_licence_expires_after_its_last_day() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    city.tick("2027-05-06T23:59:59+08:00");
    assert_eq!(city.status(record), "effective");
    city.tick("2027-05-07T00:00:00+08:00");
    assert_eq!(city.status(record), "expired");
    assert_eq!(automatic(&city), [(Step::Expire, "2027-05-07".to_owned())]);
}

#[test]
fn only_records_in_effect_expire() {
    let mut city = City::new();
    let submitted = city.submit("A1/clerk1", licence("1")).unwrap().record;
    let suspended = city.effective_licence("2");
    let suspend =
        Operation::Suspend { record: suspended, version: 1, until: None, reason: "court order".to_owned() };
    city.send("A1/supervisor1", suspend).unwrap();
    city.tick("2027-06-01");
    assert_eq!((city.status(submitted), city.status(suspended)), ("submitted", "expired"));
    // Approved after its end: effective, and over with the next block.
    city.countersign("A1/supervisor1", submitted).unwrap();
    assert_eq!(city.status(submitted), "effective");
    city.tick("2027-06-01T00:00:01+08:00");
    assert_eq!(city.status(submitted), "expired");
}

#[test]
fn a_revoked_record_stays_revoked() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    let revoke = Operation::Revoke {
        record,
        version: 1,
        reason: RevokeReason::Revoked,
        effect: Effect::FromNow,
        note: String::new(),
    };
    city.send("A1/supervisor1", revoke).unwrap();
    city.countersign("A1/legal1", record).unwrap();
    city.tick("2027-05-07");
    assert_eq!(city.status(record), "revoked");
    assert!(automatic(&city).is_empty());
}

#[test]
fn a_renewed_licence_outlives_its_first_term() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    let mut body = licence_body("1");
    body["valid_to"] = json!("2028-05-06");
    let filing = chain_core::build::Filing { version: 2, ..filing(RecordType::Licence, "1") };
    let filed = chain_core::build::file(&filing, &body.to_string()).unwrap();
    let (operation, body, _) = filed.amend(AmendReason::Renewal);
    city.send_with("A1/clerk1", operation, body).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    city.tick("2027-05-07");
    assert_eq!(city.status(record), "effective");
    assert!(automatic(&city).is_empty());
    city.tick("2028-05-07");
    assert_eq!(city.status(record), "expired");
}

#[test]
fn a_publication_stopped_by_hand_does_not_end_twice() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    let stop = Operation::StopPublication { record, version: 1, reason: "court order".to_owned() };
    city.send("A1/supervisor1", stop).unwrap();
    city.tick("2027-05-07");
    assert!(automatic(&city).is_empty());
}

#[test]
fn a_block_carries_out_a_bounded_number_of_steps() {
    let mut city = City::new();
    let count = AUTOMATIC_STEPS_MAX + 10;
    let operations: Vec<_> = (0..count)
        .map(|at| {
            let (operation, body, _) = licence(&at.to_string()).submit();
            (operation, body)
        })
        .collect();
    let records: Vec<_> = city.send_all("A1/clerk1", operations).into_iter().map(Result::unwrap).collect();
    let approvals = records
        .iter()
        .map(|accepted| {
            let header_digest = city.head(accepted.record).current.header_digest;
            (Operation::Countersign { record: accepted.record, version: 1, header_digest }, None)
        })
        .collect();
    assert!(city.send_all("A1/supervisor1", approvals).iter().all(Result::is_ok));
    city.tick("2027-05-07");
    assert_eq!(automatic(&city).len(), AUTOMATIC_STEPS_MAX);
    city.tick("2027-05-07T00:00:01+08:00");
    assert_eq!(automatic(&city).len(), count);
}
