//! Records of seven lives, led to each status that they can have, by their agency's officers and through the API.

use std::collections::BTreeSet;

use chain_core::build::{self, Filed, Filing};
use chain_core::code::Code;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::date::Date;
use chain_core::id::RecordId;
use chain_core::operation::{AmendReason, Operation};
use chain_core::record::governance::{MemberDetails, NewKey, Possession, Role};
use chain_core::record::{Class, Details, RecordType, SubjectKind};
use chain_core::transaction::Body;
use city_tests::acts::{self, attachment, fingerprint, organisation, origin, text};
use city_tests::cluster::clerk::approval;
use serde_json::{Value, json};

use crate::steps::{self, Life, Of, Whose};
use crate::town::{Town, basis};

/// What an agency's officers share to recognise their numbers.
const DEDUPE_KEY: &[u8] = b"test-dedupe-key";

/// Who files a record of a life.
pub(crate) fn submitter(life: Life, town: &Town) -> usize {
    town.own(if life == Life::Member { "agency_admin" } else { "clerk" }, 1)
}

/// What readers are shown of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    pub(crate) version: u32,
    pub(crate) status: String,
    pub(crate) flags: BTreeSet<String>,
}

/// What a story has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    record: RecordId,
    /// The record objected to, or the notice of an entry in a list.
    base: Option<RecordId>,
    /// The application for its repair.
    application: Option<RecordId>,
    /// Whether it ends today.
    ends: bool,
}

/// A record, and what the steps need beside it.
pub(crate) struct Story<'a> {
    pub(crate) town: &'a Town,
    /// Sets its numbers and keys apart from those of other stories.
    pub(crate) number: usize,
    pub(crate) life: Life,
    pub(crate) begun: Begun,
}

impl<'a> Story<'a> {
    /// A record led to a status, or nothing filed yet; with what a step needs to have happened before the clocks go ahead.
    pub(crate) fn at(town: &'a Town, number: usize, life: Life, status: &str, before: &str) -> Self {
        let record = RecordId::new(Digest::ZERO);
        let begun = Begun { record, base: None, application: None, ends: status == "expired" };
        let mut story = Self { town, number, life, begun };
        if life == Life::Objection {
            let mut base =
                Self { town, number, life: Life::Penalty, begun: Begun { ends: false, ..story.begun } };
            base.file();
            base.approve(Life::Penalty.approvals(), &[submitter(Life::Penalty, town)]);
            story.begun.base = Some(base.begun.record);
        }
        if life == Life::ListEntry {
            let mut notice =
                Self { town, number, life: Life::Fingerprint, begun: Begun { ends: false, ..story.begun } };
            notice.file();
            story.begun.base = Some(notice.begun.record);
        }
        if status == "none" {
            return story;
        }
        story.file();
        if !["submitted", "withdrawn", "rejected"].contains(&status) || life.approvals().is_empty() {
            story.approve(life.approvals(), &[submitter(life, town)]);
        }
        if story.standing().status == "effective" {
            story.prepare(before);
        }
        story.reach(status);
        story
    }

    pub(crate) fn standing(&self) -> Standing {
        if self.begun.record == RecordId::new(Digest::ZERO) {
            return Standing { version: 0, status: "none".to_owned(), flags: BTreeSet::new() };
        }
        let view = self.town.view(self.number, self.begun.record);
        let flags = view.flags.into_iter().collect();
        Standing { version: view.version, status: view.status, flags }
    }

    fn file(&mut self) {
        let seat = submitter(self.life, self.town);
        let (operation, body) = self.submission(seat, 1, "");
        self.begun.record = operation.record();
        self.must(seat, operation, body);
    }

    fn must(&self, seat: usize, operation: Operation, body: Option<Body>) {
        let step = operation.step();
        if let Err(code) = self.town.send(self.number, seat, operation, body) {
            let name = &self.town.seats[seat].name;
            panic!("{:?} {}: {step:?} by {name}: {}", self.life, self.number, code.name());
        }
    }

    fn take(&self, seat: usize, operation: &str) {
        self.must(seat, self.operation(operation, 1), None);
    }

