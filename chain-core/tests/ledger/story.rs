//! Stories for the table of steps: a record of each life led to each status it can have, and the steps that may follow.

use chain_core::build::{self, Filed, Filing};
use chain_core::crypto::Digest;
use chain_core::execute::GenesisState;
use chain_core::id::RecordId;
use chain_core::operation::{AmendReason, DisputeOutcome, Operation, Remedy};
use chain_core::record::governance::{BasisDetails, MemberDetails};
use chain_core::record::{BasisRef, Class, Details, RecordType, SubjectKind};
use chain_core::state::RecordHead;
use chain_core::transaction::Body;
use serde_json::{Value, json};

use crate::city::{
    City, DEDUPE_KEY, agency, agency_details, basis_details, chain, date, decision_body, filing,
    fingerprint_body, member_details, organisation, penalty_body, public,
};
use crate::governance::proven;
use crate::station;
use crate::steps::{self, Life, Of};
use crate::validators::genesis_of;

/// The agency of the records, another one, and the one that opens reviews.
pub(crate) const AGENCIES: [&str; 3] = ["A1", "A2", "N"];
/// The posts of each.
const POSTS: [&str; 13] = [
    "clerk1",
    "clerk2",
    "clerk3",
    "supervisor1",
    "supervisor2",
    "legal1",
    "admin1",
    "admin2",
    "privacy1",
    "auditor1",
    "council1",
    "portal1",
    "gateway1",
];
/// Keys without a post: a device of the agency, a validator's log key, and one that nobody knows.
const OTHERS: [&str; 3] = ["D1/key1", "v001/log1", "stranger"];
/// When the steps of the table are taken: the shortest publication is over, no term has ended.
const NOW: &str = "2026-09-01T09:00:00+08:00";

/// Who files a record of a life.
pub(crate) fn submitter(life: Life) -> &'static str {
    if life == Life::Member { "A1/admin1" } else { "A1/clerk1" }
}

/// The words of the table that fit a post, as one who acts on a record of a life.
pub(crate) fn words_of(life: Life, post: &str) -> Vec<&'static str> {
    let own = post.starts_with("A1/");
    let role = match post.rsplit('/').next().unwrap().trim_end_matches(|c: char| c.is_ascii_digit()) {
        "clerk" => "clerk",
        "supervisor" => "supervisor",
        "legal" => "legal_reviewer",
        "admin" => "agency_admin",
        "privacy" => "privacy_officer",
        "auditor" => "auditor",
        "portal" => "portal",
        _ => "none",
    };
    let mut words = vec![role];
    if post == submitter(life) {
        words.push("submitter");
    }
    if own && role == "clerk" && post == "A1/clerk2" {
        words.push("officer");
    }
    // The first supervisor has approved whatever one must approve.
    let approved = post == "A1/supervisor1" && life.approvals().contains(&"supervisor");
    if role == "supervisor" && !approved {
        words.push("other_supervisor");
    }
    words
}

pub(crate) fn agency_of(post: &str) -> Option<&str> {
    AGENCIES.into_iter().find(|name| post.starts_with(&format!("{name}/")))
}

/// Whether a post may give an approval. Auditors answer to no agency.
pub(crate) fn approves(life: Life, wanted: &str, post: &str) -> bool {
    let of = if wanted == "auditor" { agency_of(post).is_some() } else { agency_of(post) == Some("A1") };
    of && words_of(life, post).contains(&wanted)
}

pub(crate) fn actors() -> Vec<String> {
    let posts = AGENCIES.iter().flat_map(|name| POSTS.map(|post| format!("{name}/{post}")));
    posts.chain(OTHERS.map(str::to_owned)).collect()
}

const TYPES: [RecordType; 9] = [
    RecordType::Penalty,
    RecordType::Commitment,
    RecordType::ListEntry,
    RecordType::Objection,
    RecordType::Repair,
    RecordType::Decision,
    RecordType::DocFingerprint,
    RecordType::Device,
    RecordType::DeviceKey,
];

fn genesis() -> GenesisState {
    let mut genesis = genesis_of(4);
    genesis.agencies = AGENCIES.map(|name| agency_details(name, &TYPES)).to_vec();
    let posts = POSTS.into_iter().filter(|post| !post.starts_with("admin"));
    genesis.members =
        AGENCIES.iter().flat_map(|name| posts.clone().map(|post| member_details(name, post))).collect();
    genesis.bases.push(BasisDetails { types: TYPES.to_vec(), ..basis_details("metrology") });
    genesis
}

