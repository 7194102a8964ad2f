//! Erasure: who may order it, what it leaves, who confirms it, and that the chain replays without the bodies.

use chain_core::code::Code;
use chain_core::execute::{
    GenesisState, LedgerRead as _, OrderedBatch, OrderedBlock, Outcome, execute_block,
};
use chain_core::id::RecordId;
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::operation::{Effect, EraseGround, Operation, RevokeReason};
use chain_core::record::governance::{MemberDetails, Role};
use chain_core::state::{BodyPlace, ErasureEntry, Flags, key};
use chain_core::subject::{Index, IndexEntry};
use chain_core::transaction::Submission;

use crate::city::{City, batch, chain, index_key, licence, member_details, penalty_with, public};
use crate::validators::genesis_of;

pub(crate) const POST: &str = "A1/privacy1";

pub(crate) fn city() -> City {
    let mut members = genesis_of(4).members;
    let officer = |name| MemberDetails { role: Role::PrivacyOfficer, ..member_details(name, "privacy1") };
    members.extend([officer("A1"), officer("A2")]);
    City::with(&GenesisState { members, index: Some(index_key().public()), ..genesis_of(4) })
}

fn order(city: &City, record: RecordId, ground: EraseGround) -> Operation {
    let version = city.ledger.head(&record).map_or(1, |head| head.current.version);
    Operation::Erase { record, version, ground, note: "file 7".to_owned() }
}

/// Ordered by the privacy officer and approved by the auditor.
pub(crate) fn erase(city: &mut City, record: RecordId) {
    let operation = order(city, record, EraseGround::Unlawful);
    city.send(POST, operation).unwrap();
    city.countersign("N/auditor1", record).unwrap();
}

fn entry(city: &City, record: RecordId) -> Option<ErasureEntry> {
    let bytes = city.ledger.get(&key::erasure(&record)).unwrap()?;
    Some(ErasureEntry::from_canonical(&bytes).unwrap())
}

fn confirm(record: RecordId) -> Operation {
    Operation::ConfirmErasure { record, version: 1, bodies: 1 }
}

#[test]
fn an_erasure_takes_a_privacy_officer_and_an_auditor() {
    let mut city = city();
    let record = city.effective_licence("1");
    let operation = order(&city, record, EraseGround::Court);
    for (post, code) in [
        ("A1/clerk1", Code::RoleNotAllowed),
        ("A1/supervisor1", Code::RoleNotAllowed),
        ("N/auditor1", Code::AgencyNotCompetent),
        ("A2/privacy1", Code::AgencyNotCompetent),
    ] {
        assert_eq!(city.send(post, operation.clone()), Err(code), "{post}");
    }
    city.send(POST, operation).unwrap();
    assert_eq!(city.status(record), "effective", "nobody has agreed yet");
    assert_eq!(entry(&city, record), None);
    for post in [POST, "A1/supervisor1", "A1/legal1", "A2/privacy1", "A1/council1"] {
        assert!(city.countersign(post, record).is_err(), "{post}");
    }
    let leaf = city.countersign("N/auditor1", record).unwrap().leaf_index;
    let head = city.head(record);
    assert_eq!(head.current.status.name(), "erased");
    assert!(head.flags.contains(Flags::PUBLICATION_STOPPED) && head.pending.is_none());
    let entry = entry(&city, record).unwrap();
    assert_eq!((entry.height, entry.leaf_index, entry.version), (city.ledger.height(), leaf, 1));
    assert_eq!(entry.awaited, ["v001", "v002", "v003", "v004"]);
    // That is the end of it: nothing follows an erasure but its confirmations.
    let again = order(&city, record, EraseGround::Court);
    assert_eq!(city.send(POST, again), Err(Code::BadState));
    let revoke = Operation::Revoke {
        record,
        version: 1,
        reason: RevokeReason::Annulled,
        effect: Effect::FromNow,
        note: String::new(),
    };
    assert_eq!(city.send("A1/supervisor1", revoke), Err(Code::BadState));
    city.tick("2028-01-01");
    assert_eq!(city.status(record), "erased", "no date changes it");
}

#[test]
fn a_ground_must_be_one_for_the_record() {
    let mut city = city();
    let record = city.effective_licence("1");
    for (ground, code) in
        [(EraseGround::RetentionEnd, Code::TooEarly), (EraseGround::Request, Code::SubjectKindNotPermitted)]
    {
        let operation = order(&city, record, ground);
        assert_eq!(city.send(POST, operation), Err(code), "{}", ground.name());
    }
    let stale = Operation::Erase { record, version: 2, ground: EraseGround::Court, note: String::new() };
    assert_eq!(city.send(POST, stale), Err(Code::VersionConflict));
    // Once it has expired, there is something whose retention can end: five years later.
    city.tick("2027-05-08");
    assert_eq!(city.status(record), "expired");
    let operation = order(&city, record, EraseGround::RetentionEnd);
    assert_eq!(city.send(POST, operation.clone()), Err(Code::TooEarly));
    city.tick("2032-05-09");
    assert_eq!(city.status(record), "sealed");
    city.send(POST, operation).unwrap();
    city.countersign("N/auditor1", record).unwrap();
    assert_eq!(city.status(record), "erased");
}

