//! What agencies owe by a day of the law: reckoned in the city's working days, listed while nobody does it.

use std::collections::BTreeMap;

use chain_core::api::DeadlineView;
use chain_core::build::{self, Filed, Filing};
use chain_core::code::Code;
use chain_core::execute::{GenesisState, LedgerRead as _};
use chain_core::id::RecordId;
use chain_core::layout::Layout as _;
use chain_core::operation::{
    AmendReason, DisputeOutcome, Operation, Remedy, RepairOutcome, ReviewOutcome, RevokeReason,
};
use chain_core::record::calendar::CalendarDetails;
use chain_core::record::deadline::{DayUnit, Deadline, DeadlineKind, Duty};
use chain_core::record::governance::BasisDetails;
use chain_core::record::{BasisRef, Class, Details, RecordType};
use chain_core::state::{CalendarEntry, key};
use serde_json::{Value, json};

use crate::city::{
    City, DEDUPE_KEY, agency, agency_details, basis_details, calendars, chain, date, filing, genesis,
    organisation, penalty_body, public,
};
use crate::timeline::check_replay;

const TYPES: [RecordType; 8] = [
    RecordType::Licence,
    RecordType::Penalty,
    RecordType::Commitment,
    RecordType::Measure,
    RecordType::Objection,
    RecordType::Repair,
    RecordType::Decision,
    RecordType::DocFingerprint,
];

fn term(step: DeadlineKind, days: u16, unit: DayUnit) -> Deadline {
    Deadline { step, days, unit }
}

/// A city whose catalogue gives days: 7 to publish, 3 to decide on an objection, 3 and 10 for a repair, 60 for a review.
fn state(calendars: Vec<CalendarDetails>) -> GenesisState {
    let working = DayUnit::WorkingDays;
    let deadlines = vec![
        term(DeadlineKind::ObjectionDecision, 3, working),
        term(DeadlineKind::RepairAcceptance, 3, working),
        term(DeadlineKind::RepairDecision, 10, working),
        term(DeadlineKind::Publication, 7, working),
        term(DeadlineKind::ReviewDecision, 60, DayUnit::CalendarDays),
    ];
    let mut genesis = genesis();
    for name in ["A1", "A2"] {
        let at = usize::from(name == "A2");
        genesis.agencies[at] = agency_details(name, &TYPES);
    }
    genesis.bases.push(BasisDetails { types: TYPES.to_vec(), deadlines, ..basis_details("timed") });
    genesis.calendars = calendars;
    genesis
}

fn city() -> City {
    City::with(&state(calendars()))
}

fn file(by: &str, record_type: RecordType, key: &str, body: &Value) -> Filed {
    let mut filing = Filing {
        legal_basis: Some(BasisRef { id: "timed".to_owned(), version: 1 }),
        agency: agency(by),
        ..filing(record_type, key)
    };
    if record_type == RecordType::Penalty {
        filing.officers = vec![public("A1/clerk1"), public("A1/clerk2")];
        filing.publication = ["publish_from", "publish_min_until", "publish_until"]
            .map(|name| body.get(name).and_then(Value::as_str).map(date));
    }
    build::file(&filing, &body.to_string()).unwrap()
}

fn penalty(key: &str, change: impl FnOnce(&mut Value)) -> Filed {
    let mut body = penalty_body(key);
    change(&mut body);
    file("A1", RecordType::Penalty, key, &body)
}

fn effective_penalty(city: &mut City, key: &str) -> RecordId {
    let record = city.submit("A1/clerk1", penalty(key, |_| {})).unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    record
}

fn text(text: &str) -> Value {
    json!([{ "lang": "zh-Hans", "text": text }])
}

fn origin() -> Value {
    json!({ "system": "counter", "method": "manual" })
}

fn objection(by: &str, key: &str, target: RecordId) -> Filed {
    let body = json!({
        "target": target, "kind": "error", "statement": text("金额有误"), "received_on": "2026-05-06",
        "origin": origin(),
    });
    file(by, RecordType::Objection, key, &body)
}