    /// The first who may, gives each approval; whoever has signed may not. Gives who approved.
    pub(crate) fn approve(&self, approvals: &[&str], signed: &[usize]) -> Vec<usize> {
        let mut approved = Vec::new();
        for wanted in approvals {
            let may = |seat: &usize| {
                let post = self.town.post(self.life, *seat);
                let of = if *wanted == "auditor" {
                    post.whose != Whose::Stranger
                } else {
                    post.whose == Whose::Own
                };
                of && post.words.contains(wanted) && !signed.contains(seat) && !approved.contains(seat)
            };
            let officers = (*wanted == "officer").then(|| [2, 1].map(|nth| self.town.own("clerk", nth)));
            let seat = match officers {
                // A penalty names two clerks; the one who did not file the version signs as well.
                Some(clerks) => clerks.into_iter().find(|clerk| !signed.contains(clerk)),
                None => (0..self.town.seats.len()).find(may),
            };
            let seat = seat.unwrap_or_else(|| panic!("nobody is {wanted}"));
            let view = self.town.view(self.number, self.begun.record);
            self.must(seat, approval(&view), None);
            approved.push(seat);
        }
        approved
    }

    fn prepare(&mut self, before: &str) {
        let clerk = self.town.seat(Whose::Other, "clerk", 1);
        match before {
            "dispute_decide" => {
                let (operation, body) = self.objection(clerk);
                // What cannot be objected to has no objection to decide.
                let _ = self.town.send(self.number, clerk, operation, body);
            }
            "repair_decide" => self.apply_for_repair(clerk),
            _ => {}
        }
    }

    fn apply_for_repair(&mut self, clerk: usize) {
        let (operation, body) = self.repair(clerk, "first");
        let application = operation.record();
        let applied = self.town.send(self.number, clerk, operation, body).is_ok();
        self.begun.application = applied.then_some(application);
    }

    /// What must have happened to a record in its status before a step.
    pub(crate) fn mark(&self, before: &str) {
        let (seat, operation) = match before {
            "review_decide" => (self.town.seat(Whose::Reviewer, "clerk", 1), "review_open"),
            "release_hold" => (self.town.seat(Whose::Reviewer, "auditor", 1), "hold"),
            _ => return,
        };
        let version = self.town.view(self.number, self.begun.record).version;
        // An erased record takes neither, nor does a member.
        let _ = self.town.send(self.number, seat, self.operation(operation, version), None);
    }

    /// Leads a record that was filed, or is in effect, to a status.
    fn reach(&mut self, status: &str) {
        let (by, member) = (submitter(self.life, self.town), self.life == Life::Member);
        let own = |role, nth| self.town.own(role, nth);
        let head = if member { own("agency_admin", 1) } else { own("supervisor", 1) };
        match status {
            "suspended" => self.take(head, "suspend"),
            "superseded" => {
                let (operation, body) = self.submission(by, 2, "");
                self.must(by, operation, body);
                let promise = self.life == Life::Commitment;
                self.approve(if promise { &["supervisor"] } else { self.life.approvals() }, &[by]);
            }
            "repaired" => {
                if self.begun.application.is_none() {
                    self.apply_for_repair(self.town.seat(Whose::Other, "clerk", 1));
                }
                self.take(own("clerk", 1), "repair_decide");
                self.approve(&["supervisor"], &[]);
            }
            "revoked" => self.revoke(head),
            "expired" if self.life == Life::Objection => self.close_objection(),
            "withdrawn" => self.take(by, "withdraw"),
            "rejected" => self.take(if member { own("agency_admin", 2) } else { head }, "reject"),
            "sealed" => {
                match self.life {
                    Life::Objection | Life::Commitment => self.take(by, "withdraw"),
                    _ => self.revoke(head),
                }
                self.take(own("privacy_officer", 1), "seal");
            }
            "erased" => {
                self.take(own("privacy_officer", 1), "erase");
                self.approve(&["auditor"], &[]);
            }
            // Filed, in effect, or ended by its date.
            _ => {}
        }
    }

    fn revoke(&self, seat: usize) {
        self.take(seat, "revoke");
        match self.life {
            Life::Member => drop(self.approve(&["agency_admin"], &[seat])),
            Life::Fingerprint => {}
            _ => drop(self.approve(&["legal_reviewer"], &[seat])),
        }
    }

    fn close_objection(&self) {
        let base = self.begun.base.expect("an objection is about something");
        let of = Of { record: base, ..self.of(1) };
        self.must(self.town.own("clerk", 1), steps::operation("dispute_decide", &of), None);
        let approve = approval(&self.town.view(self.number, base));
        self.must(self.town.own("supervisor", 2), approve, None);
    }

