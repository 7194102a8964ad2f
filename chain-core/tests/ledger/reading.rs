//! What the public, other agencies and auditors see, and when.

use chain_core::api::RecordView;
use chain_core::build;
use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::leaf::Leaf;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::read::{Moment, Reader, history_entry, record_view};
use chain_core::record::RecordType;

use crate::city::{City, agency, chain, decision_body, filing, instant, licence, penalty, penalty_body};

fn view(city: &City, record: RecordId, reader: &Reader, at: &str) -> Result<RecordView, Code> {
    let head = city.head(record);
    let leaf = &city.ledger.leaves()[usize::try_from(head.current.leaf_index).unwrap()];
    let leaf = Leaf::decode(&leaf.bytes).unwrap();
    let moment = Moment::new(&chain(), city.ledger.height(), instant(at));
    let body = penalty_body("1").to_string();
    record_view(&record, &head, leaf.header().unwrap(), Some(&body), reader, moment)
        .map_err(|refusal| refusal.code)
}

fn effective_penalty(city: &mut City) -> RecordId {
    let record = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    record
}

#[test]
fn a_publication_ends_by_itself_without_a_block() {
    let mut city = City::new();
    let record = effective_penalty(&mut city);
    let others = [Reader::Public, Reader::Agency(agency("A2"))];
    for reader in &others {
        assert_eq!(view(&city, record, reader, "2026-05-05").err(), Some(Code::NotDisclosed));
        let shown = view(&city, record, reader, "2027-05-06T23:59:59+08:00").unwrap();
        assert_eq!((shown.status.as_str(), shown.flags.len()), ("effective", 0));
        assert!(shown.body.is_some());
        assert_eq!(view(&city, record, reader, "2027-05-07T00:00:00+08:00").err(), Some(Code::NotDisclosed));
    }
    for reader in [Reader::Auditor, Reader::Agency(agency("A1"))] {
        let shown = view(&city, record, &reader, "2027-05-07").unwrap();
        assert_eq!(shown.status, "effective");
        assert_eq!(shown.flags, ["publication_stopped"]);
    }
}

#[test]
fn what_is_not_in_effect_is_not_public() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    assert_eq!(view(&city, record, &Reader::Public, "2026-05-06").err(), Some(Code::NotDisclosed));
    let own = view(&city, record, &Reader::Agency(agency("A1")), "2026-05-06").unwrap();
    assert_eq!(own.missing, ["second_clerk", "supervisor"]);
    assert_eq!(own.signers.len(), 1);
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    assert!(view(&city, record, &Reader::Public, "2026-05-06").is_ok());
    let revoke = Operation::Revoke {
        record,
        version: 1,
        reason: RevokeReason::Unlawful,
        effect: Effect::FromStart,
        note: String::new(),
    };
    city.send("A1/supervisor1", revoke.clone()).unwrap();
    let waiting = view(&city, record, &Reader::Public, "2026-05-06").unwrap().pending.unwrap();
    assert_eq!((waiting.operation.as_str(), waiting.digest), ("revoke", revoke.digest()));
    assert_eq!(waiting.missing, ["legal_reviewer"]);
    city.countersign("A1/legal1", record).unwrap();
    assert_eq!(view(&city, record, &Reader::Public, "2026-05-06").err(), Some(Code::NotDisclosed));
    assert_eq!(view(&city, record, &Reader::Auditor, "2026-05-06").unwrap().status, "revoked");
}

#[test]
fn an_unpublished_licence_and_a_persons_are_not_shown() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    assert_eq!(view(&city, record, &Reader::Public, "2026-05-06").err(), Some(Code::NotDisclosed));
    let mut filing = filing(RecordType::Licence, "2");
    filing.class = chain_core::record::Class::P3;
    filing.subject_kind = chain_core::record::SubjectKind::Person;
    filing.publication[0] = Some(crate::city::date("2026-05-06"));
    let mut filed = licence("2");
    filed.header = build::file(&filing, &filed.body.json).unwrap().header;
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    for reader in [Reader::Public, Reader::Agency(agency("A2"))] {
        assert_eq!(view(&city, record, &reader, "2026-05-07").err(), Some(Code::NotDisclosed));
    }
    assert!(view(&city, record, &Reader::Agency(agency("A1")), "2026-05-07").is_ok());
}

#[test]
fn a_decision_stays_readable_after_its_end() {
    let mut city = City::new();
    let mut body = decision_body("1");
    body["ends"] = serde_json::json!("2026-12-31");
    let filed = build::file(&filing(RecordType::Decision, "1"), &body.to_string()).unwrap();
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    assert_eq!(view(&city, record, &Reader::Public, "2026-05-06").err(), Some(Code::NotDisclosed));
    city.countersign("A1/supervisor1", record).unwrap();
    assert!(view(&city, record, &Reader::Public, "2026-05-06").is_ok());
    assert_eq!(view(&city, record, &Reader::Public, "2026-04-09").err(), Some(Code::NotDisclosed));
    let ended = view(&city, record, &Reader::Public, "2027-01-01").unwrap();
    assert_eq!(ended.status, "expired");
}

#[test]
fn a_waiting_amendment_can_be_looked_at_by_its_approvers() {
    let mut city = City::new();
    let record = effective_penalty(&mut city);
    let filing = build::Filing { version: 2, ..crate::city::penalty_filing("1") };
    let mut body = penalty_body("1");
    body["publish_until"] = serde_json::json!("2026-12-31");
    let filed = build::file(&filing, &body.to_string()).unwrap();
    let header = filed.header.clone();
    let (operation, body, _) = filed.amend(AmendReason::Clerical);
    city.send_with("A1/clerk1", operation, body).unwrap();
    let head = city.head(record);
    let moment = Moment::new(&chain(), city.ledger.height(), city.time_ms);
    let own = Reader::Agency(agency("A1"));
    let next = record_view(&record, &head, &header, None, &own, moment).unwrap();
    assert_eq!((next.version, next.status.as_str()), (2, "submitted"));
    assert_eq!(next.pending.unwrap().operation, "amend");
    assert!(record_view(&record, &head, &header, None, &Reader::Public, moment).is_err());
    assert_eq!(view(&city, record, &Reader::Public, "2026-05-06").unwrap().version, 1);
}

#[test]
fn a_history_tells_every_step_with_time_and_author() {
    let mut city = City::new();
    let record = effective_penalty(&mut city);
    city.tick("2027-05-07");
    let history: Vec<_> = city
        .ledger
        .leaves()
        .iter()
        .enumerate()
        .filter(|(_, leaf)| leaf.record == Some(record))
        .filter_map(|(at, leaf)| history_entry(&Leaf::decode(&leaf.bytes).unwrap(), at as u64))
        .map(|entry| (entry.operation, entry.status, entry.author.is_some()))
        .collect();
    let step = |operation: &str, status: &str, signed| (operation.to_owned(), status.to_owned(), signed);
    assert_eq!(
        history,
        [
            step("submit", "submitted", true),
            step("countersign", "submitted", true),
            step("countersign", "effective", true),
            step("publication_end", "effective", false),
        ]
    );
}