#[test]
fn every_validator_confirms_once_under_its_log_key() {
    let mut city = city();
    let record = city.effective_licence("1");
    let other = city.effective_licence("2");
    assert_eq!(city.send("v001/log1", confirm(record)), Err(Code::NotAwaited));
    erase(&mut city, record);
    for post in ["A1/clerk1", "N/auditor1", "v001/consensus1", "v009/log1"] {
        assert_eq!(city.send(post, confirm(record)), Err(Code::UnknownAuthor), "{post}");
    }
    let wrong = Operation::ConfirmErasure { record, version: 2, bodies: 1 };
    assert_eq!(city.send("v001/log1", wrong), Err(Code::VersionConflict));
    let verdicts = city.send_all("v001/log1", vec![(confirm(record), None), (confirm(other), None)]);
    let leaf = verdicts[0].as_ref().unwrap().leaf_index;
    assert_eq!(verdicts[1].as_ref().unwrap_err().code, Code::NotAwaited);
    assert_eq!(city.send("v001/log1", confirm(record)), Err(Code::NotAwaited), "its word is given once");
    let Ok(Leaf::Erasure(word)) = Leaf::decode(&city.ledger.leaves()[usize::try_from(leaf).unwrap()].bytes)
    else {
        panic!("another leaf");
    };
    assert_eq!((word.validator.as_str(), word.author), ("v001", public("v001/log1")));
    city.send("v003/log1", confirm(record)).unwrap();
    let entry = entry(&city, record).unwrap();
    assert_eq!(entry.awaited, ["v002", "v004"]);
    let names: Vec<_> = entry.confirmed.iter().map(|one| (one.validator.as_str(), one.bodies)).collect();
    assert_eq!(names, [("v001", 1), ("v003", 1)]);
    // Confirmations come alone.
    let mixed = city.send_all(
        "v002/log1",
        vec![(confirm(record), None), (order(&city, other, EraseGround::Court), None)],
    );
    assert!(mixed.iter().all(Result::is_err));
    let mixed = vec![(confirm(record), None), (order(&city, other, EraseGround::Court), None)];
    let codes: Vec<_> =
        city.send_all(POST, mixed).iter().map(|one| one.as_ref().map_err(|one| one.code).is_ok()).collect();
    assert_eq!(codes, [false, true]);
}