/// What stands in the list of what agencies owe.
fn owed(city: &City) -> Vec<(String, DeadlineView)> {
    let (from, to) = key::all_owed();
    let calendars = in_force(city);
    let today = chain_core::date::Date::of_time(city.time_ms, chain().utc_offset_minutes);
    let view = |(key, value): (Vec<u8>, Vec<u8>)| {
        let (agency, record) = key::parse_owed(&key).unwrap();
        let duty = Duty::from_canonical(&value).unwrap();
        let view = chain_core::read::deadline_view(Some(&agency), &record, &duty, &calendars, today);
        (agency.to_string(), view.unwrap())
    };
    city.ledger.range(&from, &to, 100).unwrap().into_iter().map(view).collect()
}

fn in_force(city: &City) -> BTreeMap<u32, CalendarDetails> {
    let entry = |year| {
        let value = city.ledger.get(&key::calendar(year)).unwrap()?;
        CalendarEntry::from_canonical(&value).unwrap().in_force().map(|details| (year, details))
    };
    (2020..2040).filter_map(entry).collect()
}

/// Agency, step, last day, whether it is provisional and overdue.
fn rows(city: &City) -> Vec<(String, String, String, bool, bool)> {
    let row = |(agency, view): (String, DeadlineView)| {
        (agency, view.step, view.due_on.to_string(), view.provisional, view.overdue)
    };
    owed(city).into_iter().map(row).collect()
}

fn row(
    by: &str,
    step: &str,
    due: &str,
    provisional: bool,
    overdue: bool,
) -> (String, String, String, bool, bool) {
    (agency(by).to_string(), step.to_owned(), due.to_owned(), provisional, overdue)
}

fn calendar(year: u16, holidays: &[&str], work_days: &[&str]) -> CalendarDetails {
    let dates = |days: &[&str]| days.iter().map(|day| date(day)).collect();
    CalendarDetails {
        year,
        holidays: dates(holidays),
        work_days: dates(work_days),
        source: format!("notice of {year}"),
        ..calendars().remove(0)
    }
}

fn calendar_header(
    by: &str,
    key: &str,
    version: u32,
    details: CalendarDetails,
) -> Box<chain_core::record::Header> {
    let details = Details::Calendar(Box::new(details));
    Box::new(build::governance_header(chain().chain_id, &agency(by), DEDUPE_KEY, key, version, details))
}

fn add_calendar(by: &str, key: &str, details: CalendarDetails) -> Operation {
    Operation::Submit(calendar_header(by, key, 1, details))
}

fn decide_on_objections(record: RecordId) -> Operation {
    let (outcome, carries) = (DisputeOutcome::Dismissed, Remedy::None);
    Operation::DisputeDecide { record, version: 1, outcome, carries, reasons: "checked".to_owned() }
}

#[test]
fn safeguard_g20_an_objection_is_owed_by_the_agency_whose_act_it_is_about_until_it_is_decided() {
    let mut city = city();
    let record = effective_penalty(&mut city, "1");
    assert_eq!(rows(&city), []);
    // A Thursday before a long holiday; filed at the counter of another agency.
    city.at("2026-09-24T23:59:59+08:00");
    let case = city.submit("A2/clerk1", objection("A2", "o1", record)).unwrap().record;
    assert_eq!(rows(&city), [row("A1", "objection_decision", "2026-09-30", false, false)]);
    city.tick("2026-09-30T23:59:59+08:00");
    assert_eq!(rows(&city), [row("A1", "objection_decision", "2026-09-30", false, false)]);
    city.tick("2026-10-01T00:00:00+08:00");
    assert_eq!(rows(&city), [row("A1", "objection_decision", "2026-09-30", false, true)]);
    assert_eq!(owed(&city)[0].1.working_days_late, 0, "only holidays have passed");
    city.tick("2026-10-09T12:00:00+08:00");
    assert_eq!(owed(&city)[0].1.working_days_late, 2);
    city.send("A1/clerk1", decide_on_objections(record)).unwrap();
    assert_eq!(rows(&city).len(), 1, "it waits for the supervisor");
    city.countersign("A1/supervisor2", record).unwrap();
    assert_eq!(rows(&city), []);
    // The head of the case keeps the day on which it was decided.
    let duty = city.head(case).duties[0];
    assert_eq!((duty.from, duty.met), (date("2026-09-24"), Some(date("2026-10-09"))));
    check_replay(&city, case);
    check_replay(&city, record);
}

