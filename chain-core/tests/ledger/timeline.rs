//! What held on a day and what was known of it: the two clocks, row by row; and lives replayed from leaves alone.

use chain_core::api::TimelineView;
use chain_core::build::{self, Filed, Filing};
use chain_core::code::{Code, Refusal};
use chain_core::execute::LedgerRead as _;
use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::lifecycle::replay::{Bases, Life};
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::record::governance::{BasisDetails, Role};
use chain_core::record::{BasisRef, RecordType};
use chain_core::state::{BasisEntry, key};
use chain_core::timeline::{Known, Question, answer};
use serde_json::json;

use crate::city::{City, chain, date, filing, licence_body, penalty};
use crate::erasure;

/// The catalogue as the ledger has it.
struct Catalogue<'a>(&'a City);

impl Bases for Catalogue<'_> {
    fn basis(&self, basis: &BasisRef) -> Result<Option<BasisDetails>, Refusal> {
        let found = self.0.ledger.get(&key::basis(basis)).unwrap();
        Ok(found.map(|bytes| BasisEntry::from_canonical(&bytes).unwrap().details))
    }
}

/// A record's leaves, each with its place.
fn leaves(city: &City, record: RecordId) -> Vec<(u64, Leaf)> {
    let all = (0..).zip(city.ledger.leaves());
    let own = all.filter(|(_, leaf)| leaf.record == Some(record));
    own.map(|(at, leaf)| (at, Leaf::decode(&leaf.bytes).unwrap())).collect()
}

fn asked(city: &City, record: RecordId, as_of: &str, known: Known) -> TimelineView {
    let height = city.ledger.height();
    let known_at = match known {
        Known::On(day) => day,
        Known::Until(_) => date(as_of),
    };
    let question = Question { as_of: date(as_of), known, known_at, known_height: height, height };
    answer(&chain(), record, &leaves(city, record), &Catalogue(city), &question).unwrap()
}

fn on(city: &City, record: RecordId, as_of: &str, known_at: &str) -> TimelineView {
    asked(city, record, as_of, Known::On(date(known_at)))
}