/// What one block erases is what its result names: also what comes later for the record, and never what was taken back.
#[test]
fn a_result_names_the_records_whose_bodies_must_go() {
    let mut city = city();
    let (operation, body, _) = licence("1").submit();
    let record = operation.record();
    city.send_with("A1/clerk1", operation.clone(), body.clone()).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    let idle = |city: &City| {
        let (from, to) = key::idle_bodies(&record);
        let found = city.ledger.range(&from, &to, 100).unwrap();
        found.iter().map(|(key, _)| key::parse_idle_body(key).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(idle(&city), []);
    // Sent again in another transaction: it is the same record, and a second copy of its body.
    assert!(city.send_with("A1/clerk1", operation.clone(), body.clone()).unwrap().duplicate);
    let place = BodyPlace { height: city.ledger.height(), batch: 0, position: 0, operation: 0 };
    assert_eq!(idle(&city), [place]);
    assert_eq!(city.erased, []);

    let bad = order(&city, RecordId::new(chain_core::crypto::Digest::ZERO), EraseGround::Court);
    let good = order(&city, record, EraseGround::Court);
    let digest = good.digest();
    city.send(POST, good).unwrap();
    let approval = Operation::Countersign { record, version: 1, header_digest: digest };
    let refused = Operation::Withdraw { record: bad.record(), version: 1 };
    let both = chain_core::build::submission(
        chain().chain_id,
        &crate::city::secret("N/auditor1"),
        city.time_ms + 5,
        true,
        vec![(approval, None), (refused, None)],
    );
    city.block(vec![both]);
    assert_eq!(city.status(record), "effective", "taken back with its transaction");
    assert_eq!(city.erased, []);
    city.countersign("N/auditor1", record).unwrap();
    assert_eq!(city.erased, [record]);
    city.block(Vec::new());
    assert_eq!(city.erased, []);
    // Brought once more after the erasure: that copy goes as well.
    assert!(city.send_with("A1/clerk1", operation, body).unwrap().duplicate);
    assert_eq!(city.erased, [record]);
    assert_eq!(idle(&city).len(), 2);
}

#[test]
fn a_legal_hold_comes_first() {
    let mut city = city();
    let record = city.effective_licence("1");
    let mut head = city.head(record);
    head.flags = head.flags.with(Flags::LEGAL_HOLD);
    let header = city.header();
    let block = OrderedBlock { header: &header, batches: Vec::new(), index: Index::Computed(&index_key()) };
    let mut result = execute_block(&city.ledger, &chain(), city.ledger.exec_state(), &block).unwrap();
    result.state.push((key::record(&record), Some(head.to_canonical())));
    city.ledger.apply(result);
    let operation = order(&city, record, EraseGround::Court);
    assert_eq!(city.send(POST, operation), Err(Code::LegalHold));
}

/// Executes a block that misses bodies, with what was recorded of its first execution.
fn replay(city: &mut City, submissions: &[Submission], outcomes: &[Outcome], after: Option<IndexEntry>) {
    let header = city.header();
    let batch = batch(submissions.to_vec());
    let signatures_ok = vec![true; submissions.len()];
    let ordered = OrderedBatch { batch: &batch, signatures_ok: &signatures_ok, recorded: Some(outcomes) };
    let own = index_key();
    let block =
        OrderedBlock { header: &header, batches: vec![ordered], index: Index::Completed(&own, after) };
    assert_eq!(city.ledger.execute(&block).unwrap(), outcomes);
}

/// A node that comes after the erasure has never seen the body. It goes by the record of the first execution until the
/// body would have been forgotten anyway, and from there on finds for itself what everybody finds.
#[test]
fn a_node_that_never_saw_the_body_comes_to_the_same_state() {
    let index = |city: &City| {
        let bytes = city.ledger.get(&key::index()).unwrap().unwrap();
        IndexEntry::from_canonical(&bytes).unwrap()
    };
    let unseen = |city: &City| {
        let (from, to) = key::all_unseen();
        city.ledger.range(&from, &to, 10).unwrap().len()
    };
    let (mut first, mut late) = (city(), city());
    let filed = |key: &str| {
        let (operation, body, _) = penalty_with(key, |_| {}).submit();
        (operation, body)
    };
    let (kept, gone) = (filed("kept"), filed("gone"));
    let records = [kept.0.record(), gone.0.record()];
    let mut blocks: Vec<Vec<Submission>> = Vec::new();
    blocks.push(vec![first.sign("A1/clerk1", vec![kept, gone])]);
    for record in records {
        for post in ["A1/clerk2", "A1/supervisor1"] {
            let submitted = &blocks[0][0].signed.transaction.operations;
            let operation = submitted.iter().find(|one| one.record() == record).unwrap();
            let header_digest = operation.header().unwrap().digest();
            let approval = Operation::Countersign { record, version: 1, header_digest };
            blocks.push(vec![first.sign(post, vec![(approval, None)])]);
        }
    }
    let later = filed("later");
    let digest = later.0.header().unwrap().digest();
    let record = later.0.record();
    blocks.push(vec![first.sign("A1/clerk1", vec![later])]);
    for post in ["A1/clerk2", "A1/supervisor1"] {
        let approval = Operation::Countersign { record, version: 1, header_digest: digest };
        blocks.push(vec![first.sign(post, vec![(approval, None)])]);
    }
    let mut recorded = Vec::new();
    for submissions in &blocks {
        let before = index(&first);
        let outcomes = first.block(submissions.clone());
        let after = index(&first);
        recorded.push((outcomes, (after != before).then_some(after), *first.ledger.summary(), after));
    }
    let erasure = order(&first, records[1], EraseGround::Unlawful);
    let approval = Operation::Countersign { record: records[1], version: 1, header_digest: erasure.digest() };
    let erasure = vec![first.sign(POST, vec![(erasure, None)])];
    let approval = vec![first.sign("N/auditor1", vec![(approval, None)])];

    blocks[0][0].bodies[1] = None;
    for (submissions, (outcomes, after, summary, entry)) in blocks.iter().zip(&recorded) {
        replay(&mut late, submissions, outcomes, *after);
        assert_eq!((late.ledger.summary(), index(&late)), (summary, *entry));
    }
    assert_eq!((unseen(&first), unseen(&late)), (0, 1));
    for submissions in [erasure, approval] {
        let before = index(&first);
        let outcomes = first.block(submissions.clone());
        let after = index(&first);
        replay(&mut late, &submissions, &outcomes, (after != before).then_some(after));
        assert_eq!(late.ledger.summary(), first.ledger.summary());
    }
    assert_eq!(unseen(&late), 0, "nothing is missing any more");
    // Both go on by themselves.
    for key in ["new", "newer"] {
        let (operation, body) = filed(key);
        let (record, header_digest) = (operation.record(), operation.header().unwrap().digest());
        let approval = Operation::Countersign { record, version: 1, header_digest };
        let steps = [
            first.sign("A1/clerk1", vec![(operation, body)]),
            first.sign("A1/clerk2", vec![(approval.clone(), None)]),
            first.sign("A1/supervisor1", vec![(approval, None)]),
        ];
        for step in steps {
            let outcomes = first.block(vec![step.clone()]);
            assert_eq!(late.block(vec![step]), outcomes);
            assert_eq!(late.ledger.summary(), first.ledger.summary(), "{key}");
        }
        assert_eq!(first.status(record), "effective");
    }
}