#[test]
fn an_objection_that_is_taken_back_is_owed_no_longer() {
    let mut city = city();
    let record = effective_penalty(&mut city, "1");
    let case = city.submit("A2/clerk1", objection("A2", "o1", record)).unwrap().record;
    assert_eq!(rows(&city).len(), 1);
    city.send("A2/clerk1", Operation::Withdraw { record: case, version: 1 }).unwrap();
    assert_eq!(rows(&city), []);
    check_replay(&city, case);
}

#[test]
fn a_repair_has_a_day_for_its_acceptance_and_is_owed_until_the_decision() {
    let mut city = city();
    let record = effective_penalty(&mut city, "1");
    city.at("2026-09-24T10:00:00+08:00");
    let body = json!({ "target": record, "received_on": "2026-09-24", "origin": origin() });
    let case = city.submit("A1/clerk1", file("A1", RecordType::Repair, "r1", &body)).unwrap().record;
    // The ledger knows no step that accepts an application: the day is kept, and not listed.
    let steps: Vec<DeadlineKind> = city.head(case).duties.iter().map(|duty| duty.deadline.step).collect();
    assert_eq!(steps, [DeadlineKind::RepairAcceptance, DeadlineKind::RepairDecision]);
    assert_eq!(rows(&city), [row("A1", "repair_decision", "2026-10-15", false, false)]);
    city.at("2026-10-16T10:00:00+08:00");
    let outcome = RepairOutcome::Refused;
    let refuse =
        Operation::RepairDecide { record, version: 1, case, outcome, reasons: "not performed".to_owned() };
    city.send("A1/clerk1", refuse).unwrap();
    assert_eq!(rows(&city), [row("A1", "repair_decision", "2026-10-15", false, true)]);
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(rows(&city), []);
    check_replay(&city, case);
}

#[test]
fn a_review_is_owed_by_the_agency_that_opened_it() {
    let mut city = city();
    let record = effective_penalty(&mut city, "1");
    let open = Operation::ReviewOpen { record, version: 1, file_no: "R-1".to_owned() };
    city.send("A2/clerk1", open.clone()).unwrap();
    // Sixty days are days of the calendar.
    assert_eq!(rows(&city), [row("A2", "review_decision", "2026-07-05", false, false)]);
    let (outcome, carries) = (ReviewOutcome::Upheld, Remedy::None);
    let decide = Operation::ReviewDecide { record, version: 1, outcome, carries, order_no: "R-1".to_owned() };
    city.at("2026-07-06T10:00:00+08:00").send("A2/supervisor1", decide).unwrap();
    assert_eq!(rows(&city), []);
    // Another review is another term.
    city.send("A2/clerk1", open).unwrap();
    assert_eq!(rows(&city), [row("A2", "review_decision", "2026-09-04", false, false)]);
    let kept: Vec<_> = city.head(record).duties.iter().map(|duty| (duty.deadline.step, duty.met)).collect();
    let published = (DeadlineKind::Publication, Some(date("2026-05-06")));
    assert_eq!(kept, [published, (DeadlineKind::ReviewDecision, None)]);
    check_replay(&city, record);
}