    fn of(&self, version: u32) -> Of {
        let Begun { record, application, .. } = self.begun;
        let hold_until = self.day(366);
        Of { record, version, header_digest: Digest::ZERO, application, hold_until }
    }

    fn operation(&self, name: &str, version: u32) -> Operation {
        let mut of = self.of(version);
        if name == "countersign" {
            of.header_digest = self.town.view(self.number, of.record).header_digest;
        }
        steps::operation(name, &of)
    }

    /// A step of the table, sent by a seat.
    pub(crate) fn attempt(&mut self, operation: &str, seat: usize) -> Result<(), Code> {
        let (step, body) = match operation {
            "submit" => self.submission(seat, 1, "again"),
            "amend" => self.submission(seat, 2, "again"),
            "dispute_open" => self.objection(seat),
            "repair_apply" => self.repair(seat, &format!("seat {seat}")),
            _ => (self.operation(operation, 1), None),
        };
        let record = step.record();
        let got = self.town.send(self.number, seat, step, body);
        if operation == "submit" && got.is_ok() {
            self.begun.record = record;
        }
        got
    }

    fn day(&self, days: u32) -> Date {
        self.town.today.add_days(days).expect("a day")
    }

    /// The day of the decision: long enough ago for a repair.
    fn decided(&self) -> Date {
        let days = if self.life == Life::ListEntry { 400 } else { 150 };
        Date::from_day_number(self.town.today.day_number() - days).expect("a day")
    }

    fn about(&self) -> (Class, SubjectKind) {
        match self.life {
            Life::Decision | Life::Fingerprint => (Class::P0, SubjectKind::None),
            _ => (Class::P1, SubjectKind::Organisation),
        }
    }