fn text(text: &str) -> Value {
    json!([{ "lang": "zh-Hans", "text": text }])
}

fn origin() -> Value {
    json!({ "system": "counter", "method": "manual" })
}

fn attachment() -> Value {
    json!({
        "sha256": Digest::tagged(b"file", &[]).to_string(), "size": 1024, "media_type": "application/pdf",
        "name": "file.pdf", "class": "P1",
    })
}

/// Files a body for an agency under a basis that allows everything.
fn file(by: &str, like: &Filing<'_>, body: &Value) -> Filed {
    let legal_basis = Some(BasisRef { id: "metrology".to_owned(), version: 1 });
    build::file(&Filing { agency: agency(by), legal_basis, ..like.clone() }, &body.to_string()).unwrap()
}

/// A story: a city, the record that it is about and what the steps need beside it.
pub(crate) struct Story {
    pub(crate) city: City,
    life: Life,
    pub(crate) record: RecordId,
    /// The record objected to, the notice of a list entry, a subject's promise.
    base: RecordId,
    /// The application for its repair.
    application: Option<RecordId>,
    /// The version that steps name.
    version: u32,
    /// The last day of a version's effect.
    until: &'static str,
}

impl Story {
    /// The record at a status, or nothing filed yet; with what a step needs to have happened.
    pub(crate) fn at(life: Life, status: &str, before: &str) -> Self {
        let mut city = City::with(&genesis());
        let device = station::registration("D1", 1, &station::registration_body("D1", "D1/key1"));
        let device = city.submit("A1/clerk1", device).unwrap().record;
        city.countersign("A1/supervisor1", device).unwrap();
        let base = match life {
            Life::Objection => {
                let story = Self::begin(city, Life::Penalty, device, "2027-05-06");
                city = story.city;
                story.record
            }
            Life::ListEntry => {
                let like = Filing { class: Class::P0, ..filing(RecordType::DocFingerprint, "notice") };
                city.submit("A1/clerk1", file("A1", &like, &fingerprint_body())).unwrap().record
            }
            _ => device,
        };
        let until = match (status, before) {
            ("expired", _) => "2026-08-31",
            (_, "expire") => "2026-09-30",
            _ => "2027-05-06",
        };
        if status == "none" {
            let record = RecordId::new(Digest::ZERO);
            let mut story = Self { city, life, record, base, application: None, version: 1, until };
            story.city.at(NOW);
            return story;
        }
        let mut story = match status {
            "submitted" | "withdrawn" | "rejected" => Self::filed(city, life, base, until),
            _ => Self::begin(city, life, base, until),
        };
        story.prepare(before);
        story.reach(status);
        story.city.tick(NOW);
        story.mark(before);
        let got = story.city.status(story.record);
        assert_eq!(got, if status == "superseded" { "effective" } else { status }, "{life:?} {status}");
        story
    }

    fn filed(city: City, life: Life, base: RecordId, until: &'static str) -> Self {
        let record = RecordId::new(Digest::ZERO);
        let mut story = Self { city, life, record, base, application: None, version: 1, until };
        let (operation, body) = story.submission(submitter(life), 1, "");
        story.record = operation.record();
        story.city.send_with(submitter(life), operation, body).unwrap();
        story
    }

    /// Filed and in effect.
    fn begin(city: City, life: Life, base: RecordId, until: &'static str) -> Self {
        let mut story = Self::filed(city, life, base, until);
        story.approve(life.approvals());
        story
    }

    /// The first who may, gives each approval that is still missing.
    pub(crate) fn approve(&mut self, approvals: &[&str]) {
        for wanted in approvals {
            let signed = |head: &RecordHead, post: &str| {
                let version = head.next.as_ref().unwrap_or(&head.current);
                let signers = head.pending.as_ref().map_or(&version.signers, |pending| &pending.signers);
                signers.iter().any(|signer| signer.key == public(post))
            };
            let head = self.city.head(self.record);
            let post =
                actors().into_iter().find(|post| approves(self.life, wanted, post) && !signed(&head, post));
            let post = post.unwrap();
            self.city.countersign(&post, self.record).unwrap_or_else(|code| panic!("{post}: {code}"));
        }
    }

    /// What must have happened to a record in effect before a step.
    fn prepare(&mut self, before: &str) {
        let objected = self.city.head(self.record).current.status.name() == "effective";
        match before {
            "dispute_decide" if objected => {
                let (operation, body) = self.objection("A2/clerk1");
                // What cannot be objected to has no objection to decide.
                let _ = self.city.send_with("A2/clerk1", operation, body);
            }
            "repair_decide" if objected => self.apply_for_repair(),
            _ => {}
        }
    }