#[test]
fn an_act_that_waits_for_approval_is_owed_to_the_public_and_stays_listed_when_it_was_late() {
    let mut city = city();
    let in_time = effective_penalty(&mut city, "1");
    assert_eq!(city.head(in_time).duties[0].met, Some(date("2026-05-06")));
    let record = city.submit("A1/clerk1", penalty("2", |_| {})).unwrap().record;
    // 2026-05-09 is a Saturday on which offices work.
    assert_eq!(rows(&city), [row("A1", "publication", "2026-05-14", false, false)]);
    city.countersign("A1/clerk2", record).unwrap();
    city.tick("2026-05-15T00:00:00+08:00");
    assert_eq!(rows(&city), [row("A1", "publication", "2026-05-14", false, true)]);
    city.countersign("A1/supervisor1", record).unwrap();
    let late = &owed(&city)[0].1;
    assert_eq!((late.met_on, late.working_days_late), (Some(date("2026-05-15")), 1));
    // With the publication ends the reason to show that it was late.
    let (reason, version) = ("by order".to_owned(), 1);
    city.send("A1/supervisor1", Operation::StopPublication { record, version, reason }).unwrap();
    assert_eq!(rows(&city), []);

    // What is refused was never to be published, and what names no publication is not.
    let refused = city.submit("A1/clerk1", penalty("3", |_| {})).unwrap().record;
    let reject =
        Operation::Reject { record: refused, version: 1, header_digest: None, reason: "wrong".to_owned() };
    city.send("A1/supervisor1", reject).unwrap();
    let unpublished = |body: &mut Value| {
        body["severity"] = json!("minor");
        for name in ["publish_from", "publish_until"] {
            body.as_object_mut().unwrap().remove(name);
        }
    };
    let minor = city.submit("A1/clerk1", penalty("4", unpublished)).unwrap().record;
    assert_eq!((rows(&city), city.head(minor).duties.len()), (Vec::new(), 0));
    for record in [in_time, record, refused, minor] {
        check_replay(&city, record);
    }
}

#[test]
fn publication_that_begins_later_is_met_on_its_first_day() {
    let mut city = city();
    let late = |body: &mut Value| body["publish_from"] = json!("2026-06-01");
    let record = city.submit("A1/clerk1", penalty("1", late)).unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.head(record).duties[0].met, Some(date("2026-06-01")));
    let view = &owed(&city)[0].1;
    assert_eq!((view.due_on, view.overdue), (date("2026-05-14"), true));
}

#[test]
fn nobody_is_turned_away_because_a_calendar_is_missing() {
    let mut city = City::with(&state(calendars().into_iter().filter(|one| one.year != 2026).collect()));
    let sorted = |city: &City| {
        let mut rows = rows(city);
        rows.sort_by(|one, two| one.1.cmp(&two.1));
        rows
    };
    // An act with a term, an objection (G8), a review and an application for repair: all are taken, all terms run.
    let record = effective_penalty(&mut city, "1");
    city.submit("A2/clerk1", objection("A2", "o1", record)).unwrap();
    assert!(city.head(record).flags.names().contains(&"disputed"));
    let open = Operation::ReviewOpen { record, version: 1, file_no: "R-1".to_owned() };
    city.send("A2/clerk1", open).unwrap();
    let waiting = city.submit("A1/clerk1", penalty("2", |_| {})).unwrap().record;
    // From a Wednesday, with weekends as the only days of rest. A term in calendar days needs no calendar.
    let objected = row("A1", "objection_decision", "2026-05-11", true, false);
    let published = row("A1", "publication", "2026-05-15", true, false);
    assert_eq!(
        sorted(&city),
        [objected, published, row("A2", "review_decision", "2026-07-05", false, false)]
    );
    city.at("2026-08-07T09:00:00+08:00");
    let body = json!({ "target": record, "received_on": "2026-08-07", "origin": origin() });
    let case = city.submit("A1/clerk1", file("A1", RecordType::Repair, "r1", &body)).unwrap().record;
    let late = |step, due, provisional| row("A1", step, due, provisional, true);
    assert_eq!(
        sorted(&city),
        [
            late("objection_decision", "2026-05-11", true),
            late("publication", "2026-05-15", true),
            row("A1", "repair_decision", "2026-08-21", true, false),
            row("A2", "review_decision", "2026-07-05", false, true),
        ]
    );

    // The calendar moves every last day in the block in which the council's last approval comes, and nothing else.
    let heads = [record, waiting, case].map(|one| city.head(one));
    let add = add_calendar("A1", "c", calendar(2026, &["2026-08-10"], &["2026-05-09", "2026-05-10"]));
    let filed = city.send("A1/council1", add).unwrap().record;
    assert!(sorted(&city)[0].3, "one of two has agreed");
    city.countersign("N/council1", filed).unwrap();
    assert_eq!(
        sorted(&city),
        [
            late("objection_decision", "2026-05-09", false),
            late("publication", "2026-05-13", false),
            row("A1", "repair_decision", "2026-08-24", false, false),
            row("A2", "review_decision", "2026-07-05", false, true),
        ]
    );
    assert_eq!([record, waiting, case].map(|one| city.head(one)), heads);
    for one in [record, waiting, case, filed] {
        check_replay(&city, one);
    }
}