    fn filing<'b>(&self, record_type: RecordType, law: &str, key: &'b str) -> Filing<'b> {
        let (class, subject_kind) = self.about();
        Filing {
            chain_id: self.town.seats[0].officer.chain_id,
            agency: self.town.own.clone(),
            dedupe_key: DEDUPE_KEY,
            idempotency_key: key,
            record_type,
            version: 1,
            class,
            subject_kind,
            legal_basis: basis(law),
            salt: Digest::tagged(b"test-salt", &[key.as_bytes()]),
            officers: Vec::new(),
            refs: Vec::new(),
            publication: [None; 3],
            dispose_on: None,
        }
    }

    /// A version of the record, as a seat would file it.
    fn submission(&self, seat: usize, version: u32, variant: &str) -> (Operation, Option<Body>) {
        let key = format!("story {} {:?}", self.number, self.life);
        if self.life == Life::Member {
            return (self.member(&key, version, variant), None);
        }
        let law = match self.life {
            Life::Penalty => "cn-food-safety",
            Life::ListEntry => "cn-dishonesty-lists",
            Life::Decision => "cn-government-information",
            Life::Fingerprint => "cn-archives",
            _ => "sz-social-credit",
        };
        let mut filing = Filing { version, ..self.filing(self.life.record_type(), law, &key) };
        let (mut body, changed) = match self.life {
            Life::Penalty => {
                let key = |nth| self.town.seats[self.town.own("clerk", nth)].officer.key.public();
                let clerks = [key(1), key(2), key(3)];
                let author = self.town.seats[seat].officer.key.public();
                let first = clerks.into_iter().find(|one| *one == author).unwrap_or(clerks[0]);
                let second = if first == clerks[1] { clerks[0] } else { clerks[1] };
                filing.officers = vec![first, second];
                (acts::penalty(&key_of(self.number), &self.town.own, self.decided()), "violation_type")
            }
            Life::ListEntry => (self.list_entry(self.begun.base.expect("a notice")), "grounds"),
            Life::Decision => (self.decision(), "title"),
            Life::Objection => (self.objection_body(self.begun.base.expect("a base")), "statement"),
            Life::Commitment => (self.promise(version), "text"),
            Life::Fingerprint | Life::Member => (fingerprint(), "custody"),
        };
        if version > 1 || !variant.is_empty() {
            body[changed] = text(&format!("version {version} {variant}"));
        }
        let filed = filed(&filing, &body);
        let (operation, body, _) = match version {
            1 => filed.submit(),
            _ => filed.amend(AmendReason::Clerical),
        };
        (operation, body)
    }

    fn member(&self, key: &str, version: u32, variant: &str) -> Operation {
        let chain = self.town.seats[0].officer.chain_id;
        let secret = SecretKey::from_seed(*Digest::tagged(b"test-member", &[key.as_bytes()]).as_bytes());
        let possession = Possession::prove(chain, &secret);
        let label = format!("counter {version}{variant}");
        let key_of = NewKey { key: secret.public(), label, possession };
        let details = MemberDetails {
            key: key_of,
            agency: self.town.own.clone(),
            role: Role::Clerk,
            from: self.town.today,
            to: None,
        };
        let details = Details::Member(Box::new(details));
        let header = build::governance_header(chain, &self.town.own, DEDUPE_KEY, key, version, details);
        match version {
            1 => Operation::Submit(Box::new(header)),
            _ => Operation::Amend { header: Box::new(header), reason: AmendReason::Clerical },
        }
    }

    /// An objection to the record, filed at the counter or portal of a seat's agency.
    fn objection(&self, seat: usize) -> (Operation, Option<Body>) {
        let key = format!("objection {} {seat}", self.number);
        let filing = Filing {
            agency: self.town.seats[seat].officer.agency.clone(),
            ..self.filing(RecordType::Objection, "sz-social-credit", &key)
        };
        let (operation, body, _) = filed(&filing, &self.objection_body(self.begun.record)).submit();
        (operation, body)
    }

    /// An application for the repair of the record, with a promise that is filed for it.
    fn repair(&self, seat: usize, name: &str) -> (Operation, Option<Body>) {
        let key = format!("promise {} {name}", self.number);
        let filing = Filing {
            class: Class::P1,
            subject_kind: SubjectKind::Organisation,
            ..self.filing(RecordType::Commitment, "cn-credit-repair", &key)
        };
        let (promise, body, _) = filed(&filing, &self.promise(1)).submit();
        let record = promise.record();
        self.must(self.town.own("clerk", 1), promise, body);
        let body = json!({
            "target": self.begun.record, "commitment": record, "evidence": [attachment("P1")],
            "received_on": self.town.today, "origin": origin(),
        });
        let key = format!("repair {} {name}", self.number);
        let filing = Filing {
            agency: self.town.seats[seat].officer.agency.clone(),
            ..self.filing(RecordType::Repair, "cn-credit-repair", &key)
        };
        let (operation, body, _) = filed(&filing, &body).submit();
        (operation, body)
    }

    fn list_entry(&self, notice: RecordId) -> Value {
        let decided = self.decided();
        json!({
            "subject": organisation(), "list_code": key_of(self.number), "list_kind": "serious_dishonesty",
            "grounds": text("未按规定公示年度报告"), "decision_no": key_of(self.number), "decided_on": decided,
            "entry_from": decided, "entry_until": self.last_day(), "exit_conditions": text("补报年度报告"),
            "remedies": text("可申请行政复议"), "prior_notice": notice, "attachments": [attachment("P1")],
            "origin": origin(),
        })
    }

    /// Of what ends by its date.
    fn last_day(&self) -> Date {
        if self.begun.ends { self.town.today } else { self.day(366) }
    }

    fn decision(&self) -> Value {
        let decided = self.decided();
        json!({
            "doc_no": key_of(self.number), "title": text("示例市停车管理办法"), "kind": "rule", "body": self.town.own,
            "adopted": decided, "published": decided, "in_force": decided,
            "ends": self.last_day(),
            "uri": "https://example.org/rules/1", "text": attachment("P0"), "languages": ["zh-Hans"], "origin": origin(),
        })
    }

    fn promise(&self, version: u32) -> Value {
        let mut body = json!({
            "subject": organisation(), "kind": "voluntary", "matter_code": "m", "text": text("承诺依法经营"),
            "made_on": self.town.today, "verification": "pending", "origin": origin(),
        });
        if version > 1 {
            (body["verification"], body["found_on"]) = ("kept".into(), json!(self.last_day()));
        }
        body
    }

    fn objection_body(&self, target: RecordId) -> Value {
        json!({
            "target": target, "kind": "error", "statement": text("金额有误"), "received_on": self.town.today,
            "origin": origin(),
        })
    }
}

fn filed(filing: &Filing<'_>, body: &Value) -> Filed {
    build::file(filing, &body.to_string())
        .unwrap_or_else(|refusal| panic!("{}: {refusal}", filing.idempotency_key))
}

fn key_of(number: usize) -> String {
    format!("示例〔2026〕{number}号")
}