    /// What must have happened to a record in its status before a step.
    fn mark(&mut self, before: &str) {
        let (record, version) = (self.record, self.city.head(self.record).current.version);
        let (post, operation) = match before {
            "review_decide" => ("N/clerk1", self.operation("review_open", version)),
            "release_hold" => ("N/auditor1", self.operation("hold", version)),
            _ => return,
        };
        // An erased record takes neither.
        let marked = self.city.send(post, operation).is_ok();
        let closed = self.city.status(record) == "erased" || self.life == Life::Member;
        assert_eq!(marked, !closed, "{before} of {:?} {}", self.life, self.city.status(record));
    }

    fn apply_for_repair(&mut self) {
        self.city.at("2026-08-20T09:00:00+08:00");
        let (operation, body) = self.repair("A2/clerk1", "first");
        let application = operation.record();
        let applied = self.city.send_with("A2/clerk1", operation, body).is_ok();
        self.application = applied.then_some(application);
    }

    /// Leads a record that was filed, or is in effect, to a status.
    fn reach(&mut self, status: &str) {
        let (by, officer) = (submitter(self.life), self.life == Life::Member);
        let supervisor = if officer { "A1/admin1" } else { "A1/supervisor1" };
        match status {
            "suspended" => self.take(supervisor, "suspend"),
            "superseded" => {
                let (operation, body) = self.submission(by, 2, "");
                self.city.send_with(by, operation, body).unwrap();
                let approvals =
                    if self.life == Life::Commitment { &["supervisor"] } else { self.life.approvals() };
                self.approve(approvals);
            }
            "repaired" => {
                if self.application.is_none() {
                    self.apply_for_repair();
                }
                self.take("A1/clerk1", "repair_decide");
                self.approve(&["supervisor"]);
            }
            "revoked" => self.revoke(supervisor),
            "expired" if self.life == Life::Objection => self.close_objection(),
            "withdrawn" => self.take(by, "withdraw"),
            "rejected" => {
                let post = if officer { "A1/admin2" } else { "A1/supervisor1" };
                self.take(post, "reject");
            }
            "sealed" => {
                match self.life {
                    Life::Objection | Life::Commitment => self.take(by, "withdraw"),
                    _ => self.revoke(supervisor),
                }
                self.take("A1/privacy1", "seal");
            }
            "erased" => {
                self.take("A1/privacy1", "erase");
                self.approve(&["auditor"]);
            }
            // Filed, in effect, or ended by its date.
            _ => {}
        }
    }

    fn revoke(&mut self, post: &str) {
        self.take(post, "revoke");
        match self.life {
            Life::Member => self.approve(&["agency_admin"]),
            Life::Fingerprint => {}
            _ => self.approve(&["legal_reviewer"]),
        }
    }

    fn close_objection(&mut self) {
        let (record, version) = (self.base, 1);
        let (outcome, carries) = (DisputeOutcome::Dismissed, Remedy::None);
        let decide =
            Operation::DisputeDecide { record, version, outcome, carries, reasons: "checked".to_owned() };
        self.city.send("A1/clerk1", decide).unwrap();
        self.city.countersign("A1/supervisor2", record).unwrap();
    }

    fn take(&mut self, post: &str, operation: &str) {
        let operation = self.operation(operation, self.version);
        self.city.send(post, operation).unwrap_or_else(|code| panic!("{:?} {post}: {code}", self.life));
    }

    /// The class and subject of the record, which cases about it share.
    fn about(&self) -> (Class, SubjectKind) {
        match self.life {
            Life::Decision | Life::Fingerprint => (Class::P0, SubjectKind::None),
            _ => (Class::P1, SubjectKind::Organisation),
        }
    }