#[test]
fn no_step_is_refused_because_a_provisional_day_has_passed() {
    let mut city = City::with(&state(Vec::new()));
    let record = effective_penalty(&mut city, "1");
    let case = city.submit("A2/clerk1", objection("A2", "o1", record)).unwrap().record;
    // Months too late by every calendar: the case stays open, may be taken back and decided on.
    city.at("2026-11-06T09:00:00+08:00");
    assert_eq!(rows(&city), [row("A1", "objection_decision", "2026-05-11", true, true)]);
    city.submit("A2/clerk1", objection("A2", "o2", record)).unwrap();
    city.send("A2/clerk1", Operation::Withdraw { record: case, version: 1 }).unwrap();
    assert!(city.head(record).flags.names().contains(&"disputed"), "the other one is open");
    city.send("A1/clerk1", decide_on_objections(record)).unwrap();
    city.countersign("A1/supervisor2", record).unwrap();
    assert_eq!(rows(&city), []);
}

#[test]
fn an_end_beyond_the_known_calendars_is_provisional_and_moves_when_the_council_files_one() {
    let mut city = city();
    let record = effective_penalty(&mut city, "1");
    city.at("2026-12-30T10:00:00+08:00");
    let case = city.submit("A1/clerk1", objection("A1", "o1", record)).unwrap().record;
    assert_eq!(rows(&city), [row("A1", "objection_decision", "2027-01-04", true, false)]);
    let head = city.head(case);
    let add = add_calendar("A2", "c", calendar(2027, &["2027-01-01", "2027-01-04"], &["2027-01-02"]));
    let calendar_record = city.send("A2/council1", add).unwrap().record;
    assert_eq!(rows(&city), [row("A1", "objection_decision", "2027-01-04", true, false)]);
    city.countersign("A1/council1", calendar_record).unwrap();
    // 31 December, the Saturday on which offices work, then the Tuesday.
    assert_eq!(rows(&city), [row("A1", "objection_decision", "2027-01-05", false, false)]);
    assert_eq!(city.head(case), head, "no record changes for it");

    // A correction moves it again, by whoever of the council files it.
    let corrected = calendar(2027, &["2027-01-01", "2027-01-04", "2027-01-05"], &["2027-01-02"]);
    let header = calendar_header("A2", "c", 2, corrected);
    city.send("N/council1", Operation::Amend { header, reason: AmendReason::Clerical }).unwrap();
    city.countersign("A2/council1", calendar_record).unwrap();
    assert_eq!(rows(&city), [row("A1", "objection_decision", "2027-01-06", false, false)]);
    check_replay(&city, calendar_record);
}