/// Rows of: the day, what was known up to which day, the version and status then, those as known now, and in which
/// version the public saw it on that day.
type Row<'a> = (&'a str, &'a str, (u32, &'a str), (u32, &'a str), Option<u32>);

#[track_caller]
fn table(city: &City, record: RecordId, rows: &[Row<'_>]) {
    for (as_of, known_at, known, now, public) in rows {
        let view = on(city, record, as_of, known_at);
        let got = |one: &chain_core::api::StandingView| (one.version.unwrap_or(0), one.status.clone());
        let row = format!("{as_of} as known on {known_at}: {view:#?}");
        assert_eq!(got(&view.known), (known.0, known.1.to_owned()), "{row}");
        assert_eq!(got(&view.now), (now.0, now.1.to_owned()), "{row}");
        assert_eq!((view.public.visible, view.public.version), (public.is_some(), *public), "{row}");
        assert_eq!(view.known.in_force, known.1 == "effective", "{row}");
    }
}

/// A version of a licence with these days of effect and decision; published to 2027-03-01.
fn version(number: u32, from: &str, to: &str, decided: &str) -> Filed {
    let mut body = licence_body("1");
    body["valid_from"] = json!(from);
    body["valid_to"] = json!(to);
    body["decided_on"] = json!(decided);
    let publication = [Some(date("2026-05-06")), None, Some(date("2027-03-01"))];
    let filing = Filing { version: number, publication, ..filing(RecordType::Licence, "1") };
    build::file(&filing, &body.to_string()).unwrap()
}

fn amend(city: &mut City, filed: Filed, reason: AmendReason) {
    let (operation, body, _) = filed.amend(reason);
    city.send_with("A1/clerk1", operation, body).unwrap();
}

fn revoke(record: RecordId, version: u32, effect: Effect) -> Operation {
    Operation::Revoke { record, version, reason: RevokeReason::Revoked, effect, note: String::new() }
}

/// Filed late, corrected, renewed, revoked.
fn eventful() -> (City, RecordId) {
    let mut city = City::new();
    let filed = version(1, "2026-03-01", "2027-03-01", "2026-03-01");
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    city.at("2026-05-10").countersign("A1/supervisor1", record).unwrap();
    city.at("2026-07-01");
    amend(&mut city, version(2, "2026-03-01", "2026-09-30", "2026-03-01"), AmendReason::Clerical);
    city.at("2026-07-03").countersign("A1/supervisor1", record).unwrap();
    city.at("2026-08-01");
    amend(&mut city, version(3, "2026-10-01", "2027-09-30", "2026-08-01"), AmendReason::Renewal);
    city.at("2026-08-05").countersign("A1/supervisor1", record).unwrap();
    city.at("2026-11-01").send("A1/supervisor1", revoke(record, 3, Effect::FromNow)).unwrap();
    city.at("2026-11-02").countersign("A1/legal1", record).unwrap();
    city.tick("2026-12-31");
    (city, record)
}

#[test]
fn an_amended_and_revoked_record_holds_by_both_clocks() {
    let (city, record) = eventful();
    table(
        &city,
        record,
        &[
            // Back-dated: in force before the ledger heard of it.
            ("2026-04-01", "2026-04-01", (0, "unknown"), (2, "effective"), None),
            ("2026-04-01", "2026-05-10", (1, "effective"), (2, "effective"), None),
            // Filed, not approved.
            ("2026-05-08", "2026-05-08", (0, "submitted"), (2, "effective"), None),
            ("2026-05-20", "2026-05-20", (1, "effective"), (2, "effective"), Some(1)),
            // The correction is known from July on; what it corrects was never so.
            ("2026-12-01", "2026-06-01", (1, "effective"), (3, "revoked"), Some(1)),
            ("2026-07-02", "2026-07-02", (1, "effective"), (2, "effective"), Some(1)),
            ("2026-07-03", "2026-07-03", (2, "effective"), (2, "effective"), Some(2)),
            ("2026-10-15", "2026-07-10", (2, "expired"), (3, "effective"), None),
            // The renewal is decided in August and holds from October on.
            ("2026-09-30", "2026-08-05", (2, "effective"), (2, "effective"), Some(3)),
            ("2026-10-01", "2026-08-05", (3, "effective"), (3, "effective"), Some(3)),
            // Revoking takes effect with the last approval.
            ("2026-11-01", "2026-11-01", (3, "effective"), (3, "effective"), Some(3)),
            ("2026-11-02", "2026-11-02", (3, "revoked"), (3, "revoked"), None),
            ("2026-10-15", "2026-12-31", (3, "effective"), (3, "effective"), Some(3)),
            ("2026-02-28", "2026-12-31", (2, "not_yet"), (2, "not_yet"), None),
        ],
    );
    let view = on(&city, record, "2026-04-01", "2026-04-01");
    assert_eq!(view.known.why, "the ledger learned of it in block 1, on 2026-05-06");
    assert_eq!(view.public.why, "the ledger had no such record");
    assert_eq!((view.known.head, view.steps_that_day), (None, 0));
    let view = on(&city, record, "2026-11-02", "2026-11-02");
    assert_eq!((view.public.why.as_str(), view.steps_that_day), ("its status was revoked", 1));
    assert_eq!(view.known.why, "revoked in block 8, on 2026-11-02, from then on");
    let view = on(&city, record, "2026-05-20", "2026-05-20");
    let why = "version 1 holds from 2026-03-01 to 2027-03-01; in the ledger since block 2, on 2026-05-10";
    assert_eq!(view.known.why, why);
    assert_eq!(view.known.header["effective_to"], "2027-03-01");
}

#[test]
fn a_height_cuts_knowledge_between_two_blocks_of_a_day() {
    let mut city = City::new();
    let filed = version(1, "2026-03-01", "2027-03-01", "2026-03-01");
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    let stop = Operation::StopPublication { record, version: 1, reason: "court order".to_owned() };
    city.send("A1/supervisor1", stop).unwrap();
    let rows = [(1, "submitted", false), (2, "effective", true), (3, "effective", false)];
    for (height, status, visible) in rows {
        let view = asked(&city, record, "2026-05-06", Known::Until(Height::new(height)));
        assert_eq!((view.known.status.as_str(), view.public.visible), (status, visible), "block {height}");
        assert_eq!(view.known.head.unwrap().changed_at, Height::new(height));
        assert_eq!((view.now.status.as_str(), view.steps_that_day), ("effective", 3));
    }
    let stopped = on(&city, record, "2026-05-07", "2026-05-07");
    assert_eq!(stopped.public.why, "its publication was stopped");
}

#[test]
fn what_is_revoked_from_the_start_never_held_and_what_is_suspended_did_not_hold_meanwhile() {
    let mut city = City::new();
    let filed = version(1, "2026-05-06", "2027-05-06", "2026-05-06");
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "review".to_owned() };
    city.at("2026-06-01").send("A1/supervisor1", suspend).unwrap();
    city.at("2026-06-10").send("A1/supervisor1", Operation::Resume { record, version: 1 }).unwrap();
    city.at("2026-07-01").send("A1/supervisor1", revoke(record, 1, Effect::FromStart)).unwrap();
    city.countersign("A1/legal1", record).unwrap();
    table(
        &city,
        record,
        &[
            ("2026-05-31", "2026-06-20", (1, "effective"), (1, "revoked"), Some(1)),
            ("2026-06-05", "2026-06-05", (1, "suspended"), (1, "revoked"), Some(1)),
            ("2026-06-05", "2026-06-20", (1, "suspended"), (1, "revoked"), Some(1)),
            ("2026-06-10", "2026-06-20", (1, "effective"), (1, "revoked"), Some(1)),
            ("2026-07-01", "2026-07-01", (1, "revoked"), (1, "revoked"), None),
            ("2026-05-20", "2026-07-01", (1, "revoked"), (1, "revoked"), Some(1)),
        ],
    );
    assert!(on(&city, record, "2026-05-20", "2026-07-01").known.why.ends_with("from the start"));
}

#[test]
fn a_publication_ends_with_its_last_day_whether_or_not_a_block_has_come() {
    let mut city = City::new();
    let record = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    let rows: [Row<'_>; 3] = [
        ("2026-05-05", "2026-05-06", (1, "not_yet"), (1, "not_yet"), None),
        ("2027-05-06", "2027-05-06", (1, "effective"), (1, "effective"), Some(1)),
        ("2027-05-07", "2027-05-07", (1, "effective"), (1, "effective"), None),
    ];
    table(&city, record, &rows);
    let ended = on(&city, record, "2027-05-07", "2027-05-07");
    assert_eq!(ended.public.why, "its publication ended with 2027-05-06");
    city.tick("2027-05-07");
    table(&city, record, &rows);
}

#[test]
fn a_refused_record_never_held_and_an_erased_one_did_until_then() {
    let mut city = erasure::city();
    let refused = city.submit("A1/clerk1", penalty("1")).unwrap().record;
    let reject =
        Operation::Reject { record: refused, version: 1, header_digest: None, reason: "no".to_owned() };
    city.send("A1/supervisor1", reject).unwrap();
    table(&city, refused, &[("2026-05-06", "2026-05-06", (0, "rejected"), (0, "rejected"), None)]);

    let filed = version(1, "2026-05-06", "2027-05-06", "2026-05-06");
    let record = city.submit("A1/clerk1", filed).unwrap().record;
    city.countersign("A1/supervisor1", record).unwrap();
    city.at("2026-06-01");
    erasure::erase(&mut city, record);
    table(
        &city,
        record,
        &[
            ("2026-05-31", "2026-05-31", (1, "effective"), (1, "effective"), Some(1)),
            ("2026-06-01", "2026-06-01", (1, "erased"), (1, "erased"), None),
            ("2026-05-20", "2026-06-01", (1, "effective"), (1, "effective"), Some(1)),
        ],
    );
    assert_eq!(on(&city, record, "2026-06-01", "2026-06-01").public.why, "its status was erased");
}

#[test]
fn what_governs_the_chain_has_its_days_too() {
    let city = City::new();
    let member = city.ledger.leaves().iter().find_map(|leaf| {
        let Leaf::Genesis(leaf) = Leaf::decode(&leaf.bytes).unwrap() else { return None };
        (leaf.header.record_type == RecordType::Member).then_some(leaf.header.record)
    });
    let view = on(&city, member.unwrap(), "2026-05-06", "2026-05-06");
    assert_eq!((view.known.status.as_str(), view.public.visible), ("effective", true));
    assert!(view.known.why.ends_with("laid down in the genesis"), "{}", view.known.why);
    let early = on(&city, member.unwrap(), "2019-12-31", "2026-05-06");
    assert_eq!(early.known.status, "not_yet");
}

/// The head that a record's leaves lead to.
fn replayed(city: &City, record: RecordId, leaves: &[(u64, Leaf)]) -> Result<Life, Refusal> {
    let mut life = Life::new(chain(), record);
    leaves.iter().try_for_each(|(index, leaf)| life.take(*index, leaf, &Catalogue(city)))?;
    Ok(life)
}

/// Whether a record's leaves alone lead to the head that the state holds.
#[track_caller]
pub(crate) fn check_replay(city: &City, record: RecordId) {
    let life = replayed(city, record, &leaves(city, record)).unwrap();
    assert_eq!(life.head(), Some(&city.head(record)));
}

/// Every record that a ledger holds.
fn records(city: &City) -> Vec<RecordId> {
    let mut records: Vec<RecordId> = city.ledger.leaves().iter().filter_map(|leaf| leaf.record).collect();
    records.sort_unstable();
    records.dedup();
    records
}

#[test]
fn leaves_lead_to_the_very_head_that_the_state_holds() {
    let (eventful, _) = eventful();
    let mut erased = erasure::city();
    let record = erased.effective_licence("1");
    erasure::erase(&mut erased, record);
    let confirm = Operation::ConfirmErasure { record, version: 1, bodies: 1 };
    erased.send("v001/log1", confirm).unwrap();
    let mut ended = City::new();
    let penalty = ended.submit("A1/clerk1", penalty("1")).unwrap().record;
    ended.countersign("A1/clerk2", penalty).unwrap();
    ended.countersign("A1/supervisor1", penalty).unwrap();
    ended.effective_licence("2");
    ended.tick("2028-01-01");
    for (what, city, at_least) in [("eventful", eventful, 20), ("erased", erased, 20), ("ended", ended, 20)] {
        let records = records(&city);
        assert!(records.len() >= at_least, "{what}: {}", records.len());
        for record in records {
            let life = replayed(&city, record, &leaves(&city, record)).unwrap();
            assert_eq!(life.head(), Some(&city.head(record)), "{what}: {record}");
        }
    }
}

#[test]
fn a_life_with_a_leaf_hidden_moved_or_changed_is_another_one_or_none() {
    let (city, record) = eventful();
    let all = leaves(&city, record);
    assert_eq!(all.len(), 8);
    let honest = city.head(record);
    let differs = |what: &str, leaves: &[(u64, Leaf)]| {
        let life = replayed(&city, record, leaves);
        assert!(life.is_err() || life.unwrap().head() != Some(&honest), "{what}");
    };
    for at in 0..all.len() {
        let mut hidden = all.clone();
        hidden.remove(at);
        differs(&format!("without leaf {at}"), &hidden);
    }
    for at in 1..all.len() {
        let mut swapped = all.clone();
        swapped.swap(at - 1, at);
        differs(&format!("leaf {at} out of its place"), &swapped);
        // With their places exchanged, too.
        let mut moved = all.clone();
        let (one, two) = (moved[at - 1].0, moved[at].0);
        moved.swap(at - 1, at);
        (moved[at - 1].0, moved[at].0) = (one, two);
        differs(&format!("leaf {at} before its time"), &moved);
    }
    type Change = fn(&mut chain_core::leaf::SignedLeaf);
    let changes: [(&str, Change); 6] = [
        ("role", |leaf| leaf.role = Role::Auditor),
        ("agency", |leaf| leaf.agency = crate::city::agency("A2")),
        ("author", |leaf| leaf.author = crate::city::public("A1/clerk3")),
        ("status", |leaf| leaf.status = chain_core::state::Status::Expired),
        ("version", |leaf| leaf.version += 1),
        ("height", |leaf| leaf.height = Height::new(99)),
    ];
    for (what, change) in changes {
        // Who signed an earlier version is in no later head; that its leaf is the one recorded, a proof shows.
        let shown = if what == "author" { 4..6 } else { 0..all.len() };
        for at in shown {
            let mut changed = all.clone();
            if let Leaf::Signed(leaf) = &mut changed[at].1 {
                change(leaf);
            }
            differs(&format!("{what} of leaf {at}"), &changed);
        }
    }
    let other = Life::new(chain(), RecordId::new(chain_core::crypto::Digest::ZERO)).take(
        0,
        &all[0].1,
        &Catalogue(&city),
    );
    assert_eq!(other.unwrap_err().code, Code::LeafMismatch);
}