    /// A version of the record, as a post would file it.
    fn submission(&self, post: &str, version: u32, variant: &str) -> (Operation, Option<Body>) {
        if self.life == Life::Member {
            let label = format!("counter {version}{variant}");
            let key = chain_core::record::governance::NewKey { label, ..proven("A1/clerk8") };
            let details = Details::Member(Box::new(MemberDetails { key, ..member_details("A1", "clerk8") }));
            let header = build::governance_header(
                chain().chain_id,
                &agency("A1"),
                DEDUPE_KEY,
                "life",
                version,
                details,
            );
            return (submitted(header, version), None);
        }
        let like = filing(self.life.record_type(), "life");
        let (class, subject_kind) = self.about();
        let mut like = Filing { version, class, subject_kind, ..like };
        let (filed, changed) = match self.life {
            Life::Penalty => {
                let first = if post.starts_with("A1/clerk") { post } else { "A1/clerk1" };
                let second = if first == "A1/clerk2" { "A1/clerk1" } else { "A1/clerk2" };
                like.officers = vec![public(first), public(second)];
                (penalty_body("life"), "violation_type")
            }
            Life::ListEntry => (self.list_entry_body(), "grounds"),
            Life::Decision => {
                let mut body = decision_body("life");
                body["ends"] = json!(self.until);
                (body, "title")
            }
            Life::Objection => (objection_body(self.base), "statement"),
            Life::Commitment => (promise_body(version), "text"),
            Life::Fingerprint | Life::Member => (fingerprint_body(), "custody"),
        };
        let mut body = filed;
        if version > 1 || !variant.is_empty() {
            body[changed] = text(&format!("version {version} {variant}"));
        }
        let filed = file("A1", &like, &body);
        let (operation, body, _) = match version {
            1 => filed.submit(),
            _ => filed.amend(AmendReason::Clerical),
        };
        (operation, body)
    }

    fn list_entry_body(&self) -> Value {
        json!({
            "subject": organisation(), "list_code": "abnormal", "list_kind": "abnormal_operation",
            "grounds": text("未按规定公示年度报告"), "decision_no": "life", "decided_on": "2026-05-06",
            "entry_from": "2026-05-06", "entry_until": self.until, "exit_conditions": text("补报年度报告"),
            "remedies": text("可申请行政复议"), "prior_notice": self.base, "attachments": [attachment()],
            "origin": origin(),
        })
    }

    /// An objection to the record, filed at the counter or portal of an agency.
    fn objection(&self, post: &str) -> (Operation, Option<Body>) {
        let (class, subject_kind) = self.about();
        let like = Filing { class, subject_kind, ..filing(RecordType::Objection, post) };
        let filed = file(agency_of(post).unwrap_or("A1"), &like, &objection_body(self.record));
        let (operation, body, _) = filed.submit();
        (operation, body)
    }

    /// An application for the repair of the record.
    fn repair(&mut self, post: &str, key: &str) -> (Operation, Option<Body>) {
        let promise = filing(RecordType::Commitment, "promise");
        let promise = file("A1", &promise, &promise_body(1));
        let promise = self.city.submit("A1/clerk1", promise).unwrap().record;
        let body = json!({
            "target": self.record, "commitment": promise, "evidence": [attachment()],
            "received_on": "2026-08-20", "origin": origin(),
        });
        let (class, subject_kind) = self.about();
        let like = Filing { class, subject_kind, ..filing(RecordType::Repair, key) };
        let filed = file(agency_of(post).unwrap_or("A1"), &like, &body);
        let (operation, body, _) = filed.submit();
        (operation, body)
    }

    /// A step on the record that files nothing.
    fn operation(&self, operation: &str, version: u32) -> Operation {
        let header_digest = self.city.ledger.head(&self.record).map(|head| head.current.header_digest);
        let of = Of {
            record: self.record,
            version,
            header_digest: header_digest.unwrap_or(Digest::ZERO),
            application: self.application,
            hold_until: date("2027-09-01"),
        };
        steps::operation(operation, &of)
    }

    /// A step of the table, as a post would send it.
    pub(crate) fn step(&mut self, operation: &str, post: &str) -> (Operation, Option<Body>) {
        match operation {
            "submit" => self.submission(post, 1, "again"),
            "amend" => self.submission(post, self.version + 1, "again"),
            "dispute_open" => self.objection(post),
            "repair_apply" => self.repair(post, post),
            _ => (self.operation(operation, self.version), None),
        }
    }
}

fn submitted(header: chain_core::record::Header, version: u32) -> Operation {
    let header = Box::new(header);
    if version == 1 {
        Operation::Submit(header)
    } else {
        Operation::Amend { header, reason: AmendReason::Clerical }
    }
}

fn objection_body(target: RecordId) -> Value {
    json!({
        "target": target, "kind": "error", "statement": text("金额有误"), "received_on": "2026-05-06",
        "origin": origin(),
    })
}

fn promise_body(version: u32) -> Value {
    let mut body = json!({
        "subject": organisation(), "kind": "voluntary", "matter_code": "m", "text": text("承诺依法经营"),
        "made_on": "2026-05-06", "verification": "pending", "origin": origin(),
    });
    if version > 1 {
        (body["verification"], body["found_on"]) = ("kept".into(), "2026-12-31".into());
    }
    body
}