#[test]
fn calendars_are_the_councils_and_one_a_year() {
    let mut city = city();
    let next = || calendar(2027, &["2027-01-01"], &[]);
    assert_eq!(city.send("A1/clerk1", add_calendar("A1", "c", next())), Err(Code::RoleNotAllowed));
    assert_eq!(city.send("A1/admin1", add_calendar("A1", "c", next())), Err(Code::RoleNotAllowed));
    let known = add_calendar("A1", "k", calendar(2026, &[], &[]));
    assert_eq!(city.send("A1/council1", known), Err(Code::AlreadyExists));
    let wrong = calendar(2027, &["2026-01-01"], &[]);
    assert_eq!(city.send("A1/council1", add_calendar("A1", "w", wrong)), Err(Code::BadParameter));
    let record = city.send("A1/council1", add_calendar("A1", "c", next())).unwrap().record;
    assert!(!in_force(&city).contains_key(&2027), "one of two has agreed");
    assert_eq!(city.countersign("A1/council1", record), Err(Code::SamePerson));
    city.countersign("A2/council1", record).unwrap();
    assert!(in_force(&city).contains_key(&2027));

    let header = calendar_header("A1", "c", 2, calendar(2028, &["2028-01-03"], &[]));
    let other_year = Operation::Amend { header, reason: AmendReason::Clerical };
    assert_eq!(city.send("A1/council1", other_year), Err(Code::NotAmendable));

    let (reason, effect) = (RevokeReason::Unlawful, chain_core::operation::Effect::FromNow);
    let revoke = Operation::Revoke { record, version: 1, reason, effect, note: String::new() };
    city.send("A1/council1", revoke).unwrap();
    city.countersign("A2/council1", record).unwrap();
    assert!(!in_force(&city).contains_key(&2027), "a revoked calendar counts no days");
    let again = city.send("N/council1", add_calendar("N", "c2", next())).unwrap().record;
    city.countersign("A1/council1", again).unwrap();
    assert!(in_force(&city).contains_key(&2027));
    check_replay(&city, record);
}

#[test]
fn a_basis_gives_each_step_one_term_of_a_day_or_more() {
    let working = DayUnit::WorkingDays;
    for deadlines in [
        vec![term(DeadlineKind::Publication, 0, working)],
        vec![term(DeadlineKind::Publication, 3_661, working)],
        vec![term(DeadlineKind::Publication, 7, working), term(DeadlineKind::Publication, 20, working)],
    ] {
        let basis = BasisDetails { deadlines, ..basis_details("odd") };
        assert_eq!(basis.check().unwrap_err().code, Code::BadParameter);
    }
}

#[test]
fn what_rests_on_a_disputed_record_says_so_while_the_dispute_lasts() {
    let mut city = city();
    let base = effective_penalty(&mut city, "1");
    let mut notice = filing(RecordType::DocFingerprint, "notice");
    notice.class = Class::P0;
    let notice = build::file(&notice, &crate::city::fingerprint_body().to_string()).unwrap();
    let notice = city.submit("A1/clerk1", notice).unwrap().record;
    let measure = |key: &str, based_on: RecordId| {
        let body = json!({
            "subject": organisation(), "measure_code": key, "direction": "restriction", "matter_code": "m",
            "from": "2026-05-06", "until": "2027-05-06", "based_on": based_on, "relation": text("相关"),
            "notice": notice, "origin": origin(),
        });
        file("A1", RecordType::Measure, key, &body)
    };
    let first = city.submit("A1/clerk1", measure("m1", base)).unwrap().record;
    city.countersign("A1/supervisor1", first).unwrap();
    let second = city.submit("A1/clerk1", measure("m2", first)).unwrap().record;
    city.countersign("A1/supervisor1", second).unwrap();
    let disputed = |city: &City| {
        [base, first, second].map(|record| {
            let head_of = |record: &RecordId| Ok::<_, Code>(city.ledger.head(record));
            chain_core::read::is_base_disputed(&city.head(record), head_of).unwrap()
        })
    };
    assert_eq!(disputed(&city), [false; 3]);
    city.submit("A2/clerk1", objection("A2", "o1", base)).unwrap();
    assert_eq!(disputed(&city), [false, true, true]);
    city.send("A1/clerk1", decide_on_objections(base)).unwrap();
    city.countersign("A1/supervisor2", base).unwrap();
    assert_eq!(disputed(&city), [false; 3]);
}
